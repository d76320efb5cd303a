package server_test

import (
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/server/servertest"
)

// The first five minutes of whoever has just run `keizer serve`.
func aNewcomerSetsKeizerUpAndSeesTokens(t *testing.T, chromium *servertest.Chromium) {
	house := servertest.Start(t, servertest.Options{})
	link, err := house.Operators.NewSetupLink(t.Context(), house.Base)
	if err != nil {
		t.Fatal(err)
	}
	tab := chromium.Tab(t, house.Base)

	tab.Open(link, "Set up Keizer")
	tab.Look()
	tab.Fill("username", "operator")
	tab.Fill("email", "operator@example.com")
	tab.Fill("password", "password") // which everybody would guess
	tab.Press("setup-submit", "Set up Keizer")
	if tab.Status() != 400 || tab.Ask("document.getElementById('password').getAttribute('aria-invalid')") != "true" {
		t.Errorf("status %d, and the password is not said to be what is wrong: %q", tab.Status(), tab.Announced())
	}
	if tab.Ask("document.getElementById('username').value") != "operator" || tab.Ask("document.getElementById('password').value") != "" {
		t.Error("what was entered is kept, save the password")
	}
	tab.Look()
	tab.Fill("password", servertest.Password)
	tab.Press("setup-submit", "Keizer is set up")
	if got := tab.Text("setup-issuer"); got != house.Base {
		t.Errorf("the issuer is said to be %q", got)
	}
	tab.Look()

	// The operator is signed in already; the playground asks for nothing but consent.
	tab.Press("setup-playground", "Playground")
	tab.Look()
	tab.Press("playground-start", "Allow access")
	tab.Look()
	tab.Press("consent-allow", "Playground")
	verified(t, tab, "operator")
	tab.Look()

	tab.Press("playground-refresh", "Playground")
	if got := tab.Text("playground-rotation"); !strings.HasPrefix(got, "Rotated.") {
		t.Errorf("the refresh is told as %q", got)
	}
	verified(t, tab, "operator")
	tab.Press("playground-sign-out", "Playground")
	if got := tab.Text("playground-signed-out"); !strings.HasPrefix(got, "Signed out.") {
		t.Errorf("the sign-out is told as %q", got)
	}
	tab.Look()

	// Once more, as everybody else who comes: nobody is signed in.
	tab.Fill("response_mode", "form_post")
	tab.Press("playground-start", "Sign in")
	tab.SignIn("operator@example.com", servertest.Password, "Allow access")
	tab.Press("consent-allow", "Playground")
	verified(t, tab, "operator")
	tab.Press("playground-revoke", "Playground")
	if !strings.HasPrefix(tab.Text("playground-revoked"), "Revoked.") {
		t.Error("the revocation is not told")
	}
	tab.Look()

	// The link has done what it could.
	tab.Open(link, "Request error")
	if tab.Status() != 404 {
		t.Errorf("status %d", tab.Status())
	}
}

// verified reads the playground's verdict on the tokens.
func verified(t *testing.T, tab *servertest.Tab, name string) {
	t.Helper()
	verdict := tab.Text("playground-verdict")
	if !strings.HasPrefix(verdict, "Signed in as ") || !strings.Contains(verdict, "checks of the ID token passed.") {
		t.Errorf("the verdict is %q, %q", verdict, tab.Text("playground-failure"))
	}
	if failed := tab.Ask("document.querySelectorAll('#playground-checks .pg-fail').length"); failed != "0" {
		t.Errorf("%s checks have failed", failed)
	}
	if claims := tab.Text("playground-userinfo"); !strings.Contains(claims, name) {
		t.Errorf("userinfo says %q", claims)
	}
}

// The terminal says localhost, and some type 127.0.0.1: another site to a browser, where neither cookies nor forms lead on.
func whoeverOpensThePlaygroundByNumberComesToItsName(t *testing.T, chromium *servertest.Chromium) {
	house := servertest.Start(t, servertest.Options{})
	house.User(house.In("default"), "alice")
	number := strings.Replace(house.URL, "localhost", "127.0.0.1", 1)
	tab := chromium.Tab(t, house.Base, number)
	tab.Open(number+"/", "Playground")
	tab.Press("playground-start", "Sign in")
	tab.SignIn("alice", servertest.Password, "Allow access")
	tab.Press("consent-allow", "Playground")
	verified(t, tab, "alice")
}
