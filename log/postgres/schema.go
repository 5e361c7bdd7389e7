package postgres

import "embed"

// The schema of the database is what the migrations make, one after the other (migrate.go).
// The schemas of the SQLite files are in log/sqlite/schema.go, audit/state/schema.go and
// witness/sqlite/schema.go.

// migrations are files named by version, from 0001 on without a gap. A file that
// has been released is never changed: add another.
//
//go:embed migrations/*.sql
var migrations embed.FS

// stateSchema makes an empty derived state.
//
//go:embed state.sql
var stateSchema string

// frontEndsTable makes the table, as a migration has made it.
//
//go:embed migrations/0006_front_ends.sql
var frontEndsTable string
