package login

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/proof"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/login/upstream"
	"github.com/keizer-auth/keizer/people"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/web"
)

// ParamProvider is the name of a provider in an address.
const ParamProvider = "provider"

const (
	pageProveAddress = "prove_address"
	pathProveAddress = "/login/email"

	purposeFederate     = "federate"
	purposeProveAddress = "prove_address"

	// paramFederated says to the page of a sign-in what came of one elsewhere.
	paramFederated = "federated"
	cameDeclined   = "declined"
	cameUnproven   = "here"
)

// Federate serves POST /login/{provider}: the browser leaves for a provider. It is a form, so that no page of others can send anybody
// there by being looked at.
func (l *Login) Federate(c *gin.Context) error {
	form, err := web.Form(c)
	if err != nil {
		return err
	}
	v, err := l.enterAny(c)
	if err != nil {
		return err
	}
	if err := l.sessions.CheckCSRF(c, form, purposeFederate); err != nil {
		return err
	}
	return l.leave(c, v, c.Param(ParamProvider), form.Get("hint"))
}

func (l *Login) leave(c *gin.Context, v *visit, name, expected string) error {
	_, user, err := l.sessions.Current(c)
	if err != nil {
		return err
	}
	errand := people.Errand{Interaction: v.id, ReturnTo: v.target(), Fresh: v.fresh, Again: user != nil, Hint: expected}
	there, err := l.people.Leave(c.Request.Context(), l.pages.Visitor(c), name, l.sessions.Federation(c), errand)
	if errors.Is(err, storage.ErrNotFound) {
		return &web.Error{Status: http.StatusNotFound, Message: "federate.gone", Cause: err, Again: v.at("/login")}
	}
	if err != nil {
		return web.FederationError(err, v.at("/login"))
	}
	l.sessions.KeepFederation(c, there.Browser, people.FederationLife, there.PostsBack)
	c.Redirect(http.StatusSeeOther, there.Address)
	return nil
}

// CallbackPost serves POST /login/{provider}/callback, to which a form of the provider's leads. It comes from another site, so that the
// browser brings no cookie but the one that is made for it. What it brought is kept, and it comes once more, by itself.
func (l *Login) CallbackPost(c *gin.Context) error {
	form, err := web.Form(c)
	if err != nil {
		return err
	}
	back := l.returned(c, form)
	readAgainHere(c)
	if err := l.people.Keep(c.Request.Context(), back); err != nil {
		return foreignReturn(c, err)
	}
	org, err := tenant.From(c.Request.Context())
	if err != nil {
		return err
	}
	c.Redirect(http.StatusSeeOther, org.BasePath+"/login/"+back.Provider+"/callback?"+url.Values{"state": {back.State}}.Encode())
	return nil
}

// returned is what a browser brings from a provider. Where something comes twice nobody can tell which of it was meant (RFC 6749 §3.1).
func (l *Login) returned(c *gin.Context, brought url.Values) people.Return {
	back := people.Return{
		Provider: c.Param(ParamProvider), State: brought.Get("state"), Browser: l.sessions.Federation(c),
		Answer: upstream.Answer{
			Code: brought.Get("code"), Error: brought.Get("error"), Iss: brought.Get("iss"), HasIss: brought.Has("iss"), User: brought.Get("user"),
		},
	}
	for _, name := range []string{"state", "code", "error", "iss", "user"} {
		if len(brought[name]) > 1 {
			back.State = "" // which is nobody's
		}
	}
	return back
}

// readAgainHere has the pages about a return read in another language at the page of a sign-in.
func readAgainHere(c *gin.Context) {
	if org, err := tenant.From(c.Request.Context()); err == nil {
		web.ReadAgainAt(c, org.BasePath+"/login")
	}
}

// foreignReturn makes a page of a return that is not the browser's own (S-232).
func foreignReturn(c *gin.Context, err error) error {
	if !errors.Is(err, people.ErrForeignReturn) {
		return err
	}
	again := ""
	if org, err := tenant.From(c.Request.Context()); err == nil {
		again = org.BasePath + "/login"
	}
	return &web.Error{Status: http.StatusBadRequest, Message: "federate.foreign", Cause: err, Again: again}
}

