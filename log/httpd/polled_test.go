package httpd

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/intake"
)

// The oldest submissions are forgotten, and each is remembered once.
func TestSubmissionsAreBounded(t *testing.T) {
	m := submissions{limit: 3}
	var all []*intake.Submission
	for range 5 {
		s := intake.NewSubmission(nil, nil)
		all = append(all, s)
		m.add(s)
		m.add(s)
	}
	for i, s := range all {
		if _, ok := m.get(s.ID); ok != (i >= 2) {
			t.Errorf("submission %d of 5: remembered %v", i, ok)
		}
	}
}

// Large submissions take the room of several small ones.
func TestSubmissionsAreBoundedInSize(t *testing.T) {
	m := submissions{limit: 100}
	many := make([]intake.Uploaded, api.MaxFiles)
	for i := range many {
		many[i] = intake.Uploaded{Name: fmt.Sprint(i, strings.Repeat("x", maxFileName-10))}
	}
	var last *intake.Submission
	for range 5 {
		last = intake.NewSubmission(many, nil)
		m.add(last)
	}
	if _, ok := m.get(last.ID); !ok || len(m.byID) != 1 || len(m.order) != 1 || m.bytes != last.Size() {
		t.Errorf("%d are remembered, of %d bytes", len(m.byID), m.bytes)
	}
	// The answer about a file is short, however long its names are.
	for _, f := range last.State().Files {
		if f.Status != api.StatusRefused || len(f.Detail) > intake.MaxDetail+len("…") {
			t.Fatalf("%s: %d bytes: %.100s", f.Status, len(f.Detail), f.Detail)
		}
	}
	for range 200 {
		m.add(intake.NewSubmission(nil, nil))
	}
	if len(m.byID) != 100 || len(m.order) != 100 {
		t.Errorf("%d are remembered", len(m.byID))
	}
}
