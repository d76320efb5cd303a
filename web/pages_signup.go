package web

// NewcomerFields are what somebody says of themselves who makes an account, as a form asks for it.
type NewcomerFields struct {
	// Username and Name are what the fields hold to begin with.
	Username, Name string
	// How each is asked for: "required", "optional", or, when it is empty, not at all.
	AskUsername, AskName string
	// Problems are what is wrong, by the name of the field, as ids of texts: email, username, name, password.
	Problems map[string]string
}

func (f NewcomerFields) failed() bool { return len(f.Problems) > 0 }

// SignUpPage is the data of page "signup".
type SignUpPage struct {
	PostForm
	NewcomerFields
	App   AppCard
	Email string
	// SignIn is where whoever has an account goes instead.
	SignIn string
}

func (SignUpPage) title() string { return "title.signup" }

// SignUpSentPage is the data of page "signup_sent": a letter is on its way, and its code may be entered here.
type SignUpSentPage struct {
	PostForm
	Email string
	// Again is true when another letter was asked for.
	Again bool
	// CodeProblem is what is wrong with the code; Closed is true when none is taken any more.
	CodeProblem string
	Closed      bool
	// SignUp is where one begins anew.
	SignUp string
}

func (SignUpSentPage) title() string  { return "title.signup_sent" }
func (p SignUpSentPage) failed() bool { return p.CodeProblem != "" }

// VerifyPage is the data of page "verify": what the link of a letter leads to.
type VerifyPage struct {
	PostForm
	NewcomerFields
	Email string
	// NewAccount is true when the button makes an account.
	NewAccount bool
	// Complete is true when nothing more is asked for.
	Complete bool
}

func (p VerifyPage) title() string {
	if p.NewAccount {
		return "title.verify_new"
	}
	return "title.verify"
}

// DonePage is the data of page "done": something worked, and there is a way on.
type DonePage struct {
	Title string // the id of a text, as the rest
	Text  string
	// Onward is a path of ours, and Link what it is called.
	Onward, Link string
}

func (p DonePage) title() string { return p.Title }

// ForgotPage is the data of page "forgot".
type ForgotPage struct {
	PostForm
	Login, Problem string
	// Sent is true when it was asked for: whether there is an account is not told.
	Sent bool
	// SignIn is where whoever remembers goes.
	SignIn string
}

func (p ForgotPage) title() string {
	if p.Sent {
		return "title.forgot_sent"
	}
	return "title.forgot"
}
func (p ForgotPage) failed() bool { return p.Problem != "" }

// ResetPage is the data of page "reset".
type ResetPage struct {
	PostForm
	// Account is whose password is set, by the name that they sign in with.
	Account, Problem string
}

func (ResetPage) title() string  { return "title.reset" }
func (p ResetPage) failed() bool { return p.Problem != "" }

// InvitationPage is the data of page "invitation".
type InvitationPage struct {
	PostForm
	NewcomerFields
	Email, Inviter string
	// Problem is what is wrong and belongs to no field.
	Problem string
}

func (InvitationPage) title() string  { return "title.invitation" }
func (p InvitationPage) failed() bool { return p.Problem != "" || p.NewcomerFields.failed() }

// DeadLinkPage is the data of page "dead_link": a link that opens nothing, and where there is a new one.
type DeadLinkPage struct {
	// Text says where a new one comes from, by its id.
	Text string
	// New is the way to a new one, and Link what it is called; empty where somebody else has to send it.
	New, Link string
	SignIn    string
}

func (DeadLinkPage) title() string { return "title.dead_link" }

var (
	sampleForm     = PostForm{Action: "/x?token=y", CSRF: "t"}
	sampleProblems = map[string]string{
		"email": "signup.bad_email", "username": "signup.username_taken", "name": "signup.bad_name", "password": "password.too_short",
	}
)

// signupKinds are the pages by which somebody comes to have an account, or comes back to it.
var signupKinds = map[string]kind{
	"signup": {leaves: true, samples: []Page{
		SignUpPage{
			PostForm: sampleForm, NewcomerFields: NewcomerFields{AskUsername: "required", AskName: "optional"}, App: sampleApp, SignIn: "/login",
		},
		SignUpPage{
			NewcomerFields: NewcomerFields{Username: sampleHostile, Name: sampleLong, AskUsername: "optional", AskName: "required", Problems: sampleProblems},
			Email:          sampleHostile,
		},
		SignUpPage{},
	}},
	"signup_sent": {leaves: true, samples: []Page{
		SignUpSentPage{PostForm: sampleForm, Email: "alice@example.com", SignUp: "/signup"},
		SignUpSentPage{Email: sampleHostile, Again: true, CodeProblem: "verify.wrong_code"},
		SignUpSentPage{Email: sampleLong, Closed: true, CodeProblem: "verify.too_many"},
	}},
	"verify": {leaves: true, samples: []Page{
		VerifyPage{PostForm: sampleForm, Email: "alice@example.com", Complete: true},
		VerifyPage{PostForm: sampleForm, Email: "alice@example.com", NewAccount: true, Complete: true},
		VerifyPage{
			NewcomerFields: NewcomerFields{Username: sampleHostile, Name: sampleLong, AskUsername: "optional", AskName: "required", Problems: sampleProblems},
			Email:          sampleHostile, NewAccount: true,
		},
	}},
	"done": {samples: []Page{
		DonePage{Title: "title.reset_done", Text: "reset.done", Onward: "/login", Link: "reset.sign_in"},
	}},
	"forgot": {samples: []Page{
		ForgotPage{PostForm: sampleForm, SignIn: "/login"},
		ForgotPage{Login: sampleHostile, Problem: "forgot.no_login"},
		ForgotPage{Sent: true, SignIn: "/login"},
	}},
	"reset": {leaves: true, samples: []Page{
		ResetPage{PostForm: sampleForm, Account: "alice"},
		ResetPage{Account: sampleHostile, Problem: "password.too_short"},
	}},
	"invitation": {samples: []Page{
		InvitationPage{
			PostForm: sampleForm, NewcomerFields: NewcomerFields{AskUsername: "required", AskName: "optional"}, Email: "alice@example.com",
			Inviter: "Olivia Operator",
		},
		InvitationPage{
			NewcomerFields: NewcomerFields{Username: sampleHostile, Name: sampleLong, AskUsername: "optional", AskName: "required", Problems: sampleProblems},
			Email:          sampleLong, Inviter: sampleHostile, Problem: "invitation.role_gone",
		},
		InvitationPage{Email: "alice@example.com"},
	}},
	"dead_link": {samples: []Page{
		DeadLinkPage{Text: "dead.reset", New: "/forgot", Link: "dead.reset_new", SignIn: "/login"},
		DeadLinkPage{Text: "dead.invitation"},
	}},
}
