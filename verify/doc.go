// Package verify is a device's side: bytes in, verdict out. Most callers need
//
//   - [CheckSidecar], which says whether a proof shows that one file is logged and
//     witnessed, and
//   - [NewClient], the whole TUF client workflow (TUF 5.3 to 5.7) with that question in
//     front of everything that becomes trusted. What it remembers between two runs is a
//     [State]; [Pin] makes the first one from the root that a device was given.
//
// What a device asks for, beyond the trust policy of package proofs, stands in an
// [InstallPolicy]. A file that is not accepted is a [Refusal] with a code (codes.go).
//
// The package does no input or output, and it never asks for the time. It has none of the
// rules by which a log admits what it is sent: those are package admit's.
package verify
