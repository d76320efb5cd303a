package servertest

import (
	"context"
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Chromium is a browser as people have it, save that it shows no window.
type Chromium struct{ ctx context.Context }

// StartChromium starts the machine's chromium, with a profile that is thrown away, and ends it when the test ends. One serves
// a whole family of tests: its tabs know nothing of one another.
func StartChromium(t testing.TB) *Chromium {
	t.Helper()
	const program = "chromium"
	Needs(t, "browser", program)
	options := slices.Concat(chromedp.DefaultExecAllocatorOptions[:], []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(program),
		chromedp.DisableGPU,
		// chromedp adds --no-sandbox by itself for root, who cannot have one.
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	})
	// The test's own context ends before its clean-up, which is when a browser is asked to close.
	allocator, freed := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	// What the browser knows and this version of the protocol does not is nobody's mistake.
	ctx, _ := chromedp.NewContext(allocator, chromedp.WithErrorf(func(string, ...any) {}))
	t.Cleanup(func() {
		closing, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		_ = chromedp.Cancel(closing) // what does not close is killed
		freed()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	return &Chromium{ctx}
}

// patience is how long a tab waits for what must happen. It is only ever used up by a test that fails.
const patience = 30 * time.Second

// Tab is somebody's browser: a tab with cookies of its own. It writes down whatever a page should not do, and a test in whose
// tab that has happened fails: a violation of a policy, a word in the console, a dialog, a request to anywhere else.
type Tab struct {
	t   testing.TB
	ctx context.Context
	// places are the origins that the tab may be led to.
	places []string
	// pictures is where a picture goes.
	pictures string
	// scriptless is a tab in which pages run no scripts.
	scriptless bool

	mu       sync.Mutex
	news     chan struct{} // closed, and another put in its place, whenever something has happened
	document cdp.LoaderID  // the one that is shown
	loaded   cdp.LoaderID  // the last one that was loaded to its end
	statuses map[cdp.LoaderID]int64
	refused  map[string]bool // documents whose status says that something is wrong: the test expects that, or finds it out
	faults   []string
	content  bool // what it was to hear it has heard
}

// Tab opens a tab that may be led to the origins of the addresses.
func (c *Chromium) Tab(t testing.TB, addresses ...string) *Tab {
	t.Helper()
	tab := &Tab{t: t, pictures: t.ArtifactDir(), news: make(chan struct{}), statuses: make(map[cdp.LoaderID]int64), refused: make(map[string]bool)}
	for _, address := range addresses {
		tab.places = append(tab.places, origin(address))
	}
	ctx, _ := chromedp.NewContext(c.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(tab.hear))
	tab.ctx = ctx
	t.Cleanup(tab.close)
	if err := chromedp.Do(ctx); err != nil { // the tab lives as long as the context that opens it
		t.Fatal(err)
	}
	tab.do(
		command(audits.Enable, cdp.Empty{}),
		// Only one window has the keyboard, and every tab here is somebody's only one.
		command(emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}),
		command(page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: `addEventListener('securitypolicyviolation',
			e => console.error('the policy forbids ' + e.effectiveDirective + ': ' + e.blockedURI + ' ' + e.sample))`}),
	)
	return tab
}

// close ends the tab's life, and the test in failure when a page has done what it should not.
func (tab *Tab) close() {
	if faults := tab.Faults(); !tab.content {
		for _, fault := range faults {
			tab.t.Error(fault)
		}
	}
	if tab.t.Failed() {
		tab.photograph()
	}
	closing, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	_ = chromedp.Cancel(closing) // the browser has lost it already
}

// photograph keeps what is seen; `go test -artifacts` says where.
func (tab *Tab) photograph() {
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		tab.t.Logf("no picture of the tab: %v", err)
		return
	}
	name := filepath.Join(tab.pictures, fmt.Sprintf("tab-%p.png", tab))
	if err := os.WriteFile(name, picture, 0o600); err != nil {
		tab.t.Log(err)
	}
	tab.t.Logf("%s (kept with -artifacts) shows what the tab showed last", name)
}

