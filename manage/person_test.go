package manage_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
)

// person makes one without the cost of a password.
func (o replica) person(t testing.TB, ctx context.Context, name string, roles ...string) *storage.User {
	t.Helper()
	user := &storage.User{Email: name + "@example.com", Username: &name, PasswordHash: "!", IsActive: true}
	must(t, o.db.CreateUser(ctx, user))
	for _, role := range roles {
		row, err := o.db.EnsureRole(ctx, role, "", role == permission.Owner)
		must(t, err)
		must(t, o.db.GrantRole(ctx, user.ID, row.ID))
	}
	return user
}

func (o replica) session(t testing.TB, ctx context.Context, user *storage.User) *storage.Session {
	t.Helper()
	session := &storage.Session{UserID: user.ID, Token: secret.Digest(secret.New(secret.Session)), ExpiresAt: time.Now().Add(time.Hour)}
	must(t, o.db.CreateSession(ctx, session))
	return session
}

func to[T any](value T) *T { return &value }

func TestAPersonIsChangedAsAWhole(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		ctx := o.organization(t, "acme")
		alice, _ := o.person(t, ctx, "alice"), o.person(t, ctx, "bob")
		got, err := o.UpdateUser(ctx, alice.ID, manage.UserPatch{FullName: to("Alice Doe"), Verified: to(true), Metadata: &map[string]any{"locale": "de"}})
		must(t, err)
		if *got.FullName != "Alice Doe" || !got.IsVerified || got.Metadata["locale"] != "de" || got.Email != "alice@example.com" || *got.Username != "alice" {
			t.Errorf("%+v", got)
		}
		// Another spelling of an address is the same mailbox; another address has to be proven anew.
		got, err = o.UpdateUser(ctx, alice.ID, manage.UserPatch{Email: to("Alice@Example.com")})
		if must(t, err); !got.IsVerified {
			t.Error("another spelling lost its proof")
		}
		token := &storage.VerificationToken{UserID: &alice.ID, Token: "t", Type: storage.PasswordReset, ExpiresAt: time.Now().Add(time.Hour)}
		must(t, o.db.CreateVerificationToken(ctx, token))
		got, err = o.UpdateUser(ctx, alice.ID, manage.UserPatch{Email: to("a@example.org"), Username: to(""), FullName: to("")})
		must(t, err)
		if got.IsVerified || got.Username != nil || got.FullName != nil || got.Email != "a@example.org" {
			t.Errorf("%+v", got)
		}
		if _, err := o.db.VerificationToken(ctx, "t", storage.PasswordReset); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("a link that the old address was sent still works: %v", err)
		}
		before := len(o.audited(t, ctx))
		if _, err = o.UpdateUser(ctx, alice.ID, manage.UserPatch{Email: to("a@example.org"), Metadata: &map[string]any{"locale": "de"}}); err != nil || len(o.audited(t, ctx)) != before {
			t.Errorf("what changes nothing: %v", err)
		}
		_, err = o.UpdateUser(ctx, alice.ID, manage.UserPatch{Email: to("x"), Username: to("a@b"), FullName: to("\n"), Metadata: &map[string]any{"sub": "1"}})
		complains(t, "update", err, "email", "username", "name", "metadata")
		for field, patch := range map[string]manage.UserPatch{"email": {Email: to("BOB@example.com")}, "username": {Username: to("Bob"), Email: to("new@example.com")}} {
			var conflict *manage.Conflict
			if _, err := o.UpdateUser(ctx, alice.ID, patch); !errors.As(err, &conflict) || conflict.Field != field {
				t.Errorf("%s: %v", field, err)
			}
		}
		if _, err := o.UpdateUser(o.organization(t, "beta"), alice.ID, manage.UserPatch{FullName: to("Stolen")}); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("from another organization: %v", err)
		}
	})
}

