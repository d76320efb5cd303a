package profile

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // a machine may have no time zones of its own
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"
)

// Bounds on what is written.
const (
	MaxName     = 200  // characters
	MaxLink     = 2048 // characters
	maxMetadata = 16 << 10
)

// What may be wrong with a name, or with an address.
var (
	ErrEmpty      = errors.New("it must not be empty")
	ErrText       = errors.New("it must be UTF-8")
	ErrLong       = fmt.Errorf("it must have at most %d characters", MaxName)
	ErrSpace      = errors.New("it must not begin or end with a space")
	ErrControl    = errors.New("it must not have control characters")
	ErrLinkLong   = fmt.Errorf("it has more than %d characters", MaxLink)
	ErrLinkText   = errors.New("it has characters that an address cannot have")
	ErrLink       = errors.New("it must be an https address")
	ErrLinkPerson = errors.New("it must not hold a user name")
)

// Name says what is wrong with a name that people read: it is text, on one line, and not without end.
func Name(name string) error {
	switch {
	case strings.TrimSpace(name) == "":
		return ErrEmpty
	case !utf8.ValidString(name):
		return ErrText
	case utf8.RuneCountInString(name) > MaxName:
		return ErrLong
	case strings.TrimSpace(name) != name:
		return ErrSpace
	}
	for _, r := range name {
		// Cf holds the marks that turn a text around, by which one name is made to look like another.
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r != '\u200c' && r != '\u200d' || r == '\u2028' || r == '\u2029' {
			return ErrControl
		}
	}
	return nil
}

// Link is for addresses that are shown to people and never fetched: https and nothing that a browser would run (S-130).
func Link(uri string) error {
	if len(uri) > MaxLink {
		return ErrLinkLong
	}
	for _, c := range []byte(uri) {
		if c <= ' ' || c > '~' || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			return ErrLinkText
		}
	}
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "" {
		return ErrLink
	}
	if u.User != nil {
		return ErrLinkPerson
	}
	return nil
}

// Zone reports whether name is that of a time zone (IANA), and returns it.
func Zone(name string) (*time.Location, bool) {
	if name == "" || name == "Local" {
		return nil, false
	}
	zone, err := time.LoadLocation(name)
	return zone, err == nil
}

// Locale reports whether tag names a language (BCP 47).
func Locale(tag string) bool {
	_, err := language.Parse(tag)
	return err == nil
}

// Birthdate reports whether text is a date that has been, its year alone, or, where the year is not told, 0000 and a day.
func Birthdate(text string) bool {
	if day, ok := strings.CutPrefix(text, "0000-"); ok {
		_, err := time.Parse(time.DateOnly, "2000-"+day) // a leap year
		return err == nil
	}
	layout := time.DateOnly
	if len(text) == len("2006") {
		layout = "2006"
	}
	date, err := time.Parse(layout, text)
	const earliest = 1800
	return err == nil && date.Year() >= earliest && !date.After(time.Now())
}

// Phone returns a telephone number as applications expect it, in the form of E.164: a plus sign, the code of the country, the number.
func Phone(text string) (string, bool) {
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == '+' && i == 0, '0' <= r && r <= '9':
			b.WriteRune(r)
		case strings.ContainsRune(" -.()/", r):
		default:
			return "", false
		}
	}
	const least, most = 7, 15 // digits
	number := b.String()
	digits := len(number) - 1
	return number, strings.HasPrefix(number, "+") && number[1:2] != "0" && digits >= least && digits <= most
}

// reservedClaims are decided by the provider, or have a column of their own: nobody's metadata says them (S-088).
var reservedClaims = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "azp", "nonce", "auth_time", "at_hash", "c_hash", "s_hash", "acr",
	"amr", "sid", "events", "cnf", "act", "may_act", "client_id", "scope", "scp", "active", "token_type",
	"authorization_details", "org_id", "org", "tenant", "roles", "role", "groups", "permissions", "entitlements", "email",
	"email_verified", "name", "preferred_username", "username", "updated_at",
}

