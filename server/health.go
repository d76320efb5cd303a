package server

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keizer-auth/keizer/storage"
)

// health answers whether this process lives, and whether it should be sent requests.
type health struct {
	db       *storage.DB
	draining atomic.Bool

	mu      sync.Mutex
	checked time.Time
	err     error
}

// readyCacheTime keeps a probing load balancer from becoming load.
const readyCacheTime = time.Second

// readyTimeout is how long the database may take to say that it is there.
const readyTimeout = 2 * time.Second

// live serves GET /livez: the process answers, whatever else is wrong.
func (h *health) live(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok") }

// ready serves GET /readyz: the database answers, and the process is not on its way out.
func (h *health) ready(w http.ResponseWriter, r *http.Request) {
	switch {
	case h.draining.Load():
		plain(w, http.StatusServiceUnavailable, "draining")
	case h.database(r.Context()) != nil:
		plain(w, http.StatusServiceUnavailable, "database unavailable")
	default:
		plain(w, http.StatusOK, "ok")
	}
}

func (h *health) database(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.checked.IsZero() && time.Since(h.checked) < readyCacheTime {
		return h.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTimeout)
	defer cancel()
	h.err = h.db.Ping(ctx)
	h.checked = time.Now()
	return h.err
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // a probe that has gone is told nothing
}
