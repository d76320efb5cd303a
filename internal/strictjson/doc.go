// Package strictjson reads JSON that a stranger sent, in the one way in which it cannot be read twice.
//
// encoding/json takes the last of two members of one name, and takes "ROLE" for "role"; another reader of the same text may
// take the first. Where the text is a token or a request, that difference is an attack (RFC 8259 §4, RFC 8725 §2.4). So this
// package refuses, at every depth, an object that has two members whose names are equal or differ in case only. It also
// refuses what is not UTF-8 (RFC 8259 §8.1) and what is nested deeper than any document of ours.
//
// It owns the form of a document, not its meaning: what a member must hold is for the caller to check.
package strictjson
