package mail

import (
	"embed"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	texttemplate "text/template"

	"golang.org/x/text/language"

	"github.com/keizer-auth/keizer/internal/messages"
)

//go:embed templates
var templateFiles embed.FS

// Composer writes letters. It is safe for concurrent use and never changes.
type Composer struct {
	catalog *messages.Catalog
	matcher language.Matcher
	html    map[Kind]*htmltemplate.Template
	text    map[Kind]*texttemplate.Template
}

// Names of templates, besides those of the kinds.
const (
	layoutName  = "layout"
	contentName = "content"
	subjectName = "subject"

	ownHTML, ownText = "letter.html", "letter.txt"
)

// NewComposer reads the templates, those that an operator has put into dir instead of Keizer's own, and writes a sample of every
// letter in every language with them: what cannot be written is found before anybody waits for it. An empty dir replaces nothing.
func NewComposer(dir string) (*Composer, error) {
	if dir == "" {
		return own()
	}
	return newComposer(dir)
}

// own is the composer of Keizer's own templates, which are the same for as long as the process lives.
var own = sync.OnceValues(func() (*Composer, error) { return newComposer("") })

func newComposer(dir string) (*Composer, error) {
	catalog, err := messages.Load()
	if err != nil {
		return nil, err
	}
	c := &Composer{
		catalog: catalog, matcher: language.NewMatcher(catalog.Languages()),
		html: make(map[Kind]*htmltemplate.Template), text: make(map[Kind]*texttemplate.Template),
	}
	replaced, err := readReplacements(dir)
	if err != nil {
		return nil, err
	}
	var wrong []error
	for _, kind := range Kinds() {
		if err := c.parse(kind, replaced); err != nil {
			wrong = append(wrong, err)
		}
	}
	if len(wrong) > 0 {
		return nil, errors.Join(distinct(wrong)...)
	}
	if err := c.try(); err != nil {
		return nil, err
	}
	return c, nil
}

// Kinds returns every kind of letter, in the order of their names.
func Kinds() []Kind { return slices.Sorted(maps.Keys(plans)) }

// source is the text of a template, and what it is called in a complaint.
type source struct{ name, text string }

// readReplacements reads what an operator has written: KIND.html, KIND.txt and layout.html.
func readReplacements(dir string) (map[string]source, error) {
	if dir == "" {
		return nil, nil //nolint:nilnil // none is what there is
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the templates of mail: %w", err)
	}
	found := make(map[string]source)
	var wrong []error
	for _, entry := range entries {
		name := entry.Name()
		extension := filepath.Ext(name)
		if extension != ".html" && extension != ".txt" {
			continue // a note of theirs
		}
		path := filepath.Join(dir, name)
		_, known := plans[Kind(strings.TrimSuffix(name, extension))]
		if !known && name != layoutName+".html" {
			wrong = append(wrong, fmt.Errorf("%s: there is no letter of that name; there are %s.html, and .html and .txt of %s",
				path, layoutName, kindNames()))
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("read the templates of mail: %w", err))
			continue
		}
		found[name] = source{path, string(text)}
	}
	return found, errors.Join(wrong...)
}

func kindNames() string {
	var names []string
	for _, kind := range Kinds() {
		names = append(names, string(kind))
	}
	return strings.Join(names, ", ")
}

// parse makes the templates of a kind: the operator's where there are any, else ours.
func (c *Composer) parse(kind Kind, replaced map[string]source) error {
	of := func(name, ours string) (source, error) {
		if s, ok := replaced[name]; ok {
			return s, nil
		}
		text, err := fs.ReadFile(templateFiles, "templates/"+ours)
		return source{ours, string(text)}, err
	}
	layout, err := of(layoutName+".html", layoutName+".html")
	if err != nil {
		return err
	}
	html, err := of(string(kind)+".html", ownHTML)
	if err != nil {
		return err
	}
	text, err := of(string(kind)+".txt", ownText)
	if err != nil {
		return err
	}
	page, err := htmltemplate.New(layout.name).Parse(layout.text)
	if err != nil {
		return broken(err)
	}
	content, err := page.New(html.name).Parse(html.text)
	if err != nil {
		return broken(err)
	}
	if _, err := page.AddParseTree(contentName, content.Tree); err != nil {
		return broken(err)
	}
	plain, err := texttemplate.New(text.name).Parse(text.text)
	if err != nil {
		return broken(err)
	}
	c.html[kind], c.text[kind] = page, plain
	return nil
}

// broken says what is wrong with a template as the library does, which names file and line, without its own prefixes.
func broken(err error) error {
	text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "html/template:"), "template: ")
	return errors.New("the template of mail " + strings.TrimPrefix(text, "template: "))
}

func distinct(all []error) (once []error) {
	seen := make(map[string]bool)
	for _, err := range all {
		if !seen[err.Error()] {
			seen[err.Error()] = true
			once = append(once, err)
		}
	}
	return once
}

// Fact is one line of what a letter tells.
type Fact struct{ Label, Value string }

