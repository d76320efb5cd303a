package login

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/keizer-auth/keizer/internal/formbrowser"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

func (r *room) setupLink() string {
	r.t.Helper()
	link, err := r.operators.NewSetupLink(r.t.Context(), r.base)
	if err != nil {
		r.t.Fatal(err)
	}
	return link
}

// newcomer is a browser that no application has sent.
func (r *room) newcomer() *guest {
	return &guest{Browser: formbrowser.New(formbrowser.Options{SendIncomplete: true}), room: r, base: r.base}
}

func (g *guest) follow(link string) *formbrowser.Page {
	g.room.t.Helper()
	return g.open(strings.TrimPrefix(link, g.room.base))
}

var operator = []string{"username", "ada", "email", "ada@example.com", "full-name", "Ada Lovelace", "password", rightPassword}

func TestTheSetupLinkMakesTheFirstOperatorAndSignsThemIn(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		r := newRoom(t, db)
		ctx := r.organization("default")
		link, g := r.setupLink(), r.newcomer()
		for range 3 { // following a link spends nothing
			if page := g.follow(link); page.Status != http.StatusOK || page.Title != "Set up Keizer" || page.Has("organization-name") || !strings.Contains(page.Body, "The default") {
				t.Fatalf("%d %s", page.Status, page.Body)
			}
		}
		done := g.press(g.follow(link), "setup-submit", operator...)
		if done.Status != http.StatusOK || done.Title != "Keizer is set up" || done.Hops[0].Status != http.StatusSeeOther || done.URL.Query().Has("token") {
			t.Fatalf("%d %v %s", done.Status, done.Hops, done.Body)
		}
		if href, _ := done.Attr("setup-discovery", "href"); href != r.base+"/.well-known/openid-configuration" {
			t.Errorf("discovery is at %q", href)
		}
		if href, _ := done.Attr("setup-playground", "href"); href != "/playground" {
			t.Errorf("the playground is at %q", href)
		}
		if got := g.open("/whoami").Body; !strings.HasSuffix(got, "ada@example.com") {
			t.Errorf("signed in as %q", got)
		}
		if exists, err := r.db.OwnerExists(ctx); err != nil || !exists {
			t.Errorf("there is an operator: %v, %v", exists, err)
		}
		ada, err := r.db.UserByLogin(ctx, "ada")
		if err != nil || ada.FullName == nil || *ada.FullName != "Ada Lovelace" {
			t.Errorf("ada is %+v, %v", ada, err)
		}
		for _, visitor := range []*guest{g, r.newcomer()} {
			page := visitor.follow(link)
			if page.Status != http.StatusNotFound || page.Title != "Request error" || !strings.Contains(page.Body, "keizer setup-link") {
				t.Errorf("the link again: %d %s", page.Status, page.Body)
			}
		}
		if page := r.newcomer().open("/setup?done=default"); page.Status != http.StatusNotFound || page.Has("setup-discovery") {
			t.Errorf("a stranger at the last page: %d", page.Status)
		}
	})
}

