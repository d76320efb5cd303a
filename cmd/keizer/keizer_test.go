package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/config"
	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/server"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// station is a place to run commands from: an empty directory and an environment.
type station struct {
	t       *testing.T
	environ []string
}

// answer is what one command did.
type answer struct {
	code     int
	out, err string
}

// everywhere runs a test in development, on an SQLite and on a PostgreSQL database that are empty.
func everywhere(t *testing.T, test func(*testing.T, *station)) {
	t.Helper()
	storagetest.EachURL(t, func(t *testing.T, url string) {
		test(t, newStation(t, "KEIZER_DATABASE_URL="+url))
	})
}

func newStation(t *testing.T, environ ...string) *station {
	t.Helper()
	t.Chdir(t.TempDir())
	return &station{t, environ}
}

// keizer runs a command with something on standard input.
func (s *station) keizer(stdin string, args ...string) answer {
	var out, errs bytes.Buffer
	code := run(s.t.Context(), args, strings.NewReader(stdin), &out, &errs, s.environ)
	return answer{code, out.String(), errs.String()}
}

// do runs a command that must succeed and complain of nothing.
func (s *station) do(args ...string) string { return s.doWith("", args...) }

func (s *station) doWith(stdin string, args ...string) string {
	s.t.Helper()
	got := s.keizer(stdin, args...)
	if got.code != 0 || got.err != "" {
		s.t.Fatalf("keizer %s: exit code %d\n%s", strings.Join(args, " "), got.code, got.err)
	}
	return got.out
}

// object runs a command with -o json and returns the one object that it prints.
func (s *station) object(args ...string) map[string]any { return s.objectWith("", args...) }

func (s *station) objectWith(stdin string, args ...string) map[string]any {
	s.t.Helper()
	var object map[string]any
	readOne(s.t, s.doWith(stdin, append(args, "-o", "json")...), &object)
	return object
}

func (s *station) array(args ...string) []map[string]any {
	s.t.Helper()
	var array []map[string]any
	readOne(s.t, s.do(append(args, "-o", "json")...), &array)
	if array == nil {
		s.t.Errorf("keizer %s prints null, not an array", strings.Join(args, " "))
	}
	return array
}

// readOne reads exactly one JSON value.
func readOne(t *testing.T, text string, into any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	if err := d.Decode(into); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, text)
	}
	if _, err := d.Token(); err != io.EOF {
		t.Fatalf("something follows the JSON value: %s", text)
	}
}

// refused runs a command that must fail with an exit code, print nothing on standard output, and say why in sentences, of which
// one holds the words.
func (s *station) refused(code int, words string, args ...string) {
	s.t.Helper()
	s.refusedWith("", code, words, args...)
}

func (s *station) refusedWith(stdin string, code int, words string, args ...string) {
	s.t.Helper()
	got := s.keizer(stdin, args...)
	name := "keizer " + strings.Join(args, " ")
	if got.code != code {
		s.t.Errorf("%s: exit code %d, want %d\n%s", name, got.code, code, got.err)
	}
	if got.out != "" {
		s.t.Errorf("%s: printed %s", name, got.out)
	}
	if !strings.Contains(got.err, words) {
		s.t.Errorf("%s: says\n%s not %s", name, got.err, words)
	}
	for line := range strings.Lines(got.err) {
		if !strings.HasPrefix(line, "keizer: ") || !strings.HasSuffix(line, "\n") || strings.Contains(line, "Usage") {
			s.t.Errorf("%s: not a sentence: %q", name, line)
		}
	}
}

// house opens the house that the commands work in.
func (s *station) house() *server.House {
	s.t.Helper()
	cfg, err := config.Load(config.Sources{Environ: s.environ})
	if err != nil {
		s.t.Fatal(err)
	}
	house, err := server.Boot(s.t.Context(), cfg, (&program{stderr: io.Discard}).quietLog(cfg))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { house.Close() })
	return house
}

// in returns a context for an organization of the house.
func in(t *testing.T, house *server.House, slug string) context.Context {
	t.Helper()
	org, err := house.Tenant(t.Context(), slug)
	if err != nil {
		t.Fatal(err)
	}
	return tenant.With(t.Context(), org)
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// text returns a member that is a string.
func text(t *testing.T, object map[string]any, name string) string {
	t.Helper()
	s, ok := object[name].(string)
	if !ok {
		t.Fatalf("%s is %v in %v", name, object[name], object)
	}
	return s
}

func production(t *testing.T) *station {
	t.Helper()
	return newStation(t, "KEIZER_ISSUER=https://id.example.com", "KEIZER_DATABASE_URL=sqlite:keizer.db", "KEIZER_MASTER_KEY="+seal.NewKey())
}
