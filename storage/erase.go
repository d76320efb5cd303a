package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// tombstone stands between the slug that a deleted organization had and its id. No slug has it.
const tombstone = "~"

// DeleteOrganization makes an organization one that is nowhere to be found, and frees its slug and its hosts, all at once. What is
// left of it EraseOrganizations takes away. One that was deleted already, or never was, is ErrNotFound; the last one that there is,
// ErrConflict. It is part of a transaction.
func (db *DB) DeleteOrganization(ctx context.Context, id uuid.UUID) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		return db.everywhere(ctx, writing, "delete organization", func(q *query) error {
			// Two who delete the last two at once would each see the other's; they wait for one another here.
			var locked int
			err := q.row(`SELECT id FROM instance WHERE id = 1` + q.db.forUpdate()).Scan(&locked)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			var others bool
			err = q.row(`SELECT EXISTS (SELECT 1 FROM organizations WHERE id <> $1 AND deleted_at IS NULL)`, id).Scan(&others)
			if err != nil {
				return err
			}
			err = one(ErrNotFound)(q.exec(`UPDATE organizations SET deleted_at = $1, updated_at = $2, slug = slug || '`+tombstone+`' || $3,
				settings = NULL, issuer_host = NULL, issuer_host_next = NULL, issuer_host_next_at = NULL, former_hosts = NULL
				WHERE id = $4 AND deleted_at IS NULL`, q.now, q.now, id.String(), id))
			if err != nil {
				return err
			}
			if !others {
				return ErrConflict
			}
			_, err = q.exec(`DELETE FROM organization_hosts WHERE org_id = $1`, id)
			return err
		})
	})
}

// forUpdate makes others wait who read the row in the same way. SQLite has one writer at a time.
func (db *DB) forUpdate() string {
	if db.writer != db.reader {
		return ""
	}
	return " FOR UPDATE"
}

// FormerSlug is what the organization is called in addresses, or was before it was deleted.
func (o *Organization) FormerSlug() string {
	slug, _, _ := strings.Cut(o.Slug, tombstone)
	return slug
}

// ListDeletedOrganizations returns organizations that were deleted, and whose audit is left, in the order of their ids, those after the
// given one; only those that had a slug, if one is named.
func (db *DB) ListDeletedOrganizations(ctx context.Context, slug string, after uuid.UUID, limit int) ([]Organization, error) {
	var orgs []Organization
	err := db.everywhere(ctx, reading, "list deleted organizations", func(q *query) error {
		g := q.of(&Organization{}).Where("deleted_at IS NOT NULL AND id > ?", after)
		if slug != "" {
			g = g.Where("slug > ? AND slug < ?", slug+tombstone, slug+tombstone+tombstone)
		}
		return g.Order("id").Limit(limited(limit)).Find(&orgs).Error
	})
	return orgs, err
}

// UnerasedOrganizations returns the deleted organizations of which there may be something left.
func (db *DB) UnerasedOrganizations(ctx context.Context, limit int) ([]Organization, error) {
	var orgs []Organization
	err := db.everywhere(ctx, reading, "list unerased organizations", func(q *query) error {
		return q.of(&Organization{}).Where("deleted_at IS NOT NULL AND erased_at IS NULL").Order("deleted_at").Limit(limited(limit)).Find(&orgs).Error
	})
	return orgs, err
}

// belongings are the tables that hold something of organizations, in an order in which no row goes before those that refer to it.
// The audit is not among them: it outlives its organization.
var belongings = []struct {
	table string
	// key finds its rows one by one. Without byOrg no index begins with the organization: those tables are walked once from one end
	// to the other, for an index that is written at every request, and read when an organization is deleted, would cost more.
	key   string
	byOrg bool
	// of finds the rows of a table that does not say itself whose they are: $ stands for the organizations.
	of string
}{
	{table: "organization_hosts", key: "org_id, host", byOrg: true},
	{table: "signing_keys", key: "id", byOrg: true},
	{table: "sign_ins", key: "digest"},
	{table: "spent_challenges", key: "org_id, digest", byOrg: true},
	{table: "interactions", key: "digest"},
	{table: "oauth_codes", key: "digest"},
	{table: "oauth_access_tokens", key: "digest"},
	{table: "oauth_refresh_tokens", key: "digest"},
	{table: "oauth_par", key: "digest"},
	{table: "oauth_jtis", key: "org_id, client_id, jti_digest", byOrg: true},
	{table: "oauth_grants", key: "id", byOrg: true},
	{table: "consents", key: "id", byOrg: true},
	{table: "session_clients", key: "session_id, client_id", byOrg: true},
	{table: "sessions", key: "id", byOrg: true},
	{table: "verification_tokens", key: "id", byOrg: true},
	{table: "outbox", key: "id"},
	{table: "idempotency_keys", key: "digest", byOrg: true},
	{table: "rate_limits", key: "org_id, subject", byOrg: true},
	{table: "logos", key: "org_id", byOrg: true},
	{table: "pairwise_salts", key: "org_id", byOrg: true},
	{table: "upstream_requests", key: "digest"},
	{table: "oauth_accounts", key: "id"},
	{table: "oauth_providers", key: "id", byOrg: true},
	{table: "oauth_client_origins", key: "org_id, origin, client", byOrg: true},
	{table: "oauth_clients", key: "id", byOrg: true},
	{table: "registration_tokens", key: "id", byOrg: true},
	{table: "passkeys", key: "id", byOrg: true},
	{table: "authenticators", key: "id"},
	{table: "recovery_codes", key: "digest"},
	{table: "devices", key: "id"},
	{table: "role_permissions", key: "role_id, permission_id", byOrg: true, of: "role_id IN (SELECT id FROM roles WHERE org_id IN ($))"},
	{table: "user_roles", key: "user_id, role_id", byOrg: true, of: "role_id IN (SELECT id FROM roles WHERE org_id IN ($))"},
	{table: "apis", key: "id", byOrg: true},
	{table: "permissions", key: "id", byOrg: true},
	{table: "roles", key: "id", byOrg: true},
	{table: "users", key: "id", byOrg: true},
}

