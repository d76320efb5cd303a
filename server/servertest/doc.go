// Package servertest puts up the whole house for a test: the real server on a real database, behind real HTTP, with people,
// clients, browsers and relying parties to walk through it.
//
// It owns nothing that runs in production. What a journey asserts stands in the journey.
package servertest
