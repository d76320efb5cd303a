package server_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/people"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
)

// shape is everything of an answer that its visitor could compare: what differs by chance is taken out.
func shape(body string, header http.Header) string {
	var lines []string
	for name, values := range header {
		for _, value := range values {
			if name == "Set-Cookie" {
				name, _, _ := strings.Cut(value, "=")
				_, attributes, _ := strings.Cut(value, ";")
				value = name + attributes
			}
			if name != "Date" && name != "X-Request-Id" && name != "Content-Length" {
				lines = append(lines, name+": "+value)
			}
		}
	}
	slices.Sort(lines)
	for _, field := range []string{`name="csrf_token" value="`, `id="request-id">`} {
		for rest := body; ; {
			_, after, found := strings.Cut(rest, field)
			if !found {
				break
			}
			random, _, _ := strings.Cut(after, "<")
			random, _, _ = strings.Cut(random, `"`)
			body = strings.ReplaceAll(body, random, "…")
			rest = after
		}
	}
	return strings.Join(lines, "\n") + "\n" + body
}

// S-196: who exists shows in no answer, header, cookie or address.
func TestWhetherThereIsAnAccountShowsNowhere(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := behindProxy(t, servertest.Options{DatabaseURL: databaseURL})
		org := house.In("default")
		house.User(org, "known")
		disabled := house.User(org, "disabled")
		if err := house.DB.SetUserActive(org, disabled.ID, false); err != nil {
			t.Fatal(err)
		}
		bare := house.User(org, "bare")
		if err := house.DB.SetPasswordHash(org, bare.ID, "!"); err != nil {
			t.Fatal(err)
		}
		who := []string{"unknown", "known", "disabled", "bare"}
		seen := map[string]map[string]bool{}
		compare := func(step, name, shape string) {
			if seen[step] == nil {
				seen[step] = map[string]bool{}
			}
			seen[step][strings.ReplaceAll(shape, name, "NAME")] = true
			if len(seen[step]) > 1 {
				t.Errorf("%s: %s is answered otherwise\n%v", step, name, seen[step])
			}
		}
		for i, name := range who {
			g := from(t, fmt.Sprintf("198.51.100.%d", i+1))
			page := g.send(g.open(house.Base+"/forgot", "Forgot your password?"), "forgot-submit", "login", name)
			compare("forgot", name, page.URL.String()+shape(page.Body, page.Header))
			page = g.send(g.open(house.Base+"/signup", "Create an account"), "signup-submit", "email", name+"@example.com", "password", newPassword)
			compare("signup", name, page.URL.String()+shape(page.Body, page.Header))
			page = g.send(page, "verify-resend")
			compare("resend", name, page.URL.String()+shape(page.Body, page.Header))
			for guess := range 6 {
				page = g.send(g.open(house.Base+"/verify", "Check your mail"), "verify-submit", "code", "00000000")
				compare(fmt.Sprint("guess ", guess), name, fmt.Sprint(page.Status)+page.URL.String()+shape(page.Body, page.Header))
				if guess == 4 {
					break // after as many there is no field to guess in
				}
			}
			page = g.open(house.Base+"/verify", "Check your mail")
			compare("closed", name, page.URL.String()+shape(page.Body, page.Header))
			if page.Has("code") {
				t.Errorf("%s: a sixth guess is taken", name)
			}
		}
		for name, want := range map[string][]mail.Kind{
			"unknown":  {mail.VerifyEmail, mail.VerifyEmail},
			"known":    {mail.SignUpExists, mail.SignUpExists, mail.PasswordReset},
			"disabled": {mail.SignUpExists, mail.SignUpExists},
			"bare":     {mail.SignUpExists, mail.SignUpExists, mail.PasswordReset},
		} {
			var got []mail.Kind
			for _, letter := range house.Letters(name + "@example.com") {
				got = append(got, letter.Kind)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s got %v, want %v", name, got, want)
			}
		}
	})
}

