package storage_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

func TestPurgeDeletesWhatHasExpiredAndNothingElse(t *testing.T) {
	storagetest.EachURL(t, func(t *testing.T, address string) {
		db := storagetest.Open(t, address)
		if _, err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		raw := openRaw(t, address)
		ctx := storagetest.Org(t, db, "acme")
		f := newFixture(t, db, ctx, "alice") // everything in it ends in an hour
		end := time.Now().Add(time.Hour)
		must(t, db.SpendCode(ctx, f.code))
		must(t, db.SpendRefreshToken(ctx, f.refresh, []byte("answer")))

		tables := []string{
			"oauth_codes", "oauth_access_tokens", "oauth_refresh_tokens", "oauth_grants", "interactions", "oauth_par", "oauth_jtis",
			"verification_tokens", "sessions", "sign_ins", "spent_challenges", "users", "oauth_clients", "consents", "signing_keys", "audit_events",
			"rate_limits", "devices", "upstream_requests", "session_clients", "registration_tokens",
		}
		left := func() string {
			var counts []string
			for _, table := range tables {
				counts = append(counts, table+" "+texts(t, raw, `SELECT CAST(count(*) AS varchar) FROM `+table)[0])
			}
			return strings.Join(counts, ", ")
		}
		answers := func() string {
			return texts(t, raw, `SELECT CAST(count(*) AS varchar) FROM oauth_refresh_tokens WHERE answer IS NOT NULL`)[0]
		}
		purge := func(at time.Time) {
			t.Helper()
			if _, err := db.Purge(ctx, at, 2); err != nil {
				t.Fatal(err)
			}
		}
		full := left()
		purge(time.Now())
		if got := left(); got != full || answers() != "1" {
			t.Errorf("before anything has expired: %s (%s answers)", got, answers())
		}
		// The answer to a spent refresh token goes first, and the token itself stays.
		purge(time.Now().Add(11 * time.Minute))
		if got := left(); got != full || answers() != "0" {
			t.Errorf("ten minutes later: %s (%s answers)", got, answers())
		}
		for _, step := range []struct {
			at   time.Time
			want map[string]int
		}{
			{end.Add(30 * time.Second), map[string]int{"oauth_access_tokens": 0, "interactions": 0, "sign_ins": 0, "devices": 0, "upstream_requests": 0, "session_clients": 0}},
			{end.Add(9 * time.Minute), map[string]int{"oauth_jtis": 0, "spent_challenges": 0}},
			{end.Add(11 * time.Minute), map[string]int{"oauth_codes": 0}},
			{end.Add(19 * time.Minute), nil},
			{end.Add(21 * time.Minute), map[string]int{"oauth_par": 0}},
			{end.Add(23 * time.Hour), map[string]int{"rate_limits": 0}},
			{end.Add(25 * time.Hour), map[string]int{"oauth_grants": 0, "oauth_refresh_tokens": 0, "sessions": 0, "verification_tokens": 0, "registration_tokens": 0}},
			{end.Add(1000 * 24 * time.Hour), nil},
		} {
			for table, n := range step.want {
				i := strings.Index(full, table+" ")
				rest := full[i+len(table)+1:]
				if j := strings.Index(rest, ","); j >= 0 {
					rest = rest[j:]
				} else {
					rest = ""
				}
				full = full[:i] + fmt.Sprintf("%s %d", table, n) + rest
			}
			purge(step.at)
			if got := left(); got != full {
				t.Errorf("%v after the end:\n%s\nwant\n%s", step.at.Sub(end), got, full)
			}
		}
		// A code that is used again long after it was purged is as unknown as one that never was.
		if _, err := db.Code(ctx, f.code); !isNotFound(err) {
			t.Errorf("err = %v", err)
		}
	})
}

