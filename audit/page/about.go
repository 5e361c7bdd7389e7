package page

import (
	"net/http"

	"github.com/tuflog/tuflog/internal/build"
)

// proved is what an auditor's word rests on.
var proved = []string{
	"Every checkpoint that it shows is signed by the log and cosigned by the quorum of witnesses that the policy asks for.",
	"Every entry of the log was hashed onto one tree, which is the tree that was signed: nothing was taken out, changed or put in behind.",
	"Every entry was judged again by the rules of admission, from the vendors' own metadata: enough keys of the role signed it.",
	"Every file that an entry names has the hash that the entry has.",
	"Checkpoints from other places (witnesses, devices) were compared with the same tree.",
}

type aboutPage struct {
	Name      string     `json:"name"`
	Program   build.Info `json:"program"`
	Contact   string     `json:"contact,omitempty"`
	Logs      []aboutLog `json:"logs"`
	Cosigns   []string   `json:"cosigns,omitempty"` // keys of this auditor
	Proved    []string   `json:"proved"`
	NotProved []string   `json:"not_proved"`
	Feeds     []Feed     `json:"feeds,omitempty"`
	Verify    bool       `json:"verify"` // it verifies in the browser
}

// aboutLog is a log's keys.
type aboutLog struct {
	Name      string     `json:"name"`
	Origin    string     `json:"origin"`
	URL       string     `json:"url,omitempty"`
	Keys      []string   `json:"keys"`
	Witnesses []cosigned `json:"witnesses"`
	Quorum    string     `json:"quorum"`
	Policy    string     `json:"policy"` // its text
	Watched   []Watched  `json:"watched,omitempty"`
}

func (s *Server) about(r *http.Request) (*view, error) {
	p := &aboutPage{Name: s.cfg.Name, Program: build.Read(), Contact: s.cfg.Contact, Cosigns: s.cfg.Cosigns, Proved: proved, NotProved: notProved, Verify: s.verifier != nil}
	p.Feeds = s.feeds("", nil)
	for _, b := range s.books {
		l := aboutLog{Name: b.Name, Origin: b.origin, URL: b.URL, Quorum: quorumWords(b.Policy), Policy: string(b.text), Watched: b.known(r.Context()), Witnesses: []cosigned{}}
		for _, key := range b.Policy.Logs {
			l.Keys = append(l.Keys, key.Key.String())
		}
		for _, w := range b.Policy.Witnesses {
			l.Witnesses = append(l.Witnesses, cosigned{Name: w.Name, Key: w.Key.String()})
		}
		p.Logs = append(p.Logs, l)
		if s.cfg.Feeds != nil {
			p.Feeds = append(p.Feeds, s.feeds(b.Name, nil)[1:]...)
		}
	}
	return &view{template: "about", title: "About", section: "about", data: p}, nil
}
