//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/tuflog/tuflog/bench/runtest"
)

// hook is a command for --exec: it notes its arguments and what the file has, a line for each
// run, and ends with the exit code in a file beside it.
func (d *machine) hook() (command string, runs func() []string) {
	d.t.Helper()
	script, log := filepath.Join(d.dir, "hook"), filepath.Join(d.dir, "hook.log")
	d.site.must(os.WriteFile(script, []byte(`#!/bin/sh
log=$1
shift
for a in "$@"; do printf '[%s]' "$a"; done >> "$log"
printf ' %s\n' "$(cat "$1")" >> "$log"
exit "$(cat "$log.code" 2>/dev/null || echo 0)"
`), 0o755))
	return script + " " + log + " {}", func() []string {
		b, err := os.ReadFile(log)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			d.t.Fatal(err)
		}
		d.site.must(os.RemoveAll(log))
		lines := strings.Split(strings.ReplaceAll(string(b), d.targets()+"/", "TARGETS/"), "\n")
		return lines[:len(lines)-1]
	}
}

// exits makes the hook end with a code from now on.
func (d *machine) exits(code string) {
	d.t.Helper()
	d.site.must(os.WriteFile(filepath.Join(d.dir, "hook.log.code"), []byte(code), 0o644))
}

// fromSite are the flags that name the site.
func (d *machine) fromSite() []string {
	return []string{"--metadata-url", d.site.url + "/metadata", "--target-base-url", d.site.url + "/targets"}
}

// stick writes what the site serves into a folder and a bundle.
func (d *machine) stick(targets ...string) (folder, bundle string) {
	d.t.Helper()
	folder, bundle = filepath.Join(d.dir, "stick"), filepath.Join(d.dir, "update.bundle")
	d.site.must(os.RemoveAll(folder))
	for path, content := range d.site.files {
		if !strings.HasPrefix(path, "/targets/") || !strings.Contains(path, "..") {
			writeFile(d.t, folder+filepath.FromSlash(path), content)
		}
	}
	args := append([]string{"bundle", "create", "--policy", d.site.log.policy, bundle}, d.fromSite()...)
	for _, name := range targets {
		args = append(args, "--target-name", name)
	}
	d.run(args...).want(0)
	return folder, bundle
}

