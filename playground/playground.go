package playground

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/relyingparty"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/web"
)

// ClientID is what the playground is registered as: a public client, so that nothing about it is a secret.
const ClientID = manage.DemoClient

// Where the playground stands.
const (
	HomePath     = "/playground"
	StartPath    = HomePath + "/start"
	CallbackPath = HomePath + "/callback"
	RefreshPath  = HomePath + "/refresh"
	RevokePath   = HomePath + "/revoke"
	SignOutPath  = HomePath + "/logout"
)

const (
	cookieName = "keizer_playground"
	mostForm   = 64 << 10 // bytes
)

// Deps is what the playground needs of the server that it stands in: hardly more than its address.
type Deps struct {
	Base  string // the issuer it signs in at, without a trailing slash
	Pages *web.Pages
	Log   *slog.Logger
	HTTP  *http.Client // for its requests to Base; nil for a client of its own
	// Introspect says what the server knows of a token, which no public client can ask; nil leaves it out.
	Introspect func(ctx context.Context, token string) (map[string]any, error)
}

// Playground answers under /playground. Its handlers return an error only when the page itself could not be made; what
// goes wrong in a run is what the page is there to show.
type Playground struct {
	deps   Deps
	runs   runs
	page   *template.Template
	sheet  sheet
	assets assets
	csrf   [32]byte // binds each form to the browser's cookie; it lives as long as the runs do
	host   string   // the name in the base address, without a port
	secure bool
}

// New prepares the playground; its template and style sheet are checked here.
func New(deps Deps) (*Playground, error) {
	base, err := url.Parse(deps.Base)
	if err != nil || base.Host == "" || strings.HasSuffix(deps.Base, "/") {
		return nil, fmt.Errorf("playground: %q is no base address", deps.Base)
	}
	p := &Playground{deps: deps, runs: runs{held: make(map[string]*heldRun)}, host: base.Hostname(), secure: base.Scheme == "https"}
	rand.Read(p.csrf[:]) // never fails: crypto/rand ends the process instead
	if p.page, err = template.New("playground.html").ParseFS(templates, "templates/playground.html"); err != nil {
		return nil, fmt.Errorf("playground: %w", err)
	}
	if p.sheet, err = readSheet(); err != nil {
		return nil, fmt.Errorf("playground: %w", err)
	}
	if p.assets, err = readAssets(deps.Pages, p.sheet); err != nil {
		return nil, fmt.Errorf("playground: %w", err)
	}
	return p, nil
}

// Mount puts the handlers into a group at HomePath. The callback alone may come from elsewhere: response_mode=form_post is a
// form of the server's, and the state says whether it is meant for this browser.
func (p *Playground) Mount(group *gin.RouterGroup, page func(func(*gin.Context) error) gin.HandlerFunc) {
	at := func(path string) string { return strings.TrimPrefix(path, HomePath) }
	sameOrigin := p.deps.Pages.SameOrigin()
	group.GET("", page(p.Home))
	group.POST(at(StartPath), sameOrigin, page(p.Start))
	group.GET(at(CallbackPath), page(p.Callback))
	group.POST(at(CallbackPath), page(p.Callback))
	group.POST(at(RefreshPath), sameOrigin, page(p.Refresh))
	group.POST(at(RevokePath), sameOrigin, page(p.Revoke))
	group.POST(at(SignOutPath), sameOrigin, page(p.SignOut))
	group.GET(at(sheetPath), page(p.Sheet))
}

