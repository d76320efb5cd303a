package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/netutil"

	"github.com/keizer-auth/keizer/admin"
	"github.com/keizer-auth/keizer/config"
	"github.com/keizer-auth/keizer/internal/certificate"
	"github.com/keizer-auth/keizer/internal/outbound"
	"github.com/keizer-auth/keizer/login"
	"github.com/keizer-auth/keizer/login/account"
	"github.com/keizer-auth/keizer/playground"
	"github.com/keizer-auth/keizer/provider"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/web"
)

// Timeouts and bounds of connections.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 60 * time.Second
	maxHeaderBytes    = 12 << 10 // to which net/http adds 4 KiB of its own: a request line and its headers have 16 KiB
	maxConnections    = 10_000
)

// Server is the whole server, ready to serve.
type Server struct {
	house      *House
	host       string // what the Host header must say
	https      bool
	health     *health
	pages      *web.Pages
	provider   *provider.Provider
	login      *login.Login
	account    *account.Account
	admin      *admin.API
	playground *playground.Playground // development only
	delivery   *delivery              // nil in production without a mail server: mail waits
	handler    http.Handler

	// certificate is what https is served with; nil where TLS ends in front of the process.
	certificate *certificate.Keeper

	// hosted are the routes that there are at the host of an organization.
	hosted map[string]bool
}

// New wires the rooms together over an open house.
func New(house *House) (*Server, error) {
	cfg := house.Cfg
	host, https, err := hostOf(cfg.Base())
	if err != nil {
		return nil, fmt.Errorf("read the base address: %w", err)
	}
	pages, err := web.New(web.Options{Log: house.Log, HTTPS: https})
	if err != nil {
		return nil, fmt.Errorf("check the pages: %w", err)
	}
	sessions := web.NewSessions(house.DB, house.Keyring, web.SessionOptions{
		Secure: https, IdleTimeout: cfg.Session.IdleTimeout, AbsoluteTimeout: cfg.Session.AbsoluteTimeout,
	})
	s := &Server{house: house, host: host, https: https, health: &health{db: house.DB}, pages: pages}
	outside := outbound.New(house.Outbound)
	s.provider = provider.New(provider.Deps{
		DB: house.DB, Keys: house.Keys, Keyring: house.Keyring, Pages: pages, Sessions: sessions, People: house.People, Log: house.Log,
		Management: house.Operators.Addresses().Management(),
		ClientKeys: keys.NewClientKeys(outside), Outside: outside, Operators: house.Operators,
		Lifetimes: provider.Lifetimes{
			Code: cfg.Tokens.CodeLifetime, Access: cfg.Tokens.AccessLifetime, AccessJWT: cfg.Tokens.AccessJWTLifetime,
			ID: cfg.Tokens.IDLifetime, RefreshIdle: cfg.Tokens.RefreshIdle, RefreshAbsolute: cfg.Tokens.RefreshAbsolute,
			ReplayWindow: cfg.Tokens.RefreshReplayWindow, Longest: cfg.Tokens.Longest, LongestRefresh: cfg.Tokens.LongestRefresh,
		},
	})
	s.login = login.New(login.Deps{
		DB: house.DB, Pages: pages, Sessions: sessions, People: house.People, Operators: house.Operators, Log: house.Log,
		Keyring: house.Keyring, Tenant: house.Tenant, Development: cfg.Development(),
	})
	s.account = account.New(account.Deps{DB: house.DB, People: house.People, Pages: pages, Sessions: sessions, Log: house.Log})
	s.admin = admin.New(admin.Deps{
		DB: house.DB, Operators: house.Operators, Keyring: house.Keyring, Log: house.Log,
		IdleTimeout: cfg.Session.IdleTimeout, LongestToken: cfg.LongestToken(),
	})
	if cfg.Development() {
		s.playground, err = playground.New(playground.Deps{Base: cfg.Base(), Pages: pages, Log: house.Log, Introspect: house.introspect})
		if err != nil {
			return nil, fmt.Errorf("check the playground: %w", err)
		}
	}
	sender, err := MailSender(cfg)
	if err != nil {
		return nil, err
	}
	if sender != nil || cfg.Development() {
		s.delivery = &delivery{db: house.DB, log: house.Log, sender: sender, keep: cfg.Development(), timeout: cfg.Mail.Timeout}
	}
	s.handler = s.routes()
	return s, nil
}

