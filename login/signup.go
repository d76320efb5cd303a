package login

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/proof"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/people"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/web"
)

const (
	pageSignUp     = "signup"
	pageSignUpSent = "signup_sent"
	pageVerify     = "verify"
	pageInvitation = "invitation"
	pageDone       = "done"
	pageDeadLink   = "dead_link"

	pathSignUp     = "/signup"
	pathVerify     = "/verify"
	pathVerified   = "/verified"
	pathForgot     = "/forgot"
	pathReset      = "/reset"
	pathInvitation = "/invitation"

	// Each form has a purpose of its own, so that the token of one is worth nothing in another.
	purposeSignUp     = "signup"
	purposeCode       = "signup_code"
	purposeVerify     = "verify"
	purposeForgot     = "forgot"
	purposeReset      = "reset"
	purposeInvitation = "invitation"

	// actionResend asks for another letter, on the page that otherwise takes a code.
	actionResend = "resend"
)

// SignUp serves GET /signup.
func (l *Login) SignUp(c *gin.Context) error {
	v, err := l.enterAny(c)
	if err != nil {
		return err
	}
	if !v.org.Decided().SignUpOpen() {
		return signUpClosed(people.ErrSignUpClosed)
	}
	return l.showSignUp(c, v, http.StatusOK, web.SignUpPage{})
}

func (l *Login) showSignUp(c *gin.Context, v *visit, status int, page web.SignUpPage) error {
	page.PostForm = web.PostForm{Action: v.at(pathSignUp), CSRF: l.sessions.CSRF(c, purposeSignUp)}
	page.AskUsername, page.AskName = asks(v)
	page.App, page.SignIn = v.app(), v.at("/login")
	return l.pages.Render(c, status, pageSignUp, page)
}

// asks says how the fields of a new account are asked for.
func asks(v *visit) (username, name string) {
	fields := v.org.Decided().SignUp.Fields
	return fields[people.FieldUsername], fields[people.FieldName]
}

// signUpClosed makes a page of an account that cannot be made here (S-224).
func signUpClosed(cause error) error {
	return &web.Error{Status: http.StatusForbidden, Code: accessDenied, Message: "signup.closed", Cause: cause}
}

// newcomer is what the form of a new account brings.
func newcomer(form url.Values) people.Newcomer {
	return people.Newcomer{Username: form.Get("username"), Name: form.Get("name"), Password: secret.Text(form.Get("password"))}
}

// SignUpPost serves POST /signup. Its answer is the same whether or not the address has an account.
func (l *Login) SignUpPost(c *gin.Context) error {
	form, err := web.Form(c)
	if err != nil {
		return err
	}
	v, err := l.enterAny(c)
	if err != nil {
		return err
	}
	if err := l.sessions.CheckCSRF(c, form, purposeSignUp); err != nil {
		return err
	}
	wanted := people.SignUp{Email: form.Get("email"), Newcomer: newcomer(form), Interaction: v.id}
	browser, err := l.people.BeginSignUp(c.Request.Context(), l.pages.Visitor(c), wanted)
	if wrong := people.Problems(err); wrong != nil {
		return l.showSignUp(c, v, http.StatusBadRequest, web.SignUpPage{
			Email: wanted.Email, NewcomerFields: web.NewcomerFields{Username: wanted.Username, Name: wanted.Name, Problems: wrong},
		})
	}
	if errors.Is(err, people.ErrSignUpClosed) {
		return signUpClosed(err)
	}
	if err != nil {
		return err
	}
	l.sessions.KeepSignUp(c, browser, people.PendingLife)
	c.Redirect(http.StatusSeeOther, v.org.BasePath+pathVerify)
	return nil
}

// Verify serves GET /verify: with the token of a link, the button that spends it; without, the page of a sign-up that waits for
// its address to be proven. It spends nothing: whatever reads mail opens links by itself.
func (l *Login) Verify(c *gin.Context) error {
	v, err := l.passing(c, "")
	if err != nil {
		return err
	}
	if c.Query(paramToken) == "" {
		return l.showSent(c, v, http.StatusOK, web.SignUpSentPage{Again: c.Query(paramDone) == actionResend})
	}
	opened, err := l.openVerification(c)
	if err != nil {
		return l.deadVerification(c, v, err)
	}
	fields := web.NewcomerFields{Username: opened.Username, Name: opened.Name}
	return l.showVerify(c, v, http.StatusOK, opened, fields)
}

func (l *Login) openVerification(c *gin.Context) (*people.Verification, error) {
	return l.people.OpenVerification(c.Request.Context(), l.pages.Visitor(c), c.Query(paramToken), l.sessions.SignUp(c))
}

