package storage

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// SessionClient is a client that a person was signed in to in a session, and that is to hear of the session's end.
type SessionClient struct {
	SessionID uuid.UUID
	ClientID  string
	OrgID     uuid.UUID
	UserID    uuid.UUID
	// ExpiresAt is when nobody cares any more: some time after the absolute end of the session.
	ExpiresAt time.Time
	// Attempts counts how often somebody began to tell the client.
	Attempts int
	// ClaimedUntil keeps everybody else from telling it.
	ClaimedUntil *time.Time
}

// NoteSessionClient remembers that a person was signed in to a client in a session. It does not matter how often it is said; nor that the
// session has ended, of which there is nobody to be told then.
func (db *DB) NoteSessionClient(ctx context.Context, s *SessionClient) error {
	return db.scoped(ctx, writing, "note client of session", func(q *query) error {
		_, err := q.exec(`INSERT INTO session_clients (session_id, client_id, org_id, user_id, created_at, expires_at)
			SELECT s.id, $1, s.org_id, s.user_id, $2, $3 FROM sessions s WHERE s.id = $4 AND s.org_id = $5 AND s.is_valid = TRUE
			ON CONFLICT (session_id, client_id) DO NOTHING`, s.ClientID, q.now, s.ExpiresAt, s.SessionID, q.org)
		return err
	})
}

// ClientsOfSession returns the clients that are to hear of the end of a session that has not ended, without those that are switched off.
func (db *DB) ClientsOfSession(ctx context.Context, sessionID uuid.UUID) ([]Client, error) {
	var clients []Client
	err := db.scoped(ctx, reading, "list clients of session", func(q *query) error {
		return q.of(&Client{}).Where(`disabled = FALSE AND client_id IN (SELECT s.client_id FROM session_clients s
			WHERE s.session_id = ? AND s.org_id = ? AND s.ended_at IS NULL)`, sessionID, q.org).Order("client_id").Find(&clients).Error
	})
	return clients, err
}

// tellClients makes it due that the clients of sessions are told of their end. condition says which sessions, of the table session_clients,
// with arguments from $4 on. It is part of the transaction that ends them.
func (q *query) tellClients(condition string, arguments ...any) error {
	n, err := q.exec(`UPDATE session_clients SET ended_at = $1, next_attempt_at = $2 WHERE org_id = $3 AND ended_at IS NULL AND `+condition,
		append([]any{q.now, q.now, q.org}, arguments...)...)
	if err == nil && n > 0 {
		q.db.transactionOf(q.ctx).loggedOut = true
	}
	return err
}

// LoggedOut is told when this process has ended sessions whose clients are to hear of it. It has one listener.
func (db *DB) LoggedOut() <-chan struct{} { return db.loggedOut }

// ClaimLogouts returns clients that are to be told of the end of a session, for the caller alone to tell until then. Who is neither
// told, nor put off, nor given up by then is claimed again by somebody. Those of a suspended organization wait.
func (db *DB) ClaimLogouts(ctx context.Context, until time.Time, most int) ([]SessionClient, error) {
	var claimed []SessionClient
	err := db.InTx(ctx, func(ctx context.Context) error {
		return db.everywhere(ctx, writing, "claim logouts", func(q *query) error {
			claimed = nil
			rows, err := q.pool.QueryContext(q.ctx, `WITH due AS (SELECT session_id, client_id FROM session_clients
					WHERE next_attempt_at <= $1 AND (claimed_until IS NULL OR claimed_until <= $2)
					AND EXISTS (SELECT 1 FROM organizations o WHERE o.id = session_clients.org_id AND o.suspended_at IS NULL AND o.deleted_at IS NULL)
					ORDER BY next_attempt_at LIMIT $3`+db.skipLocked()+`)
				UPDATE session_clients SET claimed_until = $4, attempts = attempts + 1
				WHERE (session_id, client_id) IN (SELECT session_id, client_id FROM due)
				RETURNING session_id, client_id, org_id, user_id, expires_at, attempts, claimed_until`, q.now, q.now, most, until)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var s SessionClient
				if err := rows.Scan(&s.SessionID, &s.ClientID, &s.OrgID, &s.UserID, &s.ExpiresAt, &s.Attempts, &s.ClaimedUntil); err != nil {
					return err
				}
				claimed = append(claimed, s)
			}
			return rows.Err()
		})
	})
	return claimed, err
}

// LogoutDelivered writes down that a client knows of the end of a session, or never will: nobody tells it again.
func (db *DB) LogoutDelivered(ctx context.Context, s *SessionClient) error {
	return db.scoped(ctx, writing, "write down that a client was told", func(q *query) error {
		return q.spend(`DELETE FROM session_clients WHERE session_id = $1 AND client_id = $2 AND org_id = $3 AND claimed_until = $4`,
			s.SessionID, s.ClientID, q.org, s.ClaimedUntil)
	})
}

// PostponeLogout puts off telling a client. ErrSpent: somebody else is at it by now.
func (db *DB) PostponeLogout(ctx context.Context, s *SessionClient, next time.Time, cause string) error {
	return db.scoped(ctx, writing, "put off telling a client", func(q *query) error {
		return q.spend(`UPDATE session_clients SET next_attempt_at = $1, claimed_until = NULL, last_error = $2
			WHERE session_id = $3 AND client_id = $4 AND org_id = $5 AND claimed_until = $6`,
			next, orNull(oneLine(cause)), s.SessionID, s.ClientID, q.org, s.ClaimedUntil)
	})
}
