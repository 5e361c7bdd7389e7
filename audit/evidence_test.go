package audit_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/verify"
)

// checkEvidence looks for a finding's files in the state directory.
func checkEvidence(t *testing.T, dir string, want audit.Finding) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "evidence", string(want.Kind)+"-*", "finding.json"))
	must(t, err)
	for _, path := range paths {
		b, err := os.ReadFile(path)
		must(t, err)
		var f audit.Finding
		must(t, json.Unmarshal(b, &f))
		if f.Sentence != want.Sentence {
			continue
		}
		for _, e := range want.Evidence {
			b, err := os.ReadFile(filepath.Join(filepath.Dir(path), e.Name))
			must(t, err)
			if verify.Sum(b) != e.SHA256 || int64(len(b)) != e.Size {
				t.Errorf("%s is not what the finding says", e.Name)
			}
		}
		return
	}
	t.Errorf("no evidence of %s in %s", want.Kind, dir)
}
