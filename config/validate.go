package config

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keizer-auth/keizer/internal/identity"
	"github.com/keizer-auth/keizer/internal/namedfile"
	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/secret"
)

// Validate reports everything that is wrong with the configuration, joined, one sentence each. None of them repeats a
// secret.
func (c *Config) Validate() error {
	v := &validation{config: c}
	if c.Development() {
		v.development()
	} else {
		v.production()
	}
	v.listener()
	v.tls()
	v.database()
	v.masterKeys()
	v.proxies()
	_, err := c.OutboundNetworks()
	v.check("outbound.networks", err == nil, "%w", err)
	_, err = c.OutboundAuthorities()
	v.check("outbound.ca_file", err == nil, "%w", err)
	v.lifetimes()
	v.mail()

	v.check("root_organization", c.RootOrganization == "" || slug.MatchString(c.RootOrganization),
		"must be the slug of an organization: lower-case letters, digits and hyphens")
	v.check("data_dir", c.DataDir != "", "must not be empty")
	v.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	v.oneOf("log.format", c.Log.Format, "text", "json")
	v.check("password.memory", c.Password.Memory >= password.DefaultMemory && c.Password.Memory <= 64<<10,
		"must be from %d to 65536: less is too easy to guess, and more is too easy to be kept busy with", password.DefaultMemory)
	v.check("password.slots", c.Password.Slots >= 0 && c.Password.Slots <= 64, "must be from 0 to 64")
	v.check("password.queue", c.Password.Queue >= 1 && c.Password.Queue <= 10_000, "must be from 1 to 10000")
	return errors.Join(v.complaints...)
}

var slug = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

type validation struct {
	config     *Config
	complaints []error
}

// check complains about a key unless ok, and names the place that the value came from, where that is known.
func (v *validation) check(key string, ok bool, format string, args ...any) {
	if ok {
		return
	}
	if source := v.config.sources[key]; source != "" && source != "default" {
		key += " (" + source + ")"
	}
	v.complaints = append(v.complaints, fmt.Errorf("%s: %w", key, fmt.Errorf(format, args...)))
}

func (v *validation) oneOf(key, value string, allowed ...string) {
	v.check(key, slices.Contains(allowed, value), "must be %s or %s", strings.Join(allowed[:len(allowed)-1], ", "), allowed[len(allowed)-1])
}

// development keeps to the machine: its key lies beside its data, and its first operator is whoever opens the page.
func (v *validation) development() {
	host, _, err := net.SplitHostPort(v.config.Listen)
	addr, _ := netip.ParseAddr(host)
	v.check("listen", err != nil || host == "localhost" || addr.IsLoopback(),
		"must be a loopback address such as 127.0.0.1:8080 in development; set issuer to the public https address to serve others")
}

func (v *validation) production() {
	c := v.config
	u, err := url.Parse(c.Issuer)
	if err != nil {
		v.check("issuer", false, "is not a URL")
		u = &url.URL{}
	}
	v.check("issuer", err != nil || u.Scheme == "https",
		"must begin with https:// in production; leave it out for development on http://localhost")
	v.check("issuer", err != nil || u.Hostname() != "" && u.Opaque == "", "must name a host, as in https://id.example.com")
	v.check("issuer", u.User == nil, "must not carry a user name or password")
	v.check("issuer", u.RawQuery == "" && !u.ForceQuery, "must not have a query")
	v.check("issuer", !strings.Contains(c.Issuer, "#"), "must not have a fragment")
	v.check("issuer", !strings.HasSuffix(u.Path, "/"), "must not end in a slash")
	v.check("issuer", strings.Trim(u.Path, "/") == "", "must not have a path: Keizer has an origin of its own")
	v.check("issuer", u.Host == strings.ToLower(u.Host) && u.Port() != "443" && !strings.HasSuffix(u.Host, ":"),
		"must be written with its host in lower case and without the port 443, because clients compare it byte for byte")
	v.check("database.url", c.Database.URL != "",
		"is required in production; set KEIZER_DATABASE_URL to postgres://USER:PASSWORD@HOST/DATABASE or sqlite:PATH")
	v.check("master_key", c.MasterKey != "",
		"is required in production; make one with `keizer secret generate` and set KEIZER_MASTER_KEY, or KEIZER_MASTER_KEY_FILE to the file that holds it")
}

