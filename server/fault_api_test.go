package server_test

import (
	"context"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
)

// inOrder puts operations so that each has something left to be about: those that look first, then what changes, and what takes away
// last, the parts before the whole.
func inOrder(operations []servertest.Operation) []servertest.Operation {
	order := []string{"GET", "PATCH", "PUT", "POST", "DELETE"}
	operations = slices.Clone(operations)
	slices.SortStableFunc(operations, func(a, b servertest.Operation) int {
		if a.Method != b.Method {
			return slices.Index(order, a.Method) - slices.Index(order, b.Method)
		}
		return strings.Count(b.Path, "/") - strings.Count(a.Path, "/")
	})
	return operations
}

// about is what an operation is to be about, of an organization that has belongings: a session that has not ended with what was done
// before, and another organization where that itself ends.
func about(t *testing.T, house *servertest.House, o servertest.Operation, names map[string]string) map[string]string {
	t.Helper()
	names = maps.Clone(names)
	switch o.ID {
	case "delete-organization", "suspend-organization", "resume-organization":
		names["org"] = "scrap"
	case "test-provider":
		names["provider"] = "still"
	}
	if strings.HasSuffix(o.Path, "/{session}") || strings.HasSuffix(o.Path, "/{grant}") {
		ctx := house.In(names["org"])
		session := &storage.Session{UserID: uuid.MustParse(names["user"]), Token: secret.Digest(uuid.NewString()), ExpiresAt: time.Now().Add(time.Hour)}
		must(t, house.DB.CreateSession(ctx, session))
		grant := &storage.Grant{ClientID: names["client"], UserID: &session.UserID, SessionID: &session.ID, Scope: []string{"openid"}, ExpiresAt: session.ExpiresAt}
		must(t, house.DB.CreateGrant(ctx, grant))
		names["session"], names["grant"] = session.ID.String(), grant.ID.String()
	}
	return names
}

// silent are the operations that change nothing by being asked for as these tests do, and so write nothing down.
var silent = []string{"test-provider", "set-issuer", "introspect-token", "revoke-token", "verify-host", "reveal-provider-token"}

// changing are bodies that change something, of operations that are asked for otherwise without a change.
var changing = map[string]string{
	"apply-configuration":     `{"document":{"keizer":1,"slug":"acme","name":"%s","roles":[{"name":"applied-%s"}]}}`,
	"apply-any-configuration": `{"document":{"keizer":1,"slug":"applied-%s","roles":[{"name":"applied-%s"}]}}`,
}

// outbox is a part of holdings.
var outbox = regexp.MustCompile(`(?s)\noutbox: .*?(\n[a-z_]+: |$)`)

// lasting are the holdings of an organization but its letters, which leave by themselves.
func lasting(t *testing.T, house *servertest.House, ctx context.Context) string {
	t.Helper()
	return outbox.ReplaceAllString(holdings(t, house, ctx), "$1")
}

// S-290, issue 4: every operation of the API that changes something writes it down, in the same transaction: what cannot be written
// down does not happen.
func TestNothingIsDoneOverTheAPIThatIsNotWrittenDown(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	acme, scrap := house.Organization("acme"), house.Organization("scrap")
	names := belongings(t, house, acme)
	federate(t, house, acme, "still", "us", "hunter2", map[string]any{
		"preset": "oauth2", "authorization_endpoint": house.Base + "/nothing", "token_endpoint": house.Base + "/nothing", "userinfo_endpoint": house.Base + "/nothing",
	}, "")
	who := house.Machine(house.In("default"), every(true)...)
	db := house.SQL()
	change(t, house, `CREATE TABLE full (yes INTEGER)`)
	change(t, house, `CREATE TRIGGER nothing_more BEFORE INSERT ON audit_events WHEN EXISTS (SELECT 1 FROM full) BEGIN SELECT RAISE(ABORT, 'nothing more'); END`)
	everything := func(org string) string {
		all := strings.Join(column(t, db, `SELECT slug FROM organizations ORDER BY slug`), " ")
		return all + lasting(t, house, map[string]context.Context{"acme": acme, "scrap": scrap}[org])
	}
	written := 0
	for _, o := range inOrder(house.Operations()) {
		if o.Method == http.MethodGet {
			continue
		}
		mine := about(t, house, o, names)
		switch o.ID {
		case "grant-user-role":
			mine["role"] = "member" // the other they have
		case "resume-organization":
			_, err := house.Operators.SuspendOrganization(house.In("default"), "scrap")
			must(t, err)
		case "suspend-organization":
			_, err := house.Operators.ResumeOrganization(house.In("default"), "scrap")
			must(t, err)
		case "delete-logo":
			must(t, house.Operators.SetLogo(acme, []byte(tinyPNG)))
		}
		carryOut := func(mark string) *servertest.Answer {
			if body, ok := changing[o.ID]; ok {
				return who.Do(o.Method, addressed(t, o, mine), strings.ReplaceAll(body, "%s", mark))
			}
			return ask(t, who, o, mine, mark)
		}
		before := everything(mine["org"])
		change(t, house, `INSERT INTO full VALUES (1)`)
		answer := carryOut("full")
		change(t, house, `DELETE FROM full`)
		if after := everything(mine["org"]); after != before {
			t.Errorf("%s was done, and not written down: %d %s", o.ID, answer.Status, firstDifference(before, after))
		}
		if fails := answer.Status == http.StatusInternalServerError; fails == slices.Contains(silent, o.ID) {
			t.Errorf("%s: %d %s", o.ID, answer.Status, answer.Body)
		}
		answer = carryOut("written")
		rows := column(t, db, `SELECT action FROM audit_events WHERE request_id = $1`, answer.Header.Get("X-Request-Id"))
		if done := answer.Status < http.StatusBadRequest && !slices.Contains(silent, o.ID); done != (len(rows) > 0) {
			t.Errorf("%s: %d, and %q was written down: %s", o.ID, answer.Status, rows, answer.Body)
		} else if done {
			written++
		}
	}
	if written < 40 {
		t.Errorf("%d operations have done something", written)
	}
}
