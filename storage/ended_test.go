package storage_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// ends are the ways in which what was given in a person's name comes to an end.
func ends(f *fixture, db *storage.DB) map[string]func() error {
	return map[string]func() error{
		"the session":         func() error { return db.EndSession(f.ctx, f.session.ID, true) },
		"every other session": func() error { _, err := db.EndOtherSessions(f.ctx, f.user.ID, uuid.New(), true); return err },
		"every session":       func() error { return db.EndSessionsOfUser(f.ctx, f.user.ID) },
		"everybody's session": func() error { _, err := db.EndEverySession(f.ctx, true); return err },
		"every grant":         func() error { return db.RevokeGrantsOfUser(f.ctx, f.user.ID) },
		"an application's":    func() error { return db.RevokeGrantsOfUserAndClient(f.ctx, f.user.ID, f.client.ClientID) },
	}
}

// unredeemed is a code that somebody has yet to redeem, and the grant that it then is.
func unredeemed(t *testing.T, db *storage.DB, f *fixture) (string, *storage.Grant) {
	t.Helper()
	g := &storage.Grant{
		ID: uuid.New(), ClientID: f.client.ClientID, UserID: &f.user.ID, SessionID: &f.session.ID, Scope: []string{"openid", "offline_access"},
		ExpiresAt: time.Now().Add(time.Hour),
	}
	digest := secret.Digest(uuid.NewString())
	must(t, db.CreateCode(f.ctx, &storage.Code{
		Digest: digest, GrantID: g.ID, ClientID: f.client.ClientID, UserID: f.user.ID, SessionID: &f.session.ID, ExpiresAt: time.Now().Add(time.Minute),
	}))
	return digest, g
}

// What was ended includes what is under way to be had: a code that was issued and not redeemed yet.
func TestACodeDoesNotOutliveWhatItWasIssuedFor(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		for i, what := range []string{"the session", "every other session", "every session", "everybody's session", "every grant", "an application's"} {
			f := newFixture(t, db, storagetest.Org(t, db, fmt.Sprintf("org-%d", i)), fmt.Sprintf("alice%d", i))
			code, _ := unredeemed(t, db, f)
			must(t, ends(f, db)[what]())
			if err := db.SpendCode(f.ctx, code); !errors.Is(err, storage.ErrSpent) {
				t.Errorf("%s has ended, and a code of it is redeemed: %v", what, err)
			}
		}
	})
}

// Nor does one that is redeemed at that very moment: whichever of the two is first, nothing is left in the end.
func TestACodeRedeemedAsItsSessionEndsLeavesNothing(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		for i, what := range []string{"the session", "every other session", "every session", "everybody's session", "every grant", "an application's"} {
			f := newFixture(t, db, storagetest.Org(t, db, fmt.Sprintf("org-%d", i)), fmt.Sprintf("alice%d", i))
			code, grant := unredeemed(t, db, f)
			end := ends(f, db)[what]
			ended := make(chan error, 1)
			begun := false
			must(t, db.InTx(f.ctx, func(ctx context.Context) error {
				if err := db.SpendCode(ctx, code); err != nil {
					return err
				}
				if err := db.CreateGrant(ctx, grant); err != nil {
					return err
				}
				if !begun {
					begun = true
					go func() { ended <- end() }()
				}
				// It waits for us, or it is done and has missed what is not committed yet.
				ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
				defer cancel()
				select {
				case err := <-ended:
					ended <- err
				case <-ctx.Done():
				}
				return nil
			}))
			must(t, <-ended)
			if again, err := db.RevokeGrant(f.ctx, grant.ID); err != nil || again {
				t.Errorf("%s has ended, and a grant of it lives: %v", what, err)
			}
		}
	})
}
