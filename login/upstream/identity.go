package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/keizer-auth/keizer/internal/claimsource"
	"github.com/keizer-auth/keizer/internal/identity"
	"github.com/keizer-auth/keizer/internal/profile"
)

// Identity is who somebody is at a provider, and what that tells of them.
type Identity struct {
	// Issuer and Subject are who it is. Everything else may change, and may be anybody's.
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
	// Email may be empty. Verified is true where the provider says that it is the person's.
	Email    string `json:"email,omitempty"`
	Verified bool   `json:"verified,omitempty"`
	// Name and Username may be empty; Claims are those that people write themselves, by their standard names.
	Name     string            `json:"name,omitempty"`
	Username string            `json:"username,omitempty"`
	Claims   map[string]string `json:"claims,omitempty"`
	// Sources are the claims that others vouch for, of which the provider says where they are to be had.
	Sources *claimsource.Set `json:"sources,omitempty"`
	// Roles are those that follow from what the provider tells.
	Roles []string `json:"roles,omitempty"`
	// AuthTime is when the person last proved who they are there; zero where that is not told.
	AuthTime time.Time `json:"auth_time,omitzero"`
}

// Label is what the person is called there.
func (i *Identity) Label() string {
	for _, text := range []string{i.Email, i.Username, i.Name} {
		if text != "" {
			return text
		}
	}
	return i.Subject
}

const (
	maxValue  = 2 << 10 // bytes
	maxValues = 1000
)

// identify finds out who has come back.
func (u *Upstream) identify(ctx context.Context, k *known, p plan, m *metadata, r *Request, answer Answer, raw, accessToken string) (*Identity, error) {
	who := &Identity{Issuer: p.Issuer}
	var documents []map[string]any
	if p.OIDC {
		token, err := u.verify(ctx, k, p, m, r, raw, accessToken)
		if err != nil {
			return nil, err
		}
		who.Issuer, who.Subject, who.AuthTime = token.issuer, token.subject, token.authTime
		if r.Again && p.Reauthenticates && who.AuthTime.Before(r.At.Add(-ahead)) {
			return nil, refused("the person was not asked anew who they are")
		}
		documents = append(documents, token.claims)
	}
	if !p.OIDC || m.Userinfo != "" && p.lacks(documents[0]) {
		told, err := u.userinfo(ctx, k, p, m, who, accessToken)
		if err != nil {
			return nil, err
		}
		documents = append(documents, told)
	}
	p.describe(who, documents)
	if p.Emails != "" {
		if err := u.emails(ctx, p, who, accessToken); err != nil {
			return nil, err
		}
	}
	for name, text := range appleName(answer.User) {
		if p.Key && text != "" {
			who.say(name, text)
		}
	}
	if canonical, err := identity.Email(who.Email); err != nil {
		who.Email, who.Verified = "", false
	} else if isOf(canonical, p.Settings.TrustedDomains) {
		who.Verified = true
	}
	return who, nil
}

// lacks reports whether an ID token leaves out what userinfo may tell.
func (p plan) lacks(claims map[string]any) bool {
	for _, name := range []string{claimEmail, claimName} {
		if path := p.Claims[name]; path != "" && find(claims, path) == nil {
			return true
		}
	}
	return p.Settings.Roles.Claim != "" && find(claims, p.Settings.Roles.Claim) == nil
}

