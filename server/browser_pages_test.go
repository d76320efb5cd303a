package server_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

const longName = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"

// The pages of a journey are looked at where they are met; here are the others, and those that look different for some.
func everyPageCanBeSeenReadAndPressed(t *testing.T, chromium *servertest.Chromium) {
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	address := "https://app.example/" + strings.Repeat("long", 30)
	app := newApplication(t, house, manage.ClientSpec{
		Name: longName, Scope: "openid profile email address phone offline_access read " + strings.Repeat("scope", 20),
		PolicyURI: address, TosURI: address, ClientURI: address, LogoURI: address,
	})
	demo := newApplication(t, house, manage.ClientSpec{AuthMethod: "none"})
	tab := chromium.Tab(t, house.Base, app.URL, demo.URL)

	tab.Open(app.AuthorizeURL(), "Sign in")
	tab.Look()
	tab.SignIn("somebody-"+strings.Repeat("long", 40), "wrong", "Sign in")
	tab.Look()
	tab.SignIn("alice", servertest.Password, "Allow access")
	tab.Look()
	tab.Open(app.AuthorizeURL("scope", "openid profile email address phone offline_access read "+strings.Repeat("scope", 20)), "Allow access")
	tab.Look()
	tab.Open(demo.AuthorizeURL("scope", "openid"), "Allow access") // nothing proves which application it is
	if tab.Text("consent-unverified") == "" {
		t.Error("the person is not warned")
	}
	tab.Look()
	tab.Open(app.AuthorizeURL("prompt", "login"), "Sign in") // again, although signed in
	tab.Look()

	errors := map[string]struct {
		title  string
		status int
	}{
		"/oauth2/authorize":                              {"Request error", 400},
		"/oauth2/authorize?client_id=nobody":             {"Request error", 400},
		"/login?interaction=none":                        {"Request error", 400},
		"/consent":                                       {"Request error", 400},
		"/oauth2/logout?id_token_hint=nothing":           {"Sign-out error", 400},
		"/setup?token=nothing":                           {"Request error", 404},
		"/o/nobody/oauth2/authorize":                     {"Request error", 400},
		"/o/nobody/logged-out":                           {"Request error", 404},
		"/" + strings.Repeat("nowhere", 40):              {"Request error", 404},
		"/playground/callback?error=access_denied&state": {"Playground", 400},
	}
	for path, want := range errors {
		tab.Open(house.Base+path, want.title)
		if tab.Status() != want.status {
			t.Errorf("%s: %d, want %d", path, tab.Status(), want.status)
		}
		tab.Look()
	}

	tab.Open(house.Base+"/oauth2/logout", "Sign out?")
	tab.Look()
	tab.Press("logout-confirm", "Signed out")
	tab.Look()
	tab.Open(house.Base+"/oauth2/logout", "Signed out")
}

// From the address to the code without a mouse, and always knowing where one is.
func aKeyboardIsEnough(t *testing.T, chromium *servertest.Chromium) {
	house := servertest.Start(t, servertest.Options{})
	house.User(house.In("default"), "alice")
	app := newApplication(t, house, manage.ClientSpec{})
	tab := chromium.Tab(t, house.Base, app.URL)
	at := func(want string) {
		t.Helper()
		if got := tab.Focus(); got != want {
			t.Errorf("the keyboard is at %q, want %q", got, want)
		}
		if ring := tab.Ask("(s => s.outlineStyle + ' ' + parseFloat(s.outlineWidth))(getComputedStyle(document.activeElement))"); ring != "solid 3" {
			t.Errorf("one sees that the keyboard is at %q by an outline that is %s", want, ring)
		}
	}

	tab.Open(app.AuthorizeURL(), "Sign in")
	at("username")
	tab.Type("alice")
	tab.Tabulate()
	at("password")
	tab.Type("wrong")
	tab.Enter("Sign in")
	if said := tab.Announced(); !slices.Equal(said, []string{"That user name and password do not belong together. Check both and try again. After several failures, wait a few minutes before the next try."}) {
		t.Errorf("the failure is announced as %q", said)
	}
	if title := tab.Ask("document.title"); !strings.HasPrefix(title, "Error: ") {
		t.Errorf("the window is called %q", title)
	}
	if tab.Ask("document.getElementById('password').value") != "" || tab.Ask("document.getElementById('username').value") != "alice" {
		t.Error("the user name is kept and the password is not")
	}

	// The name stands there already, so one goes on where something is missing; and every stop can be reached.
	at("password")
	var stops []string
	for range 6 {
		stops = append(stops, tab.Tabulate())
	}
	if stops[0] != "login-submit" || !slices.Contains(stops, "login-forgot") || !slices.Contains(stops, "login-cancel") {
		t.Errorf("from the password the keyboard goes to %q", stops)
	}
	tab.Fill("password", servertest.Password)
	tab.Enter("Allow access")

	if got := tab.Focus(); got != "" {
		t.Errorf("consent is given by whoever presses Enter too long: the keyboard is at %q", got)
	}
	tab.Tabulate()
	at("consent-allow")
	tab.Tabulate()
	at("consent-deny")
	tab.Enter("Arrived")
	if got := app.arrived(t, "GET", "the-state"); got.Get("error") != "access_denied" {
		t.Errorf("arrived with %v", got)
	}

	tab.Open(app.AuthorizeURL("login_hint", "alice", "prompt", "login"), "Sign in")
	at("password")
	tab.Open(app.AuthorizeURL(), "Allow access")
	tab.Tabulate()
	tab.Enter("Arrived")
	app.arrived(t, "GET", "the-state")
	tab.Open(house.Base+"/oauth2/logout", "Sign out?")
	tab.Tabulate()
	at("logout-confirm")
	tab.Enter("Signed out")

	tab.Open(house.Base+"/playground", "Playground")
	tab.Tabulate() // the way past the header
	if to := tab.Ask("document.activeElement.getAttribute('href')"); to != "#content" {
		t.Errorf("the first stop leads to %q", to)
	}
	tab.Fill("login_hint", "alice")
	tab.Enter("Sign in")
	at("password")
}

