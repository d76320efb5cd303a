package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/secret"
)

// load reads a configuration in an empty directory.
func load(t *testing.T, s Sources) (*Config, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	return Load(s)
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	if !filepath.IsAbs(name) {
		name = filepath.Join(t.TempDir(), name)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// lines are the sentences of a joined error.
func lines(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

func production(extra ...string) Sources {
	return Sources{Environ: append([]string{
		"KEIZER_ISSUER=https://id.example.com", "KEIZER_DATABASE_URL=postgres://keizer:canary-pw@db/keizer", "KEIZER_MASTER_KEY=" + seal.NewKey(),
	}, extra...)}
}

func TestWithoutConfigurationItIsDevelopment(t *testing.T) {
	c, err := load(t, Sources{Environ: []string{"HOME=/root", "KEIZER_TEST_REQUIRE=postgres"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if !c.Development() || c.Listen != "127.0.0.1:8080" || c.Base() != "http://localhost:8080" || c.RootOrganization != "default" ||
		c.Database.URL.Reveal() != "sqlite:data/keizer.db" || c.Log.Format != "text" || c.File() != "" {
		t.Errorf("%+v", c)
	}
	if got := Defaults(); !reflect.DeepEqual(got, c) {
		t.Errorf("Defaults differs:\n%+v\n%+v", got, c)
	}
}

func TestAnIssuerMakesProduction(t *testing.T) {
	c, err := load(t, production())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if c.Development() || c.Listen != ":8080" || c.Base() != "https://id.example.com" || c.RootOrganization != "" || c.Log.Format != "json" {
		t.Errorf("%+v", c)
	}
}

func TestAFlagBeatsTheEnvironmentBeatsTheFileBeatsTheDefault(t *testing.T) {
	file := write(t, "k.yaml", "log: {level: warn, format: json}\npassword: {slots: 3}\nlisten: 127.0.0.1:1\n")
	c, err := load(t, Sources{
		File:    file,
		Environ: []string{"KEIZER_LOG_LEVEL=error", "KEIZER_LISTEN=127.0.0.1:2"},
		Args:    map[string]string{"listen": "127.0.0.1:3"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "127.0.0.1:3" || c.Log.Level != "error" || c.Log.Format != "json" || c.Password.Slots != 3 || c.Password.Queue != 64 {
		t.Errorf("%+v", c)
	}
	want := map[string]string{
		"listen": "flag --listen", "log.level": "environment KEIZER_LOG_LEVEL", "log.format": "file " + file, "password.slots": "file " + file, "password.queue": "default",
	}
	for _, v := range c.Values() {
		if w, ok := want[v.Name]; ok && v.Source != w {
			t.Errorf("%s comes from %q, want %q", v.Name, v.Source, w)
		}
	}
	if c.File() != file {
		t.Errorf("File = %q", c.File())
	}
}

func TestTheFileIsFoundByItsNameAndByVariable(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("keizer.yaml", []byte("log: {level: warn}"), 0o600); err != nil {
		t.Fatal(err)
	}
	named := write(t, "other.yaml", "log: {level: error}")
	for _, c := range []struct {
		sources Sources
		level   string
	}{
		{Sources{}, "warn"},
		{Sources{Environ: []string{"KEIZER_CONFIG=" + named}}, "error"},
		{Sources{Environ: []string{"KEIZER_CONFIG=nowhere.yaml"}, File: named}, "error"},
	} {
		got, err := Load(c.sources)
		if err != nil || got.Log.Level != c.level {
			t.Errorf("%+v: %q, %v", c.sources, got.Log.Level, err)
		}
	}
}

func TestEveryKindOfValueCanBeWrittenInTheFile(t *testing.T) {
	key, old1, old2 := seal.NewKey(), seal.NewKey(), seal.NewKey()
	c, err := load(t, Sources{File: write(t, "k.yaml", `
issuer: https://id.example.com
no_migrate: true
database:
  url: postgres://u:p@h/d
  max_conns: 7
  pooler: transaction
master_key: "`+key+`"
master_key_old: ["`+old1+`", "`+old2+`"]
trusted_proxies:
  - 10.0.0.0/8
  - ::1
session:
  idle_timeout: 30m
tokens:
  refresh_replay_window: 0
log:
`)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if !c.NoMigrate || c.Database.MaxConns != 7 || c.Database.Pooler != "transaction" || c.MasterKey.Reveal() != key ||
		!reflect.DeepEqual(c.MasterKeyOld, []secret.Text{secret.Text(old1), secret.Text(old2)}) ||
		!reflect.DeepEqual(c.TrustedProxies, []string{"10.0.0.0/8", "::1"}) || c.Session.IdleTimeout != 30*time.Minute || c.Tokens.RefreshReplayWindow != 0 {
		t.Errorf("%+v", c)
	}
	ring, err := c.Keyring()
	if err != nil {
		t.Fatal(err)
	}
	if only, err := seal.Parse(key); err != nil || only.KeyID() != ring.KeyID() {
		t.Errorf("the ring has another key: %v", err)
	}
}

func TestPlatformVariablesAreFallBacks(t *testing.T) {
	for _, c := range []struct {
		environ     []string
		listen, url string
	}{
		{[]string{"PORT=9000", "DATABASE_URL=postgres://h/d"}, "127.0.0.1:9000", "postgres://h/d"},
		{[]string{"PORT=9000", "KEIZER_LISTEN=127.0.0.1:7"}, "127.0.0.1:7", "sqlite:data/keizer.db"},
		{[]string{"DATABASE_URL=postgres://h/d", "KEIZER_DATABASE_URL=sqlite:x.db"}, "127.0.0.1:8080", "sqlite:x.db"},
		{[]string{"PORT=", "DATABASE_URL="}, "127.0.0.1:8080", "sqlite:data/keizer.db"},
		{[]string{"PORT=9000", "KEIZER_ISSUER=https://id.example.com", "DATABASE_URL=postgres://h/d"}, ":9000", "postgres://h/d"},
	} {
		got, err := load(t, Sources{Environ: c.environ})
		if err != nil || got.Listen != c.listen || got.Database.URL.Reveal() != c.url {
			t.Errorf("%v: %s, %s, %v", c.environ, got.Listen, got.Database.URL.Reveal(), err)
		}
	}
	if _, err := load(t, Sources{Environ: []string{"PORT=http"}}); err == nil || err.Error() != "PORT: must be a port number" {
		t.Errorf("got %v", err)
	}
}

func TestASecretMayStandInAFile(t *testing.T) {
	key := seal.NewKey()
	keyFile, urlFile := write(t, "key", key+"\n"), write(t, "url", "postgres://h/d\r\n")
	for name, s := range map[string]Sources{
		"environment": {Environ: []string{"KEIZER_ISSUER=https://id.example.com", "KEIZER_MASTER_KEY_FILE=" + keyFile, "KEIZER_DATABASE_URL_FILE=" + urlFile}},
		"keizer.yaml": {File: write(t, "k.yaml", "issuer: https://id.example.com\nmaster_key_file: "+keyFile+"\ndatabase:\n  url_file: "+urlFile)},
	} {
		c, err := load(t, s)
		if err != nil || c.Validate() != nil || c.MasterKey.Reveal() != key || c.Database.URL.Reveal() != "postgres://h/d" {
			t.Errorf("%s: %v, %v", name, err, c)
		}
	}
	c, err := load(t, Sources{Environ: []string{"KEIZER_MASTER_KEY_FILE=" + keyFile, "KEIZER_DATABASE_URL_FILE=" + urlFile}})
	if want := []string{keyFile, urlFile}; err != nil || !reflect.DeepEqual(slices.Sorted(slices.Values(want)), c.SecretFiles()) {
		t.Errorf("SecretFiles = %v, %v", c.SecretFiles(), err)
	}
	c, err = load(t, Sources{Environ: []string{"KEIZER_MASTER_KEY_OLD_FILE=" + write(t, "old", "one\ntwo\n")}})
	if err != nil || len(c.MasterKeyOld) != 2 || c.MasterKeyOld[1].Reveal() != "two" {
		t.Errorf("%v, %v", err, c)
	}
}

func TestEachComplaintIsOneExactSentence(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing")
	empty := write(t, "empty", " \n")
	for _, c := range []struct {
		name string
		in   Sources
		want string
	}{
		{"unknown variable", Sources{Environ: []string{"KEIZER_ISSUR=x"}}, "KEIZER_ISSUR: unknown environment variable; did you mean KEIZER_ISSUER?"},
		{"unknown far variable", Sources{Environ: []string{"KEIZER_WHATEVER_ELSE=x"}}, "KEIZER_WHATEVER_ELSE: unknown environment variable"},
		{"variable in file's spelling", Sources{Environ: []string{"KEIZER_DATABASE.URL=x"}}, "KEIZER_DATABASE.URL: unknown environment variable; did you mean KEIZER_DATABASE_URL?"},
		{"file for no secret", Sources{Environ: []string{"KEIZER_LISTEN_FILE=x"}}, "KEIZER_LISTEN_FILE: unknown environment variable"},
		{"a port of our own", Sources{Environ: []string{"KEIZER_PORT=80"}}, "KEIZER_PORT: unknown environment variable"},
		{"empty issuer", Sources{Environ: []string{"KEIZER_ISSUER="}}, "KEIZER_ISSUER: is set but empty; unset it for development"},
		{"both", Sources{Environ: []string{"KEIZER_MASTER_KEY=x", "KEIZER_MASTER_KEY_FILE=y"}}, "KEIZER_MASTER_KEY and KEIZER_MASTER_KEY_FILE are both set; keep one"},
		{"missing secret file", Sources{Environ: []string{"KEIZER_MASTER_KEY_FILE=" + missing}}, "master_key (environment KEIZER_MASTER_KEY_FILE): file " + missing + " does not exist"},
		{"empty secret file", Sources{Environ: []string{"KEIZER_MASTER_KEY_FILE=" + empty}}, "master_key (environment KEIZER_MASTER_KEY_FILE): file " + empty + " is empty"},
		{"secret file is a directory", Sources{Environ: []string{"KEIZER_MASTER_KEY_FILE=" + dir}}, "master_key (environment KEIZER_MASTER_KEY_FILE): file " + dir + " cannot be read: is a directory"},
		{"missing file", Sources{File: missing}, "configuration: file " + missing + " does not exist"},
		{"duration", Sources{Environ: []string{"KEIZER_SESSION_IDLE_TIMEOUT=3600"}}, "session.idle_timeout (environment KEIZER_SESSION_IDLE_TIMEOUT): must be a duration such as 90s, 15m or 12h"},
		{"number", Sources{Environ: []string{"KEIZER_PASSWORD_SLOTS=two"}}, "password.slots (environment KEIZER_PASSWORD_SLOTS): must be a whole number"},
		{"switch", Sources{Environ: []string{"KEIZER_NO_MIGRATE=maybe"}}, "no_migrate (environment KEIZER_NO_MIGRATE): must be true or false"},
		{"test mode", Sources{Environ: []string{"KEIZER_TEST_MODE=perhaps"}}, "test_mode (environment KEIZER_TEST_MODE): must be true or false"},
		{"empty flag", Sources{Args: map[string]string{"issuer": ""}}, "--issuer: must not be empty"},
		{"unknown flag", Sources{Args: map[string]string{"isuer": "x"}}, "--isuer: unknown flag"},
	} {
		if _, err := load(t, c.in); err == nil || err.Error() != c.want {
			t.Errorf("%s:\n got %v\nwant %s", c.name, err, c.want)
		}
	}
	for _, c := range []struct{ name, yaml, want string }{
		{"unknown key", "isuer: x", "isuer: unknown key; did you mean issuer?"},
		{"unknown nested key", "database: {ulr: x}", "database.ulr: unknown key; did you mean database.url?"},
		{"key of the environment", "database_url: x", "database_url: unknown key; did you mean database.url?"},
		{"upper case", "Issuer: x", "Issuer: unknown key; did you mean issuer?"},
		{"too deep", "issuer: {url: x}", "issuer.url: unknown key"},
		{"heading with a value", "log: debug", "log: is a heading, not a key; under it are log.level, log.format"},
		{"number for text", "listen: 8080", "listen: must be text; put it in quotes"},
		{"number for a secret", "master_key: 12345678901234567890", "master_key: must be text; put it in quotes"},
		{"number for a duration", "session: {idle_timeout: 60}", "session.idle_timeout: must be a duration such as 90s, 15m or 12h"},
		{"list for a value", "issuer: [a, b]", "issuer: must be one value, not a list"},
		{"numbers in a list", "trusted_proxies: [10, 11]", "trusted_proxies: must be text; put it in quotes"},
		{"map in a list", "trusted_proxies: [{a: b}]", "trusted_proxies: must be text; put it in quotes"},
		{"empty issuer", `issuer: ""`, "issuer: is empty; leave it out for development"},
		{"both", "master_key: a\nmaster_key_file: b", "master_key_file: is given beside master_key; keep one"},
		{"file for no secret", "listen_file: x", "listen_file: unknown key"},
		{"not YAML", "a: [", "is not YAML of keys and values (line 1)"},
		{"a list", "- a", "is not YAML of keys and values (line 1)"},
		{"twice", "issuer: a\nissuer: b", "is not YAML of keys and values (line 2)"},
	} {
		file := write(t, "k.yaml", c.yaml)
		if _, err := load(t, Sources{File: file}); err == nil || err.Error() != file+": "+c.want {
			t.Errorf("%s:\n got %v\nwant %s: %s", c.name, err, file, c.want)
		}
	}
}

func TestWhatKubernetesAddsIsNoMistake(t *testing.T) {
	_, err := load(t, Sources{Environ: []string{
		"KEIZER_SERVICE_HOST=10.0.0.1", "KEIZER_SERVICE_PORT=80", "KEIZER_SERVICE_PORT_HTTP=80", "KEIZER_PORT=tcp://10.0.0.1:80",
		"KEIZER_PORT_80_TCP=tcp://10.0.0.1:80", "KEIZER_PORT_80_TCP_PROTO=tcp", "KEIZER_PORT_80_TCP_PORT=80", "KEIZER_PORT_80_TCP_ADDR=10.0.0.1",
	}})
	if err != nil {
		t.Error(err)
	}
}

func TestEverythingThatIsWrongIsToldAtOnce(t *testing.T) {
	c, err := load(t, Sources{
		File:    write(t, "k.yaml", "isuer: x\nsession: {idle_timeout: 2h, absolute_timeout: 1h}\n"),
		Environ: []string{"KEIZER_ISSUER=http://id.example.com/", "KEIZER_LOG_LEVL=x", "KEIZER_PASSWORD_QUEUE=many", "KEIZER_MASTER_KEY=changeme"},
	})
	if got := lines(err); len(got) != 3 {
		t.Errorf("Load: %q", got)
	}
	got := strings.Join(lines(c.Validate()), "\n")
	for _, want := range []string{
		"issuer (environment KEIZER_ISSUER): must begin with https:// in production; leave it out for development on http://localhost",
		"issuer (environment KEIZER_ISSUER): must not end in a slash",
		"database.url: is required in production; set KEIZER_DATABASE_URL to postgres://USER:PASSWORD@HOST/DATABASE or sqlite:PATH",
		"master_key (environment KEIZER_MASTER_KEY): the master key is not the base64 or hex of 32 bytes; make a good one with `keizer secret generate`",
		"session.idle_timeout (file ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("missing: %s\nin:\n%s", want, got)
		}
	}
}

func TestAnUnsafeOrImpossibleSettingIsRefused(t *testing.T) {
	for _, c := range []struct{ set, want string }{
		{"KEIZER_ISSUER=http://id.example.com", "must begin with https://"},
		{"KEIZER_ISSUER=http://localhost:8080", "must begin with https://"},
		{"KEIZER_ISSUER=id.example.com", "must begin with https://"},
		{"KEIZER_ISSUER=https://", "must name a host"},
		{"KEIZER_ISSUER=https:id.example.com", "must name a host"},
		{"KEIZER_ISSUER=https://id.example.com/", "must not end in a slash"},
		{"KEIZER_ISSUER=https://id.example.com/auth", "must not have a path"},
		{"KEIZER_ISSUER=https://id.example.com?a=b", "must not have a query"},
		{"KEIZER_ISSUER=https://id.example.com?", "must not have a query"},
		{"KEIZER_ISSUER=https://id.example.com#", "must not have a fragment"},
		{"KEIZER_ISSUER=https://id.example.com#x", "must not have a fragment"},
		{"KEIZER_ISSUER=https://u:p@id.example.com", "must not carry a user name"},
		{"KEIZER_ISSUER=https://ID.example.com", "lower case"},
		{"KEIZER_ISSUER=https://id.example.com:443", "without the port 443"},
		{"KEIZER_ISSUER=https://id.example.com:", "without the port 443"},
		{"KEIZER_ISSUER=https://[::1", "is not a URL"},
		{"KEIZER_LISTEN=8080", "must be HOST:PORT"},
		{"KEIZER_LISTEN=:http", "must be a number"},
		{"KEIZER_LISTEN=:70000", "must be a number"},
		{"KEIZER_LISTEN=:", "must be a number"},
		{"KEIZER_DATABASE_URL=mysql://h/d", "must begin with sqlite: or postgres://"},
		{"KEIZER_DATABASE_URL=host=h user=u", "must begin with sqlite: or postgres://"},
		{"KEIZER_DATABASE_URL=sqlite:", "must be followed by a path"},
		{"KEIZER_DATABASE_URL=sqlite::memory:", "must be a file"},
		{"KEIZER_DATABASE_URL=postgres://u:canary-pw%@h/d", "is not a URL"},
		{"KEIZER_DATABASE_POOLER=pgbouncer", "must be transaction, or left out"},
		{"KEIZER_DATABASE_MAX_CONNS=0", "must be from 1"},
		{"KEIZER_MASTER_KEY=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "is a pattern"},
		{"KEIZER_MASTER_KEY=canary-pw", "is not the base64 or hex"},
		{"KEIZER_MASTER_KEY_OLD=canary-pw", "number 1:"},
		{"KEIZER_TRUSTED_PROXIES=10.0.0.1,proxy.example.com", `"proxy.example.com" is neither`},
		{"KEIZER_TRUSTED_PROXIES=0.0.0.0/0", "trusts everybody"},
		{"KEIZER_TRUSTED_PROXIES=::/0", "trusts everybody"},
		{"KEIZER_ROOT_ORGANIZATION=Not A Slug", "must be the slug"},
		{"KEIZER_SHUTDOWN_DELAY=-1s", "must be from 0s"},
		{"KEIZER_SHUTDOWN_GRACE=-1s", "must be from 1s"},
		{"KEIZER_SESSION_IDLE_TIMEOUT=0s", "must be from 1s"},
		{"KEIZER_SESSION_IDLE_TIMEOUT=13h", "must not exceed session.absolute_timeout"},
		{"KEIZER_TOKENS_CODE_LIFETIME=11m", "must be from 1s to 10m"},
		{"KEIZER_TOKENS_ACCESS_LIFETIME=25h", "must be from 1s to 24h"},
		{"KEIZER_TOKENS_ACCESS_JWT_LIFETIME=-5m", "must be from 1s"},
		{"KEIZER_TOKENS_ID_LIFETIME=1ms", "must be from 1s"},
		{"KEIZER_TOKENS_REFRESH_IDLE=721h", "must not exceed tokens.refresh_absolute"},
		{"KEIZER_TOKENS_REFRESH_REPLAY_WINDOW=2m", "must be from 0s"},
		{"KEIZER_LOG_LEVEL=trace", "must be debug, info, warn or error"},
		{"KEIZER_LOG_FORMAT=xml", "must be text or json"},
		{"KEIZER_MAIL_HOST=smtp.example.com", "mail.from: is required where mail.host is set"},
		{"KEIZER_MAIL_HOST=smtp.example.com:587", "mail.host (environment KEIZER_MAIL_HOST): must be the name of a host; its port is mail.port"},
		{"KEIZER_MAIL_FROM=no-reply@example.com", "needs mail.host"},
		{"KEIZER_MAIL_FROM=Acme <no-reply@example.com>", "must be an e-mail address and nothing else"},
		{"KEIZER_MAIL_USERNAME=keizer", "goes with mail.password"},
		{"KEIZER_MAIL_PASSWORD=canary-pw", "goes with mail.password"},
		{"KEIZER_MAIL_TLS=ssl", "must be starttls, tls or none"},
		{"KEIZER_MAIL_PORT=70000", "must be from 0 to 65535"},
		{"KEIZER_MAIL_TIMEOUT=1h", "must be from 1s to 2m0s"},
		{"KEIZER_MAIL_HELO=not a host", "must be the name of a host"},
		{"KEIZER_PASSWORD_MEMORY=64", "must be from 19456 to 65536"},
		{"KEIZER_PASSWORD_MEMORY=1000000", "must be from 19456 to 65536"},
		{"KEIZER_OUTBOUND_NETWORKS=10.1.0.0/16,intranet", `"intranet" is not a network`},
		{"KEIZER_OUTBOUND_NETWORKS=10.1.2.3/16", `"10.1.2.3/16" is not a network`},
		{"KEIZER_OUTBOUND_NETWORKS=::ffff:10.0.0.0/104", "is not a network"},
		{"KEIZER_OUTBOUND_NETWORKS=0.0.0.0/0", "is every network"},
		{"KEIZER_OUTBOUND_CA_FILE=no-such-file", "file no-such-file does not exist"},
		{"KEIZER_TLS_CERT_FILE=tls.crt", "tls.key_file: goes with tls.cert_file: set both or neither"},
		{"KEIZER_TLS_KEY_FILE=tls.key", "tls.cert_file: goes with tls.key_file: set both or neither"},
		{"KEIZER_PASSWORD_SLOTS=-1", "must be from 0"},
		{"KEIZER_PASSWORD_QUEUE=0", "must be from 1"},
	} {
		cfg, err := load(t, production(c.set))
		if err != nil {
			t.Errorf("%s: %v", c.set, err)
			continue
		}
		err = cfg.Validate()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\n got %v\nwant %s", c.set, err, c.want)
		} else if strings.Contains(err.Error(), "canary-pw") {
			t.Errorf("%s: the secret escaped: %v", c.set, err)
		}
	}
}

func TestMailTravelsInTheClearOnThisMachineOnly(t *testing.T) {
	mail := []string{"KEIZER_MAIL_FROM=no-reply@example.com", "KEIZER_MAIL_TLS=none"}
	for host, ok := range map[string]bool{"smtp.example.com": false, "192.0.2.1": false, "localhost": true, "127.0.0.1": true, "::1": true} {
		c, err := load(t, production(append(mail, "KEIZER_MAIL_HOST="+host)...))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Validate(); (err == nil) != ok {
			t.Errorf("%s in production: %v", host, err)
		}
		if c, err = load(t, Sources{Environ: append(mail, "KEIZER_MAIL_HOST="+host)}); err != nil || c.Validate() != nil {
			t.Errorf("%s in development: %v, %v", host, err, c.Validate())
		}
	}
	for content, want := range map[string]string{"nothing": "holds no certificate in PEM", "": "does not exist"} {
		name := filepath.Join(t.TempDir(), "ca.pem")
		if content != "" {
			name = write(t, name, content)
		}
		c, err := load(t, production("KEIZER_MAIL_HOST=smtp.example.com", mail[0], "KEIZER_MAIL_CA_FILE="+name))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestTestModeIsNeverDerivedAndOpensWhatSuitesRunIn(t *testing.T) {
	for want, s := range map[bool]Sources{false: production("KEIZER_TEST_REQUIRE=node"), true: production("KEIZER_TEST_MODE=true", "KEIZER_OUTBOUND_NETWORKS=100.64.0.0/10")} {
		c, err := load(t, s)
		if err != nil || c.Validate() != nil {
			t.Fatal(err, c.Validate())
		}
		networks, err := c.OutboundNetworks()
		if err != nil || c.TestMode != want || c.OutboundLoopback() != want || (len(networks) == 5) != want || !want && len(networks) != 0 {
			t.Errorf("test mode %t: loopback %t, networks %v, %v", c.TestMode, c.OutboundLoopback(), networks, err)
		}
	}
	if c := Defaults(); c.TestMode || !c.OutboundLoopback() {
		t.Errorf("in development: test mode %t, loopback %t", c.TestMode, c.OutboundLoopback())
	}
}

func TestDevelopmentServesThisMachineOnly(t *testing.T) {
	for listen, ok := range map[string]bool{
		"127.0.0.1:80": true, "[::1]:80": true, "localhost:80": true, "127.0.0.1:0": true, ":80": false, "0.0.0.0:80": false, "192.0.2.1:80": false, "[::]:80": false, "example.com:80": false,
	} {
		c, err := load(t, Sources{Args: map[string]string{"listen": listen}})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Validate(); (err == nil) != ok {
			t.Errorf("%s: %v", listen, err)
		}
	}
	c, err := load(t, Sources{Environ: []string{"KEIZER_TLS_CERT_FILE=tls.crt", "KEIZER_TLS_KEY_FILE=tls.key"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "needs issuer") {
		t.Errorf("with a certificate: %v", err)
	}
}

func TestSecretsAreNeverShown(t *testing.T) {
	key := seal.NewKey()
	c, err := load(t, Sources{Environ: []string{
		"KEIZER_ISSUER=https://id.example.com", "KEIZER_DATABASE_URL=postgres://keizer:canary-pw@db/keizer", "KEIZER_MASTER_KEY=" + key, "KEIZER_MASTER_KEY_OLD=" + key,
	}})
	if err != nil {
		t.Fatal(err)
	}
	out := fmt.Sprintf("%v %+v %#v %v", c, c, *c, c.Values())
	if strings.Contains(out, key) || strings.Contains(out, "canary-pw") {
		t.Errorf("a secret escaped: %s", out)
	}
	for _, v := range c.Values() {
		if v.Name == "master_key" && (v.Value != "[redacted]" || v.Source != "environment KEIZER_MASTER_KEY") {
			t.Errorf("%+v", v)
		}
	}
	for address, name := range map[string]string{
		"sqlite:/var/lib/keizer.db": "/var/lib/keizer.db", "postgres://u:canary-pw@db:5432/keizer?password=canary-pw": "db:5432/keizer",
		"postgresql://db/keizer": "db/keizer", "postgres://db": "db", "canary-pw": "", "postgres://u:canary%pw@db/keizer": "", "": "",
	} {
		if c.Database.URL = secret.Text(address); c.DatabaseName() != name {
			t.Errorf("%s is named %q", address, c.DatabaseName())
		}
	}
}

func TestEveryFieldIsAKeyAndEveryKeyAField(t *testing.T) {
	c := Defaults()
	fields := make(map[any]string)
	var walk func(path string, v reflect.Value)
	walk = func(path string, v reflect.Value) {
		for i := range v.NumField() {
			f, field := v.Type().Field(i), v.Field(i)
			if !f.IsExported() {
				continue
			}
			if field.Kind() == reflect.Struct {
				walk(path+f.Name+".", field)
				continue
			}
			fields[field.Addr().Interface()] = path + f.Name
		}
	}
	walk("", reflect.ValueOf(c).Elem())

	names, envs, flags := make(map[string]bool), make(map[string]bool), make(map[string]bool)
	for _, key := range Keys() {
		field := fields[key.field(c)]
		if squeeze := strings.NewReplacer("_", "", ".", ""); squeeze.Replace(key.Name) != strings.ToLower(squeeze.Replace(field)) {
			t.Errorf("key %s sets the field %q", key.Name, field)
		}
		delete(fields, key.field(c))
		if names[key.Name] || envs[key.Env()] || key.Flag != "" && flags[key.Flag] {
			t.Errorf("%s: the name, variable or flag is taken", key.Name)
		}
		names[key.Name], envs[key.Env()], flags[key.Flag] = true, true, true
		if !strings.HasSuffix(key.Meaning, ".") || strings.ContainsAny(key.Meaning, "\n") {
			t.Errorf("%s: the meaning is not a sentence", key.Name)
		}
		if !strings.Contains(c.Reference(), "| `"+key.Name+"` | `"+key.Env()+"`") {
			t.Errorf("%s is not in the reference", key.Name)
		}
	}
	for _, field := range fields {
		t.Errorf("the field %s has no key", field)
	}
}

func TestTheMasterKeyOfDevelopmentIsMadeOnce(t *testing.T) {
	t.Chdir(t.TempDir())
	ids := make([]string, 8)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			ring, err := Defaults().Keyring()
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = ring.KeyID()
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] || id == "" {
			t.Fatalf("several keys: %v", ids)
		}
	}
	for name, mode := range map[string]os.FileMode{"data": 0o700 | os.ModeDir, "data/master.key": 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if left, err := filepath.Glob("data/.master*"); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestASpoiltMasterKeyFileIsNotReplaced(t *testing.T) {
	t.Chdir(t.TempDir())
	c := Defaults()
	if err := os.Mkdir("data", 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(mustWd(t), "data", "master.key"), "")
	if _, err := c.Keyring(); err == nil {
		t.Error("an empty file passes")
	}
	if info, err := os.Stat("data/master.key"); err != nil || info.Size() != 0 {
		t.Errorf("the file was written to: %v, %v", info, err)
	}
}

func mustWd(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestProductionMakesNoMasterKey(t *testing.T) {
	c, err := load(t, Sources{Environ: []string{"KEIZER_ISSUER=https://id.example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Keyring(); err == nil {
		t.Error("a key was found")
	}
	if entries, err := os.ReadDir("."); err != nil || len(entries) != 0 {
		t.Errorf("something was made: %v, %v", entries, err)
	}
}

func FuzzConfig(f *testing.F) {
	for _, seed := range []string{
		"issuer: https://id.example.com\ndatabase: {url: sqlite:x}\n", "a: [", "1: 2", "? [a]\n: b", "database.url: x", "a: &a [*a]", "null", "~: ~", "log:\n  level: 7\n", "'': x", ".: x", "a..b: 1",
		"database: {'': x}", "trusted_proxies: [[a]]", "session: {idle_timeout: 1e9}", "issuer: !!binary aGk=", "issuer: 2020-01-01", "<<: {issuer: x}", "master_key_file: {a: b}", "log: []", "log: {}",
	} {
		f.Add(seed, "KEIZER_ISSUER", "https://id.example.com")
		f.Add(seed, "KEIZER_ISUER", "x")
	}
	f.Fuzz(func(t *testing.T, content, name, value string) {
		layer, err := parseFile("k.yaml", content)
		if err == nil {
			for key := range layer {
				if _, ok := keyNamed(key); !ok {
					t.Fatalf("unknown key %q passes", key)
				}
			}
		}
		if strings.ContainsAny(name, "=") || strings.HasSuffix(name, "_FILE") || name == "KEIZER_CONFIG" {
			return
		}
		c, err := Load(Sources{File: os.DevNull, Environ: []string{name + "=" + value}})
		if c == nil {
			t.Fatal(err)
		}
		known := false
		for _, key := range Keys() {
			known = known || key.Env() == name
		}
		if strings.HasPrefix(name, "KEIZER_") && !strings.HasPrefix(name, "KEIZER_TEST_") && !known && !ofKubernetes(name, value) && err == nil {
			t.Fatalf("unknown variable %q passes", name)
		}
		_ = c.Validate()
		_ = c.Base()
	})
}
