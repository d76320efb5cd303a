package server_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

// The relying party of this journey is made of libraries that nobody here wrote, and knows nothing but the issuer and what
// `client create` answered.
func TestAnApplicationSignsAPersonInWithNothingButTheIssuerAndItsCredentials(t *testing.T) {
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := servertest.Start(t, servertest.Options{DatabaseURL: databaseURL})
		for _, org := range []context.Context{house.In("default"), house.Organization("acme")} {
			for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
				for _, format := range []string{"opaque", "jwt"} {
					t.Run(house.Issuer(org)+" "+alg+" "+format, func(t *testing.T) {
						username := strings.ToLower("u" + alg + format)
						user := house.User(org, username)
						client := house.Client(org, manage.ClientSpec{IDTokenAlg: alg, AccessTokenFormat: format})

						provider, err := oidc.NewProvider(t.Context(), client.Issuer)
						if err != nil {
							t.Fatal(err)
						}
						config := oauth2.Config{
							ClientID: client.ID, ClientSecret: client.Secret, Endpoint: provider.Endpoint(), RedirectURL: client.Redirect,
							Scopes: []string{"openid", "profile", "email", "offline_access"},
						}
						config.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
						verifier := oauth2.GenerateVerifier()
						arrived := client.Visitor().Through(
							config.AuthCodeURL("xyz", oidc.Nonce("n-0S6"), oauth2.S256ChallengeOption(verifier)), username)
						if arrived.Get("state") != "xyz" || arrived.Get("iss") != client.Issuer {
							t.Fatalf("arrived with %v", arrived)
						}
						tokens, err := config.Exchange(t.Context(), arrived.Get("code"), oauth2.VerifierOption(verifier))
						if err != nil {
							t.Fatal(err)
						}
						raw, _ := tokens.Extra("id_token").(string)
						idToken, err := provider.Verifier(&oidc.Config{ClientID: client.ID, SupportedSigningAlgs: []string{alg}}).Verify(t.Context(), raw)
						if err != nil {
							t.Fatal(err)
						}
						if idToken.Nonce != "n-0S6" || idToken.Subject != user.ID.String() {
							t.Errorf("nonce %q, subject %q", idToken.Nonce, idToken.Subject)
						}
						if alg != "EdDSA" { // go-oidc hashes with SHA-512 for it, but only since it knows the algorithm
							if err := idToken.VerifyAccessToken(tokens.AccessToken); err != nil {
								t.Error(err)
							}
						}
						info, err := provider.UserInfo(t.Context(), oauth2.StaticTokenSource(tokens))
						if err != nil {
							t.Fatal(err)
						}
						if info.Subject != idToken.Subject || info.Email != username+"@example.com" || !info.EmailVerified {
							t.Errorf("userinfo says %+v", info)
						}
						refreshed, err := config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: tokens.RefreshToken}).Token()
						if err != nil {
							t.Fatal(err)
						}
						if refreshed.RefreshToken == tokens.RefreshToken || refreshed.AccessToken == tokens.AccessToken {
							t.Error("a refresh gives new tokens")
						}
						if format == "jwt" {
							checkJWTAccessToken(t, provider, client, tokens.AccessToken, alg, user.ID.String())
						}
					})
				}
			}
		}
	})
}

func checkJWTAccessToken(t *testing.T, provider *oidc.Provider, client *servertest.Client, token, alg, subject string) {
	t.Helper()
	verified, err := provider.Verifier(&oidc.Config{SkipClientIDCheck: true, SupportedSigningAlgs: []string{alg}}).Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Scope    string `json:"scope"`
		ClientID string `json:"client_id"`
		JTI      string `json:"jti"`
	}
	if err := verified.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	if verified.Subject != subject || claims.ClientID != client.ID || claims.JTI == "" || !strings.Contains(claims.Scope, "openid") {
		t.Errorf("the JWT access token says %+v", claims)
	}
	if life := time.Until(verified.Expiry); life > 5*time.Minute || life < 4*time.Minute {
		t.Errorf("it lives %v", life)
	}
}

