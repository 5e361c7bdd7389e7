package verify

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// Meta is the signed part of snapshot or timestamp metadata.
type Meta struct {
	Files map[string]MetaFile // by file name: "targets.json"
}

// MetaFile describes a metadata file.
type MetaFile struct {
	Version int64
	Length  int64             // in bytes; -1: not given
	Hashes  map[string]string // lower-case hex by algorithm; nil: not given
}

var metaNames = []string{"version", "length", "hashes"}

// Matches returns nil if a file of this version, and these bytes, is the one
// described. Length and hashes count where they are given; hashes of which this
// package knows none match nothing.
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

// describes is Matches for a file that has been read. It does not hash the file
// again where its SHA-256 is all that is asked for.
func (f MetaFile) describes(m *Metadata) error {
	if want, ok := f.Hashes["sha256"]; ok && want != m.FileDigest.String() {
		return fmt.Errorf("sha256 of the file is %v, want %s", m.FileDigest, want)
	} else if ok && len(f.Hashes) == 1 {
		f.Hashes = nil
	}
	return f.Matches(m.File, m.Version)
}

func (r *reader) meta(meta *Meta) error {
	at := r.pos
	meta.Files = map[string]MetaFile{}
	var known []string
	if r.m.Type == RoleTimestamp {
		known = []string{"snapshot.json"}
	}
	err := r.dict(known, func(name string) error {
		if known != nil && name != known[0] {
			return r.errorf(r.pos, "a timestamp lists snapshot.json, nothing else")
		}
		if len(meta.Files) >= MaxListed {
			return r.errorf(r.pos, "more than %d files", MaxListed)
		}
		if role := strings.TrimSuffix(name, ".json"); role != "" {
			if why := badRoleName(role); why != "" {
				return r.errorf(r.pos, "metadata of a role %s", why)
			}
		}
		file, err := r.metaFile()
		meta.Files[name] = file
		return err
	})
	if err != nil {
		return err
	}
	for _, name := range known {
		if _, ok := meta.Files[name]; !ok {
			return r.errorf(at, "%q is missing", name)
		}
	}
	return nil
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
