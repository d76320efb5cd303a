package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/admin"
	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/secret"
)

// step is one command that is run both ways: on the database in the organization one, and through the server in the organization two.
type step struct {
	line  string // its arguments; {name} is what an earlier step has kept
	stdin string
	code  int
	keep  string // name=member of the JSON object, or of the first of the array, to be kept; several are separated by spaces
	// only says of what cannot be the same on standard error that the exit code is.
	only bool
	// anyOrder is for lists in the order of what is random.
	anyOrder bool
}

// bothWays has every command that works either way, with the flags that change what is asked of the server.
var bothWays = []step{
	{line: "org show {org}"},
	{line: "org update {org} --name Company --set sign_up.mode=open --set sessions.idle=30m"},
	{line: "org update {org} --set no.such=1", code: exitUsage},
	{line: "org update {org} --set sessions.idle=1s", code: exitUsage},
	{line: "org show nobody", code: exitNotFound},
	{line: "org suspend {org}"},
	{line: "org resume {org}"},
	{line: "org host verify {org} login.example.com", code: exitNotFound},
	{line: "org host add {org} login.example.com"},
	{line: "org host add {org} none", code: exitUsage},
	{line: "org host list {org}"},
	{line: "org host issuer {org} login.example.com", code: exitUsage},
	{line: "org host remove {org} login.example.com"},
	{line: "org host remove {org} login.example.com", code: exitNotFound},

	{line: "permission create orders:read --description Look"},
	{line: "permission create orders:write"},
	{line: "permission create orders:read", code: exitConflict},
	{line: "permission create keizer:all:read", code: exitUsage},
	{line: "permission update orders:read --description Look|at|them"},
	{line: "permission show orders:read"},
	{line: "permission show nothing:read", code: exitNotFound},
	{line: "permission list"},

	{line: "role create editor --description Edits --permission orders:read", keep: "role=id"},
	{line: "role create editor", code: exitConflict},
	{line: "role create other --permission no:such", code: exitUsage},
	{line: "role update editor --allow orders:write --withdraw orders:read"},
	{line: "role update {role} --permission orders:read --description"},
	{line: "role update owner --name boss", code: exitConflict, only: true},
	{line: "role show editor"},
	{line: "role show nobody", code: exitNotFound},
	{line: "role list"},

	{line: "user create --username alice --email alice@example.com --name Alice --verified --role editor --password-stdin", stdin: "correct horse battery", keep: "alice=id"},
	{line: "user create --username alice --email other@example.com --password-stdin", stdin: "correct horse battery", code: exitConflict},
	{line: "user create --email none --password-stdin", stdin: "correct horse battery", code: exitUsage},
	{line: "user create --email bob@example.com --role nobody --password-stdin", stdin: "correct horse battery", code: exitUsage},
	{line: "user show ALICE"},
	{line: "user show alice@EXAMPLE.com"},
	{line: "user show {alice}"},
	{line: "user show nobody", code: exitNotFound},
	{line: "user update alice --name Alice|Doe --email alice@example.org --metadata claims.json"},
	{line: "user update alice --metadata fewer.json"},
	{line: "user update alice --username", only: true},
	{line: "user update {alice} --username alice --verified"},
	{line: "user set-password alice --password-stdin", stdin: "another long password"},
	{line: "user set-password alice --password-stdin", stdin: "short", code: exitUsage},
	{line: "user set-password nobody --password-stdin", stdin: "another long password", code: exitNotFound},
	{line: "user disable alice"},
	{line: "user enable alice"},
	{line: "user reset-mfa alice"},
	{line: "user list"},
	{line: "user list --query doe --limit 1"},
	{line: "user invite --email carol@example.com --name Carol --role member --expires-in 24h", keep: "invitation=id"},
	{line: "user invite --email carol", code: exitUsage},
	{line: "invitation list"},
	{line: "invitation revoke {invitation}"},
	{line: "invitation revoke {invitation}", code: exitNotFound},

	{line: "role grant alice member"},
	{line: "role holders editor"},
	{line: "role revoke alice member"},
	{line: "role revoke alice member", code: exitNotFound},
	{line: "role grant nobody member", code: exitNotFound},
	{line: "role delete editor"},
	{line: "role delete owner", code: exitConflict, only: true},

	{line: "session list"},
	{line: "session list --user alice"},
	{line: "session list --user nobody", code: exitNotFound},
	{line: "session revoke --user alice"},
	{line: "session revoke --all"},
	{line: "session revoke {alice}", code: exitNotFound},
	{line: "session revoke ..", code: exitNotFound},

	{line: "client create --name app --redirect-uri http://127.0.0.1:9999/cb --scope openid|orders:read --contact a@example.com --metadata client.json", keep: "client=client_id"},
	{line: "client create --name svc --grant-type client_credentials --scope read --jwks none.json", code: exitUsage},
	{line: "client create --name app --redirect-uri javascript:x", code: exitUsage},
	{line: "client update {client} --name App --scope openid --skip-consent --jwks-uri"},
	{line: "client update {client} --metadata other.json"},
	{line: "client update {client} --disabled"},
	{line: "client update nobody --name App", code: exitNotFound},
	{line: "client show {client}"},
	{line: "client show nobody", code: exitNotFound},
	{line: "client list", anyOrder: true},
	{line: "user show {alice} --client {client}"},
	{line: "user show nobody --client {client}", code: exitNotFound},
	{line: "user show {alice} --client nobody", code: exitNotFound},
	{line: "client list --registered"},
	{line: "client list --registered=false", anyOrder: true},
	{line: "client registration-token create --name Developers --uses 3 --expires-in 24h", keep: "registration=id"},
	{line: "client registration-token create --name Developers --uses -1", code: exitUsage, only: true},
	{line: "client registration-token create --name Developers --expires-in 1s", code: exitUsage, only: true},
	{line: "client registration-token create", code: exitUsage, only: true},
	{line: "client registration-token list"},
	{line: "client registration-token revoke {registration}"},
	{line: "client registration-token revoke {registration}", code: exitNotFound},
	{line: "client registration-token revoke none", code: exitNotFound},
	{line: "client rotate-secret {client} --keep-old 1h"},
	{line: "client rotate-secret nobody", code: exitNotFound},

	{line: "api create https://orders.example.com --name Orders --scope orders:read --describe orders:read=See --require orders:read=orders:read --client-id {client}", keep: "api=id"},
	{line: "api create https://orders.example.com", code: exitConflict},
	{line: "api create no-uri", code: exitUsage},
	{line: "api update https://orders.example.com --scope orders:write --without-scope orders:read --client-id"},
	{line: "api update {api}", code: exitUsage},
	{line: "api show {api}"},
	{line: "api show https://nothing.example.com", code: exitNotFound},
	{line: "api list"},
	{line: "api delete https://orders.example.com"},
	{line: "permission delete orders:write"},

	{line: "token decode {token} --verify"},
	{line: "token decode {foreign} --verify", code: exitFailed},
	{line: "token introspect {token}"},
	{line: "token introspect", stdin: "kz_at_mistyped"},
	{line: "token revoke {token}"},
	{line: "token revoke {token}", code: exitNotFound},
	{line: "token introspect {token}"},

	{line: "key list", keep: "key=kid"},
	{line: "key rotate --alg ES256 --now"},
	{line: "key retire --yes -- {key}", only: true},
	{line: "key retire --yes -- {key}", code: exitNotFound},

	{line: "provider create idp --preset oauth2 --client-id us --client-secret-file secret.txt --settings idp.json --title Elsewhere"},
	{line: "provider create idp --preset oauth2 --client-id us --client-secret-file secret.txt --settings idp.json", code: exitConflict},
	{line: "provider create other --preset nothing --client-id us", code: exitUsage, only: true},
	{line: "provider update idp --client-id them --set sign_up=always --unset title"},
	{line: "provider update nobody --title X", code: exitNotFound},
	{line: "provider show idp"},
	{line: "provider list"},
	{line: "provider test idp"},
	{line: "provider test nobody", code: exitNotFound},
	{line: "provider token idp --user alice", code: exitNotFound},
	{line: "provider token idp --user nobody", code: exitNotFound},
	{line: "provider delete idp --yes"},
	{line: "provider delete idp --yes", code: exitNotFound},

	{line: "user import people.jsonl", code: exitFailed},
	{line: "user import people.jsonl --dry-run --on-conflict update", code: exitFailed},
	{line: "user import people.csv --on-conflict update"},
	{line: "user import people.csv --on-conflict never", code: exitUsage, only: true},
	{line: "user export", anyOrder: true},
	{line: "user export --with-hashes --format csv", anyOrder: true},

	{line: "audit tail -n 3 --action user.updated"},
	{line: "audit export --action user.updated --since 1h"},
	{line: "audit verify"},
	{line: "audit verify --checkpoint 1:x", code: exitUsage},

	{line: "client delete {client}"},
	{line: "client delete {client}", code: exitNotFound},
	{line: "user delete alice --yes"},
	{line: "user delete alice --yes", code: exitNotFound},
}

