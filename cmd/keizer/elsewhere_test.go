package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

// ofThisMachine are the commands that are about the machine they run on, and what makes each of them complete.
var ofThisMachine = map[string][]string{
	"keizer serve": nil, "keizer setup-link": nil, "keizer try": nil, "keizer doctor": nil, "keizer healthcheck": nil, "keizer version": nil,
	"keizer migrate up": nil, "keizer migrate status": nil, "keizer config show": nil, "keizer config validate": nil, "keizer config reference": nil,
	"keizer mail list": nil, "keizer mail retry": {"--all"}, "keizer mail test": {"you@example.com"}, "keizer token login": nil, "keizer token client-credentials": nil, "keizer secret generate": nil, "keizer secret rotate-master": nil,
	"keizer audit purge": nil, "keizer completion bash": nil, "keizer completion zsh": nil, "keizer completion fish": nil, "keizer completion powershell": nil,
}

func TestNoCommandPassesOverTheServerThatItIsGiven(t *testing.T) {
	s := newStation(t)
	root := (&program{output: "table"}).commands()
	strictCompletion(root)
	for _, cmd := range leaves(root) {
		path := cmd.CommandPath()
		args, refuses := ofThisMachine[path]
		if works := cmd.Annotations["server"] != ""; works == refuses && path != "keizer help" {
			t.Errorf("%s neither works through a server nor is about this machine, or both", path)
		}
		if !refuses {
			continue
		}
		args = slices.Concat(strings.Fields(path)[1:], args)
		for flag, value := range map[string]string{"server": "https://id.example.com", "token-file": "token", "ca-file": "ca.pem"} {
			says := "is about this machine"
			if cmd.Annotations["issuer"] != "" {
				says = "is told its server by --issuer"
			}
			s.refused(exitUsage, fmt.Sprintf("keizer: %s %s, and takes no --%s\n", path, says, flag), append(args, "--"+flag, value)...)
		}
	}
	// The environment is for many commands at once: those that are about this machine have no use for it.
	s.environ = append(s.environ, "KEIZER_SERVER=https://id.example.com", "KEIZER_TOKEN=x")
	s.do("version")
	s.do("config", "validate")
}

func TestWhatIsWrongWithHowAServerIsNamedIsSaidInOneSentence(t *testing.T) {
	s := newStation(t)
	write(t, "token", "kz_at_x\n")
	write(t, "two", "one two\n")
	write(t, "empty", "\n")
	list := []string{"user", "list", "--org", "acme"}
	for _, c := range []struct {
		args    []string
		environ []string
		says    string
	}{
		{[]string{"--server", "id.example.com"}, nil, "--server must be the address of a server, such as https://id.example.com"},
		{[]string{"--server", "ftp://id.example.com"}, nil, "--server must be the address of a server, such as https://id.example.com"},
		{[]string{"--server", "https://id.example.com/o/acme"}, nil, "--server must be a scheme and a host, such as https://id.example.com, and nothing more"},
		{[]string{"--server", "https://me:secret@id.example.com"}, nil, "--server must be a scheme and a host, such as https://id.example.com, and nothing more"},
		{[]string{"--server", "http://id.example.com"}, nil, "--server must begin with https://, unless it is this machine"},
		{nil, []string{"KEIZER_SERVER=http://192.0.2.1"}, "--server must begin with https://, unless it is this machine"},
		{[]string{"--server", "https://id.example.com"}, nil, "--server needs an access token, in KEIZER_TOKEN or the file that --token-file names, or a client that gets one, in KEIZER_CLIENT_ID and KEIZER_CLIENT_SECRET"},
		{[]string{"--server", "https://id.example.com"}, []string{"KEIZER_TOKEN=a", "KEIZER_TOKEN_FILE=token"}, "KEIZER_TOKEN and KEIZER_TOKEN_FILE are both set; keep one"},
		{[]string{"--server", "https://id.example.com"}, []string{"KEIZER_TOKEN=a", "KEIZER_CLIENT_ID=b", "KEIZER_CLIENT_SECRET=c"}, "KEIZER_TOKEN and KEIZER_CLIENT_ID are both set; keep one"},
		{[]string{"--server", "https://id.example.com"}, []string{"KEIZER_CLIENT_ID=b"}, "KEIZER_CLIENT_ID needs KEIZER_CLIENT_SECRET, or KEIZER_CLIENT_SECRET_FILE"},
		{[]string{"--server", "https://id.example.com", "--token-file", "two"}, nil, "--token-file: file two does not hold one secret and nothing else"},
		{[]string{"--server", "https://id.example.com", "--token-file", "empty"}, nil, "--token-file: file empty does not hold one secret and nothing else"},
		{[]string{"--server", "https://id.example.com", "--token-file", "none"}, nil, "--token-file: file none cannot be read: no such file or directory"},
		{[]string{"--server", "https://id.example.com", "--token-file", "token", "--ca-file", "token"}, nil, "--ca-file: file token holds no certificate in PEM"},
		{[]string{"--server", "https://id.example.com", "--database-url", "sqlite:x.db"}, nil, "--database-url is about the database, and --server (or KEIZER_SERVER) says to work without it"},
		{[]string{"--config", "x.yaml"}, []string{"KEIZER_SERVER=https://id.example.com"}, "--config is about the database, and --server (or KEIZER_SERVER) says to work without it"},
		{[]string{"--token-file", "token"}, nil, "--token-file needs --server"},
		{[]string{"--ca-file", "token", "--server", ""}, []string{"KEIZER_SERVER=https://id.example.com"}, "--ca-file needs --server"},
	} {
		s.environ = c.environ
		got := s.keizer("", append(slices.Clone(list), c.args...)...)
		if want := "keizer: " + c.says + "\n"; got.code != exitUsage || got.err != want || got.out != "" {
			t.Errorf("%v %v: exit code %d\n%swant\n%s", c.args, c.environ, got.code, got.err, want)
		}
	}
	s.environ = []string{"KEIZER_SERVER=https://id.example.com", "KEIZER_TOKEN=x"}
	s.refused(exitUsage, "--deleted and --server", "audit", "tail", "--org", "acme", "--deleted")
	s.refused(exitUsage, "--all and --file take the master key", "audit", "verify", "--all")
}

