package manage

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/keizer-auth/keizer/internal/identity"
	"github.com/keizer-auth/keizer/internal/nearest"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/strictjson"
	"github.com/keizer-auth/keizer/login/upstream"
)

// ManifestVersion is the version of the form of a manifest that is read and written.
const ManifestVersion = 1

// Manifest is what an organization is to be, as a file describes it. A part that the file does not speak of is nil, and left alone.
type Manifest struct {
	Slug string
	// Name is what people call it; nil stays as it is.
	Name *string

	settings    settings.Patch
	hosts       []wantedHost
	permissions []wantedPermission
	roles       []wantedRole
	apis        []wantedAPI
	providers   []wantedProvider
	clients     []wantedClient
	references  []SecretReference
}

// What a manifest describes; each with the pointer at which it stands (RFC 6901).
type (
	wantedHost       struct{ at, host string }
	wantedPermission struct {
		at string
		NewPermission
	}
	wantedRole struct {
		at string
		NewRole
	}
	wantedAPI struct {
		at string
		NewAPI
	}
	wantedProvider struct {
		at, name, clientID string
		members            upstream.Patch
		secret             *SecretReference
	}
	wantedClient struct {
		at, id   string
		spec     ClientSpec
		disabled bool
		secret   *SecretReference
	}
)

// SecretReference says where a secret is that a manifest speaks of. It never stands in the manifest itself.
type SecretReference struct {
	// Pointer is where in the manifest the reference stands, and the name under which its secret is given to Apply.
	Pointer string `json:"-"`
	// Env is the name of a variable of the environment, File that of a file. There is one of them.
	Env  string `json:"env,omitempty"`
	File string `json:"file,omitempty"`
	// Optional lets there be none: the secret that there is stays.
	Optional bool `json:"optional,omitempty"`
}

// References returns every reference to a secret.
func (m *Manifest) References() []SecretReference { return slices.Clone(m.references) }

// ParseManifest reads a manifest. It says everything at once that is wrong with its form; the fields of what it says, and of what Apply
// says, are pointers into the manifest (RFC 6901).
func ParseManifest(text []byte) (*Manifest, error) {
	members, err := manifestMembers(text)
	if err != nil {
		return nil, err
	}
	m := &Manifest{}
	root := part{c: &complaints{}, m: m, members: members}
	switch version, ok := members["keizer"]; {
	case !ok:
		root.complain("keizer", "it is needed: 1 is the version of the form that is described here")
	case version != float64(ManifestVersion):
		root.complain("keizer", fmt.Sprintf("it must be %d, which is the version of the form that this server knows", ManifestVersion))
	}
	if err := root.c.err(); err != nil {
		return nil, err // of another form nothing else can be said
	}
	root.knows("keizer", "slug", "name", "settings", "hosts", "permissions", "roles", "apis", "providers", "clients")
	m.Slug = root.needed("slug")
	if m.Slug != "" {
		root.check("slug", checkSlug(m.Slug))
	}
	if _, ok := members["name"]; ok {
		m.Name = new(root.text("name"))
	}
	if decided, ok := root.object("settings"); ok {
		m.settings = settings.Patch(decided.members)
		decided.checkSettings()
	}
	m.hosts = listOfParts(root, "hosts", readHost, func(h wantedHost) string { return h.host })
	m.permissions = listOfParts(root, "permissions", readPermission, func(p wantedPermission) string { return identity.Name(p.Name) })
	m.roles = listOfParts(root, "roles", readRole, func(r wantedRole) string { return identity.Name(r.Name) })
	m.apis = listOfParts(root, "apis", readAPI, func(a wantedAPI) string { return a.Identifier })
	m.providers = listOfParts(root, "providers", readProvider, func(p wantedProvider) string { return p.name })
	m.clients = listOfParts(root, "clients", readClient, func(c wantedClient) string { return c.id })
	if err := root.c.err(); err != nil {
		return nil, err
	}
	return m, nil
}

func manifestMembers(text []byte) (map[string]any, error) {
	if _, err := strictjson.Object(text); err != nil {
		return nil, &Invalid{Message: "it must be an object with the members keizer, slug …: " + err.Error()}
	}
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, &Invalid{Message: "there is a number in it that is too large"}
	}
	return members, nil
}

// part is an object of a manifest that is being read.
type part struct {
	c       *complaints
	m       *Manifest
	at      string
	members map[string]any
}

func (p part) pointer(name string) string { return p.at + "/" + escapeToken(name) }

// escapeToken is RFC 6901 §3.
func escapeToken(name string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(name) }

func (p part) complain(name, message string) { p.c.add(p.pointer(name), "%s", message) }

func (p part) check(name string, err error) { p.c.check(p.pointer(name), err) }

