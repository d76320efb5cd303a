package server_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/keizer-auth/keizer/internal/formbrowser"
	"github.com/keizer-auth/keizer/internal/responsetype"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

// halfOf is at_hash and c_hash (OpenID Connect Core 1.0 §3.1.3.6), reckoned by the test itself.
func halfOf(alg, text string) string {
	sum := sha256.Sum256([]byte(text))
	whole := sum[:]
	if alg == "EdDSA" {
		longer := sha512.Sum512([]byte(text))
		whole = longer[:]
	}
	return base64.RawURLEncoding.EncodeToString(whole[:len(whole)/2])
}

// OpenID Connect Core 1.0 §3.2 and §3.3, OAuth 2.0 Multiple Response Type Encoding Practices 1.0.
func TestTokensAreGivenInTheAddressWhereThatIsTurnedOn(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, org, plain := beginWith(t, databaseURL, trustedClient)
		types, grants := responsetype.Supported(true), []string{manage.GrantCode, manage.GrantImplicit}
		client := house.Client(org, manage.ClientSpec{SkipConsent: true, GrantTypes: grants, ResponseTypes: types, Scope: "openid profile email"})
		visitor := client.Visitor()
		visitor.Code(client.AuthorizeURL(), "alice")

		// As long as the organization has not turned it on, there is nothing but codes.
		discovery := func() (d struct {
			ResponseTypes []string `json:"response_types_supported"`
			GrantTypes    []string `json:"grant_types_supported"`
		}) {
			answer := house.Get(client.Issuer + "/.well-known/openid-configuration")
			if err := json.Unmarshal([]byte(answer.Body), &d); err != nil {
				t.Fatal(err)
			}
			return d
		}
		if d := discovery(); !slices.Equal(d.ResponseTypes, []string{"code"}) || slices.Contains(d.GrantTypes, "implicit") {
			t.Errorf("%+v", d)
		}
		for _, kind := range types[1:] {
			tellsClient(t, kind+" while it is off", client, arrivedAt(t, visitor.Go(client.AuthorizeURL("response_type", kind))), "unsupported_response_type")
		}
		org = decided(t, house, "default", "tokens.legacy_response_types", "true")
		if !within(t.Context(), patience, func() bool { return slices.Equal(discovery().ResponseTypes, types) }) || !slices.Contains(discovery().GrantTypes, "implicit") {
			t.Errorf("%+v", discovery())
		}

		for _, alg := range []string{"RS256", "EdDSA"} {
			client := house.Client(org, manage.ClientSpec{SkipConsent: true, GrantTypes: grants, ResponseTypes: types, Scope: "openid profile email", IDTokenAlg: alg})
			visitor := client.Visitor()
			visitor.Code(client.AuthorizeURL(), "alice")
			verifier := verifierOf(t, client, alg)
			for _, kind := range types[1:] {
				for _, mode := range []string{"", "fragment", "form_post"} {
					checkDirect(t, house, client, visitor, verifier, alg, kind, mode)
				}
			}
		}

		// What cannot be, is said so, where the answer would have come.
		for name, params := range map[string][]string{
			"in a query":           {"response_type", "id_token", "response_mode", "query"},
			"without a nonce":      {"response_type", "code id_token", "nonce", ""},
			"one after the other":  {"response_type", "id_token token", "nonce", ""},
			"without a challenge":  {"response_type", "code token", "code_challenge", "", "code_challenge_method", ""},
			"by a mode of no one":  {"response_type", "id_token", "response_mode", "web_message"},
			"a repeated parameter": {"response_type", "id_token", "prompt", "none login"},
		} {
			page := visitor.Go(client.AuthorizeURL(params...))
			tellsClient(t, name, client, arrivedAt(t, page), "invalid_request")
			if page.ArrivedBy() != "fragment" {
				t.Errorf("%s: told by %s", name, page.ArrivedBy())
			}
		}
		tellsClient(t, "no openid", client, arrivedAt(t, visitor.Go(client.AuthorizeURL("response_type", "id_token", "scope", "profile"))), "invalid_scope")
		tellsClient(t, "nobody is signed in", client, arrivedAt(t, client.Visitor().Go(client.AuthorizeURL("response_type", "id_token", "prompt", "none"))), "login_required")
		tellsClient(t, "token alone", client, arrivedAt(t, visitor.Go(client.AuthorizeURL("response_type", "token"))), "unsupported_response_type")
		tellsClient(t, "a client that is registered for codes", plain, arrivedAt(t, plain.Visitor().Go(plain.AuthorizeURL("response_type", "id_token"))), "unauthorized_client")
		if page := client.Visitor().Go(client.AuthorizeURL("response_type", "code token", "nonce", "")); page.Title != "Sign in" {
			t.Errorf("without an ID token there is no need of a nonce: %q", page.Title)
		}

		// An access token of the address ends with the session that it was given in.
		token := arrivedAt(t, visitor.Go(client.AuthorizeURL("response_type", "id_token token"))).Get("access_token")
		if !client.Active(token) {
			t.Error("the token is no good")
		}
		if err := house.DB.EndSession(org, sessionOf(t, house, org, visitor).ID, false); err != nil {
			t.Fatal(err)
		}
		if client.Active(token) {
			t.Error("the token outlives the session")
		}
	})
}

