package storage

import (
	"context"
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

// ListOrganizations returns organizations in the order of their slugs, those after the given one.
func (db *DB) ListOrganizations(ctx context.Context, after string, limit int) ([]Organization, error) {
	var orgs []Organization
	err := db.everywhere(ctx, reading, "list organizations", func(q *query) error {
		return q.of(&Organization{}).Where("slug > ?", after).Order("slug").Limit(limited(limit)).Find(&orgs).Error
	})
	return orgs, err
}
