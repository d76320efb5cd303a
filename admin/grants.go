package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/storage"
)

// Grant is what a client was let in to in somebody's name, as it is answered: the family of its tokens.
type Grant struct {
	ID        string    `json:"id" format:"uuid"`
	ClientID  string    `json:"client_id"`
	UserID    string    `json:"user_id,omitempty" format:"uuid"`
	SessionID string    `json:"session_id,omitempty" format:"uuid" doc:"The session that it was given in."`
	Scope     []string  `json:"scope"`
	Audience  []string  `json:"audience"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

func grantOf(row *storage.Grant) Grant {
	g := Grant{
		ID: row.ID.String(), ClientID: row.ClientID, Scope: append([]string{}, row.Scope...), Audience: append([]string{}, row.Audience...),
		CreatedAt: row.CreatedAt.UTC(), ExpiresAt: row.ExpiresAt.UTC(),
	}
	if row.UserID != nil {
		g.UserID = row.UserID.String()
	}
	if row.SessionID != nil {
		g.SessionID = row.SessionID.String()
	}
	return g
}

const grantsPath = orgPath + "/grants"

// mountGrants are /organizations/{org}/grants, and those of one person.
func (a *API) mountGrants() {
	type Filter struct {
		UserID   string `query:"user_id" maxLength:"36" doc:"Only those in this person's name."`
		ClientID string `query:"client_id" maxLength:"200" doc:"Only those of this client."`
	}
	type listIn struct {
		InOrg
		Paging
		Filter
		Sort string `query:"sort" enum:"created_at,-created_at" default:"created_at"`
	}
	register(a, operation{
		id: "list-grants", method: http.MethodGet, path: grantsPath, summary: "List what clients were let in to", permission: permission.GrantsRead,
	}, func(ctx context.Context, in *listIn) (*page[Grant], error) {
		l, err := a.listing(ctx, in.Paging, "grants", in.Sort, in.Filter)
		if err != nil {
			return nil, err
		}
		f := storage.GrantFilter{ClientID: in.ClientID}
		if in.UserID != "" {
			id, err := storage.ParseID(in.UserID)
			if err != nil {
				return whole[Grant](nil), nil //nolint:nilerr // nobody has what is none
			}
			f.UserID = &id
		}
		rows, next, err := a.db.FindGrants(ctx, f, l)
		if err != nil {
			return nil, err
		}
		return paged(ctx, a, rows, next, "grants", in.Sort, in.Filter, grantOf)
	})

	type OfGrant struct {
		InOrg
		Grant string `path:"grant" doc:"The grant's id."`
	}
	type readIn struct {
		OfGrant
		Reading
	}
	register(a, operation{
		id: "get-grant", method: http.MethodGet, path: grantsPath + "/{grant}", summary: "Show a grant", permission: permission.GrantsRead,
	}, func(ctx context.Context, in *readIn) (*one[Grant], error) {
		id, err := storage.ParseID(in.Grant)
		if err != nil {
			return nil, err
		}
		row, err := a.db.Grant(ctx, id)
		if err != nil {
			return nil, err
		}
		return shownUnless(in.Reading, grantOf(row))
	})

	register(a, operation{
		id: "revoke-grant", method: http.MethodDelete, path: grantsPath + "/{grant}", summary: "End a grant",
		description: "Every token that came of it ends.", permission: permission.GrantsWrite,
	}, func(ctx context.Context, in *OfGrant) (*nothing, error) {
		id, err := storage.ParseID(in.Grant)
		if err != nil {
			return nil, err
		}
		return nil, a.operators.RevokeGrant(ctx, id)
	})

	type OfApplication struct {
		OfUser
		Client string `path:"client" maxLength:"200" doc:"The client_id of the application."`
	}
	register(a, operation{
		id: "revoke-user-application", method: http.MethodDelete, path: userPath + "/grants/{client}",
		summary:     "End all that an application was let in to by a person",
		description: "Every grant that the client has in the person's name ends, and so does the consent that was remembered: they are asked again.",
		permission:  permission.GrantsWrite,
	}, func(ctx context.Context, in *OfApplication) (*nothing, error) {
		return nil, a.onUser(ctx, in.User, func(ctx context.Context, id uuid.UUID) error {
			return a.operators.RevokeApplication(ctx, id, in.Client)
		})
	})
}

// onUser does something to the person that an address names.
func (a *API) onUser(ctx context.Context, name string, deed func(context.Context, uuid.UUID) error) error {
	user, err := a.user(ctx, name)
	if err != nil {
		return err
	}
	return deed(ctx, user.ID)
}
