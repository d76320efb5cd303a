package web

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/proof"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// room is a database with an organization, a person and the sessions over it.
type room struct {
	t        *testing.T
	db       *storage.DB
	sessions *Sessions
	org      *tenant.Org
	ctx      context.Context // of the organization
	alice    *storage.User
}

const (
	testIdle     = time.Hour
	testAbsolute = 12 * time.Hour
)

func newRoom(t *testing.T, db *storage.DB) *room {
	t.Helper()
	r := &room{t: t, db: db}
	r.sessions = NewSessions(db, storagetest.Keyring(), SessionOptions{Secure: true, IdleTimeout: testIdle, AbsoluteTimeout: testAbsolute})
	r.enter("acme")
	r.alice = r.user("alice")
	return r
}

// enter makes an organization and goes on in it.
func (r *room) enter(slug string) {
	r.t.Helper()
	r.ctx = storagetest.Org(r.t, r.db, slug)
	org, err := tenant.From(r.ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	r.org = org
}

func (r *room) user(name string) *storage.User {
	r.t.Helper()
	user := &storage.User{Email: name + "@example.com", Username: &name, PasswordHash: "!", IsActive: true}
	if err := r.db.CreateUser(r.ctx, user); err != nil {
		r.t.Fatal(err)
	}
	return user
}

// browser keeps cookies as browsers do, for as long as they are valid.
type browser map[string]string

func (b browser) request(method, target string, form url.Values) *http.Request {
	request := httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, value := range b {
		request.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	return request
}

func (b browser) keep(w *httptest.ResponseRecorder) {
	for _, cookie := range w.Result().Cookies() {
		if cookie.MaxAge < 0 {
			delete(b, cookie.Name)
		} else {
			b[cookie.Name] = cookie.Value
		}
	}
}

// visit runs a handler for a request of the browser.
func (r *room) visit(b browser, handler func(*gin.Context)) *httptest.ResponseRecorder {
	w := answer(b.request(http.MethodGet, "/", nil), r.org, handler)
	b.keep(w)
	return w
}

func (r *room) signIn(b browser, user *storage.User) *storage.Session {
	r.t.Helper()
	var session *storage.Session
	r.visit(b, func(c *gin.Context) {
		fresh, err := r.sessions.Start(c.Request.Context(), c, user, Proof{At: time.Now().UTC(), AMR: []string{"pwd"}, ACR: proof.One})
		if err != nil {
			r.t.Fatal(err)
		}
		r.sessions.Deliver(c, fresh)
		session = fresh.Session
	})
	return session
}

// current is the session that the browser has now, or nil.
func (r *room) current(b browser) (session *storage.Session) {
	r.t.Helper()
	r.visit(b, func(c *gin.Context) {
		var user *storage.User
		var err error
		if session, user, err = r.sessions.Current(c); err != nil {
			r.t.Fatal(err)
		}
		if (session == nil) != (user == nil) {
			r.t.Error("a session without a person, or the other way round")
		}
	})
	return session
}

const sessionCookie, flowCookie = "__Host-keizer_session_acme", "__Host-keizer_flow_acme"

func TestAPersonIsSignedInUntilTheySignOut(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		r, b := newRoom(t, db), browser{}
		if r.current(b) != nil {
			t.Fatal("nobody has signed in yet")
		}
		session := r.signIn(b, r.alice)
		if got := r.current(b); got == nil || got.ID != session.ID || got.UserID != r.alice.ID || !slices.Equal(got.AMR, []string{"pwd"}) || got.ACR != proof.One {
			t.Fatalf("the session is %+v", got)
		}
		kept := b[sessionCookie]
		r.visit(b, func(c *gin.Context) {
			if _, err := r.sessions.End(c, ""); err != nil {
				t.Fatal(err)
			}
			if session, _, err := r.sessions.Current(c); session != nil || err != nil {
				t.Errorf("after signing out there is %+v, %v", session, err)
			}
		})
		if b[sessionCookie] != "" {
			t.Error("the cookie is still there")
		}
		b[sessionCookie] = kept // replayed
		if r.current(b) != nil {
			t.Error("a cookie outlives its session")
		}
		r.visit(b, func(c *gin.Context) {
			if _, err := r.sessions.End(c, ""); err != nil {
				t.Errorf("signing out twice: %v", err)
			}
		})
	})
}

