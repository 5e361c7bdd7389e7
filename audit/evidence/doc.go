// Package evidence has the one format for accusations. Begin with [Check], which says what a
// file proves and against whom, given nothing but public keys; a [Log] makes such files
// from what a log serves.
//
// Evidence is a fraud.Conflict (two histories) or a fraud.Accusation, whose kinds are
// defined here. An accusation is proved only by what its file holds: signatures, proofs
// that a signed tree holds an entry, and files that the entries name by their hashes. What a
// party served and did not sign cannot be proved, and is no evidence.
//
// Whether an entry should be in a log can depend on all entries before it. The file then
// holds a span of the log in which nothing is left out: from the root that was in force, or
// from the first entry of the repository, to the accused entry. Where it does not, Check
// returns an [Unproved], which names the entries to replay.
//
// An honest log cannot be accused, whatever is put into a file: each kind is a contradiction
// among things that the accused itself signed, as docs/formats.md shows.
package evidence
