// Package expect reads, writes and applies expectations: what a vendor says it will release.
// Begin with [Parse], which reads a signed note of expectations, and with
// [Expectations.Judge], which says whether a release is one of those that the note expects,
// and if not, what was the first thing that it does not. [Sign] makes such a note, and
// [Learn] proposes one from a history, for a person to edit and sign.
//
// A log shows that a release was made, and with which keys. It cannot show that it was meant
// to be made: a build system that was tricked signs with the right keys. A note of
// expectations is signed by a person with a key that the build system does not hold, before
// the release, and everything that it does not expect is unexpected.
//
// # Format
//
// The text of a note (c2sp.org/signed-note) is lines of ASCII in this order, each ending in a
// line feed:
//
//	tuflog expectations v1
//	repository 383dd0269e17de754ad61c05e2f9b813383dd0269e17de754ad61c05e2f9b813
//	version 7
//	from 2026-11-30T12:00:00Z
//	until 2027-02-28T12:00:00Z
//	base root 3 5f2c…
//	base targets 14 91ab…
//	release targets 15
//	file firmware.bin 123456 sha256:0c9d…
//	remove old/*
//	release targets any
//	release nightly next
//	paths nightly/*
//
// The version is the note's own, and rises. From and until are when it is in force, in
// UTC: from the first to before the second. A base is what a role had when the note was
// signed: its version and the SHA-256 of its payload; a role without one had nothing. Each
// release line begins what may be released of a role, and the lines after it, up to the next
// release line, are what such a release may change, or has to:
//
//	release ROLE VERSIONS    15, 15-18, 15- (from 15 on), next (one above what the role had) or any
//	payload HEX              exactly the payload with this SHA-256; no other line may follow
//	file PATH SIZE HASH,HASH [custom:HEX]
//	                         it lists PATH with none but these hashes, such as sha256:HEX, a
//	                         sha256 or sha512 among them, and this size in bytes, - for any; it must. custom:HEX is the SHA-256
//	                         of its custom data as canonical JSON, custom:any allows all; without
//	                         it these, as all else of the entry, are as before, or absent
//	remove PATTERN           it may no longer list the paths that the pattern matches
//	paths PATTERN            it may list anything there, and remove it
//	keys ROLE M ID,ID        of a root: M of exactly these keys may sign ROLE; it must
//	delegation ROLE M ID,ID PATTERN,PATTERN [terminating]
//	                         it delegates these paths to ROLE, which takes M of exactly these
//	                         keys; it must. hash:1a stands for the paths whose SHA-256 begins so
//	no-delegation ROLE       it may no longer delegate to ROLE
//	delegations any          it may change all delegations
//	member NAME              the member NAME may change, such as consistent_snapshot: of "signed",
//	                         of its roles, its delegations, and of each of these
//
// A release without such a line may change nothing but its version, its expiry, the version of
// the specification that it follows, and how it writes down its keys: their ids, their
// encoding, and keys that sign nothing. It was signed again. Keys of a type that this package
// cannot read have to be as they were. Where a delegation stands that a line names is free. A release is expected if any of the
// note's releases allow it. What is not allowed is compared with what the role had: the
// newest release before that was expected itself, or the base if that is newer. Of snapshots
// and timestamps nothing but the version is judged: the files that they list are releases of
// their own.
//
// In the ROLE of a release line, a star stands for any characters; root, targets, snapshot
// and timestamp are meant only by their names. Patterns of paths are those of TUF: a star
// stands for any characters between two slashes, a question mark for one. ID is a key's
// identity, 64 hex digits (tuf.KeyIdentity), and not its id in the metadata, which is a label
// that any key can have. In names and paths all bytes other than ALPHA DIGIT - . _ ~ / + @,
// and than stars and question marks where these have a meaning, are written as % and two
// upper-case hex digits.
//
// Lines of one kind stand in the order above, and alike ones in the order of what they say:
// every note has one spelling. The signatures are Ed25519 or ML-DSA-44 signatures. Ed25519 signs
// the text. ML-DSA-44 keys sign checkpoints only (c2sp.org/tlog-cosignature); they sign the
// one whose origin is [Origin], whose size is how many bytes the text has and whose root is the
// SHA-256 of the text. A key for expectations must not have another use.
package expect
