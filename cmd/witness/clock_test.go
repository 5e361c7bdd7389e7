package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/client"
	"github.com/tuflog/tuflog/witness/sqlite"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

// inState changes the state of a witness that does not serve.
func inState(t *testing.T, dir string, change func(*sqlite.Store) error) {
	t.Helper()
	s, err := sqlite.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(change(s), s.Close()); err != nil {
		t.Fatal(err)
	}
}

// cosignedAt returns when the next entry of a log was cosigned.
func (p *serving) cosignedAt(log *witnesstest.Log, key proofs.Key) (int64, error) {
	next := log.Fork()
	next.Grow(1, "")
	r := next.Request(log.Size())
	sigs, err := p.client(key).AddCheckpoint(p.t.Context(), r)
	if err != nil {
		return 0, err
	}
	log.Grow(1, "")
	note, err := proofs.ParseNote(r.Checkpoint)
	if err != nil {
		return 0, err
	}
	note.Signatures = sigs
	times, err := note.VerifiedBy(key)
	if err != nil {
		return 0, err
	}
	return times[0], nil
}

// mustStop expects that the witness cosigns nothing, and says why wherever one looks.
func (p *serving) mustStop(dir, why string, log *witnesstest.Log, key proofs.Key) {
	p.t.Helper()
	t := p.t.(*testing.T)
	var status *client.StatusError
	if _, err := p.cosignedAt(log, key); !errors.As(err, &status) || status.Code != http.StatusServiceUnavailable || !strings.Contains(err.Error(), why) {
		t.Errorf("add-checkpoint: %v", err)
	}
	if code, body := get(t, p.URL+"/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, why) {
		t.Errorf("/readyz: %d %q", code, body)
	}
	if _, body := get(t, p.URL+"/"); !strings.Contains(body, "Nothing is cosigned: "+why) {
		t.Errorf("the status page: %q", body)
	}
	if got := p.latest(log.Key(), key); got.N != log.Size() {
		t.Errorf("the checkpoint cosigned last has size %d", got.N)
	}
	if !strings.Contains(p.Said(), "cosigning is stopped until the operator acts: "+why) {
		t.Errorf("it says %q", p.Said())
	}
	if out := mustFind(t, "clock", "show", "--dir", dir); !strings.Contains(out, "nothing is cosigned") || !strings.Contains(out, why) {
		t.Errorf("clock show: %q", out)
	}
}

// TestClock: a witness whose stored time is ahead of its clock, or whose clock has
// jumped, cosigns nothing until a person accepts the clock.
func TestClock(t *testing.T) {
	dir, key := newWitness(t)
	log := witnesstest.NewLog(t, "log.example")
	mustRun(t, "log", "add", "--dir", dir, log.Key().String())
	if out := mustRun(t, "clock", "show", "--dir", dir); !strings.Contains(out, "the witness cosigns by it") {
		t.Errorf("clock show: %q", out)
	}
	if r := runProgram(t, "clock", "accept", "--dir", dir, "--reason", "none"); r.code != 0 || !strings.Contains(r.stderr, "not in doubt") {
		t.Errorf("clock accept: exit %d, %q", r.code, r.stderr)
	}

	// Its clock was two hours ahead once.
	log.Grow(1, "")
	ahead := time.Now().Add(2 * time.Hour).Unix()
	inState(t, dir, func(s *sqlite.Store) error {
		cp := log.Checkpoint()
		return s.Update(t.Context(), witness.HashOrigin("log.example"), nil, witness.Latest{Tree: cp.Tree, Note: log.Sign(cp), Time: ahead})
	})
	p := serveProgram(t, dir)
	p.mustStop(dir, "the last cosignature has the time "+utc(ahead), log, key)
	mustRefuse(t, `required flag(s) "reason"`, "clock", "accept", "--dir", dir)
	if r := runProgram(t, "clock", "accept", "--dir", dir, "--reason", "two hours can be waited for"); r.code != 0 || !strings.Contains(r.stderr, "repeat it until "+utc(ahead)) {
		t.Errorf("clock accept: exit %d, %q", r.code, r.stderr)
	}
	resumes := func(want func(unix int64) bool) {
		t.Helper()
		eventually(t, func() error {
			at, err := p.cosignedAt(log, key)
			if err == nil && !want(at) {
				t.Errorf("cosigned at %s", utc(at))
			}
			return err
		})
	}
	resumes(func(unix int64) bool { return unix == ahead })
	p.stop()
	p = serveProgram(t, dir)
	resumes(func(unix int64) bool { return unix == ahead })
	p.stop()

	// What a witness writes down when its clock jumps lasts over a start.
	inState(t, dir, func(s *sqlite.Store) error {
		return s.StopClock(t.Context(), witness.ClockStop{Since: ahead, Why: "the clock jumped 9600h0m0s ahead"})
	})
	p = serveProgram(t, dir)
	p.mustStop(dir, "the clock jumped 9600h0m0s ahead", log, key)
	mustRun(t, "clock", "accept", "--dir", dir, "--reason", "it was set right")
	resumes(func(unix int64) bool { return unix == ahead })
	var listed listedClock
	if err := json.Unmarshal([]byte(mustRun(t, "clock", "show", "--dir", dir, "--all", "--json")), &listed); err != nil || listed.Stopped || len(listed.Doubts) != 2 ||
		listed.Doubts[0].Reason != "two hours can be waited for" || listed.Doubts[1].Reason != "it was set right" || listed.Doubts[1].Accepted == "" {
		t.Errorf("clock show says %+v, %v", listed, err)
	}
}
