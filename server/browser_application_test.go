package server_test

import (
	"html/template"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

// application is a relying party on a site of its own: to a browser, 127.0.0.1 and localhost are strangers.
type application struct {
	*servertest.Client
	URL     string
	answers chan answer
}

// answer is what has arrived at an application's redirect URI.
type answer struct {
	method string
	values url.Values
}

// newApplication registers one and puts it up. Where a test wants to begin is an address of its own (see ask).
func newApplication(t *testing.T, house *servertest.House, spec manage.ClientSpec) *application {
	t.Helper()
	app := &application{answers: make(chan answer, 10)}
	site := httptest.NewServer(app)
	t.Cleanup(site.Close)
	app.URL = site.URL
	spec.RedirectURIs = []string{site.URL + "/cb?kept=1"}
	spec.PostLogoutRedirectURIs = []string{site.URL + "/bye"}
	app.Client = house.Client(house.In("default"), spec)
	return app
}

// ask is a page of the application's with a link to the authorization endpoint, #get, and a form, #post.
func (app *application) ask(params ...string) string {
	return app.URL + "/ask?" + url.Values{"to": {app.AuthorizeURL(params...)}}.Encode()
}

var applicationPage = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Application</title><link rel="icon" href="data:,"></head>
<body><main><h1 id="page-title">{{.Title}}</h1>
{{with .To}}<p><a id="get" href="{{.}}">Sign in</a></p>{{end}}
<form method="post" action="{{.Action}}">{{range $name, $values := .Fields}}{{range $values}}
<input type="hidden" name="{{$name}}" value="{{.}}">{{end}}{{end}}
<button id="post" type="submit">Sign in</button></form></main></body></html>`))

func (app *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	page := struct {
		Title, To, Action string
		Fields            url.Values
	}{Title: "Application"}
	switch r.URL.Path {
	case "/ask":
		page.To = r.FormValue("to")
		to, err := url.Parse(page.To)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		page.Fields = to.Query()
		to.RawQuery = ""
		page.Action = to.String()
	case "/cb":
		if err := r.ParseForm(); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		page.Title = "Arrived"
		app.answers <- answer{r.Method, r.Form}
	case "/bye":
		page.Title = "Bye"
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = applicationPage.Execute(w, page)
}

// arrived takes what has come to the redirect URI, and redeems the code in it.
func (app *application) arrived(t *testing.T, method, state string) url.Values {
	t.Helper()
	select {
	case got := <-app.answers:
		if got.method != method || got.values.Get("state") != state || got.values.Get("iss") != app.Issuer || got.values.Get("kept") != "1" {
			t.Fatalf("%s arrived with %v", got.method, got.values)
		}
		if code := got.values.Get("code"); code != "" {
			if tokens := app.Redeem(code); tokens.Status != 200 {
				t.Fatalf("the code is worth %d %s", tokens.Status, tokens.Body)
			}
		}
		return got.values
	default:
		t.Fatal("nothing has arrived at the application")
		return nil
	}
}

func anApplicationOnAnotherSiteSignsAPersonIn(t *testing.T, chromium *servertest.Chromium) {
	house := servertest.Start(t, servertest.Options{})
	house.User(house.In("default"), "alice")
	app := newApplication(t, house, manage.ClientSpec{})
	tab := chromium.Tab(t, house.Base, app.URL)

	tab.Open(app.ask(), "Application")
	tab.Press("get", "Sign in")
	tab.SignIn("alice", servertest.Password, "Allow access")
	tab.Press("consent-allow", "Arrived")
	app.arrived(t, "GET", "the-state")

	// Signed in and allowed once, nothing is asked again.
	tab.Open(app.ask("state", "again"), "Application")
	tab.Press("get", "Arrived")
	app.arrived(t, "GET", "again")

	// What the person declines is told to the application, by either button.
	tab.Open(app.ask("prompt", "consent"), "Application")
	tab.Press("get", "Allow access")
	tab.Press("consent-deny", "Arrived")
	if got := app.arrived(t, "GET", "the-state"); got.Get("error") != "access_denied" {
		t.Errorf("denied, and it arrives with %v", got)
	}
	tab.Open(app.ask("prompt", "login"), "Application")
	tab.Press("get", "Sign in")
	tab.Press("login-cancel", "Arrived")
	if got := app.arrived(t, "GET", "the-state"); got.Get("error") != "access_denied" {
		t.Errorf("cancelled, and it arrives with %v", got)
	}

	// Signed out from the application, and back there.
	tab.Open(app.ask(), "Application")
	tab.Press("get", "Arrived")
	got := <-app.answers
	tokens := app.Redeem(got.values.Get("code"))
	logout := url.Values{"id_token_hint": {tokens.Text("id_token")}, "post_logout_redirect_uri": {app.URL + "/bye"}, "state": {"over"}}
	tab.Open(house.Base+"/oauth2/logout?"+logout.Encode(), "Bye")
	if query := tab.Ask("location.search"); query != "?state=over" {
		t.Errorf("back with %q", query)
	}
	tab.Open(app.ask("prompt", "none"), "Application")
	tab.Press("get", "Arrived")
	if got := app.arrived(t, "GET", "the-state"); got.Get("error") != "login_required" {
		t.Errorf("signed out, and it arrives with %v", got)
	}
}

func anApplicationIsAnsweredByForm(t *testing.T, chromium *servertest.Chromium) {
	house := servertest.Start(t, servertest.Options{})
	house.User(house.In("default"), "alice")
	app := newApplication(t, house, manage.ClientSpec{SkipConsent: true})
	const state = `a "state" <b>&amp; 'more' + %2B`

	// The form sends itself, although the page's policy allows no script but this one.
	tab := chromium.Tab(t, house.Base, app.URL)
	tab.Open(app.ask("response_mode", "form_post", "state", state), "Application")
	tab.Press("get", "Sign in")
	tab.SignIn("alice", servertest.Password, "Arrived")
	app.arrived(t, "POST", state)

	// Errors travel the same way.
	tab.Open(app.ask("response_mode", "form_post", "state", state, "prompt", "login"), "Application")
	tab.Press("get", "Sign in")
	tab.Press("login-cancel", "Arrived")
	if got := app.arrived(t, "POST", state); got.Get("error") != "access_denied" {
		t.Errorf("cancelled, and it arrives with %v", got)
	}

	// Where no script runs there is a button.
	tab = chromium.Tab(t, house.Base, app.URL)
	tab.WithoutJavaScript()
	tab.Open(app.ask("response_mode", "form_post", "state", state), "Application")
	tab.Press("get", "Sign in")
	tab.SignIn("alice", servertest.Password, "Back to the application")
	tab.Look()
	tab.Press("form-post-continue", "Arrived")
	app.arrived(t, "POST", state)
}

// SameSite=Lax keeps the session's cookie from a form that another site posts. The request must find the session all the
// same (OpenID Connect Core 1.0 §3.1.2.1 asks for POST).
func aFormOfAnotherSiteFindsTheSession(t *testing.T, chromium *servertest.Chromium) {
	house := servertest.Start(t, servertest.Options{})
	house.User(house.In("default"), "alice")
	app := newApplication(t, house, manage.ClientSpec{})
	tab := chromium.Tab(t, house.Base, app.URL)

	tab.Open(app.ask(), "Application")
	tab.Press("post", "Sign in")
	tab.SignIn("alice", servertest.Password, "Allow access")
	tab.Press("consent-allow", "Arrived")
	app.arrived(t, "GET", "the-state")

	for _, prompt := range []string{"", "none"} {
		tab.Open(app.ask("prompt", prompt), "Application")
		tab.Press("post", "Arrived")
		if got := app.arrived(t, "GET", "the-state"); got.Get("code") == "" {
			t.Errorf("prompt=%s: arrived with %v", prompt, got)
		}
	}
	tab.Open(app.ask("prompt", "none", "response_mode", "form_post"), "Application")
	tab.Press("post", "Arrived")
	if got := app.arrived(t, "POST", "the-state"); got.Get("code") == "" {
		t.Errorf("arrived with %v", got)
	}
}

// A page elsewhere cannot press the buttons of ours, nor sign its reader in as somebody else.
func aFormOfAnotherSiteSignsNobodyIn(t *testing.T, chromium *servertest.Chromium) {
	house := servertest.Start(t, servertest.Options{})
	house.User(house.In("default"), "alice")
	app := newApplication(t, house, manage.ClientSpec{})
	tab := chromium.Tab(t, house.Base, app.URL)
	forge := func(address, token string) {
		t.Helper()
		to, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		fields := url.Values{"username": {"alice"}, "password": {servertest.Password}, "csrf_token": {token}, "action": {"allow"}}
		to.RawQuery = to.RawQuery + "&" + fields.Encode()
		tab.Open(app.URL+"/ask?"+url.Values{"to": {to.String()}}.Encode(), "Application")
		tab.Press("post", "Request error")
		if tab.Status() != 403 && tab.Status() != 400 {
			t.Errorf("a forged form for %s is answered with %d", address, tab.Status())
		}
	}
	token := "document.querySelector('[name=csrf_token]').value"

	tab.Open(app.AuthorizeURL(), "Sign in")
	page, secret := tab.Ask("location.href"), tab.Ask(token)
	forge(page, secret)
	tab.Open(app.AuthorizeURL("prompt", "none"), "Arrived")
	if got := app.arrived(t, "GET", "the-state"); got.Get("error") != "login_required" {
		t.Errorf("arrived with %v", got)
	}

	tab.Open(page, "Sign in")
	tab.SignIn("alice", servertest.Password, "Allow access")
	forge(tab.Ask("location.href"), tab.Ask(token))
	tab.Open(app.AuthorizeURL("prompt", "none"), "Arrived")
	if got := app.arrived(t, "GET", "the-state"); got.Get("error") != "consent_required" {
		t.Errorf("arrived with %v", got)
	}
}
