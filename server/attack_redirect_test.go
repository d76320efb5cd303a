package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

// foreignAddresses are none of those that the client of the test below has registered, however near they come.
var foreignAddresses = []string{
	"https://rp.example", "https://rp.example/", "https://rp.example/cb/", "https://rp.example/cbx", "https://rp.example/CB",
	"https://RP.example/cb", "HTTPS://rp.example/cb", "https://rp.example:443/cb", "https://rp.example./cb", "http://rp.example/cb",
	"https://rp.example/%63b", "https://rp.example/x/../cb", "https://rp.example/./cb", "https://rp.example//cb", `https://rp.example\cb`,
	`https://rp.example/\cb`, "https://rp.example/cb\t", "https://rp.example/cb\r\nSet-Cookie:x=y", "\nhttps://rp.example/cb", "https://rp.example/cb\x00",
	"https://rp.example/cb%00", "https://rp.example/cb#", "https://rp.example/cb#x", "https://rp.example/cb?", "https://rp.example/cb?a=1",
	"https://rp.example/cb&a=1", "https://rp.example/cb;x=y", "https://rp.example/..;/cb", "https://rp.example/%2e%2e/cb", "https://rp.example/cb/..;/",
	"https://\u0440p.example/cb", "https://rp\uff0eexample/cb", "https://u@rp.example/cb", "https://rp.example@evil.example/cb",
	"https://evil.example/https://rp.example/cb", "https://rp.example.evil.example/cb", "//rp.example/cb", " https://rp.example/cb",
	"https://rp.example/q", "https://rp.example/q?a=2", "https://rp.example/q?a=1&b=2", "https://rp.example/q?a=%31",
	"https%3A%2F%2Frp.example%2Fcb", "javascript:alert(1)", "data:text/html,x", "urn:ietf:wg:oauth:2.0:oob",
	"https://127.0.0.1:5/cb", "http://u:p@127.0.0.1:5/native", "http://127.0.0.1:5/%6eative", "http://127.0.0.1:5/native#", "http://127.0.0.1:5/native?",
	"http://127.0.0.1:99999/native", "http://127.0.0.1:0/native", "http://127.0.0.1:5@evil.example/native", "http://localhost:5/native", "http://127.1:5/native",
	strings.Repeat("https://rp.example/cb", 100),
}

