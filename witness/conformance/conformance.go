package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/proofs"
)

// Spec is a version of c2sp.org/tlog-witness.
type Spec string

// The versions. They differ in the status for another root at the same size
// (422, or 409), in how strict a witness is with a bad signature beside a good
// one, and in the empty tree and the monitoring prefix, which 1.0.0 does not
// mention.
const (
	Main Spec = "main"   // the main branch, as of July 2026
	V1   Spec = "v1.0.0" // the published version
)

// Config configures a run.
type Config struct {
	// URL is the submission prefix.
	URL string
	// Monitoring is the monitoring prefix. If empty, it is the submission
	// prefix if the checkpoint is found there; otherwise the cases that need it
	// are skipped.
	Monitoring string
	// Keys are all the keys that the witness cosigns with, at least one.
	Keys []proofs.Key
	// Log signs the checkpoints. The witness must know its key, and its name as
	// the origin. It must be of type Ed25519, because some cases sign text that
	// is not a checkpoint.
	Log *proofs.Signer
	// First are further logs like it that the witness has never cosigned. A witness
	// that cosigns by mistake at first contact then knows that log, and the other
	// cases of first contact need another one. With three of them no case hides
	// another.
	First []*proofs.Signer
	// Branches is the field of that name in the last report on this log.
	Branches []int64
	// Keep, if not nil, is called with the branches whenever they change.
	Keep func(branches []int64) error
	// Spec is the version to test against; empty is Main.
	Spec Spec
	// HTTP makes the calls, and follows no redirect; nil is a client of its own.
	HTTP *http.Client
	// Now is the clock to compare with the witness's; nil is time.Now.
	Now func() time.Time
	// Progress, if not nil, is called with each result as it is known.
	Progress func(Result)
}

// Level is how strict a sentence of a specification is.
type Level string

// The levels: those of BCP 14 for the witness, and Form for a sentence that binds the
// sender of a request. A witness that accepts a request that breaks such a sentence is
// lenient, but does not break a sentence itself.
const (
	Must   Level = "MUST"
	Should Level = "SHOULD"
	May    Level = "MAY"
	Form   Level = "FORM"
)

// Rule is a sentence of a specification.
type Rule struct {
	Level Level `json:"level"`
	// Document is the specification, such as "c2sp.org/tlog-witness".
	Document string `json:"document"`
	Sentence string `json:"sentence"`
}

// Case is a single test.
type Case struct {
	// Number is from 1.
	Number int `json:"number"`
	// Name describes the request in a few words.
	Name string `json:"name"`
	Rule
	run func(*session) error
}

// Outcome is how a case ended.
type Outcome string

// The outcomes.
const (
	Pass Outcome = "PASS"
	Fail Outcome = "FAIL" // the sentence was broken
	Note Outcome = "NOTE" // no sentence was broken, but other witnesses answer differently
	Skip Outcome = "SKIP"
)

// Result is a case and its outcome.
type Result struct {
	// Case has the broken sentence, which may differ from the sentence that the
	// case tests.
	Case
	Outcome Outcome `json:"outcome"`
	// Detail describes the fault or the reason for the note, or why the case
	// was skipped.
	Detail string `json:"detail,omitempty"`
	// Seconds is how long it took.
	Seconds float64 `json:"seconds"`
}

// Report is the outcome of a run.
type Report struct {
	URL        string   `json:"url"`
	Monitoring string   `json:"monitoring,omitempty"`
	Keys       []string `json:"keys"`
	Origin     string   `json:"origin"`
	Spec       Spec     `json:"spec"`
	// Began is in RFC 3339.
	Began   string   `json:"began"`
	Results []Result `json:"results"`
	// Size is the size of the log that the witness cosigned last.
	Size int64 `json:"size"`
	// Branches is for Config.Branches of a later run with the same log key.
	Branches []int64 `json:"branches"`
}

// Count returns how many cases had that outcome.
func (r *Report) Count(o Outcome) int {
	n := 0
	for _, res := range r.Results {
		if res.Outcome == o {
			n++
		}
	}
	return n
}

