//go:build unix

package storage_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// BenchmarkHotCalls measures the calls that token traffic is made of. cpu-µs/op is the processor time of this process, which
// is what is compared; the time of a PostgreSQL server is not in it.
func BenchmarkHotCalls(b *testing.B) {
	for name, open := range map[string]func(testing.TB) *storage.DB{"sqlite": storagetest.DB, "postgres": storagetest.Postgres} {
		b.Run(name, func(b *testing.B) {
			db := open(b)
			org := storagetest.Org(b, db, "acme")
			// As a request's context is: it can be cancelled.
			ctx, cancel := context.WithCancel(org)
			defer cancel()
			f := newFixture(b, db, ctx, "alice")
			facts := []byte(`{"auth_time":1764000000,"nonce":"n-0S6_WzA2Mj","amr":["pwd"],"acr":"1","sid":"5f8d8f3c"}`)

			measure(b, "CreateAccessToken", func() error {
				return db.CreateAccessToken(ctx, &storage.AccessToken{
					Digest: secret.Digest(uuid.NewString()), ClientID: "client", Subject: "client", Scope: []string{"read", "write"},
					Format: "opaque", ExpiresAt: time.Now().Add(time.Hour),
				})
			})
			measure(b, "AccessToken", func() error { _, _, err := db.AccessToken(ctx, f.access); return err })
			measure(b, "AccessTokenWithUser", func() error { _, _, _, err := db.AccessTokenWithUser(ctx, f.access); return err })
			measure(b, "RefreshToken", func() error { _, _, err := db.RefreshToken(ctx, f.refresh); return err })
			measure(b, "Code", func() error { _, err := db.Code(ctx, f.code); return err })
			measure(b, "SessionByToken", func() error { _, _, err := db.SessionByToken(ctx, f.session.Token); return err })
			measure(b, "Consent", func() error { _, err := db.Consent(ctx, f.user.ID, f.client.ClientID); return err })
			measure(b, "Client", func() error { _, err := db.Client(ctx, f.client.ClientID); return err })
			measure(b, "User", func() error { _, err := db.User(ctx, f.user.ID); return err })
			measure(b, "UseJTI", func() error { return db.UseJTI(ctx, "client", uuid.NewString(), time.Now().Add(time.Minute)) })
			measure(b, "CreateCode", func() error {
				return db.CreateCode(ctx, &storage.Code{
					Digest: secret.Digest(uuid.NewString()), GrantID: uuid.New(), ClientID: "client", UserID: f.user.ID,
					SessionID: &f.session.ID, RedirectURI: "https://rp.example/cb", CodeChallenge: secret.Digest("v"),
					CodeChallengeMethod: "S256", RequestedScope: []string{"openid", "profile"}, Scope: []string{"openid", "profile"},
					Facts: facts, ExpiresAt: time.Now().Add(time.Minute),
				})
			})
			measure(b, "exchange (spend code, grant, access token, refresh token)", func() error {
				code := secret.Digest(uuid.NewString())
				err := db.CreateCode(ctx, &storage.Code{Digest: code, GrantID: uuid.New(), ClientID: "c", UserID: f.user.ID,
					ExpiresAt: time.Now().Add(time.Minute)})
				if err != nil {
					return err
				}
				return db.InTx(ctx, func(ctx context.Context) error {
					if err := db.SpendCode(ctx, code); err != nil {
						return err
					}
					g := &storage.Grant{ClientID: "c", UserID: &f.user.ID, Facts: facts, ExpiresAt: time.Now().Add(time.Hour)}
					if err := db.CreateGrant(ctx, g); err != nil {
						return err
					}
					if err := db.CreateAccessToken(ctx, &storage.AccessToken{Digest: secret.Digest(uuid.NewString()), GrantID: &g.ID,
						ClientID: "c", Subject: "s", Format: "opaque", ExpiresAt: time.Now().Add(time.Hour)}); err != nil {
						return err
					}
					return db.CreateRefreshToken(ctx, &storage.RefreshToken{Digest: secret.Digest(uuid.NewString()), GrantID: g.ID,
						ClientID: "c", ExpiresAt: time.Now().Add(time.Hour)})
				})
			})
		})
	}
}

func measure(b *testing.B, name string, do func() error) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		before := cpu()
		n := 0
		for b.Loop() {
			if err := do(); err != nil {
				b.Fatal(err)
			}
			n++
		}
		b.ReportMetric(float64((cpu()-before).Microseconds())/float64(n), "cpu-µs/op")
	})
}

func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
