// Package storagetest gives tests a real database, migrated and empty: SQLite in a folder of the test's own, and PostgreSQL.
//
// It owns where PostgreSQL comes from. KEIZER_TEST_POSTGRES may name a server by an administrator's URL; else the server
// that is installed on this machine is started once for the process, on a free port, as somebody who is not root, and is
// gone with the process however that ends. Where there is neither, tests that want PostgreSQL are skipped, unless
// KEIZER_TEST_REQUIRE says "postgres". KEIZER_TEST_ISOLATION may name another isolation level than PostgreSQL's default, such as
// serializable, at which every test passes as well.
package storagetest