// S-189: links begin with the issuer, whatever a request says.
func TestNoHeaderOfARequestComesIntoALink(t *testing.T) {
	t.Parallel()
	house := behindProxy(t, servertest.Options{})
	acme := decided(t, house, orgOf(t, house, "acme"), "sign_up.mode", "open")
	if _, err := house.Operators.CreateUser(acme, manage.NewUser{Username: "alice", Email: "alice@example.com", Password: servertest.Password}); err != nil {
		t.Fatal(err)
	}
	for i, header := range []string{
		"X-Forwarded-Host", "X-Host", "X-Original-Host", "X-Forwarded-Server", "Forwarded", "X-Original-Url", "X-Rewrite-Url", "X-Forwarded-Proto", "X-Forwarded-Prefix", "X-Forwarded-Port",
	} {
		value := map[string]string{"Forwarded": "host=evil.example;proto=https", "X-Forwarded-Proto": "gopher"}[header]
		if value == "" {
			value = "evil.example"
		}
		g := from(t, fmt.Sprintf("198.51.100.%d", i+1), header, value)
		email := fmt.Sprintf("new%d@example.com", i)
		g.sees(g.send(g.open(house.Issuer(acme)+"/signup", "Create an account"), "signup-submit", "email", email, "password", newPassword), "Check your mail")
		letter := newest(t, house, email, mail.VerifyEmail)
		if !strings.HasPrefix(letter.Link, house.Issuer(acme)+"/verify?token=") || strings.Contains(letter.Text+letter.HTML, "evil") {
			t.Errorf("%s: the link is %s", header, letter.Link)
		}
		if i < 3 { // as many letters as an address gets
			g.send(g.open(house.Issuer(acme)+"/forgot", "Forgot your password?"), "forgot-submit", "login", "alice")
			letter := newest(t, house, "alice@example.com", mail.PasswordReset)
			if !strings.HasPrefix(letter.Link, house.Issuer(acme)+"/reset?token=") || strings.Contains(letter.Text+letter.HTML, "evil") {
				t.Errorf("%s: the link is %s", header, letter.Link)
			}
		}
	}
	if answer := house.Post(house.Base+"/forgot", url.Values{"login": {"alice"}}, "Host", "evil.example"); answer.Status < 400 {
		t.Errorf("a form of nobody is taken: %d", answer.Status)
	}
}

// orgOf makes an organization and returns its slug.
func orgOf(t *testing.T, house *servertest.House, slug string) string {
	t.Helper()
	house.Organization(slug)
	return slug
}

