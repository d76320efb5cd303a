// Package secret makes and recognises the opaque strings that strangers hold: codes, tokens, session ids, client secrets.
//
// It owns their form (a typed prefix, 256 random bits, a checksum), their digest (the only thing a database holds of them)
// and the type that keeps a secret out of logs. It does not own sealing what must be read again: that is seal.
package secret
