package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/keizer-auth/keizer/internal/throttle"
)

// skewed is by how much the clocks of replicas differ at the most. What reaches further into the future than a limit and that
// was written by a clock that has been set back since, and nobody waits for the time to come round again.
const skewed = time.Minute

// errCounted says that a limit was asked in the transaction of a deed. What was tried counts whether or not it succeeded, so it
// may not be rolled back with it; and on SQLite it would wait for the very transaction that it is asked in.
var errCounted = errors.New("a limit is taken before the transaction of what it limits")

// Take uses a limit once, for a subject in the organization of the context: what it is counted for, such as an address or an
// account, in its one canonical form. A limit that is used up is a *throttle.Exceeded, and is not used further. Of many at once,
// on however many replicas, as many succeed as there is room for.
//
// It is a transaction of its own and is called before that of the deed: what was tried stays counted when the deed fails.
// When the database cannot answer, nothing is known, and the error says so: whoever asks refuses (S-202).
func (db *DB) Take(ctx context.Context, limit throttle.Limit, subject string) error {
	step, per := step(limit), limit.Per.Microseconds()
	if step <= 0 {
		return fmt.Errorf("take %s: it lets nothing through", limit.Name)
	}
	// A use fills the bucket by a step of time, and time drains it: busy_until is when it is empty.
	return db.count(ctx, limit.Name, subject, per-step, func(q *query, key string, now int64) (int64, error) {
		return q.exec(`INSERT INTO rate_limits (org_id, subject, tries, busy_until, expires_at) VALUES ($1, $2, 1, $3, $4)
			ON CONFLICT (org_id, subject) DO UPDATE SET tries = rate_limits.tries + 1, expires_at = excluded.expires_at,
				busy_until = CASE WHEN rate_limits.busy_until > $5 THEN $6 WHEN rate_limits.busy_until > $7
					THEN rate_limits.busy_until + $8 ELSE excluded.busy_until END
			WHERE rate_limits.busy_until + $8 <= $6 OR rate_limits.busy_until > $5`,
			q.org, key, now+step, q.now.Add(limit.Per), now+per+skewed.Microseconds(), now+per, now, step)
	})
}

// GiveBack takes back one use of a limit: what it was taken for did not come about, or was right.
func (db *DB) GiveBack(ctx context.Context, limit throttle.Limit, subject string) error {
	return db.settle(ctx, limit.Name, subject, func(q *query, key string) error {
		_, err := q.exec(`UPDATE rate_limits SET tries = tries - 1, busy_until = busy_until - $1 WHERE org_id = $2 AND subject = $3`,
			step(limit), q.org, key)
		return err
	})
}

// step is how long it takes one use to drain, in microseconds.
func step(limit throttle.Limit) int64 {
	if limit.Burst <= 0 {
		return 0
	}
	return limit.Per.Microseconds() / int64(limit.Burst)
}

// TakeTurn is Take for a limit that tightens with every try. A try that is refused is none: it makes nobody wait longer.
func (db *DB) TakeTurn(ctx context.Context, backoff throttle.Backoff, subject string) error {
	const (
		fresh = `rate_limits.expires_at <= $3`
		tries = `(CASE WHEN ` + fresh + ` THEN 0 ELSE rate_limits.tries END + 1)`
	)
	most := backoff.Wait(backoff.Free + len(backoff.Waits())).Microseconds()
	return db.count(ctx, backoff.Name, subject, 0, func(q *query, key string, now int64) (int64, error) {
		wait := fmt.Sprintf("CASE WHEN %s < %d THEN 0", tries, backoff.Free)
		for i, w := range backoff.Waits() {
			wait += fmt.Sprintf(" WHEN %s = %d THEN CAST($6 AS bigint) + %d", tries, backoff.Free+i, w.Microseconds())
		}
		wait += fmt.Sprintf(" ELSE CAST($6 AS bigint) + %d END", most)
		// Who waited for the row has an older time than whoever had it first: where there is nothing to wait for, none is written.
		first := int64(0)
		if w := backoff.Wait(1); w > 0 {
			first = now + w.Microseconds()
		}
		return q.exec(`INSERT INTO rate_limits (org_id, subject, tries, busy_until, expires_at) VALUES ($1, $2, 1, $4, $5)
			ON CONFLICT (org_id, subject) DO UPDATE SET tries = `+tries+`, busy_until = `+wait+`, expires_at = excluded.expires_at
			WHERE `+fresh+` OR rate_limits.busy_until <= $6 OR rate_limits.busy_until > $7`,
			q.org, key, q.now, first, q.now.Add(backoff.Forget), now, now+most+skewed.Microseconds())
	})
}

