package tuf

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Limits of a metadata file. They are part of the rules by which a log is
// replayed, so they never depend on the machine.
const (
	MaxFileSize   = 32 << 20 // bytes
	MaxSignatures = 1024     // per file, empty ones included, each under another key id

	// The sender of a file controls all bytes that no signature covers, and a log
	// keeps them forever. So a file with a payload of n bytes has at most
	// PayloadFactor*n + UnsignedBytes + BytesPerSignature for each signature: room
	// for indentation and escapes, and for every kind of signature. When the file
	// is judged, only signatures under ids of the role's keys add to this limit.
	PayloadFactor     = 4
	UnsignedBytes     = 64 << 10
	BytesPerSignature = 16 << 10

	MaxKeyID = 256 // bytes of the key id of a signature; the hash of a key has 64 to 128

	// MaxSignatureField is how many bytes the name or the value of any other field
	// of a signature may take in the file. The specification knows none; in use is
	// "method". "bundle" is where securesystemslib puts a Sigstore identity's
	// signature; it may take MaxBundle bytes.
	MaxSignatureField = 64
	MaxBundle         = BytesPerSignature

	// MaxSigned is how many bytes the checked signatures may cover together: for
	// a payload of n bytes, MaxSigned/n signatures are checked. The owner of a
	// repository can list any number of key ids.
	MaxSigned = 512 << 20

	// MaxListed is how many members an object may have, such as that of the targets
	// or of the files of a snapshot, and how many patterns, hash prefixes and key ids
	// all delegations together.
	MaxListed = 200_000

	// MaxHashes is how many hashes a file may be listed with; two algorithms are
	// known.
	MaxHashes = 16

	// MaxRoleName is how many bytes the name of a role may have, percent-encoded
	// (EscapeRole): that always fits a leaf. MaxTargetPath is how many bytes a
	// target's path may have: the limit of a Linux path. No device could store the
	// metadata of a role, or a target, with a longer name, an empty one or one with
	// a NUL.
	MaxRoleName   = 3584
	MaxTargetPath = 4096

	MaxKeys        = 1024      // per root or delegations, and key ids and threshold per role
	MaxDelegations = 16384     // roles delegated to by one file
	MaxDepth       = 64        // arrays and objects around a value
	MaxBitLength   = 14        // of succinct delegations: at most MaxDelegations bins
	MaxVersion     = 1<<53 - 1 // the largest that every JSON reader can hold
)

// Encoding is the encoding of a metadata file.
type Encoding string

// The encodings a leaf can name.
const (
	JSON    Encoding = "json"    // TUF 1.0 JSON; the payload is the canonical JSON of "signed"
	Pigweed Encoding = "pigweed" // Pigweed's protobuf TUF; the payload is the serialized metadata
)

// Metadata is a parsed file. Exactly one of Root, Targets, Snapshot and
// Timestamp is set.
type Metadata struct {
	File          []byte // as it was given to the parser
	FileDigest    Digest
	Payload       []byte // the bytes that the signatures cover
	PayloadDigest Digest
	Encoding      Encoding
	Type          string // root, targets, snapshot or timestamp
	Version       int64
	SpecVersion   string
	Expires       time.Time
	Signatures    []Signature // each under another key id
	NotHex        []string    // key ids with a signature that is not hexadecimal
	Root          *Root
	Targets       *Targets
	Snapshot      *Meta
	Timestamp     *Meta

	kept int // about how many bytes what was built of it takes

	checks checks // of signatures that have been checked already
	spans  []span // of the payload's members; nil: they are to be looked for

	hashed     sync.Once
	fileSHA512 string // in hex, once it has been asked for
}

// sha512 returns the SHA-512 of the file, in hex.
func (m *Metadata) sha512() string {
	m.hashed.Do(func() {
		sum := sha512.Sum512(m.File)
		m.fileSHA512 = hex.EncodeToString(sum[:])
	})
	return m.fileSHA512
}

// Signature is one signature of a file; it need not be valid.
type Signature struct {
	KeyID string
	Sig   []byte // never empty
}

