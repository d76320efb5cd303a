// Package mail writes letters to people and hands them to a mail server.
//
// It owns the letters there are, their templates (text and HTML from one set of texts, which an operator may replace), and
// delivery over SMTP (RFC 5321, with STARTTLS by RFC 3207 or TLS from the first byte). It does not own when a letter is due, which is
// with whoever writes it, nor the waiting and trying again, which is the outbox in storage and a job in server.
package mail
