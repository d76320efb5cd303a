package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/config"
	"github.com/keizer-auth/keizer/internal/formbrowser"
	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/visitor"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
)

// everyHost carries requests to whatever https host to a house in production, as a proxy before it does that ends TLS.
type everyHost struct{ house *servertest.House }

func (e everyHost) RoundTrip(r *http.Request) (*http.Response, error) {
	there, err := url.Parse(e.house.URL)
	if err != nil {
		return nil, err
	}
	carried := r.Clone(r.Context())
	carried.Host, carried.URL.Scheme, carried.URL.Host = r.URL.Host, there.Scheme, there.Host
	return attackers.Transport.RoundTrip(carried)
}

// nameserver is one with a few TXT records.
type nameserver map[string][]string

func (n nameserver) LookupTXT(_ context.Context, name string) ([]string, error) {
	if found, ok := n[name]; ok {
		return found, nil
	}
	return nil, errors.New("no such host")
}

// fetcher fetches from a house, whatever the host is.
type fetcher struct{ house *servertest.House }

func (f fetcher) Get(ctx context.Context, address, _ string, limit int64) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := everyHost(f).RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", answer.StatusCode)
	}
	return io.ReadAll(io.LimitReader(answer.Body, limit))
}

// have gives an organization a host, proven by its record.
func have(t testing.TB, house *servertest.House, org context.Context, host string) {
	t.Helper()
	claim, err := house.Operators.AddHost(org, host)
	if err != nil {
		t.Fatal(err)
	}
	name, content := manage.HostRecord(claim)
	proving := house.Operators.Proving(manage.Outside{Names: nameserver{name + ".": {"v=spf1 -all", content}}})
	if _, err := proving.VerifyHost(org, host, manage.ProofDNS); err != nil {
		t.Fatal(err)
	}
}

// productionReplicas puts up two replicas in production.
func productionReplicas(t *testing.T, databaseURL string) [2]*servertest.House {
	t.Helper()
	one := production(t, servertest.Options{DatabaseURL: databaseURL})
	two := production(t, servertest.Options{ReplicaOf: one, Configure: func(cfg *config.Config) { cfg.MasterKey = one.Cfg.MasterKey }})
	return [2]*servertest.House{one, two}
}

// get asks a replica at an absolute address.
func get(t testing.TB, house *servertest.House, address string, header ...string) *servertest.Answer {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return send(t, house, request{address: u.RequestURI(), host: u.Host, header: header})
}

// post sends a form to a replica at an absolute address.
func post(t testing.TB, house *servertest.House, address string, form url.Values, header ...string) *servertest.Answer {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return send(t, house, request{address: u.RequestURI(), host: u.Host, form: form, header: header})
}

const discoveryPath = "/.well-known/openid-configuration"

