package server_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/config"
	"github.com/keizer-auth/keizer/internal/formbrowser"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
)

// S-164, S-165: a form that is right in everything, cookies and token included, does nothing when another site sends it; and
// one that says nothing of where it comes from needs its token.
func TestAFormThatAnotherSiteSendsDoesNothing(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	client := house.Client(org, manage.ClientSpec{})
	link, err := house.Operators.NewSetupLink(t.Context(), house.Base)
	if err != nil {
		t.Fatal(err)
	}

	starting, deciding, leaving, visiting := client.Visitor(), client.Visitor(), signedIn(client, "alice"), client.Visitor()
	login := starting.Go(client.AuthorizeURL())
	consent := deciding.SignIn(deciding.Go(client.AuthorizeURL("scope", "openid email")), "alice", servertest.Password)
	logout, setup := leaving.Go(house.URL+"/oauth2/logout"), visiting.Go(link)
	db := house.SQL()
	state := func() string {
		return fmt.Sprint(rows(t, db, "sessions"), rows(t, db, "consents"), rows(t, db, "users"), rows(t, db, "oauth_codes"), rows(t, db, "user_roles"),
			column(t, db, `SELECT count(*) FROM sessions WHERE is_valid`), column(t, db, `SELECT count(*) FROM interactions WHERE authenticated_at IS NOT NULL`))
	}
	before := state()

	hidden := func(body, name string) string {
		found := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(body)
		if found == nil {
			t.Fatalf("no field %s in %s", name, short(body))
		}
		return found[1]
	}
	forms := []struct {
		name    string
		address *url.URL
		body    string
		who     *servertest.Visitor
		form    []string
	}{
		{"login", login.URL, login.Body, starting, []string{"username", "alice", "password", servertest.Password}},
		{"cancel", login.URL, login.Body, starting, []string{"action", "cancel"}},
		{"consent", consent.URL, consent.Body, deciding, []string{"action", "allow"}},
		{"deny", consent.URL, consent.Body, deciding, []string{"action", "deny"}},
		{"logout", logout.URL, logout.Body, leaving, []string{"confirm", "yes", "request", hidden(logout.Body, "request")}},
		{"setup", setup.URL, setup.Body, visiting, []string{"username", "mallory", "email", "mallory@example.com", "password", servertest.Password}},
	}
	for i, f := range forms {
		token := csrf(t, f.body)
		for name, header := range map[string][]string{
			"a cross-site form":       {"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"},
			"a sibling's form":        {"Sec-Fetch-Site", "same-site", "Origin", "http://evil.localhost"},
			"another site's origin":   {"Origin", "https://evil.example"},
			"another port":            {"Origin", "http://localhost:1"},
			"a sandbox":               {"Origin", "null"},
			"a sandbox, cross-site":   {"Origin", "null", "Sec-Fetch-Site", "cross-site"},
			"a method in disguise":    {"Origin", "https://evil.example", "X-Http-Method-Override", "POST"},
			"a script, as a bookmark": {"Sec-Fetch-Site", "cross-site"},
		} {
			if f.name == "logout" {
				continue // an application may send anybody there; its form goes by the token alone
			}
			answer := send(t, house, request{address: f.address.RequestURI(), form: fields(append(f.form, "csrf_token", token)...),
				header: header, cookies: f.who.Cookies(house.URL)})
			wantPage(t, f.name+" from "+name, answer, 403)
		}
		for name, wrong := range map[string]string{
			"none": "", "one bit": token[:len(token)-2] + "AA", "another page's": csrf(t, forms[(i+2)%len(forms)].body), "long": strings.Repeat("A", 5000),
		} {
			answer := send(t, house, request{address: f.address.RequestURI(), form: fields(append(f.form, "csrf_token", wrong)...), cookies: f.who.Cookies(house.URL)})
			wantPage(t, f.name+", token: "+name, answer, 403)
		}
		for name, cookies := range map[string][]*http.Cookie{"no cookies": nil, "another browser's": client.Visitor().Cookies(house.URL)} {
			answer := send(t, house, request{address: f.address.RequestURI(), form: fields(append(f.form, "csrf_token", token)...), cookies: cookies})
			wantPage(t, f.name+", cookies: "+name, answer, 403)
		}
		encoded := fields(append(f.form, "csrf_token", token)...).Encode()
		for kind, status := range map[string]int{"text/plain": 415, "application/json": 415, "multipart/form-data; boundary=b": 415, "": 415} {
			answer := send(t, house, request{method: "POST", address: f.address.RequestURI(), kind: kind, body: strings.NewReader(encoded), cookies: f.who.Cookies(house.URL)})
			if f.name == "logout" {
				status = 400
			}
			wantPage(t, f.name+" as "+kind, answer, status)
		}
	}
	if after := state(); after != before {
		t.Errorf("something has happened: %s, was %s", after, before)
	}
	// The same forms, from where they are, do what they say.
	if arrived, _ := deciding.Press(consent, "consent-allow").Arrived(); arrived.Get("code") == "" {
		t.Errorf("consent: %v", arrived)
	}
	if arrived, _ := starting.SignIn(login, "alice", servertest.Password).Arrived(); arrived.Get("code") == "" {
		t.Errorf("login: %v", arrived)
	}
	if page := leaving.Press(logout, "logout-confirm"); page.Title != "Signed out" {
		t.Errorf("logout: %q", page.Title)
	}
}

