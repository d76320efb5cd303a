package main

import (
	"os"
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/storage/storagetest"
)

const acme = `# what this is
keizer: 1
slug: acme
name: Acme
settings: {sign_up: {mode: closed}}
roles:
- {name: clerk, permissions: ["keizer:users:read"]}
providers:
- name: google
  preset: google
  client_id: us
  secret: {file: google.secret}
clients:
- {client_id: job, grant_types: [client_credentials]}
- client_id: shop
  redirect_uris: [https://shop.example/cb]
  secret: {env: SHOP}
`

// The file that the documentation shows is one.
func TestTheExampleOfTheDocumentationIsApplied(t *testing.T) {
	page, err := os.ReadFile("../../docs/manifest.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	example, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("there is no example")
	}
	s := newStation(t, "KEIZER_DATABASE_URL="+storagetest.SQLiteURL(t), "GOOGLE_SECRET=hunter2", "SHOP_SECRET=mR4-kT9_vW2.xZ7+qL5/nB8=cJ3:hD6kP")
	if out := s.doWith(example, "apply", "-f", "-"); !strings.Contains(out, "10 created, 0 changed") {
		t.Errorf("%s", out)
	}
	if out := s.doWith(example, "apply", "-f", "-", "--prune"); !strings.Contains(out, "0 created, 0 changed, 0 deleted, 10 as they are, 0 left alone") {
		t.Errorf("%s", out)
	}
}