func TestWhoIsSwitchedOffLosesEverythingAndGetsNoneOfItBack(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		ctx := o.organization(t, "acme")
		alice := o.person(t, ctx, "alice")
		session := o.session(t, ctx, alice)
		grant := &storage.Grant{ClientID: "c", UserID: &alice.ID, Scope: []string{"offline_access"}, ExpiresAt: time.Now().Add(time.Hour)}
		must(t, o.db.CreateGrant(ctx, grant))
		must(t, o.db.CreateRefreshToken(ctx, &storage.RefreshToken{Digest: "r", GrantID: grant.ID, ExpiresAt: time.Now().Add(time.Hour)}))
		must(t, o.db.CreateVerificationToken(ctx, &storage.VerificationToken{UserID: &alice.ID, Token: "t", Type: storage.PasswordReset, ExpiresAt: time.Now().Add(time.Hour)}))

		gone := func(when string) {
			t.Helper()
			_, _, err := other.db.SessionByToken(ctx, session.Token)
			_, _, err2 := other.db.RefreshToken(ctx, "r")
			_, err3 := other.db.VerificationToken(ctx, "t", storage.PasswordReset)
			for _, err := range []error{err, err2, err3} {
				if !errors.Is(err, storage.ErrNotFound) {
					t.Errorf("%s: %v", when, err)
				}
			}
		}
		off, err := o.DisableUser(ctx, alice.ID)
		if must(t, err); off.IsActive {
			t.Error("still active")
		}
		gone("switched off")
		if _, err := o.DisableUser(ctx, alice.ID); err != nil {
			t.Errorf("again: %v", err)
		}
		if on, err := o.EnableUser(ctx, alice.ID); err != nil || !on.IsActive {
			t.Errorf("%+v, %v", on, err)
		}
		gone("switched on again")
		if got := o.audited(t, ctx); !slices.Equal(got, []string{"organization.created", "user.disabled", "user.enabled"}) {
			t.Errorf("%v", got)
		}
		must(t, o.DeleteUser(ctx, alice.ID))
		for deed, err := range map[string]error{
			"delete": o.DeleteUser(ctx, alice.ID), "disable": errOf(o.DisableUser(ctx, alice.ID)), "reset": errOf(o.ResetFactors(ctx, alice.ID)),
			"update": errOf(o.UpdateUser(ctx, alice.ID, manage.UserPatch{})),
		} {
			if !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("%s of nobody: %v", deed, err)
			}
		}
	})
}

func TestANewPasswordEndsTheLinksThatTheOldOneAskedFor(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		ctx := o.organization(t, "acme")
		alice := o.person(t, ctx, "alice")
		ends := time.Now().Add(time.Hour)
		for _, kind := range []string{storage.PasswordReset, storage.EmailChange, storage.EmailVerification} {
			must(t, o.db.CreateVerificationToken(ctx, &storage.VerificationToken{UserID: &alice.ID, Token: kind, Type: kind, ExpiresAt: ends}))
		}
		must(t, o.SetPassword(ctx, "alice", goodPassword))
		for kind, works := range map[string]bool{storage.PasswordReset: false, storage.EmailChange: false, storage.EmailVerification: true} {
			if _, err := o.db.VerificationToken(ctx, kind, kind); (err == nil) != works {
				t.Errorf("%s: %v", kind, err)
			}
		}
	})
}

func errOf[T any](_ T, err error) error { return err }

func TestFactorsThatAreLostAreTakenAway(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		ctx := o.organization(t, "acme")
		alice, bob := o.person(t, ctx, "alice"), o.person(t, ctx, "bob")
		for _, user := range []*storage.User{alice, bob} {
			must(t, o.db.CreateAuthenticator(ctx, &storage.Authenticator{UserID: user.ID, Name: "phone", Secret: []byte("secret")}))
			must(t, o.db.CreatePasskey(ctx, &storage.Passkey{UserID: user.ID, CredentialID: user.ID.String(), Name: "key", Record: []byte("{}")}))
		}
		session := o.session(t, ctx, alice)
		had, err := o.ResetFactors(ctx, alice.ID)
		if err != nil || had.Passkeys != 1 || had.Authenticators != 1 {
			t.Errorf("%+v, %v", had, err)
		}
		if left, err := o.db.FactorCounts(ctx, alice.ID); err != nil || left != (storage.FactorCounts{}) {
			t.Errorf("%+v, %v", left, err)
		}
		if left, err := o.db.FactorCounts(ctx, bob.ID); err != nil || left.Passkeys != 1 {
			t.Errorf("somebody else has %+v, %v", left, err)
		}
		if _, _, err := o.db.SessionByToken(ctx, session.Token); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("still signed in: %v", err)
		}
	})
}

