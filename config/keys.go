package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/secret"
)

// A Key is one thing that can be configured.
type Key struct {
	Name    string // path in keizer.yaml, e.g. database.url
	Flag    string // without dashes; "" where there is none
	Default string // as it would be written; "" where it follows from the mode, or where there is none
	Derived string // what an empty Default becomes, in words
	Meaning string

	field func(*Config) any // pointer to the field
}

// Keys returns every key, in the order of the reference.
func Keys() []Key { return append([]Key(nil), keys...) }

// Env is the environment variable of the key.
func (k Key) Env() string { return envPrefix + strings.ToUpper(strings.ReplaceAll(k.Name, ".", "_")) }

// Secret reports whether the value must not be shown. A secret can also be given as the name of a file: environment
// variable and name with _FILE and _file added.
func (k Key) Secret() bool {
	switch k.field(&Config{}).(type) {
	case *secret.Text, *[]secret.Text:
		return true
	}
	return false
}

// Type is the kind of value, in a word for the reference.
func (k Key) Type() string {
	switch k.field(&Config{}).(type) {
	case *secret.Text:
		return "secret"
	case *[]secret.Text:
		return "list of secrets"
	case *[]string:
		return "list"
	case *time.Duration:
		return "duration"
	case *int:
		return "number"
	case *bool:
		return "true or false"
	}
	return "text"
}

