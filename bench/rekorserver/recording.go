package rekorserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"unicode/utf8"
)

// Recording is what a real server has answered: for tests where there is none. The test
// TestRecording of this package makes it anew with -update, and compares it otherwise with
// what the server answers now.
type Recording struct {
	Of       string   `json:"of"`        // the server and its version
	Hostname string   `json:"hostname"`  // of its checkpoints
	RekorKey string   `json:"rekor_key"` // its public key, in PEM
	LogKey   string   `json:"log_key"`   // that signed the notes, as proofs.ParseKey reads it
	Notes    []string `json:"notes"`     // that were submitted, in that order
	Answers  []Answer `json:"answers"`   // in the order in which they were given
}

// Answer is one answer.
type Answer struct {
	Method string `json:"method"`
	Path   string `json:"path"` // with its query
	// Has is a part of the request's body that tells the request from others.
	Has    string            `json:"has,omitempty"`
	Status int               `json:"status"`
	Header map[string]string `json:"header,omitempty"` // what clients read of it
	Text   string            `json:"text,omitempty"`   // the body, if it is UTF-8
	Bytes  []byte            `json:"bytes,omitempty"`  // the body otherwise
}

// Body returns the body of an answer.
func (a *Answer) Body() []byte {
	if a.Bytes != nil {
		return a.Bytes
	}
	return []byte(a.Text)
}

// keptHeaders are those that are recorded.
var keptHeaders = []string{"Content-Type", "Location", "X-Log-Index"}

// newAnswer records an answer.
func newAnswer(req *http.Request, has string, resp *http.Response) (Answer, error) {
	body, err := io.ReadAll(resp.Body)
	a := Answer{Method: req.Method, Path: req.URL.RequestURI(), Has: has, Status: resp.StatusCode, Header: map[string]string{}}
	if utf8.Valid(body) {
		a.Text = string(body)
	} else {
		a.Bytes = body
	}
	for _, name := range keptHeaders {
		if v := resp.Header.Get(name); v != "" {
			a.Header[name] = v
		}
	}
	return a, err
}

// ReadRecording reads a recording from a file.
func ReadRecording(path string) (*Recording, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r Recording
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("recording %s: %w", path, err)
	}
	return &r, nil
}

// Handler answers what was recorded, and anything else with 501. The same request is
// answered as it was the first time, then the second, and so on; the last answer is repeated.
func (r *Recording) Handler() http.Handler {
	var mu sync.Mutex
	given := map[string]int{}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var fit []*Answer
		for i, a := range r.Answers {
			if a.Method == req.Method && a.Path == req.URL.RequestURI() && bytes.Contains(body, []byte(a.Has)) {
				fit = append(fit, &r.Answers[i])
			}
		}
		if len(fit) == 0 {
			http.Error(w, "not recorded: "+req.Method+" "+req.URL.RequestURI(), http.StatusNotImplemented)
			return
		}
		mu.Lock()
		what := strings.Join([]string{req.Method, req.URL.RequestURI(), fit[0].Has}, " ")
		a := fit[min(given[what], len(fit)-1)]
		given[what]++
		mu.Unlock()
		for name, v := range a.Header {
			w.Header().Set(name, v)
		}
		w.WriteHeader(a.Status)
		_, _ = w.Write(a.Body()) // the client may be gone
	})
}
