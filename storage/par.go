package storage

import (
	"context"
	"net/url"
	"time"

	"github.com/keizer-auth/keizer/internal/secret"
)

// PAR is a pushed authorization request (RFC 9126). Digest is that of the reference in its request_uri.
type PAR struct {
	Digest string
	Owned
	ClientID  string
	Params    url.Values
	ExpiresAt time.Time
	SpentAt   *time.Time
	CreatedAt time.Time
}

// CreatePAR inserts a pushed request.
func (db *DB) CreatePAR(ctx context.Context, p *PAR) error {
	return db.scoped(ctx, writing, "create pushed request", func(q *query) error {
		if err := p.own(q.org); err != nil {
			return err
		}
		date(&p.CreatedAt, q.now)
		_, err := q.exec(`INSERT INTO oauth_par (digest, org_id, client_id, params, expires_at, created_at)
			VALUES ($1, $2, $3, $4, $5, $6)`, p.Digest, q.org, p.ClientID, p.Params.Encode(), p.ExpiresAt, p.CreatedAt)
		return err
	})
}

// PAR returns a pushed request that is neither expired nor spent.
func (db *DB) PAR(ctx context.Context, digest string) (*PAR, error) {
	var p PAR
	err := db.scoped(ctx, reading, "read pushed request", func(q *query) error {
		p = PAR{Digest: digest, Owned: Owned{q.org}}
		return q.row(`SELECT client_id, params, expires_at, created_at FROM oauth_par
			WHERE digest = $1 AND org_id = $2 AND spent_at IS NULL AND expires_at > $3`, digest, q.org, q.now).
			Scan(&p.ClientID, form{&p.Params}, &p.ExpiresAt, &p.CreatedAt)
	})
	if err != nil {
		return nil, err
	}
	return &p, nil
}

// SpendPAR uses a pushed request up. Of several at once, one succeeds; the others get ErrSpent. Its expiry is for the browser
// to come in time, which PAR has seen to: the person may then take longer over the pages.
func (db *DB) SpendPAR(ctx context.Context, digest string) error {
	return db.scoped(ctx, writing, "spend pushed request", func(q *query) error {
		return q.spend(`UPDATE oauth_par SET spent_at = $1
			WHERE digest = $2 AND org_id = $3 AND spent_at IS NULL`, q.now, digest, q.org)
	})
}

// UseJTI notes the jti of an assertion of a client until the assertion has expired. A second time it is ErrConflict
// (RFC 7523 §3).
func (db *DB) UseJTI(ctx context.Context, clientID, jti string, expiresAt time.Time) error {
	return db.scoped(ctx, writing, "use jti", func(q *query) error {
		// A conflict is told by the count and not by an error, which in PostgreSQL would end the transaction around it.
		return one(ErrConflict)(q.exec(`INSERT INTO oauth_jtis (org_id, client_id, jti_digest, expires_at)
			VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`, q.org, clientID, secret.Digest(jti), expiresAt))
	})
}
