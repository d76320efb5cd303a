package server_test

import (
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/messages"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/web"
)

// Every page with everything that it is tried with, names that are too long and names that attack among them, as people see it
// who have a large screen or a small one, light or dark, read from the left or from the right, or do not see it at all.
func TestEveryPageIsSeenReadAndHeard(t *testing.T) {
	t.Parallel()
	chromium := servertest.StartChromium(t)
	pages, err := web.New(web.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	decided := settings.Default()
	decided.Branding = settings.Branding{
		Accent: "#0a7d5a", TermsURI: "https://acme.example/terms", PolicyURI: "https://acme.example/privacy", SupportURI: "https://acme.example/help",
	}
	org := &tenant.Org{ID: uuid.New(), Slug: "acme", Name: "Acme Widgets", Settings: decided}
	samples := web.Samples()
	catalog, err := messages.Load()
	if err != nil {
		t.Fatal(err)
	}
	gin.SetMode(gin.TestMode)
	engine := gin.New()
	engine.GET("/static/*file", gin.WrapH(pages.Static()))
	for i, sample := range samples {
		engine.GET(sampleAddress(i), func(c *gin.Context) {
			c.Request = c.Request.WithContext(tenant.With(c.Request.Context(), org))
			if err := pages.Render(c, http.StatusOK, sample.Name, sample.Page); err != nil {
				t.Error(err)
			}
		})
	}
	site := httptest.NewServer(engine)
	t.Cleanup(site.Close)

	for i, sample := range samples {
		for j, tag := range catalog.Languages() {
			if j > 0 && sample.Index > 0 {
				continue // another language has other words, and what is put between them is the same
			}
			t.Run(fmt.Sprintf("%s %d in %s", sample.Name, sample.Index, tag), func(t *testing.T) {
				t.Parallel()
				tab := chromium.Tab(t, site.URL)
				tab.Open(site.URL+sampleAddress(i)+"?ui_locales="+tag.String(), title(t, site.Client(), site.URL+sampleAddress(i)+"?ui_locales="+tag.String()))
				tab.Portray(fmt.Sprintf("%s-%d-%s", sample.Name, sample.Index, tag))
				tab.Look()
			})
		}
	}
}

func sampleAddress(i int) string { return fmt.Sprintf("/sample/%d", i) }

var heading = regexp.MustCompile(`<h1 id="page-title">([^<]+)</h1>`)

// title asks for a page and reads its heading.
func title(t *testing.T, client *http.Client, address string) string {
	t.Helper()
	answer, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	match := heading.FindSubmatch(body)
	if match == nil {
		t.Fatalf("%s has no heading: %s", address, body)
	}
	return html.UnescapeString(string(match[1]))
}
