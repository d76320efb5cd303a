package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keizer-auth/keizer/config"
	"github.com/keizer-auth/keizer/internal/formbrowser"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// The library at the provider's core has known faults. Each has its journey here, which fails when the fault comes through.

// beginWith puts up a house with a person, alice, and a client of the root organization.
func beginWith(t *testing.T, databaseURL string, spec manage.ClientSpec, configure ...func(*config.Config)) (
	*servertest.House, context.Context, *servertest.Client,
) {
	t.Helper()
	house := servertest.Start(t, servertest.Options{DatabaseURL: databaseURL, Configure: func(cfg *config.Config) {
		for _, change := range configure {
			change(cfg)
		}
	}})
	org := house.In("default")
	house.User(org, "alice")
	client := house.Client(org, spec)
	return house, org, client
}

// trustedClient is a client that nobody is asked about, so that a journey has one page less.
var trustedClient = manage.ClientSpec{SkipConsent: true}

// queryOf is what an address carries.
func queryOf(t testing.TB, address string) url.Values {
	t.Helper()
	parsed, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Query()
}

// inPairs are the parameters as servertest takes them.
func inPairs(params url.Values) (list []string) {
	for _, name := range slices.Sorted(maps.Keys(params)) {
		list = append(list, name, params.Get(name))
	}
	return list
}

// sentTo is where an answer sends the browser.
func sentTo(t testing.TB, answer *servertest.Answer) *url.URL {
	t.Helper()
	location, err := url.Parse(answer.Header.Get("Location"))
	if err != nil || answer.Status != http.StatusSeeOther || location.Path == "" {
		t.Fatalf("%d, Location %q, %v\n%s", answer.Status, answer.Header.Get("Location"), err, answer.Body)
	}
	return location
}

// refuses expects an error of an endpoint that applications call (RFC 6749 §5.2).
func refuses(t testing.TB, what string, answer *servertest.Answer, status int, code string) {
	t.Helper()
	if answer.Status != status || answer.Text("error") != code {
		t.Errorf("%s: %d %s, not %d %s", what, answer.Status, answer.Body, status, code)
	}
}

// tellsClient expects an error that the browser carries to the client (RFC 6749 §4.1.2.1), with the state and the issuer.
func tellsClient(t testing.TB, what string, client *servertest.Client, arrived url.Values, code string) {
	t.Helper()
	if arrived.Get("error") != code || arrived.Get("state") != "the-state" || arrived.Get("iss") != client.Issuer || arrived.Has("code") {
		t.Errorf("%s: %v, not %s", what, arrived, code)
	}
}

// onlyAPage expects an error that stays with the visitor: nobody is sent anywhere.
func onlyAPage(t testing.TB, what string, answer *servertest.Answer) {
	t.Helper()
	if answer.Status != http.StatusBadRequest || answer.Header.Get("Location") != "" || !strings.Contains(answer.Body, `id="page-title">Request error<`) {
		t.Errorf("%s: %d, Location %q\n%s", what, answer.Status, answer.Header.Get("Location"), answer.Body)
	}
}

// countRows answers a question that is one number.
func countRows(t testing.TB, house *servertest.House, question string, arguments ...any) (n int) {
	t.Helper()
	if err := house.SQL().QueryRowContext(t.Context(), question, arguments...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// --- 1. PKCE ---

func TestACodeIsBurntByTheFirstVerifierThatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, org, confidential := beginWith(t, databaseURL, trustedClient)
		public := house.Client(org, manage.ClientSpec{SkipConsent: true, AuthMethod: "none"})
		right := []string{"code_verifier", servertest.Verifier}
		for name, first := range map[string][]string{
			"another verifier":      {"code_verifier", strings.ToUpper(servertest.Verifier)},
			"none":                  nil,
			"an empty one":          {"code_verifier", ""},
			"the challenge":         {"code_verifier", servertest.Challenge(servertest.Verifier)},
			"one that is too short": {"code_verifier", servertest.Verifier[:42]},
			"one that is too long":  {"code_verifier", strings.Repeat("a", 129)},
			"one with a percent":    {"code_verifier", servertest.Verifier + "%"},
		} {
			for _, client := range []*servertest.Client{confidential, public} {
				code := client.Visitor().Code(client.AuthorizeURL("scope", "openid offline_access"), "alice")
				for i, verifier := range [][]string{first, nil, right} {
					refuses(t, fmt.Sprintf("%s, attempt %d", name, i+1), client.Token(append(verifier,
						"grant_type", "authorization_code", "code", code, "redirect_uri", client.Redirect)...), 400, "invalid_grant")
				}
			}
		}
		if n := countRows(t, house, `SELECT (SELECT count(*) FROM oauth_access_tokens) + (SELECT count(*) FROM oauth_grants)`); n != 0 {
			t.Errorf("%d rows were written for codes that were refused", n)
		}
	})
}

func TestARequestWithoutAnS256ChallengeIsRefusedToEveryClient(t *testing.T) {
	t.Parallel()
	house, org, confidential := beginWith(t, "", trustedClient)
	public := house.Client(org, manage.ClientSpec{SkipConsent: true, AuthMethod: "none"})
	challenge := servertest.Challenge(servertest.Verifier)
	for name, params := range map[string][]string{
		"no challenge":                {"code_challenge", "", "code_challenge_method", ""},
		"a method alone":              {"code_challenge", ""},
		"no method":                   {"code_challenge_method", ""},
		"plain":                       {"code_challenge_method", "plain", "code_challenge", servertest.Verifier},
		"s256 in lower case":          {"code_challenge_method", "s256"},
		"S512":                        {"code_challenge_method", "S512"},
		"a challenge of 42":           {"code_challenge", challenge[:42]},
		"a challenge of 44":           {"code_challenge", challenge + "A"},
		"a challenge with padding":    {"code_challenge", challenge + "="},
		"a challenge of other digits": {"code_challenge", "+" + challenge[1:]},
	} {
		for _, client := range []*servertest.Client{confidential, public} {
			asked := client.AuthorizeURL(params...)
			tellsClient(t, name, client, sentTo(t, house.Get(asked)).Query(), "invalid_request")
			refuses(t, name+", pushed", client.Post("/oauth2/par", inPairs(queryOf(t, asked))...), 400, "invalid_request")
		}
	}
}

// --- 2. Pushed authorization requests ---

const requestURIPrefix = "urn:ietf:params:oauth:request_uri:"

// pushRequest pushes a request, and returns its request_uri.
func pushRequest(t testing.TB, client *servertest.Client, params ...string) string {
	t.Helper()
	answer := client.Post("/oauth2/par", inPairs(queryOf(t, client.AuthorizeURL(params...)))...)
	uri := answer.Text("request_uri")
	if answer.Status != 201 || answer.JSON()["expires_in"] != 60.0 || !strings.HasPrefix(uri, requestURIPrefix) ||
		answer.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v %s", answer.Status, answer.Header, answer.Body)
	}
	return uri
}

// pushedURL is an authorization request that was pushed. Further parameters, in pairs, stand beside it.
func pushedURL(house *servertest.House, client *servertest.Client, uri string, beside ...string) string {
	query := url.Values{"client_id": {client.ID}, "request_uri": {uri}}
	for i := 0; i+1 < len(beside); i += 2 {
		query.Set(beside[i], beside[i+1])
	}
	return house.At(client.Issuer + "/oauth2/authorize?" + query.Encode())
}

func TestAClientCannotPushARequestForAnother(t *testing.T) {
	t.Parallel()
	house, org, own := beginWith(t, "", trustedClient)
	other := house.Client(org, trustedClient)
	post := house.Client(org, manage.ClientSpec{AuthMethod: "client_secret_post"})
	request := queryOf(t, other.AuthorizeURL())

	refuses(t, "by Basic", own.Post("/oauth2/par", inPairs(request)...), 401, "invalid_client")
	request.Set("client_secret", post.Secret)
	refuses(t, "by the body", house.Post(house.Base+"/oauth2/par", request), 400, "invalid_client")
	request.Del("client_secret")
	refuses(t, "by nothing", house.Post(house.Base+"/oauth2/par", request), 400, "invalid_client")
	if n := countRows(t, house, `SELECT count(*) FROM oauth_par`); n != 0 {
		t.Errorf("%d requests were stored", n)
	}
}

func TestAPushedRequestIsStoredWithoutWhatProvedTheClient(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, org, basic := beginWith(t, databaseURL, trustedClient)
		post := house.Client(org, manage.ClientSpec{AuthMethod: "client_secret_post"})
		key := newClientKey(t)
		signed := house.Client(org, manage.ClientSpec{AuthMethod: "private_key_jwt", JWKS: key.public(t)})
		assertion := key.assert(t, signed, nil)

		uris := []string{pushRequest(t, basic)}
		for _, proof := range []url.Values{
			{"client_id": {post.ID}, "client_secret": {post.Secret}, "redirect_uri": {post.Redirect}},
			{"client_id": {signed.ID}, "client_assertion": {assertion}, "client_assertion_type": {assertionType}, "redirect_uri": {signed.Redirect}},
		} {
			request := queryOf(t, basic.AuthorizeURL())
			maps.Copy(request, proof)
			answer := house.Post(house.Base+"/oauth2/par", request)
			if answer.Status != 201 {
				t.Fatalf("%d %s", answer.Status, answer.Body)
			}
			uris = append(uris, answer.Text("request_uri"))
		}

		rows, err := house.SQL().QueryContext(t.Context(), `SELECT digest, params FROM oauth_par`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		stored := 0
		for ; rows.Next(); stored++ {
			var digest, params string
			if err := rows.Scan(&digest, &params); err != nil {
				t.Fatal(err)
			}
			for _, never := range []string{"client_secret", "client_assertion", post.Secret, assertion, basic.Secret} {
				if strings.Contains(params, never) {
					t.Errorf("%s stands in %s", never, params)
				}
			}
			for _, uri := range uris {
				if strings.Contains(uri, digest) || strings.Contains(params, strings.TrimPrefix(uri, requestURIPrefix)) {
					t.Errorf("%s can be read from the row of %s", uri, digest)
				}
			}
		}
		if err := rows.Err(); err != nil || stored != len(uris) {
			t.Errorf("%d rows for %d requests: %v", stored, len(uris), err)
		}
	})
}

