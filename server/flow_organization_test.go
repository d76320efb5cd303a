package server_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/internal/visitor"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
)

// atTheLatest is when what an operator has done at one replica holds at every one.
const atTheLatest = time.Second

// holdsAfterASecond asks again and again until an answer is as it is to be, and complains of one that is not although it was asked for
// a second after the deed was done.
func holdsAfterASecond(t *testing.T, what string, done time.Time, holds func() bool) {
	t.Helper()
	if !within(t.Context(), 10*time.Second, func() bool {
		began := time.Now()
		ok := holds()
		if !ok && began.Sub(done) > atTheLatest {
			t.Errorf("%s: not so %v after it was done", what, began.Sub(done))
			return true
		}
		return ok
	}) {
		t.Errorf("%s: never", what)
	}
}

// S-270: whatever a deleted organization has given out is dead within a second, at both replicas. Its slug may be used again, and what is
// there then is another organization.
func TestADeletedOrganizationIsDeadWithinASecond(t *testing.T) {
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		replicas := twoReplicas(t, databaseURL, 0)
		house := replicas[0]
		root := alike(t, house, "default", nil, clientJWKS(t))
		acme := alike(t, house, "acme", root, nil)
		visitors := signedIn(acme.trusted, "alice")
		tokens := acme.trusted.Redeem(visitors.Code(acme.trusted.AuthorizeURL("scope", "openid offline_access"), "alice"))
		code := visitors.Code(acme.trusted.AuthorizeURL(), "alice")
		_, invited, err := house.Operators.Invite(acme.ctx, manage.NewInvitation{Email: "guest@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		if err := house.People.Forgot(acme.ctx, visitor.Visitor{Address: "192.0.2.1", RequestID: "r"}, "alice", ""); err != nil {
			t.Fatal(err)
		}
		letters := house.Letters("alice@example.com")
		reset := letters[len(letters)-1].Link
		old, err := tenant.From(acme.ctx)
		if err != nil {
			t.Fatal(err)
		}
		alive := func(replica *servertest.House) bool {
			return send(t, replica, request{address: acme.path + "/.well-known/jwks.json"}).Status == 200
		}
		for _, replica := range replicas {
			if !alive(replica) { // and it is remembered for a moment
				t.Fatal("it does not answer")
			}
		}

		if err := house.Operators.DeleteOrganization(t.Context(), "default"); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("the root organization: %v", err)
		}
		if err := house.Operators.DeleteOrganization(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		done := time.Now()
		basic := []string{"Authorization", acme.trusted.Basic()}
		bearer := []string{"Authorization", "Bearer " + tokens.Text("access_token")}
		dead := func(replica *servertest.House, when string) {
			t.Helper()
			form := fields("grant_type", "refresh_token", "refresh_token", tokens.Text("refresh_token"), "token", tokens.Text("access_token"))
			redeem := fields("grant_type", "authorization_code", "code", code, "redirect_uri", acme.trusted.Redirect, "code_verifier", servertest.Verifier)
			own := fields("grant_type", "client_credentials", "token", tokens.Text("access_token"))
			for name, r := range map[string]request{
				"session": {address: strings.TrimPrefix(acme.trusted.AuthorizeURL("prompt", "none"), house.URL), cookies: visitors.Cookies(house.URL)},
				"account": {address: acme.path + "/account", cookies: visitors.Cookies(house.URL)},
				"code":    {address: acme.path + "/oauth2/token", form: redeem, header: basic}, "refresh token": {address: acme.path + "/oauth2/token", form: form, header: basic},
				"access token": {address: acme.path + "/oauth2/userinfo", header: bearer}, "client": {address: acme.path + "/oauth2/token", form: own, header: basic},
				"introspection": {address: acme.path + "/oauth2/introspect", form: form, header: basic},
				"reset link":    {address: strings.TrimPrefix(reset, house.Base)}, "invitation": {address: strings.TrimPrefix(invited, house.Base)},
				"api": {address: "/api/v1/me", header: bearer},
			} {
				answer := send(t, replica, r)
				if answer.Status < 400 && !(when == "anew" && answer.Status == 303 && strings.Contains(answer.Header.Get("Location"), "/login")) &&
					!(when == "anew" && strings.Contains(answer.Header.Get("Location"), "error=login_required")) || strings.Contains(answer.Body, "token\":") ||
					strings.Contains(answer.Header.Get("Location"), "code=") {
					t.Errorf("%s, %s: %d %v %s", when, name, answer.Status, answer.Header.Get("Location"), short(answer.Body))
				}
			}
		}
		for _, replica := range replicas {
			holdsAfterASecond(t, "deleted", done, func() bool { return !alive(replica) })
			dead(replica, "deleted")
			if answer := root.trusted.TokenAt(replica, "grant_type", "refresh_token", "refresh_token", "x"); answer.Text("error") != "invalid_grant" {
				t.Errorf("the others: %d %s", answer.Status, answer.Body)
			}
		}

		// Another organization of its slug, with clients alike, has nothing of it.
		again := alike(t, house, "acme", root, nil)
		anew, err := tenant.From(again.ctx)
		if err != nil || anew.ID == old.ID {
			t.Fatalf("it is the same again: %+v, %v", anew, err)
		}
		for _, replica := range replicas {
			if !within(t.Context(), 5*time.Second, func() bool { return alive(replica) }) {
				t.Fatal("the new one does not answer")
			}
		}
		form := fields("grant_type", "refresh_token", "refresh_token", tokens.Text("refresh_token"), "token", tokens.Text("access_token"))
		wantError(t, "a refresh token of before", send(t, house, request{address: acme.path + "/oauth2/token", form: form, header: basic}), 400, "invalid_grant")
		wantInactive(t, "an access token of before", send(t, house, request{address: acme.path + "/oauth2/introspect", form: form, header: basic}))
		wantError(t, "a code of before", again.trusted.Redeem(code), 400, "invalid_grant")
		answer := send(t, house, request{address: again.trusted.AuthorizeURL("prompt", "none"), cookies: visitors.Cookies(house.URL)})
		if carried := sentOn(t, "a session of before", answer, again.trusted.Redirect); carried.Get("error") != "login_required" {
			t.Errorf("a session of before: %v", carried)
		}
		for name, link := range map[string]string{"reset": reset, "invitation": invited} {
			wantPage(t, name, send(t, house, request{address: strings.TrimPrefix(link, house.Base)}), http.StatusNotFound)
		}

		// What it had is taken out of the tables, which both replicas do, and what the new one has is not.
		if _, err := replicas[1].Operators.EraseDeleted(t.Context()); err != nil {
			t.Fatal(err)
		}
		var left, users int
		for statement, n := range map[string]*int{
			`SELECT count(*) FROM users WHERE org_id = $1`: &left, `SELECT count(*) FROM oauth_clients WHERE org_id = $1`: &left,
		} {
			if err := house.SQL().QueryRowContext(t.Context(), statement, old.ID.String()).Scan(n); err != nil || *n > 0 {
				t.Errorf("%s: %d, %v", statement, *n, err)
			}
		}
		if err := house.SQL().QueryRowContext(t.Context(), `SELECT count(*) FROM users WHERE org_id = $1`, anew.ID.String()).Scan(&users); err != nil || users != 1 {
			t.Errorf("the new organization has %d people, %v", users, err)
		}
	})
}