// answers is a server that answers everything in one way.
func answers(status int, header map[string]string, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

const canary = "kz_at_canary"

func TestWhatAServerRefusesIsTold(t *testing.T) {
	s := newStation(t)
	problem := map[string]string{"Content-Type": "application/problem+json"}
	stolen := ""
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { stolen += r.Header.Get("Authorization") }))
	defer elsewhere.Close()
	for name, c := range map[string]struct {
		handler http.Handler
		code    int
		says    string
	}{
		"no token":    {answers(401, problem, `{"title":"Unauthorized","status":401,"detail":"The access token is unknown, expired or revoked."}`), exitFailed, "the server does not take the access token: the access token is unknown, expired or revoked"},
		"no right":    {answers(403, problem, `{"title":"x","status":403,"detail":"It takes the permission keizer:users:read, as a scope of the token and by a role of the person."}`), exitFailed, "it may not be done with this access token: it takes the permission keizer:users:read, as a scope of the token and by a role of the person"},
		"not there":   {answers(404, problem, `{"title":"Not Found","status":404}`), exitNotFound, `organization "acme" does not exist`},
		"in the way":  {answers(409, problem, `{"title":"x","status":409,"detail":"It is the last owner."}`), exitConflict, "it is the last owner"},
		"stale":       {answers(412, problem, `{"title":"x","status":412}`), exitConflict, "it was changed meanwhile: look at it, and try again"},
		"wrong":       {answers(400, problem, `{"title":"x","status":400,"errors":[{"pointer":"/full_name","detail":"It is too long."},{"parameter":"limit","detail":"URL it is not."}]}`), exitUsage, "name: it is too long"},
		"too many":    {answers(429, map[string]string{"Content-Type": "application/problem+json", "Retry-After": "3600"}, `{"title":"x","status":429}`), exitFailed, "the server has too many requests: try again later"},
		"broken":      {answers(500, problem, `{"title":"x","status":500,"detail":"Something went wrong.","request_id":"R1"}`), exitFailed, "the server answers 500: something went wrong (request R1)"},
		"away":        {answers(503, problem, `{"title":"x","status":503,"request_id":"R2"}`), exitFailed, "the server cannot answer right now: try again in a moment (request R2)"},
		"no Keizer":   {answers(404, nil, "<html>"), exitFailed, "answers 404, and not as the management API of Keizer does"},
		"no JSON":     {answers(200, nil, "<html>"), exitFailed, "answers what this release of keizer does not understand"},
		"misdirected": {answers(421, nil, ""), exitFailed, "goes by another address: --server must name it as its issuer does"},
		"elsewhere":   {answers(302, map[string]string{"Location": elsewhere.URL + "/x?token=" + canary}, ""), exitFailed, "leads to " + elsewhere.URL + ", and is not followed"},
		"the same":    {answers(307, map[string]string{"Location": "/api/v1/other"}, ""), exitFailed, "leads elsewhere, and is not followed"},
	} {
		server := httptest.NewServer(c.handler)
		s.environ = []string{"KEIZER_SERVER=" + server.URL, "KEIZER_TOKEN=" + canary}
		got := s.keizer("", "user", "list", "--org", "acme")
		if got.code != c.code || got.out != "" || !strings.Contains(got.err, c.says) || strings.Contains(got.err, canary) {
			t.Errorf("%s: exit code %d\n%s%s", name, got.code, got.out, got.err)
		}
		server.Close()
		if name == "wrong" && !strings.Contains(got.err, "keizer: limit: URL it is not\n") {
			t.Errorf("%s", got.err)
		}
	}
	if stolen != "" {
		t.Errorf("another host was sent %s", stolen)
	}
	s.refused(exitFailed, "cannot be reached: dial tcp", "user", "list", "--org", "acme")

	// A name that leads elsewhere once it is tidied up is not asked for.
	asked := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked += r.Method + " " + r.URL.Path
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	s.environ[0] = "KEIZER_SERVER=" + server.URL
	for _, name := range []string{"", ".", "..", "../sessions", `..\sessions`} {
		s.refused(exitNotFound, "does not exist", "client", "delete", "--org", "acme", name)
	}
	if asked != "" {
		t.Errorf("asked %s", asked)
	}
}

