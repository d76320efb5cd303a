package server_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/config"
	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
)

// guesser is somebody who tries passwords on the login page, from whichever address they say: the house trusts their proxy.
type guesser struct {
	t       testing.TB
	house   *servertest.House
	csrf    string
	cookies []*http.Cookie
}

// behindProxies are houses that believe what a proxy on this machine says of where a request comes from.
func behindProxies(cfg *config.Config) { cfg.TrustedProxies = []string{"127.0.0.0/8", "::1"} }

func newGuesser(t testing.TB, house *servertest.House) *guesser {
	t.Helper()
	g := &guesser{t: t, house: house}
	page := send(t, house, request{address: "/login"})
	g.csrf = csrf(t, page.Body)
	g.keep(page)
	return g
}

// keep keeps the cookies of an answer.
func (g *guesser) keep(answer *servertest.Answer) {
	g.t.Helper()
	for _, line := range answer.Header["Set-Cookie"] {
		cookie, err := http.ParseSetCookie(line)
		if err != nil {
			g.t.Fatal(err)
		}
		g.cookies = append(g.cookies, cookie)
	}
}

// at is the same at another replica.
func (g *guesser) at(house *servertest.House) *guesser {
	return &guesser{t: g.t, house: house, csrf: g.csrf, cookies: g.cookies}
}

// guess tries a password.
func (g *guesser) guess(address, login, text string) *servertest.Answer {
	g.t.Helper()
	answer, err := g.try(g.t.Context(), address, login, text)
	if err != nil {
		g.t.Fatal(err)
	}
	return answer
}

// try is guess for other goroutines than the test's.
func (g *guesser) try(ctx context.Context, address, login, text string) (*servertest.Answer, error) {
	return attempt(ctx, g.house, request{
		address: "/login", cookies: g.cookies, header: []string{"X-Forwarded-For", address},
		form: fields("username", login, "password", text, "csrf_token", g.csrf),
	})
}

// stranger is an address of the n-th of many who have nothing to do with one another.
func stranger(n int) string {
	if n%2 == 0 {
		return fmt.Sprintf("198.18.%d.%d", n/256%256, n%256)
	}
	return fmt.Sprintf("2001:db8:%x:%x::%x", n/65536, n%65536, n)
}

// stay makes accounts that are guessed at too often be so for longer than a slow machine takes for a test.
func stay(t testing.TB, house *servertest.House) {
	t.Helper()
	change(t, house, `UPDATE rate_limits SET busy_until = busy_until + 600000000 WHERE subject LIKE 'sign_in_account:%' AND busy_until > 0`)
}

// audited counts what the audit says of sign-ins in the root organization: those of a reason, and limits by their names.
func audited(t testing.TB, house *servertest.House) map[string]int {
	t.Helper()
	events, err := house.DB.ListAudit(house.In("default"), storage.AuditFilter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]int)
	for _, e := range events {
		switch e.Action {
		case "user.sign_in_failed":
			counts[fmt.Sprint(e.Details["reason"])]++
		case "limit.reached":
			counts[fmt.Sprint(e.Details["limit"])]++
		default:
			counts[e.Action]++
		}
	}
	return counts
}

