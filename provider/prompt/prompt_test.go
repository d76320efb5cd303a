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
		{"select_account", Facts{Prompt: []string{"select_account"}, Session: session(time.Hour, false), Consented: true}, Login, ""},

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
