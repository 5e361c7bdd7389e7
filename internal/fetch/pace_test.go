package fetch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// mirror answers with a body that comes in pieces, each after a pause.
type mirror struct {
	pieces int
	piece  int // bytes
	pause  time.Duration
	header time.Duration // before anything comes
}

func (m mirror) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	if !sleeps(ctx, m.header) {
		return nil, ctx.Err()
	}
	r, w := io.Pipe()
	go func() {
		for range m.pieces {
			if !sleeps(ctx, m.pause) {
				w.CloseWithError(ctx.Err())
				return
			}
			if _, err := w.Write(make([]byte, m.piece)); err != nil {
				return
			}
		}
		w.Close()
	}()
	return &http.Response{StatusCode: http.StatusOK, Body: r, Request: req}, nil
}

// sleeps reports whether nobody has lost patience meanwhile.
func sleeps(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func TestPace(t *testing.T) {
	const rate = 1024
	for _, tt := range []struct {
		name string
		m    mirror
		max  int64
		slow time.Duration // after which it is given up; 0: it is not
	}{
		{"fast", mirror{pieces: 100, piece: 100 << 10, pause: time.Second}, 10 << 20, 0},
		{"just fast enough", mirror{pieces: 1000, piece: 1100, pause: time.Second}, 1100_000, 0},
		{"short, and its end comes late", mirror{pieces: 2, piece: 1, pause: 14 * time.Second}, 2, 0},
		{"of a length that nothing has", mirror{pieces: 100, piece: 100 << 10, pause: time.Second}, math.MaxInt64, 0},
		{"a byte now and then", mirror{pieces: 10 << 20, piece: 1, pause: 5 * time.Second}, 10 << 20, DefaultWindow},
		{"half the rate", mirror{pieces: 10000, piece: rate / 2, pause: time.Second}, 10 << 20, DefaultWindow},
		{"fast at first", mirror{pieces: 10, piece: 1 << 20, pause: 9 * time.Second}, 100 << 20, 0},
		{"bursts with long pauses", mirror{pieces: 100, piece: 1 << 20, pause: 70 * time.Second}, 100 << 20, DefaultWindow},
		{"nothing at all", mirror{header: time.Hour}, 10, DefaultWindow},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				var got bytes.Buffer
				err := Pace{Rate: rate}.CopyFrom(t.Context(), &http.Client{Transport: tt.m}, &got, "http://mirror/x", 0, tt.max)
				var slow *SlowError
				if tt.slow == 0 {
					if err != nil || got.Len() != tt.m.pieces*tt.m.piece {
						t.Errorf("%d bytes, %v", got.Len(), err)
					}
				} else if !errors.As(err, &slow) || time.Since(begin) != tt.slow && tt.m.header == 0 {
					t.Errorf("after %v: %v, want it to be given up after %v", time.Since(begin), err, tt.slow)
				}
			})
		})
	}
}

// The zero Pace waits; whoever called still has the last word.
func TestPaceEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("too long")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Hour, why)
		defer cancel()
		client := &http.Client{Transport: mirror{pieces: 1 << 20, piece: 1, pause: time.Minute}}
		if _, err := (Pace{}).Get(ctx, client, "http://mirror/x", 1<<20); !errors.Is(err, why) {
			t.Errorf("got %v, want %v", err, why)
		}
		if _, err := Get(t.Context(), &http.Client{Transport: mirror{pieces: 3, piece: 1, pause: time.Hour}}, "http://mirror/x", 3); err != nil {
			t.Errorf("a slow mirror, and nobody minds: %v", err)
		}
	})
}

// A file that a server labels as packed is the packed file.
func TestCopyIsExact(t *testing.T) {
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("Accept-Encoding"))
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write([]byte("\x1f\x8b packed"))
	}))
	defer srv.Close()
	var got strings.Builder
	if err := (Pace{}).CopyFrom(t.Context(), srv.Client(), &got, srv.URL, 0, 100); err != nil || got.String() != "\x1f\x8b packed" {
		t.Errorf("got %q, %v", got.String(), err)
	}
	if len(asked) != 1 || asked[0] != "identity" {
		t.Errorf("asked for %q", asked)
	}
	if _, err := Get(t.Context(), srv.Client(), srv.URL, 100); err == nil {
		t.Error("what is not packed was unpacked")
	}
}

// A body without end takes little more memory than may be read of it.
func TestMemoryOfALongBody(t *testing.T) {
	const most = 32 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m := mirror{pieces: 1 << 20, piece: 1 << 20}
	if _, err := Get(t.Context(), &http.Client{Transport: m}, "http://mirror/x", most); !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	own := uint64(most + 2<<20) // what the mirror makes
	if got := after.TotalAlloc - before.TotalAlloc - own; got > most*3/2 {
		t.Errorf("%d bytes of memory for %d bytes", got, most)
	}
	for _, n := range []int{0, 1, largestPart, 3*largestPart + 1} {
		want := bytes.Repeat([]byte{'x'}, n)
		var g parts
		for from := 0; from < n; from += 32 << 10 {
			_, _ = g.Write(want[from:min(from+32<<10, n)])
		}
		if got := g.join(); got == nil || !bytes.Equal(got, want) {
			t.Errorf("of %d bytes it has %d", n, len(got))
		}
	}
}

// A body is continued where it was left, by servers with ranges and without.
func TestCopyFrom(t *testing.T) {
	const body = "0123456789"
	asked := ""
	for name, serve := range map[string]http.HandlerFunc{
		"ranges": func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body))
		},
		"none": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) },
		"others": func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				w.Header().Set("Content-Range", "bytes 20-29/30")
				w.WriteHeader(http.StatusPartialContent)
			}
			io.WriteString(w, body)
		},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = r.Header.Get("Range")
			serve(w, r)
		}))
		defer srv.Close()
		for from := range int64(13) {
			var got strings.Builder
			err := Pace{}.CopyFrom(t.Context(), srv.Client(), &got, srv.URL, from, max(10, from))
			bad := name == "others" && from > 0 || from > 10 || from == 10 && name == "ranges"
			switch {
			case bad && (!errors.Is(err, ErrRange) || got.Len() > 0):
				t.Errorf("%s, from %d: %q, %v", name, from, got.String(), err)
			case !bad && (err != nil || got.String() != body[from:]):
				t.Errorf("%s, from %d: %q, %v", name, from, got.String(), err)
			}
			if (asked == "") != (from == 0) {
				t.Errorf("%s, from %d: asked for %q", name, from, asked)
			}
		}
		if name == "others" {
			continue
		}
		if err := (Pace{}).CopyFrom(t.Context(), srv.Client(), io.Discard, srv.URL, 4, 9); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: ten bytes where nine are allowed: %v", name, err)
		}
	}
}
