package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
)

// side is one of several organizations that have everything alike, down to the identifiers and secrets of their clients, so
// that nothing but the organization keeps them apart.
type side struct {
	house  *servertest.House
	slug   string
	ctx    context.Context
	issuer string
	path   string // of the issuer
	suffix string // of its cookies

	trusted, asking, signed *servertest.Client
}

// alike makes an organization whose clients are those of another one, which may be nil.
func alike(t *testing.T, house *servertest.House, slug string, first *side, jwks json.RawMessage) *side {
	t.Helper()
	s := &side{house: house, slug: slug}
	if slug == house.Cfg.RootOrganization {
		s.ctx = house.In(slug)
	} else {
		s.ctx, s.suffix = house.Organization(slug), "_"+slug
	}
	s.issuer = house.Issuer(s.ctx)
	s.path = strings.TrimPrefix(s.issuer, house.Base)
	house.User(s.ctx, "alice")
	if first == nil {
		s.trusted = house.Client(s.ctx, manage.ClientSpec{Name: "Trusted", SkipConsent: true})
		s.asking = house.Client(s.ctx, manage.ClientSpec{Name: "Asking"})
		s.signed = house.Client(s.ctx, manage.ClientSpec{
			Name: "Signed", AuthMethod: "private_key_jwt", JWKS: jwks, GrantTypes: []string{"client_credentials"}, Scope: "read",
		})
		return s
	}
	copied := func(client *servertest.Client) *servertest.Client {
		row, err := house.DB.Client(first.ctx, client.ID)
		if err != nil {
			t.Fatal(err)
		}
		mine := *row
		mine.ID, mine.Owned = uuid.Nil, storage.Owned{}
		if err := house.DB.CreateClient(s.ctx, &mine); err != nil {
			t.Fatal(err)
		}
		here := *client
		here.Issuer = s.issuer
		return &here
	}
	s.trusted, s.asking, s.signed = copied(first.trusted), copied(first.asking), copied(first.signed)
	return s
}

// disguised are the cookies of one organization under the names of another.
func (s *side) disguised(as *side, visitor *servertest.Visitor) (cookies []*http.Cookie) {
	for _, cookie := range visitor.Cookies(s.house.URL) {
		name := strings.TrimSuffix(cookie.Name, s.suffix)
		cookies = append(cookies, cookie, &http.Cookie{Name: name + as.suffix, Value: cookie.Value})
	}
	return cookies
}

// Issue point 6, S-021, S-077, S-106, S-122, S-166, S-190: whatever one organization has given out is worth nothing at another,
// under whatever name it is brought, and has lost nothing by having been brought there.
func TestNothingOfOneOrganizationOpensAnythingAtAnother(t *testing.T) {
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := servertest.Start(t, servertest.Options{DatabaseURL: databaseURL})
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k"}}})
		if err != nil {
			t.Fatal(err)
		}
		root := alike(t, house, "default", nil, jwks)
		acme, bravo := alike(t, house, "acme", root, nil), alike(t, house, "bravo", root, nil)
		for _, pair := range [][2]*side{{root, acme}, {acme, root}, {acme, bravo}} {
			t.Run("from "+pair[0].slug+" to "+pair[1].slug, func(t *testing.T) {
				tokensStayAtHome(t, pair[0], pair[1])
				browsersStayAtHome(t, pair[0], pair[1])
				keysStayAtHome(t, pair[0], pair[1], key)
			})
		}
	})
}

