package main

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server"
	"github.com/keizer-auth/keizer/storage"
)

// roleShown is a role as it is shown. The members have the names of the columns.
type roleShown struct {
	ID           string    `json:"id"`
	Organization string    `json:"organization"`
	Name         string    `json:"name"`
	Description  string    `json:"description,omitempty"`
	IsSystemRole bool      `json:"is_system_role"`
	Permissions  []string  `json:"permissions"`
	CreatedAt    time.Time `json:"created_at"`
}

func roleOf(org *tenant.Org, role *manage.Role) roleShown {
	return roleShown{
		ID: role.ID.String(), Organization: org.Slug, Name: role.Name, Description: role.Description, IsSystemRole: role.IsSystemRole,
		Permissions: role.Permissions, CreatedAt: role.CreatedAt.UTC(),
	}
}

func (r roleShown) cells() []string {
	return []string{r.ID, r.Name, yes(r.IsSystemRole), r.Description}
}

func (r roleShown) fields() []field {
	return []field{
		{"id", r.ID}, {"organization", r.Organization}, {"name", r.Name}, {"description", r.Description}, {"system role", yes(r.IsSystemRole)},
		{"permissions", strings.Join(r.Permissions, " ")}, {"created", date(&r.CreatedAt)},
	}
}

// role is `keizer role`.
func (p *program) role() *cobra.Command {
	return orgFlag(group("role", "What people of an organization are, and may do by it",
		p.roleCreate(), p.roleList(), p.roleShow(), p.roleUpdate(), p.roleDelete(), p.roleHolders(), p.roleGrant(), p.roleRevoke()))
}

func (p *program) roleCreate() *cobra.Command {
	var wanted manage.NewRole
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a role of the organization's own", Args: takes("NAME"), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted.Name = args[0]
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					role := map[string]any{
						"name": wanted.Name, "description": wanted.Description, "permissions": append([]string{}, wanted.Permissions...),
					}
					shown := roleShown{Organization: r.org.Slug}
					if err := r.post(ctx, role, &shown, r.in("roles")...); err != nil {
						return err
					}
					return p.show(shown, shown.fields()...)
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				role, err := house.Operators.CreateRole(ctx, wanted)
				if err != nil {
					return err
				}
				return p.showRole(org, role)
			})
		},
	}
	cmd.Flags().StringVar(&wanted.Description, "description", "", "what it is for, for people to read")
	cmd.Flags().StringArrayVar(&wanted.Permissions, "permission", nil, "permission that it allows, by name; may be repeated")
	return cmd
}

func (p *program) showRole(org *tenant.Org, role *manage.Role) error {
	shown := roleOf(org, role)
	return p.show(shown, shown.fields()...)
}

func (p *program) roleList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List roles", Args: takes(), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, _ []string) error {
			headings := []string{"ID", "NAME", "SYSTEM", "DESCRIPTION"}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					return list(p, headings, pages(ctx, r, nil, func(role *roleShown) { role.Organization = r.org.Slug }, r.in("roles")...))
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				after := ""
				return list(p, headings, func() ([]roleShown, error) {
					roles, err := house.Operators.ListRoles(ctx, after, pageSize)
					shown := make([]roleShown, len(roles))
					for i := range roles {
						shown[i], after = roleOf(org, &roles[i]), roles[i].Name
					}
					return shown, err
				})
			})
		},
	}
}

// onRole is a command about one role, which the last argument names by name or id.
func (p *program) onRole(
	use, short string, do func(ctx context.Context, house *server.House, org *tenant.Org, role *manage.Role, args []string) error,
	there func(ctx context.Context, r *remote, role *roleAt, args []string) error,
) *cobra.Command {
	names := strings.Fields(use)[1:]
	return &cobra.Command{
		Use: use, Short: short, Args: takes(names...), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, args []string) error {
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					role := &roleAt{roleShown: roleShown{Organization: r.org.Slug}}
					var err error
					if role.tag, err = r.do(ctx, call{method: http.MethodGet, path: r.in("roles", args[len(names)-1])}, &role.roleShown); err != nil {
						return noRole(err, r.org, args[len(names)-1])
					}
					return there(ctx, r, role, args)
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				role, err := findRole(ctx, house.Operators, args[len(names)-1])
				if err != nil {
					return noRole(err, org, args[len(names)-1])
				}
				return do(ctx, house, org, role, args)
			})
		},
	}
}

