package audit_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
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
			if tuf.Sum(b) != e.SHA256 || int64(len(b)) != e.Size {
				t.Errorf("%s is not what the finding says", e.Name)
			}
		}
		return
	}
	t.Errorf("no evidence of %s in %s", want.Kind, dir)
}

// checkFork checks that the evidence of a fork accuses the log, and nobody else.
func checkFork(t *testing.T, h *history, f audit.Finding) {
	t.Helper()
	if len(f.Evidence) != 1 || f.Evidence[0].Name != "fork.conflict" {
		t.Fatalf("evidence %+v", f.Evidence)
	}
	conflict, err := proofs.ParseConflict([]byte(f.Evidence[0].Text))
	must(t, err)
	verdict, err := conflict.Check(h.Signer.Key())
	must(t, err)
	if len(verdict.By) != 1 || verdict.By[0] != audittest.Origin {
		t.Errorf("accuses %q", verdict.By)
	}
	stranger, err := proofs.GenerateSigner(nil, audittest.Origin, proofs.Ed25519)
	must(t, err)
	if _, err := conflict.Check(stranger.Key()); !errors.Is(err, proofs.ErrNoSignature) {
		t.Errorf("with a stranger's key: %v", err)
	}
}
