package storage

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Grant is what one authorization gave a client: the family that its access and refresh tokens belong to. Revoking it ends
// them all.
type Grant struct {
	ID uuid.UUID
	Owned
	ClientID  string
	UserID    *uuid.UUID
	SessionID *uuid.UUID
	Scope     []string
	Audience  []string
	// Facts is JSON that the provider understands.
	Facts     []byte
	CreatedAt time.Time
	// ExpiresAt is the absolute end of the family.
	ExpiresAt time.Time
	RevokedAt *time.Time
}

// CreateGrant inserts a grant. One in the name of a person who is not there is ErrNotFound.
func (db *DB) CreateGrant(ctx context.Context, g *Grant) error {
	return db.scoped(ctx, writing, "create grant", func(q *query) error {
		if err := g.own(q.org); err != nil {
			return err
		}
		identify(&g.ID)
		date(&g.CreatedAt, q.now)
		_, err := q.exec(`INSERT INTO oauth_grants (id, org_id, client_id, user_id, session_id, scope, audience, facts, expires_at,
				created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
			g.ID, q.org, g.ClientID, g.UserID, g.SessionID, joined(g.Scope), listed(g.Audience), documented(g.Facts), g.ExpiresAt,
			g.CreatedAt)
		return err
	})
}

// RevokeGrant ends a family, and reports whether it was this call that ended it. That there is none, or that it has ended, is
// no error: what was wanted is so.
func (db *DB) RevokeGrant(ctx context.Context, id uuid.UUID) (ended bool, err error) {
	err = db.scoped(ctx, writing, "revoke grant", func(q *query) error {
		n, err := q.exec(`UPDATE oauth_grants SET revoked_at = $1 WHERE id = $2 AND org_id = $3 AND revoked_at IS NULL`, q.now, id, q.org)
		ended = n > 0
		return err
	})
	return ended, err
}

// RevokeGrantsOfUser ends every family in a person's name, and the codes by which there would be more.
func (db *DB) RevokeGrantsOfUser(ctx context.Context, userID uuid.UUID) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "revoke grants of user", func(q *query) error {
			if err := q.endCodes(userID, ""); err != nil {
				return err
			}
			_, err := q.exec(`UPDATE oauth_grants SET revoked_at = $1 WHERE user_id = $2 AND org_id = $3 AND revoked_at IS NULL`,
				q.now, userID, q.org)
			return err
		})
	})
}

// RevokeGrantsOfUserAndClient ends every family that a client has in a person's name, and the codes by which it would have more.
func (db *DB) RevokeGrantsOfUserAndClient(ctx context.Context, userID uuid.UUID, clientID string) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "revoke grants of user and client", func(q *query) error {
			if err := q.endCodes(userID, ` AND client_id = $4`, clientID); err != nil {
				return err
			}
			_, err := q.exec(`UPDATE oauth_grants SET revoked_at = $1
				WHERE user_id = $2 AND org_id = $3 AND client_id = $4 AND revoked_at IS NULL`, q.now, userID, q.org, clientID)
			return err
		})
	})
}
