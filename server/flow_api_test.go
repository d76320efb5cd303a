package server_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/upstreamtest"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
)

// every is all permissions that mean something in an organization.
func every(root bool) (names []string) {
	for _, p := range permission.All() {
		names = append(names, p.Name)
	}
	return permission.Effective(names, root)
}

// apiJourney asks the API for one thing after another.
type apiJourney struct {
	*servertest.Caller
	t    *testing.T
	base string
}

// do asks, and fails the test unless the answer has the status.
func (j *apiJourney) do(want int, method, path string, body any, header ...string) *servertest.Answer {
	j.t.Helper()
	answer := j.Do(method, j.base+path, body, header...)
	if answer.Status != want {
		j.t.Fatalf("%s %s: %d, want %d: %s", method, path, answer.Status, want, answer.Body)
	}
	return answer
}

// items are those of a list.
func items(t *testing.T, answer *servertest.Answer) (all []map[string]any) {
	t.Helper()
	list, ok := answer.JSON()["items"].([]any)
	if !ok {
		t.Fatalf("no list: %s", answer.Body)
	}
	for _, item := range list {
		one, ok := item.(map[string]any)
		if !ok {
			t.Fatalf("no objects: %s", answer.Body)
		}
		all = append(all, one)
	}
	return all
}

// pointers are the members that a problem complains of.
func pointers(answer *servertest.Answer) (all []string) {
	errors, _ := answer.JSON()["errors"].([]any)
	for _, e := range errors {
		one, _ := e.(map[string]any)
		for _, place := range []string{"pointer", "parameter", "header"} {
			if at, ok := one[place].(string); ok {
				all = append(all, at)
			}
		}
	}
	return all
}

