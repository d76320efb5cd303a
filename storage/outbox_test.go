package storage_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

func letter(subject string) *mail.Message {
	return &mail.Message{Kind: mail.PasswordReset, To: "alice@example.com", Subject: subject, Link: "https://id.example.com/mail-canary"}
}

func TestMailIsClaimedByOneUntilTheClaimEnds(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		for i := range 3 {
			must(t, db.EnqueueMail(ctx, nil, letter(fmt.Sprint(i))))
		}
		claim := func(until time.Duration) []storage.Mail {
			t.Helper()
			claimed, err := db.ClaimMail(t.Context(), now().Add(until), 2)
			must(t, err)
			return claimed
		}
		first := claim(minute)
		if len(first) != 2 || first[0].Message.Subject != "0" || first[1].Message.Subject != "1" || first[0].Attempts != 1 {
			t.Fatalf("%+v", first)
		}
		late := claim(0)
		if len(late) != 1 || late[0].Message.Subject != "2" || len(claim(minute)) != 1 || len(claim(minute)) != 0 {
			t.Fatalf("%+v", late)
		}
		// Whose claim has ended can say that it was delivered, and nothing else.
		for name, err := range map[string]error{
			"postpone": db.PostponeMail(ctx, &late[0], now(), ""), "release": db.ReleaseMail(ctx, &late[0], ""), "abandon": db.AbandonMail(ctx, &late[0], ""),
		} {
			if !errors.Is(err, storage.ErrSpent) {
				t.Errorf("%s: %v", name, err)
			}
		}
		must(t, db.MailDelivered(ctx, late[0].ID, false))
		if err := db.MailDelivered(ctx, late[0].ID, false); !errors.Is(err, storage.ErrSpent) {
			t.Errorf("again: %v", err)
		}
		if err := db.RetryMail(ctx, late[0].ID); !isNotFound(err) {
			t.Errorf("retry of what has left: %v", err)
		}
		must(t, db.ReleaseMail(ctx, &first[0], "the server is away\r\nand more"))
		must(t, db.PostponeMail(ctx, &first[1], now().Add(minute), strings.Repeat("x", 1000)))
		again := claim(minute)
		if len(again) != 1 || again[0].ID != first[0].ID || again[0].Attempts != 1 || again[0].LastError != "the server is away  and more" {
			t.Errorf("%+v", again)
		}
		put, err := db.MailByID(ctx, first[1].ID)
		if err != nil || len([]rune(put.LastError)) > 501 || put.Attempts != 1 {
			t.Errorf("%+v, %v", put, err)
		}
		must(t, db.RetryMail(ctx, first[1].ID))
		if again = claim(minute); len(again) != 1 || again[0].ID != first[1].ID || again[0].Attempts != 1 {
			t.Errorf("%+v", again)
		}
	})
}

func TestMailIsListedNewestFirstByItsState(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ours, theirs := storagetest.Org(t, db, "ours"), storagetest.Org(t, db, "theirs")
		for i := range 6 {
			must(t, db.EnqueueMail([]context.Context{ours, theirs}[i%2], nil, letter(fmt.Sprint(i))))
		}
		claimed, err := db.ClaimMail(t.Context(), now().Add(minute), 2)
		must(t, err)
		must(t, db.MailDelivered(t.Context(), claimed[0].ID, true))
		must(t, db.AbandonMail(theirs, &claimed[1], "refused"))
		for state, want := range map[storage.MailState]string{storage.MailAll: "543210", storage.MailWaiting: "5432", storage.MailAbandoned: "1", storage.MailUndelivered: "54321"} {
			got := ""
			for before := (storage.Mail{}); ; {
				page, err := db.ListMail(t.Context(), state, before, 2)
				must(t, err)
				if len(page) == 0 {
					break
				}
				for _, m := range page {
					got += m.Message.Subject
					before = m
				}
			}
			if got != want {
				t.Errorf("%s: %s", state, got)
			}
		}
		if _, err := db.MailByID(t.Context(), uuid.New()); !isNotFound(err) {
			t.Errorf("%v", err)
		}
	})
}

