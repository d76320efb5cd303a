package settings

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Settings are those of one organization. They are shared between requests and never changed.
type Settings struct {
	// Language is what people are spoken to in of whom nothing else is known, as a BCP 47 tag; empty is English.
	Language     string       `json:"language,omitempty"`
	Branding     Branding     `json:"branding"`
	SignUp       SignUp       `json:"sign_up"`
	SecondFactor SecondFactor `json:"second_factor"`
	Login        Login        `json:"login"`
	Sessions     Sessions     `json:"sessions"`
	Tokens       Tokens       `json:"tokens"`
	Requests     Requests     `json:"request_objects"`
	Mail         Mail         `json:"mail"`
	Registration Registration `json:"registration"`
}

// Branding is how the organization's pages look, besides its name.
type Branding struct {
	// Accent is the colour of buttons and links, "#rrggbb"; empty is Keizer's own.
	Accent string `json:"accent,omitempty"`
	// Logo is the digest of the picture that is stored for the organization; empty shows its initials.
	Logo string `json:"logo,omitempty"`
	// Links for people, https only.
	TermsURI   string `json:"terms_uri,omitempty"`
	PolicyURI  string `json:"policy_uri,omitempty"`
	SupportURI string `json:"support_uri,omitempty"`
}

// Who may make an account.
const (
	SignUpClosed     = "closed"     // nobody; accounts are made by operators
	SignUpInvitation = "invitation" // who was invited
	SignUpOpen       = "open"       // everybody, within Domains; and who was invited, from anywhere
)

// SignUp says who may make an account.
type SignUp struct {
	Mode string `json:"mode"`
	// Domains are the mail domains that an account may be made with, in their canonical form; none means any.
	Domains []string `json:"domains,omitempty"`
	// Fields says what is asked for besides e-mail address and password: "username", "name", each "required", "optional" or,
	// when it does not stand here, not at all.
	Fields map[string]string `json:"fields"`
}

// SignUpOpen reports whether anybody may make an account by themselves, which has a password to begin with.
func (s *Settings) SignUpOpen() bool {
	return s.SignUp.Mode == SignUpOpen && s.Login.Offers(WithPassword)
}

// Who must have a second factor.
const (
	RequireNobody   = "nobody"
	RequireRoles    = "roles" // whoever has one of SecondFactor.Roles
	RequireEveryone = "everyone"
)

// SecondFactor says who must prove more than a password, and what is taken for it.
type SecondFactor struct {
	Require string   `json:"require"`
	Roles   []string `json:"roles,omitempty"`
	// EmailCode lets a code by mail be a second factor.
	EmailCode bool `json:"email_code"`
	// Remember is for how long a browser that has given one need not again; 0 is never.
	Remember Duration `json:"remember"`
}

// Sessions say how long somebody stays signed in. Zero values mean what the process is configured with.
type Sessions struct {
	Idle     Duration `json:"idle,omitzero"`
	Absolute Duration `json:"absolute,omitzero"`
	// EndTokens makes the end of a session the end of every token that was given in it, those for offline access too.
	EndTokens bool `json:"end_tokens"`
}

// The ways of signing in that an organization may offer, besides its upstream providers.
const (
	WithPassword = "password"
	WithPasskey  = "passkey"
)

// Login says how people sign in.
type Login struct {
	// Methods are the ways that are offered: WithPassword, WithPasskey.
	Methods []string `json:"methods"`
	// IdentifierFirst asks who somebody is on one page and for the proof on the next, instead of for both on one.
	IdentifierFirst bool `json:"identifier_first"`
}

// Offers reports whether a way of signing in is offered.
func (l *Login) Offers(method string) bool { return slices.Contains(l.Methods, method) }