// How long what is issued lives is each organization's own to decide, from the next token on.
func TestTokensLiveAsLongAsTheirOrganizationDecides(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := servertest.Start(t, servertest.Options{DatabaseURL: databaseURL})
		acme, root := house.Organization("acme"), house.In("default")
		house.User(acme, "alice")
		svc := manage.ClientSpec{GrantTypes: []string{"client_credentials"}, Scope: "read"}
		own, others := house.Client(acme, svc), house.Client(root, svc)
		svc.AccessTokenFormat = "jwt"
		signed := house.Client(acme, svc)
		app := house.Client(acme, manage.ClientSpec{SkipConsent: true})
		visitor := signedIn(app, "alice")
		tokens := func() *servertest.Answer {
			t.Helper()
			return app.Redeem(visitor.Code(app.AuthorizeURL("scope", "openid offline_access"), "alice"))
		}
		before := tokens()
		decide(t, []*servertest.House{house}, "acme", "tokens.access_lifetime", "2m", "tokens.access_jwt_lifetime", "3m", "tokens.id_lifetime", "4m",
			"tokens.refresh_idle", "1h", "tokens.refresh_absolute", "1h30m", "tokens.code_lifetime", "5s", "tokens.refresh_replay_window", "0s")
		if answer := own.Token("grant_type", "client_credentials"); answer.JSON()["expires_in"] != 120.0 {
			t.Errorf("an access token: %s", answer.Body)
		}
		if answer := others.Token("grant_type", "client_credentials"); answer.JSON()["expires_in"] != 600.0 {
			t.Errorf("one of another organization: %s", answer.Body)
		}
		life := func(token string) float64 {
			claims := servertest.Claims(t, token)
			until, _ := claims["exp"].(float64)
			since, _ := claims["iat"].(float64)
			return until - since
		}
		if answer := signed.Token("grant_type", "client_credentials"); life(answer.Text("access_token")) != 180 || answer.JSON()["expires_in"] != 180.0 {
			t.Errorf("a JWT: %s", answer.Body)
		}
		after := tokens()
		if got := life(after.Text("id_token")); got != 240 {
			t.Errorf("an ID token lives %v s", got)
		}
		if got := life(app.Refresh(after.Text("refresh_token")).Text("id_token")); got != 240 {
			t.Errorf("a refreshed ID token lives %v s", got)
		}
		ends := func(statement string, args ...any) time.Duration {
			t.Helper()
			var until, since time.Time
			if err := house.SQL().QueryRowContext(t.Context(), statement, args...).Scan(&until, &since); err != nil {
				t.Fatal(err)
			}
			return until.Sub(since).Round(time.Second)
		}
		if got := ends(`SELECT expires_at, created_at FROM oauth_refresh_tokens WHERE digest = $1`, secret.Digest(after.Text("refresh_token"))); got != time.Hour {
			t.Errorf("a refresh token lives %v", got)
		}
		if got := ends(`SELECT g.expires_at, g.created_at FROM oauth_grants g JOIN oauth_refresh_tokens r ON r.grant_id = g.id WHERE r.digest = $1`,
			secret.Digest(after.Text("refresh_token"))); got != 90*time.Minute {
			t.Errorf("a grant lives %v", got)
		}
		code := visitor.Code(app.AuthorizeURL(), "alice")
		if got := ends(`SELECT expires_at, created_at FROM oauth_codes WHERE digest = $1`, secret.Digest(code)); got != 5*time.Second {
			t.Errorf("a code lives %v", got)
		}
		// Without a window for replays, the second use ends the family.
		wantError(t, "a refresh token used twice", app.Refresh(after.Text("refresh_token")), 400, "invalid_grant")

		// A grant of before ends when it would end that was made today, at its next refresh.
		if answer := app.Refresh(before.Text("refresh_token")); answer.Status != 200 {
			t.Fatalf("%d %s", answer.Status, answer.Body)
		} else {
			before = answer
		}
		change(t, house, `UPDATE oauth_grants SET created_at = '`+time.Now().UTC().Add(-2*time.Hour).Format(time.DateTime)+`'`)
		wantError(t, "a grant that is older than any may be", app.Refresh(before.Text("refresh_token")), 400, "invalid_grant")

		limited := house.Operators
		for path, text := range map[string]string{"tokens.access_lifetime": "25h", "mail.from": "a@nobody.example"} {
			if err := decideOnce(t.Context(), limited, "acme", path, text); len(manage.Complaints(err)) != 1 {
				t.Errorf("%s=%s: %v", path, text, err)
			}
		}
	})
}

