package storage_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

func TestAListIsSeenWholeAPageAtATimeInEveryOrder(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		began := now().Add(-time.Hour).Truncate(time.Microsecond)
		var emails []string
		for i := range 7 {
			email := fmt.Sprintf("%c%d@example.com", 'g'-i, i)
			user := &storage.User{Email: email, PasswordHash: "!", CreatedAt: began.Add(time.Duration(i/3) * time.Microsecond)} // some at the same time
			must(t, db.CreateUser(ctx, user))
			must(t, db.CreateGrant(ctx, &storage.Grant{ClientID: fmt.Sprint("c", i%2), UserID: &user.ID, CreatedAt: user.CreatedAt, ExpiresAt: now().Add(time.Hour)}))
			emails = append(emails, email)
		}
		slices.Sort(emails)
		all := func(sort string, limit int) (seen []string) {
			l := storage.Listing{Sort: sort, Limit: limit}
			for {
				users, next, err := db.FindUsers(ctx, storage.UserFilter{}, l)
				must(t, err)
				if len(users) > limit {
					t.Fatalf("%d at once", len(users))
				}
				for _, user := range users {
					seen = append(seen, user.Email)
				}
				if next == nil {
					return seen
				}
				l.After = next
			}
		}
		for _, sort := range storage.UserOrders() {
			whole := all(sort, 100)
			for _, limit := range []int{1, 2, 7} {
				if pages := all(sort, limit); !slices.Equal(pages, whole) {
					t.Errorf("by %s, %d at a time: %v, want %v", sort, limit, pages, whole)
				}
			}
			sorted := slices.Sorted(slices.Values(whole))
			if !slices.Equal(sorted, emails) {
				t.Errorf("by %s: %v", sort, whole)
			}
		}
		if byEmail := all("email", 3); !slices.Equal(byEmail, emails) {
			t.Errorf("by email: %v", byEmail)
		}
		grants, next, err := db.FindGrants(ctx, storage.GrantFilter{ClientID: "c1"}, storage.Listing{Limit: 2})
		must(t, err)
		more, end, err := db.FindGrants(ctx, storage.GrantFilter{ClientID: "c1"}, storage.Listing{Limit: 2, After: next})
		if err != nil || len(grants) != 2 || len(more) != 1 || end != nil {
			t.Errorf("%d and %d grants, %v, %v", len(grants), len(more), end, err)
		}
		// S-260: an order, or a place in it, that comes from outside is one of those there are, or nothing is asked.
		for _, l := range []storage.Listing{
			{Sort: "password_hash"}, {Sort: "email; DROP TABLE users"}, {Sort: "--email"}, {Sort: "(CASE WHEN 1=1 THEN email END)"}, {Sort: "EMAIL"},
			{After: &storage.Position{Value: "yesterday"}},
		} {
			if _, _, err := db.FindUsers(ctx, storage.UserFilter{}, l); !errors.Is(err, storage.ErrListing) {
				t.Errorf("%+v: %v", l, err)
			}
		}
	})
}
