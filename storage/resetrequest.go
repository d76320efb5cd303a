package storage

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// ResetRequest is that somebody says they have forgotten the password of an account. It waits in the outbox until it is looked up
// whether there is one, so that whoever asks is answered before anybody knows.
type ResetRequest struct {
	ID    uuid.UUID `json:"-"`
	OrgID uuid.UUID `json:"-"`
	// Login is what was typed.
	Login string `json:"login"`
	// Interaction is the authorization request that the person is on the way to, as it stands in the address; or empty.
	Interaction string `json:"interaction,omitempty"`
	// Address and RequestID are those of whoever asked, for the audit.
	Address   string `json:"address,omitempty"`
	RequestID string `json:"request_id,omitempty"`
	// Attempts counts how often somebody began to answer it.
	Attempts int `json:"-"`
}

// outboxReset is the kind of these rows.
const outboxReset = "password_reset"

// EnqueueResetRequest puts a request into the outbox, sealed, in the transaction of the context.
func (db *DB) EnqueueResetRequest(ctx context.Context, r *ResetRequest) error {
	return db.scoped(ctx, writing, "enqueue reset request", func(q *query) error {
		owned := Owned{r.OrgID}
		if err := owned.own(q.org); err != nil {
			return err
		}
		identify(&r.ID)
		r.OrgID = q.org
		plain, err := json.Marshal(r)
		if err != nil {
			return err
		}
		sealed, err := q.cell("outbox", "payload", r.ID.String()).seal(plain)
		if err != nil {
			return err
		}
		_, err = q.exec(`INSERT INTO outbox (id, org_id, kind, payload, next_attempt_at, created_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			r.ID, q.org, outboxReset, sealed, q.now, q.now)
		return err
	})
}

// ClaimResetRequests returns requests of every organization, the oldest first, for the caller alone to answer until then. What is
// not done by then is claimed again by somebody. One that does not open is left for whoever has its master key.
func (db *DB) ClaimResetRequests(ctx context.Context, until time.Time, most int) ([]ResetRequest, error) {
	var claimed []ResetRequest
	err := db.InTx(ctx, func(ctx context.Context) error {
		return db.everywhere(ctx, writing, "claim reset requests", func(q *query) error {
			claimed = nil
			rows, err := q.pool.QueryContext(q.ctx, `WITH due AS (SELECT id FROM outbox WHERE kind = $1 AND delivered_at IS NULL
					AND next_attempt_at <= $2
					AND EXISTS (SELECT 1 FROM organizations o WHERE o.id = outbox.org_id AND o.deleted_at IS NULL)
					ORDER BY next_attempt_at LIMIT $3`+db.skipLocked()+`)
				UPDATE outbox SET next_attempt_at = $4, attempts = attempts + 1 WHERE id IN (SELECT id FROM due)
				RETURNING id, org_id, attempts, payload`, outboxReset, q.now, most, until)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var r ResetRequest
				var sealed []byte
				if err := rows.Scan(&r.ID, &r.OrgID, &r.Attempts, &sealed); err != nil {
					return err
				}
				of := query{db: db, org: r.OrgID}
				plain, err := of.cell("outbox", "payload", r.ID.String()).open(sealed)
				if err == nil {
					err = json.Unmarshal(plain, &r)
				}
				if err != nil {
					db.log.ErrorContext(ctx, "a reset request cannot be read", "id", r.ID, "cause", err)
					continue
				}
				claimed = append(claimed, r)
			}
			return rows.Err()
		})
	})
	return claimed, err
}

// EndResetRequest removes a request that was answered, in the transaction of the answer. Of several at once, one succeeds; the
// others get ErrSpent.
func (db *DB) EndResetRequest(ctx context.Context, id uuid.UUID) error {
	return db.scoped(ctx, writing, "end reset request", func(q *query) error {
		if err := q.spend(`DELETE FROM outbox WHERE id = $1 AND org_id = $2 AND kind = $3`, id, q.org, outboxReset); err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
		return nil
	})
}
