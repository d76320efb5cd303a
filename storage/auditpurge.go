package storage

import (
	"context"

	"github.com/google/uuid"
)

// PurgeAudit deletes the audit of an organization that was deleted and erased, and with it the last that there was of it. It returns
// how many events that were. It goes in batches, and whoever is interrupted begins again. An organization that is not there, or not
// erased yet, is ErrNotFound.
func (db *DB) PurgeAudit(ctx context.Context, id uuid.UUID, batch int) (purged int64, err error) {
	if batch <= 0 {
		batch = defaultBatch
	}
	const gone = `id = $1 AND deleted_at IS NOT NULL AND erased_at IS NOT NULL`
	for {
		var n int64
		err := db.InTx(ctx, func(ctx context.Context) error {
			return db.everywhere(ctx, writing, "purge audit", func(q *query) (err error) {
				var one int
				if err := q.row(`SELECT 1 FROM organizations WHERE `+gone, id).Scan(&one); err != nil {
					return err
				}
				n, err = q.exec(`DELETE FROM audit_events WHERE id IN (SELECT id FROM audit_events WHERE org_id = $1 ORDER BY sequence LIMIT $2)`, id, batch)
				if err != nil || n == int64(batch) {
					return err
				}
				for _, statement := range []string{
					`DELETE FROM audit_checkpoints WHERE org_id = $1`, `DELETE FROM audit_chains WHERE org_id = $1`, `DELETE FROM organizations WHERE ` + gone,
				} {
					if _, err := q.exec(statement, id); err != nil {
						return err
					}
				}
				return nil
			})
		})
		if err != nil {
			return purged, err
		}
		if purged += n; n < int64(batch) {
			return purged, nil
		}
	}
}
