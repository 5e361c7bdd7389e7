package page

import (
	"context"
	"errors"
	"net/http"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/tuf"
)

// logPage is one log.
type logPage struct {
	*health
	Chart    *chart      `json:"growth,omitempty"`
	Newest   []entryLine `json:"newest"`   // the last entries but snapshots and timestamps, the newest first
	Findings []foundLine `json:"findings"` // open ones, the worst first
	Total    int64       `json:"findings_total"`
	Watched  []Watched   `json:"watched,omitempty"`
}

// Of is the log's health.
func (p *logPage) Of() *health { return p.health }

// entryLine is an entry of the log in a list.
type entryLine struct {
	Index      int64  `json:"index"`
	Kind       string `json:"kind,omitempty"` // release or evidence; empty: it is not a leaf
	Role       string `json:"role,omitempty"`
	Version    int64  `json:"version,omitempty"`
	Repository string `json:"repository,omitempty"`
	Name       string `json:"name,omitempty"` // of the repository, here
	Expires    int64  `json:"expires,omitempty"`
	Never      bool   `json:"never_expires,omitempty"`
	Seen       int64  `json:"seen_by,omitempty"` // when a quorum of witnesses had seen it
	Verdict    string `json:"verdict"`
}

const (
	newestShown   = 12 // entries on a log's page
	newestLooked  = 200
	findingsShown = 8
)

func (b *book) entryOf(ctx context.Context, l state.Leaf) entryLine {
	e := entryLine{Index: l.Index, Verdict: string(l.Verdict)}
	if l.IsLeaf() {
		e.Kind, e.Role, e.Version, e.Repository, e.Name, e.Expires = string(l.Kind), l.Role, l.Version, l.Repository.String(), b.name(ctx, l.Repository), l.Expires
		e.Never = l.Encoding == tuf.Pigweed
	}
	return e
}

func (s *Server) logPage(r *http.Request) (*view, error) {
	b, err := s.book(r)
	if err != nil {
		return nil, err
	}
	p := &logPage{Newest: []entryLine{}, Findings: []foundLine{}, Watched: b.known(r.Context())}
	if p.health, err = b.health(r.Context()); err != nil {
		return nil, err
	}
	err = b.read(r.Context(), func(db *reader) error { return b.readLog(r.Context(), db, p) })
	if err != nil && !errors.Is(err, errNothingYet) {
		return nil, err
	}
	return &view{template: "log", title: b.Name, section: "logs", log: b.Name, data: p}, nil
}

func (b *book) readLog(ctx context.Context, db *reader, p *logPage) error {
	newest, _, err := db.NewestLeaves(ctx, state.LeafQuery{}, state.Page{Limit: newestLooked})
	if err != nil {
		return err
	}
	for _, l := range newest {
		if len(p.Newest) < newestShown && !minor(l.Role) {
			e := b.entryOf(ctx, l)
			if e.Seen, err = b.seen(ctx, db, l.Index); err != nil {
				return err
			}
			p.Newest = append(p.Newest, e)
		}
	}
	for _, n := range p.Open {
		p.Total += n
	}
	if p.Findings, _, err = b.listFindings(ctx, db, state.FindingQuery{Status: state.StatusOpen}, "", findingsShown); err != nil {
		return err
	}
	p.Chart, err = b.growth(ctx, db)
	return err
}

// checkpointFile answers with the newest checkpoint that was verified.
func (s *Server) checkpointFile(w http.ResponseWriter, r *http.Request) {
	b, err := s.book(r)
	if err != nil {
		s.failWith(w, r, err)
		return
	}
	var note []byte
	err = b.read(r.Context(), func(db *reader) (err error) {
		note, err = db.Verified(r.Context())
		return err
	})
	if err == nil && note == nil || errors.Is(err, errNothingYet) {
		err = notFound("No checkpoint of this log was verified yet.")
	}
	if err != nil {
		s.failWith(w, r, err)
		return
	}
	s.attach(w, r, b.Name+".checkpoint", note)
}

// policyFile answers with the policy.
func (s *Server) policyFile(w http.ResponseWriter, r *http.Request) {
	b, err := s.book(r)
	if err != nil {
		s.failWith(w, r, err)
		return
	}
	s.attach(w, r, b.Name+".policy.txt", b.text)
}

// worst are the classes that are counted in red.
var worst = []audit.Class{audit.Tampering, audit.Equivocation, audit.Unexpected}