// S-198, S-282: whoever tries a thousand passwords on one account has a few of them looked at, and fills no table.
func TestOfAThousandGuessesAtAnAccountAFewAreLookedAt(t *testing.T) {
	t.Parallel()
	const guesses = 1000
	for name, test := range map[string]struct {
		from  func(int) string
		limit throttle.Limit
	}{
		"from one address":       {func(int) string { return "203.0.113.9" }, throttle.SignInNetwork},
		"from one subscriber":    {func(n int) string { return fmt.Sprintf("2001:db8:1:2::%x", n+1) }, throttle.SignInNetwork},
		"from as many addresses": {stranger, throttle.SignInOrganization},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			house := servertest.Start(t, servertest.Options{Configure: behindProxies})
			house.User(house.In("default"), "alice")
			g := newGuesser(t, house)
			statuses := make([]int, guesses)
			var workers sync.WaitGroup
			began := time.Now()
			for w := range 4 {
				workers.Go(func() {
					for n := w; n < guesses; n += 4 {
						answer, err := g.try(t.Context(), test.from(n), []string{"alice", "ALICE", "alice@example.com", "Alice@Example.COM"}[n%4], fmt.Sprint("guess ", n))
						if err != nil {
							t.Error(err)
							return
						}
						statuses[n] = answer.Status
						if wait, err := strconv.Atoi(answer.Header.Get("Retry-After")); answer.Status == 429 && (err != nil || wait < 1 || wait > 300) {
							t.Errorf("429 with Retry-After %q", answer.Header.Get("Retry-After"))
						}
					}
				})
			}
			workers.Wait()
			took := time.Since(began)
			counts := make(map[int]int)
			for _, status := range statuses {
				counts[status]++
			}
			said := audited(t, house)
			t.Logf("%v, audit %v", counts, said)
			if said["password"] > 10+int(took/(15*time.Minute)) || said["password"] < 5 {
				t.Errorf("%d passwords were looked at", said["password"])
			}
			drained := int(took / (test.limit.Per / time.Duration(test.limit.Burst))) // while a slow machine takes its time
			if most := test.limit.Burst + drained + 1; counts[401] > most || counts[401] < 15 || counts[401]+counts[429] != guesses {
				t.Errorf("the answers are %v, of which %d may be looked at in %s", counts, most, took)
			}
			for limit, rows := range said {
				if rows > 10 {
					t.Errorf("%d rows of %s", rows, limit)
				}
			}
		})
	}
}

// S-200: one password, tried on everybody.
func TestOnePasswordIsNotTriedOnEverybody(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{Configure: behindProxies})
	g := newGuesser(t, house)
	before, began := house.Hasher.Worked(), time.Now()
	counts := make(map[int]int)
	for n := range 300 {
		counts[g.guess(fmt.Sprintf("2001:db8:7:7::%x", n+1), fmt.Sprint("person", n), servertest.Password).Status]++
	}
	drained := int64(time.Since(began) / (15 * time.Second)) // while a slow machine takes its time
	if worked := house.Hasher.Worked() - before; worked > 22+drained || counts[401] != int(worked) || counts[429] != 300-counts[401] {
		t.Errorf("%d were looked at; %v", worked, counts)
	}
	if said := audited(t, house); said["sign_in_network"] != 1 {
		t.Errorf("the audit says %v", said)
	}
	if status := g.guess("2001:db8:7:8::1", "nobody", "x").Status; status != 401 {
		t.Errorf("the neighbour is answered %d", status)
	}
}

// S-201: what strangers try keeps other strangers out, and not the person at a browser that they have signed in with before.
func TestGuessesOfStrangersDoNotLockThePersonOut(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, address string) {
		house := servertest.Start(t, servertest.Options{DatabaseURL: address, Configure: behindProxies})
		house.User(house.In("default"), "alice")
		house.User(house.In("default"), "bob")
		alice := newGuesser(t, house)
		answer := alice.guess("203.0.113.1", "alice", servertest.Password)
		if answer.Status != 303 {
			t.Fatalf("%d %s", answer.Status, short(answer.Body))
		}
		device := cookieOf(t, answer, "keizer_device")
		if device.MaxAge != 90*24*3600 || !device.HttpOnly || device.SameSite != http.SameSiteLaxMode || device.Path != "/" {
			t.Errorf("the cookie is %v", device)
		}

		attacker := newGuesser(t, house)
		for n := range 12 {
			attacker.guess(stranger(n), "alice", fmt.Sprint("guess ", n))
		}
		stay(t, house)
		if answer := attacker.guess("198.51.100.1", "alice", servertest.Password); answer.Status != 401 {
			t.Errorf("whoever guessed it in the end: %d", answer.Status)
		}
		known := newGuesser(t, house)
		known.cookies = append(known.cookies, device)
		if answer := known.guess("198.51.100.2", "alice", servertest.Password); answer.Status != 303 {
			t.Errorf("alice, where she has signed in before: %d %s", answer.Status, short(answer.Body))
		}
		// It is hers: to bob it is a stranger's, and it proves nothing by itself.
		if answer := known.guess("198.51.100.2", "alice", "guess"); answer.Status != 401 {
			t.Errorf("with a wrong password: %d", answer.Status)
		}
		for n := range 8 {
			known.guess(stranger(100+n), "bob", fmt.Sprint("guess ", n))
		}
		stay(t, house)
		if answer := known.guess("198.51.100.3", "bob", servertest.Password); answer.Status != 401 {
			t.Errorf("bob's password from a browser that is alice's: %d", answer.Status)
		}
		// Who has her browser has ten tries.
		counts := make(map[int]int)
		for n := range 30 {
			counts[known.guess("198.51.100.4", "alice", fmt.Sprint("guess ", n)).Status]++
		}
		if counts[401] > 10 || counts[401] < 8 || counts[401]+counts[429] != 30 {
			t.Errorf("thirty guesses at her browser: %v", counts)
		}
	})
}

