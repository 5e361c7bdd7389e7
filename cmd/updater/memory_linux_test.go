package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/runtest"
)

// A device has little memory, and a vendor may list ten thousand files.
func TestMemoryOfTenThousandTargets(t *testing.T) {
	if testing.Short() {
		t.Skip("ten thousand targets take a second to make")
	}
	s := newSite(t)
	d := s.newDevice()
	for i := range 10_000 {
		s.must(s.vendor.Put("targets", fmt.Sprintf("images/board-%06d.bin", i), fmt.Append(nil, i)))
	}
	s.must(s.vendor.Release("targets"))
	s.publish()
	path := "images/board-004711.bin"
	held := s.holdBack("/targets/images/" + s.hashOf(path) + ".board-004711.bin")
	cmd := runtest.Command(t, "updater", "download", "--policy", s.log.policy, "--metadata-url", s.url+"/metadata", "--metadata-dir", d.metadata(),
		"--target-name", path, "--target-dir", d.targets(), "--target-base-url", s.url+"/targets")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	s.must(cmd.Start())
	<-held.asked // by then all metadata is read and stored
	peak := peakMemory(t, cmd.Process.Pid)
	close(held.let)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	t.Logf("%d KiB at most", peak)
	if peak > 40<<10 {
		t.Errorf("an updater with 10,000 targets took %d KiB of memory, at most 40 MiB are promised", peak)
	}
}

// peakMemory returns the most that a process has had resident, in KiB. What wait says is
// of no use: it counts the parent's memory before the program began.
func peakMemory(t *testing.T, pid int) (kib int64) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscanf(after, "%d kB", &kib); err != nil {
		t.Fatal(err)
	}
	return kib
}
