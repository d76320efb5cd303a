package storage_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/identity"
	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

func TestWhatIsWrittenIsReadAgain(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		f := newFixture(t, db, ctx, "alice")
		at := now().Truncate(time.Microsecond)
		// Another time zone, and more precision than a column has.
		east := time.FixedZone("east", 5*3600+1800)

		user, err := db.User(ctx, f.user.ID)
		must(t, err)
		same(t, user, f.user)
		must(t, db.RecordLogin(ctx, f.user.ID, at.In(east).Add(999*time.Nanosecond)))
		must(t, db.SetPasswordHash(ctx, f.user.ID, "hash"))
		user, err = db.User(ctx, f.user.ID)
		must(t, err)
		if !user.LastLogin.Equal(at) || user.LastLogin.Location() != time.UTC || user.PasswordHash != "hash" {
			t.Errorf("login %v (want %v), hash %s", user.LastLogin, at, user.PasswordHash)
		}
		for _, login := range []string{"alice", "ALICE", "Alice@Example.com", "alice@EXAMPLE.COM"} {
			if u, err := db.UserByLogin(ctx, login); err != nil || u.ID != f.user.ID {
				t.Errorf("%s: %v", login, err)
			}
		}
		for _, login := range []string{"", "bob", "a@b@c", "alice\x00", "' OR 1=1 --", "alice@example.com.", strings.Repeat("a", 10<<10)} {
			if _, err := db.UserByLogin(ctx, login); !isNotFound(err) {
				t.Errorf("%q: %v", login, err)
			}
		}

		// Every field of a client.
		text, later := "text", at.Add(time.Hour)
		c := &storage.Client{
			ClientID: "full", Name: "N", SecretDigest: &text, SecretDigestOld: &text, SecretOldExpiresAt: &later, AuthMethod: "none",
			RedirectURIs: []string{"https://a.example/cb"}, PostLogoutRedirectURIs: []string{"b"}, GrantTypes: []string{"c", "d"},
			ResponseTypes: []string{"e"}, ResponseModes: []string{"f"}, Scopes: []string{"g"}, Audience: []string{`h "i"`, "ä"},
			JWKS: &text, JWKSURI: &text, IDTokenAlg: "ES256", AccessTokenFormat: "jwt", SkipConsent: true, Disabled: true, LogoURI: &text,
			PolicyURI: &text, TosURI: &text, ClientURI: &text, Metadata: map[string]any{"a": []any{"b", 1.5, nil}},
		}
		must(t, db.CreateClient(ctx, c))
		got, err := db.Client(ctx, "full")
		must(t, err)
		same(t, got, c)
		*c = storage.Client{ID: c.ID, Owned: c.Owned, ClientID: "full", Version: 1, CreatedAt: c.CreatedAt}
		must(t, db.UpdateClient(ctx, c))
		got, err = db.Client(ctx, "full")
		must(t, err)
		same(t, got, c)
		if got.Version != 2 || got.RedirectURIs == nil || got.SecretDigest != nil || got.SkipConsent {
			t.Errorf("updated: %+v", got)
		}

		session, sessionUser, err := db.SessionByToken(ctx, f.session.Token)
		must(t, err)
		same(t, session, f.session)
		if sessionUser.ID != f.user.ID || sessionUser.PasswordHash != "" || sessionUser.Metadata["team"] != "blue" {
			t.Errorf("user of session: %+v", sessionUser)
		}
		code, err := db.Code(ctx, f.code)
		must(t, err)
		if code.GrantID != f.grant.ID || *code.SessionID != f.session.ID || !slices.Equal(code.RequestedScope, []string{"openid", "profile", "email"}) ||
			!slices.Equal(code.Audience, []string{"https://api.example"}) || string(code.Facts) != `{"nonce":"n"}` || code.UsedAt != nil {
			t.Errorf("code: %+v", code)
		}
		token, grant, err := db.AccessToken(ctx, f.access)
		must(t, err)
		same(t, grant, f.grant)
		if *token.GrantID != f.grant.ID || token.Subject != f.user.ID.String() || !slices.Equal(token.Scope, []string{"openid", "profile"}) {
			t.Errorf("token: %+v", token)
		}
		_, grant, withUser, err := db.AccessTokenWithUser(ctx, f.access)
		must(t, err)
		same(t, grant, f.grant)
		if withUser.ID != f.user.ID || withUser.PasswordHash != "" || *withUser.Username != "alice" {
			t.Errorf("user of token: %+v", withUser)
		}
		if token, grant, err = db.AccessToken(ctx, f.ownAccess); err != nil || grant != nil || token.GrantID != nil || len(token.Audience) != 0 {
			t.Errorf("a client's own token: %+v, %+v, %v", token, grant, err)
		}
		if _, _, _, err = db.AccessTokenWithUser(ctx, f.ownAccess); !isNotFound(err) {
			t.Errorf("a client's own token has a user: %v", err)
		}
		refresh, grant, err := db.RefreshToken(ctx, f.refresh)
		must(t, err)
		same(t, grant, f.grant)
		if refresh.GrantID != f.grant.ID || refresh.SpentAt != nil || refresh.Answer != nil {
			t.Errorf("refresh token: %+v", refresh)
		}
		interaction, err := db.Interaction(ctx, f.interaction)
		must(t, err)
		if interaction.Params.Get("state") != "a b&c" || interaction.SessionID != nil || interaction.AuthenticatedAt != nil {
			t.Errorf("interaction: %+v", interaction)
		}
		must(t, db.InteractionAuthenticated(ctx, f.interaction, f.session.ID, at))
		must(t, db.InteractionConsented(ctx, f.interaction, []string{"openid"}, at))
		must(t, db.InteractionSelected(ctx, f.interaction, f.session.ID, at))
		interaction, err = db.Interaction(ctx, f.interaction)
		must(t, err)
		if *interaction.SessionID != f.session.ID || !interaction.SelectedAt.Equal(at) || interaction.AuthenticatedAt != nil ||
			interaction.ConsentedAt != nil || len(interaction.ConsentedScopes) != 0 {
			t.Errorf("another account is chosen, and the interaction is %+v", interaction)
		}
		must(t, db.InteractionAuthenticated(ctx, f.interaction, f.session.ID, at.In(east)))
		must(t, db.InteractionConsented(ctx, f.interaction, []string{"openid"}, at))
		must(t, db.RefuseInteraction(ctx, f.interaction, "access_denied"))
		interaction, err = db.Interaction(ctx, f.interaction)
		must(t, err)
		if *interaction.SessionID != f.session.ID || !interaction.AuthenticatedAt.Equal(at) || !interaction.ConsentedAt.Equal(at) ||
			interaction.Refusal != "access_denied" || !slices.Equal(interaction.ConsentedScopes, []string{"openid"}) {
			t.Errorf("interaction: %+v", interaction)
		}
		audit, err := db.ListAudit(ctx, storage.AuditFilter{})
		must(t, err)
		if len(audit) == 0 || *audit[len(audit)-1].IPAddress != "2001:db8::1" || audit[len(audit)-1].Details["k"] != "v" {
			t.Errorf("audit: %+v", audit)
		}
		account, err := db.UpstreamAccount(ctx, f.provider.ID, upstreamIssuer, "u-1")
		must(t, err)
		if account.AccessToken != "upstream-at" || account.RefreshToken != "upstream-rt" || account.UserID != f.user.ID {
			t.Errorf("account: %+v", account)
		}
		role, err := db.RolesOf(ctx, f.user.ID)
		must(t, err)
		permissions, err := db.PermissionsOf(ctx, f.user.ID)
		must(t, err)
		if len(role) != 1 || role[0].Name != "editor" || len(permissions) != 1 || permissions[0].Action != "write" {
			t.Errorf("%+v, %+v", role, permissions)
		}
		must(t, db.GrantRole(ctx, f.user.ID, f.role.ID)) // again
		must(t, db.GrantPermission(ctx, f.role.ID, f.permission.ID))
	})
}

