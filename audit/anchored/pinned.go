package anchored

import (
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/regular"
)

// pinned is what a Keeper remembers of what it anchored, and of what it could not anchor, through
// restarts. If it is lost, the next checkpoint or the next audit shows the first part again.
type pinned struct {
	// Size is of the largest tree of which there is a receipt and which is the log's own: the
	// checkpoint was verified here, or an audit has found its text; -1: none.
	Size   int64  `json:"size"`
	Digest string `json:"digest,omitempty"` // of its text, in hex
	Time   int64  `json:"time,omitempty"`   // when its receipt was written; POSIX seconds
	// GoneSize is of the largest checkpoint that is neither anchored nor waits any more: the instance
	// refused it, the log did not sign it, or the queue was full. GoneTime is since when the first of
	// them was to be anchored; 0: there is none.
	GoneSize int64 `json:"gone_size,omitempty"`
	GoneTime int64 `json:"gone_time,omitempty"`
}

// anchored notes that a checkpoint is anchored.
func (p *pinned) anchored(size int64, digest string, at time.Time) {
	if size < p.Size || size == p.Size && digest == p.Digest {
		return
	}
	p.Size, p.Digest, p.Time = size, digest, at.Unix()
	if size >= p.GoneSize {
		p.GoneSize, p.GoneTime = 0, 0 // it pins them as well
	}
}

// lost notes a checkpoint that was to be anchored since a time and does not wait any more.
func (p *pinned) lost(size int64, since time.Time) {
	if p.GoneTime == 0 || since.Unix() < p.GoneTime {
		p.GoneTime = since.Unix()
	}
	p.GoneSize = max(p.GoneSize, size)
}

// maxPinned is how many bytes of that file are read.
const maxPinned = 4096

func (f *Folder) pinnedFile() string { return filepath.Join(f.path, "pinned.json") }

// pinned reads what is remembered. What cannot be read counts as lost.
func (f *Folder) pinned() (*pinned, error) {
	b, err := regular.ReadSome(f.pinnedFile(), maxPinned)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	p := &pinned{Size: -1}
	if err != nil || json.Unmarshal(b, p) != nil {
		return &pinned{Size: -1}, nil
	}
	return p, nil
}

func (f *Folder) savePinned(p *pinned) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return durable.WriteFile(f.pinnedFile(), append(b, '\n'), 0o644)
}
