package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// underWay is all that people and applications may be in the middle of when the database goes away.
type underWay struct {
	house                   *servertest.House
	client, signed, machine *servertest.Client
	key                     *ecdsa.PrivateKey

	member, newcomer, deciding *servertest.Visitor // signed in; at the login page; at the consent page
	login, consent             request             // the forms of those pages, filled in
	refresh, access, jwt       string
	revocable                  string // a token that is being revoked
	api                        string // a token for the management API

	// Forms that people have filled in and not yet sent, by what they are.
	people map[string]request
}

// inTheMiddle begins one of everything.
func inTheMiddle(t *testing.T, house *servertest.House) *underWay {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k"}}})
	if err != nil {
		t.Fatal(err)
	}
	org := house.In("default")
	house.User(org, "alice")
	house.User(org, "bob")
	u := &underWay{
		house: house, key: key,
		client:  house.Client(org, manage.ClientSpec{SkipConsent: true}),
		signed:  house.Client(org, manage.ClientSpec{AuthMethod: "private_key_jwt", JWKS: jwks, GrantTypes: []string{"client_credentials"}}),
		machine: house.Client(org, manage.ClientSpec{GrantTypes: []string{"client_credentials"}, AccessTokenFormat: "jwt"}),
	}
	asking := house.Client(org, manage.ClientSpec{Name: "Asking"})
	u.member, u.newcomer, u.deciding = signedIn(u.client, "alice"), asking.Visitor(), asking.Visitor()
	tokens := u.client.Redeem(u.code(t))
	u.refresh, u.access = tokens.Text("refresh_token"), tokens.Text("access_token")
	u.revocable = u.client.Redeem(u.code(t)).Text("access_token")
	u.jwt = u.machine.Token("grant_type", "client_credentials").Text("access_token")
	u.api = house.Machine(org, permission.UsersRead).Token
	page := u.newcomer.Go(asking.AuthorizeURL())
	u.login = request{address: page.URL.RequestURI(), cookies: u.newcomer.Cookies(house.URL),
		form: fields("csrf_token", csrf(t, page.Body), "username", "alice", "password", servertest.Password)}
	page = u.deciding.SignIn(u.deciding.Go(asking.AuthorizeURL()), "alice", servertest.Password)
	u.consent = request{address: page.URL.RequestURI(), cookies: u.deciding.Cookies(house.URL), form: fields("csrf_token", csrf(t, page.Body), "action", "allow")}
	u.fillIn(t, org)
	return u
}

// fillIn has people fill in the forms by which they get an account, or back into it, and those of an account.
func (u *underWay) fillIn(t *testing.T, org context.Context) {
	t.Helper()
	house, browser := u.house, u.client.Visitor()
	u.people = map[string]request{}
	fill := func(name, path string, browser *servertest.Visitor, all ...string) {
		t.Helper()
		page := browser.Go(house.URL + path)
		if page.Status != 200 {
			t.Fatalf("%s: %d", path, page.Status)
		}
		// The first form on a page of an account is that which signs out.
		all = append(all, "csrf_token", csrf(t, page.Body[strings.Index(page.Body, "<main"):]))
		u.people[name] = request{address: path, cookies: browser.Cookies(house.URL), form: fields(all...)}
	}
	fill("the form of an account", "/signup", browser, "email", "new@example.com", "password", newPassword)
	fill("the form of who has forgotten", "/forgot", browser, "login", "alice")
	if err := house.People.Forgot(org, visitorOf("203.0.113.6"), "bob", ""); err != nil {
		t.Fatal(err)
	}
	fill("the form of a new password", "/reset?token="+tokenOf(t, house, "bob@example.com", mail.PasswordReset), browser, "password", newPassword)
	if _, _, err := house.Operators.Invite(org, manage.NewInvitation{Email: "guest@example.com"}); err != nil {
		t.Fatal(err)
	}
	fill("the form of an invitation", "/invitation?token="+tokenOf(t, house, "guest@example.com", mail.Invitation), browser, "password", newPassword)
	fill("the form of a profile", "/account/profile", u.member, "name", "Alice Doe", "username", "alice")
	fill("the form of an address", "/account/email", u.member, "email", "next@example.com")
}

// code is a code that nobody has redeemed yet.
func (u *underWay) code(t *testing.T) string {
	t.Helper()
	return u.member.Code(u.client.AuthorizeURL("scope", "openid offline_access"), "alice")
}

