package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keizer-auth/keizer/config"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
)

// sessionOf is the session of somebody's browser at the root organization, or nil when nobody is signed in there.
func sessionOf(t testing.TB, house *servertest.House, org context.Context, visitor *servertest.Visitor) *storage.Session {
	t.Helper()
	for _, cookie := range visitor.Cookies(house.URL) {
		if cookie.Name != "keizer_session" {
			continue
		}
		session, _, err := house.DB.SessionByToken(org, secret.Digest(cookie.Value))
		if err == nil {
			return session
		}
	}
	return nil
}

// signedInAgo signs alice in at a new browser, and makes it that she did so a while ago.
func signedInAgo(t testing.TB, house *servertest.House, org context.Context, client *servertest.Client, ago time.Duration) *servertest.Visitor {
	t.Helper()
	visitor := client.Visitor()
	visitor.Code(client.AuthorizeURL(), "alice")
	session := sessionOf(t, house, org, visitor)
	session.AuthTime = session.AuthTime.Add(-ago)
	if err := house.DB.RenewSession(org, session); err != nil {
		t.Fatal(err)
	}
	return visitor
}

// idTokenOf walks a request to its ID token.
func idTokenOf(t testing.TB, client *servertest.Client, visitor *servertest.Visitor, params ...string) (token string, claims map[string]any) {
	t.Helper()
	answer := client.Redeem(visitor.Code(client.AuthorizeURL(params...), "alice"))
	if answer.Status != 200 {
		t.Fatalf("%d %s", answer.Status, answer.Body)
	}
	token = answer.Text("id_token")
	return token, servertest.Claims(t, token)
}

func TestMaxAgeAsksForANewLoginWhenTheLastIsTooOld(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, org, client := beginWith(t, databaseURL, trustedClient)
		for _, age := range []string{"0", "1", "3599"} {
			visitor := signedInAgo(t, house, org, client, time.Hour)
			before := sessionOf(t, house, org, visitor).AuthTime.Unix()
			tellsClient(t, "max_age="+age+", silently", client, visitor.Through(client.AuthorizeURL("max_age", age, "prompt", "none"), ""), "login_required")
			page := visitor.Go(client.AuthorizeURL("max_age", age))
			if page.Title != "Sign in" || page.Value("username") != "alice" {
				t.Fatalf("max_age=%s: %q for %q", age, page.Title, page.Value("username"))
			}
			arrived, _ := visitor.SignIn(page, "alice", servertest.Password).Arrived()
			claims := servertest.Claims(t, client.Redeem(arrived.Get("code")).Text("id_token"))
			if at := int64(numberOf(t, claims["auth_time"])); at <= before || at < time.Now().Unix()-30 {
				t.Errorf("max_age=%s: auth_time %d, before %d", age, at, before)
			}
		}
		// Even of a login of this very second, max_age=0 asks for another (Core §3.1.2.1).
		if page := signedInAgo(t, house, org, client, 0).Go(client.AuthorizeURL("max_age", "0")); page.Title != "Sign in" {
			t.Errorf("max_age=0 at once: %q", page.Title)
		}

		visitor := signedInAgo(t, house, org, client, time.Hour)
		at := sessionOf(t, house, org, visitor).AuthTime.Unix()
		for _, age := range []string{"", "3700", "10000", "4294967295"} {
			arrived, ok := visitor.Go(client.AuthorizeURL("max_age", age)).Arrived()
			if !ok {
				t.Fatalf("max_age=%s asks for a login", age)
			}
			claims := servertest.Claims(t, client.Redeem(arrived.Get("code")).Text("id_token"))
			if int64(numberOf(t, claims["auth_time"])) != at {
				t.Errorf("max_age=%s: auth_time %v, signed in at %d", age, claims["auth_time"], at)
			}
		}
		for _, age := range []string{"-1", "abc", "1e99", "1.5", "+5", " 5", "0x10", "5s", "4294967296", "99999999999999999999", "\u0665"} {
			tellsClient(t, "max_age="+age, client, visitor.Through(client.AuthorizeURL("max_age", age), ""), "invalid_request")
		}
	})
}

func TestAClientMayBeRegisteredWithAMaxAgeOfItsOwn(t *testing.T) {
	t.Parallel()
	house, org, _ := beginWith(t, "", trustedClient)
	client := house.Client(org, manage.ClientSpec{SkipConsent: true, Metadata: map[string]any{"default_max_age": 60.0}})
	visitor := signedInAgo(t, house, org, client, time.Hour)
	tellsClient(t, "silently", client, visitor.Through(client.AuthorizeURL("prompt", "none"), ""), "login_required")
	if page := visitor.Go(client.AuthorizeURL()); page.Title != "Sign in" {
		t.Errorf("%q", page.Title)
	}
	if _, ok := visitor.Go(client.AuthorizeURL("max_age", "10000")).Arrived(); !ok {
		t.Error("the request's own max_age does not count")
	}
}

func TestPromptLoginAsksAgainAndTheNewLoginIsLater(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, org, client := beginWith(t, databaseURL, trustedClient)
		visitor := signedInAgo(t, house, org, client, 2*time.Second)
		_, before := idTokenOf(t, client, visitor)
		if page := visitor.Go(client.AuthorizeURL("prompt", "login")); page.Title != "Sign in" || page.Value("username") != "alice" {
			t.Fatalf("%q for %q", page.Title, page.Value("username"))
		}
		_, after := idTokenOf(t, client, visitor, "prompt", "login")
		if numberOf(t, after["auth_time"]) <= numberOf(t, before["auth_time"]) || after["sid"] != before["sid"] {
			t.Errorf("before %v, after %v", before, after)
		}
		// One that follows at once is later as well, though applications are told whole seconds; and none that follows is earlier.
		for range 3 {
			visitor := client.Visitor()
			_, first := idTokenOf(t, client, visitor)
			_, second := idTokenOf(t, client, visitor, "prompt", "login")
			_, third := idTokenOf(t, client, visitor, "prompt", "login")
			one, two, three := numberOf(t, first["auth_time"]), numberOf(t, second["auth_time"]), numberOf(t, third["auth_time"])
			if two <= one || three < two || three > float64(time.Now().Unix()+1) {
				t.Errorf("auth_time %v, then %v, then %v", one, two, three)
			}
		}
	})
}

