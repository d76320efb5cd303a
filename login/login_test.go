package login

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"golang.org/x/crypto/argon2"

	"github.com/keizer-auth/keizer/internal/formbrowser"
	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/requestid"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/people"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
	"github.com/keizer-auth/keizer/web"
)

const rightPassword = "correct horse battery staple"

// room is the pages, served, for two organizations: "default" at the root and the others below a path.
type room struct {
	t         *testing.T
	db        *storage.DB
	operators *manage.Operators
	sessions  *web.Sessions
	base      string
	log       *bytes.Buffer
	hasher    *password.Hasher
}

func newRoom(t *testing.T, db *storage.DB) *room {
	t.Helper()
	return newRoomWith(t, db, password.New(password.Options{Memory: 64}))
}

func newRoomWith(t *testing.T, db *storage.DB, hasher *password.Hasher) *room {
	t.Helper()
	gin.SetMode(gin.TestMode)
	r := &room{t: t, db: db, log: &bytes.Buffer{}, hasher: hasher}
	log := slog.New(slog.NewJSONHandler(&locked{w: r.log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	pages, err := web.New(web.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	composer, err := mail.NewComposer("")
	if err != nil {
		t.Fatal(err)
	}
	r.operators = manage.New(db, hasher, log)
	r.sessions = web.NewSessions(db, storagetest.Keyring(), web.SessionOptions{IdleTimeout: time.Hour, AbsoluteTimeout: 12 * time.Hour})

	engine := gin.New()
	served := httptest.NewServer(engine)
	t.Cleanup(served.Close)
	r.base = served.URL
	l := New(Deps{
		DB: db, Pages: pages, Sessions: r.sessions, Operators: r.operators,
		People:  people.New(people.Deps{DB: db, Hasher: r.hasher, Keyring: storagetest.Keyring(), Composer: composer, Log: log}),
		Keyring: storagetest.Keyring(), Log: log,
		Tenant: r.tenant, Development: true,
	})
	page := func(handler func(*gin.Context) error) gin.HandlerFunc {
		return func(c *gin.Context) {
			if err := handler(c); err != nil {
				pages.Fail(c, err)
			}
		}
	}
	engine.Use(func(c *gin.Context) {
		c.Request = c.Request.WithContext(requestid.With(c.Request.Context(), "REQUEST-ID"))
	})
	enter := func(c *gin.Context) {
		slug := c.Param("org")
		if slug == "" {
			slug = "default"
		}
		org, err := r.tenant(c.Request.Context(), slug)
		if err != nil {
			pages.Fail(c, err)
			return
		}
		c.Request = c.Request.WithContext(tenant.With(c.Request.Context(), org))
	}
	engine.GET("/setup", page(l.Setup))
	engine.POST("/setup", pages.SameOrigin(), page(l.SetupPost))
	for _, group := range []*gin.RouterGroup{engine.Group("", enter), engine.Group("/o/:org", enter)} {
		group.GET("/login", page(l.SignIn))
		group.POST("/login", pages.SameOrigin(), page(l.SignInPost))
		group.GET("/consent", page(l.Consent))
		group.POST("/consent", pages.SameOrigin(), page(l.ConsentPost))
		// flow is what the authorization endpoint does before it sends anybody to a page.
		group.GET("/flow", func(c *gin.Context) { c.String(http.StatusOK, secret.Digest(r.sessions.Flow(c))) })
		group.GET("/whoami", page(func(c *gin.Context) error {
			session, user, err := r.sessions.Current(c)
			if err != nil || session == nil {
				c.String(http.StatusOK, "nobody")
				return err
			}
			c.String(http.StatusOK, session.ID.String()+" "+user.Email)
			return nil
		}))
	}
	return r
}

// locked is a log that several requests may write to.
type locked struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func (r *room) tenant(ctx context.Context, slug string) (*tenant.Org, error) {
	row, err := r.db.OrganizationBySlug(ctx, slug)
	if err != nil {
		return nil, err
	}
	org := &tenant.Org{ID: row.ID, Slug: row.Slug, Name: row.Name, Issuer: r.base}
	if slug != "default" {
		org.BasePath = "/o/" + slug
		org.Issuer += org.BasePath
	}
	return org, nil
}

// organization makes one and returns a context for what is done in it.
func (r *room) organization(slug string) context.Context {
	r.t.Helper()
	if _, err := r.operators.CreateOrganization(r.t.Context(), "The "+slug, slug); err != nil {
		r.t.Fatal(err)
	}
	org, err := r.tenant(r.t.Context(), slug)
	if err != nil {
		r.t.Fatal(err)
	}
	return tenant.With(r.t.Context(), org)
}

func (r *room) user(ctx context.Context, name string) *storage.User {
	r.t.Helper()
	user, err := r.operators.CreateUser(ctx, manage.NewUser{Username: name, Email: name + "@example.com", Password: rightPassword, Verified: true})
	if err != nil {
		r.t.Fatal(err)
	}
	return user
}

func (r *room) client(ctx context.Context, change func(*storage.Client)) *storage.Client {
	r.t.Helper()
	client := &storage.Client{
		ClientID: "app", Name: "Field Notes", AuthMethod: "client_secret_basic", RedirectURIs: []string{"https://app.example/cb"},
		GrantTypes: []string{"authorization_code"}, Scopes: []string{"openid", "profile", "offline_access", "notes:write"},
	}
	if change != nil {
		change(client)
	}
	if err := r.db.CreateClient(ctx, client); err != nil {
		r.t.Fatal(err)
	}
	return client
}

// guest is a browser that an application has sent here.
type guest struct {
	*formbrowser.Browser
	room *room
	base string // of the organization
	ctx  context.Context
	id   string // of the interaction
}

// guest sends a new browser here with a request.
func (r *room) guest(ctx context.Context, params url.Values) *guest {
	r.t.Helper()
	org, err := tenant.From(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	g := &guest{room: r, base: org.Issuer, ctx: ctx}
	g.Browser = formbrowser.New(formbrowser.Options{StopAt: org.Issuer + "/oauth2/authorize", SendIncomplete: true})
	g.again(params, nil)
	return g
}

// again sends the same browser here with another request.
func (g *guest) again(params url.Values, session *uuid.UUID) {
	g.room.t.Helper()
	g.id = secret.New(secret.Interaction)
	form := url.Values{"client_id": {"app"}, "redirect_uri": {"https://app.example/cb"}, "scope": {"openid profile"}}
	for name, values := range params {
		form[name] = values
	}
	err := g.room.db.CreateInteraction(g.ctx, &storage.Interaction{
		Digest: secret.Digest(g.id), BrowserDigest: g.open("/flow").Body, ClientID: form.Get("client_id"), Params: form, SessionID: session,
		ExpiresAt: time.Now().Add(15 * time.Minute),
	})
	if err != nil {
		g.room.t.Fatal(err)
	}
}

func (g *guest) open(path string) *formbrowser.Page {
	g.room.t.Helper()
	page, err := g.Open(g.room.t.Context(), g.base+path)
	if err != nil {
		g.room.t.Fatal(err)
	}
	return page
}

func (g *guest) login() *formbrowser.Page {
	g.room.t.Helper()
	return g.open("/login?interaction=" + g.id)
}
func (g *guest) consent() *formbrowser.Page {
	g.room.t.Helper()
	return g.open("/consent?interaction=" + g.id)
}

// press fills fields, in pairs, and presses a button.
func (g *guest) press(page *formbrowser.Page, button string, fields ...string) *formbrowser.Page {
	g.room.t.Helper()
	for i := 0; i+1 < len(fields); i += 2 {
		if err := page.Fill(fields[i], fields[i+1]); err != nil {
			g.room.t.Fatal(err)
		}
	}
	next, err := page.Click(g.room.t.Context(), button)
	if err != nil {
		g.room.t.Fatal(err)
	}
	return next
}

func (g *guest) signIn(login, password string) *formbrowser.Page {
	g.room.t.Helper()
	return g.press(g.login(), "login-submit", "username", login, "password", password)
}

// arrived checks that the browser went back to the authorization endpoint, by a 303 and with this interaction.
func (g *guest) arrived(page *formbrowser.Page) {
	g.room.t.Helper()
	at, ok := page.Arrived()
	if !ok || at.Get("interaction") != g.id || len(at) != 1 {
		g.room.t.Fatalf("arrived is %v with %v: %d %s", ok, at, page.Status, page.Body)
	}
	if status := page.Hops[0].Status; status != http.StatusSeeOther {
		g.room.t.Errorf("sent on by %d", status)
	}
}

func (g *guest) interaction() *storage.Interaction {
	g.room.t.Helper()
	interaction, err := g.room.db.Interaction(g.ctx, secret.Digest(g.id))
	if err != nil {
		g.room.t.Fatal(err)
	}
	return interaction
}

func (r *room) audit(ctx context.Context) []storage.AuditEvent {
	r.t.Helper()
	events, err := r.db.ListAudit(ctx, storage.AuditFilter{Limit: 100})
	if err != nil {
		r.t.Fatal(err)
	}
	return events
}

func TestAPersonSignsInByUserNameOrEMailInAnySpelling(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		r := newRoom(t, db)
		for _, slug := range []string{"default", "acme"} {
			ctx := r.organization(slug)
			user := r.user(ctx, "alice")
			r.client(ctx, nil)
			for _, login := range []string{"alice", "ALICE", " alice ", "alice@example.com", "Alice@EXAMPLE.com"} {
				g := r.guest(ctx, nil)
				page := g.login()
				if page.Status != http.StatusOK || page.Title != "Sign in" || !strings.Contains(page.Body, "Field Notes") {
					t.Fatalf("%d %s", page.Status, page.Body)
				}
				before := time.Now().Add(-time.Microsecond)
				g.arrived(g.signIn(login, rightPassword))

				interaction := g.interaction()
				who := g.open("/whoami").Body
				if interaction.SessionID == nil || who != interaction.SessionID.String()+" alice@example.com" {
					t.Fatalf("%q is signed in as %q, the interaction says %v", login, who, interaction.SessionID)
				}
				if interaction.AuthenticatedAt == nil || interaction.AuthenticatedAt.Before(before) {
					t.Errorf("authenticated at %v", interaction.AuthenticatedAt)
				}
				if interaction.ConsentedAt != nil || interaction.Refusal != "" {
					t.Errorf("more was noted than was proven: %+v", interaction)
				}
			}
			now, err := r.db.User(ctx, user.ID)
			if err != nil || now.LastLogin == nil {
				t.Errorf("the last login is not known: %v, %v", now, err)
			}
			last := r.audit(ctx)[0]
			if last.Action != "user.signed_in" || last.Actor != "user:"+user.ID.String() || last.Target != user.ID.String() || last.RequestID != "REQUEST-ID" ||
				last.IPAddress == nil || last.Details["client_id"] != "app" {
				t.Errorf("the audit says %+v", last)
			}
		}
	})
}

// tokens are what differs between two answers that are the same.
var tokens = regexp.MustCompile(`kz_[a-z]+_[0-9A-Za-z_-]{49}|name="csrf_token" value="[^"]*"`)

func TestAFailedSignInDoesNotTellWhoExists(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		r := newRoom(t, db)
		ctx := r.organization("default")
		r.client(ctx, nil)
		r.user(ctx, "alice")
		off := r.user(ctx, "carol")
		none := r.user(ctx, "david")
		if err := r.db.SetUserActive(ctx, off.ID, false); err != nil {
			t.Fatal(err)
		}
		if err := r.db.SetPasswordHash(ctx, none.ID, password.None); err != nil {
			t.Fatal(err)
		}
		r.user(ctx, "erwin")
		broken, err := r.db.UserByLogin(ctx, "erwin")
		if err != nil {
			t.Fatal(err)
		}
		if err := r.db.SetPasswordHash(ctx, broken.ID, "$argon2id$v=19$m=4294967295,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g"); err != nil {
			t.Fatal(err)
		}
		r.user(r.organization("acme"), "frank")

		type attempt struct{ name, login, password, reason string }
		attempts := []attempt{
			{"a wrong password", "alice", "wrong horse battery staple", people.WrongPassword},
			{"an unknown user", "nobdy", "wrong horse battery staple", people.UnknownLogin},
			{"a switched-off user with the right password", "carol", rightPassword, people.SwitchedOff},
			{"a switched-off user with a wrong password", "carol", "wrong", people.WrongPassword},
			{"a user without a password", "david", password.None, people.WrongPassword},
			{"a user whose hash cannot be read", "erwin", rightPassword, people.WrongPassword},
			{"another organization's user", "frank", rightPassword, people.UnknownLogin},
			{"what can be no user name", "a\x00ice", rightPassword, people.UnknownLogin},
			{"what is no text", "al\xffce", rightPassword, people.UnknownLogin},
		}
		var want, wantHeaders string
		for _, a := range attempts {
			g := r.guest(ctx, nil)
			page := g.signIn(a.login, a.password)
			body := tokens.ReplaceAllString(strings.ReplaceAll(page.Body, page.Value("username"), "LOGIN"), "TOKEN")
			page.Header.Del("Date")
			page.Header.Del("Content-Length")
			headers := tokens.ReplaceAllString(fmt.Sprint(page.Header), "TOKEN")
			if want == "" {
				want, wantHeaders = body, headers
			}
			if page.Status != http.StatusUnauthorized || body != want || headers != wantHeaders {
				t.Errorf("%s: %d\n%s\n%s\nand not\n%s\n%s", a.name, page.Status, headers, body, wantHeaders, want)
			}
			if page.Title != "Sign in" || !strings.Contains(page.Text("login-error"), "do not belong together") || page.Value("password") != "" {
				t.Errorf("%s: %s", a.name, page.Body)
			}
			if g.interaction().AuthenticatedAt != nil || g.open("/whoami").Body != "nobody" {
				t.Errorf("%s: signed in", a.name)
			}
			last := r.audit(ctx)[0]
			if last.Action != "user.sign_in_failed" || last.Details["reason"] != a.reason || last.Actor != "anonymous" {
				t.Errorf("%s: the audit says %+v", a.name, last)
			}
			if text := fmt.Sprint(last.Details); strings.Contains(text, a.login) || strings.Contains(text, a.password) || strings.Contains(text, secret.Digest(a.login)) {
				t.Errorf("%s: the audit gives away what was typed: %s", a.name, text)
			}
		}
		if strings.Contains(r.log.String(), "battery") || strings.Contains(r.log.String(), "nobdy") {
			t.Errorf("the log gives away what was typed: %s", r.log)
		}
	})
}

func TestAFormThatIsNotCompleteIsAnsweredBesideItsFields(t *testing.T) {
	r := newRoom(t, storagetest.DB(t))
	ctx := r.organization("default")
	r.client(ctx, nil)
	g := r.guest(ctx, nil)
	for _, c := range []struct{ login, password, at, says string }{
		{"", "x", "username-error", "Enter your user name"}, {"  ", "x", "username-error", "Enter your user name"},
		{"alice", "", "password-error", "Enter your password"},
	} {
		page := g.signIn(c.login, c.password)
		if page.Status != http.StatusBadRequest || !strings.Contains(page.Text(c.at), c.says) {
			t.Errorf("%q, %d characters: %d %s", c.login, len(c.password), page.Status, page.Body)
		}
		if described, _ := page.Attr(strings.TrimSuffix(c.at, "-error"), "aria-describedby"); described != c.at {
			t.Errorf("%s is tied to %q", c.at, described)
		}
	}
	// Browsers keep to the lengths that the fields have; others need not.
	for says, c := range map[string]credentials{
		"longer than any password": {"alice", strings.Repeat("x", password.MaxLength+1)}, "longer than any user name": {strings.Repeat("x", maxLogin+1), "x"},
	} {
		answer := g.post("/login?interaction="+g.id, url.Values{"csrf_token": {g.token()}, "username": {c.login}, "password": {c.password}})
		if answer.status != http.StatusBadRequest || !strings.Contains(answer.body, says) {
			t.Errorf("%d %s", answer.status, answer.body)
		}
	}
	if events := r.audit(ctx); events[0].Action == "user.sign_in_failed" {
		t.Error("that is no attempt")
	}
}

func TestThePasswordIsTakenAsItIsAndWhole(t *testing.T) {
	r := newRoom(t, storagetest.DB(t))
	ctx := r.organization("default")
	r.client(ctx, nil)
	for i, text := range []string{"  spaces around  ", "päßwörd 🐴 with more", strings.Repeat("y", 71) + "xz", strings.Repeat("0123456789abcdef", 64)} {
		name := fmt.Sprintf("user%d", i)
		_, err := r.operators.CreateUser(ctx, manage.NewUser{Username: name, Email: name + "@example.com", Password: secret.Text(text)})
		if err != nil {
			t.Fatal(err)
		}
		if page := r.guest(ctx, nil).signIn(name, text[:len(text)-1]); page.Status != http.StatusUnauthorized {
			t.Errorf("%q: a cut password is answered by %d", text, page.Status)
		}
		g := r.guest(ctx, nil)
		g.arrived(g.signIn(name, text))
	}
}

func TestCancelAnswersTheApplicationAndSendsNoPassword(t *testing.T) {
	r := newRoom(t, storagetest.DB(t))
	ctx := r.organization("default")
	r.client(ctx, nil)
	g := r.guest(ctx, nil)
	page := g.login()
	if err := page.Fill("password", "a secret"); err != nil {
		t.Fatal(err)
	}
	g.arrived(g.press(page, "login-cancel"))
	if got := g.interaction().Refusal; got != "access_denied" {
		t.Errorf("refused by %q", got)
	}
	if r.audit(ctx)[0].Action != "user.sign_in_cancelled" {
		t.Errorf("the audit says %+v", r.audit(ctx)[0])
	}
	_, form, ok := strings.Cut(page.Body, `class="after"`)
	if !ok || strings.Contains(form, `name="password"`) {
		t.Error("the password goes along")
	}
}

func TestTheUserNameIsFilledInFromTheHintOrTheSession(t *testing.T) {
	r := newRoom(t, storagetest.DB(t))
	ctx := r.organization("default")
	r.client(ctx, nil)
	r.user(ctx, "alice")
	for hint, want := range map[string]string{
		"bob@example.com": "bob@example.com", `"><script>`: `"><script>`, "": "", strings.Repeat("x", 300): "", "a\x00b": "", "a\nb": "", "a\u202eb": "",
	} {
		g := r.guest(ctx, url.Values{"login_hint": {hint}})
		if got := g.login().Value("username"); got != want {
			t.Errorf("the hint %q fills in %q", hint, got)
		}
	}
	g := r.guest(ctx, nil)
	g.arrived(g.signIn("alice", rightPassword))
	g.again(nil, nil)
	page := g.login()
	if page.Value("username") != "alice" || !page.Has("password") || !strings.Contains(page.Body, "prove again") {
		t.Errorf("asked again: %s", page.Body)
	}
	g.again(url.Values{"login_hint": {"bob"}}, nil)
	if got := g.login().Value("username"); got != "bob" {
		t.Errorf("the application names bob, the page %q", got)
	}
}

func TestSigningInAgainKeepsTheSessionUnderANewSecret(t *testing.T) {
	r := newRoom(t, storagetest.DB(t))
	ctx := r.organization("default")
	r.client(ctx, nil)
	r.user(ctx, "alice")
	r.user(ctx, "bob")
	g := r.guest(ctx, nil)
	g.arrived(g.signIn("alice", rightPassword))
	first, cookie := g.open("/whoami").Body, g.cookie("keizer_session")

	g.again(nil, nil)
	g.arrived(g.signIn("alice", rightPassword))
	if got := g.open("/whoami").Body; got != first {
		t.Errorf("the session was %q and is %q", first, got)
	}
	if g.cookie("keizer_session") == cookie {
		t.Error("the secret is the same as before")
	}
	g.again(nil, nil)
	g.arrived(g.signIn("bob", rightPassword))
	if got := g.open("/whoami").Body; !strings.HasSuffix(got, "bob@example.com") || strings.Fields(got)[0] == strings.Fields(first)[0] {
		t.Errorf("bob has the session %q", got)
	}
	g.SetCookie(r.base, &http.Cookie{Name: "keizer_session", Value: cookie, Path: "/"})
	if got := g.open("/whoami").Body; got != "nobody" {
		t.Errorf("the first secret opens %q", got)
	}
}

func (g *guest) cookie(name string) string {
	for _, cookie := range g.Cookies(g.room.base) {
		if cookie.Name == name {
			return cookie.Value
		}
	}
	return ""
}

func TestAnInteractionIsWorthNothingInAnotherBrowser(t *testing.T) {
	r := newRoom(t, storagetest.DB(t))
	ctx := r.organization("default")
	r.client(ctx, nil)
	r.user(ctx, "alice")
	attacker, victim := r.guest(ctx, nil), r.guest(ctx, nil)
	victim.arrived(victim.signIn("alice", rightPassword))
	own := victim.id
	victim.id = attacker.id
	for _, path := range []string{"/login", "/consent"} {
		page := victim.open(path + "?interaction=" + attacker.id)
		if page.Status != http.StatusForbidden || page.Title != "Request error" || page.Has("login-submit") || page.Has("consent-allow") {
			t.Errorf("%s: %d %s", path, page.Status, page.Body)
		}
	}
	// Nor with a form of the victim's own page.
	victim.id = own
	answer := victim.post("/login?interaction="+attacker.id, url.Values{
		"csrf_token": {victim.token()}, "username": {"alice"}, "password": {rightPassword},
	})
	if answer.status != http.StatusForbidden {
		t.Errorf("posted: %d", answer.status)
	}
	if got := attacker.interaction(); got.SessionID != nil || got.AuthenticatedAt != nil {
		t.Errorf("the attacker's request has the victim's session: %+v", got)
	}
}

// token is that of the login page's form.
func (g *guest) token() string { g.room.t.Helper(); return g.tokenOf(g.login()) }

func (g *guest) tokenOf(page *formbrowser.Page) string {
	g.room.t.Helper()
	match := regexp.MustCompile(`name="csrf_token" value="([^"]*)"`).FindStringSubmatch(page.Body)
	if match == nil {
		g.room.t.Fatal("the page has no token")
	}
	return match[1]
}

// post sends a form as some program would that has the browser's cookies. Headers come in pairs.
func (g *guest) post(path string, form url.Values, headers ...string) answer {
	g.room.t.Helper()
	request, err := http.NewRequestWithContext(g.room.t.Context(), http.MethodPost, g.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		g.room.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	for _, cookie := range g.Cookies(g.base) {
		request.AddCookie(cookie)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		g.room.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		g.room.t.Fatal(err)
	}
	return answer{status: response.StatusCode, body: string(body), cookies: response.Cookies()}
}

// answer is what a program gets.
type answer struct {
	status  int
	body    string
	cookies []*http.Cookie
}

func TestAnInteractionThatIsOverIsAPageThatSaysSo(t *testing.T) {
	r := newRoom(t, storagetest.DB(t))
	ctx := r.organization("default")
	r.client(ctx, nil)
	g := r.guest(ctx, nil)
	open := g.login()
	if err := r.db.SpendInteraction(ctx, secret.Digest(g.id)); err != nil {
		t.Fatal(err)
	}
	other := r.guest(r.organization("acme"), nil)
	for _, id := range []string{g.id, secret.New(secret.Interaction), "", "x", other.id, `"><script>`} {
		for _, path := range []string{"/login", "/consent"} {
			page := g.open(path + "?interaction=" + url.QueryEscape(id))
			if page.Status != http.StatusBadRequest || page.Title != "Request error" || !strings.Contains(page.Body, "start again") {
				t.Errorf("%s %q: %d %s", path, id, page.Status, page.Body)
			}
		}
	}
	if page := g.press(open, "login-submit", "username", "alice", "password", rightPassword); page.Status != http.StatusBadRequest {
		t.Errorf("its form: %d", page.Status)
	}
	if page := g.press(open, "login-cancel"); page.Status != http.StatusBadRequest {
		t.Errorf("its cancel button: %d", page.Status)
	}
}

func TestAnApplicationThatIsGoneIsAPageThatSaysSo(t *testing.T) {
	r := newRoom(t, storagetest.DB(t))
	ctx := r.organization("default")
	client := r.client(ctx, nil)
	g := r.guest(ctx, nil)
	client.Disabled = true
	if err := r.db.UpdateClient(ctx, client); err != nil {
		t.Fatal(err)
	}
	if page := g.login(); page.Status != http.StatusBadRequest || !strings.Contains(page.Body, "does not exist any more") {
		t.Errorf("disabled: %d %s", page.Status, page.Body)
	}
}

func TestAFormFromElsewhereChangesNothing(t *testing.T) {
	r := newRoom(t, storagetest.DB(t))
	ctx := r.organization("default")
	r.client(ctx, nil)
	r.user(ctx, "alice")
	r.user(ctx, "mallory")
	acme := r.organization("acme")
	r.client(acme, nil)

	g, other, elsewhere := r.guest(ctx, nil), r.guest(ctx, nil), r.guest(acme, nil)
	form := func(token string) url.Values {
		return url.Values{"csrf_token": {token}, "username": {"mallory"}, "password": {rightPassword}}
	}
	mine, others, theirs := g.token(), other.token(), elsewhere.token()
	path := "/login?interaction=" + g.id
	for name, answer := range map[string]answer{
		"another site":                 g.post(path, form(mine), "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"),
		"a sibling site":               g.post(path, form(mine), "Sec-Fetch-Site", "same-site", "Origin", "https://x.example"),
		"another site, an old browser": g.post(path, form(mine), "Origin", "https://evil.example"),
		"a sandboxed page":             g.post(path, form(mine), "Origin", "null"),
		"no token":                     g.post(path, url.Values{"username": {"mallory"}, "password": {rightPassword}}),
		"an empty token":               g.post(path, form("")),
		"another browser's token":      g.post(path, form(others)),
		"another organization's token": g.post(path, form(theirs)),
		"the attacker's own token":     other.post(path, form(others)),
		"cancel, from another site":    g.post(path, url.Values{"csrf_token": {mine}, "action": {"cancel"}}, "Sec-Fetch-Site", "cross-site"),
		"cancel, without a token":      g.post(path, url.Values{"action": {"cancel"}}),
		"consent, without a token":     g.post("/consent?interaction="+g.id, url.Values{"action": {"allow"}}),
		"consent by the login's token": g.post("/consent?interaction="+g.id, url.Values{"csrf_token": {mine}, "action": {"allow"}}),
	} {
		if answer.status != http.StatusForbidden {
			t.Errorf("%s: %d", name, answer.status)
		}
		for _, cookie := range answer.cookies {
			if strings.HasPrefix(cookie.Name, "keizer_session") {
				t.Errorf("%s: signed in", name)
			}
		}
	}
	for _, contentType := range []string{"text/plain", "application/json", "multipart/form-data; boundary=x", ""} {
		if answer := g.post(path, form(mine), "Content-Type", contentType); answer.status != http.StatusUnsupportedMediaType {
			t.Errorf("%s: %d", contentType, answer.status)
		}
	}
	if got := g.interaction(); got.AuthenticatedAt != nil || got.ConsentedAt != nil || got.Refusal != "" {
		t.Errorf("the request was changed: %+v", got)
	}

	// A token from before a login is no good after it.
	open := g.login()
	g.arrived(g.signIn("alice", rightPassword))
	page := g.press(open, "login-submit", "username", "mallory", "password", rightPassword)
	if page.Status != http.StatusForbidden || !page.Has("error-again") {
		t.Errorf("a page from before the login: %d %s", page.Status, page.Body)
	}
	if got := g.open("/whoami").Body; !strings.HasSuffix(got, "alice@example.com") {
		t.Errorf("now it is %q", got)
	}
	if again := g.press(page, "error-again"); again.Title != "Sign in" {
		t.Errorf("trying again leads to %q", again.Title)
	}
}

func TestAnOutdatedHashIsRenewedWithTheLogin(t *testing.T) {
	r := newRoom(t, storagetest.DB(t))
	ctx := r.organization("default")
	r.client(ctx, nil)
	user := r.user(ctx, "alice")
	salt := []byte("0123456789abcdef")
	old := fmt.Sprintf("$argon2id$v=19$m=8192,t=1,p=1$%s$%s", base64.RawStdEncoding.EncodeToString(salt),
		base64.RawStdEncoding.EncodeToString(argon2.IDKey([]byte(rightPassword), salt, 1, 8192, 1, 32)))
	if err := r.db.SetPasswordHash(ctx, user.ID, old); err != nil {
		t.Fatal(err)
	}
	if page := r.guest(ctx, nil).signIn("alice", "wrong password"); page.Status != http.StatusUnauthorized {
		t.Fatalf("%d", page.Status)
	}
	if now, err := r.db.User(ctx, user.ID); err != nil || now.PasswordHash != old {
		t.Errorf("a wrong password renewed the hash: %v", err)
	}
	for range 2 {
		g := r.guest(ctx, nil)
		g.arrived(g.signIn("alice", rightPassword))
	}
	now, err := r.db.User(ctx, user.ID)
	if err != nil || now.PasswordHash == old || !strings.HasPrefix(now.PasswordHash, "$argon2id$v=19$m=64,t=2,p=1$") {
		t.Errorf("the hash is %q, %v", now.PasswordHash, err)
	}
}

func TestWhenTooManySignInAtOnceTheyAreAskedToComeBack(t *testing.T) {
	r := newRoomWith(t, storagetest.DB(t), password.New(password.Options{Slots: 1, Queue: 1, Wait: time.Nanosecond}))
	ctx := r.organization("default")
	r.client(ctx, nil)
	r.user(ctx, "alice")
	// Somebody else's password is being checked all the time.
	stop, stopped := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	for range 4 {
		busy.Go(func() {
			for stop.Err() == nil {
				_ = r.hasher.Decoy(stop, "x")
			}
		})
	}
	defer busy.Wait()
	defer stopped()
	for range 200 {
		g := r.guest(ctx, nil)
		page := g.signIn("alice", rightPassword)
		if _, ok := page.Arrived(); ok {
			continue // it found the one slot free
		}
		if page.Status != http.StatusServiceUnavailable || page.Header.Get("Retry-After") == "" || page.Title != "Request error" {
			t.Fatalf("%d %v %s", page.Status, page.Header, page.Body)
		}
		return
	}
	t.Error("nobody was turned away")
}

func TestAnOutageIsAnOutageAndNotAWrongPassword(t *testing.T) {
	db := storagetest.DB(t)
	r := newRoom(t, db)
	ctx := r.organization("default")
	r.client(ctx, nil)
	r.user(ctx, "alice")
	g := r.guest(ctx, nil)
	token := g.token()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	answer := g.post("/login?interaction="+g.id, url.Values{"csrf_token": {token}, "username": {"alice"}, "password": {rightPassword}})
	if answer.status < 500 || len(answer.cookies) > 1 {
		t.Errorf("%d %v", answer.status, answer.cookies)
	}
}

func TestTheClientsLinksAreShownOnlyWhenTheyAreHTTPS(t *testing.T) {
	r := newRoom(t, storagetest.DB(t))
	ctx := r.organization("default")
	bad, good, plain, logo := "javascript:alert(1)", "https://app.example/privacy", "http://app.example/", "https://app.example/logo.svg"
	r.client(ctx, func(c *storage.Client) {
		c.Name, c.PolicyURI, c.TosURI, c.ClientURI, c.LogoURI = `<b>"Notes"`, &good, &bad, &plain, &logo
	})
	g := r.guest(ctx, nil)
	body := g.login().Body
	if !strings.Contains(body, `href="https://app.example/privacy"`) || !strings.Contains(body, `href="https://app.example/logo.svg"`) ||
		strings.Contains(body, `src="https://app.example`) || strings.Contains(body, "javascript:") || strings.Contains(body, plain) {
		t.Errorf("the links are %s", body)
	}
	if strings.Contains(body, "<b>") || strings.Contains(body, "<img") {
		t.Errorf("the name or the logo is markup: %s", body)
	}
}

// The consent page.

func (g *guest) signedIn(name string) {
	g.room.t.Helper()
	g.arrived(g.signIn(name, rightPassword))
}

func TestAPersonAllowsWhatTheyWereShown(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		r := newRoom(t, db)
		ctx := r.organization("default")
		r.client(ctx, nil)
		alice := r.user(ctx, "alice")
		g := r.guest(ctx, url.Values{"scope": {"openid profile openid notes:write"}})
		g.signedIn("alice")
		page := g.consent()
		if page.Status != http.StatusOK || page.Title != "Allow access" {
			t.Fatalf("%d %s", page.Status, page.Body)
		}
		for _, want := range []string{"Field Notes", "Know who you are", "See your profile", "notes:write", "alice", "app.example"} {
			if !strings.Contains(page.Body, want) {
				t.Errorf("the page does not show %q: %s", want, page.Body)
			}
		}
		if page.Has("consent-unverified") {
			t.Error("a confidential client is called unverified")
		}
		g.arrived(g.press(page, "consent-allow"))
		got := g.interaction()
		if got.ConsentedAt == nil || strings.Join(got.ConsentedScopes, " ") != "openid profile notes:write" || got.Refusal != "" {
			t.Errorf("the interaction says %+v", got)
		}
		g.again(url.Values{"scope": {"openid offline_access"}}, got.SessionID)
		g.arrived(g.press(g.consent(), "consent-allow"))
		kept, err := r.db.Consent(ctx, alice.ID, "app")
		if err != nil || strings.Join(kept.Scopes, " ") != "openid profile notes:write offline_access" {
			t.Errorf("kept is %+v, %v", kept, err)
		}
		last := r.audit(ctx)[0]
		if last.Action != "consent.granted" || last.Actor != "user:"+alice.ID.String() {
			t.Errorf("the audit says %+v", last)
		}
	})
}

