package server_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keizer-auth/keizer/server/servertest"
)

// A client in another language, by other people, that knows the server by its address alone: what it does not understand,
// nobody's client will. The server is the real program, started as the README says.
func TestAnOpenIDClientFromNpmMakesTheWholeJourney(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()

	journey := journeyFolder(t, "openid-client")
	program := buildKeizer(ctx, t)
	dir := t.TempDir()
	base := startKeizer(ctx, t, program, dir)
	keizer := func(stdin string, arguments ...string) map[string]any {
		t.Helper()
		return runJSON(ctx, t, program, dir, stdin, arguments...)
	}

	const username, password, email, name = "alice", "correct horse battery staple", "alice@example.com", "Alice Doe"
	keizer(password, "user", "create", "--org", "default", "--username", username, "--email", email, "--name", name,
		"--verified", "--password-stdin", "-o", "json")

	const redirectURI, postURI, nativeURI, byeURI = "http://127.0.0.1:9999/cb", "http://127.0.0.1:9999/post", "http://127.0.0.1/native", "http://127.0.0.1:9999/bye"
	create := func(name string, arguments ...string) map[string]any {
		t.Helper()
		return keizer("", append([]string{"client", "create", "--org", "default", "--name", name, "-o", "json"}, arguments...)...)
	}
	private, public := keyPair(t, "client-key", "ES256", "sig")
	web := create("web", "--redirect-uri", redirectURI, "--post-logout-redirect-uri", byeURI, "--auth-method", "client_secret_basic", "--jwks", public,
		"--grant-type", "authorization_code", "--grant-type", "refresh_token", "--scope", "openid profile email offline_access")
	post := create("post", "--redirect-uri", postURI, "--auth-method", "client_secret_post", "--id-token-alg", "ES256",
		"--grant-type", "authorization_code", "--response-mode", "query", "--response-mode", "form_post", "--scope", "openid email")
	native := create("native", "--redirect-uri", nativeURI, "--auth-method", "none", "--id-token-alg", "EdDSA",
		"--grant-type", "authorization_code", "--scope", "openid profile email")
	service := create("svc", "--grant-type", "client_credentials", "--scope", "read write")
	signed := create("signed", "--grant-type", "client_credentials", "--auth-method", "private_key_jwt", "--jwks", public, "--scope", "read write")

	asserting := create("asserting", "--grant-type", "client_credentials", "--auth-method", "client_secret_jwt", "--scope", "read write")
	opening, sealing := keyPair(t, "for-encryption", "ECDH-ES", "enc")
	metadata, err := json.Marshal(map[string]any{
		"id_token_encrypted_response_alg": "ECDH-ES", "id_token_encrypted_response_enc": "A256GCM", "userinfo_signed_response_alg": "PS256",
		"userinfo_encrypted_response_alg": "ECDH-ES", "userinfo_encrypted_response_enc": "A128GCM", "introspection_signed_response_alg": "PS256",
		"introspection_encrypted_response_alg": "ECDH-ES", "introspection_encrypted_response_enc": "A128GCM",
	})
	if err != nil {
		t.Fatal(err)
	}
	secretive := create("secretive", "--redirect-uri", redirectURI, "--grant-type", "authorization_code", "--scope", "openid profile email",
		"--id-token-alg", "PS256", "--jwks", sealing, "--metadata", written(t, metadata))
	if secretive["userinfo_encrypted_response_alg"] != "ECDH-ES" || secretive["id_token_signed_response_alg"] != "PS256" {
		t.Errorf("%v", secretive)
	}

	keizer("", "org", "update", "default", "--set", "registration.mode=token", "--set", "tokens.legacy_response_types=true", "-o", "json")
	registration := keizer("", "client", "registration-token", "create", "--org", "default", "--name", "Journey", "--uses", "1", "-o", "json")
	legacy := create("legacy", "--redirect-uri", redirectURI, "--auth-method", "client_secret_basic", "--grant-type", "authorization_code", "--grant-type", "implicit",
		"--response-type", "code", "--response-type", "code id_token", "--response-type", "id_token", "--scope", "openid email")
	registered := written(t, []byte(`{"userinfo_signed_response_alg": "ES256", "request_object_signing_alg": "ES256"}`))
	asking := create("asking", "--redirect-uri", redirectURI, "--auth-method", "private_key_jwt", "--jwks", public,
		"--grant-type", "authorization_code", "--grant-type", "refresh_token", "--scope", "openid email offline_access", "--metadata", registered)

	told, err := json.Marshal(map[string]any{
		"issuer": base, "username": username, "password": password, "email": email, "name": name,
		"web": map[string]any{
			"client_id": web["client_id"], "client_secret": web["client_secret"],
			"redirect_uri": redirectURI, "post_logout_redirect_uri": byeURI,
		},
		"post":      map[string]any{"client_id": post["client_id"], "client_secret": post["client_secret"], "redirect_uri": postURI},
		"native":    map[string]any{"client_id": native["client_id"], "redirect_uri": nativeURI},
		"service":   map[string]any{"client_id": service["client_id"], "client_secret": service["client_secret"]},
		"signed":    map[string]any{"client_id": signed["client_id"], "key": private},
		"asserting": map[string]any{"client_id": asserting["client_id"], "client_secret": asserting["client_secret"]},
		"legacy":    map[string]any{"client_id": legacy["client_id"], "client_secret": legacy["client_secret"], "redirect_uri": redirectURI},
		"asking":    map[string]any{"client_id": asking["client_id"], "key": private, "redirect_uri": redirectURI},
		"secretive": map[string]any{
			"client_id": secretive["client_id"], "client_secret": secretive["client_secret"], "redirect_uri": redirectURI, "key": opening,
		},

		"registration": map[string]any{"token": registration["token"], "redirect_uri": redirectURI},
	})
	if err != nil {
		t.Fatal(err)
	}
	node := exec.CommandContext(ctx, "node", "journey.mjs")
	node.Dir, node.Stdin = journey, bytes.NewReader(told)
	out, err := node.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("the journey ended early: %v", err)
	}
}