var keys = []Key{
	{
		Name: "issuer", Flag: "issuer", Derived: "none: development",
		Meaning: "The public https address of this installation, such as https://id.example.com. Setting it is what makes production.",
		field:   func(c *Config) any { return &c.Issuer },
	},
	{
		Name: "listen", Flag: "listen", Derived: "127.0.0.1:8080 in development, :8080 in production",
		Meaning: "The address and port to serve on. Where it is not set, the environment variable PORT replaces the port. Loopback only in development.",
		field:   func(c *Config) any { return &c.Listen },
	},
	{
		Name: "tls.cert_file", Flag: "tls-cert-file", Derived: "none: TLS ends in front of Keizer",
		Meaning: "A file of the certificate (PEM) that Keizer serves https with by itself, and of those between it and its authority, in that order. " +
			"A new one is taken up within seconds.",
		field: func(c *Config) any { return &c.TLS.CertFile },
	},
	{
		Name: "tls.key_file", Flag: "tls-key-file", Derived: "none",
		Meaning: "The file of the private key (PEM) to that certificate.",
		field:   func(c *Config) any { return &c.TLS.KeyFile },
	},
	{
		Name: "root_organization", Flag: "root-organization", Derived: "default in development, none in production",
		Meaning: "The slug of the one organization whose issuer is the base address itself; the others are at /o/{slug}. " +
			"Commands act on it unless --org says otherwise.",
		field: func(c *Config) any { return &c.RootOrganization },
	},
	{
		Name: "data_dir", Flag: "data-dir", Default: "./data",
		Meaning: "Where development keeps its database and its master key. Created with permissions 0700.",
		field:   func(c *Config) any { return &c.DataDir },
	},
	{
		Name: "no_migrate", Flag: "no-migrate", Default: "false",
		Meaning: "Refuse to start on a database that lacks migrations instead of applying them; `keizer migrate up` does it then.",
		field:   func(c *Config) any { return &c.NoMigrate },
	},
	{ //nolint:gosec // the password in its meaning is a word
		Name: "database.url", Flag: "database-url", Derived: "sqlite:DATA_DIR/keizer.db in development, required in production",
		Meaning: "sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE. Where it is not set, the environment variable DATABASE_URL is taken.",
		field:   func(c *Config) any { return &c.Database.URL },
	},
	{
		Name:    "database.pooler",
		Meaning: "transaction, when pgbouncer or the like stands before PostgreSQL in transaction mode: it turns prepared statements off.",
		field:   func(c *Config) any { return &c.Database.Pooler },
	},
	{
		Name: "database.max_conns", Default: "20",
		Meaning: "Connections to PostgreSQL at the most, or readers of SQLite.",
		field:   func(c *Config) any { return &c.Database.MaxConns },
	},
	{
		Name: "master_key", Derived: "made in DATA_DIR/master.key in development, required in production",
		Meaning: "The key that everything secret in the database is sealed under: base64 or hex of 32 random bytes, as `keizer secret generate` makes it.",
		field:   func(c *Config) any { return &c.MasterKey },
	},
	{
		Name:    "master_key_old",
		Meaning: "Master keys of before, which still open what they sealed.",
		field:   func(c *Config) any { return &c.MasterKeyOld },
	},
	{
		Name:    "trusted_proxies",
		Meaning: "Addresses or CIDR ranges of the proxies whose X-Forwarded-For is believed. Nobody is, unless named here.",
		field:   func(c *Config) any { return &c.TrustedProxies },
	},
	{
		Name: "shutdown_grace", Default: "25s",
		Meaning: "How long requests in flight may take to finish after SIGTERM.",
		field:   func(c *Config) any { return &c.ShutdownGrace },
	},
	{
		Name: "shutdown_delay", Default: "5s",
		Meaning: "How long after SIGTERM new requests are still taken, so that a load balancer notices `/readyz` first. Development does not wait.",
		field:   func(c *Config) any { return &c.ShutdownDelay },
	},
	{
		Name: "session.idle_timeout", Default: "1h",
		Meaning: "A person who has done nothing for this long signs in again.",
		field:   func(c *Config) any { return &c.Session.IdleTimeout },
	},
	{
		Name: "session.absolute_timeout", Default: "12h",
		Meaning: "A person signs in again after this long, whatever they did.",
		field:   func(c *Config) any { return &c.Session.AbsoluteTimeout },
	},
	{
		Name: "tokens.code_lifetime", Default: "60s",
		Meaning: "How long an authorization code can be redeemed; at most 10 minutes (RFC 6749 §4.1.2).",
		field:   func(c *Config) any { return &c.Tokens.CodeLifetime },
	},
	{
		Name: "tokens.access_lifetime", Default: "10m",
		Meaning: "Lifetime of an opaque access token.",
		field:   func(c *Config) any { return &c.Tokens.AccessLifetime },
	},
	{
		Name: "tokens.access_jwt_lifetime", Default: "5m",
		Meaning: "Lifetime of an access token that is a JWT, which others can check without asking, and so do not learn that it was revoked.",
		field:   func(c *Config) any { return &c.Tokens.AccessJWTLifetime },
	},
	{
		Name: "tokens.id_lifetime", Default: "10m",
		Meaning: "Lifetime of an ID token.",
		field:   func(c *Config) any { return &c.Tokens.IDLifetime },
	},
	{
		Name: "tokens.refresh_idle", Default: "168h",
		Meaning: "A refresh token that was not used for this long dies.",
		field:   func(c *Config) any { return &c.Tokens.RefreshIdle },
	},
	{
		Name: "tokens.refresh_absolute", Default: "720h",
		Meaning: "A refresh token and its successors die after this long.",
		field:   func(c *Config) any { return &c.Tokens.RefreshAbsolute },
	},
	{
		Name: "tokens.refresh_replay_window", Default: "10s",
		Meaning: "How long a spent refresh token, sent again by the same client, is answered with the same successor (a lost answer, two tabs) " +
			"before it ends its family. 0 turns this off; at most 1m.",
		field: func(c *Config) any { return &c.Tokens.RefreshReplayWindow },
	},
	{
		Name: "tokens.longest", Default: "24h",
		Meaning: "The longest that an organization may let access tokens and ID tokens live; at most 24h. A signing key stays published for this " +
			"long after it has signed last.",
		field: func(c *Config) any { return &c.Tokens.Longest },
	},
	{
		Name: "tokens.longest_refresh", Default: "8784h",
		Meaning: "The longest that an organization may let refresh tokens and their successors live.",
		field:   func(c *Config) any { return &c.Tokens.LongestRefresh },
	},
	{
		Name: "mail.host", Derived: "none: mail waits in the database; in development it is shown at /dev/mailbox",
		Meaning: "The name of the SMTP server that mail is handed to.",
		field:   func(c *Config) any { return &c.Mail.Host },
	},
	{
		Name: "mail.port", Default: "0", Derived: "587, or 465 where mail.tls is tls",
		Meaning: "The port of the SMTP server. 0 is the usual one.",
		field:   func(c *Config) any { return &c.Mail.Port },
	},
	{
		Name: "mail.tls", Default: "starttls",
		Meaning: "starttls (the server must offer it), tls (from the first byte), or none, for a server on this machine or in development.",
		field:   func(c *Config) any { return &c.Mail.TLS },
	},
	{
		Name:    "mail.username",
		Meaning: "Who Keizer is to the SMTP server, where that asks.",
		field:   func(c *Config) any { return &c.Mail.Username },
	},
	{
		Name:    "mail.password",
		Meaning: "The password that goes with mail.username.",
		field:   func(c *Config) any { return &c.Mail.Password },
	},
	{
		Name: "mail.from", Derived: "none: required where mail.host is set",
		Meaning: "The address that all mail comes from, such as no-reply@example.com. The name beside it is the organization's.",
		field:   func(c *Config) any { return &c.Mail.From },
	},
	{
		Name: "mail.from_domains", Derived: "none: all mail comes from mail.from",
		Meaning: "The mail domains that organizations may choose an address of their own in for their mail to come from. The SMTP server must let it pass.",
		field:   func(c *Config) any { return &c.Mail.FromDomains },
	},
	{
		Name: "mail.helo", Derived: "the host of the issuer",
		Meaning: "What Keizer calls itself to the SMTP server (EHLO).",
		field:   func(c *Config) any { return &c.Mail.HELO },
	},
	{
		Name: "mail.ca_file", Derived: "the authorities that the machine trusts",
		Meaning: "A file of certificates (PEM) of the authorities that may vouch for the SMTP server.",
		field:   func(c *Config) any { return &c.Mail.CAFile },
	},
	{
		Name: "mail.timeout", Default: "30s",
		Meaning: "How long connecting to the SMTP server may take, and then each message; at most 2m.",
		field:   func(c *Config) any { return &c.Mail.Timeout },
	},
	{
		Name: "mail.templates_dir", Derived: "none: Keizer's own templates",
		Meaning: "A folder of templates of mail that replace Keizer's own: layout.html, and KIND.html and KIND.txt. They are tried at the start.",
		field:   func(c *Config) any { return &c.Mail.TemplatesDir },
	},
	{
		Name: "outbound.networks",
		Meaning: "Networks beyond the public internet, as 10.1.0.0/16, whose servers Keizer may ask: providers that people sign in at, and " +
			"applications that publish keys there. None, unless named here.",
		field: func(c *Config) any { return &c.Outbound.Networks },
	},
	{
		Name: "outbound.ca_file", Derived: "the authorities that the machine trusts",
		Meaning: "A file of certificates (PEM) of further authorities that may vouch for those servers.",
		field:   func(c *Config) any { return &c.Outbound.CAFile },
	},
	{
		Name: "test_mode", Default: "false",
		Meaning: "For trying Keizer with a suite of tests, never for people: servers on this machine and in private networks may be asked, and " +
			"clients registered there. Keizer says so at the start, and every hour.",
		field: func(c *Config) any { return &c.TestMode },
	},
	{
		Name: "log.level", Flag: "log-level", Default: "info",
		Meaning: "debug, info, warn or error.",
		field:   func(c *Config) any { return &c.Log.Level },
	},
	{
		Name: "log.format", Flag: "log-format", Derived: "text in development, json in production",
		Meaning: "text or json.",
		field:   func(c *Config) any { return &c.Log.Format },
	},
	{
		Name: "password.memory", Default: strconv.Itoa(password.DefaultMemory),
		Meaning: "KiB that the hash of a password takes (argon2id, two passes). More is harder to guess; a hash that was made otherwise is made anew when " +
			"its person signs in.",
		field: func(c *Config) any { return &c.Password.Memory },
	},
	{
		Name: "password.slots", Default: "0", Derived: "the cores, at most 4",
		Meaning: "Passwords that are hashed at once; each takes password.memory. 0 chooses by the machine.",
		field:   func(c *Config) any { return &c.Password.Slots },
	},
	{
		Name: "password.queue", Default: "64",
		Meaning: "Sign-ins that may wait for a slot; further ones are told to come back.",
		field:   func(c *Config) any { return &c.Password.Queue },
	},
}

