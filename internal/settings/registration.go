package settings

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/keizer-auth/keizer/internal/identity"
	"github.com/keizer-auth/keizer/internal/permission"
)

// Who may register clients by themselves.
const (
	RegistrationOff   = "off"   // nobody; clients are made by operators
	RegistrationToken = "token" // who has a registration token
	RegistrationOpen  = "open"  // everybody
)

// Whether a registration brings a software statement.
const (
	StatementOptional = "optional"
	StatementRequired = "required"
)

// Registration says who may register clients by themselves (RFC 7591), and what such clients may be.
type Registration struct {
	Mode string `json:"mode"`
	// Scopes are what registered clients may ask for; none means the scopes of OpenID Connect.
	Scopes []string `json:"scopes,omitempty"`
	// GrantTypes are those that they may use; none means authorization_code and refresh_token.
	GrantTypes []string `json:"grant_types,omitempty"`
	// AuthMethods are the ways in which they may authenticate; none means any that there is.
	AuthMethods []string `json:"auth_methods,omitempty"`
	// RedirectHosts are the hosts of their https redirect URIs, "*.example.com" being any below; none means any.
	RedirectHosts []string `json:"redirect_hosts,omitempty"`
	// RedirectSchemes are the schemes of their redirect URIs: https, http (of the person's own machine), or an application's own; none
	// means any.
	RedirectSchemes []string `json:"redirect_schemes,omitempty"`
	// PKCEOptional lets those that authenticate do without PKCE, too.
	PKCEOptional bool `json:"pkce_optional"`
	// MaxClients is how many of them there may be.
	MaxClients int `json:"max_clients"`
	// Idle is after how long without use one is removed; 0 is never.
	Idle Duration `json:"idle"`
	// SoftwareStatement is whether a registration must bring one of StatementIssuers.
	SoftwareStatement string            `json:"software_statement"`
	StatementIssuers  []StatementIssuer `json:"statement_issuers,omitempty"`
}

// StatementIssuer is somebody who is believed in what they say of software (RFC 7591 §2.3).
type StatementIssuer struct {
	// Issuer is the iss of their statements.
	Issuer string `json:"issuer"`
	// JWKS are their public keys, JWKSURI is where those are published. What they must be is for whoever knows keys, and addresses.
	JWKS    map[string]any `json:"jwks,omitempty"`
	JWKSURI string         `json:"jwks_uri,omitempty"`
	// Algorithms are what they sign by; none means any that is accepted of clients.
	Algorithms []string `json:"algorithms,omitempty"`
}

// Statements returns the issuer of statements of that name.
func (r *Registration) Statements(issuer string) (*StatementIssuer, bool) {
	i := slices.IndexFunc(r.StatementIssuers, func(one StatementIssuer) bool { return one.Issuer == issuer })
	if i < 0 {
		return nil, false
	}
	return &r.StatementIssuers[i], true
}

// AllowedScopes are the scopes that registered clients may ask for.
func (r *Registration) AllowedScopes() []string {
	if len(r.Scopes) > 0 {
		return r.Scopes
	}
	return []string{"openid", "profile", "email", "address", "phone", "offline_access"}
}

// AllowedGrants are the grant types that registered clients may use.
func (r *Registration) AllowedGrants() []string {
	if len(r.GrantTypes) > 0 {
		return r.GrantTypes
	}
	return []string{"authorization_code", "refresh_token"}
}

// MinIdle is the shortest time without use after which a client may be removed: when it was of use is known to within a day.
const MinIdle = 2 * day

// Bounds.
const (
	maxClients  = 1_000_000
	maxIdle     = 3 * 365 * day
	maxListed   = 100
	maxIssuers  = 20
	maxIssuerID = 2048 // characters
)

var (
	word128 = regexp.MustCompile(`^[!\x23-\x5B\x5D-\x7E]{1,128}$`) // RFC 6749 §3.3
	scheme  = regexp.MustCompile(`^[a-z][a-z0-9+.-]{0,99}$`)
)

func (r *Registration) validate(c *complaints) {
	for path, words := range map[string][]string{
		"registration.scopes": r.Scopes, "registration.grant_types": r.GrantTypes, "registration.auth_methods": r.AuthMethods,
	} {
		listed(c, path, words, word128)
	}
	for _, scope := range r.Scopes {
		if permission.Reserved(scope) {
			c.add("registration.scopes", "%s is kept for Keizer itself: no client that anybody registers has it", scope)
		}
	}
	listed(c, "registration.redirect_schemes", r.RedirectSchemes, scheme)
	var hosts []string
	for _, host := range r.RedirectHosts {
		below, name := "", host
		if rest, ok := strings.CutPrefix(host, "*."); ok {
			below, name = "*.", rest
		}
		canonical, err := identity.Domain(name)
		if err != nil {
			c.add("registration.redirect_hosts", "%q is not a host, nor *. before one", host)
			continue
		}
		if !slices.Contains(hosts, below+canonical) {
			hosts = append(hosts, below+canonical)
		}
	}
	if r.RedirectHosts = hosts; len(hosts) > maxListed {
		c.add("registration.redirect_hosts", "there may be at most %d", maxListed)
	}
	if r.MaxClients < 1 || r.MaxClients > maxClients {
		c.add("registration.max_clients", "it must be between 1 and %d", maxClients)
	}
	if r.Idle != 0 {
		between(c, "registration.idle", r.Idle, MinIdle, maxIdle)
	}
	r.statements(c)
}

func (r *Registration) statements(c *complaints) {
	const path = "registration.statement_issuers"
	if len(r.StatementIssuers) > maxIssuers {
		c.add(path, "there may be at most %d", maxIssuers)
	}
	if r.SoftwareStatement == StatementRequired && len(r.StatementIssuers) == 0 {
		c.add(path, "there must be one at least, where registration.software_statement is %s", StatementRequired)
	}
	seen := make(map[string]bool)
	for _, one := range r.StatementIssuers {
		switch {
		case one.Issuer == "" || len(one.Issuer) > maxIssuerID || unprintable(one.Issuer):
			c.add(path, "each has an issuer, which is the iss of its statements")
		case seen[one.Issuer]:
			c.add(path, "%s is there twice", one.Issuer)
		case (len(one.JWKS) > 0) == (one.JWKSURI != ""):
			c.add(path, "%s: it has either jwks or jwks_uri", one.Issuer)
		}
		seen[one.Issuer] = true
		listed(c, path, one.Algorithms, word128)
	}
}

// listed checks a list of words.
func listed(c *complaints, path string, words []string, form *regexp.Regexp) {
	if len(words) > maxListed {
		c.add(path, "there may be at most %d", maxListed)
		return
	}
	for i, one := range words {
		switch {
		case !form.MatchString(one):
			c.add(path, "%q cannot be one of them", one)
		case slices.Contains(words[:i], one):
			c.add(path, "%q stands there twice", one)
		}
	}
}

// defaultRegistration is that of an organization that has decided nothing.
func defaultRegistration() Registration {
	const month = 30 * 24 * time.Hour
	return Registration{Mode: RegistrationOff, MaxClients: 1000, Idle: Duration(month), SoftwareStatement: StatementOptional}
}
