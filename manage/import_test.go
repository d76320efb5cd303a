package manage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
)

// bcryptHash is "correct horse battery staple", as another system stores it.
const bcryptHash = "$2b$10$kKVjKyHZlVRXcBqmBP5bGOGKK1dYwFDSnS0qZhrGZwQ6t9xjNu7pq"

// imports runs an import and returns what came of it, and the complaints as "line field".
func (o replica) imports(t testing.TB, ctx context.Context, options manage.ImportOptions, lines ...string) (manage.ImportSummary, []string) {
	t.Helper()
	var complaints []string
	options.Complain = func(line int, c *manage.Invalid) {
		complaints = append(complaints, fmt.Sprintf("%d %s", line, c.Field))
	}
	summary, err := o.ImportUsers(ctx, manage.JSONLines(strings.NewReader(strings.Join(lines, "\n"))), options)
	if err != nil {
		t.Fatal(err)
	}
	return summary, complaints
}

func TestPeopleAreImportedOnceHoweverOften(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		ctx := o.organization(t, "acme")
		_, err := o.db.EnsureRole(ctx, "editor", "", false)
		must(t, err)
		id := uuid.NewString()
		lines := []string{
			`{"id":"` + id + `","email":"Alice@Example.com","email_verified":true,"username":"Alice","name":"Alice Doe","password":"` + goodPassword + `",` +
				`"roles":["editor","operator"],"metadata":{"locale":"de","badge":7},"created_at":"2020-01-02T03:04:05Z"}`,
			``,
			`{"email":"bob@example.com","password_hash":"` + bcryptHash + `","active":false}`,
			`{"email":"carol@example.com"}`,
		}
		dry, complaints := o.imports(t, ctx, manage.ImportOptions{DryRun: true}, lines...)
		if want := (manage.ImportSummary{DryRun: true, Created: 3}); dry != want || complaints != nil {
			t.Errorf("%+v, %v", dry, complaints)
		}
		if users, err := o.db.ListUsers(ctx, uuid.Nil, 0); err != nil || len(users) != 0 {
			t.Fatalf("a dry run made %d, %v", len(users), err)
		}
		first, complaints := o.imports(t, ctx, manage.ImportOptions{}, lines...)
		if want := (manage.ImportSummary{Created: 3}); first != want || complaints != nil {
			t.Errorf("%+v, %v", first, complaints)
		}
		alice, err := o.db.UserByLogin(ctx, "alice")
		must(t, err)
		roles, err := o.db.RoleNames(ctx, []uuid.UUID{alice.ID})
		must(t, err)
		if alice.ID.String() != id || alice.Email != "Alice@Example.com" || !alice.IsVerified || !alice.IsActive || *alice.FullName != "Alice Doe" || alice.Metadata["badge"] != 7.0 ||
			!alice.CreatedAt.Equal(time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)) || !slices.Equal(roles[alice.ID], []string{"editor", "owner"}) {
			t.Errorf("%+v, %v", alice, roles)
		}
		hasher := password.New(password.Options{Slots: 2, Queue: 10, Wait: time.Minute})
		if ok, _, err := hasher.Verify(ctx, goodPassword, alice.PasswordHash); err != nil || !ok {
			t.Errorf("the clear password does not work: %v", err)
		}
		bob, err := o.db.UserByLogin(ctx, "bob@example.com")
		if must(t, err); bob.IsActive || bob.IsVerified || bob.PasswordHash != bcryptHash {
			t.Errorf("%+v", bob)
		}
		if carol, err := o.db.UserByLogin(ctx, "carol@example.com"); err != nil || carol.PasswordHash != password.None {
			t.Errorf("%+v, %v", carol, err)
		}
		audited := len(o.audited(t, ctx))
		for _, mode := range []string{"", manage.ConflictFail, manage.ConflictSkip, manage.ConflictUpdate} {
			again, complaints := other.imports(t, ctx, manage.ImportOptions{OnConflict: mode}, lines...)
			if want := (manage.ImportSummary{Unchanged: 3}); again != want || complaints != nil {
				t.Errorf("%s: %+v, %v", mode, again, complaints)
			}
		}
		if n := len(o.audited(t, ctx)); n != audited || audited != 4 {
			t.Errorf("%d rows of audit, then %d", audited, n)
		}
		// Another organization has people of its own, but an id is one person's.
		beta := o.organization(t, "beta")
		_, err = o.db.EnsureRole(beta, "editor", "", false)
		must(t, err)
		theirs, complaints := o.imports(t, beta, manage.ImportOptions{}, lines...)
		if want := (manage.ImportSummary{Created: 2, Failed: 1}); theirs != want || !slices.Equal(complaints, []string{"1 id"}) {
			t.Errorf("%+v, %v", theirs, complaints)
		}
	})
}

