package visitor

import "golang.org/x/text/language"

// Visitor is who asks for something.
type Visitor struct {
	// Address is where the request comes from, past the proxies that are trusted.
	Address string
	// Agent is what the browser calls itself, of bounded length.
	Agent string
	// RequestID joins an audit row and a log line.
	RequestID string
	// Language is what the visitor is spoken to in.
	Language language.Tag
}
