package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/verify"
)

// What a vendor writes by hand must be canonical, or the signatures would not
// verify, and of the size asked for.
func TestVendor(t *testing.T) {
	v, err := newVendor(3, 5000)
	if err != nil {
		t.Fatal(err)
	}
	root, err := verify.ParseJSON(v.file)
	if err != nil {
		t.Fatal(err)
	}
	genesis, err := verify.JudgeGenesis(root)
	if err != nil || genesis.Leaf.Repository != v.root {
		t.Fatalf("%+v, %v; want repository %v", genesis, err, v.root)
	}
	for version := int64(1); version <= 2; version++ {
		r := v.release()
		targets, err := verify.ParseJSON(r.files[0].Data)
		if err != nil {
			t.Fatal(err)
		}
		if size := len(r.files[0].Data); size < 4500 || size > 5500 {
			t.Errorf("a targets file of %d bytes", size)
		}
		if got := verify.ClaimFor(v.root, verify.RoleTargets, targets); got != r.claim || got.Version != version {
			t.Errorf("claim %+v, want %+v", r.claim, got)
		}
		if err := targets.Meets(root.Root.KeySet(verify.RoleTargets)); err != nil {
			t.Error(err)
		}
		snapshot, err := verify.ParseJSON(r.files[1].Data)
		if err != nil {
			t.Fatal(err)
		}
		if err := snapshot.Meets(root.Root.KeySet(verify.RoleSnapshot)); err != nil {
			t.Error(err)
		}
		if err := snapshot.Snapshot.Files["targets.json"].Matches(r.files[0].Data, version); err != nil {
			t.Error(err)
		}
	}
}

func TestFigures(t *testing.T) {
	var took []time.Duration
	for i := 100; i > 0; i-- {
		took = append(took, time.Duration(i)*time.Millisecond)
	}
	got := newFigures("x", phase{clients: 2, duration: 10 * time.Second}, took)
	want := figures{What: "x", Clients: 2, Seconds: 10, Releases: 100, PerSecond: 10, P50: 50, P90: 90, P99: 99, Max: 100}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := newFigures("x", phase{duration: time.Second}, nil); got.P99 != 0 {
		t.Errorf("without a release: %+v", got)
	}
}

// A sidecar that proves something else, or nothing, does not pass.
func TestChecker(t *testing.T) {
	claim := verify.Claim{Role: verify.RoleTargets, Version: 2, Encoding: verify.JSON}
	for name, f := range map[string]api.FileResult{
		"refused":       {Role: "targets", Version: 2, Status: api.StatusRefused},
		"other version": {Role: "targets", Version: 1, Status: api.StatusReleased},
		"no proof":      {Role: "targets", Version: 2, Status: api.StatusReleased, Sidecar: "rubbish"},
	} {
		var c checker
		if err := c.check(&api.Result{Done: true, Results: []api.FileResult{f}}, claim); err == nil {
			t.Errorf("%s: passed", name)
		}
	}
}

func command(t *testing.T, dir, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(t.Context(), filepath.Join(dir, name), args...)
}

func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", cmd, err, out, &stderr)
	}
	return strings.TrimSpace(string(out))
}

// start starts a server and returns where it listens.
func start(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	found := make(chan string, 1)
	go func() {
		defer close(found)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if url, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
				found <- url
			}
		}
	}()
	select {
	case url := <-found:
		if url == "" {
			t.Fatalf("%v ended", cmd)
		}
		return url
	case <-time.After(30 * time.Second):
		t.Fatalf("%v does not listen", cmd)
	}
	return ""
}

// The whole thing, with real processes.
func TestLoad(t *testing.T) {
	dir := t.TempDir()
	output(t, exec.Command("go", "build", "-o", dir, ".", "../logserver", "../witness", "../../log/tesseralog/baretessera"))
	path := func(name string) string { return filepath.Join(dir, name) }
	vkey := output(t, command(t, dir, "logserver", "init", "--dir", path("log"), "--origin", "test.example/log"))
	witness := output(t, command(t, dir, "witness", "init", "--dir", path("w"), "--name", "w.example"))
	output(t, command(t, dir, "witness", "log", "add", "--dir", path("w"), vkey))
	at := start(t, command(t, dir, "witness", "serve", "--dir", path("w"), "--listen", "127.0.0.1:0"))
	policy := fmt.Sprintf("log %s\nwitness w %s %s\nquorum w\n", vkey, witness, at)
	if err := os.WriteFile(path("policy"), []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	url := start(t, command(t, dir, "logserver", "serve", "--dir", path("log"), "--policy", path("policy"), "--listen", "127.0.0.1:0"))

	args := []string{"--log", url, "--policy", path("policy"), "--token-file", path("log/registration.token"),
		"--repositories", "5", "--warm-up", "100ms", "--duration", "500ms", "--json"}
	for _, tt := range []struct {
		args []string
		want int
	}{
		{[]string{"--clients", "1,7", "--bare", path("baretessera")}, 4},
		{[]string{"--clients", "3", "--rate", "50"}, 1},
	} {
		var all []figures
		if err := json.Unmarshal([]byte(output(t, command(t, dir, "logload", append(args, tt.args...)...))), &all); err != nil {
			t.Fatal(err)
		}
		if len(all) != tt.want {
			t.Errorf("%v: %d measurements, want %d", tt.args, len(all), tt.want)
		}
		for _, f := range all {
			if f.Releases == 0 || f.PerSecond <= 0 || f.P50 <= 0 || f.Max < f.P99 || f.P99 < f.P50 {
				t.Errorf("%v: %+v", tt.args, f)
			}
		}
	}
	// An answer that does not satisfy the policy is found out.
	strict := strings.Replace(policy, "quorum w", "witness x "+output(t, command(t, dir, "witness", "init", "--dir", path("x"), "--name", "x.example"))+"\ngroup g all w x\nquorum g", 1)
	if err := os.WriteFile(path("strict"), []byte(strict), 0o600); err != nil {
		t.Fatal(err)
	}
	args[3] = path("strict")
	cmd := command(t, dir, "logload", args...)
	out, err := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); err == nil || code != 1 {
		t.Errorf("exit code %d with a policy that the log does not meet: %s", code, out)
	}
}
