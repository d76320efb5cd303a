package upstream

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/outbound"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/upstreamtest"
)

const callback = "https://id.example/login/up/callback"

// speaks returns an Upstream for which the provider is the whole internet.
func speaks(there *upstreamtest.Provider) *Upstream {
	client := &http.Client{Transport: there, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return newUpstream(client, client)
}

// setUp is the provider as an organization sets it up, with changes to its settings.
func setUp(t testing.TB, there *upstreamtest.Provider, changes ...func(*Settings)) *Provider {
	t.Helper()
	settings, err := Parse(there.Settings())
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range changes {
		change(settings)
	}
	if err := settings.Validate(outbound.Options{}); err != nil {
		t.Fatal(err)
	}
	p := &Provider{ID: uuid.New(), Name: "up", ClientID: upstreamtest.ClientID, ClientSecret: secret.Text(there.Secret()), Settings: settings}
	if err := settings.CheckSecret(p.ClientSecret); err != nil {
		t.Fatal(err)
	}
	return p
}

// visit is a browser that goes where it is sent, and returns what it is sent back with.
func visit(t testing.TB, there *upstreamtest.Provider, address string) url.Values {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := there.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := read(&http.Response{StatusCode: http.StatusOK, Body: response.Body, Request: request}, refused)
	if there.Profile.FormPost {
		return hidden(string(body))
	}
	back, err := response.Location()
	if err != nil {
		t.Fatalf("%s: %d %s", address, response.StatusCode, body)
	}
	if got, _, _ := strings.Cut(back.String(), "?"); got != callback {
		t.Fatalf("sent back to %s", back)
	}
	return back.Query()
}

// hidden are the fields of a form.
func hidden(page string) url.Values {
	values := url.Values{}
	for _, part := range strings.Split(page, `type="hidden" name="`)[1:] {
		name, rest, _ := strings.Cut(part, `" value="`)
		value, _, _ := strings.Cut(rest, `"`)
		for from, to := range map[string]string{"&#34;": `"`, "&#43;": "+", "&amp;": "&"} {
			value = strings.ReplaceAll(value, from, to)
		}
		values.Set(name, value)
	}
	return values
}

func answerOf(values url.Values) Answer {
	return Answer{Code: values.Get("code"), Error: values.Get("error"), Iss: values.Get("iss"), HasIss: values.Has("iss"), User: values.Get("user")}
}

// signIn makes the whole journey.
func signIn(t testing.TB, u *Upstream, there *upstreamtest.Provider, p *Provider, ask Ask) (*Identity, *Tokens, error) {
	t.Helper()
	ask.Callback = callback
	address, request, err := u.Begin(t.Context(), p, secret.New("st"), ask)
	if err != nil {
		return nil, nil, err
	}
	values := visit(t, there, address)
	if values.Get("state") != request.State {
		t.Fatalf("the state %q came back as %q", request.State, values.Get("state"))
	}
	return u.Complete(t.Context(), p, request, answerOf(values))
}

// Every preset, at the addresses that its documentation names, with whatever is particular about it. S-234: S256 every time, but at the
// one that refuses it.
func TestEveryPresetSignsSomebodyIn(t *testing.T) {
	alice := upstreamtest.Alice()
	whole := map[string]string{"given_name": "Alice", "family_name": "Doe", "picture": "https://pictures.example/a.png"}
	for preset, want := range map[string]struct {
		issuer   string
		verified bool
		username string
		claims   map[string]string
		endpoint []string
	}{
		"oidc":      {issuer: "https://idp.example", verified: true, username: "alice", claims: whole, endpoint: []string{"metadata", "authorization", "token", "keys"}},
		"google":    {issuer: "https://accounts.google.com", verified: true, claims: whole, endpoint: []string{"metadata", "authorization", "token", "keys"}},
		"microsoft": {issuer: "https://login.microsoftonline.com/9122040d-6c67-4c5b-b112-36a304b66dad/v2.0", verified: true, endpoint: []string{"metadata", "authorization", "token", "keys"}},
		"apple": {
			issuer: "https://appleid.apple.com", verified: true, claims: map[string]string{"given_name": "Alice", "family_name": "Doe"},
			endpoint: []string{"metadata", "authorization", "token", "keys"},
		},
		"github": {
			issuer: "https://github.com", verified: true, username: "alice", claims: map[string]string{"picture": "https://avatars.githubusercontent.com/u/583231"},
			endpoint: []string{"authorization", "token", "userinfo", "emails"},
		},
		"gitlab":   {issuer: "https://gitlab.com", verified: true, username: "alice", claims: whole, endpoint: []string{"metadata", "authorization", "token", "keys", "userinfo"}},
		"facebook": {issuer: "https://www.facebook.com", claims: map[string]string{"given_name": "Alice", "family_name": "Doe"}, endpoint: []string{"authorization", "token", "userinfo"}},
		"discord":  {issuer: "https://discord.com", verified: true, username: "alice", claims: map[string]string{"locale": "en-US"}, endpoint: []string{"authorization", "token", "userinfo"}},
		"linkedin": {issuer: "https://www.linkedin.com/oauth", verified: true, claims: whole, endpoint: []string{"metadata", "authorization", "token", "keys"}},
		"oauth2":   {issuer: "https://old.example", verified: true, endpoint: []string{"authorization", "token", "userinfo"}},
	} {
		t.Run(preset, func(t *testing.T) {
			there := upstreamtest.New(t, preset)
			u, p := speaks(there), setUp(t, there)
			who, tokens, err := signIn(t, u, there, p, Ask{})
			if err != nil {
				t.Fatal(err)
			}
			if who.Issuer != want.issuer || who.Subject != alice.ID || who.Email != alice.Email || who.Verified != want.verified || who.Name != alice.Name ||
				who.Username != want.username || !maps.Equal(who.Claims, want.claims) {
				t.Errorf("%+v", who)
			}
			if tokens.Access == "" || (tokens.Refresh == "") != (preset == "github") || tokens.Expires.IsZero() != (preset == "github") {
				t.Errorf("tokens %+v", tokens)
			}
			if asked := there.Asked(); !slices.Equal(asked, want.endpoint) {
				t.Errorf("asked %v, want %v", asked, want.endpoint)
			}
			sent, exchanged := there.Authorization(), there.Exchange()
			if preset == "linkedin" {
				if sent.Has("code_challenge") || exchanged.Has("code_verifier") {
					t.Error("it was sent what it refuses")
				}
			} else if len(exchanged.Get("code_verifier")) < 43 || sent.Get("code_challenge_method") != "S256" {
				t.Errorf("PKCE: %v, %v", sent, exchanged)
			}
			if sent.Get("redirect_uri") != callback || exchanged.Get("redirect_uri") != callback || there.Profile.Keys != "" && len(sent.Get("nonce")) < 43 {
				t.Errorf("%v, %v", sent, exchanged)
			}
			// The second time nothing is asked for that is known, and nothing is as it was.
			if _, _, err := signIn(t, u, there, p, Ask{}); err != nil {
				t.Fatal(err)
			}
			if asked := there.Asked(); slices.Contains(asked, "metadata") || slices.Contains(asked, "keys") {
				t.Errorf("asked again: %v", asked)
			}
			if again := there.Authorization(); again.Get("state") == sent.Get("state") || sent.Has("nonce") && again.Get("nonce") == sent.Get("nonce") ||
				sent.Has("code_challenge") && again.Get("code_challenge") == sent.Get("code_challenge") {
				t.Error("state, nonce or challenge came twice")
			}
			for _, finding := range u.Test(t.Context(), p, callback) {
				if finding.Result == Failed || finding.Name == "credentials" && preset != "linkedin" && finding.Result != OK {
					t.Errorf("tested: %+v", finding)
				}
			}
		})
	}
}

func TestWhatIsWrongWithAProviderShowsInItsTest(t *testing.T) {
	for _, preset := range []string{"oidc", "google", "github", "apple", "discord"} {
		there := upstreamtest.New(t, preset)
		failed := func(p *Provider) (names []string) {
			for _, finding := range speaks(there).Test(t.Context(), p, callback) {
				if finding.Result == Failed {
					names = append(names, finding.Name)
				}
			}
			return names
		}
		p := setUp(t, there)
		if preset != "apple" {
			p.ClientSecret = "another"
			if got := failed(p); !slices.Equal(got, []string{"credentials"}) {
				t.Errorf("%s with another secret: %v", preset, got)
			}
		}
		p = setUp(t, there)
		p.ClientID = "another"
		if got := failed(p); !slices.Equal(got, []string{"credentials"}) {
			t.Errorf("%s as another client: %v", preset, got)
		}
		there.Misbehave(upstreamtest.Faults{Down: func(w http.ResponseWriter, _ *http.Request, _ string) bool {
			http.Error(w, "out of order", http.StatusServiceUnavailable)
			return true
		}})
		if got := failed(p); len(got) != 1 {
			t.Errorf("%s, which is down: %v", preset, got)
		}
	}
}

// S-228: an address is somebody's where the provider says so in its own way, and nowhere else.
func TestAnAddressIsSomebodysOnlyWhereTheProviderSaysSo(t *testing.T) {
	claim := func(name string, value any) upstreamtest.Faults {
		return upstreamtest.Faults{Claims: func(claims map[string]any) { claims[name] = value }}
	}
	gone := func(name string) upstreamtest.Faults {
		return upstreamtest.Faults{
			Claims:   func(claims map[string]any) { delete(claims, name) },
			UserInfo: func(claims map[string]any) { delete(claims, name) },
		}
	}
	for _, test := range []struct {
		name, preset string
		faults       upstreamtest.Faults
		change       func(*Settings)
		verified     bool
		email        string // alice's, if it is empty; "-" is none
	}{
		{name: "said", preset: "oidc", verified: true},
		{name: "said as a text", preset: "oidc", faults: claim("email_verified", "true"), verified: true},
		{name: "false", preset: "oidc", faults: claim("email_verified", false)},
		{name: "false as a text", preset: "oidc", faults: claim("email_verified", "false")},
		{name: "a number", preset: "oidc", faults: claim("email_verified", 1)},
		{name: "nothing", preset: "oidc", faults: claim("email_verified", 0)},
		{name: "null", preset: "oidc", faults: claim("email_verified", nil)},
		{name: "another word", preset: "oidc", faults: claim("email_verified", "yes")},
		{name: "a list", preset: "oidc", faults: claim("email_verified", []any{true})},
		{name: "not said", preset: "oidc", faults: gone("email_verified")},
		{
			name: "said of another address", preset: "oidc", email: "mallory@evil.example",
			faults: upstreamtest.Faults{Claims: func(claims map[string]any) {
				claims["email"] = "mallory@evil.example"
				delete(claims, "email_verified")
				delete(claims, "name") // so that userinfo is asked, which verifies alice's
			}},
		},
		{name: "no address", preset: "oidc", faults: gone("email"), email: "-"},
		{name: "an address that is none", preset: "oidc", faults: claim("email", "alice@evil.com@example.com"), email: "-"},
		{name: "not said, of a domain that is trusted", preset: "oidc", faults: gone("email_verified"), change: func(s *Settings) { s.TrustedDomains = []string{"Example.COM"} }, verified: true},
		{name: "not said, of another domain", preset: "oidc", faults: gone("email_verified"), change: func(s *Settings) { s.TrustedDomains = []string{"ample.com", "sub.example.com"} }},
		{name: "Microsoft without xms_edov", preset: "microsoft", faults: gone("xms_edov")},
		{name: "Microsoft with email_verified", preset: "microsoft", faults: upstreamtest.Faults{Claims: func(claims map[string]any) {
			delete(claims, "xms_edov")
			claims["email_verified"] = true
		}}},
		{name: "Microsoft, false", preset: "microsoft", faults: claim("xms_edov", false)},
		{name: "Facebook", preset: "facebook"},
		{name: "Facebook that says so", preset: "facebook", faults: upstreamtest.Faults{UserInfo: func(claims map[string]any) { claims["email_verified"], claims["verified"] = true, true }}},
		{name: "Discord, false", preset: "discord", faults: upstreamtest.Faults{UserInfo: func(claims map[string]any) { claims["verified"] = false }}},
		{name: "Apple, false as a text", preset: "apple", faults: claim("email_verified", "false")},
		{name: "GitHub, the first is not confirmed", preset: "github", faults: upstreamtest.Faults{Emails: func(all []map[string]any) any {
			all[1]["verified"] = false
			return all
		}}},
		{name: "GitHub, none is the first", preset: "github", email: "-", faults: upstreamtest.Faults{Emails: func(all []map[string]any) any {
			all[1]["primary"] = false
			return all
		}}},
		{name: "GitHub, none at all", preset: "github", email: "-", faults: upstreamtest.Faults{Emails: func([]map[string]any) any { return []any{} }}},
	} {
		t.Run(test.name, func(t *testing.T) {
			there := upstreamtest.New(t, test.preset)
			there.Misbehave(test.faults)
			change := test.change
			if change == nil {
				change = func(*Settings) {}
			}
			who, _, err := signIn(t, speaks(there), there, setUp(t, there, change), Ask{})
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"": "alice@example.com", "-": ""}[test.email]
			if want == "" && test.email != "-" {
				want = test.email
			}
			if who.Verified != test.verified || who.Email != want || who.Subject != upstreamtest.Alice().ID {
				t.Errorf("%+v", who)
			}
		})
	}
}