func TestWhatIsWrongWithAFileIsSaidLineByLine(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		ctx := o.organization(t, "acme")
		o.person(t, ctx, "taken")
		summary, complaints := o.imports(t, ctx, manage.ImportOptions{},
			`{"email":"fine@example.com","username":"fine"}`,
			`{"email":"nothing"}`,
			`{"email":"x1@example.com","usernam":"x"}`,
			`{"email":"x2@example.com","username":"a@b","name":" ","password":"short","id":"7","roles":["nobodys"],"metadata":{"sub":"1"},"created_at":"2999-01-01T00:00:00Z"}`,
			`{"email":"x3@example.com","password":"`+goodPassword+`","password_hash":"`+bcryptHash+`"}`,
			`{"email":"x4@example.com","password_hash":"$2b$31$kKVjKyHZlVRXcBqmBP5bGOGKK1dYwFDSnS0qZhrGZwQ6t9xjNu7pq"}`,
			`{"email":"x5@example.com","password_hash":"$argon2id$v=19$m=4194304,t=4294967295,p=1$c2FsdHNhbHRzYWx0$`+strings.Repeat("A", 43)+`"}`,
			`{"email":"x6@example.com","password_hash":"{MD5}X03MO1qnZdYdgyfeuILPmQ=="}`,
			`{"email":"FINE@example.com"}`,
			`{"email":"x7@example.com","username":"Fine"}`,
			`not JSON`,
			`{"email":"x8@example.com","email":"x9@example.com"}`,
			`{"email":"x10@example.com","username":"Taken"}`,
			`["email"]`,
			`{"email":"`+strings.Repeat("x", 2<<20)+`"}`,
			`{"email":"last@example.com"}`,
		)
		want := []string{
			"2 email", "3 line", "4 id", "4 username", "4 name", "4 password", "4 metadata", "4 created_at", "4 roles", "5 password", "6 password_hash", "7 password_hash",
			"8 password_hash", "9 email", "10 username", "11 line", "12 line", "13 username", "14 line", "15 line",
		}
		slices.Sort(want)
		slices.Sort(complaints)
		if !slices.Equal(complaints, want) || summary != (manage.ImportSummary{Created: 2, Failed: 14}) {
			t.Errorf("%+v\n%v\nwant\n%v", summary, complaints, want)
		}
		if users, err := o.db.ListUsers(ctx, uuid.Nil, 0); err != nil || len(users) != 3 {
			t.Errorf("%d, %v", len(users), err)
		}
		if _, err := o.ImportUsers(ctx, manage.JSONLines(strings.NewReader("")), manage.ImportOptions{OnConflict: "merge"}); len(manage.Complaints(err)) != 1 {
			t.Errorf("%v", err)
		}
	})
}

