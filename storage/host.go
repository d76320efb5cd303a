package storage

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Host is a host name that an organization claims, and has once it has proven that it may.
type Host struct {
	Owned
	// Host is in its canonical form: A-labels in lower case.
	Host string
	// Token is what the record of the name server says to prove the claim. It is no secret.
	Token string
	// VerifiedAt is since when the host is the organization's and nobody else's, VerifiedBy how it was proven.
	VerifiedAt *time.Time
	VerifiedBy string
	CreatedAt  time.Time
}

const hostColumns = `host, token, verified_at, verified_by, created_at`

func (h *Host) scan() []any {
	return []any{&h.Host, &h.Token, &h.VerifiedAt, maybe[string]{&h.VerifiedBy}, &h.CreatedAt}
}

// CreateHost inserts a claim. One that the organization makes already is ErrConflict.
func (db *DB) CreateHost(ctx context.Context, host *Host) error {
	return db.scoped(ctx, writing, "create host", func(q *query) error {
		if err := host.own(q.org); err != nil {
			return err
		}
		date(&host.CreatedAt, q.now)
		_, err := q.exec(`INSERT INTO organization_hosts (org_id, host, token, created_at) VALUES ($1, $2, $3, $4)`,
			q.org, host.Host, host.Token, host.CreatedAt)
		return err
	})
}

// Host returns a host that the organization claims or has.
func (db *DB) Host(ctx context.Context, host string) (*Host, error) {
	var h Host
	err := db.scoped(ctx, reading, "read host", func(q *query) error {
		h = Host{Owned: Owned{q.org}}
		return q.row(`SELECT `+hostColumns+` FROM organization_hosts WHERE org_id = $1 AND host = $2`, q.org, host).Scan(h.scan()...)
	})
	if err != nil {
		return nil, err
	}
	return &h, nil
}

// ListHosts returns the hosts that the organization claims or has, by name.
func (db *DB) ListHosts(ctx context.Context) ([]Host, error) {
	var hosts []Host
	err := db.scoped(ctx, reading, "list hosts", func(q *query) error {
		hosts = nil
		rows, err := q.pool.QueryContext(q.ctx, `SELECT `+hostColumns+` FROM organization_hosts WHERE org_id = $1 ORDER BY host`, q.org)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			h := Host{Owned: Owned{q.org}}
			if err := rows.Scan(h.scan()...); err != nil {
				return err
			}
			hosts = append(hosts, h)
		}
		return rows.Err()
	})
	return hosts, err
}

// VerifyHost gives the organization a host that it has proven. Of several organizations that do so at once one succeeds, and for the
// others, as for everybody later, it is ErrConflict. A claim that was withdrawn meanwhile is ErrNotFound, one that was proven
// already ErrSpent.
func (db *DB) VerifyHost(ctx context.Context, host *Host, by string) error {
	return db.scoped(ctx, writing, "verify host", func(q *query) error {
		n, err := q.exec(`UPDATE organization_hosts SET verified_at = $1, verified_by = $2
			WHERE org_id = $3 AND host = $4 AND token = $5 AND verified_at IS NULL`, q.now, by, q.org, host.Host, host.Token)
		if err != nil {
			return err
		}
		if n == 1 {
			host.VerifiedAt, host.VerifiedBy = &q.now, by
			return nil
		}
		var verified *time.Time
		err = q.row(`SELECT verified_at FROM organization_hosts WHERE org_id = $1 AND host = $2`, q.org, host.Host).Scan(&verified)
		if err == nil && verified != nil {
			return ErrSpent
		}
		if err == nil {
			return ErrNotFound // it was claimed anew, with another token
		}
		return err
	})
}

// DeleteHost withdraws a claim, or gives a host up.
func (db *DB) DeleteHost(ctx context.Context, host string) error {
	return db.scoped(ctx, writing, "delete host", func(q *query) error {
		return one(ErrNotFound)(q.exec(`DELETE FROM organization_hosts WHERE org_id = $1 AND host = $2`, q.org, host))
	})
}

// HostClaimed reports whether any organization claims a host, or has it.
func (db *DB) HostClaimed(ctx context.Context, host string) (bool, error) {
	var claimed bool
	err := db.everywhere(ctx, reading, "look for a claim", func(q *query) error {
		return q.row(`SELECT EXISTS (SELECT 1 FROM organization_hosts WHERE host = $1)`, host).Scan(&claimed)
	})
	return claimed, err
}

