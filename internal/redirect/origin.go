package redirect

import "net/url"

// Origin returns the web origin of a redirect URI (RFC 6454 §6.1): where the scripts of a browser application come from. It
// is empty for an address that no browser loads a page from.
func Origin(uri string) string {
	parsed, err := url.Parse(uri)
	if err != nil || parsed.Scheme != "https" && parsed.Scheme != "http" || parsed.Host == "" {
		return ""
	}
	return parsed.Scheme + "://" + parsed.Host
}
