package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/keizer-auth/keizer/internal/secret"
)

// credentials are what a command shows a server: an access token, or a client that gets one for itself.
type credentials struct {
	token    secret.Text
	clientID string
	secret   secret.Text
	// issuer is that of the client's organization; empty to look for it.
	issuer string
}

func (c credentials) renewable() bool { return c.clientID != "" }

// credentials reads them from the environment and from files: arguments are seen by everybody on the machine, and kept by the shell.
func (p *program) credentials() (c credentials, err error) {
	if p.tokenFile != "" {
		c.token, err = p.secretFile("--token-file", p.tokenFile)
	} else {
		c.token, err = p.secretVariable("KEIZER_TOKEN")
	}
	if err != nil {
		return c, err
	}
	c.clientID, c.issuer = p.env("KEIZER_CLIENT_ID"), strings.TrimSuffix(p.env("KEIZER_CLIENT_ISSUER"), "/")
	if c.secret, err = p.secretVariable("KEIZER_CLIENT_SECRET"); err != nil {
		return c, err
	}
	switch {
	case c.token != "" && c.clientID != "" && p.tokenFile == "":
		return c, usage("KEIZER_TOKEN and KEIZER_CLIENT_ID are both set; keep one")
	case c.token != "":
		return credentials{token: c.token}, nil
	case c.clientID == "":
		return c, usage("--server needs an access token, in KEIZER_TOKEN or the file that --token-file names, " +
			"or a client that gets one, in KEIZER_CLIENT_ID and KEIZER_CLIENT_SECRET")
	case c.secret == "":
		return c, usage("KEIZER_CLIENT_ID needs KEIZER_CLIENT_SECRET, or KEIZER_CLIENT_SECRET_FILE")
	}
	return c, nil
}

// secretVariable reads a variable, or the file that the one of that name and _FILE names.
func (p *program) secretVariable(name string) (secret.Text, error) {
	value, file := p.env(name), p.env(name+"_FILE")
	switch {
	case value != "" && file != "":
		return "", usage("%s and %s_FILE are both set; keep one", name, name)
	case file != "":
		return p.secretFile(name+"_FILE", file)
	}
	return secret.Text(strings.TrimSpace(value)), nil
}

func (p *program) secretFile(by, name string) (secret.Text, error) {
	content, err := readClientFile(by, name, p.stdin)
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(content))
	if text == "" || strings.ContainsAny(text, " \t\r\n") {
		return "", usage("%s: file %s does not hold one secret and nothing else", by, name)
	}
	return secret.Text(text), nil
}

// getToken is the token that was given, or one that the client gets for itself, for the management API alone (RFC 8707).
func (r *remote) getToken(ctx context.Context) (secret.Text, error) {
	if !r.credentials.renewable() {
		return r.credentials.token, nil
	}
	issuers, looked := []string{r.credentials.issuer}, r.credentials.issuer == ""
	if r.credentials.issuer == "" {
		// The client is of the organization that the command is about, or of the root organization, whose issuer is the server itself.
		issuers = []string{r.base}
		if r.org != nil {
			issuers = []string{r.base + "/o/" + url.PathEscape(r.org.Slug), r.base}
		}
	}
	for _, issuer := range issuers {
		endpoint, err := r.tokenEndpoint(ctx, issuer)
		if err != nil {
			return "", err
		}
		if endpoint == "" {
			continue
		}
		token, err := r.tokenFrom(ctx, endpoint)
		if errors.Is(err, errUnknownClient) && issuer != issuers[len(issuers)-1] {
			continue
		}
		switch {
		case err == nil:
			r.credentials.issuer = issuer // for when it is renewed
		case looked && errors.Is(err, errUnknownClient):
			err = failed(fmt.Errorf("%w: KEIZER_CLIENT_ISSUER names the issuer of its organization, if that is not found by itself", err))
		}
		return token, err
	}
	return "", failed(fmt.Errorf("no organization was found at %s of which the client could be: name its issuer in KEIZER_CLIENT_ISSUER", r.base))
}

