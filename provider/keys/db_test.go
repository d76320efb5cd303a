package keys_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

// eachDB runs a test on every database, with two handles of one.
func eachDB(t *testing.T, test func(t *testing.T, db, other *storage.DB)) {
	ring, err := seal.Parse(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	url := "sqlite:" + filepath.Join(t.TempDir(), "keizer.db")
	handles := make([]*storage.DB, 2)
	for i := range handles {
		if handles[i], err = storage.Open(t.Context(), storage.Options{URL: url, Keyring: ring}); err != nil {
			t.Fatal(err)
		}
		defer handles[i].Close()
	}
	if _, err := handles[0].Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	test(t, handles[0], handles[1])
}

// organization makes one, and returns a context for it.
func organization(t testing.TB, db *storage.DB, slug string) context.Context {
	t.Helper()
	org := &storage.Organization{Name: slug, Slug: slug}
	if err := db.CreateOrganization(t.Context(), org); err != nil {
		t.Fatal(err)
	}
	if org.ID == uuid.Nil {
		t.Fatal("no id")
	}
	return tenant.With(t.Context(), &tenant.Org{ID: org.ID, Slug: slug, Name: slug, Issuer: "https://id.example/o/" + slug, BasePath: "/o/" + slug})
}

// benchDB runs a benchmark on SQLite.
func benchDB(b *testing.B, bench func(b *testing.B, db *storage.DB)) {
	ring, err := seal.Parse(seal.NewKey())
	if err != nil {
		b.Fatal(err)
	}
	db, err := storage.Open(b.Context(), storage.Options{URL: "sqlite:" + filepath.Join(b.TempDir(), "keizer.db"), Keyring: ring})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	bench(b, db)
}
