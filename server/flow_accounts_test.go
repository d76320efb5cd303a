package server_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/internal/formbrowser"
	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

// OpenID Connect Core 1.0 §3.1.2.1: a browser that is signed in to several accounts of an organization, from the first to the last.
func TestAPersonWithSeveralAccountsChoosesAmongThem(t *testing.T) {
	t.Parallel()
	house, org, client := beginWith(t, "", trustedClient)
	house.User(org, "bob")
	house.User(org, "carol")
	asking := house.Client(org, manage.ClientSpec{})
	visitor := client.Visitor()
	const choose = "Choose an account"

	tokens := func(page *formbrowser.Page) (token string, claims map[string]any) {
		t.Helper()
		arrived, _ := page.Arrived()
		if arrived.Get("code") == "" {
			t.Fatalf("%d %q at %s: %v\n%s", page.Status, page.Title, page.URL, arrived, page.Body)
		}
		token = client.Redeem(arrived.Get("code")).Text("id_token")
		return token, servertest.Claims(t, token)
	}
	silently := func(params ...string) *formbrowser.Page {
		t.Helper()
		return visitor.Go(client.AuthorizeURL(append(params, "prompt", "none")...))
	}
	refused := func(what, code string, params ...string) {
		t.Helper()
		arrived, _ := silently(params...).Arrived()
		tellsClient(t, what, client, arrived, code)
	}
	offers := func(page *formbrowser.Page, names ...string) {
		t.Helper()
		if page.Status != 200 || page.Title != choose || page.URL.Path != "/login/select" || page.Has("account-"+string(rune('1'+len(names)))) {
			t.Fatalf("%d %q at %s\n%s", page.Status, page.Title, page.URL, page.Body)
		}
		for i, name := range names {
			if got := page.Text("account-" + string(rune('1'+i))); !strings.Contains(got, name) {
				t.Errorf("account %d is %q, not %s", i+1, got, name)
			}
		}
	}

	// Whoever is asked to choose is asked, though there is one account and it was used a moment ago.
	if page := visitor.Go(client.AuthorizeURL("prompt", "select_account")); page.Title != "Sign in" || page.Has("login-select") {
		t.Fatalf("nobody is signed in: %q", page.Title)
	}
	alice, alices := tokens(visitor.SignIn(visitor.Go(client.AuthorizeURL()), "alice", servertest.Password))
	page := visitor.Go(client.AuthorizeURL("prompt", "select_account"))
	offers(page, "alice")
	if _, again := tokens(visitor.Press(page, "account-1")); again["sid"] != alices["sid"] || again["auth_time"] != alices["auth_time"] {
		t.Errorf("%v, then %v", alices, again)
	}
	declined, _ := visitor.Press(visitor.Go(client.AuthorizeURL("prompt", "select_account")), "select-cancel").Arrived()
	tellsClient(t, "cancelled", client, declined, "access_denied")

	// Another is added, and neither ends the other.
	page = visitor.Press(visitor.Go(client.AuthorizeURL("prompt", "select_account")), "select-another")
	if page.Title != "Sign in" || page.Value("username") != "" || !page.Has("login-select") {
		t.Fatalf("%q for %q", page.Title, page.Value("username"))
	}
	refused("nobody is chosen yet", "account_selection_required")
	bob, bobs := tokens(visitor.SignIn(page, "bob", servertest.Password))
	if bobs["sid"] == alices["sid"] || bobs["sub"] == alices["sub"] {
		t.Errorf("%v and %v", alices, bobs)
	}
	offers(visitor.Go(client.AuthorizeURL("prompt", "select_account")), "bob", "alice")

	t.Run("a hint finds its account, and chooses none", func(t *testing.T) {
		for _, test := range []struct{ name, value, sid string }{
			{"id_token_hint", alice, "alice"}, {"id_token_hint", bob, "bob"}, {"login_hint", "alice", "alice"}, {"login_hint", "ALICE@example.com", "alice"},
			{"login_hint", "bob", "bob"}, {"login_hint", "nobody", "bob"}, {"claims", `{"id_token":{"sub":{"value":"` + fmt.Sprint(alices["sub"]) + `"}}}`, "alice"},
			{"ui_locales", "en", "bob"},
		} {
			want := map[string]any{"alice": alices["sid"], "bob": bobs["sid"]}[test.sid]
			if _, claims := tokens(silently(test.name, test.value)); claims["sid"] != want {
				t.Errorf("%s=%s: %v, not %s", test.name, test.value, claims["sid"], test.sid)
			}
			if page := visitor.Go(house.At(client.Issuer + "/account")); page.Text("account-person") != "bob" {
				t.Errorf("%s=%s makes %s the browser's", test.name, test.value, page.Text("account-person"))
			}
		}
		refused("a hint for somebody who is not here", "login_required", "id_token_hint", hintFor(t, client, "carol"))
		// A hint beside the question is answered by the person; another than it names is none that the client can have.
		page := visitor.Go(client.AuthorizeURL("prompt", "select_account", "id_token_hint", alice))
		offers(page, "bob", "alice")
		wrong, _ := visitor.Press(page, "account-1").Arrived()
		tellsClient(t, "another than the hint", client, wrong, "login_required")
	})

	t.Run("what needs a page asks whose it is first", func(t *testing.T) {
		page := visitor.Go(asking.AuthorizeURL("login_hint", "alice"))
		offers(page, "bob", "alice")
		if page = visitor.Press(page, "account-2"); page.Title != "Allow access" || !strings.Contains(page.Body, "alice") {
			t.Fatalf("%q\n%s", page.Title, page.Body)
		}
		page, err := visitor.For(asking.Redirect).Open(t.Context(), page.URL.String())
		if err != nil {
			t.Fatal(err)
		}
		arrived, _ := visitor.Press(page, "consent-allow").Arrived()
		if claims := servertest.Claims(t, asking.Redeem(arrived.Get("code")).Text("id_token")); claims["sid"] != alices["sid"] {
			t.Errorf("%v", claims)
		}
		offers(visitor.Go(client.AuthorizeURL("prompt", "select_account")), "alice", "bob")
	})

	t.Run("whoever is chosen proves it anew where that is asked for", func(t *testing.T) {
		for i, params := range [][]string{{"prompt", "select_account login"}, {"prompt", "login select_account"}, {"prompt", "select_account", "max_age", "0"}} {
			page := visitor.Go(client.AuthorizeURL(params...))
			name := []string{"bob", "alice"}[i%2]
			if page = visitor.Press(page, "account-2"); page.Title != "Sign in" || page.Value("username") != name || !page.Has("login-select") {
				t.Fatalf("%v: %q for %q\n%s", params, page.Title, page.Value("username"), page.Body)
			}
			_, claims := tokens(visitor.SignIn(page, name, servertest.Password))
			before := map[string]map[string]any{"alice": alices, "bob": bobs}[name]
			if claims["sid"] != before["sid"] || numberOf(t, claims["auth_time"]) <= numberOf(t, before["auth_time"]) {
				t.Errorf("%v: %v, before %v", params, claims, before)
			}
		}
		// A proof of one account is no proof of another that is chosen after it.
		page := visitor.Go(client.AuthorizeURL("prompt", "login", "login_hint", "bob"))
		back := strings.Replace(page.URL.String(), "/login?", "/login/select?", 1)
		id := page.URL.Query().Get("interaction")
		page = visitor.Go(back)
		offers(page, "bob", "alice")
		page = visitor.Press(page, "account-2")
		if page.Title != "Sign in" || page.Value("username") != "alice" || page.URL.Query().Get("interaction") != id {
			t.Errorf("%q for %q", page.Title, page.Value("username"))
		}
	})

	t.Run("only what is this browser's can be chosen", func(t *testing.T) {
		elsewhere := client.Visitor()
		_, carols := tokens(elsewhere.SignIn(elsewhere.Go(client.AuthorizeURL()), "carol", servertest.Password))
		page := visitor.Go(client.AuthorizeURL("prompt", "select_account"))
		field := csrf(t, page.Body)
		post := func(name string, status int, says string, pairs ...string) {
			t.Helper()
			answer := send(t, house, request{address: page.URL.String(), form: fields(pairs...), cookies: visitor.Cookies(house.URL)})
			if answer.Status != status || !strings.Contains(answer.Body, says) {
				t.Errorf("%s: %d %s", name, answer.Status, answer.Body)
			}
		}
		post("another browser's", 404, "not signed in here", "csrf_token", field, "account", fmt.Sprint(carols["sid"]))
		post("nobody's", 404, "not signed in here", "csrf_token", field, "account", "6d8e5d5e-0000-4000-8000-000000000000")
		post("nothing", 400, choose, "csrf_token", field)
		post("no id", 400, choose, "csrf_token", field, "account", "alice")
		post("without the token", 403, "", "account", fmt.Sprint(bobs["sid"]))
		post("with another's token", 403, "", "csrf_token", field+"x", "account", fmt.Sprint(bobs["sid"]))
		answer := send(t, house, request{address: page.URL.String(), cookies: elsewhere.Cookies(house.URL)})
		if answer.Status != 403 || strings.Contains(answer.Body, "alice") {
			t.Errorf("another browser sees %d %s", answer.Status, answer.Body)
		}
	})

	t.Run("signing out is of one account, or of all", func(t *testing.T) {
		page := visitor.Go(client.AuthorizeURL("prompt", "select_account"))
		offers(page, "alice", "bob")
		if _, now := tokens(visitor.Press(page, "account-2")); now["sid"] != bobs["sid"] {
			t.Fatalf("%v is the browser's", now["sub"])
		}
		logout := func(params url.Values) *formbrowser.Page {
			t.Helper()
			return visitor.Go(house.At(client.Issuer + "/oauth2/logout?" + params.Encode()))
		}
		// The hint of one that is not the browser's signs that one out.
		page = logout(url.Values{"id_token_hint": {alice}})
		if page.Title != "Signed out" || page.Has("logged-out-select") {
			t.Errorf("%q\n%s", page.Title, page.Body)
		}
		offers(visitor.Go(client.AuthorizeURL("prompt", "select_account")), "bob")
		refused("alice is signed out", "login_required", "id_token_hint", alice)
		if page := logout(url.Values{"id_token_hint": {alice}}); page.Title != "Sign out?" || page.Text("logout-user") != "bob" || page.Has("logout-all") {
			t.Errorf("%q for %q", page.Title, page.Text("logout-user"))
		}

		page = visitor.Press(visitor.Go(client.AuthorizeURL("prompt", "select_account")), "select-another")
		tokens(visitor.SignIn(page, "carol", servertest.Password))
		page = logout(nil)
		if page.Title != "Sign out?" || page.Text("logout-user") != "carol" || !page.Has("logout-all") || !strings.Contains(page.Body, "bob") {
			t.Fatalf("%q\n%s", page.Title, page.Body)
		}
		page = visitor.Press(page, "logout-confirm")
		if page.Title != "Signed out" || !page.Has("logged-out-select") {
			t.Errorf("%q\n%s", page.Title, page.Body)
		}
		// Nobody takes the place of whoever has left, until they say so.
		refused("carol is signed out", "account_selection_required")
		refused("carol is signed out, and named", "login_required", "login_hint", "carol")
		if _, claims := tokens(silently("login_hint", "bob")); claims["sid"] != bobs["sid"] {
			t.Errorf("%v", claims)
		}
		if page := visitor.Go(client.AuthorizeURL("login_hint", "carol")); page.Title != "Sign in" || page.Value("username") != "carol" || !page.Has("login-select") {
			t.Errorf("%q for %q", page.Title, page.Value("username"))
		}
		offers(visitor.Go(client.AuthorizeURL()), "bob")
		page = visitor.Go(house.At(client.Issuer + "/account/profile"))
		offers(page, "bob")
		if page = visitor.Press(page, "account-1"); page.URL.Path != "/account/profile" || page.Text("account-person") != "bob" {
			t.Fatalf("%q at %s", page.Title, page.URL)
		}

		address, _ := page.Attr("account-switch", "href")
		page = visitor.Press(visitor.Go(house.At(client.Issuer+address)), "select-another")
		if page = visitor.SignIn(page, "alice", servertest.Password); page.URL.Path != "/account/profile" || page.Text("account-person") != "alice" {
			t.Fatalf("%q at %s", page.Title, page.URL)
		}
		page = visitor.Press(page, "account-sign-out")
		if page.Title != "Signed out" || !page.Has("logged-out-select") {
			t.Errorf("%q", page.Title)
		}
		page = logout(nil)
		if page.Title != "Sign out?" || page.Has("logout-confirm") || !strings.Contains(page.Body, "bob") {
			t.Fatalf("%q\n%s", page.Title, page.Body)
		}
		if page = visitor.Press(page, "logout-all"); page.Title != "Signed out" || page.Has("logged-out-select") {
			t.Errorf("%q", page.Title)
		}
		refused("all are signed out", "login_required")
		if page = visitor.Go(house.At(client.Issuer + "/login/select?return_to=%2Faccount")); page.Title != "Sign in" {
			t.Errorf("%q", page.Title)
		}
		tokens(visitor.SignIn(visitor.Go(client.AuthorizeURL()), "alice", servertest.Password))
		page = visitor.Go(house.At(client.Issuer + "/login/select?return_to=%2Faccount"))
		if page = visitor.Press(page, "select-sign-out"); page.Title != "Signed out" {
			t.Errorf("%q", page.Title)
		}
		refused("signed out on the page of accounts", "login_required")
	})
}

