package server_test

import (
	"context"
	"encoding/json"
	"hash/fnv"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/internal/formbrowser"
	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/proof"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/upstreamtest"
	"github.com/keizer-auth/keizer/login/upstream"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
)

// federate sets up a provider in an organization, with further settings as one JSON object, or as none.
func federate(t testing.TB, house *servertest.House, org context.Context, name, clientID, clientSecret string, settings map[string]any, more string) {
	t.Helper()
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	patch, err := upstream.ParsePatch(text)
	if err == nil && more != "" {
		var further upstream.Patch
		further, err = upstream.ParsePatch([]byte(more))
		for name, value := range further {
			patch[name] = value
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	given := secret.Text(clientSecret)
	if _, err := house.Operators.CreateProvider(org, name, manage.ProviderPatch{ClientID: &clientID, Secret: &given, Settings: patch}); err != nil {
		t.Fatal(err)
	}
}

// served is an imitation that people of an organization sign in at.
func served(t testing.TB, house *servertest.House, org context.Context, preset, more string) *upstreamtest.Provider {
	t.Helper()
	there := upstreamtest.Serve(t, preset)
	federate(t, house, org, preset, upstreamtest.ClientID, there.Secret(), there.Settings(), more)
	return there
}

// away presses the button of a provider on the page of a sign-in at an address.
func (g *guest) away(address, provider string) *formbrowser.Page {
	g.t.Helper()
	return g.send(g.open(address, "Sign in"), "login-with-"+provider)
}

// somebody is a person at a provider with a name of their own.
func somebody(name string) upstreamtest.Person {
	id := fnv.New32a()
	_, _ = id.Write([]byte(name)) // never fails
	return upstreamtest.Person{
		ID: strconv.FormatUint(uint64(id.Sum32()), 10), Email: name + "@example.com", Verified: true, Name: name + " Doe", Username: name, Tenant: upstreamtest.Alice().Tenant,
	}
}

func TestPeopleSignInAtProvidersOfEveryKind(t *testing.T) {
	house := servertest.Start(t, servertest.Options{})
	org := decided(t, house, "default", "sign_up.mode", "open")
	login := house.Base + "/login?return_to=/account"
	for preset := range upstreamtest.Profiles() {
		there := served(t, house, org, preset, "")
		t.Run(preset, func(t *testing.T) {
			who := somebody("of-" + preset)
			there.Become(who)
			first := from(t, "192.0.2.1")
			come := func(g *guest) *formbrowser.Page {
				page := g.away(login, preset)
				if page.Title == "Continue" { // its form brings the browser back
					page = g.send(page, "continue")
				}
				return page
			}
			page := come(first)
			if page.Title == "Your e-mail address" { // it does not vouch for the address
				page = first.sees(first.send(page, "prove-submit", "email", who.Email), "Check your mail")
				page = first.send(page, "verify-submit", "code", newest(t, house, who.Email, mail.VerifyEmail).Code)
			}
			first.sees(page, "Your account")
			if !strings.Contains(page.Body, who.Email) {
				t.Errorf("whose account is it? %s", page.Body)
			}
			again := from(t, "192.0.2.1")
			again.sees(come(again), "Your account")
			user, err := house.DB.UserByLogin(org, who.Email)
			if err != nil {
				t.Fatal(err)
			}
			if accounts, err := house.DB.UpstreamAccountsOf(org, user.ID); err != nil || len(accounts) != 1 || accounts[0].Provider != preset {
				t.Errorf("%+v, %v", accounts, err)
			}
		})
	}
}

// What is said to an application is what was seen here: that another has vouched for the person, and no more.
func TestAnApplicationLearnsThatAnotherHasVouchedForThePerson(t *testing.T) {
	inBoth(t, func(t *testing.T, house *servertest.House, org context.Context) {
		there := served(t, house, org, "oidc", `{"sign_up":"always"}`)
		there.Misbehave(upstreamtest.Faults{Claims: func(claims map[string]any) {
			claims["acr"], claims["amr"] = "phr", []string{"hwk", "mfa"}
		}})
		client := house.Client(org, manage.ClientSpec{})
		visitor := client.Visitor()
		page := visitor.Press(visitor.Go(client.AuthorizeURL("scope", "openid")), "login-with-oidc")
		says(t, claimsAt(t, client, visitor.Press(titled(t, page, "Allow access"), "consent-allow")), proof.One, "fed")

		// Whoever must have a second factor sets one up all the same.
		user, err := house.DB.UserByLogin(org, "alice@example.com")
		if err != nil {
			t.Fatal(err)
		}
		giveApp(t, house, org, user)
		visitor = client.Visitor()
		page = visitor.Press(visitor.Go(client.AuthorizeURL("scope", "openid")), "login-with-oidc")
		says(t, claimsAt(t, client, givesCode(t, visitor, page, appCode(t, 0))), proof.Multi, "fed", "otp", "mfa")
	})
}

// S-228, S-229, S-230, S-240, S-241: whose account somebody comes to.
func TestWhoComesFromAProviderComesToNobodyElsesAccount(t *testing.T) {
	inBoth(t, func(t *testing.T, house *servertest.House, org context.Context) {
		there := served(t, house, org, "oidc", `{"sign_up":"never"}`)
		login := house.Issuer(org) + "/login?return_to=/account"
		come := func(who upstreamtest.Person) (*guest, *formbrowser.Page) {
			there.Become(who)
			g := from(t, "192.0.2.1")
			return g, g.away(login, "oidc")
		}
		accounts := func(user *storage.User) int {
			found, err := house.DB.UpstreamAccountsOf(org, user.ID)
			if err != nil {
				t.Fatal(err)
			}
			return len(found)
		}
		// Nobody makes accounts here.
		g, page := come(somebody("stranger"))
		g.sees(page, "Request error")
		if page.Status != http.StatusForbidden {
			t.Errorf("%d", page.Status)
		}

		bob := house.User(org, "bob")
		unproven := somebody("bob")
		unproven.Verified = false
		_, page = come(unproven)
		if page.Status != http.StatusForbidden || accounts(bob) != 0 {
			t.Errorf("by an address that nobody vouches for: %d", page.Status)
		}
		// An address that is vouched for: only whoever knows the way in links it.
		g, page = come(somebody("bob"))
		g.sees(page, "Sign in")
		if !strings.Contains(page.Body, "bob@example.com") || accounts(bob) != 0 {
			t.Errorf("%s", page.Body)
		}
		g.sees(g.send(page, "login-submit", "username", "bob", "password", "wrong wrong wrong"), "Sign in")
		if accounts(bob) != 0 {
			t.Error("linked without proof")
		}
		g.sees(g.send(page, "login-submit", "username", "bob", "password", servertest.Password), "Your account")
		if accounts(bob) != 1 {
			t.Error("not linked")
		}
		newest(t, house, "bob@example.com", mail.FactorAdded)
		g, page = come(somebody("bob"))
		g.sees(page, "Your account")
		// The identity is what counts, and not what is said of it.
		renamed := somebody("bob")
		renamed.Email = "carol@example.com"
		carol := house.User(org, "carol")
		g, page = come(renamed)
		if g.sees(page, "Your account"); !strings.Contains(page.Body, "bob@example.com") || accounts(carol) != 0 {
			t.Errorf("%s", page.Body)
		}
		if _, err := house.Operators.DisableUser(org, bob.ID); err != nil {
			t.Fatal(err)
		}
		if _, page = come(somebody("bob")); page.Status != http.StatusForbidden {
			t.Errorf("one who is switched off: %d", page.Status)
		}

		// Somebody has made an account with an address that is not theirs, and waits.
		mallory, err := house.Operators.CreateUser(org, manage.NewUser{Username: "victim", Email: "victim@example.com", Password: servertest.Password})
		if err != nil {
			t.Fatal(err)
		}
		g, page = come(somebody("victim"))
		g.sees(page, "Your account")
		other := from(t, "192.0.2.2")
		other.sees(other.send(other.open(login, "Sign in"), "login-submit", "username", "victim", "password", servertest.Password), "Sign in")
		if accounts(mallory) != 1 || len(auditRows(t, house, org, "user.reclaimed")) != 1 {
			t.Error("the account is not reclaimed")
		}
	})
}

// S-232: what a browser brings back counts once, and only in that browser.
func TestOnlyTheBrowserThatLeftComesBack(t *testing.T) {
	house := servertest.Start(t, servertest.Options{})
	org := decided(t, house, "default", "sign_up.mode", "open")
	served(t, house, org, "oidc", "")
	login := house.Base + "/login?return_to=/account"
	mallory := from(t, "192.0.2.1")
	page := mallory.away(login, "oidc")
	callback := ""
	for _, hop := range page.Hops {
		if strings.Contains(hop.URL, "/login/oidc/callback") {
			callback = hop.URL
		}
	}
	if mallory.sees(page, "Your account"); callback == "" {
		t.Fatal("there is no way back")
	}
	for name, g := range map[string]*guest{"once more": mallory, "by another browser": from(t, "192.0.2.2")} {
		if page := g.open(callback, "Request error"); page.Status != http.StatusBadRequest {
			t.Errorf("%s: %d", name, page.Status)
		}
	}
	// Before it is spent, another browser that was sent there itself brings it.
	stopped := formbrowser.New(formbrowser.Options{StopAt: strings.Split(callback, "?")[0], SendIncomplete: true})
	begun, err := stopped.Open(t.Context(), login)
	if err != nil {
		t.Fatal(err)
	}
	begun, err = begun.Click(t.Context(), "login-with-oidc")
	if err != nil {
		t.Fatal(err)
	}
	victim := from(t, "192.0.2.3")
	victim.away(login, "oidc")
	if page := victim.open(begun.URL.String(), "Request error"); page.Status != http.StatusBadRequest {
		t.Errorf("%d", page.Status)
	}
}

// S-244, S-246: a provider that is down keeps nobody out who signs in otherwise.
func TestAProviderThatIsDownIsAPageAndNothingElse(t *testing.T) {
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	there := served(t, house, org, "oidc", "")
	there.Misbehave(upstreamtest.Faults{Down: func(_ http.ResponseWriter, r *http.Request, _ string) bool {
		<-r.Context().Done() // it never answers
		return true
	}})
	login := house.Base + "/login?return_to=/account"
	g := from(t, "192.0.2.1")
	before := time.Now()
	page := g.away(login, "oidc")
	if page.Status != http.StatusServiceUnavailable || page.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", page.Status, page.Body)
	}
	if took := time.Since(before); took > 15*time.Second {
		t.Errorf("it took %s", took)
	}
	g.sees(g.send(g.open(login, "Sign in"), "login-submit", "username", "alice", "password", servertest.Password), "Your account")
}

func TestAnAddressOfADomainSignsInAtItsHome(t *testing.T) {
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	there := served(t, house, org, "oidc", `{"home_domains":["acme.example"],"hidden":true,"sign_up":"always","domains":["acme.example"]}`)
	login := house.Base + "/login?return_to=/account"
	if page := from(t, "192.0.2.1").open(login, "Sign in"); strings.Contains(page.Body, "login-with-") {
		t.Error("a provider that is hidden is shown")
	}
	who := somebody("dora")
	who.Email = "dora@acme.example"
	there.Become(who)
	g := from(t, "192.0.2.1")
	page := g.send(g.open(login, "Sign in"), "login-submit", "username", "Dora@Acme.example", "password", "whatever they typed")
	g.sees(page, "Your account")
	if there.Authorization().Get("login_hint") != "Dora@Acme.example" {
		t.Errorf("%v", there.Authorization())
	}
	there.Become(somebody("eve"))
	g = from(t, "192.0.2.1")
	if page := g.send(g.open(login, "Sign in"), "login-submit", "username", "eve@acme.example", "password", "x"); page.Status != http.StatusForbidden {
		t.Errorf("an address of another domain: %d", page.Status)
	}
}

func TestAccountsElsewhereAreLinkedAndRemovedByWhoeverIsSignedIn(t *testing.T) {
	inBoth(t, func(t *testing.T, house *servertest.House, org context.Context) {
		there := served(t, house, org, "oidc", `{"title":"Work","sign_up":"always"}`)
		who := somebody("elsewhere")
		there.Become(who)
		house.User(org, "alice")
		house.User(org, "bob")
		alice := accountOf(t, house, org, "alice")
		page := alice.open("/linked", "Linked accounts")
		page = alice.expect(alice.press(page, "linked-connect-oidc"), "Linked accounts")
		if !strings.Contains(page.Body, "elsewhere@example.com") || !strings.Contains(page.Body, "That account is linked") {
			t.Errorf("%s", page.Body)
		}
		newest(t, house, "alice@example.com", mail.FactorAdded)
		bob := accountOf(t, house, org, "bob")
		if page := bob.press(bob.open("/linked", "Linked accounts"), "linked-connect-oidc"); page.Status != http.StatusConflict {
			t.Errorf("what is somebody else's: %d", page.Status)
		}
		user, err := house.DB.UserByLogin(org, "alice")
		if err != nil {
			t.Fatal(err)
		}
		linked, err := house.DB.UpstreamAccountsOf(org, user.ID)
		if err != nil || len(linked) != 1 {
			t.Fatalf("%+v, %v", linked, err)
		}
		remove := "linked-remove-" + linked[0].ID.String()
		// S-235: somebody else's is not there.
		if page := bob.open("/linked", "Linked accounts"); strings.Contains(page.Body, remove) {
			t.Error("it is seen by another")
		}
		page = alice.expect(alice.press(page, remove), "Linked accounts")
		if !strings.Contains(page.Body, "not linked any more") {
			t.Errorf("%s", page.Body)
		}
		newest(t, house, "alice@example.com", mail.FactorRemoved)

		// Who has no other way keeps it.
		there.Become(somebody("fresh"))
		g := from(t, "192.0.2.1")
		g.sees(g.away(house.Issuer(org)+"/login?return_to=/account/linked", "oidc"), "Linked accounts")
		fresh, err := house.DB.UserByLogin(org, "fresh@example.com")
		if err != nil {
			t.Fatal(err)
		}
		linked, err = house.DB.UpstreamAccountsOf(org, fresh.ID)
		if err != nil || len(linked) != 1 {
			t.Fatalf("%+v, %v", linked, err)
		}
		page = g.send(g.open(house.Issuer(org)+"/account/linked", "Linked accounts"), "linked-remove-"+linked[0].ID.String())
		if page.Status != http.StatusConflict || !strings.Contains(page.Body, "could not sign in any more") {
			t.Errorf("%d %s", page.Status, page.Body)
		}
	})
}

// An organization of Keizer is a provider like any other for another one.
func TestPeopleOfOneOrganizationSignInAtAnother(t *testing.T) {
	house := servertest.Start(t, servertest.Options{})
	there, here := house.Organization("staff"), house.Organization("shop")
	house.User(there, "alice")
	client := house.Client(there, manage.ClientSpec{RedirectURIs: []string{house.Issuer(here) + "/login/staff/callback"}, Scope: "openid profile email"})
	federate(t, house, here, "staff", client.ID, client.Secret, map[string]any{"preset": "oidc", "issuer": house.Issuer(there)}, `{"sign_up":"always"}`)
	visitor := servertest.VisitorOf(t)
	page := visitor.Press(visitor.Go(house.Issuer(here)+"/login?return_to=/account"), "login-with-staff")
	page = visitor.SignIn(titled(t, page, "Sign in"), "alice", servertest.Password)
	if page.Title == "Allow access" {
		page = visitor.Press(page, "consent-allow")
	}
	titled(t, page, "Your account")
	if user, err := house.DB.UserByLogin(here, "alice@example.com"); err != nil || user.PasswordHash != "" && strings.HasPrefix(user.PasswordHash, "$argon2") {
		t.Errorf("%+v, %v", user, err)
	}
}
