package server_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/people"
	"github.com/keizer-auth/keizer/server/servertest"
)

// Whoever comes with a link that opens nothing, for whatever reason, sees one page for all of them, and from there a way on that leads
// somewhere: to a new link, where they can have one.
func TestALinkThatOpensNothingLeadsToOneThatDoes(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := behindProxy(t, servertest.Options{DatabaseURL: databaseURL})
		house.Organization("acme")
		decided(t, house, "acme", "sign_up.mode", "open")
		org, who := decided(t, house, "default", "sign_up.mode", "open"), visitorOf("203.0.113.6")
		acme := house.In("acme")
		next := 0
		// made makes a link of a kind, and spends it if it is to be spent.
		made := func(in context.Context, kind string, spend bool) string {
			t.Helper()
			next++
			name := fmt.Sprintf("person%d", next)
			address := name + "@example.com"
			var err error
			var token string
			if kind == "/verify" || kind == "/invitation" {
				switch kind {
				case "/verify":
					_, err = house.People.BeginSignUp(in, visitorOf(fmt.Sprintf("198.51.100.%d", next)), people.SignUp{Email: address, Newcomer: people.Newcomer{Password: newPassword}})
					if err == nil {
						token = tokenOf(t, house, address, mail.VerifyEmail)
					}
					if err == nil && spend {
						_, err = house.People.Verify(in, who, token, secret.New(secret.SignUp), people.Newcomer{Password: newPassword}, nothingMore)
					}
				default:
					_, link, failed := house.Operators.Invite(in, manage.NewInvitation{Email: address})
					_, token, _ = strings.Cut(link, "?token=")
					if err = failed; err == nil && spend {
						_, err = house.People.AcceptInvitation(in, who, token, people.Newcomer{Password: newPassword}, nothingMore)
					}
				}
				if err != nil {
					t.Fatalf("%s: %v", kind, err)
				}
				return token
			}
			user := house.User(in, name)
			steps := []func() error{
				func() error {
					return house.People.ChangeEmail(in, visitorOf(fmt.Sprintf("198.51.100.%d", next)), user.ID, "new-"+address)
				},
				func() error {
					token = tokenOf(t, house, "new-"+address, mail.ConfirmEmail)
					if kind == "/account/email/confirm" && !spend {
						return nil
					}
					_, err := house.People.ConfirmEmail(in, who, token)
					return err
				},
				func() error {
					if kind != "/account/email/undo" {
						return nil
					}
					token = tokenOf(t, house, address, mail.EmailChanged)
					if !spend {
						return nil
					}
					_, err := house.People.UndoEmail(in, who, token)
					return err
				},
			}
			if kind == "/reset" {
				steps = []func() error{
					func() error { return house.People.Forgot(in, visitorOf(fmt.Sprintf("198.51.100.%d", next)), name, "") },
					func() error {
						token = tokenOf(t, house, address, mail.PasswordReset)
						if !spend {
							return nil
						}
						_, err := house.People.Reset(in, who, token, newPassword)
						return err
					},
				}
			}
			for _, step := range steps {
				if err := step(); err != nil {
					t.Fatalf("%s: %v", kind, err)
				}
			}
			return token
		}
		for kind, way := range map[string]struct{ button, title string }{
			"/reset":                 {"dead-new", "Forgot your password?"},
			"/verify":                {"dead-new", "Create an account"},
			"/invitation":            {"dead-sign-in", "Sign in"},
			"/account/email/confirm": {"dead-new", "Sign in"}, // on the way to where a new one is asked for
			"/account/email/undo":    {"dead-new", "Sign in"},
		} {
			expired := made(org, kind, false)
			past(t, house, `UPDATE verification_tokens SET expires_at = $1 WHERE token = $2`, time.Now().UTC().Format("2006-01-02 15:04:05.000000"), secret.Digest(expired))
			var first string
			for name, token := range map[string]string{
				"spent": made(org, kind, true), "expired": expired, "foreign": made(acme, kind, false), "never made": secret.New(secret.Verification), "none": "x",
			} {
				next++
				g := from(t, fmt.Sprintf("192.0.2.%d", next))
				page := g.open(house.Base+kind+"?token="+token, "This link does not work")
				body := strings.ReplaceAll(page.Body, "token="+token, "token=")
				if first == "" {
					first = body
				}
				if page.Status != http.StatusNotFound || body != first {
					t.Errorf("%s, %s: %d, and it differs from the others\n%s", kind, name, page.Status, page.Body)
				}
				href, ok := page.Attr(way.button, "href")
				if !ok {
					t.Errorf("%s, %s: there is no way on", kind, name)
					continue
				}
				g.open(house.Base+href, way.title)
			}
		}
	})
}

