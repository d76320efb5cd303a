package account

import (
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"
	"golang.org/x/text/language/display"

	"github.com/keizer-auth/keizer/people"
	"github.com/keizer-auth/keizer/web"
)

// Profile serves GET /account/profile.
func (a *Account) Profile(c *gin.Context, v *visit) error {
	told := people.ProfileOf(v.user)
	values := map[string]string{"name": told.FullName, "username": told.Username}
	for name, text := range told.Claims {
		values[name] = text
	}
	for name, text := range told.Address {
		values[name] = text
	}
	return a.showProfile(c, v, http.StatusOK, web.AccountProfilePage{Values: values, Outcome: done(c)})
}

func (a *Account) showProfile(c *gin.Context, v *visit, status int, page web.AccountProfilePage) error {
	page.AccountFrame, page.Form = a.frame(c, v, "/profile"), a.form(c, v, "/profile")
	page.Needed = make(map[string]bool)
	for field, ask := range v.org.Decided().SignUp.Fields {
		page.Needed[field] = ask == "required"
	}
	page.Languages = a.languages(page.Values["locale"])
	return a.pages.Render(c, status, "account_profile", page)
}

// languages are those that there are texts in, each by its own name, and whatever else stands there already.
func (a *Account) languages(chosen string) []web.Option {
	var options []web.Option
	known := chosen == ""
	for _, tag := range a.pages.Languages() {
		options = append(options, web.Option{Value: tag.String(), Text: display.Self.Name(tag), Chosen: tag.String() == chosen})
		known = known || tag.String() == chosen
	}
	if !known {
		options = append(options, web.Option{Value: chosen, Text: chosen, Chosen: true})
	}
	return options
}

// ProfilePost serves POST /account/profile.
func (a *Account) ProfilePost(c *gin.Context, v *visit) error {
	wanted, values := entered(v.form)
	err := a.people.ChangeProfile(c.Request.Context(), a.pages.Visitor(c), v.user.ID, wanted)
	if outcome, ok := wrong(err); ok {
		if outcome.Problem == "" {
			outcome.Problem = "account.profile.problem"
		}
		return a.showProfile(c, v, http.StatusBadRequest, web.AccountProfilePage{Outcome: outcome, Values: values})
	}
	if err != nil {
		return err
	}
	a.back(c, v, "/profile", "profile")
	return nil
}

// entered is what a form holds: as a profile, and as it was typed.
func entered(form url.Values) (people.Profile, map[string]string) {
	wanted := people.Profile{
		Username: form.Get("username"), FullName: form.Get("name"), Claims: make(map[string]string), Address: make(map[string]string),
	}
	claims, address := people.ProfileFields()
	values := map[string]string{"username": wanted.Username, "name": wanted.FullName}
	for _, name := range claims {
		wanted.Claims[name] = form.Get(name)
		values[name] = form.Get(name)
	}
	for _, name := range address {
		wanted.Address[name] = form.Get(name)
		values[name] = form.Get(name)
	}
	return wanted, values
}

// wrong is what an error says is wrong with a form, if it is about one.
func wrong(err error) (web.Outcome, bool) {
	problems := people.Problems(err)
	if len(problems) == 0 {
		return web.Outcome{}, false
	}
	outcome := web.Outcome{Problem: problems[""], Problems: problems}
	delete(problems, "")
	return outcome, true
}

// outcomes are what a page says was done a moment ago, by what stands in its address. Nothing else that stands there is said.
var outcomes = map[string]string{
	"profile":      "account.done.profile",
	"verification": "account.done.verification",
	"email":        "account.done.email",
	"password":     "account.done.password",
	"session":      "account.done.session",
	"sessions":     "account.done.sessions",
	"device":       "account.done.device",
	"application":  "account.done.application",
	"passkey":      "account.done.passkey",
	"app":          "account.done.app",
	"renamed":      "account.done.renamed",
	"factor":       "account.done.factor",
	"codes":        "account.done.codes",
	"linked":       "account.done.linked",
	"unlinked":     "account.done.unlinked",
}

// done is what the address of a page says was done.
func done(c *gin.Context) web.Outcome { return web.Outcome{Done: outcomes[c.Query("done")]} }

// back sends the browser to a page that says what was done.
func (a *Account) back(c *gin.Context, v *visit, path, what string) {
	c.Redirect(http.StatusSeeOther, v.at(path)+"?"+url.Values{"done": {what}}.Encode())
}

// errGone is a page about something that is not there, or somebody else's: which is not told.
func errGone(err error, again string) error {
	return &web.Error{Status: http.StatusNotFound, Message: "account.gone", Cause: err, Again: again}
}
