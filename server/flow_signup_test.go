package server_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/config"
	"github.com/keizer-auth/keizer/internal/formbrowser"
	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/visitor"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
)

const newPassword = "seven purple lanterns drift"

// guest is somebody at a browser of their own, at an address of their own.
type guest struct {
	*formbrowser.Browser
	t testing.TB
}

// headers adds headers to every request.
type headers map[string]string

func (h headers) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for name, value := range h {
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Set(name, value)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// from returns a guest at an address, with further headers as pairs.
func from(t testing.TB, address string, pairs ...string) *guest {
	t.Helper()
	added := headers{"X-Forwarded-For": address}
	for i := 0; i+1 < len(pairs); i += 2 {
		added[pairs[i]] = pairs[i+1]
	}
	return &guest{formbrowser.New(formbrowser.Options{HTTP: &http.Client{Transport: added}, StopAt: servertest.Callback, SendIncomplete: true}), t}
}

func (g *guest) open(address, title string) *formbrowser.Page {
	g.t.Helper()
	page, err := g.Open(g.t.Context(), address)
	if err != nil {
		g.t.Fatal(err)
	}
	if page.Title != title {
		g.t.Fatalf("%s shows %d %q, want %q\n%s", address, page.Status, page.Title, title, page.Body)
	}
	return page
}

// send fills in the page that is shown, with pairs of id and text, and presses a button.
func (g *guest) send(page *formbrowser.Page, button string, pairs ...string) *formbrowser.Page {
	g.t.Helper()
	for i := 0; i+1 < len(pairs); i += 2 {
		if err := page.Fill(pairs[i], pairs[i+1]); err != nil {
			g.t.Fatalf("%v\n%s", err, page.Body)
		}
	}
	next, err := page.Click(g.t.Context(), button)
	if err != nil {
		g.t.Fatalf("%v\n%s", err, page.Body)
	}
	return next
}

func (g *guest) sees(page *formbrowser.Page, title string) *formbrowser.Page {
	g.t.Helper()
	if page.Title != title {
		g.t.Fatalf("%s shows %d %q, want %q\n%s", page.URL, page.Status, page.Title, title, page.Body)
	}
	return page
}

// behindProxy is a house that believes what the test says of where a request comes from.
func behindProxy(t *testing.T, o servertest.Options) *servertest.House {
	t.Helper()
	before := o.Configure
	o.Configure = func(cfg *config.Config) {
		cfg.TrustedProxies = []string{"127.0.0.1", "::1"}
		if before != nil {
			before(cfg)
		}
	}
	return servertest.Start(t, o)
}

// decided changes settings of an organization, and returns a context for it.
func decided(t *testing.T, house *servertest.House, slug string, values ...string) context.Context {
	t.Helper()
	decide(t, []*servertest.House{house}, slug, values...)
	return house.In(slug)
}

// newest is the newest letter to an address; it must be of a kind.
func newest(t testing.TB, house *servertest.House, address string, kind mail.Kind) mail.Message {
	t.Helper()
	letters := house.Letters(address)
	if len(letters) == 0 {
		t.Fatalf("there is no letter to %s", address)
	}
	letter := letters[len(letters)-1]
	if letter.Kind != kind {
		t.Fatalf("the newest letter to %s is %s, want %s", address, letter.Kind, kind)
	}
	return letter
}

// past changes what stands in the database, past storage.
func past(t testing.TB, house *servertest.House, statement string, args ...any) {
	t.Helper()
	conn, err := house.SQL().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if house.DB.Dialect() == "sqlite" {
		if _, err := conn.ExecContext(t.Context(), `PRAGMA query_only = false`); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

func auditRows(t testing.TB, house *servertest.House, ctx context.Context, action string) (found []storage.AuditEvent) {
	t.Helper()
	events, err := house.DB.ListAudit(ctx, storage.AuditFilter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range events {
		if event.Action == action {
			found = append(found, event)
		}
	}
	return found
}

func TestSomebodySignsUpOnTheWayToAnApplication(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := behindProxy(t, servertest.Options{DatabaseURL: databaseURL})
		org := house.In("default")
		client := house.Client(org, manage.ClientSpec{SkipConsent: true, Scope: "openid profile email"})
		for _, by := range []string{"link", "code"} {
			address := by + ".Newcomer@example.com"
			g := from(t, "198.51.100.7")
			page := g.open(client.AuthorizeURL("scope", "openid email"), "Sign in")
			link, _ := page.Attr("login-sign-up", "href")
			page = g.open(house.Base+link, "Create an account")
			page = g.sees(g.send(page, "signup-submit", "email", " "+address, "name", "New Comer", "password", newPassword), "Check your mail")
			if page.Text("verify-email") != address {
				t.Errorf("the letter goes to %q", page.Text("verify-email"))
			}
			if _, err := house.DB.UserByLogin(org, address); err == nil {
				t.Error("there is an account before the address is proven")
			}
			letter := newest(t, house, address, mail.VerifyEmail)
			if by == "link" {
				for range 5 { // whatever reads mail opens links by itself
					from(t, "203.0.113.9").open(letter.Link, "Complete your account")
				}
				page = g.open(letter.Link, "Complete your account")
				if page.Has("password") {
					t.Error("the password is asked for again, in the same browser")
				}
				page = g.send(page, "verify-submit")
			} else {
				page = g.send(page, "verify-submit", "code", letter.Code[:4]+" "+letter.Code[4:])
			}
			arrived, ok := page.Arrived()
			if !ok || arrived.Get("code") == "" {
				t.Fatalf("%s: it ends at %s: %v\n%s", by, page.URL, arrived, page.Body)
			}
			tokens := client.Redeem(arrived.Get("code"))
			info := house.Get(client.Issuer+"/oauth2/userinfo", "Authorization", "Bearer "+tokens.Text("access_token"))
			if info.Text("email") != address || info.JSON()["email_verified"] != true {
				t.Errorf("%s: userinfo is %s", by, info.Body)
			}
			user, err := house.DB.UserByLogin(org, strings.ToLower(address))
			if err != nil {
				t.Fatal(err)
			}
			if *user.FullName != "New Comer" || !user.IsVerified || user.Metadata["locale"] != "en" {
				t.Errorf("the account is %+v", user)
			}
			g.open(letter.Link, "This link does not work")
			g.open(house.Base+"/verify", "This link does not work")
			from(t, "198.51.100.8").send(from(t, "198.51.100.8").open(house.Base+"/login", "Sign in"), "login-submit", "username", address, "password", newPassword)
		}
		if n := len(auditRows(t, house, org, "sign_up.requested")); n != 2 {
			t.Errorf("%d sign-ups were audited", n)
		}
	})
}

// S-229: whoever signs up with somebody else's address never knows the password of the account that comes of it.
func TestAPasswordFromASignUpIsOnlyGoodInItsBrowser(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := behindProxy(t, servertest.Options{DatabaseURL: databaseURL})
		attacker, victim := from(t, "203.0.113.1"), from(t, "198.51.100.7")
		page := attacker.open(house.Base+"/signup", "Create an account")
		const planted = "planted by whoever came first"
		page = attacker.sees(attacker.send(page, "signup-submit", "email", "victim@example.com", "name", "Not The Victim", "password", planted), "Check your mail")
		letter := newest(t, house, "victim@example.com", mail.VerifyEmail)
		if strings.Contains(letter.Text+letter.HTML+letter.Subject, "Not The") {
			t.Error("the letter says what a stranger has written")
		}
		there := victim.open(letter.Link, "Complete your account")
		if !there.Has("verify-elsewhere") || !there.Has("password") {
			t.Errorf("the victim is not asked for a password\n%s", there.Body)
		}
		if failed := victim.send(there, "verify-submit", "name", "The Victim", "password", ""); failed.Status != 400 || failed.Text("password-error") == "" {
			t.Errorf("no password: %d\n%s", failed.Status, failed.Body)
		}
		there = victim.open(letter.Link, "Complete your account")
		there = victim.send(there, "verify-submit", "name", "The Victim", "password", newPassword)
		if there.URL.Path != "/account" {
			t.Fatalf("the victim is at %s\n%s", there.URL, there.Body)
		}
		// The attacker's browser has the sign-up still, and nothing comes of it.
		if page := attacker.send(page, "verify-submit", "code", letter.Code); page.Title != "This link does not work" {
			t.Errorf("the attacker sees %d %q", page.Status, page.Title)
		}
		for password, want := range map[string]bool{planted: false, newPassword: true} {
			g := from(t, "198.51.100.9")
			page := g.send(g.open(house.Base+"/login", "Sign in"), "login-submit", "username", "victim@example.com", "password", password)
			if in := page.URL.Path == "/account"; in != want {
				t.Errorf("with %q one is at %s", password, page.URL)
			}
		}
	})
}

