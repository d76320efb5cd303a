package web

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/tenant"
)

func TestAPageShowsWhatTheOrganizationHasChosenAndNothingThatItCouldNot(t *testing.T) {
	pages := newPages(t, Options{})
	look := func(branding settings.Branding) string {
		decided := settings.Default()
		decided.Branding = branding
		org := &tenant.Org{ID: uuid.New(), Slug: "acme", Name: sampleHostile, BasePath: "/o/acme", Settings: decided}
		return answer(get("/o/acme/login"), org, func(c *gin.Context) {
			if err := pages.Render(c, http.StatusOK, "login", SignInPage{}); err != nil {
				t.Fatal(err)
			}
		}).Body.String()
	}
	plain := look(settings.Branding{})
	if strings.Contains(plain, "accent-") || strings.Contains(plain, "<img") || strings.Contains(plain, "links-of") {
		t.Errorf("an organization that has chosen nothing has %s", plain)
	}
	body := look(settings.Branding{
		Accent: "#c0ffee", Logo: "0123456789abcdef", TermsURI: "https://acme.example/terms", PolicyURI: "https://acme.example/privacy?a=1&b=2",
		SupportURI: "https://acme.example/help",
	})
	checkPage(t, body, true)
	for _, want := range []string{
		`<img class="logo" src="/o/acme/logo/0123456789abcdef" alt="">`, `href="https://acme.example/terms"`, `href="https://acme.example/privacy?a=1&amp;b=2"`,
		`href="https://acme.example/help"`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("there is no %s", want)
		}
	}
	if !regexp.MustCompile(`href="/static/accent-c0ffee\.[0-9a-f]{16}\.css"`).MatchString(body) {
		t.Error("there is no style sheet of the accent")
	}
	// What the database holds was perhaps not put there by us (S-018, S-272).
	for _, payload := range payloads {
		body := look(settings.Branding{Accent: payload, Logo: payload, TermsURI: payload, PolicyURI: "http://acme.example/", SupportURI: "https://u:p@acme.example/"})
		if strings.Contains(body, "accent-") || strings.Contains(body, "acme.example") {
			t.Errorf("%q is taken", payload)
		}
		for _, e := range elements(t, body) {
			if e.name == "script" && !strings.HasPrefix(e.attrs["src"], "/static/") || e.name == "img" && !strings.HasPrefix(e.attrs["src"], "/o/acme/logo/") || e.name == "a" && !strings.HasPrefix(e.attrs["href"], "https:") {
				t.Errorf("%q becomes %+v", payload, e)
			}
		}
	}
}
