package config

import (
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/keizer-auth/keizer/internal/secret"
)

// Config is how this process is meant to run. Every field stands in the table of keys, which says what it means.
type Config struct {
	Issuer           string
	Listen           string
	RootOrganization string
	DataDir          string
	NoMigrate        bool

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
	}

	Mail struct {
		Host         string
		Port         int
		TLS          string
		Username     string
		Password     secret.Text
		From         string
		HELO         string
		CAFile       string
		Timeout      time.Duration
		TemplatesDir string
	}

	Log struct {
		Level  string
		Format string
	}

	Password struct {
		Slots int
		Queue int
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

// LongestToken is the longest that anything signed stays valid: a key that has signed is published for at least as long.
func (c *Config) LongestToken() time.Duration {
	return max(c.Tokens.IDLifetime, c.Tokens.AccessJWTLifetime)
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
