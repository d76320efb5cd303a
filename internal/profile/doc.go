// Package profile says what may be written about a person: the names that people read, the addresses that they follow, and the
// claims of a profile.
//
// It owns those rules, which hold whoever writes: the person, an operator, a file that is imported. It does not own where it is
// kept, nor which of it an application is told.
//
// Specifications: OpenID Connect Core 1.0 §5.1 (standard claims), BCP 47, the names of the IANA time zone database.
package profile
