package provider

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/claimmap"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/fositestore"
)

// UserInfo serves GET and POST /oauth2/userinfo (OpenID Connect Core 1.0 §5.3).
func (p *Provider) UserInfo(c *gin.Context) error {
	token, refusal := bearerToken(c.Request)
	if refusal != nil {
		p.bearerError(c, *refusal)
		return nil
	}
	access, grant, user, err := p.personOf(c.Request.Context(), token)
	var client *fositestore.Client
	if err == nil {
		// What a client holds ends when the client is switched off.
		client, err = p.clients.Client(c.Request.Context(), access.ClientID)
		p.allowOrigin(c, client)
	}
	if errors.Is(err, storage.ErrNotFound) {
		p.bearerError(c, answer{http.StatusUnauthorized, "invalid_token", "The access token is unknown, expired or revoked."})
		return nil
	}
	if err != nil {
		p.jsonError(c, err)
		return nil
	}
	org, err := orgOf(c)
	if err != nil {
		return err
	}
	if len(access.Audience) > 0 && !slices.ContainsFunc(access.Audience, org.Own) {
		// An API that was given this token is not given the person's claims with it (RFC 9068 §4, RFC 8707 §2).
		p.bearerError(c, answer{http.StatusUnauthorized, "invalid_token", "The access token is for another resource."})
		return nil
	}
	if user == nil || !slices.Contains(access.Scope, scopeOpenID) {
		p.bearerError(c, answer{http.StatusForbidden, "insufficient_scope", "The access token was not granted the scope openid by a person."})
		return nil
	}
	facts, err := fositestore.FactsOf(grant)
	if err != nil {
		p.jsonError(c, err)
		return nil
	}
	claims, err := p.tell(c.Request.Context(), user, telling{
		client: client, facts: facts, place: claimmap.UserInfo, room: -1, granted: access.Scope, scopes: access.Scope, names: facts.Claims.UserInfo,
	})
	if err != nil {
		p.jsonError(c, err)
		return nil
	}
	known, err := p.subjects.names(c.Request.Context(), facts.Sector)
	if err != nil {
		p.jsonError(c, err)
		return nil
	}
	claims["sub"] = known.subject(user.ID.String())
	how := client.UserInfoProtection()
	if how == (storage.Protection{}) {
		p.writeJSON(c, http.StatusOK, claims)
		return nil
	}
	// OpenID Connect Core 1.0 §5.3.2. Without a type it passes for no ID token that comes back as a hint (RFC 8725 §3.11).
	if how.SigningAlg != "" {
		claims["iss"], claims["aud"] = org.Issuer, client.ClientID
	}
	answer, err := p.protector.protect(c.Request.Context(), client, how, "", claims)
	if err != nil {
		p.jsonError(c, err)
		return nil
	}
	p.writeJWT(c, jwtContent, answer)
	return nil
}

// sayRights reports whether a token with some scopes says what somebody is or may do.
func sayRights(scopes []string) bool {
	return slices.Contains(scopes, scopeRoles) || slices.Contains(scopes, scopePermissions)
}

// rightsSaidBy looks up what somebody is and may do now, where a token with some scopes says of it; else it is nil.
func (p *Provider) rightsSaidBy(ctx context.Context, person uuid.UUID, scopes []string) (*rights, error) {
	if !sayRights(scopes) {
		return nil, nil //nolint:nilnil // it says nothing of it
	}
	return p.rightsOf(ctx, person)
}

// personOf finds a live access token with its grant and the person it is about; both are nil for one that a client holds for itself.
func (p *Provider) personOf(ctx context.Context, token string) (*storage.AccessToken, *storage.Grant, *storage.User, error) {
	digest, ok := secret.AccessTokenDigest(token)
	if !ok {
		return nil, nil, nil, storage.ErrNotFound
	}
	access, grant, user, err := p.db.AccessTokenWithUser(ctx, digest)
	if errors.Is(err, storage.ErrNotFound) {
		access, grant, err = p.db.AccessToken(ctx, digest)
	}
	return access, grant, user, err
}

// bearerToken finds the one token of a request (RFC 6750 §2): in the header, or in the form of a POST. A token in the query
// is not looked at, since it has been logged on its way here (RFC 9700 §4.3.2).
func bearerToken(r *http.Request) (string, *answer) {
	var found []string
	for _, header := range r.Header.Values("Authorization") {
		scheme, token, ok := strings.Cut(header, " ")
		if !ok || !strings.EqualFold(scheme, "Bearer") {
			continue
		}
		found = append(found, strings.TrimSpace(token))
	}
	if r.Method == http.MethodPost {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && kind == "application/x-www-form-urlencoded" {
			form, err := readForm(r)
			if err != nil {
				return "", &answer{http.StatusBadRequest, "invalid_request", answerFor(err).description}
			}
			found = append(found, form["access_token"]...)
		}
	}
	switch {
	case len(found) > 1:
		return "", &answer{http.StatusBadRequest, "invalid_request", "The request carries more than one access token."}
	case len(found) == 0 || found[0] == "":
		return "", &answer{status: http.StatusUnauthorized}
	}
	return found[0], nil
}

// bearerError answers a request to a protected resource (RFC 6750 §3). One that brought no token at all is told the scheme
// and nothing else (§3.1).
func (p *Provider) bearerError(c *gin.Context, a answer) {
	challenge := `Bearer realm="keizer"`
	if a.code != "" {
		challenge += `, error="` + a.code + `", error_description="` + a.description + `"`
	}
	if a.code == "insufficient_scope" {
		challenge += `, scope="` + scopeOpenID + `"`
	}
	c.Header("WWW-Authenticate", challenge)
	if a.code == "" {
		p.writeJSON(c, a.status, errorBody{"invalid_token", "The request needs an access token."})
		return
	}
	p.writeJSON(c, a.status, errorBody{a.code, a.description})
}
