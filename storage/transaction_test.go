package storage_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

func addUser(db *storage.DB, ctx context.Context, name string) error {
	return db.CreateUser(ctx, &storage.User{Email: name + "@example.com", PasswordHash: "!"})
}

func userExists(t *testing.T, db *storage.DB, ctx context.Context, name string) bool {
	t.Helper()
	_, err := db.UserByLogin(ctx, name+"@example.com")
	if err != nil && !isNotFound(err) {
		t.Fatal(err)
	}
	return err == nil
}

func TestATransactionHappensWhollyOrNotAtAll(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		failure := errors.New("changed my mind")

		must(t, db.InTx(ctx, func(ctx context.Context) error {
			must(t, addUser(db, ctx, "a"))
			if !userExists(t, db, ctx, "a") {
				t.Error("a transaction does not see what it wrote")
			}
			return db.InTx(ctx, func(ctx context.Context) error { return addUser(db, ctx, "b") })
		}))
		for _, name := range []string{"a", "b"} {
			if !userExists(t, db, ctx, name) {
				t.Errorf("%s is lost", name)
			}
		}

		err := db.InTx(ctx, func(ctx context.Context) error {
			must(t, db.InTx(ctx, func(ctx context.Context) error { return addUser(db, ctx, "c") }))
			must(t, addUser(db, ctx, "d"))
			return failure
		})
		if !errors.Is(err, failure) {
			t.Errorf("err = %v", err)
		}
		for _, name := range []string{"c", "d"} {
			if userExists(t, db, ctx, name) {
				t.Errorf("%s was kept", name)
			}
		}
	})
}

func TestAPanicRollsBackAndGoesOn(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		func() {
			defer func() {
				if r := recover(); r != "boom" {
					t.Errorf("recovered %v", r)
				}
			}()
			err := db.InTx(ctx, func(ctx context.Context) error {
				must(t, addUser(db, ctx, "a"))
				panic("boom")
			})
			t.Errorf("it went on with %v", err)
		}()
		if userExists(t, db, ctx, "a") {
			t.Error("a was kept")
		}
		must(t, addUser(db, ctx, "a")) // no connection is left in a transaction
	})
}

func TestATransactionOfAnotherDatabaseIsNotJoined(t *testing.T) {
	one, two := storagetest.DB(t), storagetest.DB(t)
	org := storagetest.Org(t, one, "acme")
	org2 := storagetest.Org(t, two, "acme")
	failure := errors.New("no")
	err := one.InTx(org, func(context.Context) error {
		must(t, two.InTx(org2, func(ctx context.Context) error { return addUser(two, ctx, "a") }))
		return failure
	})
	if !errors.Is(err, failure) {
		t.Errorf("err = %v", err)
	}
	if !userExists(t, two, org2, "a") {
		t.Error("a went with the other database's transaction")
	}
}