func TestDenyAnswersTheApplicationAndKeepsNothing(t *testing.T) {
	r := newRoom(t, storagetest.DB(t))
	ctx := r.organization("acme")
	r.client(ctx, nil)
	alice := r.user(ctx, "alice")
	g := r.guest(ctx, nil)
	g.signedIn("alice")
	g.arrived(g.press(g.consent(), "consent-deny"))
	if got := g.interaction(); got.Refusal != "access_denied" || got.ConsentedAt != nil {
		t.Errorf("the interaction says %+v", got)
	}
	if _, err := r.db.Consent(ctx, alice.ID, "app"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("kept: %v", err)
	}
	if r.audit(ctx)[0].Action != "consent.denied" {
		t.Errorf("the audit says %+v", r.audit(ctx)[0])
	}
}

func TestConsentIsAskedOfNobodyElse(t *testing.T) {
	r := newRoom(t, storagetest.DB(t))
	ctx := r.organization("default")
	r.client(ctx, nil)
	r.user(ctx, "alice")
	r.user(ctx, "bob")
	g := r.guest(ctx, nil)
	g.arrived(g.consent()) // nobody is signed in: back to who knows what to do about it

	g.signedIn("alice")
	asked := g.id
	open := g.consent()
	g.again(nil, nil)
	g.signedIn("bob")
	g.id = asked
	g.arrived(g.consent())
	page := g.press(open, "consent-allow")
	if page.Status != http.StatusForbidden {
		t.Errorf("alice's page, in bob's session: %d", page.Status)
	}
	if got := g.interaction(); got.ConsentedAt != nil {
		t.Errorf("consented: %+v", got)
	}
}

