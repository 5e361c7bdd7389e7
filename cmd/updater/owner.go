package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// The commands with which the owner of a device decides. They make no requests, and judge
// by what the device remembers.

// approvedRow is an approval, for machines.
type approvedRow struct {
	Role     string `json:"role,omitempty"`
	Version  int64  `json:"version,omitempty"`
	Payload  string `json:"payload"`
	Time     string `json:"time,omitempty"` // when it was approved of, by the device's clock
	Unlogged bool   `json:"unlogged,omitempty"`
}

// deviceStatus is what status prints with --json.
type deviceStatus struct {
	Repository string `json:"repository"`
	Root       int64  `json:"root"`
	Log        string `json:"log,omitempty"`
	// Tree is the size of the newest tree of that log that the device has seen.
	Tree  int64  `json:"tree,omitempty"`
	Floor string `json:"floor,omitempty"` // a time that has passed
	// Adopted is the trust policy that came as a target and is in the place of the
	// configured one.
	Adopted  string        `json:"adopted_policy,omitempty"`
	Roles    []row         `json:"roles"`
	Waiting  []waitingRow  `json:"waiting"`
	Approved []approvedRow `json:"approved"`
	Unlogged []approvedRow `json:"unlogged"` // installed without a proof
	// Installed are the targets that a command has installed.
	Installed []device.Installed `json:"installed,omitempty"`
}

// openState reads the state of the device that --metadata-dir names. The caller unlocks.
func (o *options) openState(cmd *cobra.Command, write bool) (s device.Store, state verify.State, unlock func(), err error) {
	if err := need(flag{"metadata-dir", o.metadataDir}); err != nil {
		return s, state, nil, err
	}
	s = device.Store{Dir: o.metadataDir}
	take := s.LockToRead
	if write {
		take = s.Lock
	}
	if unlock, err = o.lock(take(cmd.Context(), cmd.CommandPath(), o.wait)); err != nil {
		return s, state, nil, err
	}
	state, trouble, err := s.State()
	if err != nil {
		unlock()
		return s, state, nil, err
	}
	if trouble != nil {
		warnOfTrouble(cmd.ErrOrStderr(), fmt.Errorf("using the other copy of the state: %w", trouble))
	}
	return s, state, unlock, nil
}

func newStatus(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "status --metadata-dir DIR",
		Short: "Print what a device has, what waits, and what was installed without a proof",
		Long: `Status prints what a device remembers: the releases that it has accepted, the time
that has certainly passed by the cosignatures that it has seen, what waits for its age
or for its owner, every release that was installed without a proof because the owner
approved of that, and the targets that updater install has installed. It makes no
requests and changes nothing.`,
		Example: `  updater status --metadata-dir /var/lib/updater`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, state, unlock, err := o.openState(cmd, false)
			if err != nil {
				return err
			}
			defer unlock()
			now, err := o.clock(time.Now())
			if err != nil {
				return err
			}
			installed, err := s.Installed()
			if err != nil {
				warnOfTrouble(cmd.ErrOrStderr(), fmt.Errorf("what was installed is not known: %w", err))
			}
			return o.printStatus(cmd.OutOrStdout(), state, installed, now)
		},
	}
}

