package relyingparty

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Tokens is a successful answer of the token endpoint (RFC 6749 §5.1). It holds live secrets.
type Tokens struct {
	AccessToken  string
	TokenType    string
	RefreshToken string // as the answer had it: empty when it brought none
	IDToken      string
	Scope        string // empty when the answer left it out, which means "as asked"
	ExpiresIn    int64  // seconds; 0 when the answer left it out
	ReceivedAt   time.Time
}

// Redeem exchanges the code of a request for tokens (RFC 6749 §4.1.3, RFC 7636 §4.5).
func (c *Client) Redeem(ctx context.Context, r *Request, code string) (*Tokens, error) {
	answer, err := c.oauth().Exchange(oidc.ClientContext(ctx, c.http), code, oauth2.VerifierOption(r.Verifier.Reveal()))
	if err != nil {
		return nil, tokenFailure(err)
	}
	return tokens(answer)
}

// Refresh exchanges a refresh token for new tokens (RFC 6749 §6). An answer without a refresh token means that the one
// given stays in use.
func (c *Client) Refresh(ctx context.Context, refreshToken string) (*Tokens, error) {
	if refreshToken == "" {
		return nil, ErrNoRefreshToken
	}
	source := c.oauth().TokenSource(oidc.ClientContext(ctx, c.http), &oauth2.Token{RefreshToken: refreshToken})
	answer, err := source.Token()
	if err != nil {
		return nil, tokenFailure(err)
	}
	return tokens(answer)
}

func tokens(answer *oauth2.Token) (*Tokens, error) {
	t := &Tokens{AccessToken: answer.AccessToken, TokenType: answer.TokenType, ExpiresIn: answer.ExpiresIn, ReceivedAt: time.Now()}
	t.RefreshToken, _ = answer.Extra("refresh_token").(string) // x/oauth2 fills in the old one; the answer itself is wanted
	t.IDToken, _ = answer.Extra("id_token").(string)
	t.Scope, _ = answer.Extra("scope").(string)
	if !strings.EqualFold(t.TokenType, "Bearer") {
		// A client must not use a token whose type it does not understand (RFC 6749 §7.1).
		return nil, &MismatchError{"token_type", fmt.Sprintf("it is %q, expected Bearer", printable(t.TokenType, 32))}
	}
	return t, nil
}

func tokenFailure(err error) error {
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return fmt.Errorf("token: %w", err)
	}
	return &RefusedError{Step: "token", Status: refused.Response.StatusCode, Code: refused.ErrorCode, Description: refused.ErrorDescription}
}

