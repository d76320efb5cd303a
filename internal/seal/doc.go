// Package seal encrypts what must be read again but never by a thief of the database: private signing keys, upstream
// secrets, remembered answers. It also makes the keyed digests that bind a form to a session.
//
// It owns the form of the master key (what passes for one and what is refused), the derivation of everything else from it
// (HKDF-SHA-256, RFC 5869) and the envelope (AES-256-GCM, NIST SP 800-38D). It does not know where the master key is kept
// (that is config), nor which row a sealed value belongs to: whoever seals names the row in the associated data, and the
// same names must be given to open it.
package seal
