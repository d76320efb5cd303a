package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// ErrOpen says that something sealed could not be opened. It tells neither which key was missing nor whether the bytes or
// their place were wrong: all of these are the same to whoever should not be asking.
var ErrOpen = errors.New("sealed value cannot be opened")

const (
	version   = 1
	keyIDSize = 8
	saltSize  = 16
	nonceSize = 12
	tagSize   = 16
	headSize  = 1 + keyIDSize + saltSize + nonceSize
)

// A Keyring is the master key that seals and those that came before it, which still open. It never changes, and prints
// nothing but the id of its key.
type Keyring struct {
	keys []masterKey // the current one first
}

type masterKey struct {
	id     [keyIDSize]byte
	secret []byte
}

// Parse reads the current master key and the older ones: base64 or hex of 32 bytes each.
func Parse(current string, old ...string) (*Keyring, error) {
	ring := &Keyring{}
	for i, text := range append([]string{current}, old...) {
		secret, err := decodeKey(text)
		if err != nil && i > 0 {
			return nil, fmt.Errorf("old master key %d: %w", i, err)
		}
		if err != nil {
			return nil, err
		}
		key := masterKey{secret: secret}
		copy(key.id[:], derive(secret, nil, "key id", keyIDSize))
		ring.keys = append(ring.keys, key)
	}
	return ring, nil
}

// KeyID names the current master key without giving anything of it away.
func (k *Keyring) KeyID() string { return hex.EncodeToString(k.keys[0].id[:]) }

// Mark is what everything begins with that is sealed under the current master key.
func (k *Keyring) Mark() []byte { return append([]byte{version}, k.keys[0].id[:]...) }

// Current reports whether something was sealed under the current master key, so that no older one is needed for it.
func (k *Keyring) Current(sealed []byte) bool { return bytes.HasPrefix(sealed, k.Mark()) }

// String keeps the keys out of logs.
func (k *Keyring) String() string { return "keyring " + k.KeyID() }

// GoString keeps them out of %#v.
func (k *Keyring) GoString() string { return k.String() }

// Seal encrypts plaintext for a purpose. What is sealed opens only for the same purpose and the same associated data, so
// that a ciphertext copied to another row or another organization is worthless there.
//
// Every message has a key of its own, derived from the master key, the purpose and a random salt: random nonces under one
// key would wear it out after 2^32 messages (SP 800-38D §8.3), which a busy server reaches in a year.
func (k *Keyring) Seal(purpose string, plaintext []byte, aad ...string) ([]byte, error) {
	key := k.keys[0]
	out := make([]byte, headSize, headSize+len(plaintext)+tagSize)
	out[0] = version
	copy(out[1:], key.id[:])
	rand.Read(out[1+keyIDSize:])
	aead, err := key.aead(purpose, out)
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", purpose, err)
	}
	return aead.Seal(out, out[headSize-nonceSize:headSize], plaintext, associated(out[:headSize], aad)), nil
}

// Open decrypts what Seal made for the purpose and the associated data, under the current or an older key. Every failure
// is ErrOpen.
func (k *Keyring) Open(purpose string, sealed []byte, aad ...string) ([]byte, error) {
	if len(sealed) < headSize+tagSize || sealed[0] != version {
		return nil, fmt.Errorf("open %s: %w", purpose, ErrOpen)
	}
	head := sealed[:headSize]
	for _, key := range k.keys {
		if [keyIDSize]byte(head[1:]) != key.id {
			continue
		}
		aead, err := key.aead(purpose, head)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", purpose, err)
		}
		plaintext, err := aead.Open(nil, head[headSize-nonceSize:], sealed[headSize:], associated(head, aad))
		if err != nil {
			break
		}
		return plaintext, nil
	}
	return nil, fmt.Errorf("open %s: %w", purpose, ErrOpen)
}

// MAC returns base64url of an HMAC-SHA-256 of the parts, under a key that serves this purpose alone.
func (k *Keyring) MAC(purpose string, parts ...string) string {
	return base64.RawURLEncoding.EncodeToString(k.keys[0].mac(purpose, parts))
}

// VerifyMAC reports in constant time whether mac is what MAC gives, or gave under an older key.
func (k *Keyring) VerifyMAC(purpose, mac string, parts ...string) bool {
	for _, key := range k.keys { // as text, so that only one spelling of it passes
		if hmac.Equal([]byte(mac), []byte(base64.RawURLEncoding.EncodeToString(key.mac(purpose, parts)))) {
			return true
		}
	}
	return false
}

func (m masterKey) mac(purpose string, parts []string) []byte {
	h := hmac.New(sha256.New, derive(m.secret, nil, "mac "+purpose, sha256.Size))
	h.Write(associated(nil, parts))
	return h.Sum(nil)
}

func (m masterKey) aead(purpose string, head []byte) (cipher.AEAD, error) {
	salt := head[1+keyIDSize : 1+keyIDSize+saltSize]
	block, err := aes.NewCipher(derive(m.secret, salt, "seal "+purpose, keySize))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// derive is HKDF-SHA-256. The word before the purpose keeps sealing, MACs and key ids apart even where a purpose is shared.
func derive(secret, salt []byte, info string, size int) []byte {
	key, err := hkdf.Key(sha256.New, secret, salt, "keizer "+info, size)
	if err != nil { // only for sizes beyond 255 hashes, or a short key in FIPS 140-only mode: neither occurs here
		panic("seal: " + err.Error())
	}
	return key
}

// associated joins parts so that no two lists give the same bytes: each is preceded by its length.
func associated(head []byte, parts []string) []byte {
	size := len(head) + 8
	for _, part := range parts {
		size += 8 + len(part)
	}
	out := append(make([]byte, 0, size), head...)
	out = binary.BigEndian.AppendUint64(out, uint64(len(parts)))
	for _, part := range parts {
		out = binary.BigEndian.AppendUint64(out, uint64(len(part)))
		out = append(out, part...)
	}
	return out
}
