package mail

import (
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/mailtest"
	"github.com/keizer-auth/keizer/internal/secret"
)

// senderTo is a sender to a test's server.
func senderTo(t testing.TB, server *mailtest.Server, change func(*ServerOptions)) *Sender {
	t.Helper()
	o := ServerOptions{
		Host: server.Host, Port: server.Port, TLS: TLSStart, Roots: server.Roots, From: "no-reply@example.com", HELO: "id.example.com",
		Timeout: 5 * time.Second,
	}
	if change != nil {
		change(&o)
	}
	s, err := NewSender(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// send opens a session for one message.
func send(t testing.TB, s *Sender, m *Message) error {
	t.Helper()
	session, err := s.Open(t.Context())
	if err != nil {
		return err
	}
	err = session.Send(t.Context(), uuid.New(), time.Now(), m)
	return errors.Join(err, session.Close())
}

func written(t testing.TB, change func(*Letter)) *Message {
	t.Helper()
	c, err := NewComposer("")
	if err != nil {
		t.Fatal(err)
	}
	l := Sample(VerifyEmail)
	if change != nil {
		change(&l)
	}
	m, err := c.Compose(l)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// parts are the bodies of a multipart message by their types, decoded.
func parts(t testing.TB, m *netmail.Message) map[string]string {
	t.Helper()
	kind, parameters, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("%s, %v", kind, err)
	}
	found := make(map[string]string)
	reader := multipart.NewReader(m.Body, parameters["boundary"])
	for {
		part, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		var body io.Reader = part
		if part.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
			body = quotedprintable.NewReader(part)
		}
		text, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type"))
		found[kind] = strings.ReplaceAll(string(text), "\r\n", "\n")
	}
}

func TestALetterArrivesAsItWasWritten(t *testing.T) {
	for _, security := range []string{TLSStart, TLSFull, TLSNone} {
		t.Run(security, func(t *testing.T) {
			server := mailtest.Start(t, mailtest.Options{TLS: security, Username: "keizer", Password: "smtp canary"})
			s := senderTo(t, server, func(o *ServerOptions) {
				o.TLS, o.Username, o.Password = security, "keizer", secret.Text("smtp canary")
			})
			m := written(t, func(l *Letter) {
				l.Organization, l.FromName, l.ReplyTo = "Bücher & Söhne", "Bücher & Söhne, \"Mail\"", "help@bücher.example"
				l.To, l.Name = "Alice.Doe@Bücher.example", "Ålice"
			})
			if err := send(t, s, m); err != nil {
				t.Fatal(err)
			}
			got := server.Wait(t, 1)[0]
			header := got.Message.Header
			if got.From != "no-reply@example.com" || len(got.To) != 1 || got.To[0] != "Alice.Doe@xn--bcher-kva.example" {
				t.Errorf("the envelope: %+v", got)
			}
			var decoder mime.WordDecoder
			subject, err := decoder.DecodeHeader(header.Get("Subject"))
			if err != nil || subject != m.Subject {
				t.Errorf("subject %q, %v", subject, err)
			}
			from, err := header.AddressList("From")
			if err != nil || len(from) != 1 || from[0].Name != "Bücher & Söhne, \"Mail\"" || from[0].Address != "no-reply@example.com" {
				t.Errorf("from %v, %v", from, err)
			}
			reply, err := header.AddressList("Reply-To")
			if err != nil || len(reply) != 1 || reply[0].Address != "help@xn--bcher-kva.example" {
				t.Errorf("reply to %v, %v", reply, err)
			}
			if header.Get("Auto-Submitted") != "auto-generated" || header.Get("Content-Language") != "en" || header.Get("X-Mailer") != "" {
				t.Errorf("%v", header)
			}
			bodies := parts(t, got.Message)
			if len(bodies) != 2 || bodies["text/plain"] != m.Text || strings.TrimSpace(bodies["text/html"]) != strings.TrimSpace(m.HTML) {
				t.Errorf("the bodies differ: %q", bodies)
			}
			if server.Said()[0] != "EHLO id.example.com" {
				t.Errorf("%q", server.Said()[0])
			}
		})
	}
}

func TestTheSameRowHasTheSameMessageID(t *testing.T) {
	server := mailtest.Start(t, mailtest.Options{TLS: TLSStart})
	s := senderTo(t, server, nil)
	session, err := s.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id, at := uuid.New(), time.Date(2026, 11, 24, 3, 48, 0, 0, time.UTC)
	for range 2 {
		if err := session.Send(t.Context(), id, at, written(t, nil)); err != nil {
			t.Fatal(err)
		}
	}
	if err := session.Close(); err != nil {
		t.Error(err)
	}
	for _, m := range server.Wait(t, 2) {
		date, err := m.Message.Header.Date()
		if m.Message.Header.Get("Message-ID") != "<"+id.String()+"@example.com>" || err != nil || !date.Equal(at) {
			t.Errorf("%v", m.Message.Header)
		}
	}
}

func TestNothingLeavesWithoutTheTLSThatWasAskedFor(t *testing.T) {
	plain := mailtest.Start(t, mailtest.Options{TLS: TLSNone, Username: "keizer", Password: "canary"})
	secure := mailtest.Start(t, mailtest.Options{TLS: TLSStart, Username: "keizer", Password: "canary"})
	known := func(o *ServerOptions) { o.Username, o.Password = "keizer", secret.Text("canary") }
	for name, s := range map[string]*Sender{
		"a server without STARTTLS": senderTo(t, plain, known),
		"another authority":         senderTo(t, secure, func(o *ServerOptions) { known(o); o.Roots = plain.Roots }),
		"another name":              senderTo(t, secure, func(o *ServerOptions) { known(o); o.Host = "127.0.0.1" }),
		"tls spoken to starttls":    senderTo(t, secure, func(o *ServerOptions) { known(o); o.TLS = TLSFull }),
	} {
		if err := send(t, s, written(t, nil)); err == nil {
			t.Errorf("%s: sent", name)
		}
	}
	for _, server := range []*mailtest.Server{plain, secure} {
		for _, said := range server.Said() {
			if strings.HasPrefix(said, "AUTH") || strings.HasPrefix(said, "MAIL") {
				t.Errorf("said: %s", said)
			}
		}
	}
}

func TestAnAnswerToOneMessageIsToldFromAServerThatIsAway(t *testing.T) {
	for _, c := range []struct {
		name, command, reply string
		refused, permanent   bool
		received             int
	}{
		{"busy", "RCPT", "450 4.2.0 later", true, false, 0},
		{"greylisted", "RCPT", "451 4.7.1 later", true, false, 0},
		{"no such mailbox", "RCPT", "550 5.1.1 nobody of that name", true, true, 0},
		{"no such mailbox, plainly", "RCPT", "550 nobody of that name", true, true, 0},
		{"no relay", "RCPT", "554 5.7.1 relay access denied", true, false, 0},
		{"who are you", "RCPT", "530 5.7.0 authenticate first", false, false, 0},
		{"too large", "END", "552 5.3.4 too large", true, true, 0},
		{"queue full", "END", "452 4.3.1 later", true, false, 0},
		{"not at DATA", "DATA", "451 4.3.0 later", true, false, 0},
		{"closing", "RCPT", "421 4.3.2 closing", false, false, 0},
		{"sender refused", "MAIL", "550 5.7.1 not from you", false, false, 0},
		{"sender not now", "MAIL", "451 4.3.0 later", true, false, 0},
		{"broken off before", "DATA", mailtest.Drop, false, false, 0},
		{"broken off after", "END", mailtest.Drop, false, false, 1},
		{"silent", "END", mailtest.Hang, false, false, 1},
		{"silent at once", "CONNECT", mailtest.Hang, false, false, 0},
		{"greets badly", "CONNECT", "554 5.3.2 no service", false, false, 0},
		{"nonsense", "MAIL", "hello", false, false, 0},
		{"taken, then broken off", "RSET", mailtest.Drop, false, false, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := mailtest.Start(t, mailtest.Options{TLS: TLSNone, Reply: func(command, _ string) string {
				if command == c.command {
					return c.reply
				}
				return ""
			}})
			err := send(t, senderTo(t, server, func(o *ServerOptions) { o.TLS, o.Timeout = TLSNone, time.Second }), written(t, nil))
			if c.command == "RSET" { // it was taken: what breaks afterwards is no failure of this message
				var refused *Refused
				if errors.As(err, &refused) {
					t.Errorf("%v", err)
				}
				return
			}
			var refused *Refused
			if err == nil || errors.As(err, &refused) != c.refused || c.refused && refused.Permanent != c.permanent {
				t.Errorf("%T %v", err, err)
			}
			if got := len(server.Received()); got != c.received {
				t.Errorf("%d received", got)
			}
		})
	}
}

