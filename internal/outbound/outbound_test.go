package outbound

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

func TestOnlyAddressesOfThePublicInternetAreSpokenTo(t *testing.T) {
	for _, text := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254", "169.254.169.254",
		"172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.170", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
		"224.0.0.1", "239.1.2.3", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::ffff:0:127.0.0.1",
		"64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "64:ff9b:1::808:808",
		"100::1", "2001::1", "2001:0:7f00:1::1", "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::1", "2002:808:808::1", "3fff::1",
		"4000::1", "5f00::1", "fc00::1", "fd12:3456::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "2606:4700::1%eth0",
	} {
		if Public(netip.MustParseAddr(text)) {
			t.Errorf("%s passes", text)
		}
	}
	for _, text := range []string{
		"1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.1", "193.0.0.1", "198.17.255.255", "198.20.0.0",
		"::ffff:8.8.8.8", "64:ff9b::808:808", "2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450::1", "2003::1",
	} {
		if !Public(netip.MustParseAddr(text)) {
			t.Errorf("%s is refused", text)
		}
	}
	if Public(netip.Addr{}) {
		t.Error("no address passes")
	}
}

// S-156, S-162: the number forms, the schemes and the ports.
var refusedURLs = []string{
	"", "rp.example/jwks", "//rp.example/jwks", "https:", "https://", "https:rp.example", "http://rp.example/jwks", "ftp://rp.example/jwks", "file:///etc/passwd",
	"gopher://rp.example/", "javascript:alert(1)", "data:,x", "https://2130706433/", "https://0x7f.1/", "https://0177.0.0.1/", "https://127.1/", "https://0/",
	"https://127.0.0.1/", "https://[::1]/", "https://[::ffff:7f00:1]/", "https://[::ffff:127.0.0.1]/", "https://169.254.169.254/latest/meta-data", "https://10.0.0.1/",
	"https://localhost/", "https://localhost./", "https://LOCALHOST/", "https://a.localhost/", "https://rp.example./", "https://rp..example/", "https://.rp.example/",
	"https://intranet/", "https://rp.example:22/", "https://rp.example:25/", "https://rp.example:5432/", "https://rp.example:80/", "https://rp.example:0/",
	"https://rp.example:/", "https://rp.example:99999/", "https://user@rp.example/", "https://user:pw@rp.example/", "https://rp.example/#", "https://rp.example/#x",
	"https://rp.example/\\x", "https://rp.example\\@evil.example/", "https://rp.exa mple/", "https://rp.example/\r\nHost: x", "https://rp.exämple/", "https://rp.example/\x00",
	"https://rp%2eexample/", "https://[fe80::1%25eth0]/", "https://-rp.example/", "https://" + strings.Repeat("a", 64) + ".example/", "https://rp.example/" + strings.Repeat("a", 2048),
}

