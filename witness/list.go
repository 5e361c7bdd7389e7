package witness

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/proofs"
)

const (
	// MaxListSize is the largest list of logs that is read, in bytes.
	MaxListSize = 16 << 20
	// maxListLogs is how many logs a list may name.
	maxListLogs = 50_000
	listTimeout = 30 * time.Second
	listHeader  = "logs/v0"
)

// ParseList reads a list of logs as the witness network publishes them
// (transparency-dev/witness-network, docs/log-list-format.md). Empty lines and
// lines that begin with "#" are skipped; the first line is "logs/v0", and each
// log then has these lines, of which origin and bastion may be missing:
//
//	vkey log.example+a1b2c3d4+BASE64
//	origin none
//	qpd 86400
//	bastion none
//	contact somebody@log.example
//
// An origin of "none" is the key's name. The number of queries per day becomes the
// log's limit. Bastions are not used. A log with an unreadable key, or with the
// name of an earlier log of the list, is passed to skip with the reason, and the
// rest of the list is read: a key of a new type should not cost a witness the
// other logs. Every other deviation is an error.
func ParseList(b []byte, skip func(vkey string, err error)) ([]NewLog, error) {
	if len(b) > MaxListSize {
		return nil, fmt.Errorf("list of %d bytes, more than %d", len(b), MaxListSize)
	}
	p := listParser{skip: skip, origins: make(map[string]bool)}
	for i, line := range strings.Split(string(b), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := p.line(line); err != nil {
			return nil, fmt.Errorf("list, line %d: %w", i+1, err)
		}
	}
	switch {
	case !p.begun:
		return nil, fmt.Errorf("list: no line %q", listHeader)
	case p.entry != nil:
		return nil, errors.New("list: the last log has no contact line")
	}
	return p.logs, nil
}

// listParser reads one line after the other.
type listParser struct {
	skip    func(vkey string, err error)
	begun   bool
	entry   map[string]string // of the log being read
	logs    []NewLog
	origins map[string]bool
}

func (p *listParser) line(line string) error {
	if !p.begun {
		if line != listHeader {
			return fmt.Errorf("%.80q is not %q", line, listHeader)
		}
		p.begun = true
		return nil
	}
	word, value, ok := strings.Cut(line, " ")
	if value = strings.TrimSpace(value); !ok || value == "" {
		return fmt.Errorf("%.80q has no value", line)
	}
	switch word {
	case "vkey":
		if p.entry != nil {
			return errors.New("a log without a contact line before it")
		}
		p.entry = make(map[string]string)
	case "origin", "qpd", "bastion", "contact":
		if p.entry == nil {
			return fmt.Errorf("a %s line that belongs to no log", word)
		}
	default:
		return fmt.Errorf("unknown word %.80q", word)
	}
	if _, ok := p.entry[word]; ok {
		return fmt.Errorf("a second %s line", word)
	}
	p.entry[word] = value
	if word != "contact" {
		return nil
	}
	entry := p.entry
	p.entry = nil
	return p.add(entry)
}

// add takes a log whose lines are complete.
func (p *listParser) add(entry map[string]string) error {
	perDay, err := parsePerDay(entry["qpd"])
	if err != nil {
		return err
	}
	if len(p.logs) == maxListLogs {
		return fmt.Errorf("more than %d logs", maxListLogs)
	}
	key, err := proofs.ParseKey(entry["vkey"])
	if err == nil {
		err = CheckLogKey(key)
	}
	if err != nil {
		p.skip(entry["vkey"], err)
		return nil
	}
	n := NewLog{Key: key, PerDay: perDay}
	if o := entry["origin"]; o != "none" && o != key.Name() {
		n.Origin = o
	}
	if p.origins[n.Name()] {
		p.skip(entry["vkey"], fmt.Errorf("a second log named %.80q", n.Name()))
		return nil
	}
	p.origins[n.Name()] = true
	p.logs = append(p.logs, n)
	return nil
}

// parsePerDay reads a positive decimal number.
func parsePerDay(s string) (int64, error) {
	var n int64
	for _, c := range []byte(s) {
		if c < '0' || c > '9' || n > 1<<50 {
			return 0, fmt.Errorf("qpd %.40q is not a number of queries", s)
		}
		n = n*10 + int64(c-'0')
	}
	if n == 0 {
		return 0, fmt.Errorf("qpd %.40q is not a positive number of queries", s)
	}
	return n, nil
}

// ImportReport is the result of importing a list.
type ImportReport struct {
	// Added counts the new logs, Known those already known by the same key.
	Added, Known int
	// Refused are the others.
	Refused []Refused
}

// Refused is a log of a list that was not added.
type Refused struct {
	Log string `json:"log"` // origin, or the key that could not be read
	Why string `json:"why"`
}

// Refuse adds a refused log.
func (r *ImportReport) Refuse(n NewLog, why string) {
	r.Refused = append(r.Refused, Refused{Log: n.Name(), Why: why})
}

// Importer adds the logs of a list to a store.
type Importer interface {
	Import(ctx context.Context, source string, logs []NewLog) (ImportReport, error)
}

// ImportList reads a list, from a URL or a file, and imports it. A URL must be
// https, or on this machine; redirects are not followed.
func ImportList(ctx context.Context, to Importer, hc *http.Client, source string) (ImportReport, error) {
	b, err := readList(ctx, hc, source)
	if err != nil {
		return ImportReport{}, err
	}
	source = fetch.Redacted(source)
	var skipped []Refused
	logs, err := ParseList(b, func(vkey string, err error) {
		skipped = append(skipped, Refused{Log: vkey, Why: err.Error()})
	})
	if err != nil {
		return ImportReport{}, fmt.Errorf("%s: %w", source, err)
	}
	report, err := to.Import(ctx, source, logs)
	report.Refused = append(report.Refused, skipped...)
	return report, err
}

func readList(ctx context.Context, hc *http.Client, source string) ([]byte, error) {
	if !strings.Contains(source, "://") {
		return os.ReadFile(source)
	}
	if err := CheckListURL(source); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	return fetch.Get(ctx, fetch.Direct(hc), source, MaxListSize)
}

// CheckListURL returns an error unless a list may be fetched from the URL: an
// attacker who can change a list in transit can add logs to it.
func CheckListURL(s string) error {
	u, err := url.Parse(s)
	if err != nil {
		return fetch.RedactError(err)
	}
	addr, err := netip.ParseAddr(u.Hostname())
	local := err == nil && addr.IsLoopback() || u.Hostname() == "localhost"
	if u.Scheme != "https" && (u.Scheme != "http" || !local) || u.Host == "" {
		return fmt.Errorf("list %.200q is not at an https URL", fetch.Redacted(s))
	}
	return nil
}

// FollowList imports a list at once and then every so often, until ctx ends.
func (w *Witness) FollowList(ctx context.Context, to Importer, source string, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		report, err := ImportList(ctx, to, &http.Client{Transport: w.watch.HTTP.Transport}, source)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			w.metrics.imports.WithLabelValues("failed").Inc()
			w.log.Warn("list not imported", "list", fetch.Redacted(source), "error", err)
		default:
			w.metrics.imports.WithLabelValues("ok").Inc()
			w.log.Info("list imported", "list", fetch.Redacted(source), "added", report.Added, "known", report.Known, "refused", len(report.Refused))
			for _, r := range report.Refused {
				w.log.Warn("log of a list refused", "list", fetch.Redacted(source), "log", r.Log, "why", r.Why)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