// S-233, S-236, S-237, S-238, S-101, and RFC 9207: what is not just as it should be is not believed.
func TestWhatAProviderSaysIsCheckedBeforeItIsBelieved(t *testing.T) {
	claim := func(name string, value any) upstreamtest.Faults {
		return upstreamtest.Faults{Claims: func(claims map[string]any) {
			if claims[name] = value; value == nil {
				delete(claims, name)
			}
		}}
	}
	metadata := func(name string, value any) upstreamtest.Faults {
		return upstreamtest.Faults{Metadata: func(document map[string]any) {
			if document[name] = value; value == nil {
				delete(document, name)
			}
		}}
	}
	payload := func(change func(string) string) upstreamtest.Faults { return upstreamtest.Faults{Forge: change} }
	now := time.Now()
	for name, test := range map[string]struct {
		preset string // oidc unless it is said
		faults upstreamtest.Faults
		want   error // ErrUntrusted unless it is said
	}{
		"another issuer":            {faults: claim("iss", "https://evil.example")},
		"the issuer with a slash":   {faults: claim("iss", "https://idp.example/")},
		"no issuer":                 {faults: claim("iss", nil)},
		"another audience":          {faults: claim("aud", "another")},
		"no audience":               {faults: claim("aud", nil)},
		"several, and nobody's":     {faults: claim("aud", []string{upstreamtest.ClientID, "another"})},
		"made for another":          {faults: claim("azp", "another")},
		"made for a number":         {faults: claim("azp", 7)},
		"expired":                   {faults: claim("exp", now.Add(-time.Second).Unix())},
		"without end":               {faults: claim("exp", nil)},
		"an end that is none":       {faults: claim("exp", "soon")},
		"not yet good":              {faults: claim("nbf", now.Add(time.Hour).Unix())},
		"issued in the future":      {faults: claim("iat", now.Add(2*time.Minute).Unix())},
		"issued long ago":           {faults: claim("iat", now.Add(-time.Hour).Unix())},
		"not issued":                {faults: claim("iat", nil)},
		"another nonce":             {faults: claim("nonce", "another")},
		"no nonce":                  {faults: claim("nonce", nil)},
		"an empty nonce":            {faults: claim("nonce", "")},
		"nobody":                    {faults: claim("sub", nil)},
		"an empty subject":          {faults: claim("sub", "")},
		"a long subject":            {faults: claim("sub", strings.Repeat("a", 256))},
		"a subject with a line":     {faults: claim("sub", "a\nb")},
		"another access token":      {faults: claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA")},
		"a claim twice":             {faults: claim("SUB", "mallory")},
		"a key of nobody":           {faults: upstreamtest.Faults{WrongKey: true}},
		"signed by the secret":      {faults: upstreamtest.Faults{Symmetric: true}},
		"not signed":                {faults: upstreamtest.Faults{Unsigned: true}},
		"a key that nobody knows":   {faults: upstreamtest.Faults{Header: func(h map[jose.HeaderKey]any) { h["kid"] = "second" }}},
		"a key in the header":       {faults: upstreamtest.Faults{WrongKey: true, Header: func(h map[jose.HeaderKey]any) { h["jku"] = "https://evil.example/keys" }}},
		"altered":                   {faults: payload(func(token string) string { return token[:len(token)-8] + "AAAAAAAA" })},
		"cut short":                 {faults: payload(func(token string) string { return token[:len(token)/2] })},
		"enormous":                  {faults: payload(func(string) string { return strings.Repeat("a.", 20_000) })},
		"no token":                  {faults: payload(func(string) string { return "" })},
		"a number for a token":      {faults: upstreamtest.Faults{Token: func(body map[string]any) { body["id_token"] = 7 }}},
		"another kind of token":     {faults: upstreamtest.Faults{Token: func(body map[string]any) { body["token_type"] = "mac" }}},
		"no access token":           {faults: upstreamtest.Faults{Token: func(body map[string]any) { delete(body, "access_token") }}},
		"metadata of another":       {faults: metadata("issuer", "https://evil.example")},
		"metadata with a slash":     {faults: metadata("issuer", "https://idp.example/")},
		"metadata without issuer":   {faults: metadata("issuer", nil)},
		"a token endpoint":          {faults: metadata("token_endpoint", "https://evil.example/token")},
		"another port":              {faults: metadata("token_endpoint", "https://idp.example:8443/token")},
		"without TLS":               {faults: metadata("token_endpoint", "http://idp.example/token")},
		"with a user name":          {faults: metadata("token_endpoint", "https://idp.example@idp.example/token")},
		"keys elsewhere":            {faults: metadata("jwks_uri", "https://evil.example/keys")},
		"no keys":                   {faults: metadata("jwks_uri", nil)},
		"userinfo elsewhere":        {faults: metadata("userinfo_endpoint", "https://evil.example/me")},
		"authorization elsewhere":   {faults: metadata("authorization_endpoint", "https://evil.example/authorize")},
		"an address that is none":   {faults: metadata("authorization_endpoint", "javascript:alert(1)")},
		"algorithms of no kind":     {faults: metadata("id_token_signing_alg_values_supported", []string{"HS256", "none"})},
		"an answer of another":      {faults: upstreamtest.Faults{Callback: func(v url.Values) { v.Set("iss", "https://evil.example") }}},
		"an answer of nobody":       {faults: upstreamtest.Faults{Callback: func(v url.Values) { v.Del("iss") }}},
		"an answer of an empty one": {faults: upstreamtest.Faults{Callback: func(v url.Values) { v.Set("iss", "") }}},
		"no code":                   {faults: upstreamtest.Faults{Callback: func(v url.Values) { v.Del("code") }}, want: ErrRefused},
		"another code":              {faults: upstreamtest.Faults{Callback: func(v url.Values) { v.Set("code", "<script>alert(1)</script>") }}, want: ErrRefused},
		"an error":                  {faults: upstreamtest.Faults{Callback: func(v url.Values) { v.Set("error", "access_denied") }}, want: ErrRefused},
		"userinfo of another": {faults: upstreamtest.Faults{
			Claims: func(claims map[string]any) { delete(claims, "name") }, UserInfo: func(claims map[string]any) { claims["sub"] = "mallory" },
		}},
		"userinfo of nobody": {faults: upstreamtest.Faults{
			Claims: func(claims map[string]any) { delete(claims, "name") }, UserInfo: func(claims map[string]any) { delete(claims, "sub") },
		}},
		"Google's issuer elsewhere":   {faults: claim("iss", "idp.example")},
		"a directory that is none":    {preset: "microsoft", faults: claim("tid", "common")},
		"a directory of another":      {preset: "microsoft", faults: claim("tid", "00000000-0000-0000-0000-000000000000")},
		"no directory":                {preset: "microsoft", faults: claim("tid", nil)},
		"another host with directory": {preset: "microsoft", faults: claim("iss", "https://evil.example/9122040d-6c67-4c5b-b112-36a304b66dad/v2.0")},
		"Microsoft's metadata":        {preset: "microsoft", faults: metadata("issuer", "https://login.microsoftonline.com/common/v2.0")},
		"GitHub, nobody":              {preset: "github", faults: upstreamtest.Faults{UserInfo: func(told map[string]any) { delete(told, "id") }}},
		"GitHub, a list for an id":    {preset: "github", faults: upstreamtest.Faults{UserInfo: func(told map[string]any) { told["id"] = []int{1} }}},
		"GitHub, addresses":           {preset: "github", faults: upstreamtest.Faults{Emails: func([]map[string]any) any { return "alice@example.com" }}},
		"LinkedIn, another nonce":     {preset: "linkedin", faults: claim("nonce", "another")},
		"Apple, another nonce":        {preset: "apple", faults: claim("nonce", "another")},
	} {
		t.Run(name, func(t *testing.T) {
			preset := test.preset
			if preset == "" {
				preset = "oidc"
			}
			there := upstreamtest.New(t, preset)
			there.Misbehave(test.faults)
			want := test.want
			if want == nil {
				want = ErrUntrusted
			}
			who, tokens, err := signIn(t, speaks(there), there, setUp(t, there), Ask{})
			if !errors.Is(err, want) || who != nil || tokens != nil {
				t.Errorf("%v: %+v", err, who)
			}
			for _, other := range []error{ErrDown, ErrRefused, ErrUntrusted} {
				if !errors.Is(want, other) && errors.Is(err, other) {
					t.Errorf("it is %v as well: %v", other, err)
				}
			}
		})
	}
	// And what is unusual but right is taken.
	for name, test := range map[string]struct {
		preset string
		faults upstreamtest.Faults
	}{
		"for us among others": {"oidc", upstreamtest.Faults{Claims: func(c map[string]any) {
			c["aud"], c["azp"] = []string{"another", upstreamtest.ClientID}, upstreamtest.ClientID
		}}},
		"Google without https": {"google", upstreamtest.Faults{Claims: func(c map[string]any) { c["iss"] = "accounts.google.com" }}},
		"no at_hash":           {"oidc", upstreamtest.Faults{Claims: func(c map[string]any) { delete(c, "at_hash") }}},
		"no key id":            {"oidc", upstreamtest.Faults{Header: func(h map[jose.HeaderKey]any) { delete(h, "kid") }}},
		"a clock ahead":        {"oidc", upstreamtest.Faults{Claims: func(c map[string]any) { c["iat"] = now.Add(8 * time.Second).Unix() }}},
	} {
		there := upstreamtest.New(t, test.preset)
		there.Misbehave(test.faults)
		if _, _, err := signIn(t, speaks(there), there, setUp(t, there), Ask{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// S-232, S-233: what was said to one request is worth nothing to another.
func TestAnAnswerToAnotherRequestIsNone(t *testing.T) {
	there := upstreamtest.New(t, "oidc")
	u, p := speaks(there), setUp(t, there)
	begin := func() (*Request, Answer) {
		address, request, err := u.Begin(t.Context(), p, secret.New("st"), Ask{Callback: callback})
		if err != nil {
			t.Fatal(err)
		}
		return request, answerOf(visit(t, there, address))
	}
	mine, _ := begin()
	theirs, answer := begin()
	if who, _, err := u.Complete(t.Context(), p, mine, answer); !errors.Is(err, ErrRefused) { // the verifier is another
		t.Errorf("%+v, %v", who, err)
	}
	if who, _, err := u.Complete(t.Context(), p, theirs, answer); !errors.Is(err, ErrRefused) { // and the code is gone
		t.Errorf("%+v, %v", who, err)
	}
	// A token of another sign-in, where the verifier fits.
	mine, answer = begin()
	mine.Nonce = theirs.Nonce
	if who, _, err := u.Complete(t.Context(), p, mine, answer); !errors.Is(err, ErrUntrusted) {
		t.Errorf("%+v, %v", who, err)
	}
}

func TestWhichDirectoriesOfMicrosoftAreLetIn(t *testing.T) {
	const work, other = "9122040d-6c67-4c5b-b112-36a304b66dad", "11111111-2222-3333-4444-555555555555"
	for _, test := range []struct {
		tenant, person string
		tenants        []string
		want           error
	}{
		{tenant: "", person: work},
		{tenant: "common", person: consumers},
		{tenant: "organizations", person: work},
		{tenant: "organizations", person: consumers, want: ErrRefused},
		{tenant: "consumers", person: consumers},
		{tenant: "consumers", person: work, want: ErrRefused},
		{tenant: work, person: work},
		{tenant: work, person: other, want: ErrRefused},
		{tenant: "common", person: other, tenants: []string{work, other}},
		{tenant: "common", person: other, tenants: []string{work}, want: ErrRefused},
	} {
		there := upstreamtest.New(t, "microsoft")
		person := upstreamtest.Alice()
		person.Tenant = test.person
		there.Become(person)
		p := setUp(t, there, func(s *Settings) { s.Tenant, s.Tenants = test.tenant, test.tenants })
		who, _, err := signIn(t, speaks(there), there, p, Ask{})
		if !errors.Is(err, test.want) || err == nil && who.Issuer != "https://login.microsoftonline.com/"+test.person+"/v2.0" {
			t.Errorf("%+v: %+v, %v", test, who, err)
		}
	}
}

func TestWhoIsToProveItAnewIsAskedTo(t *testing.T) {
	there := upstreamtest.New(t, "oidc")
	u, p := speaks(there), setUp(t, there)
	who, _, err := signIn(t, u, there, p, Ask{Again: true, Hint: "alice@example.com"})
	if err != nil || time.Since(who.AuthTime) > time.Minute {
		t.Fatalf("%+v, %v", who, err)
	}
	if sent := there.Authorization(); sent.Get("prompt") != "login" || sent.Get("max_age") != "0" || sent.Get("login_hint") != "alice@example.com" {
		t.Errorf("%v", sent)
	}
	for name, at := range map[string]any{"long ago": time.Now().Add(-time.Hour).Unix(), "not said": nil, "a text": "now"} {
		there.Misbehave(upstreamtest.Faults{Claims: func(claims map[string]any) { claims["auth_time"] = at }})
		if who, _, err := signIn(t, u, there, p, Ask{Again: true}); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
	}
	there.Misbehave(upstreamtest.Faults{})
	if _, _, err := signIn(t, u, there, p, Ask{}); err != nil || there.Authorization().Has("prompt") || there.Authorization().Has("max_age") {
		t.Errorf("%v, %v", there.Authorization(), err)
	}
	if p.Proves() != true || setUp(t, upstreamtest.New(t, "github")).Proves() {
		t.Error("who proves it is another")
	}
}

// S-242: roles follow from what is mapped, and from nothing else.
func TestRolesFollowFromWhatIsMapped(t *testing.T) {
	for _, test := range []struct {
		preset, claim string
		groups        []string
		want          []string
	}{
		{"oidc", "groups", []string{"admin", "editors", "Editors", "staff"}, []string{"editor", "reader"}},
		{"oidc", "groups", []string{"admin", "owner"}, nil},
		{"oidc", "", []string{"editors"}, nil},
		{"gitlab", "groups", []string{"editors"}, []string{"editor"}},
		{"oauth2", "https://old.example/teams", []string{"staff"}, []string{"reader", "editor"}},
	} {
		there := upstreamtest.New(t, test.preset)
		person := upstreamtest.Alice()
		person.Groups = test.groups
		there.Become(person)
		p := setUp(t, there, func(s *Settings) {
			if s.Roles.Claim = test.claim; test.claim != "" {
				s.Roles.Map = map[string][]string{"editors": {"editor"}, "staff": {"reader", "editor"}}
			}
		})
		who, _, err := signIn(t, speaks(there), there, p, Ask{})
		if err != nil || !slices.Equal(who.Roles, test.want) {
			t.Errorf("%+v: %+v, %v", test, who, err)
		}
	}
}

func TestTokensAreRefreshed(t *testing.T) {
	there := upstreamtest.New(t, "apple")
	u, p := speaks(there), setUp(t, there)
	_, tokens, err := signIn(t, u, there, p, Ask{})
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := u.Refresh(t.Context(), p, tokens.Refresh)
	if err != nil || renewed.Access == tokens.Access || renewed.Refresh == "" || renewed.Expires.IsZero() {
		t.Fatalf("%+v, %v", renewed, err)
	}
	if _, err := u.Refresh(t.Context(), p, tokens.Refresh); !errors.Is(err, ErrRefused) || !errors.Is(err, ErrEnded) {
		t.Errorf("a spent one: %v", err)
	}
	p.ClientID = "another"
	if _, err := u.Refresh(t.Context(), p, renewed.Refresh); !errors.Is(err, ErrRefused) || errors.Is(err, ErrEnded) {
		t.Errorf("by another client: %v", err)
	}
}

// S-244, F-28: whatever is the matter with a provider, whoever waits is told within five seconds; and soon nobody waits any more.
func TestAProviderThatDoesNotAnswerIsLeftAloneForAWhile(t *testing.T) {
	alone := func(endpoint string, answer http.HandlerFunc) upstreamtest.Faults {
		return upstreamtest.Faults{Down: func(w http.ResponseWriter, r *http.Request, asked string) bool {
			if asked != endpoint {
				return false
			}
			answer(w, r)
			return true
		}}
	}
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<script>alert(1)</script>", code) }
	}
	for _, endpoint := range []string{"metadata", "keys", "token", "userinfo"} {
		for name, answer := range map[string]http.HandlerFunc{"hangs": hang, "is broken": status(500), "is busy": status(429)} {
			t.Run(endpoint+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					there := upstreamtest.New(t, "gitlab") // which is asked for userinfo every time
					u, p := speaks(there), setUp(t, there)
					there.Misbehave(alone(endpoint, answer))
					for range breakAfter {
						began := time.Now()
						if _, _, err := signIn(t, u, there, p, Ask{}); !errors.Is(err, ErrDown) || strings.Contains(err.Error(), "script") {
							t.Fatalf("%v", err)
						}
						if took := time.Since(began); took > 5*time.Second {
							t.Errorf("it took %v", took)
						}
					}
					there.Asked()
					if _, _, err := u.Begin(t.Context(), p, "state", Ask{}); !errors.Is(err, ErrDown) || len(there.Asked()) > 0 {
						t.Errorf("it is asked again: %v", err)
					}
					// Somebody else's provider is another matter.
					if _, _, err := u.Begin(t.Context(), setUp(t, upstreamtest.New(t, "github")), "state", Ask{}); err != nil {
						t.Error(err)
					}
					there.Misbehave(upstreamtest.Faults{})
					time.Sleep(keysAgain)
					if _, _, err := signIn(t, u, there, p, Ask{}); err != nil {
						t.Errorf("it is back, and %v", err)
					}
				})
			})
		}
	}
}

// S-244: however little at a time it says, and if all that it is asked for takes long, nobody waits for more than five seconds.
func TestAProviderThatIsSlowAtEverythingIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		there := upstreamtest.New(t, "gitlab")
		u, p := speaks(there), setUp(t, there)
		there.Misbehave(upstreamtest.Faults{Down: func(_ http.ResponseWriter, r *http.Request, _ string) bool {
			select {
			case <-time.After(2 * time.Second):
			case <-r.Context().Done():
			}
			return false
		}})
		address, request, err := u.Begin(t.Context(), p, "state", Ask{Callback: callback})
		if err != nil {
			t.Fatal(err)
		}
		answer := answerOf(visit(t, there, address))
		began := time.Now() // it is asked for a token, keys and userinfo
		if _, _, err := u.Complete(t.Context(), p, request, answer); !errors.Is(err, ErrDown) || time.Since(began) > 5*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
	there := upstreamtest.Serve(t, "github")
	settings, err := Parse(there.Settings())
	if err != nil {
		t.Fatal(err)
	}
	u := New(outbound.New(outbound.Options{AllowLoopback: true, Timeout: 200 * time.Millisecond}))
	p := &Provider{ClientID: upstreamtest.ClientID, ClientSecret: upstreamtest.ClientSecret, Settings: settings}
	for _, endpoint := range []string{"token", "userinfo", "emails"} {
		p.ID = uuid.New()
		there.Misbehave(upstreamtest.Faults{Down: func(w http.ResponseWriter, r *http.Request, asked string) bool {
			if asked == endpoint {
				upstreamtest.Dribble(w, r)
			}
			return asked == endpoint
		}})
		address, request, err := u.Begin(t.Context(), p, "state", Ask{Callback: callback})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, _, err := u.Complete(t.Context(), p, request, answerOf(visit(t, there, address))); !errors.Is(err, ErrDown) || time.Since(began) > 5*time.Second {
			t.Errorf("%s, after %v: %v", endpoint, time.Since(began), err)
		}
	}
}

