// Package audit replays a log and says what it found.
//
// An Auditor reads what the log serves to everybody (checkpoint, entry bundles,
// tiles, blobs) and believes none of it. Each Step
//
//   - opens the newest checkpoint under the policy: the log's signature and a
//     quorum of cosignatures;
//   - hashes every new entry onto its own right edge and compares the root with
//     the signed one, and on the way with every older checkpoint that it has
//     seen the log sign, so that a fork shows;
//   - compares the tiles served with those that the entries give;
//   - judges every new leaf again by the rules of package verify, over the files
//     that the leaf names: the decision must give exactly that leaf.
//
// No leaf is judged before the root over it has been recomputed, so nothing that
// the log did not sign leads to a finding about the log's admission.
//
// Replay begins at entry 0 in every process. What lasts from one to the next, if
// a state directory is given, is the last verified checkpoint with its edge, of
// every tree that the log signed the note with the signatures of known keys, and the
// evidence of the findings. One process has the directory at a time. The state is
//
//	tuflog auditor state v1
//	3
//	gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
//	B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=
//
//	example.com/log
//	3
//	…
//
// that is a first line, the edge as package proofs prints it, an empty line, and
// the signed note.
//
// # Findings
//
// A finding has a kind, a place and one plain sentence; its class says who is to
// blame. What could not be fetched is an outage and never tampering, as long as it
// lasts: a missing file is asked for in each step, and its repository is judged again
// when it is there. Until then it hides what it could explain. A leaf that the rules do
// not give is not applied: what builds on it is then a false admission too.
//
// A fork is shown by fork.conflict, a proofs.Conflict that convinces anybody who has
// the log's key; where the log did not serve the tiles that it takes, by the two
// notes.
package audit
