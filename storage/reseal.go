package storage

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/migrations"
)

// Sealed values carry the id of the master key that they were sealed under. What is sealed under an older one is opened and sealed anew
// under the current one, row by row, so that the older one is needed no more. Whoever reads a row meanwhile opens it with either.

// sealedColumn is a column whose values are cells. A test finds in the source whatever is sealed, and holds this list to it.
type sealedColumn struct {
	table, column string
	// key are the columns by which the cell names the row, the first of them the primary key.
	key []string
	// text says that the value is base64 in a column of text.
	text bool
	// until is the column that says until when somebody compares the value with what they have read, and it has to stay; if there is one.
	until string
}

var sealedColumns = []sealedColumn{
	{table: "signing_keys", column: "private_jwk", key: []string{"id"}},
	{table: "audit_chains", column: "sealed_key", key: []string{"org_id"}},
	{table: "pairwise_salts", column: "salt", key: []string{"org_id"}},
	{table: "authenticators", column: "secret", key: []string{"id", "user_id"}},
	{table: "passkeys", column: "record", key: []string{"id", "user_id", "credential_id"}},
	{table: "oauth_clients", column: "sealed_secrets", key: []string{"id"}},
	{table: "oauth_providers", column: "client_secret", key: []string{"id"}, text: true},
	{table: "oauth_accounts", column: "access_token", key: []string{"id"}, text: true},
	{table: "oauth_accounts", column: "refresh_token", key: []string{"id"}, text: true, until: "renewing_until"},
	{table: "oauth_accounts", column: "claim_sources", key: []string{"id"}, text: true},
	{table: "upstream_requests", column: "data", key: []string{"digest", "browser_digest"}},
	{table: "outbox", column: "payload", key: []string{"id"}},
	{table: "idempotency_keys", column: "answer", key: []string{"digest"}},
	{table: "oauth_refresh_tokens", column: "answer", key: []string{"digest"}},
}

// Resealed is what came of sealing values anew.
type Resealed struct {
	// Column is where they stand.
	Column string
	// Done is how many were sealed anew, Stuck how many open under no key that there is, and First what is wrong with the first of these.
	Done, Stuck int64
	First       error
	// busy is how many have to stay for a moment.
	busy int64
}

const (
	// resealBatch is how many rows are sealed anew in one transaction.
	resealBatch = 100
	// resealPasses is how often a column is gone through: somebody who has read a value before may write it back after.
	resealPasses = 5
	// resealPause is how long it is waited for those who need a value as it is. They are done within a minute.
	resealPause = 500 * time.Millisecond
)

// Reseal seals anew whatever is sealed under an older master key than the current one, batch by batch. It may be interrupted and called
// again. Links are VerificationTokens, of which whoever made them knows how they are sealed: see ResealVerificationTokens.
func (db *DB) Reseal(ctx context.Context) ([]Resealed, error) {
	all := make([]Resealed, len(sealedColumns))
	for i, c := range sealedColumns {
		all[i].Column = c.table + "." + c.column
		for pass := 0; ; pass++ {
			before := all[i].Done
			all[i].Stuck, all[i].busy = 0, 0
			for after := ""; ; {
				last, n, err := db.resealPage(ctx, c, after, &all[i])
				if err != nil {
					return all, fmt.Errorf("seal %s anew: %w", all[i].Column, err)
				}
				if n < resealBatch {
					break
				}
				after = last
			}
			if all[i].busy > 0 {
				if err := waited(ctx, resealPause); err != nil {
					return all, fmt.Errorf("seal %s anew: %w", all[i].Column, err)
				}
				pass--
				continue
			}
			if all[i].Done == before {
				break
			}
			if pass == resealPasses {
				return all, fmt.Errorf("seal %s anew: %w: values are sealed under an older key still", all[i].Column, ErrConflict)
			}
		}
	}
	return all, nil
}

