package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// options are the flags of all subcommands; the conformance protocol puts them
// before the subcommand.
type options struct {
	metadataDir   string
	metadataURL   string
	targetNames   []string
	targetBaseURL string
	targetDir     string
	policy        string
	installPolicy string
	now           string
	transparency  string
	from          string // a bundle or a folder, in the place of the URLs
	json          bool
	proxy         string
	ca            string
	checks        bool // nothing is offered to the device
	events        bool // what is printed for machines are lines, of which the last is the result

	limits  verify.Limits
	minRate int64         // bytes a second
	timeout time.Duration // for all metadata of a run
	wait    time.Duration // for another run to end
}

func newCommand() *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use:   "updater",
		Short: "A TUF client that refuses releases which are not logged and witnessed",
		Long: `Updater is a TUF client. Before it trusts a new root, targets or delegated
targets file it checks the proof beside it (NAME.tlog-proof): that the file is
in a log of the trust policy, and that enough witnesses have seen it there.

Exit codes: 0 success; 1 refused, and any other failure of init, refresh, download and
install; 2 wrong usage, verify could not check, or the result could not be printed.`,
		Example: `  updater init --metadata-dir /var/lib/updater 1.root.json
  updater refresh --metadata-dir /var/lib/updater --metadata-url https://example.com/metadata --policy trust.txt
  updater verify --policy trust.txt ./metadata`,
	}
	f := root.PersistentFlags()
	f.StringVar(&o.metadataDir, "metadata-dir", "", "directory of the trusted metadata")
	f.StringVar(&o.metadataURL, "metadata-url", "", "URL of the repository's metadata")
	f.StringArrayVar(&o.targetNames, "target-name", nil, "path of the target, as targets metadata lists it; may be given several times")
	f.StringVar(&o.targetBaseURL, "target-base-url", "", "URL of the repository's targets")
	f.StringVar(&o.targetDir, "target-dir", "", "directory to put targets into")
	f.StringVar(&o.policy, "policy", "", "trust policy: a c2sp.org/tlog-policy file (default: the one that init was given)")
	f.StringVar(&o.installPolicy, "install-policy", "", "install policy: a JSON file (default: the one that init was given, or else everything needs a proof of any age)")
	f.StringVar(&o.now, "now", "", "the time to judge expiry by, RFC 3339; none: by the times of cosignatures alone (default: the clock, if it was ever set)")
	f.StringVar(&o.transparency, "transparency", "enforce", "response to a missing or wrong proof: enforce, warn or off")
	f.BoolVar(&o.json, "json", false, "print the result as JSON")
	f.StringVar(&o.proxy, "proxy", "", "URL of the proxy for all requests; none: not even the environment's (default: HTTPS_PROXY, HTTP_PROXY and NO_PROXY)")
	f.StringVar(&o.ca, "ca", "", "file of the authorities, in PEM, that may certify servers (default: the system's)")
	const most = "most bytes of "
	f.Int64Var(&o.limits.Root, "max-root-length", tuf.MaxFileSize, most+"a root file")
	f.Int64Var(&o.limits.Timestamp, "max-timestamp-length", tuf.MaxFileSize, most+"a timestamp file")
	f.Int64Var(&o.limits.Snapshot, "max-snapshot-length", tuf.MaxFileSize, most+"a snapshot file")
	f.Int64Var(&o.limits.Targets, "max-targets-length", tuf.MaxFileSize, most+"a file of targets or of a delegated role")
	f.Int64Var(&o.minRate, "min-rate", 1024, "least bytes a second of a server, measured over half a minute; 0: any")
	f.DurationVar(&o.timeout, "timeout", 10*time.Minute, "most time to spend on fetching metadata in one run")
	f.DurationVar(&o.wait, "wait", 10*time.Second, "how long to wait for another run that uses the metadata directory")
	root.AddCommand(newInit(o), newRefresh(o), newDownload(o), newInstall(o), newVerify(o), newBundle(o), newStatus(o), newPending(o), newApprove(o), newPostpone(o), newPolicy(o), newPigweed(o))
	helpOfRead(root)
	return root
}

// config reads what the flags name. It makes no requests.
func (o *options) config() (verify.Config, error) {
	if err := o.useGiven(); err != nil {
		return verify.Config{}, err
	}
	cfg, err := o.parse()
	return cfg, usage(err)
}

