package storage_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// audited appends some events to the audit of the organization.
func audited(t testing.TB, db *storage.DB, ctx context.Context, n int) {
	t.Helper()
	ip := "192.0.2.7"
	events := make([]*storage.AuditEvent, n)
	for i := range events {
		events[i] = &storage.AuditEvent{
			Actor: "user:alice", Action: "user.updated", Target: fmt.Sprintf("target-%d", i), IPAddress: &ip, RequestID: "request",
			Details: map[string]any{"name": map[string]any{"before": "A", "after": "B"}, "n": i},
		}
	}
	must(t, db.AppendAudits(ctx, events))
}

// verified is the report of an organization's chain.
func verified(t testing.TB, db *storage.DB, ctx context.Context, v storage.AuditVerification) *storage.AuditReport {
	t.Helper()
	report, err := db.VerifyAudit(ctx, v)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func orgOf(t testing.TB, ctx context.Context) string {
	t.Helper()
	org, err := tenant.From(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return org.ID.String()
}

// withSQL tests a database on which SQL of ours is run as well.
func withSQL(t *testing.T, test func(t *testing.T, db *storage.DB, raw *sql.DB)) {
	t.Helper()
	storagetest.EachMigratedURL(t, func(t *testing.T, url string) {
		test(t, storagetest.Open(t, url), openRaw(t, url))
	})
}

func execute(t testing.TB, raw *sql.DB, statement string, args ...any) {
	t.Helper()
	result, err := raw.ExecContext(t.Context(), statement, args...)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	if n, err := result.RowsAffected(); err == nil && n == 0 && !strings.HasPrefix(statement, "CREATE") && !strings.HasPrefix(statement, "ALTER") {
		t.Fatalf("%s: changes nothing", statement)
	}
}

func TestAnAuditIsAChainWithoutGaps(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		acme, other := storagetest.Org(t, db, "acme"), storagetest.Org(t, db, "other")
		if report := verified(t, db, acme, storage.AuditVerification{}); report.Found > 0 || report.BeganAt != nil || report.Last.Sequence != 0 {
			t.Errorf("before the first event: %+v", report)
		}
		audited(t, db, acme, 3)
		audited(t, db, other, 1)
		// Many at once, for two organizations, and one that is not committed.
		many := make([]*storage.AuditEvent, 250)
		for i := range many {
			many[i] = &storage.AuditEvent{Actor: "system", Action: "user.created", Target: fmt.Sprint(i)}
		}
		must(t, db.InTx(acme, func(ctx context.Context) error {
			must(t, db.AppendAudits(ctx, many))
			org, err := tenant.From(other)
			must(t, err)
			for range 2 {
				must(t, db.AppendAudit(tenant.With(ctx, org), &storage.AuditEvent{Actor: "system", Action: "elsewhere"}))
			}
			return db.AppendAudit(ctx, &storage.AuditEvent{Actor: "system", Action: "last"})
		}))
		failure := errors.New("no")
		if err := db.InTx(acme, func(ctx context.Context) error {
			must(t, db.AppendAudit(ctx, &storage.AuditEvent{Actor: "system", Action: "undone"}))
			return failure
		}); !errors.Is(err, failure) {
			t.Error(err)
		}
		for ctx, n := range map[context.Context]int64{acme: 254, other: 3} {
			report := verified(t, db, ctx, storage.AuditVerification{})
			if report.Found > 0 || report.Verified != n || report.Last.Sequence != n || report.Unchained != 0 || report.BeganAt == nil {
				t.Errorf("%+v", report)
			}
			events, err := db.ListAudit(ctx, storage.AuditFilter{Limit: 1000, OldestFirst: true})
			must(t, err)
			for i, event := range events {
				if event.Sequence != int64(i+1) || len(event.MAC) != 43 {
					t.Errorf("%d: %+v", i, event)
				}
			}
			if last := events[n-1]; last.MAC != report.Last.MAC {
				t.Errorf("%+v, %+v", last, report.Last)
			}
		}
	})
}

