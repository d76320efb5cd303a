package storage_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// FuzzSort and FuzzFilter of S-260: whatever stands for an order is one of those there are, or nothing is asked; and whatever is
// looked for, only the organization's own is found.
func FuzzSortAndFilter(f *testing.F) {
	db := storagetest.DB(f)
	var orgs []context.Context
	for _, slug := range []string{"ours", "theirs"} {
		ctx := storagetest.Org(f, db, slug)
		user := &storage.User{Email: "alice@example.com", Username: text("alice"), FullName: text("Alice O'Hara"), PasswordHash: "!", IsActive: true}
		if err := db.CreateUser(ctx, user); err != nil {
			f.Fatal(err)
		}
		orgs = append(orgs, ctx)
	}
	for _, seed := range []string{"", "email", "-email", "created_at", "id", "password_hash", "(CASE WHEN 1=1 THEN email END)", "email; DROP TABLE users", "a' OR '1'='1", "%", `\`, "alice", "\x00"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, sort, looked string) {
		known := slices.Contains(append(storage.UserOrders(), ""), sort) || sort == "-"
		_, _, err := db.FindUsers(t.Context(), storage.UserFilter{}, storage.Listing{Sort: sort})
		if want := map[bool]error{true: storage.ErrNoTenant, false: storage.ErrListing}[known]; !errors.Is(err, want) {
			t.Errorf("sorted by %q: %v", sort, err)
		}
		for _, filter := range []storage.UserFilter{{Search: looked}, {Email: looked}, {Username: looked}, {Role: looked}} {
			found, _, err := db.FindUsers(orgs[0], filter, storage.Listing{})
			must(t, err)
			if len(found) > 1 {
				t.Errorf("%+v finds %d, where one is the organization's", filter, len(found))
			}
			for _, user := range found {
				if filter.Search != "" && !strings.Contains(strings.ToLower(user.Email+" "+*user.Username+" "+*user.FullName), strings.ToLower(looked)) {
					t.Errorf("%+v finds %+v", filter, user)
				}
			}
		}
	})
}
