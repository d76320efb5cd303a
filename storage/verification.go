package storage

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// The types of verification tokens. None is found by way of another.
const (
	// EmailVerification proves an address: of a person, or of somebody who signs up and is nobody yet.
	EmailVerification = "email_verification"
	PasswordReset     = "password_reset"
	InvitationToken   = "invitation"
	// EmailChange proves the address that a person wants to have; EmailUndo brings the one before back.
	EmailChange = "email_change"
	EmailUndo   = "email_undo"
	// EmailCode is a second factor.
	EmailCode = "email_code"
	// setupToken makes the first operator.
	setupToken = "operator_setup"
)

// tokensOfUser are the types of which a person may have one.
var tokensOfUser = []string{EmailVerification, PasswordReset, EmailChange, EmailUndo, EmailCode}

// VerificationToken is a link or code that was sent to somebody, or printed for an operator, and works once. Token is its
// digest.
type VerificationToken struct {
	ID uuid.UUID
	// OrgID is nil only where the link makes the first operator, who may have no organization yet.
	OrgID  *uuid.UUID
	UserID *uuid.UUID
	// Subject is what a new token takes the place of older ones for: the person, unless it is said otherwise.
	Subject string
	Token   string
	Type    string
	// Data is JSON of whoever made the token: what it proves, and for what.
	Data []byte
	// Attempts is how often a code was guessed at: this one, and those before it that whoever made it wants to count.
	Attempts  int
	ExpiresAt time.Time
	CreatedAt time.Time
	UsedAt    *time.Time
}