// S-289: whatever is done to the rows by whoever may write to all of the database is noticed.
func TestWhateverIsDoneToAChainIsNoticed(t *testing.T) {
	withSQL(t, func(t *testing.T, db *storage.DB, raw *sql.DB) {
		const last = 6
		foreign := storagetest.Org(t, db, "foreign")
		audited(t, db, foreign, last)
		source := storagetest.Org(t, db, "source")
		audited(t, db, source, last)
		json := func(text string) string {
			if db.Dialect() == "postgres" {
				return "CAST('" + text + "' AS jsonb)"
			}
			return "'" + text + "'"
		}
		at := func(n int, set string) []string {
			return []string{fmt.Sprintf(`UPDATE audit_events SET %s WHERE org_id = $1 AND sequence = %d`, set, n)}
		}
		// What each column is changed to; a column without a line here fails the test.
		columns := map[string][]string{
			"id":     {"id = '6f1b5a54-6a3c-4c2e-9a0e-6f0d9f1f3b11'"},
			"org_id": {"org_id = '" + orgOf(t, foreign) + "'"},
			"actor":  {"actor = 'user:mallory'", "actor = ''", "actor = actor || ' '"}, "action": {"action = 'user.created'"}, "target": {"target = 'target-9'"},
			"ip_address": {"ip_address = NULL", "ip_address = '192.0.2.8'", "ip_address = '::ffff:192.0.2.7'"}, "request_id": {"request_id = 'other'"},
			"details": {
				"details = NULL", "details = " + json(`{}`), "details = " + json(`null`), "details = " + json(`[]`),
				"details = " + json(`{"n": 2, "name": {"after": "C", "before": "A"}}`), "details = " + json(`{"n": 2.0, "name": {"after": "B", "before": "A"}}`),
				"details = " + json(`{"n": "2", "name": {"after": "B", "before": "A"}}`), "details = " + json(`{"n": 2, "name": {"after": "B", "before": "A"}, "x": null}`),
			},
			"created_at": {"created_at = '2020-01-01 00:00:00'", "created_at = '2999-01-01 00:00:00.000001'"},
			"sequence":   {"sequence = 0", "sequence = -1", "sequence = 7", "sequence = 1000000", "sequence = 2"},
			"mac":        {"mac = ''", "mac = 'A'", "mac = (SELECT e.mac FROM audit_events e WHERE e.org_id = audit_events.org_id AND e.sequence = 2)"},
		}
		if db.Dialect() == "sqlite" {
			columns["details"] = append(columns["details"], `details = 'no JSON'`, `details = replace(details, ':', ': ')`,
				`details = '{"n":1,' || substr(details, 2)`, `details = details || ' '`)
		} else {
			columns["ip_address"] = append(columns["ip_address"], "ip_address = '192.0.2.7/24'")
		}
		cases := make(map[string][]string)
		catalog := `SELECT name FROM pragma_table_info('audit_events')`
		if db.Dialect() == "postgres" {
			catalog = `SELECT column_name FROM information_schema.columns WHERE table_name = 'audit_events' AND table_schema = current_schema()`
		}
		for _, column := range texts(t, raw, catalog) {
			if len(columns[column]) == 0 {
				t.Errorf("no change of column %s is tried", column)
			}
			for i, set := range columns[column] {
				cases["an event with "+set] = at(3, set)
				if i == 0 {
					cases["the first with "+set], cases["the last with "+set] = at(1, set), at(last, set)
				}
			}
		}
		const copied = `INSERT INTO audit_events (id, org_id, actor, action, target, ip_address, request_id, details, created_at, sequence, mac)
			SELECT '6f1b5a54-6a3c-4c2e-9a0e-6f0d9f1f3b12', org_id, actor, action, target, ip_address, request_id, details, created_at, %s, %s
			FROM audit_events WHERE org_id = $1 AND sequence = %d`
		shift := `UPDATE audit_events SET sequence = sequence - 1 WHERE org_id = $1 AND sequence > %d`
		for name, statements := range map[string][]string{
			"the first taken away":                         {`DELETE FROM audit_events WHERE org_id = $1 AND sequence = 1`},
			"one taken away":                               {`DELETE FROM audit_events WHERE org_id = $1 AND sequence = 3`},
			"two taken away":                               {`DELETE FROM audit_events WHERE org_id = $1 AND sequence IN (3, 4)`},
			"one taken away, and the others moved up":      {`DELETE FROM audit_events WHERE org_id = $1 AND sequence = 3`, fmt.Sprintf(shift, 3)},
			"the last taken away":                          {`DELETE FROM audit_events WHERE org_id = $1 AND sequence = 6`},
			"all taken away":                               {`DELETE FROM audit_events WHERE org_id = $1`},
			"two in another order":                         {`UPDATE audit_events SET sequence = 7 - sequence WHERE org_id = $1 AND sequence IN (3, 4)`},
			"all in another order":                         {`UPDATE audit_events SET sequence = 7 - sequence WHERE org_id = $1`},
			"one put in under a number that is taken":      {fmt.Sprintf(copied, "4", "mac", 3)},
			"one put in before the first":                  {fmt.Sprintf(copied, "0", "''", 3)},
			"one put in before the first, long ago":        {fmt.Sprintf(strings.Replace(copied, " created_at, %s", " '2020-01-01 00:00:00', %s", 1), "0", "''", 3)},
			"one put in at the end":                        {fmt.Sprintf(copied, "7", "mac", 3)},
			"one put in at the end, and the end moved":     {fmt.Sprintf(copied, "7", "mac", 3), `UPDATE audit_chains SET sequence = 7 WHERE org_id = $1`},
			"one put in far behind the end":                {fmt.Sprintf(copied, "1000", "mac", 6)},
			"the end moved":                                {`UPDATE audit_chains SET sequence = 7 WHERE org_id = $1`},
			"the last taken away, and the end moved":       {`DELETE FROM audit_events WHERE org_id = $1 AND sequence = 6`, `UPDATE audit_chains SET sequence = 5, mac = (SELECT e.mac FROM audit_events e WHERE e.org_id = audit_chains.org_id AND e.sequence = 5) WHERE org_id = $1`},
			"all taken away, and the end moved":            {`DELETE FROM audit_events WHERE org_id = $1`, `UPDATE audit_chains SET sequence = 0, mac = '' WHERE org_id = $1`},
			"the chain's row taken away":                   {`DELETE FROM audit_chains WHERE org_id = $1`},
			"the MAC of the end altered":                   {`UPDATE audit_chains SET mac = 'A' WHERE org_id = $1`},
			"the link of the end altered":                  {`UPDATE audit_chains SET link = 'A' WHERE org_id = $1`},
			"the link of the end replaced by a MAC":        {`UPDATE audit_chains SET link = mac WHERE org_id = $1`},
			"what stood before the chain altered":          {`UPDATE audit_chains SET unchained = 1 WHERE org_id = $1`},
			"what stood before altered, and one put there": {fmt.Sprintf(strings.Replace(copied, " created_at, %s", " '2020-01-01 00:00:00', %s", 1), "0", "''", 3), `UPDATE audit_chains SET unchained = 1 WHERE org_id = $1`},
			"the beginning moved":                          {`UPDATE audit_chains SET created_at = '2999-01-01 00:00:00' WHERE org_id = $1`},
			"the key altered":                              {`UPDATE audit_chains SET sealed_key = (SELECT sealed_key FROM audit_chains WHERE org_id = '` + orgOf(t, foreign) + `') WHERE org_id = $1`},
			"another organization's chain":                 {`UPDATE audit_chains SET (sequence, mac, link, sealed_key, unchained, created_at) = (SELECT sequence, mac, link, sealed_key, unchained, created_at FROM audit_chains WHERE org_id = '` + orgOf(t, foreign) + `') WHERE org_id = $1`},
			"checkpoints put off":                          {`UPDATE audit_chains SET checked_sequence = 1000 WHERE org_id = $1`},
			"a checkpoint put in":                          {`INSERT INTO audit_checkpoints (org_id, sequence, mac, signature, created_at) SELECT org_id, sequence, mac, mac, created_at FROM audit_events WHERE org_id = $1 AND sequence = 3`},
			"whole events of another organization": {`DELETE FROM audit_events WHERE org_id = $1 AND sequence = 3`,
				fmt.Sprintf(strings.NewReplacer("org_id = $1", "org_id = '"+orgOf(t, source)+"'", "12', org_id,", "12', CAST($1 AS "+
					map[string]string{"postgres": "uuid", "sqlite": "TEXT"}[db.Dialect()]+"),").Replace(copied), "3", "mac", 3)},
		} {
			cases[name] = statements
		}
		if len(cases) < 70 {
			t.Errorf("only %d cases", len(cases))
		}
		i := 0
		for name, statements := range cases {
			i++
			ctx := storagetest.Org(t, db, fmt.Sprintf("o%d", i))
			audited(t, db, ctx, last)
			if before := verified(t, db, ctx, storage.AuditVerification{}); before.Found > 0 {
				t.Fatalf("before: %+v", before)
			}
			tx, err := raw.BeginTx(t.Context(), nil)
			must(t, err)
			for _, statement := range statements {
				statement = strings.ReplaceAll(statement, "6f1b5a54", fmt.Sprintf("%08x", i))
				result, err := tx.ExecContext(t.Context(), statement, orgOf(t, ctx))
				if err != nil {
					t.Fatalf("%s: %s: %v", name, statement, err)
				}
				if n, _ := result.RowsAffected(); n == 0 {
					t.Fatalf("%s: changes nothing", name)
				}
			}
			must(t, tx.Commit())
			report, err := db.VerifyAudit(ctx, storage.AuditVerification{})
			if err == nil && report.Found == 0 {
				t.Errorf("%s: not noticed", name)
			}
			if name == "the key altered" || name == "another organization's chain" {
				if err := db.AppendAudit(ctx, &storage.AuditEvent{Actor: "a", Action: "b"}); err == nil {
					t.Errorf("%s: it is appended to with another's key", name)
				}
				continue
			}
			// Nor is it covered up by what is done afterwards. (The MAC in the chain's row is but a copy.)
			if name == "the MAC of the end altered" {
				continue
			}
			audited(t, db, ctx, 2)
			report, err = db.VerifyAudit(ctx, storage.AuditVerification{})
			if err == nil && report.Found == 0 {
				t.Errorf("%s: not noticed any more, when the audit has gone on", name)
			}
		}
		if report := verified(t, db, foreign, storage.AuditVerification{}); report.Found == 0 {
			t.Error("the organization to which events were moved notices nothing")
		}
	})
}

