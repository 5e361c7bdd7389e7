package verify

import (
	"bytes"
	"sort"
	"sync"
)

// fileIndex is the part of a payload that lists files by name. Canonical JSON has the
// names in order, so that four bytes for each are enough to find one, and they are
// taken only where somebody looks. Its methods may be called from several
// goroutines.
type fileIndex struct {
	payload []byte
	n       int // files

	once sync.Once
	at   []uint32 // where each file's `"name":` begins in the payload
}

// find finds the files: they are the members of what "signed" has under field.
func (l *fileIndex) find(field string) {
	l.once.Do(func() {
		if l.n == 0 {
			return
		}
		b := l.payload
		l.at = make([]uint32, 0, l.n)
		for i := range members(b, 0) {
			end := stringEnd(b, i)
			if string(b[i+1:end-1]) != field {
				continue
			}
			for file := range members(b, end+len(":")) {
				l.at = append(l.at, uint32(file))
			}
			return
		}
	})
}

// name returns the name of file i, which may be a part of the payload.
func (l *fileIndex) name(i int) []byte {
	name, _ := l.reader(l.at[i]).text()
	return name
}

// reader reads the payload from some place on.
func (l *fileIndex) reader(at uint32) *reader {
	return &reader{scanner: scanner{src: l.payload, canonical: true, pos: int(at)}, keep: true}
}

// value returns a reader at what is said of file i.
func (l *fileIndex) value(i int) *reader {
	at := l.at[i]
	return l.reader(uint32(stringEnd(l.payload, int(at)) + len(":")))
}

// search returns which file has a name.
func (l *fileIndex) search(name string) (int, bool) {
	return sort.Find(len(l.at), func(i int) int { return bytes.Compare([]byte(name), l.name(i)) })
}