// S-265: an organization keeps an operator, whoever asks.
func TestTheLastOwnerStays(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		ctx := o.organization(t, "acme")
		alice, _ := o.person(t, ctx, "alice", permission.Owner), o.person(t, ctx, "carol")
		o.person(t, o.organization(t, "beta"), "zoe", permission.Owner) // another organization's is no help
		stays := func(when string) {
			t.Helper()
			for deed, err := range map[string]error{"disable": errOf(o.DisableUser(ctx, alice.ID)), "delete": o.DeleteUser(ctx, alice.ID)} {
				var conflict *manage.Conflict
				if !errors.As(err, &conflict) || conflict.Field != "user" {
					t.Errorf("%s, %s: %v", when, deed, err)
				}
			}
		}
		stays("the only one")
		bob := o.person(t, ctx, "bob", permission.Owner)
		must(t, errOf(o.DisableUser(ctx, bob.ID)))
		stays("the other one is switched off")
		must(t, errOf(o.EnableUser(ctx, bob.ID)))
		must(t, o.DeleteUser(ctx, alice.ID))
		if _, err := o.DisableUser(ctx, bob.ID); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("the one who is left: %v", err)
		}
	})
}

// F-14: of the last two operators one stays, however closely they go.
func TestTwoOwnersAtOnceDoNotBothGo(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		ctx := o.organization(t, "acme")
		owner := o.named(t, ctx, permission.Owner)
		for round := range 15 {
			var pair []*storage.User
			for i := range 2 {
				pair = append(pair, o.person(t, ctx, fmt.Sprintf("op-%d-%d", round, i), permission.Owner))
			}
			errs := atOnce(func(i int) error {
				by := []replica{o, other}[i]
				switch (round + i*(round/8)) % 3 { // at first both in the same way, then each in another
				case 0:
					return by.DeleteUser(ctx, pair[i].ID)
				case 1:
					return by.RevokeRole(ctx, pair[i].ID, owner.ID)
				default:
					return errOf(by.DisableUser(ctx, pair[i].ID))
				}
			}, 2)
			if refused := slices.DeleteFunc(errs, func(err error) bool { return err == nil }); len(refused) != 1 || !errors.Is(refused[0], storage.ErrConflict) {
				t.Fatalf("round %d: %v", round, errs)
			}
			for _, user := range pair { // past the rule, for the next round
				if err := o.db.DeleteUser(ctx, user.ID); err != nil && !errors.Is(err, storage.ErrNotFound) {
					t.Fatal(err)
				}
			}
		}
	})
}

func atOnce(do func(i int) error, n int) []error {
	errs := make([]error, n)
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-start
			errs[i] = do(i)
		})
	}
	close(start)
	all.Wait()
	return errs
}

// F-14: an address has one owner, in whichever spelling it is asked for.
func TestOfManyWhoAskForAnAddressOneHasIt(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		ctx := o.organization(t, "acme")
		const n = 12
		var people []*storage.User
		for i := range n {
			people = append(people, o.person(t, ctx, fmt.Sprintf("p%d", i)))
		}
		for round := range 5 {
			spellings := []string{"wanted%d@example.com", "Wanted%d@example.com", "WANTED%d@EXAMPLE.COM"}
			errs := atOnce(func(i int) error {
				by, email := []replica{o, other}[i%2], fmt.Sprintf(spellings[i%len(spellings)], round)
				if i%4 == 3 {
					return by.db.CreateUser(ctx, &storage.User{Email: email, PasswordHash: "!"})
				}
				return errOf(by.UpdateUser(ctx, people[i].ID, manage.UserPatch{Email: &email}))
			}, n)
			won := 0
			for _, err := range errs {
				if err == nil {
					won++
				} else if !errors.Is(err, storage.ErrConflict) {
					t.Errorf("%v", err)
				}
			}
			if won != 1 {
				t.Errorf("%d have the address: %v", won, errs)
			}
		}
	})
}