// What is wrong is said as what it is, and once.
func TestAReportSaysWhatIsWrongAndWhere(t *testing.T) {
	withSQL(t, func(t *testing.T, db *storage.DB, raw *sql.DB) {
		for i, c := range []struct {
			statement string
			want      []storage.AuditFault
		}{
			{`UPDATE audit_events SET actor = 'mallory' WHERE org_id = $1 AND sequence = 3`, []storage.AuditFault{{Fault: storage.AuditAltered, Sequence: 3}}},
			{`DELETE FROM audit_events WHERE org_id = $1 AND sequence IN (3, 4)`, []storage.AuditFault{{Fault: storage.AuditMissing, Sequence: 3}}},
			{`DELETE FROM audit_events WHERE org_id = $1 AND sequence > 4`, []storage.AuditFault{{Fault: storage.AuditCut, Sequence: 5}}},
			{
				`INSERT INTO audit_events (id, org_id, actor, action, sequence) VALUES ('6f1b5a54-6a3c-4c2e-9a0e-6f0d9f1f3b12', $1, 'a', 'b', 7)`,
				[]storage.AuditFault{{Fault: storage.AuditBeyond, Sequence: 7}},
			},
			{
				`INSERT INTO audit_events (id, org_id, actor, action, sequence) VALUES ('6f1b5a54-6a3c-4c2e-9a0e-6f0d9f1f3b13', $1, 'a', 'b', 0)`,
				[]storage.AuditFault{{Fault: storage.AuditOutside}},
			},
			{`DELETE FROM audit_chains WHERE org_id = $1`, []storage.AuditFault{{Fault: storage.AuditHead}}},
			{`UPDATE audit_chains SET link = '' WHERE org_id = $1`, []storage.AuditFault{{Fault: storage.AuditHead, Sequence: 6}}},
			{`UPDATE audit_chains SET sealed_key = '' WHERE org_id = $1`, []storage.AuditFault{{Fault: storage.AuditKey}}},
		} {
			ctx := storagetest.Org(t, db, fmt.Sprintf("o%d", i))
			audited(t, db, ctx, 6)
			execute(t, raw, c.statement, orgOf(t, ctx))
			report := verified(t, db, ctx, storage.AuditVerification{})
			for i := range report.Faults {
				if report.Faults[i].Message == "" {
					t.Errorf("%+v says nothing", report.Faults[i])
				}
				report.Faults[i].Message = ""
			}
			if !slices.Equal(report.Faults, c.want) || report.Found != int64(len(c.want)) {
				t.Errorf("%s: %+v", c.statement, report.Faults)
			}
		}
		// However much there is, a report stays short.
		ctx := storagetest.Org(t, db, "acme")
		audited(t, db, ctx, 1)
		must(t, db.AppendAudits(ctx, slices.Repeat([]*storage.AuditEvent{{Actor: "a", Action: "b"}}, 299)))
		execute(t, raw, `UPDATE audit_events SET actor = 'mallory' WHERE org_id = $1`, orgOf(t, ctx))
		if report := verified(t, db, ctx, storage.AuditVerification{}); report.Found != 300 || len(report.Faults) != 100 {
			t.Errorf("%d faults, of which %d are named", report.Found, len(report.Faults))
		}
	})
}

