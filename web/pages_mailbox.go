package web

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

// MailboxLetter is a letter in the list of the mailbox.
type MailboxLetter struct {
	Address     string // of its page
	To, Subject string
	// Organization is the slug of the one that writes.
	Organization string
	Written      Moment
	// Status is a text.
	Status string
	// Failed is why it could not be delivered, in the words of the server.
	Failed string
}

// MailboxPage is the data of page "mailbox".
type MailboxPage struct {
	Here    string
	Letters []MailboxLetter
	// More is true where there are older ones that are not shown.
	More bool
}

func (MailboxPage) title() string { return "mailbox.title" }

// MailboxLetterPage is the data of page "mailbox_letter".
type MailboxLetterPage struct {
	MailboxLetter
	Mailbox           string // where the list is
	FromName, ReplyTo string
	Link, Code, Text  string
	// HTML is where the letter is as a document of its own.
	HTML string
}

func (MailboxLetterPage) title() string { return "mailbox.letter" }

// mailboxKinds are the pages of the mailbox that development mode keeps.
var mailboxKinds = map[string]kind{
	"mailbox": {samples: []Page{
		MailboxPage{Here: "/dev/mailbox"},
		MailboxPage{Here: "/dev/mailbox", More: true, Letters: []MailboxLetter{
			{Address: "/dev/mailbox/x", To: "alice@example.com", Subject: "Confirm your e-mail address", Organization: "default", Status: "mailbox.delivered"},
			{Address: "/dev/mailbox/y", To: sampleLong, Subject: sampleHostile, Organization: "acme", Status: "mailbox.waiting", Failed: "451 later"},
			{Address: "/dev/mailbox/z", Status: "mailbox.abandoned"},
		}},
	}},
	"mailbox_letter": {samples: []Page{
		MailboxLetterPage{
			MailboxLetter: MailboxLetter{To: "alice@example.com", Subject: "Confirm your e-mail address", Organization: "default", Status: "mailbox.delivered"},
			Mailbox:       "/dev/mailbox", FromName: "Acme", ReplyTo: "help@example.com", Link: "https://id.example/verify?token=x", Code: "123456",
			HTML: "/dev/mailbox/x/html", Text: "Hello Alice,\n\nThis is a letter.\n",
		},
		MailboxLetterPage{MailboxLetter: MailboxLetter{Subject: sampleHostile, Status: "mailbox.abandoned", Failed: sampleLong}, Text: sampleHostile},
	}},
}

// letterPolicy lets a letter be seen and do nothing: no script, nothing from elsewhere, and its links lead into another tab. Letters
// have their style inside, because programs that read mail fetch none.
const letterPolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"sandbox allow-popups allow-popups-to-escape-sandbox"

// WriteLetter answers with a letter as a document of its own: it is what somebody's template made of what somebody else had typed.
func (p *Pages) WriteLetter(c *gin.Context, html string) {
	header := c.Writer.Header()
	p.setHeaders(header, kind{})
	header.Set("Content-Security-Policy", letterPolicy)
	c.Data(http.StatusOK, "text/html; charset=utf-8", []byte(html))
}
