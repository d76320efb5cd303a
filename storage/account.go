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

// FactorCounts is how many of each factor a person has, besides a password.
type FactorCounts struct {
	Passkeys, Authenticators int
	// RecoveryCodes are those that were not used yet.
	RecoveryCodes int
}

// Second reports whether the person has set up anything that can be asked for besides a password. Recovery codes are no factor
// of their own: they stand in for one that was lost.
func (f FactorCounts) Second() bool { return f.Passkeys+f.Authenticators > 0 }

// FactorCounts counts a person's factors. Of somebody who is not there it counts none.
func (db *DB) FactorCounts(ctx context.Context, userID uuid.UUID) (FactorCounts, error) {
	var f FactorCounts
	err := db.scoped(ctx, reading, "count factors of user", func(q *query) error {
		return q.row(`SELECT (SELECT count(*) FROM passkeys WHERE user_id = $1 AND org_id = $2),
				(SELECT count(*) FROM authenticators WHERE user_id = $3 AND org_id = $4),
				(SELECT count(*) FROM recovery_codes WHERE user_id = $5 AND org_id = $6 AND used_at IS NULL)`,
			userID, q.org, userID, q.org, userID, q.org).Scan(&f.Passkeys, &f.Authenticators, &f.RecoveryCodes)
	})
	return f, err
}

// SessionsOfUser returns the browsers in which a person is signed in, the one that was used last first; those that were not used
// since a time are as good as ended.
func (db *DB) SessionsOfUser(ctx context.Context, userID uuid.UUID, usedSince time.Time) ([]Session, error) {
	return db.sessionsOfUser(ctx, userID, `last_used_at >= $4`, usedSince)
}

// SessionOfUser returns a session of a person by its id. One that has ended, or somebody else's, is ErrNotFound.
func (db *DB) SessionOfUser(ctx context.Context, userID, id uuid.UUID) (*Session, error) {
	sessions, err := db.sessionsOfUser(ctx, userID, `id = $4`, id)
	if err != nil {
		return nil, err
	}
	if len(sessions) == 0 {
		return nil, fmt.Errorf("read session of user: %w", ErrNotFound)
	}
	return &sessions[0], nil
}

func (db *DB) sessionsOfUser(ctx context.Context, userID uuid.UUID, condition string, value any) ([]Session, error) {
	var sessions []Session
	err := db.scoped(ctx, reading, "list sessions of user", func(q *query) error {
		sessions = nil
		rows, err := q.pool.QueryContext(q.ctx, `SELECT id, ip_address, user_agent, auth_time, amr, acr, expires_at, created_at, last_used_at
			FROM sessions WHERE user_id = $1 AND org_id = $2 AND is_valid = TRUE AND expires_at > $3 AND `+condition+`
			ORDER BY last_used_at DESC, id LIMIT $5`, userID, q.org, q.now, value, limited(0))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			s := Session{Owned: Owned{q.org}, UserID: userID, IsValid: true}
			err := rows.Scan(&s.ID, &s.IPAddress, maybe[string]{&s.UserAgent}, maybe[time.Time]{&s.AuthTime}, array{&s.AMR},
				maybe[string]{&s.ACR}, &s.ExpiresAt, maybe[time.Time]{&s.CreatedAt}, maybe[time.Time]{&s.LastUsedAt})
			if err != nil {
				return err
			}
			sessions = append(sessions, s)
		}
		return rows.Err()
	})
	return sessions, err
}

// EndOtherSessions signs a person out of every browser but one, as EndSession does, and returns which sessions it has ended.
func (db *DB) EndOtherSessions(ctx context.Context, userID, keep uuid.UUID, everything bool) ([]uuid.UUID, error) {
	var ended []uuid.UUID
	err := db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "end other sessions", func(q *query) (err error) {
			ended, err = q.ids(`UPDATE sessions SET is_valid = FALSE
				WHERE user_id = $1 AND org_id = $2 AND id <> $3 AND is_valid = TRUE RETURNING id`, userID, q.org, keep)
			if err != nil {
				return err
			}
			if err := q.endCodes(userID, ` AND session_id <> $4`, keep); err != nil {
				return err
			}
			if err := q.tellClients(`user_id = $4 AND session_id <> $5`, userID, keep); err != nil {
				return err
			}
			_, err = q.exec(`UPDATE oauth_grants SET revoked_at = $1 WHERE user_id = $2 AND org_id = $3 AND session_id <> $4
				AND revoked_at IS NULL AND ($5 OR ' ' || scope || ' ' NOT LIKE '% offline_access %')`, q.now, userID, q.org, keep, everything)
			return err
		})
	})
	return ended, err
}

