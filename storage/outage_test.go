package storage_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// busy is what a machine that runs other tests beside these, under the race detector, may add to how long anything takes.
const busy = 2 * time.Second

// calls are one of each way to the database.
func calls(db *storage.DB, f *fixture) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"ping":       db.Ping,
		"read":       func(ctx context.Context) error { _, _, err := db.AccessToken(ctx, f.access); return err },
		"built read": func(ctx context.Context) error { _, err := db.Client(ctx, f.client.ClientID); return err },
		"write": func(ctx context.Context) error {
			return db.CreateAccessToken(ctx, &storage.AccessToken{Digest: secret.Digest(uuid.NewString()), Format: "opaque", ExpiresAt: now()})
		},
		"transaction": func(ctx context.Context) error {
			return db.InTx(ctx, func(ctx context.Context) error { return db.RecordLogin(ctx, f.user.ID, now()) })
		},
		"pending": func(ctx context.Context) error { _, err := db.PendingMigrations(ctx); return err },
	}
}

// away lets many callers at once find the database away: each is told so in time.
func away(t *testing.T, db *storage.DB, ctx context.Context, f *fixture) {
	t.Helper()
	var wg sync.WaitGroup
	for name, call := range calls(db, f) {
		for range 8 { // more than there are connections
			wg.Go(func() {
				began := time.Now()
				err := call(ctx)
				if took := time.Since(began); took > 3*time.Second+busy {
					t.Errorf("%s took %v", name, took)
				}
				if !errors.Is(err, storage.ErrUnavailable) {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
	}
	wg.Wait()
}

// back waits until the database answers again, and then asks for everything.
func back(t *testing.T, db *storage.DB, ctx context.Context, f *fixture) {
	t.Helper()
	began := time.Now()
	eventually(t, "the database to be back", func() bool { return db.Ping(ctx) == nil })
	if took := time.Since(began); took > 3*time.Second+busy {
		t.Errorf("back only after %v", took)
	}
	for name, call := range calls(db, f) {
		for range 30 {
			// A write may meet a connection that broke and that nobody has used since; then it is told, once for each.
			if err := call(ctx); err != nil && !errors.Is(err, storage.ErrUnavailable) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := call(ctx); err != nil {
			t.Errorf("%s is not back: %v", name, err)
		}
	}
}

func TestAServerThatCrashesIsUnavailableAndThenBack(t *testing.T) {
	t.Parallel()
	server := storagetest.NewServer(t)
	db := server.Fresh(t)
	ctx := storagetest.Org(t, db, "acme")
	f := newFixture(t, db, ctx, "alice")
	for range 2 {
		server.Stop(t)
		away(t, db, ctx, f)
		server.Start(t)
		back(t, db, ctx, f)
	}
	if _, _, err := db.AccessToken(ctx, f.access); err != nil {
		t.Errorf("what was written before is lost: %v", err)
	}
}

func TestAServerThatHangsIsUnavailableAndThenBack(t *testing.T) {
	t.Parallel()
	server := storagetest.NewServer(t)
	db := server.Fresh(t)
	ctx := storagetest.Org(t, db, "acme")
	f := newFixture(t, db, ctx, "alice")
	for name, call := range calls(db, f) { // so that there are connections to hang on
		if err := call(ctx); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	before := runtime.NumGoroutine()

	server.Pause(t)
	away(t, db, ctx, f)
	// A transaction that is under way when it happens ends as well, also one that does not notice.
	server.Resume(t)
	back(t, db, ctx, f)
	began := time.Now()
	err := db.InTx(ctx, func(ctx context.Context) error {
		must(t, db.RecordLogin(ctx, f.user.ID, now()))
		server.Pause(t)
		return nil
	})
	if took := time.Since(began); took > 3*time.Second+busy || !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("commit: %v after %v", err, took)
	}
	began = time.Now()
	server.Resume(t)
	back(t, db, ctx, f)
	err = db.InTx(ctx, func(ctx context.Context) error {
		must(t, db.RecordLogin(ctx, f.user.ID, now()))
		server.Pause(t)
		began = time.Now()
		return errors.New("rolled back")
	})
	if took := time.Since(began); took > 3*time.Second+busy || err == nil {
		t.Errorf("rollback: %v after %v", err, took)
	}
	server.Resume(t)
	back(t, db, ctx, f)
	eventually(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= before+5 })
}

// After a failover the old server may go on answering, as a standby. Nobody goes on asking it.
func TestAConnectionThatOnlyReadsIsGivenUp(t *testing.T) {
	url := storagetest.PostgresURL(t)
	db, err := storage.Open(t.Context(), storage.Options{URL: url, Keyring: storagetest.Keyring(), MaxConns: 1})
	must(t, err)
	defer db.Close()
	_, err = db.Migrate(t.Context())
	must(t, err)
	ctx := storagetest.Org(t, db, "acme")
	f := newFixture(t, db, ctx, "alice")
	raw := openRaw(t, url)
	name := texts(t, raw, `SELECT current_database()::text`)[0]
	// What a connection is, it stays; so the one there is has to end before the setting takes hold.
	for _, statement := range []string{
		`ALTER DATABASE ` + name + ` SET default_transaction_read_only = on`,
		`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'keizer'`,
	} {
		_, err := raw.Exec(statement)
		must(t, err)
	}
	eventually(t, "a connection that only reads", func() bool { return db.Ping(ctx) == nil })
	for name, call := range calls(db, f) {
		if err := call(ctx); (name == "write" || name == "transaction") != errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := db.SpendCode(ctx, f.code); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("spend: %v", err)
	}
	_, err = raw.Exec(`BEGIN; SET TRANSACTION READ WRITE; ALTER DATABASE ` + name + ` RESET default_transaction_read_only; COMMIT`)
	must(t, err)
	must(t, db.SpendCode(ctx, f.code))
}

func TestADatabaseThatIsNotThereIsSaidSoAtOnce(t *testing.T) {
	began := time.Now()
	_, err := storage.Open(t.Context(), storage.Options{URL: "postgres://nobody:hunter2@127.0.0.1:1/x", Keyring: storagetest.Keyring()})
	if !errors.Is(err, storage.ErrUnavailable) || time.Since(began) > 3*time.Second+busy {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	if err != nil && containsSecret(err.Error()) {
		t.Errorf("the password is in %v", err)
	}
	for _, url := range []string{"", "mysql://root:hunter2@x", "postgres://%zz:hunter2@x", "postgres:// :hunter2@x:y", "hunter2"} {
		_, err := storage.Open(t.Context(), storage.Options{URL: url, Keyring: storagetest.Keyring()})
		if err == nil || containsSecret(err.Error()) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// Another process may write to the same file: a command while the server runs, a backup.
func TestAnotherProcessThatHoldsTheFileIsWaitedFor(t *testing.T) {
	t.Parallel()
	url := storagetest.SQLiteURL(t)
	db := storagetest.Open(t, url)
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx := storagetest.Org(t, db, "acme")
	f := newFixture(t, db, ctx, "alice")
	hold := func() *sql.Conn {
		conn, err := openRaw(t, url).Conn(t.Context())
		must(t, err)
		_, err = conn.ExecContext(t.Context(), `BEGIN IMMEDIATE`)
		must(t, err)
		return conn
	}
	release := func(conn *sql.Conn) {
		_, err := conn.ExecContext(context.WithoutCancel(t.Context()), `ROLLBACK`)
		must(t, err)
		conn.Close()
	}

	held := hold()
	released := time.AfterFunc(time.Second, func() { release(held) })
	defer released.Stop()
	var wg sync.WaitGroup
	for name, call := range calls(db, f) {
		for range 4 {
			wg.Go(func() {
				if err := call(ctx); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
	}
	wg.Wait()

	held = hold()
	for name, call := range calls(db, f) {
		wg.Go(func() {
			began := time.Now()
			err := call(ctx)
			took := time.Since(began)
			if name == "write" || name == "transaction" {
				if !errors.Is(err, storage.ErrUnavailable) || took > 5500*time.Millisecond+busy {
					t.Errorf("%s: %v after %v", name, err, took)
				}
			} else if err != nil || took > time.Second+busy {
				t.Errorf("%s waits for a writer: %v after %v", name, err, took)
			}
		})
	}
	wg.Wait()
	release(held)
	for name, call := range calls(db, f) {
		if err := call(ctx); err != nil {
			t.Errorf("%s is not back: %v", name, err)
		}
	}
}

func TestTheFilesOfADatabaseAreTheirOwnersAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "with space?and#signs%41")
	url := "sqlite:" + filepath.Join(dir, "keizer.db")
	db := storagetest.Open(t, url)
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	newFixture(t, db, storagetest.Org(t, db, "acme"), "alice")
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) < 2 {
		t.Errorf("files: %v", entries)
	}
	for _, e := range entries {
		info, err := e.Info()
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
	info, err := os.Stat(dir)
	must(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %v", info.Mode())
	}
}
