package tuf

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"
)

// Meta is the signed part of snapshot or timestamp metadata. Its methods may be
// called from several goroutines.
type Meta struct {
	files fileIndex
}

// Len returns how many metadata files are listed.
func (m *Meta) Len() int { return m.files.n }

// File returns the entry for a metadata file, by its name: "targets.json".
func (m *Meta) File(name string) (MetaFile, bool) {
	m.files.find("meta")
	r := m.files.reader()
	if at, ok := r.search(name); ok {
		return r.meta(at), true
	}
	return MetaFile{}, false
}

// Snapshot returns the timestamp's entry for the snapshot.
func (m *Meta) Snapshot() MetaFile {
	file, _ := m.File("snapshot.json") // no timestamp is without it
	return file
}

// Files yields the metadata files by name, in the order of the names' bytes. Each is
// read from the payload when it is its turn.
func (m *Meta) Files() iter.Seq2[string, MetaFile] {
	return func(yield func(string, MetaFile) bool) {
		m.files.find("meta")
		r := m.files.reader()
		for _, at := range m.files.at {
			name := string(r.name(at))
			if !yield(name, r.meta(at)) {
				return
			}
		}
	}
}

// TargetsMetadata yields the files that are metadata of targets or delegated roles.
func (m *Meta) TargetsMetadata() iter.Seq2[string, MetaFile] {
	return func(yield func(string, MetaFile) bool) {
		for name, file := range m.Files() {
			if IsTargetsMetadata(name) && !yield(name, file) {
				return
			}
		}
	}
}

// meta reads a metadata file's entry again. What was read once cannot fail; if it
// did, no file has version 0.
func (r *fileReader) meta(at uint32) MetaFile {
	file, err := r.value(at).metaFile()
	if err != nil {
		return MetaFile{Length: -1}
	}
	return file
}

// MetaFile describes a metadata file.
type MetaFile struct {
	Version int64
	Length  int64             // in bytes; -1: not given
	Hashes  map[string]string // lower-case hex by algorithm; nil: not given
}

var metaNames = []string{"version", "length", "hashes"}

// Matches returns nil if the file, at this version, is the one described.
// Length and hashes are compared where they are given; a list of hashes without
// a known algorithm matches no file.
func (f MetaFile) Matches(file []byte, version int64) error {
	if version != f.Version {
		return fmt.Errorf("metadata file has version %d, want %d", version, f.Version)
	}
	known, err := matches(file, f.Length, f.Hashes)
	if err == nil && !known && f.Hashes != nil {
		err = errors.New("metadata file: no SHA-256 or SHA-512 hash to compare with")
	}
	return err
}

// Describes is Matches for parsed metadata. The file is hashed once, however often
// Describes is called.
func (f MetaFile) Describes(m *Metadata) error {
	known := false
	for _, algorithm := range hashNames {
		want, ok := f.Hashes[algorithm]
		if !ok {
			continue
		}
		known = true
		got := m.FileDigest.String()
		if algorithm == "sha512" {
			got = m.sha512()
		}
		if got != want {
			return fmt.Errorf("%s of the file is %s, want %s", algorithm, got, want)
		}
	}
	if known {
		f.Hashes = nil
	}
	return f.Matches(m.File, m.Version)
}

func (r *reader) meta(files *fileIndex) error {
	at := r.pos
	const only = "snapshot.json" // in a timestamp
	var known []string
	if r.m.Type == RoleTimestamp {
		known = []string{only}
	}
	err := r.dict(known, func(key []byte) error {
		name := string(key)
		if known != nil && name != only {
			return r.errorf(r.pos, "a timestamp lists snapshot.json, nothing else")
		}
		files.n++
		if role := strings.TrimSuffix(name, ".json"); role != "" {
			if why := BadRoleName(role); why != "" {
				return r.errorf(r.pos, "metadata of a role %s", why)
			}
		}
		_, err := r.metaFile()
		return err
	})
	if err == nil && known != nil && files.n == 0 {
		err = r.errorf(at, "%q is missing", only)
	}
	return err
}

func (r *reader) metaFile() (MetaFile, error) {
	at := r.pos
	file := MetaFile{Length: -1}
	err := r.record(metaNames, func(name string) (err error) {
		switch name {
		case "version":
			file.Version, err = r.integer(1, MaxVersion)
		case "length":
			file.Length, err = r.integer(0, math.MaxInt64)
		case "hashes":
			file.Hashes, err = r.hashes()
		default:
			err = r.skip()
		}
		return err
	})
	if err == nil && file.Version == 0 {
		err = r.errorf(at, `"version" is missing`)
	}
	return file, err
}

// IsTargetsMetadata reports whether a snapshot's file is one of the roles of targets
// that TUF 5.5.5 means. Snapshots once listed root.json as well, and may stop
// listing it.
func IsTargetsMetadata(name string) bool {
	role, ok := strings.CutSuffix(name, ".json")
	return !ok || role == RoleTargets || !IsTopLevel(role)
}
