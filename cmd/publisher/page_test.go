package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tuflog/tuflog/bench/docpage"
	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// runPage runs the commands of docs/vendors.md, one after the other.
func (w *world) runPage(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("the page's commands need bash")
	}
	text, err := os.ReadFile("../../docs/vendors.md")
	if err != nil {
		t.Fatal(err)
	}
	script := "set -euo pipefail\n"
	for _, m := range regexp.MustCompile("(?ms)^```bash\n(.*?)^```$").FindAllSubmatch(text, -1) {
		script += string(m[1])
	}
	v, err := testvendor.New(time.Now().Add(24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(v.Put("targets", "a", []byte("a")), v.Release("targets")); err != nil {
		t.Fatal(err)
	}
	dir := w.Path("page")
	writeAll(t, v, filepath.Join(dir, "metadata"))
	policy, err := os.ReadFile(w.Path("policy"))
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, "page/policy.txt", regexp.MustCompile(`(?m)^(log \S+).*$`).ReplaceAllString(string(policy), "$1 "+w.Log.URL))
	token, err := os.ReadFile(w.Path("log/registration.token"))
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, "page/registration.token", string(token))
	w.Write(t, "page/log-release.sh", read(t, "../../deploy/ci/log-release.sh"))
	cmd := exec.CommandContext(t.Context(), "bash", "-x", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+runtest.Programs(t, "publisher", "updater", "auditor")+string(os.PathListSeparator)+os.Getenv("PATH"))
	r, err := process.Run(cmd)
	if err != nil || r.Code != 0 {
		t.Fatalf("exit %d, %v\n%s%s", r.Code, err, r.Stdout, r.Stderr)
	}
	name, _ := v.File("targets")
	for _, suffix := range []string{verify.SidecarSuffix, verify.LatestSuffix} {
		if _, err := os.Stat(filepath.Join(dir, "metadata", name+suffix)); err != nil {
			t.Error(err)
		}
	}
	if n := strings.Count(r.Stdout, "nothing was sent"); n != 4 {
		t.Errorf("%d rehearsals\n%s", n, r.Stdout)
	}
}

// The jobs for GitHub that docs/vendors.md shows give the action what it takes and needs, in six
// lines for tuf-on-ci, and run nothing that is not named by a digest.
func TestPageOfActions(t *testing.T) {
	page := docpage.Read(t, "vendors.md")
	short := docpage.Example(t, page, "tuf-on-ci")
	if n := strings.Count(string(short), "\n"); n != 6 {
		t.Errorf("%d lines for tuf-on-ci", n)
	}
	type job struct {
		Steps []struct {
			Uses string
			With map[string]string
		}
	}
	var whole struct {
		Permissions map[string]string
		Jobs        map[string]job
	}
	if err := yaml.Unmarshal(docpage.Example(t, page, "github"), &whole); err != nil {
		t.Fatal(err)
	}
	if len(whole.Permissions) != 1 || whole.Permissions["contents"] != "read" {
		t.Errorf("permissions %v", whole.Permissions)
	}
	steps := whole.Jobs["publish"].Steps
	var alone job
	if err := yaml.Unmarshal(append([]byte("steps:\n"), short...), &alone); err != nil {
		t.Fatal(err)
	}
	w, ours := newWorkflow(t), 0
	for _, step := range append(steps, alone.Steps...) {
		name, version, _ := strings.Cut(step.Uses, "@")
		if name != "tuflog/tuflog/deploy/github-action" {
			if !regexp.MustCompile("^[0-9a-f]{40}$").MatchString(version) {
				t.Errorf("uses %s", step.Uses)
			}
			continue
		}
		ours++
		for input := range step.With {
			if _, ok := w.action.Inputs[input]; !ok {
				t.Errorf("there is no input %q", input)
			}
		}
		for input, i := range w.action.Inputs {
			if i.Required && step.With[input] == "" {
				t.Errorf("without the input %q", input)
			}
		}
	}
	if ours != 2 {
		t.Errorf("%d uses of the action", ours)
	}
}

// What docs/vendors.md has for RSTUF, over a storage as RSTUF's worker fills it: every version
// that there was, and snapshots without hashes.
func TestPageForRSTUF(t *testing.T) {
	bin := runtest.Programs(t, "publisher", "updater", "logserver", "witness")
	v, err := testvendor.New(time.Now().Add(24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	v.PlainSnapshots = true
	ci := newVendorsCI(t, newWorld(t), v)
	script := string(docpage.Example(t, docpage.Read(t, "vendors.md"), "rstuf"))
	if err := os.WriteFile(filepath.Join(ci.workspace, "log-release.sh"), []byte(read(t, "../../deploy/ci/log-release.sh")), 0o644); err != nil {
		t.Fatal(err)
	}
	storage, web := t.TempDir(), t.TempDir()
	staged := 0
	publish := func() error {
		staged++
		cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
		cmd.Dir = ci.workspace
		cmd.Env = append(runnerEnv(), "TUFLOG_BIN="+bin, "TUFLOG_POLICY=policy.txt", "TUFLOG_REPOSITORY="+ci.with["repository"], "TUFLOG_TOKEN="+ci.with["token"],
			"STORAGE="+storage, "STAGED="+filepath.Join(web, fmt.Sprint(staged)), "SITE="+filepath.Join(web, "metadata"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
		return err
	}
	for _, content := range []string{"one", "two"} {
		if err := errors.Join(v.Put(tuf.RoleTargets, "firmware.bin", []byte(content)), v.Release(tuf.RoleTargets)); err != nil {
			t.Fatal(err)
		}
		writeAll(t, v, storage)
		if err := publish(); err != nil {
			t.Fatal(err)
		}
		ci.install(t, web)
	}
	served := read(t, filepath.Join(web, "metadata", "timestamp.json"))
	// A copy with the new timestamp, and without the snapshot that it lists.
	if err := v.Release(tuf.RoleTargets); err != nil {
		t.Fatal(err)
	}
	writeAll(t, v, storage)
	name, _ := v.File(tuf.RoleSnapshot)
	if err := os.Remove(filepath.Join(storage, name)); err != nil {
		t.Fatal(err)
	}
	if publish() == nil || read(t, filepath.Join(web, "metadata", "timestamp.json")) != served {
		t.Error("half of a release was published")
	}
	writeAll(t, v, storage)
	if err := publish(); err != nil {
		t.Fatal(err)
	}
	ci.install(t, web)
}
