package server_test

import (
	"context"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
)

// accountPages are the pages of an account, with whether a session is not enough to see them.
var accountPages = map[string]bool{
	"": false, "/profile": false, "/email": true, "/password": true, "/sessions": false, "/applications": false, "/activity": false, "/data": true,
	"/passkeys": true, "/authenticator": true, "/authenticator/new": true, "/recovery-codes": true, "/recovery-codes/new": true,
}

// accountForms are where the forms on them go, each with what it would do if it were let.
var accountForms = map[string]url.Values{
	"/sign-out":             {},
	"/profile":              {"name": {"Mallory"}},
	"/email":                {"email": {"mallory@example.com"}},
	"/email/verify":         {},
	"/passkeys/add":         {"passkey": {"{}"}},
	"/passkeys/rename":      {"name": {"Mallory's"}},
	"/passkeys/remove":      {},
	"/authenticator/add":    {"code": {"000000"}},
	"/authenticator/remove": {},
	"/recovery-codes/keep":  {},
	"/password":             {"current": {servertest.Password}, "password": {otherPassword}, "again": {otherPassword}},
	"/sessions/end":         {},
	"/sessions/end-others":  {},
	"/devices/forget":       {},
	"/applications/revoke":  {},
	"/data/export":          {},
	"/data/delete":          {"confirm": {"alice"}},
}

// freshForms are those that ask for more than a session.
var freshForms = []string{
	"/email", "/password", "/data/export", "/data/delete", "/passkeys/add", "/passkeys/rename", "/passkeys/remove", "/authenticator/add",
	"/authenticator/remove", "/recovery-codes/keep",
}

// stolen is an account in which there is something to be had, with the tokens of its forms.
type stolen struct {
	*account
	user   *storage.User
	tokens map[string]string // by the path of the form
	forms  map[string]url.Values
}

var formOnPage = regexp.MustCompile(`(?s)<form[^>]* action="([^"]+)"[^>]*>.*?name="csrf_token" value="([^"]+)"`)

func accountToSteal(t testing.TB, house *servertest.House, org context.Context) *stolen {
	t.Helper()
	user, err := house.Operators.CreateUser(org, manage.NewUser{ // whose address is still to be confirmed
		Username: "alice", Email: "alice@example.com", FullName: "Alice Doe", Password: servertest.Password,
	})
	if err != nil {
		t.Fatal(err)
	}
	app := house.Client(org, manage.ClientSpec{Name: "Field Notes"})
	app.Tokens("alice", "openid offline_access")
	giveApp(t, house, org, user)
	key := &storage.Passkey{UserID: user.ID, CredentialID: "alices", Name: "Phone", Record: []byte("{}")}
	if err := house.DB.CreatePasskey(org, key); err != nil {
		t.Fatal(err)
	}
	apps, err := house.DB.AuthenticatorsOf(org, user.ID)
	if err != nil {
		t.Fatal(err)
	}
	s := &stolen{account: accountOf(t, house, org, "alice"), user: user, tokens: make(map[string]string), forms: maps.Clone(accountForms)}
	other := accountOf(t, house, org, "alice")
	devices, err := house.DB.DevicesOf(org, user.ID)
	if err != nil || len(devices) == 0 {
		t.Fatalf("%v: %d devices", err, len(devices))
	}
	s.forms["/passkeys/remove"] = url.Values{"passkey": {key.ID.String()}}
	s.forms["/passkeys/rename"] = url.Values{"passkey": {key.ID.String()}, "name": {"Mallory's"}}
	s.forms["/authenticator/remove"] = url.Values{"app": {apps[0].ID.String()}}
	s.forms["/sessions/end"] = url.Values{"session": {other.session().ID.String()}}
	s.forms["/devices/forget"] = url.Values{"device": {devices[0].ID.String()}}
	s.forms["/applications/revoke"] = url.Values{"client_id": {app.ID}}
	s.gather()
	for path := range s.forms {
		if s.tokens[path] == "" {
			t.Fatalf("no page has the form %s", path)
		}
	}
	return s
}

