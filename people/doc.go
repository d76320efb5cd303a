// Package people is what people do with accounts of their own: they sign up, prove who they are, recover what they lost, change
// what is theirs, and leave.
//
// It owns those deeds, whichever page they come from: each is checked, is one transaction with its audit row and with the mail
// that tells of it, and counts against the limits that keep strangers out. It owns what a proof is worth (amr and acr), and whom an
// organization asks for a second factor. It does not own pages, cookies and sessions in a browser (that is login and web), nor what
// operators do to other people's accounts, which is manage.
//
// Specifications: RFC 8176 (amr), W3C Web Authentication Level 3, RFC 6238 (TOTP), OWASP ASVS 5.0 V6.
package people
