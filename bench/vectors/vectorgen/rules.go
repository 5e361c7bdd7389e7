package main

// A rule is a sentence of a specification, word for word, and where it stands:
// the page on c2sp.org (or the RFC) and the section.
type rule struct{ spec, text string }

// Base64 and numbers, which several specifications share.
var (
	ruleBase64   = rule{"signed-note#conventions-used-in-this-document", "The base64 encoding used throughout is the standard Base 64 encoding specified in RFC 4648, Section 4."}
	rulePadding  = rule{"rfc4648#section-3.2", "Implementations MUST include appropriate pad characters at the end of encoded data unless the specification referring to this document explicitly states otherwise."}
	ruleAlphabet = rule{"rfc4648#section-3.3", "Implementations MUST reject the encoded data if it contains characters outside the base alphabet when interpreting base-encoded data, unless the specification referring to this document explicitly states otherwise."}
	ruleSpare    = rule{"rfc4648#section-3.5", "In some environments, the alteration is critical and therefore decoders MAY chose to reject an encoding if the pad bits have not been set to zero."}
)

const choiceSpare = "RFC 4648 leaves spare bits to the decoder; here a value has one spelling, so they must be zero."

// c2sp.org/signed-note
var (
	ruleNoteForm     = rule{"signed-note#format", "A signed note consists of a text ending in newline (U+000A), followed by a blank line (only a newline), followed by one or more signature lines of this form: em dash (U+2014), space (U+0020), key name, space, base64-encoded signature, newline."}
	ruleNoteChars    = rule{"signed-note#format", "Signed notes MUST be valid UTF-8 and MUST NOT contain any ASCII control characters (those below U+0020) other than newline."}
	ruleNoteSplit    = rule{"signed-note#format", "The note text MAY contain empty lines; the text is separated from the signatures by the last empty line in the note."}
	ruleNoteName     = rule{"signed-note#format", "Key names MUST be non-empty and MUST NOT contain any Unicode spaces or plus (U+002B) characters."}
	ruleNoteSig      = rule{"signed-note#format", "Signatures are the base64 encoding of 4+n bytes."}
	ruleNoteKeyID    = rule{"signed-note#format", "The first four bytes in the signature are the uint32 key ID stored in big-endian order."}
	ruleNoteLimit    = rule{"signed-note#format", "Verifiers SHOULD apply a maximum limit to the number of signatures in a note (or, equivalently, to the overall size of a note), but MUST accept at least up to 16 signatures."}
	ruleSigUnknown   = rule{"signed-note#signatures", "Verifiers MUST ignore signatures from unknown keys, even if they share a name or ID (but not both) with a known key."}
	ruleSigVerify    = rule{"signed-note#signatures", "If the key name and ID match a known key, verifiers MUST verify the signature."}
	ruleSigFails     = rule{"signed-note#signatures", "If a signature from a known key fails to verify, clients SHOULD reject the whole note."}
	ruleSigNone      = rule{"signed-note#signatures", "If no signature from a known key verifies successfully, clients MUST reject the note."}
	ruleKeyID        = rule{"signed-note#signatures", "It is RECOMMENDED that key IDs be the first four bytes (interpreted in big-endian order) of the SHA-256 hash of the following sequence: the key name, a newline, a single signature type identifier byte assigned below, and the encoding of the public key."}
	ruleECDSACurve   = rule{"signed-note#signature-types", "The ECDSA curve MUST be one of NIST P-256, NIST P-384, or NIST P-521, and SHOULD be NIST P-256."}
	ruleECDSAKeyID   = rule{"signed-note#signature-types", "Note that the key ID for these signatures is the truncated SHA-256 hash of the DER encoded public key in SPKI format."}
	ruleSigTypes     = rule{"signed-note#signature-types", "Although multiple signature types are specified, implementations SHOULD select only the one(s) required for their design, and avoid supporting multiple ones at runtime if possible."}
	ruleEd25519      = rule{"signed-note#ed25519-signatures", "Ed25519 signatures are generated according to RFC 8032 over the note text."}
	ruleVkeyForm     = rule{"signed-note#verifier-keys", "Verifier keys (or vkeys for short) are encoded as text strings composed of three parts separated by a plus (U+002B) character: the key name, the hex encoding of the key ID, and the base64 encoding of the concatenation of the signature type and the public key material."}
	ruleVkeyHex      = rule{"signed-note#conventions-used-in-this-document", "The hex encoding of a positive integer is the fixed length lowercase Base 16 encoding of its zero-padded big endian representation."}
	ruleVkeyMaterial = rule{"signed-note#verifier-keys", "The public key material for Ed25519 vkeys is the 32-byte Ed25519 public key encoding according to RFC 8032."}
	ruleVkeyType     = rule{"signed-note#verifier-keys", "The signature type MUST match the key ID, and a parsed vkey SHOULD NOT be used to verify any other signature type."}
	ruleEd25519S     = rule{"rfc8032#section-5.1.7", "Decode the first half as a point R, and the second half as an integer S, in the range 0 <= s < L. [...] If any of the decodings fail (including S being out of range), the signature is invalid."}
)