// UserInfo asks who the access token is for (OpenID Connect Core 1.0 §5.3) and insists that it is the person of the ID
// token (§5.3.2): anything else is a token substitution.
func (c *Client) UserInfo(ctx context.Context, accessToken, subject string) (map[string]any, error) {
	if c.metadata.UserinfoEndpoint == "" {
		return nil, &MismatchError{"discovery", "userinfo_endpoint is missing"}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.metadata.UserinfoEndpoint, nil)
	if err != nil {
		return nil, fmt.Errorf("userinfo: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+accessToken)
	resp, body, err := c.do(r)
	if err != nil {
		return nil, fmt.Errorf("userinfo: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refusal("userinfo", resp, body)
	}
	if mediaType(resp) == "application/jwt" {
		// A signed answer has iss and aud and need not expire (§5.3.2).
		token, err := c.provider.VerifierContext(oidc.ClientContext(ctx, c.http), &oidc.Config{ClientID: c.config.ClientID, SkipExpiryCheck: true}).
			Verify(ctx, string(body))
		if err != nil {
			return nil, &MismatchError{"userinfo", "the signed answer does not verify: " + printable(err.Error(), 300)}
		}
		if err := token.Claims((*json.RawMessage)(&body)); err != nil {
			return nil, fmt.Errorf("userinfo: %w", err)
		}
	} else if mediaType(resp) != "application/json" {
		return nil, &MismatchError{"userinfo", fmt.Sprintf("Content-Type is %q, expected application/json", printable(resp.Header.Get("Content-Type"), 64))}
	}
	claims, err := object(body)
	if err != nil {
		return nil, &MismatchError{"userinfo", "the answer is not a JSON object"}
	}
	if sub, _ := claims["sub"].(string); sub == "" || sub != subject {
		return nil, &MismatchError{"userinfo", fmt.Sprintf("sub is %q, the ID token is for %q", printable(sub, 255), subject)}
	}
	return claims, nil
}

// Introspect asks about a token (RFC 7662 §2.1). Only a client with a secret can.
func (c *Client) Introspect(ctx context.Context, token, hint string) (map[string]any, error) {
	if c.config.AuthMethod == AuthNone {
		return nil, ErrPublicClient
	}
	if c.metadata.IntrospectionEndpoint == "" {
		return nil, &MismatchError{"discovery", "introspection_endpoint is missing"}
	}
	resp, body, err := c.post(ctx, c.metadata.IntrospectionEndpoint, tokenForm(token, hint))
	if err != nil {
		return nil, fmt.Errorf("introspection: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refusal("introspection", resp, body)
	}
	claims, err := object(body)
	if err != nil {
		return nil, &MismatchError{"introspection", "the answer is not a JSON object"}
	}
	if _, ok := claims["active"].(bool); !ok {
		return nil, &MismatchError{"introspection", "the answer has no member active"}
	}
	return claims, nil
}

// Revoke gives a token up (RFC 7009 §2.1). A server answers 200 for a token that it does not know, too.
func (c *Client) Revoke(ctx context.Context, token, hint string) error {
	if c.metadata.RevocationEndpoint == "" {
		return &MismatchError{"discovery", "revocation_endpoint is missing"}
	}
	resp, body, err := c.post(ctx, c.metadata.RevocationEndpoint, tokenForm(token, hint))
	if err != nil {
		return fmt.Errorf("revocation: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return refusal("revocation", resp, body)
	}
	return nil
}

// LogoutURL is where the browser goes to sign out (OpenID Connect RP-Initiated Logout 1.0 §2). The redirect URI and the
// state may be empty.
func (c *Client) LogoutURL(idTokenHint, postLogoutRedirectURI, state string) (string, error) {
	if c.metadata.EndSessionEndpoint == "" {
		return "", &MismatchError{"discovery", "end_session_endpoint is missing"}
	}
	u, err := url.Parse(c.metadata.EndSessionEndpoint)
	if err != nil {
		return "", fmt.Errorf("end_session_endpoint: %w", err)
	}
	query := u.Query()
	query.Set("client_id", c.config.ClientID)
	for name, value := range map[string]string{
		"id_token_hint": idTokenHint, "post_logout_redirect_uri": postLogoutRedirectURI, "state": state,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}

func tokenForm(token, hint string) url.Values {
	form := url.Values{"token": {token}}
	if hint != "" {
		form.Set("token_type_hint", hint)
	}
	return form
}

// post sends a form with the client's credentials (RFC 6749 §2.3.1), the same way as to the token endpoint.
func (c *Client) post(ctx context.Context, address string, form url.Values) (*http.Response, []byte, error) {
	if c.config.AuthMethod != AuthBasic {
		form.Set("client_id", c.config.ClientID)
	}
	if c.config.AuthMethod == AuthPost {
		form.Set("client_secret", c.config.ClientSecret.Reveal())
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	if c.config.AuthMethod == AuthBasic {
		r.SetBasicAuth(url.QueryEscape(c.config.ClientID), url.QueryEscape(c.config.ClientSecret.Reveal()))
	}
	return c.do(r)
}

func (c *Client) do(r *http.Request) (*http.Response, []byte, error) {
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body) // the trace has bounded it
	if err != nil {
		return nil, nil, err
	}
	return resp, body, nil
}

// refusal reads an error from the body (RFC 6749 §5.2) or from the challenge (RFC 6750 §3).
func refusal(step string, resp *http.Response, body []byte) *RefusedError {
	r := &RefusedError{Step: step, Status: resp.StatusCode}
	if members, err := object(body); err == nil {
		r.Code, _ = members["error"].(string)
		r.Description, _ = members["error_description"].(string)
	}
	if r.Code == "" {
		_, rest, _ := strings.Cut(resp.Header.Get("WWW-Authenticate"), `error="`)
		r.Code, _, _ = strings.Cut(rest, `"`)
	}
	return r
}

func mediaType(resp *http.Response) string {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return kind
}

func object(body []byte) (map[string]any, error) {
	var members map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.UseNumber() // 1735689600 stays 1735689600, not 1.7356896e+09
	if err := decoder.Decode(&members); err != nil {
		return nil, err
	}
	if members == nil {
		return nil, errors.New("null")
	}
	return members, nil
}
