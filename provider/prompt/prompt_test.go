package prompt

import (
	"testing"
	"time"
)

func TestNext(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	session := func(age time.Duration, fresh bool) *Session {
		return &Session{Subject: "alice", AuthTime: now.Add(-age), Fresh: fresh}
	}
	chosen := func(who string) *Session { return &Session{Subject: who, AuthTime: now.Add(-time.Hour), Chosen: true} }
	aside := func(who string) *Session { return &Session{Subject: who, AuthTime: now.Add(-time.Hour), Aside: true} }
	seconds := func(n int) *time.Duration { d := time.Duration(n) * time.Second; return &d }

	for _, test := range []struct {
		name  string
		facts Facts
		step  Step
		err   string
	}{
		{"nobody is signed in", Facts{Consented: true}, Login, ""},
		{"signed in, not yet allowed", Facts{Session: session(time.Hour, false)}, Consent, ""},
		{"signed in and allowed", Facts{Session: session(time.Hour, false), Consented: true}, Issue, ""},

		{"none: nobody", Facts{Prompt: []string{"none"}, Consented: true}, Refuse, LoginRequired},
		{"none: not allowed", Facts{Prompt: []string{"none"}, Session: session(time.Hour, false)}, Refuse, ConsentRequired},
		{"none: all there", Facts{Prompt: []string{"none"}, Session: session(time.Hour, false), Consented: true}, Issue, ""},
		{"none: too old", Facts{Prompt: []string{"none"}, MaxAge: seconds(10), Session: session(time.Hour, false), Consented: true}, Refuse, LoginRequired},
		{"none: another person", Facts{Prompt: []string{"none"}, Hint: "bob", Session: session(time.Hour, false), Consented: true}, Refuse, LoginRequired},
		{"none: the hinted person", Facts{Prompt: []string{"none"}, Hint: "alice", Session: session(time.Hour, false), Consented: true}, Issue, ""},

		{"login: an old session", Facts{Prompt: []string{"login"}, Session: session(time.Hour, false), Consented: true}, Login, ""},
		{"login: even a session of this instant", Facts{Prompt: []string{"login"}, Session: session(0, false), Consented: true}, Login, ""},
		{"login: proven for this request", Facts{Prompt: []string{"login"}, Session: session(0, true), Consented: true}, Issue, ""},
		{"login: proven, clocks apart", Facts{Prompt: []string{"login"}, Session: session(-30*time.Second, true), Consented: true}, Issue, ""},

		{"select_account", Facts{Prompt: []string{"select_account"}, Session: session(time.Hour, false), Consented: true}, Select, ""},
		{"select_account: a session of this instant", Facts{Prompt: []string{"select_account"}, Session: session(0, false), Consented: true}, Select, ""},
		{"select_account: nobody", Facts{Prompt: []string{"select_account"}, Consented: true}, Login, ""},
		{"select_account: nobody is chosen, and some are there", Facts{Prompt: []string{"select_account"}, Others: true}, Select, ""},
		{"select_account: chosen", Facts{Prompt: []string{"select_account"}, Session: chosen("alice"), Others: true, Consented: true}, Issue, ""},
		{"select_account: signed in for it", Facts{Prompt: []string{"select_account"}, Session: session(0, true), Others: true, Consented: true}, Issue, ""},
		{"select_account: chosen, not yet allowed", Facts{Prompt: []string{"select_account"}, Session: chosen("alice")}, Consent, ""},
		{"select_account: chosen, and a factor is lacking", Facts{Prompt: []string{"select_account"}, Session: chosen("alice"), Lacking: true}, Factor, ""},
		{"select_account: chosen, and too old", Facts{Prompt: []string{"select_account"}, MaxAge: seconds(60), Session: chosen("alice"), Consented: true}, Login, ""},
		{"select_account and login", Facts{Prompt: []string{"select_account", "login"}, Session: session(time.Hour, false), Consented: true}, Select, ""},
		{"select_account and login: chosen", Facts{Prompt: []string{"select_account", "login"}, Session: chosen("alice"), Consented: true}, Login, ""},
		{"select_account and login: proven", Facts{Prompt: []string{"login", "select_account"}, Session: session(0, true), Consented: true}, Issue, ""},
		{"select_account and consent: chosen", Facts{Prompt: []string{"select_account", "consent"}, Session: chosen("alice"), Consented: true}, Consent, ""},
		{"select_account and a hint", Facts{Prompt: []string{"select_account"}, Hint: "alice", Session: session(time.Hour, false), Consented: true}, Select, ""},
		{
			"select_account and a hint: another is chosen",
			Facts{Prompt: []string{"select_account"}, Hint: "alice", Session: chosen("bob"), Others: true, Consented: true}, Refuse, LoginRequired,
		},

		{"several, and one of them is the browser's", Facts{Session: session(time.Hour, false), Others: true, Consented: true}, Issue, ""},
		{"several, and none of them is", Facts{Others: true}, Select, ""},
		{"several, none, and a hint for somebody else", Facts{Others: true, Hint: "carol"}, Login, ""},
		{"none: several, and one of them is the browser's", Facts{Prompt: []string{"none"}, Session: session(time.Hour, false), Others: true, Consented: true}, Issue, ""},
		{"none: several, and none of them is", Facts{Prompt: []string{"none"}, Others: true}, Refuse, AccountSelectionRequired},
		{"none: several, none, and a hint for somebody else", Facts{Prompt: []string{"none"}, Others: true, Hint: "carol"}, Refuse, LoginRequired},
		{"a hint for one aside", Facts{Hint: "bob", Session: aside("bob"), Others: true, Consented: true}, Issue, ""},
		{"none: a hint for one aside", Facts{Prompt: []string{"none"}, Hint: "bob", Session: aside("bob"), Others: true, Consented: true}, Issue, ""},
		{"one aside has not allowed it yet", Facts{Hint: "bob", Session: aside("bob"), Others: true}, Select, ""},
		{"one aside lacks a factor", Facts{Hint: "bob", Session: aside("bob"), Lacking: true}, Select, ""},
		{"one aside is to prove it anew", Facts{Prompt: []string{"login"}, Hint: "bob", Session: aside("bob"), Consented: true}, Select, ""},
		{"none: one aside has not allowed it yet", Facts{Prompt: []string{"none"}, Hint: "bob", Session: aside("bob")}, Refuse, ConsentRequired},
		{"none: one aside is too old", Facts{Prompt: []string{"none"}, MaxAge: seconds(60), Hint: "bob", Session: aside("bob"), Consented: true}, Refuse, LoginRequired},

		{"create: nobody", Facts{Prompt: []string{"create"}}, SignUp, ""},
		{"create: somebody is there", Facts{Prompt: []string{"create"}, Session: session(time.Hour, false), Consented: true}, SignUp, ""},
		{"create: several", Facts{Prompt: []string{"create"}, Others: true}, SignUp, ""},
		{"create: made for it", Facts{Prompt: []string{"create"}, Session: session(0, true)}, Consent, ""},
		{"create: given up", Facts{Prompt: []string{"create"}, Refusal: "access_denied"}, Refuse, "access_denied"},

		{"max_age 0", Facts{MaxAge: seconds(0), Session: session(0, false), Consented: true}, Login, ""},
		{"max_age 0, proven", Facts{MaxAge: seconds(0), Session: session(2*time.Second, true), Consented: true}, Issue, ""},
		{"max_age 1, an hour old", Facts{MaxAge: seconds(1), Session: session(time.Hour, false), Consented: true}, Login, ""},
		{"max_age 1, slow typist", Facts{MaxAge: seconds(1), Session: session(5*time.Second, true), Consented: true}, Issue, ""},
		{"max_age 10000", Facts{MaxAge: seconds(10000), Session: session(time.Hour, false), Consented: true}, Issue, ""},

		{"consent asked again", Facts{Prompt: []string{"consent"}, Session: session(time.Hour, false), Consented: true}, Consent, ""},
		{"consent given now", Facts{Prompt: []string{"consent"}, Session: session(time.Hour, false), Consented: true, ConsentedNow: true}, Issue, ""},
		{"login and consent, neither", Facts{Prompt: []string{"login", "consent"}, Session: session(time.Hour, false)}, Login, ""},
		{"login and consent, login done", Facts{Prompt: []string{"login", "consent"}, Session: session(0, true), Consented: true}, Consent, ""},

		{"a factor is lacking", Facts{Session: session(time.Hour, false), Lacking: true, Consented: true}, Factor, ""},
		{"a factor is lacking, and the consent", Facts{Session: session(time.Hour, false), Lacking: true}, Factor, ""},
		{"a factor is lacking, and the login is too old", Facts{MaxAge: seconds(1), Session: session(time.Hour, false), Lacking: true, Consented: true}, Login, ""},
		{"none: a factor is lacking", Facts{Prompt: []string{"none"}, Session: session(time.Hour, false), Lacking: true, Consented: true}, Refuse, InteractionRequired},
		{"impossible", Facts{Session: session(time.Hour, false), Impossible: true, Consented: true}, Refuse, UnmetRequirements},
		{"impossible, with nobody there", Facts{Impossible: true}, Refuse, UnmetRequirements},
		{"none: impossible", Facts{Prompt: []string{"none"}, Impossible: true}, Refuse, UnmetRequirements},
		{"a factor was refused", Facts{Session: session(time.Hour, false), Lacking: true, Refusal: UnmetRequirements}, Refuse, UnmetRequirements},

		{"hint for somebody else", Facts{Hint: "bob", Session: session(time.Hour, false), Consented: true}, Login, ""},
		{"hint for somebody else, after the login", Facts{Hint: "bob", Session: session(0, true), Consented: true}, Refuse, LoginRequired},
		{"cancelled", Facts{Refusal: "access_denied"}, Refuse, "access_denied"},
		{"denied", Facts{Session: session(0, true), Refusal: "access_denied"}, Refuse, "access_denied"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.facts.Now = now
			got := Next(test.facts)
			if got.Step != test.step || got.Error != test.err {
				t.Errorf("got step %d %q, want step %d %q", got.Step, got.Error, test.step, test.err)
			}
			if got.Step == Refuse && got.Description == "" {
				t.Error("a refusal says why")
			}
		})
	}
}
