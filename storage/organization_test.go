package storage_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/migrations"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

func TestTheIssuerChangesAtTheMomentThatWasPlannedAndNotBefore(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	o := &storage.Organization{}
	at := func(d time.Duration) string { return o.IssuerHostAt(now.Add(d)) }

	o.PlanIssuerHost(now, "a.example", now.Add(time.Hour))
	if at(0) != "" || at(time.Hour-1) != "" || at(time.Hour) != "a.example" || at(2*time.Hour) != "a.example" {
		t.Errorf("from no host to a: %+v", o)
	}
	if host, from, ok := o.PlannedIssuerHost(now); !ok || host != "a.example" || !from.Equal(now.Add(time.Hour)) {
		t.Errorf("planned: %q, %v, %v", host, from, ok)
	}
	if _, _, ok := o.PlannedIssuerHost(now.Add(time.Hour)); ok {
		t.Error("what has come to pass is still planned")
	}

	// The next plan, after the first has come to pass; and what was the issuer before is remembered.
	now = now.Add(2 * time.Hour)
	o.PlanIssuerHost(now, "b.example", now.Add(time.Hour))
	if at(0) != "a.example" || at(time.Hour) != "b.example" {
		t.Errorf("from a to b: %+v", o)
	}
	if before, after := o.FormerHostsAt(now), o.FormerHostsAt(now.Add(time.Hour)); len(before) != 0 || !slices.Equal(after, []string{"a.example"}) {
		t.Errorf("former hosts: %v, then %v", before, after)
	}
	// Another plan instead of it, and none.
	o.PlanIssuerHost(now, "", now.Add(time.Hour))
	if at(0) != "a.example" || at(time.Hour) != "" {
		t.Errorf("from a to no host: %+v", o)
	}
	o.PlanIssuerHost(now, "a.example", now)
	if _, _, ok := o.PlannedIssuerHost(now); ok || at(time.Hour) != "a.example" {
		t.Errorf("a plan that was taken back: %+v", o)
	}
	// There and back again.
	o.PlanIssuerHost(now, "b.example", now.Add(time.Hour))
	now = now.Add(time.Hour)
	o.PlanIssuerHost(now, "a.example", now.Add(time.Hour))
	now = now.Add(time.Hour)
	if former := o.FormerHostsAt(now); at(0) != "a.example" || !slices.Equal(former, []string{"b.example"}) {
		t.Errorf("back at a: %+v, former %v", o, former)
	}
}

// F-14: of several organizations that prove a host at the same time one has it.
func TestAHostIsOneOrganizationsAtTheMost(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		var claimants []context.Context
		for i := range 8 {
			claimants = append(claimants, storagetest.Org(t, db, fmt.Sprintf("org-%d", i)))
		}
		for round := range 10 {
			name := fmt.Sprintf("host-%d.example", round)
			var racing sync.WaitGroup
			results := make([]error, len(claimants))
			for i, ctx := range claimants {
				claim := &storage.Host{Host: name, Token: "t"}
				must(t, db.CreateHost(ctx, claim))
				racing.Go(func() { results[i] = db.VerifyHost(ctx, claim, "dns") })
			}
			racing.Wait()
			winner := -1
			for i, err := range results {
				switch {
				case err == nil && winner < 0:
					winner = i
				case !errors.Is(err, storage.ErrConflict):
					t.Errorf("%s: organization %d: %v, and %d has it", name, i, err, winner)
				}
			}
			if winner < 0 {
				t.Fatalf("%s: nobody has it", name)
			}
			org, err := db.OrganizationByHost(t.Context(), name)
			if err != nil || org.Slug != fmt.Sprintf("org-%d", winner) {
				t.Errorf("%s is that of %+v, %v", name, org, err)
			}
		}
		// Another token is another claim.
		must(t, db.DeleteHost(claimants[0], "host-0.example"))
		if err := db.VerifyHost(claimants[0], &storage.Host{Host: "host-0.example", Token: "t"}, "dns"); !isNotFound(err) {
			t.Errorf("a claim that was withdrawn: %v", err)
		}
	})
}

