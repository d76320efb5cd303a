package relyingparty

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Field is a name and its value, in the order in which they went over the wire.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Exchange is one request and its answer, fit to be shown: secrets are masked in the address, the form, the headers and
// the body. The whole tokens are in Tokens, for whoever has a reason to show them.
type Exchange struct {
	Step    string        `json:"step"`
	At      time.Time     `json:"at"`
	Took    time.Duration `json:"took_ns"`
	Method  string        `json:"method"`
	URL     string        `json:"url"`
	Header  []Field       `json:"header,omitempty"`
	Form    []Field       `json:"form,omitempty"`
	Status  int           `json:"status,omitempty"`
	Answer  []Field       `json:"answer_header,omitempty"`
	Body    string        `json:"body,omitempty"`
	Failure string        `json:"failure,omitempty"` // why there is no answer
	Curl    string        `json:"curl"`
}

const (
	mostExchanges = 64        // kept in a trace; the oldest go first
	mostAnswer    = 256 << 10 // bytes of an answer; discovery and JWKS are the longest ones
	mostShown     = 16 << 10  // bytes of a body that a trace keeps
	dialLimit     = 5 * time.Second
	requestLimit  = 10 * time.Second
)

// errTooLong ends the reading of an answer that no honest server sends.
var errTooLong = errors.New("the answer is longer than 256 KiB")

// trace is an http.RoundTripper that remembers what passes through it.
type trace struct {
	next http.RoundTripper
	step func(address string) string

	mu        sync.Mutex
	exchanges []Exchange
}

// RoundTrip implements http.RoundTripper.
func (t *trace) RoundTrip(r *http.Request) (*http.Response, error) {
	e := Exchange{At: time.Now(), Method: r.Method, Step: t.step(withoutQuery(r.URL))}
	var form url.Values
	if r.Body != nil {
		// A RoundTripper may not alter the request it was given, so the copy gets the body again.
		body, err := io.ReadAll(io.LimitReader(r.Body, mostAnswer))
		err = errors.Join(err, r.Body.Close())
		if err != nil {
			return nil, fmt.Errorf("read the request's own body: %w", err)
		}
		if form, err = url.ParseQuery(string(body)); err != nil {
			return nil, fmt.Errorf("a form is expected: %w", err)
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	e.describe(r, form)

	resp, err := t.next.RoundTrip(r)
	e.Took = time.Since(e.At)
	if err != nil {
		e.Failure = err.Error()
		t.add(e)
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer+1))
	if err == nil && len(body) > mostAnswer {
		err = errTooLong
	}
	e.Took = time.Since(e.At)
	e.Status = resp.StatusCode
	for _, name := range []string{"Content-Type", "Cache-Control", "Location", "Retry-After", "WWW-Authenticate"} {
		for _, value := range resp.Header.Values(name) {
			e.Answer = append(e.Answer, Field{name, printable(value, 512)})
		}
	}
	if err != nil {
		e.Failure = err.Error()
		t.add(e)
		return nil, err
	}
	e.Body = shown(body)
	t.add(e)
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

func (t *trace) add(e Exchange) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.exchanges) == mostExchanges {
		t.exchanges = slices.Delete(t.exchanges, 0, 1)
	}
	t.exchanges = append(t.exchanges, e)
}

func (t *trace) all() []Exchange {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.exchanges)
}

// last returns the newest exchange of a step.
func (t *trace) last(step string) (Exchange, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range slices.Backward(t.exchanges) {
		if e.Step == step {
			return e, true
		}
	}
	return Exchange{}, false
}

// secretNames are the parameters and members whose value lets its holder act for somebody, and the shell variable that
// stands for each in a curl command.
var secretNames = map[string]string{
	"access_token":     "ACCESS_TOKEN",
	"client_assertion": "CLIENT_ASSERTION",
	"client_secret":    "CLIENT_SECRET",
	"code":             "CODE",
	"code_verifier":    "CODE_VERIFIER",
	"id_token":         "ID_TOKEN",
	"id_token_hint":    "ID_TOKEN",
	"password":         "PASSWORD",
	"refresh_token":    "REFRESH_TOKEN",
	"token":            "TOKEN",
}

// secretMembers are the members of an answer that are masked. Fewer than the parameters: "code" or "token" in an answer
// is seldom one.
var secretMembers = []string{"access_token", "client_secret", "id_token", "refresh_token", "registration_access_token"}

// Mask shows enough of a token to tell it from another, and far too little to use it. What a person may have chosen, or
// what is short, is not shown at all.
func Mask(value string) string {
	const head, tail, least = 12, 4, 40
	if len(value) < least {
		return "…"
	}
	return value[:head] + "…" + value[len(value)-tail:]
}

func mask(name, value string) string {
	switch {
	case value == "":
		return ""
	case name == "client_secret" || name == "password":
		return "…"
	default:
		return Mask(value)
	}
}

