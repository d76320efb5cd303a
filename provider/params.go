package provider

import (
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ory/fosite"
)

// Bounds on what a stranger may send. The server bounds the body and the address line; these bound what is in them.
const (
	maxParams     = 100
	maxScopes     = 50
	maxValueBytes = 8 << 10
	maxAddress    = 8 << 10 // what the server takes, in bytes
)

// readForm reads the parameters of a POST to an endpoint that applications call. They stand in the body, form-encoded (RFC
// 6749 §3.2); parameters in the query are refused, because that is where secrets get logged.
func readForm(r *http.Request) (url.Values, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, fosite.ErrInvalidRequest.WithHint("The Content-Type must be application/x-www-form-urlencoded.")
	}
	if r.URL.RawQuery != "" {
		return nil, fosite.ErrInvalidRequest.WithHint("Parameters belong in the request body, not in the query.")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fosite.ErrInvalidRequest.WithWrap(err).WithHint("The request body could not be read.")
	}
	return parseParams(string(body))
}

// parseParams parses a query or a form strictly: what cannot be decoded is an error, never dropped.
func parseParams(encoded string) (url.Values, error) {
	if strings.Count(encoded, "&") >= maxParams {
		return nil, fosite.ErrInvalidRequest.WithHintf("A request has at most %d parameters.", maxParams)
	}
	form, err := url.ParseQuery(encoded)
	if err != nil {
		return nil, fosite.ErrInvalidRequest.WithHint("The parameters are not properly form-encoded.")
	}
	return form, nil
}

// isText reports whether bytes are what specifications mean by characters (RFC 6749 Appendix B), and what a database takes.
func isText(bytes string) bool { return utf8.ValidString(bytes) && strings.IndexByte(bytes, 0) < 0 }

// repeatable are the parameters that a specification lets stand more than once (RFC 8707 §2).
var repeatable = map[string]bool{"resource": true}

// acceptParams refuses repeated parameters and values beyond any use, and takes parameters without a value away, which are as
// if they had been left out (RFC 6749 §3.1 and §3.2).
func acceptParams(form url.Values) error {
	for name, values := range form {
		if len(values) > 1 && !repeatable[name] {
			return fosite.ErrInvalidRequest.WithHintf("The parameter %q is repeated.", name)
		}
		values = slices.DeleteFunc(values, func(value string) bool { return value == "" })
		if form[name] = values; len(values) == 0 {
			delete(form, name)
		}
		for _, value := range values {
			if len(value) > maxValueBytes {
				return fosite.ErrInvalidRequest.WithHintf("The parameter %q is too long.", name)
			}
			if !isText(value) {
				return fosite.ErrInvalidRequest.WithHintf("The parameter %q is not text in UTF-8.", name)
			}
		}
	}
	if len(strings.Fields(form.Get("scope"))) > maxScopes {
		return fosite.ErrInvalidScope.WithHintf("A request has at most %d scopes.", maxScopes)
	}
	return nil
}

// formRequest is what fosite gets to see instead of the visitor's request: the parameters that we have accepted, as a form
// that is parsed already, and none of the headers.
func formRequest(r *http.Request, form url.Values) *http.Request {
	return &http.Request{
		Method:   http.MethodPost,
		URL:      &url.URL{Path: r.URL.Path},
		Header:   http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
		Body:     http.NoBody,
		Form:     form,
		PostForm: form,
	}
}
