package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
)

// Role is a role as it is answered.
type Role struct {
	ID           string    `json:"id" format:"uuid"`
	Name         string    `json:"name"`
	Description  string    `json:"description,omitempty"`
	IsSystemRole bool      `json:"is_system_role" doc:"Whether it is the product's own, which every organization has and nobody changes."`
	Permissions  []string  `json:"permissions" doc:"The names of what it allows."`
	CreatedAt    time.Time `json:"created_at"`
}

func roleOf(row *manage.Role) Role {
	return Role{row.ID.String(), row.Name, row.Description, row.IsSystemRole, append([]string{}, row.Permissions...), row.CreatedAt.UTC()}
}

// OfRole is the part of an address that names a role.
type OfRole struct {
	InOrg
	Role string `path:"role" maxLength:"200" doc:"The role's id, or its name."`
}

// role is the one that an address names.
func (a *API) role(ctx context.Context, name string) (*manage.Role, error) {
	if id, err := storage.ParseID(name); err == nil {
		return a.operators.Role(ctx, id)
	}
	return a.operators.RoleNamed(ctx, name)
}

// ifRole carries a deed about a role out if it is as whoever asks knows it.
func (a *API) ifRole(ctx context.Context, c Changing, name string, deed func(ctx context.Context, id uuid.UUID) error) error {
	row, err := a.role(ctx, name)
	if err != nil {
		return err
	}
	lock := func(ctx context.Context) error { _, err := a.db.LockRole(ctx, row.ID); return err }
	current := func(ctx context.Context) (any, error) {
		row, err := a.operators.Role(ctx, row.ID)
		if err != nil {
			return nil, err
		}
		return roleOf(row), nil
	}
	return a.unchanged(ctx, c, lock, current, func(ctx context.Context) error { return deed(ctx, row.ID) })
}

const (
	rolesPath     = orgPath + "/roles"
	rolePath      = rolesPath + "/{role}"
	userRolesPath = userPath + "/roles"
)