// S-028.
func TestALoginForAnotherRequestDoesNotAnswerOneThatAskedForItsOwn(t *testing.T) {
	t.Parallel()
	_, _, client := beginWith(t, "", trustedClient)
	visitor := client.Visitor()
	visitor.Code(client.AuthorizeURL(), "alice")
	page := visitor.Go(client.AuthorizeURL("prompt", "login"))
	back := strings.Replace(page.URL.String(), "/login?", "/oauth2/authorize?", 1)
	if again := visitor.Go(back); again.Title != "Sign in" {
		t.Fatalf("going back to the request: %q", again.Title)
	}
	visitor.Code(client.AuthorizeURL("max_age", "0"), "alice") // in a second tab
	if again := visitor.Go(back); again.Title != "Sign in" {
		t.Fatalf("after a login in a second tab: %q", again.Title)
	}
	arrived, _ := visitor.SignIn(visitor.Go(back), "alice", servertest.Password).Arrived()
	if arrived.Get("code") == "" {
		t.Errorf("%v", arrived)
	}
	if again := visitor.Go(back); again.Status != 400 {
		t.Errorf("after its answer: %d %q", again.Status, again.Title)
	}
}

func TestAPromptIsOneOfThoseThatThereAre(t *testing.T) {
	t.Parallel()
	house, _, client := beginWith(t, "", trustedClient)
	for _, prompt := range []string{"none login", "login none", "none consent", "banana", "Login", "Create", "create login", "none create", "login,consent"} {
		tellsClient(t, prompt, client, sentTo(t, house.Get(client.AuthorizeURL("prompt", prompt))).Query(), "invalid_request")
	}
	tellsClient(t, "none, with nobody there", client, sentTo(t, house.Get(client.AuthorizeURL("prompt", "none"))).Query(), "login_required")
	arrived, _ := client.Visitor().Go(client.AuthorizeURL("prompt", "none", "response_mode", "form_post")).Arrived()
	tellsClient(t, "none, by form_post", client, arrived, "login_required")

	visitor := client.Visitor()
	visitor.Code(client.AuthorizeURL(), "alice")
	page := visitor.Go(client.AuthorizeURL("prompt", "login consent"))
	if page.Title != "Sign in" {
		t.Fatalf("login and consent: %q", page.Title)
	}
	if page = visitor.SignIn(page, "alice", servertest.Password); page.Title != "Allow access" {
		t.Fatalf("login and consent, after the login: %q", page.Title)
	}
	if arrived, _ := visitor.Press(page, "consent-allow").Arrived(); arrived.Get("code") == "" {
		t.Errorf("%v", arrived)
	}
}

func TestTheTimeOfTheLoginIsTheSameForEveryClientAndAfterEveryRefresh(t *testing.T) {
	t.Parallel()
	house, org, client := beginWith(t, "", trustedClient)
	other := house.Client(org, trustedClient)
	visitor := signedInAgo(t, house, org, client, time.Hour)
	at := float64(sessionOf(t, house, org, visitor).AuthTime.Unix())
	for _, one := range []*servertest.Client{client, other} {
		answer := one.Redeem(visitor.Code(one.AuthorizeURL("scope", "openid offline_access", "prompt", "none"), ""))
		for range 3 {
			claims := servertest.Claims(t, answer.Text("id_token"))
			if claims["auth_time"] != at || numberOf(t, claims["iat"]) < at+3600 || claims["aud"] != one.ID || claims["acr"] != "urn:keizer:acr:1fa" {
				t.Errorf("%v, signed in at %v", claims, at)
			}
			answer = one.Refresh(answer.Text("refresh_token"))
		}
	}
}

// A consent belongs to whoever sat there when it was given.
func TestAConsentDoesNotOutliveThePersonWhoGaveIt(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, org, client := beginWith(t, databaseURL, manage.ClientSpec{})
		house.User(org, "bob")
		visitor := client.Visitor()
		page := visitor.SignIn(visitor.Go(client.AuthorizeURL()), "alice", servertest.Password)
		id := page.URL.Query().Get("interaction")
		if page.Title != "Allow access" || id == "" {
			t.Fatalf("%q at %s", page.Title, page.URL)
		}
		// She allows it, and is signed out before the browser is back at the request.
		if err := house.DB.InteractionConsented(org, secret.Digest(id), []string{"openid"}, time.Now().UTC()); err != nil {
			t.Fatal(err)
		}
		if err := house.DB.EndSession(org, sessionOf(t, house, org, visitor).ID, false); err != nil {
			t.Fatal(err)
		}
		page = visitor.Go(house.At(client.Issuer + "/oauth2/authorize?interaction=" + url.QueryEscape(id)))
		if page.Title != "Sign in" {
			t.Fatalf("%q", page.Title)
		}
		if page = visitor.SignIn(page, "bob", servertest.Password); page.Title != "Allow access" {
			t.Errorf("%q at %s", page.Title, page.URL)
		}
	})
}

// --- Hints ---

func TestAHintSucceedsSilentlyHoweverOldItIs(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		// ID tokens of this house have expired before anybody sees them.
		house, org, client := beginWith(t, databaseURL, trustedClient, func(cfg *config.Config) { cfg.Tokens.IDLifetime = -time.Hour })
		visitor := client.Visitor()
		old, claims := idTokenOf(t, client, visitor)
		if numberOf(t, claims["exp"]) > float64(time.Now().Unix()) {
			t.Fatal("the hint has not expired")
		}
		silently := func() url.Values {
			arrived, _ := visitor.Go(client.AuthorizeURL("prompt", "none", "id_token_hint", old)).Arrived()
			return arrived
		}
		if arrived := silently(); arrived.Get("code") == "" {
			t.Fatalf("an expired hint: %v", arrived)
		}

		// Its key signs no more, and then is not published any more.
		for name, longest := range map[string]time.Duration{"rotated out": time.Hour, "cleared away": -24 * time.Hour} {
			kid, err := house.Operators.RotateKey(org, "RS256", true, longest)
			if err != nil {
				t.Fatal(err)
			}
			eventually(t, "the next key signs", func() bool {
				token, _ := idTokenOf(t, client, visitor)
				return jwtHeader(t, token)["kid"] == kid
			})
			if arrived := silently(); arrived.Get("code") == "" {
				t.Errorf("a hint whose key was %s: %v", name, arrived)
			}
		}
		recent, _ := idTokenOf(t, client, visitor)
		kid, ok := jwtHeader(t, recent)["kid"].(string)
		if !ok {
			t.Fatal("no kid")
		}
		if err := house.Operators.RevokeKey(org, kid); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a hint whose key was revoked is refused", func() bool {
			arrived, _ := visitor.Go(client.AuthorizeURL("prompt", "none", "id_token_hint", recent)).Arrived()
			return arrived.Get("error") == "invalid_request"
		})
	})
}

