//go:build linux || darwin

package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/keizer-auth/keizer/storage"
)

// errNone means that this machine has no PostgreSQL to test with.
var errNone = errors.New("no PostgreSQL: set KEIZER_TEST_POSTGRES to an administrator's URL, or install its server")

// cluster is a PostgreSQL server that databases may be made in.
type cluster struct {
	admin    string // URL
	template func() (string, error)
	// server is kept because its supervisor ends with the pipe to it, and a pipe that nobody holds is closed.
	server *Server
}

// postgres returns the server of this process, or skips the test for want of one.
func postgres(t testing.TB) *cluster {
	t.Helper()
	c, err := shared()
	if err != nil {
		refuse(t, err)
	}
	return c
}

// refuse skips a test that wants what is not there, or fails it where it has to be there.
func refuse(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, errNone) || strings.Contains(os.Getenv("KEIZER_TEST_REQUIRE"), "postgres") {
		t.Fatal(err)
	}
	t.Skip(err)
}

var shared = sync.OnceValues(func() (*cluster, error) {
	if admin := os.Getenv("KEIZER_TEST_POSTGRES"); admin != "" {
		// Somebody else's server: nothing is left behind in it, so there is no template either.
		return &cluster{admin: admin}, nil
	}
	s, err := newServer(
		// What a power loss would cost is of no interest to a test.
		"fsync=off", "synchronous_commit=off", "full_page_writes=off",
	)
	if err != nil {
		return nil, err
	}
	if err := s.start(); err != nil {
		return nil, err
	}
	c := &cluster{admin: s.URL("postgres"), server: s}
	c.template = sync.OnceValues(func() (string, error) { return "keizer_template", c.migrate("keizer_template") })
	return c, nil
})

// fresh makes a database that is dropped when the test ends, and returns its URL.
func (c *cluster) fresh(t testing.TB, migrated bool) string {
	t.Helper()
	name := "keizer_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	create := "CREATE DATABASE " + name
	if migrated && c.template != nil {
		template, err := c.template()
		if err != nil {
			t.Fatalf("make the template database: %v", err)
		}
		create += " TEMPLATE " + template
	}
	if err := c.administer(create); err != nil {
		t.Fatalf("make a database: %v", err)
	}
	t.Cleanup(func() {
		if err := c.administer("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Errorf("drop the database: %v", err)
		}
	})
	if migrated && c.template == nil {
		if err := migrate(c.url(name)); err != nil {
			t.Fatalf("migrate: %v", err)
		}
	}
	return c.url(name)
}

// migrate makes a migrated database.
func (c *cluster) migrate(name string) error {
	if err := c.administer("CREATE DATABASE " + name); err != nil {
		return err
	}
	return migrate(c.url(name))
}

func migrate(url string) error {
	db, err := open(url)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Migrate(context.Background())
	return err
}

func (c *cluster) url(database string) string {
	u, err := url.Parse(c.admin)
	if err != nil {
		return c.admin
	}
	u.Path = "/" + database
	if level := os.Getenv("KEIZER_TEST_ISOLATION"); level != "" {
		query := u.Query()
		query.Set("default_transaction_isolation", level)
		u.RawQuery = query.Encode()
	}
	return u.String()
}

func (c *cluster) administer(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.admin)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

// Server is a PostgreSQL server of a test's own, to be taken away from under it.
type Server struct {
	bin, root string
	port      int
	settings  []string
	as        *syscall.Credential

	supervisor *exec.Cmd
	control    io.WriteCloser
}

// NewServer starts a server that is stopped when the test ends. Settings are of the form name=value, as in postgresql.conf.
func NewServer(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := newServer(settings...)
	if err != nil {
		refuse(t, err)
	}
	t.Cleanup(func() {
		if err := s.stop(true); err != nil {
			t.Error(err)
		}
		os.RemoveAll(s.root)
	})
	s.Start(t)
	return s
}

// Fresh makes an empty, migrated database in it.
func (s *Server) Fresh(t testing.TB) *storage.DB {
	t.Helper()
	c := &cluster{admin: s.URL("postgres")}
	name := "keizer_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	if err := c.migrate(name); err != nil {
		t.Fatal(err)
	}
	return Open(t, c.url(name))
}

// URL returns the address of a database in it.
func (s *Server) URL(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", s.port, database)
}

// Start starts it again, where it was, after Stop.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

// Stop ends it at once, as a crash would, and keeps its data.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if err := s.stop(false); err != nil {
		t.Fatal(err)
	}
}

// Pause freezes it with all its processes: connections stay open, and nothing is answered.
func (s *Server) Pause(t testing.TB) { s.signal(t, syscall.SIGSTOP) }

// Resume lets it go on after Pause.
func (s *Server) Resume(t testing.TB) { s.signal(t, syscall.SIGCONT) }

func (s *Server) signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	first, err := s.postmaster()
	if err != nil {
		t.Fatal(err)
	}
	// The postmaster first: then it starts no more processes while the others are looked for.
	for _, pid := range append([]int{first}, children(first)...) {
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatalf("signal process %d: %v", pid, err)
		}
	}
}

