package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/keizer-auth/keizer/config"
	"github.com/keizer-auth/keizer/internal/identity"
	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/outbound"
	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/login/upstream"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/people"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage"
)

// House is what the server and every command stand on: the configuration, an open database with the right schema and the
// right master key, and the deeds of operators.
type House struct {
	Cfg       *config.Config
	Log       *slog.Logger
	DB        *storage.DB
	Keyring   *seal.Keyring
	Keys      *keys.Keys
	Hasher    *password.Hasher
	Composer  *mail.Composer
	Operators *manage.Operators
	People    *people.People
	// Outbound is what may be asked of other servers.
	Outbound outbound.Options
	// Applied is how many migrations Boot has applied.
	Applied int

	tenants *tenants
}

// Boot opens the house. In development it makes what is missing: the data directory, the master key, the database and the
// organization "default". Nothing is served before everything has been checked.
func Boot(ctx context.Context, cfg *config.Config, log *slog.Logger) (*House, error) {
	keyring, err := cfg.Keyring()
	if err != nil {
		return nil, err
	}
	db, err := storage.Open(ctx, storage.Options{
		URL: cfg.Database.URL.Reveal(), Keyring: keyring, Log: log, Pooler: cfg.Database.Pooler, MaxConns: cfg.Database.MaxConns,
	})
	if err != nil {
		return nil, err
	}
	house := &House{Cfg: cfg, Log: log, DB: db, Keyring: keyring}
	if err := house.furnish(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return house, nil
}

func (h *House) furnish(ctx context.Context) (err error) {
	if h.Applied, err = h.migrate(ctx); err != nil {
		return err
	}
	if err := h.DB.CheckMasterKey(ctx); err != nil {
		return fmt.Errorf("check the master key: %w", err)
	}
	if h.Outbound, err = outboundOf(h.Cfg); err != nil {
		return err
	}
	h.Keys = keys.New(h.DB, keys.Options{})
	h.Hasher = password.New(password.Options{Memory: h.Cfg.Password.Memory, Slots: h.Cfg.Password.Slots, Queue: h.Cfg.Password.Queue})
	if h.Composer, err = mail.NewComposer(h.Cfg.Mail.TemplatesDir); err != nil {
		return fmt.Errorf("check the templates of mail: %w", err)
	}
	addresses := manage.Addresses{Base: h.Cfg.Base(), Root: h.Cfg.RootOrganization}
	h.Operators = manage.New(h.DB, h.Hasher, h.Log).Mailing(h.Composer).Serving(addresses).Allowing(limitsOf(h.Cfg)).
		Proving(manage.Outside{Names: net.DefaultResolver, Fetch: outbound.New(h.Outbound), Keyring: h.Keyring})
	there := upstream.New(outbound.New(h.Outbound))
	h.Operators = h.Operators.Federating(h.Outbound, there)
	h.People = people.New(people.Deps{DB: h.DB, Hasher: h.Hasher, Keyring: h.Keyring, Composer: h.Composer, Upstream: there, Log: h.Log})
	h.tenants = newTenants(h.DB, addresses)
	if h.Cfg.TestMode {
		h.Operators = h.Operators.InTestMode()
	}
	if h.Cfg.Development() {
		h.Operators = h.Operators.InDevelopment()
		if err := h.Operators.EnsureDevelopment(ctx, ""); err != nil {
			return fmt.Errorf("make the organization of development: %w", err)
		}
	}
	return nil
}

// outboundOf is what the configuration lets be asked of other servers. In development, and in test mode, that includes programs on this
// machine.
func outboundOf(cfg *config.Config) (outbound.Options, error) {
	networks, err := cfg.OutboundNetworks()
	if err != nil {
		return outbound.Options{}, fmt.Errorf("outbound.networks: %w", err)
	}
	authorities, err := cfg.OutboundAuthorities()
	if err != nil {
		return outbound.Options{}, fmt.Errorf("outbound.ca_file: %w", err)
	}
	return outbound.Options{AllowLoopback: cfg.OutboundLoopback(), Networks: networks, RootCAs: authorities}, nil
}

// limitsOf is what the configuration lets organizations decide at the most.
func limitsOf(cfg *config.Config) settings.Limits {
	limits := settings.Limits{Token: cfg.Tokens.Longest, Refresh: cfg.Tokens.LongestRefresh}
	for _, domain := range cfg.Mail.FromDomains {
		if canonical, err := identity.Domain(domain); err == nil { // of others the configuration complains
			limits.MailDomains = append(limits.MailDomains, canonical)
		}
	}
	return limits
}

func (h *House) migrate(ctx context.Context) (int, error) {
	if !h.Cfg.NoMigrate {
		applied, err := h.DB.Migrate(ctx)
		if err != nil {
			return 0, fmt.Errorf("migrate the database: %w", err)
		}
		return applied, nil
	}
	pending, err := h.DB.PendingMigrations(ctx)
	if err != nil {
		return 0, fmt.Errorf("look at the database's migrations: %w", err)
	}
	if pending > 0 {
		return 0, fmt.Errorf("%d migrations are pending and --no-migrate is set: run `keizer migrate up`", pending)
	}
	return 0, nil
}

// Tenant returns the organization that a slug names, as requests see it, or storage.ErrNotFound.
func (h *House) Tenant(ctx context.Context, slug string) (*tenant.Org, error) {
	return h.tenants.find(ctx, slug)
}

// Managed returns the organization that a slug names, as operators see it: a suspended one too, and as it is this moment.
func (h *House) Managed(ctx context.Context, slug string) (*tenant.Org, error) {
	row, err := h.DB.OrganizationBySlug(ctx, slug)
	if err != nil {
		return nil, err
	}
	return h.tenants.addresses.Tenant(row, time.Now())
}

// introspect looks a token of the root organization up, for the playground.
func (h *House) introspect(ctx context.Context, token string) (map[string]any, error) {
	org, err := h.Tenant(ctx, h.Cfg.RootOrganization)
	if err != nil {
		return nil, err
	}
	return h.Operators.Introspect(tenant.With(ctx, org), token)
}

// Close closes the database.
func (h *House) Close() error { return h.DB.Close() }
