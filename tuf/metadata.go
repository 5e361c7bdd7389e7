package tuf

import (
	"crypto/sha512"
	"encoding/hex"
	"iter"
	"slices"
	"sync"
	"time"
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

// Members yields the members of "signed" in the order of the payload: their names, as the
// payload spells them, and their values, as Member returns them. It yields nothing if the
// payload is not JSON.
func (m *Metadata) Members() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		if m.Encoding != JSON {
			return
		}
		ObjectMembers(m.Payload)(yield)
	}
}

// MayFollow reports whether a root may come after one of a version: in JSON the next one
// alone, in Pigweed, which does not climb from version to version, any later one.
func (m *Metadata) MayFollow(version int64) bool {
	if m.Encoding == Pigweed {
		return m.Version > version
	}
	return m.Version == version+1
}

// Expiry returns when the metadata expires, in POSIX seconds; 0: never, as Pigweed's.
func (m *Metadata) Expiry() int64 {
	if m.Encoding == Pigweed {
		return 0
	}
	return m.Expires.Unix()
}

// Memory returns about how many bytes the metadata takes besides its file.
func (m *Metadata) Memory() int {
	size := cap(m.Payload) + m.kept
	for _, l := range m.indexes() {
		size += 4 * l.n
	}
	if m.Targets != nil {
		size += m.Targets.listed.memory()
	}
	if m.Root != nil && m.Encoding != JSON { // ParseJSON has counted its keys
		for _, k := range m.Root.Keys {
			size += 512 + len(k.Public)
		}
	}
	return size
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
