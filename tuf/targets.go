package tuf

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
)

// Targets is the signed part of targets metadata, of the top-level role or of a
// delegated one: the file does not say which. Its methods may be called from
// several goroutines.
type Targets struct {
	Delegations *Delegations // nil: none

	files  fileIndex // of JSON
	listed listed    // of other encodings
}

// Len returns how many targets are listed.
func (t *Targets) Len() int { return t.files.n + len(t.listed.paths) }

// File returns the target that is listed under a path.
func (t *Targets) File(path string) (TargetFile, bool) {
	if file, ok := t.listed.files[path]; ok {
		return file, true
	}
	t.files.find("targets")
	r := t.files.reader()
	if at, ok := r.search(path); ok {
		return r.target(at), true
	}
	return TargetFile{}, false
}

// Files yields the targets by path, in the order of the paths' bytes. Each is read
// from the payload when it is its turn.
func (t *Targets) Files() iter.Seq2[string, TargetFile] {
	return func(yield func(string, TargetFile) bool) {
		for _, path := range t.listed.paths {
			if !yield(path, t.listed.files[path]) {
				return
			}
		}
		t.files.find("targets")
		r := t.files.reader()
		for _, at := range t.files.at {
			name := string(r.name(at))
			if !yield(name, r.target(at)) {
				return
			}
		}
	}
}

// Paths yields the paths that Files yields, without the targets.
func (t *Targets) Paths() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, path := range t.listed.paths {
			if !yield(path) {
				return
			}
		}
		t.files.find("targets")
		r := t.files.reader()
		for _, at := range t.files.at {
			if !yield(string(r.name(at))) {
				return
			}
		}
	}
}

// target reads a target again.
func (r *fileReader) target(at uint32) TargetFile { return r.value(at).targetAgain() }

// targetAgain reads what was read once, which cannot fail. If it did, a target without
// hashes matches nothing.
func (r *reader) targetAgain() TargetFile {
	file, err := r.targetFile()
	if err != nil {
		return TargetFile{Length: -1}
	}
	return file
}

// ReadTarget reads what a payload says of a target: the value of a member of "targets", as
// Metadata.Member has it. If it is not that, it returns a target without hashes, which
// matches nothing. The target's Custom is a part of value.
func ReadTarget(value []byte) TargetFile {
	r := reader{scanner: scanner{src: value, canonical: true}, keep: true}
	return r.targetAgain()
}

// TargetFile describes one target.
type TargetFile struct {
	Length int64             // in bytes; -1: not given
	Hashes map[string]string // lower-case hex by algorithm, unknown algorithms too
	Custom []byte            // canonical JSON, part of the payload; nil: none
	Value  []byte            // all that the payload says of the target, unknown members too, part of the payload: canonical JSON, of Pigweed the TargetFile message
}

var (
	targetNames      = []string{"length", "hashes", "custom"}
	hashNames        = []string{"sha256", "sha512"}
	delegationsNames = []string{"keys", "roles", "succinct_roles"}
	delegatedNames   = []string{"name", "keyids", "threshold", "paths", "path_hash_prefixes", "terminating"}
	succinctNames    = []string{"keyids", "threshold", "bit_length", "name_prefix"}
)

// Matches returns nil if file has the length and every hash listed that this
// package knows (SHA-256 and SHA-512), of which there must be at least one.
func (t TargetFile) Matches(file []byte) error {
	known, err := matches(file, t.Length, t.Hashes)
	if err == nil && !known {
		err = errors.New("target: no SHA-256 or SHA-512 hash to compare with")
	}
	return err
}

// matches compares file with a length, unless that is negative, and with hashes.
// It reports whether it knew any of the algorithms.
func matches(file []byte, length int64, hashes map[string]string) (known bool, err error) {
	if length >= 0 && int64(len(file)) != length {
		return false, fmt.Errorf("file has %d bytes, want %d", len(file), length)
	}
	for _, algorithm := range hashNames {
		want, ok := hashes[algorithm]
		if !ok {
			continue
		}
		known = true
		var got string
		if algorithm == "sha256" {
			sum := sha256.Sum256(file)
			got = hex.EncodeToString(sum[:])
		} else {
			sum := sha512.Sum512(file)
			got = hex.EncodeToString(sum[:])
		}
		if got != want {
			return false, fmt.Errorf("%s of the file is %s, want %s", algorithm, got, Clip(want))
		}
	}
	return known, nil
}

