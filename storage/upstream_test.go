package storage_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

func isConflict(err error) bool { return errors.Is(err, storage.ErrConflict) }
func isSpent(err error) bool    { return errors.Is(err, storage.ErrSpent) }

func TestAProviderIsChangedByOneAtATimeAndGoesWithItsAccounts(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		f := newFixture(t, db, ctx, "alice")
		if err := db.CreateUpstreamProvider(ctx, &storage.UpstreamProvider{Name: f.provider.Name}); !isConflict(err) {
			t.Errorf("the same name again: %v", err)
		}
		first, err := db.UpstreamProvider(ctx, f.provider.Name)
		must(t, err)
		second, err := db.UpstreamProviderByID(ctx, f.provider.ID)
		must(t, err)
		first.ClientID, first.ClientSecret, first.Settings = "new", "new secret", map[string]any{"preset": "google"}
		must(t, db.UpdateUpstreamProvider(ctx, first))
		if err := db.UpdateUpstreamProvider(ctx, second); !isConflict(err) {
			t.Errorf("a change to what was changed meanwhile: %v", err)
		}
		read, err := db.UpstreamProvider(ctx, f.provider.Name)
		must(t, err)
		if read.ClientID != "new" || read.ClientSecret != "new secret" || read.Settings["preset"] != "google" || read.Version != 2 || read.UpdatedAt == nil {
			t.Errorf("%+v", read)
		}
		listed, err := db.ListUpstreamProviders(ctx, "", 0)
		must(t, err)
		if len(listed) != 1 || listed[0].ClientSecret != "" {
			t.Errorf("listed: %+v", listed)
		}
		accounts, err := db.DeleteUpstreamProvider(ctx, f.provider.ID)
		if err != nil || accounts != 1 {
			t.Errorf("%d accounts, %v", accounts, err)
		}
		if _, err := db.UpstreamRequest(ctx, f.state); !isNotFound(err) {
			t.Errorf("a request to a provider that is gone: %v", err)
		}
		if err := db.UpdateUpstreamProvider(ctx, read); !isNotFound(err) {
			t.Errorf("a change to one that is gone: %v", err)
		}
		if _, err := db.DeleteUpstreamProvider(ctx, f.provider.ID); !isNotFound(err) {
			t.Errorf("deleted twice: %v", err)
		}
	})
}

// S-230: who somebody is elsewhere is told by the provider, the issuer and the subject together.
func TestWhoSomebodyIsElsewhereIsToldByIssuerAndSubject(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		f := newFixture(t, db, ctx, "alice")
		bob := &storage.User{Email: "bob@example.com", PasswordHash: "!", IsActive: true}
		must(t, db.CreateUser(ctx, bob))
		other := &storage.UpstreamProvider{Name: "other", ClientID: "o"}
		must(t, db.CreateUpstreamProvider(ctx, other))
		of := func(user, provider uuid.UUID, issuer, subject string) *storage.UpstreamAccount {
			return &storage.UpstreamAccount{UserID: user, ProviderID: provider, Issuer: issuer, Subject: subject}
		}
		if err := db.CreateUpstreamAccount(ctx, of(bob.ID, f.provider.ID, upstreamIssuer, "u-1")); !isConflict(err) {
			t.Errorf("an account of two people: %v", err)
		}
		for _, a := range []*storage.UpstreamAccount{
			of(bob.ID, other.ID, upstreamIssuer, "u-1"), of(bob.ID, f.provider.ID, "https://b.example", "u-1"), of(bob.ID, f.provider.ID, upstreamIssuer, "u-2"),
			of(bob.ID, f.provider.ID, upstreamIssuer, "x u-1"), // a space is part of the subject
		} {
			must(t, db.CreateUpstreamAccount(ctx, a))
			found, err := db.UpstreamAccount(ctx, a.ProviderID, a.Issuer, a.Subject)
			must(t, err)
			if found.UserID != bob.ID || found.Issuer != a.Issuer || found.Subject != a.Subject {
				t.Errorf("%+v is %+v", a, found)
			}
		}
		if found, err := db.UpstreamAccount(ctx, f.provider.ID, upstreamIssuer, "u-1"); err != nil || found.UserID != f.user.ID {
			t.Errorf("%+v, %v", found, err)
		}
		for _, wrong := range [][2]string{{upstreamIssuer, "U-1"}, {upstreamIssuer + "/", "u-1"}, {"", "u-1"}, {upstreamIssuer + " u-1", ""}} {
			if found, err := db.UpstreamAccount(ctx, f.provider.ID, wrong[0], wrong[1]); !isNotFound(err) {
				t.Errorf("%q: %+v, %v", wrong, found, err)
			}
		}
		if _, err := db.UpstreamAccountOf(ctx, bob.ID, f.account.ID); !isNotFound(err) {
			t.Errorf("somebody else's: %v", err)
		}
		if err := db.DeleteUpstreamAccount(ctx, bob.ID, f.account.ID); !isNotFound(err) {
			t.Errorf("somebody else's: %v", err)
		}
		if n, err := db.DeleteUpstreamAccounts(ctx, bob.ID); n != 4 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if all, err := db.UpstreamAccountsOf(ctx, f.user.ID); err != nil || len(all) != 1 || all[0].Subject != "u-1" || all[0].Label != "alice@upstream.example" {
			t.Errorf("%+v, %v", all, err)
		}
	})
}

