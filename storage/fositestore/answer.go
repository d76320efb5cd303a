package fositestore

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
)

// errAnswer is a sealed answer that does not open with the token presented.
var errAnswer = errors.New("the stored answer does not belong to this refresh token")

// SealAnswer seals the answer to a refresh with a key that only whoever presents the same refresh token can derive: the
// database holds the token's digest, so neither it nor the master key opens the answer.
func SealAnswer(refreshToken string, answer []byte) ([]byte, error) {
	aead, err := answerAEAD(refreshToken)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(answer)+aead.Overhead())
	rand.Read(nonce)
	return aead.Seal(nonce, nonce, answer, nil), nil
}

// OpenAnswer opens what SealAnswer sealed for the same refresh token.
func OpenAnswer(refreshToken string, sealed []byte) ([]byte, error) {
	aead, err := answerAEAD(refreshToken)
	if err != nil {
		return nil, err
	}
	if len(sealed) < aead.NonceSize() {
		return nil, errAnswer
	}
	answer, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], nil)
	if err != nil {
		return nil, errAnswer
	}
	return answer, nil
}

func answerAEAD(refreshToken string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, []byte(refreshToken), nil, "keizer refresh answer", 32)
	if err != nil {
		return nil, fmt.Errorf("derive the answer's key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
