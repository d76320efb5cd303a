package manage

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/keizer-auth/keizer/internal/nearest"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/strictjson"
)

// Record is a person as a file holds them. What is left out is not said: a new person has none of it, and one who is there keeps it.
type Record struct {
	// ID is the person's identifier, which applications know as sub.
	ID            string  `json:"id,omitempty"`
	Email         string  `json:"email"`
	EmailVerified *bool   `json:"email_verified,omitempty"`
	Username      *string `json:"username,omitempty"`
	Name          *string `json:"name,omitempty"`
	// Password is clear, PasswordHash one of those that other systems make. Of both there may be one.
	Password     secret.Text `json:"password,omitempty"`
	PasswordHash string      `json:"password_hash,omitempty"`
	// Active is true unless it is said otherwise.
	Active    *bool          `json:"active,omitempty"`
	Roles     []string       `json:"roles,omitempty"`
	Metadata  map[string]any `json:"metadata,omitempty"`
	CreatedAt *time.Time     `json:"created_at,omitempty"`
}

// columns are the members of a Record, in the order of a table.
var columns = []string{
	"id", "email", "email_verified", "username", "name", "password", "password_hash", "active", "roles", "metadata", "created_at",
}

// maxRecord is how long a line may be, in bytes.
const maxRecord = 1 << 20

// rolesSeparator stands between roles in a cell: names of roles may have spaces and commas in them.
const rolesSeparator = ";"

// RecordReader yields people one by one, with the line that each begins on. What is wrong with one line only is Invalid, and the
// reader goes on; any other error ends it, io.EOF in order.
type RecordReader interface {
	Next() (line int, record *Record, err error)
}

// withoutMark passes over the byte order mark that some programs put before a text.
func withoutMark(r io.Reader) *bufio.Reader {
	buffered := bufio.NewReaderSize(r, 64<<10)
	if mark, err := buffered.Peek(3); err == nil && string(mark) == "\xef\xbb\xbf" {
		_, _ = buffered.Discard(len(mark)) // they were just seen
	}
	return buffered
}

type jsonLines struct {
	from *bufio.Reader
	line int
}

// JSONLines reads a file of one JSON object a line.
func JSONLines(r io.Reader) RecordReader { return &jsonLines{from: withoutMark(r)} }

func (j *jsonLines) Next() (int, *Record, error) {
	for {
		text, tooLong, err := j.read()
		if err != nil {
			return j.line, nil, err
		}
		j.line++
		switch {
		case tooLong:
			return j.line, nil, &Invalid{Field: "line", Message: fmt.Sprintf("it has more than %d bytes", maxRecord)}
		case len(bytes.TrimSpace(text)) == 0:
			continue
		}
		record := new(Record)
		if err := strictjson.Unmarshal(text, record); err != nil {
			return j.line, nil, lineError(err)
		}
		return j.line, record, nil
	}
}

// read reads a line. One that is too long is passed over, and not kept.
func (j *jsonLines) read() (line []byte, tooLong bool, err error) {
	for {
		part, err := j.from.ReadSlice('\n')
		if tooLong = tooLong || len(line)+len(part) > maxRecord; !tooLong {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && (len(line) > 0 || tooLong):
			return line, tooLong, nil
		case err != nil:
			return nil, false, err
		default:
			return line, tooLong, nil
		}
	}
}

// lineError says what is wrong with an object, never what stands in it: that may be a password.
func lineError(err error) error {
	var unknown *strictjson.UnknownError
	if !errors.As(err, &unknown) {
		return &Invalid{Field: "line", Message: err.Error()}
	}
	return &Invalid{Field: "line", Message: unknown.Error() + meant(unknown.Name)}
}

func meant(name string) string {
	if near := nearest.Name(name, slices.Values(columns)); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

type table struct {
	from    *csv.Reader
	bound   *bounded
	columns []string
}

// bounded ends a stream of which one record alone would fill the memory.
type bounded struct {
	from io.Reader
	left int
}

var errRecordTooLong = fmt.Errorf("a record has more than %d bytes: is a quotation mark missing?", maxRecord)

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errRecordTooLong
	}
	n, err := b.from.Read(p)
	b.left -= n
	return n, err
}

func (b *bounded) renew() { b.left = maxRecord }

// Table reads a CSV file (RFC 4180) whose first line names the columns as JSONLines names the members. An empty cell says nothing;
// roles are separated by semicolons; metadata is a JSON object.
func Table(r io.Reader) (RecordReader, error) {
	bound := &bounded{from: withoutMark(r)}
	bound.renew()
	t := &table{from: csv.NewReader(bound), bound: bound}
	header, err := t.from.Read()
	if errors.Is(err, io.EOF) {
		return nil, &Invalid{Field: "header", Message: "the file is empty: its first line names the columns"}
	}
	if err != nil {
		return nil, &Invalid{Field: "header", Message: err.Error()}
	}
	var c complaints
	for i, name := range header {
		switch {
		case !slices.Contains(columns, name):
			c.add("header", "there is no column %q%s", name, meant(name))
		case slices.Contains(header[:i], name):
			c.add("header", "the column %q is there twice", name)
		}
	}
	if !slices.Contains(header, "email") {
		c.add("header", "the column email is missing")
	}
	t.columns = header
	return t, c.err()
}

