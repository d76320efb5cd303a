package account

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/web"
)

// RecoveryCodes serves GET /account/recovery-codes.
func (a *Account) RecoveryCodes(c *gin.Context, v *visit) error {
	return a.showRecoveryCodes(c, v, http.StatusOK, done(c))
}

func (a *Account) showRecoveryCodes(c *gin.Context, v *visit, status int, outcome web.Outcome) error {
	return a.pages.Render(c, status, "account_recovery_codes", web.AccountRecoveryCodesPage{
		AccountFrame: a.frame(c, v, "/recovery-codes"), Outcome: outcome, Left: v.factors.RecoveryCodes, Possible: v.factors.Second(),
		New: v.at("/recovery-codes/new"),
	})
}

// NewRecoveryCodes serves GET /account/recovery-codes/new. What it shows is worth nothing until it is kept.
func (a *Account) NewRecoveryCodes(c *gin.Context, v *visit) error {
	if !v.factors.Second() {
		c.Redirect(http.StatusSeeOther, v.at("/recovery-codes"))
		return nil
	}
	made, err := a.people.BeginRecoveryCodes(c.Request.Context(), a.sessions.Browser(c), v.user)
	if err != nil {
		return err
	}
	return a.pages.Render(c, http.StatusOK, "account_new_recovery_codes", web.AccountNewRecoveryCodesPage{
		AccountFrame: a.frame(c, v, "/recovery-codes"), Form: a.form(c, v, "/recovery-codes/keep"),
		NewCodes: web.NewCodes{Codes: made.Codes, Sealed: made.Sealed}, Back: v.at("/recovery-codes"), Replaces: v.factors.RecoveryCodes > 0,
	})
}

// KeepRecoveryCodes serves POST /account/recovery-codes/keep.
func (a *Account) KeepRecoveryCodes(c *gin.Context, v *visit) error {
	err := a.people.KeepRecoveryCodes(c.Request.Context(), a.pages.Visitor(c), a.sessions.Browser(c), v.user, v.form.Get("challenge"))
	if problem := said(err); problem != "" {
		return a.showRecoveryCodes(c, v, http.StatusBadRequest, web.Outcome{Problem: problem})
	}
	if err != nil {
		return err
	}
	a.back(c, v, "/recovery-codes", "codes")
	return nil
}
