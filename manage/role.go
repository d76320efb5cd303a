package manage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/profile"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

// How many an organization has at the most: each may come to stand in every token of somebody.
const (
	maxRoles       = 1000
	maxPermissions = 1000
	maxDescription = 500 // characters
)

// Role is a role with the names of what it allows, in order.
type Role struct {
	storage.Role
	Permissions []string
}

// NewRole is a role that is to be made. A name is needed.
type NewRole struct {
	Name, Description string
	// Permissions are names of permissions that the organization has.
	Permissions []string
}

// RolePatch is a change to a role. What is nil stays as it is.
type RolePatch struct {
	Name, Description *string
	// Permissions replace all that there are.
	Permissions *[]string
}

func checkRoleName(name string) error {
	if err := profile.Name(name); err != nil {
		return err
	}
	switch {
	case permission.ReservedRole(name):
		return errors.New("it is kept for a system role")
	case strings.Contains(name, rolesSeparator):
		return fmt.Errorf("it must not have a %q in it, which stands between roles in a table of people", rolesSeparator)
	}
	return nil
}

// checkDescription is for a text that may be empty, and that people read on one line.
func checkDescription(text string) error {
	if !utf8.ValidString(text) {
		return profile.ErrText
	}
	if utf8.RuneCountInString(text) > maxDescription {
		return fmt.Errorf("it must have at most %d characters", maxDescription)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }) {
		return profile.ErrControl
	}
	return nil
}

// CreateRole makes a role of the organization's own. A name that is a spelling of another role's is a Conflict, permissions that
// the actor does not hold are Forbidden.
func (o *Operators) CreateRole(ctx context.Context, wanted NewRole) (*Role, error) {
	var c complaints
	c.check("name", checkRoleName(wanted.Name))
	c.check("description", checkDescription(wanted.Description))
	if err := c.err(); err != nil {
		return nil, err
	}
	var made *Role
	err := o.db.InTx(ctx, func(ctx context.Context) error {
		switch n, err := o.db.CountRoles(ctx); {
		case err != nil:
			return err
		case n >= maxRoles:
			return &Conflict{Field: "name", Message: fmt.Sprintf("there are %d roles already, which is the most", maxRoles)}
		}
		made = &Role{Role: storage.Role{Name: wanted.Name, Description: wanted.Description}}
		if err := o.db.CreateRole(ctx, &made.Role); err != nil {
			return err
		}
		if err := o.setPermissions(ctx, made, wanted.Permissions); err != nil {
			return err
		}
		return o.audit(ctx, "role.created", made.ID.String(), map[string]any{"before": nil, "after": made.state()})
	})
	if err != nil {
		return nil, roleError("create role", err)
	}
	return made, nil
}

// state is a role as the audit tells it.
func (r *Role) state() map[string]any {
	return map[string]any{"name": r.Name, "description": r.Description, "permissions": r.Permissions}
}

// roleError says what a role's name conflicts with.
func roleError(deed string, err error) error {
	var conflict *Conflict
	if errors.Is(err, storage.ErrConflict) && !errors.As(err, &conflict) {
		return &Conflict{Field: "name", Message: "a role has it already, or another spelling of it"}
	}
	return during(deed, err)
}

// setPermissions makes a role allow what is named, and nothing else. The actor must hold what is added, and what is taken away.
func (o *Operators) setPermissions(ctx context.Context, role *Role, names []string) error {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	var added, removed []string
	for _, name := range names {
		if !slices.Contains(role.Permissions, name) {
			added = append(added, name)
		}
	}
	for _, name := range role.Permissions {
		if !slices.Contains(names, name) {
			removed = append(removed, name)
		}
	}
	rows, err := o.db.PermissionsNamed(ctx, append(slices.Clone(added), removed...))
	if err != nil {
		return err
	}
	ids := make(map[string]uuid.UUID, len(rows))
	for _, row := range rows {
		ids[row.Name] = row.ID
	}
	var c complaints
	for _, name := range added {
		if _, ok := ids[name]; !ok {
			c.check("permissions", noPermission(name))
		}
	}
	if err := errors.Join(c.err(), mayGive(ctx, added...), mayGive(ctx, removed...)); err != nil {
		return err
	}
	for _, name := range added {
		if err := o.db.GrantPermission(ctx, role.ID, ids[name]); err != nil {
			return err
		}
	}
	for _, name := range removed {
		if err := o.db.WithdrawPermission(ctx, role.ID, ids[name]); err != nil {
			return err
		}
	}
	role.Permissions = names
	return nil
}

