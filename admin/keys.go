package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage"
)

// Key is a signing key as it is answered: its public part.
type Key struct {
	KID         string         `json:"kid"`
	Alg         string         `json:"alg"`
	Use         string         `json:"use" enum:"sig,enc" doc:"sig: it signs. enc: it decrypts request objects."`
	Status      string         `json:"status" enum:"pending,active,retired" doc:"pending: not in use yet. retired: no more, and published if it signed."`
	ActivatesAt time.Time      `json:"activates_at"`
	RetiresAt   *time.Time     `json:"retires_at,omitempty"`
	ExpiresAt   *time.Time     `json:"expires_at,omitempty" doc:"Until when it is published, or decrypts."`
	CreatedAt   time.Time      `json:"created_at"`
	Public      map[string]any `json:"public_jwk" doc:"The public key, as a JWK (RFC 7517)."`
}

func keyOf(row *storage.SigningKey) (Key, error) {
	now := time.Now()
	status := "active"
	switch {
	case row.ActivatesAt.After(now):
		status = "pending"
	case row.RetiresAt != nil && !row.RetiresAt.After(now):
		status = "retired"
	}
	k := Key{
		KID: row.KID, Alg: row.Alg, Use: keys.UseOf(row.Alg), Status: status, ActivatesAt: row.ActivatesAt.UTC(), RetiresAt: utc(row.RetiresAt),
		ExpiresAt: utc(row.ExpiresAt), CreatedAt: row.CreatedAt.UTC(),
	}
	return k, json.Unmarshal(row.PublicJWK, &k.Public)
}

// key finds a key that is published.
func (a *API) key(ctx context.Context, kid string) (Key, error) {
	rows, err := a.db.SigningKeys(ctx)
	if err != nil {
		return Key{}, err
	}
	i := slices.IndexFunc(rows, func(row storage.SigningKey) bool { return row.KID == kid })
	if i < 0 {
		return Key{}, storage.ErrNotFound
	}
	return keyOf(&rows[i])
}

const keysPath = orgPath + "/keys"

// mountKeys are /organizations/{org}/keys.
func (a *API) mountKeys() {
	register(a, operation{
		id: "list-keys", method: http.MethodGet, path: keysPath, summary: "List the signing keys that are published", permission: permission.KeysRead,
	}, func(ctx context.Context, _ *InOrg) (*page[Key], error) {
		rows, err := a.db.SigningKeys(ctx)
		if err != nil {
			return nil, err
		}
		all := make([]Key, len(rows))
		for i := range rows {
			if all[i], err = keyOf(&rows[i]); err != nil {
				return nil, err
			}
		}
		return whole(all), nil
	})

	type OfKey struct {
		InOrg
		KID string `path:"kid" maxLength:"200" doc:"The key's id."`
	}
	type readIn struct {
		OfKey
		Reading
	}
	register(a, operation{
		id: "get-key", method: http.MethodGet, path: keysPath + "/{kid}", summary: "Show a signing key", permission: permission.KeysRead,
	}, func(ctx context.Context, in *readIn) (*one[Key], error) {
		body, err := a.key(ctx, in.KID)
		if err != nil {
			return nil, err
		}
		return shownUnless(in.Reading, body)
	})

	type rotateIn struct {
		InOrg
		Body struct {
			Alg string `json:"alg" enum:"RS256,PS256,ES256,EdDSA,RSA-OAEP-256,ECDH-ES" doc:"What the key signs or decrypts by; ECDH-ES is for all of its kind."`
			Now bool   `json:"now,omitempty" doc:"Whether the new key signs at once, though not everybody who verifies knows it yet."`
		} `nameHint:"KeyRotation"`
	}
	register(a, operation{
		id: "rotate-key", method: http.MethodPost, path: keysPath, summary: "Replace the key that signs",
		description: "The new key is published first and signs ten minutes later, when everybody who verifies has seen it; the old one stays published until " +
			"the last token that it signed has expired. A rotation that is under way is left to itself. The answer is the key that will sign.",
		permission: permission.KeysWrite,
	}, func(ctx context.Context, in *rotateIn) (*one[Key], error) {
		kid, err := a.operators.RotateKey(ctx, in.Body.Alg, in.Body.Now, a.longestToken)
		if err != nil {
			return nil, err
		}
		body, err := a.key(ctx, kid)
		if err != nil {
			return nil, err
		}
		return shown(body)
	})

	register(a, operation{
		id: "revoke-key", method: http.MethodDelete, path: keysPath + "/{kid}", summary: "End a signing key at once",
		description: "For a key that others may have: nothing that it signed is believed any longer. If it signs, a new one takes its place.",
		permission:  permission.KeysWrite,
	}, func(ctx context.Context, in *OfKey) (*nothing, error) {
		return nil, a.operators.RevokeKey(ctx, in.KID)
	})
}
