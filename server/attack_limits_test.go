package server_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/internal/formbrowser"
	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/people"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
)

// nothingMore is what happens along with an account that is made, where nothing does.
func nothingMore(context.Context, *storage.User) error { return nil }

// S-282, S-288: whichever limit is reached, by whomever, it stands in the audit: once in a while, with where it came from and, where
// that is known, whom it was about.
func TestWhateverLimitIsReachedIsWrittenDown(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := servertest.Start(t, servertest.Options{DatabaseURL: databaseURL})
		org := decided(t, house, "default", "sign_up.mode", "open")
		alice, unverified := house.User(org, "alice"), &storage.User{Email: "new@example.com", PasswordHash: password.None, IsActive: true}
		if err := house.DB.CreateUser(org, unverified); err != nil {
			t.Fatal(err)
		}
		const address = "2001:db8:7:7::1"
		who := visitorOf(address)
		signUp := func(from, email string) error {
			_, err := house.People.BeginSignUp(org, visitorOf(from), people.SignUp{Email: email, Newcomer: people.Newcomer{Password: newPassword}})
			return err
		}
		for _, c := range []struct {
			limit  string
			target string
			from   string
			do     func(n int) error
		}{
			{"link_network", "", address, func(int) error { _, err := house.People.OpenReset(org, who, "kz_vt_x"); return err }},
			{"sign_up_network", "", address, func(n int) error { return signUp(address, fmt.Sprintf("nobody%d@example.com", n)) }},
			{"mail_address", "", "203.0.113.3", func(n int) error { return signUp(fmt.Sprintf("203.0.113.%d", n), "nobody@example.com") }},
			{"mail_network", "", address, func(n int) error { return house.People.Forgot(org, who, fmt.Sprint("nobody", n), "") }},
			{"names_person", alice.ID.String(), address, func(n int) error {
				return house.People.ChangeProfile(org, who, alice.ID, people.Profile{Username: fmt.Sprint("alice", n)})
			}},
			{"mail_address", alice.ID.String(), "203.0.113.3", func(n int) error {
				return house.People.ChangeEmail(org, visitorOf(fmt.Sprintf("203.0.113.%d", n)), alice.ID, fmt.Sprintf("alice%d@example.com", n))
			}},
			{"mail_address", unverified.ID.String(), address, func(int) error { return house.People.SendVerification(org, who, unverified) }},
			{"factor_sign_in", alice.ID.String(), address, func(int) error {
				_, err := house.People.TryCode(org, who, alice, "one sign-in", people.ByAuthenticator, "000000")
				return err
			}},
			{"factor_person", alice.ID.String(), address, func(n int) error {
				_, err := house.People.TryCode(org, who, alice, fmt.Sprint("sign-in ", n), people.ByRecoveryCode, "000000")
				return err
			}},
			{"codes_person", alice.ID.String(), address, func(int) error { return house.People.SendEmailCode(org, who, alice) }},
		} {
			before := auditRows(t, house, org, "limit.reached")
			reached := 0
			for n := range 25 {
				var exceeded *throttle.Exceeded
				if err := c.do(n); errors.As(err, &exceeded) && exceeded.Name == c.limit {
					reached++
				}
			}
			after := auditRows(t, house, org, "limit.reached")
			if reached < 2 || len(after) != len(before)+1 {
				t.Errorf("%s was reached %d times, and leaves %d rows", c.limit, reached, len(after)-len(before))
				continue
			}
			row := after[0] // the newest
			if row.Details["limit"] != c.limit || row.Target != c.target || row.IPAddress == nil || *row.IPAddress != c.from || row.RequestID == "" {
				t.Errorf("%s is written down as %+v", c.limit, row)
			}
		}
		// One that nobody is told of.
		for range 5 {
			if err := house.People.Forgot(org, visitorOf("203.0.113.99"), alice.Email, ""); err != nil {
				t.Fatal(err)
			}
		}
		house.Letters(alice.Email)
		row := auditRows(t, house, org, "limit.reached")[0]
		if row.Details["limit"] != "mail_address" || *row.IPAddress != "203.0.113.99" || row.Actor != people.Anonymous || row.Target != alice.ID.String() {
			t.Errorf("letters that were not sent are written down as %+v", row)
		}
	})
}

// S-200, S-282: from however many networks it comes, an organization writes so many letters to strangers, and begins so many accounts.
// Neither keeps anybody from the other, nor from another organization.
func TestAnOrganizationWritesSoManyLettersToStrangers(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := behindProxy(t, servertest.Options{DatabaseURL: databaseURL})
		decided(t, house, "default", "sign_up.mode", "open")
		house.Organization("acme")
		decided(t, house, "acme", "sign_up.mode", "open")
		next := 0
		// asked is the answer to somebody from a network of their own.
		asked := func(base, page, title, button, field string, more ...string) *formbrowser.Page {
			t.Helper()
			next++
			g := from(t, fmt.Sprintf("2001:db8:%x::1", next))
			return g.send(g.open(base+page, title), button, append(more, field, fmt.Sprintf("nobody%d@example.com", next))...)
		}
		letter := func(base string) *formbrowser.Page {
			return asked(base, "/forgot", "Forgot your password?", "forgot-submit", "login")
		}
		account := func(base string) *formbrowser.Page {
			return asked(base, "/signup", "Create an account", "signup-submit", "email", "password", newPassword)
		}
		for _, c := range []struct {
			limit          throttle.Limit
			limited, other func(base string) *formbrowser.Page
		}{{throttle.MailOrganization, letter, account}, {throttle.SignUpOrganization, account, letter}} {
			if page := c.limited(house.Base); page.Status != http.StatusOK {
				t.Fatalf("%s: the first is answered %d", c.limit.Name, page.Status)
			}
			past(t, house, `UPDATE rate_limits SET busy_until = $1 WHERE subject LIKE '`+c.limit.Name+`:%'`, // as after all that there may be
				time.Now().Add(c.limit.Per+50*time.Second).UnixMicro())
			if page := c.limited(house.Base); page.Status != http.StatusTooManyRequests || page.Header.Get("Retry-After") == "" {
				t.Errorf("%s: the last is answered %d", c.limit.Name, page.Status)
			}
			if page := c.other(house.Base); page.Status != http.StatusOK {
				t.Errorf("%s keeps from something else: %d", c.limit.Name, page.Status)
			}
			if page := c.limited(house.Base + "/o/acme"); page.Status != http.StatusOK {
				t.Errorf("%s keeps from another organization: %d", c.limit.Name, page.Status)
			}
			past(t, house, `DELETE FROM rate_limits`)
		}
	})
}

