package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// pool is the files that verify looks at, by name.
type pool struct {
	paths map[string]string
	// device is the one whose directory is the only one that was named; nil: none.
	device *store
}

func openPool(args []string) (*pool, error) {
	p := &pool{paths: map[string]string{}}
	for _, arg := range args {
		info, err := os.Stat(arg)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			p.paths[filepath.Base(arg)] = arg
			// A proof lies beside its file whether it is named or not.
			for _, suffix := range []string{verify.SidecarSuffix, verify.LatestSuffix} {
				p.paths[filepath.Base(arg)+suffix] = arg + suffix
			}
			continue
		}
		entries, err := os.ReadDir(arg)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			p.paths[e.Name()] = filepath.Join(arg, e.Name())
		}
		if len(args) == 1 && (p.has(stateName) || p.has(copyName)) {
			p.device = &store{dir: arg}
		}
	}
	return p, nil
}

func (p *pool) has(name string) bool {
	path, ok := p.paths[name]
	if !ok {
		return false
	}
	_, err := os.Stat(path)
	return err == nil
}

// read returns a file, nil if it is not there.
func (p *pool) read(name string) ([]byte, error) {
	path, ok := p.paths[name]
	if !ok {
		return nil, nil
	}
	// What is longer is refused for its length, as if it had been fetched.
	b, err := regular.ReadSome(path, tuf.MaxFileSize+1)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

func (p *pool) sidecars(name string) (verify.Sidecars, error) {
	proof, err := p.read(name + verify.SidecarSuffix)
	latest, err2 := p.read(name + verify.LatestSuffix)
	return verify.Sidecars{Proof: proof, Latest: latest}, errors.Join(err, err2)
}

// nameOf finds a role's file under the names that repositories and devices use;
// "" if it is not there.
func (p *pool) nameOf(role string, version int64) string {
	prefix := strconv.FormatInt(version, 10) + "."
	escaped := tuf.EscapeRole(role)
	for _, name := range []string{prefix + role + ".json", prefix + escaped + ".json", role + ".json", fileName(role)} {
		if p.has(name) {
			return name
		}
	}
	return ""
}

// lowestRoot returns the name of the root with the lowest version in its name,
// or root.json, or "".
func (p *pool) lowestRoot() string {
	name, lowest := "", int64(0)
	for candidate := range p.paths {
		digits, ok := strings.CutSuffix(candidate, ".root.json")
		v, err := strconv.ParseInt(digits, 10, 64)
		if ok && err == nil && (name == "" || v < lowest) {
			name, lowest = candidate, v
		}
	}
	if name == "" && p.has("root.json") {
		return "root.json"
	}
	return name
}
