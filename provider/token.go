package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/ory/fosite"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/fositestore"
)

// The grant types that the token endpoint knows (RFC 6749 §4.1.3, §4.4.2 and §6).
const (
	grantAuthorizationCode = "authorization_code"
	grantRefreshToken      = "refresh_token"
	grantImplicit          = "implicit" // which never comes to the token endpoint (RFC 6749 §4.2)
	grantClientCredentials = "client_credentials"
)

// tokenAnswer is RFC 6749 §5.1 with OpenID Connect Core 1.0 §3.1.3.3.
type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	Scope        string `json:"scope,omitempty"`
}

// storedAnswer is a tokenAnswer as it is kept, sealed, to be given again: with the time at which it ends.
type storedAnswer struct {
	tokenAnswer
	ExpiresAt int64 `json:"expires_at"`
}

// Token serves POST /oauth2/token (RFC 6749 §3.2).
func (p *Provider) Token(c *gin.Context) error {
	form, err := readForm(c.Request)
	if err == nil {
		err = acceptParams(form)
	}
	if err != nil {
		p.jsonError(c, err)
		return nil
	}
	answer, client, err := p.exchange(c, form)
	p.allowOrigin(c, client)
	if err != nil {
		p.jsonError(c, err)
		return nil
	}
	p.noteUse(c.Request.Context(), client)
	p.writeJSON(c, http.StatusOK, answer)
	return nil
}

// exchange is the walk of a token request: authenticate, let fosite decide, ask our own policy, write, answer. The client is
// returned as soon as it is known, also beside an error.
func (p *Provider) exchange(c *gin.Context, form url.Values) (*tokenAnswer, *fositestore.Client, error) {
	ctx, unit := p.store.Begin(c.Request.Context())

	grant := form.Get("grant_type")
	switch grant {
	case grantAuthorizationCode, grantRefreshToken, grantClientCredentials:
	case "":
		return nil, nil, fosite.ErrInvalidRequest.WithHint("The grant_type is missing.")
	default:
		return nil, nil, errUnsupportedGrantType
	}

	client, err := p.authenticator.Authenticate(ctx, c.Request, form)
	if err != nil {
		return nil, nil, err
	}
	unit.Client, unit.Address = client, c.ClientIP()
	if !client.HasGrant(grant) {
		return nil, client, fosite.ErrUnauthorizedClient.WithHintf("The client is not registered for the grant type %s.", grant)
	}
	if grant == grantRefreshToken && !client.IsPublic() {
		unit.AllowReplay(p.lifetimes.in(ctx).ReplayWindow)
	}
	switch {
	case grant == grantAuthorizationCode && !form.Has("code"):
		return nil, client, fosite.ErrInvalidRequest.WithHint("The code is missing.")
	case grant == grantRefreshToken && !form.Has("refresh_token"):
		return nil, client, fosite.ErrInvalidRequest.WithHint("The refresh_token is missing.")
	}
	if err := checkResources(form); err != nil {
		return nil, client, err
	}

	switch grant {
	case grantClientCredentials:
		if err := p.admit(ctx, unit, client, form["resource"]); err != nil {
			return nil, client, err
		}
	case grantRefreshToken:
		unit.Reach = p.reach
	}

	session := &fositestore.Session{Subject: client.ClientID}
	request, err := p.fosite.NewAccessRequest(ctx, formRequest(c.Request, withAudience(form)), session)
	if err != nil {
		if fault := unit.Fault(); fault != nil {
			return nil, client, fmt.Errorf("end the family of a code or token used twice: %w", fault)
		}
		if sealed, ok := unit.Replayed(); ok {
			answer, err := reopen(form, sealed)
			return answer, client, err
		}
		if grant == grantAuthorizationCode && answerFor(err).code == "invalid_grant" {
			if burn := unit.BurnCode(ctx); burn != nil {
				return nil, client, fmt.Errorf("burn a code: %w", burn)
			}
		}
		return nil, client, err
	}

	if err := p.applyPolicy(ctx, unit, request, form); err != nil {
		return nil, client, err
	}

	response, err := p.fosite.NewAccessResponse(ctx, request)
	if err != nil {
		return nil, client, err
	}
	answer, sealed, err := p.answerOf(request, response, form, unit)
	if err != nil {
		return nil, client, err
	}

	err = unit.Commit(ctx, sealed)
	if errors.Is(err, storage.ErrSpent) {
		replay, err := p.lostRace(ctx, unit, form)
		return replay, client, err
	}
	if errors.Is(err, storage.ErrNotFound) {
		return nil, client, errNoPerson.WithWrap(err) // deleted since we looked
	}
	if err != nil {
		return nil, client, fmt.Errorf("write what the token endpoint issues: %w", err)
	}
	return answer, client, nil
}

