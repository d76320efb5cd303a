package server_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/mailtest"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
)

// F-28: with a mail server that takes the connection and then says nothing, people sign up and sign in as ever. The process is
// killed with a letter in its hands; when it is back, and the mail server too, every letter arrives, and none of them twice.
func TestAMailServerThatHangsKeepsNobodyOutAndLosesNothing(t *testing.T) {
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		var hangs atomic.Bool
		hangs.Store(true)
		post := mailtest.Start(t, mailtest.Options{TLS: mail.TLSNone, Reply: func(command, _ string) string {
			if command == "MAIL" && hangs.Load() {
				return mailtest.Hang
			}
			return ""
		}})
		// This house makes what there is at the process, with which it shares the database and the master key.
		house := servertest.Start(t, servertest.Options{DatabaseURL: databaseURL})
		house.User(house.In("default"), "alice")
		address := freeAddress(t)
		base := "http://localhost:" + address[strings.LastIndex(address, ":")+1:]
		environ := []string{
			"KEIZER_DATA_DIR=" + house.Cfg.DataDir, "KEIZER_DATABASE_URL=" + databaseURL, "KEIZER_MAIL_HOST=" + post.Host, fmt.Sprint("KEIZER_MAIL_PORT=", post.Port),
			"KEIZER_MAIL_TLS=none", "KEIZER_MAIL_FROM=no-reply@example.com",
		}
		p := serve(t, base, address, environ...)
		const limit = 5*time.Second + busy
		inTime := func(what string, deed func()) {
			t.Helper()
			began := time.Now()
			if deed(); time.Since(began) > limit {
				t.Errorf("%s took %v", what, time.Since(began))
			}
		}
		var want []string
		for i := range 4 {
			want = append(want, fmt.Sprintf("new%d@example.com", i))
			inTime("signing up", func() {
				g := from(t, "127.0.0.1")
				g.sees(g.send(g.open(base+"/signup", "Create an account"), "signup-submit", "email", want[i], "password", newPassword), "Check your mail")
			})
			inTime("signing in", func() {
				g := from(t, "127.0.0.1")
				g.sees(g.send(g.open(base+"/login", "Sign in"), "login-submit", "username", "alice", "password", servertest.Password), "Your account")
			})
		}
		if !within(t.Context(), limit, func() bool {
			return slices.ContainsFunc(post.Said(), func(said string) bool { return strings.HasPrefix(said, "MAIL") })
		}) {
			t.Fatal("nobody has spoken to the mail server")
		}
		p.kill(t)
		if n := len(post.Received()); n != 0 {
			t.Fatalf("%d letters arrived", n)
		}
		all, err := house.DB.ListMail(t.Context(), storage.MailAll, storage.Mail{}, 100)
		if err != nil {
			t.Fatal(err)
		}
		want = nil
		for _, m := range all {
			if want = append(want, m.Message.To+" "+string(m.Message.Kind)); m.DeliveredAt != nil {
				t.Errorf("%s is said to have left", want[len(want)-1])
			}
		}
		if len(want) < 4+3 { // those of the sign-ups, and of alice's browsers but the first
			t.Errorf("%d letters wait: %v", len(want), want)
		}

		hangs.Store(false)
		change(t, house, `UPDATE outbox SET claimed_until = '`+longAgo+`' WHERE claimed_until IS NOT NULL`) // five minutes later
		serve(t, base, address, environ...)
		post.Wait(t, len(want))
		if !within(t.Context(), 10*time.Second, func() bool {
			left, err := house.DB.ListMail(t.Context(), storage.MailUndelivered, storage.Mail{}, 100)
			return err == nil && len(left) == 0
		}) {
			t.Error("it is not written down that they have left")
		}
		var got []string
		for _, m := range post.Received() {
			id := strings.Trim(m.Message.Header.Get("Message-ID"), "<>")
			for _, row := range all {
				if strings.HasPrefix(id, row.ID.String()) {
					got = append(got, m.To[0]+" "+string(row.Message.Kind))
				}
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) || len(post.Received()) != len(want) {
			t.Errorf("arrived: %v\nwant %v", got, want)
		}
	})
}