var (
	fileNames      = []string{"signatures", "signed"}
	signatureNames = []string{"keyid", "sig"}
	signedNames    = map[string][]string{
		RoleRoot:      {"_type", "spec_version", "version", "expires", "consistent_snapshot", "keys", "roles"},
		RoleTargets:   {"_type", "spec_version", "version", "expires", "targets", "delegations"},
		RoleSnapshot:  {"_type", "spec_version", "version", "expires", "meta"},
		RoleTimestamp: {"_type", "spec_version", "version", "expires", "meta"},
	}
)

// span is where the value of a member of "signed" is in the payload.
type span struct {
	name     string
	from, to uint32
}

// Member returns the value of a member of "signed" as the payload has it, in canonical
// JSON; nil if there is none, or if the payload is not JSON. Callers do not change it.
func (m *Metadata) Member(name string) []byte {
	if m.Encoding != JSON {
		return nil
	}
	if m.spans != nil {
		if i := slices.IndexFunc(m.spans, func(s span) bool { return s.name == name }); i >= 0 {
			return m.Payload[m.spans[i].from:m.spans[i].to]
		}
		if slices.Contains(signedNames[m.Type], name) {
			return nil
		}
	}
	for i := range members(m.Payload, 0) {
		end := stringEnd(m.Payload, i)
		if string(m.Payload[i+1:end-1]) == name {
			from := end + len(":")
			return m.Payload[from:valueEnd(m.Payload, from)]
		}
	}
	return nil
}

// Memory returns about how many bytes the metadata takes besides its file.
func (m *Metadata) Memory() int {
	size := cap(m.Payload) + m.kept
	for _, l := range m.indexes() {
		size += 4 * l.n
	}
	return size
}

// ParseJSON reads a file of JSON metadata. The error is a *SyntaxError. The
// result keeps file, which must not change afterwards. Signatures are not
// checked: see Metadata.Meets.
func ParseJSON(file []byte) (*Metadata, error) {
	m, err := parseJSON(file)
	if err == nil {
		m.FileDigest = Sum(file)
	}
	return m, err
}

// parseJSON is ParseJSON but for the digest of the file.
func parseJSON(file []byte) (*Metadata, error) {
	if len(file) > MaxFileSize {
		return nil, &SyntaxError{Reason: fmt.Sprintf("file of %d bytes, the limit is %d", len(file), MaxFileSize)}
	}
	if bytes.HasPrefix(file, []byte("\xef\xbb\xbf")) {
		return nil, &SyntaxError{Reason: "a byte order mark (EF BB BF) before the object: save the file without one"}
	}
	m := &Metadata{File: file, Encoding: JSON}
	r := &reader{scanner: scanner{src: file, out: make([]byte, 0, len(file))}, m: m, keyIDs: seen{}}
	if err := r.file(); err != nil {
		if e, ok := err.(*SyntaxError); ok {
			e.Path = strings.TrimPrefix(e.Path, ".")
		}
		return nil, err
	}
	m.kept = r.kept + len(file) - cap(m.Payload) // the payload has been given room for all of it
	m.PayloadDigest = Sum(m.Payload)
	for _, l := range m.indexes() {
		l.payload = m.Payload
	}
	return m, nil
}

// Parse reads a metadata file strictly, in the encoding that the repository has.
func Parse(encoding Encoding, file []byte) (*Metadata, error) {
	switch encoding {
	case JSON:
		return ParseJSON(file)
	default:
		return nil, fmt.Errorf("metadata in encoding %q cannot be read", encoding)
	}
}

// ParseKnown is Parse for a file of which the caller knows that sum is its SHA-256.
func ParseKnown(encoding Encoding, file []byte, sum Digest) (*Metadata, error) {
	if encoding != JSON {
		return Parse(encoding, file)
	}
	m, err := parseJSON(file)
	if err == nil {
		m.FileDigest = sum
	}
	return m, err
}

// indexes are what a file lists in its payload.
func (m *Metadata) indexes() []*fileIndex {
	switch {
	case m.Targets != nil:
		return []*fileIndex{&m.Targets.files}
	case m.Snapshot != nil:
		return []*fileIndex{&m.Snapshot.files}
	case m.Timestamp != nil:
		return []*fileIndex{&m.Timestamp.files}
	}
	return nil
}
