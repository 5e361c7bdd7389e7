package api

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tuflog/tuflog/leaf"
)

// serve starts a log that answers with the given handlers.
func serve(t *testing.T, routes map[string]http.HandlerFunc) *Client {
	t.Helper()
	mux := http.NewServeMux()
	for pattern, h := range routes {
		mux.HandleFunc(pattern, h)
	}
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return &Client{Base: srv.URL, HTTP: srv.Client()}
}

func answer(w http.ResponseWriter, status int, contentType string, v any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(err)
	}
}

func TestSubmitSendsATar(t *testing.T) {
	c := serve(t, map[string]http.HandlerFunc{
		"POST /v1/repositories/{id}/metadata": func(w http.ResponseWriter, r *http.Request) {
			if r.PathValue("id") != "ab" || r.Header.Get("Content-Type") != TypeTar ||
				r.Header.Get("Prefer") != "wait=3" || r.Header.Get("Authorization") != "Bearer s3cret" {
				t.Errorf("id %q, header %v", r.PathValue("id"), r.Header)
			}
			if _, sent := r.Header["Idempotency-Key"]; sent {
				t.Error("sent an empty Idempotency-Key")
			}
			res := Result{Repository: "ab", Done: true}
			tr := tar.NewReader(r.Body)
			for {
				h, err := tr.Next()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Error(err)
					break
				}
				data, err := io.ReadAll(tr)
				if err != nil {
					t.Error(err)
				}
				res.Results = append(res.Results, FileResult{File: h.Name, Detail: string(data), Status: StatusReleased})
			}
			answer(w, 200, TypeJSON, res)
		},
	})
	c.Token, c.Prefer, c.Base = "s3cret", 3*time.Second, c.Base+"/"
	res, err := c.Submit(t.Context(), "ab", []File{{"1.root.json", []byte("one")}, {"1.%2E.json", []byte("two")}})
	if err != nil {
		t.Fatal(err)
	}
	want := []FileResult{
		{File: "1.root.json", Detail: "one", Status: StatusReleased},
		{File: "1.%2E.json", Detail: "two", Status: StatusReleased},
	}
	if !res.Done || len(res.Results) != 2 || res.Results[0] != want[0] || res.Results[1] != want[1] {
		t.Fatalf("got %+v", res)
	}
}

func TestRegisterPolls(t *testing.T) {
	var posts, polls atomic.Int64
	c := serve(t, map[string]http.HandlerFunc{
		"POST /v1/repositories": func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil || string(body) != "a root" || r.Header.Get("Content-Type") != TypeJSON {
				t.Errorf("body %q, %v, header %v", body, err, r.Header)
			}
			w.Header().Set("Location", fmt.Sprintf("submissions/%d", posts.Add(1)))
			answer(w, 202, TypeJSON, Result{Results: []FileResult{{Status: StatusPending, Index: -1}}})
		},
		"GET /v1/submissions/{n}": func(w http.ResponseWriter, r *http.Request) {
			switch polls.Add(1) {
			case 1: // restarted: it knows nothing of that submission
				answer(w, 404, TypeProblem, Problem{Code: CodeNotFound})
			case 2:
				w.Header().Set("Retry-After", "0")
				answer(w, 202, TypeJSON, Result{Results: []FileResult{{Status: StatusPending}}})
			default:
				answer(w, 200, TypeJSON, Result{Repository: r.PathValue("n"), Done: true})
			}
		},
	})
	res, err := c.Register(t.Context(), []byte("a root"))
	if err != nil || !res.Done || res.Repository != "2" {
		t.Fatalf("got %+v, %v", res, err)
	}
	if posts.Load() != 2 || polls.Load() != 3 {
		t.Fatalf("%d posts, %d polls", posts.Load(), polls.Load())
	}
}

func TestSubmitReturnsWhatItHasWhenTimeIsUp(t *testing.T) {
	c := serve(t, map[string]http.HandlerFunc{
		"POST /v1/repositories/{id}/metadata": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/v1/submissions/1")
			answer(w, 202, TypeJSON, Result{Results: []FileResult{{Status: StatusPending}}})
		},
		"GET /v1/submissions/1": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "3600")
			answer(w, 202, TypeJSON, Result{Results: []FileResult{{Status: StatusReleased}, {Status: StatusPending}}})
		},
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	res, err := c.Submit(ctx, "ab", nil)
	if !errors.Is(err, context.DeadlineExceeded) || res == nil || len(res.Results) != 2 || res.Done {
		t.Fatalf("got %+v, %v", res, err)
	}
}

