package server_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/server/servertest"
)

// shownCode is what an app shows that was set up by the key on the page.
func shownCode(t testing.TB, tab *servertest.Tab) string {
	t.Helper()
	code, err := totp.GenerateCode(strings.ReplaceAll(tab.Text("app-secret"), " ", ""), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// Somebody makes a passkey, signs in with it alone and beside a password, adds an app and recovery codes, and signs in with those.
func aPersonSignsInWithPasskeysAndCodes(t *testing.T, chromium *servertest.Chromium) {
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	user := house.User(org, "alice")
	tab := chromium.Tab(t, house.Base)
	at := func(path string) string { return house.Base + "/account" + path }
	leave := func() {
		t.Helper()
		tab.Press("account-sign-out", "Signed out")
		change(t, house, `UPDATE authenticators SET last_step = 0`) // as if half a minute had passed
	}
	device := tab.Device()
	tab.Unasked()

	tab.Open(at("/passkeys"), "Sign in")
	tab.Look()
	tab.SignIn("alice", servertest.Password, "Passkeys")
	tab.Look()
	tab.Fill("passkey-name", "Phone")
	tab.Press("passkey-add", "Recovery codes")
	if device.Passkeys() != 1 || tab.Text("account-done") == "" {
		t.Errorf("the device keeps %d passkeys, and %q is said", device.Passkeys(), tab.Text("account-done"))
	}
	tab.Look()
	tab.Press("codes-new", "Your recovery codes")
	codes := strings.Fields(tab.Text("recovery-codes"))
	tab.Look()
	tab.Press("codes-kept", "Recovery codes")
	tab.Look()
	tab.Open(at("/passkeys"), "Passkeys")
	tab.Look()
	// The same device has one for her already.
	tab.PressInPlace("passkey-add")
	tab.Shows("passkey-problem")
	tab.Look()
	leave()

	// By the passkey alone: not while somebody else holds it.
	tab.Open(at(""), "Sign in")
	device.Held(false)
	tab.PressInPlace("login-passkey")
	tab.Shows("passkey-problem")
	if heard := strings.Join(tab.Announced(), " "); !strings.Contains(heard, "did not work") {
		t.Errorf("heard is %q", heard)
	}
	tab.Look()
	device.Held(true)
	tab.Press("login-passkey", "Your account")
	if tab.Text("account-user") != "alice" {
		t.Errorf("signed in is %q", tab.Text("account-user"))
	}
	leave()

	// Beside the password.
	tab.Open(at(""), "Sign in")
	tab.SignIn("alice", servertest.Password, "One more step")
	tab.Look()
	tab.Press("factor-passkey", "Your account")

	// An app, by the picture or by hand.
	tab.Open(at("/authenticator"), "Authenticator app")
	tab.Look()
	tab.Press("app-new", "Set up an authenticator app")
	if tab.Ask("document.querySelector('.picture img').naturalWidth") != "232" {
		t.Error("there is no picture")
	}
	tab.Look()
	tab.Fill("code", "000000")
	tab.Press("app-add", "Set up an authenticator app")
	if tab.Status() != http.StatusBadRequest {
		t.Errorf("%d", tab.Status())
	}
	tab.Look()
	tab.Fill("name", "Tablet")
	tab.Fill("code", shownCode(t, tab))
	tab.Press("app-add", "Authenticator app")
	tab.Look()
	leave()

	// Whoever browses without scripts has other ways.
	other := chromium.Tab(t, house.Base)
	other.WithoutJavaScript()
	other.Open(at(""), "Sign in")
	other.Press("login-passkey", "Sign in") // it says what is missing
	other.SignIn("alice", servertest.Password, "One more step")
	other.Press("factor-way-recovery", "One more step")
	other.Fill("code", strings.ToLower(codes[3]))
	other.Press("factor-submit", "Your account")

	tab.Open(at(""), "Sign in")
	tab.SignIn("alice", servertest.Password, "One more step")
	tab.Press("factor-way-app", "One more step")
	tab.Look()
	tab.Fill("code", "000000")
	tab.Press("factor-submit", "One more step")
	if heard := strings.Join(tab.Announced(), " "); tab.Status() != http.StatusUnauthorized || !strings.Contains(heard, "not right") {
		t.Errorf("%d, and heard is %q", tab.Status(), heard)
	}
	tab.Look()
	apps, err := house.DB.AuthenticatorsOf(org, user.ID)
	if err != nil || len(apps) != 1 {
		t.Fatalf("%v, %d apps", err, len(apps))
	}
	tab.PressInPlace("remember")
	tab.Fill("code", codeOf(t, apps[0].Secret, 0))
	tab.Press("factor-submit", "Your account")
	leave()
	tab.Open(at(""), "Sign in")
	tab.SignIn("alice", servertest.Password, "Your account") // remembered
}

// Where the browser can, the passkey of whoever sits there is offered along with their name, and no button need be pressed.
func aPasskeyIsOfferedBesideTheUserName(t *testing.T, chromium *servertest.Chromium) {
	house := servertest.Start(t, servertest.Options{})
	house.User(house.In("default"), "alice")
	app := newApplication(t, house, trustedClient)
	tab := chromium.Tab(t, house.Base, app.URL)
	tab.Device()
	tab.Open(house.Base+"/account/passkeys", "Sign in")
	tab.SignIn("alice", servertest.Password, "Passkeys")
	tab.Press("passkey-add", "Recovery codes")
	tab.Press("account-sign-out", "Signed out")
	tab.Open(app.AuthorizeURL(), "Arrived")
	if got := app.arrived(t, "GET", "the-state"); got.Get("code") == "" {
		t.Errorf("arrived with %v", got)
	}
}

// An organization asks for a second factor, and a newcomer sets one up: a passkey, or an app. Whoever has neither gets a code by mail.
func whoeverMustSetsUpASecondFactorOnTheWayIn(t *testing.T, chromium *servertest.Chromium) {
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	bob := house.User(org, "bob")
	app := newApplication(t, house, trustedClient)
	decide(t, []*servertest.House{house}, "default", "second_factor.require", "everyone")

	tab := chromium.Tab(t, house.Base, app.URL)
	tab.Open(app.AuthorizeURL(), "Sign in")
	tab.SignIn("bob", servertest.Password, "One more step")
	tab.Look()
	tab.Fill("code", letter(t, house, bob.Email, mail.EmailCode).Code)
	tab.Press("factor-submit", "Arrived")
	if got := app.arrived(t, "GET", "the-state"); got.Get("code") == "" {
		t.Errorf("bob arrived with %v", got)
	}

	decide(t, []*servertest.House{house}, "default", "second_factor.email_code", "false")
	tab = chromium.Tab(t, house.Base, app.URL)
	device := tab.Device()
	tab.Open(app.AuthorizeURL(), "Sign in")
	tab.SignIn("alice", servertest.Password, "Set up a second factor")
	tab.Look()
	tab.Fill("code", "000000")
	tab.Press("enroll-submit", "Set up a second factor")
	tab.Look()
	tab.Press("enroll-passkey", "Your recovery codes")
	if device.Passkeys() != 1 {
		t.Errorf("the device keeps %d passkeys", device.Passkeys())
	}
	tab.Look()
	tab.Press("codes-kept", "Arrived")
	if got := app.arrived(t, "GET", "the-state"); got.Get("code") == "" {
		t.Errorf("alice arrived with %v", got)
	}
}
