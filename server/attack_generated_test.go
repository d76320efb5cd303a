package server_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

// contract is the document that a server publishes of its API.
type contract struct {
	t        *testing.T
	document any
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema
}

const documentURL = "https://api.example/openapi.json"

func contractOf(t *testing.T, house *servertest.House) *contract {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(house.Get(house.Base + "/api/v1/openapi.json").Body))
	must(t, err)
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020) // as OpenAPI 3.1 has it
	compiler.AssertFormat()
	must(t, compiler.AddResource(documentURL, document))
	return &contract{t, document, compiler, map[string]*jsonschema.Schema{}}
}

// at is what stands at a place of the document, or nil.
func (c *contract) at(path ...string) any {
	found := c.document
	for _, name := range path {
		object, _ := found.(map[string]any)
		found = object[name]
	}
	return found
}

// schema is that at a place of the document.
func (c *contract) schema(path ...string) *jsonschema.Schema {
	c.t.Helper()
	var at strings.Builder
	for _, name := range path {
		at.WriteString("/" + url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(name)))
	}
	if known := c.compiled[at.String()]; known != nil {
		return known
	}
	schema, err := c.compiler.Compile(documentURL + "#" + at.String())
	must(c.t, err)
	c.compiled[at.String()] = schema
	return schema
}

// place is where an operation stands in the document.
func place(o servertest.Operation, more ...string) []string {
	return append([]string{"paths", o.Path, strings.ToLower(o.Method)}, more...)
}

// judge holds an answer to what the document says of its status: what it is, what it looks like, and what its headers are.
func (c *contract) judge(o servertest.Operation, what string, answer *servertest.Answer) {
	c.t.Helper()
	wrong := func(format string, a ...any) {
		c.t.Helper()
		c.t.Errorf("%s, %s: %d, %s: %.600s", o.ID, what, answer.Status, fmt.Sprintf(format, a...), answer.Body)
	}
	said := place(o, "responses", strconv.Itoa(answer.Status))
	if answer.Status >= http.StatusInternalServerError || c.at(said...) == nil {
		wrong("which the document does not say, or nobody wants to see")
		return
	}
	headers, _ := c.at(append(said, "headers")...).(map[string]any)
	for name := range answer.Header {
		if _, ok := headers[name]; !ok && !slices.ContainsFunc(slices.Collect(maps.Keys(headers)), func(other string) bool { return http.CanonicalHeaderKey(other) == name }) &&
			!slices.Contains(ofEveryAnswer, name) {
			wrong("the header %s is not in the document", name)
		}
	}
	if answer.Status == http.StatusCreated && answer.Header.Get("Location") == "" {
		wrong("it does not say where that is")
	}
	content, _ := c.at(append(said, "content")...).(map[string]any)
	if len(content) == 0 {
		if answer.Body != "" {
			wrong("there is nothing to be said")
		}
		return
	}
	kind := answer.Header.Get("Content-Type")
	if content[kind] == nil {
		wrong("as %q", kind)
		return
	}
	body, err := jsonschema.UnmarshalJSON(strings.NewReader(answer.Body))
	if err == nil {
		err = c.schema(append(said, "content", kind, "schema")...).Validate(body)
	}
	if err != nil {
		wrong("it is not as it should be: %v", err)
	}
}

// ofEveryAnswer are the headers that no operation tells of: the server's own.
var ofEveryAnswer = []string{
	"Cache-Control", "Content-Length", "Content-Security-Policy", "Content-Type", "Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy", "Date",
	"Permissions-Policy", "Referrer-Policy", "Strict-Transport-Security", "Vary", "X-Content-Type-Options", "X-Frame-Options", "X-Request-Id",
}

// vain are the operations that come to nothing as they are meant: nobody proves a host here, and no provider has given a token.
var vain = []string{"verify-host", "reveal-provider-token"}

// maker makes values from schemas.
type maker struct {
	*rand.Rand
	contract *contract
	base     string
	made     int
}

