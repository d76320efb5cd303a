// Package certificate keeps the pair of files that Keizer serves https with by itself: the certificate and the private key to it. It
// says what is wrong with them, takes up new ones while the server runs, and says which handshakes are made: TLS 1.3, and TLS 1.2 with
// ephemeral keys and AES-GCM alone (RFC 9325 §4.2).
//
// Which host a certificate is for is not its business: organizations have hosts of their own, and one pair serves them all.
package certificate
