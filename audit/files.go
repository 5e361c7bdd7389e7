package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/tuf"
)

// store keeps evidence in a directory, each finding's in a folder. The zero store keeps
// nothing.
//
//	DIR/lock               of the process that has the directory
//	DIR/state.sqlite       package state
//	DIR/evidence/*/        a folder for each finding that has evidence
//	DIR.newest             the newest note, beside the directory
type store struct{ dir string }

func openStore(dir string) (store, error) {
	if dir == "" {
		return store{}, nil
	}
	if err := os.MkdirAll(filepath.Join(dir, "evidence"), 0o755); err != nil {
		return store{}, fmt.Errorf("auditor state: %w", err)
	}
	return store{dir}, nil
}

// largeEvidence returns how many bytes of large files of evidence are kept, as far as it
// can be said.
func (s store) largeEvidence() int64 {
	if s.dir == "" {
		return 0
	}
	sum := int64(0)
	_ = filepath.WalkDir(filepath.Join(s.dir, "evidence"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if info, err := d.Info(); err == nil && info.Size() > largeEvidence {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

// EvidenceDir returns the folder of a finding's evidence in the state of its log.
func (f *Finding) EvidenceDir(stateDir string) string {
	return evidenceDir(stateDir, f.Kind, f.Digest())
}

// The folder's name has the whole digest: a finding that is made to be named like another
// must not take the place of its evidence.
func evidenceDir(stateDir string, kind Kind, sum tuf.Digest) string {
	return filepath.Join(stateDir, "evidence", fmt.Sprintf("%s-%s", filepath.Base(string(kind)), sum))
}

// saveEvidence writes a finding and its files. key makes the folder's name
// unique, and the same in every run.
func (s store) saveEvidence(f Finding, key tuf.Digest) error {
	if s.dir == "" || len(f.Evidence) == 0 {
		return nil
	}
	dir := evidenceDir(s.dir, f.Kind, key)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("auditor evidence: %w", err)
	}
	_ = durable.Sweep(dir)
	for _, e := range f.Evidence {
		if e.content == nil {
			continue
		}
		if err := durable.WriteFile(filepath.Join(dir, e.Name), e.content, 0o644); err != nil {
			return err
		}
	}
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(
		durable.WriteFile(filepath.Join(dir, "finding.json"), append(b, '\n'), 0o644),
		durable.SyncDir(filepath.Join(s.dir, "evidence")))
}
