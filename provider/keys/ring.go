package keys

import (
	"cmp"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keizer-auth/keizer/storage"
)

// ring is the keys of one organization at one moment. It is never changed. Nothing in it is parsed before it is needed: what is asked of
// most organizations most of the time is neither a signature nor the key set, and an RSA key takes a good part of a millisecond.
type ring struct {
	keys []key // the newest first
	set  func() (*keySet, error)
}

// keySet is the JWK Set as it is served.
type keySet struct {
	jwks []byte
	etag string
}

// key is a key pair and the times of its life.
type key struct {
	kid, alg string
	// material parses it, once.
	material  func() (*material, error)
	activates time.Time
	retires   time.Time // zero: it signs until it is rotated
	expires   time.Time // zero: it is published until it is rotated
}

// newRing makes a ring of the rows of an organization. What the ring before has parsed is not parsed again.
func newRing(rows []storage.SigningKey, before *ring, now time.Time) *ring {
	parsed := make(map[string]key)
	if before != nil {
		for _, k := range before.keys {
			parsed[k.kid] = k
		}
	}
	r := &ring{keys: make([]key, 0, len(rows))}
	for _, row := range rows {
		k := key{kid: row.KID, alg: row.Alg, activates: row.ActivatesAt}
		if known, ok := parsed[row.KID]; ok && known.alg == row.Alg {
			k.material = known.material
		} else {
			private := row.PrivateJWK
			k.material = sync.OnceValues(func() (*material, error) { return parseMaterial(k.kid, k.alg, private) })
		}
		if row.RetiresAt != nil {
			k.retires = *row.RetiresAt
		}
		if row.ExpiresAt != nil {
			k.expires = *row.ExpiresAt
		}
		r.keys = append(r.keys, k)
	}
	slices.SortFunc(r.keys, func(a, b key) int {
		return cmp.Or(b.activates.Compare(a.activates), strings.Compare(a.kid, b.kid))
	})
	r.set = sync.OnceValues(func() (*keySet, error) { return writeJWKS(r.published(now)) })
	return r
}

// active is the newest key for alg that may sign now.
func (r *ring) active(alg string, now time.Time) *key {
	for i := range r.keys {
		k := &r.keys[i]
		if k.alg == alg && !k.activates.After(now) && (k.retires.IsZero() || k.retires.After(now)) {
			return k
		}
	}
	return nil
}

// public is the key that a token names, whichever part of its life it is in, or nil.
func (r *ring) public(kid, alg string) (crypto.PublicKey, error) {
	for i := range r.keys {
		if r.keys[i].kid != kid || r.keys[i].alg != alg {
			continue
		}
		m, err := r.keys[i].material()
		if err != nil {
			return nil, err
		}
		return m.public, nil
	}
	return nil, nil //nolint:nilnil // it is none of these
}

func (r *ring) published(now time.Time) []key {
	return slices.DeleteFunc(slices.Clone(r.keys), func(k key) bool { return !k.shown(now) })
}

// writeJWKS writes a JWK Set, of the public parts of the keys themselves: what stands beside them in their rows is not sealed. Its entity tag
// is a digest of it, the same on every replica.
func writeJWKS(keys []key) (*keySet, error) {
	set := struct {
		Keys []json.RawMessage `json:"keys"`
	}{Keys: make([]json.RawMessage, len(keys))}
	for i, k := range keys {
		m, err := k.material()
		if err != nil {
			return nil, err
		}
		set.Keys[i] = m.jwk
	}
	body, err := json.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("write JWK set: %w", err)
	}
	sum := sha256.Sum256(body)
	return &keySet{body, `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`}, nil
}
