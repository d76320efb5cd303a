package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
)

// Invitation is an invitation that can still be accepted, as it is answered.
type Invitation struct {
	ID        string    `json:"id" format:"uuid"`
	Email     string    `json:"email"`
	FullName  string    `json:"full_name,omitempty"`
	Inviter   string    `json:"inviter,omitempty"`
	Language  string    `json:"language,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	Link      string    `json:"link,omitempty" doc:"The address that the mail leads to: shown once, when it is made and asked for."`
}

func invitationOf(row *storage.Invitation) Invitation {
	return Invitation{
		ID: row.ID.String(), Email: row.Email, FullName: row.FullName, Inviter: row.Inviter, Language: row.Language,
		CreatedAt: row.CreatedAt.UTC(), ExpiresAt: row.ExpiresAt.UTC(),
	}
}

const invitationsPath = orgPath + "/invitations"

// mountInvitations are /organizations/{org}/invitations.
func (a *API) mountInvitations() {
	type Filter struct {
		Email string `query:"email" maxLength:"320" doc:"Only those to this address, in any spelling."`
	}
	type listIn struct {
		InOrg
		Paging
		Filter
		Sort string `query:"sort" enum:"created_at,-created_at" default:"created_at"`
	}
	register(a, operation{
		id: "list-invitations", method: http.MethodGet, path: invitationsPath, summary: "List the invitations that can still be accepted",
		permission: permission.InvitationsRead,
	}, func(ctx context.Context, in *listIn) (*page[Invitation], error) {
		l, err := a.listing(ctx, in.Paging, "invitations", in.Sort, in.Filter)
		if err != nil {
			return nil, err
		}
		rows, next, err := a.db.FindInvitations(ctx, in.Email, l)
		if err != nil {
			return nil, err
		}
		return paged(ctx, a, rows, next, "invitations", in.Sort, in.Filter, invitationOf)
	})

	type createIn struct {
		InOrg
		Body struct {
			Email     string            `json:"email" maxLength:"320"`
			FullName  string            `json:"full_name,omitempty" maxLength:"200"`
			Inviter   string            `json:"inviter,omitempty" maxLength:"200" doc:"What the one is called who invites, as the mail says it."`
			Language  string            `json:"language,omitempty" maxLength:"35" doc:"What the mail is written in." example:"en"`
			Roles     []string          `json:"roles,omitempty" maxItems:"100" doc:"The names of the roles that they will have."`
			ExpiresIn settings.Duration `json:"expires_in,omitzero" doc:"How long it can be accepted; 72h unless it is said otherwise." example:"72h"`
			ShowLink  bool              `json:"show_link,omitempty" doc:"Whether the answer holds the link as well, to bring it there another way."`
		} `nameHint:"NewInvitation"`
	}
	register(a, operation{
		id: "create-invitation", method: http.MethodPost, path: invitationsPath, summary: "Invite somebody", status: http.StatusCreated,
		description: "Sends somebody a link by which they make an account. An invitation that the address has had before ends.",
		permission:  permission.InvitationsWrite,
		names:       fields{"name": "/full_name", "role": "/roles", "expires-in": "/expires_in", "sign_up.mode": ""},
	}, func(ctx context.Context, in *createIn) (*one[Invitation], error) {
		row, link, err := a.operators.Invite(ctx, manage.NewInvitation{
			Email: in.Body.Email, FullName: in.Body.FullName, Inviter: in.Body.Inviter, Language: in.Body.Language, Roles: in.Body.Roles,
			ExpiresIn: time.Duration(in.Body.ExpiresIn),
		})
		if err != nil {
			return nil, err
		}
		if row, err = a.db.InvitationByID(ctx, row.ID); err != nil { // as it is shown from now on
			return nil, err
		}
		body := invitationOf(row)
		tag, err := tagOf(body)
		if err != nil {
			return nil, err
		}
		if in.Body.ShowLink {
			body.Link = link
		}
		out, err := made(ctx, a, body.ID, body)
		if err == nil {
			out.ETag = tag
		}
		return out, err
	})

	type OfInvitation struct {
		InOrg
		Invitation string `path:"invitation" doc:"The invitation's id."`
	}
	type readIn struct {
		OfInvitation
		Reading
	}
	register(a, operation{
		id: "get-invitation", method: http.MethodGet, path: invitationsPath + "/{invitation}", summary: "Show an invitation",
		permission: permission.InvitationsRead,
	}, func(ctx context.Context, in *readIn) (*one[Invitation], error) {
		id, err := storage.ParseID(in.Invitation)
		if err != nil {
			return nil, err
		}
		row, err := a.db.InvitationByID(ctx, id)
		if err != nil {
			return nil, err
		}
		return shownUnless(in.Reading, invitationOf(row))
	})

	register(a, operation{
		id: "revoke-invitation", method: http.MethodDelete, path: invitationsPath + "/{invitation}", summary: "Take an invitation back",
		permission: permission.InvitationsWrite,
	}, func(ctx context.Context, in *OfInvitation) (*nothing, error) {
		id, err := storage.ParseID(in.Invitation)
		if err != nil {
			return nil, err
		}
		return nil, a.operators.RevokeInvitation(ctx, id)
	})
}