// S-173: what somebody has planted in a browser is not what its owner is signed in by afterwards.
func TestAPlantedCookieIsNotWhatItsVictimSignsInWith(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "victim")
	house.User(org, "mallory")
	client := house.Client(org, manage.ClientSpec{SkipConsent: true})
	attacker := signedIn(client, "mallory")
	theirs := cookieValue(t, attacker, house, "keizer_session")
	whose := func(session string) string {
		answer := send(t, house, request{
			address: client.AuthorizeURL("prompt", "none"), cookies: []*http.Cookie{{Name: "keizer_session", Value: session}},
		})
		carried := sentOn(t, "a session", answer, client.Redirect)
		if carried.Get("error") != "" {
			return carried.Get("error")
		}
		sub, _ := servertest.Claims(t, client.Redeem(carried.Get("code")).Text("id_token"))["sub"].(string)
		return sub
	}
	mallory := whose(theirs)

	for name, planted := range map[string]string{"the attacker's own": theirs, "one that was never given": secret.New(secret.Session)} {
		victim := client.Visitor()
		victim.SetCookie(house.URL, &http.Cookie{Name: "keizer_session", Value: planted, Path: "/"})
		victim.Through(client.AuthorizeURL("prompt", "login"), "victim")
		got := cookieValue(t, victim, house, "keizer_session")
		if got == planted {
			t.Errorf("%s: the victim keeps it", name)
		}
		if sub := whose(got); sub == mallory || sub == "login_required" {
			t.Errorf("%s: the victim is %s", name, sub)
		}
		if sub := whose(planted); sub != "login_required" {
			t.Errorf("%s: it is still good, for %s", name, sub)
		}
	}
}

