package page

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// health is what the first page says of a log.
type health struct {
	Name     string `json:"name"`
	Origin   string `json:"origin"`
	URL      string `json:"url,omitempty"`
	Word     string `json:"word"` // in order, not in order, not checked, nothing yet
	Tone     string `json:"-"`
	Sentence string `json:"sentence"`

	Size       int64              `json:"size"`   // of the newest verified checkpoint
	Judged     int64              `json:"judged"` // leaves
	Root       string             `json:"root,omitempty"`
	Time       int64              `json:"time,omitempty"`       // by which a quorum had cosigned it
	Witnesses  []cosigned         `json:"witnesses"`            // of the policy, in its order
	Quorum     string             `json:"quorum"`               // in words
	Vouches    bool               `json:"vouches"`              // every leaf was judged and is right, every file was there
	WhyNot     []string           `json:"why_not,omitempty"`    // if it does not vouch
	Ended      bool               `json:"ended,omitempty"`      // the log has ended
	Verdicts   map[string]int64   `json:"verdicts"`             // how many leaves have each
	Open       map[string]int64   `json:"open"`                 // findings by class, those acknowledged left out
	Acked      int64              `json:"acknowledged"`         // findings that are there and acknowledged
	Outages    []string           `json:"outages"`              // what could not be checked
	Suppressed []audit.Suppressed `json:"suppressed,omitempty"` // findings that were not kept
	Status     *Status            `json:"status,omitempty"`

	against map[audit.Class]bool // classes of findings that the log answers for, acknowledged or not
}

// cosigned is a witness of the policy.
type cosigned struct {
	Name    string `json:"name"`
	Key     string `json:"key"`
	Time    int64  `json:"time,omitempty"`    // of its cosignature on the newest verified checkpoint; 0: it has none, or without a time
	Has     bool   `json:"has"`               // it cosigned that
	Newest  int64  `json:"newest,omitempty"`  // size of the newest tree that it says it cosigned
	Seen    int64  `json:"seen,omitempty"`    // when it did
	Trouble string `json:"trouble,omitempty"` // why it could not be asked
}

// notProved is what an auditor's word does not say. It stands on the first page and on the
// page about.
var notProved = []string{
	"That a file is good. The log proves who released a file, when, and that everybody was shown the same; not that the file does no harm.",
	"That a repository is your vendor's. Anybody may register one: compare its id with the one that your device, or your vendor, has.",
	"That this page is right. It is not signed. Every page gives the command with which you find out for yourself.",
	"That nothing was signed and kept from the log. A device that requires proofs refuses that; others would not notice.",
	"That the witnesses are independent of the log, or of each other.",
}

type homePage struct {
	Logs      []*health `json:"logs"`
	NotProved []string  `json:"not_proved"`
	Contact   string    `json:"contact,omitempty"`
}

func (s *Server) home(r *http.Request) (*view, error) {
	p := homePage{NotProved: notProved, Contact: s.cfg.Contact}
	for _, b := range s.books {
		h, err := b.health(r.Context())
		if err != nil && (passing(err) || r.Context().Err() != nil) {
			return nil, err
		}
		if err != nil {
			h = s.unreadable(b, b.newHealth(r.Context()), err)
		}
		p.Logs = append(p.Logs, h)
	}
	return &view{template: "home", title: "", section: "logs", data: p}, nil
}

// health reads how a log is.
func (b *book) health(ctx context.Context) (*health, error) {
	h := b.newHealth(ctx)
	err := b.read(ctx, func(db *reader) error { return b.readHealth(ctx, db, h) })
	if errors.Is(err, errNothingYet) {
		err = nil
		h.Word, h.Tone = "nothing yet", "wait"
		h.Sentence = "Nothing of this log has been judged yet."
	}
	return h, err
}

func (b *book) newHealth(ctx context.Context) *health {
	h := &health{Name: b.Name, Origin: b.origin, URL: b.URL, Witnesses: []cosigned{}, Quorum: quorumWords(b.Policy),
		Verdicts: map[string]int64{}, Open: map[string]int64{}, against: map[audit.Class]bool{}, Outages: []string{}, Status: b.status(ctx)}
	for _, w := range b.Policy.Witnesses {
		h.Witnesses = append(h.Witnesses, cosigned{Name: w.Name, Key: w.Key.String()})
	}
	if h.Status != nil {
		for _, said := range h.Status.Witnesses {
			for i := range h.Witnesses {
				if h.Witnesses[i].Name == said.Name {
					h.Witnesses[i].Newest, h.Witnesses[i].Seen, h.Witnesses[i].Trouble = said.Size, said.Time, said.Trouble
				}
			}
		}
	}
	return h
}