func TestAHintThatIsNotOfThisClientAndIssuerIsRefused(t *testing.T) {
	t.Parallel()
	key := newClientKey(t)
	house, org, client := beginWith(t, "", manage.ClientSpec{SkipConsent: true, AccessTokenFormat: "jwt", JWKS: key.public(t)})
	other := house.Client(org, trustedClient)
	acme := house.Organization("acme")
	house.User(acme, "alice")
	twin := twinOf(t, house, org, acme, client)
	visitor := client.Visitor()
	answer := client.Redeem(visitor.Code(client.AuthorizeURL(), "alice"))
	good, claims := answer.Text("id_token"), servertest.Claims(t, answer.Text("id_token"))
	anothers, _ := idTokenOf(t, other, visitor)
	elsewhere, _ := idTokenOf(t, twin, twin.Visitor())
	header, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	changed := maps.Clone(claims)
	changed["sub"] = "00000000-0000-0000-0000-000000000000"
	changedPayload := strings.Split(unsignedJWT(t, changed), ".")[1]
	set := house.Get(house.Base + "/.well-known/jwks.json").Body

	for name, hint := range map[string]string{
		"another client's":                anothers,
		"another organization's":          elsewhere,
		"of alg none":                     unsignedJWT(t, claims),
		"of alg none, with the signature": unsignedJWT(t, claims) + signature,
		"signed by the client":            key.sign(t, claims),
		"signed with the public keys":     signJWT(t, jose.HS256, []byte(set), claims),
		"with another subject":            header + "." + changedPayload + "." + signature,
		"without its signature":           header + "." + payload + ".",
		"an access token":                 answer.Text("access_token"),
		"no JWT":                          "x",
		"many parts":                      strings.Repeat("a.", 1000),
	} {
		for _, prompt := range []string{"none", ""} {
			tellsClient(t, name+", prompt="+prompt, client, visitor.Through(client.AuthorizeURL("prompt", prompt, "id_token_hint", hint), ""), "invalid_request")
		}
		page := visitor.Go(house.At(client.Issuer + "/oauth2/logout?" + url.Values{"id_token_hint": {hint}, "client_id": {client.ID}}.Encode()))
		if page.Status != 400 || page.Title != "Sign-out error" {
			t.Errorf("%s, at the logout: %d %q", name, page.Status, page.Title)
		}
	}
	if arrived := visitor.Through(client.AuthorizeURL("prompt", "none", "id_token_hint", good), ""); arrived.Get("code") == "" {
		t.Errorf("its own: %v", arrived)
	}
}

func TestAHintForSomebodyElseAsksForThem(t *testing.T) {
	t.Parallel()
	house, org, client := beginWith(t, "", trustedClient)
	bob := house.User(org, "bob")
	hint := client.Redeem(client.Visitor().Code(client.AuthorizeURL(), "bob")).Text("id_token")
	tellsClient(t, "nobody is there", client, client.Visitor().Through(client.AuthorizeURL("prompt", "none", "id_token_hint", hint), ""), "login_required")

	visitor := client.Visitor()
	visitor.Code(client.AuthorizeURL(), "alice")
	tellsClient(t, "alice is there", client, visitor.Through(client.AuthorizeURL("prompt", "none", "id_token_hint", hint), ""), "login_required")
	tellsClient(t, "alice signs in again", client, visitor.Through(client.AuthorizeURL("id_token_hint", hint), "alice"), "login_required")
	code := visitor.Code(client.AuthorizeURL("id_token_hint", hint), "bob")
	if sub := servertest.Claims(t, client.Redeem(code).Text("id_token"))["sub"]; sub != bob.ID.String() {
		t.Errorf("signed in as %v", sub)
	}
}

func TestALoginHintIsFilledInForThePersonToChange(t *testing.T) {
	t.Parallel()
	_, _, client := beginWith(t, "", trustedClient)
	for hint, shown := range map[string]string{
		"alice": "alice", "alice@example.com": "alice@example.com", "José": "José", `"><script>alert(1)</script>`: `"><script>alert(1)</script>`,
		"": "", "a\nb": "", "\u202ealice": "", strings.Repeat("a", 300): "",
	} {
		visitor := client.Visitor()
		page := visitor.Go(client.AuthorizeURL("login_hint", hint))
		if page.Title != "Sign in" || page.Value("username") != shown || strings.Contains(page.Body, "<script>alert") {
			t.Errorf("%q: %q is filled in on %q", hint, page.Value("username"), page.Title)
		}
		if arrived, _ := visitor.SignIn(page, "alice", servertest.Password).Arrived(); arrived.Get("code") == "" {
			t.Errorf("%q: %v", hint, arrived)
		}
	}
	visitor := client.Visitor()
	visitor.Code(client.AuthorizeURL(), "alice")
	if page := visitor.Go(client.AuthorizeURL("prompt", "login", "login_hint", "bob")); page.Value("username") != "bob" {
		t.Errorf("the hint comes before who is there: %q", page.Value("username"))
	}
}

func TestWhatIsOnlyAWishNeverBreaksARequest(t *testing.T) {
	t.Parallel()
	_, _, client := beginWith(t, "", trustedClient)
	visitor := client.Visitor()
	visitor.Code(client.AuthorizeURL(), "alice")
	for _, wish := range [][]string{
		{"display", "page"}, {"display", "popup"}, {"display", "touch"}, {"display", "wap"}, {"display", "hologram"},
		{"ui_locales", "en"}, {"ui_locales", "fr-CA fr en"}, {"ui_locales", "xx !! \x7f"}, {"ui_locales", strings.Repeat("de ", 500)},
		{"claims_locales", "de"}, {"claims_locales", "!!"},
		{"acr_values", "urn:keizer:acr:1fa"}, {"acr_values", "0"}, {"acr_values", "1 2 urn:example:loa:4"},
		{"claims", `{"userinfo":{"name":{"essential":true}},"id_token":{"acr":{"values":["9"]}}}`},
		{"login_hint", "nobody"}, {"audience", "https://api.example"}, {"unknown", "x"}, {"nonce", ""}, {"interaction", "x"}, {"keizer:par", "x"},
	} {
		name := fmt.Sprint(wish)
		arrived, ok := visitor.Go(client.AuthorizeURL(append(wish, "prompt", "none")...)).Arrived()
		if !ok || arrived.Get("code") == "" {
			t.Errorf("%s: %v", name, arrived)
			continue
		}
		claims := servertest.Claims(t, client.Redeem(arrived.Get("code")).Text("id_token"))
		if claims["acr"] != "urn:keizer:acr:1fa" || fmt.Sprint(claims["amr"]) != "[pwd]" {
			t.Errorf("%s: acr %v, amr %v", name, claims["acr"], claims["amr"])
		}
		if page := client.Visitor().Go(client.AuthorizeURL(wish...)); page.Status != 200 || page.Title != "Sign in" {
			t.Errorf("%s: %d %q", name, page.Status, page.Title)
		}
	}
}

