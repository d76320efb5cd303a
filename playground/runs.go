package playground

import (
	"crypto/rand"
	"encoding/base64"
	"sync"
	"time"

	"github.com/keizer-auth/keizer/internal/relyingparty"
	"github.com/keizer-auth/keizer/internal/secret"
)

const (
	runLifetime = time.Hour
	mostRuns    = 256 // a run holds some tens of kilobytes
)

// run is what one browser has asked and received. Its lock is held while the server is being talked to, so that two tabs
// do not spend one refresh token.
type run struct {
	mu sync.Mutex

	asked    asked
	client   *relyingparty.Client
	request  *relyingparty.Request // under way, until the callback comes
	sent     string                // the address that the browser was sent to
	callback []relyingparty.Field  // what the callback brought
	answered bool                  // and it was the right answer
	tokens   *relyingparty.Tokens
	idToken  *relyingparty.IDToken
	userinfo map[string]any
	rotation *rotation
	revoked  bool
	failure  *failure
	leaving  string // the state of a sign-out under way

	introspection map[string]any // of the access token
}

// rotation is what a refresh did to the refresh token.
type rotation struct {
	Before, After string // masked
	Rotated       bool
}

// failure is the step that did not succeed, and why.
type failure struct{ Step, Why string }

// runs are those of every browser, by the digest of its cookie.
type runs struct {
	mu   sync.Mutex
	held map[string]*heldRun
}

type heldRun struct {
	*run
	until time.Time
}

// of returns the run of a cookie, or nil.
func (r *runs) of(cookie string) *run {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.held[secret.Digest(cookie)]
	if h == nil || !time.Now().Before(h.until) {
		return nil
	}
	return h.run
}

// begin puts a fresh run in the place of the cookie's old one. The oldest makes room when there are too many.
func (r *runs) begin(cookie string) *run {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	oldest, first := "", time.Time{}
	for key, h := range r.held {
		if !now.Before(h.until) {
			delete(r.held, key)
			continue
		}
		if oldest == "" || h.until.Before(first) {
			oldest, first = key, h.until
		}
	}
	key := secret.Digest(cookie)
	if len(r.held) >= mostRuns && r.held[key] == nil {
		delete(r.held, oldest)
	}
	h := &heldRun{run: new(run), until: now.Add(runLifetime)}
	r.held[key] = h
	return h.run
}

// newCookie returns 256 random bits.
func newCookie() string {
	var random [32]byte
	rand.Read(random[:]) // never fails: crypto/rand ends the process instead
	return base64.RawURLEncoding.EncodeToString(random[:])
}
