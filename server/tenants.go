package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

// tenantCacheTime is how long an organization is served from memory: a rename or a suspension shows after that.
const tenantCacheTime = time.Second

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
	org  *tenant.Org
	read time.Time
}

func newTenants(db *storage.DB, base, root string) *tenants {
	return &tenants{db: db, base: base, root: root, known: make(map[string]knownTenant)}
}

// find returns the organization with a slug, or storage.ErrNotFound, also for a suspended one. While the database is away it
// returns what it knew last: an organization's name does not change in an outage, and metadata can still be served.
func (t *tenants) find(ctx context.Context, slug string) (*tenant.Org, error) {
	if slug == "" {
		return nil, storage.ErrNotFound
	}
	t.mu.RLock()
	known, ok := t.known[slug]
	t.mu.RUnlock()
	if ok && time.Since(known.read) < tenantCacheTime {
		return known.org, nil
	}

	row, err := t.db.OrganizationBySlug(ctx, slug)
	switch {
	case errors.Is(err, storage.ErrUnavailable) && ok:
		return known.org, nil
	case err != nil && !errors.Is(err, storage.ErrNotFound):
		return nil, err
	case err != nil || row.SuspendedAt != nil:
		t.mu.Lock()
		delete(t.known, slug)
		t.mu.Unlock()
		return nil, storage.ErrNotFound
	}
	org := &tenant.Org{ID: row.ID, Slug: row.Slug, Name: row.Name, Issuer: t.base}
	if slug != t.root {
		org.BasePath = "/o/" + slug
		org.Issuer += org.BasePath
	}
	if ok && *known.org == *org {
		org = known.org
	}
	t.mu.Lock()
	t.known[slug] = knownTenant{org, time.Now()}
	t.mu.Unlock()
	return org, nil
}