func TestAServerIsBelievedByItsCertificateAlone(t *testing.T) {
	s := newStation(t)
	server := httptest.NewUnstartedServer(answers(200, nil, `{"items":[]}`))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // of who does not believe it
	server.StartTLS()
	defer server.Close()
	write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	s.environ = []string{"KEIZER_TOKEN=" + canary}
	list := []string{"role", "list", "--org", "acme", "--server", server.URL}
	s.refused(exitFailed, "shows a certificate that is not to be believed: x509: certificate signed by unknown authority; --ca-file names", list...)
	s.do(append(list, "--ca-file", "ca.pem")...)
	s.environ = append(s.environ, "KEIZER_CA_FILE=ca.pem")
	s.do(list...)

	plain := httptest.NewServer(answers(200, nil, ""))
	defer plain.Close()
	s.refused(exitFailed, "cannot be reached", "role", "list", "--org", "acme", "--server", strings.Replace(plain.URL, "http:", "https:", 1))
}

// door is a server in memory.
type door func(*http.Request) *http.Response

func (d door) RoundTrip(r *http.Request) (*http.Response, error) { return d(r), nil }

func said(status int, body string, header ...string) *http.Response {
	h := http.Header{"Content-Type": {"application/problem+json"}}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func TestAServerWithoutTimeIsWaitedForAndATokenThatHasExpiredRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		tokens := 0
		r := &remote{
			p: &program{}, base: "https://id.example.com", audience: "https://id.example.com/api/v1", org: &tenant.Org{Slug: "acme"}, token: "first",
			credentials: credentials{clientID: "c", secret: "s", issuer: "https://id.example.com/o/acme"},
		}
		r.http = &http.Client{Transport: door(func(request *http.Request) *http.Response {
			line := request.Method + " " + request.URL.Path + " " + request.Header.Get("Authorization")
			asked = append(asked, line)
			switch {
			case strings.HasSuffix(request.URL.Path, "/openid-configuration"):
				return said(200, `{"issuer":"https://id.example.com/o/acme","token_endpoint":"https://id.example.com/o/acme/oauth2/token"}`)
			case strings.HasSuffix(request.URL.Path, "/oauth2/token"):
				tokens++
				return said(200, `{"access_token":"second"}`)
			case len(asked) == 1:
				return said(429, `{"status":429}`, "Retry-After", "30")
			case len(asked) == 2:
				return said(503, `{"status":503}`, "Retry-After", "2")
			case strings.HasSuffix(line, "first"):
				return said(401, `{"status":401}`)
			}
			return said(200, `{"items":[{"name":"one"}]}`)
		})}
		began := time.Now()
		roles, err := pages[roleShown](t.Context(), r, nil, nil, r.in("roles")...)()
		if err != nil || len(roles) != 1 || roles[0].Name != "one" || tokens != 1 || time.Since(began) != 32*time.Second {
			t.Errorf("%v %v after %s, %d tokens: %s", roles, err, time.Since(began), tokens, strings.Join(asked, "\n"))
		}
		// What was to be changed is not sent again where it may have been done, and patience ends.
		r.http.Transport = door(func(*http.Request) *http.Response { return said(503, `{"status":503}`, "Retry-After", "1") })
		if err := r.post(t.Context(), nil, nil, r.in("roles")...); exitCode(err) != exitFailed || time.Since(began) != 32*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		r.http.Transport = door(func(*http.Request) *http.Response { return said(429, `{"status":429}`, "Retry-After", "50") })
		if err := r.get(t.Context(), nil, r.in("roles")...); exitCode(err) != exitFailed || time.Since(began) != 82*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		// Nor does a client that is refused for good ask for token after token.
		tokens = 0
		r.http.Transport = door(func(request *http.Request) *http.Response {
			switch {
			case strings.HasSuffix(request.URL.Path, "/openid-configuration"):
				return said(200, `{"issuer":"https://id.example.com/o/acme","token_endpoint":"https://evil.example/token"}`)
			case strings.HasPrefix(request.URL.Host, "evil"):
				t.Error("the secret of the client goes to another host")
			}
			return said(401, `{"status":401}`)
		})
		if err := r.get(t.Context(), nil, r.in("roles")...); err == nil || !strings.Contains(err.Error(), "is at another host") || errors.Is(err, storage.ErrNotFound) {
			t.Errorf("%v", err)
		}
	})
}

