// Package state is an auditor's memory: what lasts from one process to the next.
//
// [Open] opens the state in a directory for the process that writes it, and [NewView] for
// others that read it meanwhile: [View.At].
//
// A state is one SQLite database. What was judged is written in transactions that end
// between two leaves, with the edge of exactly the leaves that it has: a process that
// dies leaves the state of the last transaction, and the next one goes on from there.
// Nothing that is proportional to the log is read when a state is opened. The database
// has
//
//   - the right edge of the tree over the leaves that were judged, and the tiles at it
//     that are not full;
//   - the note of the newest checkpoint that was verified, and of every other that the
//     log signed; the newest also stands in a file beside the directory, DIR.newest, so
//     that a log and a state that go back together show;
//   - each leaf with its verdict, in columns from which its exact bytes are printed:
//     [DB.Check] prints them all and compares their root with the edge;
//   - what the findings remember of a repository, as named facts;
//   - the target files that a role's releases list, and the keys that they name for
//     roles: one row for a file or key and all successive releases that list it, so that
//     a release costs what it changes;
//   - the findings with their life: when each was seen first and last, that it is gone,
//     that somebody has acknowledged it;
//   - what repositories are listed by, and how many findings there are.
//
// A state without a directory is the same database in memory, and in a temporary file
// when it is large.
//
// Package state knows leaves and trees, and judges nothing: package audit does, which
// writes here. One process has a directory at a time; beside it, others may read it, and
// [Acknowledge] findings. A DB is not safe for concurrent use, and a View is.
//
// # Queries
//
// A DB and a View have the same queries, those of a [Reader]. [Reader.Files] finds target
// files by SHA-256, SHA-512, path or repository; [Reader.KeyUses] the roles that a key may or
// might sign; [Reader.Repositories] lists repositories; [Reader.Leaves], [Reader.LeavesOf] and
// [Reader.Naming] read leaves. What they say is true of the leaves that have been judged,
// [Reader.Size] of them.
//
// What a page shows is read in parts, each from an index, so that it costs the same in a log of
// a million leaves: [Reader.NewestLeaves], [Reader.ListRepositories], [Reader.ListFindings],
// [Reader.FindingCounts], [Reader.SearchFiles], [Reader.SearchKeys] and [Reader.Sizes].
//
// # Changes
//
// Each change of a finding has a number: that it came, went, came back or was acknowledged, in
// whatever process. [Reader.FindingsChanged] tells what changed since one, without reading
// the rest: the findings as they are now, each with the number of its last change (Changed)
// and how often it came (Episode). Whoever remembers the largest Changed that it was told
// misses nothing, also after a kill. A finding that came and went in between is told as gone.
package state