// S-196: whoever holds a link to make an account with does not find out with it what everybody is called.
func TestALinkIsNoWayToTryUserNames(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := servertest.Start(t, servertest.Options{DatabaseURL: databaseURL})
		org := decided(t, house, "default", "sign_up.mode", "open", "sign_up.fields.username", "optional")
		for n := range 15 {
			name := fmt.Sprint("person", n)
			if err := house.DB.CreateUser(org, &storage.User{Email: name + "@example.com", Username: &name, PasswordHash: password.None}); err != nil {
				t.Fatal(err)
			}
		}
		who := visitorOf("203.0.113.6")
		form := people.SignUp{Email: "mallory@example.com", Newcomer: people.Newcomer{Password: newPassword}}
		if _, err := house.People.BeginSignUp(org, who, form); err != nil {
			t.Fatal(err)
		}
		signUp := tokenOf(t, house, form.Email, mail.VerifyEmail)
		_, link, err := house.Operators.Invite(org, manage.NewInvitation{Email: "guest@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		_, invitation, _ := strings.Cut(link, "?token=")
		for name, use := range map[string]func(people.Newcomer) error{
			"a sign-up": func(n people.Newcomer) error {
				_, err := house.People.Verify(org, who, signUp, secret.New(secret.SignUp), n, nothingMore)
				return err
			},
			"an invitation": func(n people.Newcomer) error {
				_, err := house.People.AcceptInvitation(org, who, invitation, n, nothingMore)
				return err
			},
		} {
			told := 0
			var exceeded *throttle.Exceeded
			for n := range 15 {
				err := use(people.Newcomer{Username: fmt.Sprint("PERSON", n), Password: newPassword})
				if errors.As(err, &exceeded) {
					break
				}
				if people.Problems(err)[people.FieldUsername] != "signup.username_taken" {
					t.Fatalf("%s: %v", name, err)
				}
				told++
			}
			if exceeded == nil || told > 10 || told < 5 {
				t.Errorf("%s tells of %d user names, then %v", name, told, exceeded)
			}
			// It is good for an account all the same.
			if err := use(people.Newcomer{Password: newPassword}); err != nil {
				t.Errorf("%s, without a user name: %v", name, err)
			}
		}
	})
}

// S-201: nobody guesses a key, so that whatever strangers have failed at, from the same network or all over the organization, keeps
// nobody from signing in with one. What is no good is counted like a password that is none.
func TestFailuresOfStrangersKeepNobodyFromTheirPasskey(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, org, client := beginWith(t, databaseURL, trustedClient)
		device := makesPasskey(t, accountOf(t, house, org, "alice"), "")
		stranger := servertest.NewAuthenticator(t, origin(house))
		bob := house.User(org, "bob")
		bobs := accountOf(t, house, org, "bob")
		page := bobs.open("/passkeys", "Passkeys")
		stranger.Create(page.Value("passkey-options")) // and the house is never told of it
		wrong := func() *formbrowser.Page {
			t.Helper()
			visitor := client.Visitor()
			return answers(t, visitor, titled(t, visitor.Go(client.AuthorizeURL()), "Sign in"), "login-passkey", stranger.Get)
		}
		if page := wrong(); page.Status != http.StatusUnauthorized {
			t.Fatalf("a key of nobody: %d %q", page.Status, page.Title)
		}
		for _, limit := range []throttle.Limit{throttle.SignInNetwork, throttle.SignInOrganization} {
			past(t, house, `UPDATE rate_limits SET busy_until = $1 WHERE subject LIKE '`+limit.Name+`:%'`, time.Now().Add(limit.Per+50*time.Second).UnixMicro())
			failed := len(auditRows(t, house, org, "user.factor_failed"))
			for range 3 {
				if page := wrong(); page.Status != http.StatusTooManyRequests || page.Header.Get("Retry-After") == "" {
					t.Errorf("%s: a key of nobody: %d", limit.Name, page.Status)
				}
			}
			if now := len(auditRows(t, house, org, "user.factor_failed")); now != failed {
				t.Errorf("%s: strangers fill the audit with %d rows", limit.Name, now-failed)
			}
			if row := auditRows(t, house, org, "limit.reached")[0]; row.Details["limit"] != limit.Name {
				t.Errorf("%s is written down as %+v", limit.Name, row)
			}
			visitor := client.Visitor()
			device.Count++
			claimsAt(t, client, answers(t, visitor, titled(t, visitor.Go(client.AuthorizeURL()), "Sign in"), "login-passkey", device.Get))
			past(t, house, `DELETE FROM rate_limits WHERE subject LIKE 'sign_in_network:%'`)
		}
		if left, err := house.DB.PasskeysOf(org, bob.ID); err != nil || len(left) != 0 {
			t.Errorf("%v: bob has %d passkeys", err, len(left))
		}
	})
}
