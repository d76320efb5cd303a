package main

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/storage"
)

func TestWhatAnOrganizationDecidesIsShownAndChanged(t *testing.T) {
	everywhere(t, func(t *testing.T, s *station) {
		s.do("org", "create", "acme", "--name", "Acme")
		member := func(object map[string]any, path string) any {
			t.Helper()
			value := object["settings"]
			for name := range strings.SplitSeq(path, ".") {
				below, _ := value.(map[string]any)
				value = below[name]
			}
			return value
		}
		if shown := s.object("org", "show", "acme"); member(shown, "sign_up.mode") != "invitation" {
			t.Errorf("%v", shown)
		}
		if shown := s.object("org", "show", "default"); member(shown, "sign_up.mode") != "open" {
			t.Errorf("a newcomer cannot sign up: %v", shown)
		}
		changed := s.object("org", "update", "acme", "--name", "Acme Inc.", "--set", "sign_up.mode=open", "--set", "sign_up.domains=Acme.example, b.example",
			"--set", "sessions.idle=30m", "--set", "sessions.end_tokens=true")
		if changed["name"] != "Acme Inc." || member(changed, "sign_up.mode") != "open" || member(changed, "sessions.idle") != "30m" || member(changed, "sessions.end_tokens") != true ||
			!reflect.DeepEqual(member(changed, "sign_up.domains"), []any{"acme.example", "b.example"}) {
			t.Errorf("%v", changed)
		}
		if shown := s.object("org", "show", "acme"); !reflect.DeepEqual(shown, changed) {
			t.Errorf("shown %v, changed %v", shown, changed)
		}
		if table := s.do("org", "show", "acme"); !strings.Contains(table, "sign_up.domains") || !strings.Contains(table, "acme.example,b.example") {
			t.Errorf("%s", table)
		}
		s.doWith(`{"branding":{"accent":"#AA0000"},"sessions":{"idle":null}}`, "org", "update", "acme", "--settings", "-", "--unset", "sign_up.domains")
		shown := s.object("org", "show", "acme")
		if member(shown, "branding.accent") != "#aa0000" || member(shown, "sessions.idle") != nil || member(shown, "sign_up.domains") != nil || member(shown, "sign_up.mode") != "open" {
			t.Errorf("%v", shown)
		}
		got := s.keizer("", "org", "update", "acme", "--set", "sign_up.mode=ajar", "--set", "branding.accent=red", "--set", "sessions.idle=1s")
		if lines := strings.Split(strings.TrimSpace(got.err), "\n"); got.code != exitUsage || len(lines) != 3 || !strings.HasPrefix(lines[0], "keizer: branding.accent: ") {
			t.Errorf("%+v", got)
		}
		s.refused(exitUsage, "did you mean sign_up.mode?", "org", "update", "acme", "--set", "sign_up.mod=open")
		s.refused(exitUsage, "it must be PATH=VALUE", "org", "update", "acme", "--set", "sign_up.mode")
		s.refused(exitUsage, "needs --name", "org", "update", "acme")
		s.refused(exitUsage, "second_factor.roles: ", "org", "update", "acme", "--set", "second_factor.roles=nobodys")
		s.refusedWith(`{"sign_upp":{}}`, exitUsage, "sign_upp: there is no such setting", "org", "update", "acme", "--settings", "-")
		s.refusedWith(`[]`, exitUsage, "not a JSON object", "org", "update", "acme", "--settings", "-")
		s.refused(exitUsage, "no such file", "org", "update", "acme", "--settings", "missing.json")
		s.refused(exitNotFound, `organization "nobody" does not exist`, "org", "update", "nobody", "--name", "x")
		write(t, "logo.txt", "not a picture")
		s.refused(exitUsage, "logo: ", "org", "update", "acme", "--logo", "logo.txt")
		s.refused(exitUsage, "contradict", "org", "update", "acme", "--logo", "logo.txt", "--no-logo")
	})
}

