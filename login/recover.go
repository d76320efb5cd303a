package login

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/people"
	"github.com/keizer-auth/keizer/web"
)

const (
	pageForgot = "forgot"
	pageReset  = "reset"

	// paramSent says that a link was asked for.
	paramSent = "sent"
)

// withPassword refuses what is about a password where nobody signs in with one.
func (v *visit) withPassword() error {
	if v.org.Decided().Login.Offers(settings.WithPassword) {
		return nil
	}
	return &web.Error{Status: http.StatusForbidden, Code: accessDenied, Message: "login.not_offered"}
}

// Forgot serves GET /forgot.
func (l *Login) Forgot(c *gin.Context) error {
	v, err := l.enterAny(c)
	if err == nil {
		err = v.withPassword()
	}
	if err != nil {
		return err
	}
	return l.showForgot(c, v, http.StatusOK, web.ForgotPage{Sent: c.Query(paramSent) != ""})
}

func (l *Login) showForgot(c *gin.Context, v *visit, status int, page web.ForgotPage) error {
	page.SignIn = v.at("/login")
	if !page.Sent {
		page.PostForm = web.PostForm{Action: v.at(pathForgot), CSRF: l.sessions.CSRF(c, purposeForgot)}
	}
	return l.pages.Render(c, status, pageForgot, page)
}

// ForgotPost serves POST /forgot. Its answer is the same whether or not there is an account.
func (l *Login) ForgotPost(c *gin.Context) error {
	form, err := web.Form(c)
	if err != nil {
		return err
	}
	v, err := l.enterAny(c)
	if err == nil {
		err = v.withPassword()
	}
	if err != nil {
		return err
	}
	if err := l.sessions.CheckCSRF(c, form, purposeForgot); err != nil {
		return err
	}
	err = l.people.Forgot(c.Request.Context(), l.pages.Visitor(c), form.Get("login"), v.id)
	if wrong := people.Problems(err)[people.FieldLogin]; wrong != "" {
		return l.showForgot(c, v, http.StatusBadRequest, web.ForgotPage{Problem: wrong})
	}
	if err != nil {
		return err
	}
	c.Redirect(http.StatusSeeOther, v.at(pathForgot)+"&"+url.Values{paramSent: {"1"}}.Encode())
	return nil
}

// Reset serves GET /reset: the form of a link that still works, or what comes after it. It spends nothing.
func (l *Login) Reset(c *gin.Context) error {
	v, err := l.passing(c, c.Query(paramInteraction))
	if err == nil {
		err = v.withPassword()
	}
	if err != nil {
		return err
	}
	if c.Query(paramDone) != "" {
		return l.pages.Render(c, http.StatusOK, pageDone, web.DonePage{
			Title: "title.reset_done", Text: "reset.done", Onward: v.at("/login"), Link: "reset.sign_in",
		})
	}
	user, err := l.people.OpenReset(c.Request.Context(), l.pages.Visitor(c), c.Query(paramToken))
	if err != nil {
		return l.deadReset(c, v, err)
	}
	return l.showReset(c, v, http.StatusOK, web.ResetPage{Account: user.DisplayName()})
}

func (l *Login) showReset(c *gin.Context, v *visit, status int, page web.ResetPage) error {
	page.PostForm = web.PostForm{Action: v.withToken(c, pathReset), CSRF: l.sessions.CSRF(c, purposeReset)}
	return l.pages.Render(c, status, pageReset, page)
}

func (l *Login) deadReset(c *gin.Context, v *visit, err error) error {
	return l.dead(c, err, web.DeadLinkPage{
		Text: "dead.reset", New: v.org.BasePath + pathForgot, Link: "dead.reset_new", SignIn: v.org.BasePath + "/login",
	})
}