// OrganizationByHost returns the organization that has a host, suspended ones too, whether or not it is its issuer now.
func (db *DB) OrganizationByHost(ctx context.Context, host string) (*Organization, error) {
	var org Organization
	err := db.everywhere(ctx, reading, "read organization of a host", func(q *query) error {
		return q.of(&org).Where(`deleted_at IS NULL AND id = (SELECT org_id FROM organization_hosts
			WHERE host = ? AND verified_at IS NOT NULL)`, host).Take(&org).Error
	})
	if err != nil {
		return nil, err
	}
	return &org, nil
}

// IssuersChangingSince returns organizations whose issuer changes, or has changed since a time, in the order of those moments.
func (db *DB) IssuersChangingSince(ctx context.Context, since time.Time, limit int) ([]Organization, error) {
	var orgs []Organization
	err := db.everywhere(ctx, reading, "list issuers that change", func(q *query) error {
		return q.of(&Organization{}).Where("issuer_host_next_at > ?", since).Order("issuer_host_next_at").Limit(limited(limit)).Find(&orgs).Error
	})
	return orgs, err
}

// IssuerHostAt returns the host that is the organization's issuer at a time; empty is the address below the base.
func (o *Organization) IssuerHostAt(at time.Time) string {
	host := o.IssuerHost
	if o.IssuerHostNextAt != nil && !o.IssuerHostNextAt.After(at) {
		host = o.IssuerHostNext
	}
	if host == nil {
		return ""
	}
	return *host
}

// FormerHostsAt returns the hosts that were its issuer before a time.
func (o *Organization) FormerHostsAt(at time.Time) []string {
	former, now := o.FormerHosts, o.IssuerHostAt(at)
	if o.IssuerHost != nil && *o.IssuerHost != now {
		former = append(slices.Clip(former), *o.IssuerHost)
	}
	return slices.DeleteFunc(slices.Clone(former), func(host string) bool { return host == now })
}

// PlannedIssuerHost returns the host that is to be the organization's issuer after a time, empty for the address below the base, and
// from when on; ok is whether a change is planned at all.
func (o *Organization) PlannedIssuerHost(now time.Time) (host string, from time.Time, ok bool) {
	if o.IssuerHostNextAt == nil || !o.IssuerHostNextAt.After(now) {
		return "", time.Time{}, false
	}
	if o.IssuerHostNext != nil {
		host = *o.IssuerHostNext
	}
	return host, *o.IssuerHostNextAt, true
}

// PlanIssuerHost changes o so that a host, or with none the address below the base, is its issuer from a time on. What was planned
// before, and has not come to pass by now, is forgotten.
func (o *Organization) PlanIssuerHost(now time.Time, host string, from time.Time) {
	current, former := o.IssuerHostAt(now), o.FormerHostsAt(now)
	o.IssuerHost, o.IssuerHostNext, o.IssuerHostNextAt, o.FormerHosts = named(current), nil, nil, former
	if host != current {
		from = instant(from)
		o.IssuerHostNext, o.IssuerHostNextAt = named(host), &from
	}
}

func named(host string) *string {
	if host == "" {
		return nil
	}
	return &host
}

// SetIssuerHost writes what was planned. If the organization was changed since it was read, that is ErrConflict; else its UpdatedAt is
// the new one afterwards.
func (db *DB) SetIssuerHost(ctx context.Context, org *Organization) error {
	former, err := json.Marshal(org.FormerHosts)
	if err != nil {
		return fmt.Errorf("set issuer host: %w", err)
	}
	return db.changeOrganization(ctx, "set issuer host", org, func(q *query, at time.Time) (int64, error) {
		return q.exec(`UPDATE organizations SET issuer_host = $1, issuer_host_next = $2, issuer_host_next_at = $3, former_hosts = `+q.db.jsonb("$4")+`,
			updated_at = $5 WHERE id = $6 AND updated_at = $7 AND deleted_at IS NULL`,
			org.IssuerHost, org.IssuerHostNext, org.IssuerHostNextAt, string(former), at, org.ID, org.UpdatedAt)
	})
}
