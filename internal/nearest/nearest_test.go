package nearest

import (
	"slices"
	"strings"
	"testing"
)

func TestTheNearestNameIsFound(t *testing.T) {
	names := []string{"issuer", "listen", "database.url", "session.idle_timeout", "create", "list", "show", "a"}
	for given, want := range map[string]string{
		"isuer": "issuer", "issure": "issuer", "issuerr": "issuer", "lisetn": "listen", "database_url": "database.url", "databse.ulr": "database.url",
		"session.idle_time_out": "session.idle_timeout", "session.timeout": "", "creat": "create", "ls": "a", "show": "show",
		"nothing like it": "", "": "a", "b": "a", strings.Repeat("x", 1<<20): "",
	} {
		if got := Name(given, slices.Values(names)); got != want {
			t.Errorf("Name(%.30q) = %q, want %q", given, got, want)
		}
	}
}

func TestDistanceCountsSlips(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "ab", 1}, {"abc", "xabc", 1}, {"abc", "abd", 1}, {"abc", "cab", 2}, {"abcd", "badc", 2}, {"", "ab", 2}} {
		if got := distance(c.a, c.b, 9); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
