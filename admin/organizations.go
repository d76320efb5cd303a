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
	ID     string `json:"id" format:"uuid"`
	Slug   string `json:"slug" doc:"What it is called in addresses."`
	Name   string `json:"name" doc:"What it is called by people."`
	Issuer string `json:"issuer" format:"uri"`
	// NextIssuer is there while a change of the issuer is planned.
	NextIssuer     string     `json:"next_issuer,omitempty" format:"uri" doc:"What the issuer is to be."`
	NextIssuerFrom *time.Time `json:"next_issuer_from,omitempty" doc:"From when on."`
	SuspendedAt    *time.Time `json:"suspended_at,omitempty" doc:"Since when it serves nobody."`
	CreatedAt      time.Time  `json:"created_at"`
	UpdatedAt      time.Time  `json:"updated_at"`
}

func (a *API) organizationOf(row *storage.Organization) Organization {
	addresses, now := a.operators.Addresses(), time.Now()
	issuer, _ := addresses.Issuer(row, now)
	org := Organization{
		ID: row.ID.String(), Slug: row.Slug, Name: row.Name, Issuer: issuer, SuspendedAt: utc(row.SuspendedAt), CreatedAt: row.CreatedAt.UTC(),
		UpdatedAt: row.UpdatedAt.UTC(),
	}
	if _, from, planned := row.PlannedIssuerHost(now); planned {
		org.NextIssuer, _ = addresses.Issuer(row, from)
		org.NextIssuerFrom = utc(&from)
	}
	return org
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
	return a.organizationOf(row), nil
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
		return paged(ctx, a, rows, next, "organizations", in.Sort, in.Filter, a.organizationOf)
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
		return made(ctx, a, row.Slug, a.organizationOf(row))
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
		return shownUnless(in.Reading, a.organizationOf(row))
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
			out, err = shown(a.organizationOf(row))
			return err
		})
		return out, err
	})

	type deleteIn struct {
		InOrg
		Changing
	}
	register(a, operation{
		id: "delete-organization", method: http.MethodDelete, path: orgPath, summary: "Delete an organization",
		description: "Deletes an organization and all that is in it, for good, but for its audit. The root organization, and the last one, stay.",
		permission:  permission.OrganizationDelete, names: fields{"slug": ""},
	}, func(ctx context.Context, in *deleteIn) (*nothing, error) {
		return nil, a.unchanged(ctx, in.Changing, a.lockOrganization, a.currentOrganization, func(ctx context.Context) error {
			return a.operators.DeleteOrganization(ctx, in.Org)
		})
	})

	for _, deed := range []struct {
		name, summary, description string
		do                         func(context.Context, string) (*storage.Organization, error)
	}{
		{"suspend", "Suspend an organization", "It serves nobody, and nothing that it has issued is good, until it is resumed.", a.operators.SuspendOrganization},
		{"resume", "End the suspension of an organization", "What it had issued is good again, as far as it has not expired.", a.operators.ResumeOrganization},
	} {
		register(a, operation{
			id: deed.name + "-organization", method: http.MethodPost, path: orgPath + "/" + deed.name, summary: deed.summary, description: deed.description,
			permission: permission.OrganizationDelete,
		}, func(ctx context.Context, in *InOrg) (*one[Organization], error) {
			row, err := deed.do(ctx, in.Org)
			if err != nil {
				return nil, err
			}
			return shown(a.organizationOf(row))
		})
	}
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