// S-226: an invitation makes the account that it was made for, whatever its form says besides.
func TestAnInvitationMakesNobodyElseAndGivesNothingMore(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	_, link, err := house.Operators.Invite(org, manage.NewInvitation{Email: "guest@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := house.Operators.Invite(org, manage.NewInvitation{Email: "boss@example.com", Roles: []string{"operator"}})
	if err != nil {
		t.Fatal(err)
	}
	page := send(t, house, request{address: link})
	_, token, _ := strings.Cut(other, "?token=")
	var cookies []*http.Cookie
	for _, line := range page.Header["Set-Cookie"] {
		cookie, err := http.ParseSetCookie(line)
		if err != nil {
			t.Fatal(err)
		}
		cookies = append(cookies, cookie)
	}
	answer := send(t, house, request{address: link, cookies: cookies, form: fields(
		"csrf_token", csrf(t, page.Body), "name", "Guest", "password", newPassword, "email", "victim@example.com", "token", token, "role", "operator",
		"roles", "operator", "is_verified", "false", "user_id", "1", "username", "root",
	)})
	if answer.Status != http.StatusSeeOther {
		t.Fatalf("%d %s", answer.Status, short(answer.Body))
	}
	guest, err := house.DB.UserByLogin(org, "guest@example.com")
	if err != nil {
		t.Fatal(err)
	}
	if roles, err := house.DB.RolesOf(org, guest.ID); err != nil || len(roles) != 0 || guest.Username != nil || !guest.IsVerified {
		t.Errorf("%v: %+v has the roles %v", err, guest, roles)
	}
	for _, nobody := range []string{"victim@example.com", "boss@example.com", "root"} {
		if user, err := house.DB.UserByLogin(org, nobody); err == nil {
			t.Errorf("there is %s: %+v", nobody, user)
		}
	}
	from(t, "203.0.113.6").open(other, "You are invited")
}

// S-224: a form that was opened while accounts were made here makes none once they are not.
func TestAFormFromBeforeMakesNoAccount(t *testing.T) {
	t.Parallel()
	house := behindProxy(t, servertest.Options{})
	org := decided(t, house, "default", "sign_up.mode", "open")
	_, invitation, err := house.Operators.Invite(org, manage.NewInvitation{Email: "guest@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	signUp, invited, pending := from(t, "198.51.100.1"), from(t, "198.51.100.2"), from(t, "198.51.100.3")
	waits := pending.sees(pending.send(pending.open(house.Base+"/signup", "Create an account"), "signup-submit", "email", "late@example.com", "password", newPassword), "Check your mail")
	letter := newest(t, house, "late@example.com", mail.VerifyEmail)
	forms := []func() (status int, title string){
		func() func() (int, string) {
			page := signUp.open(house.Base+"/signup", "Create an account")
			return func() (int, string) {
				after := signUp.send(page, "signup-submit", "email", "new@example.com", "password", newPassword)
				return after.Status, after.Title
			}
		}(),
		func() func() (int, string) {
			page := invited.open(invitation, "You are invited")
			return func() (int, string) {
				after := invited.send(page, "invitation-submit", "password", newPassword)
				return after.Status, after.Title
			}
		}(),
		func() (int, string) {
			after := pending.send(waits, "verify-submit", "code", letter.Code)
			return after.Status, after.Title
		},
		func() (int, string) {
			elsewhere := from(t, "198.51.100.4")
			after := elsewhere.send(elsewhere.open(letter.Link, "Complete your account"), "verify-submit", "password", newPassword)
			return after.Status, after.Title
		},
	}
	decided(t, house, "default", "sign_up.mode", "closed")
	for i, post := range forms {
		if status, title := post(); status != http.StatusForbidden || title != "Request error" {
			t.Errorf("form %d: %d %q", i, status, title)
		}
	}
	users, err := house.DB.ListUsers(org, [16]byte{}, 0)
	if err != nil || len(users) != 0 {
		t.Errorf("%v: there are %d people", err, len(users))
	}
	if kinds := kindsOf(house.Letters("new@example.com")); len(kinds) != 0 {
		t.Errorf("letters were written: %v", kinds)
	}
}

func kindsOf(letters []mail.Message) (kinds []mail.Kind) {
	for _, l := range letters {
		kinds = append(kinds, l.Kind)
	}
	return kinds
}
