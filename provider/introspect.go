package provider

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/ory/fosite"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/fositestore"
)

// introspection is RFC 7662 §2.2.
type introspection struct {
	Active    bool     `json:"active"`
	Scope     string   `json:"scope,omitempty"`
	ClientID  string   `json:"client_id,omitempty"`
	TokenType string   `json:"token_type,omitempty"`
	ExpiresAt int64    `json:"exp,omitempty"`
	IssuedAt  int64    `json:"iat,omitempty"`
	Subject   string   `json:"sub,omitempty"`
	Audience  audience `json:"aud,omitempty"`
	Issuer    string   `json:"iss,omitempty"`
	AuthTime  int64    `json:"auth_time,omitempty"`
	ACR       string   `json:"acr,omitempty"`
	AMR       []string `json:"amr,omitempty"`
	fositestore.Rights
}

// Introspect serves POST /oauth2/introspect (RFC 7662 §2). A token shows itself to the client it was issued to, to the clients that
// are in its audience, and to the client of an API that is; to anybody else it is inactive, as one that never was.
func (p *Provider) Introspect(c *gin.Context) error {
	ctx := c.Request.Context()
	caller, form, err := p.authenticatedForm(c)
	if err == nil && caller.IsPublic() {
		err = notProven(caller.ClientID, "it has nothing to prove itself with") // RFC 7662 §2.1 asks for that
	}
	if err == nil && form.Get("token") == "" {
		err = fosite.ErrInvalidRequest.WithHint("The token is missing.")
	}
	if err != nil {
		if answerFor(err).code == "invalid_client" {
			if p.failedTooOften(c) {
				return nil
			}
			p.faultLogged(c, http.StatusUnauthorized, err)
			// RFC 7662 §2.3 asks for 401 however the client tried.
			c.Header("WWW-Authenticate", `Basic realm="keizer", charset="UTF-8"`)
			p.writeJSON(c, http.StatusUnauthorized, errorBody{"invalid_client", describe(errInvalidClient)})
			return nil
		}
		p.jsonError(c, err)
		return nil
	}
	found, err := p.introspect(ctx, caller, form.Get("token"))
	if err != nil {
		p.jsonError(c, err)
		return nil
	}
	how, asJWT := introspectionAnswer(caller, c.Request.Header.Values("Accept"))
	if !asJWT {
		p.writeJSON(c, http.StatusOK, found)
		return nil
	}
	org, err := orgOf(c)
	if err != nil {
		return err
	}
	answer, err := p.protector.protect(ctx, caller, how, "token-introspection+jwt", introspectionClaims{
		Issuer: org.Issuer, Audience: caller.ClientID, IssuedAt: time.Now().Unix(), Introspection: found,
	})
	if err != nil {
		p.jsonError(c, err)
		return nil
	}
	p.writeJWT(c, introspectionContent, answer)
	return nil
}

// introspectionClaims are RFC 9701 §5. There is neither sub nor exp, so that it can be no access token.
type introspectionClaims struct {
	Issuer        string        `json:"iss"`
	Audience      string        `json:"aud"`
	IssuedAt      int64         `json:"iat"`
	Introspection introspection `json:"token_introspection"`
}

// introspectionContent is the media type of an answer that is a JWT (RFC 9701 §5).
var introspectionContent = []string{"application/token-introspection+jwt"}

// introspectionAnswer settles how a client is answered: with a JWT where it prefers one (RFC 9701 §4), or leaves it open and is registered for
// one. What is registered to be encrypted is never said in the open, whatever a request accepts: for whoever may read it in between, that
// would make the encryption one of their choice.
func introspectionAnswer(client *fositestore.Client, header []string) (how storage.Protection, asJWT bool) {
	const subtype = "token-introspection+jwt"
	how, accept := client.IntrospectionProtection(), strings.ToLower(strings.Join(header, ","))
	registered := how != storage.Protection{}
	if !registered && !strings.Contains(accept, subtype) {
		return how, false // as nearly all are
	}
	if how.SigningAlg == "" {
		how.SigningAlg = keys.RS256 // RFC 9701 §6
	}
	jwt, named := preference(accept, "application", subtype)
	plain, _ := preference(accept, "application", "json")
	switch {
	case how.KeyAlg != "":
		return how, true
	case jwt == 0 || jwt < plain:
		return how, false
	}
	return how, named || registered
}

