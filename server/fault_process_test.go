package server_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// With -hold the test binary is another process that has SQLite's write lock, until its standard input ends.
var hold = flag.String("hold", "", "path of an SQLite database whose write lock to hold instead of running tests")

// locked is what that process says when it has the lock.
const locked = "locked\n"

func TestMain(m *testing.M) {
	flag.Parse()
	if *hold != "" {
		if err := holdLock(*hold); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if dir, err := keizer(); err == nil {
		os.RemoveAll(filepath.Dir(dir))
	}
	os.Exit(code)
}

func holdLock(path string) error {
	db, err := sql.Open("sqlite3", "file:"+path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Conn(context.Background())
	if err != nil {
		return err
	}
	if _, err := conn.ExecContext(context.Background(), "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	fmt.Print(locked)
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	_, err = conn.ExecContext(context.Background(), "ROLLBACK")
	return err
}

// again is this program with other arguments.
func again(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(self, args...)
	command.Stderr = os.Stderr
	return command
}

// keizer builds the program and returns where it is.
var keizer = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "keizer-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "keizer")
	if out, err := exec.Command("go", "build", "-o", path, "../cmd/keizer").CombinedOutput(); err != nil {
		return path, fmt.Errorf("build keizer: %w\n%s", err, out)
	}
	return path, nil
})

// process is a running `keizer serve`.
type process struct {
	*servertest.House // its addresses, and nothing else
	command           *exec.Cmd
	said              *logBook
	ended             chan struct{} // closed when it has ended, with ending
	ending            error
}

// serve starts the program and waits until it is ready. What it needs stands in its environment, as name=value.
func serve(t testing.TB, base, address string, environ ...string) *process {
	t.Helper()
	p := launch(t, base, address, environ...)
	p.waitReady(t, 20*time.Second)
	return p
}

func launch(t testing.TB, base, address string, environ ...string) *process {
	t.Helper()
	path, err := keizer()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{House: &servertest.House{Base: base, URL: "http://" + address}, said: &logBook{}, ended: make(chan struct{})}
	p.command = exec.Command(path, "serve", "--listen", address)
	p.command.Dir = t.TempDir()
	p.command.Env = append([]string{"HOME=" + p.command.Dir}, environ...)
	p.command.Stdout, p.command.Stderr = p.said, p.said
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.ending = p.command.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() { p.kill(t) })
	return p
}

func (p *process) waitReady(t testing.TB, limit time.Duration) {
	t.Helper()
	if !within(t.Context(), limit, func() bool {
		select {
		case <-p.ended:
			t.Fatalf("it has ended: %v\n%s", p.ending, p.said.bytes())
		default:
		}
		answer, err := attempt(t.Context(), p.House, request{address: "/readyz"})
		return err == nil && answer.Status == http.StatusOK
	}) {
		t.Fatalf("it is not ready after %v\n%s", limit, p.said.bytes())
	}
}

// kill ends it as a power cut would.
func (p *process) kill(t testing.TB) {
	t.Helper()
	if err := p.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	<-p.ended
}

// freeAddress is an address that nobody listens at.
func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// inProductionMode is the environment of a process that serves as in production.
func inProductionMode(databaseURL, masterKey string, more ...string) []string {
	return append([]string{"KEIZER_ISSUER=" + productionBase, "KEIZER_DATABASE_URL=" + databaseURL, "KEIZER_MASTER_KEY=" + masterKey}, more...)
}

