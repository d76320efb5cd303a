package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
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
	// Settings are what holds, defaults included; not in lists.
	Settings *settings.Settings `json:"settings,omitempty"`
}

func organizationOf(house *server.House, row storage.Organization) organization {
	issuer := house.Cfg.Base()
	if row.Slug != house.Cfg.RootOrganization {
		issuer += "/o/" + row.Slug
	}
	return organization{row.ID.String(), row.Slug, row.Name, issuer, row.SuspendedAt, row.CreatedAt.UTC(), nil}
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
	return group("org", "Organizations: each with its own issuer, keys, people and clients", p.orgCreate(), p.orgList(), p.orgShow(), p.orgUpdate())
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
				return p.showOrganization(house, row)
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
				return p.showOrganization(house, row)
			})
		},
	}
}

func (p *program) orgUpdate() *cobra.Command {
	var name, file, logo string
	var set, unset []string
	var noLogo bool
	cmd := &cobra.Command{
		Use: "update SLUG", Short: "Change an organization's name and what it decides", Args: takes("SLUG"),
		Long: "Change an organization's name and what it decides. It holds within seconds, on every replica.\n\nWhat can be set:\n\n" + settingsHelp(),
		RunE: func(cmd *cobra.Command, args []string) error {
			var patch manage.OrganizationPatch
			var err error
			if patch.Settings, err = p.settingsPatch(file, set, unset); err != nil {
				return err
			}
			if cmd.Flags().Changed("name") {
				patch.Name = &name
			}
			var picture []byte
			switch {
			case logo != "" && noLogo:
				return usage("--logo and --no-logo contradict one another")
			case logo != "":
				if picture, err = p.readFile(logo); err != nil {
					return err
				}
			case patch.Name == nil && len(patch.Settings) == 0 && !noLogo:
				return usage("%s needs --name, --set, --unset, --settings, --logo or --no-logo", cmd.CommandPath())
			}
			return p.inHouse(cmd, func(ctx context.Context, house *server.House) error {
				row, err := updateOrganization(ctx, house, args[0], patch, picture, noLogo)
				if errors.Is(err, storage.ErrNotFound) {
					return notFound("organization %q does not exist", args[0])
				}
				if err != nil {
					return err
				}
				return p.showOrganization(house, row)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&name, "name", "", "name for people to read")
	flags.StringArrayVar(&set, "set", nil, "PATH=VALUE, such as sign_up.mode=open; lists with commas; may be repeated")
	flags.StringArrayVar(&unset, "unset", nil, "PATH whose default is to hold again; may be repeated")
	flags.StringVar(&logo, "logo", "", "file with a picture for its pages: PNG, JPEG or WebP")
	flags.BoolVar(&noLogo, "no-logo", false, "show its initials again")
	flags.StringVar(&file, "settings", "", "file with a JSON merge patch of the settings (RFC 7396), or - for standard input")
	return cmd
}

// updateOrganization does what the flags ask for. The picture comes last: what is wrong elsewhere is said before it is taken.
func updateOrganization(
	ctx context.Context, house *server.House, slug string, patch manage.OrganizationPatch, picture []byte, noLogo bool,
) (*storage.Organization, error) {
	row, err := house.Operators.UpdateOrganization(ctx, slug, patch)
	if err != nil || picture == nil && !noLogo {
		return row, err
	}
	ctx = tenant.With(ctx, &tenant.Org{ID: row.ID, Slug: row.Slug, Name: row.Name})
	if noLogo {
		err = house.Operators.DeleteLogo(ctx)
	} else {
		err = house.Operators.SetLogo(ctx, picture)
	}
	if err != nil {
		return nil, err
	}
	return house.DB.OrganizationBySlug(ctx, slug)
}

// settingsPatch puts together what flags and file change. The flags win.
func (p *program) settingsPatch(file string, set, unset []string) (settings.Patch, error) {
	patch := settings.Patch{}
	if file != "" {
		text, err := p.readFile(file)
		if err != nil {
			return nil, err
		}
		if patch, err = settings.ParsePatch(text); err != nil {
			return nil, usage("%s: %w", file, err)
		}
	}
	var complaints []error
	for _, assignment := range set {
		path, value, ok := strings.Cut(assignment, "=")
		if !ok {
			complaints = append(complaints, fmt.Errorf("--set %s: it must be PATH=VALUE", assignment))
			continue
		}
		complaints = append(complaints, patch.Set(path, value))
	}
	for _, path := range unset {
		complaints = append(complaints, patch.Unset(path))
	}
	if err := errors.Join(complaints...); err != nil {
		return nil, wrong(err)
	}
	return patch, nil
}

// maxFile is as much as is read of a file that describes one thing.
const maxFile = 1 << 20

// readFile reads a small file, or standard input for "-".
func (p *program) readFile(name string) ([]byte, error) {
	from := p.stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, wrong(err)
		}
		defer file.Close()
		from = file
	}
	text, err := io.ReadAll(io.LimitReader(from, maxFile+1))
	switch {
	case err != nil:
		return nil, failed(fmt.Errorf("read %s: %w", name, err))
	case len(text) > maxFile:
		return nil, usage("%s has more than %d bytes", name, maxFile)
	}
	return text, nil
}

func settingsHelp() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, m := range settings.Reference() {
		fmt.Fprintf(w, "  %s\t%s\n", m.Path, strings.ReplaceAll(m.Meaning, "`", ""))
	}
	_ = w.Flush() // a builder takes everything
	return strings.TrimSuffix(b.String(), "\n")
}

// showOrganization shows an organization with what it decides.
func (p *program) showOrganization(house *server.House, row *storage.Organization) error {
	org := organizationOf(house, *row)
	decided, err := settings.Parse(row.Settings)
	if err != nil {
		return fmt.Errorf("show organization: %w", err)
	}
	org.Settings = decided
	fields := org.fields()
	values := settings.Flat(decided)
	for _, m := range settings.Reference() {
		fields = append(fields, field{m.Path, values[m.Path]})
	}
	return p.show(org, fields...)
}
