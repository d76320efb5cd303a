package storage

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/identity"
)

// User is a person of an organization. Whoever makes one says whether it is active: the zero value is not.
type User struct {
	ID uuid.UUID `gorm:"column:id;primaryKey"`
	Owned
	Email    string  `gorm:"column:email"`
	Username *string `gorm:"column:username"`
	// PasswordHash is left out where a user is read along with something else.
	PasswordHash string         `gorm:"column:password_hash"`
	FullName     *string        `gorm:"column:full_name"`
	IsActive     bool           `gorm:"column:is_active"`
	IsVerified   bool           `gorm:"column:is_verified"`
	Metadata     map[string]any `gorm:"column:metadata;serializer:json"`
	CreatedAt    time.Time      `gorm:"column:created_at"`
	UpdatedAt    time.Time      `gorm:"column:updated_at"`
	LastLogin    *time.Time     `gorm:"column:last_login"`

	// EmailCanonical and UsernameCanonical are what a login is compared with. CreateUser fills them.
	EmailCanonical    *string `gorm:"column:email_canonical"`
	UsernameCanonical *string `gorm:"column:username_canonical"`
}

func (User) TableName() string { return "users" }

// DisplayName is what a person is called to their face: by the name that they sign in with.
func (u *User) DisplayName() string {
	if u.Username != nil && *u.Username != "" {
		return *u.Username
	}
	return u.Email
}

// CreateUser inserts a person. An e-mail address or user name that is another spelling of one that is taken is ErrConflict;
// one that is none is an error of package identity.
func (db *DB) CreateUser(ctx context.Context, user *User) error {
	if err := user.complete(); err != nil {
		return err
	}
	return db.scoped(ctx, writing, "create user", func(q *query) error {
		identify(&user.ID)
		return q.create(user)
	})
}

// User returns a person by id, active or not.
func (db *DB) User(ctx context.Context, id uuid.UUID) (*User, error) {
	var user User
	err := db.scoped(ctx, reading, "read user", func(q *query) error {
		return q.of(&user).Where("id = ?", id).Take(&user).Error
	})
	if err != nil {
		return nil, err
	}
	return &user, nil
}

// UserByLogin returns a person, active or not, by what they type to sign in: an e-mail address or a user name, in any
// spelling that means the same. A user name has no @ in it, so a login is never both.
func (db *DB) UserByLogin(ctx context.Context, login string) (*User, error) {
	var user User
	err := db.scoped(ctx, reading, "read user by login", func(q *query) error {
		column, canonical := "username_canonical = ?", identity.Username
		if strings.Contains(login, "@") {
			column, canonical = "email_canonical = ?", identity.Email
		}
		name, err := canonical(login)
		if err != nil {
			return ErrNotFound
		}
		return q.of(&user).Where(column, name).Take(&user).Error
	})
	if err != nil {
		return nil, err
	}
	return &user, nil
}

// PasswordHashFrom returns what the password of a person is checked against, whoever is the first from an id on.
func (db *DB) PasswordHashFrom(ctx context.Context, id uuid.UUID) (hash string, err error) {
	err = db.scoped(ctx, reading, "read a password hash", func(q *query) error {
		return q.row(`SELECT password_hash FROM users WHERE org_id = $1 AND id >= $2 ORDER BY id LIMIT 1`, q.org, id).Scan(&hash)
	})
	return hash, err
}

// ListUsers returns people in the order of their ids, those after the given one.
func (db *DB) ListUsers(ctx context.Context, after uuid.UUID, limit int) ([]User, error) {
	var users []User
	err := db.scoped(ctx, reading, "list users", func(q *query) error {
		return q.of(&User{}).Where("id > ?", after).Order("id").Limit(limited(limit)).Find(&users).Error
	})
	return users, err
}

// errNoHash says that a person was to be written without anything that a password is checked against. Who has none holds a marker that
// no password matches; an empty text is what whoever forgot to read the column would take for one.
var errNoHash = errors.New("a person has a password hash, or the marker that says there is none")

