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

// Exceeded says that a limit was reached.
type Exceeded struct {
	Limit Limit
	// RetryAfter is when there is room again.
	RetryAfter time.Duration
}

// Error implements error.
func (e *Exceeded) Error() string {
	return fmt.Sprintf("the limit %s is reached for another %s", e.Limit.Name, e.RetryAfter.Round(time.Second))
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
