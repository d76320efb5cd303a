package redirect

import (
	"net/url"
	"strings"
	"testing"
)

func TestAnAddressThatAClientMayRegister(t *testing.T) {
	for _, uri := range registrable {
		if err := ValidateRegistration(uri); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

var registrable = []string{
	"https://rp.example/cb",
	"https://rp.example",
	"https://rp.example/",
	"https://rp.example:8443/cb",
	"https://rp.example/cb?tenant=7&x=%20y",
	"https://rp.example/a%20b/cb",
	"https://rp.example/cb;v=1",
	"https://rp.example/.well-known/cb",
	"https://rp.example/~user/a@b:c/cb",
	"https://xn--bcher-kva.example/cb",
	"https://localhost/cb",
	"https://192.0.2.7/cb",
	"https://[2001:db8::7]:8443/cb",
	"http://127.0.0.1/cb",
	"http://127.0.0.1:9999/cb",
	"http://[::1]/cb",
	"http://[::1]:9999/cb",
	"http://localhost:3000/cb",
	"com.example.app:/cb",
	"com.example.app:/oauth2/cb?x=1",
	"com.example.app://cb",
	"com.example.app://cb/in",
	"io.github.some-app:/cb",
}

// S-005, S-006 and what else has been seen registered (fosite alone takes javascript: for a secure redirect).
func TestAnAddressThatNoClientMayRegister(t *testing.T) {
	for _, uri := range unregistrable {
		if err := ValidateRegistration(uri); err == nil {
			t.Errorf("%q passes", uri)
		}
	}
}

var unregistrable = []string{
	"", " ", "/cb", "cb", "//rp.example/cb", "https:", "https:/", "https://", "https:///cb", "https:rp.example/cb", "https://:443/cb",
	"https://*.rp.example/cb", "https://rp.example/*", "https://rp.example/cb?*", "https://rp.example/^.*$", `https://rp\.example/cb`,
	"https://rp.example/(.+)|x", "*", "https://rp.example/cb#", "https://rp.example/cb#x", "https://rp.example/cb?a#b",
	"javascript:alert(1)", "javascript://rp.example/%0aalert(1)", "JavaScript:alert(1)", "data:text/html,x", "vbscript:x", "blob:https://rp.example/1",
	"file:///etc/passwd", "about:blank", "mailto:a@rp.example", "ftp://rp.example/cb", "ws://rp.example/cb", "myapp:/cb", "myapp://cb", "urn:ietf:wg:oauth:2.0:oob",
	"http://rp.example/cb", "http://127.0.0.2/cb", "http://127.0.0.1.rp.example/cb", "http://localhost.rp.example/cb", "http://[::2]/cb", "http://0.0.0.0/cb",
	"http://2130706433/cb", "http://0x7f.1/cb", "http://127.1/cb", "http://[::ffff:127.0.0.1]/cb", "http://[0:0:0:0:0:0:0:1]/cb", "http://localhost./cb",
	"https://2130706433/cb", "https://0x7f.1/cb", "https://127.1/cb", "https://0177.0.0.1/cb", "https://1.2.3.4.5/cb", "https://rp.example./cb", "https://.rp.example/cb",
	"https://[::1/cb", "https://[fe80::1%25eth0]/cb", "https://[2001:DB8::7]/cb",
	"https://u@rp.example/cb", "https://u:p@rp.example/cb", "https://@rp.example/cb", "http://u:p@127.0.0.1:5/cb", "https://rp.example%40evil.example/cb",
	"HTTPS://rp.example/cb", "https://RP.example/cb", "https://rp.example:/cb", "https://rp.example:0/cb", "https://rp.example:65536/cb", "https://rp.example:99999/cb",
	"https://rp.example:0443/cb", "https://rp.example:+443/cb", "https://rp.example:a/cb", "https://-rp.example/cb", "https://rp..example/cb",
	"https://rp.example/../cb", "https://rp.example/a/./cb", "https://rp.example/a/..", "https://rp.example/%2e%2e/cb", "https://rp.example/.%2E/cb",
	"https://rp.example/a/..;/cb", "https://rp.example/a/..;x=y/cb", "https://rp.example/a/..%3b/cb", "https://rp.example/a%2fcb", "https://rp.example/a%5Ccb",
	`https://rp.example\cb`, `https://rp.example\@evil.example/cb`, `https:\\rp.example/cb`, "https://rp.example/c b", "https://rp.example/cb\n", "https://rp.example/\tcb",
	"\thttps://rp.example/cb", "https://rp.example/cb\x00", "https://rp.example/cb%00", "https://rp.example/cb%0d%0aLocation:x", "https://rp.example/%7fcb", "https://rp.example/cb%",
	"https://rp.example/cb%zz", "https://rp.example/cb?x=%", "https://rp.example/cb?a;b", "https://rp.example/\u00e9", "https://\u0440p.example/cb", "https://rp\u3002example/cb",
	`https://rp.example/"onload="x`, "https://rp.example/<script>", "https://rp.example/`", "https://rp.example/{id}",
	"com.example.app:", "com.example.app:cb", "com.example.app:#x", "com..app:/cb", ".app:/cb", "com.:/cb", "com.example.app://u@cb", "com.example.app://CB", "com.example.app://cb:99",
	"Com.Example.App:/cb", "java.script+x:/cb", "com.example.app://",
	"https://rp.example/" + strings.Repeat("a", 2048),
}

// S-001, S-002, S-004, S-008: the request must name the registered address byte for byte.
func TestAnythingButTheRegisteredAddressIsRefused(t *testing.T) {
	registered := []string{"https://rp.example/cb", "https://rp.example/q?a=1", "https://127.0.0.1/sec", "http://127.0.0.1/cb", "http://[::1]:7/cb", "http://localhost:3000/cb", "com.example.app:/cb"}
	for _, uri := range registered {
		if got, ok := Match(registered, uri); !ok || got != uri {
			t.Errorf("the registered %s is refused", uri)
		}
	}
	for _, uri := range []string{
		"", "https://rp.example", "https://rp.example/", "https://rp.example/cb/", "https://rp.example/c", "https://rp.example/cbx", "https://rp.example/CB",
		"https://RP.example/cb", "HTTPS://rp.example/cb", "https://rp.example:443/cb", "https://rp.example:8443/cb", "https://rp.example./cb", "http://rp.example/cb",
		"https://rp.example/%63b", "https://rp.example/c%62", "https://rp.example/x/../cb", "https://rp.example/./cb", "https://rp.example//cb", "https://rp.example/cb//",
		`https://rp.example\cb`, `https://rp.example/\cb`, "https://rp.example/cb\t", "https://rp.example/cb\r", "https://rp.example/cb\n", "\nhttps://rp.example/cb",
		"https://rp.example/\tcb", "https://rp.example/cb\x00", "https://rp.example/cb%00", "https://rp.example/cb#", "https://rp.example/cb#x", "https://rp.example/cb?",
		"https://rp.example/cb?a=1", "https://rp.example/cb&a=1", "https://rp.example/cb;x=y", "https://rp.example/..;/cb", "https://rp.example/x/..;/cb", "https://rp.example/%2e%2e/cb",
		"https://rp.example/cb/..;/", "https://rp.example/cb/%2e%2e/cb", "https://\u0440p.example/cb", "https://rp.example\u3002/cb", "https://rp\uff0eexample/cb", "https://u@rp.example/cb",
		"https://rp.example@evil.example/cb", "https://evil.example/https://rp.example/cb", "https://rp.example.evil.example/cb", "https://evilrp.example/cb", "//rp.example/cb",
		"https%3A%2F%2Frp.example%2Fcb", "https%253A%252F%252Frp.example%252Fcb", " https://rp.example/cb", "https://rp.example/cb ",
		"https://rp.example/q", "https://rp.example/q?a=2", "https://rp.example/q?a=1&b=2", "https://rp.example/q?a=1&", "https://rp.example/q?A=1", "https://rp.example/q?a=%31",
		"http://127.0.0.1/sec", "http://127.0.0.1:9999/sec", "https://127.0.0.1:9999/sec", "https://127.0.0.1:443/sec", "https://127.0.0.1/cb",
		"http://u:p@127.0.0.1:5/cb", "http://127.0.0.1:5/%63b", "http://127.0.0.1:5/cb#", "http://127.0.0.1:5/cb?", "http://127.0.0.1:5/cb?x", "http://127.0.0.1:5/cb/",
		"http://127.0.0.1:0/cb", "http://127.0.0.1:99999/cb", "http://127.0.0.1:65536/cb", "http://127.0.0.1:/cb", "http://127.0.0.1:05/cb", "http://127.0.0.1:5:6/cb",
		"http://127.0.0.1:-5/cb", "http://127.0.0.1:+5/cb", "http://127.0.0.1: 5/cb", "http://127.0.0.1:5a/cb", "http://127.0.0.1:5@evil.example/cb", "http://127.0.0.1.evil.example/cb",
		"http://127.0.0.10/cb", "http://127.0.0.2:5/cb", "http://127.1:5/cb", "http://[::1]:8/cb2", "http://[::1]8/cb", "http://[::1].evil.example/cb", "http://[::ffff:127.0.0.1]:5/cb",
		"http://localhost/cb", "http://localhost:3001/cb", "http://localhost:5/cb", "https://localhost:3000/cb",
		"com.example.app:/cb2", "com.example.app://cb", "com.example.app:cb", "com.example.APP:/cb", "com.example.app2:/cb",
	} {
		if got, ok := Match(registered, uri); ok || got != "" {
			t.Errorf("%q passes as %q", uri, got)
		}
	}
}

func TestALoopbackLiteralMatchesOnAnyPort(t *testing.T) {
	for _, c := range []struct{ registered, given string }{
		{"http://127.0.0.1/cb", "http://127.0.0.1:51004/cb"},
		{"http://127.0.0.1/cb", "http://127.0.0.1:1/cb"},
		{"http://127.0.0.1/cb", "http://127.0.0.1:65535/cb"},
		{"http://127.0.0.1:9999/cb", "http://127.0.0.1:51004/cb"},
		{"http://127.0.0.1:9999/cb", "http://127.0.0.1/cb"},
		{"http://[::1]/cb?a=1", "http://[::1]:51004/cb?a=1"},
		{"http://[::1]", "http://[::1]:51004"},
	} {
		if got, ok := Match([]string{"https://rp.example/cb", c.registered}, c.given); !ok || got != c.given {
			t.Errorf("%s for the registered %s: %q, %v", c.given, c.registered, got, ok)
		}
	}
}

func TestADangerousAddressIsNotMatchedEvenIfARowHoldsIt(t *testing.T) {
	for _, uri := range unregistrable {
		if _, ok := Match([]string{uri}, uri); ok {
			t.Errorf("%q passes", uri)
		}
	}
	if _, ok := Match(nil, "https://rp.example/cb"); ok {
		t.Error("a client without redirect URIs has none")
	}
}

func TestNativeAppsAreRecognised(t *testing.T) {
	for uri, want := range map[string]struct{ loopback, private bool }{
		"https://rp.example/cb":       {},
		"http://127.0.0.1:5/cb":       {loopback: true},
		"http://[::1]/cb":             {loopback: true},
		"http://localhost:3000/cb":    {loopback: true},
		"https://localhost/cb":        {loopback: true},
		"http://localhost.example/cb": {},
		"com.example.app:/cb":         {private: true},
		"javascript:alert(1)":         {},
		"%":                           {},
		"":                            {},
	} {
		if got := IsLoopback(uri); got != want.loopback {
			t.Errorf("IsLoopback(%q) = %v", uri, got)
		}
		if got := IsPrivateUse(uri); got != want.private {
			t.Errorf("IsPrivateUse(%q) = %v", uri, got)
		}
	}
}

func FuzzRedirectRegister(f *testing.F) {
	for _, uri := range append(unregistrable, registrable...) {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		if ValidateRegistration(uri) != nil {
			return
		}
		u, err := url.Parse(uri)
		if err != nil || u.String() != uri {
			t.Fatalf("%q does not survive parsing: %v", uri, err)
		}
		host := u.Hostname()
		if u.Scheme != "https" && !strings.Contains(u.Scheme, ".") &&
			(u.Scheme != "http" || host != "127.0.0.1" && host != "::1" && host != "localhost") {
			t.Fatalf("%q: scheme or host", uri)
		}
		if strings.ContainsAny(uri, "#\\*\x00\t\r\n \x7f") || u.User != nil || u.Fragment != "" {
			t.Fatalf("%q: what must not be in it is", uri)
		}
		if got, ok := Match([]string{uri}, uri); !ok || got != uri {
			t.Fatalf("%q does not match itself", uri)
		}
	})
}

func FuzzRedirectMatch(f *testing.F) {
	for _, uri := range append(unregistrable, registrable...) {
		f.Add("http://127.0.0.1/cb", uri)
		f.Add("https://rp.example/cb", uri)
		f.Add(uri, "http://127.0.0.1:51004/cb")
		f.Add(uri, uri)
	}
	f.Fuzz(func(t *testing.T, registered, given string) {
		if _, ok := Match([]string{registered}, given); !ok {
			return
		}
		u, err := url.Parse(given)
		if err != nil || u.User != nil || strings.ContainsAny(given, "#\\\x7f") || strings.IndexFunc(given, func(r rune) bool { return r < ' ' }) >= 0 {
			t.Fatalf("%q: what must not be in it is (%v)", given, err)
		}
		if given == registered {
			return
		}
		// An independent reading of "only the port differs".
		r, err := url.Parse(registered)
		if err != nil || r.Scheme != "http" || u.Scheme != "http" || r.Hostname() != u.Hostname() || r.User != nil ||
			(r.Hostname() != "127.0.0.1" && r.Hostname() != "::1") {
			t.Fatalf("%q passes for %q", given, registered)
		}
		u.Host = r.Host
		if u.String() != registered {
			t.Fatalf("%q passes for %q", given, registered)
		}
	})
}
