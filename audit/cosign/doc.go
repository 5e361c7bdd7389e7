// Package cosign puts an auditor's name under checkpoints: audited cosignatures. [Create]
// makes the keys, the state and the ledger; [Open] opens them, and [Cosigner.Step] cosigns
// the newest checkpoint of a log if the auditor may. [Cosigner.Handler] serves the result
// as a witness does (the monitoring prefix of c2sp.org/tlog-witness).
//
// # What an audited cosignature says
//
// The form is a witness's: cosignature/v1 with Ed25519, or ML-DSA-44. It says what a
// witness's says, that this is the largest tree of the log that the key has signed and
// that it continues the ones before, and two things more:
//
//   - the auditor has judged every leaf of the tree by the rules of admission, and found
//     nothing that the log answers for (audit.Standing);
//   - it holds every file that a leaf names, in a verified copy (package mirror) of exactly
//     that tree.
//
// It does not say that a release is harmless, that its vendor meant it, or that a vendor
// did not sign two payloads under one version: equivocation is a vendor's, and in the log
// for everybody to see.
//
// # When it stops
//
// An outage stops nothing for good: while something could not be checked, nothing is
// signed, and signing goes on by itself when it was. A finding that the log answers for is
// a latch. It is durable, names the finding, and lasts until a person resumes with a
// reason, even if the finding is gone by then. The person takes the findings of the latch
// upon themselves: the ones that last do not stop the log again, and every finding that
// was accepted so is listed, with the reason, where the cosignatures are served. A file
// that is not there is never accepted: the copy must be whole in any case.
//
// # What is remembered
//
// The cosigner is a witness inside: package witness checks that a tree continues the one
// before, that time does not run back and that the clock can be trusted, and stores before
// it signs. Its state (witness/sqlite) is in one directory and its ledger (witness/ledger)
// in another one. One that was restored from a backup is behind the other, and the
// cosigner stops for the logs that it concerns; so it does if the ledger is missing, and if
// the log shows a cosignature of the auditor (/checkpoint/audited) that the state does not
// know. Without its state it does not open.
package cosign
