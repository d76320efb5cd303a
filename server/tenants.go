package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

const (
	// tenantCacheTime is how long an organization is served from memory: a rename or a suspension shows after that.
	tenantCacheTime = time.Second
	// tenantPatience is how long somebody waits for news of an organization that is known already. Whatever the request is
	// for will wait for the database once more.
	tenantPatience = 250 * time.Millisecond
	// tenantStaleTime bounds for how long a suspension could be overlooked because the database cannot be asked.
	tenantStaleTime = time.Minute
	// maxSlug is that of a DNS label, which slugs are (RFC 1035 §2.3.4).
	maxSlug = 63
)

// tenants knows which organization an address is for, and what its issuer is. The issuer comes from the configuration and
// the slug, never from anything that a request says.
type tenants struct {
	db   *storage.DB
	base string // without a trailing slash
	root string // the slug of the organization whose issuer is base itself; may be empty

	mu    sync.RWMutex
	known map[string]knownTenant
}

type knownTenant struct {
	org   *tenant.Org
	read  time.Time // when the database said so
	asked time.Time // when it was asked last
}

func newTenants(db *storage.DB, base, root string) *tenants {
	return &tenants{db: db, base: base, root: root, known: make(map[string]knownTenant)}
}

// find returns the organization with a slug, or storage.ErrNotFound, also for a suspended one. While the database is away it
// returns what it knew last, for a while: an organization's name does not change in an outage, and each endpoint can answer in
// its own way.
func (t *tenants) find(ctx context.Context, slug string) (*tenant.Org, error) {
	if !slugLike(slug) {
		return nil, storage.ErrNotFound
	}
	t.mu.RLock()
	known, ok := t.known[slug]
	t.mu.RUnlock()
	if ok && time.Since(known.asked) < tenantCacheTime {
		return known.org, nil
	}
	ok = ok && time.Since(known.read) < tenantStaleTime
	if ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, tenantPatience)
		defer cancel()
	}

	row, err := t.db.OrganizationBySlug(ctx, slug)
	switch {
	case errors.Is(err, storage.ErrUnavailable) && ok:
		known.asked = time.Now() // so that not every request waits for what does not come
		t.remember(slug, known)
		return known.org, nil
	case err != nil && !errors.Is(err, storage.ErrNotFound):
		return nil, err
	case err != nil || row.SuspendedAt != nil:
		t.mu.Lock()
		delete(t.known, slug)
		t.mu.Unlock()
		return nil, storage.ErrNotFound
	}
	decided, err := settings.Parse(row.Settings)
	if err != nil {
		return nil, fmt.Errorf("organization %s: %w", slug, err) // fail closed: what was decided is not known
	}
	org := &tenant.Org{ID: row.ID, Slug: row.Slug, Name: row.Name, Issuer: t.base, Settings: decided}
	if slug != t.root {
		org.BasePath = "/o/" + slug
		org.Issuer += org.BasePath
	}
	now := time.Now()
	t.remember(slug, knownTenant{org, now, now})
	return org, nil
}

func (t *tenants) remember(slug string, known knownTenant) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known[slug] = known
}

// slugLike keeps from the database what cannot be a slug, and may be no text at all: the path of an address holds any bytes.
func slugLike(text string) bool {
	return text != "" && len(text) <= maxSlug && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