// A chain that is set back to an earlier state of it, row and all, is as it was then. That shows against a checkpoint from later.
func TestAChainThatWasSetBackShowsAgainstACheckpoint(t *testing.T) {
	withSQL(t, func(t *testing.T, db *storage.DB, raw *sql.DB) {
		ctx := storagetest.Org(t, db, "acme")
		other := storagetest.Org(t, db, "other")
		audited(t, db, ctx, 3)
		audited(t, db, other, 1)
		org := orgOf(t, ctx)
		execute(t, raw, `CREATE TABLE kept AS SELECT * FROM audit_chains WHERE org_id = '`+org+`'`)
		audited(t, db, ctx, 2)

		if made, err := db.CheckpointAudits(t.Context(), 6, time.Hour); err != nil || len(made) != 0 {
			t.Errorf("%v, %v", made, err)
		}
		made, err := db.CheckpointAudits(t.Context(), 5, time.Hour)
		if err != nil || len(made) != 1 || made[0].Sequence != 5 || made[0].Slug != "acme" || made[0].OrgID.String() != org {
			t.Fatalf("%+v, %v", made, err)
		}
		if made, err := db.CheckpointAudits(t.Context(), 1, 0); err != nil || len(made) != 1 || made[0].Slug != "other" {
			t.Errorf("%+v, %v", made, err)
		}
		kept, err := storage.ParseAuditCheckpoint(made[0].String())
		must(t, err)
		report := verified(t, db, ctx, storage.AuditVerification{Kept: kept})
		if report.Found > 0 || report.Checkpoints != 2 || report.Last.String() != made[0].String() {
			t.Errorf("%+v", report)
		}
		audited(t, db, ctx, 2)
		if report := verified(t, db, ctx, storage.AuditVerification{Kept: kept, SinceKept: true}); report.Found > 0 || report.Verified != 2 {
			t.Errorf("%+v", report)
		}

		execute(t, raw, `DELETE FROM audit_events WHERE org_id = $1 AND sequence > 3`, org)
		execute(t, raw, `DELETE FROM audit_chains WHERE org_id = $1`, org)
		execute(t, raw, `INSERT INTO audit_chains SELECT * FROM kept`)
		contradicts := func(when string, v storage.AuditVerification) {
			t.Helper()
			if report := verified(t, db, ctx, v); report.Found == 0 || report.Faults[0].Fault != storage.AuditContradict {
				t.Errorf("%s: %+v", when, report)
			}
		}
		contradicts("the checkpoint in the database", storage.AuditVerification{})
		execute(t, raw, `DELETE FROM audit_checkpoints WHERE org_id = $1`, org)
		if report := verified(t, db, ctx, storage.AuditVerification{}); report.Found > 0 {
			t.Errorf("the chain is not what it was: %+v", report)
		}
		contradicts("the checkpoint that was kept", storage.AuditVerification{Kept: kept})
		contradicts("what comes after it", storage.AuditVerification{Kept: kept, SinceKept: true})
		audited(t, db, ctx, 4)
		contradicts("the checkpoint that was kept, and another event of its number", storage.AuditVerification{Kept: kept})
		contradicts("another organization's", storage.AuditVerification{Kept: &storage.AuditCheckpoint{Sequence: 1, MAC: kept.MAC}})
		if report := verified(t, db, storagetest.Org(t, db, "empty"), storage.AuditVerification{Kept: kept}); report.Found == 0 {
			t.Error("an organization without a chain has it in its chain")
		}
	})
	for _, text := range []string{"", "5", "5:", ":x", "0:" + strings.Repeat("A", 43), "-1:" + strings.Repeat("A", 43), "5:" + strings.Repeat("A", 42), "x:" + strings.Repeat("A", 43)} {
		if _, err := storage.ParseAuditCheckpoint(text); err == nil {
			t.Errorf("%q is a checkpoint", text)
		}
	}
}

