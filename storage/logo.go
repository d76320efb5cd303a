package storage

import (
	"context"
	"time"
)

// Logo is the picture that an organization shows on its pages. Of each there is one.
type Logo struct {
	Owned
	// Digest names the bytes of the picture, in its address too.
	Digest      string
	ContentType string
	Image       []byte
	CreatedAt   time.Time
}

// SetLogo gives the organization a logo, in place of the one that it had.
func (db *DB) SetLogo(ctx context.Context, logo *Logo) error {
	return db.scoped(ctx, writing, "set logo", func(q *query) error {
		if err := logo.own(q.org); err != nil {
			return err
		}
		date(&logo.CreatedAt, q.now)
		_, err := q.exec(`INSERT INTO logos (org_id, digest, content_type, image, created_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (org_id) DO UPDATE SET digest = excluded.digest, content_type = excluded.content_type,
			image = excluded.image, created_at = excluded.created_at`, q.org, logo.Digest, logo.ContentType, logo.Image, logo.CreatedAt)
		return err
	})
}

// Logo returns the logo of the organization if it is still the one of the digest.
func (db *DB) Logo(ctx context.Context, digest string) (*Logo, error) {
	var logo Logo
	err := db.scoped(ctx, reading, "read logo", func(q *query) error {
		logo = Logo{Owned: Owned{q.org}, Digest: digest}
		return q.row(`SELECT content_type, image, created_at FROM logos WHERE org_id = $1 AND digest = $2`, q.org, digest).
			Scan(&logo.ContentType, &logo.Image, &logo.CreatedAt)
	})
	if err != nil {
		return nil, err
	}
	return &logo, nil
}

// DeleteLogo takes the logo of the organization away.
func (db *DB) DeleteLogo(ctx context.Context) error {
	return db.scoped(ctx, writing, "delete logo", func(q *query) error {
		_, err := q.exec(`DELETE FROM logos WHERE org_id = $1`, q.org)
		return err
	})
}