func (o *options) parse() (cfg verify.Config, err error) {
	if cfg.Transparency, err = verify.ParseTransparency(o.transparency); err != nil {
		return cfg, fmt.Errorf("--transparency: %w", err)
	}
	if cfg.Now, err = o.clock(time.Now()); err != nil {
		return cfg, err
	}
	if cfg.Install, err = o.install(); err != nil {
		return cfg, err
	}
	if cfg.Limits, err = o.checkLimits(); err != nil {
		return cfg, err
	}
	if o.policy == "" {
		if cfg.Transparency != verify.Off {
			return cfg, errors.New("--policy is needed: the trust policy names the trusted logs and witnesses (init keeps one for all runs; --transparency off does without it, and without any proof)")
		}
		return cfg, nil
	}
	cfg.Policy, err = cli.ReadPolicy(o.policy)
	return cfg, err
}

// neverSet is a time that no clock which was ever set can show: this program is newer.
var neverSet = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// clock is the time to judge by; zero: there is none.
func (o *options) clock(now time.Time) (time.Time, error) {
	switch o.now {
	case "":
		if now.Before(neverSet) {
			return time.Time{}, nil
		}
		return now, nil
	case "none":
		return time.Time{}, nil
	}
	now, err := time.Parse(time.RFC3339, o.now)
	if err != nil {
		return now, fmt.Errorf("--now %q: want a time such as 2026-12-31T15:04:05Z, or none", o.now)
	}
	return now, nil
}

// checkLimits refuses limits with which nothing could be fetched, and such as a log
// would not admit: they would be taken for others.
func (o *options) checkLimits() (verify.Limits, error) {
	for _, l := range []struct {
		name  string
		value int64
	}{{"root", o.limits.Root}, {"timestamp", o.limits.Timestamp}, {"snapshot", o.limits.Snapshot}, {"targets", o.limits.Targets}} {
		if l.value < 1 || l.value > tuf.MaxFileSize {
			return o.limits, fmt.Errorf("--max-%s-length %d: want 1 to %d bytes", l.name, l.value, tuf.MaxFileSize)
		}
	}
	switch {
	case o.minRate < 0:
		return o.limits, fmt.Errorf("--min-rate %d: want bytes a second, or 0", o.minRate)
	case o.timeout <= 0:
		return o.limits, fmt.Errorf("--timeout %v: want a duration such as 10m", o.timeout)
	}
	return o.limits, nil
}

func checkBaseURL(flag, s string) error {
	if err := cli.CheckBaseURL(s); err != nil {
		return usage(fmt.Errorf("--%s: %w", flag, err))
	}
	return nil
}

func (o *options) install() (verify.InstallPolicy, error) {
	if o.installPolicy == "" {
		return verify.DefaultInstallPolicy(), nil
	}
	b, err := os.ReadFile(o.installPolicy)
	if err != nil {
		return verify.InstallPolicy{}, fmt.Errorf("--install-policy: %w", err)
	}
	p, err := verify.ParseInstallPolicy(b)
	if err != nil {
		return p, fmt.Errorf("--install-policy %s: %w", o.installPolicy, err)
	}
	return p, nil
}

// need says which of the named flags were not given.
func need(flags ...struct{ name, value string }) error {
	for _, f := range flags {
		if f.value == "" {
			return usage(fmt.Errorf("--%s is needed", f.name))
		}
	}
	return nil
}

type flag = struct{ name, value string }

func newRefresh(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "refresh --metadata-dir DIR (--metadata-url URL | --from PATH) --policy FILE",
		Short: "Bring the trusted metadata up to date",
		Long: `Refresh fetches new roots, timestamp, snapshot and targets from a repository, with
the proofs beside them, and trusts the valid ones, as its table shows. The metadata
directory is one that init made. Refused files are not kept, and files that were trusted
before stay trusted.

If the install policy names the next trust policy, refresh adopts it, as download does, if
--target-base-url says where targets are.`,
		Example: `  updater refresh --metadata-dir /var/lib/updater --metadata-url https://example.com/metadata --policy trust.txt`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			err := need(flag{"metadata-dir", o.metadataDir})
			if err == nil {
				err = o.needOrigin(false)
			}
			if err == nil {
				err = o.update(cmd, o.adoptPolicy(cmd))
			}
			return o.report(cmd, err)
		},
	}
	o.fromFlag(cmd)
	return cmd
}

