package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/device/bundle"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

func newVerify(o *options) *cobra.Command {
	var trustedRoot string
	cmd := &cobra.Command{
		Use:   "verify [DIR | FILE...]",
		Short: "Check metadata files, their proofs and targets offline",
		Long: `Verify runs the workflow of a device over files: the roots in order, timestamp,
snapshot, targets and every delegated role that is there, each with its proof.
Of the roots only the newest needs one. It does not make requests or change files.

The files are those of a repository (14.targets.json) or of a metadata directory
(targets.json). Files that the newest snapshot does not list are not looked at.

With --metadata-dir they are judged as that device would judge them: from its trusted
root, for its repository, and with its state, so that older files are a rollback.
Without files the device's own are judged: a newer release that waits is not a
fault of theirs, and a line says so. If DIR is a device's directory the versions in
its state count too, and nothing else of it: it may have come with the files.
Otherwise trust begins with --trusted-root, or else with the lowest root in DIR: then
any repository passes, unless the install policy names one. The first line names the
repository, and how it was pinned.

With --target-name, once for each, and --target-dir the files of targets are checked as
well: as download keeps them, or as a repository has them. A next trust policy that the
install policy names is judged too, if --target-dir has it.

The verdict is unchecked, and not ok, if a proof is not required (--transparency off,
or a role that the install policy leaves out).

Exit codes: 0 all files are valid, 1 a file is refused, 2 the check was not possible.`,
		Example: `  updater verify --policy trust.txt ./metadata
  updater verify --policy trust.txt --metadata-dir /var/lib/updater --target-name firmware.bin --target-dir /mnt/usb/targets /mnt/usb/metadata
  updater verify --policy trust.txt --trusted-root 1.root.json 14.targets.json 15.snapshot.json timestamp.json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.runVerify(cmd, trustedRoot, args)
		},
	}
	cmd.Flags().StringVar(&trustedRoot, "trusted-root", "", "file of the root to begin with")
	return cmd
}

func (o *options) runVerify(cmd *cobra.Command, trustedRoot string, args []string) error {
	o.checks = true
	if err := o.checkVerifyFlags(cmd, trustedRoot); err != nil {
		return err
	}
	cfg, err := o.config()
	if err != nil {
		return err
	}
	if len(o.targetNames) == 0 && o.targetDir != "" && cfg.Install.NextPolicy == "" {
		return errors.New("--target-dir without --target-name: which of the files are to be checked?")
	}
	var judge *device.Store
	own := false
	if o.metadataDir != "" {
		judge = &device.Store{Dir: o.metadataDir}
		if own = len(args) == 0; own {
			args = []string{o.metadataDir}
		}
	}
	if len(args) == 0 {
		return errors.New("nothing to check: name a directory or files, or --metadata-dir")
	}
	if b, err := bundle.Open(args[0]); err == nil {
		return errors.Join(fmt.Errorf("%s is a bundle: use updater bundle verify", args[0]), b.Close())
	}
	folder, err := device.OpenFolder(args...)
	if err != nil {
		return err
	}
	if judge == nil && trustedRoot == "" {
		judge = folder.Device()
	}
	if judge != nil {
		unlock, err := o.lock(judge.LockToRead(cmd.Context(), cmd.CommandPath(), o.wait))
		if err != nil {
			return err
		}
		defer unlock()
	}
	cfg.MaxRoots = math.MaxInt // they are there: nobody can go on sending them for ever
	c := &checker{folder: folder, device: judge, brought: o.metadataDir == "", own: own}
	if err := c.run(cmd.Context(), cfg, trustedRoot); err != nil && !isRefusal(err) {
		return err
	}
	warnOfQuorum(cmd.ErrOrStderr(), cfg)
	o.checkNextPolicy(cmd, c, cfg.Install.NextPolicy)
	return o.printChecked(cmd, c)
}

// checkNextPolicy says what the device would make of the next trust policy, if that is among
// the targets: verify changes nothing.
func (o *options) checkNextPolicy(cmd *cobra.Command, c *checker, next string) {
	if next == "" || o.targetDir == "" || c.client == nil || len(c.refused) > 0 {
		return
	}
	adopted, err := c.folder.AdoptPolicy(cmd.Context(), c.client, next, o.targetDir)
	switch {
	case errors.Is(err, verify.ErrNotListed):
	case err != nil:
		warnOfTrouble(cmd.ErrOrStderr(), fmt.Errorf("the next trust policy (%s) would not be in force: %w", next, err))
	case adopted:
		warnOfTrouble(cmd.ErrOrStderr(), fmt.Errorf("an update from here would make %s the trust policy from the next run on", next))
	}
}

// checkVerifyFlags refuses flags that would change nothing: who gives them believes
// that they do.
func (o *options) checkVerifyFlags(cmd *cobra.Command, trustedRoot string) error {
	for _, name := range []string{"metadata-url", "target-base-url", "min-rate", "timeout", "max-root-length", "max-timestamp-length", "max-snapshot-length", "max-targets-length"} {
		if cmd.Flags().Changed(name) {
			return fmt.Errorf("verify does not fetch files: leave --%s out", name)
		}
	}
	switch {
	case len(o.targetNames) > 0 && o.targetDir == "":
		return errors.New("--target-name without --target-dir: where is the file?")
	case trustedRoot != "" && o.metadataDir != "":
		return errors.New("--trusted-root and --metadata-dir: a device has its own root; to judge its files by another one, name the directory without --metadata-dir")
	}
	return nil
}

// printChecked prints whose repository it was, the table, and the targets; the error
// carries the exit code.
func (o *options) printChecked(cmd *cobra.Command, c *checker) error {
	res := result{OK: len(c.refused) == 0, PinnedBy: c.pinnedBy, Roles: c.rows, Missing: c.missing}
	if c.client != nil {
		res.Repository = c.client.Repository().String()
		for _, r := range c.client.Warnings() {
			res.Warnings = append(res.Warnings, o.refusedOf(r))
		}
		o.warn(cmd, c.client)
	}
	for _, w := range c.waiting() {
		res.Waiting = append(res.Waiting, waits{w.Code, w.Role, w.Version, w.Detail})
	}
	bad, unable := o.checkTargets(cmd.Context(), cmd.ErrOrStderr(), c, &res)
	if len(c.missing) > 0 {
		slices.Sort(c.missing)
		some := c.missing[:min(len(c.missing), 5)]
		fmt.Fprintf(cmd.ErrOrStderr(), "updater: delegated roles that are listed but not there, so not checked (%d): %s\n", len(c.missing), printable.Line(strings.Join(some, ", ")))
	}
	if err := o.printResult(cmd.OutOrStdout(), res); err != nil {
		return err
	}
	if len(c.refused) > 0 {
		if hint := o.hint(c.refused[0]); hint != "" {
			fmt.Fprintf(cmd.ErrOrStderr(), "updater: hint: %s\n", hint)
		}
	}
	switch {
	case len(c.refused) > 0, bad:
		return cli.Failed(cli.ErrReported)
	case unable:
		return cli.ErrReported
	}
	return nil
}

// checkTargets adds what is said of the targets that were asked for. It reports
// whether one of them is not as listed, or not listed, and whether one could not be
// checked.
func (o *options) checkTargets(ctx context.Context, stderr io.Writer, c *checker, res *result) (bad, unable bool) {
	for _, name := range o.targetNames {
		var role, path string
		err := errors.New("the metadata is refused")
		if c.client != nil && c.client.Metadata(tuf.RoleTargets) != nil {
			role, path, err = c.folder.Target(ctx, c.client, name, o.targetDir)
		}
		o.addTarget(res, name, path, verdictOf(res.Roles, role), err)
		switch {
		case err == nil:
			continue
		case isRefusal(err):
			bad = true
		default:
			unable = true
		}
		o.printTargetError(stderr, name, err)
	}
	return bad, unable
}

// printResult prints the result for people or for machines.
func (o *options) printResult(w io.Writer, res result) error {
	if o.json {
		return cli.WriteJSON(w, res)
	}
	if res.Repository != "" {
		says := "it is not pinned, so any repository would pass (--trusted-root, --metadata-dir or \"repository\" in --install-policy pins it)"
		if res.PinnedBy != "" {
			says = "pinned by " + printable.Line(res.PinnedBy)
		}
		if _, err := fmt.Fprintf(w, "repository %s: %s\n", res.Repository, says); err != nil {
			return err
		}
	}
	if err := printRows(w, res.Roles); err != nil {
		return err
	}
	for _, waiting := range res.Waiting {
		if _, err := fmt.Fprintf(w, "%s %d waits (%s): %s\n", tuf.EscapeRole(waiting.Role), waiting.Version, waiting.Code, printable.Line(waiting.Detail)); err != nil {
			return err
		}
	}
	if len(res.Targets) == 0 {
		return nil
	}
	t := printable.NewTable(w, "TARGET", "FILE", "VERDICT")
	for _, target := range res.Targets {
		verdict := target.Verdict
		if target.Detail != "" {
			verdict += ": " + target.Detail
		}
		file := target.File
		if file == "" {
			file = "-"
		}
		t.Row(target.Name, file, verdict)
	}
	return t.Flush()
}