// lostRace answers the request whose code or refresh token somebody else has spent between our reading and our writing.
func (p *Provider) lostRace(ctx context.Context, unit *fositestore.Unit, form url.Values) (*tokenAnswer, error) {
	if err := unit.LostRace(ctx); err != nil {
		return nil, fmt.Errorf("settle a race for a code or refresh token: %w", err)
	}
	if sealed, ok := unit.Replayed(); ok {
		return reopen(form, sealed)
	}
	return nil, storage.ErrSpent
}

// applyPolicy asks what fosite does not: may this still be issued, for how long, and how much of it was asked for?
func (p *Provider) applyPolicy(ctx context.Context, unit *fositestore.Unit, request fosite.AccessRequester, form url.Values) error {
	access, ok := request.(*fosite.AccessRequest)
	if !ok {
		return fmt.Errorf("a foreign request type %T", request)
	}
	client, session, err := fositestore.Ours(request)
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	lifetimes := p.lifetimes.in(ctx)
	session.SetExpiresAt(fosite.AccessToken, now.Add(lifetimes.ofAccess(client)))

	if request.GetGrantTypes().ExactOne(grantClientCredentials) {
		if err := grantClientScopes(client, access); err != nil {
			return err
		}
		access.GrantedScope, err = p.narrow(ctx, client, session, uuid.Nil, access.GrantedScope, access.GrantedAudience)
		return err
	}
	person, err := uuid.Parse(session.Subject)
	if err != nil {
		return fmt.Errorf("a grant without a user: %w", err)
	}

	if request.GetGrantTypes().ExactOne(grantAuthorizationCode) {
		// A refresh token of somebody who is gone is not even found.
		if err := p.checkActive(ctx, person); err != nil {
			return err
		}
		session.GrantEnds = now.Add(lifetimes.RefreshAbsolute)
		if !p.issuesRefreshToken(client, unit.Code().Scope) {
			// Nothing outlives the access token, so neither does the grant.
			session.GrantEnds = session.GetExpiresAt(fosite.AccessToken)
		}
		if !containsAll(unit.Code().Audience, form["resource"]) {
			return errInvalidTarget
		}
		audience := unit.Code().Audience
		if len(form["resource"]) > 0 {
			audience = form["resource"]
		}
		scope, err := p.narrow(ctx, client, session, person, unit.Code().Scope, audience)
		if err != nil {
			return err
		}
		unit.NarrowTo(form["resource"], scope)
	} else {
		if err := narrowRefresh(access, form); err != nil {
			return err
		}
		// A shorter life that was decided since holds for the grants that there are.
		session.GrantEnds = earlier(session.GrantEnds, session.GrantBegan.Add(lifetimes.RefreshAbsolute))
		if !session.GrantEnds.After(now) {
			return fosite.ErrInvalidGrant.WithHint("The grant has lasted as long as it may.")
		}
		if access.GrantedScope, err = p.narrow(ctx, client, session, person, access.GrantedScope, access.GrantedAudience); err != nil {
			return err
		}
	}
	// However often it is refreshed, a grant ends when it ends (RFC 9700 §4.14.2).
	session.SetExpiresAt(fosite.RefreshToken, earlier(now.Add(lifetimes.RefreshIdle), session.GrantEnds))
	session.SetExpiresAt(fosite.AccessToken, earlier(session.GetExpiresAt(fosite.AccessToken), session.GrantEnds))
	return nil
}

func (p *Provider) issuesRefreshToken(client *fositestore.Client, scopes []string) bool {
	return client.HasGrant(grantRefreshToken) && slices.Contains(scopes, scopeOfflineAccess)
}

// checkActive looks at the person that a code is about: whoever is gone or disabled since gets nothing any more.
func (p *Provider) checkActive(ctx context.Context, id uuid.UUID) error {
	user, err := p.db.User(ctx, id)
	if errors.Is(err, storage.ErrNotFound) || err == nil && !user.IsActive {
		return errNoPerson
	}
	return err
}

// grantClientScopes grants a client what it asks for itself (RFC 6749 §4.4): all of its own scopes when it names none. What
// is about a person cannot be granted without one.
func grantClientScopes(client *fositestore.Client, request *fosite.AccessRequest) error {
	asked := request.GetRequestedScopes()
	for _, scope := range asked {
		if scope == scopeOpenID || scope == scopeOfflineAccess {
			return fosite.ErrInvalidScope.WithHintf("The scope %s needs a person, and client_credentials has none.", scope)
		}
	}
	if len(asked) == 0 {
		for _, scope := range client.Scopes {
			if scope != scopeOpenID && scope != scopeOfflineAccess {
				asked = append(asked, scope)
			}
		}
	}
	for _, scope := range asked {
		request.GrantScope(scope)
	}
	audience := []string(request.GetRequestedAudience())
	if len(audience) == 0 {
		audience = client.Audience
	}
	for _, one := range audience {
		request.GrantAudience(one)
	}
	return nil
}

