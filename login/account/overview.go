package account

import (
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/web"
)

// Overview serves GET /account.
func (a *Account) Overview(c *gin.Context, v *visit) error {
	sessions, err := a.db.SessionsOfUser(c.Request.Context(), v.user.ID, a.sessions.UsedSince(v.org))
	if err != nil {
		return err
	}
	return a.pages.Render(c, http.StatusOK, "account", web.AccountPage{
		AccountFrame: a.frame(c, v, ""),
		Name:         fullName(v.user), Username: v.user.DisplayName(), Email: v.user.Email, Verified: v.user.IsVerified,
		Passkeys: v.factors.Passkeys, Authenticators: v.factors.Authenticators, RecoveryCodes: v.factors.RecoveryCodes,
		Sessions: len(sessions),
	})
}

func fullName(user *storage.User) string {
	if user.FullName == nil {
		return ""
	}
	return *user.FullName
}

// SignOut serves POST /account/sign-out.
func (a *Account) SignOut(c *gin.Context, v *visit) error {
	if err := a.sessions.End(c, ""); err != nil {
		return err
	}
	c.Redirect(http.StatusSeeOther, v.org.BasePath+"/logged-out")
	return nil
}

// stale gives a page that is no longer current the way to one that is.
func stale(err error, again string) error {
	var refusal *web.Error
	if errors.As(err, &refusal) && refusal.Again == "" {
		refusal.Again = again
	}
	return err
}

// zone is where the person's clock is, as far as they have said.
func (v *visit) zone() *time.Location {
	name, _ := v.user.Metadata["zoneinfo"].(string)
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return time.UTC
	}
	return zone
}
