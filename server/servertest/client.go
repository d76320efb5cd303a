package servertest

import (
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/internal/formbrowser"
)

// Client is a registered client, as its developer holds it.
type Client struct {
	ID, Secret, Issuer, Redirect string
	house                        *House
}

// Verifier is the code_verifier of every request that AuthorizeURL makes.
const Verifier = "a-code-verifier-that-is-long-enough-for-rfc-7636"

// Challenge is the S256 challenge of a verifier.
func Challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// AuthorizeURL is an authorization request, with PKCE. The parameters given, in pairs, are added to the usual ones or stand
// in their place; an empty value takes one away.
func (c *Client) AuthorizeURL(params ...string) string {
	query := url.Values{
		"client_id": {c.ID}, "redirect_uri": {c.Redirect}, "response_type": {"code"}, "scope": {"openid"}, "state": {"the-state"},
		"nonce": {"the-nonce"}, "code_challenge": {Challenge(Verifier)}, "code_challenge_method": {"S256"},
	}
	for i := 0; i+1 < len(params); i += 2 {
		if params[i+1] == "" {
			query.Del(params[i])
		} else {
			query.Set(params[i], params[i+1])
		}
	}
	return c.house.At(c.Issuer + "/oauth2/authorize?" + query.Encode())
}

// Token sends a request to the token endpoint, authenticated as the client is.
func (c *Client) Token(params ...string) *Answer { return c.TokenAt(c.house, params...) }

// TokenAt sends it to another replica.
func (c *Client) TokenAt(h *House, params ...string) *Answer {
	h.t.Helper()
	return c.PostAt(h, "/oauth2/token", params...)
}

// Post sends a form to an endpoint of the issuer, authenticated as the client is.
func (c *Client) Post(endpoint string, params ...string) *Answer {
	c.house.t.Helper()
	return c.PostAt(c.house, endpoint, params...)
}

// PostAt sends it to another replica.
func (c *Client) PostAt(h *House, endpoint string, params ...string) *Answer {
	h.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(params); i += 2 {
		form.Set(params[i], params[i+1])
	}
	if c.Secret == "" {
		form.Set("client_id", c.ID)
		return h.Post(c.Issuer+endpoint, form)
	}
	return h.Post(c.Issuer+endpoint, form, "Authorization", c.Basic())
}

// Basic is the client's Authorization header.
func (c *Client) Basic() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(c.ID)+":"+url.QueryEscape(c.Secret)))
}

// Redeem exchanges a code.
func (c *Client) Redeem(code string) *Answer {
	c.house.t.Helper()
	return c.Token("grant_type", "authorization_code", "code", code, "redirect_uri", c.Redirect, "code_verifier", Verifier)
}

// Refresh exchanges a refresh token.
func (c *Client) Refresh(token string, params ...string) *Answer {
	c.house.t.Helper()
	return c.Token(append([]string{"grant_type", "refresh_token", "refresh_token", token}, params...)...)
}

// Active asks whether a token is active.
func (c *Client) Active(token string) bool {
	c.house.t.Helper()
	answer := c.Post("/oauth2/introspect", "token", token)
	if answer.Status != 200 {
		c.house.t.Fatalf("introspection answered %d %s", answer.Status, answer.Body)
	}
	active, ok := answer.JSON()["active"].(bool)
	if !ok {
		c.house.t.Fatalf("introspection answered %s", answer.Body)
	}
	return active
}

// Browser returns a new browser, which stops at the client's redirect URI.
func (c *Client) Browser() *formbrowser.Browser {
	return formbrowser.New(formbrowser.Options{StopAt: c.Redirect})
}

// Visitor is somebody at a browser.
type Visitor struct {
	*formbrowser.Browser
	t testing.TB
}

// Visitor returns somebody new at a new browser.
func (c *Client) Visitor() *Visitor { return &Visitor{c.Browser(), c.house.t} }

// VisitorOf returns somebody new at a new browser, who is on the way to no application.
func VisitorOf(t testing.TB) *Visitor {
	return &Visitor{formbrowser.New(formbrowser.Options{SendIncomplete: true}), t}
}

// VisitorWith returns somebody at a browser of the test's own.
func VisitorWith(t testing.TB, browser *formbrowser.Browser) *Visitor { return &Visitor{browser, t} }

// Go opens an address.
func (v *Visitor) Go(address string) *formbrowser.Page {
	v.t.Helper()
	page, err := v.Open(v.t.Context(), address)
	if err != nil {
		v.t.Fatal(err)
	}
	return page
}

// Press presses a button.
func (v *Visitor) Press(page *formbrowser.Page, id string) *formbrowser.Page {
	v.t.Helper()
	next, err := page.Click(v.t.Context(), id)
	if err != nil {
		v.t.Fatalf("%v\n%s", err, page.Body)
	}
	return next
}

// SignIn fills in the login page that is shown, and presses its button.
func (v *Visitor) SignIn(page *formbrowser.Page, username, password string) *formbrowser.Page {
	v.t.Helper()
	if err := page.Fill("username", username); err != nil {
		v.t.Fatalf("%v\n%d %s\n%s", err, page.Status, page.URL, page.Body)
	}
	if err := page.Fill("password", password); err != nil {
		v.t.Fatal(err)
	}
	return v.Press(page, "login-submit")
}

// Through walks a request to its end: it signs in and allows, whatever is asked, and returns what arrived at the client.
func (v *Visitor) Through(address, username string) url.Values {
	v.t.Helper()
	page := v.Go(address)
	for range 4 {
		if arrived, ok := page.Arrived(); ok {
			return arrived
		}
		switch page.Title {
		case "Sign in":
			page = v.SignIn(page, username, Password)
		case "Allow access":
			page = v.Press(page, "consent-allow")
		default:
			v.t.Fatalf("%d %q at %s\n%s", page.Status, page.Title, page.URL, page.Body)
		}
	}
	v.t.Fatalf("no end: %q at %s", page.Title, page.URL)
	return nil
}

// Code walks a request to its code.
func (v *Visitor) Code(address, username string) string {
	v.t.Helper()
	arrived := v.Through(address, username)
	if arrived.Get("code") == "" {
		v.t.Fatalf("no code: %v", arrived)
	}
	return arrived.Get("code")
}

// Tokens signs somebody in, with the scope given, and returns the token answer.
func (c *Client) Tokens(username, scope string) *Answer {
	c.house.t.Helper()
	answer := c.Redeem(c.Visitor().Code(c.AuthorizeURL("scope", scope), username))
	if answer.Status != 200 {
		c.house.t.Fatalf("token endpoint answered %d %s", answer.Status, answer.Body)
	}
	return answer
}

// Claims decodes the payload of a JWT, unverified.
func Claims(t testing.TB, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWT", token)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	return (&Answer{Body: string(payload)}).JSON()
}
