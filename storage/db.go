package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"

	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/migrations"
)

// Options is what a database is opened with.
type Options struct {
	// URL is sqlite:PATH or postgres://….
	URL string
	// Keyring seals the columns that must be read again.
	Keyring *seal.Keyring
	// Log receives faults and slow calls; never a value. Nil keeps silent.
	Log *slog.Logger
	// Pooler is "transaction" when PostgreSQL stands behind a pooler that hands out a connection for a transaction only,
	// where prepared statements cannot be kept; else empty.
	Pooler string
	// MaxConns bounds the connections to PostgreSQL; 0 is 20.
	MaxConns int
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	dialect string
	ring    *seal.Keyring
	log     *slog.Logger

	// writer and reader are one pool on PostgreSQL. On SQLite the writer is a single connection and the reader a pool that
	// can only read, so that readers never wait for a writer, nor writers for one another inside the database.
	writer, reader *sql.DB
	// builder makes statements; which pool they run on is decided anew for each.
	builder *gorm.DB
	// patience is how long one call waits for the database.
	patience time.Duration
	// mailed is told when mail has been put into the outbox by this process.
	mailed chan struct{}
	// loggedOut is told when this process has ended sessions whose clients are to hear of it.
	loggedOut chan struct{}
	// migrating opens a handle whose statements may take long.
	migrating func() (*sql.DB, error)
}

// Open connects to a database. It does not migrate it.
func Open(ctx context.Context, o Options) (*DB, error) {
	db := &DB{ring: o.Keyring, log: o.Log, mailed: make(chan struct{}, 1), loggedOut: make(chan struct{}, 1)}
	if db.log == nil {
		db.log = slog.New(slog.DiscardHandler)
	}
	var dialector gorm.Dialector
	var err error
	switch scheme, rest, _ := strings.Cut(o.URL, ":"); scheme {
	case "sqlite":
		dialector, err = db.openSQLite(ctx, rest)
	case "postgres", "postgresql":
		dialector, err = db.openPostgres(ctx, o)
	default:
		// The text may hold a password, so it is not repeated.
		return nil, errors.New("open database: the URL must begin with sqlite: or postgres://")
	}
	if err != nil {
		return nil, fmt.Errorf("open database: %w", translate(ctx, err))
	}
	db.builder, err = gorm.Open(dialector, &gorm.Config{
		SkipDefaultTransaction:   true,
		DisableNestedTransaction: true,
		DisableAutomaticPing:     true,
		TranslateError:           true,
		NowFunc:                  now,
		Logger:                   logger.Discard, // gorm's would print the values of statements
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open database: %w", err), db.Close())
	}
	return db, nil
}

// Dialect returns "postgres" or "sqlite".
func (db *DB) Dialect() string { return db.dialect }

// Close ends every connection.
func (db *DB) Close() error {
	err := db.writer.Close()
	if db.reader != db.writer {
		err = errors.Join(err, db.reader.Close())
	}
	return err
}

// Ping asks the database for a sign of life.
func (db *DB) Ping(ctx context.Context) error {
	return db.everywhere(ctx, reading, "ping", func(q *query) error {
		var one int
		return q.row(`SELECT 1`).Scan(&one)
	})
}

// Migrate applies pending migrations and returns how many there were.
func (db *DB) Migrate(ctx context.Context) (int, error) {
	handle, err := db.migrating()
	if err != nil {
		return 0, fmt.Errorf("migrate: %w", translate(ctx, err))
	}
	defer handle.Close()
	n, err := migrations.Up(ctx, handle, db.dialect, db.log)
	return n, translate(ctx, err)
}

// MigrationStatus returns every migration and when it was applied.
func (db *DB) MigrationStatus(ctx context.Context) ([]migrations.Migration, error) {
	ctx, cancel := context.WithTimeout(ctx, db.patience)
	defer cancel()
	all, err := migrations.Status(ctx, db.reader, db.dialect)
	return all, translate(ctx, err)
}

// PendingMigrations returns how many migrations are yet to be applied.
func (db *DB) PendingMigrations(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, db.patience)
	defer cancel()
	n, err := migrations.Pending(ctx, db.reader, db.dialect)
	return n, translate(ctx, err)
}

// purpose says what a call does to the database.
type purpose bool

const (
	reading purpose = false
	writing purpose = true
)

