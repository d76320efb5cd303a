package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
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

// apiShown is an API as it is shown.
type apiShown struct {
	ID           string            `json:"id"`
	Organization string            `json:"organization"`
	Identifier   string            `json:"identifier"`
	Name         string            `json:"name"`
	ClientID     string            `json:"client_id,omitempty"`
	Scopes       []manage.APIScope `json:"scopes"`
	CreatedAt    time.Time         `json:"created_at"`
	UpdatedAt    time.Time         `json:"updated_at"`
}

func apiOf(org *tenant.Org, row *storage.API) apiShown {
	shown := apiShown{
		ID: row.ID.String(), Organization: org.Slug, Identifier: row.Identifier, Name: row.Name, Scopes: manage.ScopesOf(row),
		CreatedAt: row.CreatedAt.UTC(), UpdatedAt: row.UpdatedAt.UTC(),
	}
	if row.ClientID != nil {
		shown.ClientID = *row.ClientID
	}
	return shown
}

func (a apiShown) cells() []string {
	names := make([]string, len(a.Scopes))
	for i, s := range a.Scopes {
		names[i] = s.Name
	}
	return []string{a.Identifier, a.Name, a.ClientID, strings.Join(names, " ")}
}

func (a apiShown) fields() []field {
	fields := []field{
		{"id", a.ID}, {"organization", a.Organization}, {"identifier", a.Identifier}, {"name", a.Name}, {"client", a.ClientID},
		{"created", date(&a.CreatedAt)}, {"updated", date(&a.UpdatedAt)},
	}
	for _, s := range a.Scopes {
		text := s.Name
		if s.Permission != "" {
			text += " (takes the permission " + s.Permission + ")"
		}
		if s.Description != "" {
			text += ": " + s.Description
		}
		fields = append(fields, field{"scope", text})
	}
	return fields
}

// api is `keizer api`.
func (p *program) api() *cobra.Command {
	return orgFlag(group("api", "The APIs of an organization that tokens are for", p.apiCreate(), p.apiList(), p.apiShow(), p.apiUpdate(), p.apiDelete()))
}

// apiFlags are the flags of create and update.
type apiFlags struct {
	name, clientID string

	scopes, without, describe, require []string
}

func (f *apiFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.name, "name", "", "name for people to read")
	flags.StringVar(&f.clientID, "client-id", "", `client by which it introspects tokens that are for it; "" takes it away`)
	flags.StringArrayVar(&f.scopes, "scope", nil, "scope that applications may ask for; may be repeated")
	flags.StringArrayVar(&f.describe, "describe", nil, `SCOPE=TEXT: what people are told that it lets an application do; may be repeated`)
	flags.StringArrayVar(&f.require, "require", nil,
		`SCOPE=PERMISSION: it is given to an application only in the name of people who are permitted so; "SCOPE=" unties it; may be repeated`)
}

// scopesOver are the scopes that the flags make of those that there are.
func (f *apiFlags) scopesOver(scopes []manage.APIScope) ([]manage.APIScope, error) {
	at := func(name string) int {
		return slices.IndexFunc(scopes, func(s manage.APIScope) bool { return s.Name == name })
	}
	for _, name := range f.without {
		if at(name) < 0 {
			return nil, usage("--without-scope: the API has no scope %q", name)
		}
		scopes = slices.DeleteFunc(scopes, func(s manage.APIScope) bool { return s.Name == name })
	}
	for _, name := range f.scopes {
		if at(name) < 0 {
			scopes = append(scopes, manage.APIScope{Name: name})
		}
	}
	for _, assignment := range []struct {
		flag   string
		values []string
		to     func(*manage.APIScope) *string
	}{
		{"--describe", f.describe, func(s *manage.APIScope) *string { return &s.Description }},
		{"--require", f.require, func(s *manage.APIScope) *string { return &s.Permission }},
	} {
		for _, value := range assignment.values {
			name, text, ok := strings.Cut(value, "=")
			if !ok {
				return nil, usage("%s: %q must be SCOPE=VALUE", assignment.flag, value)
			}
			i := at(name)
			if i < 0 {
				return nil, usage("%s: the API has no scope %q", assignment.flag, name)
			}
			*assignment.to(&scopes[i]) = text
		}
	}
	return scopes, nil
}

