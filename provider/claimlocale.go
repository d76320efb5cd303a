package provider

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/keizer-auth/keizer/internal/profile"
	"github.com/keizer-auth/keizer/storage"
)

// maxLocales is how many languages of a request are looked at.
const maxLocales = 10

// claimLocales are the languages that a request would like claims in, the one it likes best first (OpenID Connect Core 1.0 §5.2). What is no
// language is passed over: the parameter is never an error.
func claimLocales(form url.Values) (locales []string) {
	for _, tag := range strings.Fields(form.Get("claims_locales")) {
		if tag = strings.ToLower(tag); profile.Locale(tag) && !slices.Contains(locales, tag) && len(locales) < maxLocales {
			locales = append(locales, tag)
		}
	}
	return locales
}

// tagged are the claims of a person that are written in a language: by name, a number sign and the language in lower case.
func tagged(user *storage.User) map[string]any {
	var found map[string]any
	for name, value := range user.Metadata {
		if claim, tag, ok := strings.Cut(name, "#"); ok && profile.Localized(claim) {
			if found == nil {
				found = make(map[string]any)
			}
			found[claim+"#"+strings.ToLower(tag)] = value
		}
	}
	return found
}

// inLocales is a person with their claims in the languages that are liked best, of those that there are, without saying so in their names (OpenID
// Connect Core 1.0 §5.2). A claim that is in none of them is as it is.
func inLocales(user *storage.User, locales []string) *storage.User {
	if len(locales) == 0 {
		return user
	}
	written := tagged(user)
	if len(written) == 0 {
		return user
	}
	own, _ := user.Metadata["locale"].(string)
	spoken := *user
	spoken.Metadata = maps.Clone(user.Metadata)
	for _, claim := range profile.LocalizedClaims() {
		value, ok := preferred(written, claim, strings.ToLower(own), locales)
		if !ok {
			continue
		}
		if name, isText := value.(string); claim == "name" && isText {
			spoken.FullName = &name
		} else {
			spoken.Metadata[claim] = value
		}
	}
	return &spoken
}

// preferred looks a claim up in one language after the other, each as narrowly as it is asked for and then ever more widely (RFC 4647 §3.4).
// What is written in the person's own language is the claim that has none in its name.
func preferred(written map[string]any, claim, own string, locales []string) (any, bool) {
	for _, tag := range locales {
		for tag != "" {
			if value, ok := written[claim+"#"+tag]; ok {
				return value, true
			}
			if tag == own {
				return nil, false
			}
			i := strings.LastIndexByte(tag, '-')
			if i > 1 && tag[i-2] == '-' { // a single letter stands for nothing by itself
				i -= 2
			}
			tag = tag[:max(i, 0)]
		}
	}
	return nil, false
}
