package formbrowser

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/html"
)

const (
	mostRedirects = 20      // where browsers give up, too
	mostPage      = 1 << 20 // bytes
	timeLimit     = 30 * time.Second
)

// Options are how a browser begins. Its zero value is a browser that goes everywhere.
type Options struct {
	// HTTP carries the requests; only its Transport and Timeout are used. Nil stands for a client of the package's own.
	HTTP *http.Client
	// StopAt is an address, commonly a redirect URI, that the browser does not visit: a redirect or a form that leads
	// there ends the walk, and Page.Arrived tells what was carried. It is compared without its query.
	StopAt string
	// SendIncomplete sends forms whose required fields are empty, as no browser does: for tests of what then happens.
	SendIncomplete bool
}

// Browser is one person's browser: its cookies live as long as it does. It is for one goroutine.
type Browser struct {
	options Options
	client  http.Client
	jar     *cookiejar.Jar
	// foreign are the cookies, by host and name, that go along with a form of another site's: those that are SameSite=None.
	foreign map[string]bool
}

// New returns a browser without cookies.
func New(options Options) *Browser {
	jar, _ := cookiejar.New(nil) // never fails: there are no options to be wrong
	b := &Browser{options: options, jar: jar, foreign: map[string]bool{}}
	if options.HTTP != nil {
		b.client.Transport, b.client.Timeout = options.HTTP.Transport, options.HTTP.Timeout
	}
	if b.client.Transport == nil {
		b.client.Transport = &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSHandshakeTimeout: 5 * time.Second,
			IdleConnTimeout:     timeLimit,
			ForceAttemptHTTP2:   true,
		}
	}
	if b.client.Timeout == 0 {
		b.client.Timeout = timeLimit
	}
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return b
}

// For returns the same browser, with the same cookies, on the way to another address to stop at.
func (b *Browser) For(stopAt string) *Browser {
	other := *b
	other.options.StopAt = stopAt
	return &other
}

// Open goes to an address as if it had been typed in, and returns the page where the redirects end.
func (b *Browser) Open(ctx context.Context, address string) (*Page, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	return b.walk(ctx, visit{method: http.MethodGet, to: u})
}

// Cookies returns the cookies that would go to an address.
func (b *Browser) Cookies(address string) []*http.Cookie {
	u, err := url.Parse(address)
	if err != nil {
		return nil
	}
	return b.jar.Cookies(trusted(u))
}

// SetCookie plants a cookie for an address, as somebody who means harm might.
func (b *Browser) SetCookie(address string, cookie *http.Cookie) {
	if u, err := url.Parse(address); err == nil {
		b.jar.SetCookies(trusted(u), []*http.Cookie{cookie})
	}
}

// ForgetCookies drops every cookie.
func (b *Browser) ForgetCookies() {
	b.jar, _ = cookiejar.New(nil)
}

// Hop is one request of a walk and how it was answered.
type Hop struct {
	Method string
	URL    string
	Status int // 0 for the address at which the browser stopped
}

// visit is a request about to be made.
type visit struct {
	method string
	to     *url.URL
	form   url.Values
	from   *Page // whose form or link leads here; nil for the address bar
}

// walk makes a request and those it is redirected to.
func (b *Browser) walk(ctx context.Context, v visit) (*Page, error) {
	var hops []Hop
	crossed := "none"
	for range mostRedirects {
		if b.stops(v.to) {
			hops = append(hops, Hop{Method: v.method, URL: v.to.String()})
			return b.arrive(v, hops), nil
		}
		if v.to.Scheme != "http" && v.to.Scheme != "https" || v.to.Host == "" {
			return nil, fmt.Errorf("the page leads to %q, where no browser without a screen can go", v.to.Redacted())
		}
		if v.from != nil {
			crossed = farther(crossed, relation(v.from.URL, v.to))
		}
		a, err := b.send(ctx, v, crossed)
		if err != nil {
			return nil, err
		}
		hops = append(hops, Hop{Method: v.method, URL: v.to.String(), Status: a.status})
		location := a.header.Get("Location")
		if a.status < 300 || a.status > 399 || a.status == http.StatusNotModified || location == "" {
			return b.read(v.to, a, hops)
		}
		to, err := v.to.Parse(location)
		if err != nil {
			return nil, fmt.Errorf("the redirect from %s leads nowhere: %w", v.to.Redacted(), err)
		}
		if crossed != "none" {
			crossed = farther(crossed, relation(v.to, to))
		}
		if to.Fragment == "" {
			to.Fragment = v.to.Fragment // RFC 9110 §10.2.2
		}
		next := visit{method: http.MethodGet, to: to, from: v.from}
		if a.status == http.StatusTemporaryRedirect || a.status == http.StatusPermanentRedirect {
			next.method, next.form = v.method, v.form
		}
		v = next
	}
	return nil, fmt.Errorf("more than %d redirects, the last to %s", mostRedirects, v.to.Redacted())
}

