// Package mailtest is a mail server for tests: it speaks SMTP as far as a client may need it (RFC 5321, STARTTLS by RFC 3207, AUTH
// PLAIN by RFC 4954), keeps what it was given, and misbehaves where it is told to.
//
// It owns that server and its certificate. It is no part of Keizer as it runs.
package mailtest
