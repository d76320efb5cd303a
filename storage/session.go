package storage

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Session is a browser in which a person is signed in. Token is the digest of what the cookie holds.
type Session struct {
	ID uuid.UUID
	Owned
	UserID    uuid.UUID
	Token     string
	IPAddress *string
	UserAgent string
	IsValid   bool
	// AuthTime is when the person last proved who they are; AMR and ACR say how (OpenID Connect Core §2).
	AuthTime time.Time
	AMR      []string
	ACR      string
	// ExpiresAt is the absolute end. That a session was not used for too long is for the caller to judge.
	ExpiresAt  time.Time
	CreatedAt  time.Time
	LastUsedAt time.Time
}

// CreateSession begins a session of a person of the organization.
func (db *DB) CreateSession(ctx context.Context, s *Session) error {
	return db.scoped(ctx, writing, "create session", func(q *query) error {
		if err := s.own(q.org); err != nil {
			return err
		}
		identify(&s.ID)
		date(&s.CreatedAt, q.now)
		date(&s.LastUsedAt, q.now)
		date(&s.AuthTime, q.now)
		s.IsValid = true
		// From the person's row, so that no session is begun for somebody else's person or one who is switched off.
		return one(ErrNotFound)(q.exec(`INSERT INTO sessions (id, org_id, user_id, token, ip_address, user_agent, is_valid,
				auth_time, amr, acr, expires_at, created_at, last_used_at)
			SELECT $1, u.org_id, u.id, $2, `+q.db.inet("$3")+`, $4, TRUE, $5, `+q.db.jsonb("$6")+`, $7, $8, $9, $10
			FROM users u WHERE u.id = $11 AND u.org_id = $12 AND u.is_active = TRUE`,
			s.ID, s.Token, address(s.IPAddress), orNull(s.UserAgent), s.AuthTime, listed(s.AMR), s.ACR, s.ExpiresAt, s.CreatedAt,
			s.LastUsedAt, s.UserID, q.org))
	})
}

// inet and jsonb write a placeholder with its type, where PostgreSQL cannot tell it from the column.
func (db *DB) inet(placeholder string) string  { return db.cast(placeholder, "inet") }
func (db *DB) jsonb(placeholder string) string { return db.cast(placeholder, "jsonb") }

func (db *DB) cast(placeholder, kind string) string {
	if db.writer != db.reader { // SQLite
		return placeholder
	}
	return "CAST(" + placeholder + " AS " + kind + ")"
}

// SessionByToken returns a session by the digest of its cookie, with its person. A session that was ended, is past its
// absolute end, or whose person is switched off is ErrNotFound.
func (db *DB) SessionByToken(ctx context.Context, digest string) (*Session, *User, error) {
	var s Session
	var u User
	err := db.scoped(ctx, reading, "read session", func(q *query) error {
		s, u = Session{Owned: Owned{q.org}, Token: digest, IsValid: true}, User{Owned: Owned{q.org}}
		dest := append([]any{
			&s.ID, &s.UserID, &s.IPAddress, maybe[string]{&s.UserAgent}, maybe[time.Time]{&s.AuthTime}, array{&s.AMR},
			maybe[string]{&s.ACR}, &s.ExpiresAt, maybe[time.Time]{&s.CreatedAt}, maybe[time.Time]{&s.LastUsedAt},
		}, u.scan()...)
		return q.row(`SELECT s.id, s.user_id, s.ip_address, s.user_agent, s.auth_time, s.amr, s.acr, s.expires_at, s.created_at,
				s.last_used_at, `+userColumns+`
			FROM sessions s JOIN users u ON u.id = s.user_id AND u.org_id = s.org_id
			WHERE s.token = $1 AND s.org_id = $2 AND s.is_valid = TRUE AND s.expires_at > $3 AND u.is_active = TRUE`,
			digest, q.org, q.now).Scan(dest...)
	})
	if err != nil {
		return nil, nil, err
	}
	return &s, &u, nil
}

// RenewSession gives a session a new cookie, and new times, after its person proved again who they are; the old cookie is dead
// from then on. A session that was ended meanwhile stays so: ErrNotFound.
func (db *DB) RenewSession(ctx context.Context, s *Session) error {
	return db.scoped(ctx, writing, "renew session", func(q *query) error {
		return one(ErrNotFound)(q.exec(`UPDATE sessions SET token = $1, auth_time = $2, amr = $3, acr = $4, expires_at = $5, last_used_at = $6
			WHERE id = $7 AND org_id = $8 AND is_valid = TRUE AND expires_at > $9`,
			s.Token, s.AuthTime, listed(s.AMR), s.ACR, s.ExpiresAt, q.now, s.ID, q.org, q.now))
	})
}

// TouchSession notes that a session was used.
func (db *DB) TouchSession(ctx context.Context, id uuid.UUID, at time.Time) error {
	return db.scoped(ctx, writing, "touch session", func(q *query) error {
		return one(ErrNotFound)(q.exec(`UPDATE sessions SET last_used_at = $1 WHERE id = $2 AND org_id = $3 AND is_valid = TRUE`,
			at, id, q.org))
	})
}

// EndSession signs a person out of one browser: the session, and what was granted in it. What was asked for to outlive the
// session (offline_access) does so unless everything is to end.
func (db *DB) EndSession(ctx context.Context, id uuid.UUID, everything bool) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "end session", func(q *query) error {
			var userID uuid.UUID
			err := q.row(`UPDATE sessions SET is_valid = FALSE WHERE id = $1 AND org_id = $2 RETURNING user_id`, id, q.org).Scan(&userID)
			if err == nil {
				err = q.endCodes(userID, ` AND session_id = $4`, id)
			}
			if err == nil {
				err = q.tellClients(`session_id = $4`, id)
			}
			if err != nil {
				return err
			}
			_, err = q.exec(`UPDATE oauth_grants SET revoked_at = $1 WHERE session_id = $2 AND org_id = $3 AND revoked_at IS NULL
				AND ($4 OR ' ' || scope || ' ' NOT LIKE '% offline_access %')`, q.now, id, q.org, everything)
			return err
		})
	})
}

// PersonOfSession returns whose a session is. One that has ended is ErrNotFound.
func (db *DB) PersonOfSession(ctx context.Context, id uuid.UUID) (userID uuid.UUID, err error) {
	err = db.scoped(ctx, reading, "find the person of a session", func(q *query) error {
		return q.row(`SELECT user_id FROM sessions WHERE id = $1 AND org_id = $2 AND is_valid = TRUE AND expires_at > $3`, id, q.org, q.now).Scan(&userID)
	})
	return userID, err
}

// EndSessionsOfUser signs a person out everywhere, also where they have not come in yet, and revokes all that was granted in their
// name.
func (db *DB) EndSessionsOfUser(ctx context.Context, userID uuid.UUID) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		err := db.scoped(ctx, writing, "end sessions of user", func(q *query) error {
			_, err := q.exec(`UPDATE sessions SET is_valid = FALSE WHERE user_id = $1 AND org_id = $2 AND is_valid = TRUE`, userID, q.org)
			if err != nil {
				return err
			}
			return q.tellClients(`user_id = $4`, userID)
		})
		if err != nil {
			return err
		}
		if err := db.EndSignInsOfUser(ctx, userID); err != nil {
			return err
		}
		return db.RevokeGrantsOfUser(ctx, userID)
	})
}