// S-176, S-177, S-178: however a session has ended, its cookie is nobody's, at every replica, and use does not revive it.
func TestACookieOfASessionThatHasEndedIsNobodysAtEveryReplica(t *testing.T) {
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		replicas := twoReplicas(t, databaseURL, 0)
		house := replicas[0]
		org := house.In("default")
		user := house.User(org, "alice")
		client := house.Client(org, manage.ClientSpec{SkipConsent: true})
		silent := strings.TrimPrefix(client.AuthorizeURL("prompt", "none"), house.URL)
		for _, test := range []struct {
			name string
			end  func(visitor *servertest.Visitor, digest string)
		}{
			{"signed out", func(visitor *servertest.Visitor, _ string) {
				visitor.Press(visitor.Go(house.URL+"/oauth2/logout"), "logout-confirm")
			}},
			{"signed in again", func(visitor *servertest.Visitor, _ string) {
				visitor.Through(client.AuthorizeURL("prompt", "login"), "alice")
			}},
			{"idle for too long", func(_ *servertest.Visitor, digest string) {
				at := time.Now().UTC().Add(-house.Cfg.Session.IdleTimeout - time.Second).Format(time.DateTime)
				change(t, house, `UPDATE sessions SET last_used_at = '`+at+`' WHERE token = $1`, digest)
			}},
			{"at its end", func(_ *servertest.Visitor, digest string) {
				change(t, house, `UPDATE sessions SET expires_at = '`+time.Now().UTC().Add(-time.Second).Format(time.DateTime)+`' WHERE token = $1`, digest)
			}},
			{"of somebody who is switched off", func(*servertest.Visitor, string) {
				if err := house.DB.SetUserActive(org, user.ID, false); err != nil {
					t.Fatal(err)
				}
			}},
		} {
			visitor := signedIn(client, "alice")
			cookies := visitor.Cookies(house.URL)
			ask := func(replica *servertest.House) string {
				answer := send(t, replica, request{address: silent, cookies: cookies})
				return sentOn(t, test.name, answer, client.Redirect).Get("error")
			}
			for _, replica := range replicas {
				if said := ask(replica); said != "" {
					t.Fatalf("%s: before: %s", test.name, said)
				}
			}
			test.end(visitor, secret.Digest(cookieValue(t, visitor, house, "keizer_session")))
			for range 2 {
				for i, replica := range replicas {
					if said := ask(replica); said != "login_required" {
						t.Errorf("%s, replica %d: %q", test.name, i+1, said)
					}
				}
			}
		}
	})
}

// S-174: every cookie that any address sets in production is locked down.
func TestEveryCookieInProductionIsLockedDown(t *testing.T) {
	t.Parallel()
	house := production(t, servertest.Options{})
	for slug, prefix := range map[string]string{"default": "__Host-keizer_", "acme": "__Host-keizer_"} {
		org := house.In
		if slug != "default" {
			house.Organization(slug)
		}
		ctx := org(slug)
		house.User(ctx, "alice")
		client := house.Client(ctx, manage.ClientSpec{})
		browser := formbrowser.New(formbrowser.Options{StopAt: client.Redirect, HTTP: &http.Client{Transport: behindTLS{house}}})
		must := func(page *formbrowser.Page, err error) *formbrowser.Page {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			return page
		}
		page := must(browser.Open(t.Context(), strings.Replace(client.AuthorizeURL(), house.URL, house.Base, 1)))
		if err := errors.Join(page.Fill("username", "alice"), page.Fill("password", servertest.Password)); err != nil {
			t.Fatal(err)
		}
		page = must(page.Click(t.Context(), "login-submit"))
		page = must(page.Click(t.Context(), "consent-allow"))
		if arrived, _ := page.Arrived(); arrived.Get("code") == "" || arrived.Get("iss") != client.Issuer {
			t.Fatalf("%v", arrived)
		}
		names := map[string]bool{}
		for _, cookie := range browser.Cookies(house.Base) {
			names[cookie.Name] = true
		}
		suffix := ""
		if slug != "default" {
			suffix = "_" + slug
		}
		for _, role := range []string{"session", "flow"} {
			if !names[prefix+role+suffix] {
				t.Errorf("no cookie %s%s%s in %v", prefix, role, suffix, names)
			}
		}

		path := strings.TrimPrefix(client.Issuer, house.Base)
		for _, address := range []string{
			strings.TrimPrefix(client.AuthorizeURL(), house.URL), path + "/login", path + "/consent", path + "/oauth2/logout", path + "/logged-out", "/setup", "/nowhere",
			path + "/oauth2/authorize?interaction=x", path + "/.well-known/jwks.json", "/readyz",
		} {
			for _, cookies := range [][]*http.Cookie{nil, browser.Cookies(house.Base)} {
				answer := send(t, house, request{address: address, cookies: cookies})
				for _, line := range answer.Header["Set-Cookie"] {
					cookie, err := http.ParseSetCookie(line)
					if err == nil && strings.HasPrefix(cookie.Name, "__Host-keizer_state") && !cookie.HttpOnly && cookie.SameSite == http.SameSiteNoneMode {
						continue // see TestNoRouteAnswersWithoutItsHeadersOrSetsAnOpenCookie
					}
					if err != nil || !strings.HasPrefix(cookie.Name, "__Host-") || !cookie.Secure || !cookie.HttpOnly || cookie.Path != "/" || cookie.Domain != "" ||
						cookie.SameSite != http.SameSiteLaxMode || len(line) > 4096 {
						t.Errorf("%s sets %s", address, line)
					}
				}
			}
		}
	}
}