// Portray keeps pictures of the page under a name, on a large screen and a narrow one, by day and at night, for somebody to look
// at: only if `go test -artifacts` asks for such things.
func (tab *Tab) Portray(name string) {
	tab.t.Helper()
	if kept := flag.Lookup("test.artifacts"); kept == nil || kept.Value.String() != "true" {
		return
	}
	for scheme, how := range map[string]string{"light": "day", "dark": "night"} {
		tab.scheme(scheme)
		for _, width := range []int64{1100, 360} {
			tab.do(chromedp.EmulateViewport(width, 760))
			// A window as high as the page: what lies beyond one is drawn in the wrong place when it is read from the right.
			height, err := strconv.ParseInt(tab.Ask("Math.max(innerHeight, document.documentElement.scrollHeight)"), 10, 64)
			if err != nil {
				tab.t.Fatal(err)
			}
			tab.do(chromedp.EmulateViewport(width, height))
			ctx, cancel := context.WithTimeout(tab.ctx, patience)
			picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
			cancel()
			if err == nil {
				err = os.WriteFile(filepath.Join(tab.pictures, fmt.Sprintf("%s-%s-%d.png", name, how, width)), picture, 0o600)
			}
			if err != nil {
				tab.t.Fatal(err)
			}
		}
	}
	tab.scheme("")
}

// hear takes notes of what the browser tells. It must not ask the browser anything.
func (tab *Tab) hear(event any) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	defer func() {
		close(tab.news)
		tab.news = make(chan struct{})
	}()
	fault := func(format string, values ...any) { tab.faults = append(tab.faults, fmt.Sprintf(format, values...)) }
	switch e := event.(type) {
	case *page.EventFrameNavigated:
		if e.Frame.ParentID == "" {
			tab.document = e.Frame.LoaderID
		} else {
			fault("a page has a frame: %s", e.Frame.URL)
		}
	case *page.EventLifecycleEvent:
		if e.Name == "load" {
			tab.loaded = e.LoaderID
		}
	case *network.EventResponseReceived:
		if e.Type == network.ResourceTypeDocument {
			tab.statuses[e.LoaderID] = e.Response.Status
			tab.refused[e.Response.URL] = e.Response.Status >= 400
		}
	case *network.EventRequestWillBeSent:
		to := origin(e.Request.URL)
		if e.Type == network.ResourceTypeDocument {
			if !slices.Contains(tab.places, to) {
				fault("%s leads to %s", e.DocumentURL, e.Request.URL)
			}
		} else if to != origin(e.DocumentURL) && !strings.HasPrefix(e.Request.URL, "data:") { // which is in the page already
			fault("%s asks another origin: %s", e.DocumentURL, e.Request.URL)
		}
	case *network.EventLoadingFailed:
		if e.BlockedReason != "" {
			fault("a request was blocked: %s", e.BlockedReason)
		}
	case *cdplog.EventEntryAdded:
		if e.Entry.Source == "network" && tab.refused[e.Entry.URL] {
			break // the browser remarks on every document with such a status
		}
		if strings.HasPrefix(e.Entry.Text, "Autofocus processing was blocked") {
			break // the test was there first
		}
		fault("%s: the log has an entry of %s (%s): %s", e.Entry.URL, e.Entry.Source, e.Entry.Level, e.Entry.Text)
	case *audits.EventIssueAdded:
		if e.Issue.Code == audits.InspectorIssueCodeBounceTrackingIssue {
			break // a server that signs people in is passed through by nature
		}
		if generic := e.Issue.Details.GenericIssueDetails; generic != nil && generic.ErrorType == "NavigationEntryMarkedSkippable" {
			break // a page led on that nobody had touched; but nobody's touch is seen that is made by a test
		}
		if generic := e.Issue.Details.GenericIssueDetails; generic != nil &&
			generic.ErrorType == audits.GenericIssueErrorTypeFormInputHasWrongButWellIntendedAutocompleteValueError {
			break // HTML has purposes that this browser does not know, as "nickname" and "bday"; axe knows all of them
		}
		details, err := json.Marshal(e.Issue.Details)
		fault("the browser has an issue with the page: %s %s %v", e.Issue.Code, details, err)
	case *runtime.EventConsoleAPICalled:
		var words []string
		for _, word := range e.Args {
			words = append(words, string(word.Value))
		}
		fault("the console says (%s): %s", e.Type, strings.Join(words, " "))
	case *runtime.EventExceptionThrown:
		fault("a script failed: %s", e.ExceptionDetails.Text)
	case *page.EventJavascriptDialogOpening:
		fault("%s opened a dialog: %s", e.URL, e.Message)
		go func() { // it stands in the way of everything else
			_, _ = chromedp.Call(tab.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{})
		}()
	}
}