func decideOnce(ctx context.Context, operators *manage.Operators, slug, path, text string) error {
	patch := manage.OrganizationPatch{Settings: map[string]any{}}
	if err := patch.Settings.Set(path, text); err != nil {
		return err
	}
	_, err := operators.UpdateOrganization(ctx, slug, patch)
	return err
}

// What an organization does not offer is neither shown nor taken; and where the name comes first, the next page is the same for everybody.
func TestSignInIsInTheWaysThatTheOrganizationOffers(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	acme := house.Organization("acme")
	house.User(acme, "alice")
	app := house.Client(acme, manage.ClientSpec{SkipConsent: true})
	replicas := []*servertest.House{house}

	page := app.Visitor().Go(app.AuthorizeURL())
	if !strings.Contains(page.Body, `id="password"`) || !strings.Contains(page.Body, `id="login-passkey"`) || strings.Contains(page.Body, `id="login-not-me"`) {
		t.Errorf("as it is unless it is decided otherwise: %s", short(page.Body))
	}

	decide(t, replicas, "acme", "login.identifier_first", "true")
	bodies := make(map[string]string)
	for _, name := range []string{"alice", "nobody"} {
		visitor := app.Visitor()
		page := visitor.Go(app.AuthorizeURL())
		if strings.Contains(page.Body, `id="password"`) || !strings.Contains(page.Body, `id="username"`) || !strings.Contains(page.Body, `id="login-passkey"`) {
			t.Fatalf("the first page: %s", short(page.Body))
		}
		if err := page.Fill("username", name); err != nil {
			t.Fatal(err)
		}
		next := visitor.Press(page, "login-submit")
		if next.Title != "Sign in" || !strings.Contains(next.Body, `id="password"`) || !strings.Contains(next.Body, `value="`+name+`"`) || strings.Contains(next.URL.String(), name) {
			t.Fatalf("the second page of %s at %s: %s", name, next.URL, short(next.Body))
		}
		bodies[name] = strings.ReplaceAll(short(next.Body), name, "NAME")
		if err := next.Fill("password", servertest.Password); err != nil {
			t.Fatal(err)
		}
		end := visitor.Press(next, "login-submit")
		if arrived, _ := end.Arrived(); (arrived.Get("code") != "") != (name == "alice") {
			t.Errorf("%s: %d %q", name, end.Status, end.Title)
		}
	}
	if bodies["alice"] != bodies["nobody"] {
		t.Errorf("the second page tells who exists:\n%s\n%s", bodies["alice"], bodies["nobody"])
	}
	if page := app.Visitor().Go(app.AuthorizeURL("login_hint", "alice")); !strings.Contains(page.Body, `id="password"`) {
		t.Errorf("who is named by the application is asked again: %s", short(page.Body))
	}
	visitor := servertest.VisitorOf(t)
	if empty := visitor.Press(visitor.Go(house.URL+"/o/acme/login?who=AAAA"), "login-submit"); empty.Status != 400 || !strings.Contains(empty.Body, `id="username-error"`) {
		t.Errorf("no name: %d %s", empty.Status, short(empty.Body))
	}

	decide(t, replicas, "acme", "login.methods", "passkey", "sign_up.mode", "open")
	visitor = app.Visitor()
	page = visitor.Go(app.AuthorizeURL())
	if strings.Contains(page.Body, `id="password"`) || strings.Contains(page.Body, `id="login-forgot"`) || strings.Contains(page.Body, `id="login-sign-up"`) ||
		!strings.Contains(page.Body, `id="login-passkey"`) || !strings.Contains(page.Body, `id="login-cancel"`) {
		t.Errorf("with passkeys only: %s", short(page.Body))
	}
	tried := func(form ...string) *servertest.Answer {
		t.Helper()
		return send(t, house, request{
			address: strings.TrimPrefix(page.URL.String(), house.URL), form: fields(append(form, "csrf_token", csrf(t, page.Body))...), cookies: visitor.Cookies(house.URL),
		})
	}
	wantPage(t, "a password", tried("username", "alice", "password", servertest.Password), 403)
	wantPage(t, "a name", tried("action", "who", "username", "alice"), 403)
	for _, path := range []string{"/forgot", "/reset?token=x", "/signup"} {
		wantPage(t, path, send(t, house, request{address: "/o/acme" + path}), 403)
	}

	decide(t, replicas, "acme", "login.methods", "password", "login.identifier_first", "false")
	page = visitor.Go(app.AuthorizeURL())
	if !strings.Contains(page.Body, `id="password"`) || strings.Contains(page.Body, `id="login-passkey"`) {
		t.Errorf("with passwords only: %s", short(page.Body))
	}
	wantPage(t, "a passkey", tried("action", "passkey", "passkey", "{}", "challenge", "x"), 403)
	if arrived, _ := visitor.SignIn(page, "alice", servertest.Password).Arrived(); arrived.Get("code") == "" {
		t.Error("the password is not taken")
	}
}
