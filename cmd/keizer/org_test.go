package main

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

func TestAnOrganizationIsSuspendedResumedAndDeleted(t *testing.T) {
	everywhere(t, func(t *testing.T, s *station) {
		made := s.object("org", "create", "acme", "--name", "Acme")
		s.object("client", "create", "--org", "acme", "--name", "svc", "--grant-type", "client_credentials", "--scope", "read")
		if shown := s.object("org", "suspend", "acme"); shown["suspended_at"] == nil || shown["id"] != made["id"] {
			t.Errorf("suspended %v", shown)
		}
		since := s.object("org", "show", "acme")["suspended_at"]
		if again := s.object("org", "suspend", "acme"); again["suspended_at"] != since {
			t.Errorf("suspended twice: %v, and before %v", again, since)
		}
		if table := s.do("org", "list"); !strings.Contains(table, text(t, s.object("org", "show", "acme"), "suspended_at")[:10]) {
			t.Errorf("the table is\n%s", table)
		}
		// Operators still look after it.
		if clients := s.array("client", "list", "--org", "acme"); len(clients) != 1 {
			t.Errorf("clients %v", clients)
		}
		if shown := s.object("org", "resume", "acme"); shown["suspended_at"] != nil {
			t.Errorf("resumed %v", shown)
		}
		s.do("org", "resume", "acme")

		s.refused(exitUsage, "say so with --yes", "org", "delete", "acme")
		s.refused(exitConflict, "it is the root organization", "org", "delete", "default", "--yes")
		if gone := s.object("org", "delete", "acme", "--yes"); gone["deleted"] != true || gone["id"] != made["id"] || gone["slug"] != "acme" {
			t.Errorf("deleted %v", gone)
		}
		for _, command := range [][]string{{"show"}, {"suspend"}, {"resume"}, {"update", "--name", "x"}, {"delete", "--yes"}, {"host", "list"}, {"host", "add"}} {
			args := append([]string{"org"}, command[:1]...)
			args = append(args, "acme")
			if command[0] == "host" {
				args = []string{"org", "host", command[1], "acme"}
				if command[1] == "add" {
					args = append(args, "login.acme.example")
				}
			} else {
				args = append(args, command[1:]...)
			}
			s.refused(exitNotFound, `organization "acme" does not exist`, args...)
		}
		s.refused(exitNotFound, `organization "acme" does not exist`, "client", "list", "--org", "acme")
		if again := s.object("org", "create", "acme"); again["id"] == made["id"] {
			t.Error("the new organization is the one of before")
		}
		if clients := s.array("client", "list", "--org", "acme"); len(clients) != 0 {
			t.Errorf("the new organization has %v", clients)
		}
	})
}

