package redirect

import "strings"

// Match reports whether given is one of the registered redirect URIs, and returns the address to send the browser to, which
// is given itself. Nothing is decoded or normalised: a difference in one byte is another address (RFC 9700 §2.1). The one
// exception is the port of a registered http://127.0.0.1 or http://[::1], where a native app listens on whichever port the
// system gave it (RFC 8252 §7.3); a name such as localhost may resolve to anything and is no exception (§8.3).
//
// An address that could not be registered is never matched, even if a row holds it: rows also come from imports and hands.
func Match(registered []string, given string) (string, bool) {
	if ValidateRegistration(given) != nil {
		return "", false
	}
	givenHost, givenRest := splitLoopback(given)
	for _, candidate := range registered {
		if candidate == given {
			return given, true
		}
		host, rest := splitLoopback(candidate)
		if host != "" && host == givenHost && rest == givenRest {
			return given, true
		}
	}
	return "", false
}

// splitLoopback cuts the port out of a loopback redirect: "http://127.0.0.1:8400/cb?a=b" is "http://127.0.0.1" and
// "/cb?a=b". For every other URI host is empty.
func splitLoopback(uri string) (host, rest string) {
	for _, literal := range []string{"http://127.0.0.1", "http://[::1]"} {
		rest, ok := strings.CutPrefix(uri, literal)
		if !ok {
			continue
		}
		end := strings.IndexAny(rest, "/?")
		if end < 0 {
			end = len(rest)
		}
		if port := rest[:end]; port == "" || port[0] == ':' && validPort(port[1:]) {
			return literal, rest[end:]
		}
	}
	return "", ""
}
