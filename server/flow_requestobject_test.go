package server_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

// asking is a request as a request object makes it, with the changes given: nil takes one out.
func asking(t testing.TB, client *servertest.Client, changes map[string]any) map[string]any {
	t.Helper()
	claims := map[string]any{
		"iss": client.ID, "aud": client.Issuer, "nbf": time.Now().Unix(), "exp": time.Now().Add(5 * time.Minute).Unix(), "state": "inside", "nonce": "inside",
	}
	for name, values := range queryOf(t, client.AuthorizeURL()) {
		if claims[name] == nil {
			claims[name] = values[0]
		}
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	return claims
}

// typed signs a request object that says that it is one (RFC 9101 §10.8).
func (k clientKey) typed(t testing.TB, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return handmade(`{"alg":"ES256","typ":"oauth-authz-req+jwt","kid":"`+k.id+`"}`, string(payload), raw(t, k.private))
}

// withObject is a request of which nothing is said beside the object but what is given.
func withObject(house *servertest.House, client *servertest.Client, params ...string) string {
	query := fields(append(params, "client_id", client.ID)...)
	return house.At(client.Issuer + "/oauth2/authorize?" + query.Encode())
}

// encryptJWT encrypts a JWT as a client does (RFC 7519 §5.2).
func encryptJWT(t testing.TB, to jose.JSONWebKey, alg, enc, token string) string {
	t.Helper()
	encrypter, err := jose.NewEncrypter(jose.ContentEncryption(enc), jose.Recipient{Algorithm: jose.KeyAlgorithm(alg), Key: to.Key, KeyID: to.KeyID},
		(&jose.EncrypterOptions{}).WithContentType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := encrypter.Encrypt([]byte(token))
	if err != nil {
		t.Fatal(err)
	}
	text, err := encrypted.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// shelf is where a client keeps request objects.
type shelf struct {
	*httptest.Server
	mu     sync.Mutex
	text   string
	header http.Header
	asked  int
}

func newShelf(t testing.TB) *shelf {
	t.Helper()
	s := &shelf{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked++
		w.Header().Set("Content-Type", "application/oauth-authz-req+jwt")
		maps.Copy(w.Header(), s.header)
		_, _ = w.Write([]byte(s.text))
	}))
	t.Cleanup(s.Close)
	return s
}

// put lays an object on the shelf, and returns the fragment that names it.
func (s *shelf) put(text string, header ...string) (fragment string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text, s.header = text, make(http.Header)
	for i := 0; i+1 < len(header); i += 2 {
		s.header.Set(header[i], header[i+1])
	}
	sum := sha256.Sum256([]byte(text))
	return "#" + base64.RawURLEncoding.EncodeToString(sum[:])
}

func (s *shelf) fetches() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// OpenID Connect Core 1.0 §6, RFC 9101, RFC 9126 §3.
func TestARequestIsMadeByARequestObject(t *testing.T) {
	t.Parallel()
	key, kept := newClientKey(t), newShelf(t)
	house, _, _ := beginWith(t, "", trustedClient)
	org := decided(t, house, "default", "request_objects.by_reference", "true", "request_objects.unsigned", "true")
	made := func(metadata map[string]any) *servertest.Client {
		t.Helper()
		return house.Client(org, manage.ClientSpec{SkipConsent: true, Scope: "openid profile email", JWKS: key.public(t), Metadata: metadata})
	}
	client := made(map[string]any{"request_uris": []any{kept.URL + "/object#first"}})
	redeemed := func(t *testing.T, client *servertest.Client, arrived url.Values) map[string]any {
		t.Helper()
		answer := client.Redeem(arrived.Get("code"))
		if answer.Status != 200 || arrived.Get("state") != "inside" {
			t.Fatalf("%v: %d %s", arrived, answer.Status, answer.Body)
		}
		claims := servertest.Claims(t, answer.Text("id_token"))
		if claims["nonce"] != "inside" {
			t.Errorf("%v", claims)
		}
		return claims
	}

	t.Run("through the pages, which read it once", func(t *testing.T) {
		object := asking(t, client, map[string]any{"max_age": 3600, "claims": map[string]any{"id_token": map[string]any{"email": nil}}, "redirect_uri": client.Redirect})
		visitor := client.Visitor()
		page := visitor.Go(client.AuthorizeURL("request", key.sign(t, object), "redirect_uri", "https://evil.example/cb", "state", "outside", "nonce", ""))
		var stored string
		if err := house.SQL().QueryRowContext(t.Context(), `SELECT params FROM interactions ORDER BY created_at DESC LIMIT 1`).Scan(&stored); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(stored, "request=") || !strings.Contains(stored, "max_age=3600") {
			t.Errorf("stored: %s", stored)
		}
		claims := redeemed(t, client, arrivedAt(t, visitor.SignIn(page, "alice", servertest.Password)))
		if claims["email"] != "alice@example.com" || claims["auth_time"] == nil {
			t.Errorf("%v", claims)
		}
	})
	visitor := client.Visitor()
	visitor.Code(client.AuthorizeURL(), "alice")
	t.Run("what is asked beside it", func(t *testing.T) {
		object := asking(t, client, map[string]any{"response_mode": nil, "state": nil})
		beside := client.AuthorizeURL("request", key.sign(t, object), "response_mode", "form_post")
		page := visitor.Go(beside)
		if arrived := arrivedAt(t, page); arrived.Get("code") == "" || arrived.Get("state") != "the-state" || page.ArrivedBy() != "form_post" {
			t.Errorf("OpenID Connect adds to it: %v by %s", arrived, page.ArrivedBy())
		}
		for name, beside := range map[string]string{
			"by its type":          client.AuthorizeURL("request", key.typed(t, object), "response_mode", "form_post"),
			"by RFC 9101":          withObject(house, client, "request", key.sign(t, object), "state", "x", "response_mode", "form_post"),
			"by the order of both": withObject(house, client, "request", key.typed(t, object), "response_type", "code", "prompt", "login"),
		} {
			page := visitor.Go(beside)
			if arrived := arrivedAt(t, page); arrived.Get("code") == "" || arrived.Has("state") || page.ArrivedBy() != "query" {
				t.Errorf("%s nothing else counts: %v by %s", name, arrived, page.ArrivedBy())
			}
		}
	})
	t.Run("pushed", func(t *testing.T) {
		object := key.sign(t, asking(t, client, nil))
		answer := client.Post("/oauth2/par", "request", object, "scope", "admin", "state", "outside", "redirect_uri", "https://evil.example/cb")
		if answer.Status != 201 {
			t.Fatalf("%d %s", answer.Status, answer.Body)
		}
		redeemed(t, client, arrivedAt(t, visitor.Go(pushedURL(house, client, answer.Text("request_uri")))))
	})
	t.Run("by a client that signs all it asks", func(t *testing.T) {
		strict := made(map[string]any{"require_signed_request_object": true, "request_object_signing_alg": "ES256"})
		redeemed(t, strict, strict.Visitor().Through(withObject(house, strict, "request", key.typed(t, asking(t, strict, nil))), "alice"))
		tellsClient(t, "as everybody asks", strict, sentTo(t, house.Get(strict.AuthorizeURL())).Query(), "invalid_request")
		refuses(t, "pushed as everybody pushes", strict.Post("/oauth2/par", inPairs(queryOf(t, strict.AuthorizeURL()))...), 400, "invalid_request")
		object := key.sign(t, asking(t, strict, nil))
		tellsClient(t, "of another type", strict, sentTo(t, house.Get(strict.AuthorizeURL("request", object))).Query(), "invalid_request_object")
	})
	t.Run("by a client that pushes all it asks", func(t *testing.T) {
		pushing := made(map[string]any{"require_pushed_authorization_requests": true})
		tellsClient(t, "as everybody asks", pushing, sentTo(t, house.Get(pushing.AuthorizeURL())).Query(), "invalid_request")
		tellsClient(t, "by an object", pushing, sentTo(t, house.Get(pushing.AuthorizeURL("request", key.sign(t, asking(t, pushing, nil))))).Query(), "invalid_request")
		if arrived := pushing.Visitor().Through(pushedURL(house, pushing, pushRequest(t, pushing)), "alice"); arrived.Get("code") == "" {
			t.Errorf("%v", arrived)
		}
	})
	t.Run("without a signature", func(t *testing.T) {
		plain := made(map[string]any{"request_object_signing_alg": "none"})
		redeemed(t, plain, plain.Visitor().Through(plain.AuthorizeURL("request", unsignedJWT(t, asking(t, plain, nil)), "state", "outside"), "alice"))
		tellsClient(t, "signed after all", plain, sentTo(t, house.Get(plain.AuthorizeURL("request", key.sign(t, asking(t, plain, nil))))).Query(), "invalid_request_object")
	})
	t.Run("kept by the client", func(t *testing.T) {
		at := kept.URL + "/object"
		fragment := kept.put(key.sign(t, asking(t, client, nil)), "Cache-Control", "no-store")
		for range 3 {
			redeemed(t, client, arrivedAt(t, visitor.Go(client.AuthorizeURL("request_uri", at+fragment))))
		}
		if n := kept.fetches(); n != 1 {
			t.Errorf("what cannot change was fetched %d times", n)
		}
		// Another fragment is another object (OpenID Connect Core 1.0 §6.2), and its digest is right.
		fragment = kept.put(key.sign(t, asking(t, client, map[string]any{"prompt": "none", "state": "second"})))
		if !within(t.Context(), patience, func() bool {
			return arrivedAt(t, visitor.Go(client.AuthorizeURL("request_uri", at+fragment))).Get("state") == "second"
		}) {
			t.Error("the object before it lives on")
		}
		sum := sha256.Sum256([]byte("another"))
		wrong := at + "#" + base64.RawURLEncoding.EncodeToString(sum[:])
		if arrived := arrivedAt(t, visitor.Go(client.AuthorizeURL("request_uri", wrong))); arrived.Get("state") != "second" {
			t.Errorf("by a fragment that is no digest of it: %v", arrived)
		}
	})
	t.Run("encrypted", func(t *testing.T) {
		published := func() (found map[string]jose.JSONWebKey) {
			var set jose.JSONWebKeySet
			if err := json.Unmarshal([]byte(house.Get(client.Issuer+"/.well-known/jwks.json").Body), &set); err != nil {
				t.Fatal(err)
			}
			found = make(map[string]jose.JSONWebKey)
			for _, jwk := range set.Keys {
				if jwk.Use == "enc" {
					found[jwk.Algorithm] = jwk
				}
			}
			return found
		}
		signed := func(client *servertest.Client) string { return key.sign(t, asking(t, client, nil)) }
		tellsClient(t, "while it is off", client, arrivedAt(t, visitor.Go(client.AuthorizeURL("request", "a.b.c.d.e"))), "invalid_request_object")
		if found := published(); len(found) != 0 {
			t.Errorf("%v", found)
		}
		decided(t, house, "default", "request_objects.encrypted", "true")
		if !within(t.Context(), patience, func() bool { return len(published()) == 2 }) {
			t.Fatalf("%v", published())
		}
		to := published()
		for alg, jwk := range map[string]jose.JSONWebKey{"RSA-OAEP-256": to["RSA-OAEP-256"], "ECDH-ES": to[""], "ECDH-ES+A128KW": to[""], "ECDH-ES+A256KW": to[""]} {
			redeemed(t, client, arrivedAt(t, visitor.Go(client.AuthorizeURL("request", encryptJWT(t, jwk, alg, "A128CBC-HS256", signed(client))))))
		}
		kept.put(encryptJWT(t, to[""], "ECDH-ES", "A256GCM", signed(client)))
		if !within(t.Context(), patience, func() bool {
			return arrivedAt(t, visitor.Go(client.AuthorizeURL("request_uri", kept.URL+"/object"))).Get("state") == "inside"
		}) {
			t.Error("none that the client keeps is decrypted")
		}
		answer := client.Post("/oauth2/par", "request", encryptJWT(t, to[""], "ECDH-ES+A256KW", "A128GCM", signed(client)))
		redeemed(t, client, arrivedAt(t, visitor.Go(pushedURL(house, client, answer.Text("request_uri")))))

		one := made(map[string]any{"request_object_encryption_alg": "ECDH-ES"})
		good := one.AuthorizeURL("request", encryptJWT(t, to[""], "ECDH-ES", "A128CBC-HS256", signed(one)))
		redeemed(t, one, one.Visitor().Through(good, "alice"))
		redeemed(t, one, one.Visitor().Through(one.AuthorizeURL("request", signed(one)), "alice")) // OpenID Connect Dynamic Client Registration 1.0 §2
		for name, text := range map[string]string{
			"another way to agree on a key": encryptJWT(t, to[""], "ECDH-ES+A256KW", "A128CBC-HS256", signed(one)),
			"another way to encrypt":        encryptJWT(t, to[""], "ECDH-ES", "A128GCM", signed(one)),
			"a signature of another":        encryptJWT(t, to[""], "ECDH-ES", "A128CBC-HS256", newClientKey(t).sign(t, asking(t, one, nil))),
			"no signature":                  encryptJWT(t, to[""], "ECDH-ES", "A128CBC-HS256", unsignedJWT(t, asking(t, one, nil))),
			"encrypted twice":               encryptJWT(t, to[""], "ECDH-ES", "A128CBC-HS256", encryptJWT(t, to[""], "ECDH-ES", "A128CBC-HS256", signed(one))),
			"to somebody else":              encryptJWT(t, jose.JSONWebKey{Key: newClientKey(t).private.Public()}, "ECDH-ES", "A128CBC-HS256", signed(one)),
		} {
			tellsClient(t, name, one, sentTo(t, house.Get(one.AuthorizeURL("request", text))).Query(), "invalid_request_object")
		}
	})
	t.Run("the metadata says so", func(t *testing.T) {
		told := house.Get(client.Issuer + "/.well-known/openid-configuration").JSON()
		algs := fmt.Sprint(told["request_object_signing_alg_values_supported"])
		if fmt.Sprint(told["request_object_encryption_alg_values_supported"]) != "[RSA-OAEP-256 ECDH-ES ECDH-ES+A128KW ECDH-ES+A256KW]" ||
			fmt.Sprint(told["request_object_encryption_enc_values_supported"]) != "[A128CBC-HS256 A128GCM A256GCM]" {
			t.Errorf("%v", told)
		}
		if told["request_parameter_supported"] != true || told["request_uri_parameter_supported"] != true || told["require_request_uri_registration"] != true ||
			algs != "[RS256 PS256 ES256 EdDSA none]" {
			t.Errorf("%v %s", told, algs)
		}
	})
}

// S-137 S-138 S-140 S-141: what is wrong with a request object, or comes along with it, is said where the client is known to be, and else on a page.
func TestARequestObjectThatIsNotRightIsRefused(t *testing.T) {
	t.Parallel()
	key, other := newClientKey(t), newClientKey(t)
	house, _, client := beginWith(t, "", manage.ClientSpec{SkipConsent: true, JWKS: key.public(t), Scope: "openid profile"})
	visitor := client.Visitor()
	visitor.Code(client.AuthorizeURL(), "alice")
	object := func(changes map[string]any) string { return key.sign(t, asking(t, client, changes)) }
	good := object(nil)
	for name, test := range map[string]struct {
		text, code string
		beside     []string
	}{
		"good":                            {good, "", nil},
		"nobody has signed it":            {unsignedJWT(t, asking(t, client, nil)), "invalid_request_object", nil},
		"another has signed it":           {other.sign(t, asking(t, client, nil)), "invalid_request_object", nil},
		"a secret that is no secret":      {signJWT(t, jose.HS256, []byte(key.public(t)), asking(t, client, nil)), "invalid_request_object", nil},
		"no object at all":                {"x", "invalid_request_object", nil},
		"five parts":                      {"a.b.c.d.e", "invalid_request_object", nil},
		"for another":                     {object(map[string]any{"aud": "https://other.example"}), "invalid_request_object", nil},
		"of another":                      {object(map[string]any{"iss": "other"}), "invalid_request_object", nil},
		"an assertion":                    {key.assert(t, client, nil), "invalid_request_object", nil},
		"over":                            {object(map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}), "invalid_request_object", nil},
		"another client in it":            {object(map[string]any{"client_id": "other"}), "invalid_request_object", nil},
		"another response type in it":     {object(map[string]any{"response_type": "code id_token"}), "invalid_request_object", nil},
		"a null in it":                    {object(map[string]any{"prompt": json.RawMessage("null")}), "invalid_request_object", nil},
		"an object in it":                 {object(map[string]any{"request": good}), "invalid_request", nil},
		"an address in it":                {object(map[string]any{"request_uri": "https://rp.example/o"}), "invalid_request", nil},
		"an address beside it":            {good, "invalid_request", []string{"request_uri", "https://rp.example/o"}},
		"no response type beside it":      {good, "invalid_request", []string{"response_type", ""}},
		"no openid beside it, no client":  {object(map[string]any{"client_id": nil}), "invalid_request_object", []string{"scope", "profile"}},
		"a max_age that is no number":     {object(map[string]any{"max_age": "x", "state": "the-state"}), "invalid_request", nil},
		"a scope that the client has not": {object(map[string]any{"scope": "openid admin", "state": "the-state"}), "invalid_scope", nil},
		"a repeated parameter beside it":  {object(map[string]any{"state": "the-state", "prompt": "none login"}), "invalid_request", nil},
		"what is ours":                    {object(map[string]any{"keizer:par": "x", "interaction": "y"}), "", nil},
		"credentials":                     {object(map[string]any{"client_secret": client.Secret}), "", nil},
		"an aud that is not all texts":    {object(map[string]any{"aud": []any{client.Issuer, 1}}), "invalid_request_object", nil},
		"not good yet":                    {object(map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}), "invalid_request_object", nil},
	} {
		arrived := arrivedAt(t, visitor.Go(client.AuthorizeURL(append(test.beside, "request", test.text)...)))
		if test.code == "" {
			if arrived.Get("code") == "" || arrived.Get("state") != "inside" {
				t.Errorf("%s: %v", name, arrived)
			}
			continue
		}
		tellsClient(t, name, client, arrived, test.code)
		// Where nothing beside the object says where the client is, nothing in it does.
		if test.code == "invalid_request_object" {
			onlyAPage(t, name, house.Get(client.AuthorizeURL(append(test.beside, "request", test.text, "redirect_uri", "https://evil.example/cb")...)))
		}
		if test.beside == nil && name != "another response type in it" { // a pushed object has none beside it
			refuses(t, name+", pushed", client.Post("/oauth2/par", "request", test.text), 400, test.code)
		}
	}
	onlyAPage(t, "an address in it that is not the client's", house.Get(client.AuthorizeURL("request", object(map[string]any{"redirect_uri": "https://evil.example/cb"}))))
	two := client.AuthorizeURL("request", good) + "&request=" + url.QueryEscape(good)
	tellsClient(t, "two of them", client, sentTo(t, house.Get(two)).Query(), "invalid_request")

	// S-141: none is fetched where that is not turned on, nor from where the client is not registered to keep any.
	tellsClient(t, "an address", client, sentTo(t, house.Get(client.AuthorizeURL("request_uri", "https://rp.example/o"))).Query(), "request_uri_not_supported")
	decided(t, house, "default", "request_objects.by_reference", "true", "request_objects.by_value", "false")
	tellsClient(t, "by value", client, sentTo(t, house.Get(client.AuthorizeURL("request", good))).Query(), "request_not_supported")
	refuses(t, "by value, pushed", client.Post("/oauth2/par", "request", good), 400, "request_not_supported")
	refuses(t, "an address, pushed", client.Post("/oauth2/par", "request_uri", "https://rp.example/o"), 400, "invalid_request")
	for _, uri := range []string{"https://rp.example/o", "http://169.254.169.254/", "urn:example:object", "file:///etc/passwd", "x"} {
		tellsClient(t, uri, client, sentTo(t, house.Get(client.AuthorizeURL("request_uri", uri))).Query(), "invalid_request_uri")
	}
}

