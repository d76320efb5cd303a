package playground

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/keizer-auth/keizer/internal/relyingparty"
)

// asked are the parameters of the authorization request that a person can edit, as they were typed.
type asked struct {
	Scope, Prompt, MaxAge, LoginHint, ACRValues, ResponseMode string
}

// usual is what the form offers first.
func usual() asked {
	return asked{Scope: "openid profile email offline_access"}
}

// longest is how much of one field is taken: what a browser would put into an address without complaint.
const longest = 512

// askedIn reads the form. What it refuses is what could not be put into a request at all; the rest is for the server to
// judge, since seeing it refuse is what the playground is for.
func askedIn(form url.Values) (asked, error) {
	a := asked{
		Scope:        strings.Join(strings.Fields(form.Get("scope")), " "),
		Prompt:       strings.TrimSpace(form.Get("prompt")),
		MaxAge:       strings.TrimSpace(form.Get("max_age")),
		LoginHint:    strings.TrimSpace(form.Get("login_hint")),
		ACRValues:    strings.Join(strings.Fields(form.Get("acr_values")), " "),
		ResponseMode: form.Get("response_mode"),
	}
	for name, value := range map[string]string{
		"scope": a.Scope, "prompt": a.Prompt, "login_hint": a.LoginHint, "acr_values": a.ACRValues, "max_age": a.MaxAge,
	} {
		if len(value) > longest {
			return a, fmt.Errorf("%s is longer than %d characters", name, longest)
		}
	}
	if a.MaxAge != "" {
		if seconds, err := strconv.ParseInt(a.MaxAge, 10, 32); err != nil || seconds < 0 {
			return a, fmt.Errorf("max_age %q is not a number of seconds", a.MaxAge)
		}
	}
	if !slices.Contains(responseModes, a.ResponseMode) {
		return a, fmt.Errorf("response_mode %q is not one of those offered", a.ResponseMode)
	}
	return a, nil
}

var responseModes = []string{"", "query", "form_post"}

func (a asked) request() relyingparty.Ask {
	ask := relyingparty.Ask{
		Scope: relyingparty.Scopes(a.Scope), Prompt: a.Prompt, LoginHint: a.LoginHint, ACRValues: a.ACRValues, ResponseMode: a.ResponseMode,
	}
	if seconds, err := strconv.ParseInt(a.MaxAge, 10, 32); err == nil {
		ask.MaxAge = new(int(seconds))
	}
	return ask
}
