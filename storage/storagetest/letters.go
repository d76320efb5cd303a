package storagetest

import (
	"slices"
	"testing"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/storage"
)

// Letters are those in the outbox that were written to an address, in whichever organization; the newest is last.
func Letters(t testing.TB, db *storage.DB, address string) []mail.Message {
	t.Helper()
	var found []mail.Message
	for before := (storage.Mail{}); ; {
		page, err := db.ListMail(t.Context(), storage.MailAll, before, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page {
			if m.Message != nil && m.Message.To == address {
				found = append(found, *m.Message)
			}
			before = m
		}
		if len(page) == 0 {
			break
		}
	}
	slices.Reverse(found)
	return found
}
