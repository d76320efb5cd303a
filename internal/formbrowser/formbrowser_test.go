package formbrowser_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/internal/formbrowser"
	"github.com/keizer-auth/keizer/internal/providertest"
	"github.com/keizer-auth/keizer/internal/relyingparty"
)

const redirectURI = "http://127.0.0.1:9999/cb"

// site serves pages by path; /echo answers with the request as text.
func site(t *testing.T, pages map[string]string) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	for path, page := range pages {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, page)
		})
	}
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintf(w, "%s query[%s] body[%s]", r.Method, r.URL.RawQuery, r.PostForm.Encode())
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func open(t *testing.T, b *formbrowser.Browser, address string) *formbrowser.Page {
	t.Helper()
	page, err := b.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func click(t *testing.T, p *formbrowser.Page, id string) *formbrowser.Page {
	t.Helper()
	next, err := p.Click(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func fill(t *testing.T, p *formbrowser.Page, id, value string) {
	t.Helper()
	if err := p.Fill(id, value); err != nil {
		t.Fatal(err)
	}
}

func TestASignInEndsAtTheRedirectURIWithTheCode(t *testing.T) {
	for _, mode := range []string{"", "form_post"} {
		t.Run("response_mode="+mode, func(t *testing.T) {
			provider := providertest.New(t, providertest.Faults{})
			client, err := relyingparty.Discover(t.Context(), relyingparty.Config{
				Issuer: provider.URL, ClientID: providertest.ClientID, RedirectURI: redirectURI, HTTP: provider.Client(),
			})
			if err != nil {
				t.Fatal(err)
			}
			request := client.Begin(relyingparty.Ask{ResponseMode: mode, LoginHint: "bob"})
			browser := formbrowser.New(formbrowser.Options{HTTP: provider.Client(), StopAt: redirectURI})

			page := open(t, browser, request.URL)
			if page.Title != "Sign in" || page.Value("username") != "bob" {
				t.Fatalf("%q, user name %q", page.Title, page.Value("username"))
			}
			fill(t, page, "username", providertest.Username)
			fill(t, page, "password", "wrong")
			page = click(t, page, "login-submit")
			if page.Status != http.StatusBadRequest || page.Text("error") != "Wrong user name or password." {
				t.Fatalf("%d %q", page.Status, page.Text("error"))
			}
			fill(t, page, "password", providertest.Password)
			page = click(t, page, "login-submit")
			if page.Title != "Allow access" {
				t.Fatal(page.Title)
			}
			page = click(t, page, "consent-allow")
			answer, ok := page.Arrived()
			if !ok || page.URL.Host != "127.0.0.1:9999" {
				t.Fatalf("stopped at %s", page.URL)
			}
			code, err := client.Code(request, answer)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.Redeem(t.Context(), request, code); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestCancelNeedsNoPassword(t *testing.T) {
	provider := providertest.New(t, providertest.Faults{})
	client, err := relyingparty.Discover(t.Context(), relyingparty.Config{
		Issuer: provider.URL, ClientID: providertest.ClientID, RedirectURI: redirectURI, HTTP: provider.Client(),
	})
	if err != nil {
		t.Fatal(err)
	}
	request := client.Begin(relyingparty.Ask{})
	page := open(t, formbrowser.New(formbrowser.Options{StopAt: redirectURI}), request.URL)
	if _, err := page.Click(t.Context(), "login-submit"); err == nil || !strings.Contains(err.Error(), "#username is required") {
		t.Errorf("an empty form was sent: %v", err)
	}
	answer, ok := click(t, page, "login-cancel").Arrived()
	if !ok || answer.Get("error") != "access_denied" {
		t.Errorf("%v", answer)
	}
}

func TestAFormIsSentAsABrowserSendsIt(t *testing.T) {
	const page = `<!doctype html><h1 id="page-title">A <b>form</b></h1>
<form action="/echo?gone=1" id="f" method="POST">
<input name="hidden" type="hidden" value="h&amp;1"><input name="text" id="text" value="old"><input id="nameless" value="x">
<input name="off" value="x" disabled><fieldset disabled><input name="fenced" value="x"></fieldset>
<input name="box" id="box" type="checkbox"><input name="ticked" id="ticked" type="checkbox" value="v" checked>
<input name="r" id="r1" type="radio" value="1" checked><input name="r" id="r2" type="radio" value="2">
<select name="list" id="list"><option value="a">A</option><option>b</option></select>
<textarea name="area" id="area">two
lines</textarea>
<button id="plain" type="button" name="plain" value="x">Nothing</button>
<button id="send" name="which" value="send">Send</button><input id="other" type="submit" name="which" value="other">
<button id="elsewhere" formaction="/echo" formmethod="get" name="which" value="elsewhere">Elsewhere</button>
</form><input name="outside" form="f" value="in"><button id="stray">Stray</button><a id="link" href="/echo?a=1">Link</a>`
	s := site(t, map[string]string{"/": page})
	browser := formbrowser.New(formbrowser.Options{})
	const untouched = "area=two%0Alines&hidden=h%261&list=a&outside=in&r=1&text=old&ticked=v"

	if p := open(t, browser, s.URL); p.Title != "A form" {
		t.Errorf("title %q", p.Title)
	}
	for id, want := range map[string]string{
		"send":      "POST query[gone=1] body[" + untouched + "&which=send]",
		"other":     "POST query[gone=1] body[" + untouched + "&which=other]",
		"elsewhere": "GET query[" + untouched + "&which=elsewhere] body[]",
		"link":      "GET query[a=1] body[]",
	} {
		if got := click(t, open(t, browser, s.URL), id).Body; got != want {
			t.Errorf("#%s:\n got %s\nwant %s", id, got, want)
		}
	}

	p := open(t, browser, s.URL)
	fill(t, p, "text", "new é")
	fill(t, p, "box", "on")
	fill(t, p, "ticked", "")
	fill(t, p, "r2", "on")
	fill(t, p, "list", "b")
	fill(t, p, "area", "")
	next, err := p.Submit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := "POST query[gone=1] body[area=&box=on&hidden=h%261&list=b&outside=in&r=2&text=new+%C3%A9&which=send]"; next.Body != want {
		t.Errorf("\n got %s\nwant %s", next.Body, want)
	}
	for _, id := range []string{"plain", "stray", "text", "nothing", ""} {
		if _, err := p.Click(t.Context(), id); err == nil {
			t.Errorf("#%s was pressed", id)
		}
	}
	if err := p.Fill("nothing", "x"); !errors.Is(err, formbrowser.ErrNoSuchControl) {
		t.Errorf("%v", err)
	}
	if err := p.Fill("list", "no such option"); err == nil {
		t.Error("chose what is not offered")
	}
}

func TestTheWalkStopsOnlyAtTheAddressItself(t *testing.T) {
	for _, location := range []string{
		"http://127.0.0.1:99991/cb", "http://127.0.0.1:9999/cb/x", "http://127.0.0.1:9999.evil.example/cb", "https://127.0.0.1:9999/cb", "http://127.0.0.1:9999@evil.example/cb",
		"javascript:alert(1)", "com.example.app:/cb", "file:///etc/passwd",
	} {
		s := httptest.NewServer(http.RedirectHandler(location, http.StatusSeeOther))
		page, err := formbrowser.New(formbrowser.Options{StopAt: redirectURI}).Open(t.Context(), s.URL)
		if err == nil {
			t.Errorf("%s: %+v", location, page.Hops)
		}
		s.Close()
	}
	for stop, location := range map[string]string{
		redirectURI:           redirectURI + "?code=1&state=a%20b",
		"com.example.app:/cb": "com.example.app:/cb?code=1&state=a+b",
		redirectURI + "?keep": redirectURI + "?keep&code=1&state=a+b",
		redirectURI + "#":     redirectURI + "#code=1&state=a+b",
	} {
		s := httptest.NewServer(http.RedirectHandler(location, http.StatusSeeOther))
		page, err := formbrowser.New(formbrowser.Options{StopAt: stop}).Open(t.Context(), s.URL)
		if err != nil {
			t.Fatal(err)
		}
		answer, ok := page.Arrived()
		if !ok || answer.Get("code") != "1" || answer.Get("state") != "a b" {
			t.Errorf("%s: %v", location, answer)
		}
		if last := page.Hops[len(page.Hops)-1]; last.Status != 0 || last.URL != location {
			t.Errorf("%+v", last)
		}
		s.Close()
	}
}

func TestARedirectKeepsTheMethodOnlyWhereItMust(t *testing.T) {
	for status, want := range map[int]string{301: "GET", 302: "GET", 303: "GET", 307: "POST", 308: "POST"} {
		s := site(t, nil)
		const page = `<form method="post" action="/there"><input name="a" value="1"><button id="b">Go</button></form>`
		front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/there" {
				http.Redirect(w, r, s.URL+"/echo", status)
				return
			}
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, page)
		}))
		got := click(t, open(t, formbrowser.New(formbrowser.Options{}), front.URL), "b").Body
		if !strings.HasPrefix(got, want) || strings.Contains(got, "body[a=1]") != (want == "POST") {
			t.Errorf("%d: %s", status, got)
		}
		front.Close()
	}
}

func TestAWalkInACircleEnds(t *testing.T) {
	var s *httptest.Server
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, s.URL, http.StatusFound) }))
	defer s.Close()
	if _, err := formbrowser.New(formbrowser.Options{}).Open(t.Context(), s.URL); err == nil || !strings.Contains(err.Error(), "redirects") {
		t.Errorf("%v", err)
	}
}

