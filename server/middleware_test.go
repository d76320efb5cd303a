package server

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/config"
	"github.com/keizer-auth/keizer/internal/requestid"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// surrounded answers requests to /at/:what with a handler, and with everything that stands around one.
func surrounded(base string, handler gin.HandlerFunc) (http.Handler, *logbook) {
	return surroundedIn(nil, base, handler)
}

// surroundedIn does so beside a database, in which the hosts of organizations are looked for.
func surroundedIn(db *storage.DB, base string, handler gin.HandlerFunc) (http.Handler, *logbook) {
	log := &logbook{}
	cfg := &config.Config{Listen: "127.0.0.1:8080"}
	if strings.HasPrefix(base, "https:") {
		cfg.Issuer = base
	}
	s := &Server{house: &House{Cfg: cfg, Log: log.logger(), tenants: newTenants(db, manage.Addresses{Base: base})}}
	s.host, s.https, _ = hostOf(base)
	quiet()
	engine := gin.New()
	engine.Use(s.around)
	engine.Any("/at/:what", handler)
	engine.GET("/livez", handler)
	return engine, log
}

func fine(c *gin.Context) { c.String(http.StatusOK, "fine") }

func ask(handler http.Handler, method, target string, body io.Reader, change ...func(*http.Request)) *http.Response {
	request := httptest.NewRequest(method, target, body)
	for _, one := range change {
		one(request)
	}
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	return answer.Result()
}

func text(t *testing.T, answer *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// S-189, S-190: what a request says of its host is believed only as far as it is our own.
func TestOnlyOurOwnHostIsAnswered(t *testing.T) {
	db := storagetest.DB(t)
	for _, test := range []struct {
		base, host, path string
		answered         bool
	}{
		{"https://id.example", "id.example", "/at/x", true},
		{"https://id.example", "ID.Example", "/at/x", true},
		{"https://id.example", "id.example:443", "/at/x", true},
		{"https://id.example", "id.example:80", "/at/x", false},
		{"https://id.example", "id.example:8443", "/at/x", false},
		{"https://id.example", "id.example.", "/at/x", false},
		{"https://id.example", "evil.example", "/at/x", false},
		{"https://id.example", "id.example.evil.example", "/at/x", false},
		{"https://id.example", "localhost", "/at/x", false},
		{"https://id.example", "127.0.0.1:8080", "/at/x", false},
		{"https://id.example", "127.0.0.1:8080", "/livez", true},
		{"https://id.example", "", "/at/x", false},
		{"https://id.example:8443", "id.example:8443", "/at/x", true},
		{"https://id.example:8443", "id.example", "/at/x", false},
		{"http://localhost:8080", "localhost:8080", "/at/x", true},
		{"http://localhost:8080", "127.0.0.1:8080", "/at/x", true},
		{"http://localhost:8080", "[::1]:8080", "/at/x", true},
		{"http://localhost:8080", "127.0.0.1.evil.example", "/at/x", false},
		{"http://localhost:8080", "192.0.2.1:8080", "/at/x", false},
	} {
		handler, _ := surroundedIn(db, test.base, fine)
		answer := ask(handler, http.MethodGet, test.path, nil, func(r *http.Request) {
			r.Host = test.host
			for _, name := range []string{"X-Forwarded-Host", "X-Host", "X-Original-Host"} {
				r.Header.Set(name, "id.example")
			}
		})
		want := http.StatusMisdirectedRequest
		if test.answered {
			want = http.StatusOK
		}
		if answer.StatusCode != want {
			t.Errorf("%s asked as %q%s: %d, not %d", test.base, test.host, test.path, answer.StatusCode, want)
		}
	}
}

func TestEveryAnswerHasItsHeadersAndAnIdOfItsOwn(t *testing.T) {
	var inContext string
	handler, _ := surrounded("https://id.example", func(c *gin.Context) {
		inContext = requestid.From(c.Request.Context())
		if c.Param("what") == "panic" {
			panic("a fault")
		}
		fine(c)
	})
	ours := func(r *http.Request) { r.Host, r.Header["X-Request-Id"] = "id.example", []string{"a visitor's own"} }
	seen := make(map[string]bool)
	for _, target := range []string{"/at/x", "/at/panic", "/nowhere", "/at/" + strings.Repeat("x", maxURI)} {
		inContext = ""
		answer := ask(handler, http.MethodGet, target, nil, ours)
		id := answer.Header.Get("X-Request-Id")
		if id == "" || id == "a visitor's own" || seen[id] || inContext != "" && inContext != id {
			t.Errorf("%.20s: the request is called %q, and %q where it is answered", target, id, inContext)
		}
		seen[id] = true
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "Cache-Control": "no-store",
			"Cross-Origin-Opener-Policy": "same-origin", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
			"Strict-Transport-Security": "max-age=63072000; includeSubDomains; preload",
		} {
			if got := answer.Header.Get(name); got != want {
				t.Errorf("%.20s: %s %q", target, name, got)
			}
		}
	}
	plain, _ := surrounded("http://localhost:8080", fine)
	if answer := ask(plain, http.MethodGet, "http://localhost:8080/at/x", nil); answer.Header.Get("Strict-Transport-Security") != "" {
		t.Error("http://localhost promises https")
	}
}

