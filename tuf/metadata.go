package tuf

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"errors"
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
	m.FileDigest = Sum(m.File)
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

// reader reads the parts of a metadata file, each method one of them. What a file
// lists by the hundred thousand, targets and metadata files, is checked and not
// kept: a fileIndex finds it again in the payload, and has the same methods read it.
type reader struct {
	scanner
	keep   bool // hashes and custom of a target, for a fileIndex
	m      *Metadata
	keyIDs seen // of the signatures
	listed int  // patterns, hash prefixes and key ids of the delegations
}

// seen notes which names of an object were there.
type seen map[string]bool

func (r *reader) require(at int, has seen, names ...string) error {
	for _, name := range names {
		if !has[name] {
			return r.errorf(at, "%q is missing", name)
		}
	}
	return nil
}

func (r *reader) file() error {
	const printed = "0" // stands in out for a part that is no longer needed there
	r.space()
	at := r.pos
	has := seen{}
	err := r.record(fileNames, func(name string) error {
		// Not only once the object ends: two parts would be read into one.
		if has[name] {
			return r.errorf(r.nameAt, "name %q is repeated", name)
		}
		has[name] = true
		start := len(r.out)
		switch name {
		case "signatures":
			err := r.signatures()
			r.out = append(r.out[:start], printed...)
			return err
		case "signed":
			err := r.signed()
			r.m.Payload = slices.Clip(r.out[start:])
			// Nothing may touch the payload now.
			r.out = append(slices.Clone(r.out[:start]), printed...)
			r.scratch, r.order = nil, nil
			return err
		}
		return r.errorf(r.pos, "a metadata file has signatures and signed, nothing else")
	})
	if err != nil {
		return err
	}
	if err := r.require(at, has, fileNames...); err != nil {
		return err
	}
	if r.space(); r.pos < len(r.src) {
		return r.errorf(r.pos, "%s after the end of the metadata", r.found())
	}
	if most := unsignedMost(r.m.Payload, len(r.keyIDs)); len(r.src) > most {
		return r.errorf(most, "file of %d bytes, the limit for a payload of %d bytes with %d signatures is %d: signatures cover only the payload",
			len(r.src), len(r.m.Payload), len(r.keyIDs), most)
	}
	return nil
}

func (r *reader) signatures() error {
	return r.array(func(i int) error {
		if i >= MaxSignatures {
			return r.errorf(r.pos, "more than %d signatures", MaxSignatures)
		}
		return r.signature()
	})
}

func (r *reader) signature() error {
	at := r.pos
	has := seen{}
	var sig Signature
	notHex := false
	err := r.record(signatureNames, func(name string) (err error) {
		has[name] = true
		switch name {
		case "keyid":
			sig.KeyID, err = r.keyID()
		case "sig":
			var text []byte
			if text, err = r.text(); err != nil {
				return err
			}
			// What kind of signature it should be is for those to know who can
			// check it: here it is none, like an empty one.
			sig.Sig = make([]byte, hex.DecodedLen(len(text)))
			if _, err := hex.Decode(sig.Sig, text); err != nil {
				sig.Sig, notHex = nil, true
			}
		default:
			err = r.signatureField(name)
		}
		return err
	})
	if err == nil {
		err = r.require(at, has, signatureNames...)
	}
	if err != nil {
		return err
	}
	if r.keyIDs[sig.KeyID] {
		return r.errorf(at, "second signature under key id %q", Clip(sig.KeyID))
	}
	r.keyIDs[sig.KeyID] = true
	r.kept += 64 + len(sig.KeyID) + len(sig.Sig)
	switch {
	case notHex:
		r.m.NotHex = append(r.m.NotHex, sig.KeyID)
	case len(sig.Sig) > 0:
		r.m.Signatures = append(r.m.Signatures, sig)
	}
	return nil
}

// keyID reads the key id of a signature, which nothing signs.
func (r *reader) keyID() (string, error) {
	r.space()
	at := r.pos
	id, err := r.text()
	if err == nil && len(id) > MaxKeyID {
		err = r.errorf(at, "key id of %d bytes, the limit is %d", len(id), MaxKeyID)
	}
	return string(id), err
}

// signatureField reads what else is in a signature. Its meaning is its writer's.
func (r *reader) signatureField(name string) error {
	at := r.pos
	if len(name) > MaxSignatureField {
		return r.errorf(at, "name of %d bytes in a signature, the limit is %d", len(name), MaxSignatureField)
	}
	if err := r.skip(); err != nil {
		return err
	}
	most := MaxSignatureField
	if name == "bundle" {
		most = MaxBundle
	}
	if n := r.pos - at; n > most {
		return r.errorf(at, "%d bytes in a signature, the limit is %d", n, most)
	}
	return nil
}

