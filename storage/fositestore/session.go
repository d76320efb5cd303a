package fositestore

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/ory/fosite"

	"github.com/keizer-auth/keizer/storage"
)

// Facts is what was true when a person granted a client access: every token of the grant says the same of it, however much
// later it is issued. It is stored as JSON with the code and then with the grant.
type Facts struct {
	// AuthTime is when the person proved who they are, in seconds since the epoch (OpenID Connect Core 1.0 §2).
	AuthTime int64 `json:"auth_time,omitempty"`
	// ACR and AMR say how (OpenID Connect Core 1.0 §2, RFC 8176). They are never more than what happened.
	ACR string   `json:"acr,omitempty"`
	AMR []string `json:"amr,omitempty"`
	// SessionID is the sid of the browser session the grant was made in.
	SessionID string `json:"sid,omitempty"`
	// Sector is that of a client which knows the person by a pairwise identifier (OpenID Connect Core 1.0 §8.1); empty for any other.
	Sector string `json:"sector,omitempty"`
	// Nonce is that of the authorization request, for its ID token alone: a refreshed ID token carries none.
	Nonce string `json:"nonce,omitempty"`
	// Claims are those that were asked for by name.
	Claims ClaimNames `json:"claims,omitzero"`
}

// ClaimNames are the claims about the person that the parameter claims asked for (OpenID Connect Core 1.0 §5.5) and the client may have,
// by where they were asked for.
type ClaimNames struct {
	UserInfo []string `json:"userinfo,omitempty"`
	IDToken  []string `json:"id_token,omitempty"`
	// Locales are the languages in which claims are told, the one that is liked best first (claims_locales, §5.2).
	Locales []string `json:"locales,omitempty"`
}

// IsZero reports whether none were asked for.
func (c ClaimNames) IsZero() bool { return len(c.UserInfo)+len(c.IDToken)+len(c.Locales) == 0 }

func encodeFacts(f Facts) ([]byte, error) { return json.Marshal(f) }

func decodeFacts(b []byte) (Facts, error) {
	var f Facts
	if len(b) == 0 {
		return f, nil
	}
	err := json.Unmarshal(b, &f)
	return f, err
}

// Rights are what somebody is and may do in the organization, by the names of roles and permissions. What is not said is nil; that
// there is none is said with an empty list.
type Rights struct {
	Roles       []string `json:"roles,omitzero"`
	Permissions []string `json:"permissions,omitzero"`
	// Entitlements are the permissions under the name that RFC 9068 §2.2.3.1 has for them.
	Entitlements []string `json:"entitlements,omitzero"`
}

// Session implements fosite.Session. It lives for one request: only its Facts are ever stored.
type Session struct {
	Facts Facts
	// Subject is the user's id, or the client's for client_credentials (RFC 9068 §2.2).
	Subject string
	// GrantEnds is the absolute end of the grant, which no refresh can move. Zero where there is none.
	GrantEnds time.Time
	// Rights are what the access token says of the person's. They are looked up for each, and never stored.
	Rights Rights
	// GrantBegan is when the grant was made that is refreshed. Zero in every other request.
	GrantBegan time.Time

	code, access, refresh time.Time
}

var _ fosite.Session = (*Session)(nil)

// SetExpiresAt implements fosite.Session.
func (s *Session) SetExpiresAt(kind fosite.TokenType, at time.Time) {
	switch kind {
	case fosite.AuthorizeCode:
		s.code = at
	case fosite.AccessToken:
		s.access = at
	case fosite.RefreshToken:
		s.refresh = at
	}
}

// GetExpiresAt implements fosite.Session.
func (s *Session) GetExpiresAt(kind fosite.TokenType) time.Time {
	switch kind {
	case fosite.AuthorizeCode:
		return s.code
	case fosite.AccessToken:
		return s.access
	case fosite.RefreshToken:
		return s.refresh
	}
	return time.Time{}
}

// GetUsername implements fosite.Session. Nothing of ours asks.
func (s *Session) GetUsername() string { return "" }

// GetSubject implements fosite.Session.
func (s *Session) GetSubject() string { return s.Subject }

// Clone implements fosite.Session. fosite clones the session that a refresh token was found with before it changes it.
func (s *Session) Clone() fosite.Session {
	clone := *s
	clone.Facts.AMR = slices.Clone(s.Facts.AMR)
	return &clone
}

// FactsOf reads what was true when a grant was made.
func FactsOf(grant *storage.Grant) (Facts, error) { return decodeFacts(grant.Facts) }
