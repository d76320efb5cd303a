package upstreamtest

import (
	"encoding/json"
	"maps"
	"strings"
)

// Person is who comes to the provider.
type Person struct {
	ID, Email           string
	Verified            bool
	Name, Given, Family string
	Username            string
	// Groups are said in the claim groups.
	Groups []string
	// Tenant is the directory at Microsoft.
	Tenant string
}

// Alice is the person that a provider begins with.
func Alice() Person {
	return Person{
		ID: "10769150350006150715113082367", Email: "alice@example.com", Verified: true, Name: "Alice Doe", Given: "Alice", Family: "Doe",
		Username: "alice", Tenant: "9122040d-6c67-4c5b-b112-36a304b66dad",
	}
}

// Profile is what is particular about a provider.
type Profile struct {
	// Preset is the one that it is an imitation of.
	Preset string
	// The addresses, as they are documented. Keys is empty where there is no OpenID Connect.
	Issuer, Authorization, Token, Userinfo, Emails, Keys string
	// Secret is how a client authenticates: "basic", "post" or "apple".
	Secret string
	// Scopes are those that a client must ask for.
	Scopes string
	// FormPost is true where the answer is posted, NoPKCE where a code verifier is refused, NoNonce where ID tokens have no nonce.
	FormPost, NoPKCE, NoNonce bool
	// Form is true where the token endpoint answers with a form.
	Form bool
	// Algorithms and Challenges are said in the metadata.
	Challenges   []string
	IssParameter bool

	idToken  func(Person) map[string]any
	userinfo func(Person) map[string]any
}

func standardClaims(p Person) map[string]any {
	return map[string]any{
		"sub": p.ID, "email": p.Email, "email_verified": p.Verified, "name": p.Name, "given_name": p.Given, "family_name": p.Family,
		"preferred_username": p.Username, "picture": "https://pictures.example/a.png",
	}
}

func with(claims map[string]any, more map[string]any, without ...string) map[string]any {
	all := maps.Clone(claims)
	maps.Copy(all, more)
	for _, name := range without {
		delete(all, name)
	}
	return all
}

