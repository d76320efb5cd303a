package login

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/people"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/web"
)

const (
	pageFactor = "factor"
	pathFactor = "/login/factor"
	// purposeFactor binds the forms of the page.
	purposeFactor = "factor"
	// paramWay names the factor that a page is about.
	paramWay = "way"
	// actionSend asks for a code by mail.
	actionSend = "send"
	// actionCancel gives up.
	actionCancel = "cancel"
	// unmetRequirements is the answer to an application whose request is not satisfied with less than was given (OpenID Connect Core
	// Error Code unmet_authentication_requirements 1.0).
	unmetRequirements = "unmet_authentication_requirements"
)

// Factor serves GET /login/factor: one of the factors that a person has besides the first.
func (l *Login) Factor(c *gin.Context) error {
	v, err := l.enterAny(c)
	if err != nil {
		return err
	}
	h, err := l.halfway(c, v)
	if err != nil || h == nil {
		return err
	}
	if h.due != people.Factor {
		c.Redirect(http.StatusSeeOther, h.at(pathEnroll))
		return nil
	}
	return l.showFactor(c, h, http.StatusOK, web.FactorPage{Way: c.Query(paramWay), Again: c.Query(paramDone) == actionSend})
}

// ways are the factors that can be asked for here, the one that is best first.
func (h *halfway) ways() (ways []string) {
	if h.factors.Passkeys > 0 && people.PasskeysPossible(h.org) {
		ways = append(ways, people.ByPasskey)
	}
	if h.factors.Authenticators > 0 {
		ways = append(ways, people.ByAuthenticator)
	}
	if h.factors.Email {
		ways = append(ways, people.ByEmail)
	}
	if h.factors.RecoveryCodes > 0 {
		ways = append(ways, people.ByRecoveryCode)
	}
	return ways
}

func (l *Login) showFactor(c *gin.Context, h *halfway, status int, page web.FactorPage) error {
	ctx, ways := c.Request.Context(), h.ways()
	if len(ways) == 0 {
		return &web.Error{Status: http.StatusForbidden, Code: accessDenied, Message: "factor.none"}
	}
	if !slices.Contains(ways, page.Way) {
		page.Way = ways[0]
	}
	page.PostForm = web.PostForm{Action: h.at(pathFactor), CSRF: l.sessions.CSRF(c, purposeFactor)}
	page.App, page.Account = h.app(), h.user.DisplayName()
	page.Cancel = h.interaction != nil || h.signIn != nil
	for _, way := range ways {
		if way != page.Way {
			page.Ways = append(page.Ways, web.FactorWay{Way: way, Address: h.at(pathFactor) + "&" + url.Values{paramWay: {way}}.Encode()})
		}
	}
	if page.Way != people.ByRecoveryCode {
		page.Remember, page.RememberCount = remembered(h.trust())
	}
	switch page.Way {
	case people.ByPasskey:
		asked, err := l.people.BeginPasskeyFactor(ctx, l.sessions.Browser(c), h.user)
		if err != nil {
			return err
		}
		page.Passkey.PostForm, page.Passkey.Options, page.Passkey.Sealed = page.PostForm, asked.Options, asked.Sealed
	case people.ByEmail:
		var err error
		if page.Sent, err = l.people.EmailCodeSent(ctx, h.user); err != nil {
			return err
		}
		page.Email = masked(h.user.Email)
	}
	return l.pages.Render(c, status, pageFactor, page)
}

// trust is for how long the organization lets a browser leave out the second factor.
func (h *halfway) trust() time.Duration { return time.Duration(h.org.Decided().SecondFactor.Remember) }

// remembered is how a page says for how long that is: the id of a text, and a number.
func remembered(trust time.Duration) (text, count string) {
	const day = 24 * time.Hour
	switch {
	case trust <= 0:
		return "", ""
	case trust%day == 0:
		return "factor.remember_days", strconv.Itoa(int(trust / day))
	case trust >= time.Hour:
		return "factor.remember_hours", strconv.Itoa(int(trust / time.Hour))
	}
	return "factor.remember_minutes", strconv.Itoa(max(1, int(trust/time.Minute)))
}

// masked is an address that its owner recognises and nobody else learns from.
func masked(address string) string {
	local, domain, ok := strings.Cut(address, "@")
	if !ok {
		return "…"
	}
	_, size := utf8.DecodeRuneInString(local)
	return local[:size] + "…@" + domain
}

// FactorPost serves POST /login/factor.
func (l *Login) FactorPost(c *gin.Context) error {
	form, err := web.Form(c)
	if err != nil {
		return err
	}
	v, err := l.enterAny(c)
	if err != nil {
		return err
	}
	if err := l.sessions.CheckCSRF(c, form, purposeFactor); err != nil {
		return err
	}
	h, err := l.halfway(c, v)
	if err != nil || h == nil {
		return err
	}
	way := form.Get(paramWay)
	switch action := form.Get(paramAction); {
	case action == actionCancel:
		return l.giveUp(c, h)
	case h.due != people.Factor:
		c.Redirect(http.StatusSeeOther, h.at(pathEnroll))
		return nil
	case action == actionSend && h.factors.Email:
		return l.sendCode(c, h)
	case action == actionPasskey:
		way = people.ByPasskey
	}
	given, err := l.tryFactor(c, h, way, form)
	if err == nil {
		f := &finish{login: l, c: c, h: h}
		if form.Get("remember") == "yes" && way != people.ByRecoveryCode {
			f.trust = h.trust()
		}
		err = l.db.InTx(c.Request.Context(), func(ctx context.Context) error { return f.do(ctx, given.AMR, given.Take) })
		if err == nil {
			f.deliver()
			h.onward(c)
			return nil
		}
	}
	if errors.Is(err, errGoneHalfway) || errors.Is(err, errSwitchedOff) {
		return h.errHalfway(err)
	}
	if problem := factorProblem(err); problem != "" {
		return l.showFactor(c, h, http.StatusUnauthorized, web.FactorPage{Way: way, Problem: problem})
	}
	return err
}

// tryFactor looks at what the form brings of a factor. What the person does not have to offer is as good as a wrong code.
func (l *Login) tryFactor(c *gin.Context, h *halfway, way string, form url.Values) (*people.Given, error) {
	ctx, who := c.Request.Context(), l.pages.Visitor(c)
	if way == people.ByPasskey {
		return l.people.TryPasskeyFactor(ctx, who, l.sessions.Browser(c), h.user, h.name(), form.Get("challenge"), form.Get("passkey"))
	}
	return l.people.TryCode(ctx, who, h.user, h.name(), way, form.Get("code"))
}

// sendCode sends a code by mail.
func (l *Login) sendCode(c *gin.Context, h *halfway) error {
	if err := l.people.SendEmailCode(c.Request.Context(), l.pages.Visitor(c), h.user); err != nil {
		return err
	}
	query := url.Values{paramWay: {people.ByEmail}, paramDone: {actionSend}}
	c.Redirect(http.StatusSeeOther, h.at(pathFactor)+"&"+query.Encode())
	return nil
}

// factorProblem is what an error says is wrong with a factor that was given, if it says that: nothing for any other.
func factorProblem(err error) string {
	for _, problem := range people.Problems(err) {
		return problem
	}
	if errors.Is(err, storage.ErrSpent) {
		return "factor.stale" // somebody was faster with it
	}
	return ""
}
