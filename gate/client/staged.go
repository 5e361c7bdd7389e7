package client

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// Staged is a repository that is to be published, as far as a gate has to see it.
type Staged struct {
	Path       string        // of timestamp.json
	Repository tuf.Digest    // the payload of root 1; zero: that is not there
	Root       *tuf.Metadata // the newest
	Timestamp  *tuf.Metadata

	files map[string][]byte // by their names as a repository serves them
}

// rootHistory is the folder in which tuf-on-ci keeps the roots.
const rootHistory = "root_history"

// ReadStaged reads a repository's metadata from a folder, with the proofs beside it: all
// roots, the timestamp, the snapshot that it lists, and what that lists.
func ReadStaged(dir string) (*Staged, error) {
	s := &Staged{Path: filepath.Join(dir, "timestamp.json"), files: map[string][]byte{}}
	if err := s.readRoots(dir); err != nil {
		return nil, err
	}
	file, err := regular.ReadSome(s.Path, tuf.MaxFileSize+1)
	if err != nil {
		return nil, err
	}
	if s.Timestamp, err = tuf.ParseJSON(file); err == nil && s.Timestamp.Timestamp == nil {
		err = fmt.Errorf("it is %s metadata", s.Timestamp.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Path, err)
	}
	s.files["timestamp.json"] = file
	listed := s.Timestamp.Timestamp.Snapshot()
	file, err = s.read(dir, tuf.RoleSnapshot, listed.Version)
	if err != nil {
		return nil, err
	}
	snapshot, err := tuf.ParseJSON(file)
	if err == nil && snapshot.Snapshot == nil {
		err = fmt.Errorf("it is %s metadata", snapshot.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: snapshot %d: %w", dir, listed.Version, err)
	}
	for name, f := range snapshot.Snapshot.TargetsMetadata() {
		// What is not there may not be delegated to any more; otherwise the gate says so.
		if _, err := s.read(dir, strings.TrimSuffix(name, ".json"), f.Version); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return s, nil
}

func (s *Staged) readRoots(dir string) error {
	for _, folder := range []string{dir, filepath.Join(dir, rootHistory)} {
		entries, err := os.ReadDir(folder)
		if err != nil && (folder == dir || !errors.Is(err, fs.ErrNotExist)) {
			return err
		}
		for _, e := range entries {
			digits, ok := strings.CutSuffix(e.Name(), ".root.json")
			version, err := proofs.ParseDecimal(digits)
			if !ok || err != nil {
				continue
			}
			if err := s.root(folder, e.Name(), version); err != nil {
				return err
			}
		}
	}
	if s.Root == nil {
		return fmt.Errorf("%s: no root there: want files such as 1.root.json", dir)
	}
	return nil
}

func (s *Staged) root(folder, name string, version int64) error {
	file, err := s.readFile(filepath.Join(folder, name), name)
	if err != nil {
		return err
	}
	m, err := tuf.ParseJSON(file)
	if err == nil && (m.Root == nil || m.Version != version) {
		err = fmt.Errorf("it is %s %d", m.Type, m.Version)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(folder, name), err)
	}
	if s.Root == nil || m.Version > s.Root.Version {
		s.Root = m
	}
	if m.Version == 1 {
		s.Repository = m.PayloadDigest
	}
	return nil
}

// read reads a role's file under one of the names that it may have in a folder.
func (s *Staged) read(dir, role string, version int64) ([]byte, error) {
	escaped, prefix := tuf.EscapeRole(role), strconv.FormatInt(version, 10)+"."
	served := escaped + ".json"
	names := []string{role + ".json", served}
	if s.Root.Root.ConsistentSnapshot {
		served = prefix + served
		names = []string{prefix + role + ".json", served}
	}
	for _, name := range names {
		if !filepath.IsLocal(name) || filepath.Base(name) != name {
			continue
		}
		file, err := s.readFile(filepath.Join(dir, name), served)
		if !errors.Is(err, fs.ErrNotExist) {
			return file, err
		}
	}
	return nil, &fs.PathError{Op: "read", Path: filepath.Join(dir, served), Err: fs.ErrNotExist}
}

// readFile reads a file and the proofs beside it.
func (s *Staged) readFile(path, served string) ([]byte, error) {
	file, err := regular.ReadSome(path, tuf.MaxFileSize+1)
	if err != nil {
		return nil, err
	}
	s.files[served] = file
	for _, suffix := range []string{verify.SidecarSuffix, verify.LatestSuffix} {
		switch proof, err := regular.ReadSome(path+suffix, proofs.MaxProofSize+1); {
		case err == nil:
			s.files[served+suffix] = proof
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return file, nil
}

// Keys returns the keys that may sign the timestamp.
func (s *Staged) Keys() tuf.KeySet { return s.Root.Root.KeySet(tuf.RoleTimestamp) }

// Lacks returns how many signatures the timestamp lacks.
func (s *Staged) Lacks() int {
	return max(0, s.Keys().Threshold()-len(s.Timestamp.Signers(s.Keys())))
}

// Tar returns the files as a gate takes them: without folders, under the names that a
// repository serves them by, timestamp.json first, by which a gate knows whether to read on.
func (s *Staged) Tar() ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	names := slices.Sorted(maps.Keys(s.files))
	if i := slices.Index(names, "timestamp.json"); i > 0 {
		names = slices.Insert(slices.Delete(names, i, i+1), 0, "timestamp.json")
	}
	for _, name := range names {
		file := s.files[name]
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(file)), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}); err != nil {
			return nil, err
		}
		if _, err := w.Write(file); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
