package web

import (
	"strconv"
	"time"
)

// PostForm is where a form goes, and the token that lets it.
type PostForm struct{ Action, CSRF string }

// AccountFrame is what the account pages have around them.
type AccountFrame struct {
	// Base is the address of the first of them, Here the rest of the address of this one.
	Base, Here string
	SignOut    PostForm
	// Switch is where another account is chosen, or signed in to.
	Switch string
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
	{"/profile", "account.nav.profile"},
	{"/email", "account.nav.email"},
	{"/password", "account.nav.password"},
	{"/passkeys", "account.nav.passkeys"},
	{"/authenticator", "account.nav.authenticator"},
	{"/recovery-codes", "account.nav.recovery_codes"},
	{"/linked", "account.nav.linked"},
	{"/sessions", "account.nav.sessions"},
	{"/applications", "account.nav.applications"},
	{"/activity", "account.nav.activity"},
	{"/data", "account.nav.data"},
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
	Outcome
	// Verify sends a confirmation to the address.
	Verify PostForm
	// How many factors there are of each kind, besides a password.
	Passkeys, Authenticators, RecoveryCodes int
	// Ways lead on, each with a word on how things stand there.
	Ways []AccountWay
}

// AccountWay leads to one of the other pages.
type AccountWay struct {
	ID, Address string
	// Title, Text and Go are ids of texts; Text is told how many there are.
	Title, Text, Go string
	Count           string
}

func (AccountPage) title() string { return "title.account" }

// Outcome is what has come of a form: that it worked, or what is wrong with it.
type Outcome struct {
	// Done is the text of what was done a moment ago.
	Done string
	// Problem is what is wrong and belongs to no field; Problems are, by the field's name.
	Problem  string
	Problems map[string]string
}

func (o Outcome) failed() bool { return o.Problem != "" || len(o.Problems) > 0 }

// Option is one of those that a field offers.
type Option struct {
	Value, Text string
	Chosen      bool
}

// AccountProfilePage is the data of page "account_profile".
type AccountProfilePage struct {
	AccountFrame
	Outcome
	Form PostForm
	// Values are what the fields hold, by name. Needed are those that must hold something.
	Values map[string]string
	Needed map[string]bool
	// Languages are those of the field locale.
	Languages []Option
}

func (AccountProfilePage) title() string { return "title.account_profile" }

// AccountEmailPage is the data of page "account_email".
type AccountEmailPage struct {
	AccountFrame
	Outcome
	Form     PostForm
	Email    string
	Verified bool
	// Pending is the address that was asked for and not confirmed yet.
	Pending string
	// Value is what the field holds.
	Value string
	// Verify sends a confirmation to the present address.
	Verify PostForm
}

func (AccountEmailPage) title() string { return "title.account_email" }

// EmailLinkPage is the data of page "email_link": what a link about an address leads to.
type EmailLinkPage struct {
	Form PostForm
	// To becomes the address of the account; From is the one that it has had.
	From, To string
	// Undo is true for the link that brings From back.
	Undo bool
	// Done is true when it was done, Next where to go then.
	Done bool
	Next string
}

func (p EmailLinkPage) title() string {
	switch {
	case p.Undo && p.Done:
		return "title.email_undone"
	case p.Undo:
		return "title.email_undo"
	case p.Done:
		return "title.email_confirmed"
	}
	return "title.email_confirm"
}

// AccountPasswordPage is the data of page "account_password".
type AccountPasswordPage struct {
	AccountFrame
	Outcome
	Form PostForm
	// Username is for the program that keeps the person's passwords.
	Username string
	// Has is false for an account that has no password yet.
	Has bool
}

func (AccountPasswordPage) title() string { return "title.account_password" }

// AccountFactor is a passkey or an authenticator app of somebody.
type AccountFactor struct {
	ID, Name string
	Added    Moment
	// Used is when it was used last; nil is never.
	Used *Moment
	// Synced is true for a passkey that is kept on several devices; Cloned for one that is not accepted any more, since there may be a
	// copy of it.
	Synced, Cloned bool
}

