package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keizer-auth/keizer/config"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
)

// registration asks for something at the registration endpoint, or at the address of a registration, with a token if there is one.
func registration(t testing.TB, house *servertest.House, method, address, token string, body any) *servertest.Answer {
	t.Helper()
	r := request{method: method, address: address}
	switch body := body.(type) {
	case nil:
	case string:
		r.body, r.kind = strings.NewReader(body), "application/json"
	default:
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		r.body, r.kind = strings.NewReader(string(text)), "application/json"
	}
	if token != "" {
		r.header = []string{"Authorization", "Bearer " + token}
	}
	return send(t, house, r)
}

// developers have a token with which they may register as many clients as they like.
func developers(t testing.TB, house *servertest.House, org context.Context) string {
	t.Helper()
	_, token, err := house.Operators.CreateRegistrationToken(org, manage.NewRegistrationToken{Name: "Developers"})
	if err != nil {
		t.Fatal(err)
	}
	return token.Reveal()
}

// refusedAs checks the form of a refusal.
func refusedAs(t testing.TB, what string, answer *servertest.Answer, status int, code string) {
	t.Helper()
	challenge := answer.Header.Get("WWW-Authenticate")
	if answer.Status != status || answer.Text("error") != code || answer.Header.Get("Cache-Control") != "no-store" ||
		(status == http.StatusUnauthorized) != strings.HasPrefix(challenge, "Bearer ") {
		t.Errorf("%s: %d %s %q", what, answer.Status, answer.Body, challenge)
	}
}

type metadata = map[string]any

