package relyingparty

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/keizer-auth/keizer/internal/secret"
)

// The ways a client of this package can authenticate (OpenID Connect Core 1.0 §9).
const (
	AuthNone  = "none"
	AuthBasic = "client_secret_basic"
	AuthPost  = "client_secret_post"
)

// Config is what a client knows of itself before it meets the server.
type Config struct {
	Issuer       string
	ClientID     string
	ClientSecret secret.Text // empty for a public client
	AuthMethod   string      // AuthNone without a secret, AuthBasic with one, when empty
	RedirectURI  string

	// HTTP carries every request, save that redirects are never followed, cookies are not kept, and ten seconds are the
	// limit when it has none. Nil stands for a client of the package's own.
	HTTP *http.Client
}

// Metadata is the part of the discovery document that a client acts on (OpenID Connect Discovery 1.0 §3, RFC 8414 §2).
type Metadata struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	UserinfoEndpoint      string   `json:"userinfo_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	IntrospectionEndpoint string   `json:"introspection_endpoint"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	EndSessionEndpoint    string   `json:"end_session_endpoint"`
	IDTokenAlgs           []string `json:"id_token_signing_alg_values_supported"`
	ChallengeMethods      []string `json:"code_challenge_methods_supported"`
	IssParameter          bool     `json:"authorization_response_iss_parameter_supported"`
}

// Client is a relying party that has met its server. It may be used by several goroutines at once.
type Client struct {
	config   Config
	metadata Metadata
	provider *oidc.Provider
	http     *http.Client
	trace    *trace
}

// Discover reads the server's metadata and returns the client. The endpoints it names must be as safe as the issuer:
// https, or plain http on the loopback interface alone.
func Discover(ctx context.Context, config Config) (*Client, error) {
	issuer, err := url.Parse(config.Issuer)
	switch {
	case err != nil:
		return nil, fmt.Errorf("issuer: %w", err)
	case !safe(issuer):
		return nil, &MismatchError{"issuer", fmt.Sprintf("%q is neither https nor http on the loopback interface", config.Issuer)}
	case issuer.RawQuery != "" || issuer.ForceQuery || issuer.Fragment != "":
		return nil, &MismatchError{"issuer", "it has a query or a fragment"} // Discovery 1.0 §3
	}
	switch {
	case config.AuthMethod == "" && config.ClientSecret == "":
		config.AuthMethod = AuthNone
	case config.AuthMethod == "":
		config.AuthMethod = AuthBasic
	case !slices.Contains([]string{AuthNone, AuthBasic, AuthPost}, config.AuthMethod):
		return nil, fmt.Errorf("authentication method %q is not one of none, client_secret_basic, client_secret_post", config.AuthMethod)
	case (config.AuthMethod == AuthNone) != (config.ClientSecret == ""):
		return nil, fmt.Errorf("authentication method %s and the client secret contradict each other", config.AuthMethod)
	}

	c := &Client{config: config}
	c.http, c.trace = traced(config.HTTP, c.step)
	c.provider, err = oidc.NewProvider(oidc.ClientContext(ctx, c.http), config.Issuer)
	if err != nil {
		return nil, c.discoveryFailure(err)
	}
	if err := c.provider.Claims(&c.metadata); err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	return c, c.metadata.check(issuer)
}

// traced returns a copy of a client whose exchanges are remembered.
func traced(given *http.Client, step func(string) string) (*http.Client, *trace) {
	client := http.Client{}
	if given != nil {
		client = *given
	}
	if client.Timeout == 0 {
		client.Timeout = requestLimit
	}
	next := client.Transport
	if next == nil {
		next = &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: dialLimit}).DialContext,
			TLSHandshakeTimeout:   dialLimit,
			ResponseHeaderTimeout: requestLimit,
			IdleConnTimeout:       30 * time.Second,
			ForceAttemptHTTP2:     true,
		}
	}
	t := &trace{next: next, step: step}
	client.Transport = t
	client.Jar = nil
	// No endpoint a client calls itself answers with a redirect; following one would carry a code or a secret along.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client, t
}

