package keys

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

func set(keys ...string) []byte { return []byte(`{"keys":[` + strings.Join(keys, ",") + `]}`) }

func withMember(t testing.TB, jwk []byte, name string, value any) string {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal(jwk, &members); err != nil {
		t.Fatal(err)
	}
	members[name] = value
	if value == nil {
		delete(members, name)
	}
	out, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// S-105.
func TestAClientsKeysMustBePublicAndStrong(t *testing.T) {
	rs, es, ed := mustGenerate(t, RS256), mustGenerate(t, ES256), mustGenerate(t, EdDSA)
	private, err := es.privateJWK()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GODEBUG", "rsa1024min=0")
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := jose.JSONWebKey{Key: &short.PublicKey}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := jose.JSONWebKey{Key: &p384.PublicKey}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	good := map[string][]byte{
		"RSA":                        set(string(rs.jwk)),
		"EC":                         set(string(es.jwk)),
		"Ed25519":                    set(string(ed.jwk)),
		"three":                      set(string(rs.jwk), string(es.jwk), string(ed.jwk)),
		"one without kid":            set(withMember(t, es.jwk, "kid", nil)),
		"one for verifying":          set(withMember(t, es.jwk, "key_ops", []string{"verify"})),
		"one for encryption besides": set(string(es.jwk), withMember(t, rs.jwk, "use", "enc")),
		"PS256":                      set(withMember(t, rs.jwk, "alg", "PS256")),
		"members nobody knows":       []byte(`{"x":1,"keys":[` + withMember(t, es.jwk, "nobody", 1) + `]}`),
	}
	for name, body := range good {
		if _, err := ParseClientJWKS(body); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad := map[string][]byte{
		"RSA of 1024 bits":       set(string(weak)),
		"weak besides a good":    set(string(es.jwk), withMember(t, weak, "kid", "weak")),
		"e = 3":                  set(withMember(t, rs.jwk, "e", "Aw")),
		"e = 1":                  set(withMember(t, rs.jwk, "e", "AQ")),
		"an even modulus":        set(withMember(t, rs.jwk, "n", b64.EncodeToString(append(make([]byte, 0), append([]byte{0xff}, make([]byte, 255)...)...)))),
		"a modulus without end":  set(withMember(t, rs.jwk, "n", strings.Repeat("_", 4000))),
		"P-192":                  set(withMember(t, es.jwk, "crv", "P-192")),
		"P-384 for signatures":   set(withMember(t, other, "use", "sig")),
		"a point off the curve":  set(withMember(t, es.jwk, "x", b64.EncodeToString(make([]byte, 32)))),
		"Ed448":                  set(withMember(t, ed.jwk, "crv", "Ed448")),
		"X25519":                 set(withMember(t, ed.jwk, "crv", "X25519")),
		"a symmetric key":        set(`{"kty":"oct","k":"AA"}`),
		"a symmetric key beside": set(string(es.jwk), `{"kty":"oct","kid":"x","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`),
		"a private key":          set(string(private)),
		"a private key beside":   set(string(rs.jwk), string(private)),
		"half a private key":     set(withMember(t, rs.jwk, "dp", "AA")),
		"one kid twice":          set(string(es.jwk), withMember(t, rs.jwk, "kid", es.kid)),
		"two without kid":        set(withMember(t, es.jwk, "kid", nil), withMember(t, rs.jwk, "kid", nil)),
		"for nothing there is":   set(withMember(t, rs.jwk, "use", "tls")),
		"for unwrapping only":    set(withMember(t, rs.jwk, "key_ops", []string{"unwrapKey"})),
		"Ed25519 for encryption": set(withMember(t, ed.jwk, "use", "enc")),
		"for RSA1_5 only":        set(withMember(t, []byte(withMember(t, rs.jwk, "use", "enc")), "alg", "RSA1_5")),
		"for RS512 only":         set(withMember(t, rs.jwk, "alg", "RS512")),
		"for HS256":              set(withMember(t, rs.jwk, "alg", "HS256")),
		"a kid that is no text":  set(withMember(t, es.jwk, "kid", 7)),
		"a long kid":             set(withMember(t, es.jwk, "kid", strings.Repeat("k", 257))),
		"no keys":                set(),
		"no member keys":         []byte(`{}`),
		"keys that are none":     []byte(`{"keys":{}}`),
		"null keys":              []byte(`{"keys":[null]}`),
		"keys twice":             []byte(`{"keys":[],"keys":[` + string(es.jwk) + `]}`),
		"Keys":                   []byte(`{"Keys":[` + string(es.jwk) + `]}`),
		"a member twice":         set(`{"kid":"a",` + string(es.jwk[1:])),
		"a key, not a set":       es.jwk,
		"no JSON":                []byte(`<html>`),
		"nothing":                nil,
		"too long":               []byte(`{"x":"` + strings.Repeat("a", maxJWKS) + `","keys":[` + string(es.jwk) + `]}`),
	}
	many := make([]string, maxClientKeys+1)
	for i := range many {
		many[i] = withMember(t, es.jwk, "kid", fmt.Sprint(i))
	}
	bad["too many"] = set(many...)
	for name, body := range bad {
		if _, err := ParseClientJWKS(body); !errors.Is(err, ErrJWKS) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAKeyIsForWhatItSaysThatItIsFor(t *testing.T) {
	rs, es, ed := mustGenerate(t, RS256), mustGenerate(t, ES256), mustGenerate(t, EdDSA)
	signs := []string{RS256, PS256, ES256, EdDSA}
	free := func(m *material) []byte {
		return []byte(withMember(t, []byte(withMember(t, m.jwk, "use", nil)), "alg", nil))
	}
	for _, one := range []struct {
		name               string
		jwk                string
		verifies, encrypts []string
	}{
		{"RSA", string(free(rs)), []string{RS256, PS256}, []string{RSAOAEP256}},
		{"RSA for encryption", withMember(t, free(rs), "use", "enc"), nil, []string{RSAOAEP256}},
		{"RSA for signatures", withMember(t, free(rs), "use", "sig"), []string{RS256, PS256}, nil},
		{"RSA by one algorithm", withMember(t, free(rs), "alg", RSAOAEP256), nil, []string{RSAOAEP256}},
		{"RSA to wrap with", withMember(t, free(rs), "key_ops", []string{"wrapKey"}), nil, []string{RSAOAEP256}},
		{"RSA to verify with", withMember(t, free(rs), "key_ops", []string{"verify"}), []string{RS256, PS256}, nil},
		{"P-256", string(free(es)), []string{ES256}, []string{ECDHES, ECDHESA128KW, ECDHESA256KW}},
		{"P-256 by one algorithm", withMember(t, free(es), "alg", ECDHESA256KW), nil, []string{ECDHESA256KW}},
		{"P-256 without operations", withMember(t, free(es), "key_ops", []string{}), nil, []string{ECDHES, ECDHESA128KW, ECDHESA256KW}},
		{"Ed25519", string(free(ed)), []string{EdDSA}, nil},
	} {
		found, err := ParseClientJWKS(set(one.jwk))
		if err != nil {
			t.Errorf("%s: %v", one.name, err)
		}
		for _, alg := range signs {
			if found.Verifies(alg) != slices.Contains(one.verifies, alg) {
				t.Errorf("%s and %s: %v", one.name, alg, found.Verifies(alg))
			}
		}
		for _, alg := range append(EncryptionAlgorithms(), "RSA1_5", "RSA-OAEP", "dir", "") {
			if found.Encrypts(alg) != slices.Contains(one.encrypts, alg) {
				t.Errorf("%s and %s: %v", one.name, alg, found.Encrypts(alg))
			}
		}
	}
}

func TestAFetchedSetIsUsedForWhatIsGoodInIt(t *testing.T) {
	rs, es := mustGenerate(t, RS256), mustGenerate(t, ES256)
	keys, err := parseClientJWKS(set(withMember(t, es.jwk, "crv", "P-192"), `{"kty":"new"}`, withMember(t, rs.jwk, "e", "Aw"), string(es.jwk)), false)
	if err != nil || len(keys) != 1 || keys[0].kid != es.kid {
		t.Errorf("%v, %v", keys, err)
	}
	if !keys[0].usable(ES256, es.kid) || !keys[0].usable(ES256, "") || keys[0].usable(ES256, "other") || keys[0].usable(RS256, es.kid) {
		t.Error("usable for what it is not")
	}
}

func FuzzJWKSParse(f *testing.F) {
	for _, alg := range Algorithms() {
		m := mustGenerate(f, alg)
		f.Add(set(string(m.jwk)))
		f.Add(set(withMember(f, m.jwk, "d", "AA")))
		f.Add(set(withMember(f, m.jwk, "x5c", []string{"AA=="})))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, strict := range []bool{true, false} {
			keys, err := parseClientJWKS(body, strict)
			if err != nil {
				continue
			}
			if len(body) > 64<<10 || len(keys) > 32 {
				t.Fatal("too much is read")
			}
			for _, k := range keys {
				if public, ok := k.public.(*rsa.PublicKey); ok && (public.N.BitLen() < 2048 || public.E != 65537) {
					t.Fatalf("a weak key passes: %s", body)
				}
			}
		}
	})
}