// S-052, S-058, S-216, S-218, S-220.
func TestALinkIsGoodForOneThingOnceAndForOnePerson(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := behindProxy(t, servertest.Options{DatabaseURL: databaseURL})
		org, acme := house.In("default"), house.Organization("acme")
		next := 0
		link := func(name string) (*guest, string) {
			t.Helper()
			next++
			if _, err := house.DB.UserByLogin(org, name); err != nil {
				house.User(org, name)
			}
			g := from(t, fmt.Sprintf("198.51.100.%d", next))
			g.send(g.open(house.Base+"/forgot", "Forgot your password?"), "forgot-submit", "login", name+"@EXAMPLE.com")
			return g, newest(t, house, name+"@example.com", mail.PasswordReset).Link
		}
		dead := func(address string) {
			t.Helper()
			next++
			page := from(t, fmt.Sprintf("203.0.113.%d", next%250)).open(address, "This link does not work")
			if page.Status != 404 {
				t.Errorf("%s answers %d", address, page.Status)
			}
		}
		_, alice := link("alice")
		token := strings.TrimPrefix(alice, house.Base+"/reset?token=")
		for _, cut := range []string{
			"", token[:len(token)-1], token[:20], token[1:], token + "A", token + "=", strings.ToUpper(token), strings.Replace(token, "kz_vt_", "kz_ses_", 1), secret.New(secret.Verification),
			secret.New(secret.Session), secret.New(secret.AccessToken), token[:10] + "!" + token[11:], token + "%00", "%20" + token,
		} {
			dead(house.Base + "/reset?token=" + cut)
		}
		dead(house.Base + "/verify?token=" + token)
		dead(house.Base + "/invitation?token=" + token)
		dead(house.Issuer(acme) + "/reset?token=" + token)
		if answer := house.Get(house.Base + "/setup?token=" + token); answer.Status != 404 {
			t.Errorf("as a setup link: %d", answer.Status)
		}
		_, newer := link("alice")
		dead(alice)

		// A step that is skipped: the form of one link with the token of none, or of another.
		g, bob := link("bob")
		page := g.open(bob, "Set a new password")
		if page := g.send(page, "reset-submit", "password", newPassword); page.Title != "Your password was changed" {
			t.Errorf("%d %q", page.Status, page.Title)
		}
		dead(bob)
		if answer := house.Post(newer, url.Values{"password": {newPassword}}); answer.Status != http.StatusForbidden {
			t.Errorf("without the page: %d", answer.Status)
		}

		// What happens to the person ends the link.
		for name, happens := range map[string]func(user *storage.User) error{
			"the address is another": func(user *storage.User) error {
				past(t, house, `UPDATE users SET email = 'other@example.com', email_canonical = 'other@example.com' WHERE id = $1`, user.ID.String())
				return nil
			},
			"switched off": func(user *storage.User) error { return house.DB.SetUserActive(org, user.ID, false) },
			"switched off and on": func(user *storage.User) error {
				return errors.Join(house.DB.SetUserActive(org, user.ID, false), house.DB.SetUserActive(org, user.ID, true))
			},
			"deleted": func(user *storage.User) error { return house.DB.DeleteUser(org, user.ID) },
			"expired": func(*storage.User) error {
				past(t, house, `UPDATE verification_tokens SET expires_at = $1 WHERE used_at IS NULL`, time.Now().UTC().Format("2006-01-02 15:04:05.000000"))
				return nil
			},
		} {
			someone := fmt.Sprintf("someone%d", next)
			_, address := link(someone)
			user, err := house.DB.UserByLogin(org, someone)
			if err != nil {
				t.Fatal(err)
			}
			if err := happens(user); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			dead(address)
		}
		if row, err := house.DB.UserByLogin(org, "bob"); err != nil {
			t.Error(err)
		} else if left := row.PasswordHash; strings.Contains(left, newPassword) {
			t.Error("the password stands there")
		}
		var stored int
		if err := house.SQL().QueryRowContext(t.Context(), `SELECT count(*) FROM verification_tokens WHERE token = $1`, token).Scan(&stored); err != nil || stored != 0 {
			t.Errorf("the link itself stands in the database: %d, %v", stored, err)
		}
	})
}

// S-216: it works for 30 minutes.
func TestALinkThatSetsAPasswordWorksForHalfAnHour(t *testing.T) {
	t.Parallel()
	house := behindProxy(t, servertest.Options{})
	org := house.In("default")
	alice := house.User(org, "alice")
	if err := house.People.Forgot(org, visitorOf("198.51.100.7"), "alice", ""); err != nil {
		t.Fatal(err)
	}
	house.Letters("alice@example.com")
	row, err := house.DB.VerificationTokenOf(org, alice.ID.String(), storage.PasswordReset)
	if err != nil {
		t.Fatal(err)
	}
	if life := row.ExpiresAt.Sub(row.CreatedAt); life > 30*time.Minute+time.Second || life < 29*time.Minute {
		t.Errorf("it works for %v", life)
	}
}

