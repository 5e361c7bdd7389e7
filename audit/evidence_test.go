package audit_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/evidence"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/proofs/fraud"
	"github.com/tuflog/tuflog/tuf"
)

func TestMain(m *testing.M) { runtest.Main(m) }

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

// prove checks the one file of a finding as others would, and returns what it proves.
func prove(t *testing.T, l *audittest.Log, f audit.Finding) evidence.Statement {
	t.Helper()
	if len(f.Evidence) != 1 || f.Evidence[0].Text == "" {
		t.Fatalf("%s: %d files", f.Sentence, len(f.Evidence))
	}
	b := []byte(f.Evidence[0].Text)
	s, err := evidence.Check(t.Context(), b, l.Signer.Key())
	if err != nil {
		t.Errorf("%s: %v", f.Sentence, err)
	}
	stranger, err := proofs.GenerateSigner(nil, audittest.Origin, proofs.Ed25519)
	must(t, err)
	other, err := evidence.Check(t.Context(), b, stranger.Key())
	switch {
	case s.Kind == evidence.Equivocation: // the repository's own keys prove it, and nothing of a log
		if err != nil || other.Log != "" || other.Unchecked != audittest.Origin || other.Repository != s.Repository {
			t.Errorf("%s: with a stranger's key: %+v, %v", f.Sentence, other, err)
		}
	case !errors.Is(err, proofs.ErrUnknownLog):
		t.Errorf("%s: with a stranger's key: %v", f.Sentence, err)
	}
	return s
}

// accusations are files that are checked by the program, with the keys of their logs alone.
type accusations struct {
	dir         string
	keys, files []string
}

func (a *accusations) add(t *testing.T, l *audittest.Log, f audit.Finding) {
	t.Helper()
	file := filepath.Join(a.dir, fmt.Sprintf("%d-%s", len(a.files), f.Evidence[0].Name))
	must(t, os.WriteFile(file, []byte(f.Evidence[0].Text), 0o600))
	a.keys, a.files = append(a.keys, "--key", l.Signer.Key().String()), append(a.files, file)
}

func (a *accusations) check(t *testing.T) {
	t.Helper()
	if testing.Short() || len(a.files) == 0 {
		return // it builds the program
	}
	stdout, stderr, code := runtest.Run(t, "auditor", slices.Concat([]string{"evidence", "check"}, a.keys, a.files)...)
	if lines := strings.Count(stdout, audittest.Origin); code != 0 || lines < len(a.files) {
		t.Errorf("exit %d, %d of %d files prove their point\n%s%s", code, lines, len(a.files), stdout, stderr)
	}
}

// checkFork checks that the evidence of a fork accuses the log, and nobody else.
func checkFork(t *testing.T, h *history, f audit.Finding) {
	t.Helper()
	if len(f.Evidence) != 1 || f.Evidence[0].Name != "fork.conflict" {
		t.Fatalf("evidence %+v", f.Evidence)
	}
	conflict, err := fraud.ParseConflict([]byte(f.Evidence[0].Text))
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

// asRecorded is the history of a repository for an accusation that needs no more of it.
type asRecorded struct {
	evidence.History
	records []admit.Record
}

func (r asRecorded) Records() []admit.Record { return r.records }

// Of the real histories, no leaf can be made into an accusation of the log: not by its
// files, by single other leaves, by the root in force, nor by all leaves before it.
func TestRealLogsAreNotAccused(t *testing.T) {
	if testing.Short() {
		t.Skip("it judges real histories again for each of their leaves")
	}
	for history, every := range map[string]int64{"docker_tuf": 3, "jku_tuf_demo": 101, "sigstore_root_signing": 11} {
		t.Run(history, func(t *testing.T) {
			l := replayHistory(t, history, true, nil)
			a := newAuditor(t, l.Log, at(l.Time))
			step(t, a)
			histories, err := a.Histories(t.Context(), "")
			must(t, err)
			g := &evidence.Log{Checkpoint: l.Checkpoint(l.Size(), 2), Keys: []proofs.Key{l.Signer.Key()}, Source: l.Source(), MaxEntries: fraud.MaxAccusedEntries}
			count := 0
			for _, h := range histories {
				for i, rec := range h.Records {
					if int64(i)%every != 0 {
						continue
					}
					count++
					if b, err := g.FalseAdmission(t.Context(), rec.Index, asRecorded{records: h.Records}); !errors.As(err, new(*evidence.Unproved)) {
						s, checked := evidence.Check(t.Context(), b, l.Signer.Key())
						t.Errorf("entry %d, %s %d: %v; %s, %v", rec.Index, rec.Leaf.Role, rec.Leaf.Version, err, s.Sentence, checked)
					}
					if i > 0 {
						if _, err := g.Duplicate(t.Context(), h.Records[i-1].Index, rec.Index); !errors.Is(err, evidence.ErrNoProof) {
							t.Errorf("entry %d as a duplicate: %v", rec.Index, err)
						}
					}
				}
			}
			t.Logf("%d of %d leaves", count, l.Size())
		})
	}
}
