package server_test

import (
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

// Somebody goes through everything that is theirs, changes what can be changed, and leaves.
func aPersonLooksAfterAnAccount(t *testing.T, chromium *servertest.Chromium) {
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	user := house.User(org, "alice")
	house.Client(org, manage.ClientSpec{Name: "Field Notes"}).Tokens("alice", "openid profile email offline_access")
	tab := chromium.Tab(t, house.Base)
	at := func(path string) string { return house.Base + "/account" + path }
	done := func() {
		t.Helper()
		if tab.Text("account-done") == "" {
			t.Errorf("%s: nothing is said to be done", tab.Ask("location.pathname"))
		}
		tab.Look()
	}

	tab.Open(at("/profile"), "Sign in")
	tab.SignIn("alice", servertest.Password, "Profile")
	tab.Look()
	tab.Fill("zoneinfo", "Mars")
	tab.Fill("nickname", "Al")
	tab.Press("profile-save", "Profile")
	if tab.Status() != 400 || !strings.Contains(strings.Join(tab.Announced(), " "), "no such time zone") {
		t.Errorf("%d, and heard is %q", tab.Status(), tab.Announced())
	}
	tab.Look()
	tab.Fill("zoneinfo", "Europe/Berlin")
	tab.Press("profile-save", "Profile")
	done()

	tab.Open(at(""), "Your account")
	tab.Look()
	tab.Open(at("/email"), "E-mail address")
	tab.Look()
	tab.Fill("email", "alice@elsewhere.example")
	tab.Press("email-change", "E-mail address")
	done()
	elsewhere := chromium.Tab(t, house.Base)
	elsewhere.Open(letter(t, house, "alice@elsewhere.example", mail.ConfirmEmail).Link, "Confirm your new e-mail address")
	elsewhere.Look()
	elsewhere.Press("email-link-submit", "E-mail address confirmed")
	elsewhere.Look()

	tab.Open(at("/password"), "Password")
	tab.Look()
	tab.Fill("current", "not this one at all")
	tab.Fill("password", otherPassword)
	tab.Fill("again", otherPassword)
	tab.Press("password-change", "Password")
	if tab.Status() != 400 || tab.Ask("document.getElementById('password').value") != "" {
		t.Errorf("%d, and the password is shown again", tab.Status())
	}
	tab.Look()
	tab.Fill("current", servertest.Password)
	tab.Fill("password", otherPassword)
	tab.Fill("again", otherPassword)
	tab.Press("password-change", "Password")
	done()

	// The sign-in at the application ended with the password; another browser comes in with the new one.
	elsewhere.Open(at(""), "Sign in")
	elsewhere.SignIn("alice", otherPassword, "Your account")
	tab.Open(at("/sessions"), "Sessions and devices")
	tab.Look()
	tab.Press("sessions-end-others", "Sessions and devices")
	done()
	elsewhere.Open(at(""), "Sign in")

	tab.Open(at("/applications"), "Authorised applications")
	tab.Look()
	tab.Ask("document.querySelector('#applications button').id = 'the-only-one'")
	tab.Press("the-only-one", "Authorised applications")
	done()
	tab.Open(at("/activity"), "Activity")
	tab.Look()

	tab.Open(at("/data"), "Your data")
	tab.Look()
	tab.Fill("confirm", "bob")
	tab.Press("delete-submit", "Your data")
	tab.Look()

	// Somebody at the old address undoes the change; nothing of what was there is left open.
	elsewhere.Open(letter(t, house, user.Email, mail.EmailChanged).Link, "Undo the change of your e-mail address?")
	elsewhere.Look()
	elsewhere.Press("email-link-submit", "Your e-mail address is back")
	elsewhere.Look()
	tab.Open(at("/data"), "Sign in")
	elsewhere.Press("email-link-next", "Forgot your password?")
}
