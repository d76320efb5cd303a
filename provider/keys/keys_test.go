package keys_test

import (
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage"
)

const hour = time.Hour

// published reads a JWK Set as a relying party does.
func published(t testing.TB, ctx context.Context, k *keys.Keys) map[string]jose.JSONWebKey {
	t.Helper()
	body, etag, err := k.JWKS(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(body, &set); err != nil {
		t.Fatal(err)
	}
	found := make(map[string]jose.JSONWebKey)
	for _, jwk := range set.Keys {
		if _, twice := found[jwk.KeyID]; twice || jwk.KeyID == "" || !jwk.IsPublic() || !jwk.Valid() {
			t.Fatalf("%s: twice, nameless or not public", jwk.KeyID)
		}
		thumbprint, err := jwk.Thumbprint(crypto.SHA256)
		if err != nil || base64.RawURLEncoding.EncodeToString(thumbprint) != jwk.KeyID {
			t.Fatalf("%s is not the thumbprint", jwk.KeyID)
		}
		found[jwk.KeyID] = jwk
	}
	if len(etag) < 10 || etag[0] != '"' || etag[len(etag)-1] != '"' || strings.HasPrefix(etag, "W/") {
		t.Fatalf("%s is not a strong entity tag", etag)
	}
	return found
}

func kidOf(t testing.TB, token string) string {
	t.Helper()
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	return signed.Signatures[0].Header.KeyID
}

func claimsFor(t testing.TB, ctx context.Context) map[string]any {
	t.Helper()
	org, err := tenant.From(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{"iss": org.Issuer, "sub": "x", "exp": time.Now().Add(time.Minute).Unix()}
}

func sign(t testing.TB, ctx context.Context, k *keys.Keys, alg string) string {
	t.Helper()
	token, err := k.Sign(ctx, alg, "JWT", claimsFor(t, ctx))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAnOrganizationSignsByEveryAlgorithmAndPublishesWhatVerifies(t *testing.T) {
	eachDB(t, func(t *testing.T, db, _ *storage.DB) {
		ctx := organization(t, db, "acme")
		must(t, keys.Create(ctx, db))
		k := keys.New(db, keys.Options{})
		if set := published(t, ctx, k); len(set) != len(keys.CommonAlgorithms()) {
			t.Fatalf("%d keys", len(set))
		}
		if token, err := k.Sign(ctx, keys.PS256, "JWT", claimsFor(t, ctx)); !errors.Is(err, keys.ErrNoKey) {
			t.Errorf("signed by %s: %v", token, err)
		}
		// The key for another algorithm is made for whoever needs it first, and signs at once.
		if due, err := keys.DueForRotation(ctx, db); err != nil || due != nil {
			t.Errorf("%v are due, %v", due, err)
		}
		for i, alg := range append([]string{keys.PS256}, keys.Algorithms()...) {
			if made, err := keys.Ensure(ctx, db, alg); err != nil || (made != "") != (i == 0) {
				t.Errorf("%s: %q, %v", alg, made, err)
			}
		}
		sign(t, ctx, k, keys.PS256)
		set := published(t, ctx, k)
		if len(set) != len(keys.Algorithms()) {
			t.Fatalf("%d keys", len(set))
		}
		algs, err := k.Algs(ctx)
		if err != nil || !slices.Equal(algs, keys.Algorithms()) {
			t.Fatal(algs, err)
		}
		for _, alg := range keys.Algorithms() {
			token := sign(t, ctx, k, alg)
			jwk := set[kidOf(t, token)]
			signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
			must(t, err)
			if _, err := signed.Verify(jwk); err != nil || jwk.Algorithm != alg {
				t.Errorf("%s: %v", alg, err)
			}
			verified, err := k.Verify(ctx, token, keys.Algorithms(), "JWT")
			if err != nil || verified.Claims.Text("sub") != "x" || verified.Alg != alg || verified.KID != jwk.KeyID {
				t.Errorf("%s: %+v, %v", alg, verified, err)
			}
			for _, refused := range []struct {
				algs []string
				typ  string
			}{{nil, "JWT"}, {[]string{"HS256", "none", "RS384"}, "JWT"}, {keys.Algorithms(), "at+jwt"}, {keys.Algorithms(), ""}, {keys.Algorithms(), "jwt"}} {
				if _, err := k.Verify(ctx, token, refused.algs, refused.typ); !errors.Is(err, keys.ErrToken) {
					t.Errorf("%s passes for %v: %v", alg, refused, err)
				}
			}
			if _, err := k.Verify(ctx, token, keys.Algorithms(), "at+jwt", "JWT"); err != nil {
				t.Errorf("%s: %v", alg, err)
			}
		}
		for _, alg := range []string{"HS256", "none", "", "PS384"} {
			if token, err := k.Sign(ctx, alg, "JWT", claimsFor(t, ctx)); !errors.Is(err, keys.ErrNoKey) {
				t.Errorf("signed by %q: %s, %v", alg, token, err)
			}
		}
	})
}

// S-021, S-106.
func TestAnotherOrganizationsTokenIsNobodys(t *testing.T) {
	eachDB(t, func(t *testing.T, db, _ *storage.DB) {
		one, two := organization(t, db, "one"), organization(t, db, "two")
		must(t, keys.Create(one, db))
		must(t, keys.Create(two, db))
		k := keys.New(db, keys.Options{})
		for _, alg := range keys.CommonAlgorithms() {
			if _, err := k.Verify(two, sign(t, one, k, alg), keys.Algorithms(), "JWT"); !errors.Is(err, keys.ErrToken) {
				t.Errorf("%s: %v", alg, err)
			}
			// Even if it says that it is theirs.
			forged, err := k.Sign(one, alg, "JWT", claimsFor(t, two))
			must(t, err)
			for _, ctx := range []context.Context{one, two} {
				if _, err := k.Verify(ctx, forged, keys.Algorithms(), "JWT"); !errors.Is(err, keys.ErrToken) {
					t.Errorf("%s: %v", alg, err)
				}
			}
		}
		for kid := range published(t, one, k) {
			if _, there := published(t, two, k)[kid]; there {
				t.Error("a key is shared")
			}
		}
		if _, err := k.Sign(t.Context(), keys.RS256, "JWT", nil); !errors.Is(err, tenant.ErrNone) {
			t.Errorf("signed for nobody: %v", err)
		}
		if _, _, err := k.JWKS(t.Context()); !errors.Is(err, tenant.ErrNone) {
			t.Errorf("published for nobody: %v", err)
		}
	})
}

func TestAKeyIsPublishedBeforeItSignsAndUntilItsLastTokenHasDied(t *testing.T) {
	eachDB(t, func(t *testing.T, db, _ *storage.DB) {
		ctx := organization(t, db, "acme")
		must(t, keys.Create(ctx, db))
		k := keys.New(db, keys.Options{CacheFor: time.Nanosecond})
		_, before, err := k.JWKS(ctx)
		must(t, err)
		old := kidOf(t, sign(t, ctx, k, keys.ES256))
		next, err := keys.Rotate(ctx, db, keys.ES256, false, hour)
		must(t, err)
		if next == old {
			t.Fatal("nothing was rotated")
		}
		set := published(t, ctx, k)
		if _, there := set[next]; !there || len(set) != 4 {
			t.Errorf("the next key is not published: %v", slices.Collect(maps.Keys(set)))
		}
		if _, after, err := k.JWKS(ctx); err != nil || after == before {
			t.Errorf("the entity tag stays: %v", err)
		}
		if kid := kidOf(t, sign(t, ctx, k, keys.ES256)); kid != old {
			t.Error("it signs before it has been published for long enough")
		}
		again, err := keys.Rotate(ctx, db, keys.ES256, false, hour)
		if err != nil || again != next {
			t.Errorf("a rotation under way was not waited for: %s, %v", again, err)
		}
		rows, err := db.SigningKeys(ctx)
		must(t, err)
		for _, row := range rows {
			switch row.KID {
			case old:
				if row.RetiresAt == nil || row.ExpiresAt == nil || !row.ExpiresAt.Equal(row.RetiresAt.Add(hour+10*time.Minute)) {
					t.Errorf("the old key retires at %v and expires at %v", row.RetiresAt, row.ExpiresAt)
				}
			case next:
				if ahead := time.Until(row.ActivatesAt); ahead < 9*time.Minute || ahead > 10*time.Minute {
					t.Errorf("the next key signs in %v", ahead)
				}
			default:
				if row.RetiresAt != nil {
					t.Errorf("the key for %s retires", row.Alg)
				}
			}
		}
	})
}

func TestARotationAtOnceSignsAtOnceAndOldTokensStillVerify(t *testing.T) {
	eachDB(t, func(t *testing.T, db, _ *storage.DB) {
		ctx := organization(t, db, "acme")
		must(t, keys.Create(ctx, db))
		k := keys.New(db, keys.Options{CacheFor: time.Nanosecond})
		for _, alg := range keys.CommonAlgorithms() {
			hint := sign(t, ctx, k, alg)
			next, err := keys.Rotate(ctx, db, alg, true, hour)
			must(t, err)
			if kid := kidOf(t, sign(t, ctx, k, alg)); kid != next {
				t.Errorf("%s: %s signs, not %s", alg, kid, next)
			}
			if _, there := published(t, ctx, k)[kidOf(t, hint)]; !there {
				t.Errorf("%s: the old key is gone", alg)
			}
			if _, err := k.Verify(ctx, hint, keys.Algorithms(), "JWT"); err != nil {
				t.Errorf("%s: %v", alg, err)
			}
			// A rotation that is under way does not keep one from rotating at once.
			pending, err := keys.Rotate(ctx, db, alg, false, hour)
			must(t, err)
			now, err := keys.Rotate(ctx, db, alg, true, hour)
			must(t, err)
			if kid := kidOf(t, sign(t, ctx, k, alg)); kid != now || now == pending {
				t.Errorf("%s: %s signs, not %s", alg, kid, now)
			}
		}
	})
}

// An ID token lives for minutes and comes back as a hint for as long as its session.
func TestAHintOutlivesThePublicationOfItsKey(t *testing.T) {
	eachDB(t, func(t *testing.T, db, other *storage.DB) {
		ctx := organization(t, db, "acme")
		must(t, keys.Create(ctx, db))
		k := keys.New(db, keys.Options{CacheFor: time.Nanosecond})
		hint := sign(t, ctx, k, keys.RS256)
		_, err := keys.Rotate(ctx, db, keys.RS256, true, -24*time.Hour) // so that it is over already
		must(t, err)
		if _, there := published(t, ctx, k)[kidOf(t, hint)]; there {
			t.Fatal("the old key is still published")
		}
		verified, err := k.Verify(ctx, hint, keys.Algorithms(), "JWT")
		if err != nil || verified.Claims.Text("sub") != "x" {
			t.Errorf("the hint is refused: %v", err)
		}
		must(t, keys.Revoke(ctx, db, kidOf(t, hint)))
		if _, err := k.Verify(ctx, hint, keys.Algorithms(), "JWT"); !errors.Is(err, keys.ErrToken) {
			t.Errorf("a revoked key verifies: %v", err)
		}
		// What one replica has just signed with a new key another verifies, whatever it remembers.
		elsewhere := keys.New(other, keys.Options{CacheFor: hour})
		published(t, ctx, elsewhere)
		_, err = keys.Rotate(ctx, db, keys.RS256, true, hour)
		must(t, err)
		if _, err := elsewhere.Verify(ctx, sign(t, ctx, k, keys.RS256), keys.Algorithms(), "JWT"); err != nil {
			t.Errorf("the other replica refuses: %v", err)
		}
	})
}

// S-113.
func TestARevokedKeyIsGoneAndAnotherSigns(t *testing.T) {
	eachDB(t, func(t *testing.T, db, other *storage.DB) {
		ctx := organization(t, db, "acme")
		must(t, keys.Create(ctx, db))
		k, replica := keys.New(db, keys.Options{CacheFor: time.Nanosecond}), keys.New(other, keys.Options{CacheFor: time.Nanosecond})
		for _, alg := range keys.CommonAlgorithms() {
			token := sign(t, ctx, k, alg)
			kid := kidOf(t, token)
			must(t, keys.Revoke(ctx, db, kid))
			for _, k := range []*keys.Keys{k, replica} {
				if _, there := published(t, ctx, k)[kid]; there {
					t.Errorf("%s: it is still published", alg)
				}
				if _, err := k.Verify(ctx, token, keys.Algorithms(), "JWT"); !errors.Is(err, keys.ErrToken) {
					t.Errorf("%s: %v", alg, err)
				}
				if next := kidOf(t, sign(t, ctx, k, alg)); next == kid {
					t.Errorf("%s: it still signs", alg)
				}
			}
			if err := keys.Revoke(ctx, db, kid); !errors.Is(err, keys.ErrUnknownKey) {
				t.Errorf("%s: revoked twice: %v", alg, err)
			}
		}
		two := organization(t, db, "two")
		must(t, keys.Create(two, db))
		if err := keys.Revoke(two, db, kidOf(t, sign(t, ctx, k, keys.ES256))); !errors.Is(err, keys.ErrUnknownKey) {
			t.Errorf("another organization's key is revoked: %v", err)
		}

		// Of a rotation that is under way either key may have to go; there is always one that signs, and one that will.
		for _, first := range []bool{true, false} {
			active := kidOf(t, sign(t, ctx, k, keys.EdDSA))
			pending, err := keys.Rotate(ctx, db, keys.EdDSA, false, hour)
			must(t, err)
			gone := pending
			if first {
				gone = active
			}
			must(t, keys.Revoke(ctx, db, gone))
			if kid := kidOf(t, sign(t, ctx, k, keys.EdDSA)); kid == gone {
				t.Error("the revoked key signs")
			}
			rows, err := db.SigningKeys(ctx)
			must(t, err)
			if !slices.ContainsFunc(rows, func(row storage.SigningKey) bool { return row.Alg == keys.EdDSA && row.RetiresAt == nil }) {
				t.Error("no key goes on")
			}
			_, err = keys.Rotate(ctx, db, keys.EdDSA, true, hour)
			must(t, err)
		}
	})
}

func TestOfTwoReplicasThatRotateAtOnceOneDoes(t *testing.T) {
	eachDB(t, func(t *testing.T, db, other *storage.DB) {
		ctx := organization(t, db, "acme")
		must(t, keys.Create(ctx, db))
		for _, now := range []bool{false, true} {
			before, err := db.SigningKeys(ctx)
			must(t, err)
			// All have made their plan before the first carries his out: the worst case.
			const racers = 8
			plans := make([]*keys.Rotation, racers)
			for i := range plans {
				plans[i], err = keys.PlanRotation(ctx, []*storage.DB{db, other}[i%2], keys.ES256, now, hour)
				must(t, err)
			}
			var racing sync.WaitGroup
			kids, errs := make([]string, racers), make([]error, racers)
			rotated := make([]bool, racers)
			for i := range plans {
				racing.Go(func() { kids[i], rotated[i], errs[i] = plans[i].Apply(ctx, []*storage.DB{db, other}[i%2]) })
			}
			racing.Wait()
			must(t, errors.Join(errs...))
			winners := 0
			for i := range plans {
				if rotated[i] {
					winners++
				}
				if kids[i] != kids[0] {
					t.Errorf("now %v: they do not agree: %v", now, kids)
				}
			}
			after, err := db.SigningKeys(ctx)
			must(t, err)
			if winners != 1 || len(after) != len(before)+1 {
				t.Errorf("now %v: %d have rotated, %d keys became %d", now, winners, len(before), len(after))
			}
			goOn := 0
			for _, row := range after {
				if row.Alg == keys.ES256 && row.RetiresAt == nil {
					goOn++
				}
			}
			if goOn != 1 {
				t.Errorf("now %v: %d keys go on", now, goOn)
			}
			_, err = keys.Rotate(ctx, db, keys.ES256, true, hour) // what is pending is over
			must(t, err)
		}
	})
}

func TestAKeyThatHasSignedForLongIsDue(t *testing.T) {
	eachDB(t, func(t *testing.T, db, _ *storage.DB) {
		ctx := organization(t, db, "acme")
		due, err := keys.DueForRotation(ctx, db)
		if err != nil || !slices.Equal(due, keys.CommonAlgorithms()) {
			t.Errorf("without keys: %v, %v", due, err)
		}
		must(t, keys.Create(ctx, db))
		due, err = keys.DueForRotation(ctx, db)
		if err != nil || len(due) != 0 {
			t.Errorf("with fresh keys: %v, %v", due, err)
		}
	})
}

func TestManyWhoSignAndRotateAndPublishAtOnceNeverFail(t *testing.T) {
	eachDB(t, func(t *testing.T, db, other *storage.DB) {
		ctx := organization(t, db, "acme")
		must(t, keys.Create(ctx, db))
		replicas := []*keys.Keys{keys.New(db, keys.Options{CacheFor: time.Millisecond}), keys.New(other, keys.Options{CacheFor: time.Millisecond})}
		done := make(chan struct{})
		var signing sync.WaitGroup
		for i := range 8 {
			signing.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-done:
						return
					default:
					}
					alg := []string{keys.ES256, keys.EdDSA}[n%2]
					token, err := replicas[i%2].Sign(ctx, alg, "JWT", claimsFor(t, ctx))
					if err != nil {
						t.Errorf("sign: %v", err)
						return
					}
					if _, err := replicas[(i+1)%2].Verify(ctx, token, keys.Algorithms(), "JWT"); err != nil {
						t.Errorf("verify: %v", err)
						return
					}
					if _, _, err := replicas[i%2].JWKS(ctx); err != nil {
						t.Errorf("publish: %v", err)
						return
					}
				}
			})
		}
		for range 5 {
			for _, alg := range []string{keys.ES256, keys.EdDSA} {
				if _, err := keys.Rotate(ctx, db, alg, true, hour); err != nil {
					t.Errorf("rotate: %v", err)
				}
			}
		}
		close(done)
		signing.Wait()
	})
}