// S-244: what is no answer is not taken for one, whatever it is asked for; and it is told from a provider that does not answer.
func TestWhatIsNoAnswerIsNotBelieved(t *testing.T) {
	deep := strings.Repeat(`{"a":[`, 20_000)
	for name, answer := range map[string]struct{ kind, body string }{
		"a page": {"text/html", "<script>alert(1)</script>"}, "nothing": {"application/json", ""}, "null": {"application/json", "null"}, "a list": {"application/json", "[]"},
		"a text": {"application/json", `"keys"`}, "half of it": {"application/json", `{"issuer":"https://idp.ex`}, "two": {"application/json", `{}{}`},
		"nested": {"application/json", deep}, "nested to the end": {"application/json", deep + strings.Repeat("]}", 20_000)},
		"bytes": {"application/json", "{\"a\":\"\xff\x00\"}"}, "a picture": {"image/png", "\x89PNG"}, "a form": {"application/x-www-form-urlencoded", "a=b"},
		"members of another kind": {"application/json", `{"issuer":[],"keys":{},"access_token":7,"sub":{},"id":{}}`},
	} {
		for preset, endpoints := range map[string][]string{"gitlab": {"metadata", "keys", "token", "userinfo"}, "github": {"token", "userinfo", "emails"}} {
			for _, endpoint := range endpoints {
				there := upstreamtest.New(t, preset)
				there.Misbehave(upstreamtest.Faults{Down: func(w http.ResponseWriter, _ *http.Request, asked string) bool {
					if asked == endpoint {
						w.Header().Set("Content-Type", answer.kind)
						_, _ = w.Write([]byte(answer.body))
					}
					return asked == endpoint
				}})
				who, _, err := signIn(t, speaks(there), there, setUp(t, there), Ask{})
				if endpoint == "emails" && name == "a list" {
					if err != nil || who.Email != "" || who.Verified { // somebody without an address
						t.Errorf("%s: %+v, %v", name, who, err)
					}
					continue
				}
				if !errors.Is(err, ErrUntrusted) || errors.Is(err, ErrDown) || who != nil || strings.Contains(err.Error(), "script") {
					t.Errorf("%s of %s is %s: %v, %+v", endpoint, preset, name, err, who)
				}
			}
		}
	}
}

