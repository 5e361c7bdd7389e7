package cosign

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/sqlite"
)

// A latch that findings cause has them as its source: findingsSource, and of each its id, which
// is the whole digest, so that what a person accepts is no other finding's leave, behind a
// slash its episode: what was accepted, has gone and came back was not accepted; and its kind.
const findingsSource = "findings "

// caused is a finding that caused a latch.
type caused struct {
	id      string
	episode int64
	kind    string // empty: not known
}

// causesOf returns the findings that a latch is about.
func causesOf(l witness.Latch) (list []caused) {
	words, ok := strings.CutPrefix(l.Source, findingsSource)
	if !ok {
		return nil
	}
	for _, word := range strings.Fields(words) {
		id, rest, _ := strings.Cut(word, "/")
		episode, kind, _ := strings.Cut(rest, "/")
		n, err := strconv.ParseInt(episode, 10, 64)
		if err != nil {
			n = 1
		}
		list = append(list, caused{id, n, kind})
	}
	return list
}

// findingsOf returns the ids of the findings that a latch is about.
func findingsOf(l witness.Latch) (ids []string) {
	for _, c := range causesOf(l) {
		ids = append(ids, c.id)
	}
	return ids
}

// stopped stops cosigning for a log if the audit found what nobody has accepted, and returns
// why it is stopped, "" if it is not.
func (c *Cosigner) stopped(ctx context.Context, s *audit.Standing, log witness.Log) (why string, err error) {
	if len(s.Against) == 0 && !log.Latched {
		return "", nil
	}
	records, err := c.latches(ctx, log.Origin)
	if err != nil {
		return "", err
	}
	if fresh := unknown(s.Against, records); len(fresh) > 0 {
		latch := latchFor(fresh, c.now().Unix())
		if err := c.store.Latch(ctx, witness.HashOrigin(log.Origin), latch); err != nil {
			return "", err
		}
		records = append(records, sqlite.LatchRecord{Origin: log.Origin, Latch: latch})
	}
	for _, r := range records {
		if r.Cleared == 0 {
			return stoppedBecause(r.Latch), nil
		}
	}
	return "", nil
}

func stoppedBecause(l witness.Latch) string {
	return fmt.Sprintf("stopped since %s until a person resumes it (auditor cosign resume): %s", utc(l.Since), l.Why)
}

// latches returns the latches of a log, those that were cleared too.
func (c *Cosigner) latches(ctx context.Context, origin string) ([]sqlite.LatchRecord, error) {
	all, err := c.store.Latches(ctx)
	var own []sqlite.LatchRecord
	for _, r := range all {
		if r.Origin == origin {
			own = append(own, r)
		}
	}
	return own, err
}

// unknown returns the findings that neither stop cosigning already nor were accepted. How often
// a finding came is known to the state of the audit: that a look did not see it, as while
// leaves are judged again, does not make it come anew.
func unknown(against []audit.Finding, records []sqlite.LatchRecord) (fresh []audit.Finding) {
	known := map[string]int64{} // the last episode
	for _, r := range records {
		for _, c := range causesOf(r.Latch) {
			known[c.id] = max(known[c.id], c.episode)
		}
	}
	for _, f := range against {
		if episode, is := known[f.ID]; !is || episode < f.Episode {
			fresh = append(fresh, f)
		}
	}
	return fresh
}

func latchFor(found []audit.Finding, now int64) witness.Latch {
	var ids []string
	for _, f := range found {
		ids = append(ids, fmt.Sprintf("%s/%d/%s", f.ID, f.Episode, f.Kind))
	}
	why := fmt.Sprintf("finding %s (%s): %s", found[0].ShortID(), found[0].Kind, found[0].Sentence)
	if more := len(found) - 1; more > 0 {
		var others []string
		for _, f := range found[1:min(len(found), 9)] {
			others = append(others, f.ShortID())
		}
		why += fmt.Sprintf("; and %d more: %s", more, strings.Join(others, ", "))
		if more > 8 {
			why += ", …"
		}
	}
	return witness.Latch{Since: now, Source: findingsSource + strings.Join(ids, " "), Why: why}
}

func utc(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }

// Latch is why cosigning for a log is, or was, stopped.
type Latch struct {
	Since    string   `json:"since"` // RFC 3339, UTC
	Why      string   `json:"why"`   // one sentence, which names the finding
	Findings []string `json:"findings"`
	Accept   []string `json:"accept"`            // what a person who resumes has to name: short ids of the findings, or of the latch
	Resumed  string   `json:"resumed,omitempty"` // when a person did, RFC 3339, UTC
	Reason   string   `json:"reason,omitempty"`  // for that
}

