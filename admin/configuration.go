package admin

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
)

// Manifest is a description of an organization, its members in their order.
type Manifest struct{ json.RawMessage }

// Schema implements huma.SchemaProvider. What stands in the parts is judged by whoever reads them, who says more of it.
func (Manifest) Schema(huma.Registry) *huma.Schema {
	list := func(of *huma.Schema, description string) *huma.Schema {
		return &huma.Schema{Type: huma.TypeArray, Items: of, Description: description}
	}
	text := func() *huma.Schema { return &huma.Schema{Type: huma.TypeString} }
	object := func() *huma.Schema { return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true} }
	s := &huma.Schema{
		Type: huma.TypeObject, Required: []string{"keizer", "slug"}, AdditionalProperties: false,
		Description: "What an organization is to be. A part that is left out stays as it is.",
		Properties: map[string]*huma.Schema{
			"keizer":      {Type: huma.TypeInteger, Enum: []any{manage.ManifestVersion}, Description: "The version of the form."},
			"slug":        {Type: huma.TypeString, Description: "Which organization it is.", Examples: []any{"acme"}},
			"name":        {Type: huma.TypeString, Description: "What it is called by people."},
			"settings":    {Type: huma.TypeObject, AdditionalProperties: true, Description: "What it decides; a member that is left out is as it is by default."},
			"hosts":       list(text(), "The hosts that it claims."),
			"permissions": list(object(), "Those of its own, by name."),
			"roles":       list(object(), "Those of its own, by name."),
			"apis":        list(object(), "By identifier."),
			"providers":   list(object(), "By name, with their members. A secret is a reference."),
			"clients":     list(object(), "By client_id, with their metadata (RFC 7591 §2). A secret is a reference."),
		},
	}
	s.PrecomputeMessages()
	return s
}

// ManifestRequest is a manifest that is to be applied.
type ManifestRequest struct {
	Document Manifest          `json:"document"`
	Secrets  map[string]string `json:"secrets,omitempty" doc:"What the references to secrets stand for, by the JSON Pointers at which they stand in the document."`
	DryRun   bool              `json:"dry_run,omitempty" doc:"Whether it is only to be said what would be changed."`
	Prune    bool              `json:"prune,omitempty" doc:"Whether what is there and not named is deleted, in the parts that the document has."`
}

// ManifestResult is what came of a manifest.
type ManifestResult struct{ Body manage.Applied }

const configurationPath = orgPath + "/configuration"

// mountConfiguration are /configuration and /organizations/{org}/configuration: an organization as a whole.
func (a *API) mountConfiguration() {
	type readIn struct {
		InOrg
		Reading
	}
	register(a, operation{
		id: "export-configuration", method: http.MethodGet, path: configurationPath, summary: "Describe an organization",
		description: "Writes the document that, when it is applied, changes nothing: settings, hosts, permissions, roles, providers, clients and APIs. Secrets " +
			"are references, and stay as they are where nothing is given for them. It takes the permissions to see each of these.",
		permission: permission.OrganizationRead,
	}, func(ctx context.Context, in *readIn) (*one[Manifest], error) {
		org, err := tenant.From(ctx)
		if err != nil {
			return nil, err
		}
		for _, name := range []string{permission.RolesRead, permission.ClientsRead, permission.APIsRead, permission.ProvidersRead} {
			if !callerOf(ctx).may(org, name) {
				return nil, insufficient(name)
			}
		}
		document, err := a.operators.Describe(ctx)
		if err != nil {
			return nil, err
		}
		return shownUnless(in.Reading, Manifest{document})
	})

	apply := func(ctx context.Context, m *manage.Manifest, in *ManifestRequest) (*ManifestResult, error) {
		secrets := make(map[string]secret.Text, len(in.Secrets))
		for pointer, text := range in.Secrets {
			secrets[pointer] = secret.Text(text)
		}
		applied, err := a.operators.Apply(ctx, m, manage.ApplyOptions{DryRun: in.DryRun, Prune: in.Prune, Secrets: secrets})
		if err != nil {
			return nil, err
		}
		return &ManifestResult{*applied}, nil
	}
	document := fields{placed: "/document"}
	description := "Everything is changed that differs, in one transaction, or nothing is; each deed takes the permission that it takes by itself, and each " +
		"part of the document that to see it. Secrets that are generated are shown this once."

	type applyIn struct {
		InOrg
		Body ManifestRequest
	}
	register(a, operation{
		id: "apply-configuration", method: http.MethodPost, path: configurationPath, summary: "Make an organization what a document says",
		description: description, permission: permission.OrganizationWrite, names: document,
	}, func(ctx context.Context, in *applyIn) (*ManifestResult, error) {
		m, err := manage.ParseManifest(in.Body.Document.RawMessage)
		if err != nil {
			return nil, err
		}
		if m.Slug != in.Org {
			return nil, &manage.Invalid{Field: "/slug", Message: "it is another organization than the address names"}
		}
		return apply(ctx, m, &in.Body)
	})
	type applyAnyIn struct{ Body ManifestRequest }
	register(a, operation{
		id: "apply-any-configuration", method: http.MethodPost, path: "/configuration", summary: "Make any organization what a document says",
		description: "An organization that is not there is made. " + description, permission: permission.OrganizationsWrite, names: document,
	}, func(ctx context.Context, in *applyAnyIn) (*ManifestResult, error) {
		m, err := manage.ParseManifest(in.Body.Document.RawMessage)
		if err != nil {
			return nil, err
		}
		return apply(ctx, m, &in.Body)
	})
}
