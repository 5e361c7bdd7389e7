// Package fraud has the files that prove a party false with nothing but public keys.
// Begin with [Conflict.Check], which says who signed two histories of one log, and
// [NewConflict], which makes the proof of two signed checkpoints.
//
// There are three things to prove, of which two are files:
//
//   - A [Conflict] is two checkpoints of one log that cannot both be true.
//   - A [Rollback] is two checkpoints of which a party signed the smaller one later.
//   - An [Accusation] is a container for everything else: checkpoints, and entries that
//     [Span] shows in their tree. Package audit/evidence knows what its kinds prove.
//
// As in package proofs, every format has one spelling, nothing is opened, and a party
// with a signature that does not verify is never accused.
package fraud
