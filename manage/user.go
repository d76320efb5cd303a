package manage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/identity"
	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/profile"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/storage"
)

// NewUser is a person who is to be made. E-mail address and password are needed, the rest is not.
type NewUser struct {
	Username, Email, FullName string
	Password                  secret.Text
	// Passwordless says that they have no password: they get in by a provider that vouches for their address, or choose a password by a
	// letter that they ask for.
	Passwordless bool
	// Verified says that the e-mail address is known to be theirs.
	Verified bool
	// Roles are names of roles that the organization has: the system roles always, of which owner may be called operator.
	Roles []string
	// Metadata holds claims about the person under their standard names (OpenID Connect Core 1.0 §5.1), and the
	// organization's own.
	Metadata map[string]any
}

// CreateUser makes a person of the organization. A user name or e-mail address that is taken is a Conflict, in whatever
// spelling.
func (o *Operators) CreateUser(ctx context.Context, user NewUser) (*storage.User, error) {
	missing, err := o.missingRoles(ctx, user.Roles)
	if err != nil {
		return nil, fmt.Errorf("create user: %w", err)
	}
	if err := errors.Join(user.check(), missing); err != nil {
		return nil, err
	}
	hash := password.None
	if !user.Passwordless {
		if hash, err = o.hasher.Hash(ctx, user.Password.Reveal()); err != nil {
			return nil, fmt.Errorf("create user: %w", err)
		}
	}
	var made *storage.User
	err = o.db.InTx(ctx, func(ctx context.Context) (err error) {
		if made, err = o.insertUser(ctx, user, hash); err != nil {
			return err
		}
		return o.audit(ctx, "user.created", made.ID.String(), map[string]any{"roles": rolesNamed(user.Roles), "verified": user.Verified})
	})
	if errors.Is(err, storage.ErrConflict) {
		return nil, o.whichUser(ctx, user)
	}
	if err != nil {
		return nil, during("create user", err)
	}
	return made, nil
}

func (u NewUser) check() error {
	var c complaints
	_, err := identity.Email(u.Email)
	c.check("email", err)
	if u.Username != "" {
		_, err := identity.Username(u.Username)
		c.check("username", err)
	}
	if u.FullName != "" {
		c.check("name", profile.Name(u.FullName))
	}
	switch {
	case !u.Passwordless:
		c.check("password", password.Check(u.Password.Reveal()))
	case u.Password != "":
		c.add("password", "there is none where somebody is to have none")
	}
	for _, role := range u.Roles {
		c.check("role", profile.Name(role))
	}
	for _, complaint := range profile.Metadata(u.Metadata) {
		c.add("metadata", "%s", complaint)
	}
	return c.err()
}

// judge says whether a password that somebody chooses for themselves would be guessed. An operator who makes an account for
// somebody else is only asked what check asks: what they choose is changed.
func (u NewUser) judge(organization string) error {
	var c complaints
	if err := password.Judge(u.Password.Reveal(), u.Username, u.Email, u.FullName, organization); errors.Is(err, password.ErrGuessable) {
		c.check("password", err)
	}
	return c.err()
}

// insertUser is the part of the deed that is done in the transaction.
func (o *Operators) insertUser(ctx context.Context, user NewUser, hash string) (*storage.User, error) {
	row := &storage.User{
		Email: user.Email, PasswordHash: hash, IsActive: true, IsVerified: user.Verified, Metadata: user.Metadata,
	}
	if row.Metadata == nil {
		row.Metadata = map[string]any{}
	}
	if user.Username != "" {
		row.Username = &user.Username
	}
	if user.FullName != "" {
		row.FullName = &user.FullName
	}
	if err := o.db.CreateUser(ctx, row); err != nil {
		return nil, err
	}
	for _, name := range user.Roles {
		role, err := o.role(ctx, name)
		if err != nil {
			return nil, err
		}
		if err := o.db.GrantRole(ctx, row.ID, role.ID); err != nil {
			return nil, err
		}
	}
	return row, nil
}

// missingRoles complains about names that are no role of the organization, together with what else is wrong.
func (o *Operators) missingRoles(ctx context.Context, names []string) (missing, err error) {
	var c complaints
	for _, name := range names {
		if permission.IsSystemRole(name) || profile.Name(name) != nil {
			continue
		}
		_, err := o.db.RoleByName(ctx, name)
		if errors.Is(err, storage.ErrNotFound) {
			c.check("role", noRole(name))
		} else if err != nil {
			return nil, err
		}
	}
	return c.err(), nil
}

// rolesNamed are roles under the names that they have.
func rolesNamed(names []string) []string {
	named := make([]string, len(names))
	for i, name := range names {
		named[i] = permission.RoleNamed(name)
	}
	return named
}

