package formbrowser

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Page is what the browser shows. What is filled in stays in the page until a button sends it.
type Page struct {
	URL    *url.URL
	Status int
	Header http.Header
	Title  string // the text of #page-title
	Body   string
	Hops   []Hop // how the browser came here

	browser *Browser
	root    *html.Node
	arrived url.Values
	// arrivedBy is the response mode by which.
	arrivedBy string
}

// Arrived returns the parameters that were carried to Options.StopAt, by redirect or by form_post, and whether the walk
// ended there.
func (p *Page) Arrived() (url.Values, bool) { return p.arrived, p.arrived != nil }

// ArrivedBy returns the response mode by which the browser has arrived: query, fragment or form_post.
func (p *Page) ArrivedBy() string { return p.arrivedBy }

// Has reports whether the page has an element with the id.
func (p *Page) Has(id string) bool { return p.node(id) != nil }

// Text returns the text of the element with the id, its white space as a person sees it; empty when there is none.
func (p *Page) Text(id string) string {
	n := p.node(id)
	if n == nil {
		return ""
	}
	return textOf(n)
}

// Attr returns an attribute of the element with the id.
func (p *Page) Attr(id, name string) (string, bool) {
	n := p.node(id)
	if n == nil {
		return "", false
	}
	return attr(n, name)
}

// Value returns what stands in the field with the id.
func (p *Page) Value(id string) string {
	n := p.node(id)
	if n == nil {
		return ""
	}
	return value(n)
}

// Fill types a value into the field with the id. A checkbox or radio button is ticked by "on" and unticked by "".
func (p *Page) Fill(id, text string) error {
	n := p.node(id)
	if n == nil || (n.DataAtom != atom.Input && n.DataAtom != atom.Textarea && n.DataAtom != atom.Select) {
		return p.miss(id)
	}
	if disabled(n) || has(n, "readonly") {
		return fmt.Errorf("#%s on %q cannot be filled in: it is disabled or read-only", id, p.Title)
	}
	switch {
	case n.DataAtom == atom.Textarea:
		n.FirstChild, n.LastChild = nil, nil
		n.AppendChild(&html.Node{Type: html.TextNode, Data: text})
	case n.DataAtom == atom.Select:
		return p.choose(n, id, text)
	case kind(n) == "checkbox" || kind(n) == "radio":
		p.tick(n, text != "")
	case kind(n) == "hidden":
		return fmt.Errorf("#%s on %q is hidden: a person cannot fill it in", id, p.Title)
	default:
		if most := maxLength(n); most >= 0 && len([]rune(text)) > most {
			return fmt.Errorf("#%s on %q takes %d characters at the most", id, p.Title, most)
		}
		set(n, "value", text)
	}
	return nil
}

// Script writes a value into a hidden field, as a script of the page would; there is none that runs here.
func (p *Page) Script(id, text string) error {
	n := p.node(id)
	if n == nil || kind(n) != "hidden" {
		return p.miss(id)
	}
	set(n, "value", text)
	return nil
}

// Click presses the button, or follows the link, with the id and returns the page to which that leads.
func (p *Page) Click(ctx context.Context, id string) (*Page, error) {
	n := p.node(id)
	switch {
	case n == nil:
		return nil, p.miss(id)
	case n.DataAtom == atom.A:
		href, ok := attr(n, "href")
		if !ok {
			return nil, p.miss(id)
		}
		to, err := p.URL.Parse(href)
		if err != nil {
			return nil, fmt.Errorf("#%s on %q leads nowhere: %w", id, p.Title, err)
		}
		return p.browser.walk(ctx, visit{method: http.MethodGet, to: to, from: p})
	case !submits(n):
		return nil, p.miss(id)
	case disabled(n):
		return nil, fmt.Errorf("#%s on %q is disabled", id, p.Title)
	}
	form := p.owner(n)
	if form == nil {
		return nil, fmt.Errorf("#%s on %q belongs to no form", id, p.Title)
	}
	return p.submit(ctx, form, n)
}

// Submit sends the only form of the page by its first button, as the Enter key does.
func (p *Page) Submit(ctx context.Context) (*Page, error) {
	forms := p.forms()
	if len(forms) != 1 {
		return nil, fmt.Errorf("%q has %d forms, one was expected", p.Title, len(forms))
	}
	var button *html.Node
	for n := range p.controls(forms[0]) {
		if submits(n) && !disabled(n) {
			button = n
			break
		}
	}
	return p.submit(ctx, forms[0], button)
}

