// Package proof says how somebody has proven who they are, and what that is worth.
//
// It owns the words of the claims amr and acr, the rule by which one follows from the other, and how a request for
// authentication asks for more than a password. It does not own who has to prove what, which is people, nor what follows from
// it for an authorization request, which is provider/prompt.
//
// Specifications: OpenID Connect Core 1.0 §2, §3.1.2.1 and §5.5.1.1, RFC 8176.
package proof
