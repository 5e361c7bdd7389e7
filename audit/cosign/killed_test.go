package cosign_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/cosign"
	"github.com/tuflog/tuflog/audit/mirror"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// What the process that is killed gets: the folder of everything, and which history the log
// shows it.
const (
	killedDir    = "TUFLOG_TEST_KILLED_DIR"
	killedBranch = "TUFLOG_TEST_KILLED_BRANCH"
)

const (
	sharedReleases = 8  // that both histories have
	branchReleases = 24 // of the first, and
	moreReleases   = 6  // so many more of the second, which then is what the first is not
	rounds         = 20
)

func killedConfig(dir string) cosign.Config {
	return cosign.Config{Name: "auditor.example", Keys: []string{filepath.Join(dir, "a.key"), filepath.Join(dir, "b.key")}}
}

// TestCosignsUntilKilled is the process that is killed: it audits and cosigns a log that grows
// entry by entry, and prints each checkpoint that it serves.
func TestCosignsUntilKilled(t *testing.T) {
	dir, branch := os.Getenv(killedDir), os.Getenv(killedBranch)
	if dir == "" {
		t.Skip("run by TestKilled")
	}
	l := audittest.New(t)
	l.Signer, l.Witnesses = signerIn(t, dir, "log"), []*proofs.Signer{signerIn(t, dir, "w1"), signerIn(t, dir, "w2")}
	read := func(n int, role string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, branch, fmt.Sprintf("%d.%s", n, role)))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	repo := l.Register(read(1, tuf.RoleRoot))
	a, err := audit.New(t.Context(), audit.Config{Source: l.Source(), Policy: l.Policy()})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	c, err := cosign.Open(t.Context(), filepath.Join(dir, "cosign"), killedConfig(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	copied := filepath.Join(dir, "mirror."+branch)
	for n := 1; n <= releasesOf(branch); n++ {
		l.Submit(repo, tuf.RoleTargets, read(n, tuf.RoleTargets), read(n, tuf.RoleSnapshot))
		l.Publish(2)
		if _, err := a.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		// A copy ends where the one of an earlier process ended, until the log is there.
		_, _ = mirror.Update(t.Context(), mirror.Config{Dir: copied, Source: l.Source(), Policy: l.Policy()})
		standing, err := a.Standing(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Step(t.Context(), cosign.Look{Log: "example", Policy: l.Policy(), Standing: standing, Mirror: copied}); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("\nserved %s\n", base64.StdEncoding.EncodeToString(c.Cosigned(audittest.Origin)))
	}
}

func releasesOf(branch string) int {
	if branch == "b" {
		return branchReleases + moreReleases
	}
	return branchReleases
}

func signerIn(t *testing.T, dir, name string) *proofs.Signer {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	s, err := proofs.ParseSigner(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A cosigner that is killed at any moment, and shown another history each time, never signs
// two roots of one size, nor a smaller tree after a larger one, and remembers all that it has
// shown.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, alg := range map[string]proofs.Algorithm{audittest.Origin: proofs.Ed25519, "w1.test": proofs.CosignatureV1, "w2.test": proofs.CosignatureV1} {
		s, err := proofs.GenerateSigner(nil, name, alg)
		must(err)
		file := strings.TrimSuffix(name, ".test")
		if name == audittest.Origin {
			file = "log"
		}
		must(os.WriteFile(filepath.Join(dir, file), []byte(s.PrivateKey()), 0o600))
	}
	writeBranches(t, dir)
	keys, err := cosign.Create(filepath.Join(dir, "cosign"), killedConfig(dir), false)
	must(err)

	stopped := 0
	roots, largest, latest := map[int64]proofs.Hash{}, int64(0), int64(0)
	for round := range rounds {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestCosignsUntilKilled$")
		cmd.Env = append(os.Environ(), killedDir+"="+dir, killedBranch+"="+[]string{"a", "b"}[round%2])
		out, err := cmd.StdoutPipe()
		must(err)
		must(cmd.Start())
		after := 1 + rand.IntN(branchReleases)
		if round == 0 || round == rounds-1 {
			after = -1 // it comes to its end: both histories are seen whole
		}
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for seen := 0; lines.Scan(); {
			encoded, ok := strings.CutPrefix(lines.Text(), "served ")
			if !ok {
				continue
			}
			if seen++; seen == after {
				time.AfterFunc(time.Duration(rand.IntN(20))*time.Millisecond, func() { _ = cmd.Process.Kill() })
			}
			if encoded == "" {
				continue
			}
			note, err := base64.StdEncoding.DecodeString(encoded)
			must(err)
			tree, at := cosignedBy(t, note, keys)
			if root, known := roots[tree.N]; known && root != tree.Hash {
				t.Fatalf("round %d: two roots of size %d", round, tree.N)
			}
			if tree.N < largest || at < latest {
				t.Fatalf("round %d: size %d at %d after size %d at %d", round, tree.N, at, largest, latest)
			}
			roots[tree.N], largest, latest = tree.Hash, tree.N, at
		}
		_ = cmd.Wait()
		s, err := cosign.ReadStatus(t.Context(), filepath.Join(dir, "cosign"))
		must(err)
		if largest > 0 && (len(s.Logs) != 1 || s.Logs[0].Size < largest) {
			t.Fatalf("round %d: size %d was shown, and the state has %+v", round, largest, s.Logs)
		}
		// A person goes on, as on the best of days: that must not make it forget.
		if len(s.Logs) == 1 && s.Logs[0].Stopped() {
			stopped++
			accept := cosign.Acceptance{Fork: true, Reason: "test"}
			for _, l := range s.Logs[0].Latched {
				accept.Findings = append(accept.Findings, l.Accept...)
			}
			_, err := cosign.Resume(t.Context(), filepath.Join(dir, "cosign"), audittest.Origin, accept, time.Now())
			must(err)
		}
	}
	if largest <= sharedReleases+1 || stopped == 0 {
		t.Errorf("the largest tree has size %d, and %d processes were stopped: the histories did not part", largest, stopped)
	}
}

// writeBranches writes the files of two histories with a common beginning.
func writeBranches(t *testing.T, dir string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	v, err := testvendor.New(time.Now().AddDate(1, 0, 0))
	must(err)
	branches := map[string]*testvendor.Vendor{"a": v, "b": nil}
	for name := range branches {
		must(os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	write := func(v *testvendor.Vendor, branch string, n int) {
		for _, role := range []string{tuf.RoleRoot, tuf.RoleTargets, tuf.RoleSnapshot} {
			_, b := v.File(role)
			must(os.WriteFile(filepath.Join(dir, branch, fmt.Sprintf("%d.%s", n, role)), b, 0o644))
		}
	}
	for n := 1; n <= branchReleases+moreReleases; n++ {
		if n == sharedReleases+1 {
			branches["b"], err = v.Clone()
			must(err)
		}
		for _, name := range []string{"a", "b"} {
			v := branches[name]
			if v == nil {
				write(branches["a"], name, n)
				continue
			}
			if n > 1 {
				must(v.Put(tuf.RoleTargets, "app.bin", fmt.Appendf(nil, "app %d", n)))
				if n > sharedReleases {
					must(v.Put(tuf.RoleTargets, "app.bin", fmt.Appendf(nil, "app %d of %s", n, name)))
				}
				must(v.Release(tuf.RoleTargets))
			}
			write(v, name, n)
		}
	}
}

// cosignedBy returns the tree of a note and the time at which both keys have cosigned it.
func cosignedBy(t *testing.T, signed []byte, keys []proofs.Key) (proofs.Tree, int64) {
	t.Helper()
	note, err := proofs.ParseNote(signed)
	if err != nil {
		t.Fatal(err)
	}
	cp, err := proofs.ParseCheckpoint(note.Text)
	if err != nil {
		t.Fatal(err)
	}
	at := int64(0)
	for _, k := range keys {
		unix, err := note.VerifiedBy(k)
		if err != nil {
			t.Fatal(err)
		}
		at = max(at, slices.Max(unix))
	}
	return cp.Tree, at
}
