package conformance

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync"
	"time"

	"github.com/tuflog/tuflog/proofs"
)

// httpCases are about methods and connections.
func httpCases() []definition {
	post := form(tlogWitness, "The request MUST be an HTTP POST.")
	method := func(m string) definition {
		return definition{m + " instead of POST", post, nil, func(s *session) error {
			p, err := s.parts()
			if err != nil {
				return err
			}
			a, err := s.do(s.cfg.HTTP, m, s.cfg.URL+"/add-checkpoint", body(p.oldLine(), p.proof, p.checkpoint))
			return s.judgeMalformed(post, a, err)
		}}
	}
	return []definition{
		method(http.MethodGet),
		method(http.MethodPut),
		{"keep-alive: two requests on one connection", should(tlogWitness, "Clients SHOULD use, and witnesses SHOULD support, HTTP keep-alive HTTP connections to reduce latency and load due to connection establishment."), nil, func(s *session) error {
			return s.keepAlive(func(p parts) []byte { return body(p.oldLine(), p.proof, p.checkpoint) })
		}},
		{"keep-alive: after a refusal", should(tlogWitness, "Clients SHOULD use, and witnesses SHOULD support, HTTP keep-alive HTTP connections to reduce latency and load due to connection establishment."), nil, func(s *session) error {
			return s.keepAlive(func(p parts) []byte { return body("old 0", nil, p.checkpoint) })
		}},
	}
}

// keepAlive sends a request twice over a transport of its own and looks whether
// the second took the first one's connection.
func (s *session) keepAlive(request func(parts) []byte) error {
	p, err := s.parts()
	if err != nil {
		return err
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	defer transport.CloseIdleConnections()
	var reused []bool
	trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { reused = append(reused, c.Reused) }}
	plain := s.ctx
	s.ctx = httptrace.WithClientTrace(plain, trace)
	defer func() { s.ctx = plain }()
	for range 2 {
		a, err := s.do(&http.Client{Transport: transport}, http.MethodPost, s.cfg.URL+"/add-checkpoint", request(p))
		if err != nil {
			return err
		}
		if a.status == http.StatusOK {
			s.size = p.old + 1
		}
	}
	if len(reused) < 2 || !reused[1] {
		return errors.New("a new connection for each request")
	}
	return nil
}

const (
	raceRounds = 15
	racers     = 8 // a race of one kind of request
)

// raceCases are about requests at the same time.
func raceCases() []definition {
	return []definition{
		{"race: two roots of one size", ruleAtomic, nil, raceForks},
		{"race: two sizes of one history, from the same old size", must(tlogWitness, "… must be performed atomically, otherwise the following race can occur: […] The stored size is updated to N for request A, rolling back K leaves."), nil, func(s *session) error {
			return s.races(func() error { return s.race(s.tree, s.tree, 1, 3) })
		}},
		{"race: one request many times", ruleAtomic, nil, raceSame},
	}
}

// raceForks has two histories race: both are true until one is cosigned.
func raceForks(s *session) error {
	if err := s.room(1); err != nil {
		return err
	}
	return s.races(func() error {
		f, err := s.fork(s.size)
		if err != nil {
			return err
		}
		return s.race(s.tree, f, 1, 1)
	})
}

// races runs races until one fails. What is only noted of one ends no others.
func (s *session) races(race func() error) error {
	var first error
	for range raceRounds {
		err := race()
		var note noted
		switch {
		case errors.As(err, &note):
			if first == nil {
				first = err
			}
			s.resync()
			if s.lost != "" {
				return first
			}
		case err != nil:
			return err
		}
	}
	return first
}

// atFault reports whether an answer says that the witness could not decide. That is
// a way to be atomic: one of two transactions fails.
func (a answer) atFault() bool { return a.status/100 == 5 }

// race sends two requests at once, from the size cosigned last. One must be
// granted, the other must not.
func (s *session) race(a, b *tree, moreA, moreB int64) error {
	if err := s.room(1); err != nil {
		return err
	}
	old := s.size
	type racer struct {
		tree  *tree
		newer int64
	}
	both := []racer{{a, old + moreA}, {b, old + moreB}}
	var bodies [][]byte
	for _, r := range both {
		req, err := s.request(r.tree, old, r.newer)
		if err != nil {
			return err
		}
		bodies = append(bodies, req.Marshal())
	}
	answers, err := s.atOnce(bodies)
	if err != nil {
		return err
	}
	won := -1
	for i, r := range both {
		switch {
		case answers[i].status == http.StatusOK && won >= 0:
			return fmt.Errorf("both cosigned, sizes %d and %d from size %d", both[won].newer, r.newer, old)
		case answers[i].status == http.StatusOK:
			won = i
			text, err := s.text(r.tree, r.newer)
			if err != nil {
				return err
			}
			if _, err := s.cosigned(answers[i], text); err != nil {
				return err
			}
		}
	}
	if won < 0 && answers[0].atFault() && answers[1].atFault() {
		return noted{fmt.Sprintf("neither cosigned: %v; %v", answers[0], answers[1])}
	}
	if won < 0 {
		return fmt.Errorf("neither cosigned: %v; %v", answers[0], answers[1])
	}
	if err := s.adopt(both[won].tree, both[won].newer); err != nil {
		return err
	}
	lost := answers[1-won]
	if lost.status != http.StatusConflict && !lost.atFault() {
		return fmt.Errorf("the loser got %v; want 409", lost)
	}
	if err := s.unchanged(); err != nil || lost.status == http.StatusConflict {
		return err
	}
	return noted{fmt.Sprintf("the loser got %v; others answer 409", lost)}
}

