package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/storage"
)

func TestTheAuditIsReadExportedAndVerified(t *testing.T) {
	everywhere(t, func(t *testing.T, s *station) {
		s.do("org", "create", "acme")
		s.do("client", "create", "--org", "acme", "--name", "app", "--grant-type", "client_credentials")
		var actions []string
		for i, event := range s.array("audit", "tail", "--org", "acme") {
			actions = append(actions, text(t, event, "action"))
			if event["sequence"] != float64(i+1) || event["organization"] != "acme" || !strings.HasPrefix(text(t, event, "actor"), "cli:") || event["id"] == "" || event["created_at"] == "" {
				t.Errorf("%v", event)
			}
		}
		if got := strings.Join(actions, " "); got != "organization.created client.created" {
			t.Errorf("%s", got)
		}
		if last := s.array("audit", "tail", "--org", "acme", "-n", "1"); len(last) != 1 || last[0]["action"] != "client.created" {
			t.Errorf("%v", last)
		}
		for _, c := range []struct {
			want int
			args []string
		}{
			{1, []string{"--action", "client.created"}},
			{0, []string{"--action", "client"}},
			{1, []string{"--target", "acme"}},
			{0, []string{"--actor", "nobody"}},
			{2, []string{"--since", "1h"}},
			{0, []string{"--until", "1h"}},
			{2, []string{"--until", time.Now().Add(time.Minute).Format(time.RFC3339)}},
			{0, []string{"-n", "0"}},
		} {
			if got := s.array(append([]string{"audit", "tail", "--org", "acme"}, c.args...)...); len(got) != c.want {
				t.Errorf("%v: %v", c.args, got)
			}
		}
		if table := s.do("audit", "tail", "--org", "acme"); !strings.HasPrefix(table, "NUMBER") || !strings.Contains(table, "client.created") {
			t.Errorf("the table is\n%s", table)
		}
		s.refused(exitUsage, "--since must be a time", "audit", "tail", "--since", "yesterday")
		s.refused(exitUsage, "--lines", "audit", "tail", "-n", "1001")
		s.refused(exitNotFound, `organization "nobody"`, "audit", "tail", "--org", "nobody")

		ok := s.object("audit", "verify", "--org", "acme")
		checkpoint := text(t, ok, "checkpoint")
		if ok["ok"] != true || ok["events"] != 2.0 || ok["unchained"] != 0.0 || ok["faults_found"] != 0.0 || !strings.HasPrefix(checkpoint, "2:") {
			t.Errorf("%v", ok)
		}
		if empty := s.object("audit", "verify", "--org", "default"); empty["ok"] != true {
			t.Errorf("%v", empty)
		}
		s.do("client", "create", "--org", "acme", "--name", "app2", "--grant-type", "client_credentials")
		if since := s.object("audit", "verify", "--org", "acme", "--checkpoint", checkpoint, "--since-checkpoint"); since["events"] != 1.0 || since["ok"] != true {
			t.Errorf("%v", since)
		}
		export := s.do("audit", "export", "--org", "acme")
		if lines := strings.Split(strings.TrimSpace(export), "\n"); len(lines) != 4 || !strings.HasPrefix(lines[0], `{"chain":`) {
			t.Errorf("%s", export)
		}
		write(t, "audit.jsonl", export)
		if file := s.object("audit", "verify", "--file", "audit.jsonl"); file["ok"] != true || file["events"] != 3.0 || file["organization"] != "acme" {
			t.Errorf("%v", file)
		}
		if file := s.objectWith(export, "audit", "verify", "--file", "-"); file["ok"] != true {
			t.Errorf("%v", file)
		}
		s.refusedWith(export+"x\n", exitFailed, "line 5: it is not as it was written", "audit", "verify", "--file", "-")
		s.refused(exitUsage, "--checkpoint", "audit", "verify", "--checkpoint", "5")
		s.refused(exitUsage, "--since-checkpoint needs --checkpoint", "audit", "verify", "--since-checkpoint")
		s.refused(exitUsage, "different things", "audit", "verify", "--all", "--file", "x")
		s.refused(exitUsage, "--deleted", "audit", "purge", "--org", "acme", "--yes")
		s.refused(exitUsage, "--yes", "audit", "purge", "--org", "acme", "--deleted")
		s.refused(exitNotFound, "no audit of a deleted organization", "audit", "tail", "--org", "acme", "--deleted")
		for _, v := range s.array("audit", "verify", "--all") {
			if v["ok"] != true {
				t.Errorf("%v", v)
			}
		}

		// Somebody alters what was written down.
		house := s.house()
		altered := strings.Replace(export, "client.created", "client.deleted", 1)
		got := s.keizer(altered, "audit", "verify", "--file", "-", "-o", "json")
		var told map[string]any
		readOne(t, got.out, &told)
		if got.code != exitFailed || told["ok"] != false || told["faults_found"] != 1.0 || told["checkpoint"] != nil || !strings.Contains(got.err, "acme: altered: event 2 ") ||
			!strings.Contains(got.err, `the audit of organization "acme" is not as it was written`) {
			t.Errorf("%+v", got)
		}
		got = s.keizer("", "audit", "verify", "--org", "acme", "--checkpoint", "1:"+strings.Repeat("A", 43))
		if got.code != exitFailed || !strings.Contains(got.err, "acme: checkpoint: event 1 ") || !strings.Contains(got.out, "no") {
			t.Errorf("%+v", got)
		}

		// Whoever follows sees what comes, and nothing twice.
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		p := &program{stdin: strings.NewReader(""), stdout: &followed{arrived: make(chan string, 10)}, stderr: &bytes.Buffer{}, environ: s.environ}
		var wg sync.WaitGroup
		code := -1
		wg.Go(func() {
			code = run(ctx, []string{"audit", "tail", "--org", "acme", "-f", "-n", "1", "-o", "json"}, p.stdin, p.stdout, p.stderr, s.environ)
		})
		seen := func(action string, sequence int) {
			t.Helper()
			select {
			case line := <-p.stdout.(*followed).arrived:
				var event map[string]any
				if err := json.Unmarshal([]byte(line), &event); err != nil || event["action"] != action || event["sequence"] != float64(sequence) {
					t.Errorf("%s, %v", line, err)
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("%s is not shown", action)
			}
		}
		seen("client.created", 3)
		for i := range 3 {
			action := fmt.Sprintf("some.thing%d", i)
			if err := house.DB.AppendAudit(in(t, house, "acme"), &storage.AuditEvent{Actor: "system", Action: action}); err != nil {
				t.Fatal(err)
			}
			seen(action, 4+i)
		}
		stop()
		wg.Wait()
		if code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

// followed is an output that is read while it is written.
type followed struct{ arrived chan string }

func (f *followed) Write(line []byte) (int, error) {
	f.arrived <- string(line)
	return len(line), nil
}