func noPermission(name string) error {
	return fmt.Errorf("the organization has no permission %q", name)
}

// Role returns a role of the organization, with what it allows.
func (o *Operators) Role(ctx context.Context, id uuid.UUID) (*Role, error) {
	row, err := o.db.Role(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read role: %w", err)
	}
	return o.completed(ctx, row)
}

// RoleNamed returns a role of the organization by its name, for which the synonym of owner may stand.
func (o *Operators) RoleNamed(ctx context.Context, name string) (*Role, error) {
	row, err := o.db.RoleByName(ctx, permission.RoleNamed(name))
	if err != nil {
		return nil, fmt.Errorf("read role: %w", err)
	}
	return o.completed(ctx, row)
}

func (o *Operators) completed(ctx context.Context, row *storage.Role) (*Role, error) {
	names, err := o.db.PermissionsOfRoles(ctx, []uuid.UUID{row.ID})
	if err != nil {
		return nil, fmt.Errorf("read role: %w", err)
	}
	return &Role{Role: *row, Permissions: listOf(names[row.ID])}, nil
}

// listOf keeps an empty list from being none.
func listOf(names []string) []string {
	if names == nil {
		return []string{}
	}
	return names
}

// ListRoles returns roles in the order of their names, those after the given one, with what they allow.
func (o *Operators) ListRoles(ctx context.Context, after string, limit int) ([]Role, error) {
	rows, err := o.db.ListRoles(ctx, after, limit)
	if err != nil {
		return nil, err
	}
	ids := make([]uuid.UUID, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	names, err := o.db.PermissionsOfRoles(ctx, ids)
	if err != nil {
		return nil, err
	}
	roles := make([]Role, len(rows))
	for i, row := range rows {
		roles[i] = Role{Role: row, Permissions: listOf(names[row.ID])}
	}
	return roles, nil
}

// lockRole returns a role of the organization's own that nobody else changes until the transaction ends. That of the product is a
// Conflict: it is the same in every organization.
func (o *Operators) lockRole(ctx context.Context, id uuid.UUID) (*Role, error) {
	row, err := o.db.LockRole(ctx, id)
	if err != nil {
		return nil, err
	}
	if row.IsSystemRole {
		return nil, &Conflict{Field: "role", Message: row.Name + " is a system role, which nobody changes or deletes"}
	}
	return o.completed(ctx, row)
}

// UpdateRole changes a role of the organization's own, for everybody who has it: the next token tells of it. A system role is a
// Conflict; permissions that the actor does not hold, given or taken away, are Forbidden.
func (o *Operators) UpdateRole(ctx context.Context, id uuid.UUID, patch RolePatch) (*Role, error) {
	var c complaints
	if patch.Name != nil {
		c.check("name", checkRoleName(*patch.Name))
	}
	if patch.Description != nil {
		c.check("description", checkDescription(*patch.Description))
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	var role *Role
	err := o.db.InTx(ctx, func(ctx context.Context) (err error) {
		if role, err = o.lockRole(ctx, id); err != nil {
			return err
		}
		before := role.state()
		if patch.Name != nil && *patch.Name != role.Name {
			if err := o.mayRename(ctx, role.Name); err != nil {
				return err
			}
			role.Name = *patch.Name
		}
		set(&role.Description, patch.Description)
		if patch.Permissions != nil {
			if err := o.setPermissions(ctx, role, *patch.Permissions); err != nil {
				return err
			}
		}
		after := role.state()
		if sameJSON(before, after) {
			return nil
		}
		if err := o.db.UpdateRole(ctx, &role.Role); err != nil {
			return err
		}
		return o.audit(ctx, "role.updated", id.String(), map[string]any{"before": before, "after": after})
	})
	if err != nil {
		return nil, roleError("update role", err)
	}
	return role, nil
}

// mayRename refuses to rename a role that the organization asks a second factor of, by its name: it would ask no longer.
func (o *Operators) mayRename(ctx context.Context, name string) error {
	org, err := tenant.From(ctx)
	if err != nil {
		return err
	}
	row, err := o.db.OrganizationByID(ctx, org.ID)
	if err != nil {
		return err
	}
	decided, err := settings.Parse(row.Settings)
	if err != nil {
		return err
	}
	if slices.Contains(decided.SecondFactor.Roles, name) {
		return &Conflict{Field: "name", Message: "second_factor.roles of the organization names it: take it out there first"}
	}
	return nil
}

// DeleteRole takes a role of the organization's own from everybody who has it, and removes it. A system role is a Conflict, one that
// allows what the actor does not hold Forbidden.
func (o *Operators) DeleteRole(ctx context.Context, id uuid.UUID) error {
	err := o.db.InTx(ctx, func(ctx context.Context) error {
		role, err := o.lockRole(ctx, id)
		if err != nil {
			return err
		}
		if err := mayGive(ctx, role.Permissions...); err != nil {
			return err
		}
		if err := o.db.DeleteRole(ctx, id); err != nil {
			return err
		}
		return o.audit(ctx, "role.deleted", id.String(), map[string]any{"before": role.state(), "after": nil})
	})
	if err != nil {
		return during("delete role", err)
	}
	return nil
}

// GrantRole gives a person of the organization a role, and reports whether they did not have it before. A role that allows what the
// actor does not hold is Forbidden.
func (o *Operators) GrantRole(ctx context.Context, userID, roleID uuid.UUID) (given bool, err error) {
	err = o.db.InTx(ctx, func(ctx context.Context) error {
		role, before, err := o.assignment(ctx, userID, roleID)
		if err != nil {
			return err
		}
		if given = !slices.Contains(before, role.Name); !given {
			return nil
		}
		if err := o.db.GrantRole(ctx, userID, roleID); err != nil {
			return err
		}
		return o.auditRoles(ctx, "role.granted", userID, role, before, append(slices.Clone(before), role.Name))
	})
	if err != nil {
		return false, during("grant role", err)
	}
	return given, nil
}

// RevokeRole takes a role from a person of the organization. One that they do not have is ErrNotFound, that of the last owner a
// Conflict, one that allows what the actor does not hold Forbidden.
func (o *Operators) RevokeRole(ctx context.Context, userID, roleID uuid.UUID) error {
	err := o.db.InTx(ctx, func(ctx context.Context) error {
		role, before, err := o.assignment(ctx, userID, roleID)
		if err != nil {
			return err
		}
		if role.IsSystemRole && role.Name == permission.Owner {
			user, err := o.db.User(ctx, userID)
			if err != nil {
				return err
			}
			if err := o.keepOwner(ctx, user); err != nil {
				return err
			}
		}
		if err := o.db.RevokeRole(ctx, userID, roleID); err != nil {
			return err
		}
		after := slices.DeleteFunc(slices.Clone(before), func(name string) bool { return name == role.Name })
		return o.auditRoles(ctx, "role.revoked", userID, role, before, after)
	})
	if err != nil {
		return during("revoke role", err)
	}
	return nil
}

// assignment returns a role that the actor may give and take, and the names of those that a person has, whose row nobody else
// changes until the transaction ends.
func (o *Operators) assignment(ctx context.Context, userID, roleID uuid.UUID) (role *Role, before []string, err error) {
	row, err := o.db.Role(ctx, roleID)
	if err != nil {
		return nil, nil, err
	}
	if role, err = o.completed(ctx, row); err != nil {
		return nil, nil, err
	}
	if err := mayGive(ctx, role.Permissions...); err != nil {
		return nil, nil, err
	}
	if _, err := o.db.LockUser(ctx, userID); err != nil {
		return nil, nil, err
	}
	before, _, err = o.db.RightsOf(ctx, userID)
	return role, before, err
}

func (o *Operators) auditRoles(ctx context.Context, action string, userID uuid.UUID, role *Role, before, after []string) error {
	return o.audit(ctx, action, userID.String(), map[string]any{
		"role": role.Name, "role_id": role.ID.String(), "before": before, "after": listOf(slices.Sorted(slices.Values(after))),
	})
}