func TestAProgramManagesTheOrganizationsOfAServer(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	operator := &apiJourney{house.Machine(house.In("default"), every(true)...), t, "/organizations"}
	made := operator.do(http.StatusCreated, "POST", "", map[string]any{"slug": "acme", "name": "Acme"})
	if made.Header.Get("Location") != house.Base+"/api/v1/organizations/acme" || made.Text("issuer") != house.Base+"/o/acme" {
		t.Errorf("%v %s", made.Header, made.Body)
	}
	if conflict := operator.do(http.StatusConflict, "POST", "", map[string]any{"slug": "acme"}); !slices.Equal(pointers(conflict), []string{"/slug"}) {
		t.Errorf("%s", conflict.Body)
	}
	renamed := operator.do(http.StatusOK, "PATCH", "/acme", map[string]any{"name": "Acme Ltd"}, "If-Match", made.Header.Get("ETag"))
	if renamed.Text("name") != "Acme Ltd" || renamed.Header.Get("ETag") == made.Header.Get("ETag") {
		t.Errorf("%v %s", renamed.Header, renamed.Body)
	}
	operator.do(http.StatusPreconditionFailed, "PATCH", "/acme", map[string]any{"name": "Lost"}, "If-Match", made.Header.Get("ETag"))
	shown := operator.do(http.StatusOK, "GET", "/acme", nil)
	if shown.Header.Get("ETag") != renamed.Header.Get("ETag") || shown.Body != renamed.Body {
		t.Errorf("%s, and then %s", renamed.Body, shown.Body)
	}
	if same := operator.do(http.StatusNotModified, "GET", "/acme", nil, "If-None-Match", shown.Header.Get("ETag")); same.Body != "" {
		t.Errorf("304 with %q", same.Body)
	}
	var slugs []string
	for _, one := range items(t, operator.do(http.StatusOK, "GET", "?sort=-slug", nil)) {
		slugs = append(slugs, one["slug"].(string))
	}
	if !slices.Equal(slugs, []string{"default", "acme"}) {
		t.Errorf("%v", slugs)
	}

	// What an organization decides.
	settings := operator.do(http.StatusOK, "GET", "/acme/settings", nil)
	changed := operator.do(http.StatusOK, "PATCH", "/acme/settings", map[string]any{
		"sign_up": map[string]any{"mode": "open", "domains": []string{"acme.example"}}, "sessions": map[string]any{"idle": "30m"},
	}, "If-Match", settings.Header.Get("ETag"))
	for _, want := range []string{`"mode":"open"`, `"domains":["acme.example"]`, `"idle":"30m"`, `"fields":{"name":"optional"}`} {
		if !strings.Contains(changed.Body, want) {
			t.Errorf("no %s in %s", want, changed.Body)
		}
	}
	if back := operator.do(http.StatusOK, "PATCH", "/acme/settings", map[string]any{"sign_up": nil, "sessions": nil}); back.Body != settings.Body {
		t.Errorf("%s, and again %s", settings.Body, back.Body)
	}
	wrong := operator.do(http.StatusBadRequest, "PATCH", "/acme/settings", map[string]any{"sign_up": map[string]any{"mode": "ajar", "mood": 1}, "nothing": true})
	if got := pointers(wrong); !slices.Contains(got, "/sign_up/mood") || !slices.Contains(got, "/nothing") {
		t.Errorf("%s", wrong.Body)
	}
	if wrong = operator.do(http.StatusBadRequest, "PATCH", "/acme/settings", map[string]any{"sign_up": map[string]any{"mode": "ajar"}}); !slices.Equal(pointers(wrong), []string{"/sign_up/mode"}) {
		t.Errorf("%s", wrong.Body)
	}

	// Its logo.
	operator.do(http.StatusNoContent, "PUT", "/acme/logo", tinyPNG, "Content-Type", "image/png")
	if logo := operator.do(http.StatusOK, "GET", "/acme/settings", nil); !strings.Contains(logo.Body, `"logo":"`) {
		t.Errorf("%s", logo.Body)
	}
	operator.do(http.StatusBadRequest, "PUT", "/acme/logo", "no picture", "Content-Type", "image/png")
	operator.do(http.StatusUnsupportedMediaType, "PUT", "/acme/logo", "<svg/>", "Content-Type", "image/svg+xml")
	operator.do(http.StatusNoContent, "DELETE", "/acme/logo", nil)

	// Its keys.
	rotated := operator.do(http.StatusOK, "POST", "/acme/keys", map[string]any{"alg": "ES256", "now": true})
	if again := operator.do(http.StatusOK, "GET", "/acme/keys/"+rotated.Text("kid"), nil); again.Text("status") != "active" || strings.Contains(again.Body, `"d"`) {
		t.Errorf("%s", again.Body)
	}
	operator.do(http.StatusNoContent, "DELETE", "/acme/keys/"+rotated.Text("kid"), nil)
	operator.do(http.StatusNotFound, "DELETE", "/acme/keys/"+rotated.Text("kid"), nil)
	if n := len(items(t, operator.do(http.StatusOK, "GET", "/acme/keys", nil))); n < 3 {
		t.Errorf("%d keys", n)
	}

	// A host, which nobody has proven.
	host := operator.do(http.StatusCreated, "POST", "/acme/hosts", map[string]any{"host": "Login.Acme.Example"})
	if host.Text("host") != "login.acme.example" || host.Text("record_content") == "" {
		t.Errorf("%s", host.Body)
	}
	if shown := operator.do(http.StatusOK, "GET", "/acme/hosts/login.acme.example", nil); shown.Header.Get("ETag") != host.Header.Get("ETag") {
		t.Errorf("%s", shown.Body)
	}
	if n := len(items(t, operator.do(http.StatusOK, "GET", "/acme/hosts", nil))); n != 1 {
		t.Errorf("%d hosts", n)
	}
	operator.do(http.StatusBadRequest, "POST", "/acme/hosts", map[string]any{"host": "127.0.0.1"})
	operator.do(http.StatusBadRequest, "PUT", "/acme/issuer", map[string]any{"host": "login.acme.example"}) // development has no https
	operator.do(http.StatusOK, "PUT", "/acme/issuer", map[string]any{})
	operator.do(http.StatusNoContent, "DELETE", "/acme/hosts/login.acme.example", nil)

	// Suspended, it is nobody's but the operators' of the whole server; deleted, it is not there.
	own := house.Machine(house.In("acme"), permission.OrganizationRead, permission.OrganizationDelete)
	if off := own.Do("POST", "/organizations/acme/suspend", nil); off.Status != http.StatusOK || off.Text("suspended_at") == "" {
		t.Errorf("%d %s", off.Status, off.Body)
	}
	if gone := own.Do("GET", "/organizations/acme", nil); gone.Status != http.StatusUnauthorized {
		t.Errorf("%d %s", gone.Status, gone.Body)
	}
	if n := len(items(t, operator.do(http.StatusOK, "GET", "?suspended=true", nil))); n != 1 {
		t.Errorf("%d are suspended", n)
	}
	operator.do(http.StatusOK, "GET", "/acme", nil)
	operator.do(http.StatusOK, "POST", "/acme/resume", nil)
	if back := own.Do("GET", "/organizations/acme", nil); back.Status != http.StatusOK {
		t.Errorf("%d %s", back.Status, back.Body)
	}

	// All of it was written down, with who it was and where from.
	events, err := house.DB.ListAudit(house.In("acme"), storage.AuditFilter{Limit: 100, OldestFirst: true})
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, e := range events {
		if strings.HasPrefix(e.Actor, "client:") {
			actions = append(actions, e.Action)
			if strings.HasSuffix(e.Actor, "@default") == (e.Action == "organization.suspended") || e.IPAddress == nil || e.RequestID == "" {
				t.Errorf("%+v", e)
			}
		}
	}
	if want := []string{
		"organization.created", "organization.updated", "organization.updated", "organization.updated", "organization.logo_set", "organization.logo_deleted",
		"key.rotated", "key.revoked", "host.claimed", "host.removed", "organization.suspended", "organization.resumed",
	}; !slices.Equal(actions, want) {
		t.Errorf("%v, want %v", actions, want)
	}

	operator.do(http.StatusConflict, "DELETE", "/default", nil)
	operator.do(http.StatusNoContent, "DELETE", "/acme", nil, "If-Match", operator.do(http.StatusOK, "GET", "/acme", nil).Header.Get("ETag"))
	operator.do(http.StatusNotFound, "GET", "/acme", nil)
	if gone := own.Do("GET", "/organizations/acme", nil); gone.Status != http.StatusUnauthorized {
		t.Errorf("%d %s", gone.Status, gone.Body)
	}
}

