package storage_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

var slowly = throttle.Limit{Name: "slowly", Burst: 3, Per: time.Hour}

// later takes a part of the time that a limit has left away, as if it had passed.
func later(t *testing.T, address string, by time.Duration) {
	t.Helper()
	db := openRaw(t, address)
	if _, err := db.Exec(`UPDATE rate_limits SET busy_until = busy_until - $1`, by.Microseconds()); err != nil {
		t.Fatal(err)
	}
}

func exceeded(t *testing.T, err error) time.Duration {
	t.Helper()
	var e *throttle.Exceeded
	if !errors.As(err, &e) {
		t.Fatalf("err = %v, want a limit exceeded", err)
	}
	return e.RetryAfter
}

func migrated(t *testing.T, address string) *storage.DB {
	t.Helper()
	db := storagetest.Open(t, address)
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

func TestALimitLetsItsBurstThroughAndThenAsMuchAsDrains(t *testing.T) {
	storagetest.EachURL(t, func(t *testing.T, address string) {
		db := migrated(t, address)
		ctx := storagetest.Org(t, db, "acme")
		for range slowly.Burst {
			must(t, db.Take(ctx, slowly, "alice"))
		}
		wait := exceeded(t, db.Take(ctx, slowly, "alice"))
		if wait > 20*time.Minute || wait < 19*time.Minute {
			t.Errorf("again in %s, want a third of an hour", wait)
		}
		must(t, db.Take(ctx, slowly, "bob"))
		must(t, db.Take(storagetest.Org(t, db, "other"), slowly, "alice"))

		later(t, address, 20*time.Minute)
		must(t, db.Take(ctx, slowly, "alice"))
		exceeded(t, db.Take(ctx, slowly, "alice"))
		later(t, address, 100*time.Hour) // no more than empty
		for range slowly.Burst {
			must(t, db.Take(ctx, slowly, "alice"))
		}
		exceeded(t, db.Take(ctx, slowly, "alice"))

		must(t, db.GiveBack(ctx, slowly, "alice"))
		must(t, db.Take(ctx, slowly, "alice"))
		exceeded(t, db.Take(ctx, slowly, "alice"))
	})
}

func TestALimitThatTightensMakesEachTryWaitLonger(t *testing.T) {
	tight := throttle.Backoff{Name: "tight", Free: 3, First: time.Minute, Most: 10 * time.Minute, Forget: 3 * time.Hour}
	storagetest.EachURL(t, func(t *testing.T, address string) {
		db := migrated(t, address)
		ctx := storagetest.Org(t, db, "acme")
		for range tight.Free {
			must(t, db.TakeTurn(ctx, tight, "alice"))
		}
		for _, want := range []time.Duration{time.Minute, 4 * time.Minute, 10 * time.Minute, 10 * time.Minute} {
			for range 3 { // asking makes it no longer
				if wait := exceeded(t, db.TakeTurn(ctx, tight, "alice")); wait > want || wait < want-10*time.Second {
					t.Errorf("again in %s, want %s", wait, want)
				}
			}
			later(t, address, want)
			must(t, db.TakeTurn(ctx, tight, "alice"))
		}
		must(t, db.Forgive(ctx, tight, "alice"))
		for range tight.Free {
			must(t, db.TakeTurn(ctx, tight, "alice"))
		}
		exceeded(t, db.TakeTurn(ctx, tight, "alice"))
		if _, err := openRaw(t, address).Exec(`UPDATE rate_limits SET expires_at = changed.at FROM (SELECT created_at AS at FROM organizations) AS changed`); err != nil {
			t.Fatal(err)
		}
		for range tight.Free {
			must(t, db.TakeTurn(ctx, tight, "alice"))
		}
		exceeded(t, db.TakeTurn(ctx, tight, "alice"))
	})
}

// What many try at once on two replicas is let through as often as there is room for, and not once more (S-202).
func TestReplicasShareALimitToTheLastUse(t *testing.T) {
	const each = 32
	burst := throttle.Limit{Name: "burst", Burst: 20, Per: time.Hour}
	turns := throttle.Backoff{Name: "turns", Free: 5, First: time.Hour, Most: time.Hour, Forget: time.Hour}
	storagetest.EachURL(t, func(t *testing.T, address string) {
		first := migrated(t, address)
		replicas := []*storage.DB{first, storagetest.Open(t, address)}
		ctx := storagetest.Org(t, first, "acme")
		for _, limit := range []struct {
			name string
			want int64
			take func(*storage.DB) error
		}{
			{"burst", int64(burst.Burst), func(db *storage.DB) error { return db.Take(ctx, burst, "alice") }},
			{"turns", int64(turns.Free), func(db *storage.DB) error { return db.TakeTurn(ctx, turns, "alice") }},
		} {
			t.Run(limit.name, func(t *testing.T) {
				var taken atomic.Int64
				var wg sync.WaitGroup
				start := make(chan struct{})
				for _, db := range replicas {
					for range each {
						wg.Go(func() {
							<-start
							err := limit.take(db)
							switch {
							case err == nil:
								taken.Add(1)
							case !isExceeded(err):
								t.Error(err)
							}
						})
					}
				}
				close(start)
				wg.Wait()
				if taken.Load() != limit.want {
					t.Errorf("%d were let through, want %d", taken.Load(), limit.want)
				}
			})
		}
	})
}

// A clock that was an hour ahead and is set back leaves levels in the future (F-17). Nobody waits for that hour, and nobody
// gains more than one use by it.
func TestALevelFromTheFutureHoldsNobodyForLong(t *testing.T) {
	turns := throttle.Backoff{Name: "turns", Free: 2, First: time.Minute, Most: 15 * time.Minute, Forget: 3 * time.Hour}
	storagetest.EachURL(t, func(t *testing.T, address string) {
		db := migrated(t, address)
		ctx := storagetest.Org(t, db, "acme")
		for range slowly.Burst {
			must(t, db.Take(ctx, slowly, "alice"))
		}
		for range turns.Free {
			must(t, db.TakeTurn(ctx, turns, "alice"))
		}
		later(t, address, -5*time.Hour)
		must(t, db.Take(ctx, slowly, "alice"))
		if wait := exceeded(t, db.Take(ctx, slowly, "alice")); wait > slowly.Per {
			t.Errorf("again in %s", wait)
		}
		must(t, db.TakeTurn(ctx, turns, "alice"))
		if wait := exceeded(t, db.TakeTurn(ctx, turns, "alice")); wait > turns.Most {
			t.Errorf("again in %s", wait)
		}
	})
}

func TestALimitIsNotTakenInsideTheTransactionOfADeed(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		err := db.InTx(ctx, func(ctx context.Context) error { return db.Take(ctx, slowly, "alice") })
		if err == nil || isExceeded(err) {
			t.Errorf("err = %v", err)
		}
		must(t, db.Take(ctx, slowly, "alice"))
	})
}