func (p *Page) submit(ctx context.Context, form, button *html.Node) (*Page, error) {
	if !p.browser.options.SendIncomplete && !has(form, "novalidate") && (button == nil || !has(button, "formnovalidate")) {
		for n := range p.controls(form) {
			if has(n, "required") && !disabled(n) && p.empty(n) {
				name, _ := attr(n, "id")
				return nil, fmt.Errorf("no browser would send the form of %q: #%s is required and empty", p.Title, name)
			}
		}
	}
	v, err := p.submission(form, button)
	if err != nil {
		return nil, err
	}
	return p.browser.walk(ctx, v)
}

// submission is the request that a form makes when a button sends it (HTML §4.10.22.3).
func (p *Page) submission(form, button *html.Node) (visit, error) {
	pick := func(formAttribute, buttonAttribute string) string {
		if button != nil {
			if s, ok := attr(button, buttonAttribute); ok {
				return s
			}
		}
		s, _ := attr(form, formAttribute)
		return s
	}
	to, err := p.URL.Parse(strings.TrimSpace(pick("action", "formaction")))
	if err != nil {
		return visit{}, fmt.Errorf("the form of %q leads nowhere: %w", p.Title, err)
	}
	values := url.Values{}
	for n := range p.controls(form) {
		name, _ := attr(n, "name")
		if name == "" || disabled(n) || (submits(n) && n != button) || kind(n) == "reset" || kind(n) == "button" {
			continue
		}
		switch {
		case n.DataAtom == atom.Select:
			for _, option := range options(n) {
				if has(option, "selected") && !has(option, "disabled") {
					values.Add(name, optionValue(option))
				}
			}
		case kind(n) == "checkbox" || kind(n) == "radio":
			if has(n, "checked") {
				values.Add(name, value(n))
			}
		case kind(n) == "file" || kind(n) == "image":
			return visit{}, fmt.Errorf("the form of %q has a control of type %s, which is not known here", p.Title, kind(n))
		default:
			values.Add(name, value(n))
		}
	}
	v := visit{method: http.MethodGet, to: to, from: p}
	switch method := strings.ToLower(pick("method", "formmethod")); method {
	case "post":
		if enctype := pick("enctype", "formenctype"); enctype != "" && enctype != "application/x-www-form-urlencoded" {
			return visit{}, fmt.Errorf("the form of %q is sent as %s, which is not known here", p.Title, enctype)
		}
		v.method, v.form = http.MethodPost, values
	case "get", "":
		to.RawQuery = values.Encode()
	default:
		return visit{}, fmt.Errorf("the form of %q has the method %s", p.Title, method)
	}
	return v, nil
}

func (p *Page) miss(id string) error {
	return fmt.Errorf("%w: #%s on %q at %s (status %d)", ErrNoSuchControl, id, p.Title, p.URL.Redacted(), p.Status)
}

func (p *Page) node(id string) *html.Node {
	if p.root == nil || id == "" {
		return nil
	}
	for n := range p.root.Descendants() {
		if got, ok := attr(n, "id"); ok && got == id {
			return n
		}
	}
	return nil
}

// forms are those that the page is about: what stands in its footer is on every page.
func (p *Page) forms() (forms []*html.Node) {
	if p.root == nil {
		return nil
	}
	for n := range p.root.Descendants() {
		aside := slices.Collect(n.Ancestors())
		if n.DataAtom == atom.Form && !slices.ContainsFunc(aside, func(a *html.Node) bool { return a.DataAtom == atom.Footer }) {
			forms = append(forms, n)
		}
	}
	return forms
}

// owner is the form that a control belongs to: the one it names, else the one around it.
func (p *Page) owner(control *html.Node) *html.Node {
	if id, ok := attr(control, "form"); ok {
		if form := p.node(id); form != nil && form.DataAtom == atom.Form {
			return form
		}
		return nil
	}
	for n := range control.Ancestors() {
		if n.DataAtom == atom.Form {
			return n
		}
	}
	return nil
}

// controls yields the controls of a form in the order of the page.
func (p *Page) controls(form *html.Node) func(func(*html.Node) bool) {
	kinds := []atom.Atom{atom.Input, atom.Button, atom.Select, atom.Textarea}
	return func(yield func(*html.Node) bool) {
		for n := range p.root.Descendants() {
			if slices.Contains(kinds, n.DataAtom) && p.owner(n) == form && !yield(n) {
				return
			}
		}
	}
}

