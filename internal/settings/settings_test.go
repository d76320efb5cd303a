package settings

import (
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func patch(t testing.TB, text string) Patch {
	t.Helper()
	p, err := ParsePatch([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return p
}

func TestWhatWasNotDecidedIsTheDefault(t *testing.T) {
	for _, stored := range []map[string]any{nil, {}, {"branding": map[string]any{}}} {
		if s, err := Parse(stored); err != nil || !reflect.DeepEqual(s, Default()) {
			t.Errorf("%v: %+v, %v", stored, s, err)
		}
	}
	if err := Default().Validate(); err != nil {
		t.Errorf("the defaults are wrong: %v", err)
	}
}

func TestSettingsComeBackAsTheyWereWritten(t *testing.T) {
	all := &Settings{
		Language: "en", Branding: Branding{"#0a5bd3", "kD3XPqVtQmVx9o8rW2", "https://a.example/t", "https://a.example/p", "https://a.example/s"},
		SignUp:       SignUp{SignUpOpen, []string{"xn--bcher-kva.example", "b.example"}, map[string]string{"username": "required"}},
		SecondFactor: SecondFactor{RequireRoles, []string{"operator"}, true, Duration(24 * time.Hour)},
		Login:        Login{[]string{WithPasskey}, true},
		Sessions:     Sessions{Duration(time.Minute), Duration(time.Hour), true},
		Tokens: Tokens{
			Duration(time.Second), Duration(2 * time.Minute), Duration(3 * time.Minute), Duration(4 * time.Minute), Duration(time.Hour), Duration(2 * time.Hour), new(Duration),
			true, true,
		},
		Mail: Mail{"Bücher", "no-reply@b.example", "help@b.example"},
		Registration: Registration{
			RegistrationToken, []string{"openid", "orders"}, []string{"client_credentials"}, []string{"none"}, []string{"*.b.example", "c.example"},
			[]string{"https", "com.example.app"}, true, 7, Duration(48 * time.Hour), StatementRequired,
			[]StatementIssuer{{"https://a.example", map[string]any{"keys": []any{}}, "", []string{"ES256"}}, {Issuer: "b", JWKSURI: "https://b.example/keys"}},
		},
	}
	if err := all.Validate(); err != nil {
		t.Fatal(err)
	}
	stored, err := all.Map()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Parse(stored); err != nil || !reflect.DeepEqual(again, all) {
		t.Errorf("%+v, %v", again, err)
	}
	none := Default()
	none.SignUp.Fields = map[string]string{}
	stored, err = none.Map()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Parse(stored); err != nil || len(again.SignUp.Fields) != 0 {
		t.Errorf("no fields became %+v, %v", again.SignUp.Fields, err)
	}
}

func TestWhatANewerReplicaWroteIsPassedOverAndKept(t *testing.T) {
	stored := map[string]any{"gadgets": map[string]any{"on": true}, "sign_up": map[string]any{"mode": "closed", "captcha": "yes"}}
	if s, err := Parse(stored); err != nil || s.SignUp.Mode != SignUpClosed {
		t.Errorf("%+v, %v", s, err)
	}
	merged, _, err := patch(t, `{"sign_up":{"mode":"open"}}`).Apply(stored)
	want := map[string]any{"gadgets": map[string]any{"on": true}, "sign_up": map[string]any{"mode": "open", "captcha": "yes"}}
	if err != nil || !reflect.DeepEqual(merged, want) {
		t.Errorf("%v, %v", merged, err)
	}
	if signUp, _ := stored["sign_up"].(map[string]any); signUp["mode"] != "closed" {
		t.Error("what was given was changed")
	}
	// A choice that is not known may forbid something.
	for _, text := range []string{`{"sign_up":{"mode":"auction"}}`, `{"second_factor":{"require":"admins"}}`, `{"sign_up":{"mode":7}}`} {
		var unknown map[string]any
		if err := json.Unmarshal([]byte(text), &unknown); err != nil {
			t.Fatal(err)
		}
		if s, err := Parse(unknown); err == nil {
			t.Errorf("%s: %+v", text, s)
		}
	}
}

func TestAnOperatorIsToldEverythingThatIsWrongAtOnce(t *testing.T) {
	_, _, err := patch(t, `{
		"language": "tlh", "branding": {"accent": "red", "terms_uri": "http://a.example/", "policy_uri": "https://u:p@a.example/", "support_uri": "javascript:alert(1)"},
		"sign_up": {"mode": "ajar", "domains": ["a.example", "not a domain"], "fields": {"username": "perhaps"}},
		"second_factor": {"require": "roles", "remember": "2161h"}, "sessions": {"idle": "30s", "absolute": "1ms"},
		"login": {"methods": []}, "tokens": {"code_lifetime": "11m", "access_lifetime": "25h", "id_lifetime": "1ms", "refresh_idle": "2h", "refresh_absolute": "1h", "refresh_replay_window": "2m"},
		"mail": {"from_name": "A\nBcc: all@b.example", "from": "nobody", "reply_to": "nobody"},
		"registration": {"mode": "ajar", "scopes": ["keizer:users:read"], "grant_types": ["a b"], "auth_methods": ["none", "none"], "redirect_hosts": ["*"],
			"redirect_schemes": ["HTTPS"], "max_clients": 0, "idle": "47h", "software_statement": "maybe",
			"statement_issuers": [{"issuer": "a"}]}
	}`).Apply(nil)
	var paths []string
	for _, complaint := range Complaints(err) {
		paths = append(paths, complaint.Path)
	}
	want := []string{
		"branding.accent", "branding.policy_uri", "branding.support_uri", "branding.terms_uri", "language", "login.methods", "mail.from", "mail.from_name",
		"mail.reply_to", "registration.auth_methods", "registration.grant_types", "registration.idle", "registration.max_clients", "registration.mode",
		"registration.redirect_hosts", "registration.redirect_schemes", "registration.scopes", "registration.software_statement", "registration.statement_issuers",
		"second_factor.remember", "second_factor.roles", "sessions.absolute", "sessions.idle", "sign_up.domains", "sign_up.fields.username", "sign_up.mode",
		"tokens.access_lifetime", "tokens.code_lifetime", "tokens.id_lifetime", "tokens.refresh_absolute", "tokens.refresh_replay_window",
	}
	if !slices.Equal(paths, want) {
		t.Errorf("complained of %v:\n%v", paths, err)
	}
}

func TestWhatAnOperatorWritesMustBeKnown(t *testing.T) {
	for text, path := range map[string]string{
		`{"sign_upp":{"mode":"open"}}`: "sign_upp", `{"sign_up":{"moode":"open"}}`: "sign_up.moode", `{"Sign_Up":{"mode":"open"}}`: "Sign_Up",
		`{"sign_up":"open"}`: "sign_up", `{"sign_up":{"mode":true}}`: "sign_up.mode", `{"sign_up":{"domains":"a.example"}}`: "sign_up.domains",
		`{"sign_up":{"domains":[1]}}`: "sign_up.domains", `{"sign_up":{"fields":{"age":"required"}}}`: "sign_up.fields.age",
		`{"sessions":{"end_tokens":"yes"}}`: "sessions.end_tokens", `{"sessions":{"idle":3600}}`: "sessions.idle", `{"sessions":{"idle":"an hour"}}`: "sessions.idle",
		`{"language":{"x":1}}`: "language", `{"login":{"methods":["telepathy"]}}`: "login.methods", `{"tokens":{"refresh_replay_window":5}}`: "tokens.refresh_replay_window",
		`{"registration":{"max_clients":1.5}}`: "registration.max_clients", `{"registration":{"max_clients":"7"}}`: "registration.max_clients",
		`{"registration":{"statement_issuers":[{"issuer":"a","jwks_url":"https://a.example/"}]}}`: "registration.statement_issuers",
		`{"registration":{"statement_issuers":{}}}`:                                               "registration.statement_issuers", `{"registration":{"software_statement":"required"}}`: "registration.statement_issuers",
	} {
		_, _, err := patch(t, text).Apply(nil)
		if found := Complaints(err); len(found) != 1 || found[0].Path != path {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{``, `[]`, `null`, `{"a":1,"a":2}`, `{"a":1} {}`, `{"sign_up":`} {
		if p, err := ParsePatch([]byte(text)); err == nil {
			t.Errorf("%s was taken for %v", text, p)
		}
	}
	if err := (Patch{}).Set("sign_up.mod", "open"); err == nil || !strings.Contains(err.Error(), "did you mean sign_up.mode?") {
		t.Errorf("%v", err)
	}
	if err := (Patch{}).Unset("nothing"); err == nil {
		t.Error("what is not there was unset")
	}
}

func TestAPathAndATextSetOneMember(t *testing.T) {
	p := Patch{}
	for path, text := range map[string]string{
		"sign_up.mode": "open", "sign_up.domains": "A.example, bücher.example,a.EXAMPLE", "sign_up.fields.username": "required", "sessions.end_tokens": "true",
		"sessions.idle": "90m", "branding.accent": "#0A5BD3", "registration.max_clients": "12",
		"registration.statement_issuers": `[{"issuer":"a","jwks_uri":"https://a.example/keys"}]`,
	} {
		if err := p.Set(path, text); err != nil {
			t.Fatal(err)
		}
	}
	stored, s, err := p.Apply(nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.SignUp.Mode != SignUpOpen || !slices.Equal(s.SignUp.Domains, []string{"a.example", "xn--bcher-kva.example"}) || !s.Sessions.EndTokens ||
		time.Duration(s.Sessions.Idle) != 90*time.Minute || s.Branding.Accent != "#0a5bd3" ||
		!maps.Equal(s.SignUp.Fields, map[string]string{"name": "optional", "username": "required"}) {
		t.Errorf("%+v", s)
	}
	if issuer, ok := s.Registration.Statements("a"); s.Registration.MaxClients != 12 || !ok || issuer.JWKSURI != "https://a.example/keys" ||
		Flat(s)["registration.statement_issuers"] != `[{"issuer":"a","jwks_uri":"https://a.example/keys"}]` || Flat(s)["registration.max_clients"] != "12" {
		t.Errorf("%+v", s.Registration)
	}
	for path, text := range map[string]string{"registration.max_clients": "many", "registration.statement_issuers": `[{"issuer":"a","issuer":"b"}]`} {
		if err := (Patch{}).Set(path, text); err == nil {
			t.Errorf("%s became %s", path, text)
		}
	}
	if signUp, _ := stored["sign_up"].(map[string]any); !reflect.DeepEqual(signUp["domains"], []any{"a.example", "xn--bcher-kva.example"}) {
		t.Errorf("not canonical: %v", stored)
	}
	p = Patch{}
	for _, path := range []string{"sign_up.fields.name", "sessions"} {
		if err := p.Unset(path); err != nil {
			t.Fatal(err)
		}
	}
	if _, s, err = p.Apply(stored); err != nil || s.Sessions != (Sessions{}) || !maps.Equal(s.SignUp.Fields, map[string]string{"username": "required"}) {
		t.Errorf("%+v, %v", s, err)
	}
	changes, err := Changes(Default(), s)
	if one, _ := changes["sign_up.mode"].(map[string]any); err != nil || one["before"] != SignUpInvitation || one["after"] != SignUpOpen || changes["sessions.idle"] != nil {
		t.Errorf("%v, %v", changes, err)
	}
}

func TestAWindowOfNothingIsNotNoWindow(t *testing.T) {
	p := Patch{}
	for path, text := range map[string]string{"tokens.refresh_replay_window": "0s", "login.methods": "passkey,password,passkey"} {
		if err := p.Set(path, text); err != nil {
			t.Fatal(err)
		}
	}
	stored, s, err := p.Apply(nil)
	if err != nil || s.Tokens.RefreshReplayWindow == nil || *s.Tokens.RefreshReplayWindow != 0 || !slices.Equal(s.Login.Methods, []string{WithPassword, WithPasskey}) {
		t.Fatalf("%+v, %v", s, err)
	}
	if again, err := Parse(stored); err != nil || again.Tokens.RefreshReplayWindow == nil || Flat(again)["tokens.refresh_replay_window"] != "0s" {
		t.Errorf("%+v, %v", again, err)
	}
	p = Patch{}
	if err := p.Unset("tokens"); err != nil {
		t.Fatal(err)
	}
	if _, s, err := p.Apply(stored); err != nil || s.Tokens != (Tokens{}) {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestAnOrganizationDecidesNoMoreThanTheServerAllows(t *testing.T) {
	s := Default()
	s.Tokens = Tokens{AccessLifetime: Duration(2 * time.Hour), IDLifetime: Duration(time.Hour), RefreshIdle: Duration(3 * time.Hour), RefreshAbsolute: Duration(5 * time.Hour)}
	s.Mail.From = "no-reply@Mail.example"
	var paths []string
	for _, complaint := range Complaints(s.Within(Limits{Token: time.Hour, Refresh: 4 * time.Hour, MailDomains: []string{"b.example"}})) {
		paths = append(paths, complaint.Path)
	}
	if want := []string{"mail.from", "tokens.access_lifetime", "tokens.refresh_absolute"}; !slices.Equal(paths, want) {
		t.Errorf("%v, want %v", paths, want)
	}
	if err := s.Within(Limits{Token: 2 * time.Hour, Refresh: 5 * time.Hour, MailDomains: []string{"b.example", "mail.example"}}); err != nil {
		t.Error(err)
	}
}

func TestEveryMemberHasAMeaning(t *testing.T) {
	var explained []string
	for _, member := range Reference() {
		explained = append(explained, member.Path)
	}
	slices.Sort(explained)
	if want := paths(members()); !slices.Equal(explained, want) {
		t.Errorf("explained are %v, there are %v", explained, want)
	}
}

func TestTheOperationsManualHasEverySetting(t *testing.T) {
	manual, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	want.WriteString("| setting | type | default | meaning |\n|---|---|---|---|\n")
	for _, m := range Reference() {
		byDefault := m.Default
		if byDefault != "" {
			byDefault = "`" + byDefault + "`"
		}
		want.WriteString("| `" + m.Path + "` | " + m.Type + " | " + byDefault + " | " + m.Meaning + " |\n")
	}
	if !strings.Contains(string(manual), want.String()) {
		t.Errorf("docs/operations.md lacks this table:\n%s", want.String())
	}
}

func FuzzWhatIsAcceptedValidatesAndComesBack(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"sign_up":{"mode":"open","domains":["A.example"],"fields":{"name":"required"}}}`, `{"sessions":{"idle":"1h","absolute":"2h","end_tokens":true}}`,
		`{"second_factor":{"require":"roles","roles":["a"],"remember":"0s"},"mail":{"from_name":"x","reply_to":"a@b.example"}}`,
		`{"language":"EN","branding":{"accent":"#ABCDEF","terms_uri":"https://a.example/"}}`, `{"sign_up":null}`, `{"sign_up":{"fields":null}}`, `{"sign_up":{"domains":[]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParsePatch(text)
		if err != nil {
			return
		}
		stored, s, err := p.Apply(nil)
		if err != nil {
			return
		}
		before, _ := json.Marshal(s)
		if err := s.Validate(); err != nil {
			t.Fatalf("accepted, and wrong: %v", err)
		}
		if after, _ := json.Marshal(s); string(after) != string(before) {
			t.Fatalf("%s was not canonical: %s", before, after)
		}
		read, err := Parse(stored)
		if err != nil {
			t.Fatal(err)
		}
		if after, _ := json.Marshal(read); string(after) != string(before) {
			t.Fatalf("%s came back as %s", before, after)
		}
		whole, err := s.Map()
		if err != nil {
			t.Fatal(err)
		}
		if _, again, err := Patch(whole).Apply(nil); err != nil {
			t.Fatalf("%s is refused as a whole: %v", before, err)
		} else if after, _ := json.Marshal(again); string(after) != string(before) {
			t.Fatalf("%s as a whole is %s", before, after)
		}
	})
}