// same compares rows field by field, times by what they mean.
func same[T any](t *testing.T, got, want *T) {
	t.Helper()
	g, w := reflect.ValueOf(*got), reflect.ValueOf(*want)
	for i := range g.NumField() {
		a, b := g.Field(i).Interface(), w.Field(i).Interface()
		switch at := a.(type) {
		case time.Time:
			if at.Equal(b.(time.Time).Truncate(time.Microsecond)) && at.Location() == time.UTC {
				continue
			}
		case *time.Time:
			if bt := b.(*time.Time); at == bt || at != nil && bt != nil && at.Equal(bt.Truncate(time.Microsecond)) {
				continue
			}
		case []string:
			if slices.Equal(at, b.([]string)) {
				continue
			}
		case map[string]any:
			if bm := b.(map[string]any); len(at) == 0 && len(bm) == 0 || reflect.DeepEqual(at, bm) {
				continue
			}
		default:
			if name := g.Type().Field(i).Name; name == "PasswordHash" || reflect.DeepEqual(a, b) {
				continue
			}
		}
		t.Errorf("%T.%s = %v, want %v", got, g.Type().Field(i).Name, a, b)
	}
}

func TestWhatHasEndedIsNotFound(t *testing.T) {
	storagetest.EachURL(t, func(t *testing.T, url string) {
		db := storagetest.Open(t, url)
		if _, err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		raw := openRaw(t, url)
		reads := func(ctx context.Context, f *fixture) map[string]error {
			_, _, session := db.SessionByToken(ctx, f.session.Token)
			_, _, access := db.AccessToken(ctx, f.access)
			_, _, _, withUser := db.AccessTokenWithUser(ctx, f.access)
			_, _, own := db.AccessToken(ctx, f.ownAccess)
			_, _, refresh := db.RefreshToken(ctx, f.refresh)
			_, code := db.Code(ctx, f.code)
			_, interaction := db.Interaction(ctx, f.interaction)
			_, par := db.PAR(ctx, f.par)
			_, verification := db.VerificationToken(ctx, f.verification, "password_reset")
			return map[string]error{
				"session": session, "access": access, "access with user": withUser, "own access": own, "refresh": refresh, "code": code,
				"interaction": interaction, "par": par, "verification": verification,
			}
		}
		past := "2020-01-01 00:00:00"
		sqlStep := func(statement string) func(context.Context, *fixture) error {
			return func(context.Context, *fixture) error { _, err := raw.Exec(statement); return err }
		}
		for _, c := range []struct {
			name string
			end  func(ctx context.Context, f *fixture) error
			gone []string
		}{
			{"nothing", func(context.Context, *fixture) error { return nil }, nil},
			{"the session ends", func(ctx context.Context, f *fixture) error { return db.EndSession(ctx, f.session.ID, false) },
				[]string{"session", "access", "access with user", "refresh"}},
			{"the sessions of the user end", func(ctx context.Context, f *fixture) error { return db.EndSessionsOfUser(ctx, f.user.ID) },
				[]string{"session", "access", "access with user", "refresh"}},
			{"the user is switched off", func(ctx context.Context, f *fixture) error { return db.SetUserActive(ctx, f.user.ID, false) },
				[]string{"session", "access", "access with user", "refresh", "verification"}},
			{"the user is switched off and on", func(ctx context.Context, f *fixture) error {
				return errors.Join(db.SetUserActive(ctx, f.user.ID, false), db.SetUserActive(ctx, f.user.ID, true))
			}, []string{"session", "access", "access with user", "refresh", "verification"}},
			{"the user is switched off past Keizer", sqlStep(`UPDATE users SET is_active = FALSE`),
				[]string{"session", "access", "access with user", "refresh"}},
			{"the user is neither on nor off", sqlStep(`UPDATE users SET is_active = NULL`),
				[]string{"session", "access", "access with user", "refresh"}},
			{"the user is deleted", func(ctx context.Context, f *fixture) error { return db.DeleteUser(ctx, f.user.ID) },
				[]string{"session", "access", "access with user", "refresh", "verification"}},
			{"the client is deleted", func(ctx context.Context, f *fixture) error { return db.DeleteClient(ctx, f.client.ClientID) },
				[]string{"access", "access with user", "own access", "refresh", "code"}},
			{"the grant is revoked", func(ctx context.Context, f *fixture) error { _, err := db.RevokeGrant(ctx, f.grant.ID); return err },
				[]string{"access", "access with user", "refresh"}},
			{"the grants of the user are revoked", func(ctx context.Context, f *fixture) error { return db.RevokeGrantsOfUser(ctx, f.user.ID) },
				[]string{"access", "access with user", "refresh"}},
			{"those of user and client are revoked", func(ctx context.Context, f *fixture) error {
				return db.RevokeGrantsOfUserAndClient(ctx, f.user.ID, f.client.ClientID)
			}, []string{"access", "access with user", "refresh"}},
			{"those of user and another client are revoked", func(ctx context.Context, f *fixture) error {
				return db.RevokeGrantsOfUserAndClient(ctx, f.user.ID, "another")
			}, nil},
			{"the grant is gone", sqlStep(`DELETE FROM oauth_grants`), []string{"access", "access with user", "refresh"}},
			{"the access token is revoked", func(ctx context.Context, f *fixture) error { return db.RevokeAccessToken(ctx, f.access) },
				[]string{"access", "access with user"}},
			{"the family expires", sqlStep(`UPDATE oauth_grants SET expires_at = '` + past + `'`), []string{"refresh"}},
			{"the session expires", sqlStep(`UPDATE sessions SET expires_at = '` + past + `'`), []string{"session"}},
			{"the tokens expire", sqlStep(`UPDATE oauth_access_tokens SET expires_at = '` + past + `'`),
				[]string{"access", "access with user", "own access"}},
			{"the refresh token expires", sqlStep(`UPDATE oauth_refresh_tokens SET expires_at = '` + past + `'`), []string{"refresh"}},
			{"the code expires", sqlStep(`UPDATE oauth_codes SET expires_at = '` + past + `'`), []string{"code"}},
			{"the interaction expires", sqlStep(`UPDATE interactions SET expires_at = '` + past + `'`), []string{"interaction"}},
			{"the interaction is spent", func(ctx context.Context, f *fixture) error { return db.SpendInteraction(ctx, f.interaction) }, []string{"interaction"}},
			{"the pushed request expires", sqlStep(`UPDATE oauth_par SET expires_at = '` + past + `'`), []string{"par"}},
			{"the pushed request is spent", func(ctx context.Context, f *fixture) error { return db.SpendPAR(ctx, f.par) }, []string{"par"}},
			{"the link expires", sqlStep(`UPDATE verification_tokens SET expires_at = '` + past + `'`), []string{"verification"}},
			{"the link is used", func(ctx context.Context, f *fixture) error {
				return db.SpendVerificationToken(ctx, f.verification, "password_reset")
			},
				[]string{"verification"}},
			{"the links are ended", func(ctx context.Context, f *fixture) error {
				return db.EndVerificationTokensOfUser(ctx, f.user.ID, storage.EmailCode, storage.PasswordReset)
			}, []string{"verification"}},
			{"other links are ended", func(ctx context.Context, f *fixture) error {
				return db.EndVerificationTokensOfUser(ctx, f.user.ID, storage.EmailCode)
			}, nil},
			{"everything is spent that stays to be seen", func(ctx context.Context, f *fixture) error {
				return errors.Join(db.SpendCode(ctx, f.code), db.SpendRefreshToken(ctx, f.refresh, nil))
			}, nil},
		} {
			t.Run(c.name, func(t *testing.T) {
				ctx := storagetest.Org(t, db, secret.Digest(c.name)[:20])
				f := newFixture(t, db, ctx, "alice")
				if err := c.end(ctx, f); err != nil {
					t.Fatal(err)
				}
				for name, err := range reads(ctx, f) {
					if want := slices.Contains(c.gone, name); isNotFound(err) != want || err != nil && !want {
						t.Errorf("%s: %v", name, err)
					}
				}
			})
			for _, statement := range []string{ // so that the next case's statements meet its own rows only
				`DELETE FROM oauth_access_tokens`, `DELETE FROM oauth_codes`, `DELETE FROM interactions`, `DELETE FROM oauth_par`,
				`DELETE FROM verification_tokens`, `DELETE FROM sessions`, `UPDATE users SET is_active = TRUE`,
			} {
				if _, err := raw.Exec(statement); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

func TestOfflineAccessOutlivesTheSession(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		f := newFixture(t, db, ctx, "alice")
		digests := map[string]string{"openid offline_access": "a", "offline_access": "b", "not_offline_access": "c", "openid": "d", "offline_access2 openid": "e"}
		for scope, digest := range digests {
			g := &storage.Grant{ClientID: "c", UserID: &f.user.ID, SessionID: &f.session.ID, Scope: strings.Fields(scope), ExpiresAt: now().Add(minute)}
			must(t, db.CreateGrant(ctx, g))
			must(t, db.CreateRefreshToken(ctx, &storage.RefreshToken{Digest: digest, GrantID: g.ID, ExpiresAt: now().Add(minute)}))
		}
		must(t, db.EndSession(ctx, f.session.ID, false))
		for scope, digest := range digests {
			_, _, err := db.RefreshToken(ctx, digest)
			if want := slices.Contains(strings.Fields(scope), "offline_access"); want != (err == nil) {
				t.Errorf("%s: %v", scope, err)
			}
		}
		// An ended session is not renewed, touched, or found.
		for name, err := range map[string]error{
			"renew": db.RenewSession(ctx, f.session),
			"touch": db.TouchSession(ctx, f.session.ID, now()),
		} {
			if !isNotFound(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		must(t, db.EndSession(ctx, f.session.ID, false)) // again
	})
}

func TestASessionIsRenewedUnderANewCookie(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		f := newFixture(t, db, ctx, "alice")
		at := now().Add(-time.Second)
		renewed := *f.session
		renewed.Token, renewed.AuthTime, renewed.AMR, renewed.ACR = "new", at, []string{"pwd", "otp"}, "2"
		renewed.ExpiresAt = now().Add(2 * time.Hour)
		must(t, db.RenewSession(ctx, &renewed))
		if _, _, err := db.SessionByToken(ctx, f.session.Token); !isNotFound(err) {
			t.Errorf("the old cookie: %v", err)
		}
		s, _, err := db.SessionByToken(ctx, "new")
		must(t, err)
		if s.ID != f.session.ID || !slices.Equal(s.AMR, []string{"pwd", "otp"}) || s.ACR != "2" || !s.AuthTime.Equal(at.Truncate(time.Microsecond)) ||
			!s.ExpiresAt.Equal(renewed.ExpiresAt.Truncate(time.Microsecond)) {
			t.Errorf("%+v", s)
		}
		for _, ip := range []string{"not an address", "", "10.0.0.1:80", "fe80::1%eth0"} {
			if err := db.CreateSession(ctx, &storage.Session{UserID: f.user.ID, Token: uuid.NewString(), IPAddress: &ip, ExpiresAt: now().Add(minute)}); err != nil {
				t.Errorf("address %q: %v", ip, err)
			}
		}
		if err := db.CreateSession(ctx, &storage.Session{UserID: f.user.ID, Token: "new", ExpiresAt: now().Add(minute)}); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("the same cookie twice: %v", err)
		}
		must(t, db.SetUserActive(ctx, f.user.ID, false))
		if err := db.CreateSession(ctx, &storage.Session{UserID: f.user.ID, Token: "x", ExpiresAt: now().Add(minute)}); !isNotFound(err) {
			t.Errorf("a session of somebody who is switched off: %v", err)
		}
	})
}

func TestAClientIsChangedByOneAtATime(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		f := newFixture(t, db, ctx, "alice")
		one, err := db.Client(ctx, f.client.ClientID)
		must(t, err)
		two, err := db.Client(ctx, f.client.ClientID)
		must(t, err)
		one.Name, two.Name = "one", "two"
		must(t, db.UpdateClient(ctx, one))
		if err := db.UpdateClient(ctx, two); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("err = %v", err)
		}
		must(t, db.UpdateClient(ctx, one)) // its version is the new one
		two.ClientID = "nobody"
		if err := db.UpdateClient(ctx, two); !isNotFound(err) {
			t.Errorf("err = %v", err)
		}
		if err := db.CreateClient(ctx, &storage.Client{ClientID: f.client.ClientID}); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("err = %v", err)
		}
		if err := db.DeleteClient(ctx, "nobody"); !isNotFound(err) {
			t.Errorf("err = %v", err)
		}
	})
}

