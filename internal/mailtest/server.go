package mailtest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// What a hook may have the server do instead of answering.
const (
	Hang = "hang" // say nothing until the client gives up
	Drop = "drop" // close the connection
)

// Options are how the server behaves.
type Options struct {
	// TLS is starttls, tls or none, as in the configuration.
	TLS string
	// Username and Password are asked for unless empty.
	Username, Password string
	// Reply is asked before each answer: the command (CONNECT, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, and END for the dot after the
	// content), and what stood beside it. It returns another answer, Hang, Drop, or nothing. Where it hangs or drops at END, the
	// message was received all the same.
	Reply func(command, argument string) string
}

// Received is one message as it came.
type Received struct {
	From string
	To   []string
	Raw  string
	// Message is what Raw says, read.
	Message *mail.Message
}

// Server is a running mail server.
type Server struct {
	Host string
	Port int
	// CA is the certificate that vouches for the server, in PEM.
	CA []byte
	// Roots holds it.
	Roots *x509.CertPool

	o        Options
	config   *tls.Config
	listener net.Listener
	wake     chan struct{}
	ended    chan struct{}

	mu       sync.Mutex
	received []Received
	said     []string
	conns    []net.Conn
}

// Start puts a server up, and takes it down when the test ends.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s := &Server{Host: "localhost", o: o, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	s.certify(t)
	s.Listen(t, "127.0.0.1:0")
	t.Cleanup(func() {
		close(s.ended)
		s.Stop()
	})
	return s
}

// Listen begins to accept connections, again after Stop.
func (s *Server) Listen(t testing.TB, address string) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s.Port = listener.Addr().(*net.TCPAddr).Port
	s.mu.Lock()
	s.listener = listener
	s.mu.Unlock()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
			go s.serve(conn)
		}
	}()
}

// Stop breaks every connection off and accepts no other.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.listener.Close()
	for _, conn := range s.conns {
		_ = conn.Close()
	}
	s.conns = nil
}

// Address is where the server listens.
func (s *Server) Address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listener.Addr().String()
}

// Received are the messages so far, in order.
func (s *Server) Received() []Received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.received)
}

// Said is every line that clients have sent, but for the content of messages.
func (s *Server) Said() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.said)
}

// Wait returns the messages once there are at least n.
func (s *Server) Wait(t testing.TB, n int) []Received {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		if received := s.Received(); len(received) >= n {
			return received
		}
		select {
		case <-deadline:
			t.Fatalf("%d messages came, not %d", len(s.Received()), n)
		case <-s.wake:
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// certify makes an authority, and a certificate of the server.
func (s *Server) certify(t testing.TB) {
	t.Helper()
	issue := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if signer == nil {
			parent, signer = template, key
		}
		raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := x509.ParseCertificate(raw)
		if err != nil {
			t.Fatal(err)
		}
		return certificate, key
	}
	life := func(c *x509.Certificate) *x509.Certificate {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		return c
	}
	ca, caKey := issue(life(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mailtest"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}), nil, nil)
	leaf, leafKey := issue(life(&x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{s.Host}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}), ca, caKey)
	s.config = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: leafKey}}, MinVersion: tls.VersionTLS12,
	}
	s.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw})
	s.Roots = x509.NewCertPool()
	s.Roots.AddCert(ca)
}

// dialogue is one connection.
type dialogue struct {
	s    *Server
	conn net.Conn
	in   *bufio.Reader

	secure, known bool
	over          bool
	from          string
	to            []string
}

func (s *Server) serve(conn net.Conn) {
	defer conn.Close()
	d := &dialogue{s: s, conn: conn, in: bufio.NewReader(conn)}
	if s.o.TLS == "tls" {
		d.wrap()
	}
	if !d.answer("CONNECT", "", "220 localhost ESMTP") {
		return
	}
	for {
		line, err := d.in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		s.mu.Lock()
		s.said = append(s.said, line)
		s.mu.Unlock()
		command, argument, _ := strings.Cut(line, " ")
		if d.obey(strings.ToUpper(command), argument); d.over {
			return
		}
	}
}

