// Package client speaks c2sp.org/tlog-witness from the log's side: it asks
// witnesses for cosignatures on a checkpoint.
//
// # Protocol
//
// A log sends each witness its new checkpoint and a proof that it extends the
// last one this witness cosigned:
//
//	POST <submission prefix>/add-checkpoint
//
//	old 20852014
//	PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
//	jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
//
//	example.com/behind-the-sofa
//	20852163
//	CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//
//	— example.com/behind-the-sofa Az3grlgtzPICa5OS8npV…
//
// First comes the size of the tree that the witness cosigned last (0 if the log
// does not know), then the RFC 6962 consistency proof from there, one hash a
// line in base64, at most 63 of them; then an empty line and the checkpoint, a
// signed note. The witness answers 200 with its signature lines, or 409 with
// the media type text/x.tlog.size and the size that the proof should have
// started from, in decimal and a newline; every other status is an error.
//
// [Request] is that body, with one parser and one printer for both ends.
// [Client] makes one call to one witness and checks the answer.
// [Gatherer] asks all witnesses of a policy until its quorum is met.
package client
