package upstream

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/keizer-auth/keizer/internal/secret"
)

// Ask is what a request is for.
type Ask struct {
	// Callback is where the browser comes back to.
	Callback string
	// Hint is whom we expect; it may be empty.
	Hint string
	// Again is true when the person is to prove anew who they are.
	Again bool
}

// Request is an authorization request under way. Whoever began it keeps it where the browser cannot read it, and uses it once.
type Request struct {
	State    string
	Nonce    string
	Verifier string
	Callback string
	Again    bool
	At       time.Time
}

// Answer is what the browser brings back (RFC 6749 §4.1.2).
type Answer struct {
	Code  string `json:"code,omitempty"`
	Error string `json:"error,omitempty"`
	// Iss is whose answer it is (RFC 9207); HasIss tells an empty one from none.
	Iss    string `json:"iss,omitempty"`
	HasIss bool   `json:"has_iss,omitempty"`
	// User is what Apple tells of a person beside the code, once and never again.
	User string `json:"user,omitempty"`
}

// Tokens are what a provider gives for a code, or for a refresh token.
type Tokens struct {
	Access, Refresh secret.Text
	// Expires is when the access token ends; zero where it is not told.
	Expires time.Time
}

// config is a client as x/oauth2 sees it.
func (p plan) config(m *metadata, callback, clientSecret string) *oauth2.Config {
	method := p.AuthMethod
	if method == "" { // Basic is what there is where nothing is said (Discovery 1.0 §3)
		method = AuthBasic
		if len(m.AuthMethods) > 0 && !slices.Contains(m.AuthMethods, AuthBasic) && slices.Contains(m.AuthMethods, AuthPost) {
			method = AuthPost
		}
	}
	// Never left to probing: a probe sends the code twice, and the second time is a replay.
	style := oauth2.AuthStyleInParams
	if method == AuthBasic {
		style = oauth2.AuthStyleInHeader
	}
	if method == AuthNone {
		clientSecret = ""
	}
	return &oauth2.Config{
		ClientID: p.ClientID, ClientSecret: clientSecret, RedirectURL: callback, Scopes: p.Scopes,
		Endpoint: oauth2.Endpoint{AuthURL: m.Authorization, TokenURL: m.Token, AuthStyle: style},
	}
}

// secret is what we authenticate with, this time.
func (p plan) secret(now time.Time) (string, error) {
	if !p.Key {
		return p.ClientSecret.Reveal(), nil
	}
	key, err := parseKey(p.ClientSecret)
	if err != nil {
		return "", err
	}
	return appleSecret(key, p.Settings.TeamID, p.Settings.KeyID, p.ClientID, appleAudience, now)
}

// Begin makes an authorization request under a state of the caller's, and returns where the browser goes. PKCE is S256, always, but
// for those that refuse it (RFC 9700 §2.1.1, S-234).
func (u *Upstream) Begin(ctx context.Context, provider *Provider, state string, ask Ask) (address string, r *Request, err error) {
	p := provider.plan()
	err = u.attempt(ctx, provider, false, func(ctx context.Context, k *known) error {
		m, err := u.endpoints(ctx, k, p)
		if err != nil {
			return err
		}
		r = &Request{
			State: state, Nonce: nonce(), Verifier: oauth2.GenerateVerifier(), Callback: ask.Callback, Again: ask.Again, At: time.Now().UTC(),
		}
		address = p.config(m, ask.Callback, "").AuthCodeURL(state, p.options(r, ask)...)
		return nil
	})
	return address, r, err
}

// nonce is 256 bits.
func nonce() string { return oauth2.GenerateVerifier() }

func (p plan) options(r *Request, ask Ask) (options []oauth2.AuthCodeOption) {
	set := func(name, value string) {
		if value != "" {
			options = append(options, oauth2.SetAuthURLParam(name, value))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Parameters)) {
		set(name, p.Parameters[name])
	}
	if !p.NoPKCE {
		options = append(options, oauth2.S256ChallengeOption(r.Verifier))
	}
	if p.OIDC {
		set("nonce", r.Nonce)
	}
	set("response_mode", strings.TrimPrefix(p.ResponseMode, ModeQuery)) // which is what there is anyhow
	if p.Hints {
		set("login_hint", ask.Hint)
	}
	if ask.Again {
		set("prompt", p.Prompt)
		if p.Reauthenticates {
			set("max_age", "0")
		}
	}
	return options
}