func TestOfManyWhoComeFirstOneAsksTheDatabase(t *testing.T) {
	eachDB(t, func(t *testing.T, db, _ *storage.DB) {
		ctx := organization(t, db, "acme")
		must(t, keys.Create(ctx, db))
		k := keys.New(db, keys.Options{CacheFor: hour})
		bodies := make([][]byte, 64)
		var asking sync.WaitGroup
		for i := range bodies {
			asking.Go(func() {
				var err error
				if bodies[i], _, err = k.JWKS(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		asking.Wait()
		for i := range bodies {
			// One look-up, one ring, and so the very same bytes.
			if len(bodies[i]) == 0 || &bodies[i][0] != &bodies[0][0] {
				t.Fatalf("%d was answered from another look-up", i)
			}
		}
	})
}

func TestADatabaseThatIsAwayIsNotARefusal(t *testing.T) {
	eachDB(t, func(t *testing.T, db, _ *storage.DB) {
		ctx := organization(t, db, "acme")
		must(t, keys.Create(ctx, db))
		k := keys.New(db, keys.Options{CacheFor: time.Nanosecond})
		token := sign(t, ctx, k, keys.ES256)
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := k.Verify(gone, token, keys.Algorithms(), "JWT"); err != nil {
			t.Errorf("the caller's impatience is no reason for those who wait with him: %v", err)
		}
		must(t, db.Close())
		_, err := k.Verify(ctx, token, keys.Algorithms(), "JWT")
		if err == nil || errors.Is(err, keys.ErrToken) || errors.Is(err, storage.ErrNotFound) {
			t.Errorf("it passes for a refusal: %v", err)
		}
		if _, err := k.Sign(ctx, keys.ES256, "JWT", nil); err == nil || errors.Is(err, keys.ErrNoKey) {
			t.Errorf("it passes for a lack: %v", err)
		}
	})
}

func BenchmarkKeysSign(b *testing.B) {
	benchDB(b, func(b *testing.B, db *storage.DB) {
		ctx := organization(b, db, "acme")
		must(b, keys.Create(ctx, db))
		k := keys.New(db, keys.Options{})
		claims := claimsFor(b, ctx)
		for _, alg := range keys.CommonAlgorithms() {
			b.Run(alg, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := k.Sign(ctx, alg, "JWT", claims); err != nil {
						b.Fatal(err)
					}
				}
			})
			token := sign(b, ctx, k, alg)
			b.Run("verify/"+alg, func(b *testing.B) {
				for b.Loop() {
					if _, err := k.Verify(ctx, token, keys.Algorithms(), "JWT"); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run("jwks", func(b *testing.B) {
			for b.Loop() {
				if _, _, err := k.JWKS(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}