// varying is what differs between any two organizations, or moments. What has 43 characters is the id of a key, which may begin or end with
// a hyphen, where no word does.
var varying = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[0-9:.]+Z|kz_[a-z]+_[\w-]+|keizer-host=\w+` +
	`|\b[\w-]{43}\b|-[\w-]{42}\b|\b[\w-]{42}-|-[\w-]{41}-|"(kid|client_id|mac)": ?"[^"]*"|"(client_id_issued_at|sequence|events|exp|iat)":\d+` +
	`|"(actor|ip_address|request_id)":("[^"]*"|null)|"checkpoint":"\d+:|"(sub|jti)":"[^"]*"|\$argon2id[^"]*|"iss":"[^"]*"`)

// alike is an output without what differs by its nature.
func alike(text string, kept map[string]string) string {
	for name, value := range kept {
		if value != "" && name != "org" {
			text = strings.ReplaceAll(text, value, "{"+name+"}")
		}
	}
	text = varying.ReplaceAllString(text, "~")
	text = regexp.MustCompile(`\\"[^"\\]*\\"`).ReplaceAllLiteralString(text, "what was given")
	text = regexp.MustCompile(`\b(one|two)\b`).ReplaceAllString(text, "ORG")
	return regexp.MustCompile(` {2,}`).ReplaceAllString(text, "  ")
}