func tokensStayAtHome(t *testing.T, one, two *side) {
	house, home, there := one.house, one.trusted, two.trusted
	visitor := signedIn(home, "alice")
	for _, format := range []string{"opaque", "jwt"} {
		at := one.ctx
		if _, _, err := house.Operators.UpdateClient(at, home.ID, manage.ClientPatch{AccessTokenFormat: &format}); err != nil {
			t.Fatal(err)
		}
		var tokens *servertest.Answer
		if !within(t.Context(), 5*time.Second, func() bool {
			tokens = home.Redeem(visitor.Code(home.AuthorizeURL("scope", "openid offline_access"), "alice"))
			return (strings.Count(tokens.Text("access_token"), ".") == 2) == (format == "jwt")
		}) {
			t.Fatalf("%d %s", tokens.Status, tokens.Body)
		}
		code := visitor.Code(home.AuthorizeURL(), "alice")
		access, refresh := tokens.Text("access_token"), tokens.Text("refresh_token")

		wantError(t, "a code", there.Redeem(code), 400, "invalid_grant")
		wantError(t, "a refresh token", there.Refresh(refresh), 400, "invalid_grant")
		bearer := []string{"Authorization", "Bearer " + access}
		wantError(t, "an access token", send(t, house, request{address: two.path + "/oauth2/userinfo", header: bearer}), 401, "invalid_token")
		wantError(t, "an access token, posted", send(t, house, request{address: two.path + "/oauth2/userinfo", form: fields("access_token", access)}), 401, "invalid_token")
		for _, token := range []string{access, refresh, tokens.Text("id_token"), code} {
			wantInactive(t, "introspection", there.Post("/oauth2/introspect", "token", token))
			if answer := there.Post("/oauth2/revoke", "token", token); answer.Status != 200 || answer.Body != "" {
				t.Errorf("revocation: %d %s", answer.Status, answer.Body)
			}
		}
		answer := send(t, house, request{address: there.AuthorizeURL("id_token_hint", tokens.Text("id_token"))})
		if carried := sentOn(t, "a hint", answer, there.Redirect); carried.Get("error") != "invalid_request" {
			t.Errorf("a hint: %v", carried)
		}
		wantPage(t, "a hint at logout", send(t, house, request{address: two.path + "/oauth2/logout?id_token_hint=" + tokens.Text("id_token")}), 400)

		if answer := home.Redeem(code); answer.Status != 200 {
			t.Errorf("the code, at home: %d %s", answer.Status, answer.Body)
		}
		if !home.Active(access) || home.Refresh(refresh).Status != 200 {
			t.Error("the tokens, at home, have ended")
		}
		if answer := send(t, house, request{address: one.path + "/oauth2/userinfo", header: bearer}); answer.Status != 200 {
			t.Errorf("userinfo, at home: %d %s", answer.Status, answer.Body)
		}
	}

	// A client that only the one has.
	origin := "https://" + one.slug + "-and-not-" + two.slug + ".example"
	own := house.Client(one.ctx, manage.ClientSpec{RedirectURIs: []string{origin + "/cb"}})
	form := fields("grant_type", "authorization_code", "code", "x", "redirect_uri", own.Redirect, "token", "x", "response_type", "code", "client_id", own.ID)
	for _, endpoint := range []string{"/oauth2/token", "/oauth2/par", "/oauth2/introspect", "/oauth2/revoke"} {
		wantError(t, endpoint, send(t, house, request{address: two.path + endpoint, form: form, header: []string{"Authorization", own.Basic()}}), 401, "invalid_client")
	}
	wantPage(t, "a client that is not known there", send(t, house, request{address: two.path + "/oauth2/authorize?" + form.Encode()}), 400)
	for _, path := range []string{"/oauth2/token", "/oauth2/userinfo", "/oauth2/revoke"} {
		for _, s := range []*side{one, two} {
			answer := send(t, house, request{method: "OPTIONS", address: s.path + path, header: []string{"Origin", origin}})
			if (answer.Header.Get("Access-Control-Allow-Origin") != "") != (s == one) {
				t.Errorf("%s lets scripts of the client read %s: %v", s.slug, path, answer.Header)
			}
		}
	}

	// A request that was pushed.
	asked, err := url.Parse(home.AuthorizeURL())
	if err != nil {
		t.Fatal(err)
	}
	pushed := send(t, house, request{address: one.path + "/oauth2/par", form: asked.Query(), header: []string{"Authorization", home.Basic()}})
	named := "/oauth2/authorize?" + fields("client_id", home.ID, "request_uri", pushed.Text("request_uri")).Encode()
	wantPage(t, "a pushed request", send(t, house, request{address: two.path + named, cookies: one.disguised(two, visitor)}), 400)
	if code := visitor.Code(house.URL+one.path+named, "alice"); code == "" {
		t.Error("the pushed request, at home, is spent")
	}
}

