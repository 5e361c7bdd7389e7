package conformance

import (
	"fmt"
	"net/http"
)

// resync finds out what the witness has after a case that failed.
func (s *session) resync() {
	if err := s.find(); err != nil && s.ctx.Err() == nil {
		s.lost = "the size that the witness has cosigned is unknown since a case failed: " + err.Error()
	}
}

func (s *session) find() error {
	if s.size < 0 {
		return nil
	}
	if ok, err := s.holds(s.tree, s.size); err != nil || ok {
		return err
	}
	// It has something else. A proof from an impossible size makes it say how
	// large.
	r, err := s.request(s.tree, s.size+1, s.size+1)
	if err != nil {
		return err
	}
	a, err := s.post(r.Marshal())
	if err != nil {
		return err
	}
	n := s.size + 1
	if a.status != http.StatusOK {
		var ok bool
		if n, ok = a.size(); !ok || n > 2*maxSize {
			return fmt.Errorf("%v", a)
		}
	}
	for _, t := range append([]*tree{s.tree}, s.forks...) {
		if ok, err := s.holds(t, n); err != nil {
			return err
		} else if ok {
			return s.adopt(t, n)
		}
	}
	return fmt.Errorf("it has size %d, and not a tree that was sent", n)
}

// adopt goes on with what the witness has.
func (s *session) adopt(t *tree, n int64) error {
	changed := t != s.tree
	s.tree, s.size = t, n
	if changed && s.cfg.Keep != nil {
		if err := s.cfg.Keep(t.branches(n)); err != nil {
			s.keepErr = fmt.Errorf("keep the branches: %w", err)
		}
	}
	return nil
}

// The sizes of the first request. No run ends at the older one.
const firstOld, firstNew = 7, 10

// discover finds out how much of the log the witness has cosigned, by an old size that
// neither a new log has nor one that an earlier run left.
func (s *session) discover() error {
	r, err := s.request(s.tree, firstOld, firstNew)
	if err != nil {
		return err
	}
	a, err := s.post(r.Marshal())
	if err != nil {
		return err
	}
	switch size, ok := a.size(); {
	case ok && size > 0:
		return s.join(size)
	case a.status == http.StatusNotFound:
		return fmt.Errorf("the witness does not know the log %s, or cannot be reached: %v; add the key %s to it", s.cfg.Log.Key().Name(), a, s.cfg.Log.Key())
	case a.status == http.StatusForbidden:
		return fmt.Errorf("the witness does not accept the log's signature: %v; add the key %s to it", a, s.cfg.Log.Key())
	case a.status == http.StatusOK:
		s.first, s.size = &a, firstNew
		return nil
	case !ok && a.status != http.StatusUnprocessableEntity && a.status != http.StatusBadRequest && a.status != http.StatusConflict:
		return fmt.Errorf("the witness does not say how much of the log it has cosigned: %v", a)
	case !ok:
		size, err := s.discoverSize()
		if err != nil {
			return err
		}
		if size > 0 {
			return s.join(size)
		}
	}
	s.first, s.fresh = &a, true
	return nil
}

// discoverSize asks a witness that does not say a size at once, with a request that
// every log begins with: 0 if it does not say one still.
func (s *session) discoverSize() (int64, error) {
	r, err := s.request(s.tree, 0, 0)
	if err != nil {
		return 0, err
	}
	a, err := s.post(r.Marshal())
	if err != nil {
		return 0, err
	}
	if size, ok := a.size(); ok {
		return size, nil
	}
	return 0, nil
}

// join goes on where an earlier run ended.
func (s *session) join(size int64) error {
	if size > maxSize {
		return fmt.Errorf("the witness has cosigned this log at size %d, more than the suite makes: use a new log key", size)
	}
	ok, err := s.holds(s.tree, size)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("the witness has cosigned this log at size %d, but not the suite's tree: use a new log key", size)
	}
	s.size = size
	return nil
}
