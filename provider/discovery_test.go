package provider

import "testing"

func TestADocumentIsKnownByItsTag(t *testing.T) {
	const etag = `"abc"`
	for header, want := range map[string]bool{
		`"abc"`: true, `W/"abc"`: true, `"x", "abc"`: true, `"x",W/"abc" `: true, `*`: true,
		``: false, `abc`: false, `"ab"`: false, `"abcd"`: false, `w/"abc"`: false, `"x"`: false,
	} {
		if got := matches(header, etag); got != want {
			t.Errorf("If-None-Match: %s: %v", header, got)
		}
	}
}
