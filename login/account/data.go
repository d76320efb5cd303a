package account

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/web"
)

// Data serves GET /account/data.
func (a *Account) Data(c *gin.Context, v *visit) error {
	return a.showData(c, v, http.StatusOK, web.Outcome{})
}

func (a *Account) showData(c *gin.Context, v *visit, status int, outcome web.Outcome) error {
	last, err := a.people.LastOwner(c.Request.Context(), v.user.ID)
	if err != nil {
		return err
	}
	return a.pages.Render(c, status, "account_data", web.AccountDataPage{
		AccountFrame: a.frame(c, v, "/data"), Outcome: outcome, Export: a.form(c, v, "/data/export"), Delete: a.form(c, v, "/data/delete"),
		Called: v.user.DisplayName(), Last: last,
	})
}

// Export serves POST /account/data/export: a file.
func (a *Account) Export(c *gin.Context, v *visit) error {
	made, err := a.people.Export(c.Request.Context(), a.pages.Visitor(c), v.user.ID, a.sessions.UsedSince(v.org))
	if err != nil {
		return err
	}
	file, err := json.MarshalIndent(made, "", "  ")
	if err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	header := c.Writer.Header()
	header.Set("Content-Disposition", `attachment; filename="account.json"`)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	c.Data(http.StatusOK, "application/json; charset=utf-8", append(file, '\n'))
	return nil
}

// Delete serves POST /account/data/delete.
func (a *Account) Delete(c *gin.Context, v *visit) error {
	err := a.people.DeleteAccount(c.Request.Context(), a.pages.Visitor(c), v.user.ID, v.form.Get("confirm"))
	if outcome, ok := wrong(err); ok {
		return a.showData(c, v, http.StatusBadRequest, outcome)
	}
	if err != nil {
		return err
	}
	// The session went with its person; what is left is the cookie.
	return a.SignOut(c, v)
}
