package pairwise

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
)

const saltSize = sha256.Size

// Salt is the secret of one organization. Whoever has it can tell who is behind an identifier by trying everybody.
type Salt []byte

// NewSalt makes one.
func NewSalt() Salt {
	salt := make(Salt, saltSize)
	rand.Read(salt)
	return salt
}

// String keeps it out of logs.
func (Salt) String() string { return "[redacted]" }

// GoString keeps it out of %#v.
func (Salt) GoString() string { return "[redacted]" }

// Subject is what the applications of a sector know a person by: 43 characters of base64url, the same each time.
func (s Salt) Subject(sector, person string) string { return s.of("subject", sector, person) }

// Session is what they know a session by. Were it called the same everywhere, it would tell that two subjects are one person.
func (s Salt) Session(sector, session string) string { return s.of("session", sector, session) }

func (s Salt) of(parts ...string) string {
	h := hmac.New(sha256.New, s)
	for _, part := range parts { // each preceded by its length, so that no two lists are the same bytes
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		h.Write(size[:])
		h.Write([]byte(part))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
