package witness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/proofs/fraud"
)

const (
	conflictSuffix = ".conflict"
	// maxPerOrigin bounds the files of one log: whoever signs two histories can
	// sign any number of them, and one is proof enough.
	maxPerOrigin = 100
)

// EvidenceDir is a directory of evidence: one file per conflict, which anyone
// can check with only the public keys (fraud.Conflict). An id names a file: 16
// hex digits of the origin's hash and the two sizes.
type EvidenceDir struct {
	// Path of the directory. It is created when needed.
	Path string
}

// Keep stores a conflict durably, unless the directory has one of the same
// origin and sizes, or too many of the origin: then isNew is false.
func (d *EvidenceDir) Keep(origin string, c fraud.Conflict) (id string, isNew bool, err error) {
	v, err := c.Claim()
	if err != nil {
		return "", false, err
	}
	prefix := HashOrigin(origin).String()[:16]
	id = fmt.Sprintf("%s-%d-%d", prefix, v.Older.N, v.Newer.N)
	if err := os.MkdirAll(d.Path, 0o755); err != nil {
		return "", false, err
	}
	have, err := d.List()
	if err != nil {
		return "", false, err
	}
	ofOrigin := slices.DeleteFunc(slices.Clone(have), func(id string) bool { return !strings.HasPrefix(id, prefix+"-") })
	if slices.Contains(have, id) || len(ofOrigin) >= maxPerOrigin {
		return id, false, nil
	}
	return id, true, durable.WriteFile(filepath.Join(d.Path, id+conflictSuffix), c.Marshal(), 0o644)
}

// List returns the ids of the stored files, in order; none if the directory
// does not exist.
func (d *EvidenceDir) List() ([]string, error) {
	entries, err := os.ReadDir(d.Path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), conflictSuffix); ok && e.Type().IsRegular() {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Read returns the file with an id. The error wraps os.ErrNotExist if it does
// not exist.
func (d *EvidenceDir) Read(id string) ([]byte, error) {
	if id != filepath.Base(id) || strings.HasPrefix(id, ".") {
		return nil, fmt.Errorf("%.80q is not the id of an evidence file", id)
	}
	return os.ReadFile(filepath.Join(d.Path, id+conflictSuffix))
}
