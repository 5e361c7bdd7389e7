package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

func newInit(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "init --metadata-dir DIR [--policy FILE] [--install-policy FILE] TRUSTED_ROOT",
		Short: "Give a device its root and its policies",
		Long: `Init makes the metadata directory of a device and puts a root there that is
trusted from now on. It makes no requests.

With --policy and --install-policy it puts copies of the policies there as well, if they
fit together: all runs go by them, unless they are given other ones. Called again with the
same root init gives the device other policies, and puts a damaged root back.

The repository is pinned too: the device accepts only proofs of that repository. It is
the one that the install policy names; by default the root is taken to be the first one
of its vendor in the log. A device that starts from a later root needs "repository" in
its install policy.`,
		Example: `  updater init --metadata-dir /var/lib/updater --policy trust.txt --install-policy install.json 1.root.json`,
		Args:    one("the root that the device trusts", "TRUSTED_ROOT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := need(flag{"metadata-dir", o.metadataDir})
			if err == nil {
				err = o.runInit(cmd, args[0])
			}
			return o.report(cmd, err)
		},
	}
}

func (o *options) runInit(cmd *cobra.Command, path string) error {
	trust, install, err := o.readGiven()
	if err != nil {
		return err
	}
	p, err := o.install()
	if err != nil {
		return err
	}
	root, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	state, err := verify.Pin(root, p)
	if err != nil {
		return err
	}
	s := device.Store{Dir: o.metadataDir}
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return err
	}
	unlock, err := o.lock(s.Lock(cmd.Context(), cmd.CommandPath(), o.wait))
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.Create(root, state); err != nil {
		return err
	}
	if err := s.SavePolicies(trust, install); err != nil {
		return err
	}
	return o.printInForce(cmd.OutOrStdout(), s, trust != nil, install != nil)
}

// printInForce says what a device has after init: it may have been one before. The arguments
// say which policies it was given now.
func (o *options) printInForce(w io.Writer, s device.Store, trustNow, installNow bool) error {
	state, _, err := s.State()
	if err != nil {
		return err
	}
	trust, install, err := s.Policies(false, false)
	if err != nil {
		return err
	}
	less := ""
	if trust != "" {
		cfg, err := o.config()
		if err != nil {
			return err
		}
		if less, err = state.Less(cfg); err != nil {
			return err
		}
	}
	if o.json {
		return cli.WriteJSON(w, result{OK: true, Repository: state.Repository.String(), Root: state.Root.Version, Less: less})
	}
	has := func(path string, now bool, without string) string {
		switch {
		case path == "":
			return without
		case now:
			return "the one given now"
		}
		return "the one given before"
	}
	fmt.Fprintf(w, "trusted root %d, repository %v\n", state.Root.Version, state.Repository)
	came := ""
	if state.Adopted != nil && !trustNow {
		came = "; one that came as a target may be in its place (updater status)"
	}
	fmt.Fprintf(w, "trust policy: %s%s\n", has(trust, trustNow, "none, so that every run needs --policy"), came)
	_, err = fmt.Fprintf(w, "install policy: %s\n", has(install, installNow, "none, so that a run without --install-policy goes by the default one"))
	if less != "" {
		_, err = fmt.Fprintf(w, "they require less than before: %s\nthe next run is refused, and the owner has to approve of that (updater pending)\n", printable.Line(less))
	}
	return err
}

// readGiven returns the texts of the policies that --policy and --install-policy name, nil
// of one that is not named, if they fit together and to what the device has.
func (o *options) readGiven() (trust, install []byte, err error) {
	const most = proofs.MaxPolicySize // which is more than an install policy may have
	if o.policy != "" {
		if trust, err = cli.ReadAtMost(o.policy, most); err != nil {
			return nil, nil, usage(fmt.Errorf("--policy: %w", err))
		}
	}
	if o.installPolicy != "" {
		if install, err = cli.ReadAtMost(o.installPolicy, most); err != nil {
			return nil, nil, usage(fmt.Errorf("--install-policy: %w", err))
		}
	}
	if err := o.useGiven(); err != nil {
		return nil, nil, err
	}
	if o.policy == "" {
		return nil, install, nil
	}
	cfg, err := o.config()
	if err != nil {
		return nil, nil, err
	}
	if _, err := verify.Explain(cfg); err != nil {
		return nil, nil, fmt.Errorf("no device could be updated by these policies: %w", err)
	}
	return trust, install, nil
}

// useGiven makes the policies that init was given those of this run, if it has no others.
func (o *options) useGiven() error {
	if o.metadataDir == "" || o.policy != "" && o.installPolicy != "" {
		return nil
	}
	trust, install, err := device.Store{Dir: o.metadataDir}.Policies(o.policy == "", o.installPolicy == "")
	if err != nil {
		return err
	}
	if o.policy == "" {
		o.policy = trust
	}
	if o.installPolicy == "" {
		o.installPolicy = install
	}
	return nil
}