func TestARequestHasItsBounds(t *testing.T) {
	var read int
	var fault error
	handler, _ := surrounded("http://localhost:8080", func(c *gin.Context) {
		var body []byte
		body, fault = io.ReadAll(c.Request.Body)
		read = len(body)
	})
	const base = "http://localhost:8080/at/"
	for _, size := range []int{0, maxBody, maxBody + 1, 4 * maxBody} {
		ask(handler, http.MethodPost, base+"x", strings.NewReader(strings.Repeat("x", size)))
		var tooLarge *http.MaxBytesError
		if cut := errors.As(fault, &tooLarge); cut != (size > maxBody) || read != min(size, maxBody) {
			t.Errorf("of %d bytes, %d were read: %v", size, read, fault)
		}
	}
	for length, want := range map[int]int{maxURI - 1: http.StatusOK, maxURI: http.StatusOK, maxURI + 1: http.StatusRequestURITooLong} {
		target := base + "x?" + strings.Repeat("q", length-len(base+"x?"))
		if answer := ask(handler, http.MethodGet, target, nil); answer.StatusCode != want {
			t.Errorf("an address of %d bytes: %d", length, answer.StatusCode)
		}
	}
}

// S-284: a fault in a handler is told to nobody but the log.
func TestAHandlerThatPanicsIsAnswered(t *testing.T) {
	handler, log := surrounded("http://localhost:8080", func(c *gin.Context) {
		if c.Param("what") == "late" {
			c.String(http.StatusAccepted, "begun")
		}
		panic("the secret reason")
	})
	answer := ask(handler, http.MethodGet, "http://localhost:8080/at/x?code=the-code", nil)
	id, said := answer.Header.Get("X-Request-Id"), text(t, answer)
	if answer.StatusCode != http.StatusInternalServerError || !strings.Contains(said, id) || strings.Contains(said, "secret") {
		t.Errorf("%d %q", answer.StatusCode, said)
	}
	if lines := log.lines(); len(lines) != 2 || !strings.Contains(lines[0], "the secret reason") || !strings.Contains(lines[0], "middleware_test.go") ||
		!strings.Contains(lines[1], `"status":500`) || !strings.Contains(lines[1], id) {
		t.Errorf("%q", lines)
	}
	if answer := ask(handler, http.MethodGet, "http://localhost:8080/at/late", nil); answer.StatusCode != http.StatusAccepted || text(t, answer) != "begun" {
		t.Errorf("what was answered before the panic became %d", answer.StatusCode)
	}
}