func TestAnAddressThatIsNotFetchedIsToldAtRegistration(t *testing.T) {
	for _, address := range refusedURLs {
		if CheckURL(address, false) == nil {
			t.Errorf("%q passes", address)
		}
	}
	for _, address := range []string{"http://127.0.0.1:8080/", "http://localhost:1/x", "http://[::1]:9/", "https://localhost:8080/"} {
		if CheckURL(address, false) == nil {
			t.Errorf("%q passes outside development", address)
		}
		if err := CheckURL(address, true); err != nil {
			t.Errorf("%q in development: %v", address, err)
		}
	}
	for _, address := range []string{"http://rp.example/", "http://10.0.0.1/", "https://10.0.0.1/", "https://169.254.169.254/", "http://127.0.0.1.rp.example/", "http://127.1/"} {
		if CheckURL(address, true) == nil {
			t.Errorf("%q passes in development", address)
		}
	}
	for _, address := range []string{
		"https://rp.example/jwks", "https://rp.example:443/jwks", "https://rp.example:8443/jwks?a=b", "https://1.1.1.1/", "https://[2606:4700:4700::1111]/",
		"https://xn--rp-exmple-x2a.example/", "https://3com.example/", "https://_x.rp.example",
	} {
		if err := CheckURL(address, false); err != nil {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// S-158, S-161: a redirect of any kind, to wherever it leads, is no answer; nor is one that is too long, packed, slow or endless.
func TestWhateverGoesWrongIsToldInTheSameWords(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	redirects := map[string]func(w http.ResponseWriter){}
	var leads []string
	for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		for i, to := range []string{"http://127.0.0.1/", "https://169.254.169.254/latest", "file:///etc/passwd", "gopher://127.0.0.1:25/", "//localhost/"} {
			path := fmt.Sprintf("/redirect/%d/%d", status, i)
			leads = append(leads, path)
			redirects[path] = func(w http.ResponseWriter) {
				w.Header().Set("Location", to)
				w.WriteHeader(status)
			}
		}
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if lead := redirects[r.URL.Path]; lead != nil {
			lead(w)
			return
		}
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, "/good", http.StatusFound)
		case "/long":
			w.Write(make([]byte, 101))
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		case "/packed":
			w.Header().Set("Content-Encoding", "gzip")
			w.Write([]byte("x"))
		case "/headers":
			for i := range 10_000 {
				w.Header().Set(fmt.Sprintf("X-%d", i), "x")
			}
		case "/drip":
			for r.Context().Err() == nil {
				w.Write([]byte("x"))
				w.(http.Flusher).Flush()
				select {
				case <-time.After(50 * time.Millisecond):
				case <-r.Context().Done():
				}
			}
		case "/silent":
			<-r.Context().Done()
		case "/good":
			if got := r.Header.Get("Accept-Encoding"); got != "identity" {
				http.Error(w, got, http.StatusTeapot)
				return
			}
			w.Write([]byte("good"))
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	client := New(Options{AllowLoopback: true, RootCAs: roots, Timeout: 400 * time.Millisecond})

	body, err := client.Get(t.Context(), server.URL+"/good", "application/json", 100)
	if err != nil || string(body) != "good" {
		t.Fatalf("%q, %v, %v", body, err, Cause(err))
	}
	for i := range leads {
		leads[i] = server.URL + leads[i]
	}
	began := time.Now()
	for _, address := range append([]string{
		closed.URL, server.URL + "/redirect", server.URL + "/long", server.URL + "/endless", server.URL + "/packed", server.URL + "/headers", server.URL + "/drip",
		server.URL + "/silent", server.URL + "/nothing", "https://no-such-host.invalid/", "https://10.0.0.1/", strings.Replace(server.URL, "https", "http", 1) + "/good",
	}, append(leads, refusedURLs...)...) {
		body, err := client.Get(t.Context(), address, "application/json", 100)
		if !errors.Is(err, ErrFetch) || err.Error() != ErrFetch.Error() || len(body) != 0 || Cause(err) == nil {
			t.Errorf("%q: %q, %v", address, body, err)
		}
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	if unbelieved := New(Options{AllowLoopback: true}); unbelieved != nil {
		if _, err := unbelieved.Get(t.Context(), server.URL+"/good", "", 100); !errors.Is(err, ErrFetch) {
			t.Errorf("a certificate of nobody is believed: %v", err)
		}
	}
	if _, err := New(Options{RootCAs: roots}).Get(t.Context(), server.URL+"/good", "", 100); !errors.Is(err, ErrFetch) {
		t.Errorf("this machine is spoken to: %v", err)
	}
}

// A network that the operator has named is spoken to, over TLS, and no other comes with it.
func TestANetworkThatIsNamedIsSpokenToAndNoOther(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Write([]byte("good"))
	}))
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	here := Options{RootCAs: roots, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Timeout: time.Second}
	elsewhere := here
	elsewhere.Networks = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00::/8")}

	names := nameServer(t, func() [4]byte { return [4]byte{127, 0, 0, 1} })
	for _, address := range []string{server.URL, "https://example.com:" + port} { // the certificate is for both
		if body, err := newClient(here, names).Get(t.Context(), address, "", 10); err != nil || string(body) != "good" {
			t.Errorf("%s: %q, %v", address, body, Cause(err))
		}
	}
	before := asked.Load()
	for _, o := range []Options{elsewhere, {RootCAs: roots, Timeout: time.Second}} {
		for _, address := range []string{server.URL, "https://example.com:" + port, "https://[::ffff:127.0.0.1]:" + port} {
			if _, err := newClient(o, names).Get(t.Context(), address, "", 10); !errors.Is(err, ErrFetch) {
				t.Errorf("%s beside %v: %v", address, o.Networks, err)
			}
		}
	}
	if asked.Load() != before {
		t.Error("somebody was asked")
	}
	for address, fine := range map[string]bool{
		"https://10.1.2.3/": true, "https://10.1.2.3:9443/": true, "https://[fd12::1]:8080/": true, "https://[::ffff:10.1.2.3]/": true, "https://idp/": true,
		"https://idp.corp.example:8080/": true,
		"http://10.1.2.3/":               false, "https://10.2.2.3/": false, "https://127.0.0.1/": false, "https://169.254.169.254/": false, "https://localhost/": false,
		"https://a.localhost/": false, "https://127.1/": false, "https://0x7f.1/": false, "https://8.8.8.8:22/": false, "https://u@idp/": false,
	} {
		if err := elsewhere.CheckURL(address); (err == nil) != fine {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// What a library asks for is guarded as what Get asks for is.
func TestALibraryIsGuardedToo(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, "/good", http.StatusFound)
		case "/long":
			w.Write(make([]byte, 101))
		case "/packed":
			w.Header().Set("Content-Encoding", "gzip")
		case "/silent":
			_, _ = io.Copy(io.Discard, r.Body) // or it would not be seen that nobody waits any more
			<-r.Context().Done()
		case "/echo":
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s %s %s", r.Method, r.Header.Get("Accept-Encoding"), r.Header.Get("Authorization"), body)
		}
	}))
	defer server.Close()
	library := New(Options{AllowLoopback: true, Timeout: 300 * time.Millisecond}).HTTP(100)
	ask := func(client *http.Client, address string) (string, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader("form"))
		if err != nil {
			return "", err
		}
		request.Header.Set("Authorization", "Bearer x")
		response, err := client.Do(request)
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err == nil && response.StatusCode != http.StatusOK {
			err = errors.New(response.Status)
		}
		return string(body), err
	}
	if body, err := ask(library, server.URL+"/echo"); err != nil || body != "POST identity Bearer x form" {
		t.Errorf("%q, %v", body, err)
	}
	for _, address := range append([]string{server.URL + "/redirect", server.URL + "/long", server.URL + "/packed", server.URL + "/silent"}, refusedURLs...) {
		if body, err := ask(library, address); err == nil {
			t.Errorf("%s: %q", address, body)
		}
	}
	if _, err := ask(New(Options{Timeout: time.Second}).HTTP(100), server.URL+"/echo"); err == nil {
		t.Error("this machine is spoken to")
	}
}

