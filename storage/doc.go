// Package storage holds everything that Keizer remembers, in PostgreSQL or in SQLite.
//
// It owns the rows (a file per group of tables: the row type and what may be asked of it), tenancy (every question starts
// at scoped, which refuses to be asked without an organization, or at everywhere, whose callers a test counts),
// transactions (InTx), single use (a conditional UPDATE whose affected rows are read), the sealing of what must be read
// again, and the translation of every driver's errors into the few of errors.go. It does not own the schema, which is
// migrations, nor any rule of OAuth: it is told what to keep and for how long.
//
// Times are UTC, cut to the microsecond, and come from the application, never from the database. Whatever a stranger holds
// is looked up by its digest.
package storage
