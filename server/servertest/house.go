package servertest

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/config"
	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// Password is everybody's in a test.
const Password = "correct horse battery staple"

// Callback is where clients of a test are called back. Nothing is there: browsers stop before it.
const Callback = "https://rp.example/cb"

// House is one running replica.
type House struct {
	*server.House
	// Base is the issuer of the root organization; URL is where this replica listens. They differ for a second replica.
	Base, URL string
	t         testing.TB
	server    *server.Server
}

// Options are what a test wants otherwise.
type Options struct {
	// DatabaseURL is a new SQLite database when empty.
	DatabaseURL string
	// Configure changes the configuration.
	Configure func(*config.Config)
	// ReplicaOf makes this a further replica: of the same database and base address.
	ReplicaOf *House
	// Log receives the server's log; nil discards it.
	Log io.Writer
}

// EachDatabase runs a test on SQLite and on PostgreSQL.
func EachDatabase(t *testing.T, test func(t *testing.T, databaseURL string)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, storagetest.MigratedSQLiteURL(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, storagetest.MigratedPostgresURL(t))
	})
}

// Start puts up a replica, and takes it down when the test ends.
func Start(t testing.TB, o Options) *House {
	t.Helper()
	cfg := config.Defaults()
	cfg.DataDir = t.TempDir()
	cfg.RootOrganization = "default"
	cfg.Password.Memory = passwordMemory
	switch {
	case o.DatabaseURL != "":
		cfg.Database.URL = secret.Text(o.DatabaseURL)
	case o.ReplicaOf == nil:
		cfg.Database.URL = secret.Text("sqlite:" + filepath.Join(cfg.DataDir, "keizer.db"))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	cfg.Listen = address
	if o.ReplicaOf != nil {
		cfg.Listen, cfg.Database, cfg.DataDir = o.ReplicaOf.Cfg.Listen, o.ReplicaOf.Cfg.Database, o.ReplicaOf.Cfg.DataDir
		cfg.MasterKey = o.ReplicaOf.Cfg.MasterKey
	}
	if o.Configure != nil {
		o.Configure(cfg)
	}
	if o.DatabaseURL == "" && o.ReplicaOf == nil {
		furnish(t, cfg)
	}
	handler := slog.DiscardHandler
	if o.Log != nil {
		handler = slog.NewJSONHandler(o.Log, &slog.HandlerOptions{Level: slog.LevelDebug})
	}
	house, err := server.Boot(t.Context(), cfg, slog.New(handler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := house.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := house.Operators.EnsureDevelopment(t.Context(), cfg.Base()); err != nil {
		t.Fatal(err)
	}
	s, err := server.New(house)
	if err != nil {
		t.Fatal(err)
	}
	running := httptest.NewUnstartedServer(s.Handler())
	_ = running.Listener.Close() // ours has its place
	running.Listener = listener
	running.Start()
	t.Cleanup(running.Close)
	_, port, _ := net.SplitHostPort(address)
	return &House{House: house, Base: cfg.Base(), URL: "http://localhost:" + port, t: t, server: s}
}

// furnish puts a database where cfg wants it: one in which the organization of development is already, since most of what a first start takes is
// the making of keys, or an empty one where a test brings a master key or a clock of its own.
func furnish(t testing.TB, cfg *config.Config) {
	t.Helper()
	bubble := time.Now().Before(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)) // of synctest, whose clock a copy would be ahead of
	if cfg.MasterKey != "" || bubble {
		cfg.Database.URL = secret.Text(storagetest.MigratedSQLiteURL(t))
		return
	}
	first, err := firstStart()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(strings.TrimPrefix(cfg.Database.URL.Reveal(), "sqlite:"), first.database, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.MasterKey = first.masterKey
}

// furnished is what a first start leaves behind.
type furnished struct {
	database  []byte
	masterKey secret.Text
}

// firstStart starts Keizer on an empty database once in the life of this process.
var firstStart = sync.OnceValues(func() (made furnished, err error) {
	dir, err := os.MkdirTemp("", "keizer-first-")
	if err != nil {
		return made, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "keizer.db")
	made.masterKey = secret.Text(seal.NewKey())
	cfg := config.Defaults()
	cfg.DataDir, cfg.RootOrganization, cfg.Database.URL, cfg.MasterKey = dir, "default", secret.Text("sqlite:"+path), made.masterKey
	house, err := server.Boot(context.Background(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return made, err
	}
	if err := house.Close(); err != nil {
		return made, err
	}
	made.database, err = os.ReadFile(path)
	return made, err
})

// DeliverLogouts tells clients of the end of sessions, as a job of the server does.
func (h *House) DeliverLogouts() {
	h.t.Helper()
	if err := h.server.DeliverLogouts(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

// In returns a context for what is done in an organization.
func (h *House) In(slug string) context.Context {
	h.t.Helper()
	org, err := h.Tenant(h.t.Context(), slug)
	if err != nil {
		h.t.Fatal(err)
	}
	return tenant.With(h.t.Context(), org)
}

// Organization makes an organization and returns a context for it.
func (h *House) Organization(slug string) context.Context {
	h.t.Helper()
	if _, err := h.Operators.CreateOrganization(h.t.Context(), "The "+slug, slug); err != nil {
		h.t.Fatal(err)
	}
	return h.In(slug)
}

// Issuer is that of the organization in ctx.
func (h *House) Issuer(ctx context.Context) string {
	h.t.Helper()
	org, err := tenant.From(ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	return org.Issuer
}

// User makes a person whose password is Password.
func (h *House) User(ctx context.Context, username string) *storage.User {
	h.t.Helper()
	user, err := h.Operators.CreateUser(ctx, manage.NewUser{
		Username: username, Email: username + "@example.com", FullName: strings.ToUpper(username[:1]) + username[1:] + " Doe",
		Passwordless: true, Verified: true,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	hash, err := passwordHash()
	if err == nil {
		err = h.DB.SetPasswordHash(ctx, user.ID, hash)
	}
	if err == nil {
		user, err = h.DB.User(ctx, user.ID)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return user
}

// passwordMemory is what hashes of passwords take in tests, in KiB. No configuration lets it be so little, and a test that is about what
// hashing costs sets it otherwise.
const passwordMemory = 64

// passwordHash is that of Password, which hundreds of people in tests have: it is made once.
var passwordHash = sync.OnceValues(func() (string, error) {
	return password.New(password.Options{Memory: passwordMemory}).Hash(context.Background(), Password)
})

// Client makes a client. What the spec leaves out is that of an ordinary web application with refresh tokens.
func (h *House) Client(ctx context.Context, spec manage.ClientSpec) *Client {
	h.t.Helper()
	if spec.Name == "" {
		spec.Name = "Application"
	}
	if len(spec.GrantTypes) == 0 {
		spec.GrantTypes = []string{manage.GrantCode, manage.GrantRefresh}
	}
	if len(spec.RedirectURIs) == 0 && spec.GrantTypes[0] == manage.GrantCode {
		spec.RedirectURIs = []string{Callback}
	}
	if spec.Scope == "" && spec.GrantTypes[0] == manage.GrantCode {
		spec.Scope = "openid profile email offline_access"
	}
	row, made, err := h.Operators.CreateClient(ctx, spec)
	if err != nil {
		h.t.Fatal(err)
	}
	return &Client{ID: row.ClientID, Secret: made.Reveal(), Issuer: h.Issuer(ctx), Redirect: first(row.RedirectURIs), house: h}
}

// Known is a client that was made otherwise, as its developer holds it.
func (h *House) Known(ctx context.Context, clientID, clientSecret, redirect string) *Client {
	h.t.Helper()
	return &Client{ID: clientID, Secret: clientSecret, Issuer: h.Issuer(ctx), Redirect: redirect, house: h}
}

func first(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return all[0]
}

// Letters are those that were written to an address, in whichever organization; the newest is last.
func (h *House) Letters(address string) []mail.Message {
	h.t.Helper()
	if _, err := h.AnswerResetRequests(h.t.Context()); err != nil { // which a job does, elsewhere
		h.t.Fatal(err)
	}
	return storagetest.Letters(h.t, h.DB, address)
}

// At is an address of the base, as this replica serves it.
func (h *House) At(address string) string { return h.URL + strings.TrimPrefix(address, h.Base) }

// Get asks this replica, following no redirect.
func (h *House) Get(address string, header ...string) *Answer {
	h.t.Helper()
	return h.ask(http.MethodGet, address, nil, header)
}

// Post sends a form to this replica, following no redirect.
func (h *House) Post(address string, form url.Values, header ...string) *Answer {
	h.t.Helper()
	return h.ask(http.MethodPost, address, form, header)
}

// Answer is what came back, read to the end.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// JSON is the body as an object; nil when it is none.
func (a *Answer) JSON() map[string]any {
	var object map[string]any
	if json.Unmarshal([]byte(a.Body), &object) != nil {
		return nil
	}
	return object
}

// Text is a member of the body that is a string.
func (a *Answer) Text(name string) string {
	text, _ := a.JSON()[name].(string)
	return text
}

// Client of every test: it keeps connections and follows nothing.
var plainClient = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{MaxIdleConnsPerHost: 64},
}

func (h *House) ask(method, address string, form url.Values, header []string) *Answer {
	h.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	request, err := http.NewRequestWithContext(h.t.Context(), method, h.At(address), body)
	if err != nil {
		h.t.Fatal(err)
	}
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := plainClient.Do(request)
	if err != nil {
		h.t.Fatal(err)
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return &Answer{response.StatusCode, response.Header, string(read)}
}

// SQL opens the house's database past storage, to look at what really stands in it.
func (h *House) SQL() *sql.DB {
	h.t.Helper()
	return storagetest.SQL(h.t, h.Cfg.Database.URL.Reveal())
}

// FamilySize counts the refresh tokens of the grant that a refresh token belongs to.
func (h *House) FamilySize(token string) (size int, err error) {
	err = h.SQL().QueryRowContext(h.t.Context(), `SELECT count(*) FROM oauth_refresh_tokens
		WHERE grant_id = (SELECT grant_id FROM oauth_refresh_tokens WHERE digest = $1)`, secret.Digest(token)).Scan(&size)
	return size, err
}
