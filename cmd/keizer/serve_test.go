package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
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

// certified writes a certificate for hosts and the key to it into the current folder, and returns whom to believe it from.
func certified(t *testing.T, notAfter time.Time, hosts ...string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: hosts, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: notAfter, IsCA: true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	shown := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	write(t, "tls.crt", string(shown))
	write(t, "tls.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(shown)
	return pool
}

func TestItServesHTTPSByItselfInTestModeAloud(t *testing.T) {
	s := production(t)
	s.environ = append(s.environ, "KEIZER_TLS_CERT_FILE=tls.crt", "KEIZER_TLS_KEY_FILE=tls.key", "KEIZER_ROOT_ORGANIZATION=acme",
		"KEIZER_TEST_MODE=true", "KEIZER_SHUTDOWN_DELAY=0s")
	s.refused(exitFailed, "serve https: file tls.crt does not exist", "serve", "--listen", "127.0.0.1:0")
	believed := certified(t, time.Now().Add(time.Hour*24*30), "id.example.com")
	s.do("org", "create", "acme")

	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := free.Addr().String()
	free.Close()
	ctx, cancel := context.WithCancel(t.Context())
	out, errs, code := &syncBuffer{}, &syncBuffer{}, make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"serve", "--listen", listen}, strings.NewReader(""), out, errs, s.environ)
	}()
	ended := sync.OnceValue(func() int {
		cancel()
		return <-code
	})
	t.Cleanup(func() { ended() })
	for deadline := time.Now().Add(20 * time.Second); s.keizer("", "healthcheck", "--listen", listen).code != 0; {
		if time.Now().After(deadline) {
			t.Fatalf("it does not become ready: %s", errs)
		}
	}

	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: believed, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", listen)
		},
	}}
	ask := func(address string) *http.Response {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response
	}
	if r := ask("https://id.example.com/login"); r.StatusCode != http.StatusOK || r.ProtoMajor != 2 || r.TLS.Version != tls.VersionTLS13 ||
		r.Header.Get("Strict-Transport-Security") == "" || !strings.HasPrefix(r.Header.Get("Set-Cookie"), "__Host-") {
		t.Errorf("the page to sign in at: %s %s, %v", r.Proto, r.Status, r.Header)
	}
	if r := ask("http://" + listen + "/readyz"); r.StatusCode != http.StatusBadRequest {
		t.Errorf("without TLS it is answered %s", r.Status)
	}
	if !strings.Contains(out.String(), "TEST MODE") || strings.Count(errs.String(), "test mode: ") != 1 {
		t.Errorf("it starts in test mode saying %s%s", out, errs)
	}
	s.do("client", "create", "--name", "suite", "--jwks-uri", "https://nginx:8443/jwks", "--auth-method", "private_key_jwt",
		"--redirect-uri", "https://localhost:8443/test/a/keizer/callback", "--grant-type", "implicit", "--response-type", "id_token")
	if code := ended(); code != 0 {
		t.Errorf("it ended with exit code %d: %s", code, errs)
	}
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
