package anchored

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/tuflog/tuflog/audit/anchor"
	"github.com/tuflog/tuflog/audit/rekor"
	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/proofs"
)

// memory is what is known of the entries of an instance under a log's keys. It saves work, and has
// what is not read twice. If it is lost, everything is read and looked for again.
type memory struct {
	Version   int                       `json:"version"`   // memoryVersion
	Instance  string                    `json:"instance"`  // of which instance it is, as identity says
	Positions map[string]rekor.Position `json:"positions"` // of v2, by the log's key: how far was read; of v1, under followed
	// Entries has one of each digest that fits no tree of the log, or that has not been judged yet.
	Entries []Entry `json:"entries"`
	// Open is how many of Entries are not known to be orphans: open, or not judged yet.
	Open int `json:"open,omitempty"`
	// Fits has a record of each digest that is a note text of the log's tree, of entries and of receipts:
	// see fit.
	Fits []byte `json:"fits"`
	// Dropped is how many entries fitted of which there is no record any more: they are read again if
	// the log shows another history.
	Dropped int `json:"dropped,omitempty"`
	// Read has the hashes of the leaves of v1 that were read and verified, one after the other:
	// those of Entries, of others with the same digests, and of other kinds of entries. They are not
	// asked for again.
	Read []byte `json:"read,omitempty"`
	// None has the digests that are note texts of no tree up to the edge.
	None []string `json:"none"`
	Edge string   `json:"edge"` // of the tree that those of Fits begin, as proofs.Edge.MarshalText prints it

	fits map[string]fit // by digest in hex
	was  [sha256.Size]byte
}

// fit is a digest that is the note text of a tree of the log. A record of it has 56 bytes: the digest,
// and three numbers, big-endian.
type fit struct {
	size  int64 // of that tree
	time  int64 // of the entry, in POSIX seconds; 0: it is of a receipt alone
	index int64 // of the entry
}

const fitRecord = sha256.Size + 3*8

const memoryVersion = 2

// Bounds of what is remembered. Anyone can make entries that do not fit, and the log those that do. In all
// that is less than maxMemory, with DefaultStrange entries that do not fit, of about 500 bytes each, unless the instance lists more leaves of v1 than it may.
const (
	maxMemory   = 128 << 20 // bytes
	maxFits     = 200_000   // records of those that do: of 75 bytes in JSON
	maxEvidence = 8 << 20   // bytes of entries, as the instance gave them, of about 3 KiB each
)

func (f *Folder) memoryFile() string { return filepath.Join(f.path, "memory.json") }

// remember reads the memory. One that cannot be read, or that is of another instance, counts as lost.
func (l *Ledger) remember() (*memory, error) {
	empty := &memory{Version: memoryVersion, Instance: identity(l.Instance), Positions: map[string]rekor.Position{}, fits: map[string]fit{}}
	b, err := regular.ReadSome(l.Folder.memoryFile(), maxMemory+1)
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	if err != nil {
		return nil, err
	}
	m := &memory{fits: map[string]fit{}}
	if len(b) > maxMemory || json.Unmarshal(b, m) != nil || m.Version != memoryVersion || m.Instance != empty.Instance || m.Positions == nil {
		return empty, nil
	}
	m.was = sha256.Sum256(b)
	now := l.now() // a clock may have been ahead
	for r := range slices.Chunk(m.Fits, fitRecord) {
		if len(r) == fitRecord {
			n := func(i int) int64 { return int64(binary.BigEndian.Uint64(r[sha256.Size+8*i:])) }
			m.fits[hex.EncodeToString(r[:sha256.Size])] = fit{n(0), min(n(1), now.Unix()), n(2)}
		}
	}
	for i := range m.Entries {
		m.Entries[i].notAfter(now)
	}
	return m, nil
}

// identity says which instance it is that was read: another one may have its name one day.
func identity(i *rekor.Instance) string { return fmt.Sprintf("v%d %s", i.Version(), i.URL()) }

// save writes the memory if it is another than the one that was read or written last.
func (f *Folder) save(m *memory) error {
	m.Fits = m.Fits[:0]
	for d, x := range m.fits {
		b, err := hex.DecodeString(d)
		if err != nil {
			return err
		}
		for _, n := range []int64{x.size, x.time, x.index} {
			b = binary.BigEndian.AppendUint64(b, uint64(n))
		}
		m.Fits = append(m.Fits, b...)
	}
	m.Fits = sorted(m.Fits)
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(b)
	if sum == m.was {
		return nil
	}
	if len(b) > maxMemory {
		return fmt.Errorf("what is remembered of the instance takes %d bytes, more than %d", len(b), maxMemory)
	}
	if err := durable.WriteFile(f.memoryFile(), b, 0o644); err != nil {
		return err
	}
	m.was = sum
	return nil
}

