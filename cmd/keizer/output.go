package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/keizer-auth/keizer/storage"
)

// output is the value of --output.
type output string

func (o *output) String() string { return string(*o) }
func (o *output) Type() string   { return "format" }

// Set accepts one of the two formats.
func (o *output) Set(text string) error {
	if text != "table" && text != "json" {
		return errors.New("must be table or json")
	}
	*o = output(text)
	return nil
}

// field is one line of what is shown of a thing.
type field struct{ name, value string }

// show prints one thing: value as one JSON object, or its fields line by line. Fields without a value are left out.
func (p *program) show(value any, fields ...field) error {
	if p.output == "json" {
		return p.json(value)
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, f := range fields {
		if f.value != "" {
			fmt.Fprintf(w, "%s\t%s\n", f.name, printable(f.value))
		}
	}
	return w.Flush()
}

func (p *program) json(value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	_, err = fmt.Fprintf(p.stdout, "%s\n", text)
	return err
}

// row is something of which there are many.
type row interface{ cells() []string }

// list prints what pages yields, page by page until an empty one: as one JSON array, or as a table under headings. Nothing is
// printed before the first page is there, so that a failure prints nothing at all; nor is ever more than a page in memory.
func list[R row](p *program, headings []string, next func() ([]R, error)) error {
	page, err := next()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	if p.output == "json" {
		_, err = io.WriteString(p.stdout, "[")
	} else {
		_, err = fmt.Fprintln(w, strings.Join(headings, "\t"))
	}
	for first := true; err == nil && len(page) > 0; page, err = next() {
		for _, item := range page {
			if p.output != "json" {
				fmt.Fprintln(w, printable(strings.Join(item.cells(), "\t")))
				continue
			}
			text, err := json.Marshal(item)
			if err != nil {
				return fmt.Errorf("write JSON: %w", err)
			}
			separator := ",\n "
			if first {
				separator, first = "", false
			}
			if _, err := fmt.Fprintf(p.stdout, "%s%s", separator, text); err != nil {
				return err
			}
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if p.output == "json" {
		_, err = io.WriteString(p.stdout, "]\n")
		return err
	}
	return w.Flush()
}

// found reads what list prints from a list of the database, a page at a time.
func found[T any, R row](l storage.Listing, read func(storage.Listing) ([]T, *storage.Position, error), show func(*T) R) func() ([]R, error) {
	l.Limit = pageSize
	ended := false
	return func() ([]R, error) {
		if ended {
			return nil, nil
		}
		rows, next, err := read(l)
		shown := make([]R, len(rows))
		for i := range rows {
			shown[i] = show(&rows[i])
		}
		l.After, ended = next, next == nil
		return shown, err
	}
}

// once makes one page of items.
func once[R row](items []R) func() ([]R, error) {
	return func() ([]R, error) {
		page := items
		items = nil
		return page, nil
	}
}

// printable replaces what a terminal would obey instead of showing: names come from people, and not all mean well.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func date(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
