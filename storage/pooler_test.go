package storage_test

import (
	"testing"

	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// Behind a pooler that hands out server processes by the transaction, no statement may count on having been prepared, nor on
// its types having been asked for before. Everything can be asked all the same.
func TestEverythingCanBeAskedWithoutPreparedStatements(t *testing.T) {
	url := storagetest.PostgresURL(t)
	db, err := storage.Open(t.Context(), storage.Options{URL: url, Keyring: storagetest.Keyring(), Pooler: "transaction", MaxConns: 1})
	must(t, err)
	defer db.Close()
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx := storagetest.Org(t, db, "acme")
	f := newFixture(t, db, ctx, "alice")
	everything(t, db, ctx, f)
	for name, try := range trespasses {
		if _, err := try(db, ctx, f); err != nil && !isNotFound(err) && !isExceeded(err) && !expected(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := db.Purge(ctx, now(), 10); err != nil {
		t.Error(err)
	}
}

func expected(err error) bool {
	for _, want := range []error{storage.ErrConflict, storage.ErrSpent} {
		if expect(err, want) == nil {
			return true
		}
	}
	return false
}
