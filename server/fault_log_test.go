package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

// S-085, S-286, S-292: a whole journey, every mistake on its way, and a database that breaks under it, all with a log that tells
// as much as it can: nothing stands in it that opens anything, or that somebody has typed.
func TestTheLogHoldsNothingThatOpensAnything(t *testing.T) {
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		var log logBook
		house := servertest.Start(t, servertest.Options{DatabaseURL: databaseURL, Log: &log})
		org := house.In("default")
		house.User(org, "alice")
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k"}}})
		if err != nil {
			t.Fatal(err)
		}
		client := house.Client(org, manage.ClientSpec{PostLogoutRedirectURIs: []string{"https://rp.example/bye"}})
		trusted := house.Client(org, manage.ClientSpec{SkipConsent: true, AccessTokenFormat: "jwt"})
		signed := house.Client(org, manage.ClientSpec{AuthMethod: "private_key_jwt", JWKS: jwks, GrantTypes: []string{"client_credentials"}})

		// What must not be found, by what it is.
		secrets := map[string]string{"password": servertest.Password, "verifier": servertest.Verifier, "client secret": client.Secret, "other client secret": trusted.Secret}
		keepSecret := func(name, value string) string {
			if value == "" {
				t.Fatalf("no %s", name)
			}
			secrets[name] = value
			return value
		}
		canary := func(name string) string { return keepSecret("canary: "+name, "canary-"+rand.Text()) }

		// The journey, rightly.
		state, nonce := canary("state"), canary("nonce")
		visitor := client.Visitor()
		login := visitor.Go(client.AuthorizeURL("state", state, "nonce", nonce, "scope", "openid email offline_access", "login_hint", canary("login_hint")))
		keepSecret("interaction", login.URL.Query().Get("interaction"))
		keepSecret("csrf", csrf(t, login.Body))
		wrong := visitor.SignIn(login, "alice", canary("wrong password"))
		wrong = visitor.SignIn(wrong, canary("a name that is perhaps a password"), "x")
		consent := visitor.SignIn(wrong, "alice", servertest.Password)
		keepSecret("csrf of consent", csrf(t, consent.Body))
		arrived, _ := visitor.Press(consent, "consent-allow").Arrived()
		code := keepSecret("code", arrived.Get("code"))
		for _, cookie := range visitor.Cookies(house.URL) {
			keepSecret("cookie "+cookie.Name, cookie.Value)
		}
		tokens := client.Redeem(code)
		access, refresh := keepSecret("access token", tokens.Text("access_token")), keepSecret("refresh token", tokens.Text("refresh_token"))
		hint := keepSecret("ID token", tokens.Text("id_token"))
		next := client.Refresh(refresh)
		keepSecret("next access token", next.Text("access_token"))
		keepSecret("next refresh token", next.Text("refresh_token"))
		bearer := []string{"Authorization", "Bearer " + access}
		send(t, house, request{address: "/oauth2/userinfo", header: bearer})
		client.Active(access)
		keepSecret("JWT", trusted.Redeem(visitor.Code(trusted.AuthorizeURL(), "alice")).Text("access_token"))
		asked, err := url.Parse(client.AuthorizeURL("state", state))
		if err != nil {
			t.Fatal(err)
		}
		pushed := send(t, house, request{address: "/oauth2/par", form: asked.Query(), header: []string{"Authorization", client.Basic()}})
		keepSecret("pushed request", strings.TrimPrefix(pushed.Text("request_uri"), "urn:ietf:params:oauth:request_uri:"))
		now := time.Now().Unix()
		assertion := keepSecret("assertion", handmade(`{"alg":"ES256","kid":"k"}`,
			fmt.Sprintf(`{"iss":%q,"sub":%q,"aud":%q,"jti":%q,"iat":%d,"exp":%d}`, signed.ID, signed.ID, signed.Issuer, rand.Text(), now, now+60), raw(t, key)))
		link, err := house.Operators.NewSetupLink(t.Context(), house.Base)
		if err != nil {
			t.Fatal(err)
		}
		keepSecret("setup link", link[strings.LastIndex(link, "=")+1:])

		// And every way of going wrong, once with a good database and once with one whose tables are gone.
		cookies := visitor.Cookies(house.URL)
		basic := []string{"Authorization", client.Basic()}
		mistakes := func() {
			for _, form := range []url.Values{
				fields("grant_type", "authorization_code", "code", code, "redirect_uri", client.Redirect, "code_verifier", servertest.Verifier),
				fields("grant_type", "authorization_code", "code", secret.New(secret.Code)+canary("code"), "code_verifier", canary("verifier")),
				fields("grant_type", "refresh_token", "refresh_token", refresh), fields("grant_type", "refresh_token", "refresh_token", canary("refresh token")),
				fields("grant_type", "password", "username", "alice", "password", canary("password grant")), fields(canary("name"), canary("value")),
				fields("grant_type", "client_credentials", "client_id", client.ID, "client_secret", canary("client secret")),
				fields("grant_type", "client_credentials", "client_id", canary("client")),
				fields("grant_type", "client_credentials", "client_assertion", assertion, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
				fields("grant_type", "client_credentials", "client_assertion", canary("assertion"), "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
				fields("token", access), fields("token", canary("token")), fields("access_token", canary("access token")),
				fields("response_type", "code", "client_id", client.ID, "redirect_uri", canary("redirect")), fields("code", canary("one"), "code", canary("two")),
			} {
				for _, header := range [][]string{nil, basic, {"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(canary("id")+":"+canary("secret")))},
					{"Authorization", "Bearer " + canary("bearer"), "X-Api-Key", canary("header"), "User-Agent", "browser"}} {
					for _, endpoint := range []string{"/oauth2/token", "/oauth2/par", "/oauth2/introspect", "/oauth2/revoke", "/oauth2/userinfo", "/oauth2/authorize", "/oauth2/logout",
						"/login", "/consent", "/setup"} {
						send(t, house, request{address: endpoint, form: form, header: header, cookies: cookies})
					}
				}
			}
			for _, address := range []string{
				"/oauth2/userinfo?access_token=" + access, "/oauth2/token?code=" + code, "/oauth2/authorize?client_id=" + canary("client_id"), "/" + canary("path"),
				"/oauth2/authorize?interaction=" + secrets["interaction"], "/login?interaction=" + secrets["interaction"], "/login?interaction=" + canary("interaction"),
				"/setup?token=" + secrets["setup link"], "/setup?token=" + canary("setup"), "/oauth2/authorize?request_uri=" + canary("request_uri"),
				client.AuthorizeURL("id_token_hint", hint, "prompt", "none", "state", state), client.AuthorizeURL("id_token_hint", canary("hint"), "prompt", "none"),
				client.AuthorizeURL("nonce", nonce, "code_challenge", canary("challenge")), "/oauth2/logout?id_token_hint=" + canary("logout hint"),
				"/oauth2/logout?post_logout_redirect_uri=" + canary("post logout") + "&id_token_hint=" + hint, "/static/" + canary("file"), "/.well-known/" + canary("well-known"),
			} {
				send(t, house, request{address: address, cookies: cookies})
				send(t, house, request{address: address, cookies: []*http.Cookie{
					{Name: "keizer_session", Value: secret.New(secret.Session)}, {Name: "keizer_flow", Value: canary("flow")}, {Name: "other", Value: canary("cookie")},
				}, header: []string{"Referer", "https://rp.example/" + canary("referer"), "Origin", "https://evil.example"}})
			}
		}
		mistakes()
		for _, table := range []string{"oauth_access_tokens", "oauth_codes", "oauth_refresh_tokens", "sessions", "interactions", "oauth_par"} {
			change(t, house, "ALTER TABLE "+table+" RENAME TO gone_"+table)
		}
		mistakes()

		text := string(log.bytes())
		if strings.Count(text, `"level":"ERROR"`) < 10 || strings.Count(text, `"msg":"request"`) < 500 {
			t.Fatalf("the log has %d bytes, which show little", len(text))
		}
		for name, value := range secrets {
			for _, form := range []string{value, url.QueryEscape(value), hex.EncodeToString([]byte(value)), base64.StdEncoding.EncodeToString([]byte(value)), secret.Digest(value)} {
				if at := strings.Index(text, form); at >= 0 {
					line := text[strings.LastIndexByte(text[:at], '\n')+1:]
					t.Errorf("the log has the %s: %.300s", name, line)
					break
				}
			}
		}
	})
}
