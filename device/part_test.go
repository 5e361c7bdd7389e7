package device_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/testrepo"
	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/verify"
)

// hurdle is where an Origin stops, once for each entry: after so many bytes.
type hurdle struct {
	device.Origin
	stops []int64
	asked []int64 // where each copy was to begin
}

var errOutage = errors.New("the line is down")

func (h *hurdle) CopyTarget(ctx context.Context, w io.Writer, path string, found verify.Lookup, from int64) error {
	h.asked = append(h.asked, from)
	if len(h.stops) == 0 {
		return h.Origin.CopyTarget(ctx, w, path, found, from)
	}
	var content strings.Builder
	if err := h.Origin.CopyTarget(ctx, &content, path, found, from); err != nil {
		return err
	}
	stop := h.stops[0]
	h.stops = h.stops[1:]
	if _, err := io.WriteString(w, content.String()[:stop-from]); err != nil {
		return err
	}
	return errOutage
}

// What has come of a target is kept over an outage and gone on with, from servers with
// ranges and without and from a folder. A part that is wrong is thrown away, and what a file
// has too much or too little is never taken.
func TestPartsAreContinued(t *testing.T) {
	dir := t.TempDir()
	if err := testrepo.Write(dir); err != nil {
		t.Fatal(err)
	}
	served := 0 // bytes of targets
	ranges := true
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !ranges {
			r.Header.Del("Range")
		}
		http.FileServer(http.Dir(dir)).ServeHTTP(w, r)
		if n, err := strconv.Atoi(w.Header().Get("Content-Length")); err == nil && strings.HasPrefix(r.URL.Path, "/targets/") {
			served += n
		}
	}))
	defer site.Close()
	cfg, err := config(dir)
	if err != nil {
		t.Fatal(err)
	}
	store, err := create(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	folder, err := device.OpenFolder(filepath.Join(dir, "metadata"))
	if err != nil {
		t.Fatal(err)
	}
	folder.Targets = filepath.Join(dir, "targets")
	web := &device.Repository{URL: site.URL + "/metadata/", TargetsURL: site.URL + "/targets/"}
	for i, tt := range []struct {
		name   string
		origin device.Origin
		ranges bool
		damage func(part []byte) []byte // of what the first run leaves, which are 5 bytes
		asked  string                   // where the copies of the second run begin
		served int                      // bytes of the second run over HTTP
	}{
		{"ranges", web, true, nil, "[5]", 3},
		{"no ranges", web, false, nil, "[5]", 8},
		{"folder", folder, true, nil, "[5]", 0},
		{"damaged", web, true, func(b []byte) []byte { b[2]++; return b }, "[5 0]", 3 + 8},
		{"damaged, no ranges", web, false, func(b []byte) []byte { b[2]++; return b }, "[5 0]", 8 + 8},
		{"damaged, folder", folder, true, func(b []byte) []byte { b[2]++; return b }, "[5 0]", 0},
		{"too long", web, true, func(b []byte) []byte { return append(b, "12345"...) }, "[0]", 8},
		{"whole", folder, true, func([]byte) []byte { return []byte("firmware") }, "[]", 0},
		{"as long, and wrong", folder, true, func([]byte) []byte { return []byte("hardware") }, "[0]", 0},
		{"empty", folder, true, func([]byte) []byte { return nil }, "[0]", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ranges = tt.ranges
			h := &hurdle{Origin: tt.origin, stops: []int64{2, 5}}
			var told []int64
			d := &device.Device{Store: store, Origin: h, Progress: func(_ string, have, length int64) {
				if told = append(told, have); length != 8 {
					t.Errorf("%d of %d bytes", have, length)
				}
			}}
			if _, err := d.Refresh(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			to := filepath.Join(dir, fmt.Sprint("installed", i))
			download := func() error {
				targets, err := d.Download(t.Context(), []string{"firmware.bin"}, to)
				if err != nil {
					t.Fatal(err)
				}
				return targets[0].Err
			}
			for range 2 {
				var r *verify.Refusal
				if err := download(); !errors.As(err, &r) || r.Code != verify.CodeNetwork || !errors.Is(err, errOutage) {
					t.Fatal(err)
				}
			}
			left, err := filepath.Glob(filepath.Join(to, ".download.*.part"))
			if err != nil || len(left) != 1 {
				t.Fatalf("left %q, %v", left, err)
			}
			if b, err := os.ReadFile(left[0]); err != nil || string(b) != "firmw" {
				t.Fatalf("left %q, %v", b, err)
			} else if tt.damage != nil {
				if err := os.WriteFile(left[0], tt.damage(b), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			h.asked, served, told = nil, 0, nil
			if err := download(); err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(h.asked) != tt.asked || served != tt.served {
				t.Errorf("asked from %v, want %s; %d bytes served, want %d", h.asked, tt.asked, served, tt.served)
			}
			if told[len(told)-1] != 8 {
				t.Errorf("progress %d", told)
			}
			entries, err := os.ReadDir(to)
			if err != nil || len(entries) != 1 {
				t.Errorf("there are %v, %v", entries, err)
			}
			if b, err := os.ReadFile(filepath.Join(to, "firmware.bin")); err != nil || string(b) != "firmware" {
				t.Errorf("installed %q, %v", b, err)
			}
		})
	}
}

// What is refused leaves nothing, after a part as well; a mirror that has other bytes is
// asked twice and no more.
func TestWrongTargetsLeaveNothing(t *testing.T) {
	dir := t.TempDir()
	if err := testrepo.Write(dir); err != nil {
		t.Fatal(err)
	}
	cfg, err := config(dir)
	if err != nil {
		t.Fatal(err)
	}
	store, err := create(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	folder, err := device.OpenFolder(filepath.Join(dir, "metadata"))
	if err != nil {
		t.Fatal(err)
	}
	folder.Targets = filepath.Join(dir, "evil")
	for i, evil := range []string{"hardwork", "firmware and more", "firmwary"} {
		files, err := os.ReadDir(filepath.Join(dir, "targets"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			write := func(content string) {
				if err := errors.Join(os.MkdirAll(folder.Targets, 0o755), os.WriteFile(filepath.Join(folder.Targets, f.Name()), []byte(content), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			write("firmware")
			defer write("firmware")
		}
		h := &hurdle{Origin: folder, stops: []int64{5}}
		d := &device.Device{Store: store, Origin: h}
		cfg.Now = time.Now()
		if _, err := d.Refresh(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, fmt.Sprint("installed", i))
		for run := range 2 {
			targets, err := d.Download(t.Context(), []string{"firmware.bin"}, to)
			var r *verify.Refusal
			if err != nil || !errors.As(targets[0].Err, &r) || (r.Code == verify.CodeNetwork) != (run == 0) {
				t.Errorf("%q, run %d: %v, %v", evil, run, targets, err)
			}
			for _, f := range files {
				if err := os.WriteFile(filepath.Join(folder.Targets, f.Name()), []byte(evil), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		if entries, err := os.ReadDir(to); err != nil || len(entries) != 0 {
			t.Errorf("%q leaves %v, %v", evil, entries, err)
		}
		if fmt.Sprint(h.asked) != "[0 5 0]" {
			t.Errorf("%q: asked from %v", evil, h.asked)
		}
	}
}
