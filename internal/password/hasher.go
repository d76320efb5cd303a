package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"
)

// None is stored for a user who has no password. No password verifies against it.
const None = "!"

// ErrBusy says that the queue is full or the wait was too long: a matter of the moment (503), not of the password.
var ErrBusy = errors.New("too many passwords are being checked at once")

// ErrMalformed says that a stored hash is none, or asks for more than any hash of ours would.
var ErrMalformed = errors.New("stored password hash is malformed or out of bounds")

// DefaultMemory is what a new hash takes where nobody has decided otherwise, in KiB: with the other costs it is one of the sets that
// OWASP names, about 30 ms on a small machine.
const DefaultMemory = 19456

// Options bound the work that is done at once, and say how much each piece of it is. Zero values mean the defaults.
type Options struct {
	Memory int           // what each new hash takes, in KiB: DefaultMemory
	Slots  int           // hashes at once: the cores, at most 4
	Queue  int           // callers that may wait for a slot: 64
	Wait   time.Duration // how long each of them does: 2 s
}

// A Hasher hashes in a bounded number of slots. It is safe for concurrent use.
type Hasher struct {
	current   params // what new hashes are made with
	slots     chan struct{}
	wait      time.Duration
	queue     int64
	waiting   atomic.Int64
	worked    atomic.Int64
	elsewhere atomic.Int64
	heavy     chan struct{}
	decoy     *stored // what is compared with for unknown users
}

// New returns a hasher.
func New(o Options) *Hasher {
	if o.Slots <= 0 {
		o.Slots = min(4, runtime.GOMAXPROCS(0)) // more would keep everything else waiting for its turn on a core
	}
	if o.Queue <= 0 {
		o.Queue = 64
	}
	if o.Wait <= 0 {
		o.Wait = 2 * time.Second
	}
	if o.Memory <= 0 {
		o.Memory = DefaultMemory
	}
	current := params{memory: uint32(min(o.Memory, maxMemory)), time: 2, threads: 1, salt: 16, tag: 32} //nolint:gosec // it is bounded
	h := &Hasher{current: current, slots: make(chan struct{}, o.Slots), heavy: make(chan struct{}, 1), queue: int64(o.Queue), wait: o.Wait}
	salt := make([]byte, current.salt)
	rand.Read(salt)
	h.decoy = &stored{made: current, matches: func(password string) bool {
		return subtle.ConstantTimeCompare(derive(password, salt, current), salt) == 1
	}}
	return h
}

// Hash returns the PHC string of a password. It does not judge the password: that is Check.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	if len(password) > MaxLength {
		return "", ErrTooLong
	}
	salt := make([]byte, h.current.salt)
	rand.Read(salt)
	leave, err := h.enter(ctx, false)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	defer leave()
	return format(h.current, salt, derive(password, salt, h.current)), nil
}

// Verify reports whether the password is the one that phc was made of, and, if it is, whether phc is outdated: made with
// other parameters than today's, so that it should be made anew while the password is at hand. Where phc is None or the
// password too long, the work is done all the same, so that the time tells nothing of the user.
func (h *Hasher) Verify(ctx context.Context, password, phc string) (ok, outdated bool, err error) {
	return h.VerifyIf(ctx, password, phc, nil)
}

// VerifyIf is Verify for where guesses are counted. It asks admit when it is the password's turn, and before any work: no more
// are counted at once than there are slots, so that people who come all together do not use one another's tries up. What admit
// does not let be looked at is not looked at, and takes as long; its error is returned as it is.
func (h *Hasher) VerifyIf(ctx context.Context, password, phc string, admit func(context.Context) (look bool, err error),
) (ok, outdated bool, err error) {
	hash, nobody := h.decoy, phc == None
	if !nobody {
		if hash, err = read(phc); err != nil {
			return false, false, fmt.Errorf("verify password: %w", err)
		}
	}
	return h.compare(ctx, password, hash, nobody, admit)
}

// PretendIf does the work of VerifyIf for whoever has no password, or does not exist: that of comparing with a hash of somebody else's,
// so that it takes as long as people's passwords take where many were brought in from elsewhere. Nothing ever matches. A hash that
// cannot be read, or none, stands for one of today's.
func (h *Hasher) PretendIf(ctx context.Context, password, like string, admit func(context.Context) (look bool, err error)) error {
	hash, err := read(like)
	if err != nil {
		hash = h.decoy
	}
	_, _, err = h.compare(ctx, password, hash, true, admit)
	return err
}

func (h *Hasher) compare(ctx context.Context, password string, hash *stored, nobody bool, admit func(context.Context) (look bool, err error),
) (ok, outdated bool, err error) {
	if len(password) > MaxLength {
		password, nobody = password[:MaxLength], true
	}
	leave, err := h.enter(ctx, hash.heavy)
	if err != nil {
		return false, false, fmt.Errorf("verify password: %w", err)
	}
	defer leave()
	look := true
	if admit != nil {
		if look, err = admit(ctx); err != nil {
			return false, false, err
		}
	}
	h.worked.Add(1)
	current := hash.made == h.current
	if !current {
		h.elsewhere.Add(1)
	}
	if matched := hash.matches(password); !matched || !look || nobody {
		return false, false, nil
	}
	return true, !current, nil
}

// Worked is how many passwords were compared with a hash, or with the decoy, since the start.
func (h *Hasher) Worked() int64 { return h.worked.Load() }

// Elsewhere is how many of those were compared with a hash that was made elsewhere, or long ago.
func (h *Hasher) Elsewhere() int64 { return h.elsewhere.Load() }

// Decoy does the work of Verify for a user who does not exist.
func (h *Hasher) Decoy(ctx context.Context, password string) error {
	_, _, err := h.Verify(ctx, password, None)
	return err
}

func derive(password string, salt []byte, p params) []byte {
	return argon2.IDKey([]byte(password), salt, p.time, p.memory, p.threads, p.tag)
}

// enter takes a slot, and returns how to leave it. Of the hashes from elsewhere that take much memory there is one at a time.
func (h *Hasher) enter(ctx context.Context, heavy bool) (leave func(), err error) {
	leave = func() { <-h.slots }
	if heavy {
		if err := h.take(ctx, h.heavy); err != nil {
			return nil, err
		}
		leave = func() { <-h.slots; <-h.heavy }
	}
	if err := h.take(ctx, h.slots); err != nil {
		if heavy {
			<-h.heavy
		}
		return nil, err
	}
	return leave, nil
}

// take takes a place at once, or waits in the queue for one.
func (h *Hasher) take(ctx context.Context, places chan struct{}) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case places <- struct{}{}:
		return nil
	default:
	}
	defer h.waiting.Add(-1)
	if h.waiting.Add(1) > h.queue {
		return ErrBusy
	}
	timeout := time.NewTimer(h.wait)
	defer timeout.Stop()
	select {
	case places <- struct{}{}:
		return nil
	case <-timeout.C:
		return ErrBusy
	case <-ctx.Done():
		return ctx.Err()
	}
}
