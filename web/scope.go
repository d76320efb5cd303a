package web

// knownScopes are the scopes that mean the same everywhere (OpenID Connect Core 1.0 §5.4 and §11).
var knownScopes = map[string]Scope{
	"openid":         {Text: "scope.openid", Detail: "scope.openid.detail"},
	"profile":        {Text: "scope.profile", Detail: "scope.profile.detail"},
	"email":          {Text: "scope.email", Detail: "scope.email.detail"},
	"address":        {Text: "scope.address"},
	"phone":          {Text: "scope.phone", Detail: "scope.phone.detail"},
	"offline_access": {Text: "scope.offline", Detail: "scope.offline.detail"},
}

// Scopes are scopes as pages describe them.
func Scopes(names []string) []Scope {
	described := make([]Scope, len(names))
	for i, name := range names {
		described[i] = knownScopes[name]
		described[i].Name = name
	}
	return described
}
