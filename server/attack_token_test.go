package server_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
)

// S-069, S-076: what ends somebody's access ends it at both replicas, within the second that a client is served from memory,
// and for JWTs too.
func TestWhateverEndsAnAccessEndsItAtEveryReplica(t *testing.T) {
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		replicas := twoReplicas(t, databaseURL, 10*time.Second)
		house := replicas[0]
		org := house.In("default")
		api := house.Client(org, manage.ClientSpec{Name: "API", GrantTypes: []string{"client_credentials"}})
		yes, another := true, secret.Text("another correct horse battery")

		for name, test := range map[string]struct {
			end     func(user *storage.User, clients []*servertest.Client) error
			refresh string // what a refresh is answered with
		}{
			"the person is switched off": {func(user *storage.User, _ []*servertest.Client) error {
				return house.DB.SetUserActive(org, user.ID, false)
			}, "invalid_grant"},
			"the person is deleted": {func(user *storage.User, _ []*servertest.Client) error {
				return house.DB.DeleteUser(org, user.ID)
			}, "invalid_grant"},
			"an operator sets a new password": {func(user *storage.User, _ []*servertest.Client) error {
				return house.Operators.SetPassword(org, user.Email, another)
			}, "invalid_grant"},
			"the client is switched off": {func(_ *storage.User, clients []*servertest.Client) (err error) {
				for _, client := range clients {
					_, _, off := house.Operators.UpdateClient(org, client.ID, manage.ClientPatch{Disabled: &yes})
					err = errors.Join(err, off)
				}
				return err
			}, "invalid_client"},
			"the client is deleted": {func(_ *storage.User, clients []*servertest.Client) (err error) {
				for _, client := range clients {
					err = errors.Join(err, house.Operators.DeleteClient(org, client.ID))
				}
				return err
			}, "invalid_client"},
			"the grant is revoked": {func(user *storage.User, _ []*servertest.Client) error {
				return house.DB.RevokeGrantsOfUser(org, user.ID)
			}, "invalid_grant"},
		} {
			username := "u" + strings.ReplaceAll(name, " ", "")
			user := house.User(org, username)
			var clients []*servertest.Client
			access, refresh, code := map[*servertest.Client]string{}, map[*servertest.Client]string{}, map[*servertest.Client]string{}
			var visitor *servertest.Visitor
			for _, format := range []string{"opaque", "jwt"} {
				client := house.Client(org, manage.ClientSpec{
					SkipConsent: true, AccessTokenFormat: format, Audience: []string{api.ID}, Scope: "openid email offline_access",
				})
				clients = append(clients, client)
				if visitor == nil {
					visitor = signedIn(client, username)
				}
				tokens := client.Redeem(visitor.Code(client.AuthorizeURL("scope", "openid offline_access"), username))
				access[client], refresh[client] = tokens.Text("access_token"), tokens.Text("refresh_token")
				code[client] = visitor.Code(client.AuthorizeURL(), username)
				if !client.Active(access[client]) || !api.Active(access[client]) {
					t.Fatalf("%s: it never worked: %s", name, tokens.Body)
				}
			}
			if err := test.end(user, clients); err != nil {
				t.Fatal(err)
			}
			for i, client := range clients {
				for j, replica := range replicas {
					what := fmt.Sprintf("%s, client %d, replica %d", name, i+1, j+1)
					if !within(t.Context(), 3*time.Second, func() bool {
						return client.TokenAt(replica, "grant_type", "refresh_token", "refresh_token", refresh[client]).Text("error") == test.refresh
					}) {
						t.Errorf("%s: the refresh token lives on", what)
					}
					answer := send(t, replica, request{address: "/oauth2/userinfo", header: []string{"Authorization", "Bearer " + access[client]}})
					wantError(t, what, answer, 401, "invalid_token")
					wantInactive(t, what, api.PostAt(replica, "/oauth2/introspect", "token", access[client]))
					if name == "the grant is revoked" {
						continue // what the code is for is no part of it yet
					}
					wantError(t, what+", a code under way", client.TokenAt(replica, "grant_type", "authorization_code", "code", code[client],
						"redirect_uri", client.Redirect, "code_verifier", servertest.Verifier), codeStatus(test.refresh), test.refresh)
				}
			}
		}
	})
}

