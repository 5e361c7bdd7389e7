package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// An answer that is not a log's says nothing about the log: a proxy answers in the name of
// a process that is gone, or another server has its port.
func TestAskReady(t *testing.T) {
	const problem = `{"code":%q,"detail":"no witness"}`
	for _, tt := range []struct {
		status   int
		id       string
		body     string
		why, err string
	}{
		{200, "a", "ready\n", "", ""},
		{403, "a", fmt.Sprintf(problem, "ended"), "", ""},
		{503, "a", fmt.Sprintf(problem, "unavailable"), "no witness", ""},
		{503, "a", `{"code":"unavailable"}`, "503 Service Unavailable", ""},
		{200, "", "<h1>hello</h1>", "", "answered 200 OK"},
		{403, "", "<h1>no</h1>", "", "answered 403 Forbidden"},
		{403, "a", fmt.Sprintf(problem, "unauthorized"), "no witness", ""},
		{502, "a", "<h1>gone</h1>", "", "answered 502 Bad Gateway"},
		{503, "", fmt.Sprintf(problem, "unavailable"), "", "answered 503"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if tt.id != "" {
				w.Header().Set("X-Request-Id", tt.id)
			}
			w.WriteHeader(tt.status)
			fmt.Fprint(w, tt.body)
		}))
		why, err := askReady(t.Context(), s.URL)
		s.Close()
		if why != tt.why || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%d %s: %q, %v", tt.status, tt.body, why, err)
		}
	}
}