// narrowRefresh narrows the new access token to the scope and resources that a refresh names. The grant, and so the next
// refresh, keeps what the person allowed (RFC 6749 §6, RFC 8707 §2.2).
func narrowRefresh(request *fosite.AccessRequest, form url.Values) error {
	if asked := strings.Fields(form.Get("scope")); len(asked) > 0 {
		for _, scope := range asked {
			if !request.GrantedScope.Has(scope) {
				return fosite.ErrInvalidScope.WithHintf("The scope %s was not granted.", descriptionText(scope))
			}
		}
		request.GrantedScope = nil
		for _, scope := range asked {
			request.GrantScope(scope) // which takes each but once
		}
	}
	if asked := form["resource"]; len(asked) > 0 {
		if !containsAll(request.GrantedAudience, asked) {
			return errInvalidTarget
		}
		request.GrantedAudience = asked
	}
	return nil
}

func containsAll(all, some []string) bool {
	return !slices.ContainsFunc(some, func(one string) bool { return !slices.Contains(all, one) })
}

// checkResources checks the form of resource indicators (RFC 8707 §2).
func checkResources(form url.Values) error {
	for _, resource := range form["resource"] {
		uri, err := url.Parse(resource)
		if err != nil || !uri.IsAbs() || strings.Contains(resource, "#") {
			return errInvalidTarget
		}
	}
	return nil
}

// withAudience is a copy of a request in which the resource indicators stand where fosite looks for them. A parameter named
// audience is nobody's standard and is left out.
func withAudience(form url.Values) url.Values {
	copied := make(url.Values, len(form)+1)
	for name, values := range form {
		copied[name] = values
	}
	copied.Del("audience")
	if resources := form["resource"]; len(resources) > 0 {
		copied["audience"] = slices.Clone(resources)
	}
	return copied
}

// answerOf puts an answer together, and seals a copy for the refresh tokens that may be answered again.
func (p *Provider) answerOf(
	request fosite.AccessRequester, response fosite.AccessResponder, form url.Values, unit *fositestore.Unit,
) (*tokenAnswer, fositestore.RefreshAnswer, error) {
	expiresAt := request.GetSession().GetExpiresAt(fosite.AccessToken)
	answer := &tokenAnswer{
		AccessToken: response.GetAccessToken(),
		TokenType:   "Bearer",
		ExpiresIn:   secondsUntil(expiresAt),
		Scope:       strings.Join(request.GetGrantedScopes(), " "),
	}
	answer.RefreshToken, _ = response.GetExtra("refresh_token").(string)
	answer.IDToken, _ = response.GetExtra("id_token").(string)

	if !unit.KeepsAnswer() {
		return answer, nil, nil
	}
	plain, err := json.Marshal(storedAnswer{*answer, expiresAt.Unix()})
	if err != nil {
		return nil, nil, fmt.Errorf("encode an answer: %w", err)
	}
	sealed, err := fositestore.SealAnswer(form.Get("refresh_token"), plain)
	if err != nil {
		return nil, nil, fmt.Errorf("seal an answer: %w", err)
	}
	return answer, sealed, nil
}

// reopen gives the stored answer of a refresh again, to whoever presents the same refresh token again.
func reopen(form url.Values, sealed []byte) (*tokenAnswer, error) {
	plain, err := fositestore.OpenAnswer(form.Get("refresh_token"), sealed)
	if err != nil {
		return nil, err
	}
	var stored storedAnswer
	if err := json.Unmarshal(plain, &stored); err != nil {
		return nil, fmt.Errorf("decode a stored answer: %w", err)
	}
	stored.ExpiresIn = secondsUntil(time.Unix(stored.ExpiresAt, 0))
	return &stored.tokenAnswer, nil
}

// secondsUntil rounds to the nearest second, so that a lifetime of ten minutes reads 600, and never goes below zero.
func secondsUntil(at time.Time) int64 {
	return max(0, int64(time.Until(at).Round(time.Second)/time.Second))
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// orgOf is for endpoints that cannot do without an organization; the server never routes to them without one.
func orgOf(c *gin.Context) (*tenant.Org, error) { return tenant.From(c.Request.Context()) }
