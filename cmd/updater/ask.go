package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/verify"
)

const (
	// maxQuestions is how often one run asks its user.
	maxQuestions = 16
	// later is how long an owner who answers so is not asked again.
	later = 7 * 24 * time.Hour
	// patience is how long an answer is waited for: other runs wait meanwhile.
	patience = 10 * time.Minute
)

// decidable returns what the owner may decide now: what waits for an approval, has none and
// is not put off.
func decidable(state verify.State, now time.Time) (waits []verify.Waiting) {
	for _, w := range state.Waiting {
		if w.Code == verify.CodeNeedsApproval && !state.Approves(w) && !state.PutOff(w, now) {
			waits = append(waits, w)
		}
	}
	return waits
}

// putOff returns what the owner is not asked about before it is older.
func putOff(state verify.State, now time.Time) (waits []verify.Waiting) {
	for _, w := range state.Waiting {
		if state.PutOff(w, now) && !state.Approves(w) {
			waits = append(waits, w)
		}
	}
	return waits
}

// asker asks the user of a terminal.
type asker struct {
	o    *options
	cmd  *cobra.Command
	in   *os.File      // nil: there is no terminal
	why  string        // nobody can be asked
	read *bufio.Reader // of in, since the last question
	wait time.Duration // for an answer
}

// newAsker looks for a terminal.
func (o *options) newAsker(cmd *cobra.Command) *asker {
	a := &asker{o: o, cmd: cmd, wait: patience}
	in, ok := cmd.InOrStdin().(*os.File)
	switch {
	case o.json:
		a.why = "with --json nobody is asked"
	case !ok || !term.IsTerminal(int(in.Fd())):
		a.why = "standard input is not a terminal"
	default:
		a.in = in
	}
	return a
}

// ask shows the user what waits for an approval, all of it together, and asks whether to
// take it. Where nobody can be asked the answer is no, and that is said.
func (a *asker) ask(s device.Store, state verify.State) (yes bool, err error) {
	now, err := a.o.clock(time.Now())
	if err != nil {
		return false, err
	}
	waits := decidable(state, now)
	w := a.cmd.ErrOrStderr()
	if a.in == nil {
		fmt.Fprintf(w, "updater: nobody was asked (%s): approval \"ask\" is the same as \"manual\" here\n", a.why)
		return false, nil
	}
	rows := make([]waitingRow, 0, len(waits))
	for _, r := range waitingReport(a.cmd.Context(), s, state, now) {
		for _, waiting := range waits {
			if r.ID == waiting.ID() && r.Role == waiting.Role {
				rows = append(rows, r)
			}
		}
	}
	if err := printWaiting(w, rows, reportLines); err != nil {
		return false, err
	}
	these := fmt.Sprintf("all %d", len(waits))
	if len(waits) < 5 {
		var names []string
		for _, waiting := range waits {
			names = append(names, waiting.String())
		}
		these = strings.Join(names, ", ")
	}
	fmt.Fprintf(w, "Yes installs it, no leaves it for the next run, later asks again in %s, all shows what was left out above.\n", about(later))
	// An answer is one to what is shown now, and not what was typed meanwhile.
	flushInput(a.in)
	a.read = bufio.NewReader(a.in)
	for {
		fmt.Fprintf(w, "Install %s? [y/N/later/all] ", these)
		answer, err := a.line()
		if err != nil {
			return false, err
		}
		switch strings.ToLower(strings.TrimSpace(answer)) {
		case "y", "yes":
			for _, waiting := range waits {
				if state, _, err = state.Approve(waiting.Payload.String(), false, now); err != nil {
					return false, err
				}
			}
			return true, s.SaveState(state)
		case "l", "later":
			var under []verify.Waiting
			for _, waiting := range waits {
				var more []verify.Waiting
				if state, more, err = state.Postpone(waiting.Payload.String(), later, now); err != nil {
					return false, err
				}
				under = append(under, more...)
			}
			if err := s.SaveState(state); err != nil {
				return false, err
			}
			return false, printPutOff(w, under)
		case "a", "all":
			if err := printWaiting(w, rows, math.MaxInt); err != nil {
				return false, err
			}
		default:
			return false, nil
		}
	}
}

// line reads an answer. A user who ends the program need not answer; one who has gone away
// says no.
func (a *asker) line() (string, error) {
	type answer struct {
		text string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		text, err := a.read.ReadString('\n')
		if errors.Is(err, io.EOF) {
			err = nil
		}
		answers <- answer{text, err}
	}()
	select {
	case got := <-answers:
		return got.text, got.err
	case <-time.After(a.wait):
		fmt.Fprintf(a.cmd.ErrOrStderr(), "\nupdater: no answer in %v: it is left for the next run\n", a.wait)
		return "", nil
	case <-a.cmd.Context().Done():
		return "", a.cmd.Context().Err()
	}
}
