package storage

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/identity"
)

// What operators ask of everybody in an organization, and of nobody in particular.

// canonicalize fills what a login is compared with.
func (u *User) canonicalize() error {
	email, err := identity.Email(u.Email)
	if err != nil {
		return err
	}
	u.EmailCanonical, u.UsernameCanonical = &email, nil
	if u.Username != nil {
		name, err := identity.Username(*u.Username)
		if err != nil {
			return err
		}
		u.UsernameCanonical = &name
	}
	return nil
}

// UpdateUser writes what an operator can say about a person: addresses, names, metadata. It writes neither the password nor
// whether the person is active, which end sessions and have methods of their own. A spelling of what is taken is ErrConflict.
func (db *DB) UpdateUser(ctx context.Context, user *User) error {
	if err := user.canonicalize(); err != nil {
		return err
	}
	metadata, err := objectText(user.Metadata)
	if err != nil {
		return fmt.Errorf("update user: %w", err)
	}
	return db.scoped(ctx, writing, "update user", func(q *query) error {
		user.UpdatedAt = q.now
		return one(ErrNotFound)(q.exec(`UPDATE users SET email = $1, email_canonical = $2, username = $3, username_canonical = $4, full_name = $5,
				is_verified = $6, metadata = `+q.db.jsonb("$7")+`, updated_at = $8 WHERE id = $9 AND org_id = $10`,
			user.Email, user.EmailCanonical, user.Username, user.UsernameCanonical, user.FullName, user.IsVerified, metadata, q.now, user.ID, q.org))
	})
}

// SearchUsers is ListUsers for those in whose e-mail address, user name or full name a text stands, in whatever case.
func (db *DB) SearchUsers(ctx context.Context, text string, after uuid.UUID, limit int) ([]User, error) {
	pattern := "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(strings.ToLower(text)) + "%"
	var users []User
	err := db.scoped(ctx, reading, "search users", func(q *query) error {
		return q.of(&User{}).Where("id > ?", after).
			Where(`(email_canonical LIKE ? ESCAPE '\' OR username_canonical LIKE ? ESCAPE '\' OR lower(full_name) LIKE ? ESCAPE '\')`, pattern, pattern, pattern).
			Order("id").Limit(limited(limit)).Find(&users).Error
	})
	return users, err
}

// UsersNamed returns the people who have one of the ids, canonical e-mail addresses or canonical user names.
func (db *DB) UsersNamed(ctx context.Context, ids []uuid.UUID, emails, usernames []string) ([]User, error) {
	// IN with nothing in it is no SQL. None of these is anybody's.
	texts := []string{uuid.Nil.String()}
	for _, id := range ids {
		texts = append(texts, id.String())
	}
	emails, usernames = append(slices.Clip(emails), ""), append(slices.Clip(usernames), "")
	var users []User
	err := db.scoped(ctx, reading, "read users by name", func(q *query) error {
		users = nil
		return q.of(&User{}).Where("(id IN ? OR email_canonical IN ? OR username_canonical IN ?)", texts, emails, usernames).Find(&users).Error
	})
	return users, err
}

// CreateUsers inserts people, all or none, as CreateUser does.
func (db *DB) CreateUsers(ctx context.Context, users []*User) error {
	for _, user := range users {
		if err := user.complete(); err != nil {
			return err
		}
	}
	return db.scoped(ctx, writing, "create users", func(q *query) error {
		for _, user := range users {
			identify(&user.ID)
		}
		return q.create(users)
	})
}

// RoleNames returns the names of the roles of several people, by their ids.
func (db *DB) RoleNames(ctx context.Context, users []uuid.UUID) (map[uuid.UUID][]string, error) {
	names := make(map[uuid.UUID][]string)
	if len(users) == 0 {
		users = []uuid.UUID{uuid.Nil}
	}
	err := db.scoped(ctx, reading, "read roles of users", func(q *query) error {
		texts := make([]string, len(users))
		for i, id := range users {
			texts[i] = id.String()
		}
		var found []struct {
			UserID uuid.UUID
			Name   string
		}
		err := q.of(&Role{}).Select("user_roles.user_id, roles.name").Joins("JOIN user_roles ON user_roles.role_id = roles.id").
			Where("user_roles.user_id IN ?", texts).Order("roles.name").Scan(&found).Error
		clear(names)
		for _, row := range found {
			names[row.UserID] = append(names[row.UserID], row.Name)
		}
		return err
	})
	return names, err
}

