// Package password hashes and verifies what people choose to remember, with argon2id (RFC 9106) and in bounded memory.
//
// It owns the parameters, the stored form (the PHC string), the rule for what may be a password (OWASP ASVS 5.0 V6.2: length
// and a list of the commonest, nothing else) and the queue in front of the hash: 200 hashes at once cost 4 GB and every other
// request its time, so there are a few slots, and who cannot get one soon is told to come back. It does not own the secrets
// that Keizer itself generates (those have 256 random bits and are in package secret), nor the counting of failures.
package password
