package mail

// Message is a letter that has been written: what stands in the outbox, sealed, until it is delivered. Every field is one line but
// Text and HTML.
type Message struct {
	Kind     Kind   `json:"kind"`
	To       string `json:"to"`
	FromName string `json:"from_name"`
	ReplyTo  string `json:"reply_to,omitempty"`
	Subject  string `json:"subject"`
	Text     string `json:"text"`
	HTML     string `json:"html"`
	Language string `json:"language"`
	// Link and Code are those of the letter, so that what shows a message need not search it.
	Link string `json:"link,omitempty"`
	Code string `json:"code,omitempty"`
}
