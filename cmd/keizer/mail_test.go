package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/mailtest"
	"github.com/keizer-auth/keizer/storage"
)

func TestMailThatHasNotLeftIsListedAndTriedAgain(t *testing.T) {
	everywhere(t, func(t *testing.T, s *station) {
		s.do("org", "create", "acme", "--name", "Acme")
		house := s.house()
		for i, slug := range []string{"default", "acme", "default"} {
			if err := house.DB.EnqueueMail(in(t, house, slug), nil, &mail.Message{
				Kind: mail.PasswordReset, To: fmt.Sprintf("p%d@example.com", i), Subject: "subject-canary", Link: "https://id.example.com/link-canary",
			}); err != nil {
				t.Fatal(err)
			}
		}
		claimed, err := house.DB.ClaimMail(t.Context(), time.Now().Add(time.Minute), 2)
		if err != nil {
			t.Fatal(err)
		}
		if err := house.DB.AbandonMail(in(t, house, "default"), &claimed[0], "550 nobody\x1b[2J"); err != nil {
			t.Fatal(err)
		}
		if err := house.DB.PostponeMail(t.Context(), &claimed[1], time.Now().Add(time.Hour), "451 later"); err != nil {
			t.Fatal(err)
		}

		shown := s.array("mail", "list")
		if len(shown) != 3 || shown[0]["to"] != "p2@example.com" || shown[0]["status"] != "waiting" || shown[0]["organization"] != "default" ||
			shown[1]["organization"] != "acme" || shown[1]["last_error"] != "451 later" || shown[1]["next_attempt_at"] == nil ||
			shown[2]["status"] != "abandoned" || shown[2]["attempts"] != 1.0 || shown[2]["letter"] != "password_reset" || shown[2]["next_attempt_at"] != nil {
			t.Errorf("%v", shown)
		}
		if shown := s.array("mail", "list", "--abandoned"); len(shown) != 1 || shown[0]["to"] != "p0@example.com" {
			t.Errorf("%v", shown)
		}
		if shown := s.array("mail", "list", "--org", "acme"); len(shown) != 1 || shown[0]["to"] != "p1@example.com" {
			t.Errorf("%v", shown)
		}
		table := s.do("mail", "list")
		if !strings.HasPrefix(table, "ID") || strings.Contains(table, "canary") || strings.Contains(table, "\x1b") || !strings.Contains(table, "550 nobody") {
			t.Errorf("%s", table)
		}
		if got := s.findings(0); got["outbox"] != doubt {
			t.Errorf("the doctor says %v", got)
		}

		if got := s.object("mail", "retry", claimed[0].ID.String()); got["retried"] != 1.0 {
			t.Errorf("%v", got)
		}
		if shown := s.array("mail", "list", "--abandoned"); len(shown) != 0 {
			t.Errorf("%v", shown)
		}
		if got := s.object("mail", "retry", "--all"); got["retried"] != 3.0 {
			t.Errorf("%v", got)
		}
		due, err := house.DB.ClaimMail(t.Context(), time.Now().Add(time.Minute), 5)
		if err != nil || len(due) != 3 {
			t.Errorf("%v, %v", due, err)
		}
		events, err := house.DB.ListAudit(in(t, house, "acme"), storage.AuditFilter{Limit: 1})
		if err != nil || len(events) != 1 || events[0].Action != "mail.retried" || !strings.HasPrefix(events[0].Actor, "cli:") {
			t.Errorf("%+v, %v", events, err)
		}
		if err := house.DB.MailDelivered(t.Context(), due[0].ID, false); err != nil {
			t.Error(err)
		}
		s.refused(exitNotFound, "that has not left", "mail", "retry", due[0].ID.String())
		s.refused(exitNotFound, "that has not left", "mail", "retry", "nothing")
		s.refused(exitNotFound, `organization "nobody" does not exist`, "mail", "list", "--org", "nobody")
		s.refused(exitUsage, "needs one of LETTER and --all", "mail", "retry")
		s.refused(exitUsage, "needs one of LETTER and --all", "mail", "retry", "x", "--all")
		if state, err := house.DB.MailByID(t.Context(), due[0].ID); err != nil || state.DeliveredAt == nil {
			t.Errorf("%+v, %v", state, err)
		}
	})
}

func TestMailIsTriedAndTheServerLookedAt(t *testing.T) {
	refusing := ""
	server := mailtest.Start(t, mailtest.Options{TLS: mail.TLSStart, Username: "keizer", Password: "password-canary", Reply: func(command, _ string) string {
		if command == "RCPT" {
			return refusing
		}
		return ""
	}})
	configured := []string{
		"KEIZER_MAIL_HOST=" + server.Host, fmt.Sprint("KEIZER_MAIL_PORT=", server.Port), "KEIZER_MAIL_FROM=no-reply@example.com", "KEIZER_MAIL_USERNAME=keizer",
		"KEIZER_MAIL_CA_FILE=ca.pem", "KEIZER_MAIL_TIMEOUT=3s",
	}
	good := newStation(t, append([]string{"KEIZER_MAIL_PASSWORD=password-canary"}, configured...)...)
	write(t, "ca.pem", string(server.CA))
	sent := good.object("mail", "test", "alice@example.com")
	if sent["to"] != "alice@example.com" || sent["from"] != "no-reply@example.com" {
		t.Errorf("%v", sent)
	}
	got := server.Wait(t, 1)[0]
	if got.To[0] != "alice@example.com" || got.Message.Header.Get("Subject") != "A test of mail from Default" {
		t.Errorf("%+v", got)
	}
	if found := good.findings(0); found["mail server"] != fine || len(server.Received()) != 1 {
		t.Errorf("%v, and %d were sent", found, len(server.Received()))
	}
	good.refused(exitUsage, "is not an e-mail address", "mail", "test", "alice")
	refusing = "550 5.1.1 nobody of that name"
	good.refused(exitFailed, "nobody of that name", "mail", "test", "alice@example.com")

	bad := newStation(t, append([]string{"KEIZER_MAIL_PASSWORD=wrong-canary"}, configured...)...)
	write(t, "ca.pem", string(server.CA))
	answer := bad.keizer("", "mail", "test", "alice@example.com")
	if answer.code != exitFailed || strings.Contains(answer.err, "canary") || !strings.Contains(answer.err, "535") {
		t.Errorf("%+v", answer)
	}
	if found := bad.findings(exitFailed); found["mail server"] != ill {
		t.Errorf("%v", found)
	}

	newStation(t).refused(exitFailed, "no mail server is configured", "mail", "test", "alice@example.com")
	waiting := production(t)
	waiting.do("migrate", "up")
	if found := waiting.findings(0); found["mail server"] != doubt {
		t.Errorf("%v", found)
	}

	broken := newStation(t, "KEIZER_MAIL_TEMPLATES_DIR=templates")
	if err := os.Mkdir("templates", 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, "templates/password_reset.html", "<p>\n{{.Lnik}}</p>")
	if found := broken.findings(exitFailed); found["mail templates"] != ill {
		t.Errorf("%v", found)
	}
	broken.refused(exitFailed, "templates/password_reset.html:2:2: ", "org", "list")
}
