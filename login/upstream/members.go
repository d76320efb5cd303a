package upstream

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/keizer-auth/keizer/internal/mergepatch"
	"github.com/keizer-auth/keizer/internal/nearest"
	"github.com/keizer-auth/keizer/internal/strictjson"
)

// Member is one thing that can be decided about a provider, for people to read.
type Member struct {
	Path, Type, Meaning string
}

// The types of members, as people read them.
const (
	typeText  = "text"
	typeTruth = "true or false"
	typeList  = "list"
	typeMap   = "texts by name"
	typeLists = "lists by value"
)

// allMembers are explained in this order.
var allMembers = []Member{
	{"preset", typeText, "What kind it is: `oidc`, `google`, `microsoft`, `apple`, `github`, `gitlab`, `facebook`, `discord`, `linkedin` or `oauth2`."},
	{"title", typeText, "What people read on its button; empty is the preset's, or the provider's name."},
	{"disabled", typeTruth, "Whether nobody signs in there."},
	{"hidden", typeTruth, "Whether it is offered to those alone whose address has its home there."},
	{"issuer", typeText, "Its issuer, for `oidc`, and for others that do not stand at their usual address. At Microsoft it has `{tenant}` in it."},
	{"hosts", typeList, "Hosts beside the issuer's that its metadata may name."},
	{"authorization_endpoint", typeText, "Where the browser goes, for `oauth2`."},
	{"token_endpoint", typeText, "Where the code is exchanged, for `oauth2`."},
	{"userinfo_endpoint", typeText, "Where it tells of people, for `oauth2`."},
	{"emails_endpoint", typeText, "Where it lists addresses, for a GitHub of your own."},
	{"auth_method", typeText, "How Keizer authenticates: `client_secret_basic`, `client_secret_post` or `none`; empty is the preset's, or its metadata's."},
	{"response_mode", typeText, "`query` or `form_post`; empty is the preset's."},
	{"scopes", typeList, "What is asked for; empty is the preset's."},
	{"parameters", typeMap, "Further parameters of the authorization request."},
	{"tenant", typeText, "Whose accounts, for `microsoft`: `common`, `organizations`, `consumers`, or the id of a directory."},
	{"tenants", typeList, "The ids of the directories that are let in; none is all of `tenant`."},
	{"team_id", typeText, "The team, for `apple`."},
	{"key_id", typeText, "The key, for `apple`. The secret is the key itself, the file that ends with `.p8`."},
	{"claims", typeMap, "Where it says what: ours (`sub`, `email`, `email_verified`, `name`, `username` …) to the left, its own to the right; dots lead deeper."},
	{"trusted_domains", typeList, "Mail domains whose addresses count as proven although the provider does not say so."},
	{"sign_up", typeText, "Who may make an account by way of it: `follow` (whom the organization lets sign up, or has invited), `always` or `never`."},
	{"domains", typeList, "The mail domains of those who may come in by way of it, with a proven address; none is all."},
	{"home_domains", typeList, "Mail domains whose people sign in there."},
	{"roles.claim", typeText, "The claim that roles follow from."},
	{"roles.map", typeLists, "For each value of it the roles of the organization, which are given and taken at every sign-in. System roles are not among them."},
}

// Members are everything that can be decided.
func Members() []Member { return slices.Clone(allMembers) }

// member finds one by its path, or by that of something within it, whose name it returns.
func member(path string) (found Member, within string, ok bool) {
	for _, m := range allMembers {
		if path == m.Path {
			return m, "", true
		}
		if rest, below := strings.CutPrefix(path, m.Path+"."); below && (m.Type == typeMap || m.Type == typeLists) && rest != "" {
			return m, rest, true
		}
	}
	return Member{}, "", false
}

func unknown(path string) error {
	names := make([]string, len(allMembers))
	for i, m := range allMembers {
		names[i] = m.Path
	}
	if near := nearest.Name(path, slices.Values(names)); near != "" {
		return &Complaint{path, "there is no such member; did you mean " + near + "?"}
	}
	return &Complaint{path, "there is no such member"}
}