// hintFor is an ID token of somebody who has signed in elsewhere.
func hintFor(t testing.TB, client *servertest.Client, username string) string {
	t.Helper()
	return client.Redeem(client.Visitor().Code(client.AuthorizeURL(), username)).Text("id_token")
}

// Initiating User Registration via OpenID Connect 1.0.
func TestAnApplicationSendsSomebodyToMakeAnAccount(t *testing.T) {
	t.Parallel()
	house := behindProxy(t, servertest.Options{})
	org := decided(t, house, "default", "sign_up.mode", "open")
	house.User(org, "alice")
	client := house.Client(org, trustedClient)
	g := from(t, "198.51.100.8")
	// Though somebody is signed in here, who is not meant.
	page := g.send(g.open(client.AuthorizeURL(), "Sign in"), "login-submit", "username", "alice", "password", servertest.Password)
	if arrived, _ := page.Arrived(); arrived.Get("code") == "" {
		t.Fatalf("%d %q", page.Status, page.Title)
	}
	page = g.open(client.AuthorizeURL("prompt", "create"), "Create an account")
	page = g.sees(g.send(page, "signup-submit", "email", "newcomer@example.com", "name", "New Comer", "password", newPassword), "Check your mail")
	page = g.send(page, "verify-submit", "code", newest(t, house, "newcomer@example.com", mail.VerifyEmail).Code)
	arrived, _ := page.Arrived()
	user, err := house.DB.UserByLogin(org, "newcomer@example.com")
	if err != nil {
		t.Fatal(err)
	}
	if sub := servertest.Claims(t, client.Redeem(arrived.Get("code")).Text("id_token"))["sub"]; sub != user.ID.String() {
		t.Errorf("signed in as %v", sub)
	}
	// Whoever has an account after all signs in to it, and comes back as well.
	g = from(t, "198.51.100.9")
	page = g.open(client.AuthorizeURL("prompt", "create"), "Create an account")
	link, _ := page.Attr("signup-sign-in", "href")
	page = g.send(g.open(house.Base+link, "Sign in"), "login-submit", "username", "alice", "password", servertest.Password)
	if arrived, _ := page.Arrived(); arrived.Get("code") == "" {
		t.Errorf("%d %q", page.Status, page.Title)
	}

	// Letters take their time, and the request does not wait for longer than a quarter of an hour: then the application begins anew, if it can
	// (OpenID Connect Core 1.0 §4).
	begins := house.Client(org, manage.ClientSpec{SkipConsent: true, Metadata: map[string]any{"initiate_login_uri": servertest.Callback + "?begin=1"}})
	for name, one := range map[string]*servertest.Client{"slow": client, "late": begins} {
		g, address := from(t, "198.51.100.10"), name+"@example.com"
		page := g.open(one.AuthorizeURL("prompt", "create"), "Create an account")
		page = g.sees(g.send(page, "signup-submit", "email", address, "name", "New Comer", "password", newPassword), "Check your mail")
		past(t, house, `UPDATE interactions SET expires_at = '`+longAgo+`'`)
		page = g.send(page, "verify-submit", "code", newest(t, house, address, mail.VerifyEmail).Code)
		arrived, _ := page.Arrived()
		if one == begins && (arrived.Get("begin") != "1" || arrived.Get("iss") != one.Issuer || len(arrived) != 2) || one == client && page.URL.Path != "/account" {
			t.Errorf("%s: %d %q at %s, %v", name, page.Status, page.Title, page.URL, arrived)
		}
		if arrived, _ := mustOpen(t, g, one.AuthorizeURL("prompt", "none")).Arrived(); arrived.Get("code") == "" {
			t.Errorf("%s: who has made an account is not signed in: %v", name, arrived)
		}
	}

	prompts := func() string {
		return fmt.Sprint(house.Get(client.Issuer + "/.well-known/openid-configuration").JSON()["prompt_values_supported"])
	}
	if got := prompts(); got != "[none login consent select_account create]" {
		t.Errorf("%s", got)
	}
	for _, value := range []string{"create login", "login create", "create none", "create create"} {
		tellsClient(t, value, client, sentTo(t, house.Get(client.AuthorizeURL("prompt", value))).Query(), "invalid_request")
	}
	for _, settings := range [][]string{{"sign_up.mode", "closed"}, {"sign_up.mode", "invitation"}} {
		decided(t, house, "default", settings...)
		eventually(t, "the metadata says so", func() bool { return prompts() == "[none login consent select_account]" })
		tellsClient(t, "create, where nobody can", client, sentTo(t, house.Get(client.AuthorizeURL("prompt", "create"))).Query(), "invalid_request")
	}
}

func mustOpen(t testing.TB, g *guest, address string) *formbrowser.Page {
	t.Helper()
	page, err := g.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	return page
}
