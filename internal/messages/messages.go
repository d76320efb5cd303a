package messages

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
)

//go:embed texts/*.json
var files embed.FS

// ErrUnknown says that there is no text of an id.
var ErrUnknown = errors.New("there is no such text")

// Catalog is every text in every language. It never changes.
type Catalog struct {
	languages []language.Tag
	texts     map[language.Tag]*Texts
}

// Texts are the texts of one language.
type Texts struct {
	tag       language.Tag
	plain     map[string]string // those that nothing is put into
	known     map[string]bool
	filled    map[string]string // what is put into each, in the order of the names
	localizer *i18n.Localizer
	// english has what this language lacks.
	english *Texts
}

// Count is the name of the value by which the form of a plural is chosen.
const Count = "count"

// Load reads the message files. English comes first among the languages.
func Load() (*Catalog, error) { return load(files) }

func load(from fs.FS) (*Catalog, error) {
	bundle := i18n.NewBundle(language.English)
	bundle.RegisterUnmarshalFunc("json", json.Unmarshal)
	names, err := fs.Glob(from, "texts/*.json")
	if err != nil {
		return nil, fmt.Errorf("list the message files: %w", err)
	}
	c := &Catalog{languages: []language.Tag{language.English}, texts: make(map[language.Tag]*Texts)}
	for _, name := range names {
		file, err := bundle.LoadMessageFileFS(from, name)
		if err != nil {
			return nil, fmt.Errorf("read message file %s: %w", path.Base(name), err)
		}
		t := c.texts[file.Tag]
		if t == nil {
			t = &Texts{tag: file.Tag, plain: make(map[string]string), known: make(map[string]bool), filled: make(map[string]string)}
			c.texts[file.Tag] = t
			if file.Tag != language.English {
				c.languages = append(c.languages, file.Tag)
			}
		}
		if err := t.add(file.Messages); err != nil {
			return nil, fmt.Errorf("message file %s: %w", path.Base(name), err)
		}
	}
	for _, t := range c.texts {
		t.localizer, t.english = i18n.NewLocalizer(bundle, t.tag.String()), c.In(language.English)
	}
	return c, nil
}

func (t *Texts) add(messages []*i18n.Message) error {
	for _, m := range messages {
		switch {
		case t.known[m.ID]:
			return fmt.Errorf("%q is there twice", m.ID)
		case m.Other == "":
			return fmt.Errorf("%q is empty", m.ID)
		}
		t.known[m.ID], t.filled[m.ID] = true, placeholders(m.Other)
		if plural := m.Zero + m.One + m.Two + m.Few + m.Many; plural == "" && !strings.Contains(m.Other, "{{") {
			t.plain[m.ID] = m.Other
		}
	}
	return nil
}

// placeholders are the names of what is put into a text.
func placeholders(text string) string {
	var names []string
	for _, found := range placeholder.FindAllStringSubmatch(text, -1) {
		names = append(names, found[1])
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

var placeholder = regexp.MustCompile(`\{\{[^}]*?\.(\w+)[^}]*\}\}`)

// Complete holds every language against English. Where one lacks a text, English is shown; that none does, nor leaves out what the
// text is about, is for a test to say, before anybody reads a page in two languages.
func (c *Catalog) Complete() error {
	var wrong []error
	english := c.In(language.English)
	for _, tag := range c.languages {
		for id := range english.known {
			if !c.texts[tag].known[id] {
				wrong = append(wrong, fmt.Errorf("the texts in %s lack %q", tag, id))
			} else if here, there := c.texts[tag].filled[id], english.filled[id]; here != there {
				wrong = append(wrong, fmt.Errorf("the text %q takes %q in %s, and %q in English", id, here, tag, there))
			}
		}
		for id := range c.texts[tag].known {
			if !english.known[id] {
				wrong = append(wrong, fmt.Errorf("the texts in %s have %q, which English has not", tag, id))
			}
		}
	}
	return errors.Join(wrong...)
}

// Languages are those that there are texts in, English first.
func (c *Catalog) Languages() []language.Tag { return c.languages }

// In returns the texts of a language that Languages names, else the English ones.
func (c *Catalog) In(tag language.Tag) *Texts {
	if t, ok := c.texts[tag]; ok {
		return t
	}
	return c.texts[language.English]
}

// Tag is the language.
func (t *Texts) Tag() language.Tag { return t.tag }

// IDs returns the id of every text, in no order.
func (t *Texts) IDs() []string {
	ids := make([]string, 0, len(t.known))
	for id := range t.known {
		ids = append(ids, id)
	}
	return ids
}

// Has reports whether id is that of a text.
func (t *Texts) Has(id string) bool { return t.known[id] || t.english.known[id] }

// T is a text, with what is to be put into it as pairs of name and value. The value of Count chooses among the forms of a
// plural. No text of the id is ErrUnknown.
func (t *Texts) T(id string, pairs ...string) (string, error) {
	if text, ok := t.plain[id]; ok {
		return text, nil
	}
	if !t.known[id] {
		if t != t.english {
			return t.english.T(id, pairs...)
		}
		return "", fmt.Errorf("%s: %w", id, ErrUnknown)
	}
	data := make(map[string]string, len(pairs)/2)
	config := i18n.LocalizeConfig{MessageID: id, TemplateData: data}
	for i := 0; i+1 < len(pairs); i += 2 {
		data[pairs[i]] = pairs[i+1]
		if pairs[i] == Count {
			n, err := strconv.Atoi(pairs[i+1])
			if err != nil {
				return "", fmt.Errorf("%s: the count is %q", id, pairs[i+1])
			}
			config.PluralCount = n
		}
	}
	text, err := t.localizer.Localize(&config)
	if err != nil {
		return "", fmt.Errorf("%s: %w", id, err)
	}
	return text, nil
}

// rightToLeft are the scripts that are written so.
var rightToLeft = []string{"Adlm", "Arab", "Hebr", "Mand", "Mend", "Nkoo", "Rohg", "Samr", "Syrc", "Thaa", "Yezi"}

// Direction is which way a language is written, as HTML says it: ltr or rtl.
func Direction(tag language.Tag) string {
	if script, _ := tag.Script(); slices.Contains(rightToLeft, script.String()) {
		return "rtl"
	}
	return "ltr"
}
