package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/upstreamtest"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

// The way to providers and back leads over forms of three sites, which a real browser judges by its own rules.
func somebodySignsInAtProviders(t *testing.T, chromium *servertest.Chromium) {
	house := servertest.Start(t, servertest.Options{})
	org := decided(t, house, "default", "sign_up.mode", "open")
	idp, apple, facebook := served(t, house, org, "oidc", `{"title":"Work","sign_up":"never","home_domains":["acme.example"]}`), served(t, house, org, "apple", ""), served(t, house, org, "facebook", "")
	app := newApplication(t, house, manage.ClientSpec{SkipConsent: true})
	tab := chromium.Tab(t, house.Base, app.URL, idp.URL, apple.URL, facebook.URL)
	login := house.Base + "/login?return_to=/account"

	apple.Become(somebody("eve"))
	tab.Open(login, "Sign in")
	tab.Look()
	tab.Press("login-with-apple", "Continue") // the provider's page, whose form leads back
	tab.Press("continue", "Your account")
	if !strings.Contains(tab.Text("account-email"), "eve@example.com") {
		t.Errorf("whose account is it? %q", tab.Text("account-email"))
	}

	// From an application, and back to it.
	fresh := chromium.Tab(t, house.Base, app.URL, idp.URL, apple.URL, facebook.URL)
	fresh.Open(app.AuthorizeURL(), "Sign in")
	fresh.Press("login-with-apple", "Continue")
	fresh.Press("continue", "Arrived")
	app.arrived(t, "GET", "the-state")

	// Who is signed in links another, takes it away again, and is not let to take the last.
	idp.Become(somebody("at-work"))
	tab.Open(house.Base+"/account/linked", "Linked accounts")
	tab.Look()
	tab.Press("linked-connect-oidc", "Linked accounts")
	if tab.Text("account-done") == "" {
		t.Error("nothing is said to be done")
	}
	tab.Look()
	tab.Open(house.Base+"/account/activity", "Activity")
	tab.Look()

	// Whom the provider vouches for, and whose address it does not.
	who := somebody("frank")
	facebook.Become(who)
	other := chromium.Tab(t, house.Base, idp.URL, apple.URL, facebook.URL)
	other.Open(login, "Sign in")
	other.Press("login-with-facebook", "Your e-mail address")
	other.Look()
	other.Press("prove-submit", "Check your mail")
	other.Fill("code", newest(t, house, who.Email, mail.VerifyEmail).Code)
	other.Press("verify-submit", "Your account")

	// What may go wrong.
	third := chromium.Tab(t, house.Base, idp.URL, apple.URL, facebook.URL)
	idp.Become(somebody("stranger"))
	third.Open(login, "Sign in")
	third.Press("login-with-oidc", "Request error") // nobody makes an account there
	third.Look()
	third.Press("language-ar", "تسجيل الدخول") // not at an address that is used up
	third.Press("language-en", "Sign in")
	third.Press("login-with-oidc", "Request error")
	idp.Misbehave(upstreamtest.Faults{Callback: func(v url.Values) { v.Set("error", "access_denied") }})
	third.Press("error-again", "Sign in")
	third.Press("login-with-oidc", "Sign in")
	if third.Text("login-notice") == "" {
		t.Error("nothing is said of what came of it")
	}
	third.Look()
	house.User(org, "at-home")
	known := somebody("at-home")
	apple.Become(known)
	third.Press("login-with-apple", "Continue")
	third.Press("continue", "Sign in") // there is an account with the address, and a password
	if !strings.Contains(third.Text("login-notice"), known.Email) {
		t.Errorf("%q", third.Text("login-notice"))
	}
	third.Look()
	idp.Misbehave(upstreamtest.Faults{Claims: func(claims map[string]any) { claims["iss"] = "https://elsewhere.example" }})
	fourth := chromium.Tab(t, house.Base, idp.URL)
	fourth.Open(login, "Sign in")
	fourth.Fill("username", "dora@acme.example")
	fourth.Fill("password", "whatever")
	fourth.Press("login-submit", "Request error") // at home elsewhere, which lies
	if fourth.Status() != http.StatusBadGateway {
		t.Errorf("%d", fourth.Status())
	}
	fourth.Look()
}