func TestCookiesGoWhereABrowserSendsThem(t *testing.T) {
	var got string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Cookie")
		for _, line := range []string{
			"plain=1; Path=/; HttpOnly; SameSite=Lax", "secure=1; Path=/; Secure", "__Host-good=1; Path=/; Secure",
			"__Host-path=1; Path=/x; Secure", "__Host-domain=1; Path=/; Secure; Domain=localhost", "__Host-insecure=1; Path=/", "__Secure-insecure=1; Path=/",
			"none=1; Path=/; SameSite=None", "deep=1; Path=/deep", "dead=1; Path=/; Max-Age=0",
		} {
			w.Header().Add("Set-Cookie", line)
		}
	}))
	defer s.Close()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	base := "http://localhost:" + u.Port()
	b := formbrowser.New(formbrowser.Options{})
	open(t, b, base)
	open(t, b, base+"/deep/er")
	if want := "deep=1; plain=1; secure=1; __Host-good=1"; got != want {
		t.Errorf("sent %q, want %q", got, want)
	}
	open(t, b, s.URL)
	if got != "" {
		t.Errorf("another host got %q", got)
	}
	if n := len(b.Cookies(base)); n != 3 {
		t.Errorf("%d cookies for the base", n)
	}
	b.SetCookie(base, &http.Cookie{Name: "planted", Value: "1", Path: "/"})
	open(t, b, base)
	if !strings.Contains(got, "planted=1") {
		t.Errorf("sent %q", got)
	}
	b.ForgetCookies()
	open(t, b, base)
	if got != "" {
		t.Errorf("after forgetting: %q", got)
	}
}

