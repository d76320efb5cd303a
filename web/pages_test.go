package web

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"golang.org/x/net/html"
	"golang.org/x/text/language"

	"github.com/keizer-auth/keizer/internal/messages"
	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/requestid"
	"github.com/keizer-auth/keizer/internal/tenant"
)

func newPages(t *testing.T, o Options) *Pages {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	pages, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

var acme = &tenant.Org{ID: uuid.New(), Slug: "acme", Name: "Acme", Issuer: "https://id.example/o/acme", BasePath: "/o/acme"}

// answer runs a handler for one request of an organization.
func answer(r *http.Request, org *tenant.Org, handler func(*gin.Context)) *httptest.ResponseRecorder {
	gin.SetMode(gin.TestMode)
	w := httptest.NewRecorder()
	c, _ := gin.CreateTestContext(w)
	ctx := requestid.With(r.Context(), "REQUEST-ID")
	if org != nil {
		ctx = tenant.With(ctx, org)
	}
	c.Request = r.WithContext(ctx)
	handler(c)
	c.Writer.WriteHeaderNow()
	return w
}

func get(target string) *http.Request { return httptest.NewRequest(http.MethodGet, target, nil) }

// show renders a page as a visitor of acme gets it.
func show(t *testing.T, pages *Pages, name string, page Page) *httptest.ResponseRecorder {
	t.Helper()
	return answer(get("/"), acme, func(c *gin.Context) {
		if err := pages.Render(c, http.StatusOK, name, page); err != nil {
			t.Fatal(err)
		}
	})
}

// element is a start tag, with the text that follows it up to the next tag.
type element struct {
	name  string
	attrs map[string]string
	text  string
}

func elements(t *testing.T, body string) []element {
	t.Helper()
	var found []element
	open := false
	tokens := html.NewTokenizer(strings.NewReader(body))
	for {
		switch tokens.Next() {
		case html.ErrorToken:
			return found
		case html.TextToken:
			if open {
				found[len(found)-1].text += string(tokens.Text())
			}
		case html.EndTagToken:
			open = false
		case html.StartTagToken, html.SelfClosingTagToken:
			open = true
			token := tokens.Token()
			e := element{name: token.Data, attrs: map[string]string{}}
			for _, attr := range token.Attr {
				if _, twice := e.attrs[attr.Key]; twice {
					t.Errorf("<%s> has %s twice", e.name, attr.Key)
				}
				e.attrs[attr.Key] = attr.Val
			}
			found = append(found, e)
		}
	}
}

func TestEveryPageIsWhole(t *testing.T) {
	pages := newPages(t, Options{})
	for name, kind := range kinds {
		for i, sample := range kind.samples {
			t.Run(fmt.Sprintf("%s %d", name, i), func(t *testing.T) {
				w := show(t, pages, name, sample)
				if got := w.Header().Get("Content-Type"); got != "text/html; charset=utf-8" {
					t.Errorf("Content-Type %q", got)
				}
				checkPage(t, w.Body.String(), kind.script != "" || kind.file != "")
			})
		}
	}
}

// checkPage holds a page against what every page promises: it needs no script, no style of its own and nothing from
// elsewhere, and it can be used by ear and by keyboard (WCAG 2.2 AA).
func checkPage(t *testing.T, body string, mayScript bool) {
	t.Helper()
	ids := map[string]bool{}
	var described, labelled, ticked []string
	headings, scripts := 0, 0
	for _, e := range elements(t, body) {
		if id, ok := e.attrs["id"]; ok {
			if ids[id] {
				t.Errorf("the id %s is there twice", id)
			}
			ids[id] = true
		}
		for attr, value := range e.attrs {
			if strings.HasPrefix(attr, "on") || attr == "style" {
				t.Errorf("<%s %s=%q> is inline", e.name, attr, value)
			}
		}
		for _, attr := range []string{"aria-describedby", "aria-labelledby"} {
			described = append(described, strings.Fields(e.attrs[attr])...)
		}
		switch e.name {
		case "html":
			if e.attrs["lang"] != "en" || e.attrs["dir"] != "ltr" {
				t.Errorf("html has lang %q and dir %q", e.attrs["lang"], e.attrs["dir"])
			}
		case "h1":
			if headings++; e.attrs["id"] != "page-title" || e.text == "" {
				t.Errorf("the heading is %+v", e)
			}
		case "script":
			if scripts++; len(e.attrs) != 0 && !strings.HasPrefix(e.attrs["src"], "/static/") {
				t.Errorf("a script comes from elsewhere: %v", e.attrs)
			}
		case "link":
			if !strings.HasPrefix(e.attrs["href"], "/static/") {
				t.Errorf("the page asks for %q", e.attrs["href"])
			}
		case "img":
			if _, ok := e.attrs["alt"]; !ok || !strings.HasPrefix(e.attrs["src"], "data:image/") && !strings.HasPrefix(e.attrs["src"], "/") {
				t.Errorf("a picture is %v", e.attrs)
			}
		case "iframe":
			if e.attrs["class"] != "frontchannel" || e.attrs["sandbox"] != "allow-scripts allow-same-origin" {
				t.Errorf("there is an <iframe> %v", e.attrs)
			}
		case "style", "object", "embed", "base":
			t.Errorf("there is a <%s>", e.name)
		case "form":
			if e.attrs["method"] != "post" {
				t.Errorf("a form is sent by %q", e.attrs["method"])
			}
		case "label":
			labelled = append(labelled, e.attrs["for"])
		case "input":
			if _, hidden := e.attrs["hidden"]; hidden || e.attrs["type"] == "hidden" {
				continue
			}
			if e.attrs["type"] == "checkbox" {
				ticked = append(ticked, e.attrs["id"]) // its label stands behind it
			} else if !slices.Contains(labelled, e.attrs["id"]) {
				t.Errorf("the field %q has no label before it", e.attrs["id"])
			}
			if e.attrs["autocomplete"] == "" {
				t.Errorf("the field %q does not say what it is for", e.attrs["id"])
			}
			if e.attrs["type"] == "password" && e.attrs["value"] != "" {
				t.Error("a password is sent back")
			}
			if e.attrs["aria-invalid"] == "true" && e.attrs["aria-describedby"] == "" {
				t.Errorf("what is wrong with %q is not tied to it", e.attrs["id"])
			}
		case "button":
			if e.attrs["type"] != "submit" || e.attrs["id"] == "" {
				t.Errorf("a button is %v", e.attrs)
			}
		}
	}
	if headings != 1 {
		t.Errorf("there are %d headings of the first rank", headings)
	}
	if want := 0; !mayScript && scripts != want || mayScript && scripts != 1 {
		t.Errorf("there are %d scripts", scripts)
	}
	for _, id := range ticked {
		if !slices.Contains(labelled, id) {
			t.Errorf("the box %q has no label", id)
		}
	}
	for _, id := range described {
		if !ids[id] {
			t.Errorf("something refers to #%s, which is not there", id)
		}
	}
	if strings.Contains(body, "<no value>") || strings.Contains(body, "ZgotmplZ") {
		t.Error("html/template gave up on something")
	}
}

func TestNoTwoAreasHaveAPageOfOneName(t *testing.T) {
	sum := 0
	for _, area := range []map[string]kind{commonKinds, loginKinds, signupKinds, factorKinds, accountKinds, mailboxKinds, federationKinds} {
		sum += len(area)
	}
	if sum != len(kinds) {
		t.Errorf("the areas have %d pages, and together they are %d", sum, len(kinds))
	}
	for name, kind := range kinds {
		if kind.script != "" && kind.file != "" {
			t.Errorf("page %s has two scripts", name)
		}
	}
}

func TestHeadingsAndControlsAreWherePeopleAndAutomationLookForThem(t *testing.T) {
	pages := newPages(t, Options{})
	for _, want := range []struct {
		name  string
		page  Page
		title string
		ids   []string
	}{
		{"login", SignInPage{Cancel: true}, "Sign in", []string{"username", "password", "login-submit", "login-cancel"}},
		{"consent", ConsentPage{}, "Allow access", []string{"consent-allow", "consent-deny"}},
		{"error", ErrorPage{}, "Request error", nil},
		{"error", ErrorPage{Heading: TitleLogoutError}, "Sign-out error", nil},
		{"logout", LogoutPage{UserName: "alice", Others: []string{"bob"}}, "Sign out?", []string{"logout-confirm", "logout-all"}},
		{
			"select", SelectPage{Accounts: []AccountChoice{{Session: "1"}, {Session: "2"}}, Cancel: true, SignOut: true}, "Choose an account",
			[]string{"account-1", "account-2", "select-another", "select-cancel", "select-sign-out"},
		},
		{"logged_out", LoggedOutPage{}, "Signed out", nil},
		{"setup", SetupPage{}, "Set up Keizer", []string{"organization-name", "organization-slug", "username", "email", "password", "setup-submit"}},
		{"setup_done", SetupDonePage{}, "Keizer is set up", nil},
	} {
		t.Run(want.title, func(t *testing.T) {
			var title string
			ids := map[string]bool{}
			for _, e := range elements(t, show(t, pages, want.name, want.page).Body.String()) {
				if e.name == "h1" {
					title = e.text
				}
				ids[e.attrs["id"]] = true
			}
			if title != want.title {
				t.Errorf("the heading says %q", title)
			}
			for _, id := range want.ids {
				if !ids[id] {
					t.Errorf("there is no #%s", id)
				}
			}
		})
	}
}

func TestTheWindowsTitleSaysFirstThatSomethingIsWrong(t *testing.T) {
	pages := newPages(t, Options{})
	for problem, want := range map[string]string{"": "<title>Sign in · Acme</title>", "login.failed": "<title>Error: Sign in · Acme</title>"} {
		page := SignInPage{Problem: problem}
		if body := show(t, pages, "login", page).Body.String(); !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
}

// The payloads of S-016 and S-017, and some more.
var payloads = []string{
	`"><script>alert(1)</script>`, `'><script>alert(1)</script>`, `</form><form action="https://evil.example">`, `</title><script>alert(1)</script>`,
	`<img src=x onerror=alert(1)>`, `" autofocus onfocus="alert(1)`, `' onfocus='alert(1)`, `javascript:alert(1)`, `JaVaScRiPt:alert(1)`,
	"java\tscript:alert(1)", `data:text/html,<script>alert(1)</script>`, `vbscript:x`, `&#60;script&#62;alert(1)`, `&lt;script&gt;`, `{{.}}`, "${alert(1)}",
	"\u2028alert(1)\u2029", "\x00<script>", "\xff\xfe<script>alert(1)</script>", `<!--`, `-->`, `]]>`, `<svg/onload=alert(1)>`, "`onclick=alert(1)`",
	`</script><script>alert(1)</script>`, `//evil.example`, `https://evil.example/"onmouseover="alert(1)`, strings.Repeat(`"><b>`, 1024),
}

// fill sets every text of a page's data.
func fill(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.String:
		if v.CanSet() {
			v.SetString(text)
		}
	case reflect.Bool:
		if v.CanSet() {
			v.SetBool(true)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), text)
		}
	case reflect.Slice:
		if v.CanSet() {
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		}
		for i := range v.Len() {
			fill(v.Index(i), text)
		}
	case reflect.Map:
		if problems, ok := v.Interface().(map[string]string); ok && v.CanSet() {
			made := map[string]string{"organization_name": text, "organization_slug": text, "username": text, "email": text, "password": text, "name": text}
			for name := range problems {
				made[name] = text
			}
			v.Set(reflect.ValueOf(made))
		}
	}
}