func cookieOf(t testing.TB, answer *servertest.Answer, name string) *http.Cookie {
	t.Helper()
	for _, line := range answer.Header["Set-Cookie"] {
		if cookie, err := http.ParseSetCookie(line); err == nil && cookie.Name == name {
			return cookie
		}
	}
	t.Fatalf("no cookie %s in %v", name, answer.Header["Set-Cookie"])
	return nil
}

// S-202: replicas count together, and what was counted outlives them.
func TestGuessesAreCountedByAllReplicasAndAfterARestart(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, address string) {
		house := servertest.Start(t, servertest.Options{DatabaseURL: address, Configure: behindProxies})
		house.User(house.In("default"), "alice")
		second := servertest.Start(t, servertest.Options{ReplicaOf: house, Configure: behindProxies})
		g := newGuesser(t, house)
		replicas := []*guesser{g, g.at(second)}
		for n := range 6 {
			replicas[n%2].guess(stranger(n), "alice", fmt.Sprint("guess ", n))
		}
		stay(t, house)
		restarted := servertest.Start(t, servertest.Options{ReplicaOf: house, Configure: behindProxies})
		for i, g := range append(replicas, g.at(restarted)) {
			if answer := g.guess(stranger(50+i), "alice", servertest.Password); answer.Status != 401 {
				t.Errorf("replica %d answers %d", i, answer.Status)
			}
		}
		if said := audited(t, house); said["password"] > 6 || said["sign_in_account"] != 1 {
			t.Errorf("the audit says %v", said)
		}
	})
}

