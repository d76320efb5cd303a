// Package useragent says in words that people know what a browser calls itself in the words of its makers.
//
// It owns a short list of browsers and systems, told apart by what their makers document. It does not own anything that rests on the
// answer: a browser says of itself what it likes.
package useragent