// S-182, S-184, S-185: no answer is without the headers that are everybody's, whatever it is an answer to.
func TestNoAnswerIsWithoutItsHeaders(t *testing.T) {
	t.Parallel()
	for _, house := range []*servertest.House{servertest.Start(t, servertest.Options{}), production(t, servertest.Options{})} {
		client := house.Client(house.In("default"), manage.ClientSpec{})
		asked := strings.TrimPrefix(client.AuthorizeURL(), house.URL)
		secure := strings.HasPrefix(house.Base, "https:")
		for name, r := range map[string]request{
			"a page":                 {address: "/logged-out"},
			"an error page":          {address: "/consent"},
			"a redirect":             {address: asked},
			"a request error":        {address: "/oauth2/authorize"},
			"a logout":               {address: "/oauth2/logout"},
			"setup":                  {address: "/setup?token=x"},
			"nothing":                {address: "/nowhere"},
			"no organization":        {address: "/o/nobody/login"},
			"a wrong method":         {method: "DELETE", address: "/oauth2/token"},
			"an address too long":    {address: "/" + strings.Repeat("a", 9000)},
			"another host":           {address: "/", host: "evil.example"},
			"a cross-site form":      {address: "/login", form: url.Values{}, header: []string{"Origin", "https://evil.example"}},
			"a token error":          {address: "/oauth2/token", form: url.Values{}},
			"a body too large":       {address: "/oauth2/token", form: fields("x", strings.Repeat("a", 70<<10))},
			"userinfo":               {address: "/oauth2/userinfo"},
			"introspection":          {address: "/oauth2/introspect", form: fields("token", "x"), header: []string{"Authorization", client.Basic()}},
			"revocation":             {address: "/oauth2/revoke", form: fields("token", "x"), header: []string{"Authorization", client.Basic()}},
			"a preflight":            {method: "OPTIONS", address: "/oauth2/token", header: []string{"Origin", "https://rp.example"}},
			"liveness":               {address: "/livez"},
			"readiness":              {address: "/readyz"},
			"discovery":              {address: "/.well-known/openid-configuration"},
			"keys":                   {address: "/.well-known/jwks.json"},
			"keys that are kept":     {address: "/.well-known/jwks.json", header: []string{"If-None-Match", "*"}},
			"a file":                 {address: "/static/nothing.css"},
			"an answer by form_post": {address: asked + "&response_mode=form_post&prompt=none"},
		} {
			answer := send(t, house, r)
			header := answer.Header
			shared := strings.Contains(r.address, ".well-known")
			for want, value := range map[string]string{
				"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin",
				"Cross-Origin-Resource-Policy": map[bool]string{true: "cross-origin", false: "same-origin"}[shared],
			} {
				if got := header.Values(want); len(got) != 1 || got[0] != value {
					t.Errorf("%s: %s %q", name, want, got)
				}
			}
			if policy := header.Values("Content-Security-Policy"); len(policy) != 1 || !strings.Contains(policy[0], "default-src 'none'") ||
				!strings.Contains(policy[0], "frame-ancestors 'none'") || strings.Contains(policy[0], "unsafe") || strings.Contains(policy[0], "*") {
				t.Errorf("%s: policy %q", name, policy)
			}
			if header.Get("Permissions-Policy") == "" || header.Get("X-Request-Id") == "" || header.Get("Server") != "" || header.Get("X-Powered-By") != "" {
				t.Errorf("%s: %v", name, header)
			}
			if cached := header.Get("Cache-Control"); !shared && cached != "no-store" {
				t.Errorf("%s: %d, Cache-Control %q", name, answer.Status, cached)
			}
			if hsts := header.Get("Strict-Transport-Security"); (hsts == "max-age=63072000; includeSubDomains; preload") != secure {
				t.Errorf("%s: Strict-Transport-Security %q", name, hsts)
			}
			if answer.Body != "" && header.Get("Content-Type") == "" {
				t.Errorf("%s: no Content-Type", name)
			}
		}
	}
}