// codeStatus is the status of an error of a client that tried the Authorization header.
func codeStatus(code string) int {
	if code == "invalid_client" {
		return 401
	}
	return 400
}

// S-070 (Pocket ID e8cb0c83): what the client may no longer ask for, a refresh no longer gives.
func TestARefreshGivesOnlyWhatTheClientMayStillHave(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	const one, two = "https://one.example", "https://two.example"
	client := house.Client(org, manage.ClientSpec{SkipConsent: true, Scope: "openid email offline_access", Audience: []string{one, two}})
	token := client.Tokens("alice", "openid email offline_access").Text("refresh_token")

	less, only := "openid offline_access", []string{two}
	if _, _, err := house.Operators.UpdateClient(org, client.ID, manage.ClientPatch{Scope: &less, Audience: &only}); err != nil {
		t.Fatal(err)
	}
	var answer *servertest.Answer
	if !within(t.Context(), 3*time.Second, func() bool {
		answer = client.Refresh(token)
		token = answer.Text("refresh_token")
		return answer.Text("scope") == less
	}) {
		t.Fatalf("%d %s", answer.Status, answer.Body)
	}
	seen := client.Post("/oauth2/introspect", "token", answer.Text("access_token"))
	if seen.Text("scope") != less || strings.Contains(seen.Body, one) || !strings.Contains(seen.Body, two) {
		t.Errorf("%s", seen.Body)
	}
	told := send(t, house, request{address: "/oauth2/userinfo", header: []string{"Authorization", "Bearer " + answer.Text("access_token")}})
	if told.Status != 200 || told.Text("email") != "" {
		t.Errorf("userinfo: %d %s", told.Status, told.Body)
	}
	wantError(t, "what it had", client.Refresh(token, "scope", "openid email"), 400, "invalid_scope")

	// Of what was asked for one resource alone nothing is left when the client has it no more: least of all userinfo.
	token = client.Redeem(client.Visitor().Code(client.AuthorizeURL("scope", "openid offline_access", "resource", two), "alice")).Text("refresh_token")
	none := []string{one}
	if _, _, err := house.Operators.UpdateClient(org, client.ID, manage.ClientPatch{Audience: &none}); err != nil {
		t.Fatal(err)
	}
	if !within(t.Context(), 3*time.Second, func() bool {
		answer = client.Refresh(token)
		token = answer.Text("refresh_token")
		return answer.Status != 200
	}) {
		t.Fatal("it goes on")
	}
	wantError(t, "nothing that is left", answer, 400, "invalid_grant")
}

// S-073 (OpenID Connect Core 1.0 §11).
func TestOnlyOfflineAccessGivesARefreshToken(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	client := house.Client(org, manage.ClientSpec{})
	if answer := client.Tokens("alice", "openid email"); strings.Contains(answer.Body, "refresh_token") {
		t.Errorf("without offline_access: %s", answer.Body)
	}
	without := house.Client(org, manage.ClientSpec{GrantTypes: []string{manage.GrantCode}, Scope: "openid email"})
	if answer := without.Tokens("alice", "openid email"); strings.Contains(answer.Body, "refresh_token") {
		t.Errorf("without the grant: %s", answer.Body)
	}
	arrived, _ := without.Visitor().Go(without.AuthorizeURL("scope", "openid offline_access")).Arrived()
	if arrived.Get("error") != "invalid_scope" {
		t.Errorf("a scope that the client has not: %v", arrived)
	}
}

