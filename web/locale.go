package web

import (
	"strings"

	"github.com/gin-gonic/gin"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/bidi"

	"github.com/keizer-auth/keizer/internal/messages"
)

// languages are what pages can be written in.
type languages struct {
	catalog *messages.Catalog
	matcher language.Matcher
}

func newLanguages() (*languages, error) {
	catalog, err := messages.Load()
	if err != nil {
		return nil, err
	}
	return &languages{catalog, language.NewMatcher(catalog.Languages())}, nil
}

const (
	paramLocales = "ui_locales"
	keyLocales   = contextKey("ui_locales")
	keyReturn    = contextKey("return")
)

// contextKey is the type of what this package keeps in gin's context.
type contextKey string

// UseLocales makes the pages of this request speak what the application asked for (ui_locales, OpenID Connect Core 1.0
// §3.1.2.1), where the request itself does not carry the parameter.
func UseLocales(c *gin.Context, uiLocales string) { c.Set(keyLocales, uiLocales) }

// ReadAgainAt is where whoever reads the pages of this request in another language is led, in place of the request's own address: what
// that has brought is used up, and need not stand in a page.
func ReadAgainAt(c *gin.Context, path string) { c.Set(keyReturn, path) }

func (p *Pages) texts(c *gin.Context) *messages.Texts { return p.languages.negotiate(p.wishes(c)...) }

// Bounds on what is read of a wish.
const (
	maxWish  = 200
	maxWords = 10
)

// negotiate picks the language of a page: what the person has chosen just now, else what the application asks for, else what
// the person chose here before, else what their browser prefers, else what the organization speaks, else English. A wish that no
// language of ours comes near is passed over, and so is a malformed one.
func (l *languages) negotiate(wishes ...string) *messages.Texts {
	for _, wish := range wishes {
		if wish == "" || len(wish) > maxWish {
			continue
		}
		wanted, _, err := language.ParseAcceptLanguage(wish)
		if err != nil || len(wanted) == 0 {
			continue
		}
		if _, index, confidence := l.matcher.Match(wanted...); confidence > language.No {
			return l.catalog.In(l.catalog.Languages()[index])
		}
	}
	return l.catalog.In(language.English)
}

// T is a text, with what is to be put into it as pairs of name and value. A value that is perhaps written in the other direction
// than the text is set apart, so that neither turns the other around (UAX #9 §2.4).
func (f *frame) T(id string, pairs ...string) (string, error) {
	for i := 1; i < len(pairs); i += 2 {
		if pairs[i-1] != messages.Count && f.isForeign(pairs[i]) {
			pairs[i] = "\u2068" + pairs[i] + "\u2069"
		}
	}
	return f.texts.T(id, pairs...)
}

// isForeign reports whether text has a letter of a script that is not written in the direction of the page.
func (f *frame) isForeign(text string) bool {
	here := bidi.LeftToRight
	if f.Dir == "rtl" {
		here = bidi.RightToLeft
	}
	return strings.ContainsFunc(text, func(r rune) bool {
		properties, _ := bidi.LookupRune(r)
		switch properties.Class() {
		case bidi.L:
			return here != bidi.LeftToRight
		case bidi.R, bidi.AL:
			return here != bidi.RightToLeft
		default:
			return false
		}
	})
}

// Say is a text by its id, or the sentence itself where it was not given as one.
func (f *frame) Say(message string) string {
	if text, err := f.texts.T(message); err == nil {
		return text
	}
	return message
}

// Counted is what Say says of a text that is told how many there are.
func (f *frame) Counted(message, count string) string {
	if text, err := f.texts.T(message, messages.Count, count); err == nil {
		return text
	}
	return message
}

// Languages are those that pages are written in, English first.
func (p *Pages) Languages() []language.Tag { return p.languages.catalog.Languages() }