func sorted(records []byte) []byte {
	list := slices.Collect(slices.Chunk(records, fitRecord))
	slices.SortFunc(list, bytes.Compare)
	return slices.Concat(list...)
}

// fitting returns the entries of which it is remembered that they fitted.
func (m *memory) fitting() []Entry {
	var list []Entry
	for d, x := range m.fits {
		if x.time != 0 {
			list = append(list, Entry{Digest: d, LogIndex: x.index, Time: time.Unix(x.time, 0).UTC()})
		}
	}
	return list
}

// moved notes how far an instance was read. A checkpoint of the same text, perhaps signed again, is not
// news.
func (m *memory) moved(key string, to rekor.Position) {
	before := m.Positions[key]
	x, _, err := parseSigned([]byte(before.Checkpoint))
	y, _, err2 := parseSigned([]byte(to.Checkpoint))
	if err == nil && err2 == nil && x.Text == y.Text {
		to.Checkpoint = before.Checkpoint
	}
	m.Positions[key] = to
}

// readAgain lets the next audit read everything again.
func (m *memory) readAgain() {
	m.Dropped, m.Read = 0, nil
	for key, at := range m.Positions {
		at.Next = 0
		m.Positions[key] = at
	}
}

// edge returns the edge of the tree that the fits begin; false: there is none.
func (m *memory) edge() (*proofs.Edge, bool) {
	edge := new(proofs.Edge)
	return edge, m.Edge != "" && edge.UnmarshalText([]byte(m.Edge)) == nil
}

// resume returns a search for digests that goes on where the last one ended, if each of them was
// found or looked for then; nil: there is none. It reads the leaves since then even if all were
// found.
func (m *memory) resume(origin string, wanted []anchor.Digest, size int64) *anchor.Search {
	edge, ok := m.edge()
	if !ok || edge.Tree().N > size {
		return nil
	}
	none := map[string]bool{}
	for _, d := range m.None {
		none[d] = true
	}
	var missing []anchor.Digest
	for _, d := range wanted {
		name := hex.EncodeToString(d[:])
		if _, found := m.fits[name]; found {
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
			m.fits[name] = fit{size: size}
		} else if _, found := m.fits[name]; !found {
			m.None = append(m.None, name)
		}
	}
	slices.Sort(m.None)
	edge, err := s.Edge().MarshalText()
	m.Edge = string(edge)
	return err
}

// note remembers what was judged: the entries, of those that do not fit up to most, and the digests of
// receipts that fit. It returns how many entries that do not fit found no room: orphans, which have been
// told, and if others do not either, as after the log has shown another history, all is read again.
func (m *memory) note(judged []Judged, receipts []string, most int) (forgotten int) {
	fits := make(map[string]fit, len(m.fits))
	for _, d := range receipts {
		fits[d] = fit{size: m.fits[d].size}
	}
	m.Entries = nil
	var strange, dated []Judged
	for _, j := range judged {
		if j.Verdict != anchor.Consistent {
			strange = append(strange, j)
			continue
		}
		dated = append(dated, j)
	}
	if n := len(dated) - maxFits; n > 0 { // the oldest are only counted
		m.Dropped += n
		dated = dated[n:]
	}
	for _, j := range dated {
		fits[j.Digest] = fit{j.Size, j.Time.Unix(), j.LogIndex}
	}
	m.fits = fits
	slices.SortStableFunc(strange, func(x, y Judged) int { return cmp.Compare(rank(x), rank(y)) })
	if forgotten = max(0, len(strange)-most); forgotten > 0 {
		if strange[forgotten-1].Verdict != anchor.Orphan {
			m.readAgain()
		}
		strange = strange[forgotten:]
	}
	m.Open = 0
	for _, j := range strange {
		m.Entries = append(m.Entries, j.Entry)
		m.Open += rank(j)
	}
	m.Entries = oldest(m.Entries)
	trim(m.Entries)
	return forgotten
}

// rank is 0 of an orphan, and 1 of what may become one.
func rank(j Judged) int {
	if j.Verdict == anchor.Orphan {
		return 0
	}
	return 1
}

// trim leaves of all but the newest entries what the instance gave.
func trim(entries []Entry) {
	left := maxEvidence
	for i := range slices.Backward(entries) {
		if left -= len(entries[i].Entry); left < 0 {
			entries[i].Entry = nil
		}
	}
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
