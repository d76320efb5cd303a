package storage

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// API is a resource server that tokens may be for (RFC 6749 §1.1).
type API struct {
	ID uuid.UUID `gorm:"column:id;primaryKey"`
	Owned
	// Identifier is what a token for it has as audience, and what resource names it by (RFC 8707 §2).
	Identifier string `gorm:"column:identifier"`
	Name       string `gorm:"column:name"`
	// ClientID is the client by which the API asks what a token stands for; nil is none.
	ClientID *string `gorm:"column:client_id"`
	// Version counts the changes. UpdateAPI changes only the version that was read.
	Version   int64     `gorm:"column:version"`
	CreatedAt time.Time `gorm:"column:created_at"`
	UpdatedAt time.Time `gorm:"column:updated_at"`

	Scopes []APIScope `gorm:"-"` // by name
}

func (API) TableName() string { return "apis" }

// APIScope is a part of what an API does, that an application may ask for.
type APIScope struct {
	Name, Description string
	// PermissionID is what a person must be permitted for the scope to be given in their name; nil is nothing.
	PermissionID *uuid.UUID
	// Permission is its name. It is read, and never written.
	Permission string
}

// CreateAPI inserts an API with its scopes. An identifier that is taken is ErrConflict; a permission that is not the
// organization's is ErrNotFound.
func (db *DB) CreateAPI(ctx context.Context, api *API) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "create API", func(q *query) error {
			identify(&api.ID)
			api.Version = max(api.Version, 1)
			if err := q.create(api); err != nil {
				return err
			}
			return q.writeAPIScopes(api)
		})
	})
}

func (q *query) writeAPIScopes(api *API) error {
	if _, err := q.exec(`DELETE FROM api_scopes WHERE api_id = $1 AND org_id = $2`, api.ID, q.org); err != nil {
		return err
	}
	for _, s := range api.Scopes {
		err := one(ErrNotFound)(q.exec(`INSERT INTO api_scopes (api_id, name, org_id, description, permission_id)
			SELECT a.id, $1, a.org_id, $2, p.id FROM apis a LEFT JOIN permissions p ON p.org_id = a.org_id AND p.id = $3
			WHERE a.id = $4 AND a.org_id = $5 AND (p.id IS NOT NULL OR $6)`, s.Name, s.Description, s.PermissionID, api.ID, q.org, s.PermissionID == nil))
		if err != nil {
			return err
		}
	}
	return nil
}

// API returns an API of the organization.
func (db *DB) API(ctx context.Context, id uuid.UUID) (*API, error) {
	return db.oneAPI(ctx, `a.id = $2`, id)
}

// APIByIdentifier returns an API of the organization.
func (db *DB) APIByIdentifier(ctx context.Context, identifier string) (*API, error) {
	return db.oneAPI(ctx, `a.identifier = $2`, identifier)
}

func (db *DB) oneAPI(ctx context.Context, condition string, value any) (*API, error) {
	found, err := db.readAPIs(ctx, "read API", condition, value, 1)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, ErrNotFound
	}
	return &found[0], nil
}

// ListAPIs returns APIs in the order of their identifiers, those after the given one.
func (db *DB) ListAPIs(ctx context.Context, after string, limit int) ([]API, error) {
	return db.readAPIs(ctx, "list APIs", `a.identifier > $2`, after, limited(limit))
}

