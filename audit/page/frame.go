package page

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strings"
)

//go:embed assets
var assets embed.FS

// frame is what stands around a page.
type frame struct {
	Site    string
	Title   string
	Section string // of the navigation
	Log     string // whose page it is
	Logs    []string
	Feeds   []Feed
	Query   string // of the search
	JSON    string // the URL of the same as JSON; empty: it is a problem's
	// Standing is how the log is whose page it is; nil: the page says it by itself.
	Standing *standing
	Body     template.HTML
}

func (s *Server) frame(title, section, log string, r *http.Request) frame {
	f := frame{Site: s.cfg.Name, Title: title, Section: section, Log: log}
	for _, b := range s.books {
		f.Logs = append(f.Logs, b.Name)
	}
	f.Feeds = s.feeds(log, r)
	if r != nil {
		f.Query = r.URL.Query().Get("q")
		if section != "search" {
			f.Query = ""
		}
		q := r.URL.Query()
		q.Set("format", "json")
		// A path of two slashes would be the name of a host.
		f.JSON = "/" + strings.TrimLeft(r.URL.EscapedPath(), "/\\") + "?" + q.Encode()
	}
	return f
}

// feeds returns the feeds that a page links to: of all logs, of its log, of its repository.
func (s *Server) feeds(log string, r *http.Request) []Feed {
	if s.cfg.Feeds == nil {
		return nil
	}
	feeds := []Feed{{"Findings of all logs", "/feeds/all.atom"}}
	if log == "" {
		return feeds
	}
	feeds = append(feeds, Feed{"Findings of " + log, pathOf("feeds", log, "all.atom")})
	if r != nil && strings.Contains(r.Pattern, "/repositories/{id}") {
		feeds = append(feeds, Feed{"Findings of this repository", pathOf("feeds", log, r.PathValue("id")+".atom")})
	}
	return feeds
}

// templates are all templates.
type templates struct{ all *template.Template }

func newTemplates(s *Server) (*templates, error) {
	t, err := template.New("").Funcs(s.functions()).ParseFS(assets, "assets/*.html")
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	return &templates{t}, nil
}

// page writes a page.
func (t *templates) page(w io.Writer, f frame, name string, data any) error {
	var b bytes.Buffer
	if err := t.all.ExecuteTemplate(&b, name, data); err != nil {
		return err
	}
	f.Body = template.HTML(b.String()) //nolint:gosec // a template made it
	return t.all.ExecuteTemplate(w, "frame", f)
}

// asset answers with a file that is part of the program.
func (s *Server) asset(name, kind string) http.HandlerFunc {
	content, err := assets.ReadFile("assets/" + name)
	return func(w http.ResponseWriter, r *http.Request) {
		if err != nil {
			s.failWith(w, r, err)
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=300")
		w.Header().Set("Vary", "Accept-Encoding")
		s.write(w, r, http.StatusOK, kind, content)
	}
}

// pathOf joins the parts of a path, each escaped.
func pathOf(parts ...any) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteByte('/')
		b.WriteString(template.URLQueryEscaper(fmt.Sprint(p)))
	}
	return strings.ReplaceAll(b.String(), "+", "%20")
}
