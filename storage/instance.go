package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

const canary = "keizer"

// CheckMasterKey makes sure that the database was sealed under the master key that is in use, before anything is written
// with another one. The first key that it is asked with is the database's own from then on.
func (db *DB) CheckMasterKey(ctx context.Context) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		return db.everywhere(ctx, writing, "check master key", func(q *query) error {
			// org is nobody's here: the row belongs to the installation.
			cell := q.cell("instance", "canary", "1")
			var sealed []byte
			err := q.row(`SELECT canary FROM instance WHERE id = 1`).Scan(&sealed)
			if errors.Is(err, sql.ErrNoRows) {
				if sealed, err = cell.seal([]byte(canary)); err != nil {
					return err
				}
				if _, err = q.exec(`INSERT INTO instance (id, canary, created_at) VALUES (1, $1, $2) ON CONFLICT DO NOTHING`,
					sealed, q.now); err != nil {
					return err
				}
				err = q.row(`SELECT canary FROM instance WHERE id = 1`).Scan(&sealed) // perhaps another replica's
			}
			if err != nil {
				return err
			}
			if plain, err := cell.open(sealed); err != nil || string(plain) != canary {
				return fmt.Errorf("%w (now in use: %s)", ErrWrongMasterKey, db.ring.KeyID())
			}
			return nil
		})
	})
}