func (b *book) readHealth(ctx context.Context, db *reader, h *health) error {
	h.Judged = db.Size()
	c, err := b.verified(ctx, db)
	if errors.Is(err, errOtherPolicy) {
		h.WhyNot = append(h.WhyNot, err.Error())
	} else if err != nil {
		return err
	}
	if c != nil {
		h.Size, h.Root = c.Tree.N, c.Tree.Hash.String()
		for _, cosig := range c.Cosignatures {
			for i := range h.Witnesses {
				if h.Witnesses[i].Name == cosig.Witness {
					h.Witnesses[i].Has, h.Witnesses[i].Time = true, cosig.Time
				}
			}
		}
		h.Time, _ = quorumTime(b.Policy, c)
	}
	verdicts, err := b.verdicts(ctx, db)
	if err != nil {
		return err
	}
	for v, n := range verdicts {
		h.Verdicts[string(v)] = n
	}
	h.Ended = verdicts[state.TheEnd] > 0
	suppressed, err := db.Suppressed(ctx)
	if err != nil {
		return err
	}
	for _, one := range suppressed {
		h.Suppressed = append(h.Suppressed, audit.Suppressed{Kind: audit.Kind(one.Kind), Repository: one.Repository, Count: one.Count})
	}
	if err := b.countFindings(ctx, db, h); err != nil {
		return err
	}
	again, err := db.CountAgain(ctx)
	if err != nil {
		return err
	}
	h.conclude(again, verdicts)
	b.conclude(h)
	return nil
}

// Verdicts that the state does not know the number of are counted, which takes a quarter of a
// second for a million leaves: of a log with countedAtOnce leaves or more they are counted
// again after countedFor.
const (
	countedAtOnce = 20_000
	countedFor    = 10 * time.Second
)

func (b *book) verdicts(ctx context.Context, db *reader) (map[state.Verdict]int64, error) {
	if db.Size() < countedAtOnce {
		return db.Verdicts(ctx)
	}
	b.counting.Lock()
	defer b.counting.Unlock()
	if age := b.now().Sub(b.countedAt); b.counted != nil && b.countedOf == db.File() && age >= 0 && age < countedFor {
		return b.counted, nil
	}
	counted, err := db.Verdicts(ctx)
	if err == nil {
		b.counted, b.countedAt, b.countedOf = counted, b.now(), db.File()
	}
	return counted, err
}

// maxOutages is how many outages a log's health lists.
const maxOutages = 20

// countFindings counts those that are there, and lists outages.
func (b *book) countFindings(ctx context.Context, db *reader, h *health) error {
	counts, err := db.FindingCounts(ctx, tuf.Digest{})
	if err != nil {
		return err
	}
	for _, c := range counts {
		h.Acked += c.Acknowledged
		if c.Open > 0 {
			h.Open[c.Class] += c.Open
		}
		class := audit.Class(c.Class)
		if c.Open+c.Acknowledged == 0 || h.against[class] || class == audit.Equivocation || class == audit.Hygiene {
			continue
		}
		// Those that others were asked about, the log does not answer for.
		if h.against[class], err = db.AnyOfKind(ctx, c.Kind); err != nil {
			return err
		}
	}
	if h.Open[string(audit.Outage)] == 0 {
		return nil
	}
	outages, _, err := b.listFindings(ctx, db, state.FindingQuery{Class: string(audit.Outage), Status: state.StatusOpen}, "", maxOutages)
	for _, f := range outages {
		h.Outages = append(h.Outages, f.Sentence)
	}
	return err
}