func TestRequestsSayWhereTheyComeFrom(t *testing.T) {
	var seen http.Header
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header
		w.Header().Add("Set-Cookie", "lax=1; Path=/; SameSite=Lax")
		w.Header().Add("Set-Cookie", "silent=1; Path=/")
		w.Header().Add("Set-Cookie", "none=1; Path=/; SameSite=None; Secure")
	}))
	defer target.Close()
	policy := ""
	form := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Referrer-Policy", policy)
		fmt.Fprintf(w, `<form method="post" action="/self"><button id="self">Self</button></form>
			<form method="post" action="%s"><button id="away">Away</button></form>`, strings.Replace(target.URL, "127.0.0.1", "localhost", 1))
	}))
	defer form.Close()
	b := formbrowser.New(formbrowser.Options{})
	expect := func(what, site, origin string) {
		t.Helper()
		if seen.Get("Sec-Fetch-Site") != site || seen.Get("Origin") != origin {
			t.Errorf("%s: Sec-Fetch-Site %q, Origin %q", what, seen.Get("Sec-Fetch-Site"), seen.Get("Origin"))
		}
	}
	away := strings.Replace(target.URL, "127.0.0.1", "localhost", 1)
	open(t, b, away)
	open(t, b, away)
	if got := seen.Get("Cookie"); got != "lax=1; silent=1; none=1" {
		t.Errorf("typed in: %q", got)
	}
	page := open(t, b, form.URL)
	expect("typed in", "none", "")
	click(t, page, "self")
	expect("to itself", "same-origin", form.URL)
	click(t, page, "away")
	expect("to another host", "cross-site", form.URL)
	if got := seen.Get("Cookie"); got != "none=1" {
		t.Errorf("with a form of another site come %q", got)
	}
	policy = "no-referrer"
	page = open(t, b, form.URL)
	click(t, page, "self")
	expect("to itself, saying nothing", "same-origin", "null")
}