// F-01, S-061: killed in the middle of many exchanges, again and again, the server has either done a thing or not. What it has
// acknowledged is there; what was used up stays so; and nothing is half there.
func TestKilledInTheMiddleOfExchangesNothingIsHalfDone(t *testing.T) {
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		// This house makes what is exchanged at the process, with which it shares the database and the master key.
		house := servertest.Start(t, servertest.Options{DatabaseURL: databaseURL})
		org := house.In("default")
		house.User(org, "alice")
		client := house.Client(org, manage.ClientSpec{SkipConsent: true})
		visitor := signedIn(client, "alice")
		db := house.SQL()
		address := freeAddress(t)
		environ := []string{"KEIZER_DATA_DIR=" + house.Cfg.DataDir, "KEIZER_DATABASE_URL=" + databaseURL, "KEIZER_TOKENS_REFRESH_REPLAY_WINDOW=0s"}
		base := "http://localhost:" + address[strings.LastIndex(address, ":")+1:]
		post := func(p *process, endpoint string, form ...string) (*servertest.Answer, error) {
			return attempt(t.Context(), p.House, request{address: endpoint, form: fields(form...), header: []string{"Authorization", client.Basic()}})
		}
		redeem := func(p *process, code string) (*servertest.Answer, error) {
			return post(p, "/oauth2/token", "grant_type", "authorization_code", "code", code, "redirect_uri", client.Redirect, "code_verifier", servertest.Verifier)
		}
		refresh := func(p *process, token string) (*servertest.Answer, error) {
			return post(p, "/oauth2/token", "grant_type", "refresh_token", "refresh_token", token)
		}

		const rounds, each = 5, 14
		interrupted, acknowledged := 0, 0
		p := serve(t, base, address, environ...)
		for round := range rounds {
			var codes, tokens [each]string
			for i := range each {
				codes[i] = visitor.Code(client.AuthorizeURL("scope", "openid offline_access"), "alice")
				tokens[i] = client.Redeem(visitor.Code(client.AuthorizeURL("scope", "openid offline_access"), "alice")).Text("refresh_token")
			}
			var redeemed, refreshed [each]*servertest.Answer
			answered := make(chan struct{}, 2*each)
			var wait sync.WaitGroup
			for i := range each {
				// The connection ends with the process: no answer is what is expected of many.
				wait.Go(func() {
					redeemed[i], _ = redeem(p, codes[i])
					answered <- struct{}{}
				})
				wait.Go(func() {
					refreshed[i], _ = refresh(p, tokens[i])
					answered <- struct{}{}
				})
			}
			for range round * each / rounds * 2 { // at another point each time
				<-answered
			}
			<-time.After(time.Duration(rand.IntN(5)) * time.Millisecond)
			p.kill(t)
			wait.Wait()
			began := time.Now()
			p = serve(t, base, address, environ...)
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("it was ready again after %v", took)
			}

			for i := range each {
				used := count(t, db, `SELECT count(*) FROM oauth_codes WHERE digest = $1 AND used_at IS NOT NULL`, secret.Digest(codes[i]))
				const family = ` WHERE grant_id = (SELECT grant_id FROM oauth_codes WHERE digest = $1)`
				grants := count(t, db, `SELECT count(*) FROM oauth_grants WHERE id = (SELECT grant_id FROM oauth_codes WHERE digest = $1)`, secret.Digest(codes[i]))
				access := count(t, db, `SELECT count(*) FROM oauth_access_tokens`+family, secret.Digest(codes[i]))
				refreshes := count(t, db, `SELECT count(*) FROM oauth_refresh_tokens`+family, secret.Digest(codes[i]))
				if grants != used || access != used || refreshes != used {
					t.Errorf("a code that was used %d times has %d grants, %d access tokens, %d refresh tokens", used, grants, access, refreshes)
				}
				if answer := redeemed[i]; answer != nil && answer.Status == 200 {
					acknowledged++
					if used != 1 {
						t.Error("what was acknowledged is lost")
					}
					if seen, err := post(p, "/oauth2/introspect", "token", answer.Text("access_token")); err != nil || seen.JSON()["active"] != true {
						t.Errorf("a token that was given out: %v %v", seen, err)
					}
				} else if answer != nil {
					t.Errorf("answered %d %s", answer.Status, answer.Body)
				} else {
					interrupted++
				}
				// Whoever got no answer tries again, and hears one that they can go by.
				if answer, err := redeem(p, codes[i]); err != nil || (used == 0) != (answer.Status == 200) || used == 1 && answer.Text("error") != "invalid_grant" {
					t.Errorf("a code that was used %d times, again: %v %v", used, answer, err)
				}

				spent := count(t, db, `SELECT count(*) FROM oauth_refresh_tokens WHERE digest = $1 AND spent_at IS NOT NULL`, secret.Digest(tokens[i]))
				const kin = ` WHERE grant_id = (SELECT grant_id FROM oauth_refresh_tokens WHERE digest = $1)`
				all := count(t, db, `SELECT count(*) FROM oauth_refresh_tokens`+kin, secret.Digest(tokens[i]))
				if access = count(t, db, `SELECT count(*) FROM oauth_access_tokens`+kin, secret.Digest(tokens[i])); all != 1+spent || access != 1+spent {
					t.Errorf("of a refresh token spent %d times there are %d in its family, and %d access tokens", spent, all, access)
				}
				answer := refreshed[i]
				switch {
				case answer != nil && answer.Status != 200:
					t.Errorf("answered %d %s", answer.Status, answer.Body)
				case answer != nil && spent != 1:
					t.Error("a rotation that was acknowledged is undone")
				case answer == nil:
					interrupted++
				default:
					acknowledged++
				}
				again, err := refresh(p, tokens[i])
				if err != nil || (spent == 0) != (again.Status == 200) || spent == 1 && again.Text("error") != "invalid_grant" {
					t.Errorf("a refresh token spent %d times, again: %v %v", spent, again, err)
				}
				if spent == 1 && answer != nil {
					if next, err := refresh(p, answer.Text("refresh_token")); err != nil || next.Text("error") != "invalid_grant" {
						t.Errorf("the family of a token used twice: %v %v", next, err)
					}
				}
			}
		}
		for orphans, query := range map[string]string{
			"access tokens without a grant": `SELECT count(*) FROM oauth_access_tokens a WHERE grant_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM oauth_grants g WHERE g.id = a.grant_id)`,
			"grants without a code":         `SELECT count(*) FROM oauth_grants g WHERE NOT EXISTS (SELECT 1 FROM oauth_codes c WHERE c.grant_id = g.id AND c.used_at IS NOT NULL)`,
			"two unspent of one family":     `SELECT count(*) FROM (SELECT grant_id FROM oauth_refresh_tokens WHERE spent_at IS NULL GROUP BY grant_id HAVING count(*) > 1) x`,
		} {
			if n := count(t, db, query); n != 0 {
				t.Errorf("%s: %d", orphans, n)
			}
		}
		if strings.HasPrefix(databaseURL, "sqlite:") {
			if said := column(t, db, `PRAGMA integrity_check`); !slices.Equal(said, []string{"ok"}) {
				t.Errorf("integrity: %v", said)
			}
			if said := column(t, db, `SELECT "table" FROM pragma_foreign_key_check`); len(said) != 0 {
				t.Errorf("foreign keys: %v", said)
			}
		}
		if interrupted == 0 || acknowledged == 0 {
			t.Errorf("%d exchanges were interrupted, %d acknowledged: that shows little", interrupted, acknowledged)
		}
		t.Logf("%d interrupted, %d acknowledged", interrupted, acknowledged)
	})
}

