package storage

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/ncruces/go-sqlite3"
	"gorm.io/gorm"
)

func TestEveryErrorOfADriverBecomesOneOfOurs(t *testing.T) {
	ctx := t.Context()
	pg := func(code string) error { return fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code, Message: "m"}) }
	for name, c := range map[string]struct {
		err  error
		want error // nil: it stays as it is
		how  *unavailable
	}{
		"no rows":               {sql.ErrNoRows, ErrNotFound, nil},
		"gorm's no rows":        {gorm.ErrRecordNotFound, ErrNotFound, nil},
		"gorm's duplicate":      {gorm.ErrDuplicatedKey, ErrConflict, nil},
		"gorm's foreign key":    {gorm.ErrForeignKeyViolated, ErrNotFound, nil},
		"unique violation":      {pg("23505"), ErrConflict, nil},
		"foreign key violation": {pg("23503"), ErrNotFound, nil},
		"serialization failure": {pg("40001"), ErrUnavailable, &unavailable{again: true}},
		"deadlock":              {pg("40P01"), ErrUnavailable, &unavailable{again: true}},
		"admin shutdown":        {pg("57P01"), ErrUnavailable, &unavailable{lost: true}},
		"cannot connect now":    {pg("57P03"), ErrUnavailable, &unavailable{lost: true}},
		"connection failure":    {pg("08006"), ErrUnavailable, &unavailable{lost: true}},
		"too many connections":  {pg("53300"), ErrUnavailable, &unavailable{}},
		"disk full":             {pg("53100"), ErrUnavailable, &unavailable{}},
		"statement timeout":     {pg("57014"), ErrUnavailable, &unavailable{}},
		"lock timeout":          {pg("55P03"), ErrUnavailable, &unavailable{}},
		"read only":             {pg("25006"), ErrUnavailable, &unavailable{}},
		"io error":              {pg("58030"), ErrUnavailable, &unavailable{}},
		"wrong password":        {pg("28P01"), ErrUnavailable, &unavailable{}},
		"no such database":      {pg("3D000"), ErrUnavailable, &unavailable{}},
		"syntax error":          {pg("42601"), nil, nil},
		"not null violation":    {pg("23502"), nil, nil},
		"no such table":         {pg("42P01"), nil, nil},
		"aborted transaction":   {pg("25P02"), nil, nil},
		"an odd code":           {pg(""), nil, nil},
		"refused":               {&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, ErrUnavailable, &unavailable{lost: true}},
		"reset":                 {fmt.Errorf("read: %w", syscall.ECONNRESET), ErrUnavailable, &unavailable{lost: true}},
		"end of file":           {io.ErrUnexpectedEOF, ErrUnavailable, &unavailable{lost: true}},
		"bad connection":        {driver.ErrBadConn, ErrUnavailable, &unavailable{lost: true}},
		"closed connection":     {errors.New("conn closed"), ErrUnavailable, &unavailable{lost: true}},
		"our deadline":          {context.DeadlineExceeded, ErrUnavailable, &unavailable{}},
		"our cancellation":      {context.Canceled, ErrUnavailable, &unavailable{}},
		"spent":                 {fmt.Errorf("x: %w", ErrSpent), ErrSpent, nil},
		"SQLite is busy":        {sqlite3.BUSY_SNAPSHOT, ErrUnavailable, &unavailable{again: true}},
		"SQLite's table is":     {sqlite3.LOCKED, ErrUnavailable, &unavailable{again: true}},
		"SQLite cannot write":   {sqlite3.IOERR_WRITE, ErrUnavailable, &unavailable{}},
		"SQLite's disk is full": {sqlite3.FULL, ErrUnavailable, &unavailable{}},
		"SQLite is corrupt":     {sqlite3.CORRUPT, nil, nil},
		"anything else":         {errors.New("x"), nil, nil},
	} {
		got := translate(ctx, c.err)
		var how *unavailable
		switch {
		case c.want == nil && ours(got), c.want != nil && !errors.Is(got, c.want):
			t.Errorf("%s: %v", name, got)
		case errors.As(got, &how) != (c.how != nil) || how != nil && (how.again != c.how.again || how.lost != c.how.lost):
			t.Errorf("%s: %+v", name, how)
		case c.want != nil && errors.Is(got, ErrUnavailable) && !errors.Is(got, c.err):
			t.Errorf("%s: the cause is lost in %v", name, got)
		}
	}
	if translate(ctx, nil) != nil {
		t.Error("no error became one")
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	for _, err := range []error{pg("57014"), errors.New("interrupted"), context.Canceled, io.ErrUnexpectedEOF} {
		if got := translate(gone, err); !errors.Is(got, context.Canceled) || errors.Is(got, ErrUnavailable) {
			t.Errorf("the caller went away, and it is %v", got)
		}
	}
}