func (o *options) printStatus(w io.Writer, state verify.State, installed []device.Installed, now time.Time) error {
	res := deviceStatus{
		Repository: state.Repository.String(), Root: state.Root.Version, Log: state.Log, Tree: state.Tree.N,
		Roles: []row{}, Waiting: []waitingRow{}, Approved: approvedRows(state.Approved), Unlogged: approvedRows(state.Unlogged),
		Installed: installed,
	}
	for _, w := range state.Waiting {
		res.Waiting = append(res.Waiting, rowOfWaiting(state, w, now))
	}
	if state.Adopted != nil {
		res.Adopted = string(state.Adopted.Policy)
	}
	floor := state.Floor(now)
	if !floor.IsZero() {
		res.Floor = floor.Format(time.RFC3339)
	}
	for _, role := range slices.Sorted(maps.Keys(state.Accepted)) {
		for _, a := range state.Accepted[role] {
			res.Roles = append(res.Roles, row{Role: role, Version: a.Version, Payload: a.Payload.String(), Index: -1, Verdict: "accepted"})
		}
	}
	if o.json {
		return cli.WriteJSON(w, res)
	}
	fmt.Fprintf(w, "repository %s: root %d, %s, %s, %s\n", res.Repository, res.Root,
		count(len(res.Roles), "release accepted", "releases accepted"), count(len(res.Waiting), "waits", "wait"), count(len(res.Unlogged), "without a proof", "without a proof"))
	if state.Adopted != nil {
		fmt.Fprintln(w, "the trust policy is one that came as a target, in the place of the configured one")
	}
	known := "nothing that it knows says what time it is"
	if !floor.IsZero() {
		known = "it knows that " + res.Floor + " has passed"
		if !now.IsZero() && now.Sub(floor) >= time.Minute {
			known += ", so what it knows may be " + about(now.Sub(floor)) + " old"
		}
	}
	fmt.Fprintln(w, known)
	if state.TreeOf != "" {
		fmt.Fprintf(w, "the newest tree that it has seen of log %s has %s\n", printable.Line(state.TreeOf), count(int(state.Tree.N), "entry", "entries"))
	}
	t := printable.NewTable(w, "ROLE", "VERSION", "PAYLOAD", "STATUS")
	for _, r := range res.Roles {
		status := r.Verdict
		for _, u := range res.Unlogged {
			if u.Role == r.Role && u.Payload == r.Payload {
				status = "accepted WITHOUT A PROOF, as its owner approved"
			}
		}
		t.Row(tuf.EscapeRole(r.Role), strconv.FormatInt(r.Version, 10), r.Payload[:16], status)
	}
	for _, a := range res.Approved {
		status := "approved"
		if a.Unlogged {
			status = "approved, also without a proof"
		}
		t.Row(what(a.Role), version(a.Version), a.Payload[:16], status)
	}
	for _, waits := range res.Waiting {
		t.Row(what(waits.Role), version(waits.Version), waits.ID, "waits: "+string(waits.Code)+map[bool]string{true: ", put off"}[waits.PutOffUntil > 0])
	}
	for _, u := range res.Unlogged {
		status := "was accepted WITHOUT A PROOF, as its owner approved"
		if u.Time != "" {
			status += " at " + u.Time
		}
		t.Row(what(u.Role), version(u.Version), u.Payload[:16], status)
	}
	if err := t.Flush(); err != nil || len(installed) == 0 {
		return err
	}
	t = printable.NewTable(w, "INSTALLED", "BYTES", "LISTED BY")
	for _, i := range installed {
		t.Row(i.Name, strconv.FormatInt(i.Length, 10), tuf.EscapeRole(i.Role)+" "+version(i.Version))
	}
	return t.Flush()
}

// count says a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// about is a duration in the largest unit that it has two of.
func about(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	}
	return fmt.Sprintf("%d seconds", d/time.Second)
}

// what names a role, or the policies.
func what(role string) string {
	if role == "" {
		return "(policies)"
	}
	return tuf.EscapeRole(role)
}

func version(v int64) string {
	if v == 0 {
		return "-"
	}
	return strconv.FormatInt(v, 10)
}

func approvedRows(approved []verify.Approved) []approvedRow {
	rows := []approvedRow{}
	for _, a := range approved {
		r := approvedRow{Role: a.Role, Version: a.Version, Payload: a.Payload.String(), Unlogged: a.Unlogged}
		if a.Time != 0 {
			r.Time = time.Unix(a.Time, 0).UTC().Format(time.RFC3339)
		}
		rows = append(rows, r)
	}
	return rows
}

