// Package index keeps the derived state of a log up to date: its releases and the target
// files that they list. [Open] returns the [Indexer] that a log runs; [NewLevel] is for a
// process that only reads the state. [Scan] reads all entries of a log in order, with their
// files.
package index
