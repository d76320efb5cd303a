// Package upstream speaks to the servers of others at which people may sign in: it is the client there, and believes nothing that it
// has not checked.
//
// It owns the presets (what is particular about Google, Microsoft, Apple and the others, as data), the settings of a provider, the
// authorization request, the exchange of the code, the verification of the ID token, userinfo, and what a person is by all that: an
// identity, of which issuer and subject are who it is, and whose address counts as theirs only where the provider says in its own way
// that it is. It owns when a provider that does not answer is left alone for a while.
//
// It does not own browsers (login), what becomes of an identity (people), nor rows (storage): it is handed a provider and remembers
// nothing of anybody. What it asks goes through the guarded client of internal/outbound. A client of ours that shows what it does is
// internal/relyingparty.
//
// Specifications: RFC 6749 §4.1, RFC 7636, RFC 9207, RFC 9700 §2.1 and §4.4, OpenID Connect Core 1.0 §3.1 and §5, OpenID Connect
// Discovery 1.0, OAuth 2.0 Form Post Response Mode, and the public documentation of each provider.
package upstream