// gather reads the tokens from the pages. A form that this file does not know of is a test that is missing.
func (s *stolen) gather() {
	s.t.Helper()
	for path := range accountPages {
		page := s.Go(s.issuer + "/account" + path)
		for _, found := range formOnPage.FindAllStringSubmatch(page.Body, -1) {
			to, ok := strings.CutPrefix(html.UnescapeString(found[1]), strings.TrimPrefix(s.issuer, s.house.Base)+"/account")
			if !ok {
				continue // the choice of languages, which is everywhere
			}
			if _, known := s.forms[to]; !known {
				s.t.Errorf("the page %q has a form to %q, which is tried nowhere", path, to)
			}
			s.tokens[to] = html.UnescapeString(found[2])
		}
	}
}

// post sends a form as the browser would, cookies included.
func (s *stolen) post(path, token string, header ...string) *servertest.Answer {
	s.t.Helper()
	form := maps.Clone(s.forms[path])
	if token != "" {
		form.Set("csrf_token", token)
	}
	return s.house.Post(s.issuer+"/account"+path, form, append([]string{"Cookie", cookies(s.account)}, header...)...)
}

func cookies(a *account) string {
	var all []string
	for _, cookie := range a.Cookies(a.house.URL) {
		all = append(all, cookie.Name+"="+cookie.Value)
	}
	return strings.Join(all, "; ")
}

// state is whatever one of the forms would change.
func (s *stolen) state() string {
	s.t.Helper()
	db := s.house.SQL()
	told := []any{}
	for _, query := range []string{
		`SELECT count(*) FROM sessions WHERE is_valid`, `SELECT count(*) FROM devices`, `SELECT count(*) FROM consents`, `SELECT count(*) FROM outbox`,
		`SELECT count(*) FROM oauth_grants WHERE revoked_at IS NULL`, `SELECT count(*) FROM verification_tokens`, `SELECT count(*) FROM users WHERE full_name = 'Alice Doe'`,
		`SELECT count(*) FROM audit_events`, `SELECT name FROM passkeys ORDER BY name`, `SELECT count(*) FROM authenticators`, `SELECT count(*) FROM recovery_codes`,
	} {
		told = append(told, column(s.t, db, query))
	}
	if user, err := s.house.DB.User(s.org, s.user.ID); err == nil {
		told = append(told, user.PasswordHash, user.Email)
	}
	return fmt.Sprint(told...)
}

