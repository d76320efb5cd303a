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
	"time"

	"github.com/keizer-auth/keizer/storage"
)

// ring is the keys of one organization at one moment. It is never changed.
type ring struct {
	keys []key // the newest first
	jwks []byte
	etag string
}

// key is a key pair and the times of its life.
type key struct {
	*material
	activates time.Time
	retires   time.Time // zero: it signs until it is rotated
	expires   time.Time // zero: it is published until it is rotated
}

// newRing makes a ring of the rows of an organization. What the ring before has parsed is not parsed again.
func newRing(rows []storage.SigningKey, before *ring, now time.Time) (*ring, error) {
	parsed := make(map[string]*material)
	if before != nil {
		for _, k := range before.keys {
			parsed[k.kid] = k.material
		}
	}
	r := &ring{keys: make([]key, 0, len(rows))}
	for _, row := range rows {
		m := parsed[row.KID]
		if m == nil || m.alg != row.Alg {
			var err error
			if m, err = parseMaterial(row.KID, row.Alg, row.PrivateJWK); err != nil {
				return nil, err
			}
		}
		k := key{material: m, activates: row.ActivatesAt}
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
	var err error
	r.jwks, r.etag, err = writeJWKS(r.published(now))
	return r, err
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
func (r *ring) public(kid, alg string) crypto.PublicKey {
	for i := range r.keys {
		if r.keys[i].kid == kid && r.keys[i].alg == alg {
			return r.keys[i].public
		}
	}
	return nil
}

func (r *ring) published(now time.Time) []key {
	return slices.DeleteFunc(slices.Clone(r.keys), func(k key) bool { return !k.expires.IsZero() && !k.expires.After(now) })
}

// writeJWKS writes a JWK Set. Its entity tag is a digest of it, the same on every replica.
func writeJWKS(keys []key) (body []byte, etag string, err error) {
	set := struct {
		Keys []json.RawMessage `json:"keys"`
	}{Keys: make([]json.RawMessage, len(keys))}
	for i, k := range keys {
		set.Keys[i] = k.jwk
	}
	if body, err = json.Marshal(set); err != nil {
		return nil, "", fmt.Errorf("write JWK set: %w", err)
	}
	sum := sha256.Sum256(body)
	return body, `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`, nil
}
