// Package config finds out how this process is meant to run.
//
// It owns the keys (one table: name, environment variable, flag, default, meaning), where their values come from (flags, then
// the environment, then keizer.yaml, then defaults) and which values go together: without an issuer the process is in
// development, with one it is in production and everything it needs must be there. Whoever is wrong is told everything that
// is, at once. It also owns the file that holds the master key in development.
//
// It does not own what an administrator edits per organization: that lives in the database. Nothing reads the environment
// behind its back.
package config
