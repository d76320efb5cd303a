package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/server"
	"github.com/keizer-auth/keizer/storage"
)

const pageSize = 500

// organization is an organization as it is shown.
type organization struct {
	ID          string     `json:"id"`
	Slug        string     `json:"slug"`
	Name        string     `json:"name"`
	Issuer      string     `json:"issuer"`
	SuspendedAt *time.Time `json:"suspended_at,omitempty"`
	CreatedAt   time.Time  `json:"created_at"`
}

func organizationOf(house *server.House, row storage.Organization) organization {
	issuer := house.Cfg.Base()
	if row.Slug != house.Cfg.RootOrganization {
		issuer += "/o/" + row.Slug
	}
	return organization{row.ID.String(), row.Slug, row.Name, issuer, row.SuspendedAt, row.CreatedAt.UTC()}
}

func (o organization) cells() []string {
	return []string{o.Slug, o.Name, o.Issuer, date(o.SuspendedAt)}
}

func (o organization) fields() []field {
	return []field{
		{"slug", o.Slug}, {"name", o.Name}, {"issuer", o.Issuer}, {"id", o.ID}, {"suspended", date(o.SuspendedAt)}, {"created", date(&o.CreatedAt)},
	}
}

// org is `keizer org`.
func (p *program) org() *cobra.Command {
	return group("org", "Organizations: each with its own issuer, keys, people and clients", p.orgCreate(), p.orgList(), p.orgShow())
}

func (p *program) orgCreate() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: "create SLUG", Short: "Make an organization", Args: takes("SLUG"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.inHouse(cmd, func(ctx context.Context, house *server.House) error {
				if name == "" {
					name = args[0]
				}
				row, err := house.Operators.CreateOrganization(ctx, name, args[0])
				if err != nil {
					return err
				}
				org := organizationOf(house, *row)
				return p.show(org, org.fields()...)
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name for people to read (default: the slug)")
	return cmd
}

func (p *program) orgList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List organizations", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.inHouse(cmd, func(ctx context.Context, house *server.House) error {
				after := ""
				return list(p, []string{"SLUG", "NAME", "ISSUER", "SUSPENDED"}, func() ([]organization, error) {
					rows, err := house.DB.ListOrganizations(ctx, after, pageSize)
					orgs := make([]organization, len(rows))
					for i, row := range rows {
						orgs[i], after = organizationOf(house, row), row.Slug
					}
					return orgs, err
				})
			})
		},
	}
}

func (p *program) orgShow() *cobra.Command {
	return &cobra.Command{
		Use: "show SLUG", Short: "Show an organization", Args: takes("SLUG"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.inHouse(cmd, func(ctx context.Context, house *server.House) error {
				row, err := house.DB.OrganizationBySlug(ctx, args[0])
				if errors.Is(err, storage.ErrNotFound) {
					return notFound("organization %q does not exist", args[0])
				}
				if err != nil {
					return fmt.Errorf("show organization: %w", err)
				}
				org := organizationOf(house, *row)
				return p.show(org, org.fields()...)
			})
		},
	}
}