// A chain whose row was altered is signed by no checkpoint, and keeps no other from having one.
func TestNoCheckpointIsMadeOfAChainThatWasTamperedWith(t *testing.T) {
	withSQL(t, func(t *testing.T, db *storage.DB, raw *sql.DB) {
		acme, other := storagetest.Org(t, db, "acme"), storagetest.Org(t, db, "other")
		audited(t, db, acme, 2)
		audited(t, db, other, 2)
		execute(t, raw, `UPDATE audit_chains SET sequence = 1 WHERE org_id = $1`, orgOf(t, acme))
		made, err := db.CheckpointAudits(t.Context(), 1, 0)
		if err == nil || !strings.Contains(err.Error(), "acme") || len(made) != 1 || made[0].Slug != "other" {
			t.Errorf("%+v, %v", made, err)
		}
	})
}

func TestReplicasThatMakeCheckpointsAtOnceMakeOne(t *testing.T) {
	storagetest.EachMigratedURL(t, func(t *testing.T, url string) {
		first := storagetest.Open(t, url)
		audited(t, first, storagetest.Org(t, first, "acme"), 3)
		replicas := []*storage.DB{first, storagetest.Open(t, url)}
		var made atomic.Int64
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				checkpoints, err := replicas[i%2].CheckpointAudits(t.Context(), 1, time.Hour)
				if err != nil {
					t.Error(err)
				}
				made.Add(int64(len(checkpoints)))
			})
		}
		wg.Wait()
		if made.Load() != 1 {
			t.Errorf("%d checkpoints", made.Load())
		}
	})
}

// What stood there before there were chains is counted, and told apart.
func TestEventsFromBeforeTheChainAreSaidToBeOutsideOfIt(t *testing.T) {
	withSQL(t, func(t *testing.T, db *storage.DB, raw *sql.DB) {
		ctx := storagetest.Org(t, db, "acme")
		org := orgOf(t, ctx)
		for i := range 3 {
			execute(t, raw, `INSERT INTO audit_events (org_id, actor, action, target, created_at) VALUES ($1, 'system', 'old', $2, $3)`,
				org, fmt.Sprint(i), fmt.Sprintf("2020-01-0%d 00:00:00", i+1))
		}
		if report := verified(t, db, ctx, storage.AuditVerification{}); report.Found > 0 || report.Unchained != 3 || report.BeganAt != nil {
			t.Errorf("%+v", report)
		}
		audited(t, db, ctx, 2)
		if report := verified(t, db, ctx, storage.AuditVerification{}); report.Found > 0 || report.Unchained != 3 || report.Verified != 2 {
			t.Errorf("%+v", report)
		}
		// They are older than what is in the chain, and in the order of their time.
		var found []string
		for _, oldest := range []bool{false, true} {
			var after *storage.AuditEvent
			for {
				events, err := db.ListAudit(ctx, storage.AuditFilter{Limit: 2, OldestFirst: oldest, After: after})
				must(t, err)
				if len(events) == 0 {
					break
				}
				for _, event := range events {
					found = append(found, event.Target)
				}
				after = &events[len(events)-1]
			}
		}
		if want := []string{"target-1", "target-0", "2", "1", "0", "0", "1", "2", "target-0", "target-1"}; !slices.Equal(found, want) {
			t.Errorf("%v", found)
		}
		execute(t, raw, `DELETE FROM audit_events WHERE org_id = $1 AND target = '1'`, org)
		if report := verified(t, db, ctx, storage.AuditVerification{}); report.Found != 1 || report.Faults[0].Fault != storage.AuditOutside {
			t.Errorf("%+v", report)
		}
	})
}

