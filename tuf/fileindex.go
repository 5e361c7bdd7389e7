package tuf

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

// fileReader reads files of a payload again, one after the other.
type fileReader struct {
	list *fileIndex
	reader
}

// reader returns a reader for one goroutine.
func (l *fileIndex) reader() *fileReader {
	return &fileReader{l, reader{scanner: scanner{src: l.payload, canonical: true}, keep: true}}
}

// to goes to some place of the payload.
func (r *fileReader) to(at int) *reader {
	r.pos = at
	r.out = r.out[:0] // what was read once is canonical, and nobody wants it again
	return &r.reader
}

// name returns the name of the file at a place, which may be a part of the payload.
func (r *fileReader) name(at uint32) []byte {
	name, _ := r.to(int(at)).text()
	return name
}

// value returns the reader at what is said of the file at a place.
func (r *fileReader) value(at uint32) *reader {
	return r.to(stringEnd(r.src, int(at)) + len(":"))
}

// search returns where the file of a name is.
func (r *fileReader) search(name string) (at uint32, ok bool) {
	i, ok := sort.Find(len(r.list.at), func(i int) int { return bytes.Compare([]byte(name), r.name(r.list.at[i])) })
	if ok {
		at = r.list.at[i]
	}
	return at, ok
}