// query is one question to the database: for one organization, or (from everywhere) for none in particular.
type query struct {
	ctx context.Context //nolint:containedctx // a query is one call, and ends with it
	db  *DB
	// pool is where it runs: the transaction of the context, else the pool for its purpose.
	pool bound
	// org is the organization that is asked for.
	org uuid.UUID
	// now is the time of the question.
	now time.Time
}

// of begins a statement about the rows of a model, which are the organization's own. Conditions may be added with Where
// and placeholders; never with structs, whose zero fields vanish, nor with Or, which escapes what stands before it.
func (q *query) of(model any) *gorm.DB {
	g := q.db.builder.Session(&gorm.Session{NewDB: true, Context: q.ctx})
	g.Statement.ConnPool = q.pool
	g = g.Model(model)
	if q.org != uuid.Nil {
		g = g.Where(clause.Eq{Column: clause.Column{Table: clause.CurrentTable, Name: "org_id"}, Value: q.org})
	}
	return g
}

// create inserts a row. That it is the organization's own is seen to by Owned.
func (q *query) create(row any) error {
	g := q.db.builder.Session(&gorm.Session{NewDB: true, Context: q.ctx})
	g.Statement.ConnPool = q.pool
	return g.Create(row).Error
}

// row asks for at most one row by a statement that is written out, with $1 for the first argument on both databases.
func (q *query) row(statement string, args ...any) *sql.Row {
	return q.pool.QueryRowContext(q.ctx, statement, args...)
}