func TestListsArePagedInOrder(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		storagetest.Org(t, db, "beta")
		for _, name := range []string{"c", "a", "e", "b", "d"} {
			must(t, addUser(db, ctx, name))
			must(t, db.CreateClient(ctx, &storage.Client{ClientID: name}))
		}
		var clients []string
		for after := ""; ; {
			page, err := db.ListClients(ctx, after, 2)
			must(t, err)
			if len(page) == 0 {
				break
			}
			for _, c := range page {
				clients = append(clients, c.ClientID)
			}
			after = clients[len(clients)-1]
		}
		if !slices.Equal(clients, []string{"a", "b", "c", "d", "e"}) {
			t.Errorf("clients %v", clients)
		}
		seen := make(map[uuid.UUID]bool)
		for after := uuid.Nil; ; {
			page, err := db.ListUsers(ctx, after, 2)
			must(t, err)
			if len(page) == 0 {
				break
			}
			for _, u := range page {
				seen[u.ID] = true
				after = u.ID
			}
		}
		if len(seen) != 5 {
			t.Errorf("%d users", len(seen))
		}
		orgs, err := db.ListOrganizations(t.Context(), "acme", 10)
		if err != nil || len(orgs) != 1 || orgs[0].Slug != "beta" {
			t.Errorf("%+v, %v", orgs, err)
		}
	})
}

