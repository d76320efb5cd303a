package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/admin"
	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
)

// must is for what a test stands on.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// belongings names one of everything that an organization has, by the name of the part of an address that it stands in.
func belongings(t *testing.T, house *servertest.House, ctx context.Context) map[string]string {
	t.Helper()
	org, err := tenant.From(ctx)
	must(t, err)
	user := house.User(ctx, "target")
	role, err := house.Operators.CreateRole(ctx, manage.NewRole{Name: "target"})
	must(t, err)
	p, err := house.Operators.CreatePermission(ctx, manage.NewPermission{Resource: "target", Action: "read"})
	must(t, err)
	_, err = house.Operators.GrantRole(ctx, user.ID, role.ID)
	must(t, err)
	api, err := house.Operators.CreateAPI(ctx, manage.NewAPI{Identifier: "https://target.example", Name: "Target"})
	must(t, err)
	client := house.Client(ctx, manage.ClientSpec{Name: "target"})
	keys, err := house.DB.SigningKeys(ctx)
	must(t, err)
	in := time.Now().Add(time.Hour)
	session := &storage.Session{UserID: user.ID, Token: secret.Digest(uuid.NewString()), ExpiresAt: in}
	must(t, house.DB.CreateSession(ctx, session))
	grant := &storage.Grant{ClientID: client.ID, UserID: &user.ID, SessionID: &session.ID, Scope: []string{"openid"}, ExpiresAt: in}
	must(t, house.DB.CreateGrant(ctx, grant))
	must(t, house.DB.SaveConsent(ctx, user.ID, client.ID, []string{"openid"}))
	registration, _, err := house.Operators.CreateRegistrationToken(ctx, manage.NewRegistrationToken{Name: "Developers"})
	must(t, err)
	invitation, _, err := house.Operators.Invite(ctx, manage.NewInvitation{Email: "target-guest@example.com"})
	must(t, err)
	host, err := house.Operators.AddHost(ctx, "target."+org.Slug+".example")
	must(t, err)
	named := "at-" + org.Slug
	federate(t, house, ctx, named, "us", "hunter2", map[string]any{
		"preset": "oauth2", "authorization_endpoint": house.Base + "/nothing", "token_endpoint": house.Base + "/nothing", "userinfo_endpoint": house.Base + "/nothing",
	}, "")
	provider, err := house.DB.UpstreamProvider(ctx, named)
	must(t, err)
	account := &storage.UpstreamAccount{UserID: user.ID, ProviderID: provider.ID, Issuer: house.Base, Subject: "1"}
	must(t, house.DB.CreateUpstreamAccount(ctx, account))
	return map[string]string{
		"provider": named, "account": account.ID.String(),
		"org": org.Slug, "user": user.ID.String(), "subject": user.ID.String(), "role": role.ID.String(), "permission": p.ID.String(), "api": api.ID.String(), "client": client.ID,
		"kid": keys[0].KID, "session": session.ID.String(), "grant": grant.ID.String(), "invitation": invitation.ID.String(), "registration_token": registration.ID.String(), "host": host.Host,
	}
}

// addressed is the path of an operation about what is named.
func addressed(t *testing.T, o servertest.Operation, names map[string]string) string {
	t.Helper()
	parts := strings.Split(o.Path, "/")
	for i, part := range parts {
		name, isParam := strings.CutPrefix(part, "{")
		if !isParam {
			continue
		}
		value, known := names[strings.TrimSuffix(name, "}")]
		if !known {
			t.Fatalf("%s: what stands for %s here?", o.ID, part)
		}
		parts[i] = url.PathEscape(value)
	}
	return strings.Join(parts, "/")
}

// bodies are such as each operation takes, by its id. What takes no body does not stand here.
var bodies = map[string]string{
	"create-organization": `{"slug":"new-%s"}`, "update-organization": `{"name":"Stolen"}`, "update-settings": `{"mail":{"from_name":"Stolen"}}`,
	"set-logo": tinyPNG, "add-host": `{"host":"stolen-%s.example"}`, "verify-host": `{"proof":"https"}`, "set-issuer": `{}`,
	"create-user": `{"email":"new-%s@example.com","password":"correct horse battery staple"}`, "update-user": `{"full_name":"Stolen"}`,
	"set-user-password": `{"password":"correct horse battery stolen"}`, "import-users": `{"people":[{"email":"imported-%s@example.com","name":"Stolen"}]}`,
	"introspect-token": `{"token":"stolen"}`, "revoke-token": `{"token":"stolen"}`,
	"create-role": `{"name":"new-%s"}`, "update-role": `{"description":"Stolen"}`,
	"create-permission": `{"resource":"new-%s","action":"read"}`, "update-permission": `{"description":"Stolen"}`,
	"create-api": `{"identifier":"https://new-%s.example","name":"New"}`, "update-api": `{"name":"Stolen"}`,
	"create-client": `{"client_name":"New","grant_types":["client_credentials"]}`, "update-client": `{"client_name":"Stolen"}`, "rotate-client-secret": `{"keep_old":"1h"}`,
	"create-provider": `{"name":"new-%s","preset":"google","client_id":"us","client_secret":"hunter2"}`, "update-provider": `{"title":"Stolen"}`,
	"apply-configuration": `{"document":{"keizer":1,"slug":"acme"}}`, "apply-any-configuration": `{"document":{"keizer":1,"slug":"new-%s"},"dry_run":true}`,
	"rotate-key": `{"alg":"ES256"}`, "create-invitation": `{"email":"guest-%s@example.com"}`, "create-registration-token": `{"name":"Token %s"}`,
}

