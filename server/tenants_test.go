package server

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

func TestAnOrganizationsIssuerComesFromTheConfigurationAndItsSlug(t *testing.T) {
	db := storagetest.DB(t)
	storagetest.Org(t, db, "root")
	storagetest.Org(t, db, "acme")
	tenants := newTenants(db, manage.Addresses{Base: "https://id.example", Root: "root"})
	for slug, want := range map[string][2]string{"root": {"https://id.example", ""}, "acme": {"https://id.example/o/acme", "/o/acme"}} {
		org, err := tenants.find(t.Context(), slug)
		if err != nil {
			t.Fatal(err)
		}
		if org.Issuer != want[0] || org.BasePath != want[1] || org.Slug != slug {
			t.Errorf("%+v", org)
		}
	}
	for _, slug := range []string{"", "nobody", "ACME", "acme ", "a\x00b", "\xff", "acme/", "ａcme", strings.Repeat("a", 64)} {
		if org, err := tenants.find(t.Context(), slug); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("%q: %v, %v", slug, org, err)
		}
	}
}

// forget makes it seem that the database was asked that long ago.
func forget(tenants *tenants, slug string, ago time.Duration) {
	tenants.mu.Lock()
	defer tenants.mu.Unlock()
	known := tenants.known[slug]
	known.asked, known.read = known.asked.Add(-ago), known.read.Add(-ago)
	tenants.known[slug] = known
}

// timedOut is a context in which the database has no time to answer.
func timedOut(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	t.Cleanup(cancel)
	return ctx
}

func TestAnOrganizationIsKnownForAWhileWhenTheDatabaseIsAway(t *testing.T) {
	db := storagetest.DB(t)
	storagetest.Org(t, db, "acme")
	tenants := newTenants(db, manage.Addresses{Base: "https://id.example"})
	if _, err := tenants.find(timedOut(t), "acme"); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("unknown, with the database away: %v", err)
	}
	before, err := tenants.find(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	forget(tenants, "acme", 2*tenantCacheTime)
	for range 2 { // the second does not ask
		if org, err := tenants.find(timedOut(t), "acme"); err != nil || org != before {
			t.Errorf("known, with the database away: %v, %v", org, err)
		}
	}
	forget(tenants, "acme", tenantStaleTime)
	if _, err := tenants.find(timedOut(t), "acme"); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("after a long time: %v", err)
	}
	if _, err := tenants.find(t.Context(), "acme"); err != nil {
		t.Errorf("with the database back: %v", err)
	}
}

// S-270: a suspended organization is gone at once, on every replica.
func TestASuspendedOrganizationIsNotFound(t *testing.T) {
	db := storagetest.DB(t)
	org := &storage.Organization{Name: "Acme", Slug: "acme"}
	if err := db.CreateOrganization(t.Context(), org); err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC()
	if err := db.CreateOrganization(t.Context(), &storage.Organization{Name: "Bad", Slug: "bad", SuspendedAt: &now}); err != nil {
		t.Fatal(err)
	}
	tenants := newTenants(db, manage.Addresses{Base: "https://id.example"})
	if found, err := tenants.find(t.Context(), "bad"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("%v, %v", found, err)
	}
	// That it was known before does not help it, nor an outage after.
	tenants.known["bad"] = knownTenant{read: now}
	if _, err := tenants.find(t.Context(), "bad"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("known before: %v", err)
	}
	if _, err := tenants.find(timedOut(t), "bad"); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("with the database away: %v", err)
	}
}
