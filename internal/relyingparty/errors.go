package relyingparty

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrPublicClient is the answer to introspection without credentials: RFC 7662 §2.1 asks for an authenticated caller.
	ErrPublicClient = errors.New("a public client cannot introspect tokens: it has nothing to authenticate with")
	// ErrNoRefreshToken is the answer to a refresh when the server gave no refresh token.
	ErrNoRefreshToken = errors.New("there is no refresh token: ask for the scope offline_access")
)

// RefusedError is an answer of the server that says no, from the redirect or from one of its endpoints.
type RefusedError struct {
	Step        string // "authorization", "token", "userinfo" …
	Status      int    // the HTTP status; 0 when the answer came by the redirect
	Code        string // the registered error code; empty when the answer carries none
	Description string
}

// Error says it in one sentence.
func (r *RefusedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the %s endpoint answered", r.Step)
	if r.Status != 0 {
		fmt.Fprintf(&b, " %d", r.Status)
	}
	if r.Code != "" {
		fmt.Fprintf(&b, " %s", printable(r.Code, 64))
	}
	if r.Description != "" {
		fmt.Fprintf(&b, " (%s)", printable(r.Description, 300))
	}
	return b.String()
}

// MismatchError is something in an answer that is not what a client must insist on.
type MismatchError struct {
	What string // "state", "iss" …
	Why  string
}

// Error says it in one sentence.
func (m *MismatchError) Error() string { return m.What + ": " + m.Why }

// printable cuts a string that a server sent and drops what would confuse a terminal.
func printable(s string, most int) string {
	cut := strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return ' '
		}
		return r
	}, s)
	if runes := []rune(cut); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return cut
}
