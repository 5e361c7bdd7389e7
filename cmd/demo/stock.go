package main

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// stockClient is the program of a client that knows no log: go-tuf's own, as its authors
// publish it.
const (
	stockClient  = "tuf-client"
	stockPackage = "github.com/theupdateframework/go-tuf/v2/examples/cli/" + stockClient
)

// stock is a machine that updates itself with that client, which keeps all in the folder that
// it runs in.
type stock struct {
	w   *world
	dir string
}

// newStock makes a machine that trusts a root, as if it came with it.
func (w *world) newStock(ctx context.Context, dir string, from site, root []byte) (*stock, error) {
	c := &stock{w: w, dir: dir}
	if err := writeFiles(dir, files{"root.json": root}); err != nil {
		return nil, err
	}
	o, err := w.p.runIn(ctx, dir, stockClient, "init", "--url", from.metadata, "--file", "root.json")
	if err != nil {
		return nil, err
	}
	if o.code != 0 {
		return nil, o.unexpected("0")
	}
	return c, nil
}

// get returns the arguments that update from a site and fetch a target.
func (c *stock) get(s site, target string) []string {
	return []string{"get", "--url", s.metadata, "--turl", s.targets, target}
}

func (c *stock) downloads() string { return filepath.Join(c.dir, "tuf_download") }

// installs has the client install a target, which must succeed and leave the content given.
func (c *stock) installs(ctx context.Context, s site, target string, want []byte) error {
	o, err := c.w.p.runIn(ctx, c.dir, stockClient, c.get(s, target)...)
	if err != nil {
		return err
	}
	if o.code != 0 {
		return o.unexpected("0")
	}
	got, err := readFiles(c.downloads())
	if err != nil {
		return err
	}
	if string(got[target]) != string(want) {
		return fmt.Errorf("%s installed other bytes than the vendor released as %s", o.command, target)
	}
	return nil
}

var stockError = regexp.MustCompile(`(?m)^Error: (.*)$`)

// isRefused has the client try to install a target, which must be refused in the words given,
// and must leave nothing installed. It returns what the client says.
func (c *stock) isRefused(ctx context.Context, s site, target, words string) (string, error) {
	before, err := fingerprint(c.downloads())
	if err != nil {
		return "", err
	}
	o, err := c.w.p.runIn(ctx, c.dir, stockClient, c.get(s, target)...)
	if err != nil {
		return "", err
	}
	if o.code != 1 {
		return "", o.unexpected("1")
	}
	said := stockError.FindStringSubmatch(o.stderr)
	if said == nil || !strings.Contains(said[1], words) {
		return "", o.unexpected("1, and to say " + words)
	}
	after, err := fingerprint(c.downloads())
	if err != nil {
		return "", err
	}
	if after != before {
		return "", fmt.Errorf("%s\nrefused, but changed the installed files", o.command)
	}
	return said[1], nil
}