// --- The front channel ---

func TestAnErrorGoesToTheClientOnlyOnceItIsKnownWhereThatIs(t *testing.T) {
	t.Parallel()
	house, org, client := beginWith(t, "", trustedClient)
	machine := house.Client(org, manage.ClientSpec{GrantTypes: []string{"client_credentials"}})
	off := house.Client(org, trustedClient)
	disabled := true
	if _, _, err := house.Operators.UpdateClient(org, off.ID, manage.ClientPatch{Disabled: &disabled}); err != nil {
		t.Fatal(err)
	}
	for name, address := range map[string]string{
		"no client":                     client.AuthorizeURL("client_id", ""),
		"an unknown client":             client.AuthorizeURL("client_id", "nobody"),
		"a client that is switched off": off.AuthorizeURL(),
		"another's redirect URI":        client.AuthorizeURL("redirect_uri", "https://evil.example/cb"),
		"no redirect URI, with openid":  client.AuthorizeURL("redirect_uri", ""),
		"a machine":                     machine.AuthorizeURL("redirect_uri", client.Redirect),
		"nothing at all":                house.At(client.Issuer + "/oauth2/authorize"),
		"a bad percent":                 client.AuthorizeURL() + "&x=%zz",
		"a hundred and more":            client.AuthorizeURL() + strings.Repeat("&x=1", 120),
		"no such organization":          strings.Replace(client.AuthorizeURL(), "/oauth2/", "/o/nobody/oauth2/", 1),
	} {
		onlyAPage(t, name, house.Get(address))
	}
	page := client.Visitor().Go(client.AuthorizeURL("redirect_uri", "https://evil.example/cb"))
	if page.URL.Path != "/oauth2/authorize" || page.Text("error-code") != "invalid_request" || page.Text("request-id") == "" {
		t.Errorf("%s: %q, request %q", page.URL, page.Text("error-code"), page.Text("request-id"))
	}
	for name, test := range map[string]struct {
		params []string
		code   string
	}{
		"no response type":            {[]string{"response_type", ""}, "invalid_request"},
		"a response type of old":      {[]string{"response_type", "none"}, "unsupported_response_type"},
		"a scope that is not theirs":  {[]string{"scope", "openid admin"}, "invalid_scope"},
		"a resource that is not":      {[]string{"resource", "https://api.example"}, "invalid_target"},
		"a registration in a request": {[]string{"registration", "{}"}, "registration_not_supported"},
	} {
		answer := house.Get(client.AuthorizeURL(test.params...))
		tellsClient(t, name, client, sentTo(t, answer).Query(), test.code)
		if answer.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: Cache-Control %q", name, answer.Header.Get("Cache-Control"))
		}
		arrived, _ := client.Visitor().Go(client.AuthorizeURL(append(test.params, "response_mode", "form_post")...)).Arrived()
		tellsClient(t, name+", by form_post", client, arrived, test.code)
	}
}