// AccountPasskeysPage is the data of page "account_passkeys".
type AccountPasskeysPage struct {
	AccountFrame
	Outcome
	Rename, Remove PostForm
	Passkeys       []AccountFactor
	// Add asks for a new one, where browsers make any.
	Add Ceremony
}

func (AccountPasskeysPage) title() string  { return "title.account_passkeys" }
func (p AccountPasskeysPage) failed() bool { return p.Outcome.failed() || p.Add.Problem != "" }

// AccountAuthenticatorPage is the data of page "account_authenticator".
type AccountAuthenticatorPage struct {
	AccountFrame
	Outcome
	Remove PostForm
	Apps   []AccountFactor
	// New is where another one is set up.
	New string
}

func (AccountAuthenticatorPage) title() string { return "title.account_authenticator" }

// AccountNewAuthenticatorPage is the data of page "account_new_authenticator".
type AccountNewAuthenticatorPage struct {
	AccountFrame
	Outcome
	Form   PostForm
	NewApp AppSetup
	// Name is what the field of its name holds, Back where there is none set up.
	Name, Back string
}

func (AccountNewAuthenticatorPage) title() string { return "title.account_new_authenticator" }

// AccountRecoveryCodesPage is the data of page "account_recovery_codes".
type AccountRecoveryCodesPage struct {
	AccountFrame
	Outcome
	// Left is how many were not used yet.
	Left int
	// Possible is true for whoever has a factor that they can stand in for, New where new ones are made.
	Possible bool
	New      string
}

func (AccountRecoveryCodesPage) title() string { return "title.account_recovery_codes" }

// Some is Left, for a text that is told how many there are; empty when there are none.
func (p AccountRecoveryCodesPage) Some() string {
	if p.Left == 0 {
		return ""
	}
	return strconv.Itoa(p.Left)
}

// AccountNewRecoveryCodesPage is the data of page "account_new_recovery_codes".
type AccountNewRecoveryCodesPage struct {
	AccountFrame
	NewCodes
	Form PostForm
	// Replaces is true when there are others, which end with these.
	Replaces bool
	Back     string
}

func (AccountNewRecoveryCodesPage) title() string { return "title.codes" }

// AccountSession is a browser in which somebody is signed in.
type AccountSession struct {
	ID, Agent, Address string
	Begun, Used        Moment
	// Current is true for the one that shows the page.
	Current bool
}

// AccountDevice is a browser that somebody has signed in with.
type AccountDevice struct {
	ID, Agent   string
	Known, Seen Moment
	// Trusted is until when it is not asked for a second factor; nil is not at all.
	Trusted *Moment
	Current bool
}

// AccountSessionsPage is the data of page "account_sessions".
type AccountSessionsPage struct {
	AccountFrame
	Outcome
	End, EndOthers, Forget PostForm
	Sessions               []AccountSession
	Devices                []AccountDevice
}

func (AccountSessionsPage) title() string { return "title.account_sessions" }

// Others reports whether there is more than the session that shows the page.
func (p AccountSessionsPage) Others() bool { return len(p.Sessions) > 1 }

// AccountApplication is an application that somebody has let in.
type AccountApplication struct {
	ID, Name string
	Scopes   []Scope
	Since    Moment
	// Used is when it was given tokens last; nil when it holds none.
	Used *Moment
	// Open is where it signs the person in by itself; empty when it does not.
	Open string
}

// AccountApplicationsPage is the data of page "account_applications".
type AccountApplicationsPage struct {
	AccountFrame
	Outcome
	Revoke       PostForm
	Applications []AccountApplication
}

func (AccountApplicationsPage) title() string { return "title.account_applications" }

// AccountEvent is something that happened in an account.
type AccountEvent struct {
	// Text is the id of what it is called. Action is its name, for what has no text.
	Text, Action string
	At           Moment
	// Address is where it came from, Client the application that it was about; both may be empty.
	Address, Client string
	// By is the id of who did it, where that was somebody else.
	By string
}