// knows complains of members that are none of those.
func (p part) knows(names ...string) {
	for _, name := range slices.Sorted(maps.Keys(p.members)) {
		if slices.Contains(names, name) {
			continue
		}
		message := "there is no such member"
		if near := nearest.Name(name, slices.Values(names)); near != "" {
			message += "; did you mean " + near + "?"
		}
		p.complain(name, message)
	}
}

func (p part) text(name string) string {
	text, ok := p.members[name].(string)
	if _, given := p.members[name]; given && !ok {
		message := "it must be a text"
		switch p.members[name].(type) {
		case bool, float64:
			message += ": put it in quotes"
		}
		p.complain(name, message)
	}
	return text
}

func (p part) needed(name string) string {
	text := p.text(name)
	if value, ok := p.members[name]; !ok || value == "" {
		p.complain(name, "it is needed")
	}
	return text
}

func (p part) truth(name string) bool {
	truth, ok := p.members[name].(bool)
	if _, given := p.members[name]; given && !ok {
		p.complain(name, "it must be true or false")
	}
	return truth
}

func (p part) texts(name string) []string {
	if _, given := p.members[name]; !given {
		return nil
	}
	items, ok := p.members[name].([]any)
	texts := make([]string, 0, len(items))
	for _, item := range items {
		text, isText := item.(string)
		ok = ok && isText
		texts = append(texts, text)
	}
	if !ok {
		p.complain(name, "it must be an array of texts")
	}
	return texts
}

func (p part) object(name string) (part, bool) {
	value, given := p.members[name]
	members, ok := value.(map[string]any)
	if given && !ok {
		p.complain(name, "it must be an object")
	}
	return part{p.c, p.m, p.pointer(name), members}, ok
}

// listOfParts reads a list, each of whose elements has a key of its own. Where there is none it is nil.
func listOfParts[T any](p part, name string, read func(part, any) T, key func(T) string) []T {
	value, given := p.members[name]
	if !given {
		return nil
	}
	items, ok := value.([]any)
	if !ok {
		p.complain(name, "it must be an array; of nothing it is []")
		return nil
	}
	all := make([]T, 0, len(items))
	first := make(map[string]int, len(items))
	for i, item := range items {
		below := part{p.c, p.m, p.pointer(name) + "/" + strconv.Itoa(i), nil}
		before := len(p.c.found)
		one := read(below, item)
		if k := key(one); k != "" {
			if at, twice := first[k]; twice && len(p.c.found) == before {
				p.c.add(below.at, "it is there already, in this spelling or another: %s[%d]", name, at)
			} else if !twice {
				first[k] = i
			}
		}
		all = append(all, one)
	}
	return all
}

// of is the part with the members of a value, which must be an object.
func (p part) of(value any) part {
	members, ok := value.(map[string]any)
	if !ok {
		p.c.add(p.at, "it must be an object")
	}
	p.members = members
	return p
}

func readHost(p part, value any) wantedHost {
	name, ok := value.(string)
	host := canonical(name)
	if !ok || host == "" {
		p.c.add(p.at, "it must be the name of a host, such as login.example.com")
	}
	return wantedHost{p.at, host}
}

func readPermission(p part, value any) wantedPermission {
	if p = p.of(value); p.members == nil {
		return wantedPermission{}
	}
	p.knows("name", "description", "resource", "action")
	wanted := wantedPermission{p.at, NewPermission{
		Name: p.text("name"), Description: p.text("description"), Resource: p.needed("resource"), Action: p.needed("action"),
	}}
	if wanted.Name == "" {
		wanted.Name = wanted.Resource + ":" + wanted.Action
	}
	return wanted
}

func readRole(p part, value any) wantedRole {
	if p = p.of(value); p.members == nil {
		return wantedRole{}
	}
	p.knows("name", "description", "permissions")
	role := wantedRole{p.at, NewRole{Name: p.needed("name"), Description: p.text("description"), Permissions: p.texts("permissions")}}
	distinct(p.c, p.pointer("permissions"), role.Permissions)
	return role
}

func readAPI(p part, value any) wantedAPI {
	if p = p.of(value); p.members == nil {
		return wantedAPI{}
	}
	p.knows("identifier", "name", "client_id", "scopes")
	api := wantedAPI{p.at, NewAPI{Identifier: p.needed("identifier"), Name: p.text("name"), ClientID: p.text("client_id")}}
	if api.Name == "" {
		api.Name = api.Identifier
	}
	api.Scopes = listOfParts(p, "scopes", func(p part, value any) APIScope {
		if p = p.of(value); p.members == nil {
			return APIScope{}
		}
		p.knows("name", "description", "permission")
		return APIScope{Name: p.needed("name"), Description: p.text("description"), Permission: p.text("permission")}
	}, func(s APIScope) string { return identity.Name(s.Name) })
	slices.SortStableFunc(api.Scopes, func(a, b APIScope) int { return strings.Compare(a.Name, b.Name) })
	return api
}