func keyNamed(name string) (Key, bool) {
	for _, key := range keys {
		if key.Name == name {
			return key, true
		}
	}
	return Key{}, false
}

// set reads text into the key's field. Its errors never repeat the value, which may be a secret.
func (k Key) set(c *Config, text string) error {
	switch field := k.field(c).(type) {
	case *string:
		*field = text
	case *secret.Text:
		*field = secret.Text(text)
	case *[]string:
		*field = split(text)
	case *[]secret.Text:
		*field = nil
		for _, item := range split(text) {
			*field = append(*field, secret.Text(item))
		}
	case *time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return errors.New("must be a duration such as 90s, 15m or 12h")
		}
		*field = d
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return errors.New("must be a whole number")
		}
		*field = n
	case *bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return errors.New("must be true or false")
		}
		*field = b
	default:
		panic(fmt.Sprintf("config: key %s has a field of type %T", k.Name, field))
	}
	return nil
}

// text is the value as it could be written again, with secrets as [redacted].
func (k Key) text(c *Config) string {
	switch field := k.field(c).(type) {
	case *string:
		return *field
	case *[]string:
		return strings.Join(*field, ", ")
	case *[]secret.Text:
		shown := make([]string, len(*field))
		for i, item := range *field {
			shown[i] = item.String()
		}
		return strings.Join(shown, ", ")
	case *time.Duration:
		return field.String()
	case *int:
		return strconv.Itoa(*field)
	case *bool:
		return strconv.FormatBool(*field)
	case fmt.Stringer: // *secret.Text
		return field.String()
	}
	return ""
}

// split reads a list as it stands in one variable or in a file: by commas or line by line.
func split(text string) (items []string) {
	for item := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == '\n' || r == '\r' }) {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}
