package storage

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Code is an authorization code (RFC 6749 §4.1.2) with everything that is needed to redeem it: the PKCE challenge
// (RFC 7636) and what the ID token will say are in the same row. Digest is that of the code.
type Code struct {
	Digest string
	Owned
	GrantID             uuid.UUID
	ClientID            string
	UserID              uuid.UUID
	SessionID           *uuid.UUID
	RedirectURI         string
	CodeChallenge       string
	CodeChallengeMethod string
	RequestedScope      []string
	Scope               []string
	Audience            []string
	// Facts is JSON that the provider understands.
	Facts       []byte
	RequestedAt time.Time
	ExpiresAt   time.Time
	UsedAt      *time.Time
	CreatedAt   time.Time
}

// CreateCode inserts a code.
func (db *DB) CreateCode(ctx context.Context, c *Code) error {
	return db.scoped(ctx, writing, "create code", func(q *query) error {
		if err := c.own(q.org); err != nil {
			return err
		}
		date(&c.CreatedAt, q.now)
		date(&c.RequestedAt, q.now)
		_, err := q.exec(`INSERT INTO oauth_codes (digest, org_id, grant_id, client_id, user_id, session_id, redirect_uri, code_challenge,
				code_challenge_method, requested_scope, scope, audience, facts, requested_at, expires_at, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
			c.Digest, q.org, c.GrantID, c.ClientID, c.UserID, c.SessionID, c.RedirectURI, c.CodeChallenge, c.CodeChallengeMethod,
			joined(c.RequestedScope), joined(c.Scope), listed(c.Audience), documented(c.Facts), c.RequestedAt, c.ExpiresAt, c.CreatedAt)
		return err
	})
}

// Code returns a code. One that has expired is ErrNotFound, unless it was used: a used one is returned, with UsedAt, for as
// long as it is kept, so that its second use is told from a guess.
func (db *DB) Code(ctx context.Context, digest string) (*Code, error) {
	var c Code
	err := db.scoped(ctx, reading, "read code", func(q *query) error {
		c = Code{Digest: digest, Owned: Owned{q.org}}
		return q.row(`SELECT grant_id, client_id, user_id, session_id, redirect_uri, code_challenge, code_challenge_method,
				requested_scope, scope, audience, facts, requested_at, expires_at, used_at, created_at
			FROM oauth_codes WHERE digest = $1 AND org_id = $2 AND (expires_at > $3 OR used_at IS NOT NULL)`,
			digest, q.org, q.now).Scan(&c.GrantID, &c.ClientID, &c.UserID, &c.SessionID, &c.RedirectURI, &c.CodeChallenge,
			&c.CodeChallengeMethod, words{&c.RequestedScope}, words{&c.Scope}, array{&c.Audience}, document{&c.Facts},
			&c.RequestedAt, &c.ExpiresAt, &c.UsedAt, &c.CreatedAt)
	})
	if err != nil {
		return nil, err
	}
	return &c, nil
}

// SpendCode redeems a code. Of several at once, one succeeds; the others get ErrSpent, as does the code of a session that was
// ended while it was on its way.
func (db *DB) SpendCode(ctx context.Context, digest string) error {
	return db.scoped(ctx, writing, "spend code", func(q *query) error {
		return q.spend(`UPDATE oauth_codes SET used_at = $1
			WHERE digest = $2 AND org_id = $3 AND used_at IS NULL AND expires_at > $4
			AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.id = oauth_codes.session_id AND s.is_valid = FALSE)`,
			q.now, digest, q.org, q.now)
	})
}

// endCodes makes codes useless that were issued in a person's name and not redeemed yet: all, or those that a condition names. It is
// called before what was granted is revoked: whoever is redeeming one at this moment is waited for here, and then what they have been
// given is there to be revoked.
func (q *query) endCodes(userID uuid.UUID, condition string, args ...any) error {
	_, err := q.exec(`UPDATE oauth_codes SET used_at = $1 WHERE user_id = $2 AND org_id = $3 AND used_at IS NULL`+condition,
		append([]any{q.now, userID, q.org}, args...)...)
	return err
}
