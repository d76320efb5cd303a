package storage

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/mail"
)

// Mail is a message in the outbox: something to be delivered after the transaction that asked for it.
type Mail struct {
	ID     uuid.UUID
	OrgID  uuid.UUID
	UserID *uuid.UUID // whom it is to; nil for somebody who is no person of the organization yet
	// Message is nil once it has been delivered and forgotten.
	Message *mail.Message
	// Attempts counts how often somebody began to deliver it.
	Attempts      int
	NextAttemptAt time.Time
	// ClaimedUntil keeps everybody else from delivering it.
	ClaimedUntil *time.Time
	DeliveredAt  *time.Time
	AbandonedAt  *time.Time
	LastError    string
	CreatedAt    time.Time
}

// outboxMail is the kind of these rows. Other kinds may come to stand beside them.
const outboxMail = "mail"

// maxLastError bounds what is kept of what a mail server said, in characters.
const maxLastError = 500

// mailColumns are what readMail reads.
const mailColumns = `id, org_id, user_id, payload, attempts, next_attempt_at, claimed_until, delivered_at, abandoned_at, last_error, created_at`

// EnqueueMail puts a message into the outbox, sealed. It joins the transaction that the context is in, and so is sent if and only
// if that is committed. userID is whom it is to, or nil.
func (db *DB) EnqueueMail(ctx context.Context, userID *uuid.UUID, message *mail.Message) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		err := db.scoped(ctx, writing, "enqueue mail", func(q *query) error {
			if userID != nil {
				if err := q.of(&User{}).Where("id = ?", *userID).Select("id").Take(&User{}).Error; err != nil {
					return err
				}
			}
			id := uuid.New()
			plain, err := json.Marshal(message)
			if err != nil {
				return err
			}
			sealed, err := q.cell("outbox", "payload", id.String()).seal(plain)
			if err != nil {
				return err
			}
			_, err = q.exec(`INSERT INTO outbox (id, org_id, user_id, kind, payload, next_attempt_at, created_at)
				VALUES ($1, $2, $3, $4, $5, $6, $7)`, id, q.org, userID, outboxMail, sealed, q.now, q.now)
			return err
		})
		if err == nil {
			db.transactionOf(ctx).mailed = true
		}
		return err
	})
}

// Mailed is told when this process has committed mail to the outbox, so that it need not wait for its turn. It has one listener.
func (db *DB) Mailed() <-chan struct{} { return db.mailed }

// ofOrganizationsThatAct holds of rows whose organization is neither suspended nor deleted.
const ofOrganizationsThatAct = `EXISTS (SELECT 1 FROM organizations o WHERE o.id = outbox.org_id AND o.suspended_at IS NULL AND o.deleted_at IS NULL)`

// ClaimMail returns mail that is due, the oldest first, for the caller alone to deliver until then. What is neither delivered,
// nor put off, nor given up by then is claimed again by somebody. That of a suspended organization waits.
func (db *DB) ClaimMail(ctx context.Context, until time.Time, most int) ([]Mail, error) {
	var claimed []Mail
	err := db.InTx(ctx, func(ctx context.Context) error {
		return db.everywhere(ctx, writing, "claim mail", func(q *query) (err error) {
			claimed, err = q.readMail(`WITH due AS (SELECT id FROM outbox WHERE kind = $1 AND delivered_at IS NULL AND abandoned_at IS NULL
					AND next_attempt_at <= $2 AND (claimed_until IS NULL OR claimed_until <= $3) AND `+ofOrganizationsThatAct+`
					ORDER BY created_at, id LIMIT $4`+db.skipLocked()+`)
				UPDATE outbox SET claimed_until = $5, attempts = attempts + 1 WHERE id IN (SELECT id FROM due) RETURNING `+mailColumns,
				outboxMail, q.now, q.now, most, until)
			return err
		})
	})
	slices.SortFunc(claimed, func(a, b Mail) int {
		if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID.String(), b.ID.String())
	})
	return claimed, err
}

// MailDelivered writes down that a message has left, whoever has it claimed meanwhile: what has left is not sent again. Unless it
// is kept, what stood in it is gone with that, for it may hold links.
func (db *DB) MailDelivered(ctx context.Context, id uuid.UUID, keep bool) error {
	return db.everywhere(ctx, writing, "write down that mail was delivered", func(q *query) error {
		forget := `, payload = ` + emptyPayload(db)
		if keep {
			forget = ""
		}
		return q.spend(`UPDATE outbox SET delivered_at = $1, claimed_until = NULL, last_error = NULL`+forget+`
			WHERE id = $2 AND delivered_at IS NULL`, q.now, id)
	})
}

func emptyPayload(db *DB) string {
	if db.Dialect() == "postgres" {
		return `''::bytea`
	}
	return `x''`
}

// PostponeMail puts off a message that could not be delivered. ErrSpent: somebody else has it by now.
func (db *DB) PostponeMail(ctx context.Context, m *Mail, next time.Time, cause string) error {
	return db.everywhere(ctx, writing, "put off mail", func(q *query) error {
		return q.spend(`UPDATE outbox SET next_attempt_at = $1, claimed_until = NULL, last_error = $2
			WHERE id = $3 AND delivered_at IS NULL AND claimed_until = $4`, next, orNull(oneLine(cause)), m.ID, m.ClaimedUntil)
	})
}