func filled(sample Page, text string) Page {
	v := reflect.New(reflect.TypeOf(sample)).Elem()
	v.Set(reflect.ValueOf(sample))
	fill(v, text)
	page := v.Interface().(Page)
	if consent, ok := page.(ConsentPage); ok {
		// Ids of texts are ours; only names come from elsewhere.
		for i := range consent.Scopes {
			consent.Scopes[i].Text, consent.Scopes[i].Detail = "", ""
		}
	}
	return page
}

func TestNothingThatIsShownBecomesPartOfThePage(t *testing.T) {
	pages := newPages(t, Options{})
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			sample := kind.samples[0]
			plain := shape(t, show(t, pages, name, filled(sample, "x")).Body.String())
			for _, payload := range payloads {
				body := show(t, pages, name, filled(sample, payload)).Body.String()
				if got := shape(t, body); !slices.Equal(got, plain) {
					t.Errorf("%q changes the page:\n%v\n%v", payload, got, plain)
				}
				for _, e := range elements(t, body) {
					for attr, value := range e.attrs {
						if attr != "href" && attr != "action" {
							continue
						}
						u, err := url.Parse(value)
						if err != nil || u.Scheme != "" && u.Scheme != "https" && u.Scheme != "http" {
							t.Errorf("%q leads to %s=%q", payload, attr, value)
						}
					}
				}
			}
		})
	}
}

