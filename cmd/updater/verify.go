package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/cmd/internal/cli"
	"github.com/tuflog/tuflog/verify"
)

func newVerify(o *options) *cobra.Command {
	var trustedRoot string
	cmd := &cobra.Command{
		Use:   "verify [DIR | FILE...]",
		Short: "Check metadata files and their proofs offline",
		Long: `Verify runs the workflow of a device over files: the roots in order, timestamp,
snapshot, targets and every delegated role that is there, each with its proof.
Of the roots only the newest needs one. It makes no requests and changes nothing.

The files are those of a repository (14.targets.json) or of a metadata directory
(targets.json). Trust begins with --trusted-root; without it, with the root that
init gave the device whose directory it is, or else with the lowest root there.
Files that the newest snapshot does not list are not looked at.

Exit codes: 0 all good, 1 something is refused, 2 it could not be checked.`,
		Example: `  updater verify --policy trust.txt ./metadata
  updater verify --policy trust.txt --trusted-root 1.root.json 14.targets.json 15.snapshot.json timestamp.json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := o.clientConfig()
			if err != nil {
				return err
			}
			if len(args) == 0 && o.metadataDir != "" {
				args = []string{o.metadataDir}
			}
			pool, err := openPool(args)
			if err != nil {
				return err
			}
			c := &checker{pool: pool}
			err = c.run(cfg, trustedRoot)
			if err != nil && !isRefusal(err) {
				return err
			}
			return o.printChecked(cmd, c)
		},
	}
	cmd.Flags().StringVar(&trustedRoot, "trusted-root", "", "file of the root to begin with")
	return cmd
}

// pool is the files that verify looks at, by name.
type pool struct {
	paths map[string]string
	state *store // the device whose directory it is; nil: none
}

func openPool(args []string) (*pool, error) {
	if len(args) == 0 {
		return nil, errors.New("nothing to check: name a directory or files, or --metadata-dir")
	}
	p := &pool{paths: map[string]string{}}
	for _, arg := range args {
		info, err := os.Stat(arg)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			p.paths[filepath.Base(arg)] = arg
			// A proof lies beside its file whether it is named or not.
			for _, suffix := range []string{verify.SidecarSuffix, verify.LatestSuffix} {
				p.paths[filepath.Base(arg)+suffix] = arg + suffix
			}
			continue
		}
		entries, err := os.ReadDir(arg)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			p.paths[e.Name()] = filepath.Join(arg, e.Name())
		}
		if len(args) == 1 && (p.has(stateName) || p.has(copyName)) {
			p.state = &store{dir: arg}
		}
	}
	return p, nil
}

func (p *pool) has(name string) bool {
	path, ok := p.paths[name]
	if !ok {
		return false
	}
	_, err := os.Stat(path)
	return err == nil
}

// read returns a file, nil if it is not there.
func (p *pool) read(name string) ([]byte, error) {
	path, ok := p.paths[name]
	if !ok {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

func (p *pool) sidecars(name string) (verify.Sidecars, error) {
	proof, err := p.read(name + verify.SidecarSuffix)
	latest, err2 := p.read(name + verify.LatestSuffix)
	return verify.Sidecars{Proof: proof, Latest: latest}, errors.Join(err, err2)
}

// nameOf finds a role's file under the names that repositories and devices use;
// "" if it is not there.
func (p *pool) nameOf(role string, version int64) string {
	prefix := strconv.FormatInt(version, 10) + "."
	escaped := verify.EscapeRole(role)
	for _, name := range []string{prefix + role, prefix + escaped, role, escaped} {
		if p.has(name + ".json") {
			return name + ".json"
		}
	}
	return ""
}

// lowestRoot returns the name of the root with the lowest version in its name,
// or root.json, or "".
func (p *pool) lowestRoot() string {
	name, lowest := "", int64(0)
	for candidate := range p.paths {
		digits, ok := strings.CutSuffix(candidate, ".root.json")
		v, err := strconv.ParseInt(digits, 10, 64)
		if ok && err == nil && (name == "" || v < lowest) {
			name, lowest = candidate, v
		}
	}
	if name == "" && p.has("root.json") {
		return "root.json"
	}
	return name
}

// checker is one run of verify.
type checker struct {
	pool    *pool
	client  *verify.Client
	pinned  verify.Digest // the root that trust begins with
	rows    []row
	missing []string // roles that are listed but not there
	refused bool
}

// run checks everything it can. An error that is not a *Refusal means that it
// could not check.
func (c *checker) run(cfg verify.ClientConfig, trustedRoot string) error {
	name, err := c.begin(cfg, trustedRoot)
	if err != nil {
		return c.note(verify.RoleRoot, name, err)
	}
	if err := c.roots(name); err != nil {
		return err
	}
	steps := []struct {
		role string
		take func([]byte, verify.Sidecars) error
	}{
		{verify.RoleTimestamp, func(file []byte, _ verify.Sidecars) error {
			_, err := c.client.UpdateTimestamp(file)
			return err
		}},
		{verify.RoleSnapshot, func(file []byte, _ verify.Sidecars) error { return c.client.UpdateSnapshot(file) }},
		{verify.RoleTargets, c.client.UpdateTargets},
	}
	for _, step := range steps {
		if err := c.listed(step.role, step.take); err != nil {
			return err
		}
	}
	return c.delegated()
}

// begin opens the client with the root that trust begins with, and returns that
// root's file name.
func (c *checker) begin(cfg verify.ClientConfig, trustedRoot string) (string, error) {
	name := c.pool.lowestRoot()
	device := trustedRoot == "" && c.pool.state != nil
	if device {
		name = "root.json"
	}
	var file []byte
	var err error
	if trustedRoot != "" {
		name = filepath.Base(trustedRoot)
		file, err = os.ReadFile(trustedRoot)
	} else if name != "" {
		file, err = c.pool.read(name)
	}
	if err != nil {
		return name, err
	}
	if file == nil {
		return name, errors.New("no root there to begin with: name one with --trusted-root")
	}
	var state verify.State
	if device {
		if state, _, err = c.pool.state.loadState(); err != nil {
			return name, err
		}
	} else if state, err = verify.Pin(file, cfg.Install); err != nil {
		return name, err
	}
	c.pinned = state.TrustedRoot
	c.client, err = verify.NewClient(cfg, file, state)
	return name, err
}

// note adds a row for a file that was refused, and returns err.
func (c *checker) note(role, name string, err error) error {
	var r *verify.Refusal
	if !errors.As(err, &r) {
		return err
	}
	c.refused = true
	bad := row{Role: role, File: name, Index: -1, Verdict: string(r.Code), Detail: detail(r)}
	if file, err := c.pool.read(name); err == nil && file != nil {
		if m, err := verify.ParseJSON(file); err == nil {
			bad.Version, bad.Payload = m.Version, m.PayloadDigest.String()
		}
	}
	c.rows = append(c.rows, bad)
	return err
}

// take gives a file with its sidecars to the client and adds a row.
func (c *checker) take(role, name string, take func([]byte, verify.Sidecars) error) error {
	file, err := c.pool.read(name)
	if err != nil {
		return err
	}
	sidecars, err := c.pool.sidecars(name)
	if err != nil {
		return err
	}
	before := len(c.client.Accepted())
	if err := take(file, sidecars); err != nil {
		return c.note(role, name, err)
	}
	for _, a := range c.client.Accepted()[before:] {
		r := rowOf(c.client, a)
		r.File = name
		c.rows = append(c.rows, r)
	}
	return nil
}

// roots climbs from the root in the named file to the newest, and trusts that.
func (c *checker) roots(name string) error {
	c.rootRow(name)
	for {
		request, err := c.client.RequestFor(verify.RoleRoot)
		if err != nil {
			return err
		}
		next := request.FileName()
		if !c.pool.has(next) {
			// root.json is the newest; it may be a copy of one that was just taken.
			file, err := c.pool.read("root.json")
			if err != nil {
				return err
			}
			if m, err := verify.ParseJSON(file); err != nil || m.Version < request.Version {
				break
			}
			next = "root.json"
		}
		file, err := c.pool.read(next)
		if err != nil {
			return err
		}
		if err := c.client.UpdateRoot(file); err != nil {
			return c.note(verify.RoleRoot, next, err)
		}
		name = next
		c.rootRow(name)
	}
	sidecars, err := c.pool.sidecars(name)
	if err != nil {
		return err
	}
	last := &c.rows[len(c.rows)-1]
	if err = c.client.TrustRoot(sidecars); err == nil {
		if last.Verdict == passed {
			*last = rowOf(c.client, c.client.Accepted()[0])
			last.File = name
		}
		err = c.client.RootsDone()
	}
	if err != nil {
		c.rows = c.rows[:len(c.rows)-1]
		return c.note(verify.RoleRoot, name, err)
	}
	return nil
}

// rootRow adds a row for the last root that was taken, the one in the named file.
func (c *checker) rootRow(name string) {
	m := c.client.NextRoot()
	r := row{Role: verify.RoleRoot, Version: m.Version, File: name, Payload: m.PayloadDigest.String(), Index: -1, Verdict: passed}
	if m.PayloadDigest == c.pinned {
		r.Verdict = trusted
	}
	c.rows = append(c.rows, r)
}

// listed takes the file of a role that a file taken before it lists.
func (c *checker) listed(role string, take func([]byte, verify.Sidecars) error) error {
	request, err := c.client.RequestFor(role)
	if err != nil {
		return c.note(role, "", err)
	}
	version := request.Version
	var by verify.MetaFile
	switch role {
	case verify.RoleSnapshot:
		by, _ = c.client.Metadata(verify.RoleTimestamp).Timestamp.File("snapshot.json")
		version = by.Version
	case verify.RoleTargets:
		by, _ = c.client.Metadata(verify.RoleSnapshot).Snapshot.File("targets.json")
		version = by.Version
	}
	name := c.pool.nameOf(role, version)
	if name == "" {
		return fmt.Errorf("%s is not there: without it the files after it cannot be checked", request.FileName())
	}
	return c.take(role, name, take)
}

// delegated takes every delegated role that is there, breadth first; a role that
// is refused does not keep the others from being checked.
func (c *checker) delegated() error {
	queue := []string{verify.RoleTargets}
	seen := map[string]bool{}
	snapshot := c.client.Metadata(verify.RoleSnapshot).Snapshot
	for len(queue) > 0 {
		delegator := queue[0]
		queue = queue[1:]
		for _, role := range c.client.Metadata(delegator).Targets.Delegations.Names() {
			listed, ok := snapshot.File(role + ".json")
			if seen[role] || !ok {
				continue
			}
			seen[role] = true
			name := c.pool.nameOf(role, listed.Version)
			if name == "" {
				c.missing = append(c.missing, role)
				continue
			}
			err := c.take(role, name, func(file []byte, sidecars verify.Sidecars) error {
				return c.client.UpdateDelegated(role, delegator, file, sidecars)
			})
			if err == nil {
				queue = append(queue, role)
			} else if !isRefusal(err) {
				return err
			}
		}
	}
	return nil
}

// printChecked prints the table; the error carries the exit code.
func (o *options) printChecked(cmd *cobra.Command, c *checker) error {
	res := result{OK: !c.refused, Roles: c.rows, Missing: c.missing}
	if c.client != nil {
		res.Repository = c.client.Repository().String()
		for _, r := range c.client.Warnings() {
			res.Warnings = append(res.Warnings, refusedOf(r))
		}
		o.warn(cmd, c.client)
	}
	if len(c.missing) > 0 {
		slices.Sort(c.missing)
		some := c.missing[:min(len(c.missing), 5)]
		fmt.Fprintf(cmd.ErrOrStderr(), "updater: delegated roles that are listed but not there, so not checked (%d): %s\n", len(c.missing), strings.Join(some, ", "))
	}
	var err error
	if o.json {
		err = cli.WriteJSON(cmd.OutOrStdout(), res)
	} else {
		err = printRows(cmd.OutOrStdout(), res.Roles)
	}
	if err != nil {
		return err
	}
	if c.refused {
		for _, r := range c.rows {
			if hint := hints[verify.Code(r.Verdict)]; hint != "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "updater: hint: %s\n", hint)
				break
			}
		}
		return cli.Failed(cli.ErrReported)
	}
	return nil
}
