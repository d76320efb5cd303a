package server_test

import (
	"html"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

// listener is the address at which a client hears of logouts.
type listener struct {
	*httptest.Server
	mu     sync.Mutex
	heard  []string
	answer int // status
}

func listens(t *testing.T) *listener {
	t.Helper()
	l := &listener{answer: http.StatusOK}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if r.Method == http.MethodPost && r.FormValue("logout_token") != "" {
			l.heard = append(l.heard, r.FormValue("logout_token"))
		}
		w.WriteHeader(l.answer)
	}))
	t.Cleanup(l.Close)
	return l
}

// answers sets what the client answers from now on.
func (l *listener) answers(status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answer = status
}

// hears returns what was heard since it was asked last.
func (l *listener) hears() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	heard := l.heard
	l.heard = nil
	return heard
}

// OpenID Connect Back-Channel Logout 1.0.
func TestClientsAreToldOfTheEndOfASession(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, org, silent := beginWith(t, databaseURL, trustedClient)
		client := func(l *listener, alg string) *servertest.Client {
			return house.Client(org, manage.ClientSpec{SkipConsent: true, IDTokenAlg: alg, Metadata: map[string]any{
				"backchannel_logout_uri": l.URL + "/logout?of=keizer", "backchannel_logout_session_required": true,
			}})
		}
		first, second := listens(t), listens(t)
		one, two := client(first, "RS256"), client(second, "EdDSA")
		visitor := one.Visitor()
		_, claims := idTokenOf(t, one, visitor)
		for _, other := range []*servertest.Client{two, silent} {
			browser := other.Visitor()
			browser.Browser = visitor.Browser.For(other.Redirect)
			browser.Code(other.AuthorizeURL("prompt", "none"), "alice")
		}
		// Another browser of the same person, and another person, stay as they are.
		_, elsewhere := idTokenOf(t, one, one.Visitor())
		house.User(org, "bob")
		bobs := two.Visitor()
		bobs.Code(two.AuthorizeURL(), "bob")
		house.DeliverLogouts()
		if heard := slices.Concat(first.hears(), second.hears()); len(heard) > 0 {
			t.Fatalf("told before anything has ended: %v", heard)
		}

		session := uuid.MustParse(claims["sid"].(string))
		if err := house.DB.EndSession(org, session, false); err != nil {
			t.Fatal(err)
		}
		house.DeliverLogouts()
		jtis := make(map[any]bool)
		for _, c := range []struct {
			*servertest.Client
			*listener
			alg string
		}{{one, first, "RS256"}, {two, second, "EdDSA"}} {
			heard := c.hears()
			if len(heard) != 1 {
				t.Fatalf("%s was told %d times", c.alg, len(heard))
			}
			provider, err := oidc.NewProvider(t.Context(), c.Issuer)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := provider.Verifier(&oidc.Config{ClientID: c.ID, SupportedSigningAlgs: []string{c.alg}}).Verify(t.Context(), heard[0]); err != nil {
				t.Error(err)
			}
			said := servertest.Claims(t, heard[0])
			events, _ := said["events"].(map[string]any)
			event, ok := events["http://schemas.openid.net/event/backchannel-logout"].(map[string]any)
			if said["sid"] != claims["sid"] || said["sub"] != claims["sub"] || said["aud"] != c.ID || !ok || len(event) != 0 || len(events) != 1 || said["jti"] == "" {
				t.Errorf("%s: %v", c.alg, said)
			}
			if want := []string{"aud", "events", "exp", "iat", "iss", "jti", "sid", "sub"}; !slices.Equal(slices.Sorted(maps.Keys(said)), want) {
				t.Errorf("%s: %v", c.alg, said)
			}
			if kind := jwtHeader(t, heard[0])["typ"]; kind != "logout+jwt" {
				t.Errorf("%s: typ %v", c.alg, kind)
			}
			jtis[said["jti"]] = true
		}
		if len(jtis) != 2 {
			t.Errorf("%v", jtis)
		}
		house.DeliverLogouts()
		if heard := slices.Concat(first.hears(), second.hears()); len(heard) > 0 {
			t.Errorf("told again: %d", len(heard))
		}

		// A client that cannot hear is told later; one that will not, no more, and that is written down.
		first.answers(http.StatusServiceUnavailable)
		second.answers(http.StatusBadRequest)
		if err := house.DB.EndSession(org, uuid.MustParse(elsewhere["sid"].(string)), false); err != nil {
			t.Fatal(err)
		}
		if err := house.DB.EndSession(org, sessionOf(t, house, org, bobs).ID, false); err != nil {
			t.Fatal(err)
		}
		house.DeliverLogouts()
		if len(first.hears()) != 1 || len(second.hears()) != 1 {
			t.Error("not told")
		}
		house.DeliverLogouts() // it is not due yet
		if waiting := countRows(t, house, `SELECT COUNT(*) FROM session_clients WHERE last_error IS NOT NULL AND next_attempt_at IS NOT NULL`); waiting != 1 || len(first.hears()) != 0 {
			t.Errorf("%d wait", waiting)
		}
		if rows := auditRows(t, house, org, "logout.abandoned"); len(rows) != 1 || rows[0].Details["client_id"] != two.ID {
			t.Errorf("%+v", rows)
		}
		// Whoever was to tell a client and has died keeps nobody else from it.
		first.answers(http.StatusNoContent)
		_, last := idTokenOf(t, one, one.Visitor())
		if err := house.DB.EndSession(org, uuid.MustParse(last["sid"].(string)), false); err != nil {
			t.Fatal(err)
		}
		if claimed, err := house.DB.ClaimLogouts(t.Context(), time.Now().Add(-time.Second), 10); err != nil || len(claimed) != 1 {
			t.Fatalf("%v, %v", claimed, err)
		}
		house.DeliverLogouts()
		if heard := first.hears(); len(heard) != 1 || servertest.Claims(t, heard[0])["sid"] != last["sid"] {
			t.Errorf("%v", heard)
		}
		if left := countRows(t, house, `SELECT COUNT(*) FROM session_clients`); left != 1 {
			t.Errorf("%d are left", left)
		}

		// Whatever ends sessions has their clients told.
		second.answers(http.StatusOK)
		for name, end := range map[string]func(id uuid.UUID) error{
			"signed out everywhere": func(id uuid.UUID) error { return house.DB.EndSessionsOfUser(org, id) },
			"all but another":       func(id uuid.UUID) error { _, err := house.DB.EndOtherSessions(org, id, uuid.New(), false); return err },
			"everybody":             func(uuid.UUID) error { _, err := house.DB.EndEverySession(org, false); return err },
			"deleted":               func(id uuid.UUID) error { return house.DB.DeleteUser(org, id) },
		} {
			user, err := house.DB.UserByLogin(org, "alice")
			if err != nil {
				t.Fatal(err)
			}
			if name == "deleted" {
				user = house.User(org, "carol")
			}
			_, claims := idTokenOfUser(t, two, *user.Username)
			if err := end(user.ID); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			house.DeliverLogouts()
			if heard := second.hears(); len(heard) != 1 || servertest.Claims(t, heard[0])["sid"] != claims["sid"] {
				t.Errorf("%s: %d", name, len(heard))
			}
		}
	})
}

