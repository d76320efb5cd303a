// Package redirect decides which addresses a client may have the browser sent back to.
//
// It owns the rule for registering such an address (RFC 6749 §3.1.2, RFC 8252 §7, RFC 9700 §4.1.1) and the rule for
// recognising it in a request (RFC 9700 §2.1: byte for byte, save for the port of a loopback literal). It builds no answer
// and knows no client: those are provider's. It serves post-logout redirects as well.
package redirect