func TestAClientGetsItsTokenFromItsOwnOrganization(t *testing.T) {
	s := newStation(t)
	base, _ := s.serve("--listen", "127.0.0.1:0")
	s.do("org", "create", "acme")
	own := s.object("client", "create", "--org", "acme", "--name", "own", "--grant-type", "client_credentials", "--scope", "keizer:roles:read keizer:users:write keizer:users:read")
	far := s.through(base, text(t, own, "client_id"), text(t, own, "client_secret"))
	if roles := far.array("role", "list", "--org", "acme"); len(roles) != 4 || roles[0]["organization"] != "acme" {
		t.Errorf("%v", roles)
	}
	far.refused(exitFailed, "the server does not know the client, or its secret is another", "role", "list")
	write(t, "acme.yaml", "keizer: 1\nslug: acme\n") // which says whose the client may be
	far.refused(exitFailed, "it takes the permission ", "apply", "-f", "acme.yaml")
	far.refused(exitFailed, "calls itself "+base, "role", "list", "--server", strings.Replace(base, "localhost", "127.0.0.1", 1))
	far.environ = append(far.environ, "KEIZER_CLIENT_ISSUER="+base+"/o/acme")
	if roles := far.array("role", "list"); len(roles) != 4 || roles[0]["organization"] != "acme" {
		t.Errorf("of the token's organization: %v", roles)
	}
	far.refused(exitFailed, "it takes the permission keizer:clients:read", "client", "list")
	far.refused(exitFailed, "it takes the permission keizer:organizations:write", "org", "create", "other")
	far.refused(exitNotFound, `organization "default" does not exist`, "role", "list", "--org", "default")
	plain := s.object("client", "create", "--org", "acme", "--name", "plain", "--grant-type", "client_credentials", "--scope", "read")
	s.through(base, text(t, plain, "client_id"), text(t, plain, "client_secret")).refused(exitFailed, "the client has no scope for the management API", "role", "list", "--org", "acme")
	write(t, "secret", "wrong")
	far.environ = []string{"KEIZER_SERVER=" + base, "KEIZER_CLIENT_ID=" + text(t, own, "client_id"), "KEIZER_CLIENT_SECRET_FILE=secret"}
	far.refused(exitFailed, "the server does not know the client, or its secret is another", "role", "list", "--org", "acme")
}

