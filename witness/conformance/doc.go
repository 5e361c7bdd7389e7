// Package conformance tests a witness over HTTP against the rules of
// c2sp.org/tlog-witness and c2sp.org/tlog-cosignature, and the parts of
// c2sp.org/signed-note and c2sp.org/tlog-checkpoint that they rely on.
//
// The suite acts as a log. Its tree is made only from entry numbers, so a later
// run with the same key continues from the witness's last checkpoint:
//
//	tuflog witness conformance
//	entry 17
//	branch 0
//
// The branch of an entry is 0, or 1 in the false histories that a witness must
// refuse. If two requests race, the witness may rightly cosign either; a later
// run needs the numbers of the entries that ended up on branch 1
// (Config.Branches).
//
// Cases are numbered and run in order, but the order matters little: each begins from the checkpoint that the witness
// cosigned last and checks, after a refusal, that this has not changed. The first few need a log that the witness has
// never cosigned, and each needs another one if the witness cosigns by mistake (Config.First). A checkpoint that a
// faulty witness may accept by mistake is always of a tree that the suite has, so that later cases can continue from
// it.
//
// # Verdicts
//
// A case passes, fails, is noted, or is skipped with a reason. It fails only if the
// witness has broken a sentence, which is in the result. Its level is that of the
// sentence: MUST, SHOULD or MAY for the witness, or FORM where the sentence binds the
// sender of a request.
//
// If the specification names a status, only that status passes. It does not name one for
// malformed requests: there every 4xx passes, and 5xx is noted. A witness that cosigns a
// malformed request is lenient, which is noted, unless that breaks a sentence for
// witnesses: it has signed without a proof or signature that verifies, or accepted data
// that a decoder MUST reject.
package conformance