func TestAllRefusedIsAResult(t *testing.T) {
	results := []FileResult{{File: "targets.json", Role: "targets", Status: StatusRefused, Index: -1, Code: CodeThreshold}}
	c := serve(t, map[string]http.HandlerFunc{
		"POST /v1/repositories/{id}/metadata": func(w http.ResponseWriter, r *http.Request) {
			answer(w, 422, TypeProblem, Problem{Code: CodeRefused, Repository: "ab", Results: results})
		},
		"POST /v1/repositories": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/later")
			answer(w, 202, TypeJSON, Result{})
		},
		"GET /later": func(w http.ResponseWriter, r *http.Request) {
			answer(w, 422, TypeProblem, Problem{Code: CodeRefused, Repository: "ab", Results: results})
		},
	})
	for name, ask := range map[string]func() (*Result, error){
		"at once": func() (*Result, error) { return c.Submit(t.Context(), "ab", nil) },
		"later":   func() (*Result, error) { return c.Register(t.Context(), nil) },
	} {
		res, err := ask()
		if err != nil || !res.Done || res.Repository != "ab" || len(res.Results) != 1 || res.Results[0] != results[0] {
			t.Errorf("%s: got %+v, %v", name, res, err)
		}
	}
}

func TestFullLogIsAskedAgain(t *testing.T) {
	for _, status := range []int{503, 429} {
		var asked atomic.Int64
		c := serve(t, map[string]http.HandlerFunc{
			"POST /v1/repositories": func(w http.ResponseWriter, r *http.Request) {
				if body, err := io.ReadAll(r.Body); err != nil || string(body) != "root" {
					t.Errorf("body %q, %v", body, err)
				}
				if asked.Add(1) < 3 {
					w.Header().Set("Retry-After", "0")
					answer(w, status, TypeProblem, Problem{Code: CodeBusy})
					return
				}
				answer(w, 200, TypeJSON, Result{Done: true})
			},
		})
		if _, err := c.Register(t.Context(), []byte("root")); err != nil || asked.Load() != 3 {
			t.Errorf("%d: %v after %d requests", status, err, asked.Load())
		}
	}
}

func TestFullLogAndNoTime(t *testing.T) {
	c := serve(t, map[string]http.HandlerFunc{
		"POST /v1/repositories": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
			answer(w, 503, TypeProblem, Problem{Code: CodeUnavailable, Detail: "2 of 3 witnesses are silent"})
		},
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := c.Register(ctx, nil)
	var problem *ProblemError
	if !errors.As(err, &problem) || problem.Code != CodeUnavailable || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
}

func TestProblems(t *testing.T) {
	c := serve(t, map[string]http.HandlerFunc{
		"GET /v1/repositories/gone": func(w http.ResponseWriter, r *http.Request) {
			answer(w, 404, TypeProblem+"; charset=utf-8", Problem{Title: "Not Found", Status: 200, Code: CodeUnknownRepo, Detail: "no such repository"})
		},
		"GET /v1/repositories/proxy": func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "<h1>upstream \xff died</h1>"+strings.Repeat("x", 2000), http.StatusInternalServerError)
		},
		"GET /v1/repositories/lies": func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "hello")
		},
	})
	_, err := c.Repository(t.Context(), "gone")
	var problem *ProblemError
	if !errors.As(err, &problem) || problem.Code != CodeUnknownRepo || problem.Status != 404 || problem.Detail != "no such repository" {
		t.Errorf("problem: %#v", err)
	}
	// No problem document: the beginning of what there is.
	_, err = c.Repository(t.Context(), "proxy")
	if !errors.As(err, &problem) || problem.Code != "" || problem.Status != 500 ||
		!strings.Contains(problem.Detail, "upstream  died") || len(problem.Detail) > 512 {
		t.Errorf("proxy: %#v", err)
	}
	if _, err := c.Repository(t.Context(), "lies"); err == nil {
		t.Error("took hello for a repository")
	}
}