func (t *table) Next() (int, *Record, error) {
	t.bound.renew()
	cells, err := t.from.Read()
	var wrong *csv.ParseError
	switch {
	case errors.Is(err, csv.ErrFieldCount) && errors.As(err, &wrong):
		return wrong.StartLine, nil, &Invalid{Field: "line", Message: fmt.Sprintf("it has %d columns, not %d", len(cells), len(t.columns))}
	case errors.As(err, &wrong): // where the next record begins nobody knows
		return wrong.StartLine, nil, &Invalid{Field: "file", Message: fmt.Sprintf("line %d: %v", wrong.Line, wrong.Err)}
	case err != nil:
		return 0, nil, err
	}
	line, _ := t.from.FieldPos(0)
	record := new(Record)
	var c complaints
	for i, cell := range cells {
		if cell != "" {
			c.check(t.columns[i], record.set(t.columns[i], cell))
		}
	}
	return line, record, c.err()
}

// set reads a cell.
func (r *Record) set(column, cell string) error {
	switch column {
	case "id":
		r.ID = cell
	case "email":
		r.Email = cell
	case "username":
		r.Username = &cell
	case "name":
		r.Name = &cell
	case "password":
		r.Password = secret.Text(cell)
	case "password_hash":
		r.PasswordHash = cell
	case "email_verified", "active":
		truth := cell == "true"
		if !truth && cell != "false" {
			return errors.New("it must be true or false")
		}
		if column == "active" {
			r.Active = &truth
		} else {
			r.EmailVerified = &truth
		}
	case "roles":
		for role := range strings.SplitSeq(cell, rolesSeparator) {
			r.Roles = append(r.Roles, strings.TrimSpace(role))
		}
	case "metadata":
		if _, err := strictjson.Object([]byte(cell)); err != nil {
			return err
		}
		return json.Unmarshal([]byte(cell), &r.Metadata)
	case "created_at":
		at, err := time.Parse(time.RFC3339, cell)
		if err != nil {
			return errors.New("it must be a time in the form of RFC 3339, such as 2026-01-31T12:00:00Z")
		}
		r.CreatedAt = &at
	}
	return nil
}

// cell is the opposite of set.
func (r *Record) cell(column string) (string, error) {
	truth := func(b *bool) string {
		if b == nil {
			return ""
		}
		return fmt.Sprint(*b)
	}
	switch column {
	case "id":
		return r.ID, nil
	case "email":
		return r.Email, nil
	case "username":
		return deref(r.Username), nil
	case "name":
		return deref(r.Name), nil
	case "password_hash":
		return r.PasswordHash, nil
	case "email_verified":
		return truth(r.EmailVerified), nil
	case "active":
		return truth(r.Active), nil
	case "roles":
		return strings.Join(r.Roles, rolesSeparator), nil
	case "metadata":
		if len(r.Metadata) == 0 {
			return "", nil
		}
		text, err := json.Marshal(r.Metadata)
		return string(text), err
	case "created_at":
		if r.CreatedAt != nil {
			return r.CreatedAt.UTC().Format(time.RFC3339Nano), nil
		}
	}
	return "", nil
}

// RecordWriter takes people one by one.
type RecordWriter interface {
	Write(*Record) error
	// Flush is called after the last.
	Flush() error
}

type jsonLinesWriter struct {
	to      *bufio.Writer
	encoder *json.Encoder
}

// WriteJSONLines writes what JSONLines reads.
func WriteJSONLines(w io.Writer) RecordWriter {
	to := bufio.NewWriter(w)
	encoder := json.NewEncoder(to)
	encoder.SetEscapeHTML(false)
	return &jsonLinesWriter{to, encoder}
}

func (w *jsonLinesWriter) Write(r *Record) error { return w.encoder.Encode(r) } //nolint:gosec // no record that is written has a password
func (w *jsonLinesWriter) Flush() error          { return w.to.Flush() }

type arrayWriter struct {
	to *bufio.Writer
	n  int
}

// WriteArray writes one JSON array, for programs that want a document.
func WriteArray(w io.Writer) RecordWriter { return &arrayWriter{to: bufio.NewWriter(w)} }

func (w *arrayWriter) Write(r *Record) error {
	text, err := json.Marshal(r) //nolint:gosec // no record that is written has a password
	if err != nil {
		return err
	}
	before := ",\n "
	if w.n++; w.n == 1 {
		before = "["
	}
	_, err = w.to.WriteString(before + string(text))
	return err
}

func (w *arrayWriter) Flush() error {
	end := "]\n"
	if w.n == 0 {
		end = "[]\n"
	}
	if _, err := w.to.WriteString(end); err != nil {
		return err
	}
	return w.to.Flush()
}

type tableWriter struct {
	to      *csv.Writer
	columns []string
}

// WriteTable writes what Table reads, with or without the columns that ExportOptions leave out.
func WriteTable(w io.Writer, o ExportOptions) (RecordWriter, error) {
	t := &tableWriter{to: csv.NewWriter(w)}
	for _, column := range columns {
		if column == "password" || column == "password_hash" && !o.Hashes || column == "id" && !o.IDs {
			continue
		}
		t.columns = append(t.columns, column)
	}
	return t, t.to.Write(t.columns)
}

func (t *tableWriter) Write(r *Record) error {
	cells := make([]string, len(t.columns))
	for i, column := range t.columns {
		var err error
		if cells[i], err = r.cell(column); err != nil {
			return err
		}
	}
	return t.to.Write(cells)
}

func (t *tableWriter) Flush() error {
	t.to.Flush()
	return t.to.Error()
}
