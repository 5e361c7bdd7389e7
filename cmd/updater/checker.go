package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// checker is one run of verify.
type checker struct {
	pool     *pool
	device   *store // by whose state to judge; nil: none
	brought  bool   // nobody has named the device: its state lies among the files
	client   *verify.Client
	kept     verify.Sidecars // of the device's root
	pinnedBy string          // what says that it must be this repository; empty: nothing
	rows     []row
	missing  []string // roles that are listed but not there
	refused  []*verify.Refusal
}

// run checks everything it can. An error that is not a *Refusal means that it
// could not check.
func (c *checker) run(cfg verify.ClientConfig, trustedRoot string) error {
	name, err := c.begin(cfg, trustedRoot)
	if err != nil {
		return c.note(tuf.RoleRoot, name, err)
	}
	if err := c.roots(name); err != nil {
		return err
	}
	steps := []struct {
		role string
		take func([]byte, verify.Sidecars) error
	}{
		{tuf.RoleTimestamp, func(file []byte, _ verify.Sidecars) error {
			_, err := c.client.UpdateTimestamp(file)
			return err
		}},
		{tuf.RoleSnapshot, func(file []byte, _ verify.Sidecars) error { return c.client.UpdateSnapshot(file) }},
		{tuf.RoleTargets, c.client.UpdateTargets},
	}
	for _, step := range steps {
		if err := c.listed(step.role, step.take); err != nil {
			return err
		}
	}
	return c.delegated()
}

// begin opens the client with the root that trust begins with: the device's, the one
// that the user names, or the lowest that lies there. It returns that root's name.
func (c *checker) begin(cfg verify.ClientConfig, trustedRoot string) (name string, err error) {
	var file []byte
	var state verify.State
	switch {
	case c.device != nil:
		name = fileName(tuf.RoleRoot)
		if state, _, err = c.device.loadState(); err == nil {
			file, c.kept, err = c.device.read(tuf.RoleRoot)
		}
	case trustedRoot != "":
		name = filepath.Base(trustedRoot)
		file, err = os.ReadFile(trustedRoot)
	default:
		if name = c.pool.lowestRoot(); name != "" {
			file, err = c.pool.read(name)
		}
	}
	if err != nil {
		return name, err
	}
	if file == nil {
		return name, errors.New("no root there to begin with: name one with --trusted-root")
	}
	if c.device == nil {
		if state, err = verify.Pin(file, cfg.Install); err != nil {
			return name, err
		}
	}
	c.pinnedBy = c.pins(cfg, trustedRoot, state)
	c.client, err = verify.NewClient(cfg, file, state)
	return name, err
}

// pins names what says that it must be this repository; empty: nothing, and anybody's
// would do.
func (c *checker) pins(cfg verify.ClientConfig, trustedRoot string, state verify.State) string {
	id := cfg.Install.Repository
	switch {
	case c.device != nil && !c.brought: // who brings files could bring a state as well
		return "the device in " + c.device.dir
	case trustedRoot != "":
		return "--trusted-root " + trustedRoot
	// Without proofs nothing shows whose a root is that is not the repository's first.
	case !id.IsZero() && (cfg.Transparency == verify.Enforce || state.TrustedRoot == id):
		return `"repository" in --install-policy`
	}
	return ""
}

// note adds a row for a file that was refused, and returns err. Where the refusal is
// about a role above, whose row is there already, that row has it.
func (c *checker) note(role, name string, err error) error {
	var r *verify.Refusal
	if !errors.As(err, &r) {
		return err
	}
	c.refused = append(c.refused, r)
	if r.Role != "" && r.Role != role {
		for i := len(c.rows) - 1; i >= 0; i-- {
			if c.rows[i].Role == r.Role {
				c.rows[i].Verdict, c.rows[i].Detail = string(r.Code), detail(r)
				return err
			}
		}
	}
	bad := row{Role: role, File: name, Index: -1, Verdict: string(r.Code), Detail: detail(r)}
	if file, err := c.pool.read(name); err == nil && file != nil {
		if m, err := tuf.ParseJSON(file); err == nil {
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
		request, err := c.client.RequestFor(tuf.RoleRoot)
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
			if m, err := tuf.ParseJSON(file); err != nil || m.Version < request.Version {
				break
			}
			next = "root.json"
		}
		file, err := c.pool.read(next)
		if err != nil {
			return err
		}
		if err := c.client.UpdateRoot(file); err != nil {
			return c.note(tuf.RoleRoot, next, err)
		}
		name = next
		c.rootRow(name)
	}
	err := c.trustRoot(name)
	if err == nil {
		last := &c.rows[len(c.rows)-1]
		*last = rowOf(c.client, c.client.Accepted()[0])
		last.File = name
		err = c.client.RootsDone()
	}
	if err != nil {
		c.rows = c.rows[:len(c.rows)-1]
		return c.note(tuf.RoleRoot, name, err)
	}
	return nil
}

// trustRoot trusts the last root, the one in the named file, by the proof beside it;
// the root that the device has also by the proof that it has.
func (c *checker) trustRoot(name string) error {
	if c.device != nil && name == fileName(tuf.RoleRoot) && c.client.NextRoot() == c.client.Root() {
		if err := c.client.TrustRoot(c.kept); !proofIsLacking(err) {
			return err
		}
		name = verify.Request{Role: tuf.RoleRoot, Version: c.client.NextRoot().Version}.FileName()
	}
	sidecars, err := c.pool.sidecars(name)
	if err != nil {
		return err
	}
	return c.client.TrustRoot(sidecars)
}

// rootRow adds a row for the last root that was taken, the one in the named file.
func (c *checker) rootRow(name string) {
	m := c.client.NextRoot()
	r := row{Role: tuf.RoleRoot, Version: m.Version, File: name, Payload: m.PayloadDigest.String(), Index: -1, Verdict: passed}
	if m.PayloadDigest == c.client.TrustedRoot() {
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
	var by tuf.MetaFile
	switch role {
	case tuf.RoleSnapshot:
		by, _ = c.client.Metadata(tuf.RoleTimestamp).Timestamp.File("snapshot.json")
		version = by.Version
	case tuf.RoleTargets:
		by, _ = c.client.Metadata(tuf.RoleSnapshot).Snapshot.File("targets.json")
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
	queue := []string{tuf.RoleTargets}
	seen := map[string]bool{}
	snapshot := c.client.Metadata(tuf.RoleSnapshot).Snapshot
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

// target checks the file of a target, as a device keeps it or as a repository has it
// below dir. It returns the role that lists it and where the file is.
func (c *checker) target(name, dir string) (role, path string, err error) {
	found, err := c.client.Find(name)
	if err != nil {
		return "", "", err
	}
	if found.Need != nil {
		return "", "", fmt.Errorf("target %q cannot be looked for: metadata of role %q is not there, or refused", name, found.Need.Role)
	}
	if found.Target == nil {
		return "", "", notListed(name, found)
	}
	names := []string{targetFileName(name), filepath.FromSlash(name)}
	if hashed, err := c.client.TargetName(name, *found.Target); err == nil {
		names = append(names, filepath.FromSlash(hashed))
	}
	for _, n := range names {
		if !filepath.IsLocal(n) {
			continue
		}
		path = filepath.Join(dir, n)
		if err = checkTarget(path, *found.Target); !errors.Is(err, fs.ErrNotExist) {
			return found.Role, path, err
		}
	}
	return found.Role, "", fmt.Errorf("target %q is not in %s: looked for %s", name, dir, strings.Join(names, ", "))
}
