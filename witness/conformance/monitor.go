package conformance

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	"github.com/tuflog/tuflog/proofs"
)

// monitorURL is where the checkpoint of a log is, going by its origin.
func (s *session) monitorURL(origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return s.cfg.Monitoring + "/" + hex.EncodeToString(sum[:]) + "/checkpoint"
}

// monitoring makes sure that there is a monitoring prefix to look at. Where none
// is given, the submission prefix may be one.
func (s *session) monitoring() error {
	if s.cfg.Spec == V1 {
		return skipped{"version 1.0.0 has no monitoring prefix"}
	}
	if err := s.room(1); err != nil {
		return err
	}
	if s.cfg.Monitoring != "" {
		return nil
	}
	s.cfg.Monitoring = s.cfg.URL
	if _, _, err := s.monitored(); err == nil {
		return nil
	}
	s.cfg.Monitoring = ""
	return skipped{"no monitoring prefix was given, and the submission prefix does not serve checkpoints"}
}

// monitorsLast has a new checkpoint cosigned and looks for it at the monitoring prefix.
func (s *session) monitorsLast() error {
	if err := s.monitoring(); err != nil {
		return err
	}
	if err := s.advance(1); err != nil {
		return err
	}
	for began := time.Now(); ; {
		_, tree, err := s.monitored()
		switch waited := time.Since(began); {
		case err != nil || tree.N == s.size || s.ctx.Err() != nil:
			return err
		case waited > monitorWait:
			return noted{fmt.Sprintf("size %d is served, and %d was cosigned %v before: an hour is allowed", tree.N, s.size, waited.Round(time.Second))}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-s.ctx.Done():
		}
	}
}

// monitored fetches what the monitoring prefix has of the log, new or not.
func (s *session) monitored() (note proofs.Note, tree proofs.Tree, err error) {
	if err := s.monitoring(); err != nil {
		return note, tree, err
	}
	a, err := s.do(s.cfg.HTTP, http.MethodGet, s.monitorURL(s.cfg.Log.Key().Name()), nil)
	if err != nil {
		return note, tree, err
	}
	if a.status != http.StatusOK {
		return note, tree, fmt.Errorf("%v; want 200", a)
	}
	if note, err = proofs.ParseNote([]byte(a.body)); err != nil {
		return note, tree, err
	}
	cp, err := proofs.ParseCheckpoint(note.Text)
	if err == nil && cp.Origin != s.cfg.Log.Key().Name() {
		err = fmt.Errorf("a checkpoint of %q", cp.Origin)
	}
	return note, cp.Tree, err
}
