// Package nearest finds the name that somebody meant who mistyped it.
//
// It owns the measure of nearness and nothing else: which names there are, and what to say, is the caller's.
package nearest
