package main

import (
	"crypto/x509"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/storage"
)

// findings runs the doctor and returns the worst status of every check.
func (s *station) findings(code int, args ...string) map[string]string {
	s.t.Helper()
	got := s.keizer("", append([]string{"doctor", "-o", "json"}, args...)...)
	if got.code != code {
		s.t.Errorf("exit code %d, want %d\n%s%s", got.code, code, got.out, got.err)
	}
	var all []finding
	readOne(s.t, got.out, &all)
	worst := make(map[string]string)
	rank := []string{"", fine, doubt, ill}
	for _, f := range all {
		if slices.Index(rank, f.Status) > slices.Index(rank, worst[f.Check]) {
			worst[f.Check] = f.Status
		}
		if f.Detail == "" || strings.Contains(f.Detail, "\n") {
			s.t.Errorf("%+v is not one line", f)
		}
	}
	return worst
}

func TestTheDoctorFindsAHealthyHouseHealthy(t *testing.T) {
	everywhere(t, func(t *testing.T, s *station) {
		s.doWith("correct horse battery", "user", "create", "--email", "op@example.com", "--role", "operator", "--password-stdin")
		for check, status := range s.findings(0) {
			if status != fine {
				t.Errorf("%s: %s", check, status)
			}
		}
		if out := s.do("doctor"); !strings.HasPrefix(out, "STATUS") || !strings.Contains(out, "\nok ") {
			t.Errorf("as a table:\n%s", out)
		}
	})
}

func TestTheDoctorMakesNothing(t *testing.T) {
	s := newStation(t)
	if got := s.findings(0); got["database"] != doubt {
		t.Errorf("found %v", got)
	}
	if entries, err := os.ReadDir("."); err != nil || len(entries) != 0 {
		t.Errorf("made %v, %v", entries, err)
	}

	s = production(t)
	s.do("migrate", "up")
	if got := s.findings(0); got["master key"] != doubt {
		t.Errorf("found %v", got)
	}
	for i, entry := range s.environ { // the doctor has not bound the database to the key it was run with
		if strings.HasPrefix(entry, "KEIZER_MASTER_KEY=") {
			s.environ[i] = "KEIZER_MASTER_KEY=" + seal.NewKey()
		}
	}
	s.do("org", "create", "acme")
}

