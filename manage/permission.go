package manage

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/storage"
)

// NewPermission is a permission that is to be made: an action on a resource. Without a name it is called by both.
type NewPermission struct {
	Name, Description, Resource, Action string
}

// PermissionPatch is a change to a permission. What is nil stays as it is.
type PermissionPatch struct {
	Name, Description, Resource, Action *string
}

func checkPermission(p storage.Permission) error {
	var c complaints
	word := func(field, text string) {
		switch err := checkScope(text); {
		case text == "":
			c.add(field, "it must not be empty")
		case err != nil:
			c.add(field, "it has 1 to %d characters, none of them a space, a quotation mark, a backslash or beyond ASCII", maxScope)
		}
	}
	word("resource", p.Resource)
	word("action", p.Action)
	if strings.Contains(p.Action, ":") {
		c.add("action", "it must not have a colon in it")
	}
	// Of a wrong resource there is nothing to say again.
	if p.Name != p.Resource+":"+p.Action || c.err() == nil {
		word("name", p.Name)
	}
	if permission.Reserved(p.Name) {
		c.add("name", "names that begin with %s are kept for Keizer itself", permission.Prefix)
	}
	c.check("description", checkDescription(p.Description))
	return c.err()
}

func permissionState(p *storage.Permission) map[string]any {
	return map[string]any{"name": p.Name, "description": p.Description, "resource": p.Resource, "action": p.Action}
}

// permissionError says what a permission's name conflicts with.
func permissionError(deed string, err error) error {
	var conflict *Conflict
	if errors.Is(err, storage.ErrConflict) && !errors.As(err, &conflict) {
		return &Conflict{Field: "name", Message: "a permission has it already, or another spelling of it"}
	}
	return during(deed, err)
}

// CreatePermission makes a permission of the organization's own. The owner and admin hold it from then on, and the auditor if its
// action is read; others by roles that come to allow it. A name that is a spelling of another one is a Conflict.
func (o *Operators) CreatePermission(ctx context.Context, wanted NewPermission) (*storage.Permission, error) {
	if wanted.Name == "" {
		wanted.Name = wanted.Resource + ":" + wanted.Action
	}
	row := storage.Permission{Name: wanted.Name, Description: wanted.Description, Resource: wanted.Resource, Action: wanted.Action}
	if err := checkPermission(row); err != nil {
		return nil, err
	}
	var made *storage.Permission
	err := o.db.InTx(ctx, func(ctx context.Context) error {
		switch n, err := o.db.CountPermissions(ctx); {
		case err != nil:
			return err
		case n >= maxPermissions:
			return &Conflict{Field: "name", Message: fmt.Sprintf("there are %d permissions already, which is the most", maxPermissions)}
		}
		one := row // of a transaction that is tried twice the second must not find what the first wrote
		made = &one
		if err := o.db.CreatePermission(ctx, made); err != nil {
			return err
		}
		return o.audit(ctx, "permission.created", made.ID.String(), map[string]any{"before": nil, "after": permissionState(made)})
	})
	if err != nil {
		return nil, permissionError("create permission", err)
	}
	return made, nil
}

// Permission returns a permission of the organization.
func (o *Operators) Permission(ctx context.Context, id uuid.UUID) (*storage.Permission, error) {
	return o.db.Permission(ctx, id)
}

// PermissionNamed returns a permission of the organization by its name.
func (o *Operators) PermissionNamed(ctx context.Context, name string) (*storage.Permission, error) {
	found, err := o.db.PermissionsNamed(ctx, []string{name})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("read permission: %w", storage.ErrNotFound)
	}
	return &found[0], nil
}

// ListPermissions returns permissions in the order of their names, those after the given one: the product's own among them.
func (o *Operators) ListPermissions(ctx context.Context, after string, limit int) ([]storage.Permission, error) {
	return o.db.ListPermissions(ctx, after, limit)
}

// ownPermission returns a permission of the organization's own that the actor holds. The product's are a Conflict.
func (o *Operators) ownPermission(ctx context.Context, id uuid.UUID) (*storage.Permission, error) {
	p, err := o.db.Permission(ctx, id)
	if err != nil {
		return nil, err
	}
	if permission.Reserved(p.Name) {
		return nil, &Conflict{Field: "permission", Message: p.Name + " is Keizer's own, which nobody changes or deletes"}
	}
	return p, mayGive(ctx, p.Name)
}

// UpdatePermission changes a permission of the organization's own, for every role and scope that goes by it. One that the actor does
// not hold is Forbidden.
func (o *Operators) UpdatePermission(ctx context.Context, id uuid.UUID, patch PermissionPatch) (*storage.Permission, error) {
	var p *storage.Permission
	err := o.db.InTx(ctx, func(ctx context.Context) (err error) {
		if p, err = o.ownPermission(ctx, id); err != nil {
			return err
		}
		before := permissionState(p)
		set(&p.Name, patch.Name)
		set(&p.Description, patch.Description)
		set(&p.Resource, patch.Resource)
		set(&p.Action, patch.Action)
		if err := checkPermission(*p); err != nil {
			return err
		}
		after := permissionState(p)
		if sameJSON(before, after) {
			return nil
		}
		if err := o.db.UpdatePermission(ctx, p); err != nil {
			return err
		}
		return o.audit(ctx, "permission.updated", id.String(), map[string]any{"before": before, "after": after})
	})
	if err != nil {
		return nil, permissionError("update permission", err)
	}
	return p, nil
}

// DeletePermission removes a permission of the organization's own from every role, and itself. One that the scope of an API is tied
// to is a Conflict, one that the actor does not hold Forbidden.
func (o *Operators) DeletePermission(ctx context.Context, id uuid.UUID) error {
	err := o.db.InTx(ctx, func(ctx context.Context) error {
		p, err := o.ownPermission(ctx, id)
		if err != nil {
			return err
		}
		err = o.db.DeletePermission(ctx, id)
		if errors.Is(err, storage.ErrConflict) {
			return &Conflict{Field: "permission", Message: "the scope of an API is tied to it: tie it to another one first"}
		}
		if err != nil {
			return err
		}
		return o.audit(ctx, "permission.deleted", id.String(), map[string]any{"before": permissionState(p), "after": nil})
	})
	if err != nil {
		return during("delete permission", err)
	}
	return nil
}
