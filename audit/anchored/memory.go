package anchored

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/tuflog/tuflog/audit/anchor"
	"github.com/tuflog/tuflog/audit/rekor"
	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/proofs"
)

// memory is what is known of the entries of an instance under a log's keys. It saves work, and of
// v2 it has what is not read twice. If it is lost, everything is read and looked for again.
type memory struct {
	Version   int                       `json:"version"`   // memoryVersion
	Positions map[string]rekor.Position `json:"positions"` // of v2, by the log's key: how far was read; of v1, under followed
	// Entries has one of each digest.
	Entries []Entry `json:"entries"`
	// Read has the hashes of the leaves of v1 that were read and verified, one after the other:
	// those of Entries, of others with the same digests, and of other kinds of entries. They are not
	// asked for again.
	Read []byte `json:"read,omitempty"`
	// Sizes has the trees whose note texts were found, by the digests in hex: trees that the one at
	// the edge continues.
	Sizes map[string]int64 `json:"sizes"`
	// None has the digests that are note texts of no tree up to the edge.
	None []string `json:"none"`
	Edge string   `json:"edge"` // as proofs.Edge.MarshalText prints it
}

const (
	memoryVersion = 1
	maxMemory     = 256 << 20 // bytes
)

func (f *Folder) memoryFile() string { return filepath.Join(f.path, "memory.json") }

// remember reads the memory. One that cannot be read counts as lost.
func (f *Folder) remember() (*memory, error) {
	empty := &memory{Version: memoryVersion, Positions: map[string]rekor.Position{}, Sizes: map[string]int64{}}
	b, err := regular.ReadSome(f.memoryFile(), maxMemory+1)
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	if err != nil {
		return nil, err
	}
	m := *empty
	if len(b) > maxMemory || json.Unmarshal(b, &m) != nil || m.Version != memoryVersion || m.Positions == nil || m.Sizes == nil {
		return empty, nil
	}
	return &m, nil
}

func (f *Folder) save(m *memory) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if len(b) > maxMemory {
		return fmt.Errorf("what is remembered of the instance takes %d bytes, more than %d", len(b), maxMemory)
	}
	return durable.WriteFile(f.memoryFile(), b, 0o644)
}

// resume returns a search for digests that goes on where the last one ended, if each of them was
// found or looked for then; nil: there is none. It reads the leaves since then even if all were
// found.
func (m *memory) resume(origin string, wanted []anchor.Digest, size int64) *anchor.Search {
	edge := new(proofs.Edge)
	if m.Edge == "" || edge.UnmarshalText([]byte(m.Edge)) != nil || edge.Tree().N > size {
		return nil
	}
	none := map[string]bool{}
	for _, d := range m.None {
		none[d] = true
	}
	var missing []anchor.Digest
	for _, d := range wanted {
		name := hex.EncodeToString(d[:])
		if _, found := m.Sizes[name]; found {
			continue
		}
		if !none[name] {
			return nil
		}
		missing = append(missing, d)
	}
	return anchor.ResumeSearch(origin, missing, edge)
}

// learn takes over what a search has shown, which reached the tree of a checkpoint.
func (m *memory) learn(s *anchor.Search, wanted []anchor.Digest) error {
	m.None = m.None[:0]
	for _, d := range wanted {
		name := hex.EncodeToString(d[:])
		if size, ok := s.Size(d); ok {
			m.Sizes[name] = size
		} else if _, found := m.Sizes[name]; !found {
			m.None = append(m.None, name)
		}
	}
	edge, err := s.Edge().MarshalText()
	m.Edge = string(edge)
	return err
}

// maxEvidence is how many bytes of entries, as the instance gave them, are remembered of those that
// are the text of no tree of the log; an entry has about 3 KiB.
const maxEvidence = 64 << 20

// note remembers the entries that were judged, the newest that do not fit as the instance gave them.
func (m *memory) note(judged []Judged) {
	m.Entries = nil
	left := maxEvidence
	for _, j := range slices.Backward(judged) {
		e := j.Entry
		if left -= len(e.Entry); j.Verdict == anchor.Consistent || left < 0 {
			e.Entry = nil
		}
		m.Entries = append(m.Entries, e)
	}
	slices.Reverse(m.Entries)
}

// leaves returns what Read has.
func (m *memory) leaves() map[proofs.Hash]bool {
	read := map[proofs.Hash]bool{}
	for leaf := range slices.Chunk(m.Read, len(proofs.Hash{})) {
		if len(leaf) == len(proofs.Hash{}) {
			read[proofs.Hash(leaf)] = true
		}
	}
	return read
}
