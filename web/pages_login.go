package web

// AppCard is how a page shows the application that a person is on the way to.
type AppCard struct {
	Name string
	// Links of the application; only https ones are shown. Its logo is one of them, and no picture: a page of ours fetches nothing
	// from elsewhere (S-130), and shows the initials of the name instead.
	PolicyURI, TosURI, ClientURI, LogoURI string
}

// SignInPage is the data of page "login".
type SignInPage struct {
	Action string // where its forms go
	CSRF   string
	App    AppCard
	// Username is what the field holds to begin with.
	Username string
	// Again is true when somebody is signed in and has to prove it once more.
	Again bool
	// Who is true where only the name is asked for, and the proof on the next page; NotMe is where somebody else than who was named there
	// begins anew.
	Who   bool
	NotMe string
	// NoPassword is true where the organization lets nobody sign in with one.
	NoPassword bool
	// Cancel is true when there is something to go back to.
	Cancel bool
	// SelectURL is where whoever is signed in to another account chooses it; empty where there is none to choose.
	SelectURL string
	// ForgotURL is where whoever has forgotten the password goes, SignUpURL whoever has no account; empty where nobody makes one.
	ForgotURL, SignUpURL string
	// Passkey is how somebody signs in with one.
	Passkey Ceremony
	// Providers are where else one can sign in.
	Providers []ProviderButton
	// Notice is what came of a sign-in elsewhere.
	Notice FederatedNotice
	// Problem is said above the form: the id of a text, or a sentence.
	Problem string
	// Problems of a field are said beside it.
	UsernameProblem, PasswordProblem string
}

func (SignInPage) title() string { return "title.login" }
func (p SignInPage) failed() bool {
	return p.Problem != "" || p.UsernameProblem != "" || p.PasswordProblem != "" || p.Passkey.Problem != ""
}

// SelectPage is the data of page "select". Its forms send the session of an account, or action=another, sign_out or cancel, and the token.
type SelectPage struct {
	PostForm
	App      AppCard
	Accounts []AccountChoice
	// Cancel is true when there is an application to go back to, SignOut where there is none.
	Cancel, SignOut bool
	// Problem is said above the accounts: the id of a text.
	Problem string
}

// AccountChoice is an account that the browser is signed in to.
type AccountChoice struct {
	Session string
	Name    string
	// Email is empty where the name says it.
	Email string
	// Current is true of the one that the browser acts in.
	Current bool
}

// Number is that of a choice: people count from one.
func (AccountChoice) Number(index int) int { return index + 1 }

func (SelectPage) title() string  { return "title.select" }
func (p SelectPage) failed() bool { return p.Problem != "" }

// SignOutText is the id of what the button says that signs everybody out.
func (p SelectPage) SignOutText() string {
	if len(p.Accounts) > 1 {
		return "select.sign_out_all"
	}
	return "account.sign_out"
}

// Scope is a line of the consent page: a description where there is one, else the name of the scope.
type Scope struct {
	Name string
	// Text and Detail are ids of texts, empty for a scope that we have no words for.
	Text, Detail string
	// API is the name of the API that has the scope, and Description what the organization says of it; either may be empty.
	API, Description string
}

// ConsentPage is the data of page "consent".
type ConsentPage struct {
	Action string
	CSRF   string
	App    AppCard
	// UserName is whose consent is asked.
	UserName string
	Scopes   []Scope
	// Destination is the host to which the answer goes; for an application on this device it is empty.
	Destination string
	// Unverified is true when nothing proves that the application is the one it says it is (RFC 8252 §8.6).
	Unverified bool
}

func (ConsentPage) title() string { return "title.consent" }

// loginKinds are the pages on the way to an application.
var loginKinds = map[string]kind{
	"login": {leaves: true, file: "passkey.js", samples: []Page{
		SignInPage{
			Action: "/login?interaction=x", CSRF: "t", App: sampleApp, Cancel: true, ForgotURL: "/forgot", SignUpURL: "/signup",
			Passkey: Ceremony{PostForm: PostForm{"/login", "t"}, Options: `{"challenge":"AAAA"}`, Sealed: "s", Beside: true},
		},
		SignInPage{App: AppCard{Name: sampleLong}, Username: "alice", Again: true, Problem: "login.failed"},
		SignInPage{Passkey: Ceremony{Options: "{}", Problem: "factor.passkey_wrong"}},
		SignInPage{Username: "alice", Again: true, Cancel: true, App: sampleApp, SelectURL: "/login/select", ForgotURL: "/forgot"},
		SignInPage{Who: true, UsernameProblem: "login.no_name", App: sampleApp, Passkey: Ceremony{Options: "{}", Beside: true}, Cancel: true},
		SignInPage{Username: "alice", NotMe: "/login", ForgotURL: "/forgot"},
		SignInPage{NoPassword: true, Problem: "login.not_offered", App: sampleApp, Passkey: Ceremony{Options: "{}"}, Cancel: true},
		SignInPage{NoPassword: true},
		SignInPage{NoPassword: true, Providers: []ProviderButton{{PostForm: samplePost, Name: "google", Title: "Google", Hint: "alice@example.com"}}},
		SignInPage{
			Username: "alice@example.com", Notice: FederatedNotice{Text: "federate.sign_in_first", Provider: "Google", Email: "alice@example.com"},
			Passkey: Ceremony{Options: "{}", Beside: true}, ForgotURL: "/forgot",
			Providers: []ProviderButton{{PostForm: samplePost, Name: "github", Title: "GitHub"}, {PostForm: samplePost, Name: "x", Title: sampleHostile}},
		},
		SignInPage{Notice: FederatedNotice{Text: "federate.declined"}, Providers: []ProviderButton{{PostForm: samplePost, Name: "y", Title: sampleLong}}},
		SignInPage{Username: sampleHostile, UsernameProblem: "login.no_name", PasswordProblem: "login.no_secret"},
	}},
	"select": {leaves: true, samples: []Page{
		SelectPage{
			PostForm: samplePost, App: sampleApp, Cancel: true,
			Accounts: []AccountChoice{{Session: "1", Name: "alice", Email: "alice@example.com", Current: true}, {Session: "2", Name: "bob@example.com"}},
		},
		SelectPage{PostForm: samplePost, SignOut: true, Accounts: []AccountChoice{{Session: "1", Name: "alice", Email: "alice@example.com", Current: true}}},
		SelectPage{
			PostForm: samplePost, App: AppCard{Name: sampleLong}, Problem: "select.gone", SignOut: true,
			Accounts: []AccountChoice{{Session: "1", Name: sampleLong, Email: sampleLong, Current: true}, {Session: "2", Name: sampleHostile, Email: sampleHostile}},
		},
	}},
	"consent": {leaves: true, samples: []Page{
		ConsentPage{
			Action: "/consent?interaction=x", CSRF: "t", App: sampleApp, UserName: "alice", Destination: "app.example",
			Scopes: []Scope{
				{Name: "openid", Text: "scope.openid", Detail: "scope.openid.detail"}, {Name: "address", Text: "scope.address"}, {Name: "read"},
				{Name: "orders:read", API: "Orders", Description: "See what you have ordered"}, {Name: "orders:write", API: sampleHostile},
				{Name: sampleLong, API: sampleLong, Description: sampleHostile},
			},
		},
		ConsentPage{App: AppCard{Name: sampleHostile}, Unverified: true},
	}},
}