func TestTheDatabaseHoldsNoCookie(t *testing.T) {
	r, b := newRoom(t, storagetest.DB(t)), browser{}
	session := r.signIn(b, r.alice)
	if session.Token != secret.Digest(b[sessionCookie]) || session.Token == b[sessionCookie] {
		t.Errorf("the row holds %q for the cookie %q", session.Token, b[sessionCookie])
	}
}

func TestSigningInGivesANewSecretEveryTime(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		r, b := newRoom(t, db), browser{}
		planted := secret.New(secret.Session)
		b[sessionCookie] = planted
		first := r.signIn(b, r.alice)
		cookie := b[sessionCookie]
		if cookie == planted {
			t.Fatal("a planted cookie was taken over")
		}

		again := r.signIn(b, r.alice)
		if again.ID != first.ID {
			t.Error("the same person's session has another id: applications would lose its sid")
		}
		if b[sessionCookie] == cookie || !again.AuthTime.After(first.AuthTime) {
			t.Error("a second login left the first one's secret or time")
		}
		if got := r.current(browser{sessionCookie: cookie}); got != nil {
			t.Error("the secret before is still good")
		}
		if got := r.current(b); got == nil || got.ID != first.ID {
			t.Errorf("the session is %+v", got)
		}

		bob := r.user("bob")
		cookie = b[sessionCookie]
		other := r.signIn(b, bob)
		if other.ID == first.ID || r.current(browser{sessionCookie: cookie}) != nil {
			t.Error("somebody else's session goes on")
		}
	})
}

func TestASessionEndsWhenNobodyUsesIt(t *testing.T) {
	r := newRoom(t, storagetest.DB(t))
	now := time.Now().UTC()
	for _, c := range []struct {
		name     string
		lastUsed time.Duration
		expires  time.Duration
		alive    bool
	}{
		{"just used", 0, testAbsolute, true}, {"used within the idle time", -testIdle + time.Minute, testAbsolute, true},
		{"idle", -testIdle - time.Second, testAbsolute, false}, {"past its absolute end", 0, -time.Second, false},
	} {
		token := secret.New(secret.Session)
		row := &storage.Session{UserID: r.alice.ID, Token: secret.Digest(token), LastUsedAt: now.Add(c.lastUsed), ExpiresAt: now.Add(c.expires)}
		if err := r.db.CreateSession(r.ctx, row); err != nil {
			t.Fatal(err)
		}
		b := browser{sessionCookie: token}
		for range 2 { // an idle session is not brought back by having been asked for
			if got := r.current(b); (got != nil) != c.alive {
				t.Errorf("%s: %+v", c.name, got)
			}
		}
		if !c.alive && c.expires > 0 {
			if again := r.signIn(b, r.alice); again.ID == row.ID {
				t.Errorf("%s: the session was brought back by a login", c.name)
			}
		}
	}
}

func TestUseIsNotedAtMostOnceAMinute(t *testing.T) {
	r, token := newRoom(t, storagetest.DB(t)), secret.New(secret.Session)
	read := func() time.Time {
		session, _, err := r.db.SessionByToken(r.ctx, secret.Digest(token))
		if err != nil {
			t.Fatal(err)
		}
		return session.LastUsedAt
	}
	used := time.Now().UTC().Add(-30 * time.Second).Truncate(time.Microsecond)
	err := r.db.CreateSession(r.ctx, &storage.Session{
		UserID: r.alice.ID, Token: secret.Digest(token), LastUsedAt: used, ExpiresAt: used.Add(testAbsolute),
	})
	if err != nil {
		t.Fatal(err)
	}
	b := browser{sessionCookie: token}
	if r.current(b); !read().Equal(used) {
		t.Error("half a minute later it was written again")
	}
	session, _, err := r.db.SessionByToken(r.ctx, secret.Digest(token))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.db.TouchSession(r.ctx, session.ID, used.Add(-2*time.Minute)); err != nil {
		t.Fatal(err)
	}
	if r.current(b); read().Before(used) {
		t.Error("minutes later it was not written")
	}
}

func TestAnIdleTimeOfMinutesIsNotedOftenEnough(t *testing.T) {
	if every := noteEvery(2 * time.Minute); every > time.Minute/2 {
		t.Errorf("noted every %s", every)
	}
}

