package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/tuf"
	bundles "github.com/tuflog/tuflog/tuf/pigweed"
	"github.com/tuflog/tuflog/verify"
	"github.com/tuflog/tuflog/verify/pigweed"
)

func newPigweed(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pigweed",
		Short: "Check update bundles of Pigweed's pw_software_update",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPigweedVerify(o))
	return cmd
}

// pigweedDevice is where what a device trusts is read from, and kept.
type pigweedDevice struct {
	trusted    string // a file
	state      string // a directory
	repository string // as given
}

func newPigweedVerify(o *options) *cobra.Command {
	var d pigweedDevice
	cmd := &cobra.Command{
		Use:   "verify --policy FILE (--trusted FILE | --state DIR) BUNDLE",
		Short: "Judge a Pigweed bundle and its proofs offline, in a device's order",
		Long: `Verify judges an update bundle (.pb) in the order of a device: the root in it, by the
trusted root and by its proof (the payload tlog_proof_root); the targets metadata, by that
root, by the version before and by its proof (tlog_proof); then the images. The root that
is trusted already needs no proof. It makes no requests. Pigweed's metadata never expires,
so no clock is asked.

What is trusted comes from --trusted, a root (SignedRootMetadata) or the bundle that was
installed last, and nothing is kept. Or it is in --state, a directory with the trusted root
as root.pb: there a new root is stored once it has passed its gate, whatever follows, and
targets.pb once the whole bundle has passed.

Trust in proofs needs the repository, which is named after the first root that was logged:
the trusted root, unless --repository says otherwise. --state remembers it once a proof has
passed. One run at a time uses a directory; others wait (--wait).

Exit codes: 0 the bundle is valid, 1 it is refused, 2 the check was not possible.`,
		Example: `  updater pigweed verify --policy trust.txt --trusted root_v1.pb release_2.logged.pb
  updater pigweed verify --policy trust.txt --state /var/lib/gateway/sensor release_2.logged.pb`,
		Args: one("a bundle", "BUNDLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.runPigweed(cmd, d, args[0])
		},
	}
	f := cmd.Flags()
	f.StringVar(&d.trusted, "trusted", "", "file of the trusted root, or of the bundle that was installed last")
	f.StringVar(&d.state, "state", "", "directory of what is trusted, which begins as root.pb")
	f.StringVar(&d.repository, "repository", "", "the repository (default: the payload of the trusted root, SHA-256 in hex)")
	return cmd
}

func (o *options) runPigweed(cmd *cobra.Command, d pigweedDevice, path string) error {
	if err := checkPigweedFlags(cmd, d); err != nil {
		return err
	}
	policy, err := cli.ReadPolicy(o.policy)
	if err != nil {
		return err
	}
	unlock, err := o.lockPigweed(cmd, d)
	if err != nil {
		return err
	}
	defer unlock()
	trusting, err := d.read()
	if err != nil {
		return err
	}
	trusting.Policy = policy
	warnOfQuorum(cmd.ErrOrStderr(), verify.Config{Policy: policy})
	file, err := readPigweed(path)
	if err != nil {
		return err
	}
	accepted, why := pigweed.Verify(file, trusting)
	if err := d.keep(accepted); err != nil {
		return fmt.Errorf("--state: %w", err)
	}
	return o.printPigweed(cmd, trusting, accepted, why)
}

// lockPigweed keeps other runs from --state: of two that read and write it in turn, the
// slower would take back what the other has stored.
func (o *options) lockPigweed(cmd *cobra.Command, d pigweedDevice) (unlock func(), err error) {
	if d.state == "" {
		return func() {}, nil
	}
	unlock, err = o.lock(device.Store{Dir: d.state}.Lock(cmd.Context(), cmd.CommandPath(), o.wait))
	switch {
	case errors.Is(err, device.ErrNotInitialised): // there is no such directory, which read says
		return func() {}, nil
	case err != nil:
		return nil, fmt.Errorf("--state: %w", err)
	}
	return unlock, nil
}

// checkPigweedFlags refuses flags that would change nothing.
func checkPigweedFlags(cmd *cobra.Command, d pigweedDevice) error {
	unused := ""
	cmd.InheritedFlags().Visit(func(f *pflag.Flag) {
		if f.Name != "policy" && f.Name != "json" && (f.Name != "wait" || d.state == "") {
			unused = f.Name
		}
	})
	switch {
	case unused != "":
		return fmt.Errorf("pigweed verify does not use --%s: leave it out", unused)
	case (d.trusted == "") == (d.state == ""):
		return errors.New("want either --trusted, a file, or --state, a directory: what does the device trust?")
	}
	return need(flag{"policy", cmd.Flag("policy").Value.String()})
}

// The files of --state.
const (
	stateRoot       = "root.pb"
	stateTargets    = "targets.pb"
	stateRepository = "repository"
)

// read reads what the device trusts.
func (d pigweedDevice) read() (device pigweed.Device, err error) {
	if d.repository != "" {
		if device.Repository, err = tuf.ParseDigest(d.repository); err != nil {
			return device, fmt.Errorf("--repository: %w", err)
		}
	}
	if d.trusted != "" {
		file, err := readPigweed(d.trusted)
		if err != nil {
			return device, fmt.Errorf("--trusted: %w", err)
		}
		device.Trusted, err = trustedIn(d.trusted, file)
		return device, err
	}
	if device.Trusted.Root, err = d.stored(stateRoot); err != nil {
		return device, fmt.Errorf("--state: %w (it begins with the root that the device trusts first, as %s)", err, stateRoot)
	}
	device.Trusted.Targets, err = d.stored(stateTargets)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return device, fmt.Errorf("--state: %w", err)
	}
	text, err := regular.ReadSome(filepath.Join(d.state, stateRepository), 128)
	if errors.Is(err, fs.ErrNotExist) {
		return device, nil
	}
	if err != nil {
		return device, fmt.Errorf("--state: %w", err)
	}
	known, err := tuf.ParseDigest(strings.TrimSuffix(string(text), "\n"))
	if err != nil {
		return device, fmt.Errorf("--state: %s: %w", stateRepository, err)
	}
	if !device.Repository.IsZero() && device.Repository != known {
		return device, fmt.Errorf("--repository: %s is a device of repository %v", d.state, known)
	}
	device.Repository = known
	return device, nil
}