func waited(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// resealPage seals anew what there is in the first rows behind one, and returns the last of them and how many there were.
func (db *DB) resealPage(ctx context.Context, c sealedColumn, after string, into *Resealed) (last string, n int, err error) {
	var found Resealed
	err = db.InTx(ctx, func(ctx context.Context) error {
		return db.everywhere(ctx, writing, "seal anew", func(q *query) error {
			found, last, n = Resealed{}, "", 0 // it may be run again
			rows, err := q.sealedUnderOther(c, after)
			if err != nil {
				return err
			}
			n = len(rows)
			for _, row := range rows {
				last = row.key[0]
				if row.until != nil && row.until.After(q.now) {
					found.busy++
					continue
				}
				of := cell{db.ring, []string{row.org.String(), c.table, c.column, strings.Join(row.key, " ")}}
				switch again, err := c.again(of, row.value); {
				case errors.Is(err, seal.ErrOpen):
					if found.Stuck++; found.First == nil {
						found.First = err
					}
				case err != nil:
					return err
				default:
					if _, err := q.exec(fmt.Sprintf(`UPDATE %s SET %s = $1 WHERE %s = $2`, c.table, c.column, c.key[0]), again, row.key[0]); err != nil {
						return err
					}
					found.Done++
				}
			}
			return nil
		})
	})
	if err != nil {
		return "", 0, err
	}
	into.Done, into.Stuck, into.busy = into.Done+found.Done, into.Stuck+found.Stuck, into.busy+found.busy
	if into.First == nil {
		into.First = found.First
	}
	return last, n, nil
}

// sealedRow is a value that is sealed under another key than the current one.
type sealedRow struct {
	org   uuid.UUID
	key   []string
	value []byte
	until *time.Time
}

// sealedUnderOther reads some of them, in the order of their keys, and keeps others from changing them until the transaction ends.
func (q *query) sealedUnderOther(c sealedColumn, after string) (all []sealedRow, err error) {
	mark := q.db.ring.Mark()
	var begins any = mark
	size := len(mark)
	if c.text {
		begins = base64.RawStdEncoding.EncodeToString(mark)
		size = base64.RawStdEncoding.EncodedLen(size)
	}
	args := []any{begins}
	beyond := ""
	if after != "" {
		beyond = " AND " + c.key[0] + " > $2"
		args = append(args, after)
	}
	until := "NULL"
	if c.until != "" {
		until = c.until
	}
	statement := fmt.Sprintf(`SELECT org_id, %[1]s, %[2]s, %[8]s FROM %[3]s WHERE %[2]s IS NOT NULL AND length(%[2]s) > 0 AND substr(%[2]s, 1, %[4]d) <> $1%[5]s
		ORDER BY %[6]s LIMIT %[7]d`, strings.Join(c.key, ", "), c.column, c.table, size, beyond, c.key[0], resealBatch, until)
	if q.db.dialect == migrations.Postgres {
		statement += " FOR UPDATE"
	}
	rows, err := q.pool.QueryContext(q.ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		row := sealedRow{key: make([]string, len(c.key))}
		into := []any{&row.org}
		for i := range row.key {
			into = append(into, &row.key[i])
		}
		if err := rows.Scan(append(into, &row.value, &row.until)...); err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

// again seals a value anew.
func (c sealedColumn) again(of cell, value []byte) (any, error) {
	if c.text {
		plain, err := of.openText(string(value))
		if err != nil {
			return nil, err
		}
		return of.sealText(plain)
	}
	plain, err := of.open(value)
	if err != nil {
		return nil, err
	}
	return of.seal(plain)
}

// ResealVerificationTokens has again make the data of every token anew, of which it is told the digest; nil is that it stays.
func (db *DB) ResealVerificationTokens(ctx context.Context, again func(token string, data []byte) ([]byte, error)) (Resealed, error) {
	all := Resealed{Column: "verification_tokens.data"}
	for after := uuid.Nil; ; {
		last, n, err := db.resealTokens(ctx, after, again, &all)
		if err != nil {
			return all, fmt.Errorf("seal %s anew: %w", all.Column, err)
		}
		if n < resealBatch {
			return all, nil
		}
		after = last
	}
}

func (db *DB) resealTokens(
	ctx context.Context, after uuid.UUID, again func(string, []byte) ([]byte, error), into *Resealed,
) (last uuid.UUID, n int, err error) {
	var found Resealed
	err = db.InTx(ctx, func(ctx context.Context) error {
		return db.everywhere(ctx, writing, "seal links anew", func(q *query) error {
			found, last, n = Resealed{}, after, 0
			tokens, err := q.tokensAfter(after)
			if err != nil {
				return err
			}
			n = len(tokens)
			for i := range tokens {
				last = tokens[i].ID
				switch data, err := again(tokens[i].Token, tokens[i].Data); {
				case errors.Is(err, seal.ErrOpen):
					if found.Stuck++; found.First == nil {
						found.First = err
					}
				case err != nil:
					return err
				case data != nil:
					if _, err := q.exec(`UPDATE verification_tokens SET data = $1 WHERE id = $2`, documented(data), last); err != nil {
						return err
					}
					found.Done++
				}
			}
			return nil
		})
	})
	if err != nil {
		return last, 0, err
	}
	into.Done, into.Stuck = into.Done+found.Done, into.Stuck+found.Stuck
	if into.First == nil {
		into.First = found.First
	}
	return last, n, nil
}

func (q *query) tokensAfter(after uuid.UUID) (tokens []VerificationToken, err error) {
	statement := fmt.Sprintf(`SELECT %s FROM verification_tokens WHERE id > $1 AND data IS NOT NULL ORDER BY id LIMIT %d`, verificationColumns, resealBatch)
	if q.db.dialect == migrations.Postgres {
		statement += " FOR UPDATE"
	}
	rows, err := q.pool.QueryContext(q.ctx, statement, after)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var token VerificationToken
		if err := rows.Scan(token.scan()...); err != nil {
			return nil, err
		}
		tokens = append(tokens, token)
	}
	return tokens, rows.Err()
}

// ResealInstance says that everything is sealed under the current master key: from now on a process that lacks it does not start. It
// reports whether that was not so before.
func (db *DB) ResealInstance(ctx context.Context) (changed bool, err error) {
	err = db.InTx(ctx, func(ctx context.Context) error {
		return db.everywhere(ctx, writing, "seal the canary anew", func(q *query) error {
			changed = false
			of := q.cell("instance", "canary", "1")
			var sealed []byte
			if err := q.row(`SELECT canary FROM instance WHERE id = 1` + q.db.forUpdate()).Scan(&sealed); err != nil {
				return err
			}
			plain, err := of.open(sealed)
			if err != nil {
				return err
			}
			if db.ring.Current(sealed) {
				return nil
			}
			again, err := of.seal(plain)
			if err != nil {
				return err
			}
			changed = true
			_, err = q.exec(`UPDATE instance SET canary = $1 WHERE id = 1`, again)
			return err
		})
	})
	return changed, err
}