// Profiles are the imitations, by preset.
func Profiles() map[string]Profile {
	all := map[string]Profile{}
	for _, p := range []Profile{
		{
			Preset: "oidc", Issuer: "https://idp.example", Authorization: "https://idp.example/authorize", Token: "https://idp.example/token",
			Userinfo: "https://idp.example/userinfo", Keys: "https://idp.example/keys", Secret: "basic", Scopes: "openid profile email",
			Challenges: []string{"S256"}, IssParameter: true,
			idToken:  func(p Person) map[string]any { return with(standardClaims(p), map[string]any{"groups": p.Groups}) },
			userinfo: standardClaims,
		},
		{
			Preset: "google", Issuer: "https://accounts.google.com", Authorization: "https://accounts.google.com/o/oauth2/v2/auth",
			Token: "https://oauth2.googleapis.com/token", Userinfo: "https://openidconnect.googleapis.com/v1/userinfo",
			Keys: "https://www.googleapis.com/oauth2/v3/certs", Secret: "post", Scopes: "openid profile email", Challenges: []string{"plain", "S256"},
			idToken: func(p Person) map[string]any {
				return with(standardClaims(p), map[string]any{"hd": "example.com"}, "preferred_username")
			},
			userinfo: standardClaims,
		},
		{
			Preset: "microsoft", Issuer: "https://login.microsoftonline.com/{tenantid}/v2.0",
			Authorization: "https://login.microsoftonline.com/common/oauth2/v2.0/authorize", Token: "https://login.microsoftonline.com/common/oauth2/v2.0/token",
			Userinfo: "https://graph.microsoft.com/oidc/userinfo", Keys: "https://login.microsoftonline.com/common/discovery/v2.0/keys",
			Secret: "post", Scopes: "openid profile email",
			idToken: func(p Person) map[string]any {
				claims := map[string]any{
					"sub": p.ID, "email": p.Email, "name": p.Name, "preferred_username": p.Email, "tid": p.Tenant, "oid": "00000000-0000-0000-66f3-3332eca7ea81", "ver": "2.0",
				}
				if p.Verified {
					claims["xms_edov"] = true
				}
				return claims
			},
			userinfo: func(p Person) map[string]any { return map[string]any{"sub": p.ID, "name": p.Name, "email": p.Email} },
		},
		{
			Preset: "apple", Issuer: "https://appleid.apple.com", Authorization: "https://appleid.apple.com/auth/authorize",
			Token: "https://appleid.apple.com/auth/token", Keys: "https://appleid.apple.com/auth/keys", Secret: "apple", Scopes: "name email",
			FormPost: true,
			idToken: func(p Person) map[string]any {
				verified := "false"
				if p.Verified {
					verified = "true" // a text, as it is documented to be at times
				}
				return map[string]any{"sub": p.ID, "email": p.Email, "email_verified": verified, "nonce_supported": true}
			},
		},
		{
			Preset: "github", Authorization: "https://github.com/login/oauth/authorize", Token: "https://github.com/login/oauth/access_token",
			Userinfo: "https://api.github.com/user", Emails: "https://api.github.com/user/emails", Secret: "post", Scopes: "read:user user:email", Form: true,
			userinfo: func(p Person) map[string]any {
				return map[string]any{"id": json.Number(p.ID), "login": p.Username, "name": p.Name, "email": nil, "avatar_url": "https://avatars.githubusercontent.com/u/583231"}
			},
		},
		{
			Preset: "gitlab", Issuer: "https://gitlab.com", Authorization: "https://gitlab.com/oauth/authorize", Token: "https://gitlab.com/oauth/token",
			Userinfo: "https://gitlab.com/oauth/userinfo", Keys: "https://gitlab.com/oauth/discovery/keys", Secret: "basic", Scopes: "openid profile email",
			Challenges: []string{"plain", "S256"},
			idToken:    func(p Person) map[string]any { return map[string]any{"sub": p.ID, "auth_time": 1735689600} },
			userinfo: func(p Person) map[string]any {
				return with(standardClaims(p), map[string]any{"nickname": p.Username, "groups": p.Groups}, "preferred_username")
			},
		},
		{
			Preset: "facebook", Authorization: "https://www.facebook.com/v23.0/dialog/oauth", Token: "https://graph.facebook.com/v23.0/oauth/access_token",
			Userinfo: "https://graph.facebook.com/v23.0/me", Secret: "post", Scopes: "public_profile email",
			userinfo: func(p Person) map[string]any {
				return map[string]any{"id": p.ID, "name": p.Name, "first_name": p.Given, "last_name": p.Family, "email": p.Email}
			},
		},
		{
			Preset: "discord", Authorization: "https://discord.com/oauth2/authorize", Token: "https://discord.com/api/oauth2/token",
			Userinfo: "https://discord.com/api/users/@me", Secret: "basic", Scopes: "identify email",
			userinfo: func(p Person) map[string]any {
				return map[string]any{
					"id": p.ID, "username": p.Username, "global_name": p.Name, "avatar": "8342729096ea3675442027381ff50dfe", "verified": p.Verified,
					"email": p.Email, "locale": "en-US", "discriminator": "0",
				}
			},
		},
		{
			Preset: "linkedin", Issuer: "https://www.linkedin.com/oauth", Authorization: "https://www.linkedin.com/oauth/v2/authorization",
			Token: "https://www.linkedin.com/oauth/v2/accessToken", Userinfo: "https://api.linkedin.com/v2/userinfo",
			Keys: "https://www.linkedin.com/oauth/openid/jwks", Secret: "post", Scopes: "openid profile email", NoPKCE: true, NoNonce: true,
			idToken: func(p Person) map[string]any {
				verified := "false"
				if p.Verified {
					verified = "true"
				}
				return with(standardClaims(p), map[string]any{"email_verified": verified, "locale": "en_US"}, "preferred_username")
			},
			userinfo: func(p Person) map[string]any {
				return with(standardClaims(p), map[string]any{"locale": map[string]any{"country": "US", "language": "en"}}, "preferred_username")
			},
		},
		{
			Preset: "oauth2", Authorization: "https://old.example/authorize", Token: "https://old.example/token", Userinfo: "https://old.example/me",
			Secret: "basic", Scopes: "basic",
			userinfo: func(p Person) map[string]any {
				return map[string]any{"data": map[string]any{"user_id": p.ID, "mail": p.Email, "confirmed": p.Verified, "display": p.Name}, "https://old.example/teams": p.Groups}
			},
		},
	} {
		all[p.Preset] = p
	}
	return all
}

// moved is an address as it is served below base: the host becomes the beginning of the path.
func moved(base, address string) string {
	if base == "" || address == "" {
		return address
	}
	return base + "/" + strings.TrimPrefix(address, "https://")
}

// at is the profile as it is served below base.
func (p Profile) at(base string) Profile {
	for _, address := range []*string{&p.Issuer, &p.Authorization, &p.Token, &p.Userinfo, &p.Emails, &p.Keys} {
		*address = moved(base, *address)
	}
	return p
}