func (s *Server) postmaster() (int, error) {
	content, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(content), "\n")
	return strconv.Atoi(strings.TrimSpace(first))
}

// children returns the processes that a process has started.
func children(parent int) []int {
	var found []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		content, err := os.ReadFile(stat)
		if err != nil {
			continue // gone meanwhile
		}
		// pid (name) state ppid …; the name may contain anything, also a parenthesis.
		fields := strings.Fields(string(content[bytes.LastIndexByte(content, ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(stat))); err == nil {
				found = append(found, pid)
			}
		}
	}
	return found
}

func (s *Server) data() string { return filepath.Join(s.root, "data") }
func (s *Server) log() string  { return filepath.Join(s.root, "log") }

// newServer makes the files of a server.
func newServer(settings ...string) (_ *Server, err error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, settings: settings}
	if s.as, err = unprivileged(); err != nil {
		return nil, err
	}
	if s.root, err = os.MkdirTemp(scratch(), "keizer-pg-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(s.root)
		}
	}()
	if s.as != nil {
		if err := os.Chown(s.root, int(s.as.Uid), int(s.as.Gid)); err != nil {
			return nil, err
		}
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", s.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8",
		"--locale=C", "--no-sync", "--no-instructions")
	initdb.Dir = s.root
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return s, nil
}

// supervise runs the server until its standard input ends, which it does when the test process ends, in whichever way.
// A word on it says to keep the files.
const supervise = `root=$1; shift
"$@" >>"$root/log" 2>&1 &
pid=$!
word=
read -r word
kill -CONT "$pid"; kill -QUIT "$pid"
wait "$pid"
[ "$word" = keep ] || rm -rf "$root"`

func (s *Server) start() error {
	var last error
	for range 3 { // somebody may take the port before the server does
		if s.port == 0 {
			port, err := freePort()
			if err != nil {
				return err
			}
			s.port = port
		}
		if last = s.launch(); last == nil {
			return nil
		}
		last = errors.Join(last, s.stop(false))
		s.port = 0
	}
	return last
}

func (s *Server) launch() error {
	args := []string{
		"-c", supervise, "supervise", s.root, filepath.Join(s.bin, "postgres"), "-D", s.data(), "-p", strconv.Itoa(s.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=200",
		"-c", "shared_buffers=32MB", "-c", "log_timezone=UTC",
	}
	for _, setting := range s.settings {
		args = append(args, "-c", setting)
	}
	cmd := exec.Command("/bin/sh", args...)
	cmd.Dir = s.root
	// A group of its own, so that an interrupt at the terminal reaches the tests and not the server behind them.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Setpgid: true}
	control, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	s.supervisor, s.control = cmd, control

	until := time.Now().Add(30 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		conn, err := pgx.Connect(ctx, s.URL("postgres"))
		if err == nil {
			conn.Close(ctx)
		}
		cancel()
		if err == nil {
			return nil
		}
		if time.Now().After(until) {
			log, _ := os.ReadFile(s.log())
			return fmt.Errorf("PostgreSQL does not start: %w\n%s", err, log)
		}
		<-time.After(20 * time.Millisecond)
	}
}

func (s *Server) stop(remove bool) error {
	if s.supervisor == nil {
		return nil
	}
	if !remove {
		if _, err := io.WriteString(s.control, "keep\n"); err != nil {
			return fmt.Errorf("stop PostgreSQL: %w", err)
		}
	}
	s.control.Close()
	err := s.supervisor.Wait()
	s.supervisor, s.control = nil, nil
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return nil // of its last command, which is of no interest
	}
	return err
}

// binaries finds the folder of PostgreSQL's programs.
func binaries() (string, error) {
	if path, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		}
		if dir := filepath.Dir(path); exists(filepath.Join(dir, "initdb")) {
			return dir, nil
		}
	}
	// Debian installs the programs of every version outside PATH.
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	slices.SortFunc(found, func(a, b string) int { return version(b) - version(a) })
	for _, path := range found {
		if dir := filepath.Dir(path); exists(filepath.Join(dir, "initdb")) {
			return dir, nil
		}
	}
	return "", errNone
}

func version(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	return n
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// unprivileged returns whom to run the server as: it refuses to run as root.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			continue
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			continue
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), NoSetGroups: true}, nil
	}
	return nil, fmt.Errorf("%w (PostgreSQL refuses to run as root, and there is nobody else)", errNone)
}

// scratch is where a server keeps its files: in memory where there is plenty. A database is some three hundred files, and
// most of the time of a test goes into making them. Empty is the usual folder for temporary files.
func scratch() string {
	const memory, plenty = "/dev/shm", 1 << 30
	var fs syscall.Statfs_t
	if err := syscall.Statfs(memory, &fs); err != nil || fs.Bavail*uint64(fs.Bsize) < plenty {
		return ""
	}
	return memory
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
