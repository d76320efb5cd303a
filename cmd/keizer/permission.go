package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server"
	"github.com/keizer-auth/keizer/storage"
)

// permissionShown is a permission as it is shown. The members have the names of the columns.
type permissionShown struct {
	ID           string    `json:"id"`
	Organization string    `json:"organization"`
	Name         string    `json:"name"`
	Description  string    `json:"description,omitempty"`
	Resource     string    `json:"resource"`
	Action       string    `json:"action"`
	IsSystem     bool      `json:"is_system"`
	CreatedAt    time.Time `json:"created_at"`
}

func permissionOf(org *tenant.Org, row *storage.Permission) permissionShown {
	return permissionShown{
		ID: row.ID.String(), Organization: org.Slug, Name: row.Name, Description: row.Description, Resource: row.Resource, Action: row.Action,
		IsSystem: permission.Known(row.Name), CreatedAt: row.CreatedAt.UTC(),
	}
}

func (r permissionShown) cells() []string {
	return []string{r.Name, r.Resource, r.Action, yes(r.IsSystem), r.Description}
}

func (r permissionShown) fields() []field {
	return []field{
		{"id", r.ID}, {"organization", r.Organization}, {"name", r.Name}, {"description", r.Description}, {"resource", r.Resource},
		{"action", r.Action}, {"Keizer's own", yes(r.IsSystem)}, {"created", date(&r.CreatedAt)},
	}
}

// permission is `keizer permission`.
func (p *program) permission() *cobra.Command {
	return orgFlag(group("permission", "What roles may allow: an action on a resource",
		p.permissionCreate(), p.permissionList(), p.permissionShow(), p.permissionUpdate(), p.permissionDelete()))
}

func (p *program) permissionCreate() *cobra.Command {
	var wanted manage.NewPermission
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a permission of the organization's own, such as orders:read", Args: takes("NAME"), Annotations: eitherWay,
		Long: "Make a permission of the organization's own. What stands before the last colon of its name is the resource, and what stands behind " +
			"it the action, unless --resource and --action say otherwise.",
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted.Name = args[0]
			if i := strings.LastIndexByte(wanted.Name, ':'); i >= 0 && wanted.Resource == "" && wanted.Action == "" {
				wanted.Resource, wanted.Action = wanted.Name[:i], wanted.Name[i+1:]
			}
			if wanted.Resource == "" || wanted.Action == "" {
				return usage("the name must be RESOURCE:ACTION, or --resource and --action say what they are")
			}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					made := map[string]any{"name": wanted.Name, "description": wanted.Description, "resource": wanted.Resource, "action": wanted.Action}
					shown := permissionShown{Organization: r.org.Slug}
					if err := r.post(ctx, made, &shown, r.in("permissions")...); err != nil {
						return err
					}
					return p.show(shown, shown.fields()...)
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				row, err := house.Operators.CreatePermission(ctx, wanted)
				if err != nil {
					return err
				}
				return p.showPermission(org, row)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&wanted.Description, "description", "", "what it lets people do, for people to read")
	flags.StringVar(&wanted.Resource, "resource", "", "what is acted on")
	flags.StringVar(&wanted.Action, "action", "", "what is done to it, such as read or write")
	return cmd
}

func (p *program) showPermission(org *tenant.Org, row *storage.Permission) error {
	shown := permissionOf(org, row)
	return p.show(shown, shown.fields()...)
}

func (p *program) permissionList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List permissions, Keizer's own among them", Args: takes(), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, _ []string) error {
			headings := []string{"NAME", "RESOURCE", "ACTION", "KEIZER'S OWN", "DESCRIPTION"}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					return list(p, headings, pages(ctx, r, nil, func(one *permissionShown) { one.Organization = r.org.Slug }, r.in("permissions")...))
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				after := ""
				return list(p, headings, func() ([]permissionShown, error) {
					rows, err := house.Operators.ListPermissions(ctx, after, pageSize)
					shown := make([]permissionShown, len(rows))
					for i := range rows {
						shown[i], after = permissionOf(org, &rows[i]), rows[i].Name
					}
					return shown, err
				})
			})
		},
	}
}

