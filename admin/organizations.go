package admin

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
)

// Organization is an organization as it is answered.
type Organization struct {
	ID          string     `json:"id" format:"uuid"`
	Slug        string     `json:"slug" doc:"What it is called in addresses."`
	Name        string     `json:"name" doc:"What it is called by people."`
	Issuer      string     `json:"issuer" format:"uri"`
	SuspendedAt *time.Time `json:"suspended_at,omitempty" doc:"Since when it serves nobody."`
	CreatedAt   time.Time  `json:"created_at"`
	UpdatedAt   time.Time  `json:"updated_at"`
}

func (a *API) organizationOf(row *storage.Organization) (Organization, error) {
	org, err := a.tenant(row)
	if err != nil {
		return Organization{}, err
	}
	return Organization{
		row.ID.String(), row.Slug, row.Name, org.Issuer, utc(row.SuspendedAt), row.CreatedAt.UTC(), row.UpdatedAt.UTC(),
	}, nil
}

// InOrg is the part of an address that names the organization.
type InOrg struct {
	Org string `path:"org" doc:"The slug of the organization." example:"acme"`
}

// theOrganization is the row that a request is about.
func (a *API) theOrganization(ctx context.Context) (*storage.Organization, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	return a.db.OrganizationByID(ctx, org.ID)
}

func (a *API) currentOrganization(ctx context.Context) (any, error) {
	row, err := a.theOrganization(ctx)
	if err != nil {
		return nil, err
	}
	return a.organizationOf(row)
}

func (a *API) lockOrganization(ctx context.Context) error {
	org, err := tenant.From(ctx)
	if err != nil {
		return err
	}
	return a.db.LockOrganization(ctx, org.ID)
}

const orgPath = "/organizations/{org}"

// mountOrganizations are /organizations and /organizations/{org}.
func (a *API) mountOrganizations() {
	type Filter struct {
		Search    string `query:"search" maxLength:"200" doc:"What stands in the slug or the name."`
		Suspended string `query:"suspended" enum:"true,false" doc:"Whether it is suspended."`
	}
	type listIn struct {
		Paging
		Filter
		Sort string `query:"sort" enum:"slug,-slug,name,-name,created_at,-created_at" default:"slug"`
	}
	register(a, operation{
		id: "list-organizations", method: http.MethodGet, path: "/organizations", summary: "List organizations", permission: permission.OrganizationsRead,
	}, func(ctx context.Context, in *listIn) (*page[Organization], error) {
		l, err := a.listing(ctx, in.Paging, "organizations", in.Sort, in.Filter)
		if err != nil {
			return nil, err
		}
		rows, next, err := a.db.FindOrganizations(ctx, storage.OrganizationFilter{Search: in.Search, Suspended: truth(in.Suspended)}, l)
		if err != nil {
			return nil, err
		}
		out, err := paged(ctx, a, rows, next, "organizations", in.Sort, in.Filter, func(*storage.Organization) Organization { return Organization{} })
		for i := range rows {
			if err == nil {
				out.Body.Items[i], err = a.organizationOf(&rows[i])
			}
		}
		return out, err
	})

	type createIn struct {
		Body struct {
			Slug string `json:"slug" minLength:"1" maxLength:"63" doc:"What it is called in addresses, for good." example:"acme"`
			Name string `json:"name,omitempty" maxLength:"200" doc:"What it is called by people; the slug if it is left out." example:"Acme"`
		} `nameHint:"NewOrganization"`
	}
	register(a, operation{
		id: "create-organization", method: http.MethodPost, path: "/organizations", summary: "Make an organization", status: http.StatusCreated,
		description: "Makes an organization with keys of its own, and the system roles.", permission: permission.OrganizationsWrite,
	}, func(ctx context.Context, in *createIn) (*one[Organization], error) {
		if in.Body.Name == "" {
			in.Body.Name = in.Body.Slug
		}
		row, err := a.operators.CreateOrganization(ctx, in.Body.Name, in.Body.Slug)
		if err != nil {
			return nil, err
		}
		body, err := a.organizationOf(row)
		if err != nil {
			return nil, err
		}
		return made(ctx, a, row.Slug, body)
	})

	type readIn struct {
		InOrg
		Reading
	}
	register(a, operation{
		id: "get-organization", method: http.MethodGet, path: orgPath, summary: "Show an organization", permission: permission.OrganizationRead,
	}, func(ctx context.Context, in *readIn) (*one[Organization], error) {
		row, err := a.theOrganization(ctx)
		if err != nil {
			return nil, err
		}
		body, err := a.organizationOf(row)
		if err != nil {
			return nil, err
		}
		return shownUnless(in.Reading, body)
	})

	type patchIn struct {
		InOrg
		Changing
		Body struct {
			Name given[string] `json:"name,omitzero" maxLength:"200" doc:"What it is called by people."`
		} `contentType:"application/merge-patch+json" nameHint:"OrganizationPatch"`
	}
	register(a, operation{
		id: "update-organization", method: http.MethodPatch, path: orgPath, summary: "Rename an organization",
		description: "What it decides for itself is changed at its settings.", permission: permission.OrganizationWrite,
	}, func(ctx context.Context, in *patchIn) (out *one[Organization], err error) {
		err = a.unchanged(ctx, in.Changing, a.lockOrganization, a.currentOrganization, func(ctx context.Context) error {
			row, err := a.operators.UpdateOrganization(ctx, in.Org, manage.OrganizationPatch{Name: in.Body.Name.pointer()})
			if err != nil {
				return err
			}
			body, err := a.organizationOf(row)
			if err != nil {
				return err
			}
			out, err = shown(body)
			return err
		})
		return out, err
	})
}

// truth reads a parameter that may be true, false or absent.
func truth(text string) *bool {
	if text == "" {
		return nil
	}
	b := text == "true"
	return &b
}

func escapePath(name string) string { return url.PathEscape(name) }
