package account

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/people"
	"github.com/keizer-auth/keizer/web"
)

// Password serves GET /account/password.
func (a *Account) Password(c *gin.Context, v *visit) error {
	return a.showPassword(c, v, http.StatusOK, done(c))
}

func (a *Account) showPassword(c *gin.Context, v *visit, status int, outcome web.Outcome) error {
	has, err := a.people.HasPassword(c.Request.Context(), v.user.ID)
	if err != nil {
		return err
	}
	return a.pages.Render(c, status, "account_password", web.AccountPasswordPage{
		AccountFrame: a.frame(c, v, "/password"), Outcome: outcome, Form: a.form(c, v, "/password"), Username: v.user.DisplayName(), Has: has,
	})
}

// PasswordPost serves POST /account/password. This browser stays signed in, under a new secret.
func (a *Account) PasswordPost(c *gin.Context, v *visit) error {
	ctx := c.Request.Context()
	change := people.PasswordChange{
		UserID: v.user.ID, Session: v.session.ID, Device: a.sessions.Device(ctx, c),
		Current: v.form.Get("current"), Next: v.form.Get("password"), Again: v.form.Get("again"),
	}
	var renewed *web.Fresh
	err := a.people.ChangePassword(ctx, a.pages.Visitor(c), change, func(ctx context.Context) (err error) {
		renewed, err = a.sessions.Renew(ctx, c)
		return err
	})
	if outcome, ok := wrong(err); ok {
		return a.showPassword(c, v, http.StatusBadRequest, outcome)
	}
	if err != nil {
		return err
	}
	a.sessions.Deliver(c, renewed)
	a.back(c, v, "/password", "password")
	return nil
}
