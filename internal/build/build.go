// Package build identifies the running build of tuflog: [Read] returns it, and
// [Info.String] prints it for people.
package build

import (
	"cmp"
	"runtime"
	"runtime/debug"
	"strings"
)

// Formats are the formats that this build reads and writes, as docs/formats.md
// describes them.
var Formats = []string{
	"tuflog release v1",
	"tuflog evidence v1",
	"tuflog end v1",
	"tuflog conflict v1",
	"tuflog accusation v1",
	"tuflog bundle v1",
	"c2sp.org/tlog-proof@v1",
	"c2sp.org/tlog-tiles",
}

// Info is one build.
type Info struct {
	Version  string `json:"version"`            // of the module, "devel" if it was built from a work tree without a tag
	Revision string `json:"revision,omitempty"` // of the repository, in hex; "" if it is not known
	Modified bool   `json:"modified,omitempty"` // the work tree differed from the revision
	Go       string `json:"go"`                 // the release of Go that built it
}

// Read returns the build of the running program.
func Read() Info {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return from(info)
}

func from(info *debug.BuildInfo) Info {
	b := Info{Version: strings.Trim(info.Main.Version, "()"), Go: cmp.Or(info.GoVersion, runtime.Version())}
	b.Version = cmp.Or(b.Version, "devel")
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// String returns "v1.2.3, revision 0123456789ab, go1.26.1".
func (b Info) String() string {
	s := b.Version
	if b.Revision != "" {
		s += ", revision " + b.Revision[:min(12, len(b.Revision))]
	}
	if b.Modified {
		s += " with changes"
	}
	return s + ", " + b.Go
}
