// Package base64url reads what strangers send in base64url (RFC 4648 §5) in one way only. What is read in two ways is compared in one and
// believed in the other.
package base64url
