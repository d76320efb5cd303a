package server_test

import (
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

// OpenID Connect Session Management 1.0: an application asks a frame of ours whether its sign-in is still the browser's, and no server.
func anApplicationWatchesTheSession(t *testing.T, chromium *servertest.Chromium) {
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	house.User(org, "bob")
	// A site of its own, and to cookies the same as ours: in development there is no https for any other.
	var client *servertest.Client
	arrived, left := make(chan url.Values, 10), make(chan url.Values, 1)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/cb":
			arrived <- r.URL.Query()
			fmt.Fprint(w, `<!doctype html><title>Arrived</title><link rel="icon" href="data:,"><h1 id="page-title">Arrived</h1>`)
		case "/watch":
			fmt.Fprintf(w, `<!doctype html><title>Watch</title><link rel="icon" href="data:,"><h1 id="page-title">Watch</h1><p id="answer"></p>
				<iframe id="op" src="%s/oauth2/check-session"></iframe><script>
				addEventListener('message', e => { if (e.origin === %q) document.getElementById('answer').textContent = e.data; });
				document.getElementById('op').addEventListener('load', e => e.target.contentWindow.postMessage(%q, %q));</script>`,
				html.EscapeString(client.Issuer), house.Base, r.FormValue("ask"), house.Base)
		case "/out":
			left <- r.URL.Query()
		case "/bye":
			fmt.Fprint(w, `<!doctype html><title>Bye</title><link rel="icon" href="data:,"><h1 id="page-title">Bye</h1>`)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(site.Close)
	address := strings.Replace(site.URL, "127.0.0.1", "localhost", 1)
	client = house.Client(org, manage.ClientSpec{
		SkipConsent: true, RedirectURIs: []string{address + "/cb"}, PostLogoutRedirectURIs: []string{address + "/bye"},
		Metadata: map[string]any{"frontchannel_logout_uri": address + "/out"},
	})
	tab := chromium.Tab(t, house.Base, address)
	says := func(ask, want string) {
		t.Helper()
		tab.Open(address+"/watch?"+url.Values{"ask": {ask}}.Encode(), "Watch")
		got := ""
		if !within(t.Context(), patience, func() bool { got = tab.Text("answer"); return got != "" }) || got != want {
			t.Errorf("%q is %q, not %q", ask, got, want)
		}
	}
	tab.Open(client.AuthorizeURL(), "Sign in")
	tab.SignIn("alice", servertest.Password, "Arrived")
	state := (<-arrived).Get("session_state")
	says(client.ID+" "+state, "unchanged")
	says("another "+state, "changed")
	says(client.ID+" "+state+"x", "changed")
	for _, ask := range []string{client.ID, state, client.ID + " " + state + " x", client.ID + " nothing", ""} {
		says(ask, "error")
	}
	// Who proves anew who they are goes on in the session; somebody else begins another.
	tab.Open(client.AuthorizeURL("prompt", "login"), "Sign in")
	tab.SignIn("alice", servertest.Password, "Arrived")
	<-arrived
	says(client.ID+" "+state, "unchanged")
	tab.Open(client.AuthorizeURL("prompt", "login"), "Sign in")
	tab.SignIn("bob", servertest.Password, "Arrived")
	answer := <-arrived
	bobs := answer.Get("session_state")
	says(client.ID+" "+state, "changed")
	says(client.ID+" "+bobs, "unchanged")
	// An account that is added is no change to that which is there, and neither is the choice between them.
	tab.Open(client.AuthorizeURL("prompt", "select_account"), "Choose an account")
	tab.Press("select-another", "Sign in")
	tab.SignIn("alice", servertest.Password, "Arrived")
	beside := (<-arrived).Get("session_state")
	for range 2 {
		says(client.ID+" "+bobs, "unchanged")
		says(client.ID+" "+beside, "unchanged")
		tab.Open(client.AuthorizeURL("prompt", "select_account"), "Choose an account")
		tab.Press("account-2", "Arrived")
		<-arrived
	}
	tab.Open(client.AuthorizeURL("login_hint", "bob"), "Arrived")
	answer = <-arrived
	// The last page loads what signs out of the application, and goes on by itself.
	token := client.Redeem(answer.Get("code")).Text("id_token")
	tab.Open(client.Issuer+"/oauth2/logout?"+url.Values{"id_token_hint": {token}, "post_logout_redirect_uri": {address + "/bye"}}.Encode(), "Bye")
	if got := <-left; got.Get("iss") != client.Issuer || got.Get("sid") != servertest.Claims(t, token)["sid"] {
		t.Errorf("%v", got)
	}
	says(client.ID+" "+bobs, "changed")
	says(client.ID+" "+beside, "unchanged")
	tab.Hears("a page has a frame: " + client.Issuer + "/oauth2/check-session") // no page of ours has one, but this is the application's
}

// watching is an application of one page that others wrote the hard part of: npm's oidc-client-ts, which signs in with PKCE, redeems the code
// from its page, and watches the session through the frame.
const watching = `<!doctype html><meta charset="utf-8"><title>Watching</title><link rel="icon" href="data:,"><h1 id="page-title">Watching</h1>
	<p id="who"></p><p id="said"></p><button id="in" type="button">In</button><button id="out" type="button">Out</button><script src="/oidc-client-ts.js"></script><script>
	let out = %q;
	const show = (id, text) => { document.getElementById(id).textContent = text };
	const users = new oidc.UserManager({authority: %q, client_id: %q, redirect_uri: location.origin + '/spa', silent_redirect_uri: location.origin + '/silent',
		scope: 'openid profile email', monitorSession: true, checkSessionIntervalInSeconds: 1, automaticSilentRenew: false, loadUserInfo: true});
	users.events.addUserSignedOut(() => show('said', 'signed out'));
	users.events.addUserSessionChanged(() => show('said', 'changed'));
	document.getElementById('in').addEventListener('click', () => users.signinRedirect());
	document.getElementById('out').addEventListener('click', () => open(out));
	if (location.search) {
		users.signinCallback().then(user => { history.replaceState(null, '', '/spa'); out += user.id_token; show('who', user.profile.email) }, e => show('who', e.message));
	}</script>`

const quietly = `<!doctype html><meta charset="utf-8"><title>Silent</title><script src="/oidc-client-ts.js"></script><script>
	new oidc.UserManager({authority: %q, client_id: %q, redirect_uri: location.origin + '/spa'}).signinSilentCallback();</script>`

// Whoever signs out at Keizer, in another tab, is signed out in the application that watches, without its asking a server all the time.
func anApplicationByOthersWatchesTheSession(t *testing.T, chromium *servertest.Chromium) {
	library := filepath.Join(servertest.NodeModules(t), "oidc-client-ts", "dist", "browser", "oidc-client-ts.min.js")
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	var client *servertest.Client
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/oidc-client-ts.js":
			http.ServeFile(w, r, library)
		case "/spa":
			fmt.Fprintf(w, watching, client.Issuer+"/oauth2/logout?id_token_hint=", client.Issuer, client.ID)
		case "/silent":
			fmt.Fprintf(w, quietly, client.Issuer, client.ID)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(site.Close)
	address := strings.Replace(site.URL, "127.0.0.1", "localhost", 1)
	client = house.Client(org, manage.ClientSpec{
		SkipConsent: true, AuthMethod: manage.AuthNone, GrantTypes: []string{manage.GrantCode}, RedirectURIs: []string{address + "/spa", address + "/silent"},
		Scope: "openid profile email",
	})
	tab := chromium.Tab(t, house.Base, address)
	tab.Open(address+"/spa", "Watching")
	tab.Press("in", "Sign in")
	tab.SignIn("alice", servertest.Password, "Watching")
	shows := func(id, want string) {
		t.Helper()
		got := ""
		if !within(t.Context(), patience, func() bool { got = tab.Text(id); return got == want }) {
			t.Fatalf("%s is %q, not %q", id, got, want)
		}
	}
	shows("who", "alice@example.com")
	// She signs out at Keizer, in another tab of her browser.
	tab.PressInPlace("out")
	shows("said", "signed out")
	tab.Hears("a page has a frame: " + client.Issuer + "/oauth2/check-session") // the application's, and it asks us what it likes
}