func TestNothingButTheButtonsIsAChoice(t *testing.T) {
	r := newRoom(t, storagetest.DB(t))
	ctx := r.organization("default")
	r.client(ctx, nil)
	alice := r.user(ctx, "alice")
	g := r.guest(ctx, nil)
	g.signedIn("alice")
	token := g.tokenOf(g.consent())
	for _, action := range []string{"", "Allow", "yes"} {
		answer := g.post("/consent?interaction="+g.id, url.Values{"csrf_token": {token}, "action": {action}})
		if answer.status != http.StatusBadRequest {
			t.Errorf("%q: %d", action, answer.status)
		}
	}
	// What a page is about comes from its row: what else is sent changes nothing.
	answer := g.post("/consent?interaction="+g.id+"&scope=admin&client_id=other", url.Values{
		"csrf_token": {token}, "action": {"allow"}, "scope": {"admin"}, "client_id": {"other"}, "user": {"bob"},
	})
	if answer.status != http.StatusSeeOther {
		t.Fatalf("%d", answer.status)
	}
	if kept, err := r.db.Consent(ctx, alice.ID, "app"); err != nil || strings.Join(kept.Scopes, " ") != "openid profile" {
		t.Errorf("kept is %+v, %v", kept, err)
	}
}

func TestAnApplicationThatNothingProvesIsCalledThat(t *testing.T) {
	r := newRoom(t, storagetest.DB(t))
	ctx := r.organization("default")
	r.user(ctx, "alice")
	for i, c := range []struct {
		method, redirect string
		unverified       bool
		shows            string
	}{
		{"none", "http://127.0.0.1:5001/cb", true, "application on this device"}, {"none", "com.example.app:/cb", true, "application on this device"},
		{"none", "https://spa.example/cb", false, "spa.example"}, {"client_secret_basic", "http://127.0.0.1:5001/cb", false, "application on this device"},
	} {
		id := fmt.Sprintf("app%d", i)
		r.client(ctx, func(client *storage.Client) { client.ClientID, client.AuthMethod = id, c.method })
		g := r.guest(ctx, url.Values{"client_id": {id}, "redirect_uri": {c.redirect}})
		g.signedIn("alice")
		page := g.consent()
		if page.Has("consent-unverified") != c.unverified || !strings.Contains(page.Body, c.shows) {
			t.Errorf("%s %s: %s", c.method, c.redirect, page.Body)
		}
	}
}

