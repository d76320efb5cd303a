package keys

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

const (
	// DefaultCacheFor is how long the keys of an organization are used before the database is asked again. It bounds for how
	// long a revoked key is still believed.
	DefaultCacheFor = time.Second

	// staleFor bounds for how much longer they are used by those who would wait for one that asks already. Waiting would be
	// worse than late: who waits may hold the very database connection that the one who asks is waiting for.
	staleFor = 2 * time.Second

	maxRings = 12_288           // organizations whose keys are kept, parsed as far as they were needed
	idleRing = 10 * time.Minute // and how long those that nobody asks for
)

// ErrNoKey says that an organization has no key that signs with an algorithm now.
var ErrNoKey = errors.New("no active signing key")

// Options say how keys are kept. Zero values mean the defaults.
type Options struct {
	CacheFor time.Duration // DefaultCacheFor
}

// Keys holds the signing keys of organizations, parsed. It is safe for concurrent use, and nothing is locked while it signs.
type Keys struct {
	db       *storage.DB
	cacheFor time.Duration

	mu    sync.Mutex
	rings map[uuid.UUID]*slot
}

// slot is the place of one organization's ring.
type slot struct {
	mu      sync.Mutex
	ring    *ring
	asked   time.Time // when the ring's rows were asked for
	used    time.Time
	loading *loading
}

// loading is one question to the database, and all who wait for its answer.
type loading struct {
	done chan struct{}
	ring *ring
	err  error
}

// New returns the keys of all organizations of a database; the context of each call says whose are meant.
func New(db *storage.DB, o Options) *Keys {
	if o.CacheFor <= 0 {
		o.CacheFor = DefaultCacheFor
	}
	return &Keys{db: db, cacheFor: o.CacheFor, rings: make(map[uuid.UUID]*slot)}
}

// Sign returns a compact JWS on claims, by the organization's active key for alg. typ goes into the header as it is.
func (k *Keys) Sign(ctx context.Context, alg, typ string, claims any) (string, error) {
	if !contains(Algorithms(), alg) {
		return "", fmt.Errorf("%w for %q", ErrNoKey, alg)
	}
	r, err := k.ring(ctx)
	if err != nil {
		return "", err
	}
	key := r.active(alg, time.Now())
	if key == nil {
		// It may have been made a moment ago, for the client that this is for.
		if r, err = k.ringWithin(ctx, 0, 0); err != nil {
			return "", err
		}
		key = r.active(alg, time.Now())
	}
	if key == nil {
		return "", fmt.Errorf("%w for %q", ErrNoKey, alg)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("write claims: %w", err)
	}
	m, err := key.material()
	if err != nil {
		return "", err
	}
	return m.compact(typ, payload)
}

// JWKS returns the organization's JWK Set (RFC 7517 §5) as it is served, and a strong entity tag for it. The bytes are
// shared: nobody changes them.
func (k *Keys) JWKS(ctx context.Context) (body []byte, etag string, err error) {
	r, err := k.ring(ctx)
	if err != nil {
		return nil, "", err
	}
	set, err := r.set()
	if err != nil {
		return nil, "", err
	}
	return set.jwks, set.etag, nil
}

// Algs returns the algorithms that clients of the organization can be signed for: those that it has an active key for, and those whose key is
// made for the first of them.
func (k *Keys) Algs(ctx context.Context) ([]string, error) {
	r, err := k.ring(ctx)
	if err != nil {
		return nil, err
	}
	var algs []string
	now := time.Now()
	for _, alg := range Algorithms() {
		if r.active(alg, now) != nil || !contains(CommonAlgorithms(), alg) {
			algs = append(algs, alg)
		}
	}
	return algs, nil
}

// Verify checks that a token was signed by the organization of ctx, with one of algs, and is of one of the types named: those
// that keep an ID token from passing for an access token (RFC 8725 §3.11). Keys that have been rotated out verify as well, for
// hints are older than keys; those that have been revoked do not. A token that is refused is an ErrToken.
//
// Whether the token has expired, and whom it is for, the caller asks of the claims.
func (k *Keys) Verify(ctx context.Context, token string, algs []string, typ string, otherTypes ...string) (*Token, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	t, err := parseCompact(token, intersect(algs, Algorithms()))
	if err != nil {
		return nil, err
	}
	if t.typ != typ && !contains(otherTypes, t.typ) {
		return nil, refuse("it is of another type")
	}
	r, err := k.ring(ctx)
	if err != nil {
		return nil, err
	}
	public, err := r.public(t.kid, t.alg)
	if err != nil {
		return nil, err
	}
	if public == nil {
		if public, err = k.past(ctx, t.kid, t.alg); err != nil {
			return nil, err
		}
	}
	if !t.lowest(public) {
		return nil, refuse("its signature is not in the form that is made here")
	}
	payload, err := t.verify(public)
	if err != nil {
		return nil, err
	}
	if !org.Own(t.claims.Text("iss")) {
		return nil, refuse("it is of another issuer")
	}
	return &Token{Alg: t.alg, Typ: t.typ, KID: t.kid, Payload: payload, Claims: t.claims}, nil
}