// exec runs a statement that is written out and returns how many rows it changed.
func (q *query) exec(statement string, args ...any) (int64, error) {
	result, err := q.pool.ExecContext(q.ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// spend runs the conditional UPDATE by which something is used up: whoever changes the row has it, everybody else is late.
func (q *query) spend(statement string, args ...any) error {
	return one(ErrSpent)(q.exec(statement, args...))
}

// one turns "no row was changed" into an error.
func one(none error) func(n int64, err error) error {
	return func(n int64, err error) error {
		if err == nil && n == 0 {
			return none
		}
		return err
	}
}

// ids runs a statement that answers with ids, and returns them.
func (q *query) ids(statement string, args ...any) (ids []uuid.UUID, err error) {
	rows, err := q.pool.QueryContext(q.ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id uuid.UUID
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, errors.Join(rows.Err(), rows.Close())
}

// changed is one for a statement that gorm built.
func changed(g *gorm.DB, none error) error { return one(none)(g.RowsAffected, g.Error) }

// scoped asks something of the organization in the context. Without one it asks nothing: ErrNoTenant.
func (db *DB) scoped(ctx context.Context, p purpose, deed string, ask func(*query) error) error {
	org, err := tenant.From(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", deed, err)
	}
	return db.run(ctx, p, deed, org.ID, ask)
}

// everywhere asks something regardless of organizations. It is for jobs, operators, and what is asked before the
// organization is known; a test counts its callers.
func (db *DB) everywhere(ctx context.Context, p purpose, deed string, ask func(*query) error) error {
	return db.run(ctx, p, deed, uuid.Nil, ask)
}

const (
	// attempts bounds how often a statement or transaction is run that a concurrent one was preferred to. Where all are serializable
	// that is often, if many are written down in one organization at once; patience ends it sooner.
	attempts = 30
	// slow is when a call is worth a line in the log.
	slow = time.Second
)

func (db *DB) run(ctx context.Context, p purpose, deed string, org uuid.UUID, ask func(*query) error) error {
	began := time.Now()
	limit, cancel := db.patient(ctx, began)
	defer cancel()

	q := &query{ctx: limit, db: db, org: org, now: instant(began)}
	tx := db.transactionOf(ctx)
	switch {
	case tx != nil:
		q.pool = bound{tx.tx}
	case p == writing:
		q.pool = bound{db.writer}
	default:
		q.pool = bound{db.reader}
	}

	var err error
	for attempt := 1; ; attempt++ {
		if err = translate(ctx, ask(q)); err == nil {
			break
		}
		var away *unavailable
		if !errors.As(err, &away) {
			break
		}
		if tx != nil {
			tx.fault = away
			break
		}
		// Outside a transaction ask is a single statement, so nothing of a failed one stays. One that was rolled back is
		// run again; one whose connection broke only if it reads, for nobody knows whether a write was carried out.
		again := away.again && attempt < attempts || away.lost && p == reading && attempt == 1
		if !again || !pause(limit, attempt) {
			break
		}
	}
	if took := time.Since(began); took > slow {
		db.log.WarnContext(ctx, "slow database call", "deed", deed, "took", took, "in_transaction", tx != nil)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", deed, err)
	}
	return nil
}

// patient returns a context that waits no longer than the database is worth waiting for.
func (db *DB) patient(ctx context.Context, began time.Time) (context.Context, context.CancelFunc) {
	until := began.Add(db.patience)
	if d, ok := ctx.Deadline(); ok && !d.After(until) {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, until)
}

// pause waits a little, longer and more randomly each time, before something is tried again. It reports whether there is
// still time to.
func pause(ctx context.Context, attempt int) bool {
	most := min(time.Millisecond<<min(attempt, 7), 100*time.Millisecond) // shifted further, it would come round to nothing
	timer := time.NewTimer(rand.N(most))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// transaction is what the context carries inside InTx.
type transaction struct {
	db *DB
	tx *sql.Tx
	// mailed is true when mail was put into the outbox: once that is committed, whoever delivers it is told.
	mailed bool
	// loggedOut is true when there are clients to be told of the end of a session, likewise.
	loggedOut bool
	// audit is what is written down of the deed at its end.
	audit []*AuditEvent
	// fault is the last failure of the database itself inside the transaction. It is kept because the code in between may
	// make something else of the error it was given, and a database that is away must never pass for a refusal.
	fault *unavailable
}

type transactionKey struct{}

// transactionOf returns the transaction of this database that ctx is in, or nil.
func (db *DB) transactionOf(ctx context.Context) *transaction {
	tx, _ := ctx.Value(transactionKey{}).(*transaction)
	if tx == nil || tx.db != db {
		return nil
	}
	return tx
}

// InTx runs do in a transaction: what is asked with the context it is given happens wholly or not at all. Inside another
// InTx it joins that one, whose outermost caller decides by its error. When a concurrent transaction was preferred, do is
// run again from its beginning, so it must have no effect but on the database, and set what it returns anew.
func (db *DB) InTx(ctx context.Context, do func(ctx context.Context) error) error {
	if db.transactionOf(ctx) != nil {
		return do(ctx)
	}
	began := time.Now()
	for attempt := 1; ; attempt++ {
		err := db.transact(ctx, do)
		var away *unavailable
		if err == nil || !errors.As(err, &away) || !away.again || attempt == attempts || time.Since(began) > db.patience ||
			!pause(ctx, attempt) {
			return err
		}
	}
}

func (db *DB) transact(ctx context.Context, do func(ctx context.Context) error) error {
	// database/sql ties the transaction to the context it was begun with, so that context lives as long as the
	// transaction; what bounds beginning and ending is a timer that cancels it.
	life, end := context.WithCancel(ctx)
	defer end()
	bounded := func(step func() error) error {
		timer := time.AfterFunc(db.patience, end)
		defer timer.Stop()
		return translate(ctx, step())
	}

	t := &transaction{db: db}
	if err := bounded(func() (err error) {
		t.tx, err = db.writer.BeginTx(life, nil)
		return err
	}); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	committed := false
	defer func() {
		if !committed { // also when do panics, or ends its goroutine
			if err := bounded(t.tx.Rollback); err != nil && !errors.Is(err, sql.ErrTxDone) && !errors.Is(err, ErrUnavailable) &&
				!errors.Is(err, context.Canceled) {
				db.log.WarnContext(ctx, "transaction not rolled back", "error", err)
			}
		}
	}()

	inside := context.WithValue(life, transactionKey{}, t)
	err := do(inside)
	if err == nil && t.fault == nil {
		err = db.fulfil(inside)
	}
	if err == nil && t.fault == nil {
		err = db.writeAudit(inside, t)
	}
	if t.fault != nil && !errors.Is(err, ErrUnavailable) {
		if err == nil {
			return fmt.Errorf("transaction: %w", t.fault)
		}
		return fmt.Errorf("transaction: %w (%s)", t.fault, err.Error()) // as text: it is not what happened
	}
	if err != nil {
		return err
	}
	committed = true
	if err := bounded(t.tx.Commit); err != nil {
		return fmt.Errorf("commit transaction: %w", err)
	}
	tell(db.mailed, t.mailed)
	tell(db.loggedOut, t.loggedOut)
	return nil
}

// tell tells whoever listens that something has been committed, if it has.
func tell(listener chan<- struct{}, something bool) {
	if !something {
		return
	}
	select {
	case listener <- struct{}{}:
	default: // told, and not looked yet
	}
}