// The standard claims that metadata may say, by the type that their reader expects (OpenID Connect Core 1.0 §5.1).
var (
	textClaims = []string{
		"given_name", "family_name", "middle_name", "nickname", "gender", "birthdate", "zoneinfo", "locale",
		"phone_number",
	}
	linkClaims    = []string{"profile", "picture", "website"}
	truthClaims   = []string{"phone_number_verified"}
	addressClaims = []string{"formatted", "street_address", "locality", "region", "postal_code", "country"}
)

// localizedClaims are the standard claims that people write otherwise in another language or script (OpenID Connect Core 1.0 §5.2). Metadata
// may say them with the language behind a number sign, besides: name#ja-Kana.
var localizedClaims = []string{
	"name", "given_name", "family_name", "middle_name", "nickname", "profile", "picture", "website", "address",
}

// LocalizedClaims are those that may be written in several languages.
func LocalizedClaims() []string { return slices.Clone(localizedClaims) }

// Localized reports whether a claim is one of them.
func Localized(claim string) bool { return slices.Contains(localizedClaims, claim) }

// Metadata says what is wrong with claims about a person, and with what an organization adds of its own.
func Metadata(metadata map[string]any) (wrong []string) {
	encoded, err := json.Marshal(metadata)
	if err != nil {
		return []string{"it is not JSON"}
	}
	if len(encoded) > maxMetadata {
		return []string{fmt.Sprintf("it has more than %d bytes", maxMetadata)}
	}
	for name, value := range metadata {
		lower := strings.ToLower(name)
		called := name
		if claim, tag, ok := strings.Cut(name, "#"); ok && (Localized(claim) || slices.Contains(reservedClaims, strings.ToLower(claim)) || standard(claim)) {
			if !Localized(claim) || !Locale(tag) {
				wrong = append(wrong, fmt.Sprintf("the claim %q has no languages, or the language is none", name))
				continue
			}
			called = claim
		}
		switch {
		case name == "" || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }):
			wrong = append(wrong, "a claim must have a name, without control characters")
		case slices.Contains(reservedClaims, lower):
			wrong = append(wrong, fmt.Sprintf("the claim %q is not metadata's to say", name))
		case value == nil:
			wrong = append(wrong, fmt.Sprintf("the claim %q is null: leave it out", name))
		case slices.Contains(textClaims, called) || called == "name":
			if text, ok := value.(string); !ok || text == "" {
				wrong = append(wrong, fmt.Sprintf("the claim %q must be a text", name))
			}
		case slices.Contains(linkClaims, called):
			if text, ok := value.(string); !ok || Link(text) != nil {
				wrong = append(wrong, fmt.Sprintf("the claim %q must be an https address", name))
			}
		case slices.Contains(truthClaims, name):
			if _, ok := value.(bool); !ok {
				wrong = append(wrong, fmt.Sprintf("the claim %q must be true or false", name))
			}
		case called == "address":
			if !isAddress(value) {
				wrong = append(wrong, fmt.Sprintf("the claim %q must be an object of the texts %s", name, strings.Join(addressClaims, ", ")))
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}

// Standard reports whether a claim about people is one of those of OpenID Connect Core 1.0 §5.1, in whichever language.
func Standard(claim string) bool {
	claim, tag, tagged := strings.Cut(claim, "#")
	if tagged && !(Localized(claim) && Locale(tag)) {
		return false
	}
	return standard(claim) || slices.Contains([]string{"name", "preferred_username", "updated_at", "email", "email_verified", "address"}, claim)
}

// standard reports whether a claim is one that metadata may say, and that is of a type.
func standard(claim string) bool {
	return slices.Contains(textClaims, claim) || slices.Contains(linkClaims, claim) || slices.Contains(truthClaims, claim)
}

func isAddress(value any) bool {
	members, ok := value.(map[string]any)
	if !ok || len(members) == 0 {
		return false
	}
	for name, value := range members {
		if text, ok := value.(string); !ok || text == "" || !slices.Contains(addressClaims, name) {
			return false
		}
	}
	return true
}

// Language is what a person is spoken to in, by the claims about them, if they say so.
func Language(metadata map[string]any) language.Tag {
	locale, _ := metadata["locale"].(string)
	tag, err := language.Parse(locale)
	if err != nil {
		return language.Und
	}
	return tag
}
