package manage

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/keizer-auth/keizer/storage"
)

const (
	// DevelopmentOrganization is the slug of the organization that development begins with.
	DevelopmentOrganization = "default"
	// DemoClient is the client_id of the playground's client.
	DemoClient = "demo"
)

// EnsureDevelopment makes the organization and the public client that development begins with, unless they are there. The
// client's addresses are those of base, whatever they were before; with an empty base it is left alone. Replicas that start
// together end with one of each.
func (o *Operators) EnsureDevelopment(ctx context.Context, base string) error {
	org, err := o.db.OrganizationBySlug(ctx, DevelopmentOrganization)
	if errors.Is(err, storage.ErrNotFound) {
		org, err = o.CreateOrganization(ctx, "Default", DevelopmentOrganization)
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

func (o *Operators) ensureDemo(ctx context.Context, base string) error {
	redirects := []string{base + "/playground/callback", "http://127.0.0.1/callback", "http://[::1]/callback"}
	afterLogout := []string{base + "/playground"}
	client, err := o.db.Client(ctx, DemoClient)
	if errors.Is(err, storage.ErrNotFound) {
		_, _, err = o.createClient(ctx, DemoClient, ClientSpec{
			Name: "Demo", AuthMethod: AuthNone, RedirectURIs: redirects, PostLogoutRedirectURIs: afterLogout,
			GrantTypes: []string{GrantCode, GrantRefresh},
			Scope:      "openid profile email address phone offline_access",
		})
		if !errors.Is(err, storage.ErrConflict) {
			return err
		}
		client, err = o.db.Client(ctx, DemoClient)
	}
	if err != nil {
		return err
	}
	if slices.Equal(client.RedirectURIs, redirects) && slices.Equal(client.PostLogoutRedirectURIs, afterLogout) {
		return nil
	}
	_, _, err = o.UpdateClient(ctx, DemoClient, ClientPatch{RedirectURIs: &redirects, PostLogoutRedirectURIs: &afterLogout})
	return err
}
