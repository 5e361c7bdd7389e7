package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/cmd/internal/cli"
	"github.com/tuflog/tuflog/verify"
)

// options are the flags of all subcommands; the conformance protocol puts them
// before the subcommand.
type options struct {
	metadataDir   string
	metadataURL   string
	targetName    string
	targetBaseURL string
	targetDir     string
	policy        string
	installPolicy string
	now           string
	transparency  string
	json          bool
}

func newCommand() *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use:   "updater",
		Short: "A TUF client that refuses releases which are not logged and witnessed",
		Long: `Updater is a TUF client. Before it trusts a new root, targets or delegated
targets file it checks the proof beside it (NAME.tlog-proof): that the file is
in a log of the trust policy, and that enough witnesses have seen it there.

Exit codes: 0 fine; 1 refused, and any failure of init, refresh and download;
2 wrong usage, or verify could not check.`,
		Example: `  updater init --metadata-dir /var/lib/updater 1.root.json
  updater refresh --metadata-dir /var/lib/updater --metadata-url https://example.com/metadata --policy trust.txt
  updater verify --policy trust.txt ./metadata`,
	}
	f := root.PersistentFlags()
	f.StringVar(&o.metadataDir, "metadata-dir", "", "directory of the trusted metadata")
	f.StringVar(&o.metadataURL, "metadata-url", "", "URL of the repository's metadata")
	f.StringVar(&o.targetName, "target-name", "", "path of the target, as targets metadata lists it")
	f.StringVar(&o.targetBaseURL, "target-base-url", "", "URL of the repository's targets")
	f.StringVar(&o.targetDir, "target-dir", "", "directory to put targets into")
	f.StringVar(&o.policy, "policy", "", "trust policy: a c2sp.org/tlog-policy file")
	f.StringVar(&o.installPolicy, "install-policy", "", "install policy: a JSON file; without it everything needs a proof of any age")
	f.StringVar(&o.now, "now", "", "the time to judge expiry by, RFC 3339; none: by the times of cosignatures alone (default: the clock, if it was ever set)")
	f.StringVar(&o.transparency, "transparency", "enforce", "what to do without a good proof: enforce, warn or off")
	f.BoolVar(&o.json, "json", false, "print the result as JSON")
	root.AddCommand(newInit(o), newRefresh(o), newDownload(o), newVerify(o))
	return root
}

// clientConfig reads what the flags name. It makes no requests.
func (o *options) clientConfig() (verify.ClientConfig, error) {
	var cfg verify.ClientConfig
	var err error
	if cfg.Transparency, err = verify.ParseTransparency(o.transparency); err != nil {
		return cfg, fmt.Errorf("--transparency: %w", err)
	}
	if cfg.Now, err = o.clock(time.Now()); err != nil {
		return cfg, err
	}
	if cfg.Install, err = o.install(); err != nil {
		return cfg, err
	}
	if o.policy == "" {
		if cfg.Transparency != verify.Off {
			return cfg, errors.New("--policy is needed: the trust policy says which logs and witnesses to believe (--transparency off does without, and without any proof)")
		}
		return cfg, nil
	}
	if cfg.Policy, err = cli.ReadPolicy(o.policy); err != nil {
		return cfg, fmt.Errorf("--policy: %w", err)
	}
	return cfg, nil
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
			return fmt.Errorf("--%s is needed", f.name)
		}
	}
	return nil
}

type flag = struct{ name, value string }

func newInit(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "init --metadata-dir DIR TRUSTED_ROOT",
		Short: "Trust a root that came with the device",
		Long: `Init makes the metadata directory of a device and puts a root there that is
trusted from now on. It makes no requests.

The repository whose proofs the device accepts is pinned too. It is the one that
the install policy names; if it names none, the root is taken to be the first one
that the log has of its vendor. A device that starts from a later root needs
"repository" in its install policy.`,
		Example: `  updater init --metadata-dir /var/lib/updater 1.root.json`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := need(flag{"metadata-dir", o.metadataDir}); err != nil {
				return cli.Failed(err)
			}
			return o.report(cmd, o.runInit(cmd, args[0]))
		},
	}
}

func (o *options) runInit(cmd *cobra.Command, path string) error {
	install, err := o.install()
	if err != nil {
		return err
	}
	root, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	state, err := verify.Pin(root, install)
	if err != nil {
		return err
	}
	s := store{dir: o.metadataDir}
	if err := s.create(root, state); err != nil {
		return err
	}
	if o.json {
		return cli.WriteJSON(cmd.OutOrStdout(), result{OK: true, Repository: state.Repository.String()})
	}
	fmt.Fprintf(cmd.OutOrStdout(), "trusted root %d, repository %v\n", state.Root.Version, state.Repository)
	return nil
}

func newRefresh(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "refresh --metadata-dir DIR --metadata-url URL --policy FILE",
		Short: "Bring the trusted metadata up to date",
		Long: `Refresh fetches new roots, timestamp, snapshot and targets from a repository, with
the proofs beside them, and trusts what is good, as its table says. The metadata
directory is one that init made. What is refused is not kept, and what was trusted
before stays.`,
		Example: `  updater refresh --metadata-dir /var/lib/updater --metadata-url https://example.com/metadata --policy trust.txt`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := need(flag{"metadata-dir", o.metadataDir}, flag{"metadata-url", o.metadataURL}); err != nil {
				return cli.Failed(err)
			}
			return o.report(cmd, o.withUpdate(cmd, func(u *update) error {
				return u.refresh(cmd.Context())
			}))
		},
	}
}

func newDownload(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "download --metadata-dir DIR --metadata-url URL --policy FILE --target-name PATH --target-base-url URL --target-dir DIR",
		Short: "Refresh, then download a target and check it",
		Long: `Download does what refresh does, finds the target among the targets and delegated
roles that are trusted, fetches it and, if its length and hashes are right, puts it
into the target directory. The last line says where: slashes in the target's path
become %2F. A target that is there already is not fetched again.`,
		Example: `  updater download --metadata-dir /var/lib/updater --metadata-url https://example.com/metadata --policy trust.txt \
    --target-base-url https://example.com/targets --target-dir /var/lib/targets --target-name firmware.bin`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			err := need(flag{"metadata-dir", o.metadataDir}, flag{"metadata-url", o.metadataURL}, flag{"target-name", o.targetName},
				flag{"target-base-url", o.targetBaseURL}, flag{"target-dir", o.targetDir})
			if err != nil {
				return cli.Failed(err)
			}
			return o.report(cmd, o.withUpdate(cmd, func(u *update) error {
				ctx := cmd.Context()
				if err := u.refresh(ctx); err != nil {
					return err
				}
				return u.download(ctx, o.targetName, o.targetBaseURL, o.targetDir)
			}))
		},
	}
}

// withUpdate opens the metadata directory, runs do, and stores what was learned,
// also when do was refused something.
func (o *options) withUpdate(cmd *cobra.Command, do func(*update) error) error {
	cfg, err := o.clientConfig()
	if err != nil {
		return err
	}
	u := &update{store: store{dir: o.metadataDir}, http: newHTTPClient(), base: withSlash(o.metadataURL), stderr: cmd.ErrOrStderr()}
	if err := u.open(cfg); err != nil {
		return err
	}
	err = do(u)
	if err2 := u.saveState(); err == nil {
		err = err2
	} else if err2 != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "updater: %v\n", err2)
	}
	o.warn(cmd, u.client)
	if err != nil {
		return err
	}
	return o.printAccepted(cmd, u)
}
