package settings

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/keizer-auth/keizer/internal/identity"
	"github.com/keizer-auth/keizer/internal/messages"
	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/profile"
)

// A Complaint is what is wrong with one member.
type Complaint struct {
	Path    string // "sign_up.mode"
	Message string
}

func (c *Complaint) Error() string { return c.Path + ": " + c.Message }

// Complaints returns everything that an error of this package complains of, or nil.
func Complaints(err error) (all []*Complaint) {
	if one := (*Complaint)(nil); errors.As(err, &one) {
		all = append(all, one)
	}
	var several interface{ Unwrap() []error }
	if errors.As(err, &several) {
		all = nil
		for _, one := range several.Unwrap() {
			all = append(all, Complaints(one)...)
		}
	}
	return all
}

type complaints []error

func (c *complaints) add(path, format string, a ...any) {
	*c = append(*c, &Complaint{path, fmt.Sprintf(format, a...)})
}

// err is everything complained of, in the order of the paths.
func (c *complaints) err() error {
	slices.SortStableFunc(*c, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(*c...)
}

// Bounds.
const (
	minute      = time.Minute
	day         = 24 * time.Hour
	maxRemember = 90 * day
	maxSession  = 365 * day
	maxDomains  = 1000
	maxRoles    = 100
	maxFrom     = 100 // characters
)

var (
	accent = regexp.MustCompile(`^#[0-9a-f]{6}$`)
	digest = regexp.MustCompile(`^[0-9A-Za-z_-]{16,128}$`)
)

// Validate brings s into its canonical form and says everything that is wrong with it. That roles exist is for whoever knows them.
func (s *Settings) Validate() error {
	var c complaints
	s.choices(&c)
	s.language(&c)
	s.Branding.validate(&c)
	s.SignUp.validate(&c)
	s.SecondFactor.validate(&c)
	s.Login.validate(&c)
	s.Sessions.validate(&c)
	s.Tokens.validate(&c)
	s.Mail.validate(&c)
	s.Registration.validate(&c)
	return c.err()
}

// choices complains of words that are not known.
func (s *Settings) choices(c *complaints) {
	oneOf(c, "sign_up.mode", s.SignUp.Mode, SignUpClosed, SignUpInvitation, SignUpOpen)
	oneOf(c, "second_factor.require", s.SecondFactor.Require, RequireNobody, RequireRoles, RequireEveryone)
	oneOf(c, "registration.mode", s.Registration.Mode, RegistrationOff, RegistrationToken, RegistrationOpen)
	oneOf(c, "registration.software_statement", s.Registration.SoftwareStatement, StatementOptional, StatementRequired)
	for _, method := range s.Login.Methods {
		oneOf(c, "login.methods", method, WithPassword, WithPasskey)
	}
	for _, name := range slices.Sorted(maps.Keys(s.SignUp.Fields)) {
		oneOf(c, "sign_up.fields."+name, s.SignUp.Fields[name], "required", "optional")
	}
}

func oneOf(c *complaints, path, value string, choices ...string) {
	if !slices.Contains(choices, value) {
		c.add(path, "it must be one of %s", strings.Join(choices, ", "))
	}
}

func (s *Settings) language(c *complaints) {
	if s.Language == "" {
		return
	}
	catalog, err := messages.Load()
	if err != nil {
		c.add("language", "the texts cannot be read: %v", err)
		return
	}
	var known []string
	for _, tag := range catalog.Languages() {
		if strings.EqualFold(tag.String(), s.Language) {
			s.Language = tag.String()
			return
		}
		known = append(known, tag.String())
	}
	c.add("language", "there are texts in %s only", strings.Join(known, ", "))
}

func (b *Branding) validate(c *complaints) {
	b.Accent = strings.ToLower(b.Accent)
	if b.Accent != "" && !accent.MatchString(b.Accent) {
		c.add("branding.accent", "it must be a colour in the form #rrggbb")
	}
	if b.Logo != "" && !digest.MatchString(b.Logo) {
		c.add("branding.logo", "it must be the digest of a picture")
	}
	for path, link := range map[string]string{
		"branding.terms_uri": b.TermsURI, "branding.policy_uri": b.PolicyURI, "branding.support_uri": b.SupportURI,
	} {
		if link != "" {
			checkLink(c, path, link)
		}
	}
}

func checkLink(c *complaints, path, link string) {
	if err := profile.Link(link); err != nil {
		c.add(path, "%v", err)
	}
}

func (s *SignUp) validate(c *complaints) {
	for _, name := range slices.Sorted(maps.Keys(s.Fields)) {
		if name != "username" && name != "name" {
			c.add("sign_up.fields."+name, "there is no such field; there are username and name")
		}
	}
	if len(s.Domains) > maxDomains {
		c.add("sign_up.domains", "there may be at most %d", maxDomains)
		return
	}
	var canonical []string
	for _, domain := range s.Domains {
		name, err := identity.Domain(domain)
		if err != nil {
			c.add("sign_up.domains", "%q is not a mail domain", domain)
			continue
		}
		if !slices.Contains(canonical, name) {
			canonical = append(canonical, name)
		}
	}
	s.Domains = canonical
}

func (f *SecondFactor) validate(c *complaints) {
	switch {
	case len(f.Roles) > maxRoles:
		c.add("second_factor.roles", "there may be at most %d", maxRoles)
	case f.Require == RequireRoles && len(f.Roles) == 0:
		c.add("second_factor.roles", "there must be one at least, where second_factor.require is %s", RequireRoles)
	}
	roles := make([]string, len(f.Roles))
	for i, role := range f.Roles {
		if role == "" || unprintable(role) {
			c.add("second_factor.roles", "%q cannot be the name of a role", role)
		}
		roles[i] = permission.RoleNamed(role) // what was decided of operators is decided of owners
	}
	if len(roles) > 0 {
		f.Roles = roles
	}
	between(c, "second_factor.remember", f.Remember, 0, maxRemember)
}

func (s *Sessions) validate(c *complaints) {
	if s.Idle != 0 {
		between(c, "sessions.idle", s.Idle, minute, maxSession)
	}
	if s.Absolute != 0 {
		between(c, "sessions.absolute", s.Absolute, max(minute, time.Duration(s.Idle)), maxSession)
	}
}

func (l *Login) validate(c *complaints) {
	if len(l.Methods) == 0 {
		c.add("login.methods", "there must be one at least")
	}
	var offered []string
	for _, method := range []string{WithPassword, WithPasskey} {
		if l.Offers(method) {
			offered = append(offered, method)
		}
	}
	l.Methods = offered
}

// Bounds of tokens, as package config has them for the process.
const (
	MaxCode         = 10 * time.Minute // RFC 6749 §4.1.2
	MaxToken        = day
	MaxRefresh      = 10 * 366 * day
	MaxReplayWindow = minute
)

func (t *Tokens) validate(c *complaints) {
	for _, bounded := range []struct {
		path        string
		value       Duration
		least, most time.Duration
	}{
		{"tokens.code_lifetime", t.CodeLifetime, time.Second, MaxCode},
		{"tokens.access_lifetime", t.AccessLifetime, time.Second, MaxToken},
		{"tokens.access_jwt_lifetime", t.AccessJWTLifetime, time.Second, MaxToken},
		{"tokens.id_lifetime", t.IDLifetime, time.Second, MaxToken},
		{"tokens.refresh_idle", t.RefreshIdle, time.Second, MaxRefresh},
		{"tokens.refresh_absolute", t.RefreshAbsolute, max(time.Second, time.Duration(t.RefreshIdle)), MaxRefresh},
	} {
		if bounded.value != 0 {
			between(c, bounded.path, bounded.value, bounded.least, bounded.most)
		}
	}
	if t.RefreshReplayWindow != nil {
		between(c, "tokens.refresh_replay_window", *t.RefreshReplayWindow, 0, MaxReplayWindow)
	}
}

// Limits are what the server lets organizations decide at the most.
type Limits struct {
	// Token is the longest that an access token or an ID token may live, Refresh the longest that a grant may.
	Token, Refresh time.Duration
	// MailDomains are those that mail may come from.
	MailDomains []string
}

// Within says what of s is more than the server allows.
func (s *Settings) Within(limits Limits) error {
	var c complaints
	for _, bounded := range []struct {
		path  string
		value Duration
		most  time.Duration
	}{
		{"tokens.access_lifetime", s.Tokens.AccessLifetime, limits.Token}, {"tokens.access_jwt_lifetime", s.Tokens.AccessJWTLifetime, limits.Token},
		{"tokens.id_lifetime", s.Tokens.IDLifetime, limits.Token},
		{"tokens.refresh_idle", s.Tokens.RefreshIdle, limits.Refresh}, {"tokens.refresh_absolute", s.Tokens.RefreshAbsolute, limits.Refresh},
	} {
		if bounded.most > 0 && time.Duration(bounded.value) > bounded.most {
			c.add(bounded.path, "this server allows %s at the most", shortest(bounded.most))
		}
	}
	if s.Mail.From != "" && !s.Mail.allowed(limits.MailDomains) {
		c.add("mail.from", "this server sends no mail from that domain")
	}
	return c.err()
}

// allowed reports whether mail may come from the address that was chosen.
func (m *Mail) allowed(domains []string) bool {
	canonical, err := identity.Email(m.From)
	_, domain, _ := strings.Cut(canonical, "@")
	return err == nil && slices.Contains(domains, domain)
}

// between bounds a duration. Fractions of a second would be noise.
func between(c *complaints, path string, d Duration, least, most time.Duration) {
	switch value := time.Duration(d); {
	case value < least || value > most:
		c.add(path, "it must be between %s and %s", shortest(least), shortest(most))
	case value%time.Second != 0:
		c.add(path, "it must be whole seconds")
	}
}

func (m *Mail) validate(c *complaints) {
	switch {
	case unprintable(m.FromName):
		c.add("mail.from_name", "it must be one line of text, without control characters")
	case utf8.RuneCountInString(m.FromName) > maxFrom:
		c.add("mail.from_name", "it must have at most %d characters", maxFrom)
	}
	for path, address := range map[string]string{"mail.from": m.From, "mail.reply_to": m.ReplyTo} {
		if address == "" {
			continue
		}
		if _, err := identity.Email(address); err != nil {
			c.add(path, "%v", err)
		}
	}
}

// unprintable reports whether a text holds what is no text, or what would turn it around.
func unprintable(text string) bool {
	return !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
	})
}

// shortest writes a duration as people do: 1m, not 1m0s.
func shortest(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
