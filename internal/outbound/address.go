package outbound

import (
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// special4 and special6 are what the IANA registries keep from the public internet, or what has been withdrawn from it, as far
// as netip's own predicates do not know it.
var (
	special4 = prefixes(
		"0.0.0.0/8",       // this network (RFC 791)
		"100.64.0.0/10",   // shared address space of carriers (RFC 6598)
		"192.0.0.0/24",    // IETF protocol assignments (RFC 6890)
		"192.0.2.0/24",    // documentation (RFC 5737)
		"192.88.99.0/24",  // 6to4 relays, withdrawn (RFC 7526)
		"198.18.0.0/15",   // benchmarks (RFC 2544)
		"198.51.100.0/24", // documentation
		"203.0.113.0/24",  // documentation
		"240.0.0.0/4",     // reserved, and broadcast (RFC 1112, RFC 919)
	)
	special6 = prefixes(
		"2001::/23",     // IETF protocol assignments: Teredo, ORCHID, benchmarks (RFC 2928)
		"2001:db8::/32", // documentation (RFC 3849)
		"2002::/16",     // 6to4: a second way to write any IPv4 address (RFC 3056)
		"3fff::/20",     // documentation (RFC 9637)
	)
	global6 = netip.MustParsePrefix("2000::/3")     // all that is handed out of IPv6 (RFC 4291 §2.4)
	nat64   = netip.MustParsePrefix("64:ff9b::/96") // IPv4 from a network that has IPv6 only (RFC 6052 §2.1)
)

const maxURL = 2048 // characters

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		out[i] = netip.MustParsePrefix(text)
	}
	return out
}

// Public reports whether an address is one of the public internet: not of this machine, not of a private, shared or
// link-local network, not of a group, not reserved, and not a translated form of such a one.
func Public(address netip.Addr) bool {
	if !address.IsValid() || address.Zone() != "" {
		return false
	}
	address = address.Unmap() // ::ffff:127.0.0.1 is 127.0.0.1
	if nat64.Contains(address) {
		last := address.As16()
		return Public(netip.AddrFrom4([4]byte(last[12:])))
	}
	if !address.IsGlobalUnicast() || address.IsPrivate() {
		return false
	}
	special := special4
	if address.Is6() {
		if !global6.Contains(address) {
			return false
		}
		special = special6
	}
	for _, prefix := range special {
		if prefix.Contains(address) {
			return false
		}
	}
	return true
}

// CheckURL says what is wrong with an address that somebody wants fetched, before anything is fetched from it. It is for the
// moment of registration: it resolves no names, and does not replace the guard.
func CheckURL(raw string, allowLoopback bool) error {
	return Options{AllowLoopback: allowLoopback}.CheckURL(raw)
}

// CheckURL is CheckURL for a process that may fetch from further networks.
func (o Options) CheckURL(raw string) error {
	_, err := o.parse(raw)
	return err
}

// named reports whether an address is of a network that the operator has named.
func (o Options) named(address netip.Addr) bool {
	address = address.Unmap()
	return slices.ContainsFunc(o.Networks, func(network netip.Prefix) bool { return network.Contains(address) })
}

func (o Options) parse(raw string) (*url.URL, error) {
	if len(raw) > maxURL {
		return nil, errors.New("it is too long")
	}
	for _, c := range []byte(raw) {
		if c <= ' ' || c >= 0x7f || c == '\\' {
			return nil, errors.New("it has characters that an address cannot have")
		}
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Opaque != "" {
		return nil, errors.New("it is not an absolute address")
	}
	if u.User != nil {
		return nil, errors.New("it must not hold a user name")
	}
	if strings.Contains(raw, "#") {
		return nil, errors.New("it must not have a fragment")
	}
	host := u.Hostname()
	address, notLiteral := netip.ParseAddr(host)
	local := o.AllowLoopback && (host == "localhost" || (notLiteral == nil && address.Unmap().IsLoopback()))
	// A name may be one of a network that the operator has named; the guard sees where it leads.
	within := len(o.Networks) > 0 && notLiteral != nil && host != "localhost" || notLiteral == nil && o.named(address)
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && local:
	default:
		return nil, errors.New("it must be an https address")
	}
	if notLiteral != nil {
		if err := checkName(host, local, within); err != nil {
			return nil, err
		}
	} else if !local && !within && !Public(address) {
		return nil, errors.New("it is not an address of the public internet")
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return nil, errors.New("its port is none")
		}
		if !local && !within && !portAllowed(uint16(n)) {
			return nil, errors.New("its port must be 443 or 8443")
		}
	}
	return u, nil
}

// checkName refuses what resolvers may take for an address in a form of its own: "127.1", "0x7f.1", "2130706433" end in
// something that begins with a digit, as no top-level domain does; a final dot makes one host look like two.
func checkName(host string, local, within bool) error {
	if len(host) > 253 {
		return errors.New("its host name is too long")
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, "-") != label {
			return errors.New("its host name is malformed")
		}
		for _, c := range []byte(label) {
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
				return errors.New("its host name is malformed")
			}
		}
	}
	last := labels[len(labels)-1]
	if '0' <= last[0] && last[0] <= '9' { // WHATWG URL §3.5
		return errors.New("its host name ends in a number")
	}
	if !local && (len(labels) == 1 && !within || strings.EqualFold(last, "localhost")) {
		return errors.New("its host is not one of the public internet")
	}
	return nil
}

// portAllowed keeps to the ports that https is served on, so that no fetch speaks to a mail server or a database.
func portAllowed(port uint16) bool { return port == 443 || port == 8443 }
