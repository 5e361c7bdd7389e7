// Package audit replays a log and reports its findings. Begin with New, which takes a
// source and a policy, and with Auditor.Step, which reads and judges what is new;
// Auditor.Report says what was found.
//
// An Auditor reads the files that the log serves to everyone (checkpoint, entry
// bundles, tiles, blobs) and trusts none of them. Each Step
//
//   - opens the newest checkpoint under the policy: the log's signature and a
//     quorum of cosignatures;
//   - hashes every new entry onto its own right edge and compares the root with
//     the signed one, and on the way with every older checkpoint by the log
//     that it has seen, so that a fork is detected;
//   - compares the tiles served with those that the entries give;
//   - judges every new leaf again by the rules of package admit, over the files
//     that the leaf names: the decision must give exactly that leaf.
//
// No leaf is judged before the root over it has been recomputed, so every
// finding about the log's admission concerns entries that the log signed.
//
// What was judged is kept in a state (package state), from which the next process goes
// on. Without a state directory it is a temporary one, which begins at entry 0. One process
// has a directory at a time. Repositories are in memory as long as there is room: their
// leaves are read again from the state when they have new ones.
//
// # Findings
//
// A finding has a kind, a place and one plain sentence; its class names the party to
// blame. A failed fetch is an outage and never tampering, as long as it lasts: a
// missing file is requested in each step, and its repository is judged again when it is
// there. Until then, findings that the missing file could explain are withheld. A leaf
// that the rules do not give is not applied: leaves that build on it are then false
// admissions too.
//
// The evidence of what a log or a vendor signed is one file, as package evidence makes
// and checks it: fork.conflict, or KIND.accusation. What was served and not signed
// cannot be proved to others, and is kept as it came.
package audit