// S-165, S-166: every form of an account, sent by another site, without its token, or with another's.
func TestNoFormOfAnAccountIsSentByAnybodyElse(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	house.Organization("acme")
	for _, slug := range []string{"default", "acme"} {
		org := house.In(slug)
		alice := accountToSteal(t, house, org)
		house.User(org, "mallory")
		mallory := &stolen{account: accountOf(t, house, org, "mallory"), tokens: make(map[string]string), forms: alice.forms}
		mallory.gather()
		again := &stolen{account: accountOf(t, house, org, "alice"), tokens: make(map[string]string), forms: alice.forms}
		again.gather()
		before := alice.state()
		refused := func(path, how string, answer *servertest.Answer, want int) {
			t.Helper()
			if answer.Status != want {
				t.Errorf("%s, %s: %d", path, how, answer.Status)
			}
			if alice.state() != before {
				t.Fatalf("%s, %s: something has changed\n%s\n%s", path, how, before, alice.state())
			}
		}
		for path := range alice.forms {
			token := alice.tokens[path]
			for how, header := range map[string][]string{
				"from another site": {"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"},
				"from a sibling":    {"Sec-Fetch-Site", "same-site", "Origin", "http://evil.localhost"},
				"from nowhere":      {"Origin", "null", "Sec-Fetch-Site", "cross-site"},
				"another port":      {"Origin", "http://localhost:1"},
				"a method disguise": {"Origin", "https://evil.example", "X-Http-Method-Override", "POST"},
			} {
				refused(path, how, alice.post(path, token, header...), http.StatusForbidden)
			}
			refused(path, "without a token", alice.post(path, ""), http.StatusForbidden)
			refused(path, "with a token cut short", alice.post(path, token[:len(token)-1]), http.StatusForbidden)
			refused(path, "with mallory's token", alice.post(path, firstOf(mallory.tokens[path], "x")), http.StatusForbidden)
			refused(path, "with the token of another browser of hers", alice.post(path, firstOf(again.tokens[path], "x")), http.StatusForbidden)
			for other, theirs := range alice.tokens {
				if other != path {
					refused(path, "with the token of "+other, alice.post(path, theirs), http.StatusForbidden)
					break
				}
			}
			refused(path, "as JSON", alice.post(path, token, "Content-Type", "text/plain"), http.StatusUnsupportedMediaType)
			if !slices.Contains(slices.Collect(maps.Keys(accountPages)), path) {
				answer := house.Get(alice.issuer+"/account"+path+"?"+url.Values{"csrf_token": {token}}.Encode(), "Cookie", cookies(alice.account))
				refused(path, "by GET", answer, http.StatusMethodNotAllowed)
			}
		}

		// A token from before the session had its present secret is worth nothing.
		old := maps.Clone(alice.tokens)
		if answer := alice.account.press(alice.open("/password", "Password"), "password-change", "current", servertest.Password, "password", otherPassword, "again", otherPassword); answer.Text("account-done") == "" {
			t.Fatalf("%d\n%s", answer.Status, answer.Body)
		}
		before = alice.state()
		for path := range alice.forms {
			refused(path, "with the token from before", alice.post(path, old[path]), http.StatusForbidden)
		}
	}
}