// Handler is the whole server as an http.Handler.
func (s *Server) Handler() http.Handler { return s.handler }

// Run serves until ctx ends, and then drains: readiness fails at once, the listener closes after the drain delay, and
// requests under way are finished. It returns nil when everything ended in order.
func Run(ctx context.Context, cfg *config.Config, log *slog.Logger, stdout io.Writer) error {
	var served *certificate.Keeper
	if cfg.ServesTLS() {
		var err error
		if served, err = certificate.Open(cfg.TLS.CertFile, cfg.TLS.KeyFile, log); err != nil {
			return fmt.Errorf("serve https: %w", err)
		}
	}
	listeners, err := listen(cfg)
	if err != nil {
		return err
	}
	house, err := Boot(ctx, cfg, log)
	if err != nil {
		return errors.Join(err, closeAll(listeners))
	}
	defer house.Close()

	if cfg.Development() {
		if err := house.Operators.EnsureDevelopment(ctx, cfg.Base()); err != nil {
			return errors.Join(fmt.Errorf("make the demo client: %w", err), closeAll(listeners))
		}
	}
	s, err := New(house)
	if err != nil {
		return errors.Join(err, closeAll(listeners))
	}
	s.certificate = served
	if err := s.greet(ctx, stdout); err != nil {
		return errors.Join(err, closeAll(listeners))
	}
	return s.serve(ctx, listeners)
}

// serve serves on all listeners until ctx ends or one of them fails.
func (s *Server) serve(ctx context.Context, listeners []net.Listener) error {
	var jobs sync.WaitGroup
	ctxJobs, endJobs := context.WithCancel(ctx)
	jobs.Go(func() { s.jobs(ctxJobs) })
	defer jobs.Wait() // the database is closed after this
	defer endJobs()

	httpServer := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.house.Log.Handler(), slog.LevelDebug),
	}
	serve := httpServer.Serve
	if s.certificate != nil {
		httpServer.TLSConfig = s.certificate.Config()
		serve = func(l net.Listener) error { return httpServer.ServeTLS(l, "", "") }
	}
	failed := make(chan error, len(listeners))
	for _, listener := range listeners {
		go func() { failed <- serve(netutil.LimitListener(listener, maxConnections)) }()
	}
	select {
	case err := <-failed:
		return errors.Join(fmt.Errorf("serve: %w", err), httpServer.Close())
	case <-ctx.Done():
	}

	delay := s.house.Cfg.ShutdownDelay
	if s.house.Cfg.Development() {
		delay = 0
	}
	s.house.Log.Info("draining", "delay", delay, "grace", s.house.Cfg.ShutdownGrace)
	s.health.draining.Store(true)
	<-time.After(delay)
	grace, cancel := context.WithTimeout(context.Background(), s.house.Cfg.ShutdownGrace)
	defer cancel()
	if err := httpServer.Shutdown(grace); err != nil {
		return errors.Join(fmt.Errorf("drain: %w", err), httpServer.Close())
	}
	s.house.Log.Info("ended")
	return nil
}

// listen binds the configured address first of all, so that a taken port is said before anything is made. In development
// the base address follows the listener, and localhost is both of its addresses.
func listen(cfg *config.Config) ([]net.Listener, error) {
	first, err := net.Listen("tcp", cfg.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen: %s is taken by another program: choose another address with --listen, or another port with PORT", cfg.Listen)
	}
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	listeners := []net.Listener{first}
	if !cfg.Development() {
		return listeners, nil
	}
	address, ok := first.Addr().(*net.TCPAddr)
	if !ok {
		return listeners, nil
	}
	port := strconv.Itoa(address.Port)
	host, _, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen: %w", err), first.Close())
	}
	cfg.Listen = net.JoinHostPort(host, port) // the base address follows it
	if address.IP.Equal(net.IPv4(127, 0, 0, 1)) {
		// A machine without IPv6 has one address for localhost, and that is enough.
		if second, err := net.Listen("tcp", net.JoinHostPort("::1", port)); err == nil {
			listeners = append(listeners, second)
		}
	}
	return listeners, nil
}

func closeAll(listeners []net.Listener) (err error) {
	for _, listener := range listeners {
		err = errors.Join(err, listener.Close())
	}
	return err
}
