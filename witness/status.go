package witness

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tuflog/tuflog/internal/fetch"
)

// maxStatusRows bounds the status page. Stopped logs come first, then the logs
// cosigned last.
const maxStatusRows = 200

// About is what a witness says of itself to logs that want to be cosigned, beside what
// it knows anyway. All of it is optional, and shown as text.
type About struct {
	// URLs are the submission prefixes at which it is reached, perhaps at a bastion.
	URLs []string
	// Lists are the lists of logs that it follows, and ListsEvery how often.
	Lists      []string
	ListsEvery time.Duration
	// Contact is how to reach the operator: an address, a URL, any words.
	Contact string
	// Text is what else the operator says, in paragraphs with empty lines between them.
	Text string
}

var statusPage = template.Must(template.New("status").Parse(`<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Witness {{.Name}}</title>
<h1>Witness {{.Name}}</h1>
<p>Cosigns the checkpoints of {{.Logs}} logs (<a href="https://c2sp.org/tlog-witness">c2sp.org/tlog-witness</a>). Cosigning is stopped for {{.Stopped}}; evidence of two histories: {{.Evidence}}.</p>
{{if .Clock}}<p>Nothing is cosigned: {{.Clock}}.</p>
{{end}}{{range .Text}}<p>{{.}}</p>
{{end}}<h2>For logs</h2>
<p>Public keys; every answer has a cosignature by each:</p>
<pre>{{range .Keys}}{{.}}
{{end}}</pre>
{{if .About.URLs}}<p>Submission:</p>
<pre>{{range .About.URLs}}{{.}}/add-checkpoint
{{end}}</pre>
{{end}}{{if .Lists}}<p>Lists of logs, read every {{.ListsEvery}}; logs that are new in one are added, and none that is known is changed or removed by one:</p>
<ul>
{{range .Lists}}<li>{{.URL}}: {{.Logs}} logs added from it
{{end}}</ul>
{{else}}<p>No list of logs is followed: the operator adds each.</p>
{{end}}<p>Limits: {{.Limits}}.</p>
{{if .About.Contact}}<p>Contact: {{.About.Contact}}</p>
{{end}}<h2>Logs</h2>
<table>
<tr><th>Log<th>Size<th>Root<th>Cosigned (UTC)<th>
{{range .Rows}}<tr><td>{{.Origin}}<td>{{if .Root}}<a href="{{.Hash}}/checkpoint">{{.Size}}</a><td><code>{{.Root}}</code><td>{{.Time}}{{else}}-<td>-<td>never{{end}}<td>{{if .Latched}}stopped{{end}}
{{end}}</table>
{{if .More}}<p>And {{.More}} more.</p>
{{end}}</html>
`))

type statusRow struct {
	Origin, Hash, Root, Time string
	Size, unix               int64
	Latched                  bool
}

type statusList struct {
	URL  string
	Logs int
}

type statusData struct {
	Name, Clock, Limits           string
	About                         About
	ListsEvery                    string
	Lists                         []statusList
	Text                          []string
	Keys                          []string
	Logs, Stopped, Evidence, More int
	Rows                          []statusRow
}

// A rendered page is shown for statusFor, or longer, so that rendering it, which reads
// every log, takes at most one part in statusPart of the time.
const (
	statusFor  = 2 * time.Second
	statusPart = 50
)

// status is the page rendered last.
type status struct {
	mu    sync.Mutex
	page  string
	tag   string // its entity tag
	until time.Time
}

func (h handler) serveStatus(rw http.ResponseWriter, r *http.Request) {
	leave, err := h.place(h.address(r))()
	if err != nil {
		h.count(nil, err)
		h.fail(rw, r, err)
		return
	}
	page, tag, err := h.statusPage(r.Context())
	leave()
	if err != nil {
		h.fail(rw, r, err)
		return
	}
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	rw.Header().Set("Content-Security-Policy", "default-src 'none'")
	rw.Header().Set("Cache-Control", "public, max-age=2")
	rw.Header().Set("ETag", tag)
	http.ServeContent(rw, r, "", time.Time{}, strings.NewReader(page))
}

// statusPage returns the page, rendered of late, and its entity tag.
func (w *Witness) statusPage(ctx context.Context) (page, tag string, err error) {
	w.status.mu.Lock()
	defer w.status.mu.Unlock()
	if begin := time.Now(); w.status.page == "" || !begin.Before(w.status.until) {
		page, err := w.renderStatus(ctx)
		if err != nil {
			return "", "", err
		}
		sum := sha256.Sum256([]byte(page))
		w.status.page, w.status.tag = page, `"`+hex.EncodeToString(sum[:16])+`"`
		end := time.Now()
		w.status.until = end.Add(max(statusFor, statusPart*end.Sub(begin)))
	}
	return w.status.page, w.status.tag, nil
}

func (w *Witness) renderStatus(ctx context.Context) (string, error) {
	logs, err := w.store.Logs(ctx)
	if err != nil {
		return "", err
	}
	d := statusData{Name: w.signers[0].Key().Name(), Clock: w.clock.doubt(), About: w.about, Limits: w.limits.String(), ListsEvery: w.about.every()}
	for p := range strings.SplitSeq(w.about.Text, "\n\n") {
		if p = strings.TrimSpace(p); p != "" {
			d.Text = append(d.Text, p)
		}
	}
	from := make(map[string]int)
	for _, k := range w.Keys() {
		d.Keys = append(d.Keys, k.String())
	}
	if w.evidence != nil {
		ids, err := w.evidence.List()
		if err != nil {
			return "", err
		}
		d.Evidence = len(ids)
	}
	for _, l := range logs {
		if l.Removed {
			continue
		}
		d.Logs++
		from[l.Source]++
		row := statusRow{Origin: l.Origin, Latched: l.Latched}
		if l.Latest != nil {
			row.Hash = HashOrigin(l.Origin).String()
			row.Size, row.Root, row.unix = l.Latest.Tree.N, l.Latest.Tree.Hash.String(), l.Latest.Time
			row.Time = time.Unix(l.Latest.Time, 0).UTC().Format(time.DateTime)
		}
		if l.Latched {
			d.Stopped++
		}
		d.Rows = append(d.Rows, row)
	}
	slices.SortStableFunc(d.Rows, func(a, b statusRow) int {
		switch {
		case a.Latched != b.Latched && a.Latched:
			return -1
		case a.Latched != b.Latched:
			return 1
		case a.unix != b.unix:
			return int(max(-1, min(1, b.unix-a.unix)))
		}
		return strings.Compare(a.Origin, b.Origin)
	})
	if len(d.Rows) > maxStatusRows {
		d.More = len(d.Rows) - maxStatusRows
		d.Rows = d.Rows[:maxStatusRows]
	}
	for _, url := range w.about.Lists {
		url = fetch.Redacted(url)
		d.Lists = append(d.Lists, statusList{url, from[url]})
	}
	var page bytes.Buffer
	if err := statusPage.Execute(&page, d); err != nil {
		return "", err
	}
	return page.String(), nil
}

// every returns how often lists are read, in words.
func (a About) every() string {
	switch d := a.ListsEvery; {
	case d == 24*time.Hour:
		return "day"
	case d == time.Hour:
		return "hour"
	case d > 0 && d%time.Hour == 0:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d > 0 && d%time.Minute == 0:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	default:
		return d.String()
	}
}
