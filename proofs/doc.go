// Package proofs reads, checks and writes the files that a transparency log and
// its witnesses publish. Begin with [ParsePolicy], which reads whom to trust, and
// [Proof.Verify], which shows by such a policy that an entry is in a log;
// [Policy.OpenCheckpoint] verifies what a log and its witnesses signed, and
// [InclusionProof] makes proofs. What accuses a log or a witness is in the package
// fraud below.
//
// It turns bytes into verdicts: it opens no file and no connection, starts no
// goroutine and reads no clock.
//
// Every format has one spelling. A parser accepts exactly what the printer
// prints: base64 is canonical, numbers are decimal without sign or leading
// zeros and at most 2^63-1, lines end in LF only, and other control characters
// are refused. So two different files never mean the same thing, and parsing
// then printing gives back the same bytes. Limits are exported constants, and
// errors name the line.
//
// # Signed notes (c2sp.org/signed-note)
//
// A note is a text, an empty line, and signature lines. The last empty line is
// the one that separates them. A line names a key, and its base64 holds the
// four bytes of the key's id before the signature proper:
//
//	example.com/log
//	2
//	OuW/pX/6dp2WNKhvOiYoaqaf1Q6gWF+AYfkCrV8DJ/c=
//
//	— example.com/log XjVJdrd5l6G3F5Ng5LRWrS9nTELa8hHmKK61QbjwFmtG2XW7tZbqSWGVkCN3U8sUQsR5NY6nyEgK5D1u4Ly5lWFJRAQ=
//
// Signatures by unknown keys are ignored. A signature by a known key (same name
// and same id) that does not verify makes the whole note invalid, wherever it
// stands, repeated lines included.
//
// # Keys
//
// A verifier key (vkey) is a name, the key's id in hex, and base64 of a type
// byte and the public key. The signer's form carries 32 secret bytes instead,
// the seed or, for ECDSA, the scalar:
//
//	example.com/log+5e354976+AaToNYoz5LD70RP1a4R7c24YRgQvEGkCxFGXkZZYJfJW
//	PRIVATE+KEY+example.com/log+5e354976+Af0Acbce…
//
// Logs sign with Ed25519 (0x01), ECDSA P-256 (0x02) or ML-DSA-44 (0x06),
// witnesses with cosignature/v1 (0x04) or ML-DSA-44. The id is from SHA-256 of
// name, type and public key; the id of an ECDSA key, as in Rekor, is from the
// public key in DER alone. All types sign deterministically.
//
// # Checkpoints (c2sp.org/tlog-checkpoint)
//
// A checkpoint is a note whose text is the origin of the log, the size of its
// tree, the tree's root hash, and perhaps extension lines, as above. A log's key
// is named like the origin.
//
// # Cosignatures (c2sp.org/tlog-cosignature)
//
// A witness signs "cosignature/v1\ntime 1679315147\n" and then the text of the
// checkpoint; its signature is that time as a big-endian 64-bit number and the
// 64 bytes of the Ed25519 signature. Its line joins the note's:
//
//	— w1.example YTfRcwAAAABkGFDL6ubwOpY3AT6gfaiFtu2bFnOZ2ao9+BQykMafJ/NqgJ438m+SsEm8sGVQdpXLoQtRXXpauQXNbr0LMCWb3AAtDw==
//
// With ML-DSA-44, witnesses and logs sign a structure of the key's name, the
// time, the origin, size and root. Name and origin have at most 255 bytes.
// Extension lines are not in it, so a checkpoint with extension lines also needs
// a signature of another type by its log. Witnesses vouch for the tree only,
// with either type of key, and both types count.
//
// # Policies (c2sp.org/tlog-policy)
//
// A policy lists the known logs and the witnesses that must have cosigned:
//
//	log example.com/log+5e354976+AaToNYoz5LD70RP1a4R7c24YRgQvEGkCxFGXkZZYJfJW
//	witness w1 w1.example+6137d173+BOd2yhwsjKiEUe/nUrpJpP51202pKHQHf/PTe2uncFNH https://w1.example/
//	witness w2 w2.example+9e5d68bf+BOt+Mscv7ByhDN7jKdZJjuUoiu8KvuDc9eY5HhL9Jx+5
//	witness w3 w3.example+b822afda+BPgoBA/uOYE+YX6zCZ9jBJJKftM0h45c1Ot6x6jCgxl6
//	group operators 2 w1 w2 w3
//	quorum operators
//
// A public key stands once among the logs and once among the witnesses: one key
// has one vote, under however many names it is listed.
//
// # Proofs (c2sp.org/tlog-proof@v1)
//
// A proof shows offline that an entry is in a log. The extra data is optional
// and not authenticated. Anyone who can read the log's tiles can move a proof
// to a newer checkpoint ([Proof.Refresh]):
//
//	c2sp.org/tlog-proof@v1
//	extra YW55dGhpbmc=
//	index 1
//	oa8DAjHKL9IOzzDFKUuvj2kyHQm7FqxTiFzNF6OFKA0=
//
//	example.com/log
//	2
//	OuW/pX/6dp2WNKhvOiYoaqaf1Q6gWF+AYfkCrV8DJ/c=
//
//	— example.com/log XjVJdrd5l6G3F5Ng5LRWrS9nTELa8hHmKK61QbjwFmtG2XW7tZbqSWGVkCN3U8sUQsR5NY6nyEgK5D1u4Ly5lWFJRAQ=
//
// # Tiles (c2sp.org/tlog-tiles)
//
// A log's tree is published in tiles of 256 hashes, tile/LEVEL/INDEX, and its
// entries in bundles of 256 entries, tile/entries/INDEX, where each entry
// follows its length in two bytes. The last tile of a level may be partial.
// Tiles are not trusted: everything built from them is checked against the root
// of a tree ([VerifiedTiles], [VerifyEntries], [InclusionProof]).
//
//	tile/0/x001/x234/067
//	tile/1/005.p/17
//	tile/entries/x001/067.p/5
//
// # Edges
//
// An [Edge] is the right edge of a tree: the roots of the perfect subtrees it
// splits into, which is all that is needed to append to it. As text it is the
// size of the tree and one hash per subtree, the largest (leftmost) first; a
// tree of size 3 has two:
//
//	3
//	OuW/pX/6dp2WNKhvOiYoaqaf1Q6gWF+AYfkCrV8DJ/c=
//	ZW0+j1RCOM324y1kD1G6CRSVmxTt16UtC4uZq0yKxsY=
//
// A [Frontier] is an edge with the last tile of each level, from which every tile
// of the growing tree is made.
package proofs
