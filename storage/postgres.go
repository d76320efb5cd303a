package storage

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/keizer-auth/keizer/migrations"
)

// How long PostgreSQL is waited for. A request is answered within three seconds whatever happens, so a call gets less; the
// server's own limits end what nobody waits for any longer.
const (
	postgresPatience  = 2500 * time.Millisecond
	connectTimeout    = 2 * time.Second
	statementTimeout  = 5 * time.Second
	lockTimeout       = 2 * time.Second
	idleInTransaction = 10 * time.Second

	// A migration may rebuild an index, but does not queue for a lock that holds up everybody behind it.
	migrationTimeout     = time.Hour
	migrationLockTimeout = 10 * time.Second

	defaultConns = 20
	connLifetime = 30 * time.Minute
	connIdleTime = 5 * time.Minute
)

// readOnly is the SQLSTATE of a write to a server, or in a transaction, that only reads.
const readOnly = "25006"

func (db *DB) openPostgres(ctx context.Context, o Options) (gorm.Dialector, error) {
	config, err := postgresConfig(o)
	if err != nil {
		return nil, err
	}
	if o.Pooler == "" {
		setTimeouts(config, statementTimeout, lockTimeout)
	}
	conns := o.MaxConns
	if conns <= 0 {
		conns = defaultConns
	}
	pool := stdlib.OpenDB(*config)
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns((conns + 1) / 2)
	pool.SetConnMaxLifetime(connLifetime)
	pool.SetConnMaxIdleTime(connIdleTime)

	db.dialect = migrations.Postgres
	db.writer, db.reader = pool, pool
	db.patience = postgresPatience
	db.migrating = func() (*sql.DB, error) {
		patient := config.Copy()
		if o.Pooler == "" {
			setTimeouts(patient, migrationTimeout, migrationLockTimeout)
		}
		return stdlib.OpenDB(*patient), nil
	}
	if err := db.reach(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return postgres.New(postgres.Config{Conn: bound{pool}}), nil
}

// reach makes the first connection, so that a wrong address or password is told at once.
func (db *DB) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, db.patience)
	defer cancel()
	return db.reader.PingContext(ctx)
}

func postgresConfig(o Options) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(o.URL)
	if err != nil {
		return nil, err // pgx cuts the password out of it
	}
	switch o.Pooler {
	case "":
		config.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	case "transaction":
		// The next statement may meet another server process, where nothing was prepared. Exec sends types and values
		// in one round trip; the simple protocol would put the values into the text of the statement.
		config.DefaultQueryExecMode = pgx.QueryExecModeExec
		config.StatementCacheCapacity = 0
		config.DescriptionCacheCapacity = 0
	default:
		return nil, fmt.Errorf("unknown pooler %q", o.Pooler)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "keizer"
	}
	// A server that has become a standby still answers. A connection to it is given up, so that the next one may find the
	// server that took its place (target_session_attrs in the URL says that it must).
	fatal := config.OnPgError
	config.OnPgError = func(conn *pgconn.PgConn, e *pgconn.PgError) bool {
		return e.Code != readOnly && (fatal == nil || fatal(conn, e))
	}
	// CURRENT_TIMESTAMP in a column without time zone is the wall clock of the session.
	config.RuntimeParams["timezone"] = "UTC"
	return config, nil
}

// setTimeouts sets the server's own limits for a connection. Not through a pooler: it refuses what it does not keep apart
// between its clients, and there they belong to the role (ALTER ROLE … SET statement_timeout).
func setTimeouts(config *pgx.ConnConfig, statement, lock time.Duration) {
	for name, d := range map[string]time.Duration{
		"statement_timeout":                   statement,
		"lock_timeout":                        lock,
		"idle_in_transaction_session_timeout": idleInTransaction,
	} {
		config.RuntimeParams[name] = strconv.FormatInt(d.Milliseconds(), 10)
	}
}