// The command of --exec is run once for a content, and again until it succeeds; from a
// repository over HTTP, a folder and a bundle.
func TestInstall(t *testing.T) {
	s := newSite(t)
	s.release("fw", "one")
	d := s.newDevice()
	command, runs := d.hook()
	check := func(want ...string) {
		t.Helper()
		if got := runs(); strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("the command ran as %q, want %q", got, want)
		}
	}
	flags := append(d.fromSite(), "--policy", s.log.policy, "--metadata-dir", d.metadata(), "--target-dir", d.targets(), "--exec", command)
	install := func(more ...string) ran {
		t.Helper()
		return d.run(append(append([]string{"install", "fw"}, flags...), more...)...)
	}
	d.exits("7")
	install().want(1, "updater: target fw: it is not installed: ", "hook ended with exit code 7")
	install("--json").want(1)
	check("[TARGETS/fw] one", "[TARGETS/fw] one")
	d.exits("0")
	install().want(0, "what this device knows is of 20", "installed: fw, of targets 2, "+d.targets()+"/fw")
	check("[TARGETS/fw] one")
	install().want(0, "installed before: fw")
	check()
	install("--again").want(0, "installed: fw")
	check("[TARGETS/fw] one")
	d.run("status", "--metadata-dir", d.metadata()).want(0, "INSTALLED", "fw ", "targets 2")

	// A new release is a new content; one that lists the same is not.
	if testing.Short() {
		return // what follows is many processes
	}
	s.release("other", "x")
	install().want(0, "installed before: fw, of targets 3")
	s.release("fw", "two")
	var events []string
	out := install("--json").want(0).stdout
	for line := range strings.Lines(out) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		events = append(events, e.Event)
		switch {
		case e.Event != "result" && e.Target != "fw", e.Event == "exited" && (e.ExitCode == nil || *e.ExitCode != 0),
			e.Event == "running" && strings.Join(e.Command[2:], " ") != d.targets()+"/fw",
			e.Event == "fetching" && (*e.Have != 0 || *e.Length != 3):
			t.Errorf("%s", line)
		}
	}
	if got := strings.Join(events, " "); got != "fetching ready running exited installed result" {
		t.Errorf("events %s\n%s", got, out)
	}
	check("[TARGETS/fw] two")
	// A damaged memory costs a run of the command, and no more.
	s.must(os.WriteFile(filepath.Join(d.metadata(), "updater.installed"), []byte("{"), 0o644))
	if r := install().want(0, "installed: fw"); !strings.Contains(r.stderr, "what was installed is not known") {
		t.Errorf("stderr %s", r.stderr)
	}
	install().want(0, "installed before: fw")
	check("[TARGETS/fw] two")

	s.release("fw", "three")
	folder, bundle := d.stick("fw")
	s.seen()
	local := flags[len(d.fromSite()):]
	d.run(append([]string{"install", "fw", "--from", folder}, local...)...).want(0, "installed: fw, of targets 5")
	check("[TARGETS/fw] three")
	d.run(append([]string{"bundle", "install", bundle, "fw"}, local...)...).want(0, "installed before: fw, of targets 5")
	d.run(append([]string{"bundle", "install", bundle, "fw", "--again"}, local...)...).want(0, "installed: fw, of targets 5")
	check("[TARGETS/fw] three")
	if got := s.seen(); len(got) > 0 {
		t.Errorf("requests %q", got)
	}

	for why, args := range map[string][]string{
		"want a folder with the folders": append([]string{"install", "fw", "--from", folder + "/metadata"}, local...),
		"no such file":                   append([]string{"install", "fw", "--from", folder + "/none"}, local...),
		"not a bundle: it begins with":   append([]string{"install", "fw", "--from", folder + "/metadata/timestamp.json"}, local...),
		"target \"none\": no role":       append([]string{"bundle", "install", bundle, "none"}, local...),
	} {
		d.run(args...).want(1, why)
	}
	for why, args := range map[string][]string{
		"which targets is it for":               append([]string{"bundle", "install", bundle}, local...),
		"use updater download":                  append([]string{"install", "fw", "--from", folder}, local[:6]...),
		"name a target: updater install TARGET": append([]string{"install", "--from", folder}, local...),
		"--from takes the place of":             append([]string{"install", "fw", "--from", folder}, flags...),
		"is the metadata directory":             append([]string{"bundle", "install", bundle, "--target-dir", d.metadata()}, local[:4]...),
		"its path is needed":                    append([]string{"install", "", "--from", folder}, local...),
		"executable file not found":             append(append([]string{"install", "fw", "--from", folder}, local...), "--exec", "there-is-no-such-command {}"),
		"has a meaning for a shell":             append(append([]string{"install", "fw", "--from", folder}, local...), "--exec", "x {} && y"),
	} {
		d.run(args...).want(2, why)
	}
	check()
}

// No name of a target becomes an option or a word of a shell, whatever it is.
func TestNamesOfInstalledTargets(t *testing.T) {
	if testing.Short() {
		t.Skip("a command for each of many names")
	}
	s := newSite(t)
	names := map[string]string{
		"--help": "--help", "-rf": "-rf", "a b": "a%20b", "x;reboot": "x%3Breboot", "$(reboot)": "%24%28reboot%29", "`x`": "%60x%60", "'": "%27", `"`: "%22",
		"{}": "%7B%7D", ".download.x.part": "%2Edownload.x.part", ".Download.1.tmp": "%2EDownload.1.tmp", "a/b": "a%2Fb", "~": "~", "*": "%2A", "a\nb": "a%0Ab", strings.Repeat("n", 300): "sha256=",
	}
	for name := range names {
		s.must(s.vendor.Put("targets", name, []byte("content")))
	}
	s.must(s.vendor.Release("targets"))
	s.publish()
	d := s.newDevice()
	command, runs := d.hook()
	bundle := filepath.Join(d.dir, "update.bundle")
	d.run(append([]string{"bundle", "create", "--policy", s.log.policy, bundle, "--all-targets"}, d.fromSite()...)...).want(0)
	args := append([]string{"bundle", "install", "--policy", s.log.policy, "--metadata-dir", d.metadata(), "--target-dir", d.targets(), "--exec", command, "--", bundle}, slices.Collect(maps.Keys(names))...)
	d.run(args...).want(0)
	got := strings.Join(runs(), "\n") + "\n"
	for name, file := range names {
		if !strings.Contains(got, "[TARGETS/"+file) || file != "sha256=" && !strings.Contains(got, "[TARGETS/"+file+"] content\n") {
			t.Errorf("%q is not among\n%s", name, got)
		}
	}
	if n := strings.Count(got, "\n"); n != len(names) {
		t.Errorf("%d runs of the command for %d targets\n%s", n, len(names), got)
	}
}

