package storage

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// SigningKey returns a key of the organization by its kid, opened, as long as it has not been revoked: also one that has
// expired, for what it signed may be shown to us much later.
func (db *DB) SigningKey(ctx context.Context, kid string) (*SigningKey, error) {
	var key SigningKey
	err := db.scoped(ctx, reading, "read signing key", func(q *query) error {
		err := q.of(&key).Where("kid = ? AND revoked_at IS NULL", kid).Take(&key).Error
		if err != nil {
			return err
		}
		key.PrivateJWK, err = q.cell("signing_keys", "private_jwk", key.ID.String()).open(key.Sealed)
		key.PublicJWK = []byte(key.PublicText)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &key, nil
}

// RetireSigningKey lets one key sign until retiresAt and be published until expiresAt. A key that is retired already, or
// revoked, is ErrSpent: so of two who replace it one succeeds.
func (db *DB) RetireSigningKey(ctx context.Context, id uuid.UUID, retiresAt, expiresAt time.Time) error {
	return db.scoped(ctx, writing, "retire signing key", func(q *query) error {
		return q.spend(`UPDATE signing_keys SET retires_at = $1, expires_at = $2
			WHERE id = $3 AND org_id = $4 AND retires_at IS NULL AND revoked_at IS NULL`, retiresAt, expiresAt, id, q.org)
	})
}
