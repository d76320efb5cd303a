package server_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/text/language"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/server/servertest"
)

// Whoever develops against Keizer reads the mail of everybody in one place.
func lettersAreReadInTheMailbox(t *testing.T, chromium *servertest.Chromium) {
	house := servertest.Start(t, servertest.Options{})
	tab := chromium.Tab(t, house.Base)
	tab.Open(house.Base+"/dev/mailbox", "Mailbox")
	if tab.Text("mailbox-empty") == "" {
		t.Error("it is not said to be empty")
	}
	for i, kind := range mail.Kinds() {
		ctx := house.In("default")
		if i%2 == 1 && i == 1 {
			ctx = house.Organization("acme")
		}
		org, err := tenant.From(ctx)
		if err != nil {
			t.Fatal(err)
		}
		l := mail.Sample(kind)
		if l.Link != "" {
			l.Link = house.Base + "/verify?token=x"
		}
		m, err := house.Composer.Compose(l.From(org))
		if err != nil {
			t.Fatal(err)
		}
		if err := house.DB.EnqueueMail(ctx, nil, m); err != nil {
			t.Fatal(err)
		}
	}
	tab.Press("mailbox-again", "Mailbox")
	tab.Look()
	tab.Portray("mailbox")
	letters := house.Letters("alice@example.com")
	newest := letters[len(letters)-1]
	if first := tab.Ask("document.querySelector('#mailbox-letters a').textContent"); first != newest.Subject {
		t.Errorf("the first is %q, not %q", first, newest.Subject)
	}
	if got := tab.Ask("document.querySelectorAll('#mailbox-letters > li').length + ''"); got != fmt.Sprint(len(mail.Kinds())) {
		t.Errorf("there are %s", got)
	}

	// The newest, verify_email, has everything.
	address := tab.Ask("document.querySelector('#mailbox-letters a').href")
	tab.Open(address, "Message")
	tab.Look()
	tab.Portray("mailbox-letter")
	if tab.Text("letter-subject") != newest.Subject || tab.Text("letter-link") != house.Base+"/verify?token=x" || tab.Text("letter-code") != newest.Code ||
		!strings.Contains(tab.Text("letter-text"), "Hello Alice Doe,") {
		t.Errorf("%q %q %q", tab.Text("letter-subject"), tab.Text("letter-link"), tab.Text("letter-code"))
	}

	// A letter runs its own way, whichever way the page does.
	tab.Open(address+"?ui_locales=ar", "رسالة")
	if way := tab.Ask("getComputedStyle(document.documentElement).direction + ' ' + getComputedStyle(document.getElementById('letter-text')).direction"); way != "rtl ltr" {
		t.Errorf("the page and the letter run %s", way)
	}

	// As a mail program shows it: there no script runs, not even that of a test, so the same document is looked at from elsewhere.
	answer := house.Get(address + "/html")
	if answer.Status != http.StatusOK || !strings.Contains(answer.Header.Get("Content-Security-Policy"), "sandbox allow-popups") ||
		strings.Contains(answer.Header.Get("Content-Security-Policy"), "script") || answer.Body != newest.HTML {
		t.Errorf("%d %v", answer.Status, answer.Header)
	}
	documents := map[string]string{}
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:")
		fmt.Fprint(w, documents[r.URL.Path])
	}))
	t.Cleanup(site.Close)
	program := chromium.Tab(t, site.URL)
	arabic := mail.Sample(mail.VerifyEmail)
	arabic.Language = language.Arabic
	m, err := house.Composer.Compose(arabic)
	if err != nil || !strings.Contains(m.HTML, `dir="rtl"`) {
		t.Fatalf("%+v, %v", m, err)
	}
	for _, m := range append(letters, *m) {
		path := "/" + string(m.Kind) + "/" + m.Language
		// What a letter lacks of a page: the name that tests know its heading by, and a picture, which a browser would ask for.
		documents[path] = strings.NewReplacer("<h1 ", `<h1 id="page-title" `, "<title>", `<link rel="icon" href="data:,"><title>`).Replace(m.HTML)
		program.Open(site.URL+path, m.Subject)
		program.Portray("letter-" + string(m.Kind) + "-" + m.Language)
		for _, complaint := range program.Complaints() {
			// A letter is part of somebody else's page, and has its style inside.
			if !strings.Contains(complaint, "attribute style") && !strings.Contains(complaint, "landmark") && !strings.Contains(complaint, "0 × ") {
				t.Errorf("%s: %s", m.Kind, complaint)
			}
		}
	}
}