// mountRoles are /organizations/{org}/roles, and who has them.
func (a *API) mountRoles() {
	type listIn struct {
		InOrg
		Paging
	}
	register(a, operation{
		id: "list-roles", method: http.MethodGet, path: rolesPath, summary: "List roles, by name", permission: permission.RolesRead,
	}, func(ctx context.Context, in *listIn) (*page[Role], error) {
		read := func(after string, limit int) ([]manage.Role, error) { return a.operators.ListRoles(ctx, after, limit) }
		return named(ctx, a, in.Paging, "roles", read, func(row *manage.Role) string { return row.Name }, roleOf)
	})

	type createIn struct {
		InOrg
		Body struct {
			Name        string   `json:"name" maxLength:"200" example:"editor"`
			Description string   `json:"description,omitempty" maxLength:"500"`
			Permissions []string `json:"permissions,omitempty" maxItems:"1000" doc:"The names of what it allows."`
		} `nameHint:"NewRole"`
	}
	register(a, operation{
		id: "create-role", method: http.MethodPost, path: rolesPath, summary: "Make a role", status: http.StatusCreated,
		description: "It allows nothing that whoever makes it does not hold.", permission: permission.RolesWrite,
	}, func(ctx context.Context, in *createIn) (*one[Role], error) {
		row, err := a.operators.CreateRole(ctx, manage.NewRole{Name: in.Body.Name, Description: in.Body.Description, Permissions: in.Body.Permissions})
		if err != nil {
			return nil, err
		}
		return made(ctx, a, row.ID.String(), roleOf(row))
	})

	type readIn struct {
		OfRole
		Reading
	}
	register(a, operation{
		id: "get-role", method: http.MethodGet, path: rolePath, summary: "Show a role", permission: permission.RolesRead,
	}, func(ctx context.Context, in *readIn) (*one[Role], error) {
		row, err := a.role(ctx, in.Role)
		if err != nil {
			return nil, err
		}
		return shownUnless(in.Reading, roleOf(row))
	})

	type patchIn struct {
		OfRole
		Changing
		Body struct {
			Name        given[string]     `json:"name,omitzero" maxLength:"200"`
			Description removable[string] `json:"description,omitzero" maxLength:"500"`
			Permissions given[[]string]   `json:"permissions,omitzero" maxItems:"1000" doc:"They replace all that there are."`
		} `contentType:"application/merge-patch+json" nameHint:"RolePatch"`
	}
	register(a, operation{
		id: "update-role", method: http.MethodPatch, path: rolePath, summary: "Change a role", permission: permission.RolesWrite,
		description: "For everybody who has it, from their next token on. System roles stay as they are.", names: fields{"role": ""},
	}, func(ctx context.Context, in *patchIn) (out *one[Role], err error) {
		err = a.ifRole(ctx, in.Changing, in.Role, func(ctx context.Context, id uuid.UUID) error {
			row, err := a.operators.UpdateRole(ctx, id, manage.RolePatch{
				Name: in.Body.Name.pointer(), Description: in.Body.Description.pointer(), Permissions: in.Body.Permissions.pointer(),
			})
			if err != nil {
				return err
			}
			out, err = shown(roleOf(row))
			return err
		})
		return out, err
	})

	type deleteIn struct {
		OfRole
		Changing
	}
	register(a, operation{
		id: "delete-role", method: http.MethodDelete, path: rolePath, summary: "Delete a role", names: fields{"role": ""},
		description: "It is taken from everybody who has it. System roles stay.", permission: permission.RolesWrite,
	}, func(ctx context.Context, in *deleteIn) (*nothing, error) {
		return nil, a.ifRole(ctx, in.Changing, in.Role, a.operators.DeleteRole)
	})

	type holdersIn struct {
		OfRole
		Paging
	}
	register(a, operation{
		id: "list-role-users", method: http.MethodGet, path: rolePath + "/users", summary: "List the people who have a role", permission: permission.RolesRead,
	}, func(ctx context.Context, in *holdersIn) (*page[User], error) {
		row, err := a.role(ctx, in.Role)
		if err != nil {
			return nil, err
		}
		l, err := a.listing(ctx, in.Paging, "role users", "", row.ID)
		if err != nil {
			return nil, err
		}
		rows, next, err := a.db.FindUsers(ctx, storage.UserFilter{Role: row.Name}, l)
		if err != nil {
			return nil, err
		}
		return paged(ctx, a, rows, next, "role users", "", row.ID, userOf)
	})

	register(a, operation{
		id: "list-user-roles", method: http.MethodGet, path: userRolesPath, summary: "List the roles of a person", permission: permission.RolesRead,
	}, func(ctx context.Context, in *OfUser) (*page[Role], error) {
		user, err := a.user(ctx, in.User)
		if err != nil {
			return nil, err
		}
		rows, err := a.operators.RolesOf(ctx, user.ID)
		return whole(shownAll(rows, roleOf)), err
	})

	type OfAssignment struct {
		OfUser
		Role string `path:"role" maxLength:"200" doc:"The role's id, or its name."`
	}
	assignment := func(ctx context.Context, in *OfAssignment, deed func(ctx context.Context, user, role uuid.UUID) error) error {
		user, err := a.user(ctx, in.User)
		if err != nil {
			return err
		}
		row, err := a.role(ctx, in.Role)
		if err != nil {
			return err
		}
		return deed(ctx, user.ID, row.ID)
	}
	register(a, operation{
		id: "grant-user-role", method: http.MethodPut, path: userRolesPath + "/{role}", summary: "Give a person a role",
		description: "Nobody gives what they do not hold. That the person has it already is as good.", permission: permission.RolesWrite,
	}, func(ctx context.Context, in *OfAssignment) (*nothing, error) {
		return nil, assignment(ctx, in, func(ctx context.Context, user, role uuid.UUID) error {
			_, err := a.operators.GrantRole(ctx, user, role)
			return err
		})
	})
	register(a, operation{
		id: "revoke-user-role", method: http.MethodDelete, path: userRolesPath + "/{role}", summary: "Take a role from a person", names: fields{"user": ""},
		description: "The last owner stays one.", permission: permission.RolesWrite,
	}, func(ctx context.Context, in *OfAssignment) (*nothing, error) {
		return nil, assignment(ctx, in, a.operators.RevokeRole)
	})
}