// onPermission is a command about one permission, which the argument names by name or id.
func (p *program) onPermission(
	use, short string, do func(ctx context.Context, house *server.House, org *tenant.Org, row *storage.Permission) error,
	there func(ctx context.Context, r *remote, shown permissionShown) error,
) *cobra.Command {
	return &cobra.Command{
		Use: use + " PERMISSION", Short: short, Args: takes("PERMISSION"), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, args []string) error {
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					shown := permissionShown{Organization: r.org.Slug}
					err := r.get(ctx, &shown, r.in("permissions", args[0])...)
					if err == nil {
						err = there(ctx, r, shown)
					}
					return noPermission(err, r.org, args[0])
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				row, err := house.Operators.PermissionNamed(ctx, args[0])
				if id, notID := uuid.Parse(args[0]); notID == nil && errors.Is(err, storage.ErrNotFound) {
					row, err = house.Operators.Permission(ctx, id)
				}
				if err == nil {
					err = do(ctx, house, org, row)
				}
				return noPermission(err, org, args[0])
			})
		},
	}
}

func noPermission(err error, org *tenant.Org, name string) error {
	if errors.Is(err, storage.ErrNotFound) {
		return notFound("permission %q does not exist in organization %q", name, org.Slug)
	}
	return err
}

func (p *program) permissionShow() *cobra.Command {
	return p.onPermission("show", "Show a permission, by name or id",
		func(_ context.Context, _ *server.House, org *tenant.Org, row *storage.Permission) error {
			return p.showPermission(org, row)
		}, func(_ context.Context, _ *remote, shown permissionShown) error {
			return p.show(shown, shown.fields()...)
		})
}

func (p *program) permissionUpdate() *cobra.Command {
	var name, description, resource, action string
	var patch manage.PermissionPatch
	cmd := p.onPermission("update", "Change a permission of the organization's own, wherever it is used",
		func(ctx context.Context, house *server.House, org *tenant.Org, row *storage.Permission) error {
			changed, err := house.Operators.UpdatePermission(ctx, row.ID, patch)
			if err != nil {
				return err
			}
			return p.showPermission(org, changed)
		}, func(ctx context.Context, r *remote, shown permissionShown) error {
			body := map[string]any{}
			for name, value := range map[string]*string{
				"name": patch.Name, "description": patch.Description, "resource": patch.Resource, "action": patch.Action,
			} {
				if value != nil {
					body[name] = *value
				}
			}
			changed := permissionShown{Organization: r.org.Slug}
			if err := r.patch(ctx, body, &changed, r.in("permissions", shown.ID)...); err != nil {
				return err
			}
			return p.show(changed, changed.fields()...)
		})
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		for _, text := range []struct {
			flag  string
			value *string
			field **string
		}{
			{"name", &name, &patch.Name}, {"description", &description, &patch.Description}, {"resource", &resource, &patch.Resource},
			{"action", &action, &patch.Action},
		} {
			if cmd.Flags().Changed(text.flag) {
				*text.field = text.value
			}
		}
		if patch == (manage.PermissionPatch{}) {
			return usage("%s needs --name, --description, --resource or --action", cmd.CommandPath())
		}
		return run(cmd, args)
	}
	flags := cmd.Flags()
	flags.StringVar(&name, "name", "", "another name, under which applications find it in tokens")
	flags.StringVar(&description, "description", "", `what it lets people do; "" takes it away`)
	flags.StringVar(&resource, "resource", "", "what is acted on")
	flags.StringVar(&action, "action", "", "what is done to it")
	return cmd
}

func (p *program) permissionDelete() *cobra.Command {
	return p.onPermission("delete", "Take a permission from every role, and delete it",
		func(ctx context.Context, house *server.House, org *tenant.Org, row *storage.Permission) error {
			if err := house.Operators.DeletePermission(ctx, row.ID); err != nil {
				return err
			}
			return p.showNameDeleted(org, row.ID.String(), row.Name)
		}, func(ctx context.Context, r *remote, shown permissionShown) error {
			if err := r.remove(ctx, nil, r.in("permissions", shown.ID)...); err != nil {
				return err
			}
			return p.showNameDeleted(r.org, shown.ID, shown.Name)
		})
}
