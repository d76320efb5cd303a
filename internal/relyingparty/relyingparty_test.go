package relyingparty_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keizer-auth/keizer/internal/providertest"
	"github.com/keizer-auth/keizer/internal/relyingparty"
	"github.com/keizer-auth/keizer/internal/secret"
)

const redirectURI = "http://127.0.0.1:9999/cb"

func discover(t *testing.T, p *providertest.Provider, alter func(*relyingparty.Config)) *relyingparty.Client {
	t.Helper()
	config := relyingparty.Config{Issuer: p.URL, ClientID: providertest.ClientID, RedirectURI: redirectURI, HTTP: p.Client()}
	if alter != nil {
		alter(&config)
	}
	c, err := relyingparty.Discover(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// signIn sends the two forms of the provider by hand and returns what arrives at the redirect URI.
func signIn(t *testing.T, address string) url.Values {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), redirectURI) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + u.Host
	resp, err := browser.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	resp, err = browser.PostForm(base+"/login", url.Values{
		"request": {u.RawQuery}, "username": {providertest.Username}, "password": {providertest.Password},
	})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	resp, err = browser.PostForm(base+"/consent", url.Values{"request": {u.RawQuery}, "decision": {"allow"}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	location, err := resp.Location()
	if err != nil {
		t.Fatal(err)
	}
	return location.Query()
}

// flow runs from the request to the verified ID token.
func flow(t *testing.T, c *relyingparty.Client, ask relyingparty.Ask) (*relyingparty.Tokens, *relyingparty.IDToken, error) {
	t.Helper()
	request := c.Begin(ask)
	code, err := c.Code(request, signIn(t, request.URL))
	if err != nil {
		return nil, nil, err
	}
	tokens, err := c.Redeem(t.Context(), request, code)
	if err != nil {
		return nil, nil, err
	}
	id, err := c.VerifyIDToken(t.Context(), tokens.IDToken, request.Expect(tokens.AccessToken))
	return tokens, id, err
}

func TestTheWholeFlowOfEachKindOfClient(t *testing.T) {
	for method, alter := range map[string]func(*relyingparty.Config){
		relyingparty.AuthNone:  nil,
		relyingparty.AuthBasic: func(c *relyingparty.Config) { c.ClientSecret = providertest.ClientSecret },
		relyingparty.AuthPost: func(c *relyingparty.Config) {
			c.ClientSecret, c.AuthMethod = providertest.ClientSecret, relyingparty.AuthPost
		},
	} {
		t.Run(method, func(t *testing.T) {
			p := providertest.New(t, providertest.Faults{})
			c := discover(t, p, alter)
			tokens, id, err := flow(t, c, relyingparty.Ask{Scope: []string{"openid", "offline_access"}, MaxAge: new(0)})
			if err != nil {
				t.Fatal(err)
			}
			if !id.Verified() || id.Subject() != providertest.Subject {
				t.Fatalf("verified %v, sub %q", id.Verified(), id.Subject())
			}
			info, err := c.UserInfo(t.Context(), tokens.AccessToken, id.Subject())
			if err != nil || info["name"] != "Alice Doe" || info["updated_at"] != json.Number("1735689600") {
				t.Fatalf("userinfo: %v, %v", info, err)
			}

			second, err := c.Refresh(t.Context(), tokens.RefreshToken)
			if err != nil {
				t.Fatal(err)
			}
			if second.RefreshToken == "" || second.RefreshToken == tokens.RefreshToken {
				t.Error("the refresh token did not rotate")
			}
			refreshed, err := c.VerifyIDToken(t.Context(), second.IDToken, relyingparty.Expect{AccessToken: second.AccessToken, Refreshed: id})
			if err != nil || !refreshed.Verified() {
				t.Fatalf("refreshed ID token: %v", err)
			}
			if _, err := c.Refresh(t.Context(), tokens.RefreshToken); !isRefused(err, 400, "invalid_grant") {
				t.Errorf("the spent refresh token: %v", err)
			}

			info, err = c.Introspect(t.Context(), second.AccessToken, "access_token")
			switch {
			case method == relyingparty.AuthNone && !errors.Is(err, relyingparty.ErrPublicClient):
				t.Errorf("introspection by a public client: %v", err)
			case method != relyingparty.AuthNone && (err != nil || info["active"] != true):
				t.Errorf("introspection: %v, %v", info, err)
			}
			if err := c.Revoke(t.Context(), second.RefreshToken, "refresh_token"); err != nil {
				t.Fatal(err)
			}
			if _, err := c.UserInfo(t.Context(), second.AccessToken, id.Subject()); !isRefused(err, 401, "invalid_token") {
				t.Errorf("userinfo after revocation: %v", err)
			}
			if method != relyingparty.AuthNone {
				if info, err := c.Introspect(t.Context(), second.AccessToken, ""); err != nil || info["active"] != false {
					t.Errorf("introspection after revocation: %v, %v", info, err)
				}
			}
		})
	}
}

func isRefused(err error, status int, code string) bool {
	refused, ok := errors.AsType[*relyingparty.RefusedError](err)
	return ok && refused.Status == status && refused.Code == code
}

func TestTheAuthorizationRequestSaysWhatWasAskedAndNothingTwice(t *testing.T) {
	c := discover(t, providertest.New(t, providertest.Faults{}), nil)
	request := c.Begin(relyingparty.Ask{
		Scope: []string{"openid", "email"}, Prompt: "login", MaxAge: new(60), LoginHint: "alice & co", ACRValues: "urn:x", UILocales: "de en",
		ResponseMode: "form_post",
	})
	u, err := url.Parse(request.URL)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	for name, want := range map[string]string{
		"response_type": "code", "client_id": "demo", "redirect_uri": redirectURI, "scope": "openid email", "prompt": "login", "max_age": "60",
		"login_hint": "alice & co", "acr_values": "urn:x", "ui_locales": "de en", "response_mode": "form_post", "code_challenge_method": "S256",
		"state": request.State, "nonce": request.Nonce,
	} {
		if got := query[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if challenge := query.Get("code_challenge"); len(challenge) != 43 || strings.Contains(request.URL, request.Verifier.Reveal()) {
		t.Errorf("challenge %q", challenge)
	}
	other := c.Begin(relyingparty.Ask{})
	if other.State == request.State || other.Nonce == request.Nonce || other.Verifier == request.Verifier {
		t.Error("something repeats between two requests")
	}
	if strings.Contains(other.URL, "max_age") || strings.Contains(other.URL, "prompt") {
		t.Errorf("an empty parameter was sent: %s", other.URL)
	}
}

func TestACallbackThatIsNotTheRequestsIsRefused(t *testing.T) {
	p := providertest.New(t, providertest.Faults{})
	c := discover(t, p, nil)
	request := c.Begin(relyingparty.Ask{})
	good := url.Values{"code": {"the-code"}, "state": {request.State}, "iss": {p.URL}}
	if code, err := c.Code(request, good); err != nil || code != "the-code" {
		t.Fatalf("%q, %v", code, err)
	}
	for name, test := range map[string]struct {
		alter func(url.Values)
		what  string
	}{
		"state of another":        {func(v url.Values) { v.Set("state", "another") }, "state"},
		"state in another case":   {func(v url.Values) { v.Set("state", strings.ToLower(request.State)) }, "state"},
		"state empty":             {func(v url.Values) { v.Set("state", "") }, "state"},
		"state missing":           {func(v url.Values) { v.Del("state") }, "state"},
		"state twice":             {func(v url.Values) { v.Add("state", request.State) }, "state"},
		"code twice":              {func(v url.Values) { v.Add("code", "second") }, "code"},
		"code missing":            {func(v url.Values) { v.Del("code") }, "code"},
		"code empty":              {func(v url.Values) { v.Set("code", "") }, "code"},
		"iss of another":          {func(v url.Values) { v.Set("iss", "https://evil.example") }, "iss"},
		"iss with a slash more":   {func(v url.Values) { v.Set("iss", p.URL+"/") }, "iss"},
		"iss missing":             {func(v url.Values) { v.Del("iss") }, "iss"},
		"iss empty":               {func(v url.Values) { v.Set("iss", "") }, "iss"},
		"error of another issuer": {func(v url.Values) { v.Set("iss", "https://evil.example"); v.Set("error", "access_denied") }, "iss"},
		"error without the state": {func(v url.Values) { v.Del("state"); v.Set("error", "access_denied") }, "state"},
		"ID token by the browser": {func(v url.Values) { v.Set("id_token", "e30.e30.") }, "id_token"},
		"token by the browser":    {func(v url.Values) { v.Set("access_token", "at") }, "access_token"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := maps.Clone(good)
			for k, v := range answer {
				answer[k] = append([]string(nil), v...)
			}
			test.alter(answer)
			code, err := c.Code(request, answer)
			mismatch, ok := errors.AsType[*relyingparty.MismatchError](err)
			if !ok || mismatch.What != test.what || code != "" {
				t.Errorf("code %q, error %v", code, err)
			}
		})
	}
	t.Run("an error of the server itself", func(t *testing.T) {
		_, err := c.Code(request, url.Values{
			"error": {"access_denied"}, "error_description": {"No.\x1b[31m"}, "state": {request.State}, "iss": {p.URL},
		})
		refused, ok := errors.AsType[*relyingparty.RefusedError](err)
		if !ok || refused.Code != "access_denied" || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%v", err)
		}
	})
}

func TestAnIssParameterIsOnlyOwedByServersThatPromiseIt(t *testing.T) {
	p := providertest.New(t, providertest.Faults{Metadata: func(m map[string]any) { delete(m, "authorization_response_iss_parameter_supported") }})
	c := discover(t, p, nil)
	request := c.Begin(relyingparty.Ask{})
	if _, err := c.Code(request, url.Values{"code": {"x"}, "state": {request.State}}); err != nil {
		t.Error(err)
	}
	if _, err := c.Code(request, url.Values{"code": {"x"}, "state": {request.State}, "iss": {"https://evil.example"}}); err == nil {
		t.Error("an iss that is there must be right")
	}
}

func TestAnIDTokenThatIsNotRightIsRefusedAndSaysWhy(t *testing.T) {
	claim := func(name string, value any) providertest.Faults {
		return providertest.Faults{Claims: func(c map[string]any) {
			if value == nil {
				delete(c, name)
				return
			}
			c[name] = value
		}}
	}
	now := time.Now().Unix()
	for name, test := range map[string]struct {
		faults providertest.Faults
		check  string
	}{
		"nonce of another":        {claim("nonce", "another"), "nonce"},
		"nonce missing":           {claim("nonce", nil), "nonce"},
		"iss of another":          {claim("iss", "https://evil.example"), "iss"},
		"iss missing":             {claim("iss", nil), "iss"},
		"aud of another":          {claim("aud", "another"), "aud"},
		"aud missing":             {claim("aud", nil), "aud"},
		"aud with a stranger":     {claim("aud", []string{providertest.ClientID, "another"}), "aud"},
		"azp of another":          {claim("azp", "another"), "azp"},
		"azp that is no string":   {claim("azp", []string{providertest.ClientID}), "azp"},
		"exp passed":              {claim("exp", now-1), "exp"},
		"exp missing":             {claim("exp", nil), "exp"},
		"iat in the future":       {claim("iat", now+3600), "iat"},
		"iat missing":             {claim("iat", nil), "iat"},
		"nbf in the future":       {claim("nbf", now+3600), "nbf"},
		"sub empty":               {claim("sub", ""), "sub"},
		"sub too long":            {claim("sub", strings.Repeat("x", 256)), "sub"},
		"sub not ASCII":           {claim("sub", "älice"), "sub"},
		"auth_time missing":       {claim("auth_time", nil), "auth_time"},
		"auth_time too old":       {claim("auth_time", now-3600), "auth_time"},
		"auth_time in the future": {claim("auth_time", now+3600), "auth_time"},
		"at_hash missing":         {claim("at_hash", nil), "at_hash"},
		"at_hash of another":      {claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"), "at_hash"},
		"signed by a stranger":    {providertest.Faults{WrongKey: true}, "signature"},
		"signed by the secret":    {providertest.Faults{Symmetric: true}, "signature"},
		"not signed":              {providertest.Faults{Unsigned: true}, "signature"},
		"unknown kid":             {providertest.Faults{Header: func(h map[jose.HeaderKey]any) { h["kid"] = "second" }}, "signature"},
		"unknown crit":            {providertest.Faults{Header: func(h map[jose.HeaderKey]any) { h["crit"] = []string{"x"}; h["x"] = 1 }}, "signature"},
		"altered signature": {providertest.Faults{Forge: func(s string) string {
			dot := strings.LastIndexByte(s, '.')
			return s[:dot+1] + strings.Repeat("A", len(s)-dot-1)
		}}, "signature"},
		"altered claims": {providertest.Faults{Forge: func(s string) string {
			parts := strings.Split(s, ".")
			return parts[0] + ".eyJzdWIiOiJtYWxsb3J5In0." + parts[2]
		}}, "signature"},
		"key of the token's own": {providertest.Faults{WrongKey: true, Header: func(h map[jose.HeaderKey]any) {
			h["jku"] = "https://evil.example/jwks.json"
		}}, "signature"},
	} {
		t.Run(name, func(t *testing.T) {
			c := discover(t, providertest.New(t, test.faults), nil)
			_, id, err := flow(t, c, relyingparty.Ask{MaxAge: new(60)})
			unverified, ok := errors.AsType[*relyingparty.UnverifiedError](err)
			if !ok {
				t.Fatalf("error %v", err)
			}
			if id.Verified() {
				t.Error("the token says it is verified")
			}
			if len(unverified.Failed) != 1 || unverified.Failed[0].Name != test.check || unverified.Failed[0].Detail == "" {
				t.Errorf("failed: %+v", unverified.Failed)
			}
		})
	}
}

func TestATokenAnswerThatIsNoneIsRefused(t *testing.T) {
	for name, alter := range map[string]func(map[string]any){
		"no ID token":        func(m map[string]any) { delete(m, "id_token") },
		"ID token in parts":  func(m map[string]any) { m["id_token"] = "e30.e30" },
		"ID token no base64": func(m map[string]any) { m["id_token"] = "e30.%%.AA" },
		"ID token no object": func(m map[string]any) { m["id_token"] = "e30.bnVsbA.AA" },
		"ID token too long":  func(m map[string]any) { m["id_token"] = strings.Repeat(".", 17<<10) },
		"no access token":    func(m map[string]any) { delete(m, "access_token") },
		"another token type": func(m map[string]any) { m["token_type"] = "mac" },
		"no token type":      func(m map[string]any) { delete(m, "token_type") },
		"an error with 200":  func(m map[string]any) { m["error"] = "invalid_grant" },
		"too long an answer": func(m map[string]any) { m["padding"] = strings.Repeat("x", 300<<10) },
	} {
		t.Run(name, func(t *testing.T) {
			c := discover(t, providertest.New(t, providertest.Faults{Answer: alter}), nil)
			if _, _, err := flow(t, c, relyingparty.Ask{}); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestARefreshedIDTokenMustBeOfTheSamePerson(t *testing.T) {
	for name, test := range map[string]struct {
		alter func(map[string]any)
		check string
	}{
		"another sub":       {func(c map[string]any) { c["sub"] = "mallory" }, "refreshed sub"},
		"another auth_time": {func(c map[string]any) { c["auth_time"] = time.Now().Add(-time.Minute).Unix() }, "refreshed auth_time"},
		"auth_time gone":    {func(c map[string]any) { delete(c, "auth_time") }, "refreshed auth_time"},
		"an azp on top":     {func(c map[string]any) { c["azp"] = providertest.ClientID }, "refreshed azp"},
		"another nonce":     {func(c map[string]any) { c["nonce"] = "another" }, "refreshed nonce"},
		"an older iat":      {func(c map[string]any) { c["iat"] = time.Now().Add(-time.Minute).Unix() }, "refreshed iat"},
	} {
		t.Run(name, func(t *testing.T) {
			p := providertest.New(t, providertest.Faults{})
			c := discover(t, p, nil)
			tokens, id, err := flow(t, c, relyingparty.Ask{Scope: []string{"openid", "offline_access"}})
			if err != nil {
				t.Fatal(err)
			}
			p.Faults.Claims = test.alter
			second, err := c.Refresh(t.Context(), tokens.RefreshToken)
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.VerifyIDToken(t.Context(), second.IDToken, relyingparty.Expect{AccessToken: second.AccessToken, Refreshed: id})
			unverified, ok := errors.AsType[*relyingparty.UnverifiedError](err)
			if !ok || len(unverified.Failed) != 1 || unverified.Failed[0].Name != test.check {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAnAnswerWithoutARefreshTokenIsToldFromOneThatRepeatsIt(t *testing.T) {
	p := providertest.New(t, providertest.Faults{KeepRefreshToken: true})
	c := discover(t, p, nil)
	tokens, _, err := flow(t, c, relyingparty.Ask{Scope: []string{"openid", "offline_access"}})
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.Refresh(t.Context(), tokens.RefreshToken)
	if err != nil || second.RefreshToken != "" {
		t.Errorf("%q, %v", second.RefreshToken, err)
	}
	if _, err := c.Refresh(t.Context(), ""); !errors.Is(err, relyingparty.ErrNoRefreshToken) {
		t.Errorf("%v", err)
	}
}

func TestUserinfoOfSomebodyElseIsRefused(t *testing.T) {
	for name, alter := range map[string]func(map[string]any){
		"another sub": func(c map[string]any) { c["sub"] = "mallory" },
		"no sub":      func(c map[string]any) { delete(c, "sub") },
	} {
		t.Run(name, func(t *testing.T) {
			c := discover(t, providertest.New(t, providertest.Faults{UserInfo: alter}), nil)
			tokens, id, err := flow(t, c, relyingparty.Ask{})
			if err != nil {
				t.Fatal(err)
			}
			if claims, err := c.UserInfo(t.Context(), tokens.AccessToken, id.Subject()); err == nil || claims != nil {
				t.Errorf("%v, %v", claims, err)
			}
		})
	}
}

func TestDiscoveryThatCannotBeGoneByIsRefused(t *testing.T) {
	set := func(name string, value any) func(map[string]any) {
		return func(m map[string]any) { m[name] = value }
	}
	for name, alter := range map[string]func(map[string]any){
		"another issuer":          set("issuer", "https://evil.example"),
		"no token endpoint":       set("token_endpoint", ""),
		"no keys":                 set("jwks_uri", ""),
		"a plain http endpoint":   set("token_endpoint", "http://token.example/token"),
		"an endpoint of a script": set("end_session_endpoint", "javascript:alert(1)"),
		"an endpoint with a user": set("userinfo_endpoint", "https://a:b@example.com/userinfo"),
		"plain PKCE alone":        set("code_challenge_methods_supported", []string{"plain"}),
		"a number for an address": set("token_endpoint", 7),
	} {
		t.Run(name, func(t *testing.T) {
			p := providertest.New(t, providertest.Faults{Metadata: alter})
			_, err := relyingparty.Discover(t.Context(), relyingparty.Config{Issuer: p.URL, ClientID: "demo", HTTP: p.Client()})
			if err == nil || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v", err)
			}
		})
	}
	for name, handler := range map[string]http.HandlerFunc{
		"404":        http.NotFound,
		"HTML":       func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<!doctype html>") },
		"a redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"a bomb":     func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat(" ", 1<<20)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(handler)
			defer s.Close()
			_, err := relyingparty.Discover(t.Context(), relyingparty.Config{Issuer: s.URL, ClientID: "demo", HTTP: s.Client()})
			if err == nil || len(err.Error()) > 300 {
				t.Errorf("%v", err)
			}
		})
	}
	for _, issuer := range []string{
		"", "http://example.com", "http://10.0.0.1", "ftp://localhost", "https://", "https://a@example.com", "https://example.com?x", "https://example.com#x", "localhost:8080", ":",
	} {
		if _, err := relyingparty.Discover(t.Context(), relyingparty.Config{Issuer: issuer, ClientID: "demo"}); err == nil {
			t.Errorf("issuer %q accepted", issuer)
		}
	}
}

func TestASecretAndItsMethodMayNotContradictEachOther(t *testing.T) {
	p := providertest.New(t, providertest.Faults{})
	for _, config := range []relyingparty.Config{
		{AuthMethod: relyingparty.AuthNone, ClientSecret: "x"},
		{AuthMethod: relyingparty.AuthBasic},
		{AuthMethod: "private_key_jwt", ClientSecret: "x"},
	} {
		config.Issuer, config.ClientID, config.HTTP = p.URL, "demo", p.Client()
		if _, err := relyingparty.Discover(t.Context(), config); err == nil {
			t.Errorf("%+v accepted", config)
		}
	}
}

func TestTheTraceShowsEveryStepAndNoSecret(t *testing.T) {
	p := providertest.New(t, providertest.Faults{})
	c := discover(t, p, func(c *relyingparty.Config) { c.ClientSecret = providertest.ClientSecret })
	request := c.Begin(relyingparty.Ask{Scope: []string{"openid", "offline_access"}})
	code, err := c.Code(request, signIn(t, request.URL))
	if err != nil {
		t.Fatal(err)
	}
	first, err := c.Redeem(t.Context(), request, code)
	if err != nil {
		t.Fatal(err)
	}
	id, err := c.VerifyIDToken(t.Context(), first.IDToken, request.Expect(first.AccessToken))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.UserInfo(t.Context(), first.AccessToken, id.Subject()); err != nil {
		t.Fatal(err)
	}
	second, err := c.Refresh(t.Context(), first.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Introspect(t.Context(), second.AccessToken, ""); err != nil {
		t.Fatal(err)
	}
	if err := c.Revoke(t.Context(), second.RefreshToken, ""); err != nil {
		t.Fatal(err)
	}

	var steps []string
	for _, e := range c.Exchanges() {
		steps = append(steps, e.Step)
		if e.Status == 0 || e.Took <= 0 || e.Curl == "" || e.At.IsZero() {
			t.Errorf("incomplete: %+v", e)
		}
	}
	if got, want := strings.Join(steps, " "), "discovery token keys userinfo token introspection revocation"; got != want {
		t.Errorf("steps %s, want %s", got, want)
	}
	shown, err := json.Marshal(c.Exchanges())
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"client secret": providertest.ClientSecret, "client secret, encoded": url.QueryEscape(providertest.ClientSecret),
		"code": code, "verifier": request.Verifier.Reveal(), "ID token": first.IDToken,
		"access token": first.AccessToken, "refresh token": first.RefreshToken, "second access token": second.AccessToken, "second refresh token": second.RefreshToken,
	} {
		if strings.Contains(string(shown), value) {
			t.Errorf("the trace shows the %s", name)
		}
	}
	if !strings.Contains(string(shown), relyingparty.Mask(first.RefreshToken)) {
		t.Error("a masked token should still be told from another")
	}
}

func TestACurlEquivalentIsTheSameRequestToAShell(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	p := providertest.New(t, providertest.Faults{})
	c := discover(t, p, func(c *relyingparty.Config) {
		c.ClientSecret, c.RedirectURI = providertest.ClientSecret, `http://127.0.0.1:9/cb?it's=$HOME&x="y"`
	})
	if _, err := c.Redeem(t.Context(), c.Begin(relyingparty.Ask{}), "no-such-code"); err == nil {
		t.Fatal("redeemed")
	}
	exchanges := c.Exchanges()
	command := exchanges[len(exchanges)-1].Curl
	// curl becomes a function that prints its words.
	words := exec.CommandContext(t.Context(), shell, "-c", "curl() { printf '%s\\n' \"$@\"; }\nCODE=c0de CODE_VERIFIER=v CLIENT_SECRET='s s'\n"+command)
	out, err := words.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s\n%s", err, out, command)
	}
	want := []string{
		"--silent", "--show-error", p.URL + "/token", "--user", "demo:s s", "--data-urlencode", "grant_type=authorization_code",
		"--data-urlencode", "code=c0de", "--data-urlencode", "code_verifier=v",
		"--data-urlencode", `redirect_uri=http://127.0.0.1:9/cb?it's=$HOME&x="y"`,
	}
	if got := strings.TrimSpace(string(out)); got != strings.Join(want, "\n") {
		t.Errorf("%s\n%s", command, got)
	}
}

func TestAServerThatIsAwayIsSaidInOneSentence(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	address := s.URL
	s.Close()
	_, err := relyingparty.Discover(t.Context(), relyingparty.Config{Issuer: address, ClientID: "demo"})
	if err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := providertest.New(t, providertest.Faults{})
	if _, err := relyingparty.Discover(ctx, relyingparty.Config{Issuer: p.URL, ClientID: "demo"}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestTheLogoutAddressCarriesTheHint(t *testing.T) {
	p := providertest.New(t, providertest.Faults{Metadata: func(m map[string]any) {
		m["end_session_endpoint"] = fmt.Sprint(m["end_session_endpoint"], "?tenant=1")
	}})
	c := discover(t, p, nil)
	address, err := c.LogoutURL("hint", "http://127.0.0.1:9999/bye", "s")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	want := url.Values{
		"tenant": {"1"}, "client_id": {"demo"}, "id_token_hint": {"hint"}, "post_logout_redirect_uri": {"http://127.0.0.1:9999/bye"}, "state": {"s"},
	}
	if u.RawQuery != want.Encode() {
		t.Errorf("%s", u.RawQuery)
	}
	if address, err = c.LogoutURL("", "", ""); err != nil || strings.Contains(address, "hint") || strings.Contains(address, "state") {
		t.Errorf("%s, %v", address, err)
	}
}

func TestMaskNeverShowsMostOfAValue(t *testing.T) {
	for range 100 {
		token := secret.New(secret.AccessToken)
		if masked := relyingparty.Mask(token); len(masked) > 20 || strings.Contains(masked, token[12:len(token)-4]) {
			t.Fatalf("%s", masked)
		}
	}
	for _, short := range []string{"", "hunter2", strings.Repeat("x", 39)} {
		if relyingparty.Mask(short) != "…" {
			t.Errorf("%q is shown", short)
		}
	}
}
