package server_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

// S-276: of a body of fifty megabytes the server reads what it would read of any, says that it is too much, and hangs up. It
// writes none of it anywhere.
func TestAnEnormousBodyIsNotReadToItsEnd(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	host := strings.TrimPrefix(house.Base, "http://")
	const size = 50 << 20
	before := temporaryFiles(t)
	for _, path := range []string{
		"/oauth2/token", "/oauth2/par", "/oauth2/introspect", "/oauth2/revoke", "/oauth2/userinfo", "/oauth2/authorize", "/oauth2/logout", "/login", "/consent", "/setup",
		"/nowhere", "/livez",
	} {
		for kind, begins := range map[string]string{
			"application/x-www-form-urlencoded": "x=", "application/json": `{"x":"`,
			"multipart/form-data; boundary=b": "--b\r\nContent-Disposition: form-data; name=\"x\"; filename=\"x\"\r\n\r\n",
		} {
			for framing, length := range map[string]string{"a length": fmt.Sprintf("Content-Length: %d\r\n", size), "chunks": "Transfer-Encoding: chunked\r\n"} {
				what := path + ", " + kind + ", by " + framing
				conn, err := net.Dial("tcp", house.Cfg.Listen)
				if err != nil {
					t.Fatal(err)
				}
				if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
					t.Fatal(err)
				}
				body := begins + strings.Repeat("a", 300<<10-len(begins))
				if framing == "chunks" {
					body = fmt.Sprintf("%x\r\n%s\r\n", len(body), body)
				}
				go func() {
					// The server may have hung up before it is all written, which is as it should be.
					_, _ = io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: "+host+"\r\nContent-Type: "+kind+"\r\n"+length+"\r\n"+body)
				}()
				answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Errorf("%s: %v", what, err)
				} else if answer.StatusCode < 400 || answer.StatusCode > 415 || !answer.Close ||
					answer.StatusCode != 413 && strings.HasPrefix(kind, "application/x-www") && !strings.Contains("/nowhere /livez /oauth2/userinfo", path) {
					t.Errorf("%s: %d, close %v", what, answer.StatusCode, answer.Close)
				}
				if err := conn.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if after := temporaryFiles(t); after > before {
		t.Errorf("%d files were written", after-before)
	}
	if answer := send(t, house, request{address: "/livez"}); answer.Status != 200 {
		t.Errorf("%d", answer.Status)
	}
}

// temporaryFiles counts what mime/multipart leaves on disk.
func temporaryFiles(t *testing.T) int {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(os.TempDir(), "multipart-*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(found)
}

// S-277: many parameters, long ones, and many words in one are refused before anything is made of them, at every door.
func TestManyAndLongParametersAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	client := house.Client(org, manage.ClientSpec{SkipConsent: true})
	visitor := signedIn(client, "alice")
	basic := []string{"Authorization", client.Basic()}
	for name, body := range map[string]string{
		"ten thousand parameters": strings.Repeat("a=b&", 10_001), "ten thousand names": strings.Repeat("&", 10_001), "a hundred and one": strings.Repeat("a=b&", 101),
		"a long value": "grant_type=" + strings.Repeat("a", 60<<10), "a long name": strings.Repeat("a", 60<<10) + "=b",
		"a thousand scopes": "grant_type=refresh_token&refresh_token=x&token=x&response_type=code&redirect_uri=https://rp.example/cb&client_id=" + client.ID +
			"&scope=" + strings.Repeat("a+", 1000),
		"brackets": strings.Repeat("a[b][c]=d&", 3000),
	} {
		for _, path := range []string{"/oauth2/token", "/oauth2/par", "/oauth2/introspect", "/oauth2/revoke", "/oauth2/userinfo", "/oauth2/authorize", "/oauth2/logout",
			"/login", "/consent", "/setup"} {
			began := time.Now()
			answer := send(t, house, request{method: "POST", address: path, kind: "application/x-www-form-urlencoded", body: strings.NewReader(body), header: basic,
				cookies: visitor.Cookies(house.URL)})
			took := time.Since(began)
			told := answer.Header.Get("Location") // of the client, that its scope was refused
			// A scope, or a name that nobody knows, means nothing to those who do not ask for it.
			ignored := (name == "a thousand scopes" || name == "a long name") && strings.Contains("/oauth2/introspect /oauth2/revoke /oauth2/logout", path)
			if answer.Status >= 500 || answer.Status < 400 && !ignored && !strings.Contains(told, "error=invalid_scope") {
				t.Errorf("%s at %s: %d %s %s", name, path, answer.Status, told, short(answer.Body))
			}
			if took > time.Second+busy {
				t.Errorf("%s at %s took %v", name, path, took)
			}
			if strings.Contains(answer.Body, strings.Repeat("a", 400)) {
				t.Errorf("%s at %s is said back: %s", name, path, short(answer.Body))
			}
		}
	}
	if answer := client.Redeem(visitor.Code(client.AuthorizeURL(), "alice")); answer.Status != 200 {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
}

// S-282: what strangers can have written is gone when its time is over, and each request leaves one row at the most.
func TestWhatStrangersLeaveBehindIsGoneInTime(t *testing.T) {
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := servertest.Start(t, servertest.Options{DatabaseURL: databaseURL})
		client := house.Client(house.In("default"), manage.ClientSpec{})
		db := house.SQL()
		tables := []string{"interactions", "oauth_par", "oauth_codes", "oauth_grants", "oauth_access_tokens", "oauth_refresh_tokens", "oauth_jtis", "sessions",
			"verification_tokens", "consents"}
		all := func() (n int) {
			for _, table := range tables {
				n += rows(t, db, table)
			}
			return n
		}
		before := all()
		const starts = 50
		asked := strings.TrimPrefix(client.AuthorizeURL(), house.URL)
		for range starts {
			send(t, house, request{address: asked})                                                                                    // an interaction
			client.Post("/oauth2/par", flat(t, asked)...)                                                                              // a pushed request
			send(t, house, request{address: "/oauth2/authorize?client_id=nobody"})                                                     // nothing
			send(t, house, request{address: "/oauth2/token", form: fields("grant_type", "client_credentials", "client_id", "nobody")}) // nothing
			send(t, house, request{address: "/login"})                                                                                 // nothing
			client.Redeem("x")                                                                                                         // nothing
		}
		if made := all() - before; made != 2*starts {
			t.Errorf("%d rows of %d requests", made, 2*starts)
		}
		change(t, house, `UPDATE interactions SET expires_at = '`+longAgo+`'`)
		change(t, house, `UPDATE oauth_par SET expires_at = '`+longAgo+`'`)
		if _, err := house.DB.Purge(t.Context(), time.Now().UTC(), 20); err != nil {
			t.Fatal(err)
		}
		if left := all() - before; left != 0 {
			t.Errorf("%d rows are left", left)
		}
	})
}

// flat are the parameters of an address, in pairs.
func flat(t *testing.T, address string) (list []string) {
	t.Helper()
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range to.Query() {
		list = append(list, name, values[0])
	}
	return list
}
