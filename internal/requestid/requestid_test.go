package requestid

import (
	"regexp"
	"testing"
)

func TestARequestKeepsItsName(t *testing.T) {
	id := New()
	if got := From(With(t.Context(), id)); got != id {
		t.Errorf("From = %q, want %q", got, id)
	}
	if got := From(t.Context()); got != "" {
		t.Errorf("a context outside of any request names %q", got)
	}
}

func TestNamesAreShortPlainAndDoNotRepeat(t *testing.T) {
	plain := regexp.MustCompile(`^[A-Z2-7]{26}$`)
	seen := make(map[string]bool)
	for range 10_000 {
		id := New()
		if !plain.MatchString(id) || seen[id] {
			t.Fatalf("%q is malformed or was given before", id)
		}
		seen[id] = true
	}
}
