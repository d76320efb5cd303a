package server_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
)

func base64url(part []byte) string { return base64.RawURLEncoding.EncodeToString(part) }

// handmade is a JWS put together from its parts, right or wrong.
func handmade(header, payload string, sign func(input []byte) []byte) string {
	input := base64url([]byte(header)) + "." + base64url([]byte(payload))
	return input + "." + base64url(sign([]byte(input)))
}

// raw signs as ES256 does (RFC 7518 §3.4).
func raw(t testing.TB, key *ecdsa.PrivateKey) func([]byte) []byte {
	return func(input []byte) []byte {
		sum := sha256.Sum256(input)
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		size := (key.Curve.Params().BitSize + 7) / 8
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	}
}

func rs256(t testing.TB, key *rsa.PrivateKey) func([]byte) []byte {
	return func(input []byte) []byte {
		sum := sha256.Sum256(input)
		signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}
}

func hs256(key []byte) func([]byte) []byte {
	return func(input []byte) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write(input)
		return mac.Sum(nil)
	}
}

func constant(signature ...byte) func([]byte) []byte {
	return func([]byte) []byte { return signature }
}

// publicForms are the forms in which somebody may take a public key for a shared secret.
func publicForms(t testing.TB, public crypto.PublicKey, jwk []byte) map[string][]byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	forms := map[string][]byte{"JWK": jwk, "DER": der, "PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "nothing": {}}
	if key, ok := public.(*rsa.PublicKey); ok {
		forms["the modulus"] = key.N.Bytes()
	}
	return forms
}

