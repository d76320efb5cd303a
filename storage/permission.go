package storage

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/permission"
)

// Permission is one thing that a role may allow: an action on a resource.
type Permission struct {
	ID uuid.UUID `gorm:"column:id;primaryKey"`
	Owned
	Name        string    `gorm:"column:name"`
	Description string    `gorm:"column:description"`
	Resource    string    `gorm:"column:resource"`
	Action      string    `gorm:"column:action"`
	CreatedAt   time.Time `gorm:"column:created_at"`
	// NameCanonical keeps two permissions from having names that are spellings of one another.
	NameCanonical *string `gorm:"column:name_canonical"`
}

func (Permission) TableName() string { return "permissions" }

// EnsurePermission returns the permission of a name, which is made if there is none.
func (db *DB) EnsurePermission(ctx context.Context, name, description, resource, action string) (*Permission, error) {
	var found Permission
	err := db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "ensure permission", func(q *query) error {
			p := &Permission{
				ID: uuid.New(), Name: name, NameCanonical: canonicalName(name), Description: description, Resource: resource, Action: action,
			}
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

// CreatePermission inserts a permission of the organization's own, which the system roles that may do or see everything allow from
// then on. A name that is a spelling of another one is ErrConflict.
func (db *DB) CreatePermission(ctx context.Context, p *Permission) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "create permission", func(q *query) error {
			identify(&p.ID)
			p.NameCanonical = canonicalName(p.Name)
			if err := q.create(p); err != nil {
				return err
			}
			return q.allowToSystemRoles()
		})
	})
}

// allowAnew makes of the system roles those allow a permission that are to: its action may have changed.
func (q *query) allowAnew(id uuid.UUID) error {
	_, err := q.exec(`DELETE FROM role_permissions WHERE permission_id = $1
		AND role_id IN (SELECT id FROM roles WHERE org_id = $2 AND is_system_role = TRUE)`, id, q.org)
	if err != nil {
		return err
	}
	return q.allowToSystemRoles()
}

// Permission returns a permission of the organization.
func (db *DB) Permission(ctx context.Context, id uuid.UUID) (*Permission, error) {
	var p Permission
	err := db.scoped(ctx, reading, "read permission", func(q *query) error {
		return q.of(&p).Where("id = ?", id).Take(&p).Error
	})
	if err != nil {
		return nil, err
	}
	return &p, nil
}

// PermissionsNamed returns the permissions of the organization that have one of the names.
func (db *DB) PermissionsNamed(ctx context.Context, names []string) ([]Permission, error) {
	var permissions []Permission
	err := db.scoped(ctx, reading, "read permissions by name", func(q *query) error {
		return q.of(&Permission{}).Where("name IN ?", append([]string{""}, names...)).Order("name").Find(&permissions).Error
	})
	return permissions, err
}

// ListPermissions returns permissions in the order of their names, those after the given one.
func (db *DB) ListPermissions(ctx context.Context, after string, limit int) ([]Permission, error) {
	var permissions []Permission
	err := db.scoped(ctx, reading, "list permissions", func(q *query) error {
		return q.of(&Permission{}).Where("name > ?", after).Order("name").Limit(limited(limit)).Find(&permissions).Error
	})
	return permissions, err
}

// CountPermissions returns how many permissions the organization has.
func (db *DB) CountPermissions(ctx context.Context) (n int, err error) {
	err = db.scoped(ctx, reading, "count permissions", func(q *query) error {
		return q.row(`SELECT count(*) FROM permissions WHERE org_id = $1`, q.org).Scan(&n)
	})
	return n, err
}

// UpdatePermission writes what a permission of the organization's own says. The product's are not found. A name that is a spelling
// of another one is ErrConflict.
func (db *DB) UpdatePermission(ctx context.Context, p *Permission) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "update permission", func(q *query) error {
			p.NameCanonical = canonicalName(p.Name)
			err := one(ErrNotFound)(q.exec(`UPDATE permissions SET name = $1, name_canonical = $2, description = $3, resource = $4, action = $5
				WHERE id = $6 AND org_id = $7 AND name NOT LIKE '`+permission.Prefix+`%'`,
				p.Name, *p.NameCanonical, p.Description, p.Resource, p.Action, p.ID, q.org))
			if err != nil {
				return err
			}
			return q.allowAnew(p.ID)
		})
	})
}

