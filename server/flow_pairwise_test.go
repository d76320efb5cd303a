package server_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/responsetype"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

// OpenID Connect Core 1.0 §8: what the applications of one sector know a person by is the same wherever it is said, and is nothing to others.
func TestApplicationsOfASectorKnowAPersonByOneNameThatNoOtherKnows(t *testing.T) {
	t.Parallel()
	house, org, public := beginWith(t, "", trustedClient)
	user, err := house.DB.UserByLogin(org, "alice")
	if err != nil {
		t.Fatal(err)
	}
	id := user.ID.String()
	org = decided(t, house, "default", "tokens.legacy_response_types", "true")
	api := house.Client(org, manage.ClientSpec{GrantTypes: []string{"client_credentials"}})
	told, elsewhere := listens(t), listens(t)
	pairwise := func(l *listener, redirects ...string) *servertest.Client {
		return house.Client(org, manage.ClientSpec{
			SkipConsent: true, RedirectURIs: redirects, GrantTypes: []string{"authorization_code", "refresh_token", "implicit"},
			ResponseTypes: responsetype.Supported(true), AccessTokenFormat: "jwt", Scope: "openid offline_access", Audience: []string{api.ID},
			Metadata: map[string]any{
				"subject_type": "pairwise", "application_type": "native", "backchannel_logout_uri": l.URL, "frontchannel_logout_uri": redirects[0] + "/out",
			},
		})
	}
	one, same, other := pairwise(told, "https://rp.example/cb"), pairwise(told, "https://rp.example:8443/other"), pairwise(elsewhere, "https://other.example/cb")

	visitor := one.Visitor()
	tokens := one.Redeem(visitor.Code(one.AuthorizeURL("scope", "openid offline_access"), "alice"))
	first := servertest.Claims(t, tokens.Text("id_token"))
	sub, sid := first["sub"].(string), first["sid"].(string)
	if len(sub) != 43 || sub == id || len(sid) != 43 || sid == sessionOf(t, house, org, visitor).ID.String() {
		t.Fatalf("%v", first)
	}
	at := func(client *servertest.Client) *servertest.Visitor {
		v := client.Visitor()
		v.Browser = visitor.Browser.For(client.Redirect)
		return v
	}
	silently := func(client *servertest.Client, params ...string) url.Values {
		return arrivedAt(t, at(client).Go(client.AuthorizeURL(append([]string{"prompt", "none"}, params...)...)))
	}
	signIn := func(client *servertest.Client) (*servertest.Answer, map[string]any) {
		answer := client.Redeem(silently(client).Get("code"))
		return answer, servertest.Claims(t, answer.Text("id_token"))
	}

	t.Run("of one sector the same, of others another", func(t *testing.T) {
		if _, claims := signIn(same); claims["sub"] != sub || claims["sid"] != sid {
			t.Errorf("%v", claims)
		}
		answer, claims := signIn(other)
		if claims["sub"] == sub || claims["sub"] == id || claims["sid"] == sid {
			t.Errorf("%v", claims)
		}
		if _, claims := signIn(public); claims["sub"] != id {
			t.Errorf("%v", claims)
		}
		// Nor does anything else that is told of a person by itself tell that they are the same.
		known := make(map[any]string)
		for _, said := range []map[string]any{first, servertest.Claims(t, tokens.Text("access_token"))} {
			for name, value := range said {
				if text, ok := value.(string); ok {
					known[text] = name
				}
			}
		}
		for _, said := range []map[string]any{claims, servertest.Claims(t, answer.Text("access_token"))} {
			for name, value := range said {
				text, _ := value.(string)
				if known[text] != "" && !slices.Contains([]string{"iss", "acr", "nonce", "scope"}, name) && text != api.ID {
					t.Errorf("%s is %s of another sector", name, known[text])
				}
				if strings.Contains(fmt.Sprint(value), id) {
					t.Errorf("%s: %v", name, value)
				}
			}
		}
	})

	everywhere := func(t *testing.T, tokens *servertest.Answer) {
		t.Helper()
		said := servertest.Claims(t, tokens.Text("id_token"))
		if said["sub"] != sub || said["sid"] != sid {
			t.Errorf("ID token: %v", said)
		}
		if said := servertest.Claims(t, tokens.Text("access_token")); said["sub"] != sub || said["sid"] != sid {
			t.Errorf("access token: %v", said)
		}
		info := house.Get(one.Issuer+"/oauth2/userinfo", "Authorization", "Bearer "+tokens.Text("access_token")).JSON()
		if info["sub"] != sub {
			t.Errorf("userinfo: %v", info)
		}
		for _, token := range []string{tokens.Text("access_token"), tokens.Text("refresh_token")} {
			if said := one.Post("/oauth2/introspect", "token", token).JSON(); said["sub"] != sub {
				t.Errorf("introspection: %v", said)
			}
		}
		// An API is told what the client is told.
		if said := api.Post("/oauth2/introspect", "token", tokens.Text("access_token")).JSON(); said["active"] != true || said["sub"] != sub {
			t.Errorf("introspection by an API: %v", said)
		}
	}
	hint := tokens.Text("id_token")
	t.Run("wherever it is said, and whichever keys tokens are signed with", func(t *testing.T) {
		everywhere(t, tokens)
		tokens = one.Refresh(tokens.Text("refresh_token"))
		everywhere(t, tokens)
		if _, err := house.Operators.RotateKey(org, "RS256", true, time.Hour); err != nil {
			t.Fatal(err)
		}
		kid := jwtHeader(t, hint)["kid"]
		if !within(t.Context(), patience, func() bool {
			tokens = one.Refresh(tokens.Text("refresh_token"))
			return jwtHeader(t, tokens.Text("id_token"))["kid"] != kid
		}) {
			t.Fatal("the key stays")
		}
		everywhere(t, tokens)
		direct := silently(one, "response_type", "code id_token token")
		for _, token := range []string{direct.Get("id_token"), direct.Get("access_token"), silently(one, "response_type", "id_token").Get("id_token")} {
			if said := servertest.Claims(t, token); said["sub"] != sub {
				t.Errorf("%v", said)
			}
		}
	})

	t.Run("a request names a person as the client knows them", func(t *testing.T) {
		if got := silently(one, "id_token_hint", hint); got.Get("code") == "" {
			t.Errorf("a hint: %v", got)
		}
		_, theirs := signIn(other)
		for value, want := range map[string]string{sub: "", id: "login_required", theirs["sub"].(string): "login_required"} {
			if got := silently(one, "claims", fmt.Sprintf(`{"id_token":{"sub":{"value":%q}}}`, value)); got.Get("error") != want {
				t.Errorf("%s: %v", value, got)
			}
		}
	})

	t.Run("support finds whom an application speaks of", func(t *testing.T) {
		machine := house.Machine(org, permission.UsersRead)
		_, theirs := signIn(other)
		for _, c := range []struct {
			client  *servertest.Client
			subject any
			status  int
		}{
			{one, sub, 200}, {same, sub, 200}, {other, theirs["sub"], 200}, {public, id, 200},
			{other, sub, 404}, {one, id, 404}, {public, sub, 404}, {one, "x", 404},
		} {
			answer := machine.Do("GET", "/organizations/default/clients/"+c.client.ID+"/subjects/"+c.subject.(string), nil)
			if answer.Status != c.status || c.status == http.StatusOK && answer.Text("id") != id {
				t.Errorf("%v: %d %s", c, answer.Status, answer.Body)
			}
		}
	})

	t.Run("of the end of a session each hears by its own name for it", func(t *testing.T) {
		_, theirs := signIn(other)
		page := at(one).Go(house.At(one.Issuer + "/oauth2/logout?" + url.Values{"id_token_hint": {hint}}.Encode()))
		if page.Title != "Signed out" {
			t.Fatalf("%d %q", page.Status, page.Title)
		}
		for redirect, sid := range map[string]any{"https://rp.example/cb": sid, "https://other.example/cb": theirs["sid"]} {
			if frame := redirect + "/out?" + (url.Values{"iss": {one.Issuer}, "sid": {sid.(string)}}).Encode(); !strings.Contains(page.Body, html.EscapeString(frame)) {
				t.Errorf("%s is not in %s", frame, page.Body)
			}
		}
		house.DeliverLogouts()
		heard := told.hears()
		if len(heard) != 2 {
			t.Fatalf("%d heard", len(heard))
		}
		for _, token := range heard {
			if said := servertest.Claims(t, token); said["sub"] != sub || said["sid"] != sid {
				t.Errorf("%v", said)
			}
		}
		if heard := elsewhere.hears(); len(heard) != 1 || servertest.Claims(t, heard[0])["sub"] != theirs["sub"] || servertest.Claims(t, heard[0])["sid"] != theirs["sid"] {
			t.Errorf("%v", heard)
		}
	})

	t.Run("a grant keeps the name that it began with", func(t *testing.T) {
		visitor = one.Visitor()
		began := one.Redeem(visitor.Code(one.AuthorizeURL("scope", "openid offline_access"), "alice"))
		if _, _, err := house.Operators.UpdateClient(org, one.ID, manage.ClientPatch{Metadata: &map[string]any{"application_type": "native"}}); err != nil {
			t.Fatal(err)
		}
		if !within(t.Context(), patience, func() bool {
			_, claims := signIn(one)
			return claims["sub"] == id
		}) {
			t.Error("the client is pairwise still")
		}
		if said := servertest.Claims(t, one.Refresh(began.Text("refresh_token")).Text("id_token")); said["sub"] != sub {
			t.Errorf("%v", said)
		}
	})
	if types := house.Get(one.Issuer + "/.well-known/openid-configuration").JSON()["subject_types_supported"]; fmt.Sprint(types) != "[public pairwise]" {
		t.Errorf("%v", types)
	}
}
