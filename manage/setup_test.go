package manage_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
)

const base = "http://localhost:8080"

// link makes a setup link and returns its token.
func (o replica) link(t testing.TB, ctx context.Context) string {
	t.Helper()
	address, err := o.NewSetupLink(ctx, base)
	must(t, err)
	u, err := url.Parse(address)
	must(t, err)
	token := u.Query().Get("token")
	if !strings.HasPrefix(address, base+"/setup?") || !secret.Valid(secret.Setup, token) || len(u.Query()) != 1 {
		t.Fatalf("%s is not a setup link", address)
	}
	return token
}

func form(n int) manage.SetupForm {
	return manage.SetupForm{
		OrganizationName: "Acme", OrganizationSlug: "acme", Username: fmt.Sprintf("root%d", n), Email: fmt.Sprintf("root%d@example.com", n), FullName: "Root",
		Password: goodPassword,
	}
}

func dead(err error) bool {
	return errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrSpent)
}

func (o replica) operators(t testing.TB) (found int) {
	t.Helper()
	orgs, err := o.db.ListOrganizations(t.Context(), "", 1000)
	must(t, err)
	for _, org := range orgs {
		ctx := o.in(t.Context(), &org)
		users, err := o.db.ListUsers(ctx, [16]byte{}, 1000)
		must(t, err)
		for _, user := range users {
			roles, err := o.db.RolesOf(ctx, user.ID)
			must(t, err)
			if slices.ContainsFunc(roles, func(role storage.Role) bool { return role.Name == "owner" && role.IsSystemRole }) {
				found++
			}
		}
	}
	return found
}

func TestASetupLinkMakesTheFirstOperatorAndTheOrganization(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		token := o.link(t, t.Context())
		if org, err := o.OpenSetupLink(t.Context(), token); err != nil || org != nil {
			t.Errorf("%+v, %v", org, err)
		}
		for name, c := range map[string]struct {
			change func(*manage.SetupForm)
			fields []string
		}{
			"nothing":         {func(f *manage.SetupForm) { *f = manage.SetupForm{} }, []string{"organization_name", "organization_slug", "email", "password"}},
			"a reserved slug": {func(f *manage.SetupForm) { f.OrganizationSlug = "api" }, []string{"organization_slug"}},
			"a weak password": {func(f *manage.SetupForm) { f.Password = "12345678" }, []string{"password"}},
			"a bad user name": {func(f *manage.SetupForm) { f.Username = "a@b" }, []string{"username"}},
		} {
			entered := form(1)
			c.change(&entered)
			_, _, err := o.CompleteSetup(t.Context(), token, entered)
			complains(t, name, err, c.fields...)
		}
		org, user, err := o.CompleteSetup(t.Context(), token, form(1))
		must(t, err)
		if org.Slug != "acme" || org.Name != "Acme" || !user.IsVerified || !user.IsActive {
			t.Errorf("%+v, %+v", org, user)
		}
		row, err := o.db.OrganizationBySlug(t.Context(), "acme")
		must(t, err)
		ctx := o.in(t.Context(), row)
		if rows, err := o.db.SigningKeys(ctx); err != nil || len(rows) != 3 {
			t.Errorf("%d keys, %v", len(rows), err)
		}
		if found, err := o.db.UserByLogin(ctx, "root1"); err != nil || found.ID != user.ID {
			t.Error(err)
		}
		events, err := o.db.ListAudit(ctx, storage.AuditFilter{Limit: 10})
		if err != nil || len(events) != 1 || events[0].Action != "setup.completed" || events[0].Actor != "setup-link" || events[0].Target != user.ID.String() {
			t.Errorf("%+v, %v", events, err)
		}
		if o.operators(t) != 1 {
			t.Errorf("%d operators", o.operators(t))
		}

		// And never again.
		for _, r := range []replica{o, other} {
			if _, _, err := r.CompleteSetup(t.Context(), token, form(2)); !dead(err) {
				t.Errorf("the link works twice: %v", err)
			}
			if _, err := r.OpenSetupLink(t.Context(), token); !dead(err) {
				t.Errorf("the link opens: %v", err)
			}
			_, err := r.NewSetupLink(t.Context(), base)
			conflicts(t, "another link", err, "operator")
		}
	})
}