func TestAPersonIsChangedSwitchedOffAndDeleted(t *testing.T) {
	everywhere(t, func(t *testing.T, s *station) {
		const password = "correct horse battery"
		made := s.objectWith(password, "user", "create", "--username", "alice", "--email", "alice@example.com", "--verified", "--role", "operator", "--password-stdin")
		id := text(t, made, "id")
		s.doWith(password, "user", "create", "--username", "bob", "--email", "bob@example.com", "--password-stdin")

		changed := s.object("user", "update", "alice", "--name", "Alice Doe", "--email", "a@example.org", "--verified")
		if changed["full_name"] != "Alice Doe" || changed["email"] != "a@example.org" || changed["is_verified"] != true || changed["id"] != id {
			t.Errorf("%v", changed)
		}
		if changed = s.objectWith(`{"locale":"de"}`, "user", "update", "a@example.org", "--metadata", "-", "--name", ""); changed["full_name"] != nil || !reflect.DeepEqual(changed["metadata"], map[string]any{"locale": "de"}) {
			t.Errorf("%v", changed)
		}
		if changed = s.object("user", "update", id, "--verified=false"); changed["is_verified"] != false {
			t.Errorf("%v", changed)
		}
		if found := s.array("user", "list", "--query", "EXAMPLE.ORG"); len(found) != 1 || found[0]["id"] != id {
			t.Errorf("%v", found)
		}
		if found := s.array("user", "list", "--limit", "1"); len(found) != 1 {
			t.Errorf("%v", found)
		}

		house := s.house()
		ctx := in(t, house, "default")
		bob, err := house.DB.UserByLogin(ctx, "bob")
		if err != nil {
			t.Fatal(err)
		}
		address := "192.0.2.7"
		session := &storage.Session{
			UserID: bob.ID, Token: secret.Digest(secret.New(secret.Session)), UserAgent: "Test/1.0", IPAddress: &address, AMR: []string{"pwd"}, ExpiresAt: time.Now().Add(time.Hour),
		}
		if err := house.DB.CreateSession(ctx, session); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"session", "list"}, {"session", "list", "--user", "bob"}} {
			listed := s.array(args...)
			if len(listed) != 1 || listed[0]["user"] != "bob" || listed[0]["user_agent"] != "Test/1.0" || listed[0]["ip_address"] != address || listed[0]["last_used_at"] == nil {
				t.Errorf("%v: %v", args, listed)
			}
		}
		if listed := s.array("session", "list", "--user", "alice"); len(listed) != 0 {
			t.Errorf("%v", listed)
		}
		if table := s.do("session", "list"); !strings.HasPrefix(table, "ID") || !strings.Contains(table, "Test/1.0") {
			t.Errorf("%s", table)
		}
		s.refused(exitNotFound, "does not exist in organization", "session", "revoke", id)
		s.refused(exitUsage, "needs one of", "session", "revoke")
		s.refused(exitUsage, "needs one of", "session", "revoke", session.ID.String(), "--all")
		s.refused(exitNotFound, `user "nobody"`, "session", "revoke", "--user", "nobody")
		if ended := s.object("session", "revoke", session.ID.String()); ended["sessions_ended"] != 1.0 {
			t.Errorf("%v", ended)
		}
		if listed := s.array("session", "list"); len(listed) != 0 {
			t.Errorf("%v", listed)
		}
		s.refused(exitNotFound, "or has ended", "session", "revoke", session.ID.String())
		for _, args := range [][]string{{"session", "revoke", "--user", "bob"}, {"session", "revoke", "--all"}} {
			if ended := s.object(args...); ended["sessions_ended"] != 0.0 {
				t.Errorf("%v: %v", args, ended)
			}
		}

		if off := s.object("user", "disable", "bob"); off["is_active"] != false {
			t.Errorf("%v", off)
		}
		if on := s.object("user", "enable", "bob"); on["is_active"] != true {
			t.Errorf("%v", on)
		}
		if reset := s.object("user", "reset-mfa", "bob"); reset["passkeys"] != 0.0 || reset["id"] != bob.ID.String() {
			t.Errorf("%v", reset)
		}
		for _, deed := range [][]string{{"disable", "alice"}, {"delete", "alice", "--yes"}} {
			s.refused(exitConflict, "nobody else who is active owns this organization", append([]string{"user"}, deed...)...)
		}
		s.refused(exitUsage, "--yes", "user", "delete", "bob")
		if gone := s.object("user", "delete", "bob", "--yes"); gone["deleted"] != true {
			t.Errorf("%v", gone)
		}
		for _, verb := range [][]string{{"show", "bob"}, {"update", "bob", "--name", "B"}, {"disable", "bob"}, {"enable", "bob"}, {"delete", "bob", "--yes"}, {"reset-mfa", "bob"}} {
			s.refused(exitNotFound, `user "bob" does not exist in organization "default"`, append([]string{"user"}, verb...)...)
		}
		s.refused(exitUsage, "needs --email", "user", "update", "alice")
		s.refused(exitUsage, "email: ", "user", "update", "alice", "--email", "nothing")
		s.refusedWith(`[1]`, exitUsage, "not a JSON object", "user", "update", "alice", "--metadata", "-")
		s.refusedWith(`{"sub":"x"}`, exitUsage, "metadata: ", "user", "update", "alice", "--metadata", "-")
		s.do("org", "create", "acme")
		s.refused(exitNotFound, `organization "acme"`, "user", "disable", id, "--org", "acme")
	})
}