func TestSessionsAreRevokedByOperators(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		ctx := o.organization(t, "acme")
		alice, bob := o.person(t, ctx, "alice"), o.person(t, ctx, "bob")
		first, second, bobs := o.session(t, ctx, alice), o.session(t, ctx, alice), o.session(t, ctx, bob)
		lives := func(s *storage.Session) bool { _, _, err := other.db.SessionByToken(ctx, s.Token); return err == nil }
		must(t, o.RevokeSession(ctx, first.ID))
		if lives(first) || !lives(second) || !lives(bobs) {
			t.Error("not the one that was named")
		}
		if n, err := o.RevokeSessionsOf(ctx, alice); err != nil || n != 1 || lives(second) || !lives(bobs) {
			t.Errorf("%d, %v", n, err)
		}
		o.session(t, ctx, alice)
		if n, err := o.RevokeEverySession(ctx); err != nil || n != 2 || lives(bobs) {
			t.Errorf("%d, %v", n, err)
		}
		if err := o.RevokeSession(o.organization(t, "beta"), bobs.ID); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("%v", err)
		}
		for name, id := range map[string]uuid.UUID{"unknown": uuid.New(), "ended already": first.ID} {
			if err := o.RevokeSession(ctx, id); !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := o.audited(t, ctx); !slices.Equal(got, []string{"organization.created", "session.ended", "user.signed_out", "organization.signed_out"}) {
			t.Errorf("%v", got)
		}
	})
}

func TestAnOrganizationIsChangedAndTheChangeWrittenDown(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		ctx := o.organization(t, "acme")
		patch := settings.Patch{}
		must(t, errors.Join(patch.Set("sign_up.mode", "open"), patch.Set("second_factor.require", "roles"), patch.Set("second_factor.roles", "operator")))
		row, err := o.UpdateOrganization(ctx, "acme", manage.OrganizationPatch{Name: to("Acme Inc."), Settings: patch})
		must(t, err)
		decided, err := settings.Parse(row.Settings)
		if err != nil || row.Name != "Acme Inc." || decided.SignUp.Mode != settings.SignUpOpen {
			t.Errorf("%+v, %v", row, err)
		}
		events, err := o.db.ListAudit(ctx, storage.AuditFilter{Limit: 1})
		must(t, err)
		before, _ := events[0].Details["before"].(map[string]any)
		after, _ := events[0].Details["after"].(map[string]any)
		if events[0].Action != "organization.updated" || before["sign_up.mode"] != "invitation" || after["sign_up.mode"] != "open" ||
			before["name"] != "ACME" || after["name"] != "Acme Inc." || len(before) != 4 || len(after) != 4 {
			t.Errorf("%+v", events[0])
		}
		if _, err := o.UpdateOrganization(ctx, "acme", manage.OrganizationPatch{Settings: patch}); err != nil || len(o.audited(t, ctx)) != 2 {
			t.Errorf("what changes nothing: %v", err)
		}
		wrong := settings.Patch{}
		must(t, errors.Join(wrong.Set("second_factor.roles", "nobodys"), wrong.Set("branding.logo", "abcdefghijklmnopqrst")))
		_, err = o.UpdateOrganization(ctx, "acme", manage.OrganizationPatch{Name: to(""), Settings: wrong})
		complains(t, "update", err, "name", "branding.logo", "second_factor.roles")
		_, err = o.UpdateOrganization(ctx, "acme", manage.OrganizationPatch{Settings: settings.Patch{"sign_up": map[string]any{"mode": "x"}, "sessions": map[string]any{"idle": "1s"}}})
		complains(t, "update", err, "sessions.idle", "sign_up.mode")
		if _, err := o.UpdateOrganization(ctx, "nobody", manage.OrganizationPatch{}); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("%v", err)
		}
		// Of changes at once all count.
		paths := []string{"sessions.idle", "sessions.absolute", "mail.from_name", "branding.accent"}
		values := []string{"30m", "8h", "Acme", "#123456"}
		for _, err := range atOnce(func(i int) error {
			one := settings.Patch{}
			if err := one.Set(paths[i], values[i]); err != nil {
				return err
			}
			return errOf([]replica{o, other}[i%2].UpdateOrganization(ctx, "acme", manage.OrganizationPatch{Settings: one}))
		}, len(paths)) {
			must(t, err)
		}
		row, err = o.db.OrganizationBySlug(ctx, "acme")
		must(t, err)
		decided, err = settings.Parse(row.Settings)
		if err != nil || decided.Sessions.Idle == 0 || decided.Sessions.Absolute == 0 || decided.Mail.FromName != "Acme" || decided.Branding.Accent != "#123456" ||
			decided.SignUp.Mode != settings.SignUpOpen {
			t.Errorf("%+v, %v", decided, err)
		}
	})
}