func TestLimitsThatAreTakenTogetherStayTakenUpToTheOneThatIsReached(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		together := func() error {
			return db.Tally(ctx, func(ctx context.Context) error {
				for _, subject := range []string{"one", "two", "three"} {
					if err := db.Take(ctx, slowly, subject); err != nil {
						return err
					}
				}
				return nil
			})
		}
		must(t, together())
		for range slowly.Burst - 1 {
			must(t, db.Take(ctx, slowly, "two"))
		}
		exceeded(t, together())
		must(t, db.Take(ctx, slowly, "one"))
		exceeded(t, db.Take(ctx, slowly, "one"))
		must(t, db.Take(ctx, slowly, "three"))
		must(t, db.Take(ctx, slowly, "three"))
		exceeded(t, db.Take(ctx, slowly, "three"))
		if err := db.InTx(ctx, func(ctx context.Context) error {
			return db.Tally(ctx, func(context.Context) error { return nil })
		}); err == nil {
			t.Error("limits are taken together inside the transaction of a deed")
		}
	})
}

func TestALimitThatLetsNothingThroughIsAMistake(t *testing.T) {
	db := storagetest.DB(t)
	if err := db.Take(storagetest.Org(t, db, "acme"), throttle.Limit{Name: "none"}, "alice"); err == nil || isExceeded(err) {
		t.Errorf("err = %v", err)
	}
}

func TestNoTableOfLimitsLetsNothingThrough(t *testing.T) {
	storagetest.EachURL(t, func(t *testing.T, address string) {
		db := migrated(t, address)
		ctx := storagetest.Org(t, db, "acme")
		if _, err := openRaw(t, address).Exec(`DROP TABLE rate_limits`); err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{
			"Take": db.Take(ctx, slowly, "alice"), "TakeTurn": db.TakeTurn(ctx, fixtureBackoff, "alice"),
		} {
			if !errors.Is(err, storage.ErrUnavailable) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

func TestTheTableOfLimitsNamesNobody(t *testing.T) {
	storagetest.EachURL(t, func(t *testing.T, address string) {
		db := migrated(t, address)
		ctx := storagetest.Org(t, db, "acme")
		must(t, db.Take(ctx, slowly, "alice@example.com"))
		for _, subject := range texts(t, openRaw(t, address), `SELECT subject FROM rate_limits`) {
			if strings.Contains(subject, "alice") || !strings.HasPrefix(subject, "slowly:") {
				t.Errorf("the table holds %q", subject)
			}
		}
		if _, err := db.Purge(ctx, now().Add(3*time.Hour), 0); err != nil {
			t.Fatal(err)
		}
		if left := texts(t, openRaw(t, address), `SELECT subject FROM rate_limits`); len(left) > 0 {
			t.Errorf("left after it drained: %v", left)
		}
	})
}

func BenchmarkTake(b *testing.B) {
	wide := throttle.Limit{Name: "wide", Burst: 1 << 30, Per: 1000 * time.Hour}
	db := storagetest.DB(b)
	ctx := storagetest.Org(b, db, "acme")
	for i := range b.N {
		if err := db.Take(ctx, wide, fmt.Sprint(i%100)); err != nil {
			b.Fatal(err)
		}
	}
}
