package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/tuflog/tuflog/bench/process"
)

// action is an action.yml.
type action struct {
	Name, Description string
	Inputs            map[string]struct {
		Description, Default string
		Required             bool
	}
	Outputs map[string]struct{ Description, Value string }
	Runs    struct {
		Using string
		Steps []actionStep
	}
}

type actionStep struct {
	ID, Name, If, Uses, Run, Shell string
	Env, With                      map[string]string
}

// workflow runs the steps of a composite action as GitHub's runner does: what a step runs as it
// is written, with a runner's variables and files, in a new process each. The two actions
// that it uses, which move artifacts, are done here.
type workflow struct {
	dir       string // of the action
	workspace string
	artifacts string // a folder each
	action    action
	temp      string // of the job that runs
	programs  string
	built     string // a folder with the programs, as the first job has built them
}

// ended is how a run of the action ended.
type ended struct {
	code     int // of the step that failed, 0 if none did
	said     string
	summary  string
	outputs  map[string]string
	commands []string // to the runner, of which each begins a line with ::
}

// newWorkflow reads deploy/github-action.
func newWorkflow(t *testing.T) *workflow {
	t.Helper()
	dir, err := filepath.Abs("../../deploy/github-action")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "action.yml"))
	if err != nil {
		t.Fatal(err)
	}
	w := &workflow{dir: dir, workspace: t.TempDir(), artifacts: t.TempDir(), programs: t.TempDir()}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&w.action); err != nil {
		t.Fatal(err)
	}
	return w
}

// run is one job with this action as its only step.
func (w *workflow) run(t *testing.T, with map[string]string) ended {
	t.Helper()
	w.temp = t.TempDir()
	inputs := map[string]string{}
	for name, input := range w.action.Inputs {
		inputs["inputs."+name] = input.Default
	}
	for name, value := range with {
		if _, ok := inputs["inputs."+name]; !ok {
			t.Fatalf("there is no input %q", name)
		}
		inputs["inputs."+name] = value
	}
	known := inputs
	known["runner.temp"] = w.temp
	e := ended{outputs: map[string]string{}}
	for i, step := range w.action.Runs.Steps {
		if step.If != "" && evaluate(t, step.If, known) != "true" {
			continue
		}
		if step.Uses != "" {
			w.move(t, step, known)
			continue
		}
		if step.ID == "programs" && w.built != "" { // to link them anew takes seconds
			work := filepath.Join(w.temp, "tuflog")
			put(t, w.built, filepath.Join(work, "bin"))
			known["steps.programs.outputs.work"] = work
			continue
		}
		e.code = w.step(t, &e, fmt.Sprintf("step%d", i), step, known)
		if e.code != 0 {
			break
		}
		if step.ID == "programs" {
			w.built = filepath.Join(w.programs, "bin")
			put(t, filepath.Join(known["steps.programs.outputs.work"], "bin"), w.built)
		}
	}
	for name, output := range w.action.Outputs {
		e.outputs[name] = evaluate(t, output.Value, known)
	}
	return e
}