// view is what templates are executed with. Whatever a stranger may have chosen has been made harmless in it.
type view struct {
	// Kind, Link and Code are the letter's own.
	Kind, Link, Code string
	// Organization, Issuer, Name, Inviter, Address, What, Item, Left, Agent, Place, When and Until are what it tells, each perhaps empty.
	Organization, Issuer, Name, Inviter, Address, What, Item, Left, Agent, Place, When, Until string
	// Lang and Dir are for the html element; Accent is the organization's colour, and OnAccent what can be read on it.
	Lang, Dir        string
	Accent, OnAccent string
	// These are sentences in the language of the letter. Those that it does not have are empty.
	Subject, Greeting, Intro, Button, WrittenOut, CodeIntro, Validity, Outro, Footer string
	// Facts are what it tells, with a label before each.
	Facts []Fact
}

// Compose writes a letter.
func (c *Composer) Compose(l Letter) (*Message, error) {
	p, ok := plans[l.Kind]
	if !ok {
		return nil, fmt.Errorf("compose mail: there is no letter of the kind %q", l.Kind)
	}
	if l.To == "" || line(l.To, maxAddress) != l.To {
		return nil, fmt.Errorf("compose mail %s: the letter has no address", l.Kind)
	}
	if p.link && l.Link == "" || p.typed && !p.link && l.Code == "" {
		return nil, fmt.Errorf("compose mail %s: the letter lacks its link or code", l.Kind)
	}
	v, err := c.view(l, p)
	if err != nil {
		return nil, fmt.Errorf("compose mail %s: %w", l.Kind, err)
	}
	m, err := c.execute(l.Kind, v)
	if err != nil {
		return nil, fmt.Errorf("compose mail %s: %w", l.Kind, err)
	}
	m.To, m.FromName, m.ReplyTo, m.Link, m.Code = l.To, line(l.FromName, maxName), line(l.ReplyTo, maxAddress), l.Link, l.Code
	m.From = line(l.Sender, maxAddress)
	if m.FromName == "" {
		m.FromName = v.Organization
	}
	return m, nil
}

// Bounds of headers, in characters.
const (
	maxAddress = 320
	maxSubject = 200
)

func (c *Composer) view(l Letter, p plan) (*view, error) {
	_, index, _ := c.matcher.Match(l.Language)
	texts := c.catalog.In(c.catalog.Languages()[index])
	v := &view{
		Kind: string(l.Kind), Link: l.Link, Code: l.Code,
		Organization: line(l.Organization, maxName), Issuer: l.Issuer, Name: told(l.Name), Inviter: told(l.Inviter),
		Address: line(l.Address, maxAddress), What: line(l.What, maxName), Item: told(l.Item), Left: line(l.Left, maxName),
		Agent: told(l.Agent), Place: line(l.Place, maxName), When: line(l.When, maxName), Until: line(l.Until, maxName),
		Lang: texts.Tag().String(), Dir: messages.Direction(texts.Tag()),
	}
	if texts.Has(l.What) { // what it is, rather than what it is called
		if v.What, _ = texts.T(l.What); v.What == "" {
			return nil, fmt.Errorf("the text %s takes more than there is", l.What)
		}
	}
	v.Accent, v.OnAccent = colours(l.Accent)
	isolated := func(text string) string { return text }
	if v.Dir == "rtl" {
		isolated = isolate
	}
	pairs := []string{"issuer", v.Issuer} // to which a path is added
	for _, value := range []struct{ name, text string }{
		{"organization", v.Organization}, {"name", v.Name}, {"inviter", v.Inviter}, {"address", v.Address}, {"what", v.What}, {"item", v.Item},
		{"left", v.Left}, {"agent", v.Agent}, {"place", v.Place}, {"when", v.When}, {"until", v.Until},
	} {
		pairs = append(pairs, value.name, isolated(value.text))
	}
	var wrong []error
	say := func(id string) string {
		if id == "" {
			return ""
		}
		text, err := texts.T(id, pairs...)
		if err != nil {
			wrong = append(wrong, err)
		}
		return text
	}
	v.Subject, v.Intro, v.Outro, v.Footer = say(p.subject), say(p.intro), say(p.outro), say("mail.footer")
	v.Greeting = say("mail.greeting_nobody")
	if v.Name != "" {
		v.Greeting = say("mail.greeting")
	}
	if v.Link != "" {
		v.Button, v.WrittenOut = say(p.button), say("mail.written_out")
	}
	if v.Code != "" {
		v.CodeIntro = say(p.code)
	}
	if v.Until != "" {
		v.Validity = say("mail.until")
	}
	for _, fact := range []struct{ label, value string }{
		{"mail.fact.what", v.What},
		{"mail.fact.item", v.Item},
		{"mail.fact.address", v.Address},
		{"mail.fact.left", v.Left},
		{"mail.fact.agent", v.Agent},
		{"mail.fact.place", v.Place},
		{"mail.fact.when", v.When},
	} {
		if fact.value != "" {
			v.Facts = append(v.Facts, Fact{say(fact.label), isolated(fact.value)})
		}
	}
	return v, errors.Join(wrong...)
}

