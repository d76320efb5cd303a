package web

import (
	"fmt"
	"html"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
)

// submitScript sends the form. A field could be named submit, and would then hide the form's own method.
const submitScript = `HTMLFormElement.prototype.submit.call(document.forms[0])`

// FormPost answers an application by way of the browser (OAuth 2.0 Form Post Response Mode 1.0 §2): a page whose form sends
// itself, or is sent by its button where scripts do not run. The redirect URI is one that was registered.
func (p *Pages) FormPost(c *gin.Context, redirectURI string, params url.Values) error {
	page, err := newFormPost(redirectURI, params)
	if err != nil {
		return &Error{Status: http.StatusBadRequest, Code: "invalid_request", Message: "error.form_post", Cause: err}
	}
	return p.Render(c, http.StatusOK, "form_post", page)
}

func newFormPost(redirectURI string, params url.Values) (FormPostPage, error) {
	u, err := url.Parse(redirectURI)
	if err != nil {
		return FormPostPage{}, fmt.Errorf("read the redirect URI: %w", err)
	}
	if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return FormPostPage{}, fmt.Errorf("a browser cannot post to a redirect URI of scheme %q", u.Scheme)
	}
	if strings.ContainsFunc(redirectURI, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return FormPostPage{}, fmt.Errorf("the redirect URI %q holds what no URI does", redirectURI)
	}
	page := FormPostPage{address: redirectURI}
	for name, values := range params {
		for _, value := range values {
			page.Fields = append(page.Fields, Field{name, value})
		}
	}
	slices.SortStableFunc(page.Fields, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return page, nil
}

// Action is the attribute that says where the form goes. The redirect URI is written to the byte as it was registered:
// html/template would encode some of it anew, as it does with every URL.
func (p FormPostPage) Action() template.HTMLAttr {
	return template.HTMLAttr(`action="` + html.EscapeString(p.address) + `"`) //nolint:gosec // escaped, quoted, and http or https
}
