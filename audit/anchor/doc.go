// Package anchor says how entries of a public ledger fit a log. Begin with [NewSearch], which
// takes the digests that stand in the ledger under the log's key and then the log's leaf
// hashes, and says which digests are note texts of the log's own tree, at whatever size. [Judge]
// makes a [Verdict] of that.
//
// An entry has the SHA-256 of a text and a signature, and not the text. A log signs the texts
// of its checkpoints before witnesses cosign them, and may never publish them, so a digest is
// looked for at every size from 0 on. One that is found shows nothing new. One that is not found
// may be of a tree that the log has yet to show: it is open. It is an orphan if a quorum of
// witnesses, by their times, has cosigned a tree of the log since the ledger took the entry.
//
// # What an orphan proves
//
// Nothing by itself. An honest log leaves no orphans. But anyone can make an entry under
// anyone's ECDSA key, of a digest that cannot be chosen and whose text nobody has: package
// audit/rekor shows how. So an orphan is a checkpoint of a history that the log hides, or a
// stranger's forgery. The text decides: with it the log's signature is bound to a tree, which
// proves a fork to everyone (fraud.Conflict). Of a forged digest there is none.
package anchor