// answer is a response read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// send makes one request.
func (b *Browser) send(ctx context.Context, v visit, crossed string) (*answer, error) {
	bare := *v.to
	bare.Fragment = ""
	var body io.Reader
	if v.method == http.MethodPost {
		body = strings.NewReader(v.form.Encode())
	}
	r, err := http.NewRequestWithContext(ctx, v.method, bare.String(), body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	r.Header.Set("Accept-Language", "en")
	r.Header.Set("User-Agent", "keizer-formbrowser")
	if body != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", origin(v.from))
	}
	if trustworthy(v.to) {
		// Fetch Metadata goes to trustworthy addresses only, so a server on plain http sees Origin alone.
		r.Header.Set("Sec-Fetch-Site", crossed)
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.Header.Set("Sec-Fetch-Dest", "document")
		r.Header.Set("Sec-Fetch-User", "?1")
	}
	for _, cookie := range b.jar.Cookies(trusted(v.to)) {
		// What is Lax, or says nothing and so is Lax, comes along to another site's link and not to its form (RFC 6265bis §5.8.3).
		if v.method == http.MethodPost && crossed == "cross-site" && !b.foreign[v.to.Hostname()+" "+cookie.Name] {
			continue
		}
		r.AddCookie(cookie)
	}
	resp, err := b.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b.keep(v.to, resp.Cookies())
	page, err := io.ReadAll(io.LimitReader(resp.Body, mostPage+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", v.to.Redacted(), err)
	}
	if len(page) > mostPage {
		return nil, fmt.Errorf("read %s: the page is longer than 1 MiB", v.to.Redacted())
	}
	return &answer{resp.StatusCode, resp.Header, page}, nil
}

// keep stores cookies, save those that a browser refuses (RFC 6265bis §5.7).
func (b *Browser) keep(from *url.URL, cookies []*http.Cookie) {
	for _, c := range cookies {
		name := strings.ToLower(c.Name)
		switch {
		case c.Secure && !trustworthy(from):
		case strings.HasPrefix(name, "__secure-") && !c.Secure:
		case strings.HasPrefix(name, "__host-") && (!c.Secure || c.Path != "/" || c.Domain != ""):
		case c.SameSite == http.SameSiteNoneMode && !c.Secure:
		default:
			b.jar.SetCookies(trusted(from), []*http.Cookie{c})
			b.foreign[from.Hostname()+" "+c.Name] = c.SameSite == http.SameSiteNoneMode
		}
	}
}

// stops reports whether an address is where the walk ends. The whole address must be the given one, its query and
// fragment aside: http://127.0.0.1:80 is not the beginning of http://127.0.0.1:8080.
func (b *Browser) stops(to *url.URL) bool {
	if b.options.StopAt == "" {
		return false
	}
	at, err := url.Parse(b.options.StopAt)
	return err == nil && at.Scheme == to.Scheme && at.Host == to.Host && at.EscapedPath() == to.EscapedPath() && at.Opaque == to.Opaque
}

// arrive is the end of a walk at StopAt.
func (b *Browser) arrive(v visit, hops []Hop) *Page {
	p := &Page{URL: v.to, Hops: hops, browser: b, arrived: v.to.Query(), arrivedBy: "query"}
	switch {
	case v.method == http.MethodPost:
		p.arrived, p.arrivedBy = v.form, "form_post"
	case v.to.Fragment != "":
		// response_mode=fragment: the server never sees it, the client's script would.
		if values, err := url.ParseQuery(v.to.EscapedFragment()); err == nil {
			p.arrived, p.arrivedBy = values, "fragment"
		}
	}
	return p
}

// read parses a page and, when it is the one of form_post, does what its script would: send the form to StopAt.
func (b *Browser) read(at *url.URL, a *answer, hops []Hop) (*Page, error) {
	p := &Page{URL: at, Status: a.status, Header: a.header, Body: string(a.body), Hops: hops, browser: b}
	kind, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil || kind != "text/html" {
		return p, nil //nolint:nilerr // a page that is not HTML is a page without forms
	}
	if p.root, err = html.Parse(bytes.NewReader(a.body)); err != nil {
		return nil, fmt.Errorf("parse %s: %w", at.Redacted(), err)
	}
	if h := p.node("page-title"); h != nil {
		p.Title = textOf(h)
	}
	if forms := p.forms(); len(forms) == 1 && a.status < 300 {
		v, err := p.submission(forms[0], nil)
		if err == nil && v.method == http.MethodPost && b.stops(v.to) {
			return b.arrive(v, append(hops, Hop{Method: v.method, URL: v.to.String()})), nil
		}
	}
	return p, nil
}

// trustworthy is what browsers call a secure context: https, or this very machine.
func trustworthy(u *url.URL) bool {
	if u.Scheme == "https" {
		return true
	}
	host := u.Hostname()
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// trusted is the address by which the jar knows one: browsers send Secure cookies to http://localhost, the jar would not.
func trusted(u *url.URL) *url.URL {
	if u.Scheme == "https" || !trustworthy(u) {
		return u
	}
	secure := *u
	secure.Scheme = "https"
	return &secure
}

// origin is the Origin header of a form's request. A page whose referrer policy is no-referrer says null, even to itself
// (Fetch §3.2): servers that hide their addresses must live with that.
func origin(from *Page) string {
	if from == nil || strings.Contains(from.Header.Get("Referrer-Policy"), "no-referrer") &&
		!strings.Contains(from.Header.Get("Referrer-Policy"), "downgrade") {
		return "null"
	}
	return from.URL.Scheme + "://" + from.URL.Host
}

// relation says how far the way from one address to another is, in the words of Sec-Fetch-Site. Sites are told by their
// whole host, for want of a list of public suffixes: a sibling host counts as a stranger.
func relation(from, to *url.URL) string {
	switch {
	case from.Scheme == to.Scheme && from.Host == to.Host:
		return "same-origin"
	case from.Scheme == to.Scheme && from.Hostname() == to.Hostname():
		return "same-site"
	default:
		return "cross-site"
	}
}

// farther returns the farther of two relations: one foreign hop makes a whole walk foreign.
func farther(a, b string) string {
	order := []string{"none", "same-origin", "same-site", "cross-site"}
	for i := len(order) - 1; i > 0; i-- {
		if a == order[i] || b == order[i] {
			return order[i]
		}
	}
	return a
}

// ErrNoSuchControl is the answer when a page has nothing by that id that could be filled in or pressed.
var ErrNoSuchControl = errors.New("the page has no such control")
