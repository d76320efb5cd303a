//go:build !linux && !darwin

package storagetest

import (
	"os"
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/storage"
)

// cluster stands for a PostgreSQL server, which is not started on this system.
type cluster struct{}

func postgres(t testing.TB) *cluster {
	t.Helper()
	const none = "PostgreSQL is not started for tests on this system"
	if strings.Contains(os.Getenv("KEIZER_TEST_REQUIRE"), "postgres") {
		t.Fatal(none)
	}
	t.Skip(none)
	return nil
}

func (*cluster) fresh(testing.TB, bool) string { return "" }

// Server is a PostgreSQL server of a test's own.
type Server struct{}

// NewServer skips the test.
func NewServer(t testing.TB, _ ...string) *Server {
	t.Helper()
	postgres(t)
	return nil
}

// Fresh is not reached.
func (*Server) Fresh(testing.TB) *storage.DB { return nil }

// URL is not reached.
func (*Server) URL(string) string { return "" }

// Start is not reached.
func (*Server) Start(testing.TB) {}

// Stop is not reached.
func (*Server) Stop(testing.TB) {}

// Pause is not reached.
func (*Server) Pause(testing.TB) {}

// Resume is not reached.
func (*Server) Resume(testing.TB) {}
