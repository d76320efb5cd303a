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

// S-262: what looks to PostgreSQL like a placeholder, a quote of its own or the end of a statement is text, however a driver sends it. No
// value ever stands in the text of a statement.
func TestWhatLooksLikeAStatementIsText(t *testing.T) {
	url := storagetest.MigratedPostgresURL(t)
	for _, pooler := range []string{"", "transaction"} {
		db, err := storage.Open(t.Context(), storage.Options{URL: url, Keyring: storagetest.Keyring(), Pooler: pooler, MaxConns: 1})
		must(t, err)
		t.Cleanup(func() { db.Close() })
		ctx := storagetest.Org(t, db, "acme"+pooler)
		for _, text := range []string{
			"$1", "$2 $1", "$$", "$$ $1 $$", "$tag$ $1 $tag$", "$1$", "E'\\'' $1", "'; DROP TABLE users; --", "/* $1 */", "-- $1\n$2", `"$1"`, "\\", "''$1''", "$é$ $1 $é$",
		} {
			user := &storage.User{Email: pooler + "alice@example.com", FullName: &text, PasswordHash: "!", Metadata: map[string]any{"nickname": text}}
			must(t, db.CreateUser(ctx, user))
			read, err := db.User(ctx, user.ID)
			if err != nil || *read.FullName != text || read.Metadata["nickname"] != text {
				t.Errorf("%q beside pooler %q: %+v, %v", text, pooler, read, err)
			}
			if found, err := db.UserByLogin(ctx, text); !isNotFound(err) {
				t.Errorf("%q is %+v, %v", text, found, err)
			}
			must(t, db.DeleteUser(ctx, user.ID))
		}
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
