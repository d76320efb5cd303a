package upstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/keizer-auth/keizer/internal/identity"
	"github.com/keizer-auth/keizer/internal/outbound"
)

// Who may make an account by way of a provider.
const (
	SignUpFollow = "follow" // whoever the organization lets sign up, or has invited
	SignUpAlways = "always" // whoever comes from there
	SignUpNever  = "never"
)

// Settings are what an organization decides about a provider. What is empty is the preset's.
type Settings struct {
	Preset string `json:"preset"`
	Title  string `json:"title,omitempty"`
	// Disabled is true where nobody signs in there; Hidden, where it is offered to nobody who is not led there by their address.
	Disabled bool `json:"disabled,omitempty"`
	Hidden   bool `json:"hidden,omitempty"`

	Issuer        string   `json:"issuer,omitempty"`
	Authorization string   `json:"authorization_endpoint,omitempty"`
	Token         string   `json:"token_endpoint,omitempty"`
	Userinfo      string   `json:"userinfo_endpoint,omitempty"`
	Emails        string   `json:"emails_endpoint,omitempty"`
	Hosts         []string `json:"hosts,omitempty"`

	AuthMethod   string            `json:"auth_method,omitempty"`
	ResponseMode string            `json:"response_mode,omitempty"`
	Scopes       []string          `json:"scopes,omitempty"`
	Parameters   map[string]string `json:"parameters,omitempty"`

	Tenant  string   `json:"tenant,omitempty"`
	Tenants []string `json:"tenants,omitempty"`
	TeamID  string   `json:"team_id,omitempty"`
	KeyID   string   `json:"key_id,omitempty"`

	Claims         map[string]string `json:"claims,omitempty"`
	TrustedDomains []string          `json:"trusted_domains,omitempty"`

	SignUp      string   `json:"sign_up"`
	Domains     []string `json:"domains,omitempty"`
	HomeDomains []string `json:"home_domains,omitempty"`
	Roles       Roles    `json:"roles,omitzero"`
}

// Roles says which roles of the organization follow from a claim.
type Roles struct {
	Claim string `json:"claim,omitempty"`
	// Map has the roles of each value of the claim. Other values mean nothing.
	Map map[string][]string `json:"map,omitempty"`
}

