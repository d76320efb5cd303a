package server_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/server"
	"github.com/keizer-auth/keizer/server/servertest"
)

// S-282: what strangers send to the pages of people fills nothing: from one network little of it leaves a row at all, and what does
// is gone when its time is over.
func TestWhatStrangersSendToThePagesOfPeopleIsGoneInTime(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := behindProxy(t, servertest.Options{DatabaseURL: databaseURL})
		org := decided(t, house, "default", "sign_up.mode", "open")
		house.User(org, "alice")
		federate(t, house, org, "elsewhere", "id", "secret", map[string]any{"preset": "github"}, "")
		db := house.SQL()
		expiring := []string{
			"verification_tokens", "rate_limits", "sign_ins", "spent_challenges", "devices", "sessions", "outbox", "interactions", "upstream_requests", "oauth_accounts",
		}
		all := func() map[string]int {
			counts := map[string]int{"audit_events": rows(t, db, "audit_events")}
			for _, table := range expiring {
				counts[table] = rows(t, db, table)
			}
			return counts
		}
		before := all()
		const many = 40
		g := from(t, "2001:db8:1:2::1")
		tokens := map[string]string{}
		ask := func(page string, i int, pairs ...string) {
			t.Helper()
			if tokens[page] == "" {
				answer, err := g.Open(t.Context(), house.Base+strings.TrimSuffix(page, "/elsewhere"))
				if err != nil {
					t.Fatal(err)
				}
				_, form, _ := strings.Cut(answer.Body, `action="`+page)
				found := csrfField.FindStringSubmatch(form)
				if found == nil {
					t.Fatalf("there is no form for %s: %s", page, answer.Body)
				}
				tokens[page] = found[1]
			}
			address := fmt.Sprintf("2001:db8:1:2::%x", i+1)
			send(t, house, request{
				address: page, form: fields(append(pairs, "csrf_token", tokens[page])...), cookies: g.Cookies(house.URL),
				header: []string{"X-Forwarded-For", address},
			})
			for _, link := range []string{"/verify", "/reset", "/invitation", "/account/email/confirm", "/account/email/undo", "/login/elsewhere/callback"} {
				send(t, house, request{address: link + "?token=x&state=x", header: []string{"X-Forwarded-For", address}})
			}
		}
		for i := range many {
			ask("/login", i, "username", fmt.Sprint("nobody", i), "password", "x")
			ask("/signup", i, "email", fmt.Sprintf("nobody%d@example.com", i), "password", newPassword)
			ask("/forgot", i, "login", fmt.Sprint("nobody", i))
			ask("/login/elsewhere", i)
		}
		made := all()
		const slow = 6 // that a limit lets through while a slow machine takes its time
		for table, most := range map[string]int{
			"verification_tokens": 5, "outbox": 25, "audit_events": 20 + 5 + 20 + 4*1 + slow, "sign_ins": 0, "spent_challenges": 0, "devices": 0, "sessions": 0,
			"interactions": 0, "upstream_requests": many, "oauth_accounts": 0, "rate_limits": 20 + 5 + 4*3 + 1 + slow,
		} {
			if n := made[table] - before[table]; n > most {
				t.Errorf("%d requests leave %d rows in %s", many, n, table)
			}
		}
		if made["upstream_requests"] == before["upstream_requests"] {
			t.Error("nobody is sent elsewhere")
		}
		house.Letters("nobody@example.com") // which answers the requests for a password
		change(t, house, `UPDATE outbox SET delivered_at = '`+longAgo+`'`)
		for _, table := range []string{"verification_tokens", "rate_limits", "upstream_requests"} {
			change(t, house, `UPDATE `+table+` SET expires_at = '`+longAgo+`'`)
		}
		if _, err := house.DB.Purge(t.Context(), time.Now().UTC(), 20); err != nil {
			t.Fatal(err)
		}
		for table, n := range all() {
			if table != "audit_events" && n != before[table] {
				t.Errorf("%d rows are left in %s, of %d", n, table, before[table])
			}
		}
	})
}

// S-282: somebody who signs in again and again as nobody's browser fills neither the table of browsers nor a mailbox.
func TestSomebodyWhoAlwaysComesAsANewBrowserIsKnownWithFewOfThem(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	user := house.User(org, "alice")
	last := time.Now().UTC()
	user.LastLogin = &last
	var first, newest string
	for i := range 60 {
		err := house.DB.InTx(org, func(ctx context.Context) (err error) {
			newest, err = house.People.RememberDevice(ctx, visitorOf("203.0.113.6"), user, "")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = newest
		}
	}
	if devices, err := house.People.Devices(org, user.ID); err != nil || len(devices) != 50 {
		t.Errorf("%v: she is known with %d browsers", err, len(devices))
	}
	for token, want := range map[string]bool{first: false, newest: true} {
		if known, err := house.People.DeviceKnown(org, user.ID, token); err != nil || known != want {
			t.Errorf("%v: known %t, want %t", err, known, want)
		}
	}
	if n := len(house.Letters(user.Email)); n != 5 {
		t.Errorf("she gets %d letters", n)
	}
}

// S-282, RFC 7591 §5: whoever registers clients from one network registers few, and they go when nobody uses them.
func TestWhatStrangersRegisterIsLittleAndGoes(t *testing.T) {
	t.Parallel()
	house := behindProxy(t, servertest.Options{})
	decided(t, house, "default", "registration.mode", "open")
	db := house.SQL()
	count := func() (counts [3]int) {
		for i, table := range []string{"oauth_clients", "audit_events", "rate_limits"} {
			counts[i] = rows(t, db, table)
		}
		return counts
	}
	before := count()
	const many, slow = 40, 1 // that a limit lets through while a slow machine takes its time
	for i := range many {
		send(t, house, request{
			address: "/oauth2/register", body: strings.NewReader(`{"redirect_uris":["https://rp.example/cb"]}`), kind: "application/json",
			header: []string{"X-Forwarded-For", fmt.Sprintf("2001:db8:1:2::%x", i+1)},
		})
		send(t, house, request{method: "DELETE", address: "/oauth2/register/" + strings.Repeat("a", 24), header: []string{
			"X-Forwarded-For", fmt.Sprintf("2001:db8:1:2::%x", i+1), "Authorization", "Bearer x",
		}})
	}
	made := count()
	if n := made[0] - before[0]; n < 10 || n > 10+slow {
		t.Errorf("%d clients are registered from one network", n)
	}
	if n := made[1] - before[1]; n > 10+slow+1 { // each, and that it was too much
		t.Errorf("the audit has %d more", n)
	}
	if n := made[2] - before[2]; n > 4 {
		t.Errorf("%d limits are counted", n)
	}
	change(t, house, `UPDATE oauth_clients SET last_used_at = '`+longAgo+`' WHERE registered_at IS NOT NULL`)
	if err := server.TidyClients(t.Context(), house.House); err != nil {
		t.Fatal(err)
	}
	if left := count(); left[0] != before[0] {
		t.Errorf("%d are left", left[0]-before[0])
	}
}