func TestReplicasPurgeAtOnceWhileTokensAreIssued(t *testing.T) {
	storagetest.EachURL(t, func(t *testing.T, address string) {
		first := storagetest.Open(t, address)
		if _, err := first.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		replicas := []*storage.DB{first, storagetest.Open(t, address)}
		ctx := storagetest.Org(t, first, "acme")
		f := newFixture(t, first, ctx, "alice")
		const expired = 600
		must(t, first.InTx(ctx, func(ctx context.Context) error {
			for i := range expired {
				must(t, first.CreateAccessToken(ctx, &storage.AccessToken{
					Digest: secret.Digest(fmt.Sprint("expired", i)), Format: "opaque", ExpiresAt: now().Add(-time.Duration(i+1) * time.Second),
				}))
				g := &storage.Grant{ClientID: "c", UserID: &f.user.ID, ExpiresAt: now().Add(-48 * time.Hour)}
				must(t, first.CreateGrant(ctx, g))
				must(t, first.CreateRefreshToken(ctx, &storage.RefreshToken{Digest: uuid.NewString(), GrantID: g.ID, ExpiresAt: now()}))
			}
			return nil
		}))
		var wg sync.WaitGroup
		var deleted [2]int64
		for i, db := range replicas {
			wg.Go(func() {
				n, err := db.Purge(ctx, now(), 50)
				if err != nil {
					t.Error(err)
				}
				deleted[i] = n
			})
			wg.Go(func() {
				for range 50 {
					digest := secret.Digest(uuid.NewString())
					err := db.CreateAccessToken(ctx, &storage.AccessToken{Digest: digest, Format: "opaque", ExpiresAt: now().Add(minute)})
					if err != nil {
						t.Error(err)
					}
					if _, _, err := db.AccessToken(ctx, digest); err != nil {
						t.Errorf("an unexpired token: %v", err)
					}
				}
			})
		}
		wg.Wait()
		// What one passed over because the other had it, the other deleted.
		rest, err := first.Purge(ctx, now(), 50)
		must(t, err)
		if total := deleted[0] + deleted[1] + rest; total != 2*expired {
			t.Errorf("%v and %d deleted, want %d in all", deleted, rest, 2*expired)
		}
		if _, _, err := first.RefreshToken(ctx, f.refresh); err != nil {
			t.Error(err)
		}
	})
}

