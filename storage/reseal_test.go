package storage_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// wherever finds every column in which something stands that begins a sealed value, raw or as base64.
func wherever(t *testing.T, raw *sql.DB, dialect string, mark []byte) map[string]int {
	t.Helper()
	tables := texts(t, raw, map[string]string{
		"sqlite":   `SELECT name FROM sqlite_master WHERE type = 'table'`,
		"postgres": `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'`,
	}[dialect])
	var as [][]byte
	for _, encoded := range []string{string(mark), base64.StdEncoding.EncodeToString(mark), base64.URLEncoding.EncodeToString(mark)} {
		as = append(as, []byte(encoded))
	}
	found := map[string]int{}
	for _, table := range tables {
		rows, err := raw.QueryContext(t.Context(), `SELECT * FROM `+table)
		if err != nil {
			t.Fatal(err)
		}
		names, err := rows.Columns()
		must(t, err)
		for rows.Next() {
			values, into := make([]any, len(names)), make([]any, len(names))
			for i := range values {
				into[i] = &values[i]
			}
			must(t, rows.Scan(into...))
			for i, value := range values {
				content, ok := value.([]byte)
				if !ok {
					content = fmt.Append(nil, value)
				}
				for _, one := range as {
					if bytes.Contains(content, one) {
						found[table+"."+names[i]]++
						break
					}
				}
			}
		}
		must(t, rows.Err())
		rows.Close()
	}
	return found
}

// Whatever is sealed in a database, in whichever table, is sealed anew, and the old master key opens nothing and is needed for nothing.
func TestNothingIsLeftThatWasSealedUnderAnOlderMasterKey(t *testing.T) {
	storagetest.EachMigratedURL(t, func(t *testing.T, url string) {
		before, after := seal.NewKey(), seal.NewKey()
		under := func(keys ...string) (*storage.DB, *seal.Keyring) {
			ring, err := seal.Parse(keys[0], keys[1:]...)
			must(t, err)
			db, err := storage.Open(t.Context(), storage.Options{URL: url, Keyring: ring})
			must(t, err)
			t.Cleanup(func() { db.Close() })
			return db, ring
		}
		old, oldRing := under(before)
		raw := openRaw(t, url)
		must(t, old.CheckMasterKey(t.Context()))
		acme := storagetest.Org(t, old, "acme")
		f := newFixture(t, old, acme, "alice")
		salt, err := old.PairwiseSalt(acme)
		must(t, err)
		must(t, old.AnswerRequest(acme, f.claim, []byte("answer")))
		must(t, old.SpendRefreshToken(acme, f.refresh, []byte("answer")))
		must(t, old.AppendAudit(acme, &storage.AuditEvent{Actor: "a", Action: "b"}))
		link := func(ring *seal.Keyring) []byte {
			sealed, err := ring.Seal("link", []byte("data"), f.verification)
			must(t, err)
			text, err := json.Marshal(map[string][]byte{"sealed": sealed})
			must(t, err)
			return text
		}
		execute(t, raw, `UPDATE verification_tokens SET data = $1 WHERE token = $2`, string(link(oldRing)), f.verification)

		both, newRing := under(after, before)
		sealed := wherever(t, raw, both.Dialect(), oldRing.Mark())
		if len(sealed) != 16 {
			t.Errorf("the fixture has sealed values in %v only", sealed)
		}
		stopped, stop := context.WithCancel(t.Context())
		stop()
		if _, err := both.Reseal(stopped); err == nil {
			t.Error("it goes on though it was interrupted")
		}
		// Whoever renews tokens at a provider compares the one that they have used with what is there, and is not disturbed.
		must(t, both.ClaimUpstreamRenewal(acme, f.account, time.Now().Add(time.Minute)))
		hasty, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := both.Reseal(hasty); err == nil {
			t.Error("it does not wait for a token that is being renewed")
		}
		must(t, old.RenewUpstreamTokens(acme, f.account, "renewed", "renewed-refresh", nil))
		sealed = wherever(t, raw, both.Dialect(), oldRing.Mark())

		all, err := both.Reseal(t.Context())
		must(t, err)
		links, err := both.ResealVerificationTokens(t.Context(), func(token string, data []byte) ([]byte, error) {
			if token != f.verification || !bytes.Contains(data, []byte("sealed")) {
				return nil, nil
			}
			return link(newRing), nil
		})
		must(t, err)
		for _, one := range append(all, links) {
			if one.Stuck != 0 || int(one.Done) != sealed[one.Column] {
				t.Errorf("%+v, and there were %d", one, sealed[one.Column])
			}
			delete(sealed, one.Column)
		}
		if len(sealed) != 1 || sealed["instance.canary"] != 1 {
			t.Errorf("nobody seals anew what stands in %v", sealed)
		}
		if err := old.CheckMasterKey(t.Context()); err != nil {
			t.Errorf("a process that has the old key only is kept out before all is done: %v", err)
		}
		for range 2 {
			if _, err := both.ResealInstance(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if left := wherever(t, raw, both.Dialect(), oldRing.Mark()); len(left) > 0 {
			t.Errorf("left under the old key: %v", left)
		}
		again, err := both.Reseal(t.Context())
		must(t, err)
		for _, one := range again {
			if one.Done != 0 {
				t.Errorf("again: %+v", one)
			}
		}

		alone, _ := under(after)
		must(t, alone.CheckMasterKey(t.Context()))
		// Who has read a client before, and writes it after, takes nothing back.
		must(t, both.UpdateClient(acme, f.client))
		if left := wherever(t, raw, both.Dialect(), oldRing.Mark()); len(left) > 0 {
			t.Errorf("under the old key again: %v", left)
		}
		if again, err := alone.PairwiseSalt(acme); err != nil || !bytes.Equal(again, salt) {
			t.Errorf("everybody is somebody else to applications: %v", err)
		}
		if provider, err := alone.UpstreamProvider(acme, "upstream"); err != nil || provider.ClientSecret != "upstream-secret" {
			t.Errorf("%+v, %v", provider, err)
		}
		if apps, err := alone.AuthenticatorsOf(acme, f.user.ID); err != nil || len(apps) != 1 || string(apps[0].Secret) != "totp-hunter2" {
			t.Errorf("%+v, %v", apps, err)
		}
		if keys, err := alone.PasskeysOf(acme, f.user.ID); err != nil || len(keys) != 1 || string(keys[0].Record) != "the record" {
			t.Errorf("%+v, %v", keys, err)
		}
		if _, err := alone.SigningKey(acme, f.key.KID); err != nil {
			t.Error(err)
		}
		client, err := alone.Client(acme, f.client.ClientID)
		must(t, err)
		if secrets, err := alone.ClientSecrets(acme, client); err != nil || len(secrets) != 1 || secrets[0].Reveal() != "client-secret-of-alice" {
			t.Errorf("%d secrets, %v", len(secrets), err)
		}
		if report := verified(t, alone, acme, storage.AuditVerification{}); report.Found > 0 || report.Verified == 0 {
			t.Errorf("%+v", report)
		}
		if err := old.CheckMasterKey(t.Context()); err == nil {
			t.Error("a process that has the old key only still starts")
		}
		// What opens under no key there is is left as it is, told, and in nobody's way.
		execute(t, raw, `UPDATE authenticators SET secret = $1 WHERE id = $2`, []byte("no sealed value"), f.app.ID.String())
		spoilt, err := both.Reseal(t.Context())
		must(t, err)
		for _, one := range spoilt {
			if (one.Stuck == 1 && one.First != nil) != (one.Column == "authenticators.secret") || one.Done != 0 {
				t.Errorf("%+v", one)
			}
		}
	})
}
