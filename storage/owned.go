package storage

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/keizer-auth/keizer/internal/tenant"
)

// Owned is the part of a row that says which organization it belongs to. It is written once, when the row is made, from
// the context; a row that names another organization is refused.
type Owned struct {
	OrgID uuid.UUID `gorm:"<-:create;column:org_id"`
}

// BeforeCreate is gorm's hook.
func (o *Owned) BeforeCreate(tx *gorm.DB) error {
	org, err := tenant.From(tx.Statement.Context)
	if err != nil {
		return err
	}
	return o.own(org.ID)
}

func (o *Owned) own(org uuid.UUID) error {
	switch o.OrgID {
	case uuid.Nil:
		o.OrgID = org
	case org:
	default:
		return ErrForeign
	}
	return nil
}

// ParseID reads an id that came from outside. What is not a UUID in its canonical form names nothing: ErrNotFound, before
// the database is asked.
func ParseID(text string) (uuid.UUID, error) {
	if len(text) != 36 {
		return uuid.Nil, ErrNotFound
	}
	id, err := uuid.Parse(text)
	if err != nil || id == uuid.Nil {
		return uuid.Nil, ErrNotFound
	}
	return id, nil
}

// identify gives a new row its id.
func identify(id *uuid.UUID) {
	if *id == uuid.Nil {
		*id = uuid.New()
	}
}

// now is the time that is written and compared with: UTC, in the precision of the databases.
func now() time.Time { return instant(time.Now()) }

func instant(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// date fills the time a row was made.
func date(at *time.Time, now time.Time) {
	if at.IsZero() {
		*at = now
	}
	*at = instant(*at)
}

// limited keeps the size of a page within bounds.
func limited(n int) int {
	const fallback, most = 100, 1000
	if n <= 0 {
		return fallback
	}
	return min(n, most)
}

// address returns the form of an IP address that a column of type inet takes, or nil: a text that is none is not worth
// refusing a login over.
func address(text *string) *string {
	if text == nil {
		return nil
	}
	ip, err := netip.ParseAddr(*text)
	if err != nil {
		return nil
	}
	s := ip.Unmap().WithZone("").String()
	return &s
}

// maybe scans a column that may be NULL into a field that has a zero value for it.
type maybe[T any] struct{ to *T }

func (m maybe[T]) Scan(src any) error {
	var n sql.Null[T]
	if err := n.Scan(src); err != nil {
		return err
	}
	*m.to = n.V
	return nil
}

// words scans space-separated words (RFC 6749 §3.3 writes scopes so, and no scope has a space in it).
type words struct{ to *[]string }

func (w words) Scan(src any) error {
	text, err := textOf(src)
	if err != nil {
		return err
	}
	*w.to = strings.Fields(text)
	return nil
}

func joined(words []string) string { return strings.Join(words, " ") }

// array scans a JSON array of strings.
type array struct{ to *[]string }

func (l array) Scan(src any) error {
	text, err := textOf(src)
	if err != nil {
		return err
	}
	if text == "" || text == "[]" {
		*l.to = []string{}
		return nil
	}
	return json.Unmarshal([]byte(text), l.to)
}

func listed(items []string) string {
	if len(items) == 0 {
		return "[]"
	}
	out, _ := json.Marshal(items) // cannot fail for strings
	return string(out)
}

// object scans a JSON object.
type object struct{ to *map[string]any }

func (o object) Scan(src any) error {
	text, err := textOf(src)
	if err != nil || text == "" {
		return err
	}
	return json.Unmarshal([]byte(text), o.to)
}

// objectText is the column's value of a JSON object: NULL when there is none.
func objectText(o map[string]any) (any, error) {
	if o == nil {
		return nil, nil
	}
	text, err := json.Marshal(o)
	return string(text), err
}

// document scans JSON that is passed on as it is.
type document struct{ to *[]byte }

func (d document) Scan(src any) error {
	text, err := textOf(src)
	if err != nil || text == "" {
		return err
	}
	*d.to = []byte(text)
	return nil
}

// documented is the column's value of such JSON: NULL when there is none.
func documented(doc []byte) any {
	if len(doc) == 0 {
		return nil
	}
	return string(doc)
}

func textOf(src any) (string, error) {
	switch v := src.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case []byte:
		return string(v), nil
	}
	return "", fmt.Errorf("column of type %T where text was expected", src)
}

// orNull writes an empty text as NULL.
func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// filled makes sure that a JSON array is never NULL.
func filled(lists ...*[]string) {
	for _, l := range lists {
		if *l == nil {
			*l = []string{}
		}
	}
}

// plain turns the arguments of a statement into what the drivers take without asking. A time becomes UTC: a column has no
// time zone, and pgx writes the wall clock of the time it is given, whatever its zone. An id becomes its text, which both
// databases read, and which spares pgx the search for a way to write it.
func plain(args []any) []any {
	for i, arg := range args {
		switch v := arg.(type) {
		case time.Time:
			args[i] = instant(v)
		case *time.Time:
			args[i] = nil
			if v != nil {
				args[i] = instant(*v)
			}
		case uuid.UUID:
			args[i] = v.String()
		case *uuid.UUID:
			args[i] = nil
			if v != nil {
				args[i] = v.String()
			}
		}
	}
	return args
}

// bound is a gorm.ConnPool that binds plain arguments only.
type bound struct{ gorm.ConnPool }

func (b bound) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return b.ConnPool.ExecContext(ctx, query, plain(args)...)
}

func (b bound) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return b.ConnPool.QueryContext(ctx, query, plain(args)...)
}

func (b bound) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return b.ConnPool.QueryRowContext(ctx, query, plain(args)...)
}
