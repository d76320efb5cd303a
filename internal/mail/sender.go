package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net"
	netmail "net/mail"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	gomail "github.com/wneessen/go-mail"

	"github.com/keizer-auth/keizer/internal/identity"
	"github.com/keizer-auth/keizer/internal/secret"
)

// How the connection to a mail server is secured.
const (
	TLSStart = "starttls" // RFC 3207; a server that does not offer it is not spoken to
	TLSFull  = "tls"      // from the first byte (RFC 8314 §3.3)
	TLSNone  = "none"     // for a server on the same machine
)

// ServerOptions are how a mail server is reached.
type ServerOptions struct {
	Host string
	Port int // 0 is the usual one: 587, or 465 with TLSFull
	TLS  string
	// Roots are who may vouch for the server; nil is whom the machine trusts.
	Roots *x509.CertPool
	// Username and Password are empty where the server asks for none.
	Username string
	Password secret.Text
	// From is the address that mail comes from, unless it says another in one of FromDomains, which are in their canonical form.
	From        string
	FromDomains []string
	// HELO is what we call ourselves (RFC 5321 §4.1.1.1).
	HELO string
	// Timeout bounds connecting, and then each message.
	Timeout time.Duration
}

// Sender hands messages to a mail server. It is safe for concurrent use.
type Sender struct {
	o    ServerOptions
	from netmail.Address
	host string // of From, for Message-ID
}

// NewSender checks the options. It does not connect.
func NewSender(o ServerOptions) (*Sender, error) {
	from, err := envelope(o.From)
	if err != nil {
		return nil, fmt.Errorf("the address that mail comes from: %w", err)
	}
	if o.Port == 0 {
		o.Port = 587
		if o.TLS == TLSFull {
			o.Port = 465
		}
	}
	return &Sender{o: o, from: netmail.Address{Address: from}, host: from[strings.LastIndexByte(from, '@')+1:]}, nil
}

// Address is where the server is, for people.
func (s *Sender) Address() string { return net.JoinHostPort(s.o.Host, fmt.Sprint(s.o.Port)) }

// envelope writes an address as servers without SMTPUTF8 (RFC 6531) take it: its host in A-labels, its local part as it was
// given, since nobody but its own server may say that case does not matter (RFC 5321 §2.4).
func envelope(address string) (string, error) {
	canonical, err := identity.Email(address)
	if err != nil {
		return "", err
	}
	return address[:strings.IndexByte(address, '@')] + canonical[strings.IndexByte(canonical, '@'):], nil
}

// Refused says that the server answered, and that it was this one message which it did not take.
type Refused struct {
	// Permanent is true where it will not take it at any other time either (RFC 5321 §4.2.1).
	Permanent bool
	Reply     string
}

func (e *Refused) Error() string { return e.Reply }

// Session is a connection to the server, on which several messages can be sent one after another. It is for one goroutine.
type Session struct {
	sender *Sender
	client *gomail.Client
	broken bool

	mu   sync.Mutex
	conn net.Conn
}

// Open connects to the server and proves who we are. Everything that it says is without secrets.
func (s *Sender) Open(ctx context.Context) (*Session, error) {
	session := &Session{sender: s}
	client, err := s.client(session)
	if err != nil {
		return nil, fmt.Errorf("connect to the mail server: %w", s.discreet(err))
	}
	session.client = client
	defer session.endWith(ctx)()
	if err := client.DialWithContext(ctx); err != nil {
		session.hangUp()
		return nil, fmt.Errorf("connect to the mail server: %w", s.discreet(err))
	}
	return session, nil
}