// S-270: whatever an organization had is gone, table by table, and nobody else's with it.
func TestNothingIsLeftOfADeletedOrganizationButItsAudit(t *testing.T) {
	storagetest.EachURL(t, func(t *testing.T, address string) {
		db := storagetest.Open(t, address)
		if _, err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		must(t, db.CheckMasterKey(t.Context()))
		raw := openRaw(t, address)
		kept := storagetest.Org(t, db, "kept")
		other := newFixture(t, db, kept, "bob")
		before, everythingElse := counts(t, db, raw), everything(t, db, kept, other)

		columns := `SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1`
		if db.Dialect() == migrations.SQLite {
			columns = `SELECT name FROM pragma_table_info($1)`
		}
		gone := storagetest.Org(t, db, "gone")
		f := newFixture(t, db, gone, "alice")
		org, err := tenant.From(gone)
		must(t, err)
		for table, n := range counts(t, db, raw) {
			if of := texts(t, raw, columns, table); n == before[table] && slices.Contains(of, "org_id") && !strings.HasPrefix(table, "audit_") {
				t.Errorf("the fixture has nothing in %s", table)
			}
		}
		must(t, db.DeleteOrganization(gone, org.ID))
		if err := db.DeleteOrganization(gone, org.ID); !isNotFound(err) {
			t.Errorf("deleted twice: %v", err)
		}
		for name, look := range map[string]func() error{
			"by slug": func() error { _, err := db.OrganizationBySlug(gone, "gone"); return err },
			"by id":   func() error { _, err := db.OrganizationByID(gone, org.ID); return err },
			"by host": func() error { _, err := db.OrganizationByHost(gone, f.host.Host); return err },
			"update":  func() error { return db.UpdateOrganization(gone, &storage.Organization{ID: org.ID, Name: "x"}) },
			"suspend": func() error { return db.SuspendOrganization(gone, &storage.Organization{ID: org.ID}, true) },
		} {
			if err := look(); !isNotFound(err) && !errors.Is(err, storage.ErrSpent) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if all, err := db.ListOrganizations(gone, "", 0); err != nil || len(all) != 1 {
			t.Errorf("listed: %+v, %v", all, err)
		}
		if mail, err := db.ClaimMail(gone, time.Now().Add(minute), 10); err != nil || len(mail) > 0 {
			t.Errorf("mail that is due: %+v, %v", mail, err)
		}

		// The slug is free, and whoever has it is another; as is the host.
		again := storagetest.Org(t, db, "gone")
		anew, err := tenant.From(again)
		must(t, err)
		if users, err := db.ListUsers(again, uuid.Nil, 0); err != nil || len(users) > 0 || anew.ID == org.ID {
			t.Errorf("the new organization has %+v, %v", users, err)
		}
		must(t, db.CreateHost(again, &storage.Host{Host: f.host.Host, Token: "t"}))
		must(t, db.DeleteHost(again, f.host.Host))
		deleted, err := db.ListDeletedOrganizations(again, "gone", uuid.Nil, 0)
		if err != nil || len(deleted) != 1 || deleted[0].ID != org.ID || deleted[0].FormerSlug() != "gone" {
			t.Errorf("deleted are %+v, %v", deleted, err)
		}

		// In batches smaller than what there is, and once more: there is nothing left to do.
		erased, err := db.EraseOrganizations(gone, []uuid.UUID{org.ID}, 1)
		if err != nil || erased == 0 {
			t.Fatalf("erased %d, %v", erased, err)
		}
		if erased, err := db.EraseOrganizations(gone, []uuid.UUID{org.ID}, 0); err != nil || erased != 0 {
			t.Errorf("erased %d more, %v", erased, err)
		}
		for table, n := range counts(t, db, raw) {
			if n != before[table] && table != "organizations" && !strings.HasPrefix(table, "audit_") {
				t.Errorf("%s had %d rows, and has %d", table, before[table], n)
			}
		}
		if !reflect.DeepEqual(everything(t, db, kept, other), everythingElse) {
			t.Error("what the others have was changed")
		}
		if events := texts(t, raw, `SELECT action FROM audit_events WHERE org_id = $1`, org.ID.String()); len(events) == 0 {
			t.Error("its audit is gone")
		}
		must(t, db.OrganizationErased(gone, org.ID))
		if left, err := db.UnerasedOrganizations(gone, 0); err != nil || len(left) > 0 {
			t.Errorf("left are %+v, %v", left, err)
		}
	})
}

// counts is how many rows each table has.
func counts(t *testing.T, db *storage.DB, raw *sql.DB) map[string]int {
	t.Helper()
	tables := `SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()`
	if db.Dialect() == migrations.SQLite {
		tables = `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'`
	}
	found := make(map[string]int)
	for _, table := range texts(t, raw, tables) {
		var n int
		if err := raw.QueryRowContext(t.Context(), `SELECT count(*) FROM `+table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		found[table] = n
	}
	return found
}

// Of two who delete the last two organizations at once one finds that it would be the last.
func TestTheLastOrganizationStays(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		must(t, db.CheckMasterKey(t.Context()))
		for round := range 5 {
			var ids []uuid.UUID
			for _, name := range []string{"a", "b"} {
				slug := fmt.Sprintf("%s%d", name, round)
				org, err := tenant.From(storagetest.Org(t, db, slug))
				must(t, err)
				ids = append(ids, org.ID)
			}
			all, err := db.ListOrganizations(t.Context(), "", 0)
			must(t, err)
			for _, org := range all { // those of the round before
				if !slices.Contains(ids, org.ID) {
					must(t, db.DeleteOrganization(t.Context(), org.ID))
				}
			}
			var racing sync.WaitGroup
			results := make([]error, len(ids))
			for i, id := range ids {
				racing.Go(func() { results[i] = db.DeleteOrganization(t.Context(), id) })
			}
			racing.Wait()
			if (results[0] == nil) == (results[1] == nil) || !errors.Is(errors.Join(results...), storage.ErrConflict) {
				t.Errorf("%v", results)
			}
		}
	})
}