func count(t testing.TB, db *sql.DB, query string, args ...any) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// F-21: told to end, the process fails its readiness at once, takes requests for as long as it said, finishes what it has
// begun, and ends with 0.
func TestToldToEndTheProcessFinishesWhatItHasBegun(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	p := serve(t, productionBase, address, inProductionMode(storagetest.SQLiteURL(t), seal.NewKey(), "KEIZER_SHUTDOWN_DELAY=2s")...)

	// A request of which half has come.
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /setup HTTP/1.1\r\nHost: id.example\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\nx="); err != nil {
		t.Fatal(err)
	}
	if answer, err := attempt(t.Context(), p.House, request{address: "/livez"}); err != nil || answer.Status != 200 { // it has been read by now
		t.Fatalf("%v %v", answer, err)
	}
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if !within(t.Context(), 1500*time.Millisecond, func() bool {
		answer, err := attempt(t.Context(), p.House, request{address: "/readyz"})
		return err == nil && answer.Status == 503
	}) {
		t.Error("it is still ready")
	}
	if answer, err := attempt(t.Context(), p.House, request{address: "/livez"}); err != nil || answer.Status != 200 {
		t.Errorf("a request that comes while the world finds out: %v %v", answer, err)
	}
	if !within(t.Context(), 5*time.Second, func() bool {
		probe, err := net.Dial("tcp", address)
		if err == nil {
			probe.Close()
		}
		return err != nil
	}) {
		t.Error("it still listens")
	}
	if _, err := io.WriteString(conn, "y"); err != nil {
		t.Error(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || answer.StatusCode != http.StatusNotFound {
		t.Errorf("what it had begun: %v %v", answer, err)
	}
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end")
	}
	if p.ending != nil || p.command.ProcessState.ExitCode() != 0 {
		t.Errorf("it ended with %v\n%s", p.ending, p.said.bytes())
	}
}