func TestAnOrganizationDecidesWhoSignsUp(t *testing.T) {
	t.Parallel()
	house := behindProxy(t, servertest.Options{})
	acme := house.Organization("acme")
	g := from(t, "198.51.100.7")
	refused := func(path string) {
		t.Helper()
		page := g.open(house.Issuer(acme)+path, "Request error")
		if page.Status != 403 || !strings.Contains(page.Text("error-message"), "cannot create an account") {
			t.Errorf("%s answers %d %s", path, page.Status, page.Text("error-message"))
		}
	}
	refused("/signup") // by invitation
	if page := g.open(house.Issuer(acme)+"/login", "Sign in"); page.Has("login-sign-up") || !page.Has("login-forgot") {
		t.Error("the login page offers what there is not")
	}
	made, link, err := house.Operators.Invite(acme, manage.NewInvitation{Email: "guest@example.com"})
	if err != nil || made.ID.String() == "" {
		t.Fatal(err)
	}
	acme = decided(t, house, "acme", "sign_up.mode", "open", "sign_up.domains", "acme.example,b.example", "sign_up.fields.username", "required")
	open := g.open(house.Issuer(acme)+"/signup", "Create an account")
	if !open.Has("username") || !open.Has("name") {
		t.Errorf("the fields are not those that were decided\n%s", open.Body)
	}
	for email, ok := range map[string]bool{
		"a@acme.example": true, "a@ACME.example": true, "a@b.example": true, "a@sub.acme.example": false, "a@acme.example.evil.example": false, "a@evilacme.example": false,
		"a@acme.example@evil.example": false, "\"a@acme.example\"@evil.example": false, "a@acme.example,b@evil.example": false, "a@acme.example\r\nBcc: x@evil.example": false,
		"a@acme.example.": false, "a@acme。example": true, "a@acmé.example": false, "a@evil.example%40acme.example": false, "a@acme.example\x00.evil.example": false,
	} {
		page := g.send(g.open(house.Issuer(acme)+"/signup", "Create an account"), "signup-submit", "email", email, "username", "", "password", newPassword)
		if problem := page.Text("email-error"); (problem == "") != ok {
			t.Errorf("%q: %q", email, problem)
		}
		if page.Text("username-error") == "" {
			t.Error("a user name need not be given")
		}
	}
	page := g.send(g.open(house.Issuer(acme)+"/signup", "Create an account"), "signup-submit", "email", "a@acme.example", "username", "Newcomer", "password", "newcomer1")
	if page.Status != 400 || page.Text("password-error") == "" || page.Value("username") != "Newcomer" || page.Value("password") != "" {
		t.Errorf("a password that is a name: %d\n%s", page.Status, page.Body)
	}
	pending := from(t, "198.51.100.20")
	pending.sees(pending.send(pending.open(house.Issuer(acme)+"/signup", "Create an account"), "signup-submit", "email", "late@acme.example", "username", "late", "password", newPassword), "Check your mail")
	verify := newest(t, house, "late@acme.example", mail.VerifyEmail)
	if !strings.HasPrefix(verify.Link, house.Issuer(acme)+"/verify?token=") {
		t.Errorf("the link is %s", verify.Link)
	}

	acme = decided(t, house, "acme", "sign_up.mode", "closed")
	refused("/signup")
	refused("/invitation?" + strings.SplitN(link, "?", 2)[1])
	if page := pending.send(pending.open(verify.Link, "Complete your account"), "verify-submit"); page.Status != 403 {
		t.Errorf("a sign-up from before is completed: %d", page.Status)
	}
	if _, _, err := house.Operators.Invite(acme, manage.NewInvitation{Email: "other@example.com"}); len(manage.Complaints(err)) != 1 {
		t.Errorf("an invitation to where nobody makes accounts: %v", err)
	}
	if users, err := house.DB.ListUsers(acme, [16]byte{}, 0); err != nil || len(users) != 0 {
		t.Errorf("there are %d people, %v", len(users), err)
	}
}