func TestTheAccessLogHasOneLineARequestAndNothingThatOpensAnything(t *testing.T) {
	handler, log := surrounded("http://localhost:8080", fine)
	ask(handler, http.MethodPost, "http://localhost:8080/at/the-path?code=the-code", strings.NewReader("password=the-password"), func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer the-token")
		r.Header.Set("Cookie", "keizer_session=the-session")
	})
	ask(handler, http.MethodGet, "http://localhost:8080/nowhere/the-path", nil)
	lines := log.lines()
	if len(lines) != 2 || !strings.Contains(lines[0], `"method":"POST","route":"/at/:what"`) || !strings.Contains(lines[1], `"route":"unmatched"`) {
		t.Errorf("%q", lines)
	}
	for _, canary := range []string{"the-path", "the-code", "the-password", "the-token", "the-session"} {
		if strings.Contains(log.String(), canary) {
			t.Errorf("%s was logged", canary)
		}
	}
}

func TestTheAccessLogNamesTheOrganizationThatAnswered(t *testing.T) {
	house, log := boot(t)
	if _, err := house.Operators.CreateOrganization(t.Context(), "Acme", "acme"); err != nil {
		t.Fatal(err)
	}
	handler := serverOf(t, house).Handler()
	for path, want := range map[string]string{"": `"org":"default"`, "/o/acme": `"org":"acme"`, "/o/the-path": `"org":""`} {
		ask(handler, http.MethodGet, "http://localhost:8080"+path+"/.well-known/jwks.json", nil)
		if lines := log.lines(); !strings.Contains(lines[len(lines)-1], want) {
			t.Errorf("%s: %s", path, lines[len(lines)-1])
		}
	}
}

func TestAProgramThatAsksTheWrongWayIsAnsweredInJSON(t *testing.T) {
	house, _ := boot(t)
	handler := serverOf(t, house).Handler()
	for _, c := range []struct {
		method, path string
		status       int
		json         bool
	}{
		{http.MethodGet, "/oauth2/token", 405, true}, {http.MethodPut, "/oauth2/introspect", 405, true}, {http.MethodGet, "/oauth2/par", 405, true},
		{http.MethodPost, "/.well-known/jwks.json", 405, true}, {http.MethodPost, "/oauth2/nothing", 404, true}, {http.MethodGet, "/o/nobody/oauth2/token", 405, true},
		{http.MethodPut, "/oauth2/authorize", 405, false}, {http.MethodPut, "/oauth2/logout", 405, false}, {http.MethodGet, "/nothing", 404, false},
	} {
		answer := ask(handler, c.method, "http://localhost:8080"+c.path, nil)
		if kind := answer.Header.Get("Content-Type"); answer.StatusCode != c.status || strings.HasPrefix(kind, "application/json") != c.json {
			t.Errorf("%s %s: %d, %s", c.method, c.path, answer.StatusCode, kind)
		}
	}
}

func TestDocumentsAnswerHeadAndNothingElseDoes(t *testing.T) {
	house, _ := boot(t)
	handler := serverOf(t, house).Handler()
	const base = "http://localhost:8080"
	for _, path := range []string{
		"/livez", "/readyz", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/.well-known/jwks.json",
	} {
		get, head := ask(handler, http.MethodGet, base+path, nil), ask(handler, http.MethodHead, base+path, nil)
		if get.StatusCode != http.StatusOK || head.StatusCode != get.StatusCode || head.Header.Get("Content-Type") != get.Header.Get("Content-Type") ||
			head.Header.Get("ETag") != get.Header.Get("ETag") || head.Header.Get("Content-Length") != get.Header.Get("Content-Length") {
			t.Errorf("%s: GET %d %v, HEAD %d %v", path, get.StatusCode, get.Header, head.StatusCode, head.Header)
		}
		post := ask(handler, http.MethodPost, base+path, nil)
		if post.StatusCode != http.StatusMethodNotAllowed || post.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: %d, Allow %q", path, post.StatusCode, post.Header.Get("Allow"))
		}
	}
	for _, path := range []string{"/oauth2/authorize", "/oauth2/logout", "/login", "/consent", "/oauth2/userinfo", "/setup"} {
		if answer := ask(handler, http.MethodHead, base+path, nil); answer.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("HEAD %s: %d", path, answer.StatusCode)
		}
	}
}