func TestASetupLinkEndsThoseBeforeItAndAFurtherOneDoesNot(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		further := func(r replica) string {
			t.Helper()
			address, err := r.FurtherSetupLink(t.Context(), base)
			must(t, err)
			_, token, _ := strings.Cut(address, "token=")
			return token
		}
		opens := func(token string) bool {
			t.Helper()
			_, err := o.OpenSetupLink(t.Context(), token)
			if err != nil && !dead(err) {
				t.Fatal(err)
			}
			return err == nil
		}
		// Two replicas start, and each shows a link.
		first, second := further(o), further(other)
		if !opens(first) || !opens(second) {
			t.Error("the links of two replicas do not both work")
		}
		replaced := o.link(t, t.Context())
		if opens(first) || opens(second) || !opens(replaced) {
			t.Error("a link that was asked for does not stand alone")
		}
		third := further(other)
		_, _, err := o.CompleteSetup(t.Context(), third, form(1))
		must(t, err)
		if opens(replaced) || opens(third) {
			t.Error("a link outlives the setup")
		}
		_, err = o.FurtherSetupLink(t.Context(), base)
		conflicts(t, "another link", err, "operator")
	})
}

func TestASetupLinkForAnOrganizationMakesItsOperator(t *testing.T) {
	each(t, func(t *testing.T, o, _ replica) {
		ctx := o.organization(t, "default")
		_, err := o.CreateUser(ctx, manage.NewUser{Username: "alice", Email: "alice@example.com", Password: goodPassword})
		must(t, err)
		for name, in := range map[string]context.Context{"named": ctx, "the only one": t.Context()} {
			token := o.link(t, in)
			if org, err := o.OpenSetupLink(t.Context(), token); err != nil || org == nil || org.Slug != "default" {
				t.Errorf("%s: %+v, %v", name, org, err)
			}
		}
		token := o.link(t, t.Context())
		entered := form(1)
		entered.OrganizationName, entered.OrganizationSlug = "", ""
		entered.Username = "Alice"
		_, _, err = o.CompleteSetup(t.Context(), token, entered)
		conflicts(t, "a user name that is taken", err, "username")
		entered.Username, entered.Email = "root", "ALICE@example.com"
		_, _, err = o.CompleteSetup(t.Context(), token, entered)
		conflicts(t, "an e-mail address that is taken", err, "email")
		entered.Email = "root@example.com"
		org, _, err := o.CompleteSetup(t.Context(), token, entered)
		if err != nil || org.Slug != "default" {
			t.Errorf("the link is burnt by a mistake: %v", err)
		}
		if orgs, err := o.db.ListOrganizations(t.Context(), "", 10); err != nil || len(orgs) != 1 {
			t.Errorf("%d organizations, %v", len(orgs), err)
		}
	})
}

func TestAnOrganizationThatIsTakenDoesNotBurnTheSetupLink(t *testing.T) {
	each(t, func(t *testing.T, o, _ replica) {
		o.organization(t, "acme")
		o.organization(t, "another")
		token := o.link(t, t.Context()) // two organizations: the link is for none of them
		_, _, err := o.CompleteSetup(t.Context(), token, form(1))
		conflicts(t, "a slug that is taken", err, "organization_slug")
		entered := form(1)
		entered.OrganizationSlug = "third"
		if _, _, err := o.CompleteSetup(t.Context(), token, entered); err != nil {
			t.Error(err)
		}
	})
}

