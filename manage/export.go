package manage

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/permission"
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
	for after := uuid.Nil; ; {
		records, next, err := o.ExportUsersPart(ctx, options, after, exportPage)
		if err != nil {
			return n, err
		}
		for i := range records {
			if err := to.Write(&records[i]); err != nil {
				return n, fmt.Errorf("export users: %w", err)
			}
			n++
		}
		if next == uuid.Nil {
			return n, to.Flush()
		}
		after = next
	}
}

// ExportUsersPart returns the first of the people who come after one, and after whom it goes on; uuid.Nil is the beginning, and the end.
// Hashes of passwords are for whoever holds everything: they may let somebody become anybody.
func (o *Operators) ExportUsersPart(ctx context.Context, options ExportOptions, after uuid.UUID, most int) (part []Record, next uuid.UUID, err error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, next, err
	}
	if options.Hashes {
		for _, p := range permission.All() {
			if err := mayGive(ctx, p.Name); err != nil {
				return nil, next, err
			}
		}
	}
	if after == uuid.Nil {
		if err := o.audit(ctx, "organization.users_exported", org.Slug, map[string]any{"password_hashes": options.Hashes}); err != nil {
			return nil, next, err
		}
	}
	users, err := o.db.ListUsers(ctx, after, most+1)
	if err != nil {
		return nil, next, fmt.Errorf("export users: %w", err)
	}
	if len(users) > most {
		users = users[:most]
		next = users[most-1].ID
	}
	ids := make([]uuid.UUID, len(users))
	for i := range users {
		ids[i] = users[i].ID
	}
	roles, err := o.db.RoleNames(ctx, ids)
	if err != nil {
		return nil, next, fmt.Errorf("export users: %w", err)
	}
	part = make([]Record, len(users))
	for i := range users {
		part[i] = *recordOf(&users[i], roles[users[i].ID], options)
	}
	return part, next, nil
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