// complete makes a person ready to be inserted.
func (u *User) complete() error {
	if u.PasswordHash == "" {
		return errNoHash
	}
	return u.canonicalize()
}

// SetPasswordHash replaces what a person's password is checked against.
func (db *DB) SetPasswordHash(ctx context.Context, id uuid.UUID, hash string) error {
	if hash == "" {
		return errNoHash
	}
	return db.scoped(ctx, writing, "set password hash", func(q *query) error {
		return changed(q.of(&User{}).Where("id = ?", id).
			Updates(map[string]any{"password_hash": hash, "updated_at": q.now}), ErrNotFound)
	})
}

// SetUserActive switches a person on or off. Off ends their sessions, their links and codes, and everything granted in their
// name as well, and those stay ended when the person is switched on again.
func (db *DB) SetUserActive(ctx context.Context, id uuid.UUID, active bool) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		err := db.scoped(ctx, writing, "set user active", func(q *query) error {
			return changed(q.of(&User{}).Where("id = ?", id).
				Updates(map[string]any{"is_active": active, "updated_at": q.now}), ErrNotFound)
		})
		if err != nil || active {
			return err
		}
		if err := db.EndVerificationTokensOfUser(ctx, id, tokensOfUser...); err != nil {
			return err
		}
		return db.EndSessionsOfUser(ctx, id)
	})
}

// VerifyUser notes that a person's e-mail address is theirs, if it is still the one that was proven, in its canonical form.
func (db *DB) VerifyUser(ctx context.Context, id uuid.UUID, canonical string) error {
	return db.scoped(ctx, writing, "verify user", func(q *query) error {
		return changed(q.of(&User{}).Where("id = ? AND email_canonical = ?", id, canonical).
			Updates(map[string]any{"is_verified": true, "updated_at": q.now}), ErrNotFound)
	})
}

// RecordLogin notes when a person signed in last.
func (db *DB) RecordLogin(ctx context.Context, id uuid.UUID, at time.Time) error {
	return db.scoped(ctx, writing, "record login", func(q *query) error {
		return changed(q.of(&User{}).Where("id = ?", id).UpdateColumn("last_login", at), ErrNotFound)
	})
}

// DeleteUser removes a person and all that is theirs. What was audited stays.
func (db *DB) DeleteUser(ctx context.Context, id uuid.UUID) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "delete user", func(q *query) error {
			// First that the person is of this organization: the rows below are found by the person alone.
			if err := q.of(&User{}).Where("id = ?", id).Select("id").Take(&User{}).Error; err != nil {
				return err
			}
			if err := q.tellClients(`user_id = $4`, id); err != nil {
				return err
			}
			for _, statement := range []string{
				`DELETE FROM sessions WHERE user_id = $1`,
				`DELETE FROM verification_tokens WHERE user_id = $1`,
				`DELETE FROM user_roles WHERE user_id = $1`,
				`DELETE FROM oauth_accounts WHERE user_id = $1`,
				`DELETE FROM users WHERE id = $1`, // grants, refresh tokens and consents with it
			} {
				if _, err := q.exec(statement, id); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// userColumns are those of a user, without the password hash, that are read along with something else; scan lists where
// they go.
const userColumns = `u.id, u.email, u.username, u.full_name, u.is_active, u.is_verified, u.metadata, u.created_at,
	u.updated_at, u.last_login, u.email_canonical, u.username_canonical`

func (u *User) scan() []any {
	return []any{
		&u.ID, &u.Email, &u.Username, &u.FullName, maybe[bool]{&u.IsActive}, maybe[bool]{&u.IsVerified}, object{&u.Metadata},
		maybe[time.Time]{&u.CreatedAt}, maybe[time.Time]{&u.UpdatedAt}, &u.LastLogin, &u.EmailCanonical, &u.UsernameCanonical,
	}
}
