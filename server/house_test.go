package server

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/keizer-auth/keizer/config"
	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// logbook is a log that many may write to and a test reads.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logbook) lines() []string { return strings.Split(strings.TrimSpace(l.String()), "\n") }

func (l *logbook) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(l, nil)) }

// inProduction is the configuration of a server behind https://id.example.
func inProduction(cfg *config.Config) {
	cfg.Issuer = "https://id.example"
	cfg.MasterKey = secret.Text(seal.NewKey())
}

// boot opens a house of its own on SQLite: in development unless a change says otherwise.
func boot(t *testing.T, changes ...func(*config.Config)) (*House, *logbook) {
	t.Helper()
	cfg := config.Defaults()
	cfg.Listen = "127.0.0.1:0"
	cfg.DataDir = t.TempDir()
	cfg.Database.URL = secret.Text(storagetest.SQLiteURL(t))
	cfg.RootOrganization = "default"
	for _, change := range changes {
		change(cfg)
	}
	log := &logbook{}
	house, err := Boot(t.Context(), cfg, log.logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = house.Close() })
	return house, log
}

// serverOf wires a server over a house.
func serverOf(t *testing.T, house *House) *Server {
	t.Helper()
	s, err := New(house)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