func TestOrganizationsAreAppliedAndExported(t *testing.T) {
	const shop = "mR4-kT9_vW2.xZ7+qL5/nB8=cJ3:hD6kP"
	s := newStation(t, "KEIZER_DATABASE_URL="+storagetest.SQLiteURL(t), "SHOP="+shop)
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir("conf", 0o700))
	write("conf/acme.yaml", acme)
	s.refused(exitUsage, "conf/acme.yaml:12: providers[0].secret.file: file conf/google.secret cannot be read", "apply", "-f", "conf")
	write("conf/google.secret", "hunter2\n")

	got := s.keizer("", "apply", "-f", "conf", "--dry-run", "--detailed-exitcode")
	if got.code != exitChanges || got.err != "" || !strings.Contains(got.out, "+ client shop\n") || !strings.Contains(got.out, "5 to create, 0 to change") ||
		!strings.Contains(got.out, "    settings.sign_up.mode: \"closed\"\n") || !strings.Contains(got.out, "nothing was written") {
		t.Errorf("%d %s%s", got.code, got.err, got.out)
	}
	s.refused(exitNotFound, "acme", "org", "show", "acme")
	made := s.do("apply", "-f", "conf")
	if strings.Count(made, "kz_cs_") != 1 || !strings.Contains(made, "5 created") || strings.Contains(made, "hunter2") || strings.Contains(made, shop) {
		t.Errorf("%s", made)
	}
	if again := s.keizer("", "apply", "-f", "conf/acme.yaml", "--dry-run", "--detailed-exitcode"); again.code != 0 || !strings.Contains(again.out, "= client shop\n") {
		t.Errorf("%d %s%s", again.code, again.err, again.out)
	}

	// What is exported changes nothing, here where no secret is given; and it is written as it is read.
	exported := s.do("export", "--org", "acme")
	if !strings.Contains(exported, "  secret: {env: ACME_CLIENT_SHOP_SECRET, optional: true} # stays") || strings.Contains(exported, "hunter2") {
		t.Errorf("%s", exported)
	}
	if out := s.doWith(exported, "apply", "-f", "-", "--prune"); !strings.Contains(out, "0 created, 0 changed, 0 deleted, 5 as they are, 0 left alone") {
		t.Errorf("%s", out)
	}
	s.do("export", "--all", "--out", "all.yaml")
	if out := s.do("apply", "-f", "all.yaml"); strings.Count(out, "0 created, 0 changed") != 2 {
		t.Errorf("%s", out)
	}
	if one := s.object("export", "--org", "acme"); one["slug"] != "acme" || one["keizer"] != float64(1) {
		t.Errorf("%v", one)
	}

	less := strings.Replace(strings.Replace(acme, "- {client_id: job, grant_types: [client_credentials]}\n", "", 1), "name: Acme", "name: Acme Ltd", 1)
	write("conf/acme.yaml", less)
	plan := s.do("apply", "-f", "conf", "--dry-run")
	for _, line := range []string{"~ organization acme\n    name: \"Acme\" → \"Acme Ltd\"\n", "  client job is left alone: it does not stand in the file; --prune deletes it\n"} {
		if !strings.Contains(plan, line) {
			t.Errorf("%q is not in\n%s", line, plan)
		}
	}
	result := s.object("apply", "-f", "conf", "--prune")
	organizations, _ := result["organizations"].([]any)
	if result["changed"] != true || result["dry_run"] != false || len(organizations) != 1 {
		t.Errorf("%v", result)
	}
	s.refused(exitNotFound, "job", "client", "show", "job", "--org", "acme")

	// Whatever is wrong is said by file, line and member, of all files, and nothing is done.
	write("conf/other.yaml", "keizer: 1\nslug: other\n---\nkeizer: 1\nslug: acme\nroles:\n- name: a\n  permision: []\n")
	write("conf/second.yaml", "keizer: 1\nslug: second\nclients:\n- {client_id: x, secret: hunter2}\n")
	write("conf/third.yml", "keizer: 1\nslug: third\nslug: third\n")
	got = s.keizer("", "apply", "-f", "conf")
	want := "keizer: conf/other.yaml:8: roles[0].permision: there is no such member; did you mean permissions?\n" +
		"keizer: conf/second.yaml:4: clients[0].secret: a secret does not stand in the file: say where it is, with {env: NAME} or {file: PATH}\n" +
		"keizer: conf/third.yml:3: slug: it is there twice, or once in another case\n"
	if got.code != exitUsage || got.out != "" || got.err != want {
		t.Errorf("%d %s%s", got.code, got.out, got.err)
	}
	for _, name := range []string{"conf/second.yaml", "conf/third.yml"} {
		must(os.Remove(name))
	}
	write("conf/other.yaml", "keizer: 1\nslug: other\n---\nkeizer: 1\nslug: acme\n")
	s.refused(exitUsage, "conf/other.yaml:5: slug: the organization acme is described already, at conf/acme.yaml:3", "apply", "-f", "conf")
	write("conf/other.yaml", "keizer: 1\nslug: other\nroles:\n- {name: a, permissions: [none]}\n")
	write("conf/acme.yaml", strings.Replace(less, "Acme Ltd", "Acme Inc", 1))
	s.refused(exitUsage, `conf/other.yaml:4: roles[0].permissions: the organization has no permission "none"`, "apply", "-f", "conf")
	if shown := s.object("org", "show", "acme"); shown["name"] != "Acme Ltd" {
		t.Errorf("one was applied although the other could not be: %v", shown["name"])
	}
	write("conf/other.yaml", "keizer: 1\nslug: other\nproviders:\n- {name: a, preset: github, client_id: x, home_domains: [a.example], secret: {env: SHOP}}\n"+
		"- {name: b, preset: github, client_id: x, home_domains: [a.example], secret: {env: SHOP}}\n")
	s.refused(exitConflict, "conf/other.yaml:5: providers[1].home_domains: \"a.example\" has its home at the provider a", "apply", "-f", "conf")

	s.refused(exitUsage, "needs -f FILE", "apply")
	s.refused(exitUsage, "of use with --dry-run", "apply", "-f", "conf", "--detailed-exitcode")
	s.refused(exitUsage, "nowhere.yaml", "apply", "-f", "nowhere.yaml")
	s.refused(exitUsage, "named twice", "apply", "-f", "-", "-f", "-")
	s.refusedWith("# nothing\n", exitUsage, "there is no document", "apply", "-f", "-")
	s.refusedWith("a: [", exitUsage, "standard input:1: it is not YAML", "apply", "-f", "-")
	s.refused(exitUsage, "contradict", "export", "--all", "--org", "acme")
	s.refused(exitNotFound, "none", "export", "--org", "none")
}
