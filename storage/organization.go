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
		return q.of(&org).Where("slug = ?", slug).Take(&org).Error
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
	var at time.Time
	err = db.InTx(ctx, func(ctx context.Context) error {
		return db.everywhere(ctx, writing, "update organization", func(q *query) error {
			// It is what two who change it at once tell one another apart by, so it never stands still.
			if at = q.now; !at.After(org.UpdatedAt) {
				at = instant(org.UpdatedAt.Add(time.Microsecond))
			}
			g := q.of(&Organization{}).Where("id = ? AND updated_at = ?", org.ID, org.UpdatedAt).
				UpdateColumns(map[string]any{"name": org.Name, "settings": decided, "updated_at": at})
			if g.Error != nil || g.RowsAffected == 1 {
				return g.Error
			}
			if err := q.of(&Organization{}).Where("id = ?", org.ID).Select("id").Take(&Organization{}).Error; err != nil {
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

// ListOrganizations returns organizations in the order of their slugs, those after the given one.
func (db *DB) ListOrganizations(ctx context.Context, after string, limit int) ([]Organization, error) {
	var orgs []Organization
	err := db.everywhere(ctx, reading, "list organizations", func(q *query) error {
		return q.of(&Organization{}).Where("slug > ?", after).Order("slug").Limit(limited(limit)).Find(&orgs).Error
	})
	return orgs, err
}
