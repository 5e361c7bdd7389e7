package conformance

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
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
	a, err := s.do(s.cfg.HTTP, http.MethodGet, s.monitorURL(s.cfg.Log.Key().Name()), nil)
	if err == nil && a.status == http.StatusOK {
		return nil
	}
	s.cfg.Monitoring = ""
	return skipped{"no monitoring prefix was given, and there is none at the submission prefix"}
}

// monitored has a new checkpoint cosigned and fetches it from the monitoring
// prefix.
func (s *session) monitored() (proofs.Note, string, error) {
	if err := s.monitoring(); err != nil {
		return proofs.Note{}, "", err
	}
	if err := s.advance(1); err != nil {
		return proofs.Note{}, "", err
	}
	text, err := s.text(s.tree, s.size)
	if err != nil {
		return proofs.Note{}, "", err
	}
	for began := time.Now(); ; {
		note, err := s.fetchMonitored(text)
		if err == nil || time.Since(began) > monitorWait || s.ctx.Err() != nil {
			return note, text, err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-s.ctx.Done():
		}
	}
}

func (s *session) fetchMonitored(text string) (proofs.Note, error) {
	a, err := s.do(s.cfg.HTTP, http.MethodGet, s.monitorURL(s.cfg.Log.Key().Name()), nil)
	if err != nil {
		return proofs.Note{}, err
	}
	if a.status != http.StatusOK {
		return proofs.Note{}, fmt.Errorf("%v; want 200", a)
	}
	note, err := proofs.ParseNote([]byte(a.body))
	if err == nil && note.Text != text {
		err = errors.New("it is not the checkpoint cosigned last: " + a.String())
	}
	return note, err
}
