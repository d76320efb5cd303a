package throttle

import (
	"fmt"
	"net/netip"
	"time"
)

// Limit is how often something may be done: Burst times at once, and as often again in each Per.
type Limit struct {
	Name  string
	Burst int
	Per   time.Duration
}

// Backoff is a limit that tightens: Free times at once, then a wait of First before the next time, and each wait four times
// the last, up to Most. Who has not tried for Forget begins anew.
type Backoff struct {
	Name                string
	Free                int
	First, Most, Forget time.Duration
}

// Waits are the waits after the last of Free tries and after each further one, up to the first of Most.
func (b Backoff) Waits() []time.Duration {
	const growth = 4
	var waits []time.Duration
	for wait := b.First; wait < b.Most; wait *= growth {
		waits = append(waits, wait)
	}
	return append(waits, b.Most)
}

// Wait is how long after the last of so many tries the next one is let in.
func (b Backoff) Wait(tries int) time.Duration {
	if tries < b.Free {
		return 0
	}
	waits := b.Waits()
	return waits[min(tries-b.Free, len(waits)-1)]
}

// Exceeded says that a limit was reached.
type Exceeded struct {
	// Name is that of the limit.
	Name string
	// RetryAfter is when there is room again.
	RetryAfter time.Duration
}

// Error implements error.
func (e *Exceeded) Error() string {
	return fmt.Sprintf("the limit %s is reached for another %s", e.Name, e.RetryAfter.Round(time.Second))
}

// Network is whom an address stands for: itself, or for IPv6 the /64 that one subscriber has to himself.
func Network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return "unknown"
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	const subscriber = 64
	prefix, err := ip.Prefix(subscriber)
	if err != nil {
		return "unknown"
	}
	return prefix.String()
}
