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
	// Select: show the page on which the person chooses one of the accounts that the browser is signed in to.
	Select
	// SignUp: show the page on which somebody makes an account.
	SignUp
	// Factor: show the page on which whoever is signed in proves more than they have.
	Factor
	// Consent: show the consent page.
	Consent
	// Refuse: answer the client with Decision.Error.
	Refuse
)

// The values of the prompt parameter (OpenID Connect Core 1.0 §3.1.2.1, and Initiating User Registration via OpenID Connect 1.0 §4 for the last).
const (
	None          = "none"
	LoginValue    = "login"
	ConsentValue  = "consent"
	SelectAccount = "select_account"
	Create        = "create"
)

// Error codes that a refusal carries: of OpenID Connect Core 1.0 §3.1.2.6, and of OpenID Connect Core Error Code
// unmet_authentication_requirements 1.0.
const (
	LoginRequired            = "login_required"
	AccountSelectionRequired = "account_selection_required"
	ConsentRequired          = "consent_required"
	InteractionRequired      = "interaction_required"
	UnmetRequirements        = "unmet_authentication_requirements"
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
	// Chosen is true when the person chose this account for this very request.
	Chosen bool
	// Aside is true when it is not the account that the browser acts for, but another one that it is signed in to, which a hint names. It is
	// good for an answer; before a page is shown in it, the person chooses it.
	Aside bool
}

// Facts is everything that the decision rests on.
type Facts struct {
	Now     time.Time
	Prompt  []string       // the words of the prompt parameter, already checked
	MaxAge  *time.Duration // nil when not asked
	Session *Session       // nil when nobody is signed in
	Hint    string         // the subject of id_token_hint, empty without one
	// Others is true when the browser is signed in to accounts besides that of Session, of which the request may mean any.
	Others bool

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
	next := f.next(silent)
	switch next.Step {
	case Login, Factor, Consent:
		if f.Session != nil && f.Session.Aside {
			return Decision{Step: Select}
		}
	}
	return next
}

// next is Next for a request that can be answered, whichever of the browser's accounts it is about.
func (f Facts) next(silent bool) Decision {
	if slices.Contains(f.Prompt, Create) && (f.Session == nil || !f.Session.Fresh) {
		return Decision{Step: SignUp}
	}
	if f.chooses() {
		if silent {
			return Decision{Refuse, AccountSelectionRequired, "Several accounts are signed in, and none of them was chosen."}
		}
		return Decision{Step: Select}
	}

	if why := f.loginReason(); why != "" {
		switch {
		case silent:
			return Decision{Refuse, LoginRequired, why}
		case f.Session != nil && f.Session.Fresh, f.Session != nil && f.Session.Chosen && f.Hint != "" && f.Hint != f.Session.Subject:
			// The login, or the choice, of this request is done, and it is still not the one that was asked for: only a different
			// person than the hint names gets here. Asking again would ask forever.
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

// chooses reports whether the person has to say which account they mean: because the request asks them to, or because nobody but them could
// know (Core §3.1.2.1 and §3.1.2.6). Where nobody is signed in there is nothing to choose from.
func (f Facts) chooses() bool {
	switch {
	case f.Session == nil:
		return f.Others && f.Hint == ""
	case f.Session.Fresh, f.Session.Chosen:
		return false
	}
	return slices.Contains(f.Prompt, SelectAccount)
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
	case f.MaxAge != nil && (*f.MaxAge == 0 || f.Now.Sub(f.Session.AuthTime) > *f.MaxAge):
		return "The last login is older than max_age allows."
	}
	return ""
}
