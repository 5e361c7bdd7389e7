package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
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
	cmd := exec.CommandContext(t.Context(), "bash", "-x", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+runtest.Programs(t, "publisher")+string(os.PathListSeparator)+os.Getenv("PATH"))
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
	if n := strings.Count(r.Stdout, "nothing was sent"); n != 3 {
		t.Errorf("%d rehearsals\n%s", n, r.Stdout)
	}
}