func (l *Login) showVerify(c *gin.Context, v *visit, status int, opened *people.Verification, fields web.NewcomerFields) error {
	page := web.VerifyPage{
		PostForm:       web.PostForm{Action: v.withToken(c, pathVerify), CSRF: l.sessions.CSRF(c, purposeVerify)},
		NewcomerFields: fields, Email: opened.Email, NewAccount: opened.NewAccount, Complete: opened.Here || !opened.NewAccount,
	}
	page.AskUsername, page.AskName = asks(v)
	return l.pages.Render(c, status, pageVerify, page)
}

// withToken is the address of a page with the token that it was opened with.
func (v *visit) withToken(c *gin.Context, path string) string {
	return v.org.BasePath + path + "?" + url.Values{paramToken: {c.Query(paramToken)}}.Encode()
}

func (l *Login) deadVerification(c *gin.Context, v *visit, err error) error {
	page := web.DeadLinkPage{Text: "dead.verify", SignIn: v.org.BasePath + "/login"}
	if v.org.Decided().SignUpOpen() {
		page.New, page.Link = v.org.BasePath+pathSignUp, "dead.verify_new"
	}
	return l.dead(c, err, page)
}

// dead makes a page of a link that opens nothing. Why it does is the same for all: it never was, is of another organization, has
// expired or was used.
func (l *Login) dead(c *gin.Context, err error, page web.DeadLinkPage) error {
	if !errors.Is(err, people.ErrDeadLink) {
		return err
	}
	return l.pages.Render(c, http.StatusNotFound, pageDeadLink, page)
}

// showSent shows the page of the sign-up that waits for this browser.
func (l *Login) showSent(c *gin.Context, v *visit, status int, page web.SignUpSentPage) error {
	waiting, err := l.people.Pending(c.Request.Context(), l.sessions.SignUp(c))
	if errors.Is(err, people.ErrDeadLink) {
		dead := web.DeadLinkPage{Text: "dead.pending", SignIn: v.org.BasePath + "/login"}
		if v.org.Decided().SignUpOpen() {
			dead.New, dead.Link = v.org.BasePath+pathSignUp, "dead.verify_new"
		}
		return l.pages.Render(c, http.StatusNotFound, pageDeadLink, dead)
	}
	if err != nil {
		return err
	}
	page.PostForm = web.PostForm{Action: v.org.BasePath + pathVerify, CSRF: l.sessions.CSRF(c, purposeCode)}
	page.Email, page.SignUp = waiting.Email, v.org.BasePath+pathSignUp
	if waiting.Guesses == 0 {
		page.Closed = true
		if page.CodeProblem == "" {
			page.CodeProblem = "verify.too_many"
		}
	}
	return l.pages.Render(c, status, pageSignUpSent, page)
}

// VerifyPost serves POST /verify.
func (l *Login) VerifyPost(c *gin.Context) error {
	form, err := web.Form(c)
	if err != nil {
		return err
	}
	if c.Query(paramToken) == "" {
		return l.codePost(c, form)
	}
	if err := l.sessions.CheckCSRF(c, form, purposeVerify); err != nil {
		return err
	}
	v, err := l.passing(c, "")
	if err != nil {
		return err
	}
	opened, err := l.openVerification(c)
	if err != nil {
		return l.deadVerification(c, v, err)
	}
	if v, err = l.comingBack(c, opened.Interaction, opened.Client); err != nil {
		return err
	}
	entry := l.entry(c, v, opened.Here && opened.Federated)
	given := newcomer(form)
	user, err := l.people.Verify(c.Request.Context(), l.pages.Visitor(c), c.Query(paramToken), l.sessions.SignUp(c), given, entry.start)
	if wrong := people.Problems(err); wrong != nil {
		opened.Here = false
		fields := web.NewcomerFields{Username: given.Username, Name: given.Name, Problems: wrong}
		return l.showVerify(c, v, http.StatusBadRequest, opened, fields)
	}
	switch {
	case errors.Is(err, people.ErrSignUpClosed):
		return signUpClosed(err)
	case err != nil:
		return l.deadVerification(c, v, err)
	case user != nil:
		l.sessions.ForgetSignUp(c)
		entry.deliver()
		return nil
	}
	c.Redirect(http.StatusSeeOther, v.org.BasePath+pathVerified)
	return nil
}

// Verified serves GET /verified, which says that an address is confirmed.
func (l *Login) Verified(c *gin.Context) error {
	v, err := l.passing(c, "")
	if err != nil {
		return err
	}
	return l.pages.Render(c, http.StatusOK, pageDone, web.DonePage{
		Title: "title.verified", Text: "verify.done", Onward: web.ReturnTo(v.org, ""), Link: "verify.to_account",
	})
}

