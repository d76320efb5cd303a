// Package throttle says how often something may be done, and when again.
//
// It owns the limits, as leaky buckets: what fits in at once, and in what time it drains; and the refusal. It does not own where
// the levels are kept, which is storage, shared by all replicas; nor which subjects a limit is counted for, which is with whoever
// asks.
package throttle
