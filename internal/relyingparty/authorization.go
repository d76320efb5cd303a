package relyingparty

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/keizer-auth/keizer/internal/secret"
)

// Ask is what a client may say in its authorization request beside what it always says. Empty members are left out.
type Ask struct {
	Scope        []string // "openid" alone when empty
	Prompt       string
	MaxAge       *int // seconds
	LoginHint    string
	IDTokenHint  string
	ACRValues    string
	UILocales    string
	ResponseMode string
	Resource     string // RFC 8707
}

// Request is an authorization request under way. Its owner keeps it where the browser cannot read it, between the
// redirect and the callback, and uses it once.
type Request struct {
	URL      string // where the browser goes
	State    string // ties the callback to this browser (RFC 6749 §10.12)
	Nonce    string // ties the ID token to this request (OpenID Connect Core 1.0 §3.1.2.1)
	Verifier secret.Text
	At       time.Time // when the request was made: max_age counts from here
	Ask      Ask
}

// Begin makes an authorization request with a fresh state, nonce and code verifier. The challenge is always S256.
func (c *Client) Begin(ask Ask) *Request {
	r := &Request{
		State: rand.Text(), Nonce: rand.Text(), Verifier: secret.Text(oauth2.GenerateVerifier()),
		At: time.Now(), Ask: ask,
	}

	options := []oauth2.AuthCodeOption{oidc.Nonce(r.Nonce), oauth2.S256ChallengeOption(r.Verifier.Reveal())}
	set := func(name, value string) {
		if value != "" {
			options = append(options, oauth2.SetAuthURLParam(name, value))
		}
	}
	set("prompt", ask.Prompt)
	if ask.MaxAge != nil {
		set("max_age", strconv.Itoa(*ask.MaxAge))
	}
	set("login_hint", ask.LoginHint)
	set("id_token_hint", ask.IDTokenHint)
	set("acr_values", ask.ACRValues)
	set("ui_locales", ask.UILocales)
	set("response_mode", ask.ResponseMode)
	set("resource", ask.Resource)

	config := c.oauth()
	config.Scopes = ask.Scope
	if len(config.Scopes) == 0 {
		config.Scopes = []string{oidc.ScopeOpenID}
	}
	r.URL = config.AuthCodeURL(r.State, options...)
	return r
}

// Code checks what came back at the redirect URI and returns the authorization code. The issuer is looked at before
// anything else is believed (RFC 9207 §2.4), then the state, and only then an error that the server reports.
func (c *Client) Code(r *Request, answer url.Values) (string, error) {
	for name, values := range answer {
		if len(values) > 1 {
			return "", &MismatchError{name, "the parameter came more than once"} // RFC 6749 §3.1
		}
	}
	switch iss, want := answer.Get("iss"), c.metadata.Issuer; {
	case iss == "" && c.metadata.IssParameter:
		return "", &MismatchError{"iss", "the answer does not name its issuer, though the server promises that it does"}
	case answer.Has("iss") && iss != want:
		return "", &MismatchError{"iss", fmt.Sprintf("the answer comes from %q, the request went to %q", printable(iss, 200), want)}
	}
	if !answer.Has("state") || !secret.Equal(answer.Get("state"), r.State) {
		return "", &MismatchError{"state", "the answer does not belong to the request that this browser made"}
	}
	if code := answer.Get("error"); code != "" {
		return "", &RefusedError{Step: "authorization", Code: code, Description: answer.Get("error_description")}
	}
	for _, name := range []string{"access_token", "id_token"} {
		if answer.Has(name) {
			return "", &MismatchError{name, "a token came by the browser, which response_type=code never does"}
		}
	}
	if answer.Get("code") == "" {
		return "", &MismatchError{"code", "the answer has neither a code nor an error"}
	}
	return answer.Get("code"), nil
}

// Expect is what the ID token of this request must agree with.
func (r *Request) Expect(accessToken string) Expect {
	return Expect{Nonce: r.Nonce, AccessToken: accessToken, MaxAge: r.Ask.MaxAge, RequestedAt: r.At}
}

// Scopes splits a scope parameter (RFC 6749 §3.3).
func Scopes(scope string) []string { return strings.Fields(scope) }
