package server_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/config"
	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/server/servertest"
)

// request is one as somebody who means harm sends it: every part of it can be what no library would make of it.
type request struct {
	method  string // GET, or POST with a form or a body
	address string // absolute, or a path of the house
	host    string // that of the house's base when empty
	form    url.Values
	kind    string // Content-Type of body
	body    io.Reader
	header  []string // names and values; a name may come more than once
	cookies []*http.Cookie
}

// attackers sends requests and follows nothing.
var attackers = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
	Timeout:       20 * time.Second,
}

// send sends a request and returns what came back.
func send(t testing.TB, house *servertest.House, r request) *servertest.Answer {
	t.Helper()
	answer, err := attempt(t.Context(), house, r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.method, r.address, err)
	}
	return answer
}

// attempt is send for where no answer may come, and for other goroutines than the test's.
func attempt(ctx context.Context, house *servertest.House, r request) (*servertest.Answer, error) {
	address := r.address
	switch {
	case strings.HasPrefix(address, house.Base):
		address = house.URL + strings.TrimPrefix(address, house.Base)
	case strings.HasPrefix(address, "/"):
		address = house.URL + address
	}
	body, method := r.body, http.MethodPost
	if r.form != nil {
		body, r.kind = strings.NewReader(r.form.Encode()), "application/x-www-form-urlencoded"
	}
	if body == nil {
		method = http.MethodGet
	}
	if r.method != "" {
		method = r.method
	}
	sent, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(house.Base)
	if err != nil {
		return nil, err
	}
	sent.Host = base.Host
	if r.host != "" {
		sent.Host = r.host
	}
	if r.kind != "" {
		sent.Header.Set("Content-Type", r.kind)
	}
	for i := 0; i+1 < len(r.header); i += 2 {
		sent.Header.Add(r.header[i], r.header[i+1])
	}
	for _, cookie := range r.cookies {
		sent.AddCookie(cookie)
	}
	response, err := attackers.Do(sent)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	return &servertest.Answer{Status: response.StatusCode, Header: response.Header, Body: string(read)}, nil
}

// fields makes a form of names and values.
func fields(all ...string) url.Values {
	form := url.Values{}
	for i := 0; i+1 < len(all); i += 2 {
		form.Add(all[i], all[i+1])
	}
	return form
}

// signedIn returns somebody who has signed in with the client before.
func signedIn(client *servertest.Client, username string) *servertest.Visitor {
	visitor := client.Visitor()
	visitor.Through(client.AuthorizeURL(), username)
	return visitor
}

var markup = regexp.MustCompile(`<[^>]*>|\s+`)

// short is as much of a body as a complaint shows.
func short(body string) string {
	if _, page, ok := strings.Cut(body, "<main"); ok {
		body = markup.ReplaceAllString("<main"+page, " ")
	}
	return body[:min(len(body), 400)]
}

// wantPage checks that a request was refused by a page, which led nowhere.
func wantPage(t testing.TB, what string, answer *servertest.Answer, status int) {
	t.Helper()
	if answer.Status != status || answer.Header.Get("Location") != "" || answer.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("%s: %d, Location %q, %s %s", what, answer.Status, answer.Header.Get("Location"), answer.Header.Get("Content-Type"), short(answer.Body))
	}
}

// wantError checks that a request of an application was refused as RFC 6749 §5.2 has it.
func wantError(t testing.TB, what string, answer *servertest.Answer, status int, code string) {
	t.Helper()
	if answer.Status != status || answer.Text("error") != code || answer.Header.Get("Content-Type") != "application/json" ||
		answer.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: %d, not %d %s: %s %s", what, answer.Status, status, code, answer.Header.Get("Content-Type"), short(answer.Body))
		return
	}
	for name := range answer.JSON() {
		if name != "error" && name != "error_description" {
			t.Errorf("%s: the refusal has the member %s", what, name)
		}
	}
}

// wantInactive checks that introspection tells nothing at all (RFC 7662 §2.2).
func wantInactive(t testing.TB, what string, answer *servertest.Answer) {
	t.Helper()
	if answer.Status != http.StatusOK || strings.TrimSpace(answer.Body) != `{"active":false}` {
		t.Errorf("%s: %d %s", what, answer.Status, answer.Body)
	}
}

// sentOn returns the parameters that a redirect carries to the client, and checks that it goes to the address of the request.
func sentOn(t testing.TB, what string, answer *servertest.Answer, redirect string) url.Values {
	t.Helper()
	to, err := url.Parse(answer.Header.Get("Location"))
	if err != nil || answer.Status != http.StatusSeeOther || to.Fragment != "" {
		t.Fatalf("%s: %d %s %v", what, answer.Status, answer.Header.Get("Location"), err)
	}
	carried := to.Query()
	if to.RawQuery = ""; to.String() != redirect {
		t.Fatalf("%s: sent to %s", what, to)
	}
	return carried
}

var csrfField = regexp.MustCompile(`name="csrf_token" value="([^"]*)"`)

// csrf is the token of a page's form.
func csrf(t testing.TB, body string) string {
	t.Helper()
	found := csrfField.FindStringSubmatch(body)
	if found == nil {
		t.Fatalf("no form in %s", short(body))
	}
	return found[1]
}

// keep gives a browser the cookies of an answer.
func keep(t testing.TB, visitor *servertest.Visitor, house *servertest.House, answer *servertest.Answer) {
	t.Helper()
	for _, line := range answer.Header["Set-Cookie"] {
		cookie, err := http.ParseSetCookie(line)
		if err != nil {
			t.Fatal(err)
		}
		visitor.SetCookie(house.URL, cookie)
	}
}

// rows counts the rows of a table.
func rows(t testing.TB, db *sql.DB, table string) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// change changes rows past storage, as time, another program or an intruder would.
func change(t testing.TB, house *servertest.House, statement string, args ...any) {
	t.Helper()
	driver, source := "pgx", house.Cfg.Database.URL.Reveal()
	if path, ok := strings.CutPrefix(source, "sqlite:"); ok {
		driver, source = "sqlite3", "file:"+path+"?_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

// longAgo is a time that both databases read.
const longAgo = "2020-01-01 00:00:00"

// productionBase is the issuer of a house that runs as in production.
const productionBase = "https://id.example"

// production puts up a house in production mode. It stands behind what ends TLS: requests reach it as plain HTTP.
func production(t testing.TB, o servertest.Options) *servertest.House {
	t.Helper()
	configure := o.Configure
	o.Configure = func(cfg *config.Config) {
		cfg.Issuer, cfg.MasterKey = productionBase, secret.Text(seal.NewKey())
		if configure != nil {
			configure(cfg)
		}
	}
	return servertest.Start(t, o)
}

// behindTLS carries what a browser sends to a house in production.
type behindTLS struct{ house *servertest.House }

func (b behindTLS) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasPrefix(r.URL.String(), b.house.Base) {
		return nil, fmt.Errorf("the browser was sent to %s", r.URL.Redacted())
	}
	there, err := url.Parse(b.house.URL + strings.TrimPrefix(r.URL.String(), b.house.Base))
	if err != nil {
		return nil, err
	}
	carried := r.Clone(r.Context())
	carried.Host, carried.URL = r.URL.Host, there
	return attackers.Transport.RoundTrip(carried)
}

// logBook is a log that can be read while it is written.
type logBook struct {
	mu   sync.Mutex
	text []byte
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

func (l *logBook) bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.text)
}