// S-001, S-002, S-004, S-008, S-009: somebody is signed in and the client needs no consent, so that an address which passed
// would be sent a code at once.
func TestAnAddressThatIsNotRegisteredIsAPageAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	client := house.Client(org, manage.ClientSpec{SkipConsent: true, RedirectURIs: []string{
		servertest.Callback, "https://rp.example/q?a=1", "http://127.0.0.1/native", "http://[::1]:7/native", "http://localhost:3000/native",
	}})
	cookies := signedIn(client, "alice").Cookies(house.URL)
	db := house.SQL()
	left := func() int { return rows(t, db, "oauth_codes") + rows(t, db, "interactions") + rows(t, db, "oauth_par") }
	before := left()

	for _, address := range foreignAddresses {
		asked := fields("client_id", client.ID, "redirect_uri", address, "response_type", "code", "scope", "openid", "state", "s",
			"code_challenge", servertest.Challenge(servertest.Verifier), "code_challenge_method", "S256")
		wantPage(t, address, send(t, house, request{address: "/oauth2/authorize?" + asked.Encode(), cookies: cookies}), 400)
		wantPage(t, address+" posted", send(t, house, request{address: "/oauth2/authorize", form: asked, cookies: cookies}), 400)
		wantError(t, address+" pushed", send(t, house, request{address: "/oauth2/par", form: asked, header: []string{"Authorization", client.Basic()}}),
			400, "invalid_request")
	}
	// As no library would write them.
	rest := "&response_type=code&scope=openid&code_challenge_method=S256&code_challenge=" + servertest.Challenge(servertest.Verifier)
	for _, query := range []string{
		"client_id=" + client.ID,
		"client_id=" + client.ID + "&redirect_uri=",
		"client_id=" + client.ID + "&redirect_uri=https%253A%252F%252Frp.example%252Fcb",
		"client_id=" + client.ID + "&redirect_uri=https://rp.example/cb&redirect_uri=https://rp.example/cb",
		"client_id=" + client.ID + "&redirect_uri=https://rp.example/cb&redirect_uri=https://evil.example/cb",
		"client_id=" + client.ID + "&redirect_uri[]=https://rp.example/cb",
		"client_id=" + client.ID + "&REDIRECT_URI=https://rp.example/cb",
		"client_id=" + client.ID + "&redirect_uri=https://rp.example/cb;redirect_uri=https://evil.example/cb",
		"client_id=" + client.ID + "&redirect_uri=https://rp.example/cb%",
		"client_id=" + client.ID + "&redirect_uri=%68ttps://evil.example/cb",
		"client_id=" + client.ID + "&client_id=" + client.ID + "&redirect_uri=https://rp.example/cb",
		"client_id=&redirect_uri=https://rp.example/cb",
		"client_id=nobody&redirect_uri=https://rp.example/cb",
		"client_id=nobody&redirect_uri=https://evil.example/cb",
		"client_id=" + client.ID + "%00&redirect_uri=https://rp.example/cb",
		"client_id=" + strings.ToUpper(client.ID) + "&redirect_uri=https://rp.example/cb",
		"client_id=" + client.ID + "'%20OR%20'1'='1&redirect_uri=https://rp.example/cb",
		"client_id=%ff%fe&redirect_uri=https://rp.example/cb",
		"client_id=" + strings.Repeat("a", 4000) + "&redirect_uri=https://rp.example/cb",
		"redirect_uri=https://rp.example/cb",
		"",
	} {
		wantPage(t, query, send(t, house, request{address: "/oauth2/authorize?" + query + rest, cookies: cookies}), 400)
	}
	if got := left(); got != before {
		t.Errorf("%d rows were left behind", got-before)
	}
}

// S-004, RFC 8252 §7.3: a program on the person's machine takes whatever port it gets, and its code goes back from there only.
func TestALoopbackAddressMayHaveAnyPortAndTheCodeIsForThatPort(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	client := house.Client(org, manage.ClientSpec{SkipConsent: true, RedirectURIs: []string{"http://127.0.0.1/cb", "http://[::1]/cb"}})
	cookies := signedIn(client, "alice").Cookies(house.URL)

	for _, address := range []string{"http://127.0.0.1:51004/cb", "http://[::1]:51004/cb", "http://127.0.0.1:1/cb", "http://127.0.0.1:65535/cb"} {
		ask := func() string {
			answer := send(t, house, request{address: client.AuthorizeURL("redirect_uri", address), cookies: cookies})
			return sentOn(t, address, answer, address).Get("code")
		}
		redeem := func(code, redirect string) *servertest.Answer {
			return client.Token("grant_type", "authorization_code", "code", code, "redirect_uri", redirect, "code_verifier", servertest.Verifier)
		}
		if answer := redeem(ask(), address); answer.Status != 200 {
			t.Errorf("%s: %d %s", address, answer.Status, answer.Body)
		}
		wantError(t, address+" at another port", redeem(ask(), strings.Replace(address, "/cb", "0/cb", 1)), 400, "invalid_grant")
		wantError(t, address+" without its port", redeem(ask(), client.Redirect), 400, "invalid_grant")
	}
}

// S-009, and an organization that there is not. (What applications hear of it is in flow_address_test.go.)
func TestAnOrganizationThatIsNotThereIsAPageAndNothingElse(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	client := house.Client(house.In("default"), manage.ClientSpec{})
	asked := strings.TrimPrefix(client.AuthorizeURL(), house.URL)
	for _, slug := range []string{"nobody", "default", "DEFAULT", "default%00", "..", "%2e%2e", "'", strings.Repeat("a", 200)} {
		answer := send(t, house, request{address: "/o/" + slug + asked})
		if status := answer.Status; status != 400 && status != 404 || answer.Header.Get("Location") != "" || len(answer.Header["Set-Cookie"]) != 0 {
			t.Errorf("%s: %d %v", slug, answer.Status, answer.Header)
		}
	}
	for _, path := range []string{"/login", "/consent", "/logged-out", "/oauth2/logout"} {
		wantPage(t, path, send(t, house, request{address: "/o/nobody" + path}), 404)
	}
	for _, path := range []string{"/login", "/consent"} {
		wantPage(t, path, send(t, house, request{address: "/o/nobody" + path, form: url.Values{}}), 404)
	}
}

