package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/config"
)

// serve runs `keizer serve` and returns its base address once it greets, and a function that ends it and returns its exit
// code.
func (s *station) serve(args ...string) (base string, end func() int) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	greeting, stdout := io.Pipe()
	errs := &syncBuffer{}
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, append([]string{"serve"}, args...), strings.NewReader(""), stdout, errs, s.environ)
		stdout.Close()
	}()
	end = sync.OnceValue(func() int {
		cancel()
		return <-code
	})
	s.t.Cleanup(func() { end() })
	lines := bufio.NewScanner(greeting)
	for lines.Scan() {
		if address, ok := strings.CutPrefix(strings.TrimSpace(lines.Text()), "issuer"); ok {
			base = strings.TrimSpace(address)
			break
		}
	}
	go func() { _, _ = io.Copy(io.Discard, greeting) }()
	if base == "" {
		s.t.Fatalf("serve has not greeted: %s", errs)
	}
	return base, end
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestCommandsWorkWhileTheServerRuns(t *testing.T) {
	everywhere(t, func(t *testing.T, s *station) {
		base, end := s.serve("--listen", "127.0.0.1:0")
		client := s.object("client", "create", "--name", "svc", "--grant-type", "client_credentials", "--scope", "read")
		s.doWith("correct horse battery", "user", "create", "--username", "alice", "--email", "alice@example.com", "--password-stdin")

		var metadata struct {
			Issuer        string `json:"issuer"`
			TokenEndpoint string `json:"token_endpoint"`
		}
		get(t, base+"/.well-known/openid-configuration", &metadata)
		if metadata.Issuer != base {
			t.Fatalf("the issuer is %q, the greeting says %q", metadata.Issuer, base)
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, metadata.TokenEndpoint, strings.NewReader("grant_type=client_credentials&scope=read"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.SetBasicAuth(text(t, client, "client_id"), text(t, client, "client_secret"))
		var answer struct {
			AccessToken string `json:"access_token"`
		}
		ask(t, request, &answer)
		if found := s.object("token", "introspect", answer.AccessToken); found["active"] != true || found["client_id"] != client["client_id"] {
			t.Errorf("introspected %v", found)
		}
		s.do("token", "revoke", answer.AccessToken)

		_, port, err := net.SplitHostPort(strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if ready := s.object("healthcheck", "--listen", "127.0.0.1:"+port); ready["ready"] != true {
			t.Errorf("healthcheck says %v", ready)
		}
		if code := end(); code != 0 {
			t.Errorf("serve ended with exit code %d", code)
		}
		s.refused(exitFailed, "not ready: ", "healthcheck", "--listen", "127.0.0.1:"+port)
	})
}

func get(t *testing.T, address string, into any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	ask(t, request, into)
}

func ask(t *testing.T, request *http.Request, into any) {
	t.Helper()
	response, err := (&http.Client{Timeout: 10 * time.Second}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || json.Unmarshal(body, into) != nil {
		t.Fatalf("%s %s: %s, %v\n%s", request.Method, request.URL, response.Status, err, body)
	}
}

func TestATakenPortIsAFailure(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	s := newStation(t)
	s.refused(exitFailed, "is taken by another program", "serve", "--listen", listener.Addr().String())
}

func TestHealthcheckBelievesNothingBut200(t *testing.T) {
	s := newStation(t)
	for status, want := range map[int]int{200: 0, 204: exitFailed, 302: exitFailed, 404: exitFailed, 421: exitFailed, 503: exitFailed} {
		asked := ""
		door := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = r.Method + " " + r.URL.Path
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		}))
		got := s.keizer("", "healthcheck", "--url", door.URL+"/readyz")
		if got.code != want || asked != "GET /readyz" {
			t.Errorf("%d: exit code %d after %s: %s", status, got.code, asked, got.err)
		}
		door.Close()
	}
}

func TestHealthcheckAsksTheListenerByTheNameOfTheIssuer(t *testing.T) {
	for listen, want := range map[string]string{
		":8080": "http://127.0.0.1:8080/readyz", "0.0.0.0:80": "http://127.0.0.1:80/readyz", "[::]:80": "http://[::1]:80/readyz", "192.0.2.1:80": "http://192.0.2.1:80/readyz",
	} {
		cfg := config.Defaults()
		cfg.Issuer, cfg.Listen = "https://id.example.com", listen
		address, host, err := readyAddress(cfg)
		if address != want || host != "id.example.com" || err != nil {
			t.Errorf("%s: %s, %s, %v", listen, address, host, err)
		}
	}
}