func TestASwitchedOffPersonIsNotSignedIn(t *testing.T) {
	r, b := newRoom(t, storagetest.DB(t)), browser{}
	r.signIn(b, r.alice)
	if err := r.db.SetUserActive(r.ctx, r.alice.ID, false); err != nil {
		t.Fatal(err)
	}
	if r.current(b) != nil {
		t.Error("still signed in")
	}
	r.visit(b, func(c *gin.Context) {
		if _, err := r.sessions.Start(c.Request.Context(), c, r.alice, Proof{At: time.Now()}); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("signed in again: %v", err)
		}
	})
}

func TestACookieOpensNothingAtAnotherOrganization(t *testing.T) {
	r, b := newRoom(t, storagetest.DB(t)), browser{}
	r.signIn(b, r.alice)
	cookie := b[sessionCookie]
	r.enter("other")
	for _, name := range []string{sessionCookie, "__Host-keizer_session_other", "__Host-keizer_session"} {
		if got := r.current(browser{name: cookie}); got != nil {
			t.Errorf("%s opens %+v", name, got)
		}
	}
}

func TestWithoutAnOrganizationNobodyIsAsked(t *testing.T) {
	r := newRoom(t, storagetest.DB(t))
	answer(get("/"), nil, func(c *gin.Context) {
		if _, _, err := r.sessions.Current(c); !errors.Is(err, tenant.ErrNone) {
			t.Errorf("%v", err)
		}
		if _, err := r.sessions.End(c, ""); !errors.Is(err, tenant.ErrNone) {
			t.Errorf("%v", err)
		}
	})
}

func TestCookiesAreLockedDown(t *testing.T) {
	root := &tenant.Org{ID: acme.ID, Slug: "default", Name: "Default", Issuer: "https://id.example"}
	for _, want := range []struct {
		secure bool
		org    *tenant.Org
		name   string
	}{
		{true, root, "__Host-keizer_session"}, {true, acme, "__Host-keizer_session_acme"}, {true, nil, "__Host-keizer_session"},
		{false, root, "keizer_session"}, {false, acme, "keizer_session_acme"},
	} {
		for _, cookie := range []*http.Cookie{
			jar{want.secure}.cookie(cookieSession, want.org, secret.New(secret.Session), time.Minute), jar{want.secure}.gone(cookieSession, want.org),
		} {
			if cookie.Name != want.name || cookie.Secure != want.secure || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode ||
				cookie.Path != "/" || cookie.Domain != "" || len(cookie.String()) > 4096 || cookie.Valid() != nil {
				t.Errorf("%s", cookie)
			}
		}
	}
}

