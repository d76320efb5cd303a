package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

// S-206: whoever was brought in from elsewhere signs in with the password that they had there, whatever it was hashed with, and from
// then on it is hashed as everybody's is. Who was brought in without one signs in with none.
func TestWhoeverWasBroughtInFromElsewhereSignsInAndIsHashedAnew(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := behindProxy(t, servertest.Options{DatabaseURL: databaseURL})
		org := house.In("default")
		const text = "correct horse"
		// Made by glibc's crypt, Python's hashlib and the reference implementation of argon2.
		hashes := []struct{ hash, right, wrong string }{
			{"$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2", text, "correct horsE"},
			{"{CRYPT}$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2", text, text + "\x00"},
			{"$2b$05$abcdefghijklmnopqrstuujf8SX2ahXLwp9w/B.Y5XdysS6yR576q", strings.Repeat("x", 73) + "y", strings.Repeat("x", 71) + "y"}, // of which it reads 72
			{"$scrypt$ln=14,r=8,p=1$c2FsdHNhbHRzYWx0c2FsdA$1idRgu6ns74sljt005o5BblTKV7Jul0HPGT6aXWnXKY", text, text + " "},
			{"$pbkdf2-sha256$i=1000,l=32$c2FsdHNhbHRzYWx0c2FsdA$BBs+1+PaslLtBPULUr8/lQicvVuHiEPMz0i8MjLCbzM", text, "x"},
			{"$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA", "password", "passwore"},
			{"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password", password.None},
		}
		var lines strings.Builder
		for i, h := range hashes {
			fmt.Fprintf(&lines, `{"email":"person%d@example.com","password_hash":%q}`+"\n", i, h.hash)
		}
		fmt.Fprintln(&lines, `{"email":"none@example.com"}`)
		summary, err := house.Operators.ImportUsers(org, manage.JSONLines(strings.NewReader(lines.String())), manage.ImportOptions{})
		if err != nil || summary.Created != len(hashes)+1 {
			t.Fatalf("%v: %+v", err, summary)
		}
		next := 0
		signIn := func(name, text string) int {
			t.Helper()
			next++
			return newGuesser(t, house).guess(stranger(next), name+"@example.com", text).Status
		}
		stored := func(name string) string {
			t.Helper()
			user, err := house.DB.UserByLogin(org, name+"@example.com")
			if err != nil {
				t.Fatal(err)
			}
			return user.PasswordHash
		}
		for i, h := range hashes {
			name := fmt.Sprint("person", i)
			if status := signIn(name, h.wrong); status != http.StatusUnauthorized || stored(name) != h.hash {
				t.Errorf("%.12s: with another password it is %d", h.hash, status)
			}
			if status := signIn(name, h.right); status != http.StatusSeeOther {
				t.Errorf("%.12s: with the right password it is %d", h.hash, status)
			}
			renewed := stored(name)
			if !strings.HasPrefix(renewed, "$argon2id$v=19$m=64,t=2,p=1$") {
				t.Errorf("%.12s: it is stored as %.20s", h.hash, renewed)
			}
			if status := signIn(name, h.right); status != http.StatusSeeOther || stored(name) != renewed {
				t.Errorf("%.12s: the second time it is %d, or hashed once more", h.hash, status)
			}
		}
		if status := signIn("person2", strings.Repeat("x", 72)); status != http.StatusUnauthorized {
			t.Errorf("what bcrypt has passed over counts from now on: %d", status)
		}
		for _, text := range []string{password.None, " ", "none@example.com"} {
			if status := signIn("none", text); status != http.StatusUnauthorized || stored("none") != password.None {
				t.Errorf("whoever has no password signs in with %q: %d", text, status)
			}
		}
	})
}

// S-197: where people were brought in from elsewhere, whoever does not exist, or has no password, takes as long as one of them; and is
// not let in by the password of whomever that is.
func TestWhoIsNobodyTakesTheWorkOfSomebody(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := servertest.Start(t, servertest.Options{DatabaseURL: databaseURL, Configure: behindProxies})
		org := house.In("default")
		next := 0
		// elsewhere is how many hashes from elsewhere are computed for a sign-in that fails.
		elsewhere := func(name string) int64 {
			t.Helper()
			next++
			worked, before := house.Hasher.Worked(), house.Hasher.Elsewhere()
			if answer := newGuesser(t, house).guess(stranger(next), name, "correct horse"); answer.Status != http.StatusUnauthorized {
				t.Errorf("%s: %d", name, answer.Status)
			}
			if worked = house.Hasher.Worked() - worked; worked != 1 {
				t.Errorf("%s: %d hashes were computed", name, worked)
			}
			return house.Hasher.Elsewhere() - before
		}
		if n := elsewhere("nobody"); n != 0 {
			t.Error("of nobody at all somebody was brought in")
		}
		const imported = `{"email":"person%d@example.com","username":"person%d","password_hash":"$pbkdf2-sha256$1000$c2FsdHNhbHRzYWx0c2FsdA$BBs.1.PaslLtBPULUr8/lQicvVuHiEPMz0i8MjLCbzM"}` + "\n"
		var lines strings.Builder
		for i := range 8 {
			fmt.Fprintf(&lines, imported, i, i)
		}
		if _, err := house.Operators.ImportUsers(org, manage.JSONLines(strings.NewReader(lines.String())), manage.ImportOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"nobody", "nobody@example.com", "two words", "somebody else", "another"} {
			if n := elsewhere(name); n != 1 {
				t.Errorf("%s: %d hashes from elsewhere were computed", name, n)
			}
		}
		// Of people without a password there are as many kinds as of others.
		social := house.User(org, "social")
		if err := house.DB.SetPasswordHash(org, social.ID, password.None); err != nil {
			t.Fatal(err)
		}
		if status := newGuesser(t, house).guess(stranger(500), "person0", "correct horse").Status; status != http.StatusSeeOther {
			t.Errorf("somebody who was brought in: %d", status)
		}
		elsewhere("social")
		change(t, house, `UPDATE users SET password_hash = 'no hash at all'`)
		for _, name := range []string{"nobody", "social"} {
			if n := elsewhere(name); n != 0 {
				t.Errorf("%s, beside a hash that cannot be read: %d", name, n)
			}
		}
	})
}