// The issuer of an organization becomes a host of its own at the moment that was announced, at both replicas, not before and not later; what
// it has issued goes on, and nothing of it is found at its old address, nor anything else at its new one. S-021, S-189, S-190.
func TestAHostBecomesTheIssuerAtTheMomentThatWasAnnounced(t *testing.T) {
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		replicas := productionReplicas(t, databaseURL)
		house := replicas[0]
		acme := house.Organization("acme")
		house.User(acme, "alice")
		const host, below = "login.acme.example", productionBase + "/o/acme"
		const issuer = "https://" + host
		have(t, house, acme, host)

		client := house.Client(acme, manage.ClientSpec{SkipConsent: true, PostLogoutRedirectURIs: []string{"https://rp.example/out"}})
		if _, err := house.Operators.CreateAPI(acme, manage.NewAPI{Identifier: "https://orders.example", Name: "Orders"}); err != nil {
			t.Fatal(err)
		}
		other := house.Client(acme, manage.ClientSpec{Name: "Other", SkipConsent: true, Audience: []string{"https://orders.example"}})
		browser := formbrowser.New(formbrowser.Options{StopAt: client.Redirect, HTTP: &http.Client{Transport: everyHost{house}}})
		signIn := func(at string, client *servertest.Client, params ...string) (tokens *servertest.Answer, arrived url.Values) {
			t.Helper()
			asked, err := url.Parse(client.AuthorizeURL(append([]string{"scope", "openid email offline_access"}, params...)...))
			if err != nil {
				t.Fatal(err)
			}
			page, err := browser.Open(t.Context(), at+"/oauth2/authorize?"+asked.RawQuery)
			if err != nil {
				t.Fatal(err)
			}
			if page.Title == "Sign in" {
				page = (servertest.VisitorWith(t, browser)).SignIn(page, "alice", servertest.Password)
			}
			arrived, ok := page.Arrived()
			if !ok || arrived.Get("code") == "" {
				t.Fatalf("%d %q at %s: %v", page.Status, page.Title, page.URL, arrived)
			}
			form := fields("grant_type", "authorization_code", "code", arrived.Get("code"), "redirect_uri", client.Redirect, "code_verifier", servertest.Verifier)
			return post(t, house, at+"/oauth2/token", form, "Authorization", client.Basic()), arrived
		}
		before, arrived := signIn(below, client)
		beforeOther, _ := signIn(below, other)
		if before.Status != 200 || beforeOther.Status != 200 || arrived.Get("iss") != below {
			t.Fatalf("%v, %d %s, %d %s", arrived, before.Status, before.Body, beforeOther.Status, beforeOther.Body)
		}
		keys := get(t, house, below+"/.well-known/jwks.json").Body
		for i, replica := range replicas {
			if answer := get(t, replica, issuer+discoveryPath); answer.Status != http.StatusMisdirectedRequest {
				t.Errorf("replica %d answers before anything was announced: %d", i+1, answer.Status)
			}
		}

		// The moment. What begins after it finds the new issuer, what ends before it the old one.
		from := time.Now().Add(1500 * time.Millisecond)
		planned, err := house.Operators.SetIssuerHost(acme, manage.IssuerChange{Host: host, From: from, Unannounced: true})
		if err != nil || planned.IssuerHostAt(time.Now()) != "" {
			t.Fatalf("%+v, %v", planned, err)
		}
		for i, replica := range replicas {
			asked := 0
			if !within(t.Context(), 10*time.Second, func() bool {
				asked++
				began := time.Now()
				old, anew := get(t, replica, below+discoveryPath), get(t, replica, issuer+discoveryPath)
				ended := time.Now()
				if ended.Before(from) && (old.Text("issuer") != below || anew.Status != http.StatusMisdirectedRequest) {
					t.Errorf("replica %d, before: %d %s, %d", i+1, old.Status, old.Text("issuer"), anew.Status)
				}
				if !began.Before(from) && (old.Status != 404 || anew.Text("issuer") != issuer) {
					t.Errorf("replica %d, after: %d, %d %s", i+1, old.Status, anew.Status, anew.Text("issuer"))
				}
				return !began.Before(from)
			}) {
				t.Fatalf("replica %d: the moment does not come", i+1)
			}
			t.Logf("replica %d was asked %d times", i+1, asked)
		}

		// What was issued before goes on under the new issuer, with the same keys.
		if got := get(t, house, issuer+"/.well-known/jwks.json").Body; got != keys {
			t.Errorf("the keys are %s, and were %s", got, keys)
		}
		for name, c := range map[string]struct {
			client *servertest.Client
			tokens *servertest.Answer
		}{"client": {client, before}, "client of an API": {other, beforeOther}} {
			introspected := post(t, replicas[1], issuer+"/oauth2/introspect", fields("token", c.tokens.Text("access_token")), "Authorization", c.client.Basic())
			if introspected.JSON()["active"] != true || introspected.Text("iss") != issuer || strings.Contains(introspected.Body, below) {
				t.Errorf("%s: a token of before is %s", name, introspected.Body)
			}
			if answer := get(t, replicas[1], issuer+"/oauth2/userinfo", "Authorization", "Bearer "+c.tokens.Text("access_token")); answer.Text("email") != "alice@example.com" {
				t.Errorf("%s: userinfo with a token of before: %d %s", name, answer.Status, answer.Body)
			}
			form := fields("grant_type", "refresh_token", "refresh_token", c.tokens.Text("refresh_token"))
			refreshed := post(t, replicas[1], issuer+"/oauth2/token", form, "Authorization", c.client.Basic())
			if refreshed.Status != 200 || servertest.Claims(t, refreshed.Text("id_token"))["iss"] != issuer {
				t.Errorf("%s: refreshed: %d %s", name, refreshed.Status, refreshed.Body)
				continue
			}
			if answer := get(t, house, issuer+"/oauth2/userinfo", "Authorization", "Bearer "+refreshed.Text("access_token")); answer.Text("email") != "alice@example.com" {
				t.Errorf("%s: userinfo with a refreshed token: %d %s", name, answer.Status, answer.Body)
			}
		}
		// A sign-in at the new address; and an ID token of before is a hint there.
		anew, arrived := signIn(issuer, client)
		if anew.Status != 200 || arrived.Get("iss") != issuer || servertest.Claims(t, anew.Text("id_token"))["iss"] != issuer {
			t.Errorf("%v: %d %s", arrived, anew.Status, anew.Body)
		}
		if answer, _ := signIn(issuer, client, "prompt", "none", "id_token_hint", before.Text("id_token")); answer.Status != 200 {
			t.Errorf("with a hint of before: %d %s", answer.Status, answer.Body)
		}
		names := func(address string) (names []string) {
			for _, cookie := range browser.Cookies(address) {
				names = append(names, cookie.Name)
			}
			return names
		}
		if cookies := names(issuer); !slices.Contains(cookies, "__Host-keizer_session") {
			t.Errorf("the cookies of the host are %v", cookies)
		}
		if cookies := names(productionBase); slices.Contains(cookies, "__Host-keizer_session") {
			t.Errorf("the cookies of the base are %v", cookies)
		}
		// Pages: passkeys are of the host, links in letters lead to it, and a script of the application may ask there.
		login := get(t, house, issuer+"/login")
		if !strings.Contains(login.Body, "&#34;rpId&#34;:&#34;"+host+"&#34;") {
			t.Errorf("passkeys are asked for as %s", short(login.Body))
		}
		if err := house.People.Forgot(house.In("acme"), visitor.Visitor{Address: "192.0.2.1", RequestID: "r"}, "alice", ""); err != nil {
			t.Fatal(err)
		}
		if letters := house.Letters("alice@example.com"); len(letters) == 0 || !strings.HasPrefix(letters[len(letters)-1].Link, issuer+"/reset?") {
			t.Errorf("letters: %+v", letters)
		}
		preflight := send(t, house, request{method: "OPTIONS", address: "/oauth2/token", host: host, header: []string{"Origin", "https://rp.example", "Access-Control-Request-Method", "POST"}})
		if preflight.Header.Get("Access-Control-Allow-Origin") != "https://rp.example" {
			t.Errorf("preflight: %d %v", preflight.Status, preflight.Header)
		}

		nothingElseAtTheHost(t, house, host)

		// And back.
		if _, err := house.Operators.SetIssuerHost(acme, manage.IssuerChange{Unannounced: true}); err != nil {
			t.Fatal(err)
		}
		if !within(t.Context(), 5*time.Second, func() bool {
			return get(t, replicas[1], below+discoveryPath).Text("issuer") == below && get(t, replicas[1], issuer+discoveryPath).Status == http.StatusMisdirectedRequest
		}) {
			t.Error("it does not go back")
		}
		form := fields("grant_type", "refresh_token", "refresh_token", anew.Text("refresh_token"))
		if refreshed := post(t, replicas[1], below+"/oauth2/token", form, "Authorization", client.Basic()); servertest.Claims(t, refreshed.Text("id_token"))["iss"] != below {
			t.Errorf("back, a refresh token of the host: %d %s", refreshed.Status, refreshed.Body)
		}
	})
}