// step runs one step, and returns its exit code.
func (w *workflow) step(t *testing.T, e *ended, name string, step actionStep, known map[string]string) int {
	t.Helper()
	file := func(kind, content string) string {
		path := filepath.Join(w.temp, name+"."+kind)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	output, summary := file("output", ""), file("summary", "")
	if step.Shell != "sh" {
		t.Fatalf("a step with the shell %q", step.Shell)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-e", file("sh", step.Run))
	cmd.Dir = w.workspace
	cmd.Env = append(runnerEnv(), "GITHUB_WORKSPACE="+w.workspace, "RUNNER_TEMP="+w.temp, "GITHUB_ACTION_PATH="+w.dir, "GITHUB_OUTPUT="+output, "GITHUB_STEP_SUMMARY="+summary)
	for key, value := range step.Env {
		cmd.Env = append(cmd.Env, key+"="+evaluate(t, value, known))
	}
	r, err := process.Run(cmd)
	if err != nil {
		t.Fatal(err)
	}
	e.said += r.Stdout + r.Stderr
	e.commands = append(e.commands, runnerCommands(r.Stdout)...)
	e.summary += read(t, summary)
	for line := range strings.Lines(read(t, output)) {
		key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if !ok {
			t.Fatalf("an output %q", line)
		}
		known["steps."+step.ID+".outputs."+key] = value
	}
	return r.Code
}

// runnerEnv is what a runner has in its environment, and this machine needs to build.
func runnerEnv() []string {
	env := []string{"CI=true", "GITHUB_ACTIONS=true"}
	for _, name := range []string{"PATH", "HOME", "GOCACHE", "GOMODCACHE", "GOPATH", "GOPROXY", "GOSUMDB", "GOTOOLCHAIN"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// runnerCommands are what a runner takes for commands to itself.
func runnerCommands(stdout string) []string {
	var commands []string
	until := ""
	for line := range strings.Lines(stdout) {
		line = strings.TrimSpace(line)
		switch token, stops := strings.CutPrefix(line, "::stop-commands::"); {
		case until != "":
			if line == "::"+until+"::" {
				until = ""
			}
		case stops:
			until = token
		case strings.HasPrefix(line, "::"):
			commands = append(commands, line)
		}
	}
	return commands
}

// move does what the two actions do that move artifacts.
func (w *workflow) move(t *testing.T, step actionStep, known map[string]string) {
	t.Helper()
	with := map[string]string{}
	for key, value := range step.With {
		with[key] = evaluate(t, value, known)
	}
	artifact := filepath.Join(w.artifacts, with["name"])
	switch name, _, _ := strings.Cut(step.Uses, "@"); name {
	case "actions/download-artifact":
		if err := os.CopyFS(with["path"], os.DirFS(artifact)); err != nil {
			t.Fatal(err)
		}
	case "actions/upload-artifact":
		if with["overwrite"] != "true" {
			t.Fatal("an artifact of that name is there")
		}
		if err := os.RemoveAll(artifact); err != nil {
			t.Fatal(err)
		}
		put(t, with["path"], artifact)
	default:
		t.Fatalf("a foreign action %q", step.Uses)
	}
}

// put copies a file, or all that is in a folder, into a new folder.
func put(t *testing.T, from, folder string) {
	t.Helper()
	info, err := os.Stat(from)
	if err != nil {
		t.Fatal(err)
	}
	if info.IsDir() {
		err = os.CopyFS(folder, os.DirFS(from))
	} else if err = os.MkdirAll(folder, 0o755); err == nil {
		err = os.WriteFile(filepath.Join(folder, filepath.Base(from)), []byte(read(t, from)), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

var (
	expression = regexp.MustCompile(`\$\{\{\s*(.*?)\s*\}\}`)
	equals     = regexp.MustCompile(`^(\S+) == '([^']*)'$`)
)

// evaluate replaces the expressions in a text: names, and comparisons of one with a string. What
// no step has set is empty, as on GitHub.
func evaluate(t *testing.T, text string, known map[string]string) string {
	t.Helper()
	return expression.ReplaceAllStringFunc(text, func(s string) string {
		inner := expression.FindStringSubmatch(s)[1]
		if m := equals.FindStringSubmatch(inner); m != nil {
			return fmt.Sprint(lookUp(t, m[1], known) == m[2])
		}
		return lookUp(t, inner, known)
	})
}

func lookUp(t *testing.T, name string, known map[string]string) string {
	t.Helper()
	value, ok := known[name]
	if !ok && !strings.HasPrefix(name, "steps.") {
		t.Fatalf("an expression %q", name)
	}
	return value
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The action says what it needs, runs no foreign code that is not named by its digest, and
// nothing that the caller gives is ever part of a script.
func TestActionIsPinned(t *testing.T) {
	w := newWorkflow(t)
	if w.action.Runs.Using != "composite" || len(w.action.Runs.Steps) == 0 {
		t.Fatalf("%+v", w.action.Runs)
	}
	digest := regexp.MustCompile(`^actions/(down|up)load-artifact@[0-9a-f]{40}$`)
	var env []string
	for _, step := range w.action.Runs.Steps {
		if step.Uses != "" && !digest.MatchString(step.Uses) {
			t.Errorf("uses %q", step.Uses)
		}
		if strings.Contains(step.Run, "${{") {
			t.Errorf("an expression in a script: %s", step.Run)
		}
		if (step.Uses == "") == (step.Run == "") {
			t.Errorf("step %q", step.Name)
		}
		for _, value := range step.Env {
			env = append(env, value)
		}
		for _, value := range step.With {
			env = append(env, value)
		}
	}
	for name, input := range w.action.Inputs {
		used := slices.ContainsFunc(env, func(v string) bool { return v == "${{ inputs."+name+" }}" })
		if !used || input.Description == "" {
			t.Errorf("input %s: used %v, %q", name, used, input.Description)
		}
		if required := name == "policy" || name == "repository"; input.Required != required {
			t.Errorf("input %s is required: %v", name, input.Required)
		}
	}
}

// The scripts are POSIX shell, and shellcheck finds nothing in them.
func TestScripts(t *testing.T) {
	scripts := []string{"../../deploy/ci/log-release.sh", "../../deploy/github-action/run.sh"}
	for _, script := range scripts {
		if out, err := exec.CommandContext(t.Context(), "sh", "-n", script).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
	t.Run("shellcheck", func(t *testing.T) {
		if _, err := exec.LookPath("shellcheck"); err != nil {
			t.Skip("shellcheck is not installed (Debian: shellcheck)")
		}
		if out, err := exec.CommandContext(t.Context(), "shellcheck", append([]string{"--shell=sh"}, scripts...)...).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}
