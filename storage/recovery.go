package storage

import (
	"context"

	"github.com/google/uuid"
)

// ReplaceRecoveryCodes gives a person of the organization new recovery codes, by their digests. Those before are worth nothing
// from then on.
func (db *DB) ReplaceRecoveryCodes(ctx context.Context, userID uuid.UUID, digests []string) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "replace recovery codes", func(q *query) error {
			// Those who do it at the same time wait for one another here, so that one set of codes remains and not two.
			if err := one(ErrNotFound)(q.exec(`UPDATE users SET updated_at = updated_at WHERE id = $1 AND org_id = $2`, userID, q.org)); err != nil {
				return err
			}
			if _, err := q.exec(`DELETE FROM recovery_codes WHERE user_id = $1 AND org_id = $2`, userID, q.org); err != nil {
				return err
			}
			for _, digest := range digests {
				_, err := q.exec(`INSERT INTO recovery_codes (digest, org_id, user_id, created_at) VALUES ($1, $2, $3, $4)`, digest, q.org, userID, q.now)
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// SpendRecoveryCode uses a code up and returns how many the person has left. Of several at once, one succeeds; the others, and
// whoever has no such code, get ErrSpent.
func (db *DB) SpendRecoveryCode(ctx context.Context, userID uuid.UUID, digest string) (left int, err error) {
	err = db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "spend recovery code", func(q *query) error {
			err := q.spend(`UPDATE recovery_codes SET used_at = $1 WHERE digest = $2 AND user_id = $3 AND org_id = $4 AND used_at IS NULL`,
				q.now, digest, userID, q.org)
			if err != nil {
				return err
			}
			return q.row(`SELECT count(*) FROM recovery_codes WHERE user_id = $1 AND org_id = $2 AND used_at IS NULL`, userID, q.org).Scan(&left)
		})
	})
	return left, err
}

// DeleteFactors takes from a person whatever they prove who they are with besides a password, the browsers that need not ask
// for it, and the sign-ins that have come half-way with it.
func (db *DB) DeleteFactors(ctx context.Context, userID uuid.UUID) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		err := db.scoped(ctx, writing, "delete factors", func(q *query) error {
			if err := one(ErrNotFound)(q.exec(`UPDATE users SET updated_at = $1 WHERE id = $2 AND org_id = $3`, q.now, userID, q.org)); err != nil {
				return err
			}
			for _, statement := range []string{
				`DELETE FROM passkeys WHERE user_id = $1 AND org_id = $2`,
				`DELETE FROM authenticators WHERE user_id = $1 AND org_id = $2`,
				`DELETE FROM recovery_codes WHERE user_id = $1 AND org_id = $2`,
				`UPDATE devices SET trusted_until = NULL WHERE user_id = $1 AND org_id = $2`,
			} {
				if _, err := q.exec(statement, userID, q.org); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		return db.EndSignInsOfUser(ctx, userID)
	})
}

// RecoveryCodeUnused reports whether a person has a code of a digest, and has not used it.
func (db *DB) RecoveryCodeUnused(ctx context.Context, userID uuid.UUID, digest string) (unused bool, err error) {
	err = db.scoped(ctx, reading, "read recovery code", func(q *query) error {
		return q.row(`SELECT EXISTS (SELECT 1 FROM recovery_codes WHERE digest = $1 AND user_id = $2 AND org_id = $3 AND used_at IS NULL)`,
			digest, userID, q.org).Scan(&unused)
	})
	return unused, err
}
