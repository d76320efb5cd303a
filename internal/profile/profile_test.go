package profile

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestANameIsTextOnOneLine(t *testing.T) {
	for name, want := range map[string]error{
		"Alice Doe": nil, "名前": nil, "O'Neil-Şahin": nil, "می\u200cخواهم": nil, strings.Repeat("é", MaxName): nil,
		"": ErrEmpty, " \t": ErrEmpty, "a\xff": ErrText, strings.Repeat("é", MaxName+1): ErrLong, " Alice": ErrSpace, "Alice\u00a0": ErrSpace,
		"Al\nice": ErrControl, "Al\u202eice": ErrControl, "Al\u2028ice": ErrControl, "Al\x00ice": ErrControl,
	} {
		if err := Name(name); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("Name(%q) = %v, want %v", name, err, want)
		}
	}
}

func TestALinkIsAnAddressThatABrowserMayFollow(t *testing.T) {
	for link, want := range map[string]error{
		"https://example.com/a?b#c": nil,
		"http://example.com":        ErrLink, "javascript:alert(1)": ErrLink, "https://": ErrLink, "https:example.com": ErrLink, "": ErrLink,
		"https://a@example.com": ErrLinkPerson, "https://example.com/ä": ErrLinkText, "https://exa mple.com": ErrLinkText,
		"https://example.com/" + strings.Repeat("a", MaxLink): ErrLinkLong,
	} {
		if err := Link(link); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("Link(%q) = %v, want %v", link, err, want)
		}
	}
}

func TestWhatAPersonSaysOfThemselvesHasItsForm(t *testing.T) {
	for zone, want := range map[string]bool{
		"Europe/Berlin": true, "UTC": true, "America/Argentina/Buenos_Aires": true,
		"": false, "Local": false, "Mars/Olympus": false, "../etc/passwd": false, "/etc/localtime": false,
	} {
		if _, ok := Zone(zone); ok != want {
			t.Errorf("Zone(%q) = %v", zone, ok)
		}
	}
	for text, want := range map[string]bool{
		"1980-02-29": true, "1980": true, "0000-02-29": true, time.Now().Format(time.DateOnly): true,
		"": false, "1981-02-29": false, "2980-01-01": false, "0000": false, "0000-13-01": false, "80": false, "29.02.1980": false, "1700-01-01": false,
	} {
		if got := Birthdate(text); got != want {
			t.Errorf("Birthdate(%q) = %v", text, got)
		}
	}
	for text, want := range map[string]string{
		"+49 30 1234567": "+49301234567", "+1 (555) 010-9999": "+15550109999", "+44.20/79460000": "+442079460000",
		"": "", "030 1234567": "", "+0301234567": "", "+49": "", "+4930123456789012": "", "+49 30 CALL": "", "++4930123456": "",
	} {
		number, ok := Phone(text)
		if ok != (want != "") || ok && number != want {
			t.Errorf("Phone(%q) = %q, %v", text, number, ok)
		}
	}
	for tag, want := range map[string]bool{"en": true, "de-AT": true, "ar": true, "": false, "not a language": false} {
		if got := Locale(tag); got != want {
			t.Errorf("Locale(%q) = %v", tag, got)
		}
	}
}
