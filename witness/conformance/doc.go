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
// cosigned, each one of its own where the witness cosigns by mistake (Config.First). What a faulty witness accepts by
// mistake is always a checkpoint of a tree that the suite has, so that the cases
// after it can go on from there.
//
// # Verdicts
//
// A case passes, fails, is noted, or is skipped with a reason. It fails only by a
// sentence that the witness has broken, which stands in the result. Its level is that of
// the sentence: MUST, SHOULD or MAY for the witness, or FORM where the sentence binds the
// sender of a request.
//
// Where the specification names a status, no other passes. It names none for malformed
// requests: there every 4xx passes, and 5xx is noted. A witness that cosigns one is
// lenient, which is noted, unless it has broken a sentence of its own by it: has signed
// without a proof or a signature that verifies, or has taken what a decoder MUST reject.
package conformance