// bodyOf is a body that an operation takes; mark makes it differ from others.
func bodyOf(t *testing.T, o servertest.Operation, mark string) any {
	t.Helper()
	if len(o.Media) == 0 {
		return nil
	}
	body, ok := bodies[o.ID]
	if !ok {
		t.Fatalf("%s: what does it take?", o.ID)
	}
	return strings.ReplaceAll(body, "%s", mark)
}

// ask carries an operation out, as it is meant.
func ask(t *testing.T, who *servertest.Caller, o servertest.Operation, names map[string]string, mark string, header ...string) *servertest.Answer {
	t.Helper()
	if len(o.Media) > 0 {
		header = append(header, "Content-Type", o.Media[0])
		if slices.Contains(o.Media, "image/png") {
			header = append(header, "Content-Type", "image/png")
		}
	}
	return who.Do(o.Method, addressed(t, o, names), bodyOf(t, o, mark), header...)
}

// holdings is everything that stands in the database of an organization.
func holdings(t *testing.T, house *servertest.House, ctx context.Context) string {
	t.Helper()
	org, err := tenant.From(ctx)
	must(t, err)
	db := house.SQL()
	all := []string{strings.Join(column(t, db, `SELECT name || slug || coalesce(settings, '') || updated_at || coalesce(suspended_at, '') FROM organizations WHERE id = $1`, org.ID.String()), "")}
	for _, table := range column(t, db, `SELECT m.name FROM sqlite_master m WHERE m.type = 'table' AND m.name <> 'rate_limits' AND EXISTS (SELECT 1 FROM pragma_table_info(m.name) c WHERE c.name = 'org_id')`) {
		columns := column(t, db, `SELECT group_concat('coalesce(quote('||name||'),'''')', '||'',''||') FROM pragma_table_info($1)`, table)
		rows := column(t, db, `SELECT `+columns[0]+` FROM `+table+` WHERE org_id = $1 ORDER BY 1`, org.ID.String())
		all = append(all, table+": "+strings.Join(rows, "\n"))
	}
	return strings.Join(all, "\n")
}

// person is somebody with a system role and a token for the API, with every scope that there is.
func person(t *testing.T, house *servertest.House, ctx context.Context, app *servertest.Client, role string) *servertest.Caller {
	t.Helper()
	user := house.User(ctx, role)
	if role != "nobody" {
		row, err := house.Operators.RoleNamed(ctx, role)
		must(t, err)
		_, err = house.Operators.GrantRole(ctx, user.ID, row.ID)
		must(t, err)
	}
	scope := "openid " + strings.Join(every(true), " ")
	answer := app.Redeem(app.Visitor().Code(app.AuthorizeURL("scope", scope, "resource", house.Base+admin.Path), role))
	if answer.Status != http.StatusOK {
		t.Fatalf("%s has no token: %d %s", role, answer.Status, answer.Body)
	}
	return house.With(answer.Text("access_token"))
}

// console is an application of an organization's own operators.
func console(house *servertest.House, ctx context.Context) *servertest.Client {
	return house.Client(ctx, manage.ClientSpec{
		Name: "Console", SkipConsent: true, Scope: "openid " + strings.Join(every(true), " "), Audience: []string{house.Base + admin.Path},
	})
}