func (r *reader) targetFiles(files *fileIndex) error {
	return r.dict(nil, func(path []byte) error {
		files.n++
		if err := r.checkTargetPath(path); err != nil {
			return err
		}
		_, err := r.targetFile()
		return err
	})
}

// checkTargetPath refuses the path of a target that no device could store.
func (r *reader) checkTargetPath(path []byte) error {
	switch {
	case len(path) == 0:
		return r.errorf(r.pos, "target without a path")
	case len(path) > MaxTargetPath:
		return r.errorf(r.pos, "target path of %d bytes, the limit is %d: no device could store it", len(path), MaxTargetPath)
	case bytes.IndexByte(path, 0) >= 0:
		return r.errorf(r.pos, "target path with a NUL: no device could store it")
	}
	return nil
}

func (r *reader) targetFile() (TargetFile, error) {
	at := r.pos
	file := TargetFile{Length: -1}
	hashed := false
	err := r.record(targetNames, func(name string) (err error) {
		switch name {
		case "length":
			file.Length, err = r.integer(0, math.MaxInt64)
		case "hashes":
			hashed = true
			file.Hashes, err = r.hashes()
		case "custom":
			file.Custom, err = r.custom()
		default:
			err = r.skip()
		}
		return err
	})
	if err == nil && !hashed {
		err = r.errorf(at, `"hashes" is missing`)
	}
	if r.keep {
		file.Value = slices.Clip(r.src[at:r.pos])
	}
	return file, err
}

// custom reads a target's custom, the one value inside which there may be null.
// It is not null itself: some readers would take that for absent.
func (r *reader) custom() ([]byte, error) {
	if r.space() == 'n' {
		return nil, r.want("a value")
	}
	start := r.pos
	r.nulls++
	err := r.skip()
	r.nulls--
	if !r.keep {
		return nil, err
	}
	return slices.Clip(r.src[start:r.pos]), err
}

// hashes reads hashes by algorithm, and returns them where they are to be kept.
func (r *reader) hashes() (map[string]string, error) {
	var hashes map[string]string
	if r.keep {
		hashes = map[string]string{}
	}
	n := 0
	err := r.dict(hashNames, func(algorithm []byte) error {
		at := r.pos
		if n++; n > MaxHashes {
			return r.errorf(at, "more than %d hashes", MaxHashes)
		}
		text, err := r.text()
		if err != nil {
			return err
		}
		want := 0
		switch string(algorithm) {
		case "sha256":
			want = 2 * sha256.Size
		case "sha512":
			want = 2 * sha512.Size
		}
		hexadecimal := isLowerHex(text)
		if !hexadecimal {
			text = bytes.ToLower(text)
			hexadecimal = isLowerHex(text)
		}
		if !hexadecimal || len(text)%2 != 0 || len(text) == 0 {
			return r.errorf(at, "hash is not hexadecimal")
		}
		if want > 0 && len(text) != want {
			return r.errorf(at, "hash of %d hex digits, want %d", len(text), want)
		}
		if r.keep {
			hashes[string(algorithm)] = string(text)
		}
		return nil
	})
	return hashes, err
}

func (r *reader) delegations(t *Targets) error {
	at := r.pos
	d := &Delegations{}
	has := seen{}
	t.Delegations = d
	err := r.record(delegationsNames, func(name string) error {
		has[name] = true
		switch name {
		case "keys":
			return r.keys(&d.Keys)
		case "roles":
			return r.delegatedRoles(d)
		case "succinct_roles":
			return r.succinct(d)
		}
		return r.skip()
	})
	if err != nil {
		return err
	}
	if has["roles"] == has["succinct_roles"] {
		return r.errorf(at, "want either roles or succinct_roles")
	}
	return r.require(at, has, "keys")
}

