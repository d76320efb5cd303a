package claimmap

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Where claims can be given.
const (
	IDToken     = "id_token"
	UserInfo    = "userinfo"
	AccessToken = "access_token" // if it is a JWT
)

// Places are all of them.
func Places() []string { return []string{IDToken, UserInfo, AccessToken} }

// What claims can be made of. What stands in a person's metadata is named by a path.
const (
	Username      = "username"
	Email         = "email"
	EmailVerified = "email_verified"
	Name          = "name"
	CreatedAt     = "created_at"
	Roles         = "roles"
	Permissions   = "permissions"

	metadata = "metadata."
)

func sources() []string {
	return []string{Username, Email, EmailVerified, Name, CreatedAt, Roles, Permissions}
}

// A Mapping has an application told a claim about people.
type Mapping struct {
	// Claim is what it is called.
	Claim string `json:"claim" doc:"What the claim is called: a word, or an https URI. Names that the server itself gives a meaning to are refused."`
	// From is what it is made of, unless it is the same for everybody: Value, then.
	From  string `json:"from,omitempty" doc:"username, email, email_verified, name, created_at, roles, permissions, or metadata. and a path with dots."`
	Value any    `json:"value,omitempty" doc:"What it is for everybody, instead: a text, a number, true, false, or a list of these."`
	// In are the places at which it is given; userinfo if none is named.
	In []string `json:"in,omitempty" enum:"id_token,userinfo,access_token" doc:"Where it is given; userinfo if nothing is said. An access token has to be a JWT."`
	// Scope is that by which it is given; without one it always is.
	Scope string `json:"scope,omitempty" doc:"The scope by which it is given; without one it always is."`
}

// Bounds of the mappings of one application.
const (
	Most     = 50
	maxPath  = 255     // characters
	maxValue = 1 << 10 // bytes, as JSON
	maxName  = 255     // characters
	maxDepth = 8       // names of a path
)