// S-077, S-078: who may see a token sees it; everybody else sees what a stranger sees of nothing.
func TestATokenShowsItselfToItsClientAndItsAudienceAlone(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	api := house.Client(org, manage.ClientSpec{Name: "API", GrantTypes: []string{"client_credentials"}})
	stranger := house.Client(org, manage.ClientSpec{Name: "Other API", GrantTypes: []string{"client_credentials"}})
	public := house.Client(org, manage.ClientSpec{AuthMethod: "none"})
	for _, format := range []string{"opaque", "jwt"} {
		client := house.Client(org, manage.ClientSpec{
			SkipConsent: true, AccessTokenFormat: format, Audience: []string{api.ID, "https://api.example"}, Scope: "openid offline_access",
		})
		tokens := client.Tokens("alice", "openid offline_access")
		access, refresh := tokens.Text("access_token"), tokens.Text("refresh_token")
		for who, caller := range map[string]*servertest.Client{"its client": client, "its audience": api} {
			if seen := caller.Post("/oauth2/introspect", "token", access).JSON(); seen["active"] != true || seen["client_id"] != client.ID {
				t.Errorf("%s sees %v", who, seen)
			}
		}
		wantInactive(t, "another API", stranger.Post("/oauth2/introspect", "token", access))
		wantInactive(t, "a refresh token at an API", api.Post("/oauth2/introspect", "token", refresh))
		wantInactive(t, "a hint at an API", api.Post("/oauth2/introspect", "token", refresh, "token_type_hint", "access_token"))

		for who, header := range map[string][]string{
			"nobody": nil, "somebody with the token itself": {"Authorization", "Bearer " + access}, "a wrong secret": {"Authorization", "Basic " + access},
		} {
			answer := send(t, house, request{address: "/oauth2/introspect", form: fields("token", access), header: header})
			wantError(t, who, answer, 401, "invalid_client")
			if answer.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: no challenge", who)
			}
		}
		wantError(t, "a public client", send(t, house, request{address: "/oauth2/introspect", form: fields("token", access, "client_id", public.ID)}),
			401, "invalid_client")

		// What has ended is as what never was.
		narrowed := client.Refresh(refresh, "resource", "https://api.example")
		wantInactive(t, "an API that it was narrowed away from", api.Post("/oauth2/introspect", "token", narrowed.Text("access_token")))
		wantInactive(t, "a spent refresh token", client.Post("/oauth2/introspect", "token", refresh))
		for _, nothing := range []string{"x", ".", "..", "é", strings.Repeat("a", 8000), tokens.Text("id_token"), secret.New(secret.AccessToken), client.Secret} {
			wantInactive(t, "nothing", client.Post("/oauth2/introspect", "token", nothing))
		}
		change(t, house, `UPDATE oauth_access_tokens SET expires_at = '`+longAgo+`'`)
		wantInactive(t, "an access token that has expired", client.Post("/oauth2/introspect", "token", access))
		change(t, house, `UPDATE oauth_refresh_tokens SET expires_at = '`+longAgo+`' WHERE spent_at IS NULL`)
		wantInactive(t, "a refresh token that has expired", client.Post("/oauth2/introspect", "token", narrowed.Text("refresh_token")))
	}
}