// ListSessions returns sessions that were used since a time, with their people, in the order of their ids, those after the given
// one; only a person's, if one is named.
func (db *DB) ListSessions(ctx context.Context, userID *uuid.UUID, usedSince time.Time, after uuid.UUID, limit int) ([]Session, []User, error) {
	var sessions []Session
	var users []User
	err := db.scoped(ctx, reading, "list sessions", func(q *query) error {
		sessions, users = nil, nil
		condition, args := "", []any{q.org, q.now, usedSince, after, limited(limit)}
		if userID != nil {
			condition, args = "AND s.user_id = $6", append(args, *userID)
		}
		rows, err := q.pool.QueryContext(q.ctx, `SELECT s.id, s.user_id, s.ip_address, s.user_agent, s.auth_time, s.amr, s.acr, s.expires_at,
				s.created_at, s.last_used_at, `+userColumns+`
			FROM sessions s JOIN users u ON u.id = s.user_id AND u.org_id = s.org_id
			WHERE s.org_id = $1 AND s.is_valid = TRUE AND s.expires_at > $2 AND u.is_active = TRUE AND s.last_used_at >= $3 AND s.id > $4 `+condition+`
			ORDER BY s.id LIMIT $5`, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			s, u := Session{Owned: Owned{q.org}, IsValid: true}, User{Owned: Owned{q.org}}
			if err := rows.Scan(append([]any{
				&s.ID, &s.UserID, &s.IPAddress, maybe[string]{&s.UserAgent}, maybe[time.Time]{&s.AuthTime}, array{&s.AMR},
				maybe[string]{&s.ACR}, &s.ExpiresAt, maybe[time.Time]{&s.CreatedAt}, maybe[time.Time]{&s.LastUsedAt},
			}, u.scan()...)...); err != nil {
				return err
			}
			sessions, users = append(sessions, s), append(users, u)
		}
		return rows.Err()
	})
	return sessions, users, err
}

// CountSessions returns in how many browsers a person is signed in.
func (db *DB) CountSessions(ctx context.Context, userID uuid.UUID) (n int, err error) {
	err = db.scoped(ctx, reading, "count sessions", func(q *query) error {
		return q.row(`SELECT count(*) FROM sessions WHERE user_id = $1 AND org_id = $2 AND is_valid = TRUE AND expires_at > $3`, userID, q.org, q.now).Scan(&n)
	})
	return n, err
}

// EndEverySession signs everybody of the organization out, as EndSession does, and returns how many sessions that were.
func (db *DB) EndEverySession(ctx context.Context, everything bool) (ended int64, err error) {
	err = db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "end every session", func(q *query) error {
			// Codes first, as endCodes says; there is no index, and no need of one for a deed as rare.
			_, err := q.exec(`UPDATE oauth_codes SET used_at = $1 WHERE org_id = $2 AND session_id IS NOT NULL AND used_at IS NULL`, q.now, q.org)
			if err != nil {
				return err
			}
			_, err = q.exec(`UPDATE oauth_grants SET revoked_at = $1 WHERE org_id = $2 AND revoked_at IS NULL AND session_id IS NOT NULL
				AND ($3 OR ' ' || scope || ' ' NOT LIKE '% offline_access %')
				AND EXISTS (SELECT 1 FROM sessions s WHERE s.id = oauth_grants.session_id AND s.org_id = oauth_grants.org_id AND s.is_valid = TRUE)`,
				q.now, q.org, everything)
			if err != nil {
				return err
			}
			if err := q.tellClients(`TRUE`); err != nil {
				return err
			}
			ended, err = q.exec(`UPDATE sessions SET is_valid = FALSE WHERE org_id = $1 AND is_valid = TRUE AND expires_at > $2`, q.org, q.now)
			return err
		})
	})
	return ended, err
}