// SQLite's errors cannot be made up, so they are brought about.
func TestAFullOrReadOnlyFileIsADatabaseThatIsAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	ctx := t.Context()
	pool, err := openSQLitePool(path, writing)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	pool.SetMaxOpenConns(1)
	for _, statement := range []string{`CREATE TABLE x (a TEXT UNIQUE, b TEXT REFERENCES x (a))`, `PRAGMA max_page_count = 20`} {
		if _, err := pool.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	fill := `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) INSERT INTO x SELECT hex(randomblob(1000)), NULL FROM n`
	reader, err := openSQLitePool(path, reading)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for name, c := range map[string]struct {
		pool      *sql.DB
		statement string
		want      error
	}{
		"full":        {pool, fill, ErrUnavailable},
		"read only":   {reader, `INSERT INTO x VALUES ('a', NULL)`, ErrUnavailable},
		"foreign key": {pool, `INSERT INTO x VALUES ('a', 'b')`, ErrNotFound},
		"unique":      {pool, `INSERT INTO x VALUES ('a', NULL), ('a', NULL)`, ErrConflict},
		"syntax":      {pool, `INSERT`, nil},
	} {
		_, err := c.pool.ExecContext(ctx, c.statement)
		if got := translate(ctx, err); c.want != nil && !errors.Is(got, c.want) || c.want == nil && ours(got) || err == nil {
			t.Errorf("%s: %v became %v", name, err, got)
		}
	}
	if _, err := pool.Exec(fill); !errors.Is(err, sqlite3.FULL) {
		t.Errorf("err = %v", err)
	}
	if _, err := pool.Exec(`INSERT INTO x VALUES ('after', NULL)`); err != nil {
		t.Errorf("a small row after it: %v", err)
	}
}

// A statement may be under way twice on one connection; the copy in use must not be run again.
func TestAConnectionKeepsItsStatements(t *testing.T) {
	pool, err := openSQLitePool(filepath.Join(t.TempDir(), "x.db"), writing)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	pool.SetMaxOpenConns(1)
	if _, err := pool.Exec(`CREATE TABLE x (a INTEGER); INSERT INTO x VALUES (1), (2), (3)`); err != nil {
		t.Fatal(err)
	}
	tx, err := pool.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	const ask = `SELECT a FROM x WHERE a >= $1 ORDER BY a`
	each := func(from int, do func(a int)) {
		rows, err := tx.Query(ask, from)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var a int
			if err := rows.Scan(&a); err != nil {
				t.Fatal(err)
			}
			do(a)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	sum := 0
	each(1, func(a int) { each(a, func(b int) { sum += a * b }) })
	if sum != 1*6+2*5+3*3 {
		t.Errorf("sum %d", sum)
	}
	for i := range 3 * remembered { // more than are kept
		var n int
		if err := tx.QueryRow(fmt.Sprintf(`SELECT $1 + %d`, i), 1).Scan(&n); err != nil || n != i+1 {
			t.Fatalf("%d, %v", n, err)
		}
	}
	// Arguments may come in any order, and more than once.
	var text string
	if err := tx.QueryRow(`SELECT $2 || $1 || $2 || $10 || ?3`, "a", "b", "c", 0, 0, 0, 0, 0, 0, "j").Scan(&text); err != nil || text != "babjc" {
		t.Errorf("%q, %v", text, err)
	}
	if err := tx.QueryRow(`SELECT a FROM x WHERE a = $1`, nil).Scan(&text); !errors.Is(err, sql.ErrNoRows) {
		t.Errorf("err = %v", err)
	}
}