func TestOfManyWhoRenewTheTokensOfAnAccountOneWins(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		f := newFixture(t, db, ctx, "alice")
		read, err := db.UpstreamAccountOf(ctx, f.user.ID, f.account.ID)
		must(t, err)
		once := func(what string, do func(mine *storage.UpstreamAccount) error) {
			t.Helper()
			var won atomic.Int64
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					mine := *read
					switch err := do(&mine); {
					case err == nil:
						won.Add(1)
					case !isSpent(err):
						t.Error(err)
					}
				})
			}
			all.Wait()
			if won.Load() != 1 {
				t.Errorf("%s: %d have won", what, won.Load())
			}
		}
		claim := func(until time.Time) func(*storage.UpstreamAccount) error {
			return func(mine *storage.UpstreamAccount) error { return db.ClaimUpstreamRenewal(ctx, mine, until) }
		}
		once("claimed", claim(now().Add(minute)))
		if err := db.ClaimUpstreamRenewal(ctx, read, now().Add(minute)); !isSpent(err) {
			t.Errorf("claimed once more: %v", err)
		}
		must(t, db.GiveUpUpstreamRenewal(ctx, read))
		must(t, db.ClaimUpstreamRenewal(ctx, read, now().Add(-time.Second)))
		once("claimed when the other has taken too long", claim(now().Add(minute)))
		ends := now().Add(time.Hour)
		once("renewed", func(mine *storage.UpstreamAccount) error {
			return db.RenewUpstreamTokens(ctx, mine, "at-2", "rt-2", &ends)
		})
		after, err := db.UpstreamAccountOf(ctx, f.user.ID, f.account.ID)
		must(t, err)
		if after.AccessToken != "at-2" || after.RefreshToken != "rt-2" || after.ExpiresAt == nil {
			t.Errorf("%+v", after)
		}
		if err := db.ClaimUpstreamRenewal(ctx, read, now().Add(minute)); !isSpent(err) {
			t.Errorf("by one that was read before: %v", err)
		}
		late := *after
		must(t, db.ClaimUpstreamRenewal(ctx, &late, now().Add(minute))) // the claim has ended with what it was for

		// Whoever signs in meanwhile, and is given no refresh token, does not undo what is renewed.
		without := *after
		without.AccessToken, without.RefreshToken, without.ExpiresAt = "at-3", "", nil
		must(t, db.UseUpstreamAccount(ctx, &without))
		must(t, db.RenewUpstreamTokens(ctx, &late, "at-4", "rt-4", nil))
		without.AccessToken, without.RefreshToken = "at-5", ""
		must(t, db.UseUpstreamAccount(ctx, &without))
		if after, err = db.UpstreamAccountOf(ctx, f.user.ID, f.account.ID); err != nil || after.AccessToken != "at-5" || after.RefreshToken != "rt-4" || after.LastUsedAt == nil {
			t.Errorf("%+v, %v", after, err)
		}
		// Whoever is given one has brought tokens of their own, and those that are being renewed are no longer the account's.
		late = *after
		after.AccessToken, after.RefreshToken = "at-6", "rt-6"
		must(t, db.UseUpstreamAccount(ctx, after))
		must(t, db.GiveUpUpstreamRenewal(ctx, &late))
		if err := db.RenewUpstreamTokens(ctx, &late, "at-7", "rt-7", nil); !isSpent(err) {
			t.Errorf("renewed after all: %v", err)
		}
		// And one that is worth nothing any more is gone.
		after, err = db.UpstreamAccountOf(ctx, f.user.ID, f.account.ID)
		must(t, err)
		must(t, db.RenewUpstreamTokens(ctx, after, after.AccessToken, "", after.ExpiresAt))
		if after, err = db.UpstreamAccountOf(ctx, f.user.ID, f.account.ID); err != nil || after.AccessToken != "at-6" || after.RefreshToken != "" {
			t.Errorf("%+v, %v", after, err)
		}
	})
}

