//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// script is a command for --exec that is a shell script.
func (d *machine) script(body string) string {
	d.t.Helper()
	path := filepath.Join(d.dir, "script")
	d.site.must(os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o755))
	return path + " {}"
}

func (d *machine) installWith(command string, more ...string) ran {
	d.t.Helper()
	return d.run(append(append([]string{"install"}, more...), append(d.fromSite(), "--policy", d.site.log.policy, "--metadata-dir", d.metadata(), "--target-dir", d.targets(), "--exec", command)...)...)
}

// What a command gets is what was checked, whatever happened to the file since, and what is
// remembered is what it got.
func TestChangedBeforeTheCommand(t *testing.T) {
	if testing.Short() {
		t.Skip("a dozen processes")
	}
	s := newSite(t)
	s.release("a", "A one")
	s.release("b", "B one")
	d := s.newDevice()
	log := filepath.Join(d.dir, "log")
	saw := func() string {
		b, _ := os.ReadFile(log)
		_ = os.Remove(log)
		return string(b)
	}
	installed := func() string { return d.run("status", "--metadata-dir", d.metadata(), "--json").stdout }

	for _, change := range []string{"echo evil >$b", "echo evil >$b.new; mv $b.new $b"} {
		r := d.installWith(d.script(`b="`+d.targets()+`/b"; cat "$1" >>"`+log+`"; case "$1" in */a) `+change+";; esac\n"), "a", "b", "--again")
		r.want(1, "target b: its file was changed after it was checked, so the command was not run")
		if got := saw(); got != "A one" || strings.Contains(installed(), `"b"`) {
			t.Errorf("%s: the command saw %q\n%s", change, got, r.stdout)
		}
	}
	// A command may take its file away, and must not leave another.
	d.installWith(d.script(`cat "$1" >>"`+log+`"; rm "$1"`), "b").want(0, "installed: b")
	if got := saw(); got != "B one" {
		t.Errorf("the command saw %q", got)
	}
	for _, change := range []string{`echo evil >"$1"`, `echo evil >"$1.new"; mv "$1.new" "$1"`, `echo evil >"$1"; rm "$1"`} {
		d.installWith(d.script(change), "b", "--again").want(1, "target b: its file was changed while the command ran")
	}
}

// While a command runs nothing takes the place of its file, and no second command begins,
// also if the run of the first was killed.
func TestInstallIsKilledAndItsCommandIsNot(t *testing.T) {
	if testing.Short() {
		t.Skip("processes that wait for each other")
	}
	s := newSite(t)
	s.release("fw", "one")
	d := s.newDevice()
	slow, begun := d.waitingHook("SAY\nexec sleep 600\n")
	cmd := d.start(slow)
	begun()
	s.release("fw", "two")
	command, runs := d.hook()
	for range 2 {
		const busy = "in use by the command of updater install (process "
		d.download("fw", "--wait", "0s").want(1, busy)
		d.installWith(command, "fw", "--wait", "0s").want(1, busy)
		d.refresh("--wait", "0s").want(0)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	if b, err := os.ReadFile(filepath.Join(d.targets(), "fw")); err != nil || string(b) != "one" {
		t.Errorf("the command has %q, %v", b, err)
	}
	s.must(syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL))
	d.installWith(command, "fw", "--wait", "1m").want(0, "installed: fw")
	if got := runs(); len(got) != 1 || !strings.HasSuffix(got[0], " two") {
		t.Errorf("ran %q", got)
	}
	// What a command has left running keeps nobody waiting.
	d.installWith(d.script("sleep 600 >/dev/null 2>&1 & echo $! >"+d.dir+"/pid\n"), "fw", "--again").want(0, "installed: fw")
	d.installWith(command, "fw", "--again", "--wait", "0s").want(0, "installed: fw")
	b, err := os.ReadFile(d.dir + "/pid")
	s.must(err)
	s.must(syscall.Kill(pidOf(t, b), syscall.SIGKILL))
}

func pidOf(t *testing.T, b []byte) int {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// What was accepted and downloaded, and whose command failed, is tried again also where no
// update is to be had: a newer release waits, or the network is away.
func TestUnfinishedInstall(t *testing.T) {
	if testing.Short() {
		t.Skip("a dozen processes")
	}
	s := newSite(t)
	s.must(s.vendor.Delegate("targets", "apps", "apps/*"))
	s.must(s.vendor.Put("apps", "apps/x", []byte("x one")))
	s.must(s.vendor.Put("targets", "fw", []byte("one")))
	s.must(s.vendor.Release("apps", "targets"))
	s.publish()
	d := s.newDevice()
	command, runs := d.hook()
	d.exits("3")
	d.installWith(command, "apps/x").want(1, "exit code 3")
	d.installWith(command, "fw").want(1, "exit code 3")
	runs()
	// Not what another mode has let in, nor what another file has taken the place of.
	s.release("other", "z")
	young := d.install(`{"min_age":"48h"}`)
	const going = "no update now (too-young); the command has yet to succeed for what was accepted before: "
	d.installWith(command, append(young, "fw", "apps/x")...).want(1, going+"fw, of targets 2", "exit code 3", "refused (too-young): targets: version 3")
	d.exits("0")
	r := d.installWith(command, append(young, "fw", "apps/x", "--json")...).want(1, going+"fw, of targets 2", going+"apps/x, of apps", "refused (too-young)")
	if got := strings.Join(runs(), "|"); got != "[TARGETS/fw] one|[TARGETS/fw] one|[TARGETS/apps%2Fx] x one" || !strings.Contains(r.stdout, `"event":"installed"`) {
		t.Errorf("the command ran as %q\n%s", got, r.stdout)
	}
	d.installWith(command, append(young, "fw", "apps/x")...).want(1)
	if got := runs(); len(got) != 0 {
		t.Errorf("the command ran again: %q", got)
	}

	// The network is away. What was accepted since lists another content: only that counts.
	d.exits("3")
	s.release("fw", "two")
	d.installWith(command, "fw").want(1, "exit code 3")
	timestamp := s.get("/metadata/timestamp.json")
	s.set("/metadata/timestamp.json", nil)
	runs()
	d.exits("0")
	s.must(os.WriteFile(filepath.Join(d.targets(), "fw"), []byte("one"), 0o644))
	d.installWith(command, "fw").want(1, "(network)")
	s.must(os.WriteFile(filepath.Join(d.targets(), "fw"), []byte("two"), 0o644))
	d.installWith(command, "fw", "--transparency", "nonsense").want(2)
	if got := runs(); len(got) != 0 {
		t.Errorf("the command ran: %q", got)
	}
	d.installWith(command, "fw").want(1, "no update now (network)", "could not update (network)")
	if got := runs(); len(got) != 1 || got[0] != "[TARGETS/fw] two" {
		t.Errorf("the command ran as %q", got)
	}

	// Accepted without a proof, in a mode that lets that pass, is nothing for another mode.
	s.set("/metadata/timestamp.json", timestamp)
	lax := s.newDevice()
	command, runs = lax.hook()
	lax.exits("3")
	lax.installWith(command, "fw", "--transparency", "off").want(1, "exit code 3")
	s.set("/metadata/timestamp.json", nil)
	lax.exits("0")
	runs()
	lax.installWith(command, "fw").want(1, "(network)")
	if got := runs(); len(got) != 0 {
		t.Errorf("the command ran: %q", got)
	}
	lax.installWith(command, "fw", "--transparency", "off").want(1, "no update now (network)")
	if got := runs(); len(got) != 1 || got[0] != "[TARGETS/fw] two" {
		t.Errorf("the command ran as %q", got)
	}
}
