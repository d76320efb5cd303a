package web

import (
	"net/url"
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/internal/tenant"
)

func TestAfterASignInOneReturnsToAnAccountPageOnly(t *testing.T) {
	org := &tenant.Org{Slug: "acme", BasePath: "/o/acme"}
	for _, path := range []string{"/account", "/account/passkeys", "/account/apps/0123-AB_c"} {
		if got := ReturnTo(org, path); got != "/o/acme"+path {
			t.Errorf("ReturnTo(%q) = %q", path, got)
		}
	}
	if got := ReturnTo(org, "/o/acme/account/passkeys"); got != "/o/acme/account/passkeys" {
		t.Errorf("an address of ours became %q", got)
	}
	for _, text := range []string{
		"/o/other/account/passkeys", "/o/acme/o/acme/account", "", "/", "account", "/accounts", "/account/", "/account//evil.example", "//evil.example/account", "/account/../login", "/account/%2e%2e/x",
		"https://evil.example/account", `/\evil.example`, `/account\x`, "/account/\t/x", "/account\r\n", "/account?next=//evil.example", "/account#x",
		"/account/a.b", "javascript:alert(1)", "/account@evil.example", "/account/é", "/account/" + strings.Repeat("a", maxReturnTo), "/account\x00",
	} {
		if got := ReturnTo(org, text); got != "/o/acme/account" {
			t.Errorf("ReturnTo(%q) = %q", text, got)
		}
	}
}

// browserReads is where a browser would go from a page of ours (WHATWG URL): it drops tabs and line breaks, trims control
// characters, and takes a backslash for a slash.
func browserReads(text string) string {
	text = strings.TrimFunc(text, func(r rune) bool { return r <= ' ' })
	text = strings.NewReplacer("\t", "", "\r", "", "\n", "", `\`, "/").Replace(text)
	base := &url.URL{Scheme: "https", Host: "id.example", Path: "/login"}
	to, err := base.Parse(text)
	if err != nil {
		return "error"
	}
	return to.Scheme + "://" + to.Host + to.Path
}

func FuzzReturnTo(f *testing.F) {
	for _, seed := range []string{"/account", "/account/passkeys", "//evil", `/\evil`, "/account/..", "/account/%2f%2fevil", "\t//evil"} {
		f.Add(seed)
	}
	org := &tenant.Org{Slug: "acme", BasePath: "/o/acme"}
	f.Fuzz(func(t *testing.T, text string) {
		got := ReturnTo(org, text)
		to := browserReads(got)
		if to != "https://id.example/o/acme/account" && !strings.HasPrefix(to, "https://id.example/o/acme/account/") {
			t.Fatalf("%q leads to %s", text, to)
		}
		if got != "/o/acme/account" && got != "/o/acme"+strings.TrimPrefix(text, org.BasePath) {
			t.Fatalf("%q became %q", text, got)
		}
	})
}