func (db *DB) readAPIs(ctx context.Context, deed, condition string, value any, limit int) ([]API, error) {
	var apis []API
	err := db.scoped(ctx, reading, deed, func(q *query) error {
		apis = nil
		rows, err := q.pool.QueryContext(q.ctx, `SELECT a.id, a.identifier, a.name, a.client_id, a.version, a.created_at, a.updated_at,
				s.name, s.description, s.permission_id, p.name
			FROM (SELECT * FROM apis a WHERE a.org_id = $1 AND `+condition+` ORDER BY a.identifier LIMIT $3) a
			LEFT JOIN api_scopes s ON s.api_id = a.id LEFT JOIN permissions p ON p.id = s.permission_id
			ORDER BY a.identifier, s.name`, q.org, value, limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			api := API{Owned: Owned{q.org}}
			var scope APIScope
			if err := rows.Scan(&api.ID, &api.Identifier, &api.Name, &api.ClientID, &api.Version, &api.CreatedAt, &api.UpdatedAt,
				maybe[string]{&scope.Name}, maybe[string]{&scope.Description}, &scope.PermissionID, maybe[string]{&scope.Permission}); err != nil {
				return err
			}
			if n := len(apis); n == 0 || apis[n-1].ID != api.ID {
				api.Scopes = []APIScope{}
				apis = append(apis, api)
			}
			if scope.Name != "" {
				last := &apis[len(apis)-1]
				last.Scopes = append(last.Scopes, scope)
			}
		}
		return rows.Err()
	})
	return apis, err
}

// NamedScope is a scope, and the API that it is of.
type NamedScope struct {
	Identifier, API   string
	Name, Description string
}

// ScopesNamed returns the scopes of all APIs that have one of the names, by name and API.
func (db *DB) ScopesNamed(ctx context.Context, names []string) ([]NamedScope, error) {
	var scopes []NamedScope
	err := db.scoped(ctx, reading, "read scopes by name", func(q *query) error {
		scopes = nil
		return q.of(&API{}).Select("apis.identifier, apis.name AS api, s.name, s.description").Joins("JOIN api_scopes s ON s.api_id = apis.id").
			Where("s.name IN ?", append([]string{""}, names...)).Order("s.name, apis.name, apis.identifier").Limit(limited(1000)).Scan(&scopes).Error
	})
	return scopes, err
}

// CountAPIs returns how many APIs the organization has.
func (db *DB) CountAPIs(ctx context.Context) (n int, err error) {
	err = db.scoped(ctx, reading, "count APIs", func(q *query) error {
		return q.row(`SELECT count(*) FROM apis WHERE org_id = $1`, q.org).Scan(&n)
	})
	return n, err
}

// UpdateAPI writes name, client and scopes of an API; its identifier stays, for tokens have it. If it was changed since it was
// read, that is ErrConflict; else its Version and UpdatedAt are the new ones afterwards.
func (db *DB) UpdateAPI(ctx context.Context, api *API) error {
	var at time.Time
	err := db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "update API", func(q *query) error {
			at = q.now
			n, err := q.exec(`UPDATE apis SET name = $1, client_id = $2, version = version + 1, updated_at = $3
				WHERE id = $4 AND org_id = $5 AND version = $6`, api.Name, api.ClientID, at, api.ID, q.org, api.Version)
			if err != nil {
				return err
			}
			if n == 1 {
				return q.writeAPIScopes(api)
			}
			if err := q.of(&API{}).Where("id = ?", api.ID).Select("id").Take(&API{}).Error; err != nil {
				return err
			}
			return ErrConflict
		})
	})
	if err == nil {
		api.Version++
		api.UpdatedAt = at
	}
	return err
}

// LockAPI keeps everybody else from changing an API until the transaction ends.
func (db *DB) LockAPI(ctx context.Context, id uuid.UUID) error {
	return db.scoped(ctx, writing, "lock API", func(q *query) error {
		return one(ErrNotFound)(q.exec(`UPDATE apis SET updated_at = updated_at WHERE id = $1 AND org_id = $2`, id, q.org))
	})
}

// DeleteAPI removes an API with its scopes. Tokens that are out keep its name in them until they expire.
func (db *DB) DeleteAPI(ctx context.Context, id uuid.UUID) error {
	return db.scoped(ctx, writing, "delete API", func(q *query) error {
		return one(ErrNotFound)(q.exec(`DELETE FROM apis WHERE id = $1 AND org_id = $2`, id, q.org))
	})
}
