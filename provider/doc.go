// Package provider is the OAuth 2.0 authorization server and OpenID Connect provider that applications talk to.
//
// It owns the endpoints under /oauth2/ and the metadata under /.well-known/, one endpoint a file: what a request may ask,
// which client asks it, what a token says, and how an error is answered. It serves RFC 6749, RFC 6750, RFC 7009, RFC 7636,
// RFC 7591, RFC 7592, RFC 7662, RFC 8414, RFC 8707, RFC 9068, RFC 9126, RFC 9207, RFC 9700, RFC 9701, OpenID Connect Core 1.0,
// Discovery 1.0, Dynamic Client Registration 1.0, RP-Initiated Logout 1.0 and OAuth 2.0 Form Post Response Mode.
//
// fosite decides about the authorization-code, refresh and client-credentials flows. Its faults are neutralised here: our
// own client authentication, PKCE, token strategy, ID tokens, redirect matching and error answers stand in place of
// fosite's. It does not own pages (login), rows (storage) or keys (provider/keys).
package provider
