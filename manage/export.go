package manage

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

// ExportOptions say what a file of people holds besides.
type ExportOptions struct {
	// Hashes are what passwords are checked against. Whoever has them can guess at the passwords for as long as they like.
	Hashes bool
	// IDs keep for applications who somebody is, where the people move to another installation.
	IDs bool
}

// exportPage is how many people are in memory at once.
const exportPage = 500

// ExportUsers writes the people of the organization, in a form that ImportUsers reads, and returns how many there were. It is
// written down before the first of them is out.
func (o *Operators) ExportUsers(ctx context.Context, to RecordWriter, options ExportOptions) (n int, err error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return 0, err
	}
	err = o.audit(ctx, "organization.users_exported", org.Slug, map[string]any{"password_hashes": options.Hashes})
	if err != nil {
		return 0, err
	}
	for after := uuid.Nil; ; {
		users, err := o.db.ListUsers(ctx, after, exportPage)
		if err != nil {
			return n, fmt.Errorf("export users: %w", err)
		}
		if len(users) == 0 {
			return n, to.Flush()
		}
		ids := make([]uuid.UUID, len(users))
		for i, user := range users {
			ids[i], after = user.ID, user.ID
		}
		roles, err := o.db.RoleNames(ctx, ids)
		if err != nil {
			return n, fmt.Errorf("export users: %w", err)
		}
		for i := range users {
			if err := to.Write(recordOf(&users[i], roles[users[i].ID], options)); err != nil {
				return n, fmt.Errorf("export users: %w", err)
			}
			n++
		}
	}
}

func recordOf(user *storage.User, roles []string, options ExportOptions) *Record {
	at := user.CreatedAt.UTC()
	r := &Record{
		Email: user.Email, EmailVerified: &user.IsVerified, Username: user.Username, Name: user.FullName, Active: &user.IsActive, Roles: roles,
		Metadata: user.Metadata, CreatedAt: &at,
	}
	if options.IDs {
		r.ID = user.ID.String()
	}
	if options.Hashes && user.PasswordHash != password.None {
		r.PasswordHash = user.PasswordHash
	}
	return r
}