// conclude words what was read.
func (h *health) conclude(again int64, verdicts map[state.Verdict]int64) {
	why := func(format string, args ...any) { h.WhyNot = append(h.WhyNot, fmt.Sprintf(format, args...)) }
	if h.Root == "" && len(h.WhyNot) == 0 {
		why("no checkpoint was verified")
	}
	if waiting := h.Size - h.Judged; waiting > 0 {
		why("%s of the newest checkpoint %s not judged yet", plural(waiting, "entry"), isAre(waiting))
	}
	if again > 0 {
		why("%s %s being judged again", plural(again, "repository"), isAre(again))
	}
	for _, v := range []state.Verdict{state.Wrong, state.NotJudged, state.UnknownToUs} {
		if n := verdicts[v]; n > 0 {
			why("%s %s", plural(n, "entry"), map[state.Verdict]string{state.Wrong: "should not be in the log", state.NotJudged: "could not be judged", state.UnknownToUs: "of a kind that this auditor does not know"}[v])
		}
	}
	// That somebody here knows of a finding does not change what the log did.
	if h.against[audit.Tampering] {
		why("there are findings of class tampering, which the log answers for")
	}
	if h.against[audit.Unexpected] {
		why("there are entries that this auditor cannot judge")
	}
	if h.against[audit.Outage] {
		why("something could not be fetched or checked")
	}
	h.Vouches = len(h.WhyNot) == 0
	open := h.Open[string(audit.Equivocation)] + h.Open[string(audit.Unexpected)]
	switch {
	case h.against[audit.Tampering] || h.Open[string(audit.Tampering)] > 0 || verdicts[state.Wrong] > 0:
		h.Word, h.Tone = "not in order", "bad"
		h.Sentence = "The log, or a server of its files, did what it must not do. See the findings before you trust what it alone vouches for."
	case h.Size == 0 && h.Judged == 0:
		h.Word, h.Tone = "nothing yet", "wait"
		h.Sentence = "No entry of this log has been judged yet."
	case !h.Vouches:
		h.Word, h.Tone = "not all checked", "wait"
		h.Sentence = fmt.Sprintf("Of what was checked, nothing speaks against the log; not everything could be: %s.", strings.Join(h.WhyNot, "; "))
	case open > 0:
		h.Word, h.Tone = "in order, with findings", "note"
		h.Sentence = fmt.Sprintf("Each of the %s was judged again and is right, and every file was there. %s about vendors %s open.", plural(h.Judged, "entry"), plural(open, "finding"), isAre(open))
	default:
		h.Word, h.Tone = "in order", "good"
		h.Sentence = fmt.Sprintf("Each of the %s was judged again and is right, and every file was there.", plural(h.Judged, "entry"))
	}
	if h.Ended {
		h.Sentence += " The log has ended: nothing may follow."
	}
}

// conclude says what a page adds of its own: that nobody has looked for a long time, and that
// the auditor's own cosignature stands still.
func (b *book) conclude(h *health) {
	worse := func(word string) {
		if h.Vouches = false; h.Tone != "bad" {
			h.Word, h.Tone = word, "wait"
		}
	}
	if why := b.stale(h); why != "" {
		h.WhyNot = append(h.WhyNot, why)
		worse("not looked at lately")
		h.Sentence += " That may be over: " + why + "."
	} else if age := b.now().Unix() - h.Time; h.Time > 0 && age > int64(oldNote/time.Second) {
		if h.Sentence += " Its newest checkpoint is of " + audit.When(h.Time) + ": nothing newer was shown to this auditor."; h.Tone == "good" {
			h.Tone = "note"
		}
	}
	if s := h.Status; s != nil && s.Audited != nil && s.Audited.Stopped != "" {
		h.WhyNot = append(h.WhyNot, "its audited cosignature has stopped: "+s.Audited.Stopped)
		worse("not cosigned any more")
		h.Sentence += " This auditor has stopped cosigning it until a person has looked."
	}
}

func isAre(n int64) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// quorumTime returns the time of the first cosignature with which those before it are a
// quorum; false: it is not known.
func quorumTime(policy *proofs.Policy, c *proofs.SignedCheckpoint) (int64, bool) {
	cosigs := make([]proofs.Cosignature, 0, len(c.Cosignatures))
	for _, cosig := range c.Cosignatures {
		at := len(cosigs)
		for at > 0 && cosigs[at-1].Time > cosig.Time {
			at--
		}
		cosigs = append(cosigs[:at], append([]proofs.Cosignature{cosig}, cosigs[at:]...)...)
	}
	have := map[string]bool{}
	for _, cosig := range cosigs {
		have[cosig.Witness] = true
		if policy.Satisfied(func(witness string) bool { return have[witness] }) == nil {
			return cosig.Time, cosig.Time > 0
		}
	}
	return 0, false
}

// quorumWords says what a checkpoint takes.
func quorumWords(p *proofs.Policy) string {
	all := len(p.Witnesses)
	switch n := p.SmallestQuorum(); {
	case all == 0:
		return "This policy names no witnesses: the log alone vouches for its checkpoints."
	case n == 0:
		return "This policy requires no witness: the log alone vouches for its checkpoints."
	case n == all:
		return fmt.Sprintf("A checkpoint counts once all of its witnesses, %d, have cosigned it.", all)
	default:
		return fmt.Sprintf("A checkpoint counts once a quorum has cosigned it: of the %d witnesses at least %d.", all, n)
	}
}