func (v *validation) listener() {
	_, port, err := net.SplitHostPort(v.config.Listen)
	v.check("listen", err == nil, "must be HOST:PORT or :PORT")
	if err != nil {
		return
	}
	_, err = strconv.ParseUint(port, 10, 16)
	v.check("listen", err == nil, "its port must be a number from 0 to 65535")
}

// tls checks that the files go together; the server and the doctor look into them, so that no other command depends on what stands there.
func (v *validation) tls() {
	c := v.config
	v.check("tls.cert_file", c.TLS.CertFile != "" || c.TLS.KeyFile == "", "goes with tls.key_file: set both or neither")
	v.check("tls.key_file", c.TLS.KeyFile != "" || c.TLS.CertFile == "", "goes with tls.cert_file: set both or neither")
	v.check("tls.cert_file", c.TLS.CertFile == "" || !c.Development(), "needs issuer: development serves http://localhost only")
}

func (v *validation) database() {
	text := v.config.Database.URL.Reveal()
	path, isSQLite := strings.CutPrefix(text, "sqlite:")
	switch {
	case text == "": // only in production, which complained
	case isSQLite:
		v.check("database.url", path != "", "sqlite: must be followed by a path")
		v.check("database.url", !strings.Contains(path, ":memory:"), "must be a file: a database in memory would not be shared with the commands")
	case strings.HasPrefix(text, "postgres://"), strings.HasPrefix(text, "postgresql://"):
		_, err := url.Parse(text)
		v.check("database.url", err == nil, "is not a URL; percent-encode the special characters of the password")
	default:
		v.check("database.url", false, "must begin with sqlite: or postgres://")
	}
	v.check("database.pooler", v.config.Database.Pooler == "" || v.config.Database.Pooler == "transaction",
		"must be transaction, or left out when no pooler hands out connections for single transactions")
	v.check("database.max_conns", v.config.Database.MaxConns >= 1 && v.config.Database.MaxConns <= 10_000, "must be from 1 to 10000")
}

func (v *validation) masterKeys() {
	if v.config.MasterKey != "" {
		_, err := seal.Parse(v.config.MasterKey.Reveal())
		v.check("master_key", err == nil, "%w; make a good one with `keizer secret generate`", err)
	}
	for i, old := range v.config.MasterKeyOld {
		_, err := seal.Parse(old.Reveal())
		v.check("master_key_old", err == nil, "number %d: %w", i+1, err)
	}
	v.check("master_key_old", !slices.Contains(v.config.MasterKeyOld, v.config.MasterKey) || v.config.MasterKey == "",
		"holds the current master key")
}

// proxies refuses ranges that trust everybody: X-Forwarded-For would be whatever a stranger says.
func (v *validation) proxies() {
	for _, proxy := range v.config.TrustedProxies {
		prefix, err := netip.ParsePrefix(proxy)
		if _, addrErr := netip.ParseAddr(proxy); err != nil && addrErr != nil {
			v.check("trusted_proxies", false, "%q is neither an IP address nor a CIDR range", proxy)
		} else if err == nil {
			v.check("trusted_proxies", prefix.Bits() > 0, "%q trusts everybody; name the proxies", proxy)
		}
	}
}

