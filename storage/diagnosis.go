package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// ServerVersion says which database answers, as it says it itself.
func (db *DB) ServerVersion(ctx context.Context) (version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, db.patience)
	defer cancel()
	statement := `SELECT 'SQLite ' || sqlite_version()`
	if db.dialect == "postgres" {
		statement = `SELECT 'PostgreSQL ' || current_setting('server_version')`
	}
	if err := db.reader.QueryRowContext(ctx, statement).Scan(&version); err != nil {
		return "", fmt.Errorf("ask for the version: %w", translate(ctx, err))
	}
	return version, nil
}

// MasterKeyKnown reports whether the database has come to belong to a master key. CheckMasterKey makes it so.
func (db *DB) MasterKeyKnown(ctx context.Context) (known bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, db.patience)
	defer cancel()
	if err := db.reader.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM instance)`).Scan(&known); err != nil {
		return false, fmt.Errorf("look for the master key: %w", translate(ctx, err))
	}
	return known, nil
}

// ClockSkew returns by how much the database's clock is ahead of ours, give or take what the question took. Nothing relies on
// that clock, but where it differs one of the two is wrong, and so perhaps is another replica's. SQLite has no clock of its own.
func (db *DB) ClockSkew(ctx context.Context) (time.Duration, error) {
	if db.dialect != "postgres" {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, db.patience)
	defer cancel()
	var theirs time.Time
	before := time.Now()
	if err := db.reader.QueryRowContext(ctx, `SELECT clock_timestamp()`).Scan(&theirs); err != nil {
		return 0, fmt.Errorf("ask for the time: %w", translate(ctx, err))
	}
	return theirs.Sub(before.Add(time.Since(before) / 2)), nil
}

// LosesPreparedStatements reports whether a pooler before the database gives each transaction whichever server process is
// free, without carrying prepared statements along. One statement is prepared, the process that knows it is kept busy by
// another connection, and the statement is run: behind such a pooler it meets a process that has never heard of it.
func (db *DB) LosesPreparedStatements(ctx context.Context) (lost bool, err error) {
	if most := db.reader.Stats().MaxOpenConnections; db.dialect != "postgres" || most == 1 {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, db.patience)
	defer cancel()
	defer func() {
		if err != nil {
			err = fmt.Errorf("look for a pooler: %w", translate(ctx, err))
		}
	}()
	first, err := db.reader.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer first.Close()
	second, err := db.reader.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer second.Close()

	prepared, err := first.PrepareContext(ctx, `SELECT pg_backend_pid()`)
	if err != nil {
		return lostStatement(err)
	}
	defer prepared.Close()
	busy, err := second.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, busy.Rollback()) }()
	if _, err := busy.ExecContext(ctx, `SELECT 1`); err != nil {
		return lostStatement(err)
	}
	var pid int
	return lostStatement(prepared.QueryRowContext(ctx).Scan(&pid))
}

// lostStatement knows the two ways in which a pooler shows: a statement that is not there, or one that another client has
// left behind under the same name.
func lostStatement(err error) (bool, error) {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code == "26000" || pg.Code == "42P05") {
		return true, nil
	}
	return false, err
}