// signed reads the value of "signed". Which names it may have depends on its
// _type, which need not come first.
func (r *reader) signed() error {
	at := r.pos
	typ, typeAt, err := r.findType()
	if err != nil {
		return err
	}
	names, ok := signedNames[typ]
	if !ok {
		return inside(r.errorf(typeAt, "%q, want root, targets, snapshot or timestamp", Clip(typ)), "._type")
	}
	r.m.Type = typ
	r.start()
	has := seen{}
	err = r.record(names, func(name string) (err error) {
		has[name] = true
		switch name {
		case "_type":
			_, err = r.text()
		case "spec_version":
			r.m.SpecVersion, err = r.word()
		case "version":
			r.m.Version, err = r.integer(1, MaxVersion)
		case "expires":
			r.m.Expires, err = r.date()
		default:
			err = r.part(name)
		}
		return err
	})
	if err != nil {
		return err
	}
	return r.finish(at, has)
}

// start makes room for the parts of the file's type.
func (r *reader) start() {
	switch r.m.Type {
	case RoleRoot:
		r.m.Root = &Root{}
	case RoleTargets:
		r.m.Targets = &Targets{}
	case RoleSnapshot:
		r.m.Snapshot = &Meta{}
	case RoleTimestamp:
		r.m.Timestamp = &Meta{}
	}
}

// part reads a member of "signed" that only some types have.
func (r *reader) part(name string) error {
	m := r.m
	switch {
	case m.Root != nil && name == "consistent_snapshot":
		var err error
		m.Root.ConsistentSnapshot, err = r.boolean()
		return err
	case m.Root != nil && name == "keys":
		return r.keys(&m.Root.Keys)
	case m.Root != nil && name == "roles":
		return r.rootRoles(m.Root)
	case m.Targets != nil && name == "targets":
		return r.targetFiles(&m.Targets.files)
	case m.Targets != nil && name == "delegations":
		return r.delegations(m.Targets)
	case m.Snapshot != nil && name == "meta":
		return r.meta(&m.Snapshot.files)
	case m.Timestamp != nil && name == "meta":
		return r.meta(&m.Timestamp.files)
	}
	return r.skip()
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

// finish checks that nothing is missing from "signed".
func (r *reader) finish(at int, has seen) error {
	if err := r.require(at, has, "_type", "spec_version", "version", "expires"); err != nil {
		return err
	}
	switch r.m.Type {
	case RoleRoot:
		return r.require(at, has, "keys", "roles")
	case RoleTargets:
		return r.require(at, has, "targets")
	default:
		return r.require(at, has, "meta")
	}
}

// findType looks ahead for the _type of the object at the scanner and says where
// it is. It is nearly always the first member; if not, what comes before it is
// read twice.
func (r *reader) findType() (typ string, at int, err error) {
	// What it prints is printed again.
	ahead := &scanner{src: r.src, pos: r.pos, depth: r.depth, out: r.out, starts: r.starts}
	stop := errors.New("found")
	err = ahead.record(nil, func(name string) (err error) {
		if name != "_type" {
			// The second reading judges nulls, where it knows what is custom.
			ahead.nulls = 1
			return ahead.skip()
		}
		at = ahead.pos
		if typ, err = ahead.word(); err != nil {
			return err
		}
		return stop
	})
	switch err {
	case stop:
		return typ, at, nil
	case nil:
		return "", 0, r.errorf(r.pos, `"_type" is missing`)
	}
	return "", 0, err
}

// date reads a time as RFC 3339 writes it. time.Parse alone would accept a
// comma before the fraction, hours of one digit and offsets like +99:99.
func (r *reader) date() (time.Time, error) {
	at := r.pos
	text, err := r.word()
	if err != nil {
		return time.Time{}, err
	}
	t, ok := parseDate(text)
	if !ok {
		return time.Time{}, r.errorf(at, "%q is not a time as in RFC 3339", Clip(text))
	}
	return t, nil
}

func parseDate(text string) (time.Time, bool) {
	const shape = "dddd-dd-ddTdd:dd:dd"
	if len(text) <= len(shape) || !hasShape(text[:len(shape)], shape) {
		return time.Time{}, false
	}
	zone := text[len(shape):]
	if zone[0] == '.' {
		digits := len(zone[1:]) - len(strings.TrimLeft(zone[1:], "0123456789"))
		if digits == 0 {
			return time.Time{}, false
		}
		zone = zone[1+digits:]
	}
	if zone != "Z" {
		if !hasShape(zone, "+dd:dd") && !hasShape(zone, "-dd:dd") || zone[1:3] > "23" || zone[4:] > "59" {
			return time.Time{}, false
		}
	}
	t, err := time.Parse(time.RFC3339, text)
	return t, err == nil
}

// hasShape compares text with shape, in which d stands for any digit.
func hasShape(text, shape string) bool {
	if len(text) != len(shape) {
		return false
	}
	for i := range len(shape) {
		if c := text[i]; c != shape[i] && (shape[i] != 'd' || c < '0' || c > '9') {
			return false
		}
	}
	return true
}
