package keys_test

import (
	"context"
	"testing"

	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// eachDB runs a test on every database, with two handles of one, as two replicas have them.
func eachDB(t *testing.T, test func(t *testing.T, db, other *storage.DB)) {
	storagetest.EachURL(t, func(t *testing.T, url string) {
		db, other := storagetest.Open(t, url), storagetest.Open(t, url)
		if _, err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		test(t, db, other)
	})
}

// benchDB runs a benchmark on SQLite.
func benchDB(b *testing.B, bench func(b *testing.B, db *storage.DB)) { bench(b, storagetest.DB(b)) }

// organization makes one, and returns a context for it.
func organization(t testing.TB, db *storage.DB, slug string) context.Context {
	t.Helper()
	return storagetest.Org(t, db, slug)
}
