package server_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

// apacheModules is where Debian has the modules of Apache's web server.
const apacheModules = "/usr/lib/apache2/modules"

// An application that knows nothing of OpenID Connect, behind a proxy that others wrote: Apache's web server with mod_auth_openidc. Its people
// sign in with PKCE, are turned away when their session ends, which it is told of behind their backs, and sign out by way of it.
func TestApacheSignsPeopleInAndHearsOfTheEndOfTheirSessions(t *testing.T) {
	servertest.Needs(t, "apache", "apache2")
	if _, err := os.Stat(filepath.Join(apacheModules, "mod_auth_openidc.so")); err != nil {
		servertest.Lacks(t, "apache", err.Error())
	}
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><h1 id="page-title">%s</h1><p id="who">%s</p>`, r.URL.Path, r.Header.Get("OIDC_CLAIM_email"))
	}))
	t.Cleanup(application.Close)

	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := free.Addr().String()
	free.Close()
	_, port, _ := net.SplitHostPort(listen)
	base := "http://localhost:" + port
	client := house.Client(org, manage.ClientSpec{
		SkipConsent: true, RedirectURIs: []string{base + "/app/cb"}, PostLogoutRedirectURIs: []string{base + "/bye"}, Scope: "openid profile email",
		Metadata: map[string]any{"backchannel_logout_uri": base + "/app/cb?logout=backchannel", "backchannel_logout_session_required": true},
	})
	startApache(t, listen, application.URL, base, client)

	visitor := servertest.VisitorOf(t)
	sees := func(title, who string) {
		t.Helper()
		if page := visitor.Go(base + "/app/"); page.Title != title || page.Text("who") != who {
			t.Fatalf("%d %q for %q at %s\n%s", page.Status, page.Title, page.Text("who"), page.URL, page.Body)
		}
	}
	comesIn := func() {
		t.Helper()
		page := titled(t, visitor.Go(base+"/app/"), "Sign in")
		if page = visitor.SignIn(page, "alice", servertest.Password); page.Title != "/app/" || page.Text("who") != "alice@example.com" {
			t.Fatalf("%d %q for %q at %s\n%s", page.Status, page.Title, page.Text("who"), page.URL, page.Body)
		}
		sees("/app/", "alice@example.com")
	}
	comesIn()

	// She signs out at Keizer, and the application is told.
	page := visitor.Press(titled(t, visitor.Go(house.Base+"/oauth2/logout"), "Sign out?"), "logout-confirm")
	titled(t, page, "Signed out")
	house.DeliverLogouts()
	sees("Sign in", "")

	// She signs out by way of the application, and comes back to it.
	comesIn()
	page = visitor.Go(base + "/app/cb?" + url.Values{"logout": {base + "/bye"}}.Encode())
	if page.Title != "/bye" {
		t.Fatalf("%d %q at %s\n%s", page.Status, page.Title, page.URL, page.Body)
	}
	sees("Sign in", "")
}

// startApache serves as a proxy before the application until the test ends.
func startApache(t *testing.T, listen, application, base string, client *servertest.Client) {
	t.Helper()
	dir := t.TempDir()
	var loads strings.Builder
	for _, module := range []string{"mpm_event", "authn_core", "authz_core", "authz_user", "proxy", "proxy_http", "auth_openidc"} {
		fmt.Fprintf(&loads, "LoadModule %[1]s_module %[2]s/mod_%[1]s.so\n", module, apacheModules)
	}
	if os.Geteuid() == 0 { // it serves nobody as root
		loads.WriteString("User www-data\nGroup www-data\n")
	}
	configuration := filepath.Join(dir, "apache.conf")
	content := fmt.Sprintf(`%s
ServerName localhost
ServerRoot %q
DefaultRuntimeDir %[2]q
PidFile %[2]q
Listen %[4]s
ErrorLog %[3]q
OIDCProviderMetadataURL %[5]s/.well-known/openid-configuration
OIDCClientID %[6]s
OIDCClientSecret %[7]s
OIDCRedirectURI %[8]s/app/cb
OIDCCryptoPassphrase "a passphrase of this test"
OIDCScope "openid profile email"
OIDCPKCEMethod S256
OIDCProviderTokenEndpointAuth client_secret_basic
ProxyPass "/" "%[9]s/"
<Location "/app/">
AuthType openid-connect
Require valid-user
</Location>
`, loads.String(), dir, filepath.Join(dir, "error.log"), listen, client.Issuer, client.ID, client.Secret, base, application)
	content = strings.Replace(content, fmt.Sprintf("PidFile %q", dir), fmt.Sprintf("PidFile %q", filepath.Join(dir, "pid")), 1)
	if err := os.WriteFile(configuration, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	living, kill := context.WithCancel(context.WithoutCancel(t.Context())) // the test's context ends before its clean-up begins
	apache := exec.CommandContext(living, "apache2", "-f", configuration, "-D", "FOREGROUND")
	out := &strings.Builder{}
	apache.Stdout, apache.Stderr = out, out
	apache.Cancel = func() error { return apache.Process.Signal(os.Interrupt) } // its children end with it
	apache.WaitDelay = 10 * time.Second
	if err := apache.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		kill()
		_ = apache.Wait() // it was ended by a signal
		if t.Failed() {
			log, err := os.ReadFile(filepath.Join(dir, "error.log"))
			t.Logf("%s%s%s", out, log, errorText(err))
		}
	})
	eventually(t, "Apache serves", func() bool {
		conn, err := net.Dial("tcp", listen)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}