// words are texts that something may stumble over.
var words = []string{
	"", " ", "a", "made up", "' OR '1'='1", `\`, "../../etc/passwd", "%00", "a\x00b", "a\r\nSet-Cookie: a=b", "\u202egnol", "\u0130\u0131\ufb01", "e\u0301", "\U0001f600",
	"null", "-1", "1e999", "{{.}}", "${7*7}", "<b>", "https://127.0.0.1:1/", "javascript:alert(1)", "a@b", "*", "openid", "owner", "2026-02-30T25:61:61Z",
}

func (m *maker) word() string { return words[m.IntN(len(words))] }

func (m *maker) resolved(schema any) map[string]any {
	s, _ := schema.(map[string]any)
	for s["$ref"] != nil {
		s, _ = m.contract.at(strings.Split(strings.TrimPrefix(s["$ref"].(string), "#/"), "/")...).(map[string]any)
	}
	return s
}

// hint is something that a member of a name is likely to be taken for.
func (m *maker) hint(name string) (any, bool) {
	m.made++
	unique := "made-" + strconv.Itoa(m.made)
	switch name {
	case "email":
		return unique + "@example.com", true
	case "slug", "name", "resource", "username", "client_name":
		return unique, true
	case "host":
		return unique + ".example", true
	case "identifier":
		return "https://" + unique + ".example", true
	case "expires_in", "keep_old":
		return "1h", true
	case "action":
		return "read", true
	case "redirect_uris":
		return []any{servertest.Callback}, true
	case "issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint":
		return m.base + "/nothing", true
	}
	return nil, false
}

// value is one that a schema allows, for what has a name.
func (m *maker) value(schema any, name string, depth int) any {
	s := m.resolved(schema)
	if choices, ok := s["enum"].([]any); ok {
		return choices[m.IntN(len(choices))]
	}
	if told, ok := m.hint(name); ok && m.IntN(4) > 0 {
		return told
	}
	number := func(name string, otherwise int) int {
		if given, ok := s[name].(json.Number); ok {
			n, err := given.Int64()
			must(m.contract.t, err)
			return int(n)
		}
		return otherwise
	}
	switch m.kind(s) {
	case "boolean":
		return m.IntN(2) == 0
	case "integer", "number":
		least := number("minimum", -3)
		return least + m.IntN(number("maximum", 1000)-least+1)
	case "array":
		list := []any{}
		for range m.IntN(min(3, number("maxItems", 3)) + 1) {
			list = append(list, m.value(s["items"], "", depth+1))
		}
		return list
	case "object":
		return m.object(s, depth)
	case "null":
		return nil
	}
	if s["format"] == "uuid" {
		return uuid.NewString()
	}
	text := m.word()
	for utf16 := []rune(text); len(utf16) > number("maxLength", len(utf16)); utf16 = []rune(text) {
		text = string(utf16[1:])
	}
	return text
}

// kind is one of the types that a schema allows; where it says nothing, any.
func (m *maker) kind(s map[string]any) string {
	switch kind := s["type"].(type) {
	case string:
		return kind
	case []any:
		return kind[m.IntN(len(kind))].(string)
	}
	return []string{"string", "integer", "boolean", "array", "null"}[m.IntN(5)]
}

func (m *maker) object(s map[string]any, depth int) map[string]any {
	object := map[string]any{}
	members, _ := s["properties"].(map[string]any)
	needed, _ := s["required"].([]any)
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if slices.Contains(needed, any(name)) || m.IntN(2) == 0 && depth < 4 {
			object[name] = m.value(members[name], name, depth+1)
		}
	}
	if more, ok := s["additionalProperties"].(map[string]any); ok {
		for range m.IntN(3) {
			object[m.word()] = m.value(more, "", depth+1)
		}
	}
	return object
}

// others are values that are not what a member of a schema should be, or just still are.
func (m *maker) others(schema any) []any {
	s := m.resolved(schema)
	others := []any{nil, []any{}, map[string]any{}, "text", 17.5, true, []any{map[string]any{"a": []any{nil}}}, map[string]any{"": nil}, -1 << 40}
	m.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	others = append(others[:3], m.word(), m.word())
	bound := func(name string) int64 {
		given, _ := s[name].(json.Number)
		n, _ := given.Int64()
		return n
	}
	if n := bound("maxLength"); n > 0 {
		others = append(others, strings.Repeat("x", int(n)), strings.Repeat("x", int(n)+1), strings.Repeat("\U0001f600", int(n)))
	}
	if n := bound("maxItems"); n > 0 {
		others = append(others, slices.Repeat([]any{"x"}, int(n)), slices.Repeat([]any{"x"}, int(n)+1))
	}
	if n := bound("maximum"); n > 0 {
		others = append(others, n, n+1, bound("minimum"), bound("minimum")-1, 1<<62)
	}
	return others
}

// with returns an object with one member changed, or taken away where there is no other value.
func with(object map[string]any, name string, value ...any) map[string]any {
	object = maps.Clone(object)
	delete(object, name)
	if len(value) > 0 {
		object[name] = value[0]
	}
	return object
}

// Issue 4, "Done when": requests that are made from the published document, such as it allows and such as it does not, find no fault
// of the server and no answer that the document does not have. What it does not allow is refused.
func TestRequestsMadeFromTheDocumentFindNoFaultAndNoOtherAnswer(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	acme, root := house.Organization("acme"), house.In("default")
	house.Organization("scrap")
	names := belongings(t, house, acme)
	nothing := house.Base + "/nothing"
	federate(t, house, acme, "still", "us", "hunter2", map[string]any{
		"preset": "oauth2", "authorization_endpoint": nothing, "token_endpoint": nothing, "userinfo_endpoint": nothing,
	}, "")
	stranger, lesser := house.Machine(house.Organization("elsewhere"), every(false)...), house.Machine(acme, permission.AuditRead)
	c := contractOf(t, house)
	m := &maker{rand.New(rand.NewPCG(4, 2026)), c, house.Base, 0} // the same requests every time
	operations := inOrder(house.Operations())

	asked := 0
	for _, o := range operations {
		who := house.Machine(root, every(true)...) // anew, for each may ask so often only
		mine := about(t, house, o, names)
		path := addressed(t, o, mine)
		media := map[bool]string{true: "application/merge-patch+json", false: "application/json"}[o.Method == http.MethodPatch]
		as := func(who *servertest.Caller, what, path string, body any, header ...string) *servertest.Answer {
			t.Helper()
			answer := who.Do(o.Method, path, body, header...)
			c.judge(o, what, answer)
			return answer
		}
		send := func(what, path string, body any, header ...string) *servertest.Answer {
			t.Helper()
			asked++
			return as(who, what, path, body, header...)
		}
		refused := func(want int, what, path string, body any, header ...string) {
			t.Helper()
			if answer := send(what, path, body, header...); answer.Status != want && (want != 0 || answer.Status < http.StatusBadRequest) {
				t.Errorf("%s, %s: %d, want %d: %.600s", o.ID, what, answer.Status, want, answer.Body)
			}
		}
		plain := bodyOf(t, o, "made")
		var kind []string
		if slices.Contains(o.Media, "image/png") {
			kind = []string{"Content-Type", "image/png"}
		}

		// Who may not.
		for what, answer := range map[string]*servertest.Answer{
			"without a token": as(house.With(""), "without a token", path, plain, kind...), "with one that is none": as(house.With("kz_at_none"), "with one that is none", path, plain, kind...),
		} {
			if answer.Status != http.StatusUnauthorized {
				t.Errorf("%s, %s: %d", o.ID, what, answer.Status)
			}
		}
		for what, other := range map[string]*servertest.Caller{"of another organization": stranger, "with a lesser token": lesser} {
			answer := as(other, what, path, plain, kind...)
			mine := o.Permission == "" || other == lesser && o.Permission == permission.AuditRead
			if mine == (answer.Status == http.StatusForbidden || answer.Status == http.StatusNotFound) {
				t.Errorf("%s, %s: %d", o.ID, what, answer.Status)
			}
		}

		// What is as it should be.
		right := func() {
			answer := send("as it should be", path, plain, kind...)
			if answer.Status >= http.StatusBadRequest && !slices.Contains(vain, o.ID) {
				t.Errorf("%s: %d %s", o.ID, answer.Status, answer.Body)
			}
			if tag := answer.Header.Get("ETag"); tag != "" && o.Method == http.MethodGet {
				for _, condition := range []string{tag, "W/" + tag, `"a", ` + tag, "*"} {
					if same := send("If-None-Match "+condition, path, nil, "If-None-Match", condition); same.Status != http.StatusNotModified {
						t.Errorf("%s, If-None-Match %s: %d", o.ID, condition, same.Status)
					}
				}
				send("another tag", path, nil, "If-None-Match", `"other"`)
			}
		}
		if o.Method != http.MethodDelete {
			right()
		}

		// Names of nothing.
		for part := range strings.SplitSeq(o.Path, "/") {
			param, ok := strings.CutPrefix(part, "{")
			for _, odd := range []string{uuid.NewString(), m.word() + "x", "%2e%2e", "a\x00b", "\xff", strings.Repeat("9", 300), "ünïcode"} {
				if ok {
					refused(0, fmt.Sprintf("%s %.40q", part, odd), addressed(t, o, withName(mine, strings.TrimSuffix(param, "}"), odd)), plain, kind...)
				}
			}
		}

		// Parameters.
		parameters, _ := c.at(place(o, "parameters")...).([]any)
		combined := url.Values{}
		for i, parameter := range parameters {
			p, _ := parameter.(map[string]any)
			name, _ := p["name"].(string)
			if p["in"] != "query" {
				continue
			}
			schema := c.schema(place(o, "parameters", strconv.Itoa(i), "schema")...)
			for _, value := range append(m.others(p["schema"]), m.value(p["schema"], name, 0), m.value(p["schema"], name, 0)) {
				text := fmt.Sprint(value)
				var typed any = text
				if m.resolved(p["schema"])["type"] == "integer" && json.Valid([]byte(text)) {
					typed = json.Number(text)
				}
				query := url.Values{name: {text}}
				if len(query.Encode()) > 6000 || schema.Validate(typed) != nil {
					refused(0, fmt.Sprintf("%s=%.40q", name, text), path+"?"+query.Encode(), nil)
				} else if answer := send(fmt.Sprintf("%s=%.40q", name, text), path+"?"+query.Encode(), nil); answer.Status == http.StatusOK {
					combined[name] = []string{text}
				}
			}
			refused(http.StatusBadRequest, name+" twice", path+"?"+name+"=1&"+name+"=1", nil)
			refused(http.StatusBadRequest, name+" empty", path+"?"+name+"=", nil)
		}
		refused(http.StatusBadRequest, "a parameter that it has not", path+"?nothing=1", plain, kind...)
		if len(combined) > 0 {
			if answer := send("several parameters", path+"?"+combined.Encode(), nil); answer.Status != http.StatusOK {
				t.Errorf("%s?%s: %d %s", o.ID, combined.Encode(), answer.Status, answer.Body)
			}
			if next := send("a page", path+"?limit=1", nil).Text("next_cursor"); next != "" {
				send("the next", path+"?limit=1&cursor="+next, nil)
				refused(http.StatusBadRequest, "half a cursor", path+"?limit=1&cursor="+next[:len(next)/2], nil)
			}
		}

		// Headers.
		if _, known := c.at(place(o, "responses", "412")...).(map[string]any); known {
			for _, tag := range []string{`"stale"`, "stale", `W/"stale"`, ",", `"`} {
				refused(http.StatusPreconditionFailed, "If-Match "+tag, path, plain, "If-Match", tag)
			}
		}
		if o.Method == http.MethodPost {
			for _, key := range []string{"", "a b", strings.Repeat("x", 256), "ä"} {
				refused(http.StatusBadRequest, fmt.Sprintf("under %.10q", key), path, plain, "Idempotency-Key", key)
			}
			if o.ID != "verify-host" {
				first := send("under a key", path, bodyOf(t, o, "keyed"), "Idempotency-Key", "the-key-of-"+o.ID)
				if again := send("again", path, bodyOf(t, o, "keyed"), "Idempotency-Key", "the-key-of-"+o.ID); first.Status < http.StatusBadRequest && again.Body != first.Body {
					t.Errorf("%s: %s, and again %s", o.ID, first.Body, again.Body)
				}
			}
		}

		// Bodies.
		switch {
		case o.Method == http.MethodGet:
		case len(o.Media) == 0:
			for _, body := range []string{`{"a":1}`, "[]", "{", "null", "\x00", strings.Repeat("x", 1000)} {
				refused(http.StatusBadRequest, fmt.Sprintf("with a body %.10q", body), path, body)
			}
		case !slices.Contains(o.Media, media):
			refused(http.StatusUnsupportedMediaType, "as JSON", path, "{}")
			for _, body := range []string{"", "x", "\x89PNG", strings.Repeat("\x00", 1000)} {
				refused(http.StatusBadRequest, fmt.Sprintf("%.10q", body), path, body, kind...)
			}
		default:
			at := place(o, "requestBody", "content", media, "schema")
			schema, source := c.schema(at...), m.resolved(c.at(at...))
			costly := slices.Contains([]string{"create-organization", "rotate-key", "verify-host", "apply-configuration", "apply-any-configuration"}, o.ID) // it makes keys, or asks others
			try := func(what string, body any) {
				t.Helper()
				text, err := json.Marshal(body)
				must(t, err)
				sent, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
				must(t, err)
				switch allowed := schema.Validate(sent) == nil; {
				case !allowed:
					refused(http.StatusBadRequest, what+" "+string(text[:min(len(text), 80)]), path, string(text))
				case !costly:
					send(what+" "+string(text[:min(len(text), 200)]), path, string(text))
				}
			}
			for range 8 {
				try("made up", m.object(source, 0))
			}
			var valid map[string]any
			must(t, json.Unmarshal([]byte(plain.(string)), &valid))
			members, _ := source["properties"].(map[string]any)
			for _, name := range slices.Sorted(maps.Keys(members)) {
				try("without "+name, with(valid, name))
				for _, other := range m.others(members[name]) {
					try(name, with(valid, name, other))
				}
				below, _ := m.resolved(members[name])["properties"].(map[string]any)
				for _, inner := range slices.Sorted(maps.Keys(below)) {
					for _, other := range m.others(below[inner])[:4] {
						try(name+"."+inner, with(valid, name, map[string]any{inner: other}))
					}
				}
				try("more in "+name, with(valid, name, map[string]any{"nothing": 1}))
			}
			for _, member := range []string{"nothing", "org_id", "", m.word() + "x"} {
				try("with more", with(valid, member, "x"))
			}
			for _, body := range []string{
				"", "{", "{}}", "[]", "null", "1", `"x"`, `{"a":1,"a":1}`, `{"a":"\ud800"}`, "\xef\xbb\xbf{}", `{"a":1e999}`, strings.Repeat("[", 2000), strings.Repeat(`{"a":`, 200),
			} {
				if body != "" || c.at(place(o, "requestBody", "required")...) == true {
					refused(http.StatusBadRequest, fmt.Sprintf("%.20q", body), path, body)
				}
			}
			for _, kind := range []string{"", "text/plain", "application/xml", "application/x-www-form-urlencoded", "application/json; charset=latin1", "nonsense/"} {
				refused(http.StatusUnsupportedMediaType, "as "+kind, path, plain, "Content-Type", kind)
			}
			refused(http.StatusRequestEntityTooLarge, "without end", path, `{"a":"`+strings.Repeat("x", 300<<10)+`"}`)
		}
		if o.Method == http.MethodDelete {
			right()
			send("once more", path, plain, kind...)
		}
	}
	if asked < 3000 || asked > 12000 {
		t.Errorf("%d requests were made of %d operations", asked, len(operations))
	}
	t.Logf("%d requests of %d operations", asked, len(operations))
}

