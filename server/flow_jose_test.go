package server_test

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

// recipient is a client that things are encrypted to.
type recipient struct {
	rsa *rsa.PrivateKey
	ec  *ecdsa.PrivateKey
}

func newRecipient(t *testing.T) *recipient {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &recipient{rsaKey, ecKey}
}

// jwks are its public keys; one of them is for signatures, and has nothing to do with what is encrypted.
func (r *recipient) jwks(t *testing.T) json.RawMessage {
	t.Helper()
	body, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: &r.ec.PublicKey, KeyID: "sig", Use: "sig"}, {Key: &r.rsa.PublicKey, KeyID: "rsa", Use: "enc"}, {Key: &r.ec.PublicKey, KeyID: "ec"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// protection is how a client is registered for what it is given.
type protection struct{ sign, alg, enc string }

// members are those of client metadata.
func (p protection) members(of string) map[string]any {
	members := make(map[string]any)
	for name, value := range map[string]string{"_signed_response_alg": p.sign, "_encrypted_response_alg": p.alg, "_encrypted_response_enc": p.enc} {
		if value != "" {
			members[of+name] = value
		}
	}
	return members
}

// opens reads what a client was given in just the way that it is registered for, and in no other.
func (p protection) opens(t *testing.T, house *servertest.House, client *servertest.Client, r *recipient, typ, text string) map[string]any {
	t.Helper()
	if p.alg != "" {
		enc := cmp.Or(p.enc, "A128CBC-HS256")
		encrypted, err := jose.ParseEncryptedCompact(text, []jose.KeyAlgorithm{jose.KeyAlgorithm(p.alg)}, []jose.ContentEncryption{jose.ContentEncryption(enc)})
		if err != nil {
			t.Fatalf("%v: %v\n%s", p, err, text)
		}
		var key crypto.PrivateKey = r.ec
		kid := "ec"
		if p.alg == "RSA-OAEP-256" {
			key, kid = r.rsa, "rsa"
		}
		plain, err := encrypted.Decrypt(key)
		if err != nil {
			t.Fatalf("%v: %v", p, err)
		}
		kind := encrypted.Header.ExtraHeaders[jose.HeaderContentType]
		if encrypted.Header.KeyID != kid || (kind == "JWT") != (p.sign != "") {
			t.Errorf("%v: to %q, of type %v", p, encrypted.Header.KeyID, kind)
		}
		text = string(plain)
	}
	payload := []byte(text)
	if p.sign != "" {
		signed, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(p.sign)})
		if err != nil {
			t.Fatalf("%v: %v\n%s", p, err, text)
		}
		var set jose.JSONWebKeySet
		if err := json.Unmarshal([]byte(house.Get(client.Issuer+"/.well-known/jwks.json").Body), &set); err != nil {
			t.Fatal(err)
		}
		found := set.Key(signed.Signatures[0].Header.KeyID)
		if len(found) != 1 || found[0].Algorithm != p.sign {
			t.Fatalf("%v: %d keys for %s", p, len(found), signed.Signatures[0].Header.KeyID)
		}
		if payload, err = signed.Verify(found[0]); err != nil {
			t.Fatalf("%v: %v", p, err)
		}
		if got := jwtHeader(t, text)["typ"]; got != typ && (typ != "" || got != nil) {
			t.Errorf("%v: typ %v, not %q", p, got, typ)
		}
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatalf("%v: %v\n%s", p, err, payload)
	}
	return claims
}

// OpenID Connect Core 1.0 §5.3.2, §10 and Dynamic Client Registration 1.0 §2; RFC 9701; Back-Channel Logout 1.0 §2.4.
func TestEachClientIsAnsweredAsItIsRegistered(t *testing.T) {
	t.Parallel()
	house, _, plain := beginWith(t, "", trustedClient)
	org := decided(t, house, "default", "tokens.legacy_response_types", "true")
	r, visitor := newRecipient(t), plain.Visitor()
	visitor.Code(plain.AuthorizeURL(), "alice")
	t.Run("the first client of an algorithm has its key made", func(t *testing.T) { makesKeys(t, house, org) })
	t.Run("each in its own way", func(t *testing.T) { answersEach(t, house, org, plain, visitor, r) })
	t.Run("whoever makes assertions by a secret", func(t *testing.T) { assertsBySecret(t, house, org, plain) })
	t.Run("nothing that cannot be encrypted", func(t *testing.T) { withholds(t, house, org, plain.Visitor(), r) })
}