// S-020, S-032, S-033, S-034: once the address is proven, what is asked for too much is for the client to hear, under a
// registered code, with the issuer (RFC 9207) and its state. What it may not ask by is ignored. (Response types and modes,
// challenges and repeated parameters are the matter of flow_fosite_test.go.)
func TestAClientIsToldWhatItMayNotAskFor(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	spec := manage.ClientSpec{SkipConsent: true, Audience: []string{"https://api.example/a"}}
	client := house.Client(org, spec)
	spec.AuthMethod = "none"
	public := house.Client(org, spec)
	cookies := signedIn(client, "alice").Cookies(house.URL)
	db := house.SQL()
	before := rows(t, db, "oauth_codes")

	for _, test := range []struct{ name, value, code string }{
		{"scope", "openid nonsense", "invalid_scope"},
		{"scope", "openid org:acme", "invalid_scope"},
		{"scope", "openid OPENID", "invalid_scope"},
		{"scope", strings.Repeat("openid ", 51), "invalid_scope"},
		{"resource", "https://api.example/a/b", "invalid_target"},
		{"resource", "https://api.example/a/", "invalid_target"},
		{"resource", "https://api.example/a#f", "invalid_target"},
		{"resource", "https://api.example/", "invalid_target"},
		{"resource", "https://elsewhere.example/a", "invalid_target"},
		{"resource", "api", "invalid_target"},
		{"registration", "{}", "registration_not_supported"},
		{"nonce", "a\x00b", "invalid_request"},
		{"claims", strings.Repeat(`{"a":`, 300) + "0" + strings.Repeat("}", 300), "invalid_request"},
		{"claims", `[]`, "invalid_request"},
		{"claims", `{"id_token":{"acr":{"essential":true,"values":["phr"]}}}`, "unmet_authentication_requirements"},
	} {
		for _, c := range []*servertest.Client{client, public} {
			what := test.name + "=" + test.value
			address, err := url.Parse(c.AuthorizeURL(test.name, test.value))
			if err != nil {
				t.Fatal(err)
			}
			answer := send(t, house, request{address: address.String(), cookies: cookies})
			carried := sentOn(t, what, answer, c.Redirect)
			if carried.Get("error") != test.code || carried.Get("iss") != c.Issuer || carried.Get("state") != "the-state" || carried.Has("code") ||
				carried.Has("access_token") || carried.Has("id_token") || len(carried) != 4 {
				t.Errorf("%s: %v", what, carried)
			}
			if answer.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %v", what, answer.Header)
			}
			pushed := address.Query()
			pushed.Set("client_id", c.ID)
			header := []string{"Authorization", c.Basic()}
			if c.Secret == "" {
				header = nil
			}
			if test.code == "unmet_authentication_requirements" {
				continue // that is for whoever signs in to find out
			}
			wantError(t, what+" pushed", send(t, house, request{address: "/oauth2/par", form: pushed, header: header}), 400, test.code)
		}
	}
	// What nobody has registered is ignored (RFC 6749 §3.1).
	for name, value := range map[string]string{
		"audience": "https://elsewhere.example", "organization": "acme", "org_id": "1", "tenant": "acme", "X": "y",
	} {
		carried := sentOn(t, name, send(t, house, request{address: client.AuthorizeURL(name, value), cookies: cookies}), client.Redirect)
		if carried.Get("code") == "" || carried.Get("iss") != client.Issuer {
			t.Errorf("%s: %v", name, carried)
		}
		before++
	}
	if got := rows(t, db, "oauth_codes"); got != before {
		t.Errorf("%d codes were made", got-before)
	}
}

