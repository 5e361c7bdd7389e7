package fetch

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestRedacted(t *testing.T) {
	for in, want := range map[string]string{
		"":                                                   "",
		"https://log.example/a":                              "https://log.example/a",
		"https://log.example:7370/@v/x":                      "https://log.example:7370/@v/x",
		"https://ci:hunter2@log.example/a":                   "https://ci:xxxxx@log.example/a",
		"https://hunter2@log.example/a":                      "https://xxxxx@log.example/a",
		"https://:hunter2@log.example":                       "https://:xxxxx@log.example",
		"https://ci:hun@ter2@log.example":                    "https://ci:xxxxx@log.example",
		"https://ci:hun/ter2@log.example/a":                  "https://ci:xxxxx@log.example/a",
		"https://ci:hun?ter2@log.example":                    "https://ci:xxxxx@log.example",
		"https://ci:hun ter2@log.example":                    "https://ci:xxxxx@log.example",
		"postgres://tuflog:hunter2@10.0.0.8/tuflog?user=a@b": "postgres://tuflog:xxxxx@10.0.0.8/tuflog?user=a@b",
		"postgres://tuflog@10.0.0.8/tuflog":                  "postgres://tuflog@10.0.0.8/tuflog",
		"https://log.example/a?to=b@c":                       "https://log.example/a?to=b@c",
		"not a URL:// at all":                                "not a URL:// at all",
		"ci:hunter2@log.example":                             "ci:hunter2@log.example",
		"https://[2001:db8::1]:7370/a@b":                     "https://[2001:db8::1]:7370/a@b",
		"https://u:hunter2@[2001:db8::1]:7370":               "https://u:xxxxx@[2001:db8::1]:7370",
	} {
		if got := Redacted(in); got != want {
			t.Errorf("Redacted(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestRedactedText(t *testing.T) {
	for in, want := range map[string]string{
		"": "",
		"Get \"https://ci:hunter2@log.example/a\": EOF":                         "Get \"https://ci:xxxxx@log.example/a\": EOF",
		"parse \"https://ci:hun ter2@log.example\": no":                         "parse \"https://ci:xxxxx@log.example\": no",
		"https://a:hunter2@x, https://b.example and\nhttp://c:hunter2@d: a@b.c": "https://a:xxxxx@x, https://b.example and\nhttp://c:xxxxx@d: a@b.c",
		"mail a@b.example": "mail a@b.example",
	} {
		if got := RedactedText(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// No error of a request has the password of its URL, however it comes about.
func TestNoErrorHasAPassword(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/long":
			_, _ = w.Write(make([]byte, 100))
		case "/cut":
			w.Header().Set("Content-Length", "10")
			_, _ = w.Write(make([]byte, 5))
		case "/away":
			http.Redirect(w, r, "/", http.StatusFound)
		default:
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tt := range map[string]struct {
		ctx context.Context
		url string
	}{
		"status":            {t.Context(), "http://ci:hunter2@" + host},
		"too long":          {t.Context(), "http://ci:hunter2@" + host + "/long"},
		"cut short":         {t.Context(), "http://ci:hunter2@" + host + "/cut"},
		"redirect":          {t.Context(), "http://ci:hunter2@" + host + "/away"},
		"canceled":          {ended, "http://ci:hunter2@" + host},
		"nobody listens":    {t.Context(), "http://ci:hunter2@127.0.0.1:1"},
		"token":             {t.Context(), "http://hunter2@127.0.0.1:1"},
		"scheme":            {t.Context(), "gopher://ci:hunter2@127.0.0.1"},
		"space":             {t.Context(), "http://ci:hunter2 @127.0.0.1"},
		"escape":            {t.Context(), "http://ci:%zzhunter2@127.0.0.1"},
		"slash":             {t.Context(), "http://ci:hunter2/@127.0.0.1"},
		"port of a host":    {t.Context(), "http://ci:hunter2@127.0.0.1:none"},
		"control character": {t.Context(), "http://ci:hunter2\x7f@127.0.0.1"},
	} {
		_, err := Get(tt.ctx, Direct(nil), tt.url, 10)
		if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
		var status *StatusError
		if errors.As(err, &status) && strings.Contains(status.URL, "hunter2") {
			t.Errorf("%s: the error has %s", name, status.URL)
		}
		var e *url.Error
		if errors.As(err, &e) && strings.Contains(e.URL, "hunter2") {
			t.Errorf("%s: the error has %s", name, e.URL)
		}
	}
}

// What a server answers passes for nobody else's words.
func TestStatusErrorIsOneLine(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "\x1b[2Jgone\nupdater: all is well", http.StatusTeapot)
	}))
	defer srv.Close()
	_, err := Get(t.Context(), Direct(nil), srv.URL, 10)
	if want := srv.URL + ` answered 418 I'm a teapot: "\x1b[2Jgone\nupdater: all is well"`; err == nil || err.Error() != want {
		t.Fatalf("%v, want %s", err, want)
	}
}
