package storage_test

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

const (
	racers = 16
	rounds = 25
)

// once is something that may be used once: make prepares one and returns how to use it, and late is what the losers get.
type once struct {
	name string
	late error
	make func(t *testing.T, db *storage.DB, ctx context.Context, f *fixture) func(*storage.DB) error
}

func singleUse() []once {
	hour := time.Now().Add(time.Hour)
	digest := func() string { return secret.Digest(uuid.NewString()) }
	return []once{
		{"code", storage.ErrSpent, func(t *testing.T, db *storage.DB, ctx context.Context, f *fixture) func(*storage.DB) error {
			d := digest()
			must(t, db.CreateCode(ctx, &storage.Code{Digest: d, GrantID: uuid.New(), UserID: f.user.ID, ExpiresAt: hour}))
			return func(db *storage.DB) error { return db.SpendCode(ctx, d) }
		}},
		{"refresh token", storage.ErrSpent, func(t *testing.T, db *storage.DB, ctx context.Context, f *fixture) func(*storage.DB) error {
			d := digest()
			must(t, db.CreateRefreshToken(ctx, &storage.RefreshToken{Digest: d, GrantID: f.grant.ID, ExpiresAt: hour}))
			return func(db *storage.DB) error { return db.SpendRefreshToken(ctx, d, []byte("answer")) }
		}},
		{"interaction", storage.ErrSpent, func(t *testing.T, db *storage.DB, ctx context.Context, f *fixture) func(*storage.DB) error {
			d := digest()
			must(t, db.CreateInteraction(ctx, &storage.Interaction{Digest: d, Params: url.Values{}, ExpiresAt: hour}))
			return func(db *storage.DB) error { return db.SpendInteraction(ctx, d) }
		}},
		{"pushed request", storage.ErrSpent, func(t *testing.T, db *storage.DB, ctx context.Context, f *fixture) func(*storage.DB) error {
			d := digest()
			must(t, db.CreatePAR(ctx, &storage.PAR{Digest: d, Params: url.Values{}, ExpiresAt: hour}))
			return func(db *storage.DB) error { return db.SpendPAR(ctx, d) }
		}},
		{"verification token", storage.ErrSpent, func(t *testing.T, db *storage.DB, ctx context.Context, f *fixture) func(*storage.DB) error {
			d := digest()
			must(t, db.CreateVerificationToken(ctx, &storage.VerificationToken{Token: d, Type: "setup", ExpiresAt: hour}))
			return func(db *storage.DB) error { return db.SpendVerificationToken(ctx, d, "setup") }
		}},
		{"request under a key", storage.ErrClaimed, func(_ *testing.T, _ *storage.DB, ctx context.Context, _ *fixture) func(*storage.DB) error {
			key := digest()
			return func(db *storage.DB) error { return third(db.ClaimRequest(ctx, "body", key)) }
		}},
		{"jti", storage.ErrConflict, func(t *testing.T, db *storage.DB, ctx context.Context, f *fixture) func(*storage.DB) error {
			jti := uuid.NewString()
			return func(db *storage.DB) error { return db.UseJTI(ctx, "client", jti, hour) }
		}},
		{"e-mail address", storage.ErrConflict, func(t *testing.T, db *storage.DB, ctx context.Context, f *fixture) func(*storage.DB) error {
			name := uuid.NewString()
			var n atomic.Int64
			return func(db *storage.DB) error {
				spelling := name + []string{"@Example.com", "@EXAMPLE.COM", "@example.com"}[n.Add(1)%3]
				return db.CreateUser(ctx, &storage.User{Email: spelling, PasswordHash: "!"})
			}
		}},
	}
}

// The racers come from two replicas: two handles of their own on the same database.
func TestOfManyAtOnceExactlyOneSpends(t *testing.T) {
	for _, isolation := range []string{"", "serializable"} {
		name := isolation
		if name == "" {
			name = "read committed"
		}
		t.Run(name, func(t *testing.T) {
			test := func(t *testing.T, url string) {
				first := storagetest.Open(t, url)
				if _, err := first.Migrate(t.Context()); err != nil {
					t.Fatal(err)
				}
				replicas := []*storage.DB{first, storagetest.Open(t, url)}
				ctx := storagetest.Org(t, first, "acme")
				f := newFixture(t, first, ctx, "alice")
				for _, o := range singleUse() {
					t.Run(o.name, func(t *testing.T) {
						for range rounds {
							race(t, replicas, o, o.make(t, first, ctx, f), func(db *storage.DB, use func(*storage.DB) error) error { return use(db) })
						}
					})
				}
			}
			if isolation == "" {
				storagetest.EachURL(t, test)
				return
			}
			test(t, storagetest.PostgresURL(t)+"&default_transaction_isolation="+isolation)
		})
	}
}

// race lets every racer use it once, at the same moment.
func race(t *testing.T, replicas []*storage.DB, o once, use func(*storage.DB) error,
	how func(*storage.DB, func(*storage.DB) error) error,
) {
	t.Helper()
	var winners atomic.Int64
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range racers {
		wg.Go(func() {
			<-start
			switch err := how(replicas[i%len(replicas)], use); {
			case err == nil:
				winners.Add(1)
			case !errors.Is(err, o.late):
				t.Errorf("a loser got %v", err)
			}
		})
	}
	close(start)
	wg.Wait()
	if n := winners.Load(); n != 1 {
		t.Fatalf("%d winners", n)
	}
}

// Inside a transaction that goes on to write what was issued, the loser's work must vanish with it.
func TestOfManyTransactionsAtOnceExactlyOneIssues(t *testing.T) {
	for _, isolation := range []string{"read committed", "serializable"} {
		t.Run(isolation, func(t *testing.T) {
			test := func(t *testing.T, url string) {
				first := storagetest.Open(t, url)
				if _, err := first.Migrate(t.Context()); err != nil {
					t.Fatal(err)
				}
				replicas := []*storage.DB{first, storagetest.Open(t, url)}
				ctx := storagetest.Org(t, first, "acme")
				f := newFixture(t, first, ctx, "alice")
				var mu sync.Mutex
				for range 10 {
					code := secret.Digest(uuid.NewString())
					must(t, first.CreateCode(ctx, &storage.Code{Digest: code, GrantID: uuid.New(), UserID: f.user.ID, ExpiresAt: now().Add(minute)}))
					var issued []string
					race(t, replicas, once{late: storage.ErrSpent}, func(db *storage.DB) error {
						token := secret.Digest(uuid.NewString())
						mu.Lock()
						issued = append(issued, token)
						mu.Unlock()
						return db.InTx(ctx, func(ctx context.Context) error {
							// The token first: a loser has written it when it learns that it has lost.
							err := db.CreateAccessToken(ctx, &storage.AccessToken{Digest: token, ClientID: "c", Format: "opaque", ExpiresAt: now().Add(minute)})
							if err != nil {
								return err
							}
							return db.SpendCode(ctx, code)
						})
					}, func(db *storage.DB, use func(*storage.DB) error) error { return use(db) })
					alive := 0
					for _, token := range issued {
						switch _, _, err := first.AccessToken(ctx, token); {
						case err == nil:
							alive++
						case !isNotFound(err):
							t.Error(err)
						}
					}
					if alive != 1 {
						t.Errorf("%d tokens were issued", alive)
					}
				}
			}
			if isolation == "read committed" {
				storagetest.EachURL(t, test)
				return
			}
			test(t, storagetest.PostgresURL(t)+"&default_transaction_isolation="+isolation)
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func third[A, B any](_ A, _ B, err error) error { return err }