// S-082: even a row that says otherwise, as an import might leave it, gives a public client nothing in its own name.
func TestAClientThatProvesNothingGetsNothingForItself(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	public := house.Client(org, manage.ClientSpec{AuthMethod: "none", Scope: "openid email"})
	machine := house.Client(org, manage.ClientSpec{GrantTypes: []string{"client_credentials"}, Scope: "read"})
	change(t, house, `UPDATE oauth_clients SET grant_types = '["authorization_code","client_credentials"]' WHERE client_id = $1`, public.ID)
	if answer := public.Token("grant_type", "client_credentials", "scope", "email"); answer.Status != 400 || answer.Text("access_token") != "" ||
		answer.Text("error") == "" {
		t.Errorf("a public client: %d %s", answer.Status, answer.Body)
	}
	yes := true
	if _, _, err := house.Operators.UpdateClient(org, machine.ID, manage.ClientPatch{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	wantError(t, "a client that is switched off", machine.Token("grant_type", "client_credentials"), 401, "invalid_client")
}

// S-084: an access token that was asked for one API is that API's. In whoever's hands it is, userinfo is not for it.
func TestATokenForAnAPIIsNoTokenForUserinfo(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	const api = "https://api.example"
	for _, format := range []string{"opaque", "jwt"} {
		client := house.Client(org, manage.ClientSpec{
			SkipConsent: true, AccessTokenFormat: format, Audience: []string{api, "https://other.example"}, Scope: "openid email offline_access",
		})
		visitor := signedIn(client, "alice")
		userinfo := func(answer *servertest.Answer) *servertest.Answer {
			t.Helper()
			return send(t, house, request{address: "/oauth2/userinfo", header: []string{"Authorization", "Bearer " + answer.Text("access_token")}})
		}
		asked := client.Redeem(visitor.Code(client.AuthorizeURL("scope", "openid email offline_access", "resource", api), "alice"))
		wantError(t, format+": asked for an API", userinfo(asked), 401, "invalid_token")
		wantError(t, format+": refreshed", userinfo(client.Refresh(asked.Text("refresh_token"))), 401, "invalid_token")

		// Who names no resource has asked for all of them, and for userinfo, which is one; and may narrow it afterwards.
		whole := client.Redeem(visitor.Code(client.AuthorizeURL("scope", "openid email offline_access"), "alice"))
		if answer := userinfo(whole); answer.Status != 200 || answer.Text("email") != "alice@example.com" {
			t.Errorf("%s: not asked for anything: %d %s", format, answer.Status, answer.Body)
		}
		next := client.Refresh(whole.Text("refresh_token"))
		if answer := userinfo(next); answer.Status != 200 {
			t.Errorf("%s: refreshed: %d %s", format, answer.Status, answer.Body)
		}
		named := client.Redeem(visitor.Code(client.AuthorizeURL("scope", "openid email", "resource", client.Issuer), "alice"))
		if answer := userinfo(named); answer.Status != 200 {
			t.Errorf("%s: asked for userinfo: %d %s", format, answer.Status, answer.Body)
		}
		narrowed := client.Refresh(next.Text("refresh_token"), "resource", api)
		wantError(t, format+": narrowed", userinfo(narrowed), 401, "invalid_token")
		again := client.Refresh(narrowed.Text("refresh_token"), "resource", client.Issuer)
		if answer := userinfo(again); answer.Status != 200 {
			t.Errorf("%s: narrowed to userinfo: %d %s", format, answer.Status, answer.Body)
		}
		if seen := client.Post("/oauth2/introspect", "token", again.Text("access_token")).JSON(); seen["aud"] != client.Issuer {
			t.Errorf("%s: %v", format, seen)
		}
		code := visitor.Code(client.AuthorizeURL("scope", "openid email"), "alice")
		narrow := client.Token("grant_type", "authorization_code", "code", code, "redirect_uri", client.Redirect, "code_verifier", servertest.Verifier, "resource", api)
		wantError(t, format+": narrowed at once", userinfo(narrow), 401, "invalid_token")
	}
}

// S-085, S-086 (RFC 6750 §2 and §3): a token comes in one place, and never in an address.
func TestUserinfoTakesOneTokenFromOnePlace(t *testing.T) {
	t.Parallel()
	var log logBook
	house := servertest.Start(t, servertest.Options{Log: &log})
	org := house.In("default")
	house.User(org, "alice")
	client := house.Client(org, manage.ClientSpec{})
	token := client.Tokens("alice", "openid").Text("access_token")
	bearer := []string{"Authorization", "Bearer " + token}
	form := fields("access_token", token)

	for name, test := range map[string]struct {
		request request
		status  int
		code    string
	}{
		"the header":                  {request{header: bearer}, 200, ""},
		"the header, posted":          {request{method: "POST", header: bearer}, 200, ""},
		"the scheme in capitals":      {request{header: []string{"Authorization", "BEARER " + token}}, 200, ""},
		"the form":                    {request{form: form}, 200, ""},
		"nothing":                     {request{}, 401, "invalid_token"},
		"the address":                 {request{address: "?access_token=" + token}, 401, "invalid_token"},
		"the address of a form":       {request{address: "?access_token=" + token, form: url.Values{"x": {"y"}}}, 400, "invalid_request"},
		"a form that is got":          {request{method: "GET", form: form}, 401, "invalid_token"},
		"header and form":             {request{header: bearer, form: form}, 400, "invalid_request"},
		"two headers":                 {request{header: append(slices.Clone(bearer), bearer...)}, 400, "invalid_request"},
		"two in a form":               {request{form: fields("access_token", token, "access_token", token)}, 400, "invalid_request"},
		"two in a header":             {request{header: []string{"Authorization", "Bearer " + token + ", Bearer " + token}}, 401, "invalid_token"},
		"a body that is JSON":         {request{kind: "application/json", body: strings.NewReader(`{"access_token":"` + token + `"}`)}, 401, "invalid_token"},
		"another scheme":              {request{header: []string{"Authorization", "Basic " + token}}, 401, "invalid_token"},
		"DPoP, which it is not for":   {request{header: []string{"Authorization", "DPoP " + token}}, 401, "invalid_token"},
		"no scheme":                   {request{header: []string{"Authorization", token}}, 401, "invalid_token"},
		"an empty token":              {request{header: []string{"Authorization", "Bearer "}}, 401, "invalid_token"},
		"a cookie":                    {request{cookies: []*http.Cookie{{Name: "access_token", Value: token}}}, 401, "invalid_token"},
		"a header of another name":    {request{header: []string{"X-Access-Token", token, "Proxy-Authorization", "Bearer " + token}}, 401, "invalid_token"},
		"a token that is not for it":  {request{header: []string{"Authorization", "Bearer " + client.Secret}}, 401, "invalid_token"},
		"a form of a thousand tokens": {request{form: url.Values{"access_token": slices.Repeat([]string{"x"}, 1000)}}, 400, "invalid_request"},
	} {
		test.request.address = "/oauth2/userinfo" + test.request.address
		answer := send(t, house, test.request)
		if test.code == "" {
			if answer.Status != 200 || answer.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %s", name, answer.Status, answer.Body)
			}
			continue
		}
		wantError(t, name, answer, test.status, test.code)
		if !strings.HasPrefix(answer.Header.Get("WWW-Authenticate"), `Bearer realm="keizer"`) {
			t.Errorf("%s: challenged with %q", name, answer.Header.Get("WWW-Authenticate"))
		}
	}
	if bytes.Contains(log.bytes(), []byte(token)) {
		t.Error("the log has the token")
	}
}

// S-088, S-090: a claim is told under a scope, and none that is about the sign-in can be put into a person's metadata.
func TestUserinfoTellsWhatTheScopeCoversAndNothingElse(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	user := house.User(org, "alice")
	reserved := map[string]any{
		"sub": "mallory", "iss": "https://evil.example", "aud": "x", "exp": 1, "email": "mallory@example.com", "email_verified": true, "acr": "mfa", "amr": "x",
		"roles": []string{"operator"}, "scope": "admin", "nonce": "x", "auth_time": 1,
	}
	for name, value := range reserved {
		if _, err := house.Operators.CreateUser(org, manage.NewUser{
			Username: "mallory", Email: "mallory@example.com", Password: servertest.Password, Metadata: map[string]any{name: value},
		}); err == nil {
			t.Errorf("%s can be set as metadata", name)
		}
		if row, err := house.DB.UserByLogin(org, "mallory"); err == nil {
			if err := house.DB.DeleteUser(org, row.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Even a row that has them, from wherever.
	change(t, house, `UPDATE users SET metadata = '{"sub":"mallory","iss":"x","email":"m@example.com","email_verified":true,"acr":"mfa","roles":["operator"],`+
		`"nickname":"al","exp":1,"scope":"admin","org_id":"x","is_active":false}'`)
	client := house.Client(org, manage.ClientSpec{SkipConsent: true})
	for scope, names := range map[string]string{
		"openid":               "sub",
		"openid email":         "email email_verified sub",
		"openid profile":       "name nickname preferred_username sub updated_at",
		"openid profile email": "email email_verified name nickname preferred_username sub updated_at",
	} {
		tokens := client.Tokens("alice", scope)
		answer := send(t, house, request{address: "/oauth2/userinfo", header: []string{"Authorization", "Bearer " + tokens.Text("access_token")}})
		var told []string
		for name := range answer.JSON() {
			told = append(told, name)
		}
		slices.Sort(told)
		if strings.Join(told, " ") != names || answer.Text("sub") != user.ID.String() || answer.Text("email") == "m@example.com" {
			t.Errorf("%s: %s", scope, answer.Body)
		}
		claims := servertest.Claims(t, tokens.Text("id_token"))
		if claims["sub"] != user.ID.String() || claims["iss"] != client.Issuer || claims["acr"] != "urn:keizer:acr:1fa" || claims["email"] != nil {
			t.Errorf("%s: the ID token says %v", scope, claims)
		}
	}
}

// S-012, S-013: each endpoint has its methods, and no method has side doors.
func TestAnEndpointIsAskedInItsOwnWaysOnly(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	client := house.Client(org, manage.ClientSpec{SkipConsent: true, AuthMethod: "client_secret_post"})
	visitor := signedIn(client, "alice")
	code := visitor.Code(client.AuthorizeURL(), "alice")
	redeem := fields("grant_type", "authorization_code", "code", code, "redirect_uri", client.Redirect, "code_verifier", servertest.Verifier,
		"client_id", client.ID, "client_secret", client.Secret)

	for path, allowed := range map[string]string{
		"/oauth2/token": "OPTIONS POST", "/oauth2/par": "POST", "/oauth2/introspect": "POST", "/oauth2/revoke": "OPTIONS POST",
		"/oauth2/userinfo": "GET OPTIONS POST", "/oauth2/authorize": "GET POST", "/oauth2/logout": "GET POST", "/login": "GET POST", "/consent": "GET POST",
		"/logged-out": "GET", "/setup": "GET POST", "/.well-known/openid-configuration": "GET HEAD", "/.well-known/oauth-authorization-server": "GET HEAD",
		"/.well-known/jwks.json": "GET HEAD", "/livez": "GET HEAD", "/readyz": "GET HEAD",
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "post"} {
			if slices.Contains(strings.Fields(allowed), method) || method == "CONNECT" {
				continue
			}
			answer := send(t, house, request{method: method, address: path + "?" + redeem.Encode(), form: redeem, cookies: visitor.Cookies(house.URL)})
			allow := strings.FieldsFunc(answer.Header.Get("Allow"), func(r rune) bool { return r == ',' || r == ' ' })
			slices.Sort(allow)
			if answer.Status != 405 || strings.Join(allow, " ") != allowed || answer.Header.Get("Location") != "" {
				t.Errorf("%s %s: %d, Allow %q", method, path, answer.Status, answer.Header.Get("Allow"))
			}
		}
		// No header and no parameter turns one method into another.
		if !strings.Contains(allowed, "POST") {
			answer := send(t, house, request{method: "POST", address: path, form: fields("_method", "GET"), header: []string{"X-Http-Method-Override", "GET"}})
			if answer.Status != 405 {
				t.Errorf("%s: overridden: %d", path, answer.Status)
			}
		}
	}

	// Parameters come in the body, form-encoded, and whole.
	good := redeem.Encode()
	for name, test := range map[string]struct {
		kind, query, body string
		status            int
	}{
		"everything in the address":      {"application/x-www-form-urlencoded", good, "", 400},
		"the code in the address":        {"application/x-www-form-urlencoded", "code=" + code, good, 400},
		"anything in the address":        {"application/x-www-form-urlencoded", "x", good, 400},
		"no type":                        {"", "", good, 400},
		"text":                           {"text/plain", "", good, 400},
		"JSON":                           {"application/json", "", `{"grant_type":"authorization_code"}`, 400},
		"in parts":                       {"multipart/form-data; boundary=b", "", "--b\r\nContent-Disposition: form-data; name=\"code\"\r\n\r\n" + code + "\r\n--b--\r\n", 400},
		"a type that is none":            {"application/x-www-form-urlencoded; charset", "", good, 400},
		"a percent that ends":            {"application/x-www-form-urlencoded", "", good + "&x=%", 400},
		"a percent that is none":         {"application/x-www-form-urlencoded", "", good + "&x=%zz", 400},
		"semicolons":                     {"application/x-www-form-urlencoded", "", strings.ReplaceAll(good, "&", ";"), 400},
		"a hundred more":                 {"application/x-www-form-urlencoded", "", good + strings.Repeat("&x=y", 100), 400},
		"a value of nine kilobytes":      {"application/x-www-form-urlencoded", "", good + "&x=" + strings.Repeat("a", 9<<10), 400},
		"a name with a NUL in its value": {"application/x-www-form-urlencoded", "", good + "&x=%00", 400},
		"nothing":                        {"application/x-www-form-urlencoded", "", "", 400},
	} {
		answer := send(t, house, request{method: "POST", address: "/oauth2/token?" + test.query, kind: test.kind, body: strings.NewReader(test.body)})
		wantError(t, name, answer, test.status, "invalid_request")
	}
	// All of which has cost the code nothing.
	if answer := send(t, house, request{address: "/oauth2/token", form: redeem}); answer.Status != 200 {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
}
