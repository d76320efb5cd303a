package mail

import (
	"bytes"
	"mime"
	netmail "net/mail"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/text/language"

	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/tenant"
)

func composer(t testing.TB) *Composer {
	t.Helper()
	c, err := NewComposer("")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestALetterOfEveryKindIsWritten(t *testing.T) {
	c := composer(t)
	for _, kind := range Kinds() {
		l := Sample(kind)
		m, err := c.Compose(l)
		if err != nil {
			t.Error(err)
			continue
		}
		if strings.Contains(m.Text+m.HTML+m.Subject, "<no value>") || strings.Contains(m.HTML, "ZgotmplZ") {
			t.Errorf("%s: something is missing\n%s", kind, m.HTML)
		}
		for _, tell := range []string{l.Link, l.Code, l.Name, l.When, l.Until, l.Inviter, l.Address, l.What, l.Item, l.Left, l.Agent, l.Place} {
			if !strings.Contains(m.Text, tell) || !strings.Contains(m.HTML, tell) {
				t.Errorf("%s does not tell %q", kind, tell)
			}
		}
		for _, hidden := range []string{l.Link, l.Code} {
			if hidden != "" && strings.Contains(m.Subject, hidden) {
				t.Errorf("%s: the subject shows %q", kind, hidden)
			}
		}
		for _, remote := range []string{"<img", "<script", "<link", "url(", "@import", "<table"} {
			if strings.Contains(m.HTML, remote) {
				t.Errorf("%s has %s", kind, remote)
			}
		}
	}
}

func TestTheOrganizationAndThePersonDecideHowALetterLooks(t *testing.T) {
	c := composer(t)
	org := &tenant.Org{
		Name: "Acme", Issuer: "https://id.example.com/o/acme",
		Settings: &settings.Settings{
			Language: "en", Branding: settings.Branding{Accent: "#ffee00"}, Mail: settings.Mail{FromName: "Acme Help", ReplyTo: "help@acme.example"},
		},
	}
	m, err := c.Compose(Letter{Kind: PasswordReset, To: "a@example.com", Link: "https://id.example.com/o/acme/reset?token=x"}.From(org))
	if err != nil {
		t.Fatal(err)
	}
	if m.FromName != "Acme Help" || m.ReplyTo != "help@acme.example" || !strings.Contains(m.HTML, "background:#ffee00;color:#000000") ||
		!strings.Contains(m.Text, org.Issuer) || !strings.HasPrefix(m.Text, "Hello,\n") {
		t.Errorf("%+v", m)
	}
	m, err = c.Compose(Letter{Kind: PasswordChange, To: "a@example.com", Language: language.Make("vo")}.From(&tenant.Org{Name: "Plain"}))
	if err != nil || m.FromName != "Plain" || m.ReplyTo != "" || m.Language != "en" {
		t.Errorf("%+v, %v", m, err)
	}
	for accent, want := range map[string]string{
		"#000000": "#ffffff", "#ffffff": "#000000", "#1f5fbf": "#ffffff", "#ffcc00": "#000000", "red;}": "#ffffff", "#12345": "#ffffff", "#12345g": "#ffffff",
	} {
		background, foreground := colours(accent)
		if foreground != want || !colour.MatchString(background) {
			t.Errorf("%s: %s on %s", accent, foreground, background)
		}
	}
}

func TestWhatIsWrittenTheOtherWayStaysWhole(t *testing.T) {
	l := Sample(EmailChanged)
	l.Language = language.Arabic
	m, err := composer(t).Compose(l)
	if err != nil {
		t.Fatal(err)
	}
	for _, whole := range []string{l.When, l.Until, l.Organization} {
		if !strings.Contains(m.Text, "\u2068"+whole+"\u2069") || !strings.Contains(m.HTML, "\u2068"+whole+"\u2069") {
			t.Errorf("%q is mixed up in %s", whole, m.Text)
		}
	}
	if !strings.Contains(m.HTML, `dir="rtl"`) || !strings.Contains(m.Text, l.Link) || strings.ContainsAny(m.Subject, "\u2068\u2069") {
		t.Errorf("%+v", m)
	}
}

func TestWhatCannotBeWrittenIsRefused(t *testing.T) {
	c := composer(t)
	for name, l := range map[string]Letter{
		"no kind":    {To: "a@example.com"},
		"no address": {Kind: PasswordChange},
		"two lines":  {Kind: PasswordChange, To: "a@example.com\r\nBcc: b@example.com"},
		"no link":    {Kind: PasswordReset, To: "a@example.com"},
		"no code":    {Kind: EmailCode, To: "a@example.com", Link: "https://id.example.com"},
	} {
		if m, err := c.Compose(l); err == nil {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

// Who signs up with somebody else's address chooses the name that the letter speaks of (Zitadel CVE-2024-41953).
func TestANameIsNoAdvertisement(t *testing.T) {
	for name, want := range map[string]string{
		"Alice Doe": "Alice Doe", "J. R. Doe": "J. R. Doe", "Firefox 128.0 on Linux": "Firefox 128.0 on Linux", "Dr. Ålice": "Dr. Ålice",
		"win at evil.example/x": "win at evil. example/ x", "https://evil.example": "https: / / evil. example", "mailto:a@b.example": "mailto: a@ b. example",
		"a\r\nBcc: b@c.example": "a Bcc: b@ c. example", "\u202egnp.exe": "gnp. exe", "www.evil.example": "www. evil. example",
		strings.Repeat("ß", 100): strings.Repeat("ß", maxName) + "…", "": "",
	} {
		if got := told(name); got != want {
			t.Errorf("told(%q) = %q, want %q", name, got, want)
		}
	}
	m, err := composer(t).Compose(Letter{
		Kind: VerifyEmail, To: "a@example.com", Link: "https://id.example.com/verify?token=x", Code: "1",
		Name: `<a href="https://evil.example">You won</a>`, Organization: "<b>Acme</b>",
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, hostile := range []string{"evil.example", "<b>", `<a href="https: `} {
		if strings.Contains(m.HTML, hostile) {
			t.Errorf("%s stands in\n%s", hostile, m.HTML)
		}
	}
}

func TestALinkIsNeverAnythingButALink(t *testing.T) {
	m, err := composer(t).Compose(Letter{Kind: PasswordReset, To: "a@example.com", Link: `javascript:alert(1)//"><script>`})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(m.HTML, `href="javascript`) || strings.Contains(m.HTML, "<script") {
		t.Errorf("%s", m.HTML)
	}
}

func put(t testing.TB, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAnOperatorReplacesTemplates(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "layout.html", `<html lang="{{.Lang}}"><body><i>ours</i>{{template "content" .}}</body></html>`)
	put(t, dir, "password_reset.html", `<p>Dear {{.Name}}, <a href="{{.Link}}">here</a></p>`)
	put(t, dir, "password_reset.txt", `{{define "subject"}}Forgotten, {{.Organization}}?{{end}}Dear {{.Name}}: {{.Link}}`)
	put(t, dir, "NOTES", "{{")
	c, err := NewComposer(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Compose(Sample(PasswordReset))
	if err != nil {
		t.Fatal(err)
	}
	link := Sample(PasswordReset).Link
	if m.Subject != "Forgotten, Example?" || m.Text != "Dear Alice Doe: "+link+"\n" ||
		m.HTML != `<html lang="en"><body><i>ours</i><p>Dear Alice Doe, <a href="`+link+`">here</a></p></body></html>` {
		t.Errorf("%+v", m)
	}
	if m, err = c.Compose(Sample(EmailCode)); err != nil || !strings.Contains(m.HTML, "<i>ours</i><h1") || !strings.HasPrefix(m.Text, "Hello Alice") {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestATemplateThatCannotBeUsedIsSaidAtTheStart(t *testing.T) {
	for _, c := range []struct{ name, content, want string }{
		{"password_reset.html", "<p>\n{{.Link", "password_reset.html:2: "},
		{"password_reset.html", "<p>\n\n{{.Lnik}}", "password_reset.html:3:2: "},
		{"password_reset.txt", "a\n{{.Secret}} {{.Link}}", "password_reset.txt:2:2: "},
		{"password_reset.txt", "{{define \"subject\"}}{{.Link}}{{end}}{{.Link}}", "puts the secret of password_reset into the subject"},
		{"password_reset.txt", "{{define \"subject\"}} {{end}}{{.Link}}", "makes an empty subject"},
		{"password_reset.html", "<p>good luck</p>", "shows neither the link nor the code of password_reset"},
		{"layout.html", "<html>{{template \"contents\" .}}", "layout.html"},
		{"layout.html", "<html>\n</html>", "shows neither the link nor the code"},
		{"pasword_reset.html", "x", "there is no letter of that name"},
		{"layout.txt", "x", "there is no letter of that name"},
	} {
		dir := t.TempDir()
		put(t, dir, c.name, c.content)
		_, err := NewComposer(dir)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.name) {
			t.Errorf("%s %q:\n got %v\nwant %s", c.name, c.content, err, c.want)
		}
	}
	if _, err := NewComposer(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a folder that is not there passes")
	}
}

func FuzzHeaders(f *testing.F) {
	for _, seed := range []string{
		"Acme", "a\r\nBcc: b@c.example", "a\nb", "a\r\rb", "\u2028x", "=?utf-8?q?x?=", strings.Repeat("langer Name ", 200), "\x00", "\xff\xfe", "\"<a@b>\"", "a, b <c@d>",
		"ünï", "(comment)", "\u202e", "ü \\ \"(ß)\" [,.:;@<>]", strings.Repeat("ß", 5000), "\u0085x", " ", "\t",
	} {
		f.Add(seed, seed)
	}
	c := composer(f)
	s, err := NewSender(ServerOptions{From: "no-reply@example.com"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, organization, name string) {
		m, err := c.Compose(Letter{Kind: Invitation, To: "a@example.com", Organization: organization, FromName: name, Name: name, Link: "https://id.example.com/x"})
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{m.Subject, m.FromName} {
			if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) || strings.ContainsAny(text, "\u2028\u2029") {
				t.Fatalf("%q", text)
			}
		}
		letter, err := s.letter(uuid.New(), time.Now(), m)
		if err != nil {
			t.Fatal(err)
		}
		var raw bytes.Buffer
		if _, err := letter.WriteTo(&raw); err != nil {
			t.Fatal(err)
		}
		head, _, _ := bytes.Cut(raw.Bytes(), []byte("\r\n\r\n"))
		for _, line := range bytes.Split(head, []byte("\r\n")) {
			if len(line) > 998 || bytes.ContainsAny(line, "\r\n\x00") {
				t.Fatalf("%q", line)
			}
		}
		read, err := netmail.ReadMessage(&raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, header := range []string{"Subject", "From", "To", "Message-Id", "Date", "Mime-Version", "Content-Type"} {
			if len(read.Header[header]) != 1 {
				t.Fatalf("%d of %s: %v", len(read.Header[header]), header, read.Header)
			}
		}
		if len(read.Header) != 10 {
			t.Fatalf("%v", read.Header)
		}
		var decoder mime.WordDecoder
		subject, err := decoder.DecodeHeader(read.Header.Get("Subject"))
		if err != nil || strings.Join(strings.Fields(subject), " ") != strings.Join(strings.Fields(m.Subject), " ") {
			// A name that is itself written as an encoded word is decoded by whoever reads it; that is theirs.
			if !strings.Contains(m.Subject, "=?") {
				t.Fatalf("%q became %q, %v", m.Subject, subject, err)
			}
		}
		from, err := read.Header.AddressList("From")
		if err != nil || len(from) != 1 || from[0].Address != "no-reply@example.com" {
			t.Fatalf("%v, %v: %q", from, err, read.Header.Get("From"))
		}
		if from[0].Name != m.FromName && !strings.Contains(m.FromName, "=?") {
			t.Fatalf("%q became %q", m.FromName, from[0].Name)
		}
	})
}

// Whoever writes a template reads what there is in docs/operations.md.
func TestTheDocumentationKnowsEveryLetterAndField(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range Kinds() {
		if !bytes.Contains(text, []byte("`"+string(kind)+"`")) {
			t.Errorf("the kind %s is not there", kind)
		}
	}
	for i := range reflect.TypeFor[view]().NumField() {
		if name := reflect.TypeFor[view]().Field(i).Name; !bytes.Contains(text, []byte("`."+name+"`")) {
			t.Errorf("the field .%s is not there", name)
		}
	}
}
