package web

import (
	"html/template"
	"strings"
)

// Ceremony is what a page asks an authenticator for, by the form that sends the answer. Without options it does not ask.
type Ceremony struct {
	PostForm
	// Options are handed to the browser, in JSON. Sealed comes back with the answer.
	Options, Sealed string
	// Create asks for a new passkey, and not for one that there is.
	Create bool
	// Beside has the browser offer its passkeys beside the field of the user name, too.
	Beside bool
	// Problem is what is wrong with the answer, as the id of a text.
	Problem string
}

// FactorWay leads to another factor.
type FactorWay struct {
	// Way is what it is called in an address, Address where it is asked for.
	Way, Address string
}

// FactorPage is the data of page "factor".
type FactorPage struct {
	PostForm
	App AppCard
	// Account is whose factor is asked for, by the name that they sign in with.
	Account string
	// Way is the factor: "passkey", "app", "email" or "recovery". Ways are the others.
	Way  string
	Ways []FactorWay
	// Passkey is what is asked for where that is the way.
	Passkey Ceremony
	// Email is where a code by mail goes, as its owner recognises it; Sent is true when one is on its way, Again when it was asked for
	// just now.
	Email       string
	Sent, Again bool
	// Remember is the id of the text that offers not to ask again for a while, and RememberCount for how long; empty where that is not
	// offered.
	Remember, RememberCount string
	// Cancel is true when there is something to go back to.
	Cancel bool
	// Problem is what is wrong with what was given, as the id of a text.
	Problem string
}

func (FactorPage) title() string  { return "title.factor" }
func (p FactorPage) failed() bool { return p.Problem != "" }

// AppSetup is an authenticator app that is being set up.
type AppSetup struct {
	picture string
	// Secret is what is typed in by hand where no picture can be taken; Sealed comes back with the first code.
	Secret, Sealed string
}

// NewApp is an authenticator app that is set up with a picture, as a data: URI, or a secret.
func NewApp(picture, secret, sealed string) AppSetup { return AppSetup{picture, secret, sealed} }

// Picture is the picture, if it is one.
func (a AppSetup) Picture() template.URL {
	const png = "data:image/png;base64,"
	rest, ok := strings.CutPrefix(a.picture, png)
	if !ok || strings.ContainsFunc(rest, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '+' && r != '/' && r != '='
	}) {
		return ""
	}
	return template.URL(a.picture) //nolint:gosec // the base64 of a picture, as was just looked at
}

// EnrollPage is the data of page "enroll".
type EnrollPage struct {
	PostForm
	App     AppCard
	Account string
	NewApp  AppSetup
	Passkey Ceremony
	Cancel  bool
	// CodeProblem is what is wrong with the code of the app.
	CodeProblem string
}

func (EnrollPage) title() string  { return "title.enroll" }
func (p EnrollPage) failed() bool { return p.CodeProblem != "" || p.Passkey.Problem != "" }

// NewCodes are recovery codes that are shown once. Sealed comes back when their reader has kept them.
type NewCodes struct {
	Codes  []string
	Sealed string
}

// CodesPage is the data of page "codes": recovery codes for whoever has just set up a second factor.
type CodesPage struct {
	PostForm
	NewCodes
	App AppCard
}

func (CodesPage) title() string { return "title.codes" }

var (
	sampleCeremony = Ceremony{PostForm: PostForm{Action: "/login?interaction=x", CSRF: "t"}, Options: `{"challenge":"AAAA"}`, Sealed: "s"}
	// The smallest picture there is.
	sampleApp1 = NewApp("data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==",
		"ABCD EFGH IJKL MNOP QRST UVWX YZ23 4567", "s")
	sampleCodes = NewCodes{Codes: []string{"7F3K-9QWE-RT5Y-M2NB", "0000-1111-2222-3333"}, Sealed: "s"}
)

// factorKinds are the pages of second factors and passkeys at sign-in.
var factorKinds = map[string]kind{
	"factor": {leaves: true, file: "passkey.js", samples: []Page{
		FactorPage{
			PostForm: samplePost, App: sampleApp, Account: "alice", Way: "passkey", Passkey: sampleCeremony, Remember: "factor.remember_days", RememberCount: "30",
			Ways: []FactorWay{{"app", "/login/factor?way=app"}, {"email", "/login/factor?way=email"}, {"recovery", "/login/factor?way=recovery"}}, Cancel: true,
		},
		FactorPage{PostForm: samplePost, Account: sampleHostile, Way: "app", Remember: "factor.remember_hours", RememberCount: "1", Problem: "factor.code_wrong"},
		FactorPage{PostForm: samplePost, Way: "recovery", Ways: []FactorWay{{"passkey", "/login/factor?way=passkey"}}},
		FactorPage{PostForm: samplePost, Way: "email", Email: "a…@example.com", Remember: "factor.remember_minutes", RememberCount: "5"},
		FactorPage{PostForm: samplePost, Way: "email", Email: "a…@example.com", Problem: "factor.code_wrong"},
		FactorPage{PostForm: samplePost, Way: "email", Email: sampleHostile, Sent: true, Again: true},
		FactorPage{PostForm: samplePost, Way: "passkey", Passkey: sampleCeremony, Problem: "factor.passkey_wrong"},
	}},
	"enroll": {leaves: true, file: "passkey.js", samples: []Page{
		EnrollPage{PostForm: samplePost, App: sampleApp, Account: "alice", NewApp: sampleApp1, Passkey: sampleCeremony, Cancel: true},
		EnrollPage{
			PostForm: samplePost, Account: sampleHostile, NewApp: sampleApp1, CodeProblem: "factor.code_wrong",
			Passkey: Ceremony{Options: "{}", Create: true, Problem: "factor.passkey_wrong"},
		},
		EnrollPage{PostForm: samplePost, NewApp: sampleApp1},
	}},
	"codes": {leaves: true, samples: []Page{
		CodesPage{PostForm: samplePost, NewCodes: sampleCodes, App: sampleApp},
		CodesPage{PostForm: samplePost, NewCodes: NewCodes{Codes: []string{sampleHostile}}},
	}},
}
