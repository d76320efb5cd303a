package server

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage"
)

const (
	purgeEvery = time.Minute
	purgeBatch = 500
	// rotateEvery is how often it is looked whether a signing key is due.
	rotateEvery = time.Hour
	// eraseEvery is how often it is looked whether something is left of a deleted organization.
	eraseEvery = time.Minute
	// announceEvery is how often the log says which issuers are to change, and have.
	announceEvery = time.Hour
	// warnEvery is how often the log says again what an operator should not forget.
	warnEvery = time.Hour
	// tidyEvery is how often it is looked whether registered clients are of no use.
	tidyEvery = time.Hour
	// checkpointEvery is how often it is looked whether the chain of an audit has grown by so many events that a checkpoint is due, or is
	// that old.
	checkpointEvery  = 15 * time.Second
	checkpointEvents = 1000
	checkpointAge    = 5 * time.Minute
)

// jobs does what nobody asks for, until ctx ends, and returns when the last job has. Every replica runs them; each deed is
// safe when two do it at once.
func (s *Server) jobs(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { s.every(ctx, purgeEvery, "purge", s.purge) })
	running.Go(func() { s.every(ctx, rotateEvery, "rotate signing keys", s.rotateKeys) })
	running.Go(func() { s.every(ctx, eraseEvery, "erase deleted organizations", s.erase) })
	running.Go(func() { s.every(ctx, announceEvery, "announce issuers", s.announce) })
	running.Go(func() { s.every(ctx, tidyEvery, "remove unused clients", s.tidyClients) })
	running.Go(func() { s.every(ctx, checkpointEvery, "audit checkpoints", s.checkpointAudits) })
	running.Go(func() { s.every(ctx, warnEvery, "warnings", s.warn) })
	running.Go(func() { s.recover(ctx) })
	running.Go(func() { s.logouts(ctx) })
	if s.delivery != nil {
		running.Go(func() { s.delivery.run(ctx) })
	}
	running.Wait()
}

// every runs a job again and again, at times that differ between replicas, until ctx ends. A job that fails or panics is
// logged and comes again.
func (s *Server) every(ctx context.Context, interval time.Duration, name string, job func(context.Context) error) {
	for {
		jitter := time.Duration(rand.Int64N(int64(interval) / 4))
		select {
		case <-ctx.Done():
			return
		case <-time.After(interval - interval/8 + jitter):
		}
		if err := contained(ctx, job); err != nil && !errors.Is(err, context.Canceled) {
			s.house.Log.ErrorContext(ctx, "a job failed", "job", name, "cause", err)
		}
	}
}

// purge deletes what has expired, in batches small enough that nobody waits for them.
func (s *Server) purge(ctx context.Context) error {
	_, err := s.house.DB.Purge(ctx, time.Now().UTC(), purgeBatch)
	return err
}

// rotateKeys gives every organization a new signing key before the one in use is too old. One question finds those that need one, however
// many there are. An organization whose keys cannot be rotated keeps no other from it.
func (s *Server) rotateKeys(ctx context.Context) error {
	const page = 100
	var failed []error
	for after := ""; ; {
		orgs, err := s.house.DB.OrganizationsWithoutKeys(ctx, keys.KeyAlgorithms(), keys.CommonAlgorithms(), time.Now().Add(-keys.RotateAfter), after, page)
		if err != nil {
			return errors.Join(append(failed, err)...)
		}
		for _, org := range orgs {
			if err := s.rotateKeysOf(ctx, &org); err != nil {
				failed = append(failed, fmt.Errorf("organization %s: %w", org.Slug, err))
			}
			after = org.Slug
		}
		if len(orgs) < page {
			return errors.Join(failed...)
		}
	}
}

func (s *Server) rotateKeysOf(ctx context.Context, org *storage.Organization) error {
	ctx = tenant.With(ctx, &tenant.Org{ID: org.ID, Slug: org.Slug, Name: org.Name})
	due, err := keys.DueForRotation(ctx, s.house.DB)
	if err != nil {
		return err
	}
	for _, alg := range due {
		if _, err := s.house.Operators.RotateKey(ctx, alg, false, s.house.Cfg.LongestToken()); err != nil {
			return err
		}
	}
	return nil
}

// tidyClients takes away the clients that were registered and are of no use, where organizations want it. What goes wrong in one of them
// keeps no other from it.
func (s *Server) tidyClients(ctx context.Context) error {
	const page = 100
	var failed []error
	for after := ""; ; {
		// Of those that are not used for the shortest time that there is, it is for the organization to say how long is too long.
		orgs, err := s.house.DB.OrganizationsWithUnused(ctx, time.Now().Add(-settings.MinIdle), after, page)
		if err != nil {
			return errors.Join(append(failed, err)...)
		}
		for i := range orgs {
			if _, err := s.house.Operators.RemoveUnusedClients(ctx, &orgs[i]); err != nil {
				failed = append(failed, fmt.Errorf("organization %s: %w", orgs[i].Slug, err))
			}
			after = orgs[i].Slug
		}
		if len(orgs) < page {
			return errors.Join(failed...)
		}
	}
}

// checkpointAudits writes down where the audits of organizations stand, in the database, and in the log, which may be kept where nobody
// reaches who reaches the database.
func (s *Server) checkpointAudits(ctx context.Context) error {
	made, err := s.house.DB.CheckpointAudits(ctx, checkpointEvents, checkpointAge)
	for _, c := range made {
		s.house.Log.InfoContext(ctx, "audit checkpoint", "org", c.Slug, "org_id", c.OrgID, "checkpoint", c.String())
	}
	return err
}

// warn repeats what was said at the start, and is still so: that this is test mode, and that the certificate runs out.
func (s *Server) warn(ctx context.Context) error {
	if s.house.Cfg.TestMode {
		s.warnOfTestMode(ctx)
	}
	s.warnOfCertificate(ctx)
	return nil
}

// erase takes away what is left of organizations that were deleted.
func (s *Server) erase(ctx context.Context) error {
	_, err := s.house.Operators.EraseDeleted(ctx)
	return err
}

// announce writes into the log which issuers are to change, and which have since it was last said. Nothing waits for it: the issuer changes
// by itself.
func (s *Server) announce(ctx context.Context) error {
	const page = 100
	now := time.Now()
	orgs, err := s.house.DB.IssuersChangingSince(ctx, now.Add(-announceEvery), page)
	if err != nil {
		return err
	}
	addresses := s.house.Operators.Addresses()
	for i := range orgs {
		org := &orgs[i]
		from := *org.IssuerHostNextAt
		before, _ := addresses.Issuer(org, from.Add(-time.Microsecond))
		after, _ := addresses.Issuer(org, from)
		facts := []any{"organization", org.Slug, "before", before, "after", after, "from", from}
		if from.After(now) {
			s.house.Log.WarnContext(ctx, "the issuer of an organization is going to change", facts...)
		} else {
			s.house.Log.WarnContext(ctx, "the issuer of an organization has changed", facts...)
		}
	}
	return nil
}