func TestTheQueryOfARedirectURIStaysAsItIs(t *testing.T) {
	t.Parallel()
	house, org, _ := beginWith(t, "", trustedClient)
	client := house.Client(org, manage.ClientSpec{SkipConsent: true, RedirectURIs: []string{"https://rp.example/cb?tenant=7&x=%20y&state=own"}})
	visitor := client.Visitor()
	page := visitor.SignIn(visitor.Go(client.AuthorizeURL()), "alice", servertest.Password)
	if !strings.HasPrefix(page.URL.String(), client.Redirect+"&") {
		t.Errorf("sent to %s", page.URL)
	}
	refused := house.Get(client.AuthorizeURL("scope", "openid admin")).Header.Get("Location")
	if !strings.HasPrefix(refused, client.Redirect+"&") || !strings.Contains(refused, "error=invalid_scope") {
		t.Errorf("sent to %s", refused)
	}
	arrived, _ := page.Arrived()
	if answer := client.Redeem(arrived.Get("code")); answer.Status != 200 {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
}

func TestARequestThatIsPostedFindsTheSession(t *testing.T) {
	t.Parallel()
	house, _, client := beginWith(t, "", trustedClient)
	visitor := client.Visitor()
	visitor.Code(client.AuthorizeURL(), "alice")
	cookies := make([]string, 0, 2)
	for _, cookie := range visitor.Cookies(house.URL) {
		if cookie.Name == "keizer_session" {
			cookies = append(cookies, cookie.Name+"="+cookie.Value)
		}
	}
	request := queryOf(t, client.AuthorizeURL("prompt", "none"))
	// From the same site the cookie comes along, and the answer is given at once.
	if arrived := sentTo(t, house.Post(client.Issuer+"/oauth2/authorize", request, "Cookie", strings.Join(cookies, "; "))); arrived.Query().Get("code") == "" {
		t.Errorf("%s", arrived)
	}
	// From another site it comes with the navigation that follows.
	next := sentTo(t, house.Post(client.Issuer+"/oauth2/authorize", request, "Sec-Fetch-Site", "cross-site"))
	if arrived, _ := visitor.Go(house.At(next.String())).Arrived(); arrived.Get("code") == "" {
		t.Errorf("%v", arrived)
	}
	onlyAPage(t, "parameters in body and query", house.Post(client.Issuer+"/oauth2/authorize?prompt=login", request))
	onlyAPage(t, "a body that is no form", house.Post(client.Issuer+"/oauth2/authorize", request, "Content-Type", "application/json"))
}

func TestANonceIsForWhoWantsOne(t *testing.T) {
	t.Parallel()
	_, _, client := beginWith(t, "", trustedClient)
	visitor := client.Visitor()
	for _, nonce := range []string{"", "n", "n-0S6_WzA2Mj", strings.Repeat("n", 1000), `"<é>&`} {
		_, claims := idTokenOf(t, client, visitor, "nonce", nonce)
		if got, there := claims["nonce"]; there != (nonce != "") || there && got != nonce {
			t.Errorf("%q: %v", nonce, got)
		}
	}
	answer := client.Redeem(visitor.Code(client.AuthorizeURL("scope", "email"), "alice"))
	if _, there := answer.JSON()["id_token"]; answer.Status != 200 || there || answer.Text("scope") != "email" {
		t.Errorf("without openid: %d %s", answer.Status, answer.Body)
	}
}

// --- Claims and userinfo ---

// standardClaims is a person of whom everything is known, in the metadata's part (OpenID Connect Core 1.0 §5.1).
func standardClaims() map[string]any {
	return map[string]any{
		"given_name": "Alma", "family_name": "Doe", "middle_name": "M", "nickname": "al", "profile": "https://example.com/alma",
		"picture": "https://example.com/alma.png", "website": "https://alma.example", "gender": "female", "birthdate": "1990-01-02",
		"zoneinfo": "Europe/Berlin", "locale": "de-DE", "phone_number": "+49 30 1234567", "phone_number_verified": true,
		"address": map[string]any{"formatted": "Street 1\nBerlin", "street_address": "Street 1", "locality": "Berlin", "region": "BE", "postal_code": "10115", "country": "DE"},
	}
}

func TestClaimsAboutAPersonAreAtUserinfoByScopeAndNeverEmpty(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, org, _ := beginWith(t, databaseURL, trustedClient)
		client := house.Client(org, manage.ClientSpec{SkipConsent: true, Scope: "openid profile email address phone"})
		if _, err := house.Operators.CreateUser(org, manage.NewUser{
			Username: "alma", Email: "alma@example.com", FullName: "Alma Doe", Password: servertest.Password, Verified: true, Metadata: standardClaims(),
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := house.Operators.CreateUser(org, manage.NewUser{Email: "bare@example.com", Password: servertest.Password}); err != nil {
			t.Fatal(err)
		}
		byScope := map[string][]string{
			"profile": {
				"name", "preferred_username", "given_name", "family_name", "middle_name", "nickname", "profile", "picture", "website", "gender", "birthdate", "zoneinfo",
				"locale", "updated_at",
			},
			"email": {"email", "email_verified"}, "phone": {"phone_number", "phone_number_verified"}, "address": {"address"},
		}
		const all = "openid profile email address phone"
		for _, scope := range []string{"openid", "openid profile", "openid email", "openid phone", "openid address", all} {
			answer := client.Redeem(client.Visitor().Code(client.AuthorizeURL("scope", scope), "alma"))
			info := house.Get(house.Base+"/oauth2/userinfo", "Authorization", "Bearer "+answer.Text("access_token"))
			want := []string{"sub"}
			for _, one := range strings.Fields(scope) {
				want = append(want, byScope[one]...)
			}
			slices.Sort(want)
			if got := slices.Sorted(maps.Keys(info.JSON())); !slices.Equal(got, want) {
				t.Errorf("%s: userinfo says %v, not %v", scope, got, want)
			}
			claims := servertest.Claims(t, answer.Text("id_token"))
			if info.JSON()["sub"] != claims["sub"] {
				t.Errorf("%s: sub %v and %v", scope, info.JSON()["sub"], claims["sub"])
			}
			for _, name := range slices.Concat(byScope["profile"], byScope["email"], byScope["phone"], byScope["address"]) {
				if _, there := claims[name]; there {
					t.Errorf("%s: %s stands in the ID token", scope, name)
				}
			}
			for name, value := range standardClaims() {
				if got, there := info.JSON()[name]; there && fmt.Sprint(got) != fmt.Sprint(value) {
					t.Errorf("%s is %v, not %v", name, got, value)
				}
			}
		}

		answer := client.Redeem(client.Visitor().Code(client.AuthorizeURL("scope", all), "bare@example.com"))
		info := house.Get(house.Base+"/oauth2/userinfo", "Authorization", "Bearer "+answer.Text("access_token"))
		if got := slices.Sorted(maps.Keys(info.JSON())); !slices.Equal(got, []string{"email", "email_verified", "sub", "updated_at"}) {
			t.Errorf("of somebody of whom little is known: %s", info.Body)
		}
		for _, never := range []string{"null", `""`, "{}", "[]"} {
			if strings.Contains(info.Body, never) {
				t.Errorf("%s in %s", never, info.Body)
			}
		}
	})
}

func TestUserinfoTakesItsTokenInOneWayAtATime(t *testing.T) {
	t.Parallel()
	house, org, client := beginWith(t, "", trustedClient)
	jwt := house.Client(org, manage.ClientSpec{SkipConsent: true, AccessTokenFormat: "jwt", IDTokenAlg: "ES256"})
	endpoint := house.Base + "/oauth2/userinfo"
	for _, one := range []*servertest.Client{client, jwt} {
		answer := one.Tokens("alice", "openid email")
		token := answer.Text("access_token")
		sub := servertest.Claims(t, answer.Text("id_token"))["sub"]
		for name, info := range map[string]*servertest.Answer{
			"by GET":                      house.Get(endpoint, "Authorization", "Bearer "+token),
			"by GET, in lower case":       house.Get(endpoint, "Authorization", "bearer "+token),
			"by POST in the header":       house.Post(endpoint, nil, "Authorization", "Bearer "+token),
			"by POST with an empty form":  house.Post(endpoint, url.Values{}, "Authorization", "Bearer "+token),
			"by POST in the form":         house.Post(endpoint, url.Values{"access_token": {token}}),
			"by POST with something else": house.Post(endpoint, url.Values{"x": {"y"}}, "Authorization", "Bearer "+token),
			"by POST of what is no form":  house.Post(endpoint, url.Values{}, "Authorization", "Bearer "+token, "Content-Type", "text/plain"),
		} {
			if info.Status != 200 || info.JSON()["sub"] != sub || info.JSON()["email"] != "alice@example.com" ||
				info.Header.Get("Content-Type") != "application/json" || info.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %v %s", name, info.Status, info.Header, info.Body)
			}
		}
		for name, test := range map[string]struct {
			answer *servertest.Answer
			status int
			code   string // of the challenge; none when no token was seen
		}{
			"in header and form":     {house.Post(endpoint, url.Values{"access_token": {token}}, "Authorization", "Bearer "+token), 400, "invalid_request"},
			"twice in the form":      {house.Post(endpoint, url.Values{"access_token": {token, token}}), 400, "invalid_request"},
			"in the query":           {house.Get(endpoint + "?access_token=" + url.QueryEscape(token)), 401, ""},
			"in the query of a POST": {house.Post(endpoint+"?access_token="+url.QueryEscape(token), nil), 401, ""},
			"in a form that is JSON": {house.Post(endpoint, url.Values{"access_token": {token}}, "Content-Type", "application/json"), 401, ""},
			"by Basic":               {house.Get(endpoint, "Authorization", one.Basic()), 401, ""},
			"by no token":            {house.Get(endpoint, "Authorization", "Bearer "), 401, ""},
			"not at all":             {house.Get(endpoint), 401, ""},
			"by one that never was":  {house.Get(endpoint, "Authorization", "Bearer "+secret.New(secret.AccessToken)), 401, "invalid_token"},
			"by one that cannot be":  {house.Get(endpoint, "Authorization", "Bearer x y"), 401, "invalid_token"},
			"by one of a machine's":  {house.Get(endpoint, "Authorization", "Bearer "+machineToken(t, house, org)), 403, "insufficient_scope"},
			"by one without openid":  {house.Get(endpoint, "Authorization", "Bearer "+one.Tokens("alice", "email").Text("access_token")), 403, "insufficient_scope"},
		} {
			challenge := test.answer.Header.Get("WWW-Authenticate")
			if test.answer.Status != test.status {
				t.Errorf("%s: %d %s", name, test.answer.Status, test.answer.Body)
			}
			if !strings.HasPrefix(challenge, `Bearer realm="keizer"`) || strings.Contains(challenge, "error=") != (test.code != "") ||
				!strings.Contains(challenge, test.code) {
				t.Errorf("%s: WWW-Authenticate %s", name, challenge)
			}
		}
	}
}