// S-016: whatever the state holds, the form that carries it is one form with three fields, and it goes to the registered address.
func TestAnAnswerByFormPostIsOneFormWhateverItCarries(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	client := house.Client(org, manage.ClientSpec{SkipConsent: true})
	visitor := signedIn(client, "alice")
	for _, state := range []string{
		`"><script>alert(7)</script>`, `</form><form action="https://evil.example">`, `'"<!--`, "&#34;&quot;", "\u2028\u2029\u202e", `{{.}}${7*7}`,
		strings.Repeat("x", 4096),
	} {
		address := client.AuthorizeURL("response_mode", "form_post", "state", state)
		answer := send(t, house, request{address: address, cookies: visitor.Cookies(house.URL)})
		body := answer.Body
		if answer.Status != 200 || strings.Count(body, "<form") != 1 || strings.Count(body, "<script") > 1 || strings.Contains(body, "<script>alert") ||
			!strings.Contains(body, `action="`+client.Redirect+`"`) {
			t.Errorf("%.40q: %d %s", state, answer.Status, short(body))
		}
		if policy := answer.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe-") {
			t.Errorf("policy %q", policy)
		}
		arrived, ok := visitor.Go(address).Arrived()
		if !ok || arrived.Get("state") != state || arrived.Get("iss") != client.Issuer || arrived.Get("code") == "" || arrived.Get("session_state") == "" || len(arrived) != 4 {
			t.Errorf("%.40q arrives as %v", state, arrived)
		}
	}
}

// S-017: whatever comes in is text wherever it is shown.
func TestNothingOfARequestBecomesPartOfAPage(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	client := house.Client(house.In("default"), manage.ClientSpec{})
	const payload = `"><script>alert(7)</script><img src=x onerror=alert(7)>'{{7}}`

	addresses := []string{
		"/nowhere/" + url.PathEscape(payload), "/o/" + url.PathEscape(payload) + "/oauth2/authorize", "/static/" + url.PathEscape(payload),
		"/setup?token=" + url.QueryEscape(payload), "/setup?done=" + url.QueryEscape(payload), "/setup?" + url.QueryEscape(payload),
		"/login?interaction=" + url.QueryEscape(payload), "/consent?interaction=" + url.QueryEscape(payload), "/logged-out?x=" + url.QueryEscape(payload),
		"/oauth2/authorize?interaction=" + url.QueryEscape(payload), "/playground?error=" + url.QueryEscape(payload),
		"/playground/callback?error=x&error_description=" + url.QueryEscape(payload),
	}
	for _, name := range []string{"id_token_hint", "post_logout_redirect_uri", "state", "client_id", "logout_hint", "ui_locales"} {
		addresses = append(addresses, "/oauth2/logout?"+name+"="+url.QueryEscape(payload))
	}
	for _, name := range []string{
		"client_id", "redirect_uri", "request_uri", "login_hint", "ui_locales", "display", "acr_values", "claims", "claims_locales", "nonce", "state", "extra", payload,
	} {
		addresses = append(addresses, client.AuthorizeURL(name, payload))
	}
	addresses = append(addresses,
		client.AuthorizeURL("client_id", "x", "error", payload, "error_description", payload, "error_hint", payload),
		client.AuthorizeURL("request_uri", "urn:ietf:params:oauth:request_uri:"+payload))
	for _, address := range addresses {
		page := client.Visitor().Go(strings.Replace(house.URL+address, house.URL+house.URL, house.URL, 1))
		if _, arrived := page.Arrived(); arrived {
			continue // an error that the client hears
		}
		body := page.Body
		if strings.Contains(body, "<script>alert") || strings.Contains(body, "<img src=x") || strings.Contains(body, `"><`+"script") {
			t.Errorf("%s is shown as HTML: %s", address, short(body))
		}
		policy := page.Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe-inline") || strings.Contains(policy, "unsafe-eval") {
			t.Errorf("%s: policy %q", address, policy)
		}
	}
	visitor := client.Visitor()
	page := visitor.SignIn(visitor.Go(client.AuthorizeURL()), payload, payload)
	if page.Title != "Sign in" || page.Value("username") != payload || strings.Contains(page.Body, "<script>alert") {
		t.Errorf("a name that was not right: %d %q %s", page.Status, page.Title, short(page.Body))
	}
}

