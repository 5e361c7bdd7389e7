// Package pigweed reads the TUF metadata of Pigweed's pw_software_update, which is in
// protobuf. Begin with [Parse], which reads one signed root or targets metadata, or with
// [ParseBundle], which reads an update bundle, and with [Bundle.Verify], which judges a
// bundle against what a device trusts. [Bundle.Embed] puts a sidecar into a bundle.
//
// Parse returns a *tuf.Metadata with the encoding tuf.Pigweed and not a type of its own: the
// rules about thresholds, versions and payloads are the same, and who counts keys twice
// could count them differently. What protobuf cannot give is absent: there are no members
// (tuf.Metadata.Member), no delegations, and Expires is the zero time, because Pigweed's
// metadata never expires. The device's order of checks is Pigweed's own, so it is here.
//
// # Metadata
//
// A file of metadata is a SignedRootMetadata or SignedTargetsMetadata, and its payload,
// which the signatures cover, the bytes in its field 1 as they stand. Which of the two it
// is says the role in CommonMetadata (field 4), which is read before anything else of the
// payload. Protobuf gives most messages many spellings, and readers differ in which they
// take. Parse refuses
//
//   - a tag, a length or a number that is not in its shortest spelling, groups, and the
//     field numbers that protobuf keeps for itself (19000 to 19999): a device stops there,
//     and would not see the targets behind
//   - a known field in another wire type, and a second one where there is to be one
//   - numbers outside of their type, a bool other than 0 and 1, invalid UTF-8
//   - a field beside payload and signatures under a number that an UpdateBundle has: the
//     file would be a bundle, too, of which this would be the timestamp
//   - a second key, key id of a role, target or signature under one name
//   - a key whose id is not the SHA-256 of its type, scheme and value
//   - a version of 0, a threshold of 0, a missing role and a missing requirement of the
//     signatures of root or targets
//
// Unknown fields stay where they are, byte for byte, and have no meaning. So do the fields
// that no verifier of Pigweed looks at: CommonMetadata's expires, and what RootMetadata
// requires of snapshot and timestamp. Fields may come in any order. The limits are those of
// tuf.ParseJSON, and hold before anything is built.
//
// # Signatures
//
// Pigweed's verifiers know ECDSA on P-256 with SHA-256, a key as uncompressed point of 65
// bytes, a signature as r and s of 32 bytes each. Keys of other types are kept and sign
// nothing. tuf.Signature has the signature in ASN.1, so that tuf.Metadata.Meets counts it:
// one public key once.
package pigweed
