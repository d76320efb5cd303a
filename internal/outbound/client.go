package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// DefaultTimeout is for everything that a fetch does, from the look-up of the name to the last byte.
const DefaultTimeout = 3 * time.Second

// ErrFetch is what every failure is. Its text says nothing of the reason.
var ErrFetch = errors.New("the address could not be fetched")

// failure is an ErrFetch that remembers its cause.
type failure struct{ cause error }

func (*failure) Error() string { return ErrFetch.Error() }

// Is makes errors.Is(err, ErrFetch) true.
func (*failure) Is(target error) bool { return target == ErrFetch }

func fail(format string, a ...any) error { return &failure{cause: fmt.Errorf(format, a...)} }

// Cause returns why a fetch failed. It is for the operator's log alone: it tells what stands in the network of this machine.
func Cause(err error) error {
	var f *failure
	if errors.As(err, &f) {
		return f.cause
	}
	return nil
}

// Options are what a process decides about all its fetches.
type Options struct {
	// AllowLoopback lets addresses of this machine be fetched, on any port and without TLS. It is for development and tests.
	AllowLoopback bool
	// Networks are those beyond the public internet that may be spoken to all the same, on any port: the operator has named them.
	Networks []netip.Prefix
	// RootCAs are whose certificates are believed; nil means the system's.
	RootCAs *x509.CertPool
	// Timeout is DefaultTimeout if zero.
	Timeout time.Duration
}

// A Client fetches. It is safe for concurrent use.
type Client struct {
	http http.Client
	may  Options
}

// New returns a client.
func New(o Options) *Client { return newClient(o, nil) }

// newClient lets a test choose who resolves names.
func newClient(o Options, resolver *net.Resolver) *Client {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	c := &Client{may: o}
	dialer := &net.Dialer{
		Timeout:   o.Timeout,
		KeepAlive: -1,
		Resolver:  resolver,
		ControlContext: func(_ context.Context, network, address string, _ syscall.RawConn) error {
			return c.guard(network, address)
		},
	}
	c.http = http.Client{
		Transport: &http.Transport{
			Proxy:                  nil, // not even the environment's
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs},
			TLSHandshakeTimeout:    o.Timeout,
			ResponseHeaderTimeout:  o.Timeout,
			MaxResponseHeaderBytes: 16 << 10,
			DisableCompression:     true, // what is small when packed may not be when unpacked
			DisableKeepAlives:      true, // a new connection is a new look at the address, and is never tried twice
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// guard looks at the address that a connection is about to be made to. Names have been resolved by then.
func (c *Client) guard(network, address string) error {
	if network != "tcp4" && network != "tcp6" {
		return fmt.Errorf("network %s is not spoken", network)
	}
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("parse address: %w", err)
	}
	if c.may.AllowLoopback && target.Addr().Unmap().IsLoopback() || c.may.named(target.Addr()) {
		return nil
	}
	if !Public(target.Addr()) {
		return fmt.Errorf("%s is not an address of the public internet", target.Addr())
	}
	if !portAllowed(target.Port()) {
		return fmt.Errorf("port %d is not spoken to", target.Port())
	}
	return nil
}

// Get returns the body at an address, if it is answered with 200 and the body has no more than limit bytes. Every error is
// an ErrFetch.
func (c *Client) Get(ctx context.Context, address, accept string, limit int64) ([]byte, error) {
	body, _, err := c.Fetch(ctx, address, accept, limit)
	return body, err
}

// Fetch is Get for those who want to know what the body is said to be, as well.
func (c *Client) Fetch(ctx context.Context, address, accept string, limit int64) (body []byte, header http.Header, err error) {
	u, err := c.may.parse(address)
	if err != nil {
		return nil, nil, fail("address: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.may.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, nil, fail("request: %w", err)
	}
	request.Header.Set("Accept", accept)
	request.Header.Set("Accept-Encoding", "identity")
	request.Header.Set("User-Agent", "Keizer")
	response, err := c.http.Do(request)
	if err != nil {
		return nil, nil, fail("get: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, nil, fail("answered with status %d", response.StatusCode)
	}
	if encoding := response.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return nil, nil, fail("answered in an encoding that was not asked for")
	}
	if response.ContentLength > limit {
		return nil, nil, fail("answer of %d bytes is longer than %d", response.ContentLength, limit)
	}
	body, err = io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err == nil {
		err = ctx.Err() // a server that sees us leave may end its answer in order before we are gone
	}
	if err != nil {
		return nil, nil, fail("read answer: %w", err)
	}
	if int64(len(body)) > limit {
		return nil, nil, fail("answer is longer than %d bytes", limit)
	}
	return body, response.Header, nil
}

// HTTP returns the client for a library that makes requests of its own: each is guarded as those of Get are, and of no answer is
// more than limit bytes read. Its errors name addresses, and are for the operator's log.
func (c *Client) HTTP(limit int64) *http.Client {
	return &http.Client{Transport: bounded{c, limit}, Timeout: c.may.Timeout, CheckRedirect: c.http.CheckRedirect}
}

// bounded is the guarded transport, which reads no answer without end.
type bounded struct {
	client *Client
	limit  int64
}

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := b.client.may.parse(r.URL.String()); err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	r = r.Clone(r.Context())
	r.Header.Set("Accept-Encoding", "identity")
	r.Header.Set("User-Agent", "Keizer")
	response, err := b.client.http.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if encoding := response.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		_ = response.Body.Close()
		return nil, errors.New("answered in an encoding that was not asked for")
	}
	response.Body = &cut{response.Body, b.limit}
	return response, nil
}

// cut is a body that fails when it goes on for too long.
type cut struct {
	io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (c *cut) Read(p []byte) (int, error) {
	if c.left >= 0 {
		n, err := c.ReadCloser.Read(p[:min(int64(len(p)), c.left+1)])
		if c.left -= int64(n); c.left >= 0 {
			return n, err
		}
	}
	return 0, errors.New("the answer is too long")
}