func (p *program) apiCreate() *cobra.Command {
	var flags apiFlags
	cmd := &cobra.Command{
		Use: "create IDENTIFIER", Short: "Register an API, by the URI that its tokens have as audience", Args: takes("IDENTIFIER"), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, args []string) error {
			scopes, err := flags.scopesOver(nil)
			if err != nil {
				return err
			}
			if flags.name == "" {
				flags.name = args[0]
			}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					made := map[string]any{"identifier": args[0], "name": flags.name, "client_id": flags.clientID, "scopes": append([]manage.APIScope{}, scopes...)}
					shown := apiShown{Organization: r.org.Slug}
					if err := r.post(ctx, made, &shown, r.in("apis")...); err != nil {
						return err
					}
					return p.show(shown, shown.fields()...)
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				row, err := house.Operators.CreateAPI(ctx, manage.NewAPI{Identifier: args[0], Name: flags.name, ClientID: flags.clientID, Scopes: scopes})
				if err != nil {
					return err
				}
				return p.showAPI(org, row)
			})
		},
	}
	flags.add(cmd)
	return cmd
}

func (p *program) showAPI(org *tenant.Org, row *storage.API) error {
	shown := apiOf(org, row)
	return p.show(shown, shown.fields()...)
}

func (p *program) apiList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List APIs", Args: takes(), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, _ []string) error {
			headings := []string{"IDENTIFIER", "NAME", "CLIENT", "SCOPES"}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					return list(p, headings, pages(ctx, r, nil, func(one *apiShown) { one.Organization = r.org.Slug }, r.in("apis")...))
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				after := ""
				return list(p, headings, func() ([]apiShown, error) {
					rows, err := house.Operators.ListAPIs(ctx, after, pageSize)
					shown := make([]apiShown, len(rows))
					for i := range rows {
						shown[i], after = apiOf(org, &rows[i]), rows[i].Identifier
					}
					return shown, err
				})
			})
		},
	}
}

// onAPI is a command about one API, which the argument names by identifier or id.
func (p *program) onAPI(
	use, short string, do func(ctx context.Context, house *server.House, org *tenant.Org, row *storage.API) error,
	there func(ctx context.Context, r *remote, api *apiAt) error,
) *cobra.Command {
	return &cobra.Command{
		Use: use + " API", Short: short, Args: takes("API"), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, args []string) error {
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					api, err := r.api(ctx, args[0])
					if err == nil {
						err = there(ctx, r, api)
					}
					return noAPI(err, r.org, args[0])
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				row, err := house.Operators.APIByIdentifier(ctx, args[0])
				if id, notID := uuid.Parse(args[0]); notID == nil && errors.Is(err, storage.ErrNotFound) {
					row, err = house.Operators.API(ctx, id)
				}
				if err == nil {
					err = do(ctx, house, org, row)
				}
				return noAPI(err, org, args[0])
			})
		},
	}
}

func noAPI(err error, org *tenant.Org, name string) error {
	if errors.Is(err, storage.ErrNotFound) {
		return notFound("API %q does not exist in organization %q", name, org.Slug)
	}
	return err
}

// apiAt is an API as it was at the server, at the moment that its entity tag stands for.
type apiAt struct {
	apiShown
	tag string
}

// api finds an API at the server by its identifier, or by its id.
func (r *remote) api(ctx context.Context, name string) (*apiAt, error) {
	if name == "" {
		return nil, storage.ErrNotFound
	}
	found, err := pages[apiShown](ctx, r, url.Values{"identifier": {name}}, nil, r.in("apis")...)()
	if err != nil {
		return nil, err
	}
	id := name
	if len(found) > 0 {
		id = found[0].ID
	} else if _, err := uuid.Parse(name); err != nil {
		return nil, storage.ErrNotFound
	}
	api := &apiAt{apiShown: apiShown{Organization: r.org.Slug}}
	api.tag, err = r.do(ctx, call{method: http.MethodGet, path: r.in("apis", id)}, &api.apiShown)
	return api, err
}