func TestBesideAPushedRequestOnlyTheClientCounts(t *testing.T) {
	t.Parallel()
	house, _, client := beginWith(t, "", trustedClient)
	uri := pushRequest(t, client)
	visitor := client.Visitor()
	arrived := visitor.Through(pushedURL(house, client, uri, "redirect_uri", "https://evil.example/cb", "scope", "openid email offline_access",
		"state", "outer", "nonce", "outer", "response_type", "token", "response_mode", "form_post", "prompt", "none", "max_age", "x",
		"code_challenge", servertest.Challenge("another verifier"), "request", "x", "login_hint", "mallory"), "alice")
	if arrived.Get("state") != "the-state" {
		t.Fatalf("%v", arrived)
	}
	answer := client.Redeem(arrived.Get("code"))
	if answer.Status != 200 || answer.Text("scope") != "openid" || answer.Text("refresh_token") != "" {
		t.Fatalf("%d %s", answer.Status, answer.Body)
	}
	if nonce := servertest.Claims(t, answer.Text("id_token"))["nonce"]; nonce != "the-nonce" {
		t.Errorf("nonce %v", nonce)
	}
}

func TestAPushedRequestIsForItsClientItsOrganizationAndItsTime(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, org, client := beginWith(t, databaseURL, trustedClient)
		other := house.Client(org, trustedClient)
		acme := house.Organization("acme")
		twin := twinOf(t, house, org, acme, client)
		uri := pushRequest(t, client)

		late := secret.New(secret.PAR)
		if err := house.DB.CreatePAR(org, &storage.PAR{
			Digest: secret.Digest(late), ClientID: client.ID, Params: queryOf(t, client.AuthorizeURL()), ExpiresAt: time.Now().UTC().Add(-time.Second),
		}); err != nil {
			t.Fatal(err)
		}
		for name, address := range map[string]string{
			"another client":          pushedURL(house, other, uri),
			"another organization":    pushedURL(house, twin, uri),
			"an expired one":          pushedURL(house, client, requestURIPrefix+late),
			"one that never was":      pushedURL(house, client, requestURIPrefix+secret.New(secret.PAR)),
			"one that cannot be":      pushedURL(house, client, requestURIPrefix+"x"),
			"nothing":                 pushedURL(house, client, requestURIPrefix),
			"a secret of another use": pushedURL(house, client, requestURIPrefix+secret.New(secret.Code)),
			"no client":               house.At(client.Issuer + "/oauth2/authorize?request_uri=" + url.QueryEscape(uri)),
			"two clients":             pushedURL(house, client, uri) + "&client_id=" + other.ID,
			"twice":                   pushedURL(house, client, uri) + "&request_uri=" + url.QueryEscape(uri),
		} {
			onlyAPage(t, name, house.Get(address))
		}
		if code := client.Visitor().Code(pushedURL(house, client, uri), "alice"); code == "" {
			t.Error("its own client cannot use it any more")
		}
	})
}

func TestAPushedRequestServesUntilOneLoginIsCompletedAndThenNever(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, _, client := beginWith(t, databaseURL, trustedClient)
		uri := pushRequest(t, client)
		address := pushedURL(house, client, uri)

		elsewhere := client.Visitor()
		waiting := elsewhere.Go(address)
		visitor := client.Visitor()
		for range 3 { // by reloading, or by the back button
			if page := visitor.Go(address); page.Title != "Sign in" {
				t.Fatalf("%q\n%s", page.Title, page.Body)
			}
		}
		arrived, _ := visitor.SignIn(visitor.Go(address), "alice", servertest.Password).Arrived()
		if arrived.Get("code") == "" {
			t.Fatalf("%v", arrived)
		}
		for _, again := range []*servertest.Visitor{visitor, client.Visitor()} {
			if page := again.Go(address); page.Status != 400 || page.Title != "Request error" {
				t.Errorf("after the login: %d %q", page.Status, page.Title)
			}
		}
		late, _ := elsewhere.SignIn(waiting, "alice", servertest.Password).Arrived()
		tellsClient(t, "a login that began before", client, late, "invalid_request_uri")
	})
}

func TestAPersonMayTakeLongerOverThePagesThanAPushedRequestWaits(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, _, client := beginWith(t, databaseURL, trustedClient)
		address := pushedURL(house, client, pushRequest(t, client))
		slow, slower := client.Visitor(), client.Visitor()
		page, waiting := slow.Go(address), slower.Go(address)
		change(t, house, `UPDATE oauth_par SET expires_at = $1`, time.Now().UTC().Add(-time.Second).Format(time.DateTime))
		onlyAPage(t, "whoever comes now", house.Get(address))
		// Whatever is due by the end of the pages has been cleared away meanwhile.
		if _, err := house.DB.Purge(t.Context(), time.Now().Add(10*time.Minute), 0); err != nil {
			t.Fatal(err)
		}
		if arrived, _ := slow.SignIn(page, "alice", servertest.Password).Arrived(); arrived.Get("code") == "" {
			t.Errorf("%v", arrived)
		}
		late, _ := slower.SignIn(waiting, "alice", servertest.Password).Arrived()
		tellsClient(t, "the second login", client, late, "invalid_request_uri")
	})
}

func TestAPushedRequestThatIsPostedIsNotSpreadOutInAnAddress(t *testing.T) {
	t.Parallel()
	house, _, client := beginWith(t, "", trustedClient)
	uri := pushRequest(t, client)
	answer := house.Post(client.Issuer+"/oauth2/authorize", url.Values{"client_id": {client.ID}, "request_uri": {uri}, "scope": {"openid email"}})
	next := sentTo(t, answer)
	for name := range next.Query() {
		if name != "client_id" && name != "request_uri" && name != "scope" {
			t.Errorf("the pushed %s stands in the address", name)
		}
	}
	if code := client.Visitor().Code(house.At(next.String()), "alice"); code == "" {
		t.Error("no code")
	}
	onlyAPage(t, "after the login", house.Get(pushedURL(house, client, uri)))
}

func TestAPushedRequestIsCheckedWhenItIsPushed(t *testing.T) {
	t.Parallel()
	house, _, client := beginWith(t, "", trustedClient)
	for name, test := range map[string]struct {
		params []string
		code   string
	}{
		"a request_uri in it":            {[]string{"request_uri", requestURIPrefix + "x"}, "invalid_request"},
		"a request object that is none":  {[]string{"request", "x.y.z"}, "invalid_request_object"},
		"an unregistered redirect URI":   {[]string{"redirect_uri", "https://evil.example/cb"}, "invalid_request"},
		"no redirect URI":                {[]string{"redirect_uri", ""}, "invalid_request"},
		"a scope that it may not have":   {[]string{"scope", "openid admin"}, "invalid_scope"},
		"a response type of old":         {[]string{"response_type", "token"}, "unsupported_response_type"},
		"a prompt that is none":          {[]string{"prompt", "none login"}, "invalid_request"},
		"a max_age that is no number":    {[]string{"max_age", "abc"}, "invalid_request"},
		"a resource that is not its own": {[]string{"resource", "https://api.example"}, "invalid_target"},
	} {
		refuses(t, name, client.Post("/oauth2/par", inPairs(queryOf(t, client.AuthorizeURL(test.params...)))...), 400, test.code)
	}
	request := queryOf(t, client.AuthorizeURL())
	request["scope"] = []string{"openid", "email"}
	refuses(t, "a repeated parameter", house.Post(client.Issuer+"/oauth2/par", request, "Authorization", client.Basic()), 400, "invalid_request")
	if n := countRows(t, house, `SELECT count(*) FROM oauth_par`); n != 0 {
		t.Errorf("%d requests were stored", n)
	}
}

func TestCredentialsInAnAddressAreRefused(t *testing.T) {
	t.Parallel()
	house, org, _ := beginWith(t, "", trustedClient)
	client := house.Client(org, manage.ClientSpec{
		AuthMethod: "client_secret_post", SkipConsent: true, GrantTypes: []string{"authorization_code", "client_credentials"},
	})
	proof := url.Values{"client_id": {client.ID}, "client_secret": {client.Secret}}
	request := queryOf(t, client.AuthorizeURL())
	for name, test := range map[string]struct {
		endpoint string
		form     url.Values
	}{
		"par":        {"/oauth2/par", request},
		"token":      {"/oauth2/token", url.Values{"grant_type": {"client_credentials"}}},
		"introspect": {"/oauth2/introspect", url.Values{"token": {"x"}}},
		"revoke":     {"/oauth2/revoke", url.Values{"token": {"x"}}},
	} {
		refuses(t, name, house.Post(client.Issuer+test.endpoint+"?"+proof.Encode(), test.form), 400, "invalid_request")
	}
	if answer := house.Get(client.Issuer + "/oauth2/token?grant_type=client_credentials&" + proof.Encode()); answer.Status != 405 || answer.Header.Get("Allow") == "" {
		t.Errorf("GET: %d, Allow %q", answer.Status, answer.Header.Get("Allow"))
	}
}

// --- 3. Request objects ---

func TestARequestObjectIsRefusedAndNeverIgnoredWhereItIsTurnedOff(t *testing.T) {
	t.Parallel()
	key := newClientKey(t)
	house, _, client := beginWith(t, "", manage.ClientSpec{SkipConsent: true, JWKS: key.public(t)})
	decided(t, house, "default", "request_objects.by_value", "false", "request_objects.unsigned", "true")
	claims := map[string]any{"iss": client.ID, "aud": client.Issuer, "client_id": client.ID, "state": "theirs", "scope": "openid offline_access", "max_age": 3600}
	for _, scope := range []string{"openid", "openid email", "email", ""} {
		for name, test := range map[string]struct{ param, value, code string }{
			"an object that nobody signed": {"request", unsignedJWT(t, claims), "request_not_supported"},
			"a signed object":              {"request", key.sign(t, claims), "request_not_supported"},
			"no object at all":             {"request", "x", "request_not_supported"},
			"an object at an address":      {"request_uri", "https://rp.example/object", "request_uri_not_supported"},
			"an object inside the network": {"request_uri", "http://169.254.169.254/", "request_uri_not_supported"},
			"an object by another name":    {"request_uri", "urn:example:object", "request_uri_not_supported"},
		} {
			asked := client.AuthorizeURL("scope", scope, test.param, test.value)
			tellsClient(t, name+", scope "+scope, client, sentTo(t, house.Get(asked)).Query(), test.code)
			posted := client.AuthorizeURL("scope", scope, test.param, test.value, "response_mode", "form_post")
			arrived, _ := client.Visitor().Go(posted).Arrived()
			tellsClient(t, name+" by form_post, scope "+scope, client, arrived, test.code)
		}
	}
	told := house.Get(client.Issuer + "/.well-known/openid-configuration").JSON()
	if told["request_parameter_supported"] != false || told["request_uri_parameter_supported"] != false || told["request_object_signing_alg_values_supported"] != nil ||
		told["request_object_encryption_alg_values_supported"] != nil || told["request_object_encryption_enc_values_supported"] != nil {
		t.Error("the metadata promises request objects")
	}
}

