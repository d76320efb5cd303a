package storage_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

func TestWhatProvesSomebodyWorksOnce(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		f := newFixture(t, db, ctx, "alice")
		for name, spend := range map[string]func(context.Context) error{
			"a recovery code": func(ctx context.Context) error {
				left, err := db.SpendRecoveryCode(ctx, f.user.ID, f.recovery)
				if err == nil && left != 1 {
					t.Errorf("%d codes are left", left)
				}
				return err
			},
			"a time step": func(ctx context.Context) error { return db.UseAuthenticator(ctx, f.app.ID, 60_000_000) },
			"a count":     func(ctx context.Context) error { return db.UsePasskey(ctx, f.passkey, 8, true, []byte("later")) },
			"a sign-in":   func(ctx context.Context) error { return db.SpendSignIn(ctx, f.signIn) },
			"a challenge": func(ctx context.Context) error {
				return db.SpendChallenge(ctx, "fresh", time.Now().Add(time.Minute))
			},
		} {
			var won atomic.Int32
			var all sync.WaitGroup
			for range 16 {
				all.Go(func() {
					err := db.InTx(ctx, spend)
					if err == nil {
						won.Add(1)
					} else if !errors.Is(err, storage.ErrSpent) {
						t.Errorf("%s: %v", name, err)
					}
				})
			}
			all.Wait()
			if won.Load() != 1 {
				t.Errorf("%s worked %d times", name, won.Load())
			}
		}
		if err := db.UseAuthenticator(ctx, f.app.ID, 59_999_999); !errors.Is(err, storage.ErrSpent) {
			t.Errorf("a step before the last: %v", err)
		}
		key, err := db.PasskeyByCredential(ctx, f.passkey.CredentialID)
		must(t, err)
		if string(key.Record) != "later" || key.SignCount != 8 || key.LastUsedAt == nil {
			t.Errorf("%+v", key)
		}
	})
}

func TestAPasskeyThatWasClonedIsNotTaken(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		f := newFixture(t, db, ctx, "alice")
		again := &storage.Passkey{UserID: f.user.ID, CredentialID: f.passkey.CredentialID, Record: []byte("x")}
		if err := db.CreatePasskey(ctx, again); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("the same credential twice: %v", err)
		}
		must(t, db.MarkPasskeyCloned(ctx, f.passkey.ID))
		if err := db.UsePasskey(ctx, f.passkey, 99, true, []byte("x")); !errors.Is(err, storage.ErrSpent) {
			t.Errorf("used: %v", err)
		}
	})
}

func TestFactorsGoTogether(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		f := newFixture(t, db, ctx, "alice")
		name := "bob"
		bob := &storage.User{Email: "bob@example.com", Username: &name, PasswordHash: "!", IsActive: true}
		must(t, db.CreateUser(ctx, bob))
		must(t, db.ReplaceRecoveryCodes(ctx, bob.ID, []string{"bobs"}))
		must(t, db.DeleteFactors(ctx, f.user.ID))
		counts, err := db.FactorCounts(ctx, f.user.ID)
		if err != nil || counts != (storage.FactorCounts{}) {
			t.Errorf("%+v, %v", counts, err)
		}
		if _, _, err := db.SignIn(ctx, f.signIn); !isNotFound(err) {
			t.Errorf("a sign-in under way: %v", err)
		}
		counts, err = db.FactorCounts(ctx, bob.ID)
		if err != nil || counts.RecoveryCodes != 1 {
			t.Errorf("of somebody else: %+v, %v", counts, err)
		}
	})
}