// tokenEndpoint is where the tokens of an issuer are to be had, by its discovery document; empty if there is no such issuer. The client's
// secret goes to the issuer's own host and to none that it names.
func (r *remote) tokenEndpoint(ctx context.Context, issuer string) (string, error) {
	own, err := url.Parse(issuer)
	if err != nil || own.Host == "" || own.Scheme != "https" && (own.Scheme != "http" || !isLoopback(own.Hostname())) {
		return "", usage("KEIZER_CLIENT_ISSUER must be an https address")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, issuer+"/.well-known/openid-configuration", http.NoBody)
	if err != nil {
		return "", fmt.Errorf("write a request: %w", err)
	}
	answer, err := r.send(request)
	switch {
	case err != nil:
		return "", err
	case answer.status == http.StatusNotFound:
		return "", nil
	case answer.status != http.StatusOK:
		return "", answer.foreign()
	}
	var metadata struct {
		Issuer        string `json:"issuer"`
		TokenEndpoint string `json:"token_endpoint"`
	}
	if json.Unmarshal(answer.body, &metadata) != nil {
		return "", answer.foreign()
	}
	if metadata.Issuer != issuer { // RFC 8414 §3.3; and the API goes by the name that the server gives itself
		return "", failed(fmt.Errorf("%s calls itself %s: name it so", issuer, printable(metadata.Issuer)))
	}
	if at, err := url.Parse(metadata.TokenEndpoint); err != nil || at.Scheme != own.Scheme || at.Host != own.Host {
		return "", failed(fmt.Errorf("the token endpoint of %s is at another host", issuer))
	}
	return metadata.TokenEndpoint, nil
}

// errUnknownClient says that the client is of another organization, or that its secret is wrong.
var errUnknownClient = errors.New("the server does not know the client, or its secret is another")

// tokenFrom gets a token for the management API.
func (r *remote) tokenFrom(ctx context.Context, endpoint string) (secret.Text, error) {
	made, refused, err := r.clientCredentials(ctx, endpoint, url.Values{"resource": {r.audience}})
	switch {
	case err != nil:
		return "", err
	case refused.Error == "invalid_target", refused.Error == "invalid_scope":
		return "", failed(errors.New("the client has no scope for the management API: its scopes are the permissions that it is to have, such as keizer:users:read"))
	}
	return secret.Text(made.AccessToken), refused.err()
}

// tokenRefusal is what a token endpoint says no by (RFC 6749 §5.2).
type tokenRefusal struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

func (r tokenRefusal) err() error {
	if r.Error == "" {
		return nil
	}
	return failed(fmt.Errorf("the client is given no access token: %s: %s", printable(r.Error), printable(r.Description)))
}

// clientCredentials asks for a token (RFC 6749 §4.4).
func (r *remote) clientCredentials(ctx context.Context, endpoint string, form url.Values) (made tokensShown, refused tokenRefusal, err error) {
	form.Set("grant_type", "client_credentials")
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return made, refused, fmt.Errorf("write a request: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	// RFC 6749 §2.3.1: both are form-encoded before they are put together.
	request.SetBasicAuth(url.QueryEscape(r.credentials.clientID), url.QueryEscape(r.credentials.secret.Reveal()))
	answer, err := r.send(request)
	if err != nil {
		return made, refused, err
	}
	err = errors.Join(json.Unmarshal(answer.body, &made), json.Unmarshal(answer.body, &refused))
	switch {
	case err != nil, (answer.status == http.StatusOK) != (made.AccessToken != ""), made.AccessToken == "" && refused.Error == "":
		return made, refused, answer.foreign()
	case refused.Error == "invalid_client":
		return made, refused, failed(errUnknownClient)
	}
	return made, refused, nil
}