// Faults returns what pages have done that they should not.
func (tab *Tab) Faults() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return slices.Clone(tab.faults)
}

// Hears waits for a fault that the page is known to have. Others do not count in this tab, from then on.
func (tab *Tab) Hears(complaint string) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	for {
		tab.mu.Lock()
		news := tab.news
		tab.content = slices.ContainsFunc(tab.faults, func(fault string) bool { return strings.Contains(fault, complaint) })
		heard := tab.content
		tab.mu.Unlock()
		if heard {
			return
		}
		select {
		case <-news:
		case <-ctx.Done():
			tab.t.Fatalf("%q was not heard, but %q", complaint, tab.Faults())
		}
	}
}

// origin is the scheme, the host and the port of an address.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Scheme + "://" + u.Host
}

func command[P, R any](c cdp.Command[P, R], parameters P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, c, parameters)
		return err
	})
}

// call runs a command of the browser's that answers something.
func call[P, R any](tab *Tab, c cdp.Command[P, R], parameters P) R {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	result, err := chromedp.Call(ctx, c, parameters)
	if err != nil {
		tab.t.Fatalf("%s: %v", c.Method, err)
	}
	return result
}

func (tab *Tab) do(actions ...chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		tab.t.Fatalf("%v\n%s", err, strings.Join(tab.Faults(), "\n"))
	}
}

// Open goes to an address, as if it were typed in, and waits for a page with the title.
func (tab *Tab) Open(address, title string) {
	tab.t.Helper()
	tab.next(command(page.Navigate, page.NavigateParams{URL: address}), title)
}

// Press presses something with the mouse, by its id, and waits for a page with the title.
func (tab *Tab) Press(id, title string) {
	tab.t.Helper()
	tab.next(chromedp.Click(chromedp.CSS("#"+id)), title)
}

// Enter presses the Enter key, and waits for a page with the title.
func (tab *Tab) Enter(title string) {
	tab.t.Helper()
	tab.next(chromedp.KeyEvent(kb.Enter), title)
}

// Type types, wherever the keyboard is.
func (tab *Tab) Type(text string) {
	tab.t.Helper()
	tab.do(chromedp.KeyEvent(text))
}

// Tabulate presses the Tab key, and returns the id of what the keyboard is at now.
func (tab *Tab) Tabulate() string {
	tab.t.Helper()
	tab.Type(kb.Tab)
	return tab.Focus()
}

// Focus is the id of what the keyboard is at.
func (tab *Tab) Focus() string {
	tab.t.Helper()
	return tab.Ask("document.activeElement.id")
}

// Fill writes into a field, or chooses from one, over what was there.
func (tab *Tab) Fill(id, text string) {
	tab.t.Helper()
	tab.do(chromedp.Focus(chromedp.CSS("#" + id)))
	tab.Ask("document.activeElement.select?.()")
	tab.Type(text)
	if got := tab.Ask("document.activeElement.value"); got != text {
		tab.t.Fatalf("#%s holds %q, want %q", id, got, text)
	}
}

// SignIn fills in the login page and waits for a page with the title.
func (tab *Tab) SignIn(username, password, title string) {
	tab.t.Helper()
	tab.Fill("username", username)
	tab.Fill("password", password)
	tab.Press("login-submit", title)
}