func answersEach(
	t *testing.T, house *servertest.House, org context.Context, plain *servertest.Client, visitor *servertest.Visitor, r *recipient,
) {
	jwks := r.jwks(t)
	var fetches atomic.Int64
	published := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetches.Add(1)
		_, _ = w.Write(jwks)
	}))
	t.Cleanup(published.Close)
	register := func(of map[string]protection, atURI bool, logoutURI string) *servertest.Client {
		spec := manage.ClientSpec{
			SkipConsent: true, GrantTypes: []string{manage.GrantCode, manage.GrantRefresh, manage.GrantImplicit}, ResponseTypes: []string{"code", "code id_token"},
			Scope: "openid profile email offline_access", JWKS: jwks, IDTokenAlg: of["id_token"].sign,
			Metadata: map[string]any{"backchannel_logout_uri": logoutURI},
		}
		if atURI {
			spec.JWKS, spec.JWKSURI = nil, published.URL+"/jwks"
		}
		for name, p := range of {
			for member, value := range p.members(name) {
				if member != "id_token_signed_response_alg" {
					spec.Metadata[member] = value
				}
			}
		}
		return house.Client(org, spec)
	}
	var told []func(session any)
	var session any
	one := func(p protection) map[string]protection {
		return map[string]protection{"id_token": p, "userinfo": p, "introspection": p}
	}
	for name, c := range map[string]struct {
		of    map[string]protection
		atURI bool
	}{
		"RS256, RSA-OAEP-256 by the default": {of: one(protection{"RS256", "RSA-OAEP-256", ""})},
		"PS256, ECDH-ES":                     {of: one(protection{"PS256", "ECDH-ES", "A128GCM"}), atURI: true},
		"ES256, ECDH-ES+A128KW":              {of: one(protection{"ES256", "ECDH-ES+A128KW", "A256GCM"})},
		"EdDSA, ECDH-ES+A256KW":              {of: one(protection{"EdDSA", "ECDH-ES+A256KW", "A128CBC-HS256"}), atURI: true},
		"signed, each otherwise": {of: map[string]protection{
			"id_token": {sign: "PS256"}, "userinfo": {sign: "ES256"}, "introspection": {sign: "EdDSA"},
		}},
		"userinfo that is not signed": {of: map[string]protection{
			"id_token": {sign: "RS256"}, "userinfo": {alg: "ECDH-ES", enc: "A128GCM"}, "introspection": {sign: "RS256"},
		}},
		"introspection signed by the default": {of: map[string]protection{"id_token": {sign: "RS256"}, "introspection": {sign: "", alg: "RSA-OAEP-256"}}},
	} {
		kept := listens(t)
		client := register(c.of, c.atURI, kept.URL)
		idTokens, userInfo, introspection := c.of["id_token"], c.of["userinfo"], c.of["introspection"]
		introspection.sign = cmp.Or(introspection.sign, "RS256") // RFC 9701 §6
		arrived := arrivedAt(t, visitor.Go(client.AuthorizeURL("response_type", "code id_token", "scope", "openid profile offline_access")))
		direct := idTokens.opens(t, house, client, r, "JWT", arrived.Get("id_token"))
		if direct["c_hash"] != halfOf(idTokens.sign, arrived.Get("code")) || direct["nonce"] != "the-nonce" || direct["aud"] != client.ID {
			t.Errorf("%s: at the authorization endpoint %v", name, direct)
		}
		tokens := client.Redeem(arrived.Get("code"))
		first := idTokens.opens(t, house, client, r, "JWT", tokens.Text("id_token"))
		refreshed := client.Refresh(tokens.Text("refresh_token"))
		second := idTokens.opens(t, house, client, r, "JWT", refreshed.Text("id_token"))
		access := refreshed.Text("access_token")
		if first["at_hash"] != halfOf(idTokens.sign, tokens.Text("access_token")) || second["at_hash"] != halfOf(idTokens.sign, access) ||
			first["sub"] != direct["sub"] || second["sub"] != direct["sub"] || second["iss"] != client.Issuer {
			t.Errorf("%s: at the token endpoint %v, refreshed %v", name, first, second)
		}

		answer := house.Get(client.Issuer+"/oauth2/userinfo", "Authorization", "Bearer "+access)
		kind, about := "application/json", answer.JSON()
		if userInfo != (protection{}) {
			kind, about = "application/jwt", userInfo.opens(t, house, client, r, "", answer.Body)
		}
		signed := userInfo.sign != ""
		if answer.Header.Get("Content-Type") != kind || answer.Header.Get("Cache-Control") != "no-store" ||
			about["sub"] != direct["sub"] || about["name"] != "Alice Doe" || (about["iss"] == client.Issuer) != signed || (about["aud"] == client.ID) != signed {
			t.Errorf("%s: userinfo, %s: %v", name, answer.Header.Get("Content-Type"), about)
		}
		// What came from userinfo is no ID token (RFC 8725 §3.11).
		if signed && userInfo.alg == "" {
			tellsClient(t, name, client, arrivedAt(t, visitor.Go(client.AuthorizeURL("prompt", "none", "id_token_hint", answer.Body))), "invalid_request")
		}

		for _, accept := range []string{
			"", "application/token-introspection+jwt", "*/*", "application/json", "application/json, application/token-introspection+jwt;q=0.5",
		} {
			answer := house.Post(client.Issuer+"/oauth2/introspect", fields("token", access), "Authorization", client.Basic(), "Accept", accept)
			if introspection.alg == "" && strings.HasPrefix(accept, "application/json") {
				if answer.JSON()["active"] != true || answer.Header.Get("Content-Type") != "application/json" {
					t.Errorf("%s, %q: %s", name, accept, answer.Body)
				}
				continue
			}
			said := introspection.opens(t, house, client, r, "token-introspection+jwt", answer.Body)
			about, _ := said["token_introspection"].(map[string]any)
			if about["active"] != true || about["sub"] != direct["sub"] || about["client_id"] != client.ID || said["aud"] != client.ID || said["iss"] != client.Issuer ||
				said["iat"] == nil || len(said) != 4 || answer.Header.Get("Content-Type") != "application/token-introspection+jwt" {
				t.Errorf("%s, %q: %v", name, accept, said)
			}
		}
		answer = house.Post(client.Issuer+"/oauth2/introspect", fields("token", "unknown"),
			"Authorization", client.Basic(), "Accept", "application/token-introspection+jwt")
		said := introspection.opens(t, house, client, r, "token-introspection+jwt", answer.Body)
		if about, _ := said["token_introspection"].(map[string]any); about["active"] != false || len(about) != 1 {
			t.Errorf("%s: of what is no token: %v", name, about)
		}

		// An ID token that only the client reads is no hint, until the client has read it (OpenID Connect Core 1.0 §3.1.2.1).
		if idTokens.alg != "" {
			tellsClient(t, name, client, arrivedAt(t, visitor.Go(client.AuthorizeURL("prompt", "none", "id_token_hint", tokens.Text("id_token")))), "invalid_request")
		}

		session = direct["sid"]
		told = append(told, func(session any) {
			heard := kept.hears()
			if len(heard) != 1 {
				t.Fatalf("%s: told %d times", name, len(heard))
			}
			said := idTokens.opens(t, house, client, r, "logout+jwt", heard[0])
			if said["sid"] != session || said["aud"] != client.ID || said["events"] == nil {
				t.Errorf("%s: %v", name, said)
			}
		})
	}
	if n := fetches.Load(); n != 2 {
		t.Errorf("two clients were asked %d times for their keys", n)
	}

	// Who is not registered for anything is answered as ever, and has a JWT where it asks for one.
	access := plain.Redeem(visitor.Code(plain.AuthorizeURL(), "alice")).Text("access_token")
	for accept, asJWT := range map[string]bool{
		"": false, "*/*": false, "application/*": false, "application/token-introspection+jwt": true, "Application/Token-Introspection+JWT, */*": true,
		"application/token-introspection+jwt;q=0": false, "application/token-introspection+jwt;q=0.5, application/json;q=0.6": false, "text/html": false,
		"application/token-introspection+jwt, application/json": true, "application/token-introspection+jwt;q=two": false, ";;": false,
	} {
		answer := house.Post(plain.Issuer+"/oauth2/introspect", fields("token", access), "Authorization", plain.Basic(), "Accept", accept)
		if got := answer.Header.Get("Content-Type") == "application/token-introspection+jwt"; got != asJWT || answer.Status != http.StatusOK {
			t.Errorf("%q: %d %s", accept, answer.Status, answer.Header.Get("Content-Type"))
		}
		if asJWT {
			protection{sign: "RS256"}.opens(t, house, plain, r, "token-introspection+jwt", answer.Body)
		}
	}

	// A client is told of the end of a session as it is told of its beginning.
	if err := house.DB.EndSession(org, uuid.MustParse(session.(string)), false); err != nil {
		t.Fatal(err)
	}
	house.DeliverLogouts()
	for _, each := range told {
		each(session)
	}
}

