package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/storage"
)

var b64 = base64.RawURLEncoding

// token writes a JWS with any header, and whatever signature its maker thinks of.
func token(header, payload string, sign func(input []byte) []byte) string {
	input := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(payload))
	return input + "." + b64.EncodeToString(sign([]byte(input)))
}

func mustGenerate(t testing.TB, alg string) *material {
	t.Helper()
	m, err := generate(alg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *material) mustSign(t testing.TB) func([]byte) []byte {
	return func(input []byte) []byte {
		signature, err := m.sign(input)
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}
}

// verifies is an independent judge: the standard library alone, without go-jose and without a line of the package.
func verifies(public crypto.PublicKey, text string) bool {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return false
	}
	var header struct {
		Alg string `json:"alg"`
	}
	rawHeader, err := b64.DecodeString(parts[0])
	if err != nil || json.Unmarshal(rawHeader, &header) != nil {
		return false
	}
	signature, err := b64.DecodeString(parts[2])
	if err != nil {
		return false
	}
	input := []byte(parts[0] + "." + parts[1])
	digest := sha256.Sum256(input)
	switch key := public.(type) {
	case *rsa.PublicKey:
		switch header.Alg {
		case "RS256":
			return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) == nil
		case "PS256":
			return rsa.VerifyPSS(key, crypto.SHA256, digest[:], signature, nil) == nil
		}
	case *ecdsa.PublicKey:
		if header.Alg == "ES256" && key.Curve == elliptic.P256() && len(signature) == 64 {
			return ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
		}
	case ed25519.PublicKey:
		return header.Alg == "EdDSA" && ed25519.Verify(key, input, signature)
	}
	return false
}

func TestWhatIsSignedVerifiesElsewhere(t *testing.T) {
	for _, alg := range Algorithms() {
		m := mustGenerate(t, alg)
		for range 20 { // a lower and a higher s are as likely
			text, err := m.compact("at+jwt", []byte(`{"sub":"x"}`))
			if err != nil {
				t.Fatal(err)
			}
			if !verifies(m.public, text) {
				t.Fatalf("%s: %s does not verify", alg, text)
			}
			parsed, err := parseCompact(text, Algorithms())
			if err != nil || parsed.kid != m.kid || parsed.typ != "at+jwt" || parsed.alg != alg || !parsed.lowest(m.public) {
				t.Fatalf("%s: %+v, %v", alg, parsed, err)
			}
			if payload, err := parsed.verify(m.public); err != nil || string(payload) != `{"sub":"x"}` {
				t.Fatalf("%s: %s, %v", alg, payload, err)
			}
		}
	}
}

func TestAStoredKeyIsTheKeyThatWasMade(t *testing.T) {
	for _, alg := range Algorithms() {
		m := mustGenerate(t, alg)
		private, err := m.privateJWK()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseMaterial(m.kid, alg, private)
		if err != nil || string(again.jwk) != string(m.jwk) {
			t.Fatalf("%s: %v", alg, err)
		}
		if _, err := parseMaterial("another", alg, private); err == nil {
			t.Errorf("%s: a key passes under another's kid", alg)
		}
		if _, err := parseMaterial(m.kid, alg, m.jwk); err == nil {
			t.Errorf("%s: a public key passes for a private one", alg)
		}
		for _, other := range append(Algorithms(), "HS256", "none", "") {
			if _, err := parseMaterial(m.kid, other, private); err == nil && other != alg {
				t.Errorf("a key for %s passes for %s", alg, other)
			}
		}
	}
}

func TestAKeyIsPublishedWithoutItsPrivatePart(t *testing.T) {
	allowed := map[string][]string{
		RS256: {"use", "kty", "kid", "alg", "n", "e"}, ES256: {"use", "kty", "kid", "crv", "alg", "x", "y"}, EdDSA: {"use", "kty", "kid", "crv", "alg", "x"},
	}
	allowed[PS256] = allowed[RS256]
	for _, alg := range Algorithms() {
		m := mustGenerate(t, alg)
		var members map[string]string
		if err := json.Unmarshal(m.jwk, &members); err != nil {
			t.Fatal(err)
		}
		for name, value := range members {
			if !slices.Contains(allowed[alg], name) || value == "" {
				t.Errorf("%s: %s = %q is published", alg, name, value)
			}
		}
		if members["use"] != "sig" || members["alg"] != alg || len(members["kid"]) != 43 || len(members) != len(allowed[alg]) {
			t.Errorf("%s: %v", alg, members)
		}
	}
}

