// Package tuf reads TUF metadata strictly. Begin with [Parse], which reads a file, and
// with [Metadata.Meets], which checks that enough keys of a role signed it. A role's keys
// are a [KeySet], from the root ([Root.KeySet]) or from a delegation ([Delegations.Find]).
// The package knows about TUF and nothing about logs.
//
// # Metadata
//
// A file of TUF metadata is JSON: {"signatures": [...], "signed": {...}} and
// nothing else. The payload, which the signatures cover, is the canonical JSON
// of "signed". ParseJSON reads a file in one strict pass that decodes it and
// prints its payload together. It refuses everything that two readers could
// understand differently:
//
//   - an object that repeats a name, or has one that differs only in case from
//     a name that the TUF specification defines for that place
//   - null anywhere but inside a target's custom
//   - numbers other than integers of 64 bits without leading zeros, and -0
//   - invalid UTF-8, unpaired surrogates, anything but white space after the end
//   - nesting deeper than MaxDepth, and counts above the other limits
//   - a missing field that the specification requires
//
// Names that the specification does not define are kept: they are part of the
// payload, and ignored otherwise. Two things that the specification requires may
// be absent because real files lack them: the length of a target and the
// terminating of a delegation (then false).
//
// # Signatures
//
// A file meets a role's threshold when that many distinct public keys of the role
// signed its payload. One public key counts once, under however many ids and in
// any spelling, and one signature counts once. A key of an unknown type, a key
// that cannot be read, an id that names no key and a signature that is empty or
// not hexadecimal do not count, but do not make the file invalid. For a large
// payload, only as many signatures are checked as cover MaxSigned bytes together.
//
//	keytype                    scheme               keyval.public
//	ed25519                    ed25519              32 bytes in hex, not a point of small order
//	ecdsa (or like its scheme) ecdsa-sha2-nistp256  PEM, or a point or SubjectPublicKeyInfo in hex
//	                           ecdsa-sha2-nistp384  the same
//	rsa                        rsassa-pss-sha256, rsassa-pss-sha384,
//	                           rsassa-pss-sha512, rsa-pkcs1v15-sha256   PEM, 2048 to 8192 bits
//	ml-dsa                     ml-dsa-44/1, ml-dsa-65/1, ml-dsa-87/1    PEM (TAP 21)
package tuf