// S-186: a script of another origin reads what everybody may, and what its own client was answered; never with cookies.
func TestAScriptReadsWhatItsOwnClientIsAnswered(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	client := house.Client(org, manage.ClientSpec{RedirectURIs: []string{"https://rp.example/cb", "https://rp.example:8443/cb", "http://127.0.0.1/cb"}})
	house.Client(org, manage.ClientSpec{RedirectURIs: []string{"https://other.example/cb"}})
	tokens := client.Tokens("alice", "openid")
	form := fields("grant_type", "refresh_token", "refresh_token", "x", "token", "x")
	basic := []string{"Authorization", client.Basic()}
	bearer := []string{"Authorization", "Bearer " + tokens.Text("access_token")}

	for origin, own := range map[string]bool{
		"https://rp.example": true, "https://rp.example:8443": true, "https://other.example": false, "https://evil.example": false, "null": false,
		"https://rp.example.evil.example": false, "https://evilrp.example": false, "http://rp.example": false, "https://rp.example:444": false, "https://RP.example": false,
		"https://rp.example/": false, "https://rp.example, https://evil.example": false, "*": false, "https://": false, "file://": false, "https://rp.example\x7f": false,
	} {
		if !sendable(origin) && !strings.Contains(origin, ",") {
			continue
		}
		for name, r := range map[string]request{
			"token": {address: "/oauth2/token", form: form, header: basic}, "revoke": {address: "/oauth2/revoke", form: form, header: basic},
			"userinfo": {address: "/oauth2/userinfo", header: bearer},
		} {
			r.header = append(slices.Clone(r.header), "Origin", origin)
			header := send(t, house, r).Header
			if allowed := header.Get("Access-Control-Allow-Origin"); (allowed == origin) != own || !own && allowed != "" {
				t.Errorf("%s to %s: allowed to %q", name, origin, allowed)
			}
			if header.Get("Access-Control-Allow-Credentials") != "" || header.Get("Vary") != "Origin" {
				t.Errorf("%s to %s: %v", name, origin, header)
			}
			preflight := send(t, house, request{method: "OPTIONS", address: r.address, header: []string{"Origin", origin, "Access-Control-Request-Method", "POST",
				"Access-Control-Request-Headers", "authorization"}}).Header
			known := own || origin == "https://other.example"
			if allowed := preflight.Get("Access-Control-Allow-Origin"); (allowed == origin) != known || !known && allowed != "" {
				t.Errorf("preflight of %s from %s: allowed to %q", name, origin, allowed)
			}
			if preflight.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("preflight of %s: with cookies", name)
			}
		}
		for _, address := range []string{"/.well-known/openid-configuration", "/.well-known/jwks.json"} {
			header := send(t, house, request{address: address, header: []string{"Origin", origin}}).Header
			if header.Get("Access-Control-Allow-Origin") != "*" || header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s: %v", address, header)
			}
		}
		for _, r := range []request{
			{address: "/login"}, {address: "/consent"}, {address: strings.TrimPrefix(client.AuthorizeURL(), house.URL)}, {address: "/oauth2/logout"}, {address: "/setup"},
			{address: "/oauth2/introspect", form: form, header: basic}, {address: "/oauth2/par", form: form, header: basic}, {address: "/readyz"}, {address: "/nowhere"},
		} {
			r.header = append(slices.Clone(r.header), "Origin", origin)
			for name := range send(t, house, r).Header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s to %s: %s", r.address, origin, name)
				}
			}
		}
	}
}

