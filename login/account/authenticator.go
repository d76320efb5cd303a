package account

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/people"
	"github.com/keizer-auth/keizer/web"
)

// factor is a factor as a page shows it.
func (v *visit) factor(id, name string, added time.Time, used *time.Time) web.AccountFactor {
	shown := web.AccountFactor{ID: id, Name: name, Added: v.moment(added)}
	if used != nil {
		at := v.moment(*used)
		shown.Used = &at
	}
	return shown
}

// Authenticators serves GET /account/authenticator.
func (a *Account) Authenticators(c *gin.Context, v *visit) error {
	return a.showAuthenticators(c, v, http.StatusOK, done(c))
}

func (a *Account) showAuthenticators(c *gin.Context, v *visit, status int, outcome web.Outcome) error {
	apps, err := a.people.Authenticators(c.Request.Context(), v.user)
	if err != nil {
		return err
	}
	page := web.AccountAuthenticatorPage{
		AccountFrame: a.frame(c, v, "/authenticator"), Outcome: outcome, Remove: a.form(c, v, "/authenticator/remove"), New: v.at("/authenticator/new"),
	}
	for _, app := range apps {
		page.Apps = append(page.Apps, v.factor(app.ID.String(), app.Name, app.CreatedAt, app.LastUsedAt))
	}
	return a.pages.Render(c, status, "account_authenticator", page)
}

// NewAuthenticator serves GET /account/authenticator/new.
func (a *Account) NewAuthenticator(c *gin.Context, v *visit) error {
	app, err := a.people.BeginAuthenticator(c.Request.Context(), a.sessions.Browser(c), v.user)
	if err != nil {
		return err
	}
	return a.showNewAuthenticator(c, v, http.StatusOK, web.Outcome{}, app)
}

func (a *Account) showNewAuthenticator(c *gin.Context, v *visit, status int, outcome web.Outcome, app *people.NewApp) error {
	return a.pages.Render(c, status, "account_new_authenticator", web.AccountNewAuthenticatorPage{
		AccountFrame: a.frame(c, v, "/authenticator"), Outcome: outcome, Form: a.form(c, v, "/authenticator/add"),
		NewApp: web.NewApp(app.Picture, app.Secret, app.Sealed), Back: v.at("/authenticator"), Name: v.form.Get("name"),
	})
}

// AddAuthenticator serves POST /account/authenticator/add.
func (a *Account) AddAuthenticator(c *gin.Context, v *visit) error {
	ctx, browser, sealed := c.Request.Context(), a.sessions.Browser(c), v.form.Get("challenge")
	s := a.stronger(c)
	err := a.people.ConfirmAuthenticator(ctx, a.pages.Visitor(c), browser, v.user, sealed, v.form.Get("code"), v.form.Get("name"), s.also)
	if problem := said(err); problem != "" {
		// The app has what it was shown. When that is too old, it is shown another.
		app, err := a.people.AgainAuthenticator(ctx, browser, v.user, sealed)
		if said(err) != "" {
			app, err = a.people.BeginAuthenticator(ctx, browser, v.user)
		}
		if err != nil {
			return err
		}
		return a.showNewAuthenticator(c, v, http.StatusBadRequest, web.Outcome{Problems: map[string]string{"code": problem}}, app)
	}
	if err != nil {
		return err
	}
	return a.added(c, v, s, "/authenticator", "app")
}

// RemoveAuthenticator serves POST /account/authenticator/remove.
func (a *Account) RemoveAuthenticator(c *gin.Context, v *visit) error {
	id, err := named(v, "app", "/authenticator")
	if err != nil {
		return err
	}
	return a.changed(c, v, a.people.RemoveAuthenticator(c.Request.Context(), a.pages.Visitor(c), v.user, id), "/authenticator", "factor")
}
