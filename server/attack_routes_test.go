package server_test

import (
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/admin"
	"github.com/keizer-auth/keizer/internal/formbrowser"
	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server"
	"github.com/keizer-auth/keizer/server/servertest"
)

// routesOf are the paths of a method, with an organization, a file and whatever else stands for a part of them filled in.
func routesOf(t testing.TB, house *servertest.House, method string) (paths []string) {
	t.Helper()
	all, err := server.Routes(house.House)
	if err != nil {
		t.Fatal(err)
	}
	for _, route := range all {
		if route.Method != method {
			continue
		}
		segments := strings.Split(route.Path, "/")
		for i, segment := range segments {
			switch {
			case segment == ":org":
				segments[i] = "acme"
			case strings.HasPrefix(segment, ":"), strings.HasPrefix(segment, "*"):
				segments[i] = "something"
			}
		}
		paths = append(paths, strings.Join(segments, "/"))
	}
	slices.Sort(paths)
	if len(paths) < 20 {
		t.Fatalf("%d routes for %s", len(paths), method)
	}
	return paths
}

// inside is somebody who is signed in to an organization in production, at a browser that has every cookie there is.
func inside(t *testing.T, house *servertest.House, slug string) *formbrowser.Browser {
	t.Helper()
	org := house.In(slug)
	house.User(org, "alice")
	client := house.Client(org, manage.ClientSpec{SkipConsent: true})
	browser := formbrowser.New(formbrowser.Options{StopAt: client.Redirect, HTTP: &http.Client{Transport: behindTLS{house}}, SendIncomplete: true})
	walk := func(address, button string, fields ...string) {
		t.Helper()
		page, err := browser.Open(t.Context(), address)
		for i := 0; i+1 < len(fields) && err == nil; i += 2 {
			err = page.Fill(fields[i], fields[i+1])
		}
		if err == nil {
			_, err = page.Click(t.Context(), button)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	walk(strings.Replace(client.AuthorizeURL(), house.URL, house.Base, 1), "login-submit", "username", "alice", "password", servertest.Password)
	walk(house.Issuer(org)+"/signup", "signup-submit", "email", "new@example.com", "password", newPassword)
	walk(house.Issuer(org)+"/account", "language-ar")
	return browser
}

// S-174, S-182, S-184, S-185: no route, however it is asked and whoever asks, answers without the headers of a page, or sets a
// cookie that another site could read, plant or be sent.
func TestNoRouteAnswersWithoutItsHeadersOrSetsAnOpenCookie(t *testing.T) {
	t.Parallel()
	house := production(t, servertest.Options{})
	house.Organization("acme")
	kept := map[string]bool{}
	look := func(what string, answer *servertest.Answer) {
		t.Helper()
		// The one page that applications frame, and that shows nothing (OpenID Connect Session Management 1.0 §3.3).
		framed := strings.HasPrefix(what, "GET ") && strings.Contains(what, "/oauth2/check-session") && answer.Status == http.StatusOK
		shared := strings.Contains(what, "/.well-known/") && !strings.Contains(what, manage.HostProofPath) && answer.Status != http.StatusMethodNotAllowed
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin",
			"Cross-Origin-Resource-Policy": map[bool]string{true: "cross-origin", false: "same-origin"}[shared || framed],
			"Strict-Transport-Security":    "max-age=63072000; includeSubDomains; preload", "Cache-Control": "no-store",
		} {
			got := answer.Header.Values(name)
			if framed && name == "X-Frame-Options" && len(got) == 0 {
				continue
			}
			if name == "Cache-Control" && answer.Status < 400 && (shared || strings.Contains(what, "/static/")) {
				continue // the same for everybody
			}
			if len(got) != 1 || got[0] != want {
				t.Errorf("%s: %d with %s %q", what, answer.Status, name, got)
			}
		}
		csp := answer.Header.Values("Content-Security-Policy")
		ancestors := map[bool]string{true: "frame-ancestors *", false: "frame-ancestors 'none'"}[framed]
		if len(csp) != 1 || !strings.Contains(csp[0], "default-src 'none'") || !strings.Contains(csp[0], ancestors) || strings.Contains(csp[0], "unsafe") {
			t.Errorf("%s: %d with the policy %q", what, answer.Status, csp)
		}
		for _, line := range answer.Header.Values("Set-Cookie") {
			cookie, err := http.ParseSetCookie(line)
			if err == nil && strings.HasPrefix(cookie.Name, "__Host-keizer_state") && !cookie.HttpOnly && cookie.SameSite == http.SameSiteNoneMode {
				cookie.HttpOnly, cookie.SameSite = true, http.SameSiteLaxMode // which that page reads, and which opens nothing
			}
			if err != nil || !strings.HasPrefix(cookie.Name, "__Host-keizer_") || !cookie.Secure || !cookie.HttpOnly || cookie.Path != "/" || cookie.Domain != "" ||
				cookie.SameSite != http.SameSiteLaxMode || len(line) > 4096 {
				t.Errorf("%s sets %s", what, line)
				continue
			}
			kept[cookie.Name] = true
		}
	}
	for _, slug := range []string{"default", "acme"} {
		decide(t, []*servertest.House{house}, slug, "sign_up.mode", "open")
		browser := inside(t, house, slug)
		names := map[string]bool{}
		for _, cookie := range browser.Cookies(house.Base) {
			names[cookie.Name] = true
		}
		suffix := map[string]string{"default": "", "acme": "_acme"}[slug]
		for _, name := range []string{"session" + suffix, "device" + suffix, "signup" + suffix, "lang", "lang_now"} {
			if !names["__Host-keizer_"+name] {
				t.Errorf("no cookie %s in %v", name, names)
			}
		}
		for _, method := range []string{"GET", "POST"} {
			for _, path := range routesOf(t, house, method) {
				if strings.HasPrefix(path, "/o/") != (slug == "acme") {
					continue
				}
				for who, cookies := range map[string][]*http.Cookie{"a stranger": nil, "somebody": browser.Cookies(house.Base)} {
					r := request{method: method, address: path, cookies: cookies}
					if method == "POST" {
						r.form = url.Values{"lang": {"en"}, "return": {"/login"}}
					}
					look(fmt.Sprintf("%s %s of %s", method, path, who), send(t, house, r))
				}
				look("PATCH "+path, send(t, house, request{method: "PATCH", address: path}))
			}
		}
	}
	if len(kept) == 0 {
		t.Error("no route sets a cookie")
	}
}

// state is what a form could change.
func state(t *testing.T, db *sql.DB) string {
	t.Helper()
	var all []string
	for _, query := range []string{
		`SELECT id || email || password_hash || coalesce(username, '') || coalesce(full_name, '') || metadata || is_active || is_verified FROM users ORDER BY id`,
		`SELECT id || is_valid FROM sessions ORDER BY id`, `SELECT id || coalesce(used_at, '') || attempts FROM verification_tokens ORDER BY id`,
		`SELECT id || name FROM passkeys ORDER BY id`, `SELECT id FROM authenticators ORDER BY id`, `SELECT digest FROM recovery_codes ORDER BY digest`,
		`SELECT id || coalesce(trusted_until, '') FROM devices ORDER BY id`, `SELECT digest FROM sign_ins ORDER BY digest`, `SELECT user_id FROM consents ORDER BY id`,
		`SELECT id || coalesce(revoked_at, '') FROM oauth_grants ORDER BY id`, `SELECT id FROM outbox ORDER BY id`,
		`SELECT digest || coalesce(authenticated_at, '') FROM interactions ORDER BY digest`, `SELECT id || coalesce(last_used_at, '') FROM oauth_accounts ORDER BY id`,
		`SELECT digest || coalesce(spent_at, '') || coalesce(answered_at, '') FROM upstream_requests ORDER BY digest`,
	} {
		all = append(all, column(t, db, query)...)
	}
	return strings.Join(all, "\n")
}

// S-165, S-166: of all the forms that there are, as the router has them, none is taken that another site sends, that has no token,
// or one of another form, of another session or organization, or from before the sign-in; nor one that is no form.
func TestNoRouteTakesAFormThatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	root := house.In("default")
	house.Organization("acme")
	for _, slug := range []string{"default", "acme"} {
		decide(t, []*servertest.House{house}, slug, "sign_up.mode", "open")
		house.User(house.In(slug), "alice")
		federate(t, house, house.In(slug), "something", "id", "secret", map[string]any{"preset": "google"}, "")
	}
	alice, there := accountless(t, house, root, "alice"), accountOf(t, house, house.In("acme"), "alice")
	early := csrf(t, alice.Go(house.URL+"/login").Body)
	alice.expect(alice.SignIn(alice.Go(house.URL+"/login"), "alice", servertest.Password), "Your account")
	setup, err := house.Operators.NewSetupLink(t.Context(), house.Base)
	if err != nil {
		t.Fatal(err)
	}
	if err := house.People.Forgot(root, visitorOf("203.0.113.6"), "alice", ""); err != nil {
		t.Fatal(err)
	}
	user, err := house.DB.UserByLogin(root, "alice")
	if err == nil {
		err = house.People.ChangeEmail(root, visitorOf("203.0.113.6"), user.ID, "other@example.com")
	}
	if err != nil {
		t.Fatal(err)
	}
	_, setup, _ = strings.Cut(setup, "?token=")
	links := map[string]string{
		"/reset": tokenOf(t, house, "alice@example.com", mail.PasswordReset), "/account/email/confirm": tokenOf(t, house, "other@example.com", mail.ConfirmEmail),
		"/setup": setup,
	}
	// The first form on a page of an account is that which signs out.
	foreign := csrf(t, alice.Go(house.URL+"/account/profile").Body)
	// What goes by no cookie, and what anybody may send: the endpoints of applications, and the choice of a language.
	open := []string{"/oauth2/authorize", "/oauth2/par", "/oauth2/token", "/oauth2/userinfo", "/oauth2/introspect", "/oauth2/revoke", "/oauth2/register"}

	// These are about a request, or a sign-in under way, and look for it first.
	halfway := []string{"/consent", "/login/factor", "/login/enroll"}
	db := house.SQL()
	was := state(t, db)
	tried := 0
	for _, path := range routesOf(t, house, "POST") {
		below := strings.TrimPrefix(path, "/o/acme")
		if slices.Contains(open, below) || strings.HasPrefix(path, "/playground") || admin.Is(path) {
			continue
		}
		tried++
		who, other := alice, there
		if below != path {
			who, other = there, alice
		}
		cookies := slices.Concat(who.Cookies(house.URL), other.Cookies(house.URL))
		address := path
		if token := links[path]; token != "" {
			address += "?token=" + token
		}
		form := func(token string) url.Values {
			return fields("csrf_token", token, "password", newPassword, "email", "mallory@evil.example", "login", "alice", "username", "alice", "confirm", "alice",
				"lang", "en", "return", "/login")
		}
		refused := func(what string, status int, r request) {
			t.Helper()
			answer := send(t, house, r)
			switch {
			case slices.Contains(halfway, below) && answer.Status == http.StatusBadRequest: // there is none without what it is about
			case below == "/login/something/callback" && answer.Status == http.StatusBadRequest: // the form is another site's, and brings a state
			case below == "/oauth2/logout" && (answer.Status == http.StatusBadRequest || answer.Status == http.StatusOK && strings.Contains(answer.Body, "logout-confirm")): // it asks
			case answer.Status == status && answer.Header.Get("Location") == "":
			default:
				t.Errorf("%s, %s: %d to %q", path, what, answer.Status, answer.Header.Get("Location"))
			}
		}
		for name, header := range map[string][]string{
			"from another site":     {"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"},
			"from a sibling":        {"Sec-Fetch-Site", "same-site", "Origin", "http://evil.localhost"},
			"from another's origin": {"Origin", "https://evil.example"},
			"from a sandbox":        {"Origin", "null"},
		} {
			refused(name, http.StatusForbidden, request{address: address, form: form(foreign), header: header, cookies: cookies})
		}
		if path == "/language" {
			continue // it changes nothing but the words, and has no token
		}
		for name, token := range map[string]string{
			"with no token": "", "with that of another form": foreign, "with that of another organization": csrf(t, other.Go(house.URL+strings.TrimPrefix(other.issuer, house.Base)+"/account/profile").Body),
			"with that from before the sign-in": early, "with one that is long": strings.Repeat("A", 9000),
		} {
			if name == "with that of another form" && below == "/account/sign-out" {
				continue // this is its own
			}
			refused(name, http.StatusForbidden, request{address: address, form: form(token), cookies: cookies})
		}
		own := csrf(t, who.Go(house.URL+strings.TrimPrefix(who.issuer, house.Base)+"/account/profile").Body)
		for _, kind := range []string{"text/plain", "application/json", "multipart/form-data; boundary=b", ""} {
			refused("as "+kind, http.StatusUnsupportedMediaType, request{method: "POST", address: address, kind: kind, body: strings.NewReader(form(own).Encode()), cookies: cookies})
		}
	}
	if tried < 40 {
		t.Errorf("%d forms were tried", tried)
	}
	if now := state(t, db); now != was {
		t.Errorf("something has happened:\n%s\nwas\n%s", now, was)
	}
}