// --- 4. The device grant, and others that are not ours ---

func TestGrantsAndResponseTypesThatAreNotOfferedCannotBeReached(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, org, _ := beginWith(t, databaseURL, trustedClient)
		// A row that says more than any client can register, as an import might leave it.
		grants := []string{
			"urn:ietf:params:oauth:grant-type:device_code", "password", "implicit", "urn:ietf:params:oauth:grant-type:jwt-bearer",
			"urn:ietf:params:oauth:grant-type:token-exchange", "urn:openid:params:grant-type:ciba",
		}
		types := []string{"token", "id_token", "id_token token", "code token", "code id_token", "code id_token token", "none", "code none"}
		row, err := house.DB.Client(org, house.Client(org, trustedClient).ID)
		if err != nil {
			t.Fatal(err)
		}
		row.GrantTypes = append(row.GrantTypes, grants...)
		row.ResponseTypes = append(row.ResponseTypes, types...)
		row.ResponseModes = append(row.ResponseModes, "fragment", "form_post.jwt")
		if err := house.DB.UpdateClient(org, row); err != nil {
			t.Fatal(err)
		}
		made := house.Client(org, trustedClient)
		client := *made
		client.ID = row.ClientID
		client.Secret = replaceSecret(t, house, org, row.ClientID)

		for _, grant := range append(grants, "authorization_code refresh_token", "AUTHORIZATION_CODE", "x") {
			refuses(t, grant, client.Token("grant_type", grant, "username", "alice", "password", servertest.Password, "device_code", "x", "scope", "openid",
				"assertion", "x", "subject_token", "x", "auth_req_id", "x"), 400, "unsupported_grant_type")
		}
		refuses(t, "no grant type", client.Token("scope", "openid"), 400, "invalid_request")
		for _, kind := range append(types, "code code", "CODE") {
			location := sentTo(t, house.Get(client.AuthorizeURL("response_type", kind)))
			carried := location.Query()
			if strings.Contains(kind, "token") {
				if location.RawQuery != "" {
					t.Errorf("%s: its errors go in the fragment: %s", kind, location)
				}
				if carried, err = url.ParseQuery(location.EscapedFragment()); err != nil {
					t.Fatal(err)
				}
			}
			tellsClient(t, kind, &client, carried, "unsupported_response_type")
			for _, never := range []string{"access_token", "id_token", "token_type"} {
				if carried.Has(never) {
					t.Errorf("%s: %v", kind, carried)
				}
			}
		}
		for _, nowhere := range []string{"/oauth2/device_authorization", "/oauth2/device", "/device", "/oauth2/bc-authorize"} {
			if answer := house.Post(house.Base+nowhere, url.Values{"client_id": {client.ID}, "scope": {"openid"}}); answer.Status != 404 {
				t.Errorf("%s: %d", nowhere, answer.Status)
			}
		}

		told := house.Get(house.Base + "/.well-known/openid-configuration")
		for _, grant := range grants {
			if strings.Contains(told.Body, `"`+grant+`"`) {
				t.Errorf("the metadata promises %s", grant)
			}
		}
		if strings.Contains(told.Body, "device_authorization_endpoint") || fmt.Sprint(told.JSON()["response_types_supported"]) != "[code]" {
			t.Errorf("the metadata promises too much: %s", told.Body)
		}
		for _, grant := range grants {
			if _, _, err := house.Operators.CreateClient(org, manage.ClientSpec{Name: "X", GrantTypes: []string{grant}}); err == nil {
				t.Errorf("a client was registered for %s", grant)
			}
		}
	})
}

// --- 5. Tokens taken for one another ---

func TestATokenIsGoodOnlyForWhatItIs(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, org, _ := beginWith(t, databaseURL, trustedClient)
		for _, format := range []string{"opaque", "jwt"} {
			client := house.Client(org, manage.ClientSpec{SkipConsent: true, AccessTokenFormat: format})
			other := house.Client(org, trustedClient)
			visitor := client.Visitor()
			tokens := client.Redeem(visitor.Code(client.AuthorizeURL("scope", "openid offline_access"), "alice"))
			access, refresh, id := tokens.Text("access_token"), tokens.Text("refresh_token"), tokens.Text("id_token")
			code := visitor.Code(client.AuthorizeURL(), "alice")
			session := visitor.Cookies(house.URL)[0].Value
			held := map[string]string{"access": access, "refresh": refresh, "id": id, "code": code, "session": session, "secret": client.Secret}

			for name, token := range held {
				if name == "access" {
					continue
				}
				answer := house.Get(house.Base+"/oauth2/userinfo", "Authorization", "Bearer "+token)
				refuses(t, format+": userinfo for a "+name, answer, 401, "invalid_token")
				if !strings.HasPrefix(answer.Header.Get("WWW-Authenticate"), `Bearer realm="keizer", error="invalid_token"`) {
					t.Errorf("WWW-Authenticate: %s", answer.Header.Get("WWW-Authenticate"))
				}
			}
			for name, token := range held {
				if name != "refresh" {
					refuses(t, format+": refresh by a "+name, client.Refresh(token), 400, "invalid_grant")
				}
				if name != "code" {
					refuses(t, format+": a code that is a "+name, client.Redeem(token), 400, "invalid_grant")
				}
				if name != "id" {
					arrived := sentTo(t, house.Get(client.AuthorizeURL("id_token_hint", token))).Query()
					tellsClient(t, format+": a hint that is a "+name, client, arrived, "invalid_request")
				}
				active := client.Post("/oauth2/introspect", "token", token)
				switch name {
				case "access", "refresh":
					kind := map[string]string{"access": "Bearer", "refresh": "refresh_token"}[name]
					if active.JSON()["active"] != true || active.Text("token_type") != kind {
						t.Errorf("%s: introspection of a %s: %s", format, name, active.Body)
					}
				default:
					if active.Status != 200 || active.Body != `{"active":false}` {
						t.Errorf("%s: introspection of a %s: %d %s", format, name, active.Status, active.Body)
					}
				}
				if seen := other.Post("/oauth2/introspect", "token", token); seen.Body != `{"active":false}` {
					t.Errorf("%s: another's introspection of a %s: %s", format, name, seen.Body)
				}
				if name != "access" && name != "refresh" {
					if answer := client.Post("/oauth2/revoke", "token", token); answer.Status != 200 {
						t.Errorf("%s: revocation of a %s: %d", format, name, answer.Status)
					}
				}
			}

			// All of it has cost their owner nothing.
			if answer := house.Get(house.Base+"/oauth2/userinfo", "Authorization", "Bearer "+access); answer.Status != 200 {
				t.Errorf("%s: the access token: %d %s", format, answer.Status, answer.Body)
			}
			if answer := client.Refresh(refresh); answer.Status != 200 {
				t.Errorf("%s: the refresh token: %d %s", format, answer.Status, answer.Body)
			}
			if answer := client.Redeem(code); answer.Status != 200 {
				t.Errorf("%s: the code: %d %s", format, answer.Status, answer.Body)
			}
		}
	})
}

func TestATokenThatWasAlteredIsSimplyUnknown(t *testing.T) {
	t.Parallel()
	house, org, _ := beginWith(t, "", trustedClient)
	for _, format := range []string{"opaque", "jwt"} {
		client := house.Client(org, manage.ClientSpec{SkipConsent: true, AccessTokenFormat: format})
		visitor := client.Visitor()
		tokens := client.Redeem(visitor.Code(client.AuthorizeURL("scope", "openid offline_access"), "alice"))
		access, refresh := tokens.Text("access_token"), tokens.Text("refresh_token")
		code := visitor.Code(client.AuthorizeURL(), "alice")
		for _, alter := range []func(string) string{
			func(s string) string { return s[:len(s)-1] },
			func(s string) string { return s[1:] },
			func(s string) string { return s + "A" },
			func(s string) string { return s + "=" },
			func(s string) string { return s + "\n" },
			strings.ToUpper,
			func(s string) string { return s[:len(s)-2] + another(s[len(s)-2]) + s[len(s)-1:] },
			func(s string) string { return s[:len(s)/2] + another(s[len(s)/2]) + s[len(s)/2+1:] },
			func(s string) string { return s[:8] },
			func(string) string { return "." },
			func(string) string { return ".." },
			func(string) string { return "é" },
		} {
			if alter(code) == code {
				continue
			}
			refuses(t, "a code", client.Redeem(alter(code)), 400, "invalid_grant")
			refuses(t, "a refresh token", client.Refresh(alter(refresh)), 400, "invalid_grant")
			if seen := client.Post("/oauth2/introspect", "token", alter(access)); seen.Body != `{"active":false}` {
				t.Errorf("introspection of %q: %s", alter(access), seen.Body)
			}
			answer := house.Post(house.Base+"/oauth2/userinfo", url.Values{"access_token": {alter(access)}})
			refuses(t, "an access token", answer, 401, "invalid_token")
		}
		if client.Refresh(refresh).Status != 200 || client.Redeem(code).Status != 200 || !client.Active(access) {
			t.Error("what was presented altered is lost to its owner")
		}
	}
}

func another(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}

// --- 6. Redirects ---

