package login

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/web"
)

const (
	pageSelect = "select"
	pathSelect = "/login/select"
	// purposeSelect binds the form of the page.
	purposeSelect = "select"
	// paramAccount names the session of the account that is chosen.
	paramAccount = "account"
	// What else can be done there.
	actionAnother = "another"
	actionSignOut = "sign_out"
)

// Select serves GET /login/select: the accounts that this browser is signed in to, and no others.
func (l *Login) Select(c *gin.Context) error {
	v, err := l.enterAny(c)
	if err != nil {
		return err
	}
	return l.showSelect(c, v, http.StatusOK, "")
}

func (l *Login) showSelect(c *gin.Context, v *visit, status int, problem string) error {
	session, user, err := l.sessions.Current(c)
	if err != nil {
		return err
	}
	accounts, err := l.sessions.Others(c)
	if err != nil {
		return err
	}
	if session != nil {
		accounts = slices.Insert(accounts, 0, web.Account{Session: session, User: user})
	}
	if len(accounts) == 0 {
		c.Redirect(http.StatusSeeOther, v.at("/login"))
		return nil
	}
	page := web.SelectPage{
		PostForm: web.PostForm{Action: v.at(pathSelect), CSRF: l.sessions.CSRF(c, purposeSelect)},
		App:      v.app(), Cancel: v.interaction != nil, SignOut: v.interaction == nil, Problem: problem,
	}
	for _, account := range accounts {
		choice := web.AccountChoice{
			Session: account.Session.ID.String(), Name: account.User.DisplayName(), Current: session != nil && account.Session.ID == session.ID,
		}
		if account.User.Email != choice.Name {
			choice.Email = account.User.Email
		}
		page.Accounts = append(page.Accounts, choice)
	}
	return l.pages.Render(c, status, pageSelect, page)
}

// SelectPost serves POST /login/select.
func (l *Login) SelectPost(c *gin.Context) error {
	form, err := web.Form(c)
	if err != nil {
		return err
	}
	v, err := l.enterAny(c)
	if err != nil {
		return err
	}
	if err := l.sessions.CheckCSRF(c, form, purposeSelect); err != nil {
		return err
	}
	switch form.Get(paramAction) {
	case "cancel":
		if v.interaction == nil {
			v.onward(c)
			return nil
		}
		return l.refuse(c, v, web.Event(c, web.Anonymous, "user.sign_in_cancelled", "", map[string]any{"client_id": v.client.ClientID}))
	case actionAnother:
		if err := l.sessions.SetAside(c); err != nil {
			return err
		}
		c.Redirect(http.StatusSeeOther, v.at("/login"))
		return nil
	case actionSignOut:
		frames, err := l.sessions.EndAll(c, "")
		if err != nil {
			return err
		}
		address, err := l.sessions.LoggedOutAddress(v.org, frames, "")
		if err != nil {
			return err
		}
		c.Redirect(http.StatusSeeOther, address)
		return nil
	}
	return l.choose(c, v, form.Get(paramAccount))
}

// choose goes on with one of the accounts of the browser.
func (l *Login) choose(c *gin.Context, v *visit, named string) error {
	id, err := storage.ParseID(named)
	if err != nil {
		return l.showSelect(c, v, http.StatusBadRequest, "select.none")
	}
	var chosen *web.Fresh
	err = l.db.InTx(c.Request.Context(), func(ctx context.Context) (err error) {
		if chosen, err = l.sessions.Choose(ctx, c, id); err != nil {
			return err
		}
		if v.interaction == nil {
			return nil
		}
		return tooLate(l.db.InteractionSelected(ctx, v.interaction.Digest, id, time.Now().UTC()))
	})
	var page *web.Error
	switch {
	case errors.As(err, &page):
		return err
	case errors.Is(err, storage.ErrNotFound):
		return l.showSelect(c, v, http.StatusNotFound, "select.gone")
	case err != nil:
		return err
	}
	l.sessions.Deliver(c, chosen)
	v.onward(c)
	return nil
}

// mayChoose reports whether there is an account to choose in place of signing in.
func (l *Login) mayChoose(c *gin.Context, v *visit, user *storage.User) (bool, error) {
	others, err := l.sessions.Others(c)
	return len(others) > 0 || user != nil && v.interaction != nil, err
}
