// Package keys makes, keeps, publishes and rotates the keys that an organization signs with, and checks signatures: those on
// tokens of its own, and those of clients. To clients it encrypts, by keys of theirs, and what they encrypt to an organization it decrypts.
//
// It owns the life of a signing key (published before it signs, kept until the last thing that it signed has died), the
// prepared JWK Set, the strict reading of compact JWS, and client assertions (private_key_jwt, client_secret_jwt) down to the spending of their
// jti. It does not own what a token says (that is provider), how long it lives (config), nor how a private key is encrypted
// at rest (storage seals it).
//
// RFC 7515 (JWS), RFC 7516 (JWE), RFC 7517 (JWK), RFC 7518 (JWA), RFC 7519 (JWT), RFC 7523 (client assertions), RFC 7638 (thumbprints),
// RFC 8037 (EdDSA), RFC 8725 (best current practice), OpenID Connect Core 1.0 §9, §10.
package keys