// S-254, S-256, S-261, S-265: whoever somebody is in one organization, all that is another's is as if it were not there, however it
// is asked for; and within their own everybody can do what their role allows at this moment, and nothing else. The operations are
// those that the document has.
func TestNobodyReachesIntoAnotherOrganizationByAnyOperation(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	ours, theirs, root := house.Organization("ours"), house.Organization("theirs"), house.In("default")
	own, foreign := belongings(t, house, ours), belongings(t, house, theirs)
	app := console(house, ours)
	machine := house.Machine(ours, every(true)...) // organizations:* mean nothing here
	people := map[string]*servertest.Caller{}
	for _, role := range permission.SystemRoles() {
		people[role.Name] = person(t, house, ours, app, role.Name)
	}
	operations := house.Operations()
	if len(operations) < 60 {
		t.Fatalf("%d operations", len(operations))
	}
	// What only looks first, and what takes away last.
	order := []string{"GET", "PATCH", "PUT", "POST", "DELETE"}
	slices.SortStableFunc(operations, func(a, b servertest.Operation) int {
		return slices.Index(order, a.Method) - slices.Index(order, b.Method)
	})

	before := holdings(t, house, theirs)
	seen := map[string]bool{}
	strangers := maps.Clone(people)
	strangers["machine"] = machine
	for _, o := range operations {
		if answer := ask(t, house.With(""), o, foreign, "anonymous"); answer.Status != http.StatusUnauthorized {
			t.Errorf("anonymous, %s: %d", o.ID, answer.Status)
		}
		if !strings.HasPrefix(o.Path, "/organizations/{org}") {
			for name, who := range strangers {
				want := http.StatusForbidden // it is for who reaches into every organization
				if o.Permission == "" {
					want = http.StatusOK
				}
				if answer := ask(t, who, o, foreign, "stranger"); answer.Status != want || strings.Contains(answer.Body, "theirs") {
					t.Errorf("%s, %s: %d %s", name, o.ID, answer.Status, answer.Body)
				}
			}
			continue
		}
		absent := ask(t, machine, o, withName(foreign, "org", "nowhere"), "absent")
		for name, who := range strangers {
			answer := ask(t, who, o, foreign, "stranger", "X-Tenant", "theirs", "X-Organization", "theirs", "X-Forwarded-Host", "theirs.example")
			if answer.Status != http.StatusNotFound || !sameProblem(answer, absent) {
				t.Errorf("%s, %s: %d %s", name, o.ID, answer.Status, answer.Body)
			}
		}
		// What is another's, named within one's own; and what cannot be anybody's.
		params := strings.Count(o.Path, "{")
		for param := range foreign {
			if param == "org" || params < 2 || !strings.Contains(o.Path, "{"+param+"}") {
				continue
			}
			answer := ask(t, machine, o, withName(own, param, foreign[param]), "foreign")
			if answer.Status != http.StatusNotFound {
				t.Errorf("%s with another's %s: %d %s", o.ID, param, answer.Status, answer.Body)
			}
			if seen[o.Method+param] {
				continue
			}
			seen[o.Method+param] = true
			for i, name := range []string{uuid.NewString(), "' OR 1=1 --", "zzz", "..", "%2e%2e", "a\x00b", "\xff", strings.Repeat("9", 300)} {
				odd := ask(t, machine, o, withName(own, param, name), "odd")
				if odd.Status != http.StatusNotFound && odd.Status != http.StatusBadRequest {
					t.Errorf("%s with %s %.40q: %d %s", o.ID, param, name, odd.Status, odd.Body)
				}
				if i == 0 && !sameProblem(odd, answer) {
					t.Errorf("%s with %s: %s, where there is none %s", o.ID, param, answer.Body, odd.Body)
				}
			}
		}
	}
	if after := holdings(t, house, theirs); after != before {
		t.Errorf("something was changed: %s", firstDifference(before, after))
	}

	// Within their own. What somebody takes away is not there for the next, which is no matter: they were let in.
	t.Run("roles", func(t *testing.T) {
		holds := map[string][]string{"machine": every(false)}
		for _, role := range permission.SystemRoles() {
			holds[role.Name] = permission.Effective(role.Permissions, false)
		}
		people["machine"] = machine
		for _, o := range operations {
			for _, name := range []string{"member", "auditor", "admin", "owner", "machine"} {
				if slices.Contains([]string{"delete-organization", "suspend-organization", "end-sessions", "get-me"}, o.ID) {
					continue // after which nobody is let in; and what takes nothing
				}
				answer := ask(t, people[name], o, own, name, "If-Match", `"stale"`)
				if allowed := slices.Contains(holds[name], o.Permission); allowed == (answer.Status == http.StatusForbidden && answer.Text("type") != "urn:keizer:problem:beyond-your-rights") || answer.Status == http.StatusUnauthorized {
					t.Errorf("%s, %s: %d %s", name, o.ID, answer.Status, answer.Body)
				}
				if answer.Status == http.StatusForbidden && !strings.Contains(answer.Header.Get("WWW-Authenticate"), `error="insufficient_scope"`) {
					t.Errorf("%s, %s: %q", name, o.ID, answer.Header.Get("WWW-Authenticate"))
				}
			}
		}
	})

	// Whoever operates the server reaches everywhere.
	t.Run("root", func(t *testing.T) {
		owner := person(t, house, root, console(house, root), "owner")
		house.User(root, "other")
		for _, o := range operations {
			header := []string{"If-Match", `"stale"`}
			switch answer := ask(t, owner, o, foreign, "root", header...); {
			case answer.Status == http.StatusUnauthorized, answer.Status == http.StatusForbidden:
				t.Errorf("%s: %d %s", o.ID, answer.Status, answer.Body)
			case answer.Status == http.StatusNotFound && o.Method != http.MethodDelete:
				t.Errorf("%s: %d %s", o.ID, answer.Status, answer.Body)
			}
		}
	})
}

func withName(names map[string]string, name, value string) map[string]string {
	names = maps.Clone(names)
	names[name] = value
	return names
}

// sameProblem reports whether two refusals differ in nothing but the name of the request.
func sameProblem(a, b *servertest.Answer) bool {
	one, other := a.JSON(), b.JSON()
	delete(one, "request_id")
	delete(other, "request_id")
	first, _ := json.Marshal(one)
	second, _ := json.Marshal(other)
	return a.Status == b.Status && string(first) == string(second)
}

func firstDifference(a, b string) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("%.200q became %.200q", a[max(0, i-80):], b[max(0, i-80):])
		}
	}
	return fmt.Sprintf("%d bytes became %d", len(a), len(b))
}

// What the router has and the document has not nobody tests; what takes nothing is one thing only.
func TestEveryRouteOfTheAPIStandsInItsDocumentAndTakesAPermission(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	operations := house.Operations()
	routes, err := server.Routes(house.House)
	must(t, err)
	for _, route := range routes {
		path, ours := strings.CutPrefix(route.Path, admin.Path)
		if !ours || strings.HasPrefix(path, "/openapi.") {
			continue
		}
		if !slices.ContainsFunc(operations, func(o servertest.Operation) bool {
			return o.Method == route.Method && strings.NewReplacer("{", ":", "}", "").Replace(o.Path) == path
		}) {
			t.Errorf("%s %s does not stand in the document", route.Method, route.Path)
		}
	}
	ids := map[string]bool{}
	for _, o := range operations {
		if ids[o.ID] {
			t.Errorf("two operations are called %s", o.ID)
		}
		ids[o.ID] = true
		if !permission.Known(o.Permission) && o.ID != "get-me" {
			t.Errorf("%s takes %q", o.ID, o.Permission)
		}
		if reads := strings.HasSuffix(o.Permission, ":read"); reads != (o.Method == http.MethodGet) && o.ID != "get-me" {
			t.Errorf("%s %s takes %s", o.Method, o.ID, o.Permission)
		}
	}
	for _, kind := range []string{"json", "yaml"} {
		if document := house.Get(house.Base + "/api/v1/openapi." + kind); document.Status != http.StatusOK || !strings.Contains(document.Body, "3.1.0") {
			t.Errorf("%s: %d", kind, document.Status)
		}
	}
}

// S-025, RFC 6750, RFC 8707: what is no access token for the management API, in whatever place, lets nobody in; and what was one is
// none from the moment on that anything about it changes.
func TestOnlyAnAccessTokenForTheAPILetsSomebodyIn(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	acme := house.Organization("acme")
	api := house.Base + admin.Path
	app := console(house, acme)
	alice := house.User(acme, "alice")
	row, err := house.Operators.RoleNamed(acme, "owner")
	must(t, err)
	_, err = house.Operators.GrantRole(acme, alice.ID, row.ID)
	must(t, err)
	visitor := app.Visitor()
	scope := "openid offline_access " + permission.UsersRead
	_, _, err = house.Operators.UpdateClient(acme, app.ID, manage.ClientPatch{GrantTypes: &[]string{"authorization_code", "refresh_token", "client_credentials"}})
	must(t, err)
	tokens := app.Redeem(visitor.Code(app.AuthorizeURL("scope", scope, "resource", api), "alice"))
	token := tokens.Text("access_token")
	path := "/organizations/acme/users"
	if answer := house.With(token).Do("GET", path, nil); answer.Status != http.StatusOK {
		t.Fatalf("the right one: %d %s", answer.Status, answer.Body)
	}
	jwt := house.Client(acme, manage.ClientSpec{
		Name: "JWT", GrantTypes: []string{"client_credentials"}, Scope: permission.UsersRead, Audience: []string{api}, AccessTokenFormat: "jwt",
	}).Token("grant_type", "client_credentials").Text("access_token")
	if answer := house.With(jwt).Do("GET", path, nil); answer.Status != http.StatusOK {
		t.Errorf("a JWT: %d %s", answer.Status, answer.Body)
	}
	elsewhere := house.Client(acme, manage.ClientSpec{
		Name: "Elsewhere", GrantTypes: []string{"client_credentials"}, Scope: "read", Audience: []string{"https://api.example", api + "/", api + "/organizations"},
	}).Token("grant_type", "client_credentials").Text("access_token")
	for name, wrong := range map[string]string{
		"a refresh token": tokens.Text("refresh_token"), "an ID token": tokens.Text("id_token"), "for others": elsewhere, "one that nobody has": secret.New(secret.AccessToken),
		"an altered one": token[:len(token)-1] + "0", "a JWT with another signature": jwt[:len(jwt)-6] + "AAAAAA", "a client secret": app.Secret,
		"for the issuer": app.Redeem(visitor.Code(app.AuthorizeURL("scope", "openid", "resource", house.Base+"/o/acme"), "alice")).Text("access_token"),
	} {
		answer := house.With(wrong).Do("GET", path, nil)
		if answer.Status != http.StatusUnauthorized || !strings.Contains(answer.Header.Get("WWW-Authenticate"), `error="invalid_token"`) || strings.Contains(answer.Body, wrong) {
			t.Errorf("%s: %d %q %s", name, answer.Status, answer.Header.Get("WWW-Authenticate"), answer.Body)
		}
	}
	for name, r := range map[string]request{
		"in the address":   {address: "/api/v1" + path + "?access_token=" + token},
		"in the body":      {method: "GET", address: "/api/v1" + path, form: fields("access_token", token)},
		"in a cookie":      {address: "/api/v1" + path, cookies: append(visitor.Cookies(house.URL), &http.Cookie{Name: "access_token", Value: token})},
		"by its client":    {address: "/api/v1" + path, header: []string{"Authorization", app.Basic()}},
		"without its name": {address: "/api/v1" + path, header: []string{"Authorization", token}},
		"an empty one":     {address: "/api/v1" + path, header: []string{"Authorization", "Bearer "}},
	} {
		if answer := send(t, house, r); answer.Status != http.StatusUnauthorized || answer.Header.Get("WWW-Authenticate") != `Bearer realm="keizer"` {
			t.Errorf("%s: %d %q %s", name, answer.Status, answer.Header.Get("WWW-Authenticate"), answer.Body)
		}
	}
	if twice := send(t, house, request{address: "/api/v1" + path, header: []string{"Authorization", "Bearer " + token, "Authorization", "Bearer " + token}}); twice.Status != http.StatusBadRequest {
		t.Errorf("twice: %d", twice.Status)
	}

	// What somebody may do is what they may do now, on every replica.
	replica := servertest.Start(t, servertest.Options{ReplicaOf: house})
	status := func() [2]int {
		return [2]int{house.With(token).Do("GET", path, nil).Status, house.With(token).At(replica).Do("GET", path, nil).Status}
	}
	bob := house.User(acme, "bob")
	_, err = house.Operators.GrantRole(acme, bob.ID, row.ID)
	must(t, err)
	must(t, house.Operators.RevokeRole(acme, alice.ID, row.ID))
	if got := status(); got != [2]int{403, 403} {
		t.Errorf("without the role: %v", got)
	}
	_, err = house.Operators.GrantRole(acme, alice.ID, row.ID)
	must(t, err)
	disabled := true
	_, _, err = house.Operators.UpdateClient(acme, app.ID, manage.ClientPatch{Disabled: &disabled})
	must(t, err)
	if got := status(); got != [2]int{401, 401} {
		t.Errorf("of a client that is switched off: %v", got)
	}
	disabled = false
	_, _, err = house.Operators.UpdateClient(acme, app.ID, manage.ClientPatch{Disabled: &disabled})
	must(t, err)
	if got := status(); got != [2]int{200, 200} {
		t.Errorf("again: %v", got)
	}
	_, err = house.Operators.DisableUser(acme, alice.ID)
	must(t, err)
	if got := status(); got != [2]int{401, 401} {
		t.Errorf("of somebody who is switched off: %v", got)
	}
	_, err = house.Operators.SuspendOrganization(acme, "acme")
	must(t, err)
	if answer := house.With(jwt).Do("GET", path, nil); answer.Status != http.StatusUnauthorized {
		t.Errorf("of a suspended organization: %d", answer.Status)
	}
}

// The "Bad input": members that are not known, of another case, there twice, of another type or not to be set, are named, and
// nothing is done; what stood in any of them is never said back, for it may be a password (S-292).
func TestWhatIsWrongWithARequestIsNamedAndNeverRepeated(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	acme := house.Organization("acme")
	names := belongings(t, house, acme)
	machine := house.Machine(acme, every(false)...)
	const canary = "canary-hunter2-canary"
	for _, o := range house.Operations() {
		if len(o.Media) == 0 || !strings.HasSuffix(o.Media[0], "json") {
			continue
		}
		in := acme
		if permission.Reaches(o.Permission) {
			in = house.In("default")
		}
		who := house.Machine(in, o.Permission) // anew, for each may ask so often only
		before := holdings(t, house, acme)
		path := addressed(t, o, names)
		var valid map[string]any
		must(t, json.Unmarshal([]byte(bodyOf(t, o, "x").(string)), &valid))
		refused := func(what string, status int, body any, want string, header ...string) {
			t.Helper()
			answer := who.Do(o.Method, path, body, append([]string{"Content-Type", o.Media[0]}, header...)...)
			if answer.Status != status || want != "" && !slices.Contains(pointers(answer), want) || strings.Contains(answer.Body, canary) {
				t.Errorf("%s, %s: %d, want %d at %s: %s", o.ID, what, answer.Status, status, want, answer.Body)
			}
		}
		for _, member := range []string{"org_id", "id", "is_system_role", "created_at", "role_ids", "tenant_id", "__proto__", "a/b~c"} {
			body := maps.Clone(valid)
			body[member] = canary
			refused("with "+member, http.StatusBadRequest, body, "/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(member))
		}
		text, err := json.Marshal(valid)
		must(t, err)
		for member := range valid {
			other := strings.ToUpper(member[:1]) + member[1:]
			body := maps.Clone(valid)
			delete(body, member)
			body[other] = canary
			refused("as "+other, http.StatusBadRequest, body, "/"+other)
			refused("twice "+member, http.StatusBadRequest, strings.TrimSuffix(string(text), "}")+fmt.Sprintf(",%q:%q}", member, canary), "/"+member)
			refused("both "+member, http.StatusBadRequest, strings.TrimSuffix(string(text), "}")+fmt.Sprintf(",%q:%q}", other, canary), "/"+other)
			for _, value := range []any{[]any{[]any{canary}}, map[string]any{canary + "x": canary}, 17.5, canary + "\x00"} {
				body := maps.Clone(valid)
				if body[member] = value; value == canary+"\x00" && (member == "password" || o.ID == "rotate-key") {
					continue
				}
				answer := who.Do(o.Method, path, body, "Content-Type", o.Media[0])
				if answer.Status != http.StatusBadRequest || strings.Contains(strings.ReplaceAll(answer.Body, canary+"x", ""), canary) {
					t.Errorf("%s, %s %v: %d %s", o.ID, member, value, answer.Status, answer.Body)
				}
			}
		}
		for what, body := range map[string]string{
			"nothing": "", "no JSON": canary, "half of it": `{"` + canary, "an array": `["` + canary + `"]`, "a text": `"` + canary + `"`, "null": "null", "a number": "1", "two": "{}{}",
			"deep": strings.Repeat(`{"a":`, 50) + "1" + strings.Repeat("}", 50), "no text": "{\"a\":\"\xff\"}", "after a mark": "\xef\xbb\xbf{}",
		} {
			if what == "nothing" && o.ID == "rotate-client-secret" {
				continue
			}
			refused(what, http.StatusBadRequest, body, "")
		}
		for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json; charset=latin1", "application/xml", canary, ""} {
			refused("as "+kind, http.StatusUnsupportedMediaType, string(text), "", "Content-Type", kind)
		}
		refused("compressed", http.StatusUnsupportedMediaType, string(text), "", "Content-Encoding", "gzip")
		refused("too large", http.StatusRequestEntityTooLarge, `{"`+strings.Repeat("a", admin.MaxBody)+`":1}`, "")
		if after := holdings(t, house, acme); after != before {
			t.Errorf("%s: something was changed: %s", o.ID, firstDifference(before, after))
		}
	}
	// What no operation is found for is told in the same way.
	for _, r := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/nothing", 404}, {"GET", "/organizations/acme/nothing", 404}, {"PUT", "/me", 405}, {"OPTIONS", "/organizations/acme/users", 405}, {"TRACE", "/me", 405},
		{"GET", "/organizations/acme/users/", 404}, {"GET", "/organizations//users", 404}, {"GET", "/organizations/acme/users?search=" + strings.Repeat("x", 9000), 414},
	} {
		answer := machine.Do(r.method, r.path, nil, "Origin", "https://evil.example")
		if answer.Status != r.want || r.want == 405 && answer.Header.Get("Allow") == "" {
			t.Errorf("%s %.60s: %d %v", r.method, r.path, answer.Status, answer.Header)
		}
	}
}

