// Package server puts the rooms together and keeps them running: it is the only one that knows them all.
//
// It owns the wiring (Boot, New), every route on one screen (routes.go), what happens around each request (middleware.go),
// which organization an address is for (tenants.go), health, background jobs, start and graceful end. It serves no protocol
// itself: provider, login and playground do.
package server
