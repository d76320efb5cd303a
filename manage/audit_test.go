package manage_test

import (
	"bytes"
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

func exported(t testing.TB, o replica, ctx context.Context, filter storage.AuditFilter) string {
	t.Helper()
	var file bytes.Buffer
	n, err := o.ExportAudit(ctx, &file, filter)
	must(t, err)
	if lines := strings.Count(file.String(), "\n"); lines != n && lines != n+1 {
		t.Errorf("%d events in %d lines", n, lines)
	}
	return file.String()
}

func TestAnExportedAuditIsVerifiedWithTheMasterKeyAlone(t *testing.T) {
	each(t, func(t *testing.T, o, _ replica) {
		ctx := o.organization(t, "acme")
		for _, details := range []map[string]any{nil, {}, {"name": map[string]any{"before": "<A&B>", "after": "\u2028é"}, "n": 1e21, "list": []any{1.5, nil}}} {
			must(t, o.db.AppendAudit(ctx, &storage.AuditEvent{Actor: "user:1", Action: "user.updated", Target: "t", Details: details}))
		}
		file := exported(t, o, ctx, storage.AuditFilter{})
		slug, report, err := manage.VerifyAuditFile(storagetest.Keyring(), strings.NewReader(file))
		if err != nil || slug != "acme" || report.Found > 0 || report.Verified != 4 || report.Last.Sequence != 4 {
			t.Fatalf("%s, %+v, %v", slug, report, err)
		}
		stranger, err := seal.Parse(seal.NewKey())
		must(t, err)
		if _, report, err := manage.VerifyAuditFile(stranger, strings.NewReader(file)); err != nil || report.Found != 1 || report.Faults[0].Fault != storage.AuditKey {
			t.Errorf("under another master key: %+v, %v", report, err)
		}
		lines := strings.SplitAfter(strings.TrimSuffix(file, "\n"), "\n")
		lines[len(lines)-1] += "\n"
		if len(lines) != 5 {
			t.Fatalf("%d lines", len(lines))
		}
		other := o.organization(t, "other")
		foreign := strings.SplitAfter(exported(t, o, other, storage.AuditFilter{}), "\n")
		for name, altered := range map[string]string{
			"nothing":                        "",
			"no chain":                       strings.Join(lines[1:], ""),
			"one event less":                 lines[0] + lines[1] + lines[3] + lines[4],
			"the last less":                  strings.Join(lines[:4], ""),
			"all less":                       lines[0],
			"two in another order":           lines[0] + lines[1] + lines[3] + lines[2] + lines[4],
			"one twice":                      file + lines[4],
			"another actor":                  strings.Replace(file, "user:1", "user:2", 1),
			"other details":                  strings.Replace(file, "<A&B>", "<A&C>", 1),
			"a number, otherwise":            strings.Replace(file, "1.5", "1.50", 1),
			"a member more":                  strings.Replace(file, `"actor":`, `"actor":"x","actor":`, 1),
			"an unknown member":              strings.Replace(file, `"actor":`, `"actors":"x","actor":`, 1),
			"a space":                        strings.Replace(file, `"actor":`, `"actor": `, 1),
			"an escape":                      strings.Replace(file, "user:1", `user\u003a1`, 1),
			"a line cut":                     file[:len(file)-10],
			"an empty line":                  file + "\n",
			"another chain":                  foreign[0] + strings.Join(lines[1:], ""),
			"an event of another":            file + foreign[1],
			"another slug":                   strings.ReplaceAll(file, `"organization":"acme"`, `"organization":"evil"`),
			"an end that is further forward": strings.Replace(file, `"sequence":4`, `"sequence":3`, 1),
			"unchained ones":                 strings.Replace(file, `"unchained":0`, `"unchained":1`, 1),
		} {
			if altered == file {
				t.Fatalf("%s: nothing is altered", name)
			}
			_, report, err := manage.VerifyAuditFile(storagetest.Keyring(), strings.NewReader(altered))
			if err == nil && report.Found == 0 {
				t.Errorf("%s: not noticed", name)
			}
		}
		// What is left out cannot be verified, and does not pretend to.
		some := exported(t, o, ctx, storage.AuditFilter{Action: "user.updated"})
		if strings.Count(some, "\n") != 3 || strings.Contains(some, "sealed_key") {
			t.Errorf("filtered: %s", some)
		}
		if _, _, err := manage.VerifyAuditFile(storagetest.Keyring(), strings.NewReader(some)); err == nil {
			t.Error("an export that leaves events out is verified")
		}
	})
}

// The audit tells what was before and after, and nothing that is secret.
func TestTheAuditTellsWhatWasBeforeAndAfter(t *testing.T) {
	each(t, func(t *testing.T, o, _ replica) {
		ctx := o.organization(t, "acme")
		alice, err := o.CreateUser(ctx, manage.NewUser{Username: "alice", Email: "alice@example.com", Password: goodPassword, Roles: []string{"auditor"}})
		must(t, err)
		client, made, err := o.CreateClient(ctx, manage.ClientSpec{Name: "App", RedirectURIs: []string{"https://rp.example/cb"}, Scope: "openid"})
		must(t, err)
		for _, c := range []struct {
			deed          func() error
			action        string
			before, after map[string]any
		}{
			{
				func() error {
					_, err := o.UpdateUser(ctx, alice.ID, manage.UserPatch{
						Email: ptr("alice@example.org"), Username: ptr(""), FullName: ptr("Alice Doe"), Metadata: &map[string]any{"note": "metadata-canary", "team": "blue"},
					})
					return err
				}, "user.updated",
				map[string]any{"email": "alice@example.com", "username": "alice", "name": nil}, map[string]any{"email": "alice@example.org", "username": nil, "name": "Alice Doe"},
			},
			{
				func() error { _, err := o.UpdateUser(ctx, alice.ID, manage.UserPatch{Verified: ptr(true)}); return err }, "user.updated",
				map[string]any{"verified": false}, map[string]any{"verified": true},
			},
			{func() error { _, err := o.DisableUser(ctx, alice.ID); return err }, "user.disabled", map[string]any{"active": true}, map[string]any{"active": false}},
			{func() error { _, err := o.EnableUser(ctx, alice.ID); return err }, "user.enabled", map[string]any{"active": false}, map[string]any{"active": true}},
			{
				func() error { return o.DeleteUser(ctx, alice.ID) }, "user.deleted",
				map[string]any{"active": true, "roles": []any{"auditor"}}, nil,
			},
			{
				func() error {
					_, _, err := o.UpdateClient(ctx, client.ClientID, manage.ClientPatch{
						Name: ptr("Application"), Scope: ptr("openid email"), Disabled: ptr(true), RedirectURIs: &[]string{"https://rp.example/cb", "https://rp.example/2"},
					})
					return err
				}, "client.updated",
				map[string]any{"client_name": "App", "scope": "openid", "disabled": false, "redirect_uris": []any{"https://rp.example/cb"}},
				map[string]any{"client_name": "Application", "scope": "openid email", "disabled": true, "redirect_uris": []any{"https://rp.example/cb", "https://rp.example/2"}},
			},
		} {
			must(t, c.deed())
			events, err := o.db.ListAudit(ctx, storage.AuditFilter{Limit: 1})
			must(t, err)
			before, _ := events[0].Details["before"].(map[string]any)
			after, _ := events[0].Details["after"].(map[string]any)
			if events[0].Action != c.action || !reflect.DeepEqual(before, c.before) || !reflect.DeepEqual(after, c.after) {
				t.Errorf("%s: %s %v", c.action, events[0].Action, events[0].Details)
			}
		}
		rotated, err := o.RotateClientSecret(ctx, client.ClientID, time.Hour)
		must(t, err)
		must(t, o.DeleteClient(ctx, client.ClientID))
		events, err := o.db.ListAudit(ctx, storage.AuditFilter{})
		must(t, err)
		text := ""
		for _, event := range events {
			if event.Action == "client.deleted" && event.Details["after"] != nil || event.Action == "client.created" && event.Details["before"] != nil {
				t.Errorf("%+v", event)
			}
			if event.RawDetails != nil {
				text += *event.RawDetails
			}
		}
		for _, canary := range []string{made.Reveal(), rotated.Reveal(), secret.Digest(made.Reveal()), "metadata-canary", goodPassword, "argon2"} {
			if strings.Contains(text, canary) {
				t.Errorf("%s stands in the audit", canary)
			}
		}
		if !strings.Contains(text, `"metadata":["note","team"]`) {
			t.Errorf("of the metadata there are no names: %s", text)
		}
	})
}

func TestTheAuditOfADeletedOrganizationIsPurgedOnPurpose(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		root := o.organization(t, "main")
		gone := o.organization(t, "gone")
		must(t, o.DeleteOrganization(root, "gone"))
		find := func() *storage.Organization {
			orgs, err := o.db.ListDeletedOrganizations(root, "gone", uuid.Nil, 0)
			must(t, err)
			if len(orgs) != 1 {
				t.Fatalf("%+v", orgs)
			}
			return &orgs[0]
		}
		org := find()
		if _, err := o.PurgeAudit(root, org); err == nil {
			t.Error("purged before it is erased")
		}
		_, err := o.db.EraseOrganizations(root, []uuid.UUID{org.ID}, 0)
		must(t, err)
		must(t, o.db.OrganizationErased(root, org.ID))
		org = find()
		report, err := o.db.VerifyAudit(gone, storage.AuditVerification{})
		if err != nil || report.Found > 0 || report.Verified < 2 {
			t.Fatalf("%+v, %v", report, err)
		}
		purged, err := other.PurgeAudit(root, org)
		if err != nil || purged != report.Verified {
			t.Errorf("%d, %v", purged, err)
		}
		if events, err := o.db.ListAudit(gone, storage.AuditFilter{}); err != nil || len(events) > 0 {
			t.Errorf("%d events are left, %v", len(events), err)
		}
		if orgs, err := o.db.ListDeletedOrganizations(root, "gone", uuid.Nil, 0); err != nil || len(orgs) > 0 {
			t.Errorf("%+v, %v", orgs, err)
		}
		events, err := o.db.ListAudit(root, storage.AuditFilter{Limit: 1})
		must(t, err)
		if e := events[0]; e.Action != "audit.purged" || e.Target != "gone" || e.Details["last"] != report.Last.String() || e.Actor != "cli:tester" {
			t.Errorf("%+v", e)
		}
		// Living ones keep theirs.
		living := &storage.Organization{ID: uuid.New(), Slug: "acme", DeletedAt: ptr(time.Now()), ErasedAt: ptr(time.Now())}
		if _, err := o.PurgeAudit(root, living); err == nil {
			t.Error("purged, of an organization that is not there")
		}
		ctx := o.organization(t, "acme")
		acme, err := o.db.OrganizationBySlug(ctx, "acme")
		must(t, err)
		acme.DeletedAt, acme.ErasedAt = living.DeletedAt, living.ErasedAt
		if _, err := o.PurgeAudit(root, acme); err == nil || len(o.audited(t, ctx)) == 0 {
			t.Errorf("purged, of an organization that lives: %v", err)
		}
	})
}
