package storage

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// SignIn is a sign-in under way: its person has given one factor and has yet to give another. It is no session, and nothing but
// the pages of the second factor asks for it. Digest is that of what the page's address names, BrowserDigest that of the cookie
// it is bound to.
type SignIn struct {
	Digest string
	Owned
	BrowserDigest string
	UserID        uuid.UUID
	// InteractionDigest is that of the authorization request it is for; when it is empty, ReturnTo is where it leads.
	InteractionDigest, ReturnTo string
	// AMR is what was proven, and ProvenAt when.
	AMR       []string
	ProvenAt  time.Time
	ExpiresAt time.Time
	CreatedAt time.Time
}

// CreateSignIn begins a sign-in of a person of the organization. One who is switched off is ErrNotFound.
func (db *DB) CreateSignIn(ctx context.Context, s *SignIn) error {
	return db.scoped(ctx, writing, "create sign-in", func(q *query) error {
		if err := s.own(q.org); err != nil {
			return err
		}
		date(&s.CreatedAt, q.now)
		return one(ErrNotFound)(q.exec(`INSERT INTO sign_ins (digest, org_id, browser_digest, user_id, interaction_digest, return_to, amr,
				proven_at, expires_at, created_at)
			SELECT $1, u.org_id, $2, u.id, $3, $4, `+q.db.jsonb("$5")+`, $6, $7, $8 FROM users u WHERE u.id = $9 AND u.org_id = $10 AND u.is_active = TRUE`,
			s.Digest, s.BrowserDigest, s.InteractionDigest, s.ReturnTo, listed(s.AMR), s.ProvenAt, s.ExpiresAt, s.CreatedAt, s.UserID, q.org))
	})
}

// SignIn returns a sign-in that is neither complete nor expired, and whose it is. One whose person was switched off is ErrNotFound.
func (db *DB) SignIn(ctx context.Context, digest string) (*SignIn, *User, error) {
	var s SignIn
	var u User
	err := db.scoped(ctx, reading, "read sign-in", func(q *query) error {
		s, u = SignIn{Digest: digest, Owned: Owned{q.org}}, User{Owned: Owned{q.org}}
		return q.row(`SELECT s.browser_digest, s.user_id, s.interaction_digest, s.return_to, s.amr, s.proven_at, s.expires_at, s.created_at, `+
			userColumns+` FROM sign_ins s JOIN users u ON u.id = s.user_id AND u.org_id = s.org_id
			WHERE s.digest = $1 AND s.org_id = $2 AND s.spent_at IS NULL AND s.expires_at > $3 AND u.is_active = TRUE`,
			digest, q.org, q.now).Scan(append([]any{
			&s.BrowserDigest, &s.UserID, &s.InteractionDigest, &s.ReturnTo, array{&s.AMR}, &s.ProvenAt, &s.ExpiresAt, &s.CreatedAt,
		}, u.scan()...)...)
	})
	if err != nil {
		return nil, nil, err
	}
	return &s, &u, nil
}

// SpendSignIn completes a sign-in, or ends it. Of several at once, one succeeds; the others get ErrSpent.
func (db *DB) SpendSignIn(ctx context.Context, digest string) error {
	return db.scoped(ctx, writing, "spend sign-in", func(q *query) error {
		return q.spend(`UPDATE sign_ins SET spent_at = $1 WHERE digest = $2 AND org_id = $3 AND spent_at IS NULL AND expires_at > $4`,
			q.now, digest, q.org, q.now)
	})
}

// EndSignInsOfUser ends every sign-in under way of a person: what they have given so far counts no more.
func (db *DB) EndSignInsOfUser(ctx context.Context, userID uuid.UUID) error {
	return db.scoped(ctx, writing, "end sign-ins of user", func(q *query) error {
		_, err := q.exec(`UPDATE sign_ins SET spent_at = $1 WHERE user_id = $2 AND org_id = $3 AND spent_at IS NULL`, q.now, userID, q.org)
		return err
	})
}

// SpendChallenge uses up a challenge that nothing was stored of before: whoever brings it first has it, everybody else gets
// ErrSpent. It is remembered until it would not be taken any more for its age.
func (db *DB) SpendChallenge(ctx context.Context, digest string, expires time.Time) error {
	return db.scoped(ctx, writing, "spend challenge", func(q *query) error {
		return q.spend(`INSERT INTO spent_challenges (org_id, digest, expires_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
			q.org, digest, expires)
	})
}
