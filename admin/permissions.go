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

// Permission is a permission as it is answered.
type Permission struct {
	ID          string    `json:"id" format:"uuid"`
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	Resource    string    `json:"resource"`
	Action      string    `json:"action"`
	IsSystem    bool      `json:"is_system" doc:"Whether it is the product's own, which every organization has and nobody changes."`
	CreatedAt   time.Time `json:"created_at"`
}

func permissionOf(row *storage.Permission) Permission {
	return Permission{
		row.ID.String(), row.Name, row.Description, row.Resource, row.Action, permission.Reserved(row.Name), row.CreatedAt.UTC(),
	}
}

// permission is the one that an address names.
func (a *API) permission(ctx context.Context, name string) (*storage.Permission, error) {
	if id, err := storage.ParseID(name); err == nil {
		return a.operators.Permission(ctx, id)
	}
	return a.operators.PermissionNamed(ctx, name)
}

// ifPermission carries a deed about a permission out if it is as whoever asks knows it.
func (a *API) ifPermission(ctx context.Context, c Changing, name string, deed func(ctx context.Context, id uuid.UUID) error) error {
	row, err := a.permission(ctx, name)
	if err != nil {
		return err
	}
	lock := func(ctx context.Context) error { return a.db.LockPermission(ctx, row.ID) }
	current := func(ctx context.Context) (any, error) {
		row, err := a.operators.Permission(ctx, row.ID)
		if err != nil {
			return nil, err
		}
		return permissionOf(row), nil
	}
	return a.unchanged(ctx, c, lock, current, func(ctx context.Context) error { return deed(ctx, row.ID) })
}

const (
	permissionsPath = orgPath + "/permissions"
	permissionPath  = permissionsPath + "/{permission}"
)

// mountPermissions are /organizations/{org}/permissions.
func (a *API) mountPermissions() {
	type listIn struct {
		InOrg
		Paging
	}
	register(a, operation{
		id: "list-permissions", method: http.MethodGet, path: permissionsPath, summary: "List permissions, by name", permission: permission.RolesRead,
	}, func(ctx context.Context, in *listIn) (*page[Permission], error) {
		read := func(after string, limit int) ([]storage.Permission, error) {
			return a.operators.ListPermissions(ctx, after, limit)
		}
		return named(ctx, a, in.Paging, "permissions", read, func(row *storage.Permission) string { return row.Name }, permissionOf)
	})

	type createIn struct {
		InOrg
		Body struct {
			Resource    string `json:"resource" maxLength:"128" example:"orders"`
			Action      string `json:"action" maxLength:"128" example:"read"`
			Name        string `json:"name,omitempty" maxLength:"128" doc:"resource:action, if it is left out." example:"orders:read"`
			Description string `json:"description,omitempty" maxLength:"500"`
		} `nameHint:"NewPermission"`
	}
	register(a, operation{
		id: "create-permission", method: http.MethodPost, path: permissionsPath, summary: "Make a permission", status: http.StatusCreated,
		description: "Owner and admin hold it from then on, the auditor if its action is read, others by roles that come to allow it.",
		permission:  permission.RolesWrite,
	}, func(ctx context.Context, in *createIn) (*one[Permission], error) {
		row, err := a.operators.CreatePermission(ctx, manage.NewPermission{
			Name: in.Body.Name, Description: in.Body.Description, Resource: in.Body.Resource, Action: in.Body.Action,
		})
		if err != nil {
			return nil, err
		}
		return made(ctx, a, row.ID.String(), permissionOf(row))
	})

	type OfPermission struct {
		InOrg
		Permission string `path:"permission" maxLength:"200" doc:"The permission's id, or its name."`
	}
	type readIn struct {
		OfPermission
		Reading
	}
	register(a, operation{
		id: "get-permission", method: http.MethodGet, path: permissionPath, summary: "Show a permission", permission: permission.RolesRead,
	}, func(ctx context.Context, in *readIn) (*one[Permission], error) {
		row, err := a.permission(ctx, in.Permission)
		if err != nil {
			return nil, err
		}
		return shownUnless(in.Reading, permissionOf(row))
	})

	type patchIn struct {
		OfPermission
		Changing
		Body struct {
			Name        given[string]     `json:"name,omitzero" maxLength:"128"`
			Description removable[string] `json:"description,omitzero" maxLength:"500"`
			Resource    given[string]     `json:"resource,omitzero" maxLength:"128"`
			Action      given[string]     `json:"action,omitzero" maxLength:"128"`
		} `contentType:"application/merge-patch+json" nameHint:"PermissionPatch"`
	}
	register(a, operation{
		id: "update-permission", method: http.MethodPatch, path: permissionPath, summary: "Change a permission", permission: permission.RolesWrite,
		description: "For every role and scope that goes by it. The product's own stay as they are.", names: fields{"permission": ""},
	}, func(ctx context.Context, in *patchIn) (out *one[Permission], err error) {
		err = a.ifPermission(ctx, in.Changing, in.Permission, func(ctx context.Context, id uuid.UUID) error {
			row, err := a.operators.UpdatePermission(ctx, id, manage.PermissionPatch{
				Name: in.Body.Name.pointer(), Description: in.Body.Description.pointer(), Resource: in.Body.Resource.pointer(), Action: in.Body.Action.pointer(),
			})
			if err != nil {
				return err
			}
			out, err = shown(permissionOf(row))
			return err
		})
		return out, err
	})

	type deleteIn struct {
		OfPermission
		Changing
	}
	register(a, operation{
		id: "delete-permission", method: http.MethodDelete, path: permissionPath, summary: "Delete a permission", names: fields{"permission": ""},
		description: "It is taken out of every role. One that the scope of an API is tied to stays.", permission: permission.RolesWrite,
	}, func(ctx context.Context, in *deleteIn) (*nothing, error) {
		return nil, a.ifPermission(ctx, in.Changing, in.Permission, a.operators.DeletePermission)
	})
}