// S-092, S-093, S-094, S-097, S-098, S-100, S-101: what a header says of keys, algorithms and encodings is never believed, and
// no address in it is asked. All of these are signed by the client's own key where that is what makes them convincing.
func TestNothingInTheHeaderOfAnAssertionIsBelieved(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	lure := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { asked.Add(1) }))
	t.Cleanup(lure.Close)
	house := servertest.Start(t, servertest.Options{Configure: behindProxies})
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	strange, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	bigger, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwks := func(key *ecdsa.PrivateKey) []byte {
		set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1"}}})
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	client := house.Client(house.In("default"), manage.ClientSpec{
		GrantTypes: []string{"client_credentials"}, Scope: "read", AuthMethod: "private_key_jwt", JWKS: jwks(own),
	})
	payload := func() string {
		now := time.Now().Unix()
		return fmt.Sprintf(`{"iss":%q,"sub":%q,"aud":%q,"jti":%q,"iat":%d,"exp":%d}`, client.ID, client.ID, client.Issuer, rand.Text(), now, now+60)
	}
	presented := 0
	present := func(assertion string) *servertest.Answer {
		presented++ // from an address of its own: failures are counted for each
		return send(t, house, request{address: "/oauth2/token", header: []string{"X-Forwarded-For", stranger(presented)}, form: fields(
			"grant_type", "client_credentials", "client_id", client.ID,
			"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_assertion", assertion)})
	}
	const plain = `{"alg":"ES256","kid":"k1"}`
	if answer := present(handmade(plain, payload(), raw(t, own))); answer.Status != 200 {
		t.Fatalf("a good one: %d %s", answer.Status, answer.Body)
	}

	strangeKey := string(jwks(strange))
	strangeKey = strangeKey[len(`{"keys":[`) : len(strangeKey)-len(`]}`)]
	assertions := map[string]string{}
	for name, header := range map[string]string{
		"a key of its own":      `{"alg":"ES256","jwk":` + strangeKey + `}`,
		"an address of keys":    `{"alg":"ES256","kid":"k1","jku":"` + lure.URL + `"}`,
		"an address of a chain": `{"alg":"ES256","kid":"k1","x5u":"` + lure.URL + `"}`,
		"a chain":               `{"alg":"ES256","kid":"k1","x5c":["AAAA"]}`,
	} {
		assertions[name] = handmade(header, payload(), raw(t, strange))
		assertions[name+", rightly signed"] = handmade(header, payload(), raw(t, own))
	}
	for name, header := range map[string]string{
		"what is critical and not known": `{"alg":"ES256","kid":"k1","crit":["x"],"x":1}`,
		"a payload that is not encoded":  `{"alg":"ES256","kid":"k1","b64":false,"crit":["b64"]}`,
		"a payload that is compressed":   `{"alg":"ES256","kid":"k1","zip":"DEF"}`,
		"two algorithms":                 `{"alg":"none","alg":"ES256","kid":"k1"}`,
		"an algorithm in two cases":      `{"ALG":"none","alg":"ES256","kid":"k1"}`,
		"no algorithm":                   `{"kid":"k1"}`,
		"an algorithm that is a list":    `{"alg":["ES256"],"kid":"k1"}`,
		"another of its family":          `{"alg":"ES384","kid":"k1"}`,
		"one of another family":          `{"alg":"RS256","kid":"k1"}`,
		"the kind of access tokens":      `{"alg":"ES256","kid":"k1","typ":"at+jwt"}`,
		"the kind of DPoP proofs":        `{"alg":"ES256","kid":"k1","typ":"dpop+jwt"}`,
		"the kind of logout tokens":      `{"alg":"ES256","kid":"k1","typ":"logout+jwt"}`,
		"a kid that is none of its keys": `{"alg":"ES256","kid":"k2"}`,
		"a kid that is a path":           `{"alg":"ES256","kid":"../../../dev/null"}`,
		"a kid that is SQL":              `{"alg":"ES256","kid":"k1' OR '1'='1"}`,
		"a list":                         `["ES256"]`,
		"something behind it":            plain + `{}`,
	} {
		assertions[name] = handmade(header, payload(), raw(t, own))
	}
	for _, alg := range []string{"none", "None", "nOnE", "NONE", ""} {
		header := `{"alg":"` + alg + `","kid":"k1"}`
		assertions["signed by nobody, "+alg] = handmade(header, payload(), constant())
		assertions["signed by somebody, "+alg] = handmade(header, payload(), raw(t, own))
	}
	for form, key := range publicForms(t, own.Public(), jwks(own)) {
		assertions["a public key as a secret, as "+form] = handmade(`{"alg":"HS256","kid":"k1"}`, payload(), hs256(key))
	}
	assertions["a signature of zeros"] = handmade(plain, payload(), constant(make([]byte, 64)...))
	assertions["a signature in another encoding"] = handmade(plain, payload(), func(input []byte) []byte {
		sum := sha256.Sum256(input)
		der, err := ecdsa.SignASN1(rand.Reader, own, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return der
	})
	assertions["a signature with something behind it"] = handmade(plain, payload(), func(input []byte) []byte { return append(raw(t, own)(input), 0) })
	assertions["a signature with something before it"] = handmade(plain, payload(), func(input []byte) []byte {
		signature := raw(t, own)(input)
		return slices.Concat([]byte{0}, signature[:32], []byte{0}, signature[32:])
	})
	assertions["a signature by a key of another curve"] = handmade(plain, payload(), raw(t, bigger))
	assertions["a signature under another hash"] = handmade(plain, payload(), func(input []byte) []byte {
		sum := sha512.Sum384(input)
		r, s, err := ecdsa.Sign(rand.Reader, own, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	})
	assertions["a signature beyond the order"] = handmade(plain, payload(), func(input []byte) []byte {
		signature := raw(t, own)(input)
		r := new(big.Int).Add(new(big.Int).SetBytes(signature[:32]), own.Curve.Params().N)
		return append(r.Bytes(), signature[32:]...)
	})
	for name, claims := range map[string]string{
		"a claim twice":        strings.Replace(payload(), `"sub"`, `"sub":"mallory","sub"`, 1),
		"a claim in two cases": strings.Replace(payload(), `"aud"`, `"AUD":"https://evil.example","aud"`, 1),
		"a list of claims":     "[" + payload() + "]",
		"no claims":            "null",
		"a text":               `"x"`,
		"more behind it":       payload() + payload(),
		"claims too deep":      strings.Replace(payload(), "{", `{"x":`+strings.Repeat("[", 1500)+strings.Repeat("]", 1500)+",", 1),
	} {
		assertions["claims: "+name] = handmade(plain, claims, raw(t, own))
	}
	good := handmade(plain, payload(), raw(t, own))
	assertions["a line break in it"] = good[:20] + "\n" + good[20:]
	assertions["padding"] = strings.Replace(good, ".", "=.", 1)
	assertions["a part too many"] = good + "."
	assertions["five parts"] = good + ".AAAA.AAAA"
	assertions["encrypted"] = base64url([]byte(`{"alg":"RSA-OAEP","enc":"A256GCM","zip":"DEF"}`)) + ".AAAA.AAAA.AAAA.AAAA"
	assertions["encrypted by a password"] = base64url([]byte(`{"alg":"PBES2-HS512+A256KW","enc":"A256GCM","p2c":2147483647,"p2s":"AAAA"}`)) + ".AAAA.AAAA.AAAA.AAAA"
	assertions["encrypted to nobody"] = base64url([]byte(`{"alg":"dir","enc":"A128GCM"}`)) + "..AAAA.AAAA.AAAA"
	assertions["dots"] = strings.Repeat(".", 8000)
	assertions["the JSON form"] = `{"payload":"` + base64url([]byte(payload())) + `","protected":"e30","signature":"AAAA"}`

	began := time.Now()
	for name, assertion := range assertions {
		wantError(t, name, present(assertion), 400, "invalid_client")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("refusing %d assertions took %v", len(assertions), took)
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("addresses in headers were asked %d times", n)
	}
	if answer := present(good); answer.Status != 200 {
		t.Errorf("the one they were made of: %d %s", answer.Status, answer.Body)
	}
}

// S-092, S-094, S-098, S-100, S-101 against what is signed with the organization's own keys: hints and JWT access tokens.
func TestATokenThatOnlyLooksLikeOursIsNobodys(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	client := house.Client(org, manage.ClientSpec{
		SkipConsent: true, AccessTokenFormat: "jwt", PostLogoutRedirectURIs: []string{"https://rp.example/bye"},
	})
	visitor := signedIn(client, "alice")
	tokens := client.Redeem(visitor.Code(client.AuthorizeURL(), "alice"))
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(send(t, house, request{address: "/.well-known/jwks.json"}).Body), &set); err != nil {
		t.Fatal(err)
	}
	strange, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}

	forge := func(token string) map[string]string {
		parts := strings.Split(token, ".")
		decode := func(part string) string {
			decoded, err := base64.RawURLEncoding.DecodeString(part)
			if err != nil {
				t.Fatal(err)
			}
			return string(decoded)
		}
		header, payload := decode(parts[0]), decode(parts[1])
		with := func(member string) string { return strings.Replace(header, "{", "{"+member+",", 1) }
		forged := map[string]string{
			"signed by another":               handmade(header, payload, rs256(t, strange)),
			"signed by another of its own":    handmade(with(`"jwk":{"kty":"RSA","e":"AQAB","n":"`+base64url(strange.N.Bytes())+`"}`), payload, rs256(t, strange)),
			"with another's claims":           parts[0] + "." + base64url([]byte(strings.Replace(payload, `"sub":"`, `"sub":"0`, 1))) + "." + parts[2],
			"with a claim more":               parts[0] + "." + base64url([]byte(strings.Replace(payload, "{", `{"sub":"x",`, 1))) + "." + parts[2],
			"with a header more":              base64url([]byte(with(`"x":1`))) + "." + parts[1] + "." + parts[2],
			"with half a signature":           parts[0] + "." + parts[1] + "." + parts[2][:len(parts[2])/2],
			"without its signature":           parts[0] + "." + parts[1] + ".",
			"without the dot":                 parts[0] + "." + parts[1],
			"with padding":                    token + "=",
			"twice":                           token + "." + token,
			"five parts":                      token + ".AAAA.AAAA",
			"dots":                            strings.Repeat(".", 2000),
			"a signature of nothing":          parts[0] + "." + parts[1] + ".AAAA",
			"under a kid that is none":        handmade(strings.Replace(header, `"kid":"`, `"kid":"x`, 1), payload, rs256(t, strange)),
			"under a kid that is SQL":         handmade(strings.Replace(header, `"kid":"`, `"kid":"' OR '1'='1`, 1), payload, rs256(t, strange)),
			"by nobody, under no algorithm":   handmade(strings.Replace(header, "RS256", "none", 1), payload, constant()),
			"by nobody, as it was":            base64url([]byte(strings.Replace(header, "RS256", "none", 1))) + "." + parts[1] + "." + parts[2],
			"under an algorithm that is none": handmade(strings.Replace(header, "RS256", "RS1", 1), payload, rs256(t, strange)),
		}
		for _, key := range set.Keys {
			jwk, err := key.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			for form, secret := range publicForms(t, key.Key, jwk) {
				forged["under the public key of "+key.Algorithm+" as "+form] = handmade(strings.Replace(header, "RS256", "HS256", 1), payload, hs256(secret))
			}
		}
		return forged
	}
	cookies := visitor.Cookies(house.URL)
	for name, forged := range forge(tokens.Text("id_token")) {
		answer := send(t, house, request{address: client.AuthorizeURL("prompt", "none", "id_token_hint", forged), cookies: cookies})
		if carried := sentOn(t, name, answer, client.Redirect); carried.Get("error") != "invalid_request" || carried.Has("code") {
			t.Errorf("a hint %s: %v", name, carried)
		}
		form := fields("id_token_hint", forged, "post_logout_redirect_uri", "https://rp.example/bye", "client_id", client.ID)
		wantPage(t, "logout with a hint "+name, send(t, house, request{address: "/oauth2/logout?" + form.Encode(), cookies: cookies}), 400)
	}
	for name, forged := range forge(tokens.Text("access_token")) {
		answer := send(t, house, request{address: "/oauth2/userinfo", header: []string{"Authorization", "Bearer " + forged}})
		wantError(t, "an access token "+name, answer, 401, "invalid_token")
		wantInactive(t, "an access token "+name, client.Post("/oauth2/introspect", "token", forged))
	}
	answer := send(t, house, request{address: client.AuthorizeURL("prompt", "none", "id_token_hint", tokens.Text("id_token")), cookies: cookies})
	if sentOn(t, "the right hint", answer, client.Redirect).Get("code") == "" || !client.Active(tokens.Text("access_token")) {
		t.Error("the right ones are refused, or somebody was signed out")
	}
}

