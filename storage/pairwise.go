package storage

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/pairwise"
)

// PairwiseSalt returns what pairwise identifiers of the organization are made with. Whoever needs it first makes it; from then on it is the
// same for ever, whichever keys tokens are signed with, and whichever master key it is sealed under.
func (db *DB) PairwiseSalt(ctx context.Context) (pairwise.Salt, error) {
	var salt pairwise.Salt
	read := func(q *query) error {
		var sealed []byte
		err := q.row(`SELECT salt FROM pairwise_salts WHERE org_id = $1`, q.org).Scan(&sealed)
		if err != nil {
			return err
		}
		salt, err = q.saltCell().open(sealed)
		return err
	}
	err := db.scoped(ctx, reading, "read pairwise salt", read)
	if !errors.Is(err, ErrNotFound) {
		return salt, err
	}
	err = db.scoped(ctx, writing, "make pairwise salt", func(q *query) error {
		sealed, err := q.saltCell().seal(pairwise.NewSalt())
		if err != nil {
			return err
		}
		_, err = q.exec(`INSERT INTO pairwise_salts (org_id, salt, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, q.org, sealed, q.now)
		if err != nil {
			return err
		}
		return read(q) // perhaps another replica's
	})
	return salt, err
}

func (q *query) saltCell() cell { return q.cell("pairwise_salts", "salt", q.org.String()) }

// UserIDs returns the ids of people in their order, those after the given one.
func (db *DB) UserIDs(ctx context.Context, after uuid.UUID, limit int) ([]uuid.UUID, error) {
	var ids []uuid.UUID
	err := db.scoped(ctx, reading, "list ids of users", func(q *query) (err error) {
		ids, err = q.ids(`SELECT id FROM users WHERE org_id = $1 AND id > $2 ORDER BY id LIMIT $3`, q.org, after, limit)
		return err
	})
	return ids, err
}

// Pairwise reports whether the client is to know people by identifiers that mean nothing to others (OpenID Connect Core 1.0 §8).
func (c *Client) Pairwise() bool { return c.Metadata["subject_type"] == "pairwise" }

// SectorURI is the address at which the redirect URIs of the client's sector are listed; or empty.
func (c *Client) SectorURI() string {
	uri, _ := c.Metadata["sector_identifier_uri"].(string)
	return uri
}

// Sector is the sector of a client that is to know people by pairwise identifiers; for any other it is empty. One whose row says of no
// sector is a sector by itself.
func (c *Client) Sector() string {
	if !c.Pairwise() {
		return ""
	}
	sector, err := pairwise.Sector(c.SectorURI(), c.RedirectURIs)
	if err != nil {
		return "client " + c.ClientID // no host has a space
	}
	return sector
}