func TestABrowserIsSentOnlyWhereTheClientIsRegistered(t *testing.T) {
	t.Parallel()
	house, org, _ := beginWith(t, "", trustedClient)
	client := house.Client(org, manage.ClientSpec{SkipConsent: true, AuthMethod: "none", RedirectURIs: []string{
		"https://rp.example/cb?tenant=7", "https://127.0.0.1/secure", "http://127.0.0.1/native", "http://[::1]:7000/native", "http://localhost:3000/dev",
		"com.example.app:/cb",
	}})
	for given, ok := range map[string]bool{
		"https://rp.example/cb?tenant=7":      true,
		"https://127.0.0.1/secure":            true,
		"http://127.0.0.1/native":             true,
		"http://127.0.0.1:51004/native":       true,
		"http://[::1]:51004/native":           true,
		"http://localhost:3000/dev":           true,
		"com.example.app:/cb":                 true,
		"":                                    false,
		"http://127.0.0.1/secure":             false,
		"http://127.0.0.1:9999/secure":        false,
		"https://127.0.0.1:9999/secure":       false,
		"https://127.0.0.1/native":            false,
		"http://127.0.0.1:51004/other":        false,
		"http://127.0.0.1:99999/native":       false,
		"http://u:p@127.0.0.1:5/native":       false,
		"http://127.0.0.1:5/native?":          false,
		"http://127.0.0.1:5/native#":          false,
		"http://localhost:3001/dev":           false,
		"http://localhost/native":             false,
		"https://rp.example/cb":               false,
		"https://rp.example/cb?tenant=8":      false,
		"https://rp.example/cb?tenant=7&x=1":  false,
		"https://rp.example/cb?tenant=7#x":    false,
		"https://RP.example/cb?tenant=7":      false,
		"https://rp.example:443/cb?tenant=7":  false,
		"https://rp.example/./cb?tenant=7":    false,
		"https://rp.example/c%62?tenant=7":    false,
		"https://evil.example/cb?tenant=7":    false,
		"javascript:alert(1)":                 false,
		"javascript://rp.example/%0aalert(1)": false,
		"data:text/html,x":                    false,
		"com.example.app:/other":              false,
		"//rp.example/cb?tenant=7":            false,
	} {
		answer := house.Get(client.AuthorizeURL("redirect_uri", given))
		if !ok {
			onlyAPage(t, given, answer)
			continue
		}
		if location := sentTo(t, answer); location.Path != "/login" {
			t.Errorf("%s: sent to %s", given, location)
		}
	}
	if n := countRows(t, house, `SELECT count(*) FROM interactions`); n != 7 {
		t.Errorf("%d requests were stored", n)
	}
	if n := countRows(t, house, `SELECT count(*) FROM oauth_codes`); n != 0 {
		t.Errorf("%d codes were made", n)
	}
}

func TestADangerousRedirectCanNeitherBeRegisteredNorUsed(t *testing.T) {
	t.Parallel()
	house, org, client := beginWith(t, "", trustedClient)
	row, err := house.DB.Client(org, client.ID)
	if err != nil {
		t.Fatal(err)
	}
	dangerous := []string{
		"javascript:alert(1)", "JavaScript:alert(1)", "data:text/html,x", "vbscript:x", "blob:https://rp.example/1", "file:///etc/passwd", "about:blank",
		"http://rp.example/cb", "myapp:/cb", "https://*.rp.example/cb", "https://rp.example/cb#fragment", "https://u:p@rp.example/cb",
	}
	for _, uri := range dangerous {
		if _, _, err := house.Operators.CreateClient(org, manage.ClientSpec{Name: "X", RedirectURIs: []string{uri}}); len(manage.Complaints(err)) == 0 {
			t.Errorf("%s was registered: %v", uri, err)
		}
		if _, _, err := house.Operators.CreateClient(org, manage.ClientSpec{
			Name: "X", RedirectURIs: []string{"https://rp.example/cb"}, PostLogoutRedirectURIs: []string{uri},
		}); len(manage.Complaints(err)) == 0 {
			t.Errorf("%s was registered for after the logout: %v", uri, err)
		}
	}
	// Even if a row came to hold them by another way.
	row.RedirectURIs = append(row.RedirectURIs, dangerous...)
	if err := house.DB.UpdateClient(org, row); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the change is seen", func() bool {
		seen, err := house.DB.Client(org, client.ID)
		return err == nil && len(seen.RedirectURIs) > len(dangerous)
	})
	for _, uri := range dangerous {
		onlyAPage(t, uri, house.Get(client.AuthorizeURL("redirect_uri", uri)))
	}
}

func TestACodeIsRedeemedWithTheRedirectURIThatItWentTo(t *testing.T) {
	t.Parallel()
	house, org, _ := beginWith(t, "", trustedClient)
	client := house.Client(org, manage.ClientSpec{SkipConsent: true, RedirectURIs: []string{servertest.Callback, servertest.Callback + "/2"}})
	visitor := client.Visitor()
	for _, given := range []string{"", client.Redirect + "/", client.Redirect + "/2", client.Redirect + "?", "https://evil.example/cb"} {
		code := visitor.Code(client.AuthorizeURL(), "alice")
		redeem := func(uri string) *servertest.Answer {
			return client.Token("grant_type", "authorization_code", "code", code, "code_verifier", servertest.Verifier, "redirect_uri", uri)
		}
		refuses(t, given, redeem(given), 400, "invalid_grant")
		refuses(t, "the right one after "+given, redeem(client.Redirect), 400, "invalid_grant")
	}
}

// RFC 6749 §3.1.2.3 lets a client with a single redirect URI leave it out, at both endpoints alike.
func TestAClientOfOneRedirectURIMayLeaveItOutWithoutOpenID(t *testing.T) {
	t.Parallel()
	_, _, client := beginWith(t, "", trustedClient)
	visitor := client.Visitor()
	ask := client.AuthorizeURL("scope", "email", "redirect_uri", "")
	redeem := func(params ...string) *servertest.Answer {
		code := visitor.Code(ask, "alice")
		return client.Token(append(params, "grant_type", "authorization_code", "code", code, "code_verifier", servertest.Verifier)...)
	}
	if answer := redeem(); answer.Status != 200 {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
	if answer := redeem("redirect_uri", client.Redirect); answer.Status != 200 {
		t.Errorf("named at the token endpoint: %d %s", answer.Status, answer.Body)
	}
	tellsClient(t, "an error", client, visitor.Through(client.AuthorizeURL("scope", "email admin", "redirect_uri", ""), ""), "invalid_scope")
}

// --- 7. Answers ---

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// clientKey is what a client proves itself with by private_key_jwt.
type clientKey struct {
	id      string
	private *ecdsa.PrivateKey
}

func newClientKey(t testing.TB) clientKey {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return clientKey{"key-" + rand.Text(), private}
}

func (k clientKey) public(t testing.TB) json.RawMessage {
	t.Helper()
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: k.private.Public(), KeyID: k.id, Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func (k clientKey) sign(t testing.TB, claims map[string]any) string {
	t.Helper()
	return signJWT(t, jose.ES256, jose.JSONWebKey{Key: k.private, KeyID: k.id}, claims)
}

// assert is a good assertion, save for the claims given: those stand in place of its own, and nil takes one away.
func (k clientKey) assert(t testing.TB, client *servertest.Client, instead map[string]any) string {
	t.Helper()
	now := time.Now()
	claims := map[string]any{
		"iss": client.ID, "sub": client.ID, "aud": client.Issuer, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}
	for name, value := range instead {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	return k.sign(t, claims)
}

func signJWT(t testing.TB, alg jose.SignatureAlgorithm, key any, claims map[string]any) string {
	t.Helper()
	return signTyped(t, alg, key, "JWT", claims)
}

func signTyped(t testing.TB, alg jose.SignatureAlgorithm, key any, typ string, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// unsignedJWT is a JWT of alg none.
func unsignedJWT(t testing.TB, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + encode(payload) + "."
}

func TestWhateverIsWrongWithAnAssertionIsInvalidClient(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		key := newClientKey(t)
		house, org, _ := beginWith(t, databaseURL, trustedClient, behindProxies)
		spec := manage.ClientSpec{GrantTypes: []string{"client_credentials"}, Scope: "read", AuthMethod: "private_key_jwt", JWKS: key.public(t)}
		client := house.Client(org, spec)
		twin := house.Client(org, spec)
		at := func(seconds int) int64 { return time.Now().Add(time.Duration(seconds) * time.Second).Unix() }
		sent := 0
		send := func(endpoint, assertion string) *servertest.Answer {
			sent++ // from an address of its own: failures are counted for each
			return house.Post(client.Issuer+endpoint, url.Values{
				"grant_type": {"client_credentials"}, "client_assertion_type": {assertionType}, "client_assertion": {assertion}, "token": {"x"},
			}, "X-Forwarded-For", stranger(sent))
		}
		public := key.public(t)
		for name, assertion := range map[string]string{
			"expired a minute ago":       key.assert(t, client, map[string]any{"exp": at(-60), "iat": at(-120)}),
			"not valid for a minute":     key.assert(t, client, map[string]any{"nbf": at(60)}),
			"issued in a minute":         key.assert(t, client, map[string]any{"iat": at(60), "exp": at(120)}),
			"issued a year ago":          key.assert(t, client, map[string]any{"iat": at(-365 * 24 * 3600)}),
			"good for ten years":         key.assert(t, client, map[string]any{"exp": at(10 * 365 * 24 * 3600)}),
			"without an end":             key.assert(t, client, map[string]any{"exp": nil}),
			"ending in words":            key.assert(t, client, map[string]any{"exp": "tomorrow"}),
			"ending beyond all numbers":  key.assert(t, client, map[string]any{"exp": 1e300}),
			"ending before time began":   key.assert(t, client, map[string]any{"exp": -1}),
			"without a jti":              key.assert(t, client, map[string]any{"jti": nil}),
			"without a subject":          key.assert(t, client, map[string]any{"sub": nil}),
			"without an issuer":          key.assert(t, client, map[string]any{"iss": nil}),
			"of another issuer":          key.assert(t, client, map[string]any{"iss": "https://rp.example"}),
			"about another client":       key.assert(t, client, map[string]any{"sub": twin.ID, "iss": client.ID}),
			"for nobody":                 key.assert(t, client, map[string]any{"aud": nil}),
			"for the token endpoint":     key.assert(t, client, map[string]any{"aud": client.Issuer + "/oauth2/token"}),
			"for the token endpoint and": key.assert(t, client, map[string]any{"aud": []string{client.Issuer, client.Issuer + "/oauth2/token"}}),
			"for another's":              key.assert(t, client, map[string]any{"aud": "https://evil.example/oauth2/token"}),
			"for the PAR endpoint":       key.assert(t, client, map[string]any{"aud": client.Issuer + "/oauth2/par"}),
			"for several":                key.assert(t, client, map[string]any{"aud": []string{client.Issuer, "https://evil.example"}}),
			"for us in an array":         key.assert(t, client, map[string]any{"aud": []string{client.Issuer}}),
			"for us with a slash":        key.assert(t, client, map[string]any{"aud": client.Issuer + "/"}),
			"signed by another key":      newClientKey(t).assert(t, client, nil),
			"signed by a key of its id":  clientKey{key.id, newClientKey(t).private}.assert(t, client, nil),
			"signed with the public key": signJWT(t, jose.HS256, []byte(public), map[string]any{"iss": client.ID, "sub": client.ID, "aud": client.Issuer}),
			"signed by nobody":           unsignedJWT(t, map[string]any{"iss": client.ID, "sub": client.ID, "aud": client.Issuer, "jti": "x", "exp": at(60), "iat": at(0)}),
			"an array":                   "W10.W10.W10",
			"no JWT":                     "x",
			"empty parts":                "..",
			"many parts":                 strings.Repeat(".", 4000),
		} {
			for _, endpoint := range []string{"/oauth2/token", "/oauth2/par", "/oauth2/revoke"} {
				refuses(t, endpoint+", "+name, send(endpoint, assertion), 400, "invalid_client")
			}
			refuses(t, "introspect, "+name, send("/oauth2/introspect", assertion), 401, "invalid_client")
		}

		for name, instead := range map[string]map[string]any{
			"as it should be":                 nil,
			"valid in eight seconds":          {"nbf": at(8), "iat": at(8)},
			"of a clock that is a bit behind": {"exp": at(-5), "iat": at(-65)},
		} {
			if answer := send("/oauth2/token", key.assert(t, client, instead)); answer.Status != 200 {
				t.Errorf("%s: %d %s", name, answer.Status, answer.Body)
			}
		}
		again := key.assert(t, client, map[string]any{"jti": "once"})
		if answer := send("/oauth2/token", again); answer.Status != 200 {
			t.Errorf("the first time: %d %s", answer.Status, answer.Body)
		}
		refuses(t, "the second time", send("/oauth2/token", again), 400, "invalid_client")
		refuses(t, "the second time, elsewhere", send("/oauth2/revoke", again), 400, "invalid_client")
		refuses(t, "the same jti in another assertion", send("/oauth2/token", key.assert(t, client, map[string]any{"jti": "once", "exp": at(200)})), 400, "invalid_client")
		if answer := send("/oauth2/token", key.assert(t, twin, map[string]any{"jti": "once"})); answer.Status != 200 {
			t.Errorf("another client's jti: %d %s", answer.Status, answer.Body)
		}
		// What was refused was not spent, and can be mended.
		early := map[string]any{"jti": "mended", "nbf": at(60)}
		refuses(t, "early", send("/oauth2/token", key.assert(t, client, early)), 400, "invalid_client")
		delete(early, "nbf")
		if answer := send("/oauth2/token", key.assert(t, client, early)); answer.Status != 200 {
			t.Errorf("mended: %d %s", answer.Status, answer.Body)
		}
	})
}

func TestAnAssertionSentManyTimesAtOnceIsGoodOnce(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		replicas := twoReplicas(t, databaseURL, 0)
		key := newClientKey(t)
		client := replicas[0].Client(replicas[0].In("default"), manage.ClientSpec{
			GrantTypes: []string{"client_credentials"}, AuthMethod: "private_key_jwt", JWKS: key.public(t),
		})
		assertion := key.assert(t, client, nil)
		winners := 0
		for _, answer := range racers(replicas, 8, func(h *servertest.House) *servertest.Answer {
			return h.Post(client.Issuer+"/oauth2/token", url.Values{
				"grant_type": {"client_credentials"}, "client_assertion_type": {assertionType}, "client_assertion": {assertion},
			})
		}) {
			if answer.Status == 200 {
				winners++
				continue
			}
			refuses(t, "a loser", answer, 400, "invalid_client")
		}
		if winners != 1 {
			t.Errorf("%d winners", winners)
		}
	})
}

