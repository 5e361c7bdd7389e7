package build

import (
	"os"
	"runtime/debug"
	"strings"
	"testing"
)

func TestFrom(t *testing.T) {
	for _, test := range []struct {
		name string
		info debug.BuildInfo
		want string
	}{
		{"installed", debug.BuildInfo{GoVersion: "go1.26.1", Main: debug.Module{Version: "v0.2.0"}}, "v0.2.0, go1.26.1"},
		{"work tree", debug.BuildInfo{GoVersion: "go1.26.1", Main: debug.Module{Version: "(devel)"}, Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "0123456789abcdef0123456789abcdef01234567"}, {Key: "vcs.modified", Value: "true"},
		}}, "devel, revision 0123456789ab with changes, go1.26.1"},
		{"short revision", debug.BuildInfo{GoVersion: "go1.26.1", Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "01"}}}, "devel, revision 01, go1.26.1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := from(&test.info).String(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// What a program says that it reads and writes is what the page describes.
func TestFormats(t *testing.T) {
	page, err := os.ReadFile("../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range Formats {
		if !strings.Contains(string(page), format) {
			t.Errorf("docs/formats.md does not describe %q", format)
		}
	}
}
