package keys

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/keizer-auth/keizer/storage"
)

// The algorithms by which something is encrypted to clients (RFC 7518 §4.1).
const (
	RSAOAEP256   = "RSA-OAEP-256"
	ECDHES       = "ECDH-ES"
	ECDHESA128KW = "ECDH-ES+A128KW"
	ECDHESA256KW = "ECDH-ES+A256KW"
)

// The algorithms that its content is encrypted with (RFC 7518 §5.1).
const (
	A128CBCHS256 = "A128CBC-HS256"
	A128GCM      = "A128GCM"
	A256GCM      = "A256GCM"
)

// EncryptionAlgorithms returns how the key of what is encrypted to a client can be wrapped or agreed on.
func EncryptionAlgorithms() []string { return []string{RSAOAEP256, ECDHES, ECDHESA128KW, ECDHESA256KW} }

// ContentAlgorithms returns how what is encrypted to a client can be, the default of OpenID Connect first.
func ContentAlgorithms() []string { return []string{A128CBCHS256, A128GCM, A256GCM} }

// ErrNoEncryptionKey is a client to which nothing can be encrypted in the way that it is registered for: it has no key that fits. That is for
// the client to mend. ErrClientKeysAway is one whose keys cannot be had right now. Their texts say more; outbound.Cause tells the log the rest.
var (
	ErrNoEncryptionKey = errors.New("no key of the client's fits")
	ErrClientKeysAway  = errors.New("the client's keys cannot be fetched")
)

// receives reports whether something can be encrypted to the key by alg.
func (k clientKey) receives(alg string) bool {
	return k.encrypts && (k.alg == "" || k.alg == alg) && wraps(alg, k.public)
}

// wraps reports whether a public key is of the type that an encryption algorithm asks for.
func wraps(alg string, public crypto.PublicKey) bool {
	switch public.(type) {
	case *rsa.PublicKey:
		return alg == RSAOAEP256
	case *ecdsa.PublicKey:
		return alg == ECDHES || alg == ECDHESA128KW || alg == ECDHESA256KW
	}
	return false
}

// Encrypt encrypts a payload to a client, as a compact JWE (RFC 7516 §7.1). contentType is JWT for one that is a JWT itself (RFC 7519 §5.2),
// and else empty. Of several keys that fit, the first counts that is for nothing else, or else the first: a client that rotates puts the new
// one there, and keeps the old one until what was remembered of its keys is forgotten (OpenID Connect Core 1.0 §10.2.1).
func (c *ClientKeys) Encrypt(ctx context.Context, client *storage.Client, alg, enc, contentType string, payload []byte) (string, error) {
	fitting, err := c.of(ctx, client, func(k clientKey) bool { return k.receives(alg) })
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.Is(err, errNoKeys), errors.Is(err, ErrJWKS):
		return "", fmt.Errorf("%w: %w", ErrNoEncryptionKey, err)
	case err != nil:
		return "", fmt.Errorf("%w: %w", ErrClientKeysAway, err)
	case len(fitting) == 0:
		return "", fmt.Errorf("%w: none is for %s", ErrNoEncryptionKey, alg)
	}
	key := fitting[max(0, slices.IndexFunc(fitting, func(k clientKey) bool { return k.only }))]
	options := &jose.EncrypterOptions{}
	if contentType != "" {
		options.WithContentType(jose.ContentType(contentType))
	}
	encrypter, err := jose.NewEncrypter(jose.ContentEncryption(enc), jose.Recipient{
		Algorithm: jose.KeyAlgorithm(alg), Key: key.public, KeyID: key.kid,
	}, options)
	if err != nil {
		return "", fmt.Errorf("encrypt by %s and %s: %w", alg, enc, err)
	}
	encrypted, err := encrypter.Encrypt(payload)
	if err != nil {
		return "", fmt.Errorf("encrypt by %s and %s: %w", alg, enc, err)
	}
	return encrypted.CompactSerialize()
}