// Patch is a JSON merge patch of settings (RFC 7396): a member that is null goes back to its default.
type Patch map[string]any

// ParsePatch reads a patch.
func ParsePatch(text []byte) (Patch, error) {
	if _, err := strictjson.Object(text); err != nil {
		return nil, err
	}
	var patch Patch
	if err := json.Unmarshal(text, &patch); err != nil {
		return nil, strictjson.ErrSyntax
	}
	return patch, nil
}

// Set adds to the patch that a member, or what has a name within it, becomes what text says.
func (p Patch) Set(path, text string) error {
	m, within, ok := member(path)
	if !ok || within == "" && (m.Type == typeMap || m.Type == typeLists) {
		return unknown(path)
	}
	var value any = text
	switch m.Type {
	case typeTruth:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return &Complaint{path, "it must be true or false"}
		}
		value = b
	case typeList, typeLists:
		words := []any{}
		for word := range strings.SplitSeq(text, ",") {
			if word = strings.TrimSpace(word); word != "" {
				words = append(words, word)
			}
		}
		value = words
	}
	p.put(m, within, value)
	return nil
}

// Unset adds to the patch that a member, or what has a name within it, goes back to its default.
func (p Patch) Unset(path string) error {
	m, within, ok := member(path)
	if !ok && path == "roles" {
		p[path] = nil
		return nil
	}
	if !ok {
		return unknown(path)
	}
	p.put(m, within, nil)
	return nil
}

func (p Patch) put(m Member, within string, value any) {
	object, names := map[string]any(p), strings.Split(m.Path, ".")
	if within != "" {
		names = append(names, within) // as a whole: names of claims have dots
	}
	for _, name := range names[:len(names)-1] {
		below, ok := object[name].(map[string]any)
		if !ok {
			below = map[string]any{}
			object[name] = below
		}
		object = below
	}
	object[names[len(names)-1]] = value
}

// Apply returns the settings that there are after the patch, which are yet to be validated. What is not known, or of another type, is
// complained of by its name.
func (p Patch) Apply(stored map[string]any) (*Settings, error) {
	var c complaints
	p.check(&c)
	if err := c.err(); err != nil {
		return nil, err
	}
	text, err := json.Marshal(mergepatch.Apply(stored, p))
	if err != nil {
		return nil, fmt.Errorf("change the settings of a provider: %w", err)
	}
	s := &Settings{SignUp: SignUpFollow}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("change the settings of a provider: %w", err)
	}
	return s, nil
}

func (p Patch) check(c *complaints) {
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if name == "roles" {
			below, ok := p[name].(map[string]any)
			if !ok && p[name] != nil {
				c.add(name, "it must be an object")
			}
			for _, inner := range slices.Sorted(maps.Keys(below)) {
				checkMember(c, name+"."+inner, below[inner])
			}
			continue
		}
		checkMember(c, name, p[name])
	}
}

func checkMember(c *complaints, path string, value any) {
	m, within, ok := member(path)
	if !ok || within != "" {
		*c = append(*c, unknown(path))
		return
	}
	if value == nil {
		return
	}
	for _, one := range []struct {
		kind  string
		is    func(any) bool
		wants string
	}{
		{typeText, isText, "it must be a text"}, {typeTruth, func(v any) bool { _, ok := v.(bool); return ok }, "it must be true or false"},
		{typeList, isTexts, "it must be an array of texts"}, {typeMap, eachIs(isText), "it must be an object of texts"},
		{typeLists, eachIs(isTexts), "it must be an object of arrays of texts"},
	} {
		if m.Type == one.kind && !one.is(value) {
			c.add(path, "%s", one.wants)
		}
	}
}

func isText(value any) bool { _, ok := value.(string); return ok }

func isTexts(value any) bool {
	items, ok := value.([]any)
	return ok && !slices.ContainsFunc(items, func(item any) bool { return !isText(item) })
}

// eachIs reports whether an object has values of a kind; null takes one away.
func eachIs(is func(any) bool) func(any) bool {
	return func(value any) bool {
		object, ok := value.(map[string]any)
		for _, one := range object {
			ok = ok && (one == nil || is(one))
		}
		return ok
	}
}
