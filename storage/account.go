package storage

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// FactorCounts is how many of each factor a person has, besides a password.
type FactorCounts struct {
	Passkeys, Authenticators int
	// RecoveryCodes are those that were not used yet.
	RecoveryCodes int
}

// Second reports whether the person has set up anything that can be asked for besides a password. Recovery codes are no factor
// of their own: they stand in for one that was lost.
func (f FactorCounts) Second() bool { return f.Passkeys+f.Authenticators > 0 }

// FactorCounts counts a person's factors. Of somebody who is not there it counts none.
func (db *DB) FactorCounts(ctx context.Context, userID uuid.UUID) (FactorCounts, error) {
	var f FactorCounts
	err := db.scoped(ctx, reading, "count factors of user", func(q *query) error {
		return q.row(`SELECT (SELECT count(*) FROM passkeys WHERE user_id = $1 AND org_id = $2),
				(SELECT count(*) FROM authenticators WHERE user_id = $3 AND org_id = $4),
				(SELECT count(*) FROM recovery_codes WHERE user_id = $5 AND org_id = $6 AND used_at IS NULL)`,
			userID, q.org, userID, q.org, userID, q.org).Scan(&f.Passkeys, &f.Authenticators, &f.RecoveryCodes)
	})
	return f, err
}

// SessionsOfUser returns the browsers in which a person is signed in, the one that was used last first; those that were not used
// since a time are as good as ended.
func (db *DB) SessionsOfUser(ctx context.Context, userID uuid.UUID, usedSince time.Time) ([]Session, error) {
	var sessions []Session
	err := db.scoped(ctx, reading, "list sessions of user", func(q *query) error {
		sessions = nil
		rows, err := q.pool.QueryContext(q.ctx, `SELECT id, ip_address, user_agent, auth_time, amr, acr, expires_at, created_at, last_used_at
			FROM sessions WHERE user_id = $1 AND org_id = $2 AND is_valid = TRUE AND expires_at > $3 AND last_used_at >= $4
			ORDER BY last_used_at DESC, id LIMIT $5`, userID, q.org, q.now, instant(usedSince), limited(0))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			s := Session{Owned: Owned{q.org}, UserID: userID, IsValid: true}
			err := rows.Scan(&s.ID, &s.IPAddress, maybe[string]{&s.UserAgent}, maybe[time.Time]{&s.AuthTime}, array{&s.AMR},
				maybe[string]{&s.ACR}, &s.ExpiresAt, maybe[time.Time]{&s.CreatedAt}, maybe[time.Time]{&s.LastUsedAt})
			if err != nil {
				return err
			}
			sessions = append(sessions, s)
		}
		return rows.Err()
	})
	return sessions, err
}