func readProvider(p part, value any) wantedProvider {
	if p = p.of(value); p.members == nil {
		return wantedProvider{}
	}
	wanted := wantedProvider{at: p.at, name: p.needed("name"), clientID: p.needed("client_id"), secret: p.secret()}
	p.needed("preset")
	wanted.members = upstream.Patch(maps.Clone(p.members))
	for _, own := range []string{"name", "client_id", "secret", "client_secret"} {
		delete(wanted.members, own)
	}
	_, err := wanted.members.Apply(nil)
	for _, complaint := range upstream.Complaints(err) {
		p.c.add(p.at+providerPointer(complaint.Path), "%s", complaint.Message)
	}
	return wanted
}

// clientIDForm is what a client may be called where its id is chosen for it. It is part of addresses, and of log lines.
var clientIDForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?$`)

// personID is the form of the ids of people. A client that were called like somebody would be taken for them by whoever looks at the
// sub of its tokens (RFC 9700 §4.15; S-025).
var personID = regexp.MustCompile(`^[0-9A-Fa-f]{8}-?([0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}$`)

func readClient(p part, value any) wantedClient {
	if p = p.of(value); p.members == nil {
		return wantedClient{}
	}
	wanted := wantedClient{at: p.at, id: p.needed("client_id"), disabled: p.truth("disabled"), secret: p.secret()}
	switch {
	case wanted.id == "":
	case !clientIDForm.MatchString(wanted.id):
		p.complain("client_id", "it must have 1 to 100 letters, digits, dots, hyphens and underscores, and a letter or digit at both ends")
	case personID.MatchString(wanted.id):
		p.complain("client_id", "it must not have the form of a UUID: people are known by those")
	}
	own := maps.Clone(p.members)
	for _, name := range []string{"client_id", "disabled", "secret", "client_secret"} {
		delete(own, name)
	}
	if _, ok := own["client_name"]; !ok && wanted.id != "" {
		own["client_name"] = wanted.id
	}
	text, err := json.Marshal(own)
	if err == nil {
		wanted.spec, err = ParseClientSpec(text)
	}
	for _, complaint := range Complaints(err) {
		p.complain(complaint.Field, complaint.Message)
	}
	return wanted
}

// environmentName is what a variable can be called wherever there are any (POSIX.1, section 8.1).
var environmentName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,200}$`)

const noPlainSecret = "a secret does not stand in the file: say where it is, with {env: NAME} or {file: PATH}"

// secret reads a reference.
func (p part) secret() *SecretReference {
	if _, given := p.members["client_secret"]; given {
		p.complain("client_secret", noPlainSecret+", as secret")
	}
	value, given := p.members["secret"]
	if !given {
		return nil
	}
	members, ok := value.(map[string]any)
	if !ok {
		p.complain("secret", noPlainSecret)
		return nil
	}
	below := part{p.c, p.m, p.pointer("secret"), members}
	below.knows("env", "file", "optional")
	reference := SecretReference{Pointer: below.at, Env: below.text("env"), File: below.text("file"), Optional: below.truth("optional")}
	switch {
	case (reference.Env == "") == (reference.File == ""):
		p.complain("secret", "it must have one of env and file")
	case reference.Env != "" && !environmentName.MatchString(reference.Env):
		below.complain("env", "it must be the name of a variable of the environment, of letters, digits and underscores")
	case strings.HasPrefix(reference.Env, "KEIZER_"):
		below.complain("env", "names that begin with KEIZER_ are kept for the configuration of Keizer itself")
	case strings.ContainsRune(reference.File, 0):
		below.complain("file", "it must be the name of a file")
	}
	p.m.references = append(p.m.references, reference)
	return &reference
}

// checkSettings says what is wrong with settings by themselves.
func (p part) checkSettings() {
	if branding, ok := p.members["branding"].(map[string]any); ok {
		if _, given := branding["logo"]; given {
			p.c.add(p.at+"/branding/logo", "a picture does not stand in a file: keizer org update --logo sets it, and it is left alone here")
			return
		}
	}
	_, _, err := settings.Patch(p.members).Apply(nil)
	for _, complaint := range settings.Complaints(err) {
		p.c.add(p.at+"/"+strings.ReplaceAll(escapeToken(complaint.Path), ".", "/"), "%s", complaint.Message)
	}
}

// providerPointer is where a member of a provider stands. What stands to the left in its maps may have dots of its own.
func providerPointer(path string) string {
	for _, prefix := range []string{"parameters.", "claims.", "roles.map."} {
		if name, ok := strings.CutPrefix(path, prefix); ok {
			return "/" + strings.ReplaceAll(prefix, ".", "/") + escapeToken(name)
		}
	}
	if path == "client_secret" {
		path = "secret"
	}
	return "/" + strings.ReplaceAll(escapeToken(path), ".", "/")
}
