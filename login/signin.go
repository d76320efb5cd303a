package login

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/people"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/web"
)

const (
	pageLogin = "login"
	// purposeLogin binds the forms of the page.
	purposeLogin = "login"
	// maxLogin is more than any user name or e-mail address has, in bytes.
	maxLogin = 254
)

// amrPassword says that a password was checked (RFC 8176 §2).
const amrPassword = "pwd"

// SignIn serves GET /login.
func (l *Login) SignIn(c *gin.Context) error {
	v, err := l.enterAny(c)
	if err != nil {
		return err
	}
	_, user, err := l.sessions.Current(c)
	if err != nil {
		return err
	}
	var page web.SignInPage
	switch {
	case v.interaction != nil:
		page.Username = hint(v.interaction.Params)
	case user != nil && !v.fresh:
		v.onward(c)
		return nil
	}
	if user != nil {
		// Asked again, though somebody is signed in: the application wants it proven anew, of them or of whomever it names.
		page.Again = true
		if page.Username == "" {
			page.Username = user.DisplayName()
		}
	}
	return l.showSignIn(c, v, http.StatusOK, page)
}

func (l *Login) showSignIn(c *gin.Context, v *visit, status int, page web.SignInPage) error {
	page.Action, page.App = v.at("/login"), v.app()
	page.ForgotURL = v.at(pathForgot)
	if !page.Again && v.org.Decided().SignUp.Mode == settings.SignUpOpen {
		page.SignUpURL = v.at(pathSignUp)
	}
	page.Cancel = v.interaction != nil || page.Again
	page.CSRF = l.sessions.CSRF(c, purposeLogin)
	return l.pages.Render(c, status, pageLogin, page)
}

// hint is whom the application expects (login_hint, OpenID Connect Core 1.0 §3.1.2.1), if that can be a name at all.
func hint(params url.Values) string {
	name := params.Get("login_hint")
	if len(name) > maxLogin || !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return ""
	}
	return name
}

// credentials are what the form of the page brings.
type credentials struct{ login, password string }

// SignInPost serves POST /login.
func (l *Login) SignInPost(c *gin.Context) error {
	form, err := web.Form(c)
	if err != nil {
		return err
	}
	v, err := l.enterAny(c)
	if err != nil {
		return err
	}
	if err := l.sessions.CheckCSRF(c, form, purposeLogin); err != nil {
		return err
	}
	if form.Get(paramAction) == "cancel" {
		if v.interaction == nil {
			v.returnTo = "" // where the fresh proof is not asked for
			v.onward(c)
			return nil
		}
		return l.refuse(c, v, web.Event(c, web.Anonymous, "user.sign_in_cancelled", "", map[string]any{"client_id": v.client.ClientID}))
	}

	given := credentials{strings.TrimSpace(form.Get("username")), form.Get("password")}
	if page, ok := given.complete(); !ok {
		return l.showSignIn(c, v, http.StatusBadRequest, page)
	}
	user, err := l.people.CheckPassword(c.Request.Context(), l.pages.Visitor(c), l.attempt(c, v, given))
	if errors.Is(err, people.ErrRefused) {
		return l.showFailed(c, v, given)
	}
	if err != nil {
		return err
	}
	return l.signedIn(c, v, given, user)
}

// complete looks whether there is anything to check, without a word about whose it would be.
func (g credentials) complete() (web.SignInPage, bool) {
	page := web.SignInPage{Username: g.login}
	switch {
	case g.login == "":
		page.UsernameProblem = "login.no_name"
	case len(g.login) > maxLogin:
		page.UsernameProblem, page.Username = "login.name_limit", ""
	}
	switch {
	case g.password == "":
		page.PasswordProblem = "login.no_secret"
	case len(g.password) > password.MaxLength:
		page.PasswordProblem = "login.too_long"
	}
	return page, page.UsernameProblem == "" && page.PasswordProblem == ""
}

// attempt is what is checked of what the form brought.
func (l *Login) attempt(c *gin.Context, v *visit, given credentials) people.Attempt {
	return people.Attempt{
		Login: given.login, Password: given.password, Device: l.sessions.Device(c.Request.Context(), c), Facts: v.facts(map[string]any{}),
	}
}

func (l *Login) showFailed(c *gin.Context, v *visit, given credentials) error {
	return l.showSignIn(c, v, http.StatusUnauthorized, web.SignInPage{Username: given.login, Problem: "login.failed"})
}

// signedIn makes of a proven password a session, and of the session a step of the interaction: both, with their audit, or
// neither.
func (l *Login) signedIn(c *gin.Context, v *visit, given credentials, user *storage.User) error {
	proof := web.Proof{At: time.Now().UTC().Truncate(time.Microsecond), AMR: []string{amrPassword}, ACR: web.ACRPassword}
	row := web.Event(c, web.ByUser(user.ID), "user.signed_in", user.ID.String(), v.facts(map[string]any{"amr": proof.AMR}))
	fresh, err := l.start(c.Request.Context(), c, user, proof, row, func(ctx context.Context, fresh *web.Fresh) error {
		if v.interaction == nil {
			return nil
		}
		return tooLate(l.db.InteractionAuthenticated(ctx, v.interaction.Digest, fresh.Session.ID, proof.At))
	})
	if errors.Is(err, errSwitchedOff) {
		err = l.people.RefuseSignIn(c.Request.Context(), l.pages.Visitor(c), l.attempt(c, v, given), user, people.SwitchedOff)
		if errors.Is(err, people.ErrRefused) {
			return l.showFailed(c, v, given)
		}
		return err
	}
	if err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	l.sessions.Deliver(c, fresh)
	v.onward(c)
	return nil
}

// errSwitchedOff says that a person was switched off, or deleted, after their password was looked at.
var errSwitchedOff = errors.New("the person is not active any more")

// start begins a session, with whatever else has to happen along with it, in one transaction.
func (l *Login) start(ctx context.Context, c *gin.Context, user *storage.User, proof web.Proof, row *storage.AuditEvent,
	also func(context.Context, *web.Fresh) error,
) (*web.Fresh, error) {
	var fresh *web.Fresh
	var device string
	err := l.db.InTx(ctx, func(ctx context.Context) (err error) {
		fresh, err = l.sessions.Start(ctx, c, user, proof)
		if errors.Is(err, storage.ErrNotFound) {
			return errSwitchedOff
		}
		if err == nil && also != nil {
			err = also(ctx, fresh)
		}
		if err == nil {
			device, err = l.people.RememberDevice(ctx, l.pages.Visitor(c), user, l.sessions.Device(ctx, c))
		}
		if err == nil {
			err = l.db.RecordLogin(ctx, user.ID, proof.At)
		}
		if err == nil {
			err = l.db.AppendAudit(ctx, row)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	l.sessions.SetDevice(ctx, c, device)
	return fresh, nil
}
