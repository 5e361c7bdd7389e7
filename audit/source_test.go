package audit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/tuf"
)

func TestRunFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHistory(t)
		a := newAuditor(t, h.Log, func(c *audit.Config) { c.Interval = time.Hour })
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		start := time.Now()
		steps := 0
		err := a.Run(ctx, func(result audit.StepResult, err error) error {
			must(t, err)
			steps++
			if result.To != h.Size() {
				t.Errorf("step %d judged to %d of %d", steps, result.To, h.Size())
			}
			if steps == 3 {
				cancel()
			}
			h.release(tuf.RoleTargets, "app.bin", time.Now().String())
			h.Publish(2)
			return nil
		})
		if !errors.Is(err, context.Canceled) || steps != 3 || time.Since(start) != 2*time.Hour {
			t.Errorf("%d steps in %v: %v", steps, time.Since(start), err)
		}
	})
}

// slow is a log that takes its time over each file.
type slow struct {
	audit.Source
	pause time.Duration
}

func (s slow) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(s.pause):
	}
	return s.Source.Blob(ctx, sum)
}

// A log that takes its time over each file does not keep its auditor from looking at what
// it signs meanwhile.
func TestRunFollowsASlowLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHistory(t)
		fork := h.clone()
		h.release(tuf.RoleTargets, "app.bin", "five")
		fork.release(tuf.RoleTargets, "app.bin", "five, for one customer")
		for i := range 20 {
			h.release(tuf.RoleTargets, "app.bin", fmt.Sprint("more ", i))
		}
		h.Publish(2)
		a := newAuditor(t, h.Log, func(c *audit.Config) { c.Source = slow{h.Log.Source(), 50 * time.Second} })
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		last, forkAt, judged, steps := time.Now(), int64(0), int64(0), 0
		err := a.Run(ctx, func(result audit.StepResult, err error) error {
			must(t, err)
			if since := time.Since(last); since > 3*time.Minute || result.From != judged || result.To <= judged || result.Waiting != h.Size()-result.To {
				t.Errorf("after %v: judged %d to %d of %d, %d wait", since, result.From, result.To, h.Size(), result.Waiting)
			}
			last, judged = time.Now(), result.To
			if strings.Contains(kinds(result.Findings), "fork") {
				forkAt = judged
			}
			if steps++; steps == 1 {
				h.Serve(fork.Checkpoint(fork.Size(), 2))
			}
			if result.Waiting == 0 || steps > 100 {
				cancel()
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) || steps < 3 || forkAt == 0 || forkAt > h.Size()/2 || judged != h.Size() {
			t.Errorf("%d steps, %d of %d judged, the fork was seen at %d: %v", steps, judged, h.Size(), forkAt, err)
		}
	})
}