// S-092 to S-100: everything that has been tried on readers of JWS.
func TestATokenThatIsNotWhatItSaysIsRefused(t *testing.T) {
	rs, es, ed := mustGenerate(t, RS256), mustGenerate(t, ES256), mustGenerate(t, EdDSA)
	spki, err := x509.MarshalPKIXPublicKey(rs.public)
	if err != nil {
		t.Fatal(err)
	}
	mac := func(secret []byte) func([]byte) []byte {
		return func(input []byte) []byte {
			h := hmac.New(sha256.New, secret)
			h.Write(input)
			return h.Sum(nil)
		}
	}
	fixed := func(signature []byte) func([]byte) []byte { return func([]byte) []byte { return signature } }
	order := elliptic.P256().Params().N
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := token(`{"alg":"ES256"}`, `{}`, es.mustSign(t))
	parts := strings.Split(good, ".")
	cases := []struct {
		name   string
		public crypto.PublicKey
		text   string
	}{
		{"HS256 with the public JWK", rs.public, token(`{"alg":"HS256"}`, `{}`, mac(rs.jwk))},
		{"HS256 with the public DER", rs.public, token(`{"alg":"HS256"}`, `{}`, mac(spki))},
		{"HS256 with nothing", rs.public, token(`{"alg":"HS256"}`, `{}`, mac(nil))},
		{"none with no signature", rs.public, b64.EncodeToString([]byte(`{"alg":"none"}`)) + "." + b64.EncodeToString([]byte(`{}`)) + "."},
		{"none with a signature", rs.public, token(`{"alg":"none"}`, `{}`, rs.mustSign(t))},
		{"None", rs.public, token(`{"alg":"None"}`, `{}`, rs.mustSign(t))},
		{"no algorithm", rs.public, token(`{}`, `{}`, rs.mustSign(t))},
		{"an algorithm that is no text", rs.public, token(`{"alg":["RS256"]}`, `{}`, rs.mustSign(t))},
		{"rs256", rs.public, token(`{"alg":"rs256"}`, `{}`, rs.mustSign(t))},
		{"RS384", rs.public, token(`{"alg":"RS384"}`, `{}`, rs.mustSign(t))},
		{"RS256 with an EC key", es.public, token(`{"alg":"RS256"}`, `{}`, rs.mustSign(t))},
		{"ES256 with an Ed25519 key", ed.public, token(`{"alg":"ES256"}`, `{}`, es.mustSign(t))},
		{"EdDSA with an RSA key", rs.public, token(`{"alg":"EdDSA"}`, `{}`, ed.mustSign(t))},
		{"ES256 with r = s = 0", es.public, token(`{"alg":"ES256"}`, `{}`, fixed(make([]byte, 64)))},
		{"ES256 with r = s = n", es.public, token(`{"alg":"ES256"}`, `{}`, fixed(append(order.Bytes(), order.Bytes()...)))},
		{"ES256 in DER", es.public, token(`{"alg":"ES256"}`, `{}`, func(input []byte) []byte {
			raw := es.mustSign(t)(input)
			der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])})
			if err != nil {
				t.Fatal(err)
			}
			return der
		})},
		{"ES256 with a byte more", es.public, token(`{"alg":"ES256"}`, `{}`, func(input []byte) []byte { return append(es.mustSign(t)(input), 0) })},
		{"ES256 by a P-384 key", &p384.PublicKey, token(`{"alg":"ES256"}`, `{}`, func(input []byte) []byte {
			digest := sha256.Sum256(input)
			r, s, err := ecdsa.Sign(rand.Reader, p384, digest[:])
			if err != nil {
				t.Fatal(err)
			}
			return append(r.FillBytes(make([]byte, 48)), s.FillBytes(make([]byte, 48))...)
		})},
		{"an unknown crit", es.public, token(`{"alg":"ES256","crit":["x"],"x":1}`, `{}`, es.mustSign(t))},
		{"an empty crit", es.public, token(`{"alg":"ES256","crit":[]}`, `{}`, es.mustSign(t))},
		{"b64 false", es.public, token(`{"alg":"ES256","b64":false,"crit":["b64"]}`, `{}`, es.mustSign(t))},
		{"b64 true", es.public, token(`{"alg":"ES256","b64":true}`, `{}`, es.mustSign(t))},
		{"zip", es.public, token(`{"alg":"ES256","zip":"DEF"}`, `{}`, es.mustSign(t))},
		{"the key in the header", es.public, token(`{"alg":"ES256","jwk":`+string(es.jwk)+`}`, `{}`, es.mustSign(t))},
		{"the key's address in the header", es.public, token(`{"alg":"ES256","jku":"https://rp.example/"}`, `{}`, es.mustSign(t))},
		{"a certificate in the header", es.public, token(`{"alg":"ES256","x5c":["AA=="]}`, `{}`, es.mustSign(t))},
		{"a certificate's address in the header", es.public, token(`{"alg":"ES256","x5u":"https://rp.example/"}`, `{}`, es.mustSign(t))},
		{"alg twice", es.public, token(`{"alg":"none","alg":"ES256"}`, `{}`, es.mustSign(t))},
		{"alg in another case too", es.public, token(`{"alg":"ES256","ALG":"none"}`, `{}`, es.mustSign(t))},
		{"aud in another case too", es.public, token(`{"alg":"ES256"}`, `{"aud":"x","AUD":"y"}`, es.mustSign(t))},
		{"exp twice", es.public, token(`{"alg":"ES256"}`, `{"exp":1,"exp":2}`, es.mustSign(t))},
		{"a payload that is no object", es.public, token(`{"alg":"ES256"}`, `[]`, es.mustSign(t))},
		{"a payload that is no JSON", es.public, token(`{"alg":"ES256"}`, `x`, es.mustSign(t))},
		{"a payload and more", es.public, token(`{"alg":"ES256"}`, `{}{}`, es.mustSign(t))},
		{"an empty payload", es.public, parts[0] + ".." + parts[2]},
		{"two parts", es.public, parts[0] + "." + parts[1]},
		{"four parts", es.public, good + ".x"},
		{"five parts, as of a JWE", es.public, good + ".x.y"},
		{"nothing", es.public, ""},
		{"dots", es.public, strings.Repeat(".", 1<<20)},
		{"a million parts", es.public, strings.Repeat("a.", 1<<19)},
		{"a long header", es.public, strings.Repeat("a", 1<<20) + ".a.a"},
		{"a byte more than is read", es.public, token(`{"alg":"ES256"}`, `{"x":"`+strings.Repeat("a", maxToken)+`"}`, es.mustSign(t))},
		{"padding", es.public, good + "="},
		{"a line break", es.public, good[:10] + "\n" + good[10:]},
		{"a line break in the signature", es.public, good[:len(good)-3] + "\r\n" + good[len(good)-3:]},
		{"a space", es.public, " " + good},
		{"JSON serialization", es.public, `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`},
		{"standard base64", es.public, strings.ReplaceAll(strings.ReplaceAll(good, "-", "+"), "_", "/") + "+"},
		{"another's signature", es.public, token(`{"alg":"ES256"}`, `{}`, mustGenerate(t, ES256).mustSign(t))},
		{"another payload", es.public, parts[0] + "." + b64.EncodeToString([]byte(`{"a":1}`)) + "." + parts[2]},
	}
	check := func(public crypto.PublicKey, text string) error {
		parsed, err := parseCompact(text, ClientAlgorithms())
		if err != nil {
			return err
		}
		_, err = parsed.verify(public)
		return err
	}
	for _, c := range cases {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		err := check(c.public, c.text)
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrToken) {
			t.Errorf("%s: %v", c.name, err)
		}
		if took > time.Second || after.TotalAlloc-before.TotalAlloc > 1<<20 {
			t.Errorf("%s: took %v and %d bytes", c.name, took, after.TotalAlloc-before.TotalAlloc)
		}
	}
	if err := check(es.public, good); err != nil {
		t.Errorf("the good one: %v", err)
	}
	for i := range good {
		for bit := range 8 {
			b := []byte(good)
			b[i] ^= 1 << bit
			if check(es.public, string(b)) == nil {
				t.Fatalf("bit %d of character %d flipped passes", bit, i)
			}
		}
		if check(es.public, good[:i]) == nil {
			t.Fatalf("the first %d characters pass", i)
		}
	}
}

