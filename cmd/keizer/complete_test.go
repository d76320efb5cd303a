package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// completions are what a shell is told that the last word could be, and what it is to do besides.
func (s *station) completions(words ...string) (all []string, directive string) {
	s.t.Helper()
	got := s.keizer("", append([]string{"__complete"}, words...)...)
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	if got.code != 0 || !strings.HasPrefix(lines[len(lines)-1], ":") {
		s.t.Fatalf("%v: exit code %d\n%s%s", words, got.code, got.out, got.err)
	}
	for _, line := range lines[:len(lines)-1] {
		word, _, _ := strings.Cut(line, "\t")
		all = append(all, word)
	}
	return all, lines[len(lines)-1]
}

func TestShellsCompleteWordsAndNamesAndFilesWhereFilesAreMeant(t *testing.T) {
	s := newStation(t)
	const nothing, file = ":4", ":0"
	for _, empty := range [][]string{{"role", "show", ""}, {"user", "list", "--org", ""}, {"client", "show", ""}} {
		if words, directive := s.completions(empty...); len(words) > 0 || directive != nothing {
			t.Errorf("without a database, %v: %v %s", empty, words, directive)
		}
	}
	if left, err := filepath.Glob("*"); err != nil || len(left) > 0 {
		t.Errorf("completing has made %v, %v", left, err)
	}
	s.do("org", "create", "acme", "--name", "Acme Ltd")
	s.do("role", "create", "editor")
	s.do("role", "create", "--org", "acme", "author")
	s.do("role", "create", "$(touch stolen)")
	s.do("permission", "create", "orders:read")
	client := text(t, s.object("client", "create", "--name", "app", "--redirect-uri", "http://127.0.0.1/cb"), "client_id")
	s.do("api", "create", "https://orders.example.com")
	write(t, "secret", "hunter2")
	s.do("provider", "create", "google", "--preset", "google", "--client-id", "us", "--client-secret-file", "secret")
	kid := ""
	for _, key := range s.array("key", "list") { // one that is no flag to begin with
		if one := text(t, key, "kid"); one[0] != '-' && one[0] != '_' {
			kid = one
		}
	}

	for _, c := range []struct {
		words     string
		want      []string // all of them, where it begins with =; else some
		directive string
	}{
		{"org show |", []string{"=", "acme", "default"}, nothing}, {"org show a|", []string{"=", "acme"}, nothing}, {"org host add |", []string{"=", "acme", "default"}, nothing},
		{"org host add acme |", []string{"="}, nothing}, {"org create |", []string{"="}, nothing}, {"org delete acme |", []string{"="}, nothing},
		{"role show |", []string{"=", "admin", "auditor", "editor", "member", "owner"}, nothing}, {"role show --org acme a|", []string{"=", "admin", "auditor", "author"}, nothing},
		{"role grant |", []string{"="}, nothing}, {"role grant alice e|", []string{"=", "editor"}, nothing}, {"role create |", []string{"="}, nothing},
		{"role update editor --allow orders|", []string{"=", "orders:read"}, nothing}, {"permission show keizer:keys|", []string{"=", "keizer:keys:read", "keizer:keys:write"}, nothing},
		{"user create --role ow|", []string{"=", "owner"}, nothing}, {"user create --email |", []string{"="}, nothing}, {"user show |", []string{"="}, nothing},
		{"client show |", []string{"=", client}, nothing}, {"client update " + client + " --grant-type |", []string{"=", "authorization_code", "implicit", "refresh_token", "client_credentials"}, nothing},
		{"client create --auth-method client|", []string{"=", "client_secret_basic", "client_secret_jwt", "client_secret_post"}, nothing}, {"client create --jwks |", []string{"="}, file},
		{"client create --redirect-uri |", []string{"="}, nothing}, {"client create --access-token-format=|", []string{"=", "opaque", "jwt"}, nothing},
		{"api show |", []string{"=", "https://orders.example.com"}, nothing}, {"api create x --client-id |", []string{"=", client}, nothing},
		{"provider show |", []string{"=", "google"}, nothing}, {"provider create |", []string{"="}, nothing}, {"provider create x --preset g|", []string{"=", "google", "github", "gitlab"}, nothing},
		{"provider create x --client-id |", []string{"="}, nothing}, {"key retire " + kid[:5] + "|", []string{"=", kid}, nothing}, {"key rotate --alg |", []string{"RS256", "EdDSA"}, nothing},
		{"user import |", []string{"="}, file}, {"user import people.csv |", []string{"="}, nothing}, {"user import x --on-conflict |", []string{"=", "fail", "skip", "update"}, nothing},
		{"user export --format |", []string{"=", "jsonl", "csv"}, nothing}, {"org list -o |", []string{"=", "table", "json"}, nothing}, {"org list --output=j|", []string{"=", "json"}, nothing},
		{"--config |", []string{"="}, file}, {"--data-dir |", []string{"="}, ":16"}, {"audit tail --org |", []string{"=", "acme", "default"}, nothing},
		{"user list --server https://id.example.com --org |", []string{"="}, nothing}, {"use|", []string{"=", "user"}, nothing}, {"role list --database-url sqlite:none.db --org |", []string{"="}, nothing},
	} {
		words, directive := s.completions(strings.Split(strings.TrimSuffix(c.words, "|"), " ")...)
		want, exactly := c.want, false
		if len(want) > 0 && want[0] == "=" {
			want, exactly = want[1:], true
		}
		slices.Sort(words)
		slices.Sort(want)
		fits := exactly && slices.Equal(words, want)
		if !exactly {
			fits = !slices.ContainsFunc(want, func(word string) bool { return !slices.Contains(words, word) })
		}
		if !fits || directive != c.directive {
			t.Errorf("%s %v %s", c.words, words, directive)
		}
	}
	if _, err := os.Stat("none.db"); err == nil {
		t.Error("completing has made a database")
	}
}

// A shell that is there completes as it is told.
func TestBashCompletes(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Log("this machine has no bash, and completion is tried without a shell only")
		return
	}
	s := newStation(t)
	write(t, "completion.bash", s.do("completion", "bash"))
	// What bash would run is a program that says what keizer says here.
	write(t, "answer", strings.Join([]string{"acme\tAcme", "default\tThe first", ":4"}, "\n")+"\n")
	script := `
keizer() { printf '%s ' "$@" > asked; cat answer; }
. ./completion.bash
COMP_WORDS=(keizer org show "") COMP_CWORD=3 COMP_LINE="keizer org show " COMP_POINT=16 COMP_TYPE=9
_init_completion() { cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=("${COMP_WORDS[@]}") cword=$COMP_CWORD; }
_get_comp_words_by_ref() { :; }
compopt() { :; }
__start_keizer
printf '%s\n' "${COMPREPLY[@]}"
`
	command := exec.CommandContext(t.Context(), bash, "--norc", "-c", script)
	out, err := command.CombinedOutput()
	asked, readErr := os.ReadFile("asked")
	if err != nil || readErr != nil || string(asked) != "__complete org show  " {
		t.Fatalf("%v %v, asked %q\n%s", err, readErr, asked, out)
	}
	if got := strings.Fields(string(out)); !slices.Contains(got, "acme") || !slices.Contains(got, "default") {
		t.Errorf("%s", out)
	}
}
