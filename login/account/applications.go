package account

import (
	"context"
	"errors"
	"net/http"
	"slices"

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
	described, err := a.described(c.Request.Context(), applications)
	if err != nil {
		return err
	}
	for _, app := range applications {
		shown := web.AccountApplication{
			ID: app.ClientID, Name: app.Name, Scopes: web.Scopes(app.Scopes, described), Since: v.moment(app.Since),
			Open: storage.LoginInitiation(app.InitiateLoginURI, v.org.Issuer),
		}
		if !app.LastUsed.IsZero() {
			used := v.moment(app.LastUsed)
			shown.Used = &used
		}
		page.Applications = append(page.Applications, shown)
	}
	return a.pages.Render(c, http.StatusOK, "account_applications", page)
}

// described are the scopes of applications as the organization describes them, as far as pages have no words for them.
func (a *Account) described(ctx context.Context, applications []storage.Application) (scopes []web.APIScope, err error) {
	var names []string
	for _, app := range applications {
		names = append(names, slices.DeleteFunc(slices.Clone(app.Scopes), web.Described)...)
	}
	if len(names) == 0 {
		return nil, nil
	}
	rows, err := a.db.ScopesNamed(ctx, names)
	for _, row := range rows {
		scopes = append(scopes, web.APIScope{API: row.API, Name: row.Name, Description: row.Description})
	}
	return scopes, err
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
