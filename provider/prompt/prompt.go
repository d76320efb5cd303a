package prompt

import (
	"slices"
	"time"
)

// Step is the one word that Next says.
type Step int

// The steps of an authorization request.
const (
	// Issue: everything is there, answer with a code.
	Issue Step = iota
	// Login: show the login page.
	Login
	// Factor: show the page on which whoever is signed in proves more than they have.
	Factor
	// Consent: show the consent page.
	Consent
	// Refuse: answer the client with Decision.Error.
	Refuse
)

// The values of the prompt parameter (OpenID Connect Core 1.0 §3.1.2.1).
const (
	None          = "none"
	LoginValue    = "login"
	ConsentValue  = "consent"
	SelectAccount = "select_account"
)

// Error codes that a refusal carries: of OpenID Connect Core 1.0 §3.1.2.6, and of OpenID Connect Core Error Code
// unmet_authentication_requirements 1.0.
const (
	LoginRequired       = "login_required"
	ConsentRequired     = "consent_required"
	InteractionRequired = "interaction_required"
	UnmetRequirements   = "unmet_authentication_requirements"
)

// Decision is a step and, for Refuse, why.
type Decision struct {
	Step        Step
	Error       string // a registered error code
	Description string // one sentence for the client's developer
}

// Session is what is known of the person at the browser.
type Session struct {
	Subject  string
	AuthTime time.Time
	// Fresh is true when the session was proven for this very request: the interaction itself recorded the login. It is a
	// fact of the row and not a comparison of times, so that two replicas with different clocks agree on it.
	Fresh bool
}

// Facts is everything that the decision rests on.
type Facts struct {
	Now     time.Time
	Prompt  []string       // the words of the prompt parameter, already checked
	MaxAge  *time.Duration // nil when not asked
	Session *Session       // nil when nobody is signed in
	Hint    string         // the subject of id_token_hint, empty without one

	// Impossible is true when the request insists on an authentication that there is not (Core §5.5.1.1).
	Impossible bool
	// Lacking is true when the session is not enough: the request, or the organization, wants more factors than were given.
	Lacking bool

	// Consented is true when the person has allowed everything that is asked, now or earlier, or need not be asked.
	Consented bool
	// ConsentedNow is true when the person allowed it on the consent page of this very request.
	ConsentedNow bool
	// Refusal is the error that a page recorded: the person pressed Cancel or Deny.
	Refusal string
}

// Next says what an authorization request needs next. It is called again after every page, with what the page has proven,
// until it says Issue or Refuse.
func Next(f Facts) Decision {
	if f.Refusal != "" {
		return Decision{Refuse, f.Refusal, "The person at the browser declined."}
	}
	if f.Impossible {
		return Decision{Refuse, UnmetRequirements, "No authentication here has any of the acr values that the request insists on."}
	}
	silent := slices.Contains(f.Prompt, None)

	if why := f.loginReason(); why != "" {
		switch {
		case silent:
			return Decision{Refuse, LoginRequired, why}
		case f.Session != nil && f.Session.Fresh:
			// The login of this request is done, and it is still not the login that was asked for: only a different person
			// than the hint names gets here. Asking again would ask forever.
			return Decision{Refuse, LoginRequired, why}
		default:
			return Decision{Step: Login}
		}
	}

	if f.Lacking {
		if silent {
			return Decision{Refuse, InteractionRequired, "The person has to prove more than they have: a second factor is asked for."}
		}
		return Decision{Step: Factor}
	}

	if !f.Consented || slices.Contains(f.Prompt, ConsentValue) && !f.ConsentedNow {
		if silent {
			return Decision{Refuse, ConsentRequired, "The person has not allowed this client what it asks for."}
		}
		return Decision{Step: Consent}
	}
	return Decision{Step: Issue}
}

// loginReason says why the login page is needed, or nothing when it is not.
func (f Facts) loginReason() string {
	switch {
	case f.Session == nil:
		return "Nobody is signed in."
	case f.Hint != "" && f.Hint != f.Session.Subject:
		return "The person signed in is not the one the id_token_hint names."
	case f.Session.Fresh:
		// A login made for this request satisfies prompt=login and any max_age, also one of 0 (Core §3.1.2.1).
		return ""
	case slices.Contains(f.Prompt, LoginValue):
		return "The request asks for a new login."
	case slices.Contains(f.Prompt, SelectAccount):
		return "The request asks the person to choose an account."
	case f.MaxAge != nil && (*f.MaxAge == 0 || f.Now.Sub(f.Session.AuthTime) > *f.MaxAge):
		return "The last login is older than max_age allows."
	}
	return ""
}
