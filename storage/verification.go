package storage

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// VerificationToken is a link or code that was sent to somebody, or printed for an operator, and works once. Token is its
// digest. One that makes the first operator belongs to no organization yet, so these rows are asked for everywhere.
type VerificationToken struct {
	ID        uuid.UUID  `gorm:"column:id;primaryKey"`
	OrgID     *uuid.UUID `gorm:"column:org_id"`
	UserID    *uuid.UUID `gorm:"column:user_id"`
	Token     string     `gorm:"column:token"`
	Type      string     `gorm:"column:type"`
	ExpiresAt time.Time  `gorm:"column:expires_at"`
	CreatedAt time.Time  `gorm:"column:created_at"`
	UsedAt    *time.Time `gorm:"column:used_at"`
}

func (VerificationToken) TableName() string { return "verification_tokens" }

// CreateVerificationToken inserts a token.
func (db *DB) CreateVerificationToken(ctx context.Context, token *VerificationToken) error {
	return db.everywhere(ctx, writing, "create verification token", func(q *query) error {
		identify(&token.ID)
		return q.create(token)
	})
}

// VerificationToken returns a token of a type that can still be used.
func (db *DB) VerificationToken(ctx context.Context, digest, kind string) (*VerificationToken, error) {
	var token VerificationToken
	err := db.everywhere(ctx, reading, "read verification token", func(q *query) error {
		return q.of(&token).Where("token = ? AND type = ? AND used_at IS NULL AND expires_at > ?", digest, kind, q.now).
			Take(&token).Error
	})
	if err != nil {
		return nil, err
	}
	return &token, nil
}

// SpendVerificationToken uses a token up. Of several at once, one succeeds; the others get ErrSpent.
func (db *DB) SpendVerificationToken(ctx context.Context, digest, kind string) error {
	return db.everywhere(ctx, writing, "spend verification token", func(q *query) error {
		return q.spend(`UPDATE verification_tokens SET used_at = $1
			WHERE token = $2 AND type = $3 AND used_at IS NULL AND expires_at > $4`, q.now, digest, kind, q.now)
	})
}

// SpendVerificationTokens uses a token up, and with it every other of its type, dead or alive. It is one statement, so that
// those who come with different ones wait for one another in one order, and the later find nothing left: ErrSpent.
func (db *DB) SpendVerificationTokens(ctx context.Context, digest, kind string) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		return db.everywhere(ctx, writing, "spend verification tokens", func(q *query) error {
			rows, err := q.pool.QueryContext(q.ctx, `UPDATE verification_tokens SET used_at = $1
				WHERE type = $2 AND used_at IS NULL RETURNING token, expires_at`, q.now, kind)
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

// EndVerificationTokens makes every unused token of a type useless.
func (db *DB) EndVerificationTokens(ctx context.Context, kind string) error {
	return db.everywhere(ctx, writing, "end verification tokens", func(q *query) error {
		_, err := q.exec(`UPDATE verification_tokens SET used_at = $1 WHERE type = $2 AND used_at IS NULL`, q.now, kind)
		return err
	})
}
