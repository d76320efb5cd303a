package web

import "github.com/keizer-auth/keizer/internal/permission"

// knownScopes are the scopes that mean the same at every API: those of OpenID Connect Core 1.0 §5.4 and §11, and ours.
var knownScopes = map[string]Scope{
	"openid":         {Text: "scope.openid", Detail: "scope.openid.detail"},
	"profile":        {Text: "scope.profile", Detail: "scope.profile.detail"},
	"email":          {Text: "scope.email", Detail: "scope.email.detail"},
	"address":        {Text: "scope.address"},
	"phone":          {Text: "scope.phone", Detail: "scope.phone.detail"},
	"offline_access": {Text: "scope.offline", Detail: "scope.offline.detail"},
	// These are ours.
	"roles":       {Text: "scope.roles"},
	"permissions": {Text: "scope.permissions"},
}

// APIScope is a scope as the organization describes it that the API is of.
type APIScope struct{ API, Name, Description string }

// Described reports whether a scope is one that pages have words for.
func Described(scope string) bool {
	_, known := knownScopes[scope]
	return known || permission.Known(scope)
}

// Scopes are scopes as pages describe them: in words of ours, else in those of each API that has one of that name.
func Scopes(names []string, apis []APIScope) []Scope {
	described := make([]Scope, 0, len(names))
	for _, name := range names {
		scope := knownScopes[name]
		scope.Name = name
		if permission.Known(name) {
			scope.Text = "scope." + name
		}
		if scope.Text != "" {
			described = append(described, scope)
			continue
		}
		before := len(described)
		for _, api := range apis {
			if api.Name == name {
				described = append(described, Scope{Name: name, API: api.API, Description: api.Description})
			}
		}
		if len(described) == before {
			described = append(described, scope)
		}
	}
	return described
}