// S-022, S-024: a browser never posts twice what was posted once, and keeps nothing of what it is told on the way.
func TestEveryRedirectIsA303ThatNobodyKeeps(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	client := house.Client(org, manage.ClientSpec{})
	visitor := client.Visitor()

	page := visitor.Go(client.AuthorizeURL())
	pages := []string{page.Title}
	seen := page.Hops
	page = visitor.SignIn(page, "alice", servertest.Password)
	pages, seen = append(pages, page.Title), append(seen, page.Hops...)
	page = visitor.Press(page, "consent-allow")
	seen = append(seen, page.Hops...)
	if arrived, _ := page.Arrived(); arrived.Get("code") == "" || strings.Join(pages, ",") != "Sign in,Allow access" {
		t.Fatalf("%v, arrived with %v", pages, arrived)
	}
	posts, redirects := 0, 0
	for _, hop := range seen {
		if hop.Method == http.MethodPost {
			posts++
			if hop.Status != http.StatusSeeOther {
				t.Errorf("POST %s is answered with %d", hop.URL, hop.Status)
			}
		}
		if hop.Status >= 300 {
			if redirects++; hop.Status != http.StatusSeeOther {
				t.Errorf("%s %s is answered with %d", hop.Method, hop.URL, hop.Status)
			}
		}
	}
	if posts != 2 || redirects < 4 {
		t.Errorf("the journey had %d posts and %d redirects", posts, redirects)
	}
	for _, address := range []string{client.AuthorizeURL(), client.AuthorizeURL("scope", "openid email"), client.AuthorizeURL("scope", "nonsense")} {
		answer := send(t, house, request{address: address, cookies: visitor.Cookies(house.URL)})
		if answer.Header.Get("Cache-Control") != "no-store" || answer.Status != http.StatusSeeOther {
			t.Errorf("%s: %d %v", address, answer.Status, answer.Header)
		}
	}
}

