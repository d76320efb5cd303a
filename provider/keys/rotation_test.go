package keys_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// verifier is an API that asks for the JWK Set when it may no longer remember the last, and at no other time: not even for a key that it has
// never heard of.
type verifier struct {
	keys    map[string]jose.JSONWebKey
	fetched time.Time
	fetch   func() map[string]jose.JSONWebKey
}

func (v *verifier) verify(t *testing.T, what, token string) {
	t.Helper()
	if time.Since(v.fetched) >= keys.JWKSMaxAge {
		v.keys, v.fetched = v.fetch(), time.Now()
	}
	jwk, known := v.keys[kidOf(t, token)]
	if !known {
		t.Fatalf("%s is of a key that is not known", what)
	}
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err == nil {
		_, err = signed.Verify(jwk)
	}
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// S-104: whoever remembers the JWK Set for as long as they may, directly or by way of a cache that does so, too, never meets a token that they
// cannot verify, through rotation after rotation; tokens are signed by two replicas all the time, and both of them rotate.
func TestNoVerificationFailsThroughRotations(t *testing.T) {
	storagetest.DB(t) // the template is made outside the bubble
	synctest.Test(t, func(t *testing.T) {
		db := storagetest.DB(t)
		ctx := organization(t, db, "acme")
		must(t, keys.Create(ctx, db))
		const longest = 15 * time.Minute // the life of a token
		const step = time.Minute
		replicas := []*keys.Keys{keys.New(db, keys.Options{}), keys.New(db, keys.Options{})}

		// Some ask a replica; others a proxy, which answers from what it remembers of one, and does not say how old that is. Each asks in a minute
		// of its own, of every five: the proxy is asked by one of them a minute before a rotation, and by another shortly before it asks anew.
		start := time.Now()
		proxy := &verifier{keys: published(t, ctx, replicas[0]), fetched: start.Add(-time.Minute)}
		var verifiers []*verifier
		for i, minute := range []int{0, 1, 4, 1, 3, 4} {
			v := &verifier{keys: published(t, ctx, replicas[0]), fetched: start.Add(time.Duration(minute)*time.Minute - keys.JWKSMaxAge)}
			v.fetch = func() map[string]jose.JSONWebKey { return published(t, ctx, replicas[i%2]) }
			if i >= 3 {
				v.fetch = func() map[string]jose.JSONWebKey {
					if time.Since(proxy.fetched) >= keys.JWKSMaxAge {
						proxy.keys, proxy.fetched = published(t, ctx, replicas[1]), time.Now()
					}
					return proxy.keys
				}
			}
			verifiers = append(verifiers, v)
		}

		type issued struct {
			text string
			ends time.Time
		}
		var tokens []issued
		signers := make(map[string]bool)
		for n := range int(3 * time.Hour / step) {
			if n%50 == 10 {
				for range replicas { // whose jobs do not know of one another
					_, err := keys.Rotate(ctx, db, keys.EdDSA, false, longest)
					must(t, err)
				}
			}
			for i, replica := range replicas {
				token := sign(t, ctx, replica, keys.EdDSA)
				signers[kidOf(t, token)] = true
				tokens = append(tokens, issued{token, time.Now().Add(longest)})
				for j, v := range verifiers {
					v.verify(t, fmt.Sprintf("step %d: what replica %d has just signed, to verifier %d,", n, i, j), token)
				}
			}
			for len(tokens) > 0 && time.Now().Add(step).After(tokens[0].ends) {
				for j, v := range verifiers {
					v.verify(t, fmt.Sprintf("step %d: what is about to end, to verifier %d,", n, j), tokens[0].text)
				}
				tokens = tokens[1:]
			}
			time.Sleep(step)
		}
		if len(signers) != 5 {
			t.Errorf("%d keys have signed", len(signers))
		}
		for _, replica := range replicas {
			if set := published(t, ctx, replica); len(set) > 4 {
				t.Errorf("%d keys are still published", len(set))
			}
		}
		// Once nothing is rotated for long, something is due; of what is not common to all, where there is a key.
		elsewhere := organization(t, db, "elsewhere")
		must(t, keys.Create(elsewhere, db))
		time.Sleep(keys.RotateAfter)
		for _, common := range keys.CommonAlgorithms() {
			_, err := keys.Rotate(elsewhere, db, common, true, longest)
			must(t, err)
		}
		due, err := keys.DueForRotation(ctx, db)
		if err != nil || !slices.Equal(due, keys.CommonAlgorithms()) {
			t.Errorf("%v are due, %v", due, err)
		}
		_, err = keys.Ensure(elsewhere, db, keys.PS256)
		must(t, err)
		lacking := func() (slugs []string) {
			orgs, err := db.OrganizationsWithoutKeys(ctx, keys.Algorithms(), keys.CommonAlgorithms(), time.Now().Add(-keys.RotateAfter), "", 10)
			must(t, err)
			for _, org := range orgs {
				slugs = append(slugs, org.Slug)
			}
			return slugs
		}
		if orgs := lacking(); !slices.Equal(orgs, []string{"acme"}) {
			t.Errorf("%v lack keys", orgs)
		}
		time.Sleep(keys.RotateAfter)
		if due, err := keys.DueForRotation(elsewhere, db); err != nil || !slices.Equal(due, keys.Algorithms()) {
			t.Errorf("%v are due elsewhere, %v", due, err)
		}
		for _, common := range keys.CommonAlgorithms() {
			_, err := keys.Rotate(elsewhere, db, common, true, longest)
			must(t, err)
		}
		if orgs := lacking(); !slices.Equal(orgs, []string{"acme", "elsewhere"}) {
			t.Errorf("%v lack keys", orgs)
		}
	})
}

// S-113: a key that is revoked on one replica is believed for no longer than a ring is kept.
func TestARevocationIsSeenByEveryReplicaWithinSeconds(t *testing.T) {
	storagetest.DB(t)
	synctest.Test(t, func(t *testing.T) {
		db := storagetest.DB(t)
		ctx := organization(t, db, "acme")
		must(t, keys.Create(ctx, db))
		replica := keys.New(db, keys.Options{})
		token := sign(t, ctx, replica, keys.ES256)
		must(t, keys.Revoke(ctx, db, kidOf(t, token)))
		time.Sleep(keys.DefaultCacheFor)
		if _, err := replica.Verify(ctx, token, keys.Algorithms(), "JWT"); err == nil {
			t.Error("it is still believed")
		}
		if _, there := published(t, ctx, replica)[kidOf(t, token)]; there {
			t.Error("it is still published")
		}
	})
}
