package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// result is what --json prints.
type result struct {
	Event      string      `json:"event,omitempty"` // "result" where other events come before it
	OK         bool        `json:"ok"`
	Repository string      `json:"repository,omitempty"`
	Root       int64       `json:"root,omitempty"`      // of init: the version that is trusted
	Less       string      `json:"less,omitempty"`      // of init: what the policies require less than before
	PinnedBy   string      `json:"pinned_by,omitempty"` // of verify: what says that it must be this repository
	Roles      []row       `json:"roles,omitempty"`     // what is trusted, or was checked
	Targets    []targetRow `json:"targets,omitempty"`   // those that were asked for, in order
	Missing    []string    `json:"missing,omitempty"`
	Refused    *refused    `json:"refused,omitempty"` // why it ended; the first of the targets' if it did not
	Error      string      `json:"error,omitempty"`   // the same, when it is not about the repository
	Warnings   []refused   `json:"warnings,omitempty"`
	Waiting    []waits     `json:"waiting,omitempty"` // of verify: what the device has not taken yet
	Held       *refused    `json:"held,omitempty"`    // a newer root that waits
	Known      string      `json:"known,omitempty"`   // of which time what the device knows is, RFC 3339
	Expired    string      `json:"expired,omitempty"` // when that expired, if nothing newer could be fetched
}

// targetRow is one target.
type targetRow struct {
	Name    string `json:"name"`
	File    string `json:"file,omitempty"`
	Verdict string `json:"verdict"` // of the role that lists it if it is as listed, a refusal's code, or error
	Detail  string `json:"detail,omitempty"`
}

// row is one metadata file.
type row struct {
	Role      string   `json:"role"`
	Version   int64    `json:"version"` // 0: could not be read
	File      string   `json:"file,omitempty"`
	Payload   string   `json:"payload,omitempty"`
	Index     int64    `json:"index"` // entry of the log, -1 where no proof was needed
	Witnesses []string `json:"witnesses,omitempty"`
	Verdict   string   `json:"verdict"` // ok, trusted, passed, unchecked, warned, or a refusal's code
	Detail    string   `json:"detail,omitempty"`
}

// refused is a refusal for machines.
type refused struct {
	Code   verify.Code `json:"code"`
	Role   string      `json:"role,omitempty"`
	Detail string      `json:"detail"`
	Hint   string      `json:"hint,omitempty"`
}

func (o *options) refusedOf(r *verify.Refusal) refused {
	return refused{Code: r.Code, Role: r.Role, Detail: r.Text(), Hint: o.hint(r)}
}

// line is a refusal's text: the role, if it is about one, and what is wrong.
func line(r *verify.Refusal) string {
	if r.Role == "" {
		return r.Text()
	}
	return tuf.EscapeRole(r.Role) + ": " + r.Text()
}

// ageHint says how a release comes to have an age.
const ageHint = "its age is shown by a newer proof beside it, NAME" + verify.LatestSuffix + ", which its vendor, or anyone, fetches from the log with publisher refresh (in a bundle: updater bundle refresh); while one is there, try again when it is old enough"

// checkHints take the place of hints in commands that only check: what is left to the owner
// is not offered to a device by them, so that the other commands know nothing of it.
var checkHints = map[verify.Code]string{
	verify.CodeTooYoung:      ageHint + "; " + offerFirst + " lets it pass sooner",
	verify.CodeQuarantined:   ageHint + "; " + offerFirst + " lets it pass sooner",
	verify.CodeNeedsApproval: offerFirst + " lets it pass",
	verify.CodeDowngrade:     "if it is your own change of the policies, " + offerFirst + " lets it pass; otherwise find out whose it is",
}

const offerFirst = "once an update has offered it to the device, and not only a check (updater refresh, install, bundle install), updater pending shows what it changes, and updater approve"

// waits is a release that a device has been offered, and that waits.
type waits struct {
	Code    verify.Code `json:"code"`
	Role    string      `json:"role"`
	Version int64       `json:"version"`
	Detail  string      `json:"detail"`
}