// S-014, S-038: from the first request on, the parameters are in the server's hands. What a browser adds to an address or a
// form changes none of them.
func TestWhatIsAddedOnTheWayChangesNothingOfTheRequest(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	client := house.Client(org, manage.ClientSpec{})
	other := house.Client(org, manage.ClientSpec{Name: "Other", RedirectURIs: []string{"https://other.example/cb"}})
	visitor := client.Visitor()

	added := url.Values{
		"client_id": {other.ID}, "redirect_uri": {other.Redirect}, "response_type": {"token"}, "response_mode": {"fragment"}, "scope": {"openid email offline_access"},
		"nonce": {"another"}, "state": {"another"}, "code_challenge": {servertest.Challenge("x")}, "prompt": {"none"}, "request_uri": {"urn:x"}, "max_age": {"0"},
	}.Encode()
	withMore := func(address string) string { return address + "&" + added }

	login := visitor.Go(client.AuthorizeURL("nonce", "first"))
	id := login.URL.Query().Get("interaction")
	form := fields("username", "alice", "password", servertest.Password, "csrf_token", csrf(t, login.Body), "action", "sign-in",
		"client_id", other.ID, "redirect_uri", other.Redirect, "scope", "openid email", "interaction", "kz_ix_x", "return_to", "https://evil.example/", "next", "//evil.example")
	answer := send(t, house, request{address: withMore("/login?interaction=" + id), form: form, cookies: visitor.Cookies(house.URL)})
	if to := answer.Header.Get("Location"); answer.Status != 303 || to != "/oauth2/authorize?interaction="+id {
		t.Fatalf("%d %s\n%s", answer.Status, to, answer.Body)
	}
	keep(t, visitor, house, answer)
	answer = send(t, house, request{address: withMore("/oauth2/authorize?interaction=" + id), cookies: visitor.Cookies(house.URL)})
	if to := answer.Header.Get("Location"); to != "/consent?interaction="+id {
		t.Fatalf("%d %s", answer.Status, to)
	}
	consent := visitor.Go(withMore(house.URL + "/consent?interaction=" + id))
	asked, _, _ := strings.Cut(consent.Body, "<footer") // in which the page's own address stands, to come back to in another language
	if !strings.Contains(asked, "Application") || strings.Contains(asked, "Other") || strings.Contains(asked, "other.example") {
		t.Errorf("consent is asked for\n%s", consent.Body)
	}
	form = fields("csrf_token", csrf(t, consent.Body), "action", "allow", "scope", "openid email offline_access", "scopes", "email", "client_id", other.ID)
	answer = send(t, house, request{address: withMore("/consent?interaction=" + id), form: form, cookies: visitor.Cookies(house.URL)})
	if to := answer.Header.Get("Location"); to != "/oauth2/authorize?interaction="+id {
		t.Fatalf("%d %s\n%s", answer.Status, to, answer.Body)
	}
	answer = send(t, house, request{address: withMore("/oauth2/authorize?interaction=" + id), cookies: visitor.Cookies(house.URL)})
	carried := sentOn(t, "the end", answer, client.Redirect)
	if carried.Get("state") != "the-state" || carried.Get("code") == "" {
		t.Fatalf("%v", carried)
	}
	tokens := client.Redeem(carried.Get("code"))
	if tokens.Text("scope") != "openid" || servertest.Claims(t, tokens.Text("id_token"))["nonce"] != "first" {
		t.Errorf("%d %s", tokens.Status, tokens.Body)
	}
	// The same end is not reached twice, and nobody else's way leads through it.
	answer = send(t, house, request{address: "/oauth2/authorize?interaction=" + id, cookies: visitor.Cookies(house.URL)})
	wantPage(t, "an interaction that is over", answer, 400)
}

// S-036 (Keycloak CVE-2026-7507): an attacker begins and the victim, who is signed in, is lured into the middle of it.
func TestAVictimLuredIntoAnothersRequestEndsItForNobody(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "victim")
	client := house.Client(org, manage.ClientSpec{SkipConsent: true})
	attacker, victim := client.Visitor(), signedIn(client, "victim")
	db := house.SQL()
	before := rows(t, db, "oauth_codes")

	page := attacker.Go(client.AuthorizeURL("state", "the-attackers"))
	id := page.URL.Query().Get("interaction")
	for _, path := range []string{"/oauth2/authorize", "/login", "/consent"} {
		for who, cookies := range map[string][]*http.Cookie{"the victim": victim.Cookies(house.URL), "somebody without cookies": nil} {
			answer := send(t, house, request{address: path + "?interaction=" + id, cookies: cookies})
			wantPage(t, who+" at "+path, answer, 403)
		}
	}
	// The attacker is still where they were: nobody is signed in.
	if page := attacker.Go(house.URL + "/oauth2/authorize?interaction=" + id); page.Title != "Sign in" {
		t.Errorf("the attacker is at %q", page.Title)
	}
	if got := rows(t, db, "oauth_codes"); got != before {
		t.Errorf("%d codes were made", got-before)
	}
}

// S-037 (RFC 8252 §8.6): any program can claim such an address, so that an earlier consent may have been for another.
func TestAnAppThatNothingProvesIsAskedAboutEveryTime(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	for redirect, asked := range map[string]bool{
		"http://127.0.0.1/cb": true, "http://localhost:7777/cb": true, "com.example.app:/cb": true, "https://rp.example/cb": false,
	} {
		client := house.Client(org, manage.ClientSpec{AuthMethod: "none", RedirectURIs: []string{redirect}})
		visitor := signedIn(client, "alice")
		for range 2 {
			page := visitor.Go(client.AuthorizeURL())
			if (page.Title == "Allow access") != asked {
				t.Errorf("%s: %q", redirect, page.Title)
			}
		}
		answer := send(t, house, request{address: client.AuthorizeURL("prompt", "none"), cookies: visitor.Cookies(house.URL)})
		if carried := sentOn(t, redirect, answer, redirect); (carried.Get("error") == "consent_required") != asked {
			t.Errorf("%s without a prompt: %v", redirect, carried)
		}
	}
}

