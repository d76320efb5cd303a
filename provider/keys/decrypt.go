package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keizer-auth/keizer/storage"
)

// EncryptionKeys returns what an organization has keys for that lets clients encrypt to it: an RSA key, and one of a curve by which keys are
// agreed on in all the ways that there are, named after the plainest.
func EncryptionKeys() []string { return []string{RSAOAEP256, ECDHES} }

// KeyAlgorithms returns what an organization can have keys for: those that it signs with, and those that it decrypts with.
func KeyAlgorithms() []string { return append(Algorithms(), EncryptionKeys()...) }

// UseOf returns what a key for an algorithm is for (RFC 7517 §4.2).
func UseOf(alg string) string {
	if contains(EncryptionKeys(), alg) {
		return "enc"
	}
	return "sig"
}

// keyFor returns what the key is for that decrypts by an algorithm.
func keyFor(alg string) string {
	if alg == RSAOAEP256 {
		return RSAOAEP256
	}
	return ECDHES
}

// forbiddenEncrypted header parameters change what is read, or whose key is believed. What is small when packed may not be when unpacked.
var forbiddenEncrypted = []string{"crit", "b64", "zip", "jwk", "jku", "x5u", "x5c"}

// errClosed is every way in which something cannot be decrypted. Which it was is for nobody to learn from.
var errClosed = refuse("it cannot be decrypted")

// IsEncrypted reports whether a text has the five parts of a compact JWE (RFC 7516 §7.1).
func IsEncrypted(text string) bool { return strings.Count(text, ".") == 4 }

// Decrypt opens a JWT that was encrypted to the organization of ctx, as a compact JWE by one of algs and one of encs (RFC 7519 §5.2). Who did
// so is not known by it: what it returns is to be verified.
func (k *Keys) Decrypt(ctx context.Context, text string, algs, encs []string) (string, error) {
	if len(text) > maxToken {
		return "", refuse("it is too long")
	}
	if !IsEncrypted(text) || strings.ContainsAny(text, "\r\n") {
		return "", refuse("it does not have five parts")
	}
	encoded, _, _ := strings.Cut(text, ".")
	members, err := decodeObject(encoded)
	if err != nil {
		return "", fmt.Errorf("%w: header: %w", ErrToken, err)
	}
	for _, name := range forbiddenEncrypted {
		if _, there := members[name]; there {
			return "", refuse("its header has " + name)
		}
	}
	header := Claims(members)
	alg, enc, kid := header.Text("alg"), header.Text("enc"), header.Text("kid")
	switch _, typed := members["cty"]; {
	case !contains(algs, alg) || !contains(encs, enc):
		return "", refuse("it is encrypted in a way that is not accepted")
	case typed && !strings.EqualFold(header.Text("cty"), "JWT"):
		return "", refuse("it holds something else than a JWT")
	}
	encrypted, err := jose.ParseEncryptedCompact(text, []jose.KeyAlgorithm{jose.KeyAlgorithm(alg)}, []jose.ContentEncryption{jose.ContentEncryption(enc)})
	if err != nil {
		return "", errClosed
	}
	r, err := k.ring(ctx)
	if err != nil {
		return "", err
	}
	for i := range r.keys {
		if r.keys[i].alg != keyFor(alg) || kid != "" && r.keys[i].kid != kid {
			continue
		}
		m, err := r.keys[i].material()
		if err != nil {
			return "", err
		}
		if plain, err := encrypted.Decrypt(m.private); err == nil {
			return string(plain), nil
		}
	}
	return "", errClosed
}

// Forget ends all keys of the organization for an algorithm, in the transaction of ctx, and returns which they were. Nothing takes their place.
func Forget(ctx context.Context, db *storage.DB, alg string) (kids []string, err error) {
	rows, err := db.SigningKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("load keys: %w", err)
	}
	rows = slices.DeleteFunc(rows, func(row storage.SigningKey) bool { return row.Alg != alg })
	for _, row := range rows {
		switch err := db.RevokeSigningKey(ctx, row.KID); {
		case errors.Is(err, storage.ErrNotFound): // somebody else has, this moment
		case err != nil:
			return nil, fmt.Errorf("revoke key: %w", err)
		default:
			kids = append(kids, row.KID)
		}
	}
	return kids, nil
}

// shown reports whether a key stands in the JWK Set. What verifies is published as long as something that it verifies may be about; what
// others encrypt by, only until they are to encrypt by the next, and it decrypts on for as long as they may remember it.
func (k *key) shown(now time.Time) bool {
	until := k.expires
	if UseOf(k.alg) == "enc" {
		until = k.retires
	}
	return until.IsZero() || until.After(now)
}
