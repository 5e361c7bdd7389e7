// Package cli is what every program of tuflog shares: results on stdout, the
// rest on stderr, and the exit codes 0 (fine), 1 (verification failed or
// something was found) and 2 (wrong usage, or it could not be checked).
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	ExitOK     = 0
	ExitFailed = 1
	ExitUsage  = 2
)

// failure marks an error as a verdict, not a breakdown.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// Failed marks err as "verification failed or something was found": the
// program exits with 1. Every other error exits with 2. Failed(nil) is nil.
func Failed(err error) error {
	if err == nil {
		return nil
	}
	return failure{err}
}

// ErrReported is for a command that has already said on stdout what was found:
// Failed(ErrReported) exits with 1 and prints nothing more.
var ErrReported = errors.New("reported on stdout")

// Main runs the program until it ends or is interrupted, and exits.
func Main(build func() *cobra.Command) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second Ctrl-C ends a program that takes its time
	code := Run(ctx, build, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Run runs the program with the given arguments and streams and returns its
// exit code.
func Run(ctx context.Context, build func() *cobra.Command, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := build()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.CompletionOptions.HiddenDefaultCmd = true
	ran := false
	noteRuns(root, &ran)
	cmd, err := root.ExecuteContextC(ctx)
	// A command that only groups others prints its help for a word that it does
	// not know, and cobra calls that success.
	if args := cmd.Flags().Args(); err == nil && !cmd.Runnable() && len(args) > 0 {
		err = fmt.Errorf("unknown command %q", args[0])
	}
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, ErrReported):
	default:
		fmt.Fprintf(stderr, "%s: %v\n", cmd.CommandPath(), err)
		if !ran { // nothing but the arguments can have been wrong
			fmt.Fprintf(stderr, "see %s --help\n", cmd.CommandPath())
		}
	}
	var f failure
	if errors.As(err, &f) {
		return ExitFailed
	}
	return ExitUsage
}

// noteRuns has every command set ran when its arguments are good and it begins.
func noteRuns(cmd *cobra.Command, ran *bool) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			*ran = true
			return run(cmd, args)
		}
	}
	for _, sub := range cmd.Commands() {
		noteRuns(sub, ran)
	}
}

// WriteJSON prints v as one indented JSON document.
func WriteJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
