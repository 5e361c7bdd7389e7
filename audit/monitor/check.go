package monitor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/alert"
	"github.com/tuflog/tuflog/audit/anchored"
	"github.com/tuflog/tuflog/audit/state"
)

// ConfigCheck is what is said of a configuration.
type ConfigCheck struct {
	Logs   []LogCheck   `json:"logs"`
	Routes []RouteCheck `json:"routes"`
	// Anchors are the logs that are anchored, and where.
	Anchors []AnchorCheck `json:"anchors"`
	Wrong   []string      `json:"wrong"` // faults: they begin with the key
	Notes   []string      `json:"notes"` // what could not be checked
}

// AnchorCheck is a log and an instance of Rekor in which it is anchored. That the instance answers is not
// checked.
type AnchorCheck struct {
	Log      string `json:"log"`
	Instance string `json:"instance"`
	Version  int    `json:"version"` // of Rekor
	Origin   string `json:"origin"`  // of the log whose keys they are: the policy may have several
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

// RouteCheck is what a route would have matched of the findings that the states have, those
// that are gone included.
type RouteCheck struct {
	Route   string   `json:"route"`            // 1 for the first of the file; then the default ones
	To      []string `json:"to"`               // empty: nobody
	Digest  string   `json:"digest,omitempty"` // how long events are collected
	Matched int      `json:"matched"`
	Last    string   `json:"last,omitempty"` // the newest of them
	at      int64
}

// CheckConfig tests a configuration against what its directory has. Nothing is fetched or
// written, and a monitor may be running. The error means that it cannot be used.
func CheckConfig(ctx context.Context, cfg *Config) (*ConfigCheck, error) {
	m := &Monitor{opts: Options{Logger: slog.New(slog.DiscardHandler), Now: time.Now, Client: http.DefaultClient}, cfg: cfg, dir: cfg.Dir, comparing: newComparing()}
	followers, err := m.open(cfg)
	if err != nil {
		return nil, err
	}
	c := &ConfigCheck{Logs: []LogCheck{}, Anchors: []AnchorCheck{}, Wrong: []string{}, Notes: []string{}}
	for i, r := range cfg.Alerts.AllRoutes() {
		said := RouteCheck{Route: fmt.Sprint(i + 1), To: r.To}
		if i >= len(cfg.Routes) {
			said.Route = "default, " + strings.Join(r.Classes, ", ")
		}
		if r.Digest > 0 {
			said.Digest = r.Digest.String()
		}
		c.Routes = append(c.Routes, said)
	}
	if len(cfg.To) == 0 {
		c.Notes = append(c.Notes, "to: there is no destination: findings are on the page and in the feeds, and nobody is told")
	}
	if err := cfg.Alerts.CheckSenders(); err != nil {
		return nil, err
	}
	for i, f := range followers {
		if cfg.Cosign != nil && !f.log.Mirror {
			c.Notes = append(c.Notes, fmt.Sprintf("log[%d] %s: its checkpoints are not cosigned: that needs mirror = true", i, f.log.Name))
		}
		for _, instance := range f.unanchored {
			c.Notes = append(c.Notes, fmt.Sprintf("log[%d] %s: it is not anchored in %s: %v", i, f.log.Name, instance, anchored.ErrNoKey))
		}
		for _, k := range f.keepers {
			c.Anchors = append(c.Anchors, AnchorCheck{f.log.Name, k.Status().Instance, k.Status().Version, k.Origin()})
		}
		if err := c.log(ctx, i, f); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// routeRepositories notes ids of a route about this log alone that the log does not have.
func (c *ConfigCheck) routeRepositories(ctx context.Context, kept *state.Reader, j int, r *alert.Route, f *follower) error {
	if len(r.Logs) != 1 || r.Logs[0] != f.log.Name {
		return nil
	}
	for _, id := range r.Repositories {
		if _, named := f.log.Find(id); named {
			continue
		}
		n := 0
		err := kept.Repositories(ctx, id, func(state.Repository) error {
			n++
			return nil
		})
		if err != nil {
			return err
		}
		if n == 0 {
			c.Wrong = append(c.Wrong, fmt.Sprintf("route[%d].repositories: the log %s has no repository %s: it matches nothing", j, f.log.Name, id))
		}
	}
	return nil
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
		err := kept.Findings(ctx, true, func(x state.Finding) error {
			said.Findings++
			found, err := audit.FindingOf(x, 0)
			if err != nil {
				return err
			}
			if n, _ := f.m.cfg.Alerts.Route(f.log.Name, &found); n >= 0 && n < len(c.Routes) {
				r := &c.Routes[n]
				if r.Matched++; found.Time >= r.at {
					r.at, r.Last = found.Time, fmt.Sprintf("%s: %s: %s", f.log.Name, found.Kind, found.Sentence)
				}
			}
			return nil
		})
		for j, r := range f.m.cfg.Routes {
			err = errors.Join(err, c.routeRepositories(ctx, kept, j, &r, f))
		}
		for j, r := range f.log.Repositories {
			n := 0
			err = errors.Join(err, kept.Repositories(ctx, r.ID, func(state.Repository) error {
				n++
				return nil
			}))
			if n == 0 {
				c.Wrong = append(c.Wrong, fmt.Sprintf("log[%d].repository[%d].id: the log %s has no repository %s, in %d leaves", i, j, f.log.Name, r.ID, said.Judged))
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