// RFC 7591, RFC 7592, OpenID Connect Dynamic Client Registration 1.0; S-132.
func TestAClientIsRegisteredUsedLookedAfterAndDeletedByWhoeverWantsOne(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	root, acme := house.In("default"), house.Organization("acme")
	house.User(root, "alice")
	endpoint := house.Issuer(root) + "/oauth2/register"
	discovery := func(org context.Context) string {
		return house.Get(house.Issuer(org) + "/.well-known/openid-configuration").Text("registration_endpoint")
	}
	app := metadata{"client_name": "My application", "redirect_uris": []string{"https://rp.example/cb?a=1"}}

	refusedAs(t, "while it is off", registration(t, house, "POST", endpoint, "", app), http.StatusForbidden, "access_denied")
	root = decided(t, house, "default", "registration.mode", "open")
	if here, there := discovery(root), discovery(acme); here != endpoint || there != "" {
		t.Errorf("clients are registered at %q, and where they are not at %q", here, there)
	}

	answer := registration(t, house, "POST", endpoint, "", metadata{
		"client_name": "My application", "client_name#de": "Meine Anwendung", "redirect_uris": []string{"https://rp.example/cb?a=1"},
		"grant_types": []string{"authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"},
		"contacts":    []string{"ada@rp.example"}, "logo_uri": "https://rp.example/logo.png", "policy_uri": "https://rp.example/privacy",
		"tos_uri": "https://rp.example/terms", "client_uri": "", "jwks_uri": nil, "initiate_login_uri": "https://rp.example/start",
		"software_id": "4NRB1", "default_max_age": 3600, "require_auth_time": true, "dpop_bound_access_tokens": false,
		// What nobody knows is passed over, and so is what only operators decide, and what the server gives.
		"favourite_colour": "blue", "claim_mappings": []any{map[string]any{"claim": "upn", "from": "username"}}, "skip_consent": true, "pkce_optional": true, "audience": []string{"https://api.example"}, "disabled": true,
		"access_token_format": "jwt", "client_id": "mine", "client_secret": "chosen by me", "registration_access_token": "mine", "roles": []string{"owner"},
	})
	if answer.Status != http.StatusCreated || answer.Header.Get("Cache-Control") != "no-store" || answer.Header.Get("Content-Type") != "application/json" ||
		answer.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Fatalf("%d %v %s", answer.Status, answer.Header, answer.Body)
	}
	got := answer.JSON()
	id, token := answer.Text("client_id"), answer.Text("registration_access_token")
	at := answer.Text("registration_client_uri")
	for name, want := range map[string]any{
		"client_name": "My application", "client_name#de": "Meine Anwendung", "token_endpoint_auth_method": "client_secret_basic",
		"grant_types": []any{"authorization_code", "refresh_token"}, "response_types": []any{"code"}, "application_type": "web",
		"scope": "openid profile email address phone offline_access", "id_token_signed_response_alg": "RS256", "client_secret_expires_at": 0.0,
		"logo_uri": "https://rp.example/logo.png", "access_token_format": "opaque", "default_max_age": 3600.0, "registration_client_uri": endpoint + "/" + id,
		"favourite_colour": nil, "claim_mappings": nil, "skip_consent": nil, "pkce_optional": nil, "audience": nil, "disabled": nil, "roles": nil, "client_uri": nil, "jwks_uri": nil,
	} {
		if !equalJSON(got[name], want) {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if issued, _ := got["client_id_issued_at"].(float64); time.Since(time.Unix(int64(issued), 0)).Abs() > time.Minute || len(id) != 24 ||
		!secret.Valid(secret.ClientSecret, answer.Text("client_secret")) || !secret.Valid(secret.Registration, token) {
		t.Errorf("%v", got)
	}
	client := house.Known(root, id, answer.Text("client_secret"), "https://rp.example/cb?a=1")

	// It is a client as any other is: people are asked for consent, whatever it wanted.
	visitor := client.Visitor()
	page := visitor.SignIn(visitor.Go(client.AuthorizeURL("scope", "openid email offline_access")), "alice", servertest.Password)
	for _, link := range []string{"https://rp.example/logo.png", "https://rp.example/privacy", "https://rp.example/terms"} {
		if !strings.Contains(page.Body, `href="`+link+`"`) {
			t.Errorf("there is no link to %s", link)
		}
	}
	if page.Title != "Allow access" {
		t.Fatalf("%q %s", page.Title, page.Body)
	}
	tokens := client.Redeem(arrivedAt(t, visitor.Press(page, "consent-allow")).Get("code"))
	if tokens.Status != http.StatusOK || tokens.Text("id_token") == "" || client.Refresh(tokens.Text("refresh_token")).Status != http.StatusOK {
		t.Fatalf("%d %s", tokens.Status, tokens.Body)
	}

	t.Run("read", func(t *testing.T) {
		read := registration(t, house, "GET", at, token, nil)
		want := maps.Clone(got)
		delete(want, "client_secret") // of which nobody has more than the digest
		if read.Status != http.StatusOK || !equalJSON(read.JSON(), want) {
			t.Errorf("%d %s\nwant %v", read.Status, read.Body, want)
		}
		other := registration(t, house, "POST", endpoint, "", app)
		theirs, elsewhere := other.Text("registration_access_token"), strings.Replace(at, endpoint, house.Issuer(acme)+"/oauth2/register", 1)
		made, _, err := house.Operators.CreateClient(root, manage.ClientSpec{Name: "Of an operator", RedirectURIs: []string{servertest.Callback}})
		if err != nil {
			t.Fatal(err)
		}
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			body := any(nil)
			if method == "PUT" {
				body = app
			}
			for what, try := range map[string][2]string{
				"no token": {at, ""}, "another client's token": {at, theirs}, "a word": {at, "token"}, "an access token": {at, tokens.Text("access_token")},
				"the token at another client": {other.Text("registration_client_uri"), token}, "the token at another organization": {elsewhere, token},
				"the token at no client": {endpoint + "/" + strings.Repeat("a", 24), token}, "the token at a client of an operator's": {endpoint + "/" + made.ClientID, token},
				"the token at what is no name": {endpoint + "/%00%ff", token},
			} {
				refusedAs(t, method+" with "+what, registration(t, house, method, try[0], try[1], body), http.StatusUnauthorized, "invalid_token")
			}
		}
	})

	t.Run("update", func(t *testing.T) {
		put := func(body metadata) *servertest.Answer { return registration(t, house, "PUT", at, token, body) }
		whole := metadata{
			"client_id": id, "client_secret": client.Secret, "redirect_uris": []string{"https://rp.example/other"}, "grant_types": []string{"authorization_code"},
			"skip_consent": true, "scope": "openid email keizer:users:read roles", "client_name": "Renamed",
		}
		for name, change := range map[string]metadata{
			"no client_id": {"client_id": nil}, "another's client_id": {"client_id": "x"}, "another secret": {"client_secret": "x"}, "an empty secret": {"client_secret": ""},
			"its token": {"registration_access_token": token}, "its address": {"registration_client_uri": at}, "when it was made": {"client_id_issued_at": 1},
			"when its secret ends": {"client_secret_expires_at": 0}, "a bad contact": {"contacts": []string{""}},
		} {
			changed := maps.Clone(whole)
			maps.Copy(changed, change)
			refusedAs(t, name, put(changed), http.StatusBadRequest, "invalid_client_metadata")
		}
		answer := put(whole)
		now := answer.JSON()
		for name, want := range map[string]any{
			"client_id": id, "client_name": "Renamed", "client_name#de": nil, "redirect_uris": []any{"https://rp.example/other"}, "grant_types": []any{"authorization_code"},
			"logo_uri": nil, "contacts": nil, "scope": "openid email", "skip_consent": nil, "client_secret": nil, "registration_access_token": token,
			"client_secret_expires_at": 0.0, "client_id_issued_at": got["client_id_issued_at"], "default_max_age": nil,
		} {
			if !equalJSON(now[name], want) {
				t.Errorf("%s is %v, want %v", name, now[name], want)
			}
		}
		if answer.Status != http.StatusOK {
			t.Errorf("%d %s", answer.Status, answer.Body)
		}
		// A name that is left out is what the server calls it (RFC 7592 §2.2).
		if bare := put(metadata{"client_id": id, "redirect_uris": []string{"https://rp.example/cb?a=1"}}); bare.Text("client_name") != id {
			t.Errorf("%d %s", bare.Status, bare.Body)
		}
		public := put(metadata{"client_id": id, "token_endpoint_auth_method": "none", "redirect_uris": []string{"https://rp.example/cb?a=1"}})
		if _, has := public.JSON()["client_secret_expires_at"]; public.Status != http.StatusOK || has {
			t.Errorf("%d %s", public.Status, public.Body)
		}
		again := put(metadata{"client_id": id, "redirect_uris": []string{"https://rp.example/cb?a=1"}})
		if made := again.Text("client_secret"); !secret.Valid(secret.ClientSecret, made) || made == client.Secret {
			t.Errorf("%d %s", again.Status, again.Body)
		}
	})

	t.Run("what operators decide stays", func(t *testing.T) {
		truth, audience, scope := true, []string{"https://api.example"}, "openid orders"
		if _, _, err := house.Operators.UpdateClient(root, id, manage.ClientPatch{SkipConsent: &truth, Audience: &audience, Scope: &scope}); err != nil {
			t.Fatal(err)
		}
		put := registration(t, house, "PUT", at, token, metadata{"client_id": id, "scope": "openid orders more", "redirect_uris": []string{"https://rp.example/new"}})
		if now := put.JSON(); put.Status != http.StatusOK || now["scope"] != "openid orders" || !equalJSON(now["audience"], audience) || now["skip_consent"] != nil {
			t.Errorf("%d %s", put.Status, put.Body)
		}
		privileged := "openid keizer:users:read"
		if _, _, err := house.Operators.UpdateClient(root, id, manage.ClientPatch{Scope: &privileged}); err != nil {
			t.Fatal(err)
		}
		for _, method := range []string{"PUT", "DELETE"} {
			refusedAs(t, method+" of a client that may do what its registrant may not", registration(t, house, method, at, token,
				metadata{"client_id": id, "redirect_uris": []string{"https://evil.example/"}}), http.StatusForbidden, "access_denied")
		}
		scope = "openid"
		if _, _, err := house.Operators.UpdateClient(root, id, manage.ClientPatch{Scope: &scope, Disabled: &truth}); err != nil {
			t.Fatal(err)
		}
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			refusedAs(t, method+" of a disabled client", registration(t, house, method, at, token,
				metadata{"client_id": id, "disabled": false, "redirect_uris": []string{"https://rp.example/"}}), http.StatusUnauthorized, "invalid_token")
		}
		off := false
		if row, err := house.DB.Client(root, id); err != nil || !row.Disabled {
			t.Fatalf("%v: it is enabled", err)
		}
		if _, _, err := house.Operators.UpdateClient(root, id, manage.ClientPatch{Disabled: &off}); err != nil {
			t.Fatal(err)
		}
	})

	t.Run("delete", func(t *testing.T) {
		deleted := registration(t, house, "DELETE", at, token, nil)
		if deleted.Status != http.StatusNoContent || deleted.Body != "" || deleted.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %s", deleted.Status, deleted.Body)
		}
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			refusedAs(t, method+" of a deleted client", registration(t, house, method, at, token, app), http.StatusUnauthorized, "invalid_token")
		}
		if !within(t.Context(), patience, func() bool { return client.Refresh(tokens.Text("refresh_token")).Text("error") == "invalid_client" }) {
			t.Error("what was given to it is good still")
		}
	})

	events, err := house.DB.ListAudit(root, storage.AuditFilter{Target: id, OldestFirst: true})
	if err != nil {
		t.Fatal(err)
	}
	var byItself []string
	for _, event := range events {
		if event.Actor == "client:"+id && event.IPAddress != nil && event.RequestID != "" {
			byItself = append(byItself, event.Action)
		}
	}
	if want := []string{"client.registered", "client.updated", "client.updated", "client.updated", "client.updated", "client.updated", "client.deleted"}; !slices.Equal(byItself, want) {
		t.Errorf("the audit has %v, want %v", byItself, want)
	}
}