// PostgreSQL counts how often it read a table from end to end. Over tables of some size it must not do so for anything that
// a request asks.
func TestNothingThatARequestAsksReadsAWholeTable(t *testing.T) {
	address := storagetest.PostgresURL(t)
	db := storagetest.Open(t, address)
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	raw := openRaw(t, address)
	ctx := storagetest.Org(t, db, "acme")
	f := newFixture(t, db, ctx, "alice")
	for _, statement := range []string{
		`INSERT INTO organizations (name, slug) SELECT i, 'org-' || i FROM generate_series(1, 3000) i`,
		`INSERT INTO users (org_id, email, email_canonical, username_canonical, password_hash)
			SELECT $1::uuid, i || '@x.example', i || '@x.example', 'user' || i, '!' FROM generate_series(1, 20000) i`,
		`INSERT INTO sessions (org_id, user_id, token, expires_at)
			SELECT org_id, id, md5(id::text), now() + interval '1 hour' FROM users WHERE org_id = $1`,
		`INSERT INTO oauth_clients (org_id, client_id, name, auth_method, id_token_alg, access_token_format)
			SELECT $1::uuid, 'c' || i, 'c', 'none', 'RS256', 'opaque' FROM generate_series(1, 20000) i`,
		`INSERT INTO oauth_grants (org_id, client_id, user_id, session_id, expires_at)
			SELECT org_id, 'c', user_id, id, now() + interval '1 hour' FROM sessions WHERE org_id = $1`,
		`INSERT INTO oauth_codes (digest, org_id, grant_id, client_id, user_id, requested_at, expires_at)
			SELECT md5(id::text), org_id, id, 'c', user_id, now(), now() + interval '1 hour' FROM oauth_grants WHERE org_id = $1`,
		`INSERT INTO oauth_access_tokens (digest, org_id, grant_id, client_id, subject, format, expires_at)
			SELECT md5(id::text), org_id, id, 'c', 's', 'opaque', now() + interval '1 hour' FROM oauth_grants WHERE org_id = $1`,
		`INSERT INTO oauth_refresh_tokens (digest, org_id, grant_id, client_id, expires_at)
			SELECT md5(id::text), org_id, id, 'c', now() + interval '1 hour' FROM oauth_grants WHERE org_id = $1`,
		`INSERT INTO interactions (digest, org_id, browser_digest, client_id, params, requested_at, expires_at)
			SELECT md5(i::text), $1::uuid, 'b', 'c', '', now(), now() + interval '1 hour' FROM generate_series(1, 20000) i`,
		`INSERT INTO oauth_par (digest, org_id, client_id, params, expires_at)
			SELECT md5(i::text), $1::uuid, 'c', '', now() + interval '1 hour' FROM generate_series(1, 20000) i`,
		`INSERT INTO oauth_jtis (org_id, client_id, jti_digest, expires_at)
			SELECT $1::uuid, 'c', md5(i::text), now() + interval '1 hour' FROM generate_series(1, 20000) i`,
		`INSERT INTO consents (org_id, user_id, client_id) SELECT org_id, id, 'c' FROM users WHERE org_id = $1`,
		`INSERT INTO verification_tokens (org_id, token, type, expires_at)
			SELECT $1::uuid, md5(i::text), 'x', now() + interval '1 hour' FROM generate_series(1, 20000) i`,
		`INSERT INTO sign_ins (digest, org_id, browser_digest, user_id, amr, proven_at, expires_at, created_at)
			SELECT md5(id::text), org_id, 'b', id, '[]', now(), now() + interval '1 hour', now() FROM users WHERE org_id = $1`,
		`INSERT INTO oauth_providers (org_id, name, client_id, client_secret) VALUES ($1, 'purged', 'c', '')`,
		`INSERT INTO upstream_requests (digest, org_id, browser_digest, provider_id, user_id, data, expires_at, created_at)
			SELECT md5(u.id::text), u.org_id, md5(u.id::text), p.id, u.id, '', now() + interval '1 hour', now() FROM users u
			JOIN oauth_providers p ON p.org_id = u.org_id AND p.name = 'purged' WHERE u.org_id = $1`,
		`INSERT INTO spent_challenges (org_id, digest, expires_at)
			SELECT $1::uuid, md5(i::text), now() + interval '1 hour' FROM generate_series(1, 20000) i`,
		`INSERT INTO passkeys (id, org_id, user_id, credential_id, name, record, created_at)
			SELECT gen_random_uuid(), org_id, id, md5(id::text), '', '', now() FROM users WHERE org_id = $1 AND id NOT IN (SELECT user_id FROM passkeys)`,
		`INSERT INTO authenticators (id, org_id, user_id, name, secret, created_at)
			SELECT gen_random_uuid(), org_id, id, '', '', now() FROM users WHERE org_id = $1 AND id NOT IN (SELECT user_id FROM authenticators)`,
		`INSERT INTO recovery_codes (digest, org_id, user_id, created_at) SELECT md5(id::text), org_id, id, now() FROM users WHERE org_id = $1`,
		`INSERT INTO devices (id, org_id, user_id, token, expires_at, created_at, last_seen_at)
			SELECT gen_random_uuid(), org_id, id, md5(id::text), now() + interval '1 hour', now(), now() FROM users WHERE org_id = $1`,
		`INSERT INTO rate_limits (org_id, subject, tries, busy_until, expires_at)
			SELECT $1::uuid, md5(i::text), 1, 1, now() + interval '1 hour' FROM generate_series(1, 20000) i`,
		`INSERT INTO session_clients (session_id, client_id, org_id, user_id, created_at, expires_at)
			SELECT id, 'c', org_id, user_id, now(), now() + interval '1 hour' FROM sessions WHERE org_id = $1`,
		`INSERT INTO registration_tokens (id, org_id, digest, name, expires_at, created_at)
			SELECT gen_random_uuid(), $1::uuid, md5(i::text), 't', now() + interval '1 hour', now() FROM generate_series(1, 20000) i`,
		`INSERT INTO outbox (id, org_id, kind, payload, next_attempt_at)
			SELECT gen_random_uuid(), $1::uuid, 'mail', '', now() + interval '1 hour' FROM generate_series(1, 20000) i`,
		`INSERT INTO idempotency_keys (digest, org_id, request, attempt, claimed_until, expires_at)
			SELECT md5(i::text), $1::uuid, 'r', 'a', now(), now() + interval '1 hour' FROM generate_series(1, 20000) i`,
		`INSERT INTO audit_events (org_id, actor, action, sequence) SELECT $1::uuid, 'a', 'b' || i % 1000, i FROM generate_series(2, 20000) i`,
		`INSERT INTO audit_chains (org_id, sequence, mac, link, sealed_key, unchained, checked_sequence, checked_at, created_at)
			SELECT id, 0, '', '', '', 0, 0, now(), now() FROM organizations o WHERE NOT EXISTS (SELECT 1 FROM audit_chains c WHERE c.org_id = o.id)`,
	} {
		var args []any
		if strings.Contains(statement, "$1") {
			args = append(args, f.user.OrgID.String())
		}
		if _, err := raw.Exec(statement, args...); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if _, err := raw.Exec(`ANALYZE`); err != nil {
		t.Fatal(err)
	}
	scans := func() map[string]string {
		// The server's own foreign key checks and the counters of the filling are in it, so it is compared, not read.
		raw := openRaw(t, address)
		defer raw.Close()
		counts := make(map[string]string)
		for _, line := range texts(t, raw, `SELECT relname || '=' || seq_scan FROM pg_stat_user_tables WHERE relname NOT IN
			('goose_db_version', 'goose_lock', 'roles', 'user_roles', 'permissions', 'role_permissions', 'signing_keys', 'instance',
			'oauth_providers', 'oauth_accounts')`) {
			table, n, _ := strings.Cut(line, "=")
			counts[table] = n
		}
		return counts
	}
	raw.Close() // a server process reports what it counted when it ends: those that filled the tables end before it is counted
	must(t, db.Close())
	db = storagetest.Open(t, address)
	eventually(t, "the counters", func() bool { return scans()["oauth_grants"] >= "3" })
	before := scans()

	end := now().Add(time.Hour)
	asks := map[string]func() error{
		"OrganizationBySlug": func() error { _, err := db.OrganizationBySlug(ctx, "org-7"); return err },
		"User":               func() error { _, err := db.User(ctx, f.user.ID); return err },
		"UserByLogin":        func() error { _, err := db.UserByLogin(ctx, "user7"); return err },
		"UserByLogin mail":   func() error { _, err := db.UserByLogin(ctx, "7@x.example"); return err },
		"ListUsers":          func() error { _, err := db.ListUsers(ctx, f.user.ID, 10); return err },
		"RecordLogin":        func() error { return db.RecordLogin(ctx, f.user.ID, now()) },
		"RolesOf":            func() error { _, err := db.RolesOf(ctx, f.user.ID); return err },
		"CreateSession": func() error {
			return db.CreateSession(ctx, &storage.Session{UserID: f.user.ID, Token: uuid.NewString(), ExpiresAt: end})
		},
		"SessionByToken": func() error { _, _, err := db.SessionByToken(ctx, f.session.Token); return err },
		"TouchSession":   func() error { return db.TouchSession(ctx, f.session.ID, now()) },
		"RenewSession":   func() error { return db.RenewSession(ctx, f.session) },
		"Client":         func() error { _, err := db.Client(ctx, "c7"); return err },
		"ListClients":    func() error { _, err := db.ListClients(ctx, "c7", 10); return err },
		"CreateInteraction": func() error {
			return db.CreateInteraction(ctx, &storage.Interaction{Digest: uuid.NewString(), Params: url.Values{}, ExpiresAt: end})
		},
		"Interaction":              func() error { _, err := db.Interaction(ctx, f.interaction); return err },
		"InteractionSelected":      func() error { return db.InteractionSelected(ctx, f.interaction, f.session.ID, now()) },
		"InteractionAuthenticated": func() error { return db.InteractionAuthenticated(ctx, f.interaction, f.session.ID, now()) },
		"Consent":                  func() error { _, err := db.Consent(ctx, f.user.ID, f.client.ClientID); return err },
		"SaveConsent":              func() error { return db.SaveConsent(ctx, f.user.ID, f.client.ClientID, []string{"a"}) },
		"CreateCode": func() error {
			return db.CreateCode(ctx, &storage.Code{Digest: uuid.NewString(), GrantID: f.grant.ID, UserID: f.user.ID, ExpiresAt: end})
		},
		"Code":      func() error { _, err := db.Code(ctx, f.code); return err },
		"SpendCode": func() error { return expect(db.SpendCode(ctx, "x"), storage.ErrSpent) },
		"CreateGrant": func() error {
			return db.CreateGrant(ctx, &storage.Grant{ClientID: "c", UserID: &f.user.ID, ExpiresAt: end})
		},
		"RevokeGrant": func() error { _, err := db.RevokeGrant(ctx, uuid.New()); return err },
		"CreateAccessToken": func() error {
			return db.CreateAccessToken(ctx, &storage.AccessToken{Digest: uuid.NewString(), Format: "opaque", ExpiresAt: end})
		},
		"AccessToken":         func() error { _, _, err := db.AccessToken(ctx, f.access); return err },
		"AccessTokenWithUser": func() error { _, _, _, err := db.AccessTokenWithUser(ctx, f.access); return err },
		"RevokeAccessToken":   func() error { return db.RevokeAccessToken(ctx, "x") },
		"CreateRefreshToken": func() error {
			return db.CreateRefreshToken(ctx, &storage.RefreshToken{Digest: uuid.NewString(), GrantID: f.grant.ID, ExpiresAt: end})
		},
		"RefreshToken":        func() error { _, _, err := db.RefreshToken(ctx, f.refresh); return err },
		"SpendRefreshToken":   func() error { return expect(db.SpendRefreshToken(ctx, "x", nil), storage.ErrSpent) },
		"PAR":                 func() error { _, err := db.PAR(ctx, f.par); return err },
		"UseJTI":              func() error { return db.UseJTI(ctx, "c", uuid.NewString(), end) },
		"VerificationToken":   func() error { _, err := db.VerificationToken(ctx, f.verification, "password_reset"); return err },
		"SignIn":              func() error { _, _, err := db.SignIn(ctx, f.signIn); return err },
		"SpendChallenge":      func() error { return db.SpendChallenge(ctx, uuid.NewString(), end) },
		"PasskeyByCredential": func() error { _, err := db.PasskeyByCredential(ctx, f.passkey.CredentialID); return err },
		"PasskeysOf":          func() error { _, err := db.PasskeysOf(ctx, f.user.ID); return err },
		"AuthenticatorsOf":    func() error { _, err := db.AuthenticatorsOf(ctx, f.user.ID); return err },
		"FactorCounts":        func() error { _, err := db.FactorCounts(ctx, f.user.ID); return err },
		"ListAudit":           func() error { _, err := db.ListAudit(ctx, storage.AuditFilter{Limit: 10}); return err },
		"ListAudit further": func() error {
			_, err := db.ListAudit(ctx, storage.AuditFilter{Limit: 10, After: &storage.AuditEvent{Sequence: 10000}})
			return err
		},
		"ListAudit by action": func() error {
			_, err := db.ListAudit(ctx, storage.AuditFilter{Limit: 10, Action: "b7", Since: now().Add(-time.Hour)})
			return err
		},
		"AppendAudit":        func() error { return db.AppendAudit(ctx, &storage.AuditEvent{Actor: "a", Action: "b"}) },
		"AuditOfUser":        func() error { _, err := db.AuditOfUser(ctx, "a", f.user.ID, nil, 10); return err },
		"SessionsOfUser":     func() error { _, err := db.SessionsOfUser(ctx, f.user.ID, now()); return err },
		"ApplicationsOfUser": func() error { _, err := db.ApplicationsOfUser(ctx, f.user.ID); return err },
		"Device":             func() error { _, err := db.Device(ctx, f.device.Token, f.user.ID); return err },
		"DevicesOf":          func() error { _, err := db.DevicesOf(ctx, f.user.ID); return err },
		"SeeDevice":          func() error { return db.SeeDevice(ctx, f.device.ID, "b", end) },
		"DistrustDevices":    func() error { return db.DistrustDevices(ctx, f.user.ID) },
		"MoveDevices":        func() error { return db.MoveDevices(ctx, uuid.NewString(), uuid.NewString()) },
		"Take":               func() error { return exceeds(db.Take(ctx, fixtureLimit, f.user.Email)) },
		"TakeTurn":           func() error { return exceeds(db.TakeTurn(ctx, fixtureBackoff, f.user.Email)) },
		"ClaimMail":          func() error { _, err := db.ClaimMail(ctx, end, 10); return err },
		"ClaimLogouts":       func() error { _, err := db.ClaimLogouts(ctx, end, 10); return err },
		"ClientsOfSession":   func() error { _, err := db.ClientsOfSession(ctx, f.session.ID); return err },
		"NoteSessionClient": func() error {
			return db.NoteSessionClient(ctx, &storage.SessionClient{SessionID: f.session.ID, ClientID: "c", ExpiresAt: end})
		},
		"Forgive": func() error { return db.Forgive(ctx, fixtureBackoff, uuid.NewString()) },
		"FindUsers": func() error {
			_, next, err := db.FindUsers(ctx, storage.UserFilter{}, storage.Listing{Limit: 10})
			if err == nil {
				_, _, err = db.FindUsers(ctx, storage.UserFilter{}, storage.Listing{Limit: 10, After: next})
			}
			return err
		},
		"FindSessions": func() error {
			_, _, err := db.FindSessions(ctx, storage.SessionFilter{}, storage.Listing{Limit: 10})
			return err
		},
		"FindInvitations":   func() error { _, _, err := db.FindInvitations(ctx, "", storage.Listing{Limit: 10}); return err },
		"TokenOrganization": func() error { _, err := db.TokenOrganization(ctx, f.access); return err },
		"ClaimRequest":      func() error { return third(db.ClaimRequest(ctx, "b", uuid.NewString())) },
		"EndSession":        func() error { return db.EndSession(ctx, f.session.ID, false) },
		"EndSessionsOfUser": func() error { return db.EndSessionsOfUser(ctx, f.user.ID) },
		"Purge":             func() error { _, err := db.Purge(ctx, now(), 10); return err },
		"DeleteUser":        func() error { return db.DeleteUser(ctx, f.user.ID) },
	}
	// The last three end what the others ask for.
	last := []string{"EndSession", "EndSessionsOfUser", "DeleteUser"}
	ask := func(name string) {
		t.Helper()
		for range 8 { // PostgreSQL settles on a plan for a prepared statement after five
			if err := asks[name](); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if name == "DeleteUser" {
				return
			}
		}
	}
	for name := range asks {
		if name != last[0] && name != last[1] && name != last[2] {
			ask(name)
		}
	}
	for _, name := range last {
		ask(name)
	}
	must(t, db.Close())
	eventually(t, "the server's processes to end", func() bool {
		raw := openRaw(t, address)
		defer raw.Close()
		return texts(t, raw, `SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database()`)[0] == "1"
	})
	after := scans()
	for table, n := range before {
		if after[table] != n {
			t.Errorf("%s was read from end to end: %s times before, %s after", table, n, after[table])
		}
	}
}

func expect(err, want error) error {
	if errors.Is(err, want) {
		return nil
	}
	return fmt.Errorf("%w, where %w was expected", err, want)
}

func exceeds(err error) error {
	if isExceeded(err) {
		return nil
	}
	return fmt.Errorf("%w, where a limit is used up", err)
}