func TestWhoIsThereAlreadyBecomesWhatTheFileSaysOnlyWhereThatIsWanted(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		ctx := o.organization(t, "acme")
		alice, bob := o.person(t, ctx, "alice", permission.Owner), o.person(t, ctx, "bob")
		must(t, o.db.SetPasswordHash(ctx, alice.ID, "hers"))
		session := o.session(t, ctx, bob)
		lines := []string{
			`{"email":"alice@example.com","name":"Alice Doe","active":false}`,
			`{"id":"` + bob.ID.String() + `","email":"robert@example.com","username":"","active":false,"metadata":{"locale":"en"},"roles":["operator"],"password_hash":"` + bcryptHash + `"}`,
			`{"email":"carol@example.com","name":"Carol"}`,
		}
		failed, complaints := o.imports(t, ctx, manage.ImportOptions{}, lines...)
		if failed != (manage.ImportSummary{Created: 1, Failed: 2}) || !slices.Equal(complaints, []string{"1 email", "2 email"}) {
			t.Errorf("%+v, %v", failed, complaints)
		}
		if skipped, complaints := o.imports(t, ctx, manage.ImportOptions{OnConflict: manage.ConflictSkip}, lines...); skipped != (manage.ImportSummary{Unchanged: 1, Skipped: 2}) || complaints != nil {
			t.Errorf("%+v, %v", skipped, complaints)
		}
		if dry, complaints := o.imports(t, ctx, manage.ImportOptions{OnConflict: manage.ConflictUpdate, DryRun: true}, lines...); dry != (manage.ImportSummary{DryRun: true, Unchanged: 1, Updated: 2}) || complaints != nil {
			t.Errorf("%+v, %v", dry, complaints)
		}
		// The last operator stays, and of her line nothing is written (S-265).
		updated, complaints := o.imports(t, ctx, manage.ImportOptions{OnConflict: manage.ConflictUpdate}, lines...)
		if updated != (manage.ImportSummary{Updated: 1, Unchanged: 1, Failed: 1}) || !slices.Equal(complaints, []string{"1 active"}) {
			t.Errorf("%+v, %v", updated, complaints)
		}
		alice, err := o.db.User(ctx, alice.ID)
		if must(t, err); !alice.IsActive || alice.FullName != nil {
			t.Errorf("%+v", alice)
		}
		got, err := o.db.User(ctx, bob.ID)
		must(t, err)
		if got.Email != "robert@example.com" || got.Username != nil || got.IsActive || got.Metadata["locale"] != "en" || got.PasswordHash != bcryptHash {
			t.Errorf("%+v", got)
		}
		if _, _, err := o.db.SessionByToken(ctx, session.Token); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("still signed in: %v", err)
		}
		// A password that somebody has is theirs.
		kept, _ := o.imports(t, ctx, manage.ImportOptions{OnConflict: manage.ConflictUpdate}, `{"email":"alice@example.com","password_hash":"`+bcryptHash+`"}`)
		if alice, err = o.db.User(ctx, alice.ID); err != nil || alice.PasswordHash != "hers" || kept != (manage.ImportSummary{Unchanged: 1}) {
			t.Errorf("%+v, %+v, %v", kept, alice, err)
		}
		// Somebody else's address is not to be had by an id.
		if taken, complaints := o.imports(t, ctx, manage.ImportOptions{OnConflict: manage.ConflictUpdate}, `{"id":"`+bob.ID.String()+`","email":"Alice@example.com"}`,
			`{"id":"`+uuid.NewString()+`","email":"carol@example.com"}`); taken.Failed != 2 || !slices.Equal(complaints, []string{"1 email", "2 email"}) {
			t.Errorf("%+v, %v", taken, complaints)
		}
	})
}

func (o replica) exports(t testing.TB, ctx context.Context, asTable bool, options manage.ExportOptions) string {
	t.Helper()
	var out bytes.Buffer
	to := manage.WriteJSONLines(&out)
	if asTable {
		var err error
		to, err = manage.WriteTable(&out, options)
		must(t, err)
	}
	_, err := o.ExportUsers(ctx, to, options)
	must(t, err)
	return out.String()
}

