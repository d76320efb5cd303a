package upstream

import (
	"slices"
	"strings"
)

// The ways to authenticate at a token endpoint (OpenID Connect Core 1.0 §9). Without one the metadata decides.
const (
	AuthBasic = "client_secret_basic"
	AuthPost  = "client_secret_post"
	AuthNone  = "none"
)

// The response modes that a provider may be asked for.
const (
	ModeQuery = "query"
	ModeForm  = "form_post"
)

// The presets with nothing of their own.
const (
	Generic      = "oidc"
	GenericOAuth = "oauth2"
)

// Preset is what is known of a provider before anybody has set it up.
type Preset struct {
	Name string
	// Title is what people call it.
	Title string
	// OIDC is true where it speaks OpenID Connect and has metadata. Then Issuer is its issuer; "{tenant}" stands for the directory.
	OIDC   bool
	Issuer string
	// Otherwise its endpoints are these. Emails is where a person's addresses are told one by one.
	Authorization, Token, Userinfo, Emails string
	// Hosts are those, besides the issuer's, that its metadata may name.
	Hosts []string

	Scopes       []string
	AuthMethod   string
	ResponseMode string
	// Parameters are sent with every authorization request.
	Parameters map[string]string

	// Claims says where what we call something stands in what the provider tells of a person.
	Claims map[string]string
	// Verified is where it says that an address is the person's; empty where it never does.
	Verified string

	// Reauthenticates is true where a provider that is asked to have its person prove anew who they are says when they last did
	// (OpenID Connect Core 1.0 §3.1.2.1).
	Reauthenticates bool
	// Prompt is what it is asked for then; empty where it cannot be asked.
	Prompt string
	// Hints is true where it takes a login_hint.
	Hints bool
	// NoPKCE is true where a code verifier is refused, and NoNonce where the ID token has no nonce.
	NoPKCE, NoNonce bool
	// Directories is true where the issuer is that of the person's own directory.
	Directories bool
	// Key is true where the secret is a key by which each use of it is signed.
	Key bool
	// Proof is true where requests with an access token are to be proven by the secret.
	Proof bool
}

// Our names of what is told of a person.
const (
	claimSubject  = "sub"
	claimEmail    = "email"
	claimName     = "name"
	claimUsername = "username"
)

// standard is where OpenID Connect has it (Core 1.0 §5.1).
var standard = map[string]string{
	claimSubject: "sub", claimEmail: "email", claimName: "name", claimUsername: "preferred_username", "given_name": "given_name",
	"family_name": "family_name", "nickname": "nickname", "picture": "picture", "locale": "locale", "zoneinfo": "zoneinfo", "website": "website",
}

// without is the standard without some of it.
func without(names ...string) map[string]string {
	rest := make(map[string]string, len(standard))
	for name, path := range standard {
		if !slices.Contains(names, name) {
			rest[name] = path
		}
	}
	return rest
}

const emailVerified = "email_verified"

