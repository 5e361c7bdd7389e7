package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/realdata"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/verify"
)

// demoTime is for a whole demo, which may import a history, on a busy machine.
const demoTime = 5 * time.Minute

// runDemo runs the built demo as a process and returns what it printed.
func runDemo(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	program := filepath.Join(built(t), "demo")
	ctx, cancel := context.WithTimeout(t.Context(), demoTime)
	defer cancel()
	r, err := process.Run(exec.CommandContext(ctx, program, args...))
	if ctx.Err() != nil {
		t.Fatalf("demo %v was not done in time\n%s%s", args, r.Stdout, r.Stderr)
	}
	if err != nil || r.Code < 0 {
		t.Fatalf("demo %v: exit %d, %v", args, r.Code, err)
	}
	return r.Code, r.Stdout, r.Stderr
}

func TestDemoOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("plays the whole demo")
	}
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "demo")
	code, out, stderr := runDemo(t, "--once", "--dir", dir)
	if code != 0 {
		t.Fatalf("exit %d\n%s\n%s", code, out, stderr)
	}
	checkTranscript(t, out)
	if t.Failed() {
		t.Log(out)
	}
	checkPage(t, out, dir)
	// What --dir keeps can be checked after the demo has ended.
	verifies := exec.Command(filepath.Join(dir, "bin", "updater"), "verify", "--policy", filepath.Join(dir, "world", "policy.txt"), filepath.Join(dir, "vendor"))
	if out, err := verifies.CombinedOutput(); err != nil {
		t.Errorf("updater verify of what the demo left: %v\n%s", err, out)
	}
}

// checkTranscript checks that the transcript tells the whole story.
func checkTranscript(t *testing.T, out string) {
	t.Helper()
	// What a client that knows no log refuses, a device beside it refuses once more.
	for refusal, times := range map[verify.Code]int{verify.CodeNotLogged: 1, verify.CodeBadMetadata: 1, verify.CodeQuorumShort: 1, verify.CodeEvidence: 1,
		verify.CodeWrongRepository: 1, verify.CodeBadProof: 1, verify.CodeRollback: 2, api.CodeSnapshotNeeded: 1,
		verify.CodeTooYoung: 1, verify.CodeQuarantined: 1, verify.CodeNeedsApproval: 1, verify.CodeDowngrade: 1} {
		if n := strings.Count(out, "REFUSED "+string(refusal)+":"); n != times {
			t.Errorf("the transcript names the refusal %s %d times, want %d", refusal, n, times)
		}
	}
	for _, line := range []string{"EVIDENCE: entry", "all 26 entries are right", "REFUSED second-payload: targets", "signed, logged and witnessed", "never-expires", "REFUSED: failed to refresh trusted metadata: unsigned metadata error", "REFUSED: failed to refresh trusted metadata: bad version number error", "second-payload",
		"Target firmware.bin has other content", "This release does not change who can replace the file", " no release of your vendor ", "firmware 2.4 is installed", "files in one", "Everything came out as announced"} {
		if !strings.Contains(out, line) {
			t.Errorf("the transcript does not say %q", line)
		}
	}
}

func TestDemoRealHistory(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("imports 991 files")
	}
	code, out, stderr := runDemo(t, "--once", "--bin", built(t), "--history", filepath.Join(realdata.Histories(t), "sigstore_root_signing"))
	if code != 0 {
		t.Fatalf("exit %d\n%s\n%s", code, out, stderr)
	}
	for _, want := range []string{
		`root +18 +15 +3 +- +-\n`,
		`targets +17 +14 +3 +- +-\n`,
		`total +991 +971 +14 +6 +-\n`,
		`staging/1\.staging\.alt1\.json .*contradicts`,
		`revocation/1\.revocation\.alt1\.json .*contradicts`,
		`snapshot/24\.snapshot\.alt1\.json .*contradicts`,
		`snapshot/38\.snapshot\.alt1\.json .*contradicts`,
		`timestamp/24\.timestamp\.alt1\.json .*contradicts`,
		`timestamp/38\.timestamp\.alt1\.json .*contradicts`,
		`second payloads for a version \(evidence\): 6 `,
		`977 of 977 lines agree`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("the transcript does not match %q", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

// The demo keeps running until it is interrupted, and takes its children with it
// even when it is killed.
func TestDemoEnds(t *testing.T) {
	if testing.Short() {
		t.Skip("plays the whole demo once more")
	}
	t.Parallel()
	for _, tt := range []struct {
		signal syscall.Signal
		code   int
	}{
		{syscall.SIGINT, 0},
		{syscall.SIGKILL, -1},
	} {
		t.Run(tt.signal.String(), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "demo")
			cmd := exec.Command(filepath.Join(built(t), "demo"), "--bin", built(t), "--dir", dir)
			var out lockedBuffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Process.Kill()
			runtest.Eventually(t, "the demo says that it is still running", func() bool { return strings.Contains(out.String(), "logs/commands.txt\n") })
			log := regexp.MustCompile(`curl (http://\S+)/checkpoint`).FindStringSubmatch(out.String())
			if log == nil || !answers(log[1]+"/checkpoint") {
				t.Fatalf("the log does not answer while the demo runs\n%s", out.String())
			}
			if tt.signal == syscall.SIGINT {
				pasteCommands(t, out.String())
			}
			if err := cmd.Process.Signal(tt.signal); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // the exit code says it
			if code := cmd.ProcessState.ExitCode(); code != tt.code {
				t.Errorf("exit %d, want %d\n%s", code, tt.code, out.String())
			}
			runtest.Eventually(t, "the log ends with the demo", func() bool { return !answers(log[1] + "/checkpoint") })
		})
	}
}