// Whoever must have a second factor is not let in by the mail alone.
func TestAnAccountThatNeedsASecondFactorBeginsSignedOut(t *testing.T) {
	t.Parallel()
	house := behindProxy(t, servertest.Options{})
	acme := decided(t, house, orgOf(t, house, "acme"), "sign_up.mode", "open", "second_factor.require", "roles", "second_factor.roles", "owner")
	for _, c := range []struct {
		email string
		roles []string
		at    string
	}{{"plain@example.com", nil, "/o/acme/account"}, {"operator@example.com", []string{"operator"}, "/o/acme/login"}} {
		_, link, err := house.Operators.Invite(acme, manage.NewInvitation{Email: c.email, Roles: c.roles})
		if err != nil {
			t.Fatal(err)
		}
		g := from(t, "198.51.100.7")
		page := g.send(g.open(link, "You are invited"), "invitation-submit", "password", newPassword)
		if page.URL.Path != c.at {
			t.Errorf("%s is at %s\n%s", c.email, page.URL, page.Body)
		}
	}
}

func TestSomebodyIsInvited(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := behindProxy(t, servertest.Options{DatabaseURL: databaseURL})
		acme := house.Organization("acme")
		other := house.Organization("globex")
		if _, err := house.DB.EnsureRole(acme, "editor", "", false); err != nil {
			t.Fatal(err)
		}
		invite := func(email string, roles ...string) (string, error) {
			_, link, err := house.Operators.Invite(acme, manage.NewInvitation{Email: email, FullName: "Gwen Guest", Inviter: "Olivia", Roles: roles})
			return link, err
		}
		if _, err := invite("guest@example.com", "nobody"); len(manage.Complaints(err)) != 1 {
			t.Errorf("a role that is not there: %v", err)
		}
		older, err := invite("Guest@example.com", "editor")
		if err != nil {
			t.Fatal(err)
		}
		link, err := invite("guest@example.com", "editor", "operator")
		if err != nil {
			t.Fatal(err)
		}
		letter := newest(t, house, "guest@example.com", mail.Invitation)
		if letter.Link != link || !strings.Contains(letter.Text, "Olivia") {
			t.Errorf("the letter is %s", letter.Text)
		}
		g := from(t, "198.51.100.7")
		g.open(older, "This link does not work")
		g.open(strings.Replace(link, "/o/acme/", "/o/globex/", 1), "This link does not work")
		g.open(strings.Replace(link, "/invitation?", "/verify?", 1), "This link does not work")
		g.open(strings.Replace(link, "/invitation?", "/reset?", 1), "This link does not work")
		for range 5 {
			g.open(link, "You are invited")
		}
		page := g.open(link, "You are invited")
		if page.Text("invitation-email") != "guest@example.com" || page.Text("invitation-inviter") != "Olivia" || page.Value("name") != "Gwen Guest" {
			t.Errorf("it shows\n%s", page.Body)
		}
		page = g.send(page, "invitation-submit", "name", "Gwen", "password", newPassword)
		if page.URL.Path != "/o/acme/account" {
			t.Fatalf("she is at %s\n%s", page.URL, page.Body)
		}
		user, err := house.DB.UserByLogin(acme, "guest@example.com")
		if err != nil {
			t.Fatal(err)
		}
		roles, err := house.DB.RolesOf(acme, user.ID)
		if err != nil || len(roles) != 2 || !user.IsVerified || *user.FullName != "Gwen" {
			t.Errorf("%+v with the roles %v, %v", user, roles, err)
		}
		g.open(link, "This link does not work")
		if _, err := invite("GUEST@example.com"); err == nil {
			t.Error("somebody who has an account is invited")
		}
		if _, err := house.DB.UserByLogin(other, "guest@example.com"); err == nil {
			t.Error("another organization has her as well")
		}

		// A role that is gone meanwhile, and one of the same name in its place.
		link, err = invite("late@example.com", "editor")
		if err != nil {
			t.Fatal(err)
		}
		for _, statement := range []string{`DELETE FROM user_roles`, `DELETE FROM roles WHERE name = 'editor'`} {
			past(t, house, statement)
		}
		if _, err := house.DB.EnsureRole(acme, "editor", "", false); err != nil {
			t.Fatal(err)
		}
		late := from(t, "198.51.100.8")
		page = late.send(late.open(link, "You are invited"), "invitation-submit", "name", "Late", "password", newPassword)
		if page.Status != 409 || page.Text("invitation-error") == "" {
			t.Errorf("a role that is gone: %d\n%s", page.Status, page.Body)
		}
		if _, err := house.DB.UserByLogin(acme, "late@example.com"); err == nil {
			t.Error("the account was made without it")
		}
		// The end is exact (S-226), and an operator can bring it about.
		past(t, house, `UPDATE verification_tokens SET expires_at = $1 WHERE type = 'invitation' AND used_at IS NULL`,
			time.Now().UTC().Format("2006-01-02 15:04:05.000000"))
		late.open(link, "This link does not work")
		link, err = invite("third@example.com")
		if err != nil {
			t.Fatal(err)
		}
		waiting, err := house.DB.ListInvitations(acme, [16]byte{}, 0)
		if err != nil || len(waiting) != 1 {
			t.Fatalf("%d wait, %v", len(waiting), err)
		}
		if err := house.Operators.RevokeInvitation(other, waiting[0].ID); err == nil {
			t.Error("another organization revokes it")
		}
		if err := house.Operators.RevokeInvitation(acme, waiting[0].ID); err != nil {
			t.Error(err)
		}
		late.open(link, "This link does not work")
	})
}

