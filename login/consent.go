package login

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/redirect"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/web"
)

const (
	pageConsent = "consent"
	// purposeConsent binds the forms of the page.
	purposeConsent = "consent"
)

// Consent serves GET /consent.
func (l *Login) Consent(c *gin.Context) error {
	v, err := l.enter(c)
	if err != nil {
		return err
	}
	session, user, err := l.sessions.Current(c)
	if err != nil {
		return err
	}
	if !v.isAbout(session) {
		// Nobody is signed in any more, or somebody else. What that needs is not this page's to say.
		v.onward(c)
		return nil
	}
	to := v.destination()
	described, err := l.described(c.Request.Context(), v)
	if err != nil {
		return err
	}
	return l.pages.Render(c, http.StatusOK, pageConsent, web.ConsentPage{
		Action:      v.at("/consent"),
		CSRF:        l.sessions.CSRF(c, purposeConsent),
		App:         v.app(),
		UserName:    user.DisplayName(),
		Scopes:      described,
		Destination: to.host,
		Unverified:  to.onDevice && v.client.AuthMethod == "none",
	})
}

// isAbout reports whether the session is the one whose consent is asked.
func (v *visit) isAbout(session *storage.Session) bool {
	return session != nil && v.interaction.SessionID != nil && *v.interaction.SessionID == session.ID
}

// scopes are those that are asked for, and those of claims that are asked for by themselves, each once.
func (v *visit) scopes() []string { return storage.ConsentScopes(v.interaction.Params) }

// described are the scopes as the page tells of them. What an API is called by its organization is said where the tokens will be for
// that API: which that is, provider has decided before the request was stored, and nothing else is in it.
func (l *Login) described(ctx context.Context, v *visit) ([]web.Scope, error) {
	names := v.scopes()
	if !slices.ContainsFunc(names, func(name string) bool { return !web.Described(name) }) {
		return web.Scopes(names, nil), nil
	}
	rows, err := l.db.ScopesNamed(ctx, names)
	if err != nil {
		return nil, err
	}
	audience := v.interaction.Params["resource"]
	if len(audience) == 0 {
		audience = v.client.Audience
	}
	var apis []web.APIScope
	for _, row := range rows {
		if slices.Contains(audience, row.Identifier) {
			apis = append(apis, web.APIScope{API: row.API, Name: row.Name, Description: row.Description})
		}
	}
	return web.Scopes(names, apis), nil
}

// destination is where the browser goes from here, as a person would name it.
type destination struct {
	host     string // empty on the device itself
	onDevice bool
}

func (v *visit) destination() destination {
	uri := v.interaction.Params.Get("redirect_uri")
	if uri == "" && len(v.client.RedirectURIs) == 1 {
		uri = v.client.RedirectURIs[0]
	}
	if redirect.IsLoopback(uri) || redirect.IsPrivateUse(uri) {
		return destination{onDevice: true}
	}
	u, err := url.Parse(uri)
	if err != nil {
		return destination{}
	}
	return destination{host: u.Host}
}

// ConsentPost serves POST /consent.
func (l *Login) ConsentPost(c *gin.Context) error {
	form, err := web.Form(c)
	if err != nil {
		return err
	}
	v, err := l.enter(c)
	if err != nil {
		return err
	}
	if err := l.sessions.CheckCSRF(c, form, purposeConsent); err != nil {
		return err
	}
	session, user, err := l.sessions.Current(c)
	if err != nil {
		return err
	}
	if !v.isAbout(session) {
		v.onward(c)
		return nil
	}
	details := map[string]any{"client_id": v.client.ClientID, "scopes": v.scopes()}
	switch form.Get(paramAction) {
	case "allow":
		return l.allow(c, v, user, web.Event(c, web.ByUser(user.ID), "consent.granted", user.ID.String(), details))
	case "deny":
		return l.refuse(c, v, web.Event(c, web.ByUser(user.ID), "consent.denied", user.ID.String(), details))
	}
	return &web.Error{Status: http.StatusBadRequest, Message: "error.choice", Again: v.at("/consent")}
}

// allow remembers the consent, and notes it in the interaction for this time.
func (l *Login) allow(c *gin.Context, v *visit, user *storage.User, row *storage.AuditEvent) error {
	scopes, now := v.scopes(), time.Now().UTC()
	err := l.db.InTx(c.Request.Context(), func(ctx context.Context) error {
		if err := l.db.SaveConsent(ctx, user.ID, v.client.ClientID, scopes); err != nil {
			return err
		}
		if err := l.db.InteractionConsented(ctx, v.interaction.Digest, scopes, now); err != nil {
			return err
		}
		return l.db.AppendAudit(ctx, row)
	})
	if err != nil {
		return tooLate(fmt.Errorf("save consent: %w", err))
	}
	v.onward(c)
	return nil
}