func TestReads(t *testing.T) {
	seven := int64(7)
	leaf := Leaf{Index: 8, Fields: leaf.Fields{Kind: "evidence", Role: "a/b", Contradicts: &seven}}
	c := serve(t, map[string]http.HandlerFunc{
		"GET /v1/repositories": func(w http.ResponseWriter, r *http.Request) {
			answer(w, 200, TypeJSON, RepositoryList{[]RepositoryInfo{{ID: "ab", Releases: 3}}})
		},
		"GET /v1/repositories/{id}": func(w http.ResponseWriter, r *http.Request) {
			answer(w, 200, TypeJSON, Repository{RepositoryInfo{ID: r.PathValue("id")}, []Leaf{leaf}})
		},
		"GET /v1/lookup/sha256/{hex}": func(w http.ResponseWriter, r *http.Request) {
			answer(w, 200, TypeJSON, Lookup{SHA256: r.PathValue("hex"), Blob: true})
		},
		"GET /v1/entries/{index}/proof": func(w http.ResponseWriter, r *http.Request) {
			if r.PathValue("index") == "2" {
				w.Write(bytes.Repeat([]byte("x"), maxProof+1))
				return
			}
			fmt.Fprint(w, "proof of "+r.PathValue("index"))
		},
	})
	ctx := t.Context()
	if l, err := c.Repositories(ctx); err != nil || len(l.Repositories) != 1 || l.Repositories[0].Releases != 3 {
		t.Errorf("Repositories = %+v, %v", l, err)
	}
	r, err := c.Repository(ctx, "cd")
	if err != nil || r.ID != "cd" || len(r.Leaves) != 1 || *r.Leaves[0].Contradicts != 7 || r.Leaves[0].Role != "a/b" {
		t.Errorf("Repository = %+v, %v", r, err)
	}
	if l, err := c.Lookup(ctx, "00ff"); err != nil || l.SHA256 != "00ff" || !l.Blob {
		t.Errorf("Lookup = %+v, %v", l, err)
	}
	if p, err := c.EntryProof(ctx, 1); err != nil || string(p) != "proof of 1" {
		t.Errorf("EntryProof = %q, %v", p, err)
	}
	if _, err := c.EntryProof(ctx, 2); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a proof of %d bytes: %v", maxProof+1, err)
	}
}

func TestLocationMustBeOnTheLog(t *testing.T) {
	c := &Client{Base: "https://log.example/tuf/"}
	at, err := url.Parse("https://log.example/tuf/v1/repositories/ab/metadata")
	if err != nil {
		t.Fatal(err)
	}
	for location, want := range map[string]string{
		"../../submissions/1":                    "https://log.example/tuf/v1/submissions/1",
		"/tuf/v1/submissions/1":                  "https://log.example/tuf/v1/submissions/1",
		"https://log.example/tuf/v1/submissions": "https://log.example/tuf/v1/submissions",
		"/v1/submissions/1":                      "",
		"../../../../other":                      "",
		"https://evil.example/tuf/":              "",
		"http://log.example/tuf/":                "",
		"//evil.example/tuf/x":                   "",
		"http://[":                               "",
	} {
		got, err := c.sameLog(at, location)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("sameLog(%q) = %q, %v; want %q", location, got, err, want)
		}
	}
}