// S-189, S-190, S-192: addresses come from the configuration, organizations from the path, and a visitor's address from the
// connection, unless a proxy is named that may say otherwise.
func TestNoHeaderDecidesWhoseServerThisIsOrWhoAsks(t *testing.T) {
	t.Parallel()
	house := production(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	house.Organization("acme")
	client := house.Client(org, manage.ClientSpec{SkipConsent: true})
	asked := strings.TrimPrefix(client.AuthorizeURL(), house.URL)

	for _, host := range []string{
		"evil.example", "id.example.evil.example", "evil.id.example", "id.example:8443", "id.example:80", "id.example.", "127.0.0.1", "localhost", "ID.EXAMPLE.evil",
		strings.TrimPrefix(house.URL, "http://"), "acme", "id.example@evil.example",
	} {
		for _, address := range []string{asked, "/.well-known/openid-configuration", "/oauth2/token", "/setup", "/nowhere"} {
			answer := send(t, house, request{address: address, host: host})
			if answer.Status != 421 || answer.Header.Get("Location") != "" || strings.Contains(answer.Body, host) {
				t.Errorf("Host %s at %s: %d %s", host, address, answer.Status, short(answer.Body))
			}
		}
	}
	if answer := send(t, house, request{address: "/livez", host: "10.0.0.7"}); answer.Status != 200 {
		t.Errorf("a probe asks by address: %d", answer.Status)
	}
	forged := []string{
		"X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "http", "X-Forwarded-Port", "1", "X-Forwarded-Prefix", "/evil", "Forwarded", "host=evil.example;proto=http",
		"X-Host", "evil.example", "X-Original-Url", "/o/acme/login", "X-Rewrite-Url", "/o/acme/login", "X-Original-Host", "evil.example", "X-Http-Host-Override", "evil.example",
		"X-Forwarded-For", "6.6.6.6", "X-Real-Ip", "6.6.6.6", "Cf-Connecting-Ip", "6.6.6.6", "True-Client-Ip", "6.6.6.6", "X-Appengine-Remote-Addr", "6.6.6.6",
		"X-User", "alice", "X-Remote-User", "alice", "X-Forwarded-User", "alice", "X-Tenant", "acme", "X-Org-Id", "acme", "X-Organization", "acme", "X-Request-Id", "forged",
	}
	plain, dressed := send(t, house, request{address: "/.well-known/openid-configuration"}), send(t, house, request{address: "/.well-known/openid-configuration", header: forged})
	if plain.Body != dressed.Body || dressed.Header.Get("X-Request-Id") == "forged" {
		t.Errorf("discovery says %s", dressed.Body)
	}
	answer := send(t, house, request{address: asked, header: forged})
	if to := answer.Header.Get("Location"); !strings.HasPrefix(to, "/login?interaction=") {
		t.Errorf("sent to %s", to)
	}

	// The visitor's address, as a failed sign-in writes it down.
	trusting := func(proxy string) *servertest.House {
		return production(t, servertest.Options{Configure: func(cfg *config.Config) { cfg.TrustedProxies = []string{proxy} }})
	}
	other, this := trusting("10.0.0.0/8"), trusting("127.0.0.0/8")
	for _, test := range []struct {
		name   string
		house  *servertest.House
		header []string
		want   string
	}{
		{"no proxy is named", house, forged, "127.0.0.1"},
		{"another proxy is named", other, forged, "127.0.0.1"},
		{"this proxy is named", this, []string{"X-Forwarded-For", "198.51.100.7"}, "198.51.100.7"},
		{"a visitor has added to it", this, []string{"X-Forwarded-For", "6.6.6.6, 198.51.100.7"}, "198.51.100.7"},
	} {
		client := test.house.Client(test.house.In("default"), manage.ClientSpec{})
		start := send(t, test.house, request{address: strings.TrimPrefix(client.AuthorizeURL(), test.house.URL)})
		flow, err := http.ParseSetCookie(start.Header.Get("Set-Cookie"))
		if err != nil {
			t.Fatal(err)
		}
		page := send(t, test.house, request{address: start.Header.Get("Location"), cookies: []*http.Cookie{flow}})
		answer := send(t, test.house, request{address: start.Header.Get("Location"), cookies: []*http.Cookie{flow}, header: test.header,
			form: fields("username", "nobody", "password", "x", "csrf_token", csrf(t, page.Body))})
		if answer.Status != 401 {
			t.Fatalf("%d %s", answer.Status, short(answer.Body))
		}
		events, err := test.house.DB.ListAudit(test.house.In("default"), storage.AuditFilter{Limit: 1})
		if err != nil || len(events) != 1 || events[0].IPAddress == nil {
			t.Fatalf("%v %v", events, err)
		}
		if got := *events[0].IPAddress; got != test.want {
			t.Errorf("%s: the audit says %s", test.name, got)
		}
	}
}

// S-193: an address that is written in another way is the same address, with the same guards, or none.
func TestAnAddressHasOneMeaning(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	acme := house.Organization("acme")
	client := house.Client(acme, manage.ClientSpec{GrantTypes: []string{"client_credentials"}})
	ask := func(target string) (status int, body string) {
		t.Helper()
		wire := overWire(t, house.Cfg.Listen, "POST "+target+" HTTP/1.1\r\nHost: "+strings.TrimPrefix(house.Base, "http://")+
			"\r\nAuthorization: "+client.Basic()+"\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 29\r\nConnection: close\r\n\r\ngrant_type=client_credentials")
		if len(wire) != 1 {
			t.Fatalf("%s: %d answers", target, len(wire))
		}
		return wire[0].StatusCode, wire[0].Header.Get("Location")
	}
	if status, _ := ask("/o/acme/oauth2/token"); status != 200 {
		t.Fatalf("as it should be: %d", status)
	}
	for _, target := range []string{
		"//o/acme/oauth2/token", "/o//acme/oauth2/token", "/o/acme//oauth2/token", "/o/acme/oauth2/token/", "/o/acme/oauth2/token//", "/o/acme/oauth2/./token",
		"/o/acme/x/../oauth2/token", "/o/default/../acme/oauth2/token", "/o/acme/..;/acme/oauth2/token", "/o/acme/oauth2/token;x", "/o/acme;x/oauth2/token",
		"/o/ACME/oauth2/token", "/O/acme/oauth2/token", "/o/acme/OAUTH2/token", "/o/acme/oauth2/token%2f",
		"/o/acme/oauth2/token%00", "/o/acme/oauth2/token%20", "/o/acme/oauth2/token.json", "/o/acme/oauth2/token%3fx", "/o/acme/oauth2/token%23", "/o/acme%00/oauth2/token",
		"/o/acme%20/oauth2/token", "/o/acme%2e/oauth2/token", "/o/./acme/oauth2/token", "/o/%2e%2e/o/acme/oauth2/token", `/o/acme\oauth2\token`, "/oauth2/o/acme/token",
		"/o/acme/o/acme/oauth2/token", "/%2fo/acme/oauth2/token", "/o/acme/%2e%2e/acme/oauth2/token", "/o/acme%252foauth2/token", "/o/default/oauth2/token", "/oauth2/token",
	} {
		status, location := ask(target)
		if status != 404 && status != 400 && status != 401 || status == 401 && target != "/oauth2/token" || location != "" {
			t.Errorf("%s: %d %s", target, status, location)
		}
	}
	// What is only written with percent signs more than it needs is that address, with its guards.
	for _, target := range []string{"/o/acme/oauth2/%74oken", "/o/%61cme/oauth2/token", "/o/acme%2foauth2/token", "/o%2facme/oauth2/token"} {
		if status, _ := ask(target); status != 200 && status != 404 {
			t.Errorf("%s: %d", target, status)
		}
	}
	answer := send(t, house, request{address: "/o/acme/%6cogin?interaction=x", form: url.Values{}, header: []string{"Origin", "https://evil.example"}})
	if answer.Status != 403 && answer.Status != 404 {
		t.Errorf("the login form at another spelling: %d", answer.Status)
	}
}

// S-194: two servers in a row never see two different requests in the same bytes: what can be read in two ways is refused, or
// ends the connection.
func TestWhatCanBeReadAsTwoRequestsIsNotReadOn(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	host := "Host: " + strings.TrimPrefix(house.Base, "http://") + "\r\n"
	const hidden = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
	post := "POST /oauth2/token HTTP/1.1\r\n" + host + "Content-Type: application/x-www-form-urlencoded\r\n"
	for name, bytes := range map[string]string{
		"two lengths":                       post + "Content-Length: 3\r\nContent-Length: 45\r\n\r\nx=y" + hidden,
		"two lengths in one":                post + "Content-Length: 3, 45\r\n\r\nx=y" + hidden,
		"a length with a sign":              post + "Content-Length: +3\r\n\r\nx=y" + hidden,
		"a length in hexadecimal":           post + "Content-Length: 0x3\r\n\r\nx=y" + hidden,
		"a negative length":                 post + "Content-Length: -1\r\n\r\n" + hidden,
		"a length and chunks":               post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"chunks and a length":               post + "Transfer-Encoding: chunked\r\nContent-Length: 45\r\n\r\n0\r\n\r\n" + hidden,
		"chunks in disguise":                post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + hidden,
		"chunks twice":                      post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"chunks and identity":               post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + hidden,
		"chunks under a vertical tab":       post + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + hidden,
		"a space before the colon":          post + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + hidden,
		"a header on two lines":             post + "X: y\r\n Content-Length: 3\r\n\r\nx=y" + hidden,
		"a header without a name":           post + ": x\r\n\r\n" + hidden,
		"a header with a NUL":               post + "X: \x00\r\n\r\n" + hidden,
		"a chunk whose size ends in a LF":   post + "Transfer-Encoding: chunked\r\n\r\n3\nx=y\r\n0\r\n\r\n" + hidden,
		"a chunk size with a sign":          post + "Transfer-Encoding: chunked\r\n\r\n+3\r\nx=y\r\n0\r\n\r\n" + hidden,
		"no host":                           "GET /livez HTTP/1.1\r\n\r\n" + hidden,
		"two hosts":                         "GET /livez HTTP/1.1\r\n" + host + "Host: evil.example\r\n\r\n" + hidden,
		"a version that is none":            "GET /livez HTTP/1.2.3\r\n" + host + "\r\n" + hidden,
		"no version":                        "GET /livez\r\n\r\n" + hidden,
		"a method with a space":             "GE T /livez HTTP/1.1\r\n" + host + "\r\n" + hidden,
		"an address with a control":         "GET /li\x01vez HTTP/1.1\r\n" + host + "\r\n" + hidden,
		"HTTP/2 in the clear":               "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + hidden,
		"an absolute address of another":    "GET http://evil.example/.well-known/openid-configuration HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n",
		"an absolute address of an account": "GET http://a@evil.example/.well-known/openid-configuration HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n",
	} {
		answers := overWire(t, house.Cfg.Listen, bytes)
		for _, answer := range answers {
			if answer.StatusCode < 400 {
				t.Errorf("%s: an answer %d", name, answer.StatusCode)
			}
		}
		if len(answers) > 0 && !answers[len(answers)-1].Close {
			t.Errorf("%s: the connection stays open after %d", name, answers[len(answers)-1].StatusCode)
		}
	}
}

// overWire sends bytes and returns the answers that come before the connection ends.
func overWire(t testing.TB, address, bytes string) (answers []*http.Response) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, bytes); err != nil && !isClosed(err) {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	for {
		answer, err := http.ReadResponse(reader, nil)
		if err != nil {
			return answers // also when the server waits for more, which the deadline ends
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			return append(answers, answer)
		}
		answers = append(answers, answer)
	}
}

// isClosed reports whether the other side has ended a connection while it was written to.
func isClosed(err error) bool {
	var network *net.OpError
	return errors.As(err, &network) || errors.Is(err, io.ErrClosedPipe)
}
