package web

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
	"golang.org/x/text/language"
)

// locale is a language that pages exist in.
type locale struct {
	tag   language.Tag
	texts map[string]string
}

var english = locale{language.English, englishTexts}

// locales are all of them. The first is what everybody gets who asks for none of the others.
var locales = []locale{english}

var matcher = language.NewMatcher(tags(locales))

func tags(locales []locale) []language.Tag {
	tags := make([]language.Tag, len(locales))
	for i, l := range locales {
		tags[i] = l.tag
	}
	return tags
}

// rightToLeft are the scripts that are written so.
var rightToLeft = []string{"Adlm", "Arab", "Hebr", "Mand", "Mend", "Nkoo", "Rohg", "Samr", "Syrc", "Thaa", "Yezi"}

func (l locale) direction() string {
	if script, _ := l.tag.Script(); slices.Contains(rightToLeft, script.String()) {
		return "rtl"
	}
	return "ltr"
}

const (
	paramLocales = "ui_locales"
	// cookieLanguage holds what a person chose themselves, as a language tag. It is no secret, and nothing rests on it.
	cookieLanguage = "lang"
	keyLocales     = contextKey("ui_locales")
)

// contextKey is the type of what this package keeps in gin's context.
type contextKey string

// UseLocales makes the pages of this request speak what the application asked for (ui_locales, OpenID Connect Core 1.0
// §3.1.2.1), where the request itself does not carry the parameter.
func UseLocales(c *gin.Context, uiLocales string) { c.Set(keyLocales, uiLocales) }

func (p *Pages) locale(c *gin.Context) locale {
	asked, ok := c.Get(keyLocales)
	wanted, _ := asked.(string)
	if !ok {
		wanted = c.Query(paramLocales)
	}
	return negotiate(wanted, jar{p.https}.value(c, cookieLanguage, nil), c.GetHeader("Accept-Language"))
}

// Bounds on what is read of a wish.
const (
	maxWish  = 200
	maxWords = 10
)

// negotiate picks the language of a page: what the application asks for, else what the person chose here before, else what
// their browser prefers, else English. A wish that no language of ours comes near is passed over, and so is a malformed one.
func negotiate(uiLocales, cookie, acceptLanguage string) locale {
	spaced := strings.Fields(uiLocales[:min(len(uiLocales), maxWish)])
	for _, wish := range []string{
		strings.Join(spaced[:min(len(spaced), maxWords)], ","),
		cookie,
		acceptLanguage,
	} {
		if wish == "" || len(wish) > maxWish {
			continue
		}
		wanted, _, err := language.ParseAcceptLanguage(wish)
		if err != nil || len(wanted) == 0 {
			continue
		}
		if _, index, confidence := matcher.Match(wanted...); confidence > language.No {
			return locales[index]
		}
	}
	return locales[0]
}

var errNoText = errors.New("there is no such text")

// T is a text, with what is to be put into it as pairs of name and value.
func (f *frame) T(id string, pairs ...string) (string, error) {
	text, ok := f.texts[id]
	if !ok {
		return "", fmt.Errorf("%s: %w", id, errNoText)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		text = strings.ReplaceAll(text, "{"+pairs[i]+"}", pairs[i+1])
	}
	return text, nil
}

// Say is a text by its id, or the sentence itself where it was not given as one.
func (f *frame) Say(message string) string {
	if text, ok := f.texts[message]; ok {
		return text
	}
	return message
}
