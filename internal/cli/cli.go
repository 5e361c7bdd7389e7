// Package cli is shared by all programs of tuflog: results on stdout, the rest on
// stderr, and the exit codes 0 (success), 1 (a verification failed or a fault was
// found) and 2 (wrong usage, the check was not possible, or its result could not
// be printed).
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/build"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/lockfile"
	"github.com/tuflog/tuflog/internal/printable"
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

// Failed marks err as a failed verification or a found fault: the program exits
// with 1. Every other error exits with 2. Failed(nil) is nil.
func Failed(err error) error {
	if err == nil {
		return nil
	}
	return failure{err}
}

// IsFailure reports whether err is one that Failed marked.
func IsFailure(err error) bool { return errors.As(err, new(failure)) }

// ErrReported is for a command that has already printed its findings on stdout:
// Failed(ErrReported) exits with 1 and prints no message.
var ErrReported = errors.New("reported on stdout")

// run runs the program with the given arguments and streams and returns its
// exit code.
func run(ctx context.Context, program func() *cobra.Command, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := program()
	// Nothing drives the terminal, whoever made it up.
	safe := printable.NewWriter(stderr)
	defer safe.Flush()
	stderr = safe
	results := newResults(stdout)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(results)
	root.SetErr(stderr)
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.CompletionOptions.HiddenDefaultCmd = true
	// No template: one would link text/template, and with it every exported
	// method of every type that the program can reach (a fifth of its size).
	root.Version = build.Read().String() + "\nformats: " + strings.Join(build.Formats, ", ")
	ran := false
	noteRuns(root, &ran)
	cmd, err := root, unknownCommand(root, args)
	if err == nil {
		cmd, err = root.ExecuteContextC(ctx)
	} else {
		cmd, _, _ = root.Find(args)
	}
	switch {
	case err == nil, errors.Is(err, ErrReported), results.err != nil && errors.Is(err, results.err):
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintf(stderr, "%s: interrupted\n", cmd.CommandPath())
	default:
		fmt.Fprintf(stderr, "%s: %s\n", cmd.CommandPath(), fetch.RedactedText(Pasteable(cmd, err.Error())))
		if errors.Is(err, lockfile.ErrHeld) {
			fmt.Fprintf(stderr, "%s: wait until that has ended, or stop it first\n", cmd.CommandPath())
		}
		if !ran { // nothing but the arguments can have been wrong
			fmt.Fprintf(stderr, "see %s --help\n", cmd.CommandPath())
		}
	}
	var f failure
	results.flush()
	switch {
	case results.err != nil:
		// Whoever reads the results has not got them, whatever they are. A command
		// need not look at each of its writes.
		fmt.Fprintf(stderr, "%s: the result could not be printed: %v\n", cmd.CommandPath(), results.err)
		return ExitUsage
	case err == nil:
		return ExitOK
	case errors.As(err, &f):
		return ExitFailed
	}
	return ExitUsage
}

// results is stdout, made printable. It keeps the first error, after which nothing
// is written.
type results struct {
	exact io.Writer
	safe  *printable.Writer
	err   error
}

func newResults(stdout io.Writer) *results {
	return &results{exact: stdout, safe: printable.NewWriter(stdout)}
}

// Exact returns a command's stdout for output that must be exact, such as a file.
// On a terminal it is made printable all the same.
func Exact(stdout io.Writer) io.Writer {
	r, ok := stdout.(*results)
	if !ok || terminal(r.exact) != nil {
		return stdout
	}
	return writerFunc(func(p []byte) (int, error) { return r.write(r.exact, p) })
}

type writerFunc func([]byte) (int, error)

// Write implements io.Writer.
func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Write implements io.Writer.
func (r *results) Write(p []byte) (int, error) { return r.write(r.safe, p) }

func (r *results) write(w io.Writer, p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := w.Write(p)
	r.err = err
	return n, err
}

func (r *results) flush() {
	if r.err == nil {
		r.err = r.safe.Flush()
	}
}

// unknownCommand says that a command which only groups others does not know the
// word that follows. Cobra would complain about flags, or print the help and call
// that success.
func unknownCommand(root *cobra.Command, args []string) error {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(args...)
	cmd, rest, _ := root.Find(args)
	if cmd.Runnable() || len(rest) == 0 || strings.HasPrefix(rest[0], "-") || strings.HasPrefix(rest[0], cobra.ShellCompRequestCmd) {
		return nil
	}
	hint := ""
	if cmd.SuggestionsMinimumDistance <= 0 {
		cmd.SuggestionsMinimumDistance = 2
	}
	if alike := cmd.SuggestionsFor(rest[0]); len(alike) > 0 {
		hint = ": did you mean " + strings.Join(alike, " or ") + "?"
	}
	return fmt.Errorf("unknown command %q%s", rest[0], hint)
}

// noteRuns has every command set ran when its arguments are good and it begins.
func noteRuns(cmd *cobra.Command, ran *bool) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			*ran = true
			return run(cmd, args)
		}
	}
	if pre := cmd.PreRunE; pre != nil { // it reads files, which --help says nothing of
		cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
			err := pre(cmd, args)
			*ran = err != nil
			return err
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
