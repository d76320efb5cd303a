package keys_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/outbound"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage"
)

// party is a client with keys of its own.
type party struct {
	client *storage.Client
	keys   map[string]crypto.Signer
}

func newParty(t testing.TB, clientID string) *party {
	t.Helper()
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	es, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	p := &party{keys: map[string]crypto.Signer{"RS256": rs, "PS256": rs, "ES256": es, "EdDSA": ed}}
	jwks := p.jwks(t)
	p.client = &storage.Client{ID: uuid.New(), ClientID: clientID, JWKS: &jwks, AuthMethod: "private_key_jwt"}
	return p
}

// jwks is the party's public keys, the kid of each being its algorithm (RS256 for both of RSA's).
func (p *party) jwks(t testing.TB) string {
	t.Helper()
	var set jose.JSONWebKeySet
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: p.keys[alg].Public(), KeyID: strings.Replace(alg, "PS", "RS", 1)})
	}
	body, err := json.Marshal(set)
	must(t, err)
	return string(body)
}

// sign makes an assertion with whatever claims and header.
func (p *party) sign(t testing.TB, alg string, header map[string]any, claims map[string]any) string {
	t.Helper()
	return signWith(t, alg, p.keys[alg], header, claims)
}

func signWith(t testing.TB, alg string, key any, header map[string]any, claims map[string]any) string {
	t.Helper()
	options := &jose.SignerOptions{}
	for name, value := range header {
		options.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: key}, options)
	must(t, err)
	payload, err := json.Marshal(claims)
	must(t, err)
	signed, err := signer.Sign(payload)
	must(t, err)
	text, err := signed.CompactSerialize()
	must(t, err)
	return text
}