// roleAt is a role as it was at the server, at the moment that its entity tag stands for.
type roleAt struct {
	roleShown
	tag string
}

func findRole(ctx context.Context, operators *manage.Operators, name string) (*manage.Role, error) {
	role, err := operators.RoleNamed(ctx, name)
	if id, notID := uuid.Parse(name); notID == nil && errors.Is(err, storage.ErrNotFound) {
		return operators.Role(ctx, id)
	}
	return role, err
}

func noRole(err error, org *tenant.Org, name string) error {
	if errors.Is(err, storage.ErrNotFound) {
		return notFound("role %q does not exist in organization %q", name, org.Slug)
	}
	return err
}

func (p *program) roleShow() *cobra.Command {
	return p.onRole("show ROLE", "Show a role and what it allows, by name or id",
		func(_ context.Context, _ *server.House, org *tenant.Org, role *manage.Role, _ []string) error {
			return p.showRole(org, role)
		}, func(_ context.Context, _ *remote, role *roleAt, _ []string) error {
			return p.show(role.roleShown, role.fields()...)
		})
}

func (p *program) roleUpdate() *cobra.Command {
	var name, description string
	var only, allow, withdraw []string
	var cmd *cobra.Command
	// patchOf is what the flags change of a role that allows so much.
	patchOf := func(before []string) (patch manage.RolePatch) {
		given := cmd.Flags().Changed
		if given("name") {
			patch.Name = &name
		}
		if given("description") {
			patch.Description = &description
		}
		if given("permission") || given("allow") || given("withdraw") {
			permissions := only
			if !given("permission") {
				permissions = slices.DeleteFunc(append(slices.Clone(before), allow...), func(one string) bool {
					return slices.Contains(withdraw, one)
				})
			}
			patch.Permissions = &permissions
		}
		return patch
	}
	cmd = p.onRole("update ROLE", "Change a role for everybody who has it: what flags do not name stays as it is",
		func(ctx context.Context, house *server.House, org *tenant.Org, role *manage.Role, args []string) error {
			changed, err := house.Operators.UpdateRole(ctx, role.ID, patchOf(role.Permissions))
			if err != nil {
				return noRole(err, org, args[0])
			}
			return p.showRole(org, changed)
		}, func(ctx context.Context, r *remote, role *roleAt, args []string) error {
			patch := patchOf(role.Permissions)
			body := map[string]any{}
			if patch.Name != nil {
				body["name"] = *patch.Name
			}
			if patch.Description != nil {
				body["description"] = *patch.Description
			}
			change := call{method: http.MethodPatch, path: r.in("roles", role.ID), body: body}
			if patch.Permissions != nil {
				body["permissions"] = append([]string{}, *patch.Permissions...)
				change.match = role.tag // for they were reckoned from those that it had
			}
			shown := roleShown{Organization: r.org.Slug}
			if _, err := r.do(ctx, change, &shown); err != nil {
				return noRole(err, r.org, args[0])
			}
			return p.show(shown, shown.fields()...)
		})
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		given := cmd.Flags().Changed
		switch {
		case given("permission") && (given("allow") || given("withdraw")):
			return usage("--permission is all that the role allows, so --allow and --withdraw contradict it")
		case !given("name") && !given("description") && !given("permission") && !given("allow") && !given("withdraw"):
			return usage("%s needs --name, --description, --permission, --allow or --withdraw", cmd.CommandPath())
		}
		return run(cmd, args)
	}
	flags := cmd.Flags()
	flags.StringVar(&name, "name", "", "another name")
	flags.StringVar(&description, "description", "", `what it is for; "" takes it away`)
	flags.StringArrayVar(&only, "permission", nil, "permission that it allows, in place of all that there are; may be repeated")
	flags.StringArrayVar(&allow, "allow", nil, "permission that it comes to allow; may be repeated")
	flags.StringArrayVar(&withdraw, "withdraw", nil, "permission that it allows no longer; may be repeated")
	return cmd
}