// check refuses metadata that a client cannot go by.
func (m *Metadata) check(issuer *url.URL) error {
	required := map[string]string{
		"authorization_endpoint": m.AuthorizationEndpoint,
		"jwks_uri":               m.JWKSURI,
		"token_endpoint":         m.TokenEndpoint,
	}
	optional := map[string]string{
		"end_session_endpoint":   m.EndSessionEndpoint,
		"introspection_endpoint": m.IntrospectionEndpoint,
		"revocation_endpoint":    m.RevocationEndpoint,
		"userinfo_endpoint":      m.UserinfoEndpoint,
	}
	for name, address := range required {
		if address == "" {
			return &MismatchError{"discovery", name + " is missing"}
		}
		optional[name] = address
	}
	for name, address := range optional {
		if address == "" {
			continue
		}
		u, err := url.Parse(address)
		if err != nil || !safe(u) || (issuer.Scheme == "https" && u.Scheme != "https") {
			return &MismatchError{"discovery", fmt.Sprintf("%s is %q, which is not a safe address", name, printable(address, 200))}
		}
	}
	if len(m.ChallengeMethods) > 0 && !slices.Contains(m.ChallengeMethods, "S256") {
		return &MismatchError{"discovery", "the server does not support PKCE with S256"}
	}
	return nil
}

// safe tells an address that a client may send a secret to.
func safe(u *url.URL) bool {
	if u.User != nil || u.Hostname() == "" {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname())
}

func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// step names an exchange by the address it went to.
func (c *Client) step(address string) string {
	switch address {
	case strings.TrimSuffix(c.config.Issuer, "/") + "/.well-known/openid-configuration":
		return "discovery"
	case c.metadata.JWKSURI:
		return "keys"
	case c.metadata.TokenEndpoint:
		return "token"
	case c.metadata.UserinfoEndpoint:
		return "userinfo"
	case c.metadata.IntrospectionEndpoint:
		return "introspection"
	case c.metadata.RevocationEndpoint:
		return "revocation"
	default:
		return "other"
	}
}

// discoveryFailure turns go-oidc's error into one sentence: its own quotes the whole answer.
func (c *Client) discoveryFailure(err error) error {
	if mismatch, ok := errors.AsType[*oidc.IssuerMismatchError](err); ok {
		return &MismatchError{"discovery", fmt.Sprintf("issuer is %q, expected %q", printable(mismatch.Discovered, 200), mismatch.Provided)}
	}
	last, ok := c.trace.last("discovery")
	switch {
	case !ok:
		return fmt.Errorf("discovery: %w", err)
	case last.Failure != "":
		return fmt.Errorf("discovery: %w", err)
	case last.Status != http.StatusOK:
		return &RefusedError{Step: "discovery", Status: last.Status}
	default:
		return &MismatchError{"discovery", "the answer is not a metadata document in JSON"}
	}
}

// Metadata returns what the server said of itself.
func (c *Client) Metadata() Metadata { return c.metadata }

// Config returns what the client was made with, its secret included.
func (c *Client) Config() Config { return c.config }

// Exchanges returns what went over the wire so far, oldest first, secrets masked.
func (c *Client) Exchanges() []Exchange { return c.trace.all() }

// oauth is the client as x/oauth2 sees it.
func (c *Client) oauth() *oauth2.Config {
	endpoint := c.provider.Endpoint()
	// Never left to probing: a probe sends the code twice, and the second time is a replay.
	endpoint.AuthStyle = oauth2.AuthStyleInParams
	if c.config.AuthMethod == AuthBasic {
		endpoint.AuthStyle = oauth2.AuthStyleInHeader
	}
	return &oauth2.Config{
		ClientID:     c.config.ClientID,
		ClientSecret: c.config.ClientSecret.Reveal(),
		RedirectURL:  c.config.RedirectURI,
		Endpoint:     endpoint,
	}
}