// S-286: what proves to Facebook who asks stands in an address, and in no error.
func TestAnErrorHoldsNothingThatOpensAnything(t *testing.T) {
	there := upstreamtest.Serve(t, "facebook")
	settings, err := Parse(there.Settings())
	if err != nil {
		t.Fatal(err)
	}
	u := New(outbound.New(outbound.Options{AllowLoopback: true}))
	p := &Provider{ID: uuid.New(), ClientID: upstreamtest.ClientID, ClientSecret: upstreamtest.ClientSecret, Settings: settings}
	for name, answer := range map[string]http.HandlerFunc{
		"hangs up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"is broken": func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, r.URL.String()+r.Header.Get("Authorization"), http.StatusInternalServerError)
		},
		"refuses": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) },
		"lies":    func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.URL.String())) },
	} {
		there.Misbehave(upstreamtest.Faults{Down: func(w http.ResponseWriter, r *http.Request, asked string) bool {
			if asked == "userinfo" {
				answer(w, r)
			}
			return asked == "userinfo"
		}})
		_, _, err := signIn(t, u, there, p, Ask{})
		if err == nil || strings.Contains(err.Error(), "appsecret_proof") || strings.Contains(err.Error(), "at-") || strings.Contains(err.Error(), "Bearer") {
			t.Errorf("one that %s: %v", name, err)
		}
	}
}

func TestOneTryShowsWhetherAProviderIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		there := upstreamtest.New(t, "github")
		u, p := speaks(there), setUp(t, there)
		there.Misbehave(upstreamtest.Faults{Down: func(_ http.ResponseWriter, r *http.Request, endpoint string) bool {
			if endpoint != "token" {
				return false
			}
			<-r.Context().Done()
			return true
		}})
		var all sync.WaitGroup
		var mu sync.Mutex
		asked, told := 0, 0
		many := func(n int) {
			for range n {
				all.Go(func() {
					_, _, err := u.Complete(t.Context(), p, &Request{Callback: callback}, Answer{Code: "c"})
					mu.Lock()
					defer mu.Unlock()
					if told++; !errors.Is(err, ErrDown) {
						t.Errorf("%v", err)
					}
				})
			}
			all.Wait()
			asked += len(there.Asked())
		}
		many(places + 20)
		if asked != places || told != places+20 {
			t.Errorf("%d of %d were let to wait", asked, told)
		}
		time.Sleep(breakFor + time.Second)
		asked = 0
		many(20)
		if asked != 1 {
			t.Errorf("%d have tried", asked)
		}
		// Whoever gives up says nothing of the provider.
		time.Sleep(breakFor + time.Second)
		gone, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		if _, _, err := u.Complete(gone, p, &Request{}, Answer{Code: "c"}); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrDown) {
			t.Errorf("%v", err)
		}
	})
}