func TestWhatIsExportedCanBeImported(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		ctx := o.organization(t, "acme")
		_, err := o.db.EnsureRole(ctx, "chief, of", "", false)
		must(t, err)
		o.imports(t, ctx, manage.ImportOptions{},
			`{"email":"Alice@Example.com","email_verified":true,"username":"Ålice","name":"Alice \"the\" Doe, <b>","password_hash":"`+bcryptHash+`","roles":["chief, of","operator"],`+
				`"metadata":{"address":{"locality":"Köln"},"badge":7,"tags":["a","b"]},"created_at":"2020-01-02T03:04:05.123456Z"}`,
			`{"email":"bob@example.com","active":false}`)
		must(t, errOf(o.imports2(ctx, `{"email":"carol@example.com","password":"`+goodPassword+`"}`)))
		for _, asTable := range []bool{false, true} {
			whole := manage.ExportOptions{Hashes: true}
			text := o.exports(t, ctx, asTable, whole)
			empty := o.organization(t, map[bool]string{false: "lines", true: "table"}[asTable])
			must(t, errOf(o.db.EnsureRole(empty, "chief, of", "", false)))
			from := manage.JSONLines(strings.NewReader(text))
			if asTable {
				from, err = manage.Table(strings.NewReader("\ufeff" + text))
				must(t, err)
			}
			summary, err := o.ImportUsers(empty, from, manage.ImportOptions{Complain: func(line int, c *manage.Invalid) { t.Errorf("line %d: %v", line, c) }})
			if err != nil || summary != (manage.ImportSummary{Created: 3}) {
				t.Fatalf("%+v, %v\n%s", summary, err, text)
			}
			sorted := func(text string) []string { lines := strings.Split(text, "\n"); slices.Sort(lines); return lines }
			if again := o.exports(t, empty, asTable, whole); !slices.Equal(sorted(again), sorted(text)) {
				t.Errorf("exported\n%s\nimported and exported\n%s", text, again)
			}
			if plain := o.exports(t, ctx, asTable, manage.ExportOptions{}); strings.Contains(plain, "$") || strings.Contains(plain, "password") || strings.Contains(plain, `"id"`) {
				t.Errorf("hashes or ids, unasked:\n%s", plain)
			}
			if ids := o.exports(t, ctx, asTable, manage.ExportOptions{IDs: true}); strings.Count(ids, "-") < 12 {
				t.Errorf("no ids:\n%s", ids)
			}
		}
		if last := o.audited(t, ctx); last[len(last)-1] != "organization.users_exported" {
			t.Errorf("%v", last)
		}
	})
}

func (o replica) imports2(ctx context.Context, line string) (manage.ImportSummary, error) {
	return o.ImportUsers(ctx, manage.JSONLines(strings.NewReader(line)), manage.ImportOptions{})
}

func TestATableNamesItsColumns(t *testing.T) {
	for header, words := range map[string]string{
		"": "the file is empty", "username\n": "the column email is missing", "email,emial\n": "did you mean email?", "email,email\n": "twice", `"email` + "\n": "header",
	} {
		if _, err := manage.Table(strings.NewReader(header)); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v", header, err)
		}
	}
	table, err := manage.Table(strings.NewReader("email,active,roles,metadata,created_at,email_verified\n" +
		"a@example.com,true,\"x;y z\",\"{\"\"locale\"\":\"\"de\"\"}\",2020-01-01T00:00:00Z,false\n\"b\n@example.com\",,,,,\nc@example.com,yes,,[],today,1\nd@example.com\n" +
		"e@example.com,,,,,\n\"broken,,,,,\n"))
	must(t, err)
	line, record, err := table.Next()
	if err != nil || line != 2 || record.Email != "a@example.com" || !*record.Active || *record.EmailVerified || !slices.Equal(record.Roles, []string{"x", "y z"}) ||
		!reflect.DeepEqual(record.Metadata, map[string]any{"locale": "de"}) || record.CreatedAt.Year() != 2020 {
		t.Errorf("%d, %+v, %v", line, record, err)
	}
	if line, record, err = table.Next(); err != nil || line != 3 || record.Active != nil {
		t.Errorf("%d, %+v, %v", line, record, err)
	}
	line, _, err = table.Next()
	complains(t, "a line of cells", err, "active", "metadata", "created_at", "email_verified")
	if line != 5 {
		t.Errorf("line %d", line)
	}
	if line, _, err = table.Next(); line != 6 || len(manage.Complaints(err)) != 1 {
		t.Errorf("%d, %v", line, err)
	}
	if line, _, err = table.Next(); line != 7 || err != nil {
		t.Errorf("%d, %v", line, err)
	}
	if line, _, err = table.Next(); line != 8 || len(manage.Complaints(err)) != 1 {
		t.Errorf("%d, %v", line, err)
	}
	endless, err := manage.Table(io.MultiReader(strings.NewReader("email\n\""), endlessly{}))
	must(t, err)
	if _, _, err := endless.Next(); err == nil || !strings.Contains(err.Error(), "quotation mark") {
		t.Errorf("%v", err)
	}
}