// Named are the roles that the provider has the say over, each once.
func (r Roles) Named() []string {
	var names []string
	for _, value := range slices.Sorted(maps.Keys(r.Map)) {
		for _, name := range r.Map[value] {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// Of are the roles of somebody with these values of the claim.
func (r Roles) Of(values []string) []string {
	var names []string
	for _, value := range values {
		for _, name := range r.Map[value] {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// Called is what a provider of a name is called to people.
func (s *Settings) Called(name string) string {
	if s.Title != "" {
		return s.Title
	}
	if preset, ok := presetNamed(s.Preset); ok && preset.Title != "" {
		return preset.Title
	}
	return name
}

// Parse reads what stands in the column settings. Members that are not known are passed over: a newer replica may have written them.
func Parse(stored map[string]any) (*Settings, error) {
	s := &Settings{SignUp: SignUpFollow}
	text, err := json.Marshal(stored)
	if err == nil {
		err = json.Unmarshal(text, s)
	}
	if err == nil {
		if _, ok := presetNamed(s.Preset); !ok {
			err = fmt.Errorf("there is no preset %q", s.Preset)
		}
	}
	if err == nil && !slices.Contains(signUps, s.SignUp) {
		err = errors.New("nobody can tell whom it lets make an account")
	}
	if err != nil {
		return nil, fmt.Errorf("read the settings of a provider: %w", err)
	}
	return s, nil
}

// Map is what the column settings holds of s.
func (s *Settings) Map() (map[string]any, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("write the settings of a provider: %w", err)
	}
	var stored map[string]any
	if err := json.Unmarshal(text, &stored); err != nil {
		return nil, fmt.Errorf("write the settings of a provider: %w", err)
	}
	return stored, nil
}

// Complaint is what is wrong with one member.
type Complaint struct{ Path, Message string }

// Error implements error.
func (c *Complaint) Error() string { return c.Path + ": " + c.Message }

// Complaints returns everything that an error of this package complains of, or nil.
func Complaints(err error) (all []*Complaint) {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range several.Unwrap() {
			all = append(all, Complaints(one)...)
		}
		return all
	}
	if one, ok := errors.AsType[*Complaint](err); ok {
		all = append(all, one)
	}
	return all
}

type complaints []error

func (c *complaints) add(path, format string, a ...any) {
	*c = append(*c, &Complaint{path, fmt.Sprintf(format, a...)})
}

func (c *complaints) err() error {
	slices.SortStableFunc(*c, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(*c...)
}

// Bounds.
const (
	maxTitle   = 60 // characters
	maxList    = 200
	maxWord    = 200 // bytes
	maxText    = 500 // bytes
	maxRoleMap = 200
)

var (
	signUps      = []string{SignUpFollow, SignUpAlways, SignUpNever}
	scopeToken   = regexp.MustCompile(`^[\x21\x23-\x5b\x5d-\x7e]{1,200}$`) // RFC 6749 §3.3
	parameter    = regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,60}$`)
	directory    = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	appleID      = regexp.MustCompile(`^[A-Z0-9]{10}$`)
	tenantWords  = []string{"common", "organizations", "consumers"}
	consumers    = "9188040d-6c67-4c5b-b112-36a304b66dad" // the directory of personal accounts
	ownParameter = []string{
		"client_id", "client_secret", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "code", "code_challenge",
		"code_challenge_method", "code_verifier", "request", "request_uri", "prompt", "max_age", "login_hint", "id_token_hint",
	}
	// Where a person is told of: who they are, and the claims that they write themselves (S-088).
	ownClaims = []string{
		claimSubject, claimEmail, emailVerified, claimName, claimUsername, "given_name", "family_name", "nickname", "birthdate", "zoneinfo",
		"locale", "picture", "website",
	}
)

// Validate brings s into its canonical form and says everything that is wrong with it. reach says which addresses may be asked. That
// roles exist, and that another provider has none of the home domains, is for whoever knows them.
func (s *Settings) Validate(reach outbound.Options) error {
	var c complaints
	preset, ok := presetNamed(s.Preset)
	if !ok {
		c.add("preset", "it must be one of %s", presetNames())
		return c.err()
	}
	s.validateLook(&c)
	s.validatePlace(&c, preset, reach)
	s.validateWay(&c, preset)
	s.validatePeople(&c)
	return c.err()
}

func (s *Settings) validateLook(c *complaints) {
	switch {
	case utf8.RuneCountInString(s.Title) > maxTitle:
		c.add("title", "it must have at most %d characters", maxTitle)
	case unprintable(s.Title) || strings.TrimSpace(s.Title) != s.Title:
		c.add("title", "it must be one line of text, without control characters or spaces around it")
	}
}

// validatePlace looks at where the provider is.
func (s *Settings) validatePlace(c *complaints, preset Preset, reach outbound.Options) {
	check := func(path, address string, issuer bool) {
		if address == "" {
			return
		}
		if err := reach.CheckURL(strings.ReplaceAll(address, tenantPart, tenantWords[0])); err != nil {
			c.add(path, "%v", err)
		} else if u, err := url.Parse(address); issuer && (err != nil || u.RawQuery != "" || u.ForceQuery) {
			c.add(path, "it must not have a query") // Discovery 1.0 §3
		}
	}
	check("issuer", s.Issuer, true)
	for _, endpoint := range []struct {
		path, address string
		needed        bool
	}{
		{"authorization_endpoint", s.Authorization, preset.Name == GenericOAuth}, {"token_endpoint", s.Token, preset.Name == GenericOAuth},
		{"userinfo_endpoint", s.Userinfo, preset.Name == GenericOAuth}, {"emails_endpoint", s.Emails, false},
	} {
		switch {
		case endpoint.address != "" && preset.OIDC:
			c.add(endpoint.path, "it is what the metadata of the issuer says")
		case endpoint.address == "" && endpoint.needed:
			c.add(endpoint.path, "it is needed")
		default:
			check(endpoint.path, endpoint.address, false)
		}
	}
	if preset.Emails == "" && s.Emails != "" {
		c.add("emails_endpoint", "only %s has one", "github")
	}
	if s.Issuer == "" && preset.Name == Generic {
		c.add("issuer", "it is needed")
	}
	if len(s.Hosts) > maxList {
		c.add("hosts", "there may be at most %d", maxList)
	}
	for i, host := range s.Hosts {
		s.Hosts[i] = strings.ToLower(host)
		if err := reach.CheckURL("https://" + host + "/"); err != nil || strings.ContainsAny(host, "/?#@") {
			c.add("hosts", "%q is not the name of a host", host)
		}
	}
	s.validateTenant(c, preset)
}

func (s *Settings) validateTenant(c *complaints, preset Preset) {
	if !preset.Directories {
		if s.Tenant != "" || len(s.Tenants) > 0 {
			c.add("tenant", "only microsoft has tenants")
		}
		return
	}
	if s.Issuer != "" && !strings.Contains(s.Issuer, tenantPart) {
		c.add("issuer", "it must have %s where the tenant stands", tenantPart)
	}
	s.Tenant = strings.ToLower(s.Tenant)
	if s.Tenant != "" && !slices.Contains(tenantWords, s.Tenant) && !directory.MatchString(s.Tenant) {
		c.add("tenant", "it must be %s, or the id of a directory", strings.Join(tenantWords, ", "))
	}
	if len(s.Tenants) > maxList {
		c.add("tenants", "there may be at most %d", maxList)
	}
	for i, id := range s.Tenants {
		if s.Tenants[i] = strings.ToLower(id); !directory.MatchString(s.Tenants[i]) {
			c.add("tenants", "%q is not the id of a directory", id)
		}
	}
}

// validateWay looks at how the provider is spoken to.
func (s *Settings) validateWay(c *complaints, preset Preset) {
	oneOf(c, "auth_method", s.AuthMethod, AuthBasic, AuthPost, AuthNone)
	oneOf(c, "response_mode", s.ResponseMode, ModeQuery, ModeForm)
	if len(s.Scopes) > maxList {
		c.add("scopes", "there may be at most %d", maxList)
	}
	for _, scope := range s.Scopes {
		if !scopeToken.MatchString(scope) {
			c.add("scopes", "%q cannot be a scope", scope)
		}
	}
	if preset.Name == Generic && len(s.Scopes) > 0 && !slices.Contains(s.Scopes, "openid") {
		c.add("scopes", "openid must be among them")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Parameters)) {
		switch {
		case !parameter.MatchString(name):
			c.add("parameters."+name, "it cannot be the name of a parameter")
		case slices.Contains(ownParameter, name):
			c.add("parameters."+name, "that is not for settings to say")
		case len(s.Parameters[name]) > maxText || unprintable(s.Parameters[name]):
			c.add("parameters."+name, "it must be one line of at most %d bytes", maxText)
		}
	}
	if len(s.Parameters) > maxList {
		c.add("parameters", "there may be at most %d", maxList)
	}
	for path, id := range map[string]string{"team_id": s.TeamID, "key_id": s.KeyID} {
		switch {
		case preset.Key && !appleID.MatchString(id):
			c.add(path, "it must have ten capital letters and digits, as Apple shows it")
		case !preset.Key && id != "":
			c.add(path, "only apple has one")
		}
	}
}

// validatePeople looks at what becomes of people who come from there.
func (s *Settings) validatePeople(c *complaints) {
	for _, name := range slices.Sorted(maps.Keys(s.Claims)) {
		switch path := s.Claims[name]; {
		case !slices.Contains(ownClaims, name):
			c.add("claims."+name, "it must be one of %s", strings.Join(ownClaims, ", "))
		case path == "" || len(path) > maxWord || unprintable(path):
			c.add("claims."+name, "it must be the name of a claim")
		}
	}
	for path, domains := range map[string]*[]string{"trusted_domains": &s.TrustedDomains, "domains": &s.Domains, "home_domains": &s.HomeDomains} {
		*domains = canonicalDomains(c, path, *domains)
	}
	if s.SignUp == "" {
		s.SignUp = SignUpFollow
	}
	oneOf(c, "sign_up", s.SignUp, signUps...)
	switch {
	case s.Roles.Claim == "" && len(s.Roles.Map) > 0:
		c.add("roles.claim", "it is needed where roles.map is set")
	case len(s.Roles.Claim) > maxWord || unprintable(s.Roles.Claim):
		c.add("roles.claim", "it must be the name of a claim")
	case len(s.Roles.Map) > maxRoleMap:
		c.add("roles.map", "there may be at most %d", maxRoleMap)
	}
	for _, value := range slices.Sorted(maps.Keys(s.Roles.Map)) {
		roles := s.Roles.Map[value]
		if value == "" || len(value) > maxText || unprintable(value) || len(roles) == 0 || len(roles) > maxList || slices.Contains(roles, "") {
			c.add("roles.map."+value, "it must be a value of the claim, with the names of roles")
		}
	}
}

// canonicalDomains are mail domains in their canonical form, each once.
func canonicalDomains(c *complaints, path string, domains []string) (canonical []string) {
	if len(domains) > maxList {
		c.add(path, "there may be at most %d", maxList)
		return domains
	}
	for _, domain := range domains {
		name, err := identity.Domain(domain)
		if err != nil {
			c.add(path, "%q is not a mail domain", domain)
			continue
		}
		if !slices.Contains(canonical, name) {
			canonical = append(canonical, name)
		}
	}
	return canonical
}

func oneOf(c *complaints, path, value string, choices ...string) {
	if value != "" && !slices.Contains(choices, value) {
		c.add(path, "it must be one of %s", strings.Join(choices, ", "))
	}
}

// unprintable reports whether a text holds what is no text, or what would turn it around.
func unprintable(text string) bool {
	return !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
	})
}

// tenantPart stands in an issuer for the directory.
const tenantPart = "{tenant}"

// isOf reports whether a canonical address is of one of the domains: what stands behind its last @, exactly (S-241).
func isOf(canonical string, domains []string) bool {
	at := strings.LastIndexByte(canonical, '@')
	return at > 0 && slices.Contains(domains, canonical[at+1:])
}

// Lets reports whether somebody with a canonical address may come in by way of the provider at all. An address that is not known to be
// theirs is nobody's.
func (s *Settings) Lets(canonical string, verified bool) bool {
	return len(s.Domains) == 0 || verified && isOf(canonical, s.Domains)
}

// IsHomeOf reports whether people with a canonical address are to sign in at the provider.
func (s *Settings) IsHomeOf(canonical string) bool {
	return !s.Disabled && isOf(canonical, s.HomeDomains)
}
