package account

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/profile"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/web"
)

// Overview serves GET /account.
func (a *Account) Overview(c *gin.Context, v *visit) error {
	sessions, err := a.db.SessionsOfUser(c.Request.Context(), v.user.ID, a.sessions.UsedSince(v.org))
	if err != nil {
		return err
	}
	way := func(path, id, title, text, do string, count int) web.AccountWay {
		return web.AccountWay{ID: id, Address: v.at(path), Title: title, Text: text, Go: do, Count: strconv.Itoa(count)}
	}
	const manage, look = "account.manage", "account.look"
	return a.pages.Render(c, http.StatusOK, "account", web.AccountPage{
		AccountFrame: a.frame(c, v, ""), Outcome: done(c), Verify: a.form(c, v, "/email/verify"),
		Name: fullName(v.user), Username: v.user.DisplayName(), Email: v.user.Email, Verified: v.user.IsVerified,
		Passkeys: v.factors.Passkeys, Authenticators: v.factors.Authenticators, RecoveryCodes: v.factors.RecoveryCodes,
		Ways: []web.AccountWay{
			way("/password", "account-password", "account.nav.password", "account.state.password", manage, 0),
			way("/passkeys", "account-way-passkeys", "account.nav.passkeys", "account.state.passkeys", manage, v.factors.Passkeys),
			way("/authenticator", "account-way-authenticator", "account.nav.authenticator", "account.state.authenticator", manage, v.factors.Authenticators),
			way("/recovery-codes", "account-way-recovery-codes", "account.nav.recovery_codes", "account.state.recovery_codes", manage, v.factors.RecoveryCodes),
			way(pathLinked, "account-linked", "account.nav.linked", "account.state.linked", manage, 0),
			way("/sessions", "account-sessions", "account.nav.sessions", "account.sessions.count", manage, len(sessions)),
			way("/applications", "account-applications", "account.nav.applications", "account.state.applications", manage, 0),
			way("/activity", "account-activity", "account.nav.activity", "account.state.activity", look, 0),
			way("/data", "account-data", "account.nav.data", "account.state.data", manage, 0),
		},
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
	frames, err := a.sessions.End(c, "")
	if err != nil {
		return err
	}
	address, err := a.sessions.LoggedOutAddress(v.org, frames, "")
	if err != nil {
		return err
	}
	c.Redirect(http.StatusSeeOther, address)
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

// moment is a time by the clock of where the person is, as far as they have said.
func (v *visit) moment(at time.Time) web.Moment {
	name, _ := v.user.Metadata["zoneinfo"].(string)
	zone, ok := profile.Zone(name)
	if !ok {
		zone = time.UTC
	}
	return web.Moment{At: at, Zone: zone}
}
