package storage_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// S-221: of what looks the same an organization has one, on either database; whoever has it is found by whichever spelling, and
// another organization has it for somebody else.
func TestWhatLooksTheSameIsOnePersonOnEveryDatabase(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx, elsewhere := storagetest.Org(t, db, "acme"), storagetest.Org(t, db, "globex")
		named := func(email, username string) *storage.User {
			user := &storage.User{Email: email, PasswordHash: "!", IsActive: true}
			if username != "" {
				user.Username = &username
			}
			return user
		}
		for i, pair := range [][2]string{
			{"Mike@Example.COM", "mike@example.com"}, {"x@Bücher.example", "X@xn--bcher-kva.EXAMPLE"}, {"y@BU\u0308CHER.example", "y@bücher.example"},
			{"z@\uff45\uff58ample.com", "Z@example\u3002com"}, {"q@mi\u212ae.example", "q@mike.example"},
			{"Ada", "ＡＤＡ"}, {"åsa", "A\u030aSA"}, {"mi\u212aa", "MIKA"}, {"alıce", "ALICE"}, {"ΠΑΣ", "πας"}, {"Straße", "STRASSE"}, {"анна", "AHHA"},
			{"user7", "user७"}, {"İpek", "ipek"},
		} {
			mine := func(spelling string) *storage.User { return named(string(rune('a'+i))+"@owner.example", spelling) }
			other := func(spelling string) *storage.User { return named(string(rune('a'+i))+"@other.example", spelling) }
			if i < 5 {
				mine = func(spelling string) *storage.User { return named(spelling, "") }
				other = mine
			}
			first := mine(pair[0])
			must(t, db.CreateUser(ctx, first))
			for _, spelling := range pair {
				if err := db.CreateUser(ctx, other(spelling)); !errors.Is(err, storage.ErrConflict) {
					t.Errorf("%q beside %q: %v", spelling, pair[0], err)
				}
				if found, err := db.UserByLogin(ctx, spelling); err != nil || found.ID != first.ID {
					t.Errorf("%q is not %q: %v", spelling, pair[0], err)
				}
			}
			second := mine(pair[1])
			must(t, db.CreateUser(elsewhere, second))
			if found, err := db.UserByLogin(elsewhere, pair[0]); err != nil || found.ID != second.ID {
				t.Errorf("%q is not %q elsewhere: %v", pair[0], pair[1], err)
			}
			if i < 5 {
				continue
			}
			// Nor does somebody get it who is there already.
			third := other("")
			must(t, db.CreateUser(ctx, third))
			if third.Username = &pair[1]; !errors.Is(db.UpdateProfile(ctx, third), storage.ErrConflict) {
				t.Errorf("somebody else is called %q beside %q", pair[1], pair[0])
			}
		}
	})
}

// Who has no password holds a marker, and never an empty text.
func TestNobodyIsStoredWithoutAHash(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		nobody := func() *storage.User { return &storage.User{Email: "nobody@example.com", IsActive: true} }
		somebody := &storage.User{Email: "somebody@example.com", PasswordHash: "!"}
		must(t, db.CreateUser(ctx, somebody))
		for name, err := range map[string]error{
			"one": db.CreateUser(ctx, nobody()), "several": db.CreateUsers(ctx, []*storage.User{nobody()}),
			"somebody who is there": db.SetPasswordHash(ctx, somebody.ID, ""),
		} {
			if err == nil {
				t.Errorf("%s: an empty hash is stored", name)
			}
		}
		if users, err := db.ListUsers(ctx, uuid.Nil, 0); err != nil || len(users) != 1 || users[0].PasswordHash != "!" {
			t.Errorf("%v: %+v", err, users)
		}
	})
}
