package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/login/upstream"
	"github.com/keizer-auth/keizer/storage"
)

// ProviderToken is an access token of an upstream provider, as it is answered.
type ProviderToken struct {
	AccessToken string     `json:"access_token"`
	ExpiresAt   *time.Time `json:"expires_at,omitempty" doc:"Until when it is good, if the provider has said so."`
}

// providerRetrySecond is when a provider may be asked again that does not answer.
const providerRetrySecond = "30"

// mountTokens are /organizations/{org}/tokens: one that somebody holds, and brings; and those that providers have given.
func (a *API) mountTokens() {
	type tokenIn struct {
		InOrg
		Body struct {
			Token string `json:"token" writeOnly:"true" minLength:"1" maxLength:"16384" pattern:"^[!-~]+$" doc:"An access or refresh token of the organization."`
		} `nameHint:"GivenToken"`
	}
	register(a, operation{
		id: "introspect-token", method: http.MethodPost, path: orgPath + "/tokens/introspect", summary: "Say what is known of a token",
		description: "As the introspection endpoint does (RFC 7662), and more: it hides nothing. Of a token that is not good it says only that.",
		permission:  permission.GrantsWrite,
	}, func(ctx context.Context, in *tokenIn) (*struct{ Body map[string]any }, error) {
		found, err := a.operators.Introspect(ctx, in.Body.Token)
		return &struct{ Body map[string]any }{found}, err
	})

	type revoked struct {
		Revoked bool `json:"revoked" doc:"Whether it was one that was good."`
	}
	register(a, operation{
		id: "revoke-token", method: http.MethodPost, path: orgPath + "/tokens/revoke", summary: "End a token",
		description: "With a refresh token everything ends that was granted with it.", permission: permission.GrantsWrite,
	}, func(ctx context.Context, in *tokenIn) (*struct{ Body revoked }, error) {
		err := a.operators.Revoke(ctx, in.Body.Token)
		if errors.Is(err, storage.ErrNotFound) {
			return &struct{ Body revoked }{}, nil
		}
		return &struct{ Body revoked }{revoked{true}}, err
	})

	type OfProviderToken struct {
		OfUser
		Provider string `path:"provider" maxLength:"40" doc:"The provider's name."`
	}
	register(a, operation{
		id: "reveal-provider-token", method: http.MethodPost, path: userPath + "/provider-tokens/{provider}",
		summary:     "Show the access token that a provider has given for a person",
		description: "Renewed, if need be. That it was shown is written down. That none is kept, or that none is given any more, is a conflict.",
		permission:  permission.UsersWrite,
	}, func(ctx context.Context, in *OfProviderToken) (*struct{ Body ProviderToken }, error) {
		user, err := a.user(ctx, in.User)
		if err != nil {
			return nil, err
		}
		if _, err := a.db.UpstreamProvider(ctx, in.Provider); err != nil {
			return nil, err
		}
		token, expires, err := a.operators.ProviderToken(ctx, in.Provider, user.ID)
		if errors.Is(err, storage.ErrNotFound) {
			return nil, problem(http.StatusConflict, typeTaken, "No token is kept that the provider has given for this person.")
		}
		switch {
		case errors.Is(err, upstream.ErrEnded):
			return nil, problem(http.StatusConflict, typeTaken, "The token is over, and the provider gives no other until the person has signed in there again.")
		case errors.Is(err, upstream.ErrDown):
			return nil, problem(http.StatusServiceUnavailable, typeBlank, "The provider does not answer. Try again in a while.").with("Retry-After", providerRetrySecond)
		case errors.Is(err, upstream.ErrRefused), errors.Is(err, upstream.ErrUntrusted):
			return nil, problem(http.StatusConflict, typeTaken, "The provider has not renewed the token. Test the provider.")
		}
		if err != nil {
			return nil, err
		}
		return &struct{ Body ProviderToken }{ProviderToken{token.Reveal(), utc(expires)}}, nil
	})
}
