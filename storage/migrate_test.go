package storage_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/migrations"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// With -migrate the test binary is a process that migrates a database and ends, for tests that want several of those, or
// one to kill.
var migrateOnly = flag.String("migrate", "", "URL of a database to migrate instead of running tests")

func TestMain(m *testing.M) {
	flag.Parse()
	if *migrateOnly == "" {
		os.Exit(m.Run())
	}
	if err := migrateAlone(*migrateOnly); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func migrateAlone(url string) error {
	db, err := storage.Open(context.Background(), storage.Options{URL: url, Keyring: storagetest.Keyring()})
	if err != nil {
		return err
	}
	defer db.Close()
	n, err := db.Migrate(context.Background())
	fmt.Println(n)
	return err
}

func migrator(t *testing.T, url string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exec.Command(self, "-migrate", url)
}

func TestOfFiveReplicasThatStartOnAnEmptyDatabaseOneMigratesAndAllComeUp(t *testing.T) {
	storagetest.EachURL(t, func(t *testing.T, url string) {
		var applied atomic.Int64
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				db, err := storage.Open(t.Context(), storage.Options{URL: url, Keyring: storagetest.Keyring()})
				if err != nil {
					t.Error(err)
					return
				}
				defer db.Close()
				n, err := db.Migrate(t.Context())
				if err != nil {
					t.Error(err)
				}
				applied.Add(int64(n))
				if pending, err := db.PendingMigrations(t.Context()); err != nil || pending != 0 {
					t.Errorf("%d pending, %v", pending, err)
				}
			})
		}
		wg.Wait()
		all, err := storagetest.Open(t, url).MigrationStatus(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if int(applied.Load()) != len(all) {
			t.Errorf("%d migrations were applied, there are %d", applied.Load(), len(all))
		}
	})
}

func TestFiveProcessesThatStartOnAnEmptyDatabaseAllComeUp(t *testing.T) {
	storagetest.EachURL(t, func(t *testing.T, url string) {
		var outputs [5]string
		var wg sync.WaitGroup
		for i := range outputs {
			wg.Go(func() {
				out, err := migrator(t, url).CombinedOutput()
				if err != nil {
					t.Errorf("%v: %s", err, out)
				}
				outputs[i] = string(out)
			})
		}
		wg.Wait()
		slices.Sort(outputs[:])
		if outputs[0] != "0\n" || outputs[3] != "0\n" || outputs[4] == "0\n" {
			t.Errorf("applied: %q", outputs)
		}
	})
}

func TestAMigrationThatIsKilledLeavesNothingToMend(t *testing.T) {
	mended := func(t *testing.T, url string) {
		t.Helper()
		db := storagetest.Open(t, url)
		if _, err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		all, err := db.MigrationStatus(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range all {
			if m.AppliedAt == nil || time.Since(*m.AppliedAt) > time.Hour || time.Until(*m.AppliedAt) > time.Hour {
				t.Errorf("%s applied at %v", m.Name, m.AppliedAt)
			}
		}
		newFixture(t, db, storagetest.Org(t, db, "acme"), "alice")
	}
	t.Run("sqlite", func(t *testing.T) {
		for round := range 20 {
			url := storagetest.SQLiteURL(t)
			victim := migrator(t, url)
			if err := victim.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the migration to begin", func() bool {
				_, err := os.Stat(strings.TrimPrefix(url, "sqlite:"))
				return err == nil
			})
			<-time.After(time.Duration(round) * time.Millisecond) // at another moment each time
			victim.Process.Kill()
			victim.Wait()
			mended(t, url)
		}
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel() // it waits for a lease to run out
		url := storagetest.PostgresURL(t)
		raw := openRaw(t, url)
		// Something of ours that a late statement runs into, so that the migration is under way for as long as we like.
		tx, err := raw.Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if _, err := tx.Exec(`CREATE TABLE consents (x integer)`); err != nil {
			t.Fatal(err)
		}
		victim := migrator(t, url)
		if err := victim.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the migration to run into it", func() bool {
			return len(texts(t, raw, `SELECT 'waits' FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)) > 0
		})
		victim.Process.Kill()
		victim.Wait()
		tx.Rollback()
		began := time.Now()
		mended(t, url)
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("the next start waited %v", took)
		}
	})
}

func TestAnEmptyDatabaseIsAskedForPendingMigrationsWithoutBeingChanged(t *testing.T) {
	storagetest.EachURL(t, func(t *testing.T, url string) {
		db := storagetest.Open(t, url)
		n, err := db.PendingMigrations(t.Context())
		if err != nil || n == 0 {
			t.Fatalf("%d pending, %v", n, err)
		}
		tables := `SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()`
		if db.Dialect() == migrations.SQLite {
			tables = `SELECT name FROM sqlite_master`
		}
		if found := texts(t, openRaw(t, url), tables); len(found) > 0 {
			t.Errorf("made: %v", found)
		}
		if applied, err := db.Migrate(t.Context()); err != nil || applied != n {
			t.Errorf("applied %d of %d, %v", applied, n, err)
		}
		if applied, err := db.Migrate(t.Context()); err != nil || applied != 0 {
			t.Errorf("applied %d the second time, %v", applied, err)
		}
	})
}

func TestASchemaOfANewerReleaseIsLeftAlone(t *testing.T) {
	storagetest.EachURL(t, func(t *testing.T, url string) {
		db := storagetest.Open(t, url)
		if _, err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		insert := `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)`
		if _, err := openRaw(t, url).Exec(insert); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Migrate(t.Context()); !errors.Is(err, migrations.ErrNewer) {
			t.Errorf("migrate: %v", err)
		}
		if _, err := db.PendingMigrations(t.Context()); !errors.Is(err, migrations.ErrNewer) {
			t.Errorf("pending: %v", err)
		}
	})
}
