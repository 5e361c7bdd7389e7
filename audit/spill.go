package audit

import (
	"errors"
	"os"
	"sync"

	"github.com/tuflog/tuflog/tuf"
)

// maxSpilled is about how many bytes a spill takes on disk: two files, of which the older
// is dropped when the newer is full.
const maxSpilled = 256 << 20

// spill keeps files on disk that are likely to be asked for again and find no room in memory:
// where leaves of very many repositories come in turn, the release before of each. It is a
// cache. What cannot be written, or is not read as it was written, is not there. The zero
// value is empty; it is safe for concurrent use.
type spill struct {
	mu         sync.Mutex
	now, older *spilled
	broken     bool // the disk takes nothing
}

// spilled is one file of a spill.
type spilled struct {
	f    *os.File
	at   map[tuf.Digest]span
	size int64
}

type span struct {
	offset int64
	length int32
}

func (s *spill) put(sum tuf.Digest, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken || len(content) > maxSpilled/4 {
		return
	}
	if s.now != nil {
		if _, ok := s.now.at[sum]; ok {
			return
		}
	}
	if s.now == nil || s.now.size+int64(len(content)) > maxSpilled/2 {
		f, err := os.CreateTemp("", "tuflog-auditor-*")
		if err != nil {
			s.broken = true
			return
		}
		_ = os.Remove(f.Name()) // where an open file cannot be removed, close does it
		_ = s.older.close()
		s.older, s.now = s.now, &spilled{f: f, at: map[tuf.Digest]span{}}
	}
	if _, err := s.now.f.WriteAt(content, s.now.size); err != nil {
		s.broken = true // what is there can still be read
		return
	}
	s.now.at[sum] = span{s.now.size, int32(len(content))}
	s.now.size += int64(len(content))
}

func (s *spill) get(sum tuf.Digest) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range []*spilled{s.now, s.older} {
		if in == nil {
			continue
		}
		at, ok := in.at[sum]
		if !ok {
			continue
		}
		content := make([]byte, at.length)
		if _, err := in.f.ReadAt(content, at.offset); err == nil && tuf.Sum(content) == sum {
			return content, true
		}
		delete(in.at, sum)
	}
	return nil, false
}

// close removes the files.
func (s *spill) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := errors.Join(s.now.close(), s.older.close())
	s.now, s.older = nil, nil
	return err
}

func (s *spilled) close() error {
	if s == nil {
		return nil
	}
	err := s.f.Close()
	if removed := os.Remove(s.f.Name()); removed != nil && !errors.Is(removed, os.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	return err
}