// AccountActivityPage is the data of page "account_activity".
type AccountActivityPage struct {
	AccountFrame
	Events []AccountEvent
	// Newer and Older are the addresses of the pages beside this one, empty where there is none.
	Newer, Older string
}

func (AccountActivityPage) title() string { return "title.account_activity" }

// AccountDataPage is the data of page "account_data".
type AccountDataPage struct {
	AccountFrame
	Outcome
	Export, Delete PostForm
	// Called is what has to be typed to delete the account.
	Called string
	// Last is true for the last operator of the organization, who cannot leave it.
	Last bool
}

func (AccountDataPage) title() string { return "title.account_data" }

var (
	sampleFrame = AccountFrame{
		Base: "/account", SignOut: PostForm{Action: "/account/sign-out", CSRF: "t"}, Switch: "/login/select?return_to=%2Faccount",
	}
	sampleMoment = Moment{At: time.Date(2026, 11, 24, 15, 4, 0, 0, time.UTC)}
	samplePost   = PostForm{Action: "/account/x", CSRF: "t"}
)

// accountKinds are the account pages.
var accountKinds = map[string]kind{
	"account": {samples: []Page{
		AccountPage{AccountFrame: sampleFrame, Name: "Alice Doe", Username: "alice", Email: "alice@example.com", Verified: true},
		AccountPage{Name: sampleHostile, Username: sampleLong, Email: sampleHostile, Verify: samplePost, Passkeys: 1, RecoveryCodes: 8, Ways: []AccountWay{
			{ID: "account-sessions", Address: "/account/sessions", Title: "account.nav.sessions", Text: "account.sessions.count", Go: "account.look", Count: "3"},
		}},
	}},
	"account_profile": {samples: []Page{
		AccountProfilePage{
			AccountFrame: sampleFrame, Form: samplePost, Outcome: Outcome{Done: "account.done.profile"}, Needed: map[string]bool{"username": true},
			Values: map[string]string{"username": "alice", "nickname": sampleHostile}, Languages: []Option{{"en", "English", true}, {"ar", "العربية", false}},
		},
		AccountProfilePage{Outcome: Outcome{Problem: "account.profile.too_much", Problems: map[string]string{"birthdate": "account.profile.birthdate_form"}}},
	}},
	"account_email": {samples: []Page{
		AccountEmailPage{AccountFrame: sampleFrame, Form: samplePost, Verify: samplePost, Email: "alice@example.com", Verified: true},
		AccountEmailPage{
			Email: sampleHostile, Pending: sampleHostile, Value: sampleHostile, Outcome: Outcome{Problems: map[string]string{"email": "account.email.form"}},
		},
	}},
	"email_link": {samples: []Page{
		EmailLinkPage{Form: samplePost, From: "a@example.com", To: sampleHostile},
		EmailLinkPage{Form: samplePost, From: "a@example.com", To: "b@example.com", Undo: true},
		EmailLinkPage{Done: true, Next: "/account"},
		EmailLinkPage{Done: true, Undo: true, Next: "/forgot"},
	}},
	"account_password": {samples: []Page{
		AccountPasswordPage{AccountFrame: sampleFrame, Form: samplePost, Username: "alice", Has: true, Outcome: Outcome{Done: "account.done.password"}},
		AccountPasswordPage{Outcome: Outcome{
			Problem: "account.stale", Problems: map[string]string{"current": "account.password.wrong", "password": "account.password.short"},
		}},
	}},
	"account_passkeys": {file: "passkey.js", samples: []Page{
		AccountPasskeysPage{
			AccountFrame: sampleFrame, Rename: samplePost, Remove: samplePost, Outcome: Outcome{Done: "account.done.passkey"},
			Passkeys: []AccountFactor{
				{ID: "1", Name: "Phone", Added: sampleMoment, Used: &sampleMoment, Synced: true}, {ID: "2", Name: sampleHostile, Cloned: true},
			},
			Add: Ceremony{PostForm: samplePost, Options: "{}", Sealed: "s", Create: true},
		},
		AccountPasskeysPage{Outcome: Outcome{Problem: "factor.last"}, Add: Ceremony{Options: "{}", Create: true, Problem: "factor.passkey_wrong"}},
		AccountPasskeysPage{AccountFrame: sampleFrame},
	}},
	"account_authenticator": {samples: []Page{
		AccountAuthenticatorPage{
			AccountFrame: sampleFrame, Remove: samplePost, New: "/account/authenticator/new", Outcome: Outcome{Done: "account.done.app"},
			Apps: []AccountFactor{{ID: "1", Name: "Phone", Added: sampleMoment, Used: &sampleMoment}, {ID: "2", Name: sampleHostile}},
		},
		AccountAuthenticatorPage{AccountFrame: sampleFrame, Outcome: Outcome{Problem: "factor.last"}},
	}},
	"account_new_authenticator": {samples: []Page{
		AccountNewAuthenticatorPage{AccountFrame: sampleFrame, Form: samplePost, NewApp: sampleApp1, Back: "/account/authenticator"},
		AccountNewAuthenticatorPage{
			Form: samplePost, NewApp: sampleApp1, Name: sampleHostile, Outcome: Outcome{Problems: map[string]string{"code": "factor.code_wrong"}},
		},
	}},
	"account_recovery_codes": {samples: []Page{
		AccountRecoveryCodesPage{
			AccountFrame: sampleFrame, Left: 8, Possible: true, New: "/account/recovery-codes/new", Outcome: Outcome{Done: "account.done.codes"},
		},
		AccountRecoveryCodesPage{AccountFrame: sampleFrame, Possible: true, New: "/account/recovery-codes/new"},
		AccountRecoveryCodesPage{Outcome: Outcome{Problem: "factor.stale"}},
	}},
	"account_new_recovery_codes": {samples: []Page{
		AccountNewRecoveryCodesPage{AccountFrame: sampleFrame, Form: samplePost, NewCodes: sampleCodes, Back: "/account/recovery-codes", Replaces: true},
		AccountNewRecoveryCodesPage{NewCodes: NewCodes{Codes: []string{sampleHostile}}},
	}},
	"account_sessions": {samples: []Page{
		AccountSessionsPage{AccountFrame: sampleFrame},
		AccountSessionsPage{
			Outcome: Outcome{Done: "account.done.session"},
			Sessions: []AccountSession{
				{ID: "1", Agent: "Firefox, Linux", Address: "192.0.2.1", Begun: sampleMoment, Used: sampleMoment, Current: true}, {ID: "2", Agent: sampleHostile},
			},
			Devices: []AccountDevice{{ID: "1", Agent: "Firefox, Linux", Trusted: &sampleMoment, Current: true}, {ID: "2"}},
		},
	}},
	"account_applications": {samples: []Page{
		AccountApplicationsPage{AccountFrame: sampleFrame},
		AccountApplicationsPage{Outcome: Outcome{Done: "account.done.application"}, Applications: []AccountApplication{
			{
				ID: "app", Name: "Sample", Since: sampleMoment, Used: &sampleMoment, Open: "https://app.example/login?iss=x",
				Scopes: Scopes([]string{"openid", "read", "orders:read"}, []APIScope{{"Orders", "orders:read", "See what you have ordered"}}),
			},
			{ID: sampleHostile},
		}},
	}},
	"account_activity": {samples: []Page{
		AccountActivityPage{AccountFrame: sampleFrame},
		AccountActivityPage{Newer: "/account/activity", Older: "/account/activity?before=x", Events: []AccountEvent{
			{Text: "activity.user.signed_in", At: sampleMoment, Address: "192.0.2.1", Client: "app"},
			{Text: "activity.other", Action: sampleHostile, By: "activity.by_operator"},
		}},
	}},
	"account_data": {samples: []Page{
		AccountDataPage{AccountFrame: sampleFrame, Export: samplePost, Delete: samplePost, Called: "alice"},
		AccountDataPage{Last: true},
		AccountDataPage{Called: sampleHostile, Outcome: Outcome{Problems: map[string]string{"confirm": "account.delete.mismatch"}}},
	}},
}