// S-141 S-142 S-156: what keeps the server from speaking to this machine, and to others without end.
func TestARequestObjectIsFetchedFromWhereItMayBeAndInTheSameWords(t *testing.T) {
	t.Parallel()
	key, kept := newClientKey(t), newShelf(t)
	uris := []any{}
	addresses := []string{
		kept.URL, strings.Replace(kept.URL, "127.0.0.1", "localhost", 1), strings.Replace(kept.URL, "http:", "https:", 1),
		strings.Replace(kept.URL, "127.0.0.1", "[::ffff:127.0.0.1]", 1), strings.Replace(kept.URL, "127.0.0.1", "2130706433", 1),
		strings.Replace(kept.URL, "127.0.0.1", "127.1", 1), "https://169.254.169.254/latest/meta-data", "file:///etc/passwd", "gopher://127.0.0.1:1/x",
		"https://127.0.0.1:1/", "https://nowhere.invalid/",
	}
	for _, address := range addresses {
		uris = append(uris, address)
	}
	live := production(t, servertest.Options{})
	org := decided(t, live, "default", "request_objects.by_reference", "true")
	if _, _, err := live.Operators.CreateClient(org, manage.ClientSpec{
		Name: "App", RedirectURIs: []string{servertest.Callback}, Metadata: map[string]any{"request_uris": uris},
	}); err == nil || strings.Count(err.Error(), "request_uris") != len(uris)-1 { // of nowhere.invalid nobody knows yet
		t.Errorf("registered: %v", err)
	}
	victim := live.Client(org, manage.ClientSpec{SkipConsent: true, JWKS: key.public(t)})
	text, err := json.Marshal(map[string]any{"request_uris": uris})
	if err != nil {
		t.Fatal(err)
	}
	change(t, live, `UPDATE oauth_clients SET metadata = $1 WHERE client_id = $2`, string(text), victim.ID)
	kept.put(key.sign(t, asking(t, victim, nil)))
	words := make(map[string]bool)
	for _, address := range addresses {
		u := queryOf(t, victim.AuthorizeURL("request_uri", address))
		answer := send(t, live, request{address: "/oauth2/authorize?" + u.Encode()})
		arrived := sentTo(t, answer).Query()
		tellsClient(t, address, victim, arrived, "invalid_request_uri")
		words[arrived.Get("error_description")] = true
	}
	if n := kept.fetches(); n != 0 || len(words) != 1 {
		t.Errorf("this machine was asked %d times; %v", n, words)
	}

	house := servertest.Start(t, servertest.Options{})
	org = decided(t, house, "default", "request_objects.by_reference", "true")
	house.User(org, "alice")
	var spec manage.ClientSpec
	spec.SkipConsent, spec.JWKS, spec.Metadata = true, key.public(t), map[string]any{"request_uris": []any{}}
	refused := func(name string, header ...string) {
		t.Helper()
		at := kept.URL + "/" + url.PathEscape(name)
		spec.Metadata["request_uris"] = []any{at}
		client := house.Client(org, spec)
		body := key.sign(t, asking(t, client, nil))
		if strings.Contains(name, "long") {
			body += strings.Repeat("A", 70<<10)
		}
		kept.put(body, header...)
		before := kept.fetches()
		for range 20 {
			arrived := sentTo(t, house.Get(client.AuthorizeURL("request_uri", at))).Query()
			tellsClient(t, name, client, arrived, "invalid_request_uri")
			words[arrived.Get("error_description")] = true
		}
		if n := kept.fetches() - before; n < 1 || n > 5 {
			t.Errorf("%s: fetched %d times", name, n)
		}
	}
	refused("a page", "Content-Type", "text/html")
	refused("nothing that is said", "Content-Type", "")
	refused("packed", "Content-Encoding", "gzip")
	refused("a long one")
	if len(words) != 1 {
		t.Errorf("%v", slices.Collect(maps.Keys(words)))
	}
}

