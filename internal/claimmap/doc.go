// Package claimmap knows what an organization may have an application told of people besides the standard claims, or under other names: the
// form of such a rule, the names that none may take, and which rules are given where.
//
// It does not know people: what stands at a source is told by provider, which is the one place where a person becomes claims.
package claimmap