// preference is how much a media type is wanted by an Accept header (RFC 9110 §12.5.1), from 0, not at all, to 1, and whether it is named. What
// is not understood is not there; and where nothing is, everything is welcome.
func preference(accept, kind, subtype string) (quality float64, named bool) {
	specificity, understood := 0, false
	for element := range strings.SplitSeq(accept, ",") {
		full, parameters, err := mime.ParseMediaType(element)
		if err != nil {
			continue
		}
		understood = true
		q := 1.0
		if text, ok := parameters["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil || q < 0 || q > 1 {
				continue
			}
		}
		s := 0
		switch full {
		case kind + "/" + subtype:
			s = 3
		case kind + "/*":
			s = 2
		case "*/*":
			s = 1
		}
		if s > specificity {
			specificity, quality = s, q
		}
	}
	if !understood {
		return 1, false
	}
	return quality, specificity == 3
}

// authenticatedForm reads the form of an endpoint that clients authenticate at.
func (p *Provider) authenticatedForm(c *gin.Context) (*fositestore.Client, url.Values, error) {
	form, err := readForm(c.Request)
	if err != nil {
		return nil, nil, err
	}
	if err := acceptParams(form); err != nil {
		return nil, nil, err
	}
	client, err := p.authenticator.Authenticate(c.Request.Context(), c.Request, form)
	if err != nil {
		return nil, nil, err
	}
	return client, form, nil
}

// introspect looks a token up and says of it what the caller may know. token_type_hint is not needed: tokens say what they are.
func (p *Provider) introspect(ctx context.Context, caller *fositestore.Client, token string) (introspection, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return introspection{}, err
	}
	if secret.Valid(secret.RefreshToken, token) {
		return p.introspectRefresh(ctx, org, caller, token)
	}
	digest, ok := secret.AccessTokenDigest(token)
	if !ok {
		return introspection{}, nil
	}
	access, grant, err := p.db.AccessToken(ctx, digest)
	if errors.Is(err, storage.ErrNotFound) {
		return introspection{}, nil
	}
	if err != nil {
		return introspection{}, err
	}
	if access.ClientID != caller.ClientID {
		if !slices.Contains(access.Audience, caller.ClientID) {
			if its, err := p.introspects(ctx, caller, access.Audience); err != nil || !its {
				return introspection{}, err
			}
		}
		// What a client holds ends when the client is switched off.
		if _, err := p.clients.Client(ctx, access.ClientID); errors.Is(err, storage.ErrNotFound) {
			return introspection{}, nil
		} else if err != nil {
			return introspection{}, err
		}
	}
	found := introspection{
		Active: true, Scope: strings.Join(access.Scope, " "), ClientID: access.ClientID, TokenType: "Bearer",
		ExpiresAt: access.ExpiresAt.Unix(), IssuedAt: access.CreatedAt.Unix(), Subject: access.Subject,
		Audience: accessAudience(org, access.Audience), Issuer: org.Issuer,
	}
	if grant != nil && grant.UserID != nil {
		held, err := p.rightsSaidBy(ctx, *grant.UserID, access.Scope)
		if err != nil {
			return introspection{}, err
		}
		if held != nil {
			found.Rights = held.saidBy(access.Scope)
		}
	}
	err = p.addFacts(ctx, &found, grant)
	return found, err
}

// addFacts adds what is true of the grant; a token that a client holds for itself has none. Of the person it says to everybody what it says
// to the client that it was issued to, as a JWT does (RFC 9068 §2.2): what a resource server were told besides, it could tell the client.
func (p *Provider) addFacts(ctx context.Context, found *introspection, grant *storage.Grant) error {
	if grant == nil {
		return nil
	}
	facts, err := fositestore.FactsOf(grant)
	if err != nil {
		return err
	}
	found.AuthTime, found.ACR, found.AMR = facts.AuthTime, facts.ACR, facts.AMR
	if grant.UserID == nil {
		return nil
	}
	known, err := p.subjects.names(ctx, facts.Sector)
	if err == nil {
		found.Subject = known.subject(grant.UserID.String())
	}
	return err
}

// introspectRefresh is for the owner alone: a resource server has no business with refresh tokens.
func (p *Provider) introspectRefresh(ctx context.Context, org *tenant.Org, caller *fositestore.Client, token string) (introspection, error) {
	refresh, grant, err := p.db.RefreshToken(ctx, secret.Digest(token))
	if errors.Is(err, storage.ErrNotFound) || err == nil && (refresh.SpentAt != nil || refresh.ClientID != caller.ClientID) {
		return introspection{}, nil
	}
	if err != nil {
		return introspection{}, err
	}
	found := introspection{
		Active: true, Scope: strings.Join(grant.Scope, " "), ClientID: refresh.ClientID, TokenType: "refresh_token",
		ExpiresAt: refresh.ExpiresAt.Unix(), IssuedAt: refresh.CreatedAt.Unix(),
		Audience: accessAudience(org, grant.Audience), Issuer: org.Issuer,
	}
	err = p.addFacts(ctx, &found, grant)
	return found, err
}
