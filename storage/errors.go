package storage

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/ncruces/go-sqlite3"
	"gorm.io/gorm"

	"github.com/keizer-auth/keizer/internal/tenant"
)

// What may go wrong, as far as anybody above needs to tell it apart. No error of gorm or of a driver leaves this package
// unless one of these, or context.Canceled, stands before it in the chain, or it is a fault of ours.
var (
	// ErrNotFound: there is no such row for this organization, or it no longer counts (expired, revoked, switched off).
	ErrNotFound = errors.New("not found")
	// ErrConflict: a row of that name exists already, or the row was changed by somebody else meanwhile.
	ErrConflict = errors.New("conflict")
	// ErrSpent: what may be used once was used before, has expired, or never was. Which of them is not told.
	ErrSpent = errors.New("spent")
	// ErrNoTenant: a question about one organization was asked without one.
	ErrNoTenant = tenant.ErrNone
	// ErrUnavailable: the database is away, too busy or too slow. Nothing is known of what was asked; the answer is 503.
	ErrUnavailable = errors.New("database unavailable")
	// ErrWrongMasterKey: the database was sealed under another master key.
	ErrWrongMasterKey = errors.New("the database belongs to another master key")
	// ErrDamaged: the file is not, or no longer, a database. What stands in it has to come from a backup.
	ErrDamaged = errors.New("restore it from a backup")
	// ErrForeign: a row of another organization was to be written.
	ErrForeign = errors.New("the row belongs to another organization")
)

// unavailable is ErrUnavailable with its cause, and with what the caller of the statement may do about it.
type unavailable struct {
	cause error
	// again: the statement or transaction was rolled back because of a concurrent one, and may be run again as a whole.
	again bool
	// lost: the connection broke. What only reads may be asked again on another one.
	lost bool
}

func (e *unavailable) Error() string   { return ErrUnavailable.Error() + ": " + e.cause.Error() }
func (e *unavailable) Unwrap() []error { return []error{ErrUnavailable, e.cause} }

// ours reports whether err has been translated already.
func ours(err error) bool {
	for _, sentinel := range []error{
		ErrNotFound, ErrConflict, ErrSpent, ErrNoTenant, ErrUnavailable, ErrWrongMasterKey, ErrDamaged, ErrForeign,
	} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}

// translate turns an error of gorm, database/sql or a driver into one of ours. ctx is the caller's own context: that the
// caller went away is told apart from our having waited long enough.
func translate(ctx context.Context, err error) error {
	switch {
	case err == nil || ours(err):
		return err
	case errors.Is(err, sql.ErrNoRows), errors.Is(err, gorm.ErrRecordNotFound):
		return ErrNotFound
	case errors.Is(ctx.Err(), context.Canceled):
		// Drivers say it in many ways (a closed connection, an interrupt, a query cancelled); the caller knows only one.
		return fmt.Errorf("%w (%s)", context.Canceled, err.Error())
	}

	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) {
		return translatePostgres(err, pg.Code)
	}
	if lite := sqlite3.ExtendedErrorCode(0); errors.As(err, &lite) {
		return translateSQLite(err, lite)
	}
	switch {
	case errors.Is(err, gorm.ErrDuplicatedKey):
		return fmt.Errorf("%w: %w", ErrConflict, err)
	case errors.Is(err, gorm.ErrForeignKeyViolated):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), ctx.Err() != nil,
		errors.Is(err, context.Canceled):
		// Not the caller's cancellation, as seen above: it is a deadline, ours or the request's.
		return &unavailable{cause: err}
	case connectionLost(err):
		return &unavailable{cause: err, lost: true}
	}
	return err
}

// connectionLost knows a broken or refused connection in its many shapes.
func connectionLost(err error) bool {
	var connect *pgconn.ConnectError
	var network net.Error
	if errors.As(err, &connect) || errors.As(err, &network) {
		return true
	}
	for _, target := range []error{
		driver.ErrBadConn, sql.ErrConnDone, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
		syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, syscall.ETIMEDOUT,
		pgx.ErrTxClosed, sql.ErrTxDone,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	// pgx has no type for a connection that a timeout before had closed.
	return strings.Contains(err.Error(), "conn closed")
}

// translatePostgres goes by SQLSTATE (PostgreSQL, appendix A).
func translatePostgres(err error, code string) error {
	switch code {
	case "23505": // unique_violation
		return fmt.Errorf("%w: %w", ErrConflict, err)
	case "23503": // foreign_key_violation: what the row refers to is not there
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case "40001", "40P01": // serialization_failure, deadlock_detected
		return &unavailable{cause: err, again: true}
	case "57P01", "57P02", "57P03", "25P03", "57P05": // shutdown, crash, starting up, idle for too long
		return &unavailable{cause: err, lost: true}
	case "57014", // query_canceled: statement_timeout
		"55P03",  // lock_not_available: lock_timeout
		readOnly: // read_only_sql_transaction: a standby
		return &unavailable{cause: err}
	case "3D000": // the database itself is not there
		return &unavailable{cause: err}
	}
	switch code[:min(2, len(code))] {
	case "08", // connection exception
		"28", // the role is refused
		"53", // insufficient resources: disk full, too many connections
		"58": // system error: input and output
		return &unavailable{cause: err, lost: code[:2] == "08"}
	}
	return err
}

func translateSQLite(err error, code sqlite3.ExtendedErrorCode) error {
	switch code {
	case sqlite3.CONSTRAINT_UNIQUE, sqlite3.CONSTRAINT_PRIMARYKEY, sqlite3.CONSTRAINT_ROWID:
		return fmt.Errorf("%w: %w", ErrConflict, err)
	case sqlite3.CONSTRAINT_FOREIGNKEY:
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	switch sqlite3.ErrorCode(code & 0xff) { // the primary code of an extended one
	case sqlite3.BUSY, sqlite3.LOCKED:
		return &unavailable{cause: err, again: true}
	case sqlite3.IOERR, sqlite3.FULL, sqlite3.READONLY, sqlite3.CANTOPEN, sqlite3.INTERRUPT, sqlite3.NOMEM, sqlite3.PROTOCOL:
		return &unavailable{cause: err}
	}
	return err
}