func TestAnIncompleteFormIsSentWhenAsked(t *testing.T) {
	s := site(t, map[string]string{
		"/":      `<form method="post" action="/echo"><input id="a" name="a" required><button id="b">Go</button></form>`,
		"/radio": `<form method="post" action="/echo"><input type="radio" id="y" name="a" value="y" required><input type="radio" name="a" value="n" required><button id="b">Go</button></form>`,
	})
	if _, err := open(t, formbrowser.New(formbrowser.Options{}), s.URL).Click(t.Context(), "b"); err == nil {
		t.Error("sent")
	}
	if got := click(t, open(t, formbrowser.New(formbrowser.Options{SendIncomplete: true}), s.URL), "b").Body; !strings.Contains(got, "body[a=]") {
		t.Error(got)
	}
	page := open(t, formbrowser.New(formbrowser.Options{}), s.URL+"/radio")
	if _, err := page.Click(t.Context(), "b"); err == nil {
		t.Error("sent without a choice")
	}
	fill(t, page, "y", "on")
	if got := click(t, page, "b").Body; !strings.Contains(got, "body[a=y]") {
		t.Error(got)
	}
}

func TestAPageThatIsNotHTMLHasNoForms(t *testing.T) {
	s := site(t, nil)
	page := open(t, formbrowser.New(formbrowser.Options{}), s.URL+"/echo")
	if _, ok := page.Arrived(); ok || page.Has("x") || page.Title != "" || page.Text("x") != "" {
		t.Errorf("%+v", page)
	}
	if _, err := page.Submit(t.Context()); err == nil {
		t.Error("submitted")
	}
}

func FuzzPage(f *testing.F) {
	f.Add(`<form method=post action=/x><input name=a id=a><button id=b>`)
	f.Add(`<select id=a><option><option selected><table><form><button id=b form=x>`)
	f.Fuzz(func(t *testing.T, page string) {
		b := formbrowser.New(formbrowser.Options{HTTP: &http.Client{Transport: canned(page)}})
		p, err := b.Open(t.Context(), "http://localhost/")
		if err != nil {
			return
		}
		_ = p.Fill("a", "x")
		_, _ = p.Click(t.Context(), "b")
		_, _ = p.Submit(t.Context())
	})
}

// canned answers every request with the same page.
type canned string

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "text/html")
	fmt.Fprint(w, string(c))
	resp := w.Result()
	resp.Request = r
	return resp, nil
}