// S-218: of many at once, on two replicas, one has the link.
func TestOfManyWhoUseALinkAtOnceOneWins(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := behindProxy(t, servertest.Options{DatabaseURL: databaseURL})
		replicas := []*servertest.House{house, behindProxy(t, servertest.Options{ReplicaOf: house})}
		org := house.In("default")
		house.User(org, "alice")
		_, invitation, err := house.Operators.Invite(org, manage.NewInvitation{Email: "guest@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		if err := house.People.Forgot(org, visitorOf("198.51.100.7"), "alice", ""); err != nil {
			t.Fatal(err)
		}
		reset := newest(t, house, "alice@example.com", mail.PasswordReset).Link
		for name, c := range map[string]struct {
			address, title, button, won string
			fields                      []string
		}{
			"reset":      {reset, "Set a new password", "reset-submit", "/reset", []string{"password", newPassword}},
			"invitation": {invitation, "You are invited", "invitation-submit", "/account", []string{"password", newPassword}},
		} {
			const racers = 16
			var won atomic.Int64
			var racing sync.WaitGroup
			start := make(chan struct{})
			for i := range racers {
				g := from(t, fmt.Sprintf("198.51.100.%d", i+1))
				page := g.open(replicas[i%2].At(c.address), c.title)
				for j := 0; j < len(c.fields); j += 2 {
					if err := page.Fill(c.fields[j], c.fields[j+1]); err != nil {
						t.Fatal(err)
					}
				}
				racing.Go(func() {
					<-start
					after, err := page.Click(t.Context(), c.button)
					switch {
					case err != nil:
						t.Errorf("%s: %v", name, err)
					case after.URL.Path == c.won && after.Status == 200:
						won.Add(1)
					case after.Title != "This link does not work" && after.Status != http.StatusServiceUnavailable:
						t.Errorf("%s: a loser sees %d %q at %s", name, after.Status, after.Title, after.URL)
					}
				})
			}
			close(start)
			racing.Wait()
			if won.Load() != 1 {
				t.Errorf("%s: %d have won", name, won.Load())
			}
		}
	})
}

// S-282, and the limits of security.md: letters to an address, and requests from a network.
func TestLettersAndRequestsForThemAreCounted(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := behindProxy(t, servertest.Options{DatabaseURL: databaseURL})
		org := house.In("default")
		house.User(org, "alice")
		for i := range 5 { // from anywhere
			if err := house.People.Forgot(org, visitorOf(fmt.Sprintf("198.51.100.%d", i)), "alice", ""); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(house.Letters("alice@example.com")); n != 3 {
			t.Errorf("%d letters went to one address", n)
		}
		g := from(t, "2001:db8:1:2::1")
		for i := range 20 {
			if err := house.People.Forgot(org, visitorOf(fmt.Sprintf("2001:db8:1:2::%x", i+1)), fmt.Sprint("nobody", i), ""); err != nil {
				t.Fatal(err)
			}
		}
		page := g.send(g.open(house.Base+"/forgot", "Forgot your password?"), "forgot-submit", "login", "nobody")
		if page.Status != http.StatusTooManyRequests || page.Header.Get("Retry-After") == "" {
			t.Errorf("the 21st from a network: %d", page.Status)
		}
		for i := range 6 {
			_, err := house.People.BeginSignUp(org, visitorOf("192.0.2.1"), people.SignUp{
				Email: fmt.Sprintf("new%d@example.com", i), Newcomer: people.Newcomer{Password: newPassword},
			})
			if (err == nil) != (i < 5) {
				t.Errorf("sign-up %d from a network: %v", i, err)
			}
		}
		var left int
		if err := house.SQL().QueryRowContext(t.Context(), `SELECT count(*) FROM outbox WHERE kind = 'password_reset'`).Scan(&left); err != nil {
			t.Fatal(err)
		}
		if house.Letters("nobody@example.com"); left == 0 {
			t.Error("the requests did not wait")
		}
		if err := house.SQL().QueryRowContext(t.Context(), `SELECT count(*) FROM outbox WHERE kind = 'password_reset'`).Scan(&left); err != nil || left != 0 {
			t.Errorf("%d requests are left, %v", left, err)
		}
	})
}
