package mail

import (
	"strings"
	"unicode"
)

// maxName bounds what a name may take of a letter, in characters.
const maxName = 80

// line makes of what somebody else has chosen one line of text: valid, of bounded length, and without the characters that end a
// header (RFC 5322 §2.2), or that are not seen and turn around what is.
func line(text string, most int) string {
	var b strings.Builder
	length, gap := 0, false
	for _, r := range strings.ToValidUTF8(text, "\uFFFD") {
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			gap = b.Len() > 0
			continue
		}
		if !unicode.IsPrint(r) && r != '\u200c' && r != '\u200d' { // joiners shape Persian and Indic words
			continue
		}
		if length++; length > most {
			return b.String() + "…"
		}
		if gap {
			b.WriteByte(' ')
			length++
			gap = false
		}
		b.WriteRune(r)
	}
	return b.String()
}

// told is a line that a program which reads mail makes no link of: a stranger who signs up with somebody else's address chooses
// the name that the letter speaks of, and it must not be an advertisement (Zitadel CVE-2024-41953).
func told(text string) string {
	var b strings.Builder
	before := ' '
	runes := []rune(line(text, maxName))
	for i, r := range runes {
		b.WriteRune(r)
		next := ' '
		if i+1 < len(runes) {
			next = runes[i+1]
		}
		// "evil.example", "https://…", "mailto:…"; but a version, 128.0, stays one.
		if r == '.' && !unicode.IsSpace(before) && unicode.IsLetter(next) || (r == ':' || r == '/' || r == '@') && !unicode.IsSpace(next) {
			b.WriteByte(' ')
		}
		before = r
	}
	return strings.TrimSpace(b.String())
}
