package main

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/verify"
)

// asks starts a download on a terminal.
func (d *machine) asks(name string, more ...string) *terminal {
	d.t.Helper()
	return onTerminal(d.t, append([]string{"--policy", d.site.log.policy, "--metadata-url", d.site.url + "/metadata/", "--metadata-dir", d.metadata(),
		"--target-name", name, "--target-dir", d.targets(), "--target-base-url", d.site.url + "/targets", "download"}, more...)...)
}

func (d *machine) waiting() (rows []waitingRow) {
	d.t.Helper()
	if err := json.Unmarshal([]byte(d.run("pending", "--json", "--metadata-dir", d.metadata()).want(0).stdout), &rows); err != nil {
		d.t.Fatal(err)
	}
	return rows
}

// On a terminal the owner is asked once for all that was released together, and is shown
// what it changes before.
func TestOwnerIsAsked(t *testing.T) {
	s := newSite(t)
	s.must(s.vendor.Delegate("targets", "apps", "apps/*"))
	s.must(s.vendor.Put("apps", "apps/one\x1b[2J\x07", []byte("evil")))
	s.must(s.vendor.Put("apps", "apps/app", []byte("one")))
	s.must(s.vendor.Release("apps", "targets"))
	s.publish()
	d := s.newDevice()
	ask := d.install(`{"approval":"ask"}`)
	app := filepath.Join(d.targets(), "apps%2Fapp")
	const question = "Install targets 2, apps 1? [y/N/later/all] "

	for _, no := range []string{"n\r", "\r", "\x04", "nonsense\r", "all\rno\r"} {
		tty := d.asks("apps/app", ask...)
		report := tty.asked(question)
		for _, want := range []string{
			"targets 2 waits (needs-approval)", "signed by 1 key (", "cosigned by w1, w2", "It delegates apps/* to apps, which takes 1 of 1 keys.",
			"apps 1 waits (needs-approval)", `Target "apps/one\x1b[2J\a": 4 bytes`, "apps/app: 3 bytes", "Who could replace files if the device took all of that:",
		} {
			if !strings.Contains(report, want) {
				t.Errorf("%q is not in the report:\n%s", want, report)
			}
		}
		if strings.ContainsAny(report, "\x1b\x07") {
			t.Errorf("%q", report)
		}
		tty.answer(no)
		if out := tty.ends(1); !strings.Contains(out, "refused (needs-approval)") {
			t.Errorf("%q: %s", no, out)
		}
		if _, err := os.Stat(app); err == nil {
			t.Fatalf("%q: installed", no)
		}
	}
	// What was typed before the report was shown is not an answer to it.
	held := s.holdBack("/metadata/timestamp.json")
	early := d.asks("apps/app", ask...)
	<-held.asked
	early.answer("y\r")
	early.asked("y\r\n") // the terminal has it
	close(held.let)
	early.asked(question)
	early.answer("\r")
	early.ends(1)
	// An owner who ends the program has not said yes.
	tty := d.asks("apps/app", ask...)
	tty.asked(question)
	tty.answer("\x03")
	tty.ends(1)
	if _, err := os.Stat(app); err == nil || len(d.waiting()) != 2 {
		t.Fatalf("%v, %+v", err, d.waiting())
	}
	// Not to be asked for a while.
	tty = d.asks("apps/app", ask...)
	tty.asked(question)
	tty.answer("later\r")
	const until = ", until it has been public for 7 days"
	if out := tty.ends(1); strings.Count(out, until) != 2 {
		t.Errorf("it is not said until when: %s", out)
	}
	tty = d.asks("apps/app", ask...)
	if out := tty.ends(1); strings.Contains(out, "Install") || strings.Count(out, until) != 2 {
		t.Errorf("asked again: %s", out)
	}
	rows := d.waiting()
	if len(rows) != 2 || rows[0].PutOffUntil == 0 || rows[1].PutOffUntil == 0 {
		t.Fatalf("%+v", rows)
	}
	d.run("pending", "--metadata-dir", d.metadata()).want(0, "put off by its owner until it has been public for ")
	d.run("status", "--metadata-dir", d.metadata()).want(0, "waits: needs-approval, put off")

	// Without a terminal nobody is asked, and that is said; but for what is put off.
	if r := d.download("apps/app", ask...).want(1); strings.Contains(r.stderr, "nobody was asked") {
		t.Error(r.stderr)
	}
	s.must(s.vendor.Put("apps", "apps/app", []byte("two")))
	s.must(s.vendor.Release("apps"))
	s.publish()
	r := d.download("apps/app", ask...).want(1, "refused (needs-approval)", `updater: nobody was asked (standard input is not a terminal): approval "ask" is the same as "manual" here`)
	if strings.Contains(r.stderr, "Install") {
		t.Errorf("asked: %s", r.stderr)
	}
	d.download("apps/app", append(ask, "--json")...).want(1, "with --json nobody is asked")

	// The newer release of apps is asked about, and targets, which is put off, is not; with
	// an approval of that all is installed.
	d.approve("targets")
	tty = d.asks("apps/app", ask...)
	tty.asked("Install apps 2? [y/N/later/all] ")
	tty.answer("y\r")
	if out := tty.ends(0); strings.Contains(out, "refused") {
		t.Error(out)
	}
	if b, err := os.ReadFile(app); err != nil || string(b) != "two" {
		t.Errorf("%q, %v", b, err)
	}

	// A root that waits is asked about too, with what is released under it.
	s.must(s.vendor.Rotate("targets"))
	s.must(s.vendor.Release("targets"))
	s.publish()
	tty = d.asks("apps/app", ask...)
	report := tty.asked("Install root 2, targets 3? [y/N/later/all] ")
	for _, want := range []string{"root 2 waits (needs-approval)", "Who could replace files if the device took all of that:", "Of the keys for targets"} {
		if !strings.Contains(report, want) {
			t.Errorf("%q is not in the report:\n%s", want, report)
		}
	}
	tty.answer("yes\r")
	tty.ends(0)
	if d.version("root") != 2 {
		t.Errorf("root %d", d.version("root"))
	}
}

