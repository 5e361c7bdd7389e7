// Package conformance tests a witness over HTTP against the rules of
// c2sp.org/tlog-witness and c2sp.org/tlog-cosignature, and what they take from
// c2sp.org/signed-note and c2sp.org/tlog-checkpoint.
//
// The suite is a log. Its tree is made from nothing but entry numbers, so a
// later run with the same key goes on where the witness stands:
//
//	tuflog witness conformance
//	entry 17
//	branch 0
//
// The branch of an entry is 0, and 1 in the histories that the suite makes up to
// see them refused. Where two requests race, the witness may rightly cosign
// either; the numbers of entries that ended up on branch 1 are what a later run
// has to be told (Config.Branches).
//
// Cases are numbered and run in order, and the order matters little: each
// begins from what the witness cosigned last and checks, after a refusal, that
// this has not changed. The first few need a log that the witness has never
// cosigned and are skipped for another. What a faulty witness accepts by
// mistake is always a checkpoint of a tree that the suite has, so that the cases
// after it can go on from there.
//
// # Verdicts
//
// A case passes, fails, or is skipped with a reason. Its level, MUST or SHOULD,
// is that of the sentence that it quotes. Where the specification names a
// status, no other passes. It names none for malformed requests: there every 4xx
// passes, and answers of 200 or 5xx do not.
package conformance