// shape is a page without its texts: elements and the names of their attributes. Links that are left out because of what they
// would lead to are no change of shape.
func shape(t *testing.T, body string) []string {
	var shape []string
	for _, e := range elements(t, body) {
		if slices.Contains([]string{"a", "nav", "ul", "li", "dl", "div", "p", "span", "bdi"}, e.name) {
			continue
		}
		var names []string
		for name := range e.attrs {
			names = append(names, name)
		}
		slices.Sort(names)
		shape = append(shape, e.name+" "+strings.Join(names, " "))
	}
	return shape
}

func TestOnlySafeAddressesBecomeLinks(t *testing.T) {
	for address, want := range map[string]string{
		"https://app.example/privacy?a=1#b": "https://app.example/privacy?a=1#b",
		"http://app.example/":               "", "javascript:alert(1)": "", "\tjavascript:alert(1)": "", "data:text/html,x": "", "//app.example/": "",
		"/relative": "", "https:app.example": "", "https://": "", "https://user:pass@app.example/": "", "": "", "https://app.example:x/": "",
	} {
		if got := httpsOnly(address); got != want {
			t.Errorf("httpsOnly(%q) = %q", address, got)
		}
	}
	for address, want := range map[string]string{
		"https://app.example/": "https://app.example/", "http://127.0.0.1:999/cb": "http://127.0.0.1:999/cb", "http://localhost/": "http://localhost/",
		"http://[::1]:80/": "http://[::1]:80/", "http://localhost.evil.example/": "", "http://app.example/": "", "com.example.app:/cb": "", "javascript:x": "",
	} {
		if got := backLink(address); got != want {
			t.Errorf("backLink(%q) = %q", address, got)
		}
	}
}