// everywhere are requests to every address that asks the database, each of which would be answered otherwise if it were there.
func (u *underWay) everywhere(t *testing.T, code string) map[string]request {
	t.Helper()
	asked, err := url.Parse(u.client.AuthorizeURL())
	if err != nil {
		t.Fatal(err)
	}
	basic := []string{"Authorization", u.client.Basic()}
	member := u.member.Cookies(u.house.URL)
	now := time.Now().Unix()
	assertion := handmade(`{"alg":"ES256","kid":"k"}`, fmt.Sprintf(`{"iss":%q,"sub":%q,"aud":%q,"jti":%q,"iat":%d,"exp":%d}`,
		u.signed.ID, u.signed.ID, u.signed.Issuer, rand.Text(), now, now+60), raw(t, u.key))
	all := map[string]request{
		"token, for a code": {address: "/oauth2/token", header: basic, form: fields("grant_type", "authorization_code", "code", code,
			"redirect_uri", u.client.Redirect, "code_verifier", servertest.Verifier)},
		"token, for a code, with a wrong verifier": {address: "/oauth2/token", header: basic, form: fields("grant_type", "authorization_code", "code", code,
			"redirect_uri", u.client.Redirect, "code_verifier", strings.Repeat("x", 43))},
		"token, for a refresh token": {address: "/oauth2/token", header: basic, form: fields("grant_type", "refresh_token", "refresh_token", u.refresh)},
		"token, for a machine":       {address: "/oauth2/token", header: []string{"Authorization", u.machine.Basic()}, form: fields("grant_type", "client_credentials")},
		"token, by an assertion": {address: "/oauth2/token", form: fields("grant_type", "client_credentials", "client_assertion", assertion,
			"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")},
		"token, by a client that is not known": {address: "/oauth2/token", form: fields("grant_type", "client_credentials", "client_id", "nobody", "client_secret", "x")},
		"introspect":                           {address: "/oauth2/introspect", header: basic, form: fields("token", u.access)},
		"introspect a JWT":                     {address: "/oauth2/introspect", header: []string{"Authorization", u.machine.Basic()}, form: fields("token", u.jwt)},
		"introspect a refresh token":           {address: "/oauth2/introspect", header: basic, form: fields("token", u.refresh)},
		"userinfo":                             {address: "/oauth2/userinfo", header: []string{"Authorization", "Bearer " + u.access}},
		"revoke":                               {address: "/oauth2/revoke", header: basic, form: fields("token", u.revocable)},
		"par":                                  {address: "/oauth2/par", header: basic, form: asked.Query()},
		"authorize":                            {address: u.client.AuthorizeURL()},
		"authorize, signed in":                 {address: u.client.AuthorizeURL(), cookies: member},
		"authorize, silently":                  {address: u.client.AuthorizeURL("prompt", "none"), cookies: member},
		"authorize, posted":                    {address: "/oauth2/authorize", form: asked.Query(), cookies: member},
		"the login page":                       {address: u.login.address, cookies: u.login.cookies},
		"the login form":                       u.login,
		"the consent page":                     {address: u.consent.address, cookies: u.consent.cookies},
		"the consent form":                     u.consent,
		"logout":                               {address: "/oauth2/logout", cookies: member},
		"setup":                                {address: "/setup?token=" + secret.New(secret.Setup)},
		"a preflight":                          {method: "OPTIONS", address: "/oauth2/token", header: []string{"Origin", "https://rp.example"}},
		"the pages of an account":              {address: "/account", cookies: member},
		"a link from a letter":                 {address: u.people["the form of a new password"].address},
		"an invitation":                        {address: u.people["the form of an invitation"].address},
		"the management API":                   {address: "/api/v1/organizations/default/users", header: []string{"Authorization", "Bearer " + u.api}},
		"a link that nobody has":               {address: "/verify?token=" + secret.New(secret.Verification)},
	}
	maps.Copy(all, u.people)
	return all
}

// patience is within what anybody is answered, whatever has happened to PostgreSQL; busy is what a machine that runs other
// tests beside this one, under the race detector, may add to it.
const (
	patience = 3*time.Second + busy
	busy     = 2 * time.Second
)

