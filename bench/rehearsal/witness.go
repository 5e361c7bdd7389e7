package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/testbed"
	"github.com/tuflog/tuflog/proofs"
)

// Witnesses are the witnesses of a log, each a process. Taps before a witness follow
// it when it is started anew, at another place.
type Witnesses struct {
	Processes []*process.Process // nil: not started yet

	bin  string
	log  string // its public key
	list []testbed.Witness
	taps [][]*Tap // before each of the list
}

// StartWitnesses makes n witnesses of a log, called w0, w1 and so on, with the programs
// in bin and folders below dir, and starts them.
func StartWitnesses(ctx context.Context, bin, dir string, n int, log string) (w *Witnesses, err error) {
	w = &Witnesses{Processes: make([]*process.Process, n), bin: bin, log: log, taps: make([][]*Tap, n)}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	run := func(program string, args ...string) (string, error) {
		return process.Output(ctx, filepath.Join(bin, program), args...)
	}
	for i := range n {
		name := fmt.Sprintf("w%d", i)
		made, err := testbed.NewWitness(run, filepath.Join(dir, "witness-"+name), name, "example", log)
		if err != nil {
			return w, err
		}
		w.list = append(w.list, made)
		if err := w.Start(ctx, i); err != nil {
			return w, err
		}
	}
	return w, nil
}

// Start starts a witness that does not run.
func (w *Witnesses) Start(ctx context.Context, i int) error {
	p, err := process.Start(ctx, exec.Command(filepath.Join(w.bin, "witness"), "serve", "--dir", w.Dir(i), "--listen", "127.0.0.1:0"), nil)
	if err != nil {
		return err
	}
	w.Processes[i] = p
	w.list[i].URL = p.URL
	for _, t := range w.taps[i] {
		t.To.Store(&p.URL)
	}
	return nil
}

// Dir is the directory of a witness.
func (w *Witnesses) Dir(i int) string { return w.list[i].Dir }

// NewTaps puts a tap before every witness, for what the log with a key shows; see NewTap.
func (w *Witnesses) NewTaps(key proofs.Key, rec *Record, shown func(proofs.Tree)) ([]*Tap, error) {
	var taps []*Tap
	for i := range w.list {
		t, err := NewTap(key, rec, shown)
		if err != nil {
			return nil, err
		}
		w.taps[i] = append(w.taps[i], t)
		url := w.list[i].URL
		t.To.Store(&url)
		taps = append(taps, t)
	}
	return taps, nil
}

// Policy is the text of a policy that wants a quorum of the witnesses: through taps,
// one for each, or as they are, without.
func (w *Witnesses) Policy(quorum int, taps []*Tap) string {
	list := slices.Clone(w.list)
	for i, t := range taps {
		list[i].URL = t.URL
	}
	return testbed.Policy(w.log, quorum, list)
}

// Close kills the witnesses and ends their taps; nil has none.
func (w *Witnesses) Close() error {
	if w == nil {
		return nil
	}
	for _, p := range w.Processes {
		if p != nil {
			p.Kill()
		}
	}
	var errs []error
	for _, t := range slices.Concat(w.taps...) {
		errs = append(errs, t.Close())
	}
	return errors.Join(errs...)
}