// Tokens say how long what is issued is good for, and how it is given. Zero values, and no replay window at all, mean what the process is
// configured with.
type Tokens struct {
	CodeLifetime        Duration  `json:"code_lifetime,omitzero"`
	AccessLifetime      Duration  `json:"access_lifetime,omitzero"`
	AccessJWTLifetime   Duration  `json:"access_jwt_lifetime,omitzero"`
	IDLifetime          Duration  `json:"id_lifetime,omitzero"`
	RefreshIdle         Duration  `json:"refresh_idle,omitzero"`
	RefreshAbsolute     Duration  `json:"refresh_absolute,omitzero"`
	RefreshReplayWindow *Duration `json:"refresh_replay_window,omitempty"`
	// LegacyResponseTypes lets clients that are registered for it have tokens in the address of a browser (RFC 6749 §4.2, OpenID Connect
	// Core 1.0 §3.2 and §3.3), which RFC 9700 §2.1.2 advises against.
	LegacyResponseTypes bool `json:"legacy_response_types"`
	// LegacyAssertionAudience lets the assertions of clients be for the token endpoint (OpenID Connect Core 1.0 §9), and not for the issuer alone.
	LegacyAssertionAudience bool `json:"legacy_assertion_audience"`
}

// Requests say which request objects of clients are taken (RFC 9101, OpenID Connect Core 1.0 §6).
type Requests struct {
	// ByValue takes them along with a request (the parameter request).
	ByValue bool `json:"by_value"`
	// ByReference has the server fetch them where a client is registered to keep them (the parameter request_uri).
	ByReference bool `json:"by_reference"`
	// Unsigned takes those that nobody has signed, of clients that are registered to send such.
	Unsigned bool `json:"unsigned"`
	// Encrypted takes those that are encrypted to the organization, which has keys for it then.
	Encrypted bool `json:"encrypted"`
}

// Taken reports whether there are any that are taken.
func (r Requests) Taken() bool { return r.ByValue || r.ByReference }

// Mail says from whom mail to the organization's people comes.
type Mail struct {
	// FromName is the name beside the address; empty is the organization's.
	FromName string `json:"from_name,omitempty"`
	// From is the address; empty is the server's. It counts as long as its domain is one that the server lets organizations send from.
	From string `json:"from,omitempty"`
	// ReplyTo is where answers go; empty is nowhere.
	ReplyTo string `json:"reply_to,omitempty"`
}

// Default returns the settings of an organization that has decided nothing.
func Default() *Settings {
	const month = 30 * 24 * time.Hour
	return &Settings{
		SignUp:       SignUp{Mode: SignUpInvitation, Fields: map[string]string{"name": "optional"}},
		SecondFactor: SecondFactor{Require: RequireNobody, EmailCode: true, Remember: Duration(month)},
		Login:        Login{Methods: []string{WithPassword, WithPasskey}},
		Requests:     Requests{ByValue: true},
		Registration: defaultRegistration(),
	}
}

// Duration is a time.Duration that is written as people write one: "12h".
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(shortest(time.Duration(d))), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// Parse reads the column settings. What does not stand there is as in Default; no settings at all are the defaults. Members that are
// not known are passed over: while replicas are replaced one by one, a newer one may have written them. But a choice that is not known
// is refused, since nobody can tell what it would forbid.
func Parse(stored map[string]any) (*Settings, error) {
	s, err := read(stored)
	if err != nil {
		return nil, err
	}
	var c complaints
	s.choices(&c)
	if err := c.err(); err != nil {
		return nil, fmt.Errorf("read the settings of an organization: %w", err)
	}
	return s, nil
}

func read(stored map[string]any) (*Settings, error) {
	s := Default()
	if len(stored) == 0 {
		return s, nil
	}
	if signUp, ok := stored["sign_up"].(map[string]any); ok {
		if _, ok := signUp["fields"]; ok {
			s.SignUp.Fields = nil // these instead of those
		}
	}
	if login, ok := stored["login"].(map[string]any); ok && login["methods"] != nil {
		s.Login.Methods = nil // as above
	}
	text, err := json.Marshal(stored)
	if err == nil {
		err = json.Unmarshal(text, s)
	}
	if err != nil {
		return nil, fmt.Errorf("read the settings of an organization: %w", err)
	}
	return s, nil
}

// Map is what the column settings holds of s.
func (s *Settings) Map() (map[string]any, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("write the settings of an organization: %w", err)
	}
	var stored map[string]any
	if err := json.Unmarshal(text, &stored); err != nil {
		return nil, fmt.Errorf("write the settings of an organization: %w", err)
	}
	return stored, nil
}
