package config

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/keizer-auth/keizer/internal/namedfile"
	"github.com/keizer-auth/keizer/internal/secret"
)

// Config is how this process is meant to run. Every field stands in the table of keys, which says what it means.
type Config struct {
	Issuer           string
	Listen           string
	RootOrganization string
	DataDir          string
	NoMigrate        bool

	TLS struct {
		CertFile string
		KeyFile  string
	}

	Database struct {
		URL      secret.Text
		Pooler   string
		MaxConns int
	}

	MasterKey    secret.Text
	MasterKeyOld []secret.Text

	TrustedProxies []string
	ShutdownGrace  time.Duration
	ShutdownDelay  time.Duration

	Session struct {
		IdleTimeout     time.Duration
		AbsoluteTimeout time.Duration
	}

	Tokens struct {
		CodeLifetime        time.Duration
		AccessLifetime      time.Duration
		AccessJWTLifetime   time.Duration
		IDLifetime          time.Duration
		RefreshIdle         time.Duration
		RefreshAbsolute     time.Duration
		RefreshReplayWindow time.Duration
		Longest             time.Duration
		LongestRefresh      time.Duration
	}

	Mail struct {
		Host         string
		Port         int
		TLS          string
		Username     string
		Password     secret.Text
		From         string
		FromDomains  []string
		HELO         string
		CAFile       string
		Timeout      time.Duration
		TemplatesDir string
	}

	Outbound struct {
		Networks []string
		CAFile   string
	}

	// TestMode opens what a suite of tests needs, and nothing else. It is never derived.
	TestMode bool

	Log struct {
		Level  string
		Format string
	}

	Password struct {
		Memory int
		Slots  int
		Queue  int
	}

	sources map[string]string // where the value of a key came from, by the name of the key
	file    string            // the file that was read, "" when there was none

	secretFiles []string // what _FILE named
}

// Defaults returns the configuration of a process that nobody configured: development.
func Defaults() *Config {
	c := &Config{sources: make(map[string]string)}
	for _, key := range keys {
		if err := key.set(c, key.Default); err != nil {
			panic("config: default of " + key.Name + ": " + err.Error()) // a test sets every one of them
		}
		c.sources[key.Name] = "default"
	}
	c.settle()
	return c
}

// Development reports whether the process is in development: whether no issuer is configured. It is derived, so that there
// is no switch that could be forgotten.
func (c *Config) Development() bool { return c.Issuer == "" }

// ServesTLS reports whether the process serves https by itself, instead of having a proxy do it.
func (c *Config) ServesTLS() bool { return c.TLS.CertFile != "" || c.TLS.KeyFile != "" }

// Base is what every address that Keizer gives out begins with, without a trailing slash: the issuer, or in development
// http://localhost and the port of the listener. It is localhost and not 127.0.0.1 because passkeys refuse an IP address.
func (c *Config) Base() string {
	if !c.Development() {
		return c.Issuer
	}
	_, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return "http://localhost"
	}
	return "http://localhost:" + port
}

// DatabaseName says where the data is, without what opens it: the path of an SQLite file, or HOST/DATABASE of PostgreSQL. It is
// empty where the URL cannot be read.
func (c *Config) DatabaseName() string {
	address := c.Database.URL.Reveal()
	if path, ok := strings.CutPrefix(address, "sqlite:"); ok {
		return path
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return ""
	}
	return u.Host + u.Path // the query may hold a password as well
}

// privateNetworks are those in which suites of tests run: RFC 1918, and RFC 4193 for IPv6.
var privateNetworks = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("fc00::/7"),
}

// OutboundLoopback reports whether programs on this machine may be asked for something.
func (c *Config) OutboundLoopback() bool { return c.Development() || c.TestMode }

// OutboundNetworks are the networks beyond the public internet that may be asked for something.
func (c *Config) OutboundNetworks() ([]netip.Prefix, error) {
	networks := make([]netip.Prefix, len(c.Outbound.Networks), len(c.Outbound.Networks)+len(privateNetworks))
	for i, text := range c.Outbound.Networks {
		network, err := netip.ParsePrefix(text)
		if err != nil || network != network.Masked() || network.Addr().Is4In6() {
			return nil, fmt.Errorf("%q is not a network, as 10.1.0.0/16 is one", text)
		}
		if network.Bits() == 0 {
			return nil, fmt.Errorf("%q is every network; name those that are meant", text)
		}
		networks[i] = network
	}
	if c.TestMode {
		networks = append(networks, privateNetworks...)
	}
	return networks, nil
}

// OutboundAuthorities are whose certificates are believed of the servers that are asked, besides those that the machine trusts. Nil
// is no others.
func (c *Config) OutboundAuthorities() (*x509.CertPool, error) {
	if c.Outbound.CAFile == "" {
		return nil, nil
	}
	content, err := namedfile.Read(c.Outbound.CAFile)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read the authorities that the machine trusts: %w", err)
	}
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("file %s holds no certificate in PEM", c.Outbound.CAFile)
	}
	return pool, nil
}

// LongestToken is the longest that anything signed stays valid, whatever an organization decides: a key that has signed is published
// for at least as long.
func (c *Config) LongestToken() time.Duration {
	return max(c.Tokens.IDLifetime, c.Tokens.AccessJWTLifetime, c.Tokens.Longest)
}

// File is the configuration file that was read, "" when there was none.
func (c *Config) File() string { return c.file }

// settle fills in what follows from the mode, where nothing was given.
func (c *Config) settle() {
	port := c.sources["PORT"]
	if c.Listen == "" {
		c.sources["listen"] = "default"
		if port != "" {
			c.sources["listen"] = "environment PORT"
		} else {
			port = "8080"
		}
		c.Listen = ":" + port
		if c.Development() {
			c.Listen = "127.0.0.1:" + port
		}
	}
	if c.Log.Format == "" {
		c.Log.Format = "json"
		if c.Development() {
			c.Log.Format = "text"
		}
	}
	if c.Development() {
		if c.RootOrganization == "" {
			c.RootOrganization = "default"
		}
		if c.Database.URL == "" {
			c.Database.URL = secret.Text("sqlite:" + filepath.Join(c.DataDir, "keizer.db"))
		}
	}
	delete(c.sources, "PORT")
}