// past finds a key that is no longer published, or not at hand yet. A hint may be as old as a session; its key is asked for
// one by one, for hints that old are rare.
func (k *Keys) past(ctx context.Context, kid, alg string) (crypto.PublicKey, error) {
	row, err := k.db.SigningKey(ctx, kid)
	if errors.Is(err, storage.ErrNotFound) || err == nil && row.Alg != alg {
		return nil, refuse("its key is not one of the organization's")
	}
	if err != nil {
		return nil, fmt.Errorf("load signing key: %w", err)
	}
	m, err := parseMaterial(row.KID, row.Alg, row.PrivateJWK)
	if err != nil {
		return nil, err
	}
	return m.public, nil
}

func intersect(a, b []string) (both []string) {
	for _, text := range a {
		if contains(b, text) {
			both = append(both, text)
		}
	}
	return both
}

func contains(texts []string, text string) bool {
	for _, t := range texts {
		if t == text {
			return true
		}
	}
	return false
}

// ring returns the organization's keys: those at hand if they are fresh, else those that the database holds now. However many
// ask at once, one of them asks the database.
func (k *Keys) ring(ctx context.Context) (*ring, error) {
	return k.ringWithin(ctx, k.cacheFor, staleFor)
}

// ringWithin is ring, with an age that keys at hand may have, and how much more than that while somebody asks already.
func (k *Keys) ringWithin(ctx context.Context, age, stale time.Duration) (*ring, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	s := k.slot(org.ID)
	for attempt := 0; ; attempt++ {
		r, wait, start := s.look(age, stale)
		switch {
		case r != nil:
			return r, nil
		case start:
			return k.load(ctx, s, wait)
		}
		select {
		case <-wait.done:
			// The one who asked may have failed for a reason of its own, such as a transaction that was rolled back.
			if wait.err == nil || attempt > 0 || errors.Is(wait.err, storage.ErrUnavailable) {
				return wait.ring, wait.err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (k *Keys) slot(org uuid.UUID) *slot {
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.rings[org]
	if s == nil {
		if len(k.rings) >= maxRings {
			k.evict(now)
		}
		s = &slot{}
		k.rings[org] = s
	}
	s.used = now
	return s
}

// evict makes room: what nobody asked for lately goes, and if that is nothing, what comes to hand. It costs the next who asks
// one look-up.
func (k *Keys) evict(now time.Time) {
	for org, s := range k.rings {
		if now.Sub(s.used) > idleRing {
			delete(k.rings, org)
		}
	}
	for org := range k.rings {
		if len(k.rings) < maxRings*3/4 {
			return
		}
		delete(k.rings, org)
	}
}

// look returns a ring that may be used, or the question that is under way, or one that the caller is to ask.
func (s *slot) look(fresh, stale time.Duration) (r *ring, l *loading, start bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	age := time.Since(s.asked)
	if s.ring != nil && (age < fresh || (s.loading != nil && age < fresh+stale)) {
		return s.ring, nil, false
	}
	if s.loading != nil {
		return nil, s.loading, false
	}
	s.loading = &loading{done: make(chan struct{})}
	return nil, s.loading, true
}

// load asks the database. It runs in the goroutine of the caller, whose transaction it may join, but does not end when the
// caller's patience does: others wait for the answer.
func (k *Keys) load(ctx context.Context, s *slot, l *loading) (*ring, error) {
	asked := time.Now()
	l.err = errors.New("load signing keys: interrupted") // what the others get if this panics
	defer func() {
		s.mu.Lock()
		s.loading = nil
		if l.err == nil {
			s.ring, s.asked = l.ring, asked
		}
		s.mu.Unlock()
		close(l.done)
	}()
	detached := context.WithoutCancel(ctx)
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		detached, cancel = context.WithDeadline(detached, deadline)
		defer cancel()
	}
	s.mu.Lock()
	before := s.ring
	s.mu.Unlock()
	l.ring, l.err = k.read(detached, before, asked)
	return l.ring, l.err
}

func (k *Keys) read(ctx context.Context, before *ring, now time.Time) (*ring, error) {
	rows, err := k.db.SigningKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("load signing keys: %w", err)
	}
	return newRing(rows, before, now), nil
}