// S-108: a sealed key opens in its own row only. Copied into another, nothing is signed with it, and nobody is told more than
// that something is wrong; put back, all is well.
func TestASealedKeyThatWasCopiedSignsNothing(t *testing.T) {
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		var log logBook
		house := servertest.Start(t, servertest.Options{DatabaseURL: databaseURL, Log: &log})
		one, two := house.In("default"), house.Organization("two")
		for _, org := range []struct{ from, to string }{{house.Issuer(one), house.Issuer(two)}, {house.Issuer(two), house.Issuer(two)}} {
			ctx := two
			client := house.Client(ctx, manage.ClientSpec{GrantTypes: []string{"client_credentials"}, AccessTokenFormat: "jwt"})
			token := func() *servertest.Answer { return client.Token("grant_type", "client_credentials") }
			if answer := token(); answer.Status != 200 {
				t.Fatalf("%d %s", answer.Status, answer.Body)
			}
			victim, source := keyOf(t, house, two, "RS256"), keyOf(t, house, one, "RS256")
			if org.from == org.to {
				source = keyOf(t, house, two, "ES256")
			}
			change(t, house, `UPDATE signing_keys SET private_jwk = (SELECT private_jwk FROM signing_keys WHERE kid = $1) WHERE kid = $2`, source.KID, victim.KID)
			var answer *servertest.Answer
			if !within(t.Context(), 5*time.Second, func() bool { answer = token(); return answer.Status != 200 }) {
				t.Fatalf("a copied key signs: %s", answer.Body)
			}
			wantError(t, "a copied key", answer, 500, "server_error")
			if strings.Contains(answer.Body, victim.ID) || strings.Contains(strings.ToLower(answer.Body), "seal") {
				t.Errorf("the client is told %s", answer.Body)
			}
			if !strings.Contains(string(log.bytes()), victim.ID) {
				t.Error("the log does not name the row")
			}
			restore(t, house, victim)
			if !within(t.Context(), 5*time.Second, func() bool { answer = token(); return answer.Status == 200 }) {
				t.Errorf("put back: %d %s", answer.Status, answer.Body)
			}
		}
	})
}

