package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/cmd/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/verify"
)

// result is what --json prints.
type result struct {
	OK         bool      `json:"ok"`
	Repository string    `json:"repository,omitempty"`
	Roles      []row     `json:"roles,omitempty"`  // what is trusted, or was checked
	Target     string    `json:"target,omitempty"` // where the downloaded target is
	Missing    []string  `json:"missing,omitempty"`
	Refused    *refused  `json:"refused,omitempty"` // why it ended
	Error      string    `json:"error,omitempty"`   // why it ended, when it is not about the repository
	Warnings   []refused `json:"warnings,omitempty"`
}

// row is one metadata file.
type row struct {
	Role      string   `json:"role"`
	Version   int64    `json:"version"` // 0: could not be read
	File      string   `json:"file,omitempty"`
	Payload   string   `json:"payload,omitempty"`
	Index     int64    `json:"index"` // entry of the log, -1 where no proof was needed
	Witnesses []string `json:"witnesses,omitempty"`
	Verdict   string   `json:"verdict"` // ok, trusted, passed, warned, or a refusal's code
	Detail    string   `json:"detail,omitempty"`
}

// refused is a refusal for machines.
type refused struct {
	Code   verify.Code `json:"code"`
	Role   string      `json:"role,omitempty"`
	Detail string      `json:"detail"`
	Hint   string      `json:"hint,omitempty"`
}

func refusedOf(r *verify.Refusal) refused {
	return refused{Code: r.Code, Role: r.Role, Detail: detail(r), Hint: hints[r.Code]}
}

// detail is a refusal's text without code and role.
func detail(r *verify.Refusal) string {
	switch {
	case r.Err == nil:
		return r.Detail
	case r.Detail == "":
		return r.Err.Error()
	}
	return r.Detail + ": " + r.Err.Error()
}

// line is a refusal's text: the role, if it is about one, and what is wrong.
func line(r *verify.Refusal) string {
	if r.Role == "" {
		return detail(r)
	}
	return verify.EscapeRole(r.Role) + ": " + detail(r)
}

// hints say what a person can do.
var hints = map[verify.Code]string{
	verify.CodeNotLogged:       "the release is not public as far as this device can tell: do not install it; its vendor has to log it and to serve the proof beside it",
	verify.CodeBadProof:        "fetch it again, from another mirror if there is one; if that does not help, keep the files and tell the vendor",
	verify.CodeQuorumShort:     "try again later; if it stays, the witnesses named are down, or the trust policy is out of date",
	verify.CodeWrongLog:        "check that --policy is the vendor's present trust policy; a device moves to another log when its policy no longer lists the one that it has",
	verify.CodeWrongRepository: `either these are another vendor's files, or the device started from a root that is not the first one logged: then name the repository in --install-policy ("repository")`,
	verify.CodeEvidence:        "the vendor's keys signed two different files under one version: do not install either before the vendor has explained it",
	verify.CodeSecondPayload:   "two different files were signed under one version: this device keeps the one that it has, until the vendor publishes the next version",
	verify.CodeUnbound:         "the install policy requires snapshots that list hashes: the vendor has to list them, and to submit the release beside such a snapshot",
	verify.CodeRollback:        "older files are being served than this device has seen: try another mirror",
	verify.CodeExpired:         "if the clock is right, the repository is stale or updates are being withheld: try another mirror",
	verify.CodeTooYoung:        "try again later: the install policy wants releases to be public for some time first",
	verify.CodeBadMetadata:     "fetch it again, from another mirror if there is one; if that does not help, tell the vendor",
	verify.CodeNetwork:         "nothing is known to be wrong with the update: try again",
}

// report says why a command failed and turns that into exit code 1.
func (o *options) report(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	var r *verify.Refusal
	if !errors.As(err, &r) {
		if o.json {
			err = errors.Join(err, cli.WriteJSON(cmd.OutOrStdout(), result{Error: err.Error()}))
		}
		return cli.Failed(err)
	}
	printRefusal(cmd.ErrOrStderr(), r)
	if o.json {
		why := refusedOf(r)
		if err := cli.WriteJSON(cmd.OutOrStdout(), result{Refused: &why}); err != nil {
			return cli.Failed(err)
		}
	}
	return cli.Failed(cli.ErrReported)
}

func printRefusal(w io.Writer, r *verify.Refusal) {
	verb := "refused"
	if r.Code == verify.CodeNetwork {
		verb = "could not update"
	}
	fmt.Fprintf(w, "updater: %s (%s): %s\n", verb, r.Code, printable.Line(line(r)))
	if hint := hints[r.Code]; hint != "" {
		fmt.Fprintf(w, "updater: hint: %s\n", hint)
	}
}

// warn prints what would have been refused.
func (o *options) warn(cmd *cobra.Command, c *verify.Client) {
	for _, r := range c.Warnings() {
		fmt.Fprintf(cmd.ErrOrStderr(), "updater: warning: would be refused (%s): %s\n", r.Code, printable.Line(line(r)))
	}
}

// Verdicts other than ok and the codes of refusals.
const (
	trusted = "trusted" // the root that the device was given
	passed  = "passed"  // a root on the way to the newest, of which no proof is asked
	warned  = "warned"  // what only --transparency warn let pass
)

func rowOf(c *verify.Client, a verify.Accepted) row {
	r := row{
		Role: a.Role, Version: a.Metadata.Version, Payload: a.Metadata.PayloadDigest.String(),
		Index: -1, Verdict: "ok",
	}
	if a.Logged != nil {
		r.Index = a.Logged.Index
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

// printAccepted prints what is trusted now: of each role the newest only.
func (o *options) printAccepted(cmd *cobra.Command, u *update) error {
	res := result{OK: true, Repository: u.client.Repository().String(), Target: u.target}
	for _, a := range u.client.Accepted() {
		if a.Metadata == u.client.Metadata(a.Role) {
			res.Roles = append(res.Roles, rowOf(u.client, a))
		}
	}
	for _, r := range u.client.Warnings() {
		res.Warnings = append(res.Warnings, refusedOf(r))
	}
	w := cmd.OutOrStdout()
	if o.json {
		return cli.WriteJSON(w, res)
	}
	if err := printRows(w, res.Roles); err != nil {
		return err
	}
	if u.target != "" {
		_, err := fmt.Fprintln(w, u.target)
		return err
	}
	return nil
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
		t.Row(verify.EscapeRole(r.Role), version, entry, by, verdict)
	}
	return t.Flush()
}