// hints say what a person can do.
var hints = map[verify.Code]string{
	verify.CodeNotLogged:       "the release is not public as far as this device can tell: do not install it; its vendor has to log it and to serve the proof beside it",
	verify.CodeBadProof:        "fetch it again, from another mirror if there is one; if that does not help, keep the files and tell the vendor",
	verify.CodeQuorumShort:     "try again later; if it stays, the witnesses named are down, or the trust policy is out of date",
	verify.CodeWrongLog:        "check that --policy is the vendor's present trust policy; a device moves to another log when its policy no longer lists its present log, and its owner approves of that",
	verify.CodeForked:          "do not install it: the log and enough of its witnesses lie, to this device or to all others; keep the metadata directory and what was served, and tell the vendor and those who audit the log",
	verify.CodeWrongRepository: `either these are another vendor's files, or the device started from a root that is not the first one logged: then name the repository in --install-policy ("repository")`,
	verify.CodeEvidence:        "the vendor's keys signed two different files under one version: do not install either before the vendor has explained it",
	verify.CodeSecondPayload:   "two different files were signed under one version: this device keeps the accepted one, until the vendor publishes the next version",
	verify.CodeUnbound:         "the install policy requires snapshots that list hashes: the vendor has to list them, and to submit the release beside such a snapshot",
	verify.CodeRollback:        "the served files are older than those this device has seen: try another mirror",
	verify.CodeExpired:         "if the clock is right, the repository is stale or updates are being withheld: try another mirror, or a newer bundle; an owner who knows that there is nothing newer can have expiry judged by the times of witnesses alone (--now none)",
	verify.CodeTooYoung:        ageHint + "; its owner can let it pass sooner: updater pending, updater approve",
	verify.CodeQuarantined:     ageHint + "; its owner can let it pass sooner: updater pending, updater approve",
	verify.CodeNeedsApproval:   "updater pending shows what it changes, and updater approve lets it pass",
	verify.CodeDowngrade:       "if it is your own change of the policies, approve of it: updater pending, updater approve; otherwise find out whose it is",
	verify.CodeBadMetadata:     "fetch it again, from another mirror if there is one; if that does not help, tell the vendor",
	verify.CodeNotListed:       "check the name, which is the target's whole path: the vendor has to list it, in a role that may",
	verify.CodeSetting:         "the trust policy, the install policy or the flags have to be changed: updater policy explain",
	verify.CodeDevice:          "nothing is known against the update: look at the device's own directories, at their permissions and at the room that is left",
	verify.CodeNetwork:         "no fault of the update is known: check the network, and try again",
}

// hint says what a person can do about a refusal.
func (o *options) hint(r *verify.Refusal) string {
	if r.Code == verify.CodeNetwork && errors.Is(r.Err, fs.ErrNotExist) && !errors.Is(r.Err, fetch.ErrNotFound) {
		return "it is not in what was given: make it again, with all that its metadata lists (updater bundle create)"
	}
	if r.Code == verify.CodeNetwork && errors.Is(r.Err, fetch.ErrNotFound) {
		switch r.Role {
		case tuf.RoleTimestamp:
			return "no repository was found there: check --metadata-url, below which timestamp.json must be"
		case "":
			return "the target is not there: check --target-base-url, or try another mirror"
		}
		return "the mirror lacks a file that its own metadata lists: try another mirror, or this one again later"
	}
	if r.Code == verify.CodeNetwork && untrusted(r.Err) {
		return "the server's certificate is not accepted: check the device's clock, the URL, and --ca"
	}
	if later, ok := checkHints[r.Code]; ok && o.checks {
		return later
	}
	return hints[r.Code]
}

// usageError means that a command cannot be done as it was given: report leaves its exit
// code, 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// usage marks an error as a usageError. usage(nil) is nil.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}

