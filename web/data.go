package web

import "html/template"

// ErrorPage is the data of page "error".
type ErrorPage struct {
	Heading string // TitleError or TitleLogoutError
	Code    string
	Message string
	BackTo  string
	Again   string
}

func (p ErrorPage) title() string {
	if p.Heading == "" {
		return TitleError
	}
	return p.Heading
}

// Back is BackTo if it may be linked to.
func (p ErrorPage) Back() string { return backLink(p.BackTo) }

// LogoutPage is the data of page "logout". Its forms send confirm=yes, or confirm=all for everybody, the request as it is given here, and the
// token.
type LogoutPage struct {
	Action string
	CSRF   string
	// UserName is whose account is the browser's current one, empty where none is, and Others are those that are signed in besides.
	UserName string
	Others   []string
	Request  string
}

func (LogoutPage) title() string { return "title.logout" }

// LoggedOutPage is the data of page "logged_out".
type LoggedOutPage struct {
	// Frames are addresses of applications that are loaded, unseen, so that they sign the person out as well.
	Frames []string
	// then is where the person goes on to, once they are; empty is nowhere.
	then string
	// SelectURL is where whoever stays signed in with other accounts chooses one of them; empty where nobody does.
	SelectURL string
}

func (LoggedOutPage) title() string { return "title.logged_out" }

func (p LoggedOutPage) frames() []string { return p.Frames }

// Then is where the person goes on to: an address that was registered by the application, of whatever scheme it is.
func (p LoggedOutPage) Then() template.URL { return template.URL(p.then) } //nolint:gosec // registered, and sealed since

// FormPostPage is the data of page "form_post".
type FormPostPage struct {
	// address is the redirect URI.
	address string
	Fields  []Field
}

// Field is a hidden field of a form.
type Field struct{ Name, Value string }

func (FormPostPage) title() string { return "title.form_post" }

// SetupPage is the data of page "setup".
type SetupPage struct {
	Action string
	CSRF   string
	// Organization is the name of the one that the link was made for. Empty: the form asks for one.
	Organization string
	Form         SetupFields
	// Problems are what is wrong, by the name of the field: organization_name, organization_slug, username, email, name,
	// password.
	Problems map[string]string
	// Problem is what is wrong and belongs to no field.
	Problem string
}

// SetupFields is what was entered, save the password, which is never sent back.
type SetupFields struct {
	OrganizationName, OrganizationSlug string
	Username, Email, FullName          string
}

func (SetupPage) title() string  { return "title.setup" }
func (p SetupPage) failed() bool { return p.Problem != "" || len(p.Problems) > 0 }

// SetupDonePage is the data of page "setup_done".
type SetupDonePage struct {
	Issuer    string
	Discovery string
	// Playground is a path, empty where there is none.
	Playground string
}

func (SetupDonePage) title() string { return "title.setup_done" }
