package storage

import (
	"context"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm/clause"
)

// OperatorRole is the system role whose holders run the organization.
const OperatorRole = "operator"

// Role is a name for what people may do. System roles are the product's own; the others are the organization's.
type Role struct {
	ID uuid.UUID `gorm:"column:id;primaryKey"`
	Owned
	Name         string    `gorm:"column:name"`
	Description  string    `gorm:"column:description"`
	IsSystemRole bool      `gorm:"column:is_system_role"`
	CreatedAt    time.Time `gorm:"column:created_at"`
}

func (Role) TableName() string { return "roles" }

// Permission is one thing that a role may allow: an action on a resource.
type Permission struct {
	ID uuid.UUID `gorm:"column:id;primaryKey"`
	Owned
	Name        string    `gorm:"column:name"`
	Description string    `gorm:"column:description"`
	Resource    string    `gorm:"column:resource"`
	Action      string    `gorm:"column:action"`
	CreatedAt   time.Time `gorm:"column:created_at"`
}

func (Permission) TableName() string { return "permissions" }

// EnsureRole returns the role of a name, which is made if there is none.
func (db *DB) EnsureRole(ctx context.Context, name, description string, system bool) (*Role, error) {
	var found Role
	err := db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "ensure role", func(q *query) error {
			role := &Role{ID: uuid.New(), Name: name, Description: description, IsSystemRole: system}
			if err := q.createOnce(role); err != nil {
				return err
			}
			found = Role{}
			return q.of(&found).Where("name = ?", name).Take(&found).Error
		})
	})
	if err != nil {
		return nil, err
	}
	return &found, nil
}

// createOnce inserts a row unless there is one of the same name. The conflict is not an error: in PostgreSQL an error would
// end the transaction that this may be part of.
func (q *query) createOnce(row any) error {
	g := q.db.builder.WithContext(q.ctx)
	g.Statement.ConnPool = q.pool
	return g.Clauses(clause.OnConflict{DoNothing: true}).Create(row).Error
}

// GrantRole gives a person a role; that they have it already is no error. Both must be of the organization.
func (db *DB) GrantRole(ctx context.Context, userID, roleID uuid.UUID) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "grant role", func(q *query) error {
			n, err := q.exec(`INSERT INTO user_roles (user_id, role_id, created_at)
				SELECT u.id, r.id, $1 FROM users u JOIN roles r ON r.org_id = u.org_id
				WHERE u.org_id = $2 AND u.id = $3 AND r.id = $4 ON CONFLICT DO NOTHING`, q.now, q.org, userID, roleID)
			if err != nil || n == 1 {
				return err
			}
			var held int
			return q.row(`SELECT 1 FROM user_roles ur JOIN users u ON u.id = ur.user_id
				WHERE u.org_id = $1 AND ur.user_id = $2 AND ur.role_id = $3`, q.org, userID, roleID).Scan(&held)
		})
	})
}

// RolesOf returns the roles of a person, by name.
func (db *DB) RolesOf(ctx context.Context, userID uuid.UUID) ([]Role, error) {
	var roles []Role
	err := db.scoped(ctx, reading, "read roles of user", func(q *query) error {
		return q.of(&Role{}).Joins("JOIN user_roles ur ON ur.role_id = roles.id").
			Where("ur.user_id = ?", userID).Order("roles.name").Find(&roles).Error
	})
	return roles, err
}

// OperatorExists reports whether any organization has an active person who may operate it.
func (db *DB) OperatorExists(ctx context.Context) (bool, error) {
	var exists bool
	err := db.everywhere(ctx, reading, "look for an operator", func(q *query) error {
		return q.row(`SELECT EXISTS (SELECT 1 FROM roles r JOIN user_roles ur ON ur.role_id = r.id JOIN users u ON u.id = ur.user_id
			WHERE r.name = $1 AND r.is_system_role = TRUE AND u.is_active = TRUE)`, OperatorRole).Scan(&exists)
	})
	return exists, err
}

// EnsurePermission returns the permission of a name, which is made if there is none.
func (db *DB) EnsurePermission(ctx context.Context, name, description, resource, action string) (*Permission, error) {
	var found Permission
	err := db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "ensure permission", func(q *query) error {
			p := &Permission{ID: uuid.New(), Name: name, Description: description, Resource: resource, Action: action}
			if err := q.createOnce(p); err != nil {
				return err
			}
			found = Permission{}
			return q.of(&found).Where("name = ?", name).Take(&found).Error
		})
	})
	if err != nil {
		return nil, err
	}
	return &found, nil
}

// GrantPermission lets a role allow something; that it does already is no error. Both must be of the organization.
func (db *DB) GrantPermission(ctx context.Context, roleID, permissionID uuid.UUID) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "grant permission", func(q *query) error {
			n, err := q.exec(`INSERT INTO role_permissions (role_id, permission_id, created_at)
				SELECT r.id, p.id, $1 FROM roles r JOIN permissions p ON p.org_id = r.org_id
				WHERE r.org_id = $2 AND r.id = $3 AND p.id = $4 ON CONFLICT DO NOTHING`, q.now, q.org, roleID, permissionID)
			if err != nil || n == 1 {
				return err
			}
			var held int
			return q.row(`SELECT 1 FROM role_permissions rp JOIN roles r ON r.id = rp.role_id
				WHERE r.org_id = $1 AND rp.role_id = $2 AND rp.permission_id = $3`, q.org, roleID, permissionID).Scan(&held)
		})
	})
}

// PermissionsOf returns what the roles of a person allow, by name, each once.
func (db *DB) PermissionsOf(ctx context.Context, userID uuid.UUID) ([]Permission, error) {
	var permissions []Permission
	err := db.scoped(ctx, reading, "read permissions of user", func(q *query) error {
		return q.of(&Permission{}).Where(`permissions.id IN (SELECT rp.permission_id FROM role_permissions rp
			JOIN user_roles ur ON ur.role_id = rp.role_id WHERE ur.user_id = ?)`, userID).
			Order("permissions.name").Find(&permissions).Error
	})
	return permissions, err
}
