package manage_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

const goodPassword = "quiet harbour 7"

// replica is one process of several on a database.
type replica struct {
	*manage.Operators
	db *storage.DB
}

func newReplica(db *storage.DB) replica {
	return replica{manage.New(db, password.New(password.Options{Memory: 64, Slots: 2, Queue: 100, Wait: 1e11}), slog.New(slog.DiscardHandler)), db}
}

// each runs a test on every database, with two replicas of one.
func each(t *testing.T, test func(t *testing.T, o, other replica)) {
	storagetest.EachMigratedURL(t, func(t *testing.T, url string) {
		test(t, newReplica(storagetest.Open(t, url)), newReplica(storagetest.Open(t, url)))
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// organization makes one, and returns a context for it, in which "tester" acts.
func (o replica) organization(t testing.TB, slug string) context.Context {
	t.Helper()
	org, err := o.CreateOrganization(t.Context(), strings.ToUpper(slug), slug)
	must(t, err)
	return o.in(t.Context(), org)
}

func (o replica) in(ctx context.Context, org *storage.Organization) context.Context {
	ctx = manage.WithActor(ctx, manage.Actor{Name: "cli:tester", IPAddress: "192.0.2.7", RequestID: "r1"})
	return tenant.With(ctx, &tenant.Org{ID: org.ID, Slug: org.Slug, Name: org.Name, Issuer: "https://id.example/o/" + org.Slug})
}

// audited returns what has been done, oldest first.
func (o replica) audited(t testing.TB, ctx context.Context) (actions []string) {
	t.Helper()
	events, err := o.db.ListAudit(ctx, storage.AuditFilter{Limit: 1000})
	must(t, err)
	for _, event := range slices.Backward(events) {
		if event.Actor == "" {
			t.Errorf("%s by nobody", event.Action)
		}
		actions = append(actions, event.Action)
	}
	return actions
}

// complains expects an error that is about exactly these fields.
func complains(t testing.TB, deed string, err error, fields ...string) {
	t.Helper()
	var about []string
	for _, complaint := range manage.Complaints(err) {
		if !slices.Contains(about, complaint.Field) {
			about = append(about, complaint.Field)
		}
		if complaint.Message == "" || complaint.Error() == "" {
			t.Errorf("%s: no words for %s", deed, complaint.Field)
		}
	}
	slices.Sort(about)
	slices.Sort(fields)
	if !slices.Equal(about, fields) {
		t.Errorf("%s: complaints about %v, want %v: %v", deed, about, fields, err)
	}
}

func conflicts(t testing.TB, deed string, err error, field string) {
	t.Helper()
	var conflict *manage.Conflict
	if !errors.Is(err, storage.ErrConflict) || !errors.As(err, &conflict) || conflict.Field != field {
		t.Errorf("%s: %v, want a conflict about %s", deed, err, field)
	}
}

func ptr[T any](v T) *T { return &v }

func TestAnOrganizationBeginsWithKeysAndARoleForItsOperators(t *testing.T) {
	each(t, func(t *testing.T, o, _ replica) {
		ctx := o.organization(t, "acme")
		rows, err := o.db.SigningKeys(ctx)
		must(t, err)
		if len(rows) != 3 {
			t.Errorf("%d keys", len(rows))
		}
		role, err := o.db.RoleByName(ctx, "owner")
		if err != nil || !role.IsSystemRole {
			t.Errorf("%+v, %v", role, err)
		}
		if got := o.audited(t, ctx); !slices.Equal(got, []string{"organization.created"}) {
			t.Error(got)
		}
		_, err = o.CreateOrganization(t.Context(), "Another", "acme")
		conflicts(t, "a slug that is taken", err, "slug")
		for _, slug := range []string{
			"", "-acme", "acme-", "Acme", "ac me", "acme.com", "acme/x", "..", "ä", "a_b", "xn--acme", strings.Repeat("a", 64), "o", "api", "login", "console", "setup",
			"acme\n", "acme\x00", "null", "oauth2", "well-known", "a'b",
		} {
			_, err := o.CreateOrganization(t.Context(), "Acme", slug)
			complains(t, slug, err, "slug")
		}
		for _, name := range []string{"", " ", " Acme", "Ac\nme", "Ac\x00me", "Ac\u202eme", "\xff", strings.Repeat("é", 201)} {
			_, err := o.CreateOrganization(t.Context(), name, "another")
			complains(t, name, err, "name")
		}
		_, err = o.CreateOrganization(t.Context(), "", "")
		complains(t, "nothing", err, "name", "slug")
		for i, slug := range []string{"a", "1", "default", "a--b", strings.Repeat("a", 63), "org-1"} {
			if _, err := o.CreateOrganization(t.Context(), strings.Repeat("é", 199+i%2)+"!", slug); err != nil && i%2 == 0 {
				t.Errorf("%s: %v", slug, err)
			}
		}
		all, err := o.db.ListOrganizations(t.Context(), "", 100)
		must(t, err)
		for _, org := range all {
			if rows, err := o.db.SigningKeys(o.in(t.Context(), &org)); err != nil || len(rows) != 3 {
				t.Errorf("%s is half made: %d keys, %v", org.Slug, len(rows), err)
			}
		}
	})
}

func TestAPersonIsMadeWholeOrNotAtAll(t *testing.T) {
	each(t, func(t *testing.T, o, _ replica) {
		ctx := o.organization(t, "acme")
		alice, err := o.CreateUser(ctx, manage.NewUser{
			Username: "alice", Email: "Alice@Example.com", FullName: "Alice Doe", Password: goodPassword, Verified: true, Roles: []string{"operator"},
			Metadata: map[string]any{
				"given_name": "Alice", "phone_number": "+15551234", "phone_number_verified": true, "address": map[string]any{"locality": "Delft"}, "employee": 7.0, "picture": "https://example.com/a.png",
			},
		})
		must(t, err)
		found, err := o.db.UserByLogin(ctx, "ALICE@example.COM")
		if err != nil || found.ID != alice.ID || !found.IsActive || !found.IsVerified || *found.FullName != "Alice Doe" || found.Metadata["given_name"] != "Alice" {
			t.Errorf("%+v, %v", found, err)
		}
		if !strings.HasPrefix(found.PasswordHash, "$argon2id$") {
			t.Error("the password is not hashed")
		}
		roles, err := o.db.RolesOf(ctx, alice.ID)
		if err != nil || len(roles) != 1 || roles[0].Name != "owner" {
			t.Errorf("%v, %v", roles, err)
		}

		_, err = o.CreateUser(ctx, manage.NewUser{Username: "ALICE", Email: "a2@example.com", Password: goodPassword})
		conflicts(t, "the user name in capitals", err, "username")
		_, err = o.CreateUser(ctx, manage.NewUser{Username: "alice2", Email: "alice@EXAMPLE.com", Password: goodPassword})
		conflicts(t, "the e-mail address in capitals", err, "email")
		_, err = o.CreateUser(ctx, manage.NewUser{Email: "alice@example.com", Password: goodPassword})
		conflicts(t, "the e-mail address, without a user name", err, "email")

		_, err = o.CreateUser(ctx, manage.NewUser{Username: "bob", Email: "bob@example.com", Password: goodPassword, Roles: []string{"operator", "opreator"}})
		complains(t, "a role that is not there", err, "role")
		if _, err := o.db.UserByLogin(ctx, "bob"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("half a person was made: %v", err)
		}
		_, err = o.db.EnsureRole(ctx, "editor", "", false)
		must(t, err)
		_, err = o.CreateUser(ctx, manage.NewUser{Username: "bob", Email: "bob@example.com", Password: goodPassword, Roles: []string{"editor"}})
		must(t, err)

		none, err := o.CreateUser(ctx, manage.NewUser{Email: "none@example.com", Passwordless: true})
		must(t, err)
		if none.PasswordHash != password.None {
			t.Errorf("%+v", none)
		}

		for name, c := range map[string]struct {
			change func(*manage.NewUser)
			fields []string
		}{
			"no e-mail address":       {func(u *manage.NewUser) { u.Email = "" }, []string{"email"}},
			"two @":                   {func(u *manage.NewUser) { u.Email = "a@evil.example@example.com" }, []string{"email"}},
			"a line break":            {func(u *manage.NewUser) { u.Email = "a@example.com\r\nBcc: x@y.example" }, []string{"email"}},
			"a user name with @":      {func(u *manage.NewUser) { u.Username = "alice@example.com" }, []string{"username"}},
			"a user name with spaces": {func(u *manage.NewUser) { u.Username = "a b" }, []string{"username"}},
			"a name with a bell":      {func(u *manage.NewUser) { u.FullName = "a\x07" }, []string{"name"}},
			"a short password":        {func(u *manage.NewUser) { u.Password = "1234567" }, []string{"password"}},
			"no password":             {func(u *manage.NewUser) { u.Password = "" }, []string{"password"}},
			"a password for none":     {func(u *manage.NewUser) { u.Passwordless = true }, []string{"password"}},
			"a common password":       {func(u *manage.NewUser) { u.Password = "password" }, []string{"password"}},
			"a password without end":  {func(u *manage.NewUser) { u.Password = secret.Text(strings.Repeat("quiet harbour ", 1<<16)) }, []string{"password"}},
			"everything":              {func(u *manage.NewUser) { *u = manage.NewUser{Username: " "} }, []string{"email", "username", "password"}},
		} {
			user := manage.NewUser{Username: "carol", Email: "carol@example.com", Password: goodPassword}
			c.change(&user)
			_, err := o.CreateUser(ctx, user)
			complains(t, name, err, c.fields...)
		}
		// S-088.
		for name, value := range map[string]any{
			"iss": "https://evil.example", "sub": "x", "aud": "x", "exp": 1.0, "email_verified": true, "email": "x@y.example", "acr": "x", "amr": []any{"mfa"}, "roles": []any{"operator"},
			"ROLES": []any{"operator"}, "groups": []any{}, "name": "x", "preferred_username": "root", "updated_at": 1.0, "scope": "x", "client_id": "x", "sid": "x", "cnf": map[string]any{},
			"": "x", "a\nb": "x", "given_name": 7.0, "family_name": "", "phone_number_verified": "true", "address": "Delft", "nickname": nil, "x": strings.Repeat("x", 17<<10),
			"locale": []any{"nl"}, "picture": "javascript:alert(1)", "website": "http://example.com/", "profile": 7.0,
		} {
			_, err := o.CreateUser(ctx, manage.NewUser{Email: "carol@example.com", Password: goodPassword, Metadata: map[string]any{name: value}})
			complains(t, name, err, "metadata")
		}
		_, err = o.CreateUser(ctx, manage.NewUser{Email: "carol@example.com", Password: goodPassword, Metadata: map[string]any{"address": map[string]any{"planet": "x"}}})
		complains(t, "an address on another planet", err, "metadata")

		two := o.organization(t, "two")
		if _, err := o.CreateUser(two, manage.NewUser{Username: "alice", Email: "alice@example.com", Password: goodPassword}); err != nil {
			t.Errorf("another organization's alice is in the way: %v", err)
		}
		if _, err := o.CreateUser(t.Context(), manage.NewUser{Email: "x@example.com", Password: goodPassword}); !errors.Is(err, storage.ErrNoTenant) {
			t.Errorf("a person of nowhere: %v", err)
		}
		if got := o.audited(t, ctx); !slices.Equal(got, []string{"organization.created", "user.created", "user.created", "user.created"}) {
			t.Error(got)
		}
	})
}

func TestANewPasswordSignsEverybodyOut(t *testing.T) {
	each(t, func(t *testing.T, o, _ replica) {
		ctx := o.organization(t, "acme")
		user, err := o.CreateUser(ctx, manage.NewUser{Username: "alice", Email: "alice@example.com", Password: goodPassword})
		must(t, err)
		session := &storage.Session{UserID: user.ID, Token: "digest", ExpiresAt: user.CreatedAt.Add(1e15)}
		must(t, o.db.CreateSession(ctx, session))
		complains(t, "a short one", o.SetPassword(ctx, "alice", "short"), "password")
		if err := o.SetPassword(ctx, "nobody", "another harbour 8"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("nobody's: %v", err)
		}
		if _, _, err := o.db.SessionByToken(ctx, "digest"); err != nil {
			t.Fatalf("signed out by a failure: %v", err)
		}
		must(t, o.SetPassword(ctx, "Alice@example.com", "another harbour 8"))
		if _, _, err := o.db.SessionByToken(ctx, "digest"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("the session goes on: %v", err)
		}
		after, err := o.db.User(ctx, user.ID)
		must(t, err)
		hasher := password.New(password.Options{})
		if ok, _, err := hasher.Verify(ctx, "another harbour 8", after.PasswordHash); err != nil || !ok {
			t.Errorf("the new one does not work: %v", err)
		}
		if ok, _, err := hasher.Verify(ctx, goodPassword, after.PasswordHash); err != nil || ok {
			t.Errorf("the old one works: %v", err)
		}
		if got := o.audited(t, ctx); !slices.Equal(got, []string{"organization.created", "user.created", "user.password_set"}) {
			t.Error(got)
		}
	})
}

func TestTheAuditSaysWhoAndNothingSecret(t *testing.T) {
	each(t, func(t *testing.T, o, _ replica) {
		ctx := o.organization(t, "acme")
		_, err := o.CreateUser(ctx, manage.NewUser{Email: "alice@example.com", Password: "canary harbour 9"})
		must(t, err)
		client, made, err := o.CreateClient(ctx, manage.ClientSpec{Name: "App", RedirectURIs: []string{"https://rp.example/cb"}})
		must(t, err)
		again, err := o.RotateClientSecret(ctx, client.ClientID, 0)
		must(t, err)
		events, err := o.db.ListAudit(ctx, storage.AuditFilter{Limit: 100})
		must(t, err)
		for _, event := range events {
			if event.Action == "organization.created" {
				if event.Actor != "system" {
					t.Errorf("%s acts where nobody was named", event.Actor)
				}
				continue
			}
			if event.Actor != "cli:tester" || event.IPAddress == nil || *event.IPAddress != "192.0.2.7" || event.RequestID != "r1" || event.Target == "" {
				t.Errorf("%+v", event)
			}
			for _, canary := range []string{"canary", made.Reveal(), again.Reveal()} {
				if strings.Contains(slogText(event), canary) {
					t.Errorf("%s stands in %+v", canary, event)
				}
			}
		}
	})
}

func slogText(v any) string {
	var b strings.Builder
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
	return b.String()
}

func TestKeysAreRotatedAndRevokedUnderAudit(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		ctx := o.organization(t, "acme")
		first, err := o.RotateKey(ctx, "ES256", false, 1e12)
		must(t, err)
		again, err := other.RotateKey(ctx, "ES256", false, 1e12)
		if err != nil || again != first {
			t.Errorf("%s, %v", again, err)
		}
		must(t, o.RevokeKey(ctx, first))
		if err := o.RevokeKey(ctx, first); err == nil {
			t.Error("revoked twice")
		}
		if _, err := o.RotateKey(ctx, "HS256", true, 1e12); err == nil {
			t.Error("rotated by HS256")
		}
		if got := o.audited(t, ctx); !slices.Equal(got, []string{"organization.created", "key.rotated", "key.revoked"}) {
			t.Error(got)
		}
	})
}
