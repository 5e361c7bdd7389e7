package httpd

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"mime"
	"net/http"
	"net/mail"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
)

// maxContact is how many bytes a contact may have.
const maxContact = 256

// CheckContact returns what is wrong with a contact: it is one line of at most 256 bytes.
func CheckContact(contact string) error {
	switch {
	case len(contact) > maxContact:
		return fmt.Errorf("contact: %d bytes, more than %d", len(contact), maxContact)
	case strings.ContainsFunc(contact, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }):
		return fmt.Errorf("contact %q: want one line of text", contact)
	}
	return nil
}

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// pagePolicy lets a browser use the style that the page has, and nothing else: no script
// runs, nothing is loaded, and nobody frames it.
var pagePolicy = func() string {
	sum := sha256.Sum256([]byte(pageCSS))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// frontPage is the page of a log at one moment. It is made once for each checkpoint and
// policy, and each minute, because it has the checkpoint's age.
type frontPage struct {
	note       []byte
	audited    []byte // note of the newest audited checkpoint
	policy     *proofs.Policy
	minute     time.Time
	html, json []byte
}

// frontPages keeps the newest.
type frontPages struct{ newest atomic.Pointer[frontPage] }

// getPage answers with what a reader needs who has nothing but the log's address. It asks
// nothing but the board, so it is never newer than what this front end has seen.
func (s *Server) getPage(w http.ResponseWriter, r *http.Request) *problem {
	p, err := s.frontPage()
	if err != nil {
		return problemf(http.StatusInternalServerError, api.CodeInternal, "the page cannot be made: %v", err)
	}
	if wantsJSON(r.Header) {
		return s.send(w, r, content{mediaType: api.TypeJSON, cache: "no-cache", body: p.json, compress: true, byAccept: true})
	}
	h := w.Header()
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Frame-Options", "DENY")
	return s.send(w, r, content{mediaType: "text/html; charset=utf-8", cache: "no-cache", body: p.html, compress: true, byAccept: true})
}

// wantsJSON reports whether a client takes JSON and does not name HTML, which browsers do.
func wantsJSON(h http.Header) bool {
	wanted := false
	for part := range strings.SplitSeq(strings.Join(h.Values("Accept"), ","), ",") {
		switch kind, _, _ := mime.ParseMediaType(part); kind {
		case "text/html", "application/xhtml+xml":
			return false
		case api.TypeJSON:
			wanted = true
		}
	}
	return wanted
}

// frontPage returns the page as it is now.
func (s *Server) frontPage() (*frontPage, error) {
	now := s.now()
	published, policy, audited := s.view.Board().Checkpoint(), s.view.Policy(), s.audited.Newest()
	if p := s.pages.newest.Load(); p != nil && p.policy == policy && p.minute.Equal(now.Truncate(time.Minute)) && bytes.Equal(p.note, published.Note) && bytes.Equal(p.audited, audited.Note) {
		return p, nil
	}
	about := s.about(published, policy)
	p := &frontPage{note: published.Note, audited: audited.Note, policy: policy, minute: now.Truncate(time.Minute)}
	var err error
	if p.json, err = json.Marshal(about); err != nil {
		return nil, err
	}
	p.json = append(p.json, '\n')
	var html bytes.Buffer
	if err := pageTemplate.Execute(&html, newPageData(about, now)); err != nil {
		return nil, err
	}
	p.html = html.Bytes()
	s.pages.newest.Store(p)
	return p, nil
}

// about is what the page says, for programs.
func (s *Server) about(published log.Published, policy *proofs.Policy) api.About {
	keys := s.view.Board().Keys()
	about := api.About{
		Origin: keys[0].Name(), Policy: string(policyOf(policy, keys).Marshal()), Contact: s.contact,
		Size: published.Tree.N, Ended: s.view.Board().Ended(), Registration: api.RegistrationOpen,
	}
	for _, k := range keys {
		about.Keys = append(about.Keys, k.String())
	}
	switch {
	case s.closed:
		about.Registration = api.RegistrationClosed
	case s.sources.AskForToken():
		about.Registration = api.RegistrationByToken
	}
	var cosigned []proofs.Cosignature
	if published.Note != nil {
		// A policy that has just changed may want more than the checkpoint has.
		if cp, _ := policy.OpenCheckpoint(published.Note); cp != nil {
			cosigned = cp.Cosignatures
		}
	}
	times := map[string]int64{}
	var known []int64
	for _, c := range cosigned {
		if times[c.Witness] = c.Time; c.Time > 0 {
			known = append(known, c.Time)
		}
	}
	if len(known) > 0 {
		slices.Sort(known)
		about.Cosigned = stamp(known[len(known)/2])
	}
	if s.audited != nil {
		health := s.audited.Health()
		about.Audited = &api.AboutAudited{Size: health.Size}
		if !health.Cosigned.IsZero() {
			about.Audited.Cosigned = stamp(health.Cosigned.Unix())
		}
	}
	var requests Requests
	if s.requests != nil {
		requests = s.requests()
	}
	about.PerDay = requests.PerDay
	about.Witnesses = []api.AboutWitness{}
	for _, w := range policy.Witnesses {
		row := api.AboutWitness{Name: w.Name, Key: w.Key.String(), In24h: requests.In24h[w.Key]}
		if at, ok := times[w.Name]; ok {
			row.Cosigned, row.Time = true, stamp(at)
		}
		about.Witnesses = append(about.Witnesses, row)
	}
	return about
}

// stamp prints a time in seconds since 1970; empty: it is not known.
func stamp(seconds int64) string {
	if seconds <= 0 {
		return ""
	}
	return time.Unix(seconds, 0).UTC().Format(time.RFC3339)
}

// policyOf returns the policy with the log's own keys and no other's: it may list further
// logs, which are not this one's to vouch for.
func policyOf(policy *proofs.Policy, keys []proofs.Key) *proofs.Policy {
	own := *policy
	own.Logs = nil
	for _, k := range keys {
		own.Logs = append(own.Logs, proofs.PolicyLog{Key: k})
	}
	return &own
}

// pageData is what the template shows.
type pageData struct {
	api.About
	CSS         template.CSS
	Age         string // of the checkpoint; empty: not known
	AuditedAge  string // of the audited one; empty: not known
	ContactLink string
	Enough      int // witnesses that are a quorum
}

func newPageData(about api.About, now time.Time) pageData {
	d := pageData{About: about, CSS: template.CSS(pageCSS), ContactLink: contactLink(about.Contact)} //nolint:gosec // a file of ours
	age := func(stamp string) string {
		at, err := time.Parse(time.RFC3339, stamp)
		if err != nil {
			return ""
		}
		return ageOf(now.Sub(at))
	}
	d.Age = age(about.Cosigned)
	if about.Audited != nil {
		d.AuditedAge = age(about.Audited.Cosigned)
	}
	if p, err := proofs.ParsePolicy([]byte(about.Policy)); err == nil {
		d.Enough = p.SmallestQuorum()
	}
	return d
}

// contactLink returns where a contact leads; empty: it is words.
func contactLink(contact string) string {
	if strings.HasPrefix(contact, "https://") || strings.HasPrefix(contact, "mailto:") {
		return contact
	}
	if a, err := mail.ParseAddress(contact); err == nil && a.Address == contact {
		return "mailto:" + contact
	}
	return ""
}

// ageOf says how old a checkpoint is, in whole minutes: the page is made once a minute.
func ageOf(d time.Duration) string {
	switch d = d.Truncate(time.Minute); {
	case d < time.Minute:
		return "less than a minute"
	case d < 2*time.Minute:
		return "1 minute"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}
