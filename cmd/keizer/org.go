package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
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
	// NextIssuer is what the issuer is to be from NextIssuerFrom on, if a change is planned.
	NextIssuer     string     `json:"next_issuer,omitempty"`
	NextIssuerFrom *time.Time `json:"next_issuer_from,omitempty"`
	// Hosts are those that it claims or has; not in lists.
	Hosts []host `json:"hosts,omitempty"`
	// Settings are what holds, defaults included; not in lists.
	Settings *settings.Settings `json:"settings,omitempty"`
}

func organizationOf(house *server.House, row storage.Organization) organization {
	addresses, now := house.Operators.Addresses(), time.Now()
	issuer, _ := addresses.Issuer(&row, now)
	org := organization{
		ID: row.ID.String(), Slug: row.Slug, Name: row.Name, Issuer: issuer, SuspendedAt: row.SuspendedAt, CreatedAt: row.CreatedAt.UTC(),
	}
	if _, from, planned := row.PlannedIssuerHost(now); planned {
		from = from.UTC()
		org.NextIssuer, _ = addresses.Issuer(&row, from)
		org.NextIssuerFrom = &from
	}
	return org
}

func (o organization) cells() []string {
	return []string{o.Slug, o.Name, o.Issuer, date(o.SuspendedAt)}
}

func (o organization) fields() []field {
	fields := []field{
		{"slug", o.Slug}, {"name", o.Name}, {"issuer", o.Issuer}, {"next issuer", o.NextIssuer}, {"from", date(o.NextIssuerFrom)}, {"id", o.ID},
		{"suspended", date(o.SuspendedAt)}, {"created", date(&o.CreatedAt)},
	}
	for _, h := range o.Hosts {
		fields = append(fields, field{"host", h.Host + " (" + h.state() + ")"})
	}
	return fields
}

// org is `keizer org`.
func (p *program) org() *cobra.Command {
	return group("org", "Organizations: each with its own issuer, keys, people and clients",
		p.orgCreate(), p.orgList(), p.orgShow(), p.orgUpdate(), p.orgSuspend(), p.orgResume(), p.orgDelete(), p.orgHost())
}

