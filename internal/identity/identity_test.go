package identity

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestEverySpellingOfAnAddressHasOneCanonicalForm(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"mike@example.com", "mike@example.com"},
		{"Mike@Example.COM", "mike@example.com"},
		{"a.b+c_d-e@example.com", "a.b+c_d-e@example.com"},
		{"!#$%&'*+-/=?^_`{|}~@example.com", "!#$%&'*+-/=?^_`{|}~@example.com"},
		{"x@Bücher.example", "x@xn--bcher-kva.example"},
		{"x@BU\u0308CHER.example", "x@xn--bcher-kva.example"}, // decomposed
		{"x@XN--BCHER-KVA.example", "x@xn--bcher-kva.example"},
		{"x@\uff45\uff58ample.com", "x@example.com"}, // full width
		{"x@example\u3002com", "x@example.com"},      // an ideographic full stop is a dot
		{"x@faß.example", "x@xn--fa-hia.example"},    // not fass
		{"x@mi\u212Ae.example", "x@mike.example"},    // a Kelvin sign in a host is a k to every resolver
		{"dev@localhost", "dev@localhost"},           // on one's own machine
		{"x@sub.sub.sub.example", "x@sub.sub.sub.example"},
		{"0@1.example", "0@1.example"},
	} {
		if got, err := Email(c.in); err != nil || got != c.want {
			t.Errorf("Email(%q) = %q, %v, want %q", c.in, got, err, c.want)
		}
	}
}

func TestWhatIsNoAddressIsRefused(t *testing.T) {
	for _, in := range []string{
		"", "@", "a", "a@", "@b.example", "a@b", "a@@b.example", "a@b@c.example", `"a"@b.example`, `"a@b"@c.example`, `a"b@c.example`,
		"mi\u212Ae@example.com", "\u017Fam@example.com", "al\u0131ce@example.com", "\u0130@example.com", "é@example.com",
		"\uff41@example.com", "a\u200b@example.com", "a\u200d@example.com", "a\u00ad@example.com", "a@ex\u200bample.com", "a\u202e@example.com",
		"a@example.com.", "a@example.com\u3002", "a@.example.com", "a@example..com", "a@-a.example", "a@a-.example", "a@a_b.example",
		".a@example.com", "a.@example.com", "a..b@example.com", "a b@example.com", " a@example.com", "a@example.com ", "a@exam ple.com",
		"a@example.com\r\n", "a\r\nBcc: b@example.com", "a@example.com\x00", "a\x00@example.com", "a\t@example.com", "a(b)@example.com",
		"a@(b)example.com", "a,b@example.com", "a;b@example.com", "<a@example.com>", "a\\b@example.com", "a@127.0.0.1", "a@[127.0.0.1]",
		"a@[IPv6:::1]", "a@example.com/", "a@exa%6dple.com", "a@\xff.example", "\xff@example.com", "a@xn--.example", "a@xn--a.example",
		strings.Repeat("a", 65) + "@example.com", "a@" + strings.Repeat("a", 64) + ".example", "a@" + strings.Repeat("a.", 130) + "example",
		strings.Repeat("a@example.com", 10_000),
	} {
		if got, err := Email(in); !errors.Is(err, ErrEmail) || got != "" {
			t.Errorf("Email(%.60q) = %q, %v", in, got, err)
		}
	}
}

func TestEverySpellingOfAUserNameHasOneCanonicalForm(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"alice", "alice"},
		{"Alice", "alice"},
		{"ALICE.B-C_d", "alice.b-c_d"},
		{"A\u030alice", "ålice"},
		{"Ålice", "ålice"},
		{"\uff21lice", "alice"}, // full width
		{"\u03a3\u03c3", "σσ"},
		{"用户", "用户"},
		{"0", "0"},
	} {
		if got, err := Username(c.in); err != nil || got != c.want {
			t.Errorf("Username(%q) = %q, %v, want %q", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{
		"", "a b", " a", "a ", "a@b", "a@b.example", "a\uff20b", "a\x00", "a\n", "a\u200b", "a\u00ad", "\u2163", "\xff", "a\u202eb", "\ue000",
		strings.Repeat("a", 256), "mi\u212ae\u200d",
	} {
		if got, err := Username(in); !errors.Is(err, ErrUsername) || got != "" {
			t.Errorf("Username(%.60q) = %q, %v", in, got, err)
		}
	}
}

func FuzzEmail(f *testing.F) {
	for _, seed := range []string{"Mike@Example.COM", "x@BU\u0308CHER.example", "x@example\u3002com", "a@b@c", "x@xn--fa-hia.example", "a@\u05d0.example", "a@1.\u0661"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := Email(in)
		if err != nil {
			if got != "" {
				t.Fatalf("an error and %q", got)
			}
			return
		}
		if again, err := Email(got); err != nil || again != got {
			t.Fatalf("Email(%q) = %q, of which it makes %q, %v", in, got, again, err)
		}
		if strings.Count(got, "@") != 1 || len(got) > maxEmail || strings.ToLower(got) != got {
			t.Fatalf("Email(%q) = %q", in, got)
		}
		for _, c := range []byte(got) {
			if c <= ' ' || c >= 0x7f {
				t.Fatalf("Email(%q) = %q", in, got)
			}
		}
		// The local part means what it said: nothing beyond ASCII was folded into it.
		local, _, _ := strings.Cut(in, "@")
		if canonical, _, _ := strings.Cut(got, "@"); !strings.EqualFold(local, canonical) || len(local) != len(canonical) {
			t.Fatalf("Email(%q) = %q", in, got)
		}
	})
}

func FuzzUsername(f *testing.F) {
	for _, seed := range []string{"Alice", "A\u030alice", "\uff21lice", "\u03a3\u03c3\u03c2", "\u05d0\u05d1", "\u212a", "\u0130", "\u1e9e"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := Username(in)
		if err != nil {
			return
		}
		if again, err := Username(got); err != nil || again != got {
			t.Fatalf("Username(%q) = %q, of which it makes %q, %v", in, got, again, err)
		}
		if got == "" || strings.Contains(got, "@") || !utf8.ValidString(got) || len(got) > maxUsername {
			t.Fatalf("Username(%q) = %q", in, got)
		}
		if _, err := Email(got); err == nil {
			t.Fatalf("Username(%q) = %q, which is an e-mail address as well", in, got)
		}
	})
}

// Whoever could be called like somebody else's address would be counted as them, or be signed in as them.
func TestAUsernameIsNeverAnAddress(t *testing.T) {
	for _, name := range []string{"alice@example.com", "@", "a@", "@a", "alice\uff20example.com", "alice\ufe6bexample.com", "alice@localhost"} {
		if canonical, err := Username(name); err == nil {
			t.Errorf("%q is the user name %q", name, canonical)
		}
	}
}