func TestOnlyTheNewestSetupLinkWorksAndOnlyForADay(t *testing.T) {
	each(t, func(t *testing.T, o, _ replica) {
		first := o.link(t, t.Context())
		second := o.link(t, t.Context())
		if _, _, err := o.CompleteSetup(t.Context(), first, form(1)); !dead(err) {
			t.Errorf("an older link works: %v", err)
		}
		for _, token := range []string{"", "x", second[:len(second)-1], second + "x", strings.ToUpper(second), secret.New(secret.Setup), secret.New(secret.AccessToken)} {
			if _, _, err := o.CompleteSetup(t.Context(), token, form(1)); !dead(err) {
				t.Errorf("%q works: %v", token, err)
			}
		}
		row, err := o.db.SetupToken(t.Context(), secret.Digest(second))
		must(t, err)
		if life := time.Until(row.ExpiresAt); life > 24*time.Hour || life < 24*time.Hour-time.Minute || row.Token == second {
			t.Errorf("it lives for %v", life)
		}
		past := secret.New(secret.Setup)
		must(t, o.db.CreateSetupToken(t.Context(), &storage.VerificationToken{Token: secret.Digest(past), ExpiresAt: time.Now().Add(-time.Second)}))
		other := secret.New(secret.Setup)
		must(t, o.db.CreateVerificationToken(o.organization(t, "elsewhere"), &storage.VerificationToken{Token: secret.Digest(other), Type: "password_reset", ExpiresAt: time.Now().Add(time.Hour)}))
		for _, token := range []string{past, other} {
			if _, _, err := o.CompleteSetup(t.Context(), token, form(1)); !dead(err) {
				t.Errorf("an expired link, or one for something else, works: %v", err)
			}
		}
		if _, _, err := o.CompleteSetup(t.Context(), second, form(1)); err != nil {
			t.Error(err)
		}
	})
}

