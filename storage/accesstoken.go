package storage

import (
	"context"
	"database/sql"
	"time"

	"github.com/google/uuid"
)

// AccessToken is an access token that was given out. Digest is that of the token, or of the jti of one that is a JWT.
type AccessToken struct {
	Digest string
	Owned
	// GrantID is nil for a token that a client holds for itself.
	GrantID   *uuid.UUID
	ClientID  string
	Subject   string
	Scope     []string
	Audience  []string
	Format    string
	ExpiresAt time.Time
	CreatedAt time.Time
	RevokedAt *time.Time
}

// CreateAccessToken inserts an access token.
func (db *DB) CreateAccessToken(ctx context.Context, t *AccessToken) error {
	return db.scoped(ctx, writing, "create access token", func(q *query) error {
		if err := t.own(q.org); err != nil {
			return err
		}
		date(&t.CreatedAt, q.now)
		_, err := q.exec(`INSERT INTO oauth_access_tokens (digest, org_id, grant_id, client_id, subject, scope, audience, format,
				expires_at, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
			t.Digest, q.org, t.GrantID, t.ClientID, t.Subject, joined(t.Scope), listed(t.Audience), t.Format, t.ExpiresAt, t.CreatedAt)
		return err
	})
}

// AccessToken returns a token that is valid, with its grant, which is nil for a token that a client holds for itself.
// Expired or revoked, its grant revoked or gone, its person switched off: all of that is ErrNotFound.
func (db *DB) AccessToken(ctx context.Context, digest string) (*AccessToken, *Grant, error) {
	t, g, _, err := db.accessToken(ctx, digest, false)
	return t, g, err
}

// AccessTokenWithUser is AccessToken for one that was given in a person's name, and returns the person as well (without the
// password hash). For any other it is ErrNotFound.
func (db *DB) AccessTokenWithUser(ctx context.Context, digest string) (*AccessToken, *Grant, *User, error) {
	return db.accessToken(ctx, digest, true)
}

// The statements of accessToken.
const (
	accessTokenColumns = `SELECT t.client_id, t.subject, t.scope, t.audience, t.format, t.expires_at, t.created_at, ` + grantColumns
	//nolint:gosec // a statement, not a secret
	accessTokenJoins = ` FROM oauth_access_tokens t
		LEFT JOIN oauth_grants g ON g.id = t.grant_id AND g.org_id = t.org_id
		LEFT JOIN users u ON u.id = g.user_id AND u.org_id = t.org_id
		WHERE t.digest = $1 AND t.org_id = $2 AND t.expires_at > $3 AND t.revoked_at IS NULL
		AND (t.grant_id IS NULL OR g.id IS NOT NULL AND g.revoked_at IS NULL AND (g.user_id IS NULL OR u.is_active = TRUE))`

	readAccessToken         = accessTokenColumns + accessTokenJoins
	readAccessTokenWithUser = accessTokenColumns + `, ` + userColumns + accessTokenJoins + ` AND u.id IS NOT NULL`
)

func (db *DB) accessToken(ctx context.Context, digest string, withUser bool) (*AccessToken, *Grant, *User, error) {
	var t AccessToken
	var g nullableGrant
	var u User
	err := db.scoped(ctx, reading, "read access token", func(q *query) error {
		t, g, u = AccessToken{Digest: digest, Owned: Owned{q.org}}, nullableGrant{}, User{Owned: Owned{q.org}}
		dest := make([]any, 0, 30)
		dest = append(dest, &t.ClientID, &t.Subject, words{&t.Scope}, array{&t.Audience}, &t.Format, &t.ExpiresAt, &t.CreatedAt)
		dest = append(dest, g.scan()...)
		statement := readAccessToken
		if withUser {
			statement = readAccessTokenWithUser
			dest = append(dest, u.scan()...)
		}
		return q.row(statement, digest, q.org, q.now).Scan(dest...)
	})
	if err != nil {
		return nil, nil, nil, err
	}
	grant := g.grant(t.OrgID)
	if grant != nil {
		t.GrantID = &grant.ID
	}
	if !withUser {
		return &t, grant, nil, nil
	}
	return &t, grant, &u, nil
}

// TokenOrganization returns the organization that a valid access token is of, for whoever does not know yet whom a request is from.
// What else must be true of the token is told by AccessToken.
func (db *DB) TokenOrganization(ctx context.Context, digest string) (*Organization, error) {
	var org Organization
	err := db.everywhere(ctx, reading, "read organization of token", func(q *query) error {
		return q.of(&org).Joins("JOIN oauth_access_tokens t ON t.org_id = organizations.id").
			Where("t.digest = ? AND t.expires_at > ? AND t.revoked_at IS NULL", digest, q.now).
			Where("organizations.suspended_at IS NULL AND organizations.deleted_at IS NULL").Take(&org).Error
	})
	if err != nil {
		return nil, err
	}
	return &org, nil
}

// RevokeAccessToken ends one access token. That there is none, or that it has ended, is no error.
func (db *DB) RevokeAccessToken(ctx context.Context, digest string) error {
	return db.scoped(ctx, writing, "revoke access token", func(q *query) error {
		_, err := q.exec(`UPDATE oauth_access_tokens SET revoked_at = $1 WHERE digest = $2 AND org_id = $3 AND revoked_at IS NULL`,
			q.now, digest, q.org)
		return err
	})
}

// grantColumns are those of a grant that is read along with a token; nullableGrant takes them, for there may be none.
const grantColumns = `g.id, g.client_id, g.user_id, g.session_id, g.scope, g.audience, g.facts, g.created_at, g.expires_at`

type nullableGrant struct {
	id       uuid.NullUUID
	clientID sql.NullString
	Grant
}

func (g *nullableGrant) scan() []any {
	return []any{
		&g.id, &g.clientID, &g.UserID, &g.SessionID, words{&g.Scope}, array{&g.Audience}, document{&g.Facts},
		maybe[time.Time]{&g.CreatedAt}, maybe[time.Time]{&g.ExpiresAt},
	}
}

func (g *nullableGrant) grant(org uuid.UUID) *Grant {
	if !g.id.Valid {
		return nil
	}
	grant := g.Grant
	grant.ID, grant.ClientID, grant.OrgID = g.id.UUID, g.clientID.String, org
	return &grant
}