func (r *reader) delegatedRoles(d *Delegations) error {
	names := map[string]bool{}
	return r.array(func(i int) error {
		if i >= MaxDelegations {
			return r.errorf(r.pos, "more than %d delegations", MaxDelegations)
		}
		at := r.pos
		role, err := r.delegatedRole()
		if err != nil {
			return err
		}
		if why := BadRoleName(role.Name); why != "" {
			return r.errorf(at, "delegation to a role %s", why)
		}
		switch {
		case IsTopLevel(role.Name):
			return r.errorf(at, "delegation to %s, a top-level role", role.Name)
		case names[role.Name]:
			return r.errorf(at, "second delegation to %q", Clip(role.Name))
		}
		names[role.Name] = true
		d.Roles = append(d.Roles, role)
		r.kept += 2 * 160 // for the growth of the list
		return nil
	})
}

func (r *reader) delegatedRole() (DelegatedRole, error) {
	at := r.pos
	var role DelegatedRole
	has := seen{}
	err := r.record(delegatedNames, func(name string) (err error) {
		switch name {
		case "name":
			has[name] = true
			role.Name, err = r.word()
		case "paths":
			has[name] = true
			if r.space() == 'n' {
				return r.errorf(r.pos, "want an array, found %s: go-tuf before version 2 wrote it beside path_hash_prefixes; a repository with such files must be signed again, without it", r.found())
			}
			return r.array(func(int) error {
				if err := r.list(); err != nil {
					return err
				}
				path, err := r.word()
				role.Paths = append(role.Paths, path)
				return err
			})
		case "path_hash_prefixes":
			has[name] = true
			return r.array(func(int) error {
				if err := r.list(); err != nil {
					return err
				}
				prefix, err := r.hashPrefix()
				role.PathHashPrefixes = append(role.PathHashPrefixes, prefix)
				return err
			})
		case "terminating":
			role.Terminating, err = r.boolean()
		default:
			err = r.rolePart(&role.Role, has, name)
		}
		return err
	})
	if err != nil {
		return role, err
	}
	if has["paths"] == has["path_hash_prefixes"] {
		return role, r.errorf(at, "want either paths or path_hash_prefixes")
	}
	return role, r.require(at, has, "name", "keyids", "threshold")
}

// list counts an entry of one of the lists of the delegations.
func (r *reader) list() error {
	if r.listed++; r.listed > MaxListed {
		return r.errorf(r.pos, "more than %d patterns, hash prefixes and key ids in the delegations", MaxListed)
	}
	return nil
}

// hashPrefix reads the beginning of a SHA-256 hash. Upper-case digits would
// match in some readers and in others never.
func (r *reader) hashPrefix() (string, error) {
	at := r.pos
	prefix, err := r.word()
	if err == nil && (prefix == "" || len(prefix) > 2*sha256.Size || !isLowerHex(prefix)) {
		err = r.errorf(at, "%q is not 1 to %d lower-case hex digits", Clip(prefix), 2*sha256.Size)
	}
	return prefix, err
}

func (r *reader) succinct(d *Delegations) error {
	at := r.pos
	has := seen{}
	d.Succinct = &Succinct{}
	err := r.record(succinctNames, func(name string) (err error) {
		switch name {
		case "bit_length":
			has[name] = true
			var n int64
			n, err = r.integer(1, MaxBitLength)
			d.Succinct.BitLength = int(n)
		case "name_prefix":
			has[name] = true
			d.Succinct.NamePrefix, err = r.word()
		default:
			err = r.rolePart(&d.Succinct.Role, has, name)
		}
		return err
	})
	if err == nil {
		err = r.require(at, has, succinctNames...)
	}
	if err != nil {
		return err
	}
	if why := BadRoleName(d.Succinct.name(0)); why != "" {
		return r.errorf(at, "delegation to roles %s", why)
	}
	return nil
}