// S-225.
func TestOfManyWhoSetUpAtOnceOneBecomesOperator(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		replicas := []replica{o, other}
		// Links that were all made at the same moment, as by replicas that start together: none has ended the others.
		tokens := []string{o.link(t, t.Context())}
		for range 3 {
			token := secret.New(secret.Setup)
			must(t, o.db.CreateSetupToken(t.Context(), &storage.VerificationToken{
				Token: secret.Digest(token), ExpiresAt: time.Now().Add(time.Hour),
			}))
			tokens = append(tokens, token)
		}
		const racers = 16
		var racing sync.WaitGroup
		var won, lost atomic.Int64
		for i := range racers {
			racing.Go(func() {
				entered := form(i)
				entered.OrganizationSlug = fmt.Sprintf("acme%d", i)
				switch _, _, err := replicas[i%2].CompleteSetup(t.Context(), tokens[i/2%len(tokens)], entered); {
				case err == nil:
					won.Add(1)
				case dead(err):
					lost.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		racing.Wait()
		if won.Load() != 1 || lost.Load() != racers-1 || o.operators(t) != 1 {
			t.Errorf("%d won, %d lost, %d operators", won.Load(), lost.Load(), o.operators(t))
		}
		if orgs, err := o.db.ListOrganizations(t.Context(), "", 100); err != nil || len(orgs) != 1 {
			t.Errorf("%d organizations, %v", len(orgs), err)
		}
	})
}

func TestReplicasThatStartTogetherEndWithOneDevelopmentOrganization(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		must(t, o.EnsureDevelopment(t.Context(), ""))
		org, err := o.db.OrganizationBySlug(t.Context(), "default")
		must(t, err)
		ctx := o.in(t.Context(), org)
		if _, err := o.db.Client(ctx, "demo"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("a client without an address: %v", err)
		}
		must(t, o.EnsureDevelopment(t.Context(), base))
		must(t, other.EnsureDevelopment(t.Context(), base))
		demo, err := o.db.Client(ctx, "demo")
		must(t, err)
		if demo.AuthMethod != "none" || demo.SecretDigest != nil || !slices.Equal(demo.GrantTypes, []string{"authorization_code", "refresh_token"}) ||
			!slices.Equal(demo.RedirectURIs, []string{base + "/playground/callback", "http://127.0.0.1/callback", "http://[::1]/callback"}) ||
			!slices.Equal(demo.PostLogoutRedirectURIs, []string{base + "/playground"}) ||
			!slices.Equal(demo.Scopes, []string{"openid", "profile", "email", "address", "phone", "offline_access"}) {
			t.Errorf("%+v", demo)
		}
		if got := o.audited(t, ctx); !slices.Equal(got, []string{"organization.created", "client.created"}) {
			t.Error(got)
		}
		must(t, o.EnsureDevelopment(t.Context(), "http://localhost:9999"))
		if demo, err = o.db.Client(ctx, "demo"); err != nil || demo.RedirectURIs[0] != "http://localhost:9999/playground/callback" || demo.PostLogoutRedirectURIs[0] != "http://localhost:9999/playground" {
			t.Errorf("%+v, %v", demo, err)
		}
		// The server on the port before may still be running; those of long ago are not.
		if !slices.Contains(demo.RedirectURIs, base+"/playground/callback") || !slices.Contains(demo.PostLogoutRedirectURIs, base+"/playground") {
			t.Errorf("the playground at %s was cut off: %v, %v", base, demo.RedirectURIs, demo.PostLogoutRedirectURIs)
		}
		for port := range 9 {
			must(t, other.EnsureDevelopment(t.Context(), fmt.Sprintf("http://localhost:900%d", port)))
		}
		if demo, err = o.db.Client(ctx, "demo"); err != nil || demo.RedirectURIs[0] != "http://localhost:9008/playground/callback" ||
			demo.PostLogoutRedirectURIs[0] != "http://localhost:9008/playground" || len(demo.RedirectURIs) != 6 || len(demo.PostLogoutRedirectURIs) != 4 ||
			!slices.Contains(demo.RedirectURIs, "http://127.0.0.1/callback") {
			t.Errorf("%+v, %v", demo, err)
		}
	})
	each(t, func(t *testing.T, o, other replica) {
		var starting sync.WaitGroup
		for i := range 8 {
			starting.Go(func() {
				if err := []replica{o, other}[i%2].EnsureDevelopment(t.Context(), base); err != nil {
					t.Error(err)
				}
			})
		}
		starting.Wait()
		orgs, err := o.db.ListOrganizations(t.Context(), "", 10)
		if err != nil || len(orgs) != 1 {
			t.Fatalf("%d organizations, %v", len(orgs), err)
		}
		ctx := o.in(t.Context(), &orgs[0])
		clients, err := o.db.ListClients(ctx, "", 10)
		if err != nil || len(clients) != 1 {
			t.Errorf("%d clients, %v", len(clients), err)
		}
		if rows, err := o.db.SigningKeys(ctx); err != nil || len(rows) != 3 {
			t.Errorf("%d keys, %v", len(rows), err)
		}
	})
}

