package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/internal/formbrowser"
	"github.com/keizer-auth/keizer/internal/providertest"
)

// attemptAt is an attempt that signs in by itself.
func attemptAt(issuer string) *attempt {
	return &attempt{
		issuer: issuer, clientID: providertest.ClientID, scope: "openid offline_access", timeout: time.Minute, progress: io.Discard, prompt: io.Discard,
		username: providertest.Username, password: providertest.Password,
	}
}

func TestTryWithAUserNameSignsInByItself(t *testing.T) {
	for name, alter := range map[string]func(*attempt){
		"public client":       func(*attempt) {},
		"confidential client": func(a *attempt) { a.secret = providertest.ClientSecret },
		"own redirect URI":    func(a *attempt) { a.redirectURI = "https://app.example/cb" },
	} {
		t.Run(name, func(t *testing.T) {
			var said strings.Builder
			a := attemptAt(providertest.New(t, providertest.Faults{}).URL)
			a.progress = &said
			alter(a)
			if err := a.check(); err != nil {
				t.Fatal(err)
			}
			result, err := a.run(t.Context())
			if err != nil {
				t.Fatalf("%v\n%s", err, said.String())
			}
			if !result.Verified || result.IDToken.Claims["sub"] != providertest.Subject || result.UserInfo["name"] != "Alice Doe" || !result.Tokens.RefreshToken {
				t.Errorf("%+v", result)
			}
			for _, want := range []string{"✓ discovery", "✓ callback", "✓ token", "an opaque access token for 10m0s", "✓ ID token", "✓ nonce", "✓ userinfo", "Everything is verified."} {
				if !strings.Contains(said.String(), want) {
					t.Errorf("nothing said of %q:\n%s", want, said.String())
				}
			}
			printed, err := json.Marshal(result)
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{providertest.Password, providertest.ClientSecret} {
				if strings.Contains(said.String()+string(printed), secret) {
					t.Error("a secret is printed")
				}
			}
		})
	}
}

