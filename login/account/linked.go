package account

import (
	"errors"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/login/upstream"
	"github.com/keizer-auth/keizer/people"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/web"
)

const pathLinked = "/linked"

// Linked serves GET /account/linked.
func (a *Account) Linked(c *gin.Context, v *visit) error {
	return a.showLinked(c, v, http.StatusOK, done(c))
}

func (a *Account) showLinked(c *gin.Context, v *visit, status int, outcome web.Outcome) error {
	ctx := c.Request.Context()
	accounts, err := a.people.LinkedAccounts(ctx, v.user.ID)
	if err != nil {
		return err
	}
	all, err := a.people.Providers(ctx)
	if err != nil {
		return err
	}
	page := web.AccountLinkedPage{AccountFrame: a.frame(c, v, pathLinked), Outcome: outcome, Remove: a.form(c, v, "/linked/remove")}
	known := make([]string, len(accounts))
	for i, account := range accounts {
		known[i] = account.Provider
		shown := web.AccountLinked{ID: account.ID.String(), Provider: account.Provider, Label: account.Label, Since: v.moment(account.CreatedAt), Off: true}
		if decided, err := upstream.Parse(account.Settings); err == nil && decided.Title != "" {
			shown.Provider = decided.Title
		}
		if i := slices.IndexFunc(all, func(p people.Provider) bool { return p.Name == account.Provider }); i >= 0 {
			shown.Provider, shown.Off = all[i].Title, false
		}
		if account.LastUsedAt != nil {
			used := v.moment(*account.LastUsedAt)
			shown.Used = &used
		}
		page.Linked = append(page.Linked, shown)
	}
	for _, provider := range all {
		if !slices.Contains(known, provider.Name) {
			page.Connect = append(page.Connect, web.ProviderButton{PostForm: a.form(c, v, "/linked/connect"), Name: provider.Name, Title: provider.Title})
		}
	}
	return a.pages.Render(c, status, "account_linked", page)
}

// Connect serves POST /account/linked/connect: the browser leaves for a provider, and whoever it says they are belongs to this person
// when it is back.
func (a *Account) Connect(c *gin.Context, v *visit) error {
	errand := people.Errand{ReturnTo: Path + pathLinked, Link: &v.user.ID}
	there, err := a.people.Leave(c.Request.Context(), a.pages.Visitor(c), v.form.Get("provider"), a.sessions.Federation(c), errand)
	if errors.Is(err, storage.ErrNotFound) {
		return errGone(err, v.at(pathLinked))
	}
	if err != nil {
		return web.FederationError(err, v.at(pathLinked))
	}
	a.sessions.KeepFederation(c, there.Browser, people.FederationLife, there.PostsBack)
	c.Redirect(http.StatusSeeOther, there.Address)
	return nil
}

// Unlink serves POST /account/linked/remove. The last way to sign in stays.
func (a *Account) Unlink(c *gin.Context, v *visit) error {
	id, err := storage.ParseID(v.form.Get("account"))
	if err != nil {
		return errGone(err, v.at(pathLinked))
	}
	err = a.people.Unlink(c.Request.Context(), a.pages.Visitor(c), v.user.ID, id)
	if wrong := people.Problems(err); wrong != nil {
		return a.showLinked(c, v, http.StatusConflict, web.Outcome{Problem: wrong["account"]})
	}
	if errors.Is(err, storage.ErrNotFound) {
		return errGone(err, v.at(pathLinked))
	}
	if err != nil {
		return err
	}
	a.back(c, v, pathLinked, "unlinked")
	return nil
}