// tick sets a checkbox or radio button; ticking a radio button unticks the others of its name.
func (p *Page) tick(n *html.Node, on bool) {
	if on && kind(n) == "radio" {
		name, _ := attr(n, "name")
		for other := range p.controls(p.owner(n)) {
			if also, _ := attr(other, "name"); kind(other) == "radio" && also == name {
				unset(other, "checked")
			}
		}
	}
	if on {
		set(n, "checked", "")
	} else {
		unset(n, "checked")
	}
}

func (p *Page) choose(list *html.Node, id, text string) error {
	all := options(list)
	if !slices.ContainsFunc(all, func(o *html.Node) bool { return optionValue(o) == text }) {
		return fmt.Errorf("#%s on %q has no option %q", id, p.Title, text)
	}
	for _, o := range all {
		unset(o, "selected")
		if optionValue(o) == text {
			set(o, "selected", "")
		}
	}
	return nil
}

// options are those of a list; where none is selected in a drop-down, the first one is, as browsers have it.
func options(list *html.Node) (all []*html.Node) {
	for n := range list.Descendants() {
		if n.DataAtom == atom.Option {
			all = append(all, n)
		}
	}
	selected := slices.ContainsFunc(all, func(o *html.Node) bool { return has(o, "selected") })
	if !selected && len(all) > 0 && !has(list, "multiple") {
		set(all[0], "selected", "")
	}
	return all
}

func optionValue(o *html.Node) string {
	if v, ok := attr(o, "value"); ok {
		return v
	}
	return textOf(o)
}

func submits(n *html.Node) bool {
	switch n.DataAtom {
	case atom.Button:
		return kind(n) == "" || kind(n) == "submit"
	case atom.Input:
		return kind(n) == "submit"
	default:
		return false
	}
}

// disabled reports a control that is disabled, by itself or by a fieldset around it.
func disabled(n *html.Node) bool {
	if has(n, "disabled") {
		return true
	}
	for around := range n.Ancestors() {
		if around.DataAtom == atom.Fieldset && has(around, "disabled") {
			return true
		}
	}
	return false
}

// empty reports a control that would not satisfy "required"; of radio buttons any one of the name does.
func (p *Page) empty(n *html.Node) bool {
	switch kind(n) {
	case "checkbox":
		return !has(n, "checked")
	case "radio":
		name, _ := attr(n, "name")
		for other := range p.controls(p.owner(n)) {
			if also, _ := attr(other, "name"); kind(other) == "radio" && also == name && has(other, "checked") {
				return false
			}
		}
		return true
	default:
		return value(n) == ""
	}
}

func value(n *html.Node) string {
	switch {
	case n.DataAtom == atom.Textarea:
		var b strings.Builder
		for c := range n.ChildNodes() {
			b.WriteString(c.Data)
		}
		return b.String()
	case n.DataAtom == atom.Select:
		for _, o := range options(n) {
			if has(o, "selected") {
				return optionValue(o)
			}
		}
		return ""
	}
	v, ok := attr(n, "value")
	if !ok && (kind(n) == "checkbox" || kind(n) == "radio") {
		return "on"
	}
	return v
}

func kind(n *html.Node) string {
	if n.DataAtom != atom.Input && n.DataAtom != atom.Button {
		return ""
	}
	k, _ := attr(n, "type")
	return strings.ToLower(k)
}

func maxLength(n *html.Node) int {
	raw, ok := attr(n, "maxlength")
	var most int
	if !ok {
		return -1
	}
	if _, err := fmt.Sscanf(raw, "%d", &most); err != nil {
		return -1
	}
	return most
}

// textOf is the text of an element with its white space folded, blocks apart; scripts and styles are not text.
func textOf(n *html.Node) string {
	inline := []atom.Atom{atom.A, atom.Abbr, atom.B, atom.Bdi, atom.Code, atom.Em, atom.I, atom.Kbd, atom.Small, atom.Span, atom.Strong}
	var b strings.Builder
	for d := range n.Descendants() {
		switch {
		case d.Type == html.ElementNode && !slices.Contains(inline, d.DataAtom):
			b.WriteByte(' ')
		case d.Type == html.TextNode && d.Parent.DataAtom != atom.Script && d.Parent.DataAtom != atom.Style:
			b.WriteString(d.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func attr(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Namespace == "" && a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

func has(n *html.Node, name string) bool {
	_, ok := attr(n, name)
	return ok
}

func set(n *html.Node, name, text string) {
	unset(n, name)
	n.Attr = append(n.Attr, html.Attribute{Key: name, Val: text})
}

func unset(n *html.Node, name string) {
	n.Attr = slices.DeleteFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}