// S-278: what is too long is refused before it is looked at, by the limits that a process really has.
func TestALineThatIsTooLongIsRefused(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	serve(t, productionBase, address, inProductionMode(storagetest.SQLiteURL(t), seal.NewKey())...)
	get := func(target string, headers ...string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: id.example\r\nConnection: close\r\n" + strings.Join(headers, "") + "\r\n"
	}
	for name, test := range map[string]struct {
		bytes  string
		status int
	}{
		"a header":        {get("/livez", "X: "+strings.Repeat("a", 17<<10)+"\r\n"), 431},
		"many headers":    {get("/livez", slices.Repeat([]string{"X: " + strings.Repeat("a", 100) + "\r\n"}, 170)...), 431},
		"a cookie":        {get("/livez", "Cookie: x="+strings.Repeat("a", 17<<10)+"\r\n"), 431},
		"an address":      {get("/" + strings.Repeat("a", 9<<10)), 414},
		"a query":         {get("/oauth2/authorize?x=" + strings.Repeat("a", 9<<10)), 414},
		"ordinary things": {get("/livez?"+strings.Repeat("a", 7<<10), "X: "+strings.Repeat("a", 7<<10)+"\r\n"), 200},
	} {
		if answers := overWire(t, address, test.bytes); len(answers) != 1 || answers[0].StatusCode != test.status {
			t.Errorf("%s: %v", name, answers)
		}
	}
}

// F-19: replicas that start together on nothing all come up, and have made one thing of it.
func TestFiveReplicasThatStartTogetherOnNothingAllComeUp(t *testing.T) {
	applied := regexp.MustCompile(`"migrations_applied":(\d+)|, (\d+) migrations applied`)
	t.Run("in production on postgres", func(t *testing.T) {
		t.Parallel()
		url := storagetest.PostgresURL(t)
		key := seal.NewKey()
		startTogether(t, applied, func(address string) *process {
			return launch(t, productionBase, address, inProductionMode(url, key)...)
		})
		if n := rows(t, storagetest.SQL(t, url), "instance"); n != 1 {
			t.Errorf("%d instances", n)
		}
	})
	t.Run("in development on sqlite", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(t.TempDir(), "data")
		all := startTogether(t, applied, func(address string) *process {
			return launch(t, "http://localhost:"+address[strings.LastIndex(address, ":")+1:], address, "KEIZER_DATA_DIR="+dir)
		})
		db := storagetest.SQL(t, "sqlite:"+filepath.Join(dir, "keizer.db"))
		if n, keys := rows(t, db, "organizations"), rows(t, db, "signing_keys"); n != 1 || keys != 3 {
			t.Errorf("%d organizations with %d keys", n, keys)
		}
		sets := map[string]bool{}
		for _, p := range all {
			sets[send(t, p.House, request{address: "/.well-known/jwks.json"}).Body] = true
		}
		if len(sets) != 1 {
			t.Errorf("they publish %d sets of keys", len(sets))
		}
	})
}

// startTogether starts replicas at once, waits until all are ready, and checks that one has applied the migrations.
func startTogether(t *testing.T, applied *regexp.Regexp, start func(address string) *process) []*process {
	t.Helper()
	if _, err := keizer(); err != nil { // not while they start
		t.Fatal(err)
	}
	var addresses []string
	for range 5 {
		addresses = append(addresses, freeAddress(t))
	}
	var all []*process
	for _, address := range addresses {
		all = append(all, start(address))
	}
	migrated := 0
	for _, p := range all {
		p.waitReady(t, 30*time.Second)
		var said [][]byte
		if !within(t.Context(), 5*time.Second, func() bool { said = applied.FindSubmatch(p.said.bytes()); return said != nil }) {
			t.Fatalf("it does not say what it applied:\n%s", p.said.bytes())
		}
		if n := string(bytes.Join(said[1:], nil)); n != "0" {
			migrated++
		}
	}
	if migrated != 1 {
		t.Errorf("%d replicas have applied migrations", migrated)
	}
	return all
}