func TestAnAddressOrNameIsTakenInEverySpelling(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		create := func(email, name string) error {
			u := &storage.User{Email: email, PasswordHash: "!"}
			if name != "" {
				u.Username = &name
			}
			return db.CreateUser(ctx, u)
		}
		must(t, create("Alice@Bücher.example", "Ålice"))
		for _, c := range []struct {
			email, name string
			want        error
		}{
			{"alice@xn--bcher-kva.example", "", storage.ErrConflict},
			{"ALICE@BÜCHER.EXAMPLE", "", storage.ErrConflict},
			{"alice@bu\u0308cher.example", "", storage.ErrConflict},
			{"b@example.com", "a\u030alice", storage.ErrConflict},
			{"b@example.com", "ÅLICE", storage.ErrConflict},
			{"b@example.com", "b@example.com", identity.ErrUsername},
			{"al\u0131ce@example.com", "", identity.ErrEmail},
			{"b@example.com", "alice", nil},
		} {
			if err := create(c.email, c.name); !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("%s %s: %v", c.email, c.name, err)
			}
		}
		// In another organization they are free.
		ctx = storagetest.Org(t, db, "other")
		must(t, create("alice@bücher.example", "ålice"))
	})
}

func TestAnOwnerExistsOnceAnActivePersonHasTheSystemRole(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		f := newFixture(t, db, ctx, "alice")
		want := func(want bool, when string) {
			t.Helper()
			if got, err := db.OwnerExists(t.Context()); err != nil || got != want {
				t.Errorf("%s: %v, %v", when, got, err)
			}
		}
		want(false, "no role")
		role, err := db.EnsureRole(ctx, permission.Owner, "", true)
		must(t, err)
		want(false, "no holder")
		must(t, db.GrantRole(ctx, f.user.ID, role.ID))
		want(true, "a holder")
		must(t, db.SetUserActive(ctx, f.user.ID, false))
		want(false, "switched off")
		other := storagetest.Org(t, db, "other")
		g := newFixture(t, db, other, "bob")
		role, err = db.EnsureRole(other, permission.Owner, "", false)
		must(t, err)
		must(t, db.GrantRole(other, g.user.ID, role.ID))
		want(false, "a role of that name that is the organization's own")
	})
}

