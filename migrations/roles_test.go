package migrations_test

import (
	"database/sql"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/ncruces/go-sqlite3/driver"
	"github.com/pressly/goose/v3"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// at returns a database as the migrations up to a version leave it, and what applies the rest.
func at(t *testing.T, url string, version int64) (db *sql.DB, upTo func(int64)) {
	t.Helper()
	driver, dsn, dialect, folder := "pgx", url, goose.DialectPostgres, "postgres"
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		driver, dsn, dialect, folder = "sqlite3", "file:"+path+"?_pragma=foreign_keys(on)", goose.DialectSQLite3, "sqlite"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	provider, err := goose.NewProvider(dialect, db, os.DirFS(folder), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	upTo = func(version int64) {
		t.Helper()
		if _, err := provider.UpTo(t.Context(), version); err != nil {
			t.Fatal(err)
		}
	}
	upTo(version)
	return db, upTo
}

func lines(t *testing.T, db *sql.DB, query string) (all []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		all = append(all, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

func TestWhoOperatedAnOrganizationOwnsItAndNobodyGainsByAName(t *testing.T) {
	storagetest.EachURL(t, func(t *testing.T, url string) {
		db, upTo := at(t, url, 20)
		for _, statement := range []string{
			`INSERT INTO organizations (name, slug) VALUES ('Acme', 'acme'), ('Beta', 'beta')`,
			`INSERT INTO users (org_id, email, password_hash) SELECT id, slug || '@example.com', '!' FROM organizations`,
			`INSERT INTO roles (org_id, name, description, is_system_role) SELECT id, 'operator', 'Before.', TRUE FROM organizations WHERE slug = 'acme'`,
			`INSERT INTO user_roles (user_id, role_id) SELECT u.id, r.id FROM users u JOIN roles r ON r.org_id = u.org_id`,
			`INSERT INTO roles (org_id, name) SELECT id, 'admin' FROM organizations WHERE slug = 'beta'`,
			`INSERT INTO roles (org_id, name, is_system_role) SELECT id, 'Operator', FALSE FROM organizations WHERE slug = 'beta'`,
			`INSERT INTO user_roles (user_id, role_id) SELECT u.id, r.id FROM users u JOIN roles r ON r.org_id = u.org_id WHERE r.name = 'admin'`,
			`INSERT INTO permissions (org_id, name, resource, action) SELECT id, 'keizer:users:read', 'x', 'y' FROM organizations WHERE slug = 'beta'`,
			`INSERT INTO permissions (org_id, name, resource, action) SELECT id, 'pages:read', 'pages', 'read' FROM organizations WHERE slug = 'beta'`,
			`INSERT INTO role_permissions (role_id, permission_id) SELECT r.id, p.id FROM roles r JOIN permissions p ON p.org_id = r.org_id
				WHERE r.name = 'admin' AND p.name = 'keizer:users:read'`,
		} {
			if _, err := db.Exec(statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		upTo(1 << 62) // the vocabulary may have grown since

		const held = `SELECT u.email || ' ' || r.name || ' ' || CASE WHEN r.is_system_role THEN 'system' ELSE 'own' END
			FROM user_roles ur JOIN users u ON u.id = ur.user_id JOIN roles r ON r.id = ur.role_id`
		got := lines(t, db, held)
		if len(got) != 2 || got[0] != "acme@example.com owner system" || !strings.HasPrefix(got[1], "beta@example.com admin-") || !strings.HasSuffix(got[1], " own") {
			t.Errorf("%q", got)
		}
		if got := lines(t, db, `SELECT p.name FROM users u JOIN user_roles ur ON ur.user_id = u.id JOIN role_permissions rp ON rp.role_id = ur.role_id
			JOIN permissions p ON p.id = rp.permission_id WHERE u.email = 'beta@example.com'`); !slices.Equal(got, []string{"own-keizer:users:read"}) {
			t.Errorf("somebody may %q", got)
		}

		// What stands in the rows is what package permission says.
		var roles, permissions, allowed []string
		for _, slug := range []string{"acme", "beta"} {
			for _, role := range permission.SystemRoles() {
				roles = append(roles, fmt.Sprintf("%s %s: %s", slug, role.Name, role.Description))
				for _, name := range role.Permissions {
					allowed = append(allowed, fmt.Sprintf("%s %s: %s", slug, role.Name, name))
				}
			}
			for _, p := range permission.All() {
				permissions = append(permissions, fmt.Sprintf("%s %s %s %s: %s", slug, p.Name, p.Resource, p.Action, p.Description))
			}
		}
		for _, role := range []string{"admin", "auditor", "owner"} {
			allowed = append(allowed, "beta "+role+": pages:read")
		}
		allowed = append(allowed, "beta admin: own-keizer:users:read", "beta owner: own-keizer:users:read")
		for query, want := range map[string][]string{
			`SELECT o.slug || ' ' || r.name || ': ' || r.description FROM roles r JOIN organizations o ON o.id = r.org_id WHERE r.is_system_role = TRUE`: roles,
			`SELECT o.slug || ' ' || p.name || ' ' || p.resource || ' ' || p.action || ': ' || p.description FROM permissions p
				JOIN organizations o ON o.id = p.org_id WHERE p.name LIKE 'keizer:%'`: permissions,
			`SELECT o.slug || ' ' || r.name || ': ' || p.name FROM role_permissions rp JOIN roles r ON r.id = rp.role_id JOIN permissions p ON p.id = rp.permission_id
				JOIN organizations o ON o.id = r.org_id WHERE r.is_system_role = TRUE AND p.org_id = r.org_id`: allowed,
		} {
			slices.Sort(want)
			if got := lines(t, db, query); !slices.Equal(got, want) {
				t.Errorf("%s:\n got %q\nwant %q", query, got, want)
			}
		}
	})
}