// What comes from outside is shown, and does nothing, even where the browser knows no policy that would stop it.
func whatStrangersWriteStaysText(t *testing.T, chromium *servertest.Chromium) {
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	payloads := []string{
		`'"></title></script><script>alert(1)</script><img src=x onerror=alert(1)>{{.}}`,
		`javascript:alert(1)//`,
	}
	for i, payload := range payloads {
		username := "alice" + strings.Repeat("x", i)
		if _, err := house.Operators.CreateUser(org, manage.NewUser{
			Username: username, Email: username + "@example.com", FullName: payload, Password: servertest.Password, Verified: true,
		}); err != nil {
			t.Fatal(err)
		}
		app := newApplication(t, house, manage.ClientSpec{Name: payload})
		tab := chromium.Tab(t, house.Base, app.URL)
		tab.WithoutPolicy()
		q := url.QueryEscape(payload)
		for _, path := range []string{
			"/oauth2/authorize?client_id=" + q + "&redirect_uri=" + q + "&state=" + q,
			"/oauth2/authorize?client_id=" + app.ID + "&redirect_uri=" + q + "&ui_locales=" + q,
			"/login?interaction=" + q,
			"/consent?interaction=" + q + "&ui_locales=" + q,
			"/setup?done=" + q,
			"/setup?token=" + q,
			"/o/" + url.PathEscape(payload) + "/oauth2/authorize",
			"/" + url.PathEscape(payload) + "?" + q + "=" + q,
		} {
			tab.Open(house.Base+path, "Request error")
			harmless(t, tab, path)
		}
		tab.Open(house.Base+"/oauth2/logout?id_token_hint="+q+"&state="+q+"&post_logout_redirect_uri="+q, "Sign-out error")
		harmless(t, tab, "logout")

		// Errors that are the application's to hear.
		for _, param := range []string{"scope", "response_type", "response_mode", "prompt", "max_age", "code_challenge_method", "id_token_hint"} {
			tab.Open(app.AuthorizeURL(param, payload, "state", payload), "Arrived")
			if got := app.arrived(t, "GET", payload); got.Get("error") == "" {
				t.Errorf("%s=%s is taken: %v", param, payload, got)
			}
		}

		tab.Open(app.AuthorizeURL("login_hint", payload, "state", payload, "nonce", payload, "ui_locales", payload, "acr_values", payload,
			"display", payload, "response_mode", "form_post"), "Sign in")
		if got := tab.Ask("document.getElementById('username').value"); got != payload {
			t.Errorf("the hint stands there as %q", got)
		}
		harmless(t, tab, "login")
		tab.SignIn(payload, payload, "Sign in")
		harmless(t, tab, "login, again")
		tab.SignIn(username, servertest.Password, "Allow access")
		if text := tab.Ask("document.querySelector('.app').innerText"); !strings.Contains(text, payload) {
			t.Errorf("the application is called %q", text)
		}
		harmless(t, tab, "consent")
		tab.Press("consent-allow", "Arrived")
		app.arrived(t, "POST", payload)

		tab.Open(house.Base+"/playground", "Playground")
		tab.Fill("login_hint", payload)
		tab.Fill("scope", "openid profile "+payload)
		tab.Press("playground-start", "Playground") // refused
		harmless(t, tab, "playground, refused")
		tab.Open(house.Base+"/playground/callback?error="+q+"&error_description="+q+"&error_uri="+q+"&iss="+q+"&state="+q+"&"+q+"="+q, "Playground")
		harmless(t, tab, "playground, called back")
		tab.Open(house.Base+"/playground", "Playground")
		tab.Fill("scope", "openid profile")
		tab.Press("playground-start", "Allow access")
		tab.Press("consent-allow", "Playground")
		verified(t, tab, "")
		harmless(t, tab, "playground, signed in")
	}
}

// harmless looks for what a payload would become, were it not kept as text.
func harmless(t *testing.T, tab *servertest.Tab, where string) {
	t.Helper()
	// Our own script for passkeys has nothing in it that is put there.
	const found = `[...document.querySelectorAll('*')].filter(e => !/^<script src="\/static\/passkey\.[0-9a-f]+\.js" defer=""><\/script>$/.test(e.outerHTML)).
		filter(e => ['SCRIPT', 'IMG', 'TEXTAREA'].includes(e.tagName) || [...e.attributes].some(a => /^on/.test(a.name)) ||
			/^javascript:/i.test(e.getAttribute('href') ?? e.getAttribute('action') ?? '')).map(e => e.outerHTML).join(' ')`
	if got := tab.Ask(found); got != "" {
		t.Errorf("%s: there is %s", where, got)
	}
}