// Whoever reads, decides and writes must not lose an update: by waiting on SQLite, by being run again on PostgreSQL at the
// isolation that notices.
func TestConcurrentTransactionsLoseNoUpdate(t *testing.T) {
	const workers, each = 8, 10
	test := func(t *testing.T, url string) {
		first := storagetest.Open(t, url)
		if _, err := first.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx := storagetest.Org(t, first, "acme")
		f := newFixture(t, first, ctx, "alice")
		must(t, first.DeleteConsent(ctx, f.user.ID, "counter"))
		replicas := []*storage.DB{first, storagetest.Open(t, url)}
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for i := range each {
					err := replicas[w%2].SaveConsent(ctx, f.user.ID, "counter", []string{fmt.Sprintf("s%d-%d", w, i)})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		c, err := first.Consent(ctx, f.user.ID, "counter")
		must(t, err)
		if len(c.Scopes) != workers*each {
			t.Errorf("%d scopes of %d", len(c.Scopes), workers*each)
		}
	}
	storagetest.EachURL(t, test)
	t.Run("serializable", func(t *testing.T) {
		test(t, storagetest.PostgresURL(t)+"&default_transaction_isolation=serializable")
	})
}

// The code in between may make anything of an error it is given. A transaction that was beaten by another is run again all
// the same, and one whose database failed is not taken for a refusal.
func TestAFaultOfTheDatabaseIsNotMadeARefusalOnTheWayUp(t *testing.T) {
	url := storagetest.PostgresURL(t)
	db := storagetest.Open(t, url)
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx := storagetest.Org(t, db, "acme")
	f := newFixture(t, db, ctx, "alice")

	// Two transactions that lock two rows in opposite order: one of them is the deadlock's victim.
	t.Run("deadlock", func(t *testing.T) {
		other := *f.user
		other.ID, other.Email, other.Username = uuid.Nil, "bob@example.com", nil
		must(t, db.CreateUser(ctx, &other))
		var wg sync.WaitGroup
		meet := make(chan struct{})
		runs := make(chan int, 10)
		for _, order := range [][2]uuid.UUID{{f.user.ID, other.ID}, {other.ID, f.user.ID}} {
			wg.Go(func() {
				n := 0
				err := db.InTx(ctx, func(ctx context.Context) error {
					n++
					must(t, db.RecordLogin(ctx, order[0], now()))
					if n == 1 {
						select { // until both hold one
						case meet <- struct{}{}:
						case <-meet:
						}
					}
					if err := db.RecordLogin(ctx, order[1], now()); err != nil {
						return errors.New("invalid_grant") // the cause is hidden
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
				runs <- n
			})
		}
		wg.Wait()
		if total := <-runs + <-runs; total != 3 {
			t.Errorf("%d runs of two transactions, one of which was beaten once", total)
		}
	})

	t.Run("fault", func(t *testing.T) {
		raw := openRaw(t, url)
		err := db.InTx(ctx, func(ctx context.Context) error {
			must(t, db.RecordLogin(ctx, f.user.ID, now()))
			texts(t, raw, `SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity
				WHERE datname = current_database() AND state = 'idle in transaction'`)
			if err := db.SpendCode(ctx, f.code); err == nil {
				t.Error("the connection is gone and nobody noticed")
			}
			return errors.New("invalid_grant")
		})
		if !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("err = %v", err)
		}
		must(t, db.SpendCode(ctx, f.code)) // and the pool has forgotten the connection
	})
}

func TestACallerWhoGoesAwayIsToldApartFromADatabaseThatIsAway(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		org := storagetest.Org(t, db, "acme")
		f := newFixture(t, db, org, "alice")
		gone, cancel := context.WithCancel(org)
		cancel()
		late, cancel := context.WithDeadline(org, now().Add(-time.Second))
		defer cancel()
		for name, call := range map[string]func(context.Context) error{
			"read":        func(ctx context.Context) error { _, _, err := db.AccessToken(ctx, f.access); return err },
			"built read":  func(ctx context.Context) error { _, err := db.Client(ctx, f.client.ClientID); return err },
			"write":       func(ctx context.Context) error { return db.SpendCode(ctx, f.code) },
			"transaction": func(ctx context.Context) error { return db.InTx(ctx, func(context.Context) error { return nil }) },
		} {
			if err := call(gone); !errors.Is(err, context.Canceled) || errors.Is(err, storage.ErrUnavailable) {
				t.Errorf("%s, cancelled: %v", name, err)
			}
			if err := call(late); !errors.Is(err, storage.ErrUnavailable) {
				t.Errorf("%s, too late: %v", name, err)
			}
		}
		must(t, db.SpendCode(org, f.code))
	})
}

func TestAConflictInsideATransactionIsNamed(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		must(t, addUser(db, ctx, "a"))
		err := db.InTx(ctx, func(ctx context.Context) error { return addUser(db, ctx, "A") })
		if !errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("err = %v", err)
		}
		// What is expected to be there already does not end the transaction around it.
		must(t, db.InTx(ctx, func(ctx context.Context) error {
			must(t, db.UseJTI(ctx, "c", "1", now().Add(minute)))
			if err := db.UseJTI(ctx, "c", "1", now().Add(minute)); !errors.Is(err, storage.ErrConflict) {
				t.Errorf("err = %v", err)
			}
			for range 2 {
				if _, err := db.EnsureRole(ctx, "r", "", false); err != nil {
					t.Error(err)
				}
			}
			return addUser(db, ctx, "b")
		}))
		if !userExists(t, db, ctx, "b") {
			t.Error("b is lost")
		}
	})
}

// With as many at once as connect in earnest, and all of them writing, nobody is turned away.
func TestManyWritersAtOnceAllGetThrough(t *testing.T) {
	storagetest.EachURL(t, func(t *testing.T, url string) {
		first := storagetest.Open(t, url)
		if _, err := first.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx := storagetest.Org(t, first, "acme")
		replicas := []*storage.DB{first, storagetest.Open(t, url)}
		var wg sync.WaitGroup
		for w := range 16 {
			wg.Go(func() {
				for range 50 {
					db := replicas[w%2]
					digest := secret.Digest(uuid.NewString())
					err := db.InTx(ctx, func(ctx context.Context) error {
						return db.CreateAccessToken(ctx, &storage.AccessToken{Digest: digest, Format: "opaque", ExpiresAt: now().Add(minute)})
					})
					if err != nil {
						t.Error(err)
					}
					if _, _, err := replicas[(w+1)%2].AccessToken(ctx, digest); err != nil {
						t.Errorf("the other replica: %v", err)
					}
				}
			})
		}
		wg.Wait()
	})
}