// machineToken is an access token that no person has to do with.
func machineToken(t testing.TB, house *servertest.House, org context.Context) string {
	t.Helper()
	machine := house.Client(org, manage.ClientSpec{GrantTypes: []string{"client_credentials"}, Scope: "read"})
	answer := machine.Token("grant_type", "client_credentials")
	if answer.Status != 200 {
		t.Fatalf("%d %s", answer.Status, answer.Body)
	}
	return answer.Text("access_token")
}

func TestAnotherClientsRefreshTokenIsAnInvalidGrant(t *testing.T) {
	t.Parallel()
	house, org, client := beginWith(t, "", trustedClient)
	token := client.Tokens("alice", "openid offline_access").Text("refresh_token")
	for _, method := range []string{"client_secret_basic", "none"} {
		other := house.Client(org, manage.ClientSpec{AuthMethod: method})
		refuses(t, method, other.Refresh(token), 400, "invalid_grant")
		refuses(t, method, other.Redeem(client.Visitor().Code(client.AuthorizeURL(), "alice")), 400, "invalid_grant")
	}
	if answer := client.Refresh(token); answer.Status != 200 {
		t.Errorf("its owner: %d %s", answer.Status, answer.Body)
	}
}

// --- Metadata and keys ---

// registeredMetadata are the members of metadata that IANA has registered, of those that could be expected here.
var registeredMetadata = strings.Fields(`issuer authorization_endpoint token_endpoint jwks_uri registration_endpoint scopes_supported
	response_types_supported response_modes_supported grant_types_supported token_endpoint_auth_methods_supported
	token_endpoint_auth_signing_alg_values_supported service_documentation ui_locales_supported op_policy_uri op_tos_uri revocation_endpoint
	revocation_endpoint_auth_methods_supported revocation_endpoint_auth_signing_alg_values_supported introspection_endpoint
	introspection_endpoint_auth_methods_supported introspection_endpoint_auth_signing_alg_values_supported code_challenge_methods_supported
	authorization_response_iss_parameter_supported userinfo_endpoint acr_values_supported subject_types_supported
	id_token_signing_alg_values_supported id_token_encryption_alg_values_supported id_token_encryption_enc_values_supported
	userinfo_signing_alg_values_supported userinfo_encryption_alg_values_supported userinfo_encryption_enc_values_supported
	introspection_signing_alg_values_supported introspection_encryption_alg_values_supported introspection_encryption_enc_values_supported
	display_values_supported claim_types_supported claims_supported claims_locales_supported
	claims_parameter_supported request_parameter_supported request_uri_parameter_supported require_request_uri_registration
	request_object_signing_alg_values_supported request_object_encryption_alg_values_supported request_object_encryption_enc_values_supported
	check_session_iframe frontchannel_logout_supported frontchannel_logout_session_supported backchannel_logout_supported
	backchannel_logout_session_supported pushed_authorization_request_endpoint require_pushed_authorization_requests end_session_endpoint prompt_values_supported`)

func TestTheMetadataSaysWhatIsDone(t *testing.T) {
	t.Parallel()
	house, org, client := beginWith(t, "", trustedClient)
	answer := house.Get(client.Issuer + "/.well-known/openid-configuration")
	var told map[string]any
	if err := json.Unmarshal([]byte(answer.Body), &told); err != nil {
		t.Fatal(err)
	}
	for name := range told {
		if !slices.Contains(registeredMetadata, name) {
			t.Errorf("%s is not registered", name)
		}
	}
	// Each language that it names is one that pages are in, whatever display is asked for.
	listed := func(name string) []string { return strings.Fields(strings.Trim(fmt.Sprint(told[name]), "[]")) }
	for i, tag := range listed("ui_locales_supported") {
		display := listed("display_values_supported")[i]
		page := house.Get(house.At(client.Issuer+"/login?ui_locales="+tag+"&display="+display), "Accept-Language", "fr")
		if page.Status != 200 || page.Header.Get("Content-Language") != tag {
			t.Errorf("%s is answered in %q", tag, page.Header.Get("Content-Language"))
		}
	}
	token, _ := idTokenOf(t, client, client.Visitor())
	if alg := jwtHeader(t, token)["alg"]; alg != "RS256" || !strings.Contains(fmt.Sprint(told["id_token_signing_alg_values_supported"]), "RS256") {
		t.Errorf("the default algorithm is %v; the metadata has %v", alg, told["id_token_signing_alg_values_supported"])
	}
	if !strings.Contains(fmt.Sprint(told["grant_types_supported"]), "refresh_token") || client.Tokens("alice", "openid offline_access").Text("refresh_token") == "" {
		t.Error("refresh tokens are issued, or said to be, but not both")
	}
	if without := house.Client(org, manage.ClientSpec{SkipConsent: true, GrantTypes: []string{"authorization_code"}, Scope: "openid email"}); without.Tokens("alice", "openid email").Text("refresh_token") != "" {
		t.Error("a client that is not registered for it has a refresh token")
	}
	if online := client.Tokens("alice", "openid email"); online.Text("refresh_token") != "" {
		t.Error("a refresh token without offline_access")
	}
}

