package web

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/text/language"

	"github.com/keizer-auth/keizer/internal/messages"
	"github.com/keizer-auth/keizer/internal/tenant"
)

const (
	// cookieLanguage holds what a person chose themselves, as a language tag. It is no secret, and nothing rests on it.
	cookieLanguage = "lang"
	// cookieLanguageNow holds the same, for as long as somebody takes to sign in: what a person has chosen a moment ago weighs
	// more than what the application asks for, and what they chose last year does not.
	cookieLanguageNow = "lang_now"
	// languageLifetime is for how long the choice is remembered.
	languageLifetime = 365 * 24 * time.Hour

	// languagePath is where the choice is sent, for every organization, and its parameters.
	languagePath  = "/language"
	paramLanguage = "lang"
	paramReturn   = "return"
	// maxReturn is more than the address of any page, in bytes.
	maxReturn = 4 << 10
)

// languageChoice is a language that a page can be read in.
type languageChoice struct {
	Tag, Dir string
	// Name is what the language calls itself.
	Name string
	// Current is true of the one that the page is in.
	Current bool
}

// choices are the languages that a person may choose from. One alone is no choice.
func (l *languages) choices(current language.Tag) []languageChoice {
	tags := l.catalog.Languages()
	if len(tags) < 2 {
		return nil
	}
	choices := make([]languageChoice, len(tags))
	for i, tag := range tags {
		name, err := l.catalog.In(tag).T("page.language_name")
		if err != nil {
			name = tag.String()
		}
		choices[i] = languageChoice{Tag: tag.String(), Dir: messages.Direction(tag), Name: name, Current: tag == current}
	}
	return choices
}

// Language serves POST /language: it remembers the language that a person chose, and goes back to the page that they chose it
// on. It needs no token: another website that could send it would change nothing but the words.
func (p *Pages) Language(c *gin.Context) error {
	form, err := Form(c)
	if err != nil {
		return err
	}
	chosen, err := language.Parse(form.Get(paramLanguage))
	if err != nil || !p.languages.has(chosen) || !ownAddress(form.Get(paramReturn)) {
		return &Error{Status: http.StatusBadRequest, Message: "error.form", Cause: err}
	}
	jar := jar{p.https}
	set(c, jar.cookie(cookieLanguage, nil, chosen.String(), languageLifetime))
	set(c, jar.cookie(cookieLanguageNow, nil, chosen.String(), flowLifetime))
	c.Redirect(http.StatusSeeOther, form.Get(paramReturn))
	return nil
}

func (l *languages) has(tag language.Tag) bool {
	for _, known := range l.catalog.Languages() {
		if known == tag {
			return true
		}
	}
	return false
}

// ownAddress reports whether text is a path of this origin, with its query, and nothing that a browser could take for another
// host: browsers read a backslash as a slash, and leave out tabs and line ends.
func ownAddress(text string) bool {
	if len(text) > maxReturn || !strings.HasPrefix(text, "/") || strings.HasPrefix(text, "//") {
		return false
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }) {
		return false
	}
	u, err := url.Parse(text)
	return err == nil && u.Scheme == "" && u.Host == "" && u.User == nil
}

// wishes are who may have a say in the language of a page, in the order in which they are heard.
func (p *Pages) wishes(c *gin.Context) []string {
	asked, ok := c.Get(keyLocales)
	locales, _ := asked.(string)
	if !ok {
		locales = c.Query(paramLocales)
	}
	jar := jar{p.https}
	wishes := []string{
		jar.value(c, cookieLanguageNow, nil), fromLocales(locales), jar.value(c, cookieLanguage, nil), c.GetHeader("Accept-Language"),
	}
	if org, err := tenant.From(c.Request.Context()); err == nil {
		wishes = append(wishes, org.Decided().Language)
	}
	return wishes
}

// fromLocales writes ui_locales, which are separated by spaces, as Accept-Language has them.
func fromLocales(locales string) string {
	tags := strings.Fields(locales[:min(len(locales), maxWish)])
	return strings.Join(tags[:min(len(tags), maxWords)], ",")
}