// ReleaseMail gives back a message that was claimed and not tried, perhaps with the reason why. ErrSpent: somebody else has it by
// now.
func (db *DB) ReleaseMail(ctx context.Context, m *Mail, cause string) error {
	return db.everywhere(ctx, writing, "give back mail", func(q *query) error {
		return q.spend(`UPDATE outbox SET claimed_until = NULL, attempts = attempts - 1, last_error = COALESCE($1, last_error)
			WHERE id = $2 AND delivered_at IS NULL AND claimed_until = $3`, orNull(oneLine(cause)), m.ID, m.ClaimedUntil)
	})
}

// AbandonMail gives up a message of the organization. It is kept for whoever looks after the installation. ErrSpent: somebody
// else has it by now.
func (db *DB) AbandonMail(ctx context.Context, m *Mail, cause string) error {
	return db.scoped(ctx, writing, "give up mail", func(q *query) error {
		return q.spend(`UPDATE outbox SET abandoned_at = $1, claimed_until = NULL, last_error = $2
			WHERE id = $3 AND org_id = $4 AND delivered_at IS NULL AND abandoned_at IS NULL AND claimed_until = $5`,
			q.now, orNull(oneLine(cause)), m.ID, q.org, m.ClaimedUntil)
	})
}

// RetryMail makes a message that waits or was given up due at once, as if it had never been tried. What was delivered, or never
// was, is ErrNotFound.
func (db *DB) RetryMail(ctx context.Context, id uuid.UUID) error {
	return db.everywhere(ctx, writing, "retry mail", func(q *query) error {
		return one(ErrNotFound)(q.exec(`UPDATE outbox SET next_attempt_at = $1, abandoned_at = NULL, attempts = 0
			WHERE id = $2 AND kind = $3 AND delivered_at IS NULL`, q.now, id, outboxMail))
	})
}

// MailState is which messages are asked for.
type MailState string

// The states of a message.
const (
	MailWaiting     MailState = "waiting"
	MailAbandoned   MailState = "abandoned"
	MailUndelivered MailState = "undelivered" // either
	MailAll         MailState = "all"
)

// ListMail returns messages of every organization, newest first, those before a given one; the zero Mail comes after all. One
// whose content does not open is there without it.
func (db *DB) ListMail(ctx context.Context, state MailState, before Mail, limit int) ([]Mail, error) {
	var found []Mail
	err := db.everywhere(ctx, reading, "list mail", func(q *query) (err error) {
		which := map[MailState]string{
			MailWaiting: ` AND delivered_at IS NULL AND abandoned_at IS NULL`, MailAbandoned: ` AND abandoned_at IS NOT NULL`,
			MailUndelivered: ` AND delivered_at IS NULL`,
		}[state]
		args := []any{outboxMail}
		if before.ID != uuid.Nil {
			which += ` AND (created_at < $2 OR created_at = $3 AND id < $4)`
			args = append(args, before.CreatedAt, before.CreatedAt, before.ID)
		}
		found, err = q.readMail(`SELECT `+mailColumns+` FROM outbox WHERE kind = $1`+which+
			fmt.Sprintf(` ORDER BY created_at DESC, id DESC LIMIT %d`, limited(limit)), args...)
		return err
	})
	return found, err
}

// MailByID returns a message of whichever organization.
func (db *DB) MailByID(ctx context.Context, id uuid.UUID) (*Mail, error) {
	var found []Mail
	err := db.everywhere(ctx, reading, "read mail", func(q *query) (err error) {
		found, err = q.readMail(`SELECT `+mailColumns+` FROM outbox WHERE kind = $1 AND id = $2`, outboxMail, id)
		if err == nil && len(found) == 0 {
			err = ErrNotFound
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &found[0], nil
}

// readMail runs a statement that yields mailColumns and opens what it yields. A message that does not open (its master key is no
// longer there, or somebody put it there from elsewhere) must not keep the others back: it comes without content.
func (q *query) readMail(statement string, args ...any) ([]Mail, error) {
	rows, err := q.pool.QueryContext(q.ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Mail
	for rows.Next() {
		var m Mail
		var sealed []byte
		err := rows.Scan(&m.ID, &m.OrgID, &m.UserID, &sealed, &m.Attempts, &m.NextAttemptAt, &m.ClaimedUntil, &m.DeliveredAt,
			&m.AbandonedAt, maybe[string]{&m.LastError}, &m.CreatedAt)
		if err != nil {
			return nil, err
		}
		if err := m.open(q.db, sealed); err != nil {
			m.Message, m.LastError = nil, err.Error()
		}
		all = append(all, m)
	}
	return all, rows.Err()
}

// open fills in what was sealed.
func (m *Mail) open(db *DB, sealed []byte) error {
	if len(sealed) == 0 {
		return nil // forgotten
	}
	q := &query{db: db, org: m.OrgID}
	plain, err := q.cell("outbox", "payload", m.ID.String()).open(sealed)
	if err != nil {
		return err
	}
	m.Message = new(mail.Message)
	return json.Unmarshal(plain, m.Message)
}

// oneLine is what is kept of what a mail server said.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if runes := []rune(text); len(runes) > maxLastError {
		return string(runes[:maxLastError]) + "…"
	}
	return text
}
