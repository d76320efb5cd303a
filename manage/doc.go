// Package manage is what operators do, whichever door they come through: the command line, the setup page, later an API.
//
// It owns the rules of the deeds: what an organization, a person or a client may be called and consist of (with the member
// names of RFC 7591 for clients), and that each deed is validated as a whole, happens in one transaction, and leaves one
// audit row that says who did it; and the form of a document that describes a whole organization, which is applied by the same
// deeds. It does not own who may do what: a door checks that before it calls, and leaves the deeds of a document, which no door
// knows, to be checked here. Nor does it own the rows (storage), the signing keys (provider/keys) or the protocol (provider).
//
// RFC 7591 (client metadata, and the registration of clients by whoever wants one), RFC 7592, OpenID Connect Dynamic Client
// Registration 1.0 §2, RFC 6749 §3.3 (scopes), RFC 8707 (audiences).
package manage