// isolate keeps what may be written the other way from being mixed up with the sentence around it (UAX #9, FSI and PDI). The subject
// goes without: what cannot be seen has no place in a header.
func isolate(text string) string {
	if text == "" {
		return ""
	}
	return "\u2068" + text + "\u2069"
}

func (c *Composer) execute(kind Kind, v *view) (*Message, error) {
	m := &Message{Kind: kind, Language: v.Lang}
	var b strings.Builder
	text := c.text[kind]
	if own := text.Lookup(subjectName); own != nil {
		if err := own.Execute(&b, v); err != nil {
			return nil, broken(err)
		}
		v.Subject = b.String()
		b.Reset()
	}
	m.Subject = line(v.Subject, maxSubject)
	v.Subject = m.Subject
	if err := text.Execute(&b, v); err != nil {
		return nil, broken(err)
	}
	m.Text = strings.TrimSpace(b.String()) + "\n"
	b.Reset()
	if err := c.html[kind].Execute(&b, v); err != nil {
		return nil, broken(err)
	}
	m.HTML = b.String()
	return m, nil
}

// keizerAccent is the colour of those who have chosen none: that of the pages.
const keizerAccent = "#1f4e9e"

var colour = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

// colours returns the colour of a button, and which of black and white can be read on it better (WCAG 2.2, relative luminance).
func colours(accent string) (background, foreground string) {
	if !colour.MatchString(accent) {
		accent = keizerAccent
	}
	n, _ := strconv.ParseUint(accent[1:], 16, 32) // the expression above saw to it
	linear := func(shift uint) float64 {
		x := float64(n>>shift&0xff) / 0xff
		return x * x // near enough to sRGB's 2.2
	}
	if 0.2126*linear(16)+0.7152*linear(8)+0.0722*linear(0) > 0.18 {
		return accent, "#000000"
	}
	return accent, "#ffffff"
}

// sampleToken stands in the link and the code of samples, to see that a template shows them.
const sampleToken = "73570"

// try writes one letter of every kind in every language, with everything that a letter may have and with nothing.
func (c *Composer) try() error {
	var wrong []error
	for _, kind := range Kinds() {
		for _, tag := range c.catalog.Languages() {
			full, bare := Sample(kind), Letter{Kind: kind, To: "a@example.com", Organization: "A", Language: tag}
			full.Language = tag
			bare.Link, bare.Code = full.Link, full.Code
			for _, letter := range []Letter{full, bare} {
				m, err := c.Compose(letter)
				if err == nil {
					err = c.complete(kind, m)
				}
				if err != nil {
					wrong = append(wrong, err)
				}
			}
		}
	}
	return errors.Join(distinct(wrong)...)
}

// complete says what a letter lacks of which its reader must have.
func (c *Composer) complete(kind Kind, m *Message) error {
	p := plans[kind]
	var wrong []error
	html := c.html[kind].Name() // the layout, which is to blame for what our own content loses in it
	if content := c.html[kind].Lookup(contentName).Tree.ParseName; content != ownHTML {
		html = content
	}
	for name, body := range map[string]string{c.text[kind].Name(): m.Text, html: m.HTML} {
		if (p.link || p.typed) && !strings.Contains(body, sampleToken) {
			wrong = append(wrong, fmt.Errorf("the template of mail %s shows neither the link nor the code of %s", name, kind))
		}
	}
	if m.Subject == "" {
		wrong = append(wrong, fmt.Errorf("the template of mail %s makes an empty subject of %s", c.text[kind].Name(), kind))
	}
	if strings.Contains(m.Subject, sampleToken) {
		wrong = append(wrong, fmt.Errorf("the template of mail %s puts the secret of %s into the subject, which is shown on locked screens",
			c.text[kind].Name(), kind))
	}
	return errors.Join(wrong...)
}

// Sample is a letter of a kind with everything that it may have.
func Sample(kind Kind) Letter {
	l := Letter{
		Kind: kind, To: "alice@example.com", Name: "Alice Doe", Language: language.English, Organization: "Example", FromName: "Example",
		Issuer: "https://id.example.com", When: "24 November 2026, 14:30 UTC",
	}
	p := plans[kind]
	if p.link {
		l.Link, l.Until = "https://id.example.com/verify?token="+sampleToken+"-sample", "24 November 2026, 15:00 UTC"
	}
	if p.typed {
		l.Code, l.Until = sampleToken+"0", "24 November 2026, 14:40 UTC"
	}
	switch kind {
	case Invitation:
		l.Inviter = "Olga Operator"
	case EmailChanging, EmailChanged, EmailMoved:
		l.Address = "alice@new.example"
	case FactorAdded, FactorRemoved:
		l.What, l.Item = "Passkey", "My telephone"
	case RecoveryUsed:
		l.Left = "7"
	case NewDevice:
		l.Agent, l.Place = "Firefox on Linux", "192.0.2.1"
	case VerifyEmail, SignUpExists, PasswordReset, EmailCode, ConfirmEmail, PasswordChange, AccountDeleted:
	}
	return l
}