func TestMailThatDoesNotOpenKeepsNoOtherBack(t *testing.T) {
	storagetest.EachURL(t, func(t *testing.T, url string) {
		db := storagetest.Open(t, url)
		if _, err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		raw := openRaw(t, url)
		ctx := storagetest.Org(t, db, "acme")
		for i := range 2 {
			must(t, db.EnqueueMail(ctx, nil, letter(fmt.Sprint(i))))
		}
		all, err := db.ListMail(ctx, storage.MailAll, storage.Mail{}, 0)
		must(t, err)
		// What one letter says is put into another's row.
		if _, err := raw.Exec(`UPDATE outbox SET payload = (SELECT o.payload FROM outbox o WHERE o.id = '` + all[0].ID.String() + `')
			WHERE id = '` + all[1].ID.String() + `'`); err != nil {
			t.Fatal(err)
		}
		claimed, err := db.ClaimMail(ctx, now().Add(minute), 5)
		must(t, err)
		if len(claimed) != 2 || claimed[0].Message != nil || !strings.Contains(claimed[0].LastError, "cannot be opened") ||
			claimed[1].Message == nil || claimed[1].Message.Subject != "1" {
			t.Errorf("%+v", claimed)
		}
	})
}

func TestMailIsForgottenOnceItHasLeftAndLaterPurged(t *testing.T) {
	storagetest.EachURL(t, func(t *testing.T, url string) {
		db := storagetest.Open(t, url)
		if _, err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		raw := openRaw(t, url)
		ctx := storagetest.Org(t, db, "acme")
		for i := range 3 {
			must(t, db.EnqueueMail(ctx, nil, letter(fmt.Sprint(i))))
		}
		claimed, err := db.ClaimMail(ctx, now().Add(minute), 2)
		must(t, err)
		must(t, db.MailDelivered(ctx, claimed[0].ID, false))
		must(t, db.AbandonMail(ctx, &claimed[1], "refused"))
		if got := texts(t, raw, `SELECT CAST(length(payload) AS varchar) FROM outbox WHERE delivered_at IS NOT NULL`); len(got) != 1 || got[0] != "0" {
			t.Errorf("%q is left of what has left", got)
		}
		for _, c := range []struct {
			after time.Duration
			left  int
		}{{0, 3}, {23 * time.Hour, 3}, {25 * time.Hour, 2}, {29 * 24 * time.Hour, 2}, {31 * 24 * time.Hour, 1}, {1000 * 24 * time.Hour, 1}} {
			_, err := db.Purge(ctx, now().Add(c.after), 0)
			must(t, err)
			if left := len(texts(t, raw, `SELECT CAST(id AS varchar) FROM outbox`)); left != c.left {
				t.Errorf("after %v %d are left", c.after, left)
			}
		}
	})
}

func TestWhoDeliversIsToldAfterTheCommit(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		told := func() bool {
			select {
			case <-db.Mailed():
				return true
			default:
				return false
			}
		}
		failed := errors.New("no")
		if err := db.InTx(ctx, func(ctx context.Context) error {
			must(t, db.EnqueueMail(ctx, nil, letter("never")))
			return failed
		}); !errors.Is(err, failed) || told() {
			t.Errorf("told of what was rolled back; %v", err)
		}
		must(t, db.InTx(ctx, func(ctx context.Context) error {
			must(t, db.EnqueueMail(ctx, nil, letter("a")))
			must(t, db.EnqueueMail(ctx, nil, letter("b")))
			if told() {
				t.Error("told before the commit")
			}
			return nil
		}))
		if !told() || told() {
			t.Error("not told, or twice")
		}
		must(t, db.EnqueueMail(ctx, nil, letter("c")))
		if !told() {
			t.Error("not told")
		}
	})
}
