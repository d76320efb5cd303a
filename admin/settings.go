package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
)

func settingsOf(row *storage.Organization) (*settings.Settings, error) {
	return settings.Parse(row.Settings)
}

func (a *API) currentSettings(ctx context.Context) (any, error) {
	row, err := a.theOrganization(ctx)
	if err != nil {
		return nil, err
	}
	return settingsOf(row)
}

// optional is a schema of which every member may be absent, or null, as in a merge patch (RFC 7396).
func optional(schemas huma.Registry, s *huma.Schema) *huma.Schema {
	for s.Ref != "" {
		s = schemas.SchemaFromRef(s.Ref)
	}
	loose := *s
	loose.Required, loose.Nullable = nil, true
	if len(s.Enum) > 0 { // null is none of the words, but where it is said (JSON Schema Validation §6.1.2)
		loose.Enum = append(slices.Clone(s.Enum), nil)
	}
	loose.Properties = make(map[string]*huma.Schema, len(s.Properties))
	for name, member := range s.Properties {
		loose.Properties[name] = optional(schemas, member)
	}
	if below, ok := s.AdditionalProperties.(*huma.Schema); ok {
		loose.AdditionalProperties = optional(schemas, below)
	}
	loose.PrecomputeMessages()
	return &loose
}

const (
	settingsPath = orgPath + "/settings"
	logoPath     = orgPath + "/logo"
)

// mountSettings are /organizations/{org}/settings and the logo, which is one of them.
func (a *API) mountSettings() {
	type readIn struct {
		InOrg
		Reading
	}
	register(a, operation{
		id: "get-settings", method: http.MethodGet, path: settingsPath, summary: "Show what an organization decides",
		description: "Shows what holds, defaults included.", permission: permission.OrganizationRead,
	}, func(ctx context.Context, in *readIn) (*one[settings.Settings], error) {
		row, err := a.theOrganization(ctx)
		if err != nil {
			return nil, err
		}
		decided, err := settingsOf(row)
		if err != nil {
			return nil, err
		}
		return shownUnless(in.Reading, *decided)
	})

	type patchIn struct {
		InOrg
		Changing
		Body json.RawMessage `contentType:"application/merge-patch+json"`
	}
	schemas := a.huma.OpenAPI().Components.Schemas
	patch := optional(schemas, schemas.Schema(reflect.TypeFor[settings.Settings](), true, ""))
	patch.Nullable = false
	register(a, operation{
		id: "update-settings", method: http.MethodPatch, path: settingsPath, summary: "Change what an organization decides",
		description: "A member that is null goes back to its default. Replicas that serve the organization know within seconds.",
		permission:  permission.OrganizationWrite, schema: patch,
	}, func(ctx context.Context, in *patchIn) (out *one[settings.Settings], err error) {
		patch, err := settings.ParsePatch(in.Body)
		if err != nil {
			return nil, unreadable(err)
		}
		err = a.unchanged(ctx, in.Changing, a.lockOrganization, a.currentSettings, func(ctx context.Context) error {
			row, err := a.operators.UpdateOrganization(ctx, in.Org, manage.OrganizationPatch{Settings: patch})
			if err != nil {
				return err
			}
			decided, err := settingsOf(row)
			if err != nil {
				return err
			}
			out, err = shown(*decided)
			return err
		})
		return out, err
	})

	type logoIn struct {
		InOrg
		RawBody []byte `contentType:"image/png"`
	}
	pictures := []string{"image/png", "image/jpeg", "image/webp"}
	register(a, operation{
		id: "set-logo", method: http.MethodPut, path: logoPath, summary: "Give an organization a logo", body: pictures,
		description: "Takes a PNG, JPEG or WebP picture of at most 128 KiB and 2048 pixels a side.", permission: permission.OrganizationWrite,
		names: fields{"logo": ""},
	}, func(ctx context.Context, in *logoIn) (*nothing, error) {
		return nil, a.branded(ctx, func(ctx context.Context) error { return a.operators.SetLogo(ctx, in.RawBody) })
	})
	register(a, operation{
		id: "delete-logo", method: http.MethodDelete, path: logoPath, summary: "Take an organization's logo away", permission: permission.OrganizationWrite,
	}, func(ctx context.Context, _ *InOrg) (*nothing, error) {
		return nil, a.branded(ctx, a.operators.DeleteLogo)
	})
}

// branded does something to the logo of the organization as it is called this moment.
func (a *API) branded(ctx context.Context, deed func(context.Context) error) error {
	org, err := tenant.From(ctx)
	if err != nil {
		return err
	}
	err = deed(tenant.With(ctx, org))
	if errors.Is(err, storage.ErrNotFound) {
		return nil // it has none
	}
	return err
}
