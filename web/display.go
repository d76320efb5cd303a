package web

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// How much a name, or a sentence, may take of a page, in characters.
const (
	maxDisplay  = 80
	maxSentence = 500
)

// display makes a name, which somebody else has chosen, fit to stand in a sentence of ours: valid, short, on one line, and
// without the invisible characters by which it could turn what follows it around (Trojan Source, CVE-2021-42574).
func display(name string) string { return fit(name, maxDisplay) }

// sentence does the same for what somebody else says in a sentence, none of which may be missing where people decide by it.
func sentence(text string) string { return fit(text, maxSentence) }

func fit(text string, most int) string {
	var b strings.Builder
	length := 0
	for _, r := range strings.ToValidUTF8(text, "\uFFFD") {
		if unicode.IsSpace(r) {
			r = ' '
		}
		if !unicode.IsPrint(r) && r != '\u200c' && r != '\u200d' { // joiners shape Persian and Indic words
			continue
		}
		if length++; length > most {
			return strings.TrimSpace(b.String()) + "…"
		}
		b.WriteRune(r)
	}
	return strings.TrimSpace(b.String())
}

// initials stand for a name where others have a picture: ours is a page that fetches nothing from elsewhere.
func initials(name string) string {
	var b strings.Builder
	words := strings.FieldsFunc(display(name), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for i, word := range words {
		if i == 2 {
			break
		}
		r, _ := utf8.DecodeRuneInString(word)
		b.WriteRune(unicode.ToUpper(r))
	}
	if b.Len() == 0 {
		return "·"
	}
	return b.String()
}

// httpsOnly returns an address that a page may link to, or nothing. It is asked again here, at the last moment, because what
// the database holds was perhaps not put there by us (Zitadel CVE-2026-29192).
func httpsOnly(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Opaque != "" {
		return ""
	}
	return u.String()
}

// backLink returns the address of an application that a page may link to: https, or http on this very device.
func backLink(address string) string {
	if link := httpsOnly(address); link != "" {
		return link
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" || u.User != nil {
		return ""
	}
	switch u.Hostname() {
	case "localhost", "127.0.0.1", "::1":
		return u.String()
	}
	return ""
}
