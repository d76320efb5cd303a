package provider

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/ory/fosite"

	"github.com/keizer-auth/keizer/internal/claimmap"
	"github.com/keizer-auth/keizer/internal/profile"
	"github.com/keizer-auth/keizer/internal/strictjson"
	"github.com/keizer-auth/keizer/storage"
)

// errClaims is a claims parameter that is none (OpenID Connect Core 1.0 §5.5).
var errClaims = fosite.ErrInvalidRequest.WithHint("The claims parameter must be a JSON object of the members userinfo and id_token.")

// scopeOfClaim is the scope that a claim about the person belongs to, by which people are asked for it (OpenID Connect Core 1.0 §5.4).
// What a token says of itself, such as auth_time, is none of them.
func scopeOfClaim(name string) (scope string, ok bool) {
	if claim, tag, ok := strings.Cut(name, "#"); ok {
		if !profile.Localized(claim) || !profile.Locale(tag) {
			return "", false
		}
		name = claim
	}
	switch name {
	case "name", "preferred_username", "updated_at":
		return scopeProfile, true
	case "email", "email_verified":
		return scopeEmail, true
	case "phone_number", "phone_number_verified":
		return scopePhone, true
	case "address":
		return scopeAddress, true
	case scopeRoles, scopePermissions:
		return name, true
	}
	return scopeProfile, slices.Contains(profileMetadata[:], name)
}

// readClaims reads which claims about the person a request asks for one by one (OpenID Connect Core 1.0 §5.5). A client gets by this what
// it could have had by a scope, and no more; all else that is asked for is left out, essential or not (§5.5.1).
func (a *authorization) readClaims() error {
	a.form.Del(storage.ParamClaimsScope)
	a.claims.Locales = claimLocales(a.form)
	text := a.form.Get("claims")
	if text == "" {
		return nil
	}
	members, err := strictjson.Object([]byte(text))
	if err != nil {
		return errClaims.WithWrap(err)
	}
	var scopes []string
	for member, to := range map[string]*[]string{"userinfo": &a.claims.UserInfo, "id_token": &a.claims.IDToken} {
		if *to = nil; members[member] == nil || string(members[member]) == "null" {
			continue
		}
		asked, err := strictjson.Object(members[member])
		if err != nil {
			return errClaims.WithWrap(err)
		}
		for name, how := range asked {
			if err := checkClaimRequest(how); err != nil {
				return errClaims.WithWrap(err)
			}
			if scope, ok := scopeOfClaim(name); ok && slices.Contains(a.client.Scopes, scope) {
				*to, scopes = append(*to, name), append(scopes, scope)
			}
		}
		slices.Sort(*to)
		if err := a.expectSubject(asked["sub"]); err != nil {
			return err
		}
	}
	scopes = slices.DeleteFunc(scopes, func(scope string) bool { return slices.Contains(a.scopes(), scope) })
	if slices.Sort(scopes); len(scopes) > 0 {
		a.form.Set(storage.ParamClaimsScope, strings.Join(slices.Compact(scopes), " "))
	}
	return nil
}

// claimRequest is how a claim is asked for (OpenID Connect Core 1.0 §5.5.1).
type claimRequest struct {
	Essential bool  `json:"essential"`
	Value     any   `json:"value"`
	Values    []any `json:"values"`
}

// checkClaimRequest checks the form of what is asked of a claim. Members that are not known are passed over, as the specification has it.
func checkClaimRequest(how json.RawMessage) error {
	if string(how) == "null" {
		return nil
	}
	if _, err := strictjson.Object(how); err != nil {
		return err
	}
	return json.Unmarshal(how, &claimRequest{})
}

// expectSubject reads whom a request is for: it is answered for nobody else (OpenID Connect Core 1.0 §5.5.1 and §3.1.2.2).
func (a *authorization) expectSubject(how json.RawMessage) error {
	var request claimRequest
	if len(how) > 0 {
		if err := json.Unmarshal(how, &request); err != nil {
			return errClaims.WithWrap(err)
		}
	}
	subject, _ := request.Value.(string)
	if subject == "" {
		return nil
	}
	if a.subject != "" && a.subject != subject {
		return errClaims.WithHint("The claims parameter names two subjects.")
	}
	a.subject = subject
	return nil
}

// consentScopes are what the person has to have allowed: the scopes, and those to which claims belong that are asked for by themselves.
func (a *authorization) consentScopes() []string {
	return storage.ConsentScopes(a.form)
}

// namedClaims are claims about a person that were asked for by name. What is not known is left out; what is asked for in a language is called
// as it was asked for (OpenID Connect Core 1.0 §5.2).
func namedClaims(user *storage.User, names []string, held *rights) map[string]any {
	if len(names) == 0 {
		return nil
	}
	var scopes []string
	named := make(map[string]any)
	for _, name := range names {
		if scope, ok := scopeOfClaim(name); ok {
			scopes = append(scopes, scope)
		}
		if claim, tag, ok := strings.Cut(name, "#"); ok {
			if value := tagged(user)[claim+"#"+strings.ToLower(tag)]; claimmap.Fits(claim, value) {
				named[name] = value
			}
		}
	}
	for name, value := range userClaims(user, scopes, held) {
		if slices.Contains(names, name) {
			named[name] = value
		}
	}
	return named
}
