package server_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/server/servertest"
)

// What keizer apply does a program can do over HTTP, and nobody does more by it than they may.
func TestAProgramAppliesAnOrganization(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	operator := &apiJourney{house.Machine(house.In("default"), every(true)...), t, ""}
	document := map[string]any{
		"keizer": 1, "slug": "acme", "name": "Acme", "settings": map[string]any{"sign_up": map[string]any{"mode": "closed"}},
		"permissions": []any{map[string]any{"resource": "orders", "action": "read"}}, "roles": []any{map[string]any{"name": "clerk", "permissions": []string{"orders:read"}}},
		"providers": []any{map[string]any{"name": "google", "preset": "google", "client_id": "us", "secret": map[string]any{"env": "GOOGLE"}}},
		"clients":   []any{map[string]any{"client_id": "job", "grant_types": []string{"client_credentials"}, "scope": "orders:read"}},
	}
	body := map[string]any{"document": document, "secrets": map[string]any{"/providers/0/secret": "hunter2"}, "dry_run": true}
	counted := func(answer *servertest.Answer) (n map[string]int, clientSecret string) {
		t.Helper()
		var applied struct {
			Changes []struct {
				Action       string `json:"action"`
				ClientSecret string `json:"client_secret"`
			} `json:"changes"`
		}
		if err := json.Unmarshal([]byte(answer.Body), &applied); err != nil || strings.Contains(answer.Body, "hunter2") {
			t.Fatalf("%v: %s", err, answer.Body)
		}
		n = make(map[string]int)
		for _, c := range applied.Changes {
			n[c.Action]++
			clientSecret += c.ClientSecret
		}
		return n, clientSecret
	}
	operator.do(http.StatusNotFound, "POST", "/organizations/acme/configuration", body)
	if n, secret := counted(operator.do(http.StatusOK, "POST", "/configuration", body)); n["create"] != 5 || secret != "" {
		t.Errorf("a dry run: %v %q", n, secret)
	}
	operator.do(http.StatusNotFound, "GET", "/organizations/acme", nil)
	body["dry_run"] = false
	made := operator.do(http.StatusOK, "POST", "/configuration", body, "Idempotency-Key", "once")
	if n, secret := counted(made); n["create"] != 5 || !strings.HasPrefix(secret, "kz_cs_") {
		t.Errorf("%v %q", n, secret)
	}
	if again := operator.do(http.StatusOK, "POST", "/configuration", body, "Idempotency-Key", "once"); again.Body != made.Body || again.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("%v %s", again.Header, again.Body)
	}
	for _, path := range []string{"/configuration", "/organizations/acme/configuration"} {
		if n, secret := counted(operator.do(http.StatusOK, "POST", path, body)); n["none"] != 5 || len(n) != 1 || secret != "" {
			t.Errorf("again: %v %q", n, secret)
		}
	}
	exported := operator.do(http.StatusOK, "GET", "/organizations/acme/configuration", nil)
	if n, _ := counted(operator.do(http.StatusOK, "POST", "/organizations/acme/configuration", map[string]any{"document": json.RawMessage(exported.Body), "prune": true})); n["none"] != 5 || len(n) != 1 {
		t.Errorf("what was exported: %v", n)
	}

	// What is wrong is named by where it stands in the body, and not repeated.
	for where, changed := range map[string]map[string]any{
		"/document/roles/0/permissions": {"roles": []any{map[string]any{"name": "clerk", "permissions": []string{"hunter2"}}}}, "/document/slug": {"slug": "other"},
		"/document/clients/0/secret": {"clients": []any{map[string]any{"client_id": "x", "secret": "hunter2"}}}, "/document/rolls": {"rolls": []any{}}, "/document/keizer": {"keizer": 2},
		"/document/settings/sign_up/mode": {"settings": map[string]any{"sign_up": map[string]any{"mode": "hunter2"}}},
	} {
		wrong := map[string]any{"keizer": 1, "slug": "acme"}
		for name, value := range changed {
			wrong[name] = value
		}
		refused := operator.do(http.StatusBadRequest, "POST", "/organizations/acme/configuration", map[string]any{"document": wrong})
		if at := pointers(refused); !slices.Contains(at, where) && !(where == "/document/rolls" && slices.Contains(at, "/document")) || strings.Contains(refused.Body, "hunter2") {
			t.Errorf("%s: %s", where, refused.Body)
		}
	}
	if missing := operator.do(http.StatusBadRequest, "POST", "/configuration", map[string]any{"document": document}); !slices.Equal(pointers(missing), []string{"/document/providers/0/secret"}) {
		t.Errorf("%s", missing.Body)
	}

	// In an organization, each part takes its own permission, and nobody prunes the client by which they act.
	some := &apiJourney{house.Machine(house.In("acme"), permission.OrganizationRead, permission.OrganizationWrite, permission.ClientsRead, permission.ClientsWrite), t, "/organizations/acme/configuration"}
	if refused := some.do(http.StatusForbidden, "GET", "", nil); !strings.Contains(refused.Body, permission.RolesRead) {
		t.Errorf("%s", refused.Body)
	}
	if refused := some.do(http.StatusForbidden, "POST", "", body); !strings.Contains(refused.Body, permission.RolesRead) || refused.Text("type") != "urn:keizer:problem:beyond-your-rights" {
		t.Errorf("%s", refused.Body)
	}
	grand := map[string]any{"document": map[string]any{"keizer": 1, "slug": "acme", "clients": []any{map[string]any{"client_id": "grand", "grant_types": []string{"client_credentials"}, "scope": "keizer:audit:read"}}}}
	if refused := some.do(http.StatusForbidden, "POST", "", grand); !slices.Equal(pointers(refused), []string{"/document/clients/0"}) || !strings.Contains(refused.Body, permission.AuditRead) {
		t.Errorf("%s", refused.Body)
	}
	some.base = ""
	some.do(http.StatusForbidden, "POST", "/configuration", body)
	pruned, _ := counted(some.do(http.StatusOK, "POST", "/organizations/acme/configuration", map[string]any{"document": map[string]any{"keizer": 1, "slug": "acme", "clients": []any{}}, "prune": true}))
	if pruned["delete"] != 1 || pruned["left"] != 1 {
		t.Errorf("pruned: %v", pruned)
	}
	some.do(http.StatusOK, "GET", "/me", nil)
	if events := operator.do(http.StatusOK, "GET", "/organizations/acme/audit-events?action=client.deleted", nil); !strings.Contains(events.Body, `"client:`) {
		t.Errorf("%s", events.Body)
	}
}
