package storage

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Authenticator is an authenticator app that shows codes of the time (RFC 6238).
type Authenticator struct {
	ID uuid.UUID
	Owned
	UserID uuid.UUID
	Name   string
	// Secret is what the codes are made from; the row holds it sealed.
	Secret []byte
	// LastStep is the time step of the last code that was taken.
	LastStep   int64
	CreatedAt  time.Time
	LastUsedAt *time.Time
}

func (a *Authenticator) cell(q *query) cell {
	return q.cell("authenticators", "secret", a.ID.String()+" "+a.UserID.String())
}

// CreateAuthenticator gives a person of the organization an authenticator app.
func (db *DB) CreateAuthenticator(ctx context.Context, a *Authenticator) error {
	return db.scoped(ctx, writing, "create authenticator", func(q *query) error {
		if err := a.own(q.org); err != nil {
			return err
		}
		identify(&a.ID)
		date(&a.CreatedAt, q.now)
		sealed, err := a.cell(q).seal(a.Secret)
		if err != nil {
			return err
		}
		return one(ErrNotFound)(q.exec(`INSERT INTO authenticators (id, org_id, user_id, name, secret, last_step, created_at)
			SELECT $1, u.org_id, u.id, $2, $3, $4, $5 FROM users u WHERE u.id = $6 AND u.org_id = $7`,
			a.ID, a.Name, sealed, a.LastStep, a.CreatedAt, a.UserID, q.org))
	})
}

// AuthenticatorsOf returns the authenticator apps of a person, the oldest first.
func (db *DB) AuthenticatorsOf(ctx context.Context, userID uuid.UUID) ([]Authenticator, error) {
	var apps []Authenticator
	err := db.scoped(ctx, reading, "list authenticators", func(q *query) error {
		apps = nil
		rows, err := q.pool.QueryContext(q.ctx, `SELECT id, user_id, name, secret, last_step, created_at, last_used_at
			FROM authenticators WHERE user_id = $1 AND org_id = $2 ORDER BY created_at, id`, userID, q.org)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var sealed []byte
			app := Authenticator{Owned: Owned{q.org}}
			if err := rows.Scan(&app.ID, &app.UserID, &app.Name, &sealed, &app.LastStep, &app.CreatedAt, &app.LastUsedAt); err != nil {
				return err
			}
			if app.Secret, err = app.cell(q).open(sealed); err != nil {
				return err
			}
			apps = append(apps, app)
		}
		return rows.Err()
	})
	return apps, err
}

// UseAuthenticator takes the code of a time step. No step is taken twice, nor one before: of several at once, one succeeds; the
// others get ErrSpent (RFC 6238 §5.2).
func (db *DB) UseAuthenticator(ctx context.Context, id uuid.UUID, step int64) error {
	return db.scoped(ctx, writing, "use authenticator", func(q *query) error {
		return q.spend(`UPDATE authenticators SET last_step = $1, last_used_at = $2 WHERE id = $3 AND org_id = $4 AND last_step < $5`,
			step, q.now, id, q.org, step)
	})
}

// DeleteAuthenticator takes an authenticator app from a person.
func (db *DB) DeleteAuthenticator(ctx context.Context, userID, id uuid.UUID) error {
	return db.scoped(ctx, writing, "delete authenticator", func(q *query) error {
		return one(ErrNotFound)(q.exec(`DELETE FROM authenticators WHERE id = $1 AND user_id = $2 AND org_id = $3`, id, userID, q.org))
	})
}
