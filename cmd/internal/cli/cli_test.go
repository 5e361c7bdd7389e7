package cli

import (
	"errors"
	"fmt"
	"strings"
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
		{"unknown command", []string{"dance"}, nil, ExitUsage, "unknown command"},
		{"unknown command of a group", []string{"group", "dance"}, nil, ExitUsage, "prog group: unknown command \"dance\"\nsee prog group --help\n"},
		{"a group alone", []string{"group"}, nil, ExitOK, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			code := Run(t.Context(), func() *cobra.Command {
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
			if stdout.Len() != 0 && tt.args[0] != "group" {
				t.Fatalf("stdout %q", stdout.String())
			}
		})
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
}

func TestProgressLine(t *testing.T) {
	start := time.Unix(1000, 0)
	p := &Progress{label: "import", total: 40, done: 10, started: start}
	want := "import [#######.......................] 10/40 (5/s) 6s left"
	if got := p.line(start.Add(2 * time.Second)); got != want {
		t.Fatalf("line = %q, want %q", got, want)
	}
}
