// Package identity decides when two spellings of an e-mail address or of a user name mean the same person, and two names the same role.
//
// It owns the canonical forms, which are what is compared and what a unique index stands on: on every database alike, for
// none is asked to fold case itself. It does not own what is shown or written to: that is the spelling the person gave, and
// mail goes to the stored address, never to one that was typed. User names follow the UsernameCaseMapped profile of PRECIS
// (RFC 8265 §3.3), hosts of e-mail addresses UTS 46 as IDNA is used for look-ups.
package identity
