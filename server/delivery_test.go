package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/config"
	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/mailtest"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// post is a test's outbox and what delivers from it.
type post struct {
	t   *testing.T
	db  *storage.DB
	ctx context.Context // of an organization
	log *logbook
	*delivery
}

// eachPost runs a test on both databases, with a mail server.
func eachPost(t *testing.T, o mailtest.Options, test func(t *testing.T, p *post, server *mailtest.Server)) {
	t.Helper()
	storagetest.EachURL(t, func(t *testing.T, url string) {
		o := o
		o.TLS = mail.TLSNone
		server := mailtest.Start(t, o)
		p := openPost(t, url, server)
		test(t, p, server)
	})
}

func openPost(t *testing.T, url string, server *mailtest.Server) *post {
	t.Helper()
	db := storagetest.Open(t, url)
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	cfg := config.Defaults()
	cfg.Mail.Host, cfg.Mail.Port, cfg.Mail.TLS, cfg.Mail.From, cfg.Mail.Timeout = server.Host, server.Port, mail.TLSNone, "no-reply@example.com", time.Second
	sender, err := MailSender(cfg)
	if err != nil {
		t.Fatal(err)
	}
	log := &logbook{}
	return &post{
		t: t, db: db, log: log,
		delivery: &delivery{db: db, log: log.logger(), sender: sender, timeout: cfg.Mail.Timeout},
	}
}

const (
	canaryLink = "https://id.example.com/reset?token=link-canary"
	canaryTo   = "address-canary"
)

// enqueue puts n messages into the outbox, numbered on from first.
func (p *post) enqueue(first, n int) {
	p.t.Helper()
	if p.ctx == nil {
		p.ctx = storagetest.Org(p.t, p.db, "acme")
	}
	for i := range n {
		err := p.db.EnqueueMail(p.ctx, nil, &mail.Message{
			Kind: mail.PasswordReset, To: fmt.Sprintf("%s-%d@example.com", canaryTo, first+i), FromName: "Acme", Subject: fmt.Sprint(first + i),
			Text: canaryLink, HTML: "<p>" + canaryLink, Language: "en", Link: canaryLink,
		})
		if err != nil {
			p.t.Fatal(err)
		}
	}
}

// rounds delivers what is due.
func (p *post) rounds() error {
	p.t.Helper()
	return p.round(p.t.Context())
}

// mail is everything in the outbox, oldest first.
func (p *post) mail() []storage.Mail {
	p.t.Helper()
	all, err := p.db.ListMail(p.t.Context(), storage.MailAll, storage.Mail{}, 1000)
	if err != nil {
		p.t.Fatal(err)
	}
	slices.Reverse(all)
	return all
}

// start runs the job until the test ends, or stop is called.
func (p *post) start() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.run(ctx)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	p.t.Cleanup(stop)
	return stop
}

func subjects(received []mailtest.Received) (all []string) {
	for _, r := range received {
		all = append(all, r.Message.Header.Get("Subject"))
	}
	return all
}

func TestMailLeavesAtOnceInOrderAndOnce(t *testing.T) {
	eachPost(t, mailtest.Options{}, func(t *testing.T, p *post, server *mailtest.Server) {
		p.enqueue(0, 1)
		p.start()
		server.Wait(t, 1)
		began := time.Now()
		p.enqueue(1, 45)
		received := server.Wait(t, 46)
		if took := time.Since(began); took > deliverEvery/2 {
			t.Errorf("it left after %v", took)
		}
		for i, subject := range subjects(received) {
			if subject != fmt.Sprint(i) {
				t.Fatalf("they left as %v", subjects(received))
			}
		}
		holds(t, "everything is written down", func() bool {
			return !slices.ContainsFunc(p.mail(), func(m storage.Mail) bool { return m.DeliveredAt == nil })
		})
		for _, m := range p.mail() {
			if m.Message != nil || m.Attempts != 1 || m.ClaimedUntil != nil {
				t.Errorf("it is still there: %+v", m)
			}
		}
		if n := len(server.Received()); n != 46 {
			t.Errorf("%d were sent", n)
		}
	})
}