// wantOutage sends every request at once, and checks that each is told in time to come back later, and nothing worse.
func wantOutage(t *testing.T, house *servertest.House, requests map[string]request, patience time.Duration) {
	t.Helper()
	var wait sync.WaitGroup
	for name, r := range requests {
		wait.Go(func() {
			began := time.Now()
			answer, err := attempt(t.Context(), house, r)
			took := time.Since(began)
			if err != nil {
				t.Errorf("%s: %v after %v", name, err, took)
				return
			}
			if took > patience {
				t.Errorf("%s: answered after %v", name, took)
			}
			if answer.Status != 503 || answer.Header.Get("Retry-After") == "" || answer.Header.Get("Location") != "" {
				t.Errorf("%s: %d, Retry-After %q: %s", name, answer.Status, answer.Header.Get("Retry-After"), short(answer.Body))
			}
			for _, never := range []string{"invalid_grant", "invalid_client", "invalid_token", "active", "SQL", "postgres", "sqlite", "127.0.0.1"} {
				if strings.Contains(answer.Body, never) {
					t.Errorf("%s: says %s: %s", name, never, short(answer.Body))
				}
			}
			for _, line := range answer.Header["Set-Cookie"] {
				if strings.Contains(line, "session") {
					t.Errorf("%s: sets %s", name, line)
				}
			}
		})
	}
	wait.Wait()
}

// wantNormal checks that everything that was under way goes on with what it had.
func (u *underWay) wantNormal(t *testing.T, code string) {
	t.Helper()
	if !within(t.Context(), 5*time.Second, func() bool {
		answer, err := attempt(t.Context(), u.house, request{address: "/readyz"})
		return err == nil && answer.Status == 200
	}) {
		t.Error("it is not ready again")
	}
	var answer *servertest.Answer
	if !within(t.Context(), 2*time.Second+busy, func() bool { answer = u.client.Redeem(code); return answer.Status != 503 }) || answer.Status != 200 {
		t.Errorf("the code, afterwards: %d %s", answer.Status, answer.Body)
	}
	answer = u.client.Refresh(u.refresh)
	if answer.Status != 200 {
		t.Errorf("the refresh token, afterwards: %d %s", answer.Status, answer.Body)
	}
	u.refresh = answer.Text("refresh_token")
	if !u.client.Active(u.access) || !u.machine.Active(u.jwt) || !u.client.Active(u.refresh) {
		t.Error("a token is not active any more")
	}
	answer = send(t, u.house, request{address: u.client.AuthorizeURL("prompt", "none"), cookies: u.member.Cookies(u.house.URL)})
	if carried := sentOn(t, "the session", answer, u.client.Redirect); carried.Get("code") == "" {
		t.Errorf("the session, afterwards: %v", carried)
	}
	for name, form := range map[string]request{"the login": u.login, "the consent": u.consent} {
		answer := send(t, u.house, form)
		if to := answer.Header.Get("Location"); answer.Status != 303 || !strings.HasPrefix(to, "/oauth2/authorize?interaction=") {
			t.Errorf("%s, afterwards: %d %s %s", name, answer.Status, to, short(answer.Body))
		}
	}
	for name, form := range u.people {
		if answer := send(t, u.house, form); answer.Status != 303 && answer.Status != 200 {
			t.Errorf("%s, afterwards: %d %s", name, answer.Status, short(answer.Body))
		}
	}
	for address, kind := range map[string]mail.Kind{
		"new@example.com": mail.VerifyEmail, "alice@example.com": mail.PasswordReset, "next@example.com": mail.ConfirmEmail, "bob@example.com": mail.PasswordChange,
	} {
		letter(t, u.house, address, kind)
	}
	if revoked := u.client.Post("/oauth2/revoke", "token", u.revocable); revoked.Status != 200 || u.client.Active(u.revocable) {
		t.Errorf("the revocation, afterwards: %d", revoked.Status)
	}
}

func wantAliveButNotReady(t *testing.T, house *servertest.House) {
	t.Helper()
	if answer := send(t, house, request{address: "/livez"}); answer.Status != 200 {
		t.Errorf("liveness: %d", answer.Status)
	}
	if !within(t.Context(), 5*time.Second, func() bool { return send(t, house, request{address: "/readyz"}).Status == 503 }) {
		t.Error("it says that it is ready")
	}
}

