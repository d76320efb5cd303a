package server

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/provider/keys"
)

const (
	purgeEvery = time.Minute
	purgeBatch = 500
	// rotateEvery is how often it is looked whether a signing key is due.
	rotateEvery = time.Hour
)

// jobs does what nobody asks for. Every replica runs them; each deed is safe when two do it at once.
func (s *Server) jobs(ctx context.Context) {
	go s.every(ctx, purgeEvery, "purge", s.purge)
	go s.every(ctx, rotateEvery, "rotate signing keys", s.rotateKeys)
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
	for ctx.Err() == nil {
		deleted, err := s.house.DB.Purge(ctx, time.Now().UTC(), purgeBatch)
		if err != nil {
			return err
		}
		if deleted < purgeBatch {
			return nil
		}
	}
	return ctx.Err()
}

// rotateKeys gives every organization a new signing key before the one in use is too old.
func (s *Server) rotateKeys(ctx context.Context) error {
	const page = 100
	for after := ""; ; {
		orgs, err := s.house.DB.ListOrganizations(ctx, after, page)
		if err != nil {
			return err
		}
		for _, org := range orgs {
			scoped := tenant.With(ctx, &tenant.Org{ID: org.ID, Slug: org.Slug, Name: org.Name})
			due, err := keys.DueForRotation(scoped, s.house.DB)
			if err != nil {
				return err
			}
			for _, alg := range due {
				kid, err := s.house.Operators.RotateKey(scoped, alg, false, s.house.Cfg.LongestToken())
				if err != nil {
					return err
				}
				s.house.Log.InfoContext(ctx, "a signing key was rotated", "organization", org.Slug, "alg", alg, "kid", kid)
			}
			after = org.Slug
		}
		if len(orgs) < page {
			return nil
		}
	}
}