func TestSomebodyWhoHasForgottenThePasswordSetsANewOne(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := behindProxy(t, servertest.Options{DatabaseURL: databaseURL})
		org := house.In("default")
		alice := house.User(org, "alice")
		client := house.Client(org, manage.ClientSpec{SkipConsent: true})
		before := client.Tokens("alice", "openid offline_access")
		g := from(t, "198.51.100.7")
		page := g.open(client.AuthorizeURL("scope", "openid"), "Sign in")
		href, _ := page.Attr("login-forgot", "href")
		page = g.open(house.Base+href, "Forgot your password?")
		if page := g.send(page, "forgot-submit", "login", ""); page.Text("login-error") == "" {
			t.Error("nothing is taken for a name")
		}
		g.sees(g.send(g.open(house.Base+href, "Forgot your password?"), "forgot-submit", "login", "ALICE"), "Check your mail")
		letter := newest(t, house, "alice@example.com", mail.PasswordReset)
		for range 5 {
			from(t, "203.0.113.9").open(letter.Link, "Set a new password")
		}
		page = g.open(letter.Link, "Set a new password")
		if page := g.send(page, "reset-submit", "password", "alice123"); page.Status != 400 || page.Text("password-error") == "" {
			t.Errorf("a weak one: %d", page.Status)
		}
		page = g.sees(g.send(g.open(letter.Link, "Set a new password"), "reset-submit", "password", newPassword), "Your password was changed")
		newest(t, house, "alice@example.com", mail.PasswordChange)
		if client.Active(before.Text("access_token")) || client.Refresh(before.Text("refresh_token")).Status == 200 {
			t.Error("what was granted before is good still")
		}
		onward, _ := page.Attr("done-onward", "href")
		page = g.open(house.Base+onward, "Sign in")
		if page := g.send(page, "login-submit", "username", "alice", "password", servertest.Password); page.Status != 401 {
			t.Errorf("the old password: %d", page.Status)
		}
		page = g.send(g.open(house.Base+onward, "Sign in"), "login-submit", "username", "alice", "password", newPassword)
		if arrived, ok := page.Arrived(); !ok || arrived.Get("code") == "" {
			t.Errorf("she ends at %s\n%s", page.URL, page.Body)
		}
		g.open(letter.Link, "This link does not work")
		if page := g.open(house.Base+"/reset?token=nothing", "This link does not work"); page.Status != 404 || !page.Has("dead-new") {
			t.Error("the page of a dead link offers no new one")
		}
		if rows := auditRows(t, house, org, "user.password_reset"); len(rows) != 1 || rows[0].Target != alice.ID.String() {
			t.Errorf("audited: %+v", rows)
		}
	})
}