func TestTheMasterKeyOfADatabaseIsItsFirst(t *testing.T) {
	storagetest.EachURL(t, func(t *testing.T, url string) {
		first, second := seal.NewKey(), seal.NewKey()
		open := func(current string, old ...string) *storage.DB {
			ring, err := seal.Parse(current, old...)
			must(t, err)
			db, err := storage.Open(t.Context(), storage.Options{URL: url, Keyring: ring})
			must(t, err)
			t.Cleanup(func() { db.Close() })
			return db
		}
		db := open(first)
		if _, err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		must(t, db.CheckMasterKey(t.Context()))
		must(t, db.CheckMasterKey(t.Context()))
		must(t, open(first).CheckMasterKey(t.Context()))
		if err := open(second).CheckMasterKey(t.Context()); !errors.Is(err, storage.ErrWrongMasterKey) {
			t.Errorf("err = %v", err)
		}
		must(t, open(second, first).CheckMasterKey(t.Context())) // after a rotation
		must(t, db.CheckMasterKey(t.Context()))                  // and nothing was changed by asking
	})
}

func TestNoSecretStandsInTheDatabase(t *testing.T) {
	url := storagetest.SQLiteURL(t)
	db := storagetest.Open(t, url)
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx := storagetest.Org(t, db, "acme")
	f := newFixture(t, db, ctx, "alice")
	must(t, db.SpendRefreshToken(ctx, f.refresh, []byte("answer-canary")))
	must(t, db.Close())
	files, err := filepath.Glob(strings.TrimPrefix(url, "sqlite:") + "*")
	must(t, err)
	for _, file := range files {
		content, err := os.ReadFile(file)
		must(t, err)
		for _, canary := range []string{"private", "upstream-secret", "upstream-at", "upstream-rt", "upstream-nonce", "answer-canary", "mail-canary"} {
			if bytes.Contains(content, []byte(`"`+canary)) || canary != "private" && bytes.Contains(content, []byte(canary)) {
				t.Errorf("%s stands in %s", canary, filepath.Base(file))
			}
		}
	}
}