func equalJSON(a, b any) bool {
	one, err := json.Marshal(a)
	other, err2 := json.Marshal(b)
	return err == nil && err2 == nil && string(one) == string(other)
}

// RFC 7591 §2, §3.2.2; OpenID Connect Dynamic Client Registration 1.0 §2; S-005, S-006, S-105, S-130.
func TestWhatIsNotToBeRegisteredIsRefusedInTheWordsOfTheSpecification(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := decided(t, house, "default", "registration.mode", "token", "tokens.legacy_response_types", "true", "registration.grant_types",
		"authorization_code,implicit,refresh_token")
	endpoint, token := house.Issuer(org)+"/oauth2/register", developers(t, house, org)
	good := func(changes metadata) metadata {
		all := metadata{"redirect_uris": []string{"https://rp.example/cb"}}
		maps.Copy(all, changes)
		return all
	}
	for name, changes := range map[string]metadata{
		"a fragment": {"redirect_uris": []string{"https://rp.example/cb#x"}}, "no redirect URI": {"redirect_uris": nil}, "a script": {"redirect_uris": []string{"javascript:alert(1)"}},
		"http elsewhere": {"redirect_uris": []string{"http://rp.example/cb"}}, "a wildcard": {"redirect_uris": []string{"https://*.rp.example/cb"}},
		"a native application at https": {"application_type": "native", "redirect_uris": []string{"https://rp.example/cb"}},
	} {
		refusedAs(t, name, registration(t, house, "POST", endpoint, token, good(changes)), http.StatusBadRequest, "invalid_redirect_uri")
	}
	for name, body := range map[string]any{
		"http to begin at": good(metadata{"initiate_login_uri": "http://rp.example/start"}), "a script for a logo": good(metadata{"logo_uri": "javascript:alert(1)"}),
		"an http logo": good(metadata{"logo_uri": "http://rp.example/logo"}), "no such method": good(metadata{"token_endpoint_auth_method": "password"}),
		"no such grant": good(metadata{"grant_types": []string{"password"}}), "what is not allowed": good(metadata{"grant_types": []string{"client_credentials"}}),
		"no such response": good(metadata{"response_types": []string{"everything"}}), "grants are a word": good(metadata{"grant_types": "authorization_code"}),
		"no such language": good(metadata{"client_name#not a language": "x"}), "keys and their address": good(metadata{"jwks": metadata{"keys": []any{}}, "jwks_uri": "https://rp.example/keys"}),
		"keys that are to be had, and are not": good(metadata{"token_endpoint_auth_method": "private_key_jwt"}), "nothing of it": good(metadata{"scope": "keizer:users:read"}),
		"a weak key":       good(metadata{"token_endpoint_auth_method": "private_key_jwt", "jwks": metadata{"keys": []metadata{{"kty": "oct", "k": "AAAA"}}}}),
		"what is not done": good(metadata{"tls_client_certificate_bound_access_tokens": true}), "an unknown kind": good(metadata{"application_type": "toaster"}),
		"no JSON": "{", "an array": "[]", "twice": `{"redirect_uris":["https://rp.example/cb"],"redirect_uris":["https://evil.example/cb"]}`, "nothing": "",
		"a name of two lines": good(metadata{"client_name": "a\nb"}),
	} {
		refusedAs(t, name, registration(t, house, "POST", endpoint, token, body), http.StatusBadRequest, "invalid_client_metadata")
	}
	for name, try := range map[string]func() (*servertest.Answer, int, string){
		"no token": func() (*servertest.Answer, int, string) {
			return registration(t, house, "POST", endpoint, "", good(nil)), http.StatusUnauthorized, "invalid_token"
		},
		"a token that was never given": func() (*servertest.Answer, int, string) {
			return registration(t, house, "POST", endpoint, secret.New(secret.InitialAccess), good(nil)), http.StatusUnauthorized, "invalid_token"
		},
		"a password": func() (*servertest.Answer, int, string) {
			r := request{address: endpoint, body: strings.NewReader("{}"), kind: "application/json", header: []string{"Authorization", "Basic YTpi"}}
			return send(t, house, r), http.StatusUnauthorized, "invalid_token"
		},
		"two tokens": func() (*servertest.Answer, int, string) {
			r := request{address: endpoint, body: strings.NewReader("{}"), kind: "application/json", header: []string{"Authorization", "Bearer " + token, "Authorization", "Bearer " + token}}
			return send(t, house, r), http.StatusUnauthorized, "invalid_token"
		},
		"a form": func() (*servertest.Answer, int, string) {
			r := request{address: endpoint, form: fields("redirect_uris", "https://rp.example/cb"), header: []string{"Authorization", "Bearer " + token}}
			return send(t, house, r), http.StatusBadRequest, "invalid_client_metadata"
		},
		"more than there may be": func() (*servertest.Answer, int, string) {
			return registration(t, house, "POST", endpoint, token, good(metadata{"x": strings.Repeat("x", 70<<10)})), http.StatusRequestEntityTooLarge, "invalid_request"
		},
	} {
		answer, status, code := try()
		refusedAs(t, name, answer, status, code)
	}
	for name, c := range map[string]struct{ changes, want metadata }{
		"one that says nothing": {metadata{}, metadata{"grant_types": []any{"authorization_code"}, "response_types": []any{"code"}, "token_endpoint_auth_method": "client_secret_basic"}},
		"a secret that signs":   {metadata{"token_endpoint_auth_method": "client_secret_jwt"}, metadata{"client_secret_expires_at": 0}},
		"implicit":              {metadata{"response_types": []string{"id_token token"}}, metadata{"grant_types": []any{"implicit"}}},
		"hybrid":                {metadata{"response_types": []string{"token id_token code"}}, metadata{"grant_types": []any{"authorization_code", "implicit"}, "response_types": []any{"code id_token token"}}},
		"a native application": {
			metadata{"application_type": "native", "redirect_uris": []string{"com.example.app:/cb", "http://127.0.0.1/cb", "http://localhost:7/cb"}, "token_endpoint_auth_method": "none"},
			metadata{"application_type": "native", "client_secret": nil, "client_secret_expires_at": nil},
		},
		"a query":                      {metadata{"redirect_uris": []string{"https://rp.example/cb?a=1&b=2"}}, metadata{"redirect_uris": []any{"https://rp.example/cb?a=1&b=2"}}},
		"some of it":                   {metadata{"scope": "openid orders keizer:users:read"}, metadata{"scope": "openid"}},
		"implicit that it never asks":  {metadata{"grant_types": []string{"authorization_code", "implicit"}}, metadata{"grant_types": []any{"authorization_code"}}},
		"a language nobody thought of": {metadata{"favourite_colour#de": "blau", "tos_uri#de": "https://rp.example/agb"}, metadata{"favourite_colour#de": nil, "tos_uri#de": "https://rp.example/agb"}},
	} {
		answer := registration(t, house, "POST", endpoint, token, good(c.changes))
		if answer.Status != http.StatusCreated {
			t.Errorf("%s: %d %s", name, answer.Status, answer.Body)
			continue
		}
		for member, want := range c.want {
			if got := answer.JSON()[member]; !equalJSON(got, want) {
				t.Errorf("%s: %s is %v, want %v", name, member, got, want)
			}
		}
	}
	// The document of a sector is fetched, here as elsewhere (OpenID Connect Core 1.0 §8.1, S-129).
	listed := []string{"https://rp.example/cb"}
	sector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(listed)
	}))
	defer sector.Close()
	pairwise := registration(t, house, "POST", endpoint, token, good(metadata{"subject_type": "pairwise", "sector_identifier_uri": sector.URL}))
	if pairwise.Status != http.StatusCreated || pairwise.Text("subject_type") != "pairwise" || pairwise.Text("sector_identifier_uri") != sector.URL {
		t.Errorf("%d %s", pairwise.Status, pairwise.Body)
	}
	moved := metadata{"client_id": pairwise.Text("client_id"), "subject_type": "pairwise", "sector_identifier_uri": sector.URL, "redirect_uris": []string{"https://rp.example/other"}}
	move := func() *servertest.Answer {
		return registration(t, house, "PUT", pairwise.Text("registration_client_uri"), pairwise.Text("registration_access_token"), moved)
	}
	refusedAs(t, "an address that the sector does not list", move(), http.StatusBadRequest, "invalid_client_metadata")
	if listed = append(listed, "https://rp.example/other"); move().Status != http.StatusOK {
		t.Error("an address that the sector lists is refused")
	}
	preflight := send(t, house, request{method: "OPTIONS", address: endpoint, header: []string{"Origin", "https://rp.example", "Access-Control-Request-Method", "POST"}})
	if preflight.Status != http.StatusNoContent || preflight.Header.Get("Access-Control-Allow-Origin") != "*" || preflight.Header.Get("Access-Control-Allow-Credentials") != "" ||
		!strings.Contains(preflight.Header.Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Errorf("%d %v", preflight.Status, preflight.Header)
	}
}