// LogStatus is what is said of a log.
type LogStatus struct {
	Log     string  `json:"log,omitempty"` // its name in the configuration, if a process follows it
	Origin  string  `json:"origin"`
	Hash    string  `json:"hash"`           // SHA-256 of the origin in hex, by which it is served
	Size    int64   `json:"size"`           // of the tree that was cosigned last; -1: none was
	Root    string  `json:"root,omitempty"` // of it, in base64
	Time    int64   `json:"time,omitempty"` // of the cosignature, in POSIX seconds
	Why     string  `json:"why,omitempty"`  // why the newest checkpoint is not cosigned
	Latched []Latch `json:"latched"`        // why cosigning is stopped
	Past    []Latch `json:"resumed"`        // after what a person resumed it
}

// Stopped reports whether cosigning is stopped until a person acts.
func (s *LogStatus) Stopped() bool { return len(s.Latched) > 0 }

// Status is what a cosigner has cosigned.
type Status struct {
	Name string      `json:"auditor"`
	Keys []string    `json:"keys"` // public keys
	Logs []LogStatus `json:"logs"`
}

// Status returns what was cosigned of each log, and why the newest checkpoint is not, for the
// operator: it may have paths of this machine and addresses of its network.
func (c *Cosigner) Status(ctx context.Context) (*Status, error) { return c.statusFor(ctx, true) }

func (c *Cosigner) statusFor(ctx context.Context, operator bool) (*Status, error) {
	s, err := statusOf(ctx, c.store)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range s.Logs {
		for _, l := range c.logs {
			if l.origin == s.Logs[i].Origin {
				s.Logs[i].Log, s.Logs[i].Why = l.name, l.why
				if operator && l.detail != "" {
					s.Logs[i].Why += ": " + l.detail
				}
			}
		}
	}
	return s, nil
}

// LogStatus returns what is said of the log with a name in the configuration; nil before
// its first checkpoint was seen.
func (c *Cosigner) LogStatus(ctx context.Context, name string) (*LogStatus, error) {
	s, err := c.Status(ctx)
	if err != nil {
		return nil, err
	}
	for i := range s.Logs {
		if s.Logs[i].Log == name {
			return &s.Logs[i], nil
		}
	}
	return nil, nil
}

// openStore opens a state beside the process that cosigns.
func openStore(dir string) (*sqlite.Store, error) {
	if _, err := os.Stat(filepath.Join(dir, sqlite.FileName)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no cosigner in %s: %w (auditor cosign init makes one)", dir, fs.ErrNotExist)
	}
	return sqlite.Open(dir)
}

// ReadStatus is Status for another process: it does not know how logs are named, or why a
// checkpoint is not cosigned unless cosigning is stopped.
func ReadStatus(ctx context.Context, dir string) (s *Status, err error) {
	store, err := openStore(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return statusOf(ctx, store)
}

func statusOf(ctx context.Context, store *sqlite.Store) (*Status, error) {
	s := &Status{Keys: []string{}, Logs: []LogStatus{}}
	for _, k := range store.Signers() {
		s.Name = k.Name()
		s.Keys = append(s.Keys, k.String())
	}
	logs, err := store.Logs(ctx)
	if err != nil {
		return nil, err
	}
	records, err := store.Latches(ctx)
	if err != nil {
		return nil, err
	}
	for _, log := range logs {
		one := LogStatus{Origin: log.Origin, Hash: witness.HashOrigin(log.Origin).String(), Size: -1, Latched: []Latch{}, Past: []Latch{}}
		if log.Latest != nil {
			one.Size, one.Root, one.Time = log.Latest.Tree.N, log.Latest.Tree.Hash.String(), log.Latest.Time
		}
		for _, r := range records {
			if r.Origin != log.Origin {
				continue
			}
			l := Latch{Since: utc(r.Since), Why: r.Why, Findings: findingsOf(r.Latch), Accept: toAccept(r.Latch)}
			if r.Cleared == 0 {
				one.Latched = append(one.Latched, l)
				one.Why = stoppedBecause(r.Latch)
				continue
			}
			l.Resumed, l.Reason = utc(r.Cleared), r.Reason
			one.Past = append(one.Past, l)
		}
		s.Logs = append(s.Logs, one)
	}
	return s, nil
}

// PublicKeys returns the public keys of the state in a directory, the Ed25519 key first.
func PublicKeys(dir string) (keys []proofs.Key, err error) {
	store, err := openStore(dir)
	if err != nil {
		return nil, err
	}
	return store.Signers(), store.Close()
}
