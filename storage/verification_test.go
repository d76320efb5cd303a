package storage_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

func TestANewLinkTakesThePlaceOfOlderOnesOfItsKindAndSubject(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx, elsewhere := storagetest.Org(t, db, "acme"), storagetest.Org(t, db, "globex")
		alice := newFixture(t, db, ctx, "alice")
		other := newFixture(t, db, elsewhere, "alice")
		alive := func(f *fixture, digest, kind string) bool {
			_, err := db.VerificationToken(f.ctx, digest, kind)
			if err != nil && !isNotFound(err) {
				t.Fatal(err)
			}
			return err == nil
		}
		link := func(f *fixture, kind, subject string) string {
			digest := secret.Digest(uuid.NewString())
			row := storage.VerificationToken{Token: digest, Type: kind, Subject: subject, Data: []byte(`{"a": 1}`), ExpiresAt: time.Now().Add(time.Hour)}
			if subject == "" {
				row.UserID = &f.user.ID
			}
			must(t, db.CreateVerificationToken(f.ctx, &row))
			return digest
		}
		bob := &storage.User{Email: "bob@example.com", PasswordHash: "!", IsActive: true}
		must(t, db.CreateUser(ctx, bob))
		bobs := link(&fixture{ctx: ctx, user: bob}, storage.PasswordReset, "")
		verify := link(alice, storage.EmailVerification, "")
		browser := link(alice, storage.EmailVerification, "browser")
		first := link(alice, storage.PasswordReset, "")
		second := link(alice, storage.PasswordReset, "")
		for name, c := range map[string]struct {
			f            *fixture
			digest, kind string
			want         bool
		}{
			"the one before both":      {alice, alice.verification, storage.PasswordReset, false},
			"the first":                {alice, first, storage.PasswordReset, false},
			"the second":               {alice, second, storage.PasswordReset, true},
			"the second as another":    {alice, second, storage.EmailVerification, false},
			"one of another kind":      {alice, verify, storage.EmailVerification, true},
			"one of a browser":         {alice, browser, storage.EmailVerification, true},
			"another person's":         {alice, bobs, storage.PasswordReset, true},
			"another organization's":   {other, other.verification, storage.PasswordReset, true},
			"in another organization":  {other, second, storage.PasswordReset, false},
			"a setup link of that row": {alice, second, "operator_setup", false},
		} {
			if got := alive(c.f, c.digest, c.kind); got != c.want {
				t.Errorf("%s works: %v", name, got)
			}
		}
		found, err := db.VerificationTokenOf(ctx, "browser", storage.EmailVerification)
		must(t, err)
		if found.Token != browser || found.UserID != nil || found.OrgID == nil || *found.OrgID != alice.user.OrgID || string(found.Data) != `{"a": 1}` {
			t.Errorf("found %+v", found)
		}
		if _, err := db.SetupToken(ctx, second); !isNotFound(err) {
			t.Errorf("as a setup link: %v", err)
		}
		must(t, db.EndVerificationToken(ctx, found.ID, storage.EmailVerification))
		if alive(alice, browser, storage.EmailVerification) {
			t.Error("it works after its end")
		}
		if err := db.EndVerificationToken(ctx, found.ID, storage.EmailVerification); !isNotFound(err) {
			t.Errorf("a second end: %v", err)
		}
		must(t, db.SetUserActive(ctx, alice.user.ID, false))
		if alive(alice, second, storage.PasswordReset) || alive(alice, verify, storage.EmailVerification) {
			t.Error("links of a person who is switched off work")
		}
	})
}

// Replicas that make a link for the same person at the same time: one of them works afterwards.
func TestOfLinksMadeAtOnceOneWorks(t *testing.T) {
	storagetest.EachURL(t, func(t *testing.T, url string) {
		first := storagetest.Open(t, url)
		if _, err := first.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		replicas := []*storage.DB{first, storagetest.Open(t, url)}
		ctx := storagetest.Org(t, first, "acme")
		f := newFixture(t, first, ctx, "alice")
		var making sync.WaitGroup
		for i := range 16 {
			making.Go(func() {
				err := replicas[i%2].CreateVerificationToken(ctx, &storage.VerificationToken{
					UserID: &f.user.ID, Token: secret.Digest(uuid.NewString()), Type: storage.PasswordReset, ExpiresAt: time.Now().Add(time.Hour),
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		making.Wait()
		if left, err := first.VerificationTokens(ctx, storage.PasswordReset, uuid.Nil, 0); err != nil || len(left) != 1 {
			t.Errorf("%d work, %v", len(left), err)
		}
	})
}

// S-214.
func TestGuessesAtACodeAreCountedOnEveryReplica(t *testing.T) {
	storagetest.EachURL(t, func(t *testing.T, url string) {
		first := storagetest.Open(t, url)
		if _, err := first.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		replicas := []*storage.DB{first, storagetest.Open(t, url)}
		ctx := storagetest.Org(t, first, "acme")
		f := newFixture(t, first, ctx, "alice")
		const most = 5
		var counted atomic.Int64
		var guessing sync.WaitGroup
		for i := range 16 {
			guessing.Go(func() {
				switch err := replicas[i%2].TryVerificationToken(ctx, f.verification, storage.PasswordReset, most); {
				case err == nil:
					counted.Add(1)
				case !errors.Is(err, storage.ErrSpent):
					t.Error(err)
				}
			})
		}
		guessing.Wait()
		row, err := first.VerificationToken(ctx, f.verification, storage.PasswordReset)
		must(t, err)
		if counted.Load() != most || row.Attempts != most {
			t.Errorf("%d guesses were let through, %d counted", counted.Load(), row.Attempts)
		}
	})
}