// Keys that a provider has changed are found, and a token that names a key of nobody has nothing fetched again and again (S-096).
func TestKeysAreAskedForRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		there := upstreamtest.New(t, "oidc")
		u, p := speaks(there), setUp(t, there)
		if _, _, err := signIn(t, u, there, p, Ask{}); err != nil {
			t.Fatal(err)
		}
		there.Asked()
		there.Misbehave(upstreamtest.Faults{Header: func(h map[jose.HeaderKey]any) { h["kid"] = secret.New("kid") }})
		for range 100 {
			if _, _, err := signIn(t, u, there, p, Ask{}); !errors.Is(err, ErrUntrusted) {
				t.Fatal(err)
			}
		}
		if n := count(there.Asked(), "keys"); n > 1 {
			t.Errorf("keys were fetched %d times", n)
		}
		// Without its metadata and keys it is known for a day.
		there.Misbehave(upstreamtest.Faults{Down: func(w http.ResponseWriter, _ *http.Request, endpoint string) bool {
			if endpoint != "metadata" && endpoint != "keys" {
				return false
			}
			http.Error(w, "out of order", http.StatusBadGateway)
			return true
		}})
		time.Sleep(20 * time.Hour)
		if _, _, err := signIn(t, u, there, p, Ask{}); err != nil {
			t.Errorf("after a while: %v", err)
		}
		time.Sleep(20 * time.Hour)
		if _, _, err := signIn(t, u, there, p, Ask{}); !errors.Is(err, ErrDown) {
			t.Errorf("after days: %v", err)
		}
	})
}

