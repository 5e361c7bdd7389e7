package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/device/bundle"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

func newBundle(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bundle",
		Short: "Updates in one file, for devices without a network",
		Long: `A bundle has the roots, metadata, proofs and targets of an update in one file, for a
USB stick or a phone. Anyone can make one: a device checks what is in it as it checks
what comes from a mirror.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBundleCreate(o), newBundleVerify(o), newBundleInstall(o), newBundleRefresh(o))
	return cmd
}

// bundleResult is what create and refresh print with --json.
type bundleResult struct {
	OK         bool             `json:"ok"`
	File       string           `json:"file"`
	Size       int64            `json:"size"` // bytes
	Files      int              `json:"files"`
	Repository string           `json:"repository,omitempty"`
	PinnedBy   string           `json:"pinned_by,omitempty"`
	Expires    string           `json:"expires,omitempty"` // when devices with a clock begin to refuse it, RFC 3339
	Roles      []row            `json:"roles,omitempty"`
	Targets    []string         `json:"targets,omitempty"`
	Proofs     []bundle.Renewed `json:"proofs,omitempty"`
}

func newBundleCreate(o *options) *cobra.Command {
	var all bool
	var trustedRoot string
	cmd := &cobra.Command{
		Use:   "create BUNDLE --policy FILE (--metadata-url URL --target-base-url URL | --from PATH) (--target-name PATH... | --all-targets)",
		Short: "Make a bundle of a repository",
		Long: `Create writes what a device would fetch from a repository into one file: all roots from
the first on, timestamp, snapshot, targets metadata, the proofs beside them, and the
targets that are named. All of it is checked first, as a device would; what a device
would refuse is not written. The same repository gives the same bytes.

Trust begins with --trusted-root, or else with root 1 of the repository, which may be
anybody's: then the first line says so. The bundle is for devices that were given that root or
a newer one. If the install policy names the next trust policy, that target is taken
too; its ages and approvals are for devices to judge.`,
		Example: `  updater bundle create update.bundle --policy trust.txt --target-name firmware.bin \
    --metadata-url https://example.com/metadata --target-base-url https://example.com/targets`,
		Args: one("a bundle", "BUNDLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(o.targetNames) == 0) != all {
				return o.report(cmd, usage(errors.New("which targets? name them with --target-name, or give --all-targets")))
			}
			err := o.needOrigin(true)
			if err == nil {
				err = o.createBundle(cmd, args[0], trustedRoot, all)
			}
			return o.report(cmd, err)
		},
	}
	o.fromFlag(cmd)
	cmd.Flags().BoolVar(&all, "all-targets", false, "take every target that a role lists")
	cmd.Flags().StringVar(&trustedRoot, "trusted-root", "", "file of the root to begin with")
	return cmd
}

// plain is a configuration for files that are no device's: what a device waits for is not
// waited for.
func (o *options) plain() (cfg verify.Config, nextPolicy string, err error) {
	if cfg, err = o.config(); err != nil {
		return cfg, "", err
	}
	nextPolicy = cfg.Install.NextPolicy
	plain := verify.DefaultInstallPolicy()
	plain.Repository = cfg.Install.Repository
	plain.Require, plain.SnapshotHashes = cfg.Install.Require, cfg.Install.SnapshotHashes
	cfg.Install = plain
	return cfg, nextPolicy, nil
}

func (o *options) createBundle(cmd *cobra.Command, path, trustedRoot string, all bool) error {
	cfg, next, err := o.plain()
	if err != nil {
		return err
	}
	origin, closeOrigin, err := o.origin()
	if err != nil {
		return err
	}
	defer closeOrigin() // which was only read
	root, err := firstRoot(cmd.Context(), origin, trustedRoot)
	if err != nil {
		return err
	}
	names := o.targetNames
	if next != "" {
		names = append(slices.Clone(names), next)
	}
	bars := &bars{w: cmd.ErrOrStderr()}
	recipe := bundle.Recipe{Config: cfg, Root: root, Origin: showing{origin, bars}, Targets: names, All: all}
	var trial *bundle.Trial
	err = durable.Write(path, 0o644, func(w io.Writer) (err error) {
		trial, err = bundle.Create(cmd.Context(), w, recipe)
		return err
	})
	bars.end()
	if err != nil {
		return o.nameLimit(err)
	}
	warnOfQuorum(cmd.ErrOrStderr(), cfg)
	c := &checker{client: trial.Client}
	if c.state, err = verify.Pin(root, cfg.Install); err != nil {
		return err
	}
	return o.printBundle(cmd, path, trial.Client, cfg.Transparency, c.pins(cfg, trustedRoot), nil)
}