func (d *dialogue) wrap() {
	conn := tls.Server(d.conn, d.s.config)
	d.conn, d.in, d.secure = conn, bufio.NewReader(conn), true
}

// answer says what the hook wants, else the usual. It reports whether that was the usual; d.over is set where the connection is to end.
func (d *dialogue) answer(command, argument, usual string) bool {
	reply := d.decide(command, argument, usual)
	d.say(reply)
	return reply == usual
}

func (d *dialogue) decide(command, argument, usual string) string {
	if d.s.o.Reply != nil {
		if other := d.s.o.Reply(command, argument); other != "" {
			return other
		}
	}
	return usual
}

func (d *dialogue) say(reply string) {
	switch reply {
	case Hang:
		<-d.s.ended
		d.over = true
	case Drop:
		d.over = true
	default:
		_, err := io.WriteString(d.conn, reply+"\r\n")
		d.over = err != nil
	}
}

// obey does one command.
func (d *dialogue) obey(command, argument string) {
	o := d.s.o
	switch command {
	case "EHLO", "HELO":
		offers := []string{"localhost", "ENHANCEDSTATUSCODES", "8BITMIME"}
		if o.TLS == "starttls" && !d.secure {
			offers = append(offers, "STARTTLS")
		}
		if o.Username != "" && (d.secure || o.TLS == "none") {
			offers = append(offers, "AUTH PLAIN LOGIN")
		}
		lines := make([]string, len(offers))
		for i, offer := range offers {
			lines[i] = "250-" + offer
		}
		lines[len(lines)-1] = "250 " + offers[len(offers)-1]
		d.answer(command, argument, strings.Join(lines, "\r\n"))
	case "STARTTLS":
		if d.answer(command, argument, "220 2.0.0 go ahead") {
			d.wrap()
		}
	case "AUTH":
		_, response, _ := strings.Cut(argument, " ")
		raw, _ := base64.StdEncoding.DecodeString(response)
		if string(raw) != "\x00"+o.Username+"\x00"+o.Password {
			d.answer(command, argument, "535 5.7.8 credentials "+response+" are wrong")
			return
		}
		d.known = true
		d.answer(command, argument, "235 2.7.0 ok")
	case "MAIL":
		if o.Username != "" && !d.known {
			d.answer(command, argument, "530 5.7.0 authenticate first")
			return
		}
		d.from, d.to = argument, nil
		d.answer(command, argument, "250 2.1.0 ok")
	case "RCPT":
		if d.answer(command, argument, "250 2.1.5 ok") {
			d.to = append(d.to, argument)
		}
	case "DATA":
		if !d.answer(command, argument, "354 go ahead") {
			return
		}
		raw, err := io.ReadAll(textproto.NewReader(d.in).DotReader())
		if err != nil {
			d.over = true
			return
		}
		received := Received{From: bare(d.from), Raw: string(raw)}
		for _, to := range d.to {
			received.To = append(received.To, bare(to))
		}
		received.Message, _ = mail.ReadMessage(strings.NewReader(received.Raw))
		reply := d.decide("END", strings.Join(d.to, " "), "250 2.0.0 ok")
		if !strings.HasPrefix(reply, "4") && !strings.HasPrefix(reply, "5") {
			d.s.mu.Lock()
			d.s.received = append(d.s.received, received)
			d.s.mu.Unlock()
			select {
			case d.s.wake <- struct{}{}:
			default:
			}
		}
		d.say(reply)
	case "RSET", "NOOP":
		d.answer(command, argument, "250 2.0.0 ok")
	case "QUIT":
		d.answer(command, argument, "221 2.0.0 bye")
		d.over = true
	default:
		d.answer(command, argument, "502 5.5.1 what?")
	}
}

// bare is the address in FROM:<address> or TO:<address>.
func bare(argument string) string {
	_, after, _ := strings.Cut(argument, "<")
	address, _, _ := strings.Cut(after, ">")
	return address
}