func browsersStayAtHome(t *testing.T, one, two *side) {
	house := one.house
	change(t, house, `DELETE FROM consents`)
	visitor := signedIn(one.trusted, "alice")
	dressed := one.disguised(two, visitor)

	// Signed in there is nobody, whatever the cookie is called.
	for name, cookies := range map[string][]*http.Cookie{"as it is": visitor.Cookies(house.URL), "under another name": dressed} {
		answer := send(t, house, request{address: two.trusted.AuthorizeURL("prompt", "none"), cookies: cookies})
		if carried := sentOn(t, name, answer, two.trusted.Redirect); carried.Get("error") != "login_required" || carried.Get("iss") != two.issuer {
			t.Errorf("a session %s: %v", name, carried)
		}
		answer = send(t, house, request{address: two.path + "/oauth2/logout", cookies: cookies})
		if to := answer.Header.Get("Location"); answer.Status != 303 || to != two.path+"/logged-out" {
			t.Errorf("logout with a session %s: %d %s", name, answer.Status, to)
		}
	}

	// Requests that are under way.
	stranger := one.asking.Visitor()
	login := stranger.Go(one.asking.AuthorizeURL("scope", "openid email"))
	consenting := one.asking.Visitor()
	consent := consenting.SignIn(consenting.Go(one.asking.AuthorizeURL("scope", "openid email")), "alice", servertest.Password)
	if login.Title != "Sign in" || consent.Title != "Allow access" {
		t.Fatalf("%q, %q", login.Title, consent.Title)
	}
	for _, under := range []struct {
		address *url.URL
		body    string
		who     *servertest.Visitor
	}{{login.URL, login.Body, stranger}, {consent.URL, consent.Body, consenting}} {
		id := under.address.Query().Get("interaction")
		for _, path := range []string{"/oauth2/authorize", "/login", "/consent"} {
			there := two.path + path + "?interaction=" + id
			for _, cookies := range [][]*http.Cookie{under.who.Cookies(house.URL), one.disguised(two, under.who)} {
				wantPage(t, path, send(t, house, request{address: there, cookies: cookies}), 400)
				if path == "/oauth2/authorize" {
					continue
				}
				for _, action := range []string{"allow", "deny", "cancel", ""} {
					form := fields("csrf_token", csrf(t, under.body), "action", action, "username", "alice", "password", servertest.Password)
					wantPage(t, path+" "+action, send(t, house, request{address: there, form: form, cookies: cookies}), 400)
				}
			}
		}
	}
	// A form of the one, filled in at the other: the browser has begun something there too.
	guest := two.asking.Visitor()
	page := guest.Go(two.asking.AuthorizeURL())
	form := fields("csrf_token", csrf(t, login.Body), "username", "alice", "password", servertest.Password)
	both := append(one.disguised(two, stranger), guest.Cookies(house.URL)...)
	wantPage(t, "a form's token", send(t, house, request{address: page.URL.RequestURI(), form: form, cookies: guest.Cookies(house.URL)}), 403)
	wantPage(t, "a form's token with its cookies", send(t, house, request{address: page.URL.RequestURI(), form: form, cookies: both}), 403)

	// The page that asks whether to sign out carries what it was asked, sealed.
	leaving := visitor.Go(house.URL + one.path + "/oauth2/logout")
	member := signedIn(two.trusted, "alice")
	sealed := leaving.Body[strings.Index(leaving.Body, `name="request" value="`)+len(`name="request" value="`):]
	sealed = sealed[:strings.Index(sealed, `"`)]
	theirs := member.Go(house.URL + two.path + "/oauth2/logout")
	form = fields("confirm", "yes", "request", sealed, "csrf_token", csrf(t, theirs.Body))
	answer := send(t, house, request{address: two.path + "/oauth2/logout", form: form, cookies: member.Cookies(house.URL)})
	wantPage(t, "what a logout was asked with", answer, 400)

	// A person of the one alone is nobody at the other.
	name := "only" + one.slug + two.slug
	house.User(one.ctx, name)
	refused := two.trusted.Visitor()
	if page := refused.SignIn(refused.Go(two.trusted.AuthorizeURL()), name, servertest.Password); page.Status != 401 || page.Title != "Sign in" {
		t.Errorf("a person of the other: %d %q", page.Status, page.Title)
	}

	// And all that was begun at home goes on there.
	if arrived, _ := consenting.Press(consent, "consent-allow").Arrived(); arrived.Get("code") == "" || arrived.Get("iss") != one.issuer {
		t.Errorf("the consent, at home: %v", arrived)
	}
	if arrived, _ := stranger.SignIn(login, "alice", servertest.Password).Arrived(); arrived.Get("code") == "" {
		t.Errorf("the login, at home: %v", arrived)
	}
	someone := two.asking.Visitor()
	asked := someone.SignIn(someone.Go(two.asking.AuthorizeURL("scope", "openid email")), "alice", servertest.Password)
	if asked.Title != "Allow access" {
		t.Errorf("a consent counts at the other: %q", asked.Title)
	}
	answer = send(t, house, request{address: one.trusted.AuthorizeURL("prompt", "none"), cookies: visitor.Cookies(house.URL)})
	if carried := sentOn(t, "the session", answer, one.trusted.Redirect); carried.Get("code") == "" {
		t.Errorf("the session, at home: %v", carried)
	}
}

