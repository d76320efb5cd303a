package main

import (
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/internal/seal"
)

func TestTheMasterKeyIsReplacedWhileNothingIsLost(t *testing.T) {
	before, after := seal.NewKey(), seal.NewKey()
	s := newStation(t, "KEIZER_ISSUER=https://id.example.com", "KEIZER_ROOT_ORGANIZATION=main", "KEIZER_DATABASE_URL=sqlite:keizer.db", "KEIZER_MASTER_KEY="+before)
	with := func(current string, old ...string) {
		s.environ = append(s.environ[:3:3], "KEIZER_MASTER_KEY="+current)
		for _, key := range old {
			s.environ = append(s.environ, "KEIZER_MASTER_KEY_OLD="+key)
		}
	}
	s.do("org", "create", "main")
	write(t, "secret", "hunter2")
	s.do("provider", "create", "google", "--preset", "google", "--client-id", "us", "--client-secret-file", "secret")
	s.do("user", "invite", "--email", "alice@example.com")
	rotate := func() map[string]float64 {
		t.Helper()
		done := map[string]float64{}
		for _, one := range s.array("secret", "rotate-master") {
			done[text(t, one, "column")] = one["sealed_anew"].(float64)
		}
		return done
	}
	for column, n := range rotate() {
		if n != 0 {
			t.Errorf("with one key alone %s was sealed anew", column)
		}
	}
	with(after)
	s.refused(exitUsage, "master_key: ", "secret", "rotate-master")
	with(after, before)
	done := rotate()
	for column, want := range map[string]float64{
		"signing_keys.private_jwk": 3, "audit_chains.sealed_key": 1, "oauth_providers.client_secret": 1, "outbox.payload": 1,
	} {
		if done[column] != want {
			t.Errorf("%s: %v, want %v", column, done[column], want)
		}
	}
	if again := rotate(); again["signing_keys.private_jwk"] != 0 {
		t.Errorf("again: %v", again)
	}
	if table := s.do("secret", "rotate-master"); !strings.HasPrefix(table, "WHAT") {
		t.Errorf("%s", table)
	}
	with(before)
	s.refused(exitUsage, "master_key: ", "org", "list")
	with(after)
	if events := s.array("audit", "tail", "--action", "master_key.rotated"); len(events) != 1 {
		t.Errorf("%v", events)
	}
	s.do("audit", "verify")
	if shown := s.object("provider", "show", "google"); shown["client_id"] != "us" {
		t.Errorf("%v", shown)
	}
	s.do("key", "rotate", "--now")
}
