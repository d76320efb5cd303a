package web

import "time"

// PostForm is where a form goes, and the token that lets it.
type PostForm struct{ Action, CSRF string }

// AccountFrame is what the account pages have around them.
type AccountFrame struct {
	// Base is the address of the first of them, Here the rest of the address of this one.
	Base, Here string
	SignOut    PostForm
}

// AccountLink is a stop of the navigation.
type AccountLink struct {
	Address, Text string
	// Current is true for the page that is shown.
	Current bool
}

// accountStops are the account pages by the rest of their address, in the order of the navigation.
var accountStops = []struct{ path, text string }{
	{"", "account.nav.overview"},
}

// Links are the navigation.
func (f AccountFrame) Links() []AccountLink {
	links := make([]AccountLink, len(accountStops))
	for i, stop := range accountStops {
		links[i] = AccountLink{Address: f.Base + stop.path, Text: stop.text, Current: stop.path == f.Here}
	}
	return links
}

// account is how the layout knows an account page.
func (f AccountFrame) account() *AccountFrame { return &f }

// Moment is a time as a person reads it, by the clock of where they are.
type Moment struct {
	At   time.Time
	Zone *time.Location
}

// Machine is the time for a program.
func (m Moment) Machine() string { return m.At.UTC().Format(time.RFC3339) }

// String is the time in figures, which are the same in every language.
func (m Moment) String() string {
	zone := m.Zone
	if zone == nil {
		zone = time.UTC
	}
	return m.At.In(zone).Format("2006-01-02 15:04 MST")
}

// AccountPage is the data of page "account".
type AccountPage struct {
	AccountFrame
	Name, Username, Email string
	Verified              bool
	// How many there are of each.
	Passkeys, Authenticators, RecoveryCodes, Sessions int
}

func (AccountPage) title() string { return "title.account" }

var sampleFrame = AccountFrame{Base: "/account", SignOut: PostForm{Action: "/account/sign-out", CSRF: "t"}}

// accountKinds are the account pages.
var accountKinds = map[string]kind{
	"account": {samples: []Page{
		AccountPage{AccountFrame: sampleFrame, Name: "Alice Doe", Username: "alice", Email: "alice@example.com", Verified: true},
		AccountPage{Name: sampleHostile, Username: sampleLong, Email: sampleHostile, Passkeys: 1, Authenticators: 2, RecoveryCodes: 8, Sessions: 3},
	}},
}
