package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/config"
	"github.com/keizer-auth/keizer/internal/formbrowser"
	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/proof"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/internal/upstreamtest"
	"github.com/keizer-auth/keizer/login/upstream"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/people"
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
		ID: strconv.FormatUint(uint64(id.Sum32()), 10), Email: name + "@example.com", Verified: true, Name: name + " Doe", Given: name, Family: "Doe", Username: name,
		Tenant: upstreamtest.Alice().Tenant,
	}
}

// come signs in at a provider, whose form brings the browser back where it has one.
func (g *guest) come(address, provider string) *formbrowser.Page {
	g.t.Helper()
	page := g.away(address, provider)
	if page.Title == "Continue" {
		page = g.send(page, "continue")
	}
	return page
}

// S-228, S-234: every preset, from the button to the account: who comes for the first time has one from then on, and who comes again has
// the same.
func TestPeopleSignInAtProvidersOfEveryKind(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := decided(t, house, "default", "sign_up.mode", "open")
	login := house.Base + "/login?return_to=/account"
	for _, preset := range slices.Sorted(maps.Keys(upstreamtest.Profiles())) {
		there := served(t, house, org, preset, "")
		t.Run(preset, func(t *testing.T) {
			who := somebody("of-" + preset)
			there.Become(who)
			first := from(t, "192.0.2.1")
			page := first.come(login, preset)
			asked, exchanged := there.Authorization(), there.Exchange()
			if there.Profile.NoPKCE == (asked.Get("code_challenge_method") == "S256" && len(exchanged.Get("code_verifier")) >= 43) {
				t.Errorf("PKCE: %v, %v", asked, exchanged)
			}
			if asked.Get("redirect_uri") != house.Base+"/login/"+preset+"/callback" {
				t.Errorf("%v", asked)
			}
			if preset == "facebook" != (page.Title == "Your e-mail address") {
				t.Fatalf("%s", page.Title)
			}
			if preset == "facebook" { // which vouches for no address
				if page.Value("email") != who.Email {
					t.Errorf("%q is proposed", page.Value("email"))
				}
				page = first.sees(first.send(page, "prove-submit"), "Check your mail")
				page = first.send(page, "verify-submit", "code", newest(t, house, who.Email, mail.VerifyEmail).Code)
			}
			first.sees(page, "Your account")
			if !strings.Contains(page.Body, who.Email) {
				t.Errorf("whose account is it? %s", page.Body)
			}
			again := from(t, "192.0.2.1")
			again.sees(again.come(login, preset), "Your account")
			user, err := house.DB.UserByLogin(org, who.Email)
			if err != nil {
				t.Fatal(err)
			}
			if user.FullName == nil || *user.FullName != who.Name || !user.IsVerified {
				t.Errorf("%+v", user)
			}
			accounts, err := house.DB.UpstreamAccountsOf(org, user.ID)
			if err != nil || len(accounts) != 1 || accounts[0].Provider != preset {
				t.Fatalf("%+v, %v", accounts, err)
			}
			kept, err := house.DB.UpstreamAccountOf(org, user.ID, accounts[0].ID)
			if err != nil || !strings.HasPrefix(kept.AccessToken, "at-") || preset != "github" != strings.HasPrefix(kept.RefreshToken, "rt-") {
				t.Errorf("%+v, %v", kept, err)
			}
			for _, sealed := range column(t, house.SQL(), `SELECT coalesce(access_token, '') || ' ' || coalesce(refresh_token, '') FROM oauth_accounts`) {
				if strings.Contains(sealed, kept.AccessToken) || kept.RefreshToken != "" && strings.Contains(sealed, kept.RefreshToken) {
					t.Error("a token is not sealed")
				}
			}
		})
	}
	// Two people of whom two providers say the same id are two (S-230): every issuer counts its own.
	if accounts := column(t, house.SQL(), `SELECT provider_user_id FROM oauth_accounts`); len(accounts) != len(upstreamtest.Profiles()) {
		t.Errorf("%q", accounts)
	}

	// Of Microsoft's directories, those that are named.
	there := upstreamtest.Serve(t, "microsoft")
	const ours = "11111111-2222-3333-4444-555555555555"
	federate(t, house, org, "work", upstreamtest.ClientID, there.Secret(), there.Settings(), `{"tenants":["`+ours+`"]}`)
	dora := somebody("dora")
	there.Become(dora)
	g := from(t, "192.0.2.1")
	if page := g.sees(g.come(login, "work"), "Request error"); page.Status != http.StatusBadRequest {
		t.Errorf("%d %s", page.Status, page.Body)
	}
	dora.Tenant = ours
	there.Become(dora)
	g.sees(g.come(login, "work"), "Your account")
}

