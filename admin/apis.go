package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
)

// ResourceServer is an API of the organization's own that tokens may be for, as it is answered.
type ResourceServer struct {
	ID         string            `json:"id" format:"uuid"`
	Identifier string            `json:"identifier" doc:"What its tokens have as audience, and what resource names it by (RFC 8707)."`
	Name       string            `json:"name"`
	ClientID   string            `json:"client_id,omitempty" doc:"The client by which it asks what a token stands for."`
	Scopes     []manage.APIScope `json:"scopes" doc:"What applications may ask for, and which permission each is tied to."`
	CreatedAt  time.Time         `json:"created_at"`
	UpdatedAt  time.Time         `json:"updated_at"`
}

func resourceServerOf(row *storage.API) ResourceServer {
	return ResourceServer{
		row.ID.String(), row.Identifier, row.Name, deref(row.ClientID), manage.ScopesOf(row), row.CreatedAt.UTC(), row.UpdatedAt.UTC(),
	}
}

// ifAPI carries a deed about a resource server out if it is as whoever asks knows it.
func (a *API) ifAPI(ctx context.Context, c Changing, name string, deed func(ctx context.Context, id uuid.UUID) error) error {
	id, err := storage.ParseID(name)
	if err != nil {
		return err
	}
	lock := func(ctx context.Context) error { return a.db.LockAPI(ctx, id) }
	current := func(ctx context.Context) (any, error) {
		row, err := a.operators.API(ctx, id)
		if err != nil {
			return nil, err
		}
		return resourceServerOf(row), nil
	}
	return a.unchanged(ctx, c, lock, current, func(ctx context.Context) error { return deed(ctx, id) })
}

const (
	apisPath = orgPath + "/apis"
	apiPath  = apisPath + "/{api}"
)

// mountAPIs are /organizations/{org}/apis.
func (a *API) mountAPIs() {
	type Filter struct {
		Identifier string `query:"identifier" maxLength:"2048" doc:"Only the one of this identifier."`
	}
	type listIn struct {
		InOrg
		Paging
		Filter
	}
	register(a, operation{
		id: "list-apis", method: http.MethodGet, path: apisPath, summary: "List APIs, by identifier", permission: permission.APIsRead,
	}, func(ctx context.Context, in *listIn) (*page[ResourceServer], error) {
		read := func(after string, limit int) ([]storage.API, error) { return a.operators.ListAPIs(ctx, after, limit) }
		if in.Identifier != "" {
			read = func(string, int) ([]storage.API, error) {
				row, err := a.operators.APIByIdentifier(ctx, in.Identifier)
				if err != nil {
					return nil, noneFound(err)
				}
				return []storage.API{*row}, nil
			}
		}
		return named(ctx, a, in.Paging, "apis", read, func(row *storage.API) string { return row.Identifier }, resourceServerOf)
	})

	type createIn struct {
		InOrg
		Body struct {
			Identifier string            `json:"identifier" maxLength:"2048" doc:"An absolute URI without a fragment, for good." example:"https://orders.example.com"`
			Name       string            `json:"name" maxLength:"200" example:"Orders"`
			ClientID   string            `json:"client_id,omitempty" maxLength:"200"`
			Scopes     []manage.APIScope `json:"scopes,omitempty" maxItems:"100"`
		} `nameHint:"NewResourceServer"`
	}
	register(a, operation{
		id: "create-api", method: http.MethodPost, path: apisPath, summary: "Register an API", status: http.StatusCreated, permission: permission.APIsWrite,
	}, func(ctx context.Context, in *createIn) (*one[ResourceServer], error) {
		row, err := a.operators.CreateAPI(ctx, manage.NewAPI{
			Identifier: in.Body.Identifier, Name: in.Body.Name, ClientID: in.Body.ClientID, Scopes: in.Body.Scopes,
		})
		if err != nil {
			return nil, err
		}
		return made(ctx, a, row.ID.String(), resourceServerOf(row))
	})

	type OfAPI struct {
		InOrg
		API string `path:"api" doc:"The API's id."`
	}
	type readIn struct {
		OfAPI
		Reading
	}
	register(a, operation{
		id: "get-api", method: http.MethodGet, path: apiPath, summary: "Show an API", permission: permission.APIsRead,
	}, func(ctx context.Context, in *readIn) (*one[ResourceServer], error) {
		id, err := storage.ParseID(in.API)
		if err != nil {
			return nil, err
		}
		row, err := a.operators.API(ctx, id)
		if err != nil {
			return nil, err
		}
		return shownUnless(in.Reading, resourceServerOf(row))
	})

	type patchIn struct {
		OfAPI
		Changing
		Body struct {
			Name     given[string]            `json:"name,omitzero" maxLength:"200"`
			ClientID removable[string]        `json:"client_id,omitzero" maxLength:"200"`
			Scopes   given[[]manage.APIScope] `json:"scopes,omitzero" maxItems:"100" doc:"They replace all that there are."`
		} `contentType:"application/merge-patch+json" nameHint:"ResourceServerPatch"`
	}
	register(a, operation{
		id: "update-api", method: http.MethodPatch, path: apiPath, summary: "Change an API", permission: permission.APIsWrite,
		description: "To untie a scope from a permission, or tie it to another one, takes the permission.",
	}, func(ctx context.Context, in *patchIn) (out *one[ResourceServer], err error) {
		err = a.ifAPI(ctx, in.Changing, in.API, func(ctx context.Context, id uuid.UUID) error {
			row, err := a.operators.UpdateAPI(ctx, id, manage.APIPatch{
				Name: in.Body.Name.pointer(), ClientID: in.Body.ClientID.pointer(), Scopes: in.Body.Scopes.pointer(),
			})
			if err != nil {
				return err
			}
			out, err = shown(resourceServerOf(row))
			return err
		})
		return out, err
	})

	type deleteIn struct {
		OfAPI
		Changing
	}
	register(a, operation{
		id: "delete-api", method: http.MethodDelete, path: apiPath, summary: "Delete an API",
		description: "No token is issued for it any more.", permission: permission.APIsWrite,
	}, func(ctx context.Context, in *deleteIn) (*nothing, error) {
		return nil, a.ifAPI(ctx, in.Changing, in.API, a.operators.DeleteAPI)
	})
}
