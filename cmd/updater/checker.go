package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// checker is one run of verify.
type checker struct {
	folder   *device.Folder
	device   *device.Store // by whose state to judge; nil: none
	brought  bool          // nobody has named the device: its state lies among the files
	own      bool          // the files are the device's own
	mode     verify.Transparency
	client   *verify.Client
	state    verify.State // that it began with
	pinnedBy string       // what says that it must be this repository; empty: nothing
	rows     []row
	missing  []string // roles that are listed but not there
	refused  []*verify.Refusal
}

// run checks everything it can. An error that is not a *Refusal means that it
// could not check.
func (c *checker) run(ctx context.Context, cfg verify.Config, trustedRoot string) error {
	c.mode = cfg.Transparency
	name, err := c.begin(ctx, cfg, trustedRoot)
	if err == nil {
		c.client, err = verify.Refresh(ctx, cfg, c.state, c.folder)
	}
	if c.own && c.client != nil && c.client.Standing() != nil {
		err = nil // a newer release waits, which is not a fault of the files
	}
	begun := device.Given{Role: tuf.RoleRoot, Name: name, File: c.folder.Root}
	if err := c.judged(append([]device.Given{begun}, c.given()...), err); err != nil {
		return err
	}
	return c.client.Delegated(ctx, func(r verify.Request, err error) error {
		given := c.given()
		if missing(err) {
			c.missing = append(c.missing, r.Role)
			return nil
		}
		if c.own && (len(given) == 0 || c.client.Metadata(r.Role) != nil) && c.waits(r.Role, err) {
			err = nil
		}
		if err := c.judged(given, err); err != nil && !isRefusal(err) {
			return err
		}
		return nil
	})
}

// waiting is what the device has been offered, and has not taken for its age or for want of
// its owner's approval.
func (c *checker) waiting() (waiting []verify.Waiting) {
	if !c.own {
		return nil
	}
	for _, w := range c.state.Waiting {
		switch w.Code {
		case verify.CodeTooYoung, verify.CodeQuarantined, verify.CodeNeedsApproval:
			if w.Role != "" {
				waiting = append(waiting, w)
			}
		}
	}
	return waiting
}

// waits reports whether a role was refused for what its newer release waits for.
func (c *checker) waits(role string, err error) bool {
	var r *verify.Refusal
	return errors.As(err, &r) && slices.ContainsFunc(c.waiting(), func(w verify.Waiting) bool { return w.Role == role && w.Code == r.Code })
}

// given returns the files that were given since it was asked last.
func (c *checker) given() []device.Given {
	given := c.folder.Given
	c.folder.Given = nil
	return given
}

// begin finds the root that trust begins with: the device's, the one that the user names,
// or the lowest that lies there. It returns that root's name.
func (c *checker) begin(ctx context.Context, cfg verify.Config, trustedRoot string) (name string, err error) {
	f := c.folder
	switch {
	case c.device != nil:
		name = "root.json"
		if c.state, _, err = c.device.State(); err == nil {
			if c.brought {
				c.state = c.state.Distrusted()
			}
			if c.own {
				f.Own = &c.state
			}
			f.Root, f.RootSidecars, err = c.device.Kept(ctx, tuf.RoleRoot)
		}
	case trustedRoot != "":
		name = filepath.Base(trustedRoot)
		f.Root, err = os.ReadFile(trustedRoot)
	default:
		name, f.Root, err = f.LowestRoot()
	}
	if err != nil {
		return name, err
	}
	if f.Root == nil {
		return name, errors.New("no root there to begin with: name one with --trusted-root")
	}
	if c.device == nil {
		if c.state, err = verify.Pin(f.Root, cfg.Install); err != nil {
			return name, err
		}
	}
	c.pinnedBy = c.pins(cfg, trustedRoot)
	return name, nil
}

