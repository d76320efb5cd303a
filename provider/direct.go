package provider

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"

	"github.com/keizer-auth/keizer/internal/responsetype"
	"github.com/keizer-auth/keizer/storage/fositestore"
)

// directHandler answers the response types that give tokens at the authorization endpoint (OpenID Connect Core 1.0 §3.2.2.5 and
// §3.3.2.5). It replaces fosite's handlers of the implicit and hybrid flows, whose access tokens belong to no grant that could be ended,
// and whose hashes are wrong for EdDSA. The ID token is made by issue, which knows the person.
type directHandler struct {
	code   *oauth2.AuthorizeExplicitGrantHandler
	tokens *tokenStrategy
	store  *fositestore.Store
	config *configurator
}

var _ fosite.AuthorizeEndpointHandler = (*directHandler)(nil)

// HandleAuthorizeEndpointRequest implements fosite.AuthorizeEndpointHandler. The session says until when an access token is good, and
// the unit of what it is given.
func (h *directHandler) HandleAuthorizeEndpointRequest(ctx context.Context, request fosite.AuthorizeRequester, response fosite.AuthorizeResponder) error {
	kind, ok := responsetype.Parse(strings.Join(request.GetResponseTypes(), " "))
	if !ok || !kind.Direct() {
		return nil
	}
	request.SetDefaultResponseMode(fosite.ResponseModeFragment)
	// What fosite's handler of codes asks before it makes one.
	if !registeredRedirect(ctx, request.GetRedirectURI()) {
		return fosite.ErrInvalidRequest.WithHint("The redirect_uri is not one that a token may be sent to.")
	}
	client, session, err := fositestore.Ours(request)
	if err != nil {
		return err
	}
	for _, scope := range request.GetRequestedScopes() {
		if !client.GetScopes().Has(scope) {
			return fosite.ErrInvalidScope.WithHintf("The OAuth 2.0 Client is not allowed to request scope '%s'.", scope)
		}
	}
	if err := h.config.GetAudienceStrategy(ctx)(client.GetAudience(), request.GetRequestedAudience()); err != nil {
		return err
	}

	if kind.Token {
		if err := h.giveAccessToken(ctx, request, client, session, response); err != nil {
			return err
		}
	}
	if kind.Code {
		if err := h.code.IssueAuthorizeCode(ctx, request, response); err != nil {
			return err
		}
	}
	if kind.IDToken {
		request.SetResponseTypeHandled(responsetype.IDToken)
	}
	return nil
}

// giveAccessToken records an access token that belongs to a grant of its own (RFC 6749 §4.2.2).
func (h *directHandler) giveAccessToken(
	ctx context.Context, request fosite.AuthorizeRequester, client *fositestore.Client, session *fositestore.Session, response fosite.AuthorizeResponder,
) error {
	scope, err := fositestore.GrantDirectly(ctx)
	if err != nil {
		return err
	}
	grant := &fosite.Request{
		ID: uuid.NewString(), RequestedAt: request.GetRequestedAt(), Client: client, GrantedScope: scope,
		GrantedAudience: request.GetGrantedAudience(), Session: session,
	}
	token, digest, err := h.tokens.GenerateAccessToken(ctx, grant)
	if err != nil {
		return fmt.Errorf("make an access token: %w", err)
	}
	if err := h.store.CreateAccessTokenSession(ctx, digest, grant); err != nil {
		return fmt.Errorf("record an access token: %w", err)
	}
	response.AddParameter("access_token", token)
	request.SetResponseTypeHandled(responsetype.Token)
	return nil
}

// directTerms settles what an access token of the authorization endpoint is good for: what is left of the scopes for this person, without
// what is of use to a refresh token only (OpenID Connect Core 1.0 §11), and for as long as any other.
func (p *Provider) directTerms(
	ctx context.Context, unit *fositestore.Unit, client *fositestore.Client, session *fositestore.Session, person uuid.UUID, scopes, audience []string,
) error {
	scopes = slices.DeleteFunc(slices.Clone(scopes), func(scope string) bool { return scope == scopeOfflineAccess })
	scopes, err := p.narrow(ctx, client, session, person, scopes, audience)
	if err != nil {
		return err
	}
	unit.GiveDirectly(scopes)
	lifetimes := p.lifetimes.in(ctx)
	session.GrantEnds = time.Now().UTC().Add(min(lifetimes.ofAccess(client), lifetimes.RefreshAbsolute))
	session.SetExpiresAt(fosite.AccessToken, session.GrantEnds)
	return nil
}