// S-270: of an organization that is suspended, no route does anything, for whoever is signed in there.
func TestNoRouteOfASuspendedOrganizationAnswers(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	acme := house.Organization("acme")
	house.User(acme, "alice")
	alice := accountOf(t, house, acme, "alice")
	token := csrf(t, alice.Go(alice.issuer+"/account/profile").Body)
	change(t, house, `UPDATE organizations SET suspended_at = '`+longAgo+`' WHERE slug = 'acme'`)
	if !within(t.Context(), 5*time.Second, func() bool { return send(t, house, request{address: "/o/acme/login"}).Status == http.StatusNotFound }) {
		t.Fatal("it is still served")
	}
	db := house.SQL()
	was := state(t, db)
	for _, method := range []string{"GET", "POST"} {
		for _, path := range routesOf(t, house, method) {
			if !strings.HasPrefix(path, "/o/acme/") {
				continue
			}
			r := request{method: method, address: path, cookies: alice.Cookies(house.URL)}
			if method == "POST" {
				r.form = fields("csrf_token", token, "name", "Mallory", "email", "mallory@evil.example", "login", "alice", "password", newPassword)
			}
			want := http.StatusNotFound
			if strings.HasSuffix(path, "/oauth2/authorize") {
				want = http.StatusBadRequest // an application has sent them
			}
			answer := send(t, house, r)
			if answer.Status != want || answer.Header.Get("Location") != "" || answer.Header.Get("Set-Cookie") != "" {
				t.Errorf("%s %s: %d to %q", method, path, answer.Status, answer.Header.Get("Location"))
			}
		}
	}
	if now := state(t, db); now != was {
		t.Errorf("something has happened:\n%s\nwas\n%s", now, was)
	}
}