// That a key which is not among them is asked for anew, once a minute at the most, is tested beside the code.
func TestTheKeysOfAClientAreFetchedWhereItPublishesThemAndRemembered(t *testing.T) {
	t.Parallel()
	key := newClientKey(t)
	published := key.public(t)
	remote := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_, _ = w.Write(published)
	}))
	t.Cleanup(remote.Close)
	house, org, _ := beginWith(t, "", trustedClient)
	spec := manage.ClientSpec{GrantTypes: []string{"client_credentials"}, AuthMethod: "private_key_jwt", JWKSURI: remote.URL + "/jwks"}
	client, late := house.Client(org, spec), house.Client(org, spec)
	send := func(client *servertest.Client, key clientKey) *servertest.Answer {
		return house.Post(client.Issuer+"/oauth2/token", url.Values{
			"grant_type": {"client_credentials"}, "client_assertion_type": {assertionType}, "client_assertion": {key.assert(t, client, nil)},
		})
	}
	if answer := send(client, key); answer.Status != 200 {
		t.Fatalf("%d %s", answer.Status, answer.Body)
	}
	remote.Close()
	if answer := send(client, key); answer.Status != 200 {
		t.Errorf("what was fetched is forgotten: %d %s", answer.Status, answer.Body)
	}
	refuses(t, "a key that was not published", send(client, newClientKey(t)), 400, "invalid_client")
	// An address that is away is the client's fault, and no fault of ours.
	refuses(t, "an address that is away", send(late, key), 400, "invalid_client")
}

func TestAnAnswerSaysHowAClientIsToProveItself(t *testing.T) {
	t.Parallel()
	house, org, basic := beginWith(t, "", trustedClient, behindProxies) // each endpoint from an address of its own: failures are counted
	post := house.Client(org, manage.ClientSpec{AuthMethod: "client_secret_post"})
	public := house.Client(org, manage.ClientSpec{AuthMethod: "none"})
	wrong := *basic
	wrong.Secret = secret.New(secret.ClientSecret)
	header := func(value string) []string { return []string{"Authorization", value} }
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

	for name, test := range map[string]struct {
		form   url.Values
		header []string
		status int
	}{
		"a wrong secret in the header":          {nil, header(wrong.Basic()), 401},
		"a client that is not known":            {nil, header("Basic " + encode("nobody:x")), 401},
		"a header without a colon":              {nil, header("Basic " + encode(basic.ID)), 401},
		"a header that is not base64":           {nil, header("Basic é"), 401},
		"a header with a bad percent":           {nil, header("Basic " + encode(basic.ID+":%zz")), 401},
		"a header of another scheme":            {nil, header("Bearer x"), 401},
		"a header for a client of the body":     {nil, header("Basic " + encode(post.ID+":"+post.Secret)), 401},
		"a header for a public client":          {nil, header("Basic " + encode(public.ID+":")), 401},
		"a header and another client_id":        {url.Values{"client_id": {post.ID}}, header(basic.Basic()), 401},
		"a wrong secret in the body":            {url.Values{"client_id": {post.ID}, "client_secret": {wrong.Secret}}, nil, 400},
		"a body for a client of the header":     {url.Values{"client_id": {basic.ID}, "client_secret": {basic.Secret}}, nil, 400},
		"a secret from a public client":         {url.Values{"client_id": {public.ID}, "client_secret": {"x"}}, nil, 400},
		"a confidential client without secret":  {url.Values{"client_id": {post.ID}}, nil, 400},
		"a confidential client with an empty":   {url.Values{"client_id": {post.ID}, "client_secret": {""}}, nil, 400},
		"no client at all":                      {nil, nil, 400},
		"an assertion of another kind":          {url.Values{"client_id": {post.ID}, "client_assertion": {"x"}, "client_assertion_type": {"urn:x"}}, nil, 400},
		"an assertion from a client of secrets": {url.Values{"client_id": {post.ID}, "client_assertion": {"x"}, "client_assertion_type": {assertionType}}, nil, 400},
	} {
		for i, endpoint := range []string{"/oauth2/token", "/oauth2/revoke", "/oauth2/par", "/oauth2/introspect"} {
			form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}, "token": {"x"}}
			maps.Copy(form, test.form)
			answer := house.Post(house.Base+endpoint, form, append([]string{"X-Forwarded-For", stranger(i)}, test.header...)...)
			status := test.status
			if endpoint == "/oauth2/introspect" {
				status = 401 // RFC 7662 §2.3
			}
			refuses(t, endpoint+", "+name, answer, status, "invalid_client")
			challenge := answer.Header.Get("WWW-Authenticate")
			if (status == 401) != strings.HasPrefix(challenge, `Basic realm="`) {
				t.Errorf("%s, %s: %d with WWW-Authenticate %q", endpoint, name, status, challenge)
			}
			if answer.Header.Get("Content-Type") != "application/json" || answer.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s, %s: %v", endpoint, name, answer.Header)
			}
		}
	}
	both := house.Post(house.Base+"/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}, "client_secret": {basic.Secret}},
		"Authorization", basic.Basic())
	refuses(t, "two methods at once", both, 400, "invalid_request")
}