// Whose form comes from another site comes with one cookie, which is made for it, and over TLS alone; then the browser comes once more,
// by itself, as whoever it was before.
func TestAFormFromTheSiteOfAProviderBringsTheBrowserBack(t *testing.T) {
	t.Parallel()
	there, certificate := upstreamtest.ServeTLS(t, "apple")
	authorities := filepath.Join(t.TempDir(), "authorities.pem")
	if err := os.WriteFile(authorities, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	house := production(t, servertest.Options{Configure: func(cfg *config.Config) {
		cfg.Outbound.Networks, cfg.Outbound.CAFile = []string{"127.0.0.1/32"}, authorities
	}})
	org := decided(t, house, "default", "sign_up.mode", "open")
	federate(t, house, org, "apple", upstreamtest.ClientID, there.Secret(), there.Settings(), "")
	there.Become(somebody("eve"))

	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	both := &toTwoSites{here: behindTLS{house}, there: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	t.Cleanup(both.there.CloseIdleConnections)
	g := &guest{formbrowser.New(formbrowser.Options{HTTP: &http.Client{Transport: both}, SendIncomplete: true}), t}
	login := house.Base + "/login?return_to=/account"
	page := g.away(login, "apple")
	fed := both.given("__Host-keizer_fed")
	if fed == nil || fed.SameSite != http.SameSiteNoneMode || !fed.Secure || !fed.HttpOnly || fed.Path != "/" || fed.Domain != "" || fed.MaxAge != 600 {
		t.Fatalf("%+v", fed)
	}
	page = g.send(g.sees(page, "Continue"), "continue")
	posted := both.brought("POST /login/apple/callback")
	if len(posted) != 1 || posted[0].Name != "__Host-keizer_fed" {
		t.Errorf("with the form come %v", posted)
	}
	if g.sees(page, "Your account"); !strings.Contains(page.Body, "eve@example.com") {
		t.Errorf("%s", page.Body)
	}
	if session := both.given("__Host-keizer_session"); session == nil || session.SameSite != http.SameSiteLaxMode {
		t.Errorf("%+v", session)
	}
	// At everybody else's the cookie is like the others.
	plain := upstreamtest.New(t, "google")
	federate(t, house, org, "google", upstreamtest.ClientID, plain.Secret(), map[string]any{"preset": "github"}, "")
	stopped := &guest{formbrowser.New(formbrowser.Options{HTTP: &http.Client{Transport: both}, StopAt: "https://github.com/login/oauth/authorize"}), t}
	stopped.away(login, "google")
	if fed := both.given("__Host-keizer_fed"); fed == nil || fed.SameSite != http.SameSiteLaxMode || !fed.Secure {
		t.Errorf("%+v", fed)
	}
	// And nobody posts where a link was to come back, nor the other way round.
	if answer := send(t, house, request{method: "POST", address: "/login/google/callback", form: fields("state", "x", "code", "y")}); answer.Status != http.StatusBadRequest {
		t.Errorf("%d", answer.Status)
	}
}

// toTwoSites carries what a browser sends to a house in production and to a provider, and looks at the cookies.
type toTwoSites struct {
	here  behindTLS
	there *http.Transport
	sent  map[string][]*http.Cookie
	got   map[string]*http.Cookie
}

// RoundTrip implements http.RoundTripper.
func (b *toTwoSites) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasPrefix(r.URL.String(), b.here.house.Base) {
		return b.there.RoundTrip(r)
	}
	response, err := b.here.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if b.sent == nil {
		b.sent, b.got = map[string][]*http.Cookie{}, map[string]*http.Cookie{}
	}
	b.sent[r.Method+" "+r.URL.Path] = r.Cookies()
	for _, cookie := range response.Cookies() {
		b.got[cookie.Name] = cookie
	}
	return response, nil
}

func (b *toTwoSites) given(name string) *http.Cookie        { return b.got[name] }
func (b *toTwoSites) brought(request string) []*http.Cookie { return b.sent[request] }

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
			page := g.away(login, "oidc")
			return g, page
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
		thief := from(t, "192.0.2.2")
		thief.sees(thief.send(thief.open(login, "Sign in"), "login-submit", "username", "victim", "password", servertest.Password), "Your account")
		giveApp(t, house, org, mallory)
		g, page = come(somebody("victim"))
		g.sees(page, "Your account")
		thief.open(house.Issuer(org)+"/account", "Sign in")
		if counts, err := house.DB.FactorCounts(org, mallory.ID); err != nil || counts != (storage.FactorCounts{}) {
			t.Errorf("%+v, %v", counts, err)
		}
		other := from(t, "192.0.2.2")
		other.sees(other.send(other.open(login, "Sign in"), "login-submit", "username", "victim", "password", servertest.Password), "Sign in")
		if accounts(mallory) != 1 || len(auditRows(t, house, org, "user.reclaimed")) != 1 {
			t.Error("the account is not reclaimed")
		}
	})
}