func TestWithoutAnOrganizationTheSetupLinkAsksForOne(t *testing.T) {
	r := newRoom(t, storagetest.DB(t))
	link, g := r.setupLink(), r.newcomer()
	page := g.press(g.follow(link), "setup-submit", append([]string{"organization-name", "Acme Corporation", "organization-slug", "acme"}, operator...)...)
	if page.Title != "Keizer is set up" || page.Text("setup-issuer") != r.base+"/o/acme" {
		t.Fatalf("%d %s", page.Status, page.Body)
	}
	if got := g.open("/o/acme/whoami").Body; !strings.HasSuffix(got, "ada@example.com") {
		t.Errorf("signed in as %q", got)
	}
	org, err := r.tenant(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	if g.cookie("keizer_session_acme") == "" || g.cookie("keizer_session") != "" {
		t.Errorf("the cookies are %v", g.Cookies(r.base))
	}
	events := r.audit(tenant.With(t.Context(), org))
	actions := []string{}
	for _, event := range events {
		actions = append(actions, event.Action)
		if event.RequestID != "REQUEST-ID" {
			t.Errorf("%s does not name its request", event.Action)
		}
	}
	if !strings.Contains(strings.Join(actions, " "), "setup.completed") || !strings.Contains(strings.Join(actions, " "), "user.signed_in") {
		t.Errorf("the audit says %v", actions)
	}
}

func TestWhatIsWrongWithASetupIsSaidBesideTheFieldAndNothingIsLost(t *testing.T) {
	r := newRoom(t, storagetest.DB(t))
	link, g := r.setupLink(), r.newcomer()
	page := g.press(g.follow(link), "setup-submit", "organization-name", "Acme", "organization-slug", "Not A Slug", "username", "ada@home", "email", "nowhere",
		"full-name", "Ada", "password", "short")
	if page.Status != http.StatusBadRequest || page.Title != "Set up Keizer" || !page.Has("setup-error") {
		t.Fatalf("%d %s", page.Status, page.Body)
	}
	for _, field := range []string{"organization-slug", "username", "email", "password"} {
		described, _ := page.Attr(field, "aria-describedby")
		if text := page.Text(field + "-error"); text == "" || !strings.HasSuffix(text, ".") || !strings.Contains(described, field+"-error") {
			t.Errorf("%s: %q, described by %q", field, text, described)
		}
	}
	for field, want := range map[string]string{
		"organization-name": "Acme", "organization-slug": "Not A Slug", "username": "ada@home", "email": "nowhere", "full-name": "Ada", "password": "",
	} {
		if got := page.Value(field); got != want {
			t.Errorf("%s now holds %q", field, got)
		}
	}
	if strings.Contains(page.Body, "short") {
		t.Error("the password is sent back")
	}
	page = g.press(page, "setup-submit", append([]string{"organization-slug", "acme"}, operator...)...)
	if page.Title != "Keizer is set up" {
		t.Errorf("mended: %d %s", page.Status, page.Body)
	}
}

func TestASetupLinkThatIsNoneIsAPageThatSaysHowToGetOne(t *testing.T) {
	r := newRoom(t, storagetest.DB(t))
	r.organization("default")
	superseded := r.setupLink()
	r.setupLink()
	g := r.newcomer()
	for _, link := range []string{"/setup", "/setup?token=", "/setup?token=x", "/setup?token=" + secret.New(secret.Setup), "/setup?done=nowhere", "/setup?done=default", superseded} {
		page := g.follow(link)
		if page.Status != http.StatusNotFound || !strings.Contains(page.Body, "keizer setup-link") {
			t.Errorf("%s: %d %s", link, page.Status, page.Body)
		}
	}
}

func TestASetupFromElsewhereIsRefused(t *testing.T) {
	r := newRoom(t, storagetest.DB(t))
	ctx := r.organization("default")
	link, g := strings.TrimPrefix(r.setupLink(), r.base), r.newcomer()
	g.open(link)
	form := url.Values{"username": {"ada"}, "email": {"ada@example.com"}, "password": {rightPassword}}
	if answer := g.post(link, form); answer.status != http.StatusForbidden {
		t.Errorf("without a token: %d", answer.status)
	}
	if answer := g.post(link, form, "Sec-Fetch-Site", "cross-site"); answer.status != http.StatusForbidden {
		t.Errorf("from another site: %d", answer.status)
	}
	if exists, err := r.db.OwnerExists(ctx); err != nil || exists {
		t.Errorf("there is an operator: %v, %v", exists, err)
	}
}

func TestOfManyAtOnceOneBecomesTheFirstOperator(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		r := newRoom(t, db)
		ctx := r.organization("default")
		link := strings.TrimPrefix(r.setupLink(), r.base)
		const racers = 8
		var race sync.WaitGroup
		results := make([]int, racers)
		forms := make([]*guest, racers)
		tokens := make([]string, racers)
		for i := range racers {
			forms[i] = r.newcomer()
			tokens[i] = forms[i].tokenOf(forms[i].open(link))
		}
		for i := range racers {
			name := string(rune('a'+i)) + "da"
			race.Go(func() {
				results[i] = forms[i].post(link, url.Values{
					"csrf_token": {tokens[i]}, "username": {name}, "email": {name + "@example.com"}, "password": {rightPassword},
				}).status
			})
		}
		race.Wait()
		won := 0
		for _, status := range results {
			switch status {
			case http.StatusSeeOther:
				won++
			case http.StatusNotFound:
			default:
				t.Errorf("a racer is answered by %d", status)
			}
		}
		users, err := r.db.ListUsers(ctx, [16]byte{}, 100)
		if err != nil || won != 1 || len(users) != 1 {
			t.Errorf("%d won, there are %d people, %v", won, len(users), err)
		}
	})
}