// arrivedAt is what has arrived at the client.
func arrivedAt(t *testing.T, page *formbrowser.Page) url.Values {
	t.Helper()
	arrived, ok := page.Arrived()
	if !ok {
		t.Fatalf("%d %q at %s\n%s", page.Status, page.Title, page.URL, page.Body)
	}
	return arrived
}

// verifierOf verifies ID tokens as a client does that has read the metadata.
func verifierOf(t *testing.T, client *servertest.Client, alg string) *oidc.IDTokenVerifier {
	t.Helper()
	found, err := oidc.NewProvider(t.Context(), client.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	return found.Verifier(&oidc.Config{ClientID: client.ID, SupportedSigningAlgs: []string{alg}})
}

// checkDirect walks one response type by one mode, and looks at all that arrives.
func checkDirect(
	t *testing.T, house *servertest.House, client *servertest.Client, visitor *servertest.Visitor, verifier *oidc.IDTokenVerifier, alg, kind, mode string,
) {
	t.Helper()
	what := alg + " " + kind + " by " + mode
	params := []string{"response_type", kind, "response_mode", mode, "scope", "openid profile email"}
	words := strings.Fields(kind)
	if !slices.Contains(words, "code") {
		params = append(params, "code_challenge", "", "code_challenge_method", "")
	}
	page := visitor.Go(client.AuthorizeURL(params...))
	arrived := arrivedAt(t, page)
	if want := map[string]string{"": "fragment", "fragment": "fragment", "form_post": "form_post"}[mode]; page.ArrivedBy() != want {
		t.Errorf("%s: arrived by %s", what, page.ArrivedBy())
	}
	for name, word := range map[string]string{"code": "code", "access_token": "token", "id_token": "id_token", "token_type": "token", "expires_in": "token"} {
		if arrived.Has(name) != slices.Contains(words, word) {
			t.Errorf("%s: %s in %v", what, name, arrived)
		}
	}
	if arrived.Get("state") != "the-state" || arrived.Get("iss") != client.Issuer {
		t.Errorf("%s: %v", what, arrived)
	}
	subject := ""
	if raw := arrived.Get("id_token"); raw != "" {
		token, err := verifier.Verify(t.Context(), raw)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		subject = token.Subject
		claims := servertest.Claims(t, raw)
		for name, of := range map[string]string{"at_hash": "access_token", "c_hash": "code"} {
			want := any(nil)
			if value := arrived.Get(of); value != "" {
				want = halfOf(alg, value)
			}
			if claims[name] != want {
				t.Errorf("%s: %s is %v, not %v", what, name, claims[name], want)
			}
		}
		// Only where there is no access token, the ID token says who the person is (protocol point 1).
		if (claims["email"] == "alice@example.com") != (kind == "id_token") || token.Nonce != "the-nonce" {
			t.Errorf("%s: %v", what, claims)
		}
	}
	if access := arrived.Get("access_token"); access != "" {
		if arrived.Get("token_type") != "Bearer" || arrived.Get("expires_in") == "" || arrived.Get("scope") != "openid profile email" {
			t.Errorf("%s: %v", what, arrived)
		}
		info := house.Get(client.Issuer+"/oauth2/userinfo", "Authorization", "Bearer "+access)
		if info.Status != http.StatusOK || info.Text("email") != "alice@example.com" || subject != "" && info.Text("sub") != subject {
			t.Errorf("%s: userinfo %d %s", what, info.Status, info.Body)
		}
	}
	if code := arrived.Get("code"); code != "" {
		answer := client.Redeem(code)
		if answer.Status != http.StatusOK {
			t.Fatalf("%s: %d %s", what, answer.Status, answer.Body)
		}
		claims := servertest.Claims(t, answer.Text("id_token"))
		if subject != "" && claims["sub"] != subject || claims["nonce"] != "the-nonce" || claims["at_hash"] != halfOf(alg, answer.Text("access_token")) {
			t.Errorf("%s: %v", what, claims)
		}
	}
}

// RFC 9700 §2.1.1: PKCE is needed, unless a client that authenticates is registered to do without; and nobody takes it away on the way.
func TestPKCEIsDoneWithoutOnlyByClientsThatAreRegisteredSo(t *testing.T) {
	t.Parallel()
	house, org, strict := beginWith(t, "", trustedClient)
	loose := house.Client(org, manage.ClientSpec{SkipConsent: true, PKCEOptional: true})
	without := []string{"code_challenge", "", "code_challenge_method", ""}
	visitor := loose.Visitor()
	tellsClient(t, "one that is not", strict, arrivedAt(t, strict.Visitor().Go(strict.AuthorizeURL(without...))), "invalid_request")

	redeem := func(code string, more ...string) *servertest.Answer {
		return loose.Token(append([]string{"grant_type", "authorization_code", "code", code, "redirect_uri", loose.Redirect}, more...)...)
	}
	if answer := redeem(visitor.Code(loose.AuthorizeURL(without...), "alice")); answer.Status != http.StatusOK {
		t.Errorf("without: %d %s", answer.Status, answer.Body)
	}
	code := visitor.Code(loose.AuthorizeURL(without...), "alice")
	if answer := redeem(code, "code_verifier", servertest.Verifier); answer.Text("error") != "invalid_grant" {
		t.Errorf("a verifier whose challenge was taken away: %d %s", answer.Status, answer.Body)
	}
	if answer := redeem(code); answer.Text("error") != "invalid_grant" {
		t.Errorf("a code that was shown so is spent: %d %s", answer.Status, answer.Body)
	}
	if answer := redeem(visitor.Code(loose.AuthorizeURL(), "alice")); answer.Text("error") != "invalid_grant" {
		t.Errorf("a challenge that is not answered: %d %s", answer.Status, answer.Body)
	}
	tellsClient(t, "plain", loose, arrivedAt(t, visitor.Go(loose.AuthorizeURL("code_challenge_method", "plain"))), "invalid_request")
	tellsClient(t, "a method alone", loose, arrivedAt(t, visitor.Go(loose.AuthorizeURL("code_challenge", ""))), "invalid_request")
	if _, _, err := house.Operators.CreateClient(org, manage.ClientSpec{
		Name: "Public", AuthMethod: manage.AuthNone, PKCEOptional: true, RedirectURIs: []string{"https://rp.example/cb"},
	}); err == nil || !strings.Contains(err.Error(), "pkce_optional") {
		t.Errorf("a public client: %v", err)
	}
}