func TestAnAuditIsReadByWhoWhatWhomAndWhen(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		at := time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC)
		for i := range 12 {
			must(t, db.AppendAudit(ctx, &storage.AuditEvent{
				Actor: fmt.Sprintf("user:%d", i%2), Action: fmt.Sprintf("action-%d", i%3), Target: fmt.Sprintf("t%d", i%4), CreatedAt: at.Add(time.Duration(i) * time.Minute),
			}))
		}
		for name, c := range map[string]struct {
			filter storage.AuditFilter
			want   []int64
		}{
			"all, a page":           {storage.AuditFilter{Limit: 3}, []int64{12, 11, 10}},
			"the next page":         {storage.AuditFilter{Limit: 3, After: &storage.AuditEvent{Sequence: 10}}, []int64{9, 8, 7}},
			"the last page":         {storage.AuditFilter{After: &storage.AuditEvent{Sequence: 2}}, []int64{1}},
			"nothing more":          {storage.AuditFilter{After: &storage.AuditEvent{Sequence: 1}}, nil},
			"by actor":              {storage.AuditFilter{Actor: "user:1"}, []int64{12, 10, 8, 6, 4, 2}},
			"by action":             {storage.AuditFilter{Action: "action-2"}, []int64{12, 9, 6, 3}},
			"by target":             {storage.AuditFilter{Target: "t3"}, []int64{12, 8, 4}},
			"by all of it":          {storage.AuditFilter{Actor: "user:1", Action: "action-0", Target: "t3"}, []int64{4}},
			"since":                 {storage.AuditFilter{Since: at.Add(10 * time.Minute)}, []int64{12, 11}},
			"until":                 {storage.AuditFilter{Until: at.Add(2 * time.Minute)}, []int64{2, 1}},
			"between, oldest first": {storage.AuditFilter{Since: at.Add(3 * time.Minute), Until: at.Add(6 * time.Minute), OldestFirst: true}, []int64{4, 5, 6}},
			"since, elsewhere":      {storage.AuditFilter{Since: at.Add(10 * time.Minute).In(time.FixedZone("east", 7200))}, []int64{12, 11}},
			"oldest first, a page":  {storage.AuditFilter{Limit: 2, OldestFirst: true, After: &storage.AuditEvent{Sequence: 4}}, []int64{5, 6}},
			"nobody's":              {storage.AuditFilter{Actor: "user:%"}, nil},
		} {
			events, err := db.ListAudit(ctx, c.filter)
			must(t, err)
			var got []int64
			for _, event := range events {
				got = append(got, event.Sequence)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: %v", name, got)
			}
		}
	})
}

// Whatever somebody puts into an event, it is written, passes, and reads the same on both databases.
func TestEventsPassWhateverIsInThem(t *testing.T) {
	var told []string
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		odd, none := "2001:DB8::1%eth0", "no address"
		for _, event := range []storage.AuditEvent{
			{Actor: "nul \x00 and \xff", Action: "line\nbreak", Target: "\u202eright to left", RequestID: "\x00"},
			{Actor: "a", Action: "b", IPAddress: &odd, Details: map[string]any{}},
			{Actor: "a", Action: "b", IPAddress: &none, Details: map[string]any{"nul \x00": "nul \x00", "bad \xff": []any{"\xff", nil, true}, "<&>": "<script>\u2028"}},
			{Actor: "a", Action: "b", Details: map[string]any{
				"exponents": []any{1e21, 1e-7, 1.5e300, -2e-300, math.MaxFloat64, math.SmallestNonzeroFloat64}, "zero": math.Copysign(0, -1), "int": int64(math.MaxInt64),
				"uint": uint64(math.MaxUint64), "float": 0.1, "whole": 3.0, "nested": map[string]any{"b": map[string]any{"z": 1, "a": 2}, "a": 1},
			}},
			{Actor: "a", Action: "b", Details: map[string]any{"list": []string{"x", "y"}, "map": map[string]string{"k": "v"}, "empty": "", "nothing": nil}},
			{Actor: "", Action: "", CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 999_999_999, time.FixedZone("west", -3600))},
		} {
			must(t, db.AppendAudit(ctx, &event))
		}
		if report := verified(t, db, ctx, storage.AuditVerification{}); report.Found > 0 {
			t.Errorf("%+v", report)
		}
		events, err := db.ListAudit(ctx, storage.AuditFilter{OldestFirst: true})
		must(t, err)
		text := ""
		for _, event := range events {
			raw, at := "none", ""
			if event.RawDetails != nil {
				raw = *event.RawDetails
			}
			if event.Sequence == 6 {
				at = event.CreatedAt.UTC().Format(time.RFC3339Nano)
			}
			ip := ""
			if event.IPAddress != nil {
				ip = *event.IPAddress
			}
			text += fmt.Sprintf("%q %q %q %q %q %s %s\n", event.Actor, event.Action, event.Target, event.RequestID, ip, raw, at)
		}
		told = append(told, text)
		if err := db.AppendAudit(ctx, &storage.AuditEvent{Details: map[string]any{"f": func() {}}}); err == nil {
			t.Error("what cannot be written down is")
		}
	})
	if len(told) == 2 && told[0] != told[1] {
		t.Errorf("on SQLite\n%s\non PostgreSQL\n%s", told[0], told[1])
	}
}