// report says why a command failed and turns that into exit code 1.
func (o *options) report(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, cli.ErrReported) {
		return cli.Failed(err)
	}
	var r *verify.Refusal
	if !errors.As(err, &r) {
		if o.json {
			err = errors.Join(err, o.writeResult(cmd.OutOrStdout(), result{Error: err.Error()}))
		}
		if errors.As(err, new(usageError)) {
			return err
		}
		return cli.Failed(err)
	}
	o.printRefusal(cmd.ErrOrStderr(), "", r)
	res := result{}
	if r.Code == verify.CodeNetwork {
		if at := o.expired(cmd.Context()); !at.IsZero() {
			res.Expired = at.Format(time.RFC3339)
			fmt.Fprintf(cmd.ErrOrStderr(), "updater: what this device knows expired at %s: if this lasts, somebody may be keeping updates away from it\n", res.Expired)
		}
	}
	if o.json {
		why := o.refusedOf(r)
		res.Refused = &why
		if err := o.writeResult(cmd.OutOrStdout(), res); err != nil {
			return cli.Failed(err)
		}
	}
	return cli.Failed(cli.ErrReported)
}

// writeResult prints a result for machines, in one line where it is the last of events.
func (o *options) writeResult(w io.Writer, res result) error {
	if !o.events {
		return cli.WriteJSON(w, res)
	}
	res.Event = "result"
	return writeEvent(w, res)
}

// printRefusal says on w what was refused; of is what it was about, if it has to be
// told from other things.
func (o *options) printRefusal(w io.Writer, of string, r *verify.Refusal) {
	verb := "refused"
	switch r.Code {
	case verify.CodeNetwork, verify.CodeSetting, verify.CodeDevice:
		verb = "could not update"
	case verify.CodeNotListed:
		verb = "not found"
	}
	fmt.Fprintf(w, "updater: %s (%s): %s\n", verb, r.Code, printable.Line(of+line(r)))
	if hint := o.hint(r); hint != "" {
		fmt.Fprintf(w, "updater: hint: %s\n", hint)
	}
}

// warnOfTrouble prints what was in the way.
func warnOfTrouble(w io.Writer, err error) {
	text := fetch.RedactedText(err.Error())
	if r, ok := err.(*verify.Refusal); ok { // that says nothing more
		text = line(r)
	}
	fmt.Fprintf(w, "updater: warning: %s\n", printable.Line(text))
}

// warn prints what would have been refused.
func (o *options) warn(cmd *cobra.Command, c *verify.Client) {
	if r := c.Held(); r != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "updater: warning: a newer root waits (%s), and this device goes on with root %d: %s\n", r.Code, c.Metadata(tuf.RoleRoot).Version, printable.Line(line(r)))
	}
	for _, r := range c.Warnings() {
		fmt.Fprintf(cmd.ErrOrStderr(), "updater: warning: would be refused (%s): %s\n", r.Code, printable.Line(line(r)))
	}
}

// Verdicts other than the codes of refusals.
const (
	good      = "ok"        // as it must be, and proved where a proof can be
	trusted   = "trusted"   // the root that the device was given
	passed    = "passed"    // a root on the way to the newest, of which no proof is asked
	unchecked = "unchecked" // by TUF alone: nobody has asked for its proof
	unlogged  = "unlogged"  // without a proof, because the owner has approved of that
	warned    = "warned"    // what only --transparency warn let pass
	failed    = "error"     // what could not be checked
)

// rowOf is the row of a file that is trusted.
func rowOf(c *verify.Client, mode verify.Transparency, a verify.Accepted) row {
	r := row{Role: a.Role, Version: a.Metadata.Version, Payload: a.Metadata.PayloadDigest.String(), Index: -1, Verdict: unchecked}
	switch a.Role {
	case tuf.RoleTimestamp, tuf.RoleSnapshot: // which no log has
		if mode != verify.Off {
			r.Verdict = good
		}
	case tuf.RoleRoot:
		if a.Metadata.PayloadDigest == c.State().TrustedRoot {
			r.Verdict = trusted
		}
	}
	if slices.ContainsFunc(c.State().Unlogged, func(u verify.Approved) bool { return u.Role == a.Role && u.Payload == a.Metadata.PayloadDigest }) {
		r.Verdict = unlogged
	}
	if a.Logged != nil {
		r.Index, r.Verdict = a.Logged.Index, good
		for _, c := range a.Logged.Checkpoint.Cosignatures {
			r.Witnesses = append(r.Witnesses, c.Witness)
		}
	}
	for _, w := range c.Warnings() {
		if w.Role == a.Role {
			r.Verdict, r.Detail = warned, string(w.Code)
		}
	}
	return r
}