// Of the two signatures that verify under ECDSA only ours is a token of ours; a client's may be either.
func TestATokenOfOursHasOneForm(t *testing.T) {
	es := mustGenerate(t, ES256)
	high := token(`{"alg":"ES256"}`, `{}`, func(input []byte) []byte {
		raw := es.mustSign(t)(input)
		s := new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(raw[32:]))
		s.FillBytes(raw[32:])
		return raw
	})
	if !verifies(es.public, high) {
		t.Fatal("it should verify, as mathematics go")
	}
	parsed, err := parseCompact(high, Algorithms())
	if err != nil {
		t.Fatal(err)
	}
	if parsed.lowest(es.public) {
		t.Error("it passes for ours")
	}
	if _, err := parsed.verify(es.public); err != nil {
		t.Errorf("a client could not use it: %v", err)
	}
}

// S-102.
func TestTimesAreWholeSecondsWithALittleLeeway(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	at := func(d time.Duration) json.RawMessage {
		out, err := json.Marshal(now.Add(d).Unix())
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	good := []Claims{
		{"exp": at(time.Minute)},
		{"exp": at(-8 * time.Second)},
		{"exp": at(time.Minute), "nbf": at(8 * time.Second), "iat": at(8 * time.Second)},
		{"exp": at(time.Minute), "nbf": at(-time.Hour), "iat": at(-time.Hour)},
	}
	for _, claims := range good {
		if err := claims.CheckTimes(now); err != nil {
			t.Errorf("%s: %v", claims, err)
		}
	}
	bad := []Claims{
		{}, {"exp": at(-10 * time.Second)}, {"exp": at(-time.Hour)},
		{"exp": at(time.Minute), "nbf": at(61 * time.Second)}, {"exp": at(time.Minute), "iat": at(61 * time.Second)}, {"exp": at(time.Minute), "iat": at(11 * time.Second)},
	}
	for _, value := range []string{`"1800000060"`, `1800000060.5`, `1.80000006e9`, `1e300`, `-1`, `0`, `null`, `true`, `[1800000060]`, `{}`, `99999999999999999999`, `253402300800`} {
		bad = append(bad, Claims{"exp": json.RawMessage(value)},
			Claims{"exp": at(time.Minute), "nbf": json.RawMessage(value)}, Claims{"exp": at(time.Minute), "iat": json.RawMessage(value)})
	}
	for _, claims := range bad {
		if err := claims.CheckTimes(now); !errors.Is(err, ErrToken) {
			t.Errorf("%s: %v", claims, err)
		}
	}
}

func TestClaimsAreReadAsTheyAreWritten(t *testing.T) {
	claims := Claims{"a": json.RawMessage(`"x\u0041"`), "b": json.RawMessage(`["x","y"]`), "c": json.RawMessage(`7`), "d": json.RawMessage(`["x",7]`)}
	if claims.Text("a") != "xA" || claims.Text("b") != "" || claims.Text("c") != "" || claims.Text("none") != "" {
		t.Error("Text")
	}
	if !slices.Equal(claims.Texts("a"), []string{"xA"}) || !slices.Equal(claims.Texts("b"), []string{"x", "y"}) || claims.Texts("c") != nil || claims.Texts("d") != nil ||
		claims.Texts("none") != nil {
		t.Error("Texts")
	}
}

func FuzzJWTVerify(f *testing.F) {
	materials := []*material{mustGenerate(f, RS256), mustGenerate(f, ES256), mustGenerate(f, EdDSA)}
	publics := make([]crypto.PublicKey, len(materials))
	for i, m := range materials {
		publics[i] = m.public
	}
	const issuer, client = "https://id.example", "c1"
	now := time.Now()
	payload, err := json.Marshal(map[string]any{"iss": client, "sub": client, "aud": issuer, "exp": now.Unix() + 100, "iat": now.Unix(), "jti": "1"})
	if err != nil {
		f.Fatal(err)
	}
	for i, alg := range Algorithms() {
		f.Add([]byte(`{"alg":"`+alg+`","kid":"x","typ":"JWT"}`), payload, i, 0, byte(0), false)
		f.Add([]byte(`{"alg":"`+alg+`","crit":["b64"],"b64":false}`), payload, i, 0, byte(0), false)
		f.Add([]byte(`{"alg":"`+alg+`"}`), []byte(`{"iss":"`+client+`","aud":["x","`+issuer+`"],"client_id":"`+client+`"}`), i, 0, byte(0), false)
		f.Add([]byte(`{"alg":"none","alg":"`+alg+`"}`), payload, i, 60, byte(1), false)
		f.Add([]byte(`{"alg":"HS256"}`), []byte(`{"aud":["`+issuer+`"]}`), i, 9, byte(128), false)
	}
	f.Add([]byte(`{"alg":"PS256"}`), payload, 0, 0, byte(0), true)
	f.Fuzz(func(t *testing.T, header, payload []byte, which, at int, flip byte, pss bool) {
		m := materials[uint(which)%uint(len(materials))]
		text := token(string(header), string(payload), func(input []byte) []byte {
			if private, ok := m.private.(*rsa.PrivateKey); ok && pss {
				digest := sha256.Sum256(input)
				signature, err := rsa.SignPSS(rand.Reader, private, crypto.SHA256, digest[:], nil)
				if err != nil {
					t.Fatal(err)
				}
				return signature
			}
			return m.mustSign(t)(input)
		})
		b := []byte(text)
		b[uint(at)%uint(len(b))] ^= flip
		text = string(b)

		parsed, err := parseCompact(text, ClientAlgorithms())
		if err != nil {
			return
		}
		for _, public := range publics {
			got, err := parsed.verify(public)
			if err != nil {
				continue
			}
			if !verifies(public, text) || !slices.Contains(ClientAlgorithms(), parsed.alg) {
				t.Fatalf("accepted %q", text)
			}
			if want, err := b64.DecodeString(strings.Split(text, ".")[1]); err != nil || string(got) != string(want) {
				t.Fatalf("%q of %q", got, text)
			}
			var inHeader map[string]any
			if raw, err := b64.DecodeString(strings.Split(text, ".")[0]); err != nil || json.Unmarshal(raw, &inHeader) != nil {
				t.Fatalf("a header that cannot be read: %q", raw)
			}
			for _, name := range []string{"crit", "b64", "jwk", "jku", "x5u", "x5c"} {
				if _, there := inHeader[name]; there {
					t.Fatalf("accepted %s in %q", name, text)
				}
			}
			if _, err := checkAssertion(parsed.claims, client, []string{issuer}, now); err == nil {
				var claims struct {
					Iss string `json:"iss"`
					Sub string `json:"sub"`
					Aud any    `json:"aud"`
					Exp int64  `json:"exp"`
				}
				if err := json.Unmarshal(got, &claims); err != nil || claims.Iss != client || claims.Sub != client || claims.Aud != issuer || claims.Exp <= now.Unix()-10 {
					t.Fatalf("accepted claims %s: %v", got, err)
				}
			}
			if err := checkRequestObject(parsed.claims, &storage.Client{ClientID: client}, issuer, now); err == nil {
				var claims struct {
					Iss *string `json:"iss"`
					Sub any     `json:"sub"`
					Aud any     `json:"aud"`
					Exp *int64  `json:"exp"`
				}
				err := json.Unmarshal(got, &claims)
				texts, several := claims.Aud.([]any)
				if err != nil || claims.Iss != nil && *claims.Iss != client || claims.Sub == client || claims.Exp != nil && *claims.Exp <= now.Unix()-10 ||
					claims.Aud != nil && claims.Aud != issuer && (!several || !slices.Contains(texts, any(issuer))) {
					t.Fatalf("accepted for a request object %s: %v", got, err)
				}
			}
		}
	})
}