// S-202, F-34, S-293: without the table of limits nobody signs in, and everything else goes on.
func TestWithoutTheTableOfLimitsNobodySignsIn(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, address string) {
		house := servertest.Start(t, servertest.Options{DatabaseURL: address})
		house.User(house.In("default"), "alice")
		client := house.Client(house.In("default"), manage.ClientSpec{})
		tokens := client.Tokens("alice", "openid offline_access")
		decided(t, house, "default", "sign_up.mode", "open")
		alice := accountOf(t, house, house.In("default"), "alice")
		db := house.SQL()
		written := func() int { return rows(t, db, "outbox") + rows(t, db, "verification_tokens") }
		change(t, house, `DROP TABLE rate_limits`)
		before, already := house.Hasher.Worked(), written()
		for _, text := range []string{servertest.Password, "guess"} {
			answer := newGuesser(t, house).guess("", "alice", text)
			if answer.Status != 503 || answer.Header.Get("Retry-After") == "" || strings.Contains(answer.Header.Get("Set-Cookie"), "session") {
				t.Errorf("%q: %d %v", text, answer.Status, answer.Header)
			}
		}
		// Nor is an account or a letter asked for, or a link tried: nothing is known of what was asked for and tried before.
		for _, form := range []struct{ page, button, field, text string }{
			{"/signup", "signup-submit", "email", "new@example.com"}, {"/forgot", "forgot-submit", "login", "alice"},
			{"/account/email", "email-change", "email", "other@example.com"},
		} {
			answer := send(t, house, request{
				address: form.page, form: ownForm(t, alice, house.Base+form.page, newPassword, form.button, form.field, form.text), cookies: alice.Cookies(house.URL),
			})
			if answer.Status != 503 || answer.Header.Get("Retry-After") == "" {
				t.Errorf("%s: %d", form.page, answer.Status)
			}
		}
		for _, link := range []string{"/reset", "/verify", "/invitation", "/account/email/confirm", "/account/email/undo"} {
			if answer := send(t, house, request{address: link + "?token=" + secret.New(secret.Verification)}); answer.Status != 503 || answer.Header.Get("Retry-After") == "" {
				t.Errorf("a link %s: %d", link, answer.Status)
			}
		}
		if n := written() - already; n != 0 {
			t.Errorf("%d rows were written all the same", n)
		}
		if house.Hasher.Worked() != before {
			t.Error("a password was looked at")
		}
		alice.open("/sessions", "Sessions and devices") // who is in stays in
		again := client.Refresh(tokens.Text("refresh_token"))
		if again.Status != 200 {
			t.Errorf("a refresh: %d %s", again.Status, again.Body)
		}
		wrong := *client
		wrong.Secret = secret.New(secret.ClientSecret)
		if answer := wrong.Token("grant_type", "client_credentials"); answer.Status != 401 {
			t.Errorf("a client with another secret: %d %s", answer.Status, answer.Body)
		}
		// Clients are counted by this process alone then, and are not let guess for that.
		told := false
		for range 4 * throttle.ClientNetwork.Burst {
			if told = wrong.Token("grant_type", "client_credentials").Status == 429; told {
				break
			}
		}
		if !told {
			t.Error("a client guesses at secrets without end")
		}
		if answer := client.Refresh(again.Text("refresh_token")); answer.Status != 200 {
			t.Errorf("a refresh beside it: %d %s", answer.Status, answer.Body)
		}
	})
}

// volatile is what differs between two answers of the same page for other reasons than what it says.
var volatile = regexp.MustCompile(`name="csrf_token" value="[^"]*"|[0-9A-Z]{26}|value="[^"]*" autocomplete="username|id="passkey-challenge" value="[^"]*"|` +
	`&#34;challenge&#34;:&#34;[\w-]*&#34;`)

