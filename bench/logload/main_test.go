package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// What a vendor writes by hand must be canonical, or the signatures would not
// verify, and of the size asked for.
func TestVendor(t *testing.T) {
	v, err := newVendor(3, 5000)
	if err != nil {
		t.Fatal(err)
	}
	root, err := tuf.ParseJSON(v.Root)
	if err != nil {
		t.Fatal(err)
	}
	genesis, err := admit.JudgeGenesis(root)
	if err != nil || genesis.Leaf.Repository != v.ID {
		t.Fatalf("%+v, %v; want repository %v", genesis, err, v.ID)
	}
	for version := int64(1); version <= 2; version++ {
		r := v.release()
		targets, err := tuf.ParseJSON(r.files[0].Data)
		if err != nil {
			t.Fatal(err)
		}
		if size := len(r.files[0].Data); size < 4500 || size > 5500 {
			t.Errorf("a targets file of %d bytes", size)
		}
		if got := verify.ClaimFor(v.ID, tuf.RoleTargets, targets); got != r.claim || got.Version != version {
			t.Errorf("claim %+v, want %+v", r.claim, got)
		}
		if err := targets.Meets(root.Root.KeySet(tuf.RoleTargets)); err != nil {
			t.Error(err)
		}
		snapshot, err := tuf.ParseJSON(r.files[1].Data)
		if err != nil {
			t.Fatal(err)
		}
		if err := snapshot.Meets(root.Root.KeySet(tuf.RoleSnapshot)); err != nil {
			t.Error(err)
		}
		listed, _ := snapshot.Snapshot.File("targets.json")
		if err := listed.Matches(r.files[0].Data, version); err != nil {
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
	claim := verify.Claim{Role: tuf.RoleTargets, Version: 2, Encoding: tuf.JSON}
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

func TestMain(m *testing.M) { runtest.Main(m) }

// logSize is what the checkpoint of a log says.
func logSize(t *testing.T, url string) int64 {
	t.Helper()
	resp, err := http.Get(url + "/checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	note, err := proofs.ParseNote(b)
	if err != nil {
		t.Fatal(err)
	}
	cp, err := proofs.ParseCheckpoint(note.Text)
	if err != nil {
		t.Fatal(err)
	}
	return cp.Tree.N
}

// The whole thing, with real processes.
func TestLoad(t *testing.T) {
	w := runtest.NewWorld(t)
	args := []string{"--log", w.Log.URL, "--policy", w.Path("policy"), "--token-file", w.Path("log/registration.token"),
		"--repositories", "5", "--presigned", "1000", "--warm-up", "100ms", "--duration", "500ms", "--json"}
	for _, tt := range []struct {
		args []string
		want int
	}{
		{[]string{"--clients", "1,7", "--bare", filepath.Join(runtest.Programs(t, "bench/baretessera"), "baretessera")}, 4},
		{[]string{"--clients", "3", "--rate", "50"}, 1},
	} {
		var all []figures
		if err := json.Unmarshal([]byte(runtest.Must(t, "bench/logload", append(args, tt.args...)...)), &all); err != nil {
			t.Fatal(err)
		}
		if len(all) != tt.want {
			t.Errorf("%v: %d measurements, want %d", tt.args, len(all), tt.want)
		}
		for _, f := range all {
			// How much is done in the time is the machine's affair, be it nothing.
			if some := f.Releases > 0; f.Releases < 0 || (f.PerSecond > 0) != some || (f.P50 > 0) != some || f.Max < f.P99 || f.P99 < f.P50 {
				t.Errorf("%v: %+v", tt.args, f)
			}
		}
	}
	// Whoever takes part in a phase submits at least once.
	const registered, clients = 5, 1 + 7 + 3
	if size := logSize(t, w.Log.URL); size < registered+clients {
		t.Errorf("the log has %d entries, of which %d are roots, after %d clients", size, registered, clients)
	}
	// What measures nothing is no measurement.
	for want, more := range map[string][]string{
		"--clients 0":                 {"--clients", "0"},
		"--duration -1s":              {"--duration", "-1s"},
		"connection refused":          {"--log", "http://127.0.0.1:1"},
		"not an http or https URL":    {"--log", "127.0.0.1:7370"},
		"(give --token-file)":         {"--token-file="},
		"required flag(s) \"policy\"": nil,
	} {
		args := append(slices.Clone(args), more...)
		if more == nil {
			args = args[:2]
		}
		if stdout, stderr, code := runtest.Run(t, "bench/logload", args...); code != 2 || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%v: exit %d, %s%s; want exit code 2 and %q", more, code, stdout, stderr, want)
		}
	}
	// An answer that does not satisfy the policy is found out.
	policy, err := os.ReadFile(w.Path("policy"))
	if err != nil {
		t.Fatal(err)
	}
	stranger := runtest.Must(t, "witness", "init", "--dir", w.Path("x"), "--name", "x.example", "--only", "ed25519")
	w.Write(t, "strict", strings.Replace(string(policy), "quorum witnesses", "witness x "+stranger+"\ngroup more all witnesses x\nquorum more", 1))
	args[3] = w.Path("strict")
	if stdout, stderr, code := runtest.Run(t, "bench/logload", args...); code != 1 {
		t.Errorf("exit code %d with a policy that the log does not meet: %s%s", code, stdout, stderr)
	}
}