func TestTheDoctorFindsWhatIsWrong(t *testing.T) {
	t.Run("configuration", func(t *testing.T) {
		s := newStation(t, "KEIZER_ISUER=x")
		if got := s.findings(exitFailed); got["configuration"] != ill || len(got) != 1 {
			t.Errorf("found %v", got)
		}
	})
	t.Run("certificate and test mode", func(t *testing.T) {
		s := production(t)
		s.environ = append(s.environ, "KEIZER_TLS_CERT_FILE=tls.crt", "KEIZER_TLS_KEY_FILE=tls.key", "KEIZER_TEST_MODE=true")
		if got := s.findings(exitFailed); got["certificate"] != ill || got["test mode"] != doubt {
			t.Errorf("without the files found %v", got)
		}
		s.do("org", "create", "acme")
		for _, c := range []struct {
			left  time.Duration
			hosts []string
			want  string
			code  int
		}{
			{30 * 24 * time.Hour, []string{"id.example.com", "login.acme.example"}, fine, 0},
			{30 * 24 * time.Hour, []string{"*.example.com"}, fine, 0},
			{4 * time.Hour, []string{"id.example.com"}, doubt, 0},
			{30 * 24 * time.Hour, []string{"login.acme.example"}, doubt, 0},
			{-time.Hour, []string{"id.example.com"}, ill, exitFailed},
		} {
			certified(t, time.Now().Add(c.left), c.hosts...)
			if got := s.findings(c.code); got["certificate"] != c.want {
				t.Errorf("with one for %v for %s found %v", c.hosts, c.left, got)
			}
		}
		host, other := "login.acme.example", "login.other.example"
		c := checkup{leaf: &x509.Certificate{DNSNames: []string{host}}}
		for _, at := range []*string{nil, &host, &other} {
			c.hosts(&storage.Organization{Slug: "acme", IssuerHost: at})
		}
		if len(c.findings) != 1 || c.findings[0].Status != doubt || !strings.Contains(c.findings[0].Detail, other) {
			t.Errorf("of the hosts of organizations found %v", c.findings)
		}
		if err := os.Chmod("tls.key", 0o644); err != nil {
			t.Fatal(err)
		}
		if got := s.findings(exitFailed); got["permissions"] != doubt {
			t.Errorf("of a key that others can read found %v", got)
		}
	})
	t.Run("database away", func(t *testing.T) {
		s := newStation(t, "KEIZER_DATABASE_URL=postgres://keizer:canary-pw@127.0.0.1:1/keizer", "KEIZER_MASTER_KEY="+seal.NewKey())
		if got := s.findings(exitFailed); got["database"] != ill {
			t.Errorf("found %v", got)
		}
		if got := s.keizer("", "doctor"); strings.Contains(got.out+got.err, "canary-pw") {
			t.Errorf("the password escaped: %s", got.out)
		}
	})
	t.Run("another master key", func(t *testing.T) {
		s := newStation(t)
		s.do("org", "list")
		s.environ = append(s.environ, "KEIZER_MASTER_KEY="+seal.NewKey())
		if got := s.findings(exitFailed); got["master key"] != ill {
			t.Errorf("found %v", got)
		}
	})
	t.Run("a lost master key", func(t *testing.T) {
		s := newStation(t)
		s.do("org", "list")
		if err := os.Remove(filepath.Join("data", "master.key")); err != nil {
			t.Fatal(err)
		}
		if got := s.findings(exitFailed); got["master key"] != ill {
			t.Errorf("found %v", got)
		}
		if _, err := os.Stat(filepath.Join("data", "master.key")); err == nil {
			t.Error("another one was made")
		}
	})
	t.Run("files that others can read", func(t *testing.T) {
		s := newStation(t)
		s.do("org", "list")
		if err := os.Chmod(filepath.Join("data", "master.key"), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := s.findings(0); got["permissions"] != doubt {
			t.Errorf("found %v", got)
		}
	})
	t.Run("pending migrations", func(t *testing.T) {
		s := newStation(t)
		s.do("org", "list")
		for _, name := range []string{"keizer.db", "keizer.db-wal", "keizer.db-shm"} { // the key stays, and nothing was migrated
			if err := os.Remove(filepath.Join("data", name)); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
		write(t, filepath.Join("data", "keizer.db"), "")
		if got := s.findings(0); got["migrations"] != doubt {
			t.Errorf("found %v", got)
		}
		if got := s.findings(exitFailed, "--no-migrate"); got["migrations"] != ill {
			t.Errorf("with --no-migrate found %v", got)
		}
	})
	t.Run("folders that take no files", func(t *testing.T) {
		s := newStation(t)
		if got := s.findings(0); got["folders"] != fine {
			t.Errorf("found %v", got)
		}
		write(t, "data", "")
		if got := s.findings(exitFailed); got["folders"] != ill {
			t.Errorf("where the folder is a file: %v", got)
		}
		if err := errors.Join(os.Remove("data"), os.Mkdir("data", 0o500)); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() != 0 { // who may do everything may write there too
			if got := s.findings(exitFailed); got["folders"] != ill {
				t.Errorf("where nobody may write: %v", got)
			}
		}
	})
	t.Run("no operator", func(t *testing.T) {
		s := newStation(t)
		s.do("org", "list")
		if got := s.findings(0); got["operator"] != doubt || len(slices.Collect(maps.Keys(got))) < 7 {
			t.Errorf("found %v", got)
		}
	})
	t.Run("a pooler that is not there", func(t *testing.T) {
		everywhere(t, func(t *testing.T, s *station) {
			s.do("org", "list")
			s.environ = append(s.environ, "KEIZER_DATABASE_POOLER=transaction")
			got, onPostgres := s.findings(0), strings.Contains(s.environ[0], "postgres")
			if onPostgres && got["pooler"] != doubt || !onPostgres && got["pooler"] != "" {
				t.Errorf("found %v", got)
			}
		})
	})
}
