package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/mergepatch"
	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
)

// User is a person as they are answered. The members are called as the columns are.
type User struct {
	ID         string         `json:"id" format:"uuid" doc:"What applications know as sub, unless they know people by pairwise identifiers."`
	Email      string         `json:"email"`
	Username   string         `json:"username,omitempty"`
	FullName   string         `json:"full_name,omitempty"`
	IsActive   bool           `json:"is_active" doc:"Whether they can sign in. It is changed by enabling and disabling them."`
	IsVerified bool           `json:"is_verified" doc:"Whether the e-mail address is known to be theirs."`
	Metadata   map[string]any `json:"metadata,omitempty" doc:"Claims under their standard names (OpenID Connect Core 1.0 §5.1), and the organization's own."`
	CreatedAt  time.Time      `json:"created_at"`
	UpdatedAt  time.Time      `json:"updated_at"`
	LastLogin  *time.Time     `json:"last_login,omitempty"`
}

func userOf(row *storage.User) User {
	return User{
		ID: row.ID.String(), Email: row.Email, Username: deref(row.Username), FullName: deref(row.FullName), IsActive: row.IsActive,
		IsVerified: row.IsVerified, Metadata: row.Metadata, CreatedAt: row.CreatedAt.UTC(), UpdatedAt: row.UpdatedAt.UTC(), LastLogin: utc(row.LastLogin),
	}
}

// OfUser is the part of an address that names a person.
type OfUser struct {
	InOrg
	User string `path:"user" doc:"The person's id."`
}

// user is the person that an address names.
func (a *API) user(ctx context.Context, name string) (*storage.User, error) {
	id, err := storage.ParseID(name)
	if err != nil {
		return nil, err
	}
	return a.db.User(ctx, id)
}

// ifUser carries a deed about a person out if they are as whoever asks knows them.
func (a *API) ifUser(ctx context.Context, c Changing, name string, deed func(ctx context.Context, id uuid.UUID) error) error {
	id, err := storage.ParseID(name)
	if err != nil {
		return err
	}
	lock := func(ctx context.Context) error { _, err := a.db.LockUser(ctx, id); return err }
	current := func(ctx context.Context) (any, error) {
		row, err := a.db.User(ctx, id)
		if err != nil {
			return nil, err
		}
		return userOf(row), nil
	}
	return a.unchanged(ctx, c, lock, current, func(ctx context.Context) error { return deed(ctx, id) })
}

const (
	usersPath = orgPath + "/users"
	userPath  = usersPath + "/{user}"
)

// userNames are the members that the fields of deeds about people stand in.
var userNames = fields{"name": "/full_name", "verified": "/is_verified", "role": "/roles"}

