package login

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/base64url"
	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/proof"
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
	// actionPasskey sends the answer of an authenticator.
	actionPasskey = "passkey"
	// actionWho says who somebody is, where the proof is asked for on the next page.
	actionWho = "who"
	// paramWho carries that from the one page to the other.
	paramWho = "who"
	// purposeWho is what it is sealed for: an address may be seen, and kept.
	purposeWho = "login name"
)

// SignIn serves GET /login.
func (l *Login) SignIn(c *gin.Context) error {
	v, err := l.enterAny(c)
	if err != nil {
		return err
	}
	session, user, err := l.sessions.Current(c)
	if err != nil {
		return err
	}
	var page web.SignInPage
	switch {
	case v.interaction != nil && v.interaction.SelectedAt != nil && v.isAbout(session):
		page.Username = user.DisplayName() // whom they have just chosen, whoever the application expects
	case v.interaction != nil:
		page.Username = hint(v.interaction.Params)
	case user != nil && !v.fresh:
		v.onward(c)
		return nil
	}
	if named := l.named(v, c.Query(paramWho)); named != "" {
		page.Username, page.NotMe = named, v.at("/login")
	}
	return l.showSignIn(c, v, http.StatusOK, page)
}

func (l *Login) showSignIn(c *gin.Context, v *visit, status int, page web.SignInPage) error {
	_, user, err := l.sessions.Current(c)
	if err != nil {
		return err
	}
	if user != nil {
		// Asked again, though somebody is signed in: the application wants it proven anew, of them or of whomever it names.
		page.Again = true
		if page.Username == "" {
			page.Username = user.DisplayName()
		}
	}
	offered := v.org.Decided().Login
	page.Action, page.App = v.at("/login"), v.app()
	if page.NoPassword = !offered.Offers(settings.WithPassword); !page.NoPassword {
		page.ForgotURL = v.at(pathForgot)
		page.Who = offered.IdentifierFirst && page.Username == ""
	}
	if !page.Again && v.org.Decided().SignUpOpen() {
		page.SignUpURL = v.at(pathSignUp)
	}
	page.Cancel = v.interaction != nil || page.Again
	choose, err := l.mayChoose(c, v, user)
	if err != nil {
		return err
	}
	if choose {
		page.SelectURL = v.at(pathSelect)
	}
	page.CSRF = l.sessions.CSRF(c, purposeLogin)
	if people.PasskeysPossible(v.org) && offered.Offers(settings.WithPasskey) {
		asked, err := l.people.BeginPasskeySignIn(c.Request.Context(), l.sessions.Browser(c))
		if err != nil {
			return err
		}
		page.Passkey.PostForm = web.PostForm{Action: page.Action, CSRF: page.CSRF}
		page.Passkey.Options, page.Passkey.Sealed, page.Passkey.Beside = asked.Options, asked.Sealed, true
	}
	if err := l.offerProviders(c, v, user, &page); err != nil {
		return err
	}
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

	action, offered := form.Get(paramAction), v.org.Decided().Login
	if action == actionPasskey && !offered.Offers(settings.WithPasskey) || action != actionPasskey && !offered.Offers(settings.WithPassword) {
		return l.showSignIn(c, v, http.StatusForbidden, web.SignInPage{Problem: "login.not_offered"})
	}
	if action == actionPasskey {
		return l.passkeyPost(c, v, form)
	}
	given := credentials{strings.TrimSpace(form.Get("username")), form.Get("password")}
	if gone, err := l.goHome(c, v, given.login); err != nil || gone {
		return err
	}
	if action == actionWho {
		return l.whoPost(c, v, given.login)
	}
	if page, ok := given.complete(); !ok {
		return l.showSignIn(c, v, http.StatusBadRequest, page)
	}
	user, err := l.people.CheckPassword(c.Request.Context(), l.pages.Visitor(c), l.attempt(c, v, given))
	if err == nil {
		err = l.proven(c, v, user, []string{proof.Password}, nil)
	}
	if errors.Is(err, errSwitchedOff) {
		err = l.people.RefuseSignIn(c.Request.Context(), l.pages.Visitor(c), l.attempt(c, v, given), user, people.SwitchedOff)
	}
	if errors.Is(err, people.ErrRefused) {
		return l.showFailed(c, v, given)
	}
	return err
}

// whoPost is SignInPost for a name alone: the proof is asked for on the next page, whoever that is and whether or not they exist (S-196).
func (l *Login) whoPost(c *gin.Context, v *visit, name string) error {
	page := web.SignInPage{UsernameProblem: nameProblem(name)}
	if page.UsernameProblem != "" {
		return l.showSignIn(c, v, http.StatusBadRequest, page)
	}
	sealed, err := l.keyring.Seal(purposeWho, []byte(name), v.org.ID.String())
	if err != nil {
		return err
	}
	c.Redirect(http.StatusSeeOther, v.at("/login")+"&"+url.Values{paramWho: {base64.RawURLEncoding.EncodeToString(sealed)}}.Encode())
	return nil
}

// named is who somebody has said they are on the page before; nothing where nobody has.
func (l *Login) named(v *visit, text string) string {
	sealed, err := base64url.Decode(text)
	if text == "" || err != nil {
		return ""
	}
	name, err := l.keyring.Open(purposeWho, sealed, v.org.ID.String())
	if err != nil {
		return ""
	}
	return string(name)
}

// nameProblem is what is wrong with a name before anybody is looked for.
func nameProblem(name string) string {
	switch {
	case name == "":
		return "login.no_name"
	case len(name) > maxLogin:
		return "login.name_limit"
	}
	return ""
}

