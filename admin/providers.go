package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/login/upstream"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
)

// Provider is an upstream provider as it is answered: what was decided about it, and what the server gave it. Its secret is not to be had
// again.
type Provider struct{ manage.ProviderInformation }

// Schema implements huma.SchemaProvider.
func (Provider) Schema(r huma.Registry) *huma.Schema {
	s := providerSchema(r)
	given := huma.SchemaFromType(r, reflect.TypeFor[manage.ProviderInformation]())
	for name, member := range given.Properties {
		s.Properties[name] = member
	}
	s.Properties["callback_uri"].Description = "What has to be registered at the provider."
	s.Required = []string{"id", "name", "client_id", "callback_uri", "created_at", "preset", "sign_up"}
	s.PrecomputeMessages()
	return s
}

const (
	memberName   = "name"
	memberClient = "client_id"
	memberSecret = "client_secret"
)

// providerSchema is what can be decided about a provider.
func providerSchema(r huma.Registry) *huma.Schema {
	s := *huma.SchemaFromType(r, reflect.TypeFor[upstream.Settings]())
	members := make(map[string]*huma.Schema, len(s.Properties))
	for name, member := range s.Properties {
		one := *member
		members[name] = &one
	}
	roles := *huma.SchemaFromType(r, reflect.TypeFor[upstream.Roles]())
	members["roles"] = &roles
	for _, m := range upstream.Members() {
		switch member := members[m.Path]; m.Path {
		case "roles.claim", "roles.map":
			roles.Properties[m.Path[len("roles."):]].Description = m.Meaning
		default:
			member.Description = m.Meaning
		}
	}
	for _, preset := range upstream.Presets() {
		members["preset"].Enum = append(members["preset"].Enum, preset.Name)
	}
	for name, words := range map[string][]any{
		"sign_up":       {"", upstream.SignUpFollow, upstream.SignUpAlways, upstream.SignUpNever},
		"auth_method":   {"", upstream.AuthBasic, upstream.AuthPost, upstream.AuthNone},
		"response_mode": {"", upstream.ModeQuery, upstream.ModeForm},
	} {
		members[name].Enum = words
	}
	s.Properties, s.Required = members, nil
	s.PrecomputeMessages()
	return &s
}

// newProviderSchema is what a provider is set up with.
func newProviderSchema(r huma.Registry) *huma.Schema {
	s := providerSchema(r)
	longest := 500
	s.Properties[memberName] = &huma.Schema{
		Type: huma.TypeString, Description: "What it is called in the address that people come back to, for good.", Examples: []any{"google"},
	}
	s.Properties[memberClient] = &huma.Schema{Type: huma.TypeString, MaxLength: &longest, Description: "What the provider calls Keizer."}
	s.Properties[memberSecret] = &huma.Schema{
		Type: huma.TypeString, WriteOnly: true, Description: "What Keizer authenticates at the provider with, or Apple's key. It is never shown again.",
	}
	s.Required = []string{memberName, memberClient, "preset"}
	s.PrecomputeMessages()
	return s
}

// providerPatch reads what a body says of a provider, whose form is known to be right, and the name that it gives it.
func providerPatch(body []byte) (name string, patch manage.ProviderPatch, err error) {
	var own struct {
		Name     string          `json:"name"`
		ClientID *string         `json:"client_id"`
		Secret   json.RawMessage `json:"client_secret"`
	}
	if err := json.Unmarshal(body, &own); err != nil {
		return "", patch, unreadable(err)
	}
	if patch.Settings, err = upstream.ParsePatch(body); err != nil {
		return "", patch, unreadable(err)
	}
	for _, member := range []string{memberName, memberClient, memberSecret} {
		delete(patch.Settings, member)
	}
	patch.ClientID = own.ClientID
	if own.Secret != nil {
		var text string // null takes it away
		if err := json.Unmarshal(own.Secret, &text); err != nil {
			return "", patch, unreadable(err)
		}
		given := secret.Text(text)
		patch.Secret = &given
	}
	return own.Name, patch, nil
}

// providerOf is a provider of the organization of a context, as it is answered.
func providerOf(org *tenant.Org, row *storage.UpstreamProvider) Provider {
	shown := manage.ProviderInformationOf(org, row)
	shown.UpdatedAt = utc(shown.UpdatedAt)
	return Provider{shown}
}