// nothingElseAtTheHost looks that under the host of an organization there is the organization and nothing else, whatever a request says.
func nothingElseAtTheHost(t *testing.T, house *servertest.House, host string) {
	t.Helper()
	house.Organization("other")
	for _, path := range []string{
		"/setup", "/o/acme/login", "/o/acme" + discoveryPath, "/o/other" + discoveryPath, "/.well-known/openid-configuration/o/other", "/.well-known/openid-configuration/o/acme",
		"/api/v1/organizations", "/api/v1/openapi.json", "/playground", "/dev/mailbox", "/",
	} {
		if answer := get(t, house, "https://"+host+path); answer.Status != 404 {
			t.Errorf("%s at the host: %d %s", path, answer.Status, short(answer.Body))
		}
	}
	for _, path := range []string{"/livez", "/readyz", "/login", discoveryPath} {
		if answer := get(t, house, "https://"+host+path); answer.Status != 200 || path == "/login" && answer.Header.Get("Strict-Transport-Security") != "max-age=63072000" {
			t.Errorf("%s at the host: %d %s", path, answer.Status, short(answer.Body))
		}
	}
	forged := []string{
		"X-Forwarded-Host", "Forwarded", "X-Host", "X-Original-Host", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Server", "X-Tenant", "X-Organization", "X-Forwarded-Prefix",
	}
	for spelling, status := range map[string]int{
		host: 200, strings.ToUpper(host): 200, host + ":443": 200, host + ":80": 421, host + ":8443": 421, host + ".": 421, "x." + host: 421, host + ".evil.example": 421,
		"evil.example": 421, "login.acme.exampl\u00e9": 421, "xn--" + host: 421, "127.0.0.1": 421, "[::1]": 421, host + "@evil.example": 421,
	} {
		for _, name := range append(forged, "") {
			r := request{address: discoveryPath, host: spelling}
			if name != "" {
				r.header = []string{name, "host=" + host + ";proto=https", name, host}
			}
			answer, err := attempt(t.Context(), house, r)
			if err != nil {
				continue // the client itself refuses to send it
			}
			if answer.Status != status && answer.Status != 400 || answer.Status == 200 && answer.Text("issuer") != "https://"+host || strings.Contains(answer.Body, "evil") {
				t.Errorf("host %q with %s: %d %s", spelling, name, answer.Status, short(answer.Body))
			}
		}
	}
	// What is forged towards the base stays with the base.
	for _, name := range forged {
		answer := send(t, house, request{address: "/o/other" + discoveryPath, header: []string{name, host}})
		if answer.Text("issuer") != productionBase+"/o/other" || strings.Contains(answer.Body, host) {
			t.Errorf("%s: %s", name, short(answer.Body))
		}
	}
}

