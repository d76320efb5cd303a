package server

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/config"
	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

const (
	// deliverEvery is how often it is looked for mail that nobody has said is there: of other replicas, and of a second attempt.
	deliverEvery = 10 * time.Second
	// deliverBatch bounds what one replica takes upon itself at once.
	deliverBatch = 20
	// claimFor is how long a replica that has died keeps others from the mail it had.
	claimFor = 5 * time.Minute
	// lastWords is how long a message that is being sent may still take when the process ends.
	lastWords = 5 * time.Second

	// The pauses before a message is tried again: each twice the one before, as long as they are not too long.
	firstPause, longestPause = 30 * time.Second, 6 * time.Hour
	// maxAttempts is after how many it is given up: at those pauses, after three days.
	maxAttempts = 21

	// The pauses after which a server that cannot be spoken to is tried again, whatever waits.
	firstRest, longestRest = 2 * time.Second, time.Minute
)

// MailSender returns what hands mail to the configured server, or nil where none is configured.
func MailSender(cfg *config.Config) (*mail.Sender, error) {
	m := &cfg.Mail
	if m.Host == "" {
		return nil, nil //nolint:nilnil // to have none is a way to be configured
	}
	o := mail.ServerOptions{
		Host: m.Host, Port: m.Port, TLS: m.TLS, Username: m.Username, Password: m.Password, From: m.From, HELO: m.HELO, Timeout: m.Timeout,
	}
	if base, err := url.Parse(cfg.Base()); err == nil && o.HELO == "" {
		o.HELO = base.Hostname()
	}
	if m.CAFile != "" {
		certificates, err := os.ReadFile(m.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the authorities for the mail server: %w", err)
		}
		o.Roots = x509.NewCertPool()
		if !o.Roots.AppendCertsFromPEM(certificates) {
			return nil, fmt.Errorf("read the authorities for the mail server: %s holds no certificate", m.CAFile)
		}
	}
	return mail.NewSender(o)
}

// delivery carries the mail of all organizations from the outbox to the mail server. Every replica has one.
type delivery struct {
	db  *storage.DB
	log *slog.Logger
	// sender is nil in development without a mail server: mail then has arrived as soon as it can be seen in the mailbox.
	sender *mail.Sender
	// keep leaves what was delivered readable, for the mailbox of development.
	keep    bool
	timeout time.Duration // of one message
	rest    time.Duration // since the server could not be spoken to; 0 is that it could
}

// run delivers until ctx ends. What this process has put into the outbox leaves at once; the rest in its turn.
func (d *delivery) run(ctx context.Context) {
	for {
		mailed, wait := d.db.Mailed(), jittered(deliverEvery)
		if err := contained(ctx, d.round); err != nil && ctx.Err() == nil {
			// Others need not all find out for themselves that the server is away; nor need this one at every message.
			mailed = nil
			d.rest = min(max(2*d.rest, firstRest), longestRest)
			wait = jittered(d.rest)
			d.log.WarnContext(ctx, "mail waits", "cause", err, "again_in", wait.Round(time.Second))
		} else {
			d.rest = 0
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		case <-mailed:
		}
	}
}

// jittered is a time that differs between replicas, and between messages that failed together.
func jittered(d time.Duration) time.Duration { return d - d/5 + rand.N(2*d/5) }

// round delivers everything that is due. Its error is that the server, or the database, cannot be spoken to.
func (d *delivery) round(ctx context.Context) error {
	for ctx.Err() == nil {
		most := deliverBatch
		if d.rest > 0 {
			most = 1 // to see whether it can be again
		}
		claimed, err := d.db.ClaimMail(ctx, time.Now().Add(claimFor), most)
		if err != nil {
			return err
		}
		if len(claimed) > 0 {
			if err := d.deliver(ctx, claimed); err != nil {
				return err
			}
			d.rest = 0
		}
		if len(claimed) < most {
			break
		}
	}
	return nil
}

