package manage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/storage"
)

const (
	// DevelopmentOrganization is the slug of the organization that development begins with.
	DevelopmentOrganization = "default"
	// DemoClient is the client_id of the playground's client.
	DemoClient = "demo"
)

// EnsureDevelopment makes the organization and the public client that development begins with, unless they are there. The
// client's addresses are those of base and of the ports that it had lately, where another server may still be running; with
// an empty base it is left alone. Replicas that start together end with one of each.
func (o *Operators) EnsureDevelopment(ctx context.Context, base string) error {
	org, err := o.db.OrganizationBySlug(ctx, DevelopmentOrganization)
	if errors.Is(err, storage.ErrNotFound) {
		// Whoever tries Keizer out wants to see how people sign up.
		open := map[string]any{"sign_up": map[string]any{"mode": settings.SignUpOpen}}
		org, err = o.createOrganization(ctx, "Default", DevelopmentOrganization, open)
		if errors.Is(err, storage.ErrConflict) { // another replica was faster
			org, err = o.db.OrganizationBySlug(ctx, DevelopmentOrganization)
		}
	}
	if err != nil {
		return fmt.Errorf("ensure organization: %w", err)
	}
	if base == "" {
		return nil
	}
	if err := o.ensureDemo(within(ctx, org), base); err != nil {
		return fmt.Errorf("ensure demo client: %w", err)
	}
	return nil
}

// demoPorts is how many servers on one database of development have a playground at once.
const demoPorts = 4

const (
	demoCallback  = "/playground/callback"
	demoSignedOut = "/playground"
)

func (o *Operators) ensureDemo(ctx context.Context, base string) error {
	client, err := o.db.Client(ctx, DemoClient)
	if errors.Is(err, storage.ErrNotFound) {
		_, _, err = o.createClient(ctx, DemoClient, ClientSpec{
			Name: "Demo", AuthMethod: AuthNone, RedirectURIs: demoRedirects(base, nil), PostLogoutRedirectURIs: []string{base + demoSignedOut},
			GrantTypes: []string{GrantCode, GrantRefresh},
			Scope:      "openid profile email address phone offline_access",
		}, "")
		if !errors.Is(err, storage.ErrConflict) {
			return err
		}
		client, err = o.db.Client(ctx, DemoClient)
	}
	if err != nil {
		return err
	}
	if slices.Contains(client.RedirectURIs, base+demoCallback) && slices.Contains(client.PostLogoutRedirectURIs, base+demoSignedOut) {
		return nil
	}
	redirects := demoRedirects(base, client.RedirectURIs)
	var afterLogout []string
	for _, redirect := range redirects {
		if before, ok := strings.CutSuffix(redirect, demoCallback); ok {
			afterLogout = append(afterLogout, before+demoSignedOut)
		}
	}
	_, _, err = o.UpdateClient(ctx, DemoClient, ClientPatch{RedirectURIs: &redirects, PostLogoutRedirectURIs: &afterLogout})
	return err
}

// demoRedirects are the addresses that the demo client is called back at: the playground at base, those that were before
// it, and whatever listens on this machine, for `keizer try`.
func demoRedirects(base string, before []string) []string {
	redirects := []string{base + demoCallback}
	for _, redirect := range before {
		if strings.HasSuffix(redirect, demoCallback) && redirect != redirects[0] && len(redirects) < demoPorts {
			redirects = append(redirects, redirect)
		}
	}
	return append(redirects, "http://127.0.0.1/callback", "http://[::1]/callback")
}