func TestWhoStopsWaitingIsFreeAtOnce(t *testing.T) {
	server := mailtest.Start(t, mailtest.Options{TLS: TLSNone, Reply: func(command, _ string) string {
		if command == "RCPT" {
			return mailtest.Hang
		}
		return ""
	}})
	s := senderTo(t, server, func(o *ServerOptions) { o.TLS, o.Timeout = TLSNone, time.Minute })
	session, err := s.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := session.Send(ctx, uuid.New(), time.Now(), written(t, nil)); err == nil {
		t.Error("sent")
	}
	if err := session.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

// A server that repeats what it is sent must not bring it into a log.
func TestTheErrorsOfAServerHoldNoPassword(t *testing.T) {
	server := mailtest.Start(t, mailtest.Options{TLS: TLSStart, Username: "keizer", Password: "right"})
	const canary = "pass canary/word"
	s := senderTo(t, server, func(o *ServerOptions) { o.Username, o.Password = "keizer", secret.Text(canary) })
	err := send(t, s, written(t, nil))
	if err == nil {
		t.Fatal("sent")
	}
	for _, said := range server.Said() {
		if words := strings.Fields(said); words[0] == "AUTH" && strings.Contains(err.Error(), words[len(words)-1]) {
			t.Errorf("%v", err)
		}
	}
	if strings.Contains(err.Error(), canary) || !strings.Contains(err.Error(), "535") {
		t.Errorf("%v", err)
	}
}

// A server that refuses a letter says what it does not like in it, which may be the very link that opens an account (S-286).
func TestTheErrorsOfAServerHoldNothingThatALetterOpens(t *testing.T) {
	m := written(t, func(l *Letter) { l.Link, l.Code = "https://id.example.com/verify?token=kz_vt_canary&x=1", "314159" })
	for _, reply := range []string{
		"550 5.7.1 it holds the address " + m.Link, "550 the word kz_vt_canary in it", "554 5.6.0 verify?token=kz_vt_canary&x=1", "550 is 314159 a number?",
		"421 never again a letter with 314159 and kz_vt_canary",
	} {
		server := mailtest.Start(t, mailtest.Options{TLS: TLSNone, Reply: func(command, _ string) string {
			if command == "END" {
				return reply
			}
			return ""
		}})
		err := send(t, senderTo(t, server, func(o *ServerOptions) { o.TLS = TLSNone }), m)
		if err == nil || !strings.Contains(err.Error(), reply[:3]) || !strings.Contains(err.Error(), "[redacted]") {
			t.Errorf("%s: %v", reply, err)
			continue
		}
		if strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "314159") {
			t.Errorf("%s: %v", reply, err)
		}
	}
}

