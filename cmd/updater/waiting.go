package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/explain"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// waitingRow is what waits, for machines.
type waitingRow struct {
	ID      string      `json:"id"`
	Role    string      `json:"role,omitempty"` // empty: policies
	Version int64       `json:"version,omitempty"`
	Payload string      `json:"payload"`
	Code    verify.Code `json:"code"`
	Detail  string      `json:"detail"`
	// Evidence says with which keys it is signed, where it is logged and who cosigned that,
	// as of the last refresh.
	Evidence string `json:"evidence,omitempty"`
	// Age is how many seconds it has been in the log at least; 0: not known.
	Age int64 `json:"age,omitempty"`
	// PutOffUntil is the age, in seconds, until which its owner has put it off.
	PutOffUntil int64    `json:"put_off_until,omitempty"`
	Changes     []string `json:"changes,omitempty"` // sentences
	// Power says who could replace files if the device took all that waits, and what that
	// changes. The first row has it that changes keys, thresholds or delegations, or whose
	// release is the first.
	Power []string `json:"power,omitempty"`
}

// rowOfWaiting is the row of what waits, without what it changes.
func rowOfWaiting(state verify.State, w verify.Waiting, now time.Time) waitingRow {
	r := waitingRow{ID: w.ID(), Role: w.Role, Version: w.Version, Payload: w.Payload.String(), Code: w.Code, Detail: w.Detail, Evidence: w.Evidence,
		Age: int64(state.Age(w, now) / time.Second)}
	if state.PutOff(w, now) {
		r.PutOffUntil = w.Until
	}
	return r
}

// waitingReport is what waits, with what each would change.
func waitingReport(ctx context.Context, s device.Store, state verify.State, now time.Time) []waitingRow {
	rows, told := []waitingRow{}, false
	for _, w := range state.Waiting {
		r := rowOfWaiting(state, w, now)
		if w.Role != "" {
			changes, power, err := changesOf(s, w)
			if r.Changes = changes; err != nil {
				r.Changes = []string{"what it changes cannot be said: " + err.Error()}
			}
			if power && !told {
				if r.Power, err = powerOf(ctx, s, state); err != nil {
					r.Power = []string{"whom it gives what power cannot be said: " + err.Error()}
				}
				told = true
			}
		}
		rows = append(rows, r)
	}
	return rows
}

// changesOf says in sentences what a release changes, and whether it may change who can
// replace files.
func changesOf(s device.Store, w verify.Waiting) (sentences []string, power bool, err error) {
	offered, own, err := s.Waiting(w)
	switch {
	case err != nil:
		return nil, false, err
	case offered == nil:
		return nil, false, errors.New("its file is not kept: the next refresh brings it")
	}
	var diff *explain.Changes
	if own == nil {
		diff, err = explain.First(w.Role, offered)
	} else {
		diff, err = explain.Diff(w.Role, own, offered)
	}
	if err != nil {
		return nil, false, err
	}
	return diff.Sentences(), own == nil || diff.Omitted > 0 || slices.ContainsFunc(diff.Changes, changesPower), nil
}

// changesPower reports whether a change may be one of who can replace a file.
func changesPower(c explain.Change) bool {
	switch c.Kind {
	case explain.TargetAdded, explain.TargetRemoved, explain.TargetChanged, explain.TargetHashes, explain.TargetCustom,
		explain.ExpiryChanged, explain.SpecVersion, explain.OtherChange, explain.KeyRenamed:
		return false
	}
	return true
}

// powerOf says who could replace the device's files if it took all that waits, and what that
// changes.
func powerOf(ctx context.Context, s device.Store, state verify.State) ([]string, error) {
	var before, after explain.Repository
	for _, r := range append([]string{tuf.RoleRoot, tuf.RoleTargets}, slices.Sorted(maps.Keys(state.Accepted))...) {
		if file, _, err := s.Kept(ctx, r); err == nil && file != nil {
			if m, err := tuf.ParseJSON(file); err == nil && m.Type == tuf.TypeOf(r) {
				before.Put(r, m)
				after.Put(r, m)
			}
		}
	}
	for _, w := range state.Waiting {
		if w.Role == "" {
			continue
		}
		if m, _, err := s.Waiting(w); err == nil && m != nil {
			after.Put(w.Role, m)
		}
	}
	var was *explain.Repository
	if before.Targets != nil {
		was = &before
	}
	impact, err := explain.ImpactOf(was, after, "")
	if err != nil {
		return nil, err
	}
	return impact.Sentences(), nil
}

// reportLines is how many lines of changes, and of power, are shown of a release where it is
// not asked for all.
const reportLines = 60

// printWaiting prints what waits; most is how many lines of changes, and of power, are shown
// of each.
func printWaiting(w io.Writer, rows []waitingRow, most int) error {
	var b strings.Builder
	for _, r := range rows {
		name := "a policy"
		if r.Role != "" {
			name = fmt.Sprintf("%s %d", tuf.Word(r.Role), r.Version)
		}
		age := ""
		if r.Age > 0 {
			age = ", public for " + about(time.Duration(r.Age)*time.Second) + " at least"
		}
		fmt.Fprintf(&b, "%s  %s waits (%s)%s\n  %s\n", r.ID, name, r.Code, age, printable.Line(r.Detail))
		if r.PutOffUntil > 0 {
			fmt.Fprintf(&b, "  put off by its owner until it has been public for %s\n", about(time.Duration(r.PutOffUntil)*time.Second))
		}
		if r.Evidence != "" {
			fmt.Fprintf(&b, "  %s\n", printable.Line(r.Evidence))
		}
		printSome(&b, r.Changes, most)
	}
	for _, r := range rows {
		if len(r.Power) > 0 {
			fmt.Fprintf(&b, "Who could replace files if the device took all of that:\n")
			printSome(&b, r.Power, most)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printSome prints the first lines.
func printSome(b *strings.Builder, lines []string, most int) {
	for i, line := range lines {
		if i == most {
			fmt.Fprintf(b, "  and %s\n", count(len(lines)-most, "line more", "lines more"))
			return
		}
		if line != "" {
			fmt.Fprintf(b, "  %s\n", printable.Line(line))
		}
	}
}