// S-030: a password is a password, whichever assurance is asked for and by whichever door. What there is not is ignored where it is
// asked for voluntarily, and refused where it is not; two factors are asked for, or the answer is that they were not given.
func TestNothingThatIsAskedForMakesASignInStrongerThanItWas(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	user := house.User(org, "alice")
	client := house.Client(org, manage.ClientSpec{SkipConsent: true, Scope: "openid offline_access"})
	visitor := client.Visitor()
	visitor.Code(client.AuthorizeURL(), "alice") // who has remembered consent, a known browser and a session

	doors := func(params ...string) map[string]string {
		params = append([]string{"scope", "openid offline_access"}, params...)
		pushed, err := url.Parse(client.AuthorizeURL(params...))
		if err != nil {
			t.Fatal(err)
		}
		answer := send(t, house, request{address: "/oauth2/par", form: pushed.Query(), header: []string{"Authorization", client.Basic()}})
		return map[string]string{
			"with a session":    client.AuthorizeURL(params...),
			"a request pushed":  house.URL + "/oauth2/authorize?" + fields("client_id", client.ID, "request_uri", answer.Text("request_uri")).Encode(),
			"by signing in new": client.AuthorizeURL(append(params, "prompt", "login")...),
			"with consent":      client.AuthorizeURL(append(params, "prompt", "consent")...),
		}
	}
	for name, address := range doors("acr_values", "mfa phr urn:keizer:acr:3fa") {
		tokens := client.Redeem(visitor.Code(address, "alice"))
		again := client.Refresh(tokens.Text("refresh_token"), "acr_values", twoFactors)
		for _, answer := range []*servertest.Answer{tokens, again} {
			says(t, servertest.Claims(t, answer.Text("id_token")), oneFactor, "pwd")
		}
		if seen := client.Post("/oauth2/introspect", "token", again.Text("access_token")).JSON(); seen["acr"] != oneFactor {
			t.Errorf("%s: introspection says %v", name, seen)
		}
	}
	const insists = `{"id_token":{"acr":{"essential":true,"values":["mfa"]}}}`
	for name, address := range doors("claims", insists) {
		tellsClient(t, name, client, visitor.Through(address, "alice"), "unmet_authentication_requirements")
	}
	if err := house.DB.DeleteFactors(org, user.ID); err != nil {
		t.Fatal(err)
	}
	for _, asked := range [][]string{
		{"acr_values", twoFactors}, {"acr_values", "phr " + twoFactors}, {"claims", `{"id_token":{"acr":{"essential":true,"value":"` + twoFactors + `"}}}`},
	} {
		for name, address := range doors(asked...) {
			page := visitor.Go(address)
			if page.Title == "Sign in" {
				page = visitor.SignIn(page, "alice", servertest.Password)
			}
			if page.Title != "One more step" {
				t.Fatalf("%s, %v: %d %q at %s", name, asked, page.Status, page.Title, page.URL)
			}
			// Whoever goes back to the request without it is sent here again; and it is what is asked for, and not what is silent.
			back := strings.Replace(page.URL.String(), "/login/factor?", "/oauth2/authorize?", 1)
			if again := visitor.Go(back); again.Title != "One more step" && again.Title != "Sign in" {
				t.Errorf("%s, %v, on the way back: %q", name, asked, again.Title)
			}
		}
		tellsClient(t, "silently", client, visitor.Through(client.AuthorizeURL(append(asked, "prompt", "none")...), ""), "interaction_required")
	}
	// Whoever would rather have two, and takes one.
	for _, prompt := range []string{"none"} {
		says(t, claimsAt(t, client, visitor.Go(client.AuthorizeURL("acr_values", twoFactors+" "+oneFactor, "prompt", prompt))), oneFactor, "pwd")
	}
}