// Forgive forgets every try of a subject.
func (db *DB) Forgive(ctx context.Context, backoff throttle.Backoff, subject string) error {
	return db.settle(ctx, backoff.Name, subject, func(q *query, key string) error {
		_, err := q.exec(`DELETE FROM rate_limits WHERE org_id = $1 AND subject = $2`, q.org, key)
		return err
	})
}

// Tally runs count, in which several limits are taken or given back, as one transaction: one wait for the disk instead of several.
// A limit that is reached ends it as an error, and leaves what was taken before taken. Callers take limits in one order, or they
// would wait for one another.
func (db *DB) Tally(ctx context.Context, count func(ctx context.Context) error) error {
	if db.transactionOf(ctx) != nil {
		return errCounted
	}
	var exceeded *throttle.Exceeded
	err := db.InTx(context.WithValue(ctx, tallyKey{}, true), func(ctx context.Context) error {
		exceeded = nil
		err := count(ctx)
		if errors.As(err, &exceeded) {
			return nil
		}
		return err
	})
	if err == nil && exceeded != nil {
		return exceeded
	}
	return err
}

type tallyKey struct{}

// count runs the one statement by which a limit is used, and finds out how long to wait when there was no room: until the rest
// of what is there is no more than slack.
func (db *DB) count(ctx context.Context, name, subject string, slack int64, take func(q *query, key string, now int64) (int64, error)) error {
	var taken int64
	err := db.settle(ctx, name, subject, func(q *query, key string) (err error) {
		taken, err = take(q, key, q.now.UnixMicro())
		return err
	})
	if err != nil {
		return unknown(err)
	}
	if taken > 0 {
		return nil
	}
	exceeded := &throttle.Exceeded{Name: name}
	err = db.scoped(ctx, reading, "read "+name, func(q *query) error {
		var until int64
		err := q.row(`SELECT busy_until FROM rate_limits WHERE org_id = $1 AND subject = $2`, q.org, db.counted(q, name, subject)).Scan(&until)
		if errors.Is(err, sql.ErrNoRows) {
			return nil // given back, or purged, this very moment
		}
		exceeded.RetryAfter = max(0, time.Duration(until-slack-q.now.UnixMicro())*time.Microsecond)
		return err
	})
	if err != nil {
		return unknown(err)
	}
	return exceeded
}

// unknown makes sure of what is said when a limit could not be counted, for whatever reason: that nothing is known (503).
func unknown(err error) error {
	if ours(err) || errors.Is(err, errCounted) || errors.Is(err, context.Canceled) {
		return err
	}
	return &unavailable{cause: err}
}

func (db *DB) settle(ctx context.Context, name, subject string, change func(q *query, key string) error) error {
	if tally, _ := ctx.Value(tallyKey{}).(bool); db.transactionOf(ctx) != nil && !tally {
		return fmt.Errorf("%s: %w", name, errCounted)
	}
	return db.scoped(ctx, writing, "count "+name, func(q *query) error { return change(q, db.counted(q, name, subject)) })
}

// counted is what the table holds of a subject: a keyed digest, for people type all kinds of things where a name is asked for.
func (db *DB) counted(q *query, name, subject string) string {
	return name + ":" + db.ring.MAC("rate limit", q.org.String(), name, subject)
}