func TestAPageSaysWhereItsFormsMayLead(t *testing.T) {
	pages := newPages(t, Options{})
	for name, kind := range kinds {
		csp := show(t, pages, name, kind.samples[0]).Header().Get("Content-Security-Policy")
		for _, directive := range []string{"default-src 'none'", "style-src 'self'", "img-src 'self' data:", "base-uri 'none'", "object-src 'none'", "frame-ancestors 'none'"} {
			if !strings.Contains(csp, directive) {
				t.Errorf("%s: no %s in %q", name, directive, csp)
			}
		}
		if strings.Contains(csp, "form-action 'self'") == kind.leaves {
			t.Errorf("%s: %q", name, csp)
		}
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "script-src") != (kind.script != "" || kind.file != "") {
			t.Errorf("%s: %q", name, csp)
		}
	}
}

func TestAPageIsNeverWithoutItsHeaders(t *testing.T) {
	for _, https := range []bool{true, false} {
		h := show(t, newPages(t, Options{HTTPS: https}), "login", SignInPage{}).Header()
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Content-Language": "en",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s is %q", name, got)
			}
		}
		if got := h.Get("Strict-Transport-Security") != ""; got != https {
			t.Errorf("HSTS is %v, https %v", got, https)
		}
		if h.Get("Permissions-Policy") == "" {
			t.Error("there is no Permissions-Policy")
		}
	}
}