func TestALostRaceForAnInteractionIsAPage(t *testing.T) {
	for _, err := range []error{storage.ErrNotFound, fmt.Errorf("save: %w", storage.ErrSpent)} {
		var page *web.Error
		if !errors.As(tooLate(err), &page) || page.Status != http.StatusBadRequest {
			t.Errorf("%v becomes %v", err, tooLate(err))
		}
	}
	if err := tooLate(storage.ErrUnavailable); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("an outage becomes %v", err)
	}
	if tooLate(nil) != nil {
		t.Error("nothing becomes something")
	}
}

func TestASignInWithoutAnApplicationEndsAtAnAccountPage(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		r := newRoom(t, db)
		for _, slug := range []string{"default", "acme"} {
			ctx := r.organization(slug)
			r.user(ctx, "alice")
			r.client(ctx, nil)
			g := r.guest(ctx, nil)
			want := g.base + "/account/passkeys"
			// Where it goes to when another language is chosen is its own address, and no more of it than that.
			const own = `/login?return_to=//evil.example"`
			if page := g.open("/login?return_to=//evil.example"); page.Status != http.StatusOK || strings.Contains(strings.ReplaceAll(page.Body, own, ""), "evil") {
				t.Fatalf("%d %s", page.Status, page.Body)
			}
			asked := func(address string) *formbrowser.Page {
				return g.press(g.open(address), "login-submit", "username", "alice", "password", rightPassword)
			}
			if page := asked("/login?return_to=%2Faccount%2Fpasskeys"); page.URL.String() != want || page.Hops[0].Status != http.StatusSeeOther {
				t.Errorf("%s, want %s", page.URL, want)
			}
			who := g.open("/whoami").Body
			if who == "nobody" {
				t.Fatal("nobody is signed in")
			}
			// Who is signed in already is not asked, unless the page wants it proven anew.
			if page := g.open("/login?return_to=%2Faccount%2Fpasskeys"); page.URL.String() != want {
				t.Errorf("%s, want %s", page.URL, want)
			}
			page := g.open("/login?return_to=%2Faccount%2Fpasskeys&fresh=1")
			if page.Title != "Sign in" || !strings.Contains(page.Body, `value="alice"`) {
				t.Fatalf("%s %s", page.Title, page.Body)
			}
			if cancelled := g.press(page, "login-cancel"); cancelled.URL.String() != g.base+"/account" {
				t.Errorf("cancelled: %s", cancelled.URL)
			}
			page = asked("/login?return_to=%2Faccount%2Fpasskeys&fresh=1")
			if again := g.open("/whoami").Body; page.URL.String() != want || again != who {
				t.Errorf("%s as %s, before %s", page.URL, again, who)
			}
		}
	})
}
