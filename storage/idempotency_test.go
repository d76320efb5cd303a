package storage_test

import (
	"context"
	"errors"
	"testing"

	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

func TestARequestIsCarriedOutOnceWhateverBecomesOfWhoeverHasIt(t *testing.T) {
	storagetest.EachURL(t, func(t *testing.T, url string) {
		db := storagetest.Open(t, url)
		_, err := db.Migrate(t.Context())
		must(t, err)
		ctx := storagetest.Org(t, db, "acme")
		claim := func(body string) (*storage.Claim, string, error) {
			claim, answer, err := db.ClaimRequest(ctx, body, "client:a", "POST /users", "key")
			return claim, string(answer), err
		}
		// Time that goes by: of a lease, and of a day.
		later := func(column string) {
			_, err := openRaw(t, url).ExecContext(t.Context(), `UPDATE idempotency_keys SET `+column+` = '2020-01-01 00:00:00'`)
			must(t, err)
		}
		deed := func(claim *storage.Claim, email string) error {
			return db.InTx(storage.WithClaim(ctx, claim), func(ctx context.Context) error {
				return db.CreateUser(ctx, &storage.User{Email: email, PasswordHash: "!"})
			})
		}

		first, answer, err := claim("body")
		must(t, err)
		if answer != "" {
			t.Errorf("answered %q before anything was done", answer)
		}
		for body, want := range map[string]error{"body": storage.ErrClaimed, "another": storage.ErrClaimedOtherwise} {
			if _, _, err := claim(body); !errors.Is(err, want) {
				t.Errorf("%s beside it: %v", body, err)
			}
		}
		other, _, err := db.ClaimRequest(ctx, "another", "client:b", "POST /users", "key")
		must(t, err)

		// Whoever had it is gone, or so it seems: it is taken up by another, and the first comes too late.
		later("claimed_until")
		if _, _, err := claim("another"); !errors.Is(err, storage.ErrClaimedOtherwise) {
			t.Errorf("another body for what was left: %v", err)
		}
		second, _, err := claim("body")
		must(t, err)
		if err := deed(first, "first@example.com"); !errors.Is(err, storage.ErrSpent) {
			t.Errorf("the one who came too late: %v", err)
		}
		if _, err := db.UserByLogin(ctx, "first@example.com"); !isNotFound(err) {
			t.Errorf("and what they did is there: %v", err)
		}
		must(t, db.GiveUpRequest(ctx, first)) // has nothing to give up
		must(t, deed(second, "second@example.com"))
		if _, _, err := claim("body"); !errors.Is(err, storage.ErrClaimed) {
			t.Errorf("while the answer is on its way: %v", err)
		}

		// It is done, and whoever did it goes down: nobody does it again, however long they wait.
		later("claimed_until")
		if _, _, err := claim("body"); !errors.Is(err, storage.ErrAnswerLost) {
			t.Errorf("done and not answered: %v", err)
		}
		must(t, db.GiveUpRequest(ctx, second))
		must(t, db.AnswerRequest(ctx, second, []byte("the answer")))
		if none, answer, err := claim("body"); err != nil || answer != "the answer" || none != nil {
			t.Errorf("%v, %q, %v", none, answer, err)
		}
		if _, _, err := claim("another"); !errors.Is(err, storage.ErrClaimedOtherwise) {
			t.Errorf("another body after the answer: %v", err)
		}
		var stored []byte
		must(t, openRaw(t, url).QueryRowContext(t.Context(), `SELECT answer FROM idempotency_keys WHERE answer IS NOT NULL`).Scan(&stored))
		if string(stored) == "the answer" {
			t.Error("it is kept as it is")
		}

		// What came to nothing can be tried again, with another body too, and so can what was a day ago.
		must(t, db.GiveUpRequest(ctx, other))
		other, _, err = db.ClaimRequest(ctx, "corrected", "client:b", "POST /users", "key")
		must(t, err)
		must(t, deed(other, "third@example.com"))
		later("expires_at")
		if again, answer, err := claim("another"); err != nil || answer != "" || again == nil {
			t.Errorf("a day later: %v, %q, %v", again, answer, err)
		}
		if n, err := db.Purge(t.Context(), now(), 10); err != nil || n != 1 {
			t.Errorf("purged %d, %v", n, err)
		}
	})
}