// All that was released together is approved of together, and put off one by one.
func TestReleaseAsAWhole(t *testing.T) {
	s := newSite(t)
	s.must(s.vendor.Delegate("targets", "apps", "apps/*"))
	s.must(s.vendor.Put("apps", "apps/app", []byte("one")))
	s.must(s.vendor.Release("apps", "targets"))
	s.publish()
	d := s.newDevice()
	manual := d.install(`{"approval":"manual","postpone":"30d"}`)
	s.seen()
	d.download("apps/app", manual...).want(1, "needs-approval")
	asked := map[string]int{}
	for _, path := range s.seen() {
		if asked[path]++; asked[path] > 1 {
			t.Errorf("%s was asked for %d times", path, asked[path])
		}
	}
	rows := d.waiting()
	if len(rows) != 2 || rows[0].Role != "targets" || rows[1].Role != "apps" {
		t.Fatalf("%+v", rows)
	}
	in := []string{"--metadata-dir", d.metadata()}
	d.run(append([]string{"approve", rows[0].ID, "0123456789abcdef0123456789abcdef"}, in...)...).want(2, "nothing waits under that id")
	var status deviceStatus
	if err := json.Unmarshal([]byte(d.run(append([]string{"status", "--json"}, in...)...).want(0).stdout), &status); err != nil || len(status.Approved) != 0 {
		t.Errorf("approved of half: %+v, %v", status.Approved, err)
	}
	d.run(append([]string{"postpone", "--for", "3d", rows[0].ID}, in...)...).want(0, "put off: targets 2 ("+rows[0].ID+"), until it has been public for 3 days\n")
	d.run(append([]string{"postpone", "--for", "99d", rows[1].ID}, in...)...).want(0, "put off: apps 1", "30 days, when the install policy lets it in")
	d.run(append([]string{"postpone", "--for", "2d", rows[0].ID, rows[1].ID}, in...)...).want(0, "put off: targets 2", "put off: apps 1")
	d.run(append([]string{"postpone"}, in...)...).want(2, "name an id, which updater pending prints: updater postpone ID")
	d.run(append([]string{"postpone", "--for", "soon", rows[1].ID}, in...)...).want(2, "--for: \"soon\": want a duration")
	var approved []approvedRow
	if err := json.Unmarshal([]byte(d.run(append([]string{"approve", "--json", rows[0].ID, rows[1].ID}, in...)...).want(0).stdout), &approved); err != nil || len(approved) != 2 {
		t.Errorf("%+v, %v", approved, err)
	}
	for _, row := range d.waiting() {
		if row.PutOffUntil != 0 {
			t.Errorf("approved of and put off: %+v", row)
		}
	}
	d.download("apps/app", manual...).want(0)
	if rows := d.waiting(); len(rows) != 0 {
		t.Errorf("%+v", rows)
	}

	// Where nobody is asked there is nothing to put off.
	young := d.install(`{"approval":"auto","min_age":"48h"}`)
	d = s.newDevice()
	d.refresh(young...).want(1, string(verify.CodeTooYoung))
	d.run("postpone", "--metadata-dir", d.metadata(), d.waiting()[0].ID).want(2, "targets 2 cannot be put off: the install policy does not ask its owner")
}

// A question that nobody answers keeps other runs away for a while only.
func TestNobodyAnswers(t *testing.T) {
	silent, typing, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	defer typing.Close()
	var said strings.Builder
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	cmd.SetErr(&said)
	a := &asker{cmd: cmd, read: bufio.NewReader(silent), wait: time.Millisecond}
	if answer, err := a.line(); answer != "" || err != nil || !strings.Contains(said.String(), "no answer in 1ms") {
		t.Errorf("%q, %v, %q", answer, err, said.String())
	}
}
