package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/keizer-auth/keizer/internal/identity"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
)

const (
	// tenantCacheTime is how long an organization is served from memory: a rename, a suspension or a deletion shows after that.
	tenantCacheTime = time.Second
	// tenantPatience is how long somebody waits for news of an organization that is known already. Whatever the request is
	// for will wait for the database once more.
	tenantPatience = 250 * time.Millisecond
	// tenantStaleTime bounds for how long a suspension or deletion could be overlooked because the database cannot be asked.
	tenantStaleTime = time.Minute
	// maxSlug is that of a DNS label, which slugs are (RFC 1035 §2.3.4).
	maxSlug = 63
	// maxHost is that of a name in the DNS.
	maxHost = 253
)

// errSuspended is why a suspended organization is not found, for pages to say so.
var errSuspended = fmt.Errorf("the organization is suspended: %w", storage.ErrNotFound)

// tenants knows which organization an address is for, and what its issuer is. The issuer comes from the configuration, the slug and the
// hosts that were proven, never from anything else that a request says.
type tenants struct {
	db        *storage.DB
	addresses manage.Addresses

	mu sync.RWMutex
	// known is by slug and by host: a host has a dot in it, and a slug none.
	known map[string]knownTenant
}

type knownTenant struct {
	org   *tenant.Org
	read  time.Time // when the database said so
	asked time.Time // when it was asked last
	until time.Time // when its issuer changes; zero is that no change is planned
}

func newTenants(db *storage.DB, addresses manage.Addresses) *tenants {
	return &tenants{db: db, addresses: addresses, known: make(map[string]knownTenant)}
}

// find returns the organization with a slug, wherever it stands, or storage.ErrNotFound, also for a suspended one. While the database is
// away it returns what it knew last, for a while: an organization's name does not change in an outage, and each endpoint can answer in
// its own way.
func (t *tenants) find(ctx context.Context, slug string) (*tenant.Org, error) {
	if !slugLike(slug) {
		return nil, storage.ErrNotFound
	}
	return t.look(ctx, slug, t.db.OrganizationBySlug)
}

// below returns the organization with a slug if its address is the one below the base, or the base itself. An organization has one issuer,
// and its other addresses lead nowhere.
func (t *tenants) below(ctx context.Context, slug string) (*tenant.Org, error) {
	org, err := t.find(ctx, slug)
	if err == nil && org.Issuer != t.addresses.Base+org.BasePath {
		return nil, storage.ErrNotFound
	}
	return org, err
}

// at returns the organization whose issuer is a host, in its canonical form.
func (t *tenants) at(ctx context.Context, host string) (*tenant.Org, error) {
	org, err := t.look(ctx, host, t.db.OrganizationByHost)
	if err == nil && org.Issuer != "https://"+host {
		return nil, storage.ErrNotFound
	}
	return org, err
}

func (t *tenants) look(ctx context.Context, name string, ask func(context.Context, string) (*storage.Organization, error)) (*tenant.Org, error) {
	t.mu.RLock()
	known, ok := t.known[name]
	t.mu.RUnlock()
	now := time.Now()
	current := known.until.IsZero() || now.Before(known.until)
	if ok && current && now.Sub(known.asked) < tenantCacheTime {
		return known.org, nil
	}
	ok = ok && current && now.Sub(known.read) < tenantStaleTime
	if ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, tenantPatience)
		defer cancel()
	}

	row, err := ask(ctx, name)
	switch {
	case errors.Is(err, storage.ErrUnavailable) && ok:
		known.asked = time.Now() // so that not every request waits for what does not come
		t.remember(name, known)
		return known.org, nil
	case err != nil && !errors.Is(err, storage.ErrNotFound):
		return nil, err
	case err != nil || row.SuspendedAt != nil:
		t.forget(name)
		if err == nil {
			err = errSuspended
		}
		return nil, err
	}
	asked := now
	now = time.Now()
	org, err := t.addresses.Tenant(row, now)
	if err != nil {
		return nil, err
	}
	_, until, _ := row.PlannedIssuerHost(now)
	t.remember(name, knownTenant{org: org, read: asked, asked: asked, until: until})
	return org, nil
}

func (t *tenants) remember(name string, known knownTenant) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known[name] = known
}

func (t *tenants) forget(name string) {
	t.mu.RLock()
	_, ok := t.known[name]
	t.mu.RUnlock()
	if !ok {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.known, name)
}

// hostLike keeps from the database what cannot be the host of an organization, and returns what can in its canonical form. The port is
// that of https: no other is part of an issuer here.
func hostLike(hostport string) (string, bool) {
	host := strings.ToLower(strings.TrimSuffix(hostport, ":443"))
	if len(host) > maxHost || !strings.Contains(host, ".") || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
		return "", false
	}
	canonical, err := identity.Domain(host)
	return canonical, err == nil && canonical == host
}

// slugLike keeps from the database what cannot be a slug, and may be no text at all: the path of an address holds any bytes.
func slugLike(text string) bool {
	return text != "" && len(text) <= maxSlug && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