func keysStayAtHome(t *testing.T, one, two *side, key *ecdsa.PrivateKey) {
	house := one.house
	published := func(s *side) (kids []string) {
		var set jose.JSONWebKeySet
		if err := json.Unmarshal([]byte(send(t, house, request{address: s.path + "/.well-known/jwks.json"}).Body), &set); err != nil {
			t.Fatal(err)
		}
		for _, key := range set.Keys {
			kids = append(kids, key.KeyID)
		}
		return kids
	}
	for _, kid := range published(one) {
		if strings.Contains(strings.Join(published(two), " "), kid) {
			t.Errorf("both publish %s", kid)
		}
	}
	for _, s := range []*side{one, two} {
		if said := send(t, house, request{address: s.path + "/.well-known/openid-configuration"}).Text("issuer"); said != s.issuer {
			t.Errorf("%s says that it is %s", s.issuer, said)
		}
	}

	// A relying party that has mixed up the two believes neither.
	idToken := one.trusted.Redeem(signedIn(one.trusted, "alice").Code(one.trusted.AuthorizeURL(), "alice")).Text("id_token")
	for issuer, keys := range map[string]string{one.issuer: two.issuer, two.issuer: one.issuer} {
		verifier := oidc.NewVerifier(issuer, oidc.NewRemoteKeySet(t.Context(), house.URL+strings.TrimPrefix(keys, house.Base)+"/.well-known/jwks.json"),
			&oidc.Config{ClientID: one.trusted.ID})
		if _, err := verifier.Verify(t.Context(), idToken); err == nil {
			t.Errorf("the ID token verifies as of %s, by the keys of %s", issuer, keys)
		}
	}

	// An assertion names the one it is for. The same jti may be used at both.
	jti := rand.Text()
	present := func(at *side, audience, jti string) *servertest.Answer {
		now := time.Now().Unix()
		payload := fmt.Sprintf(`{"iss":%q,"sub":%q,"aud":%q,"jti":%q,"iat":%d,"exp":%d}`, at.signed.ID, at.signed.ID, audience, jti, now, now+60)
		return send(t, house, request{address: at.path + "/oauth2/token", form: fields("grant_type", "client_credentials",
			"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
			"client_assertion", handmade(`{"alg":"ES256","kid":"k"}`, payload, raw(t, key)))})
	}
	wantError(t, "an assertion for the other", present(two, one.issuer, jti), 400, "invalid_client")
	wantError(t, "an assertion for the other", present(one, two.issuer, jti), 400, "invalid_client")
	for _, s := range []*side{one, two} {
		if answer := present(s, s.issuer, jti); answer.Status != 200 {
			t.Errorf("an assertion for %s: %d %s", s.slug, answer.Status, answer.Body)
		}
		wantError(t, "the same once more", present(s, s.issuer, jti), 400, "invalid_client")
	}

	// A key that signed for the one can be asked for by its name at the other, and is not found.
	kid := published(one)[0]
	if err := house.Operators.RevokeKey(two.ctx, kid); err == nil {
		t.Error("the other's key was revoked")
	}
}