func (p *program) orgCreate() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: "create SLUG", Short: "Make an organization", Args: takes("SLUG"), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, args []string) error {
			if p.there() {
				return p.throughTo(cmd, "", func(ctx context.Context, r *remote) error {
					if err := r.post(ctx, map[string]any{"slug": args[0], "name": name}, nil, "organizations"); err != nil {
						return err
					}
					r.org = &tenant.Org{Slug: args[0]}
					return r.showOrganization(ctx)
				})
			}
			return p.inHouse(cmd, func(ctx context.Context, house *server.House) error {
				if name == "" {
					name = args[0]
				}
				row, err := house.Operators.CreateOrganization(ctx, name, args[0])
				if err != nil {
					return err
				}
				return p.showOrganization(ctx, house, row)
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name for people to read (default: the slug)")
	return cmd
}

func (p *program) orgList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List organizations", Args: takes(), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, _ []string) error {
			headings := []string{"SLUG", "NAME", "ISSUER", "SUSPENDED"}
			if p.there() {
				return p.throughTo(cmd, "", func(ctx context.Context, r *remote) error {
					return list(p, headings, pages[organization](ctx, r, nil, nil, "organizations"))
				})
			}
			return p.inHouse(cmd, func(ctx context.Context, house *server.House) error {
				after := ""
				return list(p, headings, func() ([]organization, error) {
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
		Use: "show SLUG", Short: "Show an organization", Args: takes("SLUG"), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, args []string) error {
			if p.there() {
				return p.throughTo(cmd, args[0], func(ctx context.Context, r *remote) error { return r.showOrganization(ctx) })
			}
			return p.inHouse(cmd, func(ctx context.Context, house *server.House) error {
				row, err := house.DB.OrganizationBySlug(ctx, args[0])
				if errors.Is(err, storage.ErrNotFound) {
					return notFound("organization %q does not exist", args[0])
				}
				if err != nil {
					return fmt.Errorf("show organization: %w", err)
				}
				return p.showOrganization(ctx, house, row)
			})
		},
	}
}

func (p *program) orgUpdate() *cobra.Command {
	var name, file, logo string
	var set, unset []string
	var noLogo bool
	cmd := &cobra.Command{
		Use: "update SLUG", Short: "Change an organization's name and what it decides", Args: takes("SLUG"), Annotations: eitherWay,
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
			if p.there() {
				return p.throughTo(cmd, args[0], func(ctx context.Context, r *remote) error {
					if err := r.updateOrganization(ctx, patch, picture, noLogo); err != nil {
						return noOrganization(err, args[0])
					}
					return r.showOrganization(ctx)
				})
			}
			return p.inHouse(cmd, func(ctx context.Context, house *server.House) error {
				row, err := updateOrganization(ctx, house, args[0], patch, picture, noLogo)
				if errors.Is(err, storage.ErrNotFound) {
					return notFound("organization %q does not exist", args[0])
				}
				if err != nil {
					return err
				}
				return p.showOrganization(ctx, house, row)
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

// onOrganization is a command that does something to the organization that it names, and shows it.
func (p *program) onOrganization(use, short string, do func(context.Context, *server.House, string) (*storage.Organization, error)) *cobra.Command {
	return &cobra.Command{
		Use: use + " SLUG", Short: short, Args: takes("SLUG"), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, args []string) error {
			if p.there() {
				return p.throughTo(cmd, args[0], func(ctx context.Context, r *remote) error {
					if err := r.post(ctx, nil, nil, r.in(use)...); err != nil {
						return noOrganization(err, args[0])
					}
					return r.showOrganization(ctx)
				})
			}
			return p.inHouse(cmd, func(ctx context.Context, house *server.House) error {
				row, err := do(ctx, house, args[0])
				if err != nil {
					return noOrganization(err, args[0])
				}
				return p.showOrganization(ctx, house, row)
			})
		},
	}
}

func noOrganization(err error, slug string) error {
	if errors.Is(err, storage.ErrNotFound) {
		return notFound("organization %q does not exist", slug)
	}
	return err
}

func (p *program) orgSuspend() *cobra.Command {
	return p.onOrganization("suspend", "Let an organization serve nobody: it issues nothing, and what it has issued is good for nothing",
		func(ctx context.Context, house *server.House, slug string) (*storage.Organization, error) {
			return house.Operators.SuspendOrganization(ctx, slug)
		})
}

func (p *program) orgResume() *cobra.Command {
	return p.onOrganization("resume", "End the suspension of an organization",
		func(ctx context.Context, house *server.House, slug string) (*storage.Organization, error) {
			return house.Operators.ResumeOrganization(ctx, slug)
		})
}

func (p *program) orgDelete() *cobra.Command {
	var sure bool
	cmd := &cobra.Command{
		Use: "delete SLUG", Short: "Delete an organization and everything of it, for good", Args: takes("SLUG"), Annotations: eitherWay,
		Long: "Delete an organization and everything of it, for good: its people, clients, keys, sessions and tokens. From one moment on it is nowhere to\n" +
			"be found, on every replica within a second, and its slug and its hosts are free. Its audit stays.\n\n" +
			"What it had is taken out of the database afterwards, by this command or, if that is interrupted, by the server.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if p.there() {
				return p.throughTo(cmd, args[0], func(ctx context.Context, r *remote) error {
					var org organization
					err := r.get(ctx, &org, r.in()...)
					if err == nil && !sure {
						err = p.confirm(org.Slug, org.Name)
					}
					if err == nil {
						err = r.remove(ctx, nil, r.in()...)
					}
					if err != nil {
						return noOrganization(err, args[0])
					}
					return p.showOrganizationDeleted(org.ID, org.Slug)
				})
			}
			return p.inHouse(cmd, func(ctx context.Context, house *server.House) error {
				row, err := house.DB.OrganizationBySlug(ctx, args[0])
				if err != nil {
					return noOrganization(err, args[0])
				}
				if !sure {
					if err := p.confirm(row.Slug, row.Name); err != nil {
						return err
					}
				}
				if err := house.Operators.DeleteOrganization(ctx, args[0]); err != nil {
					return noOrganization(err, args[0])
				}
				if _, err := house.Operators.EraseDeleted(ctx); err != nil {
					fmt.Fprintf(p.stderr, "keizer: the organization is deleted; the server takes away what it has left: %s\n", printable(err.Error()))
				}
				return p.showOrganizationDeleted(row.ID.String(), row.Slug)
			})
		},
	}
	cmd.Flags().BoolVar(&sure, "yes", false, "delete, for good, without asking")
	return cmd
}

func (p *program) showOrganizationDeleted(id, slug string) error {
	return p.show(map[string]any{"id": id, "slug": slug, "deleted": true}, field{"deleted", slug})
}

// confirm has whoever deletes an organization type its slug.
func (p *program) confirm(slug, name string) error {
	terminal, ok := p.stdin.(*os.File)
	if !ok || !isTerminal(terminal) {
		return usage("an organization that is deleted does not come back: say so with --yes")
	}
	fmt.Fprintf(p.stderr, "This deletes %s with everything of it, for good.\nType %s to go on: ", printable(name), slug)
	typed, err := bufio.NewReader(terminal).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	if strings.TrimSpace(typed) != slug {
		return usage("that is not %s: nothing was deleted", slug)
	}
	return nil
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

// updateOrganization does what the flags ask for: first what is the likeliest to be refused.
func (r *remote) updateOrganization(ctx context.Context, patch manage.OrganizationPatch, picture []byte, noLogo bool) error {
	if len(patch.Settings) > 0 {
		if err := r.patch(ctx, patch.Settings, nil, r.in("settings")...); err != nil {
			return err
		}
	}
	if patch.Name != nil {
		if err := r.patch(ctx, map[string]any{"name": *patch.Name}, nil, r.in()...); err != nil {
			return err
		}
	}
	switch {
	case noLogo:
		return r.remove(ctx, nil, r.in("logo")...)
	case picture != nil:
		_, err := r.do(ctx, call{method: http.MethodPut, path: r.in("logo"), raw: picture, kind: http.DetectContentType(picture)}, nil)
		return err
	}
	return nil
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
func (p *program) showOrganization(ctx context.Context, house *server.House, row *storage.Organization) error {
	org := organizationOf(house, *row)
	hosts, err := house.DB.ListHosts(tenant.With(ctx, &tenant.Org{ID: row.ID, Slug: row.Slug}))
	if err != nil {
		return fmt.Errorf("show organization: %w", err)
	}
	for _, h := range hosts {
		org.Hosts = append(org.Hosts, hostOf(&h, row))
	}
	decided, err := settings.Parse(row.Settings)
	if err != nil {
		return fmt.Errorf("show organization: %w", err)
	}
	org.Settings = decided
	return p.showDecided(org)
}

// showOrganization shows the organization that a command is about, with what it decides.
func (r *remote) showOrganization(ctx context.Context) error {
	var org organization
	err := r.get(ctx, &org, r.in()...)
	if err == nil {
		org.Hosts, err = unpaged[host](ctx, r, nil, r.in("hosts")...)
	}
	if err == nil {
		org.Settings = new(settings.Settings)
		err = r.get(ctx, org.Settings, r.in("settings")...)
	}
	if err != nil {
		return noOrganization(err, r.org.Slug)
	}
	return r.p.showDecided(org)
}

func (p *program) showDecided(org organization) error {
	fields := org.fields()
	values := settings.Flat(org.Settings)
	for _, m := range settings.Reference() {
		fields = append(fields, field{m.Path, values[m.Path]})
	}
	return p.show(org, fields...)
}
