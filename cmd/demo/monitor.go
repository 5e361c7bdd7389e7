package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tuflog/tuflog/bench/process"
)

// watcher is a monitor that follows the log, and what it has told so far.
type watcher struct {
	service *service
	config  string // the configuration file
	alerts  string // the file in which it tells
	site    site   // what it compares with the log; not set: nothing
}

// alerted is a line of the file of alerts, as far as the demo reads it.
type alerted struct {
	Type    string    `json:"type"`
	Time    time.Time `json:"timestamp"`
	Command string    `json:"command"`
	Link    string    `json:"link"`
	Finding struct {
		Class    string `json:"class"`
		Kind     string `json:"kind"`
		Index    int64  `json:"index"`
		Sentence string `json:"sentence"`
	} `json:"finding"`
}

// startMonitor starts a monitor in a directory. With a repository it also compares what a
// site serves of it.
func (w *world) startMonitor(ctx context.Context, dir, repository string, live site) (*watcher, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	m := &watcher{config: filepath.Join(dir, "monitor.toml"), alerts: filepath.Join(dir, "alerts.jsonl"), site: live}
	text := fmt.Sprintf(`dir = %q
listen = "127.0.0.1:0"

[[log]]
name = "demo"
policy = %q
interval = "500ms"
mirror = true
`, filepath.Join(dir, "state"), w.policy)
	if repository != "" {
		text += fmt.Sprintf(`
  [[log.repository]]
  id = %q
  name = "vendor"
  urls = [%q]
  every = "1s"
`, repository, live.metadata)
	}
	text += fmt.Sprintf(`
[[route]]
classes = ["tampering", "equivocation", "unexpected"]
to = ["file"]

[to.file]
type = "jsonl"
path = %q
`, m.alerts)
	if err := os.WriteFile(m.config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	var err error
	m.service, err = w.p.start(ctx, "monitor", "auditor", "monitor", "run", "--config", m.config)
	return m, err
}

// told returns the alerts so far. Of what only deserves a look there are lines, too.
func (m *watcher) told() (list []alerted, err error) {
	b, err := os.ReadFile(m.alerts)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var a alerted
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			return nil, fmt.Errorf("%s: %w", m.alerts, err)
		}
		if a.Type == "finding.opened" && a.Finding.Class != "hygiene" {
			list = append(list, a)
		}
	}
	return list, lines.Err()
}

// tells waits for an alert of a kind and returns it.
func (m *watcher) tells(ctx context.Context, kind string) (alerted, error) {
	var a alerted
	err := process.Eventually(ctx, "the monitor's alert of "+kind, process.Patience, func() bool {
		list, err := m.told()
		i := slices.IndexFunc(list, func(a alerted) bool { return a.Finding.Kind == kind })
		if err != nil || i < 0 {
			return false
		}
		a = list[i]
		return true
	})
	return a, err
}

// watch starts a monitor, as a researcher or the vendor runs one.
func (s *story) watch(ctx context.Context) error {
	step := s.t.step("researcher", "watches the log, its witnesses and a mirror of the vendor's (auditor monitor run)")
	folder, err := s.vendor.published()
	if err != nil {
		return err
	}
	live, err := s.mirror.publish("watched", folder, s.vendor.TargetFiles())
	if err != nil {
		return err
	}
	if s.monitor, err = s.w.startMonitor(ctx, filepath.Join(s.dir, "monitor"), s.repository, live); err != nil {
		return err
	}
	step.outcome("its pages are at %s", s.monitor.service.url)
	return nil
}

// alerts waits until the monitor has told of an attack, as the number of it says.
func (s *story) alerts(ctx context.Context, number int, kind string, since time.Time) error {
	step := s.t.step("monitor", "notices, and alerts")
	a, err := s.monitor.tells(ctx, kind)
	if err != nil {
		return err
	}
	list, err := s.monitor.told()
	if err != nil {
		return err
	}
	if len(list) != number {
		return fmt.Errorf("the monitor has told of %d findings, expected %d: %+v", len(list), number, list)
	}
	step.below("ALERT %s, %.1fs after the attack: %s", a.Finding.Class, max(0, a.Time.Sub(since)).Seconds(), a.Finding.Sentence)
	return nil
}

// servesVictims has the watched mirror serve the thief's release until the monitor has seen it.
func (s *story) servesVictims(ctx context.Context, metadata files) error {
	since := time.Now()
	if _, err := s.mirror.publish("watched", metadata, s.vendor.TargetFiles()); err != nil {
		return err
	}
	if err := s.alerts(ctx, 1, "live-unlogged", since); err != nil {
		return err
	}
	_, err := s.mirror.publish("watched", s.newest, s.vendor.TargetFiles())
	return err
}
