// Package client asks gates (package gate) to sign the timestamp of a repository. Most callers
// need
//
//   - [ReadStaged], which reads a repository that is to be published from a folder,
//   - [Collect], which asks gates for as many signatures as its timestamp lacks, and
//   - [Merge], which puts them into timestamp.json without touching what they sign.
//
// [NewPlan] says what a root has to change for gates to be needed. A signature is verified
// before it is used: a gate can refuse and be late, and nothing else.
package client