func count(all []string, one string) (n int) {
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}

// S-161, S-162, S-237, S-244: what is asked goes by the guarded client; what it refuses is a provider that does not answer.
func TestAProviderWithinIsNotSpokenTo(t *testing.T) {
	u := New(outbound.New(outbound.Options{Timeout: time.Second}))
	for _, address := range []string{"https://127.0.0.1", "https://169.254.169.254", "https://localhost", "http://idp.example", "https://idp.example:22"} {
		p := &Provider{ID: uuid.New(), Settings: &Settings{Preset: Generic, Issuer: address}}
		if _, _, err := u.Begin(t.Context(), p, "state", Ask{}); !errors.Is(err, ErrDown) {
			t.Errorf("%s: %v", address, err)
		}
		if err := p.Settings.Validate(outbound.Options{}); err == nil {
			t.Errorf("%s can be set", address)
		}
	}
	there := upstreamtest.Serve(t, "oidc")
	here := New(outbound.New(outbound.Options{AllowLoopback: true}))
	settings, err := Parse(there.Settings())
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{ID: uuid.New(), ClientID: upstreamtest.ClientID, ClientSecret: upstreamtest.ClientSecret, Settings: settings}
	for name, faults := range map[string]upstreamtest.Faults{
		"a bomb": {Down: func(w http.ResponseWriter, r *http.Request, _ string) bool {
			chunk := make([]byte, 1<<16)
			for r.Context().Err() == nil {
				if _, err := w.Write(chunk); err != nil {
					break
				}
			}
			return true
		}},
		"packed": {Down: func(w http.ResponseWriter, _ *http.Request, _ string) bool {
			w.Header().Set("Content-Encoding", "gzip")
			return true
		}},
		"elsewhere": {Down: func(w http.ResponseWriter, r *http.Request, _ string) bool {
			http.Redirect(w, r, "/", http.StatusFound)
			return true
		}},
	} {
		p.ID = uuid.New()
		there.Misbehave(faults)
		if _, _, err := here.Begin(t.Context(), p, "state", Ask{}); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	there.Misbehave(upstreamtest.Faults{})
	p.ID = uuid.New()
	if _, _, err := here.Begin(t.Context(), p, "state", Ask{}); err != nil {
		t.Error(err)
	}
	// Nor is one that cannot show who it is, until the operator believes whoever vouches for it.
	secured, certificate := upstreamtest.ServeTLS(t, "oidc")
	if settings, err = Parse(secured.Settings()); err != nil {
		t.Fatal(err)
	}
	p.ID, p.Settings = uuid.New(), settings
	if _, _, err := here.Begin(t.Context(), p, "state", Ask{}); !errors.Is(err, ErrDown) || len(secured.Asked()) != 0 {
		t.Errorf("a certificate of nobody: %v", err)
	}
	believed := x509.NewCertPool()
	believed.AddCert(certificate)
	p.ID = uuid.New()
	if _, _, err := New(outbound.New(outbound.Options{AllowLoopback: true, RootCAs: believed})).Begin(t.Context(), p, "state", Ask{}); err != nil {
		t.Error(err)
	}
}

// S-244: what is not where it should be is one that does not answer, where everybody needs it, and a refusal where it is about somebody.
func TestWhatIsNotThereIsNoAnswer(t *testing.T) {
	for endpoint, want := range map[string]error{"metadata": ErrDown, "keys": ErrDown, "token": ErrRefused, "userinfo": ErrRefused} {
		there := upstreamtest.New(t, "gitlab")
		there.Misbehave(upstreamtest.Faults{Down: func(w http.ResponseWriter, r *http.Request, asked string) bool {
			if asked == endpoint {
				http.NotFound(w, r)
			}
			return asked == endpoint
		}})
		if who, _, err := signIn(t, speaks(there), there, setUp(t, there), Ask{}); !errors.Is(err, want) || who != nil {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

func FuzzWhatAProviderTells(f *testing.F) {
	for _, seed := range []string{
		`{"sub":"1","email":"a@b.example","email_verified":true}`, `{"sub":1e400}`, `{"a":{"b":{"c":"d"}}}`, `{"sub":null}`, `[]`, `{"sub":"\u202e"}`, `{"sub":"a","SUB":"b"}`,
		`{"groups":["a",1,null,{"b":"c"}]}`, `{"a.b":"c","a":{"b":"d"}}`,
	} {
		f.Add(seed, "a.b")
	}
	f.Fuzz(func(t *testing.T, text, path string) {
		told, err := members([]byte(text))
		if err != nil {
			return
		}
		p := plan{Preset: Preset{Claims: map[string]string{claimSubject: "sub", claimEmail: path, claimName: path, "picture": path}, Verified: path}, Provider: &Provider{
			Settings: &Settings{Roles: Roles{Claim: path, Map: map[string][]string{"a": {"editor"}}}},
		}}
		var who Identity
		p.describe(&who, []map[string]any{told})
		for _, shown := range []string{who.Email, who.Name, who.Claims["picture"]} {
			if unprintable(shown) || len(shown) > maxValue {
				t.Errorf("%q", shown)
			}
		}
		if len(who.Roles) > 1 || who.Verified && !isTrue(find(told, path)) {
			t.Errorf("%+v", who)
		}
	})
}

func FuzzAppleUser(f *testing.F) {
	for _, seed := range []string{`{"name":{"firstName":"A","lastName":"B"},"email":"a@b.example"}`, `{`, `{"name":7}`, `null`, `{"name":{"firstName":"\u0000"}}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var who Identity
		for name, value := range appleName(text) {
			who.say(name, value)
		}
		if unprintable(who.Name) || who.Email != "" || who.Subject != "" {
			t.Errorf("%+v", who)
		}
	})
}

func TestSettingsComeBackAsTheyWereWritten(t *testing.T) {
	for _, preset := range slices.Sorted(maps.Keys(upstreamtest.Profiles())) {
		settings, err := Parse(upstreamtest.New(t, preset).Settings())
		if err != nil {
			t.Fatal(err)
		}
		settings.Title, settings.HomeDomains, settings.Roles = "Ünï", []string{"bücher.example"}, Roles{"groups", map[string][]string{"a": {"b"}}}
		if err := settings.Validate(outbound.Options{}); err != nil {
			t.Fatal(preset, err)
		}
		stored, err := settings.Map()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(stored)
		before, _ := json.Marshal(settings)
		after, _ := json.Marshal(again)
		if err != nil || string(before) != string(after) || again.HomeDomains[0] != "xn--bcher-kva.example" {
			t.Errorf("%s, %v", after, err)
		}
	}
	for _, stored := range []map[string]any{nil, {}, {"preset": "myspace"}, {"preset": "oidc", "sign_up": "perhaps"}, {"preset": 7}} {
		if s, err := Parse(stored); err == nil {
			t.Errorf("%v: %+v", stored, s)
		}
	}
	if s, err := Parse(map[string]any{"preset": "google", "gadgets": true}); err != nil || s.SignUp != SignUpFollow || s.Called("g") != "Google" {
		t.Errorf("%+v, %v", s, err)
	}
}

// S-088, S-018: what an organization may not decide about a provider, and everything at once.
func TestSettingsThatAreWrongAreSaidAtOnce(t *testing.T) {
	for text, paths := range map[string][]string{
		`{"preset":"myspace"}`: {"preset"},
		`{"preset":"oidc"}`:    {"issuer"},
		`{"preset":"oidc","issuer":"http://idp.example","token_endpoint":"https://idp.example/t","scopes":["profile"],"tenant":"common","team_id":"A1B2C3D4E5"}`: {
			"issuer", "scopes", "team_id", "tenant", "token_endpoint",
		},
		`{"preset":"oidc","issuer":"https://idp.example?a=b"}`: {"issuer"},
		`{"preset":"oidc","issuer":"javascript:alert(1)"}`:     {"issuer"},
		`{"preset":"oauth2"}`:                                  {"authorization_endpoint", "token_endpoint", "userinfo_endpoint"},
		`{"preset":"apple"}`:                                   {"key_id", "team_id"},
		`{"preset":"microsoft","issuer":"https://login.example/v2.0","tenant":"acme","tenants":["x"]}`: {"issuer", "tenant", "tenants"},
		`{"preset":"google","title":" a","hosts":["evil.example/x","10.0.0.1"],"auth_method":"magic","response_mode":"fragment","sign_up":"perhaps"}`: {
			"auth_method", "hosts", "hosts", "response_mode", "sign_up", "title",
		},
		`{"preset":"google","claims":{"sub":"id","iss":"x","roles":"groups","email_verified":"","org_id":"x","phone_number_verified":"x"}}`: {
			"claims.email_verified", "claims.iss", "claims.org_id", "claims.phone_number_verified", "claims.roles",
		},
		`{"preset":"google","parameters":{"redirect_uri":"https://evil.example","state":"x","hd":"example.com","a b":"c","x":"a\nb"}}`: {
			"parameters.a b", "parameters.redirect_uri", "parameters.state", "parameters.x",
		},
		`{"preset":"google","domains":["a@b.example"],"home_domains":["com"],"trusted_domains":[""],"roles":{"map":{"a":[]}}}`: {
			"domains", "home_domains", "roles.claim", "roles.map.a", "trusted_domains",
		},
		`{"preset":"google","emails_endpoint":"https://x.example/"}`: {"emails_endpoint", "emails_endpoint"},
	} {
		var stored map[string]any
		if err := json.Unmarshal([]byte(text), &stored); err != nil {
			t.Fatal(err)
		}
		var s Settings
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, complaint := range Complaints(s.Validate(outbound.Options{})) {
			found = append(found, complaint.Path)
		}
		slices.Sort(found)
		if !slices.Equal(found, paths) {
			t.Errorf("%s:\n%v, want\n%v", text, found, paths)
		}
	}
}

func TestTheOperationsManualHasEveryMember(t *testing.T) {
	manual, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	want.WriteString("| member | type | meaning |\n|---|---|---|\n")
	for _, m := range Members() {
		want.WriteString("| `" + m.Path + "` | " + m.Type + " | " + m.Meaning + " |\n")
	}
	if !strings.Contains(string(manual), want.String()) {
		t.Errorf("docs/operations.md lacks this table:\n%s", want.String())
	}
	for _, preset := range Presets() {
		if !strings.Contains(string(manual), "| `"+preset.Name+"` | ") {
			t.Errorf("docs/operations.md does not say what is registered at %s", preset.Name)
		}
	}
}

// S-241
func TestADomainIsWhatStandsBehindTheLastAt(t *testing.T) {
	s := &Settings{Preset: "google", Domains: []string{"CORP.com"}, HomeDomains: []string{"corp.com"}}
	if err := s.Validate(outbound.Options{}); err != nil {
		t.Fatal(err)
	}
	for address, fine := range map[string]bool{
		"a@corp.com": true, "a@evil.com@corp.com": true /* which is no address, and comes to nobody here */, "a@corp.com.evil": false, "a@sub.corp.com": false,
		"a@xcorp.com": false, "corp.com": false, "@corp.com": false, "a@corp.com.": false, "a@CORP.com": false /* not canonical */, "": false,
	} {
		if s.Lets(address, true) != fine || s.IsHomeOf(address) != fine {
			t.Errorf("%q: %v", address, !fine)
		}
		if s.Lets(address, false) {
			t.Errorf("%q is let in, though it is nobody's", address)
		}
	}
	if open := (&Settings{}); !open.Lets("", false) {
		t.Error("without domains somebody is kept out")
	}
	s.Disabled = true
	if s.IsHomeOf("a@corp.com") {
		t.Error("people are sent where nobody signs in")
	}
}