// Whoever can write to the database but has no master key cannot put one organization's secret into another's row.
func TestWhatIsSealedOpensInItsOwnRowOnly(t *testing.T) {
	storagetest.EachURL(t, func(t *testing.T, url string) {
		db := storagetest.Open(t, url)
		if _, err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		raw := openRaw(t, url)
		ours, theirs := storagetest.Org(t, db, "ours"), storagetest.Org(t, db, "theirs")
		f, g := newFixture(t, db, ours, "alice"), newFixture(t, db, theirs, "bob")
		must(t, db.SpendRefreshToken(ours, f.refresh, []byte("a")))
		must(t, db.SpendRefreshToken(theirs, g.refresh, []byte("b")))
		if token, _, err := db.RefreshToken(ours, f.refresh); err != nil || string(token.Answer) != "a" {
			t.Fatalf("%+v, %v", token, err)
		}
		for _, swap := range []string{
			`UPDATE signing_keys SET private_jwk = (SELECT k.private_jwk FROM signing_keys k WHERE k.kid = 'kid-bob') WHERE kid = 'kid-alice'`,
			`UPDATE oauth_providers SET client_secret = (SELECT p.client_secret FROM oauth_providers p WHERE p.id <> oauth_providers.id)
				WHERE org_id = '` + f.user.OrgID.String() + `'`,
			`UPDATE oauth_accounts SET access_token = refresh_token`,
			`UPDATE upstream_requests SET data = (SELECT r.data FROM upstream_requests r WHERE r.digest = '` + g.state + `')
				WHERE digest = '` + f.state + `'`,
			`UPDATE upstream_requests SET browser_digest = 'another' WHERE digest = '` + f.held + `'`,
			`UPDATE oauth_refresh_tokens SET answer = (SELECT t.answer FROM oauth_refresh_tokens t WHERE t.digest = '` + g.refresh + `')
				WHERE digest = '` + f.refresh + `'`,
			`UPDATE passkeys SET record = (SELECT p.record FROM passkeys p WHERE p.id = '` + g.passkey.ID.String() + `')
				WHERE id = '` + f.passkey.ID.String() + `'`,
			`UPDATE authenticators SET secret = (SELECT a.secret FROM authenticators a WHERE a.id = '` + g.app.ID.String() + `')
				WHERE id = '` + f.app.ID.String() + `'`,
		} {
			if _, err := raw.Exec(swap); err != nil {
				t.Fatal(err)
			}
		}
		_, keys := db.SigningKeys(ours)
		_, provider := db.UpstreamProvider(ours, "upstream")
		_, account := db.UpstreamAccount(ours, f.provider.ID, upstreamIssuer, "u-1")
		_, request := db.UpstreamRequest(ours, f.state)
		_, held := db.HeldUpstreamRequest(ours, "another")
		_, _, token := db.RefreshToken(ours, f.refresh)
		_, passkey := db.PasskeyByCredential(ours, f.passkey.CredentialID)
		_, app := db.AuthenticatorsOf(ours, f.user.ID)
		for name, c := range map[string]struct {
			err error
			row string
		}{
			"signing key": {keys, f.key.ID.String()}, "provider": {provider, f.provider.ID.String()},
			"account": {account, f.account.ID.String()}, "request": {request, f.state}, "held": {held, f.held}, "answer": {token, f.refresh},
			"passkey": {passkey, f.passkey.ID.String()}, "authenticator": {app, f.app.ID.String()},
		} {
			if !errors.Is(c.err, seal.ErrOpen) || !strings.Contains(c.err.Error(), c.row) {
				t.Errorf("%s: %v", name, c.err)
			}
		}
		if _, err := db.SigningKeys(theirs); err != nil {
			t.Error(err)
		}
	})
}