// The token goes to no other place than the one that was given, and the error says
// where the log wants to be asked.
func TestNoRedirects(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer elsewhere.Close()
	c := serve(t, map[string]http.HandlerFunc{
		"/": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusPermanentRedirect)
		},
	})
	c.Token = "s3cret"
	for path, ask := range map[string]func() error{
		"/v1/repositories":             func() error { _, err := c.Register(t.Context(), []byte("{}")); return err },
		"/v1/repositories/ab/metadata": func() error { _, err := c.Submit(t.Context(), "ab", nil); return err },
		"/v1/submissions/1":            func() error { _, err := c.Wait(t.Context(), "/v1/submissions/1"); return err },
		"/v1/repositories/ab":          func() error { _, err := c.Repository(t.Context(), "ab"); return err },
	} {
		want := "the log's URL redirects to \"" + elsewhere.URL + "\": use that"
		if err := ask(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Why the log cannot publish is told to those who wait, and is in the error of those
// who give up.
func TestWaiting(t *testing.T) {
	const why = "size 3 is not published: witness w1: status 403 Forbidden: \"who are you?\""
	pending := Result{Results: []FileResult{{Status: StatusPending, Index: -1}}, Waiting: why}
	c := serve(t, map[string]http.HandlerFunc{
		"POST /v1/repositories": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/v1/submissions/1")
			answer(w, http.StatusAccepted, TypeJSON, pending)
		},
		"GET /v1/submissions/1": func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusAccepted, TypeJSON, pending) },
	})
	ctx, cancel := context.WithCancel(t.Context())
	told := 0
	c.Waits = func(got string) {
		if got != why {
			t.Errorf("told %q", got)
		}
		if told++; told == 3 {
			cancel()
		}
	}
	res, err := c.Register(ctx, []byte("{}"))
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "the log says: \"size 3") || res == nil || res.Waiting != why {
		t.Errorf("got %+v, %v", res, err)
	}
}

// transport answers requests without a network.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A proxy that cannot reach the log says so by itself: that passes, as a rule. The log's
// own answer is final, and so is the proxy's after a while.
func TestProxysAnswersAreAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked, bad int
		var told []string
		status, body := http.StatusBadGateway, "<html>"
		c := &Client{Base: "http://log.example", Waits: func(why string) { told = append(told, why) }}
		c.HTTP = &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			resp := httptest.NewRecorder()
			if asked++; asked <= bad {
				http.Error(resp, body, status)
			} else {
				answer(resp, 200, TypeJSON, Result{Done: true})
			}
			answer := resp.Result()
			answer.Request = r
			return answer, nil
		})}
		for _, status = range []int{502, 503, 504} {
			asked, bad, told = 0, 4, nil
			if _, err := c.Register(t.Context(), nil); err != nil || asked != 5 || len(told) != 4 || !strings.Contains(told[0], strconv.Itoa(status)) {
				t.Errorf("%d: %v after %d requests, told %q", status, err, asked, told)
			}
		}
		var problem *ProblemError
		asked, bad = 0, 1000
		began := time.Now()
		if _, err := c.Register(t.Context(), nil); !errors.As(err, &problem) || problem.Status != 504 || problem.Detail != "<html>" || asked != proxyTries || time.Since(began) > time.Minute {
			t.Errorf("%v after %d requests and %v", err, asked, time.Since(began))
		}
		asked, status = 0, 500
		if _, err := c.Register(t.Context(), nil); !errors.As(err, &problem) || asked != 1 {
			t.Errorf("a 500: %v after %d requests", err, asked)
		}
	})
}

func TestReady(t *testing.T) {
	var p *Problem
	c := serve(t, map[string]http.HandlerFunc{"GET /readyz": func(w http.ResponseWriter, _ *http.Request) {
		if p == nil {
			fmt.Fprintln(w, "ready")
			return
		}
		w.Header().Set("Retry-After", "1")
		answer(w, p.Status, TypeProblem, p)
	}})
	if why, err := c.Ready(t.Context()); why != "" || err != nil {
		t.Errorf("ready: %q, %v", why, err)
	}
	p = &Problem{Status: 503, Code: CodeUnavailable, Detail: "2 of 3 witnesses are silent"}
	if why, err := c.Ready(t.Context()); why != p.Detail || err != nil {
		t.Errorf("not ready: %q, %v", why, err)
	}
	c.Base += "/elsewhere"
	if why, err := c.Ready(t.Context()); why != "" || err == nil {
		t.Errorf("no log: %q, %v", why, err)
	}
}

// A log that says "at once" each time is not asked without a pause.
func TestRetryAfterNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		asked := 0
		c := &Client{Base: "http://log.example"}
		c.HTTP = &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			asked++
			if asked > 1000 {
				return nil, errors.New("asked a thousand times")
			}
			return &http.Response{
				StatusCode: http.StatusAccepted, Request: r, Header: http.Header{"Retry-After": {"0"}},
				Body: io.NopCloser(strings.NewReader("{}")),
			}, nil
		})}
		if _, err := c.Wait(ctx, "v1/submissions/x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if asked > 51 {
			t.Errorf("%d requests in 10 s", asked)
		}
	})
}
