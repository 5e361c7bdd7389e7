// Package drop judges files that a stranger has at hand: bytes in, verdict out. Judge takes
// files (metadata and the proofs beside them, and files that releases list), a trust policy
// and the time, and says in words and with the codes of package verify what they prove and
// what they do not. It is all that audit/page/wasm runs in a visitor's browser, so it is pure:
// no network, no disk, no clock.
//
// What can be proved depends on what is there:
//
//   - metadata with its proof: the release is in a log of the policy, and a quorum of its
//     witnesses has seen it there (verify.CheckSidecar);
//   - a file with such metadata: the release lists it, by hash;
//   - root, timestamp and snapshot as well: a device with that root would accept all of
//     it at that time (verify.Refresh).
//
// Whoever can put files into a folder can put in his own releases, and older ones, with right
// proofs. So the verdict is never better than what a device would do that is given exactly
// these files: the worst result counts, a device alone says which targets it installs, and what
// is of a repository that the visitor has not named is not accepted.
//
// Nothing is looked up. A file alone is hashed and nothing else.
package drop
