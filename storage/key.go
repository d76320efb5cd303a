package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/seal"
)

// SigningKey is a key that an organization signs tokens with. It signs from ActivatesAt until RetiresAt and is published
// until ExpiresAt.
type SigningKey struct {
	ID uuid.UUID `gorm:"column:id;primaryKey"`
	Owned
	KID string `gorm:"column:kid"`
	Alg string `gorm:"column:alg"`
	// PrivateJWK is the key itself; the row holds it sealed.
	PrivateJWK  []byte     `gorm:"-"`
	Sealed      []byte     `gorm:"column:private_jwk"`
	PublicJWK   []byte     `gorm:"-"`
	PublicText  string     `gorm:"column:public_jwk"`
	ActivatesAt time.Time  `gorm:"column:activates_at"`
	RetiresAt   *time.Time `gorm:"column:retires_at"`
	ExpiresAt   *time.Time `gorm:"column:expires_at"`
	RevokedAt   *time.Time `gorm:"column:revoked_at"`
	CreatedAt   time.Time  `gorm:"column:created_at"`
}

func (SigningKey) TableName() string { return "signing_keys" }

// CreateSigningKey inserts a key and seals its private part.
func (db *DB) CreateSigningKey(ctx context.Context, key *SigningKey) error {
	return db.scoped(ctx, writing, "create signing key", func(q *query) (err error) {
		identify(&key.ID)
		date(&key.ActivatesAt, q.now)
		key.Sealed, err = q.cell("signing_keys", "private_jwk", key.ID.String()).seal(key.PrivateJWK)
		if err != nil {
			return err
		}
		key.PublicText = string(key.PublicJWK)
		return q.create(key)
	})
}

// SigningKeys returns the organization's keys that are neither expired nor revoked, oldest first, opened.
func (db *DB) SigningKeys(ctx context.Context) ([]SigningKey, error) {
	var keys []SigningKey
	err := db.scoped(ctx, reading, "read signing keys", func(q *query) error {
		keys = nil
		err := q.of(&SigningKey{}).Where("revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)", q.now).
			Order("created_at, id").Find(&keys).Error
		if err != nil {
			return err
		}
		for i := range keys {
			k := &keys[i]
			if k.PrivateJWK, err = q.cell("signing_keys", "private_jwk", k.ID.String()).open(k.Sealed); err != nil {
				return err
			}
			k.PublicJWK = []byte(k.PublicText)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// RetireSigningKeys lets every other key of an algorithm sign until retiresAt and be published until expiresAt. Keys that
// were retired before keep their times.
func (db *DB) RetireSigningKeys(ctx context.Context, alg string, except uuid.UUID, retiresAt, expiresAt time.Time) error {
	return db.scoped(ctx, writing, "retire signing keys", func(q *query) error {
		return q.of(&SigningKey{}).Where("alg = ? AND id <> ? AND retires_at IS NULL", alg, except).
			UpdateColumns(map[string]any{"retires_at": retiresAt, "expires_at": expiresAt}).Error
	})
}

// RevokeSigningKey takes a key out of use at once. What it signed can no longer be verified.
func (db *DB) RevokeSigningKey(ctx context.Context, kid string) error {
	return db.scoped(ctx, writing, "revoke signing key", func(q *query) error {
		return changed(q.of(&SigningKey{}).Where("kid = ? AND revoked_at IS NULL", kid).
			UpdateColumn("revoked_at", q.now), ErrNotFound)
	})
}

// cell is one value of one row of one organization. What is sealed in it opens nowhere else.
type cell struct {
	ring *seal.Keyring
	name []string
}

func (q *query) cell(table, column, row string) cell {
	return cell{q.db.ring, []string{q.org.String(), table, column, row}}
}

// purposeColumn is what the keys of sealed columns are derived for.
const purposeColumn = "storage column"

func (c cell) seal(plain []byte) ([]byte, error) { return c.ring.Seal(purposeColumn, plain, c.name...) }

// open says which row it is that does not open: somebody may have put it there from elsewhere.
func (c cell) open(sealed []byte) ([]byte, error) {
	plain, err := c.ring.Open(purposeColumn, sealed, c.name...)
	if err != nil {
		return nil, fmt.Errorf("organization %s, %s.%s of row %s: %w", c.name[0], c.name[1], c.name[2], c.name[3], err)
	}
	return plain, nil
}
