package server_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/people"
	"github.com/keizer-auth/keizer/server/servertest"
)

// of is a text of a length that nobody guesses.
func of(bytes int) string {
	const words = "seventeen quiet lanterns over the harbour, and a heron that counts them twice; "
	return strings.Repeat(words, bytes/len(words)+1)[:bytes]
}

// S-205: whatever a page takes as a new password is all of what one signs in with, byte for byte.
func TestAnOddPasswordIsTakenAsItIsAndWhole(t *testing.T) {
	t.Parallel()
	house := behindProxy(t, servertest.Options{})
	org := house.In("default")
	for i, test := range []struct{ name, text, other string }{
		{"of eight bytes", "vQ7#kd0;", "vQ7#kd0; "},
		{"with spaces at both ends", " an owl, a fax machine ", "an owl, a fax machine"},
		{"longer than bcrypt reads", of(72) + "A", of(72) + "B"},
		{"of as many bytes as there may be", of(1023) + "A", of(1023) + "B"},
		{"of pictures alone", "🦄🦓🪿🦩🐙🦑", "🦄🦓🪿🦩🐙🦐"},
		{"with a byte that ends texts elsewhere", "lanterns\x00over the harbour", "lanterns\x00over the harbor"},
		{"with a letter in one part", norm.NFC.String("zwölf Bären tanzen nie"), norm.NFC.String("zwolf Baren tanzen nie")},
		{"with what would be another field", "a=b&username=mallory%00&csrf_token=x;", "a=b"},
		{"with what would be markup", `"><script>alert(1)</script>`, `"&gt;<script>alert(1)</script>`},
	} {
		name := fmt.Sprint("person", i)
		house.User(org, name)
		if err := house.People.Forgot(org, visitorOf(fmt.Sprintf("198.51.100.%d", i)), name, ""); err != nil {
			t.Fatal(err)
		}
		g := from(t, fmt.Sprintf("203.0.113.%d", i))
		page := g.open(letter(t, house, name+"@example.com", mail.PasswordReset).Link, "Set a new password")
		if page = g.send(page, "reset-submit", "password", test.text); page.Title != "Your password was changed" {
			t.Errorf("%s: %d %q", test.name, page.Status, page.Text("password-error"))
			continue
		}
		for _, try := range []struct {
			text   string
			status int
		}{{test.other, http.StatusUnauthorized}, {servertest.Password, http.StatusUnauthorized}, {test.text, http.StatusOK}} {
			page := g.send(g.open(house.Base+"/login", "Sign in"), "login-submit", "username", name, "password", try.text)
			if page.Status != try.status {
				t.Errorf("%s: with %.40q it is %d", test.name, try.text, page.Status)
			}
		}
	}
}

// S-205: what cannot be a password is refused by every page on which one is chosen, and by the one where one signs in, before any
// work is done with it.
func TestNoPageTakesAPasswordThatIsNone(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	decide(t, []*servertest.House{house}, "default", "sign_up.mode", "open")
	org := house.In("default")
	house.User(org, "alice")
	if err := house.People.Forgot(org, visitorOf("203.0.113.6"), "alice", ""); err != nil {
		t.Fatal(err)
	}
	_, invitation, err := house.Operators.Invite(org, manage.NewInvitation{Email: "new@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	alice := accountOf(t, house, org, "alice")
	pages := map[string][]string{
		house.Base + "/signup": {"signup-submit", "email", "other@example.com"},
		letter(t, house, "alice@example.com", mail.PasswordReset).Link: {"reset-submit"},
		invitation:                       {"invitation-submit"},
		house.Base + "/account/password": {"password-change", "current", servertest.Password},
		house.Base + "/login?fresh=1":    {"login-submit", "username", "alice"},
	}
	var hash string
	stored := func() string {
		t.Helper()
		user, err := house.DB.UserByLogin(org, "alice")
		if err != nil {
			t.Fatal(err)
		}
		return user.PasswordHash
	}
	hash = stored()
	for address, form := range pages {
		for name, text := range map[string]string{
			"nothing": "", "seven bytes": "vQ7#kd0", "one byte too many": of(1025), "almost a whole form": of(20 << 10), "what is no text": "lanterns over\xff\xfe the harbour",
		} {
			if strings.Contains(address, "/login") && (name == "seven bytes" || name == "what is no text") {
				continue // it is only wrong
			}
			answer := send(t, house, request{address: address, form: ownForm(t, alice, address, text, form...), cookies: alice.Cookies(house.URL)})
			if answer.Status != http.StatusBadRequest || !strings.Contains(answer.Body, `id="password-error"`) || text != "" && strings.Contains(answer.Body, text) {
				t.Errorf("%s with %s: %d %s", address, name, answer.Status, short(answer.Body))
			}
		}
		answer := send(t, house, request{address: address, form: ownForm(t, alice, address, of(1<<20), form...), cookies: alice.Cookies(house.URL)})
		wantPage(t, address+" with a mebibyte", answer, http.StatusRequestEntityTooLarge)
	}
	if stored() != hash {
		t.Error("a password was changed")
	}
}

// The first that anybody tries is what the page says on top: a password is not the name of the organization, wherever it is chosen.
func TestNoPageTakesTheNameOfTheOrganizationForAPassword(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	house.Organization("wolkenkuckucksheim")
	org, who := decided(t, house, "wolkenkuckucksheim", "sign_up.mode", "open"), visitorOf("203.0.113.6")
	alice := house.User(org, "alice")
	_, invitation, err := house.Operators.Invite(org, manage.NewInvitation{Email: "guest@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	if err := house.People.Forgot(org, who, "alice", ""); err != nil {
		t.Fatal(err)
	}
	reset := tokenOf(t, house, alice.Email, mail.PasswordReset)
	const text = "Wolkenkuckucksheim"
	newcomer := people.Newcomer{Password: text}
	for page, choose := range map[string]func() error{
		"sign-up": func() error {
			_, err := house.People.BeginSignUp(org, who, people.SignUp{Email: "new@example.com", Newcomer: newcomer})
			return err
		},
		"invitation": func() error {
			_, token, _ := strings.Cut(invitation, "?token=")
			_, err := house.People.AcceptInvitation(org, who, token, newcomer, nothingMore)
			return err
		},
		"reset": func() error { _, err := house.People.Reset(org, who, reset, text); return err },
		"account": func() error {
			change := people.PasswordChange{UserID: alice.ID, Current: servertest.Password, Next: text, Again: text}
			return house.People.ChangePassword(org, who, change, func(context.Context) error { return nil })
		},
	} {
		if err := choose(); people.Problems(err)[people.FieldPassword] != "password.guessable" {
			t.Errorf("%s: %v", page, err)
		}
	}
}

// ownForm is the form of a page that has a button, filled in beyond what its fields let a person type.
func ownForm(t testing.TB, who *account, address, text string, form ...string) url.Values {
	t.Helper()
	button, more := form[0], form[1:]
	before, _, found := strings.Cut(who.Go(address).Body, `id="`+button+`"`)
	tokens := csrfField.FindAllStringSubmatch(before, -1)
	if !found || len(tokens) == 0 {
		t.Fatalf("no button %s on %s", button, address)
	}
	return fields(append(slices.Clone(more), "csrf_token", tokens[len(tokens)-1][1], "password", text, "again", text)...)
}