// Callback serves GET /login/{provider}/callback.
func (l *Login) Callback(c *gin.Context) error {
	_, user, err := l.sessions.Current(c)
	if err != nil {
		return err
	}
	back := l.returned(c, c.Request.URL.Query())
	if user != nil {
		back.User = &user.ID
	}
	readAgainHere(c)
	a, err := l.people.ComeBack(c.Request.Context(), l.pages.Visitor(c), back)
	if a == nil {
		return foreignReturn(c, err)
	}
	v, enterErr := l.errand(c, a.Errand)
	if enterErr != nil {
		return enterErr
	}
	web.ReadAgainAt(c, v.at("/login"))
	v.provider = a.Provider
	if err != nil {
		return l.notLetIn(c, v, a, err)
	}
	switch a.Outcome {
	case people.Linked:
		c.Redirect(http.StatusSeeOther, v.org.BasePath+"/account/linked?done=linked")
		return nil
	case people.SignInFirst:
		c.Redirect(http.StatusSeeOther, v.at("/login"))
		return nil
	case people.ProveAddress:
		c.Redirect(http.StatusSeeOther, v.org.BasePath+pathProveAddress)
		return nil
	}
	err = l.proven(c, v, a.User, []string{proof.Federated}, nil)
	if errors.Is(err, errSwitchedOff) {
		err = l.notLetIn(c, v, a, people.ErrRefused)
	}
	return err
}

// errand is the visit that a browser was on before it left.
func (l *Login) errand(c *gin.Context, e people.Errand) (*visit, error) {
	v, err := l.passing(c, e.Interaction)
	if err == nil && v.interaction == nil {
		v.returnTo, v.fresh = e.ReturnTo, e.Fresh
	}
	return v, err
}

// notLetIn makes a page of somebody who has come back, and does not come in.
func (l *Login) notLetIn(c *gin.Context, v *visit, a *people.Arrival, err error) error {
	again := v.at("/login")
	if a.Link != nil {
		again = v.org.BasePath + "/account/linked"
	}
	refused := func(status int, message string) error {
		return &web.Error{Status: status, Code: accessDenied, Message: message, Cause: err, Again: again}
	}
	switch {
	case errors.Is(err, people.ErrForeignReturn):
		return foreignReturn(c, err)
	case errors.Is(err, people.ErrDeclined) && a.Link != nil:
		c.Redirect(http.StatusSeeOther, again)
		return nil
	case errors.Is(err, people.ErrDeclined):
		c.Redirect(http.StatusSeeOther, again+"&"+url.Values{paramFederated: {cameDeclined}}.Encode())
		return nil
	case errors.Is(err, people.ErrProveHere):
		c.Redirect(http.StatusSeeOther, again+"&"+url.Values{paramFederated: {cameUnproven}}.Encode())
		return nil
	case errors.Is(err, people.ErrRefused):
		return refused(http.StatusForbidden, "federate.switched_off")
	case errors.Is(err, people.ErrSignUpClosed):
		return refused(http.StatusForbidden, "federate.no_account")
	case errors.Is(err, people.ErrNotLetIn):
		return refused(http.StatusForbidden, "federate.domain")
	case errors.Is(err, people.ErrLinkedElsewhere):
		return refused(http.StatusConflict, "federate.linked_elsewhere")
	}
	return web.FederationError(err, again)
}

// ProveAddress serves GET /login/email: of somebody whom a provider vouches for, and whose address it does not.
func (l *Login) ProveAddress(c *gin.Context) error {
	waiting, err := l.people.Held(c.Request.Context(), l.sessions.Federation(c))
	if err != nil {
		return foreignReturn(c, err)
	}
	return l.showProveAddress(c, http.StatusOK, waiting, waiting.Email, "")
}

