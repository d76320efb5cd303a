package server

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/config"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/manage"
)

// F-21: readiness fails at once, new connections are still taken while the world finds out, and what is under way is finished.
func TestAServerThatEndsFinishesWhatIsUnderWay(t *testing.T) {
	house, _ := boot(t, inProduction, func(cfg *config.Config) {
		cfg.ShutdownDelay, cfg.ShutdownGrace = 300*time.Millisecond, 10*time.Second
	})
	s := serverOf(t, house)
	inside, finish := make(chan struct{}), make(chan struct{})
	usual := s.handler
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(inside)
			<-finish
			_, _ = io.WriteString(w, "finished")
			return
		}
		usual.ServeHTTP(w, r)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + listener.Addr().String()
	ctx, end := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.serve(ctx, []net.Listener{listener}) }()

	if got := statusAt(t, base+"/readyz"); got != http.StatusOK {
		t.Fatalf("ready: %d", got)
	}
	slow := make(chan string, 1)
	go func() {
		answer, err := client.Get(base + "/slow")
		if err != nil {
			slow <- err.Error()
			return
		}
		defer answer.Body.Close()
		body, _ := io.ReadAll(answer.Body)
		slow <- string(body)
	}()
	<-inside
	end()
	for !s.health.draining.Load() {
		select {
		case err := <-served:
			t.Fatalf("it ended before it drained: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	if ready, live := statusAt(t, base+"/readyz"), statusAt(t, base+"/livez"); ready != http.StatusServiceUnavailable || live != http.StatusOK {
		t.Errorf("while it drains: ready %d, live %d", ready, live)
	}
	// The listener closes, and the request under way is still there.
	for {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			break
		}
		conn.Close()
		select {
		case err := <-served:
			t.Fatalf("it ended under a request: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	close(finish)
	if got := <-slow; got != "finished" {
		t.Errorf("the request under way: %s", got)
	}
	if err := <-served; err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func TestAServerDoesNotWaitForeverForARequest(t *testing.T) {
	house, _ := boot(t, func(cfg *config.Config) { cfg.ShutdownGrace = 50 * time.Millisecond })
	s := serverOf(t, house)
	inside, never := make(chan struct{}), make(chan struct{})
	defer close(never)
	s.handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(inside); <-never })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.serve(ctx, []net.Listener{listener}) }()
	go func() {
		if answer, err := client.Get("http://" + listener.Addr().String()); err == nil {
			answer.Body.Close()
		}
	}()
	<-inside
	end()
	if err := <-served; err == nil || !strings.HasPrefix(err.Error(), "drain: ") {
		t.Errorf("%v", err)
	}
}

func TestAListenerThatFailsEndsTheServer(t *testing.T) {
	house, _ := boot(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	if err := serverOf(t, house).serve(t.Context(), []net.Listener{listener}); err == nil || !strings.HasPrefix(err.Error(), "serve: ") {
		t.Errorf("%v", err)
	}
}

var client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func statusAt(t *testing.T, address string) int {
	t.Helper()
	answer, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

func TestTheBaseAddressOfDevelopmentFollowsTheListener(t *testing.T) {
	cfg := config.Defaults()
	cfg.Listen = "127.0.0.1:0"
	listeners, err := listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = closeAll(listeners) }()
	_, port, _ := net.SplitHostPort(listeners[0].Addr().String())
	if cfg.Base() != "http://localhost:"+port {
		t.Errorf("%s on port %s", cfg.Base(), port)
	}
	for _, listener := range listeners[1:] {
		if listener.Addr().String() != "[::1]:"+port {
			t.Errorf("it listens at %s", listener.Addr())
		}
	}
	again := config.Defaults()
	again.Listen = listeners[0].Addr().String()
	if more, err := listen(again); err == nil || err.Error() != "listen: "+again.Listen+" is taken by another program: choose another address with --listen, or another port with PORT" {
		_ = closeAll(more)
		t.Errorf("a port that is taken: %v", err)
	}
}

func TestProductionListensWhereItWasToldAndNowhereElse(t *testing.T) {
	cfg := config.Defaults()
	inProduction(cfg)
	cfg.Listen = "127.0.0.1:0"
	listeners, err := listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = closeAll(listeners) }()
	if len(listeners) != 1 || cfg.Base() != "https://id.example" {
		t.Errorf("%d listeners, base %s", len(listeners), cfg.Base())
	}
}

func TestTheGreetingHasASetupLinkUntilThereIsAnOperator(t *testing.T) {
	house, log := boot(t, func(cfg *config.Config) { cfg.Listen = "127.0.0.1:4711" })
	s := serverOf(t, house)
	var out bytes.Buffer
	if err := s.greet(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	var link string
	for word := range strings.FieldsSeq(out.String()) {
		if strings.HasPrefix(word, "http://localhost:4711/setup?token=") {
			link = word
		}
	}
	parsed, err := url.Parse(link)
	if err != nil || link == "" {
		t.Fatalf("%v\n%s", err, &out)
	}
	token := parsed.Query().Get("token")
	if strings.Contains(log.String(), token) {
		t.Error("what stands at the terminal is logged as well")
	}
	if _, _, err := house.Operators.CompleteSetup(t.Context(), token, manage.SetupForm{
		Username: "ada", Email: "ada@example.com", FullName: "Ada", Password: secret.Text("correct horse battery staple"),
	}); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if err := s.greet(t.Context(), &out); err != nil || strings.Contains(out.String(), "/setup") || !strings.Contains(out.String(), "/playground") {
		t.Errorf("%v\n%s", err, &out)
	}
}

func TestTheGreetingOfProductionIsInTheLog(t *testing.T) {
	house, log := boot(t, inProduction, func(cfg *config.Config) { cfg.Database.URL = secret.Text(cfg.Database.URL.Reveal()) })
	var out bytes.Buffer
	if err := serverOf(t, house).greet(t.Context(), &out); err != nil || out.Len() > 0 {
		t.Errorf("%v\n%s", err, &out)
	}
	for _, want := range []string{`"base":"https://id.example"`, `"setup_link":"https://id.example/setup?token=kz_`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in %s", want, log)
		}
	}
}
