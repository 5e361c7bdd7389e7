package witness

import (
	"bytes"
	"context"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxStatusRows bounds the status page. Stopped logs come first, then the logs
// cosigned last.
const maxStatusRows = 200

var statusPage = template.Must(template.New("status").Parse(`<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>Witness {{.Name}}</title>
<h1>Witness {{.Name}}</h1>
<p>Cosigns the checkpoints of {{.Logs}} logs (<a href="https://c2sp.org/tlog-witness">c2sp.org/tlog-witness</a>). Cosigning is stopped for {{.Stopped}}; evidence of two histories: {{.Evidence}}.</p>
{{if .Clock}}<p>Nothing is cosigned: {{.Clock}}.</p>
{{end}}<p>Public keys:</p>
<pre>{{range .Keys}}{{.}}
{{end}}</pre>
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

type statusData struct {
	Name, Clock                   string
	Keys                          []string
	Logs, Stopped, Evidence, More int
	Rows                          []statusRow
}

// statusFor is how long a rendered page is shown: rendering it reads every log.
const statusFor = 2 * time.Second

// status is the page rendered last.
type status struct {
	mu   sync.Mutex
	page string
	at   time.Time
}

func (h handler) serveStatus(rw http.ResponseWriter, r *http.Request) {
	leave, err := h.place(clientAddress(r, h.header))()
	if err != nil {
		h.count(nil, err)
		h.fail(rw, r, err)
		return
	}
	page, err := h.statusPage(r.Context())
	leave()
	if err != nil {
		h.fail(rw, r, err)
		return
	}
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	rw.Header().Set("Content-Security-Policy", "default-src 'none'")
	rw.Header().Set("Cache-Control", "no-cache")
	h.write(rw, r, page)
}

// statusPage returns the page, rendered of late.
func (w *Witness) statusPage(ctx context.Context) (string, error) {
	w.status.mu.Lock()
	defer w.status.mu.Unlock()
	if now := time.Now(); w.status.page == "" || now.Sub(w.status.at) > statusFor {
		page, err := w.renderStatus(ctx)
		if err != nil {
			return "", err
		}
		w.status.page, w.status.at = page, now
	}
	return w.status.page, nil
}

func (w *Witness) renderStatus(ctx context.Context) (string, error) {
	logs, err := w.store.Logs(ctx)
	if err != nil {
		return "", err
	}
	d := statusData{Name: w.signers[0].Key().Name(), Clock: w.clock.doubt()}
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
	var page bytes.Buffer
	if err := statusPage.Execute(&page, d); err != nil {
		return "", err
	}
	return page.String(), nil
}