// c2sp.org/tlog-checkpoint
var (
	ruleCpLines  = rule{"tlog-checkpoint#note-text", "The note text is a sequence of at least three non-empty lines, separated by newlines (U+000A)."}
	ruleCpOrigin = rule{"tlog-checkpoint#note-text", "The origin MUST be non-empty, and it SHOULD be a schema-less URL containing neither Unicode spaces nor plus (U+002B), such as example.com/log42."}
	ruleCpAny    = rule{"tlog-checkpoint#note-text", "This is only a recommendation to avoid collisions, and clients MUST NOT assume that the origin is following this format or that the URL corresponds to a reachable endpoint."}
	ruleCpSize   = rule{"tlog-checkpoint#note-text", "The second line is the tree size, the ASCII decimal representation of the number of leaves in the tree, with no leading zeroes (unless the tree is empty, in which case the tree size is 0)."}
	ruleCpRoot   = rule{"tlog-checkpoint#note-text", "The third line is the root hash, the base64 encoding of the root of the RFC 6962 Merkle hash tree at the specified tree size."}
	ruleCpExt    = rule{"tlog-checkpoint#note-text", "Extension lines, if any, MUST be non-empty."}
	ruleCpName   = rule{"tlog-checkpoint#signatures", "The log's key name in its signature line SHOULD match the origin line."}
	ruleCpIgnore = rule{"tlog-checkpoint#signatures", "According to the note specification, clients MUST ignore unknown signatures."}
)

const choiceRange = "The specification sets no upper bound; here numbers end at 2^63-1, as timestamps of cosignatures do."

// c2sp.org/tlog-cosignature
var (
	ruleCosKeyID     = rule{"tlog-cosignature#format", `The key ID for Ed25519 cosignatures MUST be computed as SHA-256(<name> || "\n" || 0x04 || 32-byte Ed25519 cosigner public key)[:4]`}
	ruleCosStruct    = rule{"tlog-cosignature#format", "The signature MUST be a timestamped_signature structure."}
	ruleCosRange     = rule{"tlog-cosignature#format", "It MUST NOT exceed 2^63 - 1, and verifiers MAY reject cosignatures with timestamps in the future."}
	ruleCosBig       = rule{"tlog-cosignature#format", "Per RFC 8446, Section 3.3, these are serialized in sequence, with the timestamp encoded in big-endian order."}
	ruleCosMessage   = rule{"tlog-cosignature#ed25519-signed-message", "The signed message MUST be two newline (U+000A) terminated lines (one header line and one timestamp line) followed by the whole note body of the cosigned checkpoint (including the final newline, but not including any signature lines)."}
	ruleCosHeader    = rule{"tlog-cosignature#ed25519-signed-message", "The header line MUST be the fixed string cosignature/v1, and provides domain separation."}
	ruleCosTime      = rule{"tlog-cosignature#ed25519-signed-message", "The timestamp line MUST consist of the string time, a single space (0x20), and timestamped_signature.timestamp encoded as an ASCII decimal with no leading zeroes."}
	ruleCosExt       = rule{"tlog-cosignature#ed25519-signed-message", "Extension lines MAY be included in the checkpoint by the log, and if present MUST be included in the cosigned message."}
	ruleMLDSAKeyID   = rule{"tlog-cosignature#format", `The key ID for ML-DSA-44 cosignatures MUST be computed as SHA-256(<name> || "\n" || 0x06 || 1312-byte ML-DSA-44 cosigner public key)[:4]`}
	ruleMLDSAVkey    = rule{"tlog-cosignature#format", "ML-DSA-44 public keys MAY be encoded as vkeys with signature type 0x06 and the 1312-byte ML-DSA-44 cosigner public key as the public key material."}
	ruleMLDSAMessage = rule{"tlog-cosignature#ml-dsa-44-signed-message", "The signed message MUST be a cosigned_message structure."}
	ruleMLDSAName    = rule{"tlog-cosignature#ml-dsa-44-signed-message", "opaque cosigner_name<1..2^8-1>;"}
	ruleMLDSAOrigin  = rule{"tlog-cosignature#ml-dsa-44-signed-message", "opaque log_origin<1..2^8-1>;"}
	ruleMLDSAStart   = rule{"tlog-cosignature#ml-dsa-44-signed-message", "If signing a checkpoint, it MUST be zero."}
	ruleMLDSATime    = rule{"tlog-cosignature#ml-dsa-44-signed-message", "These two values MAY be zero if the cosigner doesn't make any statement as to the tree being the largest observed at time of signing."}
	ruleMLDSAExt     = rule{"tlog-cosignature#ml-dsa-44-signed-message", "Note that checkpoint extension lines are not included in the signed message for ML-DSA-44 cosignatures, and no statement is made about them."}
)

