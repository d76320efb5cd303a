package storage

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm/clause"

	"github.com/keizer-auth/keizer/internal/identity"
	"github.com/keizer-auth/keizer/internal/permission"
)

// Role is a name for what people may do. System roles are the product's own; the others are the organization's.
type Role struct {
	ID uuid.UUID `gorm:"column:id;primaryKey"`
	Owned
	Name         string    `gorm:"column:name"`
	Description  string    `gorm:"column:description"`
	IsSystemRole bool      `gorm:"column:is_system_role"`
	CreatedAt    time.Time `gorm:"column:created_at"`
	// NameCanonical keeps two roles from having names that are spellings of one another.
	NameCanonical *string `gorm:"column:name_canonical"`
}

func (Role) TableName() string { return "roles" }

func canonicalName(name string) *string {
	canonical := identity.Name(name)
	return &canonical
}

// EnsureSystemRoles makes the system roles and the product's own permissions, as far as the organization lacks them.
func (db *DB) EnsureSystemRoles(ctx context.Context) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "ensure system roles", func(q *query) error {
			var roles []*Role
			for _, r := range permission.SystemRoles() {
				roles = append(roles, &Role{ID: uuid.New(), Name: r.Name, NameCanonical: canonicalName(r.Name), Description: r.Description, IsSystemRole: true})
			}
			var permissions []*Permission
			for _, p := range permission.All() {
				permissions = append(permissions, &Permission{
					ID: uuid.New(), Name: p.Name, NameCanonical: canonicalName(p.Name), Description: p.Description, Resource: p.Resource, Action: p.Action,
				})
			}
			if err := q.createOnce(roles); err != nil {
				return err
			}
			if err := q.createOnce(permissions); err != nil {
				return err
			}
			return q.allowToSystemRoles()
		})
	})
}

// allowToSystemRoles writes down what the system roles allow: of the product's own permissions those that package permission names,
// and of the organization's what its applications permit to those who may do, or see, everything.
func (q *query) allowToSystemRoles() error {
	args := []any{q.now, q.org}
	bind := func(value string) string {
		args = append(args, value)
		return fmt.Sprintf("$%d", len(args))
	}
	var conditions []string
	for _, role := range permission.SystemRoles() {
		names := []string{"''"} // IN with nothing in it is no SQL
		for _, name := range role.Permissions {
			names = append(names, bind(name))
		}
		own := map[string]string{permission.Own: "TRUE", permission.OwnReading: "p.action = '" + permission.Read + "'", "": "FALSE"}[role.Own]
		conditions = append(conditions, `r.name = `+bind(role.Name)+` AND (p.name IN (`+strings.Join(names, ", ")+`)
			OR p.name NOT LIKE '`+permission.Prefix+`%' AND `+own+`)`)
	}
	_, err := q.exec(`INSERT INTO role_permissions (role_id, permission_id, created_at)
		SELECT r.id, p.id, $1 FROM roles r JOIN permissions p ON p.org_id = r.org_id
		WHERE r.org_id = $2 AND r.is_system_role = TRUE AND (`+strings.Join(conditions, " OR ")+`)
		ON CONFLICT DO NOTHING`, args...)
	return err
}

