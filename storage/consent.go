package storage

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Consent is what a person agreed, once and for all, to let a client have.
type Consent struct {
	ID uuid.UUID
	Owned
	UserID    uuid.UUID
	ClientID  string
	Scopes    []string
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Consent returns what a person has agreed to for a client; ErrNotFound if they were never asked.
func (db *DB) Consent(ctx context.Context, userID uuid.UUID, clientID string) (*Consent, error) {
	var c *Consent
	err := db.scoped(ctx, reading, "read consent", func(q *query) (err error) {
		c, err = q.consent(userID, clientID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (q *query) consent(userID uuid.UUID, clientID string) (*Consent, error) {
	c := Consent{Owned: Owned{q.org}, UserID: userID, ClientID: clientID}
	err := q.row(`SELECT id, scopes, created_at, updated_at FROM consents WHERE org_id = $1 AND user_id = $2 AND client_id = $3`,
		q.org, userID, clientID).Scan(&c.ID, words{&c.Scopes}, &c.CreatedAt, &c.UpdatedAt)
	if err != nil {
		return nil, err
	}
	return &c, nil
}

// SaveConsent adds scopes to what a person has agreed to for a client.
func (db *DB) SaveConsent(ctx context.Context, userID uuid.UUID, clientID string, scopes []string) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "save consent", func(q *query) error {
			// The row is made, or locked by an update that changes nothing, before it is read: two pages that add to it at
			// once must not lose what the other one added.
			n, err := q.exec(`INSERT INTO consents (id, org_id, user_id, client_id, scopes, created_at, updated_at)
				SELECT $1, u.org_id, u.id, $2, $3, $4, $5 FROM users u WHERE u.id = $6 AND u.org_id = $7
				ON CONFLICT (org_id, user_id, client_id) DO UPDATE SET updated_at = excluded.updated_at`,
				uuid.New(), clientID, joined(scopes), q.now, q.now, userID, q.org)
			if err := one(ErrNotFound)(n, err); err != nil {
				return err
			}
			c, err := q.consent(userID, clientID)
			if err != nil {
				return err
			}
			all := c.Scopes
			for _, s := range scopes {
				if !slices.Contains(all, s) {
					all = append(all, s)
				}
			}
			if len(all) == len(c.Scopes) {
				return nil
			}
			_, err = q.exec(`UPDATE consents SET scopes = $1 WHERE id = $2 AND org_id = $3`, joined(all), c.ID, q.org)
			return err
		})
	})
}

// DeleteConsent forgets what a person agreed to for a client. What was granted on it is revoked by RevokeGrantsOfUserAndClient.
func (db *DB) DeleteConsent(ctx context.Context, userID uuid.UUID, clientID string) error {
	return db.scoped(ctx, writing, "delete consent", func(q *query) error {
		_, err := q.exec(`DELETE FROM consents WHERE org_id = $1 AND user_id = $2 AND client_id = $3`, q.org, userID, clientID)
		return err
	})
}