func TestSigningKeysRetireExpireAndAreRevoked(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		keys := map[string]*storage.SigningKey{}
		for _, kid := range []string{"old", "new", "other"} {
			alg := "ES256"
			if kid == "other" {
				alg = "RS256"
			}
			keys[kid] = &storage.SigningKey{KID: kid, Alg: alg, PrivateJWK: []byte(kid), PublicJWK: []byte(`{"b":1,"a":2}`)}
			must(t, db.CreateSigningKey(ctx, keys[kid]))
		}
		must(t, db.RetireSigningKeys(ctx, "ES256", keys["new"].ID, now(), now().Add(time.Hour)))
		all, err := db.SigningKeys(ctx)
		must(t, err)
		if len(all) != 3 {
			t.Fatalf("%d keys", len(all))
		}
		for _, k := range all {
			if string(k.PrivateJWK) != k.KID || string(k.PublicJWK) != `{"b":1,"a":2}` || (k.RetiresAt != nil) != (k.KID == "old") {
				t.Errorf("%+v", k)
			}
		}
		must(t, db.RevokeSigningKey(ctx, "new"))
		if err := db.RevokeSigningKey(ctx, "new"); !isNotFound(err) {
			t.Errorf("again: %v", err)
		}
		must(t, db.RetireSigningKeys(ctx, "RS256", uuid.Nil, now(), now().Add(-time.Second)))
		all, err = db.SigningKeys(ctx)
		must(t, err)
		if len(all) != 1 || all[0].KID != "old" {
			t.Errorf("left: %+v", all)
		}
		if err := db.CreateSigningKey(ctx, &storage.SigningKey{KID: "old", Alg: "ES256"}); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("the same kid: %v", err)
		}
	})
}

