// Package migrations brings a database to the schema that this binary was built for.
//
// It owns the SQL of the schema, a set per dialect, forward only, and how it is applied: once, however many replicas start
// at the same moment, and each migration wholly or not at all, so that a process killed half-way leaves nothing to mend by
// hand. It does not open databases and knows no row types: that is storage.
//
// The PostgreSQL set keeps to what CockroachDB and YugabyteDB have as well: no SERIAL, triggers, enumerated types,
// extensions, deferrable constraints or session advisory locks.
package migrations
