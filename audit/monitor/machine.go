package monitor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tuflog/tuflog/audit/alert"
	"github.com/tuflog/tuflog/internal/wait"
)

// This file is about the monitor's own machine: that it cannot work, as with a full disk, is an
// alert, though no finding can be kept then.

const (
	// lookAtMachine is how often the monitor looks whether its machine lets it work, and
	// illFor for how long it does not before somebody is told.
	lookAtMachine = 10 * time.Second
	illFor        = 30 * time.Second
	// sayEvery is how often it is told again.
	sayEvery = 24 * time.Hour
)

// watchMachine tells the destinations if the machine does not let the monitor work.
func (m *Monitor) watchMachine(ctx context.Context) {
	var since, said time.Time
	for wait.For(ctx, lookAtMachine) == nil {
		now, ill := m.opts.Now(), m.ill()
		if ill == nil {
			since = time.Time{}
			continue
		}
		if since.IsZero() || since.After(now) {
			since = now
		}
		if now.Sub(since) < illFor || !said.IsZero() && now.Sub(said) < sayEvery && !said.After(now) {
			continue
		}
		said = now
		text := "This auditor's own machine does not let it work, and what is found meanwhile may not be told. " + strings.Join(ill, ". ") + "."
		if err := m.alert(func(d *alert.Desk) error { return d.Say(ctx, text) }); err != nil && ctx.Err() == nil {
			m.opts.Logger.Error("not everybody was told that this machine does not work", "error", err)
		}
	}
}

// ill says what of the machine does not work; nil: nothing is known.
func (m *Monitor) ill() (list []string) {
	for _, s := range m.Statuses() {
		for _, t := range []struct {
			is   bool
			what string
		}{
			{s.Own, "its state cannot be used: " + s.Trouble},
			{s.Untold != "", "its findings wait: " + s.Untold},
			{s.Mirror != nil && s.Mirror.Full, "its copy does not grow: " + mirrorTrouble(s.Mirror)},
		} {
			if t.is {
				list = append(list, fmt.Sprintf("Log %s: %s", s.Log, t.what))
			}
		}
	}
	if since, err := m.undelivered(); err != nil {
		list = append(list, fmt.Sprintf("Alerts are not delivered since %s: %v", since.UTC().Format(time.RFC3339), err))
	}
	return list
}

func mirrorTrouble(m *Mirror) string {
	if m == nil {
		return ""
	}
	return m.Trouble
}
