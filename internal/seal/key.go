package seal

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

const keySize = 32 // bytes: AES-256, and as much as HKDF-SHA-256 can carry

// The reasons for which a string is refused as a master key. None repeats what was given.
var (
	ErrEmptyKey  = errors.New("the master key is empty")
	ErrKeyForm   = errors.New("the master key is not the base64 or hex of 32 bytes")
	ErrWeakKey   = errors.New("the master key is a pattern, not 32 random bytes")
	ErrPhraseKey = errors.New("the master key is a phrase, not 32 random bytes")
)

// NewKey makes a master key: base64url of 32 random bytes, without characters that a shell or an env file would mind.
func NewKey() string {
	var key [keySize]byte
	rand.Read(key[:]) // never fails: crypto/rand ends the process instead
	return base64.RawURLEncoding.EncodeToString(key[:])
}

func decodeKey(text string) ([]byte, error) {
	text = strings.TrimSpace(text) // a file ends in a newline
	if text == "" {
		return nil, ErrEmptyKey
	}
	key, ok := decode(text)
	if !ok {
		return nil, ErrKeyForm
	}
	return key, checkStrength(key)
}

// decode reads hex, or base64 in either alphabet with or without padding. The lengths never overlap: 32 bytes are 64
// characters of hex and 43 or 44 of base64.
func decode(text string) ([]byte, bool) {
	if len(text) == hex.EncodedLen(keySize) {
		key, err := hex.DecodeString(text)
		return key, err == nil
	}
	unpadded := strings.TrimSuffix(text, "=")
	for _, encoding := range []*base64.Encoding{base64.RawURLEncoding, base64.RawStdEncoding} {
		if key, err := encoding.Strict().DecodeString(unpadded); err == nil && len(key) == keySize {
			return key, true
		}
	}
	return nil, false
}

// checkStrength refuses what a generator of random bytes would not give in the lifetime of the universe but a person in a
// hurry does: one byte repeated, a counted-up or short repeated pattern, a sentence, the default of some example.
func checkStrength(key []byte) error {
	var seen [256]bool
	distinct, printable, steady := 0, 0, true
	for i, b := range key {
		if !seen[b] {
			seen[b] = true
			distinct++
		}
		if b >= 0x20 && b <= 0x7e {
			printable++
		}
		if i > 1 && b-key[i-1] != key[1]-key[0] {
			steady = false
		}
	}
	switch {
	case steady, distinct < keySize/2: // 32 random bytes hold 30 different ones, give or take one
		return ErrWeakKey
	case printable == len(key): // one in 10^13 of random keys
		return ErrPhraseKey
	}
	return nil
}