func TestAParameterWithoutAValueIsAsIfItWereNotThere(t *testing.T) {
	t.Parallel()
	house, org, client := beginWith(t, "", trustedClient)
	public := house.Client(org, manage.ClientSpec{SkipConsent: true, AuthMethod: "none"})
	visitor := client.Visitor()
	empty := "&max_age=&prompt=&nonce=&display=&ui_locales=&id_token_hint=&login_hint=&acr_values=&request=&request_uri=&response_mode=&resource=&claims=&registration="
	arrived, _ := visitor.SignIn(visitor.Go(client.AuthorizeURL("nonce", "", "state", "")+empty+"&state="), "alice", servertest.Password).Arrived()
	if arrived.Get("code") == "" || arrived.Has("state") {
		t.Fatalf("%v", arrived)
	}
	answer := client.Token("grant_type", "authorization_code", "code", arrived.Get("code"), "redirect_uri", client.Redirect, "code_verifier", servertest.Verifier,
		"client_id", "", "client_secret", "", "client_assertion", "", "client_assertion_type", "", "scope", "", "resource", "")
	if answer.Status != 200 {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
	code := visitor.Code(public.AuthorizeURL(), "alice")
	if answer := public.Token("grant_type", "authorization_code", "code", code, "redirect_uri", public.Redirect, "code_verifier", servertest.Verifier,
		"client_secret", ""); answer.Status != 200 {
		t.Errorf("a public client with an empty secret: %d %s", answer.Status, answer.Body)
	}
	if pushed := client.Post("/oauth2/par", append(inPairs(queryOf(t, client.AuthorizeURL())), "request_uri", "", "max_age", "")...); pushed.Status != 201 {
		t.Errorf("%d %s", pushed.Status, pushed.Body)
	}
	for name, params := range map[string][]string{
		"no grant type":        {"grant_type", ""},
		"no code":              {"grant_type", "authorization_code", "code", "", "redirect_uri", client.Redirect, "code_verifier", servertest.Verifier},
		"no code, not even so": {"grant_type", "authorization_code", "redirect_uri", client.Redirect, "code_verifier", servertest.Verifier},
		"no refresh token":     {"grant_type", "refresh_token", "refresh_token", ""},
		"none, not even so":    {"grant_type", "refresh_token"},
	} {
		refuses(t, name, client.Token(params...), 400, "invalid_request")
	}
	for _, endpoint := range []string{"/oauth2/introspect", "/oauth2/revoke"} {
		refuses(t, endpoint, client.Post(endpoint, "token", ""), 400, "invalid_request")
	}
}

func TestEveryErrorIsARegisteredOneInJSON(t *testing.T) {
	t.Parallel()
	house, org, client := beginWith(t, "", trustedClient)
	machine := house.Client(org, manage.ClientSpec{GrantTypes: []string{"client_credentials"}, Scope: "read"})
	public := house.Client(org, manage.ClientSpec{AuthMethod: "none"})
	long := strings.Repeat("a", 9<<10)
	for name, test := range map[string]struct {
		answer *servertest.Answer
		status int
		code   string
	}{
		"an unknown grant type":             {client.Token("grant_type", "urn:example:none"), 400, "unsupported_grant_type"},
		"an unknown grant type from nobody": {house.Post(house.Base+"/oauth2/token", url.Values{"grant_type": {"x"}}), 400, "unsupported_grant_type"},
		"a grant type that is not theirs":   {machine.Token("grant_type", "authorization_code", "code", "x"), 400, "unauthorized_client"},
		"a machine that refreshes":          {machine.Token("grant_type", "refresh_token", "refresh_token", "x"), 400, "unauthorized_client"},
		"a public client for itself":        {public.Token("grant_type", "client_credentials"), 400, "unauthorized_client"},
		"a scope that is not theirs":        {machine.Token("grant_type", "client_credentials", "scope", "write"), 400, "invalid_scope"},
		"a scope of no characters":          {machine.Token("grant_type", "client_credentials", "scope", "\"\\"), 400, "invalid_scope"},
		"a resource that is not theirs":     {machine.Token("grant_type", "client_credentials", "resource", "https://api.example"), 400, "invalid_target"},
		"a resource that is none":           {machine.Token("grant_type", "client_credentials", "resource", "x"), 400, "invalid_target"},
		"a code that never was":             {client.Redeem("x"), 400, "invalid_grant"},
		"a refresh token that never was":    {client.Refresh("x"), 400, "invalid_grant"},
		"a value that is too long":          {client.Redeem(long), 400, "invalid_request"},
		"a NUL":                             {client.Redeem("\x00"), 400, "invalid_request"},
		"too many scopes":                   {machine.Token("grant_type", "client_credentials", "scope", strings.Repeat("read ", 51)), 400, "invalid_scope"},
		"a body that is JSON":               {house.Post(house.Base+"/oauth2/token", url.Values{"{}": {""}}, "Content-Type", "application/json"), 400, "invalid_request"},
		"a body in parts":                   {house.Post(house.Base+"/oauth2/token", url.Values{"a": {"b"}}, "Content-Type", "multipart/form-data; boundary=x"), 400, "invalid_request"},
		"a body that is too large":          {client.Token("grant_type", "authorization_code", "code", strings.Repeat(long, 9)), 413, "invalid_request"},
	} {
		refuses(t, name, test.answer, test.status, test.code)
		if test.answer.Header.Get("Content-Type") != "application/json" || test.answer.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", name, test.answer.Header)
		}
		description := test.answer.Text("error_description")
		if description == "" || strings.ContainsFunc(description, func(r rune) bool { return r < 0x20 || r > 0x7e || r == '"' || r == '\\' }) {
			t.Errorf("%s: error_description %q", name, description)
		}
	}
}

func TestRevocationEndsWhatIsTheClientsOwn(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, org, _ := beginWith(t, databaseURL, trustedClient)
		for _, format := range []string{"opaque", "jwt"} {
			client := house.Client(org, manage.ClientSpec{SkipConsent: true, AccessTokenFormat: format})
			other := house.Client(org, trustedClient)
			userinfo := func(token string) int {
				return house.Get(house.Base+"/oauth2/userinfo", "Authorization", "Bearer "+token).Status
			}
			tokens := client.Tokens("alice", "openid offline_access")
			access, refresh := tokens.Text("access_token"), tokens.Text("refresh_token")
			for _, token := range []string{access, refresh, "unknown", secret.New(secret.AccessToken), secret.New(secret.RefreshToken)} {
				if answer := other.Post("/oauth2/revoke", "token", token); answer.Status != 200 {
					t.Errorf("%s: %d %s", format, answer.Status, answer.Body)
				}
			}
			if !client.Active(access) || !client.Active(refresh) || userinfo(access) != 200 {
				t.Fatalf("%s: another client has revoked what is not its own", format)
			}
			// One access token ends alone. A hint that is wrong does not matter (RFC 7009 §2.1).
			if answer := client.Post("/oauth2/revoke", "token", access, "token_type_hint", "refresh_token"); answer.Status != 200 || answer.Body != "" {
				t.Errorf("%s: %d %s", format, answer.Status, answer.Body)
			}
			if client.Active(access) || userinfo(access) != 401 || !client.Active(refresh) {
				t.Errorf("%s: the access token lives, or the refresh token died with it", format)
			}
			// A refresh token takes everything with it, also one that is spent.
			next := client.Refresh(refresh)
			if answer := client.Post("/oauth2/revoke", "token", refresh, "token_type_hint", "access_token"); answer.Status != 200 {
				t.Errorf("%s: %d %s", format, answer.Status, answer.Body)
			}
			if client.Active(next.Text("access_token")) || client.Active(next.Text("refresh_token")) || userinfo(next.Text("access_token")) != 401 {
				t.Errorf("%s: its family lives on", format)
			}
			refuses(t, format, client.Refresh(next.Text("refresh_token")), 400, "invalid_grant")
		}
	})
}

// What could not be written was not done, and must not be answered as if it were: neither by 200 nor by invalid_grant.
func TestARevocationThatCouldNotBeWrittenIsAnOutage(t *testing.T) {
	t.Parallel()
	house, _, client := beginWith(t, storagetest.PostgresURL(t), trustedClient, func(cfg *config.Config) { cfg.Tokens.RefreshReplayWindow = 0 })
	visitor := client.Visitor()
	code := visitor.Code(client.AuthorizeURL("scope", "openid offline_access"), "alice")
	tokens := client.Redeem(code)
	spent := client.Tokens("alice", "openid offline_access")
	successor := client.Refresh(spent.Text("refresh_token"))

	lock, err := house.SQL().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Rollback() }()
	if _, err := lock.ExecContext(t.Context(), `LOCK TABLE oauth_grants IN SHARE MODE`); err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for name, ask := range map[string]func() *servertest.Answer{
		"a code that comes again":          func() *servertest.Answer { return client.Redeem(code) },
		"a refresh token that comes again": func() *servertest.Answer { return client.Refresh(spent.Text("refresh_token")) },
		"a revocation":                     func() *servertest.Answer { return client.Post("/oauth2/revoke", "token", tokens.Text("refresh_token")) },
	} {
		wait.Go(func() {
			answer := ask()
			refuses(t, name, answer, 503, "temporarily_unavailable")
			if answer.Header.Get("Retry-After") == "" {
				t.Errorf("%s: no Retry-After", name)
			}
		})
	}
	wait.Wait()
	if err := lock.Rollback(); err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{tokens.Text("access_token"), successor.Text("access_token")} {
		if !client.Active(token) {
			t.Error("the outage has ended a token")
		}
	}
	refuses(t, "the code, afterwards", client.Redeem(code), 400, "invalid_grant")
	refuses(t, "the refresh token, afterwards", client.Refresh(spent.Text("refresh_token")), 400, "invalid_grant")
	for _, token := range []string{tokens.Text("access_token"), successor.Text("access_token")} {
		if client.Active(token) {
			t.Error("what came again has not ended its family")
		}
	}
}

// --- 8. Races ---

// The race detector is the judge: whatever a strategy, a cache or a key is filled with at first use must be filled by one.
func TestTheVeryFirstRequestsMayAllComeAtOnce(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	key := newClientKey(t)
	web := house.Client(org, trustedClient)
	public := house.Client(org, manage.ClientSpec{SkipConsent: true, AuthMethod: "none", IDTokenAlg: "EdDSA"})
	machine := house.Client(org, manage.ClientSpec{GrantTypes: []string{"client_credentials"}, Scope: "read"})
	jwt := house.Client(org, manage.ClientSpec{GrantTypes: []string{"client_credentials"}, Scope: "read", AccessTokenFormat: "jwt", IDTokenAlg: "ES256"})
	signed := house.Client(org, manage.ClientSpec{GrantTypes: []string{"client_credentials"}, AuthMethod: "private_key_jwt", JWKS: key.public(t)})

	asks := map[string]struct {
		ask    func() *servertest.Answer
		status int
	}{
		"authorize": {func() *servertest.Answer { return house.Get(web.AuthorizeURL("prompt", "login", "max_age", "0")) }, 303},
		"authorize, silent": {func() *servertest.Answer {
			return house.Get(public.AuthorizeURL("prompt", "none", "response_mode", "form_post"))
		}, 200},
		"authorize, posted": {func() *servertest.Answer {
			return house.Post(house.Base+"/oauth2/authorize", queryOf(t, web.AuthorizeURL()))
		}, 303},
		"par":     {func() *servertest.Answer { return web.Post("/oauth2/par", inPairs(queryOf(t, web.AuthorizeURL()))...) }, 201},
		"code":    {func() *servertest.Answer { return web.Redeem(secret.New(secret.Code)) }, 400},
		"refresh": {func() *servertest.Answer { return public.Refresh(secret.New(secret.RefreshToken)) }, 400},
		"opaque":  {func() *servertest.Answer { return machine.Token("grant_type", "client_credentials") }, 200},
		"jwt":     {func() *servertest.Answer { return jwt.Token("grant_type", "client_credentials") }, 200},
		"assertion": {func() *servertest.Answer {
			return house.Post(house.Base+"/oauth2/token", url.Values{
				"grant_type": {"client_credentials"}, "client_assertion_type": {assertionType}, "client_assertion": {key.assert(t, signed, nil)},
			})
		}, 200},
		"introspect": {func() *servertest.Answer {
			return machine.Post("/oauth2/introspect", "token", secret.New(secret.AccessToken))
		}, 200},
		"revoke": {func() *servertest.Answer { return web.Post("/oauth2/revoke", "token", secret.New(secret.RefreshToken)) }, 200},
		"userinfo": {func() *servertest.Answer {
			return house.Get(house.Base+"/oauth2/userinfo", "Authorization", "Bearer "+secret.New(secret.AccessToken))
		}, 401},
		"logout":    {func() *servertest.Answer { return house.Get(house.Base + "/oauth2/logout") }, 303},
		"jwks":      {func() *servertest.Answer { return house.Get(house.Base + "/.well-known/jwks.json") }, 200},
		"discovery": {func() *servertest.Answer { return house.Get(house.Base + "/.well-known/openid-configuration") }, 200},
	}
	// The clients are at hand, so that no wait for the database brings into line what is to meet.
	for _, client := range []*servertest.Client{web, machine, jwt} {
		client.Active("x")
	}
	public.Post("/oauth2/revoke", "token", "x")
	start := make(chan struct{})
	var wait sync.WaitGroup
	for name, one := range asks {
		for range 8 {
			wait.Go(func() {
				<-start
				if answer := one.ask(); answer.Status != one.status {
					t.Errorf("%s: %d %s", name, answer.Status, answer.Body)
				}
			})
		}
	}
	close(start)
	wait.Wait()
}