func TestSomebodyWhoExistsProvesTheirAddress(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := behindProxy(t, servertest.Options{DatabaseURL: databaseURL})
		org := house.In("default")
		who := visitorOf("198.51.100.7")
		user, err := house.Operators.CreateUser(org, manage.NewUser{Username: "bob", Email: "bob@example.com", Password: servertest.Password})
		if err != nil {
			t.Fatal(err)
		}
		if err := house.People.SendVerification(org, who, user); err != nil {
			t.Fatal(err)
		}
		g := from(t, "198.51.100.7")
		first := newest(t, house, "bob@example.com", mail.VerifyEmail)
		if err := house.People.SendVerification(org, who, user); err != nil {
			t.Fatal(err)
		}
		g.open(first.Link, "This link does not work")
		letter := newest(t, house, "bob@example.com", mail.VerifyEmail)
		page := g.open(letter.Link, "Confirm your e-mail address")
		if page.Has("password") || page.Text("verify-email") != "bob@example.com" {
			t.Errorf("it shows\n%s", page.Body)
		}
		g.sees(g.send(page, "verify-submit"), "Your e-mail address is confirmed")
		if user, err = house.DB.User(org, user.ID); err != nil || !user.IsVerified {
			t.Errorf("%+v, %v", user, err)
		}
		g.open(letter.Link, "This link does not work")
		if err := house.People.SendVerification(org, who, user); err != nil || len(house.Letters("bob@example.com")) != 2 {
			t.Errorf("what is proven is asked for again: %v", err)
		}
	})
}

func visitorOf(address string) visitor.Visitor {
	return visitor.Visitor{Address: address, RequestID: "r"}
}
