package redirect

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

const maxLength = 2048

// ValidateRegistration reports what is wrong with a redirect URI that somebody wants to register, in a sentence for that
// person; nil if nothing is. Allowed are:
//   - https with a host,
//   - http on 127.0.0.1, [::1] or localhost, for native apps (RFC 8252 §7.3) and development,
//   - a private-use scheme that is a domain name in reverse, such as com.example.app (RFC 8252 §7.1), which leaves out
//     javascript:, data: and everything else that a browser would run or open.
//
// The form must be canonical where two readers could differ (case of scheme and host, percent signs, dot segments), because
// what is registered is compared byte for byte ever after.
func ValidateRegistration(uri string) error {
	if err := checkCharacters(uri); err != nil {
		return err
	}
	u, err := url.Parse(uri)
	if err != nil || u.Scheme == "" {
		return errors.New("it is not an absolute URI")
	}
	if u.String() != uri {
		return errors.New("it is not in canonical form (scheme in lower case, nothing escaped without need)")
	}
	if u.User != nil {
		return errors.New("it must not carry a user name or password")
	}
	if _, err := url.ParseQuery(u.RawQuery); err != nil {
		return errors.New("its query is malformed")
	}
	if err := checkPath(u.EscapedPath()); err != nil {
		return err
	}
	switch u.Scheme {
	case "https":
		return checkHost(u)
	case "http":
		if !loopback(u.Hostname()) {
			return errors.New("http is only for 127.0.0.1, [::1] and localhost: use https")
		}
		return checkHost(u)
	}
	return checkPrivateUse(u)
}

// IsLoopback reports whether uri points at the user's own machine, by whichever scheme and port.
func IsLoopback(uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && loopback(u.Hostname())
}

// IsPrivateUse reports whether uri has a private-use scheme (RFC 8252 §7.1), which any app on a device can claim.
func IsPrivateUse(uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && checkPrivateUse(u) == nil
}

func loopback(host string) bool { return host == "127.0.0.1" || host == "::1" || host == "localhost" }

func checkCharacters(uri string) error {
	if uri == "" {
		return errors.New("it is empty")
	}
	if len(uri) > maxLength {
		return fmt.Errorf("it is longer than %d characters", maxLength)
	}
	for i := range len(uri) {
		switch c := uri[i]; {
		case c == '#':
			return errors.New("it must not have a fragment")
		case c == '*':
			return errors.New("it must not have a wildcard: every address is registered by itself")
		case c <= ' ' || c > '~' || strings.IndexByte("\"<>\\^`{|}", c) >= 0: // what RFC 3986 has no place for
			return errors.New("it has a character that must be percent-encoded (a host, in punycode)")
		case c == '%' && !escape(uri[i+1:]):
			return errors.New("it has a percent sign without two hexadecimal digits after it")
		case c == '%' && (unhex(uri[i+1])<<4|unhex(uri[i+2]) < ' ' || strings.EqualFold(uri[i+1:i+3], "7f")):
			return errors.New("it has an encoded control character")
		}
	}
	return nil
}

func escape(s string) bool { return len(s) >= 2 && unhex(s[0]) < 16 && unhex(s[1]) < 16 }

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}

// checkPath refuses what one server resolves and another does not: dot segments, also encoded or with a path parameter
// ("..;x"), and encoded slashes.
func checkPath(escaped string) error {
	lower := strings.ToLower(escaped)
	if strings.Contains(lower, "%2f") || strings.Contains(lower, "%5c") {
		return errors.New("its path has an encoded slash")
	}
	for segment := range strings.SplitSeq(strings.ReplaceAll(lower, "%2e", "."), "/") {
		name, _, _ := strings.Cut(strings.ReplaceAll(segment, "%3b", ";"), ";")
		if name == "." || name == ".." {
			return errors.New("its path has a dot segment")
		}
	}
	return nil
}

func checkHost(u *url.URL) error {
	host := u.Hostname()
	if host == "" || u.Opaque != "" {
		return errors.New("it has no host")
	}
	if strings.HasSuffix(u.Host, ":") || u.Port() != "" && !validPort(u.Port()) {
		return errors.New("its port must be a number from 1 to 65535")
	}
	if strings.HasPrefix(u.Host, "[") {
		if addr, err := netip.ParseAddr(host); err != nil || !addr.Is6() || addr.Zone() != "" || addr.String() != host {
			return errors.New("its host is not an IPv6 address in canonical form")
		}
		return nil
	}
	return checkName(host)
}

// checkName accepts a DNS name in lower case or an IPv4 address in four decimal parts. A last label that is a number, other
// than in such an address, is what browsers read as an address in disguise (2130706433, 0x7f.1).
func checkName(host string) error {
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || len(host) > 253 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return errors.New("its host is not a domain name in lower case")
		}
	}
	last := labels[len(labels)-1]
	if last[0] >= '0' && last[0] <= '9' {
		if addr, err := netip.ParseAddr(host); err != nil || !addr.Is4() {
			return errors.New("its host is neither a domain name nor an IPv4 address")
		}
	}
	return nil
}

func checkPrivateUse(u *url.URL) error {
	if u.Scheme == "http" || u.Scheme == "https" || !strings.Contains(u.Scheme, ".") {
		return errors.New("its scheme must be https, or one's own domain name in reverse such as com.example.app")
	}
	for label := range strings.SplitSeq(u.Scheme, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' || strings.Contains(label, "+") {
			return errors.New("its scheme is not a domain name in reverse, such as com.example.app")
		}
	}
	if u.Opaque != "" || u.Host == "" && u.Path == "" {
		return errors.New("it has no path: write it like com.example.app:/callback")
	}
	if u.Host != "" && (strings.Contains(u.Host, ":") || checkName(u.Host) != nil) {
		return errors.New("the part after :// is not a plain name in lower case")
	}
	return nil
}

// validPort accepts 1 to 65535 as it is usually written.
func validPort(digits string) bool {
	if digits == "" || len(digits) > 5 || digits[0] == '0' {
		return false
	}
	port := 0
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return false
		}
		port = 10*port + int(digits[i]-'0')
	}
	return port <= 65535
}
