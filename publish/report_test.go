package publish

import (
	"errors"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/log/api"
)

func sample() *Report {
	a, b := strings.Repeat("a", 64), strings.Repeat("b", 64)
	return &Report{Repositories: []string{b, a}, Files: []Verdict{
		{File: "1.json", Role: "root", Version: 1, Repository: b, Status: api.StatusReleased, Index: 0},
		{File: "2.json", Role: "x\n\x1b[2J", Version: 7, Repository: b, Status: api.StatusReleased, Index: 12},
		{File: "3.json", Role: "snapshot", Version: 1, Repository: b, Status: api.StatusRefused, Index: -1, Code: api.CodeNotLoggedRole, Detail: "no"},
		{File: "4.json", Role: "targets", Version: 2, Repository: a, Status: api.StatusEvidence, Index: 3, Detail: "contradicts 1"},
		{File: "5.json", Role: "targets", Version: 3, Repository: a, Status: api.StatusRefused, Index: -1, Code: api.CodeThreshold, Detail: "signed by \"0\""},
		{File: "6.json", Role: "targets", Version: 3, Repository: a, Status: api.StatusLogged, Index: 4},
		{File: "7.json", Role: "d", Version: 0, Status: api.StatusRefused, Index: -1, Code: api.CodeUnknownRepo, Detail: "none"},
	}}
}

const reasons = `
evidence:
  4.json  aaaaaaaaaaaa  index 3  contradicts 1

refused:
  5.json  aaaaaaaaaaaa  threshold           signed by "0"
  7.json  (none)        unknown-repository  none
`

func TestWriteCounts(t *testing.T) {
	var b strings.Builder
	if err := sample().WriteCounts(&b); err != nil {
		t.Fatal(err)
	}
	want := `REPOSITORY    ROLE          FILES  RELEASED  LOGGED  EVIDENCE  REFUSED                            NOT LOGGED HERE
bbbbbbbbbbbb  root          1      1         -       -         -                                  -
bbbbbbbbbbbb  "x\n\x1b[2J"  1      1         -       -         -                                  -
bbbbbbbbbbbb  snapshot      1      -         -       -         -                                  1
aaaaaaaaaaaa  targets       3      -         1       1         1 threshold                        -
(none)        d             1      -         -       -         1 unknown-repository               -
total                       7      2         1       1         1 threshold, 1 unknown-repository  1
` + reasons
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestWriteFiles(t *testing.T) {
	repositories := "repository " + strings.Repeat("b", 64) + "\n\nrepository " + strings.Repeat("a", 64) + "\n\n"
	want := `FILE    ROLE          VERSION  STATUS                      INDEX
1.json  root          1        released                    0
2.json  "x\n\x1b[2J"  7        released                    12
3.json  snapshot      1        not logged here             -
4.json  targets       2        evidence                    3
5.json  targets       3        refused threshold           -
6.json  targets       3        logged                      4
7.json  d             0        refused unknown-repository  -
` + reasons
	// The folder that they are all in is named once, wherever it is.
	for _, dir := range []string{"", "/srv/tuf/metadata/", "metadata/", "../m/"} {
		r := sample()
		for i := range r.Files {
			r.Files[i].File = dir + r.Files[i].File
		}
		heading := ""
		if dir != "" {
			heading = "in " + dir + "\n"
		}
		var b strings.Builder
		if err := r.WriteFiles(&b); err != nil {
			t.Fatal(err)
		}
		if b.String() != repositories+heading+want {
			t.Errorf("got\n%s\nwant\n%s", b.String(), repositories+heading+want)
		}
	}
	for want, files := range map[string][]string{
		"a/":   {"a/b/1.root.json", "a/bc/d/2.root.json"},
		"":     {"a/b/1.root.json", "/x"},
		"a/b/": {"a/b/1.root.json"},
	} {
		if dir := folderOf(files); dir != want {
			t.Errorf("folder of %v: %q, want %q", files, dir, want)
		}
	}
}

var errFull = errors.New("disk full")

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

func TestWriteErrorsAreNotLost(t *testing.T) {
	if err := sample().WriteFiles(fullDisk{}); err != errFull {
		t.Errorf("got %v", err)
	}
	if err := sample().WriteCounts(fullDisk{}); err != errFull {
		t.Errorf("got %v", err)
	}
}