// EraseOrganizations takes away everything that deleted organizations had, and returns how many rows that were. It goes in batches, each a
// short transaction of its own, so that nobody waits for it long. Whoever is interrupted, or meets another who does the same, begins
// again: what is gone is gone.
func (db *DB) EraseOrganizations(ctx context.Context, ids []uuid.UUID, batch int) (erased int64, err error) {
	if batch <= 0 {
		batch = defaultBatch
	}
	if len(ids) == 0 {
		return 0, nil
	}
	for _, b := range belongings {
		n, err := db.eraseAll(ctx, b.table, b.key, b.of, b.byOrg, ids, batch)
		erased += n
		if err != nil {
			return erased, err
		}
	}
	return erased, nil
}

func (db *DB) eraseAll(ctx context.Context, table, key, of string, byOrg bool, ids []uuid.UUID, batch int) (erased int64, err error) {
	for after := ""; ; {
		var n int64
		var more bool
		if byOrg {
			n, err = db.eraseOf(ctx, table, key, of, ids, batch)
			more = n == int64(batch)
		} else {
			n, after, err = db.eraseNext(ctx, table, key, after, ids, batch)
			more = after != ""
		}
		erased += n
		if err != nil || !more {
			return erased, err
		}
	}
}

// eraseOf takes a batch of rows away that an index finds.
func (db *DB) eraseOf(ctx context.Context, table, key, of string, ids []uuid.UUID, batch int) (n int64, err error) {
	if of == "" {
		of = "org_id IN ($)"
	}
	places, args := placesOf(ids)
	err = db.everywhere(ctx, writing, "erase "+table, func(q *query) error {
		n, err = q.exec(fmt.Sprintf(`DELETE FROM %s WHERE (%s) IN (SELECT %s FROM %s WHERE %s LIMIT %d%s)`,
			table, key, key, table, strings.Replace(of, "$", places, 1), batch, db.skipLocked()), args...)
		return err
	})
	return n, err
}

// eraseNext takes those away that are among the next rows of a table, in the order of its key. It returns the last of them, empty when
// there are no more.
func (db *DB) eraseNext(ctx context.Context, table, key, after string, ids []uuid.UUID, batch int) (n int64, last string, err error) {
	batch *= eraseStride
	err = db.InTx(ctx, func(ctx context.Context) error {
		return db.everywhere(ctx, writing, "erase "+table, func(q *query) error {
			n, last = 0, ""
			beyond, args := "", []any(nil)
			if after != "" {
				beyond, args = ` WHERE `+key+` > $1`, []any{after}
			}
			err := q.row(fmt.Sprintf(`SELECT %s FROM (SELECT %s FROM %s%s ORDER BY %s LIMIT %d) next ORDER BY %s DESC LIMIT 1`,
				key, key, table, beyond, key, batch, key), args...).Scan(&last)
			if errors.Is(err, sql.ErrNoRows) {
				return nil
			}
			if err != nil {
				return err
			}
			places, args := placesOf(ids)
			upTo := fmt.Sprintf(`%s <= $%d`, key, len(args)+1)
			args = append(args, last)
			if after != "" {
				upTo += fmt.Sprintf(` AND %s > $%d`, key, len(args)+1)
				args = append(args, after)
			}
			n, err = q.exec(fmt.Sprintf(`DELETE FROM %s WHERE org_id IN (%s) AND %s`, table, places, upTo), args...)
			return err
		})
	})
	return n, last, err
}

// eraseStride is how many rows are looked at for each that might be deleted: looking is cheap.
const eraseStride = 10

func placesOf(ids []uuid.UUID) (places string, args []any) {
	for i, id := range ids {
		if i > 0 {
			places += ", "
		}
		places += fmt.Sprintf("$%d", i+1)
		args = append(args, id)
	}
	return places, args
}

// OrganizationErased writes down that nothing is left of a deleted organization.
func (db *DB) OrganizationErased(ctx context.Context, id uuid.UUID) error {
	return db.everywhere(ctx, writing, "write down that an organization is erased", func(q *query) error {
		return q.spend(`UPDATE organizations SET erased_at = $1 WHERE id = $2 AND deleted_at IS NOT NULL AND erased_at IS NULL`, q.now, id)
	})
}

// eraseAgain is for how long after its deletion something of an organization may still be written, by a request that had begun before.
const eraseAgain = 2 * time.Minute

// Settled reports whether nothing of a deleted organization can be written any more.
func (o *Organization) Settled(now time.Time) bool {
	return o.DeletedAt != nil && now.Sub(*o.DeletedAt) > eraseAgain
}