func TestDiscoveryTellsTheTruthAtEveryAddress(t *testing.T) {
	house := servertest.Start(t, servertest.Options{})
	acme := house.Organization("acme")
	issuer := house.Issuer(acme)
	path := strings.TrimPrefix(issuer, house.Base)

	for _, test := range []struct{ address, issuer string }{
		{house.Base + "/.well-known/openid-configuration", house.Base},
		{house.Base + "/.well-known/oauth-authorization-server", house.Base},
		{issuer + "/.well-known/openid-configuration", issuer},
		{issuer + "/.well-known/oauth-authorization-server", issuer},
		{house.Base + "/.well-known/openid-configuration" + path, issuer},
		{house.Base + "/.well-known/oauth-authorization-server" + path, issuer},
	} {
		answer := house.Get(test.address)
		if answer.Status != 200 || answer.Text("issuer") != test.issuer {
			t.Errorf("%s: %d, issuer %q", test.address, answer.Status, answer.Text("issuer"))
			continue
		}
		if got := answer.Header.Get("Cache-Control"); got != "public, max-age=300" {
			t.Errorf("%s: Cache-Control %q", test.address, got)
		}
		if got := answer.Header.Get("Access-Control-Allow-Origin"); got != "*" {
			t.Errorf("%s: Access-Control-Allow-Origin %q", test.address, got)
		}
		if again := house.Get(test.address, "If-None-Match", answer.Header.Get("ETag")); again.Status != 304 || again.Body != "" {
			t.Errorf("%s: %d for its own ETag", test.address, again.Status)
		}
		for name, value := range answer.JSON() {
			switch v := value.(type) {
			case nil:
				t.Errorf("%s is null", name)
			case []any:
				if len(v) == 0 {
					t.Errorf("%s is empty", name)
				}
			case string:
				if strings.HasSuffix(name, "_endpoint") || name == "jwks_uri" {
					if !strings.HasPrefix(v, test.issuer+"/") {
						t.Errorf("%s is %s", name, v)
					}
				}
			}
		}
		if answer.JSON()["authorization_response_iss_parameter_supported"] != true || answer.JSON()["request_uri_parameter_supported"] != false {
			t.Errorf("%s: %s", test.address, answer.Body)
		}
	}
	for _, nowhere := range []string{"/o/default/.well-known/openid-configuration", "/o/nobody/.well-known/openid-configuration", "/o/ACME/.well-known/openid-configuration"} {
		if answer := house.Get(house.Base + nowhere); answer.Status != 404 {
			t.Errorf("%s: %d", nowhere, answer.Status)
		}
	}
}

func TestTheKeySetHasDistinctPublicKeysOfItsOwn(t *testing.T) {
	house := servertest.Start(t, servertest.Options{})
	acme := house.Organization("acme")
	seen := map[string]bool{}
	for _, issuer := range []string{house.Base, house.Issuer(acme)} {
		var set struct {
			Keys []map[string]any `json:"keys"`
		}
		if err := json.Unmarshal([]byte(house.Get(issuer+"/.well-known/jwks.json").Body), &set); err != nil {
			t.Fatal(err)
		}
		if len(set.Keys) != 3 {
			t.Errorf("%d keys", len(set.Keys))
		}
		for _, key := range set.Keys {
			kid, _ := key["kid"].(string)
			if kid == "" || seen[kid] {
				t.Errorf("kid %q", kid)
			}
			seen[kid] = true
			for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "k"} {
				if _, there := key[private]; there {
					t.Errorf("%s stands in the key set", private)
				}
			}
		}
	}
}

func TestAMachineGetsATokenForItself(t *testing.T) {
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := servertest.Start(t, servertest.Options{DatabaseURL: databaseURL})
		svc := house.Client(house.In("default"), manage.ClientSpec{GrantTypes: []string{"client_credentials"}, Scope: "read write"})

		answer := svc.Token("grant_type", "client_credentials")
		if answer.Status != 200 || answer.Text("scope") != "read write" || answer.Text("token_type") != "Bearer" || answer.JSON()["expires_in"] != 600.0 {
			t.Fatalf("%d %s", answer.Status, answer.Body)
		}
		if answer.Header.Get("Cache-Control") != "no-store" || answer.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%v", answer.Header)
		}
		for _, never := range []string{"refresh_token", "id_token"} {
			if _, there := answer.JSON()[never]; there {
				t.Errorf("a machine has no %s", never)
			}
		}
		token := answer.Text("access_token")
		seen := svc.Post("/oauth2/introspect", "token", token).JSON()
		if seen["active"] != true || seen["sub"] != svc.ID || seen["client_id"] != svc.ID || seen["scope"] != "read write" || seen["iss"] != house.Base {
			t.Errorf("introspection says %v", seen)
		}
		if answer := house.Get(house.Base+"/oauth2/userinfo", "Authorization", "Bearer "+token); answer.Status != 403 {
			t.Errorf("userinfo about a machine: %d", answer.Status)
		}
		if narrow := svc.Token("grant_type", "client_credentials", "scope", "read"); narrow.Text("scope") != "read" {
			t.Errorf("%s", narrow.Body)
		}
		for scope, code := range map[string]string{"read admin": "invalid_scope", "openid": "invalid_scope", "offline_access": "invalid_scope"} {
			if answer := svc.Token("grant_type", "client_credentials", "scope", scope); answer.Status != 400 || answer.Text("error") != code {
				t.Errorf("%s: %d %s", scope, answer.Status, answer.Body)
			}
		}
		if answer := svc.Post("/oauth2/revoke", "token", token); answer.Status != 200 || svc.Active(token) {
			t.Errorf("revocation: %d", answer.Status)
		}
	})
}

