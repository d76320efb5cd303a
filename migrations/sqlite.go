package migrations

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
)

// upSQLite applies what is pending inside one transaction that takes SQLite's write lock first. The lock belongs to the
// operating system and ends with the process, so there is no lease to wait for; and the schema changes wholly or not at all.
//
// goose wants a database of its own to begin and commit in. It is given one that has a single connection, the one in the
// transaction, on which every transaction that goose begins is a savepoint.
func upSQLite(ctx context.Context, db *sql.DB, log *slog.Logger) (applied int, err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return 0, fmt.Errorf("connect to migrate: %w", err)
	}
	defer conn.Close()

	err = conn.Raw(func(raw any) error {
		inner, ok := raw.(transactional)
		if !ok {
			return fmt.Errorf("migrate SQLite: unexpected connection %T", raw)
		}
		if err := execute(ctx, inner, "BEGIN IMMEDIATE"); err != nil {
			return fmt.Errorf("lock migrations: %w", err)
		}
		shim := sql.OpenDB(lone{nested{inner}})
		shim.SetMaxOpenConns(1)
		defer shim.Close()

		if applied, err = up(ctx, shim, SQLite, log); err != nil {
			// Nothing of it stays, so nothing of it is counted.
			applied = 0
			return errors.Join(err, execute(context.WithoutCancel(ctx), inner, "ROLLBACK"))
		}
		if err := execute(ctx, inner, "COMMIT"); err != nil {
			applied = 0
			return errors.Join(fmt.Errorf("commit migrations: %w", err), execute(context.WithoutCancel(ctx), inner, "ROLLBACK"))
		}
		return nil
	})
	return applied, err
}

// transactional is what is asked of the driver's connection.
type transactional interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ExecerContext
}

func execute(ctx context.Context, conn driver.ExecerContext, statement string) error {
	_, err := conn.ExecContext(ctx, statement, nil)
	return err
}

// lone is a connector that has only one connection to give.
type lone struct{ conn nested }

func (l lone) Connect(context.Context) (driver.Conn, error) { return l.conn, nil }
func (l lone) Driver() driver.Driver                        { return nil }

// nested is a connection in a transaction, on which a transaction is a savepoint. Closing it leaves the connection open.
type nested struct{ transactional }

const savepoint = "migration"

func (n nested) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	return n, execute(ctx, n, "SAVEPOINT "+savepoint)
}

func (n nested) Begin() (driver.Tx, error) {
	return n.BeginTx(context.Background(), driver.TxOptions{})
}
func (n nested) Commit() error { return execute(context.Background(), n, "RELEASE "+savepoint) }
func (n nested) Close() error  { return nil }

func (n nested) Rollback() error {
	return errors.Join(
		execute(context.Background(), n, "ROLLBACK TO "+savepoint),
		execute(context.Background(), n, "RELEASE "+savepoint))
}