func TestTheHostsOfAnOrganization(t *testing.T) {
	s := production(t)
	s.environ = append(s.environ, "KEIZER_ROOT_ORGANIZATION=main")
	s.do("org", "create", "main")
	s.do("org", "create", "acme")
	claimed := s.object("org", "host", "add", "acme", "Login.ACME.example")
	if claimed["host"] != "login.acme.example" || claimed["record_name"] != "_keizer.login.acme.example" || claimed["verified_at"] != nil ||
		!strings.HasPrefix(text(t, claimed, "record_content"), "keizer-host=") {
		t.Errorf("claimed %v", claimed)
	}
	if lines := s.do("org", "host", "list", "acme"); !strings.Contains(lines, "claimed") || !strings.Contains(lines, text(t, claimed, "record_content")) {
		t.Errorf("the table is\n%s", lines)
	}
	s.refused(exitConflict, "claims it already", "org", "host", "add", "acme", "login.acme.example")
	for _, name := range []string{"id.example.com", "ID.example.com", "localhost", "a.localhost", "acme", "127.0.0.1", "https://a.example", "a.example:443", "a.example/b", "*.a.example", ""} {
		s.refused(exitUsage, "host: it ", "org", "host", "add", "acme", name)
	}
	s.refused(exitConflict, "not proven yet", "org", "host", "issuer", "acme", "login.acme.example")
	s.refused(exitNotFound, `does not claim the host "other.example"`, "org", "host", "issuer", "acme", "other.example")
	s.refused(exitNotFound, `does not claim the host "other.example"`, "org", "host", "verify", "acme", "other.example")
	s.refused(exitNotFound, `does not claim the host "login.acme.example"`, "org", "host", "remove", "main", "login.acme.example")

	// As if its record had been seen.
	house := s.house()
	row, err := house.DB.OrganizationBySlug(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	ctx := tenant.With(t.Context(), &tenant.Org{ID: row.ID, Slug: row.Slug})
	host, err := house.DB.Host(ctx, "login.acme.example")
	if err != nil {
		t.Fatal(err)
	}
	if err := house.DB.VerifyHost(ctx, host, "dns"); err != nil {
		t.Fatal(err)
	}
	s.refused(exitConflict, "another organization has it", "org", "host", "add", "main", "login.acme.example")
	s.refused(exitUsage, "24 hours ahead", "org", "host", "issuer", "acme", "login.acme.example", "--from", "23h")
	s.refused(exitUsage, "within a year", "org", "host", "issuer", "acme", "login.acme.example", "--from", "9000h")
	s.refused(exitUsage, "--from must be", "org", "host", "issuer", "acme", "login.acme.example", "--from", "tomorrow")
	s.refused(exitUsage, "contradict", "org", "host", "issuer", "acme", "--base", "--cancel")
	s.refused(exitUsage, "needs HOST", "org", "host", "issuer", "acme")

	const below, own = "https://id.example.com/o/acme", "https://login.acme.example"
	planned := s.object("org", "host", "issuer", "acme", "login.acme.example")
	from, err := time.Parse(time.RFC3339, text(t, planned, "next_issuer_from"))
	if ahead := time.Until(from); err != nil || planned["issuer"] != below || planned["next_issuer"] != own || ahead < 23*time.Hour || ahead > 24*time.Hour {
		t.Errorf("planned %v", planned)
	}
	if shown := s.object("org", "show", "acme"); shown["next_issuer"] != own {
		t.Errorf("shown %v", shown)
	}
	if table := s.do("org", "show", "acme"); !strings.Contains(table, "next issuer") || !strings.Contains(table, "login.acme.example (proven)") {
		t.Errorf("shown as\n%s", table)
	}
	s.refused(exitConflict, "about to be the issuer", "org", "host", "remove", "acme", "login.acme.example")
	if kept := s.object("org", "host", "issuer", "acme", "--cancel"); kept["issuer"] != below || kept["next_issuer"] != nil {
		t.Errorf("taken back: %v", kept)
	}
	if at := s.object("org", "host", "issuer", "acme", "login.acme.example", "--unannounced"); at["issuer"] != own || at["next_issuer"] != nil {
		t.Errorf("at once: %v", at)
	}
	s.refused(exitConflict, "it is the issuer", "org", "host", "remove", "acme", "login.acme.example")
	s.do("org", "host", "issuer", "acme", "--base", "--unannounced")
	if gone := s.object("org", "host", "remove", "acme", "login.acme.example"); gone["removed"] != true {
		t.Errorf("removed %v", gone)
	}
	if hosts := s.array("org", "host", "list", "acme"); len(hosts) != 0 {
		t.Errorf("hosts %v", hosts)
	}
	events, err := house.DB.ListAudit(ctx, storage.AuditFilter{})
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, event := range events {
		actions = append(actions, event.Action)
	}
	slices.Reverse(actions)
	want := []string{
		"organization.created", "host.claimed", "organization.issuer_planned", "organization.issuer_retained", "organization.issuer_planned",
		"organization.issuer_planned", "host.removed",
	}
	if !reflect.DeepEqual(actions, want) {
		t.Errorf("written down were %v", actions)
	}
}
