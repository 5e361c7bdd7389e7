// Package rekor anchors a log's checkpoints in Rekor, a public ledger that is run by others, and
// reads back what stands there under the log's key. Begin with New and Instance.Submit, which
// returns a Receipt; Receipt.Verify checks it offline, with keys alone. Instance.List and
// Instance.Scan yield every entry that a key signed.
//
// # What is anchored
//
// A log that signs with ECDSA P-256 signs the SHA-256 of a note's text, which is what Rekor's
// type hashedrekord holds: that digest, the signature, and the public key. So the signature of a
// checkpoint is an entry of Rekor as it stands, and anyone who has seen the checkpoint can submit
// it. Rekor does not see the note: the entry does not say which log, size or root it is of. A
// Receipt keeps the note beside the entry.
//
// # What an entry proves
//
// With the note beside it, an entry proves that the log signed that note, and that Rekor
// had it by then. Without the note it proves nothing about the log: Rekor verifies the
// signature of a digest, not of a text, and there are signatures under any ECDSA key that anyone
// can make without its private key, of digests that nobody can choose and of which nobody
// knows a text. Whoever finds an entry of which they know no note has a reason to ask for the note,
// not a proof. TestForgedEntry makes such an entry.
//
// Entries with SHA-384 or SHA-512 are passed over: of these digests P-256 signs the first 32
// bytes alone, so that anyone can append to a digest that the log signed. Anyone can also turn a
// signature (r, s) into the signature (r, -s) of the same digest: two entries of one digest are
// one anchor.
//
// # Rekor v1 and v2
//
// Version 1 (github.com/sigstore/rekor) has a search index, so that List can ask for the entries
// under a key. The index is not proved: a Rekor that leaves entries out of it is not caught. It
// promises the time at which it took an entry (integrated time), under its signature.
//
// Version 2 (github.com/sigstore/rekor-tiles) publishes tiles (c2sp.org/tlog-tiles) and has
// neither search nor times. Scan reads every entry from a Position on, and proves that the tree
// there has the tree that was read before as its beginning.
//
// # Trust
//
// Nothing that an instance answers is believed before it is verified by a key of Config.Keys:
// answers are bounded in size and time, redirects are not followed, and content coding is
// not requested. Receipts and entries are checked before Rekor's own pkg/verify sees them, which
// panics where a part is missing, and compares neither kind nor digest nor key.
package rekor