// An organization may have an address of its own where the operator of the server lets it; nobody else's mail waits because the mail
// server does not know that address.
func TestMailComesFromTheAddressOfTheOrganizationWhereTheServerAllowsIt(t *testing.T) {
	server := mailtest.Start(t, mailtest.Options{TLS: TLSStart, Reply: func(command, argument string) string {
		if command == "MAIL" && strings.Contains(argument, "unknown@") {
			return "550 5.7.1 not from you"
		}
		return ""
	}})
	s := senderTo(t, server, func(o *ServerOptions) { o.FromDomains = []string{"acme.example"} })
	for own, want := range map[string]string{
		"":                             "no-reply@example.com",
		"hello@Acme.example":           "hello@acme.example",
		"hello@sub.acme.example":       "no-reply@example.com",
		"hello@acme.example.evil.test": "no-reply@example.com",
		"hello@other.example":          "no-reply@example.com",
		"no address":                   "no-reply@example.com",
	} {
		before := len(server.Received())
		if err := send(t, s, written(t, func(l *Letter) { l.Sender = own })); err != nil {
			t.Fatalf("%q: %v", own, err)
		}
		got := server.Wait(t, before+1)[before]
		from, err := got.Message.Header.AddressList("From")
		if err != nil || len(from) != 1 || from[0].Address != want || got.From != want {
			t.Errorf("%q: from %v in an envelope from %s, %v", own, from, got.From, err)
		}
	}
	session, err := s.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var refused *Refused
	err = session.Send(t.Context(), uuid.New(), time.Now(), written(t, func(l *Letter) { l.Sender = "unknown@acme.example" }))
	if !errors.As(err, &refused) || refused.Permanent {
		t.Errorf("an address that the mail server does not know: %v", err)
	}
	if err := errors.Join(session.Send(t.Context(), uuid.New(), time.Now(), written(t, nil)), session.Close()); err != nil {
		t.Errorf("and the next letter: %v", err)
	}
}
