package storage

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Passkey is a credential of the Web Authentication API. CredentialID is what the authenticator calls it, in base64url; there
// is one of a name in an organization.
type Passkey struct {
	ID uuid.UUID
	Owned
	UserID       uuid.UUID
	CredentialID string
	Name         string
	// Record is the credential as it is verified by. The row holds it sealed, so that whoever can write to the database cannot put
	// a key of theirs in its place.
	Record []byte
	// SignCount is the authenticator's own count at its last use; some have none, and say 0 always.
	SignCount int64
	BackedUp  bool
	// ClonedAt is when it was seen that there are two of it.
	ClonedAt   *time.Time
	CreatedAt  time.Time
	LastUsedAt *time.Time
}

const passkeyColumns = `id, user_id, credential_id, name, record, sign_count, backed_up, cloned_at, created_at, last_used_at` //nolint:gosec // names of columns

func (p *Passkey) read(q *query, scan func(...any) error) error {
	var sealed []byte
	*p = Passkey{Owned: Owned{q.org}}
	err := scan(&p.ID, &p.UserID, &p.CredentialID, &p.Name, &sealed, &p.SignCount, &p.BackedUp, &p.ClonedAt, &p.CreatedAt, &p.LastUsedAt)
	if err != nil {
		return err
	}
	p.Record, err = p.cell(q).open(sealed)
	return err
}

func (p *Passkey) cell(q *query) cell {
	return q.cell("passkeys", "record", p.ID.String()+" "+p.UserID.String()+" "+p.CredentialID)
}

// CreatePasskey gives a person of the organization a passkey. One that is known already, whosesoever it is, is ErrConflict.
func (db *DB) CreatePasskey(ctx context.Context, p *Passkey) error {
	return db.scoped(ctx, writing, "create passkey", func(q *query) error {
		if err := p.own(q.org); err != nil {
			return err
		}
		identify(&p.ID)
		date(&p.CreatedAt, q.now)
		sealed, err := p.cell(q).seal(p.Record)
		if err != nil {
			return err
		}
		return one(ErrNotFound)(q.exec(`INSERT INTO passkeys (id, org_id, user_id, credential_id, name, record, sign_count, backed_up, created_at)
			SELECT $1, u.org_id, u.id, $2, $3, $4, $5, $6, $7 FROM users u WHERE u.id = $8 AND u.org_id = $9`,
			p.ID, p.CredentialID, p.Name, sealed, p.SignCount, p.BackedUp, p.CreatedAt, p.UserID, q.org))
	})
}

// PasskeysOf returns the passkeys of a person, the oldest first.
func (db *DB) PasskeysOf(ctx context.Context, userID uuid.UUID) ([]Passkey, error) {
	var keys []Passkey
	err := db.scoped(ctx, reading, "list passkeys", func(q *query) error {
		keys = nil
		rows, err := q.pool.QueryContext(q.ctx, `SELECT `+passkeyColumns+` FROM passkeys WHERE user_id = $1 AND org_id = $2
			ORDER BY created_at, id`, userID, q.org)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var key Passkey
			if err := key.read(q, rows.Scan); err != nil {
				return err
			}
			keys = append(keys, key)
		}
		return rows.Err()
	})
	return keys, err
}

// CountPasskeys returns how many passkeys the people of the organization have.
func (db *DB) CountPasskeys(ctx context.Context) (n int, err error) {
	err = db.scoped(ctx, reading, "count passkeys", func(q *query) error {
		return q.row(`SELECT count(*) FROM passkeys WHERE org_id = $1`, q.org).Scan(&n)
	})
	return n, err
}

// PasskeyByCredential returns the passkey that an authenticator calls so.
func (db *DB) PasskeyByCredential(ctx context.Context, credentialID string) (*Passkey, error) {
	var key Passkey
	err := db.scoped(ctx, reading, "read passkey", func(q *query) error {
		return key.read(q, q.row(`SELECT `+passkeyColumns+` FROM passkeys WHERE credential_id = $1 AND org_id = $2`, credentialID, q.org).Scan)
	})
	if err != nil {
		return nil, err
	}
	return &key, nil
}

// UsePasskey notes a use: what the authenticator says of itself now. It goes by the count that was read, so that of two uses
// with the same count one is late: ErrSpent.
func (db *DB) UsePasskey(ctx context.Context, p *Passkey, count int64, backedUp bool, record []byte) error {
	return db.scoped(ctx, writing, "use passkey", func(q *query) error {
		sealed, err := p.cell(q).seal(record)
		if err != nil {
			return err
		}
		return q.spend(`UPDATE passkeys SET sign_count = $1, backed_up = $2, record = $3, last_used_at = $4
			WHERE id = $5 AND org_id = $6 AND sign_count = $7 AND cloned_at IS NULL`, count, backedUp, sealed, q.now, p.ID, q.org, p.SignCount)
	})
}

// MarkPasskeyCloned notes that there are two of a passkey. It is not taken any more from then on.
func (db *DB) MarkPasskeyCloned(ctx context.Context, id uuid.UUID) error {
	return db.scoped(ctx, writing, "mark passkey as cloned", func(q *query) error {
		return one(ErrNotFound)(q.exec(`UPDATE passkeys SET cloned_at = $1 WHERE id = $2 AND org_id = $3 AND cloned_at IS NULL`, q.now, id, q.org))
	})
}

// RenamePasskey gives a person's passkey another name.
func (db *DB) RenamePasskey(ctx context.Context, userID, id uuid.UUID, name string) error {
	return db.scoped(ctx, writing, "rename passkey", func(q *query) error {
		return one(ErrNotFound)(q.exec(`UPDATE passkeys SET name = $1 WHERE id = $2 AND user_id = $3 AND org_id = $4`, name, id, userID, q.org))
	})
}

// DeletePasskey takes a passkey from a person.
func (db *DB) DeletePasskey(ctx context.Context, userID, id uuid.UUID) error {
	return db.scoped(ctx, writing, "delete passkey", func(q *query) error {
		return one(ErrNotFound)(q.exec(`DELETE FROM passkeys WHERE id = $1 AND user_id = $2 AND org_id = $3`, id, userID, q.org))
	})
}
