// Package audited keeps, beside the newest checkpoint of a log, the newest one that its
// auditors have cosigned as well: [Open], and [Keeper.Run] beside the log. What is kept then
// is [Keeper.Newest]; it is served as /checkpoint/audited, with proofs of the entries below it.
//
// An auditor cosigns a checkpoint after it was published, once it has judged every leaf and
// holds every file, and shows it where a witness shows its newest (c2sp.org/tlog-witness, the
// monitoring prefix). A Keeper looks there; it never makes a publication wait. All that comes
// from there is verified: the log's own signature, the auditor's, that the published tree
// begins with the tree, and the whole note by the policy that devices have.
package audited