// c2sp.org/tlog-policy
var (
	rulePolLine     = rule{"tlog-policy#structure", `The policy file is line based, where each line is terminated by ASCII newline, and the items on each line are separated by "whitespace", which in this specification means sequences of ASCII space and tab characters only.`}
	rulePolTrim     = rule{"tlog-policy#structure", "Leading and trailing whitespace is allowed."}
	rulePolComment  = rule{"tlog-policy#structure", `Empty lines (whitespace only) and comment lines (lines starting with "#", possibly preceded by whitespace) are allowed and ignored.`}
	rulePolOrder    = rule{"tlog-policy#structure", "Lines defining witnesses and logs can appear in any order; the order does not imply any preference or priority."}
	rulePolBefore   = rule{"tlog-policy#structure", "A line defining a group can only reference names of groups and witnesses defined on preceding lines."}
	rulePolQBefore  = rule{"tlog-policy#structure", "Similarly, the quorum line must specify a witness or group defined earlier."}
	rulePolType     = rule{"tlog-policy#public-key-representation", "Log and witness keys must use a signature type approprate respective function, see tlog-checkpoint and tlog-cosignature."}
	rulePolVkey     = rule{"tlog-policy#public-key-representation", "Public keys are written in vkey format."}
	rulePolDup      = rule{"tlog-policy#public-key-representation", "Two vkeys are considered duplicate if they wrap the same underlying public key, even if they differ by key name and key id."}
	rulePolLog      = rule{"tlog-policy#defining-a-log", "A log is defined by a line: log <vkey> [<url>]"}
	rulePolAllLogs  = rule{"tlog-policy#defining-a-log", "When the policy is used for verifying a proof, all of the listed logs are accepted."}
	rulePolOrigin   = rule{"tlog-policy#defining-a-log", "This name MUST correspond to the log's origin line, representing the identity of the log."}
	rulePolDupLog   = rule{"tlog-policy#defining-a-log", "Duplicate logs, i.e., multiple log lines with the same public key, are not allowed."}
	rulePolWitness  = rule{"tlog-policy#defining-a-witness", "A witness is defined by a line: witness <name> <vkey> [<url>]"}
	rulePolURL      = rule{"tlog-policy#defining-a-witness", "Since only logs and possibly monitors interact directly with witnesses, most policy files will not need any witness URLs."}
	rulePolDupWit   = rule{"tlog-policy#defining-a-witness", "Duplicate witnesses, i.e., multiple witness lines with the same public key, are not allowed."}
	rulePolQuorum   = rule{"tlog-policy#defining-the-quorum", "The quorum is defined by a line: quorum <name>"}
	rulePolQWitness = rule{"tlog-policy#defining-the-quorum", "In the simplest case, the name refers to a witness, and it means that a cosignature from that witness is required for a checkpoint to be considered valid."}
	rulePolQNone    = rule{"tlog-policy#defining-the-quorum", "To not require any cosignatures at all, one can use the predefined name none."}
	rulePolOne      = rule{"tlog-policy#defining-the-quorum", "A policy file must include exactly one quorum line."}
	rulePolGroup    = rule{"tlog-policy#defining-a-witness-group", "Each of these defines a group, where the group is considered to witness a checkpoint if and only if at least k of its n members have witnessed that checkpoint, each group member being either a witness or another group."}
	rulePolMembers  = rule{"tlog-policy#defining-a-witness-group", "At least one member must be listed (i.e., n >= 1)."}
	rulePolAnyAll   = rule{"tlog-policy#defining-a-witness-group", "The any variant is a shorthand for k = 1, and the all variant is a shorthand for k = n."}
	rulePolK        = rule{"tlog-policy#defining-a-witness-group", "If k is given numerically, it must be written in decimal, and it is required that 1 <= k <= n."}
	rulePolOnce     = rule{"tlog-policy#defining-a-witness-group", "Each defined name can be listed as a group member at most once."}
	rulePolSpace    = rule{"tlog-policy#what-is-a-policy", "Witnesses and groups share a single namespace."}
	rulePolNone     = rule{"tlog-policy#what-is-a-policy", "The special name none is predefined; it can be used when defining the quorum, but it is invalid as a group member."}
	rulePolEmpty    = rule{"tlog-policy#what-is-a-policy", "An application where the appropriate log(s) are known from other context may accept a policy with an empty set of logs."}
	rulePolAnyLog   = rule{"tlog-policy#what-is-a-policy", "The policy says that a checkpoint is considered valid if it is signed by any one of the listed logs, and it is cosigned by witnesses according to the defined quorum rule."}
	rulePolControl  = rule{"tlog-policy#character-set", "The only allowed control characters are tab and newline, which means that the allowed octet values are 0x09 (tab), 0x0A (newline), 0x20-0x7E, and 0x80-0xFF."}
	rulePolOpaque   = rule{"tlog-policy#character-set", "In particular, names must be handled as opaque octet strings, e.g., the name 0x4B (ASCII \"K\") is different from the name 0xE2 0x84 0xAA (a Kelvin sign encoded using UTF-8)."}
	rulePolOctets   = rule{"tlog-policy#character-set", "Non-ASCII octets may appear in names, URLs and comments."}
	rulePolLimits   = rule{"tlog-policy#implementation-limits", "It is strongly recommended that an implementation supports at least up to 32 logs, 32 witnesses, and 32 groups."}
)