// holds waits for something that a goroutine brings about.
func holds(t *testing.T, what string, condition func() bool) {
	t.Helper()
	until := time.After(20 * time.Second)
	for !condition() {
		select {
		case <-until:
			t.Fatalf("waited in vain: %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestMailOfATransactionThatFailsIsNotSent(t *testing.T) {
	eachPost(t, mailtest.Options{}, func(t *testing.T, p *post, server *mailtest.Server) {
		p.enqueue(0, 1)
		err := p.db.InTx(p.ctx, func(ctx context.Context) error {
			if err := p.db.EnqueueMail(ctx, nil, &mail.Message{To: "a@example.com", Subject: "never"}); err != nil {
				t.Error(err)
			}
			return storage.ErrConflict
		})
		if err == nil {
			t.Error("committed")
		}
		if err := p.rounds(); err != nil {
			t.Error(err)
		}
		if got := subjects(server.Received()); !slices.Equal(got, []string{"0"}) {
			t.Errorf("sent: %v", got)
		}
	})
}

func TestReplicasDeliverEachMessageOnce(t *testing.T) {
	storagetest.EachURL(t, func(t *testing.T, url string) {
		server := mailtest.Start(t, mailtest.Options{TLS: mail.TLSNone})
		first := openPost(t, url, server)
		second := openPost(t, url, server)
		const n = 120
		first.enqueue(0, n)
		var wg sync.WaitGroup
		for _, p := range []*post{first, second} {
			wg.Go(func() {
				if err := p.rounds(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if err := first.rounds(); err != nil {
			t.Error(err)
		}
		got := subjects(server.Received())
		slices.Sort(got)
		if len(got) != n || len(slices.Compact(got)) != n {
			t.Errorf("%d sent, %d of them different", len(got), len(slices.Compact(got)))
		}
	})
}

func TestWhoDiesWithMailInHandLosesNone(t *testing.T) {
	eachPost(t, mailtest.Options{}, func(t *testing.T, p *post, server *mailtest.Server) {
		p.enqueue(0, 3)
		until := time.Now().Add(300 * time.Millisecond)
		claimed, err := p.db.ClaimMail(t.Context(), until, 3)
		if err != nil || len(claimed) != 3 {
			t.Fatalf("%d, %v", len(claimed), err)
		}
		// One had left, and was not written down: it comes again, and can be told by its id.
		session, err := p.sender.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := session.Send(t.Context(), claimed[0].ID, claimed[0].CreatedAt, claimed[0].Message); err != nil {
			t.Fatal(err)
		}
		_ = session.Close()
		if err := p.rounds(); err != nil || len(server.Received()) != 1 {
			t.Errorf("while they are claimed, %v were sent: %v", subjects(server.Received()), err)
		}
		<-time.After(time.Until(until) + 10*time.Millisecond)
		if err := p.rounds(); err != nil {
			t.Error(err)
		}
		got := server.Received()
		if !slices.Equal(subjects(got), []string{"0", "0", "1", "2"}) {
			t.Fatalf("sent: %v", subjects(got))
		}
		if id := got[0].Message.Header.Get("Message-Id"); id == "" || id != got[1].Message.Header.Get("Message-Id") || id == got[2].Message.Header.Get("Message-Id") {
			t.Errorf("the ids differ: %v", got)
		}
	})
}

func TestAMessageThatIsRefusedForeverIsGivenUpAndKept(t *testing.T) {
	refuse := mailtest.Options{Reply: func(command, argument string) string {
		if command == "RCPT" && strings.Contains(argument, "-1@") {
			return "550 5.1.1 nobody of that name"
		}
		return ""
	}}
	eachPost(t, refuse, func(t *testing.T, p *post, server *mailtest.Server) {
		p.enqueue(0, 3)
		if err := p.rounds(); err != nil {
			t.Error(err)
		}
		if got := subjects(server.Received()); !slices.Equal(got, []string{"0", "2"}) {
			t.Errorf("sent: %v", got)
		}
		m := p.mail()[1]
		if m.AbandonedAt == nil || m.Message == nil || m.Message.Link != canaryLink || m.Attempts != 1 || !strings.Contains(m.LastError, "5.1.1") {
			t.Errorf("%+v", m)
		}
		events, err := p.db.ListAudit(p.ctx, storage.AuditFilter{Limit: 10})
		if err != nil || len(events) != 1 || events[0].Action != "mail.abandoned" || events[0].Target != "mail:"+m.ID.String() || events[0].Actor != "system" {
			t.Errorf("%+v, %v", events, err)
		}
		if !strings.Contains(p.log.String(), "mail was given up") {
			t.Errorf("%s", p.log)
		}
		if strings.Contains(p.log.String(), "canary") || strings.Contains(fmt.Sprint(events), "canary") {
			t.Errorf("whom it was to, or what it said, got out: %s %v", p.log, events)
		}
		// It is tried again when somebody says so, and not before.
		if err := p.rounds(); err != nil || p.mail()[1].Attempts != 1 {
			t.Errorf("%+v, %v", p.mail()[1], err)
		}
		if err := p.db.RetryMail(t.Context(), m.ID); err != nil {
			t.Error(err)
		}
		if err := p.rounds(); err != nil || p.mail()[1].AbandonedAt == nil {
			t.Errorf("%+v, %v", p.mail()[1], err)
		}
	})
}

func TestAMessageThatIsRefusedForNowWaitsLongerEachTimeAndThreeDaysAtTheMost(t *testing.T) {
	later := mailtest.Options{Reply: func(command, _ string) string {
		if command == "END" {
			return "451 4.3.0 not now"
		}
		return ""
	}}
	eachPost(t, later, func(t *testing.T, p *post, _ *mailtest.Server) {
		p.enqueue(0, 1)
		before := time.Now()
		if err := p.rounds(); err != nil {
			t.Error(err)
		}
		m := p.mail()[0]
		if wait := m.NextAttemptAt.Sub(before); wait < firstPause*3/4 || wait > firstPause*5/4 || m.Attempts != 1 || !strings.Contains(m.LastError, "451") {
			t.Errorf("%+v", m)
		}
		// And all the others, without the waiting.
		if err := p.db.RetryMail(t.Context(), m.ID); err != nil {
			t.Fatal(err)
		}
		for range maxAttempts - 1 {
			claimed, err := p.db.ClaimMail(t.Context(), time.Now().Add(time.Minute), 1)
			if err != nil || len(claimed) != 1 {
				t.Fatalf("%v, %v", claimed, err)
			}
			if err := p.db.PostponeMail(t.Context(), &claimed[0], time.Now(), "451"); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.rounds(); err != nil {
			t.Error(err)
		}
		if m := p.mail()[0]; m.AbandonedAt == nil || m.Attempts != maxAttempts {
			t.Errorf("%+v", m)
		}
	})
	total := time.Duration(0)
	for attempts := 1; attempts < maxAttempts; attempts++ {
		pause := pauseAfter(attempts, firstPause, longestPause)
		if pause > longestPause*5/4 || attempts > 1 && pause < firstPause*6/5 {
			t.Errorf("after %d attempts it waits %v", attempts, pause)
		}
		total += pause
	}
	if total < 48*time.Hour || total > 96*time.Hour {
		t.Errorf("it is given up after %v", total)
	}
}

func TestAServerThatIsAwayCostsNoMessageAnything(t *testing.T) {
	eachPost(t, mailtest.Options{}, func(t *testing.T, p *post, server *mailtest.Server) {
		address := server.Address()
		server.Stop()
		p.enqueue(0, 30)
		if err := p.rounds(); err == nil {
			t.Error("no error")
		}
		for _, m := range p.mail() {
			if m.Attempts != 0 || m.AbandonedAt != nil || m.ClaimedUntil != nil || m.NextAttemptAt.After(time.Now()) {
				t.Errorf("%+v", m)
			}
		}
		if m := p.mail()[0]; !strings.Contains(m.LastError, "refused") {
			t.Errorf("why it waits is not written down: %+v", m)
		}
		server.Listen(t, address)
		p.rest = firstRest
		if err := p.rounds(); err != nil {
			t.Error(err)
		}
		if got := subjects(server.Received()); len(got) != 30 || got[0] != "0" || got[29] != "29" || p.rest != 0 {
			t.Errorf("sent: %v", got)
		}
	})
}

func TestAConnectionThatBreaksInAMessagePutsOffThatMessageOnly(t *testing.T) {
	breaking := mailtest.Options{Reply: func(command, argument string) string {
		if command == "END" && strings.Contains(argument, "-1@") {
			return mailtest.Drop
		}
		return ""
	}}
	eachPost(t, breaking, func(t *testing.T, p *post, server *mailtest.Server) {
		p.enqueue(0, 4)
		if err := p.rounds(); err == nil {
			t.Error("no error")
		}
		if err := p.rounds(); err != nil {
			t.Error(err)
		}
		if got := subjects(server.Received()); !slices.Equal(got, []string{"0", "1", "2", "3"}) {
			t.Errorf("sent: %v", got)
		}
		if m := p.mail()[1]; m.DeliveredAt != nil || m.Attempts != 1 || !m.NextAttemptAt.After(time.Now()) {
			t.Errorf("%+v", m)
		}
	})
}

// F-02, F-03, F-28: the database goes away at the moment when the mail server has taken a message. Nothing more is sent until it is
// written down that it has left, so nothing is sent twice; and what was not sent has lost nothing.
func TestWhatLeavesWhileTheDatabaseIsAwayLeavesOnce(t *testing.T) {
	for name, away := range map[string]struct {
		begin, end func(*storagetest.Server, *testing.T)
	}{
		"stopped": {func(s *storagetest.Server, t *testing.T) { s.Stop(t) }, func(s *storagetest.Server, t *testing.T) { s.Start(t) }},
		"hanging": {func(s *storagetest.Server, t *testing.T) { s.Pause(t) }, func(s *storagetest.Server, t *testing.T) { s.Resume(t) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			postgres := storagetest.NewServer(t)
			taken, gone := make(chan struct{}), make(chan struct{})
			first := sync.OnceFunc(func() {
				close(taken)
				<-gone
			})
			server := mailtest.Start(t, mailtest.Options{TLS: mail.TLSNone, Reply: func(command, _ string) string {
				if command == "END" {
					first()
				}
				return ""
			}})
			p := openPost(t, postgres.URL("postgres"), server)
			p.sender = patientSender(t, server)
			p.enqueue(0, 5)
			told := make(chan error, 1)
			go func() { told <- p.round(context.Background()) }()
			<-taken
			away.begin(postgres, t)
			back := sync.OnceFunc(func() { away.end(postgres, t) })
			defer back()
			close(gone)
			if err := <-told; !errors.Is(err, errOwed) {
				t.Errorf("%v", err)
			}
			if err := p.round(t.Context()); !errors.Is(err, errOwed) {
				t.Errorf("while it is away: %v", err)
			}
			if got := subjects(server.Received()); !slices.Equal(got, []string{"0"}) {
				t.Errorf("while it was away %v were sent", got)
			}
			back()
			holds(t, "the rest is sent", func() bool { return p.round(t.Context()) == nil && len(server.Received()) >= 5 })
			if got := subjects(server.Received()); !slices.Equal(got, []string{"0", "1", "2", "3", "4"}) {
				t.Errorf("sent: %v", got)
			}
			for _, m := range p.mail() {
				if m.DeliveredAt == nil || m.Attempts != 1 {
					t.Errorf("%+v", m)
				}
			}
			if strings.Contains(p.log.String(), "comes again") {
				t.Errorf("%s", p.log)
			}
		})
	}
}

// patientSender waits for a mail server that a test keeps waiting.
func patientSender(t *testing.T, server *mailtest.Server) *mail.Sender {
	t.Helper()
	sender, err := mail.NewSender(mail.ServerOptions{Host: server.Host, Port: server.Port, TLS: mail.TLSNone, From: "no-reply@example.com", Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return sender
}

// What a process could not write down before it ended, and what nobody could ever write down, is said, and keeps nothing back.
func TestWhatCannotBeWrittenDownOfMailIsSaidAndKeepsNothingBack(t *testing.T) {
	eachPost(t, mailtest.Options{}, func(t *testing.T, p *post, server *mailtest.Server) {
		p.enqueue(0, 2)
		p.owed = []verdict{{p.mail()[0].ID, func(context.Context) error { return errors.New("canary") }}}
		if err := p.rounds(); err != nil || len(server.Received()) != 2 || !strings.Contains(p.log.String(), "canary") {
			t.Errorf("%v, %v, %s", err, subjects(server.Received()), p.log)
		}
		p.owed = []verdict{{p.mail()[0].ID, func(context.Context) error { return storage.ErrUnavailable }}}
		stop := p.start()
		holds(t, "it waits", func() bool { return strings.Contains(p.log.String(), "mail waits") })
		if said := strings.Count(p.log.String(), "it comes again"); said != 1 {
			t.Errorf("it is said too early: %s", p.log)
		}
		stop()
		if said := strings.Count(p.log.String(), "it comes again"); said != 2 {
			t.Errorf("it is not said: %s", p.log)
		}
	})
}

func TestAServerThatHangsDelaysNobodyElse(t *testing.T) {
	hanging := mailtest.Options{Reply: func(command, _ string) string {
		if command == "MAIL" {
			return mailtest.Hang
		}
		return ""
	}}
	eachPost(t, hanging, func(t *testing.T, p *post, server *mailtest.Server) {
		p.timeout = time.Minute
		p.enqueue(0, 1)
		stop := p.start()
		holds(t, "the server hangs", func() bool {
			return slices.ContainsFunc(server.Said(), func(said string) bool { return strings.HasPrefix(said, "MAIL") })
		})
		began := time.Now()
		p.enqueue(1, 20)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("twenty deeds took %v", took)
		}
		began = time.Now()
		stop()
		if took := time.Since(began); took > lastWords+3*time.Second {
			t.Errorf("the process ended after %v", took)
		}
		for _, m := range p.mail() {
			if m.DeliveredAt != nil || m.ClaimedUntil != nil || m.Message == nil {
				t.Errorf("%+v", m)
			}
		}
	})
}

func TestInDevelopmentMailHasArrivedWhenItCanBeSeen(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		log := &logbook{}
		p := &post{t: t, db: db, log: log, delivery: &delivery{db: db, log: log.logger(), keep: true}}
		p.enqueue(0, 2)
		if err := p.rounds(); err != nil {
			t.Error(err)
		}
		for _, m := range p.mail() {
			if m.DeliveredAt == nil || m.Message == nil || m.Message.Link != canaryLink {
				t.Errorf("%+v", m)
			}
		}
	})
}

func TestAWrongPasswordOfTheMailServerIsInNoLog(t *testing.T) {
	server := mailtest.Start(t, mailtest.Options{TLS: mail.TLSNone, Username: "keizer", Password: "right"})
	p := openPost(t, storagetest.SQLiteURL(t), server)
	cfg := config.Defaults()
	cfg.Mail.Host, cfg.Mail.Port, cfg.Mail.TLS, cfg.Mail.From, cfg.Mail.Timeout = server.Host, server.Port, mail.TLSNone, "a@example.com", time.Second
	cfg.Mail.Username, cfg.Mail.Password = "keizer", secret.Text("password-canary")
	var err error
	if p.sender, err = MailSender(cfg); err != nil {
		t.Fatal(err)
	}
	p.enqueue(0, 1)
	p.start()
	holds(t, "it is said", func() bool { return strings.Contains(p.log.String(), "mail waits") })
	if text := p.log.String() + p.mail()[0].LastError; strings.Contains(text, "canary") || !strings.Contains(text, "535") {
		t.Errorf("%s", text)
	}
}

// The whole way: from a deed in a server that runs, over STARTTLS and with a password, to the mail server.
func TestAServerThatRunsHandsOverWhatIsWritten(t *testing.T) {
	server := mailtest.Start(t, mailtest.Options{TLS: mail.TLSStart, Username: "keizer", Password: "password-canary"})
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, server.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	house, log := boot(t, inProduction, func(cfg *config.Config) {
		cfg.ShutdownDelay = 0
		m := &cfg.Mail
		m.Host, m.Port, m.From, m.CAFile = server.Host, server.Port, "no-reply@example.com", authority
		m.Username, m.Password = "keizer", "password-canary"
	})
	if err := house.Operators.EnsureDevelopment(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	s := serverOf(t, house)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.serve(ctx, []net.Listener{listener}) }()

	org, err := house.Tenant(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	letter := mail.Letter{Kind: mail.PasswordReset, To: canaryTo + "@example.com", Link: canaryLink}.From(org)
	message, err := house.Composer.Compose(letter)
	if err != nil {
		t.Fatal(err)
	}
	if err := house.DB.EnqueueMail(tenant.With(t.Context(), org), nil, message); err != nil {
		t.Fatal(err)
	}
	if got := server.Wait(t, 1)[0]; got.To[0] != canaryTo+"@example.com" || !strings.HasPrefix(server.Said()[0], "EHLO id.example") {
		t.Errorf("%+v, %q", got, server.Said())
	}
	holds(t, "it is logged", func() bool { return strings.Contains(log.String(), "mail delivered") })
	end()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if strings.Contains(log.String(), "canary") {
		t.Errorf("%s", log)
	}
}

func TestProductionWithoutAMailServerSaysSoAndKeepsWhatIsWritten(t *testing.T) {
	house, log := boot(t, inProduction)
	s := serverOf(t, house)
	var out strings.Builder
	if err := s.greet(t.Context(), &out); err != nil || s.delivery != nil || !strings.Contains(log.String(), "no mail server is configured") {
		t.Errorf("%v, %v\n%s", err, s.delivery, log)
	}
	house, _ = boot(t)
	if err := serverOf(t, house).greet(t.Context(), &out); err != nil || !strings.Contains(out.String(), "/dev/mailbox") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
