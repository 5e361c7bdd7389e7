package audit_test

import (
	"bytes"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/internal/lockfile"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Of each tree one note is kept, with the signatures of the policy's keys that were
// seen, whatever others whoever is on the way adds.
func TestNotesOfKnownKeys(t *testing.T) {
	h := newHistory(t)
	dir := t.TempDir()
	withState := func(c *audit.Config) { c.StateDir = dir }
	a := newAuditor(t, h.Log, withState)
	for i, cosigned := range []int{1, 2, 0, 2, 2} {
		var served bytes.Buffer
		served.Write(h.Checkpoint(h.Size(), cosigned))
		for j := range 100 {
			nobody := make([]byte, 100)
			_, _ = rand.Read(nobody)
			served.WriteString(proofs.Signature{Name: fmt.Sprint("nobody", j), KeyID: uint32(i), Sig: nobody}.String())
		}
		h.Serve(served.Bytes())
		step(t, a)
		notes, err := a.Notes(t.Context())
		must(t, err)
		for _, note := range notes {
			want := string(h.Checkpoint(h.Size(), []int{1, 2, 2, 2, 2}[i]))
			if len(notes) != 1 || sorted(string(note)) != sorted(want) {
				t.Fatalf("look %d: %d notes, one is\n%swant\n%s", i, len(notes), note, want)
			}
		}
	}
	if r := report(t, a); len(r.Checkpoint.Note) > 2000 {
		t.Errorf("the report has what nobody signed: %s", r.Checkpoint.Note)
	}
	// What was kept is known to the next run, and nothing is written.
	must(t, a.Close())
	h.Publish(0)
	a = newAuditor(t, h.Log, withState)
	step(t, a)
	if notes, err := a.Notes(t.Context()); err != nil || len(notes) != 1 {
		t.Errorf("%d notes, %v", len(notes), err)
	}
}

func sorted(note string) string {
	n, err := proofs.ParseNote([]byte(note))
	if err != nil {
		return err.Error()
	}
	lines := map[string]bool{}
	for _, s := range n.Signatures {
		lines[s.Name] = true
	}
	return n.Text + fmt.Sprint(lines)
}

// A smaller tree of another history that the log signed is a fork, whoever cosigned,
// and also while the log does not serve the tiles that show it.
func TestSmallerForkWithoutQuorum(t *testing.T) {
	for _, tilesMissing := range []bool{false, true} {
		h := newHistory(t)
		fork := h.clone()
		h.release(tuf.RoleTargets, "app.bin", "five")
		h.release(tuf.RoleTargets, "app.bin", "six")
		fork.release(tuf.RoleTargets, "app.bin", "five, for one customer")
		h.Publish(2)
		dir := t.TempDir()
		a := newAuditor(t, h.Log, func(c *audit.Config) { c.StateDir = dir })
		step(t, a)
		h.Serve(fork.Checkpoint(fork.Size(), 0))
		if tilesMissing {
			h.Spoil("tile/0/000.p/11", audittest.Missing) // the leaves tell as well
		}
		result := step(t, a)
		f := result.Findings[0]
		if f.Kind != audit.Fork {
			t.Fatalf("tiles missing %v: found %+v", tilesMissing, result.Findings)
		}
		checkFork(t, h, f)
		checkEvidence(t, dir, f)
		// An older checkpoint of the same history is none.
		h.Serve(h.Checkpoint(4, 0))
		if got := kinds(step(t, a).Findings); got != "quorum-short@-1" {
			t.Errorf("an older checkpoint without a quorum: %s", got)
		}
	}
}

// An auditor's state outlives the replacement of the log's key, as docs/operations.md
// describes it, and a witness that leaves.
func TestStateAfterKeysAreReplaced(t *testing.T) {
	h := newHistory(t)
	dir := t.TempDir()
	first := h.Signer
	next, err := proofs.GenerateSigner(nil, audittest.Origin, proofs.Ed25519)
	must(t, err)
	policy := func(keys ...*proofs.Signer) *proofs.Policy {
		text := ""
		for _, k := range keys {
			text += fmt.Sprintf("log %v\n", k.Key())
		}
		p, err := proofs.ParsePolicy([]byte(text + fmt.Sprintf("witness w2 %v\nquorum w2\n", h.Witnesses[1].Key())))
		must(t, err)
		return p
	}
	for i, tt := range []struct {
		signer *proofs.Signer
		policy *proofs.Policy
		found  string
	}{
		{first, policy(first), ""},
		{first, policy(first, next), ""},
		{next, policy(first, next), ""},
		{next, policy(next), ""}, // what was compared under the old key is not compared again
		{next, policy(next), ""},
	} {
		h.Signer = tt.signer
		h.release(tuf.RoleTargets, "app.bin", fmt.Sprint("release ", i))
		h.Publish(2)
		a, err := audit.New(t.Context(), audit.Config{Source: h.Source(), Policy: tt.policy, StateDir: dir})
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		step(t, a)
		r := report(t, a)
		must(t, a.Close())
		var found []string
		for _, f := range r.Findings {
			if f.Kind != audit.SecondPayload {
				found = append(found, string(f.Kind))
			}
		}
		if strings.Join(found, " ") != tt.found || !r.Vouches {
			t.Errorf("step %d: vouches %v, found %v, want %s", i, r.Vouches, found, tt.found)
		}
	}
	// It still remembers.
	h.Serve(h.Checkpoint(4, 2))
	a, err := audit.New(t.Context(), audit.Config{Source: h.Source(), Policy: policy(next), StateDir: dir})
	must(t, err)
	defer a.Close()
	if got := kinds(step(t, a).Findings); got != "rollback@-1" {
		t.Errorf("after the log went back: %s", got)
	}
}

// One auditor at a time has a state directory: the slower one would write an older
// checkpoint over the newer one's.
func TestStateIsLocked(t *testing.T) {
	h := newHistory(t)
	dir := t.TempDir()
	a := newAuditor(t, h.Log, func(c *audit.Config) { c.StateDir = dir })
	_, err := audit.New(t.Context(), audit.Config{Source: h.Source(), Policy: h.Policy(), StateDir: dir})
	var held *lockfile.HeldError
	if !errors.As(err, &held) || held.PID != os.Getpid() || !strings.Contains(err.Error(), "auditor state") {
		t.Fatalf("a second auditor: %v", err)
	}
	must(t, a.Close())
	newAuditor(t, h.Log, func(c *audit.Config) { c.StateDir = dir })
}

// What the auditor cannot write is its own affair: the log is audited to the end, what
// is found is found, and written when there is room.
func TestStateThatCannotBeWritten(t *testing.T) {
	for _, part := range []string{"evidence", "state"} {
		h := newHistory(t)
		dir := t.TempDir()
		a := newAuditor(t, h.Log, func(c *audit.Config) { c.StateDir = dir })
		// A file is in the way of the evidence; the state takes no leaf behind the others.
		broken := filepath.Join(dir, part)
		inState := func(statement string) {
			db, err := sql.Open("sqlite", filepath.Join(dir, state.FileName))
			must(t, err)
			_, err = db.ExecContext(t.Context(), statement)
			must(t, errors.Join(err, db.Close()))
		}
		judged := int64(historySize + 1)
		if part == "state" {
			judged = 0 // and nothing of it was committed
			inState(fmt.Sprintf("CREATE TRIGGER full BEFORE INSERT ON leaves WHEN NEW.leaf = %d BEGIN SELECT RAISE(FAIL, 'no room'); END", historySize))
		} else {
			must(t, os.RemoveAll(broken))
			must(t, os.WriteFile(broken, nil, 0o600))
		}
		h.Append([]byte("hello"))
		h.Publish(2)
		result, err := a.Step(t.Context())
		var own *audit.StateError
		if !errors.As(err, &own) {
			t.Errorf("%s: %v", part, err)
		}
		want := fmt.Sprintf("second-payload@%d bad-leaf@%d", leafEvidence, historySize)
		if got := kinds(result.Findings); got != want || result.To != judged {
			t.Errorf("%s: judged to %d, found %s, want %s", part, result.To, got, want)
		}
		if found := kinds(report(t, a).Findings); !strings.Contains(found, "bad-leaf") {
			t.Errorf("%s: the report says %s", part, found)
		}
		if part == "state" {
			inState("DROP TRIGGER full")
		} else {
			must(t, os.RemoveAll(broken))
			must(t, os.Mkdir(broken, 0o700))
		}
		h.release(tuf.RoleTargets, "app.bin", "five")
		h.Publish(2)
		if got := step(t, a); len(got.Findings) != 0 {
			t.Errorf("%s: found again: %s", part, kinds(got.Findings))
		}
		for _, f := range report(t, a).Findings {
			checkEvidence(t, dir, f)
		}
	}
}

func TestCosignaturesFarFromTheClock(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, tt := range []struct {
		time int64 // of the first witness; the second is a second later
		says []string
	}{
		{now.Unix(), nil},
		{now.Add(23 * time.Hour).Unix(), nil},
		{now.Add(-23 * time.Hour).Unix(), nil},
		{now.Add(49 * time.Hour).Unix(), []string{"w1.*2 days ahead", "w2.*2 days ahead"}},
		{now.Add(-73 * time.Hour).Unix(), []string{"w1.*3 days behind.*or the checkpoint is old", "w2.*3 days behind"}},
		{253402300800, []string{"w1 cosigned size 9 at 253402300800 s after 1970", "w2"}}, // in the year 10000
		{1<<62 - 1, []string{"w1", "w2"}},
	} {
		h := newHistory(t)
		h.Time = tt.time - 1
		h.Publish(2)
		a := newAuditor(t, h.Log, func(c *audit.Config) { c.Now = func() time.Time { return now } })
		step(t, a)
		step(t, a)
		var found []audit.Finding
		for _, f := range report(t, a).Findings {
			if f.Kind == audit.WitnessClock {
				found = append(found, f)
			} else if f.Kind == audit.Expired {
				t.Errorf("%d: %s", tt.time, f.Sentence)
			}
		}
		if len(found) != len(tt.says) {
			t.Fatalf("%d: found %+v, want %v", tt.time, found, tt.says)
		}
		for i, f := range found {
			at := 0
			for _, part := range strings.Split(tt.says[i], ".*") {
				n := strings.Index(f.Sentence[at:], part)
				if n < 0 {
					t.Errorf("%s: no %s", f.Sentence, part)
					break
				}
				at += n
			}
		}
		if !report(t, a).Vouches {
			t.Error("a witness's clock is not the log's fault")
		}
	}
}

// A log that is new has nothing to check, and one that says so of itself later is not
// believed.
func TestNothingPublishedYet(t *testing.T) {
	h := newHistory(t)
	nothing := func([]byte) ([]byte, error) { return nil, audit.ErrNothingPublished }
	h.Spoil("checkpoint", nothing)
	a := newAuditor(t, h.Log)
	if got := step(t, a); len(got.Findings) != 0 || got.Checkpoint != nil {
		t.Fatalf("a new log: %+v", got)
	}
	if r := report(t, a); !r.Empty || r.Vouches {
		t.Errorf("a new log: %+v", r)
	}
	h.Spoil("checkpoint", nil)
	step(t, a)
	if r := report(t, a); r.Empty || !r.Vouches {
		t.Errorf("when it has published: %+v", r)
	}
	h.Spoil("checkpoint", nothing)
	result, err := a.Step(t.Context())
	if !errors.Is(err, audit.ErrNothingPublished) || kinds(result.Findings) != "unreachable@-1" {
		t.Errorf("afterwards: %+v, %v", result, err)
	}
}
