package throttle

import (
	"sync"
	"time"
)

// mostSubjects bounds how many subjects one process counts by itself: about a megabyte.
const mostSubjects = 10_000

// Local counts one limit in this process alone. It stands in front of the count that replicas share, so that what comes in great
// numbers costs no question to the database each, and in its place when the database does not answer. It is safe for concurrent use.
type Local struct {
	limit Limit
	mu    sync.Mutex
	// busy is when the bucket of each subject is empty.
	busy map[string]time.Time
}

// NewLocal returns a count of a limit.
func NewLocal(limit Limit) *Local { return &Local{limit: limit, busy: make(map[string]time.Time)} }

// Take uses the limit once for a subject, or says that it is used up.
func (l *Local) Take(subject string) error {
	now, step := time.Now(), l.limit.Per/time.Duration(l.limit.Burst)
	l.mu.Lock()
	defer l.mu.Unlock()
	until := l.busy[subject]
	if until.Before(now) {
		until = now
	}
	until = until.Add(step)
	if over := until.Sub(now) - l.limit.Per; over > 0 {
		return &Exceeded{Name: l.limit.Name, RetryAfter: over}
	}
	if _, there := l.busy[subject]; !there && len(l.busy) >= mostSubjects {
		l.forget(now)
	}
	l.busy[subject] = until
	return nil
}

// forget makes room: of who is empty, or else of everybody. To count anew is better than to refuse who has done nothing.
func (l *Local) forget(now time.Time) {
	for subject, until := range l.busy {
		if !until.After(now) {
			delete(l.busy, subject)
		}
	}
	if len(l.busy) >= mostSubjects {
		clear(l.busy)
	}
}