// keyRow is a signing key as it stands in its row.
type keyRow struct {
	ID, KID string
	sealed  []byte
}

func keyOf(t *testing.T, house *servertest.House, ctx context.Context, alg string) keyRow {
	t.Helper()
	org, err := tenant.From(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var row keyRow
	err = house.SQL().QueryRowContext(t.Context(), `SELECT k.id, k.kid, k.private_jwk FROM signing_keys k JOIN organizations o ON o.id = k.org_id
		WHERE o.slug = $1 AND k.alg = $2`, org.Slug, alg).Scan(&row.ID, &row.KID, &row.sealed)
	if err != nil {
		t.Fatal(err)
	}
	return row
}

func restore(t *testing.T, house *servertest.House, row keyRow) {
	t.Helper()
	change(t, house, `UPDATE signing_keys SET private_jwk = $1 WHERE kid = $2`, row.sealed, row.KID)
}

// S-109: a process with another master key does not start, and has touched nothing.
func TestAnotherMasterKeyOpensNothingAndTouchesNothing(t *testing.T) {
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := servertest.Start(t, servertest.Options{DatabaseURL: databaseURL})
		org := house.In("default")
		house.User(org, "alice")
		client := house.Client(org, manage.ClientSpec{})
		client.Tokens("alice", "openid offline_access")
		before := dump(t, house.SQL())

		cfg := *house.Cfg
		cfg.MasterKey, cfg.DataDir = secret.Text(seal.NewKey()), t.TempDir()
		for range 2 {
			wrong, err := server.Boot(t.Context(), &cfg, slog.New(slog.DiscardHandler))
			if err == nil {
				wrong.Close()
			}
			if !errors.Is(err, storage.ErrWrongMasterKey) {
				t.Fatalf("%v", err)
			}
			if strings.Contains(err.Error(), cfg.MasterKey.Reveal()) {
				t.Error("the error holds the key")
			}
		}
		if after := dump(t, house.SQL()); !slices.Equal(after, before) {
			t.Error("the database was touched")
		}
		if answer := client.Tokens("alice", "openid"); answer.Status != 200 {
			t.Errorf("%d %s", answer.Status, answer.Body)
		}
	})
}

