package server_test

import (
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

// Somebody makes an account, proves an address, forgets the password, and comes back in, without anybody's help.
func aPersonSignsUpForgetsThePasswordAndComesBack(t *testing.T, chromium *servertest.Chromium) {
	house := servertest.Start(t, servertest.Options{})
	org := decided(t, house, "default", "sign_up.mode", "open", "sign_up.fields.username", "required")
	house.User(org, "alice")
	tab := chromium.Tab(t, house.Base)

	tab.Open(house.Base+"/account", "Sign in")
	tab.Press("login-sign-up", "Create an account")
	tab.Look()
	tab.Fill("email", "New.Comer@example.com")
	tab.Fill("username", "ALICE") // whom there is
	tab.Fill("password", "newcomer1")
	tab.Press("signup-submit", "Create an account")
	if heard := strings.Join(tab.Announced(), " "); tab.Status() != 400 || !strings.Contains(heard, "easily guessed") {
		t.Errorf("%d, and heard is %q", tab.Status(), heard)
	}
	tab.Look()
	tab.Fill("password", newPassword)
	tab.Press("signup-submit", "Create an account")
	if heard := strings.Join(tab.Announced(), " "); tab.Status() != 400 || !strings.Contains(heard, "this user name already") {
		t.Errorf("%d, and heard is %q", tab.Status(), heard)
	}
	if tab.Ask("document.getElementById('email').value") != "New.Comer@example.com" || tab.Ask("document.getElementById('password').value") != "" {
		t.Error("what was entered is not kept, or the password is")
	}
	tab.Fill("username", "newcomer")
	tab.Fill("password", newPassword)
	tab.Press("signup-submit", "Check your mail")
	tab.Look()
	tab.Fill("code", "0000 0000")
	tab.Press("verify-submit", "Check your mail")
	if heard := strings.Join(tab.Announced(), " "); tab.Status() != 400 || !strings.Contains(heard, "not the code") {
		t.Errorf("%d, and heard is %q", tab.Status(), heard)
	}
	tab.Look()
	older := letter(t, house, "New.Comer@example.com", mail.VerifyEmail)
	tab.Press("verify-resend", "Check your mail")
	tab.Look()
	tab.Fill("code", letter(t, house, "New.Comer@example.com", mail.VerifyEmail).Code)
	tab.Press("verify-submit", "Your account")
	tab.Open(older.Link, "This link does not work")
	tab.Look()

	// Wrong in whatever way, it is said in one way.
	tab.Open(house.Base+"/account", "Your account")
	tab.Press("account-sign-out", "Signed out")
	tab.Open(house.Base+"/login", "Sign in")
	var first string
	for _, who := range []string{"newcomer", "nobody", "new.comer@EXAMPLE.com"} {
		tab.SignIn(who, "not the password", "Sign in")
		if said := tab.Text("login-error"); tab.Status() != 401 || said == "" || first != "" && said != first {
			t.Errorf("%s: %d, and what is said is %q", who, tab.Status(), said)
		} else {
			first = said
		}
	}
	tab.Look()
	tab.Press("login-forgot", "Forgot your password?")
	tab.Look()
	tab.Fill("login", "NEWCOMER")
	tab.Press("forgot-submit", "Check your mail")
	tab.Look()

	// The letter is opened in another browser, and twice.
	link := letter(t, house, "New.Comer@example.com", mail.PasswordReset).Link
	elsewhere := chromium.Tab(t, house.Base)
	elsewhere.Open(link, "Set a new password")
	elsewhere.Open(link, "Set a new password")
	elsewhere.Look()
	elsewhere.Fill("password", "New.Comer@example.com")
	elsewhere.Press("reset-submit", "Set a new password")
	if elsewhere.Status() != 400 {
		t.Errorf("an address is taken for a password: %d", elsewhere.Status())
	}
	elsewhere.Look()
	elsewhere.Fill("password", otherPassword)
	elsewhere.Press("reset-submit", "Your password was changed")
	elsewhere.Look()
	elsewhere.Press("done-onward", "Sign in")
	elsewhere.SignIn("newcomer", newPassword, "Sign in")
	elsewhere.SignIn("new.comer@example.com", otherPassword, "Your account")
	tab.Open(link, "This link does not work")
	tab.Look()
	tab.Press("dead-new", "Forgot your password?")

	// And sees where else the account is open, and closes it there.
	tab.Open(house.Base+"/account/sessions", "Sign in")
	tab.SignIn("newcomer", otherPassword, "Sessions and devices")
	tab.Press("sessions-end-others", "Sessions and devices")
	elsewhere.Open(house.Base+"/account", "Sign in")
}

// Somebody follows the link of a letter in another browser than they have signed up in; somebody else is invited; and then there are no
// more accounts to be made.
func aLetterIsOpenedElsewhereAndAGuestIsInvited(t *testing.T, chromium *servertest.Chromium) {
	house := servertest.Start(t, servertest.Options{})
	org := decided(t, house, "default", "sign_up.mode", "open", "sign_up.fields.name", "required")
	tab, elsewhere := chromium.Tab(t, house.Base), chromium.Tab(t, house.Base)
	tab.Open(house.Base+"/signup", "Create an account")
	tab.Fill("email", "new@example.com")
	tab.Fill("name", "New Comer")
	tab.Fill("password", newPassword)
	tab.Press("signup-submit", "Check your mail")
	elsewhere.Open(letter(t, house, "new@example.com", mail.VerifyEmail).Link, "Complete your account")
	elsewhere.Look()
	elsewhere.Fill("password", "password1")
	elsewhere.Press("verify-submit", "Complete your account")
	if elsewhere.Status() != 400 {
		t.Errorf("%d", elsewhere.Status())
	}
	elsewhere.Look()
	elsewhere.Fill("password", otherPassword)
	elsewhere.Press("verify-submit", "Your account")
	tab.Open(house.Base+"/login", "Sign in")
	tab.SignIn("new@example.com", newPassword, "Sign in") // which was only good where it was chosen
	tab.SignIn("new@example.com", otherPassword, "Your account")

	_, link, err := house.Operators.Invite(org, manage.NewInvitation{Email: "guest@example.com", FullName: "Gwen Guest", Inviter: "Olivia"})
	if err != nil {
		t.Fatal(err)
	}
	guest := chromium.Tab(t, house.Base)
	guest.Open(link, "You are invited")
	guest.Look()
	guest.Fill("password", "guest@example.com")
	guest.Press("invitation-submit", "You are invited")
	guest.Look()
	guest.Fill("password", newPassword)
	guest.Press("invitation-submit", "Your account")
	stranger := chromium.Tab(t, house.Base)
	stranger.Open(link, "This link does not work")
	stranger.Look()
	stranger.Press("dead-sign-in", "Sign in")

	// An address that is proven by its person later.
	unproven, err := house.Operators.CreateUser(org, manage.NewUser{Username: "bob", Email: "bob@example.com", Password: servertest.Password})
	if err != nil {
		t.Fatal(err)
	}
	stranger.SignIn("bob", servertest.Password, "Your account")
	stranger.Press("email-verify", "Your account")
	stranger.Open(letter(t, house, unproven.Email, mail.VerifyEmail).Link, "Confirm your e-mail address")
	stranger.Look()
	stranger.Press("verify-submit", "Your e-mail address is confirmed")
	stranger.Look()

	decided(t, house, "default", "sign_up.mode", "closed")
	stranger.Open(house.Base+"/signup", "Request error")
	if stranger.Status() != 403 {
		t.Errorf("%d", stranger.Status())
	}
	stranger.Look()
}
