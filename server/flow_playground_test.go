package server_test

import (
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/internal/formbrowser"
	"github.com/keizer-auth/keizer/playground"
	"github.com/keizer-auth/keizer/server/servertest"
)

// The playground is what a newcomer sees first, so here it meets the server that it stands in.
func TestThePlaygroundSignsInAtItsOwnServer(t *testing.T) {
	house := servertest.Start(t, servertest.Options{})
	house.User(house.In("default"), "alice")

	for _, mode := range []string{"query", "form_post"} {
		t.Run("response_mode="+mode, func(t *testing.T) {
			browser := formbrowser.New(formbrowser.Options{})
			page, err := browser.Open(t.Context(), house.URL+playground.HomePath)
			if err != nil {
				t.Fatal(err)
			}
			press := func(id string) {
				t.Helper()
				if page, err = page.Click(t.Context(), id); err != nil {
					t.Fatal(err)
				}
				if page.Has("playground-failure") {
					t.Fatalf("after #%s: %s", id, page.Text("playground-failure"))
				}
			}
			fill := func(id, value string) {
				t.Helper()
				if err := page.Fill(id, value); err != nil {
					t.Fatalf("%v\n%s", err, page.Body)
				}
			}
			fill("response_mode", mode)
			fill("max_age", "60")
			fill("login_hint", "alice")
			press("playground-start")
			if page.Value("username") != "alice" {
				t.Errorf("login_hint gave the user name %q", page.Value("username"))
			}
			fill("password", servertest.Password)
			press("login-submit")
			press("consent-allow")
			if mode == "form_post" {
				if page, err = page.Submit(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if got := page.Text("playground-verdict"); !strings.HasPrefix(got, "Signed in as Alice Doe. All ") {
				t.Fatalf("%q\n%s", got, page.Text("content"))
			}
			if info := page.Text("playground-userinfo"); !strings.Contains(info, "alice@example.com") {
				t.Error(info)
			}
			if known := page.Text("playground-introspection"); !strings.Contains(known, `"active": true`) || !strings.Contains(known, `"client_id": "demo"`) {
				t.Error(known)
			}
			press("playground-refresh")
			if got := page.Text("playground-rotation"); !strings.HasPrefix(got, "Rotated.") {
				t.Errorf("%q", got)
			}
			press("playground-revoke")
			if known := page.Text("playground-introspection"); !strings.Contains(known, `"active": false`) || strings.Contains(known, "demo") {
				t.Error(known)
			}
			if !page.Has("playground-revoked") {
				t.Error(page.Text("content"))
			}
			press("playground-sign-out")
			if !page.Has("playground-signed-out") {
				t.Error(page.Text("content"))
			}

			// Nobody is signed in any more, and the playground says so.
			fill("prompt", "none")
			if page, err = page.Click(t.Context(), "playground-start"); err != nil {
				t.Fatal(err)
			}
			if mode == "form_post" {
				if page, err = page.Submit(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if got := page.Text("playground-failure"); !strings.Contains(got, "login_required") {
				t.Errorf("%q", got)
			}
		})
	}
}