func TestAPageOfAnotherKindIsAnErrorAndNotHalfAPage(t *testing.T) {
	pages := newPages(t, Options{})
	for name, page := range map[string]Page{"login": ConsentPage{}, "nowhere": SignInPage{}} {
		w := answer(get("/"), acme, func(c *gin.Context) {
			if err := pages.Render(c, http.StatusOK, name, page); err == nil {
				t.Errorf("%s shows a %T", name, page)
			}
		})
		if w.Body.Len() > 0 {
			t.Errorf("%s: something was written: %s", name, w.Body)
		}
	}
	w := answer(get("/"), acme, func(c *gin.Context) {
		if err := pages.Render(c, http.StatusOK, "consent", ConsentPage{Scopes: []Scope{{Text: "no.such.text"}}}); err == nil {
			t.Error("a text that does not exist is shown")
		}
	})
	if w.Body.Len() > 0 {
		t.Errorf("half a page was written: %s", w.Body)
	}
}

func TestAFormPostCarriesEveryByteToTheAddressThatWasRegistered(t *testing.T) {
	pages := newPages(t, Options{})
	for _, address := range []string{
		"https://app.example/cb", "https://app.example/cb?x=(1)&y='2'&z=%7E!*", "http://127.0.0.1:5000/cb", "https://app.example/a&amp;b",
	} {
		for _, payload := range payloads {
			w := answer(get("/"), acme, func(c *gin.Context) {
				if err := pages.FormPost(c, address, url.Values{"state": {payload}, "code": {"c"}, "submit": {"x"}}); err != nil {
					t.Fatal(err)
				}
			})
			var action string
			fields := url.Values{}
			var script string
			for _, e := range elements(t, w.Body.String()) {
				switch e.name {
				case "form":
					action = e.attrs["action"]
				case "input":
					fields.Add(e.attrs["name"], e.attrs["value"])
				case "script":
					script += e.text
				}
			}
			if action != address {
				t.Fatalf("the form goes to %q, not %q", action, address)
			}
			// HTML has no NUL, and a page is UTF-8: what is neither cannot be carried in one.
			want := strings.ReplaceAll(strings.ToValidUTF8(payload, "\uFFFD"), "\x00", "\uFFFD")
			if got := strings.ToValidUTF8(fields.Get("state"), "\uFFFD"); got != want && len(got) != len(want) || len(fields) != 3 {
				t.Errorf("the fields of %q are %q", payload, fields)
			}
			sum := sha256.Sum256([]byte(script))
			if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
				t.Errorf("the script %q may not run by %q", script, csp)
			}
		}
	}
}

func TestAFormIsNotPostedWhereABrowserCannotPost(t *testing.T) {
	pages := newPages(t, Options{})
	for _, address := range []string{"com.example.app:/cb", "javascript:alert(1)", "data:text/html,x", "/cb", "https:///cb", "https://app.example/\ncb", ":", ""} {
		w := answer(get("/"), acme, func(c *gin.Context) {
			if err := pages.FormPost(c, address, url.Values{"code": {"c"}}); err == nil {
				t.Errorf("%q is posted to", address)
			}
		})
		if w.Body.Len() > 0 {
			t.Errorf("%q: %s", address, w.Body)
		}
	}
}

