// Package messages holds every text that a person is shown, in every language there is: on pages and in mail.
//
// It owns the message files (texts/AREA.LANGUAGE.json, in the format of go-i18n: an id and a text, or the forms of a plural),
// and how one is found and filled in. A language is complete or it is not there: Load refuses one that lacks a text of English,
// or has one that English has not. It does not own which language somebody is spoken to in: that is web, and whoever writes a
// mail.
package messages
