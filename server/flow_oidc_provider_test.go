package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/internal/formbrowser"
	"github.com/keizer-auth/keizer/internal/proof"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
)

// A provider in another language, by other people, of which its address is all that is known: it insists on PKCE, tells of its people at
// userinfo alone, and takes whatever it has given from whoever shows a refresh token twice.
func TestPeopleSignInAtAProviderFromNpm(t *testing.T) {
	servertest.Needs(t, "node", "node", "npm")
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	house := servertest.Start(t, servertest.Options{})
	org := decided(t, house, "default", "sign_up.mode", "open")
	const email, clientSecret = "alice@example.com", "a secret: % + ~ /="
	issuer := startProvider(ctx, t, map[string]any{
		"client_id": "keizer", "client_secret": clientSecret, "redirect_uri": house.Base + "/login/npm/callback",
		"person": map[string]any{"sub": "p-1", "name": "Alice Doe", "preferred_username": "alice", "email": email, "email_verified": true},
	})
	federate(t, house, org, "npm", "keizer", clientSecret, map[string]any{"preset": "oidc", "issuer": issuer}, "")
	findings, err := house.Operators.TestProvider(org, "npm")
	if err != nil || len(findings) != 6 {
		t.Fatalf("%+v, %v", findings, err)
	}
	for _, finding := range findings {
		if finding.Result != "ok" {
			t.Errorf("%+v", finding)
		}
	}

	login := house.Base + "/login?return_to=/account"
	g := from(t, "192.0.2.1")
	page := g.sees(g.send(g.sees(g.away(login, "npm"), "Elsewhere"), "cancel"), "Sign in")
	if !strings.Contains(page.Text("login-notice"), "did not sign in there") {
		t.Errorf("%s", page.Body)
	}
	page = g.sees(g.send(g.sees(g.send(page, "login-with-npm"), "Elsewhere"), "enter", "login", "p-1"), "Your account")
	if !strings.Contains(page.Body, email) {
		t.Errorf("%s", page.Body)
	}
	user, err := house.DB.UserByLogin(org, email)
	if err != nil || user.FullName == nil || *user.FullName != "Alice Doe" || !user.IsVerified {
		t.Fatalf("%+v, %v", user, err)
	}

	// Whoever asks an application's people to prove anew who they are is told that they have, there.
	client := house.Client(org, manage.ClientSpec{SkipConsent: true})
	visitor := client.Visitor()
	page = visitor.Press(visitor.Go(client.AuthorizeURL("scope", "openid")), "login-with-npm")
	page = visitor.Press(filled(t, titled(t, page, "Elsewhere"), "login", "p-1"), "enter")
	says(t, claimsAt(t, client, page), proof.One, "fed")
	page = visitor.Press(visitor.Go(client.AuthorizeURL("scope", "openid", "prompt", "login")), "login-with-npm")
	page = visitor.Press(filled(t, titled(t, page, "Elsewhere"), "login", "p-1"), "enter")
	says(t, claimsAt(t, client, page), proof.One, "fed")

	// Its tokens are renewed when somebody wants one: twice in a row, which a provider that has lost track of them would refuse.
	accounts, err := house.DB.UpstreamAccountsOf(org, user.ID)
	if err != nil || len(accounts) != 1 || accounts[0].Subject != "p-1" || accounts[0].Issuer != issuer {
		t.Fatalf("%+v, %v", accounts, err)
	}
	for range 2 {
		kept, err := house.DB.UpstreamAccountOf(org, user.ID, accounts[0].ID)
		if err != nil || kept.RefreshToken == "" || kept.ExpiresAt == nil {
			t.Fatalf("%+v, %v", kept, err)
		}
		late := time.Now().Add(-time.Second)
		renewed := storage.UpstreamAccount{ID: kept.ID, Label: kept.Label, AccessToken: kept.AccessToken, ExpiresAt: &late}
		if err := house.DB.UseUpstreamAccount(org, &renewed); err != nil {
			t.Fatal(err)
		}
		token, expires, err := house.Operators.ProviderToken(org, "npm", user.ID)
		if err != nil || token.Reveal() == kept.AccessToken || expires == nil || time.Until(*expires) < time.Minute {
			t.Fatalf("%v, %v", expires, err)
		}
		if status := userinfoOf(t, issuer, token.Reveal()); status != http.StatusOK {
			t.Errorf("the token is good for %d", status)
		}
	}
}

// filled is a page whose one field is filled in.
func filled(t *testing.T, page *formbrowser.Page, id, text string) *formbrowser.Page {
	t.Helper()
	if err := page.Fill(id, text); err != nil {
		t.Fatal(err)
	}
	return page
}

// userinfoOf is how the provider answers to an access token.
func userinfoOf(t *testing.T, issuer, token string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, issuer+"/me", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	client := &http.Client{Timeout: 10 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

// startProvider serves a provider of npm's until the test ends, and returns its issuer.
func startProvider(ctx context.Context, t *testing.T, told map[string]any) string {
	t.Helper()
	line, err := json.Marshal(told)
	if err != nil {
		t.Fatal(err)
	}
	dir := journeyFolder(t, "oidc-provider")
	living, kill := context.WithCancel(context.WithoutCancel(ctx)) // the test's context ends before its clean-up begins
	node := exec.CommandContext(living, "node", "provider.mjs")
	node.Dir = dir
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	node.Stderr = log
	stdin, err := node.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer kill()
		defer log.Close()
		defer time.AfterFunc(10*time.Second, kill).Stop()
		_ = stdin.Close() // with which it ends
		err := node.Wait()
		text, readErr := os.ReadFile(log.Name())
		if err != nil || t.Failed() {
			t.Errorf("the provider ended with %v\n%s%s", err, text, errorText(readErr))
		}
	})
	if _, err := stdin.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(time.Minute, kill).Stop()
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() {
		t.Fatalf("it names no issuer: %v", lines.Err())
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }() // so that it never waits for a reader
	return lines.Text()
}