// userinfo asks who the access token is for, and insists that it is the person of the ID token (Core 1.0 §5.3.2, S-238).
func (u *Upstream) userinfo(ctx context.Context, k *known, p plan, m *metadata, who *Identity, accessToken string) (map[string]any, error) {
	address, err := p.proven(m.Userinfo, accessToken)
	if err != nil {
		return nil, err
	}
	var verify func(string) ([]byte, error)
	if p.OIDC {
		verify = func(raw string) ([]byte, error) { // a signed answer has iss and aud, and need not expire (§5.3.2)
			token, claims, err := u.token(ctx, k, p, m, raw, false)
			if err != nil {
				return nil, err
			}
			if issuer, err := p.checkIssuer(token.Issuer, claims); err != nil || issuer != who.Issuer {
				return nil, errors.Join(untrusted("userinfo is that of %q", token.Issuer), err)
			}
			return json.Marshal(claims)
		}
	}
	told, err := u.object(ctx, address, accessToken, verify)
	if err != nil {
		return nil, err
	}
	path := p.Claims[claimSubject]
	if p.OIDC {
		path = "sub"
	}
	subject := textOf(find(told, path))
	switch {
	case p.OIDC && subject != who.Subject:
		return nil, untrusted("userinfo is about somebody else")
	case !subjectLike(subject):
		return nil, untrusted("userinfo does not say who it is about")
	}
	who.Subject = subject
	return told, nil
}

// describe fills in what is told of the person. What is told first counts, and whether an address is theirs is told by whatever tells
// the address: another document may be about another address.
func (p plan) describe(who *Identity, documents []map[string]any) {
	for _, told := range documents {
		if who.Email == "" {
			who.Email = bounded(textOf(find(told, p.Claims[claimEmail])))
			who.Verified = who.Email != "" && p.Verified != "" && isTrue(find(told, p.Verified))
		}
		for name, path := range p.Claims {
			if name != claimSubject && name != claimEmail {
				who.say(name, textOf(find(told, path)))
			}
		}
		if who.Sources == nil && p.OIDC {
			who.Sources = claimsource.Read(told, profile.Standard)
		}
		if mapping := p.Settings.Roles; mapping.Claim != "" && len(who.Roles) == 0 {
			who.Roles = mapping.Of(textsOf(find(told, mapping.Claim)))
		}
	}
}

// say notes what a person is called, unless that is known.
func (i *Identity) say(name, text string) {
	text = bounded(text)
	switch {
	case text == "":
	case name == claimName && i.Name == "":
		i.Name = text
	case name == claimUsername && i.Username == "":
		i.Username = text
	case name != claimName && name != claimUsername && i.Claims[name] == "":
		if i.Claims == nil {
			i.Claims = make(map[string]string)
		}
		i.Claims[name] = text
	}
}

// emails asks for the addresses of a person one by one, and takes the one that is theirs and the first
// (https://docs.github.com/rest/users/emails).
func (u *Upstream) emails(ctx context.Context, p plan, who *Identity, accessToken string) error {
	body, signed, err := u.ask(ctx, p.Emails, accessToken)
	if err != nil {
		return err
	}
	var listed []struct {
		Email    string `json:"email"`
		Primary  bool   `json:"primary"`
		Verified bool   `json:"verified"`
	}
	if signed || json.Unmarshal(body, &listed) != nil || listed == nil {
		return untrusted("the addresses are no list")
	}
	who.Email, who.Verified = "", false
	for _, one := range listed {
		if one.Primary {
			who.Email, who.Verified = one.Email, one.Verified
		}
	}
	return nil
}

// find returns what stands at a path: under that name as a whole, or step by step where it has dots.
func find(told map[string]any, path string) any {
	if path == "" {
		return nil
	}
	if value, ok := told[path]; ok {
		return value
	}
	name, rest, more := strings.Cut(path, ".")
	below, ok := told[name].(map[string]any)
	if !more || !ok {
		return nil
	}
	return find(below, rest)
}

// textOf is a text, or a number as it is written.
func textOf(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

// textsOf are the texts of a list; one text alone is a list of it.
func textsOf(value any) (texts []string) {
	if text := textOf(value); text != "" {
		return []string{text}
	}
	listed, _ := value.([]any)
	for _, one := range listed[:min(len(listed), maxValues)] {
		if text := textOf(one); text != "" && !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return texts
}

// isTrue reports whether something is said to be so: true, or the text of it, as Apple and others write it. Nothing else is (S-228).
func isTrue(value any) bool { return value == true || value == "true" }

// bounded is a text that can be kept and shown, or nothing.
func bounded(text string) string {
	if text = strings.TrimSpace(text); len(text) > maxValue || unprintable(text) {
		return ""
	}
	return text
}
