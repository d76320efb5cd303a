package account

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/internal/visitor"
	"github.com/keizer-auth/keizer/people"
	"github.com/keizer-auth/keizer/web"
)

// Email serves GET /account/email.
func (a *Account) Email(c *gin.Context, v *visit) error {
	return a.showEmail(c, v, http.StatusOK, web.AccountEmailPage{Outcome: done(c)})
}

func (a *Account) showEmail(c *gin.Context, v *visit, status int, page web.AccountEmailPage) error {
	pending, err := a.people.PendingEmail(c.Request.Context(), v.user.ID)
	if err != nil {
		return err
	}
	page.AccountFrame, page.Form = a.frame(c, v, "/email"), a.form(c, v, "/email")
	page.Verify = a.form(c, v, "/email/verify")
	page.Email, page.Verified, page.Pending = v.user.Email, v.user.IsVerified, pending
	return a.pages.Render(c, status, "account_email", page)
}

// EmailPost serves POST /account/email.
func (a *Account) EmailPost(c *gin.Context, v *visit) error {
	typed := v.form.Get("email")
	err := a.people.ChangeEmail(c.Request.Context(), a.pages.Visitor(c), v.user.ID, strings.TrimSpace(typed))
	if outcome, ok := wrong(err); ok {
		return a.showEmail(c, v, http.StatusBadRequest, web.AccountEmailPage{Outcome: outcome, Value: typed})
	}
	if err != nil {
		return err
	}
	a.back(c, v, "/email", "email")
	return nil
}

// VerifyEmail serves POST /account/email/verify.
func (a *Account) VerifyEmail(c *gin.Context, v *visit) error {
	if err := a.people.SendVerification(c.Request.Context(), a.pages.Visitor(c), v.user); err != nil {
		return err
	}
	a.back(c, v, "", "verification")
	return nil
}

// emailLink is a page that a link in mail leads to. Whoever holds the link has what it takes, in whatever browser: nobody need be
// signed in.
type emailLink struct {
	path string
	undo bool
	open func(ctx context.Context, who visitor.Visitor, token string) (*people.EmailChange, error)
	do   func(ctx context.Context, who visitor.Visitor, token string) (*people.EmailChange, error)
	// next is where the person goes from there, below the organization.
	next string
}

const paramToken = "token"

func (a *Account) emailLinks() []emailLink {
	return []emailLink{
		{path: "/email/confirm", open: a.people.OpenEmailChange, do: a.people.ConfirmEmail, next: Path},
		{path: "/email/undo", undo: true, open: a.people.OpenEmailUndo, do: a.people.UndoEmail, next: "/forgot"},
	}
}

// EmailLink serves GET /account/email/confirm and GET /account/email/undo. It shows what the link is about and does nothing:
// programs that look through mail open links too.
func (a *Account) EmailLink(link emailLink) func(*gin.Context) error {
	return func(c *gin.Context) error {
		org, err := tenant.From(c.Request.Context())
		if err != nil {
			return err
		}
		page := web.EmailLinkPage{Undo: link.undo, Next: org.BasePath + link.next}
		if c.Query("done") != "" {
			page.Done = true
			return a.pages.Render(c, http.StatusOK, "email_link", page)
		}
		token := c.Query(paramToken)
		change, err := link.open(c.Request.Context(), a.pages.Visitor(c), token)
		if err != nil {
			return a.dead(c, err, link, org)
		}
		page.From, page.To = change.From, change.To
		page.Form = web.PostForm{
			Action: org.BasePath + Path + link.path + "?" + url.Values{paramToken: {token}}.Encode(), CSRF: a.sessions.CSRF(c, purpose(link.path)),
		}
		return a.pages.Render(c, http.StatusOK, "email_link", page)
	}
}

// EmailLinkPost serves POST /account/email/confirm and POST /account/email/undo.
func (a *Account) EmailLinkPost(link emailLink) func(*gin.Context) error {
	return func(c *gin.Context) error {
		form, err := web.Form(c)
		if err != nil {
			return err
		}
		org, err := tenant.From(c.Request.Context())
		if err != nil {
			return err
		}
		if err := a.sessions.CheckCSRF(c, form, purpose(link.path)); err != nil {
			return err
		}
		if _, err := link.do(c.Request.Context(), a.pages.Visitor(c), c.Query(paramToken)); err != nil {
			return a.dead(c, err, link, org)
		}
		c.Redirect(http.StatusSeeOther, org.BasePath+Path+link.path+"?done=1")
		return nil
	}
}

// dead shows the page of a link that opens nothing. Why is not told.
func (a *Account) dead(c *gin.Context, err error, link emailLink, org *tenant.Org) error {
	if !errors.Is(err, people.ErrDeadLink) {
		return err
	}
	page := web.DeadLinkPage{Text: "email_link.dead", New: org.BasePath + Path + "/email", Link: "email_link.new"}
	if link.undo {
		page = web.DeadLinkPage{Text: "email_link.dead_undo", New: org.BasePath + Path, Link: "email_link.account"}
	}
	return a.pages.Render(c, http.StatusNotFound, "dead_link", page)
}
