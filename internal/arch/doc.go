// Package arch keeps the house as it was drawn: its tests read the source of the whole module and fail when an import runs
// upward, when a library is met outside its room, or when a habit of the house is broken.
//
// It owns the plan (floors, stairs, walls, habits) in a form that a machine checks; docs/architecture.md says the same to
// people. It does not own style, which is golangci-lint's, and has no code that ships.
package arch
