package audit_test

import (
	"context"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/tuf"
)

// slowBlobs is a source that serves blobs only when it may.
type slowBlobs struct {
	audit.Source
	serve chan struct{} // closed: now
}

func (s slowBlobs) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	select {
	case <-s.serve:
		return s.Source.Blob(ctx, sum)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// What was found is known, and in the state, before the next entry has been judged, however long
// that takes.
func TestFoundInTheMiddleOfAStep(t *testing.T) {
	log := audittest.New(t)
	log.Append([]byte("no leaf"))
	v, err := testvendor.New(time.Now().AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	_, root := v.File("root")
	log.Register(root)
	log.Publish(2)
	src := slowBlobs{log.Source(), make(chan struct{})}
	var a *audit.Auditor
	times := 0
	a = newAuditor(t, log, func(c *audit.Config) {
		c.Source = src
		c.Found = func(ctx context.Context) {
			if times++; times > 1 {
				return
			}
			list, err := audit.KeptFindings(ctx, a.State(), false)
			if err != nil || len(list) != 1 || list[0].Kind != audit.BadLeaf {
				t.Errorf("in the state: %v, %v", list, err)
			}
			close(src.serve) // not before
		}
	})
	step, err := a.Step(t.Context())
	if err != nil || step.To != 2 || times != 1 {
		t.Errorf("judged to %d, told %d times: %v", step.To, times, err)
	}
}
