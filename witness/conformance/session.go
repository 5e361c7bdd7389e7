package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/client"
)

// session is a run under way.
type session struct {
	ctx context.Context
	cfg Config

	tree *tree
	// size of the checkpoint that was cosigned last; -1: none, as far as known.
	size int64
	// first is what the witness answered to an old size that a new log does not
	// have, where it had cosigned nothing of the log when the run began.
	first *answer
	// fresh says that it has cosigned nothing of the log still, as far as known.
	fresh bool
	// others are sessions with the logs that are there for first contact.
	others []*session
	// forks are the other histories that a case sent.
	forks []*tree
	// lost is why the cases that are left cannot be run.
	lost    string
	keepErr error

	// What cosignatures were seen: the last time by each key, and the first
	// time that went backwards.
	times    map[string]int64
	backward string
}

func newSession(ctx context.Context, cfg Config) (*session, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := &session{ctx: ctx, cfg: cfg, tree: newTree(cfg.Branches), size: -1, times: make(map[string]int64)}
	for _, log := range cfg.First {
		cfg.Log = log
		s.others = append(s.others, &session{ctx: ctx, cfg: cfg, tree: newTree(nil), size: -1, fresh: true, times: make(map[string]int64)})
	}
	return s, nil
}

func (s *session) close() { s.cfg.HTTP.CloseIdleConnections() }

// text returns the text of the checkpoint of a tree at a size.
func (s *session) text(t *tree, n int64) (string, error) {
	at, err := t.at(n)
	return s.textOf(at), err
}

func (s *session) textOf(t proofs.Tree, extensions ...string) string {
	return proofs.Checkpoint{Origin: s.cfg.Log.Key().Name(), Tree: t, Extensions: extensions}.String()
}

// sign returns a note signed by the log.
func (s *session) sign(text string) ([]byte, error) {
	sig, err := s.cfg.Log.Sign(text, 0)
	if err != nil {
		return nil, err
	}
	return proofs.Note{Text: text, Signatures: []proofs.Signature{sig}}.Marshal(), nil
}

// request returns the request that a log would send to get from one size to
// another.
func (s *session) request(t *tree, older, newer int64) (client.Request, error) {
	proof, err := t.proof(older, newer)
	if err != nil {
		return client.Request{}, err
	}
	text, err := s.text(t, newer)
	if err != nil {
		return client.Request{}, err
	}
	note, err := s.sign(text)
	return client.Request{OldSize: older, Proof: proof, Checkpoint: note}, err
}

// cosigned checks that an answer is a 200 with cosignatures that verify over a
// text. It overlooks lines that are none: another case does not.
func (s *session) cosigned(a answer, text string) ([]proofs.Signature, error) {
	if a.status != http.StatusOK {
		return nil, fmt.Errorf("%v; want 200", a)
	}
	sigs := a.signatures()
	note := proofs.Note{Text: text, Signatures: sigs}
	verified := 0
	for _, k := range s.cfg.Keys {
		times, err := note.VerifiedBy(k)
		if errors.Is(err, proofs.ErrNoSignature) {
			continue
		} else if err != nil {
			return nil, broken{ruleCosigned, fmt.Errorf("200, but cosignature by %s: %w", k.Name(), err)}
		}
		verified += len(times)
		s.observe(k, times)
	}
	if verified == 0 {
		return nil, broken{ruleCosigned, fmt.Errorf("200 without a cosignature by a key given: %v", a)}
	}
	return sigs, nil
}

// observe notes the times of cosignatures in the order of the answers.
func (s *session) observe(k proofs.Key, times []int64) {
	for _, t := range times {
		if last := s.times[k.String()]; t < last && s.backward == "" {
			s.backward = fmt.Sprintf("%s signed with time %d after %d", k.Name(), t, last)
		}
		s.times[k.String()] = t
	}
}

// accept sends a request that must be cosigned, for the tree's size newer, and
// keeps what the witness has now.
func (s *session) accept(body []byte, text string, newer int64) ([]proofs.Signature, error) {
	a, err := s.post(body)
	if err != nil {
		return nil, err
	}
	sigs, err := s.cosigned(a, text)
	if err != nil {
		return nil, err
	}
	s.size = newer
	return sigs, nil
}

// advance gets a checkpoint cosigned that is k entries larger.
func (s *session) advance(k int64) error {
	newer := max(s.size, 0) + k
	r, err := s.request(s.tree, max(s.size, 0), newer)
	if err != nil {
		return err
	}
	text, err := s.text(s.tree, newer)
	if err != nil {
		return err
	}
	_, err = s.accept(r.Marshal(), text, newer)
	return err
}

// unchanged checks that the witness still has what it cosigned last.
func (s *session) unchanged() error {
	if s.size < 0 {
		return nil // nothing that could be asked for without changing it
	}
	ok, err := s.holds(s.tree, s.size)
	if err == nil && !ok {
		err = broken{ruleGrowth, fmt.Errorf("refused, but the checkpoint of size %d cosigned last is not cosigned again", s.size)}
	}
	return err
}

// holds says whether the witness cosigned a tree last, at that size.
func (s *session) holds(t *tree, n int64) (bool, error) {
	r, err := s.request(t, n, n)
	if err != nil {
		return false, err
	}
	a, err := s.post(r.Marshal())
	if err != nil {
		return false, err
	}
	text, err := s.text(t, n)
	if err != nil {
		return false, err
	}
	_, err = s.cosigned(a, text)
	return err == nil, nil
}

// fork returns another history from size n on. If the witness is taken in by
// it, the run goes on there.
func (s *session) fork(n int64) (*tree, error) {
	f, err := s.tree.fork(n)
	if err == nil {
		s.forks = append(s.forks, f)
	}
	return f, err
}