// c2sp.org/tlog-proof
var (
	ruleProofLines  = rule{"tlog-proof#format", "The proof is a sequence of lines separated by newlines (U+000A)."}
	ruleProofHeader = rule{"tlog-proof#format", "The first line MUST be the string c2sp.org/tlog-proof@v1."}
	ruleProofExtra  = rule{"tlog-proof#format", "The second line MAY start with the string extra followed by a space (U+0020) and base64-encoded opaque extra data."}
	ruleProofOmit   = rule{"tlog-proof#format", "If no extra data is present, this line is omitted."}
	ruleProofTrust  = rule{"tlog-proof#format", "Appications MUST NOT implicitly trust the extra data, as it is not authenticated."}
	ruleProofIndex  = rule{"tlog-proof#format", "The next line MUST start with the string index followed by a space (U+0020) and the zero-based index of the entry in the log, represented as an ASCII decimal with no leading zeroes (unless the index is 0)."}
	ruleProofHashes = rule{"tlog-proof#format", "The next zero or more non-empty lines are the base64-encoded Merkle inclusion proof for the entry at the specified index in the checkpointed tree, one SHA-256 hash per line, starting from the leaf's sibling hash up to the root's child hash."}
	ruleProofCp     = rule{"tlog-proof#format", "After the inclusion proof lines and an empty line, the checkpoint issued by the log is included verbatim, according to tlog-checkpoint."}
	ruleProofLong   = rule{"merkle-tree#proof-format", "The number of hashes is at most ceil(log2(n))."}
)

