package storage

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"
	sqlite "github.com/ncruces/go-sqlite3/driver"
	"github.com/ncruces/go-sqlite3/gormlite"
	"gorm.io/gorm"

	"github.com/keizer-auth/keizer/migrations"
)

const (
	sqlitePatience = 5 * time.Second
	// sqliteTime is how a time is written: UTC without a zone. It sorts as text in the order of time, for the fraction is cut
	// of its trailing zeros and what is left out sorts first; and it reads what CURRENT_TIMESTAMP writes as well.
	sqliteTime = "2006-01-02 15:04:05.999999"
)

func (db *DB) openSQLite(ctx context.Context, path string) (gorm.Dialector, error) {
	path, err := filepath.Abs(strings.TrimPrefix(path, "//"))
	if err != nil {
		return nil, err
	}
	if err := createPrivately(path); err != nil {
		return nil, err
	}
	db.dialect = migrations.SQLite
	db.patience = sqlitePatience

	writer, err := openSQLitePool(path, writing)
	if err != nil {
		return nil, err
	}
	// One connection writes: SQLite allows no more at a time, and waiting for a connection is fair where waiting for a
	// lock is not.
	writer.SetMaxOpenConns(1)
	writer.SetConnMaxIdleTime(0)
	reader, err := openSQLitePool(path, reading)
	if err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	readers := max(4, runtime.GOMAXPROCS(0))
	reader.SetMaxOpenConns(readers)
	reader.SetMaxIdleConns(readers)
	reader.SetConnMaxIdleTime(connIdleTime)
	db.writer, db.reader = writer, reader
	db.migrating = func() (*sql.DB, error) {
		handle, err := openSQLitePool(path, writing)
		if err == nil {
			handle.SetMaxOpenConns(1)
		}
		return handle, err
	}

	// The first connection puts the file into WAL mode. Processes that start at once on a new file are in one another's
	// way there, and the busy timeout does not cover it. Reading something opens the log, which the writer then keeps open:
	// it is never removed under us, and never made anew with another mode.
	until := time.Now().Add(db.patience)
	for attempt := 1; ; attempt++ {
		var tables int
		err = writer.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master`).Scan(&tables)
		if err = translate(ctx, err); err == nil {
			break
		}
		if damaged(err) {
			err = fmt.Errorf("file %s is damaged (%w): %w", path, err, ErrDamaged)
			return nil, errors.Join(err, writer.Close(), reader.Close())
		}
		var away *unavailable
		if !errors.As(err, &away) || time.Now().After(until) || !pause(ctx, attempt) {
			return nil, errors.Join(err, writer.Close(), reader.Close())
		}
	}
	return gormlite.OpenDB(bound{writer}), nil
}

// damaged reports whether SQLite cannot make sense of a file.
func damaged(err error) bool {
	var code sqlite3.ExtendedErrorCode
	if !errors.As(err, &code) {
		return false
	}
	primary := sqlite3.ErrorCode(code & 0xff)
	return primary == sqlite3.CORRUPT || primary == sqlite3.NOTADB
}

// createPrivately makes the files of a database for nobody but their owner, and so its folder if there is none. SQLite would
// make the log and its index with the mode of the day.
func createPrivately(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		if err := file.Close(); err != nil {
			return err
		}
	}
	return nil
}

func openSQLitePool(path string, p purpose) (*sql.DB, error) {
	options := url.Values{"_timefmt": {sqliteTime}, "modeof": {path}}
	pragmas := []string{
		"busy_timeout(5000)", // first: the others may have to wait
		"foreign_keys(ON)",
		"trusted_schema(OFF)",
		"temp_store(MEMORY)",
	}
	if p == writing {
		// A transaction takes the write lock when it begins: one that reads first and finds itself late when it writes
		// would fail instead of waiting.
		options.Set("_txlock", "immediate")
		// FULL, because with NORMAL a power loss may take the last commits back, and with them the spending of a token.
		// The purge deletes all over a table, so it gets more room than the 2 MB that a connection has by default.
		pragmas = append(pragmas, "journal_mode(WAL)", "synchronous(FULL)", "cache_size(-8000)")
	} else {
		pragmas = append(pragmas, "query_only(ON)")
	}
	for _, p := range pragmas {
		options.Add("_pragma", p)
	}
	dsn := url.URL{
		Scheme: "file", Path: filepath.ToSlash(path),
		RawQuery: strings.ReplaceAll(options.Encode(), "+", "%20"), // SQLite does not read + as a space
	}
	connector, err := (&sqlite.SQLite{}).OpenConnector(dsn.String())
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(remembering{connector}), nil
}

// remembering makes connections that keep their prepared statements. Preparing is what costs most of a short statement in
// SQLite. It is done here, a connection's own statements in its own hands, and not by gorm or database/sql: there a
// statement prepared outside a transaction waits for the one connection that the transaction holds, and the transaction for
// the statement.
type remembering struct{ driver.Connector }

func (r remembering) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := r.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	inner, ok := conn.(sqliteConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("unexpected connection %T", conn), conn.Close())
	}
	return &rememberingConn{sqliteConn: inner, known: make(map[string]kept)}, nil
}

type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
}

// sqliteStmt is a statement of the driver's.
type sqliteStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
	driver.NamedValueChecker
}

// remembered bounds the statements that a connection keeps; there are about a hundred in this package.
const remembered = 128

// rememberingConn is used by one goroutine at a time, as database/sql promises.
type rememberingConn struct {
	sqliteConn
	known map[string]kept
	turns int64 // how often a statement was put back
}

// kept is a statement that nobody uses at the moment, and when it was put back.
type kept struct {
	stmt sqliteStmt
	turn int64
}

// take removes a statement from those that are kept, or prepares it: while its rows are read, it is not to be run again.
func (c *rememberingConn) take(ctx context.Context, text string) (sqliteStmt, error) {
	if known, ok := c.known[text]; ok {
		delete(c.known, text)
		return known.stmt, nil
	}
	prepared, err := c.sqliteConn.PrepareContext(ctx, numbered(text))
	if err != nil {
		return nil, err
	}
	stmt, ok := prepared.(sqliteStmt)
	if !ok {
		return nil, errors.Join(fmt.Errorf("unexpected statement %T", prepared), prepared.Close())
	}
	return stmt, nil
}

// keep puts a statement back. When there are too many, the one that was not used for longest goes.
func (c *rememberingConn) keep(text string, stmt sqliteStmt) error {
	if _, ok := c.known[text]; ok {
		return stmt.Close() // it was prepared a second time while the first was in use
	}
	c.turns++
	c.known[text] = kept{stmt, c.turns}
	if len(c.known) <= remembered {
		return nil
	}
	oldest := text
	for other, k := range c.known {
		if k.turn < c.known[oldest].turn {
			oldest = other
		}
	}
	gone := c.known[oldest].stmt
	delete(c.known, oldest)
	return gone.Close()
}

// dollar is PostgreSQL's placeholder. SQLite takes $1 for a name; its own numbered one is ?1.
var dollar = regexp.MustCompile(`\$(\d+)`)

func numbered(text string) string { return dollar.ReplaceAllString(text, "?$1") }

// CheckNamedValue lets the driver's own types and database/sql's conversions decide.
func (c *rememberingConn) CheckNamedValue(arg *driver.NamedValue) error {
	switch arg.Value.(type) {
	case bool, int, int64, float64, string, []byte, time.Time, nil:
		return nil
	}
	return driver.ErrSkip
}

func (c *rememberingConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	if len(args) == 0 {
		return c.sqliteConn.ExecContext(ctx, text, nil) // may be several statements
	}
	stmt, err := c.take(ctx, text)
	if err != nil {
		return nil, err
	}
	result, err := stmt.ExecContext(ctx, args)
	if err != nil {
		return nil, errors.Join(err, stmt.Close())
	}
	return result, c.keep(text, stmt)
}

func (c *rememberingConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	stmt, err := c.take(ctx, text)
	if err != nil {
		return nil, err
	}
	rows, err := stmt.QueryContext(ctx, args)
	if err != nil {
		return nil, errors.Join(err, stmt.Close())
	}
	return &keptRows{Rows: rows, conn: c, text: text, stmt: stmt}, nil
}

// Close finalizes what is kept before the connection goes.
func (c *rememberingConn) Close() error {
	errs := make([]error, 0, len(c.known)+1)
	for _, k := range c.known {
		errs = append(errs, k.stmt.Close())
	}
	clear(c.known)
	return errors.Join(append(errs, c.sqliteConn.Close())...)
}

// keptRows puts its statement back when it is closed.
type keptRows struct {
	driver.Rows
	conn *rememberingConn
	text string
	stmt sqliteStmt
}

func (r *keptRows) Close() error {
	if r.stmt == nil {
		return nil
	}
	stmt := r.stmt
	r.stmt = nil
	if err := r.Rows.Close(); err != nil {
		return errors.Join(err, stmt.Close())
	}
	return r.conn.keep(r.text, stmt)
}