// S-254: what belongs to another organization is nothing in a body or a filter, either.
func TestNamesOfAnotherOrganizationNameNothingInABody(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	ours, theirs := house.Organization("ours"), house.Organization("theirs")
	belongings(t, house, ours)
	foreign := belongings(t, house, theirs)
	_, err := house.Operators.CreatePermission(theirs, manage.NewPermission{Resource: "foreign", Action: "read"})
	must(t, err)
	_, err = house.Operators.CreateRole(theirs, manage.NewRole{Name: "foreign"})
	must(t, err)
	who := house.Machine(ours, every(false)...)
	before := lasting(t, house, ours) + lasting(t, house, theirs)
	for _, r := range []struct{ method, path, body, want string }{
		{"POST", "/apis", `{"identifier":"https://a.example","name":"a","client_id":"` + foreign["client"] + `"}`, "/client_id"},
		{"POST", "/apis", `{"identifier":"https://a.example","name":"a","scopes":[{"name":"a","permission":"foreign:read"}]}`, "/scopes"},
		{"POST", "/roles", `{"name":"a","permissions":["foreign:read"]}`, "/permissions"},
		{"PATCH", "/roles/target", `{"permissions":["foreign:read"]}`, "/permissions"},
		{"POST", "/users", `{"email":"a@example.com","roles":["foreign"]}`, "/roles"},
		{"POST", "/invitations", `{"email":"a@example.com","roles":["foreign"]}`, "/roles"},
		{"POST", "/providers", `{"name":"a","preset":"google","client_id":"a","client_secret":"a","roles":{"claim":"a","map":{"a":["foreign"]}}}`, "/roles/map"},
		{"PATCH", "/providers/at-ours", `{"roles":{"claim":"a","map":{"a":["foreign"]}}}`, "/roles/map"},
		{"POST", "/hosts", `{"host":"` + foreign["host"] + `"}`, ""},
		{"PUT", "/issuer", `{"host":"` + foreign["host"] + `"}`, "/host"},
	} {
		answer := who.Do(r.method, "/organizations/ours"+r.path, r.body)
		if r.want == "" { // whoever proves it has it
			if answer.Status != http.StatusCreated || strings.Contains(answer.Body, "theirs\"") {
				t.Errorf("%s: %d %s", r.body, answer.Status, answer.Body)
			}
			must(t, house.Operators.RemoveHost(ours, foreign["host"]))
			before = lasting(t, house, ours) + lasting(t, house, theirs)
			continue
		}
		if got := pointers(answer); answer.Status != http.StatusBadRequest || len(got) != 1 || !strings.HasPrefix(got[0], r.want) {
			t.Errorf("%s %s %s: %d %s", r.method, r.path, r.body, answer.Status, answer.Body)
		}
	}
	for _, query := range []string{"grants?user_id=" + foreign["user"], "grants?client_id=" + foreign["client"], "users?role=foreign", "audit-events?target=" + foreign["user"]} {
		if answer := who.Do("GET", "/organizations/ours/"+query, nil); answer.Status != http.StatusOK || len(items(t, answer)) != 0 {
			t.Errorf("%s: %d %s", query, answer.Status, answer.Body)
		}
	}
	if after := lasting(t, house, ours) + lasting(t, house, theirs); after != before {
		t.Errorf("something was changed: %s", firstDifference(before, after))
	}
}
