package storage

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Device is a browser that a person has signed in with. Token is the digest of what its cookie holds, one for all the people
// who use it. It proves nothing of anybody.
type Device struct {
	ID uuid.UUID
	Owned
	UserID    uuid.UUID
	Token     string
	UserAgent string
	// TrustedUntil is until when the person need not give a second factor there; nil is never.
	TrustedUntil *time.Time
	ExpiresAt    time.Time
	CreatedAt    time.Time
	LastSeenAt   time.Time
}

// Trusted reports whether a second factor may be left out.
func (d *Device) Trusted(now time.Time) bool {
	return d.TrustedUntil != nil && d.TrustedUntil.After(now)
}

// CreateDevice inserts a browser that a person was not known with. One that is there already is ErrConflict.
func (db *DB) CreateDevice(ctx context.Context, d *Device) error {
	return db.scoped(ctx, writing, "create device", func(q *query) error {
		if err := d.own(q.org); err != nil {
			return err
		}
		identify(&d.ID)
		date(&d.CreatedAt, q.now)
		date(&d.LastSeenAt, q.now)
		var there int
		err := q.row(`SELECT count(*) FROM users WHERE id = $1 AND org_id = $2`, d.UserID, q.org).Scan(&there)
		if err == nil && there == 0 {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		// A conflict is told by the count and not by an error, which in PostgreSQL would end the transaction around it.
		return one(ErrConflict)(q.exec(`INSERT INTO devices (id, org_id, user_id, token, user_agent, expires_at, created_at, last_seen_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`,
			d.ID, q.org, d.UserID, d.Token, d.UserAgent, d.ExpiresAt, d.CreatedAt, d.LastSeenAt))
	})
}

// Device returns a browser by its cookie, if the person was there in its time.
func (db *DB) Device(ctx context.Context, token string, userID uuid.UUID) (*Device, error) {
	var d Device
	err := db.scoped(ctx, reading, "read device", func(q *query) error {
		d = Device{Owned: Owned{q.org}, UserID: userID, Token: token}
		return q.row(`SELECT id, user_agent, trusted_until, expires_at, created_at, last_seen_at FROM devices
			WHERE token = $1 AND user_id = $2 AND org_id = $3 AND expires_at > $4`, token, userID, q.org, q.now).
			Scan(&d.ID, &d.UserAgent, &d.TrustedUntil, &d.ExpiresAt, &d.CreatedAt, &d.LastSeenAt)
	})
	if err != nil {
		return nil, err
	}
	return &d, nil
}

// DevicesOf returns the browsers that a person is known with, the last used first.
func (db *DB) DevicesOf(ctx context.Context, userID uuid.UUID) ([]Device, error) {
	var devices []Device
	err := db.scoped(ctx, reading, "list devices of user", func(q *query) error {
		devices = nil
		rows, err := q.pool.QueryContext(q.ctx, `SELECT id, token, user_agent, trusted_until, expires_at, created_at, last_seen_at FROM devices
			WHERE user_id = $1 AND org_id = $2 AND expires_at > $3 ORDER BY last_seen_at DESC, id LIMIT $4`, userID, q.org, q.now, limited(0))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			d := Device{Owned: Owned{q.org}, UserID: userID}
			if err := rows.Scan(&d.ID, &d.Token, &d.UserAgent, &d.TrustedUntil, &d.ExpiresAt, &d.CreatedAt, &d.LastSeenAt); err != nil {
				return err
			}
			devices = append(devices, d)
		}
		return rows.Err()
	})
	return devices, err
}

// SeeDevice notes that a person has signed in again with a browser.
func (db *DB) SeeDevice(ctx context.Context, id uuid.UUID, userAgent string, expiresAt time.Time) error {
	return db.scoped(ctx, writing, "see device", func(q *query) error {
		return one(ErrNotFound)(q.exec(`UPDATE devices SET user_agent = $1, expires_at = $2, last_seen_at = $3 WHERE id = $4 AND org_id = $5`,
			userAgent, expiresAt, q.now, id, q.org))
	})
}

// TrustDevice lets a person leave out the second factor with a browser until a time, or from now on no longer.
func (db *DB) TrustDevice(ctx context.Context, id uuid.UUID, until *time.Time) error {
	return db.scoped(ctx, writing, "trust device", func(q *query) error {
		return one(ErrNotFound)(q.exec(`UPDATE devices SET trusted_until = $1 WHERE id = $2 AND org_id = $3`, until, id, q.org))
	})
}

// DistrustDevices makes a person give a second factor with every browser.
func (db *DB) DistrustDevices(ctx context.Context, userID uuid.UUID) error {
	return db.scoped(ctx, writing, "distrust devices of user", func(q *query) error {
		_, err := q.exec(`UPDATE devices SET trusted_until = NULL WHERE user_id = $1 AND org_id = $2 AND trusted_until IS NOT NULL`, userID, q.org)
		return err
	})
}

// MoveDevices gives everybody who is known with a browser its new cookie.
func (db *DB) MoveDevices(ctx context.Context, from, to string) error {
	return db.scoped(ctx, writing, "move devices", func(q *query) error {
		_, err := q.exec(`UPDATE devices SET token = $1 WHERE token = $2 AND org_id = $3`, to, from, q.org)
		return err
	})
}

// ForgetDevice makes a browser a stranger to a person.
func (db *DB) ForgetDevice(ctx context.Context, userID, id uuid.UUID) error {
	return db.scoped(ctx, writing, "forget device", func(q *query) error {
		return one(ErrNotFound)(q.exec(`DELETE FROM devices WHERE id = $1 AND user_id = $2 AND org_id = $3`, id, userID, q.org))
	})
}

// ForgetDevices makes every browser a stranger to a person.
func (db *DB) ForgetDevices(ctx context.Context, userID uuid.UUID) error {
	return db.scoped(ctx, writing, "forget devices of user", func(q *query) error {
		_, err := q.exec(`DELETE FROM devices WHERE user_id = $1 AND org_id = $2`, userID, q.org)
		return err
	})
}
