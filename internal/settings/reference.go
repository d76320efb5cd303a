package settings

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// A Member is one thing that can be decided, for people to read.
type Member struct {
	Path    string
	Type    string
	Default string
	Meaning string
}

// Reference returns every member in the order in which it is explained.
func Reference() []Member {
	known, defaults := members(), Flat(Default())
	all := make([]Member, 0, len(meanings))
	for _, m := range meanings {
		kind := known[m.path]
		all = append(all, Member{m.path, [...]string{"text", "true or false", "list", "duration", "number", "JSON array"}[kind], defaults[m.path], m.meaning})
	}
	return all
}

// Flat are the members of s by their paths, as Set takes them. What is empty is left out.
func Flat(s *Settings) map[string]string {
	object, err := s.Map()
	if err != nil {
		return nil
	}
	out := make(map[string]string)
	flatten("", object, out)
	return out
}

func flatten(prefix string, object map[string]any, out map[string]string) {
	for name, value := range object {
		switch v := value.(type) {
		case map[string]any:
			flatten(prefix+name+".", v, out)
		case string:
			out[prefix+name] = v
		case []any:
			words := make([]string, len(v))
			for i, item := range v {
				words[i] = fmt.Sprint(item)
			}
			out[prefix+name] = strings.Join(words, ",")
			if len(v) > 0 && reflect.TypeOf(v[0]).Kind() == reflect.Map {
				text, _ := json.Marshal(v) // as below
				out[prefix+name] = string(text)
			}
		default:
			text, _ := json.Marshal(v) // it came from JSON
			out[prefix+name] = string(text)
		}
	}
}

var meanings = []struct{ path, meaning string }{
	{"language", "What people are spoken to in of whom nothing else is known, as a language tag; empty is English."},
	{"branding.accent", "The colour of buttons and links, `#rrggbb`; empty is Keizer's own."},
	{"branding.logo", "The digest of the picture that the pages show. `--logo FILE` sets it; empty shows the initials."},
	{"branding.terms_uri", "The terms of use, an https address that the pages link to."},
	{"branding.policy_uri", "The privacy policy, likewise."},
	{"branding.support_uri", "Where people find help, likewise."},
	{"sign_up.mode", "Who may make an account: `closed` (nobody), `invitation` (who was invited) or `open` (everybody)."},
	{"sign_up.domains", "The mail domains that an open sign-up is for; none means any. Who was invited may come from anywhere."},
	{"sign_up.fields.name", "Whether sign-up asks for a name: `required`, `optional`, or unset for not at all."},
	{"sign_up.fields.username", "Whether sign-up asks for a user name, likewise."},
	{"second_factor.require", "Who must prove more than a password: `nobody`, `roles` (who has one of `second_factor.roles`) or `everyone`."},
	{"second_factor.roles", "Roles of the organization, for `second_factor.require`."},
	{"second_factor.email_code", "Whether a code by mail is taken for a second factor."},
	{"second_factor.remember", "For how long a browser that gave a second factor need not again, at most 2160h; 0 is never."},
	{"login.methods", "The ways of signing in that are offered: `password`, `passkey`, or both; there are upstream providers besides."},
	{"login.identifier_first", "Whether the name is asked for on a page of its own, before the proof, instead of on one page with it."},
	{"sessions.idle", "After how long without use a session ends, at least 1m; unset is `session.idle_timeout`."},
	{"sessions.absolute", "After how long every session ends, not less than `sessions.idle`; unset is `session.absolute_timeout`."},
	{"sessions.end_tokens", "Whether the end of a session ends every token given in it, those for offline access too."},
	{"tokens.code_lifetime", "How long an authorization code can be redeemed, at most 10m; unset is `tokens.code_lifetime` of the server, and likewise below."},
	{"tokens.access_lifetime", "Lifetime of an opaque access token; at most what `tokens.longest` of the server says."},
	{"tokens.access_jwt_lifetime", "Lifetime of an access token that is a JWT, likewise."},
	{"tokens.id_lifetime", "Lifetime of an ID token, likewise."},
	{"tokens.refresh_idle", "A refresh token that was not used for this long dies; at most `tokens.longest_refresh` of the server."},
	{"tokens.refresh_absolute", "A refresh token and its successors die after this long, not less than `tokens.refresh_idle`; likewise."},
	{"tokens.refresh_replay_window", "How long a spent refresh token is answered with the same successor, at most 1m; 0s turns that off."},
	{"tokens.legacy_assertion_audience", "Whether the assertions that clients authenticate with may have the token endpoint as `aud`, instead of the issuer."},
	{"tokens.legacy_response_types", "Whether clients that are registered for `implicit` are given tokens in the address of the browser (implicit and hybrid)."},
	{"request_objects.by_value", "Whether clients may put a request into a JWT that they have signed (`request`), pushed requests too."},
	{"request_objects.by_reference", "Whether the server fetches such a JWT where the client is registered to keep it (`request_uri`)."},
	{"request_objects.unsigned", "Whether clients that are registered for it (`request_object_signing_alg` is `none`) may leave it unsigned."},
	{"request_objects.encrypted", "Whether clients may encrypt it to the organization, which is given keys for that and loses them with it."},
	{"mail.from_name", "The name that mail comes from; empty is the organization's."},
	{"mail.from", "The address that mail comes from, in one of the domains of `mail.from_domains` of the server; empty is the server's own."},
	{"mail.reply_to", "The address that answers to mail go to; empty is nowhere."},
	{"registration.mode", "Who may register clients by themselves: `off` (nobody), `token` (who has a registration token) or `open` (everybody)."},
	{"registration.scopes", "The scopes that such clients may ask for; none means `openid,profile,email,address,phone,offline_access`."},
	{"registration.grant_types", "The grant types that they may use; none means `authorization_code,refresh_token`."},
	{"registration.auth_methods", "The ways in which they may authenticate; none means any that there is."},
	{"registration.redirect_hosts", "The hosts that their https redirect URIs may have, `*.example.com` being any below; none means any."},
	{
		"registration.redirect_schemes",
		"The schemes of their redirect URIs: `https`, `http` (on the person's own machine only), or an application's own; none means any.",
	},
	{"registration.pkce_optional", "Whether those that authenticate are given codes without PKCE, too."},
	{"registration.max_clients", "How many of them there may be."},
	{"registration.idle", "After how long without use one is removed, at least 48h; 0s is never."},
	{"registration.software_statement", "Whether a registration brings a software statement: `optional` or `required`."},
	{
		"registration.statement_issuers",
		"Whose software statements are believed: objects with `issuer`, `jwks` or `jwks_uri`, and `algorithms`, none of which means any.",
	},
}