// Two replicas and sixteen at once, some of whom give up: no number is given twice, none is left out, and nobody waits for ever.
func TestReplicasThatAppendAtOnceMakeOneChainWithoutGaps(t *testing.T) {
	test := func(t *testing.T, url string) {
		first := storagetest.Open(t, url)
		replicas := []*storage.DB{first, storagetest.Open(t, url)}
		orgs := []context.Context{storagetest.Org(t, first, "acme"), storagetest.Org(t, first, "other")}
		tenants := make([]*tenant.Org, len(orgs))
		for i, ctx := range orgs {
			tenants[i], _ = tenant.From(ctx)
		}
		undone := errors.New("changed my mind")
		var done [2]atomic.Int64
		var wg sync.WaitGroup
		for w := range 16 {
			wg.Go(func() {
				for i := range 12 {
					db, mine := replicas[w%2], i%3%2
					err := db.InTx(orgs[mine], func(ctx context.Context) error {
						// The organizations in one order or the other: a deed may be written down in both.
						for _, o := range []int{mine, 1 - mine} {
							if o != mine && i%4 > 0 {
								continue
							}
							if err := db.AppendAudit(tenant.With(ctx, tenants[o]), &storage.AuditEvent{Actor: fmt.Sprint(w), Action: fmt.Sprint(i)}); err != nil {
								return err
							}
						}
						if i%5 == 4 {
							return undone
						}
						return nil
					})
					switch {
					case i%5 == 4 && errors.Is(err, undone):
					case err != nil:
						t.Error(err)
					default:
						done[mine].Add(1)
						if i%4 == 0 {
							done[1-mine].Add(1)
						}
					}
				}
			})
		}
		wg.Wait()
		for i, ctx := range orgs {
			report := verified(t, first, ctx, storage.AuditVerification{})
			if report.Found > 0 || report.Verified != done[i].Load() || report.Last.Sequence != done[i].Load() || done[i].Load() == 0 {
				t.Errorf("%+v after %d deeds", report, done[i].Load())
			}
		}
	}
	storagetest.EachMigratedURL(t, test)
	t.Run("serializable", func(t *testing.T) {
		url := storagetest.PostgresURL(t) + "&default_transaction_isolation=serializable"
		if _, err := storagetest.Open(t, url).Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		test(t, url)
	})
}

// S-290: a deed whose event cannot be written does not happen, whether it is the event or the chain that cannot.
func TestADeedThatCannotBeWrittenDownDoesNotHappen(t *testing.T) {
	withSQL(t, func(t *testing.T, db *storage.DB, raw *sql.DB) {
		ctx := storagetest.Org(t, db, "acme")
		audited(t, db, ctx, 1)
		for name, c := range map[string]struct{ refuse, allow string }{
			"the event": {
				map[string]string{
					"sqlite":   `CREATE TRIGGER refuse BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'no'); END`,
					"postgres": `ALTER TABLE audit_events ADD CONSTRAINT refuse CHECK (FALSE) NOT VALID`,
				}[db.Dialect()],
				map[string]string{"sqlite": `DROP TRIGGER refuse`, "postgres": `ALTER TABLE audit_events DROP CONSTRAINT refuse`}[db.Dialect()],
			},
			"the chain": {
				map[string]string{
					"sqlite":   `CREATE TRIGGER refuse BEFORE UPDATE ON audit_chains BEGIN SELECT RAISE(ABORT, 'no'); END`,
					"postgres": `ALTER TABLE audit_chains ADD CONSTRAINT refuse CHECK (FALSE) NOT VALID`,
				}[db.Dialect()],
				map[string]string{"sqlite": `DROP TRIGGER refuse`, "postgres": `ALTER TABLE audit_chains DROP CONSTRAINT refuse`}[db.Dialect()],
			},
			"the table": {`ALTER TABLE audit_chains RENAME TO gone`, `ALTER TABLE gone RENAME TO audit_chains`},
		} {
			if _, err := raw.Exec(c.refuse); err != nil {
				t.Fatal(err)
			}
			err := db.InTx(ctx, func(ctx context.Context) error {
				must(t, addUser(db, ctx, "alice"))
				return db.AppendAudit(ctx, &storage.AuditEvent{Actor: "a", Action: "b"})
			})
			if err == nil || userExists(t, db, ctx, "alice") {
				t.Errorf("%s: %v, and the user is there: %v", name, err, userExists(t, db, ctx, "alice"))
			}
			if _, err := raw.Exec(c.allow); err != nil {
				t.Fatal(err)
			}
		}
		if report := verified(t, db, ctx, storage.AuditVerification{}); report.Found > 0 || report.Verified != 1 {
			t.Errorf("%+v", report)
		}
	})
}