// idTokenOfUser signs somebody in at a new browser.
func idTokenOfUser(t *testing.T, client *servertest.Client, username string) (token string, claims map[string]any) {
	t.Helper()
	answer := client.Redeem(client.Visitor().Code(client.AuthorizeURL(), username))
	return answer.Text("id_token"), servertest.Claims(t, answer.Text("id_token"))
}

// OpenID Connect Front-Channel Logout 1.0, and S-172: the page frames what was registered and nothing else.
func TestTheLastPageLoadsWhatSignsOutOfApplications(t *testing.T) {
	t.Parallel()
	house, org, initiator := beginWith(t, "", manage.ClientSpec{
		SkipConsent: true, RedirectURIs: []string{"https://one.example/cb"}, PostLogoutRedirectURIs: []string{"https://one.example/bye"},
	})
	other := house.Client(org, manage.ClientSpec{
		SkipConsent: true, RedirectURIs: []string{"https://two.example/cb"},
		Metadata: map[string]any{"frontchannel_logout_uri": "https://two.example/out?a=b", "frontchannel_logout_session_required": true},
	})
	visitor := initiator.Visitor()
	token, claims := idTokenOf(t, initiator, visitor)
	out := initiator.Issuer + "/oauth2/logout?" + url.Values{
		"id_token_hint": {token}, "post_logout_redirect_uri": {"https://one.example/bye"}, "state": {"s"},
	}.Encode()
	browser := other.Visitor()
	browser.Browser = visitor.Browser.For(other.Redirect)
	browser.Code(other.AuthorizeURL("prompt", "none"), "alice")

	page := visitor.Go(house.At(out))
	if page.Title != "Signed out" || page.URL.Path != "/logged-out" {
		t.Fatalf("%d %q at %s", page.Status, page.Title, page.URL)
	}
	frame := "https://two.example/out?a=b&" + url.Values{"iss": {other.Issuer}, "sid": {claims["sid"].(string)}}.Encode()
	if !strings.Contains(page.Body, `src="`+html.EscapeString(frame)+`"`) || strings.Count(page.Body, "<iframe") != 1 {
		t.Errorf("%s", page.Body)
	}
	if csp := page.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-src https://two.example;") && !strings.HasSuffix(csp, "frame-src https://two.example") {
		t.Errorf("%s", csp)
	}
	if link, _ := page.Attr("logged-out-continue", "href"); link != "https://one.example/bye?state=s" {
		t.Errorf("on to %q", link)
	}
	// What is not ours, or is somebody else's, shows the bare page.
	acme := house.Organization("acme")
	sealed := page.URL.Query().Get("frontchannel")
	for name, address := range map[string]string{
		"another organization": house.Issuer(acme) + "/logged-out?frontchannel=" + sealed, "a changed one": initiator.Issuer + "/logged-out?frontchannel=" + sealed[:len(sealed)-2] + "AA",
		"nothing": initiator.Issuer + "/logged-out?frontchannel=", "text": initiator.Issuer + "/logged-out?frontchannel=https%3A%2F%2Fevil.example",
	} {
		if page := visitor.Go(house.At(address)); page.Status != http.StatusOK || strings.Contains(page.Body, "<iframe") || page.Has("logged-out-continue") {
			t.Errorf("%s: %d %s", name, page.Status, page.Body)
		}
	}
	// Without anybody to be told there is no such page between.
	again := initiator.Visitor()
	token, _ = idTokenOf(t, initiator, again)
	answer := again.Browser.For("https://one.example/bye")
	arrived, err := answer.Open(t.Context(), house.At(initiator.Issuer+"/oauth2/logout?"+url.Values{"id_token_hint": {token}, "post_logout_redirect_uri": {"https://one.example/bye"}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := arrived.Arrived(); !ok {
		t.Errorf("%d %q at %s", arrived.Status, arrived.Title, arrived.URL)
	}
	for _, uri := range []string{"https://elsewhere.example/out", "http://two.example/out", "https://two.example/out#x"} {
		if _, _, err := house.Operators.CreateClient(org, manage.ClientSpec{
			Name: "App", RedirectURIs: []string{"https://two.example/cb"}, Metadata: map[string]any{"frontchannel_logout_uri": uri},
		}); err == nil || !strings.Contains(err.Error(), "frontchannel_logout_uri") {
			t.Errorf("%s: %v", uri, err)
		}
	}
}