// journeyFolder lays a program of testdata out in a folder of its own, with npm's packages beside it, so that nothing is left in the
// source tree.
func journeyFolder(t *testing.T, name string) string {
	t.Helper()
	dir, packages := t.TempDir(), servertest.NodeModules(t)
	err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", name)))
	if err == nil {
		err = os.Symlink(packages, filepath.Join(dir, "node_modules"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func buildKeizer(ctx context.Context, t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "keizer")
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "../cmd/keizer")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}

// bareEnvironment is this process's, without what would configure the program under test.
func bareEnvironment() []string {
	var kept []string
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, "KEIZER_") && name != "PORT" && name != "DATABASE_URL" {
			kept = append(kept, variable)
		}
	}
	return kept
}

var discoveryLine = regexp.MustCompile(`(http://localhost:\d+)/\.well-known/openid-configuration`)

// startKeizer serves in development mode on a free port and returns the base address that it prints. The test's end is a
// SIGTERM, after which it must end in order.
func startKeizer(ctx context.Context, t *testing.T, program, dir string) string {
	t.Helper()
	// The test's context ends before its clean-up begins, and the program must live to be ended in order.
	living, kill := context.WithCancel(context.WithoutCancel(ctx))
	serve := exec.CommandContext(living, program, "serve", "--listen", "127.0.0.1:0")
	serve.Dir, serve.Env = dir, bareEnvironment()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	logged := func() string {
		text, err := os.ReadFile(log.Name())
		return string(text) + errorText(err)
	}
	serve.Stderr = log
	stdout, err := serve.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer kill()
		defer log.Close()
		defer time.AfterFunc(30*time.Second, kill).Stop()
		_ = serve.Process.Signal(syscall.SIGTERM) // it may have ended by itself; Wait tells
		if err := serve.Wait(); err != nil {
			t.Errorf("serve ended with %v\n%s", err, logged())
		}
	})
	defer time.AfterFunc(time.Minute, kill).Stop()
	var said strings.Builder
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if found := discoveryLine.FindStringSubmatch(lines.Text()); found != nil {
			go func() { _, _ = io.Copy(io.Discard, stdout) }() // so that the program never waits for a reader
			return found[1]
		}
	}
	t.Fatalf("serve named no discovery address:\n%s\n%s", said.String(), logged())
	return ""
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// runJSON runs a command and reads the one object that it prints.
func runJSON(ctx context.Context, t *testing.T, program, dir, stdin string, arguments ...string) map[string]any {
	t.Helper()
	command := exec.CommandContext(ctx, program, arguments...)
	command.Dir, command.Env, command.Stdin = dir, bareEnvironment(), strings.NewReader(stdin)
	out, err := command.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Fatalf("keizer %s: %v\n%s", strings.Join(arguments, " "), err, exit.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal(out, &object); err != nil {
		t.Fatalf("keizer %s printed %q: %v", strings.Join(arguments, " "), out, err)
	}
	return object
}

// keyPair makes a client's key: the private half for the client, the public one in a file to register.
func keyPair(t *testing.T, kid, alg, use string) (private jose.JSONWebKey, public string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private = jose.JSONWebKey{Key: key, KeyID: kid, Algorithm: alg, Use: use}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{private.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	return private, written(t, set)
}

// written is the name of a file with a text.
func written(t *testing.T, text []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "written.json")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
