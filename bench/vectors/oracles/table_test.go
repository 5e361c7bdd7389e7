package oracles

// A disagreement is something that an implementation does with some cases and
// that is not what they expect. The sentences of the specifications that decide
// are those of the cases.
type disagreement struct {
	oracle  string
	verdict string // as outcome.verdict gives it
	right   string // who is
	why     string
	cases   string // names, separated by white space
}

const (
	vectorsRight = "the vectors"
	bothRight    = "either" // the specification leaves it open, or the check has its place elsewhere
)

var disagreements = []disagreement{
	{"x/mod", "refuses", vectorsRight, "`tlog.CheckTree` and `ProveTree` know no proof from the empty tree. RFC 6962 does not either; c2sp.org/merkle-tree does.", `
		consistency/from-0-to-0 consistency/from-0-to-1 consistency/from-0-to-3 consistency/from-0-to-256 consistency/from-0-to-2-32-plus-3
		build/extend-0-to-3`},
	{"x/mod", "refuses", vectorsRight, "Trees of more than 2^62 entries: `CheckRecord` and `CheckTree` do not return. The cases are not run; `TestXModLoops` tries one in a process of its own.", `
		inclusion/size-2-63-minus-1-index-0 inclusion/size-2-63-minus-1-index-4611686018427387904 inclusion/size-2-63-minus-1-index-9223372036854775806
		consistency/from-2-62-to-2-63-minus-1 consistency/from-2-62-plus-1-to-2-63-minus-1 consistency/from-2-32-plus-3-to-2-63-minus-1`},
	{"x/mod", "refuses", bothRight, "A note may have 100 signatures, not 128.", "note/128-signatures"},
	{"x/mod", "accepts", bothRight, "Base64 is decoded with spare bits.", "note/base64-spare-bits-one-pad note/base64-spare-bits-two-pads"},
	{"x/mod", "reads another number of signatures", bothRight, "`note.Open` drops lines that repeat.", "note/repeated-line"},
	{"x/mod", "accepts", vectorsRight, "`note.Open` verifies the first signature of a key only and skips the others, so a bad one behind a good one is not noticed. They MUST be verified (signed-note#signatures), and the note SHOULD be rejected.", `
		signature/good-then-bad signature/good-stranger-bad signature/good-good-bad`},
	{"x/mod", "accepts", vectorsRight, "`note.Sign` does not check the text: it makes notes that `note.Open` refuses.", "sign/text-with-cr sign/text-not-utf8"},
	{"x/mod", "accepts", vectorsRight, "`note.NewVerifier` takes line breaks in base64, which Go's decoder skips.", "vkey/base64-then-newline vkey/base64-with-newline vkey/base64-with-cr"},
	{"x/mod", "accepts", vectorsRight, "`note.NewVerifier` takes key ids in upper case.", "vkey/id-upper-case"},
	{"x/mod", "accepts", bothRight, "`note.NewVerifier` takes control characters in a name, with which no note can be opened.", "vkey/name-with-nul"},
	{"x/mod", "accepts", vectorsRight, "`tlog.ParseTilePath` has no upper bound for the level.", "tile-path/level-64"},
	{"x/mod", "accepts", bothRight, "`tlog.ParseTilePath` takes tiles that no tree of up to 2^63-1 entries has.", "tile-path/level-8 tile-path/level-63 tile-path/level-7-too-wide tile-path/index-too-large-for-level-0"},

	{"torchwood", "accepts", vectorsRight, "`ParsePolicy` splits items at all white space of Unicode and takes other control characters.", `
		policy/crlf policy/cr-in-comment policy/nul-in-comment policy/delete policy/escape-in-url policy/vertical-tab policy/form-feed policy/no-break-space`},
	{"torchwood", "refuses", vectorsRight, "`ParsePolicy` splits names at octets that are not ASCII.", "policy/space-like-octets-in-names"},
	{"torchwood", "accepts", vectorsRight, "`ParsePolicy` takes comments behind items.", "policy/comment-after-quorum policy/comment-after-log-url policy/comment-after-witness-url policy/comment-after-group"},
	{"torchwood", "accepts", bothRight, "`ParsePolicy` takes comments behind items, also where they look like a URL.", "policy/comment-after-log policy/comment-after-witness"},
	{"torchwood", "refuses", vectorsRight, "`ParsePolicy` takes a # within a name for the start of a comment.", "policy/name-with-hash policy/name-begins-with-hash"},
	{"torchwood", "accepts", vectorsRight, "`ParsePolicy` ignores what is too much on a line.", "policy/log-too-long policy/witness-too-long policy/quorum-too-long"},
	{"torchwood", "accepts", vectorsRight, "`ParsePolicy` takes a last line without its newline.", "policy/not-ended"},
	{"torchwood", "accepts", vectorsRight, "`ParsePolicy` looks the quorum up at the end of the file.", "policy/quorum-defined-below"},
	{"torchwood", "accepts", vectorsRight, "`ParsePolicy` does not look for duplicate public keys: one witness listed twice counts twice in a group.", `
		policy/log-twice policy/log-twice-two-urls policy/log-twice-other-name
		policy/witness-twice policy/witness-twice-apart policy/witness-twice-other-key-name`},
	{"torchwood", "accepts", bothRight, "`ParsePolicy` lets a log be its own witness.", "policy/log-and-witness-share-a-key"},
	{"torchwood", "accepts", vectorsRight, "`ParsePolicy` takes a member of several groups, or twice in one.", "policy/member-twice policy/member-of-two-groups policy/group-in-two-groups"},
	{"torchwood", "accepts", vectorsRight, "`ParsePolicy` lets witnesses and groups be named none, which the quorum then cannot mean.", "policy/witness-none policy/group-none"},
	{"torchwood", "accepts", vectorsRight, "`ParsePolicy` reads thresholds with `strconv.Atoi`, which takes signs.", "policy/threshold-bad-plus"},
	{"torchwood", "accepts", bothRight, "`ParsePolicy` reads thresholds with `strconv.Atoi`, which takes leading zeros.", "policy/threshold-bad-leading-zero"},
	{"torchwood", "refuses", vectorsRight, "`ParsePolicy` wants the signatures of all logs listed, and all of them named like the origin: with two logs of different names nothing is accepted.", `
		witnessed/first-log-of-two witnessed/second-log witnessed/second-log-and-first witnessed/rotation-new-key-silent`},
	{"torchwood", "accepts", bothRight, "With `quorum none` witnesses are not known, so their cosignatures are not verified.", "witnessed/quorum-none-known-witness-bad"},
	{"torchwood", "reads another time", bothRight, "With `quorum none` witnesses are not known, so their cosignatures are not reported.", "witnessed/quorum-none-known-witness"},
	{"torchwood", "reads another time", bothRight, "Of several cosignatures by one witness x/mod keeps the first.", "witnessed/time-three-of-one-witness"},
	{"torchwood", "says bad-signature", bothRight, "All signatures are verified before the form of the checkpoint and the name of the log.", "witnessed/not-a-checkpoint witnessed/bad-witness-and-unknown-log"},
	{"torchwood", "accepts", vectorsRight, "x/mod verifies the first signature of a key only: a bad one behind a good one is not noticed.", `
		open/good-then-bad cosignature/good-then-bad cosignature/good-then-bad-at-another-time cosignature/time-2-63-beside-good
		witnessed/bad-log-at-1 witnessed/bad-log-at-2 witnessed/bad-log-at-3 witnessed/bad-log-at-4 witnessed/bad-log-at-5
		witnessed/bad-witness-at-2 witnessed/bad-witness-at-3 witnessed/bad-witness-at-4 witnessed/bad-witness-at-5
		witnessed/bad-spare-witness-at-5 witnessed/bad-length-of-known-witness`},
	{"torchwood", "reads another number of cosignatures", bothRight, "Of several cosignatures by one witness x/mod keeps the first.", "cosignature/twice cosignature/repeated"},
	{"torchwood", "accepts", vectorsRight, "`CosignatureVerifier` takes times above 2^63-1; only `CosignatureTimestamp`, which asks for them afterwards, does not.", `
		cosignature/time-2-63 cosignature/time-2-64-minus-1 witnessed/time-2-63 witnessed/time-2-64-minus-1 witnessed/time-2-63-not-needed`},
	{"torchwood", "accepts", vectorsRight, "`NewCosignatureVerifier` takes line breaks in base64, which Go's decoder skips, and key ids in upper case.", "vkey/cosignature-base64-with-newline vkey/cosignature-id-upper-case"},
	{"torchwood", "accepts", vectorsRight, "`ParseCheckpoint` takes an empty origin, also in a signed checkpoint.", "checkpoint/origin-empty"},
	{"torchwood", "accepts", bothRight, "`ParseCheckpoint` does not check characters: `note.Open`, which comes before it, does.", `
		checkpoint/origin-cr checkpoint/origin-nul checkpoint/origin-tab checkpoint/origin-escape checkpoint/origin-not-utf8 checkpoint/extension-cr`},
	{"torchwood", "accepts", bothRight, "`ParseCheckpoint` does not mind the root of the empty tree.", "checkpoint/root-of-empty-tree checkpoint/root-of-empty-tree-zero checkpoint/root-of-empty-tree-as-leaf"},
	{"torchwood", "accepts", bothRight, "Base64 is decoded with spare bits.", "checkpoint/root-spare-bits proof/hash-spare-bits proof/extra-spare-bits"},
	{"torchwood", "accepts", vectorsRight, "`VerifyProof` takes CR in base64, which Go's decoder skips.", "proof/hash-cr-after proof/hash-cr-within proof/extra-cr-after proof/extra-cr-within"},
	{"torchwood", "accepts", vectorsRight, "`VerifyProof` takes an extra line without data.", "proof/extra-empty"},
	{"torchwood", "accepts", vectorsRight, "`VerifyProof` reads the index with `strconv.ParseInt`, which takes leading zeros and signs.", `
		proof/index-bad-leading-zero proof/index-bad-leading-zeros proof/index-bad-two-zeros proof/index-bad-plus proof/index-bad-plus-zero proof/index-bad-minus-zero`},
	{"torchwood", "accepts", bothRight, "`VerifyProof` parses any number of hashes; too many do not verify.", "proof/64-hashes"},
	{"torchwood", "accepts", bothRight, "`ReadTileEntry` reads one entry: counting them is up to the caller.", "entries/257"},
	{"torchwood", "accepts", vectorsRight, "`ParseTilePath` puts tile/8/ before what x/mod parses, and x/mod calls the entries data.", "tile-path/data"},
	{"torchwood", "accepts", vectorsRight, "`ParseTilePath` has no upper bound for the level.", "tile-path/level-64"},
	{"torchwood", "accepts", bothRight, "`ParseTilePath` takes tiles that no tree of up to 2^63-1 entries has.", "tile-path/level-8 tile-path/level-63 tile-path/level-7-too-wide tile-path/index-too-large-for-level-0"},

	{"formats", "accepts", vectorsRight, "`witness.ParsePolicy` is for the log itself and does not read log lines.", `
		policy/log-too-short policy/log-too-long policy/log-key-malformed policy/log-key-hex policy/log-key-id-wrong policy/log-with-witness-key
		policy/log-twice policy/log-twice-two-urls policy/log-twice-other-name policy/ecdsa-log-twice-other-name policy/mldsa-log-twice-other-name
		policy/comment-after-log-url`},
	{"formats", "accepts", bothRight, "`witness.ParsePolicy` is for the log itself and does not read log lines.", "policy/key-type-unknown policy/comment-after-log"},
	{"formats", "refuses", vectorsRight, "`witness.ParsePolicy` wants a URL for each witness.", "policy/no-url"},
	{"formats", "refuses", vectorsRight, "`witness.ParsePolicy` does not let keywords be names.", "policy/keywords-as-names"},
	{"formats", "accepts", vectorsRight, "`witness.ParsePolicy` splits items at all white space of Unicode and takes other control characters.", `
		policy/crlf policy/cr-in-comment policy/nul-in-comment policy/delete policy/escape-in-url policy/vertical-tab policy/form-feed policy/no-break-space`},
	{"formats", "refuses", vectorsRight, "`witness.ParsePolicy` splits names at octets that are not ASCII.", "policy/space-like-octets-in-names"},
	{"formats", "accepts", vectorsRight, "`witness.ParsePolicy` takes comments behind items.", "policy/comment-after-quorum policy/comment-after-witness-url policy/comment-after-group"},
	{"formats", "refuses", vectorsRight, "`witness.ParsePolicy` takes a # within a name for the start of a comment.", "policy/name-with-hash policy/name-begins-with-hash"},
	{"formats", "accepts", vectorsRight, "`witness.ParsePolicy` takes a last line without its newline.", "policy/not-ended"},
	{"formats", "accepts", vectorsRight, "`witness.ParsePolicy` looks the quorum up at the end of the file, and the last of several quorum lines counts.", "policy/quorum-defined-below policy/two-quorums policy/same-quorum-twice"},
	{"formats", "accepts", vectorsRight, "`witness.ParsePolicy` does not look for duplicate public keys: one witness listed twice counts twice in a group.", `
		policy/witness-twice policy/witness-twice-apart policy/witness-twice-other-key-name policy/mldsa-witness-twice-other-name`},
	{"formats", "accepts", bothRight, "`witness.ParsePolicy` is for the log itself, and lets it be its own witness.", "policy/log-and-witness-share-a-key"},
	{"formats", "accepts", vectorsRight, "`witness.ParsePolicy` takes a member of several groups, or twice in one.", "policy/member-twice policy/member-of-two-groups policy/group-in-two-groups"},
	{"formats", "accepts", vectorsRight, "`witness.ParsePolicy` takes groups without members and thresholds of 0: nobody needs to cosign.", "policy/threshold-bad-0 policy/no-members-0 policy/no-members-all"},
	{"formats", "accepts", bothRight, "`witness.ParsePolicy` takes thresholds with leading zeros.", "policy/threshold-bad-leading-zero"},
	{"formats", "accepts", vectorsRight, "`witness.ParsePolicy` takes Ed25519 keys of type 0x01 and makes them cosignature keys.", "policy/witness-with-log-key"},
	{"formats", "accepts", vectorsRight, "x/mod verifies the first signature of a key only: a bad one behind a good one is not noticed.", `
		open/good-then-bad cosignature/good-then-bad cosignature/good-then-bad-at-another-time cosignature/time-2-63-beside-good cosignature/mldsa-good-then-bad
		witnessed/bad-log-at-1 witnessed/bad-log-at-2 witnessed/bad-log-at-3 witnessed/bad-log-at-4 witnessed/bad-log-at-5
		witnessed/bad-witness-at-2 witnessed/bad-witness-at-3 witnessed/bad-witness-at-4 witnessed/bad-witness-at-5
		witnessed/bad-spare-witness-at-5 witnessed/bad-length-of-known-witness`},
	{"formats", "reads another number of cosignatures", bothRight, "Of several cosignatures by one witness x/mod keeps the first.", "cosignature/twice cosignature/repeated cosignature/mldsa-twice"},
	{"formats", "accepts", vectorsRight, "Cosignatures may have times above 2^63-1, which `CoSigV1Timestamp` then takes for negative.", `
		cosignature/time-2-63 cosignature/time-2-64-minus-1 cosignature/mldsa-time-2-63 cosignature/mldsa-time-2-64-minus-1
		witnessed/time-2-63 witnessed/time-2-64-minus-1 witnessed/time-2-63-not-needed`},
	{"formats", "accepts", vectorsRight, "The length of an origin is cut to one byte in the message that ML-DSA-44 signs.", "cosignature/mldsa-origin-256-bytes"},
	{"formats", "accepts", vectorsRight, "The length of a name is cut to one byte in the message that ML-DSA-44 signs.", "vkey/mldsa-name-256-bytes"},
	{"formats", "accepts", vectorsRight, "`NewVerifierForCosignatureV1` does not compare the key id with the key.", `
		vkey/cosignature-id-wrong vkey/cosignature-id-of-another-type vkey/cosignature-id-upper-case vkey/mldsa-id-of-another-type vkey/mldsa-id-of-another-name`},
	{"formats", "accepts", vectorsRight, "`NewVerifierForCosignatureV1` takes line breaks in base64, which Go's decoder skips.", "vkey/cosignature-base64-with-newline"},
	{"formats", "accepts", vectorsRight, "`NewECDSAVerifier` does not check the name and takes key ids in upper case and of any length.", "vkey/ecdsa-name-empty vkey/ecdsa-name-with-space vkey/ecdsa-id-upper-case vkey/ecdsa-id-nine-digits"},
	{"formats", "accepts", bothRight, "`NewECDSAVerifier` takes keys on P-384 and P-521.", "vkey/ecdsa-p384 vkey/ecdsa-p521"},
	{"formats", "accepts", bothRight, "Base64 is decoded with spare bits.", "vkey/ecdsa-spare-bits vkey/mldsa-spare-bits checkpoint/root-spare-bits proof/hash-spare-bits proof/extra-spare-bits"},
	{"formats", "accepts", bothRight, "`log.Checkpoint.Unmarshal` does not check characters: `note.Open`, which comes before it, does.", `
		checkpoint/origin-cr checkpoint/origin-nul checkpoint/origin-tab checkpoint/origin-escape checkpoint/origin-not-utf8 checkpoint/extension-cr`},
	{"formats", "accepts", vectorsRight, "`log.Checkpoint.Unmarshal` returns what follows the root hash without a look: empty extension lines pass.", `
		checkpoint/extension-empty checkpoint/extension-empty-between checkpoint/extension-empty-after checkpoint/extension-not-ended checkpoint/whole-note
		open/empty-line-in-text`},
	{"formats", "accepts", vectorsRight, "`log.Checkpoint.Unmarshal` takes root hashes of any length, none included.", `
		checkpoint/root-empty checkpoint/root-3-bytes checkpoint/root-31-bytes checkpoint/root-33-bytes checkpoint/root-64-bytes checkpoint/root-hex`},
	{"formats", "accepts", bothRight, "`log.Checkpoint.Unmarshal` does not mind the root of the empty tree.", "checkpoint/root-of-empty-tree checkpoint/root-of-empty-tree-zero checkpoint/root-of-empty-tree-as-leaf"},
	{"formats", "accepts", vectorsRight, "`log.Checkpoint.Unmarshal` takes sizes with leading zeros.", `
		checkpoint/size-bad-leading-zero checkpoint/size-bad-two-zeros open/size-with-leading-zero proof/checkpoint-size-leading-zero`},
	{"formats", "accepts", bothRight, "Sizes and indices go up to 2^64-1.", "checkpoint/size-bad-2-63 proof/index-bad-2-63"},
	{"formats", "accepts", bothRight, "Nobody needs to vouch for extension lines.", "open/mldsa-extension-alone open/mldsa-extension-other-key-unknown witnessed/mldsa-log-alone-extension"},
	{"formats", "accepts", vectorsRight, "`proof.TLogProof.Unmarshal` reads lines with `bufio.Scanner`, which drops a CR at their end and takes a last line without newline; what it then holds as the checkpoint is not what was sent.", `
		proof/crlf proof/crlf-before-the-checkpoint proof/header-cr proof/index-bad-cr-after proof/hash-cr-after proof/extra-cr-after proof/blank-line-with-cr
		proof/checkpoint-cr proof/checkpoint-crlf proof/checkpoint-not-ended`},
	{"formats", "accepts", vectorsRight, "`proof.TLogProof.Unmarshal` takes CR within base64, which Go's decoder skips.", "proof/hash-cr-within proof/extra-cr-within"},
	{"formats", "refuses", vectorsRight, "`proof.TLogProof.Unmarshal` cannot read lines of more than 64 KiB, though `Marshal` writes them.", "proof/extra-60-kb"},
	{"formats", "accepts", vectorsRight, "`proof.TLogProof.Unmarshal` takes an extra line without data.", "proof/extra-empty"},
	{"formats", "accepts", vectorsRight, "`proof.TLogProof.Unmarshal` takes indices with leading zeros.", "proof/index-bad-leading-zero proof/index-bad-leading-zeros proof/index-bad-two-zeros"},
	{"formats", "accepts", bothRight, "`proof.TLogProof.Unmarshal` takes any number of hashes.", "proof/64-hashes"},
}
