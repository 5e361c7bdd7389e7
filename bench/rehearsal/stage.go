package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/tuflog/tuflog/bench/process"
)

// Stage is where a rehearsal runs: a folder for all that it makes, and tuflog's
// programs.
type Stage struct {
	Dir string
	Bin string
	Say func(format string, args ...any) // tells how far it is; nothing at first

	own bool // Dir is to be removed at the end
}

// NewStage makes a stage for the rehearsal with a name in dir, or if that is empty in a
// new folder that Close removes. The programs are in bin, or if that is empty they are
// built.
func NewStage(ctx context.Context, name, dir, bin string, programs ...string) (s *Stage, err error) {
	s = &Stage{Dir: dir, Bin: bin, Say: func(string, ...any) {}}
	if s.own = dir == ""; s.own {
		if s.Dir, err = os.MkdirTemp("", "tuflog-"+name+"-"); err != nil {
			return nil, err
		}
	}
	err = os.MkdirAll(s.Dir, 0o755)
	if err == nil && s.Bin == "" {
		s.Bin = filepath.Join(s.Dir, "bin")
		err = process.Build(ctx, s.Bin, programs...)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Program is the path of one of tuflog's programs.
func (s *Stage) Program(name string) string { return filepath.Join(s.Bin, name) }

// Close removes the folder, if it is a new one.
func (s *Stage) Close() error {
	if !s.own {
		return nil
	}
	return os.RemoveAll(s.Dir)
}

// Main runs a rehearsal until it ends or is interrupted, and exits with its code.
func Main(name string, run func(context.Context) (code int, err error)) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
	}
	os.Exit(code)
}

// Aloud makes the stage say on stderr how far it is, and prints where and when this is.
// What it returns prints how long it took.
func (s *Stage) Aloud(w io.Writer, seed uint64) (end func()) {
	s.Say = func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	started := time.Now()
	fmt.Fprintf(w, "%s, %s/%s, %d CPUs, seed %d\n", started.UTC().Format("2006-01-02 15:04 MST"), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), seed)
	return func() { fmt.Fprintf(w, "\n%v\n", time.Since(started).Round(time.Second)) }
}
