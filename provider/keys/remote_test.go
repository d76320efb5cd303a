package keys

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/outbound"
)

func verifying(alg, kid string) func(clientKey) bool {
	return func(k clientKey) bool { return k.usable(alg, kid) }
}

// The clock is moved by moving what was noted of it: the fetches are real ones, which no pretended time waits for.
func (r *remoteKeys) age(by time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, set := range r.sets {
		set.tried = set.tried.Add(-by)
		if !set.from.IsZero() {
			set.from = set.from.Add(-by)
		}
	}
}

func TestAFetchedKeyIsRememberedAndAnUnknownOneAskedForOnceAMinute(t *testing.T) {
	first, second := mustGenerate(t, ES256), mustGenerate(t, ES256)
	var body atomic.Value
	body.Store(set(string(first.jwk)))
	var asked atomic.Int64
	var broken atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if broken.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Write(body.Load().([]byte))
	}))
	defer server.Close()
	r := remoteKeys{client: outbound.New(outbound.Options{AllowLoopback: true}), sets: make(map[remoteName]*remoteSet)}
	name := remoteName{uuid.New(), server.URL}
	expect := func(deed, kid string, keys int, failure bool, fetches int64) {
		t.Helper()
		asked.Store(0)
		found, err := r.find(t.Context(), name, verifying(ES256, kid))
		if len(found) != keys || (err != nil) != failure || asked.Load() != fetches {
			t.Errorf("%s: %d keys, %v, %d fetches", deed, len(found), err, asked.Load())
		}
	}
	expect("the first time", first.kid, 1, false, 1)
	expect("the second time", first.kid, 1, false, 0)
	expect("without a kid", "", 1, false, 0)
	body.Store(set(string(second.jwk)))
	expect("a new kid, too soon", second.kid, 0, false, 0)
	r.age(61 * time.Second)
	expect("the old kid, a minute later", first.kid, 1, false, 0)
	expect("the new kid, a minute later", second.kid, 1, false, 1)
	expect("the old kid, which is gone", first.kid, 0, false, 0)
	r.age(61 * time.Second)
	broken.Store(true)
	expect("an unknown kid while the address is broken", first.kid, 0, false, 1)
	expect("the known kid meanwhile", second.kid, 1, false, 0)
	r.age(5 * time.Minute)
	expect("when all is stale and the address broken", second.kid, 0, true, 1)
	broken.Store(false)
	expect("mended, too soon", second.kid, 0, true, 0)
	r.age(61 * time.Second)
	expect("mended, a minute later", second.kid, 1, false, 1)
	r.age(5 * time.Minute)
	expect("when it is stale", second.kid, 1, false, 1)

	// A client that hangs up takes nobody's fetch with him.
	name.uri += "/other"
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.find(gone, name, verifying(ES256, second.kid)); err == nil {
		t.Error("who hangs up gets no answer")
	}
	asked.Store(0)
	if found, err := r.find(t.Context(), name, verifying(ES256, second.kid)); err != nil || len(found) != 1 {
		t.Errorf("the next one: %d keys, %v", len(found), err)
	}
}

func TestWhatIsRememberedOfOthersIsBounded(t *testing.T) {
	r := remoteKeys{sets: make(map[remoteName]*remoteSet)}
	now := time.Now()
	for range maxRemotes {
		r.sets[remoteName{client: uuid.New()}] = &remoteSet{tried: now}
	}
	busy := remoteName{client: uuid.New()}
	r.sets[busy] = &remoteSet{tried: now, fetching: make(chan struct{})}
	r.evict(now)
	if len(r.sets) >= maxRemotes || r.sets[busy] == nil {
		t.Errorf("%d are left", len(r.sets))
	}

	k := New(nil, Options{})
	for range maxRings + 10 {
		k.slot(uuid.New())
	}
	if len(k.rings) > maxRings {
		t.Errorf("%d rings are kept", len(k.rings))
	}
}
