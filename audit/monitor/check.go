package monitor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"github.com/tuflog/tuflog/audit/state"
)

// ConfigCheck is what is said of a configuration.
type ConfigCheck struct {
	Logs  []LogCheck `json:"logs"`
	Wrong []string   `json:"wrong"` // faults: they begin with the key
	Notes []string   `json:"notes"` // what could not be checked
}

// LogCheck is what is said of a log of a configuration.
type LogCheck struct {
	Name      string `json:"name"`
	URL       string `json:"url"`       // without a password
	Witnesses int    `json:"witnesses"` // of its policy
	Asked     int    `json:"asked"`     // of them, those with a URL
	Judged    int64  `json:"judged"`    // leaves in its state
	Findings  int    `json:"findings"`  // in its state, those that are gone included
}

// CheckConfig tests a configuration against what its directory has. Nothing is fetched or
// written, and a monitor may be running. The error means that it cannot be used.
func CheckConfig(ctx context.Context, cfg *Config) (*ConfigCheck, error) {
	m := &Monitor{opts: Options{Logger: slog.New(slog.DiscardHandler), Now: time.Now, Client: http.DefaultClient}, cfg: cfg, dir: cfg.Dir}
	followers, err := m.open(cfg)
	if err != nil {
		return nil, err
	}
	c := &ConfigCheck{Logs: []LogCheck{}, Wrong: []string{}, Notes: []string{}}
	for i, f := range followers {
		if err := c.log(ctx, i, f); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// log looks at a log and its state.
func (c *ConfigCheck) log(ctx context.Context, i int, f *follower) error {
	said := LogCheck{Name: f.log.Name, URL: f.status.URL, Witnesses: len(f.policy.Witnesses)}
	for _, w := range f.witnesses {
		if w.url != "" {
			said.Asked += len(w.keys)
		}
	}
	if said.Asked == 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("log[%d] %s: its policy names no URL of a witness: a log that shows its witnesses another history than this monitor is not found", i, f.log.Name))
	}
	view, err := state.OpenView(ctx, StateDir(f.m.dir, f.log.Name))
	if errors.Is(err, fs.ErrNotExist) {
		c.Notes = append(c.Notes, fmt.Sprintf("log[%d] %s: it has not been followed yet: its repositories, and what rules match, are not known", i, f.log.Name))
		c.Logs = append(c.Logs, said)
		return nil
	}
	if err != nil {
		return fmt.Errorf("log[%d] %s: %w", i, f.log.Name, err)
	}
	err = view.At(ctx, func(kept *state.Reader) error {
		said.Judged = kept.Size()
		err := kept.Findings(ctx, true, func(state.Finding) error {
			said.Findings++
			return nil
		})
		for j, r := range f.log.Repositories {
			n := 0
			err = errors.Join(err, kept.Repositories(ctx, r.ID, func(state.Repository) error {
				n++
				return nil
			}))
			switch {
			case n == 0:
				c.Wrong = append(c.Wrong, fmt.Sprintf("log[%d].repository[%d].id: the log %s has no repository whose id begins with %s, in %d leaves", i, j, f.log.Name, r.ID, said.Judged))
			case n > 1:
				c.Wrong = append(c.Wrong, fmt.Sprintf("log[%d].repository[%d].id: %s is the beginning of %d ids in the log %s: give more of it", i, j, r.ID, n, f.log.Name))
			}
		}
		return err
	})
	c.Logs = append(c.Logs, said)
	if err = errors.Join(err, view.Close()); err != nil {
		return fmt.Errorf("log[%d] %s: %w", i, f.log.Name, err)
	}
	return nil
}
