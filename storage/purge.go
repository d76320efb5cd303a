package storage

import (
	"context"
	"fmt"
	"time"
)

// How long rows are kept after they have expired.
const (
	// keepCodes is how long the second use of a code is told from a guess (RFC 6749 §4.1.2).
	keepCodes = 10 * time.Minute
	// keepGrants outlasts every access token that was given at the very end of a family.
	keepGrants = 24 * time.Hour
	// keepPAR outlasts the pages of a request whose browser came in time: it is spent when they end.
	keepPAR = 20 * time.Minute
	// keepSessions and keepVerificationTokens let people see what was there.
	keepSessions           = 24 * time.Hour
	keepVerificationTokens = 24 * time.Hour
	// keepAnswers outlasts every window in which a spent refresh token is answered again.
	keepAnswers = 10 * time.Minute
	// keepMail is for the mailbox of development, and for whoever asks whether a mail has left.
	keepMail = 24 * time.Hour
	// keepAbandonedMail lets an operator see what was never delivered, and try again.
	keepAbandonedMail = 30 * 24 * time.Hour
	// keepChallenges outlasts clocks that are a little off: a challenge must not be forgotten while it is still taken.
	keepChallenges = time.Minute
	// keepJTIs outlasts the clocks that are a little off.
	keepJTIs = time.Minute
	// keepRegistrationTokens lets an operator see what was there.
	keepRegistrationTokens = 24 * time.Hour
	// keepLimits outlasts a clock that is set forward and back again.
	keepLimits = time.Hour
)

// expiring names the tables that rows expire in, their keys, and how long they are kept beyond it. Refresh tokens end with
// their grant.
var expiring = []struct {
	table, key string
	keep       time.Duration
}{
	{"oauth_codes", "digest", keepCodes},
	{"oauth_access_tokens", "digest", 0},
	{"interactions", "digest", 0},
	{"oauth_par", "digest", keepPAR},
	{"registration_tokens", "id", keepRegistrationTokens},
	{"oauth_jtis", "org_id, client_id, jti_digest", keepJTIs},
	{"verification_tokens", "id", keepVerificationTokens},
	{"sessions", "id", keepSessions},
	{"session_clients", "session_id, client_id", 0},
	{"sign_ins", "digest", 0},
	{"upstream_requests", "digest", 0},
	{"spent_challenges", "org_id, digest", keepChallenges},
	{"oauth_grants", "id", keepGrants},
	{"rate_limits", "org_id, subject", keepLimits},
	{"devices", "id", 0},
	{"idempotency_keys", "digest", 0},
}

const defaultBatch = 500

// Purge deletes what expired before now, for every organization, and returns how many rows that were. It goes in batches,
// each a short transaction of its own, so that nobody waits for it long; replicas that purge at once pass over one another's
// rows. What ctx leaves no time for is left to the next time.
func (db *DB) Purge(ctx context.Context, now time.Time, batch int) (deleted int64, err error) {
	if batch <= 0 {
		batch = defaultBatch
	}
	all := func(table, key, column string, before time.Time) error {
		for {
			n, err := db.purge(ctx, table, key, column, before, batch)
			deleted += n
			if err != nil || n < int64(batch) {
				return err
			}
		}
	}
	for _, e := range expiring {
		if err := all(e.table, e.key, "expires_at", now.Add(-e.keep)); err != nil {
			return deleted, err
		}
	}
	if err := all("outbox", "id", "delivered_at", now.Add(-keepMail)); err != nil {
		return deleted, err
	}
	if err := all("outbox", "id", "abandoned_at", now.Add(-keepAbandonedMail)); err != nil {
		return deleted, err
	}
	for {
		n, err := db.forgetAnswers(ctx, now.Add(-keepAnswers), batch)
		if err != nil {
			return deleted, err
		}
		if n < int64(batch) {
			return deleted, nil
		}
	}
}

func (db *DB) purge(ctx context.Context, table, key, column string, before time.Time, batch int) (n int64, err error) {
	err = db.everywhere(ctx, writing, "purge "+table, func(q *query) error {
		n, err = q.exec(fmt.Sprintf(`DELETE FROM %s WHERE (%s) IN (SELECT %s FROM %s WHERE %s < $1
			ORDER BY %s LIMIT $2%s)`, table, key, key, table, column, column, db.skipLocked()), before, batch)
		return err
	})
	return n, err
}

func (db *DB) forgetAnswers(ctx context.Context, before time.Time, batch int) (n int64, err error) {
	err = db.everywhere(ctx, writing, "purge answers", func(q *query) error {
		n, err = q.exec(fmt.Sprintf(`UPDATE oauth_refresh_tokens SET answer = NULL WHERE digest IN (SELECT digest
			FROM oauth_refresh_tokens WHERE spent_at < $1 AND answer IS NOT NULL ORDER BY spent_at LIMIT $2%s)`, db.skipLocked()),
			before, batch)
		return err
	})
	return n, err
}

// skipLocked passes over rows that another replica is about to delete. SQLite has one writer at a time and needs none.
func (db *DB) skipLocked() string {
	if db.writer != db.reader {
		return ""
	}
	return " FOR UPDATE SKIP LOCKED"
}