// adoptPolicy is what refresh does where download downloads.
func (o *options) adoptPolicy(cmd *cobra.Command) func(*device.Device, verify.Config) ([]device.Target, error) {
	return func(d *device.Device, cfg verify.Config) ([]device.Target, error) {
		if next := cfg.Install.NextPolicy; next != "" && o.targetBaseURL == "" && o.from == "" {
			warnOfTrouble(cmd.ErrOrStderr(), fmt.Errorf("the next trust policy (%s) was not looked for: it is a target, and --target-base-url is missing", next))
			return nil, nil
		}
		return nil, d.AdoptPolicy(cmd.Context())
	}
}

func newDownload(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "download --metadata-dir DIR (--metadata-url URL --target-base-url URL | --from PATH) --policy FILE --target-name PATH... --target-dir DIR",
		Short: "Refresh, then download targets and check them",
		Long: `Download begins like refresh. Then it finds each target in turn among the targets
and delegated roles that are trusted, fetches it and, if its length and hashes are
right, puts it into the target directory. The last lines show its place: slashes in a
target's path become %2F, and a name that would be too long is replaced by its hash. A
target that is there already is not fetched again. If one fails, the others are still
downloaded, and the exit code is 1.`,
		Example: `  updater download --metadata-dir /var/lib/updater --metadata-url https://example.com/metadata --policy trust.txt \
    --target-base-url https://example.com/targets --target-dir /var/lib/targets --target-name firmware.bin`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			err := need(flag{"metadata-dir", o.metadataDir}, flag{"target-name", strings.Join(o.targetNames, "")}, flag{"target-dir", o.targetDir})
			if err == nil {
				err = o.needOrigin(true)
			}
			if err == nil {
				err = o.checkTargetDir()
			}
			if err == nil {
				var lock *device.InstallLock
				if lock, err = o.lockInstall(cmd); err == nil {
					defer lock.Unlock()
					err = o.update(cmd, o.download(cmd))
				}
			}
			return o.report(cmd, err)
		},
	}
	o.fromFlag(cmd)
	return cmd
}

// download is what a command that downloads does after the refresh.
func (o *options) download(cmd *cobra.Command) func(*device.Device, verify.Config) ([]device.Target, error) {
	return func(d *device.Device, _ verify.Config) ([]device.Target, error) {
		return d.Download(cmd.Context(), o.targetNames, o.targetDir)
	}
}

// checkTargetDir refuses to put targets among what the device remembers: one that is
// called updater.state would take its place.
func (o *options) checkTargetDir() error {
	targets, err := os.Stat(o.targetDir)
	if err != nil {
		return nil // it will be made
	}
	if metadata, err := os.Stat(o.metadataDir); err == nil && os.SameFile(targets, metadata) {
		return usage(fmt.Errorf("--target-dir %s is the metadata directory: a target could take the place of a file there; give another", o.targetDir))
	}
	return nil
}

// update brings the metadata directory up to date, downloads if download is not nil, and
// prints what came of it.
func (o *options) update(cmd *cobra.Command, download func(*device.Device, verify.Config) ([]device.Target, error)) error {
	bars := &bars{w: cmd.ErrOrStderr()}
	u, err := o.bringUpToDate(cmd, bars.tell, download)
	bars.end()
	if err != nil {
		return err
	}
	return o.printAccepted(cmd, u)
}

// updated is an update that has ended without an error.
type updated struct {
	client  *verify.Client
	mode    verify.Transparency
	targets []device.Target
}

