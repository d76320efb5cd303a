package web

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"reflect"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/messages"
	"github.com/keizer-auth/keizer/internal/tenant"
)

//go:embed templates/*.html
var templateFiles embed.FS

// Options are what the pages need to know of the house.
type Options struct {
	Log *slog.Logger
	// HTTPS is true when browsers come over https, which a page then asks them to keep to.
	HTTPS bool
}

// Pages renders every page there is. It is safe for concurrent use and never changes.
type Pages struct {
	log       *slog.Logger
	https     bool
	templates map[string]*template.Template
	static    *static
	languages *languages
}

// Page is the data of a page. The types of this package are all there are: what a template shows is written down in one.
type Page interface {
	// title is the message of the heading.
	title() string
}

// kind is what is known of a page before anybody asks for it.
type kind struct {
	// samples are what the page is tried with before it is ever asked for. They reach every branch of its template.
	samples []Page
	// leaves is true when a form of the page may end at an application. Chromium holds form-action against the redirects that
	// follow a form, so that such a page does without it.
	leaves bool
	// script is the one inline script that the page has.
	script string
	// file is the one script of web/static that the page loads, by the name it has there. What the page does without it is
	// everything that can be done without it.
	file string
}

// New returns the pages of one house. A page that cannot be shown is found before the first visitor, and not by one.
func New(o Options) (*Pages, error) {
	tried, err := triedPages()
	if err != nil {
		return nil, err
	}
	p := *tried
	p.log, p.https = o.Log, o.HTTPS
	return &p, nil
}

// triedPages parses the templates and executes every one of them with its samples, once in a process: all of it is part of the program.
var triedPages = sync.OnceValues(func() (*Pages, error) {
	files, err := newStatic()
	if err != nil {
		return nil, err
	}
	languages, err := newLanguages()
	if err != nil {
		return nil, err
	}
	p := &Pages{templates: make(map[string]*template.Template, len(kinds)), static: files, languages: languages}
	layout, err := template.New("layout").Funcs(p.functions()).ParseFS(templateFiles, "templates/layout.html")
	if err != nil {
		return nil, fmt.Errorf("parse the layout: %w", err)
	}
	for name, kind := range kinds {
		if kind.file != "" {
			if _, err := files.address(kind.file); err != nil {
				return nil, fmt.Errorf("page %s: %w", name, err)
			}
		}
		page, err := layout.Clone()
		if err == nil {
			page, err = page.ParseFS(templateFiles, "templates/"+name+".html")
		}
		if err != nil {
			return nil, fmt.Errorf("parse page %s: %w", name, err)
		}
		p.templates[name] = page
		for _, tag := range languages.catalog.Languages() {
			for i, sample := range kind.samples {
				if _, err := p.execute(name, p.frame(languages.catalog.In(tag), kind, sample)); err != nil {
					return nil, fmt.Errorf("try sample %d of page %s in %s: %w", i, name, tag, err)
				}
			}
		}
	}
	return p, everyTemplateIsAPage()
})

// everyTemplateIsAPage reports a template that no page is made of.
func everyTemplateIsAPage() error {
	files, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return fmt.Errorf("list the templates: %w", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(path.Base(file), ".html")
		if _, ok := kinds[name]; !ok && name != "layout" {
			return fmt.Errorf("template %s belongs to no page", name)
		}
	}
	return nil
}

// functions are what templates may call.
func (p *Pages) functions() template.FuncMap {
	return template.FuncMap{
		"asset":    p.static.address,
		"display":  display,
		"sentence": sentence,
		"initials": initials,
		"https":    httpsOnly,
		"script":   func() template.JS { return submitScript },
		"piece":    piece,
	}
}

// frame is what the layout is executed with: the page's data and what is the same on all of them.
type frame struct {
	Lang, Dir    string
	Organization string
	RequestID    string
	Title        string
	// Failed puts the bad news first in the title of the window, where a screen reader begins.
	Failed bool
	// Script is where the page's script is served.
	Script string
	Page   Page
	// Account is the navigation of an account page, and Person whose account it is.
	Account *AccountFrame
	Person  string
	// Brand is what the organization has chosen for its pages.
	Brand brand
	// Languages are those that the page can be read in, and Return is where the choice of another leads back to.
	Languages []languageChoice
	Return    string

	texts *messages.Texts
}

func (p *Pages) frame(texts *messages.Texts, k kind, page Page) *frame {
	f := &frame{
		Lang: texts.Tag().String(), Dir: messages.Direction(texts.Tag()), Organization: productName, Script: p.static.addresses[k.file],
		Page: page, texts: texts,
	}
	f.Title = f.Say(page.title())
	if failing, ok := page.(interface{ failed() bool }); ok {
		f.Failed = failing.failed()
	}
	if framed, ok := page.(interface{ account() *AccountFrame }); ok {
		f.Account = framed.account()
	}
	return f
}

// productName heads the pages that belong to no organization.
const productName = "Keizer"

// Render writes a page. It is rendered whole before the first byte leaves, so that a page is never half a page.
func (p *Pages) Render(c *gin.Context, status int, name string, page Page) error {
	kind, ok := kinds[name]
	if !ok || reflect.TypeOf(page) != reflect.TypeOf(kind.samples[0]) {
		return fmt.Errorf("page %s does not show a %T", name, page)
	}
	texts := p.texts(c)
	f := p.frame(texts, kind, page)
	f.RequestID = RequestID(c)
	if f.Account != nil {
		f.Person = person(c)
	}
	back := c.GetString(keyReturn)
	if back == "" {
		back = c.Request.URL.RequestURI()
	}
	if kind.script == "" && ownAddress(back) {
		f.Languages, f.Return = p.languages.choices(texts.Tag()), back
	}
	org, err := tenant.From(c.Request.Context())
	if err == nil {
		f.Organization, f.Brand = org.Name, brandOf(org)
	} else if !errors.Is(err, tenant.ErrNone) {
		return fmt.Errorf("render page %s: %w", name, err)
	}
	body, err := p.execute(name, f)
	if err != nil {
		return fmt.Errorf("render page %s: %w", name, err)
	}
	var frames []string
	if framing, ok := page.(interface{ frames() []string }); ok {
		frames = framing.frames()
	}
	p.setHeaders(c.Writer.Header(), kind, frames...)
	c.Writer.Header().Set("Content-Language", f.Lang)
	c.Data(status, "text/html; charset=utf-8", body)
	return nil
}

func (p *Pages) execute(name string, f *frame) ([]byte, error) {
	var body bytes.Buffer
	if err := p.templates[name].ExecuteTemplate(&body, "layout", f); err != nil {
		return nil, err
	}
	return body.Bytes(), nil
}

// Asset is where a file of ours is served, for a page that is made elsewhere.
func (p *Pages) Asset(name string) (string, error) { return p.static.address(name) }

// Write answers with a page that was made elsewhere, under the headers that every page has.
func (p *Pages) Write(c *gin.Context, status int, page []byte) {
	p.setHeaders(c.Writer.Header(), kind{})
	c.Data(status, "text/html; charset=utf-8", page)
}

// Static serves GET /static/<name>.<hash>.<extension>.
func (p *Pages) Static() http.Handler { return p.static }
