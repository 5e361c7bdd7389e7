package main

import (
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/log/api"
)

// On a full disk the log says so: /readyz is 503, submissions get an answer at once and
// not when they time out, and all goes on when there is room again. The disk is a small
// one in memory, in a mount namespace of the server's own.
func TestFullDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("fills a disk; TestNoRoom of package log is about the rest")
	}
	if os.Getuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(runtest.Programs(t, "logserver"), "logserver")
	const script = `set -e
mount -t tmpfs -o size=64m tmpfs "$1"
"$2" init --dir "$1/log" --origin test.example/log
printf 'log %s\nquorum none\n' "$(cat "$1/log/log.vkey")" > "$1/policy"
exec "$2" serve --dir "$1/log" --policy "$1/policy" --listen 127.0.0.1:0 --open-registration --metrics-listen 127.0.0.1:0`
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(unshare, "--mount", "--propagation", "private", "sh", "-c", script, "sh", disk, program)
	var mu sync.Mutex
	var said strings.Builder
	log, err := process.Start(t.Context(), cmd, func(line string) {
		mu.Lock()
		defer mu.Unlock()
		said.WriteString(line + "\n")
	})
	if errors.Is(err, os.ErrPermission) || process.IsEnded(err) && (strings.Contains(err.Error(), "mount:") || strings.Contains(err.Error(), "unshare:")) {
		t.Skip("a small disk cannot be mounted here: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Kill)
	ready := func(want int) (text string) {
		t.Helper()
		runtest.Eventually(t, "what /readyz says", func() bool {
			resp, err := http.Get(log.URL + "/readyz")
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			text = string(b)
			return err == nil && resp.StatusCode == want
		})
		return text
	}
	register := func() error {
		_, root := newVendor(t).File("root")
		_, err := (&api.Client{Base: log.URL}).Register(t.Context(), root)
		return err
	}
	ready(http.StatusOK)
	if err := register(); err != nil {
		t.Fatal(err)
	}

	filler := filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), "root", disk, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 1<<16); ; {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if text := ready(http.StatusServiceUnavailable); !strings.Contains(text, "no space left on device") || !strings.Contains(text, disk+"/log") {
		t.Errorf("/readyz says %s", text)
	}
	// Without waiting: the client would come again as Retry-After asks it to.
	_, root := newVendor(t).File("root")
	resp, err := http.Post(log.URL+"/v1/repositories", api.TypeJSON, strings.NewReader(string(root)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || !strings.Contains(string(b), "no space left on device") {
		t.Errorf("a submission: %d %s, %v", resp.StatusCode, b, err)
	}
	runtest.Eventually(t, "the log says it in its own words", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Contains(said.String(), `level=ERROR msg="nothing can be stored`)
	})
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	ready(http.StatusOK)
	if err := register(); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
	if code := log.Stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
	for line := range strings.Lines(said.String()) {
		if !strings.HasPrefix(line, "time=") && !strings.HasPrefix(line, "listening on ") && strings.Contains(line, "temporary file") {
			t.Errorf("in another form: %s", line)
		}
	}
}