type endlessly struct{}

func (endlessly) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// crowd yields n people, and does something on the way.
type crowd struct {
	n, at    int
	onTheWay func(at int)
}

func (c *crowd) Next() (int, *manage.Record, error) {
	if c.at == c.n {
		return 0, nil, io.EOF
	}
	c.at++
	if c.onTheWay != nil {
		c.onTheWay(c.at)
	}
	name := fmt.Sprintf("person-%d", c.at)
	return c.at, &manage.Record{Email: name + "@example.com", Username: &name, PasswordHash: bcryptHash, Roles: []string{"operator"}[:c.at%1000/999]}, nil
}

func TestAnImportThatWasInterruptedIsRepeated(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		ctx := o.organization(t, "acme")
		const n, done = 10_000, 9_000
		interrupted, cancel := context.WithCancel(ctx)
		defer cancel()
		first, err := o.ImportUsers(interrupted, &crowd{n: n, onTheWay: func(at int) {
			if at == done+77 {
				cancel()
			}
		}}, manage.ImportOptions{})
		if !errors.Is(err, context.Canceled) || first.Created != done {
			t.Fatalf("%+v, %v", first, err)
		}
		began := time.Now()
		// Two at once are no harm either: each finds what the other has made.
		summaries := make([]manage.ImportSummary, 2)
		for _, err := range atOnce(func(i int) (err error) {
			summaries[i], err = []replica{o, other}[i].ImportUsers(ctx, &crowd{n: n}, manage.ImportOptions{})
			return err
		}, 2) {
			must(t, err)
		}
		if a, b := summaries[0], summaries[1]; a.Created+b.Created != n-done || a.Created+a.Unchanged != n || b.Created+b.Unchanged != n {
			t.Errorf("%+v, %+v", a, b)
		}
		t.Logf("%d people twice at once: %s", n, time.Since(began))
		if people := strings.Count(o.exports(t, ctx, false, manage.ExportOptions{}), "\n"); people != n {
			t.Errorf("%d people", people)
		}
	})
}

func FuzzAFileIsReadToItsEnd(f *testing.F) {
	f.Add([]byte(`{"email":"a@example.com","roles":["x"],"metadata":{"a":1}}`+"\n\n{}"), false)
	f.Add([]byte("email,active\na@example.com,true\n\"b\n"), true)
	f.Fuzz(func(t *testing.T, text []byte, asTable bool) {
		from := manage.JSONLines(bytes.NewReader(text))
		if asTable {
			var err error
			if from, err = manage.Table(bytes.NewReader(text)); err != nil {
				return
			}
		}
		for n := 0; ; n++ {
			line, record, err := from.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			complaints := manage.Complaints(err)
			if err != nil && len(complaints) == 0 {
				return
			}
			if line < 1 || (record == nil) == (err == nil) && len(complaints) == 0 || n > len(text) {
				t.Fatalf("line %d, %v, %v", line, record, err)
			}
			if len(complaints) == 1 && complaints[0].Field == "file" {
				return
			}
		}
	})
}