func TestEveryTextIsThereAndIsUsed(t *testing.T) {
	// An id is written out wherever it is used: in a template, or in the code of the pages.
	quoted := regexp.MustCompile(`"([a-z_]+\.[a-z_]+(?:\.[a-z_]+)?)"`)
	asked := regexp.MustCompile(`\.T "([^"]+)"`)
	used := map[string]bool{}
	catalog, err := messages.Load()
	if err != nil {
		t.Fatal(err)
	}
	english := catalog.In(language.English)
	for _, pattern := range []string{"templates/*.html", "*.go", "../login/*.go", "../login/*/*.go", "../provider/*.go", "../people/*.go", "../manage/*.go", "../internal/mail/*.go", "../internal/password/*.go", "../server/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, match := range quoted.FindAllStringSubmatch(string(body), -1) {
				used[match[1]] = true
			}
			for _, match := range asked.FindAllStringSubmatch(string(body), -1) {
				if !english.Has(match[1]) {
					t.Errorf("%s asks for %q", file, match[1])
				}
			}
		}
	}
	// Of the product's own permissions each is described on the page on which a token for it is asked for.
	for _, scope := range Scopes(permissionNames(), nil) {
		if !english.Has(scope.Text) {
			t.Errorf("nothing says what %s is for", scope.Name)
		}
		used[scope.Text] = true
	}
	for _, id := range english.IDs() {
		if !used[id] {
			t.Errorf("the text %q is used nowhere", id)
		}
	}
}

func permissionNames() (names []string) {
	for _, p := range permission.All() {
		names = append(names, p.Name)
	}
	return names
}

func TestANameIsShownOnOneLineAndCannotTurnTheTextAround(t *testing.T) {
	for name, want := range map[string]string{
		"Notes": "Notes", "  Notes\r\n\tof\u00a0mine  ": "Notes   of mine", "a\u202egnp.exe": "agnp.exe", "\u2066x\u2069": "x", "a\x00b": "ab",
		"caf\xe9": "caf\uFFFD", "نرم\u200cافزار": "نرم\u200cافزار", strings.Repeat("ß", 100): strings.Repeat("ß", 80) + "…", "": "",
	} {
		if got := display(name); got != want && strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
			t.Errorf("display(%q) = %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{
		"Field Notes": "FN", "notes": "N", "the big app": "TB", "éa öb": "ÉÖ", "": "·", "!!!": "·", "4 you": "4Y", "写真 帳": "写帳", `"><script>`: "S",
	} {
		if got := initials(name); got != want {
			t.Errorf("initials(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestTheLanguageIsWhatTheApplicationAsksThenThePersonThenTheBrowser(t *testing.T) {
	languages, err := newLanguages()
	if err != nil {
		t.Fatal(err)
	}
	for _, wishes := range [][3]string{
		{}, {"en", "", ""}, {"xx-YY nonsense \x00", "", "de"}, {"", "en-GB", "de"}, {"", "", "de;q=0.9, en;q=0.1"}, {"", "%%%", strings.Repeat("a-", 1000)},
		{strings.Repeat("de ", 10000), "", ""}, {"", strings.Repeat("-", 5000), ""}, {"'\"><script>", "", "*"},
	} {
		if got := languages.negotiate(fromLocales(wishes[0]), wishes[1], wishes[2]); got.Tag() != language.English {
			t.Errorf("%q is answered in %v", wishes, got.Tag())
		}
	}
}

func TestAStaticFileIsKeptForEverUnderANameThatSaysWhatIsInIt(t *testing.T) {
	pages := newPages(t, Options{})
	address := regexp.MustCompile(`/static/keizer\.[0-9a-f]{16}\.css`).FindString(show(t, pages, "login", SignInPage{}).Body.String())
	if address == "" {
		t.Fatal("the page has no style sheet")
	}
	w := httptest.NewRecorder()
	pages.Static().ServeHTTP(w, get(address))
	if w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" ||
		w.Header().Get("Content-Type") != "text/css; charset=utf-8" || w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Body.Len() == 0 {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if body := w.Body.String(); strings.Contains(body, "@import") || strings.Contains(body, "url(") {
		t.Error("the style sheet asks for something else")
	}
	for _, other := range []string{"/static/", "/static/keizer.css", "/static/keizer.0000000000000000.css", "/static/../pages.go", "/static/%2e%2e/pages.go", address + "/"} {
		w := httptest.NewRecorder()
		pages.Static().ServeHTTP(w, get(other))
		if w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", other, w.Code)
		}
	}
}