// LockPermission keeps everybody else from changing a permission until the transaction ends.
func (db *DB) LockPermission(ctx context.Context, id uuid.UUID) error {
	return db.scoped(ctx, writing, "lock permission", func(q *query) error {
		return one(ErrNotFound)(q.exec(`UPDATE permissions SET description = description WHERE id = $1 AND org_id = $2`, id, q.org))
	})
}

// DeletePermission removes a permission of the organization's own from every role, and itself. The product's are not found. One
// that the scope of an API is tied to stays, which is ErrConflict: without it the scope would be everybody's.
func (db *DB) DeletePermission(ctx context.Context, id uuid.UUID) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "delete permission", func(q *query) error {
			var locked int
			err := q.row(`SELECT 1 FROM permissions WHERE id = $1 AND org_id = $2 AND name NOT LIKE '`+permission.Prefix+`%'`+q.db.forUpdate(),
				id, q.org).Scan(&locked)
			if err != nil {
				return err
			}
			var tied bool
			if err := q.row(`SELECT EXISTS (SELECT 1 FROM api_scopes WHERE permission_id = $1)`, id).Scan(&tied); err != nil {
				return err
			}
			if tied {
				return ErrConflict
			}
			if _, err := q.exec(`DELETE FROM role_permissions WHERE permission_id = $1`, id); err != nil {
				return err
			}
			_, err = q.exec(`DELETE FROM permissions WHERE id = $1`, id)
			return err
		})
	})
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

// WithdrawPermission keeps a role from allowing something. That it does not anyway is ErrNotFound.
func (db *DB) WithdrawPermission(ctx context.Context, roleID, permissionID uuid.UUID) error {
	return db.scoped(ctx, writing, "withdraw permission", func(q *query) error {
		return one(ErrNotFound)(q.exec(`DELETE FROM role_permissions WHERE role_id = $1 AND permission_id = $2
			AND EXISTS (SELECT 1 FROM roles r WHERE r.id = role_permissions.role_id AND r.org_id = $3)`, roleID, permissionID, q.org))
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

// PermissionsOfRoles returns the names of what several roles allow, by the roles' ids.
func (db *DB) PermissionsOfRoles(ctx context.Context, roles []uuid.UUID) (map[uuid.UUID][]string, error) {
	names := make(map[uuid.UUID][]string)
	texts := []string{uuid.Nil.String()}
	for _, id := range roles {
		texts = append(texts, id.String())
	}
	err := db.scoped(ctx, reading, "read permissions of roles", func(q *query) error {
		var found []struct {
			RoleID uuid.UUID
			Name   string
		}
		err := q.of(&Permission{}).Select("role_permissions.role_id, permissions.name").
			Joins("JOIN role_permissions ON role_permissions.permission_id = permissions.id").
			Where("role_permissions.role_id IN ?", texts).Order("permissions.name").Scan(&found).Error
		clear(names)
		for _, row := range found {
			names[row.RoleID] = append(names[row.RoleID], row.Name)
		}
		return err
	})
	return names, err
}

// RightsOf returns the names of the roles of a person and of what those allow, each once and in order. It is asked for every token
// that says something of it, so it is one question.
func (db *DB) RightsOf(ctx context.Context, userID uuid.UUID) (roles, permissions []string, err error) {
	err = db.scoped(ctx, reading, "read rights of user", func(q *query) error {
		roles, permissions = []string{}, []string{}
		rows, err := q.pool.QueryContext(q.ctx, `SELECT 1 AS kind, r.name AS name FROM user_roles ur JOIN roles r ON r.id = ur.role_id
				WHERE ur.user_id = $1 AND r.org_id = $2
			UNION SELECT 2, p.name FROM user_roles ur JOIN role_permissions rp ON rp.role_id = ur.role_id JOIN permissions p ON p.id = rp.permission_id
				WHERE ur.user_id = $3 AND p.org_id = $4
			ORDER BY kind, name`, userID, q.org, userID, q.org)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var kind int
			var name string
			if err := rows.Scan(&kind, &name); err != nil {
				return err
			}
			if kind == 1 {
				roles = append(roles, name)
			} else {
				permissions = append(permissions, name)
			}
		}
		return rows.Err()
	})
	return roles, permissions, err
}