func TestTheSessionCookieEndsWithTheBrowserAndTheFlowCookieByItself(t *testing.T) {
	r, b := newRoom(t, storagetest.DB(t)), browser{}
	var lines []string
	w := r.visit(b, func(c *gin.Context) {
		r.sessions.Flow(c)
		r.sessions.Flow(c)
		fresh, err := r.sessions.Start(c.Request.Context(), c, r.alice, Proof{At: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		r.sessions.Deliver(c, fresh)
	})
	lines = w.Header()["Set-Cookie"]
	slices.Sort(lines)
	if len(lines) != 3 {
		t.Fatalf("%q", lines)
	}
	if want := "; Path=/; Max-Age=900; HttpOnly; Secure; SameSite=Lax"; !strings.HasPrefix(lines[0], flowCookie+"=kz_fl_") || !strings.HasSuffix(lines[0], want) {
		t.Errorf("%q", lines[0])
	}
	if want := "; Path=/; HttpOnly; Secure; SameSite=Lax"; !strings.HasPrefix(lines[1], sessionCookie+"=kz_ses_") || !strings.HasSuffix(lines[1], want) {
		t.Errorf("%q", lines[1])
	}
	// What applications may see the change of (OpenID Connect Session Management 1.0 §3.2).
	if want := "; Path=/; Secure; SameSite=None"; !strings.Contains(lines[2], "keizer_state") || !strings.HasSuffix(lines[2], want) {
		t.Errorf("%q", lines[2])
	}
}

func TestABrowserKeepsItsFlowAndAForgedOneIsReplaced(t *testing.T) {
	r, b := newRoom(t, storagetest.DB(t)), browser{}
	var first string
	r.visit(b, func(c *gin.Context) { first = r.sessions.Flow(c) })
	r.visit(b, func(c *gin.Context) {
		if got := r.sessions.Flow(c); got != first {
			t.Errorf("the browser has another flow: %q", got)
		}
	})
	b[flowCookie] = "x"
	r.visit(b, func(c *gin.Context) {
		if got := r.sessions.Flow(c); got == "x" || !secret.Valid(secret.Flow, got) {
			t.Errorf("the flow is %q", got)
		}
	})
}

func TestAnInteractionBelongsToTheBrowserThatStartedIt(t *testing.T) {
	r, b := newRoom(t, storagetest.DB(t)), browser{}
	id := secret.New(secret.Interaction)
	r.visit(b, func(c *gin.Context) {
		err := r.db.CreateInteraction(c.Request.Context(), &storage.Interaction{
			Digest: secret.Digest(id), BrowserDigest: secret.Digest(r.sessions.Flow(c)), ClientID: "app", ExpiresAt: time.Now().Add(time.Minute),
			Params: url.Values{"client_id": {"app"}},
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	other := browser{}
	r.visit(other, func(c *gin.Context) { r.sessions.Flow(c) })
	for _, c := range []struct {
		name   string
		b      browser
		id     string
		status int
	}{
		{"the browser that started it", b, id, 0}, {"another browser", other, id, 403}, {"a browser without cookies", browser{}, id, 403},
		{"a forged flow", browser{flowCookie: secret.Digest(b[flowCookie])}, id, 403},
		{"an unknown id", b, secret.New(secret.Interaction), 400}, {"no id", b, "", 400}, {"a malformed id", b, id + "x", 400},
		{"the digest of the id", b, secret.Digest(id), 400},
	} {
		r.visit(c.b, func(g *gin.Context) {
			interaction, err := r.sessions.Interaction(g, c.id)
			var page *Error
			switch {
			case c.status == 0 && (err != nil || interaction.ClientID != "app"):
				t.Errorf("%s: %v", c.name, err)
			case c.status != 0 && (!errors.As(err, &page) || page.Status != c.status || interaction != nil):
				t.Errorf("%s: %v", c.name, err)
			}
		})
	}
	r.enter("other")
	r.visit(browser{"__Host-keizer_flow_other": b[flowCookie]}, func(c *gin.Context) {
		if _, err := r.sessions.Interaction(c, id); err == nil {
			t.Error("it is known at another organization")
		}
	})
}

func TestAFormsTokenIsWorthNothingAnywhereElse(t *testing.T) {
	r, b := newRoom(t, storagetest.DB(t)), browser{}
	token := func(b browser, purpose string) (token string) {
		r.visit(b, func(c *gin.Context) { token = r.sessions.CSRF(c, purpose) })
		return token
	}
	check := func(b browser, purpose string, values ...string) (err error) {
		r.visit(b, func(c *gin.Context) { err = r.sessions.CheckCSRF(c, url.Values{FieldCSRF: values}, purpose) })
		return err
	}
	mine := token(b, "login")
	if err := check(b, "login", mine); err != nil {
		t.Fatalf("the browser's own token: %v", err)
	}
	other := browser{}
	token(other, "login")
	refused := map[string]error{
		"no token":                  check(b, "login"),
		"an empty token":            check(b, "login", ""),
		"two tokens":                check(b, "login", mine, mine),
		"a cut token":               check(b, "login", mine[:len(mine)-1]),
		"another form":              check(b, "consent", mine),
		"another browser":           check(other, "login", mine),
		"a browser without cookies": check(browser{}, "login", mine),
		"a token of no browser":     check(browser{}, "login", token(browser{}, "login")),
	}
	r.signIn(b, r.alice)
	refused["a token from before the login"] = check(b, "login", mine)
	session := token(b, "login")
	if err := check(b, "login", session); err != nil {
		t.Errorf("a token of the session: %v", err)
	}
	r.signIn(b, r.alice)
	refused["a token from before the second login"] = check(b, "login", session)
	before := browser{flowCookie: b[flowCookie]}
	kept := token(before, "login")
	r.enter("other")
	refused["another organization"] = check(browser{"__Host-keizer_flow_other": before[flowCookie]}, "login", kept)

	for name, err := range refused {
		var page *Error
		if !errors.As(err, &page) || page.Status != http.StatusForbidden {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAFormIsReadInOneWayOnly(t *testing.T) {
	for _, c := range []struct {
		name, contentType, body string
		status                  int
	}{
		{"a form", "application/x-www-form-urlencoded", "a=1&b=2", 0}, {"with a charset", "application/x-www-form-urlencoded; charset=utf-8", "a=1&b=2", 0},
		{"multipart", "multipart/form-data; boundary=x", "--x--", 415}, {"plain text", "text/plain", "a=1", 415}, {"JSON", "application/json", `{"a":1}`, 415},
		{"nothing", "", "a=1", 415}, {"a broken escape", "application/x-www-form-urlencoded", "a=%zz", 400},
		{"a field twice", "application/x-www-form-urlencoded", "a=1&a=2", 400}, {"a semicolon", "application/x-www-form-urlencoded", "a=1;b=2", 400},
		{"very many fields", "application/x-www-form-urlencoded", manyFields(), 400},
	} {
		request := httptest.NewRequest(http.MethodPost, "/?c=3", strings.NewReader(c.body))
		request.Header.Set("Content-Type", c.contentType)
		answer(request, acme, func(g *gin.Context) {
			form, err := Form(g)
			var page *Error
			switch {
			case c.status == 0 && (err != nil || form.Get("a") != "1" || form.Has("c")):
				t.Errorf("%s: %v, %v", c.name, form, err)
			case c.status != 0 && (!errors.As(err, &page) || page.Status != c.status):
				t.Errorf("%s: %v", c.name, err)
			}
		})
	}
}

func manyFields() string {
	var b strings.Builder
	for i := range maxFields + 1 {
		b.WriteString("f" + strings.Repeat("x", i) + "=1&")
	}
	return strings.TrimSuffix(b.String(), "&")
}

func TestWhatAnotherSiteSendsIsRefused(t *testing.T) {
	pages := newPages(t, Options{})
	guard := pages.SameOrigin()
	for _, c := range []struct {
		name    string
		headers []string
		passes  bool
	}{
		{"our own page", []string{"Sec-Fetch-Site", "same-origin", "Origin", "null"}, true}, {"the address bar", []string{"Sec-Fetch-Site", "none"}, true},
		{"an old browser's own page", []string{"Origin", "https://id.example"}, true}, {"a program", nil, true},
		{"another site", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, false},
		{"a sibling", []string{"Sec-Fetch-Site", "same-site", "Origin", "https://evil.id.example"}, false},
		{"an old browser from elsewhere", []string{"Origin", "https://evil.example"}, false}, {"a sandbox", []string{"Origin", "null"}, false},
	} {
		request := httptest.NewRequest(http.MethodPost, "https://id.example/login", nil)
		for i := 0; i+1 < len(c.headers); i += 2 {
			request.Header.Set(c.headers[i], c.headers[i+1])
		}
		w := answer(request, acme, func(g *gin.Context) {
			guard(g)
			if g.IsAborted() == c.passes {
				t.Errorf("%s: aborted is %v", c.name, g.IsAborted())
			}
		})
		if !c.passes && (w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "another website")) {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
	}
}

func TestABrowsersNameIsTextAndShort(t *testing.T) {
	request := get("/")
	request.Header.Set("User-Agent", strings.Repeat("é", 400)+"\xff")
	if name := userAgent(request); len(name) > maxUserAgent || strings.ToValidUTF8(name, "?") != name {
		t.Errorf("%d bytes: %q", len(name), name)
	}
}

func TestAProofThatFollowsAnotherIsLaterInWholeSeconds(t *testing.T) {
	at := func(milliseconds int64) time.Time { return time.UnixMilli(1_800_000_000_000 + milliseconds).UTC() }
	for _, test := range []struct {
		name               string
		proof, last, wants time.Time
	}{
		{"in another second", at(5_200), at(1_900), at(5_200)},
		{"in the next second", at(2_000), at(1_900), at(2_000)},
		{"in the same second", at(1_900), at(1_100), at(2_000)},
		{"in the same instant", at(1_100), at(1_100), at(2_000)},
		{"the third of a second", at(1_950), at(2_000), at(2_000)},
		{"in the second that the last was rounded up to", at(2_300), at(2_000), at(3_000)},
		{"by a clock that is behind", at(0), at(9_500), at(9_500)},
	} {
		got := later(test.proof, test.last)
		if !got.Equal(test.wants) || got.Before(test.last) || got.Sub(test.proof) > time.Second && !got.Equal(test.last) {
			t.Errorf("%s: %v, not %v", test.name, got, test.wants)
		}
	}
}
