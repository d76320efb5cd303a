package secret

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"hash/crc32"
	"strings"
)

// Kind is the typed prefix of an opaque string, so that none can pass for another.
type Kind string

// The kinds of opaque strings that Keizer hands out.
const (
	Code         Kind = "code"
	AccessToken  Kind = "at"
	RefreshToken Kind = "rt"
	Session      Kind = "ses"
	Interaction  Kind = "ix"
	Flow         Kind = "fl"
	ClientSecret Kind = "cs"
	Setup        Kind = "setup"
	PAR          Kind = "par"
	Verification Kind = "vt"
	SignIn       Kind = "si"
	Device       Kind = "dev"
	SignUp       Kind = "su"
	// Upstream is the state of a browser that is at a provider, Federation what the browser is known by until it comes back.
	Upstream   Kind = "st"
	Federation Kind = "fed"
	// InitialAccess is what a client can be registered with, Registration what its registration is looked after with.
	InitialAccess Kind = "iat"
	Registration  Kind = "rat"
)

const (
	prefix      = "kz_"
	entropy     = 32 // bytes
	bodyLen     = 43 // base64url of 32 bytes, unpadded
	checksumLen = 6
)

// New returns a fresh opaque string of a kind: kz_<kind>_, 43 characters that carry 256 random bits, and a checksum of 6.
// The checksum lets a mistyped or cut string be refused without a look-up, and lets secret scanners be sure.
func New(kind Kind) string {
	var random [entropy]byte
	rand.Read(random[:]) // never fails: crypto/rand ends the process instead

	out := make([]byte, 0, len(prefix)+len(kind)+1+bodyLen+checksumLen)
	out = append(out, prefix...)
	out = append(out, kind...)
	out = append(out, '_')
	out = base64.RawURLEncoding.AppendEncode(out, random[:])
	return string(appendChecksum(out))
}

// Valid reports whether token has the form that New gives to the kind, checksum included. It says nothing of whether the
// token was ever issued.
func Valid(kind Kind, token string) bool {
	head := len(prefix) + len(kind) + 1
	if len(token) != head+bodyLen+checksumLen {
		return false
	}
	if token[:len(prefix)] != prefix || token[len(prefix):head-1] != string(kind) || token[head-1] != '_' {
		return false
	}
	// Strict decoding: the two unused bits of the last character must be zero, so that no two strings mean the same bytes.
	if _, err := base64.RawURLEncoding.Strict().DecodeString(token[head : head+bodyLen]); err != nil {
		return false
	}
	body := []byte(token[:head+bodyLen])
	return string(appendChecksum(body)[head+bodyLen:]) == token[head+bodyLen:]
}

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// appendChecksum appends the CRC-32 of b in base 62, padded to checksumLen (62^6 exceeds 2^32).
func appendChecksum(b []byte) []byte {
	sum := crc32.ChecksumIEEE(b)
	var digits [checksumLen]byte
	for i := checksumLen - 1; i >= 0; i-- {
		digits[i] = alphabet[sum%62]
		sum /= 62
	}
	return append(b, digits[:]...)
}

// Digest returns what the database holds of an opaque string: base64url of its SHA-256, 43 characters. A slow hash would
// add nothing: the string has 256 bits of its own.
func Digest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// maxJWT bounds what strangers send as a token, in bytes, before anything looks into it.
const maxJWT = 16 << 10

// AccessTokenDigest returns the digest of an access token, opaque or a JWT, and whether text can be one at all. Whether a JWT
// is ours is not looked at: its digest is known, or it is not.
func AccessTokenDigest(text string) (digest string, ok bool) {
	jwt := len(text) <= maxJWT && strings.HasPrefix(text, "ey") && strings.Count(text, ".") == 2
	if !jwt && !Valid(AccessToken, text) {
		return "", false
	}
	return Digest(text), true
}

// Equal compares two strings in a time that does not depend on where they differ.
func Equal(a, b string) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}
