// Package admin is the management API: what operators, and programs in their name, do to organizations over HTTP.
//
// It owns the form of it: which resources there are (one a file), how they are written in JSON, how lists go on, what conditions
// and keys of requests mean, how refusals are told; and who may do what, by the access token that a request brings. It is a
// resource server of our own tokens, and asks at every request what their holder may do. It does not own the deeds, which are
// manage's, and which write what was done into the audit; nor the rows. No cookie is looked at here, and no other site is let in.
//
// Each operation says which permission it takes. What it may answer stands in the OpenAPI document, which is made of the
// operations themselves.
//
// RFC 6750 (bearer tokens), RFC 9457 (problems), RFC 7396 (merge patch), RFC 8288 (links), RFC 9110 §8.8 and §13 (entity tags and
// conditions), OpenAPI 3.1.
package admin
