package login

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/people"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/web"
)

const (
	pageEnroll = "enroll"
	pathEnroll = "/login/enroll"
	// purposeEnroll binds the forms of the page.
	purposeEnroll = "enroll"

	pageCodes    = "codes"
	pathCodes    = "/login/recovery-codes"
	purposeCodes = "codes"
)

// Enroll serves GET /login/enroll: somebody sets up a second factor who must have one and has none.
func (l *Login) Enroll(c *gin.Context) error {
	h, err := l.enrolling(c, nil)
	if err != nil || h == nil {
		return err
	}
	return l.showEnroll(c, h, http.StatusOK, web.EnrollPage{}, nil)
}

// enrolling is halfway for whoever has nothing that could be asked for.
func (l *Login) enrolling(c *gin.Context, form url.Values) (*halfway, error) {
	v, err := l.enterAny(c)
	if err != nil {
		return nil, err
	}
	if form != nil {
		if err := l.sessions.CheckCSRF(c, form, purposeEnroll); err != nil {
			return nil, err
		}
	}
	h, err := l.halfway(c, v)
	if err != nil || h == nil {
		return nil, err
	}
	if h.due != people.Enrolment {
		c.Redirect(http.StatusSeeOther, h.at(pathFactor))
		return nil, nil
	}
	return h, nil
}

// showEnroll shows the page: with the app of app, where one is being set up already, else with a new one.
func (l *Login) showEnroll(c *gin.Context, h *halfway, status int, page web.EnrollPage, app *people.NewApp) (err error) {
	ctx, browser := c.Request.Context(), l.sessions.Browser(c)
	page.PostForm = web.PostForm{Action: h.at(pathEnroll), CSRF: l.sessions.CSRF(c, purposeEnroll)}
	page.App, page.Account = h.app(), h.user.DisplayName()
	page.Cancel = h.interaction != nil || h.signIn != nil
	if app == nil {
		if app, err = l.people.BeginAuthenticator(ctx, browser, h.user); err != nil {
			return err
		}
	}
	page.NewApp = web.NewApp(app.Picture, app.Secret, app.Sealed)
	if people.PasskeysPossible(h.org) {
		asked, err := l.people.BeginPasskey(ctx, browser, h.user)
		if err != nil {
			return err
		}
		page.Passkey.PostForm, page.Passkey.Options, page.Passkey.Sealed, page.Passkey.Create = page.PostForm, asked.Options, asked.Sealed, true
	}
	return l.pages.Render(c, status, pageEnroll, page)
}

// EnrollPost serves POST /login/enroll.
func (l *Login) EnrollPost(c *gin.Context) error {
	form, err := web.Form(c)
	if err != nil {
		return err
	}
	h, err := l.enrolling(c, form)
	if err != nil || h == nil {
		return err
	}
	if form.Get(paramAction) == actionCancel {
		return l.giveUp(c, h)
	}
	ctx, who, browser, sealed := c.Request.Context(), l.pages.Visitor(c), l.sessions.Browser(c), form.Get("challenge")
	f := &finish{login: l, c: c, h: h}
	also := func(ctx context.Context, amr []string) error {
		// Whoever knows the password alone sets up the first factor, and not one beside it (S-210).
		counts, err := l.db.FactorCounts(ctx, h.user.ID)
		if err == nil && counts.Passkeys+counts.Authenticators != 1 {
			err = errGoneHalfway
		}
		if err != nil {
			return err
		}
		return f.do(ctx, amr, func(context.Context) error { return nil })
	}
	var page web.EnrollPage
	var app *people.NewApp
	if form.Get(paramAction) == actionPasskey {
		err = l.people.AddPasskey(ctx, who, browser, h.user, sealed, form.Get("passkey"), "", also)
		page.Passkey.Problem = factorProblem(err)
	} else {
		err = l.people.ConfirmAuthenticator(ctx, who, browser, h.user, sealed, form.Get("code"), "", also)
		if page.CodeProblem = factorProblem(err); page.CodeProblem != "" {
			// The app has what it was shown. When that is too old, it is shown another.
			if app, err = l.people.AgainAuthenticator(ctx, browser, h.user, sealed); people.Problems(err) != nil {
				app, err = nil, nil
			}
			if err != nil {
				return err
			}
		}
	}
	switch {
	case errors.Is(err, errGoneHalfway), errors.Is(err, errSwitchedOff), errors.Is(err, storage.ErrNotFound):
		return h.errHalfway(err)
	case page.Passkey.Problem != "" || page.CodeProblem != "":
		return l.showEnroll(c, h, http.StatusBadRequest, page, app)
	case err != nil:
		return err
	}
	f.deliver()
	c.Redirect(http.StatusSeeOther, h.visit.at(pathCodes))
	return nil
}

// Codes serves GET /login/recovery-codes: whoever has just set up a second factor is offered codes for when it is lost, on the way
// to where they were going.
func (l *Login) Codes(c *gin.Context) error {
	v, user, err := l.fresh(c)
	if err != nil || user == nil {
		return err
	}
	made, err := l.people.BeginRecoveryCodes(c.Request.Context(), l.sessions.Browser(c), user)
	if err != nil {
		return err
	}
	return l.pages.Render(c, http.StatusOK, pageCodes, web.CodesPage{
		PostForm: web.PostForm{Action: v.at(pathCodes), CSRF: l.sessions.CSRF(c, purposeCodes)}, App: v.app(),
		NewCodes: web.NewCodes{Codes: made.Codes, Sealed: made.Sealed},
	})
}

// fresh is a visit of whoever has just signed in with two factors. Anybody else is sent on.
func (l *Login) fresh(c *gin.Context) (*visit, *storage.User, error) {
	v, err := l.enterAny(c)
	if err != nil {
		return nil, nil, err
	}
	session, user, err := l.sessions.Current(c)
	if err != nil {
		return nil, nil, err
	}
	if session == nil || !l.sessions.Fresh(session, true) {
		v.onward(c)
		return nil, nil, nil
	}
	counts, err := l.db.FactorCounts(c.Request.Context(), user.ID)
	if err != nil {
		return nil, nil, err
	}
	if !counts.Second() {
		v.onward(c)
		return nil, nil, nil
	}
	return v, user, nil
}

// CodesPost serves POST /login/recovery-codes.
func (l *Login) CodesPost(c *gin.Context) error {
	form, err := web.Form(c)
	if err != nil {
		return err
	}
	if err := l.sessions.CheckCSRF(c, form, purposeCodes); err != nil {
		return err
	}
	v, user, err := l.fresh(c)
	if err != nil || user == nil {
		return err
	}
	if form.Get(paramAction) != "later" {
		err := l.people.KeepRecoveryCodes(c.Request.Context(), l.pages.Visitor(c), l.sessions.Browser(c), user, form.Get("challenge"))
		if people.Problems(err) != nil {
			c.Redirect(http.StatusSeeOther, v.at(pathCodes)) // with others
			return nil
		}
		if err != nil {
			return err
		}
	}
	v.onward(c)
	return nil
}
