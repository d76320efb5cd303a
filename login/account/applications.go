package account

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/web"
)

// Applications serves GET /account/applications.
func (a *Account) Applications(c *gin.Context, v *visit) error {
	applications, err := a.db.ApplicationsOfUser(c.Request.Context(), v.user.ID)
	if err != nil {
		return err
	}
	page := web.AccountApplicationsPage{
		AccountFrame: a.frame(c, v, "/applications"), Outcome: done(c), Revoke: a.form(c, v, "/applications/revoke"),
	}
	for _, app := range applications {
		shown := web.AccountApplication{ID: app.ClientID, Name: app.Name, Scopes: web.Scopes(app.Scopes), Since: v.moment(app.Since)}
		if !app.LastUsed.IsZero() {
			used := v.moment(app.LastUsed)
			shown.Used = &used
		}
		page.Applications = append(page.Applications, shown)
	}
	return a.pages.Render(c, http.StatusOK, "account_applications", page)
}

// RevokeApplication serves POST /account/applications/revoke.
func (a *Account) RevokeApplication(c *gin.Context, v *visit) error {
	err := a.people.RevokeApplication(c.Request.Context(), a.pages.Visitor(c), v.user.ID, v.form.Get("client_id"))
	if errors.Is(err, storage.ErrNotFound) {
		return errGone(err, v.at("/applications"))
	}
	if err != nil {
		return err
	}
	a.back(c, v, "/applications", "application")
	return nil
}
