package manage

import (
	"context"

	"github.com/google/uuid"
)

// RolesOf returns the roles of a person, by name, with what they allow.
func (o *Operators) RolesOf(ctx context.Context, userID uuid.UUID) ([]Role, error) {
	rows, err := o.db.RolesOf(ctx, userID)
	if err != nil {
		return nil, err
	}
	ids := make([]uuid.UUID, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	names, err := o.db.PermissionsOfRoles(ctx, ids)
	if err != nil {
		return nil, err
	}
	roles := make([]Role, len(rows))
	for i, row := range rows {
		roles[i] = Role{Role: row, Permissions: listOf(names[row.ID])}
	}
	return roles, nil
}