// Home serves GET /playground: the form, and whatever the browser's run has come to.
func (p *Playground) Home(c *gin.Context) error {
	if asked := (&url.URL{Host: c.Request.Host}).Hostname(); !strings.EqualFold(asked, p.host) {
		// The machine has other names, as 127.0.0.1, and each is another site to a browser: a form from there could not lead to
		// the authorization endpoint, nor would the answer find the cookie.
		p.redirect(c, p.deps.Base+HomePath)
		return nil
	}
	cookie := p.cookie(c)
	r := p.runs.of(cookie)
	if r == nil {
		return p.render(c, http.StatusOK, &home{asked: usual()}, cookie)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.home()
	if r.leaving != "" && secret.Equal(c.Query("state"), r.leaving) {
		h.signedOut, r.leaving = true, ""
	}
	return p.render(c, http.StatusOK, h, cookie)
}

// Start serves POST /playground/start: discovery, then the browser goes to the authorization endpoint.
func (p *Playground) Start(c *gin.Context) error {
	cookie, form, ok := p.checkForm(c)
	if !ok {
		return p.stale(c, cookie)
	}
	want, err := askedIn(form)
	if err != nil {
		return p.render(c, http.StatusBadRequest, &home{asked: want, failure: &failure{"the form", err.Error()}}, cookie)
	}
	client, err := relyingparty.Discover(c.Request.Context(), relyingparty.Config{
		Issuer: p.deps.Base, ClientID: ClientID, RedirectURI: p.deps.Base + CallbackPath, HTTP: p.deps.HTTP,
	})
	if err != nil {
		p.deps.Log.WarnContext(c.Request.Context(), "the playground could not read the discovery document", "cause", err)
		return p.render(c, http.StatusBadGateway, &home{asked: want, failure: &failure{"discovery", err.Error()}}, cookie)
	}
	r := p.runs.begin(cookie)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked, r.client, r.request = want, client, client.Begin(want.request())
	r.sent = r.request.URL
	p.redirect(c, r.request.URL)
	return nil
}

// Callback serves GET and, for response_mode=form_post, POST /playground/callback: the checks of the answer, the exchange,
// the verification, userinfo. It ends with a redirect, so that loading the page again does not redeem the code again.
func (p *Playground) Callback(c *gin.Context) error {
	answer := c.Request.URL.Query()
	if c.Request.Method == http.MethodPost {
		form, err := readForm(c)
		if err != nil {
			return p.render(c, http.StatusBadRequest, &home{asked: usual(), failure: &failure{"callback", "its form cannot be read"}}, p.cookie(c))
		}
		answer = form
	}
	cookie := p.cookie(c)
	r := p.runs.of(cookie)
	if r == nil {
		return p.noRun(c, cookie)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.request == nil {
		return p.noRun(c, cookie)
	}
	request := r.request
	r.request = nil // whatever comes of it, an answer is looked at once
	r.callback = shownAnswer(answer)
	r.finish(c.Request.Context(), request, answer)
	p.introspect(c.Request.Context(), r)
	p.redirect(c, p.deps.Base+HomePath)
	return nil
}

// finish takes the answer of the authorization endpoint as far as it goes.
func (r *run) finish(ctx context.Context, request *relyingparty.Request, answer url.Values) {
	code, err := r.client.Code(request, answer)
	if err != nil {
		r.failure = &failure{"callback", err.Error()}
		return
	}
	r.answered = true
	tokens, err := r.client.Redeem(ctx, request, code)
	if err != nil {
		r.failure = &failure{"token", err.Error()}
		return
	}
	r.tokens = tokens
	r.verify(ctx, request.Expect(tokens.AccessToken))
}

// verify looks at the ID token of the newest tokens, and asks userinfo when it is good.
func (r *run) verify(ctx context.Context, want relyingparty.Expect) {
	id, err := r.client.VerifyIDToken(ctx, r.tokens.IDToken, want)
	r.idToken = id
	if err != nil {
		r.userinfo, r.failure = nil, &failure{"ID token", err.Error()}
		return
	}
	r.ask(ctx)
}

func (r *run) ask(ctx context.Context) {
	claims, err := r.client.UserInfo(ctx, r.tokens.AccessToken, r.idToken.Subject())
	if err != nil {
		r.userinfo, r.failure = nil, &failure{"userinfo", err.Error()}
		return
	}
	r.userinfo = claims
}

// introspect notes what the server knows of the access token by now.
func (p *Playground) introspect(ctx context.Context, r *run) {
	r.introspection = nil
	if p.deps.Introspect == nil || r.tokens == nil {
		return
	}
	known, err := p.deps.Introspect(ctx, r.tokens.AccessToken)
	if err != nil {
		p.deps.Log.WarnContext(ctx, "the playground could not look at its access token", "cause", err)
		return
	}
	r.introspection = known
}

// Refresh serves POST /playground/refresh.
func (p *Playground) Refresh(c *gin.Context) error {
	return p.withTokens(c, func(ctx context.Context, r *run) {
		before := r.tokens.RefreshToken
		fresh, err := r.client.Refresh(ctx, before)
		if err != nil {
			r.failure = &failure{"refresh", err.Error()}
			return
		}
		rotated := fresh.RefreshToken != "" && fresh.RefreshToken != before
		if fresh.RefreshToken == "" {
			fresh.RefreshToken = before // RFC 6749 §6: none in the answer means that the old one stays
		}
		if fresh.Scope == "" {
			fresh.Scope = r.tokens.Scope
		}
		r.tokens = fresh
		r.rotation = &rotation{Before: relyingparty.Mask(before), After: relyingparty.Mask(fresh.RefreshToken), Rotated: rotated}
		if r.idToken == nil || !r.idToken.Verified() {
			r.failure = &failure{"refresh", "the ID token before was not good, so there is nothing to compare the new one with"}
			return
		}
		r.verify(ctx, relyingparty.Expect{AccessToken: fresh.AccessToken, Refreshed: r.idToken})
	})
}

// Revoke serves POST /playground/revoke: the refresh token, with which the family ends, or else the access token. Then
// userinfo is asked once more, to see it refuse.
func (p *Playground) Revoke(c *gin.Context) error {
	return p.withTokens(c, func(ctx context.Context, r *run) {
		token, hint := r.tokens.RefreshToken, "refresh_token"
		if token == "" {
			token, hint = r.tokens.AccessToken, "access_token"
		}
		if err := r.client.Revoke(ctx, token, hint); err != nil {
			r.failure = &failure{"revocation", err.Error()}
			return
		}
		r.revoked = true
		if r.idToken == nil {
			return
		}
		_, err := r.client.UserInfo(ctx, r.tokens.AccessToken, r.idToken.Subject())
		if err == nil {
			r.failure = &failure{"revocation", "userinfo still answers for the access token"}
			return
		}
		r.userinfo = nil
	})
}

// SignOut serves POST /playground/logout: the run is forgotten, and the browser goes to sign out at the server
// (OpenID Connect RP-Initiated Logout 1.0 §2), which brings it back.
func (p *Playground) SignOut(c *gin.Context) error {
	cookie, _, ok := p.checkForm(c)
	if !ok {
		return p.stale(c, cookie)
	}
	r := p.runs.of(cookie)
	if r == nil {
		return p.noRun(c, cookie)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tokens == nil {
		return p.noRun(c, cookie)
	}
	state := rand.Text()
	address, err := r.client.LogoutURL(r.tokens.IDToken, p.deps.Base+HomePath, state)
	if err != nil {
		r.failure = &failure{"sign-out", err.Error()}
		p.redirect(c, p.deps.Base+HomePath)
		return nil
	}
	next := p.runs.begin(cookie)
	next.mu.Lock()
	defer next.mu.Unlock()
	next.asked, next.leaving = r.asked, state
	p.redirect(c, address)
	return nil
}

// withTokens does something with the tokens of the browser's run and shows what came of it.
func (p *Playground) withTokens(c *gin.Context, do func(context.Context, *run)) error {
	cookie, _, ok := p.checkForm(c)
	if !ok {
		return p.stale(c, cookie)
	}
	r := p.runs.of(cookie)
	if r == nil {
		return p.noRun(c, cookie)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tokens == nil || r.revoked {
		return p.noRun(c, cookie)
	}
	r.failure, r.rotation = nil, nil
	do(c.Request.Context(), r)
	p.introspect(c.Request.Context(), r)
	p.redirect(c, p.deps.Base+HomePath)
	return nil
}

func (p *Playground) noRun(c *gin.Context, cookie string) error {
	return p.render(c, http.StatusBadRequest, &home{asked: usual(), failure: &failure{
		"the run", "this browser has none under way that this step belongs to; it may be older than an hour, or from before a restart. Sign in again.",
	}}, cookie)
}

func (p *Playground) stale(c *gin.Context, cookie string) error {
	return p.render(c, http.StatusForbidden, &home{asked: usual(), failure: &failure{
		"the form", "it was not made for this browser, or is from before a restart. Nothing was done; this page has a fresh one.",
	}}, cookie)
}

// cookie returns the browser's cookie, or nothing when it is not one of ours.
func (p *Playground) cookie(c *gin.Context) string {
	value, err := c.Cookie(cookieName)
	if err != nil {
		return ""
	}
	if raw, err := base64.RawURLEncoding.Strict().DecodeString(value); err != nil || len(raw) != 32 {
		return ""
	}
	return value
}

func (p *Playground) setCookie(c *gin.Context, value string) {
	http.SetCookie(c.Writer, &http.Cookie{ //nolint:gosec // G124: Secure under https; development is plain http on localhost
		Name: cookieName, Value: value, Path: HomePath, MaxAge: int(runLifetime / time.Second),
		HttpOnly: true, Secure: p.secure, SameSite: http.SameSiteLaxMode,
	})
}

// checkForm reads a form and reports whether it was made for the browser that sends it.
func (p *Playground) checkForm(c *gin.Context) (cookie string, form url.Values, ok bool) {
	cookie = p.cookie(c)
	form, err := readForm(c)
	if err != nil || cookie == "" {
		return cookie, nil, false
	}
	return cookie, form, secret.Equal(form.Get("csrf"), p.token(cookie))
}

// readForm reads the body alone, and as a plain form alone: the query is not the form's, and no file is expected.
func readForm(c *gin.Context) (url.Values, error) {
	kind, _, err := mime.ParseMediaType(c.GetHeader("Content-Type"))
	if err != nil {
		return nil, err
	}
	if kind != "application/x-www-form-urlencoded" {
		return nil, fmt.Errorf("a form does not come as %s", kind)
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, mostForm))
	if err != nil {
		return nil, err
	}
	return url.ParseQuery(string(body))
}

// token is the CSRF token of a cookie.
func (p *Playground) token(cookie string) string {
	mac := hmac.New(sha256.New, p.csrf[:])
	mac.Write([]byte(cookie)) // never fails
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// redirect answers a form: 303, so that what was posted is not posted on.
func (p *Playground) redirect(c *gin.Context, to string) {
	c.Header("Cache-Control", "no-store")
	c.Redirect(http.StatusSeeOther, to)
}
