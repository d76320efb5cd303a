// Package relyingparty is a small OpenID Connect client, as strict as the specifications let a client be.
//
// It owns what a relying party does with an authorization server that it knows only by its issuer: discovery, the
// authorization request with PKCE, the checks at the callback, the exchange, the verification of the ID token check by
// check, userinfo, refresh, introspection, revocation and the logout address. It remembers each HTTP exchange with its
// secrets masked, so that the playground and `keizer try` can show what went over the wire, curl equivalents included.
//
// It does not own sessions, pages or storage: whoever uses it keeps the Request between the redirect and the callback.
// It knows nothing of Keizer's inside and takes no short cut to it; the playground meets its own server through it over
// HTTP, as any other client would. Signing people in through a foreign provider is not its work either: that is
// login/upstream, which has an outbound guard to keep.
//
// It serves the client's side of RFC 6749, RFC 6750, RFC 7009, RFC 7636, RFC 7662, RFC 9207, OpenID Connect Core 1.0,
// OpenID Connect Discovery 1.0, OpenID Connect RP-Initiated Logout 1.0 and OAuth 2.0 Form Post Response Mode.
package relyingparty