// deliver sends what was claimed, in order and over one connection. What it does not come to, it gives back: that nobody can be
// spoken to is no message's fault, and each is tried as soon as somebody can. A connection that breaks in the middle of a message
// may well be that message's, so it is put off, and keeps the others back no longer.
func (d *delivery) deliver(ctx context.Context, claimed []storage.Mail) (failed error) {
	// A message that is being sent when the process is to end is finished, if that does not take long: half sent, it might have
	// arrived, and would be sent again.
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-ended:
			return
		case <-ctx.Done():
		}
		select {
		case <-ended:
		case <-time.After(lastWords):
			stop()
		}
	}()

	var session *mail.Session
	defer func() {
		if session != nil {
			if err := session.Close(); err != nil {
				d.log.DebugContext(ctx, "mail server", "cause", err)
			}
		}
	}()
	for i := range claimed {
		m := &claimed[i]
		if ctx.Err() != nil || failed != nil || time.Until(*m.ClaimedUntil) < d.timeout+lastWords {
			d.release(ctx, m, failed)
			continue
		}
		if session == nil && d.sender != nil && m.Message != nil {
			if session, failed = d.sender.Open(sending); failed != nil {
				d.release(ctx, m, failed)
				continue
			}
		}
		var err error
		switch {
		case m.Message == nil:
			err = &mail.Refused{Reply: m.LastError} // it does not open; perhaps its master key comes back
		case session != nil:
			err = session.Send(sending, m.ID, m.CreatedAt, m.Message)
		}
		var refused *mail.Refused
		switch {
		case err == nil:
			d.write(ctx, m.ID, func(ctx context.Context) error { return d.db.MailDelivered(ctx, m.ID, d.keep) })
			d.log.InfoContext(ctx, "mail delivered", "mail", m.ID, "attempt", m.Attempts)
		case errors.As(err, &refused):
			d.refused(ctx, m, refused)
		default:
			failed = err
			d.refused(ctx, m, &mail.Refused{Reply: err.Error()})
		}
	}
	return failed
}

// release gives back a message that was not tried.
func (d *delivery) release(ctx context.Context, m *storage.Mail, cause error) {
	reason := ""
	if cause != nil {
		reason = cause.Error()
	}
	d.write(ctx, m.ID, func(ctx context.Context) error { return d.db.ReleaseMail(ctx, m, reason) })
}

// refused puts a message off, or gives it up.
func (d *delivery) refused(ctx context.Context, m *storage.Mail, refused *mail.Refused) {
	if !refused.Permanent && m.Attempts < maxAttempts {
		next := time.Now().Add(pauseAfter(m.Attempts))
		d.write(ctx, m.ID, func(ctx context.Context) error { return d.db.PostponeMail(ctx, m, next, refused.Reply) })
		return
	}
	d.write(ctx, m.ID, func(ctx context.Context) error {
		ctx = tenant.With(ctx, &tenant.Org{ID: m.OrgID})
		return d.db.InTx(ctx, func(ctx context.Context) error {
			if err := d.db.AbandonMail(ctx, m, refused.Reply); err != nil {
				return err
			}
			details := map[string]any{"attempts": m.Attempts, "cause": refused.Reply}
			target := "mail:" + m.ID.String()
			if m.Message != nil {
				details["letter"] = string(m.Message.Kind)
			}
			if m.UserID != nil {
				details["user"] = m.UserID.String()
			}
			return d.db.AppendAudit(ctx, &storage.AuditEvent{Actor: "system", Action: "mail.abandoned", Target: target, Details: details})
		})
	})
	d.log.ErrorContext(ctx, "mail was given up", "mail", m.ID, "attempts", m.Attempts, "cause", refused.Reply)
}

// write writes down what became of a message. It is worth some patience: a message that has left and is not known to have, is sent
// again. That somebody else has it by now needs nothing more.
func (d *delivery) write(ctx context.Context, id uuid.UUID, down func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	var err error
	for pause := 10 * time.Millisecond; ; pause *= 2 {
		if err = down(ctx); err == nil || errors.Is(err, storage.ErrSpent) {
			return
		}
		select {
		case <-ctx.Done():
			d.log.ErrorContext(ctx, "what became of mail was not written down; it comes again", "mail", id, "cause", err)
			return
		case <-time.After(pause):
		}
	}
}

// pauseAfter is how long a message waits after so many attempts.
func pauseAfter(attempts int) time.Duration {
	pause := firstPause
	for range attempts - 1 {
		pause = min(2*pause, longestPause)
	}
	return jittered(pause)
}