// describe fills in the request's half of an exchange and its curl equivalent.
func (e *Exchange) describe(r *http.Request, form url.Values) {
	e.URL = maskedURL(r.URL)

	words := []string{"curl", "--silent", "--show-error"}
	if r.Method != http.MethodGet && (r.Method != http.MethodPost || form == nil) {
		words = append(words, "--request", quote(r.Method))
	}
	words = append(words, curlURL(r.URL))

	if kind, value, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok {
		switch {
		case strings.EqualFold(kind, "Basic"):
			id := basicUser(value)
			e.Header = append(e.Header, Field{"Authorization", "Basic " + id + ":…"})
			words = append(words, "--user", quote(id+":")+`"$CLIENT_SECRET"`)
		default:
			e.Header = append(e.Header, Field{"Authorization", kind + " " + Mask(value)})
			words = append(words, "--header", quote("Authorization: "+kind+" ")+`"$ACCESS_TOKEN"`)
		}
	}
	if accept := r.Header.Get("Accept"); accept != "" {
		e.Header = append(e.Header, Field{"Accept", accept})
		words = append(words, "--header", quote("Accept: "+accept))
	}
	for _, name := range sortedNames(form) {
		for _, value := range form[name] {
			if variable := secretNames[name]; variable != "" {
				e.Form = append(e.Form, Field{name, mask(name, value)})
				words = append(words, "--data-urlencode", quote(name+"=")+`"$`+variable+`"`)
			} else {
				e.Form = append(e.Form, Field{name, value})
				words = append(words, "--data-urlencode", quote(name+"="+value))
			}
		}
	}
	e.Curl = fold(words)
}

// curlURL writes an address for a shell, the secrets of its query as variables.
func curlURL(u *url.URL) string {
	query := u.Query()
	plain, secret := url.Values{}, []string{}
	for _, name := range sortedNames(query) {
		if variable := secretNames[name]; variable != "" {
			secret = append(secret, quote(name+"=")+`"$`+variable+`"`)
			continue
		}
		plain[name] = query[name]
	}
	if len(secret) == 0 {
		return quote(u.String())
	}
	bare := *u
	bare.RawQuery = plain.Encode()
	address := bare.String()
	separator := "?"
	if bare.RawQuery != "" {
		separator = "&"
	}
	return quote(address+separator) + strings.Join(secret, quote("&"))
}

func maskedURL(u *url.URL) string {
	query := u.Query()
	hidden := false
	for name, values := range query {
		for i, value := range values {
			if secretNames[name] != "" {
				values[i], hidden = mask(name, value), true
			}
		}
	}
	if !hidden {
		return u.String()
	}
	masked := *u
	masked.RawQuery = strings.ReplaceAll(query.Encode(), url.QueryEscape("…"), "…")
	return masked.String()
}

// basicUser reads the user of Basic credentials; RFC 6749 §2.3.1 has it form-encoded.
func basicUser(encoded string) string {
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return ""
	}
	id, _, _ := strings.Cut(string(raw), ":")
	return id
}

// quote writes a word for a POSIX shell so that nothing in it has a meaning of its own.
func quote(word string) string {
	plain := word != "" && !strings.ContainsFunc(word, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@%+,=", r))
	})
	if plain {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// fold breaks a command before each option that brings a value, the way people write long ones.
func fold(words []string) string {
	var b strings.Builder
	for i, word := range words {
		switch {
		case i == 0:
		case i > 2 && strings.HasPrefix(word, "--"):
			b.WriteString(" \\\n  ")
		default:
			b.WriteByte(' ')
		}
		b.WriteString(word)
	}
	return b.String()
}

func sortedNames(form url.Values) []string {
	names := make([]string, 0, len(form))
	for name := range form {
		names = append(names, name)
	}
	// grant_type tells what a token request is about, so it comes first; the rest by name, which never changes.
	slices.SortFunc(names, func(a, b string) int {
		if first := boolOrder(a == "grant_type", b == "grant_type"); first != 0 {
			return first
		}
		return strings.Compare(a, b)
	})
	return names
}

func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	default:
		return 1
	}
}

// shown returns a body the way a trace keeps it: JSON indented, its order kept, its secrets masked.
func shown(body []byte) string {
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) == nil {
		for name, raw := range members {
			var value string
			if !slices.Contains(secretMembers, name) || json.Unmarshal(raw, &value) != nil {
				continue
			}
			masked, err := json.Marshal(mask(name, value))
			if err != nil {
				continue
			}
			body = bytes.ReplaceAll(body, raw, masked)
		}
	}
	var indented bytes.Buffer
	if json.Indent(&indented, body, "", "  ") == nil {
		body = indented.Bytes()
	}
	if len(body) > mostShown {
		return string(bytes.ToValidUTF8(body[:mostShown], nil)) + "…"
	}
	return string(bytes.ToValidUTF8(body, []byte("\uFFFD")))
}

func withoutQuery(u *url.URL) string {
	bare := *u
	bare.RawQuery, bare.Fragment = "", ""
	return bare.String()
}