// --- 9. What the library ignores, or gets wrong ---

func TestTheHashOfTheAccessTokenIsThatOfTheAlgorithm(t *testing.T) {
	t.Parallel()
	house, org, _ := beginWith(t, "", trustedClient)
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		for _, format := range []string{"opaque", "jwt"} {
			client := house.Client(org, manage.ClientSpec{SkipConsent: true, IDTokenAlg: alg, AccessTokenFormat: format})
			first := client.Tokens("alice", "openid offline_access")
			for name, answer := range map[string]*servertest.Answer{"first": first, "refreshed": client.Refresh(first.Text("refresh_token"))} {
				token := []byte(answer.Text("access_token"))
				half := func(sum []byte) string { return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2]) }
				sum256, sum512 := sha256.Sum256(token), sha512.Sum512(token)
				want := half(sum256[:])
				if alg == "EdDSA" {
					want = half(sum512[:]) // Ed25519 hashes with SHA-512 (RFC 8032 §5.1)
				}
				if got := servertest.Claims(t, answer.Text("id_token"))["at_hash"]; got != want {
					t.Errorf("%s %s, %s: at_hash %v, not %s", alg, format, name, got, want)
				}
			}
		}
	}
}

func TestARefreshNarrowsTheAccessTokenAndNotTheGrant(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, org, _ := beginWith(t, databaseURL, trustedClient)
		const one, two = "https://one.example", "https://two.example"
		client := house.Client(org, manage.ClientSpec{SkipConsent: true, Audience: []string{one, two}, Scope: "openid profile email offline_access"})
		visitor := client.Visitor()
		whole := client.AuthorizeURL("scope", "openid email offline_access") + "&resource=" + url.QueryEscape(one) + "&resource=" + url.QueryEscape(two)
		code := visitor.Code(whole, "alice")
		redeem := func(resource string) *servertest.Answer {
			return client.Token("grant_type", "authorization_code", "code", code, "redirect_uri", client.Redirect, "code_verifier", servertest.Verifier,
				"resource", resource)
		}
		refuses(t, "a resource that the code is not for", redeem("https://three.example"), 400, "invalid_target")
		answer := redeem(two)
		if answer.Text("scope") != "openid email offline_access" {
			t.Fatalf("%d %s", answer.Status, answer.Body)
		}
		refresh := answer.Text("refresh_token")
		says := func(answer *servertest.Answer) (scope string, audience any) {
			t.Helper()
			seen := client.Post("/oauth2/introspect", "token", answer.Text("access_token")).JSON()
			scope, _ = seen["scope"].(string)
			return scope, seen["aud"]
		}

		if scope, audience := says(answer); scope != "openid email offline_access" || audience != two {
			t.Errorf("the first access token is for %q at %v", scope, audience)
		}
		for _, test := range []struct {
			name            string
			params          []string
			scope, audience string
			idToken         bool
		}{
			{"everything", nil, "openid email offline_access", "[" + one + " " + two + "]", true},
			{"one scope", []string{"scope", "email"}, "email", "[" + one + " " + two + "]", false},
			{"the same one twice", []string{"scope", "email email"}, "email", "[" + one + " " + two + "]", false},
			{"openid alone", []string{"scope", "openid"}, "openid", "[" + one + " " + two + "]", true},
			{"one resource", []string{"resource", two}, "openid email offline_access", two, true},
			{"everything again", nil, "openid email offline_access", "[" + one + " " + two + "]", true},
			{"everything by name", []string{"scope", "offline_access email openid"}, "offline_access email openid", "[" + one + " " + two + "]", true},
		} {
			answer := client.Refresh(refresh, test.params...)
			if answer.Status != 200 || answer.Text("scope") != test.scope || answer.Text("refresh_token") == "" || (answer.Text("id_token") != "") != test.idToken {
				t.Fatalf("%s: %d %s", test.name, answer.Status, answer.Body)
			}
			if scope, audience := says(answer); scope != test.scope || fmt.Sprint(audience) != test.audience {
				t.Errorf("%s: the access token is for %q at %v", test.name, scope, audience)
			}
			refresh = answer.Text("refresh_token")
		}

		for name, test := range map[string]struct {
			params []string
			code   string
		}{
			"a scope that was not granted":    {[]string{"scope", "openid profile"}, "invalid_scope"},
			"a scope that is nobody's":        {[]string{"scope", "openid admin"}, "invalid_scope"},
			"a resource that was not granted": {[]string{"resource", "https://three.example"}, "invalid_target"},
			"a path below one that was":       {[]string{"resource", one + "/a"}, "invalid_target"},
		} {
			refuses(t, name, client.Refresh(refresh, test.params...), 400, test.code)
		}
		if answer := client.Refresh(refresh); answer.Status != 200 || answer.Text("scope") != "openid email offline_access" {
			t.Errorf("what was refused has cost the token: %d %s", answer.Status, answer.Body)
		}
	})
}

func TestARepeatedParameterIsRefused(t *testing.T) {
	t.Parallel()
	house, _, client := beginWith(t, "", trustedClient)
	for _, name := range []string{
		"response_type", "scope", "nonce", "code_challenge", "code_challenge_method", "prompt", "max_age", "login_hint", "response_mode", "unknown",
	} {
		for _, values := range [][2]string{{"a", "b"}, {"a", "a"}, {"", "a"}} {
			asked := client.AuthorizeURL(name, "") + "&" + name + "=" + values[0] + "&" + name + "=" + values[1]
			tellsClient(t, name, client, sentTo(t, house.Get(asked)).Query(), "invalid_request")
		}
	}
	// A state that is repeated is not given back: neither of them is known to be the client's.
	carried := sentTo(t, house.Get(client.AuthorizeURL()+"&state=other")).Query()
	if carried.Get("error") != "invalid_request" || carried.Has("state") {
		t.Errorf("state: %v", carried)
	}
	for name, again := range map[string]string{"client_id": client.ID, "redirect_uri": client.Redirect} {
		onlyAPage(t, name, house.Get(client.AuthorizeURL()+"&"+name+"="+url.QueryEscape(again)))
	}

	code := client.Visitor().Code(client.AuthorizeURL(), "alice")
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {client.Redirect}, "code_verifier": {servertest.Verifier}}
	for name := range form {
		twice := maps.Clone(form)
		twice[name] = append(slices.Clone(form[name]), form[name][0])
		refuses(t, name, house.Post(client.Issuer+"/oauth2/token", twice, "Authorization", client.Basic()), 400, "invalid_request")
	}
	for _, endpoint := range []string{"/oauth2/introspect", "/oauth2/revoke"} {
		refuses(t, endpoint, house.Post(client.Issuer+endpoint, url.Values{"token": {"a", "b"}}, "Authorization", client.Basic()), 400, "invalid_request")
	}
	if answer := client.Redeem(code); answer.Status != 200 {
		t.Errorf("what was refused has cost the code: %d %s", answer.Status, answer.Body)
	}
}

func TestAStateOfAnyFormComesBackAsItWasSent(t *testing.T) {
	t.Parallel()
	house, _, client := beginWith(t, "", trustedClient)
	visitor := client.Visitor()
	for _, state := range []string{"", "x", "0", "-", strings.Repeat("s", 2000), `a b&c=d#e+%20"'<script>\é/?`, "{\"json\":[1]}", "https://rp.example/?a=1"} {
		for _, mode := range []string{"query", "form_post"} {
			arrived := visitor.Through(client.AuthorizeURL("state", state, "response_mode", mode), "alice")
			if arrived.Get("code") == "" || arrived.Get("state") != state || arrived.Has("state") != (state != "") {
				t.Errorf("%s, state %q: %v", mode, state, arrived)
			}
			refused := visitor.Through(client.AuthorizeURL("state", state, "response_mode", mode, "scope", "openid nonsense"), "alice")
			if refused.Get("error") != "invalid_scope" || refused.Get("state") != state || refused.Has("state") != (state != "") {
				t.Errorf("%s, state %q: %v", mode, state, refused)
			}
		}
	}
	if answer := house.Get(client.AuthorizeURL("state", "a\x00b")); sentTo(t, answer).Query().Get("error") != "invalid_request" {
		t.Errorf("a NUL: %s", answer.Header.Get("Location"))
	}
}

func TestAResponseModeMayBeNamedThatTheClientIsRegisteredFor(t *testing.T) {
	t.Parallel()
	house, org, client := beginWith(t, "", trustedClient)
	query := house.Client(org, manage.ClientSpec{SkipConsent: true, ResponseModes: []string{"query"}})
	for _, mode := range []string{"", "query", "form_post"} {
		if arrived := client.Visitor().Through(client.AuthorizeURL("response_mode", mode), "alice"); arrived.Get("code") == "" {
			t.Errorf("%q: %v", mode, arrived)
		}
	}
	for _, mode := range []string{"fragment", "query.jwt", "jwt", "form_post.jwt", "web_message", "QUERY", "query query"} {
		tellsClient(t, mode, client, sentTo(t, house.Get(client.AuthorizeURL("response_mode", mode))).Query(), "invalid_request")
	}
	post := house.Client(org, manage.ClientSpec{SkipConsent: true, ResponseModes: []string{"form_post"}})
	visitor := post.Visitor()
	for name, page := range map[string]*formbrowser.Page{
		"code":  visitor.SignIn(visitor.Go(post.AuthorizeURL()), "alice", servertest.Password),
		"error": visitor.Go(post.AuthorizeURL("scope", "openid admin")),
	} {
		if arrived, _ := page.Arrived(); !arrived.Has(name) || page.URL.RawQuery != "" {
			t.Errorf("a client of forms has its %s at %s: %v", name, page.URL, arrived)
		}
	}
	tellsClient(t, "form_post from a client of queries", query, sentTo(t, house.Get(query.AuthorizeURL("response_mode", "form_post"))).Query(), "invalid_request")
}

