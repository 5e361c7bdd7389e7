package main

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/tuf"
)

// gitlabJob is what a job of deploy/ci/gitlab-ci.yml says.
type gitlabJob struct {
	Image         string
	ResourceGroup string `yaml:"resource_group"`
	Variables     map[string]string
	Rules         []map[string]string
	BeforeScript  []string `yaml:"before_script"`
	Script        []string
	Artifacts     struct{ Paths []string }
}

// The job for GitLab, as a runner of GitLab runs it: both scripts in one bash that ends at the
// first line that fails. The source comes from the clone that this is, as it is committed.
func TestGitLabJob(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("GitLab's runner runs scripts in bash, which is not installed")
	}
	clone, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	commit, err := exec.CommandContext(t.Context(), "git", "-c", "safe.directory="+clone, "-C", clone, "rev-parse", "HEAD").Output()
	if err != nil {
		t.Skip("the job clones the project, and these sources are not a git clone")
	}
	var jobs map[string]gitlabJob
	d := yaml.NewDecoder(strings.NewReader(read(t, "../../deploy/ci/gitlab-ci.yml")))
	d.KnownFields(true)
	if err := d.Decode(&jobs); err != nil {
		t.Fatal(err)
	}
	job, ok := jobs["log-release"]
	if !ok || len(jobs) != 1 || len(job.Artifacts.Paths) != 1 || job.Artifacts.Paths[0] != "$TUFLOG_FOLDER" {
		t.Fatalf("%+v", jobs)
	}

	runtest.Programs(t, "publisher", "updater", "logserver", "witness")
	v, err := testvendor.New(time.Now().Add(24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(v.Put(tuf.RoleTargets, "firmware.bin", []byte("one")), v.Release(tuf.RoleTargets)); err != nil {
		t.Fatal(err)
	}
	ci := newVendorsCI(t, newWorld(t), v)
	site(t, v, ci.workspace)
	run := func(set map[string]string) process.Result {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "bash", "-eo", "pipefail", "-c", strings.Join(append(job.BeforeScript, job.Script...), "\n"))
		cmd.Dir = ci.workspace
		cmd.Env = append(runnerEnv(), "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*", "TUFLOG_TOKEN="+ci.with["token"])
		for name, value := range merged(job.Variables, merged(map[string]string{
			"TUFLOG_SOURCE": clone, "TUFLOG_COMMIT": strings.TrimSpace(string(commit)), "TUFLOG_REPOSITORY": ci.with["repository"],
		}, set)) {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		r, err := process.Run(cmd)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, unpinned := range []string{"", "main", "v0.1.0", strings.TrimSpace(string(commit))[:12]} {
		if r := run(map[string]string{"TUFLOG_COMMIT": unpinned}); r.Code == 0 {
			t.Errorf("the commit %q was taken", unpinned)
		}
	}
	if r := run(nil); r.Code != 0 {
		t.Fatalf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	ci.install(t, ci.workspace)
	if r := run(map[string]string{"TUFLOG_REPOSITORY": ""}); r.Code != 2 {
		t.Errorf("without a repository: exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
}
