package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// RefreshToken is a refresh token that was given out; using it spends it. A spent one is kept for the life of its family,
// so that its second use is told from a guess (RFC 9700 §4.14.2). Digest is that of the token.
type RefreshToken struct {
	Digest string
	Owned
	GrantID   uuid.UUID
	ClientID  string
	ExpiresAt time.Time
	SpentAt   *time.Time
	// Answer is what the token was spent for, to be given again to the same client for a short while. It is plain here and
	// sealed in the row, which forgets it soon.
	Answer    []byte
	CreatedAt time.Time
}

// CreateRefreshToken inserts a refresh token. One of a grant that is not there is ErrNotFound.
func (db *DB) CreateRefreshToken(ctx context.Context, t *RefreshToken) error {
	return db.scoped(ctx, writing, "create refresh token", func(q *query) error {
		if err := t.own(q.org); err != nil {
			return err
		}
		date(&t.CreatedAt, q.now)
		_, err := q.exec(`INSERT INTO oauth_refresh_tokens (digest, org_id, grant_id, client_id, expires_at, created_at)
			VALUES ($1, $2, $3, $4, $5, $6)`, t.Digest, q.org, t.GrantID, t.ClientID, t.ExpiresAt, t.CreatedAt)
		return err
	})
}

// RefreshToken returns a token with its grant. One that was spent is returned, with SpentAt. One that has expired unspent,
// or whose grant has ended, or whose person is switched off, is ErrNotFound.
func (db *DB) RefreshToken(ctx context.Context, digest string) (*RefreshToken, *Grant, error) {
	var t RefreshToken
	var g nullableGrant
	err := db.scoped(ctx, reading, "read refresh token", func(q *query) error {
		t, g = RefreshToken{Digest: digest, Owned: Owned{q.org}}, nullableGrant{}
		dest := append([]any{&t.GrantID, &t.ClientID, &t.ExpiresAt, &t.SpentAt, &t.Answer, &t.CreatedAt}, g.scan()...)
		err := q.row(`SELECT t.grant_id, t.client_id, t.expires_at, t.spent_at, t.answer, t.created_at, `+grantColumns+`
			FROM oauth_refresh_tokens t
			JOIN oauth_grants g ON g.id = t.grant_id AND g.org_id = t.org_id
			LEFT JOIN users u ON u.id = g.user_id AND u.org_id = t.org_id
			WHERE t.digest = $1 AND t.org_id = $2 AND (t.expires_at > $3 OR t.spent_at IS NOT NULL)
			AND g.revoked_at IS NULL AND g.expires_at > $4 AND (g.user_id IS NULL OR u.is_active = TRUE)`,
			digest, q.org, q.now, q.now).Scan(dest...)
		if err != nil || t.Answer == nil {
			return err
		}
		t.Answer, err = q.answer(digest).open(t.Answer)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return &t, g.grant(t.OrgID), nil
}

// SpendRefreshToken uses a token up and keeps the answer it was spent for, which may be nil. Of several at once, one
// succeeds; the others get ErrSpent.
func (db *DB) SpendRefreshToken(ctx context.Context, digest string, answer []byte) error {
	return db.scoped(ctx, writing, "spend refresh token", func(q *query) error {
		var sealed any
		if answer != nil {
			box, err := q.answer(digest).seal(answer)
			if err != nil {
				return fmt.Errorf("seal answer: %w", err)
			}
			sealed = box
		}
		return q.spend(`UPDATE oauth_refresh_tokens SET spent_at = $1, answer = $2
			WHERE digest = $3 AND org_id = $4 AND spent_at IS NULL AND expires_at > $5`, q.now, sealed, digest, q.org, q.now)
	})
}

func (q *query) answer(digest string) cell { return q.cell("oauth_refresh_tokens", "answer", digest) }
