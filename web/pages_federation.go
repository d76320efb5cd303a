package web

// ProviderButton leads to a provider at which one can sign in.
type ProviderButton struct {
	PostForm
	Name, Title string
	// Hint is whom we expect there, if anybody.
	Hint string
}

// FederatedNotice is what the page of a sign-in says of a provider that somebody has been to.
type FederatedNotice struct {
	// Text is the id of a text, which is told the provider and the address.
	Text, Provider, Email string
}

// ProveAddressPage is the data of page "prove_address": somebody has come from a provider, and the address of their account is to be
// proven.
type ProveAddressPage struct {
	PostForm
	App      AppCard
	Provider string
	// Email is what the field holds, Problem what is wrong with it.
	Email, Problem string
	// SignIn is where whoever has an account goes instead.
	SignIn string
}

func (ProveAddressPage) title() string  { return "title.prove_address" }
func (p ProveAddressPage) failed() bool { return p.Problem != "" }

// AccountLinked is who somebody is elsewhere.
type AccountLinked struct {
	ID, Provider, Label string
	Since               Moment
	// Used is when they signed in by it last; nil is never.
	Used *Moment
	// Off is true where nobody signs in there any more.
	Off bool
}

// AccountLinkedPage is the data of page "account_linked".
type AccountLinkedPage struct {
	AccountFrame
	Outcome
	Remove PostForm
	Linked []AccountLinked
	// Connect are the providers that can be linked.
	Connect []ProviderButton
}

func (AccountLinkedPage) title() string { return "title.account_linked" }

// federationKinds are the pages of signing in elsewhere.
var federationKinds = map[string]kind{
	"prove_address": {samples: []Page{
		ProveAddressPage{PostForm: samplePost, App: sampleApp, Provider: "Facebook", Email: "alice@example.com", SignIn: "/login"},
		ProveAddressPage{Provider: sampleHostile, Email: sampleHostile, Problem: "signup.bad_email"},
	}},
	"account_linked": {leaves: true, samples: []Page{
		AccountLinkedPage{AccountFrame: sampleFrame},
		AccountLinkedPage{
			AccountFrame: sampleFrame, Outcome: Outcome{Done: "account.done.linked"}, Remove: samplePost,
			Linked: []AccountLinked{
				{ID: "1", Provider: "Google", Label: "alice@example.com", Since: sampleMoment, Used: &sampleMoment},
				{ID: "2", Provider: sampleHostile, Label: sampleHostile, Since: sampleMoment, Off: true},
			},
			Connect: []ProviderButton{{PostForm: samplePost, Name: "github", Title: "GitHub"}, {PostForm: samplePost, Name: "x", Title: sampleLong}},
		},
		AccountLinkedPage{Outcome: Outcome{Problem: "account.linked.last"}, Linked: []AccountLinked{{ID: "1", Provider: "Google", Label: sampleLong}}},
	}},
}