func TestAUsedCodeIsKnownForWhatItIs(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		f := newFixture(t, db, ctx, "alice")
		must(t, db.SpendCode(ctx, f.code))
		c, err := db.Code(ctx, f.code)
		if err != nil || c.UsedAt == nil || c.GrantID != f.grant.ID {
			t.Errorf("%+v, %v", c, err)
		}
		must(t, db.SpendRefreshToken(ctx, f.refresh, []byte{}))
		r, g, err := db.RefreshToken(ctx, f.refresh)
		if err != nil || r.SpentAt == nil || g.ID != f.grant.ID {
			t.Errorf("%+v, %v", r, err)
		}
		for name, err := range map[string]error{
			"code": db.SpendCode(ctx, f.code), "refresh token": db.SpendRefreshToken(ctx, f.refresh, nil),
			"a code that never was": db.SpendCode(ctx, "x"),
		} {
			if !errors.Is(err, storage.ErrSpent) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// Text that is compared in SQL must sort as time does.
func TestTimesCompareRightAtEveryPrecision(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		base := now().Truncate(time.Hour).Add(-2 * time.Hour)
		for _, fraction := range []int{0, 1, 9, 10, 99, 100, 1000, 9999, 10000, 123456, 100000, 500000, 999999} {
			for _, zone := range []*time.Location{time.UTC, time.FixedZone("", -11*3600), time.FixedZone("", 14*3600)} {
				end := base.Add(time.Duration(fraction) * time.Microsecond).In(zone)
				digest := secret.Digest(uuid.NewString())
				must(t, db.CreateVerificationToken(ctx, &storage.VerificationToken{Token: digest, Type: "x", ExpiresAt: end}))
				// It is purged just after its end and not at it, nor one microsecond before.
				keep := 24 * time.Hour
				for _, c := range []struct {
					at   time.Time
					want int64
				}{{end.Add(keep - time.Microsecond), 0}, {end.Add(keep), 0}, {end.Add(keep + time.Microsecond), 1}} {
					n, err := db.Purge(ctx, c.at, 0)
					must(t, err)
					if n != c.want {
						t.Fatalf("%d purged at %v of %v", n, c.at, end)
					}
				}
			}
		}
	})
}
