package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
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
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// The examples of docs/devices.md do what they say, run by bash one after the other
// against a real log. The vendor's and the mirror's part is done before, and again and
// again where it says so.
func TestDevicesByTheDocs(t *testing.T) {
	if testing.Short() {
		t.Skip("a log with its witnesses")
	}
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip(err)
	}
	text, err := os.ReadFile("../../docs/devices.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?ms)^```bash\n(.*?)^```$").FindAllStringSubmatch(string(text), -1)
	if len(examples) != 9 {
		t.Fatalf("%d examples, want 9: init and download, install, making a bundle, installing it, verify, explain, the mirror's refresh, the device's, the owner's", len(examples))
	}
	bin := runtest.Programs(t, "logserver", "witness", "publisher", "updater")
	w := runtest.NewWorld(t)
	site := httptest.NewServer(http.FileServer(http.Dir(w.Path("mirror"))))
	defer site.Close()
	policy, err := os.ReadFile(w.Path("policy"))
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, "policy.txt", strings.Replace(string(policy), "\n", " "+w.Log.URL+"\n", 1))

	v, err := testvendor.New(time.Now().Add(24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	publish := func(v *testvendor.Vendor, dir string) {
		t.Helper()
		for name, content := range v.Files() {
			writeFile(t, w.Path(dir+"/metadata/"+name), content)
		}
		for name, content := range v.TargetFiles() {
			writeFile(t, w.Path(dir+"/targets/"+name), content)
			writeFile(t, w.Path(dir+"/targets/"+tuf.Sum(content).String()+"."+name), content)
		}
		runtest.Must(t, "publisher", "submit", "--policy", w.Path("policy.txt"), "--token-file", w.Path("log/registration.token"),
			"--token-out", w.Path(dir+".token"), w.Path(dir+"/metadata"))
	}
	if err := v.Put("targets", "firmware.bin", []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := v.Release("targets"); err != nil {
		t.Fatal(err)
	}
	publish(v, "mirror")
	writeFile(t, w.Path("1.root.json"), v.Files()["1.root.json"])
	id := "" // of what waits
	run := func(example int) process.Result {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", examples[example][1])
		cmd.Dir = w.Dir
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+w.Path("bin")+":"+os.Getenv("PATH"), "SITE="+site.URL, "ID="+id)
		r, err := process.Run(cmd)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	must := func(example int) {
		t.Helper()
		if r := run(example); r.Code != 0 {
			t.Fatalf("%s\nexit %d\n%s%s", examples[example][1], r.Code, r.Stdout, r.Stderr)
		}
	}
	must(0)
	if b, err := os.ReadFile(w.Path("installed/firmware.bin")); err != nil || string(b) != "one" {
		t.Fatalf("installed %q, %v", b, err)
	}

	if err := os.Mkdir(w.Path("bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.Path("bin/install-firmware"), []byte("#!/bin/sh\n[ $# = 3 ] && cp \"$3\" slot-\"$2\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	must(1)
	if b, err := os.ReadFile(w.Path("slot-b")); err != nil || string(b) != "one" {
		t.Fatalf("in the slot is %q, %v", b, err)
	}

	// The next release, and a device that waits for its age.
	if err := v.Put("targets", "firmware.bin", []byte("two")); err != nil {
		t.Fatal(err)
	}
	if err := v.Release("targets"); err != nil {
		t.Fatal(err)
	}
	publish(v, "mirror")
	if err := os.CopyFS(w.Path("stick"), os.DirFS(w.Path("mirror"))); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(w.Path("device.before"), os.DirFS(w.Path("device"))); err != nil {
		t.Fatal(err)
	}
	must(2)
	if r := run(3); r.Code != 0 || !strings.Contains(r.Stdout, "\nwhat this device knows is of 20") || !strings.Contains(r.Stdout, "which is now by its clock") {
		t.Fatalf("the bundle: exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	if b, err := os.ReadFile(w.Path("installed/firmware.bin")); err != nil || string(b) != "two" {
		t.Fatalf("installed from the bundle: %q, %v", b, err)
	}
	if err := errors.Join(os.RemoveAll(w.Path("device")), os.Rename(w.Path("device.before"), w.Path("device"))); err != nil {
		t.Fatal(err)
	}
	must(4)
	if err := os.CopyFS(w.Path("docs/policies"), os.DirFS("../../docs/policies")); err != nil {
		t.Fatal(err)
	}
	must(5)
	w.Write(t, "install.json", `{"min_age":"2s"}`)
	if r := run(7); r.Code != 1 || !strings.Contains(r.Stderr, "too-young") || !strings.Contains(r.Stderr, "a newer one is not beside it") || !strings.Contains(r.Stderr, "publisher refresh") {
		t.Fatalf("before its time: exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	others := 0
	runtest.Eventually(t, "the release is old enough", func() bool {
		other, err := testvendor.New(time.Now().Add(24 * time.Hour)) // the log goes on
		if err != nil {
			t.Fatal(err)
		}
		others++
		publish(other, fmt.Sprint("other-", others))
		must(6)
		r := run(7)
		if r.Code != 0 && !strings.Contains(r.Stderr, "by the newer proof beside it") {
			t.Fatalf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
		}
		return r.Code == 0
	})

	// The third release waits for the owner.
	w.Write(t, "install.json", `{"min_age":"2s","approval":"manual"}`)
	if err := v.Put("targets", "firmware.bin", []byte("three")); err != nil {
		t.Fatal(err)
	}
	if err := v.Release("targets"); err != nil {
		t.Fatal(err)
	}
	publish(v, "mirror")
	if r := run(7); r.Code != 1 || !strings.Contains(r.Stderr, "refused (too-young): targets: version 4") {
		t.Fatalf("the third release: exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	var waiting []waitingRow
	if err := json.Unmarshal([]byte(runtest.Must(t, "updater", "pending", "--json", "--metadata-dir", w.Path("device"))), &waiting); err != nil || len(waiting) != 1 {
		t.Fatalf("%+v, %v", waiting, err)
	}
	id = waiting[0].ID
	if r := run(8); r.Code != 0 || !strings.Contains(r.Stdout, "firmware.bin") || !strings.Contains(r.Stdout, "approved: targets 4") {
		t.Fatalf("the owner: exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	must(7)
}

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// The install policy of docs/devices.md is one that the program takes, and so is that of
// the design; every code has a hint.
func TestDocsOfDevices(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile("../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	devices := read("devices.md")
	example := regexp.MustCompile("(?ms)^```json\n(.*?)^```$").FindStringSubmatch(devices)
	if len(example) == 0 {
		t.Fatal("no example of an install policy")
	}
	p, err := verify.ParseInstallPolicy([]byte(example[1]))
	if err != nil || p.MinAge != 48*time.Hour || p.NextPolicy == "" || !p.SnapshotHashes || p.Repository.IsZero() {
		t.Errorf("%+v, %v", p, err)
	}
	design := regexp.MustCompile(`(?m)^    (\{"repository": .*\})$`).FindStringSubmatch(read("architecture.md"))
	if len(design) == 0 {
		t.Fatal("no example in the design")
	}
	id := strings.Repeat("9ab1", 16)
	if _, err := verify.ParseInstallPolicy([]byte(strings.Replace(design[1], "9ab1…", id, 1))); err != nil {
		t.Errorf("the design's example: %v", err)
	}
	for _, code := range verify.Codes() {
		if hints[code] == "" {
			t.Errorf("%s has no hint", code)
		}
	}
	if len(hints) != len(verify.Codes()) {
		t.Errorf("%d hints, want %d", len(hints), len(verify.Codes()))
	}
}