// claims are those of a good assertion, but for the changes. A nil takes one out.
func (p *party) claims(ctx context.Context, changes map[string]any) map[string]any {
	org, _ := tenant.From(ctx)
	now := time.Now()
	claims := map[string]any{
		"iss": p.client.ClientID, "sub": p.client.ClientID, "aud": org.Issuer, "jti": uuid.NewString(), "iat": now.Unix(), "exp": now.Add(4 * time.Minute).Unix(),
	}
	for name, value := range changes {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	return claims
}

func issuerOf(ctx context.Context) string {
	org, _ := tenant.From(ctx)
	return org.Issuer
}

func TestAClientProvesItselfByEveryAlgorithmThatIsAccepted(t *testing.T) {
	eachDB(t, func(t *testing.T, db, _ *storage.DB) {
		ctx := organization(t, db, "acme")
		p := newParty(t, "c1")
		v := keys.NewAssertionVerifier(db, keys.NewClientKeys(outbound.New(outbound.Options{})))
		now := time.Now()
		for _, alg := range keys.ClientAlgorithms() {
			for name, header := range map[string]map[string]any{
				"no kid":                     nil,
				"its kid":                    {"kid": strings.Replace(alg, "PS", "RS", 1)},
				"typ JWT":                    {"typ": "JWT"},
				"typ jwt":                    {"typ": "jwt"},
				"the type of its own":        {"typ": "client-authentication+jwt"},
				"a thumbprint, as some send": {"x5t": "AAAA"},
			} {
				if err := v.Verify(ctx, p.client, p.sign(t, alg, header, p.claims(ctx, nil)), issuerOf(ctx)); err != nil {
					t.Errorf("%s, %s: %v", alg, name, err)
				}
			}
		}
		// S-102, conformance: clocks differ.
		for name, changes := range map[string]map[string]any{
			"nbf 8 s ahead":      {"nbf": now.Unix() + 8},
			"iat 8 s ahead":      {"iat": now.Unix() + 8},
			"ended 8 s ago":      {"exp": now.Unix() - 8},
			"ends in 5 minutes":  {"exp": now.Unix() + 300},
			"issued 5 m ago":     {"iat": now.Unix() - 300},
			"claims of no use":   {"x": map[string]any{"y": 1}},
			"the longest jti":    {"jti": strings.Repeat("j", 256)},
			"nbf long ago":       {"nbf": 1},
			"a jti that is text": {"jti": "'; DROP TABLE oauth_jtis; --"},
		} {
			if err := v.Verify(ctx, p.client, p.sign(t, "ES256", nil, p.claims(ctx, changes)), issuerOf(ctx)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// S-092, S-094, S-101, S-102, S-122, S-124, S-125, S-126.
func TestAnAssertionThatIsNotRightIsRefusedAndCanBeMended(t *testing.T) {
	eachDB(t, func(t *testing.T, db, _ *storage.DB) {
		ctx := organization(t, db, "acme")
		issuer := issuerOf(ctx)
		p, stranger := newParty(t, "c1"), newParty(t, "c2")
		var asked atomic.Int64
		evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
		defer evil.Close()
		v := keys.NewAssertionVerifier(db, keys.NewClientKeys(outbound.New(outbound.Options{AllowLoopback: true})))
		now := time.Now().Unix()

		claims := map[string]map[string]any{
			"aud is the token endpoint":       {"aud": issuer + "/oauth2/token"},
			"aud is another's token endpoint": {"aud": "https://evil.example/oauth2/token"},
			"aud is an array of both":         {"aud": []string{issuer, issuer + "/oauth2/token"}},
			"aud is the PAR endpoint":         {"aud": issuer + "/oauth2/par"},
			"aud is an array of one":          {"aud": []string{issuer}},
			"aud is an array of two":          {"aud": []string{issuer, "https://evil.example"}},
			"aud has a slash more":            {"aud": issuer + "/"},
			"aud is in other case":            {"aud": strings.ToUpper(issuer)},
			"aud is another tenant":           {"aud": "https://id.example/o/other"},
			"aud is the parent":               {"aud": "https://id.example"},
			"no aud":                          {"aud": nil},
			"aud is empty":                    {"aud": ""},
			"aud is a number":                 {"aud": 1},
			"AUD besides":                     {"AUD": "x"},
			"no exp":                          {"exp": nil},
			"exp in ten years":                {"exp": now + 10*365*24*3600},
			"exp in 6 minutes":                {"exp": now + 360},
			"exp was 11 s ago":                {"exp": now - 11},
			"exp is a fraction":               {"exp": float64(now) + 60.5},
			"exp is a text":                   {"exp": fmt.Sprint(now + 60)},
			"exp is negative":                 {"exp": -1},
			"exp is 1e300":                    {"exp": 1e300},
			"exp is null":                     {"exp": json.RawMessage("null")},
			"nbf 61 s ahead":                  {"nbf": now + 61},
			"nbf is a text":                   {"nbf": "0"},
			"iat 61 s ahead":                  {"iat": now + 61},
			"iat a year ago":                  {"iat": now - 365*24*3600},
			"iat 6 minutes ago":               {"iat": now - 360},
			"no iat":                          {"iat": nil},
			"no jti":                          {"jti": nil},
			"an empty jti":                    {"jti": ""},
			"a jti that is a number":          {"jti": 7},
			"a jti without end":               {"jti": strings.Repeat("j", 257)},
			"no iss":                          {"iss": nil},
			"no sub":                          {"sub": nil},
			"iss is another":                  {"iss": "c2"},
			"sub is another":                  {"sub": "c2"},
			"iss and sub are another":         {"iss": "c2", "sub": "c2"},
			"sub is an array":                 {"sub": []string{"c1"}},
			"sub is the client, in capitals":  {"sub": "C1", "iss": "C1"},
		}
		// Whichever of the two methods it is of.
		const secret = "a secret of more than thirty-two characters"
		sealed := &storage.Client{ID: uuid.New(), ClientID: "c1", AuthMethod: "client_secret_jwt"}
		must(t, db.SealClientSecrets(ctx, sealed, secret))
		byKey := func(claims map[string]any) string { return p.sign(t, "ES256", nil, claims) }
		bySecret := func(claims map[string]any) string { return signWith(t, "HS256", []byte(secret), nil, claims) }
		for name, changes := range claims {
			for client, sign := range map[*storage.Client]func(map[string]any) string{p.client: byKey, sealed: bySecret} {
				jti, changed := uuid.NewString(), maps.Clone(changes)
				if _, named := changed["jti"]; !named {
					changed["jti"] = jti
				}
				if err := v.Verify(ctx, client, sign(p.claims(ctx, changed)), issuer); !errors.Is(err, keys.ErrToken) {
					t.Errorf("%s, %s: %v", name, client.AuthMethod, err)
				}
				// The refusal has not burnt the jti.
				if err := v.Verify(ctx, client, sign(p.claims(ctx, map[string]any{"jti": jti})), issuer); err != nil {
					t.Errorf("%s, %s, mended: %v", name, client.AuthMethod, err)
				}
			}
		}

		p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		must(t, err)
		good := p.claims(ctx, nil)
		for name, assertion := range map[string]string{
			"a stranger's key":             stranger.sign(t, "ES256", nil, good),
			"a stranger's key and our kid": stranger.sign(t, "ES256", map[string]any{"kid": "ES256"}, good),
			"a kid that is not there":      p.sign(t, "ES256", map[string]any{"kid": "nope"}, good),
			"the kid of another type":      p.sign(t, "ES256", map[string]any{"kid": "RS256"}, good),
			"RS384":                        signWith(t, "RS384", p.keys["RS256"], nil, good),
			"PS512":                        signWith(t, "PS512", p.keys["RS256"], nil, good),
			"ES384":                        signWith(t, "ES384", p384, nil, good),
			"HS256 with the JWKS":          signWith(t, "HS256", []byte(p.jwks(t)), nil, good),
			"an access token's type":       p.sign(t, "ES256", map[string]any{"typ": "at+jwt"}, good),
			"a DPoP proof's type":          p.sign(t, "ES256", map[string]any{"typ": "dpop+jwt"}, good),
			"the key embedded":             stranger.sign(t, "ES256", map[string]any{"jwk": jose.JSONWebKey{Key: stranger.keys["ES256"].Public()}}, good),
			"the key's address":            stranger.sign(t, "ES256", map[string]any{"jku": evil.URL}, good),
			"a certificate's address":      stranger.sign(t, "ES256", map[string]any{"x5u": evil.URL}, good),
			"nothing":                      "",
			"no JWT":                       "c1:secret",
			"a MiB of dots":                strings.Repeat(".", 1<<20),
		} {
			if err := v.Verify(ctx, p.client, assertion, issuer); !errors.Is(err, keys.ErrToken) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if asked.Load() != 0 {
			t.Error("an address from a header was asked")
		}
		if err := v.Verify(ctx, p.client, p.sign(t, "ES256", nil, good), issuer); err != nil {
			t.Errorf("the good one, after all that: %v", err)
		}

		bare := *p.client
		bare.JWKS = nil
		if err := v.Verify(ctx, &bare, p.sign(t, "ES256", nil, p.claims(ctx, nil)), issuer); !errors.Is(err, keys.ErrToken) {
			t.Errorf("a client without keys: %v", err)
		}
		if err := v.Verify(ctx, p.client, p.sign(t, "ES256", nil, p.claims(ctx, map[string]any{"aud": ""})), ""); !errors.Is(err, keys.ErrToken) {
			t.Errorf("no issuer: %v", err)
		}
		one := *p.client
		one.Metadata = map[string]any{"token_endpoint_auth_signing_alg": "EdDSA"}
		if err := v.Verify(ctx, &one, p.sign(t, "ES256", nil, p.claims(ctx, nil)), issuer); !errors.Is(err, keys.ErrToken) {
			t.Errorf("another algorithm than was registered: %v", err)
		}
		if err := v.Verify(ctx, &one, p.sign(t, "EdDSA", nil, p.claims(ctx, nil)), issuer); err != nil {
			t.Errorf("the registered algorithm: %v", err)
		}
	})
}

// S-092: a secret is one, and a key is one, as the client is registered and not as a header says.
func TestAClientProvesItselfByTheSecretThatItIsRegisteredWith(t *testing.T) {
	eachDB(t, func(t *testing.T, db, _ *storage.DB) {
		ctx := organization(t, db, "acme")
		issuer, p := issuerOf(ctx), newParty(t, "c1")
		v := keys.NewAssertionVerifier(db, keys.NewClientKeys(outbound.New(outbound.Options{})))
		const current, before, given = "the current secret of more than thirty-two characters", "the secret before, of more than thirty-two characters", "client_secret_jwt"
		later, passed := time.Now().Add(time.Hour), time.Now().Add(-time.Second)
		client := func(changes func(*storage.Client), secrets ...secret.Text) *storage.Client {
			c := &storage.Client{ID: uuid.New(), ClientID: "c1", AuthMethod: given, JWKS: p.client.JWKS}
			must(t, db.SealClientSecrets(ctx, c, secrets...))
			if changes != nil {
				changes(c)
			}
			return c
		}
		plain := client(nil, current)
		digest := secret.Digest(current)
		by := func(alg, key string) string {
			payload, err := json.Marshal(p.claims(ctx, nil))
			must(t, err)
			input := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"`+alg+`"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload)
			mac := hmac.New(map[string]func() hash.Hash{"HS256": sha256.New, "HS384": sha512.New384, "HS512": sha512.New}[alg], []byte(key))
			mac.Write([]byte(input))
			return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
		}
		parts := strings.Split(by("HS256", current), ".")
		twice := by("HS256", current)
		for _, c := range []struct {
			name      string
			client    *storage.Client
			assertion string
			good      bool
		}{
			{"its secret", plain, by("HS256", current), true},
			{"its secret, once", plain, twice, true},
			{"its secret, the same again", plain, twice, false},
			{"as it was registered", client(func(c *storage.Client) { c.Metadata = map[string]any{"token_endpoint_auth_signing_alg": "HS256"} }, current), by("HS256", current), true},
			{"the new one while both are good", client(func(c *storage.Client) { c.SecretOldExpiresAt = &later }, current, before), by("HS256", current), true},
			{"the old one while both are good", client(func(c *storage.Client) { c.SecretOldExpiresAt = &later }, current, before), by("HS256", before), true},
			{"the old one when it has ended", client(func(c *storage.Client) { c.SecretOldExpiresAt = &passed }, current, before), by("HS256", before), false},
			{"the old one without an end", client(nil, current, before), by("HS256", before), false},
			{"another secret", plain, by("HS256", before), false},
			{"the digest of it", plain, by("HS256", digest), false},
			{"an empty secret", plain, by("HS256", ""), false},
			{"nothing, where nothing is kept", client(func(c *storage.Client) { c.SecretDigest = &digest }), by("HS256", digest), false},
			{"its public keys", plain, by("HS256", *p.client.JWKS), false},
			{"its secret by HS384", plain, by("HS384", current), false},
			{"its secret by HS512", plain, by("HS512", current), false},
			{"no signature", plain, parts[0] + "." + parts[1] + ".", false},
			{"half a signature", plain, parts[0] + "." + parts[1] + "." + parts[2][:22], false},
			{"by nobody", plain, base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + "." + parts[2], false},
			{"its key", plain, p.sign(t, "ES256", nil, p.claims(ctx, nil)), false},
			{"its key of RSA", plain, p.sign(t, "RS256", nil, p.claims(ctx, nil)), false},
			{"a secret where a key is registered", client(func(c *storage.Client) { c.AuthMethod = "private_key_jwt" }, current), by("HS256", current), false},
			{"a secret where it is to be shown", client(func(c *storage.Client) { c.AuthMethod = "client_secret_basic" }, current), by("HS256", current), false},
		} {
			if err := v.Verify(ctx, c.client, c.assertion, issuer); (err == nil) != c.good || err != nil && !errors.Is(err, keys.ErrToken) {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		if keys.AssertionSubject(by("HS256", current)) != "c1" {
			t.Error("an assertion does not say whose it is")
		}
		// S-108: sealed secrets that were carried to another row open nowhere. That is a fault of ours, and no client's.
		copied := *plain
		copied.ID = uuid.New()
		if err := v.Verify(ctx, &copied, by("HS256", current), issuer); err == nil || errors.Is(err, keys.ErrToken) {
			t.Errorf("secrets of another row: %v", err)
		}
	})
}

func TestAnAssertionIsGoodOnceForItsClientAndOrganization(t *testing.T) {
	eachDB(t, func(t *testing.T, db, other *storage.DB) {
		one, two := organization(t, db, "one"), organization(t, db, "two")
		p, q := newParty(t, "c1"), newParty(t, "c2")
		verifiers := []*keys.AssertionVerifier{
			keys.NewAssertionVerifier(db, keys.NewClientKeys(outbound.New(outbound.Options{}))),
			keys.NewAssertionVerifier(other, keys.NewClientKeys(outbound.New(outbound.Options{}))),
		}
		jti := map[string]any{"jti": "the same for all"}
		assertion := p.sign(t, "ES256", nil, p.claims(one, jti))
		const racers = 16
		var racing sync.WaitGroup
		var won, lost atomic.Int64
		for i := range racers {
			racing.Go(func() {
				switch err := verifiers[i%2].Verify(one, p.client, assertion, issuerOf(one)); {
				case err == nil:
					won.Add(1)
				case errors.Is(err, keys.ErrToken):
					lost.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		racing.Wait()
		if won.Load() != 1 || lost.Load() != racers-1 {
			t.Errorf("%d won, %d lost", won.Load(), lost.Load())
		}
		if err := verifiers[0].Verify(one, q.client, q.sign(t, "ES256", nil, q.claims(one, jti)), issuerOf(one)); err != nil {
			t.Errorf("another client's jti is in the way: %v", err)
		}
		if err := verifiers[0].Verify(two, p.client, p.sign(t, "ES256", nil, p.claims(two, jti)), issuerOf(two)); err != nil {
			t.Errorf("another organization's jti is in the way: %v", err)
		}
		if err := verifiers[0].Verify(two, p.client, p.sign(t, "ES256", nil, p.claims(one, nil)), issuerOf(two)); !errors.Is(err, keys.ErrToken) {
			t.Errorf("an assertion for one organization passes at another: %v", err)
		}
		must(t, db.Close())
		err := verifiers[0].Verify(one, p.client, p.sign(t, "ES256", nil, p.claims(one, nil)), issuerOf(one))
		if err == nil || errors.Is(err, keys.ErrToken) {
			t.Errorf("a database that is away passes for a refusal: %v", err)
		}
	})
}

func TestTheKeysOfAClientAreFetchedFromWhereItSays(t *testing.T) {
	eachDB(t, func(t *testing.T, db, _ *storage.DB) {
		ctx := organization(t, db, "acme")
		p := newParty(t, "c1")
		jwks := p.jwks(t)
		var asked atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			switch r.URL.Path {
			case "/jwks":
				fmt.Fprint(w, jwks)
			case "/private":
				fmt.Fprint(w, `{"keys":[{"kty":"EC","d":"AA"}]}`)
			case "/html":
				fmt.Fprint(w, `<html>`)
			case "/long":
				w.Write(make([]byte, 1<<20))
			case "/redirect":
				http.Redirect(w, r, "/jwks", http.StatusFound)
			default:
				http.NotFound(w, r)
			}
		}))
		defer server.Close()
		v := keys.NewAssertionVerifier(db, keys.NewClientKeys(outbound.New(outbound.Options{AllowLoopback: true})))
		at := func(path string) *storage.Client {
			uri := server.URL + path
			return &storage.Client{ID: uuid.New(), ClientID: "c1", JWKSURI: &uri}
		}
		for _, path := range []string{"/private", "/html", "/long", "/redirect", "/nothing"} {
			asked.Store(0)
			client := at(path)
			for range 5 {
				if err := v.Verify(ctx, client, p.sign(t, "ES256", nil, p.claims(ctx, nil)), issuerOf(ctx)); !errors.Is(err, keys.ErrToken) {
					t.Errorf("%s: %v", path, err)
				}
			}
			if asked.Load() != 1 {
				t.Errorf("%s: asked %d times", path, asked.Load())
			}
		}

		// S-096: a thousand assertions with a kid of their own each, and at once.
		asked.Store(0)
		client := at("/jwks")
		var flood sync.WaitGroup
		for i := range 10 {
			flood.Go(func() {
				for n := range 100 {
					assertion := p.sign(t, "EdDSA", map[string]any{"kid": fmt.Sprint(i, n)}, p.claims(ctx, nil))
					if err := v.Verify(ctx, client, assertion, issuerOf(ctx)); !errors.Is(err, keys.ErrToken) {
						t.Error(err)
					}
				}
			})
		}
		flood.Wait()
		for _, alg := range keys.ClientAlgorithms() {
			header := map[string]any{"kid": strings.Replace(alg, "PS", "RS", 1)}
			if err := v.Verify(ctx, client, p.sign(t, alg, header, p.claims(ctx, nil)), issuerOf(ctx)); err != nil {
				t.Errorf("%s: %v", alg, err)
			}
		}
		if asked.Load() != 1 {
			t.Errorf("asked %d times", asked.Load())
		}
		// A claim that is wrong is told without asking anybody.
		asked.Store(0)
		wrong := p.sign(t, "ES256", nil, p.claims(ctx, map[string]any{"aud": "x"}))
		if err := v.Verify(ctx, at("/jwks"), wrong, issuerOf(ctx)); !errors.Is(err, keys.ErrToken) || asked.Load() != 0 {
			t.Errorf("asked %d times: %v", asked.Load(), err)
		}
		// S-128: outside development nothing of this machine is asked.
		guarded := keys.NewAssertionVerifier(db, keys.NewClientKeys(outbound.New(outbound.Options{})))
		err := guarded.Verify(ctx, at("/jwks"), p.sign(t, "ES256", nil, p.claims(ctx, nil)), issuerOf(ctx))
		if !errors.Is(err, keys.ErrToken) || asked.Load() != 0 || outbound.Cause(err) == nil || strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("asked %d times: %v", asked.Load(), err)
		}
	})
}

func TestAnAssertionNamesItsClientWithoutProvingAnything(t *testing.T) {
	p := newParty(t, "c1")
	if got := keys.AssertionSubject(p.sign(t, "ES256", nil, map[string]any{"sub": "c1"})); got != "c1" {
		t.Errorf("%q", got)
	}
	for _, text := range []string{"", "x", "a.b.c", strings.Repeat(".", 1<<20), p.sign(t, "ES256", nil, map[string]any{"sub": []string{"c1"}}), p.sign(t, "ES256", nil, nil)} {
		if got := keys.AssertionSubject(text); got != "" {
			t.Errorf("%.20q names %q", text, got)
		}
	}
}

func BenchmarkAssertion(b *testing.B) {
	benchDB(b, func(b *testing.B, db *storage.DB) {
		ctx := organization(b, db, "acme")
		p := newParty(b, "c1")
		v := keys.NewAssertionVerifier(db, keys.NewClientKeys(outbound.New(outbound.Options{})))
		for b.Loop() {
			b.StopTimer()
			assertion := p.sign(b, "ES256", nil, p.claims(ctx, nil))
			b.StartTimer()
			if err := v.Verify(ctx, p.client, assertion, issuerOf(ctx)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