// dump is every row of every table, save for the book-keeping of migrations, whose lock is taken at each start.
func dump(t *testing.T, db *sql.DB) (all []string) {
	t.Helper()
	tables := `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'goose%' AND name NOT LIKE 'sqlite%'`
	if strings.Contains(fmt.Sprintf("%T", db.Driver()), "stdlib") {
		tables = `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_name NOT LIKE 'goose%'`
	}
	for _, table := range column(t, db, tables) {
		found, err := db.QueryContext(t.Context(), "SELECT * FROM "+table)
		if err != nil {
			t.Fatal(err)
		}
		names, err := found.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for found.Next() {
			values, into := make([]any, len(names)), make([]any, len(names))
			for i := range values {
				into[i] = &values[i]
			}
			if err := found.Scan(into...); err != nil {
				t.Fatal(err)
			}
			all = append(all, fmt.Sprint(table, values))
		}
		if err := errors.Join(found.Err(), found.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if len(all) < 10 {
		t.Fatalf("%d rows were looked at", len(all))
	}
	slices.Sort(all)
	return all
}

// S-113: a key that was revoked signs and verifies nothing any more, at both replicas within seconds.
func TestARevokedKeyIsGoneAtEveryReplica(t *testing.T) {
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		replicas := twoReplicas(t, databaseURL, 0)
		house := replicas[0]
		org := house.In("default")
		house.User(org, "alice")
		client := house.Client(org, manage.ClientSpec{SkipConsent: true})
		visitor := signedIn(client, "alice")
		hint := client.Redeem(visitor.Code(client.AuthorizeURL(), "alice")).Text("id_token")
		kid := keyOf(t, house, org, "RS256").KID
		ask := func(replica *servertest.House) string {
			address := "/oauth2/authorize?" + strings.SplitN(client.AuthorizeURL("prompt", "none", "id_token_hint", hint), "?", 2)[1]
			answer := send(t, replica, request{address: address, cookies: visitor.Cookies(house.URL)})
			return sentOn(t, "a hint", answer, client.Redirect).Get("error")
		}
		for _, replica := range replicas {
			if said := ask(replica); said != "" {
				t.Fatalf("before: %s", said)
			}
		}
		if err := house.Operators.RevokeKey(org, kid); err != nil {
			t.Fatal(err)
		}
		for i, replica := range replicas {
			if !within(t.Context(), 5*time.Second, func() bool {
				return !strings.Contains(send(t, replica, request{address: "/.well-known/jwks.json"}).Body, kid)
			}) {
				t.Errorf("replica %d still publishes it", i+1)
			}
			if said := ask(replica); said != "invalid_request" {
				t.Errorf("replica %d takes a hint that it signed: %q", i+1, said)
			}
			next := client.TokenAt(replica, "grant_type", "authorization_code", "code", visitor.Code(client.AuthorizeURL(), "alice"),
				"redirect_uri", client.Redirect, "code_verifier", servertest.Verifier)
			header, _, _ := strings.Cut(next.Text("id_token"), ".")
			decoded, err := base64.RawURLEncoding.DecodeString(header)
			if err != nil || next.Status != 200 || strings.Contains(string(decoded), kid) {
				t.Errorf("replica %d signs with %s: %d %v", i+1, decoded, next.Status, err)
			}
		}
	})
}
