package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/outbound"
)

// What can go wrong. What the cause is stands in the chain, for the operator's log alone.
var (
	// ErrDown: the provider does not answer, or not in time.
	ErrDown = errors.New("the provider does not answer")
	// ErrRefused: the provider does not vouch for the sign-in.
	ErrRefused = errors.New("the provider has refused")
	// ErrEnded, which is an ErrRefused: what the provider has given is good no more, and it gives nothing until its person is there again.
	ErrEnded = errors.New("the person has to sign in there again")
	// ErrUntrusted: the provider has answered what cannot be believed.
	ErrUntrusted = errors.New("what the provider answers cannot be believed")
)

func down(format string, a ...any) error {
	return fmt.Errorf("%w: %w", ErrDown, fmt.Errorf(format, a...))
}
func refused(format string, a ...any) error {
	return fmt.Errorf("%w: %w", ErrRefused, fmt.Errorf(format, a...))
}
func untrusted(format string, a ...any) error {
	return fmt.Errorf("%w: %w", ErrUntrusted, fmt.Errorf(format, a...))
}

const (
	// patience is for everything that is asked of a provider while somebody waits for a page. Each answer has outbound.DefaultTimeout.
	patience = 4500 * time.Millisecond
	// maxDocument bounds metadata and keys, maxAnswer everything else, in bytes.
	maxDocument = 256 << 10
	maxAnswer   = 64 << 10
	// maxKnown bounds how many providers are remembered.
	maxKnown = 10_000
)

// Upstream speaks to providers. It is safe for concurrent use, and remembers what it has learned of them for a while: nothing that a
// second process would have to know.
type Upstream struct {
	documents, answers *http.Client

	mu    sync.Mutex
	known map[uuid.UUID]*known
}

// known is what is remembered of a provider.
type known struct {
	metadata remembered[*metadata]
	keys     remembered[*keySet]
	breaker  breaker
	seen     time.Time
}

// New returns an Upstream that asks as the client does.
func New(client *outbound.Client) *Upstream {
	return newUpstream(client.HTTP(maxDocument), client.HTTP(maxAnswer))
}

// newUpstream lets a test choose who is asked.
func newUpstream(documents, answers *http.Client) *Upstream {
	return &Upstream{documents: documents, answers: answers, known: make(map[uuid.UUID]*known)}
}

// of is what is remembered of a provider, whatever that is so far.
func (u *Upstream) of(id uuid.UUID) *known {
	u.mu.Lock()
	defer u.mu.Unlock()
	k := u.known[id]
	if k == nil {
		if len(u.known) >= maxKnown {
			u.forget()
		}
		k = &known{metadata: newRemembered[*metadata](), keys: newRemembered[*keySet]()}
		u.known[id] = k
	}
	k.seen = time.Now()
	return k
}

// forget drops those that nobody has asked for lately, and whichever others it takes.
func (u *Upstream) forget() {
	for id, k := range u.known {
		if time.Since(k.seen) > metadataFor {
			delete(u.known, id)
		}
	}
	for id := range u.known {
		if len(u.known) < maxKnown*3/4 {
			return
		}
		delete(u.known, id)
	}
}

// attempt asks a provider for something while somebody waits: within patience, unless it is known not to answer, and no more often at
// once than there are places. tells says whether success tells that it answers: what is remembered does not.
func (u *Upstream) attempt(ctx context.Context, p *Provider, tells bool, ask func(context.Context, *known) error) error {
	k := u.of(p.ID)
	if err := k.breaker.enter(time.Now(), tells); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := ask(waiting, k)
	if err != nil && ctx.Err() != nil {
		k.breaker.leave(time.Now(), nil, false) // whoever asked has gone: that says nothing of the provider
		return ctx.Err()
	}
	k.breaker.leave(time.Now(), err, tells)
	return err
}

// breaker leaves a provider alone for a while that has not answered several times in a row, so that nobody waits for it in vain. Then
// one try shows whether it is back.
type breaker struct {
	mu       sync.Mutex
	failures int
	until    time.Time
	inside   int
}

const (
	breakAfter = 3
	breakFor   = 30 * time.Second
	// places is how many may wait for one provider at once.
	places = 64
)

func (b *breaker) enter(now time.Time, tells bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.inside >= places:
		return down("%d are waiting for it already", b.inside)
	case b.failures >= breakAfter && now.Before(b.until):
		return down("it did not answer %d times in a row, and is left alone for now", b.failures)
	case b.failures >= breakAfter && tells:
		b.until = now.Add(breakFor) // this one tries; the others wait for what comes of it
	}
	b.inside++
	return nil
}

func (b *breaker) leave(now time.Time, err error, tells bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inside--
	switch {
	case errors.Is(err, ErrDown):
		b.failures++
		b.until = now.Add(breakFor)
	case err != nil || tells: // whatever it has answered, it does answer
		b.failures = 0
	}
}

// answered notes that it does.
func (b *breaker) answered() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = 0
}

// remembered is something that was fetched. Whoever needs it and finds it too old fetches it, one at a time.
type remembered[T any] struct {
	turn chan struct{} // who holds it may look and fetch
	from string        // where it was fetched
	what T
	at   time.Time
	// tried is when it was fetched last, whatever came of that, and err what did.
	tried time.Time
	err   error
}

func newRemembered[T any]() remembered[T] { return remembered[T]{turn: make(chan struct{}, 1)} }

// use hands what is remembered of an address to look, which says what it finds. If it finds nothing, or there is nothing, it is
// fetched, unless that was tried lately. It is used up to fresh; when it cannot be had anew, up to stale.
func (r *remembered[T]) use(ctx context.Context, address string, fresh, stale, again time.Duration,
	fetch func(context.Context, string) (T, error), look func(T) bool,
) error {
	select {
	case r.turn <- struct{}{}:
	case <-ctx.Done():
		return down("waiting for %s: %w", address, ctx.Err())
	}
	defer func() { <-r.turn }()
	if r.from != address {
		var none T
		r.from, r.what, r.at, r.tried, r.err = address, none, time.Time{}, time.Time{}, nil
	}
	age := time.Since(r.at)
	if !r.at.IsZero() && age < fresh && look(r.what) {
		return nil
	}
	if r.tried.IsZero() || time.Since(r.tried) >= again {
		// Detached, within bounds of its own: whoever hangs up has not spoilt it for the others.
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), outbound.DefaultTimeout)
		what, err := fetch(bounded, address)
		cancel()
		r.tried, r.err = time.Now(), err
		if err == nil {
			r.what, r.at, age = what, r.tried, 0
		}
	}
	switch {
	case !r.at.IsZero() && age < stale && look(r.what):
		return nil
	case r.err != nil:
		return r.err
	}
	return untrusted("%s has not what is looked for", address)
}
