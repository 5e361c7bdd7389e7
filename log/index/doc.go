// Package index keeps the derived state of a log up to date: which releases there are and
// which target files they list. [Open] returns the [Indexer] that a log runs; [NewLevel] is
// for a process that only reads the state. [Scan] reads the entries of a log in order, with
// their files, for whatever goes through all of them.
package index