// Cases returns the cases for a version of the specification, in order.
func Cases(spec Spec) []Case {
	var list []Case
	for _, d := range definitions() {
		rule := d.rule
		if spec == V1 && d.v1 != nil {
			rule = *d.v1
		}
		list = append(list, Case{Number: len(list) + 1, Name: d.name, Rule: rule, run: d.run})
	}
	return list
}

// Run runs all cases. It returns an error only if the witness cannot be tested:
// it cannot be reached, does not know the log, or has cosigned another tree.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	s, err := newSession(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer s.close()
	r := &Report{
		URL: s.cfg.URL, Origin: s.cfg.Log.Key().Name(), Spec: s.cfg.Spec,
		Began: s.cfg.Now().UTC().Format(time.RFC3339), Branches: []int64{},
	}
	for _, k := range cfg.Keys {
		r.Keys = append(r.Keys, k.String())
	}
	if err := s.discover(); err != nil {
		return nil, err
	}
	for _, c := range Cases(s.cfg.Spec) {
		res, err := s.runCase(c)
		if err != nil {
			return nil, err
		}
		r.Results = append(r.Results, res)
		if s.cfg.Progress != nil {
			s.cfg.Progress(res)
		}
	}
	r.Monitoring, r.Size = s.cfg.Monitoring, max(s.size, 0)
	r.Branches = append(r.Branches, s.tree.branches(r.Size)...)
	return r, nil
}

// skipped is the error of a case that cannot be run.
type skipped struct{ why string }

func (s skipped) Error() string { return s.why }

// noted is the error of a case in which no sentence was broken.
type noted struct{ what string }

func (n noted) Error() string { return n.what }

// broken is an error that breaks another sentence than that of the case.
type broken struct {
	rule Rule
	err  error
}

func (b broken) Error() string { return b.err.Error() }
func (b broken) Unwrap() error { return b.err }

func (s *session) runCase(c Case) (Result, error) {
	res := Result{Case: c, Outcome: Pass}
	began := time.Now()
	var err error
	if s.lost != "" {
		err = skipped{s.lost}
	} else {
		err = c.run(s)
	}
	if s.ctx.Err() != nil {
		return res, s.ctx.Err()
	}
	var (
		skip  skipped
		note  noted
		other broken
	)
	switch {
	case errors.As(err, &skip):
		res.Outcome, res.Detail = Skip, err.Error()
	case errors.As(err, &note):
		res.Outcome, res.Detail = Note, err.Error()
		s.resync()
	case err != nil:
		res.Outcome, res.Detail = Fail, err.Error()
		if errors.As(err, &other) {
			res.Rule = other.rule
		}
		// The next case begins from what the witness has, whatever that is.
		s.resync()
	}
	s.forks = nil
	res.Seconds = time.Since(began).Seconds()
	return res, s.keepErr
}

// check fills in what is empty.
func (c *Config) check() error {
	switch c.Spec {
	case "":
		c.Spec = Main
	case Main, V1:
	default:
		return fmt.Errorf("specification %q is neither %q nor %q", c.Spec, Main, V1)
	}
	if c.Log == nil {
		return errors.New("no log to sign with")
	}
	for _, log := range append([]*proofs.Signer{c.Log}, c.First...) {
		if a := log.Key().Algorithm(); a != proofs.Ed25519 {
			return fmt.Errorf("log key %s is of type %v; the suite needs one of type %v", log.Key().Name(), a, proofs.Ed25519)
		}
	}
	if len(c.Keys) == 0 {
		return errors.New("no key of the witness")
	}
	for _, k := range c.Keys {
		if !k.Algorithm().ForWitnesses() {
			return fmt.Errorf("key %s is of type %v, which witnesses do not cosign with", k.Name(), k.Algorithm())
		}
	}
	for _, prefix := range []*string{&c.URL, &c.Monitoring} {
		u, err := url.Parse(*prefix)
		if err != nil {
			return fetch.RedactError(err)
		}
		if *prefix != "" && (u.Host == "" || u.Scheme != "http" && u.Scheme != "https") || prefix == &c.URL && *prefix == "" {
			return fmt.Errorf("%q is not an http or https URL", fetch.Redacted(*prefix))
		}
		*prefix = strings.TrimSuffix(*prefix, "/")
	}
	if c.HTTP == nil {
		c.HTTP = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16, Proxy: http.ProxyFromEnvironment}}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return nil
}
