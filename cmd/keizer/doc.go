// Command keizer is an OAuth 2.0 authorization server and OpenID Connect provider, and the tool that operates it.
//
// It owns the process: commands and their flags, the terminal (tables, JSON, a password without echo), signals and exit codes
// (0 done, 1 failed, 2 asked for wrongly, 3 not found, 4 in conflict with what is there). A command reads its flags, has one
// room of the house do the deed, and prints what came of it; with --server it has another process do it, through the management API
// (remote.go). What deeds there are and when they are valid is package manage's to say; what is served is package server's.
package main