func (v *VerificationToken) insert(q *query) error {
	identify(&v.ID)
	date(&v.CreatedAt, q.now)
	_, err := q.exec(`INSERT INTO verification_tokens (id, org_id, user_id, subject, token, type, data, attempts, expires_at, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		v.ID, v.OrgID, v.UserID, orNull(v.Subject), v.Token, v.Type, documented(v.Data), v.Attempts, v.ExpiresAt, v.CreatedAt)
	return err
}

const verificationColumns = `id, org_id, user_id, subject, token, type, data, attempts, expires_at, created_at, used_at`

func (v *VerificationToken) scan() []any {
	return []any{
		&v.ID, &v.OrgID, &v.UserID, maybe[string]{&v.Subject}, &v.Token, &v.Type, document{&v.Data}, &v.Attempts, &v.ExpiresAt,
		maybe[time.Time]{&v.CreatedAt}, &v.UsedAt,
	}
}

// CreateVerificationToken inserts a token, in place of those of its type that its subject has and has not used: only the newest
// works.
func (db *DB) CreateVerificationToken(ctx context.Context, token *VerificationToken) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "create verification token", func(q *query) error {
			if token.OrgID == nil {
				token.OrgID = &q.org
			}
			if *token.OrgID != q.org {
				return ErrForeign
			}
			if token.UserID != nil {
				// First that the person is of this organization, and that those who make one at the same time for the same person
				// wait for one another.
				err := one(ErrNotFound)(q.exec(`UPDATE users SET updated_at = updated_at WHERE id = $1 AND org_id = $2`, token.UserID, q.org))
				if err != nil {
					return err
				}
				if token.Subject == "" {
					token.Subject = token.UserID.String()
				}
			}
			_, err := q.exec(`UPDATE verification_tokens SET used_at = $1 WHERE org_id = $2 AND type = $3 AND subject = $4 AND used_at IS NULL`,
				q.now, q.org, token.Type, token.Subject)
			if err != nil {
				return err
			}
			return token.insert(q)
		})
	})
}

// VerificationToken returns a token of a type that can still be used.
func (db *DB) VerificationToken(ctx context.Context, digest, kind string) (*VerificationToken, error) {
	return db.verificationToken(ctx, "token", digest, kind)
}

// VerificationTokenOf returns the token of a type that a subject can still use.
func (db *DB) VerificationTokenOf(ctx context.Context, subject, kind string) (*VerificationToken, error) {
	return db.verificationToken(ctx, "subject", subject, kind)
}

func (db *DB) verificationToken(ctx context.Context, column, value, kind string) (*VerificationToken, error) {
	var token VerificationToken
	err := db.scoped(ctx, reading, "read verification token", func(q *query) error {
		token = VerificationToken{}
		return q.row(`SELECT `+verificationColumns+` FROM verification_tokens
			WHERE `+column+` = $1 AND type = $2 AND org_id = $3 AND used_at IS NULL AND expires_at > $4
			ORDER BY created_at DESC LIMIT 1`, value, kind, q.org, q.now).Scan(token.scan()...)
	})
	if err != nil {
		return nil, err
	}
	return &token, nil
}

// VerificationTokens returns the tokens of a type that can still be used, in the order of their ids, those after the given one.
func (db *DB) VerificationTokens(ctx context.Context, kind string, after uuid.UUID, limit int) ([]VerificationToken, error) {
	return db.verificationTokens(ctx, kind, `id > $4`, after, limit)
}

// VerificationTokensOfUser returns the tokens of a type that a person can still use, whatever their subjects.
func (db *DB) VerificationTokensOfUser(ctx context.Context, userID uuid.UUID, kind string) ([]VerificationToken, error) {
	return db.verificationTokens(ctx, kind, `user_id = $4`, userID, 0)
}

func (db *DB) verificationTokens(ctx context.Context, kind, condition string, value any, limit int) ([]VerificationToken, error) {
	var tokens []VerificationToken
	err := db.scoped(ctx, reading, "list verification tokens", func(q *query) error {
		tokens = nil
		rows, err := q.pool.QueryContext(q.ctx, `SELECT `+verificationColumns+` FROM verification_tokens
			WHERE type = $1 AND org_id = $2 AND used_at IS NULL AND expires_at > $3 AND `+condition+` ORDER BY id LIMIT $5`,
			kind, q.org, q.now, value, limited(limit))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var token VerificationToken
			if err := rows.Scan(token.scan()...); err != nil {
				return err
			}
			tokens = append(tokens, token)
		}
		return rows.Err()
	})
	return tokens, err
}

// SpendVerificationToken uses a token up. Of several at once, one succeeds; the others get ErrSpent.
func (db *DB) SpendVerificationToken(ctx context.Context, digest, kind string) error {
	return db.scoped(ctx, writing, "spend verification token", func(q *query) error {
		return q.spend(`UPDATE verification_tokens SET used_at = $1
			WHERE token = $2 AND type = $3 AND org_id = $4 AND used_at IS NULL AND expires_at > $5`, q.now, digest, kind, q.org, q.now)
	})
}

// TryVerificationToken counts a guess at the code of a token. After as many as there may be it is ErrSpent.
func (db *DB) TryVerificationToken(ctx context.Context, digest, kind string, most int) error {
	return db.scoped(ctx, writing, "try verification token", func(q *query) error {
		return q.spend(`UPDATE verification_tokens SET attempts = attempts + 1
			WHERE token = $1 AND type = $2 AND org_id = $3 AND used_at IS NULL AND expires_at > $4 AND attempts < $5`,
			digest, kind, q.org, q.now, most)
	})
}

// EndVerificationToken makes an unused token of a type useless, by its id.
func (db *DB) EndVerificationToken(ctx context.Context, id uuid.UUID, kind string) error {
	return db.scoped(ctx, writing, "end verification token", func(q *query) error {
		return one(ErrNotFound)(q.exec(`UPDATE verification_tokens SET used_at = $1
			WHERE id = $2 AND type = $3 AND org_id = $4 AND used_at IS NULL AND expires_at > $5`, q.now, id, kind, q.org, q.now))
	})
}

// EndVerificationTokensOfUser makes a person's unused tokens of some types useless, or of every type when none is named.
func (db *DB) EndVerificationTokensOfUser(ctx context.Context, userID uuid.UUID, kinds ...string) error {
	if len(kinds) == 0 {
		kinds = tokensOfUser
	}
	return db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "end verification tokens of user", func(q *query) error {
			for _, kind := range kinds {
				_, err := q.exec(`UPDATE verification_tokens SET used_at = $1 WHERE user_id = $2 AND type = $3 AND org_id = $4 AND used_at IS NULL`,
					q.now, userID, kind, q.org)
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// CreateSetupToken inserts a token that makes the first operator.
func (db *DB) CreateSetupToken(ctx context.Context, token *VerificationToken) error {
	return db.everywhere(ctx, writing, "create setup token", func(q *query) error {
		token.Type = setupToken
		return token.insert(q)
	})
}

// SetupToken returns a token that can still make the first operator.
func (db *DB) SetupToken(ctx context.Context, digest string) (*VerificationToken, error) {
	var token VerificationToken
	err := db.everywhere(ctx, reading, "read setup token", func(q *query) error {
		token = VerificationToken{}
		return q.row(`SELECT `+verificationColumns+` FROM verification_tokens
			WHERE token = $1 AND type = $2 AND used_at IS NULL AND expires_at > $3`, digest, setupToken, q.now).Scan(token.scan()...)
	})
	if err != nil {
		return nil, err
	}
	return &token, nil
}

// SpendSetupTokens uses a setup token up, and with it every other one, dead or alive. It is one statement, so that those who
// come with different ones wait for one another in one order, and the later find nothing left: ErrSpent.
func (db *DB) SpendSetupTokens(ctx context.Context, digest string) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		return db.everywhere(ctx, writing, "spend setup tokens", func(q *query) error {
			rows, err := q.pool.QueryContext(q.ctx, `UPDATE verification_tokens SET used_at = $1
				WHERE type = $2 AND used_at IS NULL RETURNING token, expires_at`, q.now, setupToken)
			if err != nil {
				return err
			}
			defer rows.Close()
			spent := false
			for rows.Next() {
				var token string
				var ends time.Time
				if err := rows.Scan(&token, &ends); err != nil {
					return err
				}
				spent = spent || token == digest && ends.After(q.now)
			}
			if err := rows.Err(); err != nil || spent {
				return err
			}
			return ErrSpent
		})
	})
}

// EndSetupTokens makes every unused setup token useless.
func (db *DB) EndSetupTokens(ctx context.Context) error {
	return db.everywhere(ctx, writing, "end setup tokens", func(q *query) error {
		_, err := q.exec(`UPDATE verification_tokens SET used_at = $1 WHERE type = $2 AND used_at IS NULL`, q.now, setupToken)
		return err
	})
}
