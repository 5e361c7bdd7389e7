package monitor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/anchored"
)

// maxInstances is how many instances of Rekor a configuration may name.
const maxInstances = 16

// AnchorsDir returns the directory with what was anchored, in a monitor's directory.
func AnchorsDir(dir string) string { return filepath.Join(dir, "anchors") }

// fillAnchors tells each log of the instances in which it is to be anchored.
func (c *Config) fillAnchors() {
	for _, name := range slices.Sorted(maps.Keys(c.Anchors)) {
		a := c.Anchors[name]
		a.Name = name
		c.Anchors[name] = a
		if a.URL == "" {
			continue
		}
		for i := range c.Logs {
			if len(a.Logs) == 0 || slices.Contains(a.Logs, c.Logs[i].Name) {
				c.Logs[i].anchors = append(c.Logs[i].anchors, a)
			}
		}
	}
}

// checkAnchors returns what is wrong with the instances. One without a URL does nothing.
func (c *Config) checkAnchors() error {
	if len(c.Anchors) > maxInstances {
		return fmt.Errorf("anchor: %d instances, more than %d", len(c.Anchors), maxInstances)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Anchors)) {
		a, at := c.Anchors[name], "anchor."+name
		if a.URL == "" {
			continue
		}
		for key, url := range map[string]string{"url": a.URL, "tiles": a.Tiles} {
			if url == "" {
				continue
			}
			if err := checkURL(url); err != nil {
				return fmt.Errorf("%s.%s: %w", at, key, err)
			}
		}
		a.Name = name
		if err := a.Check(); err != nil {
			return fmt.Errorf("%s.%w", at, err)
		}
		for _, log := range a.Logs {
			if !slices.ContainsFunc(c.Logs, func(l Log) bool { return l.Name == log }) {
				return fmt.Errorf("%s.logs: no [[log]] has the name %q", at, log)
			}
		}
	}
	return nil
}

// newKeepers returns what anchors the log, and the names of the instances that were not asked to
// anchor this one and cannot: it does not sign with ECDSA. There is one for each instance and each log of
// the policy that does, as for one that was renamed: only that of the log which is shown does something.
func (f *follower) newKeepers() (keepers []*anchored.Keeper, unable []string, err error) {
	var origins []string
	for _, o := range f.origins() {
		if _, err := anchored.LogKeys(f.policy, o); err == nil {
			origins = append(origins, o)
		}
	}
	for _, a := range f.log.anchors {
		if len(origins) == 0 && len(a.Logs) == 0 {
			unable = append(unable, a.Name)
			continue
		}
		if len(origins) == 0 {
			return nil, nil, fmt.Errorf("anchor.%s.logs: %s: %w", a.Name, f.log.Name, anchored.ErrNoKey)
		}
		for _, origin := range origins {
			k, err := anchored.NewKeeper(anchored.KeeperConfig{
				Config: a, Dir: AnchorsDir(f.m.dir), Policy: f.policy, Origin: origin, Newest: f.newest,
				State: StateDir(f.m.dir, f.log.Name), Client: f.m.opts.Client, Now: f.m.opts.Now,
			})
			if err != nil {
				return nil, nil, fmt.Errorf("anchor.%s.%w", a.Name, err)
			}
			keepers = append(keepers, k)
		}
	}
	return keepers, unable, nil
}

// activeKeepers returns one for each instance: that of the log which is shown. If that one does not sign
// with ECDSA, it is another one, which says so.
func (f *follower) activeKeepers() (active []*anchored.Keeper) {
	for _, k := range f.keepers {
		n := len(active)
		if n == 0 || active[n-1].Status().Instance != k.Status().Instance {
			active = append(active, k)
		} else if k.Origin() == f.origin() {
			active[n-1] = k
		}
	}
	return active
}

// newest returns the newest checkpoint that was verified, and how many leaves have been judged.
func (f *follower) newest() ([]byte, int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.status.Checkpoint == nil {
		return nil, 0
	}
	return []byte(f.status.Checkpoint.Note), f.status.Judged
}

// anchorOnce anchors and audits once, in all instances at the same time, and waits for that.
func (f *follower) anchorOnce(ctx context.Context) {
	var running sync.WaitGroup
	for _, k := range f.keepers {
		running.Go(func() { k.Once(ctx) })
	}
	running.Wait()
}

// takeAnchors takes over what the keepers have found, and notes how they are.
func (f *follower) takeAnchors(ctx context.Context) error {
	if len(f.keepers) == 0 {
		return nil
	}
	var list []anchored.Status
	for _, k := range f.activeKeepers() {
		s := k.Status()
		list = append(list, s)
		found, strange, ok := k.Take()
		if !ok {
			continue
		}
		for _, note := range strange {
			if err := f.a.Offer(ctx, note); errors.Is(err, audit.ErrNotOffered) {
				f.logger.Warn("a kept receipt has what cannot be compared", "instance", s.Instance, "error", err)
			} else if err != nil {
				return err
			}
		}
		if err := f.a.Watched(ctx, anchored.WatchedName(s.Instance), found); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.differs = f.differs || !slices.Equal(f.status.Anchors, list)
	f.status.Anchors = list
	return nil
}