func (s *Sender) client(session *Session) (*gomail.Client, error) {
	trust := &tls.Config{ServerName: s.o.Host, RootCAs: s.o.Roots, MinVersion: tls.VersionTLS12}
	options := []gomail.Option{
		gomail.WithPort(s.o.Port), gomail.WithTimeout(s.o.Timeout), gomail.WithTLSConfig(trust), gomail.WithoutNoop(),
		gomail.WithoutSMTPUTF8(), // every address is in ASCII, and what needs no SMTPUTF8 must not ask each relay for it
		gomail.WithDialContextFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			if s.o.TLS == TLSFull {
				conn = tls.Client(conn, trust)
			}
			session.mu.Lock()
			session.conn = conn
			session.mu.Unlock()
			return conn, nil
		}),
	}
	if s.o.HELO != "" {
		options = append(options, gomail.WithHELO(s.o.HELO))
	}
	// The plain mechanisms first: every server has them, and the connection is secret.
	mechanisms := []gomail.SMTPAuthType{gomail.SMTPAuthPlain, gomail.SMTPAuthLogin, gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthCramMD5}
	switch s.o.TLS {
	case TLSFull:
		options = append(options, gomail.WithSSL())
	case TLSNone:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
		mechanisms = []gomail.SMTPAuthType{gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthCramMD5, gomail.SMTPAuthPlainNoEnc, gomail.SMTPAuthLoginNoEnc}
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if s.o.Username != "" {
		options = append(options, gomail.WithUsername(s.o.Username), gomail.WithPassword(s.o.Password.Reveal()),
			gomail.WithOpportunisticSMTPAuth(mechanisms...))
	}
	return gomail.NewClient(s.o.Host, options...)
}

// endWith breaks the connection off when ctx ends, which the library does not look at while it speaks. What is returned stops that.
func (s *Session) endWith(ctx context.Context) (stop func()) {
	end := context.AfterFunc(ctx, s.hangUp)
	return func() { end() }
}

func (s *Session) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		_ = s.conn.Close() // there is nobody to say it to
	}
}

// Send hands over a message. id is that of its row in the outbox: whoever gets the same message twice, because we could not write
// down that it had left, can tell by it. A *Refused concerns this message; after any other error the session is over.
func (s *Session) Send(ctx context.Context, id uuid.UUID, written time.Time, m *Message) error {
	letter, err := s.sender.letter(id, written, m)
	if err != nil {
		return &Refused{Permanent: true, Reply: err.Error()} // it will be no other the next time
	}
	defer s.endWith(ctx)()
	err = s.client.Send(letter)
	if refused := s.sender.refusedSender(m, err); refused != nil {
		return refused
	}
	if err == nil || letter.IsDelivered() { // what went wrong after the server had taken it, the next message will see
		return nil
	}
	said := s.sender.discreet(err, m.opens()...)
	refused := refusal(err, said)
	if refused == nil {
		s.broken = true
		return fmt.Errorf("send mail: %w", said)
	}
	return refused
}

// sender is the address that a message comes from: its own, as long as the server lets organizations send from there.
func (s *Sender) sender(m *Message) netmail.Address {
	canonical, err := identity.Email(m.From)
	if err != nil {
		return s.from
	}
	_, domain, _ := strings.Cut(canonical, "@")
	if !slices.Contains(s.o.FromDomains, domain) {
		return s.from
	}
	own, err := envelope(m.From)
	if err != nil {
		return s.from
	}
	return netmail.Address{Address: own}
}

// refusedSender is that the mail server does not take the address which an organization has chosen for its mail. That keeps no other
// organization's mail back, as it would if it were the server's own.
func (s *Sender) refusedSender(m *Message, err error) error {
	var answer *gomail.SendError
	if !errors.As(err, &answer) || answer.Reason != gomail.ErrSMTPMailFrom || answer.ErrorCode()/100 != 5 || s.sender(m) == s.from {
		return nil
	}
	return &Refused{Reply: s.discreet(err).Error()}
}

// refusal tells what is wrong with one message from what is wrong with the server, or with what it thinks of us; that may pass. said is
// what is kept of it.
func refusal(err, said error) *Refused {
	var answer *gomail.SendError
	if !errors.As(err, &answer) {
		return nil
	}
	switch answer.Reason {
	case gomail.ErrSMTPRcptTo, gomail.ErrSMTPData, gomail.ErrSMTPDataClose:
	case gomail.ErrSMTPMailFrom:
		if answer.ErrorCode()/100 != 4 {
			return nil // we may not send at all
		}
	case gomail.ErrGetSender, gomail.ErrGetRcpts, gomail.ErrSMTPReset, gomail.ErrWriteContent, gomail.ErrConnCheck, gomail.ErrNoUnencoded,
		gomail.ErrAmbiguous:
		return nil
	}
	code := answer.ErrorCode()
	switch {
	case code == 421, code/100 != 4 && code/100 != 5: // closing the channel (RFC 5321 §4.2.2), or no answer
		return nil
	case code == 530, code == 534, code == 535, code == 538: // of who we are (RFC 4954 §6)
		return nil
	}
	// X.7.x is a matter of what somebody may do (RFC 3463 §3.8): a relay that does not know us says so for every message, and a
	// list of bad addresses forgets.
	permanent := code/100 == 5 && !strings.HasPrefix(answer.EnhancedStatusCode(), "5.7.")
	return &Refused{Permanent: permanent, Reply: said.Error()}
}

