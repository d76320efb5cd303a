package login

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"unicode"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/proof"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/web"
)

const (
	pageSetup     = "setup"
	pageSetupDone = "setup_done"
	// purposeSetup binds the form of the page.
	purposeSetup = "setup"

	pathSetup = "/setup"
	// paramToken is the secret of a setup link.
	paramToken = "token"
	// paramDone names the organization whose operator was just made.
	paramDone = "done"
)

// Setup serves GET /setup: the form of a setup link that still works, or what comes after it. It spends nothing: whatever
// reads mail or chat opens links by itself.
func (l *Login) Setup(c *gin.Context) error {
	if slug := c.Query(paramDone); slug != "" {
		return l.setupDone(c, slug)
	}
	page, err := l.openSetup(c)
	if err != nil {
		return err
	}
	return l.showSetup(c, http.StatusOK, page)
}

func (l *Login) openSetup(c *gin.Context) (web.SetupPage, error) {
	org, err := l.operators.OpenSetupLink(c.Request.Context(), c.Query(paramToken))
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrSpent) {
		if err := l.setupLinks.Take(throttle.Network(c.ClientIP())); err != nil {
			return web.SetupPage{}, err
		}
	}
	if err != nil {
		return web.SetupPage{}, deadLink(err)
	}
	page := web.SetupPage{Action: pathSetup + "?" + url.Values{paramToken: {c.Query(paramToken)}}.Encode()}
	if org != nil {
		page.Organization = org.Name
	}
	return page, nil
}

func (l *Login) showSetup(c *gin.Context, status int, page web.SetupPage) error {
	page.CSRF = l.sessions.CSRF(c, purposeSetup)
	return l.pages.Render(c, status, pageSetup, page)
}

// deadLink makes a page of a link that never was, has expired, or was used: which of them is not told.
func deadLink(err error) error {
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrSpent) {
		return &web.Error{Status: http.StatusNotFound, Message: "error.setup_link", Cause: err}
	}
	return err
}

// SetupPost serves POST /setup.
func (l *Login) SetupPost(c *gin.Context) error {
	form, err := web.Form(c)
	if err != nil {
		return err
	}
	page, err := l.openSetup(c)
	if err != nil {
		return err
	}
	if err := l.sessions.CheckCSRF(c, form, purposeSetup); err != nil {
		return err
	}
	page.Form = web.SetupFields{
		OrganizationName: form.Get("organization_name"), OrganizationSlug: form.Get("organization_slug"),
		Username: form.Get("username"), Email: form.Get("email"), FullName: form.Get("name"),
	}
	ctx := manage.WithActor(c.Request.Context(), manage.Actor{Name: "setup-link", IPAddress: c.ClientIP(), RequestID: web.RequestID(c)})
	made, user, err := l.operators.CompleteSetup(ctx, c.Query(paramToken), manage.SetupForm{
		OrganizationName: page.Form.OrganizationName, OrganizationSlug: page.Form.OrganizationSlug,
		Username: page.Form.Username, Email: page.Form.Email, FullName: page.Form.FullName,
		Password: secret.Text(form.Get("password")),
	})
	if page.Problems = problems(err); page.Problems != nil {
		page.Problem = "setup.problem"
		return l.showSetup(c, http.StatusBadRequest, page)
	}
	if err != nil {
		return deadLink(err)
	}
	if err := l.signInOperator(c, made.Slug, user); err != nil {
		return err
	}
	c.Redirect(http.StatusSeeOther, pathSetup+"?"+url.Values{paramDone: {made.Slug}}.Encode())
	return nil
}

// problems takes apart what was wrong with a form, by field; nil when nothing was that a person could mend.
func problems(err error) map[string]string {
	wrong := map[string]string{}
	for _, one := range manage.Complaints(err) {
		if wrong[one.Field] == "" {
			wrong[one.Field] = sentence(one.Message)
		}
	}
	var conflict *manage.Conflict
	if errors.As(err, &conflict) {
		wrong[conflict.Field] = sentence(conflict.Message)
	}
	if len(wrong) == 0 {
		return nil
	}
	return wrong
}

// sentence writes an error as a person reads it.
func sentence(message string) string {
	first, size := utf8.DecodeRuneInString(message)
	if size == 0 {
		return ""
	}
	return string(unicode.ToUpper(first)) + message[size:] + "."
}

// signInOperator signs the new operator in where they now belong. The link was as good a proof as there is: they have just
// chosen the password.
func (l *Login) signInOperator(c *gin.Context, slug string, user *storage.User) error {
	org, err := l.tenant(c.Request.Context(), slug)
	if err != nil {
		return fmt.Errorf("find the organization that was set up: %w", err)
	}
	ctx := tenant.With(c.Request.Context(), org)
	given := web.Proven(proof.Password)
	row := web.Event(c, web.ByUser(user.ID), "user.signed_in", user.ID.String(), map[string]any{"amr": given.AMR, "setup": true})
	in, err := l.start(ctx, c, arrival{user: user, given: given, row: row})
	if err != nil {
		return fmt.Errorf("sign the operator in: %w", err)
	}
	l.deliver(ctx, c, in)
	return nil
}

// setupDone shows the new operator where to go from here, and nothing to who is not signed in there.
func (l *Login) setupDone(c *gin.Context, slug string) error {
	org, err := l.tenant(c.Request.Context(), slug)
	if err != nil {
		return deadLink(err)
	}
	c.Request = c.Request.WithContext(tenant.With(c.Request.Context(), org))
	session, _, err := l.sessions.Current(c)
	if err != nil {
		return err
	}
	if session == nil {
		return deadLink(storage.ErrNotFound)
	}
	page := web.SetupDonePage{Issuer: org.Issuer, Discovery: org.Issuer + "/.well-known/openid-configuration"}
	if l.development {
		page.Playground = "/playground"
	}
	return l.pages.Render(c, http.StatusOK, pageSetupDone, page)
}
