package main

import (
	"context"
	"errors"
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
		Use: "create NAME", Short: "Make a role of the organization's own", Args: takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted.Name = args[0]
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
		Use: "list", Short: "List roles", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				after := ""
				return list(p, []string{"ID", "NAME", "SYSTEM", "DESCRIPTION"}, func() ([]roleShown, error) {
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
) *cobra.Command {
	names := strings.Fields(use)[1:]
	return &cobra.Command{
		Use: use, Short: short, Args: takes(names...),
		RunE: func(cmd *cobra.Command, args []string) error {
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
		})
}

func (p *program) roleUpdate() *cobra.Command {
	var name, description string
	var only, allow, withdraw []string
	var cmd *cobra.Command
	cmd = p.onRole("update ROLE", "Change a role for everybody who has it: what flags do not name stays as it is",
		func(ctx context.Context, house *server.House, org *tenant.Org, role *manage.Role, args []string) error {
			given := cmd.Flags().Changed
			var patch manage.RolePatch
			if given("name") {
				patch.Name = &name
			}
			if given("description") {
				patch.Description = &description
			}
			if given("permission") || given("allow") || given("withdraw") {
				permissions := only
				if !given("permission") {
					permissions = slices.DeleteFunc(append(slices.Clone(role.Permissions), allow...), func(one string) bool {
						return slices.Contains(withdraw, one)
					})
				}
				patch.Permissions = &permissions
			}
			changed, err := house.Operators.UpdateRole(ctx, role.ID, patch)
			if err != nil {
				return noRole(err, org, args[0])
			}
			return p.showRole(org, changed)
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
			return p.show(map[string]any{"id": role.ID.String(), "name": role.Name, "organization": org.Slug, "deleted": true}, field{"deleted", role.Name})
		})
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
			if errors.Is(err, storage.ErrNotFound) {
				return notFound("user %q does not have the role %q", args[0], role.Name)
			}
			if err != nil {
				return err
			}
			return p.showPerson(ctx, house, org, user)
		})
}