func newPending(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "pending --metadata-dir DIR",
		Short: "Print what waits, and what it would change",
		Long: `Pending prints what the device was offered and has not taken, why, how long it has
been public at least, who has signed and cosigned it, and what it would change: files,
keys, thresholds, delegations, and who could replace files then.
It makes no requests and changes nothing: what it prints is as of the last refresh.`,
		Example: `  updater pending --metadata-dir /var/lib/updater`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, state, unlock, err := o.openState(cmd, false)
			if err != nil {
				return err
			}
			defer unlock()
			now, err := o.clock(time.Now())
			if err != nil {
				return err
			}
			rows := waitingReport(cmd.Context(), s, state, now)
			if o.json {
				return cli.WriteJSON(cmd.OutOrStdout(), rows)
			}
			if len(rows) == 0 {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "nothing waits")
				return err
			}
			return printWaiting(cmd.OutOrStdout(), rows, math.MaxInt)
		},
	}
}

// decide applies a decision of the owner's to what waits under each of the ids, all of it or
// nothing, and stores it. It returns the state, what was decided, and the device's time.
func (o *options) decide(cmd *cobra.Command, ids []string, decision func(s verify.State, id string, now time.Time) (verify.State, []verify.Waiting, error)) (verify.State, []verify.Waiting, time.Time, error) {
	store, state, unlock, err := o.openState(cmd, true)
	if err != nil {
		return state, nil, time.Time{}, err
	}
	defer unlock()
	now, err := o.clock(time.Now())
	if err != nil {
		return state, nil, now, err
	}
	var decided []verify.Waiting
	for _, id := range ids {
		var under []verify.Waiting
		if state, under, err = decision(state, id, now); err != nil {
			if errors.Is(err, verify.ErrNotWaiting) {
				err = fmt.Errorf("%w: updater pending prints what waits", err)
			}
			return state, nil, now, err
		}
		decided = append(decided, under...)
	}
	return state, decided, now, store.SaveState(state)
}

func newApprove(o *options) *cobra.Command {
	withoutProof := false
	cmd := &cobra.Command{
		Use:   "approve --metadata-dir DIR ID...",
		Short: "Let a device take what waits",
		Long: `Approve is the owner's word: the next refresh or download takes what waits under the ids
that updater pending prints, though it is younger than the install policy wants or needs
an approval, and though policies require less than before. It makes no requests.

An approval is of one file of one role, byte by byte, and ends when another release of
the role comes. A vendor may release several roles together: pending lists them all, and
all ids in one call are approved of, or none. An approval does not take the place of
signatures, hashes and expiry.

--unlogged lets a release pass that has no valid proof that it is logged. That gives up
what this program is for, and is meant for a log or witnesses that are gone for good. It
is recorded when it is accepted: updater status shows it.`,
		Example: `  updater approve --metadata-dir /var/lib/updater 3f2a91c04d5e6f70a1b2c3d4e5f60718`,
		Args:    some("an id, which updater pending prints", "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			state, approved, _, err := o.decide(cmd, args, func(s verify.State, id string, now time.Time) (verify.State, []verify.Waiting, error) {
				return s.Approve(id, withoutProof, now)
			})
			if err != nil {
				return err
			}
			if o.json {
				rows := approvedRows(state.Approved)
				return cli.WriteJSON(cmd.OutOrStdout(), slices.DeleteFunc(rows, func(r approvedRow) bool {
					return !slices.ContainsFunc(approved, func(w verify.Waiting) bool { return w.Role == r.Role && w.Payload.String() == r.Payload })
				}))
			}
			also := ""
			if withoutProof {
				also = ", WITHOUT A PROOF that it is logged, which is recorded"
			}
			for _, w := range approved {
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "approved: %s (%s): the next refresh takes it%s\n", w, w.ID(), also); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&withoutProof, "unlogged", false, "approve of a release that has no valid proof")
	return cmd
}
