package keys_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keizer-auth/keizer/internal/outbound"
	"github.com/keizer-auth/keizer/provider/keys"
)

// unsigned is a JWT of the algorithm none (RFC 7519 §6).
func unsigned(t testing.TB, header, signature string, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	must(t, err)
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(header)) + "." + encode(payload) + "." + signature
}

func TestARequestObjectIsTakenByWhatItsClientIsRegisteredFor(t *testing.T) {
	t.Parallel()
	p := newParty(t, "c1")
	clients := keys.NewClientKeys(outbound.New(outbound.Options{}))
	const issuer = "https://id.example"
	claims := map[string]any{"iss": "c1", "aud": issuer, "client_id": "c1"}
	verify := func(text string, metadata map[string]any, unsigned bool) error {
		client := *p.client
		client.Metadata = metadata
		_, err := clients.VerifyRequestObject(t.Context(), &client, text, keys.RequestObjectRules{Issuer: issuer, Unsigned: unsigned})
		if err != nil && !errors.Is(err, keys.ErrToken) {
			t.Errorf("%v", err)
		}
		return err
	}
	for _, alg := range []string{"RS256", "PS256", "ES256", "EdDSA"} {
		text := p.sign(t, alg, nil, claims)
		for _, only := range []string{"", "RS256", "PS256", "ES256", "EdDSA", "none", "HS256"} {
			err := verify(text, map[string]any{"request_object_signing_alg": only}, true)
			if good := only == "" || only == alg; (err == nil) != good {
				t.Errorf("%s of a client that is registered for %q: %v", alg, only, err)
			}
		}
	}
	// S-137: that nobody has signed it is for those alone that are registered for it, where the organization lets them.
	none := map[string]any{"request_object_signing_alg": "none"}
	text := unsigned(t, `{"alg":"none"}`, "", claims)
	for name, test := range map[string]struct {
		text     string
		metadata map[string]any
		allowed  bool
		good     bool
	}{
		"as registered":                {text, none, true, true},
		"where that is off":            {text, none, false, false},
		"registered for nothing":       {text, nil, true, false},
		"registered for another":       {text, map[string]any{"request_object_signing_alg": "ES256"}, true, false},
		"registered for signed ones":   {text, map[string]any{"request_object_signing_alg": "none", "require_signed_request_object": true}, true, false},
		"with a signature":             {text + "AAAA", none, true, false},
		"without the last part":        {strings.TrimSuffix(text, "."), none, true, false},
		"named in capitals":            {unsigned(t, `{"alg":"NONE"}`, "", claims), none, true, false},
		"by a symmetric key":           {signWith(t, "HS256", []byte(*p.client.JWKS), nil, claims), nil, true, false},
		"by a key of another":          {newParty(t, "c1").sign(t, "ES256", nil, claims), nil, true, false},
		"with a key in its header":     {p.sign(t, "ES256", map[string]any{"jku": "https://evil.example"}, claims), nil, true, false},
		"with a critical extension":    {p.sign(t, "ES256", map[string]any{"crit": []string{"x"}, "x": 1}, claims), nil, true, false},
		"too long":                     {p.sign(t, "ES256", nil, map[string]any{"client_id": "c1", "state": strings.Repeat("x", 17<<10)}), nil, true, false},
		"nothing but points":           {strings.Repeat(".", 100_000), nil, true, false},
		"a member that is there twice": {unsigned(t, `{"alg":"none","alg":"none"}`, "", claims), none, true, false},
		"a claim that is there twice":  {strings.Replace(text, ".", "."+base64.RawURLEncoding.EncodeToString([]byte(`{"scope":"a","scope":"b"}`))+".", 1), none, true, false},
	} {
		if err := verify(test.text, test.metadata, test.allowed); (err == nil) != test.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// S-102 S-138: what a request object says of itself.
func TestWhatARequestObjectSaysOfItselfIsRight(t *testing.T) {
	t.Parallel()
	p := newParty(t, "c1")
	clients := keys.NewClientKeys(outbound.New(outbound.Options{}))
	const issuer = "https://id.example"
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		in := func(seconds int) int64 { return now.Add(time.Duration(seconds) * time.Second).Unix() }
		strict := map[string]any{"iss": "c1", "aud": issuer, "nbf": in(0), "exp": in(300), "client_id": "c1"}
		const authz = "oauth-authz-req+jwt"
		for name, test := range map[string]struct {
			typ             string
			change          map[string]any
			plainly, strict bool
		}{
			"all that there is to say":     {authz, nil, true, true},
			"the whole media type":         {"application/oauth-authz-req+jwt", nil, true, true},
			"in capitals":                  {"OAuth-AuthZ-Req+JWT", nil, true, true},
			"no type":                      {"", nil, true, false},
			"a JWT":                        {"JWT", nil, true, false},
			"an access token":              {"at+jwt", nil, false, false},
			"an assertion, by its type":    {"client-authentication+jwt", nil, false, false},
			"an assertion, by its subject": {authz, map[string]any{"sub": "c1", "jti": "x"}, false, false},
			"a subject":                    {authz, map[string]any{"sub": "alice"}, true, true},
			"no iss":                       {authz, map[string]any{"iss": nil}, true, false},
			"another iss":                  {authz, map[string]any{"iss": "c2"}, false, false},
			"an iss that is no text":       {authz, map[string]any{"iss": []string{"c1"}}, false, false},
			"no aud":                       {authz, map[string]any{"aud": nil}, true, false},
			"several, us among them":       {authz, map[string]any{"aud": []string{"https://other.example", issuer}}, true, true},
			"another aud":                  {authz, map[string]any{"aud": "https://other.example"}, false, false},
			"an aud with a slash":          {authz, map[string]any{"aud": issuer + "/"}, false, false},
			"an aud that is nobody":        {authz, map[string]any{"aud": []string{}}, false, false},
			"an aud that is a number":      {authz, map[string]any{"aud": 1}, false, false},
			"no exp":                       {authz, map[string]any{"exp": nil}, true, false},
			"no nbf":                       {authz, map[string]any{"nbf": nil}, true, false},
			"ended":                        {authz, map[string]any{"exp": in(-11), "nbf": in(-60)}, false, false},
			"ended just now":               {authz, map[string]any{"exp": in(-8), "nbf": in(-60)}, true, true},
			"from the future":              {authz, map[string]any{"nbf": in(61), "exp": in(300)}, false, false},
			"almost from the future":       {authz, map[string]any{"nbf": in(8), "iat": in(8), "exp": in(300)}, true, true},
			"made in the future":           {authz, map[string]any{"iat": in(61)}, false, false},
			"for an hour":                  {authz, map[string]any{"exp": in(3600)}, true, true},
			"for longer than an hour":      {authz, map[string]any{"exp": in(3601)}, true, false},
			"begun long ago":               {authz, map[string]any{"nbf": in(-3700), "exp": in(-3700 + 3600)}, false, false},
			"a time that is a text":        {authz, map[string]any{"exp": "1"}, false, false},
			"a time that is a fraction":    {authz, map[string]any{"exp": float64(in(300)) + 0.5}, false, false},
			"a time before all times":      {authz, map[string]any{"nbf": -1}, false, false},
		} {
			claims := maps.Clone(strict)
			maps.Copy(claims, test.change)
			maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
			var header map[string]any
			if test.typ != "" {
				header = map[string]any{"typ": test.typ}
			}
			text := p.sign(t, "ES256", header, claims)
			for required, good := range map[bool]bool{false: test.plainly, true: test.strict} {
				client := *p.client
				client.Metadata = map[string]any{"require_signed_request_object": required}
				_, err := clients.VerifyRequestObject(t.Context(), &client, text, keys.RequestObjectRules{Issuer: issuer})
				if (err == nil) != good || err != nil && !errors.Is(err, keys.ErrToken) {
					t.Errorf("%s, of a client that must sign: %v: %v", name, required, err)
				}
			}
		}
	})
}