// waitingHook is a hook that says that it runs and waits until it may end.
func (d *machine) waitingHook(body string) (command string, begun func()) {
	d.t.Helper()
	script, pipe := filepath.Join(d.dir, "waits"), filepath.Join(d.dir, "pipe")
	d.site.must(os.RemoveAll(pipe))
	d.site.must(syscall.Mkfifo(pipe, 0o600))
	d.site.must(os.WriteFile(script, []byte("#!/bin/sh\n"+strings.ReplaceAll(body, "SAY", "echo begun > '"+pipe+"'")), 0o755))
	return script + " {}", func() {
		d.t.Helper()
		f, err := os.Open(pipe)
		d.site.must(err)
		line, err := bufio.NewReader(f).ReadString('\n')
		d.site.must(errors.Join(err, f.Close()))
		if line != "begun\n" {
			d.t.Fatalf("the command says %q", line)
		}
	}
}

// start begins an install of fw in a process group of its own.
func (d *machine) start(command string) *exec.Cmd {
	d.t.Helper()
	cmd := runtest.Command(d.t, "updater", append([]string{"install", "fw", "--policy", d.site.log.policy, "--metadata-dir", d.metadata(), "--target-dir", d.targets(), "--exec", command}, d.fromSite()...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	d.site.must(cmd.Start())
	return cmd
}

// A run that is killed while its command runs has remembered nothing: the next one runs the
// command again. Meanwhile other runs go on, and no second command begins. An interrupt is
// passed on to the command, and its success counts.
func TestInstallIsKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("processes that wait for each other")
	}
	s := newSite(t)
	s.release("fw", "one")
	d := s.newDevice()
	slow, begun := d.waitingHook("SAY\nexec sleep 600\n")
	cmd := d.start(slow)
	begun()
	d.refresh("--wait", "0s").want(0)
	if b, err := os.ReadFile(filepath.Join(d.targets(), "fw")); err != nil || string(b) != "one" {
		t.Errorf("the command is run before its file is there: %q, %v", b, err)
	}
	command, runs := d.hook()
	second := append([]string{"install", "fw", "--policy", s.log.policy, "--metadata-dir", d.metadata(), "--target-dir", d.targets(), "--exec", command, "--wait", "0s"}, d.fromSite()...)
	d.run(second...).want(1, "in use by the command of updater install (process ")
	s.must(syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL))
	_ = cmd.Wait()
	s.seen()
	second = append(second, "--wait", "1m") // the command may be ending still
	d.run(second...).want(0, "installed: fw")
	if got := runs(); len(got) != 1 {
		t.Errorf("ran %q", got)
	}
	for _, request := range s.seen() {
		if strings.HasPrefix(request, "/targets/") {
			t.Errorf("%s is fetched again", request)
		}
	}

	s.release("fw", "two")
	trapping, begun := d.waitingHook("trap 'echo was told; exit 0' TERM\nSAY\nsleep 600 & wait\nexit 3\n")
	cmd = d.start(trapping)
	begun()
	s.must(cmd.Process.Signal(os.Interrupt))
	if err := cmd.Wait(); err != nil {
		t.Errorf("an interrupted run whose command has succeeded: %v", err)
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // the command's sleep
	d.run(second...).want(0, "installed before: fw")
	if got := runs(); len(got) != 0 {
		t.Errorf("ran %q", got)
	}
}