func (p *program) apiShow() *cobra.Command {
	return p.onAPI("show", "Show an API and its scopes, by identifier or id",
		func(_ context.Context, _ *server.House, org *tenant.Org, row *storage.API) error {
			return p.showAPI(org, row)
		}, func(_ context.Context, _ *remote, api *apiAt) error {
			return p.show(api.apiShown, api.fields()...)
		})
}

func (p *program) apiUpdate() *cobra.Command {
	var flags apiFlags
	var cmd *cobra.Command
	// patchOf is what the flags change of an API that has these scopes.
	patchOf := func(before []manage.APIScope) (patch manage.APIPatch, err error) {
		given := cmd.Flags().Changed
		if given("name") {
			patch.Name = &flags.name
		}
		if given("client-id") {
			patch.ClientID = &flags.clientID
		}
		if given("scope") || given("without-scope") || given("describe") || given("require") {
			scopes, err := flags.scopesOver(before)
			if err != nil {
				return patch, err
			}
			patch.Scopes = &scopes
		}
		if patch == (manage.APIPatch{}) {
			return patch, usage("%s needs --name, --client-id, --scope, --without-scope, --describe or --require", cmd.CommandPath())
		}
		return patch, nil
	}
	cmd = p.onAPI("update", "Change an API: what flags do not name stays as it is, and its identifier always",
		func(ctx context.Context, house *server.House, org *tenant.Org, row *storage.API) error {
			patch, err := patchOf(manage.ScopesOf(row))
			if err != nil {
				return err
			}
			changed, err := house.Operators.UpdateAPI(ctx, row.ID, patch)
			if err != nil {
				return err
			}
			return p.showAPI(org, changed)
		}, func(ctx context.Context, r *remote, api *apiAt) error {
			patch, err := patchOf(api.Scopes)
			if err != nil {
				return err
			}
			body := map[string]any{}
			change := call{method: http.MethodPatch, path: r.in("apis", api.ID), body: body}
			if patch.Name != nil {
				body["name"] = *patch.Name
			}
			if patch.ClientID != nil {
				body["client_id"] = *patch.ClientID
			}
			if patch.Scopes != nil {
				body["scopes"] = append([]manage.APIScope{}, *patch.Scopes...)
				change.match = api.tag // for they were reckoned from those that it had
			}
			changed := apiShown{Organization: r.org.Slug}
			if _, err := r.do(ctx, change, &changed); err != nil {
				return err
			}
			return p.show(changed, changed.fields()...)
		})
	flags.add(cmd)
	cmd.Flags().StringArrayVar(&flags.without, "without-scope", nil, "scope that it has no longer; may be repeated")
	return cmd
}

func (p *program) apiDelete() *cobra.Command {
	return p.onAPI("delete", "Delete an API with its scopes: no token is issued for it any more",
		func(ctx context.Context, house *server.House, org *tenant.Org, row *storage.API) error {
			if err := house.Operators.DeleteAPI(ctx, row.ID); err != nil {
				return err
			}
			return p.showAPIDeleted(org, row.ID.String(), row.Identifier)
		}, func(ctx context.Context, r *remote, api *apiAt) error {
			if err := r.remove(ctx, nil, r.in("apis", api.ID)...); err != nil {
				return err
			}
			return p.showAPIDeleted(r.org, api.ID, api.Identifier)
		})
}

func (p *program) showAPIDeleted(org *tenant.Org, id, identifier string) error {
	return p.show(map[string]any{"id": id, "identifier": identifier, "organization": org.Slug, "deleted": true}, field{"deleted", identifier})
}