// passkeyPost is SignInPost for an answer to the passkey that the page asks for.
func (l *Login) passkeyPost(c *gin.Context, v *visit, form url.Values) error {
	user, given, err := l.people.TryPasskeySignIn(c.Request.Context(), l.pages.Visitor(c), l.sessions.Browser(c), form.Get("challenge"), form.Get("passkey"))
	if err == nil {
		err = l.proven(c, v, user, given.AMR, given.Take)
	}
	problem := factorProblem(err)
	if errors.Is(err, errSwitchedOff) {
		problem = "factor.passkey_wrong"
	}
	if problem != "" {
		return l.showSignIn(c, v, http.StatusUnauthorized, web.SignInPage{Passkey: web.Ceremony{Problem: problem}})
	}
	return err
}

// complete looks whether there is anything to check, without a word about whose it would be.
func (g credentials) complete() (web.SignInPage, bool) {
	page := web.SignInPage{Username: g.login, UsernameProblem: nameProblem(g.login)}
	if len(g.login) > maxLogin {
		page.Username = ""
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

// proven goes on after a first factor: with the session, or with the page of the second where one is asked for. take uses up what
// was given, where that can be given once. It returns errSwitchedOff for whoever is not to come in after all.
func (l *Login) proven(c *gin.Context, v *visit, user *storage.User, amr []string, take func(context.Context) error) error {
	demand, err := v.demand()
	if err != nil {
		return err
	}
	measure := people.Measure{Demand: demand}
	if !v.fresh {
		measure.Device = l.sessions.Device(c.Request.Context(), c)
	}
	due, factors, err := l.people.Due(c.Request.Context(), user, amr, measure)
	if err != nil {
		return err
	}
	if due != people.Nothing {
		return l.beginHalfway(c, v, user, amr, due, factors)
	}
	given := web.Proven(amr...)
	row := web.Event(c, web.ByUser(user.ID), "user.signed_in", user.ID.String(), v.facts(map[string]any{"amr": given.AMR}))
	in, err := l.start(c.Request.Context(), c, arrival{user: user, given: given, row: row, also: func(ctx context.Context, fresh *web.Fresh) error {
		if take != nil {
			if err := take(ctx); err != nil {
				return err
			}
		}
		return l.noted(ctx, v, fresh, given)
	}})
	if err != nil {
		return err
	}
	l.deliver(c.Request.Context(), c, in)
	v.onward(c)
	return nil
}

// demand is what the authorization request wants of the person, if there is one.
func (v *visit) demand() (proof.Demand, error) {
	if v.interaction == nil {
		return proof.AsDecided, nil
	}
	asked, err := proof.ReadRequest(v.interaction.Params, v.client.DefaultACRValues())
	if err != nil {
		return proof.AsDecided, &web.Error{Status: http.StatusBadRequest, Code: "invalid_request", Message: "error.interaction", Cause: err}
	}
	return asked.Demand(), nil
}

// noted makes of a session a step of the authorization request, if there is one.
func (l *Login) noted(ctx context.Context, v *visit, fresh *web.Fresh, given web.Proof) error {
	if v.interaction == nil {
		return nil
	}
	return tooLate(l.db.InteractionAuthenticated(ctx, v.interaction.Digest, fresh.Session.ID, given.At))
}

// errSwitchedOff says that a person was switched off, or deleted, or got another password, after theirs was looked at.
var errSwitchedOff = errors.New("the person is not active any more")

// arrival is somebody who has proven all that is asked for.
type arrival struct {
	user  *storage.User
	given web.Proof
	// row is what the audit is told.
	row *storage.AuditEvent
	// trust is for how long the browser need not give a second factor; 0 is not at all.
	trust time.Duration
	// also is whatever else has to happen along with it; nil is nothing.
	also func(context.Context, *web.Fresh) error
}

// arrived is what their browser is given when the transaction is committed.
type arrived struct {
	fresh *web.Fresh
	// device is what it is known by; empty is as before.
	device string
}

// start begins a session, with whatever else has to happen along with it, in one transaction.
func (l *Login) start(ctx context.Context, c *gin.Context, a arrival) (*arrived, error) {
	var in arrived
	err := l.db.InTx(ctx, func(ctx context.Context) (err error) {
		in.fresh, err = l.sessions.Start(ctx, c, a.user, a.given)
		if errors.Is(err, storage.ErrNotFound) {
			return errSwitchedOff
		}
		if browser := l.sessions.Federation(c); err == nil && browser != "" {
			err = l.people.LinkHeld(ctx, l.pages.Visitor(c), a.user, browser)
		}
		if err == nil && a.also != nil {
			err = a.also(ctx, in.fresh)
		}
		if err == nil {
			in.device, err = l.rememberDevice(ctx, c, a.user, a.trust)
		}
		if err == nil {
			err = l.db.RecordLogin(ctx, a.user.ID, a.given.At)
		}
		if err == nil {
			err = l.db.AppendAudit(ctx, a.row)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &in, nil
}

// rememberDevice makes the browser known, and trusted for a while, and returns what it is known by.
func (l *Login) rememberDevice(ctx context.Context, c *gin.Context, user *storage.User, trust time.Duration) (string, error) {
	device, err := l.people.RememberDevice(ctx, l.pages.Visitor(c), user, l.sessions.Device(ctx, c))
	if err == nil && trust > 0 {
		err = l.people.TrustDevice(ctx, l.pages.Visitor(c), user.ID, device, time.Now().Add(trust))
	}
	return device, err
}

// deliver gives the browser what is its own now.
func (l *Login) deliver(ctx context.Context, c *gin.Context, in *arrived) {
	l.sessions.Deliver(c, in.fresh)
	if in.device != "" {
		l.sessions.SetDevice(ctx, c, in.device)
	}
}