func firstOf(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// S-181: a session that somebody else has come by is not enough for what would keep its owner out.
func TestAnOldSessionChangesNothingThatMatters(t *testing.T) {
	inBoth(t, func(t *testing.T, house *servertest.House, org context.Context) {
		alice := accountToSteal(t, house, org)
		alice.age(6 * time.Minute)
		before := alice.state()
		for _, path := range freshForms {
			answer := alice.post(path, alice.tokens[path])
			if answer.Status != http.StatusForbidden || alice.state() != before {
				t.Errorf("%s: %d", path, answer.Status)
			}
			if strings.Contains(answer.Body, otherPassword) || strings.Contains(answer.Body, servertest.Password) {
				t.Errorf("%s: what was typed is shown", path)
			}
			if !strings.Contains(answer.Body, "fresh=1") {
				t.Errorf("%s: there is no way to prove it anew", path)
			}
		}
		for path, fresh := range accountPages {
			answer := house.Get(alice.issuer+"/account"+path, "Cookie", cookies(alice.account))
			if fresh != (answer.Status == http.StatusSeeOther) || fresh && !strings.Contains(answer.Header.Get("Location"), "fresh=1") {
				t.Errorf("%q: %d to %q", path, answer.Status, answer.Header.Get("Location"))
			}
		}

		// Proven anew, the way leads back to where it was asked for.
		page := alice.Go(alice.issuer + "/account/email")
		alice.expect(alice.signIn(page), "E-mail address")
		alice.gather()

		// Who has a second factor has to have given it: here it was left out.
		session := alice.session()
		session.AMR, session.ACR = []string{"pwd"}, oneFactor
		if err := house.DB.RenewSession(org, session); err != nil {
			t.Fatal(err)
		}
		before = alice.state()
		for _, path := range freshForms {
			if answer := alice.post(path, alice.tokens[path]); answer.Status != http.StatusForbidden || alice.state() != before {
				t.Errorf("%s with one factor of two: %d", path, answer.Status)
			}
		}
	})
}

// S-180: ids of somebody else's, and of another organization's, are nobody's.
func TestNobodyEndsWhatIsSomebodyElses(t *testing.T) {
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := servertest.Start(t, servertest.Options{DatabaseURL: databaseURL})
		acme, root := house.Organization("acme"), house.In("default")
		mallory := accountToSteal(t, house, root)
		for _, org := range []context.Context{root, acme} {
			house.User(org, "bob")
			app := house.Client(org, manage.ClientSpec{Name: "Bob's"})
			tokens := app.Tokens("bob", "openid offline_access")
			bob := accountOf(t, house, org, "bob")
			devices, err := house.DB.DevicesOf(org, bob.session().UserID)
			if err != nil || len(devices) == 0 {
				t.Fatalf("%v: %d devices", err, len(devices))
			}
			for path, form := range map[string]url.Values{
				"/sessions/end":        {"session": {bob.session().ID.String()}},
				"/devices/forget":      {"device": {devices[0].ID.String()}},
				"/applications/revoke": {"client_id": {app.ID}},
			} {
				mallory.forms[path] = form
				if answer := mallory.post(path, mallory.tokens[path]); answer.Status != http.StatusNotFound {
					t.Errorf("%s: %d", path, answer.Status)
				}
			}
			for _, id := range []string{"", "x", uuid.Nil.String(), strings.ToUpper(uuid.NewString()), uuid.NewString(), "' OR 1=1 --"} {
				for path, field := range map[string]string{"/sessions/end": "session", "/devices/forget": "device", "/applications/revoke": "client_id"} {
					mallory.forms[path] = url.Values{field: {id}}
					if answer := mallory.post(path, mallory.tokens[path]); answer.Status != http.StatusNotFound {
						t.Errorf("%s of %q: %d", path, id, answer.Status)
					}
				}
			}
			if bob.session() == nil {
				t.Error("bob was signed out")
			}
			if left, err := house.DB.DevicesOf(org, bob.session().UserID); err != nil || len(left) != len(devices) {
				t.Errorf("%v: bob has %d devices", err, len(left))
			}
			if answer := app.Refresh(tokens.Text("refresh_token")); answer.Status != http.StatusOK {
				t.Errorf("bob's application: %d %s", answer.Status, answer.Body)
			}
			// The cookie of one organization opens nothing at the other.
			if org == acme {
				for path := range accountPages {
					if answer := house.Get(house.Issuer(acme)+"/account"+path, "Cookie", cookies(mallory.account)); answer.Status != http.StatusSeeOther {
						t.Errorf("%q at another organization: %d", path, answer.Status)
					}
				}
			}
		}
	})
}

// S-218: of two who press the button at once, one has pressed it; and the link of one person is nothing in the session of another.
func TestALinkToAnAddressIsSpentOnceAndByItsPersonAlone(t *testing.T) {
	inBoth(t, func(t *testing.T, house *servertest.House, org context.Context) {
		user := house.User(org, "alice")
		mallory := house.User(org, "mallory")
		alice := accountOf(t, house, org, "alice")
		address := uuid.NewString() + "@example.com"
		alice.press(alice.open("/email", "E-mail address"), "email-change", "email", address)
		link := letter(t, house, address, mail.ConfirmEmail).Link

		// In whoever's session it is opened, it is alice's address that changes.
		other := accountOf(t, house, org, "mallory")
		page := other.expect(other.Go(link), "Confirm your new e-mail address")
		token := formOnPage.FindStringSubmatch(page.Body)
		var group sync.WaitGroup
		statuses := make([]int, 8)
		for i := range statuses {
			group.Go(func() {
				statuses[i] = house.Post(link, url.Values{"csrf_token": {html.UnescapeString(csrf(t, page.Body))}}, "Cookie", cookies(other)).Status
			})
		}
		group.Wait()
		won := 0
		for _, status := range statuses {
			if status == http.StatusSeeOther {
				won++
			} else if status != http.StatusNotFound {
				t.Errorf("a loser is answered %d", status)
			}
		}
		if won != 1 || token == nil {
			t.Errorf("%d have won: %v", won, statuses)
		}
		if now, err := house.DB.User(org, user.ID); err != nil || now.Email != address {
			t.Errorf("%v %q", err, now.Email)
		}
		if now, err := house.DB.User(org, mallory.ID); err != nil || now.Email != mallory.Email {
			t.Errorf("%v %q", err, now.Email)
		}
	})
}