// The key of a chain is sealed: it stands in no row and opens under no other master key, and a new master key opens it as long as the
// old one is known.
func TestAChainPassesUnderItsOwnMasterKeyOnly(t *testing.T) {
	storagetest.EachMigratedURL(t, func(t *testing.T, url string) {
		before, after := seal.NewKey(), seal.NewKey()
		open := func(keys ...string) *storage.DB {
			ring, err := seal.Parse(keys[0], keys[1:]...)
			must(t, err)
			db, err := storage.Open(t.Context(), storage.Options{URL: url, Keyring: ring})
			must(t, err)
			t.Cleanup(func() { db.Close() })
			return db
		}
		db := open(before)
		ctx := storagetest.Org(t, db, "acme")
		audited(t, db, ctx, 2)
		rotated := open(after, before)
		audited(t, rotated, ctx, 2)
		if report := verified(t, rotated, ctx, storage.AuditVerification{}); report.Found > 0 || report.Verified != 4 {
			t.Errorf("%+v", report)
		}
		stranger := open(after)
		if report := verified(t, stranger, ctx, storage.AuditVerification{}); report.Found != 1 || report.Faults[0].Fault != storage.AuditKey {
			t.Errorf("%+v", report)
		}
		if err := stranger.AppendAudit(ctx, &storage.AuditEvent{Actor: "a", Action: "b"}); err == nil {
			t.Error("whoever has another key appends")
		}
	})
}

// S-289: the role of the manual can do all that Keizer does, and nothing to what was written down.
func TestTheRoleOfTheManualAppendsAndChangesNothing(t *testing.T) {
	server := storagetest.NewServer(t)
	db := server.Fresh(t)
	ctx := storagetest.Org(t, db, "acme")
	f := newFixture(t, db, ctx, "alice")
	owner := openRaw(t, server.URL("postgres"))
	name := texts(t, owner, `SELECT datname FROM pg_database WHERE datname LIKE 'keizer%'`)[0]
	owner = openRaw(t, server.URL(name))

	manual, err := os.ReadFile("../docs/operations.md")
	must(t, err)
	statements := regexp.MustCompile(`(?m)^    ((?:CREATE ROLE|GRANT|REVOKE|ALTER DEFAULT) [^;]*;)`).FindAllStringSubmatch(string(manual), -1)
	if len(statements) < 5 {
		t.Fatalf("%d statements in the manual", len(statements))
	}
	for _, statement := range statements {
		text := strings.NewReplacer(" DATABASE keizer ", " DATABASE "+name+" ", "\n    ", "\n").Replace(statement[1])
		if _, err := owner.ExecContext(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	app := storagetest.Open(t, strings.Replace(server.URL(name), "postgres@", "keizer_app@", 1))
	must(t, app.RecordLogin(ctx, f.user.ID, now()))
	audited(t, app, ctx, 2)
	audited(t, app, storagetest.Org(t, app, "other"), 1)
	if made, err := app.CheckpointAudits(t.Context(), 1, 0); err != nil || len(made) != 2 {
		t.Errorf("%+v, %v", made, err)
	}
	if _, err := app.Purge(t.Context(), now().Add(1000*time.Hour), 10); err != nil {
		t.Error(err)
	}
	must(t, app.DeleteUser(ctx, f.user.ID))
	if report := verified(t, app, ctx, storage.AuditVerification{}); report.Found > 0 {
		t.Errorf("%+v", report)
	}
	raw := openRaw(t, strings.Replace(server.URL(name), "postgres@", "keizer_app@", 1))
	for _, statement := range []string{
		`UPDATE audit_events SET actor = 'mallory'`, `DELETE FROM audit_events`, `TRUNCATE audit_events`, `DELETE FROM audit_chains`,
		`UPDATE audit_checkpoints SET mac = ''`, `DELETE FROM audit_checkpoints`, `DROP TABLE audit_events`, `ALTER TABLE audit_events DISABLE TRIGGER ALL`,
		`CREATE TABLE mine (x integer)`,
	} {
		if _, err := raw.ExecContext(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "42501") {
			t.Errorf("%s: %v", statement, err)
		}
	}
}
