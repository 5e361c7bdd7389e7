package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/client"
)

const (
	requestTimeout = 20 * time.Second
	maxAnswer      = 256 << 10 // bytes read of an answer
	shownAnswer    = 120       // bytes shown of one
	// A witness that limits its clients, or is busy, is asked again: after the
	// time that it says, but no later than maxWait, or else after firstWait, doubled
	// each time. One that does not say that it is asked too often may mean it, and is
	// given up soon.
	maxRetries = 20
	maxUnasked = 5
	firstWait  = 50 * time.Millisecond
	maxWait    = 10 * time.Second
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

// answer is an HTTP answer, read.
type answer struct {
	status int
	typ    string // Content-Type, as sent
	body   string
}

func (a answer) String() string {
	text := a.body
	if len(text) > shownAnswer {
		text = text[:shownAnswer] + "…"
	}
	if text == "" {
		return fmt.Sprintf("status %d", a.status)
	}
	return fmt.Sprintf("status %d, %q", a.status, text)
}

// size reads the size of a 409, leniently: the cases that test its form are
// strict.
func (a answer) size() (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(a.body), 10, 64)
	return n, a.status == http.StatusConflict && err == nil && n >= 0
}

// mediaType returns the media type without parameters.
func (a answer) mediaType() string {
	typ, _, err := mime.ParseMediaType(a.typ)
	if err != nil {
		return a.typ
	}
	return typ
}

// signatures reads the lines of an answer that are signature lines.
func (a answer) signatures() (sigs []proofs.Signature) {
	for line := range strings.SplitSeq(a.body, "\n") {
		if sig, err := proofs.ParseSignatures([]byte(line + "\n")); err == nil {
			sigs = append(sigs, sig...)
		}
	}
	return sigs
}

// do makes a call. A witness that asks for patience gets some. What it limits is its
// operator's choice, so where that does not suffice the case cannot be run.
func (s *session) do(hc *http.Client, method, url string, body []byte) (answer, error) {
	for try, pause := 1, firstWait; ; try, pause = try+1, min(2*pause, maxWait) {
		a, wait, err := s.once(hc, method, url, body)
		limited, busy := a.status == http.StatusTooManyRequests, a.status == http.StatusServiceUnavailable
		switch {
		case err != nil || !limited && !busy:
			return a, err
		case busy && wait == 0 && try == maxUnasked:
			return a, nil
		case try == maxRetries:
			return a, skipped{fmt.Sprintf("the witness limits its clients: %v, %d times", a, try)}
		}
		if wait == 0 {
			wait = pause
		}
		select {
		case <-time.After(min(wait, maxWait)):
		case <-s.ctx.Done():
			return a, s.ctx.Err()
		}
	}
}

// noAnswer is the error of a call that was not answered.
type noAnswer struct{ err error }

func (e noAnswer) Error() string { return "no answer: " + e.err.Error() }
func (e noAnswer) Unwrap() error { return e.err }

func (s *session) once(hc *http.Client, method, url string, body []byte) (a answer, wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(s.ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return a, 0, fetch.RedactError(err)
	}
	resp, err := fetch.Do(fetch.Direct(hc), req)
	if err != nil {
		return a, 0, noAnswer{err}
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return a, 0, fmt.Errorf("answer not read: %w", err)
	}
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // a date, or nothing, is no wait
	return answer{resp.StatusCode, resp.Header.Get("Content-Type"), string(b)}, time.Duration(seconds) * time.Second, nil
}

func (s *session) post(body []byte) (answer, error) {
	return s.do(s.cfg.HTTP, http.MethodPost, s.cfg.URL+"/add-checkpoint", body)
}

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

// refuse sends a request that must be refused with one of the statuses, and
// checks that nothing changed.
func (s *session) refuse(body []byte, statuses ...int) error {
	a, err := s.post(body)
	if err != nil {
		return err
	}
	return s.refused(a, statuses...)
}

// clientError stands for all statuses from 400 to 499.
const clientError = 4

func (s *session) refused(a answer, statuses ...int) error {
	ok := false
	var want []string
	for _, status := range statuses {
		name := strconv.Itoa(status)
		if status == clientError {
			name = "4xx"
		}
		ok = ok || a.status == status || a.status/100 == status
		want = append(want, name)
	}
	switch {
	case a.status == http.StatusOK:
		return fmt.Errorf("cosigned; want %s", strings.Join(want, " or "))
	case !ok:
		err := fmt.Errorf("%v; want %s", a, strings.Join(want, " or "))
		// Another status is one fault, a change of state would be a second.
		if second := s.unchanged(); second != nil {
			err = fmt.Errorf("%w\n%v", err, second)
		}
		return err
	}
	return s.unchanged()
}

// malformed sends a request that is not of the form. The specification names no status
// for that. Whether it may be cosigned depends on the rule.
func (s *session) malformed(rule Rule, body []byte) error {
	a, err := s.post(body)
	return s.judgeMalformed(rule, a, err)
}

// judgeMalformed takes what came of the request: a witness may as well hang up.
func (s *session) judgeMalformed(rule Rule, a answer, err error) error {
	var none noAnswer
	switch {
	case errors.As(err, &none) && s.ctx.Err() == nil:
		if second := s.unchanged(); second != nil {
			return fmt.Errorf("%v: %w", err, second)
		}
		return noted{fmt.Sprintf("refused, with %v: no status is specified, but only 4xx says that the sender is at fault", err)}
	case err != nil:
		return err
	case a.status == http.StatusOK && rule.Level == Must:
		return errors.New("cosigned; want 4xx")
	case a.status == http.StatusOK && rule.Level == May:
		return noted{"cosigned: a decoder's choice"}
	case a.status == http.StatusOK:
		return noted{"cosigned: lenient with the sender"}
	}
	if err := s.unchanged(); err != nil {
		return fmt.Errorf("%v: %w", a, err)
	}
	if a.status/100 != clientError {
		return noted{fmt.Sprintf("refused, with %v: no status is specified, but only 4xx says that the sender is at fault", a)}
	}
	return nil
}

// refuseEither sends a request that breaks two sentences, which want different
// statuses: the first of them is the one that witnesses mostly answer.
func (s *session) refuseEither(a answer, status, other int) error {
	if a.status == other {
		if err := s.unchanged(); err != nil {
			return err
		}
		return noted{fmt.Sprintf("%v; as well as %d, which another sentence requires", a, status)}
	}
	return s.refused(a, status)
}

// conflict sends a request that must be answered with 409 and the size.
func (s *session) conflict(body []byte) error {
	a, err := s.post(body)
	if err != nil {
		return err
	}
	if a.status == http.StatusConflict {
		if n, ok := a.size(); !ok || n != max(s.size, 0) {
			return fmt.Errorf("%v; want size %d", a, max(s.size, 0))
		}
	}
	return s.refused(a, http.StatusConflict)
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
