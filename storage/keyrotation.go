package storage

import (
	"context"
	"slices"
	"strings"
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

// OrganizationsWithoutKeys returns organizations that lack, for one of the algorithms, a key that was activated after a time and goes on
// signing, in the order of their slugs, those after the given one. Of the algorithms that are not common to all, they lack one only if
// they have had one. Those that are suspended, or deleted, need none.
func (db *DB) OrganizationsWithoutKeys(
	ctx context.Context, algs, common []string, activatedAfter time.Time, after string, limit int,
) ([]Organization, error) {
	var orgs []Organization
	err := db.everywhere(ctx, reading, "list organizations without keys", func(q *query) error {
		lacking, args := make([]string, len(algs)), make([]any, 0, 3*len(algs))
		for i, alg := range algs {
			lacking[i] = `NOT EXISTS (SELECT 1 FROM signing_keys k WHERE k.org_id = organizations.id AND k.alg = ? AND k.activates_at > ?
				AND k.retires_at IS NULL AND k.revoked_at IS NULL)`
			args = append(args, alg, instant(activatedAfter))
			if !slices.Contains(common, alg) {
				lacking[i] = `(` + lacking[i] + ` AND EXISTS (SELECT 1 FROM signing_keys k WHERE k.org_id = organizations.id AND k.alg = ? AND k.revoked_at IS NULL))`
				args = append(args, alg)
			}
		}
		return q.of(&Organization{}).Where("slug > ? AND deleted_at IS NULL AND suspended_at IS NULL", after).
			Where("("+strings.Join(lacking, " OR ")+")", args...).Order("slug").Limit(limited(limit)).Find(&orgs).Error
	})
	return orgs, err
}