// A host is proven by who governs its name, or, for whoever acts for every organization, by leading here. F-14.
func TestAHostIsProven(t *testing.T) {
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := production(t, servertest.Options{DatabaseURL: databaseURL})
		acme, other := house.Organization("acme"), house.Organization("other")
		const host = "login.acme.example"
		claims := make(map[string]*storage.Host)
		for name, org := range map[string]context.Context{"acme": acme, "other": other} {
			claim, err := house.Operators.AddHost(org, host)
			if err != nil {
				t.Fatal(err)
			}
			claims[name] = claim
		}
		record, content := manage.HostRecord(claims["acme"])
		_, foreign := manage.HostRecord(claims["other"])
		elsewhere := production(t, servertest.Options{}) // another installation
		if _, err := elsewhere.Operators.AddHost(elsewhere.Organization("acme"), host); err != nil {
			t.Fatal(err)
		}
		nobody := manage.WithActor(acme, manage.Actor{Name: "user:x", Bound: &manage.Bound{Permissions: []string{permission.OrganizationWrite}}})
		for name, c := range map[string]struct {
			org     context.Context
			outside manage.Outside
			proof   string
		}{
			"no record":                 {acme, manage.Outside{Names: nameserver{}}, manage.ProofDNS},
			"another's record":          {acme, manage.Outside{Names: nameserver{record + ".": {foreign}}}, manage.ProofDNS},
			"a record that says more":   {acme, manage.Outside{Names: nameserver{record + ".": {content + "x", " " + content}}}, manage.ProofDNS},
			"a record at another name":  {acme, manage.Outside{Names: nameserver{"_keizer.acme.example.": {content}}}, manage.ProofDNS},
			"another installation":      {acme, manage.Outside{Fetch: fetcher{elsewhere}, Keyring: house.Keyring}, manage.ProofHTTPS},
			"no way that there is":      {acme, manage.Outside{}, "mail"},
			"reached, asked by its own": {nobody, manage.Outside{Fetch: fetcher{house}, Keyring: house.Keyring}, manage.ProofHTTPS},
		} {
			_, err := house.Operators.Proving(c.outside).VerifyHost(c.org, host, c.proof)
			var forbidden *manage.Forbidden
			if len(manage.Complaints(err)) == 0 && !errors.As(err, &forbidden) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := house.DB.OrganizationByHost(t.Context(), host); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("somebody has it: %v", err)
		}
		// Nobody is told that a host leads here who does not claim it, and the answer is worth nothing elsewhere.
		for name, want := range map[string]int{host: 200, "unclaimed.example": 421} {
			answer := get(t, house, "https://"+name+manage.HostProofPath+"/nonce")
			if answer.Status != want || answer.Body == strings.TrimSpace(manage.AnswerHostProof(house.Keyring, name, "another nonce")) {
				t.Errorf("%s: %d %s", name, answer.Status, answer.Body)
			}
		}
		verified, err := house.Operators.Proving(manage.Outside{Fetch: fetcher{house}, Keyring: house.Keyring}).VerifyHost(acme, host, manage.ProofHTTPS)
		if err != nil || verified.VerifiedAt == nil || verified.VerifiedBy != manage.ProofHTTPS {
			t.Fatalf("%+v, %v", verified, err)
		}
		late := house.Operators.Proving(manage.Outside{Names: nameserver{record + ".": {foreign}}})
		if _, err := late.VerifyHost(other, host, manage.ProofDNS); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("whoever comes later: %v", err)
		}
		// It may go on to the next once it was given up.
		if err := house.Operators.RemoveHost(acme, host); err != nil {
			t.Fatal(err)
		}
		if _, err := late.VerifyHost(other, host, manage.ProofDNS); err != nil {
			t.Errorf("after it was given up: %v", err)
		}
	})
}