// S-160: a proxy of the environment would connect for us, to where we must not.
func TestTheProxyOfTheEnvironmentIsNotAsked(t *testing.T) {
	var asked atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer proxy.Close()
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	if _, err := New(Options{Timeout: time.Second}).Get(t.Context(), "https://rp.invalid/", "", 10); !errors.Is(err, ErrFetch) {
		t.Error(err)
	}
	if transport := New(Options{}).http.Transport.(*http.Transport); transport.Proxy != nil || asked.Load() != 0 {
		t.Error("a proxy is asked")
	}
}

// S-157: the name is looked at by nobody; what counts is the address that is being connected to.
func TestANameThatComesToPointInwardsIsNotFollowed(t *testing.T) {
	var connected atomic.Int64
	inside, err := net.Listen("tcp", "127.0.0.1:8443")
	if err != nil {
		inside, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	go func() {
		for {
			c, err := inside.Accept()
			if err != nil {
				return
			}
			connected.Add(1)
			c.Close()
		}
	}()
	var asked atomic.Int64
	names := nameServer(t, func() [4]byte {
		asked.Add(1)
		return [4]byte{127, 0, 0, 1}
	})
	client := newClient(Options{Timeout: time.Second}, names)
	_, err = client.Get(t.Context(), "https://rebind.example:8443/", "", 10)
	if !errors.Is(err, ErrFetch) || !strings.Contains(fmt.Sprint(Cause(err)), "127.0.0.1 is not an address of the public internet") {
		t.Errorf("%v: %v", err, Cause(err))
	}
	if asked.Load() == 0 || connected.Load() != 0 {
		t.Errorf("the name was asked for %d times, %d connections came", asked.Load(), connected.Load())
	}
}

// nameServer answers every question for an IPv4 address, with a time to live of nothing.
func nameServer(t *testing.T, answer func() [4]byte) *net.Resolver {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			var message dnsmessage.Message
			if message.Unpack(buffer[:n]) != nil || len(message.Questions) == 0 {
				continue
			}
			message.Response, message.Additionals = true, nil
			if question := message.Questions[0]; question.Type == dnsmessage.TypeA {
				message.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: question.Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET},
					Body:   &dnsmessage.AResource{A: answer()},
				}}
			}
			if packed, err := message.Pack(); err == nil {
				conn.WriteTo(packed, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func FuzzSSRFGuard(f *testing.F) {
	for _, seed := range []string{"127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2606:4700::1", "8.8.8.8", "fe80::1%x"} {
		address := netip.MustParseAddr(seed)
		f.Add(address.AsSlice(), "tcp6", uint16(443))
	}
	client := New(Options{})
	f.Fuzz(func(t *testing.T, raw []byte, network string, port uint16) {
		address, ok := netip.AddrFromSlice(raw)
		if !ok {
			return
		}
		if client.guard(network, netip.AddrPortFrom(address, port).String()) != nil {
			return
		}
		if port != 443 && port != 8443 {
			t.Fatalf("port %d passes", port)
		}
		for _, form := range decoded(address) {
			for _, special := range specialUse {
				if special.Contains(form) {
					t.Fatalf("%s passes, which is %s of %s", address, form, special)
				}
			}
		}
	})
}

// decoded is an address and the IPv4 addresses that stand in it, whichever way they were put there.
func decoded(address netip.Addr) []netip.Addr {
	out := []netip.Addr{address, address.Unmap()}
	if address.Is6() {
		b := address.As16()
		switch {
		case netip.MustParsePrefix("64:ff9b::/96").Contains(address), netip.MustParsePrefix("::/96").Contains(address):
			out = append(out, netip.AddrFrom4([4]byte(b[12:])))
		case netip.MustParsePrefix("2002::/16").Contains(address):
			out = append(out, netip.AddrFrom4([4]byte(b[2:6])))
		case netip.MustParsePrefix("2001::/32").Contains(address):
			out = append(out, netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}))
		}
	}
	return out
}

// specialUse is the judge's own list.
var specialUse = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16",
	"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"::/128", "::1/128", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
)