// next does what leads to another page, and waits for the first that has the title: pages may follow one another.
func (tab *Tab) next(action chromedp.Action[chromedp.Void], title string) {
	tab.t.Helper()
	tab.mu.Lock()
	before := tab.document
	tab.mu.Unlock()
	tab.do(action)
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	var seen string
	for {
		tab.mu.Lock()
		news, there := tab.news, tab.document != before && tab.loaded == tab.document
		tab.mu.Unlock()
		if there {
			var err error
			if seen, err = tab.title(ctx); err == nil && seen == title {
				return
			}
		}
		select {
		case <-news:
		case <-ctx.Done():
			tab.t.Fatalf("no page %q came; the last was %q\n%s", title, seen, strings.Join(tab.Faults(), "\n"))
		}
	}
}

// title reads the page's title, once the page was drawn: before, autofocus has not had its turn.
func (tab *Tab) title(ctx context.Context) (string, error) {
	if tab.scriptless {
		return chromedp.Run(ctx, chromedp.Evaluate[string](titleNow))
	}
	return chromedp.Run(ctx, chromedp.Evaluate[string]("new Promise(drawn => requestAnimationFrame(() => drawn("+titleNow+")))", chromedp.EvalAwaitPromise))
}

const titleNow = `document.getElementById('page-title')?.innerText ?? ''`

// Ask evaluates JavaScript in the page and returns the result as a string.
func (tab *Tab) Ask(expression string) string {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	answer, err := chromedp.Run(ctx, chromedp.Evaluate[string]("String("+expression+")"))
	if err != nil {
		tab.t.Fatalf("%.200s: %v", expression, err)
	}
	return answer
}

// Text is what an element shows, by its id; nothing when there is none.
func (tab *Tab) Text(id string) string {
	tab.t.Helper()
	return tab.Ask("document.getElementById('" + id + "')?.innerText ?? ''")
}

// Status is that of the page's answer.
func (tab *Tab) Status() int {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return int(tab.statuses[tab.document])
}

// Device is what somebody keeps passkeys on, as far as a tab can tell.
type Device struct {
	tab *Tab
	id  webauthn.AuthenticatorID
}

// Device gives the tab a device that keeps passkeys, knows who holds it, and is touched whenever it asks for that.
func (tab *Tab) Device() *Device {
	tab.t.Helper()
	call(tab, webauthn.Enable, webauthn.EnableParams{})
	added := call(tab, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true,
		HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}})
	return &Device{tab, added.AuthenticatorID}
}

// Passkeys is how many it keeps.
func (d *Device) Passkeys() int {
	d.tab.t.Helper()
	return len(call(d.tab, webauthn.GetCredentials, webauthn.GetCredentialsParams{AuthenticatorID: d.id}).Credentials)
}

// Held says whether it is in the hands of its owner.
func (d *Device) Held(byOwner bool) {
	d.tab.t.Helper()
	call(d.tab, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: d.id, IsUserVerified: byOwner})
}

// Unasked makes the tab one of those that offer no passkey until something is pressed. A device of a test is touched whenever it
// asks, and would answer every such offer.
func (tab *Tab) Unasked() {
	tab.t.Helper()
	tab.do(command(page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `if (window.PublicKeyCredential) PublicKeyCredential.isConditionalMediationAvailable = async () => false`,
	}))
}

// Shows waits until an element is seen, by its id.
func (tab *Tab) Shows(id string) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	seen := `new Promise(seen => { const look = () => { const e = document.getElementById('` + id + `');
		if (e && !e.hidden && e.offsetParent) seen('yes'); else requestAnimationFrame(look) }; look() })`
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[string](seen, chromedp.EvalAwaitPromise)); err != nil {
		tab.t.Fatalf("#%s is not seen: %v", id, err)
	}
}

// PressInPlace presses something that leads nowhere else.
func (tab *Tab) PressInPlace(id string) {
	tab.t.Helper()
	tab.do(chromedp.Click(chromedp.CSS("#" + id)))
}

