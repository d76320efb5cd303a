package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/keizer-auth/keizer/internal/strictjson"
)

const (
	// metadataFor is how long metadata is used before it is asked for again, and metadataStale how long when it cannot be had.
	metadataFor   = time.Hour
	metadataStale = 24 * time.Hour
	// askAgain is how often it is asked for at the most.
	askAgain = 10 * time.Second
)

// metadata is the part of what a provider says of itself that we act on (OpenID Connect Discovery 1.0 §3, RFC 8414 §2).
type metadata struct {
	Issuer        string   `json:"issuer"`
	Authorization string   `json:"authorization_endpoint"`
	Token         string   `json:"token_endpoint"`
	Userinfo      string   `json:"userinfo_endpoint"`
	Keys          string   `json:"jwks_uri"`
	Algorithms    []string `json:"id_token_signing_alg_values_supported"`
	AuthMethods   []string `json:"token_endpoint_auth_methods_supported"`
	Challenges    []string `json:"code_challenge_methods_supported"`
	IssParameter  bool     `json:"authorization_response_iss_parameter_supported"`
}

// endpoints are the provider's own, or those of its preset.
func (u *Upstream) endpoints(ctx context.Context, k *known, p plan) (*metadata, error) {
	if !p.OIDC {
		return &metadata{Issuer: p.Issuer, Authorization: p.Authorization, Token: p.Token, Userinfo: p.Userinfo}, nil
	}
	var found *metadata
	address := strings.TrimSuffix(p.Issuer, "/") + "/.well-known/openid-configuration"
	err := k.metadata.use(ctx, address, metadataFor, metadataStale, askAgain, func(ctx context.Context, address string) (*metadata, error) {
		m, err := u.fetchMetadata(ctx, address)
		if err == nil {
			k.breaker.answered()
		}
		return m, err
	}, func(m *metadata) bool {
		found = m
		return true
	})
	if err == nil {
		err = found.check(p)
	}
	if err != nil {
		return nil, err
	}
	return found, nil
}

func (u *Upstream) fetchMetadata(ctx context.Context, address string) (*metadata, error) {
	body, err := u.document(ctx, address)
	if err != nil {
		return nil, err
	}
	var m metadata
	if err := strictjson.Check(body); err != nil {
		return nil, untrusted("metadata: %w", err)
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, untrusted("metadata: %w", err)
	}
	return &m, nil
}

// document fetches JSON that is the same for everybody.
func (u *Upstream) document(ctx context.Context, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, untrusted("%s: %w", address, err)
	}
	request.Header.Set("Accept", "application/json")
	response, err := u.documents.Do(request)
	if err != nil {
		return nil, down("%w", err) // which names the address
	}
	return read(response, down) // nobody was asked whether a sign-in is good
}

// read reads an answer that must have succeeded; no is what it is when the answer is no.
func read(response *http.Response, no func(string, ...any) error) ([]byte, error) {
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	asked := response.Request.URL.Scheme + "://" + response.Request.URL.Host + response.Request.URL.EscapedPath()
	switch status := response.StatusCode; {
	case err != nil:
		return nil, down("read %s: %w", asked, err)
	case status >= http.StatusInternalServerError || status == http.StatusTooManyRequests:
		return nil, down("%s answered with status %d", asked, status)
	case status != http.StatusOK:
		return nil, no("%s answered with status %d", asked, status)
	}
	return body, nil
}

// check refuses metadata of somebody else, or that would have us speak to somebody else (S-237). The issuer is that of the settings,
// byte for byte; where each directory has its own, it is the template for them.
func (m *metadata) check(p plan) error {
	want := p.Issuer
	if p.Directories && slices.Contains(tenantWords, p.tenant) {
		want = p.template()
		if m.Issuer == p.directory(consumers) && p.tenant == "consumers" {
			want = m.Issuer
		}
	}
	if m.Issuer != want {
		return untrusted("the metadata is that of %q, not of %q", m.Issuer, want)
	}
	issuer, err := url.Parse(p.Issuer)
	if err != nil {
		return untrusted("issuer: %w", err)
	}
	for _, endpoint := range []struct {
		name, address string
		needed        bool
	}{
		{"authorization_endpoint", m.Authorization, true}, {"token_endpoint", m.Token, true}, {"jwks_uri", m.Keys, true},
		{"userinfo_endpoint", m.Userinfo, false},
	} {
		if endpoint.address == "" && !endpoint.needed {
			continue
		}
		u, err := url.Parse(endpoint.address)
		switch {
		case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
			return untrusted("%s is no address", endpoint.name)
		case u.Scheme != issuer.Scheme:
			return untrusted("%s is not %s", endpoint.name, issuer.Scheme)
		case u.Host != issuer.Host && !slices.Contains(p.Hosts, strings.ToLower(u.Host)):
			return untrusted("%s is at %q, which is not among hosts", endpoint.name, u.Host)
		}
	}
	return nil
}

// template is the issuer of whichever directory, as the metadata of all of them has it.
func (p plan) template() string { return p.directory("{tenantid}") }

// directory is the issuer of a directory.
func (p plan) directory(id string) string {
	preset, _ := presetNamed(p.Preset.Name)
	issuer := preset.Issuer
	if p.Settings.Issuer != "" {
		issuer = p.Settings.Issuer
	}
	return strings.ReplaceAll(issuer, tenantPart, id)
}

// object asks an endpoint about the person of an access token, and returns the members of its answer. Where it is signed, verify reads
// it.
func (u *Upstream) object(ctx context.Context, address, accessToken string, verify func(string) ([]byte, error)) (map[string]any, error) {
	body, signed, err := u.ask(ctx, address, accessToken)
	if err == nil && signed {
		if verify == nil {
			return nil, untrusted("%s answered with a token", address)
		}
		body, err = verify(string(body))
	}
	if err != nil {
		return nil, err
	}
	return members(body)
}

func (u *Upstream) ask(ctx context.Context, address, accessToken string) (body []byte, signed bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, false, untrusted("userinfo: %w", err)
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Authorization", "Bearer "+accessToken)
	response, err := u.answers.Do(request)
	if err != nil {
		if asked, ok := errors.AsType[*url.Error](err); ok { // whose text has the address, in which may be what proves who asks
			err = asked.Err
		}
		return nil, false, down("userinfo: %s: %w", request.URL.Host, err)
	}
	if body, err = read(response, refused); err != nil {
		return nil, false, fmt.Errorf("userinfo: %w", err)
	}
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	switch {
	case err == nil && kind == "application/jwt":
		return body, true, nil
	case err != nil || kind != "application/json" && !strings.HasSuffix(kind, "+json") && kind != "text/javascript": // which is Facebook's
		return nil, false, untrusted("userinfo is %q", kind)
	}
	return body, false, nil
}

// members reads an object, in which no name may stand twice. Numbers stay as they are written.
func members(body []byte) (map[string]any, error) {
	var read map[string]any
	if err := strictjson.Check(body); err != nil {
		return nil, untrusted("%w", err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.UseNumber()
	if err := decoder.Decode(&read); err != nil {
		return nil, untrusted("%w", err)
	}
	if read == nil {
		return nil, untrusted("%w", errors.New("null is no object"))
	}
	return read, nil
}
