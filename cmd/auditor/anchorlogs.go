package main

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit/anchored"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/proofs"
)

// anchoredLog is a log of a policy whose checkpoints can be anchored.
type anchoredLog struct {
	origin string
	keys   []proofs.Key // of type ECDSA
	url    string       // that the policy names; empty: none, or several
}

// anchoredLogs returns all of them, in the order of the policy. There is one at least, or the error
// is anchored.ErrNoKey.
func anchoredLogs(policy *proofs.Policy) ([]anchoredLog, error) {
	var list []anchoredLog
	seen := map[string]bool{}
	for _, l := range policy.Logs {
		origin := l.Key.Name()
		keys, err := anchored.LogKeys(policy, origin)
		if seen[origin] || err != nil {
			continue
		}
		seen[origin] = true
		list = append(list, anchoredLog{origin, keys, urlOf(policy, origin)})
	}
	if len(list) == 0 {
		return nil, anchored.ErrNoKey
	}
	return list, nil
}

// urlOf returns the URL that the lines of a log name, if that is one.
func urlOf(policy *proofs.Policy, origin string) (url string) {
	for _, l := range policy.Logs {
		switch {
		case l.Key.Name() != origin || l.URL == "":
		case url != "" && url != l.URL:
			return ""
		default:
			url = l.URL
		}
	}
	return url
}

// errNoURL is of a log that the policy does not say where to find.
func (l *anchoredLog) errNoURL() error {
	return fmt.Errorf("log %s: the policy does not name its URL: give it with --log, for this log alone", printable.Line(l.origin))
}

// anchoredBy returns the log that signed a note with a key of type ECDSA.
func anchoredBy(logs []anchoredLog, note []byte) (*anchoredLog, *proofs.Checkpoint, error) {
	var why error
	for i := range logs {
		c, _, err := proofs.OpenCheckpoint(note, logs[i].keys...)
		if err == nil {
			return &logs[i], &c, nil
		}
		if why == nil || !errors.Is(err, proofs.ErrUnknownLog) {
			why = err
		}
	}
	return nil, nil, fmt.Errorf("%w: %w", anchored.ErrNotSigned, why)
}

// newestNotes reads the newest checkpoint of each log, or of the one at the URL of the flag. Whether
// it is one is seen by its signature. With an error, those that could be read.
func newestNotes(cmd *cobra.Command, flag string, policy *proofs.Policy, logs []anchoredLog) (notes [][]byte, errs error) {
	if flag != "" {
		logs = []anchoredLog{{url: flag}}
	}
	for _, l := range logs {
		if l.url == "" {
			errs = errors.Join(errs, l.errNoURL())
			continue
		}
		src, err := openLog(l.url, policy)
		if err == nil {
			var note []byte
			if note, err = src.Checkpoint(cmd.Context()); err == nil {
				notes = append(notes, note)
			}
		}
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("log %s: %w", printable.Line(cmp.Or(l.origin, flag)), err))
		}
	}
	return notes, errs
}

// readNote reads a note from a file.
func readNote(path string) ([]byte, error) { return cli.ReadAtMost(path, proofs.MaxNoteSize) }
