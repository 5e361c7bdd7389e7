package conformance

// The documents.
const (
	tlogWitness     = "c2sp.org/tlog-witness"
	tlogCosignature = "c2sp.org/tlog-cosignature"
	tlogCheckpoint  = "c2sp.org/tlog-checkpoint"
	signedNote      = "c2sp.org/signed-note"
	rfc4648         = "RFC 4648"
)

func must(document, sentence string) Rule   { return Rule{Must, document, sentence} }
func should(document, sentence string) Rule { return Rule{Should, document, sentence} }
func form(document, sentence string) Rule   { return Rule{Form, document, sentence} }

// Sentences that several cases test. Those on the monitoring prefix, but for
// the one on 404, are in our words.
var (
	ruleOldSize    = must(tlogWitness, "The witness MUST check that the old size matches the size of the latest checkpoint it cosigned for the checkpoint's origin (or zero if it never cosigned a checkpoint for that origin). If it doesn't match, the witness MUST respond with a \"409 Conflict\" HTTP status code.")
	ruleSizeBody   = must(tlogWitness, "The response body MUST consist of the tree size of the latest cosigned checkpoint in decimal, followed by a newline (U+000A).")
	ruleSizeType   = must(tlogWitness, "The response MUST have a Content-Type of text/x.tlog.size.")
	ruleOldAbove   = must(tlogWitness, "The old size MUST be equal to or lower than the checkpoint size. Otherwise, the witness MUST respond with a \"400 Bad Request\" HTTP status code.")
	ruleProof      = must(tlogWitness, "If the Merkle Consistency Proof doesn't verify, the witness MUST respond with a \"422 Unprocessable Entity\" HTTP status code.")
	ruleGrowth     = must(tlogWitness, "If all the checks above pass, the witness MUST update its record of the latest cosigned checkpoint and respond with a \"200 Success\" HTTP status code.")
	ruleFirstProof = must(tlogWitness, "If the old size is zero, the consistency proof MUST be empty, because the empty tree is consistent with any tree, so no proof is necessary.")
	ruleEmptyRoot  = must(tlogWitness, "A checkpoint of size zero MUST have the root hash of the empty tree, which RFC 6962, Section 2.1 defines as the hash of the empty string. Otherwise, the witness MUST respond with a \"422 Unprocessable Entity\" HTTP status code.")
	ruleSameRoot   = must(tlogWitness, "If the old size matches the checkpoint size, the witness MUST check that the root hashes are also identical. If they don't match, the witness MUST respond with a \"422 Unprocessable Entity\" HTTP status code.")
	ruleLines      = must(tlogWitness, "The response body MUST be a sequence of one or more note signature lines, each starting with the — character (U+2014) and ending with a newline character (U+000A).")
	ruleCosigned   = must(tlogWitness, "The signatures MUST be cosignatures from the witness key(s) on the checkpoint.")
	ruleBadSig     = must(tlogWitness, "The witness MUST respond with a \"403 Forbidden\" HTTP status code if either no signature from a trusted key for the origin is present, or a signature line's key name and ID match a trusted key but the signature itself fails to verify.")
	ruleUnknownKey = must(tlogWitness, "The witness MUST verify the checkpoint signature against the public key(s) it trusts for the checkpoint origin, and it MUST ignore signatures from unknown keys.")
	ruleOrigin     = must(tlogWitness, "If the checkpoint origin is unknown, the witness MUST respond with a \"404 Not Found\" HTTP status code.")
	ruleSixteen    = must(signedNote, "Verifiers SHOULD apply a maximum limit to the number of signatures in a note (or, equivalently, to the overall size of a note), but MUST accept at least up to 16 signatures.")
	ruleBody       = form(tlogWitness, "The request body MUST be a sequence of an old size line, zero or more consistency proof lines, and an empty line, followed by a checkpoint.")
	ruleNewline    = form(tlogWitness, "Each line MUST terminate in a newline character (U+000A).")
	ruleOldLine    = form(tlogWitness, "The old size line MUST consist of the string old, a single space (0x20), and the tree size of the previous checkpoint encoded as an ASCII decimal with no leading zeroes (unless the size is zero, in which case the encoding MUST be 0).")
	ruleProofLine  = form(tlogWitness, "Each consistency proof line MUST encode a single hash in base64.")
	ruleSizeLine   = form(tlogCheckpoint, "The second line is the tree size, the ASCII decimal representation of the number of leaves in the tree, with no leading zeroes (unless the tree is empty, in which case the tree size is 0).")
	ruleRootLine   = form(tlogCheckpoint, "The third line is the root hash, the base64 encoding of the root of the RFC 6962 Merkle hash tree at the specified tree size.")
	ruleControl    = form(signedNote, "Signed notes MUST be valid UTF-8 and MUST NOT contain any ASCII control characters (those below U+0020) other than newline.")
	ruleSigLine    = form(signedNote, "A signed note consists of a text ending in newline (U+000A), followed by a blank line (only a newline), followed by one or more signature lines of this form: em dash (U+2014), space (U+0020), key name, space, base64-encoded signature, newline.")
	ruleAlphabet   = must(rfc4648, "Implementations MUST reject the encoded data if it contains characters outside the base alphabet when interpreting base-encoded data, unless the specification referring to this document explicitly states otherwise. (section 3.3)")
	rulePadBits    = Rule{May, rfc4648, "[…] decoders MAY chose to reject an encoding if the pad bits have not been set to zero. (section 3.5)"}
	ruleExtensions = must(tlogCosignature, "Extension lines MAY be included in the checkpoint by the log, and if present MUST be included in the cosigned message.")
	ruleTime       = must(tlogCosignature, "timestamp is the time at which the cosignature was generated, as a POSIX timestamp. It MUST NOT exceed 2^63 - 1")
	ruleLargest    = must(tlogCosignature, "Semantically, a v1 cosignature is a statement that, as of the specified time, the consistent tree head with the largest size the cosigner has observed for the log identified by the origin line has the specified root hash.")
	ruleAtomic     = must(tlogWitness, "Note that checking the old size against the latest checkpoint and persisting the new checkpoint must be performed atomically.")
	ruleMonitor    = must(tlogWitness, "What GET <monitoring prefix>/<origin hash>/checkpoint returns has the cosignatures that add-checkpoint returned and the log's signatures that the witness verified.")
)

// The same in version 1.0.0, where it differs.
var (
	v1Proof      = must(tlogWitness, "The proof MUST be empty if the old size is zero.")
	v1EmptyRoot  = must(tlogCheckpoint, "The third line is the root hash, the base64 encoding of the root of the RFC 6962 Merkle hash tree at the specified tree size.")
	v1SameRoot   = must(tlogWitness, "If the old size matches the checkpoint size, the witness MUST check that the root hashes are also identical. If they don't match, the witness MUST respond with a \"409 Conflict\" HTTP status code.")
	v1Unsigned   = must(tlogWitness, "If none of the signatures verify against a trusted public key, the witness MUST respond with a \"403 Forbidden\" HTTP status code.")
	v1BesideGood = should(signedNote, "If a signature from a known key fails to verify, clients SHOULD reject the whole note.")
)

// definition is a case before it has a number.
type definition struct {
	name string
	rule Rule
	v1   *Rule // in version 1.0.0, if it differs
	run  func(*session) error
}

func definitions() []definition {
	var list []definition
	for _, group := range []func() []definition{
		firstCases, growthCases, answerCases, signatureCases, sizeCases, proofCases,
		oldLineCases, bodyCases, proofLineCases, checkpointCases, httpCases, raceCases, monitorCases, lastCases,
	} {
		list = append(list, group()...)
	}
	return list
}