// Complete makes an identity of what the browser brought back: it exchanges the code, and checks whatever comes. An answer that says
// that there was an error is ErrRefused.
func (u *Upstream) Complete(ctx context.Context, provider *Provider, r *Request, answer Answer) (*Identity, *Tokens, error) {
	p := provider.plan()
	var who *Identity
	var tokens *Tokens
	err := u.attempt(ctx, provider, true, func(ctx context.Context, k *known) error {
		m, err := u.endpoints(ctx, k, p)
		if err != nil {
			return err
		}
		if err := p.checkAnswer(m, answer); err != nil {
			return err
		}
		given, raw, err := u.exchange(ctx, p, m, r, answer.Code)
		if err != nil {
			return err
		}
		tokens = given
		who, err = u.identify(ctx, k, p, m, r, answer, raw, given.Access.Reveal())
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return who, tokens, nil
}

// checkAnswer looks whose answer it is before anything else is believed of it (RFC 9207 §2.4).
func (p plan) checkAnswer(m *metadata, answer Answer) error {
	known := p.OIDC && !p.Directories || p.Settings.Issuer != "" && !p.Directories
	switch {
	case m.IssParameter && !answer.HasIss:
		return untrusted("the answer does not say whose it is")
	case answer.HasIss && known && answer.Iss != p.Issuer:
		return untrusted("the answer is that of %q", answer.Iss)
	case answer.Error != "":
		return refused("it answered %q", answer.Error)
	case answer.Code == "":
		return refused("it answered neither a code nor an error")
	}
	return nil
}

func (u *Upstream) exchange(ctx context.Context, p plan, m *metadata, r *Request, code string) (*Tokens, string, error) {
	clientSecret, err := p.secret(time.Now())
	if err != nil {
		return nil, "", err
	}
	var options []oauth2.AuthCodeOption
	if !p.NoPKCE {
		options = append(options, oauth2.VerifierOption(r.Verifier))
	}
	asking, heard := u.asking(ctx)
	answer, err := p.config(m, r.Callback, clientSecret).Exchange(asking, code, options...)
	if err != nil {
		return nil, "", heard.fault(err)
	}
	raw, _ := answer.Extra("id_token").(string)
	tokens, err := tokensOf(answer)
	return tokens, raw, err
}

// asking is ctx for x/oauth2, which takes its client from there, and who hears what becomes of the answer.
func (u *Upstream) asking(ctx context.Context) (context.Context, *hearing) {
	client := *u.answers
	h := &hearing{under: client.Transport}
	client.Transport = h
	return context.WithValue(ctx, oauth2.HTTPClient, &client), h
}

// hearing notes that an answer broke off, or took too long, or was too long: x/oauth2 hands that on as a text alone.
type hearing struct {
	under http.RoundTripper
	cause error
}

// RoundTrip implements http.RoundTripper.
func (h *hearing) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := h.under.RoundTrip(r)
	if err == nil {
		response.Body = &heard{response.Body, h}
	}
	return response, err
}

type heard struct {
	io.ReadCloser
	by *hearing
}

// Read implements io.Reader.
func (b *heard) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.by.cause = err
	}
	return n, err
}

// fault says what it means that the token endpoint gave no token.
func (h *hearing) fault(err error) error {
	if h.cause != nil {
		return down("token: %w", h.cause)
	}
	return tokenFault(err)
}

const maxToken = 16 << 10 // bytes

func tokensOf(answer *oauth2.Token) (*Tokens, error) {
	if !strings.EqualFold(answer.TokenType, "Bearer") && answer.TokenType != "" {
		return nil, untrusted("the token is a %q", answer.TokenType) // RFC 6749 §7.1
	}
	if len(answer.AccessToken) > maxToken || len(answer.RefreshToken) > maxToken {
		return nil, untrusted("the tokens are too long")
	}
	return &Tokens{Access: secret.Text(answer.AccessToken), Refresh: secret.Text(answer.RefreshToken), Expires: answer.Expiry}, nil
}

// tokenFault says what it means that the token endpoint gave no token.
func tokenFault(err error) error {
	answer, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		if _, ok := errors.AsType[*url.Error](err); ok || errors.Is(err, context.DeadlineExceeded) {
			return down("token: %w", err)
		}
		return untrusted("token: %w", err)
	}
	code := answer.ErrorCode
	if status := answer.Response.StatusCode; code == "" && (status >= http.StatusInternalServerError || status == http.StatusTooManyRequests) {
		return down("the token endpoint answered with status %d", status)
	}
	if code == "temporarily_unavailable" || code == "server_error" {
		return down("the token endpoint answered %s", code)
	}
	// What it says in words may hold anything, and need not stand in the log.
	return refused("the token endpoint answered with status %d and %q", answer.Response.StatusCode, code[:min(len(code), 60)])
}

// Refresh exchanges a refresh token. What comes without another one keeps the one that was given.
func (u *Upstream) Refresh(ctx context.Context, provider *Provider, refreshToken secret.Text) (*Tokens, error) {
	p := provider.plan()
	var tokens *Tokens
	err := u.attempt(ctx, provider, true, func(ctx context.Context, k *known) error {
		m, err := u.endpoints(ctx, k, p)
		if err != nil {
			return err
		}
		clientSecret, err := p.secret(time.Now())
		if err != nil {
			return err
		}
		asking, heard := u.asking(ctx)
		source := p.config(m, "", clientSecret).TokenSource(asking, &oauth2.Token{RefreshToken: refreshToken.Reveal()})
		answer, err := source.Token()
		if err != nil {
			return ended(err, heard.fault(err))
		}
		tokens, err = tokensOf(answer)
		return err
	})
	return tokens, err
}

// ended is a fault that says whether the refresh token was what was wrong (RFC 6749 §5.2, and GitHub's own).
func ended(err, fault error) error {
	if answer, ok := errors.AsType[*oauth2.RetrieveError](err); ok && slices.Contains([]string{"invalid_grant", "bad_refresh_token"}, answer.ErrorCode) {
		return fmt.Errorf("%w: %w", ErrEnded, fault)
	}
	return fault
}

// proven adds to an address what shows that an access token is used by whom it was given to
// (https://developers.facebook.com/docs/graph-api/securing-requests).
func (p plan) proven(address, accessToken string) (string, error) {
	if !p.Proof {
		return address, nil
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("userinfo_endpoint: %w", err)
	}
	mac := hmac.New(sha256.New, []byte(p.ClientSecret.Reveal()))
	mac.Write([]byte(accessToken))
	query := u.Query()
	query.Set("appsecret_proof", hex.EncodeToString(mac.Sum(nil)))
	u.RawQuery = query.Encode()
	return u.String(), nil
}
