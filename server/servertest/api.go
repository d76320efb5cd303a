package servertest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/keizer-auth/keizer/admin"
	"github.com/keizer-auth/keizer/manage"
)

// Caller is somebody with an access token for the management API.
type Caller struct {
	Token string
	house *House
}

// Machine makes a client that acts for itself in the organization of ctx, and gets it a token for the management API with the
// permissions named.
func (h *House) Machine(ctx context.Context, permissions ...string) *Caller {
	h.t.Helper()
	client := h.Client(ctx, manage.ClientSpec{
		Name: "Machine", GrantTypes: []string{manage.GrantClientCredentials}, Scope: strings.Join(permissions, " "), Audience: []string{h.Base + admin.Path},
	})
	answer := client.Token("grant_type", "client_credentials", "resource", h.Base+admin.Path)
	if answer.Status != http.StatusOK {
		h.t.Fatalf("no token for a machine: %d %s", answer.Status, answer.Body)
	}
	return &Caller{answer.Text("access_token"), h}
}

// With is somebody who has a token already; an empty one is nobody.
func (h *House) With(token string) *Caller { return &Caller{token, h} }

// At is the same caller at another replica.
func (c *Caller) At(h *House) *Caller { return &Caller{c.Token, h} }

// Do asks the API, with a body that is sent as JSON (a merge patch, for PATCH) unless a header says otherwise. What the OpenAPI
// document does not say that the operation answers fails the test.
func (c *Caller) Do(method, path string, body any, header ...string) *Answer {
	c.house.t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	case []byte:
		reader = strings.NewReader(string(b))
	default:
		text, err := json.Marshal(body)
		if err != nil {
			c.house.t.Fatal(err)
		}
		reader = strings.NewReader(string(text))
	}
	request, err := http.NewRequestWithContext(c.house.t.Context(), method, c.house.URL+admin.Path+path, reader)
	if err != nil {
		c.house.t.Fatal(err)
	}
	if reader != nil {
		request.Header.Set("Content-Type", map[bool]string{true: "application/merge-patch+json", false: "application/json"}[method == http.MethodPatch])
	}
	if c.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.Token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := plainClient.Do(request)
	if err != nil {
		c.house.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.house.t.Fatal(err)
	}
	answer := &Answer{response.StatusCode, response.Header, string(text)}
	c.house.judge(method, path, answer)
	return answer
}

// judge looks whether an answer of the API is one that its operation has in the document, and of the form that all have.
func (h *House) judge(method, path string, answer *Answer) {
	h.t.Helper()
	wrong := func(what string) {
		h.t.Helper()
		h.t.Errorf("%s %s: %s: %d %s", method, path, what, answer.Status, answer.Body)
	}
	kind := answer.Header.Get("Content-Type")
	if answer.Status >= http.StatusBadRequest {
		if kind != "application/problem+json" || answer.JSON()["status"] != float64(answer.Status) || answer.Text("title") == "" || answer.Text("request_id") == "" {
			wrong("it is no problem (RFC 9457) " + kind)
		}
	}
	if (answer.Status == http.StatusTooManyRequests || answer.Status == http.StatusServiceUnavailable) && answer.Header.Get("Retry-After") == "" {
		wrong("it does not say when again")
	}
	if (answer.Status == http.StatusUnauthorized) != (answer.Header.Get("WWW-Authenticate") != "") && answer.Status != http.StatusForbidden && answer.Status != http.StatusBadRequest {
		wrong("the challenge is missing, or there for nothing")
	}
	if answer.Header.Get("Cache-Control") != "no-store" || answer.Header.Get("Set-Cookie") != "" || answer.Header.Get("Access-Control-Allow-Origin") != "" {
		wrong("it can be kept, sets a cookie, or is for other origins")
	}
	for _, o := range h.Operations() {
		if o.Method == method && o.Matches(path) {
			if !slices.Contains(o.Answers, answer.Status) {
				wrong("the document does not say so of " + o.ID)
			}
			return
		}
	}
	if answer.Status != http.StatusNotFound && answer.Status != http.StatusMethodNotAllowed {
		wrong("there is no such operation in the document")
	}
}

// Operation is one thing that the API can be asked, as its document says.
type Operation struct {
	ID, Method, Path string
	// Permission is what it takes; empty is nothing but a good token.
	Permission string
	Answers    []int
	// Media are the types of body that it takes; none for none.
	Media  []string
	Schema map[string]any
	Query  []string
}

// Matches reports whether a path is one of the operation's.
func (o Operation) Matches(path string) bool {
	path, _, _ = strings.Cut(path, "?")
	have, want := strings.Split(path, "/"), strings.Split(o.Path, "/")
	if len(have) != len(want) {
		return false
	}
	for i := range want {
		if want[i] != have[i] && !strings.HasPrefix(want[i], "{") {
			return false
		}
	}
	return true
}

var documents sync.Map // by base address: the operations

// Operations are all that the API can be asked. The more particular come first.
func (h *House) Operations() []Operation {
	h.t.Helper()
	if all, ok := documents.Load(h.URL); ok {
		return all.([]Operation)
	}
	document := h.Get(h.Base + admin.Path + "/openapi.json")
	var d struct {
		Paths map[string]map[string]struct {
			OperationID string                      `json:"operationId"`
			Responses   map[string]any              `json:"responses"`
			Security    []map[string][]string       `json:"security"`
			Parameters  []struct{ Name, In string } `json:"parameters"`
			RequestBody struct {
				Content map[string]struct{ Schema map[string]any }
			} `json:"requestBody"`
		} `json:"paths"`
	}
	if err := json.Unmarshal([]byte(document.Body), &d); err != nil {
		h.t.Fatalf("the document: %v", err)
	}
	var all []Operation
	for path, item := range d.Paths {
		for method, o := range item {
			one := Operation{ID: o.OperationID, Method: strings.ToUpper(method), Path: path}
			for status := range o.Responses {
				n, err := strconv.Atoi(status)
				if err != nil {
					h.t.Errorf("%s answers %s", o.OperationID, status)
				}
				one.Answers = append(one.Answers, n)
			}
			for _, s := range o.Security {
				one.Permission = strings.Join(s["bearer"], " ")
			}
			for _, p := range o.Parameters {
				if p.In == "query" {
					one.Query = append(one.Query, p.Name)
				}
			}
			for kind, content := range o.RequestBody.Content {
				one.Media, one.Schema = append(one.Media, kind), content.Schema
			}
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b Operation) int {
		if a, b := strings.Count(a.Path, "{"), strings.Count(b.Path, "{"); a != b {
			return a - b
		}
		return strings.Compare(a.Path+a.Method, b.Path+b.Method)
	})
	documents.Store(h.URL, all)
	return all
}
