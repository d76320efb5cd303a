package server_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/server/servertest"
)

// S-273, S-274: as it is started, with nothing but what production takes, there is nothing to find besides what is meant to be there:
// no tools of developers, no measurements, no files but those that are in the binary, and of those no list.
func TestNothingIsServedThatNobodyMeantToServe(t *testing.T) {
	t.Parallel()
	house := production(t, servertest.Options{})
	ask := func(target string, header ...string) (int, string) {
		t.Helper()
		var more strings.Builder
		for i := 0; i+1 < len(header); i += 2 {
			more.WriteString(header[i] + ": " + header[i+1] + "\r\n")
		}
		conn, err := net.Dial("tcp", house.Cfg.Listen)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET "+target+" HTTP/1.1\r\nHost: id.example\r\nConnection: close\r\n"+more.String()+"\r\n"); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(body)
	}
	for _, target := range []string{
		"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/vars", "/debug/requests", "/metrics", "/stats", "/actuator", "/actuator/env", "/server-status",
		"/swagger", "/swagger/index.html", "/docs", "/graphql", "/.git/config", "/.env", "/keizer.yaml", "/data/keizer.db", "/data/master.key", "/backup", "/phpmyadmin",
		"/playground", "/dev/mailbox", "/admin", "/console", "/o/default/metrics", "/scim/v2/Users", "/register",
	} {
		if status, body := ask(target); status != http.StatusNotFound || strings.Contains(body, "goroutine") {
			t.Errorf("%s: %d %s", target, status, body)
		}
	}
	for _, target := range []string{
		"/static/", "/static", "/static/.", "/static/..", "/static/../templates/login.html", "/static/%2e%2e/templates/login.html", "/static/..%2ftemplates%2flogin.html",
		"/static/..%5c..%5cgo.mod", "/static//etc/passwd", "/static/%2fetc%2fpasswd", "/static/%00", "/static/keizer.css%00.png", "/static/keizer.css/../../kinds.go",
		"/static/....//....//etc/passwd", "/static/%c0%ae%c0%ae/etc/passwd", "/static/file:///etc/passwd", "/logo/../../../etc/passwd", "/logo/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
		"/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd",
	} {
		status, body := ask(target)
		if status != http.StatusNotFound && status != http.StatusBadRequest || strings.Contains(body, "root:") || strings.Contains(body, "{{") || strings.Contains(body, "<pre>") {
			t.Errorf("%s: %d %s", target, status, body)
		}
	}
	// A language that is a path is none.
	for _, language := range []string{"../../../etc/passwd", "/etc/passwd", "..%2f..%2fetc%2fpasswd", "en/../../texts", "en\\..\\ar", "file:///etc/passwd"} {
		for _, header := range [][]string{{"Accept-Language", language}, {"Cookie", "__Host-keizer_lang=" + language}} {
			if status, body := ask("/login", header...); status != http.StatusOK || !strings.Contains(body, `lang="en"`) {
				t.Errorf("%v: %d", header, status)
			}
		}
		status, body := ask("/oauth2/authorize?" + url.Values{"ui_locales": {language}, "client_id": {"nobody"}}.Encode())
		if status != http.StatusBadRequest || !strings.Contains(body, `lang="en"`) {
			t.Errorf("%s: %d %s", language, status, body)
		}
	}
	// Whatever is managed is managed by somebody.
	for _, method := range []string{"GET", "POST"} {
		for _, path := range routesOf(t, house, method) {
			if !strings.HasPrefix(path, "/api/v1/") || strings.Contains(path, "openapi") {
				continue
			}
			answer := send(t, house, request{method: method, address: path, kind: "application/json", body: strings.NewReader("{}")})
			if answer.Status != http.StatusUnauthorized {
				t.Errorf("%s %s: %d", method, path, answer.Status)
			}
		}
	}
}