// LockUser returns a person as User does, and keeps everybody else from changing the row until the transaction ends. What is
// decided by what stands there is decided once.
func (db *DB) LockUser(ctx context.Context, id uuid.UUID) (*User, error) {
	var user *User
	err := db.InTx(ctx, func(ctx context.Context) error {
		err := db.scoped(ctx, writing, "lock user", func(q *query) error {
			return one(ErrNotFound)(q.exec(`UPDATE users SET updated_at = updated_at WHERE id = $1 AND org_id = $2`, id, q.org))
		})
		if err != nil {
			return err
		}
		user, err = db.User(ctx, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return user, nil
}

// UpdateProfile writes what a person is called and says of themselves: user name, full name and metadata. A user name that
// is another spelling of one that is taken is ErrConflict; one that is none is an error of package identity.
func (db *DB) UpdateProfile(ctx context.Context, user *User) error {
	user.UsernameCanonical = nil
	if user.Username != nil {
		name, err := identity.Username(*user.Username)
		if err != nil {
			return err
		}
		user.UsernameCanonical = &name
	}
	metadata, err := objectText(user.Metadata)
	if err != nil {
		return err
	}
	return db.scoped(ctx, writing, "update profile", func(q *query) error {
		user.UpdatedAt = q.now
		return one(ErrNotFound)(q.exec(`UPDATE users SET username = $1, username_canonical = $2, full_name = $3, metadata = $4, updated_at = $5
			WHERE id = $6 AND org_id = $7`,
			user.Username, user.UsernameCanonical, user.FullName, metadata, q.now, user.ID, q.org))
	})
}

// ChangeEmail gives a person another address in place of one that they are known to have; if they have another by now it is
// ErrNotFound. An address that is another spelling of one that is taken is ErrConflict.
func (db *DB) ChangeEmail(ctx context.Context, id uuid.UUID, from, to string) error {
	canonical, err := identity.Email(to)
	if err != nil {
		return err
	}
	return db.scoped(ctx, writing, "change e-mail address", func(q *query) error {
		return one(ErrNotFound)(q.exec(`UPDATE users SET email = $1, email_canonical = $2, is_verified = TRUE, updated_at = $3
			WHERE id = $4 AND org_id = $5 AND email = $6`, to, canonical, q.now, id, q.org, from))
	})
}

// Application is a client that a person has let in.
type Application struct {
	ClientID string
	// Name is empty when the client is gone.
	Name string
	// Scopes are those that were agreed to, and those that it holds.
	Scopes []string
	// InitiateLoginURI is where it begins a sign-in by itself; empty when it does not, is switched off, or gone.
	InitiateLoginURI string
	// Since is when it was let in first; LastUsed when it was last given tokens, zero when it holds none.
	Since, LastUsed time.Time
}

// ApplicationsOfUser returns the clients that a person has agreed to let in, and those that hold something in their name, by
// name.
func (db *DB) ApplicationsOfUser(ctx context.Context, userID uuid.UUID) ([]Application, error) {
	var applications []Application
	err := db.scoped(ctx, reading, "list applications of user", func(q *query) error {
		found := make(map[string]*Application)
		note := func(clientID, name, begins string, scopes []string, since, used time.Time) {
			a := found[clientID]
			if a == nil {
				a = &Application{ClientID: clientID, Name: name, InitiateLoginURI: begins, Since: since}
				found[clientID] = a
			}
			if since.Before(a.Since) {
				a.Since = since
			}
			if used.After(a.LastUsed) {
				a.LastUsed = used
			}
			for _, scope := range scopes {
				if !slices.Contains(a.Scopes, scope) {
					a.Scopes = append(a.Scopes, scope)
				}
			}
		}
		read := func(statement string) error {
			rows, err := q.pool.QueryContext(q.ctx, statement, userID, q.org, q.now)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var clientID, name string
				var scopes []string
				var since, used, again time.Time
				var client Client
				err := rows.Scan(&clientID, maybe[string]{&name}, object{&client.Metadata}, maybe[bool]{&client.Disabled}, words{&scopes}, &since,
					maybe[time.Time]{&used}, maybe[time.Time]{&again})
				if err != nil {
					return err
				}
				begins := client.InitiateLoginURI()
				if client.Disabled {
					begins = ""
				}
				note(clientID, name, begins, scopes, since, later(used, again))
			}
			return rows.Err()
		}
		for _, statement := range []string{
			`SELECT c.client_id, o.name, o.metadata, o.disabled, c.scopes, c.created_at, NULL, NULL FROM consents c
				LEFT JOIN oauth_clients o ON o.org_id = c.org_id AND o.client_id = c.client_id
				WHERE c.user_id = $1 AND c.org_id = $2 AND c.created_at <= $3`,
			// The newest refresh token of a family is the one that is not spent: it is as old as the last use.
			`SELECT g.client_id, o.name, o.metadata, o.disabled, g.scope, g.created_at AS since, g.created_at AS used, r.created_at AS again FROM oauth_grants g
				LEFT JOIN oauth_clients o ON o.org_id = g.org_id AND o.client_id = g.client_id
				LEFT JOIN oauth_refresh_tokens r ON r.grant_id = g.id AND r.org_id = g.org_id AND r.spent_at IS NULL
				WHERE g.user_id = $1 AND g.org_id = $2 AND g.revoked_at IS NULL AND g.expires_at > $3`,
		} {
			if err := read(statement); err != nil {
				return err
			}
		}
		applications = make([]Application, 0, len(found))
		for _, a := range found {
			applications = append(applications, *a)
		}
		slices.SortFunc(applications, func(a, b Application) int {
			if n := strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)); n != 0 {
				return n
			}
			return strings.Compare(a.ClientID, b.ClientID)
		})
		return nil
	})
	return applications, err
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// AuditOfUser returns what a person has done, and what was done to their account, newest first: the events before one that was
// returned earlier, or the newest. The person's actor is as package people writes it.
func (db *DB) AuditOfUser(ctx context.Context, actor string, userID uuid.UUID, before *AuditEvent, limit int) ([]AuditEvent, error) {
	var events []AuditEvent
	err := db.scoped(ctx, reading, "list audit events of user", func(q *query) error {
		at, id := q.now.AddDate(1, 0, 0), uuid.Max
		if before != nil {
			at, id = instant(before.CreatedAt), before.ID
		}
		// Each half goes by an index of its own, and brings no more than is asked for.
		const half = `SELECT id FROM (SELECT id FROM audit_events WHERE org_id = ? AND %s = ? AND (created_at < ? OR created_at = ? AND id < ?)
			ORDER BY created_at DESC, id DESC LIMIT ?) AS %s`
		statement := "id IN (" + fmt.Sprintf(half, "actor", "own") + " UNION " + fmt.Sprintf(half, "target", "others") + ")"
		n := limited(limit)
		events = nil
		return q.of(&AuditEvent{}).Where(statement, q.org.String(), actor, at, at, id.String(), n, q.org.String(), userID.String(), at, at, id.String(), n).
			Order("created_at DESC, id DESC").Limit(n).Find(&events).Error
	})
	return events, err
}

// DeleteFactorsSince takes from a person whatever they prove who they are with, besides a password, that was set up since a time;
// and every browser gives a second factor again.
func (db *DB) DeleteFactorsSince(ctx context.Context, userID uuid.UUID, since time.Time) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "delete factors since a time", func(q *query) error {
			for _, statement := range []string{
				`DELETE FROM passkeys WHERE user_id = $1 AND org_id = $2 AND created_at >= $3`,
				`DELETE FROM authenticators WHERE user_id = $1 AND org_id = $2 AND created_at >= $3`,
				`DELETE FROM recovery_codes WHERE user_id = $1 AND org_id = $2 AND created_at >= $3`,
			} {
				if _, err := q.exec(statement, userID, q.org, instant(since)); err != nil {
					return err
				}
			}
			_, err := q.exec(`UPDATE devices SET trusted_until = NULL WHERE user_id = $1 AND org_id = $2`, userID, q.org)
			return err
		})
	})
}
