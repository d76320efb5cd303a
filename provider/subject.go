package provider

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/maypok86/otter/v2"

	"github.com/keizer-auth/keizer/internal/pairwise"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/fositestore"
)

// subjects says what the clients of a sector know people and sessions by (OpenID Connect Core 1.0 §8). Within the house everybody is known
// by their id; this is the one place where that becomes something else, on its way out.
//
// What a grant says of its sector holds for all that is issued by it: a refreshed ID token has the sub of the first (§12.2), whatever has
// become of the client's registration since.
type subjects struct {
	db    *storage.DB
	salts *otter.Cache[uuid.UUID, pairwise.Salt]
}

const (
	// saltCacheTime is how long the salt of an organization stays in memory. It never changes.
	saltCacheTime = time.Minute
	saltCacheSize = 10_000
)

func newSubjects(db *storage.DB) *subjects {
	return &subjects{db: db, salts: otter.Must(&otter.Options[uuid.UUID, pairwise.Salt]{
		MaximumSize:      saltCacheSize,
		ExpiryCalculator: otter.ExpiryWriting[uuid.UUID, pairwise.Salt](saltCacheTime),
	})}
}

// names are what the clients of one sector know people and sessions by. The zero value is for clients that know them by their ids.
type names struct {
	sector string
	salt   pairwise.Salt
}

// names returns those of a sector; the empty one is that of all clients which are told ids.
func (s *subjects) names(ctx context.Context, sector string) (names, error) {
	if sector == "" {
		return names{}, nil
	}
	salt, err := s.salt(ctx)
	return names{sector, salt}, err
}

// of returns the names that the tokens of a grant use.
func (s *subjects) of(ctx context.Context, session *fositestore.Session) (names, error) {
	return s.names(ctx, session.Facts.Sector)
}

// subject is what a person is known by.
func (n names) subject(person string) string {
	if n.sector == "" {
		return person
	}
	return n.salt.Subject(n.sector, person)
}

// session is what a session is known by; there need not be one.
func (n names) session(id string) string {
	if n.sector == "" || id == "" {
		return id
	}
	return n.salt.Session(n.sector, id)
}

func (s *subjects) salt(ctx context.Context) (pairwise.Salt, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	if salt, ok := s.salts.GetIfPresent(org.ID); ok {
		return salt, nil
	}
	salt, err := s.db.PairwiseSalt(ctx)
	if err != nil {
		return nil, err
	}
	s.salts.Set(org.ID, salt)
	return salt, nil
}
