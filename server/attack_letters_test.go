package server_test

import (
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

// S-189, S-222: of all the letters that somebody's requests bring about, none has a link but to the organization's own issuer, and
// none has anything of what a request says of itself, or a stranger calls themselves.
func TestNoLetterLeadsAnywhereButToTheOrganization(t *testing.T) {
	t.Parallel()
	house := behindProxy(t, servertest.Options{})
	house.Organization("acme")
	acme := decided(t, house, "acme", "sign_up.mode", "open")
	issuer := house.Issuer(acme)
	house.User(acme, "bob")
	mallory, err := house.Operators.CreateUser(acme, manage.NewUser{
		Username: "mallory", Email: "mallory@example.com", FullName: "You have won at evil.example", Password: servertest.Password,
	})
	if err != nil {
		t.Fatal(err)
	}
	poison := []string{
		"X-Forwarded-Host", "evil.example", "X-Host", "evil.example", "Forwarded", "host=evil.example;proto=https", "X-Original-Url", "https://evil.example/",
		"X-Rewrite-Url", "https://evil.example/", "X-Forwarded-Prefix", "/evil.example", "X-Forwarded-Server", "evil.example", "X-Forwarded-Port", "666",
		"User-Agent", "https://evil.example/ Firefox/1.0", "Accept-Language", "en", "Referer", "https://evil.example/",
	}
	g := from(t, "203.0.113.6", poison...)
	signIn := func(password string) {
		t.Helper()
		g.sees(g.send(g.open(issuer+"/login?fresh=1", "Sign in"), "login-submit", "username", "mallory", "password", password), "Your account")
	}
	signIn(servertest.Password)
	g.send(g.open(issuer+"/account", "Your account"), "email-verify")
	if err := house.DB.VerifyUser(acme, mallory.ID, "mallory@example.com"); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"bob@example.com", "next@example.com"} {
		g.sees(g.send(g.open(issuer+"/account/email", "E-mail address"), "email-change", "email", address), "E-mail address")
	}
	g.send(g.open(letter(t, house, "next@example.com", mail.ConfirmEmail).Link, "Confirm your new e-mail address"), "email-link-submit")
	g.send(g.open(issuer+"/account/password", "Password"), "password-change", "current", servertest.Password, "password", otherPassword, "again", otherPassword)
	stranger := from(t, "203.0.113.7", poison...)
	stranger.send(stranger.open(issuer+"/forgot", "Forgot your password?"), "forgot-submit", "login", "mallory")
	for _, address := range []string{"bob@example.com", "new@example.com"} {
		stranger.send(stranger.open(issuer+"/signup", "Create an account"), "signup-submit", "email", address, "password", newPassword)
	}
	// From a browser that nobody knows.
	stranger.send(stranger.open(issuer+"/login", "Sign in"), "login-submit", "username", "mallory", "password", otherPassword)
	undo := letter(t, house, "mallory@example.com", mail.EmailChanged).Link
	stranger.send(stranger.open(undo, "Undo the change of your e-mail address?"), "email-link-submit")

	kinds := map[mail.Kind]bool{}
	for _, address := range []string{"mallory@example.com", "bob@example.com", "next@example.com", "new@example.com"} {
		for _, l := range house.Letters(address) {
			kinds[l.Kind] = true
			if l.Link != "" && !strings.HasPrefix(l.Link, issuer+"/") {
				t.Errorf("%s leads to %s", l.Kind, l.Link)
			}
			if all := l.Subject + l.Text + l.HTML; strings.Contains(all, "evil.example") || strings.Contains(all, "666") {
				t.Errorf("%s to %s says %s", l.Kind, address, l.Text)
			}
			if (address == "next@example.com" && l.Kind == mail.ConfirmEmail || address == "new@example.com") && strings.Contains(l.Text, "You have won") {
				t.Errorf("%s, to an address that need not be hers, says what she calls herself", l.Kind)
			}
		}
	}
	for _, kind := range []mail.Kind{
		mail.VerifyEmail, mail.SignUpExists, mail.EmailChanging, mail.ConfirmEmail, mail.EmailChanged, mail.EmailIsYours, mail.PasswordChange, mail.PasswordReset, mail.NewDevice,
	} {
		if !kinds[kind] {
			t.Errorf("no letter %s was written", kind)
		}
	}
}