// firstRoot returns the root with which trust begins.
func firstRoot(ctx context.Context, origin device.Origin, trustedRoot string) ([]byte, error) {
	if trustedRoot != "" {
		return cli.ReadAtMost(trustedRoot, tuf.MaxFileSize)
	}
	root, err := origin.Fetch(ctx, verify.Request{Role: tuf.RoleRoot, Version: 1, Listed: 1, MaxLength: tuf.MaxFileSize})
	if err != nil {
		return nil, fmt.Errorf("no root to begin with: name one with --trusted-root: %w", err)
	}
	return root, nil
}

// showing is an Origin that shows how far its targets are.
type showing struct {
	device.Origin
	bars *bars
}

// CopyTarget is device.Origin's.
func (s showing) CopyTarget(ctx context.Context, w io.Writer, path string, found verify.Lookup, from int64) error {
	have := from
	return s.Origin.CopyTarget(ctx, io.MultiWriter(w, writer(func(p []byte) {
		have += int64(len(p))
		s.bars.tell(path, have, found.Target.Length)
	})), path, found, from)
}

// writer is told what is written.
type writer func([]byte)

func (w writer) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}

// printBundle says what is in a bundle that was written.
func (o *options) printBundle(cmd *cobra.Command, path string, c *verify.Client, mode verify.Transparency, pinnedBy string, renewed []bundle.Renewed) error {
	b, err := bundle.Open(path)
	if err != nil {
		return err
	}
	defer b.Close()
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	expires := expiry(c)
	res := bundleResult{
		OK: true, File: path, Size: info.Size(), Files: len(b.Files()), Repository: c.Repository().String(), PinnedBy: pinnedBy,
		Expires: expires.Expires.UTC().Format(time.RFC3339), Targets: slices.Collect(b.Targets()), Proofs: renewed,
	}
	u := &updated{client: c, mode: mode}
	res.Roles = o.resultOf(u).Roles
	w := cmd.OutOrStdout()
	if o.json {
		return cli.WriteJSON(w, res)
	}
	if err := o.printResult(w, result{Repository: res.Repository, PinnedBy: pinnedBy, Roles: res.Roles}); err != nil {
		return err
	}
	if renewed != nil {
		t := printable.NewTable(w, "PROOF OF", "VERSION", "ENTRY", "COSIGNED", "")
		for _, r := range renewed {
			what := "renewed"
			if !r.Written {
				what = "as new as the log's"
			}
			t.Row(tuf.EscapeRole(r.Role), strconv.FormatInt(r.Version, 10), strconv.FormatInt(r.Index, 10), r.Cosigned.Format(time.RFC3339), what)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	fmt.Fprintf(w, "%s: %s, %d bytes; %s\n", printable.Line(path), count(len(res.Targets), "target", "targets"), res.Size, printable.Line(clipped(res.Targets)))
	fmt.Fprintf(w, "devices that go by a clock install it until %s, when %s %d expires\n", res.Expires, expires.Type, expires.Version)
	return nil
}

// clipped lists names, the first of many.
func clipped(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
}

// expiry is the file of the top-level roles that expires first.
func expiry(c *verify.Client) *tuf.Metadata {
	first := c.Metadata(tuf.RoleRoot)
	for _, role := range []string{tuf.RoleTimestamp, tuf.RoleSnapshot, tuf.RoleTargets} {
		if m := c.Metadata(role); m.Expires.Before(first.Expires) {
			first = m
		}
	}
	return first
}

func newBundleVerify(o *options) *cobra.Command {
	var trustedRoot string
	cmd := &cobra.Command{
		Use:   "verify BUNDLE --policy FILE [--metadata-dir DIR | --trusted-root ROOT]",
		Short: "Check a bundle offline",
		Long: `Verify checks a bundle, with all its targets, as a device would, and changes nothing. With
--metadata-dir it is judged as that device would judge it now, with its state. Otherwise
trust begins with --trusted-root, or with the lowest root in the bundle: then any
repository passes, unless the install policy names one.

Exit codes: 0 all of it is valid, 1 it is refused or damaged, 2 the check was not possible.`,
		Example: `  updater bundle verify --policy trust.txt --metadata-dir /var/lib/updater /media/stick/update.bundle`,
		Args:    one("a bundle", "BUNDLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if trustedRoot != "" && o.metadataDir != "" {
				return errors.New("--trusted-root and --metadata-dir: a device has its own root")
			}
			return o.verifyBundle(cmd, args[0], trustedRoot)
		},
	}
	cmd.Flags().StringVar(&trustedRoot, "trusted-root", "", "file of the root to begin with")
	return cmd
}

func (o *options) verifyBundle(cmd *cobra.Command, path, trustedRoot string) error {
	o.checks = true
	cfg, err := o.config()
	if err != nil {
		return err
	}
	b, err := openBundle(path)
	if err != nil {
		return err
	}
	defer b.Close()
	c := &checker{}
	var kept bundle.Keeper
	if o.metadataDir != "" {
		store := device.Store{Dir: o.metadataDir}
		unlock, err := o.lock(store.LockToRead(cmd.Context(), cmd.CommandPath(), o.wait))
		if err != nil {
			return err
		}
		defer unlock()
		if c.state, _, err = store.State(); err != nil {
			return err
		}
		kept, c.device = store, &store
	} else {
		root, err := bundleRoot(b, trustedRoot)
		if err != nil {
			return err
		}
		if c.state, err = verify.Pin(root, cfg.Install); err != nil {
			return o.report(cmd, err)
		}
		kept = bundle.Root(root)
	}
	trial, err := bundle.Try(cmd.Context(), cfg, c.state, kept, b)
	if err != nil {
		if isRefusal(err) {
			return o.report(cmd, o.nameLimit(err))
		}
		return err
	}
	u := &updated{client: trial.Client, mode: cfg.Transparency}
	for name := range b.Targets() {
		found, err := trial.Check(cmd.Context(), name)
		u.targets = append(u.targets, device.Target{Name: name, Role: found.Role, Err: err})
	}
	warnOfQuorum(cmd.ErrOrStderr(), cfg)
	o.warn(cmd, trial.Client)
	res := o.resultOf(u)
	res.PinnedBy = c.pins(cfg, trustedRoot)
	if err := o.printResult(cmd.OutOrStdout(), res); err != nil {
		return err
	}
	if !o.json {
		first := expiry(trial.Client)
		fmt.Fprintf(cmd.OutOrStdout(), "devices that go by a clock install it until %s, when %s %d expires\n", first.Expires.UTC().Format(time.RFC3339), first.Type, first.Version)
	}
	for _, t := range u.targets {
		if t.Err != nil {
			o.printTargetError(cmd.ErrOrStderr(), t.Name, t.Err)
		}
	}
	if !res.OK {
		return cli.Failed(cli.ErrReported)
	}
	return nil
}

// bundleRoot returns the root with which the check of a bundle begins.
func bundleRoot(b *bundle.Bundle, trustedRoot string) ([]byte, error) {
	if trustedRoot != "" {
		return cli.ReadAtMost(trustedRoot, tuf.MaxFileSize)
	}
	_, root, err := b.LowestRoot()
	if err == nil && root == nil {
		err = errors.New("no root there to begin with: name one with --trusted-root")
	}
	return root, err
}

func newBundleInstall(o *options) *cobra.Command {
	in := &installation{options: o}
	cmd := &cobra.Command{
		Use:   "install BUNDLE [TARGET...] --metadata-dir DIR --policy FILE --target-dir DIR [--exec COMMAND]",
		Short: "Update a device from a bundle",
		Long: `Install updates the metadata directory of a device from a bundle, and puts the targets,
all that are in it or those that are named, into the target directory. The network is
not used. The first line says how old what the device knows then is.

A device that goes by its clock refuses a bundle whose metadata has expired. An
owner who knows that there is nothing newer gives --now none: expiry is then judged by
the times of the witnesses alone.

With --exec a command installs each target, as updater install --help says. Then they
have to be named: otherwise the maker of the bundle would choose which of the targets
that the vendor lists are given to it.
` + execHelp,
		Example: `  updater bundle install /media/stick/update.bundle --metadata-dir /var/lib/updater --policy trust.txt --target-dir /var/lib/targets`,
		Args:    some("a bundle", "BUNDLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.from, o.targetNames = args[0], args[1:]
			if len(o.targetNames) > 0 {
				return in.run(cmd)
			}
			if in.command != nil {
				return o.report(cmd, usage(errors.New("--exec: which targets is it for? name them, in their order, as in updater bundle install BUNDLE TARGET")))
			}
			// The trust policy is the device's own affair, and no file to install.
			err := o.useGiven()
			if err != nil {
				return o.report(cmd, err)
			}
			install, err := o.install()
			if err != nil {
				return o.report(cmd, err)
			}
			b, err := openBundle(o.from)
			if err != nil {
				return o.report(cmd, err)
			}
			o.targetNames = slices.DeleteFunc(slices.Collect(b.Targets()), func(name string) bool { return name == install.NextPolicy })
			if err := b.Close(); err != nil {
				return err
			}
			if len(o.targetNames) == 0 {
				return o.report(cmd, fmt.Errorf("%s has no targets: updater refresh --from takes its metadata", o.from))
			}
			return in.run(cmd)
		},
	}
	in.register(cmd)
	return cmd
}

func newBundleRefresh(o *options) *cobra.Command {
	var trustedRoot string
	cmd := &cobra.Command{
		Use:   "refresh BUNDLE --policy FILE",
		Short: "Exchange the proofs in a bundle for the newest of the log",
		Long: `Refresh asks the log for the newest proof of the root and of each targets file in a
bundle, and writes the bundle again with them, beside the first proofs. Together they
show devices with min_age how long a release has been public. It does not need the
vendor's keys, and is for those who carry the bundle to the device. The URL of the log is
that in the trust policy.

What the vendor has signed stays as it is, with its dates: a bundle that has expired is
left alone, and is made again with updater bundle create.`,
		Example: `  updater bundle refresh --policy trust.txt update.bundle`,
		Args:    one("a bundle", "BUNDLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.report(cmd, o.refreshBundle(cmd, args[0], trustedRoot))
		},
	}
	cmd.Flags().StringVar(&trustedRoot, "trusted-root", "", "file of the root to begin with")
	return cmd
}

func (o *options) refreshBundle(cmd *cobra.Command, path, trustedRoot string) error {
	cfg, _, err := o.plain()
	if err != nil {
		return err
	}
	if cfg.Transparency == verify.Off {
		return errors.New("--transparency off: without proofs there are none to refresh")
	}
	b, err := openBundle(path)
	if err != nil {
		return err
	}
	defer b.Close()
	root, err := bundleRoot(b, trustedRoot)
	if err != nil {
		return err
	}
	client, err := o.client()
	if err != nil {
		return err
	}
	client = fetch.Direct(client)
	log := func(ctx context.Context, origin string, index int64) ([]byte, error) {
		base, err := logURL(cfg.Policy, origin)
		if err != nil {
			return nil, err
		}
		return o.fetchProof(ctx, client, base, index, cfg.Policy.NeedsAuditor())
	}
	var renewal *bundle.Renewal
	err = durable.Write(path, 0o644, func(w io.Writer) (err error) {
		renewal, err = bundle.Renew(cmd.Context(), w, b, cfg, root, log)
		return err
	})
	if err != nil {
		return err
	}
	c := &checker{client: renewal.Client}
	if c.state, err = verify.Pin(root, cfg.Install); err != nil {
		return err
	}
	return o.printBundle(cmd, path, renewal.Client, cfg.Transparency, c.pins(cfg, trustedRoot), renewal.Proofs)
}

// logURL is the URL that a trust policy has for a log.
func logURL(policy *proofs.Policy, origin string) (string, error) {
	for _, l := range policy.Logs {
		if l.Key.Name() == origin && l.URL != "" {
			return strings.TrimSuffix(l.URL, "/"), cli.CheckURL(l.URL)
		}
	}
	return "", fmt.Errorf("the trust policy has no URL for log %s", printable.Line(origin))
}

// fetchProof asks a log for the newest proof of an entry, or the newest one that auditors have
// cosigned.
func (o *options) fetchProof(ctx context.Context, client *http.Client, base string, index int64, audited bool) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	url := base + "/v1/entries/" + strconv.FormatInt(index, 10) + "/proof"
	unanswered := "the log did not answer"
	if audited {
		url += "?audited"
		unanswered = "the log has no answer yet that its auditors have cosigned"
	}
	proof, err := fetch.Pace{Rate: o.minRate}.Get(ctx, client, url, proofs.MaxProofSize)
	if err != nil {
		return nil, &verify.Refusal{Code: verify.CodeNetwork, Detail: unanswered, Err: err}
	}
	return proof, nil
}
