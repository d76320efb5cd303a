package storage_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// BenchmarkAuditedDeed measures what it costs to write down what is done: a small deed with its event, by one and by many at once, in
// one organization and in as many as there are workers.
func BenchmarkAuditedDeed(b *testing.B) {
	for name, open := range map[string]func(testing.TB) *storage.DB{"sqlite": storagetest.DB, "postgres": storagetest.Postgres} {
		db := open(b)
		const most = 16
		var people [most]*fixture
		for i := range people {
			people[i] = newFixture(b, db, storagetest.Org(b, db, fmt.Sprintf("%s-%d", name, i)), fmt.Sprintf("p%d", i))
		}
		for _, c := range []struct{ workers, orgs int }{{1, 1}, {most, 1}, {most, most}} {
			b.Run(fmt.Sprintf("%s/%d at once, %d organizations", name, c.workers, c.orgs), func(b *testing.B) {
				b.ReportAllocs()
				var left atomic.Int64
				left.Store(int64(b.N))
				var wg sync.WaitGroup
				b.ResetTimer()
				for w := range c.workers {
					f := people[w%c.orgs]
					wg.Go(func() {
						for left.Add(-1) >= 0 {
							err := db.InTx(f.ctx, func(ctx context.Context) error {
								err := db.CreateAccessToken(ctx, &storage.AccessToken{
									Digest: secret.Digest(uuid.NewString()), ClientID: "client", Subject: "client", Format: "opaque", ExpiresAt: now().Add(minute),
								})
								if err != nil {
									return err
								}
								return db.AppendAudit(ctx, &storage.AuditEvent{
									Actor: "user:" + f.user.ID.String(), Action: "user.signed_in", Target: f.user.ID.String(), IPAddress: f.session.IPAddress,
									RequestID: "01JD0000000000000000000000", Details: map[string]any{"amr": []string{"pwd", "otp"}, "client_id": "app"},
								})
							})
							if err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
			})
		}
	}
}

// BenchmarkVerifyAudit measures what it takes to go through a chain, for each event.
func BenchmarkVerifyAudit(b *testing.B) {
	for name, open := range map[string]func(testing.TB) *storage.DB{"sqlite": storagetest.DB, "postgres": storagetest.Postgres} {
		b.Run(name, func(b *testing.B) {
			db := open(b)
			ctx := storagetest.Org(b, db, "acme")
			const events = 5000
			event := &storage.AuditEvent{
				Actor: "user:11111111-2222-4333-8444-555555555555", Action: "user.signed_in", Target: "11111111-2222-4333-8444-555555555555",
				RequestID: "01JD0000000000000000000000", Details: map[string]any{"amr": []string{"pwd", "otp"}, "client_id": "app"},
			}
			must(b, db.AppendAudits(ctx, slices.Repeat([]*storage.AuditEvent{event}, events)))
			for b.Loop() {
				if report := verified(b, db, ctx, storage.AuditVerification{}); report.Found > 0 || report.Verified != events {
					b.Fatalf("%+v", report)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*events), "µs/event")
		})
	}
}