// mountUsers are /organizations/{org}/users and what is done to one of them.
func (a *API) mountUsers() {
	type Filter struct {
		Search     string `query:"search" maxLength:"200" doc:"What stands in the e-mail address, the user name or the full name."`
		Email      string `query:"email" maxLength:"320" doc:"The e-mail address, in any spelling."`
		Username   string `query:"username" maxLength:"200" doc:"The user name, in any spelling."`
		Role       string `query:"role" maxLength:"200" doc:"The name of a role that they have."`
		IsActive   string `query:"is_active" enum:"true,false"`
		IsVerified string `query:"is_verified" enum:"true,false"`
	}
	type listIn struct {
		InOrg
		Paging
		Filter
		Sort string `query:"sort" enum:"created_at,-created_at,email,-email" default:"created_at"`
	}
	register(a, operation{
		id: "list-users", method: http.MethodGet, path: usersPath, summary: "List people", permission: permission.UsersRead,
	}, func(ctx context.Context, in *listIn) (*page[User], error) {
		l, err := a.listing(ctx, in.Paging, "users", in.Sort, in.Filter)
		if err != nil {
			return nil, err
		}
		rows, next, err := a.db.FindUsers(ctx, storage.UserFilter{
			Search: in.Search, Email: in.Email, Username: in.Username, Role: permission.RoleNamed(in.Role), Active: truth(in.IsActive), Verified: truth(in.IsVerified),
		}, l)
		if err != nil {
			return nil, err
		}
		return paged(ctx, a, rows, next, "users", in.Sort, in.Filter, userOf)
	})

	type createIn struct {
		InOrg
		Body struct {
			Email      string         `json:"email" maxLength:"320"`
			Username   string         `json:"username,omitempty" maxLength:"200"`
			FullName   string         `json:"full_name,omitempty" maxLength:"200"`
			Password   given[string]  `json:"password,omitzero" writeOnly:"true" maxLength:"1024" doc:"What they sign in with."`
			IsVerified bool           `json:"is_verified,omitempty" doc:"Whether the e-mail address is known to be theirs."`
			Roles      []string       `json:"roles,omitempty" maxItems:"100" doc:"The names of the roles that they have from the beginning."`
			Metadata   map[string]any `json:"metadata,omitempty" doc:"Claims under their standard names, and the organization's own."`
		} `nameHint:"NewUser"`
	}
	register(a, operation{
		id: "create-user", method: http.MethodPost, path: usersPath, summary: "Make a person", status: http.StatusCreated,
		description: "Without a password they get in by a provider that vouches for their address, or choose one by a letter that they ask for.",
		permission:  permission.UsersWrite, names: userNames,
	}, func(ctx context.Context, in *createIn) (*one[User], error) {
		row, err := a.operators.CreateUser(ctx, manage.NewUser{
			Username: in.Body.Username, Email: in.Body.Email, FullName: in.Body.FullName, Password: secret.Text(in.Body.Password.Value),
			Passwordless: !in.Body.Password.Is, Verified: in.Body.IsVerified, Roles: in.Body.Roles, Metadata: in.Body.Metadata,
		})
		if err != nil {
			return nil, err
		}
		return made(ctx, a, row.ID.String(), userOf(row))
	})

	type readIn struct {
		OfUser
		Reading
	}
	register(a, operation{
		id: "get-user", method: http.MethodGet, path: userPath, summary: "Show a person", permission: permission.UsersRead,
	}, func(ctx context.Context, in *readIn) (*one[User], error) {
		row, err := a.user(ctx, in.User)
		if err != nil {
			return nil, err
		}
		return shownUnless(in.Reading, userOf(row))
	})

	type patchIn struct {
		OfUser
		Changing
		Body struct {
			Email      given[string]             `json:"email,omitzero" maxLength:"320" doc:"Another address counts as unproven, unless it is said here."`
			Username   removable[string]         `json:"username,omitzero" maxLength:"200"`
			FullName   removable[string]         `json:"full_name,omitzero" maxLength:"200"`
			IsVerified given[bool]               `json:"is_verified,omitzero"`
			Metadata   removable[map[string]any] `json:"metadata,omitzero" doc:"It is merged as the rest is: what is null in it is taken away."`
		} `contentType:"application/merge-patch+json" nameHint:"UserPatch"`
	}
	register(a, operation{
		id: "update-user", method: http.MethodPatch, path: userPath, summary: "Change a person", permission: permission.UsersWrite, names: userNames,
	}, func(ctx context.Context, in *patchIn) (out *one[User], err error) {
		err = a.ifUser(ctx, in.Changing, in.User, func(ctx context.Context, id uuid.UUID) error {
			return a.db.InTx(ctx, func(ctx context.Context) error {
				patch := manage.UserPatch{
					Email: in.Body.Email.pointer(), Username: in.Body.Username.pointer(), FullName: in.Body.FullName.pointer(), Verified: in.Body.IsVerified.pointer(),
				}
				if in.Body.Metadata.Is {
					before, err := a.db.LockUser(ctx, id)
					if err != nil {
						return err
					}
					metadata := map[string]any{}
					if in.Body.Metadata.Value != nil {
						metadata = mergepatch.Apply(before.Metadata, in.Body.Metadata.Value)
					}
					patch.Metadata = &metadata
				}
				row, err := a.operators.UpdateUser(ctx, id, patch)
				if err != nil {
					return err
				}
				out, err = shown(userOf(row))
				return err
			})
		})
		return out, err
	})

	type passwordIn struct {
		OfUser
		Body struct {
			Password string `json:"password" writeOnly:"true" maxLength:"1024"`
		} `nameHint:"NewPassword"`
	}
	register(a, operation{
		id: "set-user-password", method: http.MethodPut, path: userPath + "/password", summary: "Give a person a new password",
		description: "It ends their sessions and what was granted in them. They are told so by mail.", permission: permission.UsersWrite,
	}, func(ctx context.Context, in *passwordIn) (*nothing, error) {
		id, err := storage.ParseID(in.User)
		if err != nil {
			return nil, err
		}
		return nil, a.operators.SetPasswordOf(ctx, id, secret.Text(in.Body.Password))
	})

	type deleteIn struct {
		OfUser
		Changing
	}
	register(a, operation{
		id: "delete-user", method: http.MethodDelete, path: userPath, summary: "Delete a person",
		description: "Deletes a person and all that is theirs, for good. The last owner stays.", permission: permission.UsersWrite,
	}, func(ctx context.Context, in *deleteIn) (*nothing, error) {
		return nil, a.ifUser(ctx, in.Changing, in.User, a.operators.DeleteUser)
	})

	for _, deed := range []struct {
		name, summary, description string
		do                         func(context.Context, uuid.UUID) (*storage.User, error)
	}{
		{"disable", "Switch a person off", "Whatever they are signed in to, or was granted in their name, ends. The last owner stays.", a.operators.DisableUser},
		{"enable", "Switch a person on again", "What has ended stays ended.", a.operators.EnableUser},
	} {
		register(a, operation{
			id: deed.name + "-user", method: http.MethodPost, path: userPath + "/" + deed.name, summary: deed.summary, description: deed.description,
			permission: permission.UsersWrite,
		}, func(ctx context.Context, in *OfUser) (*one[User], error) {
			id, err := storage.ParseID(in.User)
			if err != nil {
				return nil, err
			}
			row, err := deed.do(ctx, id)
			if err != nil {
				return nil, err
			}
			return shown(userOf(row))
		})
	}
}