// S-232: a state is good once, within its time.
func TestARequestToAProviderIsAnsweredAndSpentOnce(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		f := newFixture(t, db, ctx, "alice")
		once := func(what string, do func(context.Context) error) {
			t.Helper()
			var won atomic.Int64
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					switch err := do(ctx); {
					case err == nil:
						won.Add(1)
					case !isSpent(err):
						t.Error(err)
					}
				})
			}
			all.Wait()
			if won.Load() != 1 {
				t.Errorf("%s: %d times", what, won.Load())
			}
		}
		request, err := db.UpstreamRequest(ctx, f.state)
		must(t, err)
		if string(request.Data) != `{"nonce":"upstream-nonce"}` || request.BrowserDigest != f.browser || *request.UserID != f.user.ID || request.AnsweredAt != nil {
			t.Errorf("%+v", request)
		}
		request.Data = []byte(`{"code":"c"}`)
		once("answered", func(ctx context.Context) error { return db.AnswerUpstreamRequest(ctx, request) })
		if request, err = db.UpstreamRequest(ctx, f.state); err != nil || string(request.Data) != `{"code":"c"}` || request.AnsweredAt == nil {
			t.Errorf("%+v, %v", request, err)
		}
		once("spent", func(ctx context.Context) error { return db.SpendUpstreamRequest(ctx, f.state) })
		if _, err := db.UpstreamRequest(ctx, f.state); !isNotFound(err) {
			t.Errorf("after that: %v", err)
		}

		held, err := db.HeldUpstreamRequest(ctx, f.browser)
		if err != nil || held.Digest != f.held || !held.Held || held.UserID != nil {
			t.Errorf("%+v, %v", held, err)
		}
		if _, err := db.UpstreamRequest(ctx, f.held); !isNotFound(err) {
			t.Errorf("what is held answers to a state: %v", err)
		}
		if err := db.AnswerUpstreamRequest(ctx, held); !isSpent(err) {
			t.Errorf("what is held is answered: %v", err)
		}
		// The newest is the one that counts.
		newer := &storage.UpstreamRequest{
			Digest: uuid.NewString(), BrowserDigest: f.browser, ProviderID: f.provider.ID, Held: true, ExpiresAt: now().Add(minute), CreatedAt: now().Add(time.Second),
		}
		must(t, db.CreateUpstreamRequest(ctx, newer))
		if held, err = db.HeldUpstreamRequest(ctx, f.browser); err != nil || held.Digest != newer.Digest {
			t.Errorf("%+v, %v", held, err)
		}
		late := &storage.UpstreamRequest{Digest: uuid.NewString(), BrowserDigest: f.browser, ProviderID: f.provider.ID, ExpiresAt: now().Add(-time.Second)}
		must(t, db.CreateUpstreamRequest(ctx, late))
		if _, err := db.UpstreamRequest(ctx, late.Digest); !isNotFound(err) {
			t.Errorf("beyond its time: %v", err)
		}
		if err := errors.Join(db.AnswerUpstreamRequest(ctx, late), db.SpendUpstreamRequest(ctx, late.Digest)); !isSpent(err) {
			t.Errorf("beyond its time: %v", err)
		}
	})
}