// through returns the station of somebody elsewhere, who has the server's address and the credentials of a client.
func (s *station) through(base, clientID, secret string) *station {
	return &station{s.t, []string{"KEIZER_SERVER=" + base, "KEIZER_CLIENT_ID=" + clientID, "KEIZER_CLIENT_SECRET=" + secret}}
}

// everyPermission is the scope of a client that may do everything.
func everyPermission() string {
	var all []string
	for _, p := range permission.All() {
		all = append(all, p.Name)
	}
	return strings.Join(all, " ")
}

func TestEveryCommandSaysTheSameOnTheDatabaseAndThroughTheServer(t *testing.T) {
	s := newStation(t)
	base, _ := s.serve("--listen", "127.0.0.1:0")
	machine := s.object("client", "create", "--name", "machine", "--grant-type", "client_credentials", "--scope", everyPermission())
	far := s.through(base, text(t, machine, "client_id"), text(t, machine, "client_secret"))
	write(t, "claims.json", `{"locale":"en","address":{"country":"NL","locality":"Delft"}}`)
	write(t, "fewer.json", `{"locale":"nl","address":{"country":"NL"}}`)
	write(t, "client.json", `{"client_name#de":"Anwendung","tos_uri":"https://example.com/tos"}`)
	write(t, "other.json", `{"client_name#nl":"Toepassing"}`)
	s.environ = append(s.environ, "KEIZER_LISTEN="+strings.TrimPrefix(strings.Replace(base, "localhost", "127.0.0.1", 1), "http://")) // so that the issuer is the server's

	write(t, "secret.txt", "hunter2\n")
	write(t, "idp.json", `{"authorization_endpoint":"`+base+`/a","token_endpoint":"`+base+`/t","userinfo_endpoint":"`+base+`/u"}`)
	write(t, "people.jsonl", `{"email":"dora@example.com","name":"Dora","roles":["member"]}
{"email":"none"}
{"email":"emil@example.com","nmae":"Emil"}

{"email":"emil@example.com","roles":["nobody"]}
{"email":"alice@example.org","name":"Somebody Else"}
`)
	write(t, "people.csv", "email,username,metadata\nemil@example.com,emil,\"{\"\"locale\"\":\"\"nl\"\"}\"\ndora@example.com,dora,\n")

	ran := map[string]bool{}
	ways := []struct {
		*station
		kept map[string]string
	}{{s, map[string]string{"org": "one"}}, {far, map[string]string{"org": "two"}}}
	run := func(st step, output string) (got [2]answer) {
		for i, way := range ways {
			args := strings.Fields(st.line)
			for j := range args {
				args[j] = strings.ReplaceAll(args[j], "|", " ")
				for name, value := range way.kept {
					args[j] = strings.ReplaceAll(args[j], "{"+name+"}", value)
				}
			}
			switch last := args[len(args)-1]; last { // flags that take something away
			case "--description", "--client-id", "--username", "--jwks-uri":
				args = append(args, "")
			}
			flags := []string{"-o", output}
			if args[0] != "org" {
				flags = append(flags, "--org", way.kept["org"])
			}
			got[i] = way.keizer(st.stdin, slices.Insert(args, 1, flags...)...)
		}
		return got
	}
	compare := func(st step, got [2]answer) {
		t.Helper()
		if got[0].code != st.code || got[1].code != st.code {
			t.Errorf("keizer %s: exit code %d here and %d there, want %d\n%s%s", st.line, got[0].code, got[1].code, st.code, got[0].err, got[1].err)
			return
		}
		here, there := got[0].out, got[1].out
		if !st.only {
			here, there = here+unquoted(got[0].err), there+unquoted(got[1].err)
		}
		if st.anyOrder {
			here, there = sorted(here), sorted(there)
		}
		if here, there := alike(here, ways[0].kept), alike(there, ways[1].kept); !strings.EqualFold(here, there) {
			t.Errorf("keizer %s: here\n%sthere\n%s", st.line, here, there)
		}
	}
	for i, way := range ways {
		way.do("org", "create", []string{"one", "two"}[i], "-o", "json")
	}
	ran["keizer org create"] = true
	for i, way := range ways { // a token of each organization, which the other does not know
		svc := s.object("client", "create", "--org", way.kept["org"], "--name", "svc", "--grant-type", "client_credentials", "--scope", permission.UsersRead, "--access-token-format", "jwt")
		r := &remote{p: &program{}, base: base, audience: base + admin.Path, http: &http.Client{Timeout: requestTimeout}, credentials: credentials{
			clientID: text(t, svc, "client_id"), secret: secret.Text(text(t, svc, "client_secret")), issuer: base + "/o/" + way.kept["org"],
		}}
		token, err := r.getToken(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		way.kept["token"], ways[1-i].kept["foreign"] = token.Reveal(), token.Reveal()
	}
	for _, st := range bothWays {
		got := run(st, "json")
		compare(st, got)
		for i, way := range ways {
			keep(t, got[i].out, st.keep, way.kept)
		}
		words := strings.Fields(st.line)
		name := "keizer " + words[0] + " " + words[1]
		if words[1] == "host" || words[1] == "registration-token" {
			name += " " + words[2]
		}
		ran[name] = true
		if slices.Contains([]string{"list", "show", "holders"}, words[len(words)-1]) || words[1] == "list" || words[1] == "show" {
			compare(st, run(st, "table"))
		}
	}
	if err := os.WriteFile("audit.jsonl", []byte(far.do("audit", "export", "--org", "two")), 0o600); err != nil {
		t.Fatal(err)
	}
	if verified := s.object("audit", "verify", "--file", "audit.jsonl"); verified["ok"] != true || verified["organization"] != "two" {
		t.Errorf("what was exported through the server: %v", verified)
	}
	compare(step{line: "org list"}, [2]answer{s.keizer("", "org", "list"), far.keizer("", "org", "list")})
	ran["keizer org list"] = true
	for i, way := range ways { // what a file says, and what is wrong with it, in its words
		write(t, way.kept["org"]+".yaml", "keizer: 1\nslug: "+[]string{"one", "two"}[i]+"\nname: Company\nroles: [{name: clerk}]\nproviders:\n- {name: idp, preset: github, client_id: us, secret: {file: secret.txt}}\n"+
			"clients: [{client_id: job, grant_types: [client_credentials]}]\n")
		write(t, way.kept["org"]+"-wrong.yaml", "keizer: 1\nslug: "+way.kept["org"]+"\nroles:\n- name: other\n  permissions: [none]\nclients:\n- client_id: job\n  redirect_uris: [https://x.example]\n")
	}
	for _, line := range []string{
		"apply -f {org}.yaml --dry-run --prune -o table", "apply -f {org}.yaml -o json", "apply -f {org}.yaml --prune -o table", "export --org {org} -o table", "export --org {org} -o json",
		"apply -f {org}-wrong.yaml -o table",
	} {
		var got [2]answer
		for i, way := range ways {
			got[i] = way.keizer("", strings.Fields(strings.ReplaceAll(line, "{org}", way.kept["org"]))...)
			got[i].out = regexp.MustCompile(`\b[a-z2-7]{24}\b|ONE_|TWO_`).ReplaceAllLiteralString(got[i].out, "")
		}
		st := step{line: line}
		if strings.Contains(line, "wrong") {
			st.code = exitUsage
		}
		compare(st, got)
	}
	if here, there := s.keizer("", "export", "--all"), far.keizer("", "export", "--all"); here != there || strings.Count(here.out, "keizer: 1\n") != 3 {
		t.Errorf("export --all: here\n%sthere\n%s%s", here.out, there.out, there.err)
	}
	write(t, "three.yaml", "keizer: 1\nslug: three\n")
	if out := far.do("apply", "-f", "three.yaml"); !strings.Contains(out, "+ organization three\n") {
		t.Errorf("%s", out)
	}
	ran["keizer apply"], ran["keizer export"] = true, true
	if got := far.object("org", "delete", "two", "--yes"); got["deleted"] != true {
		t.Errorf("deleted %v", got)
	}
	far.refused(exitNotFound, `organization "two" does not exist`, "org", "delete", "two", "--yes")
	far.refused(exitNotFound, `organization "two" does not exist`, "user", "list", "--org", "two")
	ran["keizer org delete"] = true
	ran["keizer apply"], ran["keizer export"] = true, true // which have a journey of their own

	for _, cmd := range leaves((&program{output: "table"}).commands()) {
		if cmd.Annotations["server"] != "" && !ran[cmd.CommandPath()] {
			t.Errorf("%s works through a server, and is not compared", cmd.CommandPath())
		}
	}
}

// sorted are the lines of an output in the order of what they hold, without what only joins them.
func sorted(text string) string {
	lines := strings.Split(varying.ReplaceAllString(text, "~"), "\n")
	for i := range lines {
		lines[i] = regexp.MustCompile(`^[a-z2-7]{24}|\{client\}`).ReplaceAllString(strings.Trim(lines[i], " [],"), "~")
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// unquoted is what a command says, without what was given to it: the API does not repeat that.
func unquoted(text string) string {
	return regexp.MustCompile(`"(?:[^"\\]|\\.)*"`).ReplaceAllLiteralString(text, "what was given")
}

func keep(t *testing.T, out, what string, kept map[string]string) {
	t.Helper()
	for one := range strings.FieldsSeq(what) {
		name, member, _ := strings.Cut(one, "=")
		var object map[string]any
		var array []map[string]any
		if json.Unmarshal([]byte(out), &object) != nil && json.Unmarshal([]byte(out), &array) == nil && len(array) > 0 {
			object = array[0]
		}
		kept[name] = fmt.Sprint(object[member])
	}
}

// leaves are the commands that do something.
func leaves(cmd *cobra.Command) (all []*cobra.Command) {
	if len(cmd.Commands()) == 0 {
		return []*cobra.Command{cmd}
	}
	for _, below := range cmd.Commands() {
		all = append(all, leaves(below)...)
	}
	return all
}