// presets are in the order in which they are explained.
var presets = []Preset{
	{
		Name: Generic, OIDC: true, Scopes: []string{"openid", "profile", "email"}, Claims: standard, Verified: emailVerified,
		Reauthenticates: true, Prompt: "login", Hints: true,
	},
	{
		// https://developers.google.com/identity/openid-connect/openid-connect
		Name: "google", Title: "Google", OIDC: true, Issuer: "https://accounts.google.com",
		Hosts:  []string{"oauth2.googleapis.com", "openidconnect.googleapis.com", "www.googleapis.com"},
		Scopes: []string{"openid", "profile", "email"}, AuthMethod: AuthPost, Claims: without(claimUsername), Verified: emailVerified,
		Prompt: "select_account", Hints: true,
	},
	{
		// https://learn.microsoft.com/entra/identity-platform/v2-protocols-oidc, …/id-token-claims-reference, …/optional-claims-reference:
		// what stands in the claim email anybody may have written there, unless xms_edov says that its domain is the directory's own.
		Name: "microsoft", Title: "Microsoft", OIDC: true, Issuer: "https://login.microsoftonline.com/{tenant}/v2.0", Directories: true,
		Hosts: []string{"graph.microsoft.com"}, Scopes: []string{"openid", "profile", "email"}, AuthMethod: AuthPost,
		Claims: without(claimUsername), Verified: "xms_edov", Prompt: "login", Hints: true,
	},
	{
		// https://developer.apple.com/documentation/signinwithapple/request-an-authorization-to-the-sign-in-with-apple-server
		Name: "apple", Title: "Apple", OIDC: true, Issuer: "https://appleid.apple.com", Scopes: []string{"name", "email"},
		AuthMethod: AuthPost, ResponseMode: ModeForm, Claims: map[string]string{claimSubject: "sub", claimEmail: "email"}, Verified: emailVerified,
		Key: true,
	},
	{ //nolint:gosec // addresses
		// https://docs.github.com/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps and …/rest/users/emails
		Name: "github", Title: "GitHub", Issuer: "https://github.com", Authorization: "https://github.com/login/oauth/authorize",
		Token: "https://github.com/login/oauth/access_token", Userinfo: "https://api.github.com/user", Emails: "https://api.github.com/user/emails",
		Scopes: []string{"read:user", "user:email"}, AuthMethod: AuthPost,
		Claims: map[string]string{claimSubject: "id", claimName: "name", claimUsername: "login", "picture": "avatar_url"},
		Prompt: "select_account",
	},
	{
		// https://docs.gitlab.com/integration/openid_connect_provider/
		Name: "gitlab", Title: "GitLab", OIDC: true, Issuer: "https://gitlab.com", Scopes: []string{"openid", "profile", "email"},
		AuthMethod: AuthBasic, Claims: withUsername("nickname"), Verified: emailVerified,
	},
	{ //nolint:gosec // addresses
		// https://developers.facebook.com/docs/facebook-login/guides/advanced/manual-flow: nobody says that an address was confirmed.
		Name: "facebook", Title: "Facebook", Issuer: "https://www.facebook.com", Authorization: "https://www.facebook.com/v23.0/dialog/oauth",
		Token: "https://graph.facebook.com/v23.0/oauth/access_token", Userinfo: "https://graph.facebook.com/v23.0/me?fields=id,name,first_name,last_name,email",
		Scopes: []string{"public_profile", "email"}, AuthMethod: AuthPost, Proof: true, Prompt: "",
		Claims: map[string]string{claimSubject: "id", claimEmail: "email", claimName: "name", "given_name": "first_name", "family_name": "last_name"},
	},
	{ //nolint:gosec // addresses
		// https://docs.discord.com/developers/topics/oauth2 and …/resources/user
		Name: "discord", Title: "Discord", Issuer: "https://discord.com", Authorization: "https://discord.com/oauth2/authorize",
		Token: "https://discord.com/api/oauth2/token", Userinfo: "https://discord.com/api/users/@me", Scopes: []string{"identify", "email"},
		AuthMethod: AuthBasic, Verified: "verified", Prompt: "consent",
		Claims: map[string]string{claimSubject: "id", claimEmail: "email", claimName: "global_name", claimUsername: "username", "locale": "locale"},
	},
	{
		// https://learn.microsoft.com/linkedin/consumer/integrations/self-serve/sign-in-with-linkedin-v2: its ID tokens have no nonce, and
		// its token endpoint refuses a code verifier.
		Name: "linkedin", Title: "LinkedIn", OIDC: true, Issuer: "https://www.linkedin.com/oauth", Hosts: []string{"api.linkedin.com"},
		Scopes: []string{"openid", "profile", "email"}, AuthMethod: AuthPost, Claims: without(claimUsername, "locale"), Verified: emailVerified,
		NoPKCE: true, NoNonce: true,
	},
	{
		Name: GenericOAuth, AuthMethod: AuthBasic, Claims: standard, Verified: emailVerified,
	},
}

// withUsername is the standard with the user name where somebody else has it.
func withUsername(path string) map[string]string {
	claims := without()
	claims[claimUsername] = path
	delete(claims, path)
	return claims
}

// Presets are what there is.
func Presets() []Preset { return slices.Clone(presets) }

func presetNamed(name string) (Preset, bool) {
	i := slices.IndexFunc(presets, func(p Preset) bool { return p.Name == name })
	if i < 0 {
		return Preset{}, false
	}
	return presets[i], true
}

// presetNames are listed for whoever has named none of them.
func presetNames() string {
	names := make([]string, len(presets))
	for i, p := range presets {
		names[i] = p.Name
	}
	return strings.Join(names, ", ")
}