// bringUpToDate brings the metadata directory up to date, and downloads if download is not
// nil. Nobody else uses the directory meanwhile.
func (o *options) bringUpToDate(cmd *cobra.Command, progress func(string, int64, int64), download func(*device.Device, verify.Config) ([]device.Target, error)) (*updated, error) {
	cfg, err := o.config()
	if err != nil {
		return nil, err
	}
	origin, closeOrigin, err := o.origin()
	if err != nil {
		return nil, err
	}
	defer closeOrigin() // which was only read
	stderr := cmd.ErrOrStderr()
	d := &device.Device{
		Store:    device.Store{Dir: o.metadataDir},
		Origin:   origin,
		Wanted:   o.targetNames,
		Progress: progress,
		Warn:     func(err error) { warnOfTrouble(stderr, err) },
	}
	unlock, err := o.lock(d.Store.Lock(cmd.Context(), cmd.CommandPath(), o.wait))
	if err != nil {
		return nil, err
	}
	defer unlock()
	c, targets, err := run(cmd.Context(), d, cfg, download)
	o.tellEvidence(stderr, cfg.Policy)
	if cfg.Install.Approval == verify.ApproveAsk {
		if c != nil {
			if err := printPutOff(stderr, putOff(c.State(), cfg.Now)); err != nil {
				return nil, err
			}
		}
		a := o.newAsker(cmd)
		for range maxQuestions {
			if c == nil || len(decidable(c.State(), cfg.Now)) == 0 {
				break
			}
			yes, err2 := a.ask(d.Store, c.State())
			if err2 != nil {
				return nil, err2
			}
			if !yes {
				break
			}
			c, targets, err = run(cmd.Context(), d, cfg, download)
		}
	}
	if c != nil {
		warnOfQuorum(stderr, cfg)
		o.warn(cmd, c)
	}
	if err != nil {
		o.tellStanding(stderr, err, targets)
		return nil, o.nameLimit(err)
	}
	return &updated{c, cfg.Transparency, targets}, nil
}

// run is one update. While a newer release waits it downloads what the device has accepted.
func run(ctx context.Context, d *device.Device, cfg verify.Config, download func(*device.Device, verify.Config) ([]device.Target, error)) (*verify.Client, []device.Target, error) {
	c, err := d.Refresh(ctx, cfg)
	if err != nil && (c == nil || c.Standing() == nil) {
		return c, nil, err
	}
	targets, err2 := download(d, cfg)
	if err == nil {
		err = err2
	}
	return c, targets, err
}

// tellStanding says what there is of the release that the device has accepted, while why
// keeps the newer one waiting.
func (o *options) tellStanding(w io.Writer, why error, targets []device.Target) {
	var r *verify.Refusal
	if !errors.As(why, &r) {
		return
	}
	for _, t := range targets {
		switch {
		case t.Err == nil:
			fmt.Fprintf(w, "updater: no update now (%s): %s is that of %s %d, which was accepted before\n", r.Code, printable.Line(t.Path), tuf.EscapeRole(t.Role), t.Version)
		case !errors.Is(t.Err, verify.ErrNotListed): // which the newer one may list
			o.printTargetError(w, t.Name, t.Err)
		}
	}
}

// lockInstall keeps other runs from putting targets in their places and from installing.
func (o *options) lockInstall(cmd *cobra.Command) (*device.InstallLock, error) {
	l, err := device.Store{Dir: o.metadataDir}.LockInstall(cmd.Context(), cmd.CommandPath(), o.wait)
	_, err = o.lock(nil, err)
	return l, err
}

// lock adds to the error of a lock that others have how long that is waited for.
func (o *options) lock(unlock func(), err error) (func(), error) {
	if errors.Is(err, device.ErrInUse) {
		err = fmt.Errorf("%w (--wait)", err)
	}
	return unlock, err
}

// nameLimit adds to the refusal of a file that is too long which flag would let it pass.
func (o *options) nameLimit(err error) error {
	var r *verify.Refusal
	var long *device.TooLongError
	if errors.As(err, &r) && errors.As(err, &long) {
		flag, most := "max-targets-length", o.limits.Targets
		switch r.Role {
		case tuf.RoleRoot:
			flag, most = "max-root-length", o.limits.Root
		case tuf.RoleTimestamp:
			flag, most = "max-timestamp-length", o.limits.Timestamp
		case tuf.RoleSnapshot:
			flag, most = "max-snapshot-length", o.limits.Snapshot
		}
		if long.Request.MaxLength == most {
			r.Detail += ": longer than --" + flag + " allows"
		}
	}
	return err
}

// warnOfQuorum says that nobody but the log vouches for what is shown, if it is so.
func warnOfQuorum(w io.Writer, cfg verify.Config) {
	if cfg.Transparency != verify.Off && cfg.Policy.SmallestQuorum() == 0 {
		fmt.Fprintln(w, "updater: warning: the trust policy does not require a witness (quorum none): a log could show this device a history that it shows no other")
	}
}

// some says what is missing where a command is given no argument.
func some(what, name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("name %s: %s %s", what, cmd.CommandPath(), name)
		}
		return nil
	}
}

// one is some for a command that takes one argument.
func one(what, name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return fmt.Errorf("name %s, and not %d: %s %s", what, len(args), cmd.CommandPath(), name)
		}
		return some(what, name)(cmd, args)
	}
}
