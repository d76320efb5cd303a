package storage_test

import (
	"database/sql"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/ncruces/go-sqlite3/driver"

	"github.com/keizer-auth/keizer/storage/storagetest"
)

// table is what testdata/schema.dbml says of a table, in lines that can be compared.
type table struct {
	columns []string // "name type [not null] [default x]"
	key     string   // "a, b"
	unique  []string // "a, b"
	foreign []string // "column -> table.column"
}

var (
	dbmlTable  = regexp.MustCompile(`(?s)Table (\w+) \{\n(.*?)\n\}`)
	dbmlColumn = regexp.MustCompile(`^  (\w+) (\w+)(?: \[(.*)\])?$`)
	dbmlIndex  = regexp.MustCompile(`^    \(([\w, ]+)\) \[(pk|unique)\]$`)
)

// parseDBML reads as much of DBML as the file uses.
func parseDBML(t *testing.T) map[string]*table {
	t.Helper()
	text, err := os.ReadFile("testdata/schema.dbml")
	if err != nil {
		t.Fatal(err)
	}
	tables := make(map[string]*table)
	for _, m := range dbmlTable.FindAllStringSubmatch(string(text), -1) {
		tb := &table{}
		tables[m[1]] = tb
		for line := range strings.Lines(m[2]) {
			line = strings.TrimRight(line, "\n")
			switch {
			case strings.TrimSpace(line) == "", line == "  indexes {", line == "  }":
			case dbmlIndex.MatchString(line):
				index := dbmlIndex.FindStringSubmatch(line)
				if index[2] == "pk" {
					tb.key = index[1]
				} else {
					tb.unique = append(tb.unique, index[1])
				}
			case dbmlColumn.MatchString(line):
				c := dbmlColumn.FindStringSubmatch(line)
				column := c[1] + " " + c[2]
				fallback := ""
				for _, setting := range splitSettings(c[3]) {
					switch name, value, _ := strings.Cut(setting, ":"); name {
					case "":
					case "pk":
						tb.key = c[1]
					case "unique":
						tb.unique = append(tb.unique, c[1])
					case "not null":
						column += " not null"
					case "default":
						fallback = " default " + strings.Trim(strings.TrimSpace(value), "`")
					case "ref":
						tb.foreign = append(tb.foreign, c[1]+" -> "+strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(value), ">")))
					case "note":
					default:
						t.Fatalf("setting %q is not understood", setting)
					}
				}
				tb.columns = append(tb.columns, column+fallback)
			default:
				t.Fatalf("line %q is not understood", line)
			}
		}
		// A key is not null without saying so.
		for i, c := range tb.columns {
			if name, _, _ := strings.Cut(c, " "); tb.key == name {
				tb.columns[i] = strings.Replace(c, " uuid", " uuid not null", 1)
			}
		}
		slices.Sort(tb.unique)
		slices.Sort(tb.foreign)
	}
	if len(tables) != 10 {
		t.Fatalf("%d tables understood", len(tables))
	}
	return tables
}

// splitSettings splits at commas outside quotes.
func splitSettings(text string) (settings []string) {
	quoted := false
	for _, part := range strings.FieldsFunc(text, func(r rune) bool {
		if r == '\'' || r == '`' {
			quoted = !quoted
		}
		return r == ',' && !quoted
	}) {
		settings = append(settings, strings.TrimSpace(part))
	}
	return settings
}

