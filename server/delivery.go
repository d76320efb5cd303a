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
		FromDomains: limitsOf(cfg).MailDomains,
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
	// owed is what became of mail that this replica has, and could not write down because the database was away. Until it is
	// written down nothing more is sent, for that could not be either.
	owed []verdict
}

// verdict is what became of a message.
type verdict struct {
	id   uuid.UUID // of the message
	down func(context.Context) error
}

// run delivers until ctx ends. What this process has put into the outbox leaves at once; the rest in its turn.
func (d *delivery) run(ctx context.Context) {
	defer d.forget(ctx)
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
	if err := d.settle(ctx); err != nil {
		return err
	}
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
// may well be that message's, so it is put off, and keeps the others back no longer. Once the database is away nothing more is
// sent: it would have left without a trace, and be sent again.
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
			d.log.InfoContext(ctx, "mail delivered", "mail", m.ID, "attempt", m.Attempts)
			failed = d.write(ctx, m.ID, func(ctx context.Context) error { return d.db.MailDelivered(ctx, m.ID, d.keep) })
		case errors.As(err, &refused):
			failed = d.refused(ctx, m, refused)
		default:
			_ = d.refused(ctx, m, &mail.Refused{Reply: err.Error()}) // it is owed, if anything is wrong
			failed = err
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
	_ = d.write(ctx, m.ID, func(ctx context.Context) error { return d.db.ReleaseMail(ctx, m, reason) }) // it is owed, if anything is wrong
}

// refused puts a message off, or gives it up. Its error is that this could not be written down yet.
func (d *delivery) refused(ctx context.Context, m *storage.Mail, refused *mail.Refused) error {
	if !refused.Permanent && m.Attempts < maxAttempts {
		next := time.Now().Add(pauseAfter(m.Attempts, firstPause, longestPause))
		return d.write(ctx, m.ID, func(ctx context.Context) error { return d.db.PostponeMail(ctx, m, next, refused.Reply) })
	}
	d.log.ErrorContext(ctx, "mail was given up", "mail", m.ID, "attempts", m.Attempts, "cause", refused.Reply)
	return d.write(ctx, m.ID, func(ctx context.Context) error {
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
}

// write writes down what became of a message. It is worth some patience, also where the process is to end: a message that has left
// and is not known to have, is sent again. What cannot be written down is owed; that is the error. While anything is, the database
// is away, and is not waited for again.
func (d *delivery) write(ctx context.Context, id uuid.UUID, down func(context.Context) error) (err error) {
	if len(d.owed) == 0 {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
		defer cancel()
		for pause := 10 * time.Millisecond; ctx.Err() == nil; pause *= 2 {
			if err = written(down(ctx)); err == nil {
				return nil
			}
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	}
	if err != nil && !away(err) {
		d.lost(ctx, id, err)
		return nil
	}
	d.owed = append(d.owed, verdict{id, down})
	return errors.Join(errOwed, err)
}

// errOwed says that the database was away when it was to be written down what became of mail.
var errOwed = errors.New("what became of mail is still to be written down")

// away reports whether it is for want of a database that something could not be written down.
func away(err error) bool {
	return errors.Is(err, storage.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// written is err, unless somebody else has the message by now: that needs nothing more.
func written(err error) error {
	if errors.Is(err, storage.ErrSpent) {
		return nil
	}
	return err
}

// lost says that it will never be written down what became of a message.
func (d *delivery) lost(ctx context.Context, id uuid.UUID, cause error) {
	d.log.ErrorContext(ctx, "what became of mail was not written down; it comes again", "mail", id, "cause", cause)
}

// settle writes down what is owed. Each is a compare-and-set against a claim, so that it does no harm to be late.
func (d *delivery) settle(ctx context.Context) error {
	for len(d.owed) > 0 {
		first := d.owed[0]
		if err := written(first.down(ctx)); err != nil {
			if away(err) {
				return errors.Join(errOwed, err)
			}
			d.lost(ctx, first.id, err)
		}
		d.owed = d.owed[1:]
	}
	return nil
}

// forget tries for the last time to write down what is owed, and says what will be sent again, or only late, because of it.
func (d *delivery) forget(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	if err := d.settle(ctx); err != nil {
		for _, v := range d.owed {
			d.lost(ctx, v.id, err)
		}
	}
}

// pauseAfter is how long something waits after so many attempts: twice as long each time, up to a bound.
func pauseAfter(attempts int, first, longest time.Duration) time.Duration {
	pause := first
	for range attempts - 1 {
		pause = min(2*pause, longest)
	}
	return jittered(pause)
}