func raceSame(s *session) error {
	p, err := s.parts()
	if err != nil {
		return err
	}
	b := body(p.oldLine(), p.proof, p.checkpoint)
	answers, err := s.atOnce(slices.Repeat([][]byte{b}, racers))
	if err != nil {
		return err
	}
	granted := 0
	var fault *answer
	for _, a := range answers {
		switch {
		case a.status == http.StatusOK:
			granted++
		case a.status == http.StatusConflict:
		case a.atFault():
			fault = &a
		default:
			return fmt.Errorf("%v; want 200 or 409", a)
		}
	}
	if granted > 0 {
		s.size = p.old + 1
	}
	if granted > 1 || granted == 0 && fault == nil {
		return fmt.Errorf("cosigned %d times from the same old size; want once", granted)
	}
	if err := s.unchanged(); err != nil || fault == nil {
		return err
	}
	return noted{fmt.Sprintf("%v; others answer 409", *fault)}
}

// atOnce sends requests at the same time.
func (s *session) atOnce(bodies [][]byte) ([]answer, error) {
	answers, errs := make([]answer, len(bodies)), make([]error, len(bodies))
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i, b := range bodies {
		wg.Go(func() {
			<-start
			answers[i], errs[i] = s.post(b)
		})
	}
	close(start)
	wg.Wait()
	return answers, errors.Join(errs...)
}

// monitorWait is how long the suite waits for the monitoring prefix. The specification
// allows an hour, and a suite cannot wait that long.
const monitorWait = 5 * time.Second

// monitorCases are about the monitoring prefix.
func monitorCases() []definition {
	recent := should(tlogWitness, "A witness provides a recent checkpoint of each log that it cosigns, at GET <monitoring prefix>/<origin hash>/checkpoint, without delaying it much.")
	never := must(tlogWitness, "If the witness has never cosigned a checkpoint for that log, it MUST respond with a \"404 Not Found\" HTTP status code instead.")
	return []definition{
		{"monitoring: the checkpoint cosigned last", recent, nil, (*session).monitorsLast},
		{"monitoring: the log's signature", ruleMonitor, nil, func(s *session) error {
			note, _, err := s.monitored()
			if err != nil {
				return err
			}
			_, err = note.VerifiedBy(s.cfg.Log.Key())
			return err
		}},
		{"monitoring: the witness's cosignatures", ruleMonitor, nil, func(s *session) error {
			note, _, err := s.monitored()
			if err != nil {
				return err
			}
			for _, k := range s.cfg.Keys {
				if _, err := note.VerifiedBy(k); err != nil {
					return err
				}
			}
			return nil
		}},
		{"monitoring: a refused checkpoint does not show", ruleMonitor, nil, func(s *session) error {
			if err := s.monitoring(); err != nil {
				return err
			}
			f, err := s.fork(s.size - 1)
			if err != nil {
				return err
			}
			if err := s.refuseFork(f, s.size); err != nil {
				return err
			}
			_, tree, err := s.monitored()
			if err == nil && tree.N > 0 {
				var ours proofs.Tree
				if ours, err = s.tree.at(tree.N); err == nil && tree != ours {
					err = fmt.Errorf("root %v at size %d, which was not cosigned", tree.Hash, tree.N)
				}
			}
			return err
		}},
		{"monitoring: a log never cosigned", never, nil, func(s *session) error {
			if err := s.monitoring(); err != nil {
				return err
			}
			a, err := s.do(s.cfg.HTTP, http.MethodGet, s.monitorURL(s.cfg.Log.Key().Name()+"/never cosigned"), nil)
			if err == nil && a.status != http.StatusNotFound {
				err = fmt.Errorf("%v; want 404", a)
			}
			return err
		}},
	}
}

// lastCases look back.
func lastCases() []definition {
	return []definition{
		{"in the end: growth goes on", ruleGrowth, nil, func(s *session) error {
			return errors.Join(s.advance(1), s.unchanged())
		}},
		{"in the end: no time was smaller than one before", ruleLargest, nil, func(s *session) error { return s.timesAscend() }},
	}
}
