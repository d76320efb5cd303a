package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// The dialects that there is a set of migrations for.
const (
	Postgres = "postgres"
	SQLite   = "sqlite"
)

// ErrNewer means that the database was migrated by a newer release than this one. It is left as it is.
var ErrNewer = errors.New("the database schema is newer than this release")

// versionTable is where goose keeps which migrations were applied.
const versionTable = "goose_db_version"

//go:embed postgres/*.sql sqlite/*.sql
var files embed.FS

// Migration is one step of the schema and when it was applied; AppliedAt is nil while it is pending.
type Migration struct {
	Version   int64
	Name      string
	AppliedAt *time.Time
}

// Up applies what is pending and returns how many migrations that was. When several processes call it at once, one
// applies and the others wait for it, then return 0.
func Up(ctx context.Context, db *sql.DB, dialect string, log *slog.Logger) (applied int, err error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	// Nothing is locked or created in a database that is up to date: most starts are of that kind, and the role of the
	// application need not be allowed to create tables.
	switch pending, err := Pending(ctx, db, dialect); {
	case err != nil:
		return 0, err
	case pending == 0:
		return 0, nil
	}
	if dialect == SQLite {
		return upSQLite(ctx, db, log)
	}
	return upPostgres(ctx, db, log)
}

// The lock is a row with a lease. A process that dies while it migrates holds the others up for as long as the lease, so
// it is short, and renewed often.
const (
	lease     = 10 * time.Second
	heartbeat = 2 * time.Second
	retry     = 250 * time.Millisecond
	retries   = 1200 // five minutes
)

func upPostgres(ctx context.Context, db *sql.DB, log *slog.Logger) (applied int, err error) {
	locker, err := lock.NewPostgresTableLocker(
		lock.WithTableLeaseDuration(lease),
		lock.WithTableHeartbeatInterval(heartbeat),
		lock.WithTableLockTimeout(retry, retries),
		lock.WithTableUnlockTimeout(retry, retries/60),
		lock.WithTableLogger(log),
	)
	if err != nil {
		return 0, fmt.Errorf("migration lock: %w", err)
	}
	// The lock is taken here and not by goose, which would create its version table before it takes it.
	if err := locker.Lock(ctx, db); err != nil {
		return 0, fmt.Errorf("lock migrations: %w", err)
	}
	defer func() {
		if e := locker.Unlock(context.WithoutCancel(ctx), db); e != nil {
			err = errors.Join(err, fmt.Errorf("unlock migrations: %w", e))
		}
	}()
	return up(ctx, db, Postgres, log)
}

// up applies what is pending to a database that nobody else migrates meanwhile.
func up(ctx context.Context, db *sql.DB, dialect string, log *slog.Logger) (int, error) {
	kind, set, err := source(dialect)
	if err != nil {
		return 0, err
	}
	provider, err := goose.NewProvider(kind, db, set, goose.WithSlog(quiet(log)), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return 0, fmt.Errorf("read migrations: %w", err)
	}
	results, err := provider.Up(ctx)
	for _, r := range results {
		log.InfoContext(ctx, "migration applied", "version", r.Source.Version, "name", r.Source.Path, "duration", r.Duration)
	}
	if err != nil {
		return len(results), fmt.Errorf("migrate: %w", err)
	}
	return len(results), nil
}

// Status returns every migration of this release, oldest first.
func Status(ctx context.Context, db *sql.DB, dialect string) ([]Migration, error) {
	all, err := known(dialect)
	if err != nil {
		return nil, err
	}
	done, err := appliedVersions(ctx, db, dialect)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if at, ok := done[all[i].Version]; ok {
			all[i].AppliedAt = &at
		}
	}
	if newest := all[len(all)-1].Version; newestOf(done) > newest {
		return all, fmt.Errorf("%w: it is at version %d, and this release knows up to %d", ErrNewer, newestOf(done), newest)
	}
	return all, nil
}

// All returns every migration of this release, none of them applied: those of a database that does not exist yet.
func All(dialect string) ([]Migration, error) { return known(dialect) }

// Pending returns how many migrations are yet to be applied. It changes nothing.
func Pending(ctx context.Context, db *sql.DB, dialect string) (int, error) {
	all, err := Status(ctx, db, dialect)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, m := range all {
		if m.AppliedAt == nil {
			n++
		}
	}
	return n, nil
}

// appliedVersions reads goose's version table. It does not ask goose, which would create the table to read it.
func appliedVersions(ctx context.Context, db *sql.DB, dialect string) (map[int64]time.Time, error) {
	exists := `SELECT EXISTS (SELECT 1 FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = '` +
		versionTable + `')`
	if dialect == SQLite {
		exists = `SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '` + versionTable + `')`
	}
	var found bool
	if err := db.QueryRowContext(ctx, exists).Scan(&found); err != nil {
		return nil, fmt.Errorf("look for the version table: %w", err)
	}
	done := make(map[int64]time.Time)
	if !found {
		return done, nil
	}
	rows, err := db.QueryContext(ctx, `SELECT version_id, tstamp FROM `+versionTable+` WHERE version_id > 0 ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("read the version table: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var version int64
		var at time.Time
		if err := rows.Scan(&version, &at); err != nil {
			return nil, fmt.Errorf("read the version table: %w", err)
		}
		done[version] = at.UTC()
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the version table: %w", err)
	}
	return done, nil
}

func newestOf(done map[int64]time.Time) int64 {
	var newest int64
	for v := range done {
		newest = max(newest, v)
	}
	return newest
}

// source returns goose's name of a dialect and its set of migrations.
func source(dialect string) (goose.Dialect, fs.FS, error) {
	set, err := fs.Sub(files, dialect)
	if err != nil {
		return "", nil, fmt.Errorf("migrations of %q: %w", dialect, err)
	}
	switch dialect {
	case Postgres:
		return goose.DialectPostgres, set, nil
	case SQLite:
		return goose.DialectSQLite3, set, nil
	}
	return "", nil, fmt.Errorf("no migrations for the dialect %q", dialect)
}

// known returns the migrations of this release, oldest first, none of them marked as applied.
func known(dialect string) ([]Migration, error) {
	_, set, err := source(dialect)
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(set, "*.sql") // sorted, and the versions are zero-padded
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	all := make([]Migration, 0, len(names))
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return nil, fmt.Errorf("version of %s: %w", name, err)
		}
		all = append(all, Migration{Version: version, Name: name})
	}
	return all, nil
}

// quiet keeps goose's own account of every statement out of the log, and its warnings in it.
func quiet(log *slog.Logger) *slog.Logger { return slog.New(warnings{log.Handler()}) }

type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}

func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs)}
}

func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }
