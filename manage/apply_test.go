package manage_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/strictyaml"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// applying are operators who may decide what the manifests of these tests want.
func applying(r replica) replica {
	r, _ = federating(r, replica{manage.New(nil, nil, nil), nil})
	r.Operators = r.Operators.Serving(manage.Addresses{Base: "https://id.example", Root: "main"}).Allowing(settings.Limits{MailDomains: []string{"acme.example"}})
	return r
}

func read(t testing.TB, text string) (*manage.Manifest, error) {
	t.Helper()
	documents, err := strictyaml.Documents([]byte(text))
	must(t, err)
	if len(documents) != 1 {
		t.Fatalf("%d documents", len(documents))
	}
	return manage.ParseManifest(documents[0].JSON)
}

func manifest(t testing.TB, text string) *manage.Manifest {
	t.Helper()
	m, err := read(t, text)
	must(t, err)
	return m
}

// given are secrets for all references of a manifest, each from what it is called.
func given(t testing.TB, m *manage.Manifest) map[string]secret.Text {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	secrets := make(map[string]secret.Text)
	for _, r := range m.References() {
		secrets[r.Pointer] = secret.Text("Zk7-" + r.Env + "/q9XwL2mVb8Tn4Rc6Yd0Hs3Jf5Gp1")
		if r.File != "" || strings.Contains(r.Env, "APPLE") {
			secrets[r.Pointer] = secret.Text(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		}
	}
	return secrets
}

func (o replica) tenant(t testing.TB, slug string) context.Context {
	t.Helper()
	row, err := o.db.OrganizationBySlug(t.Context(), slug)
	must(t, err)
	org, err := o.Addresses().Tenant(row, row.CreatedAt)
	must(t, err)
	return tenant.With(manage.WithActor(t.Context(), manage.Actor{Name: "cli:tester"}), org)
}

func (o replica) described(t testing.TB, slug string) string {
	t.Helper()
	text, err := o.Describe(o.tenant(t, slug))
	must(t, err)
	out, err := strictyaml.Write(text, nil)
	must(t, err)
	return string(out)
}

// apply applies what must be right.
func (o replica) apply(t testing.TB, m *manage.Manifest, options manage.ApplyOptions) *manage.Applied {
	t.Helper()
	applied, err := o.Apply(manage.WithActor(t.Context(), manage.Actor{Name: "cli:tester"}), m, options)
	must(t, err)
	return applied
}

// told is what a plan says in short: "+ role clerk", "~ client web: scope".
func told(a *manage.Applied) (lines []string) {
	for _, c := range a.Changes {
		sign := map[string]string{"create": "+", "change": "~", "delete": "-", "none": "=", "left": "."}[c.Action]
		line := sign + " " + c.Kind + " " + c.Name
		var members []string
		for _, m := range c.Members {
			members = append(members, m.Member)
		}
		if c.Action == "change" {
			line += ": " + strings.Join(members, " ")
		}
		if c.Secret != "" {
			line += " (secret " + c.Secret + ")"
		}
		lines = append(lines, line)
	}
	return lines
}

// changes are the lines of a plan that change something, or leave something that is not wanted.
func changes(a *manage.Applied) []string {
	return slices.DeleteFunc(told(a), func(line string) bool { return strings.HasPrefix(line, "=") })
}

func expect(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAnOrganizationIsMadeAsAManifestSays(t *testing.T) {
	t.Parallel()
	o := applying(newReplica(storagetest.DB(t)))
	text, err := os.ReadFile("testdata/whole.yaml")
	must(t, err)
	whole := manifest(t, string(text))
	secrets := given(t, whole)

	dry := o.apply(t, whole, manage.ApplyOptions{DryRun: true, Secrets: secrets})
	if _, err := o.db.OrganizationBySlug(t.Context(), "acme"); !errors.Is(err, storage.ErrNotFound) || !dry.Changed() || !dry.DryRun {
		t.Fatalf("a dry run leaves something behind: %v", err)
	}
	made := o.apply(t, whole, manage.ApplyOptions{Secrets: secrets})
	expect(t, "the dry run said", told(dry), told(made)...)
	for _, c := range made.Changes {
		if generated := c.Kind == "client" && c.Name == "orders-api"; c.Action != "create" || generated != (c.ClientSecret != "") || generated != (c.Secret == "generated") {
			t.Errorf("%+v", c)
		}
	}
	ctx := o.tenant(t, "acme")
	web, err := o.db.Client(ctx, "web")
	must(t, err)
	if web.SecretDigest == nil || *web.SecretDigest != secret.Digest(secrets["/clients/0/secret"].Reveal()) {
		t.Error("the client has not the secret that was given")
	}
	row, err := o.db.OrganizationBySlug(t.Context(), "acme")
	must(t, err)
	decided, err := settings.Parse(row.Settings)
	must(t, err)
	flat, usual := settings.Flat(decided), settings.Flat(settings.Default())
	for _, m := range settings.Reference() {
		if m.Path != "branding.logo" && flat[m.Path] == usual[m.Path] {
			t.Errorf("%s is as it is by default: this test is to have every member", m.Path)
		}
	}
	seen := map[string]bool{}
	rows, err := o.db.ListUpstreamProviders(ctx, "", 0)
	must(t, err)
	for _, row := range rows {
		seen[fmt.Sprint(row.Settings["preset"])] = true
	}
	for _, name := range strings.Split("oidc google microsoft apple github gitlab facebook discord linkedin oauth2", " ") {
		if !seen[name] {
			t.Errorf("there is no provider of the preset %s", name)
		}
	}
	if actions := o.audited(t, ctx); !slices.Contains(actions, "client.created") || !slices.Contains(actions, "organization.updated") {
		t.Errorf("%v", actions)
	}

	// Applied again, it changes nothing: as it was written, with secrets or without, and as it is described.
	written := len(o.audited(t, ctx))
	expect(t, "again", changes(o.apply(t, whole, manage.ApplyOptions{Secrets: secrets, Prune: true})))
	exported := o.described(t, "acme")
	again := manifest(t, exported)
	expect(t, "described", changes(o.apply(t, again, manage.ApplyOptions{Prune: true})))
	if len(o.audited(t, ctx)) != written {
		t.Error("what changes nothing is written down")
	}

	// Elsewhere it makes the same organization.
	elsewhere := applying(newReplica(storagetest.DB(t)))
	known := map[string]secret.Text{}
	for pointer, text := range given(t, again) {
		known[pointer] = text
	}
	elsewhere.apply(t, again, manage.ApplyOptions{Secrets: known})
	if got := elsewhere.described(t, "acme"); got != exported {
		t.Errorf("described elsewhere:\n%s\nand here\n%s", got, exported)
	}
	for _, text := range secrets {
		if strings.Contains(exported, text.Reveal()) {
			t.Error("a secret is written out")
		}
	}
}

const small = `
keizer: 1
slug: acme
settings: {sign_up: {mode: closed}}
permissions: [{resource: orders, action: read}]
roles: [{name: clerk, permissions: ["orders:read"]}]
apis: [{identifier: "https://api.example", client_id: api, scopes: [{name: orders, permission: "orders:read"}]}]
providers: [{name: google, preset: google, client_id: us, home_domains: [acme.example], secret: {env: GOOGLE, optional: true}}]
clients:
- {client_id: api, grant_types: [client_credentials]}
- {client_id: web, redirect_uris: ["https://web.example/cb"], secret: {env: WEB, optional: true}}
`

func TestWhatDiffersIsChangedAndWhatIsNotNamedIsPruned(t *testing.T) {
	t.Parallel()
	o := applying(newReplica(storagetest.DB(t)))
	google := map[string]secret.Text{"/providers/0/secret": "hunter2"}
	o.apply(t, manifest(t, small), manage.ApplyOptions{Secrets: google})
	ctx := o.tenant(t, "acme")
	before, err := o.db.Client(ctx, "web")
	must(t, err)

	edit := strings.NewReplacer("closed}}", `closed, domains: [x.example]}}`, "action: read}]", "action: read, description: Look}]", `["orders:read"]`, `["orders:read", "keizer:users:read"]`,
		"{name: orders, permission: \"orders:read\"}", "{name: orders}, {name: more, permission: \"orders:read\"}", "name: google,", "name: google, title: Work,", "web.example/cb", "web.example/back")
	changed := manifest(t, edit.Replace(small))
	must(t, func() error {
		_, err := o.UpdateOrganization(ctx, "acme", manage.OrganizationPatch{Settings: settings.Patch{"language": "ar"}})
		return err
	}())
	want := []string{
		"~ organization acme: settings.language settings.sign_up.domains", "~ permission orders:read: description", "~ role clerk: permissions",
		"~ provider google: title", "~ client web: redirect_uris", "~ api https://api.example: scopes",
	}
	expect(t, "a dry run", changes(o.apply(t, changed, manage.ApplyOptions{DryRun: true})), want...)
	expect(t, "for good", changes(o.apply(t, changed, manage.ApplyOptions{})), want...)
	expect(t, "again", changes(o.apply(t, changed, manage.ApplyOptions{})))
	after, err := o.db.Client(ctx, "web")
	must(t, err)
	if *after.SecretDigest != *before.SecretDigest {
		t.Error("a secret that nobody gave has changed")
	}

	// Secrets: another one is said to be another one, and never shown.
	web := secret.Text("mR4-kT9_vW2.xZ7+qL5/nB8=cJ3:hD6")
	for _, c := range []struct {
		secrets map[string]secret.Text
		want    []string
	}{
		{google, nil},
		{map[string]secret.Text{"/providers/0/secret": "hunter3"}, []string{"~ provider google:  (secret changed)"}},
		{map[string]secret.Text{"/clients/1/secret": web + "x"}, []string{"~ client web:  (secret changed)"}},
	} {
		expect(t, "with another secret", changes(o.apply(t, changed, manage.ApplyOptions{DryRun: true, Secrets: c.secrets})), c.want...)
		result := o.apply(t, changed, manage.ApplyOptions{Secrets: c.secrets})
		expect(t, "with another secret", changes(result), c.want...)
		expect(t, "again", changes(o.apply(t, changed, manage.ApplyOptions{Secrets: c.secrets})))
		if out := text(t, result); strings.Contains(out, "hunter") || strings.Contains(out, "mR4") {
			t.Errorf("shown: %s", out)
		}
	}

	// A client that comes to have no secret, and then needs one again, is given one, once.
	public := strings.Replace(edit.Replace(small), "secret: {env: WEB, optional: true}", "token_endpoint_auth_method: none", 1)
	expect(t, "without", changes(o.apply(t, manifest(t, public), manage.ApplyOptions{})), "~ client web: token_endpoint_auth_method")
	result := o.apply(t, changed, manage.ApplyOptions{})
	expect(t, "with one again", changes(result), "~ client web: token_endpoint_auth_method (secret generated)")
	if n := strings.Count(text(t, result), "client_secret\":\"kz_cs_"); n != 1 {
		t.Errorf("%d secrets are shown", n)
	}

	// Nothing is deleted that is not to be, and nothing at all of what the manifest does not speak of.
	person := o.person(t, ctx, "alice")
	owner, err := o.db.RoleByName(ctx, permission.Owner)
	must(t, err)
	must(t, o.db.GrantRole(ctx, person.ID, owner.ID))
	idp, err := o.CreateProvider(ctx, "idp", wanted(t, "us", "s", `{"preset":"github"}`))
	must(t, err)
	must(t, o.db.CreateUpstreamAccount(ctx, &storage.UpstreamAccount{UserID: person.ID, ProviderID: idp.ID, Issuer: "https://github.com", Subject: "1"}))
	expect(t, "of nothing", changes(o.apply(t, manifest(t, "{keizer: 1, slug: acme}"), manage.ApplyOptions{Prune: true})))
	less := manifest(t, `{keizer: 1, slug: acme, roles: [], permissions: [], providers: [], clients: [{client_id: new, redirect_uris: ["https://new.example/cb"]}]}`)
	left := []string{"+ client new (secret generated)", ". client web", ". client api", ". provider idp", ". provider google", ". role clerk", ". permission orders:read"}
	got := changes(o.apply(t, less, manage.ApplyOptions{DryRun: true}))
	slices.Sort(got)
	slices.Sort(left)
	expect(t, "without pruning", got, left...)
	pruned := o.apply(t, less, manage.ApplyOptions{Prune: true})
	got = changes(pruned)
	kept := []string{"+ client new (secret generated)", "- client web", ". client api", ". provider idp", "- provider google", "- role clerk", ". permission orders:read"}
	slices.Sort(got)
	slices.Sort(kept)
	expect(t, "pruned", got, kept...)
	for _, c := range pruned.Changes {
		if c.Action == manage.ChangeLeft && c.Note == "" {
			t.Errorf("nobody says why %s %s stays", c.Kind, c.Name)
		}
	}
	if _, err := o.db.RoleByName(ctx, permission.Owner); err != nil {
		t.Error(err)
	}
	none := manifest(t, `{keizer: 1, slug: acme, apis: [], permissions: [], clients: []}`)
	acting := manage.WithActor(t.Context(), manage.Actor{Name: "client:api", Client: "api", ClientOf: mustOrg(t, ctx).ID})
	result, err = o.Apply(acting, none, manage.ApplyOptions{Prune: true})
	must(t, err)
	expect(t, "all of it", changes(result), "- api https://api.example", "- client new", ". client api", "- permission orders:read")
}

// Whatever something was before, it comes to be what the manifest says, and nothing of what it was stays.
func TestWhatIsAppliedIsAllThatThereIs(t *testing.T) {
	t.Parallel()
	o := applying(newReplica(storagetest.DB(t)))
	o.apply(t, manifest(t, "{keizer: 1, slug: acme, roles: [{name: clerk}], clients: [{client_id: job, grant_types: [client_credentials]}]}"), manage.ApplyOptions{})
	key := es256JWKS
	changes := func(a *manage.Applied) []string { // but for what other parts of the list have left
		return slices.DeleteFunc(changes(a), func(line string) bool { return line == ". client job" })
	}
	for i, text := range []string{
		`clients: [{client_id: x, redirect_uris: ["https://x.example/cb"], contacts: [a@x.example], software_id: x, "client_name#de": X, client_uri: "https://x.example"}]`,
		`clients: [{client_id: x, grant_types: [client_credentials], token_endpoint_auth_method: private_key_jwt, jwks: ` + key + `}]`,
		`clients: [{client_id: x, grant_types: [client_credentials], token_endpoint_auth_method: private_key_jwt, jwks_uri: "https://x.example/jwks", disabled: true}]`,
		`clients: [{client_id: x, redirect_uris: ["https://x.example/cb"], grant_types: [authorization_code, refresh_token], token_endpoint_auth_method: none, scope: openid}]`,
		`clients: [{client_id: x, redirect_uris: ["https://x.example/cb"], token_endpoint_auth_method: private_key_jwt, jwks: ` + key + `, token_endpoint_auth_signing_alg: ES256}]`,
		`clients: [{client_id: x, redirect_uris: ["https://x.example/cb"]}]`,
		`providers: [{name: p, client_id: us, preset: oidc, issuer: "https://idp.example", secret: {env: P}, parameters: {a: b, c: d}, claims: {sub: id, name: full}, roles: {claim: g, map: {a: [clerk], b: [clerk]}}}]`,
		`providers: [{name: p, client_id: us, preset: oidc, issuer: "https://idp.example", parameters: {c: d}, claims: {name: full}, roles: {claim: g, map: {b: [clerk]}}, auth_method: none}]`,
		`providers: [{name: p, client_id: them, preset: google, secret: {env: P}, domains: [acme.example]}]`,
		`providers: [{name: p, client_id: us, preset: oauth2, auth_method: none, authorization_endpoint: "https://o.example/a", token_endpoint: "https://o.example/t", userinfo_endpoint: "https://o.example/u"}]`,
		`apis: [{identifier: "urn:a:b", name: B, client_id: job, scopes: [{name: b, description: B}, {name: a, permission: "keizer:users:read"}]}]`, `apis: [{identifier: "urn:a:b", scopes: [{name: c}]}]`, `apis: [{identifier: "urn:a:b"}]`,
		`roles: [{name: clerk, description: X, permissions: ["keizer:users:read", "keizer:audit:read"]}]`, `roles: [{name: clerk}]`,
		`settings: {sign_up: {fields: {name: null, username: optional}}, login: {methods: [password]}, tokens: {refresh_replay_window: 0s}}`, `settings: {sign_up: {fields: {username: required}}}`, `settings: {}`,
	} {
		m := manifest(t, "{keizer: 1, slug: acme, "+text+"}")
		if changed := changes(o.apply(t, m, manage.ApplyOptions{Secrets: given(t, m)})); len(changed) != 1 {
			t.Errorf("%d: %v", i, changed)
		}
		expect(t, text, changes(o.apply(t, m, manage.ApplyOptions{Secrets: given(t, m)})))
		described := manifest(t, o.described(t, "acme"))
		expect(t, text+", described", changes(o.apply(t, described, manage.ApplyOptions{Prune: true})))
	}
	if end := o.described(t, "acme"); !strings.Contains(end, "settings: {}") || strings.Contains(end, "contacts") || strings.Contains(end, "parameters") {
		t.Errorf("at the end there is\n%s", end)
	}
}

func mustOrg(t testing.TB, ctx context.Context) *tenant.Org {
	t.Helper()
	org, err := tenant.From(ctx)
	must(t, err)
	return org
}

// Whatever is wrong is said by its pointer, all of it at once, and nothing is done in part.
func TestAManifestThatWouldNotDoIsRefused(t *testing.T) {
	t.Parallel()
	o := applying(newReplica(storagetest.DB(t)))
	o.apply(t, manifest(t, small), manage.ApplyOptions{Secrets: map[string]secret.Text{"/providers/0/secret": "hunter2"}})
	before := o.described(t, "acme")
	for text, want := range map[string]string{
		`{slug: acme}`: "/keizer", `{keizer: 2, slug: acme, nonsense: 1}`: "/keizer", `{keizer: "1", slug: acme}`: "/keizer", `[]`: "", `{keizer: 1}`: "/slug",
		`{keizer: 1, slug: Acme}`: "/slug", `{keizer: 1, slug: acme, name: 7}`: "/name", `{keizer: 1, slug: acme, name: ""}`: "/name",
		`{keizer: 1, slug: acme, rolls: []}`: "/rolls", `{keizer: 1, slug: acme, roles: null}`: "/roles", `{keizer: 1, slug: acme, roles: {}}`: "/roles",
		`{keizer: 1, slug: acme, roles: [clerk]}`: "/roles/0", `{keizer: 1, slug: acme, roles: [{name: a}, {name: A}]}`: "/roles/1",
		`{keizer: 1, slug: acme, roles: [{name: owner}]}`: "/roles/0/name", `{keizer: 1, slug: acme, roles: [{name: a, is_system_role: true}]}`: "/roles/0/is_system_role",
		`{keizer: 1, slug: acme, roles: [{name: b, permissions: [nothing]}]}`: "/roles/0/permissions", `{keizer: 1, slug: acme, roles: [{name: b, permissions: x}]}`: "/roles/0/permissions",
		`{keizer: 1, slug: acme, permissions: [{resource: "keizer:users", action: read}, {action: read}]}`:               "/permissions/1/resource",
		`{keizer: 1, slug: acme, permissions: [{resource: "keizer:users", action: look}, {resource: b, action: "c d"}]}`: "/permissions/0/name /permissions/1/action",
		`{keizer: 1, slug: acme, settings: {sign_up: {mode: perhaps}, loggin: 1, tokens: {code_lifetime: 5}}}`:           "/settings/loggin /settings/tokens/code_lifetime",
		`{keizer: 1, slug: acme, settings: {branding: {logo: x}}}`:                                                       "/settings/branding/logo", `{keizer: 1, slug: acme, settings: []}`: "/settings",
		`{keizer: 1, slug: acme, settings: {second_factor: {roles: [nobody]}}}`: "/settings/second_factor/roles", `{keizer: 1, slug: acme, settings: {mail: {from: a@other.example}}}`: "/settings/mail/from",
		`{keizer: 1, slug: acme, hosts: ["https://x.example", "x.example", "X.example"]}`:      "/hosts/0 /hosts/2",
		`{keizer: 1, slug: acme, apis: [{identifier: "not a uri", scopes: [{name: openid}]}]}`: "/apis/0/identifier /apis/0/scopes",
		`{keizer: 1, slug: acme, apis: [{identifier: "https://id.example/o/acme"}]}`:           "/apis/0/identifier", `{keizer: 1, slug: acme, apis: [{identifier: "urn:a:b", client_id: none}]}`: "/apis/0/client_id",
		`{keizer: 1, slug: acme, apis: [{identifier: "urn:a:b", scopes: [{name: a}, {name: A}, {nam: b}]}]}`: "/apis/0/scopes/1 /apis/0/scopes/2/nam /apis/0/scopes/2/name",
		`{keizer: 1, slug: acme, providers: [{name: fresh, client_id: a}]}`:                                  "/providers/0/preset", `{keizer: 1, slug: acme, providers: [{name: fresh, client_id: a, preset: google}]}`: "/providers/0/secret",
		`{keizer: 1, slug: acme, providers: [{name: fresh, client_id: a, preset: google, secret: hunter2}]}`: "/providers/0/secret", `{keizer: 1, slug: acme, providers: [{name: fresh, client_id: a, preset: google, client_secret: hunter2}]}`: "/providers/0/client_secret",
		`{keizer: 1, slug: acme, providers: [{name: fresh, client_id: a, preset: oauth2, auth_method: none, issuerr: x, roles: {map: {"a.b/c": []}}}]}`:                                            "/providers/0/issuerr",
		`{keizer: 1, slug: acme, providers: [{name: fresh, client_id: a, preset: google, secret: {env: X, optional: true}, roles: {claim: x, map: {"a.b/c": []}}}]}`:                               "/providers/0/roles/map/a.b~1c /providers/0/secret",
		`{keizer: 1, slug: acme, providers: [{name: google, client_id: a, preset: google, roles: {claim: x, map: {a: [owner]}}}]}`:                                                                 "/providers/0/roles/map",
		`{keizer: 1, slug: acme, clients: [{client_id: a, secret: {}}, {client_id: b, secret: {env: "A B"}}, {client_id: c, secret: {env: A, file: B}}, {client_id: d, secret: {env: KEIZER_D}}]}`: "/clients/0/secret /clients/1/secret/env /clients/2/secret /clients/3/secret/env",
		`{keizer: 1, slug: acme, clients: [{client_id: "a b"}, {client_id: f47ac10b-58cc-4372-a567-0e02b2c3d479}, {client_name: x}]}`:                                                              "/clients/0/client_id /clients/1/client_id /clients/2/client_id",
		`{keizer: 1, slug: acme, clients: [{client_id: new, redirect_uris: ["http://evil.example"], scope: openid, made_up: 1}]}`:                                                                  "/clients/0/made_up /clients/0/redirect_uris",
		`{keizer: 1, slug: acme, clients: [{client_id: new, redirect_uris: x, disabled: perhaps}]}`:                                                                                                "/clients/0/disabled /clients/0/redirect_uris", `{keizer: 1, slug: acme, clients: [{client_id: a, grant_types: [client_credentials]}, {client_id: a}]}`: "/clients/1",
		`{keizer: 1, slug: acme, clients: [{client_id: web, redirect_uris: ["https://web.example/cb"], token_endpoint_auth_method: none, secret: {env: X, optional: true}}]}`: "/clients/0/secret",
		`{keizer: 1, slug: acme, clients: [{client_id: web, redirect_uris: ["https://web.example/cb"], secret: {env: X}}]}`:                                                   "/clients/0/secret",
	} {
		m, err := read(t, text)
		if err == nil {
			_, err = o.Apply(t.Context(), m, manage.ApplyOptions{})
		}
		var about []string
		for _, complaint := range manage.Complaints(err) {
			if !slices.Contains(about, complaint.Field) {
				about = append(about, complaint.Field)
			}
			if strings.Contains(complaint.Message, "hunter2") {
				t.Errorf("%s: it is repeated: %v", text, err)
			}
		}
		slices.Sort(about)
		if strings.Join(about, " ") != want || err == nil {
			t.Errorf("%s\ncomplains of %v, want %v: %v", text, about, want, err)
		}
	}
	for name, c := range map[string]struct {
		secret secret.Text
		words  string
	}{
		"short": {"hunter2", "32"}, "a phrase": {"passwordpasswordpasswordpassword1", "guessed"}, "spaces": {"Zk7 q9XwL2mVb8Tn4Rc6Yd0Hs3Jf5Gp1", "visible"}, "empty": {"", "empty"},
	} {
		m := manifest(t, small)
		_, err := o.Apply(t.Context(), m, manage.ApplyOptions{Secrets: map[string]secret.Text{"/clients/1/secret": c.secret}})
		if complains(t, name, err, "/clients/1/secret"); err == nil || !strings.Contains(err.Error(), c.words) || c.secret != "" && strings.Contains(err.Error(), c.secret.Reveal()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := o.Apply(t.Context(), manifest(t, small), manage.ApplyOptions{Secrets: map[string]secret.Text{"/clients/7/secret": "x"}})
	complains(t, "a secret for nothing", err, "")
	_, err = o.Apply(t.Context(), manifest(t, `{keizer: 1, slug: acme, providers: [{name: other, client_id: a, preset: github, secret: {env: X}, home_domains: [acme.example]}]}`),
		manage.ApplyOptions{Secrets: map[string]secret.Text{"/providers/0/secret": "hunter2"}})
	conflicts(t, "a domain with two homes", err, "/providers/0/home_domains")
	if after := o.described(t, "acme"); after != before {
		t.Errorf("something was changed:\n%s\nwas\n%s", after, before)
	}

	moved := `{keizer: 1, slug: acme, providers: [{name: first, client_id: a, preset: github, secret: {env: X}, home_domains: [acme.example]}, {name: google, preset: google, client_id: us}]}`
	o.apply(t, manifest(t, moved), manage.ApplyOptions{Secrets: map[string]secret.Text{"/providers/0/secret": "hunter2"}})
}

func TestWhatFailsInTheMiddleLeavesNothing(t *testing.T) {
	t.Parallel()
	url := storagetest.MigratedPostgresURL(t)
	o := applying(newReplica(storagetest.Open(t, url)))
	raw := storagetest.SQL(t, url)
	google := map[string]secret.Text{"/providers/0/secret": "hunter2"}
	_, err := raw.Exec(`ALTER TABLE apis ADD CONSTRAINT refuse CHECK (FALSE) NOT VALID`)
	must(t, err)
	if _, err := o.Apply(t.Context(), manifest(t, small), manage.ApplyOptions{Secrets: google}); err == nil || !strings.Contains(err.Error(), "api https://api.example") {
		t.Errorf("it does not say where: %v", err)
	}
	for _, table := range []string{"organizations", "permissions", "roles", "oauth_clients", "oauth_providers", "audit_events", "signing_keys"} {
		var n int
		must(t, raw.QueryRow(`SELECT COUNT(*) FROM `+table).Scan(&n))
		if n != 0 {
			t.Errorf("%d rows of %s are left", n, table)
		}
	}
	_, err = raw.Exec(`ALTER TABLE apis DROP CONSTRAINT refuse`)
	must(t, err)
	o.apply(t, manifest(t, small), manage.ApplyOptions{Secrets: google})
}

// Nobody does by a manifest what they could not do one by one.
func TestAManifestTakesThePermissionsOfEveryDeedInIt(t *testing.T) {
	t.Parallel()
	o := applying(newReplica(storagetest.DB(t)))
	google := map[string]secret.Text{"/providers/0/secret": "hunter2"}
	o.apply(t, manifest(t, small), manage.ApplyOptions{Secrets: google})
	all := []string{
		permission.OrganizationRead, permission.OrganizationWrite, permission.RolesRead, permission.RolesWrite, permission.ClientsRead, permission.ClientsWrite,
		permission.APIsRead, permission.APIsWrite, permission.ProvidersRead, permission.ProvidersWrite, "orders:read",
	}
	forbidden := func(text, without string) string {
		t.Helper()
		held := slices.DeleteFunc(slices.Clone(all), func(name string) bool { return name == without })
		_, err := o.Apply(manage.WithActor(t.Context(), manage.Actor{Name: "client:x", Bound: &manage.Bound{Permissions: held}}), manifest(t, text),
			manage.ApplyOptions{DryRun: true, Prune: true})
		if one := (*manage.Forbidden)(nil); errors.As(err, &one) {
			return one.Permission
		}
		must(t, err)
		return ""
	}
	edit := strings.NewReplacer("action: read}]", "action: read, description: Look}]", "name: clerk,", "name: clerk, description: X,", "closed}}", "open}}", "name: google,", "name: google, title: X,",
		"web.example/cb", "web.example/back", "identifier:", "name: Orders, identifier:").Replace(small)
	if got := forbidden(edit, ""); got != "" {
		t.Errorf("with all of them it takes %s, too", got)
	}
	for _, name := range all[:10] {
		if got := forbidden(edit, name); got != name {
			t.Errorf("without %s: %q", name, got)
		}
	}
	for _, text := range []string{
		strings.Replace(small, `["orders:read"]`, `[]`, 1), strings.Replace(small, `permission: "orders:read"}`, "}", 1), `{keizer: 1, slug: acme, roles: []}`,
	} {
		if got := forbidden(text, "orders:read"); got != "orders:read" {
			t.Errorf("%s takes %q", text, got)
		}
	}
	if got := forbidden(`{keizer: 1, slug: another}`, ""); got != permission.OrganizationsWrite {
		t.Errorf("to make an organization takes %q", got)
	}
	grand := strings.Replace(small, "{client_id: api, grant_types: [client_credentials]}", `{client_id: api, grant_types: [client_credentials], scope: "keizer:audit:read"}`, 1)
	if got := forbidden(grand, ""); got != permission.AuditRead {
		t.Errorf("a client that may do more takes %q", got)
	}
	// What is in the file but as it is takes nothing but to be seen.
	if got := forbidden(small, permission.ProvidersWrite); got != "" {
		t.Errorf("what stays takes %s", got)
	}
}

// Two who apply at once: one waits for the other, and each finds a whole organization.
func TestTwoWhoApplyAtOnceDoNotMeet(t *testing.T) {
	t.Parallel()
	url := storagetest.MigratedPostgresURL(t)
	var replicas [2]replica
	for i := range replicas {
		replicas[i] = applying(newReplica(storagetest.Open(t, url)))
	}
	variant := func(i int) *manage.Manifest {
		return manifest(t, strings.NewReplacer("web.example", fmt.Sprintf("web%d.example", i), "name: clerk,", fmt.Sprintf("name: clerk, description: of %d,", i)).Replace(small))
	}
	for round := range 4 {
		var wg sync.WaitGroup
		var results [2]*manage.Applied
		var errs [2]error
		for i := range replicas {
			m := variant(i)
			wg.Go(func() {
				results[i], errs[i] = replicas[i].Apply(t.Context(), m, manage.ApplyOptions{Secrets: map[string]secret.Text{"/providers/0/secret": "hunter2"}})
			})
		}
		wg.Wait()
		must(t, errors.Join(errs[:]...))
		whole := [2]int{}
		for i := range replicas {
			whole[i] = len(changes(replicas[0].apply(t, variant(i), manage.ApplyOptions{DryRun: true})))
		}
		if min(whole[0], whole[1]) != 0 || max(whole[0], whole[1]) != 2 {
			t.Errorf("round %d: it is neither the one nor the other: %v", round, whole)
		}
	}
	ctx := replicas[0].tenant(t, "acme")
	if created := slices.DeleteFunc(replicas[0].audited(t, ctx), func(action string) bool { return action != "client.created" }); len(created) != 2 {
		t.Errorf("%d clients were made", len(created))
	}
}

func FuzzManifest(f *testing.F) {
	for _, seed := range []string{
		small, "{keizer: 1, slug: a, clients: [{client_id: b, jwks: {keys: []}, secret: {file: x}}], roles: [[]]}", "{keizer: 1, slug: a, settings: {sign_up: {fields: {name: null}}}}",
		"{keizer: 1, slug: a, providers: [{name: b, preset: oidc, client_id: c, claims: {sub: d}}]}",
	} {
		documents, err := strictyaml.Documents([]byte(seed))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(documents[0].JSON)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := manage.ParseManifest(data)
		if err == nil {
			if m.Slug == "" {
				t.Fatalf("%q is of nothing", data)
			}
			return
		}
		found := manage.Complaints(err)
		if len(found) == 0 {
			t.Fatalf("%q: %v", data, err)
		}
		for _, complaint := range found {
			if complaint.Field != "" && complaint.Field[0] != '/' {
				t.Fatalf("%q: %v is at no place", data, complaint)
			}
		}
	})
}