func TestTryWithoutAUserNameWaitsForTheBrowser(t *testing.T) {
	provider := providertest.New(t, providertest.Faults{})
	said, say := io.Pipe()
	a := attemptAt(provider.URL)
	a.username, a.password, a.prompt = "", "", say

	type outcome struct {
		result *attempted
		err    error
	}
	ended := make(chan outcome, 1)
	go func() {
		result, err := a.run(t.Context())
		say.Close()
		ended <- outcome{result, err}
	}()
	address, rest := readAddress(t, said)
	go drain(rest)

	page, err := formbrowser.New(formbrowser.Options{}).Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	if err := page.Fill("username", providertest.Username); err != nil {
		t.Fatal(err)
	}
	if err := page.Fill("password", providertest.Password); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"login-submit", "consent-allow"} {
		if page, err = page.Click(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if page.Title != "Back to the terminal" || page.URL.Hostname() != "127.0.0.1" {
		t.Errorf("%q at %s", page.Title, page.URL)
	}
	if end := <-ended; end.err != nil || !end.result.Verified {
		t.Errorf("%v", end.err)
	}
}

// drain lets whoever writes into a pipe go on.
func drain(r io.Reader) { _, _ = io.Copy(io.Discard, r) }

// readAddress reads what is said up to the address to open.
func readAddress(t *testing.T, said io.Reader) (address string, rest io.Reader) {
	t.Helper()
	var text strings.Builder
	buffer := make([]byte, 4096)
	for {
		n, err := said.Read(buffer)
		text.Write(buffer[:n])
		if found := regexp.MustCompile(`(?s)(http://\S+/authorize\S+)\s.*Waiting`).FindStringSubmatch(text.String()); found != nil {
			return found[1], said
		}
		if err != nil {
			t.Fatalf("%v: %s", err, text.String())
		}
	}
}

func TestTryEndsWithOneSentenceWhenSomethingIsWrong(t *testing.T) {
	claim := func(name string, value any) providertest.Faults {
		return providertest.Faults{Claims: func(c map[string]any) { c[name] = value }}
	}
	for name, test := range map[string]struct {
		faults providertest.Faults
		alter  func(*attempt)
		want   string
	}{
		"wrong password":   {alter: func(a *attempt) { a.password = "wrong" }, want: "did not accept the user name and password of alice"},
		"unknown client":   {alter: func(a *attempt) { a.clientID = "nobody" }, want: "status 400"},
		"wrong secret":     {alter: func(a *attempt) { a.secret = "wrong" }, want: "401 invalid_client"},
		"denied":           {faults: providertest.Faults{Deny: true}, want: "access_denied"},
		"wrong nonce":      {faults: claim("nonce", "x"), want: "nonce"},
		"wrong issuer":     {faults: claim("iss", "https://evil.example"), want: "iss"},
		"wrong audience":   {faults: claim("aud", "x"), want: "aud"},
		"expired":          {faults: claim("exp", time.Now().Add(-time.Hour).Unix()), want: "exp"},
		"no at_hash":       {faults: claim("at_hash", ""), want: "at_hash"},
		"wrong key":        {faults: providertest.Faults{WrongKey: true}, want: "signature"},
		"unsigned":         {faults: providertest.Faults{Unsigned: true}, want: "signature"},
		"wrong state":      {faults: providertest.Faults{Callback: func(v url.Values) { v.Set("state", "x") }}, want: "state"},
		"wrong iss":        {faults: providertest.Faults{Callback: func(v url.Values) { v.Set("iss", "https://evil.example") }}, want: "iss"},
		"another person":   {faults: providertest.Faults{UserInfo: func(c map[string]any) { c["sub"] = "x" }}, want: "userinfo"},
		"discovery of one": {faults: providertest.Faults{Metadata: func(m map[string]any) { m["issuer"] = "https://evil.example" }}, want: "discovery"},
	} {
		t.Run(name, func(t *testing.T) {
			var said strings.Builder
			a := attemptAt(providertest.New(t, test.faults).URL)
			a.progress = &said
			if test.alter != nil {
				test.alter(a)
			}
			result, err := a.run(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %v, want one line with %q", err, test.want)
			}
			if result.Verified || result.Failure != err.Error() || strings.Contains(said.String(), "Everything") {
				t.Errorf("%+v\n%s", result, said.String())
			}
		})
	}
}

func TestTryDoesNotWaitForEver(t *testing.T) {
	provider := providertest.New(t, providertest.Faults{})
	a := attemptAt(provider.URL)
	a.username, a.timeout = "", 300*time.Millisecond
	if _, err := a.run(t.Context()); err == nil || !strings.Contains(err.Error(), "in time") {
		t.Errorf("%v", err)
	}

	ctx, interrupt := context.WithCancel(t.Context())
	said, say := io.Pipe()
	a.timeout, a.prompt = time.Minute, say
	go func() {
		_, rest := readAddress(t, said)
		interrupt()
		drain(rest)
	}()
	if _, err := a.run(ctx); err == nil || !strings.Contains(err.Error(), "given up") {
		t.Errorf("%v", err)
	}
	say.Close()
}

func TestTheDoorOpensForTheAnswerAlone(t *testing.T) {
	door, err := openDoor(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer door.close(t.Context())
	at, err := url.Parse(door.redirectURI)
	if err != nil || at.Hostname() != "127.0.0.1" || at.Path != "/callback" {
		t.Fatalf("%s, %v", at, err)
	}
	ask := func(method, target, host string) int {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+at.Host+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		client := http.Client{Timeout: 5 * time.Second}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	for _, stray := range [][3]string{
		{"GET", "/favicon.ico", at.Host}, {"GET", "/callback", at.Host}, {"GET", "/callback?state=x", at.Host}, {"POST", "/callback?code=x", at.Host},
		{"GET", "/callback/?code=x", at.Host}, {"GET", "/callback?code=x", "evil.example"}, {"GET", "/callback?code=x", "localhost:" + at.Port()},
	} {
		if status := ask(stray[0], stray[1], stray[2]); status != http.StatusNotFound {
			t.Errorf("%v: %d", stray, status)
		}
	}
	for _, code := range []string{"first", "second"} {
		if status := ask("GET", "/callback?code="+code, at.Host); status != http.StatusOK {
			t.Errorf("%s: %d", code, status)
		}
	}
	answer, err := door.wait(t.Context())
	if err != nil || answer.Get("code") != "first" {
		t.Errorf("%v, %v", answer, err)
	}
}

func TestADoorThatIsTakenIsSaidAtOnce(t *testing.T) {
	door, err := openDoor(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer door.close(t.Context())
	if second, err := openDoor(t.Context(), door.redirectURI); err == nil {
		second.close(t.Context())
		t.Error("opened twice")
	}
}

func TestFlagsOfTryAreCheckedBeforeAnythingIsSent(t *testing.T) {
	good := func() *attempt { return attemptAt("http://localhost:8080") }
	for name, alter := range map[string]func(*attempt){
		"plain http abroad":      func(a *attempt) { a.issuer = "http://example.com" },
		"plain http next door":   func(a *attempt) { a.issuer = "http://192.168.0.1" },
		"no scheme":              func(a *attempt) { a.issuer = "localhost:8080" },
		"another scheme":         func(a *attempt) { a.issuer = "ftp://localhost" },
		"a user":                 func(a *attempt) { a.issuer = "https://a:b@example.com" },
		"a query":                func(a *attempt) { a.issuer = "https://example.com?x" },
		"no openid":              func(a *attempt) { a.scope = "profile openid2" },
		"no time":                func(a *attempt) { a.timeout = 0 },
		"a redirect of a script": func(a *attempt) { a.redirectURI = "javascript:alert(1)" },
		"a redirect abroad":      func(a *attempt) { a.redirectURI, a.username = "https://app.example/cb", "" },
	} {
		a := good()
		alter(a)
		if err := a.check(); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, issuer := range []string{"https://id.example", "https://id.example/o/acme", "http://127.0.0.1:1", "http://[::1]:1", "http://localhost"} {
		a := good()
		a.issuer = issuer
		if err := a.check(); err != nil {
			t.Error(fmt.Errorf("%s: %w", issuer, err))
		}
	}
}