// S-146: requests that are pushed in great numbers are rows in great numbers.
func TestAClientPushesSoManyRequestsAndNoMore(t *testing.T) {
	t.Parallel()
	house, org, client := beginWith(t, "", trustedClient)
	other, public := house.Client(org, manage.ClientSpec{}), house.Client(org, manage.ClientSpec{AuthMethod: "none"})
	push := func(client *servertest.Client) *servertest.Answer {
		t.Helper()
		return client.Post("/oauth2/par", inPairs(queryOf(t, client.AuthorizeURL()))...)
	}
	for _, client := range []*servertest.Client{client, public} {
		refuses(t, "the first", push(client), 201, "")
		change(t, house, `UPDATE rate_limits SET busy_until = $1 WHERE subject LIKE $2`, time.Now().Add(time.Minute).UnixMicro(), "push_client:%")
		made := 1
		answer := push(client)
		for ; answer.Status == 201 && made < 2*throttle.PushBundle; answer = push(client) {
			made++
		}
		refuses(t, "too many", answer, 429, "temporarily_unavailable")
		if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err != nil || seconds < 1 || made != throttle.PushBundle {
			t.Errorf("after %d, Retry-After %q", made, answer.Header.Get("Retry-After"))
		}
		change(t, house, `DELETE FROM rate_limits`)
		refuses(t, "in a moment", push(client), 201, "")
		refuses(t, "another", push(other), 201, "")
	}
	long := client.Post("/oauth2/par", append(inPairs(queryOf(t, client.AuthorizeURL())), "request", strings.Repeat("x", 70<<10))...)
	refuses(t, "a body that is too long", long, 413, "invalid_request")
	if n := countRows(t, house, `SELECT count(*) FROM oauth_par`); n != 2*throttle.PushBundle+4 {
		t.Errorf("%d rows", n)
	}
}