func TestAnOrganizationSaysWhatClientsMayBeThatAnybodyRegisters(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := decided(t, house, "default", "registration.mode", "open", "registration.scopes", "openid,orders", "registration.grant_types", "authorization_code,client_credentials",
		"registration.auth_methods", "none,client_secret_post", "registration.redirect_hosts", "*.rp.example", "registration.redirect_schemes", "https",
		"registration.pkce_optional", "true", "registration.max_clients", "3")
	endpoint := house.Issuer(org) + "/oauth2/register"
	ask := func(changes metadata) *servertest.Answer {
		all := metadata{"redirect_uris": []string{"https://a.rp.example/cb"}, "token_endpoint_auth_method": "client_secret_post"}
		maps.Copy(all, changes)
		return registration(t, house, "POST", endpoint, "", all)
	}
	for host, code := range map[string]string{"https://rp.example/cb": "invalid_redirect_uri", "https://evil.example/.rp.example": "invalid_redirect_uri", "http://127.0.0.1/cb": "invalid_redirect_uri"} {
		refusedAs(t, host, ask(metadata{"redirect_uris": []string{host}}), http.StatusBadRequest, code)
	}
	refusedAs(t, "another method", ask(metadata{"token_endpoint_auth_method": "client_secret_basic"}), http.StatusBadRequest, "invalid_client_metadata")
	refusedAs(t, "refresh tokens", ask(metadata{"grant_types": []string{"refresh_token"}}), http.StatusBadRequest, "invalid_client_metadata")
	first := ask(nil)
	if got := first.JSON(); first.Status != http.StatusCreated || got["scope"] != "openid orders" || got["pkce_optional"] != true {
		t.Errorf("%d %s", first.Status, first.Body)
	}
	if public := ask(metadata{"token_endpoint_auth_method": "none"}); public.Status != http.StatusCreated || public.JSON()["pkce_optional"] != nil {
		t.Errorf("%d %s", public.Status, public.Body)
	}
	job := ask(metadata{"grant_types": []string{"client_credentials"}, "redirect_uris": nil})
	if job.Status != http.StatusCreated || job.Text("scope") != "orders" {
		t.Errorf("%d %s", job.Status, job.Body)
	}
	refusedAs(t, "more than there may be", ask(nil), http.StatusForbidden, "access_denied")
	if deleted := registration(t, house, "DELETE", job.Text("registration_client_uri"), job.Text("registration_access_token"), nil); deleted.Status != http.StatusNoContent {
		t.Errorf("%d %s", deleted.Status, deleted.Body)
	}
	if again := ask(nil); again.Status != http.StatusCreated {
		t.Errorf("%d %s", again.Status, again.Body)
	}
	// What takes a permission at an API is not given away to whoever asks.
	permitted, err := house.Operators.CreatePermission(org, manage.NewPermission{Resource: "orders", Action: "write"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := house.Operators.CreateAPI(org, manage.NewAPI{
		Identifier: "https://orders.example", Name: "Orders", Scopes: []manage.APIScope{{Name: "orders", Permission: permitted.Name}},
	}); err != nil {
		t.Fatal(err)
	}
	given := registration(t, house, "POST", endpoint, developers(t, house, org), metadata{"grant_types": []string{"client_credentials"}, "token_endpoint_auth_method": "client_secret_post"})
	if refusedAs(t, "what takes a permission", given, http.StatusForbidden, "access_denied"); !strings.Contains(given.Text("error_description"), "may not give") {
		t.Errorf("%s", given.Body)
	}
	// From one network there come few, where no token is brought (RFC 7591 §5).
	limited := ask(nil)
	for range 12 {
		limited = ask(nil)
	}
	if limited.Status != http.StatusTooManyRequests || limited.Header.Get("Retry-After") == "" || limited.Text("error") == "" {
		t.Errorf("%d %v %s", limited.Status, limited.Header, limited.Body)
	}
	refusedAs(t, "with a token", registration(t, house, "POST", endpoint, developers(t, house, org), metadata{
		"redirect_uris": []string{"https://a.rp.example/cb"}, "token_endpoint_auth_method": "none",
	}), http.StatusForbidden, "access_denied") // for there are enough; but it was heard
	if events, err := house.DB.ListAudit(org, storage.AuditFilter{Action: "limit.reached"}); err != nil || len(events) != 1 || events[0].Details["limit"] != "register_network" {
		t.Errorf("%v: %+v", err, events)
	}

	tested := servertest.Start(t, servertest.Options{Configure: func(cfg *config.Config) { cfg.TestMode = true }})
	decide(t, []*servertest.House{tested}, "default", "registration.mode", "open")
	for range 12 {
		one := registration(t, tested, "POST", tested.Base+"/oauth2/register", "", metadata{"redirect_uris": []string{"https://a.rp.example/cb"}})
		if one.Status != http.StatusCreated {
			t.Fatalf("in test mode %d %s", one.Status, one.Body)
		}
	}

	// Who is registered goes on to look after it when nobody else is.
	decide(t, []*servertest.House{house}, "default", "registration.mode", "off")
	if read := registration(t, house, "GET", first.Text("registration_client_uri"), first.Text("registration_access_token"), nil); read.Status != http.StatusOK {
		t.Errorf("%d %s", read.Status, read.Body)
	}
	refusedAs(t, "with a token, when nobody is registered", registration(t, house, "POST", endpoint, developers(t, house, org), metadata{}), http.StatusForbidden, "access_denied")
}

// RFC 7591 §2.3, §3.1.1.
func TestASoftwareStatementIsBelievedIfItsIssuerIs(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1"}}})
	var keys any
	if err == nil {
		err = json.Unmarshal(set, &keys)
	}
	if err != nil {
		t.Fatal(err)
	}
	issuers, err := json.Marshal([]any{metadata{"issuer": "https://statements.example", "jwks": keys, "algorithms": []string{"ES256"}}})
	if err != nil {
		t.Fatal(err)
	}
	org := decided(t, house, "default", "registration.mode", "token", "registration.software_statement", "required",
		"registration.statement_issuers", string(issuers))
	endpoint, token := house.Issuer(org)+"/oauth2/register", developers(t, house, org)
	sign := func(with *ecdsa.PrivateKey, typ string, changes metadata) string {
		claims := metadata{
			"iss": "https://statements.example", "client_name": "The real one", "redirect_uris": []string{"https://real.example/cb"}, "software_id": "real", "skip_consent": true,
		}
		maps.Copy(claims, changes)
		return signTyped(t, jose.ES256, with, typ, claims)
	}
	ask := func(statement any) *servertest.Answer {
		return registration(t, house, "POST", endpoint, token, metadata{
			"software_statement": statement, "client_name": "A copy", "redirect_uris": []string{"https://evil.example/cb"}, "contacts": []string{"ada"},
		})
	}
	statement := sign(key, "JWT", metadata{"exp": time.Now().Add(time.Hour).Unix(), "aud": []string{house.Issuer(org)}})
	answer := ask(statement)
	got := answer.JSON()
	if answer.Status != http.StatusCreated || got["software_statement"] != statement || got["client_name"] != "The real one" || got["software_id"] != "real" ||
		!equalJSON(got["redirect_uris"], []string{"https://real.example/cb"}) || !equalJSON(got["contacts"], []string{"ada"}) || got["skip_consent"] != nil || got["iss"] != nil {
		t.Fatalf("%d %s", answer.Status, answer.Body)
	}
	at, registered := answer.Text("registration_client_uri"), answer.Text("registration_access_token")
	if read := registration(t, house, "GET", at, registered, nil); read.Text("software_statement") != statement {
		t.Errorf("%d %s", read.Status, read.Body)
	}
	// It says what it says of whatever is registered later, too.
	if put := registration(t, house, "PUT", at, registered, metadata{
		"client_id": got["client_id"], "software_statement": statement, "redirect_uris": []string{"https://evil.example/cb"},
	}); put.Status != http.StatusOK || !equalJSON(put.JSON()["redirect_uris"], []string{"https://real.example/cb"}) {
		t.Errorf("%d %s", put.Status, put.Body)
	}
	if put := registration(t, house, "PUT", at, registered, metadata{"client_id": got["client_id"], "redirect_uris": []string{"https://evil.example/cb"}}); put.Text("error") != "invalid_client_metadata" {
		t.Errorf("without it: %d %s", put.Status, put.Body)
	}
	for name, endless := range map[string]string{"no end": sign(key, "software-statement+jwt", nil)} {
		if answer := ask(endless); answer.Status != http.StatusCreated {
			t.Errorf("%s: %d %s", name, answer.Status, answer.Body)
		}
	}
	refusedAs(t, "none", ask(nil), http.StatusBadRequest, "invalid_client_metadata")
	refusedAs(t, "of somebody else", ask(sign(stranger, "JWT", metadata{"iss": "https://other.example"})), http.StatusBadRequest, "unapproved_software_statement")
	signature := statement[strings.LastIndex(statement, "."):]
	other := sign(key, "JWT", metadata{"client_name": "Another"})
	for name, text := range map[string]any{
		"a stranger's signature": sign(stranger, "JWT", nil), "one that has ended": sign(key, "JWT", metadata{"exp": time.Now().Add(-time.Hour).Unix()}),
		"one from the future": sign(key, "JWT", metadata{"iat": time.Now().Add(time.Hour).Unix()}), "one for another": sign(key, "JWT", metadata{"aud": "https://other.example"}),
		"another kind of token": sign(key, "at+jwt", nil), "no issuer": sign(key, "JWT", metadata{"iss": nil}), "a word": "word", "a number": 7, "an empty text": "",
		"one that was altered": other[:strings.LastIndex(other, ".")] + signature, "one of no algorithm": "eyJhbGciOiJub25lIn0.e30.",
	} {
		refusedAs(t, name, ask(text), http.StatusBadRequest, "invalid_software_statement")
	}
}

// Sixteen bring the one token for one client at once, to two replicas: one of them has it.
func TestATokenForOneClientRegistersOne(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := servertest.Start(t, servertest.Options{DatabaseURL: databaseURL})
		houses := []*servertest.House{house, servertest.Start(t, servertest.Options{ReplicaOf: house})}
		decide(t, houses, "default", "registration.mode", "token")
		org := house.In("default")
		row, token, err := house.Operators.CreateRegistrationToken(org, manage.NewRegistrationToken{Name: "One", MaxUses: 1})
		if err != nil {
			t.Fatal(err)
		}
		const many = 16
		statuses := make([]int, many)
		var all sync.WaitGroup
		for i := range many {
			all.Go(func() {
				answer, err := attempt(t.Context(), houses[i%2], request{
					address: "/oauth2/register", body: strings.NewReader(`{"redirect_uris":["https://rp.example/cb"]}`), kind: "application/json",
					header: []string{"Authorization", "Bearer " + token.Reveal()},
				})
				if err != nil {
					t.Error(err)
					return
				}
				statuses[i] = answer.Status
			})
		}
		all.Wait()
		slices.Sort(statuses)
		if want := append([]int{http.StatusCreated}, slices.Repeat([]int{http.StatusUnauthorized}, many-1)...); !slices.Equal(statuses, want) {
			t.Errorf("%v", statuses)
		}
		n, err := house.DB.CountRegisteredClients(org)
		used, err2 := house.DB.RegistrationToken(org, row.ID)
		if err != nil || err2 != nil || n != 1 || used.Uses != 1 || used.LastUsedAt == nil {
			t.Errorf("%v, %v: %d clients, %+v", err, err2, n, used)
		}
	})
}

