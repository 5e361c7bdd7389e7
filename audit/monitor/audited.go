package monitor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/cosign"
	"github.com/tuflog/tuflog/internal/fetch"
)

// This file is about audited cosignatures: the auditor's name under the checkpoints that it
// vouches for, of logs of which it keeps a copy.

// openCosigner opens the cosigner, if one is configured.
func openCosigner(ctx context.Context, cfg *Config, now func() time.Time) (*cosign.Cosigner, error) {
	if cfg.Cosign == nil {
		return nil, nil
	}
	c := *cfg.Cosign
	c.Now = now
	if cfg.URL != "" {
		// A copy of this auditor that answers in its place shows what this one has not signed.
		c.Peers = append(slices.Clip(c.Peers), strings.TrimSuffix(cfg.URL, "/")+cosign.Prefix)
	}
	return cosign.Open(ctx, CosignDir(cfg.Dir), c)
}

// checkOwn refuses policies that cannot be met without this auditor: it cosigns only what is
// published by them.
func (m *Monitor) checkOwn(followers []*follower) error {
	if m.cosigner == nil {
		return nil
	}
	keys := m.cosigner.Keys()
	for i, f := range followers {
		own := map[string]bool{}
		for _, w := range f.policy.Witnesses {
			own[w.Name] = slices.Contains(keys, w.Key)
		}
		if !f.policy.CanBeMetWithout(func(name string) bool { return own[name] }) {
			return fmt.Errorf("log[%d].policy: %s cannot be met without this auditor, which cosigns only what meets it: want the policy by which the log publishes", i, f.log.Policy)
		}
	}
	return nil
}

// cosignEvery is how often the cosigner looks at a log of which nothing is new: what it lacked
// may be there.
const cosignEvery = 30 * time.Second

// cosignDue reports whether the cosigner looks at the log although nothing of it is new.
func (f *follower) cosignDue() bool {
	return f.m.cosigner != nil && f.m.opts.Now().Sub(f.cosigned) >= cosignEvery
}

// cosign asks the cosigner to cosign the newest checkpoint, of which the auditor says this.
func (f *follower) cosign(ctx context.Context, standing *audit.Standing) {
	c := f.m.cosigner
	if c == nil || standing == nil {
		return
	}
	f.cosigned = f.m.opts.Now()
	f.cosignAs(ctx, standing)
}

// cosignAs is cosign for any goroutine.
func (f *follower) cosignAs(ctx context.Context, standing *audit.Standing) {
	c := f.m.cosigner
	if c == nil {
		return
	}
	look := cosign.Look{Log: f.log.Name, URL: f.url, Policy: f.policy, Standing: standing}
	if f.copier != nil {
		look.Mirror = MirrorDir(f.m.dir, f.log.Name)
	}
	if err := c.Step(ctx, look); err != nil && ctx.Err() == nil {
		f.logger.Error("not cosigned", "error", err)
	}
	said, err := c.LogStatus(ctx, f.log.Name)
	if err != nil || said == nil {
		return
	}
	audited := &Audited{Name: f.m.Config().Cosign.Name, Size: max(said.Size, 0), Time: said.Time}
	if audited.Waits = said.Why; said.Stopped() {
		audited.Waits, audited.Stopped = "", said.Why
	}
	f.mu.Lock()
	before := f.status.Audited
	if before == nil || *before != *audited {
		f.status.Audited, f.differs = audited, true
	}
	f.mu.Unlock()
	was := before != nil && before.Stopped != ""
	switch is := said.Stopped(); {
	case is && !was:
		f.logger.Error("audited cosignatures are stopped until a person resumes them", "why", fetch.RedactedText(said.Why), "advice", "auditor cosign status")
	case was && !is:
		f.logger.Info("audited cosignatures are resumed")
	}
}

// errCosigner is wrapped if the cosigner's state has failed: nothing can be cosigned until the
// process has been started again.
var errCosigner = errors.New("the cosigner's state has failed")

// watchCosigner returns the error of a cosigner whose state has failed; nil when ctx ends.
func (m *Monitor) watchCosigner(ctx context.Context) error {
	if m.cosigner == nil {
		<-ctx.Done()
		return nil
	}
	select {
	case <-ctx.Done():
		return nil
	case <-m.cosigner.Failed():
		return fmt.Errorf("%w: %w", errCosigner, m.cosigner.Err())
	}
}