// discreet is an error without what must not be written down: servers repeat what they were sent, passwords and, where they refuse a
// letter for what stands in it, the addresses in it. hidden is what a letter is not to be known by.
func (s *Sender) discreet(err error, hidden ...string) error {
	text, _, _ := strings.Cut(err.Error(), ", affected recipient(s)") // who it was is known
	text, _, _ = strings.Cut(text, ", affected message ID")
	if password := s.o.Password.Reveal(); password != "" {
		for _, form := range []string{
			"\x00" + s.o.Username + "\x00" + password, password,
		} {
			hidden = append(hidden, base64.StdEncoding.EncodeToString([]byte(form)), form)
		}
	}
	for _, secret := range hidden {
		text = strings.ReplaceAll(text, secret, "[redacted]")
	}
	return &spoken{line(text, maxReply), err}
}

// maxReply bounds what is kept of what a server says, in characters.
const maxReply = 300

// spoken is an error with another text.
type spoken struct {
	text  string
	cause error
}

func (e *spoken) Error() string { return e.text }
func (e *spoken) Unwrap() error { return e.cause }

// Close says goodbye, where there is somebody to.
func (s *Session) Close() error {
	defer s.hangUp()
	if s.broken {
		return nil
	}
	if err := s.client.Close(); err != nil {
		return fmt.Errorf("leave the mail server: %w", s.sender.discreet(err))
	}
	return nil
}

// letter writes a message as it travels (RFC 5322, RFC 2046 §5.1.4), in its envelope.
func (s *Sender) letter(id uuid.UUID, written time.Time, m *Message) (*gomail.Msg, error) {
	to, err := envelope(m.To)
	if err != nil {
		return nil, fmt.Errorf("the address of the recipient: %w", err)
	}
	letter := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	from := s.sender(m)
	letter.SetGenHeader(gomail.Header(gomail.HeaderFrom), mailbox(line(m.FromName, maxName), from.Address))
	letter.ToMailAddress(&netmail.Address{Address: to})
	if m.ReplyTo != "" {
		reply, err := envelope(m.ReplyTo)
		if err != nil {
			return nil, fmt.Errorf("the address for replies: %w", err)
		}
		letter.ReplyToMailAddress(&netmail.Address{Address: reply})
	}
	letter.Subject(line(m.Subject, maxSubject))
	letter.SetMessageIDWithValue(id.String() + "@" + s.host)
	letter.SetDateWithValue(written)
	letter.SetGenHeader(gomail.Header("Content-Language"), line(m.Language, maxName))
	letter.SetGenHeader(gomail.Header("Auto-Submitted"), "auto-generated") // RFC 3834 §5: no vacation notice comes back
	letter.SetGenHeader(gomail.Header("X-Auto-Response-Suppress"), "All")
	letter.SetBodyString(gomail.TypeTextPlain, m.Text)
	letter.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	outer := gomail.NewMsg(gomail.WithMiddleware(enclosed{letter}))
	outer.FromMailAddress(&from)
	outer.ToMailAddress(&netmail.Address{Address: to})
	return outer, nil
}

// mailbox writes a name and an address as they stand in a header (RFC 5322 §3.4). A name that is not in ASCII is encoded by base64,
// which has no characters but those that a phrase allows (RFC 2047 §5(3)): net/mail prefers the Q encoding, and leaves a backslash in it.
func mailbox(name, address string) string {
	encoded := mime.BEncoding.Encode("utf-8", name)
	if name == "" || encoded == name {
		return (&netmail.Address{Name: name, Address: address}).String()
	}
	return encoded + " " + (&netmail.Address{Address: address}).String()
}

// enclosed is a letter in its envelope, which alone says to the server who sends it: the library knows only one way to write From,
// that of net/mail.
type enclosed struct{ letter *gomail.Msg }

// Handle returns what is written instead of the envelope.
func (e enclosed) Handle(*gomail.Msg) *gomail.Msg { return e.letter }

// Type tells this from other middleware, of which there is none.
func (enclosed) Type() gomail.MiddlewareType { return "enclosed" }