// Whoever follows the audit sees what comes, on the database and through a server alike, until they have seen enough.
func TestTheAuditIsFollowedFromHereAndFromElsewhere(t *testing.T) {
	s := newStation(t)
	base, _ := s.serve("--listen", "127.0.0.1:0")
	machine := s.object("client", "create", "--name", "machine", "--grant-type", "client_credentials", "--scope", "keizer:audit:read")
	far := s.through(base, text(t, machine, "client_id"), text(t, machine, "client_secret"))
	for name, who := range map[string]*station{"here": s, "elsewhere": far} {
		ctx, enough := context.WithCancel(t.Context())
		lines, out := io.Pipe()
		code := make(chan int, 1)
		go func() {
			defer out.Close()
			args := []string{"audit", "tail", "-f", "-n", "1", "--action", "role.created", "-o", "json", "--org", "default"}
			code <- run(ctx, args, strings.NewReader(""), out, io.Discard, who.environ)
		}()
		s.do("role", "create", name)
		s.do("role", "create", name+" again")
		seen := json.NewDecoder(lines)
		for last := ""; last != name+" again"; {
			var event struct {
				Action  string
				Details struct{ After struct{ Name string } }
			}
			if err := seen.Decode(&event); err != nil || event.Action != "role.created" || event.Details.After.Name == last {
				t.Fatalf("%s: %+v after %q, %v", name, event, last, err)
			}
			last = event.Details.After.Name
		}
		enough()
		if ended := <-code; ended != 0 {
			t.Errorf("%s: exit code %d", name, ended)
		}
		lines.Close()
	}
}

// A token that somebody signs in for, or that a client gets for itself, opens the management API to the commands.
func TestTokensAreHadOnTheCommandLineAndUsedThere(t *testing.T) {
	s := newStation(t)
	base, _ := s.serve("--listen", "127.0.0.1:0")
	api := base + "/api/v1"
	s.doWith("correct horse battery", "user", "create", "--username", "alice", "--email", "alice@example.com", "--verified", "--role", "owner", "--password-stdin")
	console := text(t, s.object("client", "create", "--name", "console", "--auth-method", "none", "--skip-consent", "--redirect-uri", "http://127.0.0.1/callback",
		"--scope", "openid keizer:users:read keizer:roles:read"), "client_id")
	machine := s.object("client", "create", "--name", "machine", "--grant-type", "client_credentials", "--scope", "keizer:roles:read read")

	signedIn := s.objectWith("correct horse battery", "token", "login", "--issuer", base, "--client-id", console, "--scope", "openid keizer:users:read keizer:roles:read",
		"--resource", api, "--username", "alice", "--password-stdin")
	forItself := s.objectWith(text(t, machine, "client_secret"), "token", "client-credentials", "--issuer", base, "--client-id", text(t, machine, "client_id"),
		"--client-secret-stdin", "--resource", api)
	if signedIn["token_type"] != "bearer" && signedIn["token_type"] != "Bearer" || text(t, signedIn, "id_token") == "" {
		t.Errorf("%v", signedIn)
	}
	far := &station{t, []string{"KEIZER_SERVER=" + base, "KEIZER_TOKEN=" + text(t, signedIn, "access_token")}}
	if people := far.array("user", "list"); len(people) != 1 || people[0]["username"] != "alice" {
		t.Errorf("%v", people)
	}
	write(t, "token", text(t, forItself, "access_token"))
	far.environ = far.environ[:1]
	if roles := far.array("role", "list", "--token-file", "token"); len(roles) != 4 {
		t.Errorf("%v", roles)
	}
	far.refused(exitFailed, "it takes the permission keizer:users:read", "user", "list", "--token-file", "token")

	environ := []string{"KEIZER_CLIENT_ID=" + text(t, machine, "client_id"), "KEIZER_CLIENT_SECRET=wrong"}
	far.environ = environ
	far.refused(exitFailed, "the server does not know the client, or its secret is another\n", "token", "client-credentials", "--issuer", base)
	far.refused(exitNotFound, "there is no issuer at "+base+"/o/nobody", "token", "client-credentials", "--issuer", base+"/o/nobody")
	far.refused(exitUsage, "must be https; plain http is for this machine alone", "token", "client-credentials", "--issuer", "http://id.example.com")
	far.environ = environ[:1]
	far.refused(exitUsage, "the secret of the client is needed", "token", "client-credentials", "--issuer", base)
	far.environ = []string{environ[0], "KEIZER_CLIENT_SECRET=" + text(t, machine, "client_secret")}
	far.refused(exitFailed, "the client is given no access token: invalid_scope: ", "token", "client-credentials", "--issuer", base, "--scope", "write")
	if table := far.do("token", "client-credentials", "--issuer", base, "--scope", "read"); !strings.HasPrefix(table, "access_token") || !strings.Contains(table, "scope         read\n") {
		t.Errorf("%s", table)
	}
}
