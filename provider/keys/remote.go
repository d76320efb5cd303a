package keys

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/outbound"
)

const (
	// remoteFor is how long a fetched JWK Set is used.
	remoteFor = 5 * time.Minute
	// fetchEvery is how often one is fetched at the most, whether the last time went well or not.
	fetchEvery = time.Minute

	maxRemotes = 10_000
)

// remoteKeys are the JWK Sets that clients publish at an address of theirs. However many assertions come, whatever keys they name, and
// whatever is encrypted, an address is asked once in fetchEvery.
type remoteKeys struct {
	client *outbound.Client

	mu   sync.Mutex
	sets map[remoteName]*remoteSet
}

// remoteName is of one client: what one fetches, another does not see, and neither uses up the other's fetch.
type remoteName struct {
	client uuid.UUID
	uri    string
}

type remoteSet struct {
	keys     []clientKey
	from     time.Time // when keys were fetched
	tried    time.Time // when a fetch was begun last
	err      error     // what it ended with
	fetching chan struct{}
}

// find returns those keys of a client that fit. None is not an error.
func (r *remoteKeys) find(ctx context.Context, name remoteName, fit func(clientKey) bool) ([]clientKey, error) {
	for {
		found, wait, err := r.look(ctx, name, fit)
		if wait == nil {
			return found, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// look returns what is known, or a channel that is closed when more may be.
func (r *remoteKeys) look(ctx context.Context, name remoteName, fit func(clientKey) bool) (found []clientKey, wait chan struct{}, err error) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	set := r.sets[name]
	if set == nil {
		if len(r.sets) >= maxRemotes {
			r.evict(now)
		}
		set = &remoteSet{}
		r.sets[name] = set
	}
	known := !set.from.IsZero() && now.Sub(set.from) < remoteFor
	if known {
		if found = filtered(set.keys, fit); len(found) > 0 {
			return found, nil, nil
		}
	}
	switch {
	case set.fetching != nil:
		return nil, set.fetching, nil
	case set.tried.IsZero() || now.Sub(set.tried) >= fetchEvery:
		set.tried = now
		set.fetching = make(chan struct{})
		// Detached: a client that hangs up must not spend the minute's fetch of all others.
		go r.fetch(context.WithoutCancel(ctx), set, name.uri)
		return nil, set.fetching, nil
	case known:
		return nil, nil, nil
	default:
		return nil, nil, set.err
	}
}

func filtered(keys []clientKey, fit func(clientKey) bool) []clientKey {
	return slices.DeleteFunc(slices.Clone(keys), func(k clientKey) bool { return !fit(k) })
}

func (r *remoteKeys) fetch(ctx context.Context, set *remoteSet, uri string) {
	began := time.Now()
	var keys []clientKey
	body, err := r.client.Get(ctx, uri, "application/jwk-set+json, application/json", maxJWKS)
	if err == nil {
		keys, err = parseClientJWKS(body, false)
	} else {
		err = fmt.Errorf("fetch jwks_uri: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	set.err = err
	if err == nil {
		set.keys, set.from = keys, began
	}
	close(set.fetching)
	set.fetching = nil
}

func (r *remoteKeys) evict(now time.Time) {
	for name, set := range r.sets {
		if set.fetching == nil && now.Sub(set.tried) > remoteFor {
			delete(r.sets, name)
		}
	}
	for name, set := range r.sets {
		if len(r.sets) < maxRemotes*3/4 {
			return
		}
		if set.fetching == nil {
			delete(r.sets, name)
		}
	}
}