// An address that somebody else comes to have while the link is under way stays theirs.
func TestALinkTakesNoAddressFromAnybody(t *testing.T) {
	inBoth(t, func(t *testing.T, house *servertest.House, org context.Context) {
		user := house.User(org, "alice")
		alice := accountOf(t, house, org, "alice")
		name := "bob" + strings.ReplaceAll(uuid.NewString(), "-", "")
		alice.press(alice.open("/email", "E-mail address"), "email-change", "email", name+"@example.com")
		page := alice.expect(alice.Go(letter(t, house, name+"@example.com", mail.ConfirmEmail).Link), "Confirm your new e-mail address")
		bob := house.User(org, name)
		if page = alice.Press(page, "email-link-submit"); page.Status != http.StatusNotFound {
			t.Errorf("%d %s", page.Status, page.Title)
		}
		if now, err := house.DB.User(org, bob.ID); err != nil || now.Email != name+"@example.com" {
			t.Errorf("%v %q", err, now.Email)
		}
		if now, err := house.DB.User(org, user.ID); err != nil || now.Email != user.Email {
			t.Errorf("%v %q", err, now.Email)
		}
	})
}

// S-182, S-185, S-176: no page of an account is framed or stored, and none is shown to nobody.
func TestAccountPagesAreNeitherFramedNorStoredNorShownToStrangers(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	house.Organization("acme")
	for _, slug := range []string{"default", "acme"} {
		org := house.In(slug)
		alice := accountToSteal(t, house, org)
		base := strings.TrimPrefix(alice.issuer, house.Base)
		look := func(path string, answer *servertest.Answer) {
			t.Helper()
			h := answer.Header
			if h.Get("X-Frame-Options") != "DENY" || !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") ||
				h.Get("Cache-Control") != "no-store" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: %d with %v", path, answer.Status, h)
			}
		}
		for _, path := range append(slices.Collect(maps.Keys(accountPages)), "/email/confirm?token=x", "/email/undo?token=x", "/nothing") {
			look(path, house.Get(alice.issuer+"/account"+path, "Cookie", cookies(alice.account)))
			look(path, house.Get(alice.issuer+"/account"+path))
		}
		look("/data/export", alice.post("/data/export", alice.tokens["/data/export"]))
		alien := secret.New(secret.Session)
		for path := range accountPages {
			for _, cookie := range []string{"", "keizer_session=" + alien, "keizer_session_acme=" + alien} {
				answer := house.Get(alice.issuer+"/account"+path, "Cookie", cookie)
				if want := base + "/login?return_to=" + url.QueryEscape("/account"+path); answer.Status != http.StatusSeeOther || answer.Header.Get("Location") != want {
					t.Errorf("%q, a stranger: %d to %q", path, answer.Status, answer.Header.Get("Location"))
				}
			}
		}
		// Whoever went away is gone at once, with whatever page was still open.
		before := cookies(alice.account)
		alice.Press(alice.open("", "Your account"), "account-sign-out")
		for path, form := range alice.forms {
			form.Set("csrf_token", alice.tokens[path])
			if answer := house.Post(alice.issuer+"/account"+path, form, "Cookie", before); answer.Status != http.StatusSeeOther || !strings.HasPrefix(answer.Header.Get("Location"), base+"/login?") {
				t.Errorf("%s after the sign-out: %d to %q", path, answer.Status, answer.Header.Get("Location"))
			}
		}
	}
}