// ResetPost serves POST /reset. It signs nobody in: whoever has a second factor is asked for it as ever.
func (l *Login) ResetPost(c *gin.Context) error {
	form, err := web.Form(c)
	if err != nil {
		return err
	}
	if err := l.sessions.CheckCSRF(c, form, purposeReset); err != nil {
		return err
	}
	v, err := l.passing(c, "")
	if err == nil {
		err = v.withPassword()
	}
	if err != nil {
		return err
	}
	ctx, who, token := c.Request.Context(), l.pages.Visitor(c), c.Query(paramToken)
	user, err := l.people.OpenReset(ctx, who, token)
	if err != nil {
		return l.deadReset(c, v, err)
	}
	interaction, err := l.people.Reset(ctx, who, token, secret.Text(form.Get("password")))
	if wrong := people.Problems(err)[people.FieldPassword]; wrong != "" {
		return l.showReset(c, v, http.StatusBadRequest, web.ResetPage{Account: user.DisplayName(), Problem: wrong})
	}
	if err != nil {
		return l.deadReset(c, v, err)
	}
	query := url.Values{paramDone: {"1"}}
	if v, err = l.passing(c, interaction); err != nil {
		return err
	}
	if v.interaction != nil {
		query.Set(paramInteraction, v.id)
	}
	c.Redirect(http.StatusSeeOther, v.org.BasePath+pathReset+"?"+query.Encode())
	return nil
}

// Invitation serves GET /invitation. It spends nothing.
func (l *Login) Invitation(c *gin.Context) error {
	v, err := l.passing(c, "")
	if err != nil {
		return err
	}
	invitation, err := l.people.OpenInvitation(c.Request.Context(), l.pages.Visitor(c), c.Query(paramToken))
	if err != nil {
		return l.deadInvitation(c, v, err)
	}
	page := web.InvitationPage{NewcomerFields: web.NewcomerFields{Name: invitation.FullName}, Email: invitation.Email, Inviter: invitation.Inviter}
	return l.showInvitation(c, v, http.StatusOK, page)
}

func (l *Login) showInvitation(c *gin.Context, v *visit, status int, page web.InvitationPage) error {
	page.PostForm = web.PostForm{Action: v.withToken(c, pathInvitation), CSRF: l.sessions.CSRF(c, purposeInvitation)}
	page.AskUsername, page.AskName = asks(v)
	return l.pages.Render(c, status, pageInvitation, page)
}

func (l *Login) deadInvitation(c *gin.Context, v *visit, err error) error {
	if errors.Is(err, people.ErrSignUpClosed) {
		return signUpClosed(err)
	}
	return l.dead(c, err, web.DeadLinkPage{Text: "dead.invitation", SignIn: v.org.BasePath + "/login"})
}

// InvitationPost serves POST /invitation.
func (l *Login) InvitationPost(c *gin.Context) error {
	form, err := web.Form(c)
	if err != nil {
		return err
	}
	if err := l.sessions.CheckCSRF(c, form, purposeInvitation); err != nil {
		return err
	}
	v, err := l.passing(c, "")
	if err != nil {
		return err
	}
	ctx, who, token := c.Request.Context(), l.pages.Visitor(c), c.Query(paramToken)
	invitation, err := l.people.OpenInvitation(ctx, who, token)
	if err != nil {
		return l.deadInvitation(c, v, err)
	}
	entry, given := l.entry(c, v, false), newcomer(form)
	_, err = l.people.AcceptInvitation(ctx, who, token, given, entry.start)
	page := web.InvitationPage{
		NewcomerFields: web.NewcomerFields{Username: strings.TrimSpace(given.Username), Name: strings.TrimSpace(given.Name), Problems: people.Problems(err)},
		Email:          invitation.Email, Inviter: invitation.Inviter,
	}
	switch {
	case page.Problems != nil:
		return l.showInvitation(c, v, http.StatusBadRequest, page)
	case errors.Is(err, people.ErrRoleGone):
		page.Problem = "invitation.role_gone"
		return l.showInvitation(c, v, http.StatusConflict, page)
	case err != nil:
		return l.deadInvitation(c, v, err)
	}
	entry.deliver()
	return nil
}
