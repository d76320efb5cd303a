package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
)

func TestWhoChoosesALanguageComesBackToTheirPage(t *testing.T) {
	pages := newPages(t, Options{})
	choose := func(lang, back string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/language", strings.NewReader(url.Values{"lang": {lang}, "return": {back}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return answer(r, nil, func(c *gin.Context) {
			if err := pages.Language(c); err != nil {
				pages.Fail(c, err)
			}
		})
	}
	const page = "/o/acme/login?interaction=x%20y&a=/b"
	w := choose("en", page)
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != page {
		t.Errorf("%d, to %q", w.Code, w.Header().Get("Location"))
	}
	if cookies := w.Result().Cookies(); len(cookies) != 2 || cookies[0].Value != "en" || !cookies[0].HttpOnly {
		t.Errorf("the cookies are %v", cookies)
	}
	for _, back := range []string{
		"", "login", "//evil.example", "/\\evil.example", "\\/evil.example", "https://evil.example", "/\t/evil.example", "/\n", "javascript:alert(1)", " /", "/é", "/%zz",
		"/" + strings.Repeat("x", maxReturn),
	} {
		if w := choose("en", back); w.Code != http.StatusBadRequest || w.Header().Get("Location") != "" || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%q is gone back to: %d %v", back, w.Code, w.Header())
		}
	}
	for _, lang := range []string{"", "xx", "de", "en-GB", "*", "en;", strings.Repeat("a-", 1000)} {
		if w := choose(lang, "/"); w.Code != http.StatusBadRequest || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%q is a language: %d", lang, w.Code)
		}
	}
}

func TestANameOfTheOtherDirectionTurnsNoTextAround(t *testing.T) {
	pages := newPages(t, Options{})
	show := func(name string) string {
		return answer(get("/setup"), nil, func(c *gin.Context) {
			if err := pages.Render(c, http.StatusOK, "setup", SetupPage{Organization: name}); err != nil {
				t.Fatal(err)
			}
		}).Body.String()
	}
	for name, want := range map[string]string{
		"Acme 1": "operator of Acme 1:", "شركة": "operator of \u2068شركة\u2069:", "Acme שלום": "operator of \u2068Acme שלום\u2069:", "\u202eAcme": "operator of Acme:",
	} {
		if body := show(name); !strings.Contains(body, want) {
			t.Errorf("there is no %q in %s", want, body)
		}
	}
}

func FuzzOwnAddress(f *testing.F) {
	for _, seed := range []string{"/login?interaction=x", "//evil.example", "/\\evil.example", "/..//evil.example", "/.//evil.example/%2e%2e", "/a?b=//c#d"} {
		f.Add(seed)
	}
	here, _ := url.Parse("https://id.example/login?interaction=x")
	f.Fuzz(func(t *testing.T, text string) {
		if !ownAddress(text) {
			return
		}
		// As a handler writes it, and as a browser reads it.
		w := httptest.NewRecorder()
		http.Redirect(w, httptest.NewRequest(http.MethodPost, "/language", nil), text, http.StatusSeeOther)
		to, err := here.Parse(w.Header().Get("Location"))
		if err != nil || to.Host != here.Host || to.Scheme != here.Scheme || strings.ContainsAny(to.String(), "\\\t\r\n") {
			t.Errorf("%q leads to %v, %v", text, to, err)
		}
	})
}