// word is what a claim is called that is no URI. A dot in it would pass for a path with some readers.
var word = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`)

// reserved are the names to which the server, or whoever reads a token, gives a meaning of their own: what the token is, whose, for whom and
// until when, how the person has signed in, what they may do, and which of their addresses are proven (S-088).
var reserved = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "azp", "nonce", "auth_time", "at_hash", "c_hash", "s_hash", "acr", "amr", "sid", "events",
	"cnf", "act", "may_act", "client_id", "scope", "scp", "active", "token_type", "typ", "authorization_details", "org_id", "sub_id", "sub_jwk", "vct",
	"roles", "permissions", "entitlements", "email", "email_verified", "phone_number", "phone_number_verified", "address", "updated_at",
	"token_introspection", "_claim_names", "_claim_sources",
}

// texts are the standard claims that are texts (OpenID Connect Core 1.0 §5.1): readers expect nothing else there.
var texts = []string{
	"name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile", "picture", "website", "gender", "birthdate", "zoneinfo",
	"locale",
}

// Fits reports whether a value can be given under a name: nothing is never said, and standard claims are texts.
func Fits(name string, value any) bool {
	switch v := value.(type) {
	case nil:
		return false
	case string:
		return v != ""
	case []any:
		return len(v) > 0 && !slices.Contains(texts, name)
	case map[string]any:
		return len(v) > 0 && !slices.Contains(texts, name)
	}
	return !slices.Contains(texts, name)
}

// Check says what is wrong with the mappings of an application, which may ask for some scopes.
func Check(mappings []Mapping, scopes []string) (wrong []error) {
	if len(mappings) > Most {
		return []error{fmt.Errorf("there are more than %d", Most)}
	}
	given := make(map[string]bool)
	for i, m := range mappings {
		add := func(err error) {
			if err != nil {
				wrong = append(wrong, fmt.Errorf("number %d (%q): %w", i+1, m.Claim, err))
			}
		}
		add(checkName(m.Claim))
		add(m.checkSource())
		if m.Scope != "" && !slices.Contains(scopes, m.Scope) {
			add(fmt.Errorf("the scope %q is not one that the client may ask for", m.Scope))
		}
		for j, place := range m.In {
			if !slices.Contains(Places(), place) {
				add(fmt.Errorf("%q is not one of %s", place, strings.Join(Places(), ", ")))
			} else if slices.Contains(m.In[:j], place) {
				add(fmt.Errorf("%q stands there twice", place))
			}
		}
		for _, place := range Places() {
			if m.Is(place) {
				if key := place + " " + m.Claim; given[key] {
					add(fmt.Errorf("it is given in %s by another mapping already", place))
				} else {
					given[key] = true
				}
			}
		}
	}
	return wrong
}

func checkName(name string) error {
	switch {
	case slices.Contains(reserved, strings.ToLower(name)):
		return errors.New("a claim of this name is the server's own to give")
	case word.MatchString(name):
		return nil
	}
	u, err := url.Parse(name)
	odd := func(r rune) bool { return r <= ' ' || r > '~' }
	if err != nil || len(name) > maxName || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || strings.ContainsFunc(name, odd) {
		return errors.New("a claim is called by a word of at most 64 letters, digits, hyphens and underscores, or by an https URI")
	}
	return nil
}

func (m Mapping) checkSource() error {
	if m.Value != nil {
		switch encoded, err := json.Marshal(m.Value); {
		case m.From != "":
			return errors.New("it is made of something, or has a value; not both")
		case err != nil || len(encoded) > maxValue:
			return fmt.Errorf("the value has more than %d bytes", maxValue)
		case !plain(m.Value):
			return errors.New("the value must be a text, a number, true, false, or a list of these")
		case !Fits(m.Claim, m.Value):
			return errors.New("the value is empty, or not a text where applications expect one")
		}
		return nil
	}
	path, ok := m.Path()
	switch {
	case m.From == "":
		return errors.New("from or value is needed")
	case !ok && !slices.Contains(sources(), m.From):
		return fmt.Errorf("%q is not one of %s, nor metadata. and a path", m.From, strings.Join(sources(), ", "))
	case ok && (slices.Contains(path, "") || len(path) > maxDepth || len(m.From) > maxPath):
		return fmt.Errorf("a path is %d names at the most with dots between them", maxDepth)
	case slices.Contains([]string{EmailVerified, CreatedAt, Roles, Permissions}, m.From) && slices.Contains(texts, m.Claim):
		return errors.New("applications expect a text there")
	}
	return nil
}

// plain reports whether a value is a text, a number, true or false, or a list of such.
func plain(value any) bool {
	switch v := value.(type) {
	case string, bool, float64, json.Number, int, int64:
		return true
	case []any:
		return !slices.ContainsFunc(v, func(one any) bool { _, list := one.([]any); return list || !plain(one) })
	}
	return false
}

// Path are the names under which it stands in a person's metadata, one within the other, if it does.
func (m Mapping) Path() ([]string, bool) {
	path, ok := strings.CutPrefix(m.From, metadata)
	if !ok {
		return nil, false
	}
	return strings.Split(path, "."), true
}

// Is reports whether it is given at a place.
func (m Mapping) Is(place string) bool {
	if len(m.In) == 0 {
		return place == UserInfo
	}
	return slices.Contains(m.In, place)
}

// Given reports whether it is given at a place to whoever was granted some scopes.
func (m Mapping) Given(place string, granted []string) bool {
	return m.Is(place) && (m.Scope == "" || slices.Contains(granted, m.Scope))
}

// Read reads mappings as they are kept in a document. What is none is left out: it was checked when it was written.
func Read(value any) (mappings []Mapping) {
	if mappings, ok := value.([]Mapping); ok || value == nil {
		return mappings
	}
	encoded, err := json.Marshal(value)
	if err != nil || json.Unmarshal(encoded, &mappings) != nil {
		return nil
	}
	return mappings
}