func TestAnAnswerByFormPostComesAsAForm(t *testing.T) {
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	client := house.Client(org, manage.ClientSpec{})
	visitor := client.Visitor()

	arrived := visitor.Through(client.AuthorizeURL("response_mode", "form_post"), "alice")
	if answer := client.Redeem(arrived.Get("code")); answer.Status != 200 {
		t.Fatalf("%d %s", answer.Status, answer.Body)
	}
	if arrived.Get("state") != "the-state" || arrived.Get("iss") != client.Issuer {
		t.Errorf("%v", arrived)
	}
	refused := visitor.Through(client.AuthorizeURL("response_mode", "form_post", "scope", "openid nonsense"), "alice")
	if refused.Get("error") != "invalid_scope" || refused.Get("state") != "the-state" || refused.Get("iss") != client.Issuer {
		t.Errorf("%v", refused)
	}
}

func TestARequestThatIsPostedGoesTheSameWay(t *testing.T) {
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	client := house.Client(org, manage.ClientSpec{})
	asked, err := url.Parse(client.AuthorizeURL())
	if err != nil {
		t.Fatal(err)
	}
	answer := house.Post(client.Issuer+"/oauth2/authorize", asked.Query(), "Origin", "https://rp.example", "Sec-Fetch-Site", "cross-site")
	if answer.Status != http.StatusSeeOther {
		t.Fatalf("%d %s", answer.Status, answer.Body)
	}
	next, err := asked.Parse(answer.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	if code := client.Visitor().Code(next.String(), "alice"); code == "" {
		t.Error("no code")
	}
}

func TestConsentIsRememberedForWhatWasAllowed(t *testing.T) {
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	client := house.Client(org, manage.ClientSpec{})
	visitor := client.Visitor()

	page := visitor.SignIn(visitor.Go(client.AuthorizeURL("scope", "openid email")), "alice", servertest.Password)
	if page.Title != "Allow access" {
		t.Fatalf("a new client is allowed first: %q", page.Title)
	}
	if _, ok := visitor.Press(page, "consent-allow").Arrived(); !ok {
		t.Fatal("allowed, but not sent on")
	}
	for scope, asked := range map[string]bool{"openid email": false, "openid": false, "openid profile": true} {
		_, arrived := visitor.Go(client.AuthorizeURL("scope", scope)).Arrived()
		if arrived == asked {
			t.Errorf("%s: consent asked = %v", scope, !arrived)
		}
	}
	if page := visitor.Go(client.AuthorizeURL("scope", "openid", "prompt", "consent")); page.Title != "Allow access" {
		t.Errorf("prompt=consent asks again: %q", page.Title)
	}
	silent, _ := visitor.Go(client.AuthorizeURL("scope", "openid profile", "prompt", "none")).Arrived()
	if silent.Get("error") != "consent_required" {
		t.Errorf("%v", silent)
	}

	trusted := house.Client(org, manage.ClientSpec{SkipConsent: true})
	if _, arrived := visitor.Go(trusted.AuthorizeURL()).Arrived(); !arrived {
		t.Error("the organization's own client is not asked about")
	}
}

func TestDenyAndCancelAreAccessDenied(t *testing.T) {
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	client := house.Client(org, manage.ClientSpec{})

	visitor := client.Visitor()
	cancelled, _ := visitor.Press(visitor.Go(client.AuthorizeURL()), "login-cancel").Arrived()
	denied, _ := visitor.Press(visitor.SignIn(visitor.Go(client.AuthorizeURL()), "alice", servertest.Password), "consent-deny").Arrived()
	for name, arrived := range map[string]url.Values{"cancel": cancelled, "deny": denied} {
		if arrived.Get("error") != "access_denied" || arrived.Get("state") != "the-state" || arrived.Get("iss") != client.Issuer || arrived.Has("code") {
			t.Errorf("%s: %v", name, arrived)
		}
	}
}

func TestARefreshedIDTokenKeepsWhatItMust(t *testing.T) {
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	client := house.Client(org, manage.ClientSpec{})
	answer := client.Tokens("alice", "openid offline_access")
	before := servertest.Claims(t, answer.Text("id_token"))
	after := servertest.Claims(t, client.Refresh(answer.Text("refresh_token")).Text("id_token"))
	for _, name := range []string{"iss", "sub", "aud", "auth_time", "acr", "sid"} {
		if before[name] == nil || before[name] != after[name] {
			t.Errorf("%s was %v, is %v", name, before[name], after[name])
		}
	}
	if _, there := after["nonce"]; there {
		t.Error("a refreshed ID token carries no nonce")
	}
	if before["nonce"] != "the-nonce" || before["at_hash"] == nil || before["acr"] == "" || before["acr"] == "0" {
		t.Errorf("%v", before)
	}
	names := []string{}
	for name := range before {
		names = append(names, name)
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != "acr amr at_hash aud auth_time exp iat iss nonce sid sub" {
		t.Errorf("the ID token says %s", got)
	}
}
