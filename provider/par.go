package provider

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/ory/fosite"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/fositestore"
)

// parPrefix is what RFC 9126 §2.2 recommends for the addresses of pushed requests.
const parPrefix = "urn:ietf:params:oauth:request_uri:"

// parLifetime is how long a pushed request waits for its browser (RFC 9126 §2.2).
const parLifetime = 60 * time.Second

// errSpentPAR is a pushed request that has had its answer.
var errSpentPAR = fosite.ErrInvalidRequestURI.WithHint("The request_uri is unknown, expired or used, or belongs to another client.")

type pushedAnswer struct {
	RequestURI string `json:"request_uri"`
	ExpiresIn  int    `json:"expires_in"`
}

// credentialParams authenticate a client. They are not part of the request that it pushes, and are never stored.
var credentialParams = [...]string{"client_secret", "client_assertion", "client_assertion_type"}

// PushedAuthorization serves POST /oauth2/par (RFC 9126 §2). It does not go through fosite, whose own lets a client push in
// the name of another and never looks at the expiry.
func (p *Provider) PushedAuthorization(c *gin.Context) error {
	client, form, err := p.authenticatedForm(c)
	if err == nil && form.Has("request_uri") {
		err = fosite.ErrInvalidRequest.WithHint("A pushed request cannot itself name a request_uri.")
	}
	if err != nil {
		p.jsonError(c, err)
		return nil
	}
	if pushed, err := p.pushesTooOften(c, client); pushed {
		return nil
	} else if err != nil {
		p.jsonError(c, err)
		return nil
	}
	for _, name := range credentialParams {
		form.Del(name)
	}
	form.Del(paramInteraction)
	form.Del(paramPAR)
	form.Set("client_id", client.ClientID)

	// The whole request is checked now, as at the authorization endpoint, so that a client hears of its mistakes at once
	// (RFC 9126 §2.1).
	a := &authorization{form: form, client: client}
	if err := p.readObject(c.Request.Context(), a, true); err != nil {
		p.jsonError(c, err)
		return nil
	}
	if err := a.proveRedirect(); err != nil {
		p.jsonError(c, fosite.ErrInvalidRequest.WithHint("The redirect_uri is missing or not registered for this client.").WithWrap(err))
		return nil
	}
	ctx, unit := p.store.Begin(c.Request.Context())
	unit.Client = client.At(a.redirectURI)
	if err := p.checkAuthorization(ctx, unit, a); err != nil {
		p.jsonError(c, err)
		return nil
	}
	if _, err := p.fosite.NewAuthorizeRequest(ctx, formRequest(c.Request, a.fositeForm())); err != nil {
		p.jsonError(c, err)
		return nil
	}

	id := secret.New(secret.PAR)
	err = p.db.CreatePAR(ctx, &storage.PAR{
		Digest: secret.Digest(id), ClientID: client.ClientID, Params: a.form, ExpiresAt: time.Now().UTC().Add(parLifetime),
	})
	if err != nil {
		p.jsonError(c, err)
		return nil
	}
	p.writeJSON(c, http.StatusCreated, pushedAnswer{parPrefix + id, int(parLifetime / time.Second)})
	return nil
}

// pushesTooOften counts the requests that a client pushes, for each is a row, and answers it when those are too many (RFC 9126 §2.3 and §7.4).
// Of a client that proves nothing anybody may use the name: it is counted for each network, so that nobody keeps it from its people elsewhere.
func (p *Provider) pushesTooOften(c *gin.Context, client *fositestore.Client) (answered bool, err error) {
	ctx := c.Request.Context()
	org, err := tenant.From(ctx)
	if err != nil {
		return false, err
	}
	subject := client.ClientID
	if client.IsPublic() {
		subject += " " + throttle.Network(c.ClientIP())
	}
	err = p.pushes.Take(org.ID.String()+" "+subject, func() error { return p.db.Take(ctx, throttle.PushClient, subject) })
	if exceeded := (*throttle.Exceeded)(nil); errors.As(err, &exceeded) {
		p.tooOften(c, exceeded, errorBody{"temporarily_unavailable", "The client has pushed too many requests. Try again in a moment."})
		return true, nil
	}
	return false, err
}

// loadPushed puts a pushed request in place of the parameters that name it. Of those, only client_id counts (RFC 9126 §4).
func (p *Provider) loadPushed(ctx context.Context, a *authorization) error {
	a.form.Del(paramPAR)
	uri := a.form.Get("request_uri")
	if !strings.HasPrefix(uri, parPrefix) {
		return nil
	}
	id := strings.TrimPrefix(uri, parPrefix)
	if len(a.form["request_uri"]) != 1 || len(a.form["client_id"]) != 1 || !secret.Valid(secret.PAR, id) {
		return requestErrorPage(errSpentPAR.HintField, errSpentPAR)
	}
	pushed, err := p.db.PAR(ctx, secret.Digest(id))
	if errors.Is(err, storage.ErrNotFound) || err == nil && pushed.ClientID != a.form.Get("client_id") {
		return requestErrorPage(errSpentPAR.HintField, err)
	}
	if err != nil {
		return err
	}
	a.form = make(url.Values, len(pushed.Params)+1)
	for name, values := range pushed.Params {
		a.form[name] = values
	}
	a.form.Set(paramPAR, pushed.Digest)
	return nil
}