func noRole(name string) error { return fmt.Errorf("the organization has no role %q", name) }

// role finds a role by name, for somebody who is to have it. The system roles are made if an organization lacks them; a name that
// nobody gave to a role is a mistake. One that allows what the actor does not hold is Forbidden.
func (o *Operators) role(ctx context.Context, name string) (*storage.Role, error) {
	role, err := o.db.RoleByName(ctx, permission.RoleNamed(name))
	if errors.Is(err, storage.ErrNotFound) && permission.IsSystemRole(name) {
		if err := o.db.EnsureSystemRoles(ctx); err != nil {
			return nil, err
		}
		role, err = o.db.RoleByName(ctx, permission.RoleNamed(name))
	}
	if errors.Is(err, storage.ErrNotFound) {
		return nil, &Invalid{Field: "role", Message: noRole(name).Error()}
	}
	if err != nil {
		return nil, err
	}
	if actorOf(ctx).Bound != nil {
		allowed, err := o.db.PermissionsOfRoles(ctx, []uuid.UUID{role.ID})
		if err == nil {
			err = mayGive(ctx, allowed[role.ID]...)
		}
		if err != nil {
			return nil, err
		}
	}
	return role, nil
}

// whichUser says what made a person's row conflict with another's.
func (o *Operators) whichUser(ctx context.Context, user NewUser) error {
	email := &Conflict{Field: "email", Message: "somebody has this e-mail address already"}
	username := &Conflict{Field: "username", Message: "somebody has this user name already"}
	if user.Username == "" {
		return email
	}
	switch _, err := o.db.UserByLogin(ctx, user.Username); {
	case err == nil:
		return username
	case errors.Is(err, storage.ErrNotFound):
		return email
	default:
		return fmt.Errorf("create user: %w", err)
	}
}

// SetPassword gives a person a new password, by the user name or e-mail address that they sign in with. It ends their sessions
// and what was granted in them: whoever knew the old password is out.
func (o *Operators) SetPassword(ctx context.Context, login string, text secret.Text) error {
	if err := password.Check(text.Reveal()); err != nil {
		return &Invalid{Field: "password", Message: err.Error()}
	}
	user, err := o.db.UserByLogin(ctx, login)
	if err != nil {
		return fmt.Errorf("set password: %w", err)
	}
	return o.setPassword(ctx, user, text)
}

// SetPasswordOf is SetPassword for a person whose id is known.
func (o *Operators) SetPasswordOf(ctx context.Context, id uuid.UUID, text secret.Text) error {
	if err := password.Check(text.Reveal()); err != nil {
		return &Invalid{Field: "password", Message: err.Error()}
	}
	user, err := o.db.User(ctx, id)
	if err != nil {
		return fmt.Errorf("set password: %w", err)
	}
	return o.setPassword(ctx, user, text)
}

func (o *Operators) setPassword(ctx context.Context, user *storage.User, text secret.Text) error {
	hash, err := o.hasher.Hash(ctx, text.Reveal())
	if err != nil {
		return fmt.Errorf("set password: %w", err)
	}
	err = o.db.InTx(ctx, func(ctx context.Context) error {
		if err := o.mayActOn(ctx, user.ID); err != nil {
			return err
		}
		if err := o.db.SetPasswordHash(ctx, user.ID, hash); err != nil {
			return err
		}
		if err := o.db.EndSessionsOfUser(ctx, user.ID); err != nil {
			return err
		}
		// Nor does a sign-in go on that the old password began, or a link that whoever knew it has asked for; and no browser is trusted
		// any more to leave out the second factor.
		err := errors.Join(o.db.DistrustDevices(ctx, user.ID), o.db.EndSignInsOfUser(ctx, user.ID),
			o.db.EndVerificationTokensOfUser(ctx, user.ID, storage.PasswordReset, storage.EmailChange, storage.EmailCode))
		if err != nil {
			return err
		}
		if o.composer != nil { // whoever has talked an operator into it does not go unnoticed (S-209)
			letter := mail.Letter{Kind: mail.PasswordChange, To: user.Email, Name: deref(user.FullName), When: moment()}
			if err := o.post(ctx, user, letter); err != nil {
				return err
			}
		}
		return o.audit(ctx, "user.password_set", user.ID.String(), nil)
	})
	if err != nil {
		return during("set password", err)
	}
	return nil
}

// sameJSON compares what would be written.
func sameJSON(a, b map[string]any) bool {
	if len(a) == 0 && len(b) == 0 {
		return true
	}
	first, err := json.Marshal(a)
	second, err2 := json.Marshal(b)
	return err == nil && err2 == nil && string(first) == string(second)
}
