// Package responsetype knows the response types of the authorization endpoint (RFC 6749 §3.1.1, OAuth 2.0 Multiple Response Type
// Encoding Practices 1.0): what each of them gives, and the one way in which each is written.
//
// It does not know who may use which: that is the organization's to decide, and the client's registration.
package responsetype
