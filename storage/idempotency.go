package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Requests that are carried out once, however often they are sent (the Idempotency-Key header). A request is claimed before it is
// carried out; the transaction in which it is done says so in the claim, so that nobody does it again whatever becomes of whoever
// had it; and its answer is kept for those who ask again.

// keepClaim is for how long an answer is given again.
const keepClaim = 24 * time.Hour

// claimLease is for how long nobody else takes up a request that somebody has claimed and not done. It outlasts every request.
const claimLease = time.Minute

// What may stand in the way of a claim.
var (
	// ErrClaimed: somebody is carrying the request out at this moment.
	ErrClaimed = errors.New("the request is being carried out")
	// ErrClaimedOtherwise: another request came under the same key.
	ErrClaimedOtherwise = errors.New("the key belongs to another request")
	// ErrAnswerLost: the request was carried out, and whoever did so went down before the answer was kept.
	ErrAnswerLost = errors.New("the request was carried out, and its answer is lost")
)

// Claim is a request that is to be carried out once. It belongs to the organization in whose context it was claimed.
type Claim struct {
	// digest names the request: whoever sends it, where to, under which key. request is what it says.
	digest, request string
	attempt         string
	org             uuid.UUID
}

// ClaimRequest claims a request that parts name, and that says what body says. If it was carried out before, the answer that was
// kept comes back instead of a claim.
func (db *DB) ClaimRequest(ctx context.Context, body string, parts ...string) (claim *Claim, answer []byte, err error) {
	err = db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "claim request", func(q *query) error {
			claim = &Claim{attempt: uuid.NewString(), org: q.org}
			claim.digest = db.ring.MAC("idempotency key", append([]string{q.org.String()}, parts...)...)
			claim.request, answer = db.ring.MAC("idempotent request", q.org.String(), body), nil
			// What is left of a day ago, or of somebody who went down before anything was done, is taken over.
			n, err := q.exec(`INSERT INTO idempotency_keys (digest, org_id, request, attempt, claimed_until, expires_at, created_at)
				VALUES ($1, $2, $3, $4, $5, $6, $7)
				ON CONFLICT (digest) DO UPDATE SET request = excluded.request, attempt = excluded.attempt, done_at = NULL, answer = NULL,
					claimed_until = excluded.claimed_until, expires_at = excluded.expires_at, created_at = excluded.created_at
				WHERE idempotency_keys.expires_at <= $8 OR idempotency_keys.done_at IS NULL AND idempotency_keys.claimed_until <= $9
					AND idempotency_keys.request = excluded.request`,
				claim.digest, q.org, claim.request, claim.attempt, q.now.Add(claimLease), q.now.Add(keepClaim), q.now, q.now, q.now)
			if err != nil || n == 1 {
				return err
			}
			var request string
			var until time.Time
			var sealed []byte
			err = q.row(`SELECT request, claimed_until, answer FROM idempotency_keys WHERE digest = $1 AND org_id = $2`, claim.digest, q.org).
				Scan(&request, &until, &sealed)
			switch {
			case errors.Is(err, sql.ErrNoRows): // given up this very moment
				return ErrClaimed
			case err != nil:
				return err
			case request != claim.request:
				return ErrClaimedOtherwise
			case sealed == nil && until.After(q.now): // also while it is done already, and the answer on its way
				return ErrClaimed
			case sealed == nil:
				return ErrAnswerLost
			}
			answer, err = q.cell("idempotency_keys", "answer", claim.digest).open(sealed)
			claim = nil
			return err
		})
	})
	if err != nil {
		return nil, nil, err
	}
	return claim, answer, nil
}

type claimKey struct{}

// WithClaim returns a context in which every transaction says, as it commits, that the claimed request has been done. One whose
// claim somebody else has taken over meanwhile comes to nothing: ErrSpent.
func WithClaim(ctx context.Context, claim *Claim) context.Context {
	return context.WithValue(ctx, claimKey{}, claim)
}

// fulfil is the last statement of a transaction that does what was claimed.
func (db *DB) fulfil(ctx context.Context) error {
	claim, _ := ctx.Value(claimKey{}).(*Claim)
	if claim == nil {
		return nil
	}
	return db.everywhere(ctx, writing, "fulfil claim", func(q *query) error {
		return q.spend(`UPDATE idempotency_keys SET done_at = $1 WHERE digest = $2 AND org_id = $3 AND attempt = $4`,
			q.now, claim.digest, claim.org, claim.attempt)
	})
}

// AnswerRequest keeps the answer to a request that was carried out.
func (db *DB) AnswerRequest(ctx context.Context, claim *Claim, answer []byte) error {
	return db.scoped(ctx, writing, "answer request", func(q *query) error {
		sealed, err := q.cell("idempotency_keys", "answer", claim.digest).seal(answer)
		if err != nil {
			return fmt.Errorf("answer request: %w", err)
		}
		return q.spend(`UPDATE idempotency_keys SET answer = $1, done_at = COALESCE(done_at, $2) WHERE digest = $3 AND org_id = $4 AND attempt = $5`,
			sealed, q.now, claim.digest, q.org, claim.attempt)
	})
}

// GiveUpRequest lets go of a request that came to nothing, so that it can be tried again. One that was done stays done.
func (db *DB) GiveUpRequest(ctx context.Context, claim *Claim) error {
	return db.scoped(ctx, writing, "give up request", func(q *query) error {
		_, err := q.exec(`DELETE FROM idempotency_keys WHERE digest = $1 AND org_id = $2 AND attempt = $3 AND done_at IS NULL`,
			claim.digest, q.org, claim.attempt)
		return err
	})
}