func TestTheNextKeyIsPublishedBeforeAnythingIsSignedWithIt(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, org, client := beginWith(t, databaseURL, trustedClient)
		published := func() (kids []string) {
			t.Helper()
			var set jose.JSONWebKeySet
			if err := json.Unmarshal([]byte(house.Get(client.Issuer+"/.well-known/jwks.json").Body), &set); err != nil {
				t.Fatal(err)
			}
			for _, key := range set.Keys {
				kids = append(kids, key.KeyID)
			}
			return kids
		}
		visitor := client.Visitor()
		before, _ := idTokenOf(t, client, visitor)
		signing := jwtHeader(t, before)["kid"]
		next, err := house.Operators.RotateKey(org, "RS256", false, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the next key is published", func() bool { return slices.Contains(published(), next) })
		after, _ := idTokenOf(t, client, visitor)
		if kid := jwtHeader(t, after)["kid"]; kid != signing {
			t.Errorf("signed with %v as soon as it was published", kid)
		}
		if kid, ok := signing.(string); !ok || !slices.Contains(published(), kid) {
			t.Error("the key that signs is not published any more")
		}
	})
}

// --- Logout ---

// bye is where a client's people go after a logout. It differs from the redirect URI in its query only, so that a test's
// browser stops there too.
const bye = servertest.Callback + "?bye=1"

func TestASignOutWithAHintEndsTheSessionAndWhatWasGrantedOnline(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, org, _ := beginWith(t, databaseURL, trustedClient)
		for _, format := range []string{"opaque", "jwt"} {
			client := house.Client(org, manage.ClientSpec{SkipConsent: true, AccessTokenFormat: format, PostLogoutRedirectURIs: []string{bye}})
			for name, test := range map[string]struct {
				params url.Values
				back   bool
				state  string
			}{
				"with an address and state":  {url.Values{"post_logout_redirect_uri": {bye}, "state": {"a b&c"}}, true, "a b&c"},
				"with an address":            {url.Values{"post_logout_redirect_uri": {bye}}, true, ""},
				"with the client's name too": {url.Values{"post_logout_redirect_uri": {bye}, "client_id": {client.ID}}, true, ""},
				"with an empty state":        {url.Values{"post_logout_redirect_uri": {bye}, "state": {""}}, true, ""},
				"with nothing else":          {url.Values{}, false, ""},
				"with state alone":           {url.Values{"state": {"x"}, "ui_locales": {"de"}, "logout_hint": {"alice"}}, false, ""},
			} {
				visitor := client.Visitor()
				online := client.Redeem(visitor.Code(client.AuthorizeURL("scope", "openid email"), "alice"))
				offline := client.Redeem(visitor.Code(client.AuthorizeURL("scope", "openid offline_access"), "alice"))
				elsewhere := client.Visitor()
				other := client.Redeem(elsewhere.Code(client.AuthorizeURL(), "alice"))
				pending := visitor.Code(client.AuthorizeURL(), "alice")

				params := maps.Clone(test.params)
				params.Set("id_token_hint", online.Text("id_token"))
				page := visitor.Go(house.At(client.Issuer + "/oauth2/logout?" + params.Encode()))
				arrived, back := page.Arrived()
				switch {
				case back != test.back:
					t.Fatalf("%s: %d %q at %s", name, page.Status, page.Title, page.URL)
				case back && (arrived.Get("bye") != "1" || arrived.Get("state") != test.state || arrived.Has("state") != (test.state != "")):
					t.Errorf("%s: %v", name, arrived)
				case !back && (page.Title != "Signed out" || page.URL.Path != "/logged-out"):
					t.Errorf("%s: %q at %s", name, page.Title, page.URL)
				}

				tellsClient(t, name+", afterwards", client, visitor.Through(client.AuthorizeURL("prompt", "none"), ""), "login_required")
				if sessionOf(t, house, org, visitor) != nil {
					t.Errorf("%s: the session lives", name)
				}
				if client.Active(online.Text("access_token")) {
					t.Errorf("%s: what was granted online lives", name)
				}
				refuses(t, name, house.Get(house.Base+"/oauth2/userinfo", "Authorization", "Bearer "+online.Text("access_token")), 401, "invalid_token")
				refuses(t, name+", a code that was on its way", client.Redeem(pending), 400, "invalid_grant")
				if !client.Active(offline.Text("access_token")) || client.Refresh(offline.Text("refresh_token")).Status != 200 {
					t.Errorf("%s: what was granted for later is gone", name)
				}
				if !client.Active(other.Text("access_token")) || sessionOf(t, house, org, elsewhere) == nil {
					t.Errorf("%s: another browser was signed out", name)
				}
			}
		}
	})
}

func TestASignOutThatProvesNothingIsAskedAboutAndLeadsNowhere(t *testing.T) {
	t.Parallel()
	house, org, _ := beginWith(t, "", trustedClient)
	client := house.Client(org, manage.ClientSpec{SkipConsent: true, PostLogoutRedirectURIs: []string{bye}})
	for name, params := range map[string]url.Values{
		"nothing":                   {},
		"an address":                {"post_logout_redirect_uri": {bye}, "state": {"x"}},
		"an address and its client": {"post_logout_redirect_uri": {bye}, "client_id": {client.ID}, "state": {"x"}},
		"an address of nobody's":    {"post_logout_redirect_uri": {"https://evil.example/"}, "client_id": {client.ID}},
		"a client":                  {"client_id": {client.ID}},
		"an empty hint":             {"id_token_hint": {""}, "post_logout_redirect_uri": {bye}},
	} {
		visitor := client.Visitor()
		visitor.Code(client.AuthorizeURL(), "alice")
		page := visitor.Go(house.At(client.Issuer + "/oauth2/logout?" + params.Encode()))
		if page.Status != 200 || page.Title != "Sign out?" || !page.Has("logout-confirm") {
			t.Fatalf("%s: %d %q\n%s", name, page.Status, page.Title, page.Body)
		}
		if sessionOf(t, house, org, visitor) == nil {
			t.Fatalf("%s: signed out without being asked", name)
		}
		if page = visitor.Press(page, "logout-confirm"); page.Title != "Signed out" || page.URL.Path != "/logged-out" {
			t.Errorf("%s: %q at %s", name, page.Title, page.URL)
		}
		tellsClient(t, name, client, visitor.Through(client.AuthorizeURL("prompt", "none"), ""), "login_required")
		// Whoever is signed out already is told so, and that is all.
		if page = visitor.Go(house.At(client.Issuer + "/oauth2/logout?" + params.Encode())); page.Title != "Signed out" {
			t.Errorf("%s, again: %q", name, page.Title)
		}
	}
}