// WithoutJavaScript is how some people browse.
func (tab *Tab) WithoutJavaScript() {
	tab.t.Helper()
	tab.scriptless = true
	tab.do(command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
}

// WithoutPolicy makes the browser ignore every Content-Security-Policy, so that nothing stands between a page and what was
// put into it but the page itself.
func (tab *Tab) WithoutPolicy() {
	tab.t.Helper()
	tab.do(command(page.SetBypassCSP, page.SetBypassCSPParams{Enabled: true}))
}

//go:embed look.js
var lookScript string

// Look looks at the page as different people do: at a large screen and a narrow one, by day and at night, in a script that
// runs the other way, and not by eye at all. The test fails for every complaint.
func (tab *Tab) Look() {
	tab.t.Helper()
	seen := tab.Ask(titleNow)
	for _, complaint := range tab.Complaints() {
		tab.t.Errorf("page %q, %s", seen, complaint)
	}
}

// Complaints are what Look would complain of.
func (tab *Tab) Complaints() (complaints []string) {
	tab.t.Helper()
	note := func(how, found string) {
		for complaint := range strings.Lines(found) {
			complaints = append(complaints, how+": "+strings.TrimSpace(complaint))
		}
	}
	see := func(how, function string) {
		tab.t.Helper()
		note(how, tab.Ask("(() => {"+lookScript+"return "+function+"().join('\\n')})()"))
	}
	see("by day", "structure")
	see("by day", "contrast")
	note("by day, axe", tab.judge(axeByDay))
	tab.scheme("dark")
	see("at night", "contrast")
	note("at night, axe", tab.judge(axeAtNight))
	tab.scheme("")

	tab.do(chromedp.EmulateViewport(320, 640))
	see("at 320 pixels", "overflow")
	direction := tab.Ask("document.documentElement.dir")
	tab.Ask("document.documentElement.dir = 'rtl'")
	see("at 320 pixels from right to left", "overflow")
	tab.do(chromedp.EmulateViewport(1280, 800))
	see("at 1280 pixels from right to left", "overflow")
	tab.Ask("document.documentElement.dir = '" + direction + "'")
	see("at 1280 pixels", "overflow")

	for _, complaint := range tab.listen() {
		complaints = append(complaints, "read aloud: "+complaint)
	}
	return complaints
}

// scheme sets the color scheme that the person prefers; nothing is the browser's own.
func (tab *Tab) scheme(scheme string) {
	tab.t.Helper()
	tab.do(command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	}))
}

// controls are the roles that a screen reader announces by name.
var controls = []string{"button", "link", "textbox", "combobox", "DisclosureTriangle", "navigation"}

// listen hears the page as the browser tells it to a screen reader.
func (tab *Tab) listen() (complaints []string) {
	tab.t.Helper()
	tree := call(tab, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	count := make(map[string]int)
	for _, node := range tree.Nodes {
		if node.Ignored {
			continue
		}
		role := said(node.Role)
		count[role]++
		if role == "heading" {
			for _, property := range node.Properties {
				if property.Name == "level" {
					count["heading "+string(property.Value.Value)]++
				}
			}
		}
		if slices.Contains(controls, role) && said(node.Name) == "" {
			complaints = append(complaints, "a "+role+" has no name")
		}
	}
	for _, role := range []string{"main", "banner", "heading 1"} {
		if count[role] != 1 {
			complaints = append(complaints, fmt.Sprintf("%d × %s", count[role], role))
		}
	}
	return complaints
}

// Announced returns what a screen reader says at once when the page appears: the texts of its alerts.
func (tab *Tab) Announced() []string {
	tab.t.Helper()
	var alerts []string
	if err := json.Unmarshal([]byte(tab.Ask(`JSON.stringify([...document.querySelectorAll('[role=alert]')].map(e => e.innerText))`)), &alerts); err != nil {
		tab.t.Fatal(err)
	}
	return alerts
}

func said(value *accessibility.Value) string {
	if value == nil {
		return ""
	}
	text, err := strconv.Unquote(string(value.Value))
	if err != nil {
		return string(value.Value)
	}
	return text
}