// c2sp.org/merkle-tree, which is RFC 6962, section 2.1, in other words.
var (
	ruleMTH      = rule{"merkle-tree#merkle-tree-hash", "MTH(D[n]) = SHA-256(0x01 || MTH(D[0:k]) || MTH(D[k:n]))"}
	ruleMTHEmpty = rule{"merkle-tree#merkle-tree-hash", "The hash of an empty tree is the SHA-256 hash of the empty string."}
	rulePrefixes = rule{"merkle-tree#hash-function", "Leaf hashes and internal node hashes use different domain separation prefixes."}
	rulePath     = rule{"merkle-tree#proof-format", "An inclusion proof for the entry at index m in a tree of size n is a list of hashes."}
	ruleIncIndex = rule{"merkle-tree#verification", "If m >= n, the proof is invalid."}
	ruleIncMany  = rule{"merkle-tree#verification", "If sn is 0, the proof is invalid (too many proof hashes)."}
	ruleIncFew   = rule{"merkle-tree#verification", "If sn is not 0, the proof is invalid (not enough proof hashes)."}
	ruleIncRoot  = rule{"merkle-tree#verification", "The proof is valid if and only if h equals r."}
	ruleSubproof = rule{"merkle-tree#proof-format-1", "Otherwise, the proof is computed using the SUBPROOF function: PROOF(m, D[n]) = SUBPROOF(m, D[n], true)"}
	ruleConOrder = rule{"merkle-tree#verification-1", "If m > n, the proof is invalid."}
	ruleConSame  = rule{"merkle-tree#verification-1", "If m equals n, the proof must be empty and r1 must equal r2."}
	ruleConZero  = rule{"merkle-tree#verification-1", "If m equals 0, the proof is valid if and only if it is empty."}
	ruleConEmpty = rule{"merkle-tree#verification-1", "Otherwise, if the proof is empty, the proof is invalid."}
	ruleConMany  = rule{"merkle-tree#verification-1", "If sn is 0, the proof is invalid (too many proof hashes)."}
	ruleConFew   = rule{"merkle-tree#verification-1", "If sn is not 0, the proof is invalid (not enough proof hashes)."}
	ruleConRoots = rule{"merkle-tree#verification-1", "The proof is valid if and only if fr equals r1 and sr equals r2."}
)

// c2sp.org/tlog-tiles
var (
	ruleTilePath    = rule{"tlog-tiles#merkle-tree", "Tiles are served at <prefix>/tile/<L>/<N>[.p/<W>]"}
	ruleTileLevel   = rule{"tlog-tiles#merkle-tree", "<L> is the \u201clevel\u201d of the tile, and MUST be a decimal ASCII integer between 0 and 63, with no additional leading zeroes."}
	ruleTileIndex   = rule{"tlog-tiles#merkle-tree", "<N> is the index of the tile within the level. It MUST be a non-negative integer encoded into zero-padded 3-digit path elements. All but the last path element MUST begin with an x."}
	ruleTileWidth   = rule{"tlog-tiles#merkle-tree", "<W> is the width of the tile, a decimal ASCII integer between 1 and 255, with no additional leading zeroes."}
	ruleTilePartial = rule{"tlog-tiles#partial-tiles", "The partial tile at level l for a tree of size s has floor(s / 256**l) mod 256 entries."}
	ruleTileHash    = rule{"tlog-tiles#merkle-tree", "At \u201clevel 1\u201d and above, each hash in a tile is the Merkle Tree Hash of a full tile at the level below."}
	ruleTileFull    = rule{"tlog-tiles#merkle-tree", "Full tiles MUST be exactly 256 hashes wide, or 8,192 bytes."}
	ruleEntriesPath = rule{"tlog-tiles#log-entries", "The log entries are served as a \u201centry bundles\u201d at <prefix>/tile/entries/<N>[.p/<W>]"}
	ruleEntries     = rule{"tlog-tiles#log-entries", "Entry bundles are sequences of big-endian uint16 length-prefixed log entries."}
	ruleEntriesTile = rule{"tlog-tiles#log-entries", "Each entry in a bundle hashes to the corresponding entry in the corresponding \u201clevel 0\u201d Merkle Tree tile."}
)

// Formats of this project, described in package proofs.
var (
	ruleEdge      = rule{"package proofs, Edges", "As text it is the size of the tree and one hash per subtree, the largest (leftmost) first."}
	ruleEdgeForm  = rule{"package proofs", "A parser accepts exactly what the printer prints: base64 is canonical, numbers are decimal without sign or leading zeros and at most 2^63-1, lines end in LF and nothing else, and no control character passes."}
	ruleSignerKey = rule{"package proofs, Keys", "The signer's form carries the 32-byte seed instead."}
)