// S-232: what a browser brings back counts once, and only in that browser.
func TestOnlyTheBrowserThatLeftComesBack(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	house.Organization("acme")
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
	// In the browser that was sent there, it is brought to where it belongs, and in time.
	acme := decided(t, house, "acme", "sign_up.mode", "open")
	for _, in := range []context.Context{org, acme} {
		federate(t, house, in, "second", "id", "secret", map[string]any{"preset": "github"}, "")
	}
	federate(t, house, acme, "oidc", "id", "secret", map[string]any{"preset": "github"}, "")
	query := "?" + begun.URL.RawQuery
	carried := &guest{formbrowser.New(formbrowser.Options{SendIncomplete: true}), t}
	for _, cookie := range stopped.Cookies(house.Base) {
		carried.SetCookie(house.Base, cookie)
	}
	for name, address := range map[string]string{
		"another provider": "/login/second/callback" + query, "another organization": "/o/acme/login/oidc/callback" + query, "no state": "/login/oidc/callback?code=x",
		"an empty state": "/login/oidc/callback?code=x&state=", "two states": "/login/oidc/callback" + query + "&state=x", "two codes": "/login/oidc/callback" + query + "&code=x", "none that there is": "/login/nobody/callback" + query,
	} {
		if page := carried.open(house.Base+address, "Request error"); page.Status != http.StatusBadRequest {
			t.Errorf("%s: %d", name, page.Status)
		}
	}
	change(t, house, `UPDATE upstream_requests SET expires_at = '`+longAgo+`'`)
	if page := carried.open(house.Base+"/login/oidc/callback"+query, "Request error"); page.Status != http.StatusBadRequest {
		t.Errorf("too late: %d", page.Status)
	}
	left, err := stopped.Open(t.Context(), login)
	if err == nil {
		left, err = left.Click(t.Context(), "login-with-oidc")
	}
	if err != nil {
		t.Fatal(err)
	}
	carried.open(house.Base+"/login/oidc/callback?"+left.URL.RawQuery, "Your account") // as it should be
}