// pins names what says that it must be this repository; empty: nothing, and anybody's
// would do.
func (c *checker) pins(cfg verify.Config, trustedRoot string) string {
	id := cfg.Install.Repository
	switch {
	case c.device != nil && !c.brought: // who brings files could bring a state as well
		return "the device in " + c.device.Dir
	case trustedRoot != "":
		return "--trusted-root " + trustedRoot
	// Without proofs nothing shows whose a root is that is not the repository's first.
	case !id.IsZero() && (cfg.Transparency == verify.Enforce || c.state.TrustedRoot == id):
		return `"repository" in --install-policy`
	}
	return ""
}

// judged adds the rows of files that were given in this order, the last of which ended
// with err. It returns err, of a file that could not be had as it was.
func (c *checker) judged(given []device.Given, err error) error {
	var r *verify.Refusal
	if errors.As(err, &r) && (r.Code == verify.CodeNetwork || r.Code == verify.CodeSetting) {
		return r.Err
	}
	if err != nil && r == nil {
		return err
	}
	var accepted []verify.Accepted
	if c.client != nil {
		accepted = c.client.Accepted()
	}
	var last *device.Given // that was not accepted
	for i, g := range given {
		a, ok := acceptedAs(accepted, g)
		switch {
		case ok:
			row := rowOf(c.client, c.mode, a)
			row.File = g.Name
			c.rows = append(c.rows, row)
		case err != nil && i == len(given)-1:
			last = &g
		default:
			c.rows = append(c.rows, c.onTheWay(g))
		}
	}
	if err != nil {
		c.refuse(last, r)
	}
	return err
}

// acceptedAs finds a file among those that were accepted: a delegated role's is the last.
func acceptedAs(accepted []verify.Accepted, g device.Given) (verify.Accepted, bool) {
	for _, a := range slices.Backward(accepted) {
		if a.Role == g.Role && bytes.Equal(a.Metadata.File, g.File) {
			return a, true
		}
	}
	return verify.Accepted{}, false
}

// onTheWay is the row of a root that was taken on the way to the newest.
func (c *checker) onTheWay(g device.Given) row {
	r := unproved(g.Role, g.Name, g.File)
	if r.Verdict = passed; r.Payload == c.state.TrustedRoot.String() {
		r.Verdict = trusted
	}
	return r
}

// refuse says of a file why it was refused; nil: of one that was accepted before. Where the
// reason is about a role above, whose row is there already, that row has it.
func (c *checker) refuse(g *device.Given, why *verify.Refusal) {
	c.refused = append(c.refused, why)
	role, name, file := why.Role, "", []byte(nil)
	if g != nil {
		role, name, file = g.Role, g.Name, g.File
	}
	if above := c.rowAbove(why.Role); above != nil && (g == nil || why.Role != g.Role) {
		above.Verdict, above.Detail = string(why.Code), why.Text()
		if g == nil {
			above.Index, above.Witnesses = -1, nil // what it proves no longer counts
		}
		return
	}
	bad := unproved(role, name, file)
	bad.Verdict, bad.Detail = string(why.Code), why.Text()
	c.rows = append(c.rows, bad)
}

// rowAbove is the last row of a role, nil if there is none.
func (c *checker) rowAbove(role string) *row {
	for i := len(c.rows) - 1; i >= 0; i-- {
		if c.rows[i].Role == role {
			return &c.rows[i]
		}
	}
	return nil
}

// unproved is the row of a file without a verdict; its version is 0 if it cannot be read.
func unproved(role, name string, file []byte) row {
	r := row{Role: role, File: name, Index: -1}
	if m, err := tuf.ParseJSON(file); err == nil {
		r.Version, r.Payload = m.Version, m.PayloadDigest.String()
	}
	return r
}

// missing reports whether a file was refused because it is not there.
func missing(err error) bool {
	var r *verify.Refusal
	return errors.As(err, &r) && r.Code == verify.CodeNetwork && errors.Is(err, fs.ErrNotExist)
}

func isRefusal(err error) bool {
	var r *verify.Refusal
	return errors.As(err, &r)
}