// trustedIn reads a root, or what a bundle brought.
func trustedIn(path string, file []byte) (bundles.Trusted, error) {
	if m, err := bundles.Parse(file); err == nil && m.Root != nil {
		return bundles.Trusted{Root: m}, nil
	}
	b, err := bundles.ParseBundle(file)
	if err != nil {
		return bundles.Trusted{}, fmt.Errorf("--trusted: %s is neither a root nor a bundle: %w", path, err)
	}
	if b.Root == nil {
		return bundles.Trusted{}, fmt.Errorf("--trusted: %s has no root", path)
	}
	return bundles.Trusted{Root: b.Root, Targets: b.Targets}, nil
}

// stored reads a file of the state.
func (d pigweedDevice) stored(name string) (*tuf.Metadata, error) {
	file, err := readPigweed(filepath.Join(d.state, name))
	if err != nil {
		return nil, err
	}
	m, err := bundles.Parse(file)
	if err == nil && m.Type+".pb" != name {
		err = fmt.Errorf("it is %s metadata", m.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

// readPigweed reads a file of Pigweed's. One that is too large is cut off, and does not parse.
func readPigweed(path string) ([]byte, error) { return regular.ReadSome(path, bundles.MaxBundle+1) }

// keep stores what the device trusts from now on: the root before the targets that were
// judged by it. The repository is remembered once a proof of it has passed: a wrong
// --repository, or none beside a root that is not the first one logged, does not bind the
// device. Nothing is stored of a bundle from which nothing was accepted.
func (d pigweedDevice) keep(a pigweed.Accepted) error {
	if d.state == "" || a.RootProof == nil && a.Proof == nil {
		return nil
	}
	write := func(name string, content []byte) error {
		return durable.WriteFile(filepath.Join(d.state, name), content, 0o644)
	}
	err := write(stateRepository, []byte(a.Repository.String()+"\n"))
	if err == nil && a.RootProof != nil {
		err = write(stateRoot, a.Root.File)
	}
	if err == nil && a.Targets != nil {
		err = write(stateTargets, a.Targets.File)
	}
	return err
}

// printPigweed prints the verdict; the error carries the exit code.
func (o *options) printPigweed(cmd *cobra.Command, device pigweed.Device, a pigweed.Accepted, why error) error {
	var refused *verify.Refusal
	if why != nil && !errors.As(why, &refused) {
		return why
	}
	res := result{OK: refused == nil, Repository: a.Repository.String(), PinnedBy: "the root that the device trusts first"}
	if !device.Repository.IsZero() {
		res.PinnedBy = "--repository, or what --state remembers"
	}
	if a.Root != nil {
		r := pigweedRow(a.Root, a.RootProof)
		if a.RootProof == nil {
			r.Verdict = trusted
		}
		res.Roles = append(res.Roles, r)
	}
	if a.Targets != nil {
		res.Roles = append(res.Roles, pigweedRow(a.Targets, a.Proof))
		for name := range a.Targets.Targets.Paths() {
			res.Targets = append(res.Targets, targetRow{Name: name, Verdict: "ok"})
		}
	}
	if refused != nil {
		res.Roles = append(res.Roles, refusedRow(a.Bundle, refused))
		told := o.refusedOf(refused)
		res.Refused = &told
	}
	if err := o.printResult(cmd.OutOrStdout(), res); err != nil {
		return err
	}
	if refused != nil {
		printPigweedHint(cmd.ErrOrStderr(), refused)
		return cli.Failed(cli.ErrReported)
	}
	return nil
}

// printPigweedHint says what to do about a bundle without proofs.
func printPigweedHint(w io.Writer, r *verify.Refusal) {
	if r.Code == verify.CodeNotLogged {
		fmt.Fprintf(w, "updater: hint: %s\n", printable.Line("the bundle's vendor puts the proof into it with publisher submit"))
	}
}

// refusedRow is the row of what was refused.
func refusedRow(b *bundles.Bundle, r *verify.Refusal) row {
	of := row{Role: r.Role, Index: -1, Verdict: string(r.Code), Detail: r.Text()}
	m := (*tuf.Metadata)(nil)
	switch {
	case b == nil: // it could not be read
	case r.Role == tuf.RoleRoot:
		m = b.Root
	case r.Role == tuf.RoleTargets:
		m = b.Targets
	}
	if m != nil {
		of.Version, of.Payload = m.Version, m.PayloadDigest.String()
	}
	if of.Role == "" {
		of.Role = "bundle"
	}
	return of
}

// pigweedRow is the row of accepted metadata.
func pigweedRow(m *tuf.Metadata, proof *verify.Logged) row {
	r := row{Role: m.Type, Version: m.Version, Payload: m.PayloadDigest.String(), Index: -1, Verdict: "ok"}
	if proof != nil {
		r.Index = proof.Index
		for _, c := range proof.Checkpoint.Cosignatures {
			r.Witnesses = append(r.Witnesses, c.Witness)
		}
	}
	return r
}