func (a *API) currentProvider(ctx context.Context, name string) (*Provider, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	row, err := a.db.UpstreamProvider(ctx, name)
	if err != nil {
		return nil, err
	}
	current := providerOf(org, row)
	return &current, nil
}

// ifProvider carries a deed about a provider out if it is as whoever asks knows it.
func (a *API) ifProvider(ctx context.Context, c Changing, name string, deed func(context.Context) error) error {
	lock := func(ctx context.Context) error { return a.db.LockUpstreamProvider(ctx, name) }
	current := func(ctx context.Context) (any, error) { return a.currentProvider(ctx, name) }
	return a.unchanged(ctx, c, lock, current, deed)
}

// ProviderTest is what was looked at of a provider.
type ProviderTest struct {
	OK       bool               `json:"ok" doc:"Whether nothing was found for which nobody could sign in there."`
	Findings []upstream.Finding `json:"findings"`
}

// Unlinked is how many people were linked to a provider that was deleted.
type Unlinked struct {
	Accounts int64 `json:"accounts"`
}

// LinkedAccount is who a person is at a provider, as it is answered.
type LinkedAccount struct {
	ID       string `json:"id" format:"uuid"`
	Provider string `json:"provider" doc:"The provider's name."`
	Issuer   string `json:"issuer"`
	Subject  string `json:"subject" doc:"What the provider knows them by."`
	Label    string `json:"label,omitempty" doc:"What they are called there."`

	CreatedAt  time.Time  `json:"created_at,omitzero"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty"`
}

func linkedAccountOf(row *storage.LinkedAccount) LinkedAccount {
	return LinkedAccount{row.ID.String(), row.Provider, row.Issuer, row.Subject, row.Label, row.CreatedAt.UTC(), utc(row.LastUsedAt)}
}

const (
	providersPath = orgPath + "/providers"
	providerPath  = providersPath + "/{provider}"
	accountsPath  = userPath + "/linked-accounts"
)

// providerNames are the members that the fields of deeds about providers stand in: what follows these may have dots of its own.
var providerNames = fields{"roles.map.": "/roles/map/", "claims.": "/claims/", "parameters.": "/parameters/"}