// S-294, F-02, F-03: PostgreSQL is stopped as by a crash, and comes back; it hangs with all its connections open, and goes on.
// Either way everybody is told within three seconds to come back later, nobody that their token is no good, and nothing has to
// be done afterwards by anybody.
func TestAnOutageOfPostgreSQLIsToldAsOneAndEndsByItself(t *testing.T) {
	for name, away := range map[string]struct {
		begin, end func(*storagetest.Server, *testing.T)
	}{
		"stopped": {func(s *storagetest.Server, t *testing.T) { s.Stop(t) }, func(s *storagetest.Server, t *testing.T) { s.Start(t) }},
		"hanging": {func(s *storagetest.Server, t *testing.T) { s.Pause(t) }, func(s *storagetest.Server, t *testing.T) { s.Resume(t) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			postgres := storagetest.NewServer(t)
			house := servertest.Start(t, servertest.Options{DatabaseURL: postgres.URL("postgres")})
			u := inTheMiddle(t, house)
			code := u.code(t)

			away.begin(postgres, t)
			back := sync.OnceFunc(func() { away.end(postgres, t) })
			defer back() // before the house closes its connections, whatever happens here
			// At first clients, keys and organizations are still in memory; after a second they are not.
			wantOutage(t, house, u.everywhere(t, code), patience)
			wantAliveButNotReady(t, house)
			wantOutage(t, house, u.everywhere(t, code), patience)
			for _, address := range []string{"/.well-known/openid-configuration", "/.well-known/jwks.json"} {
				began := time.Now()
				answer := send(t, house, request{address: address})
				if took := time.Since(began); took > patience || answer.Status != 200 && answer.Status != 503 {
					t.Errorf("%s: %d after %v", address, answer.Status, took)
				}
			}
			back()
			u.wantNormal(t, code)
		})
	}
}

// F-07: another process holds SQLite's write lock. For three seconds nobody notices but by waiting; for longer, who writes is
// told to come back, in time, and who reads is answered as ever.
func TestSQLiteThatAnotherProcessHasLockedIsWaitedForAndThenAnOutage(t *testing.T) {
	t.Run("three seconds", func(t *testing.T) {
		t.Parallel()
		house := servertest.Start(t, servertest.Options{})
		u := inTheMiddle(t, house)
		code := u.code(t)
		release := lockSQLite(t, house)
		time.AfterFunc(3*time.Second, release)
		began := time.Now()
		var wait sync.WaitGroup
		for range 5 {
			wait.Go(func() {
				answer, err := attempt(t.Context(), house, request{address: "/oauth2/token", form: fields("grant_type", "client_credentials"),
					header: []string{"Authorization", u.machine.Basic()}})
				if err != nil || answer.Status != 200 {
					t.Errorf("who waits: %v %v", answer, err)
				}
			})
		}
		wait.Wait()
		if took := time.Since(began); took < 2500*time.Millisecond || took > 4500*time.Millisecond+busy {
			t.Errorf("they waited %v", took)
		}
		u.wantNormal(t, code)
	})
	t.Run("ten seconds", func(t *testing.T) {
		t.Parallel()
		house := servertest.Start(t, servertest.Options{})
		u := inTheMiddle(t, house)
		code := u.code(t)
		release := lockSQLite(t, house)
		defer release()
		unlocked := time.AfterFunc(10*time.Second, release)
		writing, reading := u.everywhere(t, code), map[string]int{
			"introspect": 200, "introspect a JWT": 200, "introspect a refresh token": 200, "userinfo": 200, "the login page": 200, "the consent page": 200,
			"a preflight": 204, "setup": 404, "logout": 200, "the pages of an account": 200,
		}
		for name, status := range reading {
			began := time.Now()
			if answer := send(t, house, writing[name]); answer.Status != status {
				t.Errorf("%s: %d, not %d: %s", name, answer.Status, status, short(answer.Body))
			}
			if took := time.Since(began); took > time.Second+busy {
				t.Errorf("%s: answered after %v", name, took)
			}
			delete(writing, name)
		}
		if answer := send(t, house, request{address: "/livez"}); answer.Status != 200 {
			t.Errorf("liveness: %d", answer.Status)
		}
		delete(writing, "token, by a client that is not known") // it is counted by this process when the database does not answer
		delete(writing, "authorize, posted")                    // it is sent on before anything is written
		wantOutage(t, house, writing, 5500*time.Millisecond+busy)
		if !unlocked.Stop() {
			t.Error("it took ten seconds")
		}
		release()
		u.wantNormal(t, code)
	})
}

// lockSQLite has another process take the write lock of a house's database, and returns what makes it let go.
func lockSQLite(t *testing.T, house *servertest.House) (release func()) {
	t.Helper()
	holder := again(t, "-hold", strings.TrimPrefix(house.Cfg.Database.URL.Reveal(), "sqlite:"))
	in, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
		if err := holder.Wait(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(release)
	said := make([]byte, len(locked))
	if _, err := io.ReadFull(out, said); err != nil || string(said) != locked {
		t.Fatalf("the other process says %q, %v", said, err)
	}
	return release
}
