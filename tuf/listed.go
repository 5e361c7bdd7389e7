package tuf

import (
	"maps"
	"slices"
)

// listed are targets that were given in a map: those of an encoding whose payload cannot
// be searched by bisection. The zero value has none.
type listed struct {
	files map[string]TargetFile
	paths []string // sorted
}

// NewTargets returns targets metadata without delegations that lists files by path, for
// readers of other encodings than JSON. It keeps files, which must not change afterwards.
// Nothing is checked.
func NewTargets(files map[string]TargetFile) *Targets {
	return &Targets{listed: listed{files: files, paths: slices.Sorted(maps.Keys(files))}}
}

// memory returns about how many bytes the list takes.
func (l listed) memory() int {
	size := 0
	for path, f := range l.files {
		size += 432 + 2*len(path)
		for _, hash := range f.Hashes {
			size += 80 + len(hash)
		}
	}
	return size
}
