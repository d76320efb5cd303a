package storage

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// RegistrationToken is what a client can be registered with (RFC 7591 §3: the initial access token). Digest is all that is kept of what its
// holder has.
type RegistrationToken struct {
	ID uuid.UUID `gorm:"column:id;primaryKey"`
	Owned
	Digest string `gorm:"column:digest"`
	Name   string `gorm:"column:name"`
	// MaxUses is how many clients can be registered with it; 0 is any number. Uses is how many were.
	MaxUses    int        `gorm:"column:max_uses"`
	Uses       int        `gorm:"column:uses"`
	ExpiresAt  time.Time  `gorm:"column:expires_at"`
	CreatedAt  time.Time  `gorm:"column:created_at"`
	LastUsedAt *time.Time `gorm:"column:last_used_at"`
}

func (RegistrationToken) TableName() string { return "registration_tokens" }

// CreateRegistrationToken inserts a registration token.
func (db *DB) CreateRegistrationToken(ctx context.Context, t *RegistrationToken) error {
	return db.scoped(ctx, writing, "create registration token", func(q *query) error {
		identify(&t.ID)
		date(&t.CreatedAt, q.now)
		t.ExpiresAt = instant(t.ExpiresAt)
		return q.create(t)
	})
}

// RegistrationToken returns a registration token by its id, whether or not it is of use still.
func (db *DB) RegistrationToken(ctx context.Context, id uuid.UUID) (*RegistrationToken, error) {
	var t RegistrationToken
	err := db.scoped(ctx, reading, "read registration token", func(q *query) error {
		return q.of(&t).Where("id = ?", id).Take(&t).Error
	})
	if err != nil {
		return nil, err
	}
	return &t, nil
}

// RegistrationTokenByDigest returns a registration token that a client can be registered with at this moment.
func (db *DB) RegistrationTokenByDigest(ctx context.Context, digest string) (*RegistrationToken, error) {
	var t RegistrationToken
	err := db.scoped(ctx, reading, "read registration token by digest", func(q *query) error {
		return q.of(&t).Where("digest = ? AND expires_at > ? AND (max_uses = 0 OR uses < max_uses)", digest, q.now).Take(&t).Error
	})
	if err != nil {
		return nil, err
	}
	return &t, nil
}

// UseRegistrationToken uses a registration token once. It is part of the transaction in which the client is made. Of many at once as many
// succeed as there are uses left; to the others it is ErrSpent.
func (db *DB) UseRegistrationToken(ctx context.Context, id uuid.UUID) error {
	return db.scoped(ctx, writing, "use registration token", func(q *query) error {
		return q.spend(`UPDATE registration_tokens SET uses = uses + 1, last_used_at = $1
			WHERE id = $2 AND org_id = $3 AND expires_at > $4 AND (max_uses = 0 OR uses < max_uses)`, q.now, id, q.org, q.now)
	})
}

// DeleteRegistrationToken makes a registration token useless, and takes it away. The clients that were registered with it stay.
func (db *DB) DeleteRegistrationToken(ctx context.Context, id uuid.UUID) error {
	return db.scoped(ctx, writing, "delete registration token", func(q *query) error {
		return one(ErrNotFound)(q.exec(`DELETE FROM registration_tokens WHERE id = $1 AND org_id = $2`, id, q.org))
	})
}

var registrationTokenOrders = orders[RegistrationToken]{
	id: "registration_tokens.id", of: func(t *RegistrationToken) uuid.UUID { return t.ID },
	all: []order[RegistrationToken]{
		{name: "created_at", column: "registration_tokens.created_at", time: func(t *RegistrationToken) time.Time { return t.CreatedAt }},
	},
}

// FindRegistrationTokens returns a page of the registration tokens that have not expired, and where the next begins.
func (db *DB) FindRegistrationTokens(ctx context.Context, l Listing) (tokens []RegistrationToken, next *Position, err error) {
	s, err := registrationTokenOrders.sorted(l)
	if err != nil {
		return nil, nil, err
	}
	err = db.scoped(ctx, reading, "find registration tokens", func(q *query) (err error) {
		tokens, next, err = find(q.of(&RegistrationToken{}).Where("expires_at > ?", q.now), s)
		return err
	})
	return tokens, next, err
}

// CountRegisteredClients returns how many clients of the organization were registered by whoever wanted one.
func (db *DB) CountRegisteredClients(ctx context.Context) (n int, err error) {
	err = db.scoped(ctx, reading, "count registered clients", func(q *query) error {
		return q.row(`SELECT count(*) FROM oauth_clients WHERE org_id = $1 AND registered_at IS NOT NULL`, q.org).Scan(&n)
	})
	return n, err
}

// UseEvery is how often it is written down at the most that a registered client is of use.
const UseEvery = 24 * time.Hour

// UseClient writes down that a registered client is of use, unless that was done within UseEvery. Of any other client there is nothing to
// write. It is no change of the client, whose Version stays.
func (db *DB) UseClient(ctx context.Context, clientID string) error {
	return db.scoped(ctx, writing, "use client", func(q *query) error {
		_, err := q.exec(`UPDATE oauth_clients SET last_used_at = $1 WHERE client_id = $2 AND org_id = $3 AND registered_at IS NOT NULL
			AND last_used_at <= $4`, q.now, clientID, q.org, q.now.Add(-UseEvery))
		return err
	})
}

// Registered reports whether the client was registered by whoever wanted one, and not by an operator.
func (c *Client) Registered() bool { return c.RegisteredAt != nil }

// UsedWithin reports whether it is known already that the client is of use.
func (c *Client) UsedWithin(now time.Time) bool {
	return !c.Registered() || c.LastUsedAt != nil && now.Sub(*c.LastUsedAt) < UseEvery
}

// UnusedClients returns registered clients that were of no use since a time.
func (db *DB) UnusedClients(ctx context.Context, since time.Time, limit int) ([]Client, error) {
	var clients []Client
	err := db.scoped(ctx, reading, "list unused clients", func(q *query) error {
		return q.of(&Client{}).Where("registered_at IS NOT NULL AND last_used_at < ?", instant(since)).
			Order("last_used_at, client_id").Limit(limited(limit)).Find(&clients).Error
	})
	return clients, err
}

// OrganizationsWithUnused returns organizations that have registered clients which were of no use since a time, in the order of
// their slugs, those after the given one. In those that are suspended, or deleted, no client can be.
func (db *DB) OrganizationsWithUnused(ctx context.Context, since time.Time, after string, limit int) ([]Organization, error) {
	var orgs []Organization
	err := db.everywhere(ctx, reading, "list organizations with unused clients", func(q *query) error {
		return q.of(&Organization{}).Where("slug > ? AND deleted_at IS NULL AND suspended_at IS NULL", after).
			Where(`id IN (SELECT c.org_id FROM oauth_clients c WHERE c.registered_at IS NOT NULL AND c.last_used_at < ?)`, instant(since)).
			Order("slug").Limit(limited(limit)).Find(&orgs).Error
	})
	return orgs, err
}