// codePost takes the code of a letter, or sends another one.
func (l *Login) codePost(c *gin.Context, form url.Values) error {
	if err := l.sessions.CheckCSRF(c, form, purposeCode); err != nil {
		return err
	}
	v, err := l.passing(c, "")
	if err != nil {
		return err
	}
	ctx, who, browser := c.Request.Context(), l.pages.Visitor(c), l.sessions.SignUp(c)
	waiting, err := l.people.Pending(ctx, browser)
	if errors.Is(err, people.ErrDeadLink) {
		return l.showSent(c, v, http.StatusNotFound, web.SignUpSentPage{})
	}
	if err != nil {
		return err
	}
	if form.Get(paramAction) == actionResend {
		if err := l.people.ResendSignUp(ctx, who, browser); err != nil {
			return err
		}
		c.Redirect(http.StatusSeeOther, v.org.BasePath+pathVerify+"?"+url.Values{paramDone: {actionResend}}.Encode())
		return nil
	}
	if v, err = l.comingBack(c, waiting.Interaction, waiting.Client); err != nil {
		return err
	}
	entry := l.entry(c, v, waiting.Federated)
	_, err = l.people.CompleteByCode(ctx, who, browser, form.Get("code"), entry.start)
	if wrong := people.Problems(err)[people.FieldCode]; wrong != "" {
		return l.showSent(c, v, http.StatusBadRequest, web.SignUpSentPage{CodeProblem: wrong})
	}
	switch {
	case errors.Is(err, people.ErrSignUpClosed):
		return signUpClosed(err)
	case err != nil:
		return l.deadVerification(c, v, err)
	}
	l.sessions.ForgetSignUp(c)
	entry.deliver()
	return nil
}

// passing is a visit on the way to an authorization request that a letter remembers, if it still waits for this browser; else to
// our own pages.
func (l *Login) passing(c *gin.Context, interaction string) (*visit, error) {
	if interaction != "" {
		v, err := l.enterFor(c, interaction)
		var refused *web.Error
		if err == nil || !errors.As(err, &refused) {
			return v, err
		}
	}
	org, err := tenant.From(c.Request.Context())
	if err != nil {
		return nil, err
	}
	return &visit{org: org}, nil
}

// comingBack is passing for somebody who takes their time: when the request waits no more, its application begins another, if it has said where
// (OpenID Connect Core 1.0 §4).
func (l *Login) comingBack(c *gin.Context, interaction, clientID string) (*visit, error) {
	v, err := l.passing(c, interaction)
	if err != nil || v.interaction != nil || clientID == "" {
		return v, err
	}
	client, err := l.db.Client(c.Request.Context(), clientID)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return nil, err
	}
	if err == nil && !client.Disabled {
		v.begin = storage.LoginInitiation(client.InitiateLoginURI(), v.org.Issuer)
	}
	return v, nil
}

// entry is how somebody comes in who has just made their account: they have proven that the address is theirs, and chosen the
// password in this browser, as at setup, or been vouched for by a provider.
type entry struct {
	login *Login
	c     *gin.Context
	v     *visit
	// amr is how they have proven who they are.
	amr string
	// in is nil where more than a password is asked for: then the person signs in as ever, and is asked for it.
	in *arrived
}

func (l *Login) entry(c *gin.Context, v *visit, federated bool) *entry {
	amr := proof.Password
	if federated {
		amr = proof.Federated
	}
	return &entry{login: l, c: c, v: v, amr: amr}
}

// start begins the session, in the transaction that makes the account.
func (e *entry) start(ctx context.Context, user *storage.User) (err error) {
	l, c, v := e.login, e.c, e.v
	e.in = nil
	more, err := l.people.SecondFactorRequired(ctx, user)
	if err != nil || more {
		return err
	}
	given := web.Proven(e.amr)
	row := web.Event(c, web.ByUser(user.ID), "user.signed_in", user.ID.String(), v.facts(map[string]any{"amr": given.AMR, "new": true}))
	e.in, err = l.start(ctx, c, arrival{user: user, given: given, row: row, also: func(ctx context.Context, fresh *web.Fresh) error {
		return l.noted(ctx, v, fresh, given)
	}})
	return err
}

// deliver gives the browser its session, and sends it on.
func (e *entry) deliver() {
	if e.in == nil {
		e.c.Redirect(http.StatusSeeOther, e.v.at("/login"))
		return
	}
	e.login.deliver(e.c.Request.Context(), e.c, e.in)
	e.v.onward(e.c)
}
