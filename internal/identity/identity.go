package identity

import (
	"errors"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/cases"
	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"
)

var (
	// ErrEmail: the text is no e-mail address that mail could be sent to and told apart.
	ErrEmail = errors.New("not a usable e-mail address")
	// ErrDomain: the text is no domain that mail could be sent to.
	ErrDomain = errors.New("not a usable mail domain")
	// ErrUsername: the text cannot be a user name.
	ErrUsername = errors.New("not a usable user name")
)

// Lengths that RFC 5321 §4.5.3.1 allows, and one of ours.
const (
	maxLocal    = 64
	maxEmail    = 254
	maxUsername = 255
)

// atext are the characters of an unquoted local part besides letters and digits (RFC 5322 §3.2.3).
const atext = "!#$%&'*+-/=?^_`{|}~."

// Email returns the canonical form of an e-mail address: the local part in lower case, the host as its A-labels in lower
// case. A local part beyond ASCII is refused, for what folds to what there depends on who is asked: the Kelvin sign and
// the long s are other letters to one and the same to another. A quoted local part is refused as well.
func Email(address string) (string, error) {
	local, host, ok := strings.Cut(address, "@")
	if !ok || len(address) > 4*maxEmail || local == "" || len(local) > maxLocal || strings.Contains(host, "@") {
		return "", ErrEmail
	}
	lower := []byte(local)
	for i, c := range lower {
		switch {
		case 'A' <= c && c <= 'Z':
			lower[i] = c + 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', strings.IndexByte(atext, c) >= 0:
		default:
			return "", ErrEmail
		}
	}
	if local[0] == '.' || local[len(local)-1] == '.' || strings.Contains(local, "..") {
		return "", ErrEmail
	}
	host, err := canonicalHost(host)
	if err != nil || len(lower)+1+len(host) > maxEmail {
		return "", ErrEmail
	}
	return string(lower) + "@" + host, nil
}

// Domain returns the canonical form of a mail domain: what stands behind the @ of canonical addresses there.
func Domain(domain string) (string, error) {
	if len(domain) > maxEmail {
		return "", ErrDomain
	}
	canonical, err := canonicalHost(domain)
	if err != nil {
		return "", ErrDomain
	}
	return canonical, nil
}

// lookup is how a resolver would be asked for a host, without exceptions.
var lookup = idna.New(
	idna.MapForLookup(), idna.BidiRule(), idna.CheckJoiners(true), idna.CheckHyphens(true), idna.StrictDomainName(true),
	idna.ValidateLabels(true), idna.VerifyDNSLength(true), idna.Transitional(false),
)

// canonicalHost returns the A-labels of a host of at least two labels, or of localhost for development.
func canonicalHost(host string) (string, error) {
	if host == "" || !utf8.ValidString(host) {
		return "", ErrEmail
	}
	// IDNA drops what cannot be seen. Two addresses that only differ in it are more likely to be a trick than a slip.
	for _, r := range host {
		if unicode.In(r, unicode.C, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) {
			return "", ErrEmail
		}
	}
	ascii, err := lookup.ToASCII(host)
	// A dot at the end, whichever of the characters that IDNA takes for a dot, would be a second spelling.
	if err != nil || ascii == "" || strings.HasSuffix(ascii, ".") {
		return "", ErrEmail
	}
	// What comes out must go in again and stay as it is, or it would not be canonical.
	again, err := lookup.ToASCII(ascii)
	if err != nil || again != ascii {
		return "", ErrEmail
	}
	if ascii != "localhost" && !strings.Contains(ascii, ".") {
		return "", ErrEmail
	}
	if _, err := netip.ParseAddr(ascii); err == nil {
		return "", ErrEmail
	}
	return ascii, nil
}

// Username returns the canonical form of a user name: that of RFC 8265 §3.3 (UsernameCaseMapped), in which what looks the same is the
// same besides. A user name has no @ in it, so that a login is either a user name or an e-mail address and never both.
func Username(name string) (string, error) {
	if name == "" || len(name) > maxUsername || !utf8.ValidString(name) {
		return "", ErrUsername
	}
	canonical, err := precis.UsernameCaseMapped.String(name)
	if err != nil || canonical == "" || len(canonical) > maxUsername {
		return "", ErrUsername
	}
	// The full-width form of an @ maps to @, so it is looked for afterwards.
	if strings.ContainsAny(canonical, "@") || !legible(canonical) {
		return "", ErrUsername
	}
	canonical = folded(canonical)
	if again, err := precis.UsernameCaseMapped.String(canonical); err != nil || again != canonical {
		return "", ErrUsername
	}
	return canonical, nil
}

// Name returns the form in which names of roles and of permissions are compared: whatever has the same cannot be told apart by
// somebody who looks at it, or by a program that does not mind case.
func Name(name string) string {
	return norm.NFKC.String(cases.Fold().String(norm.NFKC.String(name)))
}