func (v *validation) lifetimes() {
	c := v.config
	for _, d := range []struct {
		key   string
		value time.Duration
		most  time.Duration
	}{
		{"shutdown_grace", c.ShutdownGrace, time.Hour},
		{"session.idle_timeout", c.Session.IdleTimeout, year},
		{"session.absolute_timeout", c.Session.AbsoluteTimeout, year},
		{"tokens.code_lifetime", c.Tokens.CodeLifetime, 10 * time.Minute}, // RFC 6749 §4.1.2
		{"tokens.access_lifetime", c.Tokens.AccessLifetime, 24 * time.Hour},
		{"tokens.access_jwt_lifetime", c.Tokens.AccessJWTLifetime, 24 * time.Hour},
		{"tokens.id_lifetime", c.Tokens.IDLifetime, 24 * time.Hour},
		{"tokens.longest", c.Tokens.Longest, 24 * time.Hour},
		{"tokens.refresh_idle", c.Tokens.RefreshIdle, 10 * year},
		{"tokens.refresh_absolute", c.Tokens.RefreshAbsolute, 10 * year},
		{"tokens.longest_refresh", c.Tokens.LongestRefresh, 10 * year},
	} {
		v.check(d.key, d.value >= time.Second && d.value <= d.most, "must be from 1s to %s", d.most)
	}
	v.check("shutdown_delay", c.ShutdownDelay >= 0 && c.ShutdownDelay <= time.Hour, "must be from 0s to 1h0m0s")
	v.check("tokens.refresh_replay_window", c.Tokens.RefreshReplayWindow >= 0 && c.Tokens.RefreshReplayWindow <= time.Minute, "must be from 0s to 1m0s")
	v.check("session.idle_timeout", c.Session.IdleTimeout <= c.Session.AbsoluteTimeout, "must not exceed session.absolute_timeout")
	v.check("tokens.refresh_idle", c.Tokens.RefreshIdle <= c.Tokens.RefreshAbsolute, "must not exceed tokens.refresh_absolute")
}

// mail checks how mail leaves. It may leave nowhere, and then waits.
func (v *validation) mail() {
	m := &v.config.Mail
	v.oneOf("mail.tls", m.TLS, "starttls", "tls", "none")
	v.check("mail.port", m.Port >= 0 && m.Port <= 65535, "must be from 0 to 65535")
	v.check("mail.timeout", m.Timeout >= time.Second && m.Timeout <= 2*time.Minute, "must be from 1s to 2m0s")
	if m.From != "" {
		_, err := identity.Email(m.From)
		v.check("mail.from", err == nil, "must be an e-mail address and nothing else, such as no-reply@example.com")
	}
	for _, domain := range m.FromDomains {
		_, err := identity.Domain(domain)
		v.check("mail.from_domains", err == nil, "%q is not a mail domain", domain)
	}
	v.check("mail.helo", m.HELO == "" || hostName(m.HELO), "must be the name of a host")
	v.check("mail.username", (m.Username == "") == (m.Password == ""), "goes with mail.password: set both or neither")
	if m.Host == "" {
		for _, given := range []struct{ key, value string }{
			{"mail.username", m.Username}, {"mail.password", m.Password.Reveal()}, {"mail.from", m.From}, {"mail.ca_file", m.CAFile},
		} {
			v.check(given.key, given.value == "", "needs mail.host: without it no mail is sent")
		}
		return
	}
	address, err := netip.ParseAddr(m.Host)
	v.check("mail.host", err == nil || hostName(m.Host), "must be the name of a host; its port is mail.port")
	v.check("mail.from", m.From != "", "is required where mail.host is set: the address that mail comes from")
	v.check("mail.tls", m.TLS != "none" || v.config.Development() || m.Host == "localhost" || address.IsLoopback(),
		"must be starttls or tls: none is for a server on this machine, because mail carries links that open accounts")
	if m.CAFile != "" {
		content, err := namedfile.Read(m.CAFile)
		if err != nil {
			v.check("mail.ca_file", false, "%w", err)
		} else {
			v.check("mail.ca_file", x509.NewCertPool().AppendCertsFromPEM(content), "file %s holds no certificate in PEM", m.CAFile)
		}
	}
}

var hostPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`)

func hostName(text string) bool { return len(text) <= 253 && hostPattern.MatchString(text) }

const year = 366 * 24 * time.Hour

// Keyring reads the master keys, in development from DATA_DIR/master.key, which it makes when there is none.
func (c *Config) Keyring() (*seal.Keyring, error) {
	current := c.MasterKey
	if current == "" {
		if !c.Development() {
			return nil, errors.New("master_key: is required in production")
		}
		key, err := c.developmentKey()
		if err != nil {
			return nil, err
		}
		current = key
	}
	ring, err := seal.Parse(current.Reveal(), reveal(c.MasterKeyOld)...)
	if name := c.MasterKeyFile(); err != nil && name != "" {
		return nil, fmt.Errorf("master_key: file %s: %w", name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("master_key: %w", err)
	}
	return ring, nil
}

func reveal(texts []secret.Text) []string {
	out := make([]string, len(texts))
	for i, text := range texts {
		out[i] = text.Reveal()
	}
	return out
}
