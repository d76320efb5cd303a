package server

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/config"
	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

func TestAJobComesAgainWhateverBecameOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logbook{}
		s := &Server{house: &House{Log: log.logger()}}
		ctx, cancel := context.WithCancel(t.Context())
		var ran []time.Time
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.every(ctx, time.Minute, "count", func(context.Context) error {
				ran = append(ran, time.Now())
				switch len(ran) {
				case 1:
					return errors.New("a failure")
				case 2:
					panic("a fault")
				}
				return nil
			})
		}()
		began := time.Now()
		time.Sleep(time.Hour)
		cancel()
		<-ended
		if len(ran) < 55 || len(ran) > 65 {
			t.Errorf("it ran %d times in an hour", len(ran))
		}
		uneven := false
		for i, at := range ran {
			apart := at.Sub(began)
			if began = at; apart < 52*time.Second || apart > 68*time.Second {
				t.Errorf("run %d came after %v", i, apart)
			}
			uneven = uneven || apart != time.Minute
		}
		if !uneven {
			t.Error("every replica would do it at the same moment")
		}
		if lines := log.lines(); len(lines) != 2 || !strings.Contains(lines[0], "a failure") || !strings.Contains(lines[1], "a fault") {
			t.Errorf("%q", lines)
		}
	})
}

func TestAJobEndsWithItsServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logbook{}
		s := &Server{house: &House{Log: log.logger()}}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.every(ctx, time.Minute, "wait", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		}()
		time.Sleep(2 * time.Minute)
		cancel()
		<-ended
		if log.String() != "" {
			t.Errorf("an end in order was logged: %s", log)
		}
	})
}

// One organization's trouble is not another's: "aaa" comes first, and its key opens under another master key only.
func TestKeysAreRotatedWhereTheyAreDueAndWrittenDown(t *testing.T) {
	house, _ := boot(t)
	s := &Server{house: house}
	make := func(slug string) context.Context {
		org := &storage.Organization{ID: uuid.New(), Name: slug, Slug: slug}
		if err := house.DB.CreateOrganization(t.Context(), org); err != nil {
			t.Fatal(err)
		}
		return tenant.With(t.Context(), &tenant.Org{ID: org.ID, Slug: slug})
	}
	bad, due, fresh := make("aaa"), make("zzz"), make("mmm")
	if _, err := house.Operators.RotateKey(fresh, "ES256", false, time.Hour); err != nil {
		t.Fatal(err)
	}
	ring, err := seal.Parse(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := storage.Open(t.Context(), storage.Options{URL: house.Cfg.Database.URL.Reveal(), Keyring: ring})
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	if err := foreign.CreateSigningKey(bad, &storage.SigningKey{KID: "k", Alg: "ES256", PrivateJWK: []byte("{}"), PublicJWK: []byte("{}"), ActivatesAt: time.Now()}); err != nil {
		t.Fatal(err)
	}

	if err := s.rotateKeys(t.Context()); err == nil || !strings.Contains(err.Error(), "organization aaa: ") || strings.Contains(err.Error(), "zzz") {
		t.Errorf("%v", err)
	}
	for _, ctx := range []context.Context{due, fresh} {
		rows, err := house.DB.SigningKeys(ctx)
		if err != nil || len(rows) != 3 {
			t.Errorf("%d keys, %v", len(rows), err)
		}
		events, err := house.DB.ListAudit(ctx, storage.AuditFilter{})
		if err != nil || len(events) != 3 {
			t.Fatalf("%d events, %v", len(events), err)
		}
		for _, event := range events {
			if event.Action != "key.rotated" || event.Actor != "system" {
				t.Errorf("%+v", event)
			}
		}
	}
	// What has been done is not done again.
	_ = s.rotateKeys(t.Context())
	if rows, err := house.DB.SigningKeys(due); err != nil || len(rows) != 3 {
		t.Errorf("%d keys, %v", len(rows), err)
	}
}

// S-289: where an audit stands is logged, when it has grown much.
func TestCheckpointsOfAuditsAreMadeAndLogged(t *testing.T) {
	house, log := boot(t)
	s := &Server{house: house}
	if _, err := house.Operators.CreateOrganization(t.Context(), "Acme", "acme"); err != nil {
		t.Fatal(err)
	}
	org, err := house.Tenant(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	acme := tenant.With(t.Context(), org)
	checkpoints := func() (found []string) {
		t.Helper()
		if err := s.checkpointAudits(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, line := range log.lines() {
			if strings.Contains(line, "audit checkpoint") {
				found = append(found, line)
			}
		}
		return found
	}
	if found := checkpoints(); len(found) > 0 {
		t.Errorf("after one event, at once: %v", found)
	}
	if err := house.DB.AppendAudits(acme, slices.Repeat([]*storage.AuditEvent{{Actor: "a", Action: "b"}}, checkpointEvents-1)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		found := checkpoints()
		if len(found) != 1 {
			t.Fatalf("%v", found)
		}
		var line struct {
			Org        string `json:"org"`
			Checkpoint string `json:"checkpoint"`
		}
		if err := json.Unmarshal([]byte(found[0]), &line); err != nil || line.Org != "acme" {
			t.Errorf("%s, %v", found[0], err)
		}
		kept, err := storage.ParseAuditCheckpoint(line.Checkpoint)
		if err != nil {
			t.Fatal(err)
		}
		report, err := house.DB.VerifyAudit(acme, storage.AuditVerification{Kept: kept})
		if err != nil || report.Found > 0 || kept.Sequence != checkpointEvents {
			t.Errorf("%+v, %v", report, err)
		}
	}
}

func TestJobsAreOverWhenServeReturns(t *testing.T) {
	house, _ := boot(t, func(cfg *config.Config) { cfg.ShutdownGrace = time.Second })
	s := &Server{house: house}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { s.jobs(ctx); close(ended) }()
	cancel()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("a job goes on")
	}
}

// What changes the addresses of everything that an organization has is said again and again, and once it has come to pass.
func TestTheLogSaysWhichIssuersChange(t *testing.T) {
	house, log := boot(t)
	s := &Server{house: house}
	now := time.Now().UTC()
	for slug, from := range map[string]time.Time{"soon": now.Add(time.Hour), "lately": now.Add(-time.Minute), "long-ago": now.Add(-2 * announceEvery), "never": {}} {
		org := &storage.Organization{ID: uuid.New(), Name: slug, Slug: slug}
		if !from.IsZero() {
			org.PlanIssuerHost(from.Add(-time.Hour), slug+".example.com", from)
		}
		if err := house.DB.CreateOrganization(t.Context(), org); err != nil {
			t.Fatal(err)
		}
	}
	before := len(log.lines())
	if err := s.announce(t.Context()); err != nil {
		t.Fatal(err)
	}
	said := log.lines()[before:]
	if len(said) != 2 || !strings.Contains(said[0], "has changed") || !strings.Contains(said[0], `"organization":"lately","before":"http://localhost:0/o/lately","after":"https://lately.example.com"`) ||
		!strings.Contains(said[1], "is going to change") || !strings.Contains(said[1], "soon.example.com") {
		t.Errorf("%q", said)
	}
}