// S-196, S-197: whoever there is, and whatever is wrong with them, a sign-in that fails says the same, has done the same work, and
// has left as many rows.
func TestAFailedSignInTellsNobodyWhoExists(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{Configure: behindProxies})
	ctx := house.In("default")
	house.User(ctx, "known")
	if err := house.DB.SetUserActive(ctx, house.User(ctx, "disabled").ID, false); err != nil {
		t.Fatal(err)
	}
	if err := house.DB.SetPasswordHash(ctx, house.User(ctx, "social").ID, password.None); err != nil {
		t.Fatal(err)
	}
	if err := house.DB.SetPasswordHash(ctx, house.User(ctx, "broken").ID, "$1$salt$qJH7.N4xYta3aEG/dfqo/0"); err != nil {
		t.Fatal(err)
	}
	for _, locked := range []string{"locked", "nobody-locked"} {
		if locked == "locked" {
			house.User(ctx, locked)
		}
		g := newGuesser(t, house)
		for n := range 6 {
			g.guess(stranger(1000+n), locked, "guess")
		}
	}
	stay(t, house)
	for i, locked := range []string{"locked", "nobody-locked"} { // so that it is told of
		newGuesser(t, house).guess(stranger(1100+i), locked, "guess")
	}
	var first string
	for i, try := range []struct {
		name, login, text string
		rows              int
	}{
		{"unknown", "nobody", servertest.Password, 1}, {"unknown address", "nobody@example.com", servertest.Password, 1},
		{"no name at all", "two words", servertest.Password, 1}, {"two @", "a@b@example.com", servertest.Password, 1},
		{"wrong password", "known", "guess", 1}, {"disabled", "disabled", servertest.Password, 1}, {"no password", "social", servertest.Password, 1},
		{"the marker of no password", "social", password.None, 1}, {"a hash that cannot be read", "broken", servertest.Password, 1},
		{"locked", "locked", servertest.Password, 0}, {"locked, of nobody", "nobody-locked", servertest.Password, 0},
	} {
		g := newGuesser(t, house)
		events, err := house.DB.ListAudit(ctx, storage.AuditFilter{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		before := house.Hasher.Worked()
		answer := g.guess(stranger(i), try.login, try.text)
		if worked := house.Hasher.Worked() - before; worked != 1 {
			t.Errorf("%s: %d hashes were computed", try.name, worked)
		}
		after, err := house.DB.ListAudit(ctx, storage.AuditFilter{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if rows := len(after) - len(events); rows != try.rows {
			t.Errorf("%s: %d rows of audit, want %d", try.name, rows, try.rows)
		}
		seen := fmt.Sprint(answer.Status, cookieNames(answer), volatile.ReplaceAllString(answer.Body, "*"))
		if first == "" {
			first = seen
		}
		if answer.Status != 401 || seen != first {
			t.Errorf("%s: %d\n%s\nwant\n%s", try.name, answer.Status, seen, first)
		}
	}
}

func cookieNames(answer *servertest.Answer) (names []string) {
	for _, line := range answer.Header["Set-Cookie"] {
		name, _, _ := strings.Cut(line, "=")
		names = append(names, name)
	}
	return names
}

// A person hears of a sign-in from a browser that they are not known with, and of nothing else.
func TestASignInFromANewBrowserIsToldByMail(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{Configure: behindProxies})
	house.User(house.In("default"), "alice")
	house.User(house.In("default"), "bob")
	first := newGuesser(t, house)
	device := cookieOf(t, first.guess("203.0.113.1", "alice", servertest.Password), "keizer_device")
	if letters := house.Letters("alice@example.com"); len(letters) != 0 {
		t.Errorf("the first sign-in of all: %d letters", len(letters))
	}
	again := newGuesser(t, house)
	again.cookies = append(again.cookies, device)
	if kept := cookieOf(t, again.guess("203.0.113.99", "alice", servertest.Password), "keizer_device"); kept.Value != device.Value {
		t.Error("a browser that is known is known by something else")
	}
	if letters := house.Letters("alice@example.com"); len(letters) != 0 {
		t.Errorf("a sign-in where she has signed in before: %d letters", len(letters))
	}
	// Bob at the same browser: it is new to him, but he has never signed in anywhere. What it was known by is worth nothing any more.
	shared := newGuesser(t, house)
	shared.cookies = append(shared.cookies, device)
	both := cookieOf(t, shared.guess("203.0.113.99", "bob", servertest.Password), "keizer_device")
	if both.Value == device.Value {
		t.Error("the browser is known to bob by what somebody else may have put there")
	}
	home := newGuesser(t, house)
	home.cookies = append(home.cookies, both)
	home.guess("203.0.113.99", "alice", servertest.Password)
	if letters := house.Letters("alice@example.com"); len(letters) != 0 {
		t.Errorf("alice at the browser that she shares with bob: %d letters", len(letters))
	}
	planted := newGuesser(t, house)
	planted.cookies = append(planted.cookies, device)
	planted.guess("2001:db8::5", "alice", servertest.Password)
	letters := house.Letters("alice@example.com")
	if len(letters) != 1 || !strings.Contains(letters[0].Text, "2001:db8::5") || len(house.Letters("bob@example.com")) != 0 {
		t.Errorf("a sign-in from elsewhere: %d letters, with %q", len(letters), texts(letters))
	}
	if said := audited(t, house); said["device.added"] != 1 {
		t.Errorf("the audit says %v", said)
	}
}

func texts(letters []mail.Message) (texts []string) {
	for _, letter := range letters {
		texts = append(texts, letter.Text)
	}
	return texts
}

// Failures of clients are counted by where they come from. A client that proves who it is, is let in from there all the same.
func TestClientsThatFailTooOftenAreToldToWaitAndOthersAreNot(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{Configure: behindProxies})
	client := house.Client(house.In("default"), manage.ClientSpec{GrantTypes: []string{"client_credentials"}})
	ask := func(address, endpoint, pass string) *servertest.Answer {
		t.Helper()
		return send(t, house, request{
			address: endpoint, form: fields("grant_type", "client_credentials", "token", "x", "client_id", client.ID, "client_secret", pass),
			header: []string{"X-Forwarded-For", address},
		})
	}
	counts := make(map[int]int)
	for n := range 100 {
		answer := ask("203.0.113.5", []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"}[n%3], fmt.Sprint("guess ", n))
		counts[answer.Status]++
		if wait, err := strconv.Atoi(answer.Header.Get("Retry-After")); answer.Status == 429 && (err != nil || wait < 1 || answer.Text("error") != "invalid_client") {
			t.Fatalf("%v %s", answer.Header, answer.Body)
		}
	}
	if counts[429] < 30 || counts[400]+counts[401] < 60 {
		t.Errorf("the answers are %v", counts)
	}
	if answer := ask("203.0.113.6", "/oauth2/token", "guess"); answer.Status == 429 {
		t.Error("somebody else is told to wait")
	}
	for range 5 {
		if answer := send(t, house, request{
			address: "/oauth2/token", form: fields("grant_type", "client_credentials"),
			header: []string{"X-Forwarded-For", "203.0.113.5", "Authorization", client.Basic()},
		}); answer.Status != 200 {
			t.Fatalf("the client itself: %d %s", answer.Status, answer.Body)
		}
	}
}

// S-204, F-24: two hundred people sign in at the same moment. Each is let in, or told to come back; nobody is taken for somebody
// who guesses, and there are never more hashes under way than slots.
func TestTwoHundredPeopleWhoSignInAtOnceAreLetInOrToldToComeBack(t *testing.T) {
	t.Parallel()
	const people = 200
	servertest.EachDatabase(t, func(t *testing.T, address string) {
		house := servertest.Start(t, servertest.Options{DatabaseURL: address, Configure: func(cfg *config.Config) {
			behindProxies(cfg)
			cfg.Password.Memory = password.DefaultMemory // what this is about
		}})
		ctx := house.In("default")
		hash, err := house.Hasher.Hash(ctx, servertest.Password)
		if err != nil {
			t.Fatal(err)
		}
		for n := range people {
			name := fmt.Sprint("person", n)
			if err := house.DB.CreateUser(ctx, &storage.User{Email: name + "@example.com", Username: &name, PasswordHash: hash, IsActive: true}); err != nil {
				t.Fatal(err)
			}
		}
		g := newGuesser(t, house)
		statuses := make([]int, people)
		var all sync.WaitGroup
		for n := range people {
			all.Go(func() {
				answer, err := g.try(t.Context(), "203.0.113.77", fmt.Sprint("person", n), servertest.Password)
				if err != nil {
					t.Error(err)
					return
				}
				statuses[n] = answer.Status
				if answer.Status == 503 && answer.Header.Get("Retry-After") == "" {
					t.Error("503 without Retry-After")
				}
			})
		}
		all.Wait()
		counts := make(map[int]int)
		for _, status := range statuses {
			counts[status]++
		}
		t.Logf("%v", counts)
		if counts[303]+counts[503] != people || counts[303] == 0 {
			t.Errorf("the answers are %v", counts)
		}
		// Whoever was turned away comes back, and is not counted as somebody who failed.
		until := time.Now().Add(5 * time.Minute) // of a slow machine
		for n, status := range statuses {
			for status != 303 {
				answer := g.guess("203.0.113.77", fmt.Sprint("person", n), servertest.Password)
				if status = answer.Status; status != 303 && (status != 503 || time.Now().After(until)) {
					t.Fatalf("person%d: %d %s", n, status, short(answer.Body))
				}
			}
		}
	})
}