// --- 10. Claims made anew ---

func TestARefreshedJWTAccessTokenHasAnIdentityAndTimesOfItsOwn(t *testing.T) {
	t.Parallel()
	house, org, _ := beginWith(t, "", trustedClient)
	client := house.Client(org, manage.ClientSpec{SkipConsent: true, AccessTokenFormat: "jwt"})
	answer := client.Tokens("alice", "openid offline_access")
	first, firstID := servertest.Claims(t, answer.Text("access_token")), servertest.Claims(t, answer.Text("id_token"))
	seen := map[any]bool{first["jti"]: true}
	var later map[string]any
	eventually(t, "the clock goes on by a second, and so does iat", func() bool {
		answer = client.Refresh(answer.Text("refresh_token"))
		later = servertest.Claims(t, answer.Text("access_token"))
		if later["jti"] == nil || seen[later["jti"]] {
			t.Fatalf("jti %v again", later["jti"])
		}
		seen[later["jti"]] = true
		return numberOf(t, later["iat"]) > numberOf(t, first["iat"]) && numberOf(t, later["exp"]) > numberOf(t, first["exp"]) &&
			numberOf(t, servertest.Claims(t, answer.Text("id_token"))["iat"]) > numberOf(t, firstID["iat"])
	})
	for _, name := range []string{"iss", "sub", "aud", "client_id", "scope", "auth_time", "acr", "sid"} {
		if fmt.Sprint(first[name]) != fmt.Sprint(later[name]) || later[name] == nil {
			t.Errorf("%s was %v and is %v", name, first[name], later[name])
		}
	}
	if header := jwtHeader(t, answer.Text("access_token")); header["typ"] != "at+jwt" {
		t.Errorf("header %v", header)
	}
}

func numberOf(t testing.TB, value any) float64 {
	t.Helper()
	n, ok := value.(float64)
	if !ok {
		t.Fatalf("%v is no number", value)
	}
	return n
}

func jwtHeader(t testing.TB, token string) (header map[string]any) {
	t.Helper()
	encoded, _, _ := strings.Cut(token, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(decoded, &header); err != nil {
		t.Fatal(err)
	}
	return header
}

// --- The storage contract, as far as it shows outside ---
// Single use under concurrency, and that the revocation which goes with it is written, is in flow_single_use_test.go.

func TestWhatHasExpiredIsNotFound(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, _, client := beginWith(t, databaseURL, trustedClient, func(cfg *config.Config) {
			cfg.Tokens.CodeLifetime = -time.Second
		})
		refuses(t, "a code", client.Redeem(client.Visitor().Code(client.AuthorizeURL(), "alice")), 400, "invalid_grant")

		later := servertest.Start(t, servertest.Options{ReplicaOf: house, Configure: func(cfg *config.Config) {
			cfg.Tokens.RefreshIdle, cfg.Tokens.AccessLifetime = -time.Second, -time.Second
			cfg.Tokens.CodeLifetime = time.Minute
		}})
		client = later.Client(later.In("default"), trustedClient)
		answer := client.Redeem(client.Visitor().Code(client.AuthorizeURL("scope", "openid offline_access"), "alice"))
		if answer.Status != 200 || answer.JSON()["expires_in"] != 0.0 {
			t.Fatalf("%d %s", answer.Status, answer.Body)
		}
		refuses(t, "a refresh token", client.Refresh(answer.Text("refresh_token")), 400, "invalid_grant")
		refuses(t, "an access token", later.Get(later.Base+"/oauth2/userinfo", "Authorization", "Bearer "+answer.Text("access_token")), 401, "invalid_token")
		for _, name := range []string{"access_token", "refresh_token"} {
			if seen := client.Post("/oauth2/introspect", "token", answer.Text(name)); seen.Body != `{"active":false}` {
				t.Errorf("%s: %s", name, seen.Body)
			}
		}
	})
}

func TestACodeLivesForAMinute(t *testing.T) {
	t.Parallel()
	house, org, client := beginWith(t, "", trustedClient)
	code, err := house.DB.Code(org, secret.Digest(client.Visitor().Code(client.AuthorizeURL(), "alice")))
	if err != nil {
		t.Fatal(err)
	}
	if life := code.ExpiresAt.Sub(code.CreatedAt); life > time.Minute || life < 59*time.Second {
		t.Errorf("it lives for %v", life)
	}
}

func TestTheSecondUseOfACodeIsToldFromAGuessForLongerThanTheCodeLives(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, _, client := beginWith(t, databaseURL, trustedClient)
		visitor := client.Visitor()
		purge := func(ahead time.Duration) {
			t.Helper()
			if _, err := house.DB.Purge(t.Context(), time.Now().Add(ahead), 0); err != nil {
				t.Fatal(err)
			}
		}
		first, second := visitor.Code(client.AuthorizeURL(), "alice"), visitor.Code(client.AuthorizeURL(), "alice")
		unused := visitor.Code(client.AuthorizeURL(), "alice")
		one, two := client.Redeem(first), client.Redeem(second)
		purge(5 * time.Minute)
		refuses(t, "a used code", client.Redeem(first), 400, "invalid_grant")
		if client.Active(one.Text("access_token")) {
			t.Error("what was issued for it lives on")
		}
		purge(12 * time.Minute)
		if n := countRows(t, house, `SELECT count(*) FROM oauth_codes`); n != 0 {
			t.Errorf("%d codes are kept for ever", n)
		}
		for _, gone := range []string{second, unused} {
			refuses(t, "a code that was cleared away", client.Redeem(gone), 400, "invalid_grant")
		}
		if two.Status != 200 {
			t.Errorf("%d %s", two.Status, two.Body)
		}
	})
}

func TestASpentRefreshTokenIsKnownForTheLifeOfItsFamily(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, _, client := beginWith(t, databaseURL, trustedClient, func(cfg *config.Config) { cfg.Tokens.RefreshReplayWindow = 0 })
		spent := client.Tokens("alice", "openid offline_access").Text("refresh_token")
		successor := client.Refresh(spent).Text("refresh_token")
		if _, err := house.DB.Purge(t.Context(), time.Now().Add(29*24*time.Hour), 0); err != nil {
			t.Fatal(err)
		}
		refuses(t, "the spent one", client.Refresh(spent), 400, "invalid_grant")
		refuses(t, "its successor", client.Refresh(successor), 400, "invalid_grant")
		if _, err := house.DB.Purge(t.Context(), time.Now().Add(32*24*time.Hour), 0); err != nil {
			t.Fatal(err)
		}
		refuses(t, "after the family was cleared away", client.Refresh(spent), 400, "invalid_grant")
		if n := countRows(t, house, `SELECT (SELECT count(*) FROM oauth_refresh_tokens) + (SELECT count(*) FROM oauth_grants)`); n != 0 {
			t.Errorf("%d rows are kept for ever", n)
		}
	})
}

func TestNothingOfOneOrganizationIsWorthAnythingAtAnother(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, org, _ := beginWith(t, databaseURL, trustedClient)
		acme := house.Organization("acme")
		for _, format := range []string{"opaque", "jwt"} {
			client := house.Client(org, manage.ClientSpec{SkipConsent: true, AccessTokenFormat: format})
			// The same client by the same secret, which no register would make, so that nothing but the organization differs.
			twin := twinOf(t, house, org, acme, client)
			visitor := client.Visitor()
			tokens := client.Redeem(visitor.Code(client.AuthorizeURL("scope", "openid offline_access"), "alice"))
			code := visitor.Code(client.AuthorizeURL(), "alice")

			refuses(t, "a code", twin.Redeem(code), 400, "invalid_grant")
			refuses(t, "a refresh token", twin.Refresh(tokens.Text("refresh_token")), 400, "invalid_grant")
			refuses(t, "an access token", house.Get(twin.Issuer+"/oauth2/userinfo", "Authorization", "Bearer "+tokens.Text("access_token")), 401, "invalid_token")
			for _, name := range []string{"access_token", "refresh_token"} {
				if seen := twin.Post("/oauth2/introspect", "token", tokens.Text(name)); seen.Body != `{"active":false}` {
					t.Errorf("%s: %s", name, seen.Body)
				}
				if answer := twin.Post("/oauth2/revoke", "token", tokens.Text(name)); answer.Status != 200 {
					t.Errorf("%s: %d", name, answer.Status)
				}
			}
			tellsClient(t, "a hint", twin, sentTo(t, house.Get(twin.AuthorizeURL("id_token_hint", tokens.Text("id_token")))).Query(), "invalid_request")
			if page := visitor.Go(twin.AuthorizeURL()); page.Title != "Sign in" {
				t.Errorf("signed in at both: %q", page.Title)
			}

			if client.Redeem(code).Status != 200 || !client.Active(tokens.Text("access_token")) || client.Refresh(tokens.Text("refresh_token")).Status != 200 {
				t.Errorf("%s: the other organization has spoilt what is not its own", format)
			}
		}
	})
}

// twinOf makes a client in another organization that has the client_id and the secret of one.
func twinOf(t testing.TB, house *servertest.House, from, to context.Context, client *servertest.Client) *servertest.Client {
	t.Helper()
	row, err := house.DB.Client(from, client.ID)
	if err != nil {
		t.Fatal(err)
	}
	copied := *row
	copied.ID, copied.Owned = [16]byte{}, storage.Owned{}
	if err := house.DB.CreateClient(to, &copied); err != nil {
		t.Fatal(err)
	}
	twin := *client
	twin.Issuer = house.Issuer(to)
	return &twin
}

// replaceSecret gives a client another secret, and returns it.
func replaceSecret(t testing.TB, house *servertest.House, org context.Context, clientID string) string {
	t.Helper()
	made, err := house.Operators.RotateClientSecret(org, clientID, 0)
	if err != nil {
		t.Fatal(err)
	}
	return made.Reveal()
}