func (p *program) roleDelete() *cobra.Command {
	return p.onRole("delete ROLE", "Take a role from everybody who has it, and delete it",
		func(ctx context.Context, house *server.House, org *tenant.Org, role *manage.Role, args []string) error {
			if err := house.Operators.DeleteRole(ctx, role.ID); err != nil {
				return noRole(err, org, args[0])
			}
			return p.showNameDeleted(org, role.ID.String(), role.Name)
		}, func(ctx context.Context, r *remote, role *roleAt, args []string) error {
			if err := r.remove(ctx, nil, r.in("roles", role.ID)...); err != nil {
				return noRole(err, r.org, args[0])
			}
			return p.showNameDeleted(r.org, role.ID, role.Name)
		})
}

func (p *program) showNameDeleted(org *tenant.Org, id, name string) error {
	return p.show(map[string]any{"id": id, "name": name, "organization": org.Slug, "deleted": true}, field{"deleted", name})
}

func (p *program) roleHolders() *cobra.Command {
	return p.onRole("holders ROLE", "List the people who have a role",
		func(ctx context.Context, house *server.House, org *tenant.Org, role *manage.Role, _ []string) error {
			after := uuid.Nil
			return list(p, personHeadings, func() ([]person, error) {
				rows, err := house.DB.RoleHolders(ctx, role.ID, after, pageSize)
				people := make([]person, len(rows))
				for i := range rows {
					people[i], after = personOf(org, &rows[i]), rows[i].ID
				}
				return people, err
			})
		}, func(ctx context.Context, r *remote, role *roleAt, _ []string) error {
			return list(p, personHeadings, pages(ctx, r, nil, r.completePerson, r.in("roles", role.ID, "users")...))
		})
}

func (p *program) roleGrant() *cobra.Command {
	return p.onRole("grant USER ROLE", "Give a person a role",
		func(ctx context.Context, house *server.House, org *tenant.Org, role *manage.Role, args []string) error {
			user, err := findUser(ctx, house.DB, args[0])
			if err != nil {
				return noUser(err, org, args[0])
			}
			if _, err := house.Operators.GrantRole(ctx, user.ID, role.ID); err != nil {
				return p.unlessGone(err, org, args[0])
			}
			return p.showPerson(ctx, house, org, user)
		}, func(ctx context.Context, r *remote, role *roleAt, args []string) error {
			user, err := r.user(ctx, args[0])
			if err == nil {
				err = r.put(ctx, nil, r.in("users", user.ID, "roles", role.ID)...)
			}
			if err != nil {
				return noUser(err, r.org, args[0])
			}
			return r.showPerson(ctx, *user)
		})
}

func (p *program) roleRevoke() *cobra.Command {
	return p.onRole("revoke USER ROLE", "Take a role from a person",
		func(ctx context.Context, house *server.House, org *tenant.Org, role *manage.Role, args []string) error {
			user, err := findUser(ctx, house.DB, args[0])
			if err != nil {
				return noUser(err, org, args[0])
			}
			err = house.Operators.RevokeRole(ctx, user.ID, role.ID)
			if err != nil {
				return lacksRole(err, args[0], role.Name)
			}
			return p.showPerson(ctx, house, org, user)
		}, func(ctx context.Context, r *remote, role *roleAt, args []string) error {
			user, err := r.user(ctx, args[0])
			if err != nil {
				return noUser(err, r.org, args[0])
			}
			if err := r.remove(ctx, nil, r.in("users", user.ID, "roles", role.ID)...); err != nil {
				return lacksRole(err, args[0], role.Name)
			}
			return r.showPerson(ctx, *user)
		})
}

func lacksRole(err error, login, role string) error {
	if errors.Is(err, storage.ErrNotFound) {
		return notFound("user %q does not have the role %q", login, role)
	}
	return err
}
