package storagetest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

// Each runs a test on SQLite and on PostgreSQL, each time with an empty database.
func Each(t *testing.T, test func(t *testing.T, db *storage.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, DB(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, Postgres(t)) })
}

// EachURL is Each for a test that opens the database itself, as often as it likes. The database is not migrated.
func EachURL(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, SQLiteURL(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, PostgresURL(t)) })
}

// EachMigratedURL is EachURL with the database migrated: copied, which takes a fraction of what migrating takes.
func EachMigratedURL(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, MigratedSQLiteURL(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, MigratedPostgresURL(t)) })
}

// DB returns an empty, migrated SQLite database, which is closed when the test ends.
func DB(t testing.TB) *storage.DB {
	t.Helper()
	return Open(t, MigratedSQLiteURL(t))
}

// MigratedSQLiteURL returns the URL of an empty, migrated SQLite database.
func MigratedSQLiteURL(t testing.TB) string {
	t.Helper()
	template, err := migratedFile()
	if err != nil {
		t.Fatalf("make an SQLite database: %v", err)
	}
	path := filepath.Join(t.TempDir(), "keizer.db")
	if err := os.WriteFile(path, template, 0o600); err != nil {
		t.Fatal(err)
	}
	return "sqlite:" + path
}

// SQLiteURL returns the URL of an SQLite database that does not exist yet.
func SQLiteURL(t testing.TB) string {
	t.Helper()
	return "sqlite:" + filepath.Join(t.TempDir(), "keizer.db")
}

// Postgres returns an empty, migrated PostgreSQL database, which is dropped when the test ends.
func Postgres(t testing.TB) *storage.DB {
	t.Helper()
	return Open(t, MigratedPostgresURL(t))
}

// MigratedPostgresURL returns the URL of an empty, migrated PostgreSQL database, which is dropped when the test ends.
func MigratedPostgresURL(t testing.TB) string {
	t.Helper()
	return postgres(t).fresh(t, true)
}

// PostgresURL returns the URL of an empty PostgreSQL database without tables, which is dropped when the test ends.
func PostgresURL(t testing.TB) string {
	t.Helper()
	return postgres(t).fresh(t, false)
}

// Open opens a database under the master key of this process and closes it when the test ends.
func Open(t testing.TB, url string) *storage.DB {
	t.Helper()
	db, err := open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func open(url string) (*storage.DB, error) {
	return storage.Open(context.Background(), storage.Options{URL: url, Keyring: Keyring()})
}

// Keyring returns the master key of this process.
var Keyring = sync.OnceValue(func() *seal.Keyring {
	ring, err := seal.Parse(seal.NewKey())
	if err != nil {
		panic(err)
	}
	return ring
})

// migratedFile returns the content of an SQLite database that was migrated and nothing else. Every test copies it.
var migratedFile = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "keizer-sqlite-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "template.db")
	db, err := open("sqlite:" + path)
	if err != nil {
		return nil, err
	}
	if _, err := db.Migrate(context.Background()); err != nil {
		db.Close()
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// Org makes an organization and returns a context in which everything is asked for it.
func Org(t testing.TB, db *storage.DB, slug string) context.Context {
	t.Helper()
	org := &storage.Organization{ID: uuid.New(), Name: slug, Slug: slug}
	ctx := context.WithoutCancel(t.Context()) // what the test cleans up with is asked for the organization as well
	if err := db.CreateOrganization(ctx, org); err != nil {
		t.Fatalf("make organization %s: %v", slug, err)
	}
	return tenant.With(ctx, &tenant.Org{
		ID: org.ID, Slug: slug, Name: slug,
		Issuer: fmt.Sprintf("http://localhost:8080/o/%s", slug), BasePath: "/o/" + slug,
	})
}