// pasteCommands runs the commands that the demo offers to try.
func pasteCommands(t *testing.T, transcript string) {
	t.Helper()
	commands := regexp.MustCompile(`(?m)^  # (.*)\n  (.*)$`).FindAllStringSubmatch(transcript, -1)
	if len(commands) < 8 {
		t.Fatalf("the demo offers %d commands\n%s", len(commands), transcript)
	}
	for _, c := range commands {
		what, command := c[1], c[2]
		program := strings.Fields(command)[0]
		if _, err := exec.LookPath(program); err != nil && program != "cd" && !strings.Contains(program, "/") {
			continue // curl and less are not everywhere; cd is the shell's
		}
		want := 0
		if strings.Contains(command, "auditor replay") || strings.Contains(command, "auditor compare") {
			want = 1 // the vendor's second payload is found, and what the thief serves is not logged
		}
		cmd := exec.Command("sh", "-c", command)
		cmd.Dir = t.TempDir() // compare leaves evidence where it runs
		out, err := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != want || len(out) == 0 {
			t.Errorf("%s: %s\nexit %d (%v), want %d\n%s", what, command, code, err, want, out)
		}
	}
}

func TestDemoRefusesToStart(t *testing.T) {
	full := t.TempDir()
	if err := writeFiles(full, files{"file": nil}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		say  string
	}{
		{[]string{"--dir", full}, "is not empty"},
		{[]string{"--history", full}, "index.csv"},
		{[]string{"--storage", "paper"}, "want tessera or trillian"},
		{[]string{"--bin", full}, "go build -o " + full + "/ ./cmd/... " + stockPackage},
		{[]string{"more"}, "unknown command"},
	} {
		code, out, stderr := runDemo(t, tt.args...)
		if code != 2 || !strings.Contains(stderr, tt.say) {
			t.Errorf("demo %v: exit %d, want 2 and %q\n%s%s", tt.args, code, tt.say, out, stderr)
		}
	}
	cmd := exec.Command(filepath.Join(built(t), "demo"), "--once")
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "run the demo inside a clone of "+modulePath) {
		t.Errorf("demo outside the module: %v\n%s", err, out)
	}
}

// The demo does not pass by itself: a comparison that fails is an error.
func TestSameLeaves(t *testing.T) {
	leaf := func(index int64) api.Leaf {
		return api.Leaf{Index: index, Fields: leaf.Fields{Kind: "release", Role: "targets", Version: index}}
	}
	one := []api.Leaf{leaf(0), leaf(1)}
	if err := sameLeaves(one, []auditedLeaf{{Leaf: leaf(0)}, {Leaf: leaf(1)}}); err != nil {
		t.Error(err)
	}
	other := leaf(1)
	other.Payload = "ff"
	for name, auditor := range map[string][]auditedLeaf{
		"one less":  {{Leaf: leaf(0)}},
		"one more":  {{Leaf: leaf(0)}, {Leaf: leaf(1)}, {Leaf: leaf(2)}},
		"different": {{Leaf: leaf(0)}, {Leaf: other}},
	} {
		if err := sameLeaves(one, auditor); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("of %d lines agree", max(2, len(auditor)))) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