// EnsureRole returns the role of a name, which is made if there is none.
func (db *DB) EnsureRole(ctx context.Context, name, description string, system bool) (*Role, error) {
	var found Role
	err := db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "ensure role", func(q *query) error {
			role := &Role{ID: uuid.New(), Name: name, NameCanonical: canonicalName(name), Description: description, IsSystemRole: system}
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

// createOnce inserts rows, save those of whose name there are some. The conflict is not an error: in PostgreSQL an error would
// end the transaction that this may be part of.
func (q *query) createOnce(rows any) error {
	g := q.db.builder.WithContext(q.ctx)
	g.Statement.ConnPool = q.pool
	return g.Clauses(clause.OnConflict{DoNothing: true}).Create(rows).Error
}

// CreateRole inserts a role. A name that is a spelling of another role's is ErrConflict.
func (db *DB) CreateRole(ctx context.Context, role *Role) error {
	return db.scoped(ctx, writing, "create role", func(q *query) error {
		identify(&role.ID)
		role.NameCanonical = canonicalName(role.Name)
		return q.create(role)
	})
}

// Role returns a role of the organization.
func (db *DB) Role(ctx context.Context, id uuid.UUID) (*Role, error) {
	var role Role
	err := db.scoped(ctx, reading, "read role", func(q *query) error {
		return q.of(&role).Where("id = ?", id).Take(&role).Error
	})
	if err != nil {
		return nil, err
	}
	return &role, nil
}

// LockRole returns a role as Role does, and keeps everybody else from changing it, or what it allows, until the transaction ends.
func (db *DB) LockRole(ctx context.Context, id uuid.UUID) (*Role, error) {
	var role *Role
	err := db.InTx(ctx, func(ctx context.Context) error {
		err := db.scoped(ctx, writing, "lock role", func(q *query) error {
			return one(ErrNotFound)(q.exec(`UPDATE roles SET description = description WHERE id = $1 AND org_id = $2`, id, q.org))
		})
		if err != nil {
			return err
		}
		role, err = db.Role(ctx, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return role, nil
}

// ListRoles returns roles in the order of their names, those after the given one.
func (db *DB) ListRoles(ctx context.Context, after string, limit int) ([]Role, error) {
	var roles []Role
	err := db.scoped(ctx, reading, "list roles", func(q *query) error {
		return q.of(&Role{}).Where("name > ?", after).Order("name").Limit(limited(limit)).Find(&roles).Error
	})
	return roles, err
}

// CountRoles returns how many roles the organization has.
func (db *DB) CountRoles(ctx context.Context) (n int, err error) {
	err = db.scoped(ctx, reading, "count roles", func(q *query) error {
		return q.row(`SELECT count(*) FROM roles WHERE org_id = $1`, q.org).Scan(&n)
	})
	return n, err
}

// UpdateRole writes name and description of a role. System roles are not found. A name that is a spelling of another role's is
// ErrConflict.
func (db *DB) UpdateRole(ctx context.Context, role *Role) error {
	return db.scoped(ctx, writing, "update role", func(q *query) error {
		role.NameCanonical = canonicalName(role.Name)
		return one(ErrNotFound)(q.exec(`UPDATE roles SET name = $1, name_canonical = $2, description = $3
			WHERE id = $4 AND org_id = $5 AND (is_system_role IS NULL OR is_system_role = FALSE)`,
			role.Name, *role.NameCanonical, role.Description, role.ID, q.org))
	})
}

// DeleteRole takes a role from everybody and removes it. System roles are not found.
func (db *DB) DeleteRole(ctx context.Context, id uuid.UUID) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "delete role", func(q *query) error {
			// First that the role is of this organization, and one that can go: the rows below are found by the role alone. The lock is
			// what keeps others from giving it to somebody meanwhile, whom a reference would keep from going.
			var locked int
			err := q.row(`SELECT 1 FROM roles WHERE id = $1 AND org_id = $2 AND (is_system_role IS NULL OR is_system_role = FALSE)`+q.db.forUpdate(),
				id, q.org).Scan(&locked)
			if err != nil {
				return err
			}
			for _, statement := range []string{
				`DELETE FROM user_roles WHERE role_id = $1`,
				`DELETE FROM role_permissions WHERE role_id = $1`,
				`DELETE FROM roles WHERE id = $1`,
			} {
				if _, err := q.exec(statement, id); err != nil {
					return err
				}
			}
			return nil
		})
	})
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

// RevokeRole takes a role from a person. One that they do not have is ErrNotFound.
func (db *DB) RevokeRole(ctx context.Context, userID, roleID uuid.UUID) error {
	return db.scoped(ctx, writing, "revoke role", func(q *query) error {
		return one(ErrNotFound)(q.exec(`DELETE FROM user_roles WHERE user_id = $1 AND role_id = $2
			AND EXISTS (SELECT 1 FROM users u JOIN roles r ON r.org_id = u.org_id WHERE u.org_id = $3 AND u.id = user_roles.user_id AND r.id = user_roles.role_id)`,
			userID, roleID, q.org))
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

// RoleHolders returns the people who have a role, in the order of their ids, those after the given one.
func (db *DB) RoleHolders(ctx context.Context, roleID, after uuid.UUID, limit int) ([]User, error) {
	var users []User
	err := db.scoped(ctx, reading, "list holders of role", func(q *query) error {
		return q.of(&User{}).Where("id > ?", after).Where("id IN (SELECT user_id FROM user_roles WHERE role_id = ?)", roleID).
			Order("id").Limit(limited(limit)).Find(&users).Error
	})
	return users, err
}

// OwnerExists reports whether any organization has an active person who owns it.
func (db *DB) OwnerExists(ctx context.Context) (bool, error) {
	var exists bool
	err := db.everywhere(ctx, reading, "look for an owner", func(q *query) error {
		return q.row(`SELECT EXISTS (SELECT 1 FROM roles r JOIN user_roles ur ON ur.role_id = r.id JOIN users u ON u.id = ur.user_id
			JOIN organizations o ON o.id = r.org_id
			WHERE r.name = $1 AND r.is_system_role = TRUE AND u.is_active = TRUE AND o.deleted_at IS NULL)`, permission.Owner).Scan(&exists)
	})
	return exists, err
}

// OtherOwner reports whether the organization has an active owner besides a person. Until the transaction ends nobody else
// gets an answer to the question, so that the last two cannot both go because the other one stays.
func (db *DB) OtherOwner(ctx context.Context, userID uuid.UUID) (exists bool, err error) {
	err = db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "look for another owner", func(q *query) error {
			_, err := q.exec(`UPDATE roles SET description = description WHERE org_id = $1 AND name = $2 AND is_system_role = TRUE`,
				q.org, permission.Owner)
			if err != nil {
				return err
			}
			return q.row(`SELECT EXISTS (SELECT 1 FROM roles r JOIN user_roles ur ON ur.role_id = r.id JOIN users u ON u.id = ur.user_id
				WHERE r.org_id = $1 AND r.name = $2 AND r.is_system_role = TRUE AND u.is_active = TRUE AND u.org_id = $3 AND u.id <> $4)`,
				q.org, permission.Owner, q.org, userID).Scan(&exists)
		})
	})
	return exists, err
}
