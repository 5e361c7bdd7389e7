package fetch

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestDirect(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer elsewhere.Close()
	to := elsewhere.URL
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, to, map[string]int{"/301": 301, "/302": 302, "/303": 303, "/307": 307, "/308": 308}[r.URL.Path])
	}))
	defer srv.Close()
	for _, hc := range []*http.Client{nil, srv.Client(), {CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}} {
		for _, path := range []string{"/301", "/302", "/303", "/307", "/308"} {
			_, err := Get(t.Context(), Direct(hc), srv.URL+path, 10)
			var redirect *RedirectError
			if !errors.As(err, &redirect) || redirect.From != srv.URL+path || redirect.To != elsewhere.URL || AsRedirect(err) != redirect {
				t.Errorf("GET %s: %v", path, err)
			}
			_, err = Direct(hc).Post(srv.URL+path, "text/plain", strings.NewReader("secret"))
			if redirect := AsRedirect(err); redirect == nil || redirect.To != elsewhere.URL {
				t.Errorf("POST %s: %v", path, err)
			}
		}
	}
	if srv.Client().CheckRedirect != nil || AsRedirect(errors.New("other")) != nil {
		t.Error("Direct has changed the client that it was given")
	}
	// What a server makes up does not reach a terminal.
	to = "http://user:password@inside/\u202e" + strings.Repeat("x", 10000)
	if _, err := Get(t.Context(), Direct(nil), srv.URL+"/302", 10); err == nil || strings.Contains(AsRedirect(err).Error(), "password") || len(AsRedirect(err).Error()) > 1200 {
		t.Errorf("got %v", err)
	}
}

// A client may be led to other paths of a host, and nowhere else.
func TestSameHost(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer elsewhere.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to := map[string]string{"/moved": "/here", "/away": elsewhere.URL, "/other": "ftp://" + r.Host, "/round": "/round", "/twice": "/away"}[r.URL.Path]; to != "" {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		fmt.Fprint(w, "file")
	}))
	defer srv.Close()
	for _, path := range []string{"/here", "/moved"} {
		if b, err := Get(t.Context(), SameHost(nil), srv.URL+path, 10); err != nil || string(b) != "file" {
			t.Errorf("%s: %q, %v", path, b, err)
		}
	}
	for _, path := range []string{"/away", "/other", "/round", "/twice"} {
		if _, err := Get(t.Context(), SameHost(nil), srv.URL+path, 10); AsRedirect(err) == nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}
