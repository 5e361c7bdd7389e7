// Package mirror copies a log into a directory that any static web server can serve as
// the log's URL, and that an auditor can read as a folder (package source). [Update]
// makes a copy, or brings one up to the log's newest checkpoint.
//
// The directory has the paths of docs/formats.md:
//
//	checkpoint                    the newest checkpoint that is copied
//	tile/0/x001/067, …            the tiles of hashes
//	tile/entries/x001/067, …      the bundles of entries
//	tile/files/x001/067, …        the packs of their files
//	blob/sha256/<hex>             every file by itself
//	notes/<size>                  each checkpoint that was copied, when it was the newest
//	missing                       the files that the log did not serve, one a line
//	mirror                        the mark: in an unmarked directory with something in it nothing is touched
//	fork.conflict                 if the log has shown another history: the proof of it
//
// and lock and tmp/, which belong to the process that writes.
//
// # What is promised
//
// Nothing is written under its name before it was verified against a checkpoint that the
// policy accepts: entries and tiles by the tree, files by their hash, a checkpoint by
// its signatures and by a tree that continues the one before. The checkpoint is replaced
// last, when everything that it covers is durable. So a process that is killed, or a
// machine that loses power, leaves a copy that is whole up to its checkpoint; the next
// Update goes on from there and keeps what it finds behind it and can verify.
package mirror
