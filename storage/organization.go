package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Organization is a tenant: it has people, clients, keys and an issuer of its own.
type Organization struct {
	ID          uuid.UUID      `gorm:"column:id;primaryKey"`
	Name        string         `gorm:"column:name"`
	Slug        string         `gorm:"column:slug"`
	Settings    map[string]any `gorm:"column:settings;serializer:json"`
	SuspendedAt *time.Time     `gorm:"column:suspended_at"`
	CreatedAt   time.Time      `gorm:"column:created_at"`
	UpdatedAt   time.Time      `gorm:"column:updated_at"`

	// IssuerHost is the host that is its issuer, and from IssuerHostNextAt on IssuerHostNext is; ask with IssuerHostAt. FormerHosts
	// were it once.
	IssuerHost       *string    `gorm:"column:issuer_host"`
	IssuerHostNext   *string    `gorm:"column:issuer_host_next"`
	IssuerHostNextAt *time.Time `gorm:"column:issuer_host_next_at"`
	FormerHosts      []string   `gorm:"column:former_hosts;serializer:json"`
	// DeletedAt is since when it is nowhere to be found, ErasedAt since when nothing of it is left but this row and its audit.
	DeletedAt *time.Time `gorm:"column:deleted_at"`
	ErasedAt  *time.Time `gorm:"column:erased_at"`
}

// TableName names the table to gorm, here and below.
func (Organization) TableName() string { return "organizations" }

// CreateOrganization inserts an organization. A slug that is taken is ErrConflict.
func (db *DB) CreateOrganization(ctx context.Context, org *Organization) error {
	return db.everywhere(ctx, writing, "create organization", func(q *query) error {
		identify(&org.ID)
		return q.create(org)
	})
}

// OrganizationBySlug returns an organization by the name in its addresses, suspended ones too.
func (db *DB) OrganizationBySlug(ctx context.Context, slug string) (*Organization, error) {
	var org Organization
	err := db.everywhere(ctx, reading, "read organization", func(q *query) error {
		return q.of(&org).Where("slug = ? AND deleted_at IS NULL", slug).Take(&org).Error
	})
	if err != nil {
		return nil, err
	}
	return &org, nil
}

// UpdateOrganization writes name and settings of an organization. If it was changed since it was read, that is ErrConflict; else
// its UpdatedAt is the new one afterwards.
func (db *DB) UpdateOrganization(ctx context.Context, org *Organization) error {
	decided, err := objectText(org.Settings)
	if err != nil {
		return fmt.Errorf("update organization: %w", err)
	}
	return db.changeOrganization(ctx, "update organization", org, func(q *query, at time.Time) (int64, error) {
		g := q.of(&Organization{}).Where("id = ? AND updated_at = ? AND deleted_at IS NULL", org.ID, org.UpdatedAt).
			UpdateColumns(map[string]any{"name": org.Name, "settings": decided, "updated_at": at})
		return g.RowsAffected, g.Error
	})
}

// SuspendOrganization suspends an organization, or ends its suspension, and writes down in org since when. If it is so already, that is
// ErrSpent.
func (db *DB) SuspendOrganization(ctx context.Context, org *Organization, suspended bool) error {
	return db.everywhere(ctx, writing, "suspend organization", func(q *query) error {
		since, condition := &q.now, `suspended_at IS NULL`
		if !suspended {
			since, condition = nil, `suspended_at IS NOT NULL`
		}
		at := q.now
		if !at.After(org.UpdatedAt) {
			at = instant(org.UpdatedAt.Add(time.Microsecond))
		}
		err := q.spend(`UPDATE organizations SET suspended_at = $1, updated_at = $2 WHERE id = $3 AND deleted_at IS NULL AND `+condition, since, at, org.ID)
		if err == nil {
			org.SuspendedAt, org.UpdatedAt = since, at
		}
		return err
	})
}

// changeOrganization runs an update of an organization that was read before: if it was changed since, that is ErrConflict. UpdatedAt is
// what two who change it at once tell one another apart by, so it never stands still.
func (db *DB) changeOrganization(ctx context.Context, deed string, org *Organization, change func(*query, time.Time) (int64, error)) error {
	var at time.Time
	err := db.InTx(ctx, func(ctx context.Context) error {
		return db.everywhere(ctx, writing, deed, func(q *query) error {
			if at = q.now; !at.After(org.UpdatedAt) {
				at = instant(org.UpdatedAt.Add(time.Microsecond))
			}
			n, err := change(q, at)
			if err != nil || n == 1 {
				return err
			}
			if err := q.of(&Organization{}).Where("id = ? AND deleted_at IS NULL", org.ID).Select("id").Take(&Organization{}).Error; err != nil {
				return err
			}
			return ErrConflict
		})
	})
	if err == nil {
		org.UpdatedAt = at
	}
	return err
}

// LockOrganization keeps everybody else from changing an organization until the transaction ends.
func (db *DB) LockOrganization(ctx context.Context, id uuid.UUID) error {
	return db.everywhere(ctx, writing, "lock organization", func(q *query) error {
		return one(ErrNotFound)(q.exec(`UPDATE organizations SET updated_at = updated_at WHERE id = $1 AND deleted_at IS NULL`, id))
	})
}

// ListOrganizations returns organizations in the order of their slugs, those after the given one.
func (db *DB) ListOrganizations(ctx context.Context, after string, limit int) ([]Organization, error) {
	var orgs []Organization
	err := db.everywhere(ctx, reading, "list organizations", func(q *query) error {
		return q.of(&Organization{}).Where("slug > ? AND deleted_at IS NULL", after).Order("slug").Limit(limited(limit)).Find(&orgs).Error
	})
	return orgs, err
}