func TestTheSchemaOnPostgreSQLIsTheSeedsOwn(t *testing.T) {
	url := storagetest.PostgresURL(t)
	if _, err := storagetest.Open(t, url).Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	raw := openRaw(t, url)
	for name, want := range parseDBML(t) {
		t.Run(name, func(t *testing.T) {
			columns := texts(t, raw, `SELECT column_name || ' ' ||
				CASE data_type WHEN 'character varying' THEN 'varchar' WHEN 'timestamp without time zone' THEN 'timestamp' ELSE data_type END ||
				CASE is_nullable WHEN 'NO' THEN ' not null' ELSE '' END || coalesce(' default ' || column_default, '')
				FROM information_schema.columns WHERE table_name = $1 AND table_schema = current_schema() ORDER BY ordinal_position`, name)
			if len(columns) < len(want.columns) || !slices.Equal(columns[:len(want.columns)], want.columns) {
				t.Errorf("columns:\n%s\nwant first:\n%s", strings.Join(columns, "\n"), strings.Join(want.columns, "\n"))
			}
			for _, extra := range columns[min(len(want.columns), len(columns)):] {
				if strings.Contains(extra, "not null") && !strings.Contains(extra, "default") {
					t.Errorf("an INSERT that names the seed's columns fails for %s", extra)
				}
			}
			// A length would be another type.
			if n := texts(t, raw, `SELECT column_name FROM information_schema.columns WHERE table_name = $1
				AND (character_maximum_length IS NOT NULL OR datetime_precision <> 6)`, name); len(n) > 0 {
				t.Errorf("columns with a length or precision: %v", n)
			}
			index := `SELECT string_agg(a.attname, ', ' ORDER BY k.n) FROM pg_index i
				CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY k(attnum, n)
				JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
				WHERE i.indrelid = CAST($1 AS regclass) AND i.indpred IS NULL AND `
			if key := texts(t, raw, index+`i.indisprimary GROUP BY i.indexrelid`, name); !slices.Equal(key, []string{want.key}) {
				t.Errorf("key %q, want %q", key, want.key)
			}
			unique := texts(t, raw, index+`i.indisunique AND NOT i.indisprimary GROUP BY i.indexrelid ORDER BY 1`, name)
			for _, w := range want.unique {
				if !slices.Contains(unique, w) {
					t.Errorf("%q is not unique; these are: %q", w, unique)
				}
			}
			for _, u := range unique {
				if !slices.Contains(want.unique, u) && !strings.Contains(u, "canonical") {
					t.Errorf("%q is unique, and is not in the seed", u)
				}
			}
			foreign := texts(t, raw, `SELECT a.attname || ' -> ' || c.confrelid::regclass || '.' || f.attname FROM pg_constraint c
				JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
				JOIN pg_attribute f ON f.attrelid = c.confrelid AND f.attnum = c.confkey[1]
				WHERE c.contype = 'f' AND c.conrelid = CAST($1 AS regclass) AND cardinality(c.conkey) = 1 ORDER BY 1`, name)
			for _, w := range want.foreign {
				if !slices.Contains(foreign, w) {
					t.Errorf("no reference %q; there are: %q", w, foreign)
				}
			}
		})
	}
}

// SQLite has the same tables and columns, nullable where PostgreSQL's are, under the types it has.
func TestTheSchemasOfBothDatabasesAgree(t *testing.T) {
	types := map[string]string{
		"uuid": "TEXT", "character varying": "TEXT", "text": "TEXT", "jsonb": "TEXT", "inet": "TEXT", "bytea": "BLOB",
		"timestamp without time zone": "TIMESTAMP", "boolean": "BOOLEAN", "bigint": "INTEGER", "integer": "INTEGER",
	}
	pgURL, liteURL := storagetest.PostgresURL(t), storagetest.SQLiteURL(t)
	for _, url := range []string{pgURL, liteURL} {
		if _, err := storagetest.Open(t, url).Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	pg, lite := openRaw(t, pgURL), openRaw(t, liteURL)

	const ours = `NOT LIKE 'goose%'`
	want := texts(t, pg, `SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable
		FROM information_schema.columns WHERE table_schema = current_schema() AND table_name `+ours)
	for i, w := range want {
		for from, to := range types {
			if name, rest, _ := strings.Cut(w, " "); strings.HasPrefix(rest, from+" ") {
				want[i] = name + " " + to + strings.TrimPrefix(rest, from)
				break
			}
		}
	}
	got := texts(t, lite, `SELECT m.name || '.' || c.name || ' ' || c.type || CASE WHEN c."notnull" OR c.pk THEN ' NO' ELSE ' YES' END
		FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name `+ours+` AND m.name NOT LIKE 'sqlite%'`)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("only on PostgreSQL: %q\nonly on SQLite: %q", without(want, got), without(got, want))
	}

	// And the same indexes, unique where PostgreSQL's are.
	wantIndexes := texts(t, pg, `SELECT indexname || CASE WHEN indexdef LIKE 'CREATE UNIQUE%' THEN ' unique' ELSE '' END || ' ' ||
		regexp_replace(substring(indexdef FROM 'USING btree (.*)'), '[()]|IS NOT NULL|IS NULL', '', 'g')
		FROM pg_indexes WHERE schemaname = current_schema() AND indexname LIKE '%_idx' AND tablename `+ours)
	gotIndexes := texts(t, lite, `SELECT name || CASE WHEN sql LIKE 'CREATE UNIQUE%' THEN ' unique' ELSE '' END || ' ' || replace(replace(replace(replace(substr(sql, instr(sql, ' ON ') + 5 + length(tbl_name)),
		'(', ''), ')', ''), ' IS NOT NULL', ' '), ' IS NULL', ' ') FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name `+ours)
	slices.Sort(wantIndexes)
	slices.Sort(gotIndexes)
	if !slices.Equal(gotIndexes, wantIndexes) {
		t.Errorf("indexes only on PostgreSQL: %q\nonly on SQLite: %q", without(wantIndexes, gotIndexes), without(gotIndexes, wantIndexes))
	}
}

