package mail

import (
	"net/url"
	"slices"
)

// Message is a letter that has been written: what stands in the outbox, sealed, until it is delivered. Every field is one line but
// Text and HTML.
type Message struct {
	Kind     Kind   `json:"kind"`
	To       string `json:"to"`
	FromName string `json:"from_name"`
	From     string `json:"from,omitempty"` // the organization's own address; the sender says whether it counts
	ReplyTo  string `json:"reply_to,omitempty"`
	Subject  string `json:"subject"`
	Text     string `json:"text"`
	HTML     string `json:"html"`
	Language string `json:"language"`
	// Link and Code are those of the letter, so that what shows a message need not search it.
	Link string `json:"link,omitempty"`
	Code string `json:"code,omitempty"`
}

// opens is everything in the message that opens something, the longest first.
func (m *Message) opens() (secrets []string) {
	secrets = append(secrets, m.Link, m.Code)
	if link, err := url.Parse(m.Link); err == nil {
		secrets = append(secrets, link.RawQuery)
		for _, values := range link.Query() {
			secrets = append(secrets, values...)
		}
	}
	const least = 6 // characters, of a code; what is shorter opens nothing
	secrets = slices.DeleteFunc(secrets, func(secret string) bool { return len(secret) < least })
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	return secrets
}