// resultOf says what is trusted now, of each role the newest only, and what became of the
// targets.
func (o *options) resultOf(u *updated) result {
	c := u.client
	res := result{OK: true, Repository: c.Repository().String()}
	for _, a := range c.Accepted() {
		if a.Metadata == c.Metadata(a.Role) {
			res.Roles = append(res.Roles, rowOf(c, u.mode, a))
		}
	}
	for _, r := range c.Warnings() {
		res.Warnings = append(res.Warnings, o.refusedOf(r))
	}
	if r := c.Held(); r != nil {
		held := o.refusedOf(r)
		res.Held = &held
	}
	if k := o.knowledge(c.State()); !k.of.IsZero() {
		res.Known = k.of.Format(time.RFC3339)
	}
	for _, t := range u.targets {
		o.addTarget(&res, t.Name, t.Path, verdictOf(res.Roles, t.Role), t.Err)
	}
	return res
}

// printAccepted prints what is trusted now and what became of the targets. Its error has the
// exit code.
func (o *options) printAccepted(cmd *cobra.Command, u *updated) error {
	res := o.resultOf(u)
	w := cmd.OutOrStdout()
	if o.json {
		if err := cli.WriteJSON(w, res); err != nil {
			return err
		}
	} else {
		if o.from != "" {
			fmt.Fprintln(w, o.knowledge(u.client.State()))
		}
		if err := printRows(w, res.Roles); err != nil {
			return err
		}
	}
	for _, t := range u.targets {
		if t.Err != nil {
			o.printTargetError(cmd.ErrOrStderr(), t.Name, t.Err)
		} else if !o.json {
			fmt.Fprintln(w, t.Path)
		}
	}
	if !res.OK {
		return cli.ErrReported
	}
	return nil
}

// verdictOf is the verdict on a role's file.
func verdictOf(rows []row, role string) string {
	for _, r := range rows {
		if r.Role == role {
			return r.Verdict
		}
	}
	return unchecked
}

// addTarget adds a target that is as listed, under a verdict, or what is wrong with
// it.
func (o *options) addTarget(res *result, name, file, verdict string, err error) {
	t := targetRow{Name: name, File: file, Verdict: verdict}
	var r *verify.Refusal
	switch {
	case errors.As(err, &r):
		t.Verdict, t.Detail = string(r.Code), r.Text()
		if res.OK {
			why := o.refusedOf(r)
			res.Refused = &why
		}
	case err != nil:
		t.Verdict, t.Detail = failed, err.Error()
		if res.OK {
			res.Error = err.Error()
		}
	}
	res.OK = res.OK && err == nil
	res.Targets = append(res.Targets, t)
}

// printTargetError says on w what is wrong with one of several targets.
func (o *options) printTargetError(w io.Writer, name string, err error) {
	var r *verify.Refusal
	if errors.As(err, &r) {
		o.printRefusal(w, fmt.Sprintf("target %q: ", name), r)
		return
	}
	fmt.Fprintf(w, "updater: %s\n", printable.Line(fetch.RedactedText(err.Error())))
}

// printRows prints a table for people.
func printRows(w io.Writer, rows []row) error {
	t := printable.NewTable(w, "ROLE", "VERSION", "ENTRY", "COSIGNED BY", "VERDICT")
	for _, r := range rows {
		version, entry, by := strconv.FormatInt(r.Version, 10), "-", "-"
		if r.Version == 0 {
			version = "?"
		}
		if r.Index >= 0 {
			entry = strconv.FormatInt(r.Index, 10)
			by = strings.Join(r.Witnesses, " ")
		}
		verdict := r.Verdict
		if r.Detail != "" {
			verdict += ": " + r.Detail
		}
		t.Row(tuf.EscapeRole(r.Role), version, entry, by, verdict)
	}
	return t.Flush()
}
