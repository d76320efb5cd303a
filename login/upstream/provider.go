package upstream

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/secret"
)

// Provider is one that an organization has set up.
type Provider struct {
	ID       uuid.UUID
	Name     string
	ClientID string
	// ClientSecret is what we authenticate with; at Apple it is the private key, in PEM.
	ClientSecret secret.Text
	Settings     *Settings
}

// NewProvider is a provider as it stands in a row.
func NewProvider(id uuid.UUID, name, clientID, clientSecret string, stored map[string]any) (*Provider, error) {
	settings, err := Parse(stored)
	if err != nil {
		return nil, fmt.Errorf("provider %s: %w", name, err)
	}
	return &Provider{ID: id, Name: name, ClientID: clientID, ClientSecret: secret.Text(clientSecret), Settings: settings}, nil
}

// Title is what people call it.
func (p *Provider) Title() string { return p.Settings.Called(p.Name) }

// plan is a provider as it is spoken to: what its settings say, and its preset where they do not.
type plan struct {
	Preset
	*Provider
	tenant string
}

func (p *Provider) plan() plan {
	preset, _ := presetNamed(p.Settings.Preset) // Parse knows that there is one
	s := p.Settings
	for _, one := range []struct {
		said string
		to   *string
	}{
		{s.Issuer, &preset.Issuer}, {s.Authorization, &preset.Authorization}, {s.Token, &preset.Token}, {s.Userinfo, &preset.Userinfo},
		{s.Emails, &preset.Emails}, {s.AuthMethod, &preset.AuthMethod}, {s.ResponseMode, &preset.ResponseMode},
	} {
		if one.said != "" {
			*one.to = one.said
		}
	}
	if len(s.Scopes) > 0 {
		preset.Scopes = s.Scopes
	}
	preset.Hosts = append(slices.Clone(preset.Hosts), s.Hosts...)
	preset.Parameters = merged(preset.Parameters, s.Parameters)
	claims := maps.Clone(s.Claims)
	if said := claims[emailVerified]; said != "" {
		preset.Verified = said
		delete(claims, emailVerified)
	}
	preset.Claims = merged(preset.Claims, claims)
	made := plan{Preset: preset, Provider: p, tenant: s.Tenant}
	if made.tenant == "" {
		made.tenant = tenantWords[0]
	}
	if preset.Issuer == "" { // plain OAuth: who somebody is there is told by the host that tells it
		if u, err := url.Parse(preset.Userinfo); err == nil {
			made.Issuer = u.Scheme + "://" + u.Host
		}
	}
	made.Issuer = strings.ReplaceAll(made.Issuer, tenantPart, made.tenant)
	return made
}

func merged(under, over map[string]string) map[string]string {
	all := maps.Clone(under)
	if all == nil {
		all = make(map[string]string, len(over))
	}
	maps.Copy(all, over)
	return all
}

// Proves reports whether the provider, asked to have its people prove anew who they are, says when they did: then that can be relied on.
func (p *Provider) Proves() bool { return p.plan().Reauthenticates }

// PostsBack reports whether the answer comes as a form from the provider's site.
func (p *Provider) PostsBack() bool { return p.plan().ResponseMode == ModeForm }