// A change that was not announced a day ahead must say so, and only what is proven is planned.
func TestAnIssuerIsAnnounced(t *testing.T) {
	house := production(t, servertest.Options{})
	acme := house.Organization("acme")
	have(t, house, acme, "login.acme.example")
	if _, err := house.Operators.AddHost(acme, "claimed.acme.example"); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for name, to := range map[string]manage.IssuerChange{
		"tomorrow, nearly": {Host: "login.acme.example", From: now.Add(23 * time.Hour)}, "yesterday": {Host: "login.acme.example", From: now.Add(-time.Hour)},
		"in two years": {Host: "login.acme.example", From: now.AddDate(2, 0, 0), Unannounced: true}, "not proven": {Host: "claimed.acme.example", Unannounced: true},
		"not claimed": {Host: "x.acme.example", Unannounced: true}, "no host": {Host: "https://login.acme.example", Unannounced: true},
	} {
		if org, err := house.Operators.SetIssuerHost(acme, to); err == nil {
			t.Errorf("%s: %+v", name, org)
		}
	}
	org, err := house.Operators.SetIssuerHost(acme, manage.IssuerChange{Host: "LOGIN.acme.example"})
	if err != nil {
		t.Fatal(err)
	}
	if host, from, ok := org.PlannedIssuerHost(now); !ok || host != "login.acme.example" || from.Before(now.Add(24*time.Hour-time.Minute)) {
		t.Errorf("planned: %s, %v", host, from)
	}
	dev := servertest.Start(t, servertest.Options{})
	if _, err := dev.Operators.SetIssuerHost(dev.Organization("acme"), manage.IssuerChange{Host: "login.acme.example", Unannounced: true}); len(manage.Complaints(err)) == 0 {
		t.Errorf("in development: %v", err)
	}
}
