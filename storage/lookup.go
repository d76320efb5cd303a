package storage

import (
	"context"

	"github.com/google/uuid"
)

// OrganizationByID returns an organization, suspended ones too.
func (db *DB) OrganizationByID(ctx context.Context, id uuid.UUID) (*Organization, error) {
	var org Organization
	err := db.everywhere(ctx, reading, "read organization", func(q *query) error {
		return q.of(&org).Where("id = ? AND deleted_at IS NULL", id).Take(&org).Error
	})
	if err != nil {
		return nil, err
	}
	return &org, nil
}

// RoleByName returns a role of the organization.
func (db *DB) RoleByName(ctx context.Context, name string) (*Role, error) {
	var role Role
	err := db.scoped(ctx, reading, "read role", func(q *query) error {
		return q.of(&role).Where("name = ?", name).Take(&role).Error
	})
	if err != nil {
		return nil, err
	}
	return &role, nil
}