// S-244, F-28: a provider that is down, slow, lying or huge is a page within five seconds, whatever it is asked for, and keeps nobody out
// who signs in otherwise.
func TestAProviderThatIsDownIsAPageAndNothingElse(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	login := house.Base + "/login?return_to=/account"
	huge := func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm() // or it would not be seen that nobody waits any more
		w.Header().Set("Content-Type", "application/json")
		for r.Context().Err() == nil {
			if _, err := w.Write([]byte(strings.Repeat("[", 1<<16))); err != nil {
				return
			}
		}
	}
	lies := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<script>alert("it is fine")</script>`))
	}
	var all sync.WaitGroup
	for i, endpoint := range []string{"metadata", "token", "keys", "userinfo"} {
		for fault, answer := range map[string]http.HandlerFunc{"slow": upstreamtest.Dribble, "huge": huge, "lying": lies} {
			name := fmt.Sprint(endpoint, "-", fault)
			there := upstreamtest.Serve(t, "gitlab") // which is asked for all of it
			federate(t, house, org, name, upstreamtest.ClientID, there.Secret(), there.Settings(), "")
			there.Misbehave(upstreamtest.Faults{Down: func(w http.ResponseWriter, r *http.Request, asked string) bool {
				if asked == endpoint {
					answer(w, r)
				}
				return asked == endpoint
			}})
			g := from(t, fmt.Sprintf("192.0.2.%d", 1+i))
			page := g.open(login, "Sign in")
			all.Go(func() {
				before := time.Now()
				page, err := page.Click(t.Context(), "login-with-"+name)
				if err != nil {
					t.Error(err)
					return
				}
				if took := time.Since(before); took > 5*time.Second {
					t.Errorf("%s: it took %s", name, took)
				}
				if strings.Contains(page.Body, "/callback?") || strings.Contains(page.Body, "kz_st_") {
					t.Errorf("%s: the page holds what was brought: %s", name, page.Body)
				}
				down := page.Status == http.StatusServiceUnavailable && page.Header.Get("Retry-After") != ""
				if fault == "slow" && !down || !down && page.Status != http.StatusBadGateway || page.Title != "Request error" || strings.Contains(page.Body, "it is fine") ||
					!page.Has("error-again") {
					t.Errorf("%s: %d %s", name, page.Status, page.Body)
				}
			})
		}
	}
	// Meanwhile, and for somebody who has been there in vain.
	g := from(t, "192.0.2.99")
	g.sees(g.send(g.open(login, "Sign in"), "login-submit", "username", "alice", "password", servertest.Password), "Your account")
	all.Wait()
	g = from(t, "192.0.2.1")
	g.sees(g.send(g.open(login, "Sign in"), "login-submit", "username", "alice", "password", servertest.Password), "Your account")
}

// S-245: what a provider calls somebody, and what it says of an error, is text, wherever it is shown.
func TestWhatAProviderSaysIsNeverPartOfAPage(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	const markup = `"><script>alert(1)</script>`
	there := served(t, house, org, "oidc", `{"sign_up":"always","title":"A <b>title</b>"}`)
	who := somebody("mallory")
	who.Name, who.Given, who.Family, who.Username = markup, markup, "'onload='alert(1)", markup
	there.Become(who)
	there.Misbehave(upstreamtest.Faults{Claims: func(claims map[string]any) {
		claims["picture"], claims["website"], claims["nickname"], claims["locale"], claims["zoneinfo"] = "javascript:alert(1)", "data:text/html,"+markup, markup, markup, markup
	}})
	g := from(t, "192.0.2.1")
	login := house.Base + "/login?return_to=/account/linked"
	pages := []*formbrowser.Page{g.open(login, "Sign in"), g.sees(g.come(login, "oidc"), "Linked accounts")}
	for _, path := range []string{"", "/profile", "/activity", "/sessions"} {
		page, err := g.Open(t.Context(), house.Base+"/account"+path)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, page)
	}
	user, err := house.DB.UserByLogin(org, who.Email)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"picture", "website", "locale", "zoneinfo"} {
		if told, ok := user.Metadata[name].(string); ok && strings.ContainsAny(told, "<(") {
			t.Errorf("%s is %q", name, told)
		}
	}
	for _, misbehave := range []func(url.Values){
		func(v url.Values) { v.Set("error", markup) }, func(v url.Values) { v.Set("code", markup) }, func(v url.Values) { v.Set("iss", markup) },
		func(v url.Values) { v.Set("error", "access_denied"); v.Set("error_description", markup) },
	} {
		there.Misbehave(upstreamtest.Faults{Callback: misbehave})
		pages = append(pages, from(t, "192.0.2.2").come(login, "oidc"))
	}
	// Who has an account already reads who they are said to be.
	house.User(org, "bob")
	there.Misbehave(upstreamtest.Faults{})
	bob := somebody("bob")
	bob.Name, bob.Username = markup, markup
	there.Become(bob)
	pages = append(pages, from(t, "192.0.2.3").sees(from(t, "192.0.2.3").come(login, "oidc"), "Sign in"))
	for _, page := range pages {
		if strings.Contains(page.Body, "<script>alert") || strings.Contains(page.Body, "<b>title") || strings.Contains(page.Body, `href="javascript:`) ||
			strings.Contains(page.Body, `"onload`) || strings.Contains(page.Body, "'onload='") {
			t.Errorf("%s:\n%s", page.URL, page.Body)
		}
	}
}

