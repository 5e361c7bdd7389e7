package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

func TestRunExitCodes(t *testing.T) {
	tests := []struct {
		name   string
		args   []string
		err    error
		code   int
		stderr string
	}{
		{"fine", []string{"do"}, nil, ExitOK, ""},
		{"found something", []string{"do"}, Failed(errors.New("a fork")), ExitFailed, "prog do: a fork\n"},
		{"found, wrapped", []string{"do"}, fmt.Errorf("replay: %w", Failed(errors.New("a fork"))), ExitFailed, "prog do: replay: a fork\n"},
		{"already said so", []string{"do"}, Failed(ErrReported), ExitFailed, ""},
		{"could not check", []string{"do"}, errors.New("no network"), ExitUsage, "prog do: no network\n"},
		{"unknown flag", []string{"do", "--nope"}, nil, ExitUsage, "prog do: unknown flag: --nope\nsee prog do --help\n"},
		{"unknown command", []string{"dance"}, nil, ExitUsage, "prog: unknown command \"dance\"\nsee prog --help\n"},
		{"unknown command with flags", []string{"dance", "--policy", "p"}, nil, ExitUsage, "prog: unknown command \"dance\"\nsee prog --help\n"},
		{"misspelt command", []string{"gruop", "--policy", "p"}, nil, ExitUsage, "prog: unknown command \"gruop\": did you mean group?\nsee prog --help\n"},
		{"unknown command of a group", []string{"group", "dance", "--quick"}, nil, ExitUsage, "prog group: unknown command \"dance\"\nsee prog group --help\n"},
		{"help of a group", []string{"help", "group"}, nil, ExitOK, ""},
		{"completion", []string{"completion", "bash"}, nil, ExitOK, ""},
		{"a group alone", []string{"group"}, nil, ExitOK, ""},
		{"version", []string{"--version"}, nil, ExitOK, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			code := run(t.Context(), func() *cobra.Command {
				root := &cobra.Command{Use: "prog"}
				group := &cobra.Command{Use: "group", Args: cobra.NoArgs}
				group.AddCommand(&cobra.Command{Use: "sub", RunE: func(*cobra.Command, []string) error { return nil }})
				root.AddCommand(group)
				root.AddCommand(&cobra.Command{Use: "do", RunE: func(*cobra.Command, []string) error { return tt.err }})
				return root
			}, tt.args, strings.NewReader(""), &stdout, &stderr)
			if code != tt.code || !strings.Contains(stderr.String(), tt.stderr) || (tt.stderr == "") != (stderr.Len() == 0) {
				t.Fatalf("exit %d, stderr %q; want %d, %q", code, stderr.String(), tt.code, tt.stderr)
			}
			if ran := tt.args[0] == "do" && len(tt.args) == 1; ran && strings.Contains(stderr.String(), "--help") {
				t.Fatalf("a command that ran says %q", stderr.String())
			}
			if prints := tt.code == ExitOK && tt.args[0] != "do"; prints != (stdout.Len() > 0) {
				t.Fatalf("stdout %q", stdout.String())
			}
		})
	}
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// Who reads a program's results must not take an empty file for them, whatever the
// command makes of its writes.
func TestResultsThatCannotBePrinted(t *testing.T) {
	for _, tt := range []struct {
		name   string
		err    error // of the command, besides that of its write
		says   bool  // the command returns the error of its write
		stderr string
	}{
		{"not looked at", nil, false, ""},
		{"returned", nil, true, ""},
		{"found something", Failed(ErrReported), false, ""},
		{"found and said", Failed(errors.New("a fork")), false, "prog do: a fork\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stderr strings.Builder
			code := run(t.Context(), func() *cobra.Command {
				root := &cobra.Command{Use: "prog"}
				root.AddCommand(&cobra.Command{Use: "do", RunE: func(cmd *cobra.Command, _ []string) error {
					if _, err := fmt.Fprintln(cmd.OutOrStdout(), "fine"); tt.says {
						return fmt.Errorf("print: %w", err)
					}
					return tt.err
				}})
				return root
			}, []string{"do"}, strings.NewReader(""), full{}, &stderr)
			want := tt.stderr + "prog do: the result could not be printed: no space left on device\n"
			if code != ExitUsage || stderr.String() != want {
				t.Errorf("exit %d, %q; want %q", code, stderr.String(), want)
			}
		})
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var stderr strings.Builder
	code := run(ctx, func() *cobra.Command {
		root := &cobra.Command{Use: "prog"}
		root.AddCommand(&cobra.Command{Use: "do", RunE: func(cmd *cobra.Command, _ []string) error {
			cancel()
			return fmt.Errorf("read: %w", cmd.Context().Err())
		}})
		return root
	}, []string{"do"}, strings.NewReader(""), io.Discard, &stderr)
	if code != ExitUsage || stderr.String() != "prog do: interrupted\n" {
		t.Errorf("exit %d, %q", code, stderr.String())
	}
}

func TestProgressIsSilentOffTerminal(t *testing.T) {
	var out strings.Builder
	p := NewProgress(&out, "import", 3)
	p.Add(3)
	p.Done()
	if out.Len() != 0 {
		t.Fatalf("printed %q", out.String())
	}
	// What takes long says so now and then.
	p.drawn = p.drawn.Add(-plainEvery)
	p.Add(1)
	p.Add(1)
	if got := out.String(); !strings.HasPrefix(got, "import 4/3 (") || strings.Count(got, "\n") != 1 {
		t.Fatalf("printed %q", got)
	}
}

func TestProgressLine(t *testing.T) {
	start := time.Unix(1000, 0)
	p := &Progress{label: "import", total: 40, done: 10, started: start}
	want := "import [#######.......................] 10/40 (5/s) 6s left"
	if got := p.line(start.Add(2 * time.Second)); got != want {
		t.Fatalf("line = %q, want %q", got, want)
	}
	p = &Progress{label: "replay", total: 1 << 40, done: 200, started: start}
	for after, want := range map[time.Duration]string{time.Second: " (200/s) 1527099h", time.Minute: "(3/s)"} {
		if got := p.line(start.Add(after)); !strings.Contains(got, want) || strings.Contains(got, "left") != (after == time.Second) {
			t.Errorf("after %v: %q", after, got)
		}
	}
}

func TestVersion(t *testing.T) {
	var stdout strings.Builder
	code := run(t.Context(), func() *cobra.Command { return &cobra.Command{Use: "prog", Run: func(*cobra.Command, []string) {}} },
		[]string{"--version"}, strings.NewReader(""), &stdout, io.Discard)
	first, second, _ := strings.Cut(stdout.String(), "\n")
	if code != ExitOK || !strings.HasPrefix(first, "prog ") || !strings.Contains(first, ", go1.") || !strings.HasPrefix(second, "formats: tuflog release v1, ") {
		t.Errorf("exit %d, %q", code, stdout.String())
	}
}
