package account

import (
	"context"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/people"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/web"
)

// Passkeys serves GET /account/passkeys.
func (a *Account) Passkeys(c *gin.Context, v *visit) error {
	return a.showPasskeys(c, v, http.StatusOK, web.AccountPasskeysPage{Outcome: done(c)})
}

func (a *Account) showPasskeys(c *gin.Context, v *visit, status int, page web.AccountPasskeysPage) error {
	ctx := c.Request.Context()
	keys, err := a.people.Passkeys(ctx, v.user)
	if err != nil {
		return err
	}
	page.AccountFrame = a.frame(c, v, "/passkeys")
	page.Rename, page.Remove = a.form(c, v, "/passkeys/rename"), a.form(c, v, "/passkeys/remove")
	for _, key := range keys {
		shown := v.factor(key.ID.String(), key.Name, key.CreatedAt, key.LastUsedAt)
		shown.Synced, shown.Cloned = key.BackedUp, key.ClonedAt != nil
		page.Passkeys = append(page.Passkeys, shown)
	}
	if people.PasskeysPossible(v.org) {
		asked, err := a.people.BeginPasskey(ctx, a.sessions.Browser(c), v.user)
		if err != nil {
			return err
		}
		page.Add.PostForm, page.Add.Options, page.Add.Sealed, page.Add.Create = a.form(c, v, "/passkeys/add"), asked.Options, asked.Sealed, true
	}
	return a.pages.Render(c, status, "account_passkeys", page)
}

// AddPasskey serves POST /account/passkeys/add.
func (a *Account) AddPasskey(c *gin.Context, v *visit) error {
	f := a.stronger(c)
	err := a.people.AddPasskey(c.Request.Context(), a.pages.Visitor(c), a.sessions.Browser(c), v.user,
		v.form.Get("challenge"), v.form.Get("passkey"), v.form.Get("name"), f.also)
	if problem := said(err); problem != "" {
		return a.showPasskeys(c, v, http.StatusBadRequest, web.AccountPasskeysPage{Add: web.Ceremony{Problem: problem}})
	}
	if err != nil {
		return err
	}
	return a.added(c, v, f, "/passkeys", "passkey")
}

// RenamePasskey serves POST /account/passkeys/rename.
func (a *Account) RenamePasskey(c *gin.Context, v *visit) error {
	id, err := named(v, "passkey", "/passkeys")
	if err != nil {
		return err
	}
	err = a.people.RenamePasskey(c.Request.Context(), a.pages.Visitor(c), v.user, id, v.form.Get("name"))
	return a.changed(c, v, err, "/passkeys", "renamed")
}

// RemovePasskey serves POST /account/passkeys/remove.
func (a *Account) RemovePasskey(c *gin.Context, v *visit) error {
	id, err := named(v, "passkey", "/passkeys")
	if err != nil {
		return err
	}
	return a.changed(c, v, a.people.RemovePasskey(c.Request.Context(), a.pages.Visitor(c), v.user, id), "/passkeys", "factor")
}

// changed is what comes of a change to a factor: the page again, with what is wrong or what was done.
func (a *Account) changed(c *gin.Context, v *visit, err error, path, what string) error {
	if errors.Is(err, storage.ErrNotFound) {
		return errGone(err, v.at(path))
	}
	if problem := said(err); problem != "" {
		if path == "/passkeys" {
			return a.showPasskeys(c, v, http.StatusBadRequest, web.AccountPasskeysPage{Outcome: web.Outcome{Problem: problem}})
		}
		return a.showAuthenticators(c, v, http.StatusBadRequest, web.Outcome{Problem: problem})
	}
	if err != nil {
		return err
	}
	a.back(c, v, path, what)
	return nil
}

// said is what an error says is wrong with a factor, if it says that.
func said(err error) string {
	for _, problem := range people.Problems(err) {
		return problem
	}
	return ""
}

// stronger is what a factor that was just shown makes of the session: it has proven that much more.
type stronger struct {
	also  people.Enrolled
	fresh *web.Fresh
}

func (a *Account) stronger(c *gin.Context) *stronger {
	s := &stronger{}
	s.also = func(ctx context.Context, amr []string) (err error) {
		s.fresh, err = a.sessions.Strengthen(ctx, c, amr...)
		return err
	}
	return s
}

// added goes on after a factor was added: to recovery codes, for whoever has none.
func (a *Account) added(c *gin.Context, v *visit, s *stronger, path, what string) error {
	a.sessions.Deliver(c, s.fresh)
	if v.factors.RecoveryCodes == 0 {
		path = "/recovery-codes"
	}
	a.back(c, v, path, what)
	return nil
}