// S-282: a network whose browsers are sent away again and again, and never come back, is stopped before the table of those who are on the
// way fills; one whose people do come back is not.
func TestWhoeverIsSentAwayAndNeverComesBackIsStopped(t *testing.T) {
	t.Parallel()
	house := behindProxy(t, servertest.Options{})
	org := decided(t, house, "default", "sign_up.mode", "open")
	served(t, house, org, "oidc", "")
	login := house.Base + "/login?return_to=/account"
	const crowd, office = "192.0.2.1", "192.0.2.2"
	exhausted := func(address string) bool {
		t.Helper()
		for range throttle.UpstreamNetwork.Burst + 60 { // of which a slow machine gets back one a second
			err := house.DB.Take(org, throttle.UpstreamNetwork, throttle.Network(address))
			if exceeded, ok := errors.AsType[*throttle.Exceeded](err); ok {
				return exceeded.Name == throttle.UpstreamNetwork.Name
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		return false
	}
	if !exhausted(crowd) || !exhausted(office) {
		t.Fatal("nobody is stopped")
	}
	stopped := false
	for range 5 {
		page := from(t, crowd).away(login, "oidc")
		stopped = stopped || page.Status == http.StatusTooManyRequests && page.Header.Get("Retry-After") != ""
		exhausted(crowd)
	}
	if found := auditRows(t, house, org, "limit.reached"); !stopped || len(found) != 1 || found[0].Details["limit"] != "upstream_network" || *found[0].IPAddress != crowd {
		t.Errorf("%+v", found)
	}
	// Who comes back gives back.
	if err := house.DB.GiveBack(org, throttle.UpstreamNetwork, throttle.Network(office)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		g := from(t, office)
		g.sees(g.away(login, "oidc"), "Your account")
	}
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
		// Somebody else's is not there.
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
		stays := func(why string) {
			t.Helper()
			page := g.send(g.open(house.Issuer(org)+"/account/linked", "Linked accounts"), "linked-remove-"+linked[0].ID.String())
			if page.Status != http.StatusConflict || !strings.Contains(page.Body, "could not sign in any more") {
				t.Errorf("%s: %d %s", why, page.Status, page.Body)
			}
		}
		stays("there is nothing else")
		// Nor is one a way where nobody signs in; and of the last two, taken at once, one stays.
		federate(t, house, org, "second", "id", "secret", map[string]any{"preset": "google"}, `{"disabled":true}`)
		second, err := house.DB.UpstreamProvider(org, "second")
		if err != nil {
			t.Fatal(err)
		}
		other := &storage.UpstreamAccount{UserID: fresh.ID, ProviderID: second.ID, Issuer: "https://accounts.google.com", Subject: "1"}
		if err := house.DB.CreateUpstreamAccount(org, other); err != nil {
			t.Fatal(err)
		}
		stays("the other is switched off")
		if _, err := house.Operators.UpdateProvider(org, "second", manage.ProviderPatch{Settings: upstream.Patch{"disabled": nil}}); err != nil {
			t.Fatal(err)
		}
		var both sync.WaitGroup
		for _, id := range []uuid.UUID{linked[0].ID, other.ID} {
			both.Go(func() {
				if err := house.People.Unlink(org, visitorOf("192.0.2.1"), fresh.ID, id); err != nil && people.Problems(err) == nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		if left, err := house.DB.UpstreamAccountsOf(org, fresh.ID); err != nil || len(left) != 1 {
			t.Errorf("%+v, %v", left, err)
		}
	})
}

// An organization of Keizer is a provider like any other for another one. S-246: whoever is signed in at one that somebody is signed in
// by way of is signed in there, and nowhere else; and whoever asks to have it proven anew who they are is not put off with what was
// proven before, however many are in between.
func TestPeopleOfOneOrganizationSignInAtAnother(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	staff, shop, kiosk := house.Organization("staff"), house.Organization("shop"), house.Organization("kiosk")
	house.User(staff, "alice")
	lead := func(there, here context.Context, name string) {
		client := house.Client(there, manage.ClientSpec{
			RedirectURIs: []string{house.Issuer(here) + "/login/" + name + "/callback"}, Scope: "openid profile email", SkipConsent: true,
		})
		federate(t, house, here, name, client.ID, client.Secret, map[string]any{"preset": "oidc", "issuer": house.Issuer(there)}, `{"sign_up":"always"}`)
	}
	lead(staff, shop, "staff")
	lead(shop, kiosk, "shop")
	app := house.Client(kiosk, manage.ClientSpec{SkipConsent: true})
	visitor := app.Visitor()
	page := visitor.Press(visitor.Go(house.Issuer(shop)+"/login?return_to=/account"), "login-with-staff")
	if page = titled(t, page, "Sign in"); !strings.HasPrefix(page.URL.String(), house.Issuer(staff)) {
		t.Fatal(page.URL)
	}
	page = titled(t, visitor.SignIn(page, "alice", servertest.Password), "Your account")
	if !strings.HasPrefix(page.URL.String(), house.Issuer(shop)) {
		t.Error(page.URL)
	}
	if user, err := house.DB.UserByLogin(shop, "alice@example.com"); err != nil || user.PasswordHash != "" && strings.HasPrefix(user.PasswordHash, "$argon2") {
		t.Errorf("%+v, %v", user, err)
	}
	if sent := visitor.Go(house.Issuer(kiosk) + "/account"); sent.Title != "Sign in" {
		t.Errorf("at the third they are shown %q", sent.Title)
	}
	titled(t, visitor.Press(visitor.Go(house.Issuer(kiosk)+"/login?return_to=/account"), "login-with-shop"), "Your account")

	page = titled(t, visitor.Go(app.AuthorizeURL("prompt", "login")), "Sign in")
	page = titled(t, visitor.Press(page, "login-with-shop"), "Sign in")
	page = titled(t, visitor.Press(page, "login-with-staff"), "Sign in")
	if !strings.HasPrefix(page.URL.String(), house.Issuer(staff)) {
		t.Errorf("it is proven at %s", page.URL)
	}
	page = visitor.SignIn(page, "alice", servertest.Password)
	if arrived, _ := page.Arrived(); arrived.Get("code") == "" {
		t.Errorf("%s %s", page.URL, page.Body)
	}
}

// What a provider has given for somebody is told to whoever manages people, and renewed first; what came of a provider that does not is
// told as what it is.
func TestAProgramIsGivenTheTokenOfAProvider(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	there := served(t, house, org, "oidc", `{"sign_up":"always"}`)
	g := from(t, "192.0.2.1")
	g.sees(g.away(house.Base+"/login?return_to=/account", "oidc"), "Your account")
	user, err := house.DB.UserByLogin(org, upstreamtest.Alice().Email)
	if err != nil {
		t.Fatal(err)
	}
	linked, err := house.DB.UpstreamAccountsOf(org, user.ID)
	if err != nil || len(linked) != 1 {
		t.Fatalf("%+v, %v", linked, err)
	}
	machine := house.Machine(org, permission.UsersWrite)
	reveal := func() *servertest.Answer {
		t.Helper()
		return machine.Do(http.MethodPost, "/organizations/default/users/"+user.ID.String()+"/provider-tokens/oidc", nil)
	}
	late := func() {
		t.Helper()
		kept, err := house.DB.UpstreamAccountOf(org, user.ID, linked[0].ID)
		if err == nil {
			over := time.Now().Add(-time.Second)
			kept.ExpiresAt = &over
			err = house.DB.UseUpstreamAccount(org, kept)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	first := reveal()
	if first.Status != http.StatusOK || !strings.HasPrefix(first.Text("access_token"), "at-") {
		t.Fatalf("%d %s", first.Status, first.Body)
	}
	late()
	if second := reveal(); second.Status != http.StatusOK || second.Text("access_token") == first.Text("access_token") {
		t.Errorf("%d %s", second.Status, second.Body)
	}
	late()
	for _, fault := range []struct {
		status int
		body   string
		want   int
	}{{http.StatusBadGateway, "<html>", http.StatusServiceUnavailable}, {http.StatusUnauthorized, `{"error":"invalid_client"}`, http.StatusConflict}, {http.StatusBadRequest, `{"error":"invalid_grant"}`, http.StatusConflict}} {
		there.Misbehave(upstreamtest.Faults{Down: func(w http.ResponseWriter, _ *http.Request, endpoint string) bool {
			if endpoint == "token" {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(fault.status)
				_, _ = w.Write([]byte(fault.body))
			}
			return endpoint == "token"
		}})
		if answer := reveal(); answer.Status != fault.want || answer.Status == http.StatusServiceUnavailable && answer.Header.Get("Retry-After") == "" || strings.Contains(answer.Body, "html") {
			t.Errorf("%d %s: %d %s", fault.status, fault.body, answer.Status, answer.Body)
		}
	}
}

// Whoever may set up providers, and nothing more, sets one up that vouches for anybody's address: no account of an operator is opened by it,
// and no invitation to become one is accepted.
func TestNobodyBecomesAnOperatorByAProviderOfTheirOwn(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	there := served(t, house, org, "oidc", `{"sign_up":"always"}`)
	login := house.Base + "/login?return_to=/account"
	come := func(name string) *formbrowser.Page {
		there.Become(somebody(name))
		return from(t, "192.0.2.1").away(login, "oidc")
	}
	for _, wanted := range []manage.NewUser{
		{Email: "unproven@example.com", Password: servertest.Password, Roles: []string{"admin"}},
		{Email: "bare@example.com", Passwordless: true, Roles: []string{"owner"}},
		{Email: "proven@example.com", Passwordless: true, Verified: true, Roles: []string{"auditor"}},
	} {
		user, err := house.Operators.CreateUser(org, wanted)
		if err != nil {
			t.Fatal(err)
		}
		page := come(strings.TrimSuffix(wanted.Email, "@example.com"))
		linked, err := house.DB.UpstreamAccountsOf(org, user.ID)
		if page.Title != "Sign in" || err != nil || len(linked) != 0 {
			t.Errorf("%s: %d %q, %v, %v", wanted.Email, page.Status, page.Title, linked, err)
		}
	}
	if _, _, err := house.Operators.Invite(org, manage.NewInvitation{Email: "invited@example.com", Roles: []string{"admin"}}); err != nil {
		t.Fatal(err)
	}
	if page := come("invited"); page.Status != http.StatusForbidden {
		t.Errorf("an invitation: %d %q", page.Status, page.Title)
	}
	if _, err := house.DB.UserByLogin(org, "invited@example.com"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("there is an account: %v", err)
	}
	// Anybody else comes in as before.
	if _, _, err := house.Operators.Invite(org, manage.NewInvitation{Email: "guest@example.com", Roles: []string{"member"}}); err != nil {
		t.Fatal(err)
	}
	if page := come("guest"); page.Title != "Your account" {
		t.Errorf("%d %q", page.Status, page.Title)
	}
}