func TestClientsThatAreOfNoUseGo(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	root, acme := decided(t, house, "default", "registration.mode", "token", "registration.grant_types", "client_credentials", "registration.scopes", "read"), house.Organization("acme")
	patient := decided(t, house, "acme", "registration.mode", "token", "registration.grant_types", "client_credentials", "registration.scopes", "read", "registration.idle", "0s")
	if house.Issuer(patient) != house.Issuer(acme) {
		t.Fatal("another organization")
	}
	register := func(org context.Context) *servertest.Answer {
		answer := registration(t, house, "POST", house.Issuer(org)+"/oauth2/register", developers(t, house, org), metadata{"grant_types": []string{"client_credentials"}})
		if answer.Status != http.StatusCreated {
			t.Fatalf("%d %s", answer.Status, answer.Body)
		}
		return answer
	}
	used, read, idle, kept := register(root), register(root), register(root), register(patient)
	made := house.Client(root, manage.ClientSpec{GrantTypes: []string{manage.GrantClientCredentials}, Scope: "read"})
	change(t, house, `UPDATE oauth_clients SET created_at = '`+longAgo+`', last_used_at = '`+longAgo+`' WHERE registered_at IS NOT NULL`)
	client := house.Known(root, used.Text("client_id"), used.Text("client_secret"), "")
	uses := func() string {
		return strings.Join(column(t, house.SQL(), `SELECT coalesce(last_used_at, '') FROM oauth_clients WHERE client_id = '`+client.ID+`'`), "")
	}
	if !within(t.Context(), patience, func() bool { // it is remembered for a moment as it was
		answer := client.Token("grant_type", "client_credentials")
		return answer.Status == http.StatusOK && uses() > longAgo
	}) {
		t.Fatal("it is not written down that a client is of use")
	}
	once := uses()
	if client.Token("grant_type", "client_credentials"); uses() != once {
		t.Error("it is written down again at once")
	}
	if answer := registration(t, house, "GET", read.Text("registration_client_uri"), read.Text("registration_access_token"), nil); answer.Status != http.StatusOK {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
	if err := server.TidyClients(t.Context(), house.House); err != nil {
		t.Fatal(err)
	}
	there := func(org context.Context, id string) bool {
		_, err := house.DB.Client(org, id)
		return err == nil
	}
	for what, want := range map[string][2]bool{
		"one that got a token": {there(root, client.ID), true}, "one whose registration was read": {there(root, read.Text("client_id")), true},
		"one of no use": {there(root, idle.Text("client_id")), false}, "one of an operator's": {there(root, made.ID), true},
		"one of an organization that keeps them": {there(patient, kept.Text("client_id")), true},
	} {
		if want[0] != want[1] {
			t.Errorf("%s is there: %t", what, want[0])
		}
	}
	if events, err := house.DB.ListAudit(root, storage.AuditFilter{Action: "client.expired"}); err != nil || len(events) != 1 || events[0].Target != idle.Text("client_id") {
		t.Errorf("%v: %+v", err, events)
	}
}