// An INSERT that knows only the seed's columns works, and its row is visible to nobody who has no right to it.
func TestRowsThatNameOnlyTheSeedsColumns(t *testing.T) {
	storagetest.EachURL(t, func(t *testing.T, url string) {
		db := storagetest.Open(t, url)
		if _, err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		raw := openRaw(t, url)
		ctx := storagetest.Org(t, db, "acme")
		for _, statement := range []string{
			`INSERT INTO users (org_id, email, username, password_hash) SELECT id, 'a@example.com', 'alice', '!' FROM organizations`,
			`INSERT INTO roles (org_id, name) SELECT id, 'r' FROM organizations`,
			`INSERT INTO user_roles (user_id, role_id) SELECT users.id, roles.id FROM users, roles`,
			`INSERT INTO permissions (org_id, name, resource, action) SELECT id, 'p', 'x', 'y' FROM organizations`,
			`INSERT INTO role_permissions (role_id, permission_id) SELECT roles.id, permissions.id FROM roles, permissions`,
			`INSERT INTO sessions (user_id, token, expires_at) SELECT id, 'session', '2999-01-01 00:00:00' FROM users`,
			`INSERT INTO verification_tokens (token, type, expires_at) VALUES ('vt', 'operator_setup', '2999-01-01 00:00:00')`,
			`INSERT INTO oauth_providers (org_id, name, client_id, client_secret) SELECT id, 'p', 'c', 'not sealed' FROM organizations`,
			`INSERT INTO oauth_accounts (user_id, provider_id, provider_user_id) SELECT users.id, oauth_providers.id, 'x' FROM users, oauth_providers`,
		} {
			if _, err := raw.Exec(statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		users, err := db.ListUsers(ctx, [16]byte{}, 0)
		if err != nil || len(users) != 1 || !users[0].IsActive || users[0].IsVerified {
			t.Fatalf("users %+v, %v", users, err)
		}
		if age := now().Sub(users[0].CreatedAt); age < -minute || age > minute {
			t.Errorf("created_at is %v off; it must be UTC on every database", age)
		}
		if roles, err := db.RolesOf(ctx, users[0].ID); err != nil || len(roles) != 1 || roles[0].IsSystemRole {
			t.Errorf("roles %+v, %v", roles, err)
		}
		if permissions, err := db.PermissionsOf(ctx, users[0].ID); err != nil || len(permissions) != 1 {
			t.Errorf("permissions %+v, %v", permissions, err)
		}
		if _, err := db.SetupToken(ctx, "vt"); err != nil {
			t.Errorf("verification token: %v", err)
		}
		// Without what Keizer adds, nobody signs in by them.
		for _, login := range []string{"alice", "a@example.com"} {
			if _, err := db.UserByLogin(ctx, login); !isNotFound(err) {
				t.Errorf("login %s: %v", login, err)
			}
		}
		if _, _, err := db.SessionByToken(ctx, "session"); !isNotFound(err) {
			t.Errorf("a session without organization: %v", err)
		}
		if _, err := db.UpstreamProvider(ctx, "p"); err == nil {
			t.Error("an unsealed secret was opened")
		}
	})
}

// openRaw opens a database past package storage.
func openRaw(t testing.TB, url string) *sql.DB {
	t.Helper()
	driver, dsn := "pgx", url
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		driver, dsn = "sqlite3", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=foreign_keys(on)"
	}
	raw, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	return raw
}

func texts(t testing.TB, raw *sql.DB, query string, args ...any) (all []string) {
	t.Helper()
	rows, err := raw.QueryContext(t.Context(), query, args...)
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", query, err))
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func without(all, some []string) (rest []string) {
	for _, s := range all {
		if !slices.Contains(some, s) {
			rest = append(rest, s)
		}
	}
	return rest
}
