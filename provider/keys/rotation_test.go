package keys_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// S-104: an API that remembers the JWK Set for as long as it may never meets a token that it cannot verify, and a token is
// never older than its key, through rotation after rotation.
func TestNoVerificationFailsThroughRotations(t *testing.T) {
	storagetest.DB(t) // the template is made outside the bubble
	synctest.Test(t, func(t *testing.T) {
		db := storagetest.DB(t)
		ctx := organization(t, db, "acme")
		must(t, keys.Create(ctx, db))
		const longest = 15 * time.Minute // the life of a token
		signer, publisher := keys.New(db, keys.Options{}), keys.New(db, keys.Options{})

		type issued struct {
			text string
			ends time.Time
		}
		var tokens []issued
		var remembered map[string]jose.JSONWebKey
		var fetched time.Time
		signers := make(map[string]bool)
		for minute := range 180 {
			if minute%50 == 10 {
				_, err := keys.Rotate(ctx, db, keys.EdDSA, false, longest)
				must(t, err)
			}
			for range 2 {
				token := sign(t, ctx, signer, keys.EdDSA)
				signers[kidOf(t, token)] = true
				tokens = append(tokens, issued{token, time.Now().Add(longest)})
				// The worst verifier: it asks anew at the last moment that it may.
				if time.Since(fetched) >= keys.JWKSMaxAge {
					remembered, fetched = published(t, ctx, publisher), time.Now()
				}
				for len(tokens) > 0 && time.Now().After(tokens[0].ends) {
					tokens = tokens[1:]
				}
				for _, token := range tokens {
					jwk, known := remembered[kidOf(t, token.text)]
					if !known {
						t.Fatalf("minute %d: a token of a key that is not known", minute)
					}
					if signed, err := jose.ParseSignedCompact(token.text, []jose.SignatureAlgorithm{jose.EdDSA}); err != nil {
						t.Fatal(err)
					} else if _, err := signed.Verify(jwk); err != nil {
						t.Fatalf("minute %d: %v", minute, err)
					}
				}
				time.Sleep(30 * time.Second)
			}
		}
		if len(signers) != 5 {
			t.Errorf("%d keys have signed", len(signers))
		}
		if set := published(t, ctx, publisher); len(set) > 4 {
			t.Errorf("%d keys are still published", len(set))
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