// mountProviders are /organizations/{org}/providers, and who people are there.
func (a *API) mountProviders() {
	type listIn struct {
		InOrg
		Paging
	}
	register(a, operation{
		id: "list-providers", method: http.MethodGet, path: providersPath, summary: "List upstream providers, by name", permission: permission.ProvidersRead,
	}, func(ctx context.Context, in *listIn) (*page[Provider], error) {
		org, err := tenant.From(ctx)
		if err != nil {
			return nil, err
		}
		read := func(after string, limit int) ([]storage.UpstreamProvider, error) {
			return a.db.ListUpstreamProviders(ctx, after, limit)
		}
		show := func(row *storage.UpstreamProvider) Provider { return providerOf(org, row) }
		return named(ctx, a, in.Paging, "providers", read, func(row *storage.UpstreamProvider) string { return row.Name }, show)
	})

	schemas := a.huma.OpenAPI().Components.Schemas
	type createIn struct {
		InOrg
		Body json.RawMessage
	}
	register(a, operation{
		id: "create-provider", method: http.MethodPost, path: providersPath, summary: "Set up an upstream provider", status: http.StatusCreated,
		description: "Sets up a provider at which people sign in. The roles that follow from it allow nothing that whoever sets it up does not hold.",
		permission:  permission.ProvidersWrite, schema: newProviderSchema(schemas), names: providerNames,
	}, func(ctx context.Context, in *createIn) (*one[Provider], error) {
		org, err := tenant.From(ctx)
		if err != nil {
			return nil, err
		}
		name, patch, err := providerPatch(in.Body)
		if err != nil {
			return nil, err
		}
		row, err := a.operators.CreateProvider(ctx, name, patch)
		if err != nil {
			return nil, err
		}
		return made(ctx, a, row.Name, providerOf(org, row))
	})

	type OfProvider struct {
		InOrg
		Provider string `path:"provider" maxLength:"40" doc:"The provider's name."`
	}
	type readIn struct {
		OfProvider
		Reading
	}
	register(a, operation{
		id: "get-provider", method: http.MethodGet, path: providerPath, summary: "Show an upstream provider", permission: permission.ProvidersRead,
	}, func(ctx context.Context, in *readIn) (*one[Provider], error) {
		current, err := a.currentProvider(ctx, in.Provider)
		if err != nil {
			return nil, err
		}
		return shownUnless(in.Reading, *current)
	})

	type patchIn struct {
		OfProvider
		Changing
		Body json.RawMessage `contentType:"application/merge-patch+json"`
	}
	patchSchema := optional(schemas, newProviderSchema(schemas))
	patchSchema.Nullable = false
	delete(patchSchema.Properties, memberName)
	for _, always := range []string{memberClient, "preset"} {
		member := patchSchema.Properties[always]
		member.Nullable = false
		member.Enum = slices.DeleteFunc(member.Enum, func(word any) bool { return word == nil })
	}
	patchSchema.PrecomputeMessages()
	register(a, operation{
		id: "update-provider", method: http.MethodPatch, path: providerPath, summary: "Change an upstream provider", names: providerNames,
		description: "A member that is null goes back to its default. To have anybody else say who comes from there takes what the people who are " +
			"linked to it may do.",
		permission: permission.ProvidersWrite, schema: patchSchema,
	}, func(ctx context.Context, in *patchIn) (out *one[Provider], err error) {
		org, err := tenant.From(ctx)
		if err != nil {
			return nil, err
		}
		_, patch, err := providerPatch(in.Body)
		if err != nil {
			return nil, err
		}
		err = a.ifProvider(ctx, in.Changing, in.Provider, func(ctx context.Context) error {
			row, err := a.operators.UpdateProvider(ctx, in.Provider, patch)
			if err != nil {
				return err
			}
			out, err = shown(providerOf(org, row))
			return err
		})
		return out, err
	})

	type deleteIn struct {
		OfProvider
		Changing
	}
	register(a, operation{
		id: "delete-provider", method: http.MethodDelete, path: providerPath, summary: "Delete an upstream provider",
		description: "Nobody is known to come from there any more: whoever signed in there alone can have a link for a new password sent to them.",
		permission:  permission.ProvidersWrite,
	}, func(ctx context.Context, in *deleteIn) (*struct{ Body Unlinked }, error) {
		out := new(struct{ Body Unlinked })
		return out, a.ifProvider(ctx, in.Changing, in.Provider, func(ctx context.Context) (err error) {
			out.Body.Accounts, err = a.operators.DeleteProvider(ctx, in.Provider)
			return err
		})
	})

	register(a, operation{
		id: "test-provider", method: http.MethodPost, path: providerPath + "/test", summary: "Look whether people could sign in at a provider",
		description: "Asks the provider whether it is there, is who it should be, and knows Keizer. It changes nothing.", permission: permission.ProvidersWrite,
	}, func(ctx context.Context, in *OfProvider) (*struct{ Body ProviderTest }, error) {
		findings, err := a.operators.TestProvider(ctx, in.Provider)
		if err != nil {
			return nil, err
		}
		bad := slices.ContainsFunc(findings, func(f upstream.Finding) bool { return f.Result == upstream.Failed })
		return &struct{ Body ProviderTest }{ProviderTest{!bad, findings}}, nil
	})

	register(a, operation{
		id: "list-linked-accounts", method: http.MethodGet, path: accountsPath, summary: "List who a person is at upstream providers",
		permission: permission.UsersRead,
	}, func(ctx context.Context, in *OfUser) (*page[LinkedAccount], error) {
		id, err := storage.ParseID(in.User)
		if err != nil {
			return nil, err
		}
		rows, err := a.operators.LinkedAccounts(ctx, id)
		if err != nil {
			return nil, err
		}
		return whole(shownAll(rows, linkedAccountOf)), nil
	})

	type OfAccount struct {
		OfUser
		Account string `path:"account" doc:"The linked account's id."`
	}
	register(a, operation{
		id: "delete-linked-account", method: http.MethodDelete, path: accountsPath + "/{account}", summary: "Unlink a person from an upstream provider",
		description: "They are told so by mail. Whoever signed in there alone can have a link for a new password sent to them.", permission: permission.UsersWrite,
	}, func(ctx context.Context, in *OfAccount) (*nothing, error) {
		user, err := storage.ParseID(in.User)
		if err != nil {
			return nil, err
		}
		account, err := storage.ParseID(in.Account)
		if err != nil {
			return nil, err
		}
		return nil, a.operators.Unlink(ctx, user, account)
	})
}
