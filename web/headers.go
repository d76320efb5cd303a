package web

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

// policy is the Content-Security-Policy of every page: its own style sheet, its own pictures, nothing else.
const policy = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; object-src 'none'; " +
	"frame-ancestors 'none'; require-trusted-types-for 'script'"

// setHeaders sets what a page is never without, whatever router it stands behind.
// frames are the addresses that the page loads into frames.
func (p *Pages) setHeaders(h http.Header, k kind, frames ...string) {
	csp := policy
	if !k.leaves {
		csp += "; form-action 'self'"
	}
	if k.script != "" {
		sum := sha256.Sum256([]byte(k.script))
		csp += "; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	for i, address := range frames {
		if i == 0 {
			csp += "; frame-src"
		}
		csp += " " + originOf(address)
	}
	if k.file != "" {
		csp += "; script-src 'self'"
	}
	h.Set("Content-Security-Policy", csp)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	// The addresses of pages hold interaction ids and setup tokens. Browsers send "Origin: null" with forms of such a page;
	// those that are younger than 2023 say Sec-Fetch-Site besides, which is what SameOrigin goes by.
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy",
		"camera=(), microphone=(), geolocation=(), publickey-credentials-get=(self), publickey-credentials-create=(self)")
	if p.https && h.Get("Strict-Transport-Security") == "" { // who knows the host may have promised less
		h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains; preload")
	}
}

// originOf is the origin of an address of http or https, or 'none'.
func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.ContainsAny(u.Host, " ;,'\"") {
		return "'none'"
	}
	return u.Scheme + "://" + u.Host
}
