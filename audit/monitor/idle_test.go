package monitor_test

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/monitor"
)

// BenchmarkIdle prints the share of a core that following takes while nothing happens: each of
// ten logs is asked every two seconds, and two witnesses of each every twenty. The servers run
// in another process, which is not counted.
func BenchmarkIdle(b *testing.B) {
	const logs = 10
	dir := b.TempDir()
	text := "dir = \"dir\"\nlisten = \"none\"\n"
	for i := range logs {
		s := newSite(b, fmt.Sprintf("log%d", i))
		s.policy(b, filepath.Join(dir, fmt.Sprint(i)))
		note := s.Checkpoint(s.Size(), 2)
		s.shown.Store(&note)
		text += fmt.Sprintf("[[log]]\nname = \"log%d\"\npolicy = \"%d\"\n", i, i)
	}
	path := filepath.Join(dir, "monitor.toml")
	must(b, os.WriteFile(path, []byte(text), 0o600))
	cmd := exec.Command(os.Args[0], "-test.run=^TestIdleFollower$")
	cmd.Env = append(os.Environ(), "TUFLOG_IDLE="+path)
	must(b, cmd.Start())
	time.Sleep(5 * time.Second) // it has begun
	begin, before := time.Now(), used(b, cmd.Process.Pid)
	for b.Loop() {
		time.Sleep(20 * time.Second)
	}
	share := (used(b, cmd.Process.Pid) - before).Seconds() / time.Since(begin).Seconds()
	must(b, cmd.Process.Signal(syscall.SIGKILL))
	_ = cmd.Wait()
	b.ReportMetric(100*share, "%core/10logs")
	b.ReportMetric(0, "ns/op")
}

// used returns the processor time of a process.
func used(b *testing.B, pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Skip(err)
	}
	var user, system int64
	_, err = fmt.Sscanf(string(text[lastParen(text)+2:]), "%s %d %d %d %d %d %d %d %d %d %d %d %d", new(string), new(int64), new(int64), new(int64), new(int64), new(int64),
		new(int64), new(int64), new(int64), new(int64), new(int64), &user, &system)
	must(b, err)
	return time.Duration(user+system) * 10 * time.Millisecond
}

func lastParen(b []byte) int {
	for i := len(b) - 1; i > 0; i-- {
		if b[i] == ')' {
			return i
		}
	}
	return 0
}

// TestIdleFollower is the process of BenchmarkIdle, and nothing otherwise.
func TestIdleFollower(t *testing.T) {
	path := os.Getenv("TUFLOG_IDLE")
	if path == "" {
		t.Skip("the process of a benchmark")
	}
	cfg, err := monitor.Read(t.Context(), path)
	must(t, err)
	m, err := monitor.New(t.Context(), cfg, monitor.Options{News: io.Discard, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	must(t, m.Run(t.Context()))
}