func (l *Login) showProveAddress(c *gin.Context, status int, waiting *people.HeldIdentity, email, problem string) error {
	v, err := l.errand(c, waiting.Errand)
	if err != nil {
		return err
	}
	return l.pages.Render(c, status, pageProveAddress, web.ProveAddressPage{
		PostForm: web.PostForm{Action: v.org.BasePath + pathProveAddress, CSRF: l.sessions.CSRF(c, purposeProveAddress)},
		App:      v.app(), Provider: waiting.Title, Email: email, Problem: problem, SignIn: v.at("/login"),
	})
}

// ProveAddressPost serves POST /login/email. Its answer is the same whether or not the address has an account.
func (l *Login) ProveAddressPost(c *gin.Context) error {
	form, err := web.Form(c)
	if err != nil {
		return err
	}
	if err := l.sessions.CheckCSRF(c, form, purposeProveAddress); err != nil {
		return err
	}
	ctx, browser, email := c.Request.Context(), l.sessions.Federation(c), form.Get("email")
	waiting, err := l.people.Held(ctx, browser)
	if err != nil {
		return foreignReturn(c, err)
	}
	signUp, err := l.people.ProveHeld(ctx, l.pages.Visitor(c), browser, email)
	if wrong := people.Problems(err); wrong != nil {
		return l.showProveAddress(c, http.StatusBadRequest, waiting, email, wrong[people.FieldEmail])
	}
	if errors.Is(err, people.ErrSignUpClosed) {
		return signUpClosed(err)
	}
	if err != nil {
		return foreignReturn(c, err)
	}
	l.sessions.KeepSignUp(c, signUp, people.PendingLife)
	org, err := tenant.From(ctx)
	if err != nil {
		return err
	}
	c.Redirect(http.StatusSeeOther, org.BasePath+pathVerify)
	return nil
}

// offerProviders puts on the page of a sign-in where else one can sign in, and what came of it.
func (l *Login) offerProviders(c *gin.Context, v *visit, user *storage.User, page *web.SignInPage) error {
	ctx := c.Request.Context()
	all, err := l.people.Providers(ctx)
	if err != nil {
		return err
	}
	switch c.Query(paramFederated) {
	case cameDeclined:
		page.Notice.Text = "federate.declined"
	case cameUnproven:
		page.Notice.Text = "federate.prove_here"
	}
	waiting, err := l.people.LinkWaiting(ctx, l.sessions.Federation(c))
	if err != nil && !errors.Is(err, people.ErrForeignReturn) {
		return err
	}
	if waiting != nil {
		page.Notice = web.FederatedNotice{Text: "federate.sign_in_first", Provider: waiting.Title, Email: waiting.Email}
		if page.Username == "" {
			page.Username = waiting.Email
		}
	}
	home := people.HomeOf(all, page.Username)
	if user != nil {
		if all, err = l.people.ProvidersOf(ctx, user, all); err != nil {
			return err
		}
	}
	csrf := l.sessions.CSRF(c, purposeFederate)
	for _, provider := range all {
		button := web.ProviderButton{PostForm: web.PostForm{Action: v.at("/login/" + provider.Name), CSRF: csrf}, Name: provider.Name, Title: provider.Title}
		switch {
		case waiting != nil && provider.Name == waiting.Provider: // they are on the way from there
		case home != nil && provider.Name == home.Name:
			button.Hint = page.Username
			page.Providers = slices.Insert(page.Providers, 0, button)
		case !provider.Hidden || page.NoPassword || user != nil:
			page.Providers = append(page.Providers, button)
		}
	}
	return nil
}

// goHome sends somebody who has typed an address where people of its mail domain sign in, and reports whether it has. Whether there is
// such a person makes no difference, and no password is looked at.
func (l *Login) goHome(c *gin.Context, v *visit, name string) (gone bool, err error) {
	all, err := l.people.Providers(c.Request.Context())
	if err != nil {
		return false, err
	}
	home := people.HomeOf(all, name)
	if home == nil {
		return false, nil
	}
	if _, err := l.people.LinkWaiting(c.Request.Context(), l.sessions.Federation(c)); !errors.Is(err, people.ErrForeignReturn) {
		return false, err // they come from there, and are to prove whose account it is
	}
	return true, l.leave(c, v, home.Name, name)
}
