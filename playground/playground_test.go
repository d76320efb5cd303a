package playground_test

import (
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/formbrowser"
	"github.com/keizer-auth/keizer/internal/providertest"
	"github.com/keizer-auth/keizer/playground"
	"github.com/keizer-auth/keizer/web"
)

// start runs a provider with the playground on its origin, as the server does.
func start(t *testing.T, faults providertest.Faults) *providertest.Provider {
	t.Helper()
	gin.SetMode(gin.TestMode)
	provider := providertest.New(t, faults)
	log := slog.New(slog.DiscardHandler)
	pages, err := web.New(web.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	p, err := playground.New(playground.Deps{Base: provider.URL, Pages: pages, HTTP: provider.Client(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	router := gin.New()
	p.Mount(router.Group(playground.HomePath), func(h func(*gin.Context) error) gin.HandlerFunc {
		return func(c *gin.Context) {
			if err := h(c); err != nil {
				t.Errorf("%s %s: %v", c.Request.Method, c.Request.URL.Path, err)
				pages.Fail(c, err)
			}
		}
	})
	provider.Beside("/static/", pages.Static())
	provider.Beside(playground.HomePath, router)
	provider.Beside(playground.HomePath+"/", router)
	return provider
}

func open(t *testing.T, provider *providertest.Provider) *formbrowser.Page {
	t.Helper()
	page, err := formbrowser.New(formbrowser.Options{}).Open(t.Context(), provider.URL+playground.HomePath)
	if err != nil {
		t.Fatal(err)
	}
	if page.Status != http.StatusOK || page.Title != "Playground" {
		t.Fatalf("%d %q", page.Status, page.Title)
	}
	return page
}

func press(t *testing.T, page *formbrowser.Page, id string) *formbrowser.Page {
	t.Helper()
	next, err := page.Click(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func fill(t *testing.T, page *formbrowser.Page, values map[string]string) {
	t.Helper()
	for id, value := range values {
		if err := page.Fill(id, value); err != nil {
			t.Fatal(err)
		}
	}
}

// signIn goes from the playground's form through the provider's pages back to the playground.
func signIn(t *testing.T, page *formbrowser.Page) *formbrowser.Page {
	t.Helper()
	page = press(t, page, "playground-start")
	fill(t, page, map[string]string{"username": providertest.Username, "password": providertest.Password})
	page = press(t, press(t, page, "login-submit"), "consent-allow")
	if page.Has("continue") {
		page = press(t, page, "continue")
	}
	return page
}

func TestAWholeRunIsShown(t *testing.T) {
	for _, mode := range []string{"", "query", "form_post"} {
		t.Run("response_mode="+mode, func(t *testing.T) {
			page := open(t, start(t, providertest.Faults{}))
			fill(t, page, map[string]string{"response_mode": mode, "max_age": "0", "login_hint": "alice", "acr_values": "urn:x", "prompt": "login"})
			page = signIn(t, page)
			if page.URL.Path != playground.HomePath || page.URL.RawQuery != "" {
				t.Errorf("the run ends at %s", page.URL)
			}
			if got := page.Text("playground-verdict"); !strings.HasPrefix(got, "Signed in as Alice Doe. All ") {
				t.Fatalf("%q\n%s", got, page.Text("playground-failure"))
			}
			for id, want := range map[string]string{
				"playground-checks": "nonce", "playground-claims": providertest.Subject, "playground-userinfo": "alice@example.com",
				"callback": "RFC 9207", "wire": "curl --silent", "request": "code_challenge_method", "tokens": "It is opaque",
			} {
				if !strings.Contains(page.Text(id), want) {
					t.Errorf("#%s has no %q:\n%s", id, want, page.Text(id))
				}
			}
			if page.Value("login_hint") != "alice" || page.Value("response_mode") != mode || page.Value("prompt") != "login" {
				t.Error("the form has forgotten what was asked")
			}

			before := page.Text("tokens")
			page = press(t, page, "playground-refresh")
			if got := page.Text("playground-rotation"); !strings.HasPrefix(got, "Rotated.") {
				t.Errorf("%q", got)
			}
			if page.Text("tokens") == before || !strings.Contains(page.Text("playground-checks"), "refreshed sub") || page.Has("playground-failure") {
				t.Errorf("after the refresh:\n%s\n%s", page.Text("playground-failure"), page.Text("playground-checks"))
			}

			page = press(t, page, "playground-revoke")
			if !page.Has("playground-revoked") || page.Has("playground-refresh") || page.Has("playground-userinfo") || page.Has("playground-failure") {
				t.Errorf("after the revocation: %s", page.Text("content"))
			}
			if !strings.Contains(page.Text("wire"), "401") {
				t.Error("userinfo should have refused")
			}

			page = press(t, page, "playground-sign-out")
			if !page.Has("playground-signed-out") || page.Has("tokens") || page.Value("login_hint") != "alice" {
				t.Errorf("after the sign-out: %s", page.Text("content"))
			}
		})
	}
}

func TestLoadingThePageAgainRedeemsNothing(t *testing.T) {
	provider := start(t, providertest.Faults{})
	page := signIn(t, open(t, provider))
	var callback string
	for _, hop := range page.Hops {
		if strings.Contains(hop.URL, playground.CallbackPath) {
			callback = hop.URL
		}
	}
	browser := formbrowser.New(formbrowser.Options{})
	for _, address := range []string{callback, provider.URL + playground.CallbackPath, callback + "&state=again"} {
		for _, cookies := range []bool{true, false} {
			if cookies {
				cookie, err := http.ParseSetCookie(page.Header.Get("Set-Cookie"))
				if err == nil {
					browser.SetCookie(provider.URL, cookie)
				}
			}
			again, err := browser.Open(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			if again.Status != http.StatusBadRequest || !again.Has("playground-failure") || again.Has("tokens") {
				t.Errorf("%d %s", again.Status, again.Text("content"))
			}
		}
	}
}

func TestACallbackOfAnotherBrowserIsNotTaken(t *testing.T) {
	provider := start(t, providertest.Faults{})
	// Mallory takes the answer of a sign-in of her own to the callback of somebody who is about to sign in (RFC 9700 §4.7).
	mallory := formbrowser.New(formbrowser.Options{StopAt: provider.URL + playground.CallbackPath})
	page, err := mallory.Open(t.Context(), provider.URL+playground.HomePath)
	if err != nil {
		t.Fatal(err)
	}
	page = signIn(t, page)
	if _, arrived := page.Arrived(); !arrived {
		t.Fatalf("stopped at %s", page.URL)
	}
	victim := formbrowser.New(formbrowser.Options{})
	theirs, err := victim.Open(t.Context(), provider.URL+playground.HomePath)
	if err != nil {
		t.Fatal(err)
	}
	press(t, theirs, "playground-start")
	theirs, err = victim.Open(t.Context(), page.URL.String())
	if err != nil {
		t.Fatal(err)
	}
	if got := theirs.Text("playground-failure"); !strings.Contains(got, "callback") || !strings.Contains(got, "state") || theirs.Has("tokens") {
		t.Errorf("%q", got)
	}
}

func TestWhatIsWrongIsShownAndNotBelieved(t *testing.T) {
	for name, test := range map[string]struct {
		faults providertest.Faults
		step   string
		word   string
	}{
		"another nonce":    {providertest.Faults{Claims: func(c map[string]any) { c["nonce"] = "x" }}, "ID token", "nonce"},
		"a bad signature":  {providertest.Faults{WrongKey: true}, "ID token", "signature"},
		"no at_hash":       {providertest.Faults{Claims: func(c map[string]any) { delete(c, "at_hash") }}, "ID token", "at_hash"},
		"another issuer":   {providertest.Faults{Callback: func(v url.Values) { v.Set("iss", "https://evil.example") }}, "callback", "iss"},
		"another state":    {providertest.Faults{Callback: func(v url.Values) { v.Set("state", "x") }}, "callback", "state"},
		"access denied":    {providertest.Faults{Deny: true}, "callback", "access_denied"},
		"another userinfo": {providertest.Faults{UserInfo: func(c map[string]any) { c["sub"] = "mallory" }}, "userinfo", "sub"},
		"no tokens":        {providertest.Faults{Answer: func(m map[string]any) { m["error"] = "server_error" }}, "token", "server_error"},
	} {
		t.Run(name, func(t *testing.T) {
			page := signIn(t, open(t, start(t, test.faults)))
			got := page.Text("playground-failure")
			if !strings.HasPrefix(got, "Stopped at "+test.step+":") || !strings.Contains(got, test.word) {
				t.Errorf("%q", got)
			}
			if page.Has("playground-verdict") || page.Has("playground-userinfo") {
				t.Error("the page says that all is well")
			}
		})
	}
}

func TestAFormOfNobodyDoesNothing(t *testing.T) {
	provider := start(t, providertest.Faults{})
	page := signIn(t, open(t, provider))
	cookies := page.Header.Values("Set-Cookie")
	for _, path := range []string{playground.StartPath, playground.RefreshPath, playground.RevokePath, playground.SignOutPath} {
		for name, form := range map[string]url.Values{"no token": {}, "a token made up": {"csrf": {strings.Repeat("A", 43)}}} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, provider.URL+path, strings.NewReader(form.Encode()))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			for _, line := range cookies {
				cookie, err := http.ParseSetCookie(line)
				if err != nil {
					t.Fatal(err)
				}
				r.AddCookie(cookie)
			}
			resp, err := provider.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusForbidden {
				t.Errorf("%s with %s: %d", path, name, resp.StatusCode)
			}
		}
	}
}

func TestAFormThatCannotBeSentIsAnswered(t *testing.T) {
	provider := start(t, providertest.Faults{})
	for field, value := range map[string]string{"max_age": "-1", "scope": strings.Repeat("x ", 255) + "yy", "login_hint": strings.Repeat("x", 512)} {
		page := open(t, provider)
		fill(t, page, map[string]string{field: value})
		page = press(t, page, "playground-start")
		refused := page.Status == http.StatusBadRequest && strings.Contains(page.Text("playground-failure"), field)
		if refused != (field == "max_age") {
			t.Errorf("%s: %d %s", field, page.Status, page.Text("playground-failure"))
		}
	}
}

func TestNothingAStrangerSendsIsWrittenAsHTML(t *testing.T) {
	const payload = `"><script>alert(1)</script>`
	provider := start(t, providertest.Faults{
		UserInfo: func(c map[string]any) { c["name"] = payload },
		Claims:   func(c map[string]any) { c["custom"] = payload },
		Callback: func(v url.Values) { v.Set("extra"+payload, payload) },
	})
	page := open(t, provider)
	fill(t, page, map[string]string{"login_hint": payload, "acr_values": payload})
	page = signIn(t, page)
	if strings.Contains(page.Body, "<script") {
		t.Error("the page has a script")
	}
	if strings.Count(page.Body, "alert(1)") < 4 {
		t.Error("the payload was meant to be shown, as text")
	}
	failed, err := formbrowser.New(formbrowser.Options{}).Open(t.Context(), provider.URL+playground.CallbackPath+"?"+url.Values{"error": {payload}}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(failed.Body, "<script") {
		t.Error("the page has a script")
	}
}

func TestThePageKeepsItsPromisesToBrowsers(t *testing.T) {
	provider := start(t, providertest.Faults{})
	page := open(t, provider)
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "Content-Type": "text/html; charset=utf-8",
	} {
		if got := page.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	policy := page.Header.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none';") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "script-src") || !strings.Contains(policy, "form-action 'self'") {
		t.Errorf("policy %q", policy)
	}
	cookie, err := http.ParseSetCookie(page.Header.Get("Set-Cookie"))
	if err != nil || cookie.Name != "keizer_playground" || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/playground" {
		t.Errorf("%v, %v", cookie, err)
	}
	for _, forbidden := range []string{" style=", "<style", "<script", "http-equiv", " on"} {
		if regexp.MustCompile(regexp.QuoteMeta(forbidden) + `[a-z]*="`).MatchString(page.Body) {
			t.Errorf("the page has %s", forbidden)
		}
	}
	sheet := regexp.MustCompile(`href="(/playground/static/[0-9a-f]{16}\.css)"`).FindStringSubmatch(page.Body)
	if sheet == nil {
		t.Fatal("no style sheet")
	}
	shared := regexp.MustCompile(`href="(/static/keizer\.[0-9a-f]{16}\.css)"`).FindStringSubmatch(page.Body)
	if shared == nil {
		t.Fatal("no shared style sheet")
	}
	for path, want := range map[string]int{sheet[1]: 200, shared[1]: 200, "/playground/static/other.css": 404} {
		resp, err := provider.Client().Get(provider.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want || want == 200 && !strings.Contains(resp.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %s", path, resp.StatusCode, resp.Header.Get("Cache-Control"))
		}
	}
}

func TestAServerThatIsAwayIsShown(t *testing.T) {
	gin.SetMode(gin.TestMode)
	provider := start(t, providertest.Faults{Metadata: func(m map[string]any) { m["issuer"] = "https://elsewhere.example" }})
	page := press(t, open(t, provider), "playground-start")
	if page.Status != http.StatusBadGateway || !strings.Contains(page.Text("playground-failure"), "discovery") {
		t.Errorf("%d %s", page.Status, page.Text("content"))
	}
}

func TestABaseThatIsNoneIsRefusedAtTheStart(t *testing.T) {
	for _, base := range []string{"", "localhost:8080", "http://localhost:8080/", "://"} {
		if _, err := playground.New(playground.Deps{Base: base}); err == nil {
			t.Errorf("%q accepted", base)
		}
	}
}

// A form of one name of the machine leads nowhere under another.
func TestThePlaygroundIsReachedUnderTheNameOfItsBase(t *testing.T) {
	provider := start(t, providertest.Faults{})
	elsewhere := strings.Replace(provider.URL, "127.0.0.1", "localhost", 1)
	page, err := formbrowser.New(formbrowser.Options{}).Open(t.Context(), elsewhere+playground.HomePath)
	if err != nil {
		t.Fatal(err)
	}
	if got := page.URL.String(); got != provider.URL+playground.HomePath || page.Title != "Playground" {
		t.Errorf("opened at %s, %q stands at %s", elsewhere, page.Title, got)
	}
}