func TestPeopleAreImportedAndExported(t *testing.T) {
	everywhere(t, func(t *testing.T, s *station) {
		s.do("org", "create", "acme")
		s.do("org", "create", "beta")
		const hash = "$2b$10$kKVjKyHZlVRXcBqmBP5bGOGKK1dYwFDSnS0qZhrGZwQ6t9xjNu7pq"
		people := `{"email":"alice@example.com","username":"alice","password_hash":"` + hash + `"}` + "\n" + `{"email":"bob@example.com","name":"Bob, B."}` + "\n"
		write(t, "people.jsonl", people)
		if dry := s.object("user", "import", "people.jsonl", "--org", "acme", "--dry-run"); dry["created"] != 2.0 || dry["dry_run"] != true {
			t.Errorf("%v", dry)
		}
		if users := s.array("user", "list", "--org", "acme"); len(users) != 0 {
			t.Errorf("a dry run made %v", users)
		}
		if made := s.object("user", "import", "people.jsonl", "--org", "acme"); made["created"] != 2.0 || made["failed"] != 0.0 || !reflect.DeepEqual(made["complaints"], []any{}) {
			t.Errorf("%v", made)
		}
		if again := s.objectWith(people, "user", "import", "-", "--org", "acme"); again["unchanged"] != 2.0 || again["created"] != 0.0 {
			t.Errorf("%v", again)
		}
		if table := s.do("user", "import", "people.jsonl", "--org", "acme"); !strings.Contains(table, "unchanged  2") {
			t.Errorf("%s", table)
		}
		csv := s.do("user", "export", "--org", "acme", "--format", "csv", "--with-hashes")
		write(t, "people.csv", csv)
		if !strings.HasPrefix(csv, "email,email_verified,username,name,password_hash,active,roles,metadata,created_at\n") || !strings.Contains(csv, hash) || !strings.Contains(csv, `"Bob, B."`) {
			t.Errorf("%s", csv)
		}
		if made := s.object("user", "import", "people.csv", "--org", "beta"); made["created"] != 2.0 {
			t.Errorf("%v", made)
		}
		if lines := s.do("user", "export", "--org", "beta"); strings.Count(lines, "\n") != 2 || strings.Contains(lines, hash) || strings.Contains(lines, `"id"`) {
			t.Errorf("%s", lines)
		}
		if array := s.array("user", "export", "--org", "beta"); len(array) != 2 || array[0]["email"] == nil {
			t.Errorf("%v", array)
		}
		if again := s.do("user", "export", "--org", "beta", "--format", "csv", "-o", "json"); !strings.HasPrefix(again, "email,") {
			t.Errorf("%s", again)
		}
		s.do("org", "create", "empty")
		if array := s.array("user", "export", "--org", "empty"); array == nil || len(array) != 0 {
			t.Errorf("%v", array)
		}
		if ids := s.do("user", "export", "--org", "beta", "--with-ids"); !strings.Contains(ids, `"id"`) {
			t.Errorf("%s", ids)
		}

		got := s.keizer(`{"email":"no address"}`+"\n"+`{"email":"bob@example.com","name":"Robert"}`+"\n"+`{"email":"carol@example.com"}`, "user", "import", "-", "--org", "acme", "-o", "json")
		var summary map[string]any
		readOne(t, got.out, &summary)
		complaints, _ := summary["complaints"].([]any)
		if got.code != exitFailed || summary["failed"] != 2.0 || summary["created"] != 1.0 || len(complaints) != 2 || !strings.Contains(got.err, "keizer: line 1: email: ") ||
			!strings.Contains(got.err, "keizer: line 2: email: this person is there already") || !strings.HasSuffix(got.err, "keizer: 2 lines failed\n") {
			t.Errorf("%+v", got)
		}
		s.refused(exitUsage, "--format must be jsonl or csv", "user", "import", "people.jsonl", "--format", "xml")
		s.refused(exitUsage, "--format must be jsonl or csv", "user", "export", "--format", "table")
		s.refused(exitUsage, "on_conflict: ", "user", "import", "people.jsonl", "--on-conflict", "merge")
		s.refused(exitUsage, "no such file", "user", "import", "missing.jsonl")
		s.refused(exitUsage, "is a folder", "user", "import", ".")
		s.refusedWith("emial\n", exitUsage, "did you mean email?", "user", "import", "-", "--format", "csv")
		s.refused(exitNotFound, "organization", "user", "import", "people.jsonl", "--org", "nobody")
	})
}

func TestAskingHowADatabaseIsMakesNone(t *testing.T) {
	s := newStation(t)
	all := s.array("migrate", "status")
	if len(all) < 12 || all[0]["applied_at"] != nil || all[len(all)-1]["applied_at"] != nil {
		t.Errorf("%v", all)
	}
	s.findings(0)
	if entries, err := os.ReadDir("."); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
	s.do("migrate", "up")
	if now := s.array("migrate", "status"); len(now) != len(all) || now[0]["applied_at"] == nil || now[0]["name"] != all[0]["name"] {
		t.Errorf("%v", now)
	}
}
