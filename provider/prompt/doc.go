// Package prompt decides what an authorization request needs next: a login, a consent, an answer, or nothing more.
//
// It owns the policy of OpenID Connect Core 1.0 §3.1.2.1 to §3.1.2.4 (prompt, max_age, id_token_hint, consent) as a pure
// function over facts. It knows no HTTP and no database: whoever gathers the facts and acts on the word is provider.
package prompt