func TestASignOutThatIsWrongIsAnErrorAndChangesNothing(t *testing.T) {
	t.Parallel()
	house, org, _ := beginWith(t, "", trustedClient)
	client := house.Client(org, manage.ClientSpec{SkipConsent: true, PostLogoutRedirectURIs: []string{bye}})
	other := house.Client(org, manage.ClientSpec{SkipConsent: true, PostLogoutRedirectURIs: []string{"https://other.example/bye"}})
	visitor := client.Visitor()
	hint, _ := idTokenOf(t, client, visitor)
	for name, params := range map[string]url.Values{
		"a hint that is none":             {"id_token_hint": {"x"}, "post_logout_redirect_uri": {bye}},
		"a hint that was changed":         {"id_token_hint": {hint[:len(hint)-6] + "AAAAAA"}, "post_logout_redirect_uri": {bye}},
		"a hint of another client":        {"id_token_hint": {hint}, "client_id": {other.ID}},
		"a hint and no such client":       {"id_token_hint": {hint}, "client_id": {"nobody"}},
		"an address that is not theirs":   {"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://evil.example/"}},
		"an address of another client":    {"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://other.example/bye"}},
		"an address that is only similar": {"id_token_hint": {hint}, "post_logout_redirect_uri": {bye + "&x=1"}},
		"a redirect URI":                  {"id_token_hint": {hint}, "post_logout_redirect_uri": {client.Redirect}},
		"a hint twice":                    {"id_token_hint": {hint, hint}},
		"an address twice":                {"id_token_hint": {hint}, "post_logout_redirect_uri": {bye, bye}},
	} {
		page := visitor.Go(house.At(client.Issuer + "/oauth2/logout?" + params.Encode()))
		if _, back := page.Arrived(); back || page.Status != 400 || page.Title != "Sign-out error" || page.URL.Path != "/oauth2/logout" {
			t.Errorf("%s: %d %q at %s", name, page.Status, page.Title, page.URL)
		}
		if sessionOf(t, house, org, visitor) == nil {
			t.Fatalf("%s: signed out", name)
		}
	}
}

func TestAHintOfAnotherSessionIsAskedAbout(t *testing.T) {
	t.Parallel()
	house, org, _ := beginWith(t, "", trustedClient)
	client := house.Client(org, manage.ClientSpec{SkipConsent: true, PostLogoutRedirectURIs: []string{bye}})
	house.User(org, "bob")
	elsewhere, _ := idTokenOf(t, client, client.Visitor()) // hers, of another browser
	bobs := client.Redeem(client.Visitor().Code(client.AuthorizeURL(), "bob")).Text("id_token")
	for name, hint := range map[string]string{"of another browser": elsewhere, "of another person": bobs} {
		visitor := client.Visitor()
		visitor.Code(client.AuthorizeURL(), "alice")
		address := house.At(client.Issuer + "/oauth2/logout?" + url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {bye}, "state": {"s"}}.Encode())
		page := visitor.Go(address)
		if page.Title != "Sign out?" || sessionOf(t, house, org, visitor) == nil {
			t.Fatalf("%s: %q", name, page.Title)
		}
		arrived, back := visitor.Press(page, "logout-confirm").Arrived()
		if !back || arrived.Get("bye") != "1" || arrived.Get("state") != "s" {
			t.Errorf("%s: %v", name, arrived)
		}
		if sessionOf(t, house, org, visitor) != nil {
			t.Errorf("%s: the session lives", name)
		}
		if arrived, back := visitor.Go(address).Arrived(); !back || arrived.Get("state") != "s" {
			t.Errorf("%s, with nobody there: %v", name, arrived)
		}
	}
}

func TestASignOutThatIsPostedFindsTheSession(t *testing.T) {
	t.Parallel()
	house, org, _ := beginWith(t, "", trustedClient)
	client := house.Client(org, manage.ClientSpec{SkipConsent: true, PostLogoutRedirectURIs: []string{bye}})
	visitor := client.Visitor()
	hint, _ := idTokenOf(t, client, visitor)
	form := url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {bye}, "state": {"s"}}
	// From the client's site no cookie comes along.
	next := sentTo(t, house.Post(client.Issuer+"/oauth2/logout", form, "Origin", "https://rp.example", "Sec-Fetch-Site", "cross-site"))
	if next.Host != "" || next.Path != "/oauth2/logout" {
		t.Fatalf("sent to %s, and still signed in", next)
	}
	arrived, back := visitor.Go(house.At(next.String())).Arrived()
	if !back || arrived.Get("state") != "s" || sessionOf(t, house, org, visitor) != nil {
		t.Errorf("%v", arrived)
	}
}

func TestASignOutIsOfOneOrganization(t *testing.T) {
	t.Parallel()
	house, org, client := beginWith(t, "", trustedClient)
	acme := house.Organization("acme")
	house.User(acme, "alice")
	twin := house.Client(acme, trustedClient)
	visitor := client.Visitor()
	visitor.Code(client.AuthorizeURL(), "alice")
	hint, _ := idTokenOf(t, twin, visitor)
	page := visitor.Go(house.At(twin.Issuer + "/oauth2/logout?id_token_hint=" + url.QueryEscape(hint)))
	if page.Title != "Signed out" || page.URL.Path != "/o/acme/logged-out" {
		t.Errorf("%q at %s", page.Title, page.URL)
	}
	if sessionOf(t, house, org, visitor) == nil {
		t.Error("signed out of the other organization")
	}
	if page := visitor.Go(twin.AuthorizeURL()); page.Title != "Sign in" {
		t.Errorf("still signed in: %q", page.Title)
	}
}
