package server_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/server/servertest"
)

// One browser for all of these journeys, each in tabs of its own.
func TestInARealBrowser(t *testing.T) {
	t.Parallel()
	chromium := servertest.StartChromium(t)
	for name, journey := range map[string]func(*testing.T, *servertest.Chromium){
		"a newcomer sets Keizer up and sees tokens":                    aNewcomerSetsKeizerUpAndSeesTokens,
		"whoever opens the playground by number comes to its name":     whoeverOpensThePlaygroundByNumberComesToItsName,
		"an application on another site signs a person in":             anApplicationOnAnotherSiteSignsAPersonIn,
		"an application is answered by form, with scripts and without": anApplicationIsAnsweredByForm,
		"a form of another site finds the session":                     aFormOfAnotherSiteFindsTheSession,
		"a form of another site signs nobody in":                       aFormOfAnotherSiteSignsNobodyIn,
		"every page can be seen, read and pressed":                     everyPageCanBeSeenReadAndPressed,
		"an organization's pages look like it":                         anOrganizationsPagesLookLikeIt,
		"whoever chooses a language goes on in it":                     whoeverChoosesALanguageGoesOnInIt,
		"a person looks after an account":                              aPersonLooksAfterAnAccount,
		"a person signs up, forgets the password and comes back":       aPersonSignsUpForgetsThePasswordAndComesBack,
		"a letter is opened elsewhere, and a guest is invited":         aLetterIsOpenedElsewhereAndAGuestIsInvited,
		"a person signs in with passkeys and codes":                    aPersonSignsInWithPasskeysAndCodes,
		"a passkey is offered beside the user name":                    aPasskeyIsOfferedBesideTheUserName,
		"whoever must sets up a second factor on the way in":           whoeverMustSetsUpASecondFactorOnTheWayIn,
		"somebody signs in at providers":                               somebodySignsInAtProviders,
		"an application watches the session":                           anApplicationWatchesTheSession,
		"an application by others watches the session":                 anApplicationByOthersWatchesTheSession,
		"a keyboard is enough":                                         aKeyboardIsEnough,
		"what strangers write stays text":                              whatStrangersWriteStaysText,
		"letters are read in the mailbox":                              lettersAreReadInTheMailbox,
		"the browser's complaints are heard":                           theBrowsersComplaintsAreHeard,
		"the browser sees what is wrong with a page":                   theBrowserSeesWhatIsWrongWithAPage,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			journey(t, chromium)
		})
	}
}

// A tab that hears nothing proves little: here it is shown one fault after another.
func theBrowsersComplaintsAreHeard(t *testing.T, chromium *servertest.Chromium) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!doctype html><html lang="en"><title>T</title><h1 id="page-title">Page</h1>`)
	}))
	t.Cleanup(other.Close)
	faults := map[string]struct{ body, complaint string }{
		"/script":  {`<script>document.title = 'run'</script>`, "the policy forbids script-src"},
		"/style":   {`<p style="color: red">Red</p>`, "the policy forbids style-src"},
		"/picture": {`<img src="` + other.URL + `/a.png" alt="">`, "asks another origin"},
		"/missing": {`<img src="/missing.png" alt="">`, "404"},
		"/frame":   {`<iframe src="/quiet"></iframe>`, "frame"},
		"/dialog":  {`<script src="/dialog.js"></script>`, "opened a dialog: boo"},
		"/console": {`<script src="/console.js"></script>`, "the console says (log): \"hello\""},
		"/failure": {`<script src="/failure.js"></script>`, "a script failed"},
		"/away":    {`<meta http-equiv="refresh" content="0;url=` + other.URL + `">`, "leads to " + other.URL},
	}
	scripts := map[string]string{"/dialog.js": "alert('boo')", "/console.js": "console.log('hello')", "/failure.js": "throw new Error('oh')"}
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if script, ok := scripts[r.URL.Path]; ok {
			w.Header().Set("Content-Type", "text/javascript")
			fmt.Fprint(w, script)
			return
		}
		fault, ok := faults[r.URL.Path]
		if !ok && r.URL.Path != "/quiet" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'self'; img-src * data:; style-src 'none'")
		fmt.Fprintf(w, `<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>T</title><h1 id="page-title">Page</h1>%s<p id="end">`, fault.body)
	}))
	t.Cleanup(site.Close)

	for path, fault := range faults {
		tab := chromium.Tab(t, site.URL)
		tab.Open(site.URL+path, "Page")
		tab.Hears(fault.complaint)
	}
	tab := chromium.Tab(t, site.URL)
	tab.Open(site.URL+"/quiet", "Page")
	if heard := tab.Faults(); len(heard) > 0 {
		t.Errorf("nothing is wrong, and yet: %q", heard)
	}
}

// Nor does a look that finds nothing, unless it finds what is there.
func theBrowserSeesWhatIsWrongWithAPage(t *testing.T, chromium *servertest.Chromium) {
	const body = `<main><h1 id="page-title">Page</h1><h1>Again</h1><h3 id="a">Deep</h3><p id="a" class="grey">Grey</p><p class="night">Night</p>
		<p class="wide">Wide</p><input class="pale" name="x"><button class="small" type="button"></button></main><p>Nowhere</p>`
	const sheet = `body { color: #000; background: #fff } .grey { color: #888 } .wide { width: 400px } .small { width: 10px; height: 10px; padding: 0 }
		.pale { border: 1px solid #ccc } @media (prefers-color-scheme: dark) { .night { color: #fff } }`
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/sheet.css" {
			w.Header().Set("Content-Type", "text/css")
			fmt.Fprint(w, sheet)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!doctype html><html dir="ltr"><head><title>T</title><meta name="viewport" content="width=device-width">
			<link rel="icon" href="data:,"><link rel="stylesheet" href="/sheet.css"></head><body>`+body)
	}))
	t.Cleanup(site.Close)
	tab := chromium.Tab(t, site.URL)
	tab.Open(site.URL, "Page")
	complaints := strings.Join(tab.Complaints(), "\n")
	wanted := []string{
		`by day: lang is ""`, "by day: 2 h1", `by day: "Deep" is of level 3 after 1`, "by day: id a twice", "by day: input.pale has no label",
		`by day: "Nowhere" is in no landmark`, "by day: button.small is 10 by 10 pixels", `by day: the text "Grey" of p#a has a contrast of 3.54`,
		`at night: the text "Night" of p.night has a contrast of 1.00`, "by day: the edge of input.pale has a contrast of 1.61",
		"at 320 pixels: it is", "at 320 pixels from right to left: it is", "read aloud: a textbox has no name", "read aloud: a button has no name",
		"read aloud: 0 × banner", "read aloud: 2 × heading 1",
	}
	if servertest.HasAxe() {
		wanted = append(wanted, "by day, axe: color-contrast", "by day, axe: button-name", "by day, axe: html-has-lang", "at night, axe: color-contrast")
	}
	for _, want := range wanted {
		if !strings.Contains(complaints, want) {
			t.Errorf("unseen: %s", want)
		}
	}
	if t.Failed() {
		t.Log(complaints)
	}
}