// client_secret_jwt (OpenID Connect Core 1.0 §9), wherever clients authenticate. What is wrong with an assertion is tried beside the code.
func assertsBySecret(t *testing.T, house *servertest.House, org context.Context, plain *servertest.Client) {
	const method = "client_secret_jwt"
	var told map[string]any
	if err := json.Unmarshal([]byte(house.Get(plain.Issuer+"/.well-known/openid-configuration").Body), &told); err != nil {
		t.Fatal(err)
	}
	for _, endpoint := range []string{"token", "introspection", "revocation"} {
		methods, _ := told[endpoint+"_endpoint_auth_methods_supported"].([]any)
		algs, _ := told[endpoint+"_endpoint_auth_signing_alg_values_supported"].([]any)
		if !slices.Contains(methods, any(method)) || !slices.Contains(algs, any("HS256")) || !slices.Contains(algs, any("PS256")) {
			t.Errorf("%s: %v, %v", endpoint, methods, algs)
		}
	}
	client := house.Client(org, manage.ClientSpec{GrantTypes: []string{"client_credentials"}, Scope: "read", AuthMethod: method})
	send := func(endpoint, text string, instead map[string]any, params ...string) *servertest.Answer {
		t.Helper()
		now := time.Now()
		claims := map[string]any{
			"iss": client.ID, "sub": client.ID, "aud": client.Issuer, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		}
		maps.Copy(claims, instead)
		return house.Post(client.Issuer+endpoint, fields(append(params,
			"client_assertion_type", assertionType, "client_assertion", signJWT(t, jose.HS256, []byte(text), claims))...))
	}
	obtain := func(text string) *servertest.Answer {
		return send("/oauth2/token", text, nil, "grant_type", "client_credentials")
	}
	token := obtain(client.Secret).Text("access_token")
	if answer := send("/oauth2/introspect", client.Secret, nil, "token", token); answer.JSON()["active"] != true {
		t.Fatalf("%d %s", answer.Status, answer.Body)
	}
	if answer := send("/oauth2/revoke", client.Secret, nil, "token", token); answer.Status != http.StatusOK {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
	if answer := send("/oauth2/introspect", client.Secret, nil, "token", token); answer.JSON()["active"] != false {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
	once := map[string]any{"jti": "once"}
	if answer := send("/oauth2/introspect", client.Secret, once, "token", token); answer.Status != http.StatusOK {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
	refuses(t, "a second time", send("/oauth2/token", client.Secret, once, "grant_type", "client_credentials"), 400, "invalid_client")
	elsewhere := map[string]any{"aud": client.Issuer + "/oauth2/token"}
	refuses(t, "for the token endpoint", send("/oauth2/token", client.Secret, elsewhere, "grant_type", "client_credentials"), 400, "invalid_client")
	decided(t, house, "default", "tokens.legacy_assertion_audience", "true")
	if answer := send("/oauth2/token", client.Secret, elsewhere, "grant_type", "client_credentials"); answer.Status != http.StatusOK {
		t.Errorf("for the token endpoint, where that is let: %d %s", answer.Status, answer.Body)
	}
	refuses(t, "by another secret", obtain(strings.Repeat("x", 40)), 400, "invalid_client")
	refuses(t, "the secret itself", client.Token("grant_type", "client_credentials"), 401, "invalid_client")

	// While a secret is replaced both are good.
	made, err := house.Operators.RotateClientSecret(org, client.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{made.Reveal(), client.Secret} {
		eventually(t, "both are good", func() bool { return obtain(text).Status == http.StatusOK })
	}
	change(t, house, `UPDATE oauth_clients SET secret_old_expires_at = '`+longAgo+`' WHERE client_id = $1`, client.ID)
	eventually(t, "the old secret has ended", func() bool { return obtain(client.Secret).Text("error") == "invalid_client" })
	if answer := obtain(made.Reveal()); answer.Status != http.StatusOK {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
	// Nobody finds it where it is kept.
	var everything string
	if err := house.SQL().QueryRowContext(t.Context(), `SELECT group_concat(quote(c.sealed_secrets) || quote(c.metadata)) FROM oauth_clients c`).Scan(&everything); err != nil {
		t.Fatal(err)
	}
	if hexed := strings.ToUpper(hex.EncodeToString([]byte(made.Reveal()))); strings.Contains(everything, hexed) || strings.Contains(everything, made.Reveal()) {
		t.Error("the secret stands in the database")
	}
}

// What cannot be encrypted is not given at all, and is still there to be had when it can be.
func withholds(t *testing.T, house *servertest.House, org context.Context, visitor *servertest.Visitor, r *recipient) {
	var away atomic.Bool
	published := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if away.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(`{"keys":[]}`))
	}))
	t.Cleanup(published.Close)
	for _, c := range []struct {
		away   bool
		status int
		code   string
	}{{false, http.StatusBadRequest, "invalid_request"}, {true, http.StatusServiceUnavailable, "temporarily_unavailable"}} {
		away.Store(c.away)
		client := house.Client(org, manage.ClientSpec{
			SkipConsent: true, GrantTypes: []string{manage.GrantCode, manage.GrantImplicit}, ResponseTypes: []string{"code", "code id_token"}, Scope: "openid email",
			JWKSURI: published.URL, Metadata: map[string]any{"id_token_encrypted_response_alg": "ECDH-ES", "userinfo_encrypted_response_alg": "ECDH-ES"},
		})
		arrived := visitor.Through(client.AuthorizeURL("response_type", "code id_token"), "alice")
		tellsClient(t, "at the authorization endpoint", client, arrived, c.code)
		if arrived.Has("code") || arrived.Has("id_token") {
			t.Errorf("half an answer: %v", arrived)
		}
		code := visitor.Code(client.AuthorizeURL(), "alice")
		refused := client.Redeem(code)
		if refused.Status != c.status || refused.Text("error") != c.code || refused.Text("error_description") == "" || refused.Text("access_token") != "" {
			t.Errorf("%d %s", refused.Status, refused.Body)
		}
		// The code is as good as it was. The client's developer mends the keys, and the client goes on.
		keys := r.jwks(t)
		if _, _, err := house.Operators.UpdateClient(org, client.ID, manage.ClientPatch{JWKS: &keys}); err != nil {
			t.Fatal(err)
		}
		var tokens *servertest.Answer
		eventually(t, "the code is exchanged", func() bool { tokens = client.Redeem(code); return tokens.Status == http.StatusOK })
		protection{"RS256", "ECDH-ES", ""}.opens(t, house, client, r, "JWT", tokens.Text("id_token"))
		if again := client.Redeem(code); again.Text("error") != "invalid_grant" {
			t.Errorf("used twice: %d %s", again.Status, again.Body)
		}
	}

	// Nor at userinfo.
	client := house.Client(org, manage.ClientSpec{
		SkipConsent: true, GrantTypes: []string{manage.GrantCode}, Scope: "openid email", JWKSURI: published.URL + "/other",
		Metadata: map[string]any{"userinfo_encrypted_response_alg": "ECDH-ES"},
	})
	token := client.Redeem(visitor.Code(client.AuthorizeURL(), "alice")).Text("access_token")
	answer := house.Get(client.Issuer+"/oauth2/userinfo", "Authorization", "Bearer "+token)
	if answer.Status != http.StatusServiceUnavailable || answer.Text("error") != "temporarily_unavailable" ||
		answer.Header.Get("Retry-After") != "60" || answer.Text("sub") != "" {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
}

// The first client that is registered for PS256 has its key made, once, whichever of its answers it is for.
func makesKeys(t *testing.T, house *servertest.House, org context.Context) {
	algs := func() (algs []string) {
		rows, err := house.DB.SigningKeys(org)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			algs = append(algs, row.Alg)
		}
		slices.Sort(algs)
		return algs
	}
	before := algs()
	service := manage.ClientSpec{GrantTypes: []string{"client_credentials"}, Scope: "read", AccessTokenFormat: "jwt"}
	client := house.Client(org, service)
	if slices.Contains(algs(), "PS256") {
		t.Error("a key that nobody needs was made")
	}
	metadata := map[string]any{"introspection_signed_response_alg": "PS256"}
	if _, _, err := house.Operators.UpdateClient(org, client.ID, manage.ClientPatch{Metadata: &metadata}); err != nil {
		t.Fatal(err)
	}
	service.IDTokenAlg = "PS256"
	second := house.Client(org, service)
	if now := algs(); len(now) != len(before)+1 || !slices.Contains(now, "PS256") {
		t.Errorf("%v", now)
	}
	token := second.Token("grant_type", "client_credentials").Text("access_token")
	claims := protection{sign: "PS256"}.opens(t, house, second, nil, "at+jwt", token)
	if claims["client_id"] != second.ID || !second.Active(token) {
		t.Errorf("%v", claims)
	}
	if expires, ok := claims["exp"].(float64); !ok || time.Until(time.Unix(int64(expires), 0)) < time.Minute {
		t.Errorf("%v", claims)
	}
}
