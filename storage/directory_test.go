package storage_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

func text(s string) *string { return &s }

// S-264: what is switched off, emptied or taken away is written, and nothing besides.
func TestAChangeToAPersonIsWrittenWhateverItIs(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		user := &storage.User{
			Email: "a@example.com", Username: text("a"), FullName: text("A"), IsActive: true, IsVerified: true, PasswordHash: "hash",
			Metadata: map[string]any{"locale": "en"},
		}
		must(t, db.CreateUser(ctx, user))
		change := *user
		change.Email, change.Username, change.FullName, change.IsVerified, change.Metadata = "B@Example.com", nil, nil, false, map[string]any{}
		change.IsActive, change.PasswordHash = false, "stolen"
		must(t, db.UpdateUser(ctx, &change))
		got, err := db.User(ctx, user.ID)
		must(t, err)
		if got.Email != "B@Example.com" || *got.EmailCanonical != "b@example.com" || got.Username != nil || got.UsernameCanonical != nil || got.FullName != nil ||
			got.IsVerified || len(got.Metadata) != 0 || !got.IsActive || got.PasswordHash != "hash" || !got.UpdatedAt.After(user.UpdatedAt) {
			t.Errorf("%+v", got)
		}
		must(t, db.CreateUser(ctx, &storage.User{Email: "c@example.com", Username: text("c"), PasswordHash: "!"}))
		for _, taken := range []storage.User{{Email: "C@example.com"}, {Email: "b@example.com", Username: text("C")}} {
			taken.ID = user.ID
			if err := db.UpdateUser(ctx, &taken); !errors.Is(err, storage.ErrConflict) {
				t.Errorf("%+v: %v", taken, err)
			}
		}
	})
}

func TestPeopleAreFoundByWhatStandsInTheirNames(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		var users []*storage.User
		for i, name := range []string{"alice", "bob", "car_ol"} {
			users = append(users, &storage.User{Email: name + "@example.com", Username: &name, FullName: text(fmt.Sprintf("Person No%d 50%%", i)), PasswordHash: "!"})
		}
		must(t, db.CreateUsers(ctx, users))
		find := func(query string) (found []string) {
			rows, err := db.SearchUsers(ctx, query, uuid.Nil, 0)
			must(t, err)
			for _, row := range rows {
				found = append(found, *row.Username)
			}
			slices.Sort(found)
			return found
		}
		for query, want := range map[string][]string{
			"": {"alice", "bob", "car_ol"}, "ALI": {"alice"}, "example": {"alice", "bob", "car_ol"}, "no1": {"bob"}, "r_o": {"car_ol"}, "_": {"car_ol"},
			"0%": {"alice", "bob", "car_ol"}, "%5": nil, `\`: nil, "' OR 1=1 --": nil,
		} {
			if got := find(query); !slices.Equal(got, want) {
				t.Errorf("%q finds %v", query, got)
			}
		}
		named, err := db.UsersNamed(ctx, []uuid.UUID{users[0].ID}, []string{"bob@example.com"}, []string{"car_ol", "alice"})
		if err != nil || len(named) != 3 {
			t.Errorf("%d, %v", len(named), err)
		}
		if none, err := db.UsersNamed(ctx, nil, nil, nil); err != nil || len(none) != 0 {
			t.Errorf("%v, %v", none, err)
		}
		// All or none.
		if err := db.CreateUsers(ctx, []*storage.User{{Email: "new@example.com", PasswordHash: "!"}, {Email: "BOB@example.com", PasswordHash: "!"}}); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("%v", err)
		}
		if found := find("new"); found != nil {
			t.Errorf("half of it is there: %v", found)
		}
		role, err := db.EnsureRole(ctx, "editor", "", false)
		must(t, err)
		must(t, db.GrantRole(ctx, users[1].ID, role.ID))
		names, err := db.RoleNames(ctx, []uuid.UUID{users[0].ID, users[1].ID})
		if err != nil || len(names) != 1 || !slices.Equal(names[users[1].ID], []string{"editor"}) {
			t.Errorf("%v, %v", names, err)
		}
	})
}

func TestSessionsOfAnOrganizationAreListedAndEnded(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx, other := storagetest.Org(t, db, "acme"), storagetest.Org(t, db, "other")
		f, theirs := newFixture(t, db, ctx, "alice"), newFixture(t, db, other, "zoe")
		long := time.Now().Add(-time.Hour)
		list := func(ctx context.Context, user *uuid.UUID, since time.Time) int {
			sessions, users, err := db.ListSessions(ctx, user, since, uuid.Nil, 0)
			must(t, err)
			for i := range sessions {
				if sessions[i].UserID != users[i].ID || users[i].Email == "" {
					t.Errorf("%+v of %+v", sessions[i], users[i])
				}
			}
			return len(sessions)
		}
		nobody := uuid.New()
		if all, hers, none, idle := list(ctx, nil, long), list(ctx, &f.user.ID, long), list(ctx, &nobody, long), list(ctx, nil, time.Now().Add(time.Hour)); all != 1 || hers != 1 || none != 0 || idle != 0 {
			t.Errorf("listed %d, %d, %d, %d", all, hers, none, idle)
		}
		if n, err := db.EndEverySession(ctx, false); err != nil || n != 1 {
			t.Errorf("ended %d, %v", n, err)
		}
		if list(ctx, nil, long) != 0 || list(other, nil, long) != 1 {
			t.Error("others' sessions have ended, or ours have not")
		}
		if _, _, err := db.RefreshToken(ctx, f.refresh); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("what was granted in a session: %v", err)
		}
		if _, _, err := db.RefreshToken(other, theirs.refresh); err != nil {
			t.Errorf("of the others: %v", err)
		}
	})
}

func TestWhereItIsDecidedOfflineAccessEndsWithTheSession(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		f := newFixture(t, db, ctx, "alice")
		g := &storage.Grant{ClientID: "c", UserID: &f.user.ID, SessionID: &f.session.ID, Scope: []string{"offline_access"}, ExpiresAt: now().Add(minute)}
		must(t, db.CreateGrant(ctx, g))
		must(t, db.CreateRefreshToken(ctx, &storage.RefreshToken{Digest: "offline", GrantID: g.ID, ExpiresAt: now().Add(minute)}))
		must(t, db.EndSession(ctx, f.session.ID, true))
		if _, _, err := db.RefreshToken(ctx, "offline"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("%v", err)
		}
	})
}

func TestOfTwoChangesToAnOrganizationNoneIsLostUnseen(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		storagetest.Org(t, db, "acme")
		first, err := db.OrganizationBySlug(t.Context(), "acme")
		must(t, err)
		second := *first
		first.Name, first.Settings = "Acme Inc.", map[string]any{"language": "en"}
		must(t, db.UpdateOrganization(t.Context(), first))
		if err := db.UpdateOrganization(t.Context(), &second); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("%v", err)
		}
		got, err := db.OrganizationBySlug(t.Context(), "acme")
		if err != nil || got.Name != "Acme Inc." || got.Settings["language"] != "en" || !got.UpdatedAt.Equal(first.UpdatedAt) {
			t.Errorf("%+v, %v", got, err)
		}
		must(t, db.UpdateOrganization(t.Context(), first)) // what it returned is as good as read
		gone := storage.Organization{ID: uuid.New(), Name: "x"}
		if err := db.UpdateOrganization(t.Context(), &gone); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("%v", err)
		}
	})
}