// S-270: an organization that is suspended answers nobody, at every address, at both replicas;
// the others do not notice; and when it comes back everything is as it was.
func TestASuspendedOrganizationAnswersNobody(t *testing.T) {
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		replicas := twoReplicas(t, databaseURL, 0)
		house := replicas[0]
		root := alike(t, house, "default", nil, clientJWKS(t))
		acme := alike(t, house, "acme", root, nil)
		visitor := signedIn(acme.trusted, "alice")
		tokens := acme.trusted.Redeem(visitor.Code(acme.trusted.AuthorizeURL("scope", "openid offline_access"), "alice"))
		org, err := tenant.From(acme.ctx)
		if err != nil {
			t.Fatal(err)
		}
		serves := func(replica *servertest.House) bool {
			return send(t, replica, request{address: acme.path + "/.well-known/openid-configuration"}).Status == 200
		}
		for _, replica := range replicas {
			serves(replica) // and remembers it for a moment
		}
		if _, err := house.Operators.SuspendOrganization(t.Context(), org.Slug); err != nil {
			t.Fatal(err)
		}
		done := time.Now()
		for i, replica := range replicas {
			holdsAfterASecond(t, fmt.Sprintf("suspended at replica %d", i+1), done, func() bool { return !serves(replica) })
			if page := send(t, replica, request{address: acme.path + "/login"}); !strings.Contains(page.Body, "has been suspended") {
				t.Errorf("replica %d, a page: %s", i+1, short(page.Body))
			}
			form := fields("grant_type", "refresh_token", "refresh_token", tokens.Text("refresh_token"), "token", tokens.Text("access_token"))
			basic := []string{"Authorization", acme.trusted.Basic()}
			for name, r := range map[string]request{
				"authorize": {address: strings.TrimPrefix(acme.trusted.AuthorizeURL(), house.URL), cookies: visitor.Cookies(house.URL)},
				"keys":      {address: acme.path + "/.well-known/jwks.json"}, "login": {address: acme.path + "/login"},
				"logout": {address: acme.path + "/oauth2/logout", cookies: visitor.Cookies(house.URL)},
				"token":  {address: acme.path + "/oauth2/token", form: form, header: basic}, "par": {address: acme.path + "/oauth2/par", form: form, header: basic},
				"introspect": {address: acme.path + "/oauth2/introspect", form: form, header: basic}, "revoke": {address: acme.path + "/oauth2/revoke", form: form, header: basic},
				"userinfo": {address: acme.path + "/oauth2/userinfo", header: []string{"Authorization", "Bearer " + tokens.Text("access_token")}},
			} {
				answer := send(t, replica, r)
				if status := answer.Status; status != 404 && (name != "authorize" || status != 400) || strings.Contains(answer.Body, "token\":") {
					t.Errorf("replica %d, %s: %d %s", i+1, name, answer.Status, short(answer.Body))
				}
			}
			if answer := root.trusted.TokenAt(replica, "grant_type", "refresh_token", "refresh_token", "x"); answer.Text("error") != "invalid_grant" {
				t.Errorf("the others: %d %s", answer.Status, answer.Body)
			}
		}
		if answer, err := house.Operators.Introspect(managed(t, house, org.Slug), tokens.Text("access_token")); err != nil || answer["active"] != false {
			t.Errorf("introspected by an operator: %v, %v", answer, err)
		}
		if _, err := house.Operators.ResumeOrganization(t.Context(), org.Slug); err != nil {
			t.Fatal(err)
		}
		if !within(t.Context(), 5*time.Second, func() bool { return acme.trusted.Refresh(tokens.Text("refresh_token")).Status == 200 }) {
			t.Error("it does not come back")
		}
	})
}

// managed is an organization as operators see it.
func managed(t *testing.T, house *servertest.House, slug string) context.Context {
	t.Helper()
	org, err := house.Managed(t.Context(), slug)
	if err != nil {
		t.Fatal(err)
	}
	return tenant.With(t.Context(), org)
}

// clientJWKS is a key set of which nobody has the private keys.
func clientJWKS(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k"}}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}
