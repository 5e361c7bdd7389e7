package alert

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/tuf"
)

// feedEntries is how many events a feed has, the newest first.
const feedEntries = 100

// The elements of an Atom feed (RFC 4287).
type (
	atomFeed struct {
		XMLName xml.Name    `xml:"http://www.w3.org/2005/Atom feed"`
		ID      string      `xml:"id"`
		Title   string      `xml:"title"`
		Updated string      `xml:"updated"`
		Author  atomAuthor  `xml:"author"`
		Links   []atomLink  `xml:"link"`
		Entries []atomEntry `xml:"entry"`
	}
	atomAuthor struct {
		Name string `xml:"name"`
	}
	atomLink struct {
		Rel  string `xml:"rel,attr"`
		Href string `xml:"href,attr"`
	}
	atomEntry struct {
		ID         string         `xml:"id"`
		Title      string         `xml:"title"`
		Updated    string         `xml:"updated"`
		Links      []atomLink     `xml:"link"`
		Categories []atomCategory `xml:"category"`
		Content    atomContent    `xml:"content"`
	}
	atomCategory struct {
		Term string `xml:"term,attr"`
	}
	atomContent struct {
		Type string `xml:"type,attr"`
		Text string `xml:",chardata"`
	}
)

// Feeds serves the events about findings as Atom feeds, outages left out. url is the
// page's, ends with a slash and may be empty.
//
//	/feeds/all.atom           of all logs
//	/feeds/LOG/all.atom       of one log, by its name in the configuration
//	/feeds/LOG/ID.atom        of one repository there, by its id
func (r *Reader) Feeds(url string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /feeds/all.atom", func(w http.ResponseWriter, req *http.Request) {
		r.serveFeed(w, req, url, "all logs", "", nil)
	})
	mux.HandleFunc("GET /feeds/{log}/all.atom", func(w http.ResponseWriter, req *http.Request) {
		log := req.PathValue("log")
		r.serveFeed(w, req, url, "the log "+log, " AND log = ?", []any{log})
	})
	mux.HandleFunc("GET /feeds/{log}/{file}", func(w http.ResponseWriter, req *http.Request) {
		log := req.PathValue("log")
		text, ok := strings.CutSuffix(req.PathValue("file"), ".atom")
		id, err := tuf.ParseDigest(text)
		if !ok || err != nil {
			http.NotFound(w, req)
			return
		}
		r.serveFeed(w, req, url, "the repository "+text+" in the log "+log, " AND log = ? AND repository = ?", []any{log, id[:]})
	})
	return mux
}

func (r *Reader) serveFeed(w http.ResponseWriter, req *http.Request, url, of, cond string, args []any) {
	var newest int64
	ctx := req.Context()
	cond = " FROM events WHERE class NOT IN ('', ?)" + cond
	args = append([]any{audit.Outage}, args...)
	if err := r.db.QueryRowContext(ctx, "SELECT coalesce(max(number), 0)"+cond, args...).Scan(&newest); err != nil {
		http.Error(w, "the events cannot be read", http.StatusInternalServerError)
		return
	}
	etag := fmt.Sprintf(`"%s"`, newID("feed", newest, url, req.URL.Path)[:16])
	w.Header().Set("ETag", etag)
	w.Header().Set("Cache-Control", "no-cache")
	if strings.Contains(req.Header.Get("If-None-Match"), etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	feed := atomFeed{
		ID: "urn:tuflog:feed:" + req.URL.EscapedPath(), Title: "tuflog: findings of " + printable.Line(of), Author: atomAuthor{"tuflog auditor"},
		Updated: time.Unix(0, 0).UTC().Format(time.RFC3339),
	}
	if url != "" {
		feed.Links = []atomLink{{"self", strings.TrimSuffix(url, "/") + req.URL.EscapedPath()}, {"alternate", url}}
	}
	err := query(ctx, r.db, "SELECT body"+cond+" AND number <= ? ORDER BY number DESC LIMIT ?", append(args, newest, feedEntries), func(rows *sql.Rows) error {
		var body []byte
		var e Event
		if err := rows.Scan(&body); err != nil {
			return err
		}
		if err := json.Unmarshal(body, &e); err != nil {
			return err
		}
		feed.Entries = append(feed.Entries, entryOf(&e))
		return nil
	})
	if err != nil {
		w.Header().Del("ETag")
		http.Error(w, "the events cannot be read", http.StatusInternalServerError)
		return
	}
	if len(feed.Entries) > 0 {
		feed.Updated = feed.Entries[0].Updated
	}
	out := bytes.NewBufferString(xml.Header)
	if err := xml.NewEncoder(out).Encode(feed); err != nil {
		w.Header().Del("ETag")
		http.Error(w, "the feed cannot be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/atom+xml; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(out.Bytes())
}

// entryOf leaves the command out: its paths are those of the auditor's machine.
func entryOf(e *Event) atomEntry {
	e.Command, e.Asks = "", false
	entry := atomEntry{
		ID: "urn:tuflog:event:" + e.ID, Title: strings.TrimPrefix(subject(e), "[tuflog] "), Updated: e.Time.Format(time.RFC3339),
		Categories: []atomCategory{{string(e.Finding.Class)}, {string(e.Finding.Kind)}, {string(e.Type)}},
		Content:    atomContent{"text", text(e)},
	}
	if e.Link != "" {
		entry.Links = []atomLink{{"alternate", e.Link}}
	}
	return entry
}