// S-258, S-260: parameters are those that an operation has, each once, and a cursor is one that the very list has given.
func TestNoParameterOfAListIsMoreThanItSays(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	acme, other := house.Organization("acme"), house.Organization("other")
	var machines []*servertest.Caller
	for _, org := range []context.Context{acme, other} {
		belongings(t, house, org)
		house.Client(org, manage.ClientSpec{Name: "second"})
		house.User(org, "second")
		machines = append(machines, house.Machine(org, every(false)...))
	}
	who := machines[0]
	names := belongingsOf(t, house, "acme")
	for _, o := range house.Operations() {
		if o.Method != http.MethodGet || !slices.Contains(o.Query, "limit") || !strings.HasPrefix(o.Path, "/organizations/{org}") {
			continue
		}
		path := addressed(t, o, names)
		for query, want := range map[string]string{
			"limit=0": "limit", "limit=-1": "limit", "limit=201": "limit", "limit=1e3": "limit", "limit=x": "limit", "limit=": "limit", "limit=5&limit=6": "limit",
			"org_id=x": "org_id", "tenant=other": "tenant", "fields=password_hash": "fields", "order=email": "order", "Limit=5": "Limit",
			"cursor=x": "cursor", "cursor=" + strings.Repeat("A", 120): "cursor", "cursor=%00": "cursor", "cursor=" + strings.Repeat("A", 3000): "cursor",
			"sort=password_hash": "sort", "sort=(CASE+WHEN+1%3D1+THEN+id+END)": "sort", "sort=created_at%3BDROP+TABLE+users": "sort", "sort=%27": "sort",
		} {
			answer := who.Do("GET", path+"?"+query, nil)
			if got := pointers(answer); answer.Status != http.StatusBadRequest || !slices.Contains(got, want) {
				t.Errorf("%s?%.40s: %d %s", o.ID, query, answer.Status, answer.Body)
			}
		}
		if broken := who.Do("GET", path+"?limit=%zz", nil); broken.Status != http.StatusBadRequest {
			t.Errorf("%s: %d", o.ID, broken.Status)
		}
		for _, name := range o.Query {
			if slices.Contains([]string{"limit", "cursor", "sort"}, name) {
				continue
			}
			for _, value := range []string{"' OR '1'='1", "%' OR 1=1 --", `\`, "%_", "); SELECT pg_sleep(9) --", "\x00", "\xff"} {
				answer := who.Do("GET", path+"?"+url.Values{name: {value}}.Encode(), nil)
				if answer.Status != http.StatusBadRequest && (answer.Status != http.StatusOK || len(items(t, answer)) > 0 && value != "%_") {
					t.Errorf("%s with %s %q: %d %s", o.ID, name, value, answer.Status, answer.Body)
				}
			}
		}
	}

	// A cursor of one list is none of another, of another order or filter, or of another organization.
	cursor := who.Do("GET", "/organizations/acme/users?limit=1", nil).Text("next_cursor")
	if cursor == "" {
		t.Fatal("there is one page only")
	}
	for path, want := range map[string]int{
		"users?limit=1": 200, "users?limit=7": 200, "users?sort=email": 400, "users?sort=-created_at": 400, "users?search=e": 400, "users?is_active=true": 400,
		"clients?": 400, "invitations?": 400, "roles?": 400, "audit-events?": 400, "sessions?": 400,
	} {
		if answer := who.Do("GET", "/organizations/acme/"+path+"&cursor="+cursor, nil); answer.Status != want {
			t.Errorf("%s: %d %s", path, answer.Status, answer.Body)
		}
	}
	if answer := machines[1].Do("GET", "/organizations/other/users?cursor="+cursor, nil); answer.Status != http.StatusBadRequest {
		t.Errorf("in another organization: %d", answer.Status)
	}
	for i := 0; i < len(cursor); i += 7 {
		forged := cursor[:i] + string(cursor[i]^1) + cursor[i+1:]
		if answer := who.Do("GET", "/organizations/acme/users?"+url.Values{"cursor": {forged}}.Encode(), nil); answer.Status != http.StatusBadRequest {
			t.Errorf("with character %d altered: %d", i, answer.Status)
		}
	}
	if strings.Contains(cursor, "@") || strings.Contains(cursor, "example") {
		t.Errorf("it shows what it holds: %s", cursor)
	}
}

// belongingsOf names what an organization has already.
func belongingsOf(t *testing.T, house *servertest.House, slug string) map[string]string {
	t.Helper()
	ctx := house.In(slug)
	user, err := house.DB.UserByLogin(ctx, "target")
	must(t, err)
	return map[string]string{"org": slug, "user": user.ID.String(), "role": "target"}
}

// A request under a key is carried out once, on whichever replica and however many come at once; and so is a change that depends on
// what its author knows.
func TestARequestUnderAKeyIsCarriedOutOnce(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := servertest.Start(t, servertest.Options{DatabaseURL: databaseURL})
		replica := servertest.Start(t, servertest.Options{ReplicaOf: house})
		acme := house.Organization("acme")
		who, other := house.Machine(acme, every(false)...), house.Machine(acme, every(false)...)
		const path = "/organizations/acme/clients"
		body := map[string]any{"client_name": "Once", "grant_types": []string{"client_credentials"}}
		var mu sync.Mutex
		var answers []*servertest.Answer
		var wait sync.WaitGroup
		for i := range 12 {
			wait.Go(func() {
				at := []*servertest.House{house, replica}[i%2]
				answer := who.At(at).Do("POST", path, body, "Idempotency-Key", "the-key")
				mu.Lock()
				defer mu.Unlock()
				answers = append(answers, answer)
			})
		}
		wait.Wait()
		var first *servertest.Answer
		for _, answer := range answers {
			switch {
			case answer.Status == http.StatusConflict && answer.Text("type") == "urn:keizer:problem:idempotency-key-in-use" && answer.Header.Get("Retry-After") != "":
			case answer.Status != http.StatusCreated:
				t.Errorf("%d %s", answer.Status, answer.Body)
			case first == nil:
				first = answer
			case answer.Body != first.Body || answer.Header.Get("ETag") != first.Header.Get("ETag") || answer.Header.Get("Location") != first.Header.Get("Location"):
				t.Errorf("%s, and also %s", first.Body, answer.Body)
			}
		}
		again := who.At(replica).Do("POST", path, body, "Idempotency-Key", "the-key")
		if first == nil || again.Body != first.Body || again.Header.Get("Idempotency-Replayed") != "true" || again.Text("client_secret") == "" {
			t.Fatalf("again: %d %v %s", again.Status, again.Header, again.Body)
		}
		for name, sent := range map[string]*servertest.Answer{
			"another body":    who.Do("POST", path, map[string]any{"client_name": "Twice", "grant_types": []string{"client_credentials"}}, "Idempotency-Key", "the-key"),
			"the body spaced": who.Do("POST", path, `{"client_name": "Once", "grant_types": ["client_credentials"]}`, "Idempotency-Key", "the-key"),
		} {
			if sent.Status != http.StatusUnprocessableEntity || !slices.Equal(pointers(sent), []string{"Idempotency-Key"}) {
				t.Errorf("%s: %d %s", name, sent.Status, sent.Body)
			}
		}
		if theirs := other.Do("POST", path, body, "Idempotency-Key", "the-key"); theirs.Status != http.StatusCreated || theirs.Text("client_id") == first.Text("client_id") {
			t.Errorf("of another: %d %s", theirs.Status, theirs.Body)
		}
		if elsewhere := who.Do("POST", "/organizations/acme/roles", map[string]any{"name": "r"}, "Idempotency-Key", "the-key"); elsewhere.Status != http.StatusCreated {
			t.Errorf("at another address: %d %s", elsewhere.Status, elsewhere.Body)
		}
		if n := len(column(t, house.SQL(), `SELECT client_id FROM oauth_clients WHERE name = 'Once'`)); n != 2 {
			t.Errorf("%d clients", n)
		}
		// What came to nothing is tried again, also with what was wrong put right.
		for _, email := range []string{"nobody", "somebody@example.com"} {
			answer := who.Do("POST", "/organizations/acme/users", map[string]any{"email": email, "password": servertest.Password}, "Idempotency-Key", "another")
			if want := map[bool]int{true: 201, false: 400}[email != "nobody"]; answer.Status != want {
				t.Errorf("%s: %d %s", email, answer.Status, answer.Body)
			}
		}
		for _, key := range []string{"", " ", "a b", strings.Repeat("x", 256), "ä"} {
			if answer := who.Do("POST", path, body, "Idempotency-Key", key); answer.Status != http.StatusBadRequest {
				t.Errorf("under %.10q: %d", key, answer.Status)
			}
		}
		// Whoever is switched off is not told what they were told before.
		disabled := true
		_, _, err := house.Operators.UpdateClient(acme, theClient(t, who), manage.ClientPatch{Disabled: &disabled})
		must(t, err)
		if answer := who.Do("POST", path, body, "Idempotency-Key", "the-key"); answer.Status != http.StatusUnauthorized {
			t.Errorf("switched off: %d", answer.Status)
		}

		// Of many who change the same thing as they know it one succeeds.
		role := other.Do("POST", "/organizations/acme/roles", map[string]any{"name": "contested"})
		user := other.Do("POST", "/organizations/acme/users", map[string]any{"email": "contested@example.com", "password": servertest.Password})
		client := other.Do("POST", path, body)
		api := other.Do("POST", "/organizations/acme/apis", map[string]any{"identifier": "https://contested.example", "name": "x"})
		provider := other.Do("POST", "/organizations/acme/providers", map[string]any{"name": "contested", "preset": "google", "client_id": "us", "client_secret": "hunter2"})
		org := other.Do("GET", "/organizations/acme", nil)
		for at, thing := range map[string]struct {
			is    *servertest.Answer
			field string
		}{
			"/roles/contested": {role, "description"}, "/users/" + user.Text("id"): {user, "full_name"}, "/clients/" + client.Text("client_id"): {client, "client_name"},
			"/apis/" + api.Text("id"): {api, "name"}, "": {org, "name"}, "/providers/contested": {provider, "title"},
		} {
			won := make([]int, 6)
			for i := range won {
				wait.Go(func() {
					at := "/organizations/acme" + at
					won[i] = other.At([]*servertest.House{house, replica}[i%2]).Do("PATCH", at, map[string]any{thing.field: fmt.Sprint("n", i)}, "If-Match", thing.is.Header.Get("ETag")).Status
				})
			}
			wait.Wait()
			slices.Sort(won)
			if !slices.Equal(won, []int{200, 412, 412, 412, 412, 412}) {
				t.Errorf("%s: %v", at, won)
			}
		}
	})
}

// theClient is the client that a token is of.
func theClient(t *testing.T, who *servertest.Caller) string {
	t.Helper()
	return who.Do("GET", "/me", nil).Text("client_id")
}

// S-285: six hundred requests a minute, of one actor, on all replicas together.
func TestWhoAsksTheAPITooOftenWaits(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	acme := house.Organization("acme")
	busy, other := house.Machine(acme, every(false)...), house.Machine(acme, every(false)...)
	busy.Do("GET", "/me", nil)
	// As it stands after six hundred.
	change(t, house, `UPDATE rate_limits SET busy_until = $1 WHERE subject LIKE 'api_actor:%'`, time.Now().Add(100*time.Second).UnixMicro())
	for i := range throttle.APIBundle { // the rest of the first bundle is there yet
		if answer := busy.Do("GET", "/me", nil); (answer.Status == http.StatusTooManyRequests) != (i == throttle.APIBundle-1) {
			t.Errorf("%d: %d %s", i, answer.Status, answer.Body)
		}
	}
	if answer := busy.At(servertest.Start(t, servertest.Options{ReplicaOf: house})).Do("GET", "/me", nil); answer.Status != http.StatusTooManyRequests {
		t.Errorf("at another replica: %d", answer.Status)
	}
	if answer := other.Do("GET", "/me", nil); answer.Status != http.StatusOK {
		t.Errorf("another: %d", answer.Status)
	}
}

// S-265, S-266: whoever calls gives to nobody, and takes into no account or client, more than they hold themselves: neither an admin,
// who may not delete the organization, nor a client that may do less. Nothing of it is done in part.
func TestNobodyGivesAwayMoreThanTheyHoldOverTheAPI(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	acme := house.Organization("acme")
	deputy := person(t, house, acme, console(house, acme), "admin")
	owner := house.User(acme, "chief")
	row, err := house.Operators.RoleNamed(acme, "owner")
	must(t, err)
	_, err = house.Operators.GrantRole(acme, owner.ID, row.ID)
	must(t, err)
	mighty := house.Client(acme, manage.ClientSpec{Name: "Mighty", GrantTypes: []string{"client_credentials"}, Scope: permission.OrganizationDelete})
	own := house.Machine(acme, permission.UsersRead, permission.UsersWrite, permission.RolesRead, permission.RolesWrite, permission.ClientsWrite, permission.InvitationsWrite,
		permission.ProvidersWrite, permission.APIsWrite)
	_, err = house.Operators.CreateRole(acme, manage.NewRole{Name: "heir", Permissions: []string{permission.OrganizationDelete}})
	must(t, err)
	federate(t, house, acme, "idp", "us", "hunter2", map[string]any{"preset": "google"}, "")
	provider, err := house.DB.UpstreamProvider(acme, "idp")
	must(t, err)
	account := &storage.UpstreamAccount{UserID: owner.ID, ProviderID: provider.ID, Issuer: "https://accounts.google.com", Subject: "1"}
	must(t, house.DB.CreateUpstreamAccount(acme, account))
	self := "/clients/" + theClient(t, own)
	friend := house.User(acme, "friend")
	chief, strong := "/users/"+owner.ID.String(), "/clients/"+mighty.ID
	before := holdings(t, house, acme)
	for name, who := range map[string]*servertest.Caller{"an admin": deputy, "a client": own} {
		for _, r := range []struct{ method, path, body string }{
			{"PUT", "/users/" + friend.ID.String() + "/roles/owner", ""}, {"DELETE", chief + "/roles/owner", ""}, {"DELETE", chief, ""}, {"POST", chief + "/disable", ""}, {"PATCH", chief, `{"email":"mine@example.com"}`},
			{"PUT", chief + "/password", `{"password":"correct horse battery stolen"}`}, {"DELETE", chief + "/factors", ""},
			{"POST", "/users", `{"email":"x@example.com","password":"correct horse battery staple","roles":["owner"]}`},
			{"POST", "/invitations", `{"email":"y@example.com","roles":["operator"]}`},
			{"POST", "/roles", `{"name":"mighty","permissions":["keizer:organization:delete"]}`},
			{"POST", "/clients", `{"client_name":"x","grant_types":["client_credentials"],"scope":"keizer:organization:delete"}`},
			{"PATCH", self, `{"scope":"keizer:users:read keizer:organization:delete"}`},
			{"POST", "/providers", `{"name":"x","preset":"google","client_id":"x","client_secret":"x","roles":{"claim":"groups","map":{"all":["heir"]}}}`},
			{"PATCH", "/providers/idp", `{"roles":{"claim":"groups","map":{"all":["heir"]}}}`}, {"PATCH", "/providers/idp", `{"client_id":"mine"}`},
			{"DELETE", chief + "/linked-accounts/" + account.ID.String(), ""},
			{"GET", "/users/export?hashes=true", ""}, {"POST", chief + "/provider-tokens/idp", ""},
			{"POST", "/users/import", `{"people":[{"email":"z@example.com","roles":["owner"]}]}`},
			{"POST", "/users/import", `{"people":[{"email":"` + owner.Email + `","active":false}],"on_conflict":"update"}`},
			{"POST", strong + "/secret", ""}, {"PATCH", strong, `{"token_endpoint_auth_method":"none"}`}, {"DELETE", strong, ""},
		} {
			var body any
			if r.body != "" {
				body = r.body
			}
			answer := who.Do(r.method, "/organizations/acme"+r.path, body)
			if answer.Status != http.StatusForbidden || answer.Text("type") != "urn:keizer:problem:beyond-your-rights" {
				t.Errorf("%s, %s %s: %d %s", name, r.method, r.path, answer.Status, answer.Body)
			}
		}
		if after := holdings(t, house, acme); after != before {
			t.Errorf("%s has changed something: %s", name, firstDifference(before, after))
		}
	}
}
