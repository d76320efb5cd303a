package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
)

// RegistrationToken is a token with which clients can be registered, as it is answered.
type RegistrationToken struct {
	ID         string     `json:"id" format:"uuid"`
	Name       string     `json:"name"`
	MaxUses    int        `json:"max_uses" doc:"How many clients can be registered with it; 0 is any number."`
	Uses       int        `json:"uses" doc:"How many were."`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  time.Time  `json:"expires_at"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty"`
	Token      string     `json:"token,omitempty" doc:"The token itself: shown once, when it is made."`
}

func registrationTokenOf(row *storage.RegistrationToken) RegistrationToken {
	return registrationTokenWith(row, "")
}

func registrationTokenWith(row *storage.RegistrationToken, token secret.Text) RegistrationToken {
	out := RegistrationToken{
		ID: row.ID.String(), Name: row.Name, MaxUses: row.MaxUses, Uses: row.Uses, CreatedAt: row.CreatedAt.UTC(), ExpiresAt: row.ExpiresAt.UTC(),
		Token: token.Reveal(),
	}
	if row.LastUsedAt != nil {
		used := row.LastUsedAt.UTC()
		out.LastUsedAt = &used
	}
	return out
}

const (
	registrationTokensPath = orgPath + "/registration-tokens"
	registrationTokenPath  = registrationTokensPath + "/{registration_token}"
)

// mountRegistrationTokens are /organizations/{org}/registration-tokens.
func (a *API) mountRegistrationTokens() {
	type listIn struct {
		InOrg
		Paging
		Sort string `query:"sort" enum:"created_at,-created_at" default:"created_at"`
	}
	register(a, operation{
		id: "list-registration-tokens", method: http.MethodGet, path: registrationTokensPath,
		summary: "List the tokens with which clients can be registered", permission: permission.ClientsRead,
	}, func(ctx context.Context, in *listIn) (*page[RegistrationToken], error) {
		l, err := a.listing(ctx, in.Paging, "registration-tokens", in.Sort, nil)
		if err != nil {
			return nil, err
		}
		rows, next, err := a.db.FindRegistrationTokens(ctx, l)
		if err != nil {
			return nil, err
		}
		return paged(ctx, a, rows, next, "registration-tokens", in.Sort, nil, registrationTokenOf)
	})

	type createIn struct {
		InOrg
		Body struct {
			Name      string            `json:"name" maxLength:"200" doc:"What, or whom, it is for." example:"Developers"`
			MaxUses   int               `json:"max_uses,omitempty" minimum:"0" maximum:"1000000" doc:"How many clients can be registered with it; 0 is any number."`
			ExpiresIn settings.Duration `json:"expires_in,omitzero" doc:"How long it is good; 720h unless it is said otherwise." example:"720h"`
		} `nameHint:"NewRegistrationToken"`
	}
	register(a, operation{
		id: "create-registration-token", method: http.MethodPost, path: registrationTokensPath, summary: "Make a token with which clients can be registered",
		description: "Whoever has it registers clients by themselves (RFC 7591), within what the settings of the organization say. It is shown this once.",
		status:      http.StatusCreated, permission: permission.ClientsWrite, names: fields{"uses": "/max_uses", "expires-in": "/expires_in"},
	}, func(ctx context.Context, in *createIn) (*one[RegistrationToken], error) {
		row, token, err := a.operators.CreateRegistrationToken(ctx, manage.NewRegistrationToken{
			Name: in.Body.Name, MaxUses: in.Body.MaxUses, ExpiresIn: time.Duration(in.Body.ExpiresIn),
		})
		if err != nil {
			return nil, err
		}
		out, err := made(ctx, a, row.ID.String(), registrationTokenWith(row, token))
		if err != nil {
			return nil, err
		}
		out.ETag, err = tagOf(registrationTokenOf(row)) // of what is shown from now on
		return out, err
	})

	type OfRegistrationToken struct {
		InOrg
		Token string `path:"registration_token" doc:"The token's id."`
	}
	type readIn struct {
		OfRegistrationToken
		Reading
	}
	register(a, operation{
		id: "get-registration-token", method: http.MethodGet, path: registrationTokenPath, summary: "Show a token with which clients can be registered",
		permission: permission.ClientsRead,
	}, func(ctx context.Context, in *readIn) (*one[RegistrationToken], error) {
		id, err := storage.ParseID(in.Token)
		if err != nil {
			return nil, err
		}
		row, err := a.db.RegistrationToken(ctx, id)
		if err != nil {
			return nil, err
		}
		return shownUnless(in.Reading, registrationTokenOf(row))
	})

	register(a, operation{
		id: "revoke-registration-token", method: http.MethodDelete, path: registrationTokenPath,
		summary: "Make a token useless with which clients can be registered", description: "The clients that were registered with it stay.",
		permission: permission.ClientsWrite,
	}, func(ctx context.Context, in *OfRegistrationToken) (*nothing, error) {
		id, err := storage.ParseID(in.Token)
		if err != nil {
			return nil, err
		}
		return nil, a.operators.RevokeRegistrationToken(ctx, id)
	})
}