func TestATokenIsShownAndEndedByItsText(t *testing.T) {
	each(t, func(t *testing.T, o, _ replica) {
		ctx, two := o.organization(t, "one"), o.organization(t, "two")
		user, err := o.CreateUser(ctx, manage.NewUser{Username: "alice", Email: "alice@example.com", Password: goodPassword})
		must(t, err)
		later := time.Now().Add(time.Hour)
		grant := &storage.Grant{ClientID: "app", UserID: &user.ID, Scope: []string{"openid", "offline_access"}, Audience: []string{"https://api.example"}, ExpiresAt: later}
		must(t, o.db.CreateGrant(ctx, grant))
		opaque, jwt, refresh, spent, own := secret.New(secret.AccessToken), "eyJh.eyJi.c2ln", secret.New(secret.RefreshToken), secret.New(secret.RefreshToken), secret.New(secret.AccessToken)
		for _, text := range []string{opaque, jwt} {
			must(t, o.db.CreateAccessToken(ctx, &storage.AccessToken{
				Digest: secret.Digest(text), GrantID: &grant.ID, ClientID: "app", Subject: user.ID.String(), Scope: []string{"openid", "email"}, Audience: []string{"https://api.example"},
				Format: "opaque", ExpiresAt: later,
			}))
		}
		must(t, o.db.CreateAccessToken(ctx, &storage.AccessToken{Digest: secret.Digest(own), ClientID: "job", Subject: "job", Scope: []string{"read"}, Format: "opaque", ExpiresAt: later}))
		for _, text := range []string{refresh, spent} {
			must(t, o.db.CreateRefreshToken(ctx, &storage.RefreshToken{Digest: secret.Digest(text), GrantID: grant.ID, ClientID: "app", ExpiresAt: later}))
		}
		must(t, o.db.SpendRefreshToken(ctx, secret.Digest(spent), nil))

		for name, c := range map[string]struct {
			token, kind, scope, sub string
		}{
			"opaque": {opaque, "Bearer", "openid email", user.ID.String()}, "jwt": {jwt, "Bearer", "openid email", user.ID.String()},
			"refresh": {refresh, "refresh_token", "openid offline_access", user.ID.String()}, "a client's own": {own, "Bearer", "read", "job"},
		} {
			found, err := o.Introspect(ctx, c.token)
			must(t, err)
			if found["active"] != true || found["token_type"] != c.kind || found["scope"] != c.scope || found["sub"] != c.sub || found["exp"] != later.Unix() {
				t.Errorf("%s: %v", name, found)
			}
			if (name != "a client's own") != (found["username"] == "alice") {
				t.Errorf("%s: of %v", name, found["username"])
			}
			o.inactive(t, two, c.token)
			if err := o.Revoke(two, c.token); !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("%s: another organization ends it: %v", name, err)
			}
		}
		for _, text := range []string{"", "x", spent, secret.New(secret.AccessToken), secret.New(secret.Code), opaque[:len(opaque)-1], "eyJ.x", strings.Repeat(".", 1<<20)} {
			o.inactive(t, ctx, text)
		}
		must(t, o.Revoke(ctx, opaque))
		o.inactive(t, ctx, opaque)
		if err := o.Revoke(ctx, opaque); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("ended twice: %v", err)
		}
		if found, err := o.Introspect(ctx, jwt); err != nil || found["active"] != true {
			t.Errorf("its sibling has ended: %v, %v", found, err)
		}
		must(t, o.Revoke(ctx, refresh))
		for _, text := range []string{refresh, jwt} {
			o.inactive(t, ctx, text)
		}
		must(t, o.Revoke(ctx, own))
		if got := o.audited(t, ctx); !slices.Equal(got, []string{"organization.created", "user.created", "token.revoked", "token.revoked", "token.revoked"}) {
			t.Error(got)
		}
		events, err := o.db.ListAudit(ctx, storage.AuditFilter{Limit: 100})
		must(t, err)
		for _, event := range events {
			for _, text := range []string{opaque, refresh, own, secret.Digest(opaque), secret.Digest(refresh)} {
				if strings.Contains(slogText(event), text) {
					t.Errorf("a token stands in %+v", event)
				}
			}
		}
	})
}

func (o replica) inactive(t testing.TB, ctx context.Context, token string) {
	t.Helper()
	found, err := o.Introspect(ctx, token)
	if err != nil || len(found) != 1 || found["active"] != false {
		t.Errorf("%.20s: %v, %v", token, found, err)
	}
}

func TestAPersonSwitchedOffHasNoTokens(t *testing.T) {
	each(t, func(t *testing.T, o, _ replica) {
		ctx := o.organization(t, "one")
		user, err := o.CreateUser(ctx, manage.NewUser{Email: "alice@example.com", Password: goodPassword})
		must(t, err)
		later := time.Now().Add(time.Hour)
		grant := &storage.Grant{ClientID: "app", UserID: &user.ID, Scope: []string{"openid"}, ExpiresAt: later}
		must(t, o.db.CreateGrant(ctx, grant))
		token := secret.New(secret.AccessToken)
		must(t, o.db.CreateAccessToken(ctx, &storage.AccessToken{
			Digest: secret.Digest(token), GrantID: &grant.ID, ClientID: "app", Subject: user.ID.String(), Format: "opaque", ExpiresAt: later,
		}))
		must(t, o.db.SetUserActive(ctx, user.ID, false))
		o.inactive(t, ctx, token)
	})
}
