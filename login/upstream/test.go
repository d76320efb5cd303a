package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// Finding is one thing that was looked at of a provider, and what came of it.
type Finding struct {
	Name string `json:"name"`
	// Result is "ok", "failed", or "unknown" where nobody can tell.
	Result string `json:"result"`
	Detail string `json:"detail,omitempty"`
}

// What a Finding can be.
const (
	OK      = "ok"
	Failed  = "failed"
	Unknown = "unknown"
)

// Test looks whether people could sign in at a provider, as far as that shows without one: whether it is there and is who it should be,
// and whether it knows us. It remembers nothing and relies on nothing that is remembered.
func (u *Upstream) Test(ctx context.Context, provider *Provider, callback string) []Finding {
	fresh := newUpstream(u.documents, u.answers)
	p, k := provider.plan(), fresh.of(provider.ID)
	var found []Finding
	add := func(name string, err error, detail string) bool {
		if err != nil {
			found = append(found, Finding{name, Failed, err.Error()})
			return false
		}
		found = append(found, Finding{name, OK, detail})
		return true
	}
	within := func() (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, patience) }

	waiting, cancel := within()
	defer cancel()
	m, err := fresh.endpoints(waiting, k, p)
	if p.OIDC {
		if !add("metadata", err, p.Issuer) {
			return found
		}
		keys, err := fresh.fetchKeys(waiting, m.Keys)
		if err == nil && len(keys.keys) == 0 {
			err = errors.New("none of them can be used")
		}
		count := 0
		if err == nil {
			count = len(keys.keys)
		}
		add("keys", err, fmt.Sprintf("%d", count))
		var missing error
		if len(m.allowed()) == 0 {
			missing = fmt.Errorf("none of %s is taken here", strings.Join(m.Algorithms, ", "))
		}
		add("algorithms", missing, strings.Join(m.allowed(), ", "))
	}
	switch {
	case p.NoPKCE:
		found = append(found, Finding{"PKCE", Unknown, "the provider refuses it"})
	case slices.Contains(m.Challenges, "S256"):
		found = append(found, Finding{"PKCE", OK, "S256"})
	default:
		found = append(found, Finding{"PKCE", Unknown, "it is sent; the provider does not say that it looks at it"})
	}
	clientSecret, err := p.secret(time.Now())
	if !add("secret", err, "") {
		return found
	}
	waiting, cancelLast := within()
	defer cancelLast()
	return append(found, fresh.testCredentials(waiting, p, m, callback, clientSecret))
}

// testCredentials offers a code that is none: what the provider finds wrong tells whether it knows who offers it.
func (u *Upstream) testCredentials(ctx context.Context, p plan, m *metadata, callback, clientSecret string) Finding {
	const name = "credentials"
	var options []oauth2.AuthCodeOption
	if !p.NoPKCE {
		options = append(options, oauth2.VerifierOption(oauth2.GenerateVerifier()))
	}
	asking, heard := u.asking(ctx)
	_, err := p.config(m, callback, clientSecret).Exchange(asking, "a-code-that-is-none", options...)
	if err == nil {
		return Finding{name, Failed, "the provider takes any code"}
	}
	fault := heard.fault(err)
	answer, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok || errors.Is(fault, ErrDown) {
		return Finding{name, Failed, fault.Error()}
	}
	said := fmt.Sprintf("the provider answered with status %d and %q", answer.Response.StatusCode, answer.ErrorCode[:min(len(answer.ErrorCode), 60)])
	switch code := answer.ErrorCode; {
	case slices.Contains([]string{"invalid_client", "unauthorized_client", "incorrect_client_credentials", "redirect_uri_mismatch"}, code),
		code == "" && answer.Response.StatusCode == http.StatusUnauthorized:
		return Finding{name, Failed, said}
	case code == "invalid_grant", code == "bad_verification_code":
		return Finding{name, OK, "the provider knows the client"}
	}
	return Finding{name, Unknown, said}
}