// tinyPNG is a picture of one pixel.
const tinyPNG = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89\x00\x00\x00\rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f\x00\x05\x00\x01\xff\x89\x99=\x1d\x00\x00\x00\x00IEND\xaeB`\x82"

func TestAProgramManagesThePeopleOfAnOrganization(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	acme := house.Organization("acme")
	operator := &apiJourney{house.Machine(acme, every(false)...), t, "/organizations/acme"}

	alice := operator.do(http.StatusCreated, "POST", "/users", map[string]any{
		"email": "Alice@example.com", "username": "alice", "password": servertest.Password, "is_verified": true, "metadata": map[string]any{"locale": "en", "team": map[string]any{"a": 1.0, "b": 2.0}},
	})
	path := "/users/" + alice.Text("id")
	if strings.Contains(alice.Body, servertest.Password) || alice.Header.Get("Location") != house.Base+"/api/v1/organizations/acme"+path {
		t.Errorf("%v %s", alice.Header, alice.Body)
	}
	taken := operator.do(http.StatusConflict, "POST", "/users", map[string]any{"email": "alice@EXAMPLE.com", "password": servertest.Password})
	if !slices.Equal(pointers(taken), []string{"/email"}) || strings.Contains(taken.Body, "EXAMPLE") {
		t.Errorf("%s", taken.Body)
	}
	changed := operator.do(http.StatusOK, "PATCH", path, `{"full_name":"Alice Doe","username":null,"metadata":{"locale":"de","team":{"a":null}}}`, "If-Match", alice.Header.Get("ETag"))
	if changed.Text("full_name") != "Alice Doe" || changed.Text("username") != "" || !strings.Contains(changed.Body, `"metadata":{"locale":"de","team":{"b":2}}`) ||
		!strings.Contains(changed.Body, `"is_verified":true`) {
		t.Errorf("%s", changed.Body)
	}
	if emptied := operator.do(http.StatusOK, "PATCH", path, `{"metadata":null}`); strings.Contains(emptied.Body, "metadata") {
		t.Errorf("%s", emptied.Body)
	}
	if moved := operator.do(http.StatusOK, "PATCH", path, `{"email":"a@example.com"}`); !strings.Contains(moved.Body, `"is_verified":false`) {
		t.Errorf("%s", moved.Body)
	}
	if null := operator.do(http.StatusBadRequest, "PATCH", path, `{"email":null,"is_active":false}`); !slices.Equal(pointers(null), []string{"/email"}) {
		t.Errorf("%s", null.Body)
	}
	if fixed := operator.do(http.StatusBadRequest, "PATCH", path, `{"is_active":false,"id":"x"}`); !slices.Equal(pointers(fixed), []string{"/id", "/is_active"}) {
		t.Errorf("%s", fixed.Body)
	}

	// One page after another, by the cursor and by the link.
	for _, name := range []string{"b", "c", "d"} {
		house.Client(acme, manage.ClientSpec{Name: name})
	}
	var names []string
	for next := "/clients?limit=2&sort=client_name"; next != ""; {
		page := operator.do(http.StatusOK, "GET", next, nil)
		for _, one := range items(t, page) {
			names = append(names, one["client_name"].(string))
		}
		link := page.Header.Get("Link")
		if (link == "") != (page.Text("next_cursor") == "") {
			t.Fatalf("%s, and %s", link, page.Body)
		}
		next, _, _ = strings.Cut(strings.TrimPrefix(link, "<"+house.Base+"/api/v1/organizations/acme"), ">")
	}
	if want := []string{"Machine", "b", "c", "d"}; !slices.Equal(names, want) {
		t.Errorf("%v", names)
	}
	if found := items(t, operator.do(http.StatusOK, "GET", "/users?search=DOE&is_active=true&email=A%40example.com", nil)); len(found) != 1 {
		t.Errorf("%v", found)
	}

	// She signs in, and lets an application in.
	client := house.Client(acme, manage.ClientSpec{Name: "e"})
	tokens := client.Tokens("a@example.com", "openid offline_access")
	sessions := items(t, operator.do(http.StatusOK, "GET", path+"/sessions", nil))
	grants := items(t, operator.do(http.StatusOK, "GET", "/grants?user_id="+alice.Text("id"), nil))
	if len(sessions) != 1 || sessions[0]["user_id"] != alice.Text("id") || len(grants) != 1 || grants[0]["client_id"] != client.ID {
		t.Fatalf("%v, %v", sessions, grants)
	}
	session, grant := "/sessions/"+sessions[0]["id"].(string), "/grants/"+grants[0]["id"].(string)
	operator.do(http.StatusOK, "GET", session, nil)
	operator.do(http.StatusOK, "GET", grant, nil)
	operator.do(http.StatusNoContent, "DELETE", grant, nil)
	operator.do(http.StatusNotFound, "DELETE", grant, nil)
	operator.do(http.StatusNotFound, "GET", grant, nil)
	if client.Active(tokens.Text("refresh_token")) || client.Active(tokens.Text("access_token")) {
		t.Error("what was granted goes on")
	}
	operator.do(http.StatusNoContent, "DELETE", path+"/grants/"+client.ID, nil) // what she had agreed to
	operator.do(http.StatusNotFound, "DELETE", path+"/grants/"+client.ID, nil)
	operator.do(http.StatusNoContent, "DELETE", session, nil)
	operator.do(http.StatusNotFound, "GET", session, nil)
	if n := operator.do(http.StatusOK, "DELETE", path+"/sessions", nil); n.JSON()["sessions_ended"] != 0.0 {
		t.Errorf("%s", n.Body)
	}
	operator.do(http.StatusOK, "DELETE", "/sessions", nil)

	if n := operator.do(http.StatusOK, "GET", path+"/factors", nil); n.JSON()["passkeys"] != 0.0 {
		t.Errorf("%s", n.Body)
	}
	operator.do(http.StatusOK, "DELETE", path+"/factors", nil)
	operator.do(http.StatusNoContent, "PUT", path+"/password", map[string]any{"password": "another horse battery staple"})
	if short := operator.do(http.StatusBadRequest, "PUT", path+"/password", map[string]any{"password": "hunter2"}); !slices.Equal(pointers(short), []string{"/password"}) {
		t.Errorf("%s", short.Body)
	}
	if off := operator.do(http.StatusOK, "POST", path+"/disable", nil); !strings.Contains(off.Body, `"is_active":false`) {
		t.Errorf("%s", off.Body)
	}
	if on := operator.do(http.StatusOK, "POST", path+"/enable", "{}"); !strings.Contains(on.Body, `"is_active":true`) {
		t.Errorf("%s", on.Body)
	}
	operator.do(http.StatusBadRequest, "POST", path+"/enable", `{"is_active":false}`)

	// Somebody is invited, and is not.
	invited := operator.do(http.StatusCreated, "POST", "/invitations", map[string]any{"email": "bob@example.com", "expires_in": "1h", "show_link": true})
	if !strings.HasPrefix(invited.Text("link"), house.Base+"/o/acme/invitation?token=") {
		t.Errorf("%s", invited.Body)
	}
	invitation := "/invitations/" + invited.Text("id")
	if shown := operator.do(http.StatusOK, "GET", invitation, nil); shown.Text("link") != "" || shown.Header.Get("ETag") != invited.Header.Get("ETag") {
		t.Errorf("%s", shown.Body)
	}
	if list := items(t, operator.do(http.StatusOK, "GET", "/invitations?email=BOB%40example.com", nil)); len(list) != 1 {
		t.Errorf("%v", list)
	}
	operator.do(http.StatusNoContent, "DELETE", invitation, nil)
	operator.do(http.StatusNotFound, "GET", invitation, nil)
	if wrong := operator.do(http.StatusBadRequest, "POST", "/invitations", map[string]any{"email": "bob", "expires_in": "1s", "roles": []string{"nobody"}}); !slices.Equal(pointers(wrong), []string{"/email", "/expires_in", "/roles"}) {
		t.Errorf("%s", wrong.Body)
	}

	// Who is made without a password chooses one by a letter that they ask for.
	carol := operator.do(http.StatusCreated, "POST", "/users", map[string]any{"email": "carol@example.com"})
	for _, wrong := range []any{"", nil, "hunter2"} {
		refused := operator.do(http.StatusBadRequest, "POST", "/users", map[string]any{"email": "dave@example.com", "password": wrong})
		if !slices.Equal(pointers(refused), []string{"/password"}) {
			t.Errorf("%v: %s", wrong, refused.Body)
		}
	}
	g := from(t, "192.0.2.1")
	g.sees(g.send(g.open(house.Issuer(acme)+"/forgot", "Forgot your password?"), "forgot-submit", "login", "carol@example.com"), "Check your mail")
	letter := newest(t, house, "carol@example.com", mail.PasswordReset)
	g.sees(g.send(g.open(letter.Link, "Set a new password"), "reset-submit", "password", newPassword), "Your password was changed")
	if hers := operator.do(http.StatusOK, "GET", "/users/"+carol.Text("id"), nil); !strings.Contains(hers.Body, `"is_verified":true`) {
		t.Errorf("%s", hers.Body)
	}

	operator.do(http.StatusNoContent, "DELETE", path, nil)
	operator.do(http.StatusNotFound, "GET", path, nil)
}

func TestAProgramManagesWhatPeopleMayDo(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	acme := house.Organization("acme")
	alice := house.User(acme, "alice")
	operator := &apiJourney{house.Machine(acme, every(false)...), t, "/organizations/acme"}

	p := operator.do(http.StatusCreated, "POST", "/permissions", map[string]any{"resource": "orders", "action": "read"})
	if again := operator.do(http.StatusOK, "GET", "/permissions/orders:read", nil); again.Text("id") != p.Text("id") || again.Header.Get("ETag") != p.Header.Get("ETag") {
		t.Errorf("%s", again.Body)
	}
	role := operator.do(http.StatusCreated, "POST", "/roles", map[string]any{"name": "clerk", "permissions": []string{"orders:read", permission.UsersRead}})
	if changed := operator.do(http.StatusOK, "PATCH", "/roles/clerk", `{"description":"Takes orders.","permissions":["orders:read"]}`, "If-Match", role.Header.Get("ETag")); strings.Contains(changed.Body, permission.UsersRead) {
		t.Errorf("%s", changed.Body)
	}
	operator.do(http.StatusPreconditionFailed, "DELETE", "/roles/clerk", nil, "If-Match", role.Header.Get("ETag"))
	for body, want := range map[string]string{`{"is_system_role":true}`: "/is_system_role", `{"permissions":["nothing:like-it"]}`: "/permissions", `{"name":"Owner"}`: "/name", `{"name":null}`: "/name"} {
		if wrong := operator.do(http.StatusBadRequest, "PATCH", "/roles/"+role.Text("id"), body); !slices.Equal(pointers(wrong), []string{want}) {
			t.Errorf("%s: %s", body, wrong.Body)
		}
	}
	for _, system := range []string{"owner", "admin", "auditor", "member"} {
		operator.do(http.StatusConflict, "PATCH", "/roles/"+system, `{"description":"x"}`)
		operator.do(http.StatusConflict, "DELETE", "/roles/"+system, nil)
	}
	operator.do(http.StatusConflict, "DELETE", "/permissions/"+permission.UsersRead, nil)

	roles := "/users/" + alice.ID.String() + "/roles"
	operator.do(http.StatusNoContent, "PUT", roles+"/clerk", nil)
	operator.do(http.StatusNoContent, "PUT", roles+"/"+role.Text("id"), nil)
	operator.do(http.StatusNotFound, "PUT", roles+"/nobody", nil)
	if has := items(t, operator.do(http.StatusOK, "GET", roles, nil)); len(has) != 1 || has[0]["name"] != "clerk" {
		t.Errorf("%v", has)
	}
	if who := items(t, operator.do(http.StatusOK, "GET", "/roles/clerk/users", nil)); len(who) != 1 || who[0]["id"] != alice.ID.String() {
		t.Errorf("%v", who)
	}
	if who := items(t, operator.do(http.StatusOK, "GET", "/users?role=clerk", nil)); len(who) != 1 {
		t.Errorf("%v", who)
	}
	operator.do(http.StatusNoContent, "DELETE", roles+"/clerk", nil)
	operator.do(http.StatusNotFound, "DELETE", roles+"/clerk", nil)
	operator.do(http.StatusNoContent, "PUT", roles+"/operator", nil) // as owner was called
	if last := operator.do(http.StatusConflict, "DELETE", roles+"/owner", nil); !strings.Contains(last.Text("detail"), "another owner") {
		t.Errorf("%s", last.Body)
	}

	api := operator.do(http.StatusCreated, "POST", "/apis", map[string]any{
		"identifier": "https://orders.example", "name": "Orders", "scopes": []map[string]any{{"name": "read", "permission": "orders:read"}},
	})
	if found := items(t, operator.do(http.StatusOK, "GET", "/apis?identifier=https%3A%2F%2Forders.example", nil)); len(found) != 1 || found[0]["id"] != api.Text("id") {
		t.Errorf("%v", found)
	}
	if found := items(t, operator.do(http.StatusOK, "GET", "/apis?identifier=https%3A%2F%2Fother.example", nil)); len(found) != 0 {
		t.Errorf("%v", found)
	}
	operator.do(http.StatusConflict, "DELETE", "/permissions/orders:read", nil)
	path := "/apis/" + api.Text("id")
	if changed := operator.do(http.StatusOK, "PATCH", path, `{"name":"Order desk","scopes":[{"name":"read"},{"name":"write","description":"Write."}]}`, "If-Match", api.Header.Get("ETag")); strings.Contains(changed.Body, "orders:read") {
		t.Errorf("%s", changed.Body)
	}
	if wrong := operator.do(http.StatusBadRequest, "PATCH", path, `{"scopes":[{"name":"read","granted":true}],"identifier":"https://other.example"}`); !slices.Equal(pointers(wrong), []string{"/identifier", "/scopes/0/granted"}) {
		t.Errorf("%s", wrong.Body)
	}
	operator.do(http.StatusNoContent, "DELETE", path, nil)
	operator.do(http.StatusNoContent, "DELETE", "/permissions/orders:read", nil)
	operator.do(http.StatusNoContent, "DELETE", "/roles/clerk", nil)
	operator.do(http.StatusNotFound, "GET", "/roles/clerk", nil)

	// All of it can be read again, a page at a time, the newest first.
	var actions []string
	for next := "/audit-events?limit=5"; next != ""; {
		page := operator.do(http.StatusOK, "GET", next, nil)
		for _, one := range items(t, page) {
			if actor, _ := one["actor"].(string); strings.HasPrefix(actor, "client:") {
				actions = append(actions, one["action"].(string))
			}
		}
		next, _, _ = strings.Cut(strings.TrimPrefix(page.Header.Get("Link"), "<"+house.Base+"/api/v1/organizations/acme"), ">")
	}
	if want := []string{
		"role.deleted", "permission.deleted", "api.deleted", "api.updated", "api.created", "role.granted", "role.revoked", "role.granted", "role.updated", "role.created",
		"permission.created",
	}; !slices.Equal(actions, want) {
		t.Errorf("%v, want %v", actions, want)
	}
}

func TestAProgramManagesTheClientsOfAnOrganization(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	acme := house.Organization("acme")
	operator := &apiJourney{house.Machine(acme, every(false)...), t, "/organizations/acme/clients"}
	made := operator.do(http.StatusCreated, "POST", "", map[string]any{
		"client_name": "App", "redirect_uris": []string{servertest.Callback}, "software_id": "app", "client_name#de": "Anwendung",
	})
	id, secret := "/"+made.Text("client_id"), made.Text("client_secret")
	shown := operator.do(http.StatusOK, "GET", id, nil)
	if secret == "" || strings.Contains(shown.Body, "secret") && strings.Contains(shown.Body, secret) || shown.Text("client_name#de") != "Anwendung" ||
		shown.Header.Get("ETag") != made.Header.Get("ETag") {
		t.Errorf("%s, and then %s", made.Body, shown.Body)
	}
	changed := operator.do(http.StatusOK, "PATCH", id, map[string]any{
		"client_name": "Application", "client_name#de": nil, "software_version": "2", "post_logout_redirect_uris": []string{servertest.Callback}, "disabled": true,
	}, "If-Match", shown.Header.Get("ETag"))
	if changed.Text("client_name") != "Application" || changed.Text("client_name#de") != "" || changed.Text("software_id") != "app" ||
		changed.Text("software_version") != "2" || changed.JSON()["disabled"] != true || changed.Text("client_secret") != "" {
		t.Errorf("%s", changed.Body)
	}
	if back := operator.do(http.StatusOK, "PATCH", id, `{"post_logout_redirect_uris":null,"software_id":null,"disabled":false}`); strings.Contains(back.Body, "post_logout") || back.Text("software_id") != "" {
		t.Errorf("%s", back.Body)
	}
	for body, want := range map[string][]string{
		`{"redirect_uris":["javascript:alert(1)"]}`:               {"/redirect_uris"},
		`{"client_name":"","token_endpoint_auth_method":"magic"}`: {"/client_name", "/token_endpoint_auth_method"},
		`{"client_secret":"chosen"}`:                              {"/client_secret"},
		`{"scope":7}`:                                             {"/scope"},
		`{"org_id":"x"}`:                                          {"/org_id"},
		`{"Scope":"openid"}`:                                      {"/Scope"},
	} {
		if wrong := operator.do(http.StatusBadRequest, "PATCH", id, body); !slices.Equal(pointers(wrong), want) {
			t.Errorf("%s: %s", body, wrong.Body)
		}
	}
	rotated := operator.do(http.StatusOK, "POST", id+"/secret", map[string]any{"keep_old": "1h"})
	if rotated.Text("client_secret") == "" || rotated.Text("client_secret") == secret || rotated.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s", rotated.Body)
	}
	operator.do(http.StatusOK, "POST", id+"/secret", nil)
	operator.do(http.StatusBadRequest, "POST", id+"/secret", map[string]any{"keep_old": "9000h"})
	operator.do(http.StatusPreconditionFailed, "DELETE", id, nil, "If-Match", shown.Header.Get("ETag"))
	operator.do(http.StatusNoContent, "DELETE", id, nil, "If-Match", "*")
	operator.do(http.StatusNotFound, "GET", id, nil)

	operator.base = ""
	me := operator.do(http.StatusOK, "GET", "/me", nil)
	if me.Text("kind") != "client" || !strings.Contains(me.Body, `"slug":"acme"`) || !strings.Contains(me.Body, permission.ClientsWrite) {
		t.Errorf("%s", me.Body)
	}
}

func TestAProgramManagesTheProvidersOfAnOrganization(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	acme := house.Organization("acme")
	there := upstreamtest.Serve(t, "oidc")
	operator := &apiJourney{house.Machine(acme, every(false)...), t, "/organizations/acme"}
	operator.do(http.StatusCreated, "POST", "/roles", map[string]any{"name": "clerk"})
	wanted := there.Settings()
	wanted["name"], wanted["client_id"], wanted["client_secret"], wanted["sign_up"] = "idp", upstreamtest.ClientID, there.Secret(), "always"
	wanted["roles"] = map[string]any{"claim": "groups", "map": map[string]any{"staff": []string{"clerk"}}}
	made := operator.do(http.StatusCreated, "POST", "/providers", wanted)
	shown := operator.do(http.StatusOK, "GET", "/providers/idp", nil)
	if made.Header.Get("Location") != house.Base+"/api/v1/organizations/acme/providers/idp" || made.Text("callback_uri") != house.Base+"/o/acme/login/idp/callback" ||
		shown.Body != made.Body || shown.Header.Get("ETag") != made.Header.Get("ETag") || !strings.Contains(made.Body, `"staff":["clerk"]`) {
		t.Errorf("%v %s, and then %s", made.Header, made.Body, shown.Body)
	}
	if test := operator.do(http.StatusOK, "POST", "/providers/idp/test", nil); test.JSON()["ok"] != true || !strings.Contains(test.Body, `"name":"credentials","result":"ok"`) {
		t.Errorf("%s", test.Body)
	}
	changed := operator.do(http.StatusOK, "PATCH", "/providers/idp", `{"title":"Work","sign_up":null,"roles":{"map":{"staff":null,"a.b":["clerk"]}}}`, "If-Match", made.Header.Get("ETag"))
	if changed.Text("title") != "Work" || changed.Text("sign_up") != "follow" || !strings.Contains(changed.Body, `"map":{"a.b":["clerk"]}`) {
		t.Errorf("%s", changed.Body)
	}
	secret := operator.do(http.StatusOK, "PATCH", "/providers/idp", `{"client_secret":"hunter2-hunter2"}`)
	if secret.Header.Get("ETag") == changed.Header.Get("ETag") {
		t.Error("another secret is no change")
	}
	operator.do(http.StatusPreconditionFailed, "PATCH", "/providers/idp", `{"title":"Lost"}`, "If-Match", changed.Header.Get("ETag"))
	if test := operator.do(http.StatusOK, "POST", "/providers/idp/test", nil); test.JSON()["ok"] != false {
		t.Errorf("with a wrong secret: %s", test.Body)
	}
	for body, want := range map[string][]string{
		`{"name":"other"}`:                                {"/name"},
		`{"client_id":null}`:                              {"/client_id"},
		`{"client_secret":null}`:                          {"/client_secret"},
		`{"client_secret":"two\nlines"}`:                  {"/client_secret"},
		`{"issuer":"https://user:hunter2@idp.example"}`:   {"/issuer"},
		`{"org_id":"x","roles":{"mode":"x"}}`:             {"/org_id", "/roles/mode"},
		`{"roles":{"map":{"a.b/c~d":[]}}}`:                {"/roles/map/a.b~1c~0d"},
		`{"roles":{"map":{"x":["owner"]}}}`:               {"/roles/map"},
		`{"home_domains":"acme.example","disabled":"no"}`: {"/disabled", "/home_domains"},
	} {
		wrong := operator.do(http.StatusBadRequest, "PATCH", "/providers/idp", body)
		if !slices.Equal(pointers(wrong), want) || strings.Contains(wrong.Body, "hunter2") || strings.Contains(wrong.Body, "lines") {
			t.Errorf("%s: %s", body, wrong.Body)
		}
	}
	google := map[string]any{"name": "google", "preset": "google", "client_id": "us", "client_secret": "hunter2", "home_domains": []string{"acme.example"}}
	first := operator.do(http.StatusCreated, "POST", "/providers", google, "Idempotency-Key", "once")
	if again := operator.do(http.StatusCreated, "POST", "/providers", google, "Idempotency-Key", "once"); again.Body != first.Body {
		t.Errorf("%s, and again %s", first.Body, again.Body)
	}
	if taken := operator.do(http.StatusConflict, "POST", "/providers", map[string]any{"name": "google", "preset": "google", "client_id": "us", "client_secret": "hunter2"}); !slices.Equal(pointers(taken), []string{"/name"}) {
		t.Errorf("%s", taken.Body)
	}
	google["name"] = "second"
	if home := operator.do(http.StatusConflict, "POST", "/providers", google); !slices.Equal(pointers(home), []string{"/home_domains"}) || strings.Contains(home.Body, "acme.example") {
		t.Errorf("%s", home.Body)
	}
	all := operator.do(http.StatusOK, "GET", "/providers?limit=1", nil)
	if list := items(t, all); len(list) != 1 || list[0]["name"] != "google" || all.Text("next_cursor") == "" {
		t.Errorf("%s", all.Body)
	}

	// Who people are there. Nobody has others say who those are that may do more than they.
	alice := house.User(acme, "alice")
	row, err := house.DB.UpstreamProvider(acme, "idp")
	must(t, err)
	account := &storage.UpstreamAccount{UserID: alice.ID, ProviderID: row.ID, Issuer: there.Profile.Issuer, Subject: "1", Label: "Alice", AccessToken: "hunter3"}
	must(t, house.DB.CreateUpstreamAccount(acme, account))
	owner, err := house.Operators.RoleNamed(acme, permission.Owner)
	must(t, err)
	_, err = house.Operators.GrantRole(acme, alice.ID, owner.ID)
	must(t, err)
	linked := "/users/" + alice.ID.String() + "/linked-accounts"
	list := operator.do(http.StatusOK, "GET", linked, nil)
	if found := items(t, list); len(found) != 1 || found[0]["provider"] != "idp" || found[0]["subject"] != "1" || strings.Contains(list.Body, "hunter3") {
		t.Errorf("%s", list.Body)
	}
	lesser := &apiJourney{house.Machine(acme, permission.ProvidersWrite, permission.UsersWrite), t, "/organizations/acme"}
	lesser.do(http.StatusOK, "PATCH", "/providers/idp", `{"title":"At work","hidden":true}`)
	for _, body := range []string{`{"claims":{"email":"mail"}}`, `{"client_id":"mine"}`, `{"trusted_domains":["example.com"]}`} {
		lesser.do(http.StatusForbidden, "PATCH", "/providers/idp", body)
	}
	lesser.do(http.StatusForbidden, "DELETE", linked+"/"+account.ID.String(), nil)
	operator.do(http.StatusNoContent, "DELETE", linked+"/"+account.ID.String(), nil)
	operator.do(http.StatusNotFound, "DELETE", linked+"/"+account.ID.String(), nil)
	operator.do(http.StatusNotFound, "GET", "/users/"+uuid.NewString()+"/linked-accounts", nil)
	lesser.do(http.StatusOK, "PATCH", "/providers/idp", `{"claims":{"email":"mail"}}`)
	newest(t, house, "alice@example.com", mail.FactorRemoved)

	operator.do(http.StatusPreconditionFailed, "DELETE", "/providers/idp", nil, "If-Match", made.Header.Get("ETag"))
	operator.do(http.StatusOK, "DELETE", "/providers/idp", nil)
	operator.do(http.StatusNotFound, "GET", "/providers/idp", nil)
	operator.do(http.StatusNotFound, "POST", "/providers/idp/test", nil)
	events, err := house.DB.ListAudit(acme, storage.AuditFilter{Limit: 100, OldestFirst: true})
	must(t, err)
	var actions []string
	for _, e := range events {
		if text, _ := json.Marshal(e.Details); strings.Contains(string(text), "hunter") || strings.Contains(string(text), there.Secret()) {
			t.Errorf("a secret is written down: %s", text)
		}
		if strings.HasPrefix(e.Actor, "client:") && e.Action != "role.created" {
			actions = append(actions, e.Action)
		}
	}
	if want := []string{
		"provider.created", "provider.updated", "provider.updated", "provider.created", "provider.updated", "linked_account.removed", "provider.updated", "provider.deleted",
	}; !slices.Equal(actions, want) {
		t.Errorf("%v, want %v", actions, want)
	}
}
